#include "store/error_value.h"

#include "store/value.h"

#include <string.h>

static void put16(uint8_t *out, uint32_t value) {
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static uint32_t get16(const uint8_t *in) {
    return (uint32_t)in[0] | (uint32_t)in[1] << 8;
}

/* At most `max` bytes of text that do not end within a UTF-8 character. */
static uint32_t cut(const char *text, size_t bytes, size_t max) {
    if (bytes <= max) {
        return (uint32_t)bytes;
    }
    while (max > 0 && ((uint8_t)text[max] & 0xc0) == 0x80) {
        max--;
    }
    return (uint32_t)max;
}

static uint32_t pack(wr_status status, const char *text, uint32_t text_bytes, const char *hint,
                     uint32_t hint_bytes, uint8_t *out) {
    out[0] = WR_ERROR_VALUE_VERSION;
    out[1] = 0;
    put16(out + 2, status == WR_OK ? WR_E_INTERNAL : (uint32_t)status);
    put16(out + 4, text_bytes);
    put16(out + 6, hint_bytes);
    memcpy(out + WR_ERROR_VALUE_HEAD_BYTES, text, text_bytes);
    memcpy(out + WR_ERROR_VALUE_HEAD_BYTES + text_bytes, hint, hint_bytes);
    return WR_ERROR_VALUE_HEAD_BYTES + text_bytes + hint_bytes;
}

uint32_t wr_store_error_pack(const wr_error *error, uint8_t out[WR_ERROR_VALUE_MAX]) {
    const uint32_t text = (uint32_t)strnlen(error->text, sizeof error->text - 1);
    const uint32_t hint = (uint32_t)strnlen(error->hint, sizeof error->hint - 1);
    return pack(error->status, error->text, text, error->hint, hint, out);
}

void wr_store_error_inline(wr_status status, const char *text, wr_result *out) {
    *out = (wr_result){.kind = WR_KIND_SYSTEM_ERROR, .location = WR_AT_INLINE};
    const uint32_t n = cut(text, strlen(text), WR_STORE_INLINE_MAX - WR_ERROR_VALUE_HEAD_BYTES);
    out->bytes = pack(status, text, n, "", 0, out->inline_bytes);
}

void wr_store_error_encode(wr_pool *pool, wr_proc *proc, const wr_error *error, wr_result *out) {
    uint8_t packed[WR_ERROR_VALUE_MAX];
    const uint32_t n = wr_store_error_pack(error, packed);
    const wr_value value = {.stream = packed, .stream_bytes = n};
    if (wr_store_values(pool, proc, WR_KIND_SYSTEM_ERROR, &value, 1, out, NULL) != WR_OK) {
        wr_store_error_inline(error->status, error->text, out);
    }
}

static bool status_known(uint32_t number) {
    switch (number) {
#define WR_STATUS(name, value, grpc, python, text) case value:
#include "whipray/status.def"
#undef WR_STATUS
        return number != WR_OK;
    default:
        return false;
    }
}

static void take_text(char *out, size_t out_size, const uint8_t *from, uint32_t bytes) {
    const uint32_t n = cut((const char *)from, bytes, out_size - 1);
    memcpy(out, from, n);
    out[n] = '\0';
}

void wr_store_error_decode(const uint8_t *stream, uint64_t bytes, wr_error *out) {
    uint8_t head[WR_ERROR_VALUE_HEAD_BYTES]; /* read once */
    if (bytes >= sizeof head) {
        memcpy(head, stream, sizeof head);
        const uint32_t status = get16(head + 2);
        const uint32_t text = get16(head + 4);
        const uint32_t hint = get16(head + 6);
        if (head[0] == WR_ERROR_VALUE_VERSION && status_known(status) &&
            (uint64_t)text + hint <= bytes - sizeof head) {
            *out = (wr_error){.status = (wr_status)status};
            take_text(out->text, sizeof out->text, stream + sizeof head, text);
            if (out->text[0] == '\0') { /* also a text that begins with a zero byte */
                WR_FAIL(out, (wr_status)status, "%s", wr_status_text((wr_status)status));
            }
            take_text(out->hint, sizeof out->hint, stream + sizeof head + text, hint);
            return;
        }
    }
    *out = (wr_error){0};
    WR_FAIL(out, WR_E_CORRUPT, "an error object of %llu bytes cannot be read", (unsigned long long)bytes);
}

void wr_view_error(const wr_view *view, wr_error *out) {
    if (view->kind == WR_KIND_SYSTEM_ERROR) {
        wr_store_error_decode(view->stream, view->stream_bytes, out);
        return;
    }
    *out = (wr_error){0};
    WR_FAIL(out, WR_E_INVALID, "an object of kind %d holds no error of Whipray's own", (int)view->kind);
}

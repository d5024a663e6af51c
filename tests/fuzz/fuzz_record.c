/* A packed record from a socket: what passes the check can be read whole, and written again it is the same bytes. */
#include "base/base.h"
#include "whipray/record.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy_value(wr_record_writer *w, const char *name, const wr_record_value *v);

static void copy_fields(wr_record_writer *w, const wr_record *r) {
    uint32_t cursor = 0, bytes;
    const char *name;
    wr_record_value v;
    while (wr_record_next(r, &cursor, &name, &bytes, &v)) {
        char text[WR_RECORD_NAME_MAX + 1];
        WR_ASSERT(bytes >= 1 && bytes <= WR_RECORD_NAME_MAX);
        memcpy(text, name, bytes);
        text[bytes] = 0;
        wr_record_value found;
        WR_ASSERT(wr_record_find(r, text, &found) && found.type == v.type && found.bytes == v.bytes);
        copy_value(w, text, &v);
    }
}

static void copy_value(wr_record_writer *w, const char *name, const wr_record_value *v) {
    if (v->type == 'i') {
        wr_record_int(w, name, v->i);
    } else if (v->type == 'd') {
        wr_record_double(w, name, v->d);
    } else if (v->type == 'b') {
        wr_record_bytes(w, name, v->bytes, v->count);
    } else if (v->type == 's') {
        char *text = wr_calloc(v->count + 1u, 1);
        WR_ASSERT(text != NULL);
        memcpy(text, v->bytes, v->count);
        wr_record_string(w, name, text); /* ends at a zero byte inside */
        wr_free(text);
    } else if (v->type == 'm') {
        wr_record inner = wr_record_of(v);
        wr_record_map_begin(w, name);
        copy_fields(w, &inner);
        wr_record_map_end(w);
    } else if (v->type == 'l') {
        uint32_t cursor = 0, count = 0;
        wr_record_value item;
        wr_record_list_begin(w, name);
        while (wr_record_item(v, &cursor, &item)) {
            copy_value(w, NULL, &item);
            count++;
        }
        WR_ASSERT(count == v->items);
        wr_record_list_end(w);
    } else {
        WR_ASSERT(v->type == 'n');
        wr_record_none(w, name);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    wr_record r, again;
    if (wr_record_check(data, size, &r, NULL) != WR_OK) {
        return 0;
    }
    wr_record_writer w = {0};
    const uint8_t *bytes;
    uint32_t count;
    wr_record_begin(&w);
    copy_fields(&w, &r);
    WR_ASSERT(wr_record_finish(&w, &bytes, &count, NULL) == WR_OK);
    WR_ASSERT(wr_record_check(bytes, count, &again, NULL) == WR_OK);
    WR_ASSERT(count <= size);
    WR_ASSERT(count < size || memcmp(bytes, data, size) == 0);
    wr_record_done(&w);
    return 0;
}

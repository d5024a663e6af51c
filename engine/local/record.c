#include "whipray/record.h"

#include "base/base.h"
#include "base/map.h"

#include <string.h>

/* Above so many fields, names are checked for doubles by a map instead of by comparing all pairs. */
enum { PAIRWISE_FIELDS_MAX = 16 };

/* ---- UTF-8 ---- */

/* Length of the well-formed sequence at p (at most n bytes are there), or 0. */
static uint32_t utf8_length(const uint8_t *p, uint32_t n) {
    if (p[0] < 0x80) {
        return 1;
    }
    uint32_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < length) {
        return 0;
    }
    for (uint32_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* Overlong forms, surrogates, and what lies above U+10FFFF. */
    bool bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
               (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : length;
}

static bool utf8_ok(const uint8_t *p, uint32_t n) {
    uint32_t i = 0;
    while (i < n) {
        uint32_t length = utf8_length(p + i, n - i);
        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

/* ---- Writing ---- */

static void put_u16(uint8_t *at, uint16_t v) {
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
}

static void put_u32(uint8_t *at, uint32_t v) {
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(v >> (8 * i));
    }
}

static void put_u64(uint8_t *at, uint64_t v) {
    for (int i = 0; i < 8; i++) {
        at[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint16_t get_u16(const uint8_t *at) {
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get_u64(const uint8_t *at) {
    return (uint64_t)get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

/* Room for n more bytes, or NULL (and w->failed is set). */
static uint8_t *room(wr_record_writer *w, uint64_t n) {
    if (w->failed != WR_OK) {
        return NULL;
    }
    if (n > WR_RECORD_BYTES_MAX || w->used + n > WR_RECORD_BYTES_MAX) {
        w->failed = WR_E_LIMIT;
        return NULL;
    }
    void *bytes = w->bytes;
    if (wr_array_reserve(&bytes, &w->capacity, w->used + (uint32_t)n, 1, NULL) != WR_OK) {
        w->failed = WR_E_NO_MEMORY;
        return NULL;
    }
    w->bytes = bytes;
    uint8_t *at = w->bytes + w->used;
    w->used += (uint32_t)n;
    return at;
}

void wr_record_begin(wr_record_writer *w) {
    w->used = 0;
    w->depth = 0;
    w->failed = WR_OK;
    uint8_t *count = room(w, 2);
    if (count != NULL) {
        put_u16(count, 0);
    }
}

/* Writes name and type of the next field or item, and counts it in the record or list that is open. */
static void field(wr_record_writer *w, const char *name, char type) {
    bool in_list = w->depth > 0 && w->list[w->depth - 1] != 0;
    size_t n = name == NULL ? 0 : strlen(name);
    if (w->failed == WR_OK && (in_list ? name != NULL : n == 0 || n > WR_RECORD_NAME_MAX)) {
        w->failed = WR_E_INVALID;
    }
    uint8_t *at = room(w, in_list ? 1 : 2 + n);
    if (at == NULL) {
        return;
    }
    if (!in_list) {
        *at++ = (uint8_t)n;
        memcpy(at, name, n);
        at += n;
    }
    *at = (uint8_t)type;
    if (in_list) {
        uint8_t *count = w->bytes + w->open[w->depth - 1] + 4;
        put_u32(count, get_u32(count) + 1);
        return;
    }
    uint8_t *count = w->bytes + (w->depth == 0 ? 0 : w->open[w->depth - 1] + 4);
    if (get_u16(count) == UINT16_MAX) {
        w->failed = WR_E_LIMIT;
        return;
    }
    put_u16(count, (uint16_t)(get_u16(count) + 1));
}

void wr_record_int(wr_record_writer *w, const char *name, int64_t value) {
    field(w, name, 'i');
    uint8_t *at = room(w, 8);
    if (at != NULL) {
        put_u64(at, (uint64_t)value);
    }
}

void wr_record_double(wr_record_writer *w, const char *name, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    field(w, name, 'd');
    uint8_t *at = room(w, 8);
    if (at != NULL) {
        put_u64(at, bits);
    }
}

static uint8_t *sized(wr_record_writer *w, const char *name, char type, uint64_t n) {
    field(w, name, type);
    if (n > WR_RECORD_BYTES_MAX) {
        w->failed = w->failed == WR_OK ? WR_E_LIMIT : w->failed;
        return NULL;
    }
    uint8_t *at = room(w, 4 + n);
    if (at == NULL) {
        return NULL;
    }
    put_u32(at, (uint32_t)n);
    return at + 4;
}

void wr_record_string(wr_record_writer *w, const char *name, const char *text) {
    if (text == NULL) {
        wr_record_none(w, name);
        return;
    }
    size_t n = strlen(text);
    uint8_t *at = sized(w, name, 's', n);
    if (at == NULL) {
        return;
    }
    memcpy(at, text, n);
    /* Log lines and paths may hold any bytes: what is not UTF-8 becomes '?', or no reader would take the record. */
    for (uint32_t i = 0; i < n;) {
        uint32_t length = utf8_length(at + i, (uint32_t)n - i);
        if (length == 0) {
            at[i] = '?';
            length = 1;
        }
        i += length;
    }
}

void wr_record_bytes(wr_record_writer *w, const char *name, const void *bytes, uint64_t count) {
    uint8_t *at = sized(w, name, 'b', count);
    if (at != NULL && count > 0) {
        memcpy(at, bytes, count);
    }
}

void wr_record_none(wr_record_writer *w, const char *name) {
    field(w, name, 'n');
}

static void open_part(wr_record_writer *w, const char *name, bool list) {
    field(w, name, list ? 'l' : 'm');
    if (w->failed == WR_OK && w->depth == WR_RECORD_DEPTH_MAX) {
        w->failed = WR_E_LIMIT;
    }
    uint32_t offset = w->used;
    uint8_t *at = room(w, list ? 8 : 6);
    if (at == NULL) {
        return;
    }
    memset(at, 0, list ? 8 : 6);
    w->open[w->depth] = offset;
    w->list[w->depth] = list;
    w->depth++;
}

static void close_part(wr_record_writer *w, bool list) {
    if (w->failed != WR_OK) {
        return;
    }
    if (w->depth == 0 || (w->list[w->depth - 1] != 0) != list) {
        w->failed = WR_E_INVALID;
        return;
    }
    uint32_t offset = w->open[--w->depth];
    put_u32(w->bytes + offset, w->used - offset - (list ? 8 : 4));
}

void wr_record_map_begin(wr_record_writer *w, const char *name) {
    open_part(w, name, false);
}

void wr_record_map_end(wr_record_writer *w) {
    close_part(w, false);
}

void wr_record_list_begin(wr_record_writer *w, const char *name) {
    open_part(w, name, true);
}

void wr_record_list_end(wr_record_writer *w) {
    close_part(w, true);
}

/* ---- Checking ---- */

/* Reads type and value at *offset, within limit. Does not look into maps and lists. false: does not fit. */
static bool read_value(const uint8_t *bytes, uint32_t limit, uint32_t *offset, wr_record_value *out) {
    uint32_t at = *offset;
    if (at >= limit) {
        return false;
    }
    memset(out, 0, sizeof *out);
    out->type = (char)bytes[at++];
    switch (out->type) {
    case 'n':
        break;
    case 'i':
    case 'd': {
        if (limit - at < 8) {
            return false;
        }
        uint64_t bits = get_u64(bytes + at);
        if (out->type == 'i') {
            memcpy(&out->i, &bits, sizeof bits);
        } else {
            memcpy(&out->d, &bits, sizeof bits);
        }
        at += 8;
        break;
    }
    case 's':
    case 'b':
    case 'm':
    case 'l': {
        uint32_t head = out->type == 'l' ? 8 : 4;
        if (limit - at < head) {
            return false;
        }
        out->count = get_u32(bytes + at);
        out->items = out->type == 'l' ? get_u32(bytes + at + 4) : 0;
        at += head;
        if (limit - at < out->count) {
            return false;
        }
        out->bytes = bytes + at;
        at += out->count;
        break;
    }
    default:
        return false;
    }
    *offset = at;
    return true;
}

static bool read_field(const uint8_t *bytes, uint32_t limit, uint32_t *offset, const char **out_name,
                       uint32_t *out_name_bytes, wr_record_value *out) {
    uint32_t at = *offset;
    if (at >= limit) {
        return false;
    }
    uint32_t n = bytes[at++];
    if (n == 0 || n > WR_RECORD_NAME_MAX || limit - at < n) {
        return false;
    }
    *out_name = (const char *)bytes + at;
    *out_name_bytes = n;
    at += n;
    if (!read_value(bytes, limit, &at, out)) {
        return false;
    }
    *offset = at;
    return true;
}

static wr_status check_record(const uint8_t *bytes, uint32_t count, uint32_t depth, wr_error *err);

static wr_status check_value(const wr_record_value *v, uint32_t depth, wr_error *err) {
    if (v->type == 's' && !utf8_ok(v->bytes, v->count)) {
        return WR_FAIL(err, WR_E_CORRUPT, "record: a text is not UTF-8");
    }
    if ((v->type == 'm' || v->type == 'l') && depth == WR_RECORD_DEPTH_MAX) {
        return WR_FAIL(err, WR_E_CORRUPT, "record: nested more than %d deep", WR_RECORD_DEPTH_MAX);
    }
    if (v->type == 'm') {
        return check_record(v->bytes, v->count, depth + 1, err);
    }
    if (v->type == 'l') {
        uint32_t offset = 0;
        for (uint32_t i = 0; i < v->items; i++) {
            wr_record_value item;
            if (!read_value(v->bytes, v->count, &offset, &item)) {
                return WR_FAIL(err, WR_E_CORRUPT,
                               "record: item %u of a list of %u is cut off or of no known type", i, v->items);
            }
            WR_TRY(check_value(&item, depth + 1, err));
        }
        if (offset != v->count) {
            return WR_FAIL(err, WR_E_CORRUPT, "record: %u bytes behind the items of a list",
                           v->count - offset);
        }
    }
    return WR_OK;
}

/* Whether the name that starts at `at` is new in the record; `seen` holds hashes of the names of long records. */
static wr_status check_name(const uint8_t *bytes, uint32_t before, uint32_t fields, const char *name,
                            uint32_t n, wr_map *seen, wr_error *err) {
    bool twice = false;
    if (fields > PAIRWISE_FIELDS_MAX) {
        uint64_t hash = wr_hash_bytes(name, n);
        twice = wr_map_get(seen, hash, &(uint64_t){0}); /* equal hashes of unlike names: refused as well */
        WR_TRY(wr_map_set(seen, hash, 1, err));
    } else {
        uint32_t offset = 2;
        while (offset < before && !twice) {
            const char *other;
            uint32_t other_n;
            wr_record_value v;
            bool ok = read_field(bytes, before, &offset, &other, &other_n, &v);
            WR_ASSERT(ok);
            twice = other_n == n && memcmp(other, name, n) == 0;
        }
    }
    return twice ? WR_FAIL(err, WR_E_CORRUPT, "record: field '%.*s' is there twice", (int)n, name) : WR_OK;
}

static wr_status check_fields(const uint8_t *bytes, uint32_t count, uint32_t depth, wr_map *seen,
                              wr_error *err) {
    uint32_t fields = get_u16(bytes), offset = 2;
    for (uint32_t i = 0; i < fields; i++) {
        const char *name;
        uint32_t n, before = offset;
        wr_record_value v;
        if (!read_field(bytes, count, &offset, &name, &n, &v)) {
            return WR_FAIL(err, WR_E_CORRUPT,
                           "record: field %u of %u is cut off, nameless or of no known type", i, fields);
        }
        if (!utf8_ok((const uint8_t *)name, n) || memchr(name, 0, n) != NULL) {
            return WR_FAIL(err, WR_E_CORRUPT, "record: the name of field %u is no text", i);
        }
        WR_TRY(check_name(bytes, before, fields, name, n, seen, err));
        WR_TRY(check_value(&v, depth, err));
    }
    if (offset != count) {
        return WR_FAIL(err, WR_E_CORRUPT, "record: %u bytes behind the last field", count - offset);
    }
    return WR_OK;
}

static wr_status check_record(const uint8_t *bytes, uint32_t count, uint32_t depth, wr_error *err) {
    if (count < 2) {
        return WR_FAIL(err, WR_E_CORRUPT, "record: %u bytes are too few", count);
    }
    wr_map seen = {0};
    wr_status status = check_fields(bytes, count, depth, &seen, err);
    wr_map_done(&seen);
    return status;
}

wr_status wr_record_check(const uint8_t *bytes, uint64_t count, wr_record *out, wr_error *err) {
    if (count > WR_RECORD_BYTES_MAX) {
        return WR_FAIL(err, WR_E_CORRUPT, "record: %llu bytes are more than %d", (unsigned long long)count,
                       WR_RECORD_BYTES_MAX);
    }
    WR_TRY(check_record(bytes, (uint32_t)count, 0, err));
    out->bytes = bytes;
    out->count_bytes = (uint32_t)count;
    return WR_OK;
}

void wr_record_packed(wr_record_writer *w, const char *name, const uint8_t *record, uint64_t bytes) {
    static const uint8_t empty[2] = {0, 0};
    if (bytes == 0) {
        record = empty;
        bytes = sizeof empty;
    }
    bool sound = bytes <= WR_RECORD_BYTES_MAX && w->depth < WR_RECORD_DEPTH_MAX &&
                 check_record(record, (uint32_t)bytes, w->depth + 1, NULL) == WR_OK;
    if (!sound) {
        w->failed = w->failed == WR_OK ? WR_E_INVALID : w->failed;
        return;
    }
    uint8_t *at = sized(w, name, 'm', bytes);
    if (at != NULL) {
        memcpy(at, record, bytes);
    }
}

wr_status wr_record_finish(wr_record_writer *w, const uint8_t **out, uint32_t *out_bytes, wr_error *err) {
    if (w->failed == WR_OK && w->depth != 0) {
        w->failed = WR_E_INVALID;
    }
    switch (w->failed) {
    case WR_OK:
        break;
    case WR_E_LIMIT:
        return WR_FAIL(err, WR_E_LIMIT, "record: more than %d bytes, or nested more than %d deep",
                       WR_RECORD_BYTES_MAX, WR_RECORD_DEPTH_MAX);
    case WR_E_NO_MEMORY:
        return WR_FAIL(err, WR_E_NO_MEMORY, "record: no memory");
    default:
        return WR_FAIL(err, w->failed, "record: a name, a packed record or the nesting is wrong");
    }
    *out = w->bytes;
    *out_bytes = w->used;
    return WR_OK;
}

void wr_record_done(wr_record_writer *w) {
    wr_free(w->bytes);
    memset(w, 0, sizeof *w);
}

/* ---- Reading ---- */

bool wr_record_next(const wr_record *r, uint32_t *cursor, const char **out_name, uint32_t *out_name_bytes,
                    wr_record_value *out) {
    uint32_t offset = *cursor == 0 ? 2 : *cursor;
    if (!read_field(r->bytes, r->count_bytes, &offset, out_name, out_name_bytes, out)) {
        return false;
    }
    *cursor = offset;
    return true;
}

bool wr_record_item(const wr_record_value *list, uint32_t *cursor, wr_record_value *out) {
    return list->type == 'l' && read_value(list->bytes, list->count, cursor, out);
}

wr_record wr_record_of(const wr_record_value *map) {
    bool is_map = map->type == 'm';
    return (wr_record){.bytes = is_map ? map->bytes : NULL, .count_bytes = is_map ? map->count : 0};
}

bool wr_record_find(const wr_record *r, const char *name, wr_record_value *out) {
    size_t n = strlen(name);
    uint32_t cursor = 0, found_n;
    const char *found;
    wr_record_value v;
    while (wr_record_next(r, &cursor, &found, &found_n, &v)) {
        if (found_n == n && memcmp(found, name, n) == 0) {
            *out = v;
            return true;
        }
    }
    return false;
}

int64_t wr_record_get_int(const wr_record *r, const char *name, int64_t fallback) {
    wr_record_value v;
    return wr_record_find(r, name, &v) && v.type == 'i' ? v.i : fallback;
}

double wr_record_get_double(const wr_record *r, const char *name, double fallback) {
    wr_record_value v;
    if (!wr_record_find(r, name, &v)) {
        return fallback;
    }
    return v.type == 'd' ? v.d : v.type == 'i' ? (double)v.i : fallback;
}

bool wr_record_get_string(const wr_record *r, const char *name, char *out, uint32_t size) {
    WR_ASSERT(size > 0);
    wr_record_value v;
    out[0] = 0;
    if (!wr_record_find(r, name, &v) || v.type != 's' || v.count >= size ||
        (v.count > 0 && memchr(v.bytes, 0, v.count) != NULL)) {
        return false;
    }
    memcpy(out, v.bytes, v.count);
    out[v.count] = 0;
    return true;
}

bool wr_record_get_map(const wr_record *r, const char *name, wr_record *out) {
    wr_record_value v;
    if (!wr_record_find(r, name, &v) || v.type != 'm') {
        return false;
    }
    *out = wr_record_of(&v);
    return true;
}

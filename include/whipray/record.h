/* include/whipray/record.h: the packed records that control calls and frames carry: named, typed fields.
 *
 *   record  u16 count, then fields
 *   field   u8 name length (1..64), name, u8 type, value
 *   type    'i' i64   'd' double   's' u32 n, UTF-8   'b' u32 n, bytes   'n' nothing
 *           'm' u32 n, record of n bytes   'l' u32 n bytes, u32 count, then {u8 type, value} each
 *
 * Little endian, nesting at most 8 deep, a record at most 1 MiB. A reader that gets a pointer here has checked the
 * whole record (wr_record_check): lookups after that cannot leave it. Names are unique within a record.
 * Cold path: lookups are linear.
 */
#ifndef WHIPRAY_RECORD_H
#define WHIPRAY_RECORD_H

#include "whipray/status.h"

WR_BEGIN_DECLS

enum { WR_RECORD_BYTES_MAX = 1 << 20, WR_RECORD_DEPTH_MAX = 8, WR_RECORD_NAME_MAX = 64 };

/* ---- Writing: grows by itself; the first failure sticks and is returned by wr_record_finish. ---- */
typedef struct wr_record_writer {
    uint8_t *bytes;
    uint32_t used, capacity;
    uint32_t open[WR_RECORD_DEPTH_MAX]; /* offsets of the open records and lists */
    uint8_t list[WR_RECORD_DEPTH_MAX];  /* 1: a list */
    uint32_t depth;
    wr_status failed;
} wr_record_writer;

WR_API void wr_record_begin(wr_record_writer *w); /* of a zeroed or finished writer; keeps its memory */
WR_API void wr_record_int(wr_record_writer *w, const char *name,
                          int64_t value); /* name NULL: the next item of a list */
WR_API void wr_record_double(wr_record_writer *w, const char *name, double value);
WR_API void wr_record_string(wr_record_writer *w, const char *name,
                             const char *text); /* NULL text: type 'n' */
WR_API void wr_record_bytes(wr_record_writer *w, const char *name, const void *bytes, uint64_t count);
WR_API void wr_record_none(wr_record_writer *w, const char *name);
WR_API void wr_record_map_begin(wr_record_writer *w, const char *name);
WR_API void wr_record_map_end(wr_record_writer *w);
WR_API void wr_record_list_begin(wr_record_writer *w, const char *name);
WR_API void wr_record_list_end(wr_record_writer *w);
/* Copies a packed record in as a map field. */
WR_API void wr_record_packed(wr_record_writer *w, const char *name, const uint8_t *record, uint64_t bytes);
/* Fails: LIMIT (over 1 MiB, too deep), NO_MEMORY, INVALID (name). *out lends the writer's memory. */
WR_API WR_MUST_USE wr_status wr_record_finish(wr_record_writer *w, const uint8_t **out, uint32_t *out_bytes,
                                              wr_error *err);
WR_API void wr_record_done(wr_record_writer *w); /* frees */

/* ---- Reading ---- */
typedef struct wr_record {
    const uint8_t *bytes;
    uint32_t count_bytes; /* size of the packed record */
} wr_record;

typedef struct wr_record_value {
    char type; /* one of the letters above */
    int64_t i;
    double d;
    const uint8_t *bytes; /* s, b, m, l: borrowed from the record; strings are NOT terminated */
    uint32_t count;       /* their size in bytes; of a list: of its items' bytes */
    uint32_t items;       /* of a list */
} wr_record_value;

/* Checks everything. Fails: CORRUPT (where, why). */
WR_API WR_MUST_USE wr_status wr_record_check(const uint8_t *bytes, uint64_t count, wr_record *out,
                                             wr_error *err);
WR_API bool wr_record_find(const wr_record *r, const char *name, wr_record_value *out);
/* Value, or `fallback` when the field is absent or of another type. */
WR_API int64_t wr_record_get_int(const wr_record *r, const char *name, int64_t fallback);
WR_API double wr_record_get_double(const wr_record *r, const char *name,
                                   double fallback); /* takes ints, too */
/* Copies a string, terminated; false: absent, another type, or longer than size - 1 (out is "" then). */
WR_API bool wr_record_get_string(const wr_record *r, const char *name, char *out, uint32_t size);
WR_API bool wr_record_get_map(const wr_record *r, const char *name, wr_record *out);
/* Iterates over fields: *cursor starts at 0. */
WR_API bool wr_record_next(const wr_record *r, uint32_t *cursor, const char **out_name,
                           uint32_t *out_name_bytes, wr_record_value *out);
/* Iterates over the items of a list value: *cursor starts at 0. */
WR_API bool wr_record_item(const wr_record_value *list, uint32_t *cursor, wr_record_value *out);
WR_API wr_record wr_record_of(const wr_record_value *map); /* of an 'm' */

WR_END_DECLS
#endif

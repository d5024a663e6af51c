/* engine/sched/struct_desc.h: what a plain struct consists of, as a table: copying, comparing and packing
 * read it.
 *
 * One table per struct of cluster_msg.h (and of the stores' rows), in the order of the fields of the proto
 * message of the same name, whose field numbers count from 1. A test holds both against each other.
 */
#pragma once

#include "sched/span.h"

#include <stddef.h>

WR_BEGIN_DECLS

typedef enum wr_field_kind {
    WR_FIELD_U32,
    WR_FIELD_U64,
    WR_FIELD_I32,
    WR_FIELD_FLAG,      /* bool */
    WR_FIELD_SPAN,      /* wr_span */
    WR_FIELD_ID,        /* `bytes` bytes in place; all zero = none */
    WR_FIELD_PART,      /* a struct in place */
    WR_FIELD_LIST,      /* pointer to structs and their count */
    WR_FIELD_LIST_U32,  /* pointer to u32 and their count */
    WR_FIELD_LIST_SPAN, /* pointer to wr_span and their count */
    WR_FIELD_LIST_ID    /* pointer to ids of `bytes` bytes each and their count */
} wr_field_kind;

struct wr_struct_desc;
typedef struct wr_field {
    const char *name;
    wr_field_kind kind;
    uint32_t offset, count_offset, bytes;
    const struct wr_struct_desc *desc; /* PART, LIST */
} wr_field;

typedef struct wr_struct_desc {
    const char *name;
    uint32_t bytes; /* sizeof */
    uint32_t field_count;
    const wr_field *fields;
} wr_struct_desc;

/* Bytes of one element of a list. */
uint32_t wr_field_element_bytes(const wr_field *field);

/* Deep copy of *from into one block, released with wr_free: `head` zeroed bytes (a multiple of 8), the
 * struct, padded to at least `own_bytes`, and all that it points to. out: the block. Fails: NO_MEMORY. */
WR_MUST_USE wr_status wr_struct_dup(const wr_struct_desc *desc, const void *from, size_t head,
                                    size_t own_bytes, void **out, wr_error *err);
bool wr_struct_equal(const wr_struct_desc *desc, const void *a, const void *b);

/* For the tables themselves. */
#define WR_F_(s, f, k) .name = #f, .kind = k, .offset = (uint32_t)offsetof(s, f)
#define WR_F_U32(s, f) {WR_F_(s, f, WR_FIELD_U32), .bytes = 4}
#define WR_F_U64(s, f) {WR_F_(s, f, WR_FIELD_U64), .bytes = 8}
#define WR_F_I32(s, f) {WR_F_(s, f, WR_FIELD_I32), .bytes = 4}
#define WR_F_FLAG(s, f) {WR_F_(s, f, WR_FIELD_FLAG), .bytes = sizeof(bool)}
#define WR_F_SPAN(s, f) {WR_F_(s, f, WR_FIELD_SPAN), .bytes = sizeof(wr_span)}
#define WR_F_ID(s, f) {WR_F_(s, f, WR_FIELD_ID), .bytes = sizeof(((s *)0)->f)}
#define WR_F_PART(s, f, t) {WR_F_(s, f, WR_FIELD_PART), .bytes = sizeof(t), .desc = &t##_desc}
#define WR_F_LIST(s, f, c, t)                                                                                \
    {WR_F_(s, f, WR_FIELD_LIST), .count_offset = (uint32_t)offsetof(s, c), .bytes = sizeof(t),               \
     .desc = &t##_desc}
#define WR_F_LIST_U32(s, f, c)                                                                               \
    {WR_F_(s, f, WR_FIELD_LIST_U32), .count_offset = (uint32_t)offsetof(s, c), .bytes = 4}
#define WR_F_LIST_SPAN(s, f, c)                                                                              \
    {WR_F_(s, f, WR_FIELD_LIST_SPAN), .count_offset = (uint32_t)offsetof(s, c), .bytes = sizeof(wr_span)}
#define WR_F_LIST_ID(s, f, c, t)                                                                             \
    {WR_F_(s, f, WR_FIELD_LIST_ID), .count_offset = (uint32_t)offsetof(s, c), .bytes = sizeof(t)}
#define WR_DESC(s) {#s, sizeof(s), WR_COUNT_OF(s##_fields), s##_fields}

/* Those that others use as parts of their own structs or rows. */
extern const wr_struct_desc wr_node_info_desc, wr_actor_spec_desc, wr_actor_info_desc, wr_job_info_desc,
    wr_pg_info_desc;
/* Table and name of a message type; NULL for none. The struct is the member of the union. */
const wr_struct_desc *wr_cluster_msg_desc(uint32_t type);

WR_END_DECLS

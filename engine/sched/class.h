/* engine/sched/class.h: a scheduling class: what two tasks must have in common to be the same to a
 * scheduler.
 *
 * Cost at the head grows with classes and nodes, never with tasks. A class travels as its key: canonical
 * bytes, equal for equal classes in every process, with a hash. A key that was not made by wr_class_encode
 * is refused.
 *
 * Key, little endian: u8 version = 1, u8 language, u8 strategy, u8 flags (1 soft, 2 capture), u32 job, u64
 * env_hash, u32 node, i32 bundle, 18 pg, u16 length + text of: resources, place, labels.
 */
#pragma once

#include "base/ids.h"
#include "sched/resources.h"

WR_BEGIN_DECLS

enum {
    WR_PG_ID_BYTES = 18, /* incarnation u32 of the creator's node ‖ job 4 ‖ counter 8 ‖ 2 zero */
    WR_PG_BUNDLES_LIMIT = 1024,
    WR_LABELS_TEXT_MAX = 1024,
    WR_CLASS_KEY_MAX = 44 + 6 + 2 * WR_RES_TEXT_MAX + WR_LABELS_TEXT_MAX
};

typedef struct wr_actor_id {
    uint8_t bytes[WR_ACTOR_ID_BYTES];
} wr_actor_id; /* see base/ids.h */
typedef struct wr_task_id {
    uint8_t bytes[WR_TASK_ID_BYTES];
} wr_task_id;
typedef struct wr_pg_id {
    uint8_t bytes[WR_PG_ID_BYTES];
} wr_pg_id; /* all zero: none */

static inline bool wr_pg_id_is_none(const wr_pg_id *id) {
    uint8_t any = 0;
    for (int i = 0; i < WR_PG_ID_BYTES; i++) {
        any |= id->bytes[i];
    }
    return any == 0;
}
/* The node incarnation that made an actor or a group: the first 4 bytes. */
static inline uint32_t wr_id_creator(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

typedef enum wr_strategy_kind {
    WR_STRATEGY_DEFAULT,
    WR_STRATEGY_SPREAD,
    WR_STRATEGY_NODE_AFFINITY,
    WR_STRATEGY_PLACEMENT_GROUP
} wr_strategy_kind;

typedef enum wr_language { WR_LANGUAGE_PYTHON, WR_LANGUAGE_C } wr_language;

typedef struct wr_strategy {
    wr_strategy_kind kind;
    uint32_t node;  /* NODE_AFFINITY: incarnation */
    bool soft;      /* NODE_AFFINITY: any other node will do when that one cannot */
    wr_pg_id pg;    /* PLACEMENT_GROUP */
    int32_t bundle; /* PLACEMENT_GROUP: index, or -1 for any; else 0 */
    bool capture;   /* PLACEMENT_GROUP: children run in the group too */
} wr_strategy;

typedef struct wr_class {
    uint32_t job;
    wr_language language;
    wr_strategy strategy;
    uint64_t env_hash; /* of the runtime environment; 0 = none */
    wr_res resources;  /* taken while it runs */
    wr_res place; /* a node must have this in total to be chosen, beside `resources`; nothing of it is taken
                     (an actor without options: CPU=1 here, nothing above) */
    uint32_t labels_bytes;
    char labels[WR_LABELS_TEXT_MAX]; /* selector, see policy.h; "" = any node */
} wr_class;

/* Writes the key into out[size]. Fails: INVALID (a member out of its range), LIMIT (does not fit). */
WR_MUST_USE wr_status wr_class_encode(const wr_class *cls, const wr_res_names *names, uint8_t *out,
                                      size_t size, uint32_t *out_bytes, wr_error *err);
/* Interns new names. Hostile bytes are refused without effect but for interned names. Fails: PROTOCOL,
 * LIMIT, NO_MEMORY. */
WR_MUST_USE wr_status wr_class_decode(wr_span key, wr_res_names *names, wr_class *out, wr_error *err);
uint64_t wr_class_hash(wr_span key); /* never 0 */

WR_END_DECLS

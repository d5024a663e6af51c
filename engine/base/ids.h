/* engine/base/ids.h: the identifiers that people and other nodes see.
 *
 *   ObjectID  28  node incarnation 12 ‖ job 4 ‖ handle 8 ‖ return index 4
 *   TaskID    24  the first 24 of its first result
 *   ActorID   16  the last 16 of the TaskID of its handle object: incarnation u32 ‖ job 4 ‖ handle 8
 *   NodeID    28  node incarnation 12, then zeros
 *   incarnation   cluster id 8 ‖ u32 from a durable counter of the GCS, little endian
 *
 * An id is never nil: all bytes 0xff is "nil", as in Ray.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

enum {
    WR_OBJECT_ID_BYTES = 28,
    WR_TASK_ID_BYTES = 24,
    WR_ACTOR_ID_BYTES = 16,
    WR_NODE_ID_BYTES = 28,
    WR_WORKER_ID_BYTES = 28,
    WR_INCARNATION_BYTES = 12,
    WR_HEX_MAX = 2 * 28 + 1
};

typedef struct wr_node_id {
    uint8_t bytes[WR_NODE_ID_BYTES];
} wr_node_id;
typedef struct wr_object_id {
    uint8_t bytes[WR_OBJECT_ID_BYTES];
} wr_object_id;

wr_node_id wr_node_id_make(uint64_t cluster_id, uint32_t incarnation);
uint32_t wr_node_id_incarnation(const wr_node_id *id);
uint64_t wr_node_id_cluster(const wr_node_id *id);
wr_object_id wr_object_id_make(const wr_node_id *node, uint32_t job, uint64_t handle, uint32_t index);
void wr_object_id_split(const wr_object_id *id, uint64_t *out_cluster, uint32_t *out_incarnation,
                        uint32_t *out_job, uint64_t *out_handle, uint32_t *out_index);

/* Lower-case hex of n bytes into out, which has room for 2n + 1. */
void wr_hex_encode(const uint8_t *bytes, size_t n, char *out);
/* false: not exactly 2n hex digits. */
bool wr_hex_decode(const char *hex, size_t n, uint8_t *out);

WR_END_DECLS

/* engine/rpc/codec.h: plain structs to protobuf bytes and back, by their tables.
 *
 * The table of a struct (sched/struct_desc.h) and the descriptor that protoc-c made are walked side by
 * side, field by field, so no message has code of its own. Nothing that comes in is trusted: ids must have
 * their length, counts and sizes are bounded by an arena whose cap is a multiple of the input. Any thread.
 */
#pragma once

#include "sched/cluster_msg.h"
#include "sched/struct_desc.h"

WR_BEGIN_DECLS

struct ProtobufCMessageDescriptor; /* <protobuf-c/protobuf-c.h> */

/* out: owned by the caller, released with wr_free. Fails: NO_MEMORY, LIMIT (more than 2 GiB). */
WR_MUST_USE wr_status wr_struct_pack(const wr_struct_desc *desc,
                                     const struct ProtobufCMessageDescriptor *proto, const void *from,
                                     uint8_t **out, uint32_t *out_bytes, wr_error *err);
/* out: one block owned by the caller, released with wr_free; the struct lies at its beginning.
 * Fails: PROTOCOL (not such a message), LIMIT (asks for too much memory), NO_MEMORY. */
WR_MUST_USE wr_status wr_struct_unpack(const wr_struct_desc *desc,
                                       const struct ProtobufCMessageDescriptor *proto, wr_span bytes,
                                       void **out, wr_error *err);
/* true: every field has its counterpart, in name, order and kind, down to the last part. For tests. why:
 * NULL or a reason. */
bool wr_struct_matches(const wr_struct_desc *desc, const struct ProtobufCMessageDescriptor *proto,
                       wr_error *why);

/* A message of the cluster, as one ClusterMsg. */
WR_MUST_USE wr_status wr_cluster_msg_pack(const wr_cluster_msg *msg, uint8_t **out, uint32_t *out_bytes,
                                          wr_error *err);
WR_MUST_USE wr_status wr_cluster_msg_unpack(wr_span bytes, wr_cluster_msg **out,
                                            wr_error *err); /* out: owned */

/* A frame, as it came in. */
typedef struct wr_cluster_frame {
    uint32_t src;
    uint64_t epoch, seq, ack;
    bool session;
    wr_cluster_msg **msgs; /* each owned by the frame until taken (set to NULL) */
    uint32_t count;
} wr_cluster_frame;
/* Fails: PROTOCOL, LIMIT, NO_MEMORY; *out is empty then. */
WR_MUST_USE wr_status wr_cluster_frame_unpack(wr_span bytes, wr_cluster_frame *out, wr_error *err);
void wr_cluster_frame_done(wr_cluster_frame *frame);

WR_END_DECLS

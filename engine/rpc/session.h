/* engine/rpc/session.h: a reliable, ordered session over connections that come and go (rule S1).
 *
 * One end of a session between two incarnations. Records are numbered from 1; a record is kept until the
 * other end acknowledged it and is sent again after each new connection. Pure but for memory; one thread,
 * or the owner's lock.
 *
 * Frames are written here, byte by byte as protobuf would, around records that are packed already.
 */
#pragma once

#include "base/base.h"
#include "sched/span.h"

WR_BEGIN_DECLS

typedef struct wr_session_record {
    uint8_t *data; /* owned: a packed ClusterMsg */
    uint32_t bytes;
} wr_session_record;

typedef struct wr_session {
    wr_session_record *records; /* ring; capacity is a power of two */
    uint32_t capacity, head, count;
    uint64_t first_seq; /* of the oldest kept */
    uint64_t send_seq;  /* next to be written on this connection; first_seq to first_seq + count */
    uint64_t in_next;   /* number expected from the other end */
    uint64_t bytes;     /* kept */
    uint32_t ack_due;   /* received since the last frame was written */
} wr_session;

/* A growing buffer for frames; owned bytes. */
typedef struct wr_buffer {
    uint8_t *data;
    uint32_t bytes, capacity;
} wr_buffer;
void wr_buffer_done(wr_buffer *buffer);

void wr_session_init(wr_session *s); /* an empty session */
void wr_session_done(wr_session *s); /* frees all records; init again to use it */
/* Consumes data. Fails: NO_MEMORY (data is freed all the same). */
WR_MUST_USE wr_status wr_session_push(wr_session *s, uint8_t *data, uint32_t bytes, wr_error *err);
void wr_session_acked(wr_session *s,
                      uint64_t ack);   /* the other end expects `ack` next; nonsense is ignored */
void wr_session_rewind(wr_session *s); /* a new connection: all that is kept must be written again */
bool wr_session_has_unsent(const wr_session *s);
/* Is the record `seq` the next? true advances; false: known already. Fails: PROTOCOL (a gap). */
WR_MUST_USE wr_status wr_session_accept(wr_session *s, uint64_t seq, bool *out_is_new, wr_error *err);

/* Writes the next frame into out (cleared first): unsent records, at least one if any, up to bytes_max in
 * all. Without any it is a bare acknowledgement. Fails: NO_MEMORY. */
WR_MUST_USE wr_status wr_session_frame(wr_session *s, uint32_t src, uint64_t epoch, uint32_t bytes_max,
                                       wr_buffer *out, wr_error *err);
/* A frame with one record outside of any session. */
WR_MUST_USE wr_status wr_frame_outside(uint32_t src, uint64_t epoch, wr_span record, wr_buffer *out,
                                       wr_error *err);

WR_END_DECLS

/* engine/rpc/client.h: a channel to one server, with one thread that drains it: the caller's.
 *
 * All callbacks come inside wr_rpc_client_poll. The other functions may be called from any thread, but the
 * caller sees to it that nobody uses a stream while it is freed and that nobody starts anything after
 * wr_rpc_client_stop.
 */
#pragma once

#include "base/clock.h"
#include "rpc/credentials.h"
#include "sched/span.h"

WR_BEGIN_DECLS

typedef struct wr_rpc_client wr_rpc_client;
typedef struct wr_rpc_stream wr_rpc_stream;
typedef struct wr_rpc_unary wr_rpc_unary;

/* Connects when first used, and again whenever it must, with at most 200 ms between attempts.
 * Fails: INVALID; NOT_FOUND, DENIED or IO (a TLS file); NO_MEMORY. */
WR_MUST_USE wr_status wr_rpc_client_open(const char *target, const wr_rpc_credentials *credentials,
                                         wr_rpc_client **out, wr_error *err);
/* Nothing can be started any more. The caller cancels what is open, and polls until that returns false. */
void wr_rpc_client_stop(wr_rpc_client *client);
void wr_rpc_client_close(wr_rpc_client *client); /* after stop and after poll returned false */
/* Handles what has come in, waiting for the first until `deadline`. false: stopped, and nothing is left. */
bool wr_rpc_client_poll(wr_rpc_client *client, wr_time_ns deadline);

/* Is it connected? If its last attempt failed, the next one begins now, not when gRPC's patience ends. */
bool wr_rpc_client_ready(wr_rpc_client *client);

/* bytes: borrowed for the call. status: OK or why not; text is borrowed. */
typedef void (*wr_rpc_unary_fn)(void *user, wr_status status, wr_span bytes, const wr_error *err);
/* Waits for a connection until the deadline. Bytes are copied; done is called exactly once unless this
 * fails. out: for cancel, valid until done; may be NULL. Fails: NO_MEMORY, CANCELLED (stopped). */
WR_MUST_USE wr_status wr_rpc_client_call(wr_rpc_client *client, const char *method, wr_span bytes,
                                         wr_time_ns deadline, wr_rpc_unary_fn done, void *user,
                                         wr_rpc_unary **out, wr_error *err);
void wr_rpc_unary_cancel(wr_rpc_unary *unary);

typedef struct wr_rpc_stream_callbacks {
    void *user;
    void (*on_message)(void *user, wr_rpc_stream *stream, wr_span bytes);
    void (*on_writable)(void *user, wr_rpc_stream *stream);
    void (*on_closed)(void *user, wr_rpc_stream *stream, wr_status status,
                      const wr_error *err); /* then it is freed */
} wr_rpc_stream_callbacks;
/* Waits for a connection. out: valid until on_closed returns. Fails: NO_MEMORY, CANCELLED (stopped). */
WR_MUST_USE wr_status wr_rpc_client_stream(wr_rpc_client *client, const char *method,
                                           const wr_rpc_stream_callbacks *callbacks, wr_rpc_stream **out,
                                           wr_error *err);
void wr_rpc_stream_cancel(wr_rpc_stream *stream);
bool wr_rpc_stream_busy(const wr_rpc_stream *stream); /* a write is under way */
/* Only when not busy; bytes are copied. The caller serialises this with poll's on_writable. */
void wr_rpc_stream_send(wr_rpc_stream *stream, const void *data, uint32_t bytes);

WR_END_DECLS

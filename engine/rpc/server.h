/* engine/rpc/server.h: a gRPC server with one listener and one thread: the caller's.
 *
 * Nothing happens but inside wr_rpc_server_poll, which makes all callbacks. Methods are strings; the bytes
 * of a message are the callee's business. Every call must show the cluster's token, in constant time
 * compared, before its method is looked at.
 *
 *   unary:  on_call -> UNARY, on_message once; the user replies or fails exactly once, at any later time
 *   stream: on_call -> STREAM, on_message for each, on_writable after each write, on_closed once (the end)
 */
#pragma once

#include "base/clock.h"
#include "rpc/credentials.h"
#include "sched/span.h"

WR_BEGIN_DECLS

typedef struct wr_rpc_server wr_rpc_server;
typedef struct wr_rpc_call wr_rpc_call;

typedef enum wr_rpc_kind { WR_RPC_UNKNOWN, WR_RPC_UNARY, WR_RPC_STREAM } wr_rpc_kind;

typedef struct wr_rpc_handlers {
    void *user;
    /* method: "/whipray.Gcs/KvPut", borrowed. UNKNOWN is answered with UNIMPLEMENTED. */
    wr_rpc_kind (*on_call)(void *user, wr_rpc_call *call, const char *method);
    void (*on_message)(void *user, wr_rpc_call *call, wr_span bytes); /* bytes: borrowed */
    void (*on_writable)(void *user, wr_rpc_call *call);               /* streams: the last send has left */
    void (*on_closed)(void *user, wr_rpc_call *call); /* streams: the peer has gone; forget the call */
} wr_rpc_handlers;

typedef struct wr_rpc_server_opts {
    const char *listen; /* "unix:/path" or "host:port"; port 0 = any */
    wr_rpc_credentials credentials;
    wr_rpc_handlers handlers;
} wr_rpc_server_opts;

/* Listens at once. Fails: INVALID; IO (the address is taken); NOT_FOUND, DENIED or IO (a TLS file);
 * NO_MEMORY. */
WR_MUST_USE wr_status wr_rpc_server_open(const wr_rpc_server_opts *opts, wr_rpc_server **out, wr_error *err);
/* Cancels what is open, waits until it has ended (milliseconds), frees. Unanswered unary calls need not be
 * replied to. */
void wr_rpc_server_close(wr_rpc_server *server);
WR_DEFINE_AUTO(wr_rpc_server, wr_rpc_server_close)
int wr_rpc_server_port(const wr_rpc_server *server); /* 0 for a Unix socket */

/* Handles what has come in; waits for the first until `deadline`, takes at most `events_max`. Returns how
 * many. */
uint32_t wr_rpc_server_poll(wr_rpc_server *server, wr_time_ns deadline, uint32_t events_max);
/* From any thread or signal-handling thread: makes poll return soon. Once. */
void wr_rpc_server_interrupt(wr_rpc_server *server);

void wr_rpc_call_set_user(wr_rpc_call *call, void *user);
void *wr_rpc_call_user(const wr_rpc_call *call);
/* Unary: consumes the call. Bytes are copied. */
void wr_rpc_call_reply(wr_rpc_call *call, const void *data, uint32_t bytes);
/* Unary: consumes the call. Stream: ends it; on_closed still comes. */
void wr_rpc_call_fail(wr_rpc_call *call, wr_status status, const char *text);
/* Stream: one write at a time: only when not busy. Bytes are copied. */
bool wr_rpc_call_busy(const wr_rpc_call *call);
void wr_rpc_call_send(wr_rpc_call *call, const void *data, uint32_t bytes);

WR_END_DECLS

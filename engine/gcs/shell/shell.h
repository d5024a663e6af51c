/* engine/gcs/shell/shell.h: what carries the GCS's core: connections, the store, time. No policy.
 *
 * One thread does everything: it drains gRPC's queue, steps the core for each record, commits the log once
 * per batch, and only then lets messages and answers go. So a commit is shared by all that came in
 * together, and nothing needs a lock.
 */
#pragma once

#include "base/map.h"
#include "gcs/core/gcs_core.h"
#include "gcs/shell/store.h"
#include "rpc/server.h"
#include "rpc/session.h"

WR_BEGIN_DECLS

struct gcs_peer;

/* A stream that is open. */
typedef struct gcs_conn {
    struct gcs_conn *next, *previous;
    uint32_t id;
    uint32_t inc; /* who speaks on it; 0: not known yet */
    wr_rpc_call *call;
    struct gcs_peer *peer;
    wr_session outside; /* only as a queue */
} gcs_conn;

/* The session with one live node of this epoch. */
typedef struct gcs_peer {
    struct gcs_peer *next, *previous;
    uint32_t inc;
    gcs_conn *conn; /* NULL: disconnected */
    wr_session session;
} gcs_peer;

/* An answer that waits for the commit. */
typedef struct gcs_answer {
    wr_rpc_call *call;
    uint8_t *data; /* owned */
    uint32_t bytes;
} gcs_answer;

typedef struct gcs_shell {
    wr_gcs_core *core;
    wr_gcs_store *store;
    wr_rpc_server *server;
    wr_gcs_log log;
    wr_outbox out;
    uint64_t epoch, cluster_id, dead_after_ns;
    gcs_conn *conns;
    gcs_peer *peers;
    wr_map conn_index, peer_index; /* id, inc -> pointer */
    uint32_t last_conn;
    gcs_answer *answers;
    uint32_t answer_count, answer_capacity;
    wr_buffer frame;
} gcs_shell;

/* peers.c */
void gcs_shell_on_stream(gcs_shell *shell, wr_rpc_call *call);
void gcs_shell_on_frame(gcs_shell *shell, wr_rpc_call *call, wr_span bytes);
void gcs_shell_on_writable(gcs_shell *shell, wr_rpc_call *call);
void gcs_shell_on_stream_closed(gcs_shell *shell, wr_rpc_call *call);
/* Hands the outbox's messages to their sessions: only those that wait for nothing, or all. */
wr_status gcs_shell_deliver(gcs_shell *shell, bool only_immediate, wr_error *err);
void gcs_shell_ack_all(gcs_shell *shell); /* bare acknowledgements, where one is due */
void gcs_shell_peers_done(gcs_shell *shell);

/* calls.c */
wr_status gcs_shell_on_call(gcs_shell *shell, wr_rpc_call *call, wr_gcs_call which, wr_span bytes,
                            wr_error *err);
void gcs_shell_answer_all(gcs_shell *shell); /* after the commit */
void gcs_shell_answers_done(gcs_shell *shell);

/* rows.c */
wr_status gcs_shell_load(gcs_shell *shell, wr_error *err); /* raises the epoch, makes the core, starts it */
wr_status gcs_shell_write_log(gcs_shell *shell, wr_error *err); /* into the store's open transaction */

WR_END_DECLS

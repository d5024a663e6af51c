/* engine/gcs/shell/shell.h: what carries the GCS's core: connections, the store, time. No policy.
 *
 * One thread does everything: it drains gRPC's queue, steps the core for each record, commits the log once
 * per batch, and only then lets messages and answers go. So a commit is shared by all that came in
 * together, and nothing needs a lock.
 *
 * When the store cannot be written, what was not committed is undone: calls that wrote are refused with the reason, reads go on.
 * The core's records are kept and tried again every 100 ms; whatever waits for them waits on, so nothing is acknowledged that
 * is not stored. Meanwhile new actors are refused, and each write of a call is committed by itself, so that one
 * that does not fit refuses no other.
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
    bool depends; /* made of writes that are not committed yet */
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
    bool written;            /* calls have written since the last commit */
    wr_error failing;        /* why the last commit failed; status OK: it did not */
    wr_time_ns log_retry_at; /* the log is tried again then; 0: it did not fail */
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
/* Instead of the commit: undoes it, and refuses what waited for it. */
void gcs_shell_answers_refuse(gcs_shell *shell, const wr_error *why);
/* Commits what calls have written, and the core's log. Fails as the store does: then all of it is undone, calls are refused,
 * and the log is kept for the next try. */
wr_status gcs_shell_commit(gcs_shell *shell, bool with_log, wr_error *err);

/* rows.c */
wr_status gcs_shell_load(gcs_shell *shell, wr_error *err); /* raises the epoch, makes the core, starts it */
wr_status gcs_shell_write_log(gcs_shell *shell, wr_error *err); /* into the open transaction; keeps the log */

WR_END_DECLS

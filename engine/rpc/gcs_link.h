/* engine/rpc/gcs_link.h: a raylet's (or a tool's) connection to the GCS.
 *
 * A link owns a thread, which drains gRPC and makes all callbacks. It keeps one long-lived stream and
 * reconnects by itself, for ever, with at most 200 ms between attempts (a GCS that was killed is back
 * within a second).
 *
 *   opened --stream up, HELLO(epoch)--> on_connected(epoch, new_epoch = true)
 *   connected --stream lost--> on_lost
 *       --same epoch--> on_connected(new_epoch = false): what was unacknowledged is sent again
 *       --other epoch--> on_connected(new_epoch = true): the session is void
 *
 * L1. Before wr_gcs_link_identify the link carries messages outside of a session (JOIN, WELCOME, NONCE):
 *     they may be lost with the connection; the user repeats JOIN.
 * L2. From identify(inc) on, messages form a session: in order, once (protocol rule S1), also over
 *     reconnections, for as long as the epoch stays the same.
 * L3. After on_connected(new_epoch = true) with an inc known: the queue was dropped; send REREG first, then
 *     every open wish. Messages sent in between reach nobody. (The first REREG follows identify.)
 * L4. Callbacks come on the link's thread, one at a time, and must not block and not call wr_gcs_link_close
 *     nor a blocking function of this header. All functions may be called from any thread, also from
 *     callbacks.
 * L5. Memory: at most queue_bytes_max of messages wait; then send returns LIMIT.
 *
 * Tools (CLI, dashboard, tests) open a link with stream = false and use only the calls.
 */
#pragma once

#include "rpc/credentials.h"
#include "sched/cluster_msg.h"

WR_BEGIN_DECLS

typedef struct wr_gcs_link wr_gcs_link;

typedef struct wr_gcs_link_callbacks {
    void *user; /* borrowed until close returns */
    void (*on_connected)(void *user, uint64_t epoch, uint64_t cluster_id, bool new_epoch);
    /* why: borrowed. status UNAUTHENTICATED or VERSION will not heal by itself; the link goes on trying all
     * the same. */
    void (*on_lost)(void *user, const wr_error *why);
    /* consumes msg (wr_cluster_msg_free), so it may be handed to another thread as it is. HELLO is not
     * passed on. */
    void (*on_message)(void *user, wr_cluster_msg *msg);
} wr_gcs_link_callbacks;

typedef struct wr_gcs_link_opts {
    const char *target; /* "unix:/path" or "host:port" */
    wr_rpc_credentials credentials;
    wr_gcs_link_callbacks callbacks; /* all set when stream */
    bool stream;
    uint64_t queue_bytes_max; /* 0 = 64 MiB */
} wr_gcs_link_opts;

/* Returns at once, connected or not. Fails: INVALID; NOT_FOUND, DENIED or IO (a TLS file); NO_MEMORY. */
WR_MUST_USE wr_status wr_gcs_link_open(const wr_gcs_link_opts *opts, wr_gcs_link **out, wr_error *err);
/* Ends the thread and open calls (their callbacks come, with CANCELLED, before this returns). Accepts NULL.
 * Blocks shortly. */
void wr_gcs_link_close(wr_gcs_link *link);
WR_DEFINE_AUTO(wr_gcs_link, wr_gcs_link_close)

/* inc from WELCOME; the session starts with the next send. */
void wr_gcs_link_identify(wr_gcs_link *link, uint32_t inc);
/* How many frames the GCS has sent so far: while this goes up, it is alive (it acknowledges each heartbeat). */
uint64_t wr_gcs_link_heard(const wr_gcs_link *link);
/* Copies msg. Queued also while the connection is down (within L3). Fails: LIMIT, NO_MEMORY, INVALID
 * (unknown type, or larger than WR_CLUSTER_MSG_BYTES_MAX). Cheap: packs, and starts a write if none is
 * under way. */
WR_MUST_USE wr_status wr_gcs_link_send(wr_gcs_link *link, const wr_cluster_msg *msg, wr_error *err);
/* Sends every item that is for WR_DEST_GCS, in order; as one frame where they fit. The outbox is not
 * changed. */
WR_MUST_USE wr_status wr_gcs_link_send_all(wr_gcs_link *link, const wr_outbox *box, wr_error *err);

/* ---- calls: one question, one answer, by a deadline. They wait for a connection until the deadline. A
 * call that was not answered may have been acted upon; all of them may be repeated. An OK of a put or del
 * means durable. */

typedef enum wr_gcs_call {
    WR_GCS_KV_PUT,       /* in: name_space, key, value, overwrite. out: added (the key was new) */
    WR_GCS_KV_GET,       /* in: name_space, key. out: value; NOT_FOUND */
    WR_GCS_KV_DEL,       /* in: name_space, key (prefix: all keys that begin so). out: count of deleted */
    WR_GCS_KV_EXISTS,    /* in: name_space, key. out: added = it is there */
    WR_GCS_KV_LIST,      /* in: name_space, key = prefix. out: keys */
    WR_GCS_FUNCTION_PUT, /* in: name_space = job (4 bytes), key = function id, value. Never overwrites: equal
                            ids are equal bytes */
    WR_GCS_FUNCTION_GET, /* out: value; NOT_FOUND */
    WR_GCS_NODES,        /* out: nodes, with states */
    WR_GCS_ACTORS,       /* in: key = actor id or empty, limit. out: actors */
    WR_GCS_JOBS,         /* out: jobs */
    WR_GCS_GROUPS,       /* in: key = pg id or empty. out: groups */
    WR_GCS_HEALTH,       /* out: epoch, cluster_id, counts */
    WR_GCS_CALLS
} wr_gcs_call;

typedef struct wr_gcs_request {
    wr_gcs_call call;
    wr_span name_space, key, value; /* borrowed for the call of the function: copied */
    bool overwrite;                 /* KV_PUT */
    bool prefix;                    /* KV_DEL */
    uint32_t limit;                 /* tables: at most so many rows; 0 = 10 000 */
    uint64_t timeout_ns;            /* > 0 */
} wr_gcs_request;

typedef struct wr_gcs_node {
    wr_node_info info;
    uint32_t state;    /* 0 alive, 1 dead, 2 buried */
    wr_span available; /* "name=value" list; as last reported */
    wr_span stats;
    wr_span death; /* why it is dead */
    uint64_t start_us, end_us;
} wr_gcs_node;

/* Everything borrowed from the response's own block. */
typedef struct wr_gcs_response {
    wr_span value;
    bool added;
    uint64_t count;
    const wr_span *keys;
    uint32_t key_count;
    const wr_gcs_node *nodes;
    uint32_t node_count;
    const wr_actor_info *actors;
    uint32_t actor_count;
    const wr_job_info *jobs;
    uint32_t job_count;
    const wr_pg_info *groups;
    uint32_t group_count;
    uint64_t epoch, cluster_id;
} wr_gcs_response;

void wr_gcs_response_free(wr_gcs_response *response); /* accepts NULL */
WR_DEFINE_AUTO(wr_gcs_response, wr_gcs_response_free)

/* On the link's thread. response: owned by the callee (wr_gcs_response_free), NULL unless OK. err:
 * borrowed. */
typedef void (*wr_gcs_call_fn)(void *user, wr_status status, wr_gcs_response *response, const wr_error *err);

/* Fails: INVALID, NO_MEMORY; then done is not called, otherwise exactly once. Statuses in done: OK,
 * NOT_FOUND, INVALID, LIMIT, TIMEOUT (deadline), UNAVAILABLE, UNAUTHENTICATED, VERSION, CANCELLED (close).
 */
WR_MUST_USE wr_status wr_gcs_link_call(wr_gcs_link *link, const wr_gcs_request *request, wr_gcs_call_fn done,
                                       void *user, wr_error *err);
/* Blocks the calling thread until the answer or the deadline. out: owned by the caller. Statuses as above.
 */
WR_MUST_USE wr_status wr_gcs_link_call_wait(wr_gcs_link *link, const wr_gcs_request *request,
                                            wr_gcs_response **out, wr_error *err);

WR_END_DECLS

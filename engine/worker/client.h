/* engine/worker/client.h: the inside of a wr_client, for this folder only. The manual is whipray/whipray.h.
 *
 * W1. `state` decides whether the pool may be touched: each function looks at it first. It leaves LIVE once.
 *
 * W2. Books (all but the fields named "any thread") change under the caller's lock only.
 *
 * W3. A lane holds at most one claim; a stored result is the lane's until it is sealed or discarded.
 */
#pragma once

#include "base/ids.h"
#include "base/map.h"
#include "local/frame.h"
#include "shm/proc.h"
#include "whipray/whipray.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    CLIENT_LIVE = 0,
    CLIENT_DEAD = 1,    /* the raylet hung up, or broke the protocol */
    CLIENT_FORKED = 2,  /* in a child of the process that opened it */
    CLIENT_LEFT = 3,    /* said goodbye */
    CLIENT_NO_POOL = 4, /* a tool: control calls only */

    TASK_LANES = WR_LANE_MAX - 1, /* lanes of tasks; the last one seals the items of streams, one at a time */
    ITEM_LANE = WR_LANE_MAX - 1,
    WINDOW_DEFAULT = 64,
    WINDOW_MAX = 1 << 16,
};

typedef struct lane {
    wr_claim claim;
    wr_result result;
    wr_ref *refs; /* the claim's reference arguments, in one piece */
    uint32_t ref_capacity;
    bool taken;    /* claim is in flight */
    bool stored;   /* result waits for its seal */
    bool again;    /* claimed still, to be run again: an actor's retry */
    uint64_t item; /* of a stream: index of the next item */
} lane;

struct wr_client {
    /* Any thread. */
    wr_pool *pool;
    wr_proc *proc;
    atomic_uint state;
    wr_client_kind kind;
    uint64_t spin_ns;
    wr_frame_conn *conn; /* its user is the thread that set call_busy */
    pthread_mutex_t call_lock;
    pthread_cond_t call_free; /* of CLOCK_MONOTONIC: call_busy was cleared */
    bool call_busy;           /* under call_lock */
    uint64_t next_request;
    wr_record welcome;
    uint8_t *welcome_bytes;
    wr_node_id node;
    uint32_t job;

    /* Books. */
    bool (*on_wait)(void *arg);
    void *on_wait_arg;
    wr_map windows;            /* generator submitted here and not opened yet -> its window; 0: no limit */
    struct wr_stream *fed;     /* streams without a limit whose generator goes on */
    struct wr_stream *closing; /* streams whose producer has still to stop */
    uint32_t blocked_depth;
    wr_activity activity;
    uint32_t assignment_seen, next_calls, lanes_taken;
    lane *lanes[WR_LANE_MAX];
    struct c_functions *c_functions; /* c_functions.c */
};

static inline bool client_live(const wr_client *client) {
    return WR_LIKELY(atomic_load_explicit(&client->state, memory_order_relaxed) == CLIENT_LIVE);
}

/* STATE or RAYLET_DIED of a client that is not live, with the reason; OK of one that is. */
wr_status wr_client_refuse(const wr_client *client, wr_error *err);
/* Looks at the socket (poll, reads nothing); false: hung up, the client is marked dead. Not in hot paths. */
bool wr_client_look(const wr_client *client);
/* After a pool function failed: RAYLET_DIED if that is why it gave up, else `status` as it is. */
wr_status wr_client_explain(wr_client *client, wr_status status, wr_error *err);
/* Each ref is a live object's; those that are not counted here (only lent) are borrowed by whoever pins them.
 * Fails: INVALID (names the ref). */
wr_status wr_client_refs_check(const wr_client *client, const wr_ref *refs, uint32_t count, const char *what,
                               wr_error *err);
/* The text of an error object, for a message that quotes it. */
void wr_client_quote(const wr_client *client, wr_ref error, wr_error *out);
/* Stops the producers of closed streams; needed only while client->closing is not NULL. */
void wr_client_streams_tend(wr_client *client);
/* Gives credits to the producers of streams without a limit; true: some were used up. */
bool wr_client_streams_feed(wr_client *client);
/* End what stream.c, execute.c and c_functions.c hold. */
void wr_client_streams_done(wr_client *client);
void wr_client_lanes_done(wr_client *client);
void wr_client_c_functions_done(wr_client *client);

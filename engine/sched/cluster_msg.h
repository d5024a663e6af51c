/* engine/sched/cluster_msg.h: everything that raylets and the GCS say to each other, as one tagged struct.
 *
 * Cores take and give these; engine/rpc packs them (proto/cluster.proto has a message per type, with the
 * type as its number). The rules behind them are in engine/gcs/README.md: sessions in order and once (S),
 * membership (M), scheduling and tasks (T), actors (A), groups.
 *
 * Ownership: a message BORROWS its spans and arrays from whoever built it, for the call it is passed to.
 * wr_cluster_msg_dup makes one that OWNS all of it in one block (released with wr_cluster_msg_free); an
 * outbox item and a message from wr_cluster_msg_unpack are such blocks. Texts are spans without a final
 * zero. An id of zero bytes, an inc of 0, a count of 0 and an empty span mean "none".
 *
 * M1. A raylet's requests (NEW, KILL, OUTOFSCOPE, JOB_START, JOB_END, PG_CREATE, PG_REMOVE, ENDED) are
 *     wishes: they are sent again to each new GCS epoch until its answer (ACK; JOB_STARTED) came, which
 *     comes only when the effect is durable. All are harmless when repeated.
 * M2. Queries (NAME_GET, NAME_LIST, PG_GET, PG_TABLE_GET) carry a number of the asker's; they are lost with
 *     an epoch.
 * M3. Per session messages arrive in the order of sending, once. START(n) is always before STOP(n), PREPARE
 *     before RELEASE.
 */
#pragma once

#include "base/clock.h"
#include "sched/class.h"
#include "sched/policy.h"

WR_BEGIN_DECLS

enum {
    WR_CLUSTER_VERSION = 1,                    /* in JOIN and HELLO; unequal versions do not talk */
    WR_CLUSTER_MSG_BYTES_MAX = 8 * 1024 * 1024 /* one message, packed */
};
#define WR_START_WAIT_NS                                                                                     \
    (2ull * 1000 * 1000 * 1000)           /* a START that has no room waits this long, then REFUSED */
#define WR_HB_NS (500ull * 1000 * 1000)   /* a raylet says something at least so often */
#define WR_SYNC_NS (100ull * 1000 * 1000) /* and a SYNC on change, at most so often */

/* Numbers are those of the fields in proto/cluster.proto: never reuse one. */
typedef enum wr_cluster_msg_type {
    WR_MSG_NONE = 0,
    /* membership */
    WR_MSG_HELLO = 1,   /* GCS -> raylet: first on every new connection, and to a HB of an old epoch */
    WR_MSG_JOIN = 2,    /* raylet -> GCS, outside of a session, until WELCOME */
    WR_MSG_WELCOME = 3, /* GCS -> raylet */
    WR_MSG_NONCE = 4,   /* GCS -> raylet: that nonce belongs to a dead node; draw a new one and JOIN */
    WR_MSG_YOUDEAD = 5, /* GCS -> raylet: end your workers and exit */
    WR_MSG_HB = 6,      /* raylet -> GCS when it sent nothing else for a heartbeat interval */
    WR_MSG_REREG = 7,   /* raylet -> GCS: first record of each session */
    WR_MSG_NODES = 8,   /* GCS -> raylet: answer to REREG */
    WR_MSG_DEAD = 9,    /* GCS -> raylet */
    WR_MSG_FLUSHED =
        10, /* raylet -> GCS: all I held on the dead node's account stands in its own right (M5) */
    WR_MSG_BURIED = 11, /* GCS -> raylet */
    WR_MSG_LEAVE = 12,  /* raylet -> GCS: I end in good order; declared dead at once */
    /* scheduling */
    WR_MSG_SYNC = 13,
    WR_MSG_GRANT = 14,
    WR_MSG_INFEASIBLE = 15,
    /* raylet <-> raylet */
    WR_MSG_TASK = 16,
    WR_MSG_DONE = 17,
    WR_MSG_RETURN = 18,
    WR_MSG_CANCEL = 19,
    /* actors */
    WR_MSG_NEW = 20,       /* raylet -> GCS; ACK. Also subscribes the sender, as ACTOR_SUB does */
    WR_MSG_START = 21,     /* GCS -> raylet */
    WR_MSG_STARTED = 22,   /* raylet -> GCS */
    WR_MSG_REFUSED = 23,   /* raylet -> GCS: no room; n is over, no restart is used up */
    WR_MSG_ENDED = 24,     /* raylet -> GCS; ACK. Remembered by the host until then (A1) */
    WR_MSG_STOP = 25,      /* GCS -> raylet: end n if you have it; answered with ENDED only where `restart` */
    WR_MSG_ACTOR_SUB = 26, /* raylet -> GCS: answered with ACT now and at each change */
    WR_MSG_ACT = 27,       /* GCS -> raylet: a stored state */
    WR_MSG_KILL = 28,      /* raylet -> GCS; ACK */
    WR_MSG_OUTOFSCOPE = 29, /* raylet -> GCS; ACK */
    WR_MSG_NAME_GET = 30,   /* raylet -> GCS */
    WR_MSG_NAME_IS = 31,    /* GCS -> raylet: answer */
    WR_MSG_NAME_LIST = 32,  /* raylet -> GCS */
    WR_MSG_NAMES = 33,      /* GCS -> raylet: answer */
    /* placement groups */
    WR_MSG_PG_CREATE = 34,    /* raylet -> GCS; ACK, then PG_IS at each change to the creator's node */
    WR_MSG_PG_REMOVE = 35,    /* raylet -> GCS; ACK */
    WR_MSG_PREPARE = 36,      /* GCS -> raylet: reserve */
    WR_MSG_PREPARED = 37,     /* raylet -> GCS: did, or could not (at once, never waits) */
    WR_MSG_COMMIT = 38,       /* GCS -> raylet: may be used from now on */
    WR_MSG_RELEASE = 39,      /* GCS -> raylet: give back; what runs in it ends with PG_REMOVED */
    WR_MSG_PG_GET = 40,       /* raylet -> GCS: by id or name; also subscribes */
    WR_MSG_PG_IS = 41,        /* GCS -> raylet */
    WR_MSG_PG_TABLE_GET = 42, /* raylet -> GCS */
    WR_MSG_PG_TABLE = 43,     /* GCS -> raylet */
    /* jobs */
    WR_MSG_JOB_START = 44,   /* raylet -> GCS; JOB_STARTED */
    WR_MSG_JOB_STARTED = 45, /* GCS -> raylet */
    WR_MSG_JOB_END = 46,     /* raylet -> GCS; ACK */
    WR_MSG_JOBDEAD = 47,     /* GCS -> raylet: cancel by force what you run for it */
    WR_MSG_ACK = 48,         /* GCS -> raylet */
    WR_MSG_TYPES
} wr_cluster_msg_type;

typedef struct wr_nonce {
    uint8_t bytes[16];
} wr_nonce; /* drawn at random by a process, once in its life */

/* ---- membership */

typedef struct wr_node_info {
    uint32_t inc; /* 0 in JOIN */
    bool head;
    uint32_t pid;
    wr_span name; /* what people call it; host name by default */
    wr_span hostname;
    wr_span address; /* "10.0.0.1:6380", or "unix:..." : where other raylets reach it */
    wr_span bulk_address;
    wr_span raylet_socket; /* path of the Unix socket for drivers of this machine */
    wr_span resources;     /* totals, "name=value" list */
    wr_span labels;        /* "key=value" list */
} wr_node_info;

typedef struct wr_msg_hello {
    uint64_t epoch, cluster_id;
    uint32_t version;
} wr_msg_hello;
typedef struct wr_msg_join {
    wr_nonce nonce;
    uint32_t version;
    wr_node_info node;
} wr_msg_join;
typedef struct wr_msg_welcome {
    wr_nonce nonce;
    uint32_t inc;
    uint64_t epoch, cluster_id;
} wr_msg_welcome;
typedef struct wr_msg_nonce {
    wr_nonce nonce;
} wr_msg_nonce;
typedef struct wr_msg_node {
    uint32_t inc;
    wr_span text;
} wr_msg_node; /* YOUDEAD DEAD FLUSHED BURIED LEAVE; text = why */
typedef struct wr_msg_hb {
    uint64_t epoch;
} wr_msg_hb;

typedef struct wr_hosted {
    wr_actor_id actor;
    uint64_t n;
    bool alive; /* STARTED was sent */
    uint32_t pid;
} wr_hosted;
typedef struct wr_ended_actor {
    wr_actor_id actor;
    uint64_t n;
    uint32_t status; /* wr_status: ACTOR_DIED, WORKER_DIED, TASK_FAILED (the constructor), CANCELLED
                        (exit_actor) ... */
    bool final;      /* must not be restarted: exit_actor, failing constructor */
    wr_span text;    /* exit code or signal, last log lines */
} wr_ended_actor;
typedef struct wr_held_bundle {
    wr_pg_id pg;
    uint64_t attempt;
    uint32_t index;
    bool committed;
} wr_held_bundle;
typedef struct wr_msg_rereg {
    wr_node_info node;    /* as in JOIN, inc set */
    const uint32_t *dead; /* all that I know to be dead */
    uint32_t dead_count;
    const wr_ended_actor *ended; /* not yet acknowledged */
    uint32_t ended_count;
    const wr_hosted *hosted;
    uint32_t hosted_count;
    const wr_held_bundle *bundles;
    uint32_t bundle_count;
} wr_msg_rereg;
typedef struct wr_msg_nodes {
    const wr_node_info *live;
    uint32_t live_count;
    const uint32_t *unburied; /* dead, still to be flushed */
    uint32_t unburied_count;
    const uint32_t *dead; /* dead and buried */
    uint32_t dead_count;
} wr_msg_nodes;

/* ---- scheduling */

typedef struct wr_demand {
    wr_span cls;      /* class key */
    uint32_t prefer;  /* locality: inc, 0 = none */
    uint32_t waiting; /* absolute */
} wr_demand;
typedef struct wr_grant_use {
    uint64_t grant;
    uint32_t count;
} wr_grant_use;
typedef struct wr_msg_sync {
    wr_span available; /* "name=value" list: what is neither taken nor reserved now */
    uint64_t
        placed_seen; /* how many START and PREPARE I received in this session; later ones are still debited */
    const wr_demand *demand;
    uint32_t demand_count;
    const wr_grant_use *used; /* grants answered: how many of m were used */
    uint32_t used_count;
    const wr_grant_use *received; /* tasks received, per grant, since the last SYNC */
    uint32_t received_count;
    wr_span stats; /* "name=value" list for people (pool bytes, workers); not looked at */
} wr_msg_sync;
typedef struct wr_msg_grant {
    uint64_t grant;
    wr_span cls;
    uint32_t node;
    wr_span address; /* of that node */
    uint32_t count;
} wr_msg_grant;
typedef struct wr_msg_infeasible {
    wr_span cls;
    wr_actor_id actor; /* none: it is about tasks */
    bool final;        /* never: hard affinity to a dead node, a removed group. Else: a node may still come */
    uint32_t nearest;
    wr_span text; /* "needs GPU=4, the nearest node has 2" */
} wr_msg_infeasible;

/* ---- tasks between raylets */

typedef struct wr_task_arg {
    bool is_ref;
    wr_object_id object; /* is_ref */
    uint32_t hint;       /* is_ref: a node that has the bytes; 0 = ask the owner */
    wr_span value;       /* not is_ref */
} wr_task_arg;
typedef struct wr_msg_task {
    wr_task_id task;
    uint32_t attempt;
    uint32_t results; /* how many return values */
    uint64_t grant;   /* 0 for actor calls */
    wr_span cls;
    wr_span function;  /* id of the function, or name of the method */
    wr_span options;   /* opaque to the scheduler */
    wr_actor_id actor; /* calls only */
    uint64_t n, seq;   /* calls only: placement, and place in the caller node's order */
    bool rebuild;      /* calls only: stands in no order (A6) */
    const wr_task_arg *args;
    uint32_t arg_count;
} wr_msg_task;
typedef struct wr_done_result {
    uint32_t index;
    bool error;      /* value is a packed error */
    bool bytes_here; /* value is empty: the bytes lie at the sender */
    uint64_t size;
    wr_span value;
} wr_done_result;
typedef struct wr_msg_done {
    wr_task_id task;
    uint32_t attempt;
    uint32_t
        status; /* wr_status of the system: OK, WORKER_DIED, CANCELLED, NODE_DIED, STATE (not here) ... */
    bool started;
    wr_span text;
    const wr_done_result *results;
    uint32_t result_count;
    const wr_object_id *kept; /* argument references still held here (R5, R6) */
    uint32_t kept_count;
} wr_msg_done;
typedef struct wr_msg_return {
    wr_task_id task;
    uint32_t attempt;
} wr_msg_return;
typedef struct wr_msg_cancel {
    wr_task_id task;
    uint32_t attempt;
    bool force;
} wr_msg_cancel;

/* ---- actors */

/* PENDING -room-> STARTING -STARTED-> ALIVE; REFUSED: PENDING; ENDED or DEAD node: RESTARTING (placed like
 * PENDING) while restarts are left, else DEAD. DEAD is for ever. RESTARTING -room-> STARTING, shown to
 * callers as RESTARTING. */
typedef enum wr_actor_state {
    WR_ACTOR_PENDING,
    WR_ACTOR_STARTING,
    WR_ACTOR_ALIVE,
    WR_ACTOR_RESTARTING,
    WR_ACTOR_DEAD
} wr_actor_state;
const char *wr_actor_state_text(uint32_t state); /* "ALIVE"; "?" outside the enum */

typedef struct wr_actor_spec {
    wr_actor_id actor;
    uint32_t job;
    uint32_t creator; /* inc of the node that made it; not detached: dies with that node */
    bool detached;
    int32_t max_restarts; /* -1 = endless */
    wr_span class_name;
    wr_span name;       /* "" = none */
    wr_span name_space; /* "" only where name is "" */
    wr_span cls;        /* class key */
    wr_span spec;       /* opaque: constructor's function, arguments, options, method table */
} wr_actor_spec;

typedef struct wr_actor_info {
    wr_actor_spec spec;
    uint32_t state;            /* wr_actor_state */
    uint64_t n;                /* placement; raised at every choice of a node */
    uint32_t restarts;         /* used */
    uint32_t node;             /* inc; 0 when PENDING, RESTARTING */
    uint32_t pid;              /* 0 before ALIVE */
    uint32_t status;           /* wr_status; DEAD: why */
    wr_span text;              /* DEAD: why, for people; PENDING: why it waits */
    uint64_t start_us, end_us; /* wall clock; 0 = not yet */
} wr_actor_info;

typedef struct wr_msg_new {
    wr_actor_spec spec;
} wr_msg_new;
typedef struct wr_msg_start {
    uint64_t n;
    uint32_t restarts;
    wr_actor_spec spec;
} wr_msg_start;
typedef struct wr_msg_started {
    wr_actor_id actor;
    uint64_t n;
    uint32_t pid;
} wr_msg_started;
typedef struct wr_msg_refused {
    wr_actor_id actor;
    uint64_t n;
    wr_span text;
} wr_msg_refused;
typedef struct wr_msg_ended {
    wr_ended_actor actor;
} wr_msg_ended;
typedef struct wr_msg_stop {
    wr_actor_id actor;
    uint64_t n;
    bool restart;
    uint32_t status;
    wr_span text;
} wr_msg_stop;
typedef struct wr_msg_actor {
    wr_actor_id actor;
} wr_msg_actor; /* ACTOR_SUB OUTOFSCOPE */
typedef struct wr_msg_act {
    wr_actor_id actor;
    uint64_t n;
    uint32_t state; /* wr_actor_state */
    uint32_t restarts;
    uint32_t node;   /* where callers reach it */
    wr_span address; /* of that node */
    uint32_t status;
    wr_span text;
} wr_msg_act;
typedef struct wr_msg_kill {
    wr_actor_id actor;
    bool no_restart;
    wr_span text;
} wr_msg_kill;
typedef struct wr_msg_name_get {
    uint64_t query;
    wr_span name_space, name;
} wr_msg_name_get;
typedef struct wr_msg_name_is {
    uint64_t query;
    bool found;
    wr_actor_info actor;
} wr_msg_name_is;
typedef struct wr_msg_name_list {
    uint64_t query;
    bool all;
    wr_span name_space;
} wr_msg_name_list;
typedef struct wr_named {
    wr_span name_space, name;
    wr_actor_id actor;
} wr_named;
typedef struct wr_msg_names {
    uint64_t query;
    const wr_named *names;
    uint32_t count;
} wr_msg_names;

/* ---- placement groups */

typedef enum wr_pg_state { WR_PG_PENDING, WR_PG_CREATED, WR_PG_RESCHEDULING, WR_PG_REMOVED } wr_pg_state;
const char *wr_pg_state_text(uint32_t state); /* "CREATED"; "?" outside the enum */

typedef struct wr_bundle_info {
    wr_span resources; /* "name=value" list */
    uint32_t node;     /* inc; 0 while not CREATED */
} wr_bundle_info;
typedef struct wr_pg_info {
    wr_pg_id pg;
    uint32_t job;
    wr_actor_id owner; /* actor whose death removes it; none: the job's end does */
    bool detached;
    uint32_t strategy; /* wr_pg_strategy */
    uint32_t state;    /* wr_pg_state */
    uint64_t attempt;  /* CREATED: the one that was committed */
    wr_span name;
    wr_span text; /* why it waits */
    const wr_bundle_info *bundles;
    uint32_t bundle_count;
} wr_pg_info;

typedef struct wr_msg_pg_create {
    wr_pg_info pg;
} wr_msg_pg_create; /* state, attempt, text, nodes: not looked at */
typedef struct wr_msg_pg {
    wr_pg_id pg;
} wr_msg_pg;                   /* PG_REMOVE */
typedef struct wr_msg_bundle { /* PREPARE PREPARED COMMIT RELEASE */
    wr_pg_id pg;
    uint64_t attempt;
    uint32_t index;
    bool ok;           /* PREPARED */
    uint32_t job;      /* PREPARE */
    wr_span resources; /* PREPARE */
} wr_msg_bundle;
typedef struct wr_msg_pg_get {
    uint64_t query;
    wr_pg_id pg;
    wr_span name;
} wr_msg_pg_get; /* name where pg is none */
typedef struct wr_msg_pg_is {
    uint64_t query; /* 0: a change */
    bool found;
    wr_pg_info pg;
} wr_msg_pg_is;
typedef struct wr_msg_pg_table {
    uint64_t query;
    const wr_pg_info *groups;
    uint32_t count;
} wr_msg_pg_table;
typedef struct wr_msg_query {
    uint64_t query;
} wr_msg_query; /* PG_TABLE_GET */

/* ---- jobs */

typedef enum wr_job_state { WR_JOB_RUNNING, WR_JOB_FINISHED, WR_JOB_FAILED } wr_job_state;
typedef struct wr_job_info {
    uint32_t job;
    uint32_t state; /* wr_job_state */
    uint32_t node;  /* where its driver is */
    uint32_t driver_pid;
    wr_span name_space;
    wr_span entrypoint; /* command line, for people */
    wr_span metadata;   /* opaque */
    uint64_t start_us, end_us;
    wr_span text; /* why it ended */
} wr_job_info;
typedef struct wr_msg_job_start {
    wr_nonce nonce;
    wr_job_info job;
} wr_msg_job_start; /* job, state: not looked at */
typedef struct wr_msg_job_started {
    wr_nonce nonce;
    uint32_t job;
} wr_msg_job_started;
typedef struct wr_msg_job {
    uint32_t job;
    bool failed;
    wr_span text;
} wr_msg_job; /* JOB_END JOBDEAD */

/* Answer to a wish; sent when its effect is durable. `of` names the wish, the id that is set names its
 * object. */
typedef struct wr_msg_ack {
    uint32_t of; /* wr_cluster_msg_type: NEW KILL OUTOFSCOPE ENDED PG_CREATE PG_REMOVE JOB_END */
    wr_actor_id actor;
    wr_pg_id pg;
    uint32_t job;
    uint64_t n;        /* ENDED */
    uint32_t status;   /* wr_status. NEW: OK, EXISTS (name taken; `other` has it), STATE (its job has ended),
                          INVALID */
    wr_actor_id other; /* NEW with EXISTS */
    wr_span text;
} wr_msg_ack;

typedef struct wr_cluster_msg {
    uint32_t type; /* wr_cluster_msg_type */
    union {
        wr_msg_hello hello;
        wr_msg_join join;
        wr_msg_welcome welcome;
        wr_msg_nonce nonce;
        wr_msg_node node; /* YOUDEAD DEAD FLUSHED BURIED LEAVE */
        wr_msg_hb hb;
        wr_msg_rereg rereg;
        wr_msg_nodes nodes;
        wr_msg_sync sync;
        wr_msg_grant grant;
        wr_msg_infeasible infeasible;
        wr_msg_task task;
        wr_msg_done done;
        wr_msg_return returned;
        wr_msg_cancel cancel;
        wr_msg_new new_actor;
        wr_msg_start start;
        wr_msg_started started;
        wr_msg_refused refused;
        wr_msg_ended ended;
        wr_msg_stop stop;
        wr_msg_actor actor; /* ACTOR_SUB OUTOFSCOPE */
        wr_msg_act act;
        wr_msg_kill kill;
        wr_msg_name_get name_get;
        wr_msg_name_is name_is;
        wr_msg_name_list name_list;
        wr_msg_names names;
        wr_msg_pg_create pg_create;
        wr_msg_pg pg;         /* PG_REMOVE */
        wr_msg_bundle bundle; /* PREPARE PREPARED COMMIT RELEASE */
        wr_msg_pg_get pg_get;
        wr_msg_pg_is pg_is;
        wr_msg_query query; /* PG_TABLE_GET */
        wr_msg_pg_table pg_table;
        wr_msg_job_start job_start;
        wr_msg_job_started job_started;
        wr_msg_job job; /* JOB_END JOBDEAD */
        wr_msg_ack ack;
    } u;
} wr_cluster_msg;

const char *wr_cluster_msg_name(uint32_t type); /* "REREG"; "?" for none */

/* Deep copy into one block. Fails: NO_MEMORY, INVALID (unknown type). */
WR_MUST_USE wr_status wr_cluster_msg_dup(const wr_cluster_msg *msg, wr_cluster_msg **out, wr_error *err);
void wr_cluster_msg_free(wr_cluster_msg *msg); /* only what dup or unpack made; accepts NULL */
WR_DEFINE_AUTO(wr_cluster_msg, wr_cluster_msg_free)
bool wr_cluster_msg_equal(const wr_cluster_msg *a, const wr_cluster_msg *b); /* by content; for tests */

/* What a core wants sent. Destinations: an incarnation, WR_DEST_GCS, or a connection of the GCS's shell
 * (who JOINs has no incarnation yet). */
#define WR_DEST_GCS 0ull
#define WR_DEST_CONN(connection) (1ull << 63 | (connection)) /* connection < 2^32 */

typedef struct wr_outbox_item {
    uint64_t dest;
    uint64_t after; /* GCS: number of the log record that must be durable before it may leave; 0 = at once */
    wr_cluster_msg *msg; /* owned by the outbox */
} wr_outbox_item;

typedef struct wr_outbox {
    wr_outbox_item *items; /* in the order of sending */
    uint32_t count, capacity;
    bool failed; /* a push had no memory; the shell must stop: a message is missing */
} wr_outbox;     /* zeroed is a valid empty outbox */

/* Copies msg. */
void wr_outbox_push(wr_outbox *box, uint64_t dest, const wr_cluster_msg *msg);
void wr_outbox_push_after(wr_outbox *box, uint64_t dest, uint64_t after, const wr_cluster_msg *msg);
void wr_outbox_clear(wr_outbox *box); /* frees all messages, keeps the array */
void wr_outbox_done(wr_outbox *box);

WR_END_DECLS

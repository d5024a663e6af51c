/* engine/raylet/core/core.h: the node manager as a pure state machine: no I/O, no clock, no threads, no random numbers.
 *
 * Facts and requests come in as calls with the time; what shall be done comes out as commands (in order) and as
 * messages
 * to the GCS and other raylets. Its shell is engine/raylet/shell; the simulator and the unit tests are others.
 *
 * N1. What is assigned is what is taken: `available` = total - what assigned workers, actors and bundles hold +
 * CPUs lent
 *     back by blocked workers. It is negative only while workers that were blocked run again.
 * N2. A worker changes its class only after it said itself, between two tasks, that it is free ("assignment").
 * N3. A class with endless work starves nobody: whoever waits gets a worker back after WR_CORE_SLICE_NS.
 * N4. A worker that was started with devices is never used with others: it ends when it is not needed.
 * N5. Wishes to the GCS are kept until acknowledged and repeated to each new epoch.
 * N6. The tables of a job are empty once its driver and its last worker are gone.
 * N7. A class is forgotten before its job ends only if no task names it: it has no worker and its group was removed, or
 *     nothing was queued, and the pool says that no cell in use has its port.
 *
 * Ownership: all arguments are borrowed for the call. Commands and messages are owned by the core until the next
 * wr_raylet_core_clear. Cost: a call is O(what it changes) plus one scheduling pass, O(classes + workers).
 */
#pragma once

#include "sched/cluster_msg.h"
#include "shm/keeper.h"

WR_BEGIN_DECLS

#define WR_CORE_SLICE_NS (20ull * 1000 * 1000)        /* a worker is not recalled from busy work before */
#define WR_CORE_IDLE_END_NS (1000ull * 1000 * 1000)   /* idle workers beyond num_cpus end after */
#define WR_CORE_DRAIN_NS (30ull * 1000 * 1000 * 1000) /* an actor out of scope is killed after */
#define WR_CORE_START_NS                                                                                     \
    (60ull * 1000 * 1000 * 1000)                 /* a worker that has not said hello by then is given up */
#define WR_CORE_RETURN_NS (400ull * 1000 * 1000) /* foreign tasks without room go back after (T3) */
#define WR_CORE_QUERY_NS (20ull * 1000 * 1000 * 1000) /* a question to the GCS fails after */
/* Room is kept free for who waits longest, but only for the first part of each period: what runs may itself wait
 * for what
 * would have to wait behind. */
#define WR_CORE_KEEP_NS (2000ull * 1000 * 1000)
#define WR_CORE_KEEP_PERIOD_NS (10ull * 1000 * 1000 * 1000)
enum {
    WR_CORE_SPAWN_FAILURES_MAX = 3,
    WR_CORE_NONE = 0xffffffffu,
    WR_CORE_WORKERS_MAX = 1000,
    WR_CORE_FAILED_CLASSES_MAX = 64, /* classes of removed groups that keep their ports */
    WR_CORE_REMOVED_GROUPS_MAX =
        1000 /* removed groups that the table still shows, the newest; as many as the GCS's */
};

typedef struct wr_raylet_core wr_raylet_core;

typedef struct wr_raylet_core_opts {
    wr_node_info node; /* inc 0; resources, labels as texts; copied */
    wr_nonce nonce;
    uint32_t num_cpus;   /* idle workers that are kept; of the pool, not of the resources */
    uint32_t prestart;   /* workers started for a job before it asks */
    wr_time_ns start_ns; /* from SPAWN to hello; 0: WR_CORE_START_NS */
} wr_raylet_core_opts;

WR_MUST_USE wr_status wr_raylet_core_new(const wr_raylet_core_opts *opts, wr_raylet_core **out,
                                         wr_error *err);
void wr_raylet_core_free(wr_raylet_core *core);
WR_DEFINE_AUTO(wr_raylet_core, wr_raylet_core_free)
wr_res_names *wr_raylet_core_names(wr_raylet_core *core); /* lent: for building classes */

/* ---- What the shell shall do ---- */

typedef enum wr_core_cmd_type {
    WR_CMD_ASSIGN = 1, /* slot, word */
    WR_CMD_TAKERS,     /* port, count, flag = hungry */
    WR_CMD_PORT_STATE, /* port, word = wr_port_state */
    WR_CMD_PORT_FAIL, /* port, status, text, flag: by the removal of its job (nobody reads it); handle: an actor's
                          constructor, which ends with it; 0: none */
    WR_CMD_PORT_CLOSE, /* port */
    WR_CMD_REWIND,     /* port */
    WR_CMD_SLOT_DEAD, /* slot, worker (or NONE), job; status, text: what tasks without retries get; flag: its calls wait
                         for a restart */
    WR_CMD_SPAWN, /* worker */
    WR_CMD_KILL, /* worker: SIGKILL to its process; flag: its time to start is over, so that who should have made it
                      hangs if there is none */
    WR_CMD_FORGET, /* worker: nobody asks for it any more */
    WR_CMD_HOLD,   /* handle */
    WR_CMD_DROP,   /* handle */
    WR_CMD_WATCH,  /* handle, tag */
    WR_CMD_REPLY, /* ticket, status, text, worker = index of the actor or group, if the answer is about one */
    WR_CMD_NAMES, /* ticket, msg: answer to a list of names (WR_MSG_NAMES) */
    WR_CMD_JOB_STARTED, /* ticket, job */
    WR_CMD_JOB_GONE,    /* job: no worker is left, forget its configuration */
    WR_CMD_PG_READY,    /* handle: seal it; status, text: as an error */
    WR_CMD_PG_FORGET,   /* handle: the cell is not needed any more */
    WR_CMD_IDENTIFY,    /* word = incarnation, tag = cluster id */
    WR_CMD_DRAW_NONCE,  /* call wr_raylet_core_nonce */
    WR_CMD_END,         /* status, text: this node is over */
    WR_CMD_TAKE, /* port, count, node, tag = grant: claim tasks for another node, then call wr_raylet_core_taken */
    WR_CMD_PUT_BACK, /* handle, flag = one attempt was used: a task taken for another node is queued here again */
    WR_CMD_SEAL,     /* handle, msg: WR_MSG_DONE of a task that ran elsewhere */
    WR_CMD_RUN,      /* node, msg: WR_MSG_TASK of another node: submit it, then call wr_raylet_core_foreign */
    WR_CMD_UNRUN, /* handle: take it back if it has not begun, then call wr_raylet_core_foreign_end */
} wr_core_cmd_type;

typedef struct wr_core_cmd {
    wr_core_cmd_type type;
    bool flag;
    uint16_t port;
    uint32_t slot, word, worker, count, node, job;
    uint64_t handle, ticket, tag;
    wr_status status;
    const char *text;          /* lent; never NULL */
    const wr_cluster_msg *msg; /* lent; may be NULL */
} wr_core_cmd;

const wr_core_cmd *wr_raylet_core_cmds(const wr_raylet_core *core, uint32_t *out_count);
const wr_outbox *wr_raylet_core_outbox(const wr_raylet_core *core); /* dest WR_DEST_GCS or an incarnation */
void wr_raylet_core_clear(wr_raylet_core *core);                    /* both are done */

/* ---- Time and the GCS ---- */
/* Schedules, ends what idles, repeats what waits. Call when wr_raylet_core_next says so, and after facts. */
void wr_raylet_core_tick(wr_raylet_core *core, wr_time_ns now);
wr_time_ns wr_raylet_core_next(const wr_raylet_core *core); /* of the next tick that would do something */
void wr_raylet_core_nonce(wr_raylet_core *core, const wr_nonce *nonce);
void wr_raylet_core_connected(wr_raylet_core *core, wr_time_ns now, uint64_t epoch, uint64_t cluster_id,
                              bool new_epoch);
void wr_raylet_core_lost(wr_raylet_core *core, wr_time_ns now);
/* from: WR_DEST_GCS or an incarnation. */
void wr_raylet_core_message(wr_raylet_core *core, wr_time_ns now, uint64_t from, const wr_cluster_msg *msg);
void wr_raylet_core_stats(wr_raylet_core *core, const char *text /* "name=value" list for SYNC */);
void wr_raylet_core_leave(wr_raylet_core *core, const char *why);
uint32_t wr_raylet_core_inc(const wr_raylet_core *core); /* 0: not joined */
bool wr_raylet_core_online(const wr_raylet_core *core);  /* the GCS is there */
/* Texts of the node's vectors. reclaimable: what idle workers hold counts as available. */
void wr_raylet_core_resources(const wr_raylet_core *core, char *out_total, char *out_available, size_t size);

/* ---- Jobs ---- */
/* Asks the GCS for a job number: WR_CMD_JOB_STARTED with the ticket. nonce: fresh. */
WR_MUST_USE wr_status wr_raylet_core_job_start(wr_raylet_core *core, wr_time_ns now, uint64_t ticket,
                                               const wr_nonce *nonce, const wr_job_info *job,
                                               wr_language language, uint64_t env_hash /* its own */,
                                               uint32_t driver_slot, wr_error *err);
/* The driver is gone (kernel fact or bye): its workers end, its actors that are not detached, its groups. */
void wr_raylet_core_job_end(wr_raylet_core *core, wr_time_ns now, uint32_t job, bool failed,
                            const char *text);
/* The same before the number came: by ticket. */
void wr_raylet_core_job_abandon(wr_raylet_core *core, uint64_t ticket);

/* ---- Classes ---- */
/* The port of a class that is open; WR_PORT_NONE: none yet, open one and add it. */
uint16_t wr_raylet_core_class_find(const wr_raylet_core *core, const wr_class *cls);
/* Fails: NOT_FOUND (placement group), INVALID (bundle index, fits no bundle), UNSCHEDULABLE (hard affinity to a
 * node that is
 * not there), NO_MEMORY, LIMIT. */
WR_MUST_USE wr_status wr_raylet_core_class_check(wr_raylet_core *core, const wr_class *cls, wr_error *err);
WR_MUST_USE wr_status wr_raylet_core_class_add(wr_raylet_core *core, wr_time_ns now, const wr_class *cls,
                                               uint16_t port, wr_error *err);
/* false: it can never run as things stand; out_why says why. */
bool wr_raylet_core_class_feasible(wr_raylet_core *core, const wr_class *cls, char *out_why, size_t size);
/* Facts of the pool, before a tick. Iterate: ports of all classes; workers that are assigned to classes. */
bool wr_raylet_core_class_next(const wr_raylet_core *core, uint32_t *cursor, uint16_t *out_port);
void wr_raylet_core_class_fact(wr_raylet_core *core, wr_time_ns now, uint16_t port, const wr_port_info *info);

/* Ports of classes without a worker that could be closed (N7), at most `max`, the longest unused first: those whose placement group
 * was removed, once there are WR_CORE_FAILED_CLASSES_MAX of them; if ports or rings are scarce, all of these, and those
 * that had nothing queued, no worker and no opening for `since`. Whether a task still names one, only the pool knows: who
 * closes one says so. O(classes * max). */
uint32_t wr_raylet_core_class_unused(const wr_raylet_core *core, wr_time_ns now, bool scarce,
                                     wr_time_ns since, uint16_t *out, uint32_t max);
void wr_raylet_core_class_closed(wr_raylet_core *core,
                                 uint16_t port); /* its port is closed: it is forgotten */
void wr_raylet_core_class_used(wr_raylet_core *core, wr_time_ns now, uint16_t port); /* a client opened it */

typedef struct wr_core_class_info {
    uint16_t port;
    const wr_class *cls;       /* lent until the core changes */
    uint64_t queued, reserved; /* of those that wait: in the rings; behind what workers run, to be stolen */
    uint32_t workers;
    bool waits; /* more could run if there were room */
    char why[256];
} wr_core_class_info;
bool wr_raylet_core_class_info(wr_raylet_core *core, uint32_t *cursor, wr_core_class_info *out);

/* ---- Workers ---- */
typedef enum wr_core_worker_state {
    WR_CW_STARTING,
    WR_CW_IDLE,
    WR_CW_CLASS,
    WR_CW_ACTOR,
    WR_CW_ENDING
} wr_core_worker_state;
typedef struct wr_core_worker_info {
    wr_core_worker_state state;
    uint32_t slot, job;
    int pid;
    uint64_t env_hash;
    wr_language language;
    bool blocked;
    bool idle;         /* of a class, and between two tasks when last looked at */
    wr_gpu_share gpus; /* it must be started with */
    uint32_t threads;  /* CPUs of what it is started for, at least 1 */
    uint32_t actor;    /* index, WR_CORE_NONE */
    uint16_t port;     /* of the class, or WR_PORT_NONE */
} wr_core_worker_info;
/* false: no such worker. */
bool wr_raylet_core_worker_info(const wr_raylet_core *core, uint32_t worker, wr_core_worker_info *out);
/* Iterates over all workers. */
bool wr_raylet_core_worker_next(const wr_raylet_core *core, uint32_t *cursor, uint32_t *out_worker);
void wr_raylet_core_worker_fact(wr_raylet_core *core, wr_time_ns now, uint32_t worker,
                                const wr_slot_info *info);
/* A worker that was spawned said hello. */
void wr_raylet_core_worker_hello(wr_raylet_core *core, wr_time_ns now, uint32_t worker, uint32_t slot,
                                 int pid);
/* It could not be started. */
void wr_raylet_core_worker_failed(wr_raylet_core *core, wr_time_ns now, uint32_t worker, const char *text);
/* It said that it ends by itself; a failure it is not, when intended. */
void wr_raylet_core_worker_bye(wr_raylet_core *core, uint32_t worker, bool intended, const char *reason);
/* Its process has exited. text: signal or status, last lines of its log. */
void wr_raylet_core_worker_dead(wr_raylet_core *core, wr_time_ns now, uint32_t worker, const char *text);

typedef struct wr_core_assignment {
    enum { WR_ASSIGNED_NONE, WR_ASSIGNED_CLASS, WR_ASSIGNED_ACTOR, WR_ASSIGNED_EXIT } kind;
    uint16_t port;
    uint32_t
        word; /* the assignment word that this answers: the last one written, perhaps by this very question */
    uint32_t actor; /* index */
    wr_gpu_share gpus;
    const wr_res *resources; /* lent until the core changes */
    wr_pg_id pg;
    int32_t bundle;
    bool capture;
} wr_core_assignment;
/* The worker is between two tasks and asks what it shall do. */
void wr_raylet_core_assignment(wr_raylet_core *core, wr_time_ns now, uint32_t worker,
                               wr_core_assignment *out);
/* Kills the worker; the task it runs ends with `status`, `text`. */
void wr_raylet_core_worker_kill(wr_raylet_core *core, uint32_t worker, wr_status status, const char *text);

/* ---- Actors ---- */
typedef struct wr_core_actor_spec {
    uint16_t port;
    uint64_t handle, ctor;
    uint32_t function;
    wr_class cls; /* resources = held for life, place = to be placed */
    wr_actor_id id;
    bool detached, get_if_exists, asyncio;
    int32_t max_restarts, max_task_retries, max_concurrency;
    const char *class_name, *name, *name_space; /* name "" = none */
    wr_span groups, meta;
} wr_core_actor_spec;
/* Named: the answer comes by WR_CMD_REPLY (worker = the actor, flag = it existed before), unless an error comes at
 * once.
 * Unnamed: the actor is there at once (*out_actor). While the GCS is away a named one waits, up to
 * WR_CORE_QUERY_NS (then the
 * answer is UNAVAILABLE). Fails: INVALID, NO_MEMORY, and what class_check says. */
WR_MUST_USE wr_status wr_raylet_core_actor_create(wr_raylet_core *core, wr_time_ns now, uint64_t ticket,
                                                  const wr_core_actor_spec *spec, uint32_t *out_actor,
                                                  wr_error *err);
typedef struct wr_core_actor_info {
    uint32_t index;
    const wr_core_actor_spec *spec; /* lent until the core changes */
    uint32_t state;                 /* wr_actor_state */
    uint32_t restarts, worker;
    int pid;
    bool ready;
    bool room;        /* what it needs is free here now, or it has it */
    uint32_t status;  /* DEAD: why */
    const char *text; /* lent */
} wr_core_actor_info;
bool wr_raylet_core_actor_info(const wr_raylet_core *core, uint32_t actor, wr_core_actor_info *out);
uint32_t wr_raylet_core_actor_of_port(const wr_raylet_core *core, uint16_t port); /* WR_CORE_NONE */
bool wr_raylet_core_actor_next(const wr_raylet_core *core, uint32_t *cursor, uint32_t *out_actor);
/* WR_CMD_REPLY with the actor; NOT_FOUND; UNAVAILABLE after WR_CORE_QUERY_NS without the GCS. Fails: UNAVAILABLE
 * (ending). */
WR_MUST_USE wr_status wr_raylet_core_actor_find(wr_raylet_core *core, wr_time_ns now, uint64_t ticket,
                                                const char *name_space, const char *name, wr_error *err);
WR_MUST_USE wr_status wr_raylet_core_actor_list(wr_raylet_core *core, wr_time_ns now, uint64_t ticket,
                                                bool all, const char *name_space, wr_error *err);
/* Fails: NOT_FOUND. */
WR_MUST_USE wr_status wr_raylet_core_actor_kill(wr_raylet_core *core, wr_time_ns now, uint32_t actor,
                                                bool no_restart, wr_error *err);
/* The constructor has run. */
void wr_raylet_core_actor_ready(wr_raylet_core *core, wr_time_ns now, uint32_t worker, bool ok,
                                const char *text);
/* The keeper says that nobody holds the handle (tag of WR_CMD_WATCH). */
void wr_raylet_core_unheld(wr_raylet_core *core, wr_time_ns now, uint64_t tag);
/* An actor out of scope is drained: nothing queued, nothing runs. Facts for actors that wr_raylet_core_draining
 * names. */
bool wr_raylet_core_draining(const wr_raylet_core *core, uint32_t *cursor, uint32_t *out_actor);
void wr_raylet_core_drained(wr_raylet_core *core, wr_time_ns now, uint32_t actor);
/* A client closed the connection of a ticket: no reply is wanted. */
void wr_raylet_core_ticket_gone(wr_raylet_core *core, uint64_t ticket_from, uint64_t ticket_to);

/* ---- Placement groups ---- */
typedef struct wr_core_group_info {
    uint32_t index;
    wr_pg_id id;
    uint32_t job, strategy, state; /* wr_pg_state */
    bool detached;
    const char *name, *text; /* lent */
    uint64_t ready;          /* handle */
    uint32_t bundle_count;
    const wr_res *bundles; /* lent */
    const uint32_t *nodes; /* lent */
} wr_core_group_info;
typedef struct wr_core_group_spec {
    uint32_t job;
    wr_actor_id owner;
    bool detached;
    wr_pg_strategy strategy;
    const char *name;
    const wr_res *bundles;
    uint32_t bundle_count;
    uint64_t ready; /* handle of a cell of the raylet, sealed by WR_CMD_PG_READY */
} wr_core_group_spec;
/* Fails: EXISTS (name), NO_MEMORY. */
WR_MUST_USE wr_status wr_raylet_core_group_create(wr_raylet_core *core, wr_time_ns now,
                                                  const wr_core_group_spec *spec, wr_pg_id *out,
                                                  wr_error *err);
void wr_raylet_core_group_remove(wr_raylet_core *core, wr_time_ns now, const wr_pg_id *id); /* idempotent */
bool wr_raylet_core_group_info(const wr_raylet_core *core, uint32_t index, wr_core_group_info *out);
bool wr_raylet_core_group_next(const wr_raylet_core *core, uint32_t *cursor, uint32_t *out_index);
uint32_t wr_raylet_core_group_find(const wr_raylet_core *core, const wr_pg_id *id,
                                   const char *name); /* WR_CORE_NONE */

/* ---- Tasks between nodes ---- */
typedef struct wr_core_taken {
    wr_task_id id;
    uint64_t handle;
    uint32_t attempt, max_retries, results;
    wr_span function, options;
    const wr_task_arg *args;
    uint32_t arg_count;
} wr_core_taken;
/* Answer to WR_CMD_TAKE: these were claimed (may be none). */
void wr_raylet_core_taken(wr_raylet_core *core, wr_time_ns now, uint16_t port, uint32_t node, uint64_t grant,
                          const wr_core_taken *tasks, uint32_t count);
/* Answer to WR_CMD_RUN: the task is queued here as `handle` (0: could not be, `done` says why). */
void wr_raylet_core_foreign(wr_raylet_core *core, wr_time_ns now, const wr_task_id *id, uint64_t handle);
/* A foreign task ended (done: all but id and attempt is taken from it), or NULL: it was taken back unbegun. */
void wr_raylet_core_foreign_end(wr_raylet_core *core, wr_time_ns now, uint64_t handle,
                                const wr_msg_done *done);

typedef struct wr_core_counts {
    uint32_t jobs, classes, workers, workers_idle, workers_starting, actors, groups, bundles, wishes, queries,
        sent, foreign;
} wr_core_counts;
void wr_raylet_core_counts(const wr_raylet_core *core, wr_core_counts *out);
/* Checks N1, N4, N6 and the links between tables. NULL: fine; else a text (static buffer). For tests and the
 * simulator. */
const char *wr_raylet_core_check(const wr_raylet_core *core);

WR_END_DECLS

/* engine/raylet/core/state.h: the core's tables; private to this folder. */
#pragma once

#include "base/map.h"
#include "local/protocol.h"
#include "raylet/core/core.h"

typedef struct core_worker core_worker;
typedef struct core_actor core_actor;

/* Resources of this node that the GCS reserved for a placement group. */
typedef struct core_bundle {
    wr_pg_id pg;
    uint64_t attempt;
    uint32_t index, job, users; /* users: workers that hold something of it */
    bool committed, releasing;
    wr_res total, available;
    wr_gpus gpus; /* only its own devices are free in it */
    wr_gpu_share share;
} core_bundle;

/* What a worker or actor took: from the node, or from a bundle. */
typedef struct core_taken {
    wr_res what;
    wr_gpu_share share;
    core_bundle *bundle;
    bool any; /* something is taken, if only nothing of nothing */
} core_taken;

typedef struct core_class {
    uint32_t index;
    uint16_t port;
    wr_class cls;
    uint64_t queued, ready;
    uint32_t sleepers;
    uint32_t workers, blocked; /* assigned; of these lent out */
    uint32_t takers_told;
    bool hungry_told, waits, failed;
    char why[256]; /* it waits */
    wr_time_ns waits_since;
    wr_time_ns used_at; /* it was opened, or had something queued or a worker */
    uint32_t demand;    /* told to the GCS */
} core_class;

struct core_worker {
    uint32_t index, slot;
    int pid;
    uint32_t job;
    uint64_t env_hash;
    wr_language language;
    wr_core_worker_state state;
    bool bound; /* was started with devices */
    uint32_t threads;
    core_class *cls;
    core_actor *actor;
    core_taken taken;
    bool blocked, recalling, idle, fresh /* not seen to run since it was assigned */, intended, killed,
        late;           /* it did not start in time */
    uint32_t seq, word; /* of the assignment that was written last */
    uint32_t reserved;  /* tasks behind the one it runs, which others of its class may steal */
    wr_time_ns assigned, idle_since, charged, kill_at /* 0: never */,
        start_by /* its hello is wanted; 0: it came, or is not waited for any more */;
    wr_status kill_status;
    char *kill_text; /* owned; why it was killed */
};

struct core_actor {
    uint32_t index, serial;
    wr_core_actor_spec spec; /* texts and spans point into `texts` */
    char *texts;
    uint64_t n;
    uint32_t state, restarts;
    core_worker *worker;
    core_taken taken; /* before it has a worker: reserved for it */
    uint64_t ticket;  /* of a named creation; 0: none */
    bool known;       /* the GCS acknowledged NEW */
    bool placing;     /* START came, no process yet */
    bool ready, unheld, draining, no_restart, silent /* no ENDED wanted */, final /* do not restart */;
    wr_time_ns placing_since;
    uint32_t status;
    int pid;    /* of the process that it had last; 0: none yet */
    char *text; /* owned: why it is dead, or why it waits */
};

typedef struct core_group {
    uint32_t index;
    wr_pg_id id;
    uint32_t job, strategy, state;
    wr_actor_id owner;
    bool detached, ready_sealed;
    char *name, *text;
    uint64_t ready;
    wr_res *bundles;
    uint32_t *nodes;
    uint32_t bundle_count;
    wr_time_ns since;
    uint64_t removed_at; /* the how manieth removed group it is; 0: it is not */
} core_group;

typedef struct core_job {
    uint32_t number;
    bool live;
    wr_language language;
    uint32_t driver_slot, workers;
    uint64_t env_hash, ticket; /* ticket: until the number comes */
} core_job;

/* Whose processes may run whose work. */
typedef struct core_pool {
    uint32_t job;
    uint64_t env_hash;
    wr_language language;
    uint32_t starting, failures;
} core_pool;

/* A wish or a question: sent again to each new epoch. */
typedef struct core_wish {
    wr_cluster_msg *msg; /* owned */
    uint64_t query, ticket;
    wr_time_ns deadline; /* of questions; 0: never */
} core_wish;

typedef struct core_sent { /* a task of ours that runs at another node */
    wr_task_id id;
    uint64_t handle;
    uint32_t attempt, max_retries, node;
    uint16_t port;
} core_sent;

typedef struct core_foreign { /* a task of another node that runs here */
    wr_task_id id;
    uint32_t attempt, node;
    uint64_t handle;
    uint16_t port;
    wr_time_ns since;
    bool returning;
} core_foreign;

struct wr_raylet_core {
    wr_res_names names;
    wr_node_info node;
    char *node_texts;
    wr_nonce nonce;
    uint32_t num_cpus, prestart;
    wr_time_ns start_ns;

    wr_res total, available; /* available: N1 */
    wr_gpus gpus;

    core_worker **workers;
    uint32_t worker_count, worker_capacity, live_workers;
    core_class **classes;
    uint32_t class_count, class_capacity;
    core_actor **actors;
    uint32_t actor_count, actor_capacity, actor_serial, placing, draining;
    core_group **groups;
    uint32_t group_count, group_capacity;
    uint64_t group_counter, removed_counter;
    uint32_t removed_groups; /* of core->groups */
    core_bundle **bundles;
    uint32_t bundle_count, bundle_capacity;
    core_job **jobs;
    uint32_t job_count, job_capacity;
    core_pool *pools;
    uint32_t pool_count, pool_capacity;
    core_wish *wishes;
    uint32_t wish_count, wish_capacity;
    core_sent *sent;
    uint32_t sent_count, sent_capacity;
    core_foreign *foreign;
    uint32_t foreign_count, foreign_capacity;
    wr_map class_by_port, actor_by_port, actor_by_id; /* to pointers; ids by hash */
    wr_fair *fair;

    /* GCS */
    bool online, joined, over;
    uint32_t inc;
    uint64_t epoch, cluster_id, next_query;
    uint32_t *dead;
    uint32_t dead_count, dead_capacity;
    uint64_t placed_seen;
    wr_time_ns last_sent, last_join, last_sync, next;
    bool sync_dirty;
    char *sync_text; /* what was last told */
    char *stats;
    wr_grant_use *used, *received;
    uint32_t used_count, used_capacity, received_count, received_capacity;

    /* out */
    wr_core_cmd *cmds;
    uint32_t cmd_count, cmd_capacity;
    wr_outbox outbox;
    bool scheduling;
};

/* ---- out.c ---- */
wr_core_cmd *core_cmd(wr_raylet_core *core, wr_core_cmd_type type); /* the new command, text "" */
void core_cmd_text(wr_core_cmd *cmd, const char *text);             /* copies */
void core_cmd_msg(wr_core_cmd *cmd, const wr_cluster_msg *msg);     /* copies */
void core_reply(wr_raylet_core *core, uint64_t ticket, wr_status status, uint32_t index, bool flag,
                const char *text);
void core_send(wr_raylet_core *core, uint64_t dest, const wr_cluster_msg *msg);
void core_wish_add(wr_raylet_core *core, const wr_cluster_msg *msg, uint64_t query, uint64_t ticket,
                   wr_time_ns deadline);
void core_ack(wr_raylet_core *core, wr_time_ns now, const wr_msg_ack *ack);
void core_wishes_again(wr_raylet_core *core);
void *core_alloc(size_t bytes); /* zeroed; stops the process where there is none: the tables would be wrong */
char *core_text(const char *text);
char *core_text_span(wr_span span);
void core_reserve(void **items, uint32_t *capacity, uint32_t need, size_t bytes);
/* Takes the question of that number out; false: nobody waits for it. */
bool core_query_take(wr_raylet_core *core, uint64_t query, uint64_t *out_ticket);
void core_wishes_tick(wr_raylet_core *core, wr_time_ns now);
void core_job_start_forget(wr_raylet_core *core, uint64_t ticket, const wr_nonce *nonce,
                           uint64_t *out_ticket);
uint64_t core_id_hash(const void *id, size_t bytes);

/* ---- node.c ---- */
/* Takes what cls needs from the node, or from a bundle of its group. AGAIN: no room now. */
wr_status core_take(wr_raylet_core *core, const wr_class *cls, core_taken *out);
void core_give(wr_raylet_core *core, core_taken *taken);
bool core_room(const wr_raylet_core *core, const wr_class *cls); /* core_take would succeed */
int64_t core_lent(const core_taken *taken); /* CPU units that a blocked worker gives back */
void core_lend(wr_raylet_core *core, core_taken *taken, bool back);
/* Can it ever run here? why: text for people. */
bool core_feasible(wr_raylet_core *core, const wr_class *cls, char *why, size_t size);
core_bundle *core_bundle_find(const wr_raylet_core *core, const wr_pg_id *pg, uint32_t index,
                              uint64_t attempt /* 0: any */);
void core_bundle_free_if_done(wr_raylet_core *core, core_bundle *bundle);
/* What idle workers of classes hold on the node itself. */
void core_reclaimable(const wr_raylet_core *core, wr_res *out);

/* ---- classes.c ---- */
core_class *core_class_of_port(const wr_raylet_core *core, uint16_t port);
void core_schedule(wr_raylet_core *core, wr_time_ns now);
/* Tasks that a worker more could begin at once: in the rings, or reserved behind one that is busy (it may be with a long
 * task; another would steal them). */
uint64_t core_class_waiting(const wr_raylet_core *core, const core_class *cls);
void core_takers(wr_raylet_core *core, core_class *cls);
void core_class_fail(wr_raylet_core *core, core_class *cls, wr_status status, const char *text,
                     bool job_gone);
void core_class_close(wr_raylet_core *core, core_class *cls);
/* Makes idle workers give back what `cls` needs, and busy ones after their slice. false: nothing more can be
 * recalled. */
bool core_recall(wr_raylet_core *core, wr_time_ns now, const wr_class *cls, const core_class *waiting,
                 bool idle_only);

/* ---- workers.c ---- */
core_worker *core_worker_of(const wr_raylet_core *core, uint32_t index);
core_pool *core_pool_of(wr_raylet_core *core, uint32_t job, uint64_t env_hash, wr_language language);
core_worker *core_worker_idle(const wr_raylet_core *core, const wr_class *cls);
core_worker *core_spawn(wr_raylet_core *core, wr_time_ns now, const wr_class *cls, uint32_t threads);
void core_assign_class(wr_raylet_core *core, wr_time_ns now, core_worker *w, core_class *cls,
                       core_taken *taken /* moved */);
void core_assign_actor(wr_raylet_core *core, wr_time_ns now, core_worker *w, core_actor *a);
void core_worker_recall(wr_raylet_core *core, core_worker *w);
void core_worker_end(wr_raylet_core *core, wr_time_ns now, core_worker *w, wr_time_ns patience);
void core_worker_stop(wr_raylet_core *core, core_worker *w, wr_status status, const char *text);
void core_workers_tick(wr_raylet_core *core, wr_time_ns now);
void core_prestart(wr_raylet_core *core, wr_time_ns now, const core_job *job);

/* ---- actors.c ---- */
core_actor *core_actor_of_id(const wr_raylet_core *core, const wr_actor_id *id);
void core_actor_start(wr_raylet_core *core, wr_time_ns now, const wr_msg_start *start);
void core_actor_stop(wr_raylet_core *core, wr_time_ns now, const wr_msg_stop *stop);
void core_actor_act(wr_raylet_core *core, wr_time_ns now, const wr_msg_act *act);
void core_actor_new_ack(wr_raylet_core *core, wr_time_ns now, const wr_msg_ack *ack);
void core_actor_new_late(wr_raylet_core *core, const wr_actor_id *id); /* no answer in time */
void core_actor_place(wr_raylet_core *core, wr_time_ns now);
void core_actor_worker_dead(wr_raylet_core *core, wr_time_ns now, core_actor *a, core_worker *w,
                            const char *text);
bool core_actor_restarts(const core_actor *a, const core_worker *w);
/* Which actor it is, and why it is not there: what those who call it read. Owned by the caller. */
char *core_actor_text(const core_actor *a, const char *why);
void core_actor_end(wr_raylet_core *core, core_actor *a, wr_status status, const char *text, bool job_gone);
void core_actor_free_if_done(wr_raylet_core *core, core_actor *a);
void core_actor_free(core_actor *a);
void core_actor_ended_ack(wr_raylet_core *core, const wr_msg_ack *ack);
void core_actor_infeasible(wr_raylet_core *core, wr_time_ns now, const wr_msg_infeasible *msg);

void core_actor_answer(wr_raylet_core *core, const wr_cluster_msg *msg);

/* ---- groups.c ---- */
void core_group_message(wr_raylet_core *core, wr_time_ns now, const wr_cluster_msg *msg);
void core_group_forget(wr_raylet_core *core, core_group *group);
bool core_group_was_here(const wr_raylet_core *core,
                         const wr_pg_id *id); /* this node made it, at some time */
void core_group_kill_work(wr_raylet_core *core, wr_time_ns now, const wr_pg_id *pg, uint32_t index,
                          bool removed);
/* The oldest thing of this node's that the GCS cannot place for want of room here; false: none. */
bool core_oldest_wish(const wr_raylet_core *core, wr_time_ns now, wr_res *out,
                      bool *out_keep /* room is kept for it */);
bool core_keeps(wr_time_ns since, wr_time_ns now);

/* ---- jobs.c ---- */
core_job *core_job_of(const wr_raylet_core *core, uint32_t number);
void core_job_started(wr_raylet_core *core, wr_time_ns now, const wr_msg_job_started *msg);
void core_job_check_gone(wr_raylet_core *core, core_job *job);

/* ---- cluster.c ---- */
void core_cluster_tick(wr_raylet_core *core, wr_time_ns now);
/* ---- forward.c ---- */
void core_forward_message(wr_raylet_core *core, wr_time_ns now, uint64_t from, const wr_cluster_msg *msg);
void core_forward_dead(wr_raylet_core *core, wr_time_ns now, uint32_t node);
void core_forward_tick(wr_raylet_core *core, wr_time_ns now);

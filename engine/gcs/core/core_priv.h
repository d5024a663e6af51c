/* engine/gcs/core/core_priv.h: the state of the GCS, shared by the files of this folder only. */
#pragma once

#include "gcs/core/gcs_core.h"

#include "base/map.h"

WR_BEGIN_DECLS

#define WR_GCS_MS 1000000ull

/* A scheduling class that somebody waits for or runs in; counted. */
typedef struct gcs_class {
    struct gcs_class *next; /* same hash */
    uint64_t hash;
    uint32_t refs;
    uint8_t *key; /* owned */
    uint32_t key_bytes;
    wr_class cls;
    struct gcs_actor *first, *last; /* actors that wait for a node */
    uint32_t spread;                /* cursor of SPREAD */
} gcs_class;

/* What was placed on a node and is not yet in its reports. */
typedef struct gcs_debit {
    uint64_t number; /* of the START or PREPARE in the node's session */
    wr_res taken;
} gcs_debit;

typedef struct gcs_demand {
    gcs_class *cls; /* counted */
    uint32_t prefer, waiting;
    wr_time_ns told_infeasible;
} gcs_demand;

typedef struct gcs_node {
    wr_gcs_node_row *row; /* owned block */
    char *death;          /* owned; row->death points to it */
    wr_time_ns heard;
    bool registered; /* REREG came in this epoch */
    uint32_t view;   /* index into core->views while registered */
    wr_res reported; /* available, as it said */
    uint64_t placed, placed_seen;
    gcs_debit *debits;
    uint32_t debit_count, debit_capacity;
    gcs_demand *demand;
    uint32_t demand_count;
    uint32_t forced;              /* STARTs under way without room in the view */
    char *labels;                 /* owned, with a final zero; the view borrows it */
    char *available_text, *stats; /* owned, for people */
    uint32_t *flushed;            /* DEAD: who has flushed */
    uint32_t flushed_count, flushed_capacity;
} gcs_node;

typedef struct gcs_job {
    wr_gcs_job_row *row; /* owned block */
    char *text;          /* owned; row->info.text points to it */
} gcs_job;

typedef struct gcs_actor {
    struct gcs_actor *next;      /* same hash of the id */
    struct gcs_actor *next_name; /* same hash of the name */
    struct gcs_actor *next_pending, *previous_pending;
    wr_actor_spec *spec; /* owned block; info.spec is a shallow copy */
    wr_actor_info info;
    char *text;     /* owned; info.text points to it */
    gcs_class *cls; /* counted; NULL when DEAD */
    uint32_t *subs; /* incarnations */
    uint32_t sub_count, sub_capacity;
    bool pending, forced, named, loaded; /* loaded: its state came from the store */
    uint32_t refusals;
    wr_time_ns pending_since, not_before, told_infeasible;
} gcs_actor;

typedef struct gcs_try {
    uint64_t attempt; /* 0: none under way */
    uint32_t *nodes;  /* owned; incarnation per bundle */
    bool *yes;        /* owned; per bundle */
    uint32_t yes_count;
} gcs_try;

typedef struct gcs_group {
    struct gcs_group *next;  /* same hash of the id */
    wr_pg_info *info;        /* owned block */
    wr_bundle_info *bundles; /* info->bundles, writable */
    char *text;              /* owned; info->text points to it */
    wr_res *resources;       /* owned; per bundle */
    uint32_t *subs;
    uint32_t sub_count, sub_capacity;
    gcs_try try_now;
    wr_time_ns not_before;
    uint32_t failures, turn; /* turn: of actors that take any bundle */
} gcs_group;

typedef struct gcs_waiting_sub {
    wr_actor_id actor;
    uint32_t inc;
} gcs_waiting_sub;

typedef struct gcs_grant {
    uint64_t id;
    uint32_t from, to, count, received;
    bool answered;
    uint32_t used;
    gcs_class *cls; /* counted */
} gcs_grant;

struct wr_gcs_core {
    wr_gcs_core_opts opts;
    wr_res_names names;
    uint64_t next_inc, next_job, next_attempt, next_grant, number;
    bool started;

    /* The present step. */
    wr_time_ns now, last_tick;
    uint64_t wall_us;
    wr_gcs_log *log;
    wr_outbox *out;
    bool number_raised;
    char store_why[256]; /* the log cannot be written: why; "" while it can */

    gcs_node **nodes;
    uint32_t node_count, node_capacity;
    wr_map node_index;   /* inc -> pointer */
    wr_node_view *views; /* of registered live nodes */
    uint32_t view_count, view_capacity;

    gcs_job **jobs;
    uint32_t job_count, job_capacity, dead_jobs;
    wr_map job_index; /* job -> pointer */

    gcs_actor **actors; /* in the order of creation */
    uint32_t actor_count, actor_capacity, dead_actors;
    wr_map actor_index, name_index; /* hash -> first of a chain */
    gcs_waiting_sub *waiting_subs;
    uint32_t waiting_sub_count, waiting_sub_capacity;

    gcs_group **groups;
    uint32_t group_count, group_capacity, removed_groups;
    wr_map group_index;

    wr_map class_index;
    wr_fair *actor_fair, *task_fair;
    gcs_grant *grants;
    uint32_t grant_count, grant_capacity;
    bool place_due; /* something changed that could let work be placed */
};

/* core.c: the log and the outbox of the present step. Memory that runs out is marked there; the shell ends.
 */
void gcs_put(wr_gcs_core *core, wr_gcs_table table, const void *key, uint32_t key_bytes,
             const void *row /* NULL: remove */);
void gcs_put_meta(wr_gcs_core *core, const char *key, uint64_t value);
void gcs_say(wr_gcs_core *core, uint64_t dest, const wr_cluster_msg *msg);     /* waits for the log's tail */
void gcs_say_now(wr_gcs_core *core, uint64_t dest, const wr_cluster_msg *msg); /* G3 */
void gcs_tell(wr_gcs_core *core, uint32_t inc,
              const wr_cluster_msg *msg); /* gcs_say, if that node is live and registered */
void gcs_out_of_memory(wr_gcs_core *core);
char *gcs_text(wr_gcs_core *core, wr_span text); /* owned copy with a final zero; "" and NULL-safe */
bool gcs_add_u32(uint32_t **items, uint32_t *count, uint32_t *capacity, uint32_t value); /* as a set */
bool gcs_has_u32(const uint32_t *items, uint32_t count, uint32_t value);
gcs_class *gcs_class_ref(wr_gcs_core *core, wr_span key, wr_error *err); /* NULL: malformed, or no memory */
void gcs_class_unref(wr_gcs_core *core, gcs_class *cls);                 /* accepts NULL */

/* nodes.c */
gcs_node *gcs_node_find(const wr_gcs_core *core, uint32_t inc);
bool gcs_node_is_live(const wr_gcs_core *core, uint32_t inc);
bool gcs_node_is_up(const wr_gcs_core *core, uint32_t inc); /* live and registered */
bool gcs_all_registered(const wr_gcs_core *core);
wr_span gcs_node_address(const wr_gcs_core *core, uint32_t inc);
void gcs_node_debit(wr_gcs_core *core, gcs_node *node,
                    const wr_res *taken /* may be empty */); /* a START or PREPARE leaves */
void gcs_view_sub(wr_gcs_core *core, const gcs_node *node, const wr_res *taken,
                  int64_t times);                         /* a hint: cannot fail */
void gcs_node_refresh(wr_gcs_core *core, gcs_node *node); /* view = reported - debits - grants */
void gcs_on_join(wr_gcs_core *core, uint64_t conn, const wr_msg_join *m);
void gcs_on_rereg(wr_gcs_core *core, gcs_node *node, const wr_msg_rereg *m);
void gcs_on_sync(wr_gcs_core *core, gcs_node *node, const wr_msg_sync *m);
void gcs_on_flushed(wr_gcs_core *core, gcs_node *node, uint32_t dead);
void gcs_node_declare(wr_gcs_core *core, gcs_node *node, wr_span why);
void gcs_nodes_bury(wr_gcs_core *core);
void gcs_nodes_start(wr_gcs_core *core);
void gcs_nodes_tick(wr_gcs_core *core);
wr_status gcs_node_load(wr_gcs_core *core, const wr_gcs_node_row *row, wr_error *err);
void gcs_node_free(wr_gcs_core *core, gcs_node *node);

/* actors.c */
gcs_actor *gcs_actor_find(const wr_gcs_core *core, const wr_actor_id *id);
void gcs_on_new(wr_gcs_core *core, uint32_t from, const wr_actor_spec *spec);
void gcs_on_started(wr_gcs_core *core, uint32_t from, const wr_msg_started *m);
void gcs_on_refused(wr_gcs_core *core, uint32_t from, const wr_msg_refused *m);
void gcs_on_ended(wr_gcs_core *core, uint32_t from, const wr_ended_actor *m);
void gcs_on_hosted(wr_gcs_core *core, gcs_node *node, const wr_msg_rereg *m);
void gcs_on_actor_sub(wr_gcs_core *core, uint32_t from, const wr_actor_id *id);
void gcs_on_kill(wr_gcs_core *core, uint32_t from, const wr_msg_kill *m);
void gcs_on_out_of_scope(wr_gcs_core *core, uint32_t from, const wr_actor_id *id);
void gcs_on_name_get(wr_gcs_core *core, uint32_t from, const wr_msg_name_get *m);
void gcs_on_name_list(wr_gcs_core *core, uint32_t from, const wr_msg_name_list *m);
void gcs_actor_dead(wr_gcs_core *core, gcs_actor *actor, wr_status status, wr_span text);
void gcs_actor_put(wr_gcs_core *core, const gcs_actor *actor);
void gcs_actor_publish(wr_gcs_core *core, const gcs_actor *actor);
void gcs_actor_queue(wr_gcs_core *core, gcs_actor *actor);
void gcs_actor_unqueue(wr_gcs_core *core, gcs_actor *actor);
void gcs_actors_on_death(wr_gcs_core *core, uint32_t inc);
void gcs_actors_on_job_end(wr_gcs_core *core, uint32_t job);
void gcs_actors_on_group_removed(wr_gcs_core *core, const wr_pg_id *pg);
void gcs_actors_prune(wr_gcs_core *core);
wr_status gcs_actor_load_spec(wr_gcs_core *core, const wr_actor_spec *row, wr_error *err);
wr_status gcs_actor_load(wr_gcs_core *core, const wr_actor_info *row, wr_error *err);
void gcs_actors_start(wr_gcs_core *core);
void gcs_actor_free(wr_gcs_core *core, gcs_actor *actor);

/* placing.c */
void gcs_place(wr_gcs_core *core); /* actors, groups and grants, as far as there is room */
void gcs_start_again(wr_gcs_core *core, gcs_node *node, gcs_actor *actor); /* START(n) of the n it has */
void gcs_on_grant_uses(wr_gcs_core *core, gcs_node *node, const wr_msg_sync *m);
void gcs_grants_on_death(wr_gcs_core *core, uint32_t inc);
void gcs_demand_clear(wr_gcs_core *core, gcs_node *node);

/* groups.c */
gcs_group *gcs_group_find(const wr_gcs_core *core, const wr_pg_id *id);
void gcs_on_pg_create(wr_gcs_core *core, uint32_t from, const wr_pg_info *pg);
void gcs_on_pg_remove(wr_gcs_core *core, uint32_t from, const wr_pg_id *id);
void gcs_on_prepared(wr_gcs_core *core, uint32_t from, const wr_msg_bundle *m);
void gcs_on_held_bundles(wr_gcs_core *core, gcs_node *node, const wr_msg_rereg *m);
void gcs_on_pg_get(wr_gcs_core *core, uint32_t from, const wr_msg_pg_get *m);
void gcs_on_pg_table_get(wr_gcs_core *core, uint32_t from, uint64_t query);
void gcs_groups_place(wr_gcs_core *core);
void gcs_groups_on_death(wr_gcs_core *core, uint32_t inc);
void gcs_groups_on_job_end(wr_gcs_core *core, uint32_t job);
void gcs_groups_on_owner_dead(wr_gcs_core *core, const wr_actor_id *owner);
void gcs_groups_prune(wr_gcs_core *core);
wr_status gcs_group_load(wr_gcs_core *core, const wr_pg_info *row, wr_error *err);
void gcs_groups_start(wr_gcs_core *core);
void gcs_group_free(gcs_group *group);

/* jobs.c */
gcs_job *gcs_job_find(const wr_gcs_core *core, uint32_t job);
/* May work of this job be accepted? OK, STATE (ended), INVALID (never given). */
wr_status gcs_job_check(const wr_gcs_core *core, uint32_t job);
void gcs_on_job_start(wr_gcs_core *core, uint32_t from, const wr_msg_job_start *m);
void gcs_on_job_end(wr_gcs_core *core, uint32_t from, const wr_msg_job *m);
void gcs_job_end(wr_gcs_core *core, gcs_job *job, bool failed, wr_span text);
void gcs_jobs_on_death(wr_gcs_core *core, uint32_t inc);
void gcs_jobs_tell_dead(wr_gcs_core *core, uint32_t inc);
wr_status gcs_job_load(wr_gcs_core *core, const wr_gcs_job_row *row, wr_error *err);
void gcs_jobs_start(wr_gcs_core *core);
void gcs_job_free(gcs_job *job);

WR_END_DECLS

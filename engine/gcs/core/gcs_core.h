/* engine/gcs/core/gcs_core.h: the Global Control Store as a state machine: messages and time in, messages
 * and log records out.
 *
 * Nodes, jobs, actors, placement groups and the scheduler of the cluster. No I/O, clock, thread or random
 * number: the simulator runs this very code. The shell delivers what came in, writes the log records of a
 * step in one transaction, and lets a message leave when the record `after` is durable. While the log cannot
 * be written the state here is ahead of the store: the shell keeps the records and the messages, and tries again.
 *
 *   node:  LIVE --silence, LEAVE, named dead by another--> DEAD --FLUSHED from every live node--> BURIED
 *   actor: see cluster_msg.h
 *   group: PENDING --all PREPARED--> CREATED --a bundle's node dies--> RESCHEDULING --all PREPARED--> CREATED
 *          any --remove--> REMOVED
 *
 * G1. One step is one transaction: an actor and its name (which is a part of its record), a job's end and
 *     all that follows.
 * G2. Every message but DEAD and YOUDEAD waits for the log's tail of its moment, also when the request was
 *     known already.
 * G3. A death is published first and stored second (M1); what follows from it is stored behind it.
 * G4. wr_gcs_core_start derives again all that follows from what is stored (M3): nothing hangs on a step
 *     that was cut off.
 * G5. START(n) leaves only when the choice of the node is durable; (actor, n) belongs to one node for ever.
 * G6. A name belongs to at most one actor that is not DEAD.
 *
 * One thread. Every function is O(what it touches): scheduling costs classes times nodes, never tasks.
 */
#pragma once

#include "rpc/gcs_link.h"
#include "sched/cluster_msg.h"
#include "sched/struct_desc.h"

WR_BEGIN_DECLS

typedef struct wr_gcs_core wr_gcs_core;

enum {
    WR_GCS_DEAD_NODES_MAX =
        1000, /* buried nodes, ended jobs, removed groups, dead actors that are remembered */
    WR_GCS_DEAD_JOBS_MAX = 1000,
    WR_GCS_DEAD_GROUPS_MAX = 1000,
    WR_GCS_DEAD_ACTORS_MAX = 100000
};

/* ---- rows of the store */

typedef enum wr_gcs_table {
    WR_GCS_META,       /* key: text; row: uint64_t */
    WR_GCS_NODE,       /* key: u32 inc, big endian; row: wr_gcs_node_row */
    WR_GCS_JOB,        /* key: u32 job, big endian; row: wr_gcs_job_row */
    WR_GCS_ACTOR_SPEC, /* key: actor id; row: wr_actor_spec; written once, and once more without `spec` when
                          it is dead */
    WR_GCS_ACTOR,      /* key: actor id; row: wr_actor_info, of its spec only the id */
    WR_GCS_GROUP,      /* key: pg id; row: wr_pg_info */
    WR_GCS_TABLES
} wr_gcs_table;

typedef enum wr_gcs_node_state { WR_GCS_NODE_LIVE, WR_GCS_NODE_DEAD, WR_GCS_NODE_BURIED } wr_gcs_node_state;
typedef struct wr_gcs_node_row {
    wr_nonce nonce;
    uint32_t state;
    wr_node_info info;
    wr_span death;
    uint64_t start_us, end_us;
} wr_gcs_node_row;
typedef struct wr_gcs_job_row {
    wr_nonce nonce;
    wr_job_info info;
} wr_gcs_job_row;

const wr_struct_desc *wr_gcs_table_desc(wr_gcs_table table); /* NULL for META */

typedef struct wr_gcs_record {
    uint64_t number; /* of its step; all records with one number are one transaction */
    wr_gcs_table table;
    uint8_t key[32];
    uint32_t key_bytes;
    void *row; /* owned; the struct of its table; NULL = remove the row */
} wr_gcs_record;

typedef struct wr_gcs_log {
    wr_gcs_record *records;
    uint32_t count, capacity;
    bool failed; /* no memory: the shell must end without writing */
} wr_gcs_log;    /* zeroed is a valid empty log */

void wr_gcs_log_clear(wr_gcs_log *log); /* frees the rows */
void wr_gcs_log_done(wr_gcs_log *log);

/* ---- the machine */

typedef struct wr_gcs_core_opts {
    uint64_t cluster_id, epoch; /* the shell raised the epoch durably before */
    uint64_t dead_after_ns;     /* silence that kills; 0 = 10 s */
} wr_gcs_core_opts;

/* out: owned by the caller. Fails: NO_MEMORY. */
WR_MUST_USE wr_status wr_gcs_core_new(const wr_gcs_core_opts *opts, wr_gcs_core **out, wr_error *err);
void wr_gcs_core_free(wr_gcs_core *core);
WR_DEFINE_AUTO(wr_gcs_core, wr_gcs_core_free)

/* Between new and start: one stored row; specs before actors. Copies. Fails: CORRUPT, NO_MEMORY. */
WR_MUST_USE wr_status wr_gcs_core_load(wr_gcs_core *core, wr_gcs_table table, wr_span key, const void *row,
                                       wr_error *err);
/* Derives what follows from the rows. From now on step and tick. */
void wr_gcs_core_start(wr_gcs_core *core, wr_time_ns now, uint64_t wall_us, wr_gcs_log *log, wr_outbox *out);

/* from: an incarnation, or WR_DEST_CONN of who has none yet. msg: borrowed; its lengths and ids were
 * checked by the codec, everything else is checked here. log and out are appended to. */
void wr_gcs_core_step(wr_gcs_core *core, wr_time_ns now, uint64_t wall_us, uint64_t from,
                      const wr_cluster_msg *msg, wr_gcs_log *log, wr_outbox *out);
/* Every 50 to 100 ms: silence, burials, and work that waits for a condition. */
void wr_gcs_core_tick(wr_gcs_core *core, wr_time_ns now, uint64_t wall_us, wr_gcs_log *log, wr_outbox *out);
uint64_t wr_gcs_core_log_number(const wr_gcs_core *core); /* of the last record made; answers wait for it */

/* why: the log cannot be written now; new actors are refused with that text (copied) and IO, at once. NULL: it can again. */
void wr_gcs_core_store_failing(wr_gcs_core *core, const char *why);

wr_cluster_msg wr_gcs_core_hello(const wr_gcs_core *core); /* the first message on every connection */
bool wr_gcs_core_knows_live(const wr_gcs_core *core, uint32_t inc);

/* Fills the tables of a response: NODES, ACTORS, JOBS, GROUPS, HEALTH. Everything is borrowed from the core
 * until its next step, but for the arrays, which wr_gcs_core_tables_done frees. Fails: INVALID (key),
 * NO_MEMORY. */
WR_MUST_USE wr_status wr_gcs_core_tables(wr_gcs_core *core, const wr_gcs_request *request,
                                         wr_gcs_response *out, wr_error *err);
void wr_gcs_core_tables_done(wr_gcs_response *response);

WR_END_DECLS

/* engine/raylet/shell/shell.h: the node manager's loop, sockets, processes and files; private to this folder.
 *
 * One thread (the loop's) owns everything here. Two others only wake it: the bell thread (bell.c) and the GCS
 * link's thread
 * (gcs.c), which hands messages over under `gcs_lock`.
 */
#pragma once

#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/map.h"
#include "local/frame.h"
#include "local/paths.h"
#include "raylet/core/core.h"
#include "raylet/shell/errors.h"
#include "rpc/gcs_link.h"
#include "shm/keeper.h"

#include <pthread.h>
#include <uv.h>

typedef struct wr_shell wr_shell;
typedef struct shell_conn shell_conn;
typedef struct shell_proc shell_proc;
typedef struct shell_fork shell_fork;

enum {
    SHELL_COOKIE_BYTES = 16,
    SHELL_TEXT_MAX = 1792,
    SHELL_LOG_TAIL_BYTES = 4096,
    SHELL_LOG_RING = 4096,
    SHELL_CANCELS_MAX = 4096
};

enum { GCS_RESTARTS_DEFAULT = 5, GCS_RESTARTS_LIMIT = 1000 };

typedef struct shell_args {
    char session_dir[WR_PATH_MAX], token_file[WR_PATH_MAX], bin_dir[WR_PATH_MAX], log_file[WR_PATH_MAX];
    char resources[WR_RES_TEXT_MAX], labels[1024], node_ip[64], node_name[128], python[WR_PATH_MAX];
    double num_cpus, num_gpus;           /* < 0: found out */
    int64_t object_store_memory, memory; /* 0: found out */
    int owner_fd, ready_fd, gcs_port;
    uint32_t prestart;
    uint32_t pool_ports, pool_rings; /* 0: as the pool has them */
    uint64_t env_server_idle_ms;     /* so long a fork server of an environment is kept without a worker */
    uint64_t rotation_bytes;         /* a log file of that size is rotated; 0: never */
    uint32_t rotation_count;         /* copies kept of each */
    uint64_t register_ms;            /* so long may a worker or fork server take to say hello */
    uint64_t hello_ms;               /* so long may a connection owe its hello, or the rest of a frame */
    uint64_t gcs_silence_ms;  /* so long may the GCS say nothing before it is killed and started again */
    uint32_t gcs_restarts;    /* that often in a minute is the GCS started again */
    uint32_t session_count;   /* ended sessions whose folders stay */
    uint64_t session_bytes;   /* and what they may take of the disk */
    uint32_t dead_logs_count; /* dead workers whose log files stay */
    uint64_t dead_logs_bytes;
    bool head;
} shell_args;

/* A process that the kernel tells us about. */
struct shell_proc {
    wr_shell *shell;
    uv_poll_t poll;
    int pidfd, pid;
    bool child; /* of this process: its status comes by waitid */
    bool exited, status_known, closed, polled;
    int status;         /* as waitpid gives it */
    uint64_t exited_at; /* wr_clock_ns */
    enum { PROC_DRIVER, PROC_WORKER, PROC_FORK_SERVER, PROC_GCS } kind;
    uint32_t worker, job, slot;
    shell_fork *fork;
    shell_proc *next;
};

/* A worker as the shell knows it; index = the core's. */
typedef struct shell_worker {
    uint8_t cookie[SHELL_COOKIE_BYTES], worker_id[WR_WORKER_ID_BYTES];
    uint32_t job, slot;
    shell_proc *proc; /* NULL: not forked yet */
    shell_conn *conn;
    shell_fork *fork; /* that shall make it, or has */
    bool queued, asked,
        kill; /* waits in the fork server's queue; was handed to it; kill it when it is there */
    char out[WR_PATH_MAX], err[WR_PATH_MAX], first_out[WR_PATH_MAX], first_err[WR_PATH_MAX];
    bool late;          /* killed because it did not say hello in time */
    bool named;         /* out and err have the pid; first_* go when it said hello */
    uint64_t cancelled; /* handle of the task that its killing cancels; 0: none */
    struct shell_cancel {
        uint64_t handle;
        bool recursive;
    } *cancels; /* which it has not fetched yet */
    uint32_t cancel_count, cancel_capacity;
    uint64_t running,
        running_since; /* the task that a pass saw it run, and wr_clock_ns when it was seen first */
} shell_worker;

typedef struct shell_env_block { /* "NAME=VALUE" each, each name once */
    char **items;
    uint32_t count;
} shell_env_block;

struct shell_fork { /* one fork server; its key is interpreter, import path and environment */
    char *python, log[WR_PATH_MAX];
    char *import_path;   /* folders "A:B" that only the driver's interpreter looks into; "" for most */
    shell_env_block env; /* of a runtime environment; empty: the default one */
    uint32_t workers;    /* entries of the shell's table that it made or shall make */
    uint64_t idle_since; /* wr_clock_ns, when there is none */
    bool retired;        /* was told to end: takes no more orders */
    bool hung;           /* killed because it did not answer in time */
    uint64_t asked_at;   /* wr_clock_ns: it was started, or got its last order */
    shell_proc *proc;
    shell_conn *conn;
    uint64_t ticket; /* of the fork_next that waits; 0: none */
    uint32_t failures;
    shell_fork *next;
};

struct shell_conn {
    wr_shell *shell;
    uv_poll_t poll;
    int fd;
    uint64_t id;
    uint8_t *in, *out;
    uint32_t in_used, in_capacity, out_used, out_capacity, out_sent;
    int pass_fd; /* goes with the byte at pass_at; -1 */
    uint32_t pass_at;
    int fds[WR_FRAME_FDS_MAX];
    uint32_t fd_count;
    bool hello, bye, closing, flush_close;
    uint64_t since; /* wr_clock_ns: it owes its hello, or the rest of a frame, from then on; 0: nothing */
    int kind, pid, events; /* events: what the loop looks for */
    uint32_t slot, epoch, worker, job;
    shell_proc *proc;
    shell_fork *fork;
    shell_conn *next, *previous;
};

typedef struct shell_job {
    uint32_t number;
    uint8_t *config; /* the driver's job map, packed */
    uint32_t config_bytes;
    char *name_space, *python, *runtime_env, *cwd;
    uint64_t env_hash;
    uint64_t log_wanted;          /* wr_clock_ns of the last log_poll */
    wr_proc_counters dead;        /* sums of its dead processes */
    uint32_t log_next, log_first; /* sequence numbers in its ring */
    struct shell_line {
        char *text, name[64];
        int pid;
        bool err;
    } *lines;
} shell_job;

/* A file of a worker that is being read for its driver. */
typedef struct shell_tail {
    char path[WR_PATH_MAX], name[64];
    uint64_t offset;
    uint32_t job;
    int pid, watch; /* of inotify; -1: none, it is looked at each time */
    bool err, dead, dirty;
} shell_tail;

typedef struct shell_function {
    uint32_t job, digest_bytes, meta_bytes;
    uint8_t digest[64];
    uint64_t ref;
    char *name;
    uint8_t *meta;
} shell_function;

typedef struct shell_env {
    uint64_t hash;
    char *text;
} shell_env;

/* A request that is answered later. */
typedef struct shell_ticket {
    uint64_t ticket, conn, request;
    int what; /* TICKET_... */
    uint16_t port;
    uint32_t slot, job, cursor;
    uint64_t deadline;
} shell_ticket;
enum {
    TICKET_HELLO = 1,
    TICKET_CREATE,
    TICKET_FIND,
    TICKET_LIST,
    TICKET_FORK,
    TICKET_KV,
    TICKET_TABLE,
    TICKET_LOG,
    TICKET_SHUTDOWN
};

typedef struct shell_call { /* of the GCS, on its way */
    wr_shell *shell;
    uint64_t ticket;
    wr_gcs_call call;
    wr_status status;
    wr_gcs_response *response;
    wr_error err;
    struct shell_call *next;
} shell_call;

struct wr_shell {
    shell_args args;
    char token[WR_TOKEN_MAX + 1], socket_path[WR_PATH_MAX], gcs_target[WR_PATH_MAX + 8],
        gcs_socket[WR_PATH_MAX], gpu_ids[WR_GPUS_MAX][16];
    char hostname[256];
    wr_node_id node_id;
    uint64_t cluster_id;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_async_t bell, gcs_async;
    uv_signal_t sigterm, sigint;
    uv_poll_t listener, owner;
    int listen_fd;
    uint64_t socket_inode, socket_looked; /* of socket_path; wr_clock_ns of the last look at it */
    uint64_t conns_looked;                /* wr_clock_ns */
    bool owner_polled, listen_paused, ending, ready_told, again;
    uint64_t end_at, started_at;
    pthread_t bell_thread;
    bool bell_running;
    int bell_stop; /* read and written atomically */

    wr_pool *pool;
    wr_keeper *keeper;
    wr_raylet_core *core;
    uint64_t last_pass;
    uint64_t active_at;     /* wr_clock_ns when somebody last asked for something, or rang */
    uint64_t rotate_looked; /* wr_clock_ns when all log files were small enough */
    bool rotating;          /* one of them is being copied */
    struct shell_dead_log { /* of dead workers, the oldest first */
        char out[WR_PATH_MAX], err[WR_PATH_MAX];
        uint64_t bytes;
        struct shell_dead_log *next;
    } *dead_logs, **dead_logs_end;
    uint32_t dead_logs_count;
    uint64_t dead_logs_bytes;
    int session_lock; /* held for life: who removes old session folders sees that this one lives */
    uv_work_t prune;  /* removes old session folders, once */
    int prune_stop;   /* written atomically */

    shell_conn *conns;
    uint64_t next_conn, next_ticket;
    shell_proc *procs;
    shell_worker **workers;
    uint32_t worker_capacity;
    shell_fork *forks;
    shell_job **jobs;
    uint32_t job_count, job_capacity;
    shell_function *functions;
    uint32_t function_count, function_capacity;
    shell_env *envs;
    uint32_t env_count, env_capacity;
    shell_ticket *tickets;
    uint32_t ticket_count, ticket_capacity;
    int inotify_fd;
    uv_poll_t inotify;
    bool inotify_armed;
    shell_tail *tails;
    uint32_t tail_count, tail_capacity;
    uint64_t classes_at;   /* the next look for classes that nobody uses */
    uint64_t *port_causes; /* [ports] handle of the error object of a dead port */
    uint32_t *deferred;    /* workers that could not be started */
    uint32_t deferred_count, deferred_capacity;

    wr_gcs_link *link;
    shell_proc *gcs;
    uint64_t gcs_starts[GCS_RESTARTS_LIMIT];
    uint32_t gcs_start_count;
    bool gcs_failed[GCS_RESTARTS_LIMIT]; /* of gcs_starts: it had ended by itself */
    uint64_t gcs_start_at;               /* wr_clock_ns; 0: it runs */
    uint64_t gcs_heard, gcs_looked;      /* frames of it at the last look, and when that was (wr_clock_ns) */
    uint64_t gcs_silent_ns, gcs_patience_ns; /* how long it has said nothing, and how long it may */
    bool gcs_hung;                           /* it was killed for that */
    pthread_mutex_t gcs_lock;
    struct shell_gcs_event {
        int type;
        wr_cluster_msg *msg;
        uint64_t epoch, cluster_id;
        bool new_epoch;
        struct shell_gcs_event *next;
    } *gcs_events, **gcs_events_end;
    shell_call *gcs_calls;

    wr_record_writer w;                 /* of the reply that is being built */
    char lost_text[WR_ERROR_TEXT_MAX];  /* what wr_lost_fn says */
    char spawn_text[WR_ERROR_TEXT_MAX]; /* why a worker could not be started */
    wr_status lost_status;
    uint32_t lost_worker;
    bool draining;
};

/* ---- shell.c: the pass, and what the core wants done ---- */
void shell_drain(wr_shell *sh);                /* executes commands, sends messages */
void shell_pass(wr_shell *sh);                 /* keeper pass, facts, tick, drain, timer */
void shell_soon(wr_shell *sh);                 /* a pass as soon as the loop is free */
void shell_in(wr_shell *sh, uint64_t ms);      /* a pass within that time */
void shell_end(wr_shell *sh, const char *why); /* the cluster ends */
void *shell_alloc(size_t bytes);
char *shell_text(const char *text);
void shell_reserve(void **items, uint32_t *capacity, uint32_t need, size_t bytes);

/* ---- conn.c ---- */
wr_status shell_listen(wr_shell *sh, wr_error *err);
void shell_listen_again(wr_shell *sh); /* after descriptors were used up */
void shell_conns_tick(
    wr_shell *sh); /* closes those that owe something; looks whether the socket is still there */
void shell_conn_close(shell_conn *conn);
shell_conn *shell_conn_of(wr_shell *sh, uint64_t id);
/* Sends sh->w as the reply (or writes its failure). */
void shell_reply(shell_conn *conn, uint64_t request, int pass_fd);
void shell_fail(shell_conn *conn, uint64_t request, const wr_error *error);
uint64_t shell_ticket_new(wr_shell *sh, shell_conn *conn, uint64_t request, int what);
shell_ticket *shell_ticket_of(wr_shell *sh, uint64_t ticket);
/* Takes the ticket out; its connection, or NULL if that is gone. */
shell_conn *shell_ticket_take(wr_shell *sh, uint64_t ticket, shell_ticket *out);
void shell_ticket_fail(wr_shell *sh, uint64_t ticket, wr_status status, const char *text);

/* ---- ops*.c: OK: sh->w is the reply; AGAIN: it comes later; else the error ---- */
typedef wr_status (*shell_op_fn)(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                                 wr_error *err);
typedef struct shell_op {
    const char *name;
    shell_op_fn fn;
    bool pool; /* only for processes with a slot */
} shell_op;
extern const shell_op shell_ops_work[], shell_ops_actors[], shell_ops_groups[], shell_ops_node[],
    shell_ops_view[], shell_ops_why[];
/* Reading fields, and writing them; ops_work.c. */
enum { NAME_MAX_BYTES = 512 };
wr_status shell_want_bytes(const wr_record *body, const char *name, uint32_t least, uint32_t most,
                           wr_record_value *out, wr_error *err);
wr_status shell_want_handle(const wr_record *body, const char *name, uint64_t *out, wr_error *err);
wr_status shell_read_resources(wr_shell *sh, const wr_record *body, const char *field, wr_res *out,
                               wr_error *err);
wr_status shell_read_class(wr_shell *sh, const shell_conn *conn, const wr_record *body, wr_class *out,
                           wr_error *err);
/* Why an actor that is not alive waits. */
void shell_actor_why(wr_shell *sh, const wr_core_actor_info *a, char *out, size_t size);
/* "name=value,..." as a map field; amounts: numbers. ops_view.c. */
void shell_list_field(wr_shell *sh, const char *name, wr_span list, bool amounts);
#define SHELL_CLASSES_NS (1000ull * 1000 * 1000) /* between two looks for classes that nobody uses */
bool shell_ports_scarce(const wr_shell *sh); /* more than 3/4 of the ports or rings of the pool are taken */
/* Closes classes that nobody has used for that long (N7); true: some were. */
bool shell_classes_tend(wr_shell *sh, bool scarce, uint64_t since_ns);
/* As the keeper's; at the limit classes that nobody uses make room. */
WR_MUST_USE wr_status shell_port_open(wr_shell *sh, bool actor, uint16_t *out, wr_error *err);
WR_MUST_USE wr_status shell_ring_open(wr_shell *sh, uint16_t port, uint32_t slot, uint32_t *out,
                                      wr_error *err);
void shell_port_cause_drop(wr_shell *sh, uint16_t port);
void shell_write_generation(wr_shell *sh,
                            uint16_t port); /* field "generation": of the port's present opening */
void shell_write_resources(wr_shell *sh, const char *name, const wr_res *res);
wr_status shell_need_worker(const shell_conn *conn, wr_error *err);
wr_status shell_hello(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err);
void shell_hello_started(wr_shell *sh, uint64_t ticket, uint32_t job);
void shell_hello_tick(wr_shell *sh); /* refuses drivers whose job did not begin in time */
void shell_actor_reply(wr_shell *sh, const wr_core_cmd *cmd);
void shell_names_reply(wr_shell *sh, const wr_core_cmd *cmd);
void shell_call_reply(wr_shell *sh, shell_call *call);
shell_job *shell_job_of(wr_shell *sh, uint32_t number);
void shell_job_drop(wr_shell *sh, uint32_t at); /* an entry of the table whose job has not begun */
void shell_job_forget(wr_shell *sh, uint32_t number);
uint64_t shell_env_of(wr_shell *sh, const char *runtime_env);
const char *shell_env_text(wr_shell *sh, uint64_t hash);

/* ---- procs.c: processes of all kinds ---- */
shell_proc *shell_proc_watch(wr_shell *sh, int pid, int pidfd,
                             bool child); /* pidfd -1: opened here; NULL: gone */
void shell_proc_close(shell_proc *proc);
void shell_proc_status(wr_shell *sh, int pid, int status);
void shell_procs_tick(wr_shell *sh);
void shell_kill(const shell_proc *proc, int signal);
/* fork and exec with PDEATHSIG; log: file for stdout and stderr, NULL: out and err are given. */
int shell_exec(char *const argv[], char *const envp[], const char *out, const char *err, const char *cwd);
/* How a process ended, and the last lines of its files: `err` first, which counts for more (either may be NULL). */
void shell_death_text(const shell_proc *proc, const char *err, const char *out_file, char *out, size_t size);

/* ---- forks.c: fork servers and workers ---- */
/* The server of a job's interpreter with that environment, started if need be; job NULL: the default one. */
shell_fork *shell_fork_of(wr_shell *sh, const shell_job *job, uint64_t env_hash);
void shell_forks_tick(wr_shell *sh); /* ends what no worker has needed for a while */
void shell_fork_died(wr_shell *sh, shell_fork *fork);
void shell_fork_serve(wr_shell *sh, shell_fork *fork); /* answers the fork_next that waits */
void shell_spawn(wr_shell *sh, uint32_t worker);
/* Puts before a text (what became of it) why nobody waited any longer. */
void shell_late_text(const wr_shell *sh, const char *what, const char *log, char *text, size_t size);
void shell_logs_named(wr_shell *sh, uint32_t worker); /* its process has its files open */
/* late: its time to start is over; a fork server that should have made it is ended with it. */
void shell_worker_kill(wr_shell *sh, uint32_t worker, bool late);
void shell_worker_forget(wr_shell *sh, uint32_t worker);
wr_status shell_fork_next(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                          wr_error *err);
wr_status shell_fork_done(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                          wr_error *err);
wr_status shell_fork_failed(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                            wr_error *err);
wr_status shell_fork_exited(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                            wr_error *err);

/* ---- fork_env.c: variables. A block owns its texts; one name comes once. ---- */
enum { SHELL_ENV_MAX = 4096 }; /* variables of a process; more are left out */
shell_env_block shell_env_new(void);
void shell_env_done(shell_env_block *block);
void shell_env_set(shell_env_block *block, const char *name, const char *value);
bool shell_env_equal(const shell_env_block *a, const shell_env_block *b);
const char *shell_env_value(const shell_env_block *block, const char *name); /* lent; NULL: not there */
shell_env_block shell_env_of_job(const shell_job *job); /* what its driver's hello gave */
/* Where the driver found whipray and what it needs, less what our own PYTHONPATH has; "" for most drivers. The caller frees
 * it. */
char *shell_import_path_of(const shell_job *job);
uint64_t shell_env_hash_of(const wr_core_worker_info *info, const shell_job *job);
/* Adds the variables of a runtime environment's JSON text; "${NAME}" in them is one of the job's, or of this process. */
void shell_env_add_json(const char *json, const shell_env_block *job_env, shell_env_block *out);
/* Every variable that a worker has beside those it inherits. */
void shell_env_of_worker(wr_shell *sh, uint32_t worker, const shell_job *job, shell_env_block *out);

/* ---- gcs.c ---- */
wr_status shell_gcs_start(wr_shell *sh, wr_error *err); /* process (head) and link */
void shell_gcs_died(wr_shell *sh);
/* Starts it again when its pause is over; kills one that hangs. */
void shell_gcs_tick(wr_shell *sh);
/* UNAVAILABLE, with what is the matter with it, for who has waited for it in vain. */
wr_status shell_gcs_absent(const wr_shell *sh, wr_error *err);
void shell_gcs_stop(wr_shell *sh);
wr_status shell_gcs_call(wr_shell *sh, uint64_t ticket, const wr_gcs_request *request, wr_error *err);

/* ---- logs.c ---- */
void shell_logs_start(wr_shell *sh);
void shell_logs_add(wr_shell *sh, const char *path, uint32_t job, int pid, bool err);
void shell_logs_forget(wr_shell *sh, uint32_t job);
void shell_logs_dead(wr_shell *sh, int pid);
void shell_logs_tick(wr_shell *sh);
wr_status shell_log_poll(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                         wr_error *err);
/* The last lines of a file, without the marks that name tasks; empty: there are none. */
void shell_log_last(const char *path, char *out, size_t size);

/* Reads what drivers wait for to the end of a file that is about to be emptied. */
void shell_logs_before_cut(wr_shell *sh, const char *path);

/* ---- rotate.c ---- */
void shell_rotate_tick(wr_shell *sh);
/* The log files of a worker that has ended stay until newer ones are more than the bounds. */
void shell_logs_of_dead(wr_shell *sh, const shell_worker *w);
void shell_sessions_prune(wr_shell *sh); /* in a thread of libuv's, until shell_end */

/* ---- detect.c ---- */
uint32_t shell_cpu_count(void);         /* of the machine or the container */
uint32_t shell_gpu_count(wr_shell *sh); /* fills gpu_ids */
void shell_node_ip(char out[64]);

/* Fork servers, one per interpreter, import path and environment, and workers: forked by them, or (in C) executed. */
#include "raylet/shell/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { FORK_FAILURES_MAX = 3, SPAWNS_PER_ANSWER = 64, ENV_SERVERS_MAX = 8 };

static void random_id(uint8_t *out, size_t n) {
    wr_random_bytes(out, n);
}

/* ---- The servers ---- */

/* The environment's variables are there from the beginning of the interpreter: only so do PYTHONPATH,
 * LD_LIBRARY_PATH, PYTHONHASHSEED, the number of OpenMP's threads and malloc's settings count. */
static shell_env_block server_env(const shell_fork *fork) {
    shell_env_block block = shell_env_new();
    for (char **at = environ; *at != NULL && block.count < SHELL_ENV_MAX - 1; at++) {
        block.items[block.count++] = shell_text(*at);
    }
    for (uint32_t i = 0; i < fork->env.count; i++) {
        char *equals = strchr(fork->env.items[i], '=');
        *equals = 0;
        shell_env_set(&block, fork->env.items[i], equals + 1);
        *equals = '=';
    }
    /* The environment's comes first; whipray itself may be found by the driver's or ours only. */
    const char *parts[] = {shell_env_value(&fork->env, "PYTHONPATH"), fork->import_path,
                           getenv("PYTHONPATH")};
    size_t bytes = 1, used = 0;
    for (size_t i = 0; i < WR_COUNT_OF(parts); i++) {
        bytes += parts[i] != NULL ? strlen(parts[i]) + 1 : 0;
    }
    char *path = shell_alloc(bytes);
    for (size_t i = 0; i < WR_COUNT_OF(parts); i++) {
        if (parts[i] != NULL && parts[i][0] != 0) {
            used += (size_t)snprintf(path + used, bytes - used, "%s%s", used > 0 ? ":" : "", parts[i]);
        }
    }
    if (used > 0) {
        shell_env_set(&block, "PYTHONPATH", path);
    }
    wr_free(path);
    shell_env_set(&block, "WHIPRAY_FORK_KEY", fork->python);
    return block;
}

static void start_server(wr_shell *sh, shell_fork *fork) {
    char *log = fork->log, name[64];
    static int number;
    snprintf(name, sizeof name, "logs/fork_server_%d.log", ++number);
    if (wr_paths_join(sh->args.session_dir, name, log, NULL) != WR_OK) {
        return;
    }
    char *argv[] = {fork->python,
                    "-P", /* nothing in our folder may shadow a module */
                    "-m",
                    "whipray._private.fork_server",
                    "--socket",
                    sh->socket_path,
                    "--token-file",
                    sh->args.token_file,
                    NULL};
    shell_env_block block = server_env(fork);
    int pid = shell_exec(argv, block.items, log, log, NULL);
    shell_env_done(&block);
    fork->proc = pid > 0 ? shell_proc_watch(sh, pid, -1, true) : NULL;
    if (fork->proc == NULL) {
        WR_LOG_ERROR("fork_server.start", "python=%s errno=%d", fork->python, errno);
        return;
    }
    fork->proc->kind = PROC_FORK_SERVER;
    fork->proc->fork = fork;
    fork->hung = false;
    fork->asked_at = wr_clock_ns();
    WR_LOG_INFO("fork_server.started", "pid=%d python=%s import_path=%s variables=%u log=%s", pid,
                fork->python, fork->import_path, fork->env.count, log);
}

static void forget_server(wr_shell *sh, shell_fork *fork) {
    for (shell_fork **at = &sh->forks; *at != NULL; at = &(*at)->next) {
        if (*at == fork) {
            *at = fork->next;
            break;
        }
    }
    shell_env_done(&fork->env);
    wr_free(fork->import_path);
    wr_free(fork->python);
    wr_free(fork);
}

/* Ends a server that has no worker; its death takes it out of the list. */
static void retire(wr_shell *sh, shell_fork *fork) {
    WR_ASSERT(fork->workers == 0);
    fork->retired = true;
    fork->asked_at = wr_clock_ns(); /* to end */
    if (fork->proc == NULL) {
        forget_server(sh, fork);
    } else {
        shell_kill(fork->proc, SIGTERM);
    }
}

/* The server that is warm before a driver comes stays. */
static bool may_retire(const shell_fork *fork) {
    return !fork->retired && (fork->env.count > 0 || fork->import_path[0] != 0);
}

/* The server of an environment that may end; NULL: each has workers, or there are fewer than `most`. */
static shell_fork *longest_idle(const wr_shell *sh, uint32_t most) {
    shell_fork *found = NULL;
    uint32_t count = 0;
    for (shell_fork *f = sh->forks; f != NULL; f = f->next) {
        bool counts = may_retire(f);
        count += counts;
        if (counts && f->workers == 0 && (found == NULL || f->idle_since < found->idle_since)) {
            found = f;
        }
    }
    return count >= most ? found : NULL;
}

/* Ends a server that does not come for its next order, or does not end when it was told to. Its death starts another,
 * where one is wanted. */
static void end_hung(wr_shell *sh, shell_fork *fork) {
    if (fork->proc != NULL && (fork->ticket == 0 || fork->retired) && !fork->hung) {
        WR_LOG_WARN("fork_server.hangs", "pid=%d after_ms=%llu log=%s", fork->proc->pid,
                    (unsigned long long)sh->args.register_ms, fork->log);
        fork->hung = true;
        shell_kill(fork->proc, SIGKILL);
    }
}

void shell_forks_tick(wr_shell *sh) {
    for (shell_fork *at = sh->forks; at != NULL; at = at->next) {
        if (wr_clock_ns() - at->asked_at >= sh->args.register_ms * 1000000ull) {
            end_hung(sh, at);
        }
    }
    shell_fork *f = longest_idle(sh, 1);
    if (f != NULL && wr_clock_ns() - f->idle_since >= sh->args.env_server_idle_ms * 1000000ull) {
        retire(sh, f);
    }
}

shell_fork *shell_fork_of(wr_shell *sh, const shell_job *job, uint64_t env_hash) {
    const char *python = job != NULL && job->python[0] != 0 ? job->python
                         : sh->args.python[0] != 0          ? sh->args.python
                                                            : "/usr/bin/python3";
    char *import_path = job != NULL ? shell_import_path_of(job) : shell_text("");
    shell_env_block env = shell_env_new();
    if (job != NULL) {
        shell_env_block job_env = shell_env_of_job(job);
        shell_env_add_json(shell_env_text(sh, env_hash), &job_env, &env);
        shell_env_done(&job_env);
    }
    for (shell_fork *f = sh->forks; f != NULL; f = f->next) {
        if (!f->retired && strcmp(f->python, python) == 0 && strcmp(f->import_path, import_path) == 0 &&
            shell_env_equal(&f->env, &env)) {
            shell_env_done(&env);
            wr_free(import_path);
            if (f->proc == NULL) { /* it died; a new try */
                start_server(sh, f);
            }
            return f;
        }
    }
    shell_fork *old = env.count > 0 || import_path[0] != 0 ? longest_idle(sh, ENV_SERVERS_MAX) : NULL;
    if (old != NULL) {
        retire(sh, old);
    }
    shell_fork *f = shell_alloc(sizeof *f);
    f->python = shell_text(python);
    f->import_path = import_path;
    f->env = env;
    f->idle_since = wr_clock_ns();
    f->next = sh->forks;
    sh->forks = f;
    start_server(sh, f);
    return f;
}

static void defer_failure(wr_shell *sh, uint32_t worker) {
    void *deferred = sh->deferred;
    shell_reserve(&deferred, &sh->deferred_capacity, sh->deferred_count + 1, sizeof *sh->deferred);
    sh->deferred = deferred;
    sh->deferred[sh->deferred_count++] = worker;
    shell_soon(sh);
}

void shell_fork_died(wr_shell *sh, shell_fork *fork) {
    if (fork->retired) {
        WR_LOG_INFO("fork_server.retired", "pid=%d", fork->proc->pid);
        shell_proc_close(fork->proc);
        if (fork->conn != NULL) {
            shell_conn_close(fork->conn);
        }
        forget_server(sh, fork);
        return;
    }
    shell_death_text(fork->proc, fork->log, NULL, sh->spawn_text, sizeof sh->spawn_text);
    if (fork->hung) {
        shell_late_text(sh, "the fork server did not make the worker", fork->log, sh->spawn_text,
                        sizeof sh->spawn_text);
    }
    WR_LOG_WARN("fork_server.died", "python=%s text=%s", fork->python, sh->spawn_text);
    shell_proc_close(fork->proc);
    fork->proc = NULL;
    if (fork->conn != NULL) {
        shell_conn_close(fork->conn);
    }
    fork->failures++;
    bool wanted = false;
    for (uint32_t i = 0; i < sh->worker_capacity; i++) {
        shell_worker *w = sh->workers[i];
        if (w != NULL && w->fork == fork && w->proc == NULL) {
            if (w->asked || fork->failures >= FORK_FAILURES_MAX) {
                w->queued = false;
                defer_failure(sh, i);
            } else {
                wanted = true;
            }
        }
    }
    if (wanted && !sh->ending) {
        start_server(sh, fork);
    }
}

/* ---- Spawning ---- */

/* Ray's names of the log files end in the pid, which is known only when the files are open already: a second name
 * for them,
 * and the first goes when the worker says hello. */
static void log_files(wr_shell *sh, shell_worker *w, int pid) {
    char *paths[] = {w->out, w->err};
    for (int i = 0; i < 2; i++) {
        char named[WR_PATH_MAX];
        size_t stem = strlen(paths[i]) - 4; /* ".out", ".err" */
        int n = snprintf(named, sizeof named, "%.*s-%d%s", (int)stem, paths[i], pid, paths[i] + stem);
        if (n > 0 && n < WR_PATH_MAX && link(paths[i], named) == 0) {
            memcpy(i == 0 ? w->first_out : w->first_err, paths[i], strlen(paths[i]) + 1);
            w->named = true;
            memcpy(paths[i], named, (size_t)n + 1);
        }
        shell_logs_add(sh, paths[i], w->job, pid, i == 1);
    }
}

void shell_logs_named(wr_shell *sh, uint32_t worker) {
    shell_worker *w = sh->workers[worker];
    if (w->named && w->slot != 0) {
        unlink(w->first_out);
        unlink(w->first_err);
    }
}

static void spawn_c(wr_shell *sh, uint32_t worker, shell_job *job) {
    shell_worker *w = sh->workers[worker];
    char program[WR_PATH_MAX], cookie[2 * SHELL_COOKIE_BYTES + 1];
    wr_hex_encode(w->cookie, SHELL_COOKIE_BYTES, cookie);
    if (wr_paths_join(sh->args.bin_dir, "whipray-worker", program, NULL) != WR_OK) {
        defer_failure(sh, worker);
        return;
    }
    char *argv[] = {program, "--socket", sh->socket_path, "--token-file", sh->args.token_file, "--cookie",
                    cookie,  NULL};
    shell_env_block block = shell_env_new();
    for (char **at = environ; *at != NULL && block.count < SHELL_ENV_MAX - 1; at++) {
        block.items[block.count++] = shell_text(*at);
    }
    shell_env_of_worker(sh, worker, job, &block);
    int pid = shell_exec(argv, block.items, w->out, w->err, job->cwd);
    shell_env_done(&block);
    shell_proc *proc = pid > 0 ? shell_proc_watch(sh, pid, -1, true) : NULL;
    if (proc == NULL) {
        defer_failure(sh, worker);
        return;
    }
    proc->kind = PROC_WORKER;
    proc->worker = worker;
    proc->job = job->number;
    w->proc = proc;
    log_files(sh, w, pid);
}

void shell_spawn(wr_shell *sh, uint32_t worker) {
    wr_core_worker_info info;
    if (!wr_raylet_core_worker_info(sh->core, worker, &info)) {
        return; /* it was given up within the same step */
    }
    uint32_t old = sh->worker_capacity;
    void *workers = sh->workers;
    shell_reserve(&workers, &sh->worker_capacity, worker + 1, sizeof *sh->workers);
    sh->workers = workers;
    memset(sh->workers + old, 0, (sh->worker_capacity - old) * sizeof *sh->workers);
    WR_ASSERT(sh->workers[worker] == NULL);
    shell_worker *w = shell_alloc(sizeof *w);
    sh->workers[worker] = w;
    shell_job *job = shell_job_of(sh, info.job);
    random_id(w->cookie, sizeof w->cookie);
    random_id(w->worker_id, sizeof w->worker_id);
    w->job = info.job;
    if (job == NULL || sh->ending) {
        defer_failure(sh, worker);
        return;
    }
    char id[2 * WR_WORKER_ID_BYTES + 1], job_hex[9], name[160];
    uint8_t job_bytes[4] = {(uint8_t)job->number, (uint8_t)(job->number >> 8), (uint8_t)(job->number >> 16),
                            (uint8_t)(job->number >> 24)};
    wr_hex_encode(w->worker_id, WR_WORKER_ID_BYTES, id);
    wr_hex_encode(job_bytes, 4, job_hex);
    snprintf(name, sizeof name, "logs/worker-%s-%s.out", id, job_hex);
    wr_status a = wr_paths_join(sh->args.session_dir, name, w->out, NULL);
    snprintf(name, sizeof name, "logs/worker-%s-%s.err", id, job_hex);
    wr_status b = wr_paths_join(sh->args.session_dir, name, w->err, NULL);
    const char *paths[] = {w->out, w->err};
    for (int i = 0; i < 2; i++) { /* there before its process is: log_files gives it a second name */
        int fd = open(paths[i], O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
        if (fd >= 0) {
            close(fd);
        }
    }
    if (a != WR_OK || b != WR_OK) {
        defer_failure(sh, worker);
        return;
    }
    if (info.language == WR_LANGUAGE_C) {
        spawn_c(sh, worker, job);
        return;
    }
    w->fork = shell_fork_of(sh, job, shell_env_hash_of(&info, job));
    w->fork->workers++;
    w->queued = w->fork->proc != NULL;
    if (!w->queued) {
        defer_failure(sh, worker);
    }
}

void shell_late_text(const wr_shell *sh, const char *what, const char *log, char *text, size_t size) {
    char how[WR_ERROR_TEXT_MAX];
    int n = snprintf(how, sizeof how, "%s", text);
    n = n < 0 ? n
              : snprintf(text, size, "%s within %g s (worker_register_timeout_seconds); its log is %s; %s",
                         what, (double)sh->args.register_ms / 1000, log, how);
    WR_ASSERT(n > 0); /* what does not fit is cut */
}

void shell_worker_kill(wr_shell *sh, uint32_t worker, bool late) {
    shell_worker *w = worker < sh->worker_capacity ? sh->workers[worker] : NULL;
    if (w == NULL) {
        return;
    }
    w->kill = true;
    if (w->proc != NULL) {
        w->late = late;
        shell_kill(w->proc, SIGKILL);
    } else if (w->queued) {
        w->queued = false;
        if (late && w->fork != NULL) { /* one that was to be killed anyway is forgotten without a word */
            snprintf(sh->spawn_text, sizeof sh->spawn_text, "it was ended");
            shell_late_text(sh, "the fork server was not ready", w->fork->log, sh->spawn_text,
                            sizeof sh->spawn_text);
            end_hung(sh, w->fork);
        }
        defer_failure(sh, worker);
    } else if (late && w->fork != NULL) { /* its death says that the worker could not be started */
        end_hung(sh, w->fork);
    } /* else it is being forked: killed at fork_done */
}

void shell_worker_forget(wr_shell *sh, uint32_t worker) {
    shell_worker *w = worker < sh->worker_capacity ? sh->workers[worker] : NULL;
    if (w == NULL) {
        return;
    }
    if (w->conn != NULL) {
        w->conn->worker = WR_CORE_NONE;
        w->conn->slot = 0;
    }
    if (w->proc != NULL) {
        shell_proc_close(w->proc);
    }
    if (w->named) { /* it may have ended before its hello */
        unlink(w->first_out);
        unlink(w->first_err);
    }
    shell_logs_of_dead(sh, w);
    if (w->fork != NULL) {
        w->fork->workers--;
        w->fork->idle_since = wr_clock_ns();
    }
    sh->workers[worker] = NULL;
    wr_free(w->cancels);
    wr_free(w);
}

/* ---- The fork server's ops ---- */

static shell_fork *fork_of(shell_conn *conn, wr_error *err) {
    if (conn->kind != 4 || conn->fork == NULL) {
        WR_FAIL(err, WR_E_DENIED, "this op is for fork servers that this raylet started");
        return NULL;
    }
    return conn->fork;
}

static void write_env(wr_shell *sh, uint32_t worker, const shell_job *job) {
    shell_env_block block = shell_env_new();
    shell_env_of_worker(sh, worker, job, &block);
    wr_record_list_begin(&sh->w, "env");
    for (uint32_t i = 0; i < block.count; i++) {
        wr_record_bytes(&sh->w, NULL, block.items[i], strlen(block.items[i]));
    }
    wr_record_list_end(&sh->w);
    shell_env_done(&block);
}

void shell_fork_serve(wr_shell *sh, shell_fork *fork) {
    if (fork->ticket == 0) {
        return;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < sh->worker_capacity; i++) {
        count += sh->workers[i] != NULL && sh->workers[i]->queued && sh->workers[i]->fork == fork;
    }
    if (count == 0) {
        return;
    }
    shell_ticket t;
    shell_conn *conn = shell_ticket_take(sh, fork->ticket, &t);
    fork->ticket = 0;
    fork->asked_at = wr_clock_ns();
    if (conn == NULL) {
        return;
    }
    wr_record_begin(&sh->w);
    wr_record_list_begin(&sh->w, "spawn");
    count = 0;
    for (uint32_t i = 0; i < sh->worker_capacity && count < SPAWNS_PER_ANSWER; i++) {
        shell_worker *w = sh->workers[i];
        shell_job *job = w != NULL && w->queued && w->fork == fork ? shell_job_of(sh, w->job) : NULL;
        if (job == NULL) {
            continue;
        }
        count++;
        w->queued = false;
        w->asked = true;
        char id[2 * WR_WORKER_ID_BYTES + 1];
        wr_hex_encode(w->worker_id, WR_WORKER_ID_BYTES, id);
        wr_record_map_begin(&sh->w, NULL);
        wr_record_bytes(&sh->w, "cookie", w->cookie, SHELL_COOKIE_BYTES);
        write_env(sh, i, job);
        wr_record_list_begin(&sh->w, "unset");
        wr_record_list_end(&sh->w);
        wr_record_string(&sh->w, "cwd", job->cwd);
        wr_record_string(&sh->w, "stdout", w->out);
        wr_record_string(&sh->w, "stderr", w->err);
        wr_record_string(&sh->w, "worker_id", id);
        wr_record_int(&sh->w, "niceness", 0);
        wr_record_map_end(&sh->w);
    }
    wr_record_list_end(&sh->w);
    shell_reply(conn, t.request, -1);
}

wr_status shell_fork_next(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                          wr_error *err) {
    (void)body;
    shell_fork *fork = fork_of(conn, err);
    if (fork == NULL) {
        return WR_E_DENIED;
    }
    fork->failures = 0;
    fork->ticket = shell_ticket_new(sh, conn, request, TICKET_FORK);
    shell_fork_serve(sh, fork);
    return WR_E_AGAIN;
}

static uint32_t worker_of_cookie(const wr_shell *sh, const wr_record *body) {
    wr_record_value v;
    if (!wr_record_find(body, "cookie", &v) || v.type != 'b' || v.count != SHELL_COOKIE_BYTES) {
        return WR_CORE_NONE;
    }
    for (uint32_t i = 0; i < sh->worker_capacity; i++) {
        if (sh->workers[i] != NULL && memcmp(sh->workers[i]->cookie, v.bytes, SHELL_COOKIE_BYTES) == 0) {
            return i;
        }
    }
    return WR_CORE_NONE;
}

wr_status shell_fork_done(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                          wr_error *err) {
    (void)request;
    shell_fork *fork = fork_of(conn, err);
    if (fork == NULL) {
        return WR_E_DENIED;
    }
    int pid = (int)wr_record_get_int(body, "pid", 0), pidfd = -1;
    uint32_t worker = worker_of_cookie(sh, body);
    if (conn->fd_count > 0) {
        pidfd = conn->fds[0];
        conn->fd_count--;
        memmove(conn->fds, conn->fds + 1, conn->fd_count * sizeof conn->fds[0]);
    }
    shell_worker *w = worker != WR_CORE_NONE ? sh->workers[worker] : NULL;
    if (w == NULL || (w->proc != NULL && w->proc->pid == pid)) { /* its hello was faster than this report */
        if (pidfd >= 0) {
            close(pidfd);
        }
        if (w !=
            NULL) { /* else it has ended since then, and is forgotten: the server has done nothing wrong */
            log_files(sh, w, pid);
            shell_logs_named(sh, worker);
        }
        return WR_OK;
    }
    if (w->fork != fork || w->proc != NULL || pid <= 0) {
        if (pidfd >= 0) {
            close(pidfd);
        }
        return WR_FAIL(err, WR_E_PROTOCOL, "fork_done for a worker that nobody asked for");
    }
    w->proc = shell_proc_watch(sh, pid, pidfd, false);
    if (w->proc == NULL) { /* gone already, and no pidfd came along */
        defer_failure(sh, worker);
        return WR_OK;
    }
    w->proc->kind = PROC_WORKER;
    w->proc->worker = worker;
    w->proc->job = w->job;
    log_files(sh, w, pid);
    if (w->kill) {
        shell_kill(w->proc, SIGKILL);
    }
    return WR_OK;
}

wr_status shell_fork_failed(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                            wr_error *err) {
    (void)request;
    if (fork_of(conn, err) == NULL) {
        return WR_E_DENIED;
    }
    char text[SHELL_TEXT_MAX];
    uint32_t worker = worker_of_cookie(sh, body);
    if (!wr_record_get_string(body, "text", text, sizeof text)) {
        snprintf(text, sizeof text, "fork failed");
    }
    WR_LOG_WARN("worker.fork_failed", "text=%s", text);
    if (worker != WR_CORE_NONE && sh->workers[worker]->proc == NULL) {
        wr_raylet_core_worker_failed(sh->core, wr_clock_ns(), worker, text);
    }
    return WR_OK;
}

wr_status shell_fork_exited(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                            wr_error *err) {
    (void)request;
    if (fork_of(conn, err) == NULL) {
        return WR_E_DENIED;
    }
    shell_proc_status(sh, (int)wr_record_get_int(body, "pid", 0), (int)wr_record_get_int(body, "status", 0));
    return WR_OK;
}

/* The pass over the pool, the core's commands, the loop's clock, and the end. */
#include "raylet/shell/shell.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define METHOD_BIT 0x80000000u /* WR_METHOD of the public header */
/* Between two passes when nobody rings. What rings or asks brings the next one at once; a pass in between drains what clients
 * write without ringing, and keeps time slices fair. */
enum { PASS_MS = 100, PASS_QUIET_MS = 500 };
#define QUIET_AFTER_NS (2ull * 1000 * 1000 * 1000)
#define END_PATIENCE_NS                                                                                      \
    (120ull * 1000 * 1000) /* from SIGTERM of the GCS to its SIGKILL, and to the loop's end */

void *shell_alloc(size_t bytes) {
    void *memory = wr_calloc(1, bytes);
    WR_ASSERT(memory != NULL);
    return memory;
}

char *shell_text(const char *text) {
    char *copy = shell_alloc(strlen(text) + 1);
    memcpy(copy, text, strlen(text));
    return copy;
}

void shell_reserve(void **items, uint32_t *capacity, uint32_t need, size_t bytes) {
    wr_status status = wr_array_reserve(items, capacity, need, bytes, NULL);
    WR_ASSERT(status == WR_OK);
}

/* ---- Errors of lost tasks ---- */

static void lost(void *arg, wr_handle handle, uint32_t function, wr_lost_reason reason, uint32_t attempt,
                 wr_result *out) {
    wr_shell *sh = arg;
    wr_error err;
    memset(&err, 0, sizeof err);
    const shell_worker *w = sh->lost_worker < sh->worker_capacity ? sh->workers[sh->lost_worker] : NULL;
    const char *name =
        function != 0 && function <= sh->function_count && sh->functions[function - 1].name != NULL
            ? sh->functions[function - 1].name
            : NULL;
    char method[32] = ""; /* whose name the caller knows */
    if ((function & METHOD_BIT) != 0) {
        snprintf(method, sizeof method, "method %u: ", function & ~METHOD_BIT);
    }
    switch (reason) {
    case WR_LOST_OWNER_DIED:
        WR_FAIL(&err, WR_E_OWNER_DIED, "the process that submitted it has died: %s", sh->lost_text);
        break;
    case WR_LOST_ACTOR_RESTARTING:
        WR_FAIL(&err, WR_E_ACTOR_UNAVAILABLE,
                "%sthe actor's process ended and is being restarted; the call may have run: %s", method,
                sh->lost_text);
        break;
    case WR_LOST_ACTOR_DIED:
        WR_FAIL(&err,
                sh->lost_status == WR_E_PG_REMOVED || sh->lost_status == WR_E_UNSCHEDULABLE ? sh->lost_status
                                                                                            : WR_E_ACTOR_DIED,
                "%s%s", method, sh->lost_text);
        break;
    default:
        if (w != NULL && w->cancelled == handle) {
            WR_FAIL(&err, WR_E_CANCELLED, "the task was cancelled by force");
        } else if (sh->lost_status == WR_E_WORKER_DIED) {
            WR_FAIL(&err, WR_E_WORKER_DIED, "%s%sattempt %u was the last: %s", name != NULL ? name : "",
                    name != NULL ? ": " : "", attempt + 1, sh->lost_text);
        } else {
            WR_FAIL(&err, sh->lost_status, "%s", sh->lost_text);
        }
    }
    shell_error_result(sh->pool, wr_keeper_proc(sh->keeper), &err, out);
}

/* Seals a task that is not running as an error, if it is not done. */
static void task_fail(wr_shell *sh, wr_handle handle, wr_status status, const char *text) {
    wr_error err;
    wr_result result;
    memset(&err, 0, sizeof err);
    WR_FAIL(&err, status, "%s", text);
    shell_error_result(sh->pool, wr_keeper_proc(sh->keeper), &err, &result);
    if (!wr_keeper_fail(sh->keeper, handle, &result)) {
        shell_result_discard(wr_keeper_proc(sh->keeper), &result);
    }
}

static void slot_dead(wr_shell *sh, const wr_core_cmd *cmd) {
    for (const shell_proc *p = sh->procs; p != NULL; p = p->next) {
        if (p->kind == PROC_DRIVER && p->slot == cmd->slot && !p->exited) {
            return; /* its job is over, but it may still write: its exit is waited for */
        }
    }
    shell_worker *w = cmd->worker < sh->worker_capacity ? sh->workers[cmd->worker] : NULL;
    shell_job *job = shell_job_of(sh, cmd->job);
    if (job != NULL) {
        wr_proc_counters c;
        wr_pool_counters(sh->pool, cmd->slot, &c);
        job->dead.submitted += c.submitted;
        job->dead.executed += c.executed;
        job->dead.calls_submitted += c.calls_submitted;
        job->dead.calls_executed += c.calls_executed;
        job->dead.put += c.put;
        job->dead.put_bytes += c.put_bytes;
        job->dead.sealed += c.sealed;
        job->dead.sealed_bytes += c.sealed_bytes;
    }
    sh->lost_status = cmd->status;
    sh->lost_worker = cmd->worker;
    snprintf(sh->lost_text, sizeof sh->lost_text, "%s", cmd->text);
    /* A forced cancel is no failure to retry. */
    wr_keeper_no_retry(sh->keeper, w != NULL ? w->cancelled : 0);
    wr_keeper_slot_dead(sh->keeper, cmd->slot, lost, sh);
    if (w != NULL && w->cancelled != 0) { /* or it had given the task back itself */
        task_fail(sh, w->cancelled, WR_E_CANCELLED, "the task was cancelled by force");
    }
    sh->lost_worker = WR_CORE_NONE;
}

static void port_fail(wr_shell *sh, const wr_core_cmd *cmd) {
    wr_proc *proc = wr_keeper_proc(sh->keeper);
    wr_error err;
    wr_result result;
    wr_handle cause = 0;
    sh->lost_status = cmd->status;
    sh->lost_worker = WR_CORE_NONE;
    snprintf(sh->lost_text, sizeof sh->lost_text, "%s", cmd->text);
    if (!cmd->flag) {
        memset(&err, 0, sizeof err);
        WR_FAIL(&err, cmd->status, "%s", cmd->text);
        shell_error_result(sh->pool, proc, &err, &result);
        if (wr_proc_put(proc, &result, &cause, &err) == WR_OK) {
            wr_proc_share(proc, cause);
        } else {
            cause = 0;
        }
    }
    sh->port_causes[cmd->port] = cause;
    wr_lost_reason reason = cmd->status == WR_E_OWNER_DIED ? WR_LOST_OWNER_DIED : WR_LOST_ACTOR_DIED;
    bool task_error =
        cmd->status == WR_E_ENV_SETUP || cmd->status == WR_E_CANCELLED || cmd->status == WR_E_WORKER_DIED;
    if (cmd->handle != 0) {
        task_fail(sh, cmd->handle, cmd->status, cmd->text);
    }
    wr_keeper_port_fail(sh->keeper, cmd->port, cause, task_error ? WR_LOST_WORKER_DIED : reason, lost, sh);
}

void shell_port_cause_drop(wr_shell *sh, uint16_t port) {
    if (sh->port_causes[port] != 0) {
        wr_proc_unref(wr_keeper_proc(sh->keeper), sh->port_causes[port]);
        sh->port_causes[port] = 0;
    }
}

static void port_close(wr_shell *sh, uint16_t port) {
    shell_port_cause_drop(sh, port);
    wr_keeper_port_close(sh->keeper, port);
}

static void seal_ready(wr_shell *sh, const wr_core_cmd *cmd) {
    wr_proc *proc = wr_keeper_proc(sh->keeper);
    wr_claim claim;
    wr_result result;
    shell_empty_result(&result);
    if (wr_proc_claim(proc, 0, cmd->handle, &claim) != WR_OK) {
        return;
    }
    if (cmd->status != WR_OK) {
        wr_error err;
        memset(&err, 0, sizeof err);
        WR_FAIL(&err, cmd->status, "%s", cmd->text);
        shell_error_result(sh->pool, proc, &err, &result);
    }
    (void)wr_proc_seal(proc, &claim, &result);
}

static void forget_ready(wr_shell *sh, wr_handle handle) {
    wr_proc *proc = wr_keeper_proc(sh->keeper);
    wr_claim claim;
    wr_result result;
    if (wr_cell_state_of(sh->pool, handle) == WR_CELL_READY &&
        wr_proc_claim(proc, 0, handle, &claim) == WR_OK) {
        shell_empty_result(&result);
        (void)wr_proc_seal(proc, &claim, &result); /* what is not done pins its cell */
    }
    wr_proc_unref(proc, handle);
}

static void told_ready(wr_shell *sh, const char *line) {
    if (sh->args.ready_fd >= 0 && !sh->ready_told) {
        ssize_t ignored = write(sh->args.ready_fd, line, strlen(line));
        (void)ignored;
        close(sh->args.ready_fd);
    }
    sh->ready_told = true;
}

static void write_session(wr_shell *sh) {
    char path[WR_PATH_MAX], node[2 * WR_NODE_ID_BYTES + 1];
    size_t size = 8 * WR_PATH_MAX;
    char *text = shell_alloc(size);
    wr_error err;
    wr_hex_encode(sh->node_id.bytes, WR_NODE_ID_BYTES, node);
    snprintf(text, size,
             "{\"gcs_address\": \"%s\", \"raylet_socket\": \"%s\", \"session_dir\": \"%s\", \"token_file\": "
             "\"%s\", \"node_ip\": \"%s\",\n"
             " \"node_id\": \"%s\", \"raylet_pid\": %d, \"gcs_pid\": %d}\n",
             sh->gcs_target, sh->socket_path, sh->args.session_dir, sh->args.token_file, sh->args.node_ip,
             node, (int)getpid(), sh->gcs != NULL ? sh->gcs->pid : 0);
    if (wr_paths_join(sh->args.session_dir, "session.json", path, &err) != WR_OK ||
        wr_paths_write(path, text, &err) != WR_OK) {
        WR_LOG_WARN("session.not_written", "text=%s", err.text);
    }
    wr_free(text);
}

static void execute(wr_shell *sh, const wr_core_cmd *cmd) {
    wr_error err;
    switch (cmd->type) {
    case WR_CMD_ASSIGN:
        wr_keeper_assign(sh->keeper, cmd->slot, cmd->word);
        break;
    case WR_CMD_TAKERS:
        wr_keeper_port_takers(sh->keeper, cmd->port, cmd->count, cmd->flag);
        break;
    case WR_CMD_PORT_STATE:
        wr_keeper_port_state(sh->keeper, cmd->port, (wr_port_state)cmd->word, 0);
        break;
    case WR_CMD_PORT_FAIL:
        port_fail(sh, cmd);
        break;
    case WR_CMD_PORT_CLOSE:
        port_close(sh, cmd->port);
        break;
    case WR_CMD_REWIND:
        wr_keeper_actor_rewind(sh->keeper, cmd->port);
        break;
    case WR_CMD_SLOT_DEAD:
        slot_dead(sh, cmd);
        break;
    case WR_CMD_SPAWN:
        shell_spawn(sh, cmd->worker);
        break;
    case WR_CMD_KILL:
        shell_worker_kill(sh, cmd->worker, cmd->flag);
        break;
    case WR_CMD_FORGET:
        shell_worker_forget(sh, cmd->worker);
        break;
    case WR_CMD_HOLD:
        wr_keeper_hold(sh->keeper, cmd->handle);
        break;
    case WR_CMD_DROP:
        wr_keeper_drop(sh->keeper, cmd->handle);
        break;
    case WR_CMD_WATCH:
        if (wr_keeper_watch(sh->keeper, cmd->handle, cmd->tag, &err) != WR_OK) {
            WR_LOG_WARN("actor.not_watched", "text=%s", err.text);
        }
        break;
    case WR_CMD_REPLY:
        shell_actor_reply(sh, cmd);
        break;
    case WR_CMD_NAMES:
        shell_names_reply(sh, cmd);
        break;
    case WR_CMD_JOB_STARTED:
        shell_hello_started(sh, cmd->ticket, cmd->job);
        break;
    case WR_CMD_JOB_GONE:
        WR_LOG_INFO("job.gone", "job=%u", cmd->job);
        shell_job_forget(sh, cmd->job);
        break;
    case WR_CMD_PG_READY:
        seal_ready(sh, cmd);
        break;
    case WR_CMD_PG_FORGET:
        forget_ready(sh, cmd->handle);
        break;
    case WR_CMD_IDENTIFY:
        sh->cluster_id = cmd->tag;
        sh->node_id = wr_node_id_make(cmd->tag, cmd->word);
        wr_gcs_link_identify(sh->link, cmd->word);
        write_session(sh);
        WR_LOG_INFO("node.joined", "incarnation=%u cluster=%016llx", cmd->word, (unsigned long long)cmd->tag);
        told_ready(sh, "OK\n");
        break;
    case WR_CMD_DRAW_NONCE: {
        wr_nonce nonce;
        wr_random_bytes(nonce.bytes, sizeof nonce.bytes);
        wr_raylet_core_nonce(sh->core, &nonce);
        break;
    }
    case WR_CMD_END:
        shell_end(sh, cmd->text);
        break;
    case WR_CMD_TAKE: /* no link to other raylets is built: the grant is answered as unused */
        wr_raylet_core_taken(sh->core, wr_clock_ns(), cmd->port, cmd->node, cmd->tag, NULL, 0);
        break;
    case WR_CMD_PUT_BACK:
    case WR_CMD_SEAL:
    case WR_CMD_RUN:
    case WR_CMD_UNRUN:
        WR_LOG_ERROR("command.without_link", "type=%d", (int)cmd->type);
        break;
    }
}

void shell_drain(wr_shell *sh) {
    if (sh->draining) {
        return; /* a command led here: the loop below goes on to what it added */
    }
    sh->draining = true;
    for (;;) {
        uint32_t count, i = 0;
        const wr_core_cmd *cmds = wr_raylet_core_cmds(sh->core, &count);
        while (i < count) {
            wr_core_cmd cmd = cmds[i++]; /* executing may add commands, and so move them */
            execute(sh, &cmd);
            cmds = wr_raylet_core_cmds(sh->core, &count);
        }
        const wr_outbox *box = wr_raylet_core_outbox(sh->core);
        wr_error err;
        if (box->count > 0 && sh->link != NULL && wr_gcs_link_send_all(sh->link, box, &err) != WR_OK) {
            WR_LOG_ERROR("gcs.send", "text=%s", err.text);
        }
        wr_raylet_core_clear(sh->core);
        if (sh->deferred_count == 0) {
            break;
        }
        while (sh->deferred_count > 0) {
            uint32_t worker = sh->deferred[--sh->deferred_count];
            char text[WR_ERROR_TEXT_MAX];
            snprintf(text, sizeof text, "%s",
                     sh->spawn_text[0] != 0 ? sh->spawn_text : "its process could not be started");
            wr_raylet_core_worker_failed(sh->core, wr_clock_ns(), worker, text);
        }
    }
    for (shell_fork *f = sh->forks; f != NULL; f = f->next) {
        shell_fork_serve(sh, f);
    }
    sh->draining = false;
}

/* ---- The pass ---- */

static void on_timer(uv_timer_t *timer) {
    shell_pass(timer->data);
}

static void read_facts(wr_shell *sh, uint64_t now) {
    uint32_t cursor = 0, worker, actor;
    uint16_t port;
    wr_port_info info;
    wr_slot_info slot;
    while (wr_raylet_core_class_next(sh->core, &cursor, &port)) {
        wr_keeper_port_info(sh->keeper, port, &info);
        wr_raylet_core_class_fact(sh->core, now, port, &info);
    }
    cursor = 0;
    wr_core_worker_info w;
    while (wr_raylet_core_worker_next(sh->core, &cursor, &worker)) {
        if (wr_raylet_core_worker_info(sh->core, worker, &w) && w.state == WR_CW_CLASS && w.slot != 0) {
            wr_keeper_slot_info(sh->keeper, w.slot, &slot);
            wr_raylet_core_worker_fact(sh->core, now, worker, &slot);
            shell_worker *seen = sh->workers[worker];
            if (seen != NULL && seen->running != slot.running) {
                seen->running = slot.running;
                seen->running_since = now;
            }
        }
    }
    cursor = 0;
    wr_core_actor_info a;
    while (wr_raylet_core_draining(sh->core, &cursor, &actor)) {
        if (!wr_raylet_core_actor_info(sh->core, actor, &a)) {
            continue;
        }
        wr_keeper_port_info(sh->keeper, a.spec->port, &info);
        memset(&slot, 0, sizeof slot);
        if (a.worker != WR_CORE_NONE && wr_raylet_core_worker_info(sh->core, a.worker, &w) && w.slot != 0) {
            wr_keeper_slot_info(sh->keeper, w.slot, &slot);
        }
        if (info.queued == 0 && slot.lanes_running == 0) {
            wr_raylet_core_drained(sh->core, now, actor);
        }
    }
}

static void keeper_events(wr_shell *sh, uint64_t now) {
    wr_keeper_event event;
    static uint64_t last_full;
    while (wr_keeper_next(sh->keeper, &event)) {
        if (event.type == WR_KEEPER_UNHELD) {
            wr_raylet_core_unheld(sh->core, now, event.tag);
        } else if (event.type == WR_KEEPER_STORE_FULL && now - last_full > 1000000000ull) {
            last_full = now;
            WR_LOG_WARN("store.full", "slot=%u asked_bytes=%llu", event.slot, (unsigned long long)event.tag);
        }
    }
}

/* Some worker runs tasks, or is on its way. */
static bool is_busy(const wr_shell *sh) {
    uint32_t cursor = 0, worker;
    wr_core_worker_info w;
    while (wr_raylet_core_worker_next(sh->core, &cursor, &worker)) {
        if (wr_raylet_core_worker_info(sh->core, worker, &w) && w.state != WR_CW_IDLE &&
            w.state != WR_CW_ACTOR && !(w.state == WR_CW_CLASS && w.idle)) {
            return true;
        }
    }
    return false;
}

static void check_end(wr_shell *sh, uint64_t now) {
    bool left = false;
    for (shell_proc *p = sh->procs; p != NULL; p = p->next) {
        left |= p->kind != PROC_DRIVER && !p->exited;
        if (now >= sh->end_at && p->kind != PROC_DRIVER) {
            shell_kill(p, SIGKILL);
        }
    }
    if (!left || now >= sh->end_at + END_PATIENCE_NS / 4) {
        uv_stop(&sh->loop);
    }
}

void shell_pass(wr_shell *sh) {
    uint64_t now = wr_clock_ns();
    sh->last_pass = now;
    sh->again = false;
    if (sh->ending) {
        shell_procs_tick(sh);
        check_end(sh, now);
        uv_timer_start(&sh->timer, on_timer, 2, 0);
        return;
    }
    shell_listen_again(sh);
    shell_conns_tick(sh);
    if (sh->ending) { /* its socket was removed */
        return;
    }
    bool more = wr_keeper_pass(sh->keeper);
    keeper_events(sh, now);
    read_facts(sh, now);
    if (now >= sh->classes_at) {
        sh->classes_at = now + SHELL_CLASSES_NS;
        shell_classes_tend(sh, shell_ports_scarce(sh), SHELL_CLASSES_NS);
    }
    shell_procs_tick(sh);
    shell_logs_tick(sh);
    shell_forks_tick(sh);
    shell_gcs_tick(sh);
    shell_hello_tick(sh);
    shell_rotate_tick(sh);
    wr_raylet_core_tick(sh->core, wr_clock_ns());
    shell_drain(sh);
    now = wr_clock_ns();
    sh->active_at = more || sh->again || is_busy(sh) ? now : sh->active_at;
    uint64_t next = wr_raylet_core_next(sh->core);
    uint64_t wait_ms = now - sh->active_at > QUIET_AFTER_NS ? PASS_QUIET_MS : PASS_MS;
    if (next <= now) {
        wait_ms = 1;
    } else if ((next - now) / 1000000 < wait_ms) {
        wait_ms = (next - now) / 1000000 + 1;
    }
    wait_ms = more || sh->again ? 1 : wait_ms;
    uv_timer_start(&sh->timer, on_timer, wait_ms, 0);
}

void shell_soon(wr_shell *sh) {
    uv_timer_start(&sh->timer, on_timer, 0, 0);
}

void shell_in(wr_shell *sh, uint64_t ms) {
    if (uv_timer_get_due_in(&sh->timer) > ms) {
        uv_timer_start(&sh->timer, on_timer, ms, 0);
    }
}

/* ---- The end ---- */

void shell_end(wr_shell *sh, const char *why) {
    if (sh->ending) {
        return;
    }
    WR_LOG_INFO("raylet.ends", "why=%s", why);
    if (!sh->ready_told) {
        char line[WR_ERROR_TEXT_MAX + 16];
        (void)snprintf(line, sizeof line, "ERROR %.700s", why);
        for (char *at = line; *at != 0; at++) {
            *at = *at == '\n' ? ' ' : *at; /* one line */
        }
        line[strlen(line) + 1] = 0;
        line[strlen(line)] = '\n';
        told_ready(sh, line);
    }
    wr_raylet_core_leave(sh->core, why);
    shell_drain(sh);
    sh->ending = true;
    __atomic_store_n(&sh->prune_stop, 1, __ATOMIC_RELEASE);
    sh->end_at = wr_clock_ns() + END_PATIENCE_NS;
    wr_pool_poison(sh->pool, why);
    unlink(sh->socket_path);
    for (shell_proc *p = sh->procs; p != NULL; p = p->next) {
        if (p->kind == PROC_WORKER || p->kind == PROC_FORK_SERVER) {
            shell_kill(p, SIGKILL);
        }
    }
    shell_gcs_stop(sh);
    shell_soon(sh);
}

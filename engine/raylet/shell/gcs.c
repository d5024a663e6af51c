/* The GCS: its process on the head node, and the link to it, whose callbacks come on the link's thread. */
#include "raylet/shell/shell.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { EVENT_CONNECTED, EVENT_LOST, EVENT_MESSAGE };
#define RESTART_WINDOW_NS (60ull * 1000 * 1000 * 1000)
/* A GCS that ends by itself is started again after these pauses, so that a short cause (no room on the disk for a
 * moment) does not use up its restarts; one that was killed is started again at once. */
static const uint64_t pauses_ms[] = {0, 100, 500, 2000, 5000};
#define SPACE_LEAST_BYTES (1024ull * 1024)
enum { FIRST_TRY_MS = 300, LOOKS_LEAST = 20 /* without an answer, before a GCS counts as hung */ };

static void push(wr_shell *sh, int type, wr_cluster_msg *msg, uint64_t epoch, uint64_t cluster_id,
                 bool new_epoch) {
    struct shell_gcs_event *event = shell_alloc(sizeof *event);
    *event = (struct shell_gcs_event){
        .type = type, .msg = msg, .epoch = epoch, .cluster_id = cluster_id, .new_epoch = new_epoch};
    pthread_mutex_lock(&sh->gcs_lock);
    *sh->gcs_events_end = event;
    sh->gcs_events_end = &event->next;
    pthread_mutex_unlock(&sh->gcs_lock);
    uv_async_send(&sh->gcs_async);
}

static void on_connected(void *user, uint64_t epoch, uint64_t cluster_id, bool new_epoch) {
    push(user, EVENT_CONNECTED, NULL, epoch, cluster_id, new_epoch);
}

static void on_lost(void *user, const wr_error *why) {
    (void)why;
    push(user, EVENT_LOST, NULL, 0, 0, false);
}

static void on_message(void *user, wr_cluster_msg *msg) {
    push(user, EVENT_MESSAGE, msg, 0, 0, false);
}

static void on_call_done(void *user, wr_status status, wr_gcs_response *response, const wr_error *err) {
    shell_call *call = user;
    wr_shell *sh = call->shell;
    call->status = status;
    call->response = response;
    if (status != WR_OK && err != NULL) {
        call->err = *err;
    }
    pthread_mutex_lock(&sh->gcs_lock);
    call->next = sh->gcs_calls;
    sh->gcs_calls = call;
    pthread_mutex_unlock(&sh->gcs_lock);
    uv_async_send(&sh->gcs_async);
}

static void on_async(uv_async_t *async) {
    wr_shell *sh = async->data;
    pthread_mutex_lock(&sh->gcs_lock);
    struct shell_gcs_event *events = sh->gcs_events;
    shell_call *calls = sh->gcs_calls;
    sh->gcs_events = NULL;
    sh->gcs_events_end = &sh->gcs_events;
    sh->gcs_calls = NULL;
    pthread_mutex_unlock(&sh->gcs_lock);
    uint64_t now = wr_clock_ns();
    sh->active_at = events != NULL ? now : sh->active_at;
    while (events != NULL) {
        struct shell_gcs_event *event = events;
        events = event->next;
        if (event->type == EVENT_CONNECTED) {
            sh->cluster_id = event->cluster_id;
            wr_raylet_core_connected(sh->core, now, event->epoch, event->cluster_id, event->new_epoch);
        } else if (event->type == EVENT_LOST) {
            wr_raylet_core_lost(sh->core, now);
        } else {
            wr_raylet_core_message(sh->core, now, WR_DEST_GCS, event->msg);
            wr_cluster_msg_free(event->msg);
        }
        wr_free(event);
        shell_drain(sh);
    }
    while (calls != NULL) {
        shell_call *call = calls;
        calls = call->next;
        if (call->ticket != 0) {
            shell_call_reply(sh, call);
        }
        wr_gcs_response_free(call->response);
        wr_free(call);
    }
    shell_drain(sh);
}

wr_status shell_gcs_call(wr_shell *sh, uint64_t ticket, const wr_gcs_request *request, wr_error *err) {
    shell_call *call = shell_alloc(sizeof *call);
    call->shell = sh;
    call->ticket = ticket;
    call->call = request->call;
    wr_status status = wr_gcs_link_call(sh->link, request, on_call_done, call, err);
    if (status != WR_OK) {
        wr_free(call);
    }
    return status;
}

/* ---- Its process ---- */

static bool start_process(wr_shell *sh) {
    char program[WR_PATH_MAX], log[WR_PATH_MAX];
    if (wr_paths_join(sh->args.bin_dir, "whipray-gcs", program, NULL) != WR_OK ||
        wr_paths_join(sh->args.session_dir, "logs/gcs_server.out", log, NULL) != WR_OK) {
        return false;
    }
    char *argv[] = {program,        "--session-dir",     sh->args.session_dir, "--listen", sh->gcs_target,
                    "--token-file", sh->args.token_file, "--die-with-parent",  NULL};
    int pid = shell_exec(argv, environ, log, log, NULL);
    sh->gcs = pid > 0 ? shell_proc_watch(sh, pid, -1, true) : NULL;
    if (sh->gcs == NULL) {
        return false;
    }
    sh->gcs->kind = PROC_GCS;
    sh->gcs_silent_ns = 0;
    sh->gcs_hung = false;
    WR_LOG_INFO("gcs.started", "pid=%d", pid);
    return true;
}

/* On a full disk it could not even write why it ended. */
static void add_space(const wr_shell *sh, char *text, size_t size) {
    struct statvfs disk;
    if (statvfs(sh->args.session_dir, &disk) == 0 && disk.f_bavail * disk.f_frsize < SPACE_LEAST_BYTES) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "; no space is left on the device of %s (%llu bytes are free)",
                 sh->args.session_dir, (unsigned long long)(disk.f_bavail * disk.f_frsize));
    }
}

void shell_gcs_died(wr_shell *sh) {
    char text[SHELL_TEXT_MAX], log[WR_PATH_MAX];
    if (wr_paths_join(sh->args.session_dir, "logs/gcs_server.out", log, NULL) != WR_OK) {
        log[0] = 0;
    }
    shell_death_text(sh->gcs, log, NULL, text, sizeof text);
    if (sh->gcs_hung) {
        snprintf(text, sizeof text, "it (pid %d) did not answer for %llu s and was killed", sh->gcs->pid,
                 (unsigned long long)(sh->gcs_silent_ns / 1000000000));
    }
    add_space(sh, text, sizeof text);
    bool failed =
        !sh->gcs->status_known || !WIFSIGNALED(sh->gcs->status) || WTERMSIG(sh->gcs->status) != SIGKILL;
    shell_proc_close(sh->gcs);
    sh->gcs = NULL;
    if (sh->ending) {
        return;
    }
    uint64_t now = wr_clock_ns();
    uint32_t kept = 0, failures = 0;
    for (uint32_t i = 0; i < sh->gcs_start_count; i++) {
        if (now - sh->gcs_starts[i] < RESTART_WINDOW_NS) {
            failures += sh->gcs_failed[i];
            sh->gcs_failed[kept] = sh->gcs_failed[i];
            sh->gcs_starts[kept++] = sh->gcs_starts[i];
        }
    }
    sh->gcs_start_count = kept;
    if (kept >= sh->args.gcs_restarts) {
        WR_LOG_ERROR("gcs.given_up", "restarts=%u last=%s", kept, text);
        char why[SHELL_TEXT_MAX + 80];
        snprintf(why, sizeof why, "the GCS ended %u times within a minute; the last time: %s", kept + 1,
                 text);
        shell_end(sh, why);
        return;
    }
    /* Who waits for the start of a cluster hears soon that there will be none. */
    uint32_t last = sh->ready_told ? WR_COUNT_OF(pauses_ms) - 1 : 2;
    uint64_t pause_ms = failed ? pauses_ms[failures < last ? failures : last] : 0;
    sh->gcs_failed[sh->gcs_start_count] = failed;
    sh->gcs_starts[sh->gcs_start_count++] = now;
    sh->gcs_start_at = now + pause_ms * 1000000;
    WR_LOG_WARN("gcs.restart", "pause_ms=%llu text=%s", (unsigned long long)pause_ms, text);
    shell_gcs_tick(sh);
}

/* A process that a debugger holds, or that waits for a disk, does not hang: a kill would not help. */
static bool is_held(int pid) {
    char path[64], text[2048] = "";
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    text[n > 0 ? n : 0] = 0;
    const char *state = strstr(text, "\nState:\t"), *tracer = strstr(text, "\nTracerPid:\t");
    return (state != NULL && state[8] == 'D') || (tracer != NULL && tracer[12] != '0');
}

/* Only time counts in which this process itself ran and looked: one that was stopped, or got no CPU, or whose machine
 * slept, knows nothing about others. */
static void look_whether_it_hangs(wr_shell *sh) {
    uint64_t now = wr_clock_ns(), heard = wr_gcs_link_heard(sh->link);
    uint64_t step_ns = now - sh->gcs_looked, step_max_ns = sh->args.gcs_silence_ms * 1000000 / LOOKS_LEAST;
    sh->gcs_looked = now;
    if (heard != sh->gcs_heard) {
        sh->gcs_heard = heard;
        sh->gcs_silent_ns = 0;
        sh->gcs_patience_ns = sh->args.gcs_silence_ms * 1000000;
        return;
    }
    sh->gcs_silent_ns += step_ns < step_max_ns ? step_ns : step_max_ns;
    if (sh->gcs_hung || sh->gcs_silent_ns < sh->gcs_patience_ns) {
        return;
    }
    if (is_held(sh->gcs->pid)) {
        sh->gcs_silent_ns = 0;
        return;
    }
    WR_LOG_WARN("gcs.hangs", "pid=%d silent_ms=%llu it is killed and started again", sh->gcs->pid,
                (unsigned long long)(sh->gcs_silent_ns / 1000000));
    sh->gcs_hung = true;
    sh->gcs_patience_ns *= 2; /* until one has answered: a machine that is too slow is not made worse */
    shell_kill(sh->gcs, SIGKILL);
}

wr_status shell_gcs_absent(const wr_shell *sh, wr_error *err) {
    if (sh->gcs == NULL) {
        return WR_FAIL(err, WR_E_UNAVAILABLE, "the GCS is away: it has ended and is started again");
    }
    return WR_FAIL(err, WR_E_UNAVAILABLE, "the GCS (pid %d) does not answer", sh->gcs->pid);
}

void shell_gcs_tick(wr_shell *sh) {
    if (sh->gcs != NULL && sh->link != NULL) {
        look_whether_it_hangs(sh);
    }
    if (sh->gcs_start_at != 0 && wr_clock_ns() >= sh->gcs_start_at) {
        sh->gcs_start_at = 0;
        if (!start_process(sh)) {
            shell_end(sh, "the GCS cannot be started again");
        }
    }
}

wr_status shell_gcs_start(wr_shell *sh, wr_error *err) {
    pthread_mutex_init(&sh->gcs_lock, NULL);
    sh->gcs_events_end = &sh->gcs_events;
    sh->gcs_async.data = sh;
    sh->gcs_patience_ns = sh->args.gcs_silence_ms * 1000000;
    sh->gcs_looked = wr_clock_ns();
    if (uv_async_init(&sh->loop, &sh->gcs_async, on_async) != 0) {
        return WR_FAIL(err, WR_E_IO, "the loop takes no async handle");
    }
    if (sh->args.gcs_port > 0) {
        snprintf(sh->gcs_target, sizeof sh->gcs_target, "%s:%d", sh->args.node_ip, sh->args.gcs_port);
    } else {
        WR_TRY(wr_paths_join(sh->args.session_dir, "sockets/gcs", sh->gcs_socket, err));
        snprintf(sh->gcs_target, sizeof sh->gcs_target, "unix:%s", sh->gcs_socket);
    }
    if (!start_process(sh)) {
        return WR_FAIL(err, WR_E_IO, "whipray-gcs in %s cannot be started", sh->args.bin_dir);
    }
    /* The link tries again only after a while: let its first try find somebody. */
    for (int i = 0; sh->gcs_socket[0] != 0 && access(sh->gcs_socket, F_OK) != 0 && i < FIRST_TRY_MS; i++) {
        uv_sleep(1);
    }
    wr_gcs_link_opts opts = {
        .target = sh->gcs_target,
        .credentials = {.token = sh->token},
        .callbacks = {.user = sh, .on_connected = on_connected, .on_lost = on_lost, .on_message = on_message},
        .stream = true};
    return wr_gcs_link_open(&opts, &sh->link, err);
}

void shell_gcs_stop(wr_shell *sh) {
    if (sh->gcs != NULL) {
        shell_kill(sh->gcs, SIGTERM);
    }
}

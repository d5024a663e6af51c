/* Bounds on the files of the node: log files, those of dead workers, old sessions.
 *
 * A log file that has become too large is copied to FILE.1 and emptied; FILE.1 was moved to FILE.2 before, and so on. Its
 * writers keep their descriptors, which all append. The bulk is copied by a thread of libuv's; only what was written meanwhile
 * is copied by the loop, so next to nothing can fall between copy and cut.
 */
#include "local/sessions.h"
#include "raylet/shell/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_NS (2ull * 1000 * 1000 * 1000)
enum { SUFFIX_MAX = 16, SEND_BYTES = 1 << 20, YOUNG_S = 60 };

typedef struct rotation {
    uv_work_t work;
    wr_shell *shell;
    char path[WR_PATH_MAX];
    int in, out; /* out -1: no copy is kept */
    bool failed;
} rotation;

/* Copies from the descriptor's position to the end of the file. */
static void copy_rest(rotation *r) {
    ssize_t n = 1;
    while (r->out >= 0 && n > 0) {
        n = sendfile(r->out, r->in, NULL, SEND_BYTES);
        r->failed |= n < 0;
    }
}

static void copy_bulk(uv_work_t *work) {
    copy_rest(work->data);
}

static void finish(uv_work_t *work, int status) {
    rotation *r = work->data;
    wr_shell *sh = r->shell;
    sh->rotating = false;
    copy_rest(r);
    shell_logs_before_cut(sh, r->path);
    if (status != 0 || r->failed) {
        WR_LOG_WARN("log.copy_failed", "path=%s its first part is lost", r->path);
    }
    if (truncate(r->path, 0) != 0) { /* the disk may be full: emptying is what matters */
        WR_LOG_WARN("log.not_cut", "path=%s errno=%d", r->path, errno);
    }
    close(r->in);
    if (r->out >= 0) {
        close(r->out);
    }
    wr_free(r);
}

static void move_older(const char *path, uint32_t kept) {
    char from[WR_PATH_MAX + SUFFIX_MAX], to[WR_PATH_MAX + SUFFIX_MAX];
    for (uint32_t i = kept; i > 1; i--) {
        snprintf(from, sizeof from, "%s.%u", path, i - 1);
        snprintf(to, sizeof to, "%s.%u", path, i);
        (void)rename(from, to); /* it need not be there */
    }
}

/* true: the file was too large, and is being rotated. */
static bool look_at(wr_shell *sh, const char *path) {
    struct stat st;
    if (path[0] == 0 || stat(path, &st) != 0 || (uint64_t)st.st_size < sh->args.rotation_bytes) {
        return false;
    }
    rotation *r = shell_alloc(sizeof *r);
    r->shell = sh;
    r->work.data = r;
    r->out = -1;
    snprintf(r->path, sizeof r->path, "%s", path);
    r->in = open(path, O_RDONLY | O_CLOEXEC);
    if (r->in < 0) {
        wr_free(r);
        return false;
    }
    if (sh->args.rotation_count > 0) {
        char copy[WR_PATH_MAX + SUFFIX_MAX];
        move_older(path, sh->args.rotation_count);
        snprintf(copy, sizeof copy, "%s.1", path);
        r->out = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        r->failed = r->out < 0;
    }
    sh->rotating = uv_queue_work(&sh->loop, &r->work, copy_bulk, finish) == 0;
    if (!sh->rotating) {
        close(r->in);
        if (r->out >= 0) {
            close(r->out);
        }
        wr_free(r);
    }
    return sh->rotating;
}

void shell_rotate_tick(wr_shell *sh) {
    uint64_t now = wr_clock_ns();
    if (sh->args.rotation_bytes == 0 || sh->rotating || now - sh->rotate_looked < LOOK_NS) {
        return;
    }
    static const char *const own[] = {"logs/raylet.out", "logs/raylet.err", "logs/gcs_server.out"};
    for (size_t i = 0; i < WR_COUNT_OF(own); i++) {
        char path[WR_PATH_MAX];
        if (wr_paths_join(sh->args.session_dir, own[i], path, NULL) == WR_OK && look_at(sh, path)) {
            return; /* one at a time; the next pass looks for another */
        }
    }
    for (const shell_fork *f = sh->forks; f != NULL; f = f->next) {
        if (look_at(sh, f->log)) {
            return;
        }
    }
    for (uint32_t i = 0; i < sh->worker_capacity; i++) {
        const shell_worker *w = sh->workers[i];
        if (w != NULL && (look_at(sh, w->out) || look_at(sh, w->err))) {
            return;
        }
    }
    sh->rotate_looked = now;
}

/* ---- Dead workers ---- */

/* What the file and its older copies take; removes them. */
static uint64_t measure(const char *path, bool remove) {
    uint64_t bytes = 0;
    char copy[WR_PATH_MAX + SUFFIX_MAX];
    struct stat st;
    snprintf(copy, sizeof copy, "%s", path);
    for (uint32_t i = 1; stat(copy, &st) == 0; i++) {
        bytes += (uint64_t)st.st_size;
        if (remove && unlink(copy) != 0) {
            break;
        }
        snprintf(copy, sizeof copy, "%s.%u", path, i);
    }
    return bytes;
}

static void drop_oldest(wr_shell *sh) {
    struct shell_dead_log *log = sh->dead_logs;
    sh->dead_logs = log->next;
    sh->dead_logs_end = log->next == NULL ? &sh->dead_logs : sh->dead_logs_end;
    sh->dead_logs_count--;
    sh->dead_logs_bytes -= log->bytes;
    shell_logs_before_cut(sh, log->out);
    shell_logs_before_cut(sh, log->err);
    (void)measure(log->out, true);
    (void)measure(log->err, true);
    wr_free(log);
}

void shell_logs_of_dead(wr_shell *sh, const shell_worker *w) {
    if (w->out[0] == 0) {
        return; /* its job had ended before it got any */
    }
    struct shell_dead_log *log = shell_alloc(sizeof *log);
    memcpy(log->out, w->out, sizeof log->out);
    memcpy(log->err, w->err, sizeof log->err);
    log->bytes = measure(log->out, false) + measure(log->err, false);
    if (sh->dead_logs == NULL) {
        sh->dead_logs_end = &sh->dead_logs;
    }
    *sh->dead_logs_end = log;
    sh->dead_logs_end = &log->next;
    sh->dead_logs_count++;
    sh->dead_logs_bytes += log->bytes;
    while (sh->dead_logs_count > sh->args.dead_logs_count ||
           (sh->dead_logs_count > 1 && sh->dead_logs_bytes > sh->args.dead_logs_bytes)) {
        drop_oldest(sh);
    }
}

/* ---- Old sessions ---- */

static void prune(uv_work_t *work) {
    wr_shell *sh = work->data;
    char root[WR_PATH_MAX];
    memcpy(root, sh->args.session_dir, sizeof root);
    char *slash = strrchr(root, '/');
    if (slash == NULL || slash == root) {
        return;
    }
    *slash = 0;
    wr_sessions_opts opts = {.keep_count = sh->args.session_count,
                             .keep_bytes = sh->args.session_bytes,
                             .young_s = YOUNG_S,
                             .stop = &sh->prune_stop};
    uint32_t removed = wr_sessions_prune(root, sh->args.session_dir, &opts);
    if (removed > 0) {
        WR_LOG_INFO("sessions.removed", "count=%u root=%s", removed, root);
    }
}

static void pruned(uv_work_t *work, int status) {
    (void)work, (void)status;
}

void shell_sessions_prune(wr_shell *sh) {
    sh->prune.data = sh;
    (void)uv_queue_work(&sh->loop, &sh->prune, prune, pruned); /* else the next cluster does it */
}

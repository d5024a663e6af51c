/* Worker output on its way to drivers: files are read while somebody polls, lines wait in a bounded ring per job. */
#include "raylet/shell/last_lines.h"
#include "raylet/shell/shell.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_NS (900ull * 1000 * 1000)
#define WANTED_NS (3000ull * 1000 * 1000) /* files are read for so long after the last poll */
enum {
    CHUNK = 64 * 1024,
    LINE_BYTES_MAX = 16 * 1024,
    LINES_PER_ANSWER = 500,
    TAILS_MAX = 4096,
    GATHER_MS = 10,
};

void shell_log_last(const char *path, char *out, size_t size) {
    out[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    char text[SHELL_LOG_TAIL_BYTES];
    off_t from = st.st_size > SHELL_LOG_TAIL_BYTES ? st.st_size - SHELL_LOG_TAIL_BYTES : 0;
    ssize_t n = pread(fd, text, SHELL_LOG_TAIL_BYTES, from);
    close(fd);
    if (n <= 0) {
        return;
    }
    shell_last_lines(text, (size_t)n, out, size);
}

/* Which files grew is the kernel's word; without it (its limit of watches) each file is looked at. While nobody
 * waits for lines,
 * nothing is read, and the kernel merges what it has to say. */
void shell_logs_start(wr_shell *sh) {
    sh->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    sh->inotify.data = sh;
    if (sh->inotify_fd >= 0 && uv_poll_init(&sh->loop, &sh->inotify, sh->inotify_fd) != 0) {
        close(sh->inotify_fd);
        sh->inotify_fd = -1;
    }
}

static void on_grown(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    wr_shell *sh = poll->data;
    uv_poll_stop(poll);
    sh->inotify_armed = false;
    shell_in(sh, GATHER_MS); /* a writer of many lines is not followed line by line */
}

static void arm(wr_shell *sh) {
    bool waits = false;
    for (uint32_t i = 0; i < sh->ticket_count; i++) {
        waits |= sh->tickets[i].what == TICKET_LOG;
    }
    if (sh->inotify_fd >= 0 && waits && !sh->inotify_armed) {
        sh->inotify_armed = uv_poll_start(&sh->inotify, UV_READABLE, on_grown) == 0;
    }
}

static void read_grown(wr_shell *sh) {
    union {
        struct inotify_event align;
        char bytes[4096];
    } buffer;
    ssize_t n;
    while (sh->inotify_fd >= 0 && (n = read(sh->inotify_fd, buffer.bytes, sizeof buffer.bytes)) > 0) {
        for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
            struct inotify_event event;
            memcpy(&event, buffer.bytes + at, sizeof event);
            for (uint32_t i = 0; i < sh->tail_count; i++) {
                sh->tails[i].dirty |= sh->tails[i].watch == event.wd || (event.mask & IN_Q_OVERFLOW) != 0;
            }
            at += (ssize_t)(sizeof event + event.len);
        }
    }
}

static void tail_remove(wr_shell *sh, uint32_t at) {
    if (sh->tails[at].watch >= 0) {
        inotify_rm_watch(sh->inotify_fd, sh->tails[at].watch);
    }
    sh->tails[at] = sh->tails[--sh->tail_count];
}

void shell_logs_forget(wr_shell *sh, uint32_t job) {
    for (uint32_t i = 0; i < sh->tail_count; i++) {
        if (sh->tails[i].job == job) {
            tail_remove(sh, i--);
        }
    }
}

void shell_logs_add(wr_shell *sh, const char *path, uint32_t job, int pid, bool err) {
    if (sh->tail_count >= TAILS_MAX) {
        return; /* their lines are in their files */
    }
    void *tails = sh->tails;
    shell_reserve(&tails, &sh->tail_capacity, sh->tail_count + 1, sizeof *sh->tails);
    sh->tails = tails;
    shell_tail *t = &sh->tails[sh->tail_count++];
    memset(t, 0, sizeof *t);
    snprintf(t->path, sizeof t->path, "%s", path);
    t->job = job;
    t->pid = pid;
    t->err = err;
    t->dirty = true;
    t->watch = sh->inotify_fd >= 0 ? inotify_add_watch(sh->inotify_fd, path, IN_MODIFY) : -1;
}

void shell_logs_dead(wr_shell *sh, int pid) {
    for (uint32_t i = 0; i < sh->tail_count; i++) {
        sh->tails[i].dead |= sh->tails[i].pid == pid;
    }
}

/* Workers name what they run by a line of their own, as Ray's do. */
static bool is_name(shell_tail *t, const char *line) {
    static const char *const marks[] = {"::task_name:", "::actor_name:"};
    for (size_t i = 0; i < WR_COUNT_OF(marks); i++) {
        size_t n = strlen(marks[i]);
        if (strncmp(line, marks[i], n) == 0) {
            snprintf(t->name, sizeof t->name, "%s", line + n);
            return true;
        }
    }
    return false;
}

static void add_line(shell_job *job, shell_tail *t, const char *text, size_t bytes) {
    char *line = shell_alloc(bytes + 1);
    memcpy(line, text, bytes);
    for (size_t i = 0; i < bytes; i++) {
        line[i] = line[i] == 0 ? '?' : line[i];
    }
    if (is_name(t, line)) {
        wr_free(line);
        return;
    }
    if (job->lines == NULL) {
        job->lines = shell_alloc(SHELL_LOG_RING * sizeof *job->lines);
    }
    struct shell_line *at = &job->lines[job->log_next % SHELL_LOG_RING];
    wr_free(at->text);
    *at = (struct shell_line){.text = line, .pid = t->pid, .err = t->err};
    memcpy(at->name, t->name, sizeof at->name);
    job->log_next++;
    if (job->log_next - job->log_first > SHELL_LOG_RING) {
        job->log_first = job->log_next - SHELL_LOG_RING;
    }
}

/* Reads whole lines that are new; a last piece without an end waits, unless its process is gone. true: there was
 * something. */
static bool read_tail(shell_job *job, shell_tail *t) {
    int fd = open(t->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    static char chunk[CHUNK];
    bool any = false;
    for (int rounds = 0; rounds < 16; rounds++) {
        ssize_t n = pread(fd, chunk, sizeof chunk, (off_t)t->offset);
        if (n <= 0) {
            break;
        }
        size_t used = 0;
        char *end;
        while ((end = memchr(chunk + used, '\n', (size_t)n - used)) != NULL) {
            add_line(job, t, chunk + used, (size_t)(end - chunk) - used);
            used = (size_t)(end - chunk) + 1;
            any = true;
        }
        bool cut = used == 0 && n >= LINE_BYTES_MAX; /* a line without end is handed on in pieces */
        if (cut || (t->dead && used < (size_t)n)) {
            size_t rest = (size_t)n - used;
            add_line(job, t, chunk + used, rest);
            used += rest;
            any = true;
        }
        t->offset += used;
        if (used == 0) {
            break;
        }
    }
    close(fd);
    return any;
}

void shell_logs_before_cut(wr_shell *sh, const char *path) {
    uint64_t now = wr_clock_ns();
    for (uint32_t i = 0; i < sh->tail_count; i++) {
        shell_tail *t = &sh->tails[i];
        shell_job *job = strcmp(t->path, path) == 0 ? shell_job_of(sh, t->job) : NULL;
        if (job == NULL) {
            continue;
        }
        while (job->log_wanted != 0 && now - job->log_wanted < WANTED_NS && read_tail(job, t)) {
        }
        t->offset = 0;
    }
}

static bool read_job(wr_shell *sh, shell_job *job) {
    bool any = false;
    for (uint32_t i = 0; i < sh->tail_count; i++) {
        shell_tail *t = &sh->tails[i];
        if (t->job != job->number) {
            continue;
        }
        struct stat st;
        bool look = t->dirty || t->dead || t->watch < 0;
        t->dirty = false;
        if (look && stat(t->path, &st) == 0 && (uint64_t)st.st_size > t->offset) {
            any |= read_tail(job, t);
        }
        if (t->dead) {
            tail_remove(sh, i--);
        }
    }
    return any;
}

static void answer(wr_shell *sh, shell_conn *conn, uint64_t request, shell_job *job, uint32_t cursor) {
    uint32_t from = cursor - job->log_first > job->log_next - job->log_first ? job->log_first : cursor,
             count = 0;
    wr_record_begin(&sh->w);
    wr_record_list_begin(&sh->w, "lines");
    while (from != job->log_next && count < LINES_PER_ANSWER && sh->w.used < WR_RECORD_BYTES_MAX / 2) {
        const struct shell_line *line = &job->lines[from % SHELL_LOG_RING];
        wr_record_map_begin(&sh->w, NULL);
        wr_record_int(&sh->w, "pid", line->pid);
        wr_record_string(&sh->w, "name", line->name);
        wr_record_string(&sh->w, "ip", sh->args.node_ip);
        wr_record_int(&sh->w, "err", line->err);
        wr_record_string(&sh->w, "text", line->text);
        wr_record_map_end(&sh->w);
        from++;
        count++;
    }
    wr_record_list_end(&sh->w);
    wr_record_int(&sh->w, "cursor", from);
    shell_reply(conn, request, -1);
}

void shell_logs_tick(wr_shell *sh) {
    uint64_t now = wr_clock_ns();
    read_grown(sh);
    for (uint32_t i = 0; i < sh->job_count; i++) {
        shell_job *job = sh->jobs[i];
        if (job != NULL && job->log_wanted != 0 && now - job->log_wanted < WANTED_NS) {
            (void)read_job(sh, job);
        }
    }
    for (uint32_t i = 0; i < sh->ticket_count; i++) {
        shell_ticket t = sh->tickets[i];
        shell_job *job = t.what == TICKET_LOG ? shell_job_of(sh, t.job) : NULL;
        if (t.what != TICKET_LOG || (job != NULL && job->log_next == t.cursor && now < t.deadline)) {
            continue;
        }
        shell_conn *conn = shell_ticket_take(sh, t.ticket, &t);
        i--;
        if (conn != NULL && job != NULL) {
            answer(sh, conn, t.request, job, t.cursor);
        } else if (conn != NULL) {
            wr_error err;
            memset(&err, 0, sizeof err);
            WR_FAIL(&err, WR_E_NOT_FOUND, "job %u has ended", t.job);
            shell_fail(conn, t.request, &err);
        }
    }
    arm(sh);
}

wr_status shell_log_poll(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                         wr_error *err) {
    uint32_t number = (uint32_t)wr_record_get_int(body, "job", conn->job);
    shell_job *job = shell_job_of(sh, number);
    if (job == NULL) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no job %u", number);
    }
    uint32_t cursor = (uint32_t)wr_record_get_int(body, "cursor", 0);
    job->log_wanted = wr_clock_ns();
    read_grown(sh);
    (void)read_job(sh, job);
    if (job->log_next != cursor) {
        answer(sh, conn, request, job, cursor);
        return WR_E_AGAIN;
    }
    uint64_t ticket = shell_ticket_new(sh, conn, request, TICKET_LOG);
    shell_ticket *t = shell_ticket_of(sh, ticket);
    t->job = number;
    t->cursor = cursor;
    t->deadline = job->log_wanted + POLL_NS;
    arm(sh);
    return WR_E_AGAIN;
}

/* One thread, two descriptors: the raylet's socket and one for SIGCHLD. */
#include "local/forks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct forks {
    wr_frame_conn *conn;
    wr_record_writer w;
    int ends; /* signalfd of SIGCHLD */
    sigset_t before;
    pid_t self;
    uint64_t waiting; /* request number of the fork_next that is not answered yet */
} forks;

/* Sends what is in f->w. fd: goes along, or -1. */
static wr_status send(forks *f, uint64_t request, int fd, wr_error *err) {
    const uint8_t *bytes;
    uint32_t count;
    WR_TRY(wr_record_finish(&f->w, &bytes, &count, err));
    return wr_frame_send(f->conn, WR_FRAME_REQUEST, request, bytes, count, fd, UINT64_MAX, err);
}

static void begin(forks *f, const char *op) {
    wr_record_begin(&f->w);
    wr_record_string(&f->w, "op", op);
}

static wr_status ask_next(forks *f, bool first, wr_error *err) {
    begin(f, "fork_next");
    if (first) {
        wr_record_int(&f->w, "ready", 1);
    }
    return send(f, ++f->waiting, -1, err);
}

static wr_status say_failed(forks *f, const wr_record_value *cookie, int reason, wr_error *err) {
    char text[128];
    snprintf(text, sizeof text, "fork: %s", strerror(reason));
    begin(f, "fork_failed");
    wr_record_bytes(&f->w, "cookie", cookie->bytes, cookie->count);
    wr_record_string(&f->w, "text", text);
    return send(f, 0, -1, err);
}

static wr_status say_done(forks *f, const wr_record_value *cookie, pid_t pid, wr_error *err) {
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return WR_FAIL_ERRNO(err, "pidfd_open of the child %d", (int)pid);
    }
    begin(f, "fork_done");
    wr_record_bytes(&f->w, "cookie", cookie->bytes, cookie->count);
    wr_record_int(&f->w, "pid", pid);
    wr_status status = send(f, 0, fd, err);
    close(fd);
    return status;
}

static wr_status reap(forks *f, wr_error *err) {
    struct signalfd_siginfo info;
    while (read(f->ends, &info, sizeof info) > 0) { /* one may stand for several ends */
    }
    for (;;) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            return WR_OK;
        }
        begin(f, "fork_exited");
        wr_record_int(&f->w, "pid", pid);
        wr_record_int(&f->w, "status", status);
        WR_TRY(send(f, 0, -1, err));
    }
}

static void become_child(forks *f) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != f->self) { /* it ended before the line above */
        _exit(WR_FORKS_EXIT_LOST);
    }
    close(f->ends);
    pthread_sigmask(SIG_SETMASK, &f->before, NULL);
}

/* Forks for each order of an answer. *out_child: this is a child, and *out its order. */
static wr_status fork_all(forks *f, const wr_record *answer, bool *out_child, wr_record *out, wr_error *err) {
    wr_record_value list, item;
    if (!wr_record_find(answer, "spawn", &list) || list.type != 'l') {
        return WR_OK;
    }
    for (uint32_t cursor = 0; wr_record_item(&list, &cursor, &item);) {
        wr_record_value cookie;
        wr_record order = item.type == 'm' ? wr_record_of(&item) : (wr_record){0};
        if (item.type != 'm' || !wr_record_find(&order, "cookie", &cookie) || cookie.type != 'b') {
            return WR_FAIL(err, WR_E_PROTOCOL, "an order to fork without a cookie");
        }
        pid_t pid = fork();
        if (pid == 0) {
            become_child(f);
            *out_child = true;
            *out = order;
            return WR_OK;
        }
        WR_TRY(pid > 0 ? say_done(f, &cookie, pid, err) : say_failed(f, &cookie, errno, err));
    }
    return WR_OK;
}

/* Takes one frame that is here; OK also when none is. */
static wr_status take_frame(forks *f, uint64_t deadline_ns, wr_frame *out, wr_error *err) {
    WR_TRY(wr_frame_receive(f->conn, deadline_ns, out, err));
    if (out->type == WR_FRAME_ERROR) {
        return wr_frame_error_read(&out->body, err);
    }
    return out->type == WR_FRAME_REPLY
               ? WR_OK
               : WR_FAIL(err, WR_E_PROTOCOL, "a frame of type %u, where only replies may come", out->type);
}

static wr_status serve(forks *f, wr_record *out, wr_error *err) {
    wr_frame frame;
    WR_TRY(take_frame(f, UINT64_MAX, &frame, err)); /* the answer to hello */
    WR_TRY(ask_next(f, true, err));
    struct pollfd polls[] = {{.fd = wr_frame_fd(f->conn), .events = POLLIN},
                             {.fd = f->ends, .events = POLLIN}};
    for (;;) {
        if (poll(polls, 2, -1) < 0 && errno != EINTR) {
            return WR_FAIL_ERRNO(err, "poll");
        }
        WR_TRY(reap(f, err));
        if (polls[0].revents == 0) {
            continue;
        }
        wr_status status = take_frame(f, 0, &frame, err);
        while (status == WR_OK) {
            bool child = false;
            if (frame.request == f->waiting) {
                WR_TRY(fork_all(f, &frame.body, &child, out, err));
                if (child) {
                    return WR_OK;
                }
                WR_TRY(ask_next(f, false, err));
            }
            status = take_frame(f, 0, &frame, err);
        }
        if (status != WR_E_TIMEOUT) {
            return status;
        }
    }
}

wr_status wr_forks_serve(wr_frame_conn *conn, const uint8_t *hello, uint32_t hello_bytes, wr_record *out,
                         wr_error *err) {
    forks f = {.conn = conn, .self = getpid(), .waiting = 1};
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &ends, &f.before);
    f.ends = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
    if (f.ends < 0) {
        return WR_FAIL_ERRNO(err, "signalfd");
    }
    wr_status status =
        wr_frame_send(conn, WR_FRAME_REQUEST, f.waiting, hello, hello_bytes, -1, UINT64_MAX, err);
    if (status == WR_OK) {
        status = serve(&f, out, err);
    }
    wr_record_done(&f.w);
    return status;
}

/* The Unix socket: connections, frames, replies, and requests that are answered later. */
#include "raylet/shell/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNS_LOOK_NS (200ull * 1000 * 1000)
#define SOCKET_LOOK_NS (10ull * 1000 * 1000 * 1000)

enum { READ_STEP = 64 * 1024, OUT_BYTES_MAX = 64 * 1024 * 1024 };

shell_conn *shell_conn_of(wr_shell *sh, uint64_t id) {
    for (shell_conn *c = sh->conns; c != NULL; c = c->next) {
        if (c->id == id && !c->closing) {
            return c;
        }
    }
    return NULL;
}

/* ---- Tickets ---- */

uint64_t shell_ticket_new(wr_shell *sh, shell_conn *conn, uint64_t request, int what) {
    void *tickets = sh->tickets;
    shell_reserve(&tickets, &sh->ticket_capacity, sh->ticket_count + 1, sizeof *sh->tickets);
    sh->tickets = tickets;
    shell_ticket *t = &sh->tickets[sh->ticket_count++];
    *t = (shell_ticket){.ticket = ++sh->next_ticket,
                        .conn = conn->id,
                        .request = request,
                        .what = what,
                        .slot = conn->slot,
                        .job = conn->job};
    return t->ticket;
}

shell_ticket *shell_ticket_of(wr_shell *sh, uint64_t ticket) {
    for (uint32_t i = 0; i < sh->ticket_count; i++) {
        if (sh->tickets[i].ticket == ticket) {
            return &sh->tickets[i];
        }
    }
    return NULL;
}

shell_conn *shell_ticket_take(wr_shell *sh, uint64_t ticket, shell_ticket *out) {
    shell_ticket *t = shell_ticket_of(sh, ticket);
    if (t == NULL) {
        return NULL;
    }
    *out = *t;
    *t = sh->tickets[--sh->ticket_count];
    return shell_conn_of(sh, out->conn);
}

void shell_ticket_fail(wr_shell *sh, uint64_t ticket, wr_status status, const char *text) {
    shell_ticket t;
    shell_conn *conn = shell_ticket_take(sh, ticket, &t);
    if (conn != NULL) {
        wr_error err;
        memset(&err, 0, sizeof err);
        WR_FAIL(&err, status, "%s", text);
        shell_fail(conn, t.request, &err);
    }
}

/* ---- Writing ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

static void want(shell_conn *conn) {
    int events = UV_READABLE | UV_DISCONNECT | (conn->out_sent < conn->out_used ? UV_WRITABLE : 0);
    if (events != conn->events) {
        conn->events = events;
        uv_poll_start(&conn->poll, events, on_poll);
    }
}

static void flush(shell_conn *conn) {
    while (conn->out_sent < conn->out_used) {
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        uint32_t until =
            conn->pass_fd >= 0 && conn->out_sent < conn->pass_at ? conn->pass_at : conn->out_used;
        struct iovec part = {.iov_base = conn->out + conn->out_sent, .iov_len = until - conn->out_sent};
        struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
        bool passes = conn->pass_fd >= 0 && conn->out_sent == conn->pass_at;
        if (passes) {
            msg.msg_control = control.bytes;
            msg.msg_controllen = sizeof control.bytes;
            struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(c), &conn->pass_fd, sizeof(int));
        }
        ssize_t n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            if (errno != EAGAIN) {
                conn->out_sent = conn->out_used; /* hung up: the read side sees it, too */
            }
            break;
        }
        conn->out_sent += (uint32_t)n;
        conn->pass_fd = passes ? -1 : conn->pass_fd;
    }
    if (conn->out_sent == conn->out_used) {
        conn->out_sent = conn->out_used = 0;
    }
}

static void send_frame(shell_conn *conn, uint16_t type, uint64_t request, const uint8_t *record,
                       uint32_t bytes, int pass_fd) {
    if (conn->closing) {
        return;
    }
    uint32_t need = WR_FRAME_HEADER_BYTES + bytes;
    if (conn->out_used - conn->out_sent > OUT_BYTES_MAX) {
        WR_LOG_WARN("conn.does_not_read", "pid=%d waiting_bytes=%u", conn->pid,
                    conn->out_used - conn->out_sent);
        shell_conn_close(conn);
        return;
    }
    void *out = conn->out;
    shell_reserve(&out, &conn->out_capacity, conn->out_used + need, 1);
    conn->out = out;
    if (pass_fd >= 0) {
        conn->pass_fd = pass_fd;
        conn->pass_at = conn->out_used;
    }
    wr_frame_header(conn->out + conn->out_used, type, request, bytes);
    memcpy(conn->out + conn->out_used + WR_FRAME_HEADER_BYTES, record, bytes);
    conn->out_used += need;
    flush(conn);
    want(conn);
}

void shell_fail(shell_conn *conn, uint64_t request, const wr_error *error) {
    if (request == 0) {
        return;
    }
    wr_record_writer w = {0};
    wr_frame_error_write(&w, error);
    const uint8_t *record;
    uint32_t bytes;
    if (wr_record_finish(&w, &record, &bytes, NULL) == WR_OK) {
        send_frame(conn, WR_FRAME_ERROR, request, record, bytes, -1);
    }
    wr_record_done(&w);
}

void shell_reply(shell_conn *conn, uint64_t request, int pass_fd) {
    const uint8_t *record;
    uint32_t bytes;
    wr_error err;
    memset(&err, 0, sizeof err);
    if (wr_record_finish(&conn->shell->w, &record, &bytes, &err) != WR_OK) {
        wr_error_prefix(&err, "the answer");
        shell_fail(conn, request, &err);
    } else if (request != 0) {
        send_frame(conn, WR_FRAME_REPLY, request, record, bytes, pass_fd);
    }
}

/* ---- Requests ---- */

static const shell_op *find_op(const shell_op *ops, const char *name) {
    for (; ops->name != NULL; ops++) {
        if (strcmp(ops->name, name) == 0) {
            return ops;
        }
    }
    return NULL;
}

static wr_status serve(wr_shell *sh, shell_conn *conn, const wr_frame *frame, wr_error *err) {
    char name[WR_RECORD_NAME_MAX];
    if (frame->type != WR_FRAME_REQUEST || !wr_record_get_string(&frame->body, "op", name, sizeof name)) {
        return WR_FAIL(err, WR_E_PROTOCOL, "a frame that is no request, or has no op");
    }
    wr_record_begin(&sh->w);
    if (strcmp(name, "hello") == 0) {
        return conn->hello ? WR_FAIL(err, WR_E_STATE, "hello was said already")
                           : shell_hello(sh, conn, frame->request, &frame->body, err);
    }
    if (!conn->hello) {
        return WR_FAIL(err, WR_E_UNAUTHENTICATED, "op '%s' before hello", name);
    }
    static const shell_op *const tables[] = {shell_ops_work, shell_ops_actors, shell_ops_groups,
                                             shell_ops_node, shell_ops_view,   shell_ops_why};
    const shell_op *op = NULL;
    for (size_t i = 0; i < WR_COUNT_OF(tables) && op == NULL; i++) {
        op = find_op(tables[i], name);
    }
    if (op == NULL) {
        return WR_FAIL(err, WR_E_UNSUPPORTED, "there is no op '%s'", name);
    }
    if (op->pool && conn->slot == 0) {
        return WR_FAIL(err, WR_E_STATE, "op '%s' is for drivers and workers", name);
    }
    if (sh->ending) {
        return WR_FAIL(err, WR_E_UNAVAILABLE, "the cluster ends");
    }
    sh->active_at = op->fn == shell_log_poll ? sh->active_at : wr_clock_ns(); /* which is asked for ever */
    return op->fn(sh, conn, frame->request, &frame->body, err);
}

/* A mistake that ends the connection, with an answer that names it. */
static void refuse(shell_conn *conn, uint64_t request, const wr_error *err) {
    WR_LOG_WARN("conn.refused", "pid=%d status=%s text=%s", conn->pid, wr_status_name(err->status),
                err->text);
    shell_fail(conn, request == 0 ? UINT64_MAX : request, err);
    conn->flush_close = true;
}

static void parse(shell_conn *conn) {
    wr_shell *sh = conn->shell;
    uint32_t at = 0;
    while (!conn->closing && !conn->flush_close) {
        wr_frame frame;
        wr_error err;
        uint32_t consumed = 0;
        uint64_t request = 0;
        memset(&err, 0, sizeof err);
        wr_status status =
            wr_frame_parse(conn->in + at, conn->in_used - at, &frame, &consumed, &request, &err);
        if (status == WR_E_AGAIN) {
            break;
        }
        if (status != WR_OK) {
            refuse(conn, request, &err);
            break;
        }
        at += consumed;
        bool was_hello = conn->hello;
        status = serve(sh, conn, &frame, &err);
        if (conn->closing) {
            break;
        }
        if (status == WR_OK && frame.request != 0) {
            shell_reply(conn, frame.request,
                        !was_hello && conn->hello && conn->slot != 0 ? wr_pool_fd(sh->pool) : -1);
        } else if (status != WR_OK && status != WR_E_AGAIN) {
            bool fatal = status == WR_E_PROTOCOL || status == WR_E_UNAUTHENTICATED || status == WR_E_DENIED ||
                         !conn->hello;
            if (fatal) {
                refuse(conn, frame.request, &err);
            } else {
                shell_fail(conn, frame.request, &err);
            }
        }
    }
    conn->in_used -= at;
    memmove(conn->in, conn->in + at, conn->in_used);
    if (conn->hello && conn->in_used == 0) {
        conn->since = 0;
    } else if (conn->hello && (at > 0 || conn->since == 0)) {
        conn->since = wr_clock_ns();
    }
    shell_drain(sh);
}

static void keep_fds(shell_conn *conn, struct msghdr *msg) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (conn->fd_count < WR_FRAME_FDS_MAX && conn->kind == 4) {
                conn->fds[conn->fd_count++] = fd;
            } else {
                close(fd);
            }
        }
    }
}

/* false: the other end has hung up. */
static bool receive(shell_conn *conn) {
    for (;;) {
        void *in = conn->in;
        shell_reserve(&in, &conn->in_capacity, conn->in_used + READ_STEP, 1);
        conn->in = in;
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(WR_FRAME_FDS_MAX * sizeof(int))];
        } control;
        struct iovec part = {.iov_base = conn->in + conn->in_used, .iov_len = READ_STEP};
        struct msghdr msg = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
        ssize_t n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n > 0) {
            keep_fds(conn, &msg);
            conn->in_used += (uint32_t)n;
            parse(conn);
            if (conn->closing || conn->flush_close || n < READ_STEP) {
                return true;
            }
        } else if (n == 0) {
            return false;
        } else if (errno == EAGAIN) {
            return true;
        } else if (errno != EINTR) {
            return false;
        }
    }
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    shell_conn *conn = poll->data;
    bool up = status >= 0;
    if (up && (events & UV_READABLE) != 0 && !conn->flush_close) {
        up = receive(conn);
    }
    if (conn->closing) {
        return;
    }
    if (up && (events & UV_WRITABLE) != 0) {
        flush(conn);
    }
    if (!up || (events & UV_DISCONNECT) != 0 || (conn->flush_close && conn->out_used == 0)) {
        shell_conn_close(conn);
        return;
    }
    want(conn);
}

/* ---- Life ---- */

static void on_closed(uv_handle_t *handle) {
    shell_conn *conn = handle->data;
    wr_free(conn->in);
    wr_free(conn->out);
    wr_free(conn);
}

void shell_conn_close(shell_conn *conn) {
    if (conn->closing) {
        return;
    }
    wr_shell *sh = conn->shell;
    conn->closing = true;
    for (uint32_t i = 0; i < sh->ticket_count; i++) {
        if (sh->tickets[i].conn == conn->id) {
            uint64_t ticket = sh->tickets[i].ticket;
            if (sh->tickets[i].what == TICKET_HELLO) {
                wr_raylet_core_job_abandon(sh->core, ticket);
                shell_job_drop(sh, sh->tickets[i].cursor);
            }
            wr_raylet_core_ticket_gone(sh->core, ticket, ticket);
            sh->tickets[i--] = sh->tickets[--sh->ticket_count];
        }
    }
    if (conn->fork != NULL && conn->fork->conn == conn) {
        conn->fork->conn = NULL;
        conn->fork->ticket = 0;
        conn->fork->asked_at = wr_clock_ns();
    }
    if (conn->kind == 2 && conn->worker != WR_CORE_NONE && conn->worker < sh->worker_capacity &&
        sh->workers[conn->worker] != NULL && sh->workers[conn->worker]->conn == conn) {
        sh->workers[conn->worker]->conn = NULL;
        if (!conn->bye && conn->proc != NULL) {
            shell_kill(
                conn->proc,
                9); /* a worker without its raylet's ear is of no use; its exit is the fact that counts */
        }
    }
    if (conn->kind == 1 && conn->bye && conn->job != 0) {
        wr_raylet_core_job_end(sh->core, wr_clock_ns(), conn->job, false, "the driver has left");
        if (conn->proc != NULL) {
            shell_proc_close(conn->proc);
        }
    } else if (conn->kind == 1 && conn->bye && conn->slot != 0) { /* it left while it waited for its job */
        wr_keeper_slot_dead(sh->keeper, conn->slot, NULL, NULL);
        if (conn->proc != NULL) {
            shell_proc_close(conn->proc);
        }
    }
    if (conn->previous != NULL) {
        conn->previous->next = conn->next;
    } else {
        sh->conns = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->previous = conn->previous;
    }
    uv_poll_stop(&conn->poll);
    uv_close((uv_handle_t *)&conn->poll, on_closed);
    for (uint32_t i = 0; i < conn->fd_count; i++) {
        close(conn->fds[i]);
    }
    close(conn->fd);
    shell_drain(sh);
}

static void on_connection(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    wr_shell *sh = poll->data;
    for (;;) {
        int fd = accept4(sh->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) { /* it waits; the next pass looks again */
                WR_LOG_ERROR("conn.no_descriptors", "text=%s",
                             "a connection waits: no file descriptor is left");
                uv_poll_stop(poll);
                sh->listen_paused = true;
            }
            return;
        }
        shell_conn *conn = shell_alloc(sizeof *conn);
        *conn = (shell_conn){.shell = sh,
                             .fd = fd,
                             .id = ++sh->next_conn,
                             .pass_fd = -1,
                             .worker = WR_CORE_NONE,
                             .since = wr_clock_ns()};
        uid_t uid = 0;
        pid_t pid = 0;
        wr_error err;
        memset(&err, 0, sizeof err);
        wr_status ok = wr_peer_of(fd, &pid, &uid, &err);
        ok = ok == WR_OK ? wr_peer_check(uid, geteuid(), &err) : ok;
        conn->pid = pid;
        conn->poll.data = conn;
        if (uv_poll_init(&sh->loop, &conn->poll, fd) != 0) {
            close(fd);
            wr_free(conn);
            continue;
        }
        conn->next = sh->conns;
        if (sh->conns != NULL) {
            sh->conns->previous = conn;
        }
        sh->conns = conn;
        want(conn);
        if (ok != WR_OK) {
            refuse(conn, 0, &err);
            want(conn);
        }
    }
}

void shell_hello_tick(wr_shell *sh) {
    uint64_t now = wr_clock_ns();
    for (uint32_t i = 0; i < sh->ticket_count; i++) {
        if (sh->tickets[i].what != TICKET_HELLO || now < sh->tickets[i].deadline) {
            continue;
        }
        shell_ticket t;
        shell_conn *conn = shell_ticket_take(sh, sh->tickets[i].ticket, &t);
        i = UINT32_MAX; /* the table has changed: from its beginning */
        wr_raylet_core_job_abandon(sh->core, t.ticket);
        shell_job_drop(sh, t.cursor);
        if (conn != NULL) {
            wr_error err;
            memset(&err, 0, sizeof err);
            (void)shell_gcs_absent(sh, &err);
            conn->bye = true; /* it has not got its pool: its slot is free again with the connection */
            shell_fail(conn, t.request, &err);
            shell_conn_close(conn);
        }
    }
}

/* The first connection that has owed something for too long. Drivers and workers may: they can be stopped in the middle
 * of a frame, and their death is the kernel's to tell. */
static shell_conn *late_conn(const wr_shell *sh, uint64_t now) {
    for (shell_conn *c = sh->conns; c != NULL; c = c->next) {
        if (!c->closing && c->since != 0 && c->slot == 0 &&
            now - c->since >= sh->args.hello_ms * 1000000ull) {
            return c;
        }
    }
    return NULL;
}

/* Whoever wants to reach the cluster finds it by its socket's name. */
static bool socket_is_there(const wr_shell *sh) {
    struct stat at;
    if (lstat(sh->socket_path, &at) == 0) {
        return at.st_ino == sh->socket_inode;
    }
    return errno != ENOENT && errno != ENOTDIR;
}

void shell_conns_tick(wr_shell *sh) {
    uint64_t now = wr_clock_ns();
    if (now - sh->conns_looked >= CONNS_LOOK_NS) {
        sh->conns_looked = now;
        for (shell_conn *c = late_conn(sh, now); c != NULL; c = late_conn(sh, now)) {
            wr_error err;
            memset(&err, 0, sizeof err);
            WR_FAIL(&err, WR_E_TIMEOUT, "%s within %g s",
                    c->hello ? "a frame was not completed" : "no hello came",
                    (double)sh->args.hello_ms / 1000);
            if (!c->flush_close) { /* else it was told why already, and does not go */
                refuse(c, 0, &err);
            }
            shell_conn_close(c);
        }
    }
    if (now - sh->socket_looked >= SOCKET_LOOK_NS) {
        sh->socket_looked = now;
        if (!socket_is_there(sh)) {
            char why[WR_PATH_MAX + 128];
            (void)snprintf(why, sizeof why,
                           "its socket %s was removed: nobody could reach the cluster any more",
                           sh->socket_path);
            shell_end(sh, why);
        }
    }
}

void shell_listen_again(wr_shell *sh) {
    if (sh->listen_paused && uv_poll_start(&sh->listener, UV_READABLE, on_connection) == 0) {
        sh->listen_paused = false;
    }
}

wr_status shell_listen(wr_shell *sh, wr_error *err) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(sh->socket_path) >= sizeof at.sun_path) {
        return WR_FAIL(err, WR_E_INVALID, "%s: too long for the path of a socket", sh->socket_path);
    }
    memcpy(at.sun_path, sh->socket_path, strlen(sh->socket_path) + 1);
    unlink(sh->socket_path);
    sh->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sh->listen_fd < 0 || bind(sh->listen_fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        chmod(at.sun_path, 0600) != 0 || listen(sh->listen_fd, 1024) != 0) {
        return WR_FAIL_ERRNO(err, "listen at %s", sh->socket_path);
    }
    struct stat made;
    if (stat(at.sun_path, &made) != 0) {
        return WR_FAIL_ERRNO(err, "listen at %s", sh->socket_path);
    }
    sh->socket_inode = made.st_ino;
    sh->socket_looked = wr_clock_ns();
    sh->listener.data = sh;
    if (uv_poll_init(&sh->loop, &sh->listener, sh->listen_fd) != 0 ||
        uv_poll_start(&sh->listener, UV_READABLE, on_connection) != 0) {
        return WR_FAIL(err, WR_E_IO, "the loop does not take the listening socket");
    }
    return WR_OK;
}

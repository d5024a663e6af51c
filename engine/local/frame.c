#include "local/frame.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { RECEIVE_STEP_BYTES = 64 * 1024, LENGTH_MIN = WR_FRAME_HEADER_BYTES - 4 };

struct wr_frame_conn {
    int fd;
    uint8_t *in; /* bytes received; the frame last handed out is still at the front */
    uint32_t in_used, in_capacity, in_consumed;
    int fds[WR_FRAME_FDS_MAX];
    uint32_t fd_count;
};

static uint64_t read_le(const uint8_t *at, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) {
        v |= (uint64_t)at[i] << (8 * i);
    }
    return v;
}

static void write_le(uint8_t *at, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(v >> (8 * i));
    }
}

void wr_frame_header(uint8_t out[WR_FRAME_HEADER_BYTES], uint16_t type, uint64_t request,
                     uint32_t record_bytes) {
    write_le(out, LENGTH_MIN + (uint64_t)record_bytes, 4);
    write_le(out + 4, type, 2);
    write_le(out + 6, WR_PROTOCOL_VERSION, 2);
    write_le(out + 8, request, 8);
}

wr_status wr_frame_parse(const uint8_t *bytes, uint64_t count, wr_frame *out, uint32_t *out_consumed,
                         uint64_t *out_request, wr_error *err) {
    if (count >= WR_FRAME_HEADER_BYTES && out_request != NULL) {
        *out_request = read_le(bytes + 8, 8);
    }
    if (count < 4) {
        return WR_E_AGAIN;
    }
    uint32_t length = (uint32_t)read_le(bytes, 4);
    if (length < LENGTH_MIN || length > WR_FRAME_LENGTH_MAX) {
        return WR_FAIL(err, WR_E_PROTOCOL, "frame: length %u is not within %d and %d", length,
                       (int)LENGTH_MIN, (int)WR_FRAME_LENGTH_MAX);
    }
    if (count < WR_FRAME_HEADER_BYTES) {
        return WR_E_AGAIN;
    }
    uint16_t type = (uint16_t)read_le(bytes + 4, 2), version = (uint16_t)read_le(bytes + 6, 2);
    if (version != WR_PROTOCOL_VERSION) {
        return WR_FAIL(err, WR_E_PROTOCOL, "frame: version %u, this side speaks %d", version,
                       (int)WR_PROTOCOL_VERSION);
    }
    if (type < WR_FRAME_REQUEST || type > WR_FRAME_ERROR) {
        return WR_FAIL(err, WR_E_PROTOCOL, "frame: there is no type %u", type);
    }
    if (count < 4 + (uint64_t)length) {
        return WR_E_AGAIN;
    }
    wr_record body;
    WR_TRY(wr_record_check(bytes + WR_FRAME_HEADER_BYTES, length - LENGTH_MIN, &body, err));
    *out = (wr_frame){.type = type, .request = read_le(bytes + 8, 8), .body = body};
    *out_consumed = 4 + length;
    return WR_OK;
}

void wr_frame_error_write(wr_record_writer *w, const wr_error *error) {
    wr_record_begin(w);
    wr_record_int(w, "status", error->status);
    wr_record_string(w, "text", error->text);
    wr_record_string(w, "hint", error->hint);
}

wr_status wr_frame_error_read(const wr_record *body, wr_error *out) {
    static const wr_status known[] = {
#define WR_STATUS(name, number, grpc, python, text) WR_##name,
#include "whipray/status.def"
#undef WR_STATUS
    };
    int64_t number = wr_record_get_int(body, "status", WR_E_INTERNAL);
    wr_status status = WR_E_INTERNAL;
    for (size_t i = 0; i < WR_COUNT_OF(known); i++) {
        if (number == known[i] && number != WR_OK) {
            status = known[i];
        }
    }
    char text[WR_ERROR_TEXT_MAX], hint[WR_ERROR_HINT_MAX];
    if (!wr_record_get_string(body, "text", text, sizeof text)) {
        memcpy(text, "an error without a text", sizeof "an error without a text");
    }
    WR_FAIL(out, status, "%s", text);
    if (wr_record_get_string(body, "hint", hint, sizeof hint) && hint[0] != 0) {
        wr_error_hint(out, "%s", hint);
    }
    return status;
}

bool wr_token_equal(const char *a, const char *b) {
    size_t na = strlen(a), nb = strlen(b);
    unsigned difference = na == nb ? 0 : 1;
    for (size_t i = 0; i < nb; i++) {
        difference |= (unsigned)((unsigned char)a[i < na ? i : na] ^ (unsigned char)b[i]);
    }
    return difference == 0;
}

wr_status wr_peer_of(int fd, pid_t *out_pid, uid_t *out_uid, wr_error *err) {
    struct ucred who;
    socklen_t size = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
        return WR_FAIL_ERRNO(err, "socket: who is at the other end");
    }
    *out_pid = who.pid;
    *out_uid = who.uid;
    return WR_OK;
}

wr_status wr_peer_check(uid_t peer, uid_t mine, wr_error *err) {
    if (peer != mine) {
        return WR_FAIL(err, WR_E_DENIED,
                       "the process at the other end belongs to user %u, this one to user %u", (unsigned)peer,
                       (unsigned)mine);
    }
    return WR_OK;
}

wr_status wr_frame_adopt(int fd, wr_frame_conn **out, wr_error *err) {
    wr_frame_conn *conn = wr_calloc(1, sizeof *conn);
    if (conn == NULL) {
        close(fd);
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a connection");
    }
    conn->fd = fd;
    *out = conn;
    return WR_OK;
}

/* Waits for events; WR_OK when there are some. */
static wr_status wait_for(int fd, short events, uint64_t deadline_ns, wr_error *err) {
    for (;;) {
        uint64_t now = wr_clock_ns();
        if (deadline_ns != UINT64_MAX && now >= deadline_ns) {
            return WR_FAIL(err, WR_E_TIMEOUT, "the raylet did not answer in time");
        }
        uint64_t left = deadline_ns == UINT64_MAX ? 1000000000ull : deadline_ns - now;
        struct timespec wait = {.tv_sec = (time_t)(left / 1000000000ull),
                                .tv_nsec = (long)(left % 1000000000ull)};
        struct pollfd p = {.fd = fd, .events = events};
        int n = ppoll(&p, 1, &wait, NULL);
        if (n > 0) {
            return WR_OK;
        }
        if (n < 0 && errno != EINTR) {
            return WR_FAIL_ERRNO(err, "poll");
        }
    }
}

static wr_status connect_to(int fd, const struct sockaddr_un *to, uint64_t deadline_ns, wr_error *err) {
    for (;;) {
        if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0) {
            return WR_OK;
        }
        if (errno == EAGAIN) { /* the listener's queue is full: a Unix socket has nothing to poll for */
            if (wr_clock_ns() >= deadline_ns) {
                return WR_FAIL(err, WR_E_TIMEOUT, "%s: its queue of connections stayed full", to->sun_path);
            }
            poll(NULL, 0, 1);
            continue;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR) {
            return WR_FAIL(err, WR_E_UNAVAILABLE, "no raylet listens at %s (%s)", to->sun_path,
                           strerror(errno));
        }
        if (errno == EACCES || errno == EPERM) {
            return WR_FAIL(err, WR_E_DENIED, "%s belongs to another user", to->sun_path);
        }
        return WR_FAIL_ERRNO(err, "connect to %s", to->sun_path);
    }
}

wr_status wr_frame_connect(const char *path, uint64_t deadline_ns, wr_frame_conn **out, wr_error *err) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof to.sun_path) {
        return WR_FAIL(err, WR_E_INVALID, "%s: a socket's path has at most %zu bytes", path,
                       sizeof to.sun_path - 1);
    }
    memcpy(to.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return WR_FAIL_ERRNO(err, "socket");
    }
    pid_t pid = 0;
    uid_t uid = 0;
    wr_status status = connect_to(fd, &to, deadline_ns, err);
    if (status == WR_OK) {
        status = wr_peer_of(fd, &pid, &uid, err);
    }
    if (status == WR_OK) {
        status = wr_peer_check(uid, geteuid(), err);
    }
    if (status != WR_OK) {
        close(fd);
        return status;
    }
    return wr_frame_adopt(fd, out, err);
}

void wr_frame_close(wr_frame_conn *conn) {
    if (conn == NULL) {
        return;
    }
    for (uint32_t i = 0; i < conn->fd_count; i++) {
        close(conn->fds[i]);
    }
    close(conn->fd);
    wr_free(conn->in);
    wr_free(conn);
}

int wr_frame_fd(const wr_frame_conn *conn) {
    return conn->fd;
}

int wr_frame_take_fd(wr_frame_conn *conn) {
    if (conn->fd_count == 0) {
        return -1;
    }
    int fd = conn->fds[0];
    conn->fd_count--;
    memmove(conn->fds, conn->fds + 1, conn->fd_count * sizeof conn->fds[0]);
    return fd;
}

static wr_status hung_up(wr_error *err) {
    return WR_FAIL(err, WR_E_UNAVAILABLE, "the other end of the raylet's socket hung up");
}

wr_status wr_frame_send(wr_frame_conn *conn, uint16_t type, uint64_t request, const uint8_t *record,
                        uint32_t record_bytes, int pass_fd, uint64_t deadline_ns, wr_error *err) {
    if (record_bytes > WR_RECORD_BYTES_MAX) {
        return WR_FAIL(err, WR_E_LIMIT, "frame: a record of %u bytes is longer than %d", record_bytes,
                       (int)WR_RECORD_BYTES_MAX);
    }
    uint8_t header[WR_FRAME_HEADER_BYTES];
    wr_frame_header(header, type, request, record_bytes);
    uint64_t sent = 0, total = sizeof header + (uint64_t)record_bytes;
    while (sent < total) {
        bool in_header = sent < sizeof header;
        struct iovec parts[2] = {
            {.iov_base = header + (in_header ? sent : 0), .iov_len = in_header ? sizeof header - sent : 0},
            {.iov_base = (uint8_t *)(uintptr_t)record + (in_header ? 0 : sent - sizeof header),
             .iov_len = in_header ? record_bytes : total - sent},
        };
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct msghdr msg = {.msg_iov = in_header ? parts : parts + 1, .msg_iovlen = in_header ? 2 : 1};
        if (pass_fd >= 0 && sent == 0) {
            msg.msg_control = control.bytes;
            msg.msg_controllen = sizeof control.bytes;
            struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(c), &pass_fd, sizeof(int));
        }
        ssize_t n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            sent += (uint64_t)n;
        } else if (errno == EAGAIN) {
            WR_TRY(wait_for(conn->fd, POLLOUT, deadline_ns, err));
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return hung_up(err);
        } else if (errno != EINTR) {
            return WR_FAIL_ERRNO(err, "send to the raylet");
        }
    }
    return WR_OK;
}

/* Keeps what came by SCM_RIGHTS; descriptors beyond WR_FRAME_FDS_MAX are closed. */
static void keep_fds(wr_frame_conn *conn, struct msghdr *msg) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
            if (conn->fd_count < WR_FRAME_FDS_MAX) {
                conn->fds[conn->fd_count++] = fd;
            } else {
                close(fd);
            }
        }
    }
}

/* Reads what is there. AGAIN: nothing was. */
static wr_status receive_some(wr_frame_conn *conn, wr_error *err) {
    void *in = conn->in;
    WR_TRY(wr_array_reserve(&in, &conn->in_capacity, conn->in_used + RECEIVE_STEP_BYTES, 1, err));
    conn->in = in;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(WR_FRAME_FDS_MAX * sizeof(int))];
    } control;
    for (;;) {
        struct iovec part = {.iov_base = conn->in + conn->in_used,
                             .iov_len = conn->in_capacity - conn->in_used};
        struct msghdr msg = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
        ssize_t n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n > 0) {
            keep_fds(conn, &msg);
            conn->in_used += (uint32_t)n;
            return WR_OK;
        }
        if (n == 0 || errno == ECONNRESET) {
            return hung_up(err);
        }
        if (errno == EAGAIN) {
            return WR_E_AGAIN;
        }
        if (errno != EINTR) {
            return WR_FAIL_ERRNO(err, "receive from the raylet");
        }
    }
}

wr_status wr_frame_receive(wr_frame_conn *conn, uint64_t deadline_ns, wr_frame *out, wr_error *err) {
    if (conn->in_consumed > 0) {
        conn->in_used -= conn->in_consumed;
        memmove(conn->in, conn->in + conn->in_consumed, conn->in_used);
        conn->in_consumed = 0;
    }
    for (;;) {
        wr_status status = wr_frame_parse(conn->in, conn->in_used, out, &conn->in_consumed, NULL, err);
        if (status != WR_E_AGAIN) {
            return status;
        }
        status = receive_some(conn, err);
        if (status == WR_E_AGAIN) {
            WR_TRY(wait_for(conn->fd, POLLIN, deadline_ns, err));
        } else if (status != WR_OK) {
            return status;
        }
    }
}

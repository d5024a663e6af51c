/* Finding a running cluster and talking to its raylet. */
#include "cli/cli.h"

#include "base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull

static wr_status locate(const char *where, cli_cluster *c, wr_error *err) {
    if (where != NULL && where[0] == '/') {
        size_t n = strlen(where);
        bool socket = n > 15 && strcmp(where + n - 15, "/sockets/raylet") == 0;
        snprintf(c->session, sizeof c->session, "%.*s", (int)(socket ? n - 15 : n), where);
        return WR_OK;
    }
    wr_status status = wr_paths_current_read(c->root, c->address, c->session, err);
    if (status == WR_E_NOT_FOUND) {
        WR_FAIL(err, WR_E_NOT_FOUND, "no cluster was started here");
        wr_error_hint(err, "start one with: whipray start --head");
        return status;
    }
    if (status == WR_OK && where != NULL && strcmp(where, "auto") != 0 && strcmp(where, c->address) != 0) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "the cluster that runs here is %s, not %s", c->address, where);
    }
    return status;
}

wr_status cli_find(const char *where, const char *temp_dir, cli_cluster *out, wr_error *err) {
    memset(out, 0, sizeof *out);
    WR_TRY(wr_paths_root(temp_dir, out->root, err));
    WR_TRY(locate(where, out, err));
    WR_TRY(wr_paths_join(out->session, "sockets/raylet", out->socket, err));
    wr_status status = wr_frame_connect(out->socket, wr_clock_ns() + 5 * SECOND_NS, &out->conn, err);
    if (status == WR_E_UNAVAILABLE) {
        WR_FAIL(err, WR_E_NOT_FOUND, "no cluster is running: nobody answers at %s", out->socket);
        return WR_E_NOT_FOUND;
    }
    if (status == WR_E_TIMEOUT) { /* it has hung for so long that nobody can connect, and so learn its pid */
        wr_error_hint(err, "its raylet hangs; end it by: pkill -KILL -f 'whipray-raylet.*%s'", out->session);
    }
    WR_TRY(status);
    uid_t uid;
    return wr_peer_of(wr_frame_fd(out->conn), &out->pid, &uid, err);
}

wr_status cli_hello(cli_cluster *out, uint64_t timeout_ns, wr_error *err) {
    char token[WR_TOKEN_MAX + 1], path[WR_PATH_MAX];
    wr_error ignored;
    if (wr_paths_join(out->session, "auth_token", path, &ignored) != WR_OK ||
        wr_token_read(path, token, &ignored) != WR_OK) {
        WR_TRY(wr_token_load(false, token, NULL, err));
    }
    wr_record_writer w = {0};
    const uint8_t *record;
    uint32_t bytes;
    wr_frame frame;
    wr_record_begin(&w);
    wr_record_string(&w, "op", "hello");
    wr_record_int(&w, "kind", 3);
    wr_record_int(&w, "protocol", WR_PROTOCOL_VERSION);
    wr_record_int(&w, "pid", getpid());
    wr_record_string(&w, "token", token);
    uint64_t deadline = wr_clock_ns() + timeout_ns;
    wr_status status = wr_record_finish(&w, &record, &bytes, err);
    status = status == WR_OK ? wr_frame_send(out->conn, WR_FRAME_REQUEST, ++out->next_request, record, bytes,
                                             -1, deadline, err)
                             : status;
    wr_record_done(&w);
    status = status == WR_OK ? wr_frame_receive(out->conn, deadline, &frame, err) : status;
    if (status == WR_OK && frame.type == WR_FRAME_ERROR) {
        return wr_frame_error_read(&frame.body, err);
    }
    if (status == WR_E_TIMEOUT) {
        WR_FAIL(err, status, "a cluster runs here, but the raylet did not answer in time (pid %d)",
                (int)out->pid);
        wr_error_hint(err, "end it with: whipray stop --force");
    }
    return status;
}

wr_status cli_connect(const char *where, const char *temp_dir, cli_cluster *out, wr_error *err) {
    WR_TRY(cli_find(where, temp_dir, out, err));
    return cli_hello(out, 5 * SECOND_NS, err);
}

int cli_pidfd(const cli_cluster *cluster) {
    return cluster->pid > 0 ? (int)syscall(SYS_pidfd_open, cluster->pid, 0) : -1;
}

bool cli_ended(int pidfd, int timeout_ms) {
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

void cli_disconnect(cli_cluster *cluster) {
    wr_frame_close(cluster->conn);
    cluster->conn = NULL;
}

wr_status cli_call(cli_cluster *cluster, const char *op, uint64_t timeout_ns, wr_record *out, wr_error *err) {
    wr_record_writer w = {0};
    const uint8_t *record;
    uint32_t bytes;
    uint64_t deadline = wr_clock_ns() + timeout_ns;
    wr_record_begin(&w);
    wr_record_string(&w, "op", op);
    wr_status status = wr_record_finish(&w, &record, &bytes, err);
    status = status == WR_OK ? wr_frame_send(cluster->conn, WR_FRAME_REQUEST, ++cluster->next_request, record,
                                             bytes, -1, deadline, err)
                             : status;
    wr_record_done(&w);
    while (status == WR_OK) {
        wr_frame frame;
        status = wr_frame_receive(cluster->conn, deadline, &frame, err);
        if (status == WR_OK && frame.request == cluster->next_request) {
            *out = frame.body;
            return frame.type == WR_FRAME_ERROR ? wr_frame_error_read(&frame.body, err) : WR_OK;
        }
    }
    return status;
}

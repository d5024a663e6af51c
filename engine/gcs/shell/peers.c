/* Connections and sessions: a connection is only a carrier, the session outlives it (rule S1). */
#include "gcs/shell/shell.h"

#include "base/clock.h"
#include "rpc/codec.h"

enum { FRAME_BYTES_MAX = 1024 * 1024, ACKS_MAX = 256 };
static const uint64_t session_bytes_max = 256ull * 1024 * 1024;

static gcs_conn *conn_of_id(const gcs_shell *shell, uint32_t id) {
    uint64_t found;
    return wr_map_get(&shell->conn_index, id, &found) ? (gcs_conn *)(uintptr_t)found : NULL;
}

static gcs_peer *peer_of(const gcs_shell *shell, uint32_t inc) {
    uint64_t found;
    return wr_map_get(&shell->peer_index, inc, &found) ? (gcs_peer *)(uintptr_t)found : NULL;
}

/* ---- writing */

static void write_next(gcs_shell *shell, gcs_conn *conn, bool ack_now) {
    if (wr_rpc_call_busy(conn->call)) {
        return;
    }
    gcs_peer *peer = conn->peer;
    wr_status status;
    if (conn->outside.count > 0) {
        const wr_session_record *r = &conn->outside.records[conn->outside.head];
        status = wr_frame_outside(0, shell->epoch, wr_span_of(r->data, r->bytes), &shell->frame, NULL);
        wr_session_acked(&conn->outside, conn->outside.first_seq + 1);
    } else if (peer != NULL && (wr_session_has_unsent(&peer->session) || peer->session.ack_due >= ACKS_MAX ||
                                (ack_now && peer->session.ack_due > 0))) {
        status = wr_session_frame(&peer->session, 0, shell->epoch, FRAME_BYTES_MAX, &shell->frame, NULL);
    } else {
        return;
    }
    if (status == WR_OK) {
        wr_rpc_call_send(conn->call, shell->frame.data, shell->frame.bytes);
    } else {
        wr_rpc_call_fail(conn->call, WR_E_NO_MEMORY, "no memory for a frame");
    }
}

static wr_status push_outside(gcs_conn *conn, const wr_cluster_msg *msg, wr_error *err) {
    uint8_t *data;
    uint32_t bytes;
    WR_TRY(wr_cluster_msg_pack(msg, &data, &bytes, err));
    return wr_session_push(&conn->outside, data, bytes, err);
}

static void drop_peer(gcs_shell *shell, gcs_peer *peer) {
    *(peer->previous != NULL ? &peer->previous->next : &shell->peers) = peer->next;
    if (peer->next != NULL) {
        peer->next->previous = peer->previous;
    }
    if (peer->conn != NULL) {
        peer->conn->peer = NULL;
    }
    (void)wr_map_remove(&shell->peer_index, peer->inc, NULL);
    wr_session_done(&peer->session);
    wr_free(peer);
}

/* To whoever speaks as `inc`, session or not. */
static wr_status tell_outside(gcs_shell *shell, uint32_t inc, const wr_cluster_msg *msg, wr_error *err) {
    for (gcs_conn *c = shell->conns; c != NULL; c = c->next) {
        if (c->inc == inc) {
            WR_TRY(push_outside(c, msg, err));
            write_next(shell, c, false);
        }
    }
    return WR_OK;
}

static wr_status deliver_one(gcs_shell *shell, const wr_outbox_item *item, wr_error *err) {
    const wr_cluster_msg *msg = item->msg;
    if (item->dest >= WR_DEST_CONN(0)) {
        gcs_conn *conn = conn_of_id(shell, (uint32_t)(item->dest & UINT32_MAX));
        if (conn != NULL) {
            WR_TRY(push_outside(conn, msg, err));
            write_next(shell, conn, false);
        }
        return WR_OK;
    }
    uint32_t inc = (uint32_t)item->dest;
    gcs_peer *peer = peer_of(shell, inc);
    if (msg->type == WR_MSG_YOUDEAD || msg->type == WR_MSG_HELLO) {
        wr_status status = tell_outside(shell, inc, msg, err);
        if (msg->type == WR_MSG_YOUDEAD && peer != NULL) {
            drop_peer(shell, peer);
        }
        return status;
    }
    if (peer == NULL) {
        return WR_OK; /* it died in this very batch */
    }
    uint8_t *data;
    uint32_t bytes;
    WR_TRY(wr_cluster_msg_pack(msg, &data, &bytes, err));
    WR_TRY(wr_session_push(&peer->session, data, bytes, err));
    return WR_OK;
}

wr_status gcs_shell_deliver(gcs_shell *shell, bool only_immediate, wr_error *err) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < shell->out.count; i++) {
        wr_outbox_item item = shell->out.items[i];
        if (only_immediate && item.after != 0) {
            shell->out.items[kept++] = item;
            continue;
        }
        wr_status status = deliver_one(shell, &item, err);
        wr_cluster_msg_free(item.msg);
        shell->out.items[i].msg = NULL;
        WR_TRY(status);
    }
    shell->out.count = kept;
    for (gcs_peer *p = shell->peers; p != NULL; p = p->next) {
        if (p->conn != NULL) {
            write_next(shell, p->conn, false);
        }
    }
    return WR_OK;
}

void gcs_shell_ack_all(gcs_shell *shell) {
    for (gcs_peer *p = shell->peers, *next; p != NULL; p = next) {
        next = p->next;
        if (p->conn != NULL) {
            write_next(shell, p->conn, true);
        }
        if (p->session.bytes >
            session_bytes_max) { /* it lives, and takes nothing: it is of no use to anybody */
            wr_cluster_msg msg = {.type = WR_MSG_LEAVE};
            msg.u.node.text = wr_span_text("it does not take its messages");
            wr_gcs_core_step(shell->core, wr_clock_ns(), wr_clock_wall_us(), p->inc, &msg, &shell->log,
                             &shell->out);
        }
    }
}

/* ---- streams */

void gcs_shell_on_stream(gcs_shell *shell, wr_rpc_call *call) {
    gcs_conn *conn = wr_calloc(1, sizeof *conn);
    wr_cluster_msg hello = wr_gcs_core_hello(shell->core);
    if (conn == NULL) {
        wr_rpc_call_fail(call, WR_E_NO_MEMORY, "no memory for a connection");
        return;
    }
    conn->id = ++shell->last_conn;
    conn->call = call;
    wr_session_init(&conn->outside);
    if (wr_map_set(&shell->conn_index, conn->id, (uint64_t)(uintptr_t)conn, NULL) != WR_OK ||
        push_outside(conn, &hello, NULL) != WR_OK) {
        (void)wr_map_remove(&shell->conn_index, conn->id, NULL);
        wr_session_done(&conn->outside);
        wr_free(conn);
        wr_rpc_call_fail(call, WR_E_NO_MEMORY, "no memory for a connection");
        return;
    }
    conn->next = shell->conns;
    if (shell->conns != NULL) {
        shell->conns->previous = conn;
    }
    shell->conns = conn;
    wr_rpc_call_set_user(call, conn); /* HELLO goes out when the stream is writable */
}

void gcs_shell_on_writable(gcs_shell *shell, wr_rpc_call *call) {
    gcs_conn *conn = wr_rpc_call_user(call);
    if (conn != NULL) {
        write_next(shell, conn, false);
    }
}

void gcs_shell_on_stream_closed(gcs_shell *shell, wr_rpc_call *call) {
    gcs_conn *conn = wr_rpc_call_user(call);
    if (conn == NULL) {
        return;
    }
    wr_rpc_call_set_user(call, NULL);
    if (conn->peer != NULL) {
        conn->peer->conn = NULL;
    }
    *(conn->previous != NULL ? &conn->previous->next : &shell->conns) = conn->next;
    if (conn->next != NULL) {
        conn->next->previous = conn->previous;
    }
    (void)wr_map_remove(&shell->conn_index, conn->id, NULL);
    wr_session_done(&conn->outside);
    wr_free(conn);
}

/* Who speaks on a connection is known from its first frame on; a newer connection of the same node replaces
 * the older. */
static wr_status bind_conn(gcs_shell *shell, gcs_conn *conn, uint32_t inc, wr_error *err) {
    conn->inc = inc;
    gcs_peer *peer = peer_of(shell, inc);
    if (peer == NULL) {
        if (!wr_gcs_core_knows_live(shell->core, inc)) {
            return WR_OK; /* the core will tell it */
        }
        peer = wr_calloc(1, sizeof *peer);
        if (peer == NULL) {
            return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a session");
        }
        peer->inc = inc;
        wr_session_init(&peer->session);
        wr_status status = wr_map_set(&shell->peer_index, inc, (uint64_t)(uintptr_t)peer, err);
        if (status != WR_OK) {
            wr_free(peer);
            return status;
        }
        peer->next = shell->peers;
        if (shell->peers != NULL) {
            shell->peers->previous = peer;
        }
        shell->peers = peer;
    }
    if (peer->conn != conn) {
        if (peer->conn != NULL) {
            peer->conn->peer = NULL;
            peer->conn->inc = 0;
            wr_rpc_call_fail(peer->conn->call, WR_E_UNAVAILABLE, "replaced by a newer connection");
        }
        peer->conn = conn;
        conn->peer = peer;
        wr_session_rewind(&peer->session);
    }
    return WR_OK;
}

static void step(gcs_shell *shell, uint64_t from, const wr_cluster_msg *msg) {
    wr_gcs_core_step(shell->core, wr_clock_ns(), wr_clock_wall_us(), from, msg, &shell->log, &shell->out);
}

static wr_status take_frame(gcs_shell *shell, gcs_conn *conn, const wr_cluster_frame *frame, wr_error *err) {
    if (frame->src == 0) {
        for (uint32_t i = 0; i < frame->count; i++) {
            step(shell, WR_DEST_CONN((uint64_t)conn->id), frame->msgs[i]);
        }
        return WR_OK;
    }
    if (frame->epoch != shell->epoch) {
        return WR_OK; /* it will read our HELLO */
    }
    WR_TRY(bind_conn(shell, conn, frame->src, err));
    gcs_peer *peer = conn->peer;
    if (peer != NULL) {
        wr_session_acked(&peer->session, frame->ack);
    }
    if (frame->count == 0 && peer == NULL) {
        wr_cluster_msg hb = {.type = WR_MSG_HB}; /* a bare greeting of a dead node: the core answers it */
        hb.u.hb.epoch = frame->epoch;
        step(shell, frame->src, &hb);
    }
    for (uint32_t i = 0; i < frame->count; i++) {
        bool is_new = true;
        peer = conn->peer; /* a record may have been its last */
        if (frame->session && peer != NULL) {
            WR_TRY(wr_session_accept(&peer->session, frame->seq + i, &is_new, err));
        }
        if (is_new) {
            step(shell, frame->src, frame->msgs[i]);
        }
    }
    return WR_OK;
}

void gcs_shell_on_frame(gcs_shell *shell, wr_rpc_call *call, wr_span bytes) {
    gcs_conn *conn = wr_rpc_call_user(call);
    if (conn == NULL) {
        return;
    }
    wr_cluster_frame frame;
    wr_error err = {.status = WR_OK};
    wr_status status = wr_cluster_frame_unpack(bytes, &frame, &err);
    if (status == WR_OK) {
        status = take_frame(shell, conn, &frame, &err);
    }
    wr_cluster_frame_done(&frame);
    if (status != WR_OK) {
        wr_rpc_call_fail(call, status, err.text);
    } else {
        write_next(shell, conn, false);
    }
}

void gcs_shell_peers_done(gcs_shell *shell) {
    while (shell->peers != NULL) {
        drop_peer(shell, shell->peers);
    }
    while (shell->conns != NULL) {
        gcs_conn *conn = shell->conns;
        shell->conns = conn->next;
        wr_session_done(&conn->outside);
        wr_free(conn);
    }
    wr_map_done(&shell->conn_index);
    wr_map_done(&shell->peer_index);
    wr_buffer_done(&shell->frame);
}

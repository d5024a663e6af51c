#include "rpc/gcs_link.h"

#include "rpc/client.h"
#include "rpc/codec.h"
#include "rpc/gcs_api.h"
#include "rpc/session.h"

#include <pthread.h>
#include <stdatomic.h>

#include "cluster.pb-c.h"
#include "gcs.pb-c.h"

#define MILLISECOND 1000000ull

enum { FRAME_BYTES_MAX = 1024 * 1024, ACKS_MAX = 256 };
static const uint64_t queue_bytes_default = 64ull * 1024 * 1024;
static const wr_time_ns reopen_ns = 10 * MILLISECOND, reopen_refused_ns = 200 * MILLISECOND,
                        retry_ns = 20 * MILLISECOND, ack_ns = 100 * MILLISECOND;
/* A GCS that was killed is back within a moment; one that stays away is asked less often. */
static const wr_time_ns hurry_ns = 20 * MILLISECOND, hurry_long_ns = 200 * MILLISECOND,
                        hurry_for_ns = 5000 * MILLISECOND;

/* One call of a user, over as many attempts as its deadline allows. */
typedef struct link_call {
    struct link_call *next, *previous;
    wr_gcs_link *link;
    const char *method;
    uint8_t *request; /* owned */
    uint32_t request_bytes;
    wr_time_ns deadline, retry_at;
    wr_rpc_unary *unary; /* NULL: between two attempts */
    wr_gcs_call_fn done;
    void *user;
} link_call;

struct wr_gcs_link {
    wr_rpc_client *client;
    wr_gcs_link_callbacks callbacks;
    uint64_t queue_bytes_max;
    bool wants_stream;
    atomic_uint_fast64_t heard; /* without the lock */
    pthread_t thread;
    pthread_mutex_t lock; /* everything below; never held in a callback */
    bool closing;
    link_call *calls;
    wr_rpc_stream *stream; /* NULL: none open */
    bool ready;            /* HELLO came on it */
    bool told_lost;        /* the reason was told before the stream had ended */
    bool greet;            /* a frame must go out, be it empty: the GCS learns who is on this connection */
    bool needs_rereg;      /* the session is new: only a REREG may begin it (L3) */
    wr_time_ns reopen_at, ack_at, down_since; /* down_since: 0 while connected, or nobody asks */
    uint64_t epoch, cluster_id;
    uint32_t inc;
    wr_session session;
    wr_session outside; /* only as a queue: records outside of the session */
    wr_buffer frame;
};

/* ---- writing: all with the lock held */

static void write_next(wr_gcs_link *link) {
    if (link->stream == NULL || !link->ready || wr_rpc_stream_busy(link->stream)) {
        return;
    }
    wr_status status;
    if (link->outside.count > 0) {
        const wr_session_record *r = &link->outside.records[link->outside.head];
        status = wr_frame_outside(link->inc, link->epoch, wr_span_of(r->data, r->bytes), &link->frame, NULL);
        wr_session_acked(&link->outside, link->outside.first_seq + 1);
    } else if (link->inc != 0 &&
               (wr_session_has_unsent(&link->session) || link->greet || link->session.ack_due >= ACKS_MAX ||
                (link->session.ack_due > 0 && wr_clock_ns() >= link->ack_at))) {
        status =
            wr_session_frame(&link->session, link->inc, link->epoch, FRAME_BYTES_MAX, &link->frame, NULL);
        link->greet = false;
    } else {
        return;
    }
    if (status == WR_OK) {
        wr_rpc_stream_send(link->stream, link->frame.data, link->frame.bytes);
    } else {
        wr_rpc_stream_cancel(
            link->stream); /* no memory: what was not written is written on the next connection */
    }
}

static wr_status queue(wr_gcs_link *link, const wr_cluster_msg *msg, wr_error *err) {
    uint8_t *data;
    uint32_t bytes;
    WR_TRY(wr_cluster_msg_pack(msg, &data, &bytes, err));
    if (bytes > WR_CLUSTER_MSG_BYTES_MAX) {
        wr_free(data);
        return WR_FAIL(err, WR_E_INVALID, "a message %s of %u bytes, at most %d are possible",
                       wr_cluster_msg_name(msg->type), bytes, WR_CLUSTER_MSG_BYTES_MAX);
    }
    bool in_session = link->inc != 0;
    if (in_session && link->needs_rereg) {
        if (msg->type !=
            WR_MSG_REREG) { /* L3: the sender has not heard of the new epoch yet, and will send it again */
            wr_free(data);
            return WR_OK;
        }
        link->needs_rereg = false;
    }
    if (!in_session && !link->ready) { /* L1: lost with the connection */
        wr_free(data);
        return WR_OK;
    }
    wr_session *to = in_session ? &link->session : &link->outside;
    if (to->bytes + bytes > link->queue_bytes_max) {
        wr_free(data);
        return WR_FAIL(err, WR_E_LIMIT, "more than %lu bytes wait for the GCS",
                       (unsigned long)link->queue_bytes_max);
    }
    return wr_session_push(to, data, bytes, err);
}

uint64_t wr_gcs_link_heard(const wr_gcs_link *link) {
    return atomic_load_explicit(&link->heard, memory_order_relaxed);
}

wr_status wr_gcs_link_send(wr_gcs_link *link, const wr_cluster_msg *msg, wr_error *err) {
    pthread_mutex_lock(&link->lock);
    wr_status status =
        link->closing ? WR_FAIL(err, WR_E_CANCELLED, "the link is being closed") : queue(link, msg, err);
    if (status == WR_OK) {
        write_next(link);
    }
    pthread_mutex_unlock(&link->lock);
    return status;
}

wr_status wr_gcs_link_send_all(wr_gcs_link *link, const wr_outbox *box, wr_error *err) {
    wr_status status = WR_OK;
    pthread_mutex_lock(&link->lock);
    if (link->closing) {
        status = WR_FAIL(err, WR_E_CANCELLED, "the link is being closed");
    }
    for (uint32_t i = 0; status == WR_OK && i < box->count; i++) {
        if (box->items[i].dest == WR_DEST_GCS) {
            status = queue(link, box->items[i].msg, err);
        }
    }
    write_next(link);
    pthread_mutex_unlock(&link->lock);
    return status;
}

void wr_gcs_link_identify(wr_gcs_link *link, uint32_t inc) {
    WR_ASSERT(inc != 0);
    pthread_mutex_lock(&link->lock);
    wr_session_done(&link->session);
    link->inc = inc;
    link->needs_rereg = true;
    pthread_mutex_unlock(&link->lock);
}

/* ---- reading: on the link's thread */

/* Ends a stream for a reason of ours; the next one begins anew. */
static void give_up(wr_gcs_link *link, wr_rpc_stream *stream, const wr_error *why) {
    pthread_mutex_lock(&link->lock);
    link->told_lost = true;
    pthread_mutex_unlock(&link->lock);
    link->callbacks.on_lost(link->callbacks.user, why);
    wr_rpc_stream_cancel(stream);
}

static void on_hello(wr_gcs_link *link, wr_rpc_stream *stream, const wr_msg_hello *hello) {
    pthread_mutex_lock(&link->lock);
    bool first = !link->ready, same_version = hello->version == WR_CLUSTER_VERSION;
    bool new_epoch = hello->epoch != link->epoch || hello->cluster_id != link->cluster_id;
    if (same_version) {
        if (new_epoch) {
            wr_session_done(&link->session);
            link->needs_rereg = true;
        } else {
            wr_session_rewind(&link->session);
        }
        link->epoch = hello->epoch;
        link->cluster_id = hello->cluster_id;
        link->ready = true;
        link->greet = link->inc != 0 && !new_epoch;
        write_next(link);
    }
    pthread_mutex_unlock(&link->lock);
    if (!same_version) {
        wr_error err = {.status = WR_OK};
        (void)WR_FAIL(&err, WR_E_VERSION,
                      "the GCS speaks version %u of the cluster's protocol, this program %d", hello->version,
                      WR_CLUSTER_VERSION);
        give_up(link, stream, &err);
    } else if (first || new_epoch) {
        link->callbacks.on_connected(link->callbacks.user, hello->epoch, hello->cluster_id, new_epoch);
    }
}

/* Which records of a frame are news? Those that are not are freed. */
static wr_status take_session_frame(wr_gcs_link *link, wr_cluster_frame *frame, wr_error *err) {
    wr_status status = WR_OK;
    pthread_mutex_lock(&link->lock);
    bool ours = frame->epoch == link->epoch && link->inc != 0;
    if (ours) {
        wr_session_acked(&link->session, frame->ack);
        link->ack_at = link->session.ack_due == 0 ? wr_clock_ns() + ack_ns : link->ack_at;
    }
    for (uint32_t i = 0; i < frame->count; i++) {
        bool is_new = false;
        if (ours && status == WR_OK) {
            status = wr_session_accept(&link->session, frame->seq + i, &is_new, err);
        }
        if (!is_new) {
            wr_cluster_msg_free(frame->msgs[i]);
            frame->msgs[i] = NULL;
        }
    }
    pthread_mutex_unlock(&link->lock);
    return status;
}

static void on_stream_message(void *user, wr_rpc_stream *stream, wr_span bytes) {
    wr_gcs_link *link = user;
    wr_cluster_frame frame;
    wr_error err = {.status = WR_OK};
    atomic_fetch_add_explicit(&link->heard, 1, memory_order_relaxed);
    wr_status status = wr_cluster_frame_unpack(bytes, &frame, &err);
    if (status == WR_OK && frame.session) {
        status = take_session_frame(link, &frame, &err);
    }
    if (status != WR_OK) { /* a new connection brings both ends to the same point again */
        give_up(link, stream, &err);
        wr_cluster_frame_done(&frame);
        return;
    }
    for (uint32_t i = 0; i < frame.count; i++) {
        if (frame.msgs[i] != NULL && frame.msgs[i]->type == WR_MSG_HELLO) {
            on_hello(link, stream, &frame.msgs[i]->u.hello);
        } else if (frame.msgs[i] != NULL) {
            link->callbacks.on_message(link->callbacks.user, wr_steal(&frame.msgs[i]));
        }
    }
    wr_cluster_frame_done(&frame);
    pthread_mutex_lock(&link->lock);
    write_next(link);
    pthread_mutex_unlock(&link->lock);
}

static void on_stream_writable(void *user, wr_rpc_stream *stream) {
    (void)stream;
    wr_gcs_link *link = user;
    pthread_mutex_lock(&link->lock);
    write_next(link);
    pthread_mutex_unlock(&link->lock);
}

static void on_stream_closed(void *user, wr_rpc_stream *stream, wr_status status, const wr_error *err) {
    (void)stream;
    wr_gcs_link *link = user;
    pthread_mutex_lock(&link->lock);
    bool was_ready = link->ready, quiet = link->closing || link->told_lost;
    link->told_lost = false;
    link->stream = NULL;
    link->ready = false;
    link->reopen_at = wr_clock_ns() + (status == WR_E_UNAVAILABLE ? reopen_ns : reopen_refused_ns);
    wr_session_done(&link->outside);
    pthread_mutex_unlock(&link->lock);
    if (!quiet && (was_ready || status != WR_E_UNAVAILABLE)) {
        link->callbacks.on_lost(link->callbacks.user, err);
    }
}

static void open_stream(wr_gcs_link *link) {
    wr_rpc_stream_callbacks callbacks = {link, on_stream_message, on_stream_writable, on_stream_closed};
    if (wr_rpc_client_stream(link->client, WR_GCS_STREAM_METHOD, &callbacks, &link->stream, NULL) != WR_OK) {
        link->stream = NULL;
        link->reopen_at = wr_clock_ns() + reopen_refused_ns;
    }
}

/* ---- calls */

void wr_gcs_response_free(wr_gcs_response *response) {
    if (response != NULL) {
        wr_free((char *)response - offsetof(wr_gcs_reply, response));
    }
}

static void on_call_done(void *user, wr_status status, wr_span bytes, const wr_error *err);

/* With the lock held. */
static void start_call(link_call *call) {
    wr_status status =
        wr_rpc_client_call(call->link->client, call->method, wr_span_of(call->request, call->request_bytes),
                           call->deadline, on_call_done, call, &call->unary, NULL);
    if (status != WR_OK) {
        call->unary = NULL;
        call->retry_at = wr_clock_ns() + retry_ns;
    }
}

static void unlink_call(link_call *call) {
    wr_gcs_link *link = call->link;
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        link->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
}

static void finish_call(link_call *call, wr_status status, wr_gcs_response *response, const wr_error *err) {
    call->done(call->user, status, response, err);
    wr_free(call->request);
    wr_free(call);
}

static wr_status read_reply(wr_span bytes, wr_gcs_response **out, wr_error *err) {
    void *block;
    WR_TRY(wr_struct_unpack(&wr_gcs_reply_desc, &whipray__gcs_reply__descriptor, bytes, &block, err));
    wr_gcs_reply *reply = block;
    if (reply->status != WR_OK) {
        wr_status status = WR_FAIL(err, (wr_status)reply->status, "%.*s",
                                   (int)(reply->text.bytes < 700 ? reply->text.bytes : 700),
                                   reply->text.bytes == 0 ? "" : (const char *)reply->text.data);
        wr_free(block);
        return status;
    }
    *out = &reply->response;
    return WR_OK;
}

static void on_call_done(void *user, wr_status status, wr_span bytes, const wr_error *err) {
    link_call *call = user;
    wr_gcs_link *link = call->link;
    wr_time_ns now = wr_clock_ns();
    pthread_mutex_lock(&link->lock);
    call->unary = NULL;
    if (status == WR_E_UNAVAILABLE && !link->closing && now + retry_ns < call->deadline) {
        call->retry_at = now + retry_ns; /* the GCS is being started again: all calls may be repeated */
        pthread_mutex_unlock(&link->lock);
        return;
    }
    unlink_call(call);
    pthread_mutex_unlock(&link->lock);
    wr_gcs_response *response = NULL;
    wr_error own = *err;
    if (status == WR_OK) {
        status = read_reply(bytes, &response, &own);
    }
    finish_call(call, status, response, &own);
}

wr_status wr_gcs_link_call(wr_gcs_link *link, const wr_gcs_request *request, wr_gcs_call_fn done, void *user,
                           wr_error *err) {
    const char *method = wr_gcs_call_method(request->call);
    if (method == NULL || request->timeout_ns == 0) {
        return WR_FAIL(err, WR_E_INVALID, "a call of the GCS needs a known number and a time limit");
    }
    link_call *call = wr_calloc(1, sizeof *call);
    if (call == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a call");
    }
    wr_time_ns now = wr_clock_ns();
    *call = (link_call){.link = link, .method = method, .done = done, .user = user};
    call->deadline = request->timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + request->timeout_ns;
    wr_status status = wr_struct_pack(&wr_gcs_request_desc, &whipray__gcs_request__descriptor, request,
                                      &call->request, &call->request_bytes, err);
    if (status != WR_OK) {
        wr_free(call);
        return status;
    }
    pthread_mutex_lock(&link->lock);
    if (link->closing) {
        pthread_mutex_unlock(&link->lock);
        wr_free(call->request);
        wr_free(call);
        return WR_FAIL(err, WR_E_CANCELLED, "the link is being closed");
    }
    call->next = link->calls;
    if (link->calls != NULL) {
        link->calls->previous = call;
    }
    link->calls = call;
    start_call(call);
    pthread_mutex_unlock(&link->lock);
    return WR_OK;
}

typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
    wr_status status;
    wr_gcs_response *response;
    wr_error err;
} waiter;

static void on_waited(void *user, wr_status status, wr_gcs_response *response, const wr_error *err) {
    waiter *w = user;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    w->status = status;
    w->response = response;
    w->err = *err;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

wr_status wr_gcs_link_call_wait(wr_gcs_link *link, const wr_gcs_request *request, wr_gcs_response **out,
                                wr_error *err) {
    WR_ASSERT(!pthread_equal(pthread_self(), link->thread)); /* L4: it would wait for itself */
    waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    WR_TRY(wr_gcs_link_call(link, request, on_waited, &w, err));
    pthread_mutex_lock(&w.lock);
    while (!w.done) { /* ends by the call's own deadline */
        pthread_cond_wait(&w.wake, &w.lock);
    }
    pthread_mutex_unlock(&w.lock);
    if (w.status != WR_OK) {
        if (err != NULL) {
            *err = w.err;
        }
        return w.status;
    }
    *out = w.response;
    return WR_OK;
}

/* ---- the thread */

/* Does what is due; returns when to be here again. */
static wr_time_ns work(wr_gcs_link *link) {
    wr_time_ns now = wr_clock_ns(), next = UINT64_MAX;
    pthread_mutex_lock(&link->lock);
    for (link_call *call = link->calls; call != NULL && !link->closing; call = call->next) {
        if (call->unary == NULL && now >= call->retry_at) {
            start_call(call);
        }
        if (call->unary == NULL && call->retry_at < next) {
            next = call->retry_at;
        }
    }
    if (link->wants_stream && link->stream == NULL && !link->closing) {
        if (now >= link->reopen_at) {
            open_stream(link);
        }
        next = link->stream == NULL && link->reopen_at < next ? link->reopen_at : next;
    }
    bool waits = (link->wants_stream && !link->ready) || link->calls != NULL;
    if (waits && !link->closing && !wr_rpc_client_ready(link->client)) {
        link->down_since = link->down_since == 0 ? now : link->down_since;
        wr_time_ns again = now + (now - link->down_since < hurry_for_ns ? hurry_ns : hurry_long_ns);
        next = again < next ? again : next;
    } else {
        link->down_since = 0;
    }
    if (link->ready && link->session.ack_due > 0) {
        write_next(link);
        next = link->session.ack_due > 0 && link->ack_at < next ? link->ack_at : next;
    }
    pthread_mutex_unlock(&link->lock);
    return next <= now ? now + MILLISECOND : next; /* a due acknowledgement waits for the write under way */
}

static void *run(void *user) {
    wr_gcs_link *link = user;
    pthread_mutex_lock(&link->lock); /* open() has set all members */
    pthread_mutex_unlock(&link->lock);
    while (wr_rpc_client_poll(link->client, work(link))) {
    }
    wr_error err = {.status = WR_OK};
    (void)WR_FAIL(&err, WR_E_CANCELLED, "the link was closed");
    while (link->calls != NULL) { /* those between two attempts */
        link_call *call = link->calls;
        unlink_call(call);
        finish_call(call, WR_E_CANCELLED, NULL, &err);
    }
    return NULL;
}

wr_status wr_gcs_link_open(const wr_gcs_link_opts *opts, wr_gcs_link **out, wr_error *err) {
    const wr_gcs_link_callbacks *c = &opts->callbacks;
    if (opts->target == NULL ||
        (opts->stream && (c->on_connected == NULL || c->on_lost == NULL || c->on_message == NULL))) {
        return WR_FAIL(err, WR_E_INVALID, "a link needs a target, and all callbacks for its stream");
    }
    wr_gcs_link *link = wr_calloc(1, sizeof *link);
    if (link == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a link");
    }
    link->callbacks = *c;
    link->wants_stream = opts->stream;
    link->queue_bytes_max = opts->queue_bytes_max == 0 ? queue_bytes_default : opts->queue_bytes_max;
    wr_session_init(&link->session);
    wr_session_init(&link->outside);
    pthread_mutex_init(&link->lock, NULL);
    wr_status status = wr_rpc_client_open(opts->target, &opts->credentials, &link->client, err);
    if (status == WR_OK) {
        pthread_mutex_lock(&link->lock);
        int error = pthread_create(&link->thread, NULL, run, link);
        pthread_mutex_unlock(&link->lock);
        if (error == 0) {
            *out = link;
            return WR_OK;
        }
        status = wr_error_set_errno(err, error, __FILE__, __LINE__, "a link's thread");
        wr_rpc_client_stop(link->client);
        while (wr_rpc_client_poll(link->client, UINT64_MAX)) {
        }
        wr_rpc_client_close(link->client);
    }
    pthread_mutex_destroy(&link->lock);
    wr_free(link);
    return status;
}

void wr_gcs_link_close(wr_gcs_link *link) {
    if (link == NULL) {
        return;
    }
    WR_ASSERT(!pthread_equal(pthread_self(), link->thread));
    pthread_mutex_lock(&link->lock);
    link->closing = true;
    if (link->stream != NULL) {
        wr_rpc_stream_cancel(link->stream);
    }
    for (link_call *call = link->calls; call != NULL; call = call->next) {
        if (call->unary != NULL) {
            wr_rpc_unary_cancel(call->unary);
        }
    }
    pthread_mutex_unlock(&link->lock);
    wr_rpc_client_stop(link->client);
    pthread_join(link->thread, NULL);
    wr_rpc_client_close(link->client);
    wr_session_done(&link->session);
    wr_session_done(&link->outside);
    wr_buffer_done(&link->frame);
    pthread_mutex_destroy(&link->lock);
    wr_free(link);
}

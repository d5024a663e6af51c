#include "rpc/client.h"

#include "rpc/grpc_util.h"

#include <pthread.h>
#include <stdatomic.h>

typedef enum tag_kind { TAG_START, TAG_RECEIVE, TAG_WRITE, TAG_STATUS, TAG_UNARY } tag_kind;

typedef struct tag {
    tag_kind kind;
    void *of;
} tag;

struct wr_rpc_client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
    char *bearer;
    pthread_mutex_t lock; /* a batch must not be started once the queue is shut down */
    bool stopped;
};

/* What every call has. */
typedef struct call_base {
    wr_rpc_client *client;
    grpc_call *call;
    grpc_metadata_array headers, trailers;
    grpc_status_code code;
    grpc_slice details;
    grpc_byte_buffer *received;
    wr_error err;
} call_base;

struct wr_rpc_unary {
    call_base base;
    tag done_tag;
    wr_rpc_unary_fn done;
    void *user;
};

struct wr_rpc_stream {
    call_base base;
    wr_rpc_stream_callbacks callbacks;
    tag start, receive, write, status;
    atomic_uint pending; /* batches under way; a write may be started by another thread than poll's */
    atomic_bool writing;
    bool closed; /* the status came */
};

static void base_init(call_base *base, wr_rpc_client *client, const char *method, wr_time_ns deadline) {
    base->client = client;
    grpc_metadata_array_init(&base->headers);
    grpc_metadata_array_init(&base->trailers);
    base->details = grpc_empty_slice();
    grpc_slice name = grpc_slice_from_copied_string(method);
    base->call = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->queue, name,
                                          NULL, wr_grpc_deadline(deadline), NULL);
    grpc_slice_unref(name);
}

static void base_done(call_base *base) {
    grpc_call_unref(base->call);
    grpc_metadata_array_destroy(&base->headers);
    grpc_metadata_array_destroy(&base->trailers);
    grpc_slice_unref(base->details);
    grpc_byte_buffer_destroy(base->received);
}

static wr_status base_status(call_base *base) {
    char *text = grpc_slice_to_c_string(base->details);
    wr_status status = wr_grpc_error(base->code, text, &base->err);
    gpr_free(text);
    return status;
}

/* The token, in a metadata entry that is valid until `metadata` is released with unref_token. */
static grpc_metadata token_of(const wr_rpc_client *client) {
    grpc_metadata metadata;
    memset(&metadata, 0, sizeof metadata);
    metadata.key = grpc_slice_from_static_string("authorization");
    metadata.value = grpc_slice_from_copied_string(client->bearer);
    return metadata;
}

static void op_headers(grpc_op *op, grpc_metadata *token) {
    op->op = GRPC_OP_SEND_INITIAL_METADATA;
    op->flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY | GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    op->data.send_initial_metadata.count = 1;
    op->data.send_initial_metadata.metadata = token;
}

static void op_status(grpc_op *op, call_base *base) {
    op->op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    op->data.recv_status_on_client.trailing_metadata = &base->trailers;
    op->data.recv_status_on_client.status = &base->code;
    op->data.recv_status_on_client.status_details = &base->details;
}

/* false: the client is stopped, nothing was started. count_pending: raised with the start, or not at all;
 * may be NULL. */
static bool start(call_base *base, const grpc_op *ops, size_t count, tag *t, atomic_uint *count_pending) {
    wr_rpc_client *client = base->client;
    pthread_mutex_lock(&client->lock);
    bool running = !client->stopped;
    if (running) {
        if (count_pending != NULL) {
            atomic_fetch_add(count_pending, 1);
        }
        grpc_call_error error = grpc_call_start_batch(base->call, ops, count, t, NULL);
        WR_ASSERT(error == GRPC_CALL_OK); /* anything else is a misuse of ours */
    }
    pthread_mutex_unlock(&client->lock);
    return running;
}

/* ---- unary */

wr_status wr_rpc_client_call(wr_rpc_client *client, const char *method, wr_span bytes, wr_time_ns deadline,
                             wr_rpc_unary_fn done, void *user, wr_rpc_unary **out, wr_error *err) {
    wr_rpc_unary *unary = wr_calloc(1, sizeof *unary);
    if (unary == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a call");
    }
    base_init(&unary->base, client, method, deadline);
    unary->done_tag = (tag){TAG_UNARY, unary};
    unary->done = done;
    unary->user = user;
    grpc_byte_buffer *message = wr_grpc_buffer(bytes.data, bytes.bytes);
    grpc_metadata token = token_of(client);
    grpc_op ops[6];
    memset(ops, 0, sizeof ops);
    op_headers(&ops[0], &token);
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = message;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &unary->base.headers;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &unary->base.received;
    op_status(&ops[5], &unary->base);
    if (out != NULL) {
        *out = unary; /* before the batch: it may end at once on another thread */
    }
    bool started = start(&unary->base, ops, WR_COUNT_OF(ops), &unary->done_tag, NULL);
    grpc_byte_buffer_destroy(message);
    grpc_slice_unref(token.value);
    if (!started) {
        base_done(&unary->base);
        wr_free(unary);
        return WR_FAIL(err, WR_E_CANCELLED, "the connection is being closed");
    }
    return WR_OK;
}

void wr_rpc_unary_cancel(wr_rpc_unary *unary) {
    grpc_call_cancel(unary->base.call, NULL);
}

static void on_unary(wr_rpc_unary *unary) {
    uint8_t *data = NULL;
    uint32_t bytes = 0;
    wr_status status = base_status(&unary->base);
    if (status == WR_OK && unary->base.received == NULL) {
        status = WR_FAIL(&unary->base.err, WR_E_PROTOCOL, "an answer without a message");
    } else if (status == WR_OK) {
        status = wr_grpc_bytes(unary->base.received, &data, &bytes, &unary->base.err);
    }
    unary->done(unary->user, status, wr_span_of(data, bytes), &unary->base.err);
    wr_free(data);
    base_done(&unary->base);
    wr_free(unary);
}

/* ---- streams */

static bool stream_start(wr_rpc_stream *stream, const grpc_op *op, size_t count, tag *t) {
    return start(&stream->base, op, count, t, &stream->pending);
}

static void stream_receive(wr_rpc_stream *stream) {
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &stream->base.received;
    (void)stream_start(stream, &op, 1, &stream->receive); /* stopped: the status is on its way */
}

wr_status wr_rpc_client_stream(wr_rpc_client *client, const char *method,
                               const wr_rpc_stream_callbacks *callbacks, wr_rpc_stream **out, wr_error *err) {
    wr_rpc_stream *stream = wr_calloc(1, sizeof *stream);
    if (stream == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a stream");
    }
    base_init(&stream->base, client, method, UINT64_MAX);
    stream->callbacks = *callbacks;
    stream->start = (tag){TAG_START, stream};
    stream->receive = (tag){TAG_RECEIVE, stream};
    stream->write = (tag){TAG_WRITE, stream};
    stream->status = (tag){TAG_STATUS, stream};
    atomic_init(&stream->pending, 0);
    atomic_init(&stream->writing, false);
    *out = stream;
    grpc_metadata token = token_of(client);
    grpc_op ops[2];
    memset(ops, 0, sizeof ops);
    op_status(&ops[0], &stream->base);
    if (!stream_start(stream, ops, 1, &stream->status)) {
        grpc_slice_unref(token.value);
        base_done(&stream->base);
        wr_free(stream);
        return WR_FAIL(err, WR_E_CANCELLED, "the connection is being closed");
    }
    memset(ops, 0, sizeof ops);
    op_headers(&ops[0], &token);
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &stream->base.headers;
    if (!stream_start(stream, ops, 2, &stream->start)) {
        grpc_call_cancel(stream->base.call, NULL);
    }
    grpc_slice_unref(token.value);
    stream_receive(stream);
    return WR_OK;
}

void wr_rpc_stream_cancel(wr_rpc_stream *stream) {
    grpc_call_cancel(stream->base.call, NULL);
}

bool wr_rpc_stream_busy(const wr_rpc_stream *stream) {
    return atomic_load(&stream->writing);
}

void wr_rpc_stream_send(wr_rpc_stream *stream, const void *data, uint32_t bytes) {
    bool was = atomic_exchange(&stream->writing, true);
    WR_ASSERT(!was);
    grpc_byte_buffer *message = wr_grpc_buffer(data, bytes);
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_MESSAGE;
    op.data.send_message.send_message = message;
    if (!stream_start(stream, &op, 1, &stream->write)) {
        atomic_store(&stream->writing, false);
    }
    grpc_byte_buffer_destroy(message);
}

static void stream_unref(wr_rpc_stream *stream) {
    if (atomic_fetch_sub(&stream->pending, 1) == 1) {
        base_done(&stream->base);
        wr_free(stream);
    }
}

/* The user forgets the stream here; batches may still end after it. */
static void on_status(wr_rpc_stream *stream) {
    stream->closed = true;
    wr_status status = base_status(&stream->base);
    if (status == WR_OK) {
        status = WR_FAIL(&stream->base.err, WR_E_UNAVAILABLE, "the peer ended the stream");
    }
    stream->callbacks.on_closed(stream->callbacks.user, stream, status, &stream->base.err);
}

static void on_stream_event(wr_rpc_stream *stream, tag_kind kind, bool ok) {
    if (kind == TAG_STATUS) {
        on_status(stream);
    } else if (kind == TAG_WRITE) {
        atomic_store(&stream->writing, false);
        if (ok && !stream->closed) {
            stream->callbacks.on_writable(stream->callbacks.user, stream);
        }
    } else if (kind == TAG_RECEIVE) {
        grpc_byte_buffer *buffer = stream->base.received;
        stream->base.received = NULL;
        uint8_t *data;
        uint32_t bytes;
        if (stream->closed) {
            /* nobody listens any more */
        } else if (buffer != NULL && wr_grpc_bytes(buffer, &data, &bytes, NULL) == WR_OK) {
            stream->callbacks.on_message(stream->callbacks.user, stream, wr_span_of(data, bytes));
            wr_free(data);
            stream_receive(stream);
        } else if (buffer != NULL) {
            wr_rpc_stream_cancel(stream); /* no memory for a message: the session must not skip it */
        }
        grpc_byte_buffer_destroy(buffer);
    }
    stream_unref(stream);
}

/* ---- the client */

wr_status wr_rpc_client_open(const char *target, const wr_rpc_credentials *credentials, wr_rpc_client **out,
                             wr_error *err) {
    grpc_channel_credentials *channel_credentials;
    WR_TRY(wr_grpc_client_credentials(credentials, &channel_credentials, err));
    wr_rpc_client *client = wr_calloc(1, sizeof *client);
    wr_status status = client == NULL ? WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a client")
                                      : wr_grpc_bearer(credentials, &client->bearer, err);
    if (status != WR_OK) {
        grpc_channel_credentials_release(channel_credentials);
        wr_free(client);
        return status;
    }
    pthread_mutex_init(&client->lock, NULL);
    grpc_init();
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         .value.integer = WR_RPC_MESSAGE_BYTES_MAX},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
         .value.integer = 100},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, .value.integer = 1000},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, .value.integer = 200},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_KEEPALIVE_TIME_MS, .value.integer = 10000},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_KEEPALIVE_TIMEOUT_MS, .value.integer = 5000},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_RETRIES, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_HTTP_PROXY, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
        {.type = GRPC_ARG_STRING,
         .key = (char *)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
         .value.string = (char *)"whipray"},
    };
    size_t count = WR_COUNT_OF(args) - (credentials->tls_cert == NULL); /* the last is for TLS only */
    grpc_channel_args channel_args = {count, args};
    client->channel = grpc_channel_create(target, channel_credentials, &channel_args);
    client->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_channel_credentials_release(channel_credentials);
    *out = client;
    return WR_OK;
}

bool wr_rpc_client_ready(wr_rpc_client *client) {
    grpc_connectivity_state state = grpc_channel_check_connectivity_state(client->channel, 0);
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) {
        grpc_channel_reset_connect_backoff(client->channel);
    }
    return state == GRPC_CHANNEL_READY;
}

void wr_rpc_client_stop(wr_rpc_client *client) {
    pthread_mutex_lock(&client->lock);
    client->stopped = true;
    pthread_mutex_unlock(&client->lock);
    grpc_completion_queue_shutdown(client->queue);
}

void wr_rpc_client_close(wr_rpc_client *client) {
    grpc_completion_queue_destroy(client->queue);
    grpc_channel_destroy(client->channel);
    grpc_shutdown();
    pthread_mutex_destroy(&client->lock);
    wr_free(client->bearer);
    wr_free(client);
}

bool wr_rpc_client_poll(wr_rpc_client *client, wr_time_ns deadline) {
    for (uint32_t n = 0; n < 256; n++) {
        grpc_event event =
            grpc_completion_queue_next(client->queue, wr_grpc_deadline(n == 0 ? deadline : 0), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN) {
            return false;
        }
        if (event.type == GRPC_QUEUE_TIMEOUT) {
            return true;
        }
        pthread_mutex_lock(
            &client->lock); /* after the start; gRPC orders this too, but race detectors cannot see it */
        pthread_mutex_unlock(&client->lock);
        tag *t = event.tag;
        if (t->kind == TAG_UNARY) {
            on_unary(t->of);
        } else {
            on_stream_event(t->of, t->kind, event.success != 0);
        }
    }
    return true;
}

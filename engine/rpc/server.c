#include "rpc/server.h"

#include "rpc/grpc_util.h"

enum { ACCEPTS = 8, METHOD_MAX = 96 };

typedef enum tag_kind { TAG_ACCEPT, TAG_CLOSE, TAG_RECEIVE, TAG_WRITE, TAG_FINISH, TAG_INTERRUPT } tag_kind;

typedef struct tag {
    tag_kind kind;
    struct wr_rpc_call *call;
} tag;

struct wr_rpc_call {
    wr_rpc_server *server;
    wr_rpc_call *next, *previous; /* all calls of the server */
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_byte_buffer *received;
    int cancelled;
    void *user;
    wr_rpc_kind kind;
    uint32_t pending; /* batches under way */
    bool closed;      /* RECV_CLOSE came */
    bool finished;    /* the status was sent, or need not be */
    bool told_closed; /* on_closed was called */
    bool writing;
    bool headers_sent;
    tag accept, close, receive, write, finish;
};

struct wr_rpc_server {
    grpc_server *server;
    grpc_completion_queue *queue;
    wr_rpc_handlers handlers;
    char *bearer;
    int port;
    wr_rpc_call *calls;
    uint32_t accepting;
    bool closing;
    tag interrupt;
};

/* ---- life of a call */

static void call_unref(wr_rpc_call *call) {
    if (call->pending > 0 || !call->finished) {
        return;
    }
    wr_rpc_server *server = call->server;
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        server->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
    if (call->call != NULL) {
        grpc_call_unref(call->call);
    }
    grpc_byte_buffer_destroy(call->received);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    wr_free(call);
}

static void start(wr_rpc_call *call, const grpc_op *ops, size_t count, tag *t) {
    grpc_call_error error = grpc_call_start_batch(call->call, ops, count, t, NULL);
    WR_ASSERT(error == GRPC_CALL_OK); /* anything else is a misuse of ours */
    call->pending++;
}

static void start_receive(wr_rpc_call *call) {
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &call->received;
    start(call, &op, 1, &call->receive);
}

static void finish(wr_rpc_call *call, grpc_status_code code, const char *text, const void *data,
                   uint32_t bytes) {
    WR_ASSERT(!call->finished);
    call->finished = true;
    if (call->closed && call->cancelled) { /* nobody is there to read it */
        call_unref(call);
        return;
    }
    grpc_op ops[3];
    size_t n = 0;
    memset(ops, 0, sizeof ops);
    grpc_slice details = grpc_slice_from_copied_string(text);
    grpc_byte_buffer *buffer = NULL;
    if (!call->headers_sent) {
        call->headers_sent = true;
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    }
    if (code == GRPC_STATUS_OK && call->kind == WR_RPC_UNARY) {
        buffer = wr_grpc_buffer(data, bytes);
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = buffer;
    }
    ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[n].data.send_status_from_server.status = code;
    ops[n++].data.send_status_from_server.status_details = &details;
    start(call, ops, n, &call->finish);
    grpc_byte_buffer_destroy(buffer);
    grpc_slice_unref(details);
}

/* ---- new calls */

static void accept_next(wr_rpc_server *server) {
    if (server->closing) {
        return;
    }
    wr_rpc_call *call = wr_calloc(1, sizeof *call);
    if (call == NULL) {
        return; /* one of the other accepts, or the next poll, makes up for it */
    }
    call->server = server;
    call->accept = (tag){TAG_ACCEPT, call};
    call->close = (tag){TAG_CLOSE, call};
    call->receive = (tag){TAG_RECEIVE, call};
    call->write = (tag){TAG_WRITE, call};
    call->finish = (tag){TAG_FINISH, call};
    grpc_call_details_init(&call->details);
    grpc_metadata_array_init(&call->metadata);
    call->next = server->calls;
    if (server->calls != NULL) {
        server->calls->previous = call;
    }
    server->calls = call;
    call->pending = 1;
    server->accepting++;
    grpc_call_error error =
        grpc_server_request_call(server->server, &call->call, &call->details, &call->metadata, server->queue,
                                 server->queue, &call->accept);
    WR_ASSERT(error == GRPC_CALL_OK);
}

static bool has_token(const wr_rpc_call *call) {
    const char *bearer = call->server->bearer;
    bool found = false;
    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *m = &call->metadata.metadata[i];
        if (grpc_slice_str_cmp(m->key, "authorization") == 0) {
            found |= wr_bytes_equal_secret(GRPC_SLICE_START_PTR(m->value), GRPC_SLICE_LENGTH(m->value),
                                           bearer, strlen(bearer));
        }
    }
    return found;
}

static void on_accept(wr_rpc_call *call, bool ok) {
    wr_rpc_server *server = call->server;
    server->accepting--;
    if (!ok || server->closing) {
        if (ok) {
            grpc_call_cancel(call->call, NULL);
        }
        call->finished = true;
        return;
    }
    while (!server->closing && server->accepting < ACCEPTS) {
        uint32_t before = server->accepting;
        accept_next(server);
        if (server->accepting == before) {
            break;
        }
    }
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &call->cancelled;
    start(call, &op, 1, &call->close);
    if (!has_token(call)) {
        finish(call, GRPC_STATUS_UNAUTHENTICATED, "the token is missing or wrong", NULL, 0);
        return;
    }
    char method[METHOD_MAX];
    size_t length = GRPC_SLICE_LENGTH(call->details.method);
    if (length < sizeof method) {
        memcpy(method, GRPC_SLICE_START_PTR(call->details.method), length);
        method[length] = 0;
        call->writing = true; /* a stream's first write is its headers; on_writable follows */
        call->kind = server->handlers.on_call(server->handlers.user, call, method);
    }
    if (call->kind == WR_RPC_UNKNOWN) {
        finish(call, GRPC_STATUS_UNIMPLEMENTED, "there is no such method", NULL, 0);
        return;
    }
    if (call->kind == WR_RPC_STREAM) {
        grpc_op headers = {.op = GRPC_OP_SEND_INITIAL_METADATA};
        call->headers_sent = true;
        start(call, &headers, 1, &call->write);
    }
    start_receive(call);
}

/* ---- events */

static void tell_closed(wr_rpc_call *call) {
    if (call->kind == WR_RPC_STREAM && !call->told_closed) {
        call->told_closed = true;
        call->server->handlers.on_closed(call->server->handlers.user, call);
    }
}

static void on_receive(wr_rpc_call *call) {
    wr_rpc_server *server = call->server;
    grpc_byte_buffer *buffer = call->received;
    call->received = NULL;
    uint8_t *data = NULL;
    uint32_t bytes = 0;
    bool usable = buffer != NULL && wr_grpc_bytes(buffer, &data, &bytes, NULL) == WR_OK;
    grpc_byte_buffer_destroy(buffer);
    if (!usable || server->closing) { /* half closed, cancelled, or too large */
        wr_free(data);
        tell_closed(call);
        if (!call->finished) {
            bool stream = call->kind == WR_RPC_STREAM && buffer == NULL;
            finish(call, stream ? GRPC_STATUS_OK : GRPC_STATUS_INVALID_ARGUMENT, stream ? "" : "no message",
                   NULL, 0);
        }
        return;
    }
    server->handlers.on_message(server->handlers.user, call, wr_span_of(data, bytes));
    wr_free(data);
    if (call->kind == WR_RPC_STREAM && !call->finished) {
        start_receive(call);
    }
}

static void on_event(wr_rpc_server *server, const grpc_event *event) {
    tag *t = event->tag;
    wr_rpc_call *call = t->call;
    if (t->kind == TAG_INTERRUPT) {
        return;
    }
    switch (t->kind) { /* the batch still counts as pending, so that no handler frees the call under us */
    case TAG_ACCEPT:
        on_accept(call, event->success != 0);
        break;
    case TAG_CLOSE:
        call->closed = true;
        if (call->kind == WR_RPC_STREAM) {
            tell_closed(call);
            if (!call->finished && call->cancelled) {
                call->finished = true;
            }
        }
        break;
    case TAG_RECEIVE:
        on_receive(call);
        break;
    case TAG_WRITE:
        call->writing = false;
        if (event->success != 0 && !call->finished && !call->told_closed) {
            server->handlers.on_writable(server->handlers.user, call);
        }
        break;
    case TAG_FINISH:
    case TAG_INTERRUPT:
        break;
    }
    call->pending--;
    call_unref(call);
}

int wr_rpc_server_port(const wr_rpc_server *server) {
    return server->port;
}

uint32_t wr_rpc_server_poll(wr_rpc_server *server, wr_time_ns deadline, uint32_t events_max) {
    uint32_t n = 0;
    while (n < events_max) {
        grpc_event event =
            grpc_completion_queue_next(server->queue, wr_grpc_deadline(n == 0 ? deadline : 0), NULL);
        if (event.type != GRPC_OP_COMPLETE) {
            break;
        }
        on_event(server, &event);
        n++;
    }
    return n;
}

void wr_rpc_server_interrupt(wr_rpc_server *server) {
    grpc_server_shutdown_and_notify(server->server, server->queue, &server->interrupt);
}

/* ---- open and close */

wr_status wr_rpc_server_open(const wr_rpc_server_opts *opts, wr_rpc_server **out, wr_error *err) {
    grpc_server_credentials *credentials;
    WR_TRY(wr_grpc_server_credentials(&opts->credentials, &credentials, err));
    wr_rpc_server *server = wr_calloc(1, sizeof *server);
    wr_status status = server == NULL ? WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a server")
                                      : wr_grpc_bearer(&opts->credentials, &server->bearer, err);
    if (status != WR_OK) {
        grpc_server_credentials_release(credentials);
        wr_free(server);
        return status;
    }
    server->handlers = opts->handlers;
    server->interrupt = (tag){TAG_INTERRUPT, NULL};
    grpc_init();
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ALLOW_REUSEPORT, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         .value.integer = WR_RPC_MESSAGE_BYTES_MAX},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS,
         .value.integer = 1},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
         .value.integer = 1000},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_RETRIES, .value.integer = 0},
    };
    grpc_channel_args channel_args = {WR_COUNT_OF(args), args};
    server->server = grpc_server_create(&channel_args, NULL);
    server->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(server->server, server->queue, NULL);
    int port = grpc_server_add_http2_port(server->server, opts->listen, credentials);
    grpc_server_credentials_release(credentials);
    bool is_unix = strncmp(opts->listen, "unix:", 5) == 0;
    server->port = is_unix ? 0 : port;
    grpc_server_start(server->server);
    if (port == 0) {
        wr_rpc_server_close(server);
        return WR_FAIL(err, WR_E_IO, "cannot listen on %s: the address is taken, or not of this machine",
                       opts->listen);
    }
    for (int i = 0; i < ACCEPTS; i++) {
        accept_next(server);
    }
    *out = server;
    return WR_OK;
}

void wr_rpc_server_close(wr_rpc_server *server) {
    if (server == NULL) {
        return;
    }
    server->closing = true;
    tag done = {TAG_INTERRUPT, NULL};
    grpc_server_shutdown_and_notify(server->server, server->queue, &done);
    grpc_server_cancel_all_calls(server->server);
    for (wr_rpc_call *call = server->calls, *next; call != NULL; call = next) {
        next = call->next;
        call->finished = true; /* what was not answered will not be */
        call_unref(call);
    }
    for (bool stopped = false; !stopped;) {
        grpc_event event =
            grpc_completion_queue_next(server->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        stopped = event.type == GRPC_OP_COMPLETE && event.tag == &done;
        if (!stopped && event.type == GRPC_OP_COMPLETE) {
            on_event(server, &event);
        }
    }
    grpc_server_destroy(server->server);
    grpc_completion_queue_shutdown(server->queue);
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(server->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN) {
            break;
        }
        on_event(server, &event);
    }
    grpc_completion_queue_destroy(server->queue);
    grpc_shutdown();
    wr_free(server->bearer);
    wr_free(server);
}

/* ---- what handlers call */

void wr_rpc_call_set_user(wr_rpc_call *call, void *user) {
    call->user = user;
}

void *wr_rpc_call_user(const wr_rpc_call *call) {
    return call->user;
}

void wr_rpc_call_reply(wr_rpc_call *call, const void *data, uint32_t bytes) {
    WR_ASSERT(call->kind == WR_RPC_UNARY);
    finish(call, GRPC_STATUS_OK, "", data, bytes);
}

void wr_rpc_call_fail(wr_rpc_call *call, wr_status status, const char *text) {
    if (!call->finished) {
        finish(call, wr_grpc_code(status), text, NULL, 0);
    }
}

bool wr_rpc_call_busy(const wr_rpc_call *call) {
    return call->writing || call->finished;
}

void wr_rpc_call_send(wr_rpc_call *call, const void *data, uint32_t bytes) {
    WR_ASSERT(call->kind == WR_RPC_STREAM && !wr_rpc_call_busy(call));
    grpc_byte_buffer *buffer = wr_grpc_buffer(data, bytes);
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    op.data.send_message.send_message = buffer;
    call->writing = true;
    start(call, &op, 1, &call->write);
    grpc_byte_buffer_destroy(buffer);
}

#include "worker/client.h"

#include "base/clock.h"
#include "store/error_value.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t second_ns = 1000000000ull;

/* ---- Records joined ---- */

/* The fields of `first`, then those of `second`; both are checked records. The result: wr_free. */
static wr_status records_join(const uint8_t *first, uint32_t first_bytes, const uint8_t *second,
                              uint64_t second_bytes, uint8_t **out, uint32_t *out_bytes, wr_error *err) {
    uint16_t a = 0;
    uint16_t b = 0;
    memcpy(&a, first, sizeof a);
    if (second_bytes >= sizeof b) {
        memcpy(&b, second, sizeof b);
    }
    const uint64_t total = first_bytes + (second_bytes >= sizeof b ? second_bytes - sizeof b : 0);
    if (total > WR_RECORD_BYTES_MAX || (uint32_t)a + b > UINT16_MAX) {
        return WR_FAIL(err, WR_E_LIMIT, "a request of %llu bytes is longer than %d",
                       (unsigned long long)total, (int)WR_RECORD_BYTES_MAX);
    }
    uint8_t *joined = wr_calloc(1, total);
    if (joined == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no %llu bytes for a request", (unsigned long long)total);
    }
    memcpy(joined, first, first_bytes);
    if (second_bytes > sizeof b) {
        memcpy(joined + first_bytes, second + sizeof b, second_bytes - sizeof b);
    }
    const uint16_t count = (uint16_t)(a + b);
    memcpy(joined, &count, sizeof count);
    *out = joined;
    *out_bytes = (uint32_t)total;
    return WR_OK;
}

/* Finishes `w` (the fields that this file adds) and joins the caller's record to it; ends w. */
static wr_status request_make(wr_record_writer *w, const uint8_t *more, uint64_t more_bytes, uint8_t **out,
                              uint32_t *out_bytes, wr_error *err) {
    const uint8_t *own = NULL;
    uint32_t own_bytes = 0;
    wr_record checked;
    wr_status status = wr_record_finish(w, &own, &own_bytes, err);
    if (status == WR_OK && more_bytes != 0) {
        status = wr_record_check(more, more_bytes, &checked, err);
        if (status != WR_OK) {
            wr_error_prefix(err, "the request's fields");
            status = WR_E_INVALID;
            if (err != NULL) {
                err->status = status;
            }
        }
    }
    if (status == WR_OK) {
        status = records_join(own, own_bytes, more, more_bytes, out, out_bytes, err);
    }
    wr_record_done(w);
    return status;
}

/* ---- State ---- */

/* Away from LIVE or NO_POOL, once: the first reason stays. The one field that [look] functions change. */
static void mark(const wr_client *client, unsigned state) {
    atomic_uint *at = (atomic_uint *)(uintptr_t)&client->state;
    unsigned seen = CLIENT_LIVE;
    if (!atomic_compare_exchange_strong(at, &seen, state) && seen == CLIENT_NO_POOL) {
        atomic_compare_exchange_strong(at, &seen, state);
    }
}

static wr_status raylet_died(const wr_client *client, const char *op, wr_error *err) {
    char why[WR_REASON_MAX] = "";
    if (client->pool != NULL) {
        wr_pool_reason(client->pool, why);
    }
    return WR_FAIL(err, WR_E_RAYLET_DIED, "%s%sthe raylet of this node has died%s%s", op,
                   op[0] != 0 ? ": " : "", why[0] != 0 ? ": " : "", why);
}

wr_status wr_client_refuse(const wr_client *client, wr_error *err) {
    switch (atomic_load_explicit(&client->state, memory_order_relaxed)) {
    case CLIENT_LIVE:
        return WR_OK;
    case CLIENT_DEAD:
        return raylet_died(client, "", err);
    case CLIENT_FORKED:
        return WR_FAIL(err, WR_E_STATE,
                       "this process was forked from one that is connected: it cannot use the connection");
    case CLIENT_NO_POOL:
        return WR_FAIL(err, WR_E_STATE, "a tool's connection has no pool: it can only make control calls");
    default:
        return WR_FAIL(err, WR_E_STATE, "the connection to the cluster was closed");
    }
}

bool wr_client_look(const wr_client *client) {
    if (!client_live(client)) {
        return false;
    }
    struct pollfd p = {.fd = wr_frame_fd(client->conn), .events = POLLRDHUP};
    int n = poll(&p, 1, 0);
    if ((n > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) != 0) ||
        wr_pool_poisoned(client->pool)) {
        mark(client, CLIENT_DEAD);
        return false;
    }
    return true;
}

wr_status wr_client_explain(wr_client *client, wr_status status, wr_error *err) {
    if (status != WR_OK && status != WR_E_INVALID && !wr_client_look(client)) {
        return wr_client_refuse(client, err);
    }
    return status;
}

wr_status wr_client_health(const wr_client *client) {
    unsigned state = atomic_load_explicit(&client->state, memory_order_relaxed);
    if (state == CLIENT_NO_POOL) {
        return WR_OK;
    }
    if (state == CLIENT_LIVE) {
        (void)wr_client_look(client);
    }
    return wr_client_refuse(client, NULL);
}

wr_status wr_client_why(const wr_client *client, wr_error *err) {
    const wr_status status = wr_client_health(client);
    return status == WR_OK ? WR_OK : wr_client_refuse(client, err);
}

/* Runs while a function with books waits for room. */
static bool waits_on(void *arg) {
    wr_client *client = arg;
    return wr_client_look(client) && (client->on_wait == NULL || client->on_wait(client->on_wait_arg));
}

void wr_client_on_wait(wr_client *client, bool (*on_wait)(void *arg), void *arg) {
    client->on_wait = on_wait;
    client->on_wait_arg = arg;
}

void wr_client_waited(wr_client *client, uint64_t waited_ns) {
    if (client->proc != NULL) {
        wr_proc_waited(client->proc, waited_ns);
    }
}

/* ---- Opening ---- */

static wr_status hello_send(const wr_client_opts *opts, wr_frame_conn *conn, uint64_t deadline_ns,
                            wr_error *err) {
    wr_record_writer w = {0};
    wr_record_begin(&w);
    wr_record_string(&w, "op", "hello");
    wr_record_int(&w, "kind", opts->kind);
    wr_record_int(&w, "protocol", WR_PROTOCOL_VERSION);
    wr_record_int(&w, "layout", WR_LAYOUT_VERSION);
    wr_record_string(&w, "token", opts->token);
    wr_record_int(&w, "pid", getpid());
    uint8_t *request = NULL;
    uint32_t request_bytes = 0;
    WR_TRY(request_make(&w, opts->hello, opts->hello_bytes, &request, &request_bytes, err));
    wr_status status = wr_frame_send(conn, WR_FRAME_REQUEST, 1, request, request_bytes, -1, deadline_ns, err);
    memset(request, 0, request_bytes); /* it holds the token */
    wr_free(request);
    return status;
}

/* Reads the welcome and keeps a copy of it. */
static wr_status welcome_receive(wr_client *client, uint64_t deadline_ns, wr_error *err) {
    wr_frame frame;
    wr_status status = wr_frame_receive(client->conn, deadline_ns, &frame, err);
    if (status == WR_E_UNAVAILABLE) {
        return WR_FAIL(err, WR_E_UNAVAILABLE, "the raylet hung up before it answered");
    }
    WR_TRY(status);
    if (frame.type == WR_FRAME_ERROR) {
        return wr_frame_error_read(&frame.body, err);
    }
    if (frame.type != WR_FRAME_REPLY || frame.request != 1) {
        return WR_FAIL(err, WR_E_PROTOCOL,
                       "the raylet answered hello with a frame of type %u for request %llu",
                       (unsigned)frame.type, (unsigned long long)frame.request);
    }
    client->welcome_bytes = wr_calloc(1, frame.body.count_bytes);
    if (client->welcome_bytes == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no %u bytes for the raylet's welcome", frame.body.count_bytes);
    }
    memcpy(client->welcome_bytes, frame.body.bytes, frame.body.count_bytes);
    client->welcome = (wr_record){.bytes = client->welcome_bytes, .count_bytes = frame.body.count_bytes};
    return WR_OK;
}

static wr_status pool_attach(wr_client *client, wr_error *err) {
    const int64_t slot = wr_record_get_int(&client->welcome, "slot", -1);
    const int64_t epoch = wr_record_get_int(&client->welcome, "epoch", -1);
    const int64_t job = wr_record_get_int(&client->welcome, "job", -1);
    const int64_t incarnation = wr_record_get_int(&client->welcome, "incarnation", -1);
    const int fd = wr_frame_take_fd(client->conn);
    if (slot <= WR_SLOT_RAYLET || slot > INT32_MAX || epoch < 0 || epoch > UINT32_MAX || job < 0 ||
        job > UINT32_MAX || incarnation < 0 || incarnation > UINT32_MAX || fd < 0) {
        if (fd >= 0) {
            close(fd);
        }
        return WR_FAIL(
            err, WR_E_PROTOCOL,
            "the raylet's welcome lacks a part: slot %lld, epoch %lld, job %lld, incarnation %lld, pool %s",
            (long long)slot, (long long)epoch, (long long)job, (long long)incarnation,
            fd < 0 ? "missing" : "sent");
    }
    client->job = (uint32_t)job;
    client->node = wr_node_id_make((uint64_t)wr_record_get_int(&client->welcome, "cluster_id", 0),
                                   (uint32_t)incarnation);
    WR_TRY(wr_pool_open(fd, &client->pool, err));
    WR_TRY(wr_proc_attach(client->pool, (uint32_t)slot, (uint32_t)epoch, &client->proc, err));
    wr_proc_on_wait(client->proc, waits_on, client);
    wr_result gone;
    wr_store_error_inline(WR_E_ACTOR_DIED, "it ended before the call", &gone);
    wr_proc_on_gone(client->proc, &gone);
    return WR_OK;
}

static wr_status opts_check(const wr_client_opts *opts, wr_error *err) {
    if (opts->kind < WR_CLIENT_DRIVER || opts->kind > WR_CLIENT_TOOL) {
        return WR_FAIL(err, WR_E_INVALID, "client: there is no kind %d", (int)opts->kind);
    }
    if (opts->socket_path == NULL || opts->socket_path[0] == '\0') {
        return WR_FAIL(err, WR_E_INVALID, "client: socket_path is missing");
    }
    if (opts->token == NULL || opts->token[0] == '\0') {
        return WR_FAIL(err, WR_E_UNAUTHENTICATED, "client: the cluster's token is missing");
    }
    return WR_OK;
}

WR_DEFINE_AUTO(wr_client, wr_client_close)

wr_status wr_client_open(const wr_client_opts *opts, wr_client **out, wr_error *err) {
    WR_TRY(opts_check(opts, err));
    const uint64_t deadline_ns = wr_clock_ns() + (opts->timeout_ns == 0 ? 10 * second_ns : opts->timeout_ns);

    WR_AUTO(wr_client) client = wr_calloc(1, sizeof *client);
    if (client == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no %zu bytes for a client", sizeof *client);
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&client->call_lock, NULL);
    pthread_cond_init(&client->call_free, &monotonic);
    pthread_condattr_destroy(&monotonic);
    client->kind = opts->kind;
    client->spin_ns = opts->spin_ns == 0 ? 50000 : opts->spin_ns;
    client->next_request = 2;
    client->assignment_seen = WR_PORT_NONE;
    /* Until all is there a close says no goodbye. */
    atomic_init(&client->state, CLIENT_DEAD);

    WR_TRY(wr_frame_connect(opts->socket_path, deadline_ns, &client->conn, err));
    WR_TRY(hello_send(opts, client->conn, deadline_ns, err));
    WR_TRY(welcome_receive(client, deadline_ns, err));
    if (opts->kind == WR_CLIENT_TOOL) {
        atomic_store(&client->state, CLIENT_NO_POOL);
    } else {
        WR_TRY(pool_attach(client, err));
        atomic_store(&client->state, CLIENT_LIVE);
    }
    *out = wr_steal(&client);
    return WR_OK;
}

static void goodbye(wr_client *client) {
    wr_record_writer w = {0};
    const uint8_t *bytes = NULL;
    uint32_t count = 0;
    wr_record_begin(&w);
    wr_record_string(&w, "op", "bye");
    wr_record_int(&w, "intended", 1);
    if (wr_record_finish(&w, &bytes, &count, NULL) == WR_OK) {
        /* One way, and best effort: the hang-up that follows says the same. */
        wr_status ignored = wr_frame_send(client->conn, WR_FRAME_REQUEST, 0, bytes, count, -1,
                                          wr_clock_ns() + second_ns / 10, NULL);
        (void)ignored;
    }
    wr_record_done(&w);
}

void wr_client_leave(wr_client *client) {
    const unsigned state = atomic_load(&client->state);
    if (state == CLIENT_FORKED || state == CLIENT_LEFT) {
        return;
    }
    pthread_mutex_lock(&client->call_lock);
    mark(client, CLIENT_LEFT);
    if ((state == CLIENT_LIVE || state == CLIENT_NO_POOL) && !client->call_busy) {
        goodbye(client);
    }
    if (client->conn != NULL) {
        /* A call under way ends by this. Not closed yet: other threads may still look at the descriptor. */
        (void)shutdown(wr_frame_fd(client->conn), SHUT_RDWR);
    }
    pthread_mutex_unlock(&client->call_lock);
}

void wr_client_close(wr_client *client) {
    if (client == NULL) {
        return;
    }
    wr_client_leave(client);
    if (atomic_load(&client->state) != CLIENT_FORKED) {
        pthread_mutex_lock(&client->call_lock);
        while (client->call_busy) { /* soon over: the socket is shut down */
            pthread_cond_wait(&client->call_free, &client->call_lock);
        }
        pthread_mutex_unlock(&client->call_lock);
        pthread_mutex_destroy(&client->call_lock);
        pthread_cond_destroy(&client->call_free);
    }
    wr_frame_close(client->conn);
    wr_client_streams_done(client);
    wr_client_lanes_done(client);
    wr_proc_detach(client->proc);
    wr_pool_close(client->pool);
    wr_map_done(&client->windows);
    wr_client_c_functions_done(client);
    wr_free(client->welcome_bytes);
    wr_free(client);
}

void wr_client_forked(wr_client *client) {
    if (client == NULL || atomic_load(&client->state) == CLIENT_FORKED) {
        return;
    }
    /* Another thread of the parent may have held call_lock at the fork: the child never takes it. Its copy of
     * the descriptor is closed, so that the raylet sees the parent's end when the parent ends. */
    atomic_store(&client->state, CLIENT_FORKED);
    if (client->proc != NULL) {
        wr_proc_forked(client->proc);
    }
    wr_frame_close(client->conn);
    client->conn = NULL;
}

const uint8_t *wr_client_welcome(const wr_client *client, uint64_t *out_bytes) {
    *out_bytes = client->welcome.count_bytes;
    return client->welcome.bytes;
}

/* ---- Control calls ---- */

/* By whom call_begin let in. *out_answered: the status is the raylet's own, not the connection's. */
static wr_status answer(wr_client *client, const char *op, uint64_t id, uint64_t until_ns, wr_record *out,
                        bool *out_answered, wr_error *err) {
    wr_frame frame;
    do { /* answers to calls that timed out are passed over; an error for request 0 is about the connection */
        WR_TRY(wr_frame_receive(client->conn, until_ns, &frame, err));
    } while (frame.request != id && frame.request != 0);
    if (frame.type == WR_FRAME_ERROR) {
        *out_answered = frame.request == id;
        return wr_frame_error_read(&frame.body, err);
    }
    if (frame.request != id || frame.type != WR_FRAME_REPLY) {
        return WR_FAIL(err, WR_E_PROTOCOL, "%s: the raylet sent a frame of type %u, which answers nothing",
                       op, (unsigned)frame.type);
    }
    *out_answered = true;
    *out = frame.body;
    return WR_OK;
}

/* One call at a time has the connection. Fails: TIMEOUT. */
static wr_status call_begin(wr_client *client, uint64_t deadline_ns, const char *op, wr_error *err) {
    const struct timespec until = {.tv_sec = (time_t)(deadline_ns / second_ns),
                                   .tv_nsec = (long)(deadline_ns % second_ns)};
    int error = 0;
    pthread_mutex_lock(&client->call_lock);
    while (client->call_busy && error == 0) {
        error = pthread_cond_timedwait(&client->call_free, &client->call_lock, &until);
    }
    const bool mine = !client->call_busy;
    client->call_busy = true;
    pthread_mutex_unlock(&client->call_lock);
    return mine ? WR_OK : WR_FAIL(err, WR_E_TIMEOUT, "%s: calls of other threads took all the time", op);
}

static void call_end(wr_client *client) {
    pthread_mutex_lock(&client->call_lock);
    client->call_busy = false;
    pthread_cond_signal(&client->call_free);
    pthread_mutex_unlock(&client->call_lock);
}

/* The connection failed in the middle: nothing can follow. What the caller gets. */
static wr_status broken(wr_client *client, const char *op, wr_status status, wr_error *err) {
    mark(client, CLIENT_DEAD);
    return status == WR_E_UNAVAILABLE ? raylet_died(client, op, err) : status;
}

/* Takes the connection and sends; wait->request says that this is done. Fails: TIMEOUT (until_ns, nothing was sent). */
static wr_status call_send(wr_client *client, const char *op, const uint8_t *request, uint64_t request_bytes,
                           uint64_t until_ns, wr_call_wait *wait, wr_error *err) {
    wr_record_writer w = {0};
    wr_record_begin(&w);
    wr_record_string(&w, "op", op);
    uint8_t *joined = NULL;
    uint32_t joined_bytes = 0;
    WR_TRY(request_make(&w, request, request_bytes, &joined, &joined_bytes, err));
    wr_status status = call_begin(client, until_ns, op, err);
    if (status == WR_OK) {
        const unsigned state = atomic_load(&client->state);
        wait->request = client->next_request++;
        if (state != CLIENT_LIVE && state != CLIENT_NO_POOL) {
            status = wr_client_refuse(client, err);
        } else {
            status = wr_frame_send(client->conn, WR_FRAME_REQUEST, wait->request, joined, joined_bytes, -1,
                                   wait->deadline_ns, err);
            status = status != WR_OK ? broken(client, op, status, err) : status;
        }
        if (status != WR_OK) {
            call_end(client);
        }
    }
    wr_free(joined);
    return status;
}

/* After call_send. wait->pending: until_ns has come, and the connection is this call's still. */
static wr_status call_receive(wr_client *client, const char *op, uint64_t until_ns, wr_call_wait *wait,
                              uint8_t **out, uint64_t *out_bytes, wr_error *err) {
    wr_record reply = {0};
    bool answered = false;
    const wr_status status = answer(client, op, wait->request, until_ns, &reply, &answered, err);
    if (status != WR_OK && !answered) {
        wait->pending = status == WR_E_TIMEOUT && until_ns < wait->deadline_ns;
        return status == WR_E_TIMEOUT ? status : broken(client, op, status, err);
    }
    WR_TRY(status);
    uint8_t *copy = malloc(reply.count_bytes);
    if (copy == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "%s: no %u bytes for the answer", op, reply.count_bytes);
    }
    memcpy(copy, reply.bytes, reply.count_bytes);
    *out = copy;
    *out_bytes = reply.count_bytes;
    return WR_OK;
}

wr_status wr_client_call_wait(wr_client *client, const char *op, const uint8_t *request,
                              uint64_t request_bytes, uint64_t timeout_ns, uint64_t patience_ns,
                              wr_call_wait *wait, uint8_t **out, uint64_t *out_bytes, wr_error *err) {
    const unsigned state = atomic_load(&client->state);
    if (wait->request == 0 && state != CLIENT_LIVE &&
        state != CLIENT_NO_POOL) { /* in a forked child the lock must not be touched */
        return wr_client_refuse(client, err);
    }
    const uint64_t span_ns = timeout_ns == 0 ? 60 * second_ns : timeout_ns;
    const uint64_t now_ns = wr_clock_ns();
    if (wait->deadline_ns == 0) {
        wait->deadline_ns = span_ns > UINT64_MAX / 2 - now_ns ? UINT64_MAX / 2 : now_ns + span_ns;
    }
    const bool patient = wait->deadline_ns <= now_ns || patience_ns >= wait->deadline_ns - now_ns;
    const uint64_t until_ns = patient ? wait->deadline_ns : now_ns + patience_ns;
    wait->pending = false;
    wr_error why = {0};
    wr_status status = WR_OK;
    if (wait->request == 0) {
        status = call_send(client, op, request, request_bytes, until_ns, wait, &why);
        wait->pending = status == WR_E_TIMEOUT && wait->request == 0 && !patient;
    }
    if (status == WR_OK) {
        status = call_receive(client, op, until_ns, wait, out, out_bytes, &why);
        if (!wait->pending) {
            call_end(client);
        }
    }
    if (wait->pending) {
        return WR_E_AGAIN;
    }
    if (status != WR_OK && err != NULL) {
        *err = why;
    }
    return status;
}

wr_status wr_client_call(wr_client *client, const char *op, const uint8_t *request, uint64_t request_bytes,
                         uint64_t timeout_ns, uint8_t **out, uint64_t *out_bytes, wr_error *err) {
    wr_call_wait wait = {0};
    return wr_client_call_wait(client, op, request, request_bytes, timeout_ns, UINT64_MAX, &wait, out,
                               out_bytes, err);
}

void wr_bytes_free(uint8_t *bytes) {
    free(bytes);
}

void wr_client_counters(const wr_client *client, wr_counters *out) {
    *out = (wr_counters){0};
    if (!client_live(client)) {
        return;
    }
    wr_proc_counters c;
    wr_pool_counters(client->pool, wr_proc_slot(client->proc), &c);
    *out = (wr_counters){.tasks_submitted = c.submitted,
                         .tasks_executed = c.executed,
                         .actor_calls_submitted = c.calls_submitted,
                         .actor_calls_executed = c.calls_executed,
                         .objects_put = c.put,
                         .bytes_put = c.put_bytes,
                         .objects_sealed = c.sealed,
                         .bytes_sealed = c.sealed_bytes};
}

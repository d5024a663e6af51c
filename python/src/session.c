/* The session with the raylet: connect, control calls, errors, forks. */
#include "core.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

wr_py_core wr_py;

enum {
    NS_PER_S = 1000000000,
    CLOSE_WAIT_MS = 5000, /* for threads that still look at the pool; each looks away every 100 ms */
};

/* ---- Errors ---- */

PyObject *wr_py_raise_status(wr_status status, const char *text, const char *hint) {
    wr_error why = {0};
    if (status == WR_E_RAYLET_DIED && wr_py.client != NULL && strcmp(text, wr_status_text(status)) == 0 &&
        wr_client_why(wr_py.client, &why) == WR_E_RAYLET_DIED) {
        text = why.text; /* whoever waited knew the status only */
    }
    PyObject *hook = wr_py_hook_find(WR_PY_HOOK_system_error);
    const char *name = wr_status_name(status);
    if (hook == NULL) {
        PyErr_Format(PyExc_RuntimeError, "%s: %s", name, text);
        return NULL;
    }
    PyObject *error = NULL;
    PyObject *parts =
        Py_BuildValue("(sNN)", name, PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace"),
                      PyUnicode_DecodeUTF8(hint, (Py_ssize_t)strlen(hint), "replace"));
    if (parts != NULL) {
        error = PyObject_CallObject(hook, parts);
        Py_DECREF(parts);
    }
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

PyObject *wr_py_raise(const wr_error *error) {
    return wr_py_raise_status(error->status,
                              error->text[0] != 0 ? error->text : wr_status_text(error->status), error->hint);
}

wr_status wr_py_status_of(const char *name) {
    static const struct {
        const char *name;
        wr_status status;
    } rows[] = {
#define WR_STATUS(name, number, grpc, python, text) {#name, WR_##name},
#include "whipray/status.def"
#undef WR_STATUS
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        const char *plain = strncmp(rows[k].name, "E_", 2) == 0 ? rows[k].name + 2 : rows[k].name;
        if (strcmp(name, rows[k].name) == 0 || strcmp(name, plain) == 0) {
            return rows[k].status;
        }
    }
    return WR_E_INTERNAL;
}

static PyObject *raise_forked(void) {
    return wr_py_raise_status(
        WR_E_STATE, "this process was forked from one that is connected to Whipray",
        "use tasks and actors instead of os.fork or multiprocessing's fork; a child that needs a "
        "cluster of its own calls shutdown() and init() first");
}

static PyObject *raise_ended(void) {
    return wr_py_raise_status(WR_E_STATE, "the session has ended (shutdown)", "");
}

/* ---- Waiting without the GIL ---- */

uint64_t wr_py_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void wr_py_look_begin(wr_py_look *look, wr_client *client) {
    look->client = client;
    look->session = wr_py.session;
    wr_py.lookers++;
    look->thread = PyEval_SaveThread();
}

int wr_py_look_end(wr_py_look *look) {
    PyEval_RestoreThread(look->thread);
    wr_py.lookers--;
    if (WR_UNLIKELY(look->session != wr_py.session)) {
        raise_ended();
        return -1;
    }
    return 0;
}

int wr_py_timeout(const char *function, PyObject *timeout, bool minus_one_is_none, uint64_t *out_ns) {
    *out_ns = UINT64_MAX;
    if (timeout == NULL || timeout == Py_None) {
        return 0;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "%s: timeout must be a number of seconds or None, not %.200R",
                         function, timeout);
        }
        return -1;
    }
    if (seconds == -1.0 && minus_one_is_none) {
        return 0;
    }
    if (!(seconds >= 0)) {
        PyErr_Format(PyExc_ValueError, "%s: timeout must not be negative, got %R", function, timeout);
        return -1;
    }
    if (seconds < 1e9) {
        *out_ns = (uint64_t)(seconds * NS_PER_S);
    }
    return 0;
}

/* ---- Life ---- */

wr_client *wr_py_client(void) {
    if (WR_LIKELY(wr_py.client != NULL)) {
        return wr_py.client;
    }
    if (wr_py.forked) {
        raise_forked();
        return NULL;
    }
    if (wr_py_hook_find(WR_PY_HOOK_auto_init) != NULL) {
        PyObject *done = wr_py_hook_call(WR_PY_HOOK_auto_init, NULL, NULL);
        if (done == NULL) {
            return NULL;
        }
        Py_DECREF(done);
    }
    if (wr_py.client == NULL) {
        wr_py_raise_status(WR_E_STATE, "Whipray is not initialized", "call init() first");
    }
    return wr_py.client;
}

enum { ROOM_SLEEP_NS = 500000, ROOM_SLEEP_MAX_NS = 8000000, ROOM_LOOKS = 2 };

/* Called by the core worker while it waits for room, with the GIL held throughout: another thread must not enter
 * the books meanwhile. Who can call again leaves them, once the raylet had its 2 ms to answer. */
static bool on_wait(void *arg) {
    (void)arg;
    wr_py_room *room = wr_py.room;
    if (room == NULL) {
        return PyErr_CheckSignals() == 0;
    }
    if (room->began_ns == 0) {
        room->began_ns = wr_py_now_ns();
    }
    return room->looks++ < ROOM_LOOKS;
}

bool wr_py_room_later(wr_py_room *room) {
    room->looks = 0;
    room->sleep_ns = room->sleep_ns == 0                      ? ROOM_SLEEP_NS
                     : room->sleep_ns * 2 < ROOM_SLEEP_MAX_NS ? room->sleep_ns * 2
                                                              : ROOM_SLEEP_MAX_NS;
    const struct timespec t = {0, (long)room->sleep_ns};
    wr_py_look look;
    wr_py_look_begin(&look, wr_py.client);
    nanosleep(&t, NULL);
    if (wr_py_look_end(&look) != 0 || PyErr_CheckSignals() != 0) {
        return false;
    }
    if (WR_UNLIKELY(wr_py.client == NULL)) { /* a signal's handler ended the session */
        raise_ended();
        return false;
    }
    wr_client_waited(wr_py.client, wr_py_now_ns() - room->began_ns);
    return true;
}

/* ---- The ticker: what a program that computes or sleeps must not leave lying ----
 * Calls that overflowed a full ring are queued, freed memory is taken in, and producers of unread streams get
 * credits by whoever calls the core next; a thread makes sure that somebody does. Workers have none until they
 * open a stream: their loops do the rest. */

enum { TICK_NS = 100000000, BACKLOG_TICK_NS = 3000000 };

static uint32_t ticking; /* the session that has the thread */

/* Body of the thread: returns when its session has ended. */
static PyObject *tick(PyObject *module, PyObject *number) {
    (void)module;
    const unsigned long session = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred()) {
        return NULL;
    }
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* signals are the main thread's: they end its waits */
    while (wr_py.client != NULL && wr_py.session == session) {
        const struct timespec t = {0, wr_flush(wr_py.client) ? BACKLOG_TICK_NS : TICK_NS};
        PyThreadState *thread = PyEval_SaveThread();
        nanosleep(&t, NULL);
        PyEval_RestoreThread(thread);
    }
    Py_RETURN_NONE;
}

/* By _thread, and not by a thread of C: that would make a thread state at every turn. */
void wr_py_ticker_start(void) {
    if (ticking == wr_py.session) {
        return;
    }
    PyObject *threads = PyImport_ImportModule("_thread");
    PyObject *body = PyObject_GetAttrString(wr_py.module, "_tick");
    PyObject *started =
        threads != NULL && body != NULL
            ? PyObject_CallMethod(threads, "start_new_thread", "O(k)", body, (unsigned long)wr_py.session)
            : NULL;
    Py_XDECREF(threads);
    Py_XDECREF(body);
    Py_XDECREF(started);
    if (started != NULL) {
        ticking = wr_py.session;
    } else {
        PyErr_Clear(); /* no thread to be had: calls and waits do its work */
    }
}

static PyObject *connect_session(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"kind", "socket_path", "token", "hello", "spin_us", NULL};
    int kind;
    const char *path, *token;
    Py_buffer hello = {0};
    unsigned int spin_us = 50;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iss|y*I", names, &kind, &path, &token, &hello,
                                     &spin_us)) {
        return NULL;
    }
    if (wr_py.client != NULL) {
        if (hello.obj != NULL) {
            PyBuffer_Release(&hello);
        }
        PyErr_SetString(PyExc_RuntimeError, "connected already");
        return NULL;
    }
    const wr_client_opts opts = {
        .kind = (wr_client_kind)kind,
        .socket_path = path,
        .token = token,
        .hello = hello.buf,
        .hello_bytes = (uint64_t)hello.len,
        .spin_ns = (uint64_t)spin_us * 1000,
    };
    wr_client *client = NULL;
    wr_error error = {0};
    PyThreadState *thread = PyEval_SaveThread();
    wr_status status = wr_client_open(&opts, &client, &error);
    PyEval_RestoreThread(thread);
    if (hello.obj != NULL) {
        PyBuffer_Release(&hello);
    }
    if (status != WR_OK) {
        return wr_py_raise(&error);
    }
    if (wr_py.client != NULL) { /* another thread was faster */
        wr_client_close(client);
        PyErr_SetString(PyExc_RuntimeError, "connected already");
        return NULL;
    }
    wr_client_on_wait(client, on_wait, NULL);
    wr_py.client = client;
    wr_py.session = ++wr_py.sessions;
    wr_py.forked = false;
    wr_py.spin_ns = opts.spin_ns;
    uint8_t id[28];
    wr_ref_id(client, 0, 0, id);
    memcpy(wr_py.id_prefix, id, sizeof wr_py.id_prefix);
    if (kind == WR_CLIENT_DRIVER) {
        wr_py_ticker_start();
    }
    uint64_t bytes = 0;
    const uint8_t *welcome = wr_client_welcome(client, &bytes);
    return PyBytes_FromStringAndSize((const char *)welcome, (Py_ssize_t)bytes);
}

static uint32_t
    abandoned_calls; /* atomic: control calls whose caller was interrupted; their client must stay */

static bool still_called(void) {
    return __atomic_load_n(&abandoned_calls, __ATOMIC_ACQUIRE) != 0;
}

/* A client whose session has ended while buffers still show its pool: closed by the last of them. */
static wr_client *mapped_client;

void wr_py_views_begin(void) {
    wr_py.views++;
}

void wr_py_views_end(void) {
    wr_py.views--;
    if (WR_UNLIKELY(wr_py.views == 0 && mapped_client != NULL)) {
        wr_client_close(mapped_client);
        mapped_client = NULL;
    }
}

static PyObject *disconnect_session(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    wr_client *client = wr_py.client;
    wr_py_generators_shut();
    wr_py.client = NULL;
    wr_py.session = 0;
    wr_py.forked = false;
    wr_py_functions_clear();
    if (client == NULL) {
        Py_RETURN_NONE;
    }
    const struct timespec tick = {0, 1000000};
    for (int ms = 0; (wr_py.lookers > 0 || still_called()) && ms < CLOSE_WAIT_MS; ms++) {
        PyThreadState *thread = PyEval_SaveThread();
        nanosleep(&tick, NULL);
        PyEval_RestoreThread(thread);
    }
    wr_client_leave(client); /* says goodbye; what is mapped stays */
    const bool quiet = wr_py.lookers == 0 && !still_called();
    if (quiet && wr_py.views == 0) {
        wr_client_close(client);
    } else if (quiet && mapped_client == NULL) {
        mapped_client = client;
    } /* else: a thread still looks, or two sessions have living buffers: leave it mapped for good */
    Py_RETURN_NONE;
}

static PyObject *is_connected(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    return PyBool_FromLong(wr_py.client != NULL);
}

static PyObject *session_number(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    return PyLong_FromUnsignedLong(wr_py.session);
}

static PyObject *health(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    return PyUnicode_FromString(
        wr_status_name(wr_py.client != NULL ? wr_client_health(wr_py.client) : WR_E_STATE));
}

static PyObject *counters(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    wr_counters c = {0};
    if (wr_py.client != NULL) {
        wr_client_counters(wr_py.client, &c);
    }
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "tasks_submitted", c.tasks_submitted,
                         "tasks_executed", c.tasks_executed, "actor_calls_submitted", c.actor_calls_submitted,
                         "actor_calls_executed", c.actor_calls_executed, "objects_put", c.objects_put,
                         "bytes_put", c.bytes_put, "objects_sealed", c.objects_sealed, "bytes_sealed",
                         c.bytes_sealed);
}

static PyObject *flush(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    return PyBool_FromLong(wr_py.client != NULL && wr_flush(wr_py.client));
}

/* ---- Control calls ---- */

static const uint8_t empty_record[2] = {0, 0};

/* One control call. The core's call goes on until its answer; so that Ctrl-C can end the wait for it, the
 * main thread lets another thread go on with one that takes its time, and leaves it alone if a signal's handler raises. */
typedef struct exchange {
    wr_client *client;
    char *op;
    uint8_t *request; /* in the same piece of memory as op */
    uint64_t request_bytes, timeout_ns;
    uint8_t *reply;
    uint64_t reply_bytes;
    wr_status status;
    wr_error error;
    wr_call_wait wait;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done, abandoned;
} exchange;
enum {
    SIGNAL_TICK_NS = 50000000,
    PATIENCE_NS = 20000000, /* of the main thread: so long it waits itself, and no signal ends that */
    PATIENT_BYTES = 65536,  /* a larger request may be stuck in the socket */
};

static exchange *exchange_new(wr_client *client, const char *op, const uint8_t *request, uint64_t bytes,
                              uint64_t timeout_ns) {
    const size_t op_bytes = strlen(op) + 1;
    exchange *x = calloc(1, sizeof *x);
    char *memory = x != NULL ? malloc(op_bytes + bytes) : NULL;
    if (memory == NULL) {
        free(x);
        PyErr_NoMemory();
        return NULL;
    }
    memcpy(memory, op, op_bytes);
    memcpy(memory + op_bytes, request, bytes);
    x->client = client;
    x->op = memory;
    x->request = (uint8_t *)memory + op_bytes;
    x->request_bytes = bytes;
    x->timeout_ns = timeout_ns;
    pthread_mutex_init(&x->lock, NULL);
    pthread_cond_init(&x->changed, NULL);
    return x;
}

static void exchange_free(exchange *x) {
    if (x->status == WR_OK) {
        wr_bytes_free(x->reply);
    }
    pthread_cond_destroy(&x->changed);
    pthread_mutex_destroy(&x->lock);
    free(x->op);
    free(x);
}

static void exchange_make(exchange *x, uint64_t patience_ns) {
    x->status = wr_client_call_wait(x->client, x->op, x->request, x->request_bytes, x->timeout_ns,
                                    patience_ns, &x->wait, &x->reply, &x->reply_bytes, &x->error);
}

static void *exchange_thread(void *arg) {
    exchange *x = arg;
    exchange_make(x, UINT64_MAX);
    pthread_mutex_lock(&x->lock);
    x->done = true;
    const bool abandoned = x->abandoned;
    pthread_cond_signal(&x->changed);
    pthread_mutex_unlock(&x->lock);
    if (abandoned) {
        exchange_free(x);
        __atomic_sub_fetch(&abandoned_calls, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* Waits for the thread, without the GIL, one tick. */
static bool exchange_wait(exchange *x) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SIGNAL_TICK_NS;
    until.tv_sec += until.tv_nsec / NS_PER_S;
    until.tv_nsec %= NS_PER_S;
    pthread_mutex_lock(&x->lock);
    if (!x->done) {
        (void)pthread_cond_timedwait(&x->changed, &x->lock, &until);
    }
    const bool done = x->done;
    pthread_mutex_unlock(&x->lock);
    return done;
}

static int thread_start(void *(*body)(void *), void *arg) {
    sigset_t all, old;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
    const int status = pthread_create(&thread, NULL, body, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (status == 0) {
        pthread_detach(thread);
    }
    return status;
}

/* 0, or -1 with an exception: a signal's handler raised (x is the thread's then), or the session ended. */
static int exchange_run(exchange *x) {
    const bool main_thread = syscall(SYS_gettid) == getpid();
    wr_py_look look;
    wr_py_look_begin(&look, x->client);
    bool left = main_thread && x->request_bytes > PATIENT_BYTES; /* to another thread */
    if (!left) {
        exchange_make(x, main_thread ? PATIENCE_NS : UINT64_MAX);
        left = x->wait.pending;
    }
    if (left && thread_start(exchange_thread, x) != 0) {
        left = false;
        exchange_make(x, UINT64_MAX);
    }
    if (!left) {
        return wr_py_look_end(&look) == 0 ? 0 : (exchange_free(x), -1);
    }
    for (;;) {
        const bool done = exchange_wait(x);
        const int ended = wr_py_look_end(&look);
        if (done) {
            return ended == 0 ? 0 : (exchange_free(x), -1);
        }
        if (ended != 0 || PyErr_CheckSignals() != 0) {
            pthread_mutex_lock(&x->lock);
            const bool late = x->done;
            x->abandoned = !late;
            if (!late) {
                __atomic_add_fetch(&abandoned_calls, 1, __ATOMIC_RELAXED);
            }
            pthread_mutex_unlock(&x->lock);
            if (late) {
                exchange_free(x);
            }
            return -1;
        }
        wr_py_look_begin(&look, x->client);
    }
}

static uint64_t call_timeout_ns(double seconds) {
    return seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds * NS_PER_S) : 0;
}

/* Consumes payload. */
static PyObject *session_call(wr_client *client, const char *op, Py_buffer *payload, double timeout) {
    const bool none = payload->buf == NULL || payload->len == 0;
    exchange *x = exchange_new(client, op, none ? empty_record : payload->buf,
                               none ? sizeof empty_record : (uint64_t)payload->len, call_timeout_ns(timeout));
    if (payload->obj != NULL) {
        PyBuffer_Release(payload);
    }
    if (x == NULL || exchange_run(x) != 0) {
        return NULL;
    }
    PyObject *out = x->status != WR_OK
                        ? wr_py_raise(&x->error)
                        : PyBytes_FromStringAndSize((const char *)x->reply, (Py_ssize_t)x->reply_bytes);
    exchange_free(x);
    return out;
}

static PyObject *call(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"op", "payload", "timeout", NULL};
    const char *op;
    Py_buffer payload = {0};
    double timeout = 60;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s|y*d", names, &op, &payload, &timeout)) {
        return NULL;
    }
    if (wr_py.client == NULL) {
        if (payload.obj != NULL) {
            PyBuffer_Release(&payload);
        }
        return wr_py.forked
                   ? raise_forked()
                   : wr_py_raise_status(WR_E_STATE, "Whipray is not initialized", "call init() first");
    }
    return session_call(wr_py.client, op, &payload, timeout);
}

typedef struct tool_connection {
    PyObject_HEAD wr_client *client;
    uint32_t calls; /* under way in other threads */
    bool closing;
    struct tool_connection *next; /* all of this process, for forks */
} tool_connection;
static tool_connection *tools;

static int tool_init(tool_connection *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"socket_path", "token", "hello", "timeout", NULL};
    const char *path, *token;
    Py_buffer hello = {0};
    double timeout = 10;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "ss|y*$d", names, &path, &token, &hello, &timeout)) {
        return -1;
    }
    wr_client *client = NULL;
    wr_error error = {0};
    wr_status status = WR_OK;
    if (self->client == NULL) {
        const wr_client_opts opts = {
            .kind = WR_CLIENT_TOOL,
            .socket_path = path,
            .token = token,
            .hello = hello.buf,
            .hello_bytes = (uint64_t)hello.len,
            .timeout_ns = call_timeout_ns(timeout),
        };
        PyThreadState *thread = PyEval_SaveThread();
        status = wr_client_open(&opts, &client, &error);
        PyEval_RestoreThread(thread);
    }
    if (hello.obj != NULL) {
        PyBuffer_Release(&hello);
    }
    if (status != WR_OK) {
        wr_py_raise(&error);
        return -1;
    }
    if (client == NULL || self->client != NULL) {
        wr_client_close(client);
        PyErr_SetString(PyExc_RuntimeError, "connected already");
        return -1;
    }
    self->client = client;
    self->next = tools;
    tools = self;
    return 0;
}

static void tool_shut(tool_connection *self) {
    for (tool_connection **at = &tools; *at != NULL; at = &(*at)->next) {
        if (*at == self) {
            *at = self->next;
            break;
        }
    }
    wr_client *client = self->client;
    self->client = NULL;
    if (client != NULL) {
        wr_client_close(client);
    }
}

static PyObject *tool_close(tool_connection *self, PyObject *ignored) {
    (void)ignored;
    if (self->calls > 0) {
        self->closing = true; /* the last call closes */
    } else {
        tool_shut(self);
    }
    Py_RETURN_NONE;
}

static void tool_dealloc(PyObject *self) {
    tool_shut((tool_connection *)self);
    wr_py_free_object(self);
}

static PyObject *tool_call(tool_connection *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"op", "payload", "timeout", NULL};
    const char *op;
    Py_buffer payload = {0};
    double timeout = 60;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s|y*d", names, &op, &payload, &timeout)) {
        return NULL;
    }
    if (self->client == NULL || self->closing) {
        if (payload.obj != NULL) {
            PyBuffer_Release(&payload);
        }
        return wr_py_raise_status(WR_E_STATE, "the connection is closed", "");
    }
    const bool none = payload.buf == NULL || payload.len == 0;
    uint8_t *reply = NULL;
    uint64_t reply_bytes = 0;
    wr_error error = {0};
    self->calls++;
    PyThreadState *thread = PyEval_SaveThread();
    const wr_status status = wr_client_call(self->client, op, none ? empty_record : payload.buf,
                                            none ? sizeof empty_record : (uint64_t)payload.len,
                                            call_timeout_ns(timeout), &reply, &reply_bytes, &error);
    PyEval_RestoreThread(thread);
    if (payload.obj != NULL) {
        PyBuffer_Release(&payload);
    }
    PyObject *out = NULL;
    if (status == WR_OK) {
        out = PyBytes_FromStringAndSize((const char *)reply, (Py_ssize_t)reply_bytes);
        wr_bytes_free(reply);
    } else {
        (void)wr_py_raise(&error);
    }
    if (--self->calls == 0 && self->closing) {
        tool_shut(self);
    }
    return out;
}

static PyObject *tool_welcome(tool_connection *self, void *ignored) {
    (void)ignored;
    uint64_t bytes = 0;
    const uint8_t *welcome = self->client != NULL ? wr_client_welcome(self->client, &bytes) : NULL;
    return PyBytes_FromStringAndSize((const char *)welcome, welcome != NULL ? (Py_ssize_t)bytes : 0);
}

static PyMethodDef tool_methods[] = {
    {"call", WR_PY_FUNCTION(tool_call), METH_VARARGS | METH_KEYWORDS, NULL},
    {"close", WR_PY_FUNCTION(tool_close), METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef tool_getset[] = {
    {"welcome", (getter)tool_welcome, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot tool_slots[] = {
    {Py_tp_new, PyType_GenericNew}, {Py_tp_init, tool_init},     {Py_tp_dealloc, tool_dealloc},
    {Py_tp_methods, tool_methods},  {Py_tp_getset, tool_getset}, {0, NULL},
};
static PyType_Spec tool_spec = {
    .name = "whipray._core.ToolConnection",
    .basicsize = sizeof(tool_connection),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = tool_slots,
};

/* ---- Forks ---- */

/* In every forked child, before anything of the parent's is dropped there: sockets and counts are the
 * parent's. */
static PyObject *after_fork(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    if (wr_py.client != NULL) {
        wr_client_forked(wr_py.client);
        wr_py.client = NULL; /* never closed here: its pages are not mapped in the child */
        wr_py.session = 0;
        wr_py.forked = true;
        wr_py_functions_clear();
    }
    mapped_client = NULL;
    wr_py.lookers = 0;
    abandoned_calls = 0;
    for (tool_connection *tool = tools; tool != NULL; tool = tool->next) {
        if (tool->client != NULL) {
            wr_client_forked(tool->client);
        }
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"connect", WR_PY_FUNCTION(connect_session), METH_VARARGS | METH_KEYWORDS, NULL},
    {"disconnect", disconnect_session, METH_NOARGS, NULL},
    {"is_connected", is_connected, METH_NOARGS, NULL},
    {"session", session_number, METH_NOARGS, NULL},
    {"health", health, METH_NOARGS, NULL},
    {"counters", counters, METH_NOARGS, NULL},
    {"flush", flush, METH_NOARGS, NULL},
    {"call", WR_PY_FUNCTION(call), METH_VARARGS | METH_KEYWORDS, NULL},
    {"_tick", tick, METH_O, NULL},
    {"_after_fork", after_fork, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int register_fork_hook(PyObject *module) {
    static bool registered;
    if (registered) {
        return 0;
    }
    PyObject *os = PyImport_ImportModule("os");
    PyObject *hook = PyObject_GetAttrString(module, "_after_fork");
    PyObject *add = os != NULL ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
    PyObject *none = PyTuple_New(0);
    PyObject *named = hook != NULL ? Py_BuildValue("{s:O}", "after_in_child", hook) : NULL;
    PyObject *done = add != NULL && named != NULL && none != NULL ? PyObject_Call(add, none, named) : NULL;
    registered = done != NULL;
    Py_XDECREF(done);
    Py_XDECREF(named);
    Py_XDECREF(none);
    Py_XDECREF(add);
    Py_XDECREF(hook);
    Py_XDECREF(os);
    return registered ? 0 : -1;
}

int wr_py_session_add(PyObject *module) {
    static PyTypeObject *tool_type;
    if (wr_py_add_type(module, "ToolConnection", &tool_spec, &tool_type) != 0 ||
        PyModule_AddFunctions(module, functions) != 0) {
        return -1;
    }
    return register_fork_hook(module);
}

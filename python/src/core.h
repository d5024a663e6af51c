/* python/src/core.h: what the files of whipray._core share. The interface to Python is
 * python/whipray/_core.pyi.
 *
 * The limited API of CPython 3.11 only, over include/whipray/{whipray,record}.h only: this code converts
 * between Python objects and the core worker's calls; every policy is Python's and is asked for through
 * hooks.
 *
 * P1. Whatever changes the client's private books (functions marked [books] in whipray.h) runs with the GIL;
 * without it a thread only looks, between wr_py_look_begin and _end, which also keep the client open. P2. A
 * ref that a running task was lent is counted only once it is used or kept (loans below). P3. After a fork
 * the child's calls raise, and its objects drop without effect. P4. Objects carry the number of their
 * session; one of an older session is never handed to the client.
 *
 * One interpreter per process: subinterpreters are refused, free-threaded builds are not supported.
 */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdio.h>
#include <structmember.h>

#include "whipray/record.h"
#include "whipray/whipray.h"

#define WR_LIKELY(x) __builtin_expect(!!(x), 1)
#define WR_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define WR_PY_FUNCTION(f) ((PyCFunction)(void (*)(void))(f))
#define WR_PY_FASTCALL (METH_FASTCALL | METH_KEYWORDS)

/* ---- Hooks: the Python half, see _core.pyi ---- */

#define WR_PY_HOOKS(X)                                                                                       \
    X(system_error)                                                                                          \
    X(task_error)                                                                                            \
    X(timeout_error)                                                                                         \
    X(pack_error)                                                                                            \
    X(auto_init)                                                                                             \
    X(resolve_function)                                                                                      \
    X(resolve_actor)                                                                                         \
    X(method_options)                                                                                        \
    X(call_refused)                                                                                          \
    X(cloud_dump)                                                                                            \
    X(await_ref)                                                                                             \
    X(future_of)                                                                                             \
    X(on_completed)                                                                                          \
    X(generator_class)                                                                                       \
    X(method_class)                                                                                          \
    X(load_function)                                                                                         \
    X(call_extra)                                                                                            \
    X(should_retry)                                                                                          \
    X(assignment)                                                                                            \
    X(coroutine_task)                                                                                        \
    X(max_calls_reached)

typedef enum wr_py_hook_name {
#define WR_PY_HOOK(name) WR_PY_HOOK_##name,
    WR_PY_HOOKS(WR_PY_HOOK)
#undef WR_PY_HOOK
        WR_PY_HOOK_COUNT,
} wr_py_hook_name;

/* Borrowed; NULL: not set (no exception). */
PyObject *wr_py_hook_find(wr_py_hook_name name);
/* Calls a hook with up to two arguments (NULL: none). New reference, or NULL with an exception (RuntimeError:
 * not set). */
PyObject *wr_py_hook_call(wr_py_hook_name name, PyObject *first, PyObject *second);

/* ---- The session (session.c) ---- */

/* A call of the core that may wait for room in the store. The core gives up after 2 ms; the thread then sleeps
 * without the GIL, so that others can drop what fills the store, and calls again:
 *
 *   wr_py_room room = {0};
 *   do {
 *       wr_py_room_begin(&room);
 *       status = wr_put(...);
 *   } while (wr_py_room_again(&room, status));
 *
 * Afterwards INTERRUPTED means an exception: a signal's handler raised, or the session has ended. */
typedef struct wr_py_room {
    uint64_t began_ns; /* of the wait; 0: there was none yet */
    uint64_t sleep_ns;
    uint32_t looks; /* by this call of the core */
} wr_py_room;

typedef struct wr_py_core {
    wr_client *client;     /* NULL: no session */
    wr_py_room *room;      /* of the call under way, NULL: it is not made again */
    uint32_t session;      /* of the client; 0: none */
    uint32_t sessions;     /* begun so far */
    uint32_t views;        /* live buffers over the pool, which keep it mapped */
    uint32_t lookers;      /* threads inside wr_py_look_begin .. _end */
    bool forked;           /* this is a child that inherited a session */
    bool works;            /* this process has run tasks: a submit may be one's child */
    uint64_t spin_ns;      /* of waits without the GIL */
    uint8_t id_prefix[16]; /* of this session's object ids */
    PyObject *module;      /* borrowed from sys.modules' life */
    PyObject *serializers; /* dict, owned */
} wr_py_core;
extern wr_py_core wr_py;

bool wr_py_room_later(wr_py_room *room); /* the slow half of wr_py_room_again */
static inline void wr_py_room_begin(wr_py_room *room) {
    wr_py.room = room;
}
static inline bool wr_py_room_again(wr_py_room *room, wr_status status) {
    wr_py.room = NULL;
    if (WR_UNLIKELY(room->began_ns != 0)) {
        wr_client_waited(wr_py.client, 0);
        return status == WR_E_INTERRUPTED && wr_py_room_later(room);
    }
    return false;
}
/* The client; makes one by hook auto_init. NULL with an exception. */
wr_client *wr_py_client(void);
/* A thread that keeps the books of this session in order while the program does something else; once. */
void wr_py_ticker_start(void);
/* Raises what hook system_error makes of an error. Always NULL. */
PyObject *wr_py_raise(const wr_error *error);
/* The same from parts; text is copied. */
PyObject *wr_py_raise_status(wr_status status, const char *text, const char *hint);
/* Number of a status by its name with or without "E_"; E_INTERNAL if there is none. */
wr_status wr_py_status_of(const char *name);
/* A view over the pool begins, ends: the mapping outlives the session while there is one. */
void wr_py_views_begin(void);
void wr_py_views_end(void);

/* A stretch without the GIL in which the thread only looks at the pool. */
typedef struct wr_py_look {
    wr_client *client;
    uint32_t session;
    PyThreadState *thread;
} wr_py_look;
void wr_py_look_begin(wr_py_look *look, wr_client *client);
/* Takes the GIL again. -1 with an exception when the session ended meanwhile. */
int wr_py_look_end(wr_py_look *look);

uint64_t wr_py_now_ns(void);
/* timeout (None: none) in seconds -> nanoseconds, UINT64_MAX for none. -1 with an exception. */
int wr_py_timeout(const char *function, PyObject *timeout, bool minus_one_is_none, uint64_t *out_ns);

/* ---- Refs and buffers (ref.c) ---- */

typedef struct wr_py_ref {
    PyObject_HEAD union {
        wr_ref handle;
        PyObject *id; /* bare: bytes object with the 28 bytes, of no cell here */
    };
    uint32_t index;        /* which return of the task */
    uint32_t session : 30; /* in which the handle means something */
    uint32_t owned : 1;    /* carries a count; else it is lent to a running task */
    uint32_t bare : 1;
} wr_py_ref;

typedef struct wr_py_buffer {    /* read-only bytes of the pool, or (tests) of another object */
    PyObject_HEAD wr_ref handle; /* what is counted while this lives; 0: nothing */
    const uint8_t *data;
    uint64_t bytes;
    PyObject *owner;
    uint32_t session;
    bool owned;
} wr_py_buffer;

extern PyTypeObject *wr_py_ref_type, *wr_py_buffer_type;

/* What a running task was lent: refs and buffers without a count. Each entry owns its object. */
typedef struct wr_py_loans {
    PyObject **items;
    uint32_t count, capacity;
} wr_py_loans;
/* After the task's arguments and result were dropped, before its seal: what is still referenced was kept by
 * user code and gets a count of its own. */
void wr_py_loans_end(wr_py_loans *loans);
void wr_py_loans_done(wr_py_loans *loans); /* frees the empty list */

/* New ref that takes over one count of handle. */
PyObject *wr_py_ref_new(wr_ref handle, uint32_t index);
/* New ref to a handle named by a container that is held: lent by the task (loans) or borrowed. */
PyObject *wr_py_ref_of(wr_ref handle, uint32_t index, wr_py_loans *loans);
/* The live handle of a ref object, counted from now on (a lent one is borrowed). 0 with an exception: dead
 * session, bare id. */
wr_ref wr_py_ref_use(PyObject *ref);
/* The live handle for looking only: no count is taken. 0 with an exception. */
wr_ref wr_py_ref_look(PyObject *ref);
void wr_py_ref_id(const wr_py_ref *ref, uint8_t out[28]);
/* Buffer over pool bytes: lent (loans) or counted through `handle`, which this process counts already. */
PyObject *wr_py_buffer_new(wr_ref handle, const uint8_t *data, uint64_t bytes, wr_py_loans *loans);
PyObject *wr_py_buffer_over(PyObject *owner, const uint8_t *data, uint64_t bytes);
static inline bool wr_py_is_ref(PyObject *object) {
    return Py_TYPE(object) == wr_py_ref_type;
}

/* ---- Encoding (encode.c, sink.c) ---- */

typedef struct wr_py_held { /* what keeps a buffer of a sink in place */
    PyObject *object;
    Py_buffer view;
    bool has_view;
} wr_py_held;

typedef struct wr_py_sink {
    PyObject_HEAD uint8_t *bytes;
    size_t used, capacity;
    PyObject **ref_objects; /* owned: a ref may be a temporary of somebody's __reduce__ */
    wr_ref *refs;
    uint32_t ref_count, ref_capacity;
    wr_ref *links;           /* reference arguments */
    PyObject **link_objects; /* owned, or NULL: the caller's */
    uint32_t link_count, link_capacity;
    wr_buffer *buffers;
    wr_py_held *held;
    uint32_t buffer_count, buffer_capacity;
    uint32_t ref_base, buffer_base; /* first ones of the item that is being written */
    PyObject *dump, *clear_memo;    /* of the pickler that writes here */
    bool cloud;                     /* cloudpickle writes: answer, never ask for it */
    bool need_cloud;  /* plain pickle would write a class or function that a worker cannot import */
    bool refuse_refs; /* no session: tests of the codec */
} wr_py_sink;
extern PyTypeObject *wr_py_sink_type;

/* An empty sink from the free list (not a stack: pickling runs user code, threads interleave). NULL with an
 * exception. */
wr_py_sink *wr_py_sink_take(void);
void wr_py_sink_give(wr_py_sink *sink); /* consumes; accepts NULL; may run user code (buffers are released) */
/* Room for `bytes` more. NULL with MemoryError. */
uint8_t *wr_py_sink_grow(wr_py_sink *sink, size_t bytes);
static inline uint8_t *wr_py_sink_room(wr_py_sink *sink, size_t bytes) {
    if (WR_UNLIKELY(sink->used + bytes > sink->capacity)) {
        return wr_py_sink_grow(sink, bytes);
    }
    uint8_t *room = sink->bytes + sink->used;
    sink->used += bytes;
    return room;
}
/* Back to an earlier mark. */
typedef struct wr_py_mark {
    size_t used;
    uint32_t refs, buffers;
} wr_py_mark;
wr_py_mark wr_py_sink_mark(const wr_py_sink *sink);
void wr_py_sink_rewind(wr_py_sink *sink, wr_py_mark mark);
/* Index of the added buffer or ref; -1 with an exception. object and view pass to the sink on success. */
int64_t wr_py_sink_add_buffer(wr_py_sink *sink, PyObject *object, Py_buffer *view, const void *data,
                              uint64_t bytes);
int64_t wr_py_sink_add_ref(wr_py_sink *sink, PyObject *ref);
int64_t wr_py_sink_add_link(wr_py_sink *sink, wr_ref handle,
                            PyObject *owned);      /* consumes owned (may be NULL) */
wr_value wr_py_sink_value(const wr_py_sink *sink); /* lends the sink's memory */
/* Pickles value as tag PICKLE: plain, else by cloudpickle. 0, or -1 with an exception. */
int wr_py_sink_pickle(wr_py_sink *sink, PyObject *value, bool by_value);

/* A whole value with its head; None is no byte at all. 0, or -1 with an exception. */
int wr_py_encode(wr_py_sink *sink, PyObject *value);
int wr_py_encode_by_value(wr_py_sink *sink, PyObject *value); /* straight by cloudpickle */

/* Stores what the sink holds; other threads run while it waits for room (put.c). A count of the new object, or 0 with
 * an exception. */
wr_ref wr_py_store(wr_py_sink *sink, wr_kind kind);

typedef struct wr_py_call_head {
    int32_t num_returns;
    PyObject *extra; /* bytes or NULL */
} wr_py_call_head;
/* Arguments: args[0 .. count), then the values of the keywords in the tuple `names` (NULL: none). With
 * `references`, top-level refs become reference arguments. A call without anything to say has an empty
 * stream. */
int wr_py_encode_args(wr_py_sink *sink, const wr_py_call_head *head, PyObject *const *args, Py_ssize_t count,
                      PyObject *names, bool references);

/* ---- Decoding (decode.c) ---- */

struct wr_py_task;

typedef struct wr_py_decoder {
    const uint8_t *at, *end;
    const wr_view *view; /* buffers and refs; NULL: test_buffers */
    wr_py_loans *loans;  /* of the running task; NULL: everything is counted */
    wr_ref holder;       /* whose bytes they are: counted by buffers */
    const wr_ref *links; /* reference arguments */
    uint32_t link_count;
    const wr_buffer *test_buffers;
    PyObject *test_owner;
    uint32_t test_buffer_count;
    uint32_t depth;
    uint32_t ref_base, buffer_base;   /* of the present item */
    uint32_t refs_used, buffers_used; /* by it */
    bool copy;                        /* buffers do not outlive the bytes: copy them */
    struct wr_py_decoder *outer;      /* of the same thread, while this one unpickles */
} wr_py_decoder;

/* One whole value (what wr_py_encode wrote). */
PyObject *wr_py_decode(wr_py_decoder *decoder);
/* One value without its head: an item of arguments. */
PyObject *wr_py_decode_item(wr_py_decoder *decoder);

/* The head of arguments, read without running anything. extra: lends from the stream. */
typedef struct wr_py_args_head {
    int32_t num_returns;
    const uint8_t *extra;
    uint32_t extra_bytes;
    uint32_t positional, keywords;
} wr_py_args_head;
/* 0, or -1 with ValueError: corrupt. */
int wr_py_decode_head(wr_py_decoder *decoder, wr_py_args_head *out);
/* positional + keywords values into out[] (new references; all or none), *out_names: tuple of interned names
 * or NULL. */
int wr_py_decode_args(wr_py_decoder *decoder, const wr_py_args_head *head, PyObject **out,
                      PyObject **out_names);

/* The value of a sealed object's return; raises what the object raises. `ref` is looked at (its count is
 * taken when a buffer needs one); with loans it belongs to the running task. NULL with an exception;
 * *out_pending: not sealed yet, no exception. */
PyObject *wr_py_value(wr_ref handle, uint32_t index, PyObject *ref, wr_py_loans *loans, bool *out_pending);

PyObject *wr_py_ref_at(PyObject *module, PyObject *const *args,
                       Py_ssize_t count); /* _ref_at(position, index), in pickles */

/* ---- Calls (call.c, function.c, actor.c, signature.c, stream.c) ---- */

typedef struct wr_py_sig wr_py_sig;
extern PyTypeObject *wr_py_sig_type;
/* Where a call goes, in this session. */
typedef struct wr_py_target {
    uint32_t function, port, ring;
    uint32_t generation; /* of the port: which of those that have it one after the other; 0: who has it now */
} wr_py_target;
/* What a call takes along. */
typedef struct wr_py_call_spec {
    wr_py_target to;
    PyObject *sig;   /* a Sig or NULL */
    PyObject *extra; /* bytes or NULL */
    int32_t num_returns, max_retries;
    uint32_t flags, window;
    PyObject *function; /* a RemoteFunction, whose class can be opened anew, or NULL; borrowed */
} wr_py_call_spec;
enum { WR_PY_RETURNS_STREAM = -1, WR_PY_POSITIONAL_MAX = 16 };
/* Checks, encodes, submits; returns what .remote returns. */
PyObject *wr_py_submit(const wr_py_call_spec *spec, PyObject *const *args, Py_ssize_t count, PyObject *names);
/* The same from a tuple and a dict. */
PyObject *wr_py_submit_dict(const wr_py_call_spec *spec, PyObject *args, PyObject *kwargs);
/* 0 if these are a Sig or None and bytes or None, else -1 with TypeError. name, of what: for its text. */
int wr_py_call_parts_check(const char *what, PyObject *name, PyObject *sig, PyObject *extra);

/* The head of RemoteFunction and ActorMethod: how a call is made. The rest of each says where it goes. */
typedef struct wr_py_callable {
    PyObject_HEAD PyObject *dict;
    PyObject *sig;   /* a Sig or NULL */
    PyObject *extra; /* bytes or NULL */
    int num_returns, max_retries;
    unsigned int flags, window;
} wr_py_callable;
#define WR_PY_CALLABLE_MEMBERS                                                                               \
    {"__dictoffset__", T_PYSSIZET, offsetof(wr_py_callable, dict), READONLY, NULL},                          \
        {"_sig", T_OBJECT, offsetof(wr_py_callable, sig), READONLY, NULL},                                   \
        {"_extra", T_OBJECT, offsetof(wr_py_callable, extra), 0, NULL},                                      \
        {"_num_returns", T_INT, offsetof(wr_py_callable, num_returns), 0, NULL},                             \
        {"_max_retries", T_INT, offsetof(wr_py_callable, max_retries), 0, NULL},                             \
        {"_flags", T_UINT, offsetof(wr_py_callable, flags), 0, NULL}, {                                      \
        "_window", T_UINT, offsetof(wr_py_callable, window), 0, NULL                                         \
    }
/* Parts of tp_traverse and tp_clear. */
int wr_py_callable_traverse(PyObject *callable, visitproc visit, void *arg);
void wr_py_callable_clear(PyObject *callable);
/* New object of the same type: its head filled in (dict copied), the rest 0. */
PyObject *wr_py_callable_clone(PyObject *callable);
/* What .remote(...) and ._submit(args, kwargs) do. */
PyObject *wr_py_callable_remote(const wr_py_callable *callable, const wr_py_target *to, PyObject *const *args,
                                Py_ssize_t count, PyObject *names);
PyObject *wr_py_callable_submit(const wr_py_callable *callable, const wr_py_target *to, PyObject *args);

/* The class of a RemoteFunction was closed since it was bound to *to: binds it anew. 0, or -1 with an exception. */
int wr_py_function_rebind(PyObject *function, wr_py_target *to);

/* Checks a call. out[WR_PY_POSITIONAL_MAX]: when the keywords fill the next positions, all values in order
 * and their number in *out_count (else -1). 0, or -1 with TypeError. */
int wr_py_sig_check(PyObject *sig, PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject **out,
                    Py_ssize_t *out_count);

extern PyTypeObject *wr_py_generator_type;
/* For wait: 1: the next item is not known yet, 0: it is, or there is none, -1 with an exception. */
int wr_py_generator_pending(PyObject *generator);
/* The session ends: closes what is open. */
void wr_py_generators_shut(void);

/* ---- Worker (task.c, children.c, worker.c) ---- */

typedef struct wr_py_task {
    PyObject_HEAD wr_task task;
    wr_py_loans loans;
    wr_py_args_head head;
    PyObject *extra; /* decoded, or NULL */
    uint32_t session;
    bool head_read, sealed, abandoned;
    bool readable;            /* the arguments are still lent */
    struct wr_py_task *outer; /* what this thread ran before */
    wr_ref *children;         /* what it submitted, for a recursive cancel: handles without a count */
    uint32_t child_count, child_limit, child_capacity;
    struct wr_py_task *next_parent,
        **parent_link; /* among the running tasks with children; NULL: not there */
} wr_py_task;
extern PyTypeObject *wr_py_task_type;
/* Decoded arguments in a vector with one free place before it. */
enum { WR_PY_STACK_ARGS = 32 };
typedef struct wr_py_args {
    PyObject *stack[WR_PY_STACK_ARGS + 1];
    PyObject **values; /* behind the free place */
    PyObject *names;
    uint32_t positional, total;
} wr_py_args;
/* task_args.c: the head alone, once; the arguments, which wr_py_args_free drops. 0, or -1 with an exception. */
int wr_py_task_head(wr_py_task *task);
int wr_py_task_args(wr_py_task *task, wr_py_args *out);
void wr_py_args_free(wr_py_args *args);
/* The task this thread runs, or NULL. */
wr_py_task *wr_py_task_current(void);
/* The task that the worker runs, seen from any of its threads; NULL where there may be several (lanes, coroutines). */
wr_py_task *wr_py_task_of_worker(void);
/* From now on (true) the calling thread alone runs tasks, until it says that it does not. With the GIL. */
void wr_py_task_thread_is(bool this_one);
/* The running task (of this thread, of its coroutine, or of the worker) submitted `child`. Nothing is held: a handle whose
 * object is gone is one that is done. O(1), amortized; forgotten when there is no memory. */
void wr_py_task_note_child(wr_ref child);
/* The task is done, or another begins in the same object. */
void wr_py_task_forget_children(wr_py_task *task);

enum { WR_PY_RAN = 0, WR_PY_LEFT = -1 };
/* Calls the task's function and seals it: WR_PY_RAN. With `out` a coroutine or async generator is handed out
 * instead of being sealed. WR_PY_LEFT with an exception: SystemExit, the task is unsealed and abandoned. */
int wr_py_task_run(wr_py_task *task, PyObject **out);
/* Seals with a value (consumed) or, value NULL, with the present exception. true: sealed or given back. */
bool wr_py_task_finish(wr_py_task *task, PyObject *value);
static inline bool wr_py_task_is_live(const wr_py_task *task) {
    return task->session == wr_py.session && wr_py.client != NULL;
}
/* Seals one item of a stream: 0 done, 1 no room yet (without `wait`), 2 the consumer is gone, -1 exception.
 */
int wr_py_task_yield(wr_py_task *task, PyObject *value, bool wait);
/* Drives a generator (consumed) to its end: what the task returns then (None), or NULL with an exception. */
PyObject *wr_py_task_drive(wr_py_task *task, PyObject *made);
bool wr_py_is_async(PyObject *result); /* a coroutine or an async generator: an event loop has to drive it */
bool wr_py_is_generator(PyObject *result);
/* What a generator (consumed) of no stream returns: its first value, or the list of all. NULL with an exception. */
PyObject *wr_py_task_drained(const wr_py_task *task, PyObject *generator);
wr_py_task *wr_py_task_new(void);
void wr_py_task_reset(wr_py_task *task); /* for a new claim in the same object */
/* The functions that a worker knows (worker.c): the callable, borrowed; loaded at first. NULL with an
 * exception. */
PyObject *wr_py_function_of(uint32_t function);
/* New string: its name, or "function N" of one that could not be loaded. */
PyObject *wr_py_function_name(uint32_t function);
/* Counts a call of it; true: its max_calls is reached. */
bool wr_py_function_used(uint32_t function);
void wr_py_functions_clear(void);

/* ---- Calls that are refused (call.c) ---- */

/* tp_call of what is called by .remote only: raises what the hook call_refused makes. */
PyObject *wr_py_call_refused(PyObject *self, PyObject *args, PyObject *kwargs);

/* ---- Arguments of fast calls (wait.c) ---- */

/* The keyword argument `name`, or NULL; counts what was found, for wr_py_no_others. */
PyObject *wr_py_keyword(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *name,
                        Py_ssize_t *found);
/* 0 if that were all keywords, else -1 with TypeError. */
int wr_py_no_others(const char *function, PyObject *names, Py_ssize_t found);

/* ---- Types and functions of each file, for module.c ---- */

/* Calls with a vector; args[-1] may be written to. */
PyObject *wr_py_vector_call(PyObject *callable, PyObject **args, Py_ssize_t positional, PyObject *names);
/* type(spec) into *out and as an attribute of the module. 0, or -1. */
int wr_py_add_type(PyObject *module, const char *name, PyType_Spec *spec, PyTypeObject **out);
void wr_py_free_object(PyObject *object); /* the end of a dealloc: frees, drops the type */

int wr_py_session_add(PyObject *module);
int wr_py_ref_add(PyObject *module);
int wr_py_sink_add(PyObject *module);
int wr_py_encode_add(PyObject *module);
int wr_py_decode_add(PyObject *module);
int wr_py_signature_add(PyObject *module);
int wr_py_call_add(PyObject *module);
int wr_py_function_add(PyObject *module);
int wr_py_actor_add(PyObject *module);
int wr_py_stream_add(PyObject *module);
int wr_py_wait_add(PyObject *module);
int wr_py_put_add(PyObject *module);
int wr_py_task_add(PyObject *module);
int wr_py_children_add(PyObject *module);
int wr_py_worker_add(PyObject *module);
int wr_py_record_add(PyObject *module);
int wr_py_forks_add(PyObject *module);

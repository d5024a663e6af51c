/* include/whipray/whipray.h: Whipray's public C API: everything that a driver or a worker does.
 *
 * A *client* is this process's place in a node: a mapping of the node's pool and one Unix socket to its
 * raylet. Values, tasks and actor calls travel through the mapping; what happens rarely (names, classes,
 * actors, placement groups, KV) are control calls over the socket (wr_client_call, whipray/record.h).
 *
 * A *ref* names an object, and the task that makes it; 0 is none. Each ref that a function hands out
 * carries one count, which its holder gives back by wr_unref. An object lives while anybody counts it.
 *
 * Threads. Functions marked [books] change the client's private books: their callers hold one lock of
 * their own around all of them (the Python extension: the GIL). Functions marked [look] only look at the
 * pool: any thread, at any time, without that lock. Nothing here waits without bound: waits end after at
 * most their timeout, and the blocking ones return WR_E_INTERRUPTED every 100 ms at the latest, so that the
 * caller can look at signals and call again.
 *
 * After fork(): the child must call wr_client_forked before anything else; from then on every call fails
 * with WR_E_STATE and refs drop without effect.
 *
 * Costs (one core, warm): submit 60 ns, put of a small value 50 ns, look at a ref 2 ns.
 */
#ifndef WHIPRAY_WHIPRAY_H
#define WHIPRAY_WHIPRAY_H

#include "whipray/status.h"

WR_BEGIN_DECLS

typedef uint64_t wr_ref;
typedef struct wr_client wr_client;

/* ---- Values ------------------------------------------------------------------------------------------
 * A value is a stream of bytes that its codec understands, the refs named inside it, and large buffers
 * that lie beside it, each aligned to 64 bytes. Whipray does not look into the stream. */

typedef struct wr_buffer {
    const void *data;
    uint64_t bytes;
} wr_buffer;

/* A value on its way into the pool; all borrowed for the call. */
typedef struct wr_value {
    const uint8_t *stream;
    uint64_t stream_bytes;
    const wr_ref *refs; /* named in the value; the object pins them */
    uint32_t ref_count;
    uint32_t buffer_count;
    const wr_buffer *buffers;
} wr_value;

typedef enum wr_kind {
    WR_KIND_PENDING = 0,      /* not there yet */
    WR_KIND_VALUE = 1,        /* the codec's stream */
    WR_KIND_ERROR = 2,        /* an application error: the codec's stream, which wr_get raises */
    WR_KIND_SYSTEM_ERROR = 3, /* Whipray's own: read it with wr_view_error */
    WR_KIND_VALUES = 4,       /* several returns of one task: wr_view_item */
} wr_kind;

/* A value as it lies in the pool; lent while the object is counted. Offsets and sizes were checked against
 * the pool when the view was made; the stream itself is whatever its writer wrote. */
typedef struct wr_view {
    wr_kind kind;
    uint32_t buffer_count;
    uint32_t ref_count;
    uint32_t item_count; /* with WR_KIND_VALUES */
    const uint8_t *stream;
    uint64_t stream_bytes;
    const uint8_t *base;     /* of the block; NULL when the value is inline */
    const uint64_t *buffers; /* buffer_count pairs {offset from base, bytes}: read through wr_view_buffer */
    const wr_ref *refs;
    uint8_t inline_bytes[48]; /* where stream points when the value is inline: do not copy such a view */
    uint64_t block_bytes;     /* of the block, as checked; 0 when the value is inline */
} wr_view;

/* [look] Data and size of a buffer of the view; false: no such buffer, or out of bounds (hostile bytes). */
WR_API bool wr_view_buffer(const wr_view *view, uint32_t index, const uint8_t **out, uint64_t *out_bytes);
/* [look] The item'th value of WR_KIND_VALUES as a view of its own. false: no such item. */
WR_API bool wr_view_item(const wr_view *view, uint32_t item, wr_view *out);
/* [look] The error that a WR_KIND_SYSTEM_ERROR carries. */
WR_API void wr_view_error(const wr_view *view, wr_error *out);

/* ---- Connection --------------------------------------------------------------------------------------- */

typedef enum wr_client_kind {
    WR_CLIENT_DRIVER = 1, /* has a slot; its job ends with it */
    WR_CLIENT_WORKER = 2, /* has a slot; was started by the raylet, with a cookie */
    WR_CLIENT_TOOL = 3,   /* control calls only: no slot, no pool */
} wr_client_kind;

typedef struct wr_client_opts {
    wr_client_kind kind;
    const char *socket_path; /* the raylet's Unix socket */
    const char *token;       /* of the cluster; required */
    const uint8_t *hello; /* packed record: fields of op "hello" that this caller adds (job, cookie, ...) */
    uint64_t hello_bytes;
    uint64_t spin_ns;    /* how long waits spin before they sleep; 0: 50 us */
    uint64_t timeout_ns; /* to connect and be welcomed; 0: 10 s */
} wr_client_opts;

/* Connects, says hello, maps the pool. Blocks up to timeout_ns.
 * Fails: UNAVAILABLE (nobody listens), UNAUTHENTICATED (token), DENIED (another user's socket), VERSION
 * (layout or protocol), LIMIT (no slot left), TIMEOUT, NO_MEMORY, PROTOCOL. */
WR_API WR_MUST_USE wr_status wr_client_open(const wr_client_opts *opts, wr_client **out, wr_error *err);
/* [books] Says goodbye and unmaps: refs and views of this client are void. Accepts NULL. */
WR_API void wr_client_close(wr_client *client);
/* [books] Says goodbye, and leaves the mapping: from then on calls fail with STATE, refs drop without effect,
 * and views stay readable (but not unchanged: their memory may get another owner) until wr_client_close. */
WR_API void wr_client_leave(wr_client *client);
WR_API void wr_client_forked(wr_client *client);
/* [books] Called while a function with books waits for room, under the caller's lock: twice before the first
 * sleep, then every 2 ms or sooner. false gives up: the function then fails with INTERRUPTED, and may be called again
 * once the caller has let others at its lock. NULL: none. */
WR_API void wr_client_on_wait(wr_client *client, bool (*on_wait)(void *arg), void *arg);
/* [books] The next calls go on with a wait that on_wait gave up: waited_ns of their 10 s are over. 0: they are
 * new ones. */
WR_API void wr_client_waited(wr_client *client, uint64_t waited_ns);

/* The packed record that answered "hello" (slot, epoch, job, node_id, worker_id, session_dir, ...); lent
 * while the client is open. */
WR_API const uint8_t *wr_client_welcome(const wr_client *client, uint64_t *out_bytes);

/* A control call: op and fields of engine/local/protocol.h. Any thread: calls queue up on a lock of their
 * own. Blocks until the reply, timeout_ns (0: 60 s) or the raylet's end. *out is malloc'ed, freed by
 * wr_bytes_free. Fails: what the raylet answered; RAYLET_DIED, TIMEOUT, INTERRUPTED never (it goes on by
 * itself). */
WR_API WR_MUST_USE wr_status wr_client_call(wr_client *client, const char *op, const uint8_t *request,
                                            uint64_t request_bytes, uint64_t timeout_ns, uint8_t **out,
                                            uint64_t *out_bytes, wr_error *err);
/* The same in steps: without an answer within patience_ns it returns AGAIN, and *wait (zeroed before the first step)
 * says pending: then it must be called again, by whichever thread, with the same arguments but patience_ns
 * (UINT64_MAX: until timeout_ns), until it is not. Other calls wait for it meanwhile. */
typedef struct wr_call_wait {
    uint64_t deadline_ns, request; /* the core's */
    bool pending;
} wr_call_wait;
WR_API WR_MUST_USE wr_status wr_client_call_wait(wr_client *client, const char *op, const uint8_t *request,
                                                 uint64_t request_bytes, uint64_t timeout_ns,
                                                 uint64_t patience_ns, wr_call_wait *wait, uint8_t **out,
                                                 uint64_t *out_bytes, wr_error *err);
WR_API void wr_bytes_free(uint8_t *bytes);

/* [look] OK, RAYLET_DIED (socket hung up, pool poisoned) or STATE (forked, closed). */
WR_API wr_status wr_client_health(const wr_client *client);
/* [look] The same; err: what ended it, as far as the raylet could say. */
WR_API wr_status wr_client_why(const wr_client *client, wr_error *err);

/* ---- Objects ------------------------------------------------------------------------------------------ */

/* [books] Stores a value. May wait up to 10 s for room (it calls `on_wait`, if set, meanwhile: see
 * wr_client_on_wait). Fails: OBJECT_STORE_FULL (the text has the figures), RAYLET_DIED, STATE, INVALID. */
WR_API WR_MUST_USE wr_status wr_put(wr_client *client, const wr_value *value, wr_ref *out, wr_error *err);
/* The same for a value of another kind (WR_KIND_ERROR: an object that raises). */
WR_API WR_MUST_USE wr_status wr_put_kind(wr_client *client, wr_kind kind, const wr_value *value, wr_ref *out,
                                         wr_error *err);

/* [look] PENDING, or the kind of the sealed object. ~2 ns. */
WR_API wr_kind wr_peek(const wr_client *client, wr_ref ref);
/* [look] The sealed object's view. Fails: STATE (pending), UNSUPPORTED (spilled, device, remote), CORRUPT,
 * NOT_FOUND. */
WR_API WR_MUST_USE wr_status wr_view_get(const wr_client *client, wr_ref ref, wr_view *out, wr_error *err);

/* [books] One count more, one less. The ref must be counted by this process when wr_addref is called. */
WR_API void wr_addref(wr_client *client, wr_ref ref);
WR_API void wr_unref(wr_client *client, wr_ref ref);
/* [books] First count of a ref that came from elsewhere: out of an argument of the running task or out of a
 * container that is still held. Tells the raylet; must happen before the task is sealed, or the container is
 * dropped. */
WR_API void wr_borrow(wr_client *client, wr_ref ref);
/* [books] The raylet will be told of this ref by a control call (function_export, actor_create): from now on
 * it is not freed behind the raylet's back. While it is counted here, before the call. wr_submit does it for
 * WR_CALL_PARKED. */
WR_API void wr_share(wr_client *client, wr_ref ref);
/* [books] A task of this process was seen to be done: its arguments are no longer pinned from now on, instead
 * of until its result's last count. Without effect on anything else. A few ns when there are none. */
WR_API void wr_settle(wr_client *client, wr_ref ref);
/* [look] Whether the ref could be one: index in range and generation alive. */
WR_API bool wr_ref_valid(const wr_client *client, wr_ref ref);
/* 28-byte object id of a ref's return `index`, and back (false: another node's or another session's). */
WR_API void wr_ref_id(const wr_client *client, wr_ref ref, uint32_t index, uint8_t out[28]);
WR_API bool wr_ref_from_id(const wr_client *client, const uint8_t id[28], wr_ref *out, uint32_t *out_index);

/* [look] Waits for one object: spins, then sleeps. OK: sealed. TIMEOUT: timeout_ns passed (UINT64_MAX: no
 * limit). INTERRUPTED: a signal, or 100 ms of sleep: look at signals, call again (it may also come sooner).
 * NOT_FOUND: no such object. RAYLET_DIED, STATE. */
WR_API wr_status wr_wait(wr_client *client, wr_ref ref, uint64_t timeout_ns);
/* [look] Waits until at least `enough` of the refs are sealed; statuses as wr_wait. *out_ready: how many. */
WR_API wr_status wr_wait_many(wr_client *client, const wr_ref *refs, uint32_t count, uint32_t enough,
                              uint64_t timeout_ns, uint32_t *out_ready);
/* [look] A short spin only: true when sealed within spin_ns. For callers that hold their lock meanwhile. */
WR_API bool wr_spin(wr_client *client, wr_ref ref, uint64_t spin_ns);
/* [books] Marks this process as blocked in a wait inside a task (its CPU may be lent out), and as back. Nest.
 */
WR_API void wr_blocked_begin(wr_client *client);
WR_API void wr_blocked_end(wr_client *client);

/* ---- Calls --------------------------------------------------------------------------------------------- */

enum {
    WR_CALL_STREAM = 1u << 0, /* a generator: items are consumed through wr_stream_next */
    WR_CALL_PARKED = 1u << 1, /* an actor's constructor: not queued; the actor's worker finds it by its ref */
    WR_CALL_RETRY_ERRORS = 1u << 2, /* application errors count against max_retries, too */
};

/* A task or an actor call. port, ring and generation come from control calls ("class_open", "actor_create",
 * "actor_find", "port_open"). Ports are used again after what had them is gone: generation says which of them is
 * meant. */
typedef struct wr_call {
    uint32_t port, ring;
    uint32_t generation; /* 0: whatever has the port now (a class's port that is given back fails the call) */
    uint32_t function;   /* number from "function_export", or a method index with WR_METHOD set */
    uint32_t flags;      /* WR_CALL_* */
    int32_t max_retries; /* -1: endless */
    uint32_t ref_count;  /* top-level reference arguments: waited for before the task runs */
    const wr_ref *refs;
    wr_value args;          /* args.refs: nested ones, pinned but not waited for */
    uint32_t stream_window; /* WR_CALL_STREAM: unread items at most, then the producer waits; 0: no limit */
} wr_call;
#define WR_METHOD 0x80000000u

/* [books] Submits. The ref is the task's result. Never blocks while memory is there.
 * Fails: OBJECT_STORE_FULL, RAYLET_DIED, ACTOR_DIED (the port is dead, or the actor's no more: the text says why), INVALID
 * (also a class's port that is closed), NOT_FOUND (the class's port was closed since it had that generation: nothing was
 * submitted; class_open gives the present port, and the call is to be made again with that), STATE. An actor that ends while
 * this runs: OK, and the result is an error ACTOR_DIED. In no case does the call reach another actor. */
WR_API WR_MUST_USE wr_status wr_submit(wr_client *client, const wr_call *call, wr_ref *out, wr_error *err);

/* [books] Cancels a task that was submitted here. Queued or waiting: it ends as TaskCancelled, OK. Running:
 * NOT stopped here; *out_slot and *out_epoch say who runs it (the caller asks by op "cancel"), status STATE.
 * Done: NOT_FOUND. */
WR_API wr_status wr_cancel(wr_client *client, wr_ref ref, uint32_t *out_slot, uint32_t *out_epoch);

/* [books] Queues what overflowed a full ring as far as there is room (true: something is left), takes in
 * what the raylet sent (freed objects), and lets the producers of open streams without a limit go on (true:
 * one of them did). Submits and wr_blocked_begin do the first two, too; a caller that goes idle should call it
 * every 100 ms, one that waits while it says true every few milliseconds. */
WR_API bool wr_flush(wr_client *client);

/* Streams, consumer side. Each generator that was submitted is opened once (its window is kept for that),
 * best at once: it yields nothing before. Without a limit it goes on though nobody reads, as long as this
 * process calls wr_stream_next or wr_flush. [books] The next item as a ref (sealed): its index is *out_index.
 * OK; NOT_FOUND: the stream ended before this item (the generator's own ref is sealed then: a value is the
 * end, an error is one more item, which the caller hands out once); AGAIN: not known yet - wait for it with
 * wr_stream_wait. */
typedef struct wr_stream wr_stream;
WR_API WR_MUST_USE wr_status wr_stream_open(wr_client *client, wr_ref generator, wr_stream **out,
                                            wr_error *err);
WR_API WR_MUST_USE wr_status wr_stream_next(wr_stream *stream, wr_ref *out, uint64_t *out_index);
/* [look] Waits until wr_stream_next would not say AGAIN; statuses as wr_wait. */
WR_API wr_status wr_stream_wait(wr_stream *stream, uint64_t timeout_ns);
/* [books] Drops unread items and stops the producer; accepts NULL. Before wr_client_close. */
WR_API void wr_stream_close(wr_stream *stream);

/* ---- Worker side ----------------------------------------------------------------------------------------
 */

typedef struct wr_task {
    wr_ref ref;
    uint32_t function, flags, attempt;
    int32_t max_retries;
    uint32_t ref_count; /* top-level reference arguments, in the order of wr_call.refs */
    const wr_ref *refs; /* lent until the task is sealed */
    wr_view args;       /* lent until the task is sealed */
    uint32_t lane;      /* which of this worker's claims it is */
    uint32_t port;
    uint32_t caller_slot;
    void *stream; /* producer's state with WR_CALL_STREAM */
} wr_task;

typedef enum wr_next {
    WR_NEXT_TASK,       /* *out is claimed by this worker: it must be sealed, retried or given up by exit */
    WR_NEXT_NONE,       /* nothing now */
    WR_NEXT_ASSIGNMENT, /* the assignment changed: call op "assignment", then wr_worker_assigned, then go on */
    WR_NEXT_EXIT,       /* the raylet wants this worker to end (drained) */
    WR_NEXT_DEAD,       /* the raylet has died */
} wr_next;

/* [books] Takes the next task of the assigned port, on lane `lane` (0 .. 1022; one task in flight per lane),
 * no waiting. A lane whose task is not done gets NONE; a lane whose task an actor retries (wr_task_retry)
 * gets that task first. */
WR_API wr_next wr_worker_next(wr_client *client, uint32_t lane, wr_task *out);
/* [books] Says which assignment word the answer of op "assignment" was about (its field "word"). The raylet may have
 * decided anew between the word that this worker saw and its answer: without this the worker would take the same
 * assignment twice. */
WR_API void wr_worker_assigned(wr_client *client, uint32_t word);
/* [books] Claims one given task (an actor's parked constructor). OK; AGAIN: arguments not ready; STATE:
 * sealed already
 * (*out is still filled: an actor that starts again reads its arguments). */
WR_API wr_status wr_worker_claim(wr_client *client, uint32_t lane, wr_ref ref, wr_task *out);
/* [look] Waits until wr_worker_next may have something: spins up to spin_ns, then sleeps at most 100 ms. */
WR_API void wr_worker_idle(wr_client *client, uint64_t spin_ns);
/* [books] A value's refs must be announced while the value still lives: call this, drop the value, end the
 * loans, then seal. */
WR_API WR_MUST_USE wr_status wr_task_result(wr_client *client, wr_task *task, wr_kind kind,
                                            const wr_value *values, uint32_t value_count, wr_error *err);
/* [books] Publishes what wr_task_result stored. false: the claim was taken away meanwhile (cancelled by
 * force). */
WR_API bool wr_task_seal(wr_client *client, wr_task *task);
/* [books] Seals with an error of Whipray's own. */
WR_API bool wr_task_fail(wr_client *client, wr_task *task, const wr_error *error);
/* [books] Gives the task back to be run again, attempt + 1: a class's task to whoever takes it next, an
 * actor's call to its own lane, before all later calls of that lane. false: no retries left, or taken away:
 * seal it. */
WR_API bool wr_task_retry(wr_client *client, wr_task *task);
/* [look] The task that somebody asked this worker to cancel; 0: none. */
WR_API wr_ref wr_worker_cancel_wanted(const wr_client *client);
/* Streams, producer side. [books] Seals the next item. OK; AGAIN: no credit yet, wait with wr_task_yield_wait
 * [look]; CANCELLED: the consumer is gone or dropped the stream: stop the generator. Items that were read
 * before a retry are skipped (OK without effect). Where the item cannot be stored it becomes that error, CANCELLED for
 * INTERRUPTED (see wr_client_on_wait). */
WR_API WR_MUST_USE wr_status wr_task_yield(wr_client *client, wr_task *task, wr_kind kind,
                                           const wr_value *value, wr_error *err);
WR_API wr_status wr_task_yield_wait(wr_client *client, wr_task *task, uint64_t timeout_ns);

/* ---- Counters and C functions ---------------------------------------------------------------------------
 */

typedef struct wr_counters { /* of this process since it attached */
    uint64_t tasks_submitted, tasks_executed, actor_calls_submitted, actor_calls_executed;
    uint64_t objects_put, bytes_put, objects_sealed, bytes_sealed;
} wr_counters;
WR_API void wr_client_counters(const wr_client *client, wr_counters *out);

/* A C function as a task: args and result are plain bytes (stream), result by wr_c_return. */
typedef struct wr_c_call wr_c_call;
typedef wr_status (*wr_c_function)(wr_c_call *call, const uint8_t *args, uint64_t arg_bytes, wr_error *err);
WR_API WR_MUST_USE wr_status wr_c_return(wr_c_call *call, const void *bytes, uint64_t count, wr_error *err);
/* Registers name in this process. A library of C functions exports `void whipray_register(void)` that calls
 * this; the driver names the library in its job ("libraries"), and C workers load it. Fails: EXISTS, INVALID.
 */
WR_API WR_MUST_USE wr_status wr_c_register(const char *name, wr_c_function function, wr_error *err);
/* [books] Submits a C function by name with plain bytes; target class: one CPU. */
WR_API WR_MUST_USE wr_status wr_c_submit(wr_client *client, const char *name, const void *args,
                                         uint64_t arg_bytes, wr_ref *out, wr_error *err);
/* Runs this process as a C worker until the raylet ends it; the program's main() returns its result. */
WR_API int wr_c_worker_main(int argc, char **argv);

/* The version of this build, "0.1.0": a static string. */
WR_API const char *wr_version(void);

WR_END_DECLS
#endif

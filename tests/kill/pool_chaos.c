/* tests/kill/pool_chaos.c: SIGKILL at random moments under load: real processes over one pool, the raylet in
 * the parent.
 *
 * pool_chaos SECONDS SEED. Two drivers submit a mixed load and check every value; three workers and an actor
 * run it. The parent kills one of them every few milliseconds (never the first driver), reaps it and starts
 * another. At the end all must be as at the beginning: no row, candidate, orphan, pair or extent is left. The
 * seed decides who is killed and what is submitted; the moments are the machine's.
 */
#include "base/clock.h"
#include "shm/keeper.h"
#include "shm/layout.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { DRIVER_1, DRIVER_2, WORKER_1, WORKER_2, WORKER_3, ACTOR, ROLES };
enum {
    KIND_VALUE = 1,
    KIND_ERROR = 2,
    BATCH_MAX = 100,
    SPIN_NS = 20000,
    WINDOW = 4,
    ENDLESS = 255,
    KEPT_VALUE = 12345
};
enum { STALL_SECONDS = 10, RESULT_BYTES = 3000 };

typedef enum task {
    TASK_TRIPLE, /* u32 x: 3 x + 1 */
    TASK_SUM,    /* references: 1 + the sum of their values */
    TASK_KEEP,   /* keeps its argument until the next; KEPT_VALUE */
    TASK_NEST,   /* a handle of a fresh object of value 77 */
    TASK_HEAP,   /* u32 x: a block of value x */
    TASK_CALL,   /* actor: u32 id, driver: id; out of order: UINT32_MAX */
    TASK_ITEMS,  /* generator of as many items as its block's value says: 100 + k */
} task;

/* What all processes share beside the pool. */
static struct shared {
    _Atomic uint64_t checked, errors, faults;
    _Atomic uint32_t stop;
} *shared;

/* One process: what it inherits by the fork, and its half. */
static struct self {
    uint32_t slot, epoch, ring[2], incarnation;
    uint16_t port, actor_port;
    wr_pool *pool;
    wr_proc *proc;
    uint64_t random;
    wr_handle kept;
} self;

static void fault(const char *fmt, ...) WR_PRINTF(1, 2);
static void fault(const char *fmt, ...) {
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (atomic_fetch_add(&shared->faults, 1) < 20) {
        fprintf(stderr, "FAULT slot %u: %s\n", self.slot, text);
    }
}

static uint32_t roll(uint32_t below) {
    self.random ^= self.random << 13;
    self.random ^= self.random >> 7;
    self.random ^= self.random << 17;
    return (uint32_t)(self.random >> 20) % below;
}

static bool stopping(void) {
    return atomic_load_explicit(&shared->stop, memory_order_relaxed) != 0;
}

static void must(wr_status status, const char *what, const wr_error *err) {
    if (status != WR_OK && !stopping()) {
        fault("%s: %s (%s)", what, wr_status_name(status), err->text);
        _exit(1);
    }
    if (status != WR_OK) {
        _exit(0);
    }
}

/* ---- Values ---- */

static wr_result value_result(const void *bytes, uint32_t count) {
    wr_result result = {.kind = KIND_VALUE, .location = WR_AT_INLINE, .bytes = count};
    memcpy(result.inline_bytes, bytes, count);
    return result;
}

static wr_result error_result(void) {
    wr_result result = value_result("lost", 4);
    result.kind = KIND_ERROR;
    return result;
}

/* A block of this process: value, then its low byte up to `stream` bytes. */
static uint64_t block_new(uint32_t value, uint32_t stream, const wr_handle *refs, uint32_t ref_count,
                          uint32_t links, uint32_t window) {
    wr_error err = {0};
    uint64_t bytes = wr_block_size(links, ref_count, 0, NULL, window, stream), offset = 0;
    must(wr_proc_heap_alloc(self.proc, bytes, &offset, &err), "heap_alloc", &err);
    uint8_t *base = wr_pool_heap_write(self.pool, offset, bytes);
    wr_block_header header = {.bytes = bytes,
                              .magic = WR_BLOCK_MAGIC,
                              .link_count = links,
                              .ref_count = ref_count,
                              .stream_bytes = stream,
                              .stream_window = window};
    memset(base, 0, bytes - stream);
    memcpy(base, &header, sizeof header);
    wr_block_view view;
    must(wr_block_open(self.pool, offset, &view, &err), "block_open", &err);
    if (ref_count != 0) {
        memcpy(base + ((const uint8_t *)view.refs - view.base), refs, 8ull * ref_count);
    }
    uint8_t *at = base + (view.stream - view.base);
    memset(at, (uint8_t)value, stream);
    memcpy(at, &value, sizeof value);
    return offset;
}

static bool block_value(uint64_t offset, uint32_t *out, wr_block_view *view) {
    if (wr_block_open(self.pool, offset, view, NULL) != WR_OK || view->header.stream_bytes < sizeof *out) {
        fault("a block is not whole");
        return false;
    }
    memcpy(out, view->stream, sizeof *out);
    for (uint64_t k = sizeof *out; k < view->header.stream_bytes; k++) {
        if (view->stream[k] != (uint8_t)*out) {
            fault("byte %lu of a block of value %u is %u", (unsigned long)k, *out, view->stream[k]);
            return false;
        }
    }
    return true;
}

/* Of a sealed cell that is counted; false: an error. */
static bool read_value(wr_handle handle, uint32_t *out) {
    wr_result result;
    wr_status status = wr_cell_result(self.pool, handle, &result);
    if (status != WR_OK) {
        fault("a value that is counted cannot be read: %s", wr_status_name(status));
        return false;
    }
    if (result.kind != KIND_VALUE) {
        if (result.kind != KIND_ERROR) {
            fault("sealed without a result (kind %u)", result.kind);
        }
        return false;
    }
    if (result.location == WR_AT_HEAP) {
        wr_block_view view;
        return block_value(result.offset, out, &view);
    }
    memcpy(out, result.inline_bytes, sizeof *out);
    return true;
}

/* ---- Workers ---- */

static void seal_value(const wr_claim *claim, uint32_t value) {
    wr_result result = value_result(&value, sizeof value);
    wr_proc_seal(self.proc, claim, &result);
}

static void run_sum(const wr_claim *claim) {
    uint32_t sum = 1, value;
    for (uint32_t k = 0; k < claim->ref_count; k++) {
        wr_handle ref = claim->links != NULL ? claim->links[k].ref : claim->refs[k];
        if (wr_cell_state_of(self.pool, ref) != WR_CELL_SEALED) {
            fault("a task ran whose argument was not sealed");
            return;
        }
        if (!read_value(ref, &value)) {
            wr_result error = error_result();
            wr_proc_seal(self.proc, claim, &error);
            return;
        }
        sum += value;
    }
    seal_value(claim, sum);
}

/* A task of the worker's own on what it holds; nobody waits for it. */
static void submit_nested(wr_handle ref) {
    wr_error err = {0};
    wr_task_spec spec = {.port = self.port,
                         .ring = self.ring[0],
                         .function = TASK_SUM,
                         .max_retries = ENDLESS,
                         .refs = &ref,
                         .ref_count = 1};
    wr_handle handle = 0;
    must(wr_proc_submit(self.proc, &spec, &handle, &err), "nested submit", &err);
    wr_proc_unref(self.proc, handle);
}

static void run_keep(const wr_claim *claim) {
    uint32_t value = 0;
    wr_proc_borrow(self.proc, claim->refs[0]);
    read_value(claim->refs[0], &value);
    if (roll(4) == 0) {
        submit_nested(claim->refs[0]);
    }
    seal_value(claim, value);
    if (self.kept != 0) {
        if (!read_value(self.kept, &value) || value != KEPT_VALUE) {
            fault("a kept object changed to %u", value);
        }
        wr_proc_unref(self.proc, self.kept);
    }
    self.kept = claim->refs[0];
}

static void run_nest(const wr_claim *claim) {
    uint32_t value = 77;
    wr_error err = {0};
    wr_result inner_result = value_result(&value, sizeof value);
    wr_handle inner = 0;
    must(wr_proc_put(self.proc, &inner_result, &inner, &err), "put", &err);
    wr_result result = value_result(&inner, sizeof inner);
    wr_proc_contain(self.proc, claim->handle, &inner, 1);
    wr_proc_seal(self.proc, claim, &result);
    wr_proc_unref(self.proc, inner);
}

/* Of one driver (by incarnation) calls begin in the order in which they were submitted. */
static void run_call(const wr_claim *claim) {
    static struct {
        uint32_t incarnation, id;
    } seen[16];
    uint32_t id, incarnation, slot = claim->caller_slot % WR_COUNT_OF(seen);
    memcpy(&id, claim->args, sizeof id);
    memcpy(&incarnation, claim->args + 4, sizeof incarnation);
    if (seen[slot].incarnation != incarnation) {
        seen[slot].incarnation = incarnation;
        seen[slot].id = 0;
    }
    bool late = id <= seen[slot].id;
    seen[slot].id = id;
    seal_value(claim, late ? UINT32_MAX : id);
}

static void run_items(const wr_claim *claim) {
    uint32_t count = 0;
    wr_block_view view;
    if (!block_value(claim->block, &count, &view)) {
        return;
    }
    for (uint32_t k = 0; k < count && !stopping();) {
        wr_claim item;
        wr_status status = wr_proc_credit_claim(self.proc, claim, 1, k, &item);
        if (status == WR_E_AGAIN) {
            wr_proc_credit_wait(self.proc, claim, k, 20000000);
            continue;
        }
        if (status == WR_E_CANCELLED) {
            wr_result error = error_result();
            wr_proc_seal(self.proc, claim, &error);
            return;
        }
        if (status == WR_OK) {
            seal_value(&item, 100 + k);
        } else if (status != WR_E_STATE) {
            fault("credit_claim: %s", wr_status_name(status));
        }
        k++;
    }
    seal_value(claim, count);
}

static void run_task(const wr_claim *claim) {
    uint32_t x = 0;
    if (claim->max_retries == ENDLESS && claim->attempt == 0 && claim->port == self.port && roll(32) == 0 &&
        wr_proc_give_back(self.proc, claim, self.ring[0])) {
        return; /* another runs it */
    }
    switch ((task)claim->function) {
    case TASK_TRIPLE:
        memcpy(&x, claim->args, sizeof x);
        seal_value(claim, 3 * x + 1);
        break;
    case TASK_HEAP: {
        memcpy(&x, claim->args, sizeof x);
        wr_result result = {.kind = KIND_VALUE, .location = WR_AT_HEAP};
        result.offset = block_new(x, RESULT_BYTES, NULL, 0, 0, 0);
        wr_proc_seal(self.proc, claim, &result);
        break;
    }
    case TASK_SUM:
        run_sum(claim);
        break;
    case TASK_KEEP:
        run_keep(claim);
        break;
    case TASK_NEST:
        run_nest(claim);
        break;
    case TASK_CALL:
        run_call(claim);
        break;
    case TASK_ITEMS:
        run_items(claim);
        break;
    default:
        fault("a task of function %u was taken", claim->function);
    }
}

static void work(void) {
    wr_claim claim;
    for (uint32_t done = 0; !stopping(); done++) {
        if (wr_proc_take(self.proc, 0, &claim)) {
            if (claim.attempt > claim.max_retries) {
                fault("attempt %u of a task that has %u retries", claim.attempt, claim.max_retries);
            }
            run_task(&claim);
        } else {
            wr_proc_poll(self.proc);
            wr_proc_idle(self.proc, 0);
        }
    }
}

/* ---- Drivers ---- */

static wr_handle submit(task function, bool to_actor, const void *args, uint8_t arg_bytes,
                        const wr_handle *refs, uint32_t ref_count, uint8_t max_retries) {
    wr_error err = {0};
    wr_task_spec spec = {
        .port = to_actor ? self.actor_port : self.port,
        .ring = self.ring[to_actor],
        .function = function,
        .max_retries = max_retries,
        .args = args,
        .arg_bytes = arg_bytes,
        .refs = refs,
        .ref_count = ref_count,
    };
    if (ref_count > WR_CELL_LINKS) {
        spec.block = block_new(0, 64, NULL, 0, ref_count, 0);
    }
    wr_handle handle = 0;
    must(wr_proc_submit(self.proc, &spec, &handle, &err), "submit", &err);
    return handle;
}

static wr_handle put(uint32_t value, bool heap) {
    wr_error err = {0};
    wr_result result = value_result(&value, sizeof value);
    if (heap) {
        result = (wr_result){.kind = KIND_VALUE, .location = WR_AT_HEAP};
        result.offset = block_new(value, RESULT_BYTES, NULL, 0, 0, 0);
    }
    wr_handle handle = 0;
    must(wr_proc_put(self.proc, &result, &handle, &err), "put", &err);
    return handle;
}

/* Waits; ends the process when all end. true: a value. */
static bool get(wr_handle handle, bool may_fail, uint32_t *out) {
    for (;;) {
        wr_status status = wr_proc_wait(self.proc, handle, WR_SLEEP_MAX_NS, SPIN_NS);
        if (status == WR_OK) {
            break;
        }
        wr_proc_poll(self.proc);
        if (stopping()) {
            _exit(0);
        }
    }
    if (read_value(handle, out)) {
        atomic_fetch_add_explicit(&shared->checked, 1, memory_order_relaxed);
        return true;
    }
    atomic_fetch_add_explicit(&shared->errors, 1, memory_order_relaxed);
    if (!may_fail) {
        fault("a task with endless retries ended in an error");
    }
    return false;
}

/* The value must be this; drops the handle. */
static void expect(wr_handle handle, uint32_t value, bool may_fail, const char *what) {
    uint32_t found;
    if (get(handle, may_fail, &found) && found != value) {
        fault("%s: %u, not %u", what, found, value);
    }
    wr_proc_unref(self.proc, handle);
}

static void load_triples(uint32_t n) {
    wr_handle handles[BATCH_MAX];
    uint32_t x[BATCH_MAX];
    for (uint32_t k = 0; k < n; k++) {
        x[k] = roll(1 << 16);
        handles[k] = submit(TASK_TRIPLE, false, &x[k], sizeof x[k], NULL, 0, 3);
    }
    for (uint32_t k = 0; k < n; k++) {
        expect(handles[k], 3 * x[k] + 1, true, "triple");
    }
}

static void load_chain(uint32_t n) {
    wr_handle last = put(5, roll(2) != 0);
    for (uint32_t k = 0; k < n; k++) {
        wr_handle next = submit(TASK_SUM, false, NULL, 0, &last, 1, ENDLESS);
        wr_proc_unref(self.proc, last);
        last = next;
    }
    expect(last, 5 + n, false, "chain");
}

static void load_joined(uint32_t n) { /* one task that waits for n others, twice */
    wr_handle handles[2 * BATCH_MAX] = {0};
    uint32_t sum = 1;
    for (uint32_t k = 0; k < n; k++) {
        handles[k] = handles[n + k] = submit(TASK_TRIPLE, false, &k, sizeof k, NULL, 0, ENDLESS);
        sum += 2 * (3 * k + 1);
    }
    wr_handle joined = submit(TASK_SUM, false, NULL, 0, handles, 2 * n, ENDLESS);
    for (uint32_t k = 0; k < n; k++) {
        wr_proc_unref(self.proc, handles[k]);
    }
    expect(joined, sum, false, "joined");
}

static void load_kept(uint32_t n) {
    wr_handle handles[BATCH_MAX];
    for (uint32_t k = 0; k < n; k++) {
        wr_handle object = put(KEPT_VALUE, k % 8 == 0);
        handles[k] = submit(TASK_KEEP, false, NULL, 0, &object, 1, ENDLESS);
        wr_proc_unref(self.proc, object);
    }
    for (uint32_t k = 0; k < n; k++) {
        expect(handles[k], KEPT_VALUE, false, "kept");
    }
}

static void load_nested(uint32_t n) {
    wr_handle handles[BATCH_MAX];
    uint32_t value;
    for (uint32_t k = 0; k < n; k++) {
        handles[k] = submit(TASK_NEST, false, NULL, 0, NULL, 0, ENDLESS);
    }
    for (uint32_t k = 0; k < n; k++) {
        wr_handle inner = 0;
        wr_result result;
        if (get(handles[k], false, &value) && wr_cell_result(self.pool, handles[k], &result) == WR_OK) {
            memcpy(&inner, result.inline_bytes, sizeof inner);
            wr_proc_borrow(self.proc, inner);
        }
        wr_proc_unref(self.proc, handles[k]);
        handles[k] = inner;
    }
    for (uint32_t k = 0; k < n; k++) {
        if (handles[k] != 0) {
            if (!read_value(handles[k], &value) || value != 77) {
                fault("a nested object is lost");
            }
            wr_proc_unref(self.proc, handles[k]);
        }
    }
}

static void load_heap(uint32_t n) {
    wr_handle handles[BATCH_MAX];
    for (uint32_t k = 0; k < n; k++) {
        uint32_t x = k * 77 + 1;
        handles[k] = submit(TASK_HEAP, false, &x, sizeof x, NULL, 0, ENDLESS);
    }
    for (uint32_t k = 0; k < n; k++) {
        expect(handles[k], k * 77 + 1, false, "heap");
    }
}

static void load_calls(uint32_t n) {
    static uint32_t id;
    wr_handle handles[BATCH_MAX];
    uint32_t value;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t args[2] = {++id, self.incarnation};
        handles[k] = submit(TASK_CALL, true, args, sizeof args, NULL, 0, ENDLESS);
    }
    for (uint32_t k = 0; k < n; k++) {
        if (get(handles[k], false, &value) && value != id - n + 1 + k) {
            fault("actor: call %u of incarnation %u %s", id - n + 1 + k, self.incarnation,
                  value == UINT32_MAX ? "began out of order" : "has a wrong value");
        }
        wr_proc_unref(self.proc, handles[k]);
    }
}

static void load_cancelled(uint32_t n) { /* what is cancelled ends as a value or as an error */
    wr_handle handles[BATCH_MAX];
    wr_result error = error_result();
    for (uint32_t k = 0; k < n; k++) {
        handles[k] = submit(TASK_TRIPLE, false, &k, sizeof k, NULL, 0, ENDLESS);
    }
    for (uint32_t k = n; k-- > 0;) {
        uint32_t slot, epoch;
        wr_status status = wr_proc_cancel(self.proc, handles[k], &error, &slot, &epoch);
        if (status != WR_OK && status != WR_E_STATE && status != WR_E_NOT_FOUND) {
            fault("cancel: %s", wr_status_name(status));
        }
    }
    for (uint32_t k = 0; k < n; k++) {
        expect(handles[k], 3 * k + 1, true, "cancelled");
    }
}

/* Takes back all credits from `first` on; makes more, until one was not begun yet: that one stops the
 * generator. */
static uint32_t withdraw(wr_handle generator, wr_handle *items, uint32_t first, uint32_t prepared,
                         uint32_t n) {
    wr_error err = {0};
    wr_result error = error_result();
    bool withdrawn = false;
    for (uint32_t k = first; k < prepared || (!withdrawn && prepared < n); k++) {
        uint32_t slot, epoch, count = 0;
        if (k == prepared) {
            must(wr_proc_credit(self.proc, generator, prepared + 1, items + prepared, &count, &err), "credit",
                 &err);
            prepared += count;
            if (count == 0) { /* the window is full of what runs */
                k--;
                continue;
            }
        }
        withdrawn |= wr_proc_cancel(self.proc, items[k], &error, &slot, &epoch) == WR_OK;
    }
    return prepared;
}

static void load_items(uint32_t n) {
    wr_error err = {0};
    wr_handle items[BATCH_MAX + WINDOW] = {0};
    wr_task_spec spec = {
        .port = self.port, .ring = self.ring[0], .function = TASK_ITEMS, .max_retries = ENDLESS};
    spec.block = block_new(n, 64, NULL, 0, 0, WINDOW);
    wr_handle generator = 0;
    must(wr_proc_submit(self.proc, &spec, &generator, &err), "submit", &err);
    uint32_t prepared = 0, stop = roll(4) == 0 ? roll(n) : n;
    for (uint32_t k = 0; k < stop; k++) {
        uint32_t upto = k + WINDOW < n ? k + WINDOW : n, count = 0;
        if (prepared < upto) {
            must(wr_proc_credit(self.proc, generator, upto, items + prepared, &count, &err), "credit", &err);
            prepared += count;
        }
        expect(items[k], 100 + k, false, "item");
    }
    if (stop < n) {
        prepared = withdraw(generator, items, stop, prepared, n);
    }
    expect(generator, n, stop < n, "generator");
    for (uint32_t k = stop; k < prepared; k++) {
        expect(items[k], 100 + k, true, "item taken back");
    }
}

static void drive(void) {
    static void (*const loads[])(uint32_t) = {load_triples, load_chain,     load_joined,
                                              load_kept,    load_nested,    load_heap,
                                              load_calls,   load_cancelled, load_items};
    while (!stopping()) {
        loads[roll(WR_COUNT_OF(loads))](1 + roll(BATCH_MAX));
        wr_proc_poll(self.proc);
    }
}

/* ---- The raylet ---- */

static wr_pool *pool;
static wr_keeper *keeper;
static uint16_t port, actor_port;
static struct {
    pid_t pid;
    uint32_t slot;
} running[ROLES];

static void lost(void *arg, wr_handle handle, uint32_t function, wr_lost_reason reason, uint32_t attempt,
                 wr_result *out) {
    (void)arg;
    (void)handle;
    (void)function;
    (void)reason;
    (void)attempt;
    *out = error_result();
}

static void child(uint32_t role) {
    wr_error err = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    must(wr_pool_open(dup(wr_pool_fd(pool)), &self.pool, &err), "pool_open", &err);
    must(wr_proc_attach(self.pool, self.slot, self.epoch, &self.proc, &err), "attach", &err);
    if (role <= DRIVER_2) {
        drive();
    } else {
        work();
    }
    _exit(0);
}

static void start(uint32_t role) {
    static uint32_t incarnations;
    wr_error err = {0};
    must(wr_keeper_slot_open(keeper, getpid(), &self.slot, &self.epoch, &err), "slot_open", &err);
    must(wr_keeper_ring_open(keeper, port, self.slot, &self.ring[0], &err), "ring_open", &err);
    must(wr_keeper_ring_open(keeper, actor_port, self.slot, &self.ring[1], &err), "ring_open", &err);
    uint16_t takes = role == ACTOR ? actor_port : role >= WORKER_1 ? port : (uint16_t)WR_PORT_NONE;
    wr_keeper_assign(keeper, self.slot, takes);
    if (role == ACTOR) {
        wr_keeper_actor_rewind(keeper, actor_port);
        wr_keeper_port_state(keeper, actor_port, WR_PORT_OPEN, 0);
    }
    self.incarnation = ++incarnations;
    self.port = port;
    self.actor_port = actor_port;
    uint64_t random = self.random;
    self.random = (random ^ (incarnations * 0x9e3779b97f4a7c15ull)) | 1;
    pid_t pid = fork();
    if (pid == 0) {
        child(role);
    }
    self.random = random;
    running[role].pid = pid;
    running[role].slot = self.slot;
    self.slot = WR_SLOT_RAYLET;
}

static void pass(void) {
    wr_keeper_event event;
    wr_keeper_pass(keeper);
    while (wr_keeper_next(keeper, &event)) {
    }
}

/* Waits for the exit, which is what a reap begins with. */
static void bury(uint32_t role, bool killed) {
    int status = 0;
    waitpid(running[role].pid, &status, 0);
    if (!killed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        fault("the process of role %u ended with status %x", role, (unsigned)status);
    }
    if (role == ACTOR) {
        wr_keeper_port_state(keeper, actor_port, WR_PORT_RESTARTING, 0);
    }
    wr_keeper_slot_dead(keeper, running[role].slot, lost, NULL);
}

static void check_baseline(void) {
    wr_keeper_stats stats;
    for (uint32_t k = 0; k < 50; k++) {
        pass();
    }
    wr_keeper_stats_of(keeper, &stats);
    if (stats.rows != 0 || stats.candidates != 0 || stats.orphan_cells != 0 || stats.pairs != 0) {
        fault("left: %lu rows, %lu candidates, %lu orphans, %lu pairs", (unsigned long)stats.rows,
              (unsigned long)stats.candidates, (unsigned long)stats.orphan_cells, (unsigned long)stats.pairs);
    }
    if (stats.heap_leased != 0 || stats.heap_orphaned != 0) {
        fault("left: %lu bytes of heap leased, %lu orphaned", (unsigned long)stats.heap_leased,
              (unsigned long)stats.heap_orphaned);
    }
    uint32_t leaks = 0, extents = 0;
    for (uint32_t i = 0; i < pool->cell_count; i++) {
        uint64_t word = WR_LOAD(&pool->cells[i].ctl);
        if (wr_state_of(word) != WR_CELL_FREE && leaks++ < 3) {
            fault("left: cell %u, control word %lx, function %u", i, (unsigned long)word,
                  pool->cells[i].function);
        }
    }
    for (uint32_t e = 0; e < pool->geometry.cell_extents; e++) {
        extents += WR_LOAD(&pool->extents[e]) > WR_SLOT_RAYLET + 1;
    }
    if (leaks != 0 || extents != 0) {
        fault("left: %u cells, %u extents", leaks, extents);
    }
    const char *wrong = wr_keeper_check(keeper, NULL, 0, true);
    if (wrong != NULL) {
        fault("structure: %s", wrong);
    }
}

static void open_world(void) {
    const wr_pool_geometry geometry = {
        .slots = 16,
        .ports = 4,
        .rings = 64,
        .ring_capacity = 256, /* small: an actor's ring is lapped again and again */
        .cells_per_extent = 64,
        .cell_extents = 1024,
        .event_capacity = 1024,
        .grant_capacity = 1024,
        .trace_capacity = 4,
        .bells = 16,
        .heap_unit = 1 << 16,
        .heap_bytes = 1 << 28,
    };
    wr_error err = {0};
    must(wr_pool_create(&geometry, &pool, &err), "pool_create", &err);
    must(wr_keeper_new(pool, &keeper, &err), "keeper_new", &err);
    must(wr_keeper_port_open(keeper, false, &port, &err), "port_open", &err);
    must(wr_keeper_port_open(keeper, true, &actor_port, &err), "port_open", &err);
    wr_keeper_port_state(keeper, port, WR_PORT_OPEN, 0);
    wr_keeper_port_takers(keeper, port, 3, false);
    wr_keeper_port_takers(keeper, actor_port, 1, false);
}

int main(int argc, char **argv) {
    uint64_t seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : 6,
             seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    if (argc > 3 || seconds == 0 || seconds > 86400) {
        fprintf(stderr, "pool_chaos SECONDS SEED\n");
        return 2;
    }
    void *memory = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    WR_ASSERT(memory != MAP_FAILED);
    shared = memory;
    self.random = seed * 2654435761u + 1;
    open_world();
    for (uint32_t role = 0; role < ROLES; role++) {
        start(role);
    }

    uint64_t kills[ROLES] = {0}, busy = 0, all = 0, reap_ns = 0, reap_max_ns = 0;
    wr_time_ns began = wr_clock_ns(), kill_at = began + 20000000, progress_at = began;
    uint64_t progress = 0;
    while (wr_clock_ns() - began < seconds * 1000000000u) {
        pass();
        wr_time_ns now = wr_clock_ns();
        if (now > kill_at) {
            uint32_t role = DRIVER_2 + roll(ROLES - DRIVER_2);
            wr_slot_info info;
            wr_keeper_slot_info(keeper, running[role].slot, &info);
            kill(running[role].pid, SIGKILL);
            wr_time_ns from = wr_clock_ns();
            bury(role, true);
            uint64_t took = wr_clock_ns() - from;
            reap_ns += took;
            reap_max_ns = took > reap_max_ns ? took : reap_max_ns;
            busy += info.running != 0;
            kills[role]++;
            all++;
            start(role);
            kill_at = wr_clock_ns() + 200000 + roll(3000000);
        }
        uint64_t checked = atomic_load(&shared->checked);
        if (checked != progress) {
            progress = checked;
            progress_at = now;
        } else if (now - progress_at > STALL_SECONDS * 1000000000ull) {
            fault("no value came for %d seconds", STALL_SECONDS);
            break;
        }
        struct timespec moment = {.tv_nsec = 100000};
        nanosleep(&moment, NULL);
    }
    atomic_store(&shared->stop, 1);
    for (uint32_t role = 0; role < ROLES; role++) {
        wr_bell_ring(&wr_slot_at(pool, running[role].slot)->bell);
    }
    for (uint32_t role = 0; role < ROLES; role++) {
        bury(role, false);
    }
    check_baseline();
    printf("%lu s, seed %lu: %lu kills (driver %lu, workers %lu, actor %lu; %lu stood in a task), %lu values "
           "checked, %lu typed "
           "errors, exit and reap %lu us, at most %lu us; %lu faults\n",
           (unsigned long)seconds, (unsigned long)seed, (unsigned long)all, (unsigned long)kills[DRIVER_2],
           (unsigned long)(kills[WORKER_1] + kills[WORKER_2] + kills[WORKER_3]), (unsigned long)kills[ACTOR],
           (unsigned long)busy, (unsigned long)atomic_load(&shared->checked),
           (unsigned long)atomic_load(&shared->errors),
           (unsigned long)(reap_ns / 1000 / (all == 0 ? 1 : all)), (unsigned long)(reap_max_ns / 1000),
           (unsigned long)atomic_load(&shared->faults));
    wr_keeper_free(keeper);
    wr_pool_close(pool);
    return atomic_load(&shared->faults) != 0;
}

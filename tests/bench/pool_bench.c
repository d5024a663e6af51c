/* tests/bench/pool_bench.c: what the pool costs, in C, with real processes: the main process is the raylet;
 * driver and workers are forked and open the pool anew.
 *
 *   pool_bench [--tiny] [--workers N | --contention]
 *
 * One JSON line per measure: {"metric", "value", "unit", "min", "max"}; value is the median of the rounds (a
 * percentile for round trips). Every result is checked, and a worker's pid must differ from the driver's.
 * --contention: tasks a second of one port with 2 takers; with 64 that two processes play in turn, so that the queues see 64
 * and the kernel two; and with 64 processes, however few the cores.
 */
#include "base/clock.h"
#include "shm/keeper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TASKS, ACTOR, PORTS };
enum { FN_ECHO, FN_SUM, FN_KEEP, FN_PID, FN_BLOCK };
enum { ROUNDS_MAX = 16, WORKERS_MAX = 64, SPIN_NS = 50000 };
enum { CONTENTION_FEW = 2, CONTENTION_MANY = 64, CONTENTION_RUNS = 5 };
enum { TAKERS_EACH_MAX = CONTENTION_MANY / CONTENTION_FEW };

typedef struct bench {
    wr_pool *pool;
    wr_keeper *keeper;
    uint16_t port[PORTS];
    uint32_t worker_count; /* processes that run tasks */
    uint32_t takers_each;  /* slots that each of them plays in turn; 0: one */
    bool tiny, contention;
    double *rates; /* --contention: what the driver measured, in pages that it shares with us */
} bench;

static void die(const char *what, const char *why) {
    fprintf(stderr, "pool_bench: %s: %s\n", what, why);
    exit(1);
}

static void check(wr_status status, const char *what, const wr_error *err) {
    if (status != WR_OK) {
        die(what, err != NULL && err->text[0] != '\0' ? err->text : wr_status_name(status));
    }
}

static void require(bool truth, const char *what) {
    if (!truth) {
        die("wrong result", what);
    }
}

/* ---- Output ---- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *metric, double value, const char *unit, double min, double max) {
    printf("{\"metric\": \"%s\", \"value\": %.4g, \"unit\": \"%s\", \"min\": %.4g, \"max\": %.4g}\n", metric,
           value, unit, min, max);
    fflush(stdout);
}

static void print_rounds(const char *metric, double *values, uint32_t count, const char *unit) {
    qsort(values, count, sizeof(*values), compare);
    print(metric, values[count / 2], unit, values[0], values[count - 1]);
}

/* ---- Processes ---- */

static wr_proc *enter(const bench *b, uint32_t slot, uint32_t epoch, wr_pool **out_pool) {
    wr_error err = {0};
    wr_proc *proc = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    check(wr_pool_open(dup(wr_pool_fd(b->pool)), out_pool, &err), "open", &err);
    check(wr_proc_attach(*out_pool, slot, epoch, &proc, &err), "attach", &err);
    return proc;
}

static wr_result inline_u32(uint32_t v) {
    wr_result r = {.kind = 1, .location = WR_AT_INLINE, .bytes = 4};
    memcpy(r.inline_bytes, &v, sizeof v);
    return r;
}

static uint32_t value_of(const wr_pool *pool, wr_handle handle) {
    wr_result r = {0};
    uint32_t v;
    require(wr_cell_result(pool, handle, &r) == WR_OK && r.kind == 1, "a value");
    memcpy(&v, r.inline_bytes, sizeof v);
    return v;
}

static wr_result block_result(wr_proc *p, const wr_pool *pool, uint64_t bytes) {
    uint64_t size = wr_block_size(0, 0, 0, NULL, 0, bytes), offset = 0;
    wr_error err = {0};
    check(wr_proc_heap_alloc(p, size, &offset, &err), "heap", &err);
    uint8_t *at = wr_pool_heap_write(pool, offset, size);
    const wr_block_header header = {.bytes = size, .magic = WR_BLOCK_MAGIC, .stream_bytes = bytes};
    memcpy(at, &header, sizeof header);
    memset(at + sizeof header, 0x5a, bytes);
    return (wr_result){.kind = 1, .location = WR_AT_HEAP, .offset = offset};
}

static void run(wr_proc *p, const wr_pool *pool, const wr_claim *c) {
    wr_result r;
    uint32_t v = 0;
    if (c->function == FN_SUM) {
        for (uint32_t k = 0; k < c->ref_count; k++) {
            v += value_of(pool, c->links != NULL ? c->links[k].ref : c->refs[k]);
        }
        r = inline_u32(v + 1);
    } else if (c->function == FN_KEEP) {
        wr_proc_borrow(p, c->refs[0]);
        r = inline_u32(7);
        wr_proc_seal(p, c, &r);
        wr_proc_unref(p, c->refs[0]);
        return;
    } else if (c->function == FN_PID) {
        r = inline_u32((uint32_t)getpid());
    } else if (c->function == FN_BLOCK) {
        r = block_result(p, pool, 1000);
    } else {
        memcpy(&v, c->args, sizeof v);
        r = inline_u32(v + 1);
    }
    wr_proc_seal(p, c, &r);
}

typedef struct seat {
    uint32_t slot, epoch;
} seat;

/* Plays every seat in turn, a task each. One seat is a worker as usual. */
static void worker(const bench *b, const seat *seats, uint32_t count) {
    wr_proc *p[TAKERS_EACH_MAX];
    wr_pool *pool = NULL;
    for (uint32_t k = 0; k < count; k++) {
        p[k] = enter(b, seats[k].slot, seats[k].epoch, &pool);
    }
    wr_claim claim;
    while (!wr_pool_poisoned(pool)) {
        bool ran = false;
        for (uint32_t k = 0; k < count; k++) {
            if (wr_proc_take(p[k], 0, &claim)) {
                run(p[k], pool, &claim);
                ran = true;
            } else {
                wr_proc_poll(p[k]);
            }
        }
        if (!ran) {
            wr_proc_idle(p[0], SPIN_NS);
        }
    }
    _exit(0);
}

/* ---- The driver ---- */

typedef struct driver {
    const bench *b;
    wr_pool *pool;
    wr_proc *p;
    wr_handle *handles;
    char prefix[32];
} driver;

static wr_handle submit(driver *d, int port, uint32_t function, uint32_t arg, const wr_handle *refs,
                        uint32_t ref_count) {
    const wr_task_spec spec = {.port = d->b->port[port],
                               .function = function,
                               .args = &arg,
                               .arg_bytes = ref_count == 0 ? 4 : 0,
                               .refs = refs,
                               .ref_count = ref_count,
                               .max_retries = 3};
    wr_handle handle = 0;
    wr_error err = {0};
    check(wr_proc_submit(d->p, &spec, &handle, &err), "submit", &err);
    return handle;
}

static void wait_for(driver *d, wr_handle handle) {
    wr_status status;
    while ((status = wr_proc_wait(d->p, handle, 60000000000u, SPIN_NS)) == WR_E_INTERRUPTED) {
        wr_proc_poll(d->p);
    }
    check(status, "wait", NULL);
}

static void report(driver *d, const char *metric, double *values, uint32_t count, const char *unit) {
    char name[96];
    snprintf(name, sizeof name, "pool.%s%s", d->prefix, metric);
    print_rounds(name, values, count, unit);
}

static double per_second(uint32_t n, uint64_t began) {
    return n / ((double)(wr_clock_ns() - began) / 1e9);
}

static double submit_get_drop(driver *d, uint32_t n, int port) {
    uint64_t began = wr_clock_ns();
    for (uint32_t k = 0; k < n; k++) {
        d->handles[k] = submit(d, port, FN_ECHO, k, NULL, 0);
    }
    for (uint32_t k = 0; k < n; k++) {
        wait_for(d, d->handles[k]);
        require(value_of(d->pool, d->handles[k]) == k + 1, "echo");
    }
    for (uint32_t k = 0; k < n; k++) {
        wr_proc_unref(d->p, d->handles[k]);
    }
    return per_second(n, began);
}

static void measure_rate(driver *d, const char *metric, uint32_t n, int port) {
    double v[ROUNDS_MAX];
    uint32_t rounds = d->b->tiny ? 3 : 9;
    submit_get_drop(d, n, port);
    for (uint32_t r = 0; r < rounds; r++) {
        v[r] = submit_get_drop(d, n, port);
    }
    report(d, metric, v, rounds, "1/s");
}

static void measure_round_trip(driver *d, const char *metric, int port, uint64_t pause_ns) {
    uint32_t n = d->b->tiny ? 200 : pause_ns != 0 ? 200 : 20000;
    double *v = calloc(n, sizeof(*v));
    require(v != NULL, "memory");
    for (uint32_t k = 0; k < n; k++) {
        if (pause_ns != 0) {
            struct timespec pause = {0, (long)pause_ns};
            nanosleep(&pause, NULL);
        }
        uint64_t began = wr_clock_ns();
        wr_handle h = submit(d, port, FN_ECHO, k, NULL, 0);
        wait_for(d, h);
        require(value_of(d->pool, h) == k + 1, "echo");
        wr_proc_unref(d->p, h);
        v[k] = (double)(wr_clock_ns() - began) / 1e3;
    }
    qsort(v, n, sizeof(*v), compare);
    char name[96];
    snprintf(name, sizeof name, "pool.%s%s_p50", d->prefix, metric);
    print(name, v[n / 2], "us", v[0], v[n - 1]);
    snprintf(name, sizeof name, "pool.%s%s_p99", d->prefix, metric);
    print(name, v[(uint64_t)n * 99 / 100], "us", v[0], v[n - 1]);
    free(v);
}

static double chain(driver *d, uint32_t n) {
    uint64_t began = wr_clock_ns();
    wr_result r = inline_u32(5);
    wr_handle previous = 0;
    check(wr_proc_put(d->p, &r, &previous, NULL), "put", NULL);
    for (uint32_t k = 0; k < n; k++) {
        wr_handle next = submit(d, TASKS, FN_SUM, 0, &previous, 1);
        wr_proc_unref(d->p, previous);
        previous = next;
    }
    wait_for(d, previous);
    require(value_of(d->pool, previous) == n + 5, "chain");
    wr_proc_unref(d->p, previous);
    return per_second(n, began);
}

static double fan_in(driver *d, uint32_t n) {
    uint64_t began = wr_clock_ns();
    uint32_t tasks = n, all = n;
    for (uint32_t k = 0; k < n; k++) {
        d->handles[k] = submit(d, TASKS, FN_ECHO, 0, NULL, 0);
    }
    for (; n > 1; n /= 2, all += n) {
        for (uint32_t k = 0; k < n / 2; k++) {
            wr_handle sum = submit(d, TASKS, FN_SUM, 0, &d->handles[2 * k], 2);
            wr_proc_unref(d->p, d->handles[2 * k]);
            wr_proc_unref(d->p, d->handles[2 * k + 1]);
            d->handles[k] = sum;
        }
    }
    wait_for(d, d->handles[0]);
    require(value_of(d->pool, d->handles[0]) == 2 * tasks - 1, "fan-in"); /* every task adds one */
    wr_proc_unref(d->p, d->handles[0]);
    return per_second(2 * tasks - 1, began);
}

static double kept_arguments(driver *d, uint32_t n) {
    uint64_t began = wr_clock_ns();
    wr_result r = inline_u32(5);
    for (uint32_t k = 0; k < n; k++) {
        wr_handle o = 0;
        check(wr_proc_put(d->p, &r, &o, NULL), "put", NULL);
        d->handles[k] = submit(d, TASKS, FN_KEEP, 0, &o, 1);
        wr_proc_unref(d->p, o);
    }
    for (uint32_t k = 0; k < n; k++) {
        wait_for(d, d->handles[k]);
        require(value_of(d->pool, d->handles[k]) == 7, "keep");
        wr_proc_unref(d->p, d->handles[k]);
    }
    return per_second(n, began);
}

static double heap_results(driver *d, uint32_t n) {
    uint64_t began = wr_clock_ns();
    for (uint32_t k = 0; k < n; k++) {
        d->handles[k] = submit(d, TASKS, FN_BLOCK, k, NULL, 0);
    }
    for (uint32_t k = 0; k < n; k++) {
        wr_result r = {0};
        wr_block_view view;
        wait_for(d, d->handles[k]);
        require(wr_cell_result(d->pool, d->handles[k], &r) == WR_OK && r.location == WR_AT_HEAP &&
                    wr_block_open(d->pool, r.offset, &view, NULL) == WR_OK && view.stream[999] == 0x5a,
                "a block");
        wr_proc_unref(d->p, d->handles[k]);
    }
    return per_second(n, began);
}

static void measure_many(driver *d, const char *metric, double (*measure)(driver *, uint32_t), uint32_t n) {
    double v[ROUNDS_MAX];
    uint32_t rounds = d->b->tiny ? 3 : 9;
    measure(d, n);
    for (uint32_t r = 0; r < rounds; r++) {
        v[r] = measure(d, n);
    }
    report(d, metric, v, rounds, "1/s");
}

static void drive(const bench *b, uint32_t slot, uint32_t epoch) {
    driver d = {.b = b};
    d.p = enter(b, slot, epoch, &d.pool);
    d.handles = calloc(100000, sizeof(*d.handles));
    require(d.handles != NULL, "memory");
    snprintf(d.prefix, sizeof d.prefix, "%uw.", b->worker_count);
    wr_handle who = submit(&d, TASKS, FN_PID, 0, NULL, 0);
    wait_for(&d, who);
    require(value_of(d.pool, who) != (uint32_t)getpid(), "the worker is another process");
    wr_proc_unref(d.p, who);

    uint32_t few = b->tiny ? 1000 : 10000, many = b->tiny ? 2000 : 100000;
    if (b->contention) {
        submit_get_drop(&d, few, TASKS);
        for (uint32_t r = 0; r < CONTENTION_RUNS; r++) {
            b->rates[r] = submit_get_drop(&d, few, TASKS);
        }
        wr_pool_poison(d.pool, "the bench is over");
        _exit(0);
    }
    measure_round_trip(&d, "round_trip", TASKS, 0);
    measure_round_trip(&d, "round_trip_asleep", TASKS, 3000000);
    measure_rate(&d, "tasks_10k", few, TASKS);
    measure_rate(&d, "tasks_100k", many, TASKS);
    measure_round_trip(&d, "actor_round_trip", ACTOR, 0);
    measure_rate(&d, "actor_calls_10k", few, ACTOR);
    measure_many(&d, "chain_1000", chain, b->tiny ? 100 : 1000);
    measure_many(&d, "fan_in_1024", fan_in, b->tiny ? 64 : 1024);
    measure_many(&d, "kept_argument_10k", kept_arguments, few);
    measure_many(&d, "heap_result_1kb_10k", heap_results, few);
    wr_pool_poison(d.pool, "the bench is over");
    _exit(0);
}

/* ---- One session: raylet, driver, workers ---- */

static void open_slot(bench *b, uint32_t *slot, uint32_t *epoch) {
    wr_error err = {0};
    check(wr_keeper_slot_open(b->keeper, 1, slot, epoch, &err), "slot", &err);
}

static void open_bench(bench *b) {
    const wr_pool_geometry g = {.heap_bytes = 1 << 30};
    wr_error err = {0};
    check(wr_pool_create(&g, &b->pool, &err), "pool", &err);
    check(wr_keeper_new(b->pool, &b->keeper, &err), "keeper", &err);
    for (int k = 0; k < PORTS; k++) {
        check(wr_keeper_port_open(b->keeper, k == ACTOR, &b->port[k], &err), "port", &err);
    }
}

static void close_bench(bench *b) {
    wr_keeper_free(b->keeper);
    wr_pool_close(b->pool);
}

static void session(bench *b) {
    open_bench(b);
    uint32_t slot, epoch, ring;
    wr_error err = {0};
    const uint32_t each = b->takers_each == 0 ? 1 : b->takers_each;
    uint32_t slots[WORKERS_MAX + 2], slot_count = 0;
    pid_t pids[WORKERS_MAX + 2];
    uint32_t n = 0;
    for (uint32_t k = 0; k <= b->worker_count; k++) { /* the last is the actor */
        const bool actor = k == b->worker_count;
        seat seats[TAKERS_EACH_MAX];
        const uint32_t count = actor ? 1 : each;
        for (uint32_t i = 0; i < count; i++) {
            open_slot(b, &seats[i].slot, &seats[i].epoch);
            wr_keeper_assign(b->keeper, seats[i].slot, b->port[actor ? ACTOR : TASKS]);
            slots[slot_count++] = seats[i].slot;
        }
        pids[n] = fork();
        if (pids[n++] == 0) {
            worker(b, seats, count);
        }
    }
    wr_keeper_port_takers(b->keeper, b->port[TASKS], b->worker_count * each, false);
    wr_keeper_port_takers(b->keeper, b->port[ACTOR], 1, false);
    open_slot(b, &slot, &epoch);
    for (int k = 0; k < PORTS; k++) {
        check(wr_keeper_ring_open(b->keeper, b->port[k], slot, &ring, &err), "ring", &err);
    }
    slots[slot_count++] = slot;
    pids[n] = fork();
    if (pids[n++] == 0) {
        drive(b, slot, epoch);
    }
    while (!wr_pool_poisoned(b->pool)) {
        uint32_t seen = wr_pool_bell_read(b->pool);
        bool more = wr_keeper_pass(b->keeper);
        wr_pool_bell_wait(b->pool, seen, more ? 300000 : 20000000);
        int status = 0;
        if (waitpid(pids[n - 1], &status, WNOHANG) == pids[n - 1] && !wr_pool_poisoned(b->pool)) {
            die("driver", "it failed");
        }
    }
    for (uint32_t k = 0; k < n; k++) {
        waitpid(pids[k], NULL, 0);
    }
    for (uint32_t k = 0; k < slot_count; k++) {
        wr_keeper_slot_dead(b->keeper, slots[k], NULL, NULL);
    }
    for (int k = 0; k < 8; k++) {
        wr_keeper_pass(b->keeper);
    }
    const char *wrong = wr_keeper_check(b->keeper, NULL, 0, true);
    if (wrong != NULL) {
        die("the pool at rest", wrong);
    }
    close_bench(b);
}

/* ---- Cost by layer: one process plays all parts ---- */

typedef struct layers {
    bench *b;
    wr_proc *maker, *taker;
    wr_handle *handles;
    wr_claim *claims;
    uint32_t n;
} layers;

static wr_proc *part(bench *b, uint32_t *slot) {
    uint32_t epoch;
    wr_proc *p = NULL;
    wr_error err = {0};
    open_slot(b, slot, &epoch);
    check(wr_proc_attach(b->pool, *slot, epoch, &p, &err), "attach", &err);
    return p;
}

static double since(uint64_t began, uint32_t n) {
    return (double)(wr_clock_ns() - began) / n;
}

enum { STEP_SUBMIT, STEP_TAKE, STEP_SEAL, STEP_GET, STEP_DROP, STEPS };

static void task_steps(layers *l, double *out) {
    uint64_t at = wr_clock_ns();
    for (uint32_t k = 0; k < l->n; k++) {
        const wr_task_spec spec = {.port = l->b->port[TASKS], .args = &k, .arg_bytes = 4, .max_retries = 3};
        check(wr_proc_submit(l->maker, &spec, &l->handles[k], NULL), "submit", NULL);
    }
    out[STEP_SUBMIT] = since(at, l->n);
    double take = 0, seal = 0;
    for (uint32_t k = 0; k < l->n; k += 16) {
        at = wr_clock_ns();
        for (uint32_t i = 0; i < 16; i++) {
            require(wr_proc_take(l->taker, 0, &l->claims[i]), "take");
        }
        take += (double)(wr_clock_ns() - at);
        at = wr_clock_ns();
        for (uint32_t i = 0; i < 16; i++) {
            wr_result r = inline_u32(k);
            require(wr_proc_seal(l->taker, &l->claims[i], &r), "seal");
        }
        seal += (double)(wr_clock_ns() - at);
    }
    out[STEP_TAKE] = take / l->n;
    out[STEP_SEAL] = seal / l->n;
    at = wr_clock_ns();
    for (uint32_t k = 0; k < l->n; k++) {
        wr_result r;
        require(wr_proc_wait(l->maker, l->handles[k], 0, 0) == WR_OK &&
                    wr_cell_result(l->b->pool, l->handles[k], &r) == WR_OK,
                "get");
    }
    out[STEP_GET] = since(at, l->n);
    at = wr_clock_ns();
    for (uint32_t k = 0; k < l->n; k++) {
        wr_proc_unref(l->maker, l->handles[k]);
    }
    out[STEP_DROP] = since(at, l->n);
}

static double put_and_free(layers *l) {
    wr_result r = inline_u32(5);
    wr_handle h = 0;
    uint64_t at = wr_clock_ns();
    for (uint32_t k = 0; k < l->n; k++) {
        check(wr_proc_put(l->maker, &r, &h, NULL), "put", NULL);
        wr_proc_unref(l->maker, h);
    }
    return since(at, l->n);
}

static double put_block(layers *l, uint64_t bytes, uint32_t n) {
    wr_handle h = 0;
    uint64_t at = wr_clock_ns();
    for (uint32_t k = 0; k < n; k++) {
        uint64_t size = wr_block_size(0, 0, 0, NULL, 0, bytes), offset = 0;
        check(wr_proc_heap_alloc(l->maker, size, &offset, NULL), "heap", NULL);
        const wr_block_header header = {.bytes = size, .magic = WR_BLOCK_MAGIC, .stream_bytes = bytes};
        memcpy(wr_pool_heap_write(l->b->pool, offset, size), &header, sizeof header);
        const wr_result r = {.kind = 1, .location = WR_AT_HEAP, .offset = offset};
        check(wr_proc_put(l->maker, &r, &h, NULL), "put", NULL);
        wr_proc_unref(l->maker, h);
    }
    return since(at, n);
}

static double events(layers *l) {
    wr_result r = inline_u32(5);
    uint32_t n = 4096;
    for (uint32_t k = 0; k < n; k++) {
        check(wr_proc_put(l->maker, &r, &l->handles[k], NULL), "put", NULL);
    }
    uint64_t at = wr_clock_ns();
    for (uint32_t k = 0; k < n; k++) {
        wr_proc_borrow(l->taker, l->handles[k]); /* HOLD, two DROPs, and the cell's way home */
        wr_proc_unref(l->maker, l->handles[k]);
        wr_proc_unref(l->taker, l->handles[k]);
    }
    while (wr_keeper_pass(l->b->keeper)) {
    }
    wr_proc_poll(l->maker);
    return since(at, n);
}

static bool let_the_raylet_look(void *keeper) {
    wr_keeper_pass(keeper);
    return true;
}

static void cost_by_layer(bench *b) {
    open_bench(b);
    uint32_t slot, ring, rounds = b->tiny ? 3 : 11;
    wr_error err = {0};
    layers l = {.b = b, .n = b->tiny ? 256 : 4096};
    l.handles = calloc(l.n < 4096 ? 4096 : l.n, sizeof(*l.handles));
    l.claims = calloc(16, sizeof(*l.claims));
    require(l.handles != NULL && l.claims != NULL, "memory");
    l.maker = part(b, &slot);
    check(wr_keeper_ring_open(b->keeper, b->port[TASKS], slot, &ring, &err), "ring", &err);
    l.taker = part(b, &slot);
    wr_keeper_assign(b->keeper, slot, b->port[TASKS]);
    wr_keeper_port_takers(b->keeper, b->port[TASKS], 1, false);
    wr_proc_on_wait(l.maker, let_the_raylet_look, b->keeper);
    double steps[STEPS][ROUNDS_MAX], put[ROUNDS_MAX], block[ROUNDS_MAX], large[ROUNDS_MAX], event[ROUNDS_MAX];
    for (uint32_t r = 0; r < rounds + 2; r++) {
        double out[STEPS];
        uint32_t at = r < 2 ? 0 : r - 2; /* two rounds to warm up */
        task_steps(&l, out);
        wr_keeper_pass(b->keeper);
        for (int s = 0; s < STEPS; s++) {
            steps[s][at] = out[s];
        }
        put[at] = put_and_free(&l);
        block[at] = put_block(&l, 1000, l.n);
        large[at] = put_block(&l, 30000, 64);
        event[at] = events(&l);
    }
    static const char *const names[STEPS] = {"pool.step.submit", "pool.step.take", "pool.step.seal",
                                             "pool.step.get", "pool.step.drop"};
    for (int s = 0; s < STEPS; s++) {
        print_rounds(names[s], steps[s], rounds, "ns");
    }
    print_rounds("pool.step.put_free_4b", put, rounds, "ns");
    print_rounds("pool.step.put_free_1kb_block", block, rounds, "ns");
    print_rounds("pool.step.put_free_30kb_block", large, rounds, "ns");
    print_rounds("pool.step.shared_object_3_events", event, rounds, "ns");
    wr_proc_detach(l.maker);
    wr_proc_detach(l.taker);
    free(l.handles);
    free(l.claims);
    close_bench(b);
}

static double median_with(bench *b, uint32_t workers, uint32_t takers_each) {
    b->worker_count = workers;
    b->takers_each = takers_each;
    session(b);
    qsort(b->rates, CONTENTION_RUNS, sizeof *b->rates, compare);
    return b->rates[CONTENTION_RUNS / 2];
}

/* All three in each round, so that what else the machine does meets all. */
static void contention(bench *b) {
    double few[ROUNDS_MAX], many[ROUNDS_MAX], ratio[ROUNDS_MAX], crowd[ROUNDS_MAX];
    const uint32_t rounds = b->tiny ? 1 : 9;
    b->rates = mmap(NULL, CONTENTION_RUNS * sizeof *b->rates, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(b->rates != MAP_FAILED, "memory");
    for (uint32_t r = 0; r < rounds; r++) {
        few[r] = median_with(b, CONTENTION_FEW, 1);
        many[r] = median_with(b, CONTENTION_FEW, TAKERS_EACH_MAX);
        ratio[r] = many[r] / few[r];
        crowd[r] = median_with(b, CONTENTION_MANY, 1) / few[r];
    }
    print_rounds("contention.2_takers", few, rounds, "1/s");
    print_rounds("contention.64_takers", many, rounds, "1/s");
    print_rounds("contention.64_over_2", ratio, rounds, "x");
    print_rounds("contention.64_processes_over_2", crowd, rounds, "x");
}

int main(int argc, char **argv) {
    bench b = {0};
    uint32_t only = 0;
    for (int k = 1; k < argc; k++) {
        if (strcmp(argv[k], "--tiny") == 0) {
            b.tiny = true;
        } else if (strcmp(argv[k], "--contention") == 0) {
            b.contention = true;
        } else if (strcmp(argv[k], "--workers") == 0 && k + 1 < argc) {
            only = (uint32_t)strtoul(argv[++k], NULL, 10);
        } else {
            die("usage", "pool_bench [--tiny] [--workers N | --contention]");
        }
    }
    require(only <= WORKERS_MAX, "at most 64 workers");
    if (b.contention) {
        contention(&b);
        return 0;
    }
    cost_by_layer(&b);
    for (uint32_t workers = only == 0 ? 1 : only; workers <= (only == 0 ? 2 : only); workers++) {
        b.worker_count = workers;
        session(&b);
    }
    return 0;
}

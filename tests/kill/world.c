/* tests/kill/world.c: the small node of world.h. Where the engine refuses what cannot be refused here, the
 * world is wrong. */
#include "tests/kill/world.h"

#include "tests/kill/step.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

kill_world *world;

void kill_wrong(const char *fmt, ...) {
    if (world->failed) {
        return;
    }
    world->failed = true;
    va_list args;
    va_start(args, fmt);
    vsnprintf(world->why, sizeof world->why, fmt, args);
    va_end(args);
}

const char *kill_why(void) {
    return world->failed ? world->why : NULL;
}

static bool must(wr_status status, const char *what, const wr_error *err) {
    if (status != WR_OK) {
        kill_wrong("%s: %s (%s)", what, wr_status_name(status), err->text);
    }
    return status == WR_OK;
}

/* ---- Values ---- */

/* A block's stream: its value, then the value's low byte again and again. */
static bool block_value(uint64_t offset, uint32_t *out, wr_block_view *view) {
    if (wr_block_open(world->pool, offset, view, NULL) != WR_OK ||
        view->header.stream_bytes != BLOCK_STREAM_BYTES) {
        kill_wrong("a block that should be whole is not");
        return false;
    }
    memcpy(out, view->stream, sizeof *out);
    for (uint32_t k = sizeof *out; k < BLOCK_STREAM_BYTES; k++) {
        if (view->stream[k] != (uint8_t)*out) {
            kill_wrong("byte %u of a block of value %u is %u", k, *out, view->stream[k]);
            return false;
        }
    }
    return true;
}

bool kill_value(wr_handle handle, uint32_t *out) {
    wr_result result;
    wr_status status = wr_cell_result(world->pool, handle, &result);
    if (status != WR_OK) {
        kill_wrong("a value that is counted cannot be read: %s", wr_status_name(status));
        return false;
    }
    if (result.kind == KIND_ERROR) {
        return false;
    }
    if (result.kind != KIND_VALUE) {
        kill_wrong("sealed without a result (kind %u)", result.kind);
        return false;
    }
    if (result.location == WR_AT_HEAP) {
        wr_block_view view;
        return block_value(result.offset, out, &view);
    }
    memcpy(out, result.inline_bytes, sizeof *out);
    return true;
}

/* The handle that a container's value names. */
static wr_handle value_named(wr_handle container) {
    wr_result result;
    wr_handle named = 0;
    if (wr_cell_result(world->pool, container, &result) != WR_OK) {
        return 0;
    }
    if (result.location == WR_AT_INLINE) {
        memcpy(&named, result.inline_bytes, sizeof named);
        return named;
    }
    wr_block_view view;
    if (wr_block_open(world->pool, result.offset, &view, NULL) == WR_OK && view.header.ref_count != 0) {
        memcpy(&named, view.refs, sizeof named);
    }
    return named;
}

static wr_result inline_value(const void *bytes, uint32_t count) {
    wr_result result = {.kind = KIND_VALUE, .location = WR_AT_INLINE, .bytes = count};
    memcpy(result.inline_bytes, bytes, count);
    return result;
}

wr_result kill_error_result(void) {
    wr_result result = inline_value("lost", 4);
    result.kind = KIND_ERROR;
    return result;
}

uint64_t kill_block(kill_who who, uint32_t value, const wr_handle *refs, uint32_t ref_count,
                    uint32_t link_count, uint64_t window) {
    wr_error err = {0};
    uint64_t bytes = wr_block_size(link_count, ref_count, 0, NULL, window, BLOCK_STREAM_BYTES), offset = 0;
    if (!must(wr_proc_heap_alloc(world->proc[who], bytes, &offset, &err), "heap_alloc", &err)) {
        return 0;
    }
    uint8_t *base = wr_pool_heap_write(world->pool, offset, bytes);
    wr_block_header header = {
        .bytes = bytes,
        .magic = WR_BLOCK_MAGIC,
        .link_count = link_count,
        .ref_count = ref_count,
        .stream_bytes = BLOCK_STREAM_BYTES,
        .stream_window = window,
    };
    memset(base, 0, bytes);
    memcpy(base, &header, sizeof header);
    wr_block_view view;
    if (!must(wr_block_open(world->pool, offset, &view, &err), "block_open", &err)) {
        return 0;
    }
    if (ref_count != 0) {
        memcpy(base + ((const uint8_t *)view.refs - view.base), refs, 8ull * ref_count);
    }
    uint8_t *stream = base + (view.stream - view.base);
    memset(stream, (uint8_t)value, BLOCK_STREAM_BYTES);
    memcpy(stream, &value, sizeof value);
    return offset;
}

static wr_handle put(kill_who who, const wr_result *result) {
    wr_error err = {0};
    wr_handle handle = 0;
    if (must(wr_proc_put(world->proc[who], result, &handle, &err), "put", &err) && handle == 0) {
        kill_wrong("a handle is 0");
    }
    return handle;
}

wr_handle kill_put(kill_who who, uint32_t value) {
    wr_result result = inline_value(&value, sizeof value);
    return put(who, &result);
}

wr_handle kill_put_heap(kill_who who, uint32_t value, const wr_handle *refs, uint32_t ref_count) {
    wr_result result = {.kind = KIND_VALUE, .location = WR_AT_HEAP};
    result.offset = kill_block(who, value, refs, ref_count, 0, 0);
    return put(who, &result);
}

/* ---- Submitting and collecting ---- */

uint32_t kill_ring_at(kill_who who, uint16_t port) {
    return port == WR_PORT_NONE ? 0 : WR_LOAD(&world->pool->ports[port].ring_of[world->slot[who]]) - 1;
}

static uint32_t expected(const kill_call *call) {
    switch (call->task) {
    case TASK_TRIPLE:
    case TASK_HEAP:
        return call->id * 3u + 1;
    case TASK_KEEP:
    case TASK_FORGET:
        return VALUE_KEPT;
    case TASK_NEST:
    case TASK_NEST_HEAP:
        return VALUE_NESTED;
    case TASK_ITEMS:
        return call->expect == 0 ? 2 : call->expect;
    default:
        return call->expect;
    }
}

void kill_expect(kill_who who, kill_out out) {
    if (world->out_count[who] >= OUT_MAX) {
        kill_wrong("the scenario has too many results");
        return;
    }
    world->out[who][world->out_count[who]++] = out;
}

wr_handle kill_submit(kill_who who, const kill_call *call) {
    wr_error err = {0};
    wr_task_spec spec = {
        .port = call->to_none    ? WR_PORT_NONE
                : call->to_actor ? world->actor_port
                                 : world->port,
        .function = call->task,
        .max_retries = call->no_retries ? 0 : 5,
        .refs = call->refs,
        .ref_count = call->ref_count,
        .generation = call->generation,
    };
    /* More than the id, so that a cell used again is seen to be used again. */
    uint8_t args[WR_CELL_ARG_BYTES];
    memset(args, 0xee, sizeof args);
    args[0] = call->id;
    spec.ring = kill_ring_at(who, spec.port);
    if (call->in_block || call->ref_count > WR_CELL_LINKS || call->window != 0) {
        spec.block = kill_block(who, expected(call), call->nested, call->nested_count,
                                call->ref_count > WR_CELL_LINKS ? call->ref_count : 0, call->window);
    } else if (call->ref_count <= 2) {
        spec.args = args;
        spec.arg_bytes = (uint8_t)(WR_CELL_ARG_BYTES - 16 * call->ref_count);
    }
    wr_handle handle = 0;
    wr_status status = wr_proc_submit(world->proc[who], &spec, &handle, &err);
    if (status == WR_E_ACTOR_DIED && call->generation != 0 && world->port_passed_on) {
        return 0;
    }
    if (!must(status, "submit", &err)) {
        return 0;
    }
    if (handle == 0) {
        kill_wrong("a handle is 0");
    } else if (call->forget) {
        wr_proc_unref(world->proc[who], handle);
    } else {
        kill_expect(who, (kill_out){.handle = handle,
                                    .expect = expected(call),
                                    .nested = call->task == TASK_NEST || call->task == TASK_NEST_HEAP,
                                    .may_fail = call->may_fail});
    }
    return handle;
}

wr_handle kill_submit_id(kill_who who, uint8_t id) {
    return kill_submit(who, &(kill_call){.task = TASK_TRIPLE, .id = id});
}

/* Takes the named object out of a container, drops the container, and looks whether the object outlives it.
 */
static void collect_nested(kill_who who, const kill_out *out) {
    uint32_t value = 0;
    wr_handle named = value_named(out->handle);
    wr_proc *proc = world->proc[who];
    if (wr_cell_state_of(world->pool, named) != WR_CELL_SEALED || !kill_value(named, &value) ||
        value != VALUE_NESTED) {
        kill_wrong("the object that a result names is gone");
        wr_proc_unref(proc, out->handle);
        return;
    }
    wr_proc_borrow(proc, named);
    wr_proc_unref(proc, out->handle);
    for (uint32_t k = 0; k < 3; k++) {
        kill_pass();
    }
    if (wr_cell_state_of(world->pool, named) != WR_CELL_SEALED || !kill_value(named, &value) ||
        value != VALUE_NESTED) {
        kill_wrong("an object was lost after its container");
    }
    wr_proc_unref(proc, named);
}

static void collect_one(kill_who who, kill_out *out, uint32_t number) {
    wr_cell_state state = wr_cell_state_of(world->pool, out->handle);
    if (state == WR_CELL_FREE) {
        kill_wrong("result %u of process %d was freed while it was counted", number, (int)who);
        out->handle = 0;
        return;
    }
    if (state != WR_CELL_SEALED) {
        return;
    }
    wr_handle handle = out->handle;
    if (out->nested) {
        wr_result result;
        if (wr_cell_result(world->pool, handle, &result) == WR_OK && result.kind == KIND_VALUE) {
            collect_nested(who, out);
            out->handle = 0;
            return;
        }
    }
    uint32_t value = 0;
    if (kill_value(handle, &value)) {
        if (value != out->expect) {
            kill_wrong("result %u of process %d is %u, not %u", number, (int)who, value, out->expect);
        }
    } else if (!out->may_fail) {
        kill_wrong("result %u of process %d is an error", number, (int)who);
    }
    out->handle = 0;
    wr_proc_unref(world->proc[who], handle);
}

void kill_collect(kill_who who) {
    for (uint32_t k = 0; k < world->out_count[who]; k++) {
        if (world->out[who][k].handle != 0) {
            collect_one(who, &world->out[who][k], k);
        }
    }
}

void kill_poll(kill_who who) {
    wr_proc_poll(world->proc[who]);
    wr_proc_flush(world->proc[who]);
}

/* ---- Running tasks ---- */

static bool seal_value(kill_who who, const wr_claim *claim, uint32_t value) {
    wr_result result = inline_value(&value, sizeof value);
    return wr_proc_seal(world->proc[who], claim, &result);
}

static wr_handle claim_ref(const wr_claim *claim, uint32_t k) {
    return claim->links != NULL ? claim->links[k].ref : claim->refs[k];
}

static void run_sum(kill_who who, const wr_claim *claim) {
    uint32_t sum = 1, value;
    for (uint32_t k = 0; k < claim->ref_count; k++) {
        if (wr_cell_state_of(world->pool, claim_ref(claim, k)) != WR_CELL_SEALED) {
            kill_wrong("a task ran whose argument was not sealed");
            break;
        }
        if (!kill_value(claim_ref(claim, k), &value)) { /* an error is handed on */
            wr_result error = kill_error_result();
            wr_proc_seal(world->proc[who], claim, &error);
            return;
        }
        sum += value;
    }
    if (claim->block != 0) {
        wr_block_view view;
        block_value(claim->block, &value, &view);
    }
    seal_value(who, claim, sum);
}

void kill_forget_kept(kill_who who) {
    wr_handle kept = world->kept[who];
    uint32_t value = 0;
    if (kept == 0) {
        return;
    }
    if (wr_cell_state_of(world->pool, kept) != WR_CELL_SEALED) {
        kill_wrong("an object was freed while process %d held it", (int)who);
    } else if (kill_value(kept, &value) && value != world->kept_value[who]) {
        kill_wrong("an object changed from %u to %u while process %d held it", world->kept_value[who], value,
                   (int)who);
    }
    world->kept[who] = 0;
    wr_proc_unref(world->proc[who], kept);
}

static void run_keep(kill_who who, const wr_claim *claim) {
    wr_handle ref = claim_ref(claim, 0);
    uint32_t value = 0;
    wr_proc_borrow(world->proc[who], ref);
    kill_value(ref, &value);
    if (!seal_value(who, claim, VALUE_KEPT)) {
        wr_proc_unref(world->proc[who], ref);
        return;
    }
    kill_forget_kept(who);
    world->kept[who] = ref;
    world->kept_value[who] = value;
}

static void run_nest(kill_who who, const wr_claim *claim) {
    wr_proc *proc = world->proc[who];
    wr_handle inner = kill_put(who, VALUE_NESTED);
    wr_result result = inline_value(&inner, sizeof inner);
    if (claim->function == TASK_NEST_HEAP) {
        result = (wr_result){.kind = KIND_VALUE, .location = WR_AT_HEAP};
        result.offset = kill_block(who, VALUE_NESTED, &inner, 1, 0, 0);
    }
    wr_proc_contain(proc, claim->handle, &inner, 1);
    wr_proc_seal(proc, claim, &result);
    wr_proc_unref(proc, inner);
}

/* false: a credit is not there yet. */
static bool run_items(kill_who who, const wr_claim *claim) {
    wr_block_view view;
    uint32_t count = 0;
    if (!block_value(claim->block, &count, &view)) {
        return true;
    }
    for (uint32_t k = 0; k < count; k++) {
        wr_claim item;
        wr_status status = wr_proc_credit_claim(world->proc[who], claim, 1, k, &item);
        if (status == WR_E_AGAIN) {
            return false;
        }
        if (status == WR_E_CANCELLED) {
            wr_result error = kill_error_result();
            wr_proc_seal(world->proc[who], claim, &error);
            return true;
        }
        if (status == WR_OK) {
            seal_value(who, &item, 100 + k);
        } else if (status != WR_E_STATE) {
            kill_wrong("credit_claim: %s", wr_status_name(status));
        }
    }
    seal_value(who, claim, count);
    return true;
}

static void run_heap(kill_who who, const wr_claim *claim) {
    uint32_t value = claim->args[0] * 3u + 1;
    wr_result result = {.kind = KIND_VALUE, .location = WR_AT_HEAP};
    result.offset = kill_block(who, value, NULL, 0, 0, 0);
    wr_proc_seal(world->proc[who], claim, &result);
}

/* Of one caller a call begins after all that were submitted before it; ids of actor calls go up. */
static void note_order(const wr_claim *claim) {
    for (uint32_t who = DRIVER; who < WHO_COUNT; who++) {
        kill_actor_seen *seen = &world->seen[who];
        if (!world->alive[who] || world->slot[who] != claim->caller_slot) {
            continue;
        }
        if (seen->epoch != world->epoch[who]) {
            *seen = (kill_actor_seen){.epoch = world->epoch[who]};
        }
        if (claim->args[0] < seen->id) {
            kill_wrong("the actor began call %u of process %u after call %u", claim->args[0], who, seen->id);
        }
        seen->id = claim->args[0];
    }
}

void kill_run(kill_who who, const wr_claim *claim) {
    if (claim->attempt > claim->max_retries) {
        kill_wrong("attempt %u of a task that has %u retries", claim->attempt, claim->max_retries);
    }
    if (who == ACTOR && world->port_passed_on) {
        kill_wrong("a call reached the actor that has its port now");
    }
    switch ((kill_task)claim->function) {
    case TASK_TRIPLE:
        if (!(kill_step_is_victim() && world->uncounted)) {
            world->ran[claim->args[0]]++;
        }
        if (claim->port == world->actor_port) {
            note_order(claim);
        }
        seal_value(who, claim, claim->args[0] * 3u + 1);
        break;
    case TASK_SUM:
    case TASK_BLOCK:
        run_sum(who, claim);
        break;
    case TASK_KEEP:
        run_keep(who, claim);
        break;
    case TASK_FORGET:
        kill_forget_kept(who);
        seal_value(who, claim, VALUE_KEPT);
        break;
    case TASK_NEST:
    case TASK_NEST_HEAP:
        run_nest(who, claim);
        break;
    case TASK_HEAP:
        run_heap(who, claim);
        break;
    case TASK_ITEMS:
        if (!run_items(who, claim)) {
            world->busy[who] = *claim;
        }
        break;
    default:
        kill_wrong("a task of function %u was taken", claim->function);
    }
}

static uint16_t port_of(kill_who who) {
    return who == ACTOR ? world->actor_port : world->port;
}

bool kill_take(kill_who who, wr_claim *out) {
    wr_slot_set_remove(&world->pool->ports[port_of(who)].sleepers, world->slot[who], NULL);
    return wr_proc_take(world->proc[who], 0, out);
}

void kill_run_next(kill_who who) {
    wr_claim claim;
    if (kill_take(who, &claim)) {
        kill_run(who, &claim);
    }
}

static void work(kill_who who) {
    if (who == PEER && world->by_handle != 0) {
        wr_claim claim;
        if (wr_proc_claim(world->proc[who], 0, world->by_handle, &claim) == WR_OK) {
            kill_run(who, &claim);
        }
    }
    for (uint32_t k = 0; k < 64; k++) {
        wr_claim claim = world->busy[who];
        world->busy[who].handle = 0;
        if (claim.handle == 0 && !kill_take(who, &claim)) {
            break;
        }
        kill_run(who, &claim);
        if (world->busy[who].handle != 0) {
            break; /* it waits for a credit */
        }
    }
}

/* ---- The raylet ---- */

static void lost(void *arg, wr_handle handle, uint32_t function, wr_lost_reason reason, uint32_t attempt,
                 wr_result *out) {
    (void)arg;
    (void)handle;
    (void)function;
    (void)reason;
    (void)attempt;
    *out = kill_error_result();
}

void kill_pass(void) {
    if (world->raylet_stands || world->in_keeper || kill_step_is_victim()) {
        return;
    }
    world->in_keeper = true;
    wr_keeper_pass(world->keeper);
    wr_keeper_event event;
    while (wr_keeper_next(world->keeper, &event)) {
    }
    world->in_keeper = false;
}

static void attach(kill_who who) {
    wr_error err = {0};
    uint32_t ring;
    must(wr_keeper_slot_open(world->keeper, getpid(), &world->slot[who], &world->epoch[who], &err),
         "slot_open", &err);
    must(wr_keeper_ring_open(world->keeper, world->port, world->slot[who], &ring, &err), "ring_open", &err);
    must(wr_keeper_ring_open(world->keeper, world->actor_port, world->slot[who], &ring, &err), "ring_open",
         &err);
    uint16_t port = who == WORKER || who == PEER ? world->port
                    : who == ACTOR               ? world->actor_port
                                                 : WR_PORT_NONE;
    wr_keeper_assign(world->keeper, world->slot[who], port);
    must(wr_proc_attach(world->pool, world->slot[who], world->epoch[who], &world->proc[who], &err), "attach",
         &err);
    wr_result gone = kill_error_result();
    wr_proc_on_gone(world->proc[who], &gone);
    world->out_count[who] = 0;
    world->kept[who] = 0;
    world->busy[who].handle = 0;
}

void kill_attach(kill_who who) {
    attach(who);
    world->alive[who] = true;
}

void kill_reap(kill_who who) {
    if (who == ACTOR && !world->actor_port_dead) {
        wr_keeper_port_state(world->keeper, world->actor_port, WR_PORT_RESTARTING, 0);
    }
    world->alive[who] = false;
    wr_keeper_slot_dead(world->keeper, world->slot[who], lost, NULL);
    wr_proc_detach(world->proc[who]);
    world->proc[who] = NULL;
}

void kill_actor_attach(void) {
    attach(ACTOR);
    memset(world->seen, 0, sizeof world->seen);
}

void kill_actor_begin(void) {
    wr_keeper_actor_rewind(world->keeper, world->actor_port);
    wr_keeper_port_state(world->keeper, world->actor_port, WR_PORT_OPEN, 0);
    world->alive[ACTOR] = true;
}

void kill_fail_actor_port(void) {
    world->actor_port_dead = true;
    wr_keeper_port_fail(world->keeper, world->actor_port, 0, WR_LOST_ACTOR_DIED, lost, NULL);
}

/* The actor of before never began a call. */
static void pass_port_on(void) {
    wr_error err = {0};
    uint32_t ring;
    uint16_t again = 0;
    world->port_passes_on = false;
    world->port_passed_on = true;
    wr_keeper_port_fail(world->keeper, world->actor_port, 0, WR_LOST_ACTOR_DIED, lost, NULL);
    wr_keeper_port_close(world->keeper, world->actor_port);
    must(wr_keeper_port_open(world->keeper, true, &again, &err), "port_open", &err);
    if (again != world->actor_port) {
        kill_wrong("another port was given: the scenario shows nothing");
    }
    wr_keeper_port_takers(world->keeper, again, 1, false);
    for (kill_who who = DRIVER; who < WHO_COUNT; who++) {
        (void)!wr_keeper_ring_open(world->keeper, again, world->slot[who], &ring,
                                   NULL); /* the dead have none */
    }
}

void kill_world_open(void) {
    const wr_pool_geometry geometry = {
        .slots = 8,
        .ports = 4,
        .rings = 16,
        .ring_capacity = 16,
        .cells_per_extent = 16,
        .cell_extents = 24,
        .event_capacity = 32,
        .grant_capacity = 32,
        .trace_capacity = 4,
        .bells = 4,
        .heap_unit = HEAP_UNIT,
        .heap_bytes = 20 * HEAP_UNIT,
    };
    kill_world *w = kill_arena_new(sizeof(*w));
    wr_error err = {0};
    world = w;
    must(wr_pool_create(&geometry, &w->pool, &err), "pool_create", &err);
    WR_ASSERT(w->pool != NULL);
    /* A victim goes on in its parent's slot: the one place where a forked child must have these. */
    madvise(w->pool->control, w->pool->control_bytes, MADV_DOFORK);
    madvise(w->pool->heap_write, w->pool->heap_bytes, MADV_DOFORK);
    must(wr_keeper_new(w->pool, &w->keeper, &err), "keeper_new", &err);
    wr_result gone = kill_error_result();
    wr_proc_on_gone(wr_keeper_proc(w->keeper), &gone);
    must(wr_keeper_port_open(w->keeper, false, &w->port, &err), "port_open", &err);
    must(wr_keeper_port_open(w->keeper, true, &w->actor_port, &err), "port_open", &err);
    wr_keeper_port_state(w->keeper, w->port, WR_PORT_OPEN, 0);
    wr_keeper_port_state(w->keeper, w->actor_port, WR_PORT_OPEN, 0);
    for (kill_who who = DRIVER; who < WHO_COUNT; who++) {
        kill_attach(who);
    }
    wr_keeper_port_takers(w->keeper, w->port, 2, false);
    wr_keeper_port_takers(w->keeper, w->actor_port, 1, false);
    for (kill_who who = DRIVER; who < WHO_COUNT; who++) { /* each has cells and a unit of heap */
        wr_proc_unref(w->proc[who], kill_put_heap(who, 1, NULL, 0));
    }
    kill_pass();
}

/* ---- All ---- */

bool kill_acts(kill_who who, kill_who victim) {
    return who != victim && world->alive[who];
}

/* WORKER runs the task that hands it an object, then PEER gives the object up; the raylet is somewhere in its
 * pass. */
static void hand_over(kill_who victim) {
    wr_handle handle = world->hand_on;
    world->hand_on = 0;
    if (kill_acts(WORKER, victim) && kill_acts(PEER, victim)) {
        work(WORKER);
        kill_poll(PEER);
        wr_proc_unref(world->proc[PEER], handle);
    }
}

/* Writes over heap that was free a moment ago. */
static void scribble(kill_who who) {
    wr_error err = {0};
    uint64_t block, bytes = HEAP_UNIT;
    if (must(wr_proc_heap_alloc(world->proc[who], bytes, &block, &err), "heap_alloc", &err)) {
        memset(wr_pool_heap_write(world->pool, block, bytes), 0xa5, bytes);
        wr_proc_heap_free(world->proc[who], block);
    }
}

static void submit_anew(kill_who victim) {
    world->resubmit = false;
    if (kill_acts(DRIVER, victim)) {
        for (uint8_t k = 0; k < 4; k++) {
            kill_submit_id(DRIVER, (uint8_t)(100 + k));
        }
        for (; world->calls_anew != 0; world->calls_anew--) {
            kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE,
                                             .id = (uint8_t)(200 - world->calls_anew),
                                             .generation = world->calls_generation,
                                             .may_fail = world->calls_generation != 0,
                                             .to_actor = true});
        }
    }
    if (kill_acts(RIVAL, victim)) {
        kill_submit_id(RIVAL, 110);
        if (!world->raylet_stands) {
            scribble(RIVAL);
        }
    }
}

void kill_others(uint32_t rounds, kill_who victim) {
    static const kill_who takers[] = {WORKER, PEER, ACTOR}, drivers[] = {DRIVER, RIVAL};
    for (uint32_t r = 0; r < rounds && !world->failed; r++) {
        if (world->port_passes_on) {
            pass_port_on();
        }
        kill_pass();
        if (world->hand_on != 0) {
            hand_over(victim);
        }
        for (size_t k = 0; k < WR_COUNT_OF(takers); k++) {
            if (kill_acts(takers[k], victim)) {
                work(takers[k]);
            }
        }
        /* Drivers are slow: what they have not got yet stands several passes of the raylet. */
        for (size_t k = 0; k < WR_COUNT_OF(drivers) && r % 3 == 2; k++) {
            if (kill_acts(drivers[k], victim)) {
                kill_collect(drivers[k]);
            }
        }
        for (kill_who who = DRIVER; who < WHO_COUNT; who++) {
            if (kill_acts(who, victim)) {
                kill_poll(who);
            }
        }
        if (world->resubmit && r == 2) {
            submit_anew(victim);
        }
    }
}

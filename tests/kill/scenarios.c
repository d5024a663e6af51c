/* tests/kill/scenarios.c: one entry for each operation of the pool, in each situation that takes another way through it. */
#include "tests/kill/scenario.h"

#include "shm/proc_internal.h"

enum { FILL = 8, BIG_BYTES = 2 * HEAP_UNIT + 1000 }; /* BIG: two units, and pages of a third */

/* ---- Shorthands ---- */

static wr_proc *proc_of(kill_who who) {
    return world->proc[who];
}

static void nothing(void) {
}

static void fill_by(kill_who who, uint32_t count, uint8_t first) {
    for (uint32_t k = 0; k < count; k++) {
        kill_submit_id(who, (uint8_t)(first + k));
    }
}

static void fill(void) {
    fill_by(DRIVER, FILL, 10);
}

/* A task of DRIVER that is not done: value 16. */
static wr_handle pending(void) {
    return kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
}

static wr_handle sum_of(kill_who who, bool to_actor, const wr_handle *refs, uint32_t count, uint32_t expect) {
    return kill_submit(who, &(kill_call){.task = TASK_SUM, .refs = refs, .ref_count = count, .expect = expect,
                                         .to_actor = to_actor});
}

static wr_handle keep_of(kill_who who, wr_handle ref, bool forget) {
    return kill_submit(who, &(kill_call){.task = TASK_KEEP, .refs = &ref, .ref_count = 1, .forget = forget});
}

static void must_take(kill_who who, wr_claim *out) {
    if (!kill_take(who, out)) {
        kill_wrong("set-up: nothing to take");
    }
}

static void passes(uint32_t count) {
    for (uint32_t k = 0; k < count; k++) {
        kill_pass();
    }
}

/* ---- Submit ---- */

static void submit_driver(void) {
    kill_submit_id(DRIVER, 1);
}

static void submit_rival(void) {
    kill_submit_id(RIVAL, 1);
}

static void sleepers(void) {
    wr_slot_set_add(&world->pool->ports[world->port].sleepers, world->slot[WORKER]);
    wr_slot_set_add(&world->pool->ports[world->port].sleepers, world->slot[PEER]);
}

static void hungry(void) {
    wr_keeper_port_takers(world->keeper, world->port, 2, true);
}

static void fill_ring(void) {
    fill_by(DRIVER, world->pool->geometry.ring_capacity - 1, 10);
}

static void fill_backlog(void) {
    fill_by(DRIVER, world->pool->geometry.ring_capacity + 4, 10);
    for (uint32_t k = 0; k < 10; k++) {
        kill_run_next(WORKER);
    }
}

static void flush_driver(void) {
    wr_proc_flush(proc_of(DRIVER));
}

static void two_puts(void) {
    world->a = kill_put(DRIVER, 5);
    world->b = kill_put(DRIVER, 6);
    kill_expect(DRIVER, (kill_out){.handle = world->a, .expect = 5});
    kill_expect(DRIVER, (kill_out){.handle = world->b, .expect = 6});
}

static void submit_two_ready(void) {
    wr_handle refs[2] = {world->a, world->b};
    sum_of(DRIVER, false, refs, 2, 12);
}

static void one_pending(void) {
    world->a = pending();
}

static void submit_two_pending(void) {
    wr_handle refs[2] = {world->a, world->a};
    sum_of(DRIVER, false, refs, 2, 33);
}

static void pending_awaited(void) {
    wr_handle refs[2];
    world->a = refs[0] = refs[1] = pending();
    sum_of(DRIVER, false, refs, 1, 17);
    sum_of(DRIVER, false, refs, 2, 33);
}

static void pending_runs(void) {
    pending_awaited();
    must_take(WORKER, &world->busy[WORKER]);
}

static void submit_many(void) { /* links in a block: two ready, three pending */
    wr_handle refs[5] = {world->b, world->a, world->a, world->b, world->a};
    kill_submit(DRIVER, &(kill_call){.task = TASK_BLOCK, .refs = refs, .ref_count = 5, .expect = 61, .in_block = true});
}

static void pending_and_put(void) {
    world->a = pending();
    world->b = kill_put(DRIVER, 6);
    kill_expect(DRIVER, (kill_out){.handle = world->b, .expect = 6});
}

enum { JOINED = 63 }; /* one more than a task waits for without a join */

static void submit_joined(void) {
    wr_handle refs[JOINED];
    for (uint32_t k = 0; k < JOINED; k++) {
        refs[k] = world->a;
    }
    kill_submit(DRIVER, &(kill_call){.task = TASK_BLOCK, .refs = refs, .ref_count = JOINED, .expect = JOINED * 16 + 1,
                                     .in_block = true});
}

static void joined_waits(void) {
    one_pending();
    submit_joined();
    must_take(WORKER, &world->claim);
}

static void submit_block(void) {
    wr_handle refs[1] = {world->a};
    kill_submit(DRIVER, &(kill_call){.task = TASK_BLOCK, .refs = refs, .ref_count = 1, .expect = 6, .in_block = true});
}

static void submit_nested_refs(void) { /* the arguments' block names an object that the task does not wait for */
    kill_submit(DRIVER, &(kill_call){.task = TASK_BLOCK, .nested = &world->a, .nested_count = 1, .expect = 1,
                                     .in_block = true});
}

static void one_put_expected(void) {
    world->a = kill_put(DRIVER, 5);
    kill_expect(DRIVER, (kill_out){.handle = world->a, .expect = 5});
}

static void submit_actor_driver(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 30, .to_actor = true});
}

static void submit_actor_rival(void) {
    kill_submit(RIVAL, &(kill_call){.task = TASK_TRIPLE, .id = 30, .to_actor = true});
}

static void fill_actor(void) {
    for (uint8_t k = 0; k < 3; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(10 + k), .to_actor = true});
    }
    for (uint8_t k = 0; k < 2; k++) {
        kill_submit(RIVAL, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(20 + k), .to_actor = true});
    }
}

static void submit_actor_pending(void) {
    sum_of(DRIVER, true, &world->a, 1, 17);
}

static void submit_to_none(void) {
    world->by_handle = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 7, .to_none = true});
}

/* ---- Put ---- */

static void put_driver(void) {
    world->a = kill_put(DRIVER, 3);
    kill_expect(DRIVER, (kill_out){.handle = world->a, .expect = 3});
}

static void put_heap_driver(void) {
    world->a = kill_put_heap(DRIVER, 3, NULL, 0);
    kill_expect(DRIVER, (kill_out){.handle = world->a, .expect = 3});
}

static void two_objects(void) {
    world->a = kill_put(DRIVER, 5);
    kill_expect(DRIVER, (kill_out){.handle = world->a, .expect = 5});
    keep_of(DRIVER, world->a, false);
    kill_run_next(WORKER);
    world->b = kill_put(WORKER, 6);
}

static void put_container(void) { /* of WORKER: names an object of its own and a borrowed one */
    wr_handle refs[2] = {world->b, world->kept[WORKER]};
    wr_handle container = kill_put_heap(WORKER, 9, refs, 2);
    wr_proc_unref(proc_of(WORKER), world->b);
    wr_proc_unref(proc_of(WORKER), container);
}

/* The free list of DRIVER runs low; what it gets next waits in its ring of grants. */
static void few_cells(void) {
    uint32_t count = world->pool->geometry.cells_per_extent - 2;
    for (uint32_t k = 0; k < count; k++) {
        world->many[k] = kill_put(DRIVER, k);
        if (k < 5) { /* the raylet frees these */
            wr_proc_share(proc_of(DRIVER), world->many[k]);
        }
    }
    for (uint32_t k = 0; k < 5; k++) {
        wr_proc_unref(proc_of(DRIVER), world->many[k]);
    }
    passes(3);
    for (uint32_t k = 5; k < count; k++) {
        kill_expect(DRIVER, (kill_out){.handle = world->many[k], .expect = k});
    }
}

static void put_three(void) {
    for (uint32_t k = 0; k < 3; k++) {
        wr_handle handle = kill_put(DRIVER, k);
        kill_expect(DRIVER, (kill_out){.handle = handle, .expect = k});
    }
}

static void poll_driver(void) {
    wr_proc_poll(proc_of(DRIVER));
}

static void poll_worker(void) {
    wr_proc_poll(proc_of(WORKER));
}

static void waiting_grants(void) { /* an extent, a freed cell, a freed block */
    few_cells();
    world->a = kill_put_heap(DRIVER, 4, NULL, 0);
    wr_proc_share(proc_of(DRIVER), world->a);
    wr_proc_unref(proc_of(DRIVER), world->a);
    passes(3);
}

/* ---- Take ---- */

static void stale_bits(void) {
    kill_submit_id(DRIVER, 10);
    kill_run_next(PEER);
    wr_slot_set_add(&world->pool->ports[world->port].nonempty, world->slot[DRIVER]);
    wr_slot_set_add(&world->pool->ports[world->port].nonempty, world->slot[RIVAL]);
}

static void take_worker(void) {
    wr_claim claim;
    if (kill_take(WORKER, &claim)) {
        world->busy[WORKER] = claim;
    }
}

static void take_and_run(kill_who who) {
    kill_run_next(who);
    kill_run_next(who);
}

static void take_and_run_worker(void) {
    take_and_run(WORKER);
}

static void take_and_run_peer(void) {
    take_and_run(PEER);
}

static void many_empty_looks(void) { /* the next looks clear the bits */
    stale_bits();
    for (uint32_t k = 0; k < 30; k++) {
        kill_run_next(WORKER);
    }
}

static void two_more_looks(void) {
    kill_run_next(WORKER);
    kill_run_next(WORKER);
}

static void bit_cleared(void) { /* WORKER saw an empty ring and cleared its bit; in between a task came, whose submitter saw the bit */
    kill_submit_id(DRIVER, 10);
    wr_slot_set_remove(&world->pool->ports[world->port].nonempty, world->slot[DRIVER]);
    world->resubmit = false;
}

static void restore_bit(void) { /* the rest of that look */
    wr_slot_set_add(&world->pool->ports[world->port].nonempty, world->slot[DRIVER]);
}

static void two_submitters(void) {
    for (uint8_t k = 0; k < 5; k++) {
        kill_submit_id(DRIVER, (uint8_t)(10 + k));
        kill_submit_id(RIVAL, (uint8_t)(30 + k));
    }
}

static void reserved_by_worker(void) { /* WORKER holds a reservation and stands in its first task */
    fill_by(DRIVER, 12, 10);
    must_take(WORKER, &world->busy[WORKER]);
}

static void reserved_by_victim(void) {
    fill_by(DRIVER, 12, 10);
    wr_claim claim;
    must_take(WORKER, &claim);
    kill_run(WORKER, &claim);
}

static void all_reserved_by_worker(void) { /* PEER has looked so often that its next looks go to WORKER's reservation */
    reserved_by_worker();
    while (wr_cell_state_of(world->pool, world->out[DRIVER][11].handle) != WR_CELL_SEALED) {
        kill_run_next(PEER);
    }
    for (uint32_t k = 0; k < 14; k++) {
        kill_run_next(PEER);
    }
}

static void steal_peer(void) {
    kill_run_next(PEER);
    kill_run_next(PEER);
    kill_run_next(PEER);
}

static void blocked_worker(void) {
    wr_proc_activity(proc_of(WORKER), WR_BLOCKED);
    wr_proc_activity(proc_of(WORKER), WR_RUNNING);
}

static void reserved_in_claim(void) {
    reserved_by_worker();
    world->claim = world->busy[WORKER];
    world->busy[WORKER].handle = 0;
}

static void block_and_seal(void) {
    blocked_worker();
    kill_run(WORKER, &world->claim);
}

static void none_waits(void) {
    world->by_handle = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .to_none = true, .expect = 1});
}

static void claim_none(void) {
    wr_claim claim;
    if (wr_proc_claim(proc_of(WORKER), 0, world->by_handle, &claim) == WR_OK) {
        kill_run(WORKER, &claim);
    }
}

/* ---- Seal, give back, retry, cancel ---- */

static void taken(void) {
    kill_submit_id(DRIVER, 9);
    must_take(WORKER, &world->claim);
}

static void taken_last_attempt(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 9, .no_retries = true, .may_fail = true});
    must_take(WORKER, &world->claim);
}

static void taken_again(void) { /* by a new process in the slot of one that was thought dead, and still writes */
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 9});
    wr_claim late;
    wr_proc *late_proc = world->proc[WORKER];
    must_take(WORKER, &late);
    kill_reap(WORKER);
    kill_attach(WORKER);
    must_take(WORKER, &world->claim);
    wr_result result = {.kind = KIND_VALUE, .location = WR_AT_INLINE, .bytes = 4};
    if (wr_proc_seal(late_proc, &late, &result) || wr_proc_retry_in_place(late_proc, &late)) {
        kill_wrong("a claim of an earlier epoch was honoured");
    }
}

static void taken_watched(void) {
    taken();
    atomic_fetch_or(&wr_cell_at(world->pool, world->claim.handle)->ctl, WR_FLAG_WAIT1 | WR_FLAG_WAITN);
}

static void taken_awaited(void) {
    pending_awaited();
    must_take(WORKER, &world->claim);
}

static void taken_heap(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_HEAP, .id = 9});
    must_take(WORKER, &world->claim);
}

static void taken_heap_awaited(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_HEAP, .id = 9});
    sum_of(DRIVER, false, &world->a, 1, 29);
    must_take(WORKER, &world->claim);
    atomic_fetch_or(&wr_cell_at(world->pool, world->a)->ctl, WR_FLAG_WAITN);
}

static void awaited_by_actor(void) {
    world->a = pending();
    sum_of(DRIVER, true, &world->a, 1, 17);
    must_take(WORKER, &world->claim);
}

static void awaited_by_rival(void) { /* the waiting task is another process's: its cell and link are foreign */
    world->a = pending();
    wr_proc_share(proc_of(DRIVER), world->a);
    wr_proc_borrow(world->proc[RIVAL], world->a);
    sum_of(RIVAL, false, &world->a, 1, 17);
    wr_proc_unref(world->proc[RIVAL], world->a);
    must_take(WORKER, &world->claim);
}

static void seal_worker(void) {
    kill_run(WORKER, &world->claim);
}

static void give_back(void) {
    wr_proc_give_back(proc_of(WORKER), &world->claim,
                      WR_LOAD(&world->pool->ports[world->port].ring_of[world->slot[WORKER]]) - 1);
}

static void retry_and_seal(void) {
    if (wr_proc_retry_in_place(proc_of(WORKER), &world->claim)) {
        kill_run(WORKER, &world->claim);
    }
}

static void cancel(wr_handle handle) {
    wr_result error = kill_error_result();
    uint32_t slot, epoch;
    wr_proc_cancel(proc_of(DRIVER), handle, &error, &slot, &epoch);
}

static void cancellable(void) { /* world->a: READY, and two tasks wait for it */
    wr_handle refs[2];
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5, .may_fail = true});
    refs[0] = refs[1] = world->a;
    world->b = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = refs, .ref_count = 2, .expect = 33,
                                                .may_fail = true});
    kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &world->b, .ref_count = 1, .expect = 34, .may_fail = true});
}

static void cancel_ready(void) {
    cancel(world->a);
}

static void cancel_waiting(void) {
    cancel(world->b);
}

/* ---- Waiting ---- */

static void wait_driver(void) {
    wr_status status = wr_proc_wait(proc_of(DRIVER), world->a, 200000, 0);
    if (status != WR_OK && status != WR_E_TIMEOUT && status != WR_E_INTERRUPTED) {
        kill_wrong("wait: %s", wr_status_name(status));
    }
}

static void two_pending(void) {
    world->a = pending();
    world->b = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 6});
}

static void wait_many_driver(void) {
    wr_handle handles[2] = {world->a, world->b};
    uint32_t ready;
    wr_status status = wr_proc_wait_many(proc_of(DRIVER), handles, 2, 1, 200000, 0, &ready);
    if (status != WR_OK && status != WR_E_TIMEOUT && status != WR_E_INTERRUPTED) {
        kill_wrong("wait_many: %s", wr_status_name(status));
    }
}

static void idle_worker(void) {
    wr_proc_idle(proc_of(WORKER), 0);
    take_worker();
}

static void idle_actor(void) {
    wr_proc_idle(proc_of(ACTOR), 0);
    kill_run_next(ACTOR);
}

/* ---- References ---- */

static void one_put(void) {
    world->a = kill_put(DRIVER, 5);
}

static void unref_driver(void) {
    wr_proc_unref(proc_of(DRIVER), world->a);
}

static void unref_worker(void) {
    wr_proc_unref(proc_of(WORKER), world->a);
}

static wr_handle container_of_three(void) {
    wr_handle inner[3];
    for (uint32_t k = 0; k < 3; k++) {
        inner[k] = kill_put(DRIVER, k);
    }
    wr_handle container = kill_put_heap(DRIVER, 9, inner, 3);
    for (uint32_t k = 0; k < 3; k++) {
        wr_proc_unref(proc_of(DRIVER), inner[k]);
    }
    return container;
}

static void two_containers(void) {
    world->a = container_of_three();
    world->b = container_of_three();
    passes(3);
}

static void unref_both(void) { /* what they name is let go in one pass of the raylet */
    wr_proc_unref(proc_of(DRIVER), world->a);
    wr_proc_unref(proc_of(DRIVER), world->b);
}

static void one_heap_put(void) {
    world->a = kill_put_heap(DRIVER, 5, NULL, 0);
}

static wr_handle open_sum(void) {
    wr_handle ref = kill_put(DRIVER, 5);
    wr_handle task = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &ref, .ref_count = 1, .expect = 6});
    world->out_count[DRIVER]--; /* the victim drops it */
    wr_proc_unref(proc_of(DRIVER), ref);
    return task;
}

static void open_task(void) {
    world->a = open_sum();
}

static void done_task(void) {
    world->a = open_sum();
    kill_run_next(WORKER);
}

static void done_block_task(void) {
    wr_handle refs[5];
    for (uint32_t k = 0; k < 5; k++) {
        refs[k] = kill_put(DRIVER, k);
    }
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_BLOCK, .refs = refs, .ref_count = 5, .expect = 11,
                                                .in_block = true});
    world->out_count[DRIVER]--;
    for (uint32_t k = 0; k < 5; k++) {
        wr_proc_unref(proc_of(DRIVER), refs[k]);
    }
    kill_run_next(WORKER);
}

static void done_heap_task(void) { /* the result lies in WORKER's heap */
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_HEAP, .id = 9});
    world->out_count[DRIVER]--;
    kill_run_next(WORKER);
}

static void done_heap_task_awaited(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_HEAP, .id = 9});
    kill_run_next(WORKER);
}

static void limbo(void) { /* three dropped tasks in a chain, just done */
    wr_handle first = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    wr_handle second = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &first, .ref_count = 1});
    wr_handle third = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &second, .ref_count = 1});
    world->out_count[DRIVER] = 0;
    wr_proc_unref(proc_of(DRIVER), first);
    wr_proc_unref(proc_of(DRIVER), second);
    wr_proc_unref(proc_of(DRIVER), third);
    for (uint32_t k = 0; k < 3; k++) {
        kill_run_next(WORKER);
    }
}

static void keep_taken(void) { /* WORKER stands in a task that keeps an object of DRIVER; DRIVER gave it up */
    world->a = kill_put(DRIVER, 5);
    keep_of(DRIVER, world->a, false);
    wr_proc_unref(proc_of(DRIVER), world->a);
    must_take(WORKER, &world->claim);
}

static void kept_by_worker(void) {
    keep_taken();
    kill_run(WORKER, &world->claim);
    kill_collect(DRIVER);
    kill_pass();
    world->a = world->kept[WORKER];
    world->kept[WORKER] = 0;
}

static void kept_of_driver(void) { /* WORKER keeps it, DRIVER still counts it */
    world->a = kill_put(DRIVER, 5);
    keep_of(DRIVER, world->a, true);
    kill_run_next(WORKER);
    kill_poll(DRIVER);
}

static void kept_alone(void) {
    kept_of_driver();
    wr_proc_unref(proc_of(DRIVER), world->a);
}

static void nested_task(void) { /* WORKER submits a task on what it borrowed */
    kill_submit(WORKER, &(kill_call){.task = TASK_SUM, .refs = &world->kept[WORKER], .ref_count = 1, .expect = 6,
                                     .forget = true});
}

static void hand_on_borrowed(void) {
    wr_handle kept = world->kept[WORKER];
    wr_handle task = kill_submit(WORKER, &(kill_call){.task = TASK_KEEP, .refs = &kept, .ref_count = 1});
    world->out_count[WORKER]--;
    world->kept[WORKER] = 0;
    wr_proc_unref(proc_of(WORKER), kept);
    wr_proc_unref(proc_of(WORKER), task);
}

static void kept_of_driver_awaited(void) {
    kept_of_driver();
    kill_expect(DRIVER, (kill_out){.handle = world->a, .expect = 5});
}

static void earlier_generation(void) { /* WORKER alone holds an object; another lay in its cell before */
    world->a = kill_put(DRIVER, 4);
    wr_proc_unref(proc_of(DRIVER), world->a);
    wr_handle object = kill_put(DRIVER, 5);
    if (wr_index_of(object) != wr_index_of(world->a)) {
        kill_wrong("set-up: the cell was not used again");
    }
    keep_of(DRIVER, object, true);
    kill_run_next(WORKER);
    wr_proc_unref(proc_of(DRIVER), object);
    passes(3);
}

static void stale_events(void) { /* as a process sends them that has lost count */
    wr_proc_emit(proc_of(WORKER), WR_EVENT_DROP, world->a);
    wr_proc_emit(proc_of(WORKER), WR_EVENT_HOLD, world->a);
}

static void ref_and_unref(void) {
    wr_proc_ref(proc_of(WORKER), world->kept[WORKER]);
    wr_proc_unref(proc_of(WORKER), world->kept[WORKER]);
}

static void nest_taken(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_NEST});
    must_take(WORKER, &world->claim);
}

static void nest_heap_taken(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_NEST_HEAP});
    must_take(WORKER, &world->claim);
}

static void nest_done(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_NEST});
    kill_run_next(WORKER);
}

static void nest_heap_done(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_NEST_HEAP});
    kill_run_next(WORKER);
}

static void collect_driver(void) {
    kill_collect(DRIVER);
}

/* ---- A creator dies ---- */

static void keeper_busy(void) {
    world->a = kill_put(DRIVER, 5);
    keep_of(DRIVER, world->a, false);
    must_take(WORKER, &world->busy[WORKER]);
    kill_submit_id(DRIVER, 33);
}

static void awaited_busy(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    world->out_count[DRIVER]--;
    kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &world->a, .ref_count = 1, .forget = true});
    must_take(WORKER, &world->busy[WORKER]);
}

static void chain(void) { /* three tasks of DRIVER, each waits for the one before; none is awaited by DRIVER */
    wr_handle first, second;
    world->a = first = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    second = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &first, .ref_count = 1});
    kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &second, .ref_count = 1, .expect = 18});
    world->out[DRIVER][0].handle = world->out[DRIVER][1].handle = 0;
    wr_proc_unref(proc_of(DRIVER), second);
}

static void awaited_abroad(void) { /* RIVAL waits for a READY task of DRIVER, which dies: an error must come, or the value */
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    world->out_count[DRIVER]--;
    wr_proc_share(proc_of(DRIVER), world->a);
    wr_proc_borrow(world->proc[RIVAL], world->a);
    kill_submit(RIVAL, &(kill_call){.task = TASK_SUM, .refs = &world->a, .ref_count = 1, .expect = 17, .may_fail = true});
    wr_proc_unref(world->proc[RIVAL], world->a);
}

static void awaited_abroad_late(void) { /* the same, but what RIVAL waits for waits itself */
    wr_handle first = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &first, .ref_count = 1});
    world->out_count[DRIVER] = 0;
    wr_proc_unref(proc_of(DRIVER), first);
    wr_proc_share(proc_of(DRIVER), world->a);
    wr_proc_borrow(world->proc[RIVAL], world->a);
    kill_submit(RIVAL, &(kill_call){.task = TASK_SUM, .refs = &world->a, .ref_count = 1, .expect = 18, .may_fail = true});
    wr_proc_unref(world->proc[RIVAL], world->a);
}

/* ---- Streams ---- */

static void generator_submitted(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_ITEMS, .window = 4});
}

static void credit_driver(void) {
    wr_handle items[4];
    uint32_t count = 0;
    wr_error err = {0};
    wr_status status = wr_proc_credit(proc_of(DRIVER), world->a, 2, items, &count, &err);
    if (status != WR_OK) {
        kill_wrong("credit: %s (%s)", wr_status_name(status), err.text);
    }
    for (uint32_t k = 0; k < count; k++) {
        kill_expect(DRIVER, (kill_out){.handle = items[k], .expect = 100 + k});
    }
}

static void generator_taken(void) {
    generator_submitted();
    must_take(WORKER, &world->claim);
    credit_driver();
}

static void generator_starved(void) { /* it waits for credits */
    generator_submitted();
    must_take(WORKER, &world->busy[WORKER]);
}

static void generator_half(void) { /* one item is sealed */
    generator_taken();
    wr_claim item;
    if (wr_proc_credit_claim(world->proc[WORKER], &world->claim, 1, 0, &item) != WR_OK) {
        kill_wrong("set-up: no credit");
        return;
    }
    uint32_t value = 100;
    wr_result result = {.kind = KIND_VALUE, .location = WR_AT_INLINE, .bytes = 4};
    memcpy(result.inline_bytes, &value, sizeof value);
    wr_proc_seal(world->proc[WORKER], &item, &result);
}

static void withdraw_item(void) {
    cancel(world->out[DRIVER][2].handle);
}

static void generator_with_credits(void) { /* the consumer is about to take one back: what follows may fail */
    generator_submitted();
    credit_driver();
    for (uint32_t k = 0; k < world->out_count[DRIVER]; k++) {
        world->out[DRIVER][k].may_fail = true;
    }
    must_take(WORKER, &world->busy[WORKER]);
}

/* ---- Actor ---- */

static void actor_runs_two(void) {
    take_and_run(ACTOR);
}

static void actor_pending(void) {
    world->a = pending();
    sum_of(DRIVER, true, &world->a, 1, 17);
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 40, .to_actor = true});
    kill_submit(RIVAL, &(kill_call){.task = TASK_TRIPLE, .id = 41, .to_actor = true});
}

static void actor_pending_behind(void) { /* the call that waits stands inside what is reserved at once */
    for (uint8_t k = 0; k < 2; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(10 + k), .to_actor = true});
    }
    world->a = pending();
    sum_of(DRIVER, true, &world->a, 1, 17);
    for (uint8_t k = 0; k < 5; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(20 + k), .to_actor = true});
    }
}

static void actor_runs_three(void) {
    take_and_run(ACTOR);
    kill_run_next(ACTOR);
}

static void actor_taken(void) {
    fill_actor();
    must_take(ACTOR, &world->claim);
}

static void actor_taken_ring_full(void) { /* all that the ring holds was called after it */
    for (uint8_t k = 0; k < 15; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(10 + k), .to_actor = true});
    }
    must_take(ACTOR, &world->claim);
    for (uint8_t k = 15; k < 20; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(10 + k), .to_actor = true});
    }
}

static void actor_seals(void) {
    kill_run(ACTOR, &world->claim);
}

static void actor_retries(void) {
    if (wr_proc_retry_in_place(proc_of(ACTOR), &world->claim)) {
        kill_run(ACTOR, &world->claim);
    }
}

static void actor_lapped(void) { /* the ring went round once, and one call of the newest round has begun */
    for (uint32_t round = 0; round < 3; round++) {
        for (uint8_t k = 0; k < 10; k++) {
            kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .to_actor = true, .expect = 1, .forget = true});
        }
        for (uint8_t k = 0; k < 10; k++) {
            kill_run_next(ACTOR);
        }
        kill_poll(DRIVER);
    }
    fill_actor();
}

/* ---- Heap ---- */

static void alloc_small(void) {
    world->block = kill_block(DRIVER, 1, NULL, 0, 0, 0);
    wr_proc_heap_free(proc_of(DRIVER), world->block);
}

static void one_heap_put_awaited(void) {
    wr_handle handle = kill_put_heap(DRIVER, 2, NULL, 0);
    kill_expect(DRIVER, (kill_out){.handle = handle, .expect = 2});
}

static void small_block(void) {
    world->block = kill_block(DRIVER, 1, NULL, 0, 0, 0);
    one_heap_put_awaited();
}

static void free_small(void) {
    wr_proc_heap_free(proc_of(DRIVER), world->block);
}

static void big_extent(void) { /* an extent for a large block is held, and cached */
    wr_error err = {0};
    if (wr_proc_heap_alloc(proc_of(DRIVER), BIG_BYTES, &world->big_block, &err) != WR_OK) {
        kill_wrong("set-up: heap_alloc: %s", err.text);
        return;
    }
    wr_proc_heap_free(proc_of(DRIVER), world->big_block);
}

static void many_grants(void) { /* DRIVER has not looked at its grants for so long that the ring is full */
    uint32_t count = world->pool->geometry.grant_capacity + 2;
    for (uint32_t k = 0; k < count; k++) {
        world->many[k] = kill_put(DRIVER, k);
        wr_proc_share(proc_of(DRIVER), world->many[k]);
    }
    for (uint32_t k = 0; k < count; k++) {
        wr_proc_unref(proc_of(DRIVER), world->many[k]);
        if (k % 8 == 0) {
            kill_pass();
        }
    }
    passes(3);
}

enum { MEDIUM_BYTES = HEAP_UNIT * 5 / 8 };

static void many_grants_no_room(void) { /* and its unit of heap has no room for a second block of this size */
    many_grants();
    wr_error err = {0};
    if (wr_proc_heap_alloc(proc_of(DRIVER), MEDIUM_BYTES, &world->block, &err) != WR_OK) {
        kill_wrong("set-up: heap_alloc: %s", err.text);
    }
}

static void alloc_medium(void) {
    wr_error err = {0};
    uint64_t block;
    if (wr_proc_heap_alloc(proc_of(DRIVER), MEDIUM_BYTES, &block, &err) != WR_OK) {
        kill_wrong("heap_alloc: %s", err.text);
        return;
    }
    wr_proc_heap_free(proc_of(DRIVER), block);
    wr_proc_heap_free(proc_of(DRIVER), world->block);
}

static void alloc_big(void) { /* a fresh extent is asked for: the raylet answers while the victim waits */
    wr_error err = {0};
    uint64_t block;
    if (wr_proc_heap_alloc(proc_of(DRIVER), BIG_BYTES, &block, &err) != WR_OK) {
        kill_wrong("heap_alloc: %s", err.text);
        return;
    }
    wr_proc_heap_free(proc_of(DRIVER), block);
}

/* ---- The raylet, stopped in what it does; it lives on ---- */

static void pass_raylet(void) {
    wr_keeper_pass(world->keeper);
}

static void hold_on_its_way(void) {
    wr_handle object = kill_put(RIVAL, 5);
    keep_of(RIVAL, object, false);
    wr_proc_unref(world->proc[RIVAL], object);
    kill_submit_id(DRIVER, 50);
}

/* PEER alone holds an object of RIVAL and hands it to WORKER by a task. While the raylet stands in its pass, WORKER, whose ring
 * was read earlier, keeps it, and PEER, whose ring is read later, drops it. */
static void handed_over(bool removal_waits) {
    wr_handle object = kill_put(RIVAL, 5);
    wr_handle task = keep_of(RIVAL, object, false);
    world->out_count[RIVAL]--;
    kill_run_next(PEER);
    wr_proc_unref(world->proc[RIVAL], task);
    if (!removal_waits) {
        wr_proc_unref(world->proc[RIVAL], object);
        passes(3);
    }
    keep_of(PEER, world->kept[PEER], true);
    world->hand_on = world->kept[PEER];
    world->kept[PEER] = 0;
    if (removal_waits) { /* a removal is waiting for its grace already */
        kill_pass();
        wr_proc_unref(world->proc[RIVAL], object);
        kill_pass();
    }
    world->resubmit = false;
}

static void handed_over_plain(void) {
    handed_over(false);
}

static void handed_over_late(void) {
    handed_over(true);
}

static void blocks_on_their_way(void) { /* results in WORKER's heap, dropped by their creator */
    for (uint32_t k = 0; k < 2; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_HEAP, .id = (uint8_t)(9 + k)});
        kill_run_next(WORKER);
    }
    kill_collect(DRIVER);
}

/* A process that has died: the reaper is stopped in its work. */
static void reap_worker(void) {
    kill_reap(WORKER);
}

static void reap_driver(void) {
    kill_reap(DRIVER);
}

static void reap_actor(void) {
    kill_reap(ACTOR);
}

static void rewind_actor(void) {
    kill_actor_begin();
}

static void worker_dies_busy(void) {
    kill_submit(RIVAL, &(kill_call){.task = TASK_NEST});
    kill_run_next(WORKER);
    taken_awaited();
    world->alive[WORKER] = false;
}

static void driver_dies_busy(void) {
    awaited_abroad_late();
    kill_submit_id(RIVAL, 60);
    world->alive[DRIVER] = false;
}

static void actor_dies_busy(void) {
    actor_taken();
    world->alive[ACTOR] = false;
}

static void actor_is_dead(void) {
    actor_taken();
    kill_reap(ACTOR);
    kill_actor_attach();
}

static void actor_is_dead_ring_full(void) { /* DRIVER's ring is full, and its first calls are done: their places will be used */
    for (uint8_t k = 0; k < 15; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(10 + k), .to_actor = true});
    }
    for (uint8_t k = 0; k < 5; k++) {
        kill_run_next(ACTOR);
    }
    kill_reap(ACTOR);
    kill_actor_attach();
    world->calls_anew = 4;
}

static void fail_port(void) {
    kill_fail_actor_port();
}

static void failing_port(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &world->a, .ref_count = 1, .expect = 17, .to_actor = true,
                                     .may_fail = true});
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 40, .to_actor = true, .may_fail = true});
    kill_submit(RIVAL, &(kill_call){.task = TASK_TRIPLE, .id = 41, .to_actor = true, .may_fail = true});
    kill_reap(ACTOR);
}

static void failed_port(void) {
    failing_port();
    kill_fail_actor_port();
}

static void submit_failed_port(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 42, .to_actor = true, .may_fail = true});
}

const kill_scenario kill_scenarios[] = {
    {"submit: queue empty", DRIVER, nothing, submit_driver, UNFED},
    {"submit: queue empty, sleepers", DRIVER, sleepers, submit_driver, UNFED},
    {"submit: queue empty, raylet hungry", DRIVER, hungry, submit_driver, UNFED},
    {"submit: 8 queued", DRIVER, fill, submit_driver, UNFED},
    {"submit: second driver, 8 queued", RIVAL, fill, submit_rival, UNFED},
    {"submit: ring full", DRIVER, fill_ring, submit_driver, UNFED},
    {"submit: backlog flushed", DRIVER, fill_backlog, flush_driver, UNFED},
    {"submit: two ready references", DRIVER, two_puts, submit_two_ready, UNFED},
    {"submit: two pending references", DRIVER, one_pending, submit_two_pending, UNFED},
    {"submit: pending, others wait for it too", DRIVER, pending_awaited, submit_two_pending, UNFED},
    {"submit: pending that runs", DRIVER, pending_runs, submit_two_pending, UNFED},
    {"submit: five references in a block", DRIVER, pending_and_put, submit_many, UNFED},
    {"submit: 63 pending references, joined", DRIVER, one_pending, submit_joined, UNFED},
    {"submit: arguments in a block", DRIVER, one_put_expected, submit_block, UNFED},
    {"submit: nested reference in a block", DRIVER, one_put_expected, submit_nested_refs, UNFED},
    {"submit: actor, empty", DRIVER, nothing, submit_actor_driver, UNFED},
    {"submit: actor, filled", RIVAL, fill_actor, submit_actor_rival, UNFED},
    {"submit: actor, pending", DRIVER, one_pending, submit_actor_pending, UNFED},
    {"submit: actor port that failed", DRIVER, failed_port, submit_failed_port, UNFED},
    {"submit: no port", DRIVER, nothing, submit_to_none, UNFED},
    {"put: inline", DRIVER, nothing, put_driver, UNFED},
    {"put: heap", DRIVER, nothing, put_heap_driver, UNFED},
    {"put: container of own and borrowed", WORKER, two_objects, put_container, UNFED},
    {"put: few cells left, grants wait", DRIVER, few_cells, put_three, UNFED},
    {"poll: extent, cell and block granted", DRIVER, waiting_grants, poll_driver, UNFED},
    {"poll: limbo", DRIVER, limbo, poll_driver, UNFED},
    {"poll: block of a result comes back", WORKER, blocks_on_their_way, poll_worker, UNFED},
    {"take: empty, stale bits", WORKER, stale_bits, take_worker, UNFED},
    {"take: 8 queued", WORKER, fill, take_worker, UNFED},
    {"take: two submitters", WORKER, two_submitters, take_worker, UNFED},
    {"take: stolen from a reservation", PEER, all_reserved_by_worker, steal_peer, UNFED},
    {"take: many empty looks", WORKER, many_empty_looks, two_more_looks, UNFED},
    {"take: bit cleared, to be restored", WORKER, bit_cleared, restore_bit, UNFED},
    {"take and run: 8 queued", WORKER, fill, take_and_run_worker, UNFED},
    {"take and run: two submitters", WORKER, two_submitters, take_and_run_worker, UNFED},
    {"take and run: reservation left", WORKER, reserved_by_victim, take_and_run_worker, UNFED},
    {"take and run: reservation of another", PEER, reserved_by_worker, take_and_run_peer, UNFED},
    {"take: blocked with a reservation", WORKER, reserved_in_claim, block_and_seal, UNFED},
    {"claim by handle", WORKER, none_waits, claim_none, UNFED},
    {"seal: inline", WORKER, taken, seal_worker, UNFED},
    {"seal: no retries left", WORKER, taken_last_attempt, seal_worker, UNFED},
    {"seal: by the second in its slot", WORKER, taken_again, seal_worker, UNFED},
    {"seal: waiters", WORKER, taken_watched, seal_worker, UNFED},
    {"seal: two tasks wait for it", WORKER, taken_awaited, seal_worker, UNFED},
    {"seal: joined task waits for it", WORKER, joined_waits, seal_worker, UNFED},
    {"seal: actor call waits for it", WORKER, awaited_by_actor, seal_worker, UNFED},
    {"seal: task of another process waits for it", WORKER, awaited_by_rival, seal_worker, UNFED},
    {"seal: heap", WORKER, taken_heap, seal_worker, UNFED},
    {"seal: heap, awaited and watched", WORKER, taken_heap_awaited, seal_worker, UNFED},
    {"give back", WORKER, taken, give_back, UNFED},
    {"retry in place", WORKER, taken_awaited, retry_and_seal, UNFED},
    {"cancel: ready, awaited", DRIVER, cancellable, cancel_ready, UNFED},
    {"cancel: waiting, awaited", DRIVER, cancellable, cancel_waiting, UNFED},
    {"wait: sleeps", DRIVER, one_pending, wait_driver, UNFED},
    {"wait: many", DRIVER, two_pending, wait_many_driver, UNFED},
    {"idle: empty", WORKER, nothing, idle_worker, UNFED},
    {"idle: queue filled", WORKER, fill, idle_worker, UNFED},
    {"idle: actor, head waits", ACTOR, actor_pending, idle_actor, UNFED},
    {"unref: put", DRIVER, one_put, unref_driver, UNFED},
    {"unref: heap put", DRIVER, one_heap_put, unref_driver, UNFED},
    {"unref: two containers of three", DRIVER, two_containers, unref_both, UNFED},
    {"unref: done task", DRIVER, done_task, unref_driver, UNFED},
    {"unref: done task with a block", DRIVER, done_block_task, unref_driver, UNFED},
    {"unref: done task, result in another's heap", DRIVER, done_heap_task, unref_driver, UNFED},
    {"get: done task, result in another's heap", DRIVER, done_heap_task_awaited, collect_driver, UNFED},
    {"unref: open task", DRIVER, open_task, unref_driver, UNFED},
    {"unref: kept by a worker", WORKER, kept_by_worker, unref_worker, UNFED},
    {"unref: creator of what is kept", DRIVER, kept_of_driver, unref_driver, UNFED},
    {"ref and unref of what is kept", WORKER, kept_of_driver_awaited, ref_and_unref, UNFED},
    {"event: of an earlier generation", WORKER, earlier_generation, stale_events, UNFED},
    {"borrow: seal and keep", WORKER, keep_taken, seal_worker, UNFED},
    {"borrow: nested task", WORKER, kept_alone, nested_task, UNFED},
    {"borrow: handed on", WORKER, kept_alone, hand_on_borrowed, UNFED},
    {"contain: inline result", WORKER, nest_taken, seal_worker, UNFED},
    {"contain: heap result", WORKER, nest_heap_taken, seal_worker, UNFED},
    {"contain: got", DRIVER, nest_done, collect_driver, UNFED},
    {"contain: got from a heap", DRIVER, nest_heap_done, collect_driver, UNFED},
    {"creator dies: a worker keeps its argument", DRIVER, keeper_busy, unref_driver, UNFED},
    {"creator dies: a task waits for what runs", DRIVER, awaited_busy, unref_driver, UNFED},
    {"creator dies: chain", DRIVER, chain, unref_driver, UNFED},
    {"creator dies: another awaits its task", DRIVER, awaited_abroad, unref_driver, UNFED},
    {"creator dies: another awaits its waiting task", DRIVER, awaited_abroad_late, unref_driver, UNFED},
    {"stream: credit", DRIVER, generator_submitted, credit_driver, UNFED},
    {"stream: credit, producer waits", DRIVER, generator_starved, credit_driver, UNFED},
    {"stream: items", WORKER, generator_taken, seal_worker, UNFED},
    {"stream: items, replayed", WORKER, generator_half, seal_worker, UNFED},
    {"stream: credit withdrawn", DRIVER, generator_with_credits, withdraw_item, UNFED},
    {"actor: two calls", ACTOR, fill_actor, actor_runs_two, UNFED},
    {"actor: pending argument", ACTOR, actor_pending, actor_runs_two, UNFED},
    {"actor: pending argument behind others", ACTOR, actor_pending_behind, actor_runs_three, UNFED},
    {"actor: retry in place", ACTOR, actor_taken, actor_retries, UNFED},
    {"actor: seal, ring full", ACTOR, actor_taken_ring_full, actor_seals, UNFED},
    {"actor: lapped ring", ACTOR, actor_lapped, actor_runs_two, UNFED},
    {"heap: small block", DRIVER, nothing, alloc_small, UNFED},
    {"heap: free small block", DRIVER, small_block, free_small, UNFED},
    {"heap: big block, cached", DRIVER, big_extent, alloc_big, UNFED},
    {"heap: unit granted behind a full ring", DRIVER, many_grants_no_room, alloc_medium, FED},
    {"heap: big block, granted", DRIVER, nothing, alloc_big, FED},
    {"raylet: pass, hold on its way", RAYLET, hold_on_its_way, pass_raylet, UNFED},
    {"raylet: pass, handed on, then dropped", RAYLET, handed_over_plain, pass_raylet, UNFED},
    {"raylet: pass, handed on while a removal waits", RAYLET, handed_over_late, pass_raylet, UNFED},
    {"raylet: pass, nested object", RAYLET, nest_done, pass_raylet, UNFED},
    {"raylet: pass, blocks", RAYLET, blocks_on_their_way, pass_raylet, UNFED},
    {"raylet: reaps a worker", RAYLET, worker_dies_busy, reap_worker, UNFED},
    {"raylet: reaps a driver", RAYLET, driver_dies_busy, reap_driver, UNFED},
    {"raylet: reaps an actor", RAYLET, actor_dies_busy, reap_actor, UNFED},
    {"raylet: rewinds an actor", RAYLET, actor_is_dead, rewind_actor, UNFED},
    {"raylet: rewinds an actor, its ring is lapped", RAYLET, actor_is_dead_ring_full, rewind_actor, UNFED},
    {"raylet: fails a port", RAYLET, failing_port, fail_port, UNFED},
};
const uint32_t kill_scenario_count = WR_COUNT_OF(kill_scenarios);

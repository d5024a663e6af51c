/* tests/kill/scenarios_task.c: tasks: submitting, taking, sealing, cancelling and awaiting them; streams and
 * actors. */
#include "tests/kill/scenario.h"

enum { FILL = 8 };

/* ---- Shorthands ---- */

static void fill_by(kill_who who, uint32_t count, uint8_t first) {
    for (uint32_t k = 0; k < count; k++) {
        kill_submit_id(who, (uint8_t)(first + k));
    }
}

static void fill(void) {
    fill_by(DRIVER, FILL, 10);
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
    wr_proc_flush(kit_proc_of(DRIVER));
}

static void two_puts(void) {
    world->a = kill_put(DRIVER, 5);
    world->b = kill_put(DRIVER, 6);
    kill_expect(DRIVER, (kill_out){.handle = world->a, .expect = 5});
    kill_expect(DRIVER, (kill_out){.handle = world->b, .expect = 6});
}

static void submit_two_ready(void) {
    wr_handle refs[2] = {world->a, world->b};
    kit_sum_of(DRIVER, false, refs, 2, 12);
}

static void one_pending(void) {
    world->a = kit_pending();
}

static void submit_two_pending(void) {
    wr_handle refs[2] = {world->a, world->a};
    kit_sum_of(DRIVER, false, refs, 2, 33);
}

static void pending_runs(void) {
    kit_pending_awaited();
    kit_must_take(WORKER, &world->busy[WORKER]);
}

static void submit_many(void) { /* links in a block: two ready, three pending */
    wr_handle refs[5] = {world->b, world->a, world->a, world->b, world->a};
    kill_submit(
        DRIVER,
        &(kill_call){.task = TASK_BLOCK, .refs = refs, .ref_count = 5, .expect = 61, .in_block = true});
}

static void pending_and_put(void) {
    world->a = kit_pending();
    world->b = kill_put(DRIVER, 6);
    kill_expect(DRIVER, (kill_out){.handle = world->b, .expect = 6});
}

enum { JOINED = 63 }; /* one more than a task waits for without a join */

static void submit_joined(void) {
    wr_handle refs[JOINED];
    for (uint32_t k = 0; k < JOINED; k++) {
        refs[k] = world->a;
    }
    kill_submit(DRIVER, &(kill_call){.task = TASK_BLOCK,
                                     .refs = refs,
                                     .ref_count = JOINED,
                                     .expect = JOINED * 16 + 1,
                                     .in_block = true});
}

static void joined_waits(void) {
    one_pending();
    submit_joined();
    kit_must_take(WORKER, &world->claim);
}

static void submit_block(void) {
    wr_handle refs[1] = {world->a};
    kill_submit(DRIVER, &(kill_call){
                            .task = TASK_BLOCK, .refs = refs, .ref_count = 1, .expect = 6, .in_block = true});
}

static void
submit_nested_refs(void) { /* the arguments' block names an object that the task does not wait for */
    kill_submit(
        DRIVER,
        &(kill_call){
            .task = TASK_BLOCK, .nested = &world->a, .nested_count = 1, .expect = 1, .in_block = true});
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

static void submit_actor_pending(void) {
    kit_sum_of(DRIVER, true, &world->a, 1, 17);
}

/* ---- A submit whose port is closed and given to another meanwhile ---- */

static uint32_t generation_before; /* parent and victim: set before the fork */

static void port_passes_on(void) {
    generation_before = WR_LOAD(&world->pool->ports[world->actor_port].generation);
    world->port_passes_on = true;
}

static void port_passes_on_pending(void) {
    one_pending();
    port_passes_on();
}

/* The call gets an error or, where it was refused, is none: the value that it would have is wrong. */
static void submit_outlived(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_SUM,
                                     .expect = UINT32_MAX,
                                     .to_actor = true,
                                     .may_fail = true,
                                     .generation = generation_before});
}

static void submit_outlived_pending(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_SUM,
                                     .refs = &world->a,
                                     .ref_count = 1,
                                     .expect = UINT32_MAX,
                                     .to_actor = true,
                                     .may_fail = true,
                                     .generation = generation_before});
}

/* Calls behind a full ring, whose port is another's when they leave it. */
static void backlog_outlived(void) {
    generation_before = WR_LOAD(&world->pool->ports[world->actor_port].generation);
    for (uint32_t k = 0; k < world->pool->geometry.ring_capacity + 3; k++) {
        submit_outlived();
    }
    world->port_passes_on = true;
    kill_others(1, DRIVER);
}

static void submit_to_none(void) {
    world->by_handle = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 7, .to_none = true});
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

static void fill_traced(void) {
    fill();
    wr_keeper_trace(world->keeper, true);
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

static void bit_cleared(void) { /* WORKER saw an empty ring and cleared its bit; in between a task came, whose
                                   submitter saw the bit */
    kill_submit_id(DRIVER, 10);
    wr_slot_set_remove(&world->pool->ports[world->port].nonempty, world->slot[DRIVER], NULL);
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
    kit_must_take(WORKER, &world->busy[WORKER]);
}

static void reserved_by_victim(void) {
    fill_by(DRIVER, 12, 10);
    wr_claim claim;
    kit_must_take(WORKER, &claim);
    kill_run(WORKER, &claim);
}

static void
all_reserved_by_worker(void) { /* PEER has looked so often that its next looks go to WORKER's reservation */
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
    wr_proc_activity(kit_proc_of(WORKER), WR_BLOCKED);
    wr_proc_activity(kit_proc_of(WORKER), WR_RUNNING);
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

static void recalled_with_reservation(void) {
    reserved_by_victim();
    wr_keeper_assign(world->keeper, world->slot[WORKER], WR_PORT_NONE);
}

static void none_waits(void) {
    world->by_handle = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .to_none = true, .expect = 1});
}

static void claim_none(void) {
    wr_claim claim;
    if (wr_proc_claim(kit_proc_of(WORKER), 0, world->by_handle, &claim) == WR_OK) {
        kill_run(WORKER, &claim);
    }
}

/* ---- Seal, give back, retry, cancel ---- */

static void taken(void) {
    kill_submit_id(DRIVER, 9);
    kit_must_take(WORKER, &world->claim);
}

static void taken_last_attempt(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 9, .no_retries = true, .may_fail = true});
    kit_must_take(WORKER, &world->claim);
}

static void
taken_again(void) { /* by a new process in the slot of one that was thought dead, and still writes */
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 9});
    wr_claim late;
    wr_proc *late_proc = world->proc[WORKER];
    kit_must_take(WORKER, &late);
    kill_reap(WORKER);
    kill_attach(WORKER);
    kit_must_take(WORKER, &world->claim);
    wr_result result = {.kind = KIND_VALUE, .location = WR_AT_INLINE, .bytes = 4};
    if (wr_proc_seal(late_proc, &late, &result) || wr_proc_retry_in_place(late_proc, &late)) {
        kill_wrong("a claim of an earlier epoch was honoured");
    }
}

static void taken_watched(void) {
    taken();
    atomic_fetch_or(&wr_cell_at(world->pool, world->claim.handle)->ctl, WR_FLAG_WAIT1 | WR_FLAG_WAITN);
}

static void taken_heap(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_HEAP, .id = 9});
    kit_must_take(WORKER, &world->claim);
}

static void taken_heap_awaited(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_HEAP, .id = 9});
    kit_sum_of(DRIVER, false, &world->a, 1, 29);
    kit_must_take(WORKER, &world->claim);
    atomic_fetch_or(&wr_cell_at(world->pool, world->a)->ctl, WR_FLAG_WAITN);
}

static void awaited_by_actor(void) {
    world->a = kit_pending();
    kit_sum_of(DRIVER, true, &world->a, 1, 17);
    kit_must_take(WORKER, &world->claim);
}

static void
awaited_by_rival(void) { /* the waiting task is another process's: its cell and link are foreign */
    world->a = kit_pending();
    wr_proc_share(kit_proc_of(DRIVER), world->a);
    wr_proc_borrow(world->proc[RIVAL], world->a);
    kit_sum_of(RIVAL, false, &world->a, 1, 17);
    wr_proc_unref(world->proc[RIVAL], world->a);
    kit_must_take(WORKER, &world->claim);
}

static void give_back(void) {
    wr_proc_give_back(kit_proc_of(WORKER), &world->claim,
                      WR_LOAD(&world->pool->ports[world->port].ring_of[world->slot[WORKER]]) - 1);
}

static void retry_and_seal(void) {
    if (wr_proc_retry_in_place(kit_proc_of(WORKER), &world->claim)) {
        kill_run(WORKER, &world->claim);
    }
}

static void cancel(wr_handle handle) {
    wr_result error = kill_error_result();
    uint32_t slot, epoch;
    wr_proc_cancel(kit_proc_of(DRIVER), handle, &error, &slot, &epoch);
}

static void cancel_ready(void) {
    cancel(world->a);
}

static void cancel_waiting(void) {
    cancel(world->b);
}

/* ---- Waiting ---- */

static void wait_driver(void) {
    wr_status status = wr_proc_wait(kit_proc_of(DRIVER), world->a, 200000, 0);
    if (status != WR_OK && status != WR_E_TIMEOUT && status != WR_E_INTERRUPTED) {
        kill_wrong("wait: %s", wr_status_name(status));
    }
}

static void two_pending(void) {
    world->a = kit_pending();
    world->b = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 6});
}

static void wait_many_driver(void) {
    wr_handle handles[2] = {world->a, world->b};
    uint32_t ready;
    wr_status status = wr_proc_wait_many(kit_proc_of(DRIVER), handles, 2, 1, 200000, 0, &ready);
    if (status != WR_OK && status != WR_E_TIMEOUT && status != WR_E_INTERRUPTED) {
        kill_wrong("wait_many: %s", wr_status_name(status));
    }
}

static void idle_worker(void) {
    wr_proc_idle(kit_proc_of(WORKER), 0);
    take_worker();
}

static void idle_actor(void) {
    wr_proc_idle(kit_proc_of(ACTOR), 0);
    kill_run_next(ACTOR);
}

/* ---- Streams ---- */

static void generator_submitted(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_ITEMS, .window = 4});
}

static void credit_upto(uint64_t first, uint64_t upto) {
    wr_handle items[4];
    uint32_t count = 0;
    wr_error err = {0};
    wr_status status = wr_proc_credit(kit_proc_of(DRIVER), world->a, upto, items, &count, &err);
    if (status != WR_OK) {
        kill_wrong("credit: %s (%s)", wr_status_name(status), err.text);
    }
    for (uint32_t k = 0; k < count; k++) {
        kill_expect(DRIVER, (kill_out){.handle = items[k], .expect = 100 + (uint32_t)first + k});
    }
}

static void credit_driver(void) {
    credit_upto(0, 2);
}

static void generator_of_eight(
    void) { /* four items are sealed and got; should its producer die now, another replays them */
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_ITEMS, .window = 4, .expect = 8});
    credit_upto(0, 4);
    kill_run_next(WORKER);
    kill_collect(DRIVER);
}

static void credit_four_more(void) {
    credit_upto(4, 8);
}

static void generator_taken(void) {
    generator_submitted();
    kit_must_take(WORKER, &world->claim);
    credit_driver();
}

static void generator_starved(void) { /* it waits for credits */
    generator_submitted();
    kit_must_take(WORKER, &world->busy[WORKER]);
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
    kit_must_take(WORKER, &world->busy[WORKER]);
}

/* ---- Actor ---- */

static void actor_runs_two(void) {
    take_and_run(ACTOR);
}

static void actor_pending(void) {
    world->a = kit_pending();
    kit_sum_of(DRIVER, true, &world->a, 1, 17);
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 40, .to_actor = true});
    kill_submit(RIVAL, &(kill_call){.task = TASK_TRIPLE, .id = 41, .to_actor = true});
}

static void actor_pending_behind(void) { /* the call that waits stands inside what is reserved at once */
    for (uint8_t k = 0; k < 2; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(10 + k), .to_actor = true});
    }
    world->a = kit_pending();
    kit_sum_of(DRIVER, true, &world->a, 1, 17);
    for (uint8_t k = 0; k < 5; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(20 + k), .to_actor = true});
    }
}

static void actor_runs_three(void) {
    take_and_run(ACTOR);
    kill_run_next(ACTOR);
}

static void actor_taken_ring_full(void) { /* all that the ring holds was called after it */
    for (uint8_t k = 0; k < 15; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(10 + k), .to_actor = true});
    }
    kit_must_take(ACTOR, &world->claim);
    for (uint8_t k = 15; k < 20; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(10 + k), .to_actor = true});
    }
}

static void actor_seals(void) {
    kill_run(ACTOR, &world->claim);
}

static void actor_retries(void) {
    if (wr_proc_retry_in_place(kit_proc_of(ACTOR), &world->claim)) {
        kill_run(ACTOR, &world->claim);
    }
}

static void actor_lapped(void) { /* the ring went round once, and one call of the newest round has begun */
    for (uint32_t round = 0; round < 3; round++) {
        for (uint8_t k = 0; k < 10; k++) {
            kill_submit(DRIVER,
                        &(kill_call){.task = TASK_SUM, .to_actor = true, .expect = 1, .forget = true});
        }
        for (uint8_t k = 0; k < 10; k++) {
            kill_run_next(ACTOR);
        }
        kill_poll(DRIVER);
    }
    kit_fill_actor();
}

static const kill_scenario scenarios[] = {
    {"submit: queue empty", DRIVER, kit_nothing, submit_driver, UNFED},
    {"submit: queue empty, sleepers", DRIVER, sleepers, submit_driver, UNFED},
    {"submit: queue empty, raylet hungry", DRIVER, hungry, submit_driver, UNFED},
    {"submit: 8 queued", DRIVER, fill, submit_driver, UNFED},
    {"submit: second driver, 8 queued", RIVAL, fill, submit_rival, UNFED},
    {"submit: ring full", DRIVER, fill_ring, submit_driver, UNFED},
    {"submit: backlog flushed", DRIVER, fill_backlog, flush_driver, UNFED},
    {"submit: two ready references", DRIVER, two_puts, submit_two_ready, UNFED},
    {"submit: two pending references", DRIVER, one_pending, submit_two_pending, UNFED},
    {"submit: pending, others wait for it too", DRIVER, kit_pending_awaited, submit_two_pending, UNFED},
    {"submit: pending that runs", DRIVER, pending_runs, submit_two_pending, UNFED},
    {"submit: five references in a block", DRIVER, pending_and_put, submit_many, UNFED},
    {"submit: 63 pending references, joined", DRIVER, one_pending, submit_joined, UNFED},
    {"submit: arguments in a block", DRIVER, one_put_expected, submit_block, UNFED},
    {"submit: nested reference in a block", DRIVER, one_put_expected, submit_nested_refs, UNFED},
    {"submit: actor, empty", DRIVER, kit_nothing, submit_actor_driver, UNFED},
    {"submit: actor, filled", RIVAL, kit_fill_actor, submit_actor_rival, UNFED},
    {"submit: actor, pending", DRIVER, one_pending, submit_actor_pending, UNFED},
    {"submit: the actor's port is another's", DRIVER, port_passes_on, submit_outlived, UNFED},
    {"submit: the actor's port is another's, argument pending", DRIVER, port_passes_on_pending,
     submit_outlived_pending, UNFED},
    {"flush: the actor's port is another's", DRIVER, backlog_outlived, flush_driver, UNFED},
    {"submit: no port", DRIVER, kit_nothing, submit_to_none, UNFED},
    {"take: empty, stale bits", WORKER, stale_bits, take_worker, UNFED},
    {"take: 8 queued", WORKER, fill, take_worker, UNFED},
    {"take: two submitters", WORKER, two_submitters, take_worker, UNFED},
    {"take: stolen from a reservation", PEER, all_reserved_by_worker, steal_peer, UNFED},
    {"take: many empty looks", WORKER, many_empty_looks, two_more_looks, UNFED},
    {"take: bit cleared, to be restored", WORKER, bit_cleared, restore_bit, UNFED},
    {"take and run: 8 queued", WORKER, fill, take_and_run_worker, UNFED},
    {"take and run: traced", WORKER, fill_traced, take_and_run_worker, UNFED},
    {"take and run: two submitters", WORKER, two_submitters, take_and_run_worker, UNFED},
    {"take and run: reservation left", WORKER, reserved_by_victim, take_and_run_worker, UNFED},
    {"take and run: reservation of another", PEER, reserved_by_worker, take_and_run_peer, UNFED},
    {"take: blocked with a reservation", WORKER, reserved_in_claim, block_and_seal, UNFED},
    {"take: recalled with a reservation", WORKER, recalled_with_reservation, take_worker, UNFED},
    {"claim by handle", WORKER, none_waits, claim_none, UNFED},
    {"seal: inline", WORKER, taken, kit_seal_worker, UNFED},
    {"seal: no retries left", WORKER, taken_last_attempt, kit_seal_worker, UNFED},
    {"seal: by the second in its slot", WORKER, taken_again, kit_seal_worker, UNFED},
    {"seal: waiters", WORKER, taken_watched, kit_seal_worker, UNFED},
    {"seal: two tasks wait for it", WORKER, kit_taken_awaited, kit_seal_worker, UNFED},
    {"seal: joined task waits for it", WORKER, joined_waits, kit_seal_worker, UNFED},
    {"seal: actor call waits for it", WORKER, awaited_by_actor, kit_seal_worker, UNFED},
    {"seal: task of another process waits for it", WORKER, awaited_by_rival, kit_seal_worker, UNFED},
    {"seal: heap", WORKER, taken_heap, kit_seal_worker, UNFED},
    {"seal: heap, awaited and watched", WORKER, taken_heap_awaited, kit_seal_worker, UNFED},
    {"give back", WORKER, taken, give_back, UNFED},
    {"retry in place", WORKER, kit_taken_awaited, retry_and_seal, UNFED},
    {"cancel: ready, awaited", DRIVER, kit_cancellable, cancel_ready, UNFED},
    {"cancel: waiting, awaited", DRIVER, kit_cancellable, cancel_waiting, UNFED},
    {"wait: sleeps", DRIVER, one_pending, wait_driver, UNFED},
    {"wait: many", DRIVER, two_pending, wait_many_driver, UNFED},
    {"idle: empty", WORKER, kit_nothing, idle_worker, UNFED},
    {"idle: queue filled", WORKER, fill, idle_worker, UNFED},
    {"idle: actor, head waits", ACTOR, actor_pending, idle_actor, UNFED},
    {"stream: credit", DRIVER, generator_submitted, credit_driver, UNFED},
    {"stream: credit, producer waits", DRIVER, generator_starved, credit_driver, UNFED},
    {"stream: credits of the next round", DRIVER, generator_of_eight, credit_four_more, UNFED},
    {"stream: items", WORKER, generator_taken, kit_seal_worker, UNFED},
    {"stream: items, replayed", WORKER, generator_half, kit_seal_worker, UNFED},
    {"stream: credit withdrawn", DRIVER, generator_with_credits, withdraw_item, UNFED},
    {"actor: two calls", ACTOR, kit_fill_actor, actor_runs_two, UNFED},
    {"actor: pending argument", ACTOR, actor_pending, actor_runs_two, UNFED},
    {"actor: pending argument behind others", ACTOR, actor_pending_behind, actor_runs_three, UNFED},
    {"actor: retry in place", ACTOR, kit_actor_taken, actor_retries, UNFED},
    {"actor: seal, ring full", ACTOR, actor_taken_ring_full, actor_seals, UNFED},
    {"actor: lapped ring", ACTOR, actor_lapped, actor_runs_two, UNFED},
};
const kill_table kill_task_table = {scenarios, WR_COUNT_OF(scenarios)};

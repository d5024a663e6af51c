/* tests/kill/wakes.c: everything that sleeps in the pool, and everything that must wake it. A lost wake-up
 * costs 100 ms (an old idler 1 s) and no result, so only this sees it. */
#include "tests/kill/scenario.h"
#include "tests/kill/step.h"

#define LONG_NS 60000000000u

/* ---- What sleeps ---- */

static void wait_for(kill_who who, wr_handle handle) {
    while (wr_proc_wait(kit_proc_of(who), handle, LONG_NS, 0) == WR_E_INTERRUPTED) {
    }
}

static void driver_waits(void) {
    wait_for(DRIVER, world->a);
}

static void rival_waits(void) {
    wait_for(RIVAL, world->a);
}

static void driver_waits_for_one(void) {
    wr_handle handles[2] = {world->a, world->b};
    uint32_t ready;
    while (wr_proc_wait_many(kit_proc_of(DRIVER), handles, 2, 1, LONG_NS, 0, &ready) == WR_E_INTERRUPTED) {
    }
}

static void worker_idles(void) {
    wr_proc_idle(kit_proc_of(WORKER), 0);
}

static void actor_idles(void) {
    wr_proc_idle(kit_proc_of(ACTOR), 0);
}

static void driver_puts(void) { /* one more than it has cells for */
    for (uint32_t k = 0; k <= world->pool->geometry.cells_per_extent; k++) {
        wr_handle handle = kill_put(DRIVER, k);
        kill_expect(DRIVER, (kill_out){.handle = handle, .expect = k});
    }
}

static void driver_allocates(void) {
    wr_error err = {0};
    uint64_t block;
    if (wr_proc_heap_alloc(kit_proc_of(DRIVER), 2 * HEAP_UNIT, &block, &err) != WR_OK) {
        kill_wrong("heap_alloc: %s", err.text);
        return;
    }
    wr_proc_heap_free(kit_proc_of(DRIVER), block);
}

static void worker_awaits_credit(void) {
    wr_proc_credit_wait(kit_proc_of(WORKER), &world->claim, 0, LONG_NS);
}

static void raylet_listens(void) {
    wr_pool_bell_wait(world->pool, wr_pool_bell_read(world->pool), LONG_NS);
}

/* ---- Set-ups ---- */

static void pending(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5, .may_fail = true});
    world->b = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 6, .may_fail = true});
}

static void pending_abroad(void) { /* RIVAL awaits a task of DRIVER */
    pending();
    wr_proc_share(kit_proc_of(DRIVER), world->a);
    wr_proc_borrow(kit_proc_of(RIVAL), world->a);
    kill_expect(RIVAL, (kill_out){.handle = world->a, .expect = 16, .may_fail = true});
}

static void no_retries(void) {
    world->a =
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5, .may_fail = true, .no_retries = true});
    kill_take(WORKER, &world->claim);
}

static void runs_at_worker(void) {
    pending();
    kill_take(WORKER, &world->claim);
}

static void peer_runs_what_is_awaited(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    world->b =
        kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &world->a, .ref_count = 1, .expect = 17});
    kill_take(PEER, &world->claim);
}

static void call_waits(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    world->b = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM,
                                                .refs = &world->a,
                                                .ref_count = 1,
                                                .expect = 17,
                                                .to_actor = true,
                                                .may_fail = true});
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 40, .to_actor = true});
    kill_take(WORKER, &world->claim);
}

static void peer_runs(void) {
    kill_submit_id(DRIVER, 10);
    kill_take(PEER, &world->claim);
}

static void generator_taken(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_ITEMS, .window = 4});
    kill_take(WORKER, &world->claim);
}

static void hungry(void) {
    wr_keeper_port_takers(world->keeper, world->port, 2, true);
}

static void worker_runs_one_of_two(void) {
    pending();
    kill_take(WORKER, &world->claim);
}

/* ---- What wakes ---- */

static void worker_works(void) {
    kill_run_next(WORKER);
}

static void worker_seals(void) {
    kill_run(WORKER, &world->claim);
}

static void peer_seals(void) {
    kill_run(PEER, &world->claim);
}

static void driver_cancels(void) {
    wr_result error = kill_error_result();
    uint32_t slot, epoch;
    wr_proc_cancel(kit_proc_of(DRIVER), world->a, &error, &slot, &epoch);
}

static void driver_cancels_call(void) {
    wr_result error = kill_error_result();
    uint32_t slot, epoch;
    wr_proc_cancel(kit_proc_of(DRIVER), world->b, &error, &slot, &epoch);
    kill_run(WORKER, &world->claim);
}

static void consumer_dies(void) {
    kill_reap(DRIVER);
    world->busy[WORKER] = world->claim; /* goes on, and finds that it is not wanted */
}

static void driver_dies_then_work(void) { /* others hold the result: the task runs all the same */
    kill_reap(DRIVER);
    kill_run_next(WORKER);
}

static void worker_dies(void) {
    kill_reap(WORKER);
}

static void peer_dies(void) {
    kill_reap(PEER);
}

static void driver_submits(void) {
    kill_submit_id(DRIVER, 10);
}

static void driver_calls(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 10, .to_actor = true});
}

static void peer_gives_back(void) {
    wr_proc_give_back(kit_proc_of(PEER), &world->claim,
                      WR_LOAD(&world->pool->ports[world->port].ring_of[world->slot[PEER]]) - 1);
}

static void worker_assigned_elsewhere(void) {
    wr_keeper_assign(world->keeper, world->slot[WORKER], WR_PORT_NONE);
    wr_keeper_assign(world->keeper, world->slot[WORKER], world->port);
}

static void raylet_passes(void) {
    kill_pass();
}

static void driver_gives_credit(void) {
    wr_error err = {0};
    wr_handle items[4];
    uint32_t count = 0;
    if (wr_proc_credit(kit_proc_of(DRIVER), world->a, 2, items, &count, &err) != WR_OK) {
        kill_wrong("credit: %s", err.text);
    }
    for (uint32_t k = 0; k < count; k++) {
        kill_expect(DRIVER, (kill_out){.handle = items[k], .expect = 100 + k});
    }
    kill_run(WORKER, &world->claim);
}

static void poison(void) {
    wr_pool_poison(world->pool, "a test");
}

static void worker_blocks(void) {
    wr_proc_activity(kit_proc_of(WORKER), WR_BLOCKED);
    wr_proc_activity(kit_proc_of(WORKER), WR_RUNNING);
    kill_run(WORKER, &world->claim);
}

/* Somebody dies as soon as `until` is true, and is reaped. */
static void dies_when(kill_who who, void (*op)(void *arg), bool (*until)(void)) {
    pid_t pid = kill_step_open(op, NULL);
    int signal_number = 0;
    while (!until()) {
        if (kill_step_once(pid, &signal_number) != KILL_STEP_MORE) {
            kill_wrong("it never came to the point where it was to die");
            break;
        }
    }
    kill_step_kill(pid);
    kill_reap(who);
}

static void seal_at_worker(void *arg) {
    (void)arg;
    kill_on_sleep(NULL);
    kill_run(WORKER, &world->claim);
}

static void seal_at_peer(void *arg) {
    (void)arg;
    kill_on_sleep(NULL);
    kill_run(PEER, &world->claim);
}

static bool a_is_sealed(void) {
    return wr_cell_state_of(world->pool, world->a) == WR_CELL_SEALED;
}

static bool b_is_ready(void) {
    return wr_cell_state_of(world->pool, world->b) == WR_CELL_READY;
}

static void worker_dies_after_seal(void) {
    dies_when(WORKER, seal_at_worker, a_is_sealed);
}

static void worker_dies_after_ready(void) {
    dies_when(WORKER, seal_at_worker, b_is_ready);
}

static void peer_dies_after_seal(void) {
    dies_when(PEER, seal_at_peer, a_is_sealed);
}

static void peer_dies_after_ready(void) {
    dies_when(PEER, seal_at_peer, b_is_ready);
}

const kill_wake kill_wakes[] = {
    {"wake: wait, sealed", DRIVER, pending, driver_waits, worker_works},
    {"wake: wait, sealed while it ran", DRIVER, runs_at_worker, driver_waits, worker_seals},
    {"wake: wait, cancelled", RIVAL, pending_abroad, rival_waits, driver_cancels},
    {"wake: wait, its creator died", RIVAL, pending_abroad, rival_waits, driver_dies_then_work},
    {"wake: wait, its worker died", DRIVER, no_retries, driver_waits, worker_dies},
    {"wake: wait, its worker died after the seal", DRIVER, runs_at_worker, driver_waits,
     worker_dies_after_seal},
    {"wake: wait for one of two", DRIVER, pending, driver_waits_for_one, worker_works},
    {"wake: wait for one of two, worker died after the seal", DRIVER, runs_at_worker, driver_waits_for_one,
     worker_dies_after_seal},
    {"wake: wait for one of two, poison", DRIVER, pending, driver_waits_for_one, poison},
    {"wake: idle, submit", WORKER, kit_nothing, worker_idles, driver_submits},
    {"wake: idle, submit of another that waits", WORKER, peer_runs_what_is_awaited, worker_idles, peer_seals},
    {"wake: idle, sealer died after the seal", WORKER, peer_runs_what_is_awaited, worker_idles,
     peer_dies_after_seal},
    {"wake: idle, sealer died before it queued", WORKER, peer_runs_what_is_awaited, worker_idles,
     peer_dies_after_ready},
    {"wake: idle, given back", WORKER, peer_runs, worker_idles, peer_gives_back},
    {"wake: idle, taker died", WORKER, peer_runs, worker_idles, peer_dies},
    {"wake: idle, assigned", WORKER, kit_nothing, worker_idles, worker_assigned_elsewhere},
    {"wake: idle, poison", WORKER, kit_nothing, worker_idles, poison},
    {"wake: idle actor, call", ACTOR, kit_nothing, actor_idles, driver_calls},
    {"wake: idle actor, its call may begin", ACTOR, call_waits, actor_idles, worker_seals},
    {"wake: idle actor, sealer died before it woke", ACTOR, call_waits, actor_idles, worker_dies_after_ready},
    {"wake: idle actor, its call was cancelled", ACTOR, call_waits, actor_idles, driver_cancels_call},
    {"wake: cells granted", DRIVER, kit_nothing, driver_puts, raylet_passes},
    {"wake: heap granted", DRIVER, kit_nothing, driver_allocates, raylet_passes},
    {"wake: credit", WORKER, generator_taken, worker_awaits_credit, driver_gives_credit},
    {"wake: credit, consumer died", WORKER, generator_taken, worker_awaits_credit, consumer_dies},
    {"wake: raylet, hungry port", RAYLET, hungry, raylet_listens, driver_submits},
    {"wake: raylet, blocked worker", RAYLET, worker_runs_one_of_two, raylet_listens, worker_blocks},
    {"wake: raylet, poison", RAYLET, kit_nothing, raylet_listens, poison},
};
const uint32_t kill_wake_count = WR_COUNT_OF(kill_wakes);

/* tests/kill/scenarios_raylet.c: the raylet, stopped in what it does (it lives on), and ports that it failed.
 */
#include "tests/kill/scenario.h"

/* ---- The raylet, stopped in what it does; it lives on ---- */

static void pass_raylet(void) {
    wr_keeper_pass(world->keeper);
}

static void hold_on_its_way(void) {
    wr_handle object = kill_put(RIVAL, 5);
    kit_keep_of(RIVAL, object, false);
    wr_proc_unref(world->proc[RIVAL], object);
    kill_submit_id(DRIVER, 50);
}

/* PEER alone holds an object of RIVAL and hands it to WORKER by a task. While the raylet stands in its pass,
 * WORKER, whose ring was read earlier, keeps it, and PEER, whose ring is read later, drops it. */
static void handed_over(bool removal_waits) {
    wr_handle object = kill_put(RIVAL, 5);
    wr_handle task = kit_keep_of(RIVAL, object, false);
    world->out_count[RIVAL]--;
    kill_run_next(PEER);
    wr_proc_unref(world->proc[RIVAL], task);
    if (!removal_waits) {
        wr_proc_unref(world->proc[RIVAL], object);
        kit_passes(3);
    }
    kit_keep_of(PEER, world->kept[PEER], true);
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
    kit_taken_awaited();
    world->alive[WORKER] = false;
}

static void driver_dies_busy(void) {
    kit_awaited_abroad_late();
    kill_submit_id(RIVAL, 60);
    world->alive[DRIVER] = false;
}

static void actor_dies_busy(void) {
    kit_actor_taken();
    world->alive[ACTOR] = false;
}

static void actor_is_dead(void) {
    kit_actor_taken();
    kill_reap(ACTOR);
    kill_actor_attach();
}

static void actor_is_dead_ring_full(
    void) { /* DRIVER's ring is full, and its first calls are done: their places will be used */
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
    kill_submit(DRIVER, &(kill_call){.task = TASK_SUM,
                                     .refs = &world->a,
                                     .ref_count = 1,
                                     .expect = 17,
                                     .to_actor = true,
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

static void close_port(void) {
    wr_keeper_port_close(world->keeper, world->actor_port);
}

static void closable_port(void) {
    failed_port();
    kill_run_next(WORKER);
    for (uint32_t k = 0; k < 3; k++) {
        kill_collect(DRIVER);
        kill_collect(RIVAL);
        kill_pass();
    }
}

/* DRIVER calls the dead actor while its port is being closed: a call is refused, or it ends. */
static void closable_port_called(void) {
    closable_port();
    world->calls_generation = WR_LOAD(&world->pool->ports[world->actor_port].generation);
    world->port_passed_on = true;
    world->calls_anew = 3;
}

static void fail_task(void) {
    wr_result error = kill_error_result();
    wr_keeper_fail(world->keeper, world->a, &error);
}

static const kill_scenario scenarios[] = {
    {"submit: actor port that failed", DRIVER, failed_port, submit_failed_port, UNFED},
    {"raylet: pass, hold on its way", RAYLET, hold_on_its_way, pass_raylet, UNFED},
    {"raylet: pass, handed on, then dropped", RAYLET, handed_over_plain, pass_raylet, UNFED},
    {"raylet: pass, handed on while a removal waits", RAYLET, handed_over_late, pass_raylet, UNFED},
    {"raylet: pass, nested object", RAYLET, kit_nest_done, pass_raylet, UNFED},
    {"raylet: pass, blocks", RAYLET, kit_blocks_on_their_way, pass_raylet, UNFED},
    {"raylet: reaps a worker", RAYLET, worker_dies_busy, reap_worker, UNFED},
    {"raylet: reaps a driver", RAYLET, driver_dies_busy, reap_driver, UNFED},
    {"raylet: reaps an actor", RAYLET, actor_dies_busy, reap_actor, UNFED},
    {"raylet: rewinds an actor", RAYLET, actor_is_dead, rewind_actor, UNFED},
    {"raylet: rewinds an actor, its ring is lapped", RAYLET, actor_is_dead_ring_full, rewind_actor, UNFED},
    {"raylet: fails a port", RAYLET, failing_port, fail_port, UNFED},
    {"raylet: closes a port", RAYLET, closable_port, close_port, UNFED},
    {"raylet: closes a port that is called", RAYLET, closable_port_called, close_port, UNFED},
    {"raylet: fails a task", RAYLET, kit_cancellable, fail_task, UNFED},
};
const kill_table kill_raylet_table = {scenarios, WR_COUNT_OF(scenarios)};

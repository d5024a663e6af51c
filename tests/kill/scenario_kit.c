/* tests/kill/scenario_kit.c: what the set-ups of several tables share. */
#include "tests/kill/scenario.h"

wr_proc *kit_proc_of(kill_who who) {
    return world->proc[who];
}

void kit_nothing(void) {
}

wr_handle kit_pending(void) {
    return kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
}

wr_handle kit_sum_of(kill_who who, bool to_actor, const wr_handle *refs, uint32_t count, uint32_t expect) {
    return kill_submit(
        who, &(kill_call){
                 .task = TASK_SUM, .refs = refs, .ref_count = count, .expect = expect, .to_actor = to_actor});
}

wr_handle kit_keep_of(kill_who who, wr_handle ref, bool forget) {
    return kill_submit(who, &(kill_call){.task = TASK_KEEP, .refs = &ref, .ref_count = 1, .forget = forget});
}

void kit_must_take(kill_who who, wr_claim *out) {
    if (!kill_take(who, out)) {
        kill_wrong("set-up: nothing to take");
    }
}

void kit_passes(uint32_t count) {
    for (uint32_t k = 0; k < count; k++) {
        kill_pass();
    }
}

void kit_pending_awaited(void) {
    wr_handle refs[2];
    world->a = refs[0] = refs[1] = kit_pending();
    kit_sum_of(DRIVER, false, refs, 1, 17);
    kit_sum_of(DRIVER, false, refs, 2, 33);
}

void kit_fill_actor(void) {
    for (uint8_t k = 0; k < 3; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(10 + k), .to_actor = true});
    }
    for (uint8_t k = 0; k < 2; k++) {
        kill_submit(RIVAL, &(kill_call){.task = TASK_TRIPLE, .id = (uint8_t)(20 + k), .to_actor = true});
    }
}

void kit_taken_awaited(void) {
    kit_pending_awaited();
    kit_must_take(WORKER, &world->claim);
}

void kit_seal_worker(void) {
    kill_run(WORKER, &world->claim);
}

void kit_cancellable(void) {
    wr_handle refs[2];
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5, .may_fail = true});
    refs[0] = refs[1] = world->a;
    world->b = kill_submit(
        DRIVER, &(kill_call){.task = TASK_SUM, .refs = refs, .ref_count = 2, .expect = 33, .may_fail = true});
    kill_submit(
        DRIVER,
        &(kill_call){.task = TASK_SUM, .refs = &world->b, .ref_count = 1, .expect = 34, .may_fail = true});
}

void kit_nest_done(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_NEST});
    kill_run_next(WORKER);
}

void kit_awaited_abroad_late(void) {
    wr_handle first = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &first, .ref_count = 1});
    world->out_count[DRIVER] = 0;
    wr_proc_unref(kit_proc_of(DRIVER), first);
    wr_proc_share(kit_proc_of(DRIVER), world->a);
    wr_proc_borrow(world->proc[RIVAL], world->a);
    kill_submit(
        RIVAL,
        &(kill_call){.task = TASK_SUM, .refs = &world->a, .ref_count = 1, .expect = 18, .may_fail = true});
    wr_proc_unref(world->proc[RIVAL], world->a);
}

void kit_actor_taken(void) {
    kit_fill_actor();
    kit_must_take(ACTOR, &world->claim);
}

void kit_blocks_on_their_way(void) {
    for (uint32_t k = 0; k < 2; k++) {
        kill_submit(DRIVER, &(kill_call){.task = TASK_HEAP, .id = (uint8_t)(9 + k)});
        kill_run_next(WORKER);
    }
    kill_collect(DRIVER);
}

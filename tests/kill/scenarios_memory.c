/* tests/kill/scenarios_memory.c: objects: putting, counting, borrowing and freeing them, and the heap they
 * lie in. */
#include "tests/kill/scenario.h"

#include "shm/proc_internal.h"

enum { BIG_BYTES = 2 * HEAP_UNIT + 1000 }; /* two units, and pages of a third */

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
    kit_keep_of(DRIVER, world->a, false);
    kill_run_next(WORKER);
    world->b = kill_put(WORKER, 6);
}

static void put_container(void) { /* of WORKER: names an object of its own and a borrowed one */
    wr_handle refs[2] = {world->b, world->kept[WORKER]};
    wr_handle container = kill_put_heap(WORKER, 9, refs, 2);
    wr_proc_unref(kit_proc_of(WORKER), world->b);
    wr_proc_unref(kit_proc_of(WORKER), container);
}

/* The free list of DRIVER runs low; what it gets next waits in its ring of grants. */
static void few_cells(void) {
    uint32_t count = world->pool->geometry.cells_per_extent - 2;
    for (uint32_t k = 0; k < count; k++) {
        world->many[k] = kill_put(DRIVER, k);
        if (k < 5) { /* the raylet frees these */
            wr_proc_share(kit_proc_of(DRIVER), world->many[k]);
        }
    }
    for (uint32_t k = 0; k < 5; k++) {
        wr_proc_unref(kit_proc_of(DRIVER), world->many[k]);
    }
    kit_passes(3);
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
    wr_proc_poll(kit_proc_of(DRIVER));
}

static void poll_worker(void) {
    wr_proc_poll(kit_proc_of(WORKER));
}

static void waiting_grants(void) { /* an extent, a freed cell, a freed block */
    few_cells();
    world->a = kill_put_heap(DRIVER, 4, NULL, 0);
    wr_proc_share(kit_proc_of(DRIVER), world->a);
    wr_proc_unref(kit_proc_of(DRIVER), world->a);
    kit_passes(3);
}

/* ---- References ---- */

static void one_put(void) {
    world->a = kill_put(DRIVER, 5);
}

static void unref_driver(void) {
    wr_proc_unref(kit_proc_of(DRIVER), world->a);
}

static void unref_worker(void) {
    wr_proc_unref(kit_proc_of(WORKER), world->a);
}

static wr_handle container_of_three(void) {
    wr_handle inner[3];
    for (uint32_t k = 0; k < 3; k++) {
        inner[k] = kill_put(DRIVER, k);
    }
    wr_handle container = kill_put_heap(DRIVER, 9, inner, 3);
    for (uint32_t k = 0; k < 3; k++) {
        wr_proc_unref(kit_proc_of(DRIVER), inner[k]);
    }
    return container;
}

static void two_containers(void) {
    world->a = container_of_three();
    world->b = container_of_three();
    kit_passes(3);
}

static void unref_both(void) { /* what they name is let go in one pass of the raylet */
    wr_proc_unref(kit_proc_of(DRIVER), world->a);
    wr_proc_unref(kit_proc_of(DRIVER), world->b);
}

static void one_heap_put(void) {
    world->a = kill_put_heap(DRIVER, 5, NULL, 0);
}

static wr_handle open_sum(void) {
    wr_handle ref = kill_put(DRIVER, 5);
    wr_handle task =
        kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &ref, .ref_count = 1, .expect = 6});
    world->out_count[DRIVER]--; /* the victim drops it */
    wr_proc_unref(kit_proc_of(DRIVER), ref);
    return task;
}

static void open_task(void) {
    world->a = open_sum();
}

static void done_task(void) {
    world->a = open_sum();
    kill_run_next(WORKER);
}

static void done_task_awaited(void) {
    wr_handle ref = kill_put(DRIVER, 5);
    world->a = kill_submit(
        DRIVER,
        &(kill_call){.task = TASK_BLOCK, .refs = &ref, .ref_count = 1, .expect = 6, .in_block = true});
    wr_proc_unref(kit_proc_of(DRIVER), ref);
    kill_run_next(WORKER);
}

static void settle_driver(void) {
    wr_proc_settle(kit_proc_of(DRIVER), world->a);
}

static void done_block_task(void) {
    wr_handle refs[5];
    for (uint32_t k = 0; k < 5; k++) {
        refs[k] = kill_put(DRIVER, k);
    }
    world->a = kill_submit(
        DRIVER,
        &(kill_call){.task = TASK_BLOCK, .refs = refs, .ref_count = 5, .expect = 11, .in_block = true});
    world->out_count[DRIVER]--;
    for (uint32_t k = 0; k < 5; k++) {
        wr_proc_unref(kit_proc_of(DRIVER), refs[k]);
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
    wr_proc_unref(kit_proc_of(DRIVER), first);
    wr_proc_unref(kit_proc_of(DRIVER), second);
    wr_proc_unref(kit_proc_of(DRIVER), third);
    for (uint32_t k = 0; k < 3; k++) {
        kill_run_next(WORKER);
    }
}

static void keep_taken(void) { /* WORKER stands in a task that keeps an object of DRIVER; DRIVER gave it up */
    world->a = kill_put(DRIVER, 5);
    kit_keep_of(DRIVER, world->a, false);
    wr_proc_unref(kit_proc_of(DRIVER), world->a);
    kit_must_take(WORKER, &world->claim);
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
    kit_keep_of(DRIVER, world->a, true);
    kill_run_next(WORKER);
    kill_poll(DRIVER);
}

static void kept_alone(void) {
    kept_of_driver();
    wr_proc_unref(kit_proc_of(DRIVER), world->a);
}

static void nested_task(void) { /* WORKER submits a task on what it borrowed */
    kill_submit(
        WORKER,
        &(kill_call){
            .task = TASK_SUM, .refs = &world->kept[WORKER], .ref_count = 1, .expect = 6, .forget = true});
}

static void hand_on_borrowed(void) {
    wr_handle kept = world->kept[WORKER];
    wr_handle task = kill_submit(WORKER, &(kill_call){.task = TASK_KEEP, .refs = &kept, .ref_count = 1});
    world->out_count[WORKER]--;
    world->kept[WORKER] = 0;
    wr_proc_unref(kit_proc_of(WORKER), kept);
    wr_proc_unref(kit_proc_of(WORKER), task);
}

static void kept_of_driver_awaited(void) {
    kept_of_driver();
    kill_expect(DRIVER, (kill_out){.handle = world->a, .expect = 5});
}

static void earlier_generation(void) { /* WORKER alone holds an object; another lay in its cell before */
    world->a = kill_put(DRIVER, 4);
    wr_proc_unref(kit_proc_of(DRIVER), world->a);
    wr_handle object = kill_put(DRIVER, 5);
    if (wr_index_of(object) != wr_index_of(world->a)) {
        kill_wrong("set-up: the cell was not used again");
    }
    kit_keep_of(DRIVER, object, true);
    kill_run_next(WORKER);
    wr_proc_unref(kit_proc_of(DRIVER), object);
    kit_passes(3);
}

static void stale_events(void) { /* as a process sends them that has lost count */
    wr_proc_emit(kit_proc_of(WORKER), WR_EVENT_DROP, world->a);
    wr_proc_emit(kit_proc_of(WORKER), WR_EVENT_HOLD, world->a);
}

static void ref_and_unref(void) {
    wr_proc_ref(kit_proc_of(WORKER), world->kept[WORKER]);
    wr_proc_unref(kit_proc_of(WORKER), world->kept[WORKER]);
}

static void nest_taken(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_NEST});
    kit_must_take(WORKER, &world->claim);
}

static void nest_heap_taken(void) {
    kill_submit(DRIVER, &(kill_call){.task = TASK_NEST_HEAP});
    kit_must_take(WORKER, &world->claim);
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
    kit_keep_of(DRIVER, world->a, false);
    kit_must_take(WORKER, &world->busy[WORKER]);
    kill_submit_id(DRIVER, 33);
}

static void awaited_busy(void) {
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    world->out_count[DRIVER]--;
    kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &world->a, .ref_count = 1, .forget = true});
    kit_must_take(WORKER, &world->busy[WORKER]);
}

static void
chain(void) { /* three tasks of DRIVER, each waits for the one before; none is awaited by DRIVER */
    wr_handle first, second;
    world->a = first = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    second = kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &first, .ref_count = 1});
    kill_submit(DRIVER, &(kill_call){.task = TASK_SUM, .refs = &second, .ref_count = 1, .expect = 18});
    world->out[DRIVER][0].handle = world->out[DRIVER][1].handle = 0;
    wr_proc_unref(kit_proc_of(DRIVER), second);
}

static void awaited_abroad(
    void) { /* RIVAL waits for a READY task of DRIVER, which dies: an error must come, or the value */
    world->a = kill_submit(DRIVER, &(kill_call){.task = TASK_TRIPLE, .id = 5});
    world->out_count[DRIVER]--;
    wr_proc_share(kit_proc_of(DRIVER), world->a);
    wr_proc_borrow(world->proc[RIVAL], world->a);
    kill_submit(
        RIVAL,
        &(kill_call){.task = TASK_SUM, .refs = &world->a, .ref_count = 1, .expect = 17, .may_fail = true});
    wr_proc_unref(world->proc[RIVAL], world->a);
}

/* ---- Heap ---- */

static void alloc_small(void) {
    world->block = kill_block(DRIVER, 1, NULL, 0, 0, 0);
    wr_proc_heap_free(kit_proc_of(DRIVER), world->block);
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
    wr_proc_heap_free(kit_proc_of(DRIVER), world->block);
}

static void big_extent(void) { /* an extent for a large block is held, and cached */
    wr_error err = {0};
    if (wr_proc_heap_alloc(kit_proc_of(DRIVER), BIG_BYTES, &world->big_block, &err) != WR_OK) {
        kill_wrong("set-up: heap_alloc: %s", err.text);
        return;
    }
    wr_proc_heap_free(kit_proc_of(DRIVER), world->big_block);
}

static void many_grants(void) { /* DRIVER has not looked at its grants for so long that the ring is full */
    uint32_t count = world->pool->geometry.grant_capacity + 2;
    for (uint32_t k = 0; k < count; k++) {
        world->many[k] = kill_put(DRIVER, k);
        wr_proc_share(kit_proc_of(DRIVER), world->many[k]);
    }
    for (uint32_t k = 0; k < count; k++) {
        wr_proc_unref(kit_proc_of(DRIVER), world->many[k]);
        if (k % 8 == 0) {
            kill_pass();
        }
    }
    kit_passes(3);
}

enum { MEDIUM_BYTES = HEAP_UNIT * 5 / 8 };

static void many_grants_no_room(void) { /* and its unit of heap has no room for a second block of this size */
    many_grants();
    wr_error err = {0};
    if (wr_proc_heap_alloc(kit_proc_of(DRIVER), MEDIUM_BYTES, &world->block, &err) != WR_OK) {
        kill_wrong("set-up: heap_alloc: %s", err.text);
    }
}

static void alloc_medium(void) {
    wr_error err = {0};
    uint64_t block;
    if (wr_proc_heap_alloc(kit_proc_of(DRIVER), MEDIUM_BYTES, &block, &err) != WR_OK) {
        kill_wrong("heap_alloc: %s", err.text);
        return;
    }
    wr_proc_heap_free(kit_proc_of(DRIVER), block);
    wr_proc_heap_free(kit_proc_of(DRIVER), world->block);
}

static void alloc_big(void) { /* a fresh extent is asked for: the raylet answers while the victim waits */
    wr_error err = {0};
    uint64_t block;
    if (wr_proc_heap_alloc(kit_proc_of(DRIVER), BIG_BYTES, &block, &err) != WR_OK) {
        kill_wrong("heap_alloc: %s", err.text);
        return;
    }
    wr_proc_heap_free(kit_proc_of(DRIVER), block);
}

static void heap_taken(void) { /* DRIVER has all of the heap that others do not have */
    wr_error err = {0};
    wr_proc *proc = kit_proc_of(DRIVER);
    uint32_t count = 0;
    wr_proc_patience(proc, 2000000);
    while (count < OUT_MAX && wr_proc_heap_alloc(proc, BIG_BYTES, &world->many[count], &err) == WR_OK) {
        count++;
    }
    while (count < OUT_MAX && wr_proc_heap_alloc(proc, HEAP_UNIT, &world->many[count], &err) == WR_OK) {
        count++;
    }
    world->block_count = count;
    world->resubmit = false; /* nobody else could allocate */
}

static void alloc_in_vain(void) {
    wr_error err = {0};
    uint64_t block;
    wr_status status = wr_proc_heap_alloc(kit_proc_of(DRIVER), HEAP_UNIT, &block, &err);
    if (status == WR_OK) { /* somebody died meanwhile */
        wr_proc_heap_free(kit_proc_of(DRIVER), block);
    } else if (status != WR_E_OBJECT_STORE_FULL) {
        kill_wrong("a full heap gives %s", wr_status_name(status));
    }
    for (uint32_t k = 0; k < world->block_count; k++) {
        wr_proc_heap_free(kit_proc_of(DRIVER), world->many[k]);
    }
}

static const kill_scenario scenarios[] = {
    {"put: inline", DRIVER, kit_nothing, put_driver, UNFED},
    {"put: heap", DRIVER, kit_nothing, put_heap_driver, UNFED},
    {"put: container of own and borrowed", WORKER, two_objects, put_container, UNFED},
    {"put: few cells left, grants wait", DRIVER, few_cells, put_three, UNFED},
    {"poll: extent, cell and block granted", DRIVER, waiting_grants, poll_driver, UNFED},
    {"poll: limbo", DRIVER, limbo, poll_driver, UNFED},
    {"poll: block of a result comes back", WORKER, kit_blocks_on_their_way, poll_worker, UNFED},
    {"unref: put", DRIVER, one_put, unref_driver, UNFED},
    {"unref: heap put", DRIVER, one_heap_put, unref_driver, UNFED},
    {"unref: two containers of three", DRIVER, two_containers, unref_both, UNFED},
    {"unref: done task", DRIVER, done_task, unref_driver, UNFED},
    {"unref: done task with a block", DRIVER, done_block_task, unref_driver, UNFED},
    {"settle: done task with a block", DRIVER, done_task_awaited, settle_driver, UNFED},
    {"unref: done task, result in another's heap", DRIVER, done_heap_task, unref_driver, UNFED},
    {"get: done task, result in another's heap", DRIVER, done_heap_task_awaited, collect_driver, UNFED},
    {"unref: open task", DRIVER, open_task, unref_driver, UNFED},
    {"unref: kept by a worker", WORKER, kept_by_worker, unref_worker, UNFED},
    {"unref: creator of what is kept", DRIVER, kept_of_driver, unref_driver, UNFED},
    {"ref and unref of what is kept", WORKER, kept_of_driver_awaited, ref_and_unref, UNFED},
    {"event: of an earlier generation", WORKER, earlier_generation, stale_events, UNFED},
    {"borrow: seal and keep", WORKER, keep_taken, kit_seal_worker, UNFED},
    {"borrow: nested task", WORKER, kept_alone, nested_task, UNFED},
    {"borrow: handed on", WORKER, kept_alone, hand_on_borrowed, UNFED},
    {"contain: inline result", WORKER, nest_taken, kit_seal_worker, UNFED},
    {"contain: heap result", WORKER, nest_heap_taken, kit_seal_worker, UNFED},
    {"contain: got", DRIVER, kit_nest_done, collect_driver, UNFED},
    {"contain: got from a heap", DRIVER, nest_heap_done, collect_driver, UNFED},
    {"creator dies: a worker keeps its argument", DRIVER, keeper_busy, unref_driver, UNFED},
    {"creator dies: a task waits for what runs", DRIVER, awaited_busy, unref_driver, UNFED},
    {"creator dies: chain", DRIVER, chain, unref_driver, UNFED},
    {"creator dies: another awaits its task", DRIVER, awaited_abroad, unref_driver, UNFED},
    {"creator dies: another awaits its waiting task", DRIVER, kit_awaited_abroad_late, unref_driver, UNFED},
    {"heap: small block", DRIVER, kit_nothing, alloc_small, UNFED},
    {"heap: free small block", DRIVER, small_block, free_small, UNFED},
    {"heap: big block, cached", DRIVER, big_extent, alloc_big, UNFED},
    {"heap: unit granted behind a full ring", DRIVER, many_grants_no_room, alloc_medium, FED},
    {"heap: big block, granted", DRIVER, kit_nothing, alloc_big, FED},
    {"heap: full", DRIVER, heap_taken, alloc_in_vain, FED},
};
const kill_table kill_memory_table = {scenarios, WR_COUNT_OF(scenarios)};

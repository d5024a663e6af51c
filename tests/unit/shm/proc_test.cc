// Tasks: every transition of a cell, arguments that are not there yet, queues, actors, cancelling.
#include "harness.h"

namespace {

class Tasks : public ::testing::Test {
  protected:
    void SetUp() override {
        port = node.Port();
        calls = node.Port(true);
        driver = node.Open();
        worker = node.Open();
        other = node.Open();
        actor = node.Open();
        for (Part *p : {driver.get(), worker.get(), other.get()}) {
            node.Ring(port, *p);
            node.Ring(calls, *p);
        }
        node.Assign(port, *worker);
        node.Assign(port, *other);
        node.Assign(calls, *actor);
    }
    std::vector<const Part *> All() {
        return {driver.get(), worker.get(), other.get(), actor.get()};
    }

    Node node;
    uint16_t port, calls;
    std::unique_ptr<Part> driver, worker, other, actor;
};

// ---- Transitions ----

TEST_F(Tasks, APutIsSealedAtOnceAndFreedWithItsLastCount) {
    wr_handle h = driver->Put(5);
    EXPECT_NE(0u, h);
    EXPECT_EQ(WR_CELL_SEALED, driver->State(h));
    EXPECT_EQ(5u, driver->Value(h));
    EXPECT_TRUE(wr_proc_counts(driver->get(), h));
    EXPECT_TRUE(wr_proc_is_mine(driver->get(), h));
    EXPECT_FALSE(wr_proc_counts(worker->get(), h));
    EXPECT_FALSE(wr_proc_is_mine(worker->get(), h));
    wr_proc_ref(driver->get(), h);
    driver->Unref(h);
    EXPECT_EQ(WR_CELL_SEALED, driver->State(h));
    driver->Unref(h);
    EXPECT_EQ(WR_CELL_FREE, driver->State(h)) << "private: freed without the raylet";
    wr_result r;
    EXPECT_EQ(WR_E_NOT_FOUND, wr_cell_result(node.pool, h, &r));
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ATaskGoesFromReadyToRunningToSealedToFree) {
    wr_handle h = driver->Submit(port, 7, 11);
    EXPECT_EQ(WR_CELL_READY, driver->State(h));
    wr_result r;
    EXPECT_EQ(WR_E_STATE, wr_cell_result(node.pool, h, &r));
    wr_claim c;
    ASSERT_TRUE(worker->Take(&c, 3));
    EXPECT_EQ(h, c.handle);
    EXPECT_EQ(7u, c.function);
    EXPECT_EQ(3u, c.lane);
    EXPECT_EQ(driver->slot(), c.caller_slot);
    EXPECT_EQ(port, c.port);
    EXPECT_EQ(4, c.arg_bytes);
    uint32_t arg, slot, epoch;
    memcpy(&arg, c.args, 4);
    EXPECT_EQ(11u, arg);
    EXPECT_EQ(WR_CELL_RUNNING, driver->State(h));
    ASSERT_TRUE(wr_cell_runner(node.pool, h, &slot, &epoch));
    EXPECT_EQ(worker->slot(), slot);
    EXPECT_FALSE(other->Take(&c));
    wr_claim stolen = c;
    stolen.handle = h;
    EXPECT_FALSE(other->Seal(stolen, 1)) << "only the claimer seals";
    ASSERT_TRUE(worker->Take(&c) == false);
    c.handle = h;
    EXPECT_TRUE(worker->Seal(c, 12));
    EXPECT_EQ(WR_OK, wr_proc_wait(driver->get(), h, 0, 0));
    EXPECT_EQ(12u, driver->Value(h));
    EXPECT_FALSE(worker->Seal(c, 13)) << "sealed once";
    driver->Unref(h);
    EXPECT_EQ(WR_CELL_FREE, driver->State(h));
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ACallOfAnActorIsToldFromATaskUntilItIsDone) {
    const wr_handle task = driver->Submit(port, 1, 1), call = driver->Submit(calls, 1, 1),
                    put = driver->Put(1);
    EXPECT_FALSE(wr_cell_is_actor_call(node.pool, task));
    EXPECT_FALSE(wr_cell_is_actor_call(node.pool, put));
    EXPECT_TRUE(wr_cell_is_actor_call(node.pool, call));
    EXPECT_FALSE(wr_cell_is_actor_call(node.pool, call + (1ull << 32))) << "another life of the cell";
    wr_claim c;
    ASSERT_TRUE(actor->Take(&c));
    EXPECT_TRUE(wr_cell_is_actor_call(node.pool, call)) << "running";
    EXPECT_TRUE(actor->Seal(c, 1));
    EXPECT_FALSE(wr_cell_is_actor_call(node.pool, call)) << "done: a cancel of it has no effect";
}

TEST_F(Tasks, AHandleOfAnEarlierLifeOfTheCellIsNobody) {
    wr_handle old = driver->Put(1);
    driver->Unref(old);
    wr_handle now = driver->Put(2);
    EXPECT_EQ(static_cast<uint32_t>(old), static_cast<uint32_t>(now)) << "the warmest cell is used again";
    EXPECT_NE(old, now);
    EXPECT_EQ(WR_CELL_FREE, driver->State(old));
    EXPECT_EQ(WR_E_NOT_FOUND, wr_proc_wait(driver->get(), old, 1000000000, 0));
    wr_claim c;
    EXPECT_EQ(WR_E_NOT_FOUND, wr_proc_claim(worker->get(), 0, old, &c));
    wr_task_spec s = {};
    s.port = port;
    s.refs = &old;
    s.ref_count = 1;
    wr_handle out;
    EXPECT_EQ(WR_E_INVALID, wr_proc_submit(driver->get(), &s, &out, nullptr));
    driver->Unref(now);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, OnePortNobodyQueuesIsClaimedByItsHandle) {
    wr_handle argument = driver->Submit(port, 0, 1);
    wr_handle h = driver->SubmitRefs(WR_PORT_NONE, 1, {argument});
    wr_claim c;
    EXPECT_EQ(WR_E_AGAIN, wr_proc_claim(worker->get(), 0, h, &c));
    EXPECT_EQ(1, worker->Work());
    EXPECT_EQ(WR_OK, wr_proc_claim(worker->get(), 0, h, &c));
    EXPECT_EQ(1u, c.function);
    EXPECT_EQ(WR_E_NOT_FOUND, wr_proc_claim(other->get(), 0, h, &c)) << "it runs";
    c.handle = h;
    EXPECT_TRUE(worker->Seal(c, 3));
    EXPECT_EQ(WR_E_STATE, wr_proc_claim(other->get(), 0, h, &c));
    EXPECT_EQ(1u, c.function);
    driver->Unref(h);
    driver->Unref(argument);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ATaskGivenBackRunsAgainWithOneAttemptMore) {
    wr_handle h = driver->Submit(port, 0, 4);
    wr_claim c;
    ASSERT_TRUE(worker->Take(&c));
    EXPECT_EQ(0, c.attempt);
    EXPECT_TRUE(wr_proc_give_back(worker->get(), &c, 0));
    EXPECT_FALSE(wr_proc_give_back(worker->get(), &c, 0));
    EXPECT_FALSE(worker->Seal(c, 1));
    ASSERT_TRUE(other->Take(&c));
    EXPECT_EQ(1, c.attempt);
    other->Run(c);
    EXPECT_EQ(13u, driver->Value(h));
    driver->Unref(h);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ARetryInPlaceKeepsTheClaim) {
    wr_handle h = driver->Submit(port, 0, 4);
    wr_claim c;
    ASSERT_TRUE(worker->Take(&c));
    EXPECT_TRUE(wr_proc_retry_in_place(worker->get(), &c));
    EXPECT_EQ(1, c.attempt);
    EXPECT_EQ(WR_CELL_RUNNING, driver->State(h));
    worker->Run(c);
    EXPECT_FALSE(wr_proc_retry_in_place(worker->get(), &c));
    driver->Unref(h);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, CancelSealsWhatHasNotBegunAndSaysWhoRunsTheRest) {
    wr_handle ready = driver->Submit(port, 0, 1), running = driver->Submit(port, 0, 2);
    wr_handle waiting = driver->SubmitRefs(port, 1, {ready}), behind = driver->SubmitRefs(port, 1, {waiting});
    wr_result error = Inline(99, kKindError);
    uint32_t slot = 0, epoch = 0;
    wr_claim c;
    ASSERT_TRUE(worker->Take(&c));
    ASSERT_EQ(ready, c.handle);
    ASSERT_TRUE(worker->Take(&c, 1));
    EXPECT_EQ(WR_E_STATE, wr_proc_cancel(driver->get(), running, &error, &slot, &epoch));
    EXPECT_EQ(worker->slot(), slot);
    EXPECT_EQ(WR_OK, wr_proc_cancel(driver->get(), waiting, &error, &slot, &epoch));
    EXPECT_EQ(kKindError, driver->Kind(waiting));
    EXPECT_EQ(WR_CELL_READY, driver->State(behind)) << "who waited for it goes on: the ordinary seal walks";
    EXPECT_EQ(WR_E_NOT_FOUND, wr_proc_cancel(driver->get(), waiting, &error, &slot, &epoch));
    EXPECT_EQ(WR_OK, wr_proc_cancel(driver->get(), behind, &error, &slot, &epoch));
    c.handle = ready;
    worker->Seal(c, 1);
    c.handle = running;
    worker->Seal(c, 1);
    EXPECT_EQ(0, worker->Work() + other->Work());
    for (wr_handle h : {ready, running, waiting, behind}) {
        driver->Unref(h);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

// ---- Arguments that are not there yet ----

TEST_F(Tasks, ATaskWaitsForItsArgumentsAndIsQueuedByWhoSealsTheLast) {
    wr_handle a = driver->Submit(port, 0, 1), b = driver->Submit(port, 0, 2), c = driver->Put(100);
    wr_handle sum = driver->SubmitRefs(port, 1, {a, b, c});
    EXPECT_EQ(WR_CELL_WAITING, driver->State(sum));
    wr_claim claim;
    ASSERT_TRUE(worker->Take(&claim));
    worker->Run(claim);
    EXPECT_EQ(WR_CELL_WAITING, driver->State(sum));
    EXPECT_EQ(2, worker->Work());
    EXPECT_EQ(4u + 7 + 100 + 1, driver->Value(sum));
    for (wr_handle h : {a, b, c, sum}) {
        driver->Unref(h);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, TheSameArgumentTwiceAndManyTasksOnOne) {
    wr_handle a = driver->Submit(port, 0, 1);
    std::vector<wr_handle> sums;
    for (int k = 0; k < 20; k++) {
        sums.push_back(driver->SubmitRefs(port, 1, {a, a}));
    }
    EXPECT_EQ(21, worker->Work());
    for (wr_handle h : sums) {
        EXPECT_EQ(9u, driver->Value(h));
        driver->Unref(h);
    }
    driver->Unref(a);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, TwoHundredPendingArgumentsAreJoined) {
    RayletThread raylet(&node);
    std::vector<wr_handle> args;
    uint32_t expected = 1;
    for (uint32_t k = 0; k < 200; k++) {
        args.push_back(driver->Submit(port, 0, k));
        expected += 3 * k + 1;
    }
    wr_handle sum = driver->SubmitRefs(port, 1, args);
    EXPECT_EQ(WR_CELL_WAITING, driver->State(sum));
    while (driver->State(sum) != WR_CELL_SEALED) {
        worker->Work();
        wr_proc_flush(driver->get());
    }
    EXPECT_EQ(expected, driver->Value(sum));
    for (wr_handle h : args) {
        driver->Unref(h);
    }
    driver->Unref(sum);
    std::lock_guard<std::mutex> hold(raylet.lock);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, FiveThousandPendingArgumentsAreJoinedInATree) {
    RayletThread raylet(&node);
    wr_handle gate = driver->Submit(port, 0, 1); // one task: everything else waits for it
    std::vector<wr_handle> args;
    for (uint32_t k = 0; k < 5000; k++) {
        args.push_back(k % 7 == 0 ? driver->Put(4) : driver->SubmitRefs(port, 1, {gate}));
    }
    wr_handle sum = driver->SubmitRefs(port, 1, args);
    while (driver->State(sum) != WR_CELL_SEALED) {
        worker->Work();
        wr_proc_flush(driver->get());
    }
    EXPECT_EQ(715u * 4 + 4285u * 5 + 1, driver->Value(sum));
    for (wr_handle h : args) {
        driver->Unref(h);
    }
    driver->Unref(sum);
    driver->Unref(gate);
    std::lock_guard<std::mutex> hold(raylet.lock);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, AChainOfAMillionIsDroppedWithoutRecursion) {
    // A chain whose last handle alone is held: its end frees all, one after the other. A small stack would
    // not bear recursion.
    wr_pool_geometry g = SmallGeometry();
    g.cells_per_extent = 65536;
    g.cell_extents = 20;
    g.ring_capacity = 1 << 20;
    g.rings = 8;
    Node big(g);
    uint16_t p = big.Port();
    auto maker = big.Open(), runner = big.Open();
    big.Ring(p, *maker);
    big.Assign(p, *runner);
    RayletThread raylet(&big);
    const uint32_t kLength = 1000000;
    wr_handle prev = maker->Put(0);
    for (uint32_t k = 0; k < kLength; k++) {
        wr_handle next = maker->SubmitRefs(p, 1, {prev});
        maker->Unref(prev);
        prev = next;
    }
    while (maker->State(prev) != WR_CELL_SEALED) {
        runner->Work();
    }
    EXPECT_EQ(kLength, maker->Value(prev));
    std::thread small([&] { maker->Unref(prev); });
    small.join();
    std::lock_guard<std::mutex> hold(raylet.lock);
    EXPECT_EQ("", big.AtRest({maker.get(), runner.get()}));
}

TEST_F(Tasks, WhatIsDroppedBeforeItIsDoneIsFreedLaterAndALongOneDoesNotHoldTheRest) {
    wr_handle slow = driver->Submit(port, 0, 1);
    wr_claim held;
    ASSERT_TRUE(worker->Take(&held));
    driver->Unref(slow);
    for (uint32_t k = 0; k < 500; k++) { // more than an extent has cells, so that limbo must give some back
        driver->Unref(driver->Submit(port, 0, k));
        other->Work();
        node.Pass(1);
    }
    EXPECT_EQ(WR_CELL_RUNNING, driver->State(slow));
    wr_slot_info info;
    wr_keeper_slot_info(node.keeper, driver->slot(), &info);
    EXPECT_LE(info.cells_held, 256u);
    worker->Run(held);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ASealedTaskLetsGoOfItsArgumentsWhenSettled) {
    wr_handle a = driver->Put(1), t = driver->SubmitRefs(port, 1, {a});
    driver->Unref(a);
    worker->Work();
    EXPECT_EQ(WR_CELL_SEALED, driver->State(a)) << "pinned by the task";
    wr_proc_settle(driver->get(), t);
    EXPECT_EQ(WR_CELL_FREE, driver->State(a));
    EXPECT_EQ(2u, driver->Value(t));
    driver->Unref(t);
    EXPECT_EQ("", node.AtRest(All()));
}

// ---- Queues ----

TEST_F(Tasks, AFullRingKeepsTheRestInItsOrderAndLosesNone) {
    std::vector<wr_handle> h;
    RayletThread raylet(&node);
    for (uint32_t k = 0; k < 300; k++) {
        h.push_back(driver->Submit(calls, 0, k));
    }
    EXPECT_TRUE(wr_proc_flush(driver->get()));
    uint32_t next = 0;
    while (next < 300) {
        wr_claim c;
        if (actor->Take(&c)) {
            uint32_t arg;
            memcpy(&arg, c.args, 4);
            EXPECT_EQ(next, arg);
            next++;
            actor->Run(c);
        }
        wr_proc_flush(driver->get());
    }
    EXPECT_FALSE(wr_proc_flush(driver->get()));
    for (wr_handle x : h) {
        driver->Unref(x);
    }
    std::lock_guard<std::mutex> hold(raylet.lock);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ATaskThatRunsForLongDoesNotBlockTheRingBehindIt) {
    wr_handle slow = driver->Submit(port, 0, 1), call = driver->Submit(calls, 0, 1, 255);
    wr_claim held, in_actor, c;
    ASSERT_TRUE(worker->Take(&held));
    ASSERT_TRUE(actor->Take(&in_actor));
    for (uint32_t k = 0; k < 300; k++) {
        wr_handle h = driver->Submit(port, 0, k), i = driver->Submit(calls, 0, k);
        ASSERT_EQ(1, other->Work());
        ASSERT_TRUE(actor->Take(&c, 1));
        actor->Run(c);
        driver->Unref(h);
        driver->Unref(i);
        node.Pass(1);
    }
    worker->Run(held);
    // The call's place in the ring is long gone; it is found again all the same.
    wr_keeper_port_state(node.keeper, calls, WR_PORT_RESTARTING, 0);
    node.Kill(&actor);
    wr_keeper_actor_rewind(node.keeper, calls);
    wr_keeper_port_state(node.keeper, calls, WR_PORT_OPEN, 0);
    actor = node.Open();
    node.Assign(calls, *actor);
    EXPECT_EQ(1, actor->Work());
    EXPECT_EQ(4u, driver->Value(call));
    driver->Unref(slow);
    driver->Unref(call);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, AnIdleTakerStealsWhatAnotherReservedAndHasNotBegun) {
    wr_keeper_port_takers(node.keeper, port, 1, false); // so that much is reserved at once
    for (uint32_t k = 0; k < 30; k++) {
        driver->Unref(driver->Submit(port, 0, k));
    }
    wr_claim c;
    ASSERT_TRUE(worker->Take(&c)); // reserves 15, begins one, and is busy for ever
    EXPECT_EQ(29, other->Work());
    wr_proc_counters counters;
    wr_pool_counters(node.pool, other->slot(), &counters);
    EXPECT_GT(counters.steals, 0u);
    worker->Run(c);
    EXPECT_EQ(0, worker->Work());
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ABlockedWorkerHandsOnWhatItReserved) {
    wr_keeper_port_takers(node.keeper, port, 1, false);
    for (uint32_t k = 0; k < 30; k++) {
        driver->Unref(driver->Submit(port, 0, k));
    }
    wr_claim c;
    ASSERT_TRUE(worker->Take(&c));
    uint32_t seen = wr_pool_bell_read(node.pool);
    wr_proc_activity(worker->get(), WR_BLOCKED);
    EXPECT_NE(seen, wr_pool_bell_read(node.pool)) << "work waits: the raylet is told";
    wr_port_info info;
    wr_keeper_port_info(node.keeper, port, &info);
    EXPECT_EQ(29u, info.queued);
    node.Pass(1);
    wr_keeper_event e;
    ASSERT_TRUE(wr_keeper_next(node.keeper, &e));
    EXPECT_EQ(WR_KEEPER_BLOCKED, e.type);
    EXPECT_EQ(worker->slot(), e.slot);
    EXPECT_FALSE(wr_keeper_next(node.keeper, &e));
    EXPECT_EQ(29, other->Work());
    wr_proc_activity(worker->get(), WR_RUNNING);
    worker->Run(c);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, NoSubmitterStarvesAnother) {
    for (uint32_t k = 0; k < 40; k++) {
        driver->Unref(driver->Submit(calls, 0, k));
        other->Unref(other->Submit(calls, 1000, k));
    }
    int first = 0;
    wr_claim c;
    for (int k = 0; k < 40; k++) {
        ASSERT_TRUE(actor->Take(&c));
        first += c.function == 0;
        actor->Seal(c, 1);
    }
    EXPECT_GE(first, 8);
    EXPECT_LE(first, 32);
    while (actor->Take(&c)) {
        actor->Seal(c, 1);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, AWorkerAssignedElsewhereLeavesNothingBehind) {
    uint16_t second = node.Port();
    wr_keeper_port_takers(node.keeper, port, 1, false);
    for (uint32_t k = 0; k < 30; k++) {
        driver->Unref(driver->Submit(port, 0, k));
    }
    wr_claim c;
    ASSERT_TRUE(worker->Take(&c));
    worker->Run(c);
    node.Assign(second, *worker);
    EXPECT_FALSE(worker->Take(&c));
    EXPECT_EQ(29, other->Work());
    wr_keeper_assign(node.keeper, worker->slot(), WR_PORT_NONE);
    EXPECT_EQ(WR_PORT_NONE, wr_proc_assignment(worker->get()));
    EXPECT_FALSE(worker->Take(&c));
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ASealerWithoutARingAtTheTasksPortLeavesItToTheRaylet) {
    uint16_t second = node.Port();
    node.Ring(second, *driver);
    wr_handle a = driver->Submit(port, 0, 1), b = driver->SubmitRefs(second, 1, {a});
    EXPECT_EQ(1, worker->Work()); // has no ring at `second`
    EXPECT_EQ(WR_CELL_READY, driver->State(b));
    node.Pass(1);
    node.Assign(second, *other);
    EXPECT_EQ(1, other->Work());
    EXPECT_EQ(5u, driver->Value(b));
    driver->Unref(a);
    driver->Unref(b);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ASubmitWithoutARingOrWithTooMuchIsRefusedAndChangesNothing) {
    uint16_t second = node.Port();
    wr_task_spec s = {};
    wr_handle out;
    wr_error err = {};
    s.port = second;
    EXPECT_EQ(WR_E_INVALID, wr_proc_submit(driver->get(), &s, &out, &err));
    s.port = port;
    uint8_t args[64] = {};
    s.args = args;
    s.arg_bytes = 49;
    EXPECT_EQ(WR_E_INVALID, wr_proc_submit(driver->get(), &s, &out, &err));
    wr_handle refs[4] = {driver->Put(1), driver->Put(1), driver->Put(1), driver->Put(1)};
    s.refs = refs;
    s.ref_count = 2;
    s.arg_bytes = 17;
    EXPECT_EQ(WR_E_INVALID, wr_proc_submit(driver->get(), &s, &out, &err));
    s.arg_bytes = 0;
    s.ref_count = 4;
    EXPECT_EQ(WR_E_INVALID, wr_proc_submit(driver->get(), &s, &out, &err)) << "four links need a block";
    s.block = driver->Block({}, 8, 0, 3);
    EXPECT_EQ(WR_E_INVALID, wr_proc_submit(driver->get(), &s, &out, &err)) << "with room for them";
    s.port = 7777;
    EXPECT_EQ(WR_E_INVALID, wr_proc_submit(driver->get(), &s, &out, &err));
    wr_proc_heap_free(driver->get(), s.block);
    for (wr_handle h : refs) {
        driver->Unref(h);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

// ---- Actors ----

TEST_F(Tasks, CallsOfACallerKeepTheirOrderAndAWaitingOneStopsOnlyItsOwnCaller) {
    wr_handle gate = driver->Submit(port, 0, 1);
    wr_handle first = driver->SubmitRefs(calls, 1, {gate}), second = driver->Submit(calls, 0, 2);
    wr_handle others = other->Submit(calls, 0, 3);
    EXPECT_EQ(1, actor->Work());
    EXPECT_EQ(WR_CELL_SEALED, other->State(others));
    EXPECT_EQ(WR_CELL_WAITING, driver->State(first));
    EXPECT_EQ(WR_CELL_READY, driver->State(second)) << "behind one that waits";
    EXPECT_EQ(1, worker->Work());
    EXPECT_EQ(2, actor->Work());
    EXPECT_EQ(5u, driver->Value(first));
    for (wr_handle h : {gate, first, second}) {
        driver->Unref(h);
    }
    other->Unref(others);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ACancelledCallAtTheHeadLetsTheNextRun) {
    wr_handle gate = driver->Submit(port, 0, 1);
    wr_handle first = driver->SubmitRefs(calls, 1, {gate}), second = driver->Submit(calls, 0, 2);
    wr_result error = Inline(9, kKindError);
    uint32_t slot, epoch;
    EXPECT_EQ(0, actor->Work());
    EXPECT_EQ(WR_OK, wr_proc_cancel(driver->get(), first, &error, &slot, &epoch));
    EXPECT_EQ(1, actor->Work());
    worker->Work();
    for (wr_handle h : {gate, first, second}) {
        driver->Unref(h);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, AnActorMayHaveManyCallsInFlightOnItsLanes) {
    std::vector<wr_handle> h;
    for (uint32_t k = 0; k < 40; k++) {
        h.push_back(driver->Submit(calls, 0, k));
    }
    std::vector<wr_claim> claims(40);
    for (uint32_t k = 0; k < 40; k++) {
        ASSERT_TRUE(actor->Take(&claims[k], k * 25));
    }
    wr_slot_info info;
    wr_keeper_slot_info(node.keeper, actor->slot(), &info);
    EXPECT_EQ(40u, info.lanes_running);
    EXPECT_EQ(claims[0].handle, info.running);
    for (uint32_t k = 40; k-- > 0;) {
        actor->Run(claims[k]);
    }
    wr_keeper_slot_info(node.keeper, actor->slot(), &info);
    EXPECT_EQ(0u, info.lanes_running);
    for (wr_handle x : h) {
        driver->Unref(x);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

// ---- Waits ----

TEST_F(Tasks, AWaitThatSleepsIsWokenByTheSeal) {
    wr_handle h = driver->Submit(port, 0, 1);
    wr_claim c;
    ASSERT_TRUE(worker->Take(&c));
    EXPECT_EQ(WR_E_TIMEOUT, wr_proc_wait(driver->get(), h, 0, 0));
    EXPECT_EQ(WR_E_TIMEOUT, wr_proc_wait(driver->get(), h, 1000000, 0));
    std::thread waiter([&] {
        wr_status s;
        while ((s = wr_proc_wait(driver->get(), h, 60000000000u, 0)) == WR_E_INTERRUPTED) {
        }
        EXPECT_EQ(WR_OK, s);
    });
    worker->Run(c);
    waiter.join();
    driver->Unref(h);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, AWaitOnManyEndsWhenEnoughAreSealed) {
    std::vector<wr_handle> h;
    for (uint32_t k = 0; k < 50; k++) {
        h.push_back(driver->Submit(port, 0, k));
    }
    uint32_t ready = 77;
    EXPECT_EQ(WR_E_TIMEOUT, wr_proc_wait_many(driver->get(), h.data(), 50, 1, 1000000, 0, &ready));
    EXPECT_EQ(0u, ready);
    std::atomic<bool> waiting{false};
    std::thread waiter([&] {
        wr_status s;
        waiting = true;
        while ((s = wr_proc_wait_many(driver->get(), h.data(), 50, 50, 60000000000u, 0, &ready)) ==
               WR_E_INTERRUPTED) {
        }
        EXPECT_EQ(WR_OK, s);
    });
    while (!waiting) {
        std::this_thread::yield();
    }
    EXPECT_EQ(50, worker->Work());
    waiter.join();
    EXPECT_EQ(50u, ready);
    EXPECT_EQ(WR_OK, wr_proc_wait_many(driver->get(), h.data(), 50, 3, 0, 0, &ready));
    EXPECT_EQ(3u, ready);
    for (wr_handle x : h) {
        driver->Unref(x);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ASleepingTakerIsWokenByASubmitAndByAnAssignment) {
    std::atomic<int> took{0};
    std::atomic<bool> stop{false};
    std::thread taker([&] {
        wr_claim c;
        while (!stop) {
            if (worker->Take(&c)) {
                worker->Run(c);
                took++;
            } else {
                wr_proc_idle(worker->get(), 0);
            }
        }
    });
    for (uint32_t k = 0; k < 20; k++) {
        wr_handle h = driver->Submit(port, 0, k);
        while (wr_proc_wait(driver->get(), h, 60000000000u, 0) == WR_E_INTERRUPTED) {
        }
        EXPECT_EQ(3 * k + 1, driver->Value(h));
        driver->Unref(h);
    }
    stop = true;
    wr_keeper_assign(node.keeper, worker->slot(), WR_PORT_NONE);
    taker.join();
    EXPECT_EQ(20, took);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, ATakerThatHasHadNothingToDoForLongSleepsLongerAndIsWokenAllTheSame) {
    auto idle_ms = [&] {
        auto begin = std::chrono::steady_clock::now();
        wr_proc_idle(worker->get(), 0);
        return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin)
            .count();
    };
    wr_proc_quiet_after(worker->get(), 50000000);
    idle_ms();
    EXPECT_GE(idle_ms(), 900) << "the second one is long";
    std::thread taker([&] { wr_proc_idle(worker->get(), 0); });
    wr_port_info info;
    do {
        wr_keeper_port_info(node.keeper, port, &info);
        std::this_thread::yield();
    } while (info.sleepers == 0);
    wr_handle h = driver->Submit(port, 0, 1);
    taker.join();
    EXPECT_EQ(1u, worker->Work());
    driver->Unref(h);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, AnActorAsleepBeforeAWaitingHeadIsWokenWhenItBecomesReady) {
    wr_handle gate = driver->Submit(port, 0, 1), call = driver->SubmitRefs(calls, 1, {gate});
    std::atomic<bool> done{false};
    std::thread taker([&] {
        wr_claim c;
        while (!done) {
            if (actor->Take(&c)) {
                actor->Run(c);
                done = true;
            } else {
                wr_proc_idle(actor->get(), 0);
            }
        }
    });
    wr_port_info info;
    do {
        wr_keeper_port_info(node.keeper, calls, &info);
        std::this_thread::yield();
    } while (info.sleepers == 0);
    EXPECT_EQ(0u, info.ready);
    EXPECT_EQ(1u, info.queued);
    worker->Work();
    taker.join();
    EXPECT_EQ(5u, driver->Value(call));
    driver->Unref(gate);
    driver->Unref(call);
    EXPECT_EQ("", node.AtRest(All()));
}

// ---- Words, counters, task events ----

TEST_F(Tasks, CountersSayWhatWasDone) {
    driver->Unref(driver->Put(1));
    wr_handle h = driver->Submit(port, 0, 1), call = driver->Submit(calls, 0, 1);
    worker->Work();
    actor->Work();
    wr_proc_counters d, w, a;
    wr_pool_counters(node.pool, driver->slot(), &d);
    wr_pool_counters(node.pool, worker->slot(), &w);
    wr_pool_counters(node.pool, actor->slot(), &a);
    EXPECT_EQ(1u, d.put);
    EXPECT_EQ(4u, d.put_bytes);
    EXPECT_EQ(1u, d.submitted);
    EXPECT_EQ(1u, d.calls_submitted);
    EXPECT_EQ(1u, w.executed);
    EXPECT_EQ(1u, w.sealed);
    EXPECT_EQ(4u, w.sealed_bytes);
    EXPECT_EQ(1u, a.calls_executed);
    driver->Unref(h);
    driver->Unref(call);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, TaskEventsAreOffUntilSomebodyReads) {
    uint64_t cursor[2] = {0, 0}, lost = 0;
    wr_trace_record r[64];
    driver->Unref(driver->Submit(port, 5, 1));
    worker->Work();
    EXPECT_EQ(0u, wr_keeper_trace_read(node.keeper, driver->slot(), &cursor[0], &lost, r, 64));
    wr_keeper_trace(node.keeper, true);
    wr_handle h = driver->Submit(port, 6, 1);
    worker->Work();
    ASSERT_EQ(1u, wr_keeper_trace_read(node.keeper, driver->slot(), &cursor[0], &lost, r, 64));
    EXPECT_EQ(h, r[0].handle);
    EXPECT_EQ(0u, r[0].state);
    EXPECT_EQ(6u, r[0].function);
    wr_slot_info info;
    wr_keeper_slot_info(node.keeper, driver->slot(), &info);
    EXPECT_EQ(static_cast<uint32_t>(info.pid), r[0].pid);
    ASSERT_EQ(2u, wr_keeper_trace_read(node.keeper, worker->slot(), &cursor[1], &lost, r, 64));
    EXPECT_EQ(1u, r[0].state);
    EXPECT_EQ(2u, r[1].state);
    EXPECT_LE(r[0].time_ns, r[1].time_ns);
    EXPECT_EQ(0u, wr_keeper_trace_read(node.keeper, worker->slot(), &cursor[1], &lost, r, 64));
    for (uint32_t k = 0; k < 100; k++) { // laps the ring: what was overwritten is skipped
        driver->Unref(driver->Submit(port, k, 1));
        worker->Work();
    }
    uint32_t n = wr_keeper_trace_read(node.keeper, driver->slot(), &cursor[0], &lost, r, 64);
    EXPECT_GT(n, 32u);
    EXPECT_LE(n, 64u);
    EXPECT_EQ(99u, r[n - 1].function);
    EXPECT_EQ(100u, n + lost) << "each is told or counted";
    lost = 0;
    cursor[0] = 1u << 30; // of another pool: all that is kept, and nothing was lost
    EXPECT_EQ(n, wr_keeper_trace_read(node.keeper, driver->slot(), &cursor[0], &lost, r, 64));
    EXPECT_LE(lost, 1u) << "the oldest may be just being overwritten";
    wr_keeper_trace(node.keeper, false);
    driver->Unref(h);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Tasks, TheEventsOfAProcessThatHasEndedCanStillBeRead) {
    uint64_t cursor = 0, lost = 0;
    wr_trace_record r[64];
    wr_keeper_trace(node.keeper, true);
    driver->Unref(driver->Submit(port, 5, 1));
    worker->Work();
    uint32_t slot = worker->slot();
    ASSERT_EQ(1u, wr_keeper_trace_read(node.keeper, slot, &cursor, &lost, r, 1));
    EXPECT_EQ(1u, r[0].state);
    wr_keeper_slot_dead(node.keeper, slot, nullptr, nullptr);
    ASSERT_EQ(1u, wr_keeper_trace_read(node.keeper, slot, &cursor, &lost, r, 64));
    EXPECT_EQ(2u, r[0].state);
    EXPECT_EQ(0u, lost);
    EXPECT_LT(slot, wr_keeper_slots(node.keeper));
    wr_keeper_trace(node.keeper, false);
}

TEST_F(Tasks, WordsOfTheSlotAreSeenByBoth) {
    wr_keeper_want_cancel(node.keeper, worker->slot(), 42);
    EXPECT_EQ(42u, wr_proc_cancel_wanted(worker->get()));
    wr_proc_activity(worker->get(), WR_RUNNING);
    wr_slot_info info;
    wr_keeper_slot_info(node.keeper, worker->slot(), &info);
    EXPECT_TRUE(info.live);
    EXPECT_EQ(WR_RUNNING, info.activity);
    EXPECT_EQ(port, info.assignment);
}

} // namespace

// The raylet's side: slots, ports, the reaper, each early finding by name, and clients that lie.
#include "harness.h"

#include "probe.h"

namespace {

class Keeper : public ::testing::Test {
  protected:
    void SetUp() override {
        port = node.Port();
        calls = node.Port(true);
        a = node.Open();
        b = node.Open();
        c = node.Open();
        x = node.Open();
        for (Part *p : {a.get(), b.get(), c.get(), x.get()}) {
            node.Ring(port, *p);
            node.Ring(calls, *p);
        }
        node.Assign(port, *b);
        node.Assign(port, *c);
        node.Assign(calls, *x);
    }
    std::unique_ptr<Part> Again(uint16_t assigned) {
        auto part = node.Open();
        node.Ring(port, *part);
        node.Ring(calls, *part);
        node.Assign(assigned, *part);
        return part;
    }
    void RestartActor() {
        wr_keeper_port_state(node.keeper, calls, WR_PORT_RESTARTING, 0);
        node.Kill(&x);
        wr_keeper_actor_rewind(node.keeper, calls);
        wr_keeper_port_state(node.keeper, calls, WR_PORT_OPEN, 0);
        x = Again(calls);
    }
    // The actor's port is closed and another actor gets its number; x is that one.
    void OpenCallsAnew() {
        node.Kill(&x);
        wr_keeper_port_close(node.keeper, calls);
        ASSERT_EQ(calls, node.Port(true));
        node.Ring(calls, *a);
        x = Again(calls);
    }
    std::vector<const Part *> All() {
        std::vector<const Part *> all;
        for (const Part *p : {a.get(), b.get(), c.get(), x.get()}) {
            if (p != nullptr) {
                all.push_back(p);
            }
        }
        return all;
    }

    Node node;
    uint16_t port, calls;
    std::unique_ptr<Part> a, b, c, x;
};

// ---- Slots, ports, rings ----

TEST_F(Keeper, SlotsRunOutWithAnErrorAndAreUsedAgainWithAnotherEpoch) {
    std::vector<std::unique_ptr<Part>> more;
    uint32_t slot, epoch;
    for (int k = 0; k < 11; k++) {
        more.push_back(node.Open());
    }
    wr_error err = {};
    EXPECT_EQ(WR_E_LIMIT, wr_keeper_slot_open(node.keeper, 1, &slot, &epoch, &err));
    uint32_t old = more[3]->slot(), old_epoch = wr_proc_epoch(more[3]->get());
    node.Kill(&more[3]);
    wr_slot_info info;
    wr_keeper_slot_info(node.keeper, old, &info);
    EXPECT_FALSE(info.live);
    ASSERT_EQ(WR_OK, wr_keeper_slot_open(node.keeper, 1, &slot, &epoch, nullptr));
    EXPECT_EQ(old, slot);
    EXPECT_NE(old_epoch, epoch);
    wr_proc *p = nullptr;
    EXPECT_EQ(WR_E_STATE, wr_proc_attach(node.pool, slot, old_epoch, &p, nullptr));
}

TEST_F(Keeper, PortsRunOutWithAnErrorAndAreUsedAgain) {
    std::vector<uint16_t> ports;
    uint16_t p;
    while (wr_keeper_port_open(node.keeper, false, &p, nullptr) == WR_OK) {
        ports.push_back(p);
    }
    EXPECT_EQ(6u, ports.size());
    wr_keeper_port_close(node.keeper, ports[2]);
    EXPECT_EQ(WR_PORT_CLOSED, wr_proc_port_state(a->get(), ports[2], nullptr));
    EXPECT_EQ(WR_OK, wr_keeper_port_open(node.keeper, true, &p, nullptr));
    EXPECT_EQ(ports[2], p);
}

TEST_F(Keeper, ARingIsOpenedOnceAndRingsRunOutWithAnError) {
    uint32_t first, second;
    ASSERT_EQ(WR_OK, wr_keeper_ring_open(node.keeper, port, a->slot(), &first, nullptr));
    ASSERT_EQ(WR_OK, wr_keeper_ring_open(node.keeper, port, a->slot(), &second, nullptr));
    EXPECT_EQ(first, second);
    EXPECT_EQ(WR_E_INVALID, wr_keeper_ring_open(node.keeper, 99, a->slot(), &first, nullptr));
    EXPECT_EQ(WR_E_INVALID, wr_keeper_ring_open(node.keeper, port, 15, &first, nullptr)) << "no such process";
    wr_pool_geometry g = SmallGeometry();
    g.rings = 2;
    Node tiny(g);
    uint16_t p = tiny.Port();
    auto one = tiny.Open(), two = tiny.Open();
    tiny.Ring(p, *one);
    wr_error err = {};
    EXPECT_EQ(WR_E_LIMIT, wr_keeper_ring_open(tiny.keeper, p, two->slot(), &first, &err));
    tiny.Kill(&one);
    EXPECT_EQ(WR_OK, wr_keeper_ring_open(tiny.keeper, p, two->slot(), &first, &err))
        << "the ring of the dead";
}

TEST_F(Keeper, APortClosedAndOpenedAnewGetsAnotherRing) {
    uint16_t p = node.Port();
    node.Ring(p, *a);
    node.Assign(p, *b);
    wr_handle h = a->Submit(p, 0, 1);
    EXPECT_EQ(1, b->Work());
    a->Unref(h);
    wr_keeper_assign(node.keeper, b->slot(), WR_PORT_NONE);
    wr_keeper_port_close(node.keeper, p);
    uint16_t again = node.Port();
    ASSERT_EQ(p, again);
    node.Ring(again, *c);
    wr_task_spec s = {};
    s.port = again;
    EXPECT_EQ(WR_E_INVALID, wr_proc_submit(a->get(), &s, &h, nullptr)) << "its ring is another's by now";
    node.Ring(again, *a);
    node.Assign(again, *b);
    h = a->Submit(again, 0, 1);
    EXPECT_EQ(1, b->Work());
    a->Unref(h);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, APortOpenedAnewHasAnotherGenerationAndTakesNoCallsOfTheOld) {
    uint32_t before = wr_proc_port_generation(a->get(), calls);
    EXPECT_NE(0u, before);
    wr_task_spec s = {};
    s.port = calls;
    s.generation = before;
    wr_handle h = a->SubmitSpec(s), refused = 0;
    OpenCallsAnew();
    EXPECT_EQ(WR_CELL_SEALED, a->State(h)) << "what stood in the ring ended with the port";
    EXPECT_EQ(kKindError, a->Kind(h));
    EXPECT_NE(before, wr_proc_port_generation(a->get(), calls));
    wr_error err = {};
    EXPECT_EQ(WR_E_ACTOR_DIED, wr_proc_submit(a->get(), &s, &refused, &err));
    EXPECT_EQ(0, x->Work());
    s.generation = wr_proc_port_generation(a->get(), calls);
    wr_handle good = a->SubmitSpec(s);
    EXPECT_EQ(1, x->Work());
    a->Unref(h);
    a->Unref(good);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ACallInTheBacklogOfAPortThatWasClosedEndsAndReachesNobody) {
    wr_result gone = Inline(77, kKindError);
    wr_proc_on_gone(a->get(), &gone);
    std::vector<wr_handle> all;
    for (uint32_t k = 0; k < 70; k++) { // 63 fill the ring
        all.push_back(a->Submit(calls, 0, k));
    }
    OpenCallsAnew();
    EXPECT_EQ(WR_CELL_READY, a->State(all.back()));
    EXPECT_FALSE(wr_proc_flush(a->get()));
    EXPECT_EQ(0, x->Work());
    for (wr_handle h : all) {
        EXPECT_EQ(kKindError, a->Kind(h));
    }
    EXPECT_EQ(77u, a->Value(all.back()));
    for (wr_handle h : all) {
        a->Unref(h);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ATakerPassesOverATaskOfAnEarlierOpeningOfItsPort) {
    wr_handle first = a->Submit(calls, 0, 1), late = a->Submit(calls, 0, 2), last = a->Submit(calls, 0, 3),
              task = a->Submit(port, 0, 4);
    wr_test_outlive_port(node.pool, late);
    wr_test_outlive_port(node.pool, task);
    EXPECT_EQ(2, x->Work());
    EXPECT_EQ(0, b->Work() + c->Work());
    EXPECT_EQ(WR_CELL_READY, a->State(late));
    EXPECT_EQ(4u, a->Value(first));
    EXPECT_EQ(10u, a->Value(last));
    wr_test_event(a->get(), 7, late); // QUEUE: the raylet does not queue it again, it fails it
    wr_test_event(a->get(), 7, task);
    node.Pass();
    EXPECT_EQ(WR_CELL_SEALED, a->State(late));
    EXPECT_EQ(WR_CELL_SEALED, a->State(task));
    for (wr_handle h : {first, late, last, task}) {
        a->Unref(h);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ARingStaysWithItsSlotThoughItsPortIsClosed) {
    uint32_t before, again, others;
    ASSERT_EQ(WR_OK, wr_keeper_ring_open(node.keeper, calls, a->slot(), &before, nullptr));
    wr_keeper_port_close(node.keeper, calls);
    ASSERT_EQ(calls, node.Port(true));
    ASSERT_EQ(WR_OK, wr_keeper_ring_open(node.keeper, calls, c->slot(), &others, nullptr));
    EXPECT_NE(before, others) << "its submitter may be about to write to it";
    ASSERT_EQ(WR_OK, wr_keeper_ring_open(node.keeper, calls, a->slot(), &again, nullptr));
    EXPECT_EQ(before, again);
    wr_keeper_port_close(node.keeper, calls);
    node.Kill(&a);
    ASSERT_EQ(calls, node.Port(true));
    auto next = node.Open(), after = node.Open();
    ASSERT_EQ(WR_OK, wr_keeper_ring_open(node.keeper, calls, next->slot(), &again, nullptr));
    ASSERT_EQ(WR_OK, wr_keeper_ring_open(node.keeper, calls, after->slot(), &others, nullptr));
    EXPECT_TRUE(again == before || others == before) << "the ring of the dead";
}

TEST_F(Keeper, AHungryPortRingsTheRayletOnceUntilItIsArmedAgain) {
    uint16_t p = node.Port(); // no takers: hungry
    node.Ring(p, *a);
    uint32_t seen = wr_pool_bell_read(node.pool);
    wr_handle h[3];
    h[0] = a->Submit(p, 0, 1);
    EXPECT_NE(seen, wr_pool_bell_read(node.pool));
    seen = wr_pool_bell_read(node.pool);
    h[1] = a->Submit(p, 0, 1);
    EXPECT_EQ(seen, wr_pool_bell_read(node.pool));
    node.Pass(1);
    wr_port_info info;
    wr_keeper_port_info(node.keeper, p, &info);
    EXPECT_EQ(2u, info.queued);
    h[2] = a->Submit(p, 0, 1);
    EXPECT_NE(seen, wr_pool_bell_read(node.pool));
    node.Assign(p, *b);
    wr_keeper_port_takers(node.keeper, p, 1, false);
    seen = wr_pool_bell_read(node.pool);
    EXPECT_EQ(3, b->Work());
    for (wr_handle x1 : h) {
        a->Unref(x1);
    }
    a->Unref(a->Submit(p, 0, 1));
    EXPECT_EQ(seen, wr_pool_bell_read(node.pool));
    b->Work();
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, APortThatIsHungryAnewRingsForALookAtWhatCameMeanwhile) {
    uint16_t p = node.Port();
    wr_keeper_port_takers(node.keeper, p, 0, false); // no room for a taker, and work waits already
    node.Pass(1);
    uint32_t seen = wr_pool_bell_read(node.pool);
    node.Ring(p, *a);
    wr_handle h = a->Submit(p, 0, 1);
    EXPECT_EQ(seen, wr_pool_bell_read(node.pool));
    wr_keeper_port_takers(node.keeper, p, 0, true);
    EXPECT_NE(seen, wr_pool_bell_read(node.pool));
    seen = wr_pool_bell_read(node.pool);
    wr_keeper_port_takers(node.keeper, p, 0, true);
    EXPECT_EQ(seen, wr_pool_bell_read(node.pool));
    node.Assign(p, *b);
    b->Work();
    a->Unref(h);
    EXPECT_EQ("", node.AtRest(All()));
}

// ---- The reaper ----

TEST_F(Keeper, ATaskOfADeadWorkerRunsAgainWithinItsRetries) {
    wr_handle h = a->Submit(port, 0, 1, 1), none = a->Submit(port, 0, 2, 0);
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim, 5));
    ASSERT_TRUE(b->Take(&claim, 900));
    node.Kill(&b);
    EXPECT_EQ(WR_CELL_READY, a->State(h));
    EXPECT_EQ(kKindError, a->Kind(none));
    EXPECT_EQ(1000u + WR_LOST_WORKER_DIED, a->Value(none));
    ASSERT_TRUE(c->Take(&claim));
    EXPECT_EQ(1, claim.attempt);
    node.Kill(&c);
    EXPECT_EQ(kKindError, a->Kind(h)) << "its retry is used up";
    a->Unref(h);
    a->Unref(none);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ATaskThatMustNotBeRetriedIsNeverThereForAnotherTaker) {
    wr_handle h = a->Submit(port, 0, 1, 5), other = a->Submit(port, 0, 2, 5);
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim, 5));
    ASSERT_TRUE(b->Take(&claim, 900));
    wr_keeper_no_retry(node.keeper, h);
    node.Kill(&b);
    EXPECT_EQ(kKindError, a->Kind(h));
    EXPECT_EQ(1000u + WR_LOST_WORKER_DIED, a->Value(h));
    ASSERT_TRUE(c->Take(&claim));
    EXPECT_EQ(other, claim.handle);
    node.Kill(&c); // it counted for one death only
    EXPECT_EQ(WR_CELL_READY, a->State(other));
    a->Unref(h);
    node.Assign(port, *x);
    ASSERT_TRUE(x->Take(&claim));
    EXPECT_EQ(other, claim.handle);
    EXPECT_TRUE(x->Seal(claim, 1));
    a->Unref(other);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, WhatADeadWorkerHadReservedIsQueuedAgain) {
    wr_keeper_port_takers(node.keeper, port, 1, false);
    std::vector<wr_handle> h;
    for (uint32_t k = 0; k < 30; k++) {
        h.push_back(a->Submit(port, 0, k));
    }
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim));
    node.Kill(&b);
    EXPECT_EQ(30, c->Work());
    for (uint32_t k = 0; k < 30; k++) {
        EXPECT_EQ(3 * k + 1, a->Value(h[k]));
        a->Unref(h[k]);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, TasksLinkedToACancelledOneDoNotWaitForEver) { // finding 1
    wr_handle first = a->Submit(port, 0, 1), second = a->SubmitRefs(port, 1, {first});
    // b runs a task of a that waits for `second`, whose creator then dies; c keeps the result's handle.
    wr_handle keep = a->SubmitRefs(port, 1, {second});
    wr_proc_borrow(c->get(), keep);
    node.Kill(&a);
    EXPECT_EQ(kKindError, c->Kind(first));
    EXPECT_EQ(1000u + WR_LOST_OWNER_DIED, c->Value(first));
    EXPECT_EQ(WR_CELL_SEALED, c->State(second));
    EXPECT_EQ(WR_CELL_READY, c->State(keep)) << "held by c: it runs";
    EXPECT_EQ(1, b->Work());
    EXPECT_EQ(WR_CELL_SEALED, c->State(keep));
    c->Unref(keep);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, EveryClaimInFlightOfADeadActorIsFound) { // finding 2
    std::vector<wr_handle> h;
    for (uint32_t k = 0; k < 20; k++) {
        h.push_back(a->Submit(calls, 0, k, 0));
    }
    wr_claim claim;
    for (uint32_t k = 0; k < 20; k++) {
        ASSERT_TRUE(x->Take(&claim, k));
    }
    node.Kill(&x);
    for (wr_handle i : h) {
        EXPECT_EQ(kKindError, a->Kind(i)) << "none stays RUNNING";
        a->Unref(i);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, NoHandleIsZero) { // finding 3
    Node fresh;
    auto p = fresh.Open();
    std::vector<wr_handle> h;
    for (int k = 0; k < 60; k++) {
        h.push_back(p->Put(1));
        EXPECT_NE(0u, h.back());
    }
    for (wr_handle i : h) {
        p->Unref(i);
    }
    node.Pass(1);
}

TEST_F(Keeper, ExtentsAndGrantsOfTheDeadDoNotPassToTheNextInItsSlot) { // finding 4
    wr_handle o = a->Put(5);
    wr_proc_borrow(c->get(), o);
    a->Unref(o);
    node.Pass(2);
    c->Unref(o);
    node.Pass(3); // a grant FREED waits for a, which dies without reading it
    uint32_t slot = a->slot();
    node.Kill(&a);
    a = Again(WR_PORT_NONE);
    ASSERT_EQ(slot, a->slot());
    wr_slot_info info;
    wr_keeper_slot_info(node.keeper, slot, &info);
    EXPECT_EQ(64u, info.cells_held);
    std::vector<wr_handle> h;
    for (int k = 0; k < 50; k++) {
        h.push_back(a->Put(1));
    }
    EXPECT_EQ("", node.Check(All(), false));
    for (wr_handle i : h) {
        a->Unref(i);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ARestartedActorWithAFullRingBeginsWithTheOldestCall) { // finding 6
    std::vector<wr_handle> h;
    wr_claim claim;
    for (uint32_t round = 0; round < 40; round++) {
        for (uint32_t k = 0; k < 90; k++) { // the ring has 64: it is full, and laps
            h.push_back(a->Submit(calls, 0, k));
        }
        for (uint32_t k = 0; k < 1 + round; k++) {
            ASSERT_TRUE(x->Take(&claim));
            uint32_t arg;
            memcpy(&arg, claim.args, 4);
            ASSERT_EQ(k, arg);
            x->Run(claim);
        }
        ASSERT_TRUE(x->Take(&claim)); // has begun this one
        wr_proc_flush(a->get());
        RestartActor();
        for (uint32_t k = 1 + round; k < 90; k++) {
            ASSERT_TRUE(x->Take(&claim)) << k;
            uint32_t arg;
            memcpy(&arg, claim.args, 4);
            ASSERT_EQ(k, arg) << "round " << round;
            EXPECT_EQ(k == 1 + round ? 1 : 0, claim.attempt);
            x->Run(claim);
            wr_proc_flush(a->get());
        }
        for (wr_handle i : h) {
            a->Unref(i);
        }
        h.clear();
        node.Pass(2);
        wr_proc_poll(a->get());
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, TheDeadCreatorsTasksEndAndItsArgumentsAreFreed) {
    wr_handle mine = a->Put(1), borrowed = c->Put(2);
    wr_handle t = c->SubmitRefs(port, 1, {borrowed});
    (void)t;
    wr_proc_borrow(a->get(), borrowed);
    wr_handle running = a->SubmitRefs(port, 1, {mine, borrowed}), waiting = a->SubmitRefs(port, 1, {running});
    (void)waiting;
    wr_claim claim[2];
    ASSERT_TRUE(b->Take(&claim[0], 0));
    ASSERT_TRUE(b->Take(&claim[1], 1));
    c->Unref(borrowed);
    node.Kill(&a);
    node.Pass(5);
    EXPECT_EQ(1u, b->Value(mine)) << "still an argument of a running task";
    EXPECT_EQ(2u, b->Value(borrowed));
    EXPECT_TRUE(b->Seal(claim[0], 9));
    EXPECT_TRUE(b->Seal(claim[1], 9));
    c->Unref(t);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ADeadCreatorWithJoinsLeavesNothing) {
    std::vector<wr_handle> args;
    {
        RayletThread raylet(&node);
        for (uint32_t k = 0; k < 150; k++) {
            args.push_back(a->Submit(port, 0, k));
        }
        wr_handle sum = a->SubmitRefs(port, 1, args);
        wr_proc_borrow(c->get(), sum);
    }
    wr_claim claim;
    for (int k = 0; k < 20; k++) {
        ASSERT_TRUE(b->Take(&claim));
        b->Run(claim);
    }
    node.Kill(&a);
    while (b->Work() + c->Work() != 0) {
        node.Pass(1);
    }
    node.Pass(2);
    wr_keeper_stats stats;
    wr_keeper_stats_of(node.keeper, &stats);
    EXPECT_GT(stats.rows, 0u) << "c holds the sum";
    node.Kill(&c);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ADeadSealersWalkIsDoneAgain) {
    wr_handle first = a->Submit(port, 0, 1), second = a->SubmitRefs(port, 1, {first});
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim));
    wr_test_seal_without_walk(b->get(), claim.handle); // dies between its seal and its walk
    EXPECT_EQ(WR_CELL_WAITING, a->State(second));
    node.Kill(&b);
    EXPECT_EQ(WR_CELL_READY, a->State(second));
    EXPECT_EQ(1, c->Work());
    a->Unref(first);
    a->Unref(second);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, AListThatALivingSealerWalksIsNotWalkedByTheReaperToo) {
    wr_handle first = a->Submit(port, 0, 1), second = a->SubmitRefs(port, 1, {first});
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim));
    EXPECT_EQ(WR_E_NOT_FOUND, wr_proc_claim(c->get(), 0, first, &claim)); // its intent names what b runs
    wr_test_seal_without_walk(b->get(), first);                           // b is about to walk
    node.Kill(&c);
    EXPECT_EQ(WR_CELL_WAITING, a->State(second))
        << "walked by two: the cells behind may be another task's by then";
    node.Kill(&b);
    EXPECT_EQ(WR_CELL_READY, a->State(second));
    b = Again(port);
    EXPECT_EQ(1, b->Work());
    a->Unref(first);
    a->Unref(second);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ATakerTakesNothingOutOfARingThatWentToAnotherPort) {
    const uint16_t other = node.Port();
    node.Ring(other, *a);
    wr_handle h = a->Submit(other, 0, 1);
    const uint32_t old = wr_test_point_ring(node.pool, other, a->slot(), 0);
    wr_test_point_ring(node.pool, other, a->slot(), old);
    const uint32_t mine =
        wr_test_point_ring(node.pool, port, a->slot(), old); // b read it before the ring changed hands
    EXPECT_EQ(0, b->Work());
    wr_test_point_ring(node.pool, port, a->slot(), mine);
    node.Assign(other, *c);
    EXPECT_EQ(1, c->Work()) << "it was taken out of its ring, and not run";
    a->Unref(h);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, AnActorGivesNothingBackToARingThatWentToAnotherCaller) {
    const uint16_t others = node.Port(true);
    auto z = node.Open();
    node.Assign(others, *z);
    wr_handle late = c->Submit(port, 0, 1), first = a->Submit(calls, 0, 2),
              second = a->SubmitRefs(calls, 1, {late});
    wr_claim claim;
    ASSERT_TRUE(x->Take(&claim)); // and has reserved the second, which waits
    EXPECT_EQ(first, claim.handle);
    wr_proc_borrow(c->get(), second);
    node.Pass();
    node.Kill(&a);
    auto y = node.Open();
    node.Ring(port, *y);
    node.Ring(others, *y); // the dead one's at calls
    wr_handle h = y->Submit(others, 0, 3);
    x->Run(claim);
    EXPECT_FALSE(x->Take(&claim));
    EXPECT_EQ(1, z->Work()) << "its head went back to another actor's call, which waits";
    EXPECT_EQ(1, b->Work());
    EXPECT_EQ(1, x->Work());
    EXPECT_EQ(WR_CELL_SEALED, c->State(second));
    c->Unref(late);
    c->Unref(second);
    y->Unref(h);
    auto all = All();
    all.push_back(y.get());
    all.push_back(z.get());
    EXPECT_EQ("", node.AtRest(all));
}

TEST_F(Keeper, AHintThatTheDeadLostIsRaisedAgain) {
    wr_handle h = a->Submit(port, 0, 1);
    wr_test_lose_hint(node.pool, port, a->slot());
    EXPECT_EQ(0, b->Work());
    EXPECT_NE("", node.Check(All(), false));
    node.Kill(&c); // any death: the hints of all rings are raised
    EXPECT_EQ("", node.Check(All(), false));
    EXPECT_EQ(1, b->Work());
    a->Unref(h);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ATakerThatGoesToSleepFindsWhatNoHintShows) {
    wr_handle h = a->Submit(port, 0, 1);
    wr_test_lose_hint(node.pool, port, a->slot());
    wr_proc_idle(b->get(), 0); // looks at all rings, and does not sleep
    EXPECT_EQ(1, b->Work());
    a->Unref(h);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ATaskGivenBackThroughARingOfTheDeadIsNotForgottenAndLeavesNoRow) {
    for (int round = 0; round < 3; round++) { // each time through the ring of one who then dies
        wr_handle h = a->Submit(port, 0, 1, 255);
        for (int death = 0; death < 3; death++) {
            wr_claim claim;
            ASSERT_TRUE(b->Take(&claim)) << death;
            EXPECT_TRUE(wr_proc_give_back(b->get(), &claim, 0));
            node.Kill(&b);
            b = Again(port);
        }
        EXPECT_EQ(1, b->Work());
        a->Unref(h);
        node.Pass(3);
        wr_keeper_stats stats;
        wr_keeper_stats_of(node.keeper, &stats);
        EXPECT_EQ(0u, stats.rows);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, AReservationWhoseFirstEntryWasOverwrittenIsStillQueuedAgain) {
    wr_keeper_port_takers(node.keeper, port, 1, false);
    std::vector<wr_handle> h;
    for (uint32_t k = 0; k < 63; k++) { // full
        h.push_back(a->Submit(port, 0, k));
    }
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim)); // reserves 16, begins the first, whose place is used again
    for (uint32_t k = 0; k < 20; k++) {
        h.push_back(a->Submit(port, 0, 63 + k));
    }
    c->Work();
    wr_proc_flush(a->get());
    node.Kill(&b);
    do {
        wr_proc_flush(a->get());
    } while (c->Work() != 0);
    for (uint32_t k = 0; k < h.size(); k++) {
        ASSERT_EQ(WR_CELL_SEALED, a->State(h[k])) << k;
        EXPECT_EQ(3 * k + 1, a->Value(h[k]));
        a->Unref(h[k]);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, AnEpochThatIsOverCannotSeal) {
    wr_handle h = a->Submit(port, 0, 1);
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim));
    node.Dead(b->slot()); // the raylet says it is dead; its late writes must do nothing
    EXPECT_FALSE(b->Seal(claim, 99));
    EXPECT_EQ(1, c->Work());
    EXPECT_EQ(4u, a->Value(h));
    EXPECT_FALSE(b->Seal(claim, 99));
    EXPECT_EQ(4u, a->Value(h));
    a->Unref(h);
    b.reset();
    EXPECT_EQ("", node.AtRest(All()));
}

// ---- Actors ----

TEST_F(Keeper, CallsOfARestartingActorStayAndThoseOfADeadOneFail) {
    wr_handle begun = a->Submit(calls, 0, 1, 1), once = a->Submit(calls, 0, 2, 0),
              later = a->Submit(calls, 0, 3, 0);
    wr_claim claim;
    ASSERT_TRUE(x->Take(&claim, 0));
    ASSERT_TRUE(x->Take(&claim, 1));
    RestartActor();
    EXPECT_EQ(WR_CELL_READY, a->State(begun));
    EXPECT_EQ(1000u + WR_LOST_ACTOR_RESTARTING, a->Value(once));
    ASSERT_TRUE(x->Take(&claim));
    EXPECT_EQ(begun, claim.handle);
    node.Kill(&x); // not restarted this time
    EXPECT_EQ(1000u + WR_LOST_ACTOR_DIED, a->Value(begun));
    EXPECT_EQ(WR_CELL_READY, a->State(later));
    wr_handle gate = a->Submit(port, 0, 1), waiting = a->SubmitRefs(calls, 1, {gate}), cause = a->Put(5);
    wr_keeper_port_fail(node.keeper, calls, cause, WR_LOST_ACTOR_DIED, Lost, nullptr);
    EXPECT_EQ(1000u + WR_LOST_ACTOR_DIED, a->Value(later));
    EXPECT_EQ(kKindError, a->Kind(waiting));
    wr_handle seen = 0;
    EXPECT_EQ(WR_PORT_DEAD, wr_proc_port_state(a->get(), calls, &seen));
    EXPECT_EQ(cause, seen);
    uint32_t bell = wr_pool_bell_read(node.pool);
    wr_handle late = a->Submit(calls, 0, 9);
    EXPECT_NE(bell, wr_pool_bell_read(node.pool)) << "a late call wakes the raylet";
    node.Pass(1);
    EXPECT_EQ(1000u + WR_LOST_ACTOR_DIED, a->Value(late));
    b->Work();
    for (wr_handle h : {begun, once, later, gate, waiting, cause, late}) {
        a->Unref(h);
    }
    wr_keeper_port_close(node.keeper, calls);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, ADeadCallersCallsThatOthersHoldKeepTheirOrder) {
    std::vector<wr_handle> h;
    for (uint32_t k = 0; k < 80; k++) { // beyond the ring: the backlog, too
        h.push_back(a->Submit(calls, 0, k));
        if (k % 2 == 0) {
            wr_proc_borrow(c->get(), h.back());
        }
    }
    node.Kill(&a);
    wr_claim claim;
    uint32_t last = 0, n = 0;
    while (x->Take(&claim)) {
        uint32_t arg;
        memcpy(&arg, claim.args, 4);
        EXPECT_EQ(0u, arg % 2);
        EXPECT_TRUE(n == 0 || arg > last) << arg << " after " << last;
        last = arg;
        n++;
        x->Run(claim);
        node.Pass(1);
    }
    EXPECT_EQ(40u, n);
    for (uint32_t k = 0; k < 80; k += 2) {
        EXPECT_EQ(3 * k + 1, c->Value(h[k]));
        c->Unref(h[k]);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Keeper, AFailedCellIsSealedUnlessItRunsOrIsDone) {
    wr_handle ready = a->Submit(port, 0, 1), none = a->SubmitRefs(WR_PORT_NONE, 1, {ready});
    wr_result error = Inline(5, kKindError);
    EXPECT_TRUE(wr_keeper_fail(node.keeper, none, &error));
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim));
    EXPECT_FALSE(wr_keeper_fail(node.keeper, ready, &error));
    b->Run(claim);
    EXPECT_FALSE(wr_keeper_fail(node.keeper, ready, &error));
    EXPECT_FALSE(wr_keeper_fail(node.keeper, 0xffffffffffffffffu, &error));
    EXPECT_EQ(5u, a->Value(none));
    a->Unref(ready);
    a->Unref(none);
    EXPECT_EQ("", node.AtRest(All()));
}

// ---- Clients that lie ----

TEST_F(Keeper, AHostileClientNeverHurtsTheRaylet) {
    uint64_t seed = 42;
    auto next = [&seed] {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return seed;
    };
    for (int round = 0; round < 300; round++) {
        for (int k = 0; k < 40; k++) {
            wr_test_scribble(node.pool, b->slot(), next());
        }
        wr_test_event(b->get(), static_cast<uint32_t>(next() % 24), next() % 3 == 0 ? next() : next() % 4096);
        node.Pass(1);
        wr_keeper_event e;
        while (wr_keeper_next(node.keeper, &e)) {
        }
        if (round % 25 == 24) {
            node.Kill(&b);
            b = Again(port);
            node.Kill(&x);
            wr_keeper_actor_rewind(node.keeper, calls);
            x = Again(calls);
            wr_port_info info;
            wr_keeper_port_info(node.keeper, port, &info);
            wr_slot_info slot;
            wr_keeper_slot_info(node.keeper, b->slot(), &slot);
        }
    }
    node.Pass(3);
}

} // namespace

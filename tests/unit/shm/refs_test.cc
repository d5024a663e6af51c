// References: who counts, what is shared, and the grace of a full pass.
#include "harness.h"

namespace {

class Refs : public ::testing::Test {
  protected:
    void SetUp() override {
        port = node.Port();
        a = node.Open();
        b = node.Open();
        c = node.Open();
        for (Part *p : {a.get(), b.get(), c.get()}) {
            node.Ring(port, *p);
            node.Assign(port, *p);
        }
    }
    std::vector<const Part *> All() {
        return {a.get(), b.get(), c.get()};
    }
    // `from` hands h to `to` as a task's argument; `to` keeps it. The task is gone afterwards.
    void HandOver(Part *from, Part *to, wr_handle h) {
        wr_handle t = from->SubmitRefs(port, 1, {h});
        wr_claim claim;
        ASSERT_TRUE(to->Take(&claim));
        ASSERT_EQ(t, claim.handle);
        wr_proc_borrow(to->get(), claim.refs[0]);
        EXPECT_TRUE(to->Seal(claim, 1));
        from->Unref(t);
    }
    uint64_t Rows() {
        wr_keeper_stats s;
        wr_keeper_stats_of(node.keeper, &s);
        return s.rows;
    }

    Node node;
    uint16_t port;
    std::unique_ptr<Part> a, b, c;
};

TEST_F(Refs, WhatStaysWithItsCreatorCostsTheRayletNothing) {
    wr_handle o = a->Put(5), t = a->SubmitRefs(port, 1, {o});
    b->Work();
    a->Unref(o);
    a->Unref(t);
    node.Pass();
    EXPECT_EQ(0u, Rows());
    EXPECT_EQ(WR_CELL_FREE, a->State(o));
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, AnArgumentKeptByItsWorkerOutlivesItsCreatorsCount) {
    wr_handle o = a->Put(5);
    HandOver(a.get(), b.get(), o);
    a->Unref(o);
    node.Pass(6);
    EXPECT_EQ(WR_CELL_SEALED, a->State(o));
    EXPECT_EQ(5u, b->Value(o));
    EXPECT_TRUE(wr_proc_counts(b->get(), o));
    b->Unref(o);
    node.Pass(3);
    wr_proc_poll(a->get());
    EXPECT_EQ(WR_CELL_FREE, a->State(o));
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, ZeroIsBelievedOnePassLater) {
    wr_handle o = a->Put(5);
    HandOver(a.get(), b.get(), o);
    a->Unref(o);
    node.Pass(3);
    b->Unref(o);
    node.Pass(1);
    wr_proc_poll(a->get());
    EXPECT_EQ(WR_CELL_SEALED, a->State(o)) << "the pass that saw the last drop does not free";
    node.Pass(1);
    wr_proc_poll(a->get());
    EXPECT_EQ(WR_CELL_FREE, a->State(o));
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, TheGraceStartsAnewAtEveryRemoval) { // finding 5
    // c (read later than b) holds alone, hands on to b, and drops within one pass: b's hold stands in a ring
    // that was read already.
    wr_handle o = a->Put(5);
    HandOver(a.get(), c.get(), o);
    node.Pass(1);
    a->Unref(o);
    node.Pass(1); // a removal waits for its grace
    HandOver(c.get(), b.get(), o);
    c->Unref(o);
    for (int i = 0; i < 4; i++) {
        node.Pass(1);
        wr_proc_poll(a->get());
        ASSERT_EQ(WR_CELL_SEALED, a->State(o)) << "pass " << i;
        ASSERT_EQ(5u, b->Value(o));
    }
    b->Unref(o);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, AStaleEventTouchesNoNewRow) { // finding 5
    wr_handle old = a->Put(5);
    HandOver(a.get(), b.get(), old);
    a->Unref(old);
    b->Unref(old);
    node.Pass(4);
    wr_proc_poll(a->get());
    wr_handle now = a->Put(6);
    ASSERT_EQ(static_cast<uint32_t>(old), static_cast<uint32_t>(now));
    HandOver(a.get(), b.get(), now);
    wr_keeper_hold(node.keeper, old); // as if an event of the old life came late
    wr_keeper_drop(node.keeper, old);
    a->Unref(now);
    node.Pass(4);
    wr_proc_poll(a->get());
    EXPECT_EQ(WR_CELL_SEALED, a->State(now));
    EXPECT_EQ(6u, b->Value(now));
    b->Unref(now);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, ANestedTaskMayUseABorrowedArgument) {
    wr_handle o = a->Put(5), t = a->SubmitRefs(port, 1, {o});
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim));
    wr_handle nested = b->SubmitRefs(port, 1, {claim.refs[0]}); // borrows by itself
    a->Unref(o);
    b->Seal(claim, 1);
    a->Unref(t);
    node.Pass(5);
    EXPECT_EQ(WR_CELL_SEALED, a->State(o));
    EXPECT_EQ(1, c->Work());
    EXPECT_EQ(6u, b->Value(nested));
    b->Unref(nested);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, AResultThatNamesAnObjectKeepsItAlive) {
    wr_handle t = a->Submit(port, 3, 0);
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim));
    wr_handle inner = b->Put(77);
    wr_result r = Inline(0);
    r.bytes = 8;
    memcpy(r.inline_bytes, &inner, 8);
    wr_proc_contain(b->get(), claim.handle, &inner, 1);
    EXPECT_TRUE(wr_proc_seal(b->get(), &claim, &r));
    b->Unref(inner);
    node.Pass(6);
    wr_proc_poll(b->get());
    EXPECT_EQ(WR_CELL_SEALED, a->State(inner));
    wr_proc_borrow(a->get(), inner); // hold what is taken out, before the container goes
    a->Unref(t);
    node.Pass(6);
    wr_proc_poll(a->get());
    EXPECT_EQ(WR_CELL_FREE, a->State(t));
    EXPECT_EQ(77u, a->Value(inner));
    a->Unref(inner);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, AContainerInTheHeapPinsWhatItsTableNames) {
    std::vector<wr_handle> inner;
    for (uint32_t k = 0; k < 30; k++) {
        inner.push_back(a->Put(k));
    }
    wr_handle box = a->PutResult(Part::InHeap(a->Block(inner, 16, 1)));
    wr_handle outer = a->PutResult(Part::InHeap(a->Block({box}, 16, 1)));
    for (wr_handle h : inner) {
        a->Unref(h);
    }
    a->Unref(box);
    node.Pass(6);
    wr_proc_poll(a->get());
    for (uint32_t k = 0; k < 30; k++) {
        EXPECT_EQ(k, a->Value(inner[k]));
    }
    a->Unref(outer); // everything below goes with it
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, RefsInsideArgumentsArePinnedUntilTheTaskIsReclaimed) {
    wr_handle inner = a->Put(5);
    wr_task_spec s = {};
    s.port = port;
    s.block = a->Block({inner}, 100, 1);
    wr_handle t = a->SubmitSpec(s);
    a->Unref(inner);
    EXPECT_EQ(WR_CELL_SEALED, a->State(inner));
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim));
    wr_block_view view;
    ASSERT_EQ(WR_OK, wr_block_open(node.pool, claim.block, &view, nullptr));
    EXPECT_EQ(inner, view.refs[0]);
    b->Seal(claim, 1);
    a->Unref(t);
    EXPECT_EQ(WR_CELL_FREE, a->State(inner));
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, ACreatorThatGetsItsOwnObjectBackHoldsItAgain) {
    wr_handle o = a->Put(5), box = a->PutResult(Part::InHeap(a->Block({o}, 16, 1)));
    a->Unref(o); // DROP: the container alone holds it
    node.Pass(4);
    wr_proc_borrow(a->get(), o);
    a->Unref(box);
    node.Pass(6);
    wr_proc_poll(a->get());
    EXPECT_EQ(5u, a->Value(o));
    EXPECT_TRUE(wr_proc_counts(a->get(), o));
    a->Unref(o);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, AResultDroppedBeforeItIsDoneAndBorrowedAgainLives) {
    wr_handle t = a->Submit(port, 0, 1);
    a->Unref(t); // limbo
    wr_proc_borrow(a->get(), t);
    b->Work();
    for (int k = 0; k < 10; k++) {
        a->Unref(a->Put(1)); // looks at limbo
    }
    wr_proc_poll(a->get());
    EXPECT_EQ(4u, a->Value(t));
    a->Unref(t);
    EXPECT_EQ(WR_CELL_FREE, a->State(t));
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, TheRayletHoldsAndIsToldWhenNobodyElseDoes) {
    wr_handle o = a->Put(5);
    wr_proc_share(a->get(), o);
    wr_keeper_hold(node.keeper, o);
    ASSERT_EQ(WR_OK, wr_keeper_watch(node.keeper, o, 4711, nullptr));
    node.Pass(4);
    wr_keeper_event e;
    EXPECT_FALSE(wr_keeper_next(node.keeper, &e));
    HandOver(a.get(), b.get(), o);
    a->Unref(o);
    node.Pass(4);
    EXPECT_FALSE(wr_keeper_next(node.keeper, &e)) << "b holds it";
    b->Unref(o);
    node.Pass(4);
    ASSERT_TRUE(wr_keeper_next(node.keeper, &e));
    EXPECT_EQ(WR_KEEPER_UNHELD, e.type);
    EXPECT_EQ(4711u, e.tag);
    EXPECT_FALSE(wr_keeper_next(node.keeper, &e));
    EXPECT_EQ(5u, a->Value(o));
    wr_keeper_drop(node.keeper, o);
    EXPECT_EQ("", node.AtRest(All()));
    EXPECT_EQ(WR_E_NOT_FOUND, wr_keeper_watch(node.keeper, o, 1, nullptr));
}

TEST_F(Refs, AFullEventRingMakesItsProcessWaitAndLosesNothing) {
    RayletThread raylet(&node);
    std::vector<wr_handle> inner(1000, 0);
    for (auto &h : inner) {
        h = a->Put(9);
    }
    wr_handle box = a->PutResult(Part::InHeap(a->Block(inner, 16, 1))); // 2,000 records through a ring of 256
    for (wr_handle h : inner) {
        a->Unref(h);
    }
    for (wr_handle h : inner) {
        ASSERT_EQ(9u, a->Value(h));
    }
    a->Unref(box); // and 1,001 grants back
    std::lock_guard<std::mutex> hold(raylet.lock);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Refs, AHoldOfTheDeadEndsWithIt) {
    wr_handle o = a->Put(5);
    HandOver(a.get(), b.get(), o);
    a->Unref(o);
    node.Pass(3);
    wr_slot_info info;
    wr_keeper_slot_info(node.keeper, b->slot(), &info);
    EXPECT_EQ(1u, info.holds);
    node.Kill(&b);
    node.Pass(3);
    wr_proc_poll(a->get());
    EXPECT_EQ(WR_CELL_FREE, a->State(o));
    EXPECT_EQ("", node.AtRest({a.get(), c.get()}));
}

TEST_F(Refs, HoldersBeyondTheFirst64SlotsCount) {
    wr_pool_geometry g = SmallGeometry();
    g.slots = 200;
    g.rings = 256;
    Node big(g);
    uint16_t p = big.Port();
    std::vector<std::unique_ptr<Part>> parts;
    for (int k = 0; k < 150; k++) {
        parts.push_back(big.Open());
    }
    Part *maker = parts[0].get();
    big.Ring(p, *maker);
    wr_handle o = maker->Put(5);
    std::vector<const Part *> all;
    for (auto &part : parts) {
        if (part.get() != maker) {
            wr_proc_borrow(part->get(), o);
        }
        all.push_back(part.get());
    }
    maker->Unref(o);
    for (size_t k = 1; k < parts.size(); k++) {
        big.Pass(2);
        wr_proc_poll(maker->get());
        ASSERT_EQ(5u, maker->Value(o)) << k;
        parts[k]->Unref(o);
    }
    EXPECT_EQ("", big.AtRest(all));
}

// An actor's constructor: claimed by its handle, held by the raylet, read again at each restart.
class Parked : public Refs {
  protected:
    void SetUp() override {
        Refs::SetUp();
        inner = a->Put(5);
        wr_handle arg = a->Put(6);
        wr_task_spec s = {};
        s.port = WR_PORT_NONE;
        s.block = a->Block({inner}, 100, 0x77);
        s.refs = &arg;
        s.ref_count = 1;
        ctor = a->SubmitSpec(s);
        argument = arg;
        wr_proc_share(a->get(), ctor);
        wr_keeper_hold(node.keeper, ctor);
        a->Unref(inner);
        a->Unref(arg);
    }
    void RunOnce() {
        wr_claim claim;
        wr_status status = wr_proc_claim(b->get(), 0, ctor, &claim);
        ASSERT_TRUE(status == WR_OK || status == WR_E_STATE) << status;
        wr_block_view view;
        ASSERT_EQ(WR_OK, wr_block_open(node.pool, claim.block, &view, nullptr));
        EXPECT_EQ(inner, view.refs[0]);
        EXPECT_EQ(0x77, view.stream[99]);
        ASSERT_EQ(1u, claim.ref_count);
        EXPECT_EQ(argument, claim.refs[0]);
        EXPECT_EQ(5u, b->Value(inner));
        EXPECT_EQ(6u, b->Value(argument));
        if (status == WR_OK) {
            EXPECT_TRUE(b->Seal(claim, 1));
        }
    }
    wr_handle inner, argument, ctor;
};

TEST_F(Parked, ArgumentsStayUntilTheCellGoes) {
    RunOnce();
    wr_proc_settle(a->get(), ctor);
    a->Unref(ctor);
    node.Pass(4);
    wr_proc_poll(a->get());
    RunOnce(); // a restart
    wr_keeper_drop(node.keeper, ctor);
    node.Pass(4);
    wr_proc_poll(a->get());
    EXPECT_EQ(WR_CELL_FREE, b->State(inner));
    EXPECT_EQ(WR_CELL_FREE, b->State(argument));
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Parked, ArgumentsStayWhenTheCreatorDies) {
    RunOnce();
    node.Kill(&a);
    node.Pass(4);
    RunOnce();
    wr_keeper_drop(node.keeper, ctor);
    node.Pass(6);
    EXPECT_EQ(WR_CELL_FREE, b->State(inner));
    EXPECT_EQ(WR_CELL_FREE, b->State(argument));
    EXPECT_EQ("", node.AtRest({b.get(), c.get()}));
}

TEST_F(Parked, ACreatorThatDiesWithTheCellOnItsWayHomeLeavesNothing) {
    RunOnce();
    a->Unref(ctor);
    wr_keeper_drop(node.keeper, ctor);
    node.Pass(4); // FREED waits in a's ring
    node.Kill(&a);
    EXPECT_EQ("", node.AtRest({b.get(), c.get()}));
}

} // namespace

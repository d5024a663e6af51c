// The heap: what a process allocates, keeps warm and gives back; and blocks whose holder is dead.
#include "harness.h"

namespace {

class Heap : public ::testing::Test {
  public:
    void SetUp() override {
        port = node.Port();
        a = node.Open();
        b = node.Open();
        node.Ring(port, *a);
        node.Assign(port, *b);
    }
    uint64_t Leased() {
        wr_keeper_stats s;
        wr_keeper_stats_of(node.keeper, &s);
        return s.heap_leased;
    }
    uint64_t Alloc(Part *p, uint64_t bytes) {
        uint64_t offset = 0;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_proc_heap_alloc(p->get(), bytes, &offset, &err)) << err.text;
        return offset;
    }
    // A result block of b for a task of a.
    wr_handle Result(uint64_t bytes, uint8_t fill) {
        wr_handle t = a->Submit(port, 0, 1);
        wr_claim claim;
        EXPECT_TRUE(b->Take(&claim));
        wr_result r = Part::InHeap(b->Block({}, bytes, fill));
        EXPECT_TRUE(wr_proc_seal(b->get(), &claim, &r));
        return t;
    }
    uint8_t FillOf(Part *p, wr_handle h) {
        wr_result r = {};
        wr_block_view view = {};
        EXPECT_EQ(WR_OK, wr_cell_result(node.pool, h, &r));
        EXPECT_EQ(WR_OK, wr_block_open(p->pool(), r.offset, &view, nullptr));
        EXPECT_EQ(view.stream[0], view.stream[view.header.stream_bytes - 1]);
        return view.stream[0];
    }

    Node node;
    uint16_t port;
    std::unique_ptr<Part> a, b;
};

TEST_F(Heap, BlocksOfEverySizeAreAlignedDisjointAndNeverAtOffsetZero) {
    uint64_t seed = 99;
    struct Live {
        uint64_t offset, bytes;
        uint8_t fill;
    };
    std::vector<Live> live;
    for (uint32_t n = 0; n < 20000; n++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        if (live.size() > 60 || (!live.empty() && seed % 3 == 0)) {
            size_t k = seed / 3 % live.size();
            const uint8_t *at = wr_pool_heap_read(node.pool, live[k].offset, live[k].bytes);
            for (uint64_t i = 0; i < live[k].bytes; i += 61) {
                ASSERT_EQ(live[k].fill, at[i]);
            }
            wr_proc_heap_free(a->get(), live[k].offset);
            live[k] = live.back();
            live.pop_back();
            continue;
        }
        uint64_t bytes = 1 + (seed / 7) % (n % 50 == 0 ? 300000 : n % 5 == 0 ? 40000 : 900);
        Live l = {Alloc(a.get(), bytes), bytes, static_cast<uint8_t>(n)};
        ASSERT_NE(0u, l.offset);
        ASSERT_EQ(0u, l.offset % WR_BLOCK_ALIGN);
        memset(wr_pool_heap_write(node.pool, l.offset, bytes), l.fill, bytes);
        live.push_back(l);
    }
    for (const Live &l : live) {
        wr_proc_heap_free(a->get(), l.offset);
    }
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
}

TEST_F(Heap, ThePagesOfALargeBlockAreUsedAgainWarm) {
    uint64_t first = Alloc(a.get(), 1000000);
    wr_proc_heap_free(a->get(), first);
    uint64_t leased = Leased();
    EXPECT_EQ(first, Alloc(a.get(), 990000));
    EXPECT_EQ(leased, Leased());
    wr_proc_heap_free(a->get(), first);
    uint64_t small = Alloc(a.get(), 64);
    wr_proc_heap_free(a->get(), small);
    EXPECT_EQ(small, Alloc(a.get(), 64));
    wr_proc_heap_free(a->get(), small);
}

TEST_F(Heap, ABlockOfAlmostAUnitFitsAlsoAtTheVeryBeginning) {
    uint64_t unit = wr_pool_geometry_of(node.pool)->heap_unit;
    Node fresh;
    auto p = fresh.Open();
    std::vector<uint64_t> blocks;
    for (uint64_t bytes : {unit - 64, unit, unit - unit / 16, unit + 64, 2 * unit, 2 * unit + 1}) {
        blocks.push_back(Alloc(p.get(), bytes));
        memset(wr_pool_heap_write(fresh.pool, blocks.back(), bytes), 1, bytes);
    }
    for (uint64_t o : blocks) {
        wr_proc_heap_free(p->get(), o);
    }
    EXPECT_EQ("", fresh.AtRest({p.get()}));
}

TEST_F(Heap, AFreeThatIsNoneIsIgnored) {
    uint64_t x = Alloc(a.get(), 200), y = Alloc(a.get(), 200);
    wr_proc_heap_free(a->get(), x);
    wr_proc_heap_free(a->get(), x); // twice
    wr_proc_heap_free(a->get(), x + 64);
    wr_proc_heap_free(a->get(), UINT64_MAX);
    wr_proc_heap_free(a->get(), 0);
    uint64_t again = Alloc(a.get(), 200), other = Alloc(a.get(), 200);
    EXPECT_EQ(x, again);
    EXPECT_NE(x, other);
    EXPECT_NE(y, other);
    for (uint64_t o : {y, again, other}) {
        wr_proc_heap_free(a->get(), o);
    }
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
}

TEST_F(Heap, WhatIsOnlyKeptWarmGoesToAnotherWhoNeedsIt) {
    uint64_t whole = wr_pool_geometry_of(node.pool)->heap_bytes;
    uint64_t big = Alloc(a.get(), whole / 10);
    wr_proc_heap_free(a->get(), big);
    EXPECT_GE(Leased(), whole / 10) << "kept warm";
    wr_proc_on_wait(
        b->get(),
        [](void *self) {
            Heap *t = static_cast<Heap *>(self);
            t->node.Pass(2); // refused: everybody is asked to trim
            wr_proc_poll(t->a->get());
            t->node.Pass(2);
            return true;
        },
        this);
    uint64_t offset = Alloc(b.get(), whole - (1 << 20));
    wr_proc_heap_free(b->get(), offset);
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
}

TEST_F(Heap, AFullStoreIsATypedErrorWithFigures) {
    std::vector<uint64_t> blocks;
    wr_error err = {};
    uint64_t offset;
    wr_status s;
    wr_proc_patience(a->get(), 1000000);
    while ((s = wr_proc_heap_alloc(a->get(), 1 << 20, &offset, &err)) == WR_OK) {
        blocks.push_back(offset);
    }
    EXPECT_EQ(WR_E_OBJECT_STORE_FULL, s);
    for (const char *figure : {"1048576 bytes asked by pid", "which waited 0.0 s for room",
                               "largest free run", "of 16777216 bytes in use"}) {
        EXPECT_NE(nullptr, strstr(err.text, figure)) << err.text;
    }
    EXPECT_NE('\0', err.hint[0]);
    wr_keeper_event e;
    ASSERT_TRUE(wr_keeper_next(node.keeper, &e));
    EXPECT_EQ(WR_KEEPER_STORE_FULL, e.type);
    EXPECT_EQ(a->slot(), e.slot);
    EXPECT_FALSE(wr_keeper_next(node.keeper, &e)) << "said once";
    uint64_t began = wr_clock_ns();
    EXPECT_EQ(WR_E_OBJECT_STORE_FULL, wr_proc_heap_alloc(a->get(), 1ull << 40, &offset, &err));
    EXPECT_LT(wr_clock_ns() - began, 1000000000u) << "what can never fit fails at once";
    EXPECT_NE(nullptr, strstr(err.text, "it has 16777216 in all")) << err.text;
    wr_proc_heap_free(a->get(), blocks.back()); // room again
    blocks.pop_back();
    blocks.push_back(Alloc(a.get(), 1 << 20));
    for (uint64_t o : blocks) {
        wr_proc_heap_free(a->get(), o);
    }
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
}

TEST_F(Heap, NoCellLeftIsATypedErrorAndDropsMakeRoom) {
    wr_pool_geometry g = SmallGeometry();
    g.cell_extents = 4;
    Node tiny(g);
    auto p = tiny.Open();
    wr_proc_patience(p->get(), 1000000);
    std::vector<wr_handle> h;
    wr_result r = Inline(1);
    wr_handle out = 0;
    wr_error err = {};
    wr_status s;
    while ((s = wr_proc_put(p->get(), &r, &out, &err)) == WR_OK) {
        h.push_back(out);
    }
    EXPECT_EQ(WR_E_OBJECT_STORE_FULL, s);
    EXPECT_EQ(256u, h.size());
    EXPECT_NE(nullptr, strstr(err.text, "256 cells")) << err.text;
    p->Unref(h.back());
    h.back() = p->Put(2);
    for (wr_handle x : h) {
        p->Unref(x);
    }
    EXPECT_EQ("", tiny.AtRest({p.get()}));
}

TEST_F(Heap, GivingUpAWaitIsAskedForAndNothingChanges) {
    uint64_t whole = wr_pool_geometry_of(node.pool)->heap_bytes, offset = 0;
    uint64_t big = Alloc(a.get(), whole / 2);
    int calls = 0;
    wr_proc_on_wait(b->get(), [](void *n) { return ++*static_cast<int *>(n) < 2; }, &calls);
    EXPECT_EQ(WR_E_INTERRUPTED, wr_proc_heap_alloc(b->get(), whole / 2 + (1 << 20), &offset, nullptr));
    EXPECT_EQ(2, calls);
    wr_proc_heap_free(a->get(), big);
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
}

TEST_F(Heap, WhatComesWhileAWaitIsInterruptedIsThereWhenItGoesOn) {
    uint64_t whole = wr_pool_geometry_of(node.pool)->heap_bytes, before = Leased(), offset = 0;
    wr_proc_on_wait(b->get(), [](void *) { return false; }, nullptr);
    const uint64_t bytes = whole * 5 / 8; // two of it do not fit
    EXPECT_EQ(WR_E_INTERRUPTED, wr_proc_heap_alloc(b->get(), bytes, &offset, nullptr));
    wr_keeper_pass(node.keeper); // the answer comes while the caller is elsewhere
    const uint64_t leased = Leased() - before;
    EXPECT_GE(leased, bytes);
    wr_error err = {};
    ASSERT_EQ(WR_OK, wr_proc_heap_alloc(b->get(), bytes, &offset, &err)) << err.text;
    EXPECT_EQ(leased, Leased() - before);
    wr_proc_heap_free(b->get(), offset);
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
}

TEST_F(Heap, WhatCameForAWaitThatWasGivenUpIsUsedForSomethingElse) {
    uint64_t whole = wr_pool_geometry_of(node.pool)->heap_bytes, offset = 0;
    wr_proc_on_wait(b->get(), [](void *) { return false; }, nullptr);
    EXPECT_EQ(WR_E_INTERRUPTED, wr_proc_heap_alloc(b->get(), whole / 2, &offset, nullptr));
    wr_keeper_pass(node.keeper);
    uint64_t leased = Leased();
    EXPECT_EQ(WR_E_INTERRUPTED, wr_proc_heap_alloc(b->get(), whole / 4, &offset, nullptr));
    uint64_t small = Alloc(b.get(), 100);
    EXPECT_EQ(leased, Leased()) << "small blocks take of it";
    wr_proc_heap_free(b->get(), small);
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
}

TEST_F(Heap, AResultInItsWorkersHeapGoesBackToTheWorker) {
    wr_handle t = Result(3000, 7);
    EXPECT_EQ(7, FillOf(a.get(), t));
    a->Unref(t);
    node.Pass(4);
    wr_proc_poll(a->get());
    EXPECT_EQ(WR_CELL_FREE, a->State(t));
    EXPECT_EQ("", node.AtRest({a.get(), b.get()})) << "b's block is free again";
}

TEST_F(Heap, AResultLostToAnotherIsFreedByItsWriter) {
    wr_handle t = a->Submit(port, 0, 1);
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim));
    ASSERT_TRUE(wr_proc_give_back(b->get(), &claim, 0));
    wr_result r = Part::InHeap(b->Block({}, 100, 1));
    EXPECT_FALSE(wr_proc_seal(b->get(), &claim, &r));
    EXPECT_EQ(1, b->Work());
    a->Unref(t);
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
}

TEST_F(Heap, ResultsOfADeadWorkerStayReadableUntilTheirLastHolderGoes) {
    std::vector<wr_handle> small, large;
    for (uint8_t k = 0; k < 20; k++) {
        small.push_back(Result(3000, k));
        large.push_back(Result(150000, k));
    }
    node.Kill(&b);
    wr_keeper_stats s;
    wr_keeper_stats_of(node.keeper, &s);
    EXPECT_GT(s.heap_orphaned, 20u * 150000);
    // Another process must not get their units.
    b = node.Open();
    std::vector<uint64_t> noise;
    for (int k = 0; k < 20; k++) {
        noise.push_back(Alloc(b.get(), 100000));
        memset(wr_pool_heap_write(node.pool, noise.back(), 100000), 0xee, 100000);
    }
    for (uint8_t k = 0; k < 20; k++) {
        EXPECT_EQ(k, FillOf(a.get(), small[k]));
        EXPECT_EQ(k, FillOf(a.get(), large[k]));
        a->Unref(large[k]);
    }
    node.Pass(3);
    wr_keeper_stats_of(node.keeper, &s);
    EXPECT_GT(s.heap_orphaned, 0u);
    for (uint8_t k = 0; k < 20; k++) {
        EXPECT_EQ(k, FillOf(a.get(), small[k]));
        a->Unref(small[k]);
    }
    for (uint64_t o : noise) {
        wr_proc_heap_free(b->get(), o);
    }
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
    wr_keeper_stats_of(node.keeper, &s);
    EXPECT_EQ(0u, s.heap_orphaned);
}

TEST_F(Heap, ABlockOnItsWayHomeIsNotFreedTwiceWhenTheCreatorDies) {
    wr_handle t = Result(3000, 7);
    a->Unref(t);
    node.Pass(4);           // the block went to b, the cell waits in a's grant ring
    wr_proc_poll(b->get()); // b frees it, and uses it again
    uint64_t mine = b->Block({}, 3000, 0x11);
    node.Kill(&a);
    node.Pass(6);
    wr_proc_poll(b->get());
    uint64_t other = b->Block({}, 3000, 0x22);
    EXPECT_NE(mine, other);
    wr_proc_heap_free(b->get(), mine);
    wr_proc_heap_free(b->get(), other);
    EXPECT_EQ("", node.AtRest({b.get()}));
}

TEST_F(Heap, PutsAndArgumentsOfADeadCreatorThatOthersUseStay) {
    wr_handle o = a->PutResult(Part::InHeap(a->Block({}, 5000, 0x33)));
    wr_proc_borrow(b->get(), o);
    wr_task_spec s = {};
    s.port = port;
    s.block = a->Block({}, 5000, 0x44);
    a->SubmitSpec(s);
    wr_claim claim;
    ASSERT_TRUE(b->Take(&claim));
    node.Kill(&a);
    node.Pass(4);
    EXPECT_EQ(0x33, FillOf(b.get(), o));
    wr_block_view view;
    ASSERT_EQ(WR_OK, wr_block_open(node.pool, claim.block, &view, nullptr));
    EXPECT_EQ(0x44, view.stream[4999]);
    b->Seal(claim, 1);
    b->Unref(o);
    EXPECT_EQ("", node.AtRest({b.get()}));
}

TEST_F(Heap, TheRayletsOwnHalfNeverWaitsForItself) {
    wr_proc *self = wr_keeper_proc(node.keeper);
    std::vector<wr_handle> h;
    wr_result r = Inline(1);
    for (int k = 0; k < 1000; k++) {
        wr_handle out = 0;
        ASSERT_EQ(WR_OK, wr_proc_put(self, &r, &out, nullptr));
        h.push_back(out);
    }
    std::vector<uint64_t> blocks;
    for (int k = 0; k < 100; k++) {
        uint64_t offset = 0;
        ASSERT_EQ(WR_OK, wr_proc_heap_alloc(self, 30000, &offset, nullptr));
        blocks.push_back(offset);
    }
    uint64_t offset = 0;
    EXPECT_EQ(WR_E_OBJECT_STORE_FULL, wr_proc_heap_alloc(self, 16777216 - 65536 * 3, &offset, nullptr));
    for (wr_handle x : h) {
        wr_proc_unref(self, x);
    }
    for (uint64_t o : blocks) {
        wr_proc_heap_free(self, o);
    }
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
}

TEST_F(Heap, WhoAsksAgainAndAgainDoesNotFillTheRingsOfTheBusy) {
    std::vector<uint64_t> blocks;
    for (int k = 0; k < 14; k++) {
        blocks.push_back(Alloc(a.get(), 1 << 20));
    }
    wr_proc_patience(b->get(), 50000000);
    uint64_t offset = 0;
    wr_proc_on_wait(
        b->get(),
        [](void *self) {
            static_cast<Heap *>(self)->node.Pass(300); // b asks at each turn; a is busy and takes in nothing
            return true;
        },
        this);
    EXPECT_EQ(WR_E_OBJECT_STORE_FULL, wr_proc_heap_alloc(b->get(), 4 << 20, &offset, nullptr));
    wr_proc_patience(b->get(), 10000000000);
    wr_handle t = Result(3000, 7); // a FREED and a BLOCK grant come through at once
    a->Unref(t);
    node.Pass(3);
    wr_proc_poll(a->get());
    EXPECT_EQ(WR_CELL_FREE, a->State(t));
    for (uint64_t o : blocks) {
        wr_proc_heap_free(a->get(), o);
    }
    EXPECT_EQ("", node.AtRest({a.get(), b.get()}));
}

} // namespace

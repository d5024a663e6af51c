// Streams: a generator's items are cells of the consumer's, prepared as credits.
#include "harness.h"

#include "probe.h"

namespace {

class Stream : public ::testing::Test {
  protected:
    static constexpr uint32_t kWindow = 8;
    void SetUp() override {
        port = node.Port();
        consumer = node.Open();
        producer = node.Open();
        second = node.Open();
        for (Part *p : {consumer.get(), producer.get(), second.get()}) {
            node.Ring(port, *p);
            node.Assign(port, *p);
        }
        wr_task_spec s = {};
        s.port = port;
        s.max_retries = 5;
        s.block = consumer->Block({}, 16, 0, 0, kWindow);
        generator = consumer->SubmitSpec(s);
    }
    std::vector<wr_handle> Credit(uint64_t upto) {
        wr_handle out[kWindow];
        uint32_t count = 0;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_proc_credit(consumer->get(), generator, upto, out, &count, &err)) << err.text;
        return std::vector<wr_handle>(out, out + count);
    }
    wr_status Produce(Part *p, const wr_claim &gen, uint64_t index, uint32_t v) {
        wr_claim item;
        wr_status s = wr_proc_credit_claim(p->get(), &gen, 1, index, &item);
        if (s == WR_OK) {
            EXPECT_TRUE(p->Seal(item, v));
        }
        return s;
    }
    std::vector<const Part *> All() {
        return {consumer.get(), producer.get(), second.get()};
    }

    Node node;
    uint16_t port;
    std::unique_ptr<Part> consumer, producer, second;
    wr_handle generator;
};

TEST_F(Stream, ItemsComeInOrderAndTheWindowHoldsTheProducerBack) {
    wr_claim gen;
    ASSERT_TRUE(producer->Take(&gen));
    EXPECT_EQ(WR_E_AGAIN, Produce(producer.get(), gen, 0, 0));
    std::vector<wr_handle> items = Credit(100);
    EXPECT_EQ(kWindow, items.size()) << "at most a window ahead";
    for (uint32_t i = 0; i < 40; i++) {
        ASSERT_EQ(WR_OK, Produce(producer.get(), gen, i, i * 2));
        EXPECT_EQ(i * 2, consumer->Value(items[i]));
        for (wr_handle h : Credit(i + 1 + kWindow)) {
            items.push_back(h);
        }
    }
    EXPECT_EQ(40u + kWindow, items.size());
    node.Pass(2);
    wr_keeper_stats stats;
    wr_keeper_stats_of(node.keeper, &stats);
    EXPECT_EQ(0u, stats.rows) << "items are private to the consumer";
    // The end: credits not used are taken back.
    producer->Seal(gen, 40);
    wr_result end = Inline(0, kKindError);
    uint32_t slot, epoch;
    for (size_t i = 40; i < items.size(); i++) {
        EXPECT_EQ(WR_OK, wr_proc_cancel(consumer->get(), items[i], &end, &slot, &epoch));
    }
    for (wr_handle h : items) {
        consumer->Unref(h);
    }
    consumer->Unref(generator);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Stream, ACreditTakenBackStopsTheProducer) {
    wr_claim gen;
    ASSERT_TRUE(producer->Take(&gen));
    std::vector<wr_handle> items = Credit(4);
    ASSERT_EQ(WR_OK, Produce(producer.get(), gen, 0, 1));
    wr_result error = Inline(0, kKindError);
    uint32_t slot, epoch;
    for (int i = 1; i < 4; i++) {
        EXPECT_EQ(WR_OK, wr_proc_cancel(consumer->get(), items[i], &error, &slot, &epoch));
    }
    EXPECT_EQ(WR_E_CANCELLED, Produce(producer.get(), gen, 1, 2));
    producer->Seal(gen, 1);
    for (wr_handle h : items) {
        consumer->Unref(h);
    }
    consumer->Unref(generator);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Stream, AReplayAfterTheProducersDeathSkipsWhatIsThere) {
    wr_claim gen;
    ASSERT_TRUE(producer->Take(&gen));
    std::vector<wr_handle> items = Credit(kWindow);
    for (uint32_t i = 0; i < 20; i++) {
        ASSERT_EQ(WR_OK, Produce(producer.get(), gen, i, i));
        if (i < 15) {
            consumer->Unref(items[i]); // consumed and gone
        }
        for (wr_handle h : Credit(i + 1 + kWindow)) {
            items.push_back(h);
        }
    }
    wr_claim begun;
    ASSERT_EQ(WR_OK, wr_proc_credit_claim(producer->get(), &gen, 1, 20, &begun)); // dies with an item in hand
    node.Kill(&producer);
    ASSERT_TRUE(second->Take(&gen));
    EXPECT_EQ(1, gen.attempt);
    for (uint32_t i = 0; i < 20; i++) {
        EXPECT_EQ(WR_E_STATE, Produce(second.get(), gen, i, 777)) << i;
    }
    for (uint32_t i = 20; i < 25; i++) {
        EXPECT_EQ(WR_OK, Produce(second.get(), gen, i, i)) << i;
    }
    for (uint32_t i = 15; i < 25; i++) {
        EXPECT_EQ(i, consumer->Value(items[i]));
    }
    second->Seal(gen, 25);
    wr_result end = Inline(0, kKindError);
    uint32_t slot, epoch;
    for (size_t i = 15; i < items.size(); i++) {
        wr_proc_cancel(consumer->get(), items[i], &end, &slot, &epoch);
        consumer->Unref(items[i]);
    }
    consumer->Unref(generator);
    EXPECT_EQ("", node.AtRest({consumer.get(), second.get()}));
}

TEST_F(Stream, AReplayNeverSealsAnOldItemIntoALaterCredit) {
    wr_claim gen;
    ASSERT_TRUE(producer->Take(&gen));
    std::vector<wr_handle> items = Credit(kWindow);
    for (uint32_t i = 0; i < kWindow; i++) {
        ASSERT_EQ(WR_OK, Produce(producer.get(), gen, i, i));
    }
    // The consumer writes the next credits; its tail is not raised yet when a replay begins at index 0.
    uint64_t tail = wr_test_credit_tail(node.pool, gen.block, 0);
    for (wr_handle h : Credit(2 * kWindow)) {
        items.push_back(h);
    }
    wr_test_credit_tail(node.pool, gen.block, tail);
    for (uint32_t i = 0; i < kWindow; i++) {
        EXPECT_EQ(WR_E_STATE, Produce(producer.get(), gen, i, 777)) << i;
    }
    wr_test_credit_tail(node.pool, gen.block, 2 * kWindow);
    for (uint32_t i = kWindow; i < 2 * kWindow; i++) {
        EXPECT_EQ(WR_OK, Produce(producer.get(), gen, i, i));
        EXPECT_EQ(i, consumer->Value(items[i]));
    }
    producer->Seal(gen, 1);
    for (wr_handle h : items) {
        consumer->Unref(h);
    }
    consumer->Unref(generator);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Stream, CreditsAreNotCountedAsTasks) {
    wr_proc_counters before, after;
    wr_pool_counters(node.pool, consumer->slot(), &before);
    std::vector<wr_handle> items = Credit(4);
    wr_pool_counters(node.pool, consumer->slot(), &after);
    EXPECT_EQ(before.submitted, after.submitted);
    wr_claim gen;
    ASSERT_TRUE(producer->Take(&gen));
    for (uint32_t i = 0; i < 4; i++) {
        ASSERT_EQ(WR_OK, Produce(producer.get(), gen, i, i));
        consumer->Unref(items[i]);
    }
    producer->Seal(gen, 1);
    consumer->Unref(generator);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Stream, TheConsumersDeathCancelsTheProducer) {
    wr_claim gen;
    ASSERT_TRUE(producer->Take(&gen));
    Credit(4);
    ASSERT_EQ(WR_OK, Produce(producer.get(), gen, 0, 1));
    node.Kill(&consumer);
    node.Pass(3);
    EXPECT_EQ(WR_E_CANCELLED, Produce(producer.get(), gen, 1, 1));
    EXPECT_EQ(WR_E_CANCELLED, Produce(producer.get(), gen, 9, 1));
    producer->Seal(gen, 1);
    EXPECT_EQ("", node.AtRest({producer.get(), second.get()}));
}

TEST_F(Stream, AProducerWithoutCreditSleepsUntilOneComes) {
    wr_claim gen;
    ASSERT_TRUE(producer->Take(&gen));
    std::atomic<uint32_t> made{0};
    std::thread thread([&] {
        for (uint32_t i = 0; i < 200; i++) {
            wr_status s;
            while ((s = Produce(producer.get(), gen, i, i)) == WR_E_AGAIN) {
                wr_proc_credit_wait(producer->get(), &gen, i, 60000000000u);
            }
            EXPECT_EQ(WR_OK, s);
            made++;
        }
    });
    std::vector<wr_handle> items;
    for (uint32_t i = 0; i < 200; i++) {
        for (wr_handle h : Credit(std::min<uint64_t>(200, i + 3))) {
            items.push_back(h);
        }
        while (wr_proc_wait(consumer->get(), items[i], 60000000000u, 0) == WR_E_INTERRUPTED) {
        }
        ASSERT_EQ(i, consumer->Value(items[i]));
        consumer->Unref(items[i]);
    }
    thread.join();
    producer->Seal(gen, 200);
    consumer->Unref(generator);
    EXPECT_EQ("", node.AtRest(All()));
}

TEST_F(Stream, OnlyItsOwnGeneratorGetsCredit) {
    wr_handle out[kWindow], plain = consumer->Submit(port, 0, 1);
    uint32_t count = 7;
    EXPECT_EQ(WR_E_INVALID, wr_proc_credit(producer->get(), generator, 4, out, &count, nullptr));
    EXPECT_EQ(WR_E_INVALID, wr_proc_credit(consumer->get(), plain, 4, out, &count, nullptr));
    EXPECT_EQ(0u, count);
    producer->Work();
    consumer->Unref(plain);
    consumer->Unref(generator);
    EXPECT_EQ("", node.AtRest(All()));
}

} // namespace

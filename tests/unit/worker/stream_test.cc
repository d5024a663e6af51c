#include "tests/unit/worker/driver.h"

namespace {

wr_ref SubmitGenerator(Driver &driver, uint32_t function, uint64_t items, uint32_t window,
                       int32_t retries = 0) {
    wr_call call = driver.Call(function, &items, sizeof items);
    call.flags = WR_CALL_STREAM;
    call.stream_window = window;
    call.max_retries = retries;
    return driver.Submit(call);
}

wr_stream *Open(Driver &driver, wr_ref generator) {
    wr_stream *stream = nullptr;
    wr_error err = {};
    EXPECT_EQ(WR_OK, wr_stream_open(driver.get(), generator, &stream, &err)) << err.text;
    return stream;
}

// The next item's number; -1 at the end.
int64_t Next(Driver &driver, wr_stream *stream) {
    wr_ref item = 0;
    uint64_t index = 0;
    for (;;) {
        const wr_status status = wr_stream_next(stream, &item, &index);
        if (status == WR_OK) {
            const int64_t number = driver.Number(item);
            EXPECT_EQ((uint64_t)number, index);
            driver.Unref(item);
            return number;
        }
        if (status == WR_E_NOT_FOUND) {
            return -1;
        }
        EXPECT_EQ(WR_E_AGAIN, status);
        const wr_status waited = wr_stream_wait(stream, UINT64_MAX);
        EXPECT_TRUE(waited == WR_OK || waited == WR_E_INTERRUPTED) << wr_status_name(waited);
        if (status != WR_E_AGAIN || (waited != WR_OK && waited != WR_E_INTERRUPTED)) {
            return -2;
        }
    }
}

class Stream : public testing::TestWithParam<uint32_t> {};

TEST_P(Stream, AllItemsComeInOrderAndThenTheEnd) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    for (uint64_t n : {0u, 1u, 2u, 63u, 64u, 65u, 1000u}) {
        const wr_ref generator = SubmitGenerator(driver, kGenerate, n, GetParam());
        wr_stream *stream = Open(driver, generator);
        for (uint64_t i = 0; i < n; i++) {
            ASSERT_EQ((int64_t)i, Next(driver, stream)) << n;
        }
        EXPECT_EQ(-1, Next(driver, stream));
        EXPECT_EQ(-1, Next(driver, stream));
        EXPECT_EQ("", driver.Get(generator));
        wr_stream_close(stream);
        driver.Unref(generator);
    }
}

TEST_P(Stream, AProducerNeverGetsFurtherAheadThanItsWindow) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const wr_ref generator = SubmitGenerator(driver, kGenerate, 1000, GetParam());
    wr_stream *stream = Open(driver, generator);
    ASSERT_EQ(0, Next(driver, stream));
    // The producer fills its window and waits; what it sealed are its objects.
    wr_proc_counters counters;
    const uint32_t slot = raylet.SlotOf(worker.pid);
    do {
        sched_yield();
        wr_pool_counters(raylet.pool, slot, &counters);
    } while (counters.sealed < GetParam());
    EXPECT_EQ(WR_E_TIMEOUT, wr_wait(driver.get(), generator, 5000000));
    wr_pool_counters(raylet.pool, slot, &counters);
    EXPECT_LE(counters.sealed, 1u + GetParam());
    wr_stream_close(stream);
    EXPECT_EQ("", driver.Get(generator)); // the producer stopped
    driver.Unref(generator);
}

TEST_P(Stream, AConsumerThatClosesStopsTheProducerWhereverItIs) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    for (uint64_t read : {0u, 1u, 5u, 100u}) {
        const wr_ref generator = SubmitGenerator(driver, kGenerate, 1000000000, GetParam());
        wr_stream *stream = Open(driver, generator);
        for (uint64_t i = 0; i < read; i++) {
            ASSERT_EQ((int64_t)i, Next(driver, stream));
        }
        wr_stream_close(stream);
        EXPECT_EQ("", driver.Get(generator)) << read;
        driver.Unref(generator);
    }
}

TEST_P(Stream, AReplayAfterTheWorkersDeathSkipsWhatWasSealed) {
    FakeRaylet raylet;
    Driver driver(raylet);
    auto worker = std::make_unique<WorkerProcess>(raylet);
    for (int round = 0; round < 10; round++) {
        const wr_ref generator = SubmitGenerator(driver, kExitAt, 300, GetParam(), 1);
        wr_stream *stream = Open(driver, generator);
        std::unique_ptr<WorkerProcess> dies;
        for (int64_t i = 0; i < 300; i++) {
            if (i == 120) { // the worker ends at item 150; its replacement begins anew while items are read
                dies = std::move(worker);
                worker = std::make_unique<WorkerProcess>(raylet);
            }
            ASSERT_EQ(i, Next(driver, stream)) << round;
        }
        EXPECT_EQ(9, dies->Wait());
        EXPECT_EQ(-1, Next(driver, stream));
        EXPECT_EQ("", driver.Get(generator));
        wr_stream_close(stream);
        driver.Unref(generator);
    }
}

TEST_P(Stream, WithoutRetriesTheWorkersDeathEndsTheStreamWithAnError) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess dies(raylet);
    const wr_ref generator = SubmitGenerator(driver, kExitAt, 20, GetParam(), 0);
    wr_stream *stream = Open(driver, generator);
    for (int64_t i = 0; i < 10; i++) {
        ASSERT_EQ(i, Next(driver, stream));
    }
    EXPECT_EQ(-1, Next(driver, stream));
    EXPECT_EQ("<WORKER_DIED>", driver.Get(generator));
    wr_stream_close(stream);
    driver.Unref(generator);
}

INSTANTIATE_TEST_SUITE_P(Windows, Stream, testing::Values(1u, 3u, 16u, 64u));

TEST(StreamWithoutALimit, ItsProducerEndsThoughNobodyReadsAndAllItemsAreThere) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    for (uint64_t n : {0u, 1u, 64u, 65u, 5000u}) {
        const wr_ref generator = SubmitGenerator(driver, kGenerate, n, 0);
        wr_stream *stream = Open(driver, generator);
        while (wr_wait(driver.get(), generator, 1000000) != WR_OK) {
            (void)wr_flush(driver.get());
        }
        for (uint64_t i = 0; i < n; i++) {
            ASSERT_EQ((int64_t)i, Next(driver, stream)) << n;
        }
        EXPECT_EQ(-1, Next(driver, stream));
        wr_stream_close(stream);
        driver.Unref(generator);
    }
}

TEST(StreamWithoutALimit, UnreadGeneratorsLeaveTheWorkerToTheNextTask) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    std::vector<wr_stream *> streams;
    std::vector<wr_ref> generators;
    for (int k = 0; k < 4; k++) {
        generators.push_back(SubmitGenerator(driver, kGenerate, 200, 0));
        streams.push_back(Open(driver, generators.back()));
    }
    const wr_ref task = driver.Submit(driver.Call(kPid));
    bool busy = false;
    while (wr_wait(driver.get(), task, 1000000) != WR_OK) {
        busy = wr_flush(driver.get()) || busy;
    }
    EXPECT_TRUE(busy) << "wr_flush says that a producer used up its credits";
    EXPECT_EQ(worker.pid, driver.Number(task));
    ASSERT_EQ(0, Next(driver, streams[0]));
    for (size_t k = 0; k < streams.size(); k++) {
        wr_stream_close(streams[k]); // with unread items
        driver.Unref(generators[k]);
    }
    EXPECT_FALSE(wr_flush(driver.get()));
}

TEST(StreamWithoutALimit, AReplayAfterTheWorkersDeathSkipsWhatPiledUpUnread) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess first(raylet);
    WorkerProcess second(raylet);
    const wr_ref generator =
        SubmitGenerator(driver, kExitAt, 300, 0, 1); // whoever runs it first ends at item 150
    wr_stream *stream = Open(driver, generator);
    while (wr_wait(driver.get(), generator, 1000000) != WR_OK) {
        (void)wr_flush(driver.get());
    }
    for (int64_t i = 0; i < 300; i++) {
        ASSERT_EQ(i, Next(driver, stream));
    }
    EXPECT_EQ(-1, Next(driver, stream));
    wr_stream_close(stream);
    driver.Unref(generator);
}

TEST(StreamOpen, OnlyAGeneratorCalledHereAndOnlyOnce) {
    FakeRaylet raylet;
    Driver driver(raylet);
    wr_stream *stream = nullptr;
    wr_error err = {};
    const wr_ref task = driver.Submit(driver.Call(kNothing));
    EXPECT_EQ(WR_E_INVALID, wr_stream_open(driver.get(), task, &stream, &err));
    const wr_ref generator = SubmitGenerator(driver, kGenerate, 1, 0);
    stream = Open(driver, generator);
    wr_stream *second = nullptr;
    EXPECT_EQ(WR_E_INVALID, wr_stream_open(driver.get(), generator, &second, &err));
    wr_stream_close(stream);
    wr_stream_close(nullptr);
    wr_call call = driver.Call(kGenerate);
    call.flags = WR_CALL_STREAM;
    call.stream_window = 1u << 30;
    wr_ref ref = 0;
    EXPECT_EQ(WR_E_INVALID, wr_submit(driver.get(), &call, &ref, &err));
}

TEST(StreamOpen, ADriverThatDiesWithAStreamOpenStopsTheProducer) {
    FakeRaylet raylet;
    WorkerProcess worker(raylet);
    {
        Driver driver(raylet);
        const wr_ref generator = SubmitGenerator(driver, kGenerate, 1000000000, 4);
        wr_stream *stream = Open(driver, generator);
        ASSERT_EQ(0, Next(driver, stream));
        wr_client_leave(driver.get()); // as its death: nothing is taken back
        wr_stream_close(stream);
    }
    Driver other(raylet);
    EXPECT_EQ(worker.pid, other.Number(other.Submit(other.Call(kPid)))); // the worker is free again
}

} // namespace

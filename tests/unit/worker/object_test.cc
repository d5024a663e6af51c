#include "tests/unit/worker/driver.h"

namespace {

TEST(Object, SmallAndLargeValuesComeBackAsTheyWerePut) {
    FakeRaylet raylet;
    Driver driver(raylet);
    for (size_t n : {0u, 1u, 32u, 33u, 5000u, 3000000u}) {
        const std::string text(n, 'a' + (char)(n % 26));
        const wr_ref ref = driver.Put(text.data(), n);
        EXPECT_EQ(WR_KIND_VALUE, wr_peek(driver.get(), ref));
        EXPECT_EQ(text, driver.Get(ref)) << n;
        driver.Unref(ref);
    }
}

TEST(Object, AnErrorKindIsAnObjectThatRaises) {
    FakeRaylet raylet;
    Driver driver(raylet);
    wr_value value = {};
    value.stream = (const uint8_t *)"cause";
    value.stream_bytes = 5;
    wr_ref ref = 0;
    ASSERT_EQ(WR_OK, wr_put_kind(driver.get(), WR_KIND_ERROR, &value, &ref, nullptr));
    EXPECT_EQ(WR_KIND_ERROR, wr_peek(driver.get(), ref));
    EXPECT_EQ(WR_E_INVALID, wr_put_kind(driver.get(), WR_KIND_PENDING, &value, &ref, nullptr));
    EXPECT_EQ(WR_E_INVALID, wr_put_kind(driver.get(), (wr_kind)77, &value, &ref, nullptr));
}

TEST(Object, RefsThatAreNoneAreToldApart) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const wr_ref ref = driver.Put(1);
    EXPECT_TRUE(wr_ref_valid(driver.get(), ref));
    for (wr_ref bad :
         std::vector<wr_ref>{0, UINT64_MAX, ref + (1ull << 32), (ref & ~0xffffffffull) | 0xfffffff0u}) {
        EXPECT_FALSE(wr_ref_valid(driver.get(), bad));
        EXPECT_EQ(WR_KIND_PENDING, wr_peek(driver.get(), bad));
        EXPECT_EQ(WR_E_NOT_FOUND, wr_wait(driver.get(), bad, UINT64_MAX));
        wr_view view;
        EXPECT_EQ(WR_E_NOT_FOUND, wr_view_get(driver.get(), bad, &view, nullptr));
    }
    driver.Unref(ref);
    EXPECT_FALSE(wr_ref_valid(driver.get(), ref));
}

TEST(Object, AContainerKeepsWhatItNamesAndRefusesWhatIsNoRef) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const wr_ref inner = driver.Put(99);
    wr_value value = {};
    value.refs = &inner;
    value.ref_count = 1;
    wr_ref outer = 0;
    ASSERT_EQ(WR_OK, wr_put(driver.get(), &value, &outer, nullptr));
    driver.Unref(inner);
    wr_view view;
    ASSERT_EQ(WR_OK, wr_view_get(driver.get(), outer, &view, nullptr));
    ASSERT_EQ(1u, view.ref_count);
    wr_borrow(driver.get(), view.refs[0]);
    const wr_ref again = view.refs[0];
    driver.Unref(outer);
    EXPECT_EQ(99, driver.Number(again));
    driver.Unref(again);

    const wr_ref nonsense[] = {0x1234567800000042ull};
    value.refs = nonsense;
    wr_error err = {};
    EXPECT_EQ(WR_E_INVALID, wr_put(driver.get(), &value, &outer, &err));
    EXPECT_NE(nullptr, strstr(err.text, "reference 0")) << err.text;
}

TEST(Object, AFullStoreNamesItsFiguresAndRoomHelps) {
    FakeRayletOptions options;
    options.heap_bytes = 32ull << 20;
    FakeRaylet raylet(options);
    Driver driver(raylet);
    const std::string third(10u << 20, 'x');
    std::vector<wr_ref> refs;
    for (int i = 0; i < 2; i++) {
        refs.push_back(driver.Put(third.data(), third.size()));
    }
    // A caller that gives up at its first look at signals does not wait the full 10 s.
    wr_client_on_wait(driver.get(), [](void *) { return false; }, nullptr);
    wr_value value = {};
    value.stream = (const uint8_t *)third.data();
    value.stream_bytes = third.size();
    std::string all(20u << 20, 'y');
    value.stream = (const uint8_t *)all.data();
    value.stream_bytes = all.size();
    wr_ref ref = 0;
    wr_error err = {};
    const wr_status status = wr_put(driver.get(), &value, &ref, &err);
    EXPECT_TRUE(status == WR_E_OBJECT_STORE_FULL || status == WR_E_INTERRUPTED) << wr_status_name(status);
    for (wr_ref r : refs) {
        driver.Unref(r);
    }
    wr_client_on_wait(driver.get(), nullptr, nullptr);
    EXPECT_EQ(WR_OK, wr_put(driver.get(), &value, &ref, &err)) << err.text;
    driver.Unref(ref);

    value.stream = nullptr;
    value.stream_bytes = 0;
    const wr_buffer huge = {all.data(), 1ull << 40};
    value.buffers = &huge;
    value.buffer_count = 1;
    EXPECT_EQ(WR_E_OBJECT_STORE_FULL, wr_put(driver.get(), &value, &ref, &err));
    EXPECT_NE(nullptr, strpbrk(err.text, "0123456789")) << err.text;
}

TEST(Object, WaitsEndAtTheirTimeoutAndWithTheSeal) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const wr_ref pending = driver.Submit(driver.Call(kPid));
    EXPECT_EQ(WR_E_TIMEOUT, wr_wait(driver.get(), pending, 0));
    EXPECT_EQ(WR_E_TIMEOUT, wr_wait(driver.get(), pending, 2000000));
    EXPECT_EQ(WR_E_INTERRUPTED, wr_wait(driver.get(), pending, UINT64_MAX)); // after 100 ms
    EXPECT_FALSE(wr_spin(driver.get(), pending, 1000));
    WorkerProcess worker(raylet);
    EXPECT_EQ(worker.pid, driver.Number(pending));
    EXPECT_TRUE(wr_spin(driver.get(), pending, 1000));
}

TEST(Object, AWaitForManyEndsWhenEnoughAreThere) {
    FakeRaylet raylet;
    Driver driver(raylet);
    std::vector<wr_ref> refs = {driver.Put(1), driver.Submit(driver.Call(kPid)), driver.Put(2)};
    uint32_t ready = 0;
    EXPECT_EQ(WR_OK, wr_wait_many(driver.get(), refs.data(), 3, 2, UINT64_MAX, &ready));
    EXPECT_EQ(2u, ready);
    EXPECT_EQ(WR_E_TIMEOUT, wr_wait_many(driver.get(), refs.data(), 3, 3, 3000000, &ready));
    EXPECT_EQ(2u, ready);
    WorkerProcess worker(raylet);
    wr_status status;
    while ((status = wr_wait_many(driver.get(), refs.data(), 3, 99 /* more than there are: all */, UINT64_MAX,
                                  &ready)) == WR_E_INTERRUPTED) {
    }
    EXPECT_EQ(WR_OK, status);
    EXPECT_EQ(3u, ready);
}

TEST(Object, CountersCountWhatThisProcessDid) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    for (int i = 0; i < 5; i++) {
        driver.Unref(driver.Put(i));
        const wr_ref ref = driver.Submit(driver.Call(kNothing));
        EXPECT_EQ("", driver.Get(ref));
        driver.Unref(ref);
    }
    wr_counters counters;
    wr_client_counters(driver.get(), &counters);
    EXPECT_EQ(5u, counters.objects_put);
    EXPECT_EQ(5u, counters.tasks_submitted);
    EXPECT_EQ(0u, counters.tasks_executed);
}

TEST(Object, PutAndUnrefLeaveNothingBehind) {
    FakeRaylet raylet;
    {
        Driver driver(raylet);
        for (int i = 0; i < 2000; i++) {
            const std::string text((size_t)(i % 700), 'x');
            driver.Unref(driver.Put(text.data(), text.size()));
        }
    }
    while (raylet.LiveSlots() != 1) {
        sched_yield();
    }
    wr_keeper_stats stats = raylet.Stats();
    for (int i = 0; i < 100000 && (stats.candidates != 0 || stats.orphan_cells != 0); i++) {
        sched_yield();
        stats = raylet.Stats();
    }
    EXPECT_EQ(0u, stats.rows);
    EXPECT_EQ(0u, stats.orphan_cells);
}

} // namespace

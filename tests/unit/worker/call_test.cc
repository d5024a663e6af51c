#include "tests/unit/worker/driver.h"

namespace {

TEST(Call, ATaskRunsInAnotherProcess) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const wr_ref ref = driver.Submit(driver.Call(kPid));
    EXPECT_EQ(worker.pid, driver.Number(ref));
    driver.Unref(ref);
}

TEST(Call, ArgumentsOfAllSizesArrive) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    for (size_t n : {0u, 1u, 32u, 33u, 47u, 48u, 49u, 1000u, 2000000u}) {
        const std::string text(n, 'k');
        const wr_ref ref = driver.Submit(driver.Call(kEcho, text.data(), n));
        EXPECT_EQ(text, driver.Get(ref)) << n;
        driver.Unref(ref);
    }
}

TEST(Call, ManyTasksAllComeBack) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess one(raylet), two(raylet);
    std::vector<wr_ref> refs;
    for (int64_t i = 0; i < 20000; i++) {
        refs.push_back(driver.Submit(driver.Call(kEcho, &i, sizeof i)));
    }
    for (int64_t i = 0; i < 20000; i++) {
        ASSERT_EQ(i, driver.Number(refs[(size_t)i]));
        driver.Unref(refs[(size_t)i]);
    }
}

TEST(Call, ReferenceArgumentsAreWaitedForHoweverManyThereAre) {
    FakeRaylet raylet;
    Driver driver(raylet);
    for (uint32_t n : {1u, 2u, 3u, 4u, 10u, 62u, 63u, 200u}) {
        std::vector<wr_ref> refs;
        int64_t expected = 0;
        for (int64_t i = 0; i < n; i++) {
            // Half of them are there, half are results of tasks that nobody runs yet.
            refs.push_back(i % 2 == 0 ? driver.Put(i) : driver.Submit(driver.Call(kEcho, &i, sizeof i)));
            expected += i;
        }
        wr_call call = driver.Call(kSum);
        call.refs = refs.data();
        call.ref_count = n;
        const wr_ref sum = driver.Submit(call);
        for (wr_ref ref : refs) {
            driver.Unref(ref); // the task pins them
        }
        EXPECT_EQ(WR_E_TIMEOUT, wr_wait(driver.get(), sum, n == 1 ? 0 : 1000));
        WorkerProcess worker(raylet);
        EXPECT_EQ(expected, driver.Number(sum)) << n;
        driver.Unref(sum);
    }
}

TEST(Call, InlineArgumentsFitBesideUpToTwoReferences) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const wr_ref one = driver.Put(1), two = driver.Put(2), three = driver.Put(3);
    const wr_ref refs[] = {one, two, three};
    for (uint32_t n = 0; n <= 3; n++) {
        for (size_t bytes : {0u, 16u, 17u, 32u, 33u, 48u}) {
            const std::string text(bytes, 'v');
            wr_call call = driver.Call(kEcho, text.data(), bytes);
            call.refs = refs;
            call.ref_count = n;
            const wr_ref ref = driver.Submit(call);
            EXPECT_EQ(text, driver.Get(ref)) << n << " " << bytes;
            driver.Unref(ref);
        }
    }
}

TEST(Call, NestedReferencesArePinnedAndNotWaitedFor) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const wr_ref refs[] = {driver.Put(20), driver.Put(22)};
    wr_call call = driver.Call(kSumNested);
    call.args.refs = refs;
    call.args.ref_count = 2;
    const wr_ref sum = driver.Submit(call);
    driver.Unref(refs[0]);
    driver.Unref(refs[1]);
    EXPECT_EQ(42, driver.Number(sum));
    driver.Unref(sum);
}

TEST(Call, ASettledTaskNoLongerKeepsItsArguments) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const wr_ref argument = driver.Put(5);
    wr_call call = driver.Call(kSum);
    call.refs = &argument;
    call.ref_count = 1;
    const wr_ref sum = driver.Submit(call);
    driver.Unref(argument);
    EXPECT_EQ(5, driver.Number(sum));
    EXPECT_TRUE(wr_ref_valid(driver.get(), argument));
    wr_settle(driver.get(), sum);
    EXPECT_FALSE(wr_ref_valid(driver.get(), argument));
    EXPECT_EQ(5, driver.Number(sum));
    wr_settle(driver.get(), sum);
    driver.Unref(sum);
}

TEST(Call, AnArgumentThatAWorkerKeepsOutlivesTheTask) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const wr_ref kept = driver.Put(77);
    wr_call call = driver.Call(kKeep);
    call.args.refs = &kept;
    call.args.ref_count = 1;
    wr_ref ref = driver.Submit(call);
    EXPECT_EQ(77, driver.Number(ref));
    driver.Unref(ref);
    driver.Unref(kept);
    // Cells that are freed now are used again at once: what was kept must not be among them.
    for (int i = 0; i < 3000; i++) {
        driver.Unref(driver.Put(i));
    }
    ref = driver.Submit(driver.Call(kKeep));
    EXPECT_EQ(77, driver.Number(ref));
    driver.Unref(ref);
}

TEST(Call, AResultMayNameWhatTheWorkerPut) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    for (int i = 0; i < 200; i++) {
        const wr_ref outer = driver.Submit(driver.Call(kReturnRef));
        ASSERT_EQ(WR_OK, driver.Wait(outer));
        wr_view view;
        ASSERT_EQ(WR_OK, wr_view_get(driver.get(), outer, &view, nullptr));
        ASSERT_EQ(1u, view.ref_count);
        const wr_ref inner = view.refs[0];
        wr_borrow(driver.get(), inner);
        driver.Unref(outer);
        EXPECT_EQ(42, driver.Number(inner));
        driver.Unref(inner);
    }
}

TEST(Call, ATaskMaySubmitATaskAndWaitForIt) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess one(raylet), two(raylet);
    for (int i = 0; i < 20; i++) {
        const wr_ref outer = driver.Submit(driver.Call(kInner));
        EXPECT_EQ("inner", driver.Get(outer));
        driver.Unref(outer);
    }
}

TEST(Call, ATaskMayPassOnARefThatItWasOnlyLent) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess one(raylet), two(raylet);
    for (int64_t i = 0; i < 50; i++) {
        const wr_ref lent = driver.Put(i);
        wr_call call = driver.Call(kBorrowedArg);
        call.args.refs = &lent;
        call.args.ref_count = 1;
        const wr_ref outer = driver.Submit(call);
        driver.Unref(lent);
        EXPECT_EQ(i, driver.Number(outer));
        driver.Unref(outer);
    }
}

TEST(Call, SeveralReturnsAreItemsOfOneObject) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const wr_ref ref = driver.Submit(driver.Call(kThree));
    ASSERT_EQ(WR_OK, driver.Wait(ref));
    EXPECT_EQ(WR_KIND_VALUES, wr_peek(driver.get(), ref));
    wr_view all, item;
    ASSERT_EQ(WR_OK, wr_view_get(driver.get(), ref, &all, nullptr));
    ASSERT_EQ(3u, all.item_count);
    ASSERT_TRUE(wr_view_item(&all, 2, &item));
    EXPECT_EQ("third", std::string((const char *)item.stream, item.stream_bytes));
    const uint8_t *data = nullptr;
    uint64_t bytes = 0;
    ASSERT_TRUE(wr_view_item(&all, 1, &item));
    ASSERT_TRUE(wr_view_buffer(&item, 0, &data, &bytes));
    EXPECT_EQ(5000u, bytes);
    EXPECT_EQ('b', data[4999]);
    driver.Unref(ref);
}

TEST(Call, WrongCallsAreRefusedAndNothingIsQueued) {
    FakeRaylet raylet;
    Driver driver(raylet);
    wr_ref ref = 0;
    wr_error err = {};
    wr_call call = driver.Call(kNothing);
    call.flags = 0x80;
    EXPECT_EQ(WR_E_INVALID, wr_submit(driver.get(), &call, &ref, &err));
    call = driver.Call(kNothing, nullptr, 10);
    EXPECT_EQ(WR_E_INVALID, wr_submit(driver.get(), &call, &ref, &err));
    call = driver.Call(kNothing);
    call.ref_count = 1;
    EXPECT_EQ(WR_E_INVALID, wr_submit(driver.get(), &call, &ref, &err));
    for (uint32_t port : {63u, (uint32_t)WR_PORT_JOIN, 0xffffu, 1u << 20}) {
        call = driver.Call(kNothing);
        call.port = port;
        EXPECT_EQ(WR_E_INVALID, wr_submit(driver.get(), &call, &ref, &err)) << port;
    }
    const wr_ref nonsense = 0x55;
    call = driver.Call(kNothing);
    call.refs = &nonsense;
    call.ref_count = 1;
    EXPECT_EQ(WR_E_INVALID, wr_submit(driver.get(), &call, &ref, &err));
    EXPECT_EQ(0u, ref);
    wr_counters counters;
    wr_client_counters(driver.get(), &counters);
    EXPECT_EQ(0u, counters.tasks_submitted);
}

TEST(Call, AFullRingMakesABacklogThatIsQueuedInOrder) {
    FakeRayletOptions options;
    options.ring_capacity = 64;
    FakeRaylet raylet(options);
    Driver driver(raylet);
    const uint16_t port = raylet.OpenActorPort();
    WorkerProcess worker(raylet, port);
    uint32_t actor_port = 0, actor_ring = 0;
    driver.OpenPort(port, &actor_port, &actor_ring);
    std::vector<wr_ref> refs;
    for (int64_t i = 0; i < 1000; i++) {
        wr_call call = driver.Call(kEcho, &i, sizeof i);
        call.port = actor_port;
        call.ring = actor_ring;
        refs.push_back(driver.Submit(call));
    }
    while (wr_flush(driver.get())) {
        sched_yield();
    }
    for (int64_t i = 0; i < 1000; i++) {
        EXPECT_EQ(i, driver.Number(refs[(size_t)i]));
        driver.Unref(refs[(size_t)i]);
    }
}

TEST(Call, AQueuedTaskIsCancelledAtOnceAndADoneOneNotAtAll) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const wr_ref queued = driver.Submit(driver.Call(kPid));
    EXPECT_EQ(WR_OK, wr_cancel(driver.get(), queued, nullptr, nullptr));
    EXPECT_EQ("<CANCELLED>", driver.Get(queued));
    EXPECT_EQ(WR_E_NOT_FOUND, wr_cancel(driver.get(), queued, nullptr, nullptr));
    // A task that waits for a cancelled one gets it as an argument like any other error: it is run.
    const wr_ref waits = driver.Submit(driver.Call(kPid));
    wr_call call = driver.Call(kNothing);
    call.refs = &waits;
    call.ref_count = 1;
    const wr_ref after = driver.Submit(call);
    EXPECT_EQ(WR_OK, wr_cancel(driver.get(), waits, nullptr, nullptr));
    WorkerProcess worker(raylet);
    EXPECT_EQ("", driver.Get(after));
}

TEST(Call, ARunningTaskIsCancelledByWayOfItsWorker) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const wr_ref ref = driver.Submit(driver.Call(kUntilWanted));
    uint32_t slot = 0, epoch = 0;
    wr_status status;
    do { // until it runs; were it still queued, this would end it as cancelled, too
        sched_yield();
    } while (!wr_cell_runner(raylet.pool, ref, &slot, &epoch));
    status = wr_cancel(driver.get(), ref, &slot, &epoch);
    ASSERT_EQ(WR_E_STATE, status);
    EXPECT_EQ(raylet.SlotOf(worker.pid), slot);
    wr_record_writer w = {};
    const uint8_t *request = nullptr;
    uint32_t request_bytes = 0;
    wr_record_begin(&w);
    wr_record_int(&w, "handle", (int64_t)ref);
    wr_record_int(&w, "slot", slot);
    ASSERT_EQ(WR_OK, wr_record_finish(&w, &request, &request_bytes, nullptr));
    uint8_t *reply = nullptr;
    uint64_t bytes = 0;
    ASSERT_EQ(WR_OK,
              wr_client_call(driver.get(), "cancel", request, request_bytes, 0, &reply, &bytes, nullptr));
    wr_bytes_free(reply);
    wr_record_done(&w);
    EXPECT_EQ("<CANCELLED>", driver.Get(ref));
}

TEST(Call, AFailedAttemptIsRunAgainWithinItsRetries) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const uint8_t failures = 3;
    wr_call call = driver.Call(kFlaky, &failures, 1);
    call.max_retries = 3;
    EXPECT_EQ(3, driver.Number(driver.Submit(call)));
    call.max_retries = -1;
    EXPECT_EQ(3, driver.Number(driver.Submit(call)));
    call.max_retries = 2;
    EXPECT_EQ("<TASK_FAILED>", driver.Get(driver.Submit(call)));
    call.max_retries = 0;
    EXPECT_EQ("<TASK_FAILED>", driver.Get(driver.Submit(call)));
}

TEST(Call, AnActorsRetryRunsBeforeItsLaterCalls) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const uint16_t port = raylet.OpenActorPort();
    uint32_t actor_port = 0, actor_ring = 0;
    driver.OpenPort(port, &actor_port, &actor_ring);
    WorkerProcess worker(raylet, port);
    const uint8_t failures = 2;
    wr_call call = driver.Call(kFlaky, &failures, 1);
    call.port = actor_port;
    call.ring = actor_ring;
    call.max_retries = 5;
    const wr_ref first = driver.Submit(call);
    call = driver.Call(kPid);
    call.port = actor_port;
    call.ring = actor_ring;
    const wr_ref second = driver.Submit(call);
    EXPECT_EQ(worker.pid, driver.Number(second));
    EXPECT_EQ(WR_KIND_VALUE, wr_peek(driver.get(), first)); // sealed before
    EXPECT_EQ(2, driver.Number(first));
}

TEST(Call, ATaskWhoseWorkerDiesRunsAgainElsewhereOrBecomesATypedError) {
    FakeRaylet raylet;
    Driver driver(raylet);
    {
        WorkerProcess dies(raylet), lives(raylet);
        wr_call call = driver.Call(kExit);
        call.max_retries = 1;
        EXPECT_EQ(1, driver.Number(driver.Submit(call)));
    }
    WorkerProcess dies(raylet);
    const wr_ref ref = driver.Submit(driver.Call(kExit));
    EXPECT_EQ("<WORKER_DIED>", driver.Get(ref));
}

TEST(Call, ACallOnADeadPortIsRefusedWithTheCause) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const uint16_t port = raylet.OpenActorPort();
    uint32_t actor_port = 0, actor_ring = 0;
    driver.OpenPort(port, &actor_port, &actor_ring);
    {
        std::lock_guard<std::mutex> hold(raylet.lock);
        wr_error why = {};
        WR_FAIL(&why, WR_E_ACTOR_DIED, "the actor Counter died: exit code 1 of pid 4242");
        wr_result result;
        wr_handle cause = 0;
        wr_store_error_encode(raylet.pool, wr_keeper_proc(raylet.keeper), &why, &result);
        ASSERT_EQ(WR_OK, wr_proc_put(wr_keeper_proc(raylet.keeper), &result, &cause, nullptr));
        wr_keeper_port_state(raylet.keeper, port, WR_PORT_DEAD, cause);
    }
    wr_call call = driver.Call(kPid);
    call.port = actor_port;
    call.ring = actor_ring;
    wr_ref ref = 0;
    wr_error err = {};
    EXPECT_EQ(WR_E_ACTOR_DIED, wr_submit(driver.get(), &call, &ref, &err));
    EXPECT_NE(nullptr, strstr(err.text, "pid 4242")) << err.text;
}

TEST(Call, ACallToAnActorWhosePortIsAnothersByNowIsAnActorDiedAndReachesNobody) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const uint16_t port = raylet.OpenActorPort();
    wr_call call = driver.Call(kPid | WR_METHOD);
    driver.OpenPort(port, &call.port, &call.ring);
    call.generation = raylet.GenerationOf(port);
    ASSERT_NE(0u, call.generation);
    const wr_ref queued = driver.Submit(call);
    raylet.PassPortOn(port);
    uint32_t ignored = 0;
    driver.OpenPort(port, &ignored, &call.ring);
    EXPECT_EQ(WR_KIND_SYSTEM_ERROR, wr_peek(driver.get(), queued));
    wr_view view;
    wr_error err = {};
    ASSERT_EQ(WR_OK, wr_view_get(driver.get(), queued, &view, &err)) << err.text;
    wr_store_error_decode(view.stream, view.stream_bytes, &err);
    EXPECT_EQ(WR_E_ACTOR_DIED, err.status);
    EXPECT_STREQ("it ended before the call", err.text);
    wr_ref ref = 0;
    EXPECT_EQ(WR_E_ACTOR_DIED, wr_submit(driver.get(), &call, &ref, &err));
    EXPECT_NE(nullptr, strstr(err.text, "the actor has ended")) << err.text;
    call.function = kPid; // of a class
    EXPECT_EQ(WR_E_NOT_FOUND, wr_submit(driver.get(), &call, &ref, &err)) << "its caller opens it anew";
    call.generation = raylet.GenerationOf(port);
    EXPECT_EQ(WR_OK, wr_submit(driver.get(), &call, &ref, &err)) << err.text;
    wr_unref(driver.get(), queued);
    wr_unref(driver.get(), ref);
}

TEST(Call, AParkedTaskIsClaimedByItsRef) {
    FakeRaylet raylet;
    Driver driver(raylet);
    wr_call call = driver.Call(kEcho, "ctor", 4);
    call.flags = WR_CALL_PARKED;
    const wr_ref parked = driver.Submit(call);
    EXPECT_EQ(WR_E_TIMEOUT, wr_wait(driver.get(), parked, 1000000));
    // A second client of this process plays the actor's worker.
    auto worker = raylet.Connect(WR_CLIENT_DRIVER);
    wr_task task;
    ASSERT_EQ(WR_OK, wr_worker_claim(worker.get(), 0, parked, &task));
    EXPECT_EQ("ctor", std::string((const char *)task.args.stream, task.args.stream_bytes));
    EXPECT_TRUE(worker_process::Finish(worker.get(), &task, "made", 4));
    EXPECT_EQ("made", driver.Get(parked));
    // An actor that starts again reads its arguments once more.
    wr_task again;
    EXPECT_EQ(WR_E_STATE, wr_worker_claim(worker.get(), 0, parked, &again));
    EXPECT_EQ("ctor", std::string((const char *)again.args.stream, again.args.stream_bytes));
    EXPECT_FALSE(wr_task_seal(worker.get(), &again));
}

TEST(Call, AnAssignmentIsTakenOnceThoughItsAnswerCameBeforeItsWord) {
    FakeRaylet raylet;
    auto worker = raylet.Connect(WR_CLIENT_WORKER);
    const uint32_t slot = raylet.SlotOf(getpid());
    wr_task task;
    EXPECT_EQ(WR_NEXT_ASSIGNMENT, wr_worker_next(worker.get(), 0, &task));
    auto word = [&](uint32_t count) { return count << WR_ASSIGN_COUNT_SHIFT | raylet.class_port; };
    uint32_t count = 100;
    raylet.Assign(slot, word(count));
    EXPECT_EQ(WR_NEXT_ASSIGNMENT, wr_worker_next(worker.get(), 0, &task));
    // The answer is about the next word; both orders of its coming.
    wr_worker_assigned(worker.get(), word(count + 1));
    EXPECT_EQ(WR_NEXT_NONE, wr_worker_next(worker.get(), 0, &task));
    raylet.Assign(slot, word(count + 1));
    EXPECT_EQ(WR_NEXT_NONE, wr_worker_next(worker.get(), 0, &task));
    raylet.Assign(slot, word(count + 2));
    wr_worker_assigned(worker.get(), word(count + 2));
    EXPECT_EQ(WR_NEXT_NONE, wr_worker_next(worker.get(), 0, &task));
    // The count begins anew after its last value.
    raylet.Assign(slot, word(WR_ASSIGN_COUNT_MASK / 2 + 50));
    EXPECT_EQ(WR_NEXT_ASSIGNMENT, wr_worker_next(worker.get(), 0, &task));
    raylet.Assign(slot, word(WR_ASSIGN_COUNT_MASK));
    EXPECT_EQ(WR_NEXT_ASSIGNMENT, wr_worker_next(worker.get(), 0, &task));
    raylet.Assign(slot, word(0));
    EXPECT_EQ(WR_NEXT_ASSIGNMENT, wr_worker_next(worker.get(), 0, &task));
    raylet.Assign(slot, word(1) | WR_ASSIGN_EXIT);
    EXPECT_EQ(WR_NEXT_EXIT, wr_worker_next(worker.get(), 0, &task));
    EXPECT_EQ(WR_NEXT_EXIT, wr_worker_next(worker.get(), 0, &task)); // every call says so
}

TEST(Call, ResultsBelongToTheirTaskAndLane) {
    FakeRaylet raylet;
    Driver driver(raylet);
    auto worker = raylet.Connect(WR_CLIENT_WORKER);
    for (int64_t i = 0; i < 3; i++) {
        driver.Submit(driver.Call(kEcho, &i, sizeof i));
    }
    wr_task tasks[3], none;
    EXPECT_EQ(WR_NEXT_ASSIGNMENT, wr_worker_next(worker.get(), 0, &tasks[0]));
    for (uint32_t lane = 0; lane < 3; lane++) {
        ASSERT_EQ(WR_NEXT_TASK, wr_worker_next(worker.get(), lane * 100, &tasks[lane]));
        EXPECT_EQ(lane * 100, tasks[lane].lane);
    }
    EXPECT_EQ(WR_NEXT_NONE, wr_worker_next(worker.get(), 100, &none));  // that lane's task is not done
    EXPECT_EQ(WR_NEXT_NONE, wr_worker_next(worker.get(), 1023, &none)); // kept for streams
    EXPECT_EQ(WR_NEXT_NONE, wr_worker_next(worker.get(), 5000, &none));
    EXPECT_FALSE(wr_task_seal(worker.get(), &tasks[1])); // no result yet
    for (int lane : {2, 0, 1}) {
        EXPECT_TRUE(worker_process::Finish(worker.get(), &tasks[lane], &lane, sizeof lane));
        EXPECT_FALSE(wr_task_seal(worker.get(), &tasks[lane])); // sealed already
    }
    for (int lane = 0; lane < 3; lane++) {
        int got = -1;
        memcpy(&got, driver.Get(tasks[lane].ref).data(), sizeof got);
        EXPECT_EQ(lane, got);
    }
}

TEST(Call, AForkedChildReadsAnArrayAndLeavesNothingDisturbed) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const std::string big(10u << 20, 3);
    const wr_buffer buffer = {big.data(), big.size()};
    wr_value value = {};
    value.buffers = &buffer;
    value.buffer_count = 1;
    wr_ref array = 0;
    ASSERT_EQ(WR_OK, wr_put(driver.get(), &value, &array, nullptr));
    for (int i = 0; i < 3; i++) {
        wr_call call = driver.Call(kFork);
        call.refs = &array;
        call.ref_count = 1;
        const wr_ref sum = driver.Submit(call);
        EXPECT_EQ((int64_t)(3ull * (10u << 20)), driver.Number(sum));
        driver.Unref(sum);
        const wr_ref after = driver.Submit(driver.Call(kPid)); // the same worker goes on
        EXPECT_EQ(worker.pid, driver.Number(after));
        driver.Unref(after);
    }
    driver.Unref(array);
}

// A driver that does one of everything; true: nothing failed. What failed has a status and a text.
bool OneOfEverything(Driver &driver, bool *out_typed) {
    wr_error err = {};
    const std::string kilobyte(1024, 'k');
    std::vector<wr_ref> refs;
    bool well = true;
    auto note = [&](wr_status status) {
        well &= status == WR_OK;
        *out_typed &= status == WR_OK || (status == WR_E_NO_MEMORY && err.text[0] != '\0');
        err = {};
        return status == WR_OK;
    };
    wr_ref ref = 0;
    wr_value value = {};
    value.stream = (const uint8_t *)kilobyte.data();
    value.stream_bytes = kilobyte.size();
    if (note(wr_put(driver.get(), &value, &ref, &err))) {
        refs.push_back(ref);
    }
    wr_call call = driver.Call(kEcho, kilobyte.data(), kilobyte.size());
    std::vector<wr_ref> pending;
    for (int i = 0; i < 70; i++) {
        if (note(wr_submit(driver.get(), &call, &ref, &err))) {
            pending.push_back(ref);
        }
    }
    call = driver.Call(kSum);
    call.refs = pending.data();
    call.ref_count = (uint32_t)pending.size();
    if (note(wr_submit(driver.get(), &call, &ref, &err))) {
        pending.push_back(ref);
    }
    const uint64_t items = 5;
    call = driver.Call(kGenerate, &items, sizeof items);
    call.flags = WR_CALL_STREAM;
    wr_stream *stream = nullptr;
    if (note(wr_submit(driver.get(), &call, &ref, &err))) {
        if (note(wr_stream_open(driver.get(), ref, &stream, &err))) {
            wr_stream_close(stream);
        }
        pending.push_back(ref);
    }
    note(wr_c_submit(driver.get(), "x", nullptr, 0, &ref, &err));
    for (wr_ref p : pending) {
        (void)wr_cancel(driver.get(), p, nullptr, nullptr);
        wr_unref(driver.get(), p);
    }
    for (wr_ref r : refs) {
        wr_unref(driver.get(), r);
    }
    return well;
}

TEST(Call, EachAllocationThatFailsIsATypedErrorAndTheNextCallWorks) {
    FakeRaylet raylet;
    int code = 1;
    uint64_t failures = 0;
    for (uint64_t n = 1; n < 200 && code == 1; n++) {
        const pid_t child = fork();
        if (child == 0) {
            close_range(3, ~0u, 0);
            Driver driver(raylet);
            bool typed = true;
            wr_alloc_fail_nth(n);
            const bool well = OneOfEverything(driver, &typed);
            wr_alloc_fail_nth(0);
            const bool again = OneOfEverything(driver, &typed);
            driver.Close();
            _exit(!typed || !again ? 2 : well ? 0 : 1);
        }
        int status = 0;
        waitpid(child, &status, 0);
        code = WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
        failures += code == 1 ? 1 : 0;
    }
    EXPECT_EQ(0, code) << "after " << failures;
    EXPECT_GT(failures, 5u);
}

TEST(Call, AForkedChildOfADriverIsRefusedByName) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const wr_ref ref = driver.Put(5);
    const pid_t child = fork();
    if (child == 0) {
        wr_client_forked(driver.get());
        wr_error err = {};
        wr_ref other = 0;
        wr_value value = {};
        const bool refused =
            wr_put(driver.get(), &value, &other, &err) == WR_E_STATE && strstr(err.text, "forked") != nullptr;
        wr_unref(driver.get(), ref);
        _exit(refused ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(0, status);
    EXPECT_EQ(5, driver.Number(ref));
}

} // namespace

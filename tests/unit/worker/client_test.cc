#include "tests/unit/worker/driver.h"

namespace {

wr_status Open(const std::string &path, const char *token, wr_client_kind kind, wr_error *err,
               uint64_t timeout_ns = 0) {
    wr_client_opts opts = {};
    opts.kind = kind;
    opts.socket_path = path.c_str();
    opts.token = token;
    opts.timeout_ns = timeout_ns;
    wr_client *client = nullptr;
    const wr_status status = wr_client_open(&opts, &client, err);
    wr_client_close(client);
    return status;
}

wr_status Echo(wr_client *client, int64_t number, int64_t *out, wr_error *err) {
    wr_record_writer w = {};
    const uint8_t *request = nullptr;
    uint32_t request_bytes = 0;
    wr_record_begin(&w);
    wr_record_int(&w, "number", number);
    EXPECT_EQ(WR_OK, wr_record_finish(&w, &request, &request_bytes, nullptr));
    uint8_t *reply = nullptr;
    uint64_t bytes = 0;
    const wr_status status = wr_client_call(client, "echo", request, request_bytes, 0, &reply, &bytes, err);
    if (status == WR_OK) {
        const wr_record r = {reply, (uint32_t)bytes};
        *out = wr_record_get_int(&r, "back", -1);
        wr_bytes_free(reply);
    }
    wr_record_done(&w);
    return status;
}

TEST(Client, WhereNobodyListensItSaysSoAndNamesThePath) {
    wr_error err = {};
    EXPECT_EQ(WR_E_UNAVAILABLE, Open("/tmp/whipray_no_such_socket", "t", WR_CLIENT_DRIVER, &err));
    EXPECT_NE(nullptr, strstr(err.text, "/tmp/whipray_no_such_socket")) << err.text;
}

TEST(Client, AWrongTokenAndNoTokenAreRefused) {
    FakeRaylet raylet;
    wr_error err = {};
    EXPECT_EQ(WR_E_UNAUTHENTICATED, Open(raylet.socket_path, "wrong", WR_CLIENT_DRIVER, &err));
    EXPECT_EQ(nullptr, strstr(err.text, FakeRaylet::kToken));
    EXPECT_EQ(WR_E_UNAUTHENTICATED, Open(raylet.socket_path, "", WR_CLIENT_DRIVER, &err));
    EXPECT_EQ(WR_E_UNAUTHENTICATED, Open(raylet.socket_path, nullptr, WR_CLIENT_DRIVER, &err));
    EXPECT_EQ(1u, raylet.LiveSlots()); // the raylet's own
}

TEST(Client, WrongOptionsAreRefusedBeforeAnythingIsConnected) {
    FakeRaylet raylet;
    wr_error err = {};
    EXPECT_EQ(WR_E_INVALID, Open("", FakeRaylet::kToken, WR_CLIENT_DRIVER, &err));
    EXPECT_EQ(WR_E_INVALID, Open(raylet.socket_path, FakeRaylet::kToken, (wr_client_kind)9, &err));
    EXPECT_EQ(WR_E_INVALID, Open(std::string(300, 'x'), FakeRaylet::kToken, WR_CLIENT_DRIVER, &err));
}

TEST(Client, WhatTheRayletRefusesComesThroughWithItsStatus) {
    for (wr_status status : {WR_E_VERSION, WR_E_DENIED, WR_E_LIMIT}) {
        FakeRayletOptions options;
        options.refuse_hello = status;
        FakeRaylet raylet(options);
        wr_error err = {};
        EXPECT_EQ(status, Open(raylet.socket_path, FakeRaylet::kToken, WR_CLIENT_DRIVER, &err));
        EXPECT_EQ(status, err.status);
        EXPECT_NE(nullptr, strstr(err.text, "refused")) << err.text;
    }
}

TEST(Client, ARayletThatHangsUpOrKeepsSilentIsNotWaitedForForEver) {
    FakeRayletOptions options;
    options.hang_up = true;
    {
        FakeRaylet raylet(options);
        wr_error err = {};
        EXPECT_EQ(WR_E_UNAVAILABLE, Open(raylet.socket_path, FakeRaylet::kToken, WR_CLIENT_DRIVER, &err));
    }
    options.hang_up = false;
    options.silent = true;
    FakeRaylet raylet(options);
    wr_error err = {};
    EXPECT_EQ(WR_E_TIMEOUT, Open(raylet.socket_path, FakeRaylet::kToken, WR_CLIENT_DRIVER, &err, 50000000));
}

TEST(Client, AToolMakesControlCallsAndHasNoPool) {
    FakeRaylet raylet;
    auto tool = raylet.Connect(WR_CLIENT_TOOL);
    int64_t back = 0;
    wr_error err = {};
    EXPECT_EQ(WR_OK, Echo(tool.get(), 5, &back, &err)) << err.text;
    EXPECT_EQ(5, back);
    wr_ref ref = 0;
    wr_value value = {};
    EXPECT_EQ(WR_E_STATE, wr_put(tool.get(), &value, &ref, &err));
    EXPECT_EQ(WR_OK, wr_client_health(tool.get()));
    EXPECT_EQ(WR_KIND_PENDING, wr_peek(tool.get(), 1));
    EXPECT_EQ(1u, raylet.LiveSlots());
}

TEST(Client, TheWelcomeIsKept) {
    FakeRaylet raylet;
    auto client = raylet.Connect();
    uint64_t bytes = 0;
    const uint8_t *packed = wr_client_welcome(client.get(), &bytes);
    wr_record record;
    ASSERT_EQ(WR_OK, wr_record_check(packed, bytes, &record, nullptr));
    EXPECT_EQ(FakeRaylet::kJob, wr_record_get_int(&record, "job", -1));
}

TEST(Client, AnAnswerWithAnErrorKeepsItsStatusTextAndConnection) {
    FakeRaylet raylet;
    auto client = raylet.Connect();
    uint8_t *reply = nullptr;
    uint64_t bytes = 0;
    wr_error err = {};
    EXPECT_EQ(WR_E_UNSUPPORTED,
              wr_client_call(client.get(), "no_such_op", nullptr, 0, 0, &reply, &bytes, &err));
    EXPECT_NE(nullptr, strstr(err.text, "no_such_op")) << err.text;
    const uint8_t garbage[] = {9, 9, 9};
    EXPECT_EQ(WR_E_INVALID,
              wr_client_call(client.get(), "echo", garbage, sizeof garbage, 0, &reply, &bytes, &err));
    int64_t back = 0;
    EXPECT_EQ(WR_OK, Echo(client.get(), 6, &back, &err)) << err.text;
    EXPECT_EQ(6, back);
}

TEST(Client, AnAnswerThatCameTooLateIsNotTakenForTheNextOne) {
    FakeRaylet raylet;
    auto client = raylet.Connect();
    uint8_t *reply = nullptr;
    uint64_t bytes = 0;
    wr_error err = {};
    EXPECT_EQ(WR_E_TIMEOUT,
              wr_client_call(client.get(), "never", nullptr, 0, 20000000, &reply, &bytes, &err));
    int64_t back = 0;
    EXPECT_EQ(WR_OK, Echo(client.get(), 11, &back, &err)) << err.text;
    EXPECT_EQ(11, back);
}

TEST(Client, CallsOfManyThreadsGetEachItsOwnAnswer) {
    FakeRaylet raylet;
    auto client = raylet.Connect();
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([&, t] {
            for (int64_t i = 0; i < 50; i++) {
                int64_t back = -1;
                wrong += Echo(client.get(), t * 1000 + i, &back, nullptr) != WR_OK || back != t * 1000 + i;
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(0, wrong);
}

TEST(Client, TheDeathOfTheRayletIsSeenByWaitsCallsAndHealth) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const wr_ref pending = driver.Submit(driver.Call(kNothing));
    raylet.Kill();
    EXPECT_EQ(WR_E_RAYLET_DIED, driver.Wait(pending));
    EXPECT_EQ(WR_E_RAYLET_DIED, wr_client_health(driver.get()));
    uint8_t *reply = nullptr;
    uint64_t bytes = 0;
    wr_error err = {};
    EXPECT_EQ(WR_E_RAYLET_DIED, wr_client_why(driver.get(), &err));
    EXPECT_STREQ("the raylet of this node has died", err.text) << "nobody could say why";
    EXPECT_EQ(WR_E_RAYLET_DIED, wr_client_call(driver.get(), "echo", nullptr, 0, 0, &reply, &bytes, &err));
    wr_value value = {};
    wr_ref ref = 0;
    EXPECT_EQ(WR_E_RAYLET_DIED, wr_put(driver.get(), &value, &ref, &err));
}

TEST(Client, ACallUnderWayFailsWhenTheRayletDies) {
    FakeRaylet raylet;
    auto client = raylet.Connect();
    std::thread killer([&] { raylet.Kill(); });
    uint8_t *reply = nullptr;
    uint64_t bytes = 0;
    wr_error err = {};
    EXPECT_EQ(WR_E_RAYLET_DIED, wr_client_call(client.get(), "never", nullptr, 0, 0, &reply, &bytes, &err))
        << err.text;
    killer.join();
}

TEST(Client, ACallInStepsKeepsTheConnectionUntilItIsAnsweredOrTooLate) {
    FakeRaylet raylet;
    auto client = raylet.Connect();
    uint8_t *reply = nullptr;
    uint64_t bytes = 0;
    wr_error err = {};
    wr_call_wait wait = {};
    const auto step = [&](uint64_t patience_ns) {
        return wr_client_call_wait(client.get(), "never", nullptr, 0, 100000000, patience_ns, &wait, &reply,
                                   &bytes, &err);
    };
    EXPECT_EQ(WR_E_AGAIN, step(1000000));
    EXPECT_TRUE(wait.pending);
    wr_call_wait other = {};
    EXPECT_EQ(WR_E_AGAIN,
              wr_client_call_wait(client.get(), "echo", nullptr, 0, 0, 1000000, &other, &reply, &bytes, &err))
        << "it waits for the first";
    EXPECT_TRUE(other.pending);
    std::thread([&] { EXPECT_EQ(WR_E_TIMEOUT, step(UINT64_MAX)); }).join();
    EXPECT_FALSE(wait.pending);
    ASSERT_EQ(WR_OK, wr_client_call_wait(client.get(), "echo", nullptr, 0, 0, UINT64_MAX, &other, &reply,
                                         &bytes, &err))
        << err.text;
    EXPECT_FALSE(other.pending);
    wr_bytes_free(reply);
}

TEST(Client, LeavingEndsACallThatAnotherThreadHasUnderWay) {
    FakeRaylet raylet;
    auto client = raylet.Connect();
    std::atomic<int> begun{0};
    std::vector<std::thread> callers;
    std::atomic<int> ended{0};
    for (int i = 0; i < 3; i++) {
        callers.emplace_back([&] {
            uint8_t *reply = nullptr;
            uint64_t bytes = 0;
            begun++;
            const wr_status status =
                wr_client_call(client.get(), "never", nullptr, 0, 0, &reply, &bytes, nullptr);
            ended += status == WR_E_STATE || status == WR_E_RAYLET_DIED ? 1 : 0;
        });
    }
    while (begun < 3) {
        sched_yield();
    }
    wr_client_leave(client.get());
    for (auto &caller : callers) {
        caller.join();
    }
    EXPECT_EQ(3, ended);
}

TEST(Client, AWorkerEndsWhenItsRayletDies) {
    FakeRaylet raylet;
    WorkerProcess worker(raylet);
    raylet.Kill();
    EXPECT_EQ(4, worker.Wait());
}

TEST(Client, APoisonedPoolEndsWorkersAndAllCallsOfADriver) {
    FakeRaylet raylet;
    Driver driver(raylet);
    WorkerProcess worker(raylet);
    const wr_ref done = driver.Put(1);
    EXPECT_EQ(worker.pid, driver.Number(driver.Submit(driver.Call(kPid)))); // it is at work
    wr_pool_poison(raylet.pool, "a test");
    EXPECT_EQ(4, worker.Wait());
    wr_error err = {};
    wr_ref ref = 0;
    const wr_call call = driver.Call(kPid);
    EXPECT_EQ(WR_E_RAYLET_DIED, wr_submit(driver.get(), &call, &ref, &err));
    EXPECT_STREQ("the raylet of this node has died: a test", err.text);
    EXPECT_EQ(WR_E_RAYLET_DIED, wr_client_health(driver.get()));
    EXPECT_EQ(WR_E_RAYLET_DIED, wr_client_why(driver.get(), &err));
    EXPECT_STREQ("the raylet of this node has died: a test", err.text);
    driver.Unref(done);
}

TEST(Client, AWorkerThatIsToldToExitSaysGoodbye) {
    FakeRaylet raylet;
    WorkerProcess worker(raylet);
    raylet.Assign(raylet.SlotOf(worker.pid), WR_ASSIGN_EXIT | WR_PORT_NONE);
    EXPECT_EQ(0, worker.Wait());
    while (raylet.byes == 0) {
        sched_yield();
    }
}

TEST(Client, ObjectIdsNameClusterIncarnationJobHandleAndIndex) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const wr_ref ref = driver.Put(1);
    uint8_t id[28];
    wr_ref_id(driver.get(), ref, 5, id);
    wr_ref back = 0;
    uint32_t index = 0;
    ASSERT_TRUE(wr_ref_from_id(driver.get(), id, &back, &index));
    EXPECT_EQ(ref, back);
    EXPECT_EQ(5u, index);
    EXPECT_EQ(FakeRaylet::kJob, id[12]);
    for (int byte : {0, 8}) { // cluster, incarnation
        uint8_t other[28];
        memcpy(other, id, sizeof other);
        other[byte] ^= 1;
        EXPECT_FALSE(wr_ref_from_id(driver.get(), other, &back, &index));
    }
}

TEST(Client, AfterLeavingViewsStayReadableAndAllElseIsRefused) {
    FakeRaylet raylet;
    Driver driver(raylet);
    const std::string big(100000, 'q');
    const wr_ref ref = driver.Put(big.data(), big.size());
    wr_view view;
    ASSERT_EQ(WR_OK, wr_view_get(driver.get(), ref, &view, nullptr));
    wr_client_leave(driver.get());
    EXPECT_EQ('q', view.stream[99999]);
    EXPECT_EQ(WR_E_STATE, wr_client_health(driver.get()));
    wr_value value = {};
    wr_ref other = 0;
    EXPECT_EQ(WR_E_STATE, wr_put(driver.get(), &value, &other, nullptr));
    driver.Unref(ref);
    wr_client_leave(driver.get()); // a second time does nothing
    driver.Close();
    while (raylet.LiveSlots() != 1) { // until all that was sent was read
        sched_yield();
    }
    EXPECT_EQ(1u, raylet.byes);
}

TEST(Client, EachAllocationThatFailsWhileOpeningIsATypedErrorWithAText) {
    FakeRaylet raylet;
    int code = 1;
    uint64_t failures = 0;
    int stuck = 0;
    for (uint64_t n = 1; n < 100 && code == 1; n++) { // until none is left to fail
        const pid_t child = fork(); // so that the fake raylet's allocations are not among them
        if (child == 0) {
            alarm(5);
            close_range(3, ~0u, 0);
            wr_alloc_fail_nth(n);
            wr_error err = {};
            const wr_status status = Open(raylet.socket_path, FakeRaylet::kToken, WR_CLIENT_DRIVER, &err);
            _exit(status == WR_OK ? 0 : status == WR_E_NO_MEMORY && err.text[0] != '\0' ? 1 : 2);
        }
        int status = 0;
        waitpid(child, &status, 0);
        // A sanitizer's allocator may have been locked by the fake raylet's thread at the fork: once more.
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM && stuck++ < 3) {
            n--;
            continue;
        }
        code = WIFEXITED(status) ? WEXITSTATUS(status) : 3;
        failures += code == 1 ? 1 : 0;
    }
    EXPECT_EQ(0, code);
    EXPECT_GT(failures, 3u);
}

} // namespace

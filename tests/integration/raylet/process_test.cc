// whipray-raylet as a process: who may talk to it, what it answers, and how it ends.
#include "raylet_process.h"

#include "shm/proc.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <signal.h>
#include <sstream>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace raylet;

TEST(RayletProcess, StartsAnswersAndEndsWithAllThatItStarted) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client tool(r.socket());
    ASSERT_EQ(WR_OK, tool.Hello(3).status);
    Reply status = tool.Call("status");
    ASSERT_EQ(WR_OK, status.status) << status.err.text;
    pid_t gcs = static_cast<pid_t>(status.Int("gcs_pid"));
    EXPECT_GT(gcs, 0);
    EXPECT_EQ(1, status.Int("gcs_online"));
    wr_record total = status.Map("total");
    EXPECT_EQ(2, wr_record_get_double(&total, "CPU", 0));
    EXPECT_EQ(1, wr_record_get_double(&total, "node:__internal_head__", 0));
    Reply end = tool.Call("shutdown");
    EXPECT_EQ(WR_OK, end.status);
    int exit_status = r.Wait();
    EXPECT_TRUE(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0);
    EXPECT_TRUE(Eventually([&] { return !Alive(gcs); }));
    EXPECT_NE(0, access(r.socket().c_str(), F_OK));
}

TEST(RayletProcess, TheOwnersEndEndsTheCluster) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    r.EndOwner();
    int exit_status = r.Wait();
    EXPECT_TRUE(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0);
}

TEST(RayletProcess, ADriverGetsASlotThePoolAndItsClasses) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client driver(r.socket());
    Reply hello = driver.HelloDriver("mine");
    ASSERT_EQ(WR_OK, hello.status) << hello.err.text;
    ASSERT_GE(hello.fd, 0);
    EXPECT_GT(hello.Int("job"), 0);
    EXPECT_EQ("mine", hello.Str("namespace"));
    EXPECT_EQ(28u, hello.Bytes("node_id").size());
    wr_pool *pool = nullptr;
    wr_error err = {};
    ASSERT_EQ(WR_OK, wr_pool_open(hello.fd, &pool, &err)) << err.text;
    wr_proc *proc = nullptr;
    ASSERT_EQ(WR_OK, wr_proc_attach(pool, static_cast<uint32_t>(hello.Int("slot")),
                                    static_cast<uint32_t>(hello.Int("epoch")), &proc, &err));

    auto open = [&](double cpus) {
        Fields f;
        f.Str("op", "class_open").Map("resources", [&](Fields &m) { m.Real("CPU", cpus); });
        return driver.Call(f);
    };
    Reply one = open(1), again = open(1), two = open(2), many = open(64);
    ASSERT_EQ(WR_OK, one.status) << one.err.text;
    EXPECT_EQ(1, one.Int("feasible"));
    EXPECT_EQ(one.Int("port"), again.Int("port"));
    EXPECT_EQ(one.Int("ring"), again.Int("ring"));
    EXPECT_NE(one.Int("port"), two.Int("port"));
    EXPECT_EQ(0, many.Int("feasible"));
    EXPECT_NE(std::string::npos, many.Str("reason").find("CPU=64")) << many.Str("reason");
    EXPECT_EQ(WR_E_INVALID, open(-1).status);

    /* What cannot run waits, and status says why. */
    wr_task_spec spec = {};
    spec.port = static_cast<uint16_t>(many.Int("port"));
    spec.ring = static_cast<uint32_t>(many.Int("ring"));
    wr_handle handle = 0;
    ASSERT_EQ(WR_OK, wr_proc_submit(proc, &spec, &handle, &err)) << err.text;
    Client tool(r.socket());
    ASSERT_EQ(WR_OK, tool.Hello(3).status);
    EXPECT_TRUE(Eventually([&] {
        Reply status = tool.Call("status");
        wr_record record = status.record();
        wr_record_value list, item;
        uint32_t cursor = 0;
        return wr_record_find(&record, "pending", &list) && wr_record_item(&list, &cursor, &item);
    }));
    wr_proc_detach(proc);
    wr_pool_close(pool);
}

TEST(RayletProcess, AWrongTokenIsRefusedAndDisturbsNobody) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client good(r.socket()), wrong(r.socket()), none(r.socket());
    ASSERT_EQ(WR_OK, good.Hello(3).status);
    Reply refused = wrong.Hello(3, "0123456789abcdef-of-another");
    EXPECT_EQ(WR_E_UNAUTHENTICATED, refused.status);
    EXPECT_NE(nullptr, strstr(refused.err.text, "wrong")) << refused.err.text;
    EXPECT_STRNE("", refused.err.hint);
    EXPECT_TRUE(wrong.HungUp());
    EXPECT_EQ(WR_E_UNAUTHENTICATED, none.Hello(3, "").status);
    EXPECT_EQ(WR_OK, good.Call("resources").status);
    EXPECT_EQ(std::string::npos, r.Log().find(kToken)) << "a token is never logged";
}

TEST(RayletProcess, NothingIsAnsweredBeforeHello) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client c(r.socket());
    EXPECT_EQ(WR_E_UNAUTHENTICATED, c.Call("status").status);
    EXPECT_TRUE(c.HungUp());
}

TEST(RayletProcess, AnotherLayoutOrProtocolIsRefusedWithBothNumbers) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client layout(r.socket()), protocol(r.socket());
    Reply a = layout.Hello(1, kToken, 77), b = protocol.Hello(3, kToken, WR_LAYOUT_VERSION, 9);
    EXPECT_EQ(WR_E_VERSION, a.status);
    EXPECT_NE(nullptr, strstr(a.err.text, "77")) << a.err.text;
    EXPECT_EQ(WR_E_VERSION, b.status);
}

TEST(RayletProcess, AMalformedFrameEndsOnlyItsConnection) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client good(r.socket());
    ASSERT_EQ(WR_OK, good.Hello(3).status);
    std::vector<std::string> bad = {
        std::string("\xff\xff\xff\xff", 4) + std::string(64, 'x'),         /* length */
        std::string("\x0c\0\0\0\x09\0\x01\0\0\0\0\0\0\0\0\0", 16),         /* type */
        std::string("\x0c\0\0\0\x01\0\x07\0\0\0\0\0\0\0\0\0", 16),         /* version */
        std::string("\x0e\0\0\0\x01\0\x01\0\x01\0\0\0\0\0\0\0\x05\0", 18), /* record */
        std::string("\x0e\0\0\0\x01\0\x01\0\x01\0\0\0\0\0\0\0\0\0", 18),   /* no op */
        std::string("\x0e\0\0\0\x02\0\x01\0\x01\0\0\0\0\0\0\0\0\0", 18)};  /* a reply */
    for (const std::string &bytes : bad) {
        for (bool greeted : {false, true}) {
            Client c(r.socket());
            if (greeted) {
                ASSERT_EQ(WR_OK, c.Hello(3).status);
            }
            c.Raw(bytes);
            EXPECT_TRUE(c.HungUp());
        }
        EXPECT_EQ(WR_OK, good.Call("resources").status);
    }
    Client slow(r.socket()); /* half a frame, and then nothing: nobody waits for it */
    slow.Raw(std::string("\x0e\0\0\0\x01", 5));
    EXPECT_EQ(WR_OK, good.Call("resources").status);
    EXPECT_EQ(WR_E_UNSUPPORTED, good.Call("no_such_op").status) << "an unknown op is an answer, not the end";
    EXPECT_EQ(WR_OK, good.Call("resources").status);
}

TEST(RayletProcess, AForeignUserCannotConnect) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "needs root to become another user";
    }
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    std::string socket = r.socket();
    pid_t child = fork();
    if (child == 0) {
        bool other = setgid(65534) == 0 && setuid(65534) == 0;
        wr_frame_conn *conn = nullptr;
        wr_status status = wr_frame_connect(socket.c_str(), UINT64_MAX, &conn, nullptr);
        _exit(other && status == WR_E_DENIED ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(child, waitpid(child, &status, 0));
    EXPECT_EQ(0, status);
}

TEST(RayletProcess, AWorkerOrForkServerThatNobodyStartedIsRefused) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client worker(r.socket()), server(r.socket());
    Fields f;
    f.Str("op", "hello")
        .Int("kind", 2)
        .Str("token", kToken)
        .Int("layout", WR_LAYOUT_VERSION)
        .Int("protocol", 1)
        .Bytes("cookie", std::string(16, 'c'));
    EXPECT_EQ(WR_E_DENIED, worker.Call(f).status);
    EXPECT_EQ(WR_E_DENIED, server.Hello(4).status);
}

TEST(RayletProcess, ADriverThatIsKilledReleasesItsSlotAndItsJob) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client tool(r.socket());
    ASSERT_EQ(WR_OK, tool.Hello(3).status);
    auto pool_value = [&](const char *name) {
        Reply status = tool.Call("status");
        wr_record pool = status.Map("pool");
        return wr_record_get_int(&pool, name, -1);
    };
    auto jobs = [&] {
        Reply status = tool.Call("status");
        wr_record counts = status.Map("counts");
        return wr_record_get_int(&counts, "jobs", -1);
    };
    int64_t slots = pool_value("slots"), ports = pool_value("ports");
    int ready[2];
    ASSERT_EQ(0, pipe(ready));
    pid_t child = fork();
    if (child == 0) {
        Client driver(r.socket());
        Reply hello = driver.HelloDriver();
        Fields f;
        f.Str("op", "class_open").Map("resources", [](Fields &m) { m.Real("CPU", 1); });
        char ok = hello.status == WR_OK && driver.Call(f).status == WR_OK ? 'y' : 'n';
        ssize_t ignored = write(ready[1], &ok, 1);
        (void)ignored;
        pause();
        _exit(0);
    }
    char ok = 0;
    ASSERT_EQ(1, read(ready[0], &ok, 1));
    close(ready[0]);
    close(ready[1]);
    EXPECT_EQ('y', ok);
    EXPECT_EQ(1, jobs());
    EXPECT_GT(pool_value("ports"), ports);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    EXPECT_TRUE(Eventually(
        [&] { return jobs() == 0 && pool_value("slots") == slots && pool_value("ports") == ports; }));
}

TEST(RayletProcess, TheGcsIsStartedAgainAndHasLostNothing) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client tool(r.socket());
    ASSERT_EQ(WR_OK, tool.Hello(3).status);
    for (int round = 0; round < 3; round++) {
        Fields put;
        put.Str("op", "kv_put")
            .Bytes("ns", "test")
            .Bytes("key", "k" + std::to_string(round))
            .Bytes("value", "v")
            .Int("overwrite", 1);
        ASSERT_EQ(WR_OK, tool.Call(put).status);
        pid_t gcs = static_cast<pid_t>(tool.Call("status").Int("gcs_pid"));
        ASSERT_EQ(0, kill(gcs, SIGKILL));
        EXPECT_TRUE(Eventually([&] {
            Reply status = tool.Call("status");
            return status.Int("gcs_pid") != gcs && status.Int("gcs_pid") > 0;
        }));
        Fields get;
        get.Str("op", "kv_get").Bytes("ns", "test").Bytes("key", "k" + std::to_string(round));
        Reply value = tool.Call(get);
        ASSERT_EQ(WR_OK, value.status) << value.err.text;
        EXPECT_EQ("v", value.Bytes("value"));
    }
    Client driver(r.socket());
    EXPECT_EQ(WR_OK, driver.HelloDriver().status) << "and jobs begin as before";
}

TEST(RayletProcess, AGcsThatCannotStartIsGivenUpWithAReason) {
    Raylet r({"--bin-dir", "/no/such/folder"});
    EXPECT_EQ(0u, r.ready.find("ERROR")) << r.ready;
    EXPECT_NE(std::string::npos, r.ready.find("GCS")) << r.ready;
}

TEST(RayletProcess, AFaultOfItsOwnLeavesALineInItsLogAndAReasonInThePool) {
    for (int number : {SIGSEGV, SIGABRT}) {
        Raylet r;
        ASSERT_EQ("OK", r.ready);
        Client driver(r.socket());
        Reply hello = driver.HelloDriver();
        ASSERT_EQ(WR_OK, hello.status) << hello.err.text;
        wr_pool *pool = nullptr;
        wr_error err = {};
        ASSERT_EQ(WR_OK, wr_pool_open(hello.fd, &pool, &err)) << err.text;
        ASSERT_EQ(0, kill(r.pid, number));
        int status = r.Wait();
        EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) != 0) << status;
        std::string name = std::string("SIG") + sigabbrev_np(number);
        EXPECT_NE(std::string::npos, r.Log().find("process.fault signal=" + name)) << r.Log();
        char why[WR_REASON_MAX];
        wr_pool_reason(pool, why);
        EXPECT_NE(nullptr, strstr(why, name.c_str())) << why;
        wr_pool_close(pool);
    }
}

TEST(RayletProcess, AGcsThatCrashesLeavesALineInItsLog) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client tool(r.socket());
    ASSERT_EQ(WR_OK, tool.Hello(3).status);
    pid_t gcs = static_cast<pid_t>(tool.Call("status").Int("gcs_pid"));
    ASSERT_EQ(0, kill(gcs, SIGSEGV));
    EXPECT_TRUE(Eventually([&] {
        Reply status = tool.Call("status");
        return status.Int("gcs_pid") != gcs && status.Int("gcs_pid") > 0;
    }));
    std::ifstream file(r.session + "/logs/gcs_server.log");
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_NE(std::string::npos, text.str().find("process.fault signal=SIGSEGV")) << text.str();
}

TEST(RayletProcess, DriversLearnWhyTheirClusterEnds) {
    auto reason_of = [](const std::function<void(Raylet &, Client &)> &end) {
        Raylet r;
        EXPECT_EQ("OK", r.ready);
        Client driver(r.socket()), tool(r.socket());
        Reply hello = driver.HelloDriver();
        EXPECT_EQ(WR_OK, hello.status) << hello.err.text;
        EXPECT_EQ(WR_OK, tool.Hello(3).status);
        wr_pool *pool = nullptr;
        EXPECT_EQ(WR_OK, wr_pool_open(hello.fd, &pool, nullptr));
        end(r, tool);
        r.Wait();
        char why[WR_REASON_MAX];
        wr_pool_reason(pool, why);
        wr_pool_close(pool);
        return std::string(why);
    };
    EXPECT_EQ("the cluster was ended by `whipray stop`",
              reason_of([](Raylet &, Client &tool) { (void)tool.Call("shutdown"); }));
    EXPECT_EQ("its owner has ended", reason_of([](Raylet &r, Client &) { r.EndOwner(); }));
    EXPECT_EQ("its raylet was ended by SIGTERM",
              reason_of([](Raylet &r, Client &) { kill(r.pid, SIGTERM); }));
    EXPECT_EQ("", reason_of([](Raylet &r, Client &) { kill(r.pid, SIGKILL); }));
    std::string gcs = reason_of([](Raylet &, Client &tool) {
        pid_t last = 0;
        EXPECT_TRUE(Eventually([&] {
            Reply status = tool.Call("status");
            pid_t pid = static_cast<pid_t>(status.Int("gcs_pid", 0));
            if (status.status == WR_OK && pid > 0 && pid != last) {
                kill(pid, SIGKILL);
                last = pid;
            }
            return status.status != WR_OK;
        }));
    });
    EXPECT_EQ(0u, gcs.find("the GCS ended 6 times within a minute; the last time: ")) << gcs;
    EXPECT_NE(std::string::npos, gcs.find("SIGKILL")) << gcs;
}

// A folder with a whipray-gcs that runs `script`.
struct FakeGcs {
    explicit FakeGcs(const std::string &script) {
        char name[] = "/tmp/wrgcsXXXXXX";
        EXPECT_NE(nullptr, mkdtemp(name));
        dir = name;
        std::ofstream(dir + "/whipray-gcs") << "#!/bin/sh\ncd " << dir << "\n" << script;
        EXPECT_EQ(0, chmod((dir + "/whipray-gcs").c_str(), 0700));
    }
    ~FakeGcs() {
        std::filesystem::remove_all(dir);
    }
    FakeGcs(const FakeGcs &) = delete;
    FakeGcs &operator=(const FakeGcs &) = delete;
    std::string dir;
};

TEST(RayletProcess, AGcsThatFailsForAMomentIsStartedAgainAfterGrowingPauses) {
    FakeGcs gcs("echo try >>tries\n"
                "[ $(wc -l <tries) -gt 3 ] || { echo no room >&2; exit 1; }\n"
                "exec " WHIPRAY_BIN "/whipray-gcs \"$@\"\n");
    Raylet r({"--bin-dir", gcs.dir});
    EXPECT_EQ("OK", r.ready);
    for (const char *pause : {"pause_ms=0 ", "pause_ms=100 ", "pause_ms=500 "}) {
        EXPECT_NE(std::string::npos, r.Log().find(pause)) << pause;
    }
}

TEST(RayletProcess, WhoStartsAClusterReadsTheLastLinesOfItsGcs) {
    FakeGcs gcs("echo 'gcs store: no space left on device' >&2\nexit 1\n");
    Raylet r({"--bin-dir", gcs.dir});
    EXPECT_EQ(0u, r.ready.find("ERROR the GCS ended 6 times within a minute")) << r.ready;
    EXPECT_NE(std::string::npos, r.ready.find("gcs store: no space left on device")) << r.ready;
}

pid_t GcsOf(Client &tool) {
    return static_cast<pid_t>(tool.Call("status").Int("gcs_pid", 0));
}

TEST(RayletProcess, OnlyAGcsThatHangsByItselfIsKilledAndStartedAgain) {
    Raylet r({"--config", "gcs_silence_ms=2000"}), stopped({"--config", "gcs_silence_ms=2000"}),
        traced({"--config", "gcs_silence_ms=2000"});
    ASSERT_EQ("OK", r.ready);
    ASSERT_EQ("OK", stopped.ready);
    ASSERT_EQ("OK", traced.ready);
    Client tool(r.socket()), other(stopped.socket()), debugger(traced.socket());
    ASSERT_EQ(WR_OK, tool.Hello(3).status);
    ASSERT_EQ(WR_OK, other.Hello(3).status);
    ASSERT_EQ(WR_OK, debugger.Hello(3).status);
    pid_t gcs = GcsOf(tool), others = GcsOf(other), held = GcsOf(debugger);
    bool may_trace = ptrace(PTRACE_ATTACH, held, nullptr, nullptr) == 0; /* not in every container */
    ASSERT_EQ(0, kill(stopped.pid, SIGSTOP));
    ASSERT_EQ(0, kill(gcs, SIGSTOP));
    EXPECT_TRUE(Eventually([&] { return GcsOf(tool) != gcs && GcsOf(tool) > 0; }));
    EXPECT_NE(std::string::npos, r.Log().find("did not answer for 2 s and was killed")) << r.Log();
    Client driver(r.socket());
    EXPECT_EQ(WR_OK, driver.HelloDriver().status) << "all goes on";
    if (may_trace) {
        EXPECT_EQ(held, waitpid(held, nullptr, __WALL));
        EXPECT_EQ(held, GcsOf(debugger)) << "a debugger holds it";
        EXPECT_EQ(0, ptrace(PTRACE_DETACH, held, nullptr, nullptr));
    }
    /* As long as that the other raylet has not run, nor heard of its GCS. */
    ASSERT_EQ(0, kill(stopped.pid, SIGCONT));
    Client another(stopped.socket());
    EXPECT_EQ(WR_OK, another.HelloDriver().status);
    EXPECT_EQ(others, GcsOf(other));
    EXPECT_EQ(std::string::npos, stopped.Log().find("gcs.hangs")) << stopped.Log();
}

TEST(RayletProcess, ADriverWhoseJobTheGcsDoesNotBeginReadsThatItHangs) {
    Raylet r({"--config", "gcs_silence_ms=1000000"});
    ASSERT_EQ("OK", r.ready);
    Client tool(r.socket()), driver(r.socket());
    ASSERT_EQ(WR_OK, tool.Hello(3).status);
    auto slots = [&] {
        Reply status = tool.Call("status");
        wr_record pool = status.Map("pool");
        return wr_record_get_int(&pool, "slots", -1);
    };
    int64_t before = slots();
    pid_t gcs = GcsOf(tool);
    ASSERT_EQ(0, kill(gcs, SIGSTOP));
    Reply hello = driver.HelloDriver();
    EXPECT_EQ(WR_E_UNAVAILABLE, hello.status);
    EXPECT_EQ("the GCS (pid " + std::to_string(gcs) + ") does not answer", hello.err.text);
    EXPECT_TRUE(driver.HungUp());
    EXPECT_TRUE(Eventually([&] { return slots() == before; })) << "it leaves nothing";
    ASSERT_EQ(0, kill(gcs, SIGCONT));
    Client again(r.socket());
    EXPECT_EQ(WR_OK, again.HelloDriver().status);
}

TEST(RayletProcess, ConnectionsThatOweTheirHelloOrHalfAFrameAreClosed) {
    Raylet r({"--config", "hello_timeout_ms=300"});
    ASSERT_EQ("OK", r.ready);
    Client good(r.socket()), silent(r.socket()), half(r.socket()), tool(r.socket()), driver(r.socket());
    ASSERT_EQ(WR_OK, good.Hello(3).status);
    ASSERT_EQ(WR_OK, tool.Hello(3).status);
    ASSERT_EQ(WR_OK, driver.HelloDriver().status);
    driver.Raw(std::string("\x0e\0\0\0\x01", 5)); /* as one that a debugger has stopped */
    half.Raw(std::string("\x0e\0\0\0\x01", 5));
    tool.Raw(std::string("\x0e\0\0\0\x01", 5));
    EXPECT_TRUE(silent.HungUp());
    EXPECT_TRUE(half.HungUp());
    EXPECT_TRUE(tool.HungUp());
    EXPECT_EQ(WR_OK, good.Call("resources").status) << "who owes nothing stays";
    Reply status = good.Call("status");
    wr_record counts = status.Map("counts");
    EXPECT_EQ(1, wr_record_get_int(&counts, "jobs", -1)) << "and so do drivers";
}

TEST(RayletProcess, AClusterWhoseSocketWasRemovedEndsAndSaysWhy) {
    Raylet r;
    ASSERT_EQ("OK", r.ready);
    Client driver(r.socket());
    Reply hello = driver.HelloDriver();
    ASSERT_EQ(WR_OK, hello.status);
    wr_pool *pool = nullptr;
    ASSERT_EQ(WR_OK, wr_pool_open(hello.fd, &pool, nullptr));
    std::filesystem::remove_all(r.session + "/sockets");
    int status = r.Wait();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    char why[WR_REASON_MAX];
    wr_pool_reason(pool, why);
    EXPECT_NE(nullptr, strstr(why, "was removed")) << why;
    wr_pool_close(pool);
}

TEST(RayletProcess, AStoreBeyondTheMachinesMemoryIsRefusedByName) {
    Raylet r({"--object-store-memory", "1000000000000000"});
    EXPECT_EQ(0u, r.ready.find("ERROR object_store_memory")) << r.ready;
}

TEST(RayletProcess, NonsenseInOptionsIsRefusedByName) {
    Raylet cpus({"--num-cpus", "many"}), resources({"--resources", "a=b"});
    EXPECT_NE(std::string::npos, cpus.ready.find("num-cpus")) << cpus.ready;
    EXPECT_EQ(0u, resources.ready.find("ERROR")) << resources.ready;
}

TEST(RayletProcess, UsedUpDescriptorsMakeNewcomersWaitAndDisturbNobodyElse) {
    Raylet r({}, 64);
    ASSERT_EQ("OK", r.ready);
    Client good(r.socket());
    ASSERT_EQ(WR_OK, good.Hello(3).status);
    {
        std::vector<std::unique_ptr<Client>> crowd;
        for (int i = 0; i < 100; i++) {
            crowd.push_back(std::make_unique<Client>(r.socket()));
        }
        EXPECT_TRUE(Eventually([&] { return r.Log().find("no_descriptors") != std::string::npos; }));
        EXPECT_EQ(WR_OK, good.Call("resources").status);
    }
    Client late(r.socket());
    EXPECT_EQ(WR_OK, late.Hello(3).status);
}

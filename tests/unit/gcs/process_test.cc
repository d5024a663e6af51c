// The GCS as a process: over plaintext and over TLS, and through SIGKILLs.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "gcs_process.h"
#include "proxy.h"

namespace {

std::string ClassKey(const char *resources, uint32_t job = 0) {
    wr_res_names names;
    EXPECT_EQ(WR_OK, wr_res_names_init(&names, nullptr));
    auto cls = std::make_unique<wr_class>();
    memset(cls.get(), 0, sizeof *cls);
    cls->job = job;
    EXPECT_EQ(WR_OK, wr_res_parse(&names, wr_span_text(resources), &cls->resources, nullptr));
    std::string key(WR_CLASS_KEY_MAX, 0);
    uint32_t bytes = 0;
    EXPECT_EQ(WR_OK, wr_class_encode(cls.get(), &names, reinterpret_cast<uint8_t *>(key.data()), key.size(),
                                     &bytes, nullptr));
    key.resize(bytes);
    wr_res_names_done(&names);
    return key;
}

wr_actor_id ActorId(uint32_t inc, uint64_t number) {
    wr_actor_id id = {};
    memcpy(id.bytes, &inc, 4);
    memcpy(id.bytes + 8, &number, 8);
    return id;
}

wr_cluster_msg NewActor(const wr_actor_id &id, const std::string &name, const std::string &cls) {
    wr_cluster_msg m = {};
    m.type = WR_MSG_NEW;
    m.u.new_actor.spec.actor = id;
    m.u.new_actor.spec.name = Span(name);
    m.u.new_actor.spec.name_space = wr_span_text("ns");
    m.u.new_actor.spec.class_name = wr_span_text("Counter");
    m.u.new_actor.spec.cls = Span(cls);
    m.u.new_actor.spec.spec = wr_span_text("opaque bytes");
    return m;
}

bool IsAckOf(const wr_cluster_msg &m, const wr_actor_id &id) {
    return memcmp(&m.u.ack.actor, &id, sizeof id) == 0;
}

class GcsTest : public testing::TestWithParam<bool> {
  protected:
    void SetUp() override {
        gcs_ = std::make_unique<GcsProcess>(GetParam());
        if (!gcs_->Usable()) {
            GTEST_SKIP() << "no openssl command to make certificates with";
        }
        ASSERT_TRUE(gcs_->Start()) << gcs_->Stderr();
    }
    std::unique_ptr<GcsProcess> gcs_;
};

TEST_P(GcsTest, KeysAreKeptAndFound) {
    TestLink link(*gcs_, false);
    std::string value;
    bool added = false;
    EXPECT_EQ(WR_OK, link.Put("a", "1", true, &added));
    EXPECT_TRUE(added);
    EXPECT_EQ(WR_OK, link.Put("a", "2", false, &added));
    EXPECT_FALSE(added);
    EXPECT_EQ(WR_OK, link.Get("a", &value));
    EXPECT_EQ("1", value);
    EXPECT_EQ(WR_OK, link.Put("a", std::string("\0x\xff", 3)));
    EXPECT_EQ(WR_OK, link.Get("a", &value));
    EXPECT_EQ(std::string("\0x\xff", 3), value);
    EXPECT_EQ(WR_E_NOT_FOUND, link.Get("b", &value));
    EXPECT_EQ(WR_OK, link.Put("", ""));
    EXPECT_EQ(WR_OK, link.Get("", &value));
    EXPECT_EQ("", value);
}

TEST_P(GcsTest, ListsAndDeletesByPrefixWithinANamespace) {
    TestLink link(*gcs_, false);
    for (const char *key : {"x1", "x2", "y1"}) {
        ASSERT_EQ(WR_OK, link.Put(key, "v"));
    }
    wr_gcs_request other = TestLink::Request(WR_GCS_KV_PUT, "x3");
    other.name_space = wr_span_text("other");
    wr_gcs_response *out = nullptr;
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &other, &out, nullptr));
    wr_gcs_response_free(out);

    wr_gcs_request list = TestLink::Request(WR_GCS_KV_LIST, "x");
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &list, &out, nullptr));
    ASSERT_EQ(2u, out->key_count);
    EXPECT_EQ("x1", Text(out->keys[0]));
    EXPECT_EQ("x2", Text(out->keys[1]));
    wr_gcs_response_free(out);

    wr_gcs_request del = TestLink::Request(WR_GCS_KV_DEL, "x");
    del.prefix = true;
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &del, &out, nullptr));
    EXPECT_EQ(2u, out->count);
    wr_gcs_response_free(out);
    del.prefix = false;
    del.key = wr_span_text("y1");
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &del, &out, nullptr));
    EXPECT_EQ(1u, out->count);
    wr_gcs_response_free(out);
    wr_gcs_request exists = TestLink::Request(WR_GCS_KV_EXISTS, "y1");
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &exists, &out, nullptr));
    EXPECT_FALSE(out->added);
    wr_gcs_response_free(out);
    exists.name_space = wr_span_text("other");
    exists.key = wr_span_text("x3");
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &exists, &out, nullptr));
    EXPECT_TRUE(out->added);
    wr_gcs_response_free(out);
}

TEST_P(GcsTest, AFunctionOfTenMegabytesComesBackWhole) {
    TestLink link(*gcs_, false);
    std::string body(10 << 20, 'f');
    body[12345] = 0;
    wr_gcs_request put = TestLink::Request(WR_GCS_FUNCTION_PUT, "id");
    put.value = Span(body);
    wr_gcs_response *out = nullptr;
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &put, &out, nullptr));
    wr_gcs_response_free(out);
    wr_gcs_request get = TestLink::Request(WR_GCS_FUNCTION_GET, "id");
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &get, &out, nullptr));
    EXPECT_EQ(body, Text(out->value));
    wr_gcs_response_free(out);
}

TEST_P(GcsTest, AWrongTokenIsUnauthenticatedForCallsAndStreams) {
    TestLink link(*gcs_, true, "wrong-token-of-the-same-kind");
    std::string value;
    EXPECT_EQ(WR_E_UNAUTHENTICATED, link.Get("a", &value));
    EXPECT_TRUE(link.WaitLost(WR_E_UNAUTHENTICATED));
    EXPECT_EQ(0u, link.epoch());
}

TEST_P(GcsTest, ANamedActorIsPlacedStartedAndFound) {
    TestLink link(*gcs_, true);
    ASSERT_TRUE(link.WaitEpochs(1));
    ASSERT_TRUE(link.Join());
    std::string cls = ClassKey("CPU=1");
    wr_actor_id id = ActorId(link.inc, 7);
    ASSERT_EQ(WR_OK, link.Send(NewActor(id, "counter", cls)));
    wr_cluster_msg *ack = link.Take(WR_MSG_ACK);
    ASSERT_NE(nullptr, ack);
    EXPECT_EQ(WR_OK, static_cast<wr_status>(ack->u.ack.status));
    wr_cluster_msg_free(ack);
    wr_cluster_msg *start = link.Take(WR_MSG_START);
    ASSERT_NE(nullptr, start);
    EXPECT_EQ(1u, start->u.start.n);
    EXPECT_EQ("opaque bytes", Text(start->u.start.spec.spec));
    wr_cluster_msg_free(start);
    wr_cluster_msg started = {};
    started.type = WR_MSG_STARTED;
    started.u.started = {id, 1, 4711};
    ASSERT_EQ(WR_OK, link.Send(started));
    wr_cluster_msg *act = link.Take(WR_MSG_ACT);
    ASSERT_NE(nullptr, act);
    EXPECT_EQ(WR_ACTOR_ALIVE, static_cast<wr_actor_state>(act->u.act.state));
    EXPECT_EQ(link.inc, act->u.act.node);
    wr_cluster_msg_free(act);

    wr_cluster_msg ask = {};
    ask.type = WR_MSG_NAME_GET;
    ask.u.name_get = {99, wr_span_text("ns"), wr_span_text("counter")};
    ASSERT_EQ(WR_OK, link.Send(ask));
    wr_cluster_msg *is = link.Take(WR_MSG_NAME_IS);
    ASSERT_NE(nullptr, is);
    EXPECT_TRUE(is->u.name_is.found);
    EXPECT_EQ(4711u, is->u.name_is.actor.pid);
    EXPECT_EQ("opaque bytes", Text(is->u.name_is.actor.spec.spec));
    wr_cluster_msg_free(is);

    wr_gcs_request actors = TestLink::Request(WR_GCS_ACTORS, "");
    wr_gcs_response *out = nullptr;
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &actors, &out, nullptr));
    ASSERT_EQ(1u, out->actor_count);
    EXPECT_EQ("counter", Text(out->actors[0].spec.name));
    wr_gcs_response_free(out);
    wr_gcs_request nodes = TestLink::Request(WR_GCS_NODES, "");
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &nodes, &out, nullptr));
    ASSERT_EQ(1u, out->node_count);
    EXPECT_EQ("CPU=4", Text(out->nodes[0].info.resources));
    wr_gcs_response_free(out);
}

TEST_P(GcsTest, OneThousandActorsPassThroughPipelined) {
    TestLink link(*gcs_, true);
    ASSERT_TRUE(link.WaitEpochs(1));
    ASSERT_TRUE(link.Join());
    std::string cls = ClassKey("");
    const uint64_t n = 1000;
    wr_time_ns begin = wr_clock_ns();
    for (uint64_t i = 0; i < n; i++) {
        ASSERT_EQ(WR_OK, link.Send(NewActor(ActorId(link.inc, i), "", cls)));
    }
    for (uint64_t i = 0; i < n; i++) {
        wr_cluster_msg *start = link.Take(WR_MSG_START);
        ASSERT_NE(nullptr, start);
        wr_cluster_msg started = {};
        started.type = WR_MSG_STARTED;
        started.u.started = {start->u.start.spec.actor, start->u.start.n, 1};
        wr_cluster_msg_free(start);
        ASSERT_EQ(WR_OK, link.Send(started));
    }
    for (uint64_t i = 0; i < n; i++) {
        ASSERT_TRUE(link.TakeAndFree(
            WR_MSG_ACT, [](const wr_cluster_msg &m) { return m.u.act.state == WR_ACTOR_ALIVE; }));
    }
    printf("%.0f actors/s\n", static_cast<double>(n) * 1e9 / static_cast<double>(wr_clock_ns() - begin));

    begin = wr_clock_ns();
    for (uint64_t i = 0; i < 200; i++) {
        wr_actor_id id = ActorId(link.inc, n + i);
        std::string name = "named" + std::to_string(i);
        ASSERT_EQ(WR_OK, link.Send(NewActor(id, name, cls)));
        ASSERT_TRUE(link.TakeAndFree(WR_MSG_ACK, [&](const wr_cluster_msg &m) { return IsAckOf(m, id); }));
    }
    printf("%.0f us per named registration, one at a time\n",
           static_cast<double>(wr_clock_ns() - begin) / 200e3);
}

// Each acknowledged put and registration is found after 20 SIGKILLs, the node's session goes on by REREG, and what was not
// acknowledged is asked for again until it is.
TEST_P(GcsTest, NothingAcknowledgedIsLostToTwentyKills) {
    constexpr int kKills = 20;
    std::atomic<bool> stop{false};
    std::mutex mutex;
    std::condition_variable wake;
    int puts = 0;
    std::map<std::string, std::string> kept;
    std::thread putter([&] {
        TestLink link(*gcs_, false);
        for (int i = 0; !stop; i++) {
            std::string key = "key" + std::to_string(i % 500), value = "value" + std::to_string(i);
            wr_gcs_request r = TestLink::Request(WR_GCS_KV_PUT, key);
            r.value = Span(value);
            r.overwrite = true;
            wr_gcs_response *out = nullptr;
            if (wr_gcs_link_call_wait(link.get(), &r, &out, nullptr) == WR_OK) {
                kept[key] = value;
            }
            wr_gcs_response_free(out);
            std::lock_guard<std::mutex> lock(mutex);
            puts++;
            wake.notify_all();
        }
    });

    TestLink link(*gcs_, true);
    ASSERT_TRUE(link.WaitEpochs(1));
    ASSERT_TRUE(link.Join("CPU=4,slot=1000000"));
    std::string cls = ClassKey("slot=0.001");
    std::vector<wr_hosted> hosted;
    std::set<uint64_t> acked;
    uint64_t next = 0;
    std::mt19937 random(7);
    auto host_all_starts = [&] { // what a raylet does: it remembers (actor, n), and says STARTED
        while (wr_cluster_msg *start = link.TryTake(WR_MSG_START)) {
            wr_hosted h = {start->u.start.spec.actor, start->u.start.n, true, 1};
            bool known = false;
            for (auto &old : hosted) {
                known |= memcmp(&old.actor, &h.actor, sizeof h.actor) == 0;
            }
            if (!known) {
                hosted.push_back(h);
            }
            wr_cluster_msg started = {};
            started.type = WR_MSG_STARTED;
            started.u.started = {h.actor, h.n, 1};
            EXPECT_EQ(WR_OK, link.Send(started));
            wr_cluster_msg_free(start);
        }
    };
    int kills = 0;
    for (; kills < kKills; kills++) {
        int acks_before_kill = 5 + static_cast<int>(random() % 20);
        std::set<uint64_t> open;
        for (int k = 0; k < 40; k++) {
            open.insert(next);
            ASSERT_EQ(WR_OK,
                      link.Send(NewActor(ActorId(link.inc, next), "actor" + std::to_string(next), cls)));
            next++;
        }
        bool killed = false;
        int epochs = link.new_epochs();
        while (!open.empty()) {
            wr_cluster_msg *ack = killed ? link.TryTake(WR_MSG_ACK) : link.Take(WR_MSG_ACK);
            if (ack != nullptr) {
                uint64_t number;
                memcpy(&number, ack->u.ack.actor.bytes + 8, 8);
                EXPECT_EQ(WR_OK, static_cast<wr_status>(ack->u.ack.status)) << Text(ack->u.ack.text);
                acked.insert(number);
                open.erase(number);
                wr_cluster_msg_free(ack);
                host_all_starts();
            }
            if (!killed && (--acks_before_kill <= 0 || open.empty())) {
                { // in the middle of a stream of puts
                    std::unique_lock<std::mutex> lock(mutex);
                    int enough = puts + 5;
                    wake.wait_for(lock, std::chrono::seconds(20), [&] { return puts >= enough; });
                }
                gcs_->Kill();
                killed = true;
                ASSERT_TRUE(gcs_->Start()) << gcs_->Stderr();
                ASSERT_TRUE(link.WaitEpochs(epochs + 1));
                host_all_starts();
                ASSERT_TRUE(link.Rereg(hosted));
                while (wr_cluster_msg *old =
                           link.TryTake(WR_MSG_ACK)) { // of the last epoch, delivered just before
                    uint64_t number;
                    memcpy(&number, old->u.ack.actor.bytes + 8, 8);
                    acked.insert(number);
                    open.erase(number);
                    wr_cluster_msg_free(old);
                }
                for (uint64_t number : open) { // open wishes again
                    ASSERT_EQ(WR_OK, link.Send(NewActor(ActorId(link.inc, number),
                                                        "actor" + std::to_string(number), cls)));
                }
            } else if (ack == nullptr) {
                ASSERT_TRUE(link.WaitAny(WR_MSG_ACK));
            }
        }
    }
    stop = true;
    putter.join();
    EXPECT_EQ(kKills, kills);
    EXPECT_EQ(static_cast<size_t>(next), acked.size());
    EXPECT_GE(puts, 5 * kKills);
    for (auto &[key, value] : kept) {
        std::string found;
        ASSERT_EQ(WR_OK, link.Get(key, &found));
        EXPECT_EQ(value, found);
    }
    for (uint64_t number : acked) {
        wr_cluster_msg ask = {};
        ask.type = WR_MSG_NAME_GET;
        std::string name = "actor" + std::to_string(number);
        ask.u.name_get = {number + 1, wr_span_text("ns"), Span(name)};
        ASSERT_EQ(WR_OK, link.Send(ask));
        wr_cluster_msg *is = link.Take(
            WR_MSG_NAME_IS, [&](const wr_cluster_msg &m) { return m.u.name_is.query == number + 1; });
        ASSERT_NE(nullptr, is);
        EXPECT_TRUE(is->u.name_is.found) << name;
        EXPECT_EQ(number, [&] {
            uint64_t n;
            memcpy(&n, is->u.name_is.actor.spec.actor.bytes + 8, 8);
            return n;
        }());
        wr_cluster_msg_free(is);
    }
    EXPECT_EQ(static_cast<uint64_t>(kKills) + 1, link.epoch());
    printf("%d kills, %d puts, %zu actors\n", kills, puts, acked.size());
}

TEST_P(GcsTest, TerminationIsClean) {
    TestLink link(*gcs_, true);
    ASSERT_TRUE(link.WaitEpochs(1));
    EXPECT_EQ(0, gcs_->Terminate()) << gcs_->Stderr();
}

TEST_P(GcsTest, OneNonceIsOneJob) {
    TestLink link(*gcs_, true);
    ASSERT_TRUE(link.WaitEpochs(1));
    ASSERT_TRUE(link.Join());
    wr_cluster_msg start = {};
    start.type = WR_MSG_JOB_START;
    start.u.job_start.nonce.bytes[0] = 5;
    for (int i = 0; i < 2; i++) {
        ASSERT_EQ(WR_OK, link.Send(start));
        wr_cluster_msg *started = link.Take(WR_MSG_JOB_STARTED);
        ASSERT_NE(nullptr, started);
        EXPECT_EQ(1u, started->u.job_started.job);
        wr_cluster_msg_free(started);
    }
}

TEST(GcsProgramTest, AStoreOfAnotherSchemaIsRefusedWithAClearMessage) {
    GcsProcess gcs;
    ASSERT_TRUE(gcs.Start()) << gcs.Stderr();
    ASSERT_EQ(0, gcs.Terminate());
    sqlite3 *db = nullptr;
    ASSERT_EQ(SQLITE_OK, sqlite3_open((gcs.dir() + "/gcs.sqlite").c_str(), &db));
    ASSERT_EQ(SQLITE_OK, sqlite3_exec(db, "PRAGMA user_version = 77", nullptr, nullptr, nullptr));
    sqlite3_close(db);
    EXPECT_FALSE(gcs.Start());
    EXPECT_NE(std::string::npos, gcs.Stderr().find("schema version 77")) << gcs.Stderr();
}

TEST(GcsProgramTest, AFileThatIsNoDatabaseIsRefusedAndLeftAlone) {
    GcsProcess gcs;
    std::string text(8192, 'x');
    WriteFile(gcs.dir() + "/gcs.sqlite", text);
    EXPECT_FALSE(gcs.Start());
    EXPECT_NE(std::string::npos, gcs.Stderr().find("not a database")) << gcs.Stderr();
    std::ifstream file(gcs.dir() + "/gcs.sqlite");
    EXPECT_EQ(text, std::string(std::istreambuf_iterator<char>(file), {}));
}

TEST(GcsProgramTest, TwoProcessesCannotShareAStore) {
    GcsProcess gcs;
    ASSERT_TRUE(gcs.Start()) << gcs.Stderr();
    GcsProcess second;
    EXPECT_FALSE(second.Start({"--storage", gcs.dir() + "/gcs.sqlite"}));
    EXPECT_NE(std::string::npos, second.Stderr().find("another process has the file")) << second.Stderr();
}

TEST(GcsProgramTest, AFullStoreRefusesWritesByNameGoesOnReadingAndHeals) {
    GcsProcess gcs;
    setenv("WHIPRAY_GCS_STORE_PAGES_MAX", "100", 1);
    bool started = gcs.Start();
    unsetenv("WHIPRAY_GCS_STORE_PAGES_MAX");
    ASSERT_TRUE(started) << gcs.Stderr();
    TestLink link(gcs, true);
    ASSERT_TRUE(link.WaitEpochs(1));
    ASSERT_TRUE(link.Join());
    std::string value(20000, 'x'), small(100, 'y'), read;
    int kept = 0;
    wr_status status = WR_OK;
    for (; kept < 1000 && (status = link.Put("key" + std::to_string(kept), value)) == WR_OK; kept++) {
    }
    EXPECT_EQ(WR_E_IO, status);
    ASSERT_GT(kept, 5);
    EXPECT_EQ(WR_E_NOT_FOUND, link.Get("key" + std::to_string(kept), &read)) << "nothing is half there";
    for (int k = 0; k < kept; k++) {
        ASSERT_EQ(WR_OK, link.Get("key" + std::to_string(k), &read));
        ASSERT_EQ(value, read);
    }
    int filler = 0; // the last free pages
    while (link.Put("small" + std::to_string(filler), small) == WR_OK) {
        filler++;
    }
    wr_gcs_request r = TestLink::Request(WR_GCS_KV_PUT, "one more");
    r.value = Span(value);
    wr_gcs_response *out = nullptr;
    wr_error err = {};
    EXPECT_EQ(WR_E_IO, wr_gcs_link_call_wait(link.get(), &r, &out, &err));
    EXPECT_NE(nullptr, strstr(err.text, "full")) << err.text;

    // Actors: what came before anybody knew waits for its record; then they are refused with the reason.
    std::string cls = ClassKey("CPU=0.001");
    wr_status said = WR_OK;
    uint64_t number = 0;
    for (; said == WR_OK && number < 10000; number++) {
        wr_actor_id id = ActorId(link.inc, 100 + number);
        ASSERT_EQ(WR_OK, link.Send(NewActor(id, "actor" + std::to_string(number), cls)));
        wr_cluster_msg *ack =
            link.TakeWithin(WR_MSG_ACK, 1, [&](const wr_cluster_msg &m) { return IsAckOf(m, id); });
        said = ack == nullptr ? WR_OK : static_cast<wr_status>(ack->u.ack.status);
        if (said != WR_OK) {
            EXPECT_NE(std::string::npos, Text(ack->u.ack.text).find("full")) << Text(ack->u.ack.text);
        }
        wr_cluster_msg_free(ack);
    }
    EXPECT_EQ(WR_E_IO, said);
    EXPECT_EQ(WR_OK, link.Get("key0", &read));

    // Room again: what waited is stored and acknowledged, and writes are taken.
    wr_actor_id waited = ActorId(link.inc, 100 + number - 2);
    wr_gcs_request all = TestLink::Request(WR_GCS_KV_DEL, "key");
    all.prefix = true;
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &all, &out, nullptr));
    EXPECT_EQ(static_cast<uint64_t>(kept), out->count);
    wr_gcs_response_free(out);
    ASSERT_TRUE(link.TakeAndFree(
        WR_MSG_ACK, [&](const wr_cluster_msg &m) { return IsAckOf(m, waited) && m.u.ack.status == WR_OK; }));
    EXPECT_EQ(WR_OK, link.Put("key0", small));

    // And all of it is durable.
    gcs.Kill();
    ASSERT_TRUE(gcs.Start());
    ASSERT_TRUE(link.WaitEpochs(2));
    ASSERT_TRUE(link.Rereg());
    ASSERT_EQ(WR_OK, link.Get("key0", &read));
    EXPECT_EQ(small, read);
    wr_gcs_request actors = TestLink::Request(WR_GCS_ACTORS, "");
    ASSERT_EQ(WR_OK, wr_gcs_link_call_wait(link.get(), &actors, &out, nullptr));
    bool found = false;
    for (uint32_t i = 0; i < out->actor_count; i++) {
        found |= memcmp(&out->actors[i].spec.actor, &waited, sizeof waited) == 0;
    }
    EXPECT_TRUE(found);
    EXPECT_EQ(number - 1, out->actor_count) << "the refused one is not there";
    wr_gcs_response_free(out);
}

TEST(GcsProgramTest, ItEndsWithTheProcessThatStartedIt) {
    GcsProcess gcs;
    std::string pid_file = gcs.dir() + "/pid";
    // A shell starts it in the background, waits until it listens, and ends.
    std::string command = std::string(WR_GCS_PROGRAM) + " --die-with-parent --session-dir " + gcs.dir() +
                          " --token-file " + gcs.dir() + "/token --listen unix:" + gcs.dir() +
                          "/s --port-file " + gcs.dir() + "/port & echo $! > " + pid_file +
                          "; while [ ! -s " + gcs.dir() + "/port ]; do sleep 0.02; done";
    ASSERT_EQ(0, std::system(command.c_str()));
    pid_t pid = 0;
    std::ifstream(pid_file) >> pid;
    ASSERT_GT(pid, 0);
    bool ended = false;
    for (int i = 0; i < 500 && !ended; i++) { // bounded: 10 s
        ended = kill(pid, 0) != 0 || [&] {    // or a zombie that nobody reaps
            std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
            std::string text(std::istreambuf_iterator<char>(stat), {});
            return text.find(") Z") != std::string::npos;
        }();
        usleep(20000);
    }
    EXPECT_TRUE(ended);
    if (!ended) {
        kill(pid, SIGKILL);
    }
}

TEST(GcsProgramTest, WrongOptionsAreNamed) {
    GcsProcess gcs;
    gcs.Spawn({WR_GCS_PROGRAM, "--listen", "127.0.0.1:0"});
    EXPECT_NE(0, gcs.Wait());
    EXPECT_NE(std::string::npos, gcs.Stderr().find("--token-file"));
    WriteFile(gcs.dir() + "/short", "abc");
    gcs.Spawn({WR_GCS_PROGRAM, "--session-dir", gcs.dir(), "--token-file", gcs.dir() + "/short"});
    EXPECT_NE(0, gcs.Wait());
    EXPECT_NE(std::string::npos, gcs.Stderr().find("16 to 512"));
}

TEST(GcsProgramTest, APlaintextLinkToATlsServerIsUnavailable) {
    GcsProcess gcs(true);
    if (!gcs.Usable()) {
        GTEST_SKIP() << "no openssl command to make certificates with";
    }
    ASSERT_TRUE(gcs.Start()) << gcs.Stderr();
    wr_gcs_link_opts opts = {};
    std::string target = gcs.target();
    opts.target = target.c_str();
    opts.credentials.token = GcsProcess::kToken;
    wr_gcs_link *link = nullptr;
    ASSERT_EQ(WR_OK, wr_gcs_link_open(&opts, &link, nullptr));
    wr_gcs_request r = TestLink::Request(WR_GCS_HEALTH, "");
    r.timeout_ns = kSecond;
    wr_gcs_response *out = nullptr;
    wr_status status = wr_gcs_link_call_wait(link, &r, &out, nullptr);
    EXPECT_TRUE(status == WR_E_UNAVAILABLE || status == WR_E_TIMEOUT) << wr_status_name(status);
    wr_gcs_link_close(link);
}

// S1: a connection is only a carrier. Each request arrives once, and each answer, in order, though connections are cut in between.
TEST(GcsLinkTest, ASessionOutlivesItsConnections) {
    GcsProcess gcs;
    ASSERT_TRUE(gcs.Start()) << gcs.Stderr();
    Proxy proxy(gcs.dir() + "/gcs.sock");
    TestLink link(gcs, true, nullptr, proxy.target());
    ASSERT_TRUE(link.WaitEpochs(1));
    ASSERT_TRUE(link.Join());
    wr_cluster_msg ask = {};
    ask.type = WR_MSG_NAME_GET;
    uint64_t sent = 0, got = 0;
    for (int cut = 0; cut < 20; cut++) {
        int connects = link.connects();
        for (int i = 0; i < 200; i++) {
            std::string name = "name" + std::to_string(sent);
            ask.u.name_get = {++sent, wr_span_text("ns"), Span(name)};
            ASSERT_EQ(WR_OK, link.Send(ask));
            if (i == 100) {
                proxy.Cut();
            }
        }
        ASSERT_TRUE(link.WaitFor([&] { return link.connects_unlocked() > connects; }));
        for (; got < sent; got++) {
            wr_cluster_msg *is = link.Take(WR_MSG_NAME_IS);
            ASSERT_NE(nullptr, is);
            ASSERT_EQ(got + 1, is->u.name_is.query);
            wr_cluster_msg_free(is);
        }
    }
    EXPECT_EQ(nullptr, link.TryTake(WR_MSG_NAME_IS));
    EXPECT_EQ(1, link.new_epochs());
    EXPECT_GE(link.connects(), 21);
}

TEST(GcsLinkTest, ClosingEndsOpenCallsWithCancelled) {
    GcsProcess gcs; // never started
    auto link = std::make_unique<TestLink>(gcs, true);
    struct Seen {
        std::atomic<int> calls{0};
        wr_status status = WR_OK;
    } seen;
    wr_gcs_request r = TestLink::Request(WR_GCS_HEALTH, "");
    ASSERT_EQ(WR_OK, wr_gcs_link_call(
                         link->get(), &r,
                         [](void *user, wr_status status, wr_gcs_response *out, const wr_error *) {
                             auto *s = static_cast<Seen *>(user);
                             s->status = status;
                             s->calls++;
                             wr_gcs_response_free(out);
                         },
                         &seen, nullptr));
    link.reset();
    EXPECT_EQ(1, seen.calls);
    EXPECT_EQ(WR_E_CANCELLED, seen.status);
}

TEST(GcsLinkTest, ACallToAnAbsentGcsEndsAtItsDeadline) {
    GcsProcess gcs;
    TestLink link(gcs, false);
    wr_gcs_request r = TestLink::Request(WR_GCS_HEALTH, "");
    r.timeout_ns = kSecond / 5;
    wr_gcs_response *out = nullptr;
    EXPECT_EQ(WR_E_TIMEOUT, wr_gcs_link_call_wait(link.get(), &r, &out, nullptr));
}

INSTANTIATE_TEST_SUITE_P(All, GcsTest, testing::Values(false, true),
                         [](const auto &p) { return p.param ? "Tls" : "Plaintext"; });

} // namespace

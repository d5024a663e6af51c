// The GCS's core, rule by rule: membership, jobs, memory. The numbers in brackets are those of engine/gcs/README.md.
#include <gtest/gtest.h>

#include <set>

#include "core_world.h"

namespace {

const std::string kOneCpu = ClassKey("CPU=1");

// ---- membership

TEST(GcsCoreTest, TheSameNonceGetsTheSameNumber) {
    World w;
    uint32_t a = w.Join(1);
    wr_cluster_msg again = {};
    again.type = WR_MSG_JOIN;
    memset(again.u.join.nonce.bytes, 1, 16);
    again.u.join.version = WR_CLUSTER_VERSION;
    w.Step(WR_DEST_CONN(50ull), again);
    w.Flush();
    auto welcome = w.Take(WR_DEST_CONN(50ull), WR_MSG_WELCOME);
    ASSERT_NE(nullptr, welcome);
    EXPECT_EQ(a, welcome->u.welcome.inc);
}

TEST(GcsCoreTest, WelcomeWaitsUntilTheNumberIsDurable) {
    World w;
    wr_cluster_msg join = {};
    join.type = WR_MSG_JOIN;
    join.u.join.nonce.bytes[0] = 1;
    join.u.join.version = WR_CLUSTER_VERSION;
    w.Step(WR_DEST_CONN(1ull), join);
    EXPECT_EQ(nullptr, w.Take(WR_DEST_CONN(1ull), WR_MSG_WELCOME));
    w.Crash(); // the number was never told: it may be given again
    w.Step(WR_DEST_CONN(1ull), join);
    w.Flush();
    EXPECT_NE(nullptr, w.Take(WR_DEST_CONN(1ull), WR_MSG_WELCOME));
}

TEST(GcsCoreTest, NumbersAreNeverUsedAgain) {
    World w;
    std::set<uint32_t> seen;
    for (uint8_t i = 1; i < 6; i++) {
        uint32_t inc = w.Join(i);
        EXPECT_TRUE(seen.insert(inc).second);
        w.LetDie(inc);
        w.Crash();
    }
}

TEST(GcsCoreTest, ANodeDeclaredDeadBeforeItsWelcomeJoinsWithANewNonce) { // found 3
    World w;
    wr_cluster_msg join = {};
    join.type = WR_MSG_JOIN;
    memset(join.u.join.nonce.bytes, 1, 16);
    join.u.join.version = WR_CLUSTER_VERSION;
    w.Step(WR_DEST_CONN(1ull), join);
    w.Flush();
    w.sent.clear(); // the WELCOME is lost
    w.Silence(12000);
    w.Flush();
    w.Step(WR_DEST_CONN(1ull), join);
    w.Flush();
    EXPECT_NE(nullptr, w.Take(WR_DEST_CONN(1ull), WR_MSG_NONCE));
    EXPECT_NE(0u, w.Join(2));
}

TEST(GcsCoreTest, AnotherVersionIsTurnedAway) {
    World w;
    wr_cluster_msg join = {};
    join.type = WR_MSG_JOIN;
    join.u.join.version = WR_CLUSTER_VERSION + 1;
    w.Step(WR_DEST_CONN(1ull), join);
    auto no = w.Take(WR_DEST_CONN(1ull), WR_MSG_YOUDEAD);
    ASSERT_NE(nullptr, no);
    EXPECT_NE(std::string::npos, Text(no->u.node.text).find("version"));
}

TEST(GcsCoreTest, DeathIsPublishedBeforeItIsStored) { // M1, found 14
    World w;
    uint32_t a = w.Join(1), b = w.Join(2);
    for (int i = 0; i < 12; i++) {
        w.Heartbeat(a);
        w.Tick(1000);
    }
    EXPECT_EQ(1u, w.Count(a, WR_MSG_DEAD)); // without any flush
    EXPECT_EQ(1u, w.Count(b, WR_MSG_YOUDEAD));
    w.Crash(); // nothing of it was stored: the node lives on unless a witness tells
    EXPECT_TRUE(wr_gcs_core_knows_live(w.core(), b));
    w.Rereg(a, {}, {}, {}, {b});
    EXPECT_FALSE(wr_gcs_core_knows_live(w.core(), b));
    EXPECT_EQ(1u, w.Count(b, WR_MSG_YOUDEAD));
}

TEST(GcsCoreTest, ADeadNodeIsToldSoWhateverItSays) {
    World w;
    uint32_t a = w.Join(1);
    w.Join(2);
    w.LetDie(a);
    w.sent.clear();
    w.Heartbeat(a);
    EXPECT_NE(nullptr, w.Take(a, WR_MSG_YOUDEAD));
    w.Sync(a, "CPU=4");
    EXPECT_NE(nullptr, w.Take(a, WR_MSG_YOUDEAD));
    w.Heartbeat(12345); // never heard of
    EXPECT_NE(nullptr, w.Take(12345, WR_MSG_YOUDEAD));
}

TEST(GcsCoreTest, BurialWaitsForEveryLiveNodeALateJoinerToo) { // found 4
    World w;
    uint32_t a = w.Join(1), b = w.Join(2), c = w.Join(3);
    w.LetDie(c);
    w.Flushed(a, c);
    uint32_t late = w.Join(4);
    auto nodes = w.Take(late, WR_MSG_NODES);
    ASSERT_NE(nullptr, nodes);
    ASSERT_EQ(1u, nodes->u.nodes.unburied_count);
    EXPECT_EQ(c, nodes->u.nodes.unburied[0]);
    w.Flushed(b, c);
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_BURIED));
    w.Flushed(late, c);
    w.Flush();
    EXPECT_EQ(1u, w.Count(a, WR_MSG_BURIED));
    EXPECT_EQ(1u, w.Count(late, WR_MSG_BURIED));
    uint32_t later = w.Join(5); // M6: it must know those who died before it came
    nodes = w.Take(later, WR_MSG_NODES);
    ASSERT_NE(nullptr, nodes);
    ASSERT_EQ(1u, nodes->u.nodes.dead_count);
    EXPECT_EQ(c, nodes->u.nodes.dead[0]);
}

TEST(GcsCoreTest, TheLastNodeIsBuriedThoughNobodyIsLeftToSpeak) { // found 9
    World w;
    uint32_t a = w.Join(1);
    w.Silence(12000);
    w.Flush();
    uint32_t b = w.Join(2);
    auto nodes = w.Take(b, WR_MSG_NODES);
    ASSERT_NE(nullptr, nodes);
    ASSERT_EQ(1u, nodes->u.nodes.dead_count);
    EXPECT_EQ(a, nodes->u.nodes.dead[0]);
}

TEST(GcsCoreTest, AGcsThatWasStoppedItselfCallsNobodySilent) {
    World w;
    uint32_t a = w.Join(1);
    w.Tick();
    w.Tick(60000); // SIGSTOP and SIGCONT: what the node said lies unread
    EXPECT_TRUE(wr_gcs_core_knows_live(w.core(), a));
    w.Silence(12000);
    EXPECT_FALSE(wr_gcs_core_knows_live(w.core(), a));
}

TEST(GcsCoreTest, AfterARestartANodeSpeaksOnlyOnceItHasRegistered) {
    World w;
    uint32_t a = w.Join(1);
    w.Crash();
    w.New(a, 1, {"name", kOneCpu});
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_ACK));
    w.Rereg(a);
    w.New(a, 1, {"name", kOneCpu});
    w.Flush();
    EXPECT_EQ(1u, w.Count(a, WR_MSG_ACK));
}

TEST(GcsCoreTest, AHeartbeatOfAnOldEpochIsAnsweredByHello) {
    World w;
    uint32_t a = w.Join(1);
    w.Crash();
    wr_cluster_msg hb = {};
    hb.type = WR_MSG_HB;
    hb.u.hb.epoch = w.epoch - 1;
    w.Step(a, hb);
    w.Flush();
    auto hello = w.Take(a, WR_MSG_HELLO);
    ASSERT_NE(nullptr, hello);
    EXPECT_EQ(w.epoch, hello->u.hello.epoch);
}

TEST(GcsCoreTest, LeavingInGoodOrderIsADeathAtOnce) {
    World w;
    uint32_t a = w.Join(1), b = w.Join(2);
    wr_cluster_msg leave = {};
    leave.type = WR_MSG_LEAVE;
    w.Step(b, leave);
    EXPECT_EQ(1u, w.Count(a, WR_MSG_DEAD));
    EXPECT_FALSE(wr_gcs_core_knows_live(w.core(), b));
}

// ---- jobs

TEST(GcsCoreTest, OneNonceIsOneJobAlsoAcrossARestart) {
    World w;
    uint32_t a = w.Join(1);
    uint32_t job = w.StartJob(a, 9);
    EXPECT_EQ(1u, job);
    w.Crash();
    w.Rereg(a);
    EXPECT_EQ(job, w.StartJob(a, 9));
    EXPECT_EQ(job + 1, w.StartJob(a, 10));
}

TEST(GcsCoreTest, AJobsEndEndsWhatItMadeInOneTransaction) {
    World w;
    uint32_t a = w.Join(1), b = w.Join(2);
    uint32_t job = w.StartJob(a);
    World::ActorOptions mine = {"mine", ClassKey("CPU=1", [&](wr_class *c) { c->job = job; }), job};
    World::ActorOptions detached = mine;
    detached.name = "detached";
    detached.detached = true;
    wr_actor_id id = w.New(a, 1, mine), kept = w.New(a, 2, detached);
    wr_pg_id pg = w.CreateGroup(a, 1, {"CPU=1"}, WR_PG_PACK, job);
    w.Flush();
    w.sent.clear();
    w.EndJob(a, job);
    size_t records = w.PendingRecords();
    w.Flush(records - 1);
    EXPECT_EQ(records, w.PendingRecords()); // all or nothing
    EXPECT_EQ(0u, w.Count(b, WR_MSG_JOBDEAD));
    w.Flush();
    EXPECT_EQ(1u, w.Count(b, WR_MSG_JOBDEAD));
    EXPECT_EQ(1u, w.Count(a, WR_MSG_JOBDEAD));
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
    EXPECT_NE(WR_ACTOR_DEAD, w.Actor(kept).state);
    EXPECT_EQ(static_cast<uint32_t>(WR_PG_REMOVED), w.GroupState(pg));
    World::ActorOptions late = {"late", kOneCpu, job};
    w.sent.clear();
    w.New(a, 3, late);
    w.Flush();
    auto ack = w.Take(a, WR_MSG_ACK);
    ASSERT_NE(nullptr, ack);
    EXPECT_EQ(WR_E_STATE, static_cast<wr_status>(ack->u.ack.status));
    w.Crash();
    w.Rereg(a);
    w.Flush();
    EXPECT_EQ(1u, w.Count(a, WR_MSG_JOBDEAD)); // T8: repeated at REREG
}

TEST(GcsCoreTest, ACrashBetweenAJobsEndAndItsCleanUpIsMadeGoodAtTheStart) { // M3, found 2
    World w;
    uint32_t a = w.Join(1);
    uint32_t job = w.StartJob(a);
    World::ActorOptions mine = {"mine", kOneCpu, job};
    wr_actor_id id = w.New(a, 1, mine);
    wr_pg_id pg = w.CreateGroup(a, 1, {"CPU=1"}, WR_PG_PACK, job);
    w.Flush();
    for (auto &[key, row] : w.store) { // as if only the job's own record had been written
        if (key.first == WR_GCS_JOB) {
            static_cast<wr_gcs_job_row *>(row.get())->info.state = WR_JOB_FINISHED;
        }
    }
    w.Crash();
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
    EXPECT_EQ(static_cast<uint32_t>(WR_PG_REMOVED), w.GroupState(pg));
}

TEST(GcsCoreTest, ADeadDriversNodeEndsItsJobs) {
    World w;
    w.Join(1);
    uint32_t b = w.Join(2);
    uint32_t job = w.StartJob(b);
    World::ActorOptions mine = {"mine", kOneCpu, job};
    wr_actor_id id = w.New(b, 1, mine);
    w.LetDie(b);
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
}

// ---- memory

// Whichever allocation fails: nothing crashes, and the shell is told that a record or a message is missing.
TEST(GcsCoreTest, EachFailedAllocationIsReportedAndHarmless) {
    for (uint64_t n = 1;; n++) {
        wr_gcs_core_opts opts = {};
        opts.epoch = 1;
        wr_gcs_core *core = nullptr;
        wr_gcs_log log = {};
        wr_outbox out = {};
        ASSERT_EQ(WR_OK, wr_gcs_core_new(&opts, &core, nullptr));
        wr_gcs_core_start(core, 1, 1, &log, &out);
        wr_alloc_fail_nth(n);
        auto step = [&](uint64_t from, const wr_cluster_msg &m) {
            wr_gcs_core_step(core, 2, 2, from, &m, &log, &out);
        };
        wr_cluster_msg m = {};
        m.type = WR_MSG_JOIN;
        m.u.join.version = WR_CLUSTER_VERSION;
        step(WR_DEST_CONN(1ull), m);
        m = {};
        m.type = WR_MSG_REREG;
        m.u.rereg.node = World::Info(1, "CPU=4", "a=b");
        step(1, m);
        m = {};
        m.type = WR_MSG_SYNC;
        wr_demand demand = {Span(kOneCpu), 0, 3};
        m.u.sync.available = wr_span_text("CPU=4");
        m.u.sync.demand = &demand;
        m.u.sync.demand_count = 1;
        step(1, m);
        m = {};
        m.type = WR_MSG_NEW;
        m.u.new_actor.spec.actor.bytes[0] = 1;
        m.u.new_actor.spec.name = wr_span_text("name");
        m.u.new_actor.spec.cls = Span(kOneCpu);
        step(1, m);
        m = {};
        m.type = WR_MSG_PG_CREATE;
        wr_bundle_info bundle = {wr_span_text("CPU=1"), 0};
        m.u.pg_create.pg.pg.bytes[0] = 1;
        m.u.pg_create.pg.bundles = &bundle;
        m.u.pg_create.pg.bundle_count = 1;
        step(1, m);
        m = {};
        m.type = WR_MSG_JOB_START;
        step(1, m);
        m = {};
        m.type = WR_MSG_LEAVE;
        step(1, m);
        wr_gcs_core_tick(core, 3, 3, &log, &out);
        wr_alloc_fail_nth(0);
        bool reported = log.failed || out.failed;
        bool complete = log.count > 0 && wr_gcs_core_log_number(core) > 0;
        wr_gcs_core_free(core);
        wr_gcs_log_done(&log);
        wr_outbox_done(&out);
        if (!reported && n > 200) {
            EXPECT_TRUE(complete);
            break;
        }
        ASSERT_LT(n, 2000u);
    }
}

// ---- a damaged store

wr_gcs_core *NewCore() {
    wr_gcs_core_opts opts = {};
    opts.cluster_id = opts.epoch = 1;
    wr_gcs_core *core = nullptr;
    EXPECT_EQ(WR_OK, wr_gcs_core_new(&opts, &core, nullptr));
    return core;
}

TEST(GcsCoreTest,
     AnActorsStateThatIsStoredTwiceIsRefused) { // its name would be in the index twice, in a ring
    wr_gcs_core *core = NewCore();
    wr_actor_spec spec = {};
    spec.actor.bytes[0] = 1;
    spec.cls = Span(kOneCpu);
    spec.name = wr_span_text("name");
    wr_actor_info info = {};
    info.spec.actor = spec.actor;
    info.state = WR_ACTOR_PENDING;
    wr_error err = {};
    const wr_span key = wr_span_of(&spec.actor, sizeof spec.actor);
    EXPECT_EQ(WR_E_CORRUPT, wr_gcs_core_load(core, WR_GCS_ACTOR, key, &info, &err))
        << "before its specification";
    ASSERT_EQ(WR_OK, wr_gcs_core_load(core, WR_GCS_ACTOR_SPEC, key, &spec, &err)) << err.text;
    ASSERT_EQ(WR_OK, wr_gcs_core_load(core, WR_GCS_ACTOR, key, &info, &err)) << err.text;
    EXPECT_EQ(WR_E_CORRUPT, wr_gcs_core_load(core, WR_GCS_ACTOR, key, &info, &err));
    wr_gcs_core_free(core);
}

TEST(GcsCoreTest, TwoStoredActorsThatLiveUnderOneNameAreRefused) { // G6
    wr_gcs_core *core = NewCore();
    wr_error err = {};
    for (uint8_t i = 1; i <= 3; i++) {
        wr_actor_spec spec = {};
        spec.actor.bytes[0] = i;
        spec.cls = Span(kOneCpu);
        spec.name = wr_span_text("name");
        wr_actor_info info = {};
        info.spec.actor = spec.actor;
        info.state = i == 1 ? WR_ACTOR_DEAD : WR_ACTOR_PENDING; // a dead one has none
        const wr_span key = wr_span_of(&spec.actor, sizeof spec.actor);
        ASSERT_EQ(WR_OK, wr_gcs_core_load(core, WR_GCS_ACTOR_SPEC, key, &spec, &err)) << err.text;
        EXPECT_EQ(i == 3 ? WR_E_CORRUPT : WR_OK, wr_gcs_core_load(core, WR_GCS_ACTOR, key, &info, &err))
            << int{i};
    }
    wr_gcs_core_free(core);
}

TEST(GcsCoreTest, AStoredNumberThatHasNoNextOneIsRefused) {
    wr_gcs_core *core = NewCore();
    wr_error err = {};
    const uint64_t last = UINT32_MAX, beyond = UINT64_MAX, good = UINT32_MAX - 1;
    for (const char *name : {"next_inc", "next_job"}) {
        const wr_span key = wr_span_text(name);
        EXPECT_EQ(WR_E_CORRUPT, wr_gcs_core_load(core, WR_GCS_META, key, &last, &err)) << name;
        EXPECT_EQ(WR_E_CORRUPT, wr_gcs_core_load(core, WR_GCS_META, key, &beyond, &err)) << name;
        EXPECT_EQ(WR_OK, wr_gcs_core_load(core, WR_GCS_META, key, &good, &err)) << name;
    }
    wr_gcs_node_row node = {};
    node.info.inc = UINT32_MAX;
    EXPECT_EQ(WR_E_CORRUPT, wr_gcs_core_load(core, WR_GCS_NODE, wr_span_text("k"), &node, &err));
    wr_gcs_job_row job = {};
    job.info.job = UINT32_MAX;
    EXPECT_EQ(WR_E_CORRUPT, wr_gcs_core_load(core, WR_GCS_JOB, wr_span_text("k"), &job, &err));
    wr_gcs_core_free(core);
}

} // namespace

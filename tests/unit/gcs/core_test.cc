// The GCS's core, rule by rule; the numbers in brackets are those of engine/gcs/README.md.
#include <gtest/gtest.h>

#include <random>
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

// ---- actors

TEST(GcsCoreTest, AnActorAndItsNameAreOneTransaction) { // found 1
    World w;
    uint32_t a = w.Join(1);
    w.New(a, 1, {"name", kOneCpu});
    size_t records = w.PendingRecords();
    ASSERT_GT(records, 1u);
    w.Flush(records - 1); // a transaction that is cut short is none
    EXPECT_EQ(records, w.PendingRecords());
    EXPECT_EQ(0u, w.Count(a, WR_MSG_ACK));
    w.Crash();
    w.Rereg(a);
    EXPECT_FALSE(w.Named(a, "name"));
    w.New(a, 2, {"name", kOneCpu}); // the name is free for another
    w.Flush();
    auto ack = w.Take(a, WR_MSG_ACK);
    ASSERT_NE(nullptr, ack);
    EXPECT_EQ(WR_OK, static_cast<wr_status>(ack->u.ack.status));
}

TEST(GcsCoreTest, ARequestKnownButNotYetDurableIsAcknowledgedOnceItIs) { // M4, found 8
    World w;
    uint32_t a = w.Join(1);
    w.New(a, 1, {"name", kOneCpu});
    w.New(a, 1, {"name", kOneCpu});
    EXPECT_EQ(0u, w.Count(a, WR_MSG_ACK));
    w.Flush();
    EXPECT_EQ(2u, w.Count(a, WR_MSG_ACK));
    EXPECT_EQ(1u, w.Count(a, WR_MSG_START));
}

TEST(GcsCoreTest, StartLeavesOnlyWhenTheChoiceIsDurable) { // G5
    World w;
    uint32_t a = w.Join(1), b = w.Join(2);
    wr_actor_id id = w.New(a, 1, {"", kOneCpu});
    EXPECT_EQ(0u, w.Count(a, WR_MSG_START) + w.Count(b, WR_MSG_START));
    EXPECT_EQ(WR_ACTOR_STARTING, w.Actor(id).state);
    w.Flush();
    EXPECT_EQ(1u, w.Count(a, WR_MSG_START) + w.Count(b, WR_MSG_START));
}

TEST(GcsCoreTest, ATakenNameIsRefusedWithItsHolder) { // G6
    World w;
    uint32_t a = w.Join(1);
    wr_actor_id first = w.New(a, 1, {"name", kOneCpu});
    w.Flush();
    w.sent.clear();
    w.New(a, 2, {"name", kOneCpu});
    w.Flush();
    auto ack = w.Take(a, WR_MSG_ACK);
    ASSERT_NE(nullptr, ack);
    EXPECT_EQ(WR_E_EXISTS, static_cast<wr_status>(ack->u.ack.status));
    EXPECT_EQ(0, memcmp(&first, &ack->u.ack.other, sizeof first));
    w.Say(a, WR_MSG_KILL, first, 0, true);
    w.New(a, 2, {"name", kOneCpu}); // free again once the holder is dead
    w.Flush();
    wr_actor_id holder;
    EXPECT_TRUE(w.Named(a, "name", &holder));
    EXPECT_NE(0, memcmp(&first, &holder, sizeof first));
}

TEST(GcsCoreTest, WhileTheLogCannotBeWrittenNewActorsAreRefusedAtOnceWithTheReason) {
    World w;
    uint32_t a = w.Join(1);
    World::ActorOptions named = {"x", kOneCpu};
    w.New(a, 1, named); // before anybody knew: it waits for its record
    wr_gcs_core_store_failing(w.core(), "the disk is full");
    w.sent.clear();
    size_t records = w.PendingRecords();
    World::ActorOptions other = {"y", kOneCpu};
    w.New(a, 2, other);
    EXPECT_EQ(records, w.PendingRecords()) << "nothing has changed";
    auto ack = w.Take(a, WR_MSG_ACK);
    ASSERT_NE(nullptr, ack);
    EXPECT_EQ(WR_E_IO, static_cast<wr_status>(ack->u.ack.status));
    EXPECT_EQ("the disk is full", Text(ack->u.ack.text));
    EXPECT_EQ(nullptr, w.Take(a, WR_MSG_ACK)) << "the first one's answer waits";
    wr_gcs_core_store_failing(w.core(), nullptr);
    w.Flush();
    ack = w.Take(a, WR_MSG_ACK);
    ASSERT_NE(nullptr, ack);
    EXPECT_EQ(WR_OK, static_cast<wr_status>(ack->u.ack.status));
    w.New(a, 2, other);
    w.Flush();
    ack = w.Take(a, WR_MSG_ACK);
    ASSERT_NE(nullptr, ack);
    EXPECT_EQ(WR_OK, static_cast<wr_status>(ack->u.ack.status));
}

TEST(GcsCoreTest, ANamedActorIsFoundAgainAfterARestart) {
    World w;
    uint32_t a = w.Join(1);
    wr_actor_id id = w.New(a, 1, {"name", kOneCpu});
    w.Flush();
    w.Say(a, WR_MSG_STARTED, id, 1);
    w.Flush();
    w.Crash();
    w.Rereg(a, {{id, 1, true, 77}});
    wr_actor_id found;
    EXPECT_TRUE(w.Named(a, "name", &found));
    EXPECT_EQ(0, memcmp(&id, &found, sizeof id));
    EXPECT_EQ(WR_ACTOR_ALIVE, w.Actor(id).state);
    EXPECT_EQ(0u, w.Count(a, WR_MSG_START));
    EXPECT_EQ(0u, w.Count(a, WR_MSG_STOP));
}

TEST(GcsCoreTest, AStartLostWithTheEpochIsSentAgainWithTheSameNumber) {
    World w;
    uint32_t a = w.Join(1);
    wr_actor_id id = w.New(a, 1, {"", kOneCpu});
    w.Flush();
    w.Crash();
    w.Rereg(a);
    w.Flush();
    auto start = w.Take(a, WR_MSG_START);
    ASSERT_NE(nullptr, start);
    EXPECT_EQ(1u, start->u.start.n);
    EXPECT_EQ("constructor", Text(start->u.start.spec.spec));
    EXPECT_EQ(WR_ACTOR_STARTING, w.Actor(id).state);
}

TEST(GcsCoreTest, AnEndedActorThatARestartedGcsHearsOfFirstIsNotStartedAgainAsN) { // A1
    World w;
    uint32_t a = w.Join(1);
    wr_actor_id id = w.New(a, 1, {"", kOneCpu});
    w.Flush();
    w.Say(a, WR_MSG_STARTED, id, 1);
    w.Flush();
    w.Crash();
    w.Rereg(a, {}, {World::Ended(id, 1, false)});
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_START));
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
    auto ack = w.Take(a, WR_MSG_ACK);
    ASSERT_NE(nullptr, ack);
    EXPECT_EQ(static_cast<uint32_t>(WR_MSG_ENDED), ack->u.ack.of);
    EXPECT_EQ(1u, ack->u.ack.n);
}

TEST(GcsCoreTest, AnActorHostedUnderAnotherNumberIsStopped) {
    World w;
    uint32_t a = w.Join(1);
    wr_actor_id id = w.New(a, 1, {"", kOneCpu});
    w.Flush();
    w.sent.clear();
    w.Rereg(a, {{id, 9, true, 1}});
    w.Flush();
    auto stop = w.Take(a, WR_MSG_STOP);
    ASSERT_NE(nullptr, stop);
    EXPECT_EQ(9u, stop->u.stop.n);
}

TEST(GcsCoreTest, RestartsAreCountedAndEachHasANewNumber) {
    World w;
    uint32_t a = w.Join(1);
    wr_actor_id id = w.New(a, 1, {"", kOneCpu, 0, 2});
    for (uint64_t n = 1; n <= 3; n++) {
        w.Flush();
        auto start = w.Take(a, WR_MSG_START);
        ASSERT_NE(nullptr, start);
        EXPECT_EQ(n, start->u.start.n);
        EXPECT_EQ(n - 1, start->u.start.restarts);
        w.Say(a, WR_MSG_STARTED, id, n);
        w.Say(a, WR_MSG_ENDED, id, n);
    }
    w.Flush();
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
    EXPECT_EQ("exit code 1", Text(w.Actor(id).text));
    EXPECT_EQ(0u, w.Count(a, WR_MSG_START));
}

TEST(GcsCoreTest, AFinalEndIsNeverRestarted) {
    World w;
    uint32_t a = w.Join(1);
    wr_actor_id id = w.New(a, 1, {"", kOneCpu, 0, -1});
    w.Flush();
    w.Say(a, WR_MSG_STARTED, id, 1);
    w.Say(a, WR_MSG_ENDED, id, 1, true);
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
}

TEST(GcsCoreTest, ANodesDeathMovesItsActorsAndUsesTheirBudget) {
    World w;
    uint32_t a = w.Join(1), b = w.Join(2);
    std::string there = ClassKey("CPU=1", [&](wr_class *c) {
        c->strategy.kind = WR_STRATEGY_NODE_AFFINITY;
        c->strategy.node = b;
        c->strategy.soft = true;
    });
    wr_actor_id keeps = w.New(a, 1, {"", there, 0, 1}), dies = w.New(a, 2, {"", there, 0, 0});
    w.Flush();
    ASSERT_EQ(2u, w.Count(b, WR_MSG_START));
    w.Say(b, WR_MSG_STARTED, keeps, 1);
    w.LetDie(b);
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(dies).state);
    EXPECT_EQ(static_cast<uint32_t>(WR_E_NODE_DIED), w.Actor(dies).status);
    EXPECT_EQ(1u, w.Actor(keeps).restarts);
    auto start = w.Take(a, WR_MSG_START);
    ASSERT_NE(nullptr, start);
    EXPECT_EQ(2u, start->u.start.n);
}

TEST(GcsCoreTest, ARefusalUsesNoRestartAndIsTriedAgainLater) {
    World w;
    uint32_t a = w.Join(1);
    wr_actor_id id = w.New(a, 1, {"", kOneCpu});
    w.Flush();
    w.Say(a, WR_MSG_REFUSED, id, 1);
    w.Flush();
    w.sent.clear();
    EXPECT_EQ(WR_ACTOR_PENDING, w.Actor(id).state);
    w.Tick();
    w.Flush();
    auto start = w.Take(a, WR_MSG_START);
    ASSERT_NE(nullptr, start);
    EXPECT_EQ(2u, start->u.start.n);
    EXPECT_EQ(0u, start->u.start.restarts);
}

TEST(GcsCoreTest, KillWithoutRestartIsForGoodAndWithItIsAnEndLikeAnother) {
    World w;
    uint32_t a = w.Join(1);
    wr_actor_id id = w.New(a, 1, {"", kOneCpu, 0, 1});
    w.Flush();
    w.Say(a, WR_MSG_STARTED, id, 1);
    w.Say(a, WR_MSG_KILL, id, 0, false);
    w.Flush();
    auto stop = w.Take(a, WR_MSG_STOP);
    ASSERT_NE(nullptr, stop);
    EXPECT_TRUE(stop->u.stop.restart);
    EXPECT_EQ(WR_ACTOR_ALIVE, w.Actor(id).state);
    w.Say(a, WR_MSG_ENDED, id, 1);
    w.Flush();
    EXPECT_EQ(1u, w.Actor(id).restarts);
    w.Say(a, WR_MSG_KILL, id, 0, true);
    EXPECT_EQ(0u, w.Count(a, WR_MSG_STOP)); // STOP waits for the record
    w.Flush();
    stop = w.Take(a, WR_MSG_STOP);
    ASSERT_NE(nullptr, stop);
    EXPECT_FALSE(stop->u.stop.restart);
    EXPECT_EQ(2u, stop->u.stop.n);
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
}

TEST(GcsCoreTest, TheLastHandleEndsAnActorButNotADetachedOne) {
    World w;
    uint32_t a = w.Join(1);
    World::ActorOptions detached = {"d", kOneCpu};
    detached.detached = true;
    wr_actor_id id = w.New(a, 1, {"", kOneCpu}), kept = w.New(a, 2, detached);
    w.Say(a, WR_MSG_OUTOFSCOPE, id);
    w.Say(a, WR_MSG_OUTOFSCOPE, kept);
    w.Flush();
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
    EXPECT_NE(WR_ACTOR_DEAD, w.Actor(kept).state);
}

TEST(GcsCoreTest, StartComesBeforeStopAlsoForAnActorThatEndsAtOnce) { // found 5
    World w;
    uint32_t a = w.Join(1);
    wr_actor_id id = w.New(a, 1, {"", kOneCpu});
    w.Say(a, WR_MSG_OUTOFSCOPE, id);
    w.Flush();
    std::vector<uint32_t> order;
    for (auto &s : w.sent) {
        if (s.msg->type == WR_MSG_START || s.msg->type == WR_MSG_STOP) {
            order.push_back(s.msg->type);
        }
    }
    EXPECT_EQ((std::vector<uint32_t>{WR_MSG_START, WR_MSG_STOP}), order);
}

TEST(GcsCoreTest, AHandleWhoseCreatorDiedBeforeItsRequestCameIsToldSo) { // A2, found 6
    World w;
    uint32_t a = w.Join(1), b = w.Join(2);
    wr_actor_id never = {};
    memcpy(never.bytes, &b, 4);
    never.bytes[9] = 1;
    w.Say(a, WR_MSG_ACTOR_SUB, never);
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_ACT));
    w.LetDie(b);
    auto act = w.Take(a, WR_MSG_ACT);
    ASSERT_NE(nullptr, act);
    EXPECT_EQ(WR_ACTOR_DEAD, static_cast<wr_actor_state>(act->u.act.state));
    never.bytes[9] = 2;
    w.Say(a, WR_MSG_ACTOR_SUB, never); // asked after the death
    w.Flush();
    EXPECT_NE(nullptr, w.Take(a, WR_MSG_ACT));
}

TEST(GcsCoreTest, SubscribersHearEachStoredStateAndThoseWhoAskedEarlyToo) {
    World w;
    uint32_t a = w.Join(1), b = w.Join(2);
    wr_actor_id id = {};
    memcpy(id.bytes, &a, 4);
    uint64_t number = 3;
    memcpy(id.bytes + 8, &number, 8);
    w.Say(b, WR_MSG_ACTOR_SUB, id); // before its NEW
    w.New(a, 3, {"", kOneCpu});
    w.Flush();
    uint32_t host = w.Actor(id).node;
    w.Say(host, WR_MSG_STARTED, id, 1);
    EXPECT_EQ(0u, w.Count(b, WR_MSG_ACT));
    w.Flush();
    auto act = w.Take(b, WR_MSG_ACT);
    ASSERT_NE(nullptr, act);
    EXPECT_EQ(WR_ACTOR_ALIVE, static_cast<wr_actor_state>(act->u.act.state));
    EXPECT_EQ(host, act->u.act.node);
    EXPECT_EQ("unix:/n", Text(act->u.act.address));
}

TEST(GcsCoreTest, ACreatorsDeathEndsItsActorsButNotDetachedOnes) {
    World w;
    uint32_t a = w.Join(1), b = w.Join(2);
    World::ActorOptions detached = {"d", kOneCpu};
    detached.detached = true;
    detached.max_restarts = -1;
    wr_actor_id id = w.New(b, 1, {"", kOneCpu}), kept = w.New(b, 2, detached);
    w.Flush();
    w.LetDie(b);
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
    EXPECT_NE(WR_ACTOR_DEAD, w.Actor(kept).state);
    EXPECT_TRUE(w.Named(a, "d"));
}

TEST(GcsCoreTest, NamesAreListedByNamespace) {
    World w;
    uint32_t a = w.Join(1);
    w.New(a, 1, {"x", kOneCpu});
    w.New(a, 2, {"y", kOneCpu});
    w.New(a, 3, {"", kOneCpu});
    wr_cluster_msg list = {};
    list.type = WR_MSG_NAME_LIST;
    list.u.name_list.name_space = wr_span_text("ns");
    w.Step(a, list);
    w.Flush();
    auto names = w.Take(a, WR_MSG_NAMES);
    ASSERT_NE(nullptr, names);
    EXPECT_EQ(2u, names->u.names.count);
    list.u.name_list.name_space = wr_span_text("other");
    w.Step(a, list);
    w.Flush();
    names = w.Take(a, WR_MSG_NAMES);
    ASSERT_NE(nullptr, names);
    EXPECT_EQ(0u, names->u.names.count);
}

TEST(GcsCoreTest, AMalformedClassIsRefusedAndStoresNothing) {
    World w;
    uint32_t a = w.Join(1);
    w.New(a, 1, {"x", "not a class key"});
    EXPECT_EQ(0u, w.PendingRecords());
    w.Flush();
    auto ack = w.Take(a, WR_MSG_ACK);
    ASSERT_NE(nullptr, ack);
    EXPECT_EQ(WR_E_INVALID, static_cast<wr_status>(ack->u.ack.status));
    EXPECT_FALSE(w.Named(a, "x"));
}

TEST(GcsCoreTest, AnInfeasibleActorWaitsAndItsCreatorHearsWhy) {
    World w;
    uint32_t a = w.Join(1);
    w.New(a, 1, {"", ClassKey("GPU=2")});
    w.Flush();
    auto why = w.Take(a, WR_MSG_INFEASIBLE);
    ASSERT_NE(nullptr, why);
    EXPECT_EQ("needs GPU=2, the nearest node has 0", Text(why->u.infeasible.text));
    uint32_t b = w.Join(2, "CPU=1,GPU=2");
    EXPECT_EQ(1u, w.Count(b, WR_MSG_START)); // it was only waiting
}

TEST(GcsCoreTest, AnActorBoundToADeadNodeIsUnschedulable) {
    World w;
    uint32_t a = w.Join(1), b = w.Join(2);
    w.LetDie(b);
    std::string there = ClassKey("CPU=1", [&](wr_class *c) {
        c->strategy.kind = WR_STRATEGY_NODE_AFFINITY;
        c->strategy.node = b;
    });
    wr_actor_id id = w.New(a, 1, {"", there});
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
    EXPECT_EQ(static_cast<uint32_t>(WR_E_UNSCHEDULABLE), w.Actor(id).status);
}

TEST(GcsCoreTest, WhatWasPlacedIsDebitedUntilTheNodeHasSeenIt) {
    World w;
    uint32_t a = w.Join(1, "CPU=2");
    for (uint64_t i = 0; i < 3; i++) {
        w.New(a, i, {"", kOneCpu});
    }
    w.Flush();
    EXPECT_EQ(2u, w.Count(a, WR_MSG_START));
    w.sent.clear();
    w.Sync(a, "CPU=2", 0); // sent before the STARTs arrived
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_START));
    w.Sync(a, "", 2); // both are seen and have their CPU
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_START));
    w.Sync(a, "CPU=1", 2); // one ended
    w.Flush();
    EXPECT_EQ(1u, w.Count(a, WR_MSG_START));
}

TEST(GcsCoreTest, AnActorThatFindsNoRoomIsSentToWaitAtANodeOneAtATime) {
    World w;
    uint32_t a = w.Join(1, "CPU=1");
    w.Sync(a, "", 0); // its CPU is assigned to tasks
    for (uint64_t i = 0; i < 3; i++) {
        w.New(a, i, {"", kOneCpu});
    }
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_START));
    w.Tick();
    w.Tick();
    w.Flush();
    EXPECT_EQ(1u, w.Count(a, WR_MSG_START));
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

// ---- placement groups

TEST(GcsCoreTest, AGroupIsPreparedEverywhereThenCommitted) {
    World w;
    uint32_t a = w.Join(1, "CPU=2"), b = w.Join(2, "CPU=2");
    wr_pg_id pg = w.CreateGroup(a, 1, {"CPU=2", "CPU=2"}, WR_PG_STRICT_SPREAD);
    w.Flush();
    auto pa = w.Take(a, WR_MSG_PREPARE), pb = w.Take(b, WR_MSG_PREPARE);
    ASSERT_NE(nullptr, pa);
    ASSERT_NE(nullptr, pb);
    EXPECT_EQ("CPU=2", Text(pa->u.bundle.resources));
    w.Prepared(a, pa->u.bundle, true);
    w.Prepared(a, pa->u.bundle, true); // repeated: counts once
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_COMMIT));
    w.Prepared(b, pb->u.bundle, true);
    EXPECT_EQ(0u, w.Count(a, WR_MSG_COMMIT)); // not before it is stored
    w.Flush();
    EXPECT_EQ(1u, w.Count(a, WR_MSG_COMMIT));
    EXPECT_EQ(1u, w.Count(b, WR_MSG_COMMIT));
    auto is = w.Take(a, WR_MSG_PG_IS);
    ASSERT_NE(nullptr, is);
    EXPECT_EQ(static_cast<uint32_t>(WR_PG_CREATED), is->u.pg_is.pg.state);
    EXPECT_EQ(static_cast<uint32_t>(WR_PG_CREATED), w.GroupState(pg));
}

TEST(GcsCoreTest, ARefusedBundleReleasesAllAndTheNextAttemptHasANewNumber) {
    World w;
    uint32_t a = w.Join(1, "CPU=2"), b = w.Join(2, "CPU=2");
    w.CreateGroup(a, 1, {"CPU=2", "CPU=2"}, WR_PG_STRICT_SPREAD);
    w.Flush();
    auto pa = w.Take(a, WR_MSG_PREPARE), pb = w.Take(b, WR_MSG_PREPARE);
    ASSERT_NE(nullptr, pb);
    w.Prepared(a, pa->u.bundle, true);
    w.Prepared(b, pb->u.bundle, false);
    w.Flush();
    EXPECT_EQ(1u, w.Count(a, WR_MSG_RELEASE));
    w.Sync(a, "CPU=2", 1);
    w.Sync(b, "CPU=2", 1);
    w.Tick();
    w.Flush();
    auto again = w.Take(a, WR_MSG_PREPARE);
    ASSERT_NE(nullptr, again);
    EXPECT_NE(pa->u.bundle.attempt, again->u.bundle.attempt);
}

TEST(GcsCoreTest, ABundlesNodeDyingPlacesTheGroupAnew) {
    World w;
    uint32_t a = w.Join(1, "CPU=2"), b = w.Join(2, "CPU=2");
    wr_pg_id pg = w.CreateGroup(a, 1, {"CPU=1", "CPU=1"}, WR_PG_STRICT_SPREAD);
    w.Flush();
    auto pa = w.Take(a, WR_MSG_PREPARE), pb = w.Take(b, WR_MSG_PREPARE);
    w.Prepared(a, pa->u.bundle, true);
    w.Prepared(b, pb->u.bundle, true);
    w.Flush();
    w.LetDie(b);
    EXPECT_EQ(1u, w.Count(a, WR_MSG_RELEASE));
    EXPECT_EQ(static_cast<uint32_t>(WR_PG_RESCHEDULING), w.GroupState(pg));
    uint32_t c = w.Join(3, "CPU=2");
    w.Sync(a, "CPU=2", 1);
    w.Flush();
    EXPECT_EQ(1u, w.Count(c, WR_MSG_PREPARE));
}

TEST(GcsCoreTest, AfterARestartTheCommittedAttemptStaysAndOthersAreReleased) {
    World w;
    uint32_t a = w.Join(1, "CPU=4");
    wr_pg_id pg = w.CreateGroup(a, 1, {"CPU=1"}, WR_PG_PACK);
    w.Flush();
    auto p = w.Take(a, WR_MSG_PREPARE);
    w.Prepared(a, p->u.bundle, true);
    w.Flush();
    wr_pg_id half = w.CreateGroup(a, 2, {"CPU=1"}, WR_PG_PACK);
    w.Flush();
    auto q = w.Take(a, WR_MSG_PREPARE);
    ASSERT_NE(nullptr, q);
    w.Crash(); // the second was only prepared
    w.Rereg(a, {}, {}, {{pg, p->u.bundle.attempt, 0, false}, {half, q->u.bundle.attempt, 0, false}});
    w.Flush();
    auto commit = w.Take(a, WR_MSG_COMMIT);
    ASSERT_NE(nullptr, commit);
    EXPECT_EQ(p->u.bundle.attempt, commit->u.bundle.attempt);
    auto release = w.Take(a, WR_MSG_RELEASE);
    ASSERT_NE(nullptr, release);
    EXPECT_EQ(q->u.bundle.attempt, release->u.bundle.attempt);
    w.Sync(a, "CPU=3", 0);
    w.Flush();
    auto again = w.Take(a, WR_MSG_PREPARE);
    ASSERT_NE(nullptr, again);
    EXPECT_NE(q->u.bundle.attempt, again->u.bundle.attempt);
}

TEST(GcsCoreTest, ActorsOfAGroupStartWithItAndEndWithIt) {
    World w;
    uint32_t a = w.Join(1, "CPU=4");
    wr_pg_id pg = w.CreateGroup(a, 1, {"CPU=2"}, WR_PG_PACK);
    std::string in_group = ClassKey("CPU=1", [&](wr_class *c) {
        c->strategy.kind = WR_STRATEGY_PLACEMENT_GROUP;
        c->strategy.pg = pg;
        c->strategy.bundle = -1;
    });
    wr_actor_id id = w.New(a, 1, {"", in_group});
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_START));
    auto p = w.Take(a, WR_MSG_PREPARE);
    w.Prepared(a, p->u.bundle, true);
    w.Flush();
    std::vector<uint32_t> order;
    for (auto &s : w.sent) {
        if (s.msg->type == WR_MSG_COMMIT || s.msg->type == WR_MSG_START) {
            order.push_back(s.msg->type);
        }
    }
    EXPECT_EQ((std::vector<uint32_t>{WR_MSG_COMMIT, WR_MSG_START}), order);
    w.RemoveGroup(a, pg);
    w.Flush();
    EXPECT_EQ(WR_ACTOR_DEAD, w.Actor(id).state);
    EXPECT_EQ(static_cast<uint32_t>(WR_E_PG_REMOVED), w.Actor(id).status);
    EXPECT_EQ(1u, w.Count(a, WR_MSG_RELEASE));
    wr_actor_id late = w.New(a, 2, {"", in_group});
    EXPECT_EQ(static_cast<uint32_t>(WR_E_PG_REMOVED), w.Actor(late).status);
}

TEST(GcsCoreTest, OnlyTheLastRemovedGroupsAreRememberedAlsoThoseThatEndedWithTheirJob) {
    World w;
    uint32_t a = w.Join(1);
    uint32_t job = w.StartJob(a);
    for (uint64_t k = 1; k <= WR_GCS_DEAD_GROUPS_MAX + 20; k++) {
        w.CreateGroup(a, k, {"CPU=1"}, WR_PG_PACK, job);
    }
    wr_pg_id stays = w.CreateGroup(a, 5000, {"CPU=1"}, WR_PG_PACK);
    w.Flush();
    w.EndJob(a, job);
    w.Tick();
    w.Flush();
    size_t rows = 0;
    for (auto &[key, row] : w.store) {
        rows += key.first == WR_GCS_GROUP;
    }
    EXPECT_EQ(WR_GCS_DEAD_GROUPS_MAX + 1u, rows);
    w.Crash();
    EXPECT_NE(99u, w.GroupState(stays));
}

TEST(GcsCoreTest, AGroupOfEmptyBundlesIsRefused) {
    World w;
    uint32_t a = w.Join(1);
    w.CreateGroup(a, 1, {"CPU=0"}, WR_PG_PACK);
    w.Flush();
    auto ack = w.Take(a, WR_MSG_ACK);
    ASSERT_NE(nullptr, ack);
    EXPECT_EQ(WR_E_INVALID, static_cast<wr_status>(ack->u.ack.status));
}

// ---- grants

TEST(GcsCoreTest, WhatDoesNotFitHereIsGrantedElsewhereAndDebitedUntilItArrived) { // T1, T2
    World w;
    uint32_t a = w.Join(1, "CPU=1"), b = w.Join(2, "CPU=3");
    w.Sync(a, "", 0, {{Span(kOneCpu), 0, 10}});
    w.Flush();
    auto grant = w.Take(a, WR_MSG_GRANT);
    ASSERT_NE(nullptr, grant);
    EXPECT_EQ(b, grant->u.grant.node);
    EXPECT_EQ(3u, grant->u.grant.count);
    EXPECT_EQ(kOneCpu, Text(grant->u.grant.cls));
    EXPECT_EQ("unix:/n", Text(grant->u.grant.address));
    uint64_t id = grant->u.grant.grant;
    w.Sync(b, "CPU=3", 0); // nothing arrived yet: still debited
    w.Sync(a, "", 0, {{Span(kOneCpu), 0, 10}});
    w.Tick();
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_GRANT)); // one open grant per (submitter, node, class)
    w.Sync(a, "", 0, {{Span(kOneCpu), 0, 8}}, {{id, 2}});
    w.Sync(b, "CPU=1", 0, {}, {}, {{id, 2}});
    w.Flush();
    grant = w.Take(a, WR_MSG_GRANT);
    ASSERT_NE(nullptr, grant);
    EXPECT_EQ(1u, grant->u.grant.count);
}

TEST(GcsCoreTest, DemandThatNoNodeCanEverMeetIsAnsweredWithTheReason) {
    World w;
    uint32_t a = w.Join(1, "CPU=1");
    std::string cls = ClassKey("CPU=64");
    w.Sync(a, "CPU=1", 0, {{Span(cls), 0, 1}});
    w.Flush();
    auto why = w.Take(a, WR_MSG_INFEASIBLE);
    ASSERT_NE(nullptr, why);
    EXPECT_EQ("needs CPU=64, the nearest node has 1", Text(why->u.infeasible.text));
    EXPECT_FALSE(why->u.infeasible.final);
    w.Tick();
    w.Flush();
    EXPECT_EQ(0u, w.Count(a, WR_MSG_INFEASIBLE));
    w.Heartbeat(a);
    w.Tick(1000);
    w.Flush();
    EXPECT_EQ(1u, w.Count(a, WR_MSG_INFEASIBLE)); // repeated while true
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

// ---- everything at once: random requests, random crashes with a random part of the log, and books of our own

class Chaos {
  public:
    explicit Chaos(uint32_t seed) : random_(seed) {
    }
    void Run(int steps) {
        for (uint8_t i = 1; i <= 3; i++) {
            incs_.push_back(w_.Join(i, "CPU=8"));
        }
        for (int i = 0; i < steps; i++) {
            OneStep();
            Deliver();
        }
        // The end: all is flushed; whatever was acknowledged is there.
        w_.Flush();
        Deliver();
        for (auto &[number, id] : acked_) {
            EXPECT_NE(99u, w_.Actor(id).state) << number;
        }
        std::map<std::string, int> holders;
        for (auto &[number, id] : made_) {
            wr_actor_info info = w_.Actor(id);
            if (info.state != 99 && info.state != WR_ACTOR_DEAD && info.spec.name.bytes > 0) {
                holders[Text(info.spec.name)]++;
            }
        }
        for (auto &[name, n] : holders) {
            EXPECT_EQ(1, n) << name;
        }
    }
    size_t acked() const {
        return acked_.size();
    }
    int crashes = 0;

  private:
    uint32_t Pick(uint32_t n) {
        return static_cast<uint32_t>(random_() % n);
    }
    uint32_t AnyNode() {
        return incs_[Pick(static_cast<uint32_t>(incs_.size()))];
    }
    void OneStep() {
        switch (Pick(12)) {
        case 0:
        case 1:
        case 2: {
            uint32_t from = AnyNode();
            uint64_t number = next_++;
            World::ActorOptions o = {Pick(2) ? "name" + std::to_string(Pick(5)) : "", kOneCpu};
            o.max_restarts = static_cast<int32_t>(Pick(3));
            made_[number] = w_.New(from, number, o);
            break;
        }
        case 3:
            if (!made_.empty()) {
                auto it = made_.begin();
                std::advance(it, Pick(static_cast<uint32_t>(made_.size())));
                w_.Say(AnyNode(), Pick(2) ? WR_MSG_KILL : WR_MSG_OUTOFSCOPE, it->second, 0, true);
            }
            break;
        case 4:
            if (!hosted_.empty()) {
                auto it = hosted_.begin();
                std::advance(it, Pick(static_cast<uint32_t>(hosted_.size())));
                w_.Say(it->second.first, WR_MSG_ENDED, made_[it->first], it->second.second);
                hosted_.erase(it);
            }
            break;
        case 5:
        case 6:
            w_.Flush(Pick(6));
            break;
        case 7:
        case 8:
            w_.Flush();
            break;
        case 9:
            for (uint32_t inc : incs_) {
                w_.Heartbeat(inc);
            }
            w_.Tick();
            break;
        case 10: {
            uint32_t inc = AnyNode();
            w_.Sync(inc, "CPU=8", 1u << 30);
            break;
        }
        default:
            if (Pick(4) == 0) {
                crashes++;
                w_.Flush(Pick(4));
                Deliver();
                w_.Crash();
                for (uint32_t inc : incs_) {
                    std::vector<wr_hosted> hosted;
                    for (auto &[number, place] : hosted_) {
                        if (place.first == inc) {
                            hosted.push_back({made_[number], place.second, true, 1});
                        }
                    }
                    w_.Rereg(inc, hosted);
                    w_.Sync(inc, "CPU=8", 1u << 30);
                }
            }
        }
    }
    void Deliver() {
        auto sent = std::move(w_.sent);
        w_.sent.clear();
        for (auto &s : sent) {
            uint64_t number = 0;
            uint32_t node = static_cast<uint32_t>(s.dest);
            if (s.msg->type == WR_MSG_ACK && s.msg->u.ack.of == WR_MSG_NEW && s.msg->u.ack.status == WR_OK) {
                memcpy(&number, s.msg->u.ack.actor.bytes + 8, 8);
                acked_[number] = s.msg->u.ack.actor;
            } else if (s.msg->type == WR_MSG_START) {
                memcpy(&number, s.msg->u.start.spec.actor.bytes + 8, 8);
                uint64_t n = s.msg->u.start.n;
                auto place = places_.emplace(std::make_pair(number, n), node);
                EXPECT_EQ(node, place.first->second) << "an (actor, n) belongs to one node for ever";
                auto &last = last_n_[number];
                EXPECT_GE(n, last);
                last = n;
                hosted_[number] = {node, n};
                w_.Say(node, WR_MSG_STARTED, s.msg->u.start.spec.actor, n);
            } else if (s.msg->type == WR_MSG_STOP) {
                memcpy(&number, s.msg->u.stop.actor.bytes + 8, 8);
                auto it = hosted_.find(number);
                if (it != hosted_.end() && it->second.second == s.msg->u.stop.n) {
                    hosted_.erase(it);
                }
            }
        }
    }
    std::mt19937 random_;
    World w_;
    std::vector<uint32_t> incs_;
    std::map<uint64_t, wr_actor_id> made_, acked_;
    std::map<uint64_t, std::pair<uint32_t, uint64_t>> hosted_;
    std::map<std::pair<uint64_t, uint64_t>, uint32_t> places_;
    std::map<uint64_t, uint64_t> last_n_;
    uint64_t next_ = 1;
};

TEST(GcsCoreChaosTest, NoAcknowledgedActorIsLostAndNoPlaceIsGivenTwice) {
    int crashes = 0;
    size_t acked = 0;
    for (uint32_t seed = 1; seed <= 60; seed++) {
        SCOPED_TRACE(seed);
        Chaos chaos(seed);
        chaos.Run(300);
        crashes += chaos.crashes;
        acked += chaos.acked();
        if (HasFailure()) {
            break;
        }
    }
    EXPECT_GT(crashes, 100);
    EXPECT_GT(acked, 1000u);
}

} // namespace

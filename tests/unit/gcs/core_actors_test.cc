// The GCS's core, rule by rule: actors. The numbers in brackets are those of engine/gcs/README.md.
#include <gtest/gtest.h>

#include "core_world.h"

namespace {

const std::string kOneCpu = ClassKey("CPU=1");

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

} // namespace

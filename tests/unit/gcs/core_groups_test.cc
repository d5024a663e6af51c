// The GCS's core, rule by rule: placement groups, grants. The numbers in brackets are those of engine/gcs/README.md.
#include <gtest/gtest.h>

#include "core_world.h"

namespace {

const std::string kOneCpu = ClassKey("CPU=1");

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

} // namespace

#include "cluster_sim.h"

#include <cstring>

using sim::Node;

namespace {
wr_strategy InGroup(const wr_pg_id &id, int32_t bundle = -1) {
    wr_strategy s = {};
    s.kind = WR_STRATEGY_PLACEMENT_GROUP;
    s.pg = id;
    s.bundle = bundle;
    return s;
}
} // namespace

TEST(Groups, OneIsReservedReadyUsedAndRemoved) {
    sim::Cluster c;
    Node *n = c.Add("CPU=4", 4);
    uint32_t job = n->Job();
    wr_pg_id id = n->Group(job, {"CPU=1", "CPU=2"});
    c.Pass(50);
    const sim::Cmd *ready = n->Last(WR_CMD_PG_READY);
    ASSERT_NE(nullptr, ready);
    EXPECT_EQ(WR_OK, ready->status);
    EXPECT_EQ(1, n->AvailableOf("CPU"));
    EXPECT_EQ(2u, n->Counts().bundles);

    wr_strategy any = InGroup(id), second = InGroup(id, 1);
    uint16_t one = n->Class(job, "CPU=1", &any), two = n->Class(job, "CPU=2", &second);
    n->Queue(one, 100);
    EXPECT_EQ(3u, n->WorkersOf(one).size()) << "all of the group, and nothing outside of it";
    n->Queue(one, 0);
    n->Queue(two, 1);
    c.Pass(50);
    EXPECT_EQ(1u, n->WorkersOf(two).size());
    EXPECT_EQ(1, n->AvailableOf("CPU"));

    wr_raylet_core_group_remove(n->core, c.now, &id);
    c.Settle();
    c.Pass(50);
    EXPECT_TRUE(n->Saw(WR_CMD_PORT_FAIL, one));
    EXPECT_TRUE(n->Saw(WR_CMD_PORT_FAIL, two));
    EXPECT_EQ(WR_E_PG_REMOVED, n->Last(WR_CMD_PORT_FAIL)->status);
    EXPECT_EQ(4, n->AvailableOf("CPU"));
    EXPECT_EQ(0u, n->Counts().bundles);
    EXPECT_EQ(0u, n->Counts().wishes);
    wr_class cls = n->MakeClass(job, "CPU=1", &any);
    EXPECT_EQ(WR_E_PG_REMOVED, wr_raylet_core_class_check(n->core, &cls, nullptr));
}

TEST(Groups, ARequestThatFitsNoBundleIsRefusedAtOnce) {
    sim::Cluster c;
    Node *n = c.Add("CPU=4", 4);
    uint32_t job = n->Job();
    wr_pg_id id = n->Group(job, {"CPU=1", "CPU=2"});
    c.Pass(50);
    wr_strategy any = InGroup(id), first = InGroup(id, 0), beyond = InGroup(id, 2);
    wr_class cls = n->MakeClass(job, "CPU=3", &any);
    wr_error err = {};
    EXPECT_EQ(WR_E_INVALID, wr_raylet_core_class_check(n->core, &cls, &err));
    cls = n->MakeClass(job, "CPU=2", &first);
    EXPECT_EQ(WR_E_INVALID, wr_raylet_core_class_check(n->core, &cls, &err));
    cls = n->MakeClass(job, "CPU=1", &beyond);
    EXPECT_EQ(WR_E_INVALID, wr_raylet_core_class_check(n->core, &cls, &err));
    EXPECT_NE(nullptr, strstr(err.text, "bundles 0 to 1")) << err.text;
    wr_pg_id unknown = {};
    unknown.bytes[0] = 9;
    wr_strategy none = InGroup(unknown);
    cls = n->MakeClass(job, "CPU=1", &none);
    EXPECT_EQ(WR_E_NOT_FOUND, wr_raylet_core_class_check(n->core, &cls, &err));
}

TEST(Groups, OneWaitsUntilThereIsRoomAndThenBecomesReady) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "CPU=2", 0);
    n->Group(job, {"CPU=2"});
    c.Pass(300);
    EXPECT_EQ(nullptr, n->Last(WR_CMD_PG_READY));
    n->Die(n->WorkerOfActor(a));
    c.Pass(500);
    ASSERT_NE(nullptr, n->Last(WR_CMD_PG_READY));
    EXPECT_EQ(0, n->AvailableOf("CPU"));
}

TEST(Groups, ABusyNodeMakesRoomForOne) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->Queue(port, 1000000);
    n->Group(job, {"CPU=1", "CPU=1"});
    c.Pass(600);
    ASSERT_NE(nullptr, n->Last(WR_CMD_PG_READY));
    EXPECT_EQ(0u, n->WorkersOf(port).size());
}

TEST(Groups, DevicesOfABundleStayInIt) {
    sim::Cluster c;
    Node *n = c.Add("CPU=4,GPU=2", 4);
    uint32_t job = n->Job();
    wr_pg_id id = n->Group(job, {"GPU=1"});
    c.Pass(50);
    wr_strategy in = InGroup(id);
    uint16_t inside = n->Class(job, "GPU=1", &in), outside = n->Class(job, "GPU=1");
    n->Queue(inside, 2);
    n->Queue(outside, 2);
    ASSERT_EQ(1u, n->WorkersOf(inside).size());
    ASSERT_EQ(1u, n->WorkersOf(outside).size());
    wr_core_worker_info a, b;
    ASSERT_TRUE(wr_raylet_core_worker_info(n->core, n->WorkersOf(inside)[0], &a));
    ASSERT_TRUE(wr_raylet_core_worker_info(n->core, n->WorkersOf(outside)[0], &b));
    EXPECT_EQ(0u, a.gpus.devices & b.gpus.devices);
    EXPECT_EQ(3u, a.gpus.devices | b.gpus.devices);
}

TEST(Groups, ItsActorsEndWithIt) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    wr_pg_id id = n->Group(job, {"CPU=1"});
    c.Pass(50);
    wr_strategy in = InGroup(id);
    uint32_t a = n->Actor(job, "CPU=1", -1, "", false, 0, false, &in);
    ASSERT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(a).state);
    wr_raylet_core_group_remove(n->core, c.now, &id);
    c.Settle();
    c.Pass(50);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_DEAD), n->ActorInfo(a).state);
    EXPECT_EQ(static_cast<uint32_t>(WR_E_PG_REMOVED), n->ActorInfo(a).status);
    EXPECT_EQ(2, n->AvailableOf("CPU"));
}

TEST(Groups, RemovalBeforeItIsReadyEndsTheWait) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    wr_pg_id id = n->Group(job, {"CPU=9"});
    c.Pass(50);
    EXPECT_EQ(nullptr, n->Last(WR_CMD_PG_READY));
    wr_raylet_core_group_remove(n->core, c.now, &id);
    wr_raylet_core_group_remove(n->core, c.now, &id);
    c.Settle();
    ASSERT_NE(nullptr, n->Last(WR_CMD_PG_READY));
    EXPECT_EQ(WR_E_PG_REMOVED, n->Last(WR_CMD_PG_READY)->status);
    EXPECT_EQ(0u, n->Counts().wishes);
}

TEST(Groups, OnlyTheLastRemovedOnesAreRemembered) {
    sim::Cluster c;
    Node *n = c.Add("CPU=4", 4);
    uint32_t job = n->Job();
    wr_pg_id stays = n->Group(job, {"CPU=1"}), first = n->Group(job, {"CPU=1"});
    wr_strategy in_first = InGroup(first);
    n->Class(job, "CPU=1", &in_first);
    wr_raylet_core_group_remove(n->core, c.now, &first);
    for (uint32_t k = 0; k < WR_CORE_REMOVED_GROUPS_MAX + 10; k++) {
        wr_pg_id id = n->Group(job, {"CPU=1"});
        wr_raylet_core_group_remove(n->core, c.now, &id);
        n->Run();
        c.Settle();
        n->log.clear();
    }
    EXPECT_EQ(WR_CORE_REMOVED_GROUPS_MAX + 1u, n->Counts().groups);
    EXPECT_NE(WR_CORE_NONE, wr_raylet_core_group_find(n->core, &stays, nullptr));
    EXPECT_EQ(WR_CORE_NONE, wr_raylet_core_group_find(n->core, &first, nullptr));
    wr_class cls = n->MakeClass(job, "CPU=1", &in_first);
    EXPECT_EQ(WR_E_PG_REMOVED, wr_raylet_core_class_check(n->core, &cls, nullptr))
        << "forgotten, not unknown";
    wr_raylet_core_group_remove(n->core, c.now, &first);
    c.Settle();
    wr_raylet_core_job_end(n->core, c.now, job, false, "done");
    c.Settle();
    c.Pass(100);
    EXPECT_EQ(0u, n->Counts().groups);
}

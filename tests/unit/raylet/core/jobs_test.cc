#include "cluster_sim.h"

using sim::Node;

TEST(Jobs, TheEndOfOneEndsAllThatIsItsAndLeavesNothing) {
    sim::Cluster c;
    Node *n = c.Add("CPU=4", 4, 2);
    uint32_t job = n->Job(), other = n->Job();
    uint16_t port = n->Class(job, "CPU=1"), theirs = n->Class(other, "CPU=1");
    n->Queue(port, 5);
    n->Queue(theirs, 1);
    n->Actor(job, "", -1);
    n->Group(job, {"CPU=1"});
    c.Pass(50);
    uint32_t before = n->CountWorkers();
    EXPECT_GT(before, 4u);
    wr_raylet_core_job_end(n->core, c.now, job, true, "the driver has exited");
    n->queued[port] = 0;
    c.Settle();
    c.Pass(100);
    EXPECT_TRUE(n->Saw(WR_CMD_PORT_CLOSE, port));
    ASSERT_NE(nullptr, n->Last(WR_CMD_JOB_GONE));
    EXPECT_EQ(job, n->Last(WR_CMD_JOB_GONE)->job);
    EXPECT_EQ(1u, n->Counts().jobs);
    EXPECT_EQ(1u, n->Counts().classes);
    EXPECT_EQ(0u, n->Counts().bundles);
    EXPECT_EQ(0u, n->Counts().groups);
    EXPECT_EQ(0u, n->Counts().wishes);
    EXPECT_EQ(1u, n->WorkersOf(theirs).size()) << "the other job goes on";
    EXPECT_EQ(3, n->AvailableOf("CPU"));
}

TEST(Jobs, ADetachedActorOutlivesItsJobAndIsRestarted) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "", 2, "keeper", true, 500);
    ASSERT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(a).state);
    wr_raylet_core_job_end(n->core, c.now, job, false, "the driver has left");
    c.Settle();
    c.Pass(100);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(a).state);
    EXPECT_EQ(1u, n->Counts().jobs) << "its configuration is still needed";
    n->Die(n->WorkerOfActor(a));
    c.Pass(50);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(a).state);
    ASSERT_EQ(WR_OK, wr_raylet_core_actor_kill(n->core, c.now, a, true, nullptr));
    c.Settle();
    c.Pass(50);
    EXPECT_EQ(0u, n->Counts().jobs);
}

TEST(Jobs, OneWhoseDriverLeftBeforeItBeganIsForgotten) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    c.gcs_away = true;
    wr_nonce nonce = {};
    wr_job_info info = {};
    ASSERT_EQ(WR_OK,
              wr_raylet_core_job_start(n->core, c.now, 42, &nonce, &info, WR_LANGUAGE_PYTHON, 0, 3, nullptr));
    c.Settle();
    wr_raylet_core_job_abandon(n->core, 42);
    EXPECT_EQ(0u, n->Counts().jobs);
    EXPECT_EQ(0u, n->Counts().wishes);
}

TEST(Jobs, TheEndIsToldToEachNewGcsUntilItIsAcknowledged) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    c.gcs_away = true;
    wr_raylet_core_job_end(n->core, c.now, job, false, "");
    c.Settle();
    EXPECT_EQ(1u, n->Counts().wishes);
    c.gcs_away = false;
    c.NewEpochForNodes();
    EXPECT_EQ(0u, n->Counts().wishes);
}

TEST(Membership, ANodeThatIsDeclaredDeadEnds) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    wr_cluster_msg msg = {};
    msg.type = WR_MSG_YOUDEAD;
    msg.u.node.inc = wr_raylet_core_inc(n->core);
    wr_raylet_core_message(n->core, c.now, WR_DEST_GCS, &msg);
    n->Run();
    ASSERT_NE(nullptr, n->Last(WR_CMD_END));
    EXPECT_EQ(WR_E_NODE_DIED, n->Last(WR_CMD_END)->status);
}

TEST(Membership, ASilentNodeSendsHeartbeats) {
    sim::Cluster c;
    c.Add("CPU=2");
    c.to_gcs.clear();
    c.Pass(3000, 50);
    int beats = 0;
    for (wr_cluster_msg_type type : c.to_gcs) {
        beats += type == WR_MSG_HB;
    }
    EXPECT_GE(beats, 4);
    EXPECT_LE(beats, 8);
}

#include "cluster_sim.h"

#include <algorithm>
#include <cstring>

using sim::Node;

TEST(Actors, OneIsPlacedStartedAndReady) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "", 0);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(a).state);
    EXPECT_TRUE(n->ActorInfo(a).ready);
    EXPECT_NE(0, n->ActorInfo(a).pid);
    EXPECT_EQ(2, n->AvailableOf("CPU")) << "without options it holds nothing";
}

TEST(Actors, NamedResourcesAreHeldForLife) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2,GPU=1");
    uint32_t job = n->Job(), a = n->Actor(job, "CPU=1,GPU=1", 0);
    EXPECT_EQ(1, n->AvailableOf("CPU"));
    EXPECT_EQ(0, n->AvailableOf("GPU"));
    n->Die(n->WorkerOfActor(a));
    EXPECT_EQ(2, n->AvailableOf("CPU"));
    EXPECT_EQ(1, n->AvailableOf("GPU"));
}

TEST(Actors, OneThatDoesNotFitWaitsUntilAnotherEnds) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "CPU=2", 0), b = n->Actor(job, "CPU=1", 0);
    c.Pass(300);
    EXPECT_EQ(WR_CORE_NONE, n->WorkerOfActor(b));
    n->Die(n->WorkerOfActor(a));
    c.Pass(400);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(b).state);
}

TEST(Actors, OneThatTheLimitOfProcessesKeepsWaitingSaysSo) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), last = 0;
    for (uint32_t i = 0; i < WR_CORE_WORKERS_MAX; i++) {
        last = n->Actor(job, "", 0);
    }
    ASSERT_EQ(static_cast<uint32_t>(WR_CORE_WORKERS_MAX), n->CountWorkers());
    uint32_t waits = n->Actor(job, "", 0);
    n->Tick();
    EXPECT_EQ(WR_CORE_NONE, n->WorkerOfActor(waits));
    EXPECT_STREQ("this node runs 1000 worker processes, the most it can", n->ActorInfo(waits).text);
    n->Die(n->WorkerOfActor(last));
    n->Tick();
    EXPECT_NE(WR_CORE_NONE, n->WorkerOfActor(waits));
    EXPECT_STREQ("", n->ActorInfo(waits).text);
}

TEST(Actors, ABusyNodeMakesRoomForOneThatHoldsCpus) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->Queue(port, 1000000);
    ASSERT_EQ(2u, n->WorkersOf(port).size());
    uint32_t a = n->Actor(job, "CPU=1", 0);
    c.Pass(500);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(a).state);
    EXPECT_EQ(1u, n->WorkersOf(port).size());
}

TEST(Actors, OneIsRestartedWithinItsLimitAndThenDead) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "", 1);
    uint16_t port = n->ActorInfo(a).spec->port;
    uint32_t first = n->WorkerOfActor(a);
    n->log.clear();
    n->Die(first, "was ended by signal 9");
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(a).state);
    EXPECT_EQ(1u, n->ActorInfo(a).restarts);
    /* First the port says so, then the dead is reaped, then heads go back, then it is open again. */
    std::vector<wr_core_cmd_type> order;
    for (const sim::Cmd &cmd : n->log) {
        if (cmd.type == WR_CMD_SLOT_DEAD ||
            ((cmd.type == WR_CMD_PORT_STATE || cmd.type == WR_CMD_REWIND) && cmd.port == port)) {
            order.push_back(cmd.type);
        }
    }
    EXPECT_EQ((std::vector<wr_core_cmd_type>{WR_CMD_PORT_STATE, WR_CMD_SLOT_DEAD, WR_CMD_REWIND,
                                             WR_CMD_PORT_STATE}),
              order);
    EXPECT_FALSE(n->Saw(WR_CMD_PORT_FAIL, port));
    n->Die(n->WorkerOfActor(a), "was ended by signal 11");
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_DEAD), n->ActorInfo(a).state);
    EXPECT_TRUE(n->Saw(WR_CMD_PORT_FAIL, port));
    EXPECT_STREQ("was ended by signal 11", n->ActorInfo(a).text);
    c.Pass(100);
    EXPECT_EQ(0u, n->Counts().wishes) << "all of it was acknowledged";
}

TEST(Actors, AConstructorThatRaisesIsFinalAndItsTextIsTheCause) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    n->ctor_ok = false;
    uint32_t a = n->Actor(job, "CPU=1", 5);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_DEAD), n->ActorInfo(a).state);
    EXPECT_STREQ("ValueError: no", n->ActorInfo(a).text);
    EXPECT_EQ(static_cast<uint32_t>(WR_E_TASK_FAILED), n->ActorInfo(a).status);
    c.Pass(100);
    EXPECT_EQ(0u, n->CountWorkers());
    EXPECT_EQ(2, n->AvailableOf("CPU"));
}

TEST(Actors, ExitActorIsNotRestarted) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "", -1);
    uint32_t worker = n->WorkerOfActor(a);
    wr_raylet_core_worker_bye(n->core, worker, true, "");
    n->Die(worker, "exited with status 0");
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_DEAD), n->ActorInfo(a).state);
    EXPECT_NE(nullptr, strstr(n->ActorInfo(a).text, "exit_actor"));
}

TEST(Actors, KillWithRestartUsesUpARestart) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "", 1);
    uint32_t first = n->WorkerOfActor(a);
    ASSERT_EQ(WR_OK, wr_raylet_core_actor_kill(n->core, c.now, a, false, nullptr));
    c.Settle();
    c.Pass(100);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(a).state);
    EXPECT_EQ(1u, n->ActorInfo(a).restarts);
    (void)first;
    ASSERT_EQ(WR_OK, wr_raylet_core_actor_kill(n->core, c.now, a, false, nullptr));
    c.Settle();
    c.Pass(100);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_DEAD), n->ActorInfo(a).state);
}

TEST(Actors, KillWithoutRestartIsForGood) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "", -1);
    ASSERT_EQ(WR_OK, wr_raylet_core_actor_kill(n->core, c.now, a, true, nullptr));
    c.Settle();
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_DEAD), n->ActorInfo(a).state);
    EXPECT_TRUE(n->Saw(WR_CMD_PORT_FAIL, n->ActorInfo(a).spec->port));
    c.Pass(200);
    EXPECT_EQ(0u, n->CountWorkers());
}

TEST(Actors, TheLastHandleGoneEndsItAfterItsQueuedCalls) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "", -1);
    uint64_t tag = n->watches.at(n->ActorInfo(a).spec->handle);
    uint16_t port = n->ActorInfo(a).spec->port;
    uint32_t cursor = 0, draining = WR_CORE_NONE;
    EXPECT_FALSE(wr_raylet_core_draining(n->core, &cursor, &draining));
    wr_raylet_core_unheld(n->core, c.now, tag);
    c.Settle();
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(a).state) << "calls may still be queued";
    cursor = 0;
    ASSERT_TRUE(wr_raylet_core_draining(n->core, &cursor, &draining));
    EXPECT_EQ(a, draining);
    n->log.clear();
    wr_raylet_core_drained(n->core, c.now, a);
    c.Settle();
    c.Pass(100);
    EXPECT_EQ(nullptr, n->Last(WR_CMD_KILL)) << "it is told to leave, and has time for its exit functions";
    EXPECT_TRUE(n->Saw(WR_CMD_PORT_CLOSE, port));
    EXPECT_EQ(0u, n->Counts().actors);
    EXPECT_EQ(0u, n->Counts().wishes);
    EXPECT_NE(c.to_gcs.end(), std::find(c.to_gcs.begin(), c.to_gcs.end(), WR_MSG_OUTOFSCOPE));
}

TEST(Actors, ANameIsGivenOnceAndFreeAgainAfterDeath) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "", 0, "bob", false, 500);
    ASSERT_EQ(WR_OK, n->Last(WR_CMD_REPLY)->status);
    EXPECT_EQ(a, n->Last(WR_CMD_REPLY)->worker);
    uint32_t second = n->Actor(job, "", 0, "bob", false, 501);
    EXPECT_EQ(501u, n->Last(WR_CMD_REPLY)->ticket);
    EXPECT_EQ(WR_E_EXISTS, n->Last(WR_CMD_REPLY)->status);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_DEAD), n->ActorInfo(second).state);
    n->Actor(job, "", 0, "bob", false, 502, true);
    EXPECT_EQ(WR_OK, n->Last(WR_CMD_REPLY)->status);
    EXPECT_TRUE(n->Last(WR_CMD_REPLY)->flag) << "the present one";
    EXPECT_EQ(a, n->Last(WR_CMD_REPLY)->worker);
    n->Die(n->WorkerOfActor(a));
    c.Pass(100);
    n->Actor(job, "", 0, "bob", false, 503);
    EXPECT_EQ(WR_OK, n->Last(WR_CMD_REPLY)->status);
    EXPECT_FALSE(n->Last(WR_CMD_REPLY)->flag);
}

TEST(Actors, ANameIsFoundOrNotAndLostQuestionsAreAskedAgain) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), a = n->Actor(job, "", 0, "bob", false, 500);
    ASSERT_EQ(WR_OK, wr_raylet_core_actor_find(n->core, c.now, 600, "ns", "bob", nullptr));
    c.Settle();
    EXPECT_EQ(a, n->Last(WR_CMD_REPLY)->worker);
    ASSERT_EQ(WR_OK, wr_raylet_core_actor_find(n->core, c.now, 601, "ns", "rob", nullptr));
    c.Settle();
    EXPECT_EQ(WR_E_NOT_FOUND, n->Last(WR_CMD_REPLY)->status);
    c.gcs_away = true;
    ASSERT_EQ(WR_OK, wr_raylet_core_actor_find(n->core, c.now, 602, "ns", "bob", nullptr));
    c.Settle();
    EXPECT_EQ(601u, n->Last(WR_CMD_REPLY)->ticket);
    c.gcs_away = false;
    c.NewEpochForNodes();
    EXPECT_EQ(602u, n->Last(WR_CMD_REPLY)->ticket);
    EXPECT_EQ(a, n->Last(WR_CMD_REPLY)->worker);
}

TEST(Actors, WishesMadeWhileTheGcsIsAwayAreRepeated) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    c.gcs_away = true;
    uint32_t a = n->Actor(job, "", 0);
    c.Pass(200);
    EXPECT_EQ(WR_CORE_NONE, n->WorkerOfActor(a));
    EXPECT_EQ(1u, n->Counts().wishes);
    c.gcs_away = false;
    c.NewEpochForNodes();
    c.Pass(50);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_ALIVE), n->ActorInfo(a).state);
    EXPECT_EQ(0u, n->Counts().wishes);
}

TEST(Actors, ANamedOneWaitsForTheGcsButNotForEver) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    c.gcs_away = true;
    wr_raylet_core_lost(n->core, c.now);
    uint32_t patient = n->Actor(job, "", 0, "bob", false, 700);
    c.Pass(1000, 100);
    EXPECT_EQ(nullptr, n->Last(WR_CMD_REPLY));
    c.gcs_away = false;
    c.NewEpochForNodes();
    ASSERT_NE(nullptr, n->Last(WR_CMD_REPLY));
    EXPECT_EQ(WR_OK, n->Last(WR_CMD_REPLY)->status);
    EXPECT_EQ(patient, n->Last(WR_CMD_REPLY)->worker);
    c.gcs_away = true;
    uint32_t late = n->Actor(job, "", 0, "eve", false, 701);
    c.Pass(WR_CORE_QUERY_NS / sim::kMs + 200, 200);
    EXPECT_EQ(701u, n->Last(WR_CMD_REPLY)->ticket);
    EXPECT_EQ(WR_E_UNAVAILABLE, n->Last(WR_CMD_REPLY)->status);
    EXPECT_EQ(static_cast<uint32_t>(WR_ACTOR_DEAD), n->ActorInfo(late).state);
}

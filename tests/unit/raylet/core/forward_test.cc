// Two raylet cores and a GCS core, wired by queues: a task that does not fit here runs there, and its result comes home.
#include "cluster_sim.h"

#include <cstring>

using sim::Node;

namespace {

/* Runs what other nodes sent here, as workers would: each result is "ran on <inc>". */
void RunForeign(sim::Cluster &c, Node *n) {
    auto all = n->foreign;
    n->foreign.clear();
    for (auto &item : all) {
        std::string text = "ran on " + std::to_string(wr_raylet_core_inc(n->core));
        wr_done_result result = {};
        result.value = wr_span_of(text.data(), static_cast<uint32_t>(text.size()));
        wr_msg_done done = {};
        done.status = WR_OK;
        done.started = true;
        done.results = &result;
        done.result_count = 1;
        wr_raylet_core_foreign_end(n->core, c.now, item.first, &done);
    }
    c.Settle();
}

} // namespace

TEST(Forward, ATaskThatDoesNotFitHereRunsThereAndItsResultComesHome) {
    sim::Cluster c;
    Node *home = c.Add("CPU=1", 1), *away = c.Add("CPU=1,x=4", 1);
    uint32_t job = home->Job();
    uint16_t port = home->Class(job, "x=1");
    for (uint64_t handle = 101; handle <= 103; handle++) {
        home->cells[handle] = "queued";
    }
    home->Queue(port, 3);
    c.Pass(250);
    EXPECT_EQ(3u, home->Counts().sent) << "demand, grant, cells forwarded";
    EXPECT_EQ(3u, away->Counts().foreign);
    EXPECT_EQ(0u, home->CountWorkers());
    for (uint64_t handle = 101; handle <= 103; handle++) {
        EXPECT_EQ("sent", home->cells[handle]);
    }
    RunForeign(c, away);
    for (uint64_t handle = 101; handle <= 103; handle++) {
        EXPECT_EQ("ran on 2", home->cells[handle]);
    }
    EXPECT_EQ(0u, home->Counts().sent);
    EXPECT_EQ(0u, away->Counts().foreign);
    c.Pass(300);
    EXPECT_EQ(4, away->AvailableOf("x"));
}

TEST(Forward, ATaskThatCannotBeginThereComesBackAndIsQueuedAgain) {
    sim::Cluster c;
    Node *home = c.Add("CPU=1", 1);
    Node *away = c.Add("CPU=1,x=1", 1);
    uint32_t job = home->Job();
    uint16_t port = home->Class(job, "x=1");
    home->cells[101] = "queued";
    home->Queue(port, 1);
    c.Pass(300);
    ASSERT_EQ(1u, away->Counts().foreign);
    c.Pass(WR_CORE_RETURN_NS / sim::kMs + 50);
    EXPECT_NE(nullptr, away->Last(WR_CMD_UNRUN));
    const sim::Cmd *back = home->Last(WR_CMD_PUT_BACK);
    ASSERT_NE(nullptr, back);
    EXPECT_EQ(101u, back->handle);
    EXPECT_FALSE(back->flag) << "it had not begun: no attempt is used up";
}

TEST(Forward, TheDeathOfTheOtherNodeUsesUpAnAttempt) {
    sim::Cluster c;
    Node *home = c.Add("CPU=1", 1), *away = c.Add("CPU=1,x=1", 1);
    uint32_t job = home->Job();
    uint16_t port = home->Class(job, "x=1");
    home->cells[101] = "queued";
    home->Queue(port, 1);
    c.Pass(200);
    ASSERT_EQ(1u, away->Counts().foreign);
    wr_cluster_msg msg = {};
    msg.type = WR_MSG_DEAD;
    msg.u.node.inc = wr_raylet_core_inc(away->core);
    wr_raylet_core_message(home->core, c.now, WR_DEST_GCS, &msg);
    home->Run();
    ASSERT_NE(nullptr, home->Last(WR_CMD_PUT_BACK));
    EXPECT_TRUE(home->Last(WR_CMD_PUT_BACK)->flag);
    EXPECT_EQ(0u, home->Counts().sent);
    /* A late answer of the dead node changes nothing. */
    RunForeign(c, away);
    EXPECT_EQ("queued", home->cells[101]);
}

TEST(Forward, LocalWorkNeverLeavesTheNode) {
    sim::Cluster c;
    Node *home = c.Add("CPU=2", 2);
    c.Add("CPU=2", 2);
    uint32_t job = home->Job();
    uint16_t port = home->Class(job, "CPU=1");
    home->cells[101] = "queued";
    home->cells[102] = "queued";
    home->Queue(port, 2);
    home->queued[port] = 0;
    c.Pass(300);
    EXPECT_EQ(0u, home->Counts().sent);
    EXPECT_EQ(2u, home->WorkersOf(port).size());
}

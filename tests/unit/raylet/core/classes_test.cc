#include "cluster_sim.h"

using sim::kMs;
using sim::Node;

TEST(Classes, AWorkerIsStartedAndAssignedWhenWorkWaits) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    EXPECT_EQ(0u, n->CountWorkers());
    n->Queue(port, 1);
    EXPECT_EQ(1u, n->WorkersOf(port).size());
    EXPECT_EQ(1, n->AvailableOf("CPU"));
    wr_core_cmd_type type = WR_CMD_ASSIGN;
    ASSERT_NE(nullptr, n->Last(type));
    EXPECT_EQ(port, n->Last(type)->word & 0xffff);
}

TEST(Classes, WorkersArePrestartedForAJob) {
    sim::Cluster c;
    Node *n = c.Add("CPU=4", 4, 2);
    uint32_t job = n->Job();
    EXPECT_EQ(2u, n->Counts().workers_idle);
    uint16_t port = n->Class(job, "CPU=1");
    n->Queue(port, 2);
    EXPECT_EQ(2u, n->WorkersOf(port).size());
    EXPECT_EQ(2u, n->CountWorkers()) << "no more were started";
}

TEST(Classes, NoMoreIsAssignedThanTheNodeHas) {
    sim::Cluster c;
    Node *n = c.Add("CPU=3,x=1");
    uint32_t job = n->Job();
    uint16_t ones = n->Class(job, "CPU=1"), x = n->Class(job, "CPU=0.5,x=0.4");
    n->Queue(ones, 1000);
    EXPECT_EQ(3u, n->WorkersOf(ones).size());
    EXPECT_EQ(3u, n->CountWorkers()) << "workers that could not be used are not started";
    n->Queue(ones, 0);
    n->Queue(x, 1000);
    EXPECT_EQ(2u, n->WorkersOf(x).size()) << "0.4 of x fits twice";
}

TEST(Classes, OneThatCanGetNoWorkerIsNotHungryForMoreOfWhatItWaitsFor) {
    sim::Cluster c;
    Node *n = c.Add("CPU=1");
    uint32_t job = n->Job();
    uint16_t first = n->Class(job, "CPU=1"), second = n->Class(job, "CPU=0.5");
    n->Queue(first, 1);
    ASSERT_EQ(1u, n->WorkersOf(first).size());
    n->busy[n->WorkersOf(first)[0]] = WR_RUNNING;
    n->Tick();
    const auto hungry = [&] {
        const sim::Cmd *last = nullptr;
        for (const sim::Cmd &cmd : n->log) {
            last = cmd.type == WR_CMD_TAKERS && cmd.port == second ? &cmd : last;
        }
        return last != nullptr && last->flag;
    };
    EXPECT_TRUE(hungry()) << "the first task is news";
    n->Queue(second, 1);
    EXPECT_FALSE(hungry()) << "a second one is not";
    n->Queue(second, 0);
    EXPECT_TRUE(hungry());
}

TEST(Classes, AWorkerComesForWhatABusyOneHasReserved) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->Queue(port, 1);
    ASSERT_EQ(1u, n->WorkersOf(port).size());
    uint32_t first = n->WorkersOf(port)[0];
    n->busy[first] = WR_RUNNING;
    n->Queue(port, 0);
    n->Tick();
    ASSERT_EQ(1u, n->WorkersOf(port).size());
    n->reserved[first] = 1; // taken together with the long one that it runs
    n->Tick();
    EXPECT_EQ(2u, n->WorkersOf(port).size());
}

TEST(Classes, NobodyIsStartedForWhatADeadWorkerHadTaken) {
    sim::Cluster c;
    Node *n = c.Add("CPU=1");
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->Queue(port, 1);
    ASSERT_EQ(1u, n->WorkersOf(port).size());
    n->queued[port] = 0; // taken since the raylet looked
    n->Die(n->WorkersOf(port)[0], "left after max_calls");
    EXPECT_EQ(0u, n->CountWorkers());
    n->Tick();
    EXPECT_EQ(0u, n->CountWorkers());
}

TEST(Classes, StartingWorkersAreNotStartedTwice) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->auto_start = false;
    n->Queue(port, 100);
    for (int i = 0; i < 5; i++) {
        n->Tick();
    }
    EXPECT_EQ(2u, n->Counts().workers_starting);
    n->auto_start = true;
    n->Tick();
    EXPECT_EQ(2u, n->WorkersOf(port).size());
}

TEST(Classes, IdleWorkersGoToAnotherClassOfTheirJobButNotToAnotherJob) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job(), other = n->Job();
    uint16_t a = n->Class(job, "CPU=1"), b = n->Class(job, "CPU=2"), theirs = n->Class(other, "CPU=1");
    n->Queue(a, 2);
    ASSERT_EQ(2u, n->WorkersOf(a).size());
    n->Queue(a, 0);
    EXPECT_EQ(2, n->AvailableOf("CPU")) << "what idle workers hold counts as available";
    n->Queue(b, 1);
    n->Tick();
    EXPECT_EQ(1u, n->WorkersOf(b).size());
    EXPECT_EQ(2u, n->CountWorkers());
    n->Queue(b, 0);
    n->Queue(theirs, 1);
    n->Tick();
    ASSERT_EQ(1u, n->WorkersOf(theirs).size());
    EXPECT_EQ(3u, n->CountWorkers()) << "a worker of its own";
}

TEST(Classes, AClassWithEndlessWorkDoesNotStarveAnother) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    uint16_t endless = n->Class(job, "CPU=1"), other = n->Class(job, "CPU=0.5");
    n->Queue(endless, 1000000);
    ASSERT_EQ(2u, n->WorkersOf(endless).size());
    n->Queue(other, 1);
    EXPECT_EQ(0u, n->WorkersOf(other).size()) << "not before a slice is over";
    c.Pass(WR_CORE_SLICE_NS / kMs + 10);
    EXPECT_EQ(1u, n->WorkersOf(other).size());
    EXPECT_EQ(1u, n->WorkersOf(endless).size());
}

TEST(Classes, AWorkerIsRecalledOnlyBetweenTwoTasks) {
    sim::Cluster c;
    Node *n = c.Add("CPU=1", 1);
    uint32_t job = n->Job();
    uint16_t endless = n->Class(job, "CPU=1"), other = n->Class(job, "CPU=0.5");
    n->Queue(endless, 1000000);
    ASSERT_EQ(1u, n->WorkersOf(endless).size());
    uint32_t worker = n->WorkersOf(endless)[0];
    n->deaf.insert(worker);
    n->Queue(other, 1);
    c.Pass(200);
    EXPECT_EQ(0u, n->WorkersOf(other).size());
    EXPECT_EQ(0, n->AvailableOf("CPU")) << "its task still runs on it";
    n->deaf.erase(worker);
    n->Tick();
    n->Tick();
    EXPECT_EQ(1u, n->WorkersOf(other).size());
}

TEST(Classes, JobsShareTheNodeWhateverTheirNumberOfClasses) {
    sim::Cluster c;
    Node *n = c.Add("CPU=4,memory=100", 4);
    uint32_t greedy = n->Job(), modest = n->Job();
    uint16_t a = n->Class(greedy, "CPU=1"), a2 = n->Class(greedy, "CPU=1,memory=1"),
             b = n->Class(modest, "CPU=1");
    n->Queue(a, 1000000);
    n->Queue(a2, 1000000);
    ASSERT_EQ(4u, n->WorkersOf(a).size());
    n->Queue(b, 1000000);
    c.Pass(500);
    EXPECT_EQ(2u, n->WorkersOf(a).size() + n->WorkersOf(a2).size());
    EXPECT_EQ(2u, n->WorkersOf(b).size());
}

TEST(Classes, ARequestForTheWholeNodeIsServedWhileSmallOnesPour) {
    sim::Cluster c;
    Node *n = c.Add("CPU=4", 4);
    uint32_t job = n->Job();
    uint16_t small = n->Class(job, "CPU=1"), whole = n->Class(job, "CPU=4");
    n->Queue(small, 1000000);
    ASSERT_EQ(4u, n->WorkersOf(small).size());
    n->Queue(whole, 1);
    bool served = false;
    for (int i = 0; i < 200 && !served; i++) {
        c.Pass(5);
        served = !n->WorkersOf(whole).empty();
    }
    EXPECT_TRUE(served);
}

TEST(Classes, ABlockedWorkerGivesItsCpuBackAndMayOverdrawOnReturn) {
    sim::Cluster c;
    Node *n = c.Add("CPU=1", 1);
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->Queue(port, 1);
    ASSERT_EQ(1u, n->WorkersOf(port).size());
    uint32_t parent = n->WorkersOf(port)[0];
    ASSERT_EQ(0u, n->queued[port]);
    n->queued[port] = 1; /* its child waits while it blocks */
    n->busy[parent] = WR_BLOCKED;
    n->Tick();
    n->Tick();
    ASSERT_EQ(2u, n->WorkersOf(port).size()) << "the child has a worker: no deadlock";
    n->queued[port] = 0;
    n->busy[parent] = WR_RUNNING;
    for (uint32_t w : n->WorkersOf(port)) {
        n->busy[w] = WR_RUNNING;
    }
    n->Tick();
    EXPECT_EQ(-1, n->AvailableOf("CPU")) << "both run: the account is overdrawn until one is done";
    EXPECT_EQ(nullptr, wr_raylet_core_check(n->core));
}

TEST(Classes, AnInfeasibleClassSaysWhatItNeedsAndWhatThereIs) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2,GPU=1");
    uint32_t job = n->Job();
    wr_class cls = n->MakeClass(job, "GPU=4");
    char why[256];
    EXPECT_FALSE(wr_raylet_core_class_feasible(n->core, &cls, why, sizeof why));
    EXPECT_NE(std::string::npos, std::string(why).find("GPU=4")) << why;
    uint16_t port = n->Class(job, "GPU=4");
    n->Queue(port, 5);
    c.Pass(100);
    EXPECT_EQ(0u, n->CountWorkers()) << "no worker is started for what cannot run";
    uint32_t cursor = 0;
    wr_core_class_info info;
    ASSERT_TRUE(wr_raylet_core_class_info(n->core, &cursor, &info));
    EXPECT_EQ(5u, info.queued);
}

TEST(Classes, HardAffinityToANodeThatIsNotThereIsRefused) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    wr_strategy strategy = {};
    strategy.kind = WR_STRATEGY_NODE_AFFINITY;
    strategy.node = wr_raylet_core_inc(n->core);
    wr_class cls = n->MakeClass(job, "CPU=1", &strategy);
    EXPECT_EQ(WR_OK, wr_raylet_core_class_check(n->core, &cls, nullptr));
    cls.strategy.node = 99;
    EXPECT_EQ(WR_E_UNSCHEDULABLE, wr_raylet_core_class_check(n->core, &cls, nullptr));
    cls.strategy.soft = true;
    EXPECT_EQ(WR_OK, wr_raylet_core_class_check(n->core, &cls, nullptr));
}

TEST(Workers, OneThatHasDevicesIsStartedWithThemAndNotUsedWithOthers) {
    sim::Cluster c;
    Node *n = c.Add("CPU=4,GPU=2", 4);
    uint32_t job = n->Job();
    uint16_t gpu = n->Class(job, "CPU=1,GPU=1"), cpu = n->Class(job, "CPU=1"),
             half = n->Class(job, "GPU=0.5");
    n->Queue(gpu, 2);
    std::vector<uint32_t> workers = n->WorkersOf(gpu);
    ASSERT_EQ(2u, workers.size());
    wr_core_worker_info a, b;
    ASSERT_TRUE(wr_raylet_core_worker_info(n->core, workers[0], &a));
    ASSERT_TRUE(wr_raylet_core_worker_info(n->core, workers[1], &b));
    EXPECT_EQ(3u, a.gpus.devices | b.gpus.devices);
    EXPECT_EQ(0u, a.gpus.devices & b.gpus.devices);
    n->Queue(gpu, 0);
    n->Queue(half, 1);
    n->Tick();
    n->Tick();
    EXPECT_EQ(1u, n->WorkersOf(gpu).size()) << "one was ended for its device";
    ASSERT_EQ(1u, n->WorkersOf(half).size());
    wr_core_worker_info h;
    ASSERT_TRUE(wr_raylet_core_worker_info(n->core, n->WorkersOf(half)[0], &h));
    EXPECT_NE(a.slot, h.slot) << "another process";
    EXPECT_NE(b.slot, h.slot);
    n->Queue(cpu, 1);
    EXPECT_EQ(1u, n->WorkersOf(cpu).size());
}

TEST(Workers, IdleOnesBeyondTheCpusEndAfterAWhile) {
    sim::Cluster c;
    Node *n = c.Add("CPU=8", 2);
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->Queue(port, 6);
    ASSERT_EQ(6u, n->WorkersOf(port).size());
    n->Queue(port, 0);
    c.Pass(500, 50);
    EXPECT_EQ(6u, n->CountWorkers());
    c.Pass(4000, 50);
    EXPECT_EQ(2u, n->CountWorkers());
    EXPECT_EQ(2u, n->Counts().workers_idle);
}

TEST(Workers, TasksWhoseWorkersCannotStartFailInsteadOfWaiting) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->start_fails = true;
    n->Queue(port, 3);
    for (int i = 0; i < 5; i++) {
        n->Tick();
    }
    const sim::Cmd *fail = n->Last(WR_CMD_PORT_FAIL);
    ASSERT_NE(nullptr, fail);
    EXPECT_EQ(port, fail->port);
    EXPECT_EQ(WR_E_ENV_SETUP, fail->status);
    EXPECT_NE(std::string::npos, fail->text.find("no such file")) << fail->text;
    n->start_fails = false;
    n->queued[port] = 0;
    uint16_t again = n->Class(job, "CPU=1");
    EXPECT_NE(port, again) << "a new try, with a new port";
    n->Queue(again, 1);
    EXPECT_EQ(1u, n->WorkersOf(again).size());
}

TEST(Workers, OnesThatNeverSayHelloAreGivenUpAndFailTheirTasksInTheEnd) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->auto_start = false;
    n->hangs = true;
    n->Queue(port, 1);
    ASSERT_EQ(1u, n->Counts().workers_starting);
    c.Pass(59000, 500);
    EXPECT_EQ(nullptr, n->Last(WR_CMD_KILL)) << "it has 60 s";
    c.Pass(2000, 500);
    const sim::Cmd *killed = n->Last(WR_CMD_KILL);
    ASSERT_NE(nullptr, killed);
    EXPECT_TRUE(killed->flag);
    EXPECT_EQ(1u, n->Counts().workers_starting) << "another is started";
    EXPECT_FALSE(n->Saw(WR_CMD_PORT_FAIL, port));
    c.Pass(125000, 500);
    const sim::Cmd *fail = n->Last(WR_CMD_PORT_FAIL);
    ASSERT_NE(nullptr, fail) << "the third in a row";
    EXPECT_EQ(port, fail->port);
    EXPECT_EQ(WR_E_ENV_SETUP, fail->status);
    EXPECT_NE(std::string::npos, fail->text.find("killed by the raylet"))
        << "the shell's text: " << fail->text;
    n->queued[port] = 0;
}

TEST(Workers, OneThatIsNotNeededAnyMoreIsNotWaitedForForEver) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    n->auto_start = false;
    n->hangs = true;
    n->Queue(n->Class(job, "CPU=1"), 1);
    wr_raylet_core_job_end(n->core, c.now, job, false, "the driver has left");
    c.Settle();
    EXPECT_EQ(1u, n->CountWorkers()) << "its process may still come";
    c.Pass(61000, 500);
    EXPECT_EQ(0u, n->CountWorkers());
    EXPECT_EQ(0u, n->Counts().jobs);
}

TEST(Workers, OneThatHasSaidHelloHasNoSuchDeadline) {
    sim::Cluster c;
    Node *n = c.Add("CPU=1", 1);
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->Queue(port, 1);
    uint32_t worker = n->WorkersOf(port).at(0);
    c.Pass(70000, 500);
    EXPECT_EQ(nullptr, n->Last(WR_CMD_KILL));
    EXPECT_EQ(worker, n->WorkersOf(port).at(0));
}

TEST(Workers, TheDeathOfOneFreesWhatItHeldAndNamesItsEnd) {
    sim::Cluster c;
    Node *n = c.Add("CPU=1", 1);
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->Queue(port, 2);
    uint32_t worker = n->WorkersOf(port).at(0);
    n->Die(worker, "was ended by signal 9");
    const sim::Cmd *dead = n->Last(WR_CMD_SLOT_DEAD);
    ASSERT_NE(nullptr, dead);
    EXPECT_EQ(WR_E_WORKER_DIED, dead->status);
    EXPECT_EQ("was ended by signal 9", dead->text);
    n->Tick();
    EXPECT_EQ(1u, n->WorkersOf(port).size()) << "another takes over";
}

TEST(Workers, AForcedEndGivesItsOwnReason) {
    sim::Cluster c;
    Node *n = c.Add("CPU=1", 1);
    uint32_t job = n->Job();
    uint16_t port = n->Class(job, "CPU=1");
    n->Queue(port, 1);
    wr_raylet_core_worker_kill(n->core, n->WorkersOf(port).at(0), WR_E_CANCELLED, "cancelled by force");
    c.Settle();
    const sim::Cmd *dead = n->Last(WR_CMD_SLOT_DEAD);
    ASSERT_NE(nullptr, dead);
    EXPECT_EQ(WR_E_CANCELLED, dead->status);
    EXPECT_EQ("cancelled by force", dead->text);
}

TEST(Classes, RoomIsNotKeptForEverForWhoMayNeverFit) {
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    uint16_t child = n->Class(job, "CPU=1"), task = n->Class(job, "CPU=0.9");
    n->Queue(task, 1);
    ASSERT_EQ(1u, n->WorkersOf(task).size());
    n->deaf.insert(n->WorkersOf(task)[0]); /* it runs until its child has run, and does not block in a get */
    uint32_t actor = n->Actor(job, "CPU=2", 0);
    n->Queue(child, 1);
    c.Pass(500);
    EXPECT_EQ(WR_CORE_NONE, n->WorkerOfActor(actor));
    EXPECT_EQ(1u, n->queued[child]) << "at first room is kept for the actor";
    c.Pass((WR_CORE_KEEP_NS / kMs) + 100, 20);
    EXPECT_EQ(0u, n->queued[child]) << "then the child was taken: no deadlock";
}

namespace {
std::vector<uint16_t> Unused(const sim::Cluster &c, const Node *n, bool scarce, uint64_t since_ms,
                             uint32_t max = 8) {
    std::vector<uint16_t> ports(max);
    ports.resize(wr_raylet_core_class_unused(n->core, c.now, scarce, since_ms * kMs, ports.data(), max));
    return ports;
}
} // namespace

TEST(Classes, TheLongestUnusedOnesMakeRoomWhenPortsAreScarce) { // N7
    sim::Cluster c;
    Node *n = c.Add("CPU=2");
    uint32_t job = n->Job();
    uint16_t first = n->Class(job, "CPU=1"), second, busy;
    c.Pass(2000);
    second = n->Class(job, "CPU=1.5");
    busy = n->Class(job, "CPU=2");
    n->Queue(busy, 1);
    c.Pass(2000);
    EXPECT_TRUE(Unused(c, n, false, 0).empty()) << "nobody needs the ports";
    EXPECT_TRUE(Unused(c, n, true, 60000).empty());
    auto ports = Unused(c, n, true, 1000, 1);
    ASSERT_EQ(1u, ports.size());
    EXPECT_EQ(first, ports[0]);
    ports = Unused(c, n, true, 1000);
    ASSERT_EQ(2u, ports.size()) << "never one with a worker";
    EXPECT_EQ(second, ports[1]);
    wr_raylet_core_class_used(n->core, c.now, second);
    EXPECT_EQ(std::vector<uint16_t>{first}, Unused(c, n, true, 1000)) << "it was just opened";

    wr_raylet_core_class_closed(n->core, first);
    EXPECT_NE(first, n->Class(job, "CPU=1")) << "it is opened anew";
    EXPECT_EQ(nullptr, wr_raylet_core_check(n->core));
}

TEST(Classes, ThoseOfRemovedGroupsAreGivenBackWithoutScarcity) { // N7
    sim::Cluster c;
    Node *n = c.Add("CPU=4", 4);
    uint32_t job = n->Job();
    wr_pg_id id = n->Group(job, {"CPU=4"});
    c.Pass(50);
    wr_strategy in = {};
    in.kind = WR_STRATEGY_PLACEMENT_GROUP;
    in.pg = id;
    for (uint32_t k = 1; k <= WR_CORE_FAILED_CLASSES_MAX; k++) {
        in.bundle = -1;
        n->Class(job, "CPU=" + std::to_string(k / 100.0), &in);
    }
    EXPECT_TRUE(Unused(c, n, false, 0, 100).empty());
    wr_raylet_core_group_remove(n->core, c.now, &id);
    c.Settle();
    auto ports = Unused(c, n, false, 0, 100);
    EXPECT_EQ(static_cast<size_t>(WR_CORE_FAILED_CLASSES_MAX), ports.size());
    for (uint16_t port : ports) {
        wr_raylet_core_class_closed(n->core, port);
    }
    EXPECT_TRUE(Unused(c, n, true, 0, 100).empty());
    wr_class cls = n->MakeClass(job, "CPU=1", &in);
    EXPECT_EQ(WR_E_PG_REMOVED, wr_raylet_core_class_check(n->core, &cls, nullptr));
}

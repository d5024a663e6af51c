// Ports of classes that are closed because no task names them (README, invariant 16).
#include "harness.h"

namespace {

class Ports : public ::testing::Test {
  protected:
    void SetUp() override {
        port = node.Port();
        calls = node.Port(true);
        a = node.Open();
        b = node.Open();
        for (Part *p : {a.get(), b.get()}) {
            node.Ring(port, *p);
        }
        node.Assign(port, *b);
    }
    std::vector<const Part *> All() {
        return {a.get(), b.get()};
    }

    Node node;
    uint16_t port = 0, calls = 0;
    std::unique_ptr<Part> a, b;
};

TEST_F(Ports, AClassPortThatNoTaskNamesIsClosedAndItsCallerOpensItAnew) {
    uint16_t used = node.Port(), waited = node.Port(), unused = node.Port();
    wr_task_spec s = {};
    s.reopens = true;
    for (uint16_t p : {used, waited, unused}) {
        node.Ring(p, *a);
    }
    wr_handle first = a->Submit(port, 0, 1);
    wr_handle queued = a->Submit(used, 0, 2), waiting = a->SubmitRefs(waited, 1, {first});
    std::vector<uint16_t> ports = {used, waited, unused, calls};
    s.port = unused;
    s.generation = wr_proc_port_generation(a->get(), unused);
    ASSERT_EQ(1u, wr_keeper_ports_close_unused(node.keeper, ports.data(), 4));
    EXPECT_EQ(unused, ports[0]);
    EXPECT_EQ(WR_CELL_READY, a->State(queued));
    EXPECT_EQ(WR_CELL_WAITING, a->State(waiting));
    EXPECT_EQ(WR_PORT_OPEN, wr_proc_port_state(a->get(), calls, nullptr)) << "an actor's is not looked at";

    wr_handle h = 0;
    wr_error err = {};
    s.block = a->Block({}, 8, 0);
    EXPECT_EQ(WR_E_NOT_FOUND, wr_proc_submit(a->get(), &s, &h, &err)) << "and the block is gone";
    ASSERT_EQ(unused, node.Port());
    node.Ring(unused, *a);
    s.block = 0;
    s.generation = wr_proc_port_generation(a->get(), unused);
    h = a->SubmitSpec(s);
    wr_keeper_port_takers(node.keeper, used, 1, false);
    EXPECT_EQ(1, b->Work());
    node.Assign(used, *b);
    EXPECT_EQ(1, b->Work());
    node.Pass(); // b has no ring there: the raylet queues it
    node.Assign(waited, *b);
    EXPECT_EQ(1, b->Work());
    node.Assign(unused, *b);
    EXPECT_EQ(1, b->Work());
    EXPECT_EQ(kKindValue, a->Kind(waiting));
    wr_keeper_port_takers(node.keeper, used, 0, false);
    ports = {used, waited};
    EXPECT_EQ(2u, wr_keeper_ports_close_unused(node.keeper, ports.data(), 2)) << "all is done there";
    for (wr_handle done : {first, queued, waiting, h}) {
        a->Unref(done);
    }
    EXPECT_EQ("", node.AtRest(All()));
}

// The raylet looks again and again whether it may close the port, while tasks are submitted to it: queued ones, and ones that
// wait for an argument. Each was submitted, and is there until its caller withdraws it, or was refused.
TEST_F(Ports, NoTaskIsLostOrFailedByTheEndOfItsClassesPort) {
    wr_handle never = a->Submit(port, 0, 1);
    uint16_t p = node.Port();
    node.Ring(p, *a);
    std::atomic<bool> stop{false};
    std::atomic<uint32_t> closed{0}, good{0}, lost{0}, orphaned{0};
    {
        std::thread raylet([&] {
            while (!stop) {
                wr_keeper_pass(node.keeper);
                uint16_t one = p;
                if (wr_keeper_ports_close_unused(node.keeper, &one, 1) == 1) {
                    closed++;
                    EXPECT_EQ(p, node.Port());
                    node.Ring(p, *a);
                }
            }
        });
        node.threaded = true;
        wr_result cancelled = Inline(5, kKindError);
        uint32_t waiting = 0; // their cells stay until what they wait for is done
        for (uint32_t n = 0; closed < 50 || good < 1000; n++) {
            wr_task_spec s = {};
            s.port = p;
            s.reopens = true;
            s.generation = wr_proc_port_generation(a->get(), p) & 0x7fffffffu; // as the raylet tells it
            s.refs = &never;
            s.ref_count = waiting < 8000 ? n % 2 : 0;
            wr_handle h = 0;
            wr_error err = {};
            wr_status status = wr_proc_port_state(a->get(), p, nullptr) == WR_PORT_OPEN
                                   ? wr_proc_submit(a->get(), &s, &h, &err)
                                   : WR_E_NOT_FOUND;
            if (status != WR_OK) { // INVALID: the port is open, and the ring at it not yet
                continue;
            }
            uint32_t slot, epoch;
            // While it is there the port is its: the raylet may look, and no more.
            orphaned += (wr_proc_port_generation(a->get(), p) & 0x7fffffffu) != s.generation;
            lost += wr_proc_cancel(a->get(), h, &cancelled, &slot, &epoch) != WR_OK;
            good++;
            waiting += s.ref_count;
            a->Unref(h);
        }
        stop = true;
        raylet.join();
        node.threaded = false;
    }
    EXPECT_EQ(0u, lost) << "sealed by somebody before its caller withdrew it";
    EXPECT_EQ(0u, orphaned) << "submitted to a port that was closed all the same";
    b->Work();
    a->Unref(never);
    for (int n = 0; n < 2000; n++) { // a poll walks a few of those that were linked
        node.Pass(1);
        wr_proc_poll(a->get());
    }
    EXPECT_EQ("", node.AtRest(All()));
}

} // namespace

// Several real processes over one pool: speed of nothing, truth of everything. The chaos test kills them at
// random under load.
#include "harness.h"

#include <sys/syscall.h>

namespace {

uint64_t Next(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

// A worker's life: what it takes, it runs, until the pool is poisoned.
void WorkUntilPoisoned(Part *part, const std::function<void(const wr_claim &)> &run) {
    wr_claim c;
    while (!wr_pool_poisoned(part->pool())) {
        if (part->Take(&c)) {
            run(c);
        } else {
            wr_proc_poll(part->get());
            wr_proc_idle(part->get(), 20000);
        }
    }
}

wr_status WaitFor(Part *part, wr_handle h) {
    for (;;) {
        wr_status s = wr_proc_wait(part->get(), h, 10000000000u, 20000);
        if (s != WR_E_INTERRUPTED) {
            return s;
        }
    }
}

// The raylet's loop in the test's own thread, until `done`.
void Serve(Node *node, const std::function<bool()> &done) {
    while (!done()) {
        uint32_t seen = wr_pool_bell_read(node->pool);
        bool more = wr_keeper_pass(node->keeper);
        wr_pool_bell_wait(node->pool, seen, more ? 200000 : 2000000);
    }
}

bool Exited(pid_t pid, int *status) {
    return waitpid(pid, status, WNOHANG) == pid;
}

TEST(PoolProcesses, TasksRunInAnotherProcessAndTheirResultsComeBack) {
    Node node;
    uint16_t port = node.Port();
    uint32_t ds, de, ws, we;
    node.OpenSlot(&ds, &de);
    node.OpenSlot(&ws, &we);
    node.Ring(port, ds);
    wr_keeper_assign(node.keeper, ws, port);
    pid_t worker =
        ForkPart(&node, ws, we, [](Part *p) { WorkUntilPoisoned(p, [p](const wr_claim &c) { p->Run(c); }); });
    pid_t driver = ForkPart(&node, ds, de, [port](Part *p) {
        for (uint32_t round = 0; round < 50; round++) {
            std::vector<wr_handle> h;
            for (uint32_t i = 0; i < 200; i++) { // more than the ring holds: the backlog
                h.push_back(p->Submit(port, 0, i));
            }
            for (uint32_t i = 0; i < 200; i++) {
                wr_proc_flush(p->get());
                if (WaitFor(p, h[i]) != WR_OK || p->Value(h[i]) != i * 3 + 1) {
                    _exit(1);
                }
                p->Unref(h[i]);
            }
        }
    });
    int status = -1;
    Serve(&node, [&] { return Exited(driver, &status); });
    EXPECT_EQ(0, status);
    wr_pool_poison(node.pool, "end");
    waitpid(worker, &status, 0);
    EXPECT_EQ(0, status);
    node.Dead(ds);
    node.Dead(ws);
    EXPECT_EQ("", node.AtRest({}));
}

TEST(PoolProcesses, AForkedChildReadsTenMegabytesThatItsParentHoldsAndCallsNothing) {
    wr_pool_geometry g = SmallGeometry();
    g.heap_bytes = 1024 * 65536;
    Node node(g);
    uint32_t s, e;
    node.OpenSlot(&s, &e);
    pid_t pid = ForkPart(&node, s, e, [](Part *p) {
        uint64_t offset = p->Block({}, 10 << 20, 0x5a);
        wr_handle h = p->PutResult(Part::InHeap(offset));
        wr_block_view view;
        if (wr_block_open(p->pool(), offset, &view, nullptr) != WR_OK) {
            _exit(2);
        }
        pid_t child = fork();
        if (child == 0) {
            wr_proc_forked(p->get());
            for (uint64_t i = 0; i < view.header.stream_bytes; i += 511) {
                if (view.stream[i] != 0x5a) {
                    _exit(3);
                }
            }
            wr_result r = Inline(1);
            wr_handle other = 0;
            wr_error err = {};
            uint64_t block = 0;
            bool refused = wr_proc_put(p->get(), &r, &other, &err) == WR_E_STATE &&
                           strstr(err.text, "forked") != nullptr &&
                           wr_proc_heap_alloc(p->get(), 64, &block, &err) == WR_E_STATE &&
                           wr_proc_wait(p->get(), h, 1000, 0) == WR_E_STATE &&
                           wr_cell_state_of(p->pool(), h) == WR_CELL_FREE;
            wr_proc_unref(p->get(), h);
            wr_proc_poll(p->get());
            wr_proc_idle(p->get(), 0);
            _exit(refused ? 0 : 4);
        }
        int status = -1;
        waitpid(child, &status, 0);
        if (status != 0 || p->State(h) != WR_CELL_SEALED) {
            _exit(5);
        }
        p->Unref(h);
    });
    int status = -1;
    Serve(&node, [&] { return Exited(pid, &status); });
    EXPECT_EQ(0, status) << WEXITSTATUS(status);
    node.Dead(s);
    EXPECT_EQ("", node.AtRest({}));
}

TEST(PoolProcesses, PoisonWakesSleepersInOtherProcesses) {
    Node node;
    uint16_t port = node.Port();
    uint32_t s[2], e[2];
    std::vector<pid_t> pids;
    Shared *shared = Shared::New();
    for (int i = 0; i < 2; i++) {
        node.OpenSlot(&s[i], &e[i]);
        node.Ring(port, s[i]);
        wr_keeper_assign(node.keeper, s[i], port);
        pids.push_back(ForkPart(&node, s[i], e[i], [=](Part *p) {
            wr_handle h = i == 0 ? p->Submit(port, 0, 1) : 0;
            wr_claim c;
            if (i == 0 && !p->Take(&c)) { // nobody will ever seal it
                _exit(1);
            }
            shared->words[i] = 1;
            while (!wr_pool_poisoned(p->pool())) {
                if (i == 0) {
                    wr_proc_wait(p->get(), h, 1000000000, 0);
                } else {
                    wr_proc_idle(p->get(), 0);
                }
            }
            wr_status last = i == 0 ? wr_proc_wait(p->get(), h, 1000000000, 0) : WR_E_RAYLET_DIED;
            _exit(last == WR_E_RAYLET_DIED ? 0 : 2);
        }));
    }
    while (shared->words[0] == 0 || shared->words[1] == 0) {
        node.Pass(1);
    }
    wr_pool_poison(node.pool, "the test says so");
    for (pid_t pid : pids) {
        int status = -1;
        waitpid(pid, &status, 0);
        EXPECT_EQ(0, status);
    }
    Shared::Free(shared);
}

// ---- 200 takers ----

TEST(PoolProcesses, TwoHundredTakersShareAPortAndEachTaskRunsOnce) {
    wr_pool_geometry g = SmallGeometry();
    g.slots = 256;
    g.rings = 512;
    g.ring_capacity = 4096;
    Node node(g);
    uint16_t port = node.Port();
    std::vector<std::unique_ptr<Part>> parts;
    for (int i = 0; i < 200; i++) {
        parts.push_back(node.Open());
        node.Assign(port, *parts.back()); // opens its ring: 200 takers, 200 submitters
    }
    wr_keeper_port_takers(node.keeper, port, 200, false);
    std::vector<wr_handle> handles;
    for (int round = 0; round < 5; round++) {
        for (auto &part : parts) {
            handles.push_back(part->Submit(port, 0, static_cast<uint32_t>(handles.size())));
        }
    }
    std::vector<int> ran(handles.size());
    std::atomic<uint32_t> next{0}, done{0};
    auto take_some = [&] { // two threads, each playing half of the takers
        uint32_t me = next++;
        wr_claim c;
        while (done < handles.size()) {
            for (uint32_t i = me; i < parts.size(); i += 2) {
                if (parts[i]->Take(&c)) {
                    uint32_t arg;
                    memcpy(&arg, c.args, 4);
                    ran[arg]++;
                    parts[i]->Seal(c, arg * 3 + 1);
                    done++;
                }
            }
        }
    };
    std::thread other(take_some);
    take_some();
    other.join();
    for (uint32_t i = 0; i < handles.size(); i++) {
        EXPECT_EQ(1, ran[i]);
        EXPECT_EQ(i * 3 + 1, parts[i % 200]->Value(handles[i]));
        parts[i % 200]->Unref(handles[i]);
    }
    std::vector<const Part *> all;
    for (auto &part : parts) {
        all.push_back(part.get());
    }
    EXPECT_EQ("", node.AtRest(all));
}

// ---- Chaos: random SIGKILL under a mixed load ----

enum { kDrivers = 2, kWorkers = 3, kChecks = 0, kBad = 1, kErrors = 2, kStop = 3, kBusy = 8 };

struct Chaos {
    Node *node;
    Shared *shared;
    uint16_t tasks, calls;
};

void Bad(const Chaos &c, const char *what, uint64_t a, uint64_t b) {
    fprintf(stderr, "BAD %s %lu %lu\n", what, static_cast<unsigned long>(a), static_cast<unsigned long>(b));
    c.shared->words[kBad]++;
}

uint32_t Read(Part *p, wr_handle h) {
    wr_result r = {};
    uint32_t v = 0xdeadbeef;
    if (wr_cell_result(p->pool(), h, &r) == WR_OK) {
        memcpy(&v, r.inline_bytes, 4);
    }
    return v;
}

wr_result BlockOf(Part *p, uint8_t fill, uint64_t bytes, const std::vector<wr_handle> &refs) {
    return Part::InHeap(p->Block(refs, bytes, fill));
}

// What a heap result holds, or -1.
int FillOf(Part *p, wr_handle h, uint64_t bytes) {
    wr_result r = {};
    wr_block_view view;
    if (wr_cell_result(p->pool(), h, &r) != WR_OK || r.location != WR_AT_HEAP ||
        wr_block_open(p->pool(), r.offset, &view, nullptr) != WR_OK || view.header.stream_bytes != bytes ||
        view.stream[0] != view.stream[bytes - 1]) {
        return -1;
    }
    return view.stream[0];
}

// 0: argument * 3 + 1. 1: sum of refs + 1. 2: keeps its argument. 3: returns a fresh object inside its
// result. 4: a call, in order. 5: a block of 3,000 bytes. 6: 100,000 bytes.
void ChaosTask(const Chaos &chaos, Part *p, const wr_claim &c, wr_handle *kept, uint32_t *last) {
    wr_result r = Inline(0);
    uint32_t v = 0;
    if (c.function == 1) {
        for (uint32_t k = 0; k < c.ref_count; k++) {
            wr_handle ref = c.links != nullptr ? c.links[k].ref : c.refs[k];
            if (p->State(ref) != WR_CELL_SEALED) {
                Bad(chaos, "unsealed argument", ref, k);
            }
            v += Read(p, ref);
        }
        r = Inline(v + 1);
    } else if (c.function == 2) {
        wr_proc_borrow(p->get(), c.refs[0]);
        r = Inline(Read(p, c.refs[0]));
        wr_proc_seal(p->get(), &c, &r);
        if (*kept != 0) {
            if (Read(p, *kept) != 12345 || p->State(*kept) != WR_CELL_SEALED) {
                Bad(chaos, "kept object changed", *kept, Read(p, *kept));
            }
            p->Unref(*kept);
        }
        *kept = c.refs[0];
        return;
    } else if (c.function == 3) {
        wr_handle inner = p->Put(77);
        r = Inline(0);
        r.bytes = 8;
        memcpy(r.inline_bytes, &inner, 8);
        wr_proc_contain(p->get(), c.handle, &inner, 1);
        wr_proc_seal(p->get(), &c, &r);
        p->Unref(inner);
        return;
    } else if (c.function == 4) {
        uint32_t id, who, generation;
        memcpy(&id, c.args, 4);
        memcpy(&who, c.args + 4, 4);
        memcpy(&generation, c.args + 8, 4);
        v = id;
        if (generation != last[2 * who]) {
            last[2 * who] = generation;
            last[2 * who + 1] = 0;
        }
        if (c.attempt == 0 && id <= last[2 * who + 1]) {
            v = 0xffffffff;
        }
        last[2 * who + 1] = id;
        r = Inline(v);
    } else if (c.function == 5 || c.function == 6) {
        r = BlockOf(p, c.args[0], c.function == 5 ? 3000 : 100000, {});
    } else {
        memcpy(&v, c.args, 4);
        r = Inline(v * 3 + 1);
    }
    wr_proc_seal(p->get(), &c, &r);
}

bool ChaosStopped(const Chaos &c, Part *p) {
    return c.shared->words[kStop] != 0 || wr_pool_poisoned(p->pool());
}

void ChaosWorker(const Chaos &chaos, Part *p) {
    wr_handle kept = 0;
    uint32_t last[64] = {};
    wr_claim c;
    while (!ChaosStopped(chaos, p)) {
        if (p->Take(&c)) {
            ChaosTask(chaos, p, c, &kept, last);
        } else {
            wr_proc_poll(p->get());
            wr_proc_idle(p->get(), 2000);
        }
    }
}

// The value of a handle, or false for a typed error.
bool ChaosGet(const Chaos &chaos, Part *p, wr_handle h) {
    for (;;) {
        wr_status s = wr_proc_wait(p->get(), h, 20000000000u, 5000);
        if (s == WR_E_INTERRUPTED && !ChaosStopped(chaos, p)) {
            wr_proc_poll(p->get());
            continue;
        }
        if (s != WR_OK) {
            if (!ChaosStopped(chaos, p)) {
                Bad(chaos, "never came", h, s);
            }
            _exit(0);
        }
        break;
    }
    wr_result r = {};
    if (wr_cell_result(p->pool(), h, &r) != WR_OK) {
        Bad(chaos, "held but gone", h, 0);
        return false;
    }
    chaos.shared->words[r.kind == kKindError ? kErrors : kChecks]++;
    return r.kind != kKindError;
}

void ChaosDriver(const Chaos &chaos, Part *p, uint64_t seed) {
    uint32_t call = 0;
    std::vector<wr_handle> h;
    while (!ChaosStopped(chaos, p)) {
        uint32_t n = 1 + static_cast<uint32_t>(Next(&seed) % 90);
        h.clear();
        switch (Next(&seed) % 9) {
        case 0:
            for (uint32_t k = 0; k < n; k++) {
                h.push_back(p->Submit(chaos.tasks, 0, k));
            }
            for (uint32_t k = 0; k < n; k++) {
                if (ChaosGet(chaos, p, h[k]) && Read(p, h[k]) != k * 3 + 1) {
                    Bad(chaos, "value", Read(p, h[k]), k);
                }
            }
            break;
        case 1: {
            wr_handle prev = p->Put(5);
            for (uint32_t k = 0; k < n; k++) {
                wr_handle next = p->SubmitRefs(chaos.tasks, 1, {prev});
                p->Unref(prev);
                prev = next;
            }
            if (ChaosGet(chaos, p, prev) && Read(p, prev) != 5 + n &&
                Read(p, prev) < 1000) { // >= 1000: an error on the way
                Bad(chaos, "chain", Read(p, prev), n);
            }
            h.push_back(prev);
            break;
        }
        case 2:
            for (uint32_t k = 0; k < n; k++) {
                wr_handle o = p->Put(12345);
                h.push_back(p->SubmitRefs(chaos.tasks, 2, {o}));
                p->Unref(o);
            }
            for (wr_handle x : h) {
                if (ChaosGet(chaos, p, x) && Read(p, x) != 12345) {
                    Bad(chaos, "kept value", Read(p, x), 0);
                }
            }
            break;
        case 3:
            for (uint32_t k = 0; k < n; k++) {
                h.push_back(p->Submit(chaos.tasks, 3, k));
            }
            for (wr_handle &x : h) {
                if (ChaosGet(chaos, p, x)) {
                    wr_result r = {};
                    wr_handle inner;
                    wr_cell_result(p->pool(), x, &r);
                    memcpy(&inner, r.inline_bytes, 8);
                    wr_proc_borrow(p->get(), inner);
                    p->Unref(x);
                    x = inner;
                } else {
                    p->Unref(x);
                    x = 0;
                }
            }
            for (wr_handle x : h) {
                if (x != 0 && (Read(p, x) != 77 || p->State(x) != WR_CELL_SEALED)) {
                    Bad(chaos, "nested object lost", x, Read(p, x));
                }
            }
            break;
        case 4:
            for (uint32_t k = 0; k < n; k++) {
                uint32_t args[3] = {++call, p->slot(), wr_proc_epoch(p->get())};
                wr_task_spec s = {};
                s.port = chaos.calls;
                s.function = 4;
                s.args = args;
                s.arg_bytes = sizeof args;
                s.max_retries = 3;
                h.push_back(p->SubmitSpec(s));
            }
            for (wr_handle x : h) {
                if (ChaosGet(chaos, p, x) && Read(p, x) == 0xffffffff) {
                    Bad(chaos, "order of calls", x, 0);
                }
            }
            break;
        case 5: { // more pending arguments than bits: joins
            for (uint32_t k = 0; k < n + 30; k++) {
                h.push_back(p->Submit(chaos.tasks, 0, 1));
            }
            wr_handle sum = p->SubmitRefs(chaos.tasks, 1, h);
            bool whole = true;
            for (wr_handle x : h) {
                whole &= ChaosGet(chaos, p, x);
            }
            if (ChaosGet(chaos, p, sum) && whole && Read(p, sum) != 4 * h.size() + 1) {
                Bad(chaos, "sum of many", Read(p, sum), h.size());
            }
            h.push_back(sum);
            break;
        }
        case 6:
            for (uint32_t k = 0; k < n % 20 + 1; k++) {
                h.push_back(p->Submit(chaos.tasks, k % 4 == 0 ? 6 : 5, k));
            }
            for (uint32_t k = 0; k < h.size(); k++) {
                if (ChaosGet(chaos, p, h[k]) &&
                    FillOf(p, h[k], k % 4 == 0 ? 100000 : 3000) != static_cast<int>(k)) {
                    Bad(chaos, "heap result", k, static_cast<uint64_t>(FillOf(p, h[k], 3000)));
                }
            }
            break;
        case 7: // cancelled, or done already
            for (uint32_t k = 0; k < n; k++) {
                h.push_back(p->Submit(chaos.tasks, 0, k));
            }
            for (uint32_t k = 0; k < n; k++) {
                wr_result error = Inline(k, kKindError);
                uint32_t slot, epoch;
                wr_proc_cancel(p->get(), h[k], &error, &slot, &epoch);
                ChaosGet(chaos, p, h[k]);
            }
            break;
        default: { // a container of puts, in the heap
            std::vector<wr_handle> inner;
            for (uint32_t k = 0; k < n % 10 + 1; k++) {
                inner.push_back(p->Put(k));
            }
            wr_handle box = p->PutResult(BlockOf(p, 9, 200, inner));
            for (wr_handle x : inner) {
                p->Unref(x);
            }
            wr_handle task = p->SubmitRefs(chaos.tasks, 1, {box});
            for (uint32_t k = 0; k < inner.size(); k++) {
                if (Read(p, inner[k]) != k) {
                    Bad(chaos, "contained", k, Read(p, inner[k]));
                }
            }
            p->Unref(box);
            h.push_back(task); // dropped before it is done: limbo
            break;
        }
        }
        for (wr_handle x : h) {
            if (x != 0) {
                p->Unref(x);
            }
        }
    }
}

class ChaosTest : public ::testing::Test {
  protected:
    // What there is to know about a stall.
    static std::string State(const Node &node, const Chaos &chaos, const std::vector<uint32_t> &slots) {
        std::string text;
        for (uint16_t port : {chaos.tasks, chaos.calls}) {
            wr_port_info p;
            wr_keeper_port_info(node.keeper, port, &p);
            text += "port " + std::to_string(port) + " queued " + std::to_string(p.queued) + " ready " +
                    std::to_string(p.ready) + " sleepers " + std::to_string(p.sleepers) + "; ";
        }
        for (uint32_t slot : slots) {
            wr_slot_info s;
            wr_keeper_slot_info(node.keeper, slot, &s);
            text += "slot " + std::to_string(slot) + " running " + std::to_string(s.running) + "; ";
        }
        const char *wrong = wr_keeper_check(node.keeper, nullptr, 0, false);
        return text + (wrong == nullptr ? "" : wrong);
    }

    void Run(uint64_t seed, int kills_wanted, uint32_t only) {
        wr_pool_geometry g = SmallGeometry();
        g.cell_extents = 2048;
        g.heap_bytes = 2048 * 65536;
        Node node(g);
        Chaos chaos = {&node, Shared::New(), node.Port(), node.Port(true)};
        std::vector<pid_t> pid;
        std::vector<uint32_t> slots;
        auto start = [&](uint32_t role) {
            uint32_t slot = 0, epoch = 0;
            node.OpenSlot(&slot, &epoch);
            uint64_t child_seed = Next(&seed) | 1;
            if (role < kDrivers) {
                node.Ring(chaos.tasks, slot);
                node.Ring(chaos.calls, slot);
                pid[role] = ForkPart(&node, slot, epoch, [&](Part *p) { ChaosDriver(chaos, p, child_seed); });
            } else {
                wr_keeper_assign(node.keeper, slot, role == kDrivers + kWorkers ? chaos.calls : chaos.tasks);
                pid[role] = ForkPart(&node, slot, epoch, [&](Part *p) { ChaosWorker(chaos, p); });
            }
            slots[role] = slot;
        };
        const uint32_t roles = kDrivers + kWorkers + 1;
        pid.resize(roles);
        slots.resize(roles);
        wr_keeper_port_takers(node.keeper, chaos.tasks, kWorkers, false);
        wr_keeper_port_takers(node.keeper, chaos.calls, 1, false);
        for (uint32_t role = 0; role < roles; role++) {
            start(role);
        }
        int kills = 0;
        uint64_t checks_seen = 0, progress_at = wr_clock_ns(), kill_at = wr_clock_ns() + 20000000;
        while (kills < kills_wanted && chaos.shared->words[kBad] == 0 && !HasFailure()) {
            uint32_t seen = wr_pool_bell_read(node.pool);
            bool more = wr_keeper_pass(node.keeper);
            wr_keeper_event event;
            while (wr_keeper_next(node.keeper, &event)) {
            }
            uint64_t now = wr_clock_ns(),
                     checks = chaos.shared->words[kChecks] + chaos.shared->words[kErrors];
            if (checks != checks_seen) {
                checks_seen = checks;
                progress_at = now;
            }
            ASSERT_LT(now - progress_at, 15000000000u)
                << "stalled after " << kills << " kills: " << State(node, chaos, slots);
            if (now < kill_at) {
                wr_pool_bell_wait(node.pool, seen, more ? 100000 : 300000);
                continue;
            }
            uint32_t role =
                only != 0 ? only
                          : 1 + static_cast<uint32_t>(Next(&seed) % (roles - 1)); // the first driver lives
            int status = 0;
            kill(pid[role], SIGKILL);
            waitpid(pid[role], &status, 0);
            if (WIFEXITED(status)) {
                break; // it had ended by itself: it said why
            }
            if (role == roles - 1) {
                wr_keeper_port_state(node.keeper, chaos.calls, WR_PORT_RESTARTING, 0);
            }
            node.Dead(slots[role]);
            if (role == roles - 1) {
                wr_keeper_actor_rewind(node.keeper, chaos.calls);
                wr_keeper_port_state(node.keeper, chaos.calls, WR_PORT_OPEN, 0);
            }
            kills++;
            start(role);
            kill_at = wr_clock_ns() + 200000 + Next(&seed) % 6000000;
        }
        EXPECT_EQ(kills_wanted, kills);
        chaos.shared->words[kStop] = 1;
        for (uint32_t role = 0; role < roles; role++) {
            int status = 0;
            while (!Exited(pid[role], &status)) {
                wr_keeper_pass(node.keeper);
                wr_pool_bell_wait(node.pool, wr_pool_bell_read(node.pool), 500000);
            }
            EXPECT_EQ(0, status) << "role " << role;
        }
        for (uint32_t role = 0; role < roles; role++) {
            node.Dead(slots[role]);
        }
        EXPECT_EQ("", node.AtRest({}));
        EXPECT_EQ(0u, chaos.shared->words[kBad]);
        EXPECT_GT(chaos.shared->words[kChecks], 1000u);
        RecordProperty("kills", kills);
        RecordProperty("values_checked", std::to_string(chaos.shared->words[kChecks]));
        printf("%d kills, %lu values checked, %lu typed errors\n", kills,
               static_cast<unsigned long>(chaos.shared->words[kChecks].load()),
               static_cast<unsigned long>(chaos.shared->words[kErrors].load()));
        Shared::Free(chaos.shared);
    }
};

// `./dev prove` asks for more of them, and for other seeds.
int Wanted(int usual) {
    const char *n = getenv("WHIPRAY_CHAOS_KILLS");
    return n == nullptr ? usual : static_cast<int>(strtol(n, nullptr, 10));
}
uint64_t Seed(uint64_t usual) {
    const char *n = getenv("WHIPRAY_CHAOS_SEED");
    return n == nullptr ? usual : strtoull(n, nullptr, 10) * 2654435761u + 1;
}

TEST_F(ChaosTest, RandomKillsOfWorkersActorAndDriverLeaveNothingAndNoWrongValue) {
    Run(Seed(20261124), Wanted(250), 0);
}

TEST_F(ChaosTest, RandomKillsOfTheActorKeepTheOrderOfItsCallers) {
    Run(Seed(7), Wanted(120), kDrivers + kWorkers);
}

} // namespace

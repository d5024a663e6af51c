// tests/unit/shm/harness.h: a pool with a keeper, and process halves in it, for tests by behaviour.
//
// Node is the raylet: tests call Pass() themselves, or let RayletThread do so. Part is a process half in this
// process; ForkPart runs a function in a forked process that opens the pool anew.
#pragma once

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "shm/block.h"
#include "shm/keeper.h"
#include "shm/pool.h"
#include "shm/proc.h"

enum { kKindValue = 1, kKindError = 3 };

inline wr_pool_geometry SmallGeometry() {
    wr_pool_geometry g = {};
    g.slots = 16;
    g.ports = 8;
    g.rings = 64;
    g.ring_capacity = 64;
    g.cells_per_extent = 64;
    g.cell_extents = 512;
    g.event_capacity = 256;
    g.grant_capacity = 256;
    g.trace_capacity = 64;
    g.bells = 4;
    g.heap_unit = 65536;
    g.heap_bytes = 256 * 65536;
    return g;
}

inline wr_result Inline(uint32_t v, uint8_t kind = kKindValue) {
    wr_result r = {};
    r.kind = kind;
    r.location = WR_AT_INLINE;
    r.bytes = 4;
    memcpy(r.inline_bytes, &v, 4);
    return r;
}

// What a task of a dead process gets: the reason, as a value.
inline void Lost(void *, wr_handle, uint32_t, wr_lost_reason reason, uint32_t, wr_result *out) {
    *out = Inline(1000 + static_cast<uint32_t>(reason), kKindError);
}

// A process half. Calls fail the test instead of returning a status.
class Part {
  public:
    Part() = default;
    Part(wr_pool *pool, uint32_t slot, uint32_t epoch) : pool_(pool), slot_(slot) {
        wr_error err = {};
        if (wr_proc_attach(pool, slot, epoch, &proc_, &err) != WR_OK) {
            ADD_FAILURE() << err.text;
        }
    }
    ~Part() {
        wr_proc_detach(proc_);
    }
    Part(const Part &) = delete;
    Part &operator=(const Part &) = delete;

    wr_proc *get() const {
        return proc_;
    }
    uint32_t slot() const {
        return slot_;
    }
    wr_pool *pool() const {
        return pool_;
    }

    wr_handle Put(uint32_t v) {
        wr_result r = Inline(v);
        return PutResult(r);
    }
    wr_handle PutResult(const wr_result &r) {
        wr_handle h = 0;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_proc_put(proc_, &r, &h, &err)) << err.text;
        return h;
    }
    // Writes a block with these nested refs and a stream of `bytes` times `fill`; links without contents.
    uint64_t Block(const std::vector<wr_handle> &refs, uint64_t bytes, uint8_t fill, uint32_t links = 0,
                   uint64_t window = 0) {
        uint64_t size = wr_block_size(links, static_cast<uint32_t>(refs.size()), 0, nullptr, window, bytes),
                 offset = 0;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_proc_heap_alloc(proc_, size, &offset, &err)) << err.text;
        uint8_t *at = wr_pool_heap_write(pool_, offset, size);
        wr_block_header h = {};
        h.bytes = size;
        h.magic = WR_BLOCK_MAGIC;
        h.link_count = links;
        h.ref_count = static_cast<uint32_t>(refs.size());
        h.stream_bytes = bytes;
        h.stream_window = window;
        memset(at, 0, size - bytes);
        memcpy(at, &h, sizeof h);
        if (!refs.empty()) {
            memcpy(at + WR_BLOCK_HEADER_BYTES + 16ull * links, refs.data(), 8 * refs.size());
        }
        wr_block_view view;
        EXPECT_EQ(WR_OK, wr_block_open(pool_, offset, &view, &err)) << err.text;
        memset(wr_pool_heap_write(pool_, static_cast<uint64_t>(view.stream - wr_pool_heap_read(pool_, 0, 0)),
                                  bytes),
               fill, bytes);
        return offset;
    }
    static wr_result InHeap(uint64_t offset) {
        wr_result r = {};
        r.kind = kKindValue;
        r.location = WR_AT_HEAP;
        r.offset = offset;
        return r;
    }
    wr_handle Submit(uint16_t port, uint32_t function, uint32_t arg, uint8_t retries = 3) {
        wr_task_spec s = {};
        s.port = port;
        s.function = function;
        s.arg_bytes = 4;
        s.args = &arg;
        s.max_retries = retries;
        return SubmitSpec(s);
    }
    wr_handle SubmitRefs(uint16_t port, uint32_t function, const std::vector<wr_handle> &refs,
                         uint8_t retries = 3) {
        wr_task_spec s = {};
        s.port = port;
        s.function = function;
        s.refs = refs.data();
        s.ref_count = static_cast<uint32_t>(refs.size());
        s.max_retries = retries;
        if (refs.size() > 3) {
            s.block = Block({}, 8, 0, s.ref_count);
        }
        return SubmitSpec(s);
    }
    wr_handle SubmitSpec(const wr_task_spec &s) {
        wr_handle h = 0;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_proc_submit(proc_, &s, &h, &err)) << err.text;
        return h;
    }
    bool Take(wr_claim *out, uint32_t lane = 0) {
        return wr_proc_take(proc_, lane, out);
    }
    bool Seal(const wr_claim &c, uint32_t v) {
        wr_result r = Inline(v);
        return wr_proc_seal(proc_, &c, &r);
    }
    wr_cell_state State(wr_handle h) const {
        return wr_cell_state_of(pool_, h);
    }
    uint32_t Value(wr_handle h) const {
        wr_result r = {};
        uint32_t v = 0;
        EXPECT_EQ(WR_OK, wr_cell_result(pool_, h, &r));
        memcpy(&v, r.inline_bytes, 4);
        return v;
    }
    uint8_t Kind(wr_handle h) const {
        wr_result r = {};
        EXPECT_EQ(WR_OK, wr_cell_result(pool_, h, &r));
        return r.kind;
    }
    void Unref(wr_handle h) {
        wr_proc_unref(proc_, h);
    }
    // Function 0: argument * 3 + 1. 1: sum of the argument refs + 1.
    void Run(const wr_claim &c) {
        uint32_t v = 0;
        if (c.function == 1) {
            for (uint32_t k = 0; k < c.ref_count; k++) {
                v += Value(c.links != nullptr ? c.links[k].ref : c.refs[k]);
            }
            v++;
        } else {
            memcpy(&v, c.args, 4);
            v = v * 3 + 1;
        }
        EXPECT_TRUE(Seal(c, v));
    }
    // Takes and runs until nothing is left; returns how many.
    int Work() {
        wr_claim c;
        int n = 0;
        for (int misses = 0; misses < 32;) {
            if (Take(&c)) {
                Run(c);
                n++;
                misses = 0;
            } else {
                misses++;
            }
        }
        return n;
    }

  private:
    wr_pool *pool_ = nullptr;
    wr_proc *proc_ = nullptr;
    uint32_t slot_ = 0;
};

class Node {
  public:
    explicit Node(const wr_pool_geometry &g = SmallGeometry()) {
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_pool_create(&g, &pool, &err)) << err.text;
        EXPECT_EQ(WR_OK, wr_keeper_new(pool, &keeper, &err)) << err.text;
    }
    ~Node() {
        wr_keeper_free(keeper);
        wr_pool_close(pool);
    }
    void OpenSlot(uint32_t *slot, uint32_t *epoch) {
        wr_error err = {};
        ASSERT_EQ(WR_OK, wr_keeper_slot_open(keeper, 1, slot, epoch, &err)) << err.text;
    }
    std::unique_ptr<Part> Open() {
        uint32_t slot = 0, epoch = 0;
        OpenSlot(&slot, &epoch);
        auto part = std::make_unique<Part>(pool, slot, epoch);
        wr_proc_on_wait(part->get(), OnWait, this);
        return part;
    }
    // A part that waits for room lets the raylet look, unless a RayletThread does.
    static bool OnWait(void *self) {
        Node *node = static_cast<Node *>(self);
        if (!node->threaded) {
            node->Pass(2);
        }
        return true;
    }
    bool threaded = false;
    uint16_t Port(bool actor = false) {
        uint16_t port = 0;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_keeper_port_open(keeper, actor, &port, &err)) << err.text;
        return port;
    }
    void Ring(uint16_t port, const Part &part) {
        Ring(port, part.slot());
    }
    void Ring(uint16_t port, uint32_t slot) {
        uint32_t ring = 0;
        wr_error err = {};
        ASSERT_EQ(WR_OK, wr_keeper_ring_open(keeper, port, slot, &ring, &err)) << err.text;
    }
    void Assign(uint16_t port, const Part &part) {
        wr_keeper_assign(keeper, part.slot(), port);
    }
    void Pass(int n = 4) {
        for (int i = 0; i < n; i++) {
            wr_keeper_pass(keeper);
        }
    }
    void Dead(uint32_t slot) {
        wr_keeper_slot_dead(keeper, slot, Lost, nullptr);
    }
    // The process half goes without a word, as if it were killed.
    void Kill(std::unique_ptr<Part> *part) {
        uint32_t slot = (*part)->slot();
        part->reset();
        Dead(slot);
    }
    std::string Check(const std::vector<const Part *> &parts, bool at_rest) {
        std::vector<wr_proc *> procs;
        for (const Part *p : parts) {
            procs.push_back(p->get());
        }
        const char *text =
            wr_keeper_check(keeper, procs.data(), static_cast<uint32_t>(procs.size()), at_rest);
        return text == nullptr ? "" : text;
    }
    // Everybody looks at what was sent to it until all is quiet; then the checker finds nothing left.
    std::string AtRest(const std::vector<const Part *> &parts) {
        for (int i = 0; i < 12; i++) {
            Pass(2);
            for (const Part *p : parts) {
                wr_proc_poll(p->get());
            }
        }
        return Check(parts, true);
    }

    wr_pool *pool = nullptr;
    wr_keeper *keeper = nullptr;
};

// Runs passes in a thread while it lives; other uses of the keeper take its lock.
class RayletThread {
  public:
    explicit RayletThread(Node *node) : node_(node) {
        node->threaded = true;
        thread_ = std::thread([this] { Loop(); });
    }
    ~RayletThread() {
        stop_ = true;
        wr_pool_bell_ring(node_->pool);
        thread_.join();
        node_->threaded = false;
    }
    std::mutex lock;

  private:
    void Loop() {
        while (!stop_) {
            uint32_t seen = wr_pool_bell_read(node_->pool);
            bool more;
            {
                std::lock_guard<std::mutex> hold(lock);
                more = wr_keeper_pass(node_->keeper);
            }
            wr_pool_bell_wait(node_->pool, seen, more ? 300000 : 5000000);
        }
    }
    Node *node_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

// Memory that forked processes share with the test.
struct Shared {
    std::atomic<uint64_t> words[4096];
    static Shared *New() {
        return static_cast<Shared *>(
            mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    }
    static void Free(Shared *s) {
        munmap(s, sizeof(Shared));
    }
};

// Runs `body` in a forked process with a process half of its own; it dies with the test.
inline pid_t ForkPart(Node *node, uint32_t slot, uint32_t epoch, const std::function<void(Part *)> &body) {
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    wr_pool *pool = nullptr;
    wr_error err = {};
    if (wr_pool_open(dup(wr_pool_fd(node->pool)), &pool, &err) != WR_OK) {
        fprintf(stderr, "%s\n", err.text);
        _exit(100);
    }
    auto *part = new Part(pool, slot, epoch);
    if (part->get() == nullptr) {
        _exit(101);
    }
    body(part);
    _exit(0);
}

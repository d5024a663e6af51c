#include "harness.h"

#include <fcntl.h>

namespace {

TEST(Pool, CreatesWithDefaultsAndOpensFromItsDescriptor) {
    wr_pool *pool = nullptr, *other = nullptr;
    wr_error err = {};
    wr_pool_geometry g = {};
    g.heap_bytes = 64 << 20;
    ASSERT_EQ(WR_OK, wr_pool_create(&g, &pool, &err)) << err.text;
    EXPECT_EQ(1024u, wr_pool_geometry_of(pool)->slots);
    EXPECT_EQ(131072u, wr_pool_geometry_of(pool)->ring_capacity);
    ASSERT_EQ(WR_OK, wr_pool_open(dup(wr_pool_fd(pool)), &other, &err)) << err.text;
    EXPECT_EQ(0, memcmp(wr_pool_geometry_of(pool), wr_pool_geometry_of(other), sizeof(wr_pool_geometry)));
    wr_pool_heap_write(pool, 4096, 1)[0] = 42;
    EXPECT_EQ(42, wr_pool_heap_read(other, 4096, 1)[0]);
    EXPECT_EQ(nullptr, wr_pool_heap_read(other, g.heap_bytes - 1, 2));
    EXPECT_EQ(nullptr, wr_pool_heap_read(other, UINT64_MAX, 2));
    EXPECT_EQ(nullptr, wr_pool_heap_write(other, g.heap_bytes + 1, 0));
    EXPECT_NE(0, ftruncate(wr_pool_fd(pool), 4096)); // sealed against shrinking
    wr_pool_close(other);
    wr_pool_close(pool);
    wr_pool_close(nullptr);
}

TEST(Pool, RefusesGeometriesThatCannotBe) {
    const struct {
        const char *what;
        void (*change)(wr_pool_geometry *);
    } cases[] = {
        {"one slot", [](wr_pool_geometry *g) { g->slots = 1; }},
        {"too many slots", [](wr_pool_geometry *g) { g->slots = 1025; }},
        {"a ring that is no power of two", [](wr_pool_geometry *g) { g->ring_capacity = 100; }},
        {"cells that are no power of two", [](wr_pool_geometry *g) { g->cells_per_extent = 48; }},
        {"too many cells", [](wr_pool_geometry *g) { g->cell_extents = 1u << 30; }},
        {"events that are no power of two", [](wr_pool_geometry *g) { g->event_capacity = 3; }},
        {"too many bells", [](wr_pool_geometry *g) { g->bells = 256; }},
        {"a small heap unit", [](wr_pool_geometry *g) { g->heap_unit = 64; }},
        {"a heap of half a unit", [](wr_pool_geometry *g) { g->heap_bytes = g->heap_unit / 2; }},
        {"ports that mean something else", [](wr_pool_geometry *g) { g->ports = WR_PORT_NONE; }},
    };
    for (const auto &c : cases) {
        wr_pool_geometry g = SmallGeometry();
        c.change(&g);
        wr_pool *pool = nullptr;
        wr_error err = {};
        EXPECT_EQ(WR_E_INVALID, wr_pool_create(&g, &pool, &err)) << c.what;
        EXPECT_NE('\0', err.text[0]);
    }
}

// A descriptor whose first bytes were changed.
int Changed(const wr_pool *pool, size_t at, uint32_t value) {
    int fd = memfd_create("copy", 0);
    struct {
        char bytes[16384];
    } head;
    EXPECT_EQ(static_cast<ssize_t>(sizeof head), pread(wr_pool_fd(pool), &head, sizeof head, 0));
    memcpy(head.bytes + at, &value, 4);
    off_t size = lseek(wr_pool_fd(pool), 0, SEEK_END);
    EXPECT_EQ(0, ftruncate(fd, size));
    EXPECT_EQ(static_cast<ssize_t>(sizeof head), pwrite(fd, &head, sizeof head, 0));
    return fd;
}

TEST(Pool, AnotherLayoutVersionIsRefusedAndBothNumbersAreNamed) {
    Node node;
    wr_pool *pool = nullptr;
    wr_error err = {};
    EXPECT_EQ(WR_E_VERSION, wr_pool_open(Changed(node.pool, 8, 77), &pool, &err));
    EXPECT_NE(nullptr, strstr(err.text, "77"));
    EXPECT_NE(nullptr, strstr(err.text, std::to_string(WR_LAYOUT_VERSION).c_str()));
}

TEST(Pool, ACorruptHeaderIsRefused) {
    Node node;
    wr_pool *pool = nullptr;
    // magic, header size, and every word of the geometry and the offsets
    for (size_t at = 0; at < 16 + sizeof(wr_pool_geometry) + 9 * 8; at += 4) {
        if (at == 8) {
            continue; // the version
        }
        wr_error err = {};
        EXPECT_EQ(WR_E_CORRUPT, wr_pool_open(Changed(node.pool, at, 0x01234567), &pool, &err)) << "at " << at;
    }
    int fd = memfd_create("empty", 0);
    EXPECT_EQ(WR_E_CORRUPT, wr_pool_open(fd, &pool, nullptr));
    EXPECT_EQ(-1, fcntl(fd, F_GETFD)) << "the descriptor was not taken over";
    int file = Changed(node.pool, 8, WR_LAYOUT_VERSION);
    EXPECT_EQ(0, ftruncate(file, 65536)); // shorter than it says
    EXPECT_EQ(WR_E_CORRUPT, wr_pool_open(file, &pool, nullptr));
}

TEST(Pool, EveryAllocationThatFailsLeavesNothingBehind) {
    wr_pool_geometry g = SmallGeometry();
    for (uint64_t n = 1; n < 100; n++) {
        wr_pool *pool = nullptr;
        wr_keeper *keeper = nullptr;
        wr_alloc_fail_nth(n);
        wr_status s = wr_pool_create(&g, &pool, nullptr);
        if (s == WR_OK) {
            s = wr_keeper_new(pool, &keeper, nullptr);
        }
        wr_alloc_fail_nth(0);
        wr_keeper_free(keeper);
        wr_pool_close(pool);
        if (s == WR_OK) {
            EXPECT_GT(n, 3u);
            return;
        }
        EXPECT_EQ(WR_E_NO_MEMORY, s);
    }
    FAIL() << "never succeeded";
}

TEST(Pool, PoisonEndsEveryWaitAndEveryTake) {
    Node node;
    uint16_t port = node.Port();
    auto driver = node.Open(), worker = node.Open();
    node.Ring(port, *driver);
    node.Assign(port, *worker);
    wr_handle h = driver->Submit(port, 0, 1), other = driver->Submit(port, 0, 2);
    wr_status waited = WR_OK, many = WR_OK;
    std::atomic<int> begun{0};
    std::thread one([&] {
        begun++;
        do {
            waited = wr_proc_wait(driver->get(), h, 1000000000000u, 0);
        } while (waited == WR_E_INTERRUPTED);
    });
    std::thread two([&] {
        begun++;
        wr_handle both[] = {h, other};
        uint32_t ready;
        do {
            many = wr_proc_wait_many(driver->get(), both, 2, 1, 1000000000000u, 0, &ready);
        } while (many == WR_E_INTERRUPTED);
    });
    while (begun != 2) {
        std::this_thread::yield();
    }
    char why[WR_REASON_MAX];
    wr_pool_reason(node.pool, why);
    EXPECT_STREQ("", why) << "it is in use";
    wr_pool_poison(node.pool, "out of heart");
    wr_pool_poison(node.pool, "another reason");
    one.join();
    two.join();
    EXPECT_EQ(WR_E_RAYLET_DIED, waited);
    EXPECT_EQ(WR_E_RAYLET_DIED, many);
    wr_claim c;
    EXPECT_FALSE(worker->Take(&c));
    wr_result r = Inline(1);
    wr_handle out;
    wr_error err = {};
    EXPECT_EQ(WR_E_RAYLET_DIED, wr_proc_put(driver->get(), &r, &out, &err));
    EXPECT_NE(nullptr, strstr(err.text, "out of heart"));
    wr_task_spec spec = {};
    spec.port = port;
    EXPECT_EQ(WR_E_RAYLET_DIED, wr_proc_submit(driver->get(), &spec, &out, &err));
    EXPECT_TRUE(wr_pool_poisoned(node.pool));
    wr_pool_reason(node.pool, why);
    EXPECT_STREQ("out of heart", why) << "the first one counts";
}

TEST(Pool, TheRayletsBellWakesItAndAnOldValueDoesNotSleep) {
    Node node;
    uint32_t seen = wr_pool_bell_read(node.pool);
    wr_pool_bell_ring(node.pool);
    uint64_t began = wr_clock_ns();
    wr_pool_bell_wait(node.pool, seen, 10000000000u);
    EXPECT_LT(wr_clock_ns() - began, 9000000000u);
}

} // namespace

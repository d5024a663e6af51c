#include "raylet/shell/limits.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace {

constexpr uint64_t kGiB = 1ull << 30, kMiB = 1ull << 20;

/* A machine of 16 GiB whose control groups are files in a folder. */
class Limits : public ::testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/whipray-limits-XXXXXX";
        ASSERT_NE(nullptr, mkdtemp(name));
        folder = name;
        Write("meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n");
        Write("own", "0::/\n");
    }
    void TearDown() override {
        std::filesystem::remove_all(folder);
    }
    void Write(const std::string &name, const std::string &text) {
        std::filesystem::path path = folder + "/" + name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }
    shell_limit_paths Paths() {
        cgroup = folder + "/cgroup", own = folder + "/own", meminfo = folder + "/meminfo";
        return {cgroup.c_str(), own.c_str(), meminfo.c_str()};
    }
    uint64_t Memory() {
        shell_limit_paths paths = Paths();
        return shell_memory_limit(&paths);
    }
    uint32_t Cpus(uint32_t machine) {
        shell_limit_paths paths = Paths();
        return shell_cpu_limit(&paths, machine);
    }
    std::string folder, cgroup, own, meminfo;
};

TEST_F(Limits, WithoutGroupsTheMachinesMemoryCounts) {
    EXPECT_EQ(16 * kGiB, Memory());
}

TEST_F(Limits, ALimitOfVersionTwoCounts) {
    Write("cgroup/memory.max", "2147483648\n");
    EXPECT_EQ(2 * kGiB, Memory());
}

TEST_F(Limits, MaxIsNoLimit) {
    Write("cgroup/memory.max", "max\n");
    EXPECT_EQ(16 * kGiB, Memory());
}

TEST_F(Limits, ALimitAboveTheMachineIsNoLimit) {
    Write("cgroup/memory.max", "1099511627776\n");
    EXPECT_EQ(16 * kGiB, Memory());
}

TEST_F(Limits, TheLeastLimitFromTheOwnGroupUpwardsCounts) {
    Write("own", "0::/pod/box\n");
    Write("cgroup/pod/box/memory.max", "max\n"); /* the group above it limits all the same */
    Write("cgroup/pod/memory.max", "3221225472\n");
    EXPECT_EQ(3 * kGiB, Memory());
    Write("cgroup/pod/box/memory.max", "1073741824\n");
    EXPECT_EQ(1 * kGiB, Memory());
}

TEST_F(Limits, AGroupThatIsNotMountedHereFallsBackToTheRoot) {
    Write("own", "0::/docker/0123\n");
    Write("cgroup/memory.max", "1073741824\n");
    EXPECT_EQ(1 * kGiB, Memory());
}

TEST_F(Limits, ALimitOfVersionOneCountsInItsGroupAndInTheRoot) {
    Write("own", "12:pids:/x\n5:cpu,cpuacct:/box\n4:memory:/box\n");
    Write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* version 1's "max" */
    EXPECT_EQ(16 * kGiB, Memory());
    Write("cgroup/memory/box/memory.limit_in_bytes", "1073741824\n");
    EXPECT_EQ(1 * kGiB, Memory());
    Write("cgroup/memory/memory.limit_in_bytes", "536870912\n");
    EXPECT_EQ(512 * kMiB, Memory());
}

TEST_F(Limits, FilesThatCannotBeReadLimitNothing) {
    Write("own", "nonsense\n::\n0:\n");
    Write("cgroup/memory.max", "many\n");
    EXPECT_EQ(16 * kGiB, Memory());
    Write("meminfo", "");
    EXPECT_EQ(4 * kGiB, Memory());
}

TEST_F(Limits, AQuotaOfCpusCountsInBothVersionsRoundedUp) {
    EXPECT_EQ(8u, Cpus(8));
    EXPECT_EQ(1u, Cpus(0));
    Write("own", "0::/box\n2:cpu,cpuacct:/box\n");
    Write("cgroup/box/cpu.max", "max 100000\n");
    EXPECT_EQ(8u, Cpus(8));
    Write("cgroup/cpu.max", "350000 100000\n");
    EXPECT_EQ(4u, Cpus(8));
    Write("cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
    Write("cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(4u, Cpus(8));
    Write("cgroup/cpu/box/cpu.cfs_quota_us", "50000\n");
    EXPECT_EQ(1u, Cpus(8));
}

TEST_F(Limits, TheDefaultStoreIsThirtyPercentOfTheLimit) {
    Write("cgroup/memory.max", "1048576000\n"); /* 1000 MiB */
    uint64_t heap = 0;
    ASSERT_EQ(WR_OK, shell_store_heap(0, Memory(), &heap, nullptr));
    EXPECT_EQ(300 * kMiB, heap);
}

TEST_F(Limits, AStoreAboveTheLimitIsRefusedWithBothFigures) {
    Write("cgroup/memory.max", "1073741824\n");
    uint64_t heap = 77;
    wr_error err;
    memset(&err, 0, sizeof err);
    EXPECT_EQ(WR_E_INVALID, shell_store_heap(2 * kGiB, Memory(), &heap, &err));
    EXPECT_EQ(77u, heap);
    EXPECT_NE(nullptr, strstr(err.text, "2147483648")) << err.text;
    EXPECT_NE(nullptr, strstr(err.text, "1073741824")) << err.text;
    EXPECT_NE(nullptr, strstr(err.hint, "at most")) << err.hint;
    EXPECT_EQ(WR_OK, shell_store_heap(kGiB, Memory(), &heap, nullptr));
    EXPECT_EQ(kGiB, heap);
}

TEST_F(Limits, AStoreTooSmallToWorkIsRefused) {
    uint64_t heap = 0;
    wr_error err;
    memset(&err, 0, sizeof err);
    EXPECT_EQ(WR_E_INVALID, shell_store_heap(kMiB, 16 * kGiB, &heap, &err));
    EXPECT_EQ(WR_E_INVALID, shell_store_heap(0, 20 * kMiB, &heap, &err));
    EXPECT_NE(nullptr, strstr(err.text, "30 %")) << err.text;
}

} // namespace

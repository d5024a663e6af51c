#include "local/sessions.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;

class Sessions : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/wrsessXXXXXX";
        ASSERT_NE(nullptr, mkdtemp(name));
        root_ = name;
    }
    void TearDown() override {
        fs::remove_all(root_);
    }
    static std::string Name(int number) {
        char name[64];
        snprintf(name, sizeof name, "session_2026-01-02_03-04-05_%06d_4242", number);
        return name;
    }
    // A session that ended so many hours ago, with a log file of that size.
    std::string Make(int number, int hours_ago, size_t bytes = 100) {
        std::string path = root_ + "/" + Name(number);
        fs::create_directories(path + "/logs");
        std::ofstream(path + "/logs/raylet.out") << std::string(bytes, 'x');
        struct timespec then[2] = {};
        then[0].tv_sec = then[1].tv_sec = time(nullptr) - 3600 * hours_ago;
        for (const char *part : {"/logs/raylet.out", "/logs", ""}) {
            EXPECT_EQ(0, utimensat(AT_FDCWD, (path + part).c_str(), then, 0));
        }
        return path;
    }
    uint32_t Prune(uint32_t keep, uint64_t bytes = UINT64_MAX, uint64_t young_s = 60, int *stop = nullptr) {
        wr_sessions_opts opts = {keep, bytes, young_s, stop};
        return wr_sessions_prune(root_.c_str(), (root_ + "/" + Name(999)).c_str(), &opts);
    }
    std::string root_;
    wr_error err_ = {};
};

TEST_F(Sessions, TheOldestEndedOnesGoAndTheOwnNever) {
    std::string own = Make(999, 100);
    for (int k = 0; k < 6; k++) {
        Make(k, 10 + k); // the higher, the older, whatever the names say
    }
    EXPECT_EQ(4u, Prune(2));
    EXPECT_TRUE(fs::exists(own));
    for (int k = 0; k < 6; k++) {
        EXPECT_EQ(k < 2, fs::exists(root_ + "/" + Name(k))) << k;
    }
    EXPECT_EQ(0u, Prune(2));
    EXPECT_EQ(2u, Prune(0));
    EXPECT_TRUE(fs::exists(own));
}

TEST_F(Sessions, WhatTheyTakeOfTheDiskIsBoundedButTheNewestStays) {
    for (int k = 0; k < 4; k++) {
        Make(k, 10 + k, 1 << 20);
    }
    EXPECT_EQ(2u, Prune(10, (2 << 20) + (64 << 10)));
    EXPECT_TRUE(fs::exists(root_ + "/" + Name(1)));
    EXPECT_EQ(1u, Prune(10, 1000));
    EXPECT_TRUE(fs::exists(root_ + "/" + Name(0)));
}

TEST_F(Sessions, OneWhoseRayletLivesStaysUntilItsProcessIsKilled) {
    std::string path = Make(1, 10);
    int go[2], byte;
    ASSERT_EQ(0, pipe(go));
    pid_t child = fork();
    if (child == 0) {
        int fd;
        bool locked = wr_session_lock(path.c_str(), &fd, nullptr) == WR_OK && fd >= 0;
        (void)!write(go[1], &locked, 1);
        pause();
        _exit(0);
    }
    bool locked = false;
    ASSERT_EQ(1, read(go[0], &locked, 1));
    ASSERT_TRUE(locked);
    EXPECT_EQ(0u, Prune(0));
    EXPECT_EQ(WR_E_EXISTS, wr_session_lock(path.c_str(), &byte, &err_));
    EXPECT_NE(nullptr, strstr(err_.text, path.c_str()));
    kill(child, SIGKILL);
    ASSERT_EQ(child, waitpid(child, nullptr, 0));
    EXPECT_EQ(1u, Prune(0));
    EXPECT_FALSE(fs::exists(path));
    close(go[0]);
    close(go[1]);
}

TEST_F(Sessions, OneThatWasJustMadeStays) {
    std::string path = Make(1, 0);
    EXPECT_EQ(0u, Prune(0));
    EXPECT_EQ(1u, Prune(0, 0, 0));
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(Sessions, NoLinkIsFollowedAndNothingElseIsTouched) {
    char name[] = "/tmp/wrsessotherXXXXXX";
    ASSERT_NE(nullptr, mkdtemp(name));
    std::string other = name, path = Make(1, 10);
    std::ofstream(other + "/precious") << "x";
    fs::create_directory_symlink(other, path + "/logs/link");
    fs::create_directory_symlink(other, root_ + "/" + Name(2)); // a session that is a link
    fs::create_symlink(other + "/precious", path + "/file");
    for (const char *kept : {"session_latest", "session_mine", "session_2026-01-02_03-04-05_", "notes"}) {
        fs::create_directory(root_ + "/" + kept);
    }
    std::ofstream(root_ + "/" + Name(3)) << "a file";
    EXPECT_EQ(1u, Prune(0, 0, 0));
    EXPECT_FALSE(fs::exists(path));
    EXPECT_TRUE(fs::exists(other + "/precious"));
    EXPECT_EQ(6, std::distance(fs::directory_iterator(root_), {}));
    fs::remove_all(other);
}

TEST_F(Sessions, ARootThatOthersMayEnterIsLeftAlone) {
    Make(1, 10);
    ASSERT_EQ(0, chmod(root_.c_str(), 0755));
    EXPECT_EQ(0u, Prune(0));
}

TEST_F(Sessions, RemovingStopsWhenItIsTold) {
    Make(1, 10);
    int stop = 1;
    EXPECT_EQ(0u, Prune(0, 0, 60, &stop));
    EXPECT_TRUE(fs::exists(root_ + "/" + Name(1)));
}

} // namespace

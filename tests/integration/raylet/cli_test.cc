// The command `whipray`, as a user calls it.
#include "raylet_process.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <signal.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace {

class Cli : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/wrcliXXXXXX";
        ASSERT_NE(nullptr, mkdtemp(name));
        dir_ = name;
        setenv("WHIPRAY_TMPDIR", name, 1);
        setenv("HOME", name, 1);
        unsetenv("WHIPRAY_AUTH_TOKEN");
        unsetenv("WHIPRAY_AUTH_TOKEN_PATH");
    }
    void TearDown() override {
        Run("stop -f");
        std::filesystem::remove_all(dir_);
    }
    // Exit status; what it printed is in said_.
    int Run(const std::string &words) {
        said_.clear();
        FILE *pipe = popen((WHIPRAY_BIN "/whipray " + words + " 2>&1").c_str(), "r");
        EXPECT_NE(nullptr, pipe);
        char line[512];
        while (fgets(line, sizeof line, pipe) != nullptr) {
            said_ += line;
        }
        int status = pclose(pipe);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    bool Said(const std::string &text) const {
        return said_.find(text) != std::string::npos;
    }
    std::string dir_, said_;
};

TEST_F(Cli, StartStatusStop) {
    EXPECT_NE(0, Run("status")) << "no cluster";
    ASSERT_EQ(0, Run("start --head --num-cpus 3 --resources '{\"blue\": 2, \"red\": 0.5}' --labels zone=a"))
        << said_;
    EXPECT_EQ(0, Run("status -v")) << said_;
    EXPECT_TRUE(Said("CPU          0 / 3")) << said_;
    EXPECT_TRUE(Said("blue")) << said_;
    EXPECT_TRUE(Said("gcs pid")) << said_;
    EXPECT_NE(0, Run("start --head")) << "there is one already";
    EXPECT_TRUE(Said("already")) << said_;
    EXPECT_EQ(0, Run("stop")) << said_;
    EXPECT_NE(0, Run("status"));
    EXPECT_EQ(0, Run("stop")) << "nothing to do is no failure";
}

TEST_F(Cli, StopTouchesNothingElse) {
    pid_t bystander = fork();
    if (bystander == 0) {
        execl("/bin/sleep", "whipray-raylet", "1000", nullptr); /* only its name is alike */
        _exit(127);
    }
    ASSERT_EQ(0, Run("start --head --num-cpus 1")) << said_;
    EXPECT_EQ(0, Run("stop -f"));
    EXPECT_EQ(0, waitpid(bystander, nullptr, WNOHANG)) << "it is still there";
    kill(bystander, SIGKILL);
    waitpid(bystander, nullptr, 0);
}

TEST_F(Cli, AMisspelledOptionOrCommandNamesTheRightOne) {
    EXPECT_NE(0, Run("start --head --num-cpu 2"));
    EXPECT_TRUE(Said("--num-cpus")) << said_;
    EXPECT_NE(0, Run("sttus"));
    EXPECT_TRUE(Said("whipray status")) << said_;
    EXPECT_NE(0, Run("start --head --num-cpus lots"));
    EXPECT_TRUE(Said("lots")) << said_;
    EXPECT_NE(0, Run("start --head --resources 'blue=2'"));
    EXPECT_TRUE(Said("JSON")) << said_;
    EXPECT_NE(0, Run("start --address 10.0.0.1:6379"));
    EXPECT_TRUE(Said("--address")) << said_;
    EXPECT_NE(0, Run("start --head stray"));
}

TEST_F(Cli, OptionsWithoutMeaningHereAreToldOnce) {
    ASSERT_EQ(0, Run("start --head --num-cpus 1 --dashboard-port 8265")) << said_;
    EXPECT_TRUE(Said("--dashboard-port is accepted and does nothing yet")) << said_;
}

TEST_F(Cli, AKilledRayletIsNoCluster) {
    ASSERT_EQ(0, Run("start --head --num-cpus 1")) << said_;
    ASSERT_EQ(0, Run("status -v")) << said_;
    size_t at = said_.find("raylet pid ");
    ASSERT_NE(std::string::npos, at);
    pid_t pid = atoi(said_.c_str() + at + 11);
    ASSERT_GT(pid, 1);
    kill(pid, SIGKILL);
    EXPECT_TRUE(raylet::Eventually([&] { return Run("status") != 0; }));
    EXPECT_EQ(0, Run("start --head --num-cpus 1")) << said_ << "a new one begins anew";
}

TEST_F(Cli, StatusBlamesWhoeverDoesNotAnswer) {
    ASSERT_EQ(0, Run("start --head --num-cpus 1")) << said_;
    ASSERT_EQ(0, Run("status -v")) << said_;
    pid_t raylet = atoi(said_.c_str() + said_.find("raylet pid ") + 11),
          gcs = atoi(said_.c_str() + said_.find("gcs pid ") + 8);
    ASSERT_GT(raylet, 1);
    ASSERT_GT(gcs, 1);
    kill(gcs, SIGSTOP);
    EXPECT_EQ(0, Run("status")) << said_;
    EXPECT_TRUE(Said("the GCS is away")) << said_;
    kill(gcs, SIGCONT);
    kill(raylet, SIGSTOP);
    EXPECT_NE(0, Run("status"));
    EXPECT_TRUE(Said("the raylet did not answer in time")) << said_;
    EXPECT_FALSE(Said("GCS")) << said_;
    kill(raylet, SIGCONT);
}

TEST_F(Cli, BlockStaysUntilTheClusterEnds) {
    pid_t pid = fork();
    if (pid == 0) {
        FILE *null = freopen("/dev/null", "w", stdout);
        (void)null;
        execl(WHIPRAY_BIN "/whipray", "whipray", "start", "--head", "--num-cpus", "1", "--block", nullptr);
        _exit(127);
    }
    ASSERT_TRUE(raylet::Eventually([&] { return Run("status") == 0; }));
    EXPECT_EQ(0, waitpid(pid, nullptr, WNOHANG)) << "it stays";
    kill(pid, SIGINT);
    int status = -1;
    ASSERT_EQ(pid, waitpid(pid, &status, 0));
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_NE(0, Run("status"));
}

} // namespace

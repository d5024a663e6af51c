// The command `whipray`, as a user calls it.
#include "raylet_process.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <pwd.h>
#include <signal.h>
#include <sstream>
#include <string>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

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
    // Of the running cluster: "raylet" or "gcs".
    pid_t Pid(const std::string &which) {
        EXPECT_EQ(0, Run("status -v")) << said_;
        size_t at = said_.find(which + " pid ");
        pid_t pid = at == std::string::npos ? 0 : atoi(said_.c_str() + at + which.size() + 5);
        EXPECT_GT(pid, 1) << said_;
        return pid > 1 ? pid : getpid();
    }
    // Three at once; each one's status and words are in the result.
    std::vector<std::pair<int, std::string>> Thrice(const std::string &words) {
        std::vector<std::pair<int, std::string>> results;
        FILE *pipes[3];
        for (FILE *&pipe : pipes) {
            pipe = popen((WHIPRAY_BIN "/whipray " + words + " 2>&1").c_str(), "r");
        }
        for (FILE *pipe : pipes) {
            char line[512];
            std::string said;
            while (fgets(line, sizeof line, pipe) != nullptr) {
                said += line;
            }
            int status = pclose(pipe);
            results.emplace_back(WIFEXITED(status) ? WEXITSTATUS(status) : -1, said);
        }
        return results;
    }
    static bool Runs(pid_t pid) { // a zombie that nobody has reaped does not
        std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
        return file.peek() != std::ifstream::traits_type::eof();
    }
    std::vector<pid_t> RayletPids() { // that belong to sessions of this test
        std::vector<pid_t> pids;
        for (const auto &entry : std::filesystem::directory_iterator("/proc")) {
            std::ifstream file(entry.path() / "cmdline");
            std::ostringstream text;
            text << file.rdbuf(); /* no exception if it ends meanwhile */
            const std::string line = text.str();
            if (line.find("whipray-raylet") != std::string::npos && line.find(dir_) != std::string::npos) {
                pids.push_back(atoi(entry.path().filename().c_str()));
            }
        }
        return pids;
    }
    int Raylets() {
        return static_cast<int>(RayletPids().size());
    }
    // `program start --head`, not waited for; what it printed is in StartSaid().
    pid_t Start(const std::string &program) {
        const std::string said = dir_ + "/said";
        pid_t pid = fork();
        if (pid == 0) {
            int fd = open(said.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
            dup2(fd, 1);
            dup2(fd, 2);
            execl(program.c_str(), "whipray", "start", "--head", "--num-cpus", "1", nullptr);
            _exit(127);
        }
        return pid;
    }
    std::string StartSaid() const {
        std::ifstream file(dir_ + "/said");
        return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    }
    // Whether the command has a descriptor that names something that begins so.
    static bool Holds(pid_t pid, const std::string &begin) {
        std::error_code error;
        const std::string proc = "/proc/" + std::to_string(pid);
        if (std::filesystem::read_symlink(proc + "/exe", error).filename() != "whipray") {
            return false; /* until exec it has the descriptors of the test */
        }
        bool found = false;
        for (int fd = 3; fd < 32; fd++) {
            const auto link = std::filesystem::read_symlink(proc + "/fd/" + std::to_string(fd), error);
            found |= !error && link.string().rfind(begin, 0) == 0;
        }
        return found;
    }
    std::string Current() const {
        return dir_ + "/whipray-" + std::to_string(geteuid()) + "/current";
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
    pid_t pid = Pid("raylet");
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

TEST_F(Cli, StartLeavesAClusterAloneThatDoesNotAnswer) {
    ASSERT_EQ(0, Run("start --head --num-cpus 1")) << said_;
    pid_t raylet = Pid("raylet");
    kill(raylet, SIGSTOP);
    EXPECT_EQ(1, Run("start --head --num-cpus 1"));
    EXPECT_TRUE(Said("pid " + std::to_string(raylet))) << said_;
    EXPECT_TRUE(Said("whipray stop --force")) << said_;
    EXPECT_EQ(1, Raylets());
    kill(raylet, SIGCONT); /* the GCS gives up a node that is silent for 10 s */
    EXPECT_EQ(0, Run("status")) << said_;
    kill(raylet, SIGSTOP);
    EXPECT_EQ(1, Run("status")) << "it is the raylet that does not answer";
    EXPECT_TRUE(Said("the raylet did not answer in time (pid " + std::to_string(raylet))) << said_;
    kill(raylet, SIGCONT);
    EXPECT_EQ(0, Run("stop")) << said_ << "what ran is what ends";
    EXPECT_FALSE(Runs(raylet)) << said_;
}

TEST_F(Cli, StopEndsARayletThatHangsWithAllOfItsProcesses) {
    for (const char *words : {"stop --force", "stop --grace-period 1"}) {
        ASSERT_EQ(0, Run("start --head --num-cpus 1")) << said_;
        pid_t raylet = Pid("raylet"), gcs = Pid("gcs");
        kill(gcs, SIGSTOP);
        kill(raylet, SIGSTOP);
        EXPECT_EQ(0, Run(words)) << said_;
        EXPECT_TRUE(raylet::Eventually([&] { return !Runs(raylet) && !Runs(gcs); })) << words;
        EXPECT_EQ(1, Run("status"));
    }
}

TEST_F(Cli, AHungRayletWhoseQueueIsFullIsNamedByItsSession) {
    ASSERT_EQ(0, Run("start --head --num-cpus 1")) << said_;
    pid_t raylet = Pid("raylet");
    kill(raylet, SIGSTOP);
    struct rlimit files;
    ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &files));
    files.rlim_cur = files.rlim_max;
    ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files)) << "the queue has 1024 places";
    std::string path = std::filesystem::path(Current()).parent_path() / "session_latest/sockets/raylet";
    std::vector<int> queued;
    for (;;) {
        struct sockaddr_un at = {};
        at.sun_family = AF_UNIX;
        snprintf(at.sun_path, sizeof at.sun_path, "%s", path.c_str());
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        ASSERT_GE(fd, 0);
        queued.push_back(fd);
        if (connect(fd, reinterpret_cast<const sockaddr *>(&at), sizeof at) != 0) {
            EXPECT_EQ(EAGAIN, errno);
            break;
        }
    }
    EXPECT_EQ(1, Run("stop --force"));
    EXPECT_TRUE(Said("whipray-raylet.*" + dir_)) << said_;
    EXPECT_EQ(1, Run("start --head --num-cpus 1")) << said_;
    EXPECT_EQ(1, Raylets());
    kill(raylet, SIGKILL);
    for (int fd : queued) {
        close(fd);
    }
}

TEST_F(Cli, OfSeveralStartsAtOnceOneWins) {
    int started = 0;
    for (const auto &[status, said] : Thrice("start --head --num-cpus 1")) {
        started += status == 0;
        EXPECT_TRUE(status == 0 || said.find("running here already") != std::string::npos) << said;
    }
    EXPECT_EQ(1, started);
    EXPECT_EQ(1, Raylets());
}

TEST_F(Cli, SeveralStopsAtOnceAllSucceed) {
    ASSERT_EQ(0, Run("start --head --num-cpus 1")) << said_;
    for (const auto &[status, said] : Thrice("stop")) {
        EXPECT_EQ(0, status) << said;
    }
}

TEST_F(Cli, ClosedStandardDescriptorsDoNotMatter) {
    for (const char *closed : {"<&- >/dev/null", ">&-", "2>&- >/dev/null", "<&- >&- 2>&-"}) {
        std::string command = std::string(WHIPRAY_BIN "/whipray start --head --num-cpus 1 ") + closed;
        EXPECT_EQ(0, system(command.c_str())) << closed; // NOLINT(cert-env33-c,concurrency-mt-unsafe)
        EXPECT_EQ(0, Run("status")) << closed << said_;
        EXPECT_EQ(0, Run("stop")) << said_;
    }
}

TEST_F(Cli, OutputThatCannotBeWrittenIsAFailure) {
    ASSERT_EQ(0, Run("start --head --num-cpus 1")) << said_;
    EXPECT_EQ(1, Run("status 2>&1 > /dev/full #")) << said_;
    EXPECT_TRUE(Said("No space left")) << said_;
}

TEST_F(Cli, EachCommandSaysWhatToDoAboutAFileThatIsNotIts) {
    ASSERT_EQ(0, Run("start --head --num-cpus 1")) << said_;
    ASSERT_EQ(0, Run("stop")) << said_;
    std::ofstream(Current()) << "garbage";
    for (const char *words : {"status", "stop", "start --head"}) {
        EXPECT_EQ(1, Run(words));
        EXPECT_TRUE(Said("remove it")) << words << said_;
    }
    std::filesystem::remove(Current());
    std::filesystem::create_directory(Current());
    EXPECT_EQ(1, Run("stop"));
    EXPECT_TRUE(Said("move it away") && !Said("chmod")) << said_;
    std::filesystem::remove(Current());
    std::filesystem::permissions(std::filesystem::path(Current()).parent_path(),
                                 std::filesystem::perms::others_read, std::filesystem::perm_options::add);
    EXPECT_EQ(1, Run("status"));
    EXPECT_TRUE(Said("chmod 700 ") && !Said("remove")) << "a cluster may run in it: " << said_;
}

TEST_F(Cli, WithoutHomeThePasswordFileNamesIt) {
    unsetenv("HOME");
    char path[WR_PATH_MAX] = "", token[WR_TOKEN_MAX + 1];
    wr_error err = {};
    /* Nothing is made in the home of whoever runs this: the file is there, or named as missing. */
    wr_status status = wr_token_load(false, token, path, &err);
    std::string expected = std::string(getpwuid(geteuid())->pw_dir) + "/.whipray/auth_token";
    EXPECT_TRUE(status == WR_OK ? path == expected
                                : std::string(err.text).find(expected) != std::string::npos)
        << path << err.text;
}

TEST_F(Cli, AHomeThatIsNotThereIsNotMade) {
    setenv("HOME", (dir_ + "/nonexistent").c_str(), 1);
    EXPECT_EQ(1, Run("start --head --num-cpus 1"));
    EXPECT_TRUE(Said("token") && Said("WHIPRAY_AUTH_TOKEN_PATH")) << said_;
    EXPECT_FALSE(std::filesystem::exists(dir_ + "/nonexistent"));
}

TEST_F(Cli, TooFewOpenFilesAreNamed) {
    EXPECT_EQ(1, Run("--version > /dev/null; ulimit -n 20; " WHIPRAY_BIN "/whipray start --head"));
    EXPECT_TRUE(Said("ulimit -n")) << said_;
    EXPECT_EQ(0, Raylets());
}

TEST_F(Cli, AnInterruptedStartLeavesNothing) {
    /* One that cannot become ready: its GCS is a program that says nothing. */
    std::filesystem::create_directory(dir_ + "/bin");
    for (const char *name : {"whipray", "whipray-raylet"}) {
        std::filesystem::copy(std::string(WHIPRAY_BIN "/") + name, dir_ + "/bin/" + name);
    }
    std::ofstream(dir_ + "/bin/whipray-gcs") << "#!/bin/sh\nexec sleep 1000\n";
    std::filesystem::permissions(dir_ + "/bin/whipray-gcs", std::filesystem::perms::owner_all);
    pid_t pid = Start(dir_ + "/bin/whipray");
    ASSERT_TRUE(raylet::Eventually([&] { return Raylets() == 1; }));
    kill(pid, SIGINT);
    int status = -1;
    ASSERT_EQ(pid, waitpid(pid, &status, 0));
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    EXPECT_TRUE(raylet::Eventually([&] { return Raylets() == 0; }));
}

TEST_F(Cli, AStartThatWaitsForAnotherCanBeInterrupted) {
    ASSERT_EQ(0, Run("start --head --num-cpus 1")) << said_; /* makes the folder */
    ASSERT_EQ(0, Run("stop")) << said_;
    int fd = open((Current() + ".lock").c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_EQ(0, flock(fd, LOCK_EX | LOCK_NB));
    pid_t pid = Start(WHIPRAY_BIN "/whipray");
    ASSERT_TRUE(raylet::Eventually([&] { return Holds(pid, Current() + ".lock"); }));
    kill(pid, SIGINT);
    int status = -1;
    ASSERT_EQ(pid, waitpid(pid, &status, 0));
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    EXPECT_NE(std::string::npos, StartSaid().find("interrupted")) << StartSaid();
    EXPECT_EQ(0, Raylets());
    close(fd);
}

TEST_F(Cli, AStartThatIsInterruptedAfterReadyLeavesNothing) {
    /* Its raylet stops once it is ready, so that the signal comes while the command asks for its status. */
    std::filesystem::create_directories(dir_ + "/bin/real");
    for (const char *name : {"whipray", "whipray-gcs", "whipray-worker", "real/whipray-raylet"}) {
        const std::string file = std::filesystem::path(name).filename();
        std::filesystem::copy(std::string(WHIPRAY_BIN "/") + file, dir_ + "/bin/" + name);
    }
    std::ofstream(dir_ + "/bin/whipray-raylet")
        << "#!/bin/bash\n"
           "n=${@: -1} here=${0%/*}\n" /* --ready-fd comes last */
           "mkfifo $here/ready\n"
           "(read -r line < $here/ready; kill -STOP $$; echo \"$line\" >&$n) &\n"
           "exec $here/real/whipray-raylet \"${@:1:$#-1}\" 9 9>$here/ready {n}>&-\n";
    std::filesystem::permissions(dir_ + "/bin/whipray-raylet", std::filesystem::perms::owner_all);
    pid_t pid = Start(dir_ + "/bin/whipray");
    ASSERT_TRUE(raylet::Eventually([&] { return Holds(pid, "socket:"); })) << StartSaid();
    kill(pid, SIGTERM);
    for (pid_t stopped : RayletPids()) {
        kill(stopped, SIGCONT);
    }
    int status = -1;
    ASSERT_EQ(pid, waitpid(pid, &status, 0));
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << StartSaid();
    EXPECT_NE(std::string::npos, StartSaid().find("interrupted")) << StartSaid();
    EXPECT_TRUE(raylet::Eventually([&] { return Raylets() == 0; }));
    EXPECT_FALSE(std::filesystem::exists(Current()));
}

} // namespace

#include "tests/unit/worker/driver.h"

#ifndef C_DRIVER_PATH
#error "the build names the programs"
#endif

namespace {

pid_t Spawn(std::vector<std::string> words) {
    const pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_range(3, ~0u, 0);
        std::vector<char *> argv;
        for (auto &word : words) {
            argv.push_back(word.data());
        }
        argv.push_back(nullptr);
        execv(argv[0], argv.data());
        _exit(127);
    }
    return pid;
}

int ExitCode(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

wr_status Return(wr_c_call *call, const uint8_t *args, uint64_t bytes, wr_error *err) {
    return wr_c_return(call, args, bytes, err);
}

TEST(CFunctions, ADriverInCCallsFunctionsByNameInAWorkerInC) {
    FakeRayletOptions options;
    options.libraries = C_FUNCTIONS_PATH;
    FakeRaylet raylet(options);
    const pid_t worker = Spawn(
        {C_WORKER_PATH, "--socket", raylet.socket_path, "--token-file", raylet.token_path, "--cookie", "77"});
    EXPECT_EQ(0, ExitCode(Spawn({C_DRIVER_PATH, raylet.socket_path, raylet.token_path, C_FUNCTIONS_PATH})));
    raylet.Assign(raylet.SlotOf(worker), WR_ASSIGN_EXIT | WR_PORT_NONE);
    EXPECT_EQ(0, ExitCode(worker));
}

TEST(CFunctions, AFunctionThatIsNowhereIsATypedErrorThatNamesItAndTheLibrary) {
    FakeRayletOptions options;
    options.libraries = "/no/such/library.so";
    FakeRaylet raylet(options);
    const pid_t worker = Spawn(
        {C_WORKER_PATH, "--socket", raylet.socket_path, "--token-file", raylet.token_path, "--cookie", "77"});
    Driver driver(raylet);
    wr_ref ref = 0;
    ASSERT_EQ(WR_OK, wr_c_submit(driver.get(), "nowhere", "x", 1, &ref, nullptr));
    EXPECT_EQ("<NOT_FOUND>", driver.Get(ref));
    wr_view view;
    wr_error err = {};
    ASSERT_EQ(WR_OK, wr_view_get(driver.get(), ref, &view, nullptr));
    wr_view_error(&view, &err);
    EXPECT_NE(nullptr, strstr(err.text, "nowhere")) << err.text;
    EXPECT_NE(nullptr, strstr(err.text, "/no/such/library.so")) << err.text;
    kill(worker, SIGKILL);
    ExitCode(worker);
}

TEST(CFunctions, AFunctionsOwnErrorReachesTheDriver) {
    FakeRayletOptions options;
    options.libraries = C_FUNCTIONS_PATH;
    FakeRaylet raylet(options);
    const pid_t worker = Spawn(
        {C_WORKER_PATH, "--socket", raylet.socket_path, "--token-file", raylet.token_path, "--cookie", ""});
    Driver driver(raylet);
    wr_ref ref = 0;
    ASSERT_EQ(WR_OK, wr_c_submit(driver.get(), "sum", "xyz", 3, &ref, nullptr));
    EXPECT_EQ("<INVALID>", driver.Get(ref));
    kill(worker, SIGKILL);
    ExitCode(worker);
}

TEST(CFunctions, NamesAreCheckedAndTakenOnce) {
    wr_error err = {};
    EXPECT_EQ(WR_E_INVALID, wr_c_register("", Return, &err));
    EXPECT_EQ(WR_E_INVALID, wr_c_register(nullptr, Return, &err));
    EXPECT_EQ(WR_E_INVALID, wr_c_register(std::string(300, 'n').c_str(), Return, &err));
    EXPECT_EQ(WR_E_INVALID, wr_c_register("f", nullptr, &err));
    EXPECT_EQ(WR_OK, wr_c_register("f", Return, &err));
    EXPECT_EQ(WR_E_EXISTS, wr_c_register("f", Return, &err));
    FakeRaylet raylet;
    Driver driver(raylet);
    wr_ref ref = 0;
    EXPECT_EQ(WR_E_INVALID, wr_c_submit(driver.get(), "", nullptr, 0, &ref, &err));
}

TEST(CFunctions, TheWorkerProgramSaysWhatIsWrongWithItsArguments) {
    EXPECT_EQ(1, ExitCode(Spawn({C_WORKER_PATH})));
    EXPECT_EQ(1, ExitCode(Spawn({C_WORKER_PATH, "--sockets", "x"})));
    EXPECT_EQ(
        1, ExitCode(Spawn({C_WORKER_PATH, "--socket", "/none", "--token-file", "/none", "--cookie", "0"})));
}

} // namespace

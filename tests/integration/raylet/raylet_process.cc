#include "raylet_process.h"

#include "base/clock.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <signal.h>
#include <sstream>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace raylet {

const char kToken[] = "0123456789abcdef-of-the-test";

std::vector<uint8_t> Fields::Pack() {
    const uint8_t *bytes = nullptr;
    uint32_t count = 0;
    wr_error err = {};
    EXPECT_EQ(WR_OK, wr_record_finish(&w_, &bytes, &count, &err)) << err.text;
    return std::vector<uint8_t>(bytes, bytes + count);
}

wr_record Reply::record() const {
    return wr_record{bytes.data(), static_cast<uint32_t>(bytes.size())};
}

int64_t Reply::Int(const char *name, int64_t fallback) const {
    wr_record r = record();
    return wr_record_get_int(&r, name, fallback);
}

std::string Reply::Str(const char *name) const {
    wr_record r = record();
    wr_record_value v;
    bool ok = wr_record_find(&r, name, &v) && (v.type == 's' || v.type == 'b');
    return ok ? std::string(reinterpret_cast<const char *>(v.bytes), v.count) : "";
}

std::string Reply::Bytes(const char *name) const {
    return Str(name);
}

wr_record Reply::Map(const char *name) const {
    wr_record r = record(), out = {};
    EXPECT_TRUE(wr_record_get_map(&r, name, &out)) << name;
    return out;
}

Client::Client(const std::string &socket) {
    connect_status = wr_frame_connect(socket.c_str(), wr_clock_ns() + 10 * kSecond, &conn_, nullptr);
}

Client::~Client() {
    Close();
}

void Client::Close() {
    wr_frame_close(conn_);
    conn_ = nullptr;
}

Reply Client::Call(Fields &fields) {
    Reply reply;
    std::vector<uint8_t> record = fields.Pack();
    uint64_t deadline = wr_clock_ns() + 20 * kSecond;
    wr_frame frame;
    if (conn_ == nullptr) {
        reply.status = connect_status;
        return reply;
    }
    reply.status = wr_frame_send(conn_, WR_FRAME_REQUEST, ++request_, record.data(),
                                 static_cast<uint32_t>(record.size()), -1, deadline, &reply.err);
    if (reply.status == WR_OK) {
        reply.status = wr_frame_receive(conn_, deadline, &frame, &reply.err);
    }
    if (reply.status == WR_OK) {
        reply.bytes.assign(frame.body.bytes, frame.body.bytes + frame.body.count_bytes);
        reply.fd = wr_frame_take_fd(conn_);
        if (frame.type == WR_FRAME_ERROR) {
            reply.status = wr_frame_error_read(&frame.body, &reply.err);
        }
    }
    return reply;
}

Reply Client::Call(const std::string &op) {
    Fields f;
    f.Str("op", op);
    return Call(f);
}

Reply Client::Hello(int kind, const std::string &token, int layout, int protocol) {
    Fields f;
    f.Str("op", "hello")
        .Int("kind", kind)
        .Str("token", token)
        .Int("layout", layout)
        .Int("protocol", protocol)
        .Int("pid", getpid());
    return Call(f);
}

Reply Client::HelloDriver(const std::string &name_space) {
    Fields f;
    f.Str("op", "hello")
        .Int("kind", 1)
        .Str("token", kToken)
        .Int("layout", WR_LAYOUT_VERSION)
        .Int("protocol", 1)
        .Int("pid", getpid());
    f.Map("job", [&](Fields &job) {
        job.Str("namespace", name_space).Str("language", "c").Str("cwd", "/").Str("python", "");
    });
    return Call(f);
}

bool Client::HungUp() {
    wr_frame frame;
    uint64_t deadline = wr_clock_ns() + 20 * kSecond;
    wr_status status = WR_OK;
    while (status == WR_OK) {
        status = wr_frame_receive(conn_, deadline, &frame, nullptr);
    }
    return status == WR_E_UNAVAILABLE;
}

void Client::Raw(const std::string &bytes) {
    ssize_t n = write(wr_frame_fd(conn_), bytes.data(), bytes.size());
    EXPECT_EQ(static_cast<ssize_t>(bytes.size()), n);
}

Raylet::Raylet(std::vector<std::string> options, unsigned files) {
    char name[] = "/tmp/wrrayletXXXXXX";
    EXPECT_NE(nullptr, mkdtemp(name));
    dir = name;
    session = dir + "/session";
    EXPECT_EQ(WR_OK, wr_paths_folder(session.c_str(), nullptr));
    std::string token_file = dir + "/token";
    EXPECT_EQ(WR_OK, wr_paths_write(token_file.c_str(), (std::string(kToken) + "\n").c_str(), nullptr));
    int owner[2], ready_fds[2];
    EXPECT_EQ(0, pipe2(owner, O_CLOEXEC));
    EXPECT_EQ(0, pipe2(ready_fds, O_CLOEXEC));
    std::vector<std::string> words = {WHIPRAY_BIN "/whipray-raylet",
                                      "--head",
                                      "--session-dir",
                                      session,
                                      "--token-file",
                                      token_file,
                                      "--num-cpus",
                                      "2",
                                      "--log-file",
                                      session + "/raylet.log",
                                      "--owner-fd",
                                      std::to_string(owner[0]),
                                      "--ready-fd",
                                      std::to_string(ready_fds[1])};
    words.insert(words.end(), options.begin(), options.end());
    std::vector<char *> argv;
    for (std::string &word : words) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    pid = fork();
    if (pid == 0) {
        if (files > 0) {
            rlimit limit = {files, files};
            setrlimit(RLIMIT_NOFILE, &limit);
        }
        fcntl(owner[0], F_SETFD, 0);
        fcntl(ready_fds[1], F_SETFD, 0);
        execv(argv[0], argv.data());
        _exit(127);
    }
    close(owner[0]);
    close(ready_fds[1]);
    owner_ = owner[1];
    char byte;
    while (read(ready_fds[0], &byte, 1) == 1 && byte != '\n') {
        ready += byte;
    }
    close(ready_fds[0]);
}

Raylet::~Raylet() {
    EndOwner();
    if (pid > 0) {
        Wait();
    }
    if (testing::Test::HasFailure()) {
        fprintf(stderr, "%s\n", Log().c_str());
    }
    std::filesystem::remove_all(dir);
}

std::string Raylet::Log() const {
    std::ifstream file(session + "/raylet.log");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

void Raylet::EndOwner() {
    if (owner_ >= 0) {
        close(owner_);
        owner_ = -1;
    }
}

int Raylet::Wait() {
    int status = -1;
    EXPECT_EQ(pid, waitpid(pid, &status, 0));
    pid = -1;
    return status;
}

bool Alive(pid_t pid) {
    return kill(pid, 0) == 0;
}

bool Eventually(const std::function<bool()> &what) {
    uint64_t deadline = wr_clock_ns() + 20 * kSecond;
    while (!what()) {
        if (wr_clock_ns() > deadline) {
            return false;
        }
        poll(nullptr, 0, 5);
    }
    return true;
}

} // namespace raylet

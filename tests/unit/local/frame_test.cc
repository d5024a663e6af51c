#include "local/frame.h"

#include "base/clock.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr uint64_t kSecond = 1000000000ull;

std::vector<uint8_t> Record(const std::string &text) {
    wr_record_writer w = {};
    wr_record_begin(&w);
    wr_record_string(&w, "t", text.c_str());
    const uint8_t *bytes = nullptr;
    uint32_t count = 0;
    EXPECT_EQ(WR_OK, wr_record_finish(&w, &bytes, &count, nullptr));
    std::vector<uint8_t> out(bytes, bytes + count);
    wr_record_done(&w);
    return out;
}

std::vector<uint8_t> Frame(uint16_t type, uint64_t request, const std::vector<uint8_t> &record) {
    std::vector<uint8_t> out(WR_FRAME_HEADER_BYTES);
    wr_frame_header(out.data(), type, request, static_cast<uint32_t>(record.size()));
    out.insert(out.end(), record.begin(), record.end());
    return out;
}

struct Pair {
    wr_frame_conn *a = nullptr, *b = nullptr;
    Pair() {
        int fds[2];
        EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
        EXPECT_EQ(WR_OK, wr_frame_adopt(fds[0], &a, nullptr));
        EXPECT_EQ(WR_OK, wr_frame_adopt(fds[1], &b, nullptr));
    }
    ~Pair() {
        wr_frame_close(a);
        wr_frame_close(b);
    }
};

TEST(Frame, ParsesWhatWasEncodedAndNeedsAllOfIt) {
    std::vector<uint8_t> bytes = Frame(WR_FRAME_REQUEST, 77, Record("hello"));
    wr_frame f;
    uint32_t consumed = 0;
    for (size_t n = 0; n < bytes.size(); n++) {
        EXPECT_EQ(WR_E_AGAIN, wr_frame_parse(bytes.data(), n, &f, &consumed, nullptr, nullptr)) << n;
    }
    bytes.push_back(99); /* of the next frame */
    ASSERT_EQ(WR_OK, wr_frame_parse(bytes.data(), bytes.size(), &f, &consumed, nullptr, nullptr));
    EXPECT_EQ(bytes.size() - 1, consumed);
    EXPECT_EQ(77u, f.request);
    EXPECT_EQ(WR_FRAME_REQUEST, f.type);
    char text[16];
    EXPECT_TRUE(wr_record_get_string(&f.body, "t", text, sizeof text));
    EXPECT_STREQ("hello", text);
}

TEST(Frame, AMalformedFrameIsRefusedWithAReasonAsSoonAsItsHeaderIsThere) {
    struct Case {
        size_t at;
        std::vector<uint8_t> bytes;
        wr_status status;
        const char *text;
    };
    for (const Case &c :
         {Case{0, {3, 0, 0, 0}, WR_E_PROTOCOL, "length"},
          Case{0, {0xff, 0xff, 0xff, 0xff}, WR_E_PROTOCOL, "length"}, Case{4, {9}, WR_E_PROTOCOL, "type"},
          Case{4, {0}, WR_E_PROTOCOL, "type"}, Case{6, {2}, WR_E_PROTOCOL, "version"},
          Case{16, {0xff, 0xff}, WR_E_CORRUPT, "field"}}) {
        std::vector<uint8_t> bytes = Frame(WR_FRAME_REQUEST, 5, Record("x"));
        std::copy(c.bytes.begin(), c.bytes.end(), bytes.begin() + static_cast<long>(c.at));
        wr_frame f;
        uint32_t consumed = 0;
        uint64_t request = 0;
        wr_error err = {};
        EXPECT_EQ(c.status, wr_frame_parse(bytes.data(), bytes.size(), &f, &consumed, &request, &err));
        EXPECT_NE(nullptr, strstr(err.text, c.text)) << err.text;
        EXPECT_EQ(5u, request);
    }
}

TEST(Frame, TravelsBothWaysWithADescriptor) {
    Pair p;
    int pipe_fds[2];
    ASSERT_EQ(0, pipe2(pipe_fds, O_CLOEXEC));
    std::vector<uint8_t> record = Record("with a descriptor");
    ASSERT_EQ(WR_OK,
              wr_frame_send(p.a, WR_FRAME_REPLY, 1, record.data(), static_cast<uint32_t>(record.size()),
                            pipe_fds[1], wr_clock_ns() + kSecond, nullptr));
    wr_frame f;
    ASSERT_EQ(WR_OK, wr_frame_receive(p.b, wr_clock_ns() + kSecond, &f, nullptr));
    int fd = wr_frame_take_fd(p.b);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(-1, wr_frame_take_fd(p.b));
    EXPECT_EQ(1, write(fd, "x", 1));
    char c = 0;
    EXPECT_EQ(1, read(pipe_fds[0], &c, 1));
    EXPECT_EQ('x', c);
    close(fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

TEST(Frame, ALongFrameAndManyShortOnesArriveInOrder) {
    Pair p;
    std::string long_text(900000, 'l');
    std::thread sender([&] {
        for (uint64_t i = 0; i < 200; i++) {
            std::vector<uint8_t> record = Record(i % 50 == 7 ? long_text : std::to_string(i));
            EXPECT_EQ(WR_OK, wr_frame_send(p.a, WR_FRAME_REQUEST, i, record.data(),
                                           static_cast<uint32_t>(record.size()), -1,
                                           wr_clock_ns() + 20 * kSecond, nullptr));
        }
    });
    for (uint64_t i = 0; i < 200; i++) {
        wr_frame f;
        ASSERT_EQ(WR_OK, wr_frame_receive(p.b, wr_clock_ns() + 20 * kSecond, &f, nullptr));
        EXPECT_EQ(i, f.request);
        wr_record_value v;
        ASSERT_TRUE(wr_record_find(&f.body, "t", &v));
        EXPECT_EQ(i % 50 == 7 ? long_text.size() : std::to_string(i).size(), v.count);
    }
    sender.join();
}

TEST(Frame, AReceiveEndsAtItsDeadlineAndAtTheHangUp) {
    Pair p;
    wr_frame f;
    EXPECT_EQ(WR_E_TIMEOUT, wr_frame_receive(p.b, 0, &f, nullptr));
    EXPECT_EQ(WR_E_TIMEOUT, wr_frame_receive(p.b, wr_clock_ns() + 1000000, &f, nullptr));
    wr_frame_close(p.a);
    p.a = nullptr;
    EXPECT_EQ(WR_E_UNAVAILABLE, wr_frame_receive(p.b, UINT64_MAX, &f, nullptr));
    std::vector<uint8_t> record = Record("x");
    EXPECT_EQ(WR_E_UNAVAILABLE, wr_frame_send(p.b, WR_FRAME_REQUEST, 1, record.data(),
                                              static_cast<uint32_t>(record.size()), -1, UINT64_MAX, nullptr));
}

TEST(Frame, ASendToAFullPeerEndsAtItsDeadline) {
    Pair p;
    std::vector<uint8_t> record = Record(std::string(1000000, 'x'));
    wr_status status = WR_OK;
    for (int i = 0; i < 100 && status == WR_OK; i++) {
        status = wr_frame_send(p.a, WR_FRAME_REQUEST, 1, record.data(), static_cast<uint32_t>(record.size()),
                               -1, wr_clock_ns() + 1000000, nullptr);
    }
    EXPECT_EQ(WR_E_TIMEOUT, status);
}

TEST(Frame, ConnectingToNobodyIsUnavailableAndNamesThePath) {
    wr_frame_conn *conn = nullptr;
    wr_error err = {};
    EXPECT_EQ(WR_E_UNAVAILABLE,
              wr_frame_connect("/tmp/no-such-folder/raylet", wr_clock_ns() + kSecond, &conn, &err));
    EXPECT_NE(nullptr, strstr(err.text, "/tmp/no-such-folder/raylet"));
    EXPECT_EQ(WR_E_INVALID,
              wr_frame_connect(std::string(200, 'p').c_str(), wr_clock_ns() + kSecond, &conn, &err));
}

TEST(Frame, ConnectsToAListenerOfTheSameUser) {
    std::string path = testing::TempDir() + "frame_test_" + std::to_string(getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un at = {};
    at.sun_family = AF_UNIX;
    strncpy(at.sun_path, path.c_str(), sizeof at.sun_path - 1);
    ASSERT_EQ(0, bind(listener, reinterpret_cast<sockaddr *>(&at), sizeof at));
    ASSERT_EQ(0, listen(listener, 4));
    wr_frame_conn *conn = nullptr;
    wr_error err = {};
    EXPECT_EQ(WR_OK, wr_frame_connect(path.c_str(), wr_clock_ns() + kSecond, &conn, &err)) << err.text;
    wr_frame_close(conn);
    close(listener);
    EXPECT_EQ(WR_E_UNAVAILABLE, wr_frame_connect(path.c_str(), wr_clock_ns() + kSecond, &conn, &err));
    unlink(path.c_str());
}

TEST(Peer, OnlyTheSameUserPasses) {
    wr_error err = {};
    EXPECT_EQ(WR_OK, wr_peer_check(1000, 1000, &err));
    EXPECT_EQ(WR_E_DENIED, wr_peer_check(1001, 1000, &err));
    EXPECT_NE(nullptr, strstr(err.text, "1001"));
    EXPECT_EQ(WR_E_DENIED, wr_peer_check(0, 1000, &err)) << "root is no exception";
    Pair p;
    pid_t pid = 0;
    uid_t uid = 12345;
    ASSERT_EQ(WR_OK, wr_peer_of(wr_frame_fd(p.a), &pid, &uid, &err));
    EXPECT_EQ(getpid(), pid);
    EXPECT_EQ(getuid(), uid);
}

TEST(Token, OnlyTheWholeTokenIsEqual) {
    EXPECT_TRUE(wr_token_equal("0123456789abcdef", "0123456789abcdef"));
    EXPECT_FALSE(wr_token_equal("0123456789abcdee", "0123456789abcdef"));
    EXPECT_FALSE(wr_token_equal("0123456789abcde", "0123456789abcdef"));
    EXPECT_FALSE(wr_token_equal("0123456789abcdef0", "0123456789abcdef"));
    EXPECT_FALSE(wr_token_equal("", "0123456789abcdef"));
}

TEST(FrameError, TravelsAsARecord) {
    wr_error sent = {}, got = {};
    WR_FAIL(&sent, WR_E_NOT_FOUND, "no actor is called 'x'");
    wr_error_hint(&sent, "there is 'y'");
    wr_record_writer w = {};
    wr_frame_error_write(&w, &sent);
    const uint8_t *bytes;
    uint32_t count;
    ASSERT_EQ(WR_OK, wr_record_finish(&w, &bytes, &count, nullptr));
    wr_record r;
    ASSERT_EQ(WR_OK, wr_record_check(bytes, count, &r, nullptr));
    EXPECT_EQ(WR_E_NOT_FOUND, wr_frame_error_read(&r, &got));
    EXPECT_STREQ(sent.text, got.text);
    EXPECT_STREQ(sent.hint, got.hint);
    wr_record_begin(&w);
    wr_record_int(&w, "status", 123456);
    ASSERT_EQ(WR_OK, wr_record_finish(&w, &bytes, &count, nullptr));
    ASSERT_EQ(WR_OK, wr_record_check(bytes, count, &r, nullptr));
    EXPECT_EQ(WR_E_INTERNAL, wr_frame_error_read(&r, &got));
    wr_record_done(&w);
}

} // namespace

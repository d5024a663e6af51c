// Server and client of this folder against each other, in one process.
#include "rpc/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "rpc/client.h"
#include "rpc/grpc_util.h"

namespace {

constexpr const char *kToken = "a-token-of-the-cluster";
constexpr uint64_t kSecond = 1000000000ull;

// Echoes unary calls and stream messages; "/test/Silent" is never answered.
class EchoServer {
  public:
    EchoServer() {
        wr_rpc_server_opts opts = {};
        opts.listen = "127.0.0.1:0";
        opts.credentials.token = kToken;
        opts.handlers.user = this;
        opts.handlers.on_call = [](void *, wr_rpc_call *call, const char *method) {
            std::string m = method;
            const char *mark = m == "/test/Echo"     ? "e"
                               : m == "/test/Silent" ? "s"
                               : m == "/test/Fail"   ? "f"
                                                     : nullptr;
            wr_rpc_call_set_user(call, const_cast<char *>(mark));
            return mark != nullptr ? WR_RPC_UNARY : m == "/test/Stream" ? WR_RPC_STREAM : WR_RPC_UNKNOWN;
        };
        opts.handlers.on_message = [](void *user, wr_rpc_call *call, wr_span bytes) {
            auto *self = static_cast<EchoServer *>(user);
            auto *mark = static_cast<const char *>(wr_rpc_call_user(call));
            if (mark == nullptr) {
                self->backlog_.append(static_cast<const char *>(bytes.data), bytes.bytes);
                self->Write(call);
            } else if (*mark == 'e') {
                wr_rpc_call_reply(call, bytes.data, bytes.bytes);
            } else if (*mark == 'f') {
                wr_rpc_call_fail(call, WR_E_STATE, "not today");
            } else {
                self->silent_.push_back(call);
            }
        };
        opts.handlers.on_writable = [](void *user, wr_rpc_call *call) {
            static_cast<EchoServer *>(user)->Write(call);
        };
        opts.handlers.on_closed = [](void *user, wr_rpc_call *) {
            static_cast<EchoServer *>(user)->closed++;
        };
        wr_error err = {};
        status = wr_rpc_server_open(&opts, &server_, &err);
        EXPECT_EQ(WR_OK, status) << err.text;
        thread_ = std::thread([this] {
            while (!stop_) {
                wr_rpc_server_poll(server_, wr_clock_ns() + kSecond / 50, 64);
            }
        });
    }
    ~EchoServer() {
        stop_ = true;
        thread_.join();
        wr_rpc_server_close(server_);
    }
    std::string target() const {
        return "127.0.0.1:" + std::to_string(wr_rpc_server_port(server_));
    }
    wr_status status = WR_OK;
    std::atomic<int> closed{0};

  private:
    void Write(wr_rpc_call *call) {
        if (!backlog_.empty() && !wr_rpc_call_busy(call)) {
            wr_rpc_call_send(call, backlog_.data(), static_cast<uint32_t>(backlog_.size()));
            backlog_.clear();
        }
    }
    wr_rpc_server *server_ = nullptr;
    std::thread thread_;
    std::atomic<bool> stop_{false};
    std::string backlog_;
    std::vector<wr_rpc_call *> silent_;
};

class Client {
  public:
    explicit Client(const std::string &target, const char *token = kToken) {
        wr_rpc_credentials c = {};
        c.token = token;
        EXPECT_EQ(WR_OK, wr_rpc_client_open(target.c_str(), &c, &client_, nullptr));
    }
    ~Client() {
        wr_rpc_client_stop(client_);
        while (wr_rpc_client_poll(client_, UINT64_MAX)) {
        }
        wr_rpc_client_close(client_);
    }
    wr_rpc_client *get() {
        return client_;
    }
    struct Answer {
        bool done = false;
        wr_status status = WR_OK;
        std::string bytes, text;
    };
    static void OnDone(void *user, wr_status status, wr_span bytes, const wr_error *err) {
        auto *a = static_cast<Answer *>(user);
        *a = {true, status, std::string(static_cast<const char *>(bytes.data), bytes.bytes), err->text};
    }
    Answer Call(const char *method, const std::string &bytes, uint64_t timeout_ns = 10 * kSecond) {
        Answer a;
        EXPECT_EQ(WR_OK, wr_rpc_client_call(client_, method,
                                            wr_span_of(bytes.data(), static_cast<uint32_t>(bytes.size())),
                                            wr_clock_ns() + timeout_ns, OnDone, &a, nullptr, nullptr));
        while (!a.done) {
            wr_rpc_client_poll(client_, UINT64_MAX);
        }
        return a;
    }

  private:
    wr_rpc_client *client_ = nullptr;
};

TEST(RpcTest, UnaryCallsAreAnswered) {
    EchoServer server;
    Client client(server.target());
    for (const std::string &text : {std::string(), std::string("\0\xff", 2), std::string(5 << 20, 'x')}) {
        auto a = client.Call("/test/Echo", text);
        EXPECT_EQ(WR_OK, a.status) << a.text;
        EXPECT_EQ(text, a.bytes);
    }
}

TEST(RpcTest, FailuresKeepTheirTextAndUnknownMethodsAreNamedSo) {
    EchoServer server;
    Client client(server.target());
    auto a = client.Call("/test/Fail", "x");
    EXPECT_EQ(wr_status_from_grpc(wr_status_to_grpc(WR_E_STATE)), a.status);
    EXPECT_EQ("not today", a.text);
    EXPECT_EQ(WR_E_VERSION, client.Call("/test/Nothing", "x").status);
    EXPECT_EQ(WR_E_VERSION, client.Call(("/" + std::string(500, 'm')).c_str(), "x").status);
}

TEST(RpcTest, ADeadlineEndsACallThatIsNotAnswered) {
    EchoServer server;
    Client client(server.target());
    EXPECT_EQ(WR_E_TIMEOUT, client.Call("/test/Silent", "x", kSecond / 10).status);
    EXPECT_EQ(WR_OK, client.Call("/test/Echo", "still there").status);
}

TEST(RpcTest, NoWrongTokenPassesWhateverItsLength) {
    EchoServer server;
    for (const char *token : {"a-token-of-the-clusteR", "a-token-of-the-cluster1", "a-token-of-the-clust",
                              "Bearer a-token-of-the-cluster"}) {
        // The last has a blank and is refused before it is sent.
        wr_rpc_credentials c = {};
        c.token = token;
        if (wr_rpc_credentials_check(&c, nullptr) != WR_OK) {
            continue;
        }
        Client client(server.target(), token);
        EXPECT_EQ(WR_E_UNAUTHENTICATED, client.Call("/test/Echo", "x").status) << token;
        EXPECT_EQ(WR_E_UNAUTHENTICATED, client.Call("/test/Nothing", "x").status)
            << "before the method is looked at";
    }
}

TEST(RpcTest, ACallWithoutAnyTokenIsUnauthenticated) {
    EchoServer server;
    grpc_init();
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(server.target().c_str(), credentials, nullptr);
    grpc_channel_credentials_release(credentials);
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(nullptr);
    grpc_slice method = grpc_slice_from_static_string("/test/Echo");
    grpc_call *call = grpc_channel_create_call(channel, nullptr, 0, queue, method, nullptr,
                                               wr_grpc_deadline(wr_clock_ns() + 10 * kSecond), nullptr);
    grpc_op ops[4];
    memset(ops, 0, sizeof ops);
    grpc_metadata_array headers, trailers;
    grpc_metadata_array_init(&headers);
    grpc_metadata_array_init(&trailers);
    grpc_status_code code = GRPC_STATUS_OK;
    grpc_slice details = grpc_empty_slice();
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
    ops[1].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[1].data.recv_status_on_client.trailing_metadata = &trailers;
    ops[1].data.recv_status_on_client.status = &code;
    ops[1].data.recv_status_on_client.status_details = &details;
    ops[2].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[2].data.recv_initial_metadata.recv_initial_metadata = &headers;
    ops[3].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ASSERT_EQ(GRPC_CALL_OK, grpc_call_start_batch(call, ops, 4, nullptr, nullptr));
    (void)grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr);
    EXPECT_EQ(GRPC_STATUS_UNAUTHENTICATED, code);
    grpc_slice_unref(details);
    grpc_metadata_array_destroy(&headers);
    grpc_metadata_array_destroy(&trailers);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr).type !=
           GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(queue);
    grpc_channel_destroy(channel);
    grpc_shutdown();
}

TEST(RpcTest, AStreamCarriesBytesBothWaysAndItsEndIsTold) {
    EchoServer server;
    Client client(server.target());
    struct State {
        std::string got;
        bool closed = false;
        wr_status status = WR_OK;
    } state;
    wr_rpc_stream_callbacks callbacks = {};
    callbacks.user = &state;
    callbacks.on_message = [](void *user, wr_rpc_stream *, wr_span bytes) {
        static_cast<State *>(user)->got.append(static_cast<const char *>(bytes.data), bytes.bytes);
    };
    callbacks.on_writable = [](void *, wr_rpc_stream *) {};
    callbacks.on_closed = [](void *user, wr_rpc_stream *, wr_status status, const wr_error *) {
        static_cast<State *>(user)->closed = true;
        static_cast<State *>(user)->status = status;
    };
    wr_rpc_stream *stream = nullptr;
    ASSERT_EQ(WR_OK, wr_rpc_client_stream(client.get(), "/test/Stream", &callbacks, &stream, nullptr));
    std::string sent;
    for (int i = 0; i < 200; i++) {
        while (wr_rpc_stream_busy(stream)) {
            wr_rpc_client_poll(client.get(), UINT64_MAX);
        }
        std::string part = "part" + std::to_string(i) + ";";
        sent += part;
        wr_rpc_stream_send(stream, part.data(), static_cast<uint32_t>(part.size()));
    }
    while (state.got.size() < sent.size()) {
        wr_rpc_client_poll(client.get(), UINT64_MAX);
    }
    EXPECT_EQ(sent, state.got);
    wr_rpc_stream_cancel(stream);
    while (!state.closed) {
        wr_rpc_client_poll(client.get(), UINT64_MAX);
    }
    EXPECT_EQ(WR_E_CANCELLED, state.status);
}

TEST(RpcTest, ATakenAddressIsAnErrorNotASharedPort) {
    EchoServer server;
    wr_rpc_server_opts opts = {};
    std::string target = server.target();
    opts.listen = target.c_str();
    opts.credentials.token = kToken;
    wr_rpc_server *second = nullptr;
    wr_error err = {};
    EXPECT_EQ(WR_E_IO, wr_rpc_server_open(&opts, &second, &err));
    EXPECT_NE(std::string::npos, std::string(err.text).find(target));
}

TEST(CredentialsTest, BadOnesAreRefusedBeforeAnythingIsOpened) {
    wr_rpc_credentials c = {};
    EXPECT_EQ(WR_E_INVALID, wr_rpc_credentials_check(&c, nullptr));
    for (const char *token : {"", "short", "with a blank in it!", "with\na\nnewline----"}) {
        c.token = token;
        EXPECT_EQ(WR_E_INVALID, wr_rpc_credentials_check(&c, nullptr)) << token;
    }
    std::string longest(513, 'x');
    c.token = longest.c_str();
    EXPECT_EQ(WR_E_INVALID, wr_rpc_credentials_check(&c, nullptr));
    c.token = kToken;
    EXPECT_EQ(WR_OK, wr_rpc_credentials_check(&c, nullptr));
    c.tls_cert = "/nowhere/cert.pem";
    EXPECT_EQ(WR_E_INVALID, wr_rpc_credentials_check(&c, nullptr));
    c.tls_key = "/nowhere/key.pem";
    c.tls_ca = "/nowhere/ca.pem";
    wr_rpc_client *client = nullptr;
    wr_error err = {};
    EXPECT_EQ(WR_E_NOT_FOUND, wr_rpc_client_open("127.0.0.1:1", &c, &client, &err));
    EXPECT_NE(std::string::npos, std::string(err.text).find("/nowhere/cert.pem")) << err.text;
}

TEST(CredentialsTest, SecretsAreComparedWhole) {
    EXPECT_TRUE(wr_bytes_equal_secret("abc", 3, "abc", 3));
    EXPECT_FALSE(wr_bytes_equal_secret("abc", 3, "abd", 3));
    EXPECT_FALSE(wr_bytes_equal_secret("abc", 3, "ab", 2));
    EXPECT_TRUE(wr_bytes_equal_secret("", 0, "", 0));
}

} // namespace

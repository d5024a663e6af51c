// A raylet for tests: the keeper and a socket in one thread, one class port, any number of actor ports, no policy.
// Workers are forked by the tests themselves and say hello with the cookie "w".
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "local/frame.h"
#include "shm/keeper.h"
#include "store/error_value.h"
#include "whipray/whipray.h"

struct FakeRayletOptions {
    uint64_t heap_bytes = 512ull << 20;
    uint32_t ring_capacity = 16384;
    wr_status refuse_hello = WR_OK; // answers every hello with this error
    bool silent = false;            // accepts, and never answers
    bool hang_up = false;           // hangs up instead of an answer
    std::string libraries;          // one path: in the job_config that workers get
};

class FakeRaylet {
  public:
    static constexpr const char *kToken = "the cluster's token";
    static constexpr uint64_t kCluster = 0x1122334455667788;
    static constexpr uint32_t kIncarnation = 7;
    static constexpr uint32_t kJob = 3;

    explicit FakeRaylet(FakeRayletOptions options = {}) : options_(std::move(options)) {
        char folder[] = "/tmp/whipray_test_XXXXXX";
        EXPECT_NE(nullptr, mkdtemp(folder));
        folder_ = folder;
        socket_path = folder_ + "/raylet";
        token_path = folder_ + "/token";
        FILE *file = fopen(token_path.c_str(), "w");
        fprintf(file, "%s\n", kToken);
        fclose(file);

        wr_pool_geometry geometry = {};
        geometry.slots = 32;
        geometry.ports = 64;
        geometry.rings = 512;
        geometry.ring_capacity = options_.ring_capacity;
        geometry.cell_extents = 2048;
        geometry.heap_bytes = options_.heap_bytes;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_pool_create(&geometry, &pool, &err)) << err.text;
        EXPECT_EQ(WR_OK, wr_keeper_new(pool, &keeper, &err)) << err.text;
        wr_result gone;
        wr_store_error_inline(WR_E_ACTOR_DIED, "it ended before the call", &gone);
        wr_proc_on_gone(wr_keeper_proc(keeper), &gone);
        EXPECT_EQ(WR_OK, wr_keeper_port_open(keeper, false, &class_port, &err)) << err.text;

        listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un at = {};
        at.sun_family = AF_UNIX;
        memcpy(at.sun_path, socket_path.c_str(), socket_path.size() + 1);
        EXPECT_EQ(0, bind(listener_, (sockaddr *)&at, sizeof at));
        EXPECT_EQ(0, listen(listener_, 64));
        thread_ = std::thread([this] { Serve(); });
    }

    ~FakeRaylet() {
        Kill();
        wr_keeper_free(keeper);
        wr_pool_close(pool);
        unlink(socket_path.c_str());
        unlink(token_path.c_str());
        rmdir(folder_.c_str());
    }

    // Ends as a SIGKILLed raylet does: sockets hang up, nothing is said.
    void Kill() {
        if (thread_.joinable()) {
            stop_ = true;
            thread_.join();
            peers_.clear();
            close(listener_);
        }
    }

    // A new actor port; `worker` (a pid) is assigned to it as soon as it says hello.
    uint16_t OpenActorPort() {
        std::lock_guard<std::mutex> hold(lock);
        uint16_t port = 0;
        EXPECT_EQ(WR_OK, wr_keeper_port_open(keeper, true, &port, nullptr));
        return port;
    }
    uint32_t GenerationOf(uint16_t port) {
        std::lock_guard<std::mutex> hold(lock);
        wr_port_info info;
        wr_keeper_port_info(keeper, port, &info);
        return info.generation;
    }
    // What had the port is gone; the next has its number.
    void PassPortOn(uint16_t port) {
        std::lock_guard<std::mutex> hold(lock);
        uint16_t again = 0;
        wr_keeper_port_close(keeper, port);
        ASSERT_EQ(WR_OK, wr_keeper_port_open(keeper, true, &again, nullptr));
        ASSERT_EQ(port, again);
    }
    void AssignNextWorkerTo(uint16_t actor_port) {
        next_actor_port_ = actor_port;
    }
    void Assign(uint32_t slot, uint32_t word) {
        std::lock_guard<std::mutex> hold(lock);
        wr_keeper_assign(keeper, slot, word);
    }
    // Slot of a live process, 0 while there is none.
    uint32_t SlotOf(pid_t pid) {
        std::lock_guard<std::mutex> hold(lock);
        for (auto &peer : peers_) {
            if (peer->pid == pid) {
                return peer->slot;
            }
        }
        return 0;
    }
    uint32_t LiveSlots() {
        std::lock_guard<std::mutex> hold(lock);
        wr_keeper_stats stats;
        wr_keeper_stats_of(keeper, &stats);
        return stats.slots_live;
    }
    wr_keeper_stats Stats() {
        std::lock_guard<std::mutex> hold(lock);
        wr_keeper_stats stats;
        wr_keeper_stats_of(keeper, &stats);
        return stats;
    }

    std::unique_ptr<wr_client, void (*)(wr_client *)> Connect(wr_client_kind kind = WR_CLIENT_DRIVER,
                                                              uint64_t spin_ns = 0) {
        wr_client_opts opts = {};
        opts.kind = kind;
        opts.socket_path = socket_path.c_str();
        opts.token = kToken;
        opts.spin_ns = spin_ns;
        wr_error err = {};
        wr_client *client = nullptr;
        EXPECT_EQ(WR_OK, wr_client_open(&opts, &client, &err)) << err.text;
        return {client, wr_client_close};
    }

    std::string socket_path, token_path;
    wr_pool *pool = nullptr;
    wr_keeper *keeper = nullptr;
    uint16_t class_port = 0;
    std::mutex lock; // around the keeper and the peers
    std::atomic<uint64_t> cancels_asked{0}, byes{0};

  private:
    struct Peer {
        ~Peer() {
            if (pidfd >= 0) {
                close(pidfd);
            }
            wr_frame_close(conn);
        }
        wr_frame_conn *conn = nullptr;
        pid_t pid = 0;
        uint32_t slot = 0;
        int pidfd = -1;
        uint16_t port = WR_PORT_NONE;
        bool hung_up = false;
    };

    struct Function {
        std::string digest, name, meta;
        wr_handle ref;
    };

    void Serve() {
        while (!stop_) {
            std::vector<pollfd> polled = {{listener_, POLLIN, 0}};
            {
                std::lock_guard<std::mutex> hold(lock);
                for (auto &peer : peers_) {
                    polled.push_back({peer->hung_up ? peer->pidfd : wr_frame_fd(peer->conn), POLLIN, 0});
                }
            }
            timespec wait = {0, 300000};
            ppoll(polled.data(), polled.size(), &wait, nullptr);
            std::lock_guard<std::mutex> hold(lock);
            for (size_t i = 1; i < polled.size(); i++) {
                if (polled[i].revents != 0) {
                    Serve(*peers_[i - 1]);
                }
            }
            for (size_t i = 0; i < peers_.size();) {
                Peer &peer = *peers_[i];
                if (peer.hung_up && Exited(peer)) {
                    if (peer.slot != 0) {
                        wr_keeper_slot_dead(keeper, peer.slot, Lost, this);
                        CountTakers();
                    }
                    peers_.erase(peers_.begin() + (ptrdiff_t)i);
                } else {
                    i++;
                }
            }
            if ((polled[0].revents & POLLIN) != 0) {
                const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
                auto peer = std::make_unique<Peer>();
                if (fd >= 0 && wr_frame_adopt(fd, &peer->conn, nullptr) == WR_OK && !options_.hang_up) {
                    peers_.push_back(std::move(peer));
                }
            }
            wr_keeper_pass(keeper);
            wr_keeper_event event;
            while (wr_keeper_next(keeper, &event)) {
            }
        }
    }

    // A client in this very process is dead when it hangs up; another process when the kernel says so.
    static bool Exited(const Peer &peer) {
        pollfd p = {peer.pidfd, POLLIN, 0};
        return peer.pidfd < 0 || poll(&p, 1, 0) > 0;
    }

    static void Lost(void *arg, wr_handle, uint32_t, wr_lost_reason reason, uint32_t, wr_result *out) {
        auto *self = (FakeRaylet *)arg;
        wr_error error = {};
        WR_FAIL(&error, reason == WR_LOST_OWNER_DIED ? WR_E_OWNER_DIED : WR_E_WORKER_DIED,
                "the worker process ended (reason %d)", (int)reason);
        wr_store_error_encode(self->pool, wr_keeper_proc(self->keeper), &error, out);
    }

    void CountTakers() {
        uint32_t takers = 0;
        for (auto &peer : peers_) {
            takers += peer->slot != 0 && !peer->hung_up && peer->port == class_port ? 1 : 0;
        }
        wr_keeper_port_takers(keeper, class_port, takers, false);
    }

    void Serve(Peer &peer) {
        if (peer.hung_up || options_.silent) {
            return;
        }
        for (;;) {
            wr_frame frame;
            wr_error err = {};
            const wr_status status = wr_frame_receive(peer.conn, 0, &frame, &err);
            if (status == WR_E_TIMEOUT) {
                return;
            }
            if (status != WR_OK) {
                peer.hung_up = true;
                return;
            }
            char op[64];
            wr_record_get_string(&frame.body, "op", op, sizeof op);
            if (strcmp(op, "bye") == 0) {
                byes++;
                continue;
            }
            if (strcmp(op, "never") == 0) { // its answer comes too late: with that to the next call
                late_ = frame.request;
                continue;
            }
            wr_record_writer w = {};
            wr_record_begin(&w);
            if (late_ != 0) {
                const uint8_t *late = nullptr;
                uint32_t late_bytes = 0;
                wr_record_int(&w, "back", -77);
                EXPECT_EQ(WR_OK, wr_record_finish(&w, &late, &late_bytes, nullptr));
                EXPECT_EQ(WR_OK, wr_frame_send(peer.conn, WR_FRAME_REPLY, late_, late, late_bytes, -1,
                                               UINT64_MAX, nullptr));
                late_ = 0;
                wr_record_begin(&w);
            }
            int pass_fd = -1;
            const wr_status answer = Answer(peer, op, frame.body, &w, &pass_fd, &err);
            if (answer != WR_OK) {
                wr_frame_error_write(&w, &err);
            }
            const uint8_t *bytes = nullptr;
            uint32_t count = 0;
            EXPECT_EQ(WR_OK, wr_record_finish(&w, &bytes, &count, nullptr));
            if (wr_frame_send(peer.conn, answer == WR_OK ? WR_FRAME_REPLY : WR_FRAME_ERROR, frame.request,
                              bytes, count, pass_fd, UINT64_MAX, nullptr) != WR_OK) {
                peer.hung_up = true;
            }
            wr_record_done(&w);
        }
    }

    wr_status Answer(Peer &peer, const std::string &op, const wr_record &in, wr_record_writer *w,
                     int *pass_fd, wr_error *err) {
        if (op == "hello") {
            return Hello(peer, in, w, pass_fd, err);
        }
        if (op == "echo") {
            wr_record_int(w, "back", wr_record_get_int(&in, "number", -1));
            return WR_OK;
        }
        if (op == "class_open" || op == "port_open") {
            uint32_t ring = 0;
            const uint16_t port =
                op == "port_open" ? (uint16_t)wr_record_get_int(&in, "port", 0) : class_port;
            WR_TRY(wr_keeper_ring_open(keeper, port, peer.slot, &ring, err));
            wr_port_info info;
            wr_keeper_port_info(keeper, port, &info);
            wr_record_int(w, "port", port);
            wr_record_int(w, "ring", ring);
            wr_record_int(w, "generation", info.generation);
            return WR_OK;
        }
        if (op == "assignment") {
            uint32_t ring = 0;
            wr_record_string(w, "kind",
                             peer.port == WR_PORT_NONE ? "none"
                             : peer.port == class_port ? "class"
                                                       : "actor");
            if (peer.port != WR_PORT_NONE) {
                WR_TRY(wr_keeper_ring_open(keeper, peer.port, peer.slot, &ring, err));
                wr_record_int(w, "port", peer.port);
                wr_record_int(w, "ring", ring);
            }
            return WR_OK;
        }
        if (op == "function_export") {
            Function f;
            wr_record_value v;
            if (wr_record_find(&in, "digest", &v)) {
                f.digest.assign((const char *)v.bytes, v.count);
            }
            if (wr_record_find(&in, "meta", &v)) {
                f.meta.assign((const char *)v.bytes, v.count);
            }
            f.ref = (wr_handle)wr_record_get_int(&in, "ref", 0);
            wr_keeper_hold(keeper, f.ref);
            functions_.push_back(f);
            wr_record_int(w, "function", (int64_t)functions_.size() - 1);
            return WR_OK;
        }
        if (op == "function_get") {
            const int64_t number = wr_record_get_int(&in, "function", -1);
            if (number < 0 || (size_t)number >= functions_.size()) {
                return WR_FAIL(err, WR_E_NOT_FOUND, "no function %d", (int)number);
            }
            wr_record_int(w, "ref", (int64_t)functions_[(size_t)number].ref);
            wr_record_bytes(w, "meta", functions_[(size_t)number].meta.data(),
                            functions_[(size_t)number].meta.size());
            return WR_OK;
        }
        if (op == "cancel") {
            cancels_asked++;
            wr_keeper_want_cancel(keeper, (uint32_t)wr_record_get_int(&in, "slot", 0),
                                  (wr_handle)wr_record_get_int(&in, "handle", 0));
            return WR_OK;
        }
        return WR_FAIL(err, WR_E_UNSUPPORTED, "the fake raylet has no op '%s'", op.c_str());
    }

    wr_status Hello(Peer &peer, const wr_record &in, wr_record_writer *w, int *pass_fd, wr_error *err) {
        char token[128];
        wr_record_get_string(&in, "token", token, sizeof token);
        if (options_.refuse_hello != WR_OK) {
            return WR_FAIL(err, options_.refuse_hello, "refused: %s", wr_status_text(options_.refuse_hello));
        }
        if (!wr_token_equal(token, kToken)) {
            return WR_FAIL(err, WR_E_UNAUTHENTICATED, "the token is wrong");
        }
        if (wr_record_get_int(&in, "layout", -1) != WR_LAYOUT_VERSION) {
            return WR_FAIL(err, WR_E_VERSION, "layout %d", (int)wr_record_get_int(&in, "layout", -1));
        }
        const int64_t kind = wr_record_get_int(&in, "kind", 0);
        wr_record_int(w, "cluster_id", (int64_t)kCluster);
        wr_record_int(w, "incarnation", kIncarnation);
        wr_record_int(w, "job", kJob);
        if (kind == WR_CLIENT_TOOL) {
            return WR_OK;
        }
        peer.pid = (pid_t)wr_record_get_int(&in, "pid", 0);
        uint32_t epoch = 0;
        WR_TRY(wr_keeper_slot_open(keeper, peer.pid, &peer.slot, &epoch, err));
        if (peer.pid != getpid()) {
            peer.pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
        }
        if (kind == WR_CLIENT_WORKER) {
            const uint16_t actor = next_actor_port_.exchange(WR_PORT_NONE);
            peer.port = actor != WR_PORT_NONE ? actor : class_port;
            if (actor != WR_PORT_NONE) {
                wr_keeper_port_state(keeper, actor, WR_PORT_OPEN, 0);
            }
            wr_keeper_assign(keeper, peer.slot,
                             (actor != WR_PORT_NONE ? WR_ASSIGN_ACTOR : 0) | 0x10000u * ++assignments_ |
                                 peer.port);
            CountTakers();
            wr_record_map_begin(w, "job_config");
            wr_record_list_begin(w, "libraries");
            if (!options_.libraries.empty()) {
                wr_record_string(w, nullptr, options_.libraries.c_str());
            }
            wr_record_list_end(w);
            wr_record_map_end(w);
        }
        wr_record_int(w, "slot", peer.slot);
        wr_record_int(w, "epoch", epoch);
        *pass_fd = wr_pool_fd(pool);
        return WR_OK;
    }

    FakeRayletOptions options_;
    std::string folder_;
    int listener_ = -1;
    std::vector<std::unique_ptr<Peer>> peers_;
    std::vector<Function> functions_;
    std::atomic<uint16_t> next_actor_port_{WR_PORT_NONE};
    uint32_t assignments_ = 0;
    uint64_t late_ = 0;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

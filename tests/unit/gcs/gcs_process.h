// The real whipray-gcs as a child process, and a small raylet's end of a link, for tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "rpc/gcs_link.h"

inline constexpr uint64_t kSecond = 1000000000ull;

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/wr_gcs_test_XXXXXX";
        path = mkdtemp(name);
    }
    ~Folder() {
        (void)!std::system(("rm -rf " + path).c_str());
    }
};

inline void WriteFile(const std::string &path, const std::string &text) {
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
}

// A certificate authority of its own, and one certificate for DNS:whipray.
inline bool MakeCertificates(const std::string &dir) {
    WriteFile(dir + "/ext", "subjectAltName=DNS:whipray\n");
    const std::string q = " >/dev/null 2>&1";
    auto run = [&](const std::string &command) {
        return std::system(("cd " + dir + " && " + command + q).c_str()) == 0;
    };
    return run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key "
               "-out ca.pem -days 2 "
               "-subj /CN=test-ca") &&
           run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout node.key -out "
               "node.csr -subj /CN=whipray") &&
           run("openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out node.pem -days "
               "2 -extfile ext");
}

class GcsProcess {
  public:
    explicit GcsProcess(bool tls = false) : tls_(tls) {
        WriteFile(folder_.path + "/token", kToken);
        if (tls_) {
            ok_ = MakeCertificates(folder_.path);
        }
    }
    ~GcsProcess() {
        Kill();
    }
    static constexpr const char *kToken = "0123456789abcdef-test-token";

    bool Usable() const {
        return ok_;
    }
    const std::string &dir() const {
        return folder_.path;
    }
    std::string target() const {
        return tls_ ? "127.0.0.1:" + std::to_string(port_) : "unix:" + folder_.path + "/gcs.sock";
    }

    // Starts it and waits until it listens.
    bool Start(std::vector<std::string> more = {}) {
        unlink((folder_.path + "/port").c_str());
        std::vector<std::string> args = {WR_GCS_PROGRAM,
                                         "--session-dir",
                                         folder_.path,
                                         "--token-file",
                                         folder_.path + "/token",
                                         "--port-file",
                                         folder_.path + "/port",
                                         "--listen",
                                         tls_ ? "127.0.0.1:" + std::to_string(port_) : target()};
        if (tls_) {
            args.insert(args.end(), {"--tls-cert", folder_.path + "/node.pem", "--tls-key",
                                     folder_.path + "/node.key", "--tls-ca", folder_.path + "/ca.pem"});
        }
        args.insert(args.end(), more.begin(), more.end());
        Spawn(args);
        for (int i = 0; i < 1000; i++) { // bounded: 10 s
            std::ifstream file(folder_.path + "/port");
            if (file >> port_) {
                return true;
            }
            int status;
            if (waitpid(pid_, &status, WNOHANG) == pid_) {
                pid_ = -1;
                exit_status = status;
                return false;
            }
            usleep(10000);
        }
        return false;
    }
    void Spawn(const std::vector<std::string> &args) {
        std::vector<char *> argv;
        for (const auto &a : args) {
            argv.push_back(const_cast<char *>(a.c_str()));
        }
        argv.push_back(nullptr);
        std::string err = folder_.path + "/stderr";
        pid_ = fork();
        if (pid_ == 0) {
            int fd = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
            dup2(fd, 2);
            execv(argv[0], argv.data());
            _exit(127);
        }
    }
    void Kill() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
            pid_ = -1;
        }
    }
    int Terminate() {
        kill(pid_, SIGTERM);
        int status = -1;
        waitpid(pid_, &status, 0);
        pid_ = -1;
        return status;
    }
    int Wait() {
        int status = -1;
        waitpid(pid_, &status, 0);
        pid_ = -1;
        return status;
    }
    std::string Stderr() const {
        std::ifstream file(folder_.path + "/stderr");
        return std::string(std::istreambuf_iterator<char>(file), {});
    }
    pid_t pid() const {
        return pid_;
    }
    wr_rpc_credentials Credentials() {
        wr_rpc_credentials c = {};
        c.token = kToken;
        if (tls_) {
            c.tls_cert = cert_.c_str();
            c.tls_key = key_.c_str();
            c.tls_ca = ca_.c_str();
        }
        return c;
    }
    int exit_status = 0;

  private:
    Folder folder_;
    bool tls_, ok_ = true;
    int port_ = 0;
    pid_t pid_ = -1;
    const std::string cert_ = folder_.path + "/node.pem", key_ = folder_.path + "/node.key",
                      ca_ = folder_.path + "/ca.pem";
};

inline wr_span Span(const std::string &s) {
    return wr_span_of(s.data(), static_cast<uint32_t>(s.size()));
}
inline std::string Text(wr_span s) {
    return std::string(static_cast<const char *>(s.data), s.bytes);
}

// A link whose messages wait in a queue until a test asks for them.
class TestLink {
  public:
    TestLink(GcsProcess &gcs, bool stream, const char *token = nullptr, const std::string &target = "") {
        wr_gcs_link_opts opts = {};
        target_ = target.empty() ? gcs.target() : target;
        opts.target = target_.c_str();
        opts.credentials = gcs.Credentials();
        if (token != nullptr) {
            opts.credentials.token = token;
        }
        opts.stream = stream;
        opts.callbacks.user = this;
        opts.callbacks.on_connected = [](void *user, uint64_t epoch, uint64_t cluster, bool new_epoch) {
            auto *self = static_cast<TestLink *>(user);
            std::lock_guard<std::mutex> lock(self->mutex_);
            self->epoch_ = epoch;
            self->cluster_ = cluster;
            self->connects_++;
            self->new_epochs_ += new_epoch;
            self->wake_.notify_all();
        };
        opts.callbacks.on_lost = [](void *user, const wr_error *why) {
            auto *self = static_cast<TestLink *>(user);
            std::lock_guard<std::mutex> lock(self->mutex_);
            self->lost_.push_back(why->status);
            self->wake_.notify_all();
        };
        opts.callbacks.on_message = [](void *user, wr_cluster_msg *msg) {
            auto *self = static_cast<TestLink *>(user);
            std::lock_guard<std::mutex> lock(self->mutex_);
            self->messages_.push_back(msg);
            self->wake_.notify_all();
        };
        wr_error err = {};
        status = wr_gcs_link_open(&opts, &link_, &err);
        EXPECT_EQ(WR_OK, status) << err.text;
    }
    ~TestLink() {
        wr_gcs_link_close(link_);
        for (auto *m : messages_) {
            wr_cluster_msg_free(m);
        }
    }
    wr_gcs_link *get() {
        return link_;
    }
    wr_status status;

    bool WaitFor(const std::function<bool()> &done, int seconds = 20) {
        std::unique_lock<std::mutex> lock(mutex_);
        return wake_.wait_for(lock, std::chrono::seconds(seconds), done);
    }
    bool WaitEpochs(int n) {
        return WaitFor([&] { return new_epochs_ >= n; });
    }
    bool WaitLost(wr_status s) {
        return WaitFor([&] {
            for (auto l : lost_) {
                if (l == s) {
                    return true;
                }
            }
            return false;
        });
    }
    // The next message of a type; those before it stay. NULL after 20 s. The caller frees it.
    wr_cluster_msg *Take(uint32_t type, const std::function<bool(const wr_cluster_msg &)> &match = nullptr) {
        return TakeWithin(type, 20, match);
    }
    wr_cluster_msg *TakeWithin(uint32_t type, int seconds,
                               const std::function<bool(const wr_cluster_msg &)> &match = nullptr) {
        wr_cluster_msg *found = nullptr;
        WaitFor(
            [&] {
                for (size_t i = 0; i < messages_.size(); i++) {
                    if (messages_[i]->type == type && (!match || match(*messages_[i]))) {
                        found = messages_[i];
                        messages_.erase(messages_.begin() + static_cast<long>(i));
                        return true;
                    }
                }
                return false;
            },
            seconds);
        return found;
    }
    // The next message of a type if it is here already.
    wr_cluster_msg *TryTake(uint32_t type) {
        std::lock_guard<std::mutex> lock(mutex_);
        for (size_t i = 0; i < messages_.size(); i++) {
            if (messages_[i]->type == type) {
                wr_cluster_msg *found = messages_[i];
                messages_.erase(messages_.begin() + static_cast<long>(i));
                return found;
            }
        }
        return nullptr;
    }
    bool WaitAny(uint32_t type) {
        return WaitFor([&] {
            for (auto *m : messages_) {
                if (m->type == type) {
                    return true;
                }
            }
            return false;
        });
    }
    int connects_unlocked() const {
        return connects_;
    } // inside of WaitFor
    int connects() {
        std::lock_guard<std::mutex> lock(mutex_);
        return connects_;
    }
    int new_epochs() {
        std::lock_guard<std::mutex> lock(mutex_);
        return new_epochs_;
    }
    bool TakeAndFree(uint32_t type, const std::function<bool(const wr_cluster_msg &)> &match = nullptr) {
        wr_cluster_msg *m = Take(type, match);
        wr_cluster_msg_free(m);
        return m != nullptr;
    }
    wr_status Send(const wr_cluster_msg &msg) {
        return wr_gcs_link_send(link_, &msg, nullptr);
    }
    uint64_t epoch() {
        std::lock_guard<std::mutex> lock(mutex_);
        return epoch_;
    }

    // JOIN until WELCOME, then the session with REREG.
    bool Join(const char *resources = "CPU=4", uint8_t nonce = 1) {
        wr_cluster_msg join = {};
        join.type = WR_MSG_JOIN;
        memset(join.u.join.nonce.bytes, nonce, 16);
        join.u.join.version = WR_CLUSTER_VERSION;
        join.u.join.node.resources = wr_span_text(resources);
        join.u.join.node.address = wr_span_text("unix:/nowhere");
        resources_ = resources;
        if (Send(join) != WR_OK) {
            return false;
        }
        wr_cluster_msg *welcome = Take(WR_MSG_WELCOME);
        if (welcome == nullptr) {
            return false;
        }
        inc = welcome->u.welcome.inc;
        wr_cluster_msg_free(welcome);
        wr_gcs_link_identify(link_, inc);
        return Rereg();
    }
    bool Rereg(std::vector<wr_hosted> hosted = {}) {
        wr_cluster_msg rereg = {};
        rereg.type = WR_MSG_REREG;
        rereg.u.rereg.node.inc = inc;
        rereg.u.rereg.node.resources = wr_span_text(resources_.c_str());
        rereg.u.rereg.node.address = wr_span_text("unix:/nowhere");
        rereg.u.rereg.hosted = hosted.data();
        rereg.u.rereg.hosted_count = static_cast<uint32_t>(hosted.size());
        if (Send(rereg) != WR_OK) {
            return false;
        }
        wr_cluster_msg sync = {};
        sync.type = WR_MSG_SYNC;
        sync.u.sync.available = wr_span_text(resources_.c_str());
        return Send(sync) == WR_OK && TakeAndFree(WR_MSG_NODES);
    }
    uint32_t inc = 0;

    // ---- calls
    wr_status Put(const std::string &key, const std::string &value, bool overwrite = true,
                  bool *added = nullptr) {
        wr_gcs_request r = Request(WR_GCS_KV_PUT, key);
        r.value = Span(value);
        r.overwrite = overwrite;
        wr_gcs_response *out = nullptr;
        wr_status s = wr_gcs_link_call_wait(link_, &r, &out, nullptr);
        if (added != nullptr && out != nullptr) {
            *added = out->added;
        }
        wr_gcs_response_free(out);
        return s;
    }
    wr_status Get(const std::string &key, std::string *value) {
        wr_gcs_request r = Request(WR_GCS_KV_GET, key);
        wr_gcs_response *out = nullptr;
        wr_status s = wr_gcs_link_call_wait(link_, &r, &out, nullptr);
        if (out != nullptr) {
            *value = Text(out->value);
        }
        wr_gcs_response_free(out);
        return s;
    }
    static wr_gcs_request Request(wr_gcs_call call, const std::string &key) {
        return Request(call, key.c_str());
    }
    static wr_gcs_request Request(wr_gcs_call call, const char *key) { // borrows
        wr_gcs_request r = {};
        r.call = call;
        r.name_space = wr_span_text("ns");
        r.key = wr_span_text(key);
        r.timeout_ns = 20 * kSecond;
        return r;
    }

  private:
    friend class TestLinkPeek;
    wr_gcs_link *link_ = nullptr;
    std::string target_, resources_;
    std::mutex mutex_;
    std::condition_variable wake_;
    uint64_t epoch_ = 0, cluster_ = 0;
    int connects_ = 0, new_epochs_ = 0;
    std::vector<wr_status> lost_;
    std::deque<wr_cluster_msg *> messages_;
};

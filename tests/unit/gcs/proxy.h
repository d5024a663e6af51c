// A proxy before a Unix socket whose connections a test can cut.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

class Proxy {
  public:
    explicit Proxy(const std::string &unix_path) : path_(unix_path) {
        listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in a = {};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t n = sizeof a;
        if (bind(listener_, reinterpret_cast<sockaddr *>(&a), n) != 0 || listen(listener_, 16) != 0) {
            abort();
        }
        getsockname(listener_, reinterpret_cast<sockaddr *>(&a), &n);
        port_ = ntohs(a.sin_port);
        accepting_ = std::thread([this] {
            for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
                std::lock_guard<std::mutex> lock(mutex_);
                carriers_.emplace_back([this, fd] { Carry(fd); });
            }
        });
    }
    ~Proxy() {
        shutdown(listener_, SHUT_RDWR);
        accepting_.join();
        Cut();
        for (auto &t : carriers_) {
            t.join();
        }
        close(listener_);
    }
    std::string target() const {
        return "127.0.0.1:" + std::to_string(port_);
    }
    // Ends every connection that is open now; bytes under way are lost.
    void Cut() {
        std::lock_guard<std::mutex> lock(mutex_);
        for (int fd : open_) {
            shutdown(fd, SHUT_RDWR);
        }
    }

  private:
    void Carry(int client) {
        int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un a = {};
        a.sun_family = AF_UNIX;
        strncpy(a.sun_path, path_.c_str(), sizeof a.sun_path - 1);
        if (connect(server, reinterpret_cast<sockaddr *>(&a), sizeof a) == 0) {
            {
                std::lock_guard<std::mutex> lock(mutex_);
                open_ = {client, server};
            }
            pollfd fds[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
            for (bool running = true; running && poll(fds, 2, -1) > 0;) {
                for (int i = 0; i < 2 && running; i++) {
                    if (fds[i].revents == 0) {
                        continue;
                    }
                    char buffer[65536];
                    ssize_t n = read(fds[i].fd, buffer, sizeof buffer);
                    running = n > 0;
                    for (ssize_t at = 0; running && at < n;) {
                        ssize_t wrote =
                            send(fds[1 - i].fd, buffer + at, static_cast<size_t>(n - at), MSG_NOSIGNAL);
                        running = wrote > 0;
                        at += wrote;
                    }
                }
            }
        }
        std::lock_guard<std::mutex> lock(mutex_);
        if (open_.size() == 2 && open_[0] == client) {
            open_.clear();
        }
        close(client);
        close(server);
    }
    std::string path_;
    int listener_ = -1, port_ = 0;
    std::thread accepting_;
    std::mutex mutex_;
    std::vector<std::thread> carriers_;
    std::vector<int> open_;
};

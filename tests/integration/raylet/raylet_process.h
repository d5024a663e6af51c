// A raylet of the test's own, in folders of its own, and clients that speak its protocol by hand.
#pragma once

#include "local/frame.h"
#include "local/paths.h"
#include "shm/pool.h"

#include <functional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace raylet {

constexpr uint64_t kSecond = 1000000000ull;
extern const char kToken[];

// Builds a packed record: Fields().Str("op", "hello").Int("kind", 3)
class Fields {
  public:
    Fields() {
        wr_record_begin(&w_);
    }
    ~Fields() {
        wr_record_done(&w_);
    }
    Fields(const Fields &) = delete;
    Fields &operator=(const Fields &) = delete;
    Fields &Int(const char *name, int64_t v) {
        wr_record_int(&w_, name, v);
        return *this;
    }
    Fields &Real(const char *name, double v) {
        wr_record_double(&w_, name, v);
        return *this;
    }
    Fields &Str(const char *name, const std::string &v) {
        wr_record_string(&w_, name, v.c_str());
        return *this;
    }
    Fields &Bytes(const char *name, const std::string &v) {
        wr_record_bytes(&w_, name, v.data(), v.size());
        return *this;
    }
    Fields &Map(const char *name, const std::function<void(Fields &)> &fill) {
        wr_record_map_begin(&w_, name);
        fill(*this);
        wr_record_map_end(&w_);
        return *this;
    }
    std::vector<uint8_t> Pack();

  private:
    wr_record_writer w_ = {};
};

struct Reply {
    wr_status status = WR_E_INTERNAL;
    wr_error err = {};
    std::vector<uint8_t> bytes;
    int fd = -1;
    wr_record record() const;
    int64_t Int(const char *name, int64_t fallback = -1) const;
    std::string Str(const char *name) const;
    std::string Bytes(const char *name) const;
    wr_record Map(const char *name) const;
};

class Client {
  public:
    explicit Client(const std::string &socket);
    ~Client();
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;
    Reply Call(Fields &fields);
    Reply Call(const std::string &op);
    Reply Hello(int kind, const std::string &token = kToken, int layout = WR_LAYOUT_VERSION,
                int protocol = 1);
    Reply HelloDriver(const std::string &name_space = "ns");
    bool HungUp(); // waits for the end of the connection
    void Raw(const std::string &bytes);
    void Close();
    bool connected() const {
        return conn_ != nullptr;
    }
    wr_status connect_status = WR_OK;

  private:
    wr_frame_conn *conn_ = nullptr;
    uint64_t request_ = 0;
};

class Raylet {
  public:
    // files: limit of its descriptors; 0: as here
    explicit Raylet(std::vector<std::string> options = {}, unsigned files = 0);
    ~Raylet();
    Raylet(const Raylet &) = delete;
    Raylet &operator=(const Raylet &) = delete;
    std::string ready; // the line of the ready pipe
    std::string socket() const {
        return session + "/sockets/raylet";
    }
    std::string Log() const;
    void EndOwner();
    int Wait(); // exit status as waitpid gives it
    std::string dir, session;
    pid_t pid = -1;

  private:
    int owner_ = -1;
};

bool Alive(pid_t pid); // not even a zombie of ours
// Until it is true; false after 20 s.
bool Eventually(const std::function<bool()> &what);

} // namespace raylet

// Raylet cores and a GCS core, wired by queues in one process: no sockets, no clock but the one given here.
#pragma once

#include "gcs/core/gcs_core.h"
#include "local/protocol.h"
#include "raylet/core/core.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace sim {

constexpr uint64_t kMs = 1000000;

struct Cmd {
    wr_core_cmd_type type;
    bool flag;
    uint16_t port;
    uint32_t slot, word, worker, count, node, job;
    uint64_t handle, ticket, tag;
    wr_status status;
    std::string text;
};

class Cluster;

// One node: the core, and a shell that does at once what the core wants.
class Node {
  public:
    Node(Cluster *cluster, uint32_t conn, const std::string &resources, uint32_t num_cpus, uint32_t prestart);
    ~Node() {
        wr_raylet_core_free(core);
    }

    // Facts: what waits in a class, and what a worker does.
    void Queue(uint16_t port, uint64_t tasks);
    uint32_t Job(wr_language language = WR_LANGUAGE_PYTHON);
    uint16_t Class(uint32_t job, const std::string &resources, const wr_strategy *strategy = nullptr);
    wr_class MakeClass(uint32_t job, const std::string &resources, const wr_strategy *strategy = nullptr);
    uint32_t Actor(uint32_t job, const std::string &held, int max_restarts, const std::string &name = "",
                   bool detached = false, uint64_t ticket = 0, bool get_if_exists = false,
                   const wr_strategy *strategy = nullptr);
    wr_pg_id Group(uint32_t job, const std::vector<std::string> &bundles,
                   wr_pg_strategy strategy = WR_PG_PACK);

    void Tick();
    void Die(uint32_t worker, const std::string &text = "killed");
    // Tells the core what each class worker does: `activity` of those in `busy`, idle for the rest.
    void Facts();

    std::vector<uint32_t> WorkersOf(uint16_t port) const; // assigned, not asked to leave
    uint32_t WorkerOfActor(uint32_t actor) const;
    uint32_t CountWorkers() const;
    wr_core_counts Counts() const;
    std::string Available() const;
    double AvailableOf(const std::string &name) const;
    wr_core_actor_info ActorInfo(uint32_t actor) const;
    bool Saw(wr_core_cmd_type type, uint16_t port) const;
    const Cmd *Last(wr_core_cmd_type type) const;
    void Run(); // executes commands, delivers messages

    wr_raylet_core *core = nullptr;
    Cluster *cluster;
    uint32_t conn;
    std::vector<Cmd> log;
    std::map<uint32_t, wr_activity> busy; // worker -> what it does between ticks
    std::set<uint32_t> deaf;              // workers in the middle of a task: do not come for assignments
    std::map<uint16_t, uint64_t> queued;
    std::map<uint32_t, uint32_t> reserved;   // worker -> tasks behind the one it runs
    std::map<uint32_t, uint32_t> slot_of;    // worker -> slot
    std::map<uint32_t, uint32_t> worker_of;  // slot -> worker
    std::set<uint32_t> running;              // took a task that is counted
    std::map<uint32_t, uint16_t> asked_port; // worker -> port of its last assignment
    std::map<uint32_t, uint32_t> answered;   // worker -> the word that its last assignment was about
    std::map<uint64_t, uint64_t> watches;    // handle -> tag
    std::deque<std::pair<uint64_t, wr_cluster_msg *>> inbox;
    std::map<uint64_t, std::string> cells;  // handle -> "queued", "sent", or its result
    std::map<uint64_t, wr_task_id> foreign; // handle -> id
    bool auto_start = true;                 // spawned workers say hello
    bool start_fails = false;
    bool hangs = false; // nobody makes the processes: only a KILL with its flag ends the wait for one
    bool ctor_ok = true, auto_ready = true;
    uint32_t next_slot = 1;
    uint16_t next_port = 0;
    uint64_t next_handle = 1;

  private:
    void Execute(const Cmd &cmd, const wr_cluster_msg *msg);
    void Ask(uint32_t worker);
    std::vector<uint32_t> spawned_;
    std::deque<std::pair<uint32_t, std::string>> deaths_;
    std::set<uint32_t> asks_;
};

class Cluster {
  public:
    Cluster();
    ~Cluster();
    Node *Add(const std::string &resources = "CPU=2", uint32_t num_cpus = 2, uint32_t prestart = 0);
    // Delivers until nothing moves; checks the cores' invariants.
    void Settle();
    // Lets time pass in steps, with facts and ticks.
    void Pass(uint64_t ms, uint64_t step_ms = 5);
    void ToGcs(uint64_t from, const wr_cluster_msg *msg);
    // A GCS that has lost nothing but its epoch: every node begins a new session.
    void NewEpochForNodes();

    uint64_t now = 1000 * kMs;
    wr_gcs_core *gcs = nullptr;
    std::vector<std::unique_ptr<Node>> nodes;
    bool gcs_away = false;
    std::vector<wr_cluster_msg_type> to_gcs; // types of what was sent

  private:
    void DeliverFromGcs();
    wr_gcs_log log_ = {};
    wr_outbox out_ = {};
};

} // namespace sim

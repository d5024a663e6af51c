// The GCS's core with a store that can lose what was not flushed, for tests: no process, no clock.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gcs/core/gcs_core.h"

inline wr_span Span(const std::string &s) {
    return wr_span_of(s.data(), static_cast<uint32_t>(s.size()));
}
inline std::string Text(wr_span s) {
    return std::string(static_cast<const char *>(s.data), s.bytes);
}
inline constexpr uint64_t kMs = 1000000;

struct Free {
    void operator()(void *p) const {
        wr_free(p);
    }
};
using Row = std::unique_ptr<void, Free>;

struct Sent {
    uint64_t dest, after;
    std::shared_ptr<wr_cluster_msg> msg;
};

class World {
  public:
    using Key = std::pair<int, std::string>;
    World() {
        Boot();
    }
    ~World() {
        wr_gcs_core_free(core_);
        wr_gcs_log_done(&log_);
        wr_outbox_done(&out_);
    }

    uint64_t now = 1000 * kMs, epoch = 0;

    void Step(uint64_t from, const wr_cluster_msg &msg) {
        wr_gcs_core_step(core_, now, now / 1000, from, &msg, &log_, &out_);
        Collect();
    }
    void Tick(uint64_t ms = 100) {
        now += ms * kMs;
        wr_gcs_core_tick(core_, now, now / 1000, &log_, &out_);
        Collect();
    }
    void Silence(uint64_t ms) {
        for (uint64_t at = 0; at < ms; at += 1000) {
            Tick(1000);
        }
    }
    // Makes the first `records` log records durable (all by default), whole transactions only, and delivers what waited for them.
    void Flush(size_t records = SIZE_MAX) {
        size_t n = 0;
        while (n < pending_.size() && n < records) {
            size_t end = n;
            while (end < pending_.size() && pending_[end].number == pending_[n].number) {
                end++;
            }
            if (end > records) {
                break;
            }
            for (; n < end; n++) {
                durable_ = pending_[n].number;
                if (pending_[n].row == nullptr) {
                    store.erase(pending_[n].key);
                } else {
                    store[pending_[n].key] = std::move(pending_[n].row);
                }
            }
        }
        pending_.erase(pending_.begin(), pending_.begin() + static_cast<long>(n));
        if (pending_.empty()) {
            durable_ = wr_gcs_core_log_number(core_);
        }
        std::vector<Sent> kept;
        for (auto &s : waiting_) {
            (s.after <= durable_ ? sent : kept).push_back(s);
        }
        waiting_ = kept;
    }
    size_t PendingRecords() const {
        return pending_.size();
    }
    const std::vector<Sent> &waiting() const {
        return waiting_;
    }
    // All that was not durable is gone; a new epoch begins from the store.
    void Crash() {
        pending_.clear();
        waiting_.clear();
        sent.clear();
        wr_gcs_core_free(core_);
        Boot();
    }

    // The first message that left to `dest`, of that type; it is taken out. NULL: none.
    std::shared_ptr<wr_cluster_msg> Take(uint64_t dest, uint32_t type) {
        for (size_t i = 0; i < sent.size(); i++) {
            if (sent[i].dest == dest && sent[i].msg->type == type) {
                auto m = sent[i].msg;
                sent.erase(sent.begin() + static_cast<long>(i));
                return m;
            }
        }
        return nullptr;
    }
    size_t Count(uint64_t dest, uint32_t type) const {
        size_t n = 0;
        for (auto &s : sent) {
            n += s.dest == dest && s.msg->type == type;
        }
        return n;
    }

    // ---- a node's part
    uint32_t Join(uint8_t nonce, const char *resources = "CPU=4", const char *labels = "") {
        wr_cluster_msg m = {};
        m.type = WR_MSG_JOIN;
        memset(m.u.join.nonce.bytes, nonce, 16);
        m.u.join.version = WR_CLUSTER_VERSION;
        m.u.join.node = Info(0, resources, labels);
        Step(WR_DEST_CONN(uint64_t{nonce}), m);
        Flush();
        auto welcome = Take(WR_DEST_CONN(uint64_t{nonce}), WR_MSG_WELCOME);
        if (welcome == nullptr) {
            return 0;
        }
        uint32_t inc = welcome->u.welcome.inc;
        nodes[inc] = {resources, labels};
        Rereg(inc);
        Sync(inc, resources);
        Flush();
        return inc;
    }
    static wr_node_info Info(uint32_t inc, const char *resources, const char *labels) {
        wr_node_info info = {};
        info.inc = inc;
        info.resources = wr_span_text(resources);
        info.labels = wr_span_text(labels);
        info.address = wr_span_text("unix:/n");
        return info;
    }
    void Rereg(uint32_t inc, std::vector<wr_hosted> hosted = {}, std::vector<wr_ended_actor> ended = {},
               std::vector<wr_held_bundle> bundles = {}, std::vector<uint32_t> dead = {}) {
        wr_cluster_msg m = {};
        m.type = WR_MSG_REREG;
        m.u.rereg.node = Info(inc, nodes[inc].first.c_str(), nodes[inc].second.c_str());
        m.u.rereg.hosted = hosted.data();
        m.u.rereg.hosted_count = static_cast<uint32_t>(hosted.size());
        m.u.rereg.ended = ended.data();
        m.u.rereg.ended_count = static_cast<uint32_t>(ended.size());
        m.u.rereg.bundles = bundles.data();
        m.u.rereg.bundle_count = static_cast<uint32_t>(bundles.size());
        m.u.rereg.dead = dead.data();
        m.u.rereg.dead_count = static_cast<uint32_t>(dead.size());
        Step(inc, m);
    }
    void Sync(uint32_t inc, const std::string &available, uint64_t placed_seen = 0,
              std::vector<wr_demand> demand = {}, std::vector<wr_grant_use> used = {},
              std::vector<wr_grant_use> received = {}) {
        wr_cluster_msg m = {};
        m.type = WR_MSG_SYNC;
        m.u.sync.available = Span(available);
        m.u.sync.placed_seen = placed_seen;
        m.u.sync.demand = demand.data();
        m.u.sync.demand_count = static_cast<uint32_t>(demand.size());
        m.u.sync.used = used.data();
        m.u.sync.used_count = static_cast<uint32_t>(used.size());
        m.u.sync.received = received.data();
        m.u.sync.received_count = static_cast<uint32_t>(received.size());
        Step(inc, m);
    }
    void Heartbeat(uint32_t inc) {
        wr_cluster_msg m = {};
        m.type = WR_MSG_HB;
        m.u.hb.epoch = epoch;
        Step(inc, m);
    }
    void Flushed(uint32_t inc, uint32_t dead) {
        wr_cluster_msg m = {};
        m.type = WR_MSG_FLUSHED;
        m.u.node.inc = dead;
        Step(inc, m);
    }
    // Silence of `inc` while all others speak.
    void LetDie(uint32_t inc) {
        for (int i = 0; i < 12; i++) {
            for (auto &n : nodes) {
                if (n.first != inc && wr_gcs_core_knows_live(core_, n.first)) {
                    Heartbeat(n.first);
                }
            }
            Tick(1000);
        }
        EXPECT_FALSE(wr_gcs_core_knows_live(core_, inc));
        Flush();
    }
    uint32_t StartJob(uint32_t inc, uint8_t nonce = 9) {
        wr_cluster_msg m = {};
        m.type = WR_MSG_JOB_START;
        memset(m.u.job_start.nonce.bytes, nonce, 16);
        Step(inc, m);
        Flush();
        auto started = Take(inc, WR_MSG_JOB_STARTED);
        return started == nullptr ? 0 : started->u.job_started.job;
    }
    void EndJob(uint32_t inc, uint32_t job) {
        wr_cluster_msg m = {};
        m.type = WR_MSG_JOB_END;
        m.u.job.job = job;
        Step(inc, m);
    }
    struct ActorOptions {
        std::string name, cls;
        uint32_t job = 0;
        int32_t max_restarts = 0;
        bool detached = false;
    };
    wr_actor_id New(uint32_t inc, uint64_t number, const ActorOptions &o) {
        wr_actor_id id = {};
        memcpy(id.bytes, &inc, 4);
        memcpy(id.bytes + 8, &number, 8);
        wr_cluster_msg m = {};
        m.type = WR_MSG_NEW;
        auto &spec = m.u.new_actor.spec;
        spec.actor = id;
        spec.job = o.job;
        spec.creator = inc;
        spec.detached = o.detached;
        spec.max_restarts = o.max_restarts;
        spec.name = Span(o.name);
        spec.name_space = wr_span_text(o.name.empty() ? "" : "ns");
        spec.cls = Span(o.cls);
        spec.spec = wr_span_text("constructor");
        Step(inc, m);
        return id;
    }
    void Say(uint32_t inc, uint32_t type, const wr_actor_id &id, uint64_t n = 0, bool flag = false) {
        wr_cluster_msg m = {};
        m.type = type;
        switch (type) {
        case WR_MSG_STARTED:
            m.u.started = {id, n, 77};
            break;
        case WR_MSG_REFUSED:
            m.u.refused.actor = id;
            m.u.refused.n = n;
            break;
        case WR_MSG_ENDED:
            m.u.ended.actor = Ended(id, n, flag);
            break;
        case WR_MSG_KILL:
            m.u.kill.actor = id;
            m.u.kill.no_restart = flag;
            break;
        default:
            m.u.actor.actor = id;
            break;
        }
        Step(inc, m);
    }
    static wr_ended_actor Ended(const wr_actor_id &id, uint64_t n, bool final) {
        wr_ended_actor e = {};
        e.actor = id;
        e.n = n;
        e.status = WR_E_WORKER_DIED;
        e.final = final;
        e.text = wr_span_text("exit code 1");
        return e;
    }
    // The record as tools see it.
    wr_actor_info Actor(const wr_actor_id &id) {
        wr_gcs_request r = {};
        r.call = WR_GCS_ACTORS;
        r.key = wr_span_of(&id, sizeof id);
        wr_gcs_response out;
        wr_actor_info info = {};
        info.state = 99; // unknown
        EXPECT_EQ(WR_OK, wr_gcs_core_tables(core_, &r, &out, nullptr));
        if (out.actor_count == 1) {
            info = out.actors[0];
        }
        wr_gcs_core_tables_done(&out);
        return info;
    }
    bool Named(uint32_t inc, const std::string &name, wr_actor_id *id = nullptr) {
        wr_cluster_msg m = {};
        m.type = WR_MSG_NAME_GET;
        m.u.name_get = {5, wr_span_text("ns"), Span(name)};
        Step(inc, m);
        Flush();
        auto is = Take(inc, WR_MSG_NAME_IS);
        if (is == nullptr) {
            return false;
        }
        if (id != nullptr) {
            *id = is->u.name_is.actor.spec.actor;
        }
        return is->u.name_is.found;
    }
    wr_pg_id CreateGroup(uint32_t inc, uint64_t number, std::vector<std::string> bundles,
                         wr_pg_strategy strategy, uint32_t job = 0) {
        wr_pg_id id = {};
        memcpy(id.bytes, &inc, 4);
        memcpy(id.bytes + 8, &number, 8);
        std::vector<wr_bundle_info> infos;
        for (auto &b : bundles) {
            infos.push_back({Span(b), 0});
        }
        wr_cluster_msg m = {};
        m.type = WR_MSG_PG_CREATE;
        m.u.pg_create.pg.pg = id;
        m.u.pg_create.pg.job = job;
        m.u.pg_create.pg.strategy = strategy;
        m.u.pg_create.pg.bundles = infos.data();
        m.u.pg_create.pg.bundle_count = static_cast<uint32_t>(infos.size());
        Step(inc, m);
        return id;
    }
    void Prepared(uint32_t inc, const wr_msg_bundle &b, bool ok) {
        wr_cluster_msg m = {};
        m.type = WR_MSG_PREPARED;
        m.u.bundle = b;
        m.u.bundle.ok = ok;
        m.u.bundle.resources = {};
        Step(inc, m);
    }
    void RemoveGroup(uint32_t inc, const wr_pg_id &id) {
        wr_cluster_msg m = {};
        m.type = WR_MSG_PG_REMOVE;
        m.u.pg.pg = id;
        Step(inc, m);
    }
    uint32_t GroupState(const wr_pg_id &id) {
        wr_gcs_request r = {};
        r.call = WR_GCS_GROUPS;
        r.key = wr_span_of(&id, sizeof id);
        wr_gcs_response out;
        EXPECT_EQ(WR_OK, wr_gcs_core_tables(core_, &r, &out, nullptr));
        uint32_t state = out.group_count == 1 ? out.groups[0].state : 99;
        wr_gcs_core_tables_done(&out);
        return state;
    }
    wr_gcs_core *core() {
        return core_;
    }

    std::vector<Sent> sent;
    std::map<Key, Row> store;
    std::map<uint32_t, std::pair<std::string, std::string>> nodes; // inc: resources, labels

  private:
    struct Record {
        uint64_t number;
        Key key;
        Row row;
    };
    void Boot() {
        epoch++;
        wr_gcs_core_opts opts = {};
        opts.cluster_id = 42;
        opts.epoch = epoch;
        ASSERT_EQ(WR_OK, wr_gcs_core_new(&opts, &core_, nullptr));
        wr_error err = {};
        for (int table = 0; table < WR_GCS_TABLES; table++) {
            for (auto &[key, row] : store) {
                if (key.first == table) {
                    ASSERT_EQ(WR_OK, wr_gcs_core_load(core_, static_cast<wr_gcs_table>(table),
                                                      Span(key.second), row.get(), &err))
                        << err.text;
                }
            }
        }
        durable_ = 0;
        wr_gcs_core_start(core_, now, now / 1000, &log_, &out_);
        Collect();
        Flush();
    }
    void Collect() {
        ASSERT_FALSE(log_.failed);
        ASSERT_FALSE(out_.failed);
        for (uint32_t i = 0; i < log_.count; i++) {
            wr_gcs_record &r = log_.records[i];
            pending_.push_back(
                {r.number,
                 {static_cast<int>(r.table), std::string(reinterpret_cast<char *>(r.key), r.key_bytes)},
                 Row(r.row)});
        }
        log_.count = 0; // the rows moved
        for (uint32_t i = 0; i < out_.count; i++) {
            Sent s = {out_.items[i].dest, out_.items[i].after,
                      std::shared_ptr<wr_cluster_msg>(out_.items[i].msg, wr_cluster_msg_free)};
            (s.after == 0 ? sent : waiting_).push_back(s);
        }
        out_.count = 0;
    }
    wr_gcs_core *core_ = nullptr;
    wr_gcs_log log_ = {};
    wr_outbox out_ = {};
    uint64_t durable_ = 0;
    std::vector<Record> pending_;
    std::vector<Sent> waiting_;
};

inline std::string ClassKey(const std::string &resources,
                            const std::function<void(wr_class *)> &edit = nullptr) {
    wr_res_names names;
    EXPECT_EQ(WR_OK, wr_res_names_init(&names, nullptr));
    auto cls = std::make_unique<wr_class>();
    memset(cls.get(), 0, sizeof *cls);
    EXPECT_EQ(WR_OK, wr_res_parse(&names, Span(resources), &cls->resources, nullptr));
    if (edit) {
        edit(cls.get());
    }
    std::string key(WR_CLASS_KEY_MAX, 0);
    uint32_t bytes = 0;
    EXPECT_EQ(WR_OK, wr_class_encode(cls.get(), &names, reinterpret_cast<uint8_t *>(key.data()), key.size(),
                                     &bytes, nullptr));
    key.resize(bytes);
    wr_res_names_done(&names);
    return key;
}

#include "cluster_sim.h"

#include <cstring>

namespace sim {

namespace {
wr_span Span(const std::string &text) {
    return wr_span_of(text.data(), static_cast<uint32_t>(text.size()));
}
} // namespace

Node::Node(Cluster *c, uint32_t connection, const std::string &resources, uint32_t num_cpus,
           uint32_t prestart)
    : cluster(c), conn(connection) {
    wr_raylet_core_opts opts = {};
    opts.node.resources = Span(resources);
    opts.node.head = connection == 1;
    opts.node.address = wr_span_text("test");
    opts.nonce.bytes[0] = static_cast<uint8_t>(connection);
    opts.num_cpus = num_cpus;
    opts.prestart = prestart;
    wr_error err = {};
    EXPECT_EQ(WR_OK, wr_raylet_core_new(&opts, &core, &err)) << err.text;
}

void Node::Queue(uint16_t port, uint64_t tasks) {
    if (tasks == 0) { /* and those that ran are done */
        for (uint32_t worker : WorkersOf(port)) {
            running.erase(worker);
        }
    }
    queued[port] = tasks;
    Tick();
}

uint32_t Node::Job(wr_language language) {
    wr_nonce nonce = {};
    nonce.bytes[0] = static_cast<uint8_t>(next_slot);
    nonce.bytes[1] = static_cast<uint8_t>(conn);
    wr_job_info info = {};
    wr_error err = {};
    uint64_t ticket = 1000 + next_slot;
    EXPECT_EQ(WR_OK, wr_raylet_core_job_start(core, cluster->now, ticket, &nonce, &info, language, 0,
                                              next_slot++, &err));
    cluster->Settle();
    const Cmd *cmd = Last(WR_CMD_JOB_STARTED);
    EXPECT_NE(nullptr, cmd);
    EXPECT_EQ(ticket, cmd->ticket);
    return cmd->job;
}

wr_class Node::MakeClass(uint32_t job, const std::string &resources, const wr_strategy *strategy) {
    wr_class cls = {};
    cls.job = job;
    if (strategy != nullptr) {
        cls.strategy = *strategy;
    }
    EXPECT_EQ(WR_OK, wr_res_parse(wr_raylet_core_names(core), Span(resources), &cls.resources, nullptr));
    return cls;
}

uint16_t Node::Class(uint32_t job, const std::string &resources, const wr_strategy *strategy) {
    wr_class cls = MakeClass(job, resources, strategy);
    uint16_t port = wr_raylet_core_class_find(core, &cls);
    if (port == WR_PORT_NONE) {
        port = next_port++;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_raylet_core_class_add(core, cluster->now, &cls, port, &err)) << err.text;
        cluster->Settle();
    }
    return port;
}

uint32_t Node::Actor(uint32_t job, const std::string &held, int max_restarts, const std::string &name,
                     bool detached, uint64_t ticket, bool get_if_exists, const wr_strategy *strategy) {
    wr_core_actor_spec spec = {};
    spec.port = next_port++;
    spec.handle = next_handle++ << 32 | 7;
    spec.ctor = next_handle++ << 32 | 8;
    spec.cls = MakeClass(job, held, strategy);
    if (held.empty()) {
        EXPECT_EQ(WR_OK,
                  wr_res_parse(wr_raylet_core_names(core), wr_span_text("CPU=1"), &spec.cls.place, nullptr));
    }
    uint32_t inc = wr_raylet_core_inc(core);
    memcpy(spec.id.bytes, &inc, 4);
    memcpy(spec.id.bytes + 4, &job, 4);
    memcpy(spec.id.bytes + 8, &spec.handle, 8);
    spec.max_restarts = max_restarts;
    spec.max_concurrency = 1;
    spec.detached = detached;
    spec.get_if_exists = get_if_exists;
    spec.class_name = "Counter";
    spec.name = name.c_str();
    spec.name_space = "ns";
    wr_error err = {};
    uint32_t actor = WR_CORE_NONE;
    EXPECT_EQ(WR_OK, wr_raylet_core_actor_create(core, cluster->now, ticket, &spec, &actor, &err))
        << err.text;
    cluster->Settle();
    return actor;
}

wr_pg_id Node::Group(uint32_t job, const std::vector<std::string> &bundles, wr_pg_strategy strategy) {
    std::vector<wr_res> res(bundles.size());
    for (size_t i = 0; i < bundles.size(); i++) {
        EXPECT_EQ(WR_OK, wr_res_parse(wr_raylet_core_names(core), Span(bundles[i]), &res[i], nullptr));
    }
    wr_core_group_spec spec = {};
    spec.job = job;
    spec.strategy = strategy;
    spec.name = "";
    spec.bundles = res.data();
    spec.bundle_count = static_cast<uint32_t>(res.size());
    spec.ready = next_handle++ << 32 | 9;
    wr_pg_id id = {};
    EXPECT_EQ(WR_OK, wr_raylet_core_group_create(core, cluster->now, &spec, &id, nullptr));
    cluster->Settle();
    return id;
}

void Node::Facts() {
    uint32_t cursor = 0, worker;
    uint16_t port;
    while (wr_raylet_core_class_next(core, &cursor, &port)) {
        wr_port_info info = {};
        info.state = WR_PORT_OPEN;
        info.queued = queued[port];
        info.ready = queued[port] > 0 ? 1 : 0;
        wr_raylet_core_class_fact(core, cluster->now, port, &info);
    }
    cursor = 0;
    while (wr_raylet_core_worker_next(core, &cursor, &worker)) {
        wr_core_worker_info info;
        if (!wr_raylet_core_worker_info(core, worker, &info) || info.state != WR_CW_CLASS || info.slot == 0) {
            continue;
        }
        wr_slot_info slot = {};
        slot.live = true;
        slot.activity = busy.count(worker) != 0                                    ? busy[worker]
                        : running.count(worker) != 0 || queued[info.port] > 100000 ? WR_RUNNING
                                                                                   : WR_IDLE;
        slot.reserved = reserved.count(worker) != 0 ? reserved[worker] : 0;
        slot.lanes_running = slot.activity == WR_IDLE ? 0 : 1;
        wr_raylet_core_worker_fact(core, cluster->now, worker, &slot);
    }
}

void Node::Tick() {
    Facts();
    wr_raylet_core_tick(core, cluster->now);
    cluster->Settle();
}

void Node::Die(uint32_t worker, const std::string &text) {
    deaths_.emplace_back(worker, text);
    cluster->Settle();
}

void Node::Ask(uint32_t worker) {
    if (deaf.count(worker) != 0 || slot_of.count(worker) == 0) {
        return;
    }
    wr_core_assignment a;
    wr_raylet_core_assignment(core, cluster->now, worker, &a);
    answered[worker] = a.word;
    bool same = asked_port.count(worker) != 0 && asked_port[worker] == a.port;
    asked_port[worker] = a.port;
    if (!same) {
        running.erase(worker);
    }
    if (!same && a.kind == decltype(a.kind)::WR_ASSIGNED_CLASS && queued[a.port] > 0) {
        running.insert(worker);
        queued[a.port] -= queued[a.port] > 100000 ? 0 : 1; /* "endless" stays */
    }
    if (a.kind == decltype(a.kind)::WR_ASSIGNED_EXIT) {
        wr_raylet_core_worker_bye(core, worker, true, "");
        deaths_.emplace_back(worker, "exited");
    } else if (a.kind == decltype(a.kind)::WR_ASSIGNED_ACTOR && auto_ready) {
        wr_core_actor_info info;
        if (wr_raylet_core_actor_info(core, a.actor, &info)) {
            EXPECT_FALSE(info.ready) << "a worker takes each assignment once";
            wr_raylet_core_actor_ready(core, cluster->now, worker, ctor_ok,
                                       ctor_ok ? nullptr : "ValueError: no");
        }
    }
}

void Node::Execute(const Cmd &cmd, const wr_cluster_msg *msg) {
    switch (cmd.type) {
    case WR_CMD_SPAWN:
        spawned_.push_back(cmd.worker);
        break;
    case WR_CMD_KILL:
        if (!hangs || cmd.flag) {
            deaths_.emplace_back(cmd.worker, "killed by the raylet");
        }
        break;
    case WR_CMD_FORGET:
        worker_of.erase(slot_of[cmd.worker]);
        slot_of.erase(cmd.worker);
        busy.erase(cmd.worker);
        deaf.erase(cmd.worker);
        running.erase(cmd.worker);
        asked_port.erase(cmd.worker);
        answered.erase(cmd.worker);
        break;
    case WR_CMD_ASSIGN:
        if (answered[worker_of[cmd.slot]] != cmd.word) { /* an answer may be ahead of its word */
            asks_.insert(worker_of[cmd.slot]);
        }
        break;
    case WR_CMD_WATCH:
        watches[cmd.handle] = cmd.tag;
        break;
    case WR_CMD_TAKE: {
        std::vector<wr_core_taken> tasks;
        for (auto &cell : cells) {
            if (cell.second == "queued" && tasks.size() < cmd.count) {
                wr_core_taken t = {};
                t.handle = cell.first;
                memcpy(t.id.bytes, &cell.first, 8);
                t.results = 1;
                t.function = wr_span_text("f");
                tasks.push_back(t);
                cell.second = "sent";
                queued[cmd.port]--;
            }
        }
        wr_raylet_core_taken(core, cluster->now, cmd.port, cmd.node, cmd.tag, tasks.data(),
                             static_cast<uint32_t>(tasks.size()));
        break;
    }
    case WR_CMD_PUT_BACK:
        cells[cmd.handle] = "queued";
        queued[cmd.port]++;
        break;
    case WR_CMD_SEAL:
        cells[cmd.handle] = std::string(static_cast<const char *>(msg->u.done.results[0].value.data),
                                        msg->u.done.results[0].value.bytes);
        break;
    case WR_CMD_RUN: {
        wr_class cls;
        EXPECT_EQ(WR_OK, wr_class_decode(msg->u.task.cls, wr_raylet_core_names(core), &cls, nullptr));
        uint64_t handle = next_handle++ << 32 | 1;
        foreign[handle] = msg->u.task.task;
        wr_raylet_core_foreign(core, cluster->now, &msg->u.task.task, handle);
        break;
    }
    case WR_CMD_UNRUN:
        foreign.erase(cmd.handle);
        wr_raylet_core_foreign_end(core, cluster->now, cmd.handle, nullptr);
        break;
    default:
        break;
    }
}

void Node::Run() {
    while (!inbox.empty()) {
        auto item = inbox.front();
        inbox.pop_front();
        wr_raylet_core_message(core, cluster->now, item.first, item.second);
        wr_cluster_msg_free(item.second);
    }
    std::vector<uint32_t> spawned;
    spawned.swap(spawned_);
    for (uint32_t worker : spawned) {
        wr_core_worker_info info;
        if (!wr_raylet_core_worker_info(core, worker, &info) || info.state != WR_CW_STARTING) {
            continue;
        }
        if (start_fails) {
            wr_raylet_core_worker_failed(core, cluster->now, worker, "no such file");
        } else if (auto_start) {
            slot_of[worker] = next_slot;
            worker_of[next_slot] = worker;
            wr_raylet_core_worker_hello(core, cluster->now, worker, next_slot,
                                        5000 + static_cast<int>(next_slot));
            next_slot++;
        } else {
            spawned_.push_back(worker);
        }
    }
    std::set<uint32_t> asks;
    asks.swap(asks_);
    for (uint32_t worker : asks) {
        if (deaf.count(worker) != 0) {
            asks_.insert(worker); /* when its task is over */
        } else {
            Ask(worker);
        }
    }
    while (!deaths_.empty()) {
        auto death = deaths_.front();
        deaths_.pop_front();
        wr_raylet_core_worker_dead(core, cluster->now, death.first, death.second.c_str());
    }
    uint32_t count, i = 0;
    wr_raylet_core_cmds(core, &count);
    for (; i < count; i++) {
        const wr_core_cmd *all = wr_raylet_core_cmds(core, &count);
        Cmd cmd = {all[i].type,   all[i].flag,  all[i].port,   all[i].slot, all[i].word,
                   all[i].worker, all[i].count, all[i].node,   all[i].job,  all[i].handle,
                   all[i].ticket, all[i].tag,   all[i].status, all[i].text};
        log.push_back(cmd);
        Execute(cmd, all[i].msg);
        wr_raylet_core_cmds(core, &count);
    }
    const wr_outbox *box = wr_raylet_core_outbox(core);
    std::vector<std::pair<uint64_t, wr_cluster_msg *>> sent;
    for (uint32_t k = 0; k < box->count; k++) {
        wr_cluster_msg *copy = nullptr;
        EXPECT_EQ(WR_OK, wr_cluster_msg_dup(box->items[k].msg, &copy, nullptr));
        sent.emplace_back(box->items[k].dest, copy);
    }
    wr_raylet_core_clear(core);
    uint32_t inc = wr_raylet_core_inc(core);
    for (auto &item : sent) {
        if (item.first == WR_DEST_GCS) {
            bool join = item.second->type == WR_MSG_JOIN;
            cluster->ToGcs(join ? WR_DEST_CONN(conn) : inc, item.second);
            wr_cluster_msg_free(item.second);
            continue;
        }
        bool delivered = false;
        for (auto &node : cluster->nodes) {
            if (wr_raylet_core_inc(node->core) == item.first) {
                node->inbox.emplace_back(inc, item.second);
                delivered = true;
            }
        }
        if (!delivered) {
            wr_cluster_msg_free(item.second);
        }
    }
    const char *wrong = wr_raylet_core_check(core);
    EXPECT_EQ(nullptr, wrong) << wrong;
}

std::vector<uint32_t> Node::WorkersOf(uint16_t port) const {
    std::vector<uint32_t> out;
    uint32_t cursor = 0, worker;
    while (wr_raylet_core_worker_next(core, &cursor, &worker)) {
        wr_core_worker_info info;
        if (wr_raylet_core_worker_info(core, worker, &info) && info.state == WR_CW_CLASS &&
            info.port == port) {
            out.push_back(worker);
        }
    }
    return out;
}

uint32_t Node::WorkerOfActor(uint32_t actor) const {
    return ActorInfo(actor).worker;
}

uint32_t Node::CountWorkers() const {
    return Counts().workers;
}

wr_core_counts Node::Counts() const {
    wr_core_counts counts;
    wr_raylet_core_counts(core, &counts);
    return counts;
}

std::string Node::Available() const {
    std::string total(4096, 0), available(4096, 0);
    wr_raylet_core_resources(core, total.data(), available.data(), 4096);
    return available.c_str();
}

double Node::AvailableOf(const std::string &name) const {
    std::string all = Available(), key = name + "=";
    size_t at = all.rfind(key, 0) == 0 ? 0 : all.find("," + key);
    if (at == std::string::npos) {
        return 0;
    }
    return strtod(all.c_str() + all.find('=', at) + 1, nullptr);
}

wr_core_actor_info Node::ActorInfo(uint32_t actor) const {
    wr_core_actor_info info = {};
    EXPECT_TRUE(wr_raylet_core_actor_info(core, actor, &info));
    return info;
}

bool Node::Saw(wr_core_cmd_type type, uint16_t port) const {
    for (const Cmd &cmd : log) {
        if (cmd.type == type && cmd.port == port) {
            return true;
        }
    }
    return false;
}

const Cmd *Node::Last(wr_core_cmd_type type) const {
    for (size_t i = log.size(); i > 0; i--) {
        if (log[i - 1].type == type) {
            return &log[i - 1];
        }
    }
    return nullptr;
}

Cluster::Cluster() {
    wr_gcs_core_opts opts = {};
    opts.cluster_id = 77;
    opts.epoch = 1;
    EXPECT_EQ(WR_OK, wr_gcs_core_new(&opts, &gcs, nullptr));
    wr_gcs_core_start(gcs, now, 1, &log_, &out_);
}

Cluster::~Cluster() {
    for (auto &node : nodes) {
        for (auto &item : node->inbox) {
            wr_cluster_msg_free(item.second);
        }
    }
    nodes.clear();
    wr_gcs_core_free(gcs);
    wr_gcs_log_done(&log_);
    wr_outbox_done(&out_);
}

Node *Cluster::Add(const std::string &resources, uint32_t num_cpus, uint32_t prestart) {
    nodes.push_back(
        std::make_unique<Node>(this, static_cast<uint32_t>(nodes.size() + 1), resources, num_cpus, prestart));
    Node *node = nodes.back().get();
    wr_raylet_core_connected(node->core, now, 1, 77, true);
    Settle();
    EXPECT_NE(0u, wr_raylet_core_inc(node->core));
    return node;
}

void Cluster::ToGcs(uint64_t from, const wr_cluster_msg *msg) {
    to_gcs.push_back(static_cast<wr_cluster_msg_type>(msg->type));
    if (!gcs_away) {
        wr_gcs_core_step(gcs, now, now / 1000, from, msg, &log_, &out_);
    }
}

void Cluster::DeliverFromGcs() {
    for (uint32_t i = 0; i < out_.count; i++) {
        wr_outbox_item &item = out_.items[i];
        for (auto &node : nodes) {
            bool mine = item.dest == WR_DEST_CONN(node->conn) ||
                        (wr_raylet_core_inc(node->core) != 0 && item.dest == wr_raylet_core_inc(node->core));
            wr_cluster_msg *copy = nullptr;
            if (mine && item.msg->type != WR_MSG_HELLO &&
                wr_cluster_msg_dup(item.msg, &copy, nullptr) == WR_OK) {
                node->inbox.emplace_back(WR_DEST_GCS, copy);
            }
        }
    }
    wr_outbox_clear(&out_);
    wr_gcs_log_clear(&log_);
}

void Cluster::Settle() {
    for (int round = 0; round < 12; round++) {
        for (auto &node : nodes) {
            node->Run();
        }
        DeliverFromGcs();
    }
}

void Cluster::Pass(uint64_t ms, uint64_t step_ms) {
    for (uint64_t passed = 0; passed < ms; passed += step_ms) {
        now += step_ms * kMs;
        if (!gcs_away) {
            wr_gcs_core_tick(gcs, now, now / 1000, &log_, &out_);
        }
        for (auto &node : nodes) {
            node->Tick();
        }
    }
}

void Cluster::NewEpochForNodes() {
    for (auto &node : nodes) {
        wr_raylet_core_connected(node->core, now, 1, 77, true);
    }
    Settle();
}

} // namespace sim

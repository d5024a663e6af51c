/* Ops that look at this node: resources, workers, counters, status, task events. */
#include "raylet/shell/shell.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void resource_maps(wr_shell *sh) {
    char *total = shell_alloc(WR_RES_TEXT_MAX), *available = shell_alloc(WR_RES_TEXT_MAX);
    wr_raylet_core_resources(sh->core, total, available, WR_RES_TEXT_MAX);
    shell_list_field(sh, "total", wr_span_text(total), true);
    shell_list_field(sh, "available", wr_span_text(available), true);
    wr_free(total);
    wr_free(available);
}

static wr_status resources(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                           wr_error *err) {
    (void)conn, (void)request, (void)body, (void)err;
    resource_maps(sh);
    return WR_OK;
}

static const char *worker_state_text(wr_core_worker_state state) {
    static const char *const texts[] = {"STARTING", "IDLE", "TASKS", "ACTOR", "ENDING"};
    return (uint32_t)state < WR_COUNT_OF(texts) ? texts[state] : "?";
}

static void worker_list(wr_shell *sh) {
    uint32_t cursor = 0, worker;
    wr_record_list_begin(&sh->w, "workers");
    while (wr_raylet_core_worker_next(sh->core, &cursor, &worker)) {
        wr_core_worker_info info;
        wr_core_actor_info actor;
        if (!wr_raylet_core_worker_info(sh->core, worker, &info)) {
            continue;
        }
        wr_record_map_begin(&sh->w, NULL);
        wr_record_int(&sh->w, "pid", info.pid);
        wr_record_int(&sh->w, "slot", info.slot);
        wr_record_int(&sh->w, "job", info.job);
        wr_record_string(&sh->w, "state", info.blocked ? "BLOCKED" : worker_state_text(info.state));
        wr_record_int(&sh->w, "port", info.port);
        wr_record_string(&sh->w, "actor",
                         wr_raylet_core_actor_info(sh->core, info.actor, &actor) ? actor.spec->class_name
                                                                                 : "");
        wr_record_map_end(&sh->w);
    }
    wr_record_list_end(&sh->w);
}

static wr_status workers(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                         wr_error *err) {
    (void)conn, (void)request, (void)body, (void)err;
    worker_list(sh);
    return WR_OK;
}

static void write_counters(wr_shell *sh, int pid, uint32_t slot, const char *kind,
                           const wr_proc_counters *c) {
    wr_record_map_begin(&sh->w, NULL);
    wr_record_int(&sh->w, "pid", pid);
    wr_record_int(&sh->w, "slot", slot);
    wr_record_string(&sh->w, "kind", kind);
    wr_record_int(&sh->w, "tasks_submitted", (int64_t)c->submitted);
    wr_record_int(&sh->w, "tasks_executed", (int64_t)c->executed);
    wr_record_int(&sh->w, "calls_submitted", (int64_t)c->calls_submitted);
    wr_record_int(&sh->w, "calls_executed", (int64_t)c->calls_executed);
    wr_record_int(&sh->w, "objects_put", (int64_t)c->put);
    wr_record_int(&sh->w, "bytes_put", (int64_t)c->put_bytes);
    wr_record_int(&sh->w, "objects_sealed", (int64_t)c->sealed);
    wr_record_int(&sh->w, "bytes_sealed", (int64_t)c->sealed_bytes);
    wr_record_map_end(&sh->w);
}

static wr_status counters(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                          wr_error *err) {
    (void)request;
    uint32_t number = (uint32_t)wr_record_get_int(body, "job", conn->job);
    shell_job *job = shell_job_of(sh, number);
    if (job == NULL) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no job %u", number);
    }
    wr_record_list_begin(&sh->w, "slots");
    wr_proc_counters of;
    for (const shell_conn *c = sh->conns; c != NULL; c = c->next) {
        if (c->kind == 1 && c->slot != 0 && c->job == number) {
            wr_pool_counters(sh->pool, c->slot, &of);
            write_counters(sh, c->pid, c->slot, "driver", &of);
        }
    }
    /* Not by their connections: a worker that ends closes its own before it is reaped, and is counted among the dead only
     * then. */
    uint32_t cursor = 0, worker;
    while (wr_raylet_core_worker_next(sh->core, &cursor, &worker)) {
        wr_core_worker_info info;
        if (wr_raylet_core_worker_info(sh->core, worker, &info) && info.slot != 0 && info.job == number) {
            wr_pool_counters(sh->pool, info.slot, &of);
            write_counters(sh, info.pid, info.slot, info.actor != WR_CORE_NONE ? "actor" : "worker", &of);
        }
    }
    write_counters(sh, 0, 0, "dead", &job->dead);
    wr_record_list_end(&sh->w);
    return WR_OK;
}

/* Items of the list "pending": groups that are not reserved, each with all that its bundles need. */
static void waiting_groups(wr_shell *sh) {
    uint32_t cursor = 0, group;
    while (wr_raylet_core_group_next(sh->core, &cursor, &group)) {
        wr_core_group_info g;
        if (!wr_raylet_core_group_info(sh->core, group, &g) || g.state == WR_PG_CREATED ||
            g.state == WR_PG_REMOVED) {
            continue;
        }
        wr_res all = {0};
        wr_status fits = WR_OK;
        for (uint32_t i = 0; fits == WR_OK && i < g.bundle_count; i++) {
            fits = wr_res_add(&all, &g.bundles[i], 1, NULL);
        }
        char need[512], kind[128];
        uint32_t bytes;
        if (fits != WR_OK ||
            wr_res_format(wr_raylet_core_names(sh->core), &all, need, sizeof need, &bytes, NULL) != WR_OK) {
            need[0] = 0;
        }
        snprintf(kind, sizeof kind, "placement group%s%.64s of %u bundle%s", g.name[0] != 0 ? " " : "",
                 g.name, g.bundle_count, g.bundle_count == 1 ? "" : "s");
        wr_record_map_begin(&sh->w, NULL);
        shell_list_field(sh, "resources", wr_span_text(need), true);
        wr_record_int(&sh->w, "queued", 1);
        wr_record_int(&sh->w, "job", g.job);
        wr_record_string(&sh->w, "kind", kind);
        wr_record_string(&sh->w, "why",
                         g.text[0] != 0                    ? g.text
                         : wr_raylet_core_online(sh->core) ? "its resources are in use"
                                                           : "the GCS is away");
        wr_record_map_end(&sh->w);
    }
}

static wr_status status(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                        wr_error *err) {
    (void)conn, (void)request, (void)body, (void)err;
    wr_keeper_stats stats;
    wr_core_counts counts;
    wr_keeper_stats_of(sh->keeper, &stats);
    wr_raylet_core_counts(sh->core, &counts);
    resource_maps(sh);
    wr_record_string(&sh->w, "session_dir", sh->args.session_dir);
    wr_record_string(&sh->w, "node_ip", sh->args.node_ip);
    wr_record_string(&sh->w, "node_name", sh->args.node_name);
    wr_record_string(&sh->w, "gcs_address", sh->gcs_target);
    wr_record_bytes(&sh->w, "node_id", sh->node_id.bytes, WR_NODE_ID_BYTES);
    wr_record_int(&sh->w, "raylet_pid", getpid());
    wr_record_int(&sh->w, "gcs_pid", sh->gcs != NULL ? sh->gcs->pid : 0);
    wr_record_int(&sh->w, "gcs_online", wr_raylet_core_online(sh->core));
    wr_record_int(&sh->w, "uptime_ms", (int64_t)((wr_clock_ns() - sh->started_at) / 1000000));
    wr_record_map_begin(&sh->w, "pool");
    wr_record_int(&sh->w, "heap_bytes", (int64_t)stats.heap_capacity);
    wr_record_int(&sh->w, "heap_leased", (int64_t)stats.heap_leased);
    wr_record_int(&sh->w, "heap_largest_run", (int64_t)stats.heap_largest_run);
    wr_record_int(&sh->w, "cells", (int64_t)stats.cells_capacity);
    wr_record_int(&sh->w, "cells_leased", (int64_t)stats.cells_leased);
    wr_record_int(&sh->w, "shared_objects", (int64_t)stats.rows);
    wr_record_int(&sh->w, "candidates", (int64_t)stats.candidates);
    wr_record_int(&sh->w, "orphan_cells", (int64_t)stats.orphan_cells);
    wr_record_int(&sh->w, "heap_orphaned", (int64_t)stats.heap_orphaned);
    wr_record_int(&sh->w, "slots", stats.slots_live);
    wr_record_int(&sh->w, "ports", stats.ports_open);
    wr_record_int(&sh->w, "rings", stats.rings_open);
    wr_record_map_end(&sh->w);
    wr_record_map_begin(&sh->w, "counts");
    wr_record_int(&sh->w, "jobs", counts.jobs);
    wr_record_int(&sh->w, "classes", counts.classes);
    wr_record_int(&sh->w, "workers", counts.workers);
    wr_record_int(&sh->w, "workers_idle", counts.workers_idle);
    wr_record_int(&sh->w, "workers_starting", counts.workers_starting);
    wr_record_int(&sh->w, "actors", counts.actors);
    wr_record_int(&sh->w, "groups", counts.groups);
    wr_record_int(&sh->w, "bundles", counts.bundles);
    wr_record_int(&sh->w, "wishes", counts.wishes);
    wr_record_map_end(&sh->w);
    wr_record_list_begin(&sh->w, "processes");
    for (const shell_proc *p = sh->procs; p != NULL; p = p->next) {
        static const char *const kinds[] = {"driver", "worker", "fork server", "gcs"};
        wr_record_map_begin(&sh->w, NULL);
        wr_record_int(&sh->w, "pid", p->pid);
        wr_record_string(&sh->w, "kind", kinds[p->kind]);
        wr_record_int(&sh->w, "job", p->job);
        wr_record_map_end(&sh->w);
    }
    wr_record_list_end(&sh->w);
    worker_list(sh);
    wr_record_list_begin(&sh->w, "pending");
    uint32_t cursor = 0, actor;
    wr_core_class_info c;
    while (wr_raylet_core_class_info(sh->core, &cursor, &c)) {
        uint64_t waiting = c.queued + c.reserved;
        if (waiting == 0) {
            continue;
        }
        char need[512], why[512];
        uint32_t bytes;
        if (wr_res_format(wr_raylet_core_names(sh->core), &c.cls->resources, need, sizeof need, &bytes,
                          NULL) != WR_OK) {
            need[0] = 0;
        }
        bool feasible = wr_raylet_core_class_feasible(sh->core, c.cls, why, sizeof why);
        wr_record_map_begin(&sh->w, NULL);
        shell_list_field(sh, "resources", wr_span_text(need), true);
        wr_record_int(&sh->w, "queued", (int64_t)waiting);
        wr_record_int(&sh->w, "workers", c.workers);
        wr_record_int(&sh->w, "job", c.cls->job);
        wr_record_string(&sh->w, "kind", "tasks");
        wr_record_string(&sh->w, "why", !feasible ? why : c.waits ? c.why : "it is being worked on");
        wr_record_map_end(&sh->w);
    }
    cursor = 0;
    while (wr_raylet_core_actor_next(sh->core, &cursor, &actor)) {
        wr_core_actor_info a;
        if (!wr_raylet_core_actor_info(sh->core, actor, &a) || a.state == WR_ACTOR_ALIVE ||
            a.state == WR_ACTOR_DEAD) {
            continue;
        }
        char need[512], why[600];
        uint32_t bytes;
        const wr_res *res = a.spec->cls.resources.count > 0 ? &a.spec->cls.resources : &a.spec->cls.place;
        if (wr_res_format(wr_raylet_core_names(sh->core), res, need, sizeof need, &bytes, NULL) != WR_OK) {
            need[0] = 0;
        }
        shell_actor_why(sh, &a, why, sizeof why);
        wr_record_map_begin(&sh->w, NULL);
        shell_list_field(sh, "resources", wr_span_text(need), true);
        wr_record_int(&sh->w, "queued", 1);
        wr_record_int(&sh->w, "job", a.spec->cls.job);
        wr_record_string(&sh->w, "kind", a.spec->class_name);
        wr_record_string(&sh->w, "why", why);
        wr_record_map_end(&sh->w);
    }
    waiting_groups(sh);
    wr_record_list_end(&sh->w);
    return WR_OK;
}

/* A cursor: u64 words in this machine's order. The slot that the next answer begins with (so that nobody is always the
 * last), then for each slot from 0 on how many of its events were told or lost. */
static uint64_t cursor_word(const wr_record_value *cursor, uint32_t word) {
    uint64_t value = 0;
    if (cursor->count / sizeof value > word) {
        memcpy(&value, cursor->bytes + word * sizeof value, sizeof value);
    }
    return value;
}

static void write_event(wr_shell *sh, const wr_trace_record *r) {
    static const char *const states[] = {"SUBMITTED", "RUNNING", "FINISHED", "FAILED"};
    wr_record_map_begin(&sh->w, NULL);
    wr_record_int(&sh->w, "pid", r->pid);
    wr_record_int(&sh->w, "handle", (int64_t)r->handle);
    wr_record_int(&sh->w, "function", r->function);
    wr_record_string(&sh->w, "state", r->state < WR_COUNT_OF(states) ? states[r->state] : "?");
    wr_record_int(&sh->w, "time_ns", (int64_t)r->time_ns);
    wr_record_map_end(&sh->w);
}

static wr_status task_events(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                             wr_error *err) {
    (void)conn, (void)request;
    enum { PER_SLOT = 256, BYTES_MAX = WR_RECORD_BYTES_MAX / 2 };
    wr_trace_record records[PER_SLOT];
    wr_record_value from = {.type = 0};
    bool goes_on = wr_record_find(body, "cursor", &from) && from.type == 'b';
    uint32_t slots = wr_keeper_slots(sh->keeper);
    if (goes_on && (from.count % sizeof(uint64_t) != 0 || from.count == 0)) {
        return WR_FAIL(err, WR_E_INVALID, "task_events: a cursor of %u bytes is none of ours", from.count);
    }
    wr_keeper_trace(sh->keeper, wr_record_get_int(body, "on", 1) != 0);
    uint64_t *next = shell_alloc((slots + 1) * sizeof *next), lost = 0;
    uint32_t first = (uint32_t)(cursor_word(&from, 0) % slots), told = 0;
    for (uint32_t s = 0; s < slots; s++) {
        next[1 + s] = cursor_word(&from, 1 + s);
    }
    wr_record_list_begin(&sh->w, "events");
    for (; told < slots && sh->w.used < BYTES_MAX; told++) {
        uint32_t s = (first + told) % slots;
        uint32_t n = s == WR_SLOT_RAYLET
                         ? 0
                         : wr_keeper_trace_read(sh->keeper, s, &next[1 + s], &lost, records, PER_SLOT);
        for (uint32_t i = 0; i < n; i++) {
            write_event(sh, &records[i]);
        }
    }
    wr_record_list_end(&sh->w);
    next[0] = (first + told) % slots;
    wr_record_bytes(&sh->w, "cursor", next, (slots + 1) * sizeof *next);
    wr_record_int(&sh->w, "lost", goes_on ? (int64_t)lost : 0);
    wr_free(next);
    return WR_OK;
}

const shell_op shell_ops_node[] = {
    {"resources", resources, false}, {"workers", workers, false},         {"counters", counters, false},
    {"status", status, false},       {"task_events", task_events, false}, {NULL, NULL, false},
};

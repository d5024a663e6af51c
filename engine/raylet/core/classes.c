/* Classes: opening them, who gets workers, and recall (N2, N3). */
#include "raylet/core/state.h"

#include <stdio.h>
#include <string.h>

enum { ORDER_MAX = 256 };

core_class *core_class_of_port(const wr_raylet_core *core, uint16_t port) {
    uint64_t found;
    return wr_map_get(&core->class_by_port, port, &found) ? (core_class *)(uintptr_t)found : NULL;
}

static bool same_class(const wr_class *a, const wr_class *b) {
    return a->job == b->job && a->language == b->language && a->env_hash == b->env_hash &&
           a->strategy.kind == b->strategy.kind && a->strategy.node == b->strategy.node &&
           a->strategy.soft == b->strategy.soft && a->strategy.bundle == b->strategy.bundle &&
           a->strategy.capture == b->strategy.capture &&
           memcmp(&a->strategy.pg, &b->strategy.pg, sizeof a->strategy.pg) == 0 &&
           wr_res_equal(&a->resources, &b->resources) && wr_res_equal(&a->place, &b->place) &&
           a->labels_bytes == b->labels_bytes && memcmp(a->labels, b->labels, a->labels_bytes) == 0;
}

void wr_raylet_core_class_used(wr_raylet_core *core, wr_time_ns now, uint16_t port) {
    core_class *c = core_class_of_port(core, port);
    if (c != NULL) {
        c->used_at = now;
    }
}

uint16_t wr_raylet_core_class_find(const wr_raylet_core *core, const wr_class *cls) {
    for (uint32_t i = 0; i < core->class_count; i++) {
        if (core->classes[i] != NULL && !core->classes[i]->failed &&
            same_class(&core->classes[i]->cls, cls)) {
            return core->classes[i]->port;
        }
    }
    return WR_PORT_NONE;
}

static wr_status check_group(wr_raylet_core *core, const wr_class *cls, wr_error *err) {
    uint32_t index = wr_raylet_core_group_find(core, &cls->strategy.pg, NULL);
    if (index == WR_CORE_NONE && !core_group_was_here(core, &cls->strategy.pg)) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no such placement group (it may have been removed)");
    }
    const core_group *g = index == WR_CORE_NONE ? NULL : core->groups[index];
    if (g == NULL || g->state == WR_PG_REMOVED) {
        return WR_FAIL(err, WR_E_PG_REMOVED, "the placement group was removed");
    }
    if (cls->strategy.bundle < -1 || cls->strategy.bundle >= (int32_t)g->bundle_count) {
        return WR_FAIL(err, WR_E_INVALID,
                       "placement_group_bundle_index is %d; the group has bundles 0 to %u, and -1 means any",
                       cls->strategy.bundle, g->bundle_count - 1);
    }
    for (uint32_t i = 0; i < g->bundle_count; i++) {
        bool wanted = cls->strategy.bundle < 0 || cls->strategy.bundle == (int32_t)i;
        if (wanted && wr_res_fits(&g->bundles[i], &cls->resources) &&
            wr_res_fits(&g->bundles[i], &cls->place)) {
            return WR_OK;
        }
    }
    char need[512], have[512];
    uint32_t bytes;
    const wr_res *biggest = wr_res_is_empty(&cls->resources) ? &cls->place : &cls->resources;
    const wr_res *bundle = &g->bundles[cls->strategy.bundle < 0 ? 0 : cls->strategy.bundle];
    if (wr_res_format(&core->names, biggest, need, sizeof need, &bytes, NULL) != WR_OK ||
        wr_res_format(&core->names, bundle, have, sizeof have, &bytes, NULL) != WR_OK) {
        need[0] = have[0] = 0;
    }
    return WR_FAIL(err, WR_E_INVALID, "it needs {%s}, which fits no bundle of its placement group (%s%s)",
                   need, cls->strategy.bundle < 0 ? "bundle 0 has " : "that bundle has ", have);
}

wr_status wr_raylet_core_class_check(wr_raylet_core *core, const wr_class *cls, wr_error *err) {
    if (cls->strategy.kind == WR_STRATEGY_PLACEMENT_GROUP) {
        return check_group(core, cls, err);
    }
    if (cls->strategy.kind == WR_STRATEGY_NODE_AFFINITY && !cls->strategy.soft &&
        cls->strategy.node != core->inc) {
        return WR_FAIL(err, WR_E_UNSCHEDULABLE,
                       "the node that NodeAffinity names (incarnation %u) is not in the cluster",
                       cls->strategy.node);
    }
    return WR_OK;
}

wr_status wr_raylet_core_class_add(wr_raylet_core *core, wr_time_ns now, const wr_class *cls, uint16_t port,
                                   wr_error *err) {
    WR_ASSERT(core_class_of_port(core, port) == NULL);
    WR_TRY(wr_raylet_core_class_check(core, cls, err));
    core_class *c = core_alloc(sizeof *c);
    c->cls = *cls;
    c->port = port;
    c->takers_told = WR_CORE_NONE;
    c->used_at = now;
    wr_status status = wr_map_set(&core->class_by_port, port, (uintptr_t)c, err);
    if (status != WR_OK) {
        wr_free(c);
        return status;
    }
    uint32_t at = 0;
    while (at < core->class_count && core->classes[at] != NULL) {
        at++;
    }
    void *classes = core->classes;
    core_reserve(&classes, &core->class_capacity, at + 1, sizeof *core->classes);
    core->classes = classes;
    core->classes[at] = c;
    core->class_count = at == core->class_count ? at + 1 : core->class_count;
    c->index = at;
    core_schedule(core, now);
    return WR_OK;
}

bool wr_raylet_core_class_feasible(wr_raylet_core *core, const wr_class *cls, char *out_why, size_t size) {
    return core_feasible(core, cls, out_why, size);
}

bool wr_raylet_core_class_next(const wr_raylet_core *core, uint32_t *cursor, uint16_t *out_port) {
    while (*cursor < core->class_count) {
        const core_class *c = core->classes[(*cursor)++];
        if (c != NULL && !c->failed) {
            *out_port = c->port;
            return true;
        }
    }
    return false;
}

void wr_raylet_core_class_fact(wr_raylet_core *core, wr_time_ns now, uint16_t port,
                               const wr_port_info *info) {
    core_class *c = core_class_of_port(core, port);
    if (c == NULL) {
        return;
    }
    if ((c->queued == 0) != (info->queued == 0)) {
        core->sync_dirty = true;
        c->waits_since = now;
    }
    c->used_at = info->queued > 0 || c->workers > 0 ? now : c->used_at;
    c->queued = info->queued;
    c->ready = info->ready;
    c->sleepers = info->sleepers;
}

/* Tasks that its workers have reserved and not begun. */
static uint64_t reserved(const wr_raylet_core *core, const core_class *c) {
    uint64_t n = 0;
    for (uint32_t i = 0; c->workers > 0 && i < core->worker_count; i++) {
        n += core->workers[i] != NULL && core->workers[i]->cls == c ? core->workers[i]->reserved : 0;
    }
    return n;
}

uint64_t core_class_waiting(const wr_raylet_core *core, const core_class *c) {
    return c->failed ? 0 : (c->ready > 0 ? c->queued : 0) + reserved(core, c);
}

/* How many more workers would find something to do at once: those that sleep, or have not begun yet, will take
 * what waits. */
static uint64_t hunger(const wr_raylet_core *core, const core_class *c) {
    uint64_t coming = 0, waiting = core_class_waiting(core, c);
    for (uint32_t i = 0; waiting > 0 && c->workers > 0 && i < core->worker_count; i++) {
        const core_worker *w = core->workers[i];
        coming += w != NULL && w->cls == c && !w->recalling && !w->blocked && (w->fresh || w->idle);
    }
    return waiting > coming ? waiting - coming : 0;
}

void core_takers(wr_raylet_core *core, core_class *c) {
    uint32_t takers = c->workers - c->blocked;
    /* Without takers and without room for one, one ready task is all there is to know. */
    bool hungry = !c->failed && ((takers == 0 && c->ready == 0) || core_room(core, &c->cls));
    if (takers == c->takers_told && hungry == c->hungry_told) {
        return;
    }
    c->takers_told = takers;
    c->hungry_told = hungry;
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_TAKERS);
    cmd->port = c->port;
    cmd->count = takers;
    cmd->flag = hungry;
}

/* ---- Recall ---- */

static uint32_t job_workers(const wr_raylet_core *core, uint32_t job) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < core->class_count; i++) {
        const core_class *c = core->classes[i];
        n += c != NULL && c->cls.job == job ? c->workers - c->blocked : 0;
    }
    return n;
}

/* Would it be fairer if one worker went from `from` to `to`? Jobs first, then classes; equals take turns. */
static bool fairer(const wr_raylet_core *core, const core_class *from, const core_class *to) {
    if (from == to) {
        return false;
    }
    uint32_t has = to->workers - to->blocked, other = from->workers - from->blocked;
    if (from->cls.job != to->cls.job) {
        uint32_t job_has = job_workers(core, to->cls.job), job_other = job_workers(core, from->cls.job);
        return job_has == 0 || job_other > job_has + 1;
    }
    return has == 0 || other > has + 1;
}

/* What recalled workers will give back on top of what is free. */
static void add_coming(const wr_raylet_core *core, wr_res *out) {
    *out = core->available;
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const core_worker *w = core->workers[i];
        bool coming = w != NULL && w->taken.any && w->taken.bundle == NULL &&
                      ((w->state == WR_CW_CLASS && w->recalling) || w->state == WR_CW_ENDING);
        if (coming) {
            wr_status status = wr_res_add(out, &w->taken.what, 1, NULL);
            WR_ASSERT(status == WR_OK);
        }
    }
}

static bool helps(const core_worker *w, const wr_class *need) {
    for (uint32_t i = 0; i < need->resources.count; i++) {
        if (wr_res_get(&w->taken.what, need->resources.items[i].name) > 0) {
            return true;
        }
    }
    return false;
}

/* The next worker to recall in favour of `need`: an idle one, else the one that has been busy longest. */
static core_worker *choose(const wr_raylet_core *core, wr_time_ns now, const wr_class *need,
                           const core_class *waiting, bool idle_only) {
    core_worker *best = NULL;
    bool best_idle = false;
    bool in_group = need->strategy.kind == WR_STRATEGY_PLACEMENT_GROUP;
    for (uint32_t i = 0; i < core->worker_count; i++) {
        core_worker *w = core->workers[i];
        if (w == NULL || w->state != WR_CW_CLASS || w->recalling || w->blocked || w->cls == waiting ||
            !helps(w, need)) {
            continue;
        }
        bool same_place =
            in_group ? w->taken.bundle != NULL &&
                           memcmp(&w->taken.bundle->pg, &need->strategy.pg, sizeof need->strategy.pg) == 0
                     : w->taken.bundle == NULL;
        if (!same_place) {
            continue;
        }
        bool idle = w->idle && w->cls->queued == 0;
        bool busy_long = !idle_only && now - w->assigned >= WR_CORE_SLICE_NS &&
                         (waiting == NULL || fairer(core, w->cls, waiting));
        if (!idle && !busy_long) {
            continue;
        }
        if (best == NULL || (idle && !best_idle) || (idle == best_idle && w->assigned < best->assigned)) {
            best = w;
            best_idle = idle;
        }
    }
    return best;
}

bool core_recall(wr_raylet_core *core, wr_time_ns now, const wr_class *need, const core_class *waiting,
                 bool idle_only) {
    for (;;) {
        wr_res coming;
        add_coming(core, &coming);
        bool in_group = need->strategy.kind == WR_STRATEGY_PLACEMENT_GROUP;
        if (!in_group && wr_res_fits(&coming, &need->resources)) {
            return true;
        }
        core_worker *w = choose(core, now, need, waiting, idle_only);
        if (w == NULL) {
            return false;
        }
        core_worker_recall(core, w);
        if (in_group) {
            return true; /* one at a time: bundles are not added up */
        }
    }
}

/* ---- Assignment ---- */

/* Gives the class one worker: an idle one, or one that is on its way. AGAIN: no room. */
static wr_status serve(wr_raylet_core *core, wr_time_ns now, core_class *c, const wr_res *kept,
                       uint32_t *starting, wr_res *virtual_left) {
    wr_res needed = c->cls.resources;
    if (c->cls.strategy.kind != WR_STRATEGY_PLACEMENT_GROUP) {
        if (kept != NULL && wr_res_add(&needed, kept, 1, NULL) != WR_OK) {
            return WR_E_AGAIN;
        }
        if (!wr_res_fits(virtual_left, &needed)) {
            return WR_E_AGAIN;
        }
    }
    if (!core_room(core, &c->cls)) {
        return WR_E_AGAIN;
    }
    wr_status status = wr_res_sub(virtual_left, &c->cls.resources, 1, NULL);
    WR_ASSERT(status == WR_OK);
    bool devices = wr_res_get(&c->cls.resources, WR_RES_GPU) > 0;
    core_worker *w = devices ? NULL : core_worker_idle(core, &c->cls);
    if (w == NULL && !devices && *starting > 0) {
        (*starting)--; /* one that is being started will come for it */
        return WR_OK;
    }
    if (w == NULL) {
        int64_t cpus = wr_res_get(&c->cls.resources, WR_RES_CPU) / WR_RES_UNIT;
        w = core_spawn(core, now, &c->cls, cpus < 1 ? 1 : (uint32_t)cpus);
        if (w == NULL) {
            return WR_E_LIMIT;
        }
        if (!devices) {
            return WR_OK;
        }
    }
    core_taken taken;
    status = core_take(core, &c->cls, &taken);
    WR_ASSERT(status == WR_OK);
    core_assign_class(core, now, w, c, &taken);
    wr_fair_served(core->fair, c->cls.job, c->index + 1ull, WR_CORE_SLICE_NS);
    return WR_OK;
}

static void explain(core_class *c, wr_status status, const wr_raylet_core *core) {
    if (status == WR_E_LIMIT) {
        snprintf(c->why, sizeof c->why, "this node runs %u worker processes, the most it can",
                 core->live_workers);
    } else {
        snprintf(c->why, sizeof c->why, "its resources are in use");
    }
}

static void schedule_class(wr_raylet_core *core, wr_time_ns now, core_class *c, const wr_res *kept,
                           bool *out_fits, wr_res *virtual_left) {
    core_pool *pool = core_pool_of(core, c->cls.job, c->cls.env_hash, c->cls.language);
    uint32_t starting = pool->starting;
    uint64_t want = hunger(core, c);
    *out_fits = true;
    for (uint64_t i = 0; i < want; i++) {
        wr_status status = serve(core, now, c, kept, &starting, virtual_left);
        if (status == WR_OK) {
            continue;
        }
        *out_fits = false;
        explain(c, status, core);
        if (status == WR_E_AGAIN) {
            core_recall(core, now, &c->cls, c, false);
        }
        break;
    }
}

void core_schedule(wr_raylet_core *core, wr_time_ns now) {
    if (core->scheduling || core->over) {
        return;
    }
    core->scheduling = true;
    core_actor_place(core, now);

    wr_res kept, virtual_left = core->available;
    bool keep = false, wished = core_oldest_wish(core, now, &kept, &keep);
    if (wished && !wr_res_fits(&core->available, &kept)) {
        wr_class wish = {.resources = kept};
        core_recall(core, now, &wish, NULL, !keep);
    }
    for (uint32_t i = 0; i < core->class_count; i++) {
        core_class *c = core->classes[i];
        if (c != NULL) {
            char why[sizeof c->why];
            c->waits = hunger(core, c) > 0;
            bool can = c->waits && core_feasible(core, &c->cls, why, sizeof why);
            if (c->waits && !can) {
                memcpy(c->why, why, sizeof why);
            }
            wr_status status = wr_fair_wait(core->fair, c->cls.job, c->index + 1ull, can, NULL);
            WR_ASSERT(status == WR_OK);
        }
    }
    wr_fair_entry order[ORDER_MAX];
    uint32_t n = wr_fair_order(core->fair, order, ORDER_MAX);
    for (uint32_t i = 0; i < n; i++) {
        core_class *c = core->classes[order[i].key - 1];
        bool fits;
        schedule_class(core, now, c, keep ? &kept : NULL, &fits, &virtual_left);
        c->waits = !fits;
        if (!fits) {
            wr_fair_passed(core->fair, c->cls.job, order[i].key);
            if (order[i].reserve && core_keeps(c->waits_since, now)) {
                break;
            }
        }
    }
    for (uint32_t i = 0; i < core->class_count; i++) {
        if (core->classes[i] != NULL) {
            core_takers(core, core->classes[i]);
        }
    }
    core->scheduling = false;
}

/* ---- The end of a class ---- */

void core_class_fail(wr_raylet_core *core, core_class *c, wr_status status, const char *text, bool job_gone) {
    if (c->failed) {
        return;
    }
    c->failed = true;
    c->queued = 0;
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_PORT_FAIL);
    cmd->port = c->port;
    cmd->status = status;
    cmd->flag = job_gone;
    core_cmd_text(cmd, text);
    wr_status ok = wr_fair_wait(core->fair, c->cls.job, c->index + 1ull, false, NULL);
    WR_ASSERT(ok == WR_OK);
}

static void forget(wr_raylet_core *core, core_class *c) {
    WR_ASSERT(c->workers == 0);
    wr_map_remove(&core->class_by_port, c->port, NULL);
    core->classes[c->index] = NULL;
    wr_free(c);
}

void core_class_close(wr_raylet_core *core, core_class *c) {
    core_class_fail(core, c, WR_E_OWNER_DIED, "the job has ended", true);
    core_cmd(core, WR_CMD_PORT_CLOSE)->port = c->port;
    forget(core, c);
}

/* ---- Classes that nobody uses ---- */

static bool unused(const core_class *c, wr_time_ns now, wr_time_ns since) {
    return c != NULL && c->workers == 0 && (c->failed || (c->queued == 0 && now - c->used_at >= since));
}

uint32_t wr_raylet_core_class_unused(const wr_raylet_core *core, wr_time_ns now, bool scarce,
                                     wr_time_ns since, uint16_t *out, uint32_t max) {
    uint32_t failed = 0, count = 0;
    for (uint32_t i = 0; i < core->class_count; i++) {
        failed += core->classes[i] != NULL && core->classes[i]->failed && core->classes[i]->workers == 0;
    }
    if (!scarce && failed < WR_CORE_FAILED_CLASSES_MAX) {
        return 0;
    }
    for (uint32_t i = 0; i < core->class_count; i++) {
        const core_class *c = core->classes[i];
        if (!unused(c, now, since) || (!scarce && !c->failed)) {
            continue;
        }
        uint32_t at = count < max ? count++ : max; /* out: the longest unused first */
        for (; at > 0; at--) {
            const core_class *before = core_class_of_port(core, out[at - 1]);
            if (before->failed > c->failed ||
                (before->failed == c->failed && before->used_at <= c->used_at)) {
                break;
            }
            if (at < max) {
                out[at] = out[at - 1];
            }
        }
        if (at < max) {
            out[at] = c->port;
        }
    }
    return count;
}

void wr_raylet_core_class_closed(wr_raylet_core *core, uint16_t port) {
    core_class *c = core_class_of_port(core, port);
    WR_ASSERT(c != NULL);
    wr_status status = wr_fair_wait(core->fair, c->cls.job, c->index + 1ull, false, NULL);
    WR_ASSERT(status == WR_OK);
    core->sync_dirty = true;
    forget(core, c);
}

bool wr_raylet_core_class_info(wr_raylet_core *core, uint32_t *cursor, wr_core_class_info *out) {
    while (*cursor < core->class_count) {
        core_class *c = core->classes[(*cursor)++];
        if (c == NULL) {
            continue;
        }
        *out = (wr_core_class_info){.port = c->port,
                                    .cls = &c->cls,
                                    .queued = c->queued,
                                    .reserved = reserved(core, c),
                                    .workers = c->workers,
                                    .waits = c->waits};
        memcpy(out->why, c->why, sizeof out->why);
        return true;
    }
    return false;
}

/* Placement groups: what this node made, and what the GCS reserved here. */
#include "raylet/core/state.h"

#include <stdio.h>
#include <string.h>

uint32_t wr_raylet_core_group_find(const wr_raylet_core *core, const wr_pg_id *id, const char *name) {
    for (uint32_t i = 0; i < core->group_count; i++) {
        const core_group *g = core->groups[i];
        if (g != NULL &&
            (id != NULL ? memcmp(&g->id, id, sizeof *id) == 0
                        : g->state != WR_PG_REMOVED && g->name[0] != 0 && strcmp(g->name, name) == 0)) {
            return i;
        }
    }
    return WR_CORE_NONE;
}

static uint64_t read_le(const uint8_t *bytes, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

bool core_group_was_here(const wr_raylet_core *core, const wr_pg_id *id) {
    return read_le(id->bytes, 4) == core->inc && read_le(id->bytes + 8, 8) - 1 < core->group_counter;
}

wr_status wr_raylet_core_group_create(wr_raylet_core *core, wr_time_ns now, const wr_core_group_spec *spec,
                                      wr_pg_id *out, wr_error *err) {
    if (spec->name[0] != 0 && wr_raylet_core_group_find(core, NULL, spec->name) != WR_CORE_NONE) {
        return WR_FAIL(err, WR_E_EXISTS, "a placement group is called '%s' already", spec->name);
    }
    WR_ASSERT(spec->bundle_count > 0 && spec->bundle_count <= WR_PG_BUNDLES_MAX);
    core_group *g = core_alloc(sizeof *g);
    *g = (core_group){.job = spec->job,
                      .strategy = spec->strategy,
                      .state = WR_PG_PENDING,
                      .owner = spec->owner,
                      .detached = spec->detached,
                      .ready = spec->ready,
                      .bundle_count = spec->bundle_count,
                      .since = now};
    uint64_t counter = ++core->group_counter;
    for (int i = 0; i < 4; i++) {
        g->id.bytes[i] = (uint8_t)(core->inc >> (8 * i));
        g->id.bytes[4 + i] = (uint8_t)(spec->job >> (8 * i));
    }
    for (int i = 0; i < 8; i++) {
        g->id.bytes[8 + i] = (uint8_t)(counter >> (8 * i));
    }
    g->name = core_text(spec->name);
    g->text = core_text("");
    g->bundles = core_alloc(spec->bundle_count * sizeof *g->bundles);
    g->nodes = core_alloc(spec->bundle_count * sizeof *g->nodes);
    memcpy(g->bundles, spec->bundles, spec->bundle_count * sizeof *g->bundles);
    uint32_t at = 0;
    while (at < core->group_count && core->groups[at] != NULL) {
        at++;
    }
    void *groups = core->groups;
    core_reserve(&groups, &core->group_capacity, at + 1, sizeof *core->groups);
    core->groups = groups;
    core->groups[at] = g;
    core->group_count = at == core->group_count ? at + 1 : core->group_count;
    g->index = at;

    wr_bundle_info *infos = core_alloc(spec->bundle_count * sizeof *infos);
    char *texts = core_alloc((size_t)spec->bundle_count * WR_RES_TEXT_MAX);
    for (uint32_t i = 0; i < spec->bundle_count; i++) {
        char *text = texts + (size_t)i * WR_RES_TEXT_MAX;
        uint32_t bytes = 0;
        wr_status status =
            wr_res_format(&core->names, &spec->bundles[i], text, WR_RES_TEXT_MAX, &bytes, NULL);
        WR_ASSERT(status == WR_OK);
        infos[i].resources = wr_span_of(text, bytes);
    }
    wr_cluster_msg msg = {.type = WR_MSG_PG_CREATE};
    msg.u.pg_create.pg = (wr_pg_info){.pg = g->id,
                                      .job = g->job,
                                      .owner = g->owner,
                                      .detached = g->detached,
                                      .strategy = g->strategy,
                                      .name = wr_span_text(g->name),
                                      .bundles = infos,
                                      .bundle_count = g->bundle_count};
    core_wish_add(core, &msg, 0, 0, 0);
    wr_free(infos);
    wr_free(texts);
    core_schedule(core, now); /* idle workers give back what it will need */
    *out = g->id;
    return WR_OK;
}

static void seal_ready(wr_raylet_core *core, core_group *g, wr_status status, const char *text) {
    if (g->ready_sealed) {
        return;
    }
    g->ready_sealed = true;
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_PG_READY);
    cmd->handle = g->ready;
    cmd->status = status;
    core_cmd_text(cmd, text);
}

void core_group_kill_work(wr_raylet_core *core, wr_time_ns now, const wr_pg_id *pg, uint32_t index,
                          bool removed) {
    static const char why[] = "the placement group was removed";
    for (uint32_t i = 0; i < core->worker_count; i++) {
        core_worker *w = core->workers[i];
        if (w != NULL && w->taken.bundle != NULL && memcmp(&w->taken.bundle->pg, pg, sizeof *pg) == 0 &&
            (index == WR_CORE_NONE || w->taken.bundle->index == index)) {
            core_worker_stop(core, w, WR_E_PG_REMOVED, why);
        }
    }
    for (uint32_t i = 0; removed && i < core->actor_count; i++) {
        core_actor *a = core->actors[i];
        if (a != NULL && a->state != WR_ACTOR_DEAD && a->worker == NULL &&
            a->spec.cls.strategy.kind == WR_STRATEGY_PLACEMENT_GROUP &&
            memcmp(&a->spec.cls.strategy.pg, pg, sizeof *pg) == 0) {
            a->no_restart = true;
            core_actor_end(core, a, WR_E_PG_REMOVED, why, false);
        }
    }
    for (uint32_t i = 0; removed && i < core->class_count; i++) {
        core_class *c = core->classes[i];
        if (c != NULL && c->cls.strategy.kind == WR_STRATEGY_PLACEMENT_GROUP &&
            memcmp(&c->cls.strategy.pg, pg, sizeof *pg) == 0) {
            core_class_fail(core, c, WR_E_PG_REMOVED, why, false);
        }
    }
    (void)now;
}

void core_group_forget(wr_raylet_core *core, core_group *g) {
    core_cmd(core, WR_CMD_PG_FORGET)->handle = g->ready;
    core->removed_groups -= g->removed_at != 0;
    core->groups[g->index] = NULL;
    wr_free(g->name);
    wr_free(g->text);
    wr_free(g->bundles);
    wr_free(g->nodes);
    wr_free(g);
}

static void forget_oldest_removed(wr_raylet_core *core) {
    core_group *oldest = NULL;
    for (uint32_t i = 0; i < core->group_count; i++) {
        core_group *g = core->groups[i];
        if (g != NULL && g->removed_at != 0 && (oldest == NULL || g->removed_at < oldest->removed_at)) {
            oldest = g;
        }
    }
    WR_ASSERT(oldest != NULL);
    core_group_forget(core, oldest);
}

static void removed_here(wr_raylet_core *core, wr_time_ns now, core_group *g) {
    if (g->state == WR_PG_REMOVED) {
        return;
    }
    g->state = WR_PG_REMOVED;
    g->removed_at = ++core->removed_counter;
    core->removed_groups++;
    seal_ready(core, g, WR_E_PG_REMOVED, "the placement group was removed before it was ready");
    core_group_kill_work(core, now, &g->id, WR_CORE_NONE, true);
    if (core_job_of(core, g->job) == NULL) {
        core_group_forget(core, g); /* a detached one, whose job is gone */
    } else if (core->removed_groups > WR_CORE_REMOVED_GROUPS_MAX) {
        forget_oldest_removed(core);
    }
}

void wr_raylet_core_group_remove(wr_raylet_core *core, wr_time_ns now, const wr_pg_id *id) {
    uint32_t index = wr_raylet_core_group_find(core, id, NULL);
    if (index != WR_CORE_NONE && core->groups[index]->state == WR_PG_REMOVED) {
        return;
    }
    wr_cluster_msg msg = {.type = WR_MSG_PG_REMOVE};
    msg.u.pg.pg = *id;
    core_wish_add(core, &msg, 0, 0, 0);
    if (index != WR_CORE_NONE) {
        removed_here(core, now, core->groups[index]);
    }
}

/* ---- What the GCS asks of this node ---- */

static void prepare(wr_raylet_core *core, wr_time_ns now, const wr_msg_bundle *ask) {
    core->placed_seen++;
    wr_cluster_msg msg = {.type = WR_MSG_PREPARED};
    msg.u.bundle = (wr_msg_bundle){.pg = ask->pg, .attempt = ask->attempt, .index = ask->index};
    core_bundle *b = core_bundle_find(core, &ask->pg, ask->index, ask->attempt);
    wr_res need;
    if (b != NULL) {
        msg.u.bundle.ok = !b->releasing;
    } else if (wr_res_parse(&core->names, ask->resources, &need, NULL) == WR_OK) {
        wr_gpu_share share;
        wr_gpus gpus = core->gpus;
        if (wr_res_fits(&core->available, &need) &&
            wr_gpus_take(&gpus, wr_res_get(&need, WR_RES_GPU), &share, NULL) == WR_OK) {
            b = core_alloc(sizeof *b);
            *b = (core_bundle){.pg = ask->pg,
                               .attempt = ask->attempt,
                               .index = ask->index,
                               .job = ask->job,
                               .total = need,
                               .available = need,
                               .share = share};
            core->gpus = gpus;
            wr_status status = wr_res_sub(&core->available, &need, 1, NULL);
            WR_ASSERT(status == WR_OK);
            b->gpus.count = core->gpus.count;
            for (uint32_t i = 0; i < core->gpus.count; i++) {
                b->gpus.free_units[i] = (share.devices >> i & 1) != 0 ? share.units_each : 0;
            }
            void *bundles = core->bundles;
            core_reserve(&bundles, &core->bundle_capacity, core->bundle_count + 1, sizeof *core->bundles);
            core->bundles = bundles;
            core->bundles[core->bundle_count++] = b;
            core->sync_dirty = true;
            msg.u.bundle.ok = true;
        } else { /* the next attempt may find what idle workers hold now */
            wr_class wish = {.resources = need};
            (void)core_recall(core, now, &wish, NULL, true);
        }
    }
    core_send(core, WR_DEST_GCS, &msg);
}

static void release(wr_raylet_core *core, wr_time_ns now, const wr_msg_bundle *msg) {
    core_bundle *b = core_bundle_find(core, &msg->pg, msg->index, msg->attempt);
    if (b == NULL) {
        return;
    }
    uint32_t group = wr_raylet_core_group_find(core, &msg->pg, NULL);
    bool removed = group == WR_CORE_NONE || core->groups[group]->state == WR_PG_REMOVED;
    b->releasing = true;
    core_group_kill_work(core, now, &msg->pg, msg->index, removed);
    b->users++; /* stays until the loop is through */
    for (uint32_t i = 0; i < core->actor_count; i++) {
        core_actor *a = core->actors[i];
        if (a != NULL && a->taken.bundle == b) { /* reserved for an actor that has no process yet */
            core->placing -= a->placing;
            a->placing = false;
            core_give(core, &a->taken);
        }
    }
    b->users--;
    core_bundle_free_if_done(core, b);
}

static void group_is(wr_raylet_core *core, wr_time_ns now, const wr_msg_pg_is *is) {
    uint32_t index = is->found ? wr_raylet_core_group_find(core, &is->pg.pg, NULL) : WR_CORE_NONE;
    if (index == WR_CORE_NONE) {
        return;
    }
    core_group *g = core->groups[index];
    char *text = core_text_span(is->pg.text);
    wr_free(g->text);
    g->text = text;
    for (uint32_t i = 0; i < g->bundle_count && i < is->pg.bundle_count; i++) {
        g->nodes[i] = is->pg.bundles[i].node;
    }
    if (g->state == WR_PG_REMOVED) {
        return;
    }
    if (is->pg.state == WR_PG_REMOVED) {
        removed_here(core, now, g);
        return;
    }
    g->state = is->pg.state;
    if (g->state == WR_PG_CREATED) {
        seal_ready(core, g, WR_OK, "");
    }
}

void core_group_message(wr_raylet_core *core, wr_time_ns now, const wr_cluster_msg *msg) {
    core_bundle *b;
    switch (msg->type) {
    case WR_MSG_PREPARE:
        prepare(core, now, &msg->u.bundle);
        break;
    case WR_MSG_COMMIT:
        b = core_bundle_find(core, &msg->u.bundle.pg, msg->u.bundle.index, msg->u.bundle.attempt);
        if (b != NULL) {
            b->committed = true;
        }
        break;
    case WR_MSG_RELEASE:
        release(core, now, &msg->u.bundle);
        break;
    default:
        group_is(core, now, &msg->u.pg_is);
        break;
    }
    core_schedule(core, now);
}

bool core_keeps(wr_time_ns since, wr_time_ns now) {
    return now < since || (now - since) % WR_CORE_KEEP_PERIOD_NS < WR_CORE_KEEP_NS;
}

bool core_oldest_wish(const wr_raylet_core *core, wr_time_ns now, wr_res *out, bool *out_keep) {
    /* What tasks may ever give back: all that neither actors nor bundles hold. */
    wr_res possible = core->available;
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const core_worker *w = core->workers[i];
        if (w != NULL && w->taken.any && w->taken.bundle == NULL && w->actor == NULL &&
            wr_res_add(&possible, &w->taken.what, 1, NULL) != WR_OK) {
            return false;
        }
    }
    wr_time_ns oldest = UINT64_MAX;
    for (uint32_t i = 0; i < core->group_count; i++) {
        const core_group *g = core->groups[i];
        if (g == NULL || g->state != WR_PG_PENDING || g->since >= oldest) {
            continue;
        }
        wr_res sum = {0};
        bool ok = true;
        for (uint32_t b = 0; b < g->bundle_count && ok; b++) {
            const core_bundle *held = core_bundle_find(core, &g->id, b, 0);
            bool reserved = held != NULL && !held->releasing; /* what is still to come counts */
            ok = reserved || wr_res_add(&sum, &g->bundles[b], 1, NULL) == WR_OK;
        }
        if (ok && wr_res_fits(&possible, &sum)) {
            oldest = g->since;
            *out = sum;
        }
    }
    for (uint32_t i = 0; i < core->actor_count; i++) {
        const core_actor *a = core->actors[i];
        bool waits = a != NULL && a->worker == NULL && !a->taken.any && a->state != WR_ACTOR_DEAD &&
                     a->spec.cls.strategy.kind != WR_STRATEGY_PLACEMENT_GROUP &&
                     a->spec.cls.resources.count > 0;
        if (waits && a->placing_since < oldest && wr_res_fits(&possible, &a->spec.cls.resources)) {
            oldest = a->placing_since;
            *out = a->spec.cls.resources;
        }
    }
    *out_keep = oldest != UINT64_MAX && core_keeps(oldest, now);
    return oldest != UINT64_MAX;
}

bool wr_raylet_core_group_info(const wr_raylet_core *core, uint32_t index, wr_core_group_info *out) {
    const core_group *g = index < core->group_count ? core->groups[index] : NULL;
    if (g == NULL) {
        return false;
    }
    *out = (wr_core_group_info){.index = index,
                                .id = g->id,
                                .job = g->job,
                                .strategy = g->strategy,
                                .state = g->state,
                                .detached = g->detached,
                                .name = g->name,
                                .text = g->text,
                                .ready = g->ready,
                                .bundle_count = g->bundle_count,
                                .bundles = g->bundles,
                                .nodes = g->nodes};
    return true;
}

bool wr_raylet_core_group_next(const wr_raylet_core *core, uint32_t *cursor, uint32_t *out_index) {
    while (*cursor < core->group_count) {
        uint32_t at = (*cursor)++;
        if (core->groups[at] != NULL) {
            *out_index = at;
            return true;
        }
    }
    return false;
}

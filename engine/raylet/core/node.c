/* What this node has, who took it, and what can ever run here (N1, N4). */
#include "raylet/core/state.h"

#include <stdio.h>
#include <string.h>

static void add(wr_res *res, const wr_res *what, int64_t times) {
    wr_status status = wr_res_add(res, what, times, NULL);
    WR_ASSERT(status == WR_OK); /* names taken are names of the total: they cannot become too many */
}

static void sub(wr_res *res, const wr_res *what) {
    wr_status status = wr_res_sub(res, what, 1, NULL);
    WR_ASSERT(status == WR_OK);
}

core_bundle *core_bundle_find(const wr_raylet_core *core, const wr_pg_id *pg, uint32_t index,
                              uint64_t attempt) {
    for (uint32_t i = 0; i < core->bundle_count; i++) {
        core_bundle *b = core->bundles[i];
        if (b->index == index && memcmp(&b->pg, pg, sizeof *pg) == 0 &&
            (attempt == 0 || b->attempt == attempt)) {
            return b;
        }
    }
    return NULL;
}

static bool in_group(const wr_class *cls) {
    return cls->strategy.kind == WR_STRATEGY_PLACEMENT_GROUP;
}

static bool fits(const wr_res *available, const wr_gpus *gpus, const wr_class *cls, wr_gpu_share *share) {
    *share = (wr_gpu_share){0};
    if (!wr_res_fits(available, &cls->resources)) {
        return false;
    }
    wr_gpus copy = *gpus;
    return wr_gpus_take(&copy, wr_res_get(&cls->resources, WR_RES_GPU), share, NULL) == WR_OK;
}

/* An actor without options holds nothing, but is placed only where this much is free in its bundle. */
static bool place_fits(const wr_res *available, const wr_class *cls) {
    return wr_res_fits(available, &cls->place);
}

static core_bundle *bundle_with_room(const wr_raylet_core *core, const wr_class *cls, wr_gpu_share *share) {
    for (uint32_t i = 0; i < core->bundle_count; i++) {
        core_bundle *b = core->bundles[i];
        if (b->committed && !b->releasing && memcmp(&b->pg, &cls->strategy.pg, sizeof b->pg) == 0 &&
            (cls->strategy.bundle < 0 || (uint32_t)cls->strategy.bundle == b->index) &&
            fits(&b->available, &b->gpus, cls, share) && place_fits(&b->available, cls)) {
            return b;
        }
    }
    return NULL;
}

bool core_room(const wr_raylet_core *core, const wr_class *cls) {
    wr_gpu_share share;
    return in_group(cls) ? bundle_with_room(core, cls, &share) != NULL
                         : fits(&core->available, &core->gpus, cls, &share);
}

wr_status core_take(wr_raylet_core *core, const wr_class *cls, core_taken *out) {
    wr_gpu_share share;
    core_bundle *bundle = in_group(cls) ? bundle_with_room(core, cls, &share) : NULL;
    if (in_group(cls) ? bundle == NULL : !fits(&core->available, &core->gpus, cls, &share)) {
        return WR_E_AGAIN;
    }
    wr_gpus *gpus = bundle != NULL ? &bundle->gpus : &core->gpus;
    wr_status status = wr_gpus_take(gpus, wr_res_get(&cls->resources, WR_RES_GPU), &share, NULL);
    WR_ASSERT(status == WR_OK);
    sub(bundle != NULL ? &bundle->available : &core->available, &cls->resources);
    if (bundle != NULL) {
        bundle->users++;
    }
    *out = (core_taken){.what = cls->resources, .share = share, .bundle = bundle, .any = true};
    core->sync_dirty = true;
    return WR_OK;
}

void core_give(wr_raylet_core *core, core_taken *taken) {
    if (!taken->any) {
        return;
    }
    core_bundle *bundle = taken->bundle;
    add(bundle != NULL ? &bundle->available : &core->available, &taken->what, 1);
    wr_gpus_give(bundle != NULL ? &bundle->gpus : &core->gpus, &taken->share);
    memset(taken, 0, sizeof *taken);
    core->sync_dirty = true;
    if (bundle != NULL) {
        WR_ASSERT(bundle->users > 0);
        bundle->users--;
        core_bundle_free_if_done(core, bundle);
    }
}

int64_t core_lent(const core_taken *taken) {
    return taken->any ? wr_res_get(&taken->what, WR_RES_CPU) : 0;
}

/* CPU only, as in Ray: devices and memory stay with a worker that waits. */
void core_lend(wr_raylet_core *core, core_taken *taken, bool back) {
    int64_t units = core_lent(taken);
    if (units == 0) {
        return;
    }
    wr_res *available = taken->bundle != NULL ? &taken->bundle->available : &core->available;
    wr_status status =
        wr_res_set(available, WR_RES_CPU, wr_res_get(available, WR_RES_CPU) + (back ? -units : units), NULL);
    WR_ASSERT(status == WR_OK);
    core->sync_dirty = true;
}

void core_bundle_free_if_done(wr_raylet_core *core, core_bundle *bundle) {
    if (!bundle->releasing || bundle->users > 0) {
        return;
    }
    add(&core->available, &bundle->total, 1);
    wr_gpus_give(&core->gpus, &bundle->share);
    core->sync_dirty = true;
    for (uint32_t i = 0; i < core->bundle_count; i++) {
        if (core->bundles[i] == bundle) {
            core->bundles[i] = core->bundles[--core->bundle_count];
            break;
        }
    }
    wr_free(bundle);
}

void core_reclaimable(const wr_raylet_core *core, wr_res *out) {
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const core_worker *w = core->workers[i];
        if (w != NULL && w->state == WR_CW_CLASS && w->idle && !w->blocked && w->cls->queued == 0 &&
            w->taken.any && w->taken.bundle == NULL) {
            add(out, &w->taken.what, 1);
        }
    }
}

bool core_feasible(wr_raylet_core *core, const wr_class *cls, char *why, size_t size) {
    why[0] = 0;
    if (in_group(cls)) {
        for (uint32_t i = 0; i < core->group_count; i++) {
            const core_group *g = core->groups[i];
            if (g == NULL || memcmp(&g->id, &cls->strategy.pg, sizeof g->id) != 0) {
                continue;
            }
            if (g->state == WR_PG_CREATED) {
                return true; /* that some bundle is large enough was checked when the class was opened */
            }
            snprintf(why, size, "its placement group is %s%s%s", wr_pg_state_text(g->state),
                     g->text[0] != 0 ? ": " : "", g->text);
            return false;
        }
        snprintf(why, size, "its placement group is not of this node");
        return false;
    }
    wr_node_view view = {
        .node = core->inc, .total = core->total, .available = core->total, .labels = core->node.labels.data};
    wr_pick_opts opts = {.nodes = &view, .count = 1, .local = core->inc};
    wr_infeasible lack = {0};
    uint32_t pick;
    if (wr_policy_pick(cls, &opts, &pick, &lack) != WR_E_UNSCHEDULABLE) {
        return true;
    }
    wr_infeasible_format(&lack, &core->names, why, size);
    return false;
}

void wr_raylet_core_resources(const wr_raylet_core *core, char *out_total, char *out_available, size_t size) {
    wr_res available = core->available, idle;
    core_reclaimable(core, &idle);
    add(&available, &idle, 1);
    uint32_t bytes;
    out_total[0] = out_available[0] = 0;
    wr_status a = wr_res_format(&core->names, &core->total, out_total, size, &bytes, NULL);
    wr_status b = wr_res_format(&core->names, &available, out_available, size, &bytes, NULL);
    (void)a, (void)b; /* LIMIT leaves "" */
}

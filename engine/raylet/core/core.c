/* Life of a core, its clock, and its counts. */
#include "raylet/core/state.h"

#include <string.h>

/* One block for the node's texts; each gets a final zero. */
static void copy_node(wr_raylet_core *core, const wr_node_info *from) {
    core->node = *from;
    wr_span *spans[] = {&core->node.name,         &core->node.hostname,      &core->node.address,
                        &core->node.bulk_address, &core->node.raylet_socket, &core->node.resources,
                        &core->node.labels};
    size_t bytes = 0;
    for (size_t i = 0; i < WR_COUNT_OF(spans); i++) {
        bytes += spans[i]->bytes + 1u;
    }
    char *at = core->node_texts = core_alloc(bytes);
    for (size_t i = 0; i < WR_COUNT_OF(spans); i++) {
        if (spans[i]->bytes > 0) {
            memcpy(at, spans[i]->data, spans[i]->bytes);
        }
        spans[i]->data = at;
        at += spans[i]->bytes + 1u;
    }
}

wr_status wr_raylet_core_new(const wr_raylet_core_opts *opts, wr_raylet_core **out, wr_error *err) {
    WR_AUTO(wr_raylet_core) core = wr_calloc(1, sizeof *core);
    if (core == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for the node manager");
    }
    WR_TRY(wr_res_names_init(&core->names, err));
    WR_TRY(wr_fair_new(&core->fair, err));
    copy_node(core, &opts->node);
    WR_TRY(wr_res_parse(&core->names, core->node.resources, &core->total, err));
    int64_t gpus = wr_res_get(&core->total, WR_RES_GPU);
    if (gpus % WR_RES_UNIT != 0 || gpus / WR_RES_UNIT > WR_GPUS_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "a node has a whole number of GPUs, at most %d", (int)WR_GPUS_MAX);
    }
    core->available = core->total;
    wr_gpus_init(&core->gpus, (uint32_t)(gpus / WR_RES_UNIT));
    core->nonce = opts->nonce;
    core->num_cpus = opts->num_cpus;
    core->prestart = opts->prestart;
    core->start_ns = opts->start_ns != 0 ? opts->start_ns : WR_CORE_START_NS;
    core->sync_text = core_text("");
    core->stats = core_text("");
    core->sync_dirty = true;
    *out = wr_steal(&core);
    return WR_OK;
}

void wr_raylet_core_free(wr_raylet_core *core) {
    if (core == NULL) {
        return;
    }
    wr_raylet_core_clear(core);
    for (uint32_t i = 0; i < core->worker_count; i++) {
        if (core->workers[i] != NULL) {
            wr_free(core->workers[i]->kill_text);
            wr_free(core->workers[i]);
        }
    }
    for (uint32_t i = 0; i < core->class_count; i++) {
        wr_free(core->classes[i]);
    }
    for (uint32_t i = 0; i < core->actor_count; i++) {
        if (core->actors[i] != NULL) {
            core_actor_free(core->actors[i]);
        }
    }
    for (uint32_t i = 0; i < core->group_count; i++) {
        if (core->groups[i] != NULL) {
            core_group_forget(core, core->groups[i]);
        }
    }
    for (uint32_t i = 0; i < core->bundle_count; i++) {
        wr_free(core->bundles[i]);
    }
    for (uint32_t i = 0; i < core->job_count; i++) {
        wr_free(core->jobs[i]);
    }
    for (uint32_t i = 0; i < core->wish_count; i++) {
        wr_cluster_msg_free(core->wishes[i].msg);
    }
    void *arrays[] = {core->workers, core->classes,   core->actors,   core->groups, core->bundles,
                      core->jobs,    core->pools,     core->wishes,   core->sent,   core->foreign,
                      core->dead,    core->used,      core->received, core->cmds,   core->sync_text,
                      core->stats,   core->node_texts};
    for (size_t i = 0; i < WR_COUNT_OF(arrays); i++) {
        wr_free(arrays[i]);
    }
    wr_map_done(&core->class_by_port);
    wr_map_done(&core->actor_by_port);
    wr_map_done(&core->actor_by_id);
    wr_fair_free(core->fair);
    wr_outbox_done(&core->outbox);
    wr_res_names_done(&core->names);
    wr_free(core);
}

wr_res_names *wr_raylet_core_names(wr_raylet_core *core) {
    return &core->names;
}

uint32_t wr_raylet_core_inc(const wr_raylet_core *core) {
    return core->inc;
}

bool wr_raylet_core_online(const wr_raylet_core *core) {
    return core->online && core->joined;
}

void wr_raylet_core_nonce(wr_raylet_core *core, const wr_nonce *nonce) {
    core->nonce = *nonce;
    core->last_join = 0;
}

void wr_raylet_core_stats(wr_raylet_core *core, const char *text) {
    if (strcmp(core->stats, text) != 0) {
        char *copy = core_text(text);
        wr_free(core->stats);
        core->stats = copy;
    }
}

/* When the next tick would do something: soon where somebody waits for a slice or for a worker that idles too long. */
static wr_time_ns next_tick(const wr_raylet_core *core, wr_time_ns now) {
    wr_time_ns said = now - core->last_sent;
    wr_time_ns step = core->joined && core->last_sent != 0 && said < WR_HB_NS ? WR_HB_NS - said : WR_SYNC_NS;
    if (core->sync_dirty && step > WR_SYNC_NS) {
        step = WR_SYNC_NS;
    }
    if (core->placing > 0 || core->draining > 0 || core->foreign_count > 0) {
        step = WR_CORE_SLICE_NS / 4;
    }
    for (uint32_t i = 0; i < core->class_count; i++) {
        const core_class *c = core->classes[i];
        if (c != NULL && (c->waits || (c->hungry_told && core_class_waiting(core, c) > 0))) {
            step = WR_CORE_SLICE_NS / 4;
        }
    }
    bool keep;
    wr_res wish;
    if (step > WR_CORE_SLICE_NS / 4 && core_oldest_wish(core, now, &wish, &keep)) {
        step = WR_CORE_SLICE_NS / 4;
    }
    return now + step;
}

void wr_raylet_core_tick(wr_raylet_core *core, wr_time_ns now) {
    if (core->over) {
        core->next = UINT64_MAX;
        return;
    }
    core_workers_tick(core, now);
    core_forward_tick(core, now);
    core_wishes_tick(core, now);
    core_schedule(core, now);
    core_cluster_tick(core, now);
    core->next = next_tick(core, now);
}

wr_time_ns wr_raylet_core_next(const wr_raylet_core *core) {
    return core->next;
}

void wr_raylet_core_counts(const wr_raylet_core *core, wr_core_counts *out) {
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const core_worker *w = core->workers[i];
        out->workers += w != NULL;
        out->workers_starting += w != NULL && w->state == WR_CW_STARTING;
        out->workers_idle += w != NULL && (w->state == WR_CW_IDLE || (w->state == WR_CW_CLASS && w->idle));
    }
    for (uint32_t i = 0; i < core->class_count; i++) {
        out->classes += core->classes[i] != NULL;
    }
    for (uint32_t i = 0; i < core->actor_count; i++) {
        out->actors += core->actors[i] != NULL;
    }
    for (uint32_t i = 0; i < core->group_count; i++) {
        out->groups += core->groups[i] != NULL;
    }
    for (uint32_t i = 0; i < core->job_count; i++) {
        out->jobs += core->jobs[i] != NULL;
    }
    for (uint32_t i = 0; i < core->wish_count; i++) {
        out->queries += core->wishes[i].query != 0;
        out->wishes += core->wishes[i].query == 0;
    }
    out->bundles = core->bundle_count;
    out->sent = core->sent_count;
    out->foreign = core->foreign_count;
}

const char *wr_raylet_core_check(const wr_raylet_core *core) {
    wr_res sum = core->available;
    uint32_t live = 0;
    for (uint32_t i = 0; i < core->worker_count; i++) {
        const core_worker *w = core->workers[i];
        if (w == NULL) {
            continue;
        }
        live++;
        if (w->taken.any && w->taken.bundle == NULL && wr_res_add(&sum, &w->taken.what, 1, NULL) != WR_OK) {
            return "N1: too many names";
        }
        if (w->blocked && w->taken.bundle == NULL &&
            wr_res_set(&sum, WR_RES_CPU, wr_res_get(&sum, WR_RES_CPU) - core_lent(&w->taken), NULL) !=
                WR_OK) {
            return "N1: too many names";
        }
        if (w->taken.share.devices != 0 && !w->bound && w->state != WR_CW_STARTING) {
            return "N4: a worker that was not started with devices has some";
        }
        if ((w->state == WR_CW_CLASS) != (w->cls != NULL) && w->state != WR_CW_STARTING &&
            w->state != WR_CW_ENDING) {
            return "a worker's state and class do not agree";
        }
        if (w->actor != NULL && w->actor->worker != w) {
            return "a worker and its actor do not agree";
        }
    }
    for (uint32_t i = 0; i < core->actor_count; i++) {
        const core_actor *a = core->actors[i];
        if (a != NULL && a->taken.any && a->taken.bundle == NULL &&
            wr_res_add(&sum, &a->taken.what, 1, NULL) != WR_OK) {
            return "N1: too many names";
        }
    }
    for (uint32_t i = 0; i < core->bundle_count; i++) {
        if (wr_res_add(&sum, &core->bundles[i]->total, 1, NULL) != WR_OK) {
            return "N1: too many names";
        }
    }
    if (!wr_res_equal(&sum, &core->total)) {
        return "N1: what is available and what is taken do not add up to the total";
    }
    return live == core->live_workers ? NULL : "the count of workers is wrong";
}

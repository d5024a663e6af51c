/* What people and tools see: the tables of a response. */
#include "gcs/core/core_priv.h"

enum { ROWS_DEFAULT = 10000 };

static uint32_t rows_of(const wr_gcs_request *request, uint32_t count) {
    uint32_t limit = request->limit == 0 ? ROWS_DEFAULT : request->limit;
    return count < limit ? count : limit;
}

static wr_status new_rows(uint32_t count, size_t bytes, void **out, wr_error *err) {
    *out = count == 0 ? NULL : wr_calloc(count, bytes);
    return count == 0 || *out != NULL
               ? WR_OK
               : WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a table of %u rows", count);
}

static wr_status fill_nodes(const wr_gcs_core *core, const wr_gcs_request *request, wr_gcs_response *out,
                            wr_error *err) {
    uint32_t count = rows_of(request, core->node_count);
    void *rows;
    WR_TRY(new_rows(count, sizeof(wr_gcs_node), &rows, err));
    wr_gcs_node *nodes = rows;
    for (uint32_t i = 0; i < count; i++) { /* the newest first */
        const gcs_node *n = core->nodes[core->node_count - 1 - i];
        nodes[i] = (wr_gcs_node){.info = n->row->info,
                                 .state = n->row->state,
                                 .available = wr_span_text(n->available_text),
                                 .stats = wr_span_text(n->stats),
                                 .death = n->row->death,
                                 .start_us = n->row->start_us,
                                 .end_us = n->row->end_us};
    }
    out->nodes = nodes;
    out->node_count = count;
    return WR_OK;
}

static wr_status fill_actors(const wr_gcs_core *core, const wr_gcs_request *request, wr_gcs_response *out,
                             wr_error *err) {
    void *rows;
    if (request->key.bytes != 0) {
        wr_actor_id id;
        if (request->key.bytes != sizeof id) {
            return WR_FAIL(err, WR_E_INVALID, "an actor id has %zu bytes", sizeof id);
        }
        memcpy(&id, request->key.data, sizeof id);
        const gcs_actor *actor = gcs_actor_find(core, &id);
        WR_TRY(new_rows(1, sizeof(wr_actor_info), &rows, err));
        out->actors = rows;
        if (actor != NULL) {
            memcpy(rows, &actor->info, sizeof actor->info);
            out->actor_count = 1;
        }
        return WR_OK;
    }
    uint32_t count = rows_of(request, core->actor_count);
    WR_TRY(new_rows(count, sizeof(wr_actor_info), &rows, err));
    wr_actor_info *actors = rows;
    for (uint32_t i = 0; i < count; i++) {
        actors[i] = core->actors[core->actor_count - 1 - i]->info;
        actors[i].spec.spec = wr_span_of(NULL, 0); /* opaque, and may be large */
    }
    out->actors = actors;
    out->actor_count = count;
    return WR_OK;
}

static wr_status fill_jobs(const wr_gcs_core *core, const wr_gcs_request *request, wr_gcs_response *out,
                           wr_error *err) {
    uint32_t count = rows_of(request, core->job_count);
    void *rows;
    WR_TRY(new_rows(count, sizeof(wr_job_info), &rows, err));
    wr_job_info *jobs = rows;
    for (uint32_t i = 0; i < count; i++) {
        jobs[i] = core->jobs[core->job_count - 1 - i]->row->info;
    }
    out->jobs = jobs;
    out->job_count = count;
    return WR_OK;
}

static wr_status fill_groups(const wr_gcs_core *core, const wr_gcs_request *request, wr_gcs_response *out,
                             wr_error *err) {
    void *rows;
    if (request->key.bytes != 0) {
        wr_pg_id id;
        if (request->key.bytes != sizeof id) {
            return WR_FAIL(err, WR_E_INVALID, "a placement group's id has %zu bytes", sizeof id);
        }
        memcpy(&id, request->key.data, sizeof id);
        const gcs_group *group = gcs_group_find(core, &id);
        WR_TRY(new_rows(1, sizeof(wr_pg_info), &rows, err));
        out->groups = rows;
        if (group != NULL) {
            memcpy(rows, group->info, sizeof *group->info);
            out->group_count = 1;
        }
        return WR_OK;
    }
    uint32_t count = rows_of(request, core->group_count);
    WR_TRY(new_rows(count, sizeof(wr_pg_info), &rows, err));
    wr_pg_info *groups = rows;
    for (uint32_t i = 0; i < count; i++) {
        groups[i] = *core->groups[core->group_count - 1 - i]->info;
    }
    out->groups = groups;
    out->group_count = count;
    return WR_OK;
}

wr_status wr_gcs_core_tables(wr_gcs_core *core, const wr_gcs_request *request, wr_gcs_response *out,
                             wr_error *err) {
    memset(out, 0, sizeof *out);
    out->epoch = core->opts.epoch;
    out->cluster_id = core->opts.cluster_id;
    switch (request->call) {
    case WR_GCS_NODES:
        return fill_nodes(core, request, out, err);
    case WR_GCS_ACTORS:
        return fill_actors(core, request, out, err);
    case WR_GCS_JOBS:
        return fill_jobs(core, request, out, err);
    case WR_GCS_GROUPS:
        return fill_groups(core, request, out, err);
    case WR_GCS_HEALTH:
        out->count = core->view_count;
        return WR_OK;
    default:
        return WR_FAIL(err, WR_E_INVALID, "no table %d", (int)request->call);
    }
}

void wr_gcs_core_tables_done(wr_gcs_response *response) {
    wr_free((void *)(uintptr_t)response->nodes);
    wr_free((void *)(uintptr_t)response->actors);
    wr_free((void *)(uintptr_t)response->jobs);
    wr_free((void *)(uintptr_t)response->groups);
    memset(response, 0, sizeof *response);
}

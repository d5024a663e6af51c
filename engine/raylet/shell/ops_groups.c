/* Ops about placement groups. */
#include "raylet/shell/shell.h"

#include <stdio.h>
#include <string.h>

/* ---- Placement groups ---- */

static wr_status pg_fields(wr_shell *sh, uint32_t index, wr_error *err) {
    wr_core_group_info info;
    if (!wr_raylet_core_group_info(sh->core, index, &info)) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no such placement group");
    }
    wr_record_bytes(&sh->w, "pg", info.id.bytes, WR_PG_ID_BYTES);
    wr_record_int(&sh->w, "ready", (int64_t)info.ready);
    return WR_OK;
}

static wr_status ready_cell(wr_shell *sh, uint64_t *out, wr_error *err) {
    wr_task_spec spec = {.port = WR_PORT_NONE};
    wr_proc *proc = wr_keeper_proc(sh->keeper);
    WR_TRY(wr_proc_submit(proc, &spec, out, err));
    wr_proc_share(proc, *out);
    return WR_OK;
}

static wr_status pg_create(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                           wr_error *err) {
    (void)request;
    wr_record_value list, item;
    char strategy[32], name[NAME_MAX_BYTES], lifetime[16];
    wr_core_group_spec spec = {.job = conn->job};
    if (!wr_record_find(body, "bundles", &list) || list.type != 'l' || list.items == 0 ||
        list.items > WR_PG_BUNDLES_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "bundles: a list of 1 to %d", WR_PG_BUNDLES_MAX);
    }
    if (!wr_record_get_string(body, "strategy", strategy, sizeof strategy) ||
        !wr_pg_strategy_parse(wr_span_text(strategy), &spec.strategy)) {
        return WR_FAIL(err, WR_E_INVALID,
                       "strategy: '%s' is none of PACK, SPREAD, STRICT_PACK, STRICT_SPREAD", strategy);
    }
    (void)wr_record_get_string(body, "name", name, sizeof name);
    if (wr_record_get_string(body, "lifetime", lifetime, sizeof lifetime)) {
        spec.detached = strcmp(lifetime, "detached") == 0;
    }
    wr_res *bundles = shell_alloc(list.items * sizeof *bundles);
    uint32_t cursor = 0, count = 0;
    wr_status status = WR_OK;
    while (status == WR_OK && wr_record_item(&list, &cursor, &item)) {
        wr_record_writer w = {0}; /* the bundle as a field, for the one reader of such maps */
        const uint8_t *packed;
        uint32_t bytes;
        wr_record inner = wr_record_of(&item), outer;
        wr_record_begin(&w);
        wr_record_packed(&w, "bundle", inner.bytes, inner.count_bytes);
        status = wr_record_finish(&w, &packed, &bytes, err);
        if (status == WR_OK) {
            outer = (wr_record){packed, bytes};
            status = shell_read_resources(sh, &outer, "bundle", &bundles[count], err);
        }
        wr_record_done(&w);
        if (status == WR_OK && bundles[count].count == 0) {
            status = WR_FAIL(err, WR_E_INVALID, "bundle %u is empty", count);
        }
        count++;
    }
    spec.name = name;
    spec.bundles = bundles;
    spec.bundle_count = count;
    wr_core_worker_info worker;
    wr_core_actor_info owner;
    if (conn->kind == 2 && wr_raylet_core_worker_info(sh->core, conn->worker, &worker) &&
        wr_raylet_core_actor_info(sh->core, worker.actor, &owner)) {
        spec.owner = owner.spec->id;
    }
    wr_pg_id id;
    status = status == WR_OK ? ready_cell(sh, &spec.ready, err) : status;
    if (status == WR_OK) {
        status = wr_raylet_core_group_create(sh->core, wr_clock_ns(), &spec, &id, err);
        if (status != WR_OK) {
            wr_proc_unref(wr_keeper_proc(sh->keeper), spec.ready);
        }
    }
    wr_free(bundles);
    return status == WR_OK ? pg_fields(sh, wr_raylet_core_group_find(sh->core, &id, NULL), err) : status;
}

static wr_status pg_id_of(const wr_record *body, wr_pg_id *out, wr_error *err) {
    wr_record_value v;
    WR_TRY(shell_want_bytes(body, "pg", WR_PG_ID_BYTES, WR_PG_ID_BYTES, &v, err));
    memcpy(out->bytes, v.bytes, WR_PG_ID_BYTES);
    return WR_OK;
}

static wr_status pg_remove(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                           wr_error *err) {
    (void)request, (void)conn;
    wr_pg_id id;
    WR_TRY(pg_id_of(body, &id, err));
    wr_raylet_core_group_remove(sh->core, wr_clock_ns(), &id);
    return WR_OK;
}

static wr_status pg_get(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                        wr_error *err) {
    (void)request, (void)conn;
    char name[NAME_MAX_BYTES];
    (void)wr_record_get_string(body, "name", name, sizeof name);
    uint32_t index = wr_raylet_core_group_find(sh->core, NULL, name);
    if (index == WR_CORE_NONE) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no placement group called '%s'", name);
    }
    return pg_fields(sh, index, err);
}

static wr_status pg_wait(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                         wr_error *err) {
    (void)request, (void)conn;
    wr_pg_id id;
    WR_TRY(pg_id_of(body, &id, err));
    return pg_fields(sh, wr_raylet_core_group_find(sh->core, &id, NULL), err);
}

static wr_status pg_table(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                          wr_error *err) {
    (void)request, (void)conn, (void)err;
    wr_pg_id only;
    bool one = pg_id_of(body, &only, NULL) == WR_OK;
    uint32_t cursor = 0, index;
    wr_record_list_begin(&sh->w, "groups");
    while (wr_raylet_core_group_next(sh->core, &cursor, &index)) {
        wr_core_group_info g;
        if (!wr_raylet_core_group_info(sh->core, index, &g) ||
            (one && memcmp(&g.id, &only, sizeof only) != 0)) {
            continue;
        }
        wr_record_map_begin(&sh->w, NULL);
        wr_record_bytes(&sh->w, "pg", g.id.bytes, WR_PG_ID_BYTES);
        wr_record_string(&sh->w, "name", g.name);
        wr_record_string(&sh->w, "strategy", wr_pg_strategy_text((wr_pg_strategy)g.strategy));
        wr_record_string(&sh->w, "state", wr_pg_state_text(g.state));
        wr_record_string(&sh->w, "text", g.text);
        wr_record_int(&sh->w, "job", g.job);
        wr_record_int(&sh->w, "detached", g.detached);
        wr_record_list_begin(&sh->w, "bundles");
        for (uint32_t i = 0; i < g.bundle_count; i++) {
            shell_write_resources(sh, NULL, &g.bundles[i]);
        }
        wr_record_list_end(&sh->w);
        wr_record_list_begin(&sh->w, "nodes");
        for (uint32_t i = 0; i < g.bundle_count; i++) {
            wr_node_id node = wr_node_id_make(sh->cluster_id, g.nodes[i]);
            wr_record_bytes(&sh->w, NULL, node.bytes, g.nodes[i] != 0 ? WR_NODE_ID_BYTES : 0);
        }
        wr_record_list_end(&sh->w);
        wr_record_map_end(&sh->w);
    }
    wr_record_list_end(&sh->w);
    return WR_OK;
}

const shell_op shell_ops_groups[] = {
    {"pg_create", pg_create, true}, {"pg_remove", pg_remove, false}, {"pg_get", pg_get, false},
    {"pg_wait", pg_wait, false},    {"pg_table", pg_table, false},   {NULL, NULL, false},
};

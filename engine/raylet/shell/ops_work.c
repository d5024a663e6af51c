/* Ops of drivers and workers: hello, classes, functions, actors, assignment, cancel. */
#include "raylet/shell/shell.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* ---- Reading fields ---- */

wr_status shell_want_bytes(const wr_record *body, const char *name, uint32_t least, uint32_t most,
                           wr_record_value *out, wr_error *err) {
    if (!wr_record_find(body, name, out) || out->type != 'b' || out->count < least || out->count > most) {
        return WR_FAIL(err, WR_E_INVALID, "field '%s' must be %u to %u bytes", name, least, most);
    }
    return WR_OK;
}

wr_status shell_want_handle(const wr_record *body, const char *name, uint64_t *out, wr_error *err) {
    *out = (uint64_t)wr_record_get_int(body, name, 0);
    return *out != 0 ? WR_OK : WR_FAIL(err, WR_E_INVALID, "field '%s' must be a handle", name);
}

/* A map of names and amounts. */
wr_status shell_read_resources(wr_shell *sh, const wr_record *body, const char *field, wr_res *out,
                               wr_error *err) {
    memset(out, 0, sizeof *out);
    wr_record map;
    if (!wr_record_get_map(body, field, &map)) {
        return WR_OK;
    }
    wr_res_names *names = wr_raylet_core_names(sh->core);
    uint32_t cursor = 0, bytes;
    const char *name;
    wr_record_value v;
    while (wr_record_next(&map, &cursor, &name, &bytes, &v)) {
        uint32_t number;
        int64_t units;
        if (v.type != 'd' && v.type != 'i') {
            return WR_FAIL(err, WR_E_INVALID, "%s: '%.*s' is no number", field, (int)bytes, name);
        }
        WR_TRY(wr_res_names_intern(names, wr_span_of(name, bytes), &number, err));
        wr_status status = wr_res_units_from_double(v.type == 'd' ? v.d : (double)v.i, &units, err);
        if (status != WR_OK) {
            wr_error_prefix(err, "%s: '%.*s'", field, (int)bytes, name);
            return status;
        }
        if (units != 0) {
            WR_TRY(wr_res_set(out, number, units, err));
        }
    }
    return WR_OK;
}

static wr_status read_strategy(wr_shell *sh, const wr_record *body, wr_strategy *out, wr_error *err) {
    memset(out, 0, sizeof *out);
    wr_record map;
    char kind[32];
    if (!wr_record_get_map(body, "strategy", &map) ||
        !wr_record_get_string(&map, "kind", kind, sizeof kind)) {
        return WR_OK;
    }
    wr_record_value v;
    if (strcmp(kind, "DEFAULT") == 0) {
        out->kind = WR_STRATEGY_DEFAULT;
    } else if (strcmp(kind, "SPREAD") == 0) {
        out->kind = WR_STRATEGY_SPREAD;
    } else if (strcmp(kind, "NODE_AFFINITY") == 0) {
        WR_TRY(shell_want_bytes(&map, "node_id", WR_INCARNATION_BYTES, WR_NODE_ID_BYTES, &v, err));
        wr_node_id id = {{0}};
        memcpy(id.bytes, v.bytes, v.count);
        out->kind = WR_STRATEGY_NODE_AFFINITY;
        out->soft = wr_record_get_int(&map, "soft", 0) != 0;
        out->node = wr_node_id_incarnation(&id);
        if (wr_node_id_cluster(&id) != sh->cluster_id || out->node == 0) {
            out->node = UINT32_MAX; /* another cluster's: no node has it */
        }
    } else if (strcmp(kind, "PLACEMENT_GROUP") == 0) {
        WR_TRY(shell_want_bytes(&map, "pg", WR_PG_ID_BYTES, WR_PG_ID_BYTES, &v, err));
        out->kind = WR_STRATEGY_PLACEMENT_GROUP;
        memcpy(out->pg.bytes, v.bytes, WR_PG_ID_BYTES);
        out->bundle = (int32_t)wr_record_get_int(&map, "bundle", -1);
        out->capture = wr_record_get_int(&map, "capture", 0) != 0;
    } else {
        return WR_FAIL(err, WR_E_INVALID, "strategy: there is no kind '%s'", kind);
    }
    return WR_OK;
}

/* "key=value,..." of a map of texts, in the order of the names. */
static wr_status read_labels(const wr_record *body, wr_class *cls, wr_error *err) {
    wr_record map;
    if (!wr_record_get_map(body, "labels", &map)) {
        return WR_OK;
    }
    uint32_t cursor = 0, bytes, used = 0;
    const char *name;
    wr_record_value v;
    while (wr_record_next(&map, &cursor, &name, &bytes, &v)) {
        int n = snprintf(cls->labels + used, sizeof cls->labels - used, "%s%.*s=%.*s", used > 0 ? "," : "",
                         (int)bytes, name, (int)v.count, v.type == 's' ? (const char *)v.bytes : "");
        if (v.type != 's' || n < 0 || (size_t)n >= sizeof cls->labels - used) {
            return WR_FAIL(err, WR_E_INVALID, "labels: '%.*s' is no text, or all are too long", (int)bytes,
                           name);
        }
        used += (uint32_t)n;
    }
    cls->labels_bytes = used;
    return wr_labels_check(wr_span_of(cls->labels, used), err);
}

wr_status shell_read_class(wr_shell *sh, const shell_conn *conn, const wr_record *body, wr_class *out,
                           wr_error *err) {
    shell_job *job = shell_job_of(sh, conn->job);
    if (job == NULL) {
        return WR_FAIL(err, WR_E_STATE, "the job of this process has ended");
    }
    memset(out, 0, sizeof *out);
    out->job = conn->job;
    char language[16];
    wr_record config = {job->config, job->config_bytes};
    if (!wr_record_get_string(body, "language", language, sizeof language) &&
        !wr_record_get_string(&config, "language", language, sizeof language)) {
        snprintf(language, sizeof language, "python");
    }
    if (strcmp(language, "c") != 0 && strcmp(language, "python") != 0) {
        return WR_FAIL(err, WR_E_INVALID, "language: '%s' is neither \"python\" nor \"c\"", language);
    }
    out->language = strcmp(language, "c") == 0 ? WR_LANGUAGE_C : WR_LANGUAGE_PYTHON;
    out->env_hash = job->env_hash;
    wr_record_value env;
    if (wr_record_find(body, "runtime_env", &env) && env.type == 's' && env.count > 0) {
        char *text = shell_alloc(env.count + 1u);
        memcpy(text, env.bytes, env.count);
        out->env_hash = shell_env_of(sh, text);
        wr_free(text);
    }
    WR_TRY(shell_read_resources(sh, body, "resources", &out->resources, err));
    WR_TRY(shell_read_resources(sh, body, "placement_resources", &out->place, err));
    WR_TRY(read_strategy(sh, body, &out->strategy, err));
    return read_labels(body, out, err);
}

/* ---- Classes, ports, functions ---- */

void shell_write_generation(wr_shell *sh, uint16_t port) {
    wr_port_info info;
    wr_keeper_port_info(sh->keeper, port, &info);
    wr_record_int(&sh->w, "generation", info.generation);
}

enum { CLOSED_AT_ONCE = 256 };

/* A class that was just opened is about to be used: its ring is not taken for another. */
#define SCARCE_AGE_NS (100ull * 1000 * 1000)

bool shell_ports_scarce(const wr_shell *sh) {
    const wr_pool_geometry *g = wr_pool_geometry_of(sh->pool);
    uint32_t ports, rings;
    wr_keeper_taken(sh->keeper, &ports, &rings);
    return ports > g->ports / 4 * 3 || rings > g->rings / 4 * 3;
}

bool shell_classes_tend(wr_shell *sh, bool scarce, uint64_t since_ns) {
    uint16_t ports[CLOSED_AT_ONCE];
    uint32_t count =
        wr_raylet_core_class_unused(sh->core, wr_clock_ns(), scarce, since_ns, ports, CLOSED_AT_ONCE);
    if (count == 0) {
        return false;
    }
    const uint32_t closed = wr_keeper_ports_close_unused(sh->keeper, ports, count);
    for (uint32_t i = 0; i < closed; i++) {
        shell_port_cause_drop(sh, ports[i]);
        wr_raylet_core_class_closed(sh->core, ports[i]);
    }
    if (closed > 0) {
        WR_LOG_INFO("classes.closed", "count=%u of=%u scarce=%d", closed, count, scarce);
    }
    return closed > 0;
}

wr_status shell_port_open(wr_shell *sh, bool actor, uint16_t *out, wr_error *err) {
    wr_status status = wr_keeper_port_open(sh->keeper, actor, out, err);
    if (status == WR_E_LIMIT && shell_classes_tend(sh, true, 0)) {
        status = wr_keeper_port_open(sh->keeper, actor, out, err);
    }
    return status;
}

wr_status shell_ring_open(wr_shell *sh, uint16_t port, uint32_t slot, uint32_t *out, wr_error *err) {
    wr_status status = wr_keeper_ring_open(sh->keeper, port, slot, out, err);
    if (status == WR_E_LIMIT && shell_classes_tend(sh, true, SCARCE_AGE_NS)) {
        status = wr_keeper_ring_open(sh->keeper, port, slot, out, err);
    }
    return status;
}

static wr_status class_open(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                            wr_error *err) {
    (void)request;
    wr_class cls;
    uint32_t ring;
    WR_TRY(shell_read_class(sh, conn, body, &cls, err));
    uint16_t port = wr_raylet_core_class_find(sh->core, &cls);
    if (port == WR_PORT_NONE) {
        WR_TRY(wr_raylet_core_class_check(sh->core, &cls, err));
        WR_TRY(shell_port_open(sh, false, &port, err));
        wr_status status = wr_raylet_core_class_add(sh->core, wr_clock_ns(), &cls, port, err);
        if (status != WR_OK) {
            wr_keeper_port_close(sh->keeper, port);
            return status;
        }
    }
    wr_raylet_core_class_used(sh->core, wr_clock_ns(), port);
    WR_TRY(shell_ring_open(sh, port, conn->slot, &ring, err));
    char why[512];
    bool feasible = wr_raylet_core_class_feasible(sh->core, &cls, why, sizeof why);
    wr_record_int(&sh->w, "port", port);
    wr_record_int(&sh->w, "ring", ring);
    shell_write_generation(sh, port);
    wr_record_int(&sh->w, "feasible", feasible);
    wr_record_string(&sh->w, "reason", why);
    return WR_OK;
}

static wr_status port_open(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                           wr_error *err) {
    (void)request;
    int64_t number = wr_record_get_int(body, "port", -1);
    uint64_t handle = (uint64_t)wr_record_get_int(body, "actor", 0);
    wr_port_info info = {.state = WR_PORT_CLOSED};
    uint32_t ring = 0;
    if (number >= 0 && number < wr_pool_geometry_of(sh->pool)->ports) {
        wr_keeper_port_info(sh->keeper, (uint16_t)number, &info);
    }
    uint16_t port = (uint16_t)number;
    if (info.state == WR_PORT_CLOSED) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "port %lld is not open: what it belonged to is gone",
                       (long long)number);
    }
    wr_core_actor_info actor;
    bool known = wr_raylet_core_actor_info(sh->core, wr_raylet_core_actor_of_port(sh->core, port), &actor);
    if (handle != 0 && (!known || actor.spec->handle != handle)) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "port %u is not that actor's any more", port);
    }
    WR_TRY(shell_ring_open(sh, port, conn->slot, &ring, err));
    wr_record_int(&sh->w, "ring", ring);
    wr_record_int(&sh->w, "generation", info.generation);
    wr_record_int(&sh->w, "state", info.state);
    wr_record_int(&sh->w, "cause", (int64_t)sh->port_causes[port]);
    return WR_OK;
}

/* The bytes also go to the GCS, where other nodes will find them. */
static void store_function(wr_shell *sh, uint32_t job, wr_span digest, uint64_t ref) {
    wr_result result;
    wr_error err;
    if (wr_cell_result(sh->pool, ref, &result) != WR_OK) {
        return;
    }
    wr_span value = wr_span_of(result.inline_bytes, result.bytes);
    wr_block_view view;
    if (result.location == WR_AT_HEAP) {
        if (wr_block_open(sh->pool, result.offset, &view, &err) != WR_OK ||
            view.header.stream_bytes > 4u << 20 || view.header.buffer_count > 0) {
            return; /* too large for the store of small things: other nodes fetch it as an object */
        }
        value = wr_span_of(view.stream, (uint32_t)view.header.stream_bytes);
    }
    uint8_t space[4] = {(uint8_t)job, (uint8_t)(job >> 8), (uint8_t)(job >> 16), (uint8_t)(job >> 24)};
    wr_gcs_request request = {.call = WR_GCS_FUNCTION_PUT,
                              .name_space = wr_span_of(space, 4),
                              .key = digest,
                              .value = value,
                              .timeout_ns = 30ull * 1000 * 1000 * 1000};
    if (shell_gcs_call(sh, 0, &request, &err) != WR_OK) {
        WR_LOG_WARN("function.not_stored", "text=%s", err.text);
    }
}

static wr_status function_export(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                                 wr_error *err) {
    (void)request;
    wr_record_value digest, meta = {0};
    uint64_t ref;
    WR_TRY(shell_want_bytes(body, "digest", 1, sizeof sh->functions->digest, &digest, err));
    WR_TRY(shell_want_handle(body, "ref", &ref, err));
    uint32_t at = 0;
    for (; at < sh->function_count; at++) {
        const shell_function *f = &sh->functions[at];
        if (f->job == conn->job && f->digest_bytes == digest.count &&
            memcmp(f->digest, digest.bytes, digest.count) == 0) {
            wr_record_int(&sh->w, "function", at + 1);
            return WR_OK;
        }
    }
    if (at >= 0x7ffffff0u) {
        return WR_FAIL(err, WR_E_LIMIT, "too many functions");
    }
    if (wr_cell_state_of(sh->pool, ref) != WR_CELL_SEALED) {
        return WR_FAIL(err, WR_E_INVALID, "field 'ref' does not name a stored object");
    }
    char name[NAME_MAX_BYTES];
    (void)wr_record_get_string(body, "name", name, sizeof name);
    if (wr_record_find(body, "meta", &meta) && meta.type != 'b') {
        meta.count = 0;
    }
    void *functions = sh->functions;
    shell_reserve(&functions, &sh->function_capacity, at + 1, sizeof *sh->functions);
    sh->functions = functions;
    shell_function *f = &sh->functions[sh->function_count++];
    *f = (shell_function){.job = conn->job,
                          .digest_bytes = digest.count,
                          .meta_bytes = meta.count,
                          .ref = ref,
                          .name = shell_text(name),
                          .meta = shell_alloc(meta.count + 1u)};
    memcpy(f->digest, digest.bytes, digest.count);
    if (meta.count > 0) {
        memcpy(f->meta, meta.bytes, meta.count);
    }
    wr_keeper_hold(sh->keeper, ref);
    store_function(sh, conn->job, wr_span_of(f->digest, f->digest_bytes), ref);
    wr_record_int(&sh->w, "function", at + 1);
    return WR_OK;
}

static wr_status function_get(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                              wr_error *err) {
    (void)request, (void)conn;
    int64_t number = wr_record_get_int(body, "function", 0);
    if (number < 1 || number > sh->function_count || sh->functions[number - 1].ref == 0) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no function %lld (its job may have ended)",
                       (long long)number);
    }
    const shell_function *f = &sh->functions[number - 1];
    wr_record_int(&sh->w, "ref", (int64_t)f->ref);
    wr_record_string(&sh->w, "name", f->name);
    wr_record_bytes(&sh->w, "meta", f->meta, f->meta_bytes);
    return WR_OK;
}

/* ---- What a worker does ---- */

void shell_write_resources(wr_shell *sh, const char *name, const wr_res *res) {
    wr_record_map_begin(&sh->w, name);
    for (uint32_t i = 0; i < res->count; i++) {
        wr_record_double(&sh->w, wr_res_names_text(wr_raylet_core_names(sh->core), res->items[i].name),
                         wr_res_units_to_double(res->items[i].units));
    }
    wr_record_map_end(&sh->w);
}

static wr_status assignment(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                            wr_error *err) {
    (void)request, (void)body;
    WR_TRY(shell_need_worker(conn, err));
    wr_core_assignment a;
    wr_raylet_core_assignment(sh->core, wr_clock_ns(), conn->worker, &a);
    static const char *const kinds[] = {"none", "class", "actor", "exit"};
    wr_record_string(&sh->w, "kind", kinds[a.kind]);
    wr_record_int(&sh->w, "word", a.word);
    if (a.kind != WR_ASSIGNED_CLASS && a.kind != WR_ASSIGNED_ACTOR) {
        return WR_OK;
    }
    uint32_t ring;
    WR_TRY(shell_ring_open(sh, a.port, conn->slot, &ring, err));
    wr_record_int(&sh->w, "port", a.port);
    wr_record_int(&sh->w, "ring", ring);
    shell_write_generation(sh, a.port);
    shell_write_resources(sh, "resources", a.resources);
    wr_record_list_begin(&sh->w, "gpu_ids");
    for (uint32_t i = 0; i < WR_GPUS_MAX; i++) {
        if ((a.gpus.devices >> i & 1) != 0) {
            char plain[16];
            snprintf(plain, sizeof plain, "%u", i);
            wr_record_string(&sh->w, NULL, sh->gpu_ids[i][0] != 0 ? sh->gpu_ids[i] : plain);
        }
    }
    wr_record_list_end(&sh->w);
    if (!wr_pg_id_is_none(&a.pg)) {
        wr_record_bytes(&sh->w, "pg", a.pg.bytes, WR_PG_ID_BYTES);
        wr_record_int(&sh->w, "bundle", a.bundle);
        wr_record_int(&sh->w, "capture", a.capture);
    }
    wr_core_actor_info info;
    if (a.kind == WR_ASSIGNED_ACTOR && wr_raylet_core_actor_info(sh->core, a.actor, &info)) {
        const wr_core_actor_spec *s = info.spec;
        wr_record_int(&sh->w, "handle", (int64_t)s->handle);
        wr_record_int(&sh->w, "ctor", (int64_t)s->ctor);
        wr_record_int(&sh->w, "function", s->function);
        wr_record_bytes(&sh->w, "actor_id", s->id.bytes, WR_ACTOR_ID_BYTES);
        wr_record_string(&sh->w, "name", s->name);
        wr_record_string(&sh->w, "namespace", s->name_space);
        wr_record_string(&sh->w, "class_name", s->class_name);
        wr_record_int(&sh->w, "max_concurrency", s->max_concurrency);
        wr_record_bytes(&sh->w, "groups", s->groups.data, s->groups.bytes);
        wr_record_int(&sh->w, "asyncio", s->asyncio);
        wr_record_int(&sh->w, "restarts", info.restarts);
        wr_record_int(&sh->w, "max_task_retries", s->max_task_retries);
    }
    return WR_OK;
}

static wr_status bye(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)err;
    char reason[SHELL_TEXT_MAX];
    (void)wr_record_get_string(body, "reason", reason, sizeof reason);
    conn->bye = true;
    if (conn->kind == 2 && conn->worker != WR_CORE_NONE) {
        wr_raylet_core_worker_bye(sh->core, conn->worker, wr_record_get_int(body, "intended", 0) != 0,
                                  reason);
    }
    return WR_OK;
}

static shell_worker *worker_of_slot(wr_shell *sh, uint32_t slot, uint32_t *out_index) {
    for (uint32_t i = 0; i < sh->worker_capacity; i++) {
        if (sh->workers[i] != NULL && sh->workers[i]->slot == slot) {
            *out_index = i;
            return sh->workers[i];
        }
    }
    return NULL;
}

/* A Python worker takes SIGINT as the sign to fetch what it shall cancel, also in the middle of a sleep; others look at the
 * word of their slot. */
static void ask_to_cancel(shell_worker *w, uint64_t handle, bool recursive) {
    for (uint32_t k = 0; k < w->cancel_count; k++) {
        if (w->cancels[k].handle == handle) {
            w->cancels[k].recursive |= recursive;
            return;
        }
    }
    if (w->cancel_count == SHELL_CANCELS_MAX) { /* it does not fetch them: the newest count */
        memmove(w->cancels, w->cancels + 1, --w->cancel_count * sizeof *w->cancels);
    }
    void *cancels = w->cancels;
    shell_reserve(&cancels, &w->cancel_capacity, w->cancel_count + 1, sizeof *w->cancels);
    w->cancels = cancels;
    w->cancels[w->cancel_count++] = (struct shell_cancel){.handle = handle, .recursive = recursive};
    shell_kill(w->proc, SIGINT);
}

static wr_status cancel(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                        wr_error *err) {
    (void)request, (void)conn;
    uint64_t handle;
    uint32_t slot = 0, epoch = 0, index = 0;
    WR_TRY(shell_want_handle(body, "handle", &handle, err));
    const bool force = wr_record_get_int(body, "force", 0) != 0;
    if (force && wr_cell_is_actor_call(sh->pool, handle)) {
        return WR_FAIL(err, WR_E_INVALID, "force=True is not possible for calls of actors");
    }
    const bool runs = wr_cell_runner(sh->pool, handle, &slot, &epoch) && slot != WR_SLOT_RAYLET;
    wr_record_int(&sh->w, "asked", runs);
    if (!runs) {
        return WR_OK;
    }
    if (!force) {
        wr_keeper_want_cancel(sh->keeper, slot, handle);
    }
    shell_worker *w = worker_of_slot(sh, slot, &index);
    wr_core_worker_info info;
    if (w == NULL || !wr_raylet_core_worker_info(sh->core, index, &info)) {
        return WR_OK;
    }
    if (force) {
        w->cancelled = handle;
        wr_raylet_core_worker_kill(sh->core, index, WR_E_CANCELLED, "the task was cancelled by force");
    } else if (info.language == WR_LANGUAGE_PYTHON && w->proc != NULL) {
        ask_to_cancel(w, handle, wr_record_get_int(body, "recursive", 0) != 0);
    }
    return WR_OK;
}

/* A recursive one is the worker's: it alone knows what its task submitted. */
static wr_status cancels(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                         wr_error *err) {
    (void)request, (void)body;
    WR_TRY(shell_need_worker(conn, err));
    shell_worker *w = sh->workers[conn->worker];
    wr_record_list_begin(&sh->w, "tasks");
    for (uint32_t k = 0; k < w->cancel_count; k++) {
        wr_record_map_begin(&sh->w, NULL);
        wr_record_int(&sh->w, "handle", (int64_t)w->cancels[k].handle);
        wr_record_int(&sh->w, "recursive", w->cancels[k].recursive);
        wr_record_map_end(&sh->w);
    }
    wr_record_list_end(&sh->w);
    w->cancel_count = 0;
    return WR_OK;
}

const shell_op shell_ops_work[] = {
    {"bye", bye, false},
    {"class_open", class_open, true},
    {"port_open", port_open, true},
    {"function_export", function_export, true},
    {"function_get", function_get, true},
    {"assignment", assignment, true},
    {"cancel", cancel, true},
    {"cancels", cancels, true},
    {"fork_next", shell_fork_next, false},
    {"fork_done", shell_fork_done, false},
    {"fork_failed", shell_fork_failed, false},
    {"fork_exited", shell_fork_exited, false},
    {"log_poll", shell_log_poll, false},
    {NULL, NULL, false},
};

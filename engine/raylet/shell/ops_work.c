/* Ops of drivers and workers: hello, classes, functions, actors, assignment, cancel. */
#include "raylet/shell/shell.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 512 };

/* ---- Reading fields ---- */

static wr_status want_bytes(const wr_record *body, const char *name, uint32_t least, uint32_t most, wr_record_value *out,
                            wr_error *err) {
    if (!wr_record_find(body, name, out) || out->type != 'b' || out->count < least || out->count > most) {
        return WR_FAIL(err, WR_E_INVALID, "field '%s' must be %u to %u bytes", name, least, most);
    }
    return WR_OK;
}

static wr_status want_handle(const wr_record *body, const char *name, uint64_t *out, wr_error *err) {
    *out = (uint64_t)wr_record_get_int(body, name, 0);
    return *out != 0 ? WR_OK : WR_FAIL(err, WR_E_INVALID, "field '%s' must be a handle", name);
}

/* A map of names and amounts. */
static wr_status read_resources(wr_shell *sh, const wr_record *body, const char *field, wr_res *out, wr_error *err) {
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
    if (!wr_record_get_map(body, "strategy", &map) || !wr_record_get_string(&map, "kind", kind, sizeof kind)) {
        return WR_OK;
    }
    wr_record_value v;
    if (strcmp(kind, "DEFAULT") == 0) {
        out->kind = WR_STRATEGY_DEFAULT;
    } else if (strcmp(kind, "SPREAD") == 0) {
        out->kind = WR_STRATEGY_SPREAD;
    } else if (strcmp(kind, "NODE_AFFINITY") == 0) {
        WR_TRY(want_bytes(&map, "node_id", WR_INCARNATION_BYTES, WR_NODE_ID_BYTES, &v, err));
        wr_node_id id = {{0}};
        memcpy(id.bytes, v.bytes, v.count);
        out->kind = WR_STRATEGY_NODE_AFFINITY;
        out->soft = wr_record_get_int(&map, "soft", 0) != 0;
        out->node = wr_node_id_incarnation(&id);
        if (wr_node_id_cluster(&id) != sh->cluster_id || out->node == 0) {
            out->node = UINT32_MAX; /* another cluster's: no node has it */
        }
    } else if (strcmp(kind, "PLACEMENT_GROUP") == 0) {
        WR_TRY(want_bytes(&map, "pg", WR_PG_ID_BYTES, WR_PG_ID_BYTES, &v, err));
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
        int n = snprintf(cls->labels + used, sizeof cls->labels - used, "%s%.*s=%.*s", used > 0 ? "," : "", (int)bytes, name,
                         (int)v.count, v.type == 's' ? (const char *)v.bytes : "");
        if (v.type != 's' || n < 0 || (size_t)n >= sizeof cls->labels - used) {
            return WR_FAIL(err, WR_E_INVALID, "labels: '%.*s' is no text, or all are too long", (int)bytes, name);
        }
        used += (uint32_t)n;
    }
    cls->labels_bytes = used;
    return wr_labels_check(wr_span_of(cls->labels, used), err);
}

static wr_status read_class(wr_shell *sh, const shell_conn *conn, const wr_record *body, wr_class *out, wr_error *err) {
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
    WR_TRY(read_resources(sh, body, "resources", &out->resources, err));
    WR_TRY(read_resources(sh, body, "placement_resources", &out->place, err));
    WR_TRY(read_strategy(sh, body, &out->strategy, err));
    return read_labels(body, out, err);
}

/* ---- Classes, ports, functions ---- */

static wr_status class_open(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request;
    wr_class cls;
    uint32_t ring;
    WR_TRY(read_class(sh, conn, body, &cls, err));
    uint16_t port = wr_raylet_core_class_find(sh->core, &cls);
    if (port == WR_PORT_NONE) {
        WR_TRY(wr_raylet_core_class_check(sh->core, &cls, err));
        WR_TRY(wr_keeper_port_open(sh->keeper, false, &port, err));
        wr_status status = wr_raylet_core_class_add(sh->core, wr_clock_ns(), &cls, port, err);
        if (status != WR_OK) {
            wr_keeper_port_close(sh->keeper, port);
            return status;
        }
    }
    WR_TRY(wr_keeper_ring_open(sh->keeper, port, conn->slot, &ring, err));
    char why[512];
    bool feasible = wr_raylet_core_class_feasible(sh->core, &cls, why, sizeof why);
    wr_record_int(&sh->w, "port", port);
    wr_record_int(&sh->w, "ring", ring);
    wr_record_int(&sh->w, "feasible", feasible);
    wr_record_string(&sh->w, "reason", why);
    return WR_OK;
}

static wr_status port_open(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
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
        return WR_FAIL(err, WR_E_NOT_FOUND, "port %lld is not open: what it belonged to is gone", (long long)number);
    }
    wr_core_actor_info actor;
    bool known = wr_raylet_core_actor_info(sh->core, wr_raylet_core_actor_of_port(sh->core, port), &actor);
    if (handle != 0 && (!known || actor.spec->handle != handle)) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "port %u is not that actor's any more", port);
    }
    WR_TRY(wr_keeper_ring_open(sh->keeper, port, conn->slot, &ring, err));
    wr_record_int(&sh->w, "ring", ring);
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
        if (wr_block_open(sh->pool, result.offset, &view, &err) != WR_OK || view.header.stream_bytes > 4u << 20 ||
            view.header.buffer_count > 0) {
            return; /* too large for the store of small things: other nodes fetch it as an object */
        }
        value = wr_span_of(view.stream, (uint32_t)view.header.stream_bytes);
    }
    uint8_t space[4] = {(uint8_t)job, (uint8_t)(job >> 8), (uint8_t)(job >> 16), (uint8_t)(job >> 24)};
    wr_gcs_request request = {.call = WR_GCS_FUNCTION_PUT, .name_space = wr_span_of(space, 4), .key = digest, .value = value,
                              .timeout_ns = 30ull * 1000 * 1000 * 1000};
    if (shell_gcs_call(sh, 0, &request, &err) != WR_OK) {
        WR_LOG_WARN("function.not_stored", "text=%s", err.text);
    }
}

static wr_status function_export(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request;
    wr_record_value digest, meta = {0};
    uint64_t ref;
    WR_TRY(want_bytes(body, "digest", 1, sizeof sh->functions->digest, &digest, err));
    WR_TRY(want_handle(body, "ref", &ref, err));
    uint32_t at = 0;
    for (; at < sh->function_count; at++) {
        const shell_function *f = &sh->functions[at];
        if (f->job == conn->job && f->digest_bytes == digest.count && memcmp(f->digest, digest.bytes, digest.count) == 0) {
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
    *f = (shell_function){.job = conn->job, .digest_bytes = digest.count, .meta_bytes = meta.count, .ref = ref,
                          .name = shell_text(name), .meta = shell_alloc(meta.count + 1u)};
    memcpy(f->digest, digest.bytes, digest.count);
    if (meta.count > 0) {
        memcpy(f->meta, meta.bytes, meta.count);
    }
    wr_keeper_hold(sh->keeper, ref);
    store_function(sh, conn->job, wr_span_of(f->digest, f->digest_bytes), ref);
    wr_record_int(&sh->w, "function", at + 1);
    return WR_OK;
}

static wr_status function_get(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)conn;
    int64_t number = wr_record_get_int(body, "function", 0);
    if (number < 1 || number > sh->function_count || sh->functions[number - 1].ref == 0) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no function %lld (its job may have ended)", (long long)number);
    }
    const shell_function *f = &sh->functions[number - 1];
    wr_record_int(&sh->w, "ref", (int64_t)f->ref);
    wr_record_string(&sh->w, "name", f->name);
    wr_record_bytes(&sh->w, "meta", f->meta, f->meta_bytes);
    return WR_OK;
}

/* ---- Actors ---- */

static wr_status actor_fields(wr_shell *sh, uint32_t slot, uint32_t actor, bool existed, wr_error *err) {
    wr_core_actor_info info;
    uint32_t ring;
    if (!wr_raylet_core_actor_info(sh->core, actor, &info)) {
        return WR_FAIL(err, WR_E_ACTOR_DIED, "the actor has ended meanwhile");
    }
    const wr_core_actor_spec *s = info.spec;
    if (slot != 0) {
        WR_TRY(wr_keeper_ring_open(sh->keeper, s->port, slot, &ring, err));
        wr_record_int(&sh->w, "ring", ring);
    }
    wr_record_int(&sh->w, "port", s->port);
    wr_record_bytes(&sh->w, "actor_id", s->id.bytes, WR_ACTOR_ID_BYTES);
    wr_record_int(&sh->w, "existed", existed);
    wr_record_int(&sh->w, "handle", (int64_t)s->handle);
    wr_record_bytes(&sh->w, "meta", s->meta.data, s->meta.bytes);
    wr_record_int(&sh->w, "function", s->function);
    wr_record_string(&sh->w, "class_name", s->class_name);
    wr_record_int(&sh->w, "max_task_retries", s->max_task_retries);
    char why[512];
    wr_record_int(&sh->w, "feasible", wr_raylet_core_class_feasible(sh->core, &s->cls, why, sizeof why));
    wr_record_string(&sh->w, "reason", why);
    return WR_OK;
}

static wr_status read_actor(wr_shell *sh, const shell_conn *conn, const wr_record *body, wr_core_actor_spec *spec,
                            char texts[3][NAME_MAX_BYTES], wr_error *err) {
    char lifetime[16];
    wr_record_value v;
    memset(spec, 0, sizeof *spec);
    WR_TRY(want_handle(body, "handle", &spec->handle, err));
    WR_TRY(want_handle(body, "ctor", &spec->ctor, err));
    if (wr_cell_state_of(sh->pool, spec->handle) != WR_CELL_SEALED || wr_cell_state_of(sh->pool, spec->ctor) == WR_CELL_FREE) {
        return WR_FAIL(err, WR_E_INVALID, "fields 'handle' and 'ctor' must name an object and a parked task");
    }
    WR_TRY(read_class(sh, conn, body, &spec->cls, err));
    spec->function = (uint32_t)wr_record_get_int(body, "function", 0);
    spec->max_restarts = (int32_t)wr_record_get_int(body, "max_restarts", 0);
    spec->max_task_retries = (int32_t)wr_record_get_int(body, "max_task_retries", 0);
    spec->max_concurrency = (int32_t)wr_record_get_int(body, "max_concurrency", 1);
    spec->asyncio = wr_record_get_int(body, "asyncio", 0) != 0;
    spec->get_if_exists = wr_record_get_int(body, "get_if_exists", 0) != 0;
    if (wr_record_get_string(body, "lifetime", lifetime, sizeof lifetime) && lifetime[0] != 0) {
        spec->detached = strcmp(lifetime, "detached") == 0;
        if (!spec->detached && strcmp(lifetime, "non_detached") != 0) {
            return WR_FAIL(err, WR_E_INVALID, "lifetime: '%s' is neither \"detached\" nor \"non_detached\"", lifetime);
        }
    }
    const char *fields[3] = {"class_name", "name", "namespace"};
    for (int i = 0; i < 3; i++) {
        if (wr_record_find(body, fields[i], &v) && v.type == 's' && !wr_record_get_string(body, fields[i], texts[i], NAME_MAX_BYTES)) {
            return WR_FAIL(err, WR_E_INVALID, "%s: longer than %d bytes, or it has a zero byte", fields[i], NAME_MAX_BYTES - 1);
        }
        (void)wr_record_get_string(body, fields[i], texts[i], NAME_MAX_BYTES);
    }
    if (texts[2][0] == 0) {
        snprintf(texts[2], NAME_MAX_BYTES, "%s", shell_job_of(sh, conn->job)->name_space);
    }
    spec->class_name = texts[0];
    spec->name = texts[1];
    spec->name_space = texts[2];
    if (wr_record_find(body, "groups", &v) && v.type == 'b') {
        spec->groups = wr_span_of(v.bytes, v.count);
    }
    if (wr_record_find(body, "meta", &v) && v.type == 'b') {
        spec->meta = wr_span_of(v.bytes, v.count);
    }
    wr_object_id id = wr_object_id_make(&sh->node_id, conn->job, spec->handle, 0);
    memcpy(spec->id.bytes, id.bytes + WR_TASK_ID_BYTES - WR_ACTOR_ID_BYTES, WR_ACTOR_ID_BYTES);
    return WR_OK;
}

static wr_status actor_create(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    wr_core_actor_spec spec;
    char texts[3][NAME_MAX_BYTES] = {{0}};
    uint32_t actor;
    WR_TRY(read_actor(sh, conn, body, &spec, texts, err));
    WR_TRY(wr_keeper_port_open(sh->keeper, true, &spec.port, err));
    bool named = spec.name[0] != 0;
    uint64_t ticket = named ? shell_ticket_new(sh, conn, request, TICKET_CREATE) : 0;
    wr_status status = wr_raylet_core_actor_create(sh->core, wr_clock_ns(), ticket, &spec, &actor, err);
    if (status != WR_OK) {
        shell_ticket taken;
        wr_keeper_port_close(sh->keeper, spec.port);
        (void)shell_ticket_take(sh, ticket, &taken);
        return status;
    }
    return named ? WR_E_AGAIN : actor_fields(sh, conn->slot, actor, false, err);
}

/* How unlike two names are: edits, at most `limit` + 1. */
static uint32_t distance(const char *a, const char *b) {
    uint32_t row[64], n = (uint32_t)strlen(b);
    if (n >= WR_COUNT_OF(row) || strlen(a) >= WR_COUNT_OF(row)) {
        return UINT32_MAX;
    }
    for (uint32_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (uint32_t i = 1; a[i - 1] != 0; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= n; j++) {
            uint32_t change = diagonal + (a[i - 1] != b[j - 1]), best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[n];
}

static void no_such_name(wr_shell *sh, const shell_ticket *t, const char *name, const char *space, wr_error *err) {
    (void)t;
    WR_FAIL(err, WR_E_NOT_FOUND, "there is no actor called '%s' in namespace '%s'", name, space);
    uint32_t cursor = 0, actor, best = 4;
    wr_core_actor_info info;
    char nearest[NAME_MAX_BYTES] = "";
    while (wr_raylet_core_actor_next(sh->core, &cursor, &actor)) {
        if (wr_raylet_core_actor_info(sh->core, actor, &info) && info.spec->name[0] != 0 && info.state != WR_ACTOR_DEAD) {
            bool same = strcmp(info.spec->name, name) == 0; /* then it is in another namespace */
            uint32_t d = same ? 0 : distance(name, info.spec->name);
            if (d < best) {
                best = d;
                snprintf(nearest, sizeof nearest, "there is '%s' in namespace '%s'", info.spec->name, info.spec->name_space);
            }
        }
    }
    if (nearest[0] != 0) {
        wr_error_hint(err, "%s", nearest);
    }
}

void shell_actor_reply(wr_shell *sh, const wr_core_cmd *cmd) {
    shell_ticket t;
    shell_conn *conn = shell_ticket_take(sh, cmd->ticket, &t);
    if (conn == NULL) {
        return;
    }
    wr_error err;
    memset(&err, 0, sizeof err);
    wr_record_begin(&sh->w);
    wr_status status = cmd->status == WR_OK ? actor_fields(sh, t.slot, cmd->worker, cmd->flag, &err)
                       : cmd->text[0] == 0  ? WR_FAIL(&err, cmd->status, "there is no actor of that name")
                                            : WR_FAIL(&err, cmd->status, "%s", cmd->text);
    if (status == WR_OK) {
        shell_reply(conn, t.request, -1);
    } else {
        shell_fail(conn, t.request, &err);
    }
}

static void find_names(wr_shell *sh, const shell_conn *conn, const wr_record *body, char name[NAME_MAX_BYTES],
                       char space[NAME_MAX_BYTES]) {
    (void)wr_record_get_string(body, "name", name, NAME_MAX_BYTES);
    if (!wr_record_get_string(body, "namespace", space, NAME_MAX_BYTES) || space[0] == 0) {
        shell_job *job = shell_job_of(sh, conn->job);
        snprintf(space, NAME_MAX_BYTES, "%s", job != NULL ? job->name_space : "");
    }
}

static wr_status actor_find(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    char name[NAME_MAX_BYTES], space[NAME_MAX_BYTES];
    find_names(sh, conn, body, name, space);
    if (name[0] == 0) {
        return WR_FAIL(err, WR_E_INVALID, "field 'name' is empty or too long");
    }
    /* What lives here under that name, as the GCS acknowledged it, needs no question; what does not is asked for. */
    uint32_t cursor = 0, actor;
    wr_core_actor_info info;
    bool here = false;
    while (wr_raylet_core_actor_next(sh->core, &cursor, &actor)) {
        if (wr_raylet_core_actor_info(sh->core, actor, &info) && info.state != WR_ACTOR_DEAD &&
            strcmp(info.spec->name, name) == 0 && strcmp(info.spec->name_space, space) == 0) {
            here = true;
        }
    }
    if (!here) {
        no_such_name(sh, NULL, name, space, err); /* one node: every name of the cluster is of an actor here */
        return WR_E_NOT_FOUND;
    }
    uint64_t ticket = shell_ticket_new(sh, conn, request, TICKET_FIND);
    wr_status status = wr_raylet_core_actor_find(sh->core, wr_clock_ns(), ticket, space, name, err);
    if (status != WR_OK) {
        shell_ticket taken;
        (void)shell_ticket_take(sh, ticket, &taken);
        return status;
    }
    return WR_E_AGAIN;
}

static wr_status actor_list(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    char name[NAME_MAX_BYTES], space[NAME_MAX_BYTES];
    find_names(sh, conn, body, name, space);
    uint64_t ticket = shell_ticket_new(sh, conn, request, TICKET_LIST);
    bool all = wr_record_get_int(body, "all_namespaces", 0) != 0;
    wr_status status = wr_raylet_core_actor_list(sh->core, wr_clock_ns(), ticket, all, space, err);
    if (status != WR_OK) {
        shell_ticket taken;
        (void)shell_ticket_take(sh, ticket, &taken);
        return status;
    }
    return WR_E_AGAIN;
}

void shell_names_reply(wr_shell *sh, const wr_core_cmd *cmd) {
    shell_ticket t;
    shell_conn *conn = shell_ticket_take(sh, cmd->ticket, &t);
    if (conn == NULL) {
        return;
    }
    const wr_msg_names *names = &cmd->msg->u.names;
    wr_record_begin(&sh->w);
    wr_record_list_begin(&sh->w, "actors");
    for (uint32_t i = 0; i < names->count; i++) {
        char text[NAME_MAX_BYTES];
        wr_record_map_begin(&sh->w, NULL);
        snprintf(text, sizeof text, "%.*s", (int)names->names[i].name.bytes, (const char *)names->names[i].name.data);
        wr_record_string(&sh->w, "name", text);
        snprintf(text, sizeof text, "%.*s", (int)names->names[i].name_space.bytes, (const char *)names->names[i].name_space.data);
        wr_record_string(&sh->w, "namespace", text);
        wr_record_map_end(&sh->w);
    }
    wr_record_list_end(&sh->w);
    shell_reply(conn, t.request, -1);
}

static wr_status actor_at_port(wr_shell *sh, const wr_record *body, wr_core_actor_info *out, wr_error *err) {
    int64_t port = wr_record_get_int(body, "port", -1);
    uint32_t actor = port >= 0 && port < WR_PORT_NONE ? wr_raylet_core_actor_of_port(sh->core, (uint16_t)port) : WR_CORE_NONE;
    uint64_t handle = (uint64_t)wr_record_get_int(body, "handle", 0);
    if (!wr_raylet_core_actor_info(sh->core, actor, out) || (handle != 0 && handle != out->spec->handle)) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no such actor (it ended, and its last handle is gone)");
    }
    return WR_OK;
}

static wr_status actor_state(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)conn;
    wr_core_actor_info info;
    WR_TRY(actor_at_port(sh, body, &info, err));
    wr_record_int(&sh->w, "state", info.state);
    wr_record_string(&sh->w, "state_name", wr_actor_state_text(info.state));
    wr_record_int(&sh->w, "pid", info.pid);
    wr_record_int(&sh->w, "restarts", info.restarts);
    wr_record_int(&sh->w, "cause", info.status);
    wr_record_string(&sh->w, "text", info.text);
    wr_record_string(&sh->w, "class_name", info.spec->class_name);
    wr_record_string(&sh->w, "name", info.spec->name);
    wr_record_bytes(&sh->w, "actor_id", info.spec->id.bytes, WR_ACTOR_ID_BYTES);
    wr_record_bytes(&sh->w, "node_id", sh->node_id.bytes, WR_NODE_ID_BYTES);
    wr_record_int(&sh->w, "ready", info.ready);
    wr_record_int(&sh->w, "max_task_retries", info.spec->max_task_retries);
    return WR_OK;
}

static wr_status actor_kill(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)conn;
    wr_core_actor_info info;
    WR_TRY(actor_at_port(sh, body, &info, err));
    return wr_raylet_core_actor_kill(sh->core, wr_clock_ns(), info.index, wr_record_get_int(body, "no_restart", 1) != 0, err);
}

static wr_status need_worker(const shell_conn *conn, wr_error *err) {
    return conn->kind == 2 && conn->worker != WR_CORE_NONE ? WR_OK : WR_FAIL(err, WR_E_DENIED, "this op is for workers");
}

static wr_status actor_ready(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request;
    WR_TRY(need_worker(conn, err));
    wr_record_value v;
    char *text = NULL;
    if (wr_record_find(body, "text", &v) && v.type == 's') {
        text = shell_alloc(v.count + 1u);
        memcpy(text, v.bytes, v.count);
    }
    wr_raylet_core_actor_ready(sh->core, wr_clock_ns(), conn->worker, wr_record_get_int(body, "ok", 0) != 0, text);
    wr_free(text);
    return WR_OK;
}

/* ---- What a worker does ---- */

static void write_resources(wr_shell *sh, const char *name, const wr_res *res) {
    wr_record_map_begin(&sh->w, name);
    for (uint32_t i = 0; i < res->count; i++) {
        wr_record_double(&sh->w, wr_res_names_text(wr_raylet_core_names(sh->core), res->items[i].name),
                         wr_res_units_to_double(res->items[i].units));
    }
    wr_record_map_end(&sh->w);
}

static wr_status assignment(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)body;
    WR_TRY(need_worker(conn, err));
    wr_core_assignment a;
    wr_raylet_core_assignment(sh->core, wr_clock_ns(), conn->worker, &a);
    static const char *const kinds[] = {"none", "class", "actor", "exit"};
    wr_record_string(&sh->w, "kind", kinds[a.kind]);
    if (a.kind != WR_ASSIGNED_CLASS && a.kind != WR_ASSIGNED_ACTOR) {
        return WR_OK;
    }
    uint32_t ring;
    WR_TRY(wr_keeper_ring_open(sh->keeper, a.port, conn->slot, &ring, err));
    wr_record_int(&sh->w, "port", a.port);
    wr_record_int(&sh->w, "ring", ring);
    write_resources(sh, "resources", a.resources);
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
        wr_raylet_core_worker_bye(sh->core, conn->worker, wr_record_get_int(body, "intended", 0) != 0, reason);
    }
    return WR_OK;
}

static wr_status cancel(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)conn;
    uint64_t handle;
    uint32_t slot = 0, epoch = 0;
    WR_TRY(want_handle(body, "handle", &handle, err));
    bool runs = wr_cell_runner(sh->pool, handle, &slot, &epoch) && slot != WR_SLOT_RAYLET;
    wr_record_int(&sh->w, "asked", runs);
    if (!runs) {
        return WR_OK;
    }
    bool force = wr_record_get_int(body, "force", 0) != 0;
    if (!force) {
        wr_keeper_want_cancel(sh->keeper, slot, handle);
    }
    for (uint32_t i = 0; i < sh->worker_capacity; i++) {
        shell_worker *w = sh->workers[i];
        wr_core_worker_info info;
        if (w == NULL || w->slot != slot || !wr_raylet_core_worker_info(sh->core, i, &info)) {
            continue;
        }
        if (!force) { /* a Python worker takes SIGINT as the sign to look at the word, also in the middle of a sleep */
            if (info.language == WR_LANGUAGE_PYTHON && w->proc != NULL) {
                shell_kill(w->proc, SIGINT);
            }
        } else if (info.state == WR_CW_ACTOR) {
            return WR_FAIL(err, WR_E_INVALID, "force=True is not possible for calls of actors");
        } else {
            w->cancelled = handle;
            wr_raylet_core_worker_kill(sh->core, i, WR_E_CANCELLED, "the task was cancelled by force");
        }
    }
    return WR_OK;
}

/* The worker cancels what its task submitted by itself: it alone knows its children. Asked here, it is asked there. */
static wr_status cancel_children(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)conn;
    uint64_t handle;
    uint32_t slot, epoch;
    WR_TRY(want_handle(body, "handle", &handle, err));
    if (wr_cell_runner(sh->pool, handle, &slot, &epoch) && slot != WR_SLOT_RAYLET) {
        wr_keeper_want_cancel(sh->keeper, slot, handle);
        for (uint32_t i = 0; i < sh->worker_capacity; i++) {
            if (sh->workers[i] != NULL && sh->workers[i]->slot == slot && sh->workers[i]->proc != NULL) {
                shell_kill(sh->workers[i]->proc, SIGINT);
            }
        }
    }
    return WR_OK;
}

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

static wr_status pg_create(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request;
    wr_record_value list, item;
    char strategy[32], name[NAME_MAX_BYTES], lifetime[16];
    wr_core_group_spec spec = {.job = conn->job};
    if (!wr_record_find(body, "bundles", &list) || list.type != 'l' || list.items == 0 || list.items > WR_PG_BUNDLES_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "bundles: a list of 1 to %d", WR_PG_BUNDLES_MAX);
    }
    if (!wr_record_get_string(body, "strategy", strategy, sizeof strategy) ||
        !wr_pg_strategy_parse(wr_span_text(strategy), &spec.strategy)) {
        return WR_FAIL(err, WR_E_INVALID, "strategy: '%s' is none of PACK, SPREAD, STRICT_PACK, STRICT_SPREAD", strategy);
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
            status = read_resources(sh, &outer, "bundle", &bundles[count], err);
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
    WR_TRY(want_bytes(body, "pg", WR_PG_ID_BYTES, WR_PG_ID_BYTES, &v, err));
    memcpy(out->bytes, v.bytes, WR_PG_ID_BYTES);
    return WR_OK;
}

static wr_status pg_remove(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)conn;
    wr_pg_id id;
    WR_TRY(pg_id_of(body, &id, err));
    wr_raylet_core_group_remove(sh->core, wr_clock_ns(), &id);
    return WR_OK;
}

static wr_status pg_get(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)conn;
    char name[NAME_MAX_BYTES];
    (void)wr_record_get_string(body, "name", name, sizeof name);
    uint32_t index = wr_raylet_core_group_find(sh->core, NULL, name);
    if (index == WR_CORE_NONE) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no placement group called '%s'", name);
    }
    return pg_fields(sh, index, err);
}

static wr_status pg_wait(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)conn;
    wr_pg_id id;
    WR_TRY(pg_id_of(body, &id, err));
    return pg_fields(sh, wr_raylet_core_group_find(sh->core, &id, NULL), err);
}

static wr_status pg_table(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_error *err) {
    (void)request, (void)conn, (void)err;
    wr_pg_id only;
    bool one = pg_id_of(body, &only, NULL) == WR_OK;
    uint32_t cursor = 0, index;
    wr_record_list_begin(&sh->w, "groups");
    while (wr_raylet_core_group_next(sh->core, &cursor, &index)) {
        wr_core_group_info g;
        if (!wr_raylet_core_group_info(sh->core, index, &g) || (one && memcmp(&g.id, &only, sizeof only) != 0)) {
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
            write_resources(sh, NULL, &g.bundles[i]);
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

const shell_op shell_ops_work[] = {
    {"bye", bye, false},
    {"class_open", class_open, true},
    {"port_open", port_open, true},
    {"function_export", function_export, true},
    {"function_get", function_get, true},
    {"actor_create", actor_create, true},
    {"actor_find", actor_find, true},
    {"actor_list", actor_list, false},
    {"actor_state", actor_state, false},
    {"actor_kill", actor_kill, false},
    {"actor_ready", actor_ready, true},
    {"assignment", assignment, true},
    {"cancel", cancel, true},
    {"cancel_children", cancel_children, true},
    {"pg_create", pg_create, true},
    {"pg_remove", pg_remove, false},
    {"pg_get", pg_get, false},
    {"pg_wait", pg_wait, false},
    {"pg_table", pg_table, false},
    {"fork_next", shell_fork_next, false},
    {"fork_done", shell_fork_done, false},
    {"fork_failed", shell_fork_failed, false},
    {"fork_exited", shell_fork_exited, false},
    {"log_poll", shell_log_poll, false},
    {NULL, NULL, false},
};

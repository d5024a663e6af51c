/* Ops about actors. */
#include "raylet/shell/shell.h"

#include <stdio.h>
#include <string.h>

/* ---- Actors ---- */

static wr_status actor_fields(wr_shell *sh, uint32_t slot, uint32_t actor, bool existed, wr_error *err) {
    wr_core_actor_info info;
    uint32_t ring;
    if (!wr_raylet_core_actor_info(sh->core, actor, &info)) {
        return WR_FAIL(err, WR_E_ACTOR_DIED, "the actor has ended meanwhile");
    }
    const wr_core_actor_spec *s = info.spec;
    if (slot != 0) {
        WR_TRY(shell_ring_open(sh, s->port, slot, &ring, err));
        wr_record_int(&sh->w, "ring", ring);
    }
    wr_record_int(&sh->w, "port", s->port);
    shell_write_generation(sh, s->port);
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

static wr_status read_actor(wr_shell *sh, const shell_conn *conn, const wr_record *body,
                            wr_core_actor_spec *spec, char texts[3][NAME_MAX_BYTES], wr_error *err) {
    char lifetime[16];
    wr_record_value v;
    memset(spec, 0, sizeof *spec);
    WR_TRY(shell_want_handle(body, "handle", &spec->handle, err));
    WR_TRY(shell_want_handle(body, "ctor", &spec->ctor, err));
    if (wr_cell_state_of(sh->pool, spec->handle) != WR_CELL_SEALED ||
        wr_cell_state_of(sh->pool, spec->ctor) == WR_CELL_FREE) {
        return WR_FAIL(err, WR_E_INVALID, "fields 'handle' and 'ctor' must name an object and a parked task");
    }
    WR_TRY(shell_read_class(sh, conn, body, &spec->cls, err));
    spec->function = (uint32_t)wr_record_get_int(body, "function", 0);
    spec->max_restarts = (int32_t)wr_record_get_int(body, "max_restarts", 0);
    spec->max_task_retries = (int32_t)wr_record_get_int(body, "max_task_retries", 0);
    spec->max_concurrency = (int32_t)wr_record_get_int(body, "max_concurrency", 1);
    spec->asyncio = wr_record_get_int(body, "asyncio", 0) != 0;
    spec->get_if_exists = wr_record_get_int(body, "get_if_exists", 0) != 0;
    if (wr_record_get_string(body, "lifetime", lifetime, sizeof lifetime) && lifetime[0] != 0) {
        spec->detached = strcmp(lifetime, "detached") == 0;
        if (!spec->detached && strcmp(lifetime, "non_detached") != 0) {
            return WR_FAIL(err, WR_E_INVALID, "lifetime: '%s' is neither \"detached\" nor \"non_detached\"",
                           lifetime);
        }
    }
    const char *fields[3] = {"class_name", "name", "namespace"};
    for (int i = 0; i < 3; i++) {
        if (wr_record_find(body, fields[i], &v) && v.type == 's' &&
            !wr_record_get_string(body, fields[i], texts[i], NAME_MAX_BYTES)) {
            return WR_FAIL(err, WR_E_INVALID, "%s: longer than %d bytes, or it has a zero byte", fields[i],
                           NAME_MAX_BYTES - 1);
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

static wr_status actor_create(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                              wr_error *err) {
    wr_core_actor_spec spec;
    char texts[3][NAME_MAX_BYTES] = {{0}};
    uint32_t actor, ring;
    WR_TRY(read_actor(sh, conn, body, &spec, texts, err));
    WR_TRY(shell_port_open(sh, true, &spec.port, err));
    bool named = spec.name[0] != 0;
    uint64_t ticket = named ? shell_ticket_new(sh, conn, request, TICKET_CREATE) : 0;
    /* The caller's ring first: an actor that nobody can call must not be there. */
    wr_status status = shell_ring_open(sh, spec.port, conn->slot, &ring, err);
    if (status == WR_OK) {
        status = wr_raylet_core_actor_create(sh->core, wr_clock_ns(), ticket, &spec, &actor, err);
    }
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
            uint32_t change = diagonal + (a[i - 1] != b[j - 1]),
                     best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[n];
}

static void no_such_name(wr_shell *sh, const shell_ticket *t, const char *name, const char *space,
                         wr_error *err) {
    (void)t;
    WR_FAIL(err, WR_E_NOT_FOUND, "there is no actor called '%s' in namespace '%s'", name, space);
    uint32_t cursor = 0, actor, best = 4;
    wr_core_actor_info info;
    char nearest[NAME_MAX_BYTES] = "";
    while (wr_raylet_core_actor_next(sh->core, &cursor, &actor)) {
        if (wr_raylet_core_actor_info(sh->core, actor, &info) && info.spec->name[0] != 0 &&
            info.state != WR_ACTOR_DEAD) {
            bool same = strcmp(info.spec->name, name) == 0; /* then it is in another namespace */
            uint32_t d = same ? 0 : distance(name, info.spec->name);
            if (d < best) {
                best = d;
                snprintf(nearest, sizeof nearest, "there is '%s' in namespace '%s'", info.spec->name,
                         info.spec->name_space);
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

static wr_status actor_find(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                            wr_error *err) {
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
        no_such_name(sh, NULL, name, space,
                     err); /* one node: every name of the cluster is of an actor here */
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

static wr_status actor_list(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                            wr_error *err) {
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
        snprintf(text, sizeof text, "%.*s", (int)names->names[i].name.bytes,
                 (const char *)names->names[i].name.data);
        wr_record_string(&sh->w, "name", text);
        snprintf(text, sizeof text, "%.*s", (int)names->names[i].name_space.bytes,
                 (const char *)names->names[i].name_space.data);
        wr_record_string(&sh->w, "namespace", text);
        wr_record_map_end(&sh->w);
    }
    wr_record_list_end(&sh->w);
    shell_reply(conn, t.request, -1);
}

static wr_status actor_at_port(wr_shell *sh, const wr_record *body, wr_core_actor_info *out, wr_error *err) {
    int64_t port = wr_record_get_int(body, "port", -1);
    uint32_t actor = port >= 0 && port < WR_PORT_NONE ? wr_raylet_core_actor_of_port(sh->core, (uint16_t)port)
                                                      : WR_CORE_NONE;
    uint64_t handle = (uint64_t)wr_record_get_int(body, "handle", 0);
    if (!wr_raylet_core_actor_info(sh->core, actor, out) || (handle != 0 && handle != out->spec->handle)) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no such actor (it ended, and its last handle is gone)");
    }
    return WR_OK;
}

static wr_status actor_state(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                             wr_error *err) {
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

static wr_status actor_kill(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                            wr_error *err) {
    (void)request, (void)conn;
    wr_core_actor_info info;
    WR_TRY(actor_at_port(sh, body, &info, err));
    WR_TRY(wr_raylet_core_actor_kill(sh->core, wr_clock_ns(), info.index,
                                     wr_record_get_int(body, "no_restart", 1) != 0, err));
    shell_drain(sh); /* the signal is on its way before the answer is: a call made after it finds nobody */
    wr_record_begin(&sh->w);
    return WR_OK;
}

wr_status shell_need_worker(const shell_conn *conn, wr_error *err) {
    return conn->kind == 2 && conn->worker != WR_CORE_NONE
               ? WR_OK
               : WR_FAIL(err, WR_E_DENIED, "this op is for workers");
}

static wr_status actor_ready(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                             wr_error *err) {
    (void)request;
    WR_TRY(shell_need_worker(conn, err));
    wr_record_value v;
    char *text = NULL;
    if (wr_record_find(body, "text", &v) && v.type == 's') {
        text = shell_alloc(v.count + 1u);
        memcpy(text, v.bytes, v.count);
    }
    wr_raylet_core_actor_ready(sh->core, wr_clock_ns(), conn->worker, wr_record_get_int(body, "ok", 0) != 0,
                               text);
    wr_free(text);
    return WR_OK;
}

const shell_op shell_ops_actors[] = {
    {"actor_create", actor_create, true},
    {"actor_find", actor_find, true},
    {"actor_list", actor_list, false},
    {"actor_state", actor_state, false},
    {"actor_kill", actor_kill, false},
    {"actor_ready", actor_ready, true},
    {NULL, NULL, false},
};

/* hello; what the GCS knows: KV and tables; and shutdown. */
#include "raylet/shell/shell.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CALL_TIMEOUT_NS (20ull * 1000 * 1000 * 1000)
#define HELLO_PATIENCE_NS (8ull * 1000 * 1000 * 1000) /* less than the 10 s after which a driver gives up */

/* ---- Jobs and environments ---- */

shell_job *shell_job_of(wr_shell *sh, uint32_t number) {
    for (uint32_t i = 0; i < sh->job_count; i++) {
        if (sh->jobs[i] != NULL && sh->jobs[i]->number == number && number != 0) {
            return sh->jobs[i];
        }
    }
    return NULL;
}

static void job_free(shell_job *job) {
    for (uint32_t i = 0; job->lines != NULL && i < SHELL_LOG_RING; i++) {
        wr_free(job->lines[i].text);
    }
    wr_free(job->lines);
    wr_free(job->config);
    wr_free(job->name_space);
    wr_free(job->python);
    wr_free(job->runtime_env);
    wr_free(job->cwd);
    wr_free(job);
}

void shell_job_drop(wr_shell *sh, uint32_t at) {
    job_free(sh->jobs[at]);
    sh->jobs[at] = NULL;
}

void shell_job_forget(wr_shell *sh, uint32_t number) {
    for (uint32_t i = 0; i < sh->function_count; i++) {
        shell_function *f = &sh->functions[i];
        if (f->job == number && f->ref != 0) {
            wr_keeper_drop(sh->keeper, f->ref);
            wr_free(f->name);
            wr_free(f->meta);
            f->name = NULL;
            f->meta = NULL;
            f->ref = 0;
            f->job = 0; /* its number is not used again */
            f->digest_bytes = 0;
        }
    }
    shell_logs_forget(sh, number);
    for (uint32_t i = 0; i < sh->job_count; i++) {
        if (sh->jobs[i] != NULL && sh->jobs[i]->number == number) {
            job_free(sh->jobs[i]);
            sh->jobs[i] = NULL;
        }
    }
}

uint64_t shell_env_of(wr_shell *sh, const char *runtime_env) {
    if (runtime_env == NULL || runtime_env[0] == 0 || strcmp(runtime_env, "{}") == 0) {
        return 0;
    }
    uint64_t hash = wr_hash_bytes(runtime_env, strlen(runtime_env));
    hash = hash == 0 ? 1 : hash;
    if (shell_env_text(sh, hash) == NULL) {
        void *envs = sh->envs;
        shell_reserve(&envs, &sh->env_capacity, sh->env_count + 1, sizeof *sh->envs);
        sh->envs = envs;
        sh->envs[sh->env_count++] = (shell_env){.hash = hash, .text = shell_text(runtime_env)};
    }
    return hash;
}

const char *shell_env_text(wr_shell *sh, uint64_t hash) {
    for (uint32_t i = 0; i < sh->env_count; i++) {
        if (sh->envs[i].hash == hash) {
            return sh->envs[i].text;
        }
    }
    return NULL;
}

/* ---- hello ---- */

static char *text_of(const wr_record *map, const char *name, const char *fallback) {
    wr_record_value v;
    if (!wr_record_find(map, name, &v) || v.type != 's') {
        return shell_text(fallback);
    }
    char *text = shell_alloc(v.count + 1u);
    memcpy(text, v.bytes, v.count);
    return text;
}

static void welcome(wr_shell *sh, const shell_conn *conn, const uint8_t *worker_id) {
    char address[WR_PATH_MAX + 8];
    shell_job *job = shell_job_of(sh, conn->job);
    uint8_t id[WR_WORKER_ID_BYTES];
    if (worker_id == NULL) {
        wr_random_bytes(id, sizeof id);
        worker_id = id;
    }
    snprintf(address, sizeof address, "%s", sh->gcs_target);
    wr_record_int(&sh->w, "slot", conn->slot);
    wr_record_int(&sh->w, "epoch", conn->epoch);
    wr_record_int(&sh->w, "job", conn->job);
    wr_record_bytes(&sh->w, "node_id", sh->node_id.bytes, WR_NODE_ID_BYTES);
    wr_record_bytes(&sh->w, "worker_id", worker_id, WR_WORKER_ID_BYTES);
    wr_record_int(&sh->w, "cluster_id", (int64_t)sh->cluster_id);
    wr_record_int(&sh->w, "incarnation", wr_raylet_core_inc(sh->core));
    wr_record_string(&sh->w, "session_dir", sh->args.session_dir);
    wr_record_string(&sh->w, "namespace", job != NULL ? job->name_space : "");
    wr_record_string(&sh->w, "gcs_address", address);
    wr_record_string(&sh->w, "node_ip", sh->args.node_ip);
    wr_record_int(&sh->w, "raylet_pid", getpid());
    wr_record_int(&sh->w, "token_ok", 1);
    if (conn->kind == 2 && job != NULL) {
        wr_core_worker_info info;
        wr_record_packed(&sh->w, "job_config", job->config, job->config_bytes);
        wr_record_int(&sh->w, "env_hash",
                      wr_raylet_core_worker_info(sh->core, conn->worker, &info) ? (int64_t)info.env_hash : 0);
    }
}

static wr_status open_slot(wr_shell *sh, shell_conn *conn, wr_error *err) {
    if (sh->pool == NULL || wr_pool_poisoned(sh->pool)) {
        return WR_FAIL(err, WR_E_RAYLET_DIED, "the pool of this node is out of use");
    }
    return wr_keeper_slot_open(sh->keeper, conn->pid, &conn->slot, &conn->epoch, err);
}

static wr_status hello_driver(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                              wr_error *err) {
    wr_record map;
    wr_nonce nonce;
    if (!wr_record_get_map(body, "job", &map)) {
        return WR_FAIL(err, WR_E_INVALID, "hello: a driver must say its job");
    }
    WR_TRY(open_slot(sh, conn, err));
    conn->proc = shell_proc_watch(sh, conn->pid, -1, false);
    if (conn->proc == NULL) {
        wr_keeper_slot_dead(sh->keeper, conn->slot, NULL, NULL);
        conn->slot = 0;
        return WR_FAIL(err, WR_E_STATE, "process %d has ended, or no descriptor is left to watch it",
                       conn->pid);
    }
    conn->proc->kind = PROC_DRIVER;
    conn->proc->slot = conn->slot;
    shell_job *job = shell_alloc(sizeof *job);
    job->config_bytes = map.count_bytes;
    job->config = shell_alloc(map.count_bytes);
    memcpy(job->config, map.bytes, map.count_bytes);
    job->name_space = text_of(&map, "namespace", "");
    job->python = text_of(&map, "python", "");
    job->runtime_env = text_of(&map, "runtime_env", "");
    job->cwd = text_of(&map, "cwd", "");
    job->env_hash = shell_env_of(sh, job->runtime_env);
    char *language = text_of(&map, "language", "python"), *entrypoint = text_of(&map, "entrypoint", "");
    bool c = strcmp(language, "c") == 0;
    if (job->name_space[0] == 0) { /* anonymous: nobody else's names */
        uint8_t random[16];
        char hex[2 * sizeof random + 1];
        wr_random_bytes(random, sizeof random);
        wr_hex_encode(random, sizeof random, hex);
        wr_free(job->name_space);
        job->name_space = shell_text(hex);
    }
    if (!c) {
        (void)shell_fork_of(sh, job, job->env_hash); /* warm by the time that the first task comes */
    }
    uint32_t at = 0;
    while (at < sh->job_count && sh->jobs[at] != NULL) {
        at++;
    }
    void *jobs = sh->jobs;
    shell_reserve(&jobs, &sh->job_capacity, at + 1, sizeof *sh->jobs);
    sh->jobs = jobs;
    sh->jobs[at] = job;
    sh->job_count = at == sh->job_count ? at + 1 : sh->job_count;

    uint64_t ticket = shell_ticket_new(sh, conn, request, TICKET_HELLO);
    shell_ticket_of(sh, ticket)->cursor = at; /* its place in the table: the number comes later */
    shell_ticket_of(sh, ticket)->deadline = wr_clock_ns() + HELLO_PATIENCE_NS;
    wr_job_info info = {.driver_pid = (uint32_t)conn->pid,
                        .name_space = wr_span_text(job->name_space),
                        .entrypoint = wr_span_text(entrypoint)};
    wr_random_bytes(nonce.bytes, sizeof nonce.bytes);
    wr_status status =
        wr_raylet_core_job_start(sh->core, wr_clock_ns(), ticket, &nonce, &info,
                                 c ? WR_LANGUAGE_C : WR_LANGUAGE_PYTHON, job->env_hash, conn->slot, err);
    wr_free(language);
    wr_free(entrypoint);
    if (status != WR_OK) {
        shell_ticket taken;
        (void)shell_ticket_take(sh, ticket, &taken);
        shell_job_drop(sh, at);
        return status;
    }
    return WR_E_AGAIN;
}

void shell_hello_started(wr_shell *sh, uint64_t ticket, uint32_t number) {
    shell_ticket t;
    shell_conn *conn = shell_ticket_take(sh, ticket, &t);
    if (conn == NULL) {
        return;
    }
    shell_job *job = sh->jobs[t.cursor];
    job->number = number;
    conn->job = number;
    if (conn->proc != NULL) {
        conn->proc->job = number;
    } else { /* it has exited meanwhile, and a child of it holds the socket: no exit event will end the job */
        wr_raylet_core_job_end(sh->core, wr_clock_ns(), number, true, "the driver has exited");
    }
    wr_record_begin(&sh->w);
    welcome(sh, conn, NULL);
    shell_reply(conn, t.request, wr_pool_fd(sh->pool));
    WR_LOG_INFO("job.started", "job=%u pid=%d", number, conn->pid);
}

static wr_status hello_worker(wr_shell *sh, shell_conn *conn, const wr_record *body, wr_error *err) {
    wr_record_value v;
    if (!wr_record_find(body, "cookie", &v) || v.type != 'b' || v.count != SHELL_COOKIE_BYTES) {
        return WR_FAIL(err, WR_E_DENIED, "hello: a worker must show the cookie that it was started with");
    }
    for (uint32_t i = 0; i < sh->worker_capacity; i++) {
        shell_worker *w = sh->workers[i];
        if (w == NULL || memcmp(w->cookie, v.bytes, SHELL_COOKIE_BYTES) != 0) {
            continue;
        }
        if (w->conn != NULL || w->slot != 0 || (w->proc != NULL && w->proc->pid != conn->pid)) {
            return WR_FAIL(err, WR_E_DENIED,
                           "hello: this worker is another process, or has said hello already");
        }
        if (w->proc == NULL) { /* faster than its fork server's report */
            w->proc = shell_proc_watch(sh, conn->pid, -1, false);
            if (w->proc == NULL) {
                return WR_FAIL(err, WR_E_STATE, "process %d has ended", conn->pid);
            }
            w->proc->kind = PROC_WORKER;
            w->proc->worker = i;
            w->proc->job = w->job;
        }
        WR_TRY(open_slot(sh, conn, err));
        conn->worker = i;
        conn->job = w->job;
        conn->proc = w->proc;
        w->proc->slot = conn->slot;
        w->conn = conn;
        w->slot = conn->slot;
        welcome(sh, conn, w->worker_id);
        wr_raylet_core_worker_hello(sh->core, wr_clock_ns(), i, conn->slot, conn->pid);
        shell_logs_named(sh, i);
        return WR_OK;
    }
    return WR_FAIL(err, WR_E_DENIED, "hello: nobody waits for a worker with this cookie");
}

wr_status shell_hello(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                      wr_error *err) {
    char token[WR_TOKEN_MAX + 1];
    (void)wr_record_get_string(body, "token", token, sizeof token);
    if (!wr_token_equal(token, sh->token)) {
        wr_status status =
            WR_FAIL(err, WR_E_UNAUTHENTICATED, "the token is %s", token[0] != 0 ? "wrong" : "missing");
        wr_error_hint(err, "the cluster's token is WHIPRAY_AUTH_TOKEN, or in the file "
                           "WHIPRAY_AUTH_TOKEN_PATH, or in ~/.whipray/auth_token");
        return status;
    }
    int64_t protocol = wr_record_get_int(body, "protocol", 0),
            layout = wr_record_get_int(body, "layout", WR_LAYOUT_VERSION);
    if (protocol != WR_PROTOCOL_VERSION || layout != WR_LAYOUT_VERSION) {
        return WR_FAIL(err, WR_E_VERSION,
                       "this process speaks protocol %lld and pool layout %lld, the raylet speaks protocol "
                       "%d and layout %d",
                       (long long)protocol, (long long)layout, WR_PROTOCOL_VERSION, (int)WR_LAYOUT_VERSION);
    }
    if (sh->ending) {
        return WR_FAIL(err, WR_E_UNAVAILABLE, "the cluster ends");
    }
    conn->kind = (int)wr_record_get_int(body, "kind", 0);
    wr_status status;
    switch (conn->kind) {
    case 1:
        status = hello_driver(sh, conn, request, body, err);
        break;
    case 2:
        status = hello_worker(sh, conn, body, err);
        break;
    case 3:
        welcome(sh, conn, NULL);
        status = WR_OK;
        break;
    case 4:
        status = WR_E_DENIED;
        for (shell_fork *f = sh->forks; f != NULL; f = f->next) {
            if (f->proc != NULL && f->proc->pid == conn->pid && f->conn == NULL) {
                conn->fork = f;
                f->conn = conn;
                welcome(sh, conn, NULL);
                status = WR_OK;
            }
        }
        if (status != WR_OK) {
            WR_FAIL(err, WR_E_DENIED, "process %d is no fork server of this raylet", conn->pid);
        }
        break;
    default:
        status = WR_FAIL(err, WR_E_INVALID, "hello: there is no kind %d", conn->kind);
    }
    conn->hello = status == WR_OK || status == WR_E_AGAIN;
    return status;
}

/* ---- The GCS's tables and KV ---- */

static wr_status kv(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body, wr_gcs_call call,
                    wr_error *err) {
    wr_record_value space = {0}, key = {0}, value = {0};
    (void)wr_record_find(body, "ns", &space);
    (void)wr_record_find(body, call == WR_GCS_KV_LIST ? "prefix" : "key", &key);
    (void)wr_record_find(body, "value", &value);
    if ((call != WR_GCS_KV_LIST && key.type != 'b') || (call == WR_GCS_KV_PUT && value.type != 'b')) {
        return WR_FAIL(err, WR_E_INVALID, "kv: 'key' and 'value' must be bytes");
    }
    wr_gcs_request ask = {.call = call,
                          .name_space = wr_span_of(space.bytes, space.count),
                          .key = wr_span_of(key.bytes, key.count),
                          .value = wr_span_of(value.bytes, value.count),
                          .overwrite = wr_record_get_int(body, "overwrite", 1) != 0,
                          .timeout_ns = CALL_TIMEOUT_NS};
    uint64_t ticket = shell_ticket_new(sh, conn, request, TICKET_KV);
    wr_status status = shell_gcs_call(sh, ticket, &ask, err);
    if (status != WR_OK) {
        shell_ticket taken;
        (void)shell_ticket_take(sh, ticket, &taken);
        return status;
    }
    return WR_E_AGAIN;
}

#define KV_OP(name, call)                                                                                    \
    static wr_status name(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,           \
                          wr_error *err) {                                                                   \
        return kv(sh, conn, request, body, call, err);                                                       \
    }
KV_OP(kv_put, WR_GCS_KV_PUT)
KV_OP(kv_get, WR_GCS_KV_GET)
KV_OP(kv_del, WR_GCS_KV_DEL)
KV_OP(kv_exists, WR_GCS_KV_EXISTS)
KV_OP(kv_list, WR_GCS_KV_LIST)

static wr_status table(wr_shell *sh, shell_conn *conn, uint64_t request, wr_gcs_call call, wr_error *err) {
    wr_gcs_request ask = {.call = call, .timeout_ns = CALL_TIMEOUT_NS};
    uint64_t ticket = shell_ticket_new(sh, conn, request, TICKET_TABLE);
    wr_status status = shell_gcs_call(sh, ticket, &ask, err);
    if (status != WR_OK) {
        shell_ticket taken;
        (void)shell_ticket_take(sh, ticket, &taken);
        return status;
    }
    return WR_E_AGAIN;
}

#define TABLE_OP(name, call)                                                                                 \
    static wr_status name(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,           \
                          wr_error *err) {                                                                   \
        (void)body;                                                                                          \
        return table(sh, conn, request, call, err);                                                          \
    }
TABLE_OP(nodes, WR_GCS_NODES)
TABLE_OP(jobs, WR_GCS_JOBS)
TABLE_OP(actors, WR_GCS_ACTORS)

static void span_field(wr_shell *sh, const char *name, wr_span span) {
    char *text = shell_alloc(span.bytes + 1u);
    if (span.bytes > 0) {
        memcpy(text, span.data, span.bytes);
    }
    wr_record_string(&sh->w, name, text);
    wr_free(text);
}

/* "a=1,b=2" as a map: of amounts, or of texts. */
void shell_list_field(wr_shell *sh, const char *name, wr_span list, bool amounts) {
    char *text = shell_alloc(list.bytes + 1u), *rest = text;
    if (list.bytes > 0) {
        memcpy(text, list.data, list.bytes);
    }
    wr_record_map_begin(&sh->w, name);
    for (char *item = strsep(&rest, ","); item != NULL; item = strsep(&rest, ",")) {
        char *equals = strchr(item, '=');
        if (equals == NULL || equals == item || equals - item > WR_RECORD_NAME_MAX) {
            continue;
        }
        *equals = 0;
        if (amounts) {
            wr_record_double(&sh->w, item, strtod(equals + 1, NULL));
        } else {
            wr_record_string(&sh->w, item, equals + 1);
        }
    }
    wr_record_map_end(&sh->w);
    wr_free(text);
}

static void write_node(wr_shell *sh, const wr_gcs_node *n) {
    wr_node_id id = wr_node_id_make(sh->cluster_id, n->info.inc);
    wr_record_map_begin(&sh->w, NULL);
    wr_record_bytes(&sh->w, "node_id", id.bytes, WR_NODE_ID_BYTES);
    wr_record_int(&sh->w, "alive", n->state == 0);
    span_field(sh, "address", n->info.address);
    span_field(sh, "hostname", n->info.hostname);
    span_field(sh, "name", n->info.name);
    span_field(sh, "socket", n->info.raylet_socket);
    shell_list_field(sh, "resources", n->info.resources, true);
    shell_list_field(sh, "available", n->available, true);
    shell_list_field(sh, "labels", n->info.labels, false);
    wr_record_int(&sh->w, "head", n->info.head);
    wr_record_int(&sh->w, "pid", n->info.pid);
    span_field(sh, "death_text", n->death);
    wr_record_int(&sh->w, "start_us", (int64_t)n->start_us);
    wr_record_int(&sh->w, "end_us", (int64_t)n->end_us);
    wr_record_map_end(&sh->w);
}

static void write_actor(wr_shell *sh, const wr_actor_info *a) {
    wr_record_map_begin(&sh->w, NULL);
    wr_record_bytes(&sh->w, "actor_id", a->spec.actor.bytes, WR_ACTOR_ID_BYTES);
    span_field(sh, "class_name", a->spec.class_name);
    span_field(sh, "name", a->spec.name);
    span_field(sh, "namespace", a->spec.name_space);
    wr_record_string(&sh->w, "state", wr_actor_state_text(a->state));
    wr_record_int(&sh->w, "job", a->spec.job);
    wr_record_int(&sh->w, "detached", a->spec.detached);
    wr_record_int(&sh->w, "pid", a->pid);
    wr_record_int(&sh->w, "restarts", a->restarts);
    span_field(sh, "text", a->text);
    wr_record_int(&sh->w, "start_us", (int64_t)a->start_us);
    wr_record_int(&sh->w, "end_us", (int64_t)a->end_us);
    wr_record_map_end(&sh->w);
}

static void write_job(wr_shell *sh, const wr_job_info *j) {
    static const char *const states[] = {"RUNNING", "FINISHED", "FAILED"};
    wr_record_map_begin(&sh->w, NULL);
    wr_record_int(&sh->w, "job", j->job);
    wr_record_string(&sh->w, "state", j->state < WR_COUNT_OF(states) ? states[j->state] : "?");
    wr_record_int(&sh->w, "driver_pid", j->driver_pid);
    span_field(sh, "namespace", j->name_space);
    span_field(sh, "entrypoint", j->entrypoint);
    span_field(sh, "text", j->text);
    wr_record_int(&sh->w, "start_us", (int64_t)j->start_us);
    wr_record_int(&sh->w, "end_us", (int64_t)j->end_us);
    wr_record_map_end(&sh->w);
}

void shell_call_reply(wr_shell *sh, shell_call *call) {
    shell_ticket t;
    shell_conn *conn = shell_ticket_take(sh, call->ticket, &t);
    if (conn == NULL) {
        return;
    }
    const wr_gcs_response *r = call->response;
    bool absent = call->call == WR_GCS_KV_GET && call->status == WR_E_NOT_FOUND;
    if (call->status == WR_E_TIMEOUT || call->status == WR_E_UNAVAILABLE) {
        (void)shell_gcs_absent(sh, &call->err);
    }
    if (call->status != WR_OK && !absent) {
        if (call->err.status == WR_OK) {
            WR_FAIL(&call->err, call->status, "the GCS: %s", wr_status_text(call->status));
        }
        shell_fail(conn, t.request, &call->err);
        return;
    }
    wr_record_begin(&sh->w);
    switch (call->call) {
    case WR_GCS_KV_PUT:
        wr_record_int(&sh->w, "added", r->added);
        break;
    case WR_GCS_KV_GET:
        if (absent) {
            wr_record_none(&sh->w, "value");
        } else {
            wr_record_bytes(&sh->w, "value", r->value.data, r->value.bytes);
        }
        break;
    case WR_GCS_KV_DEL:
        wr_record_int(&sh->w, "removed", (int64_t)r->count);
        break;
    case WR_GCS_KV_EXISTS:
        wr_record_int(&sh->w, "exists", r->added);
        break;
    case WR_GCS_KV_LIST:
        wr_record_list_begin(&sh->w, "keys");
        for (uint32_t i = 0; i < r->key_count; i++) {
            wr_record_bytes(&sh->w, NULL, r->keys[i].data, r->keys[i].bytes);
        }
        wr_record_list_end(&sh->w);
        break;
    case WR_GCS_NODES:
        wr_record_list_begin(&sh->w, "nodes");
        for (uint32_t i = 0; i < r->node_count; i++) {
            write_node(sh, &r->nodes[i]);
        }
        wr_record_list_end(&sh->w);
        break;
    case WR_GCS_ACTORS:
        wr_record_list_begin(&sh->w, "actors");
        for (uint32_t i = 0; i < r->actor_count; i++) {
            write_actor(sh, &r->actors[i]);
        }
        wr_record_list_end(&sh->w);
        break;
    default:
        wr_record_list_begin(&sh->w, "jobs");
        for (uint32_t i = 0; i < r->job_count; i++) {
            write_job(sh, &r->jobs[i]);
        }
        wr_record_list_end(&sh->w);
        break;
    }
    shell_reply(conn, t.request, -1);
}

static wr_status shut_down(wr_shell *sh, shell_conn *conn, uint64_t request, const wr_record *body,
                           wr_error *err) {
    (void)body, (void)err;
    wr_record_begin(&sh->w);
    shell_reply(conn, request, -1);
    shell_end(sh, "the cluster was ended by `whipray stop`");
    return WR_E_AGAIN;
}

const shell_op shell_ops_view[] = {
    {"kv_put", kv_put, false},      {"kv_get", kv_get, false},
    {"kv_del", kv_del, false},      {"kv_exists", kv_exists, false},
    {"kv_list", kv_list, false},    {"nodes", nodes, false},
    {"jobs", jobs, false},          {"actors", actors, false},
    {"shutdown", shut_down, false}, {NULL, NULL, false},
};

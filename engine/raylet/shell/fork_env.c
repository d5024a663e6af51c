/* What a worker's process and a fork server get as their environment. */
#include "raylet/shell/env_json.h"
#include "raylet/shell/shell.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_SIZE = 1024 };

/* What variables that a value names may add to it. */
#define ENV_EXPANDED_MAX (64u * 1024)

void shell_env_set(shell_env_block *block, const char *name, const char *value) {
    size_t n = strlen(name);
    if (n == 0) {
        return; /* no process can have it */
    }
    for (uint32_t i = 0; i < block->count; i++) {
        if (strncmp(block->items[i], name, n) == 0 && block->items[i][n] == '=') {
            wr_free(block->items[i]);
            block->items[i] = block->items[--block->count];
            break;
        }
    }
    if (block->count < SHELL_ENV_MAX - 1) {
        size_t bytes = n + strlen(value) + 2;
        char *text = shell_alloc(bytes);
        snprintf(text, bytes, "%s=%s", name, value);
        block->items[block->count++] = text;
    }
}

void shell_env_done(shell_env_block *block) {
    for (uint32_t i = 0; i < block->count; i++) {
        wr_free(block->items[i]);
    }
    wr_free(block->items);
    *block = (shell_env_block){0};
}

shell_env_block shell_env_new(void) {
    return (shell_env_block){.items = shell_alloc(SHELL_ENV_MAX * sizeof(char *))};
}

bool shell_env_equal(const shell_env_block *a, const shell_env_block *b) {
    bool equal = a->count == b->count;
    for (uint32_t i = 0; equal && i < a->count; i++) {
        equal = strcmp(a->items[i], b->items[i]) == 0;
    }
    return equal;
}

const char *shell_env_value(const shell_env_block *block, const char *name) {
    size_t n = strlen(name);
    for (uint32_t i = 0; i < block->count; i++) {
        if (strncmp(block->items[i], name, n) == 0 && block->items[i][n] == '=') {
            return block->items[i] + n + 1;
        }
    }
    return NULL;
}

/* "${NAME}" in a value becomes the job's or this process's variable. */
static void expand(const shell_env_block *job_env, const char *value, char *out, size_t size) {
    size_t n = 0;
    while (*value != 0 && n + 1 < size) {
        const char *end = value[0] == '$' && value[1] == '{' ? strchr(value, '}') : NULL;
        if (end == NULL || end - value - 2 >= NAME_SIZE) {
            out[n++] = *value++;
            continue;
        }
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "%.*s", (int)(end - value - 2), value + 2);
        const char *text = shell_env_value(job_env, name);
        text = text != NULL ? text : getenv(name);
        if (text != NULL) {
            n += (size_t)snprintf(out + n, size - n, "%s", text);
            n = n < size ? n : size - 1;
        }
        value = end + 1;
    }
    out[n] = 0;
}

/* Adds the variables of a runtime environment's JSON text. */
void shell_env_add_json(const char *json, const shell_env_block *job_env, shell_env_block *out) {
    const char *at = shell_env_json_begin(json);
    if (at == NULL) {
        return;
    }
    size_t size = strlen(json) + 8, room = size + ENV_EXPANDED_MAX; /* no text in it is longer than it is */
    char *name = shell_alloc(size), *value = shell_alloc(size), *expanded = shell_alloc(room);
    while (shell_env_json_next(&at, name, value, size)) {
        expand(job_env, value, expanded, room);
        shell_env_set(out, name, expanded);
    }
    wr_free(name);
    wr_free(value);
    wr_free(expanded);
}

/* The variables of the driver, which its hello gave as a list of "NAME=VALUE". */
shell_env_block shell_env_of_job(const shell_job *job) {
    shell_env_block block = shell_env_new();
    wr_record config = {job->config, job->config_bytes};
    wr_record_value list, item;
    if (!wr_record_find(&config, "env", &list) || list.type != 'l') {
        return block;
    }
    for (uint32_t cursor = 0; wr_record_item(&list, &cursor, &item);) {
        if (item.type != 'b' && item.type != 's') {
            continue;
        }
        char *text = shell_alloc(item.count + 1u);
        memcpy(text, item.bytes, item.count);
        char *equals = strchr(text, '=');
        if (equals != NULL) {
            *equals = 0;
            shell_env_set(&block, text, equals + 1);
        }
        wr_free(text);
    }
    return block;
}

static bool is_alias(const shell_job *job) {
    wr_record config = {job->config, job->config_bytes};
    return wr_record_get_int(&config, "alias", 0) != 0;
}

uint64_t shell_env_hash_of(const wr_core_worker_info *info, const shell_job *job) {
    return info->env_hash != 0 ? info->env_hash : job->env_hash;
}

/* Every variable that a worker has beside those it inherits, the driver's first: a later one takes the place of an
 * earlier one of its name. */
void shell_env_of_worker(wr_shell *sh, uint32_t worker, const shell_job *job, shell_env_block *out) {
    wr_core_worker_info info;
    bool known = wr_raylet_core_worker_info(sh->core, worker, &info);
    WR_ASSERT(known);
    shell_env_block env = shell_env_of_job(job);
    char text[4 * WR_GPUS_MAX * 8], node[2 * WR_NODE_ID_BYTES + 1], number[32];
    if (getenv("OMP_NUM_THREADS") == NULL && shell_env_value(&env, "OMP_NUM_THREADS") == NULL) {
        snprintf(number, sizeof number, "%u", info.threads);
        shell_env_set(out, "OMP_NUM_THREADS", number);
    }
    for (uint32_t i = 0; i < env.count; i++) {
        char *equals = strchr(env.items[i], '=');
        *equals = 0;
        shell_env_set(out, env.items[i], equals + 1);
        *equals = '=';
    }
    if (info.gpus.devices != 0) {
        size_t n = 0;
        for (uint32_t i = 0; i < WR_GPUS_MAX; i++) {
            if ((info.gpus.devices >> i & 1) != 0) {
                const char *id = sh->gpu_ids[i];
                char plain[16];
                snprintf(plain, sizeof plain, "%u", i);
                n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n > 0 ? "," : "",
                                      id[0] != 0 ? id : plain);
            }
        }
        shell_env_set(out, "CUDA_VISIBLE_DEVICES", text);
    }
    shell_env_add_json(shell_env_text(sh, shell_env_hash_of(&info, job)), &env, out);
    shell_env_done(&env);
    wr_hex_encode(sh->node_id.bytes, WR_NODE_ID_BYTES, node);
    char job_hex[9];
    uint8_t job_bytes[4] = {(uint8_t)job->number, (uint8_t)(job->number >> 8), (uint8_t)(job->number >> 16),
                            (uint8_t)(job->number >> 24)};
    wr_hex_encode(job_bytes, 4, job_hex);
    snprintf(number, sizeof number, "%d", (int)getpid());
    shell_env_set(out, "WHIPRAY_JOB_ID", job_hex);
    shell_env_set(out, "WHIPRAY_NODE_ID", node);
    shell_env_set(out, "WHIPRAY_RAYLET_PID", number);
    if (is_alias(job)) {
        shell_env_set(out, "RAY_JOB_ID", job_hex);
        shell_env_set(out, "RAY_NODE_ID", node);
        shell_env_set(out, "RAY_RAYLET_PID", number);
    }
}

/* Whether a list "A:B" has a folder of `n` bytes. */
static bool has_folder(const char *list, const char *folder, size_t n) {
    for (const char *at = list; at != NULL && *at != 0;) {
        size_t bytes = strcspn(at, ":");
        if (bytes == n && memcmp(at, folder, n) == 0) {
            return true;
        }
        at += bytes + (at[bytes] == ':');
    }
    return false;
}

char *shell_import_path_of(const shell_job *job) {
    wr_record config = {job->config, job->config_bytes};
    wr_record_value given;
    if (!wr_record_find(&config, "import_path", &given) || given.type != 's') {
        return shell_text("");
    }
    const char *ours = getenv("PYTHONPATH"), *end = (const char *)given.bytes + given.count;
    char *path = shell_alloc(given.count + 1u);
    size_t used = 0;
    for (const char *at = (const char *)given.bytes; at < end;) {
        const char *colon = memchr(at, ':', (size_t)(end - at));
        size_t n = (size_t)((colon != NULL ? colon : end) - at);
        if (n > 0 && !has_folder(ours, at, n) && !has_folder(path, at, n)) {
            path[used] = ':';
            used += used > 0;
            memcpy(path + used, at, n);
            used += n;
        }
        at += n + 1;
    }
    path[used] = 0;
    return path;
}

/* C functions as tasks: the registry of a process, submitting by name, running one. The loop: c_worker.c. */
#include "worker/c_functions.h"

#include "worker/client.h"

#include <string.h>

/* ---- Registry: of the process, any thread ---- */

typedef struct entry {
    char *name;
    wr_c_function function;
} entry;

static struct {
    pthread_mutex_t lock;
    entry *entries;
    uint32_t count, capacity;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool name_good(const char *name) {
    const size_t n = name == NULL ? 0 : strnlen(name, WR_C_NAME_MAX + 1);
    return n > 0 && n <= WR_C_NAME_MAX;
}

/* Under the lock. */
static wr_c_function registry_find(const char *name) {
    for (uint32_t i = 0; i < registry.count; i++) {
        if (strcmp(registry.entries[i].name, name) == 0) {
            return registry.entries[i].function;
        }
    }
    return NULL;
}

static wr_status registry_add(const char *name, wr_c_function function, wr_error *err) {
    if (registry_find(name) != NULL) {
        return WR_FAIL(err, WR_E_EXISTS, "a C function named '%s' is registered already", name);
    }
    void *grown = registry.entries;
    WR_TRY(wr_array_reserve(&grown, &registry.capacity, registry.count + 1, sizeof(entry), err));
    registry.entries = grown;
    char *copy = strdup(name);
    if (copy == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for the name of a C function");
    }
    registry.entries[registry.count++] = (entry){.name = copy, .function = function};
    return WR_OK;
}

wr_status wr_c_register(const char *name, wr_c_function function, wr_error *err) {
    if (!name_good(name) || function == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "a C function needs a name of 1 to %d bytes and a pointer",
                       (int)WR_C_NAME_MAX);
    }
    pthread_mutex_lock(&registry.lock);
    const wr_status status = registry_add(name, function, err);
    pthread_mutex_unlock(&registry.lock);
    return status;
}

wr_c_function wr_c_find(const char *name) {
    pthread_mutex_lock(&registry.lock);
    const wr_c_function function = registry_find(name);
    pthread_mutex_unlock(&registry.lock);
    return function;
}

/* ---- Running ---- */

struct wr_c_call {
    uint8_t *bytes;
    uint64_t count;
    bool returned;
};

wr_status wr_c_return(wr_c_call *call, const void *bytes, uint64_t count, wr_error *err) {
    if (call->returned) {
        return WR_FAIL(err, WR_E_STATE, "a C function returned twice");
    }
    if (count != 0) {
        if (bytes == NULL) {
            return WR_FAIL(err, WR_E_INVALID, "a C function returned %llu bytes without a pointer",
                           (unsigned long long)count);
        }
        call->bytes = malloc(count);
        if (call->bytes == NULL) {
            return WR_FAIL(err, WR_E_NO_MEMORY, "no %llu bytes for a result", (unsigned long long)count);
        }
        memcpy(call->bytes, bytes, count);
    }
    call->count = count;
    call->returned = true;
    return WR_OK;
}

/* Calls the function and stores what it returned; a failure is the function's or the store's. */
static wr_status call_run(wr_client *client, wr_task *task, wr_c_function function, wr_error *err) {
    wr_c_call call = {0};
    wr_status status = function(&call, task->args.stream, task->args.stream_bytes, err);
    if (status == WR_OK) {
        const wr_value value = {.stream = call.bytes, .stream_bytes = call.count};
        status = wr_task_result(client, task, WR_KIND_VALUE, &value, 1, err);
    } else if (err->status == WR_OK) {
        status = WR_FAIL(err, WR_E_TASK_FAILED, "a C function failed with status %s", wr_status_name(status));
    }
    free(call.bytes);
    return status;
}

bool wr_c_execute(wr_client *client, wr_task *task, wr_c_function function) {
    wr_error why = {0};
    if (call_run(client, task, function, &why) == WR_OK) {
        return wr_task_seal(client, task);
    }
    if ((task->flags & WR_CALL_RETRY_ERRORS) != 0 && wr_task_retry(client, task)) {
        return true;
    }
    return wr_task_fail(client, task, &why);
}

/* ---- Submitting ---- */

typedef struct known {
    char *name;
    uint32_t number;
} known;

struct c_functions {
    known *items;
    uint32_t count, capacity;
    uint32_t port, ring, generation;
    bool open; /* the class has a port */
};

void wr_client_c_functions_done(wr_client *client) {
    struct c_functions *f = client->c_functions;
    if (f == NULL) {
        return;
    }
    for (uint32_t i = 0; i < f->count; i++) {
        free(f->items[i].name);
    }
    wr_free(f->items);
    wr_free(f);
    client->c_functions = NULL;
}

/* A control call whose request is what the writer holds; *out is freed by wr_bytes_free. */
static wr_status call_writer(wr_client *client, const char *op, wr_record_writer *w, uint8_t **out,
                             wr_record *out_record, wr_error *err) {
    const uint8_t *request = NULL;
    uint32_t request_bytes = 0;
    wr_status status = wr_record_finish(w, &request, &request_bytes, err);
    uint64_t bytes = 0;
    if (status == WR_OK) {
        status = wr_client_call(client, op, request, request_bytes, 0, out, &bytes, err);
    }
    wr_record_done(w);
    if (status == WR_OK) {
        *out_record = (wr_record){.bytes = *out, .count_bytes = (uint32_t)bytes};
    }
    return status;
}

static wr_status class_open(wr_client *client, struct c_functions *f, wr_error *err) {
    wr_record_writer w = {0};
    wr_record_begin(&w);
    wr_record_map_begin(&w, "resources");
    wr_record_double(&w, "CPU", 1.0);
    wr_record_map_end(&w);
    wr_record_string(&w, "language", "c");
    wr_record_string(&w, "name", "C functions");
    uint8_t *reply = NULL;
    wr_record r;
    WR_TRY(call_writer(client, "class_open", &w, &reply, &r, err));
    const int64_t port = wr_record_get_int(&r, "port", -1);
    const int64_t ring = wr_record_get_int(&r, "ring", -1);
    const int64_t generation = wr_record_get_int(&r, "generation", 0);
    wr_bytes_free(reply);
    if (port < 0 || port >= WR_PORT_JOIN || ring < 0 || ring > UINT32_MAX) {
        return WR_FAIL(err, WR_E_PROTOCOL, "class_open: the raylet answered port %lld, ring %lld",
                       (long long)port, (long long)ring);
    }
    f->port = (uint32_t)port;
    f->ring = (uint32_t)ring;
    f->generation = (uint32_t)generation;
    f->open = true;
    return WR_OK;
}

static wr_status export_named(wr_client *client, const char *name, wr_ref ref, uint32_t *out, wr_error *err) {
    char digest[WR_C_NAME_MAX + 3];
    const size_t n = strlen(name);
    memcpy(digest, "c:", 2);
    memcpy(digest + 2, name, n);
    wr_record_writer w = {0};
    wr_record_begin(&w);
    wr_record_bytes(&w, "digest", digest, n + 2);
    wr_record_int(&w, "ref", (int64_t)ref);
    wr_record_string(&w, "name", name);
    wr_record_bytes(&w, "meta", name, n);
    uint8_t *reply = NULL;
    wr_record r;
    WR_TRY(call_writer(client, "function_export", &w, &reply, &r, err));
    const int64_t number = wr_record_get_int(&r, "function", -1);
    wr_bytes_free(reply);
    if (number < 0 || number >= WR_METHOD) {
        return WR_FAIL(err, WR_E_PROTOCOL, "function_export: the raylet answered number %lld",
                       (long long)number);
    }
    *out = (uint32_t)number;
    return WR_OK;
}

/* The number of a function by its name; asks the raylet once. */
static wr_status number_of(wr_client *client, struct c_functions *f, const char *name, uint32_t *out,
                           wr_error *err) {
    for (uint32_t i = 0; i < f->count; i++) {
        if (strcmp(f->items[i].name, name) == 0) {
            *out = f->items[i].number;
            return WR_OK;
        }
    }
    void *grown = f->items;
    WR_TRY(wr_array_reserve(&grown, &f->capacity, f->count + 1, sizeof(known), err));
    f->items = grown;
    /* The raylet holds an object for each function: here it is the name itself. */
    const wr_value value = {.stream = (const uint8_t *)name, .stream_bytes = strlen(name)};
    wr_ref ref = 0;
    uint32_t number = 0;
    WR_TRY(wr_put(client, &value, &ref, err));
    wr_share(client, ref);
    const wr_status status = export_named(client, name, ref, &number, err);
    wr_unref(client, ref);
    WR_TRY(status);
    char *copy = strdup(name);
    if (copy == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for the name of a C function");
    }
    f->items[f->count++] = (known){.name = copy, .number = number};
    *out = number;
    return WR_OK;
}

wr_status wr_c_submit(wr_client *client, const char *name, const void *args, uint64_t arg_bytes, wr_ref *out,
                      wr_error *err) {
    enum { RETRIES = 3, REOPENS_MAX = 8 };
    if (!client_live(client)) {
        return wr_client_refuse(client, err);
    }
    if (!name_good(name)) {
        return WR_FAIL(err, WR_E_INVALID, "a C function has a name of 1 to %d bytes", (int)WR_C_NAME_MAX);
    }
    if (client->c_functions == NULL) {
        client->c_functions = wr_calloc(1, sizeof *client->c_functions);
        if (client->c_functions == NULL) {
            return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for the table of C functions");
        }
    }
    struct c_functions *f = client->c_functions;
    uint32_t number = 0;
    WR_TRY(number_of(client, f, name, &number, err));
    wr_status status = WR_E_NOT_FOUND;
    for (int tries = 0; tries < REOPENS_MAX && status == WR_E_NOT_FOUND; tries++) {
        if (!f->open) {
            WR_TRY(class_open(client, f, err));
        }
        const wr_call call = {.port = f->port,
                              .ring = f->ring,
                              .generation = f->generation,
                              .function = number,
                              .max_retries = RETRIES,
                              .args = {.stream = args, .stream_bytes = arg_bytes}};
        status = wr_submit(client, &call, out, err);
        f->open = status != WR_E_NOT_FOUND; /* the raylet gave the port of an unused class back */
    }
    return status;
}

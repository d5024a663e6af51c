/* A worker of C functions: loads the job's libraries, then takes task after task until the raylet ends it. */
#include "worker/c_functions.h"

#include "base/ids.h"
#include "base/log.h"
#include "base/map.h"
#include "whipray/record.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { COOKIE_BYTES_MAX = 64, TOKEN_BYTES_MAX = 512, SPIN_NS = 50000 };

typedef struct worker {
    wr_client *client;
    wr_map functions; /* number -> wr_c_function */
    wr_error load;    /* why a library could not be loaded; for tasks that miss their function */
} worker;

typedef struct options {
    const char *socket_path, *token_file, *cookie;
} options;

static wr_status options_parse(int argc, char **argv, options *out, wr_error *err) {
    for (int i = 1; i < argc; i += 2) {
        const char **to = strcmp(argv[i], "--socket") == 0       ? &out->socket_path
                          : strcmp(argv[i], "--token-file") == 0 ? &out->token_file
                          : strcmp(argv[i], "--cookie") == 0     ? &out->cookie
                                                                 : NULL;
        if (to == NULL || i + 1 >= argc) {
            return WR_FAIL(err, WR_E_INVALID, "%s: %s", argv[i],
                           to == NULL ? "there is no such option" : "its value is missing");
        }
        *to = argv[i + 1];
    }
    if (out->socket_path == NULL || out->token_file == NULL || out->cookie == NULL) {
        return WR_FAIL(err, WR_E_INVALID,
                       "usage: whipray-worker --socket PATH --token-file FILE --cookie HEX");
    }
    return WR_OK;
}

/* The token is the file's text without the white space at its end. */
static wr_status token_read(const char *path, char out[TOKEN_BYTES_MAX], wr_error *err) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return WR_FAIL_ERRNO(err, "%s", path);
    }
    ssize_t n = read(fd, out, TOKEN_BYTES_MAX - 1);
    if (n < 0) {
        wr_status status = WR_FAIL_ERRNO(err, "%s", path);
        close(fd);
        return status;
    }
    close(fd);
    while (n > 0 && strchr(" \t\r\n", out[n - 1]) != NULL) {
        n--;
    }
    out[n] = '\0';
    return WR_OK;
}

static wr_status worker_open(worker *w, const options *o, wr_error *err) {
    uint8_t cookie[COOKIE_BYTES_MAX];
    const size_t cookie_bytes = strlen(o->cookie) / 2;
    if (cookie_bytes > sizeof cookie || !wr_hex_decode(o->cookie, cookie_bytes, cookie)) {
        return WR_FAIL(err, WR_E_INVALID, "--cookie: not hex of at most %d bytes", (int)COOKIE_BYTES_MAX);
    }
    char token[TOKEN_BYTES_MAX];
    WR_TRY(token_read(o->token_file, token, err));
    wr_record_writer writer = {0};
    wr_client_opts opts = {
        .kind = WR_CLIENT_WORKER, .socket_path = o->socket_path, .token = token, .spin_ns = SPIN_NS};
    uint32_t hello_bytes = 0;
    wr_record_begin(&writer);
    wr_record_bytes(&writer, "cookie", cookie, cookie_bytes);
    wr_status status = wr_record_finish(&writer, &opts.hello, &hello_bytes, err);
    if (status == WR_OK) {
        opts.hello_bytes = hello_bytes;
        status = wr_client_open(&opts, &w->client, err);
    }
    wr_record_done(&writer);
    memset(token, 0, sizeof token);
    return status;
}

static void library_load(worker *w, const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library == NULL ? NULL : dlsym(library, "whipray_register");
    if (symbol == NULL) {
        const char *why = dlerror();
        WR_FAIL(&w->load, WR_E_ENV_SETUP, "library %s of the job: %s", path,
                why == NULL ? "no whipray_register" : why);
        WR_LOG_ERROR("worker.library_failed", "%s", w->load.text);
        return;
    }
    void (*reg)(void);
    memcpy(&reg, &symbol, sizeof reg); /* ISO C has no cast from data to function */
    reg();
}

static void libraries_load(worker *w) {
    uint64_t bytes = 0;
    const uint8_t *packed = wr_client_welcome(w->client, &bytes);
    const wr_record welcome = {.bytes = packed, .count_bytes = (uint32_t)bytes};
    wr_record job;
    wr_record_value list;
    if (!wr_record_get_map(&welcome, "job_config", &job) || !wr_record_find(&job, "libraries", &list) ||
        list.type != 'l') {
        return;
    }
    wr_record_value item;
    uint32_t cursor = 0;
    while (wr_record_item(&list, &cursor, &item)) {
        char path[4096];
        if (item.type == 's' && item.count < sizeof path) {
            memcpy(path, item.bytes, item.count);
            path[item.count] = '\0';
            library_load(w, path);
        }
    }
}

/* The function of a number: asks the raylet for its name the first time. */
static wr_status function_of(worker *w, uint32_t number, wr_c_function *out, wr_error *err) {
    uint64_t known = 0;
    if (wr_map_get(&w->functions, number, &known)) {
        memcpy(out, &known, sizeof *out);
        return WR_OK;
    }
    wr_record_writer writer = {0};
    const uint8_t *request = NULL;
    uint32_t request_bytes = 0;
    uint8_t *reply = NULL;
    uint64_t reply_bytes = 0;
    wr_record_begin(&writer);
    wr_record_int(&writer, "function", number);
    wr_status status = wr_record_finish(&writer, &request, &request_bytes, err);
    if (status == WR_OK) {
        status =
            wr_client_call(w->client, "function_get", request, request_bytes, 0, &reply, &reply_bytes, err);
    }
    wr_record_done(&writer);
    WR_TRY(status);
    const wr_record r = {.bytes = reply, .count_bytes = (uint32_t)reply_bytes};
    char name[WR_C_NAME_MAX + 1] = "";
    wr_record_value meta;
    if (wr_record_find(&r, "meta", &meta) && meta.type == 'b' && meta.count < sizeof name) {
        memcpy(name, meta.bytes, meta.count);
        name[meta.count] = '\0';
    }
    wr_bytes_free(reply);
    const wr_c_function function = wr_c_find(name);
    if (function == NULL) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "this worker has no C function named '%s'%s%s", name,
                       w->load.status == WR_OK ? "" : ": ", w->load.text);
    }
    memcpy(&known, &function, sizeof function);
    WR_TRY(wr_map_set(&w->functions, number, known, err));
    *out = function;
    return WR_OK;
}

static void task_run(worker *w, wr_task *task) {
    wr_c_function function = NULL;
    wr_error why = {0};
    if (function_of(w, task->function, &function, &why) != WR_OK) {
        (void)wr_task_fail(w->client, task, &why);
        return;
    }
    (void)wr_c_execute(w->client, task, function);
}

/* false: the worker is to end. */
static bool assignment_take(worker *w, wr_error *err) {
    uint8_t *reply = NULL;
    uint64_t bytes = 0;
    const wr_status status = wr_client_call(w->client, "assignment", NULL, 0, 0, &reply, &bytes, err);
    if (status != WR_OK) {
        return false;
    }
    const wr_record r = {.bytes = reply, .count_bytes = (uint32_t)bytes};
    char kind[16];
    const bool known = wr_record_get_string(&r, "kind", kind, sizeof kind);
    wr_worker_assigned(w->client, (uint32_t)wr_record_get_int(&r, "word", 0));
    wr_bytes_free(reply);
    if (!known || strcmp(kind, "exit") == 0) {
        return false;
    }
    if (strcmp(kind, "actor") == 0) {
        WR_FAIL(err, WR_E_UNSUPPORTED, "a worker of C functions cannot be an actor");
        return false;
    }
    return true;
}

static wr_status work(worker *w, wr_error *err) {
    wr_task task;
    for (;;) {
        switch (wr_worker_next(w->client, 0, &task)) {
        case WR_NEXT_TASK:
            task_run(w, &task);
            break;
        case WR_NEXT_NONE:
            wr_worker_idle(w->client, SPIN_NS);
            break;
        case WR_NEXT_ASSIGNMENT:
            if (!assignment_take(w, err)) {
                return err->status;
            }
            break;
        case WR_NEXT_EXIT:
            return WR_OK;
        case WR_NEXT_DEAD:
            return wr_client_why(w->client, err);
        }
    }
}

int wr_c_worker_main(int argc, char **argv) {
    wr_log_open("whipray-worker", STDERR_FILENO, WR_LEVEL_INFO);
    options o = {0};
    worker w = {0};
    wr_error err = {0};
    wr_status status = options_parse(argc, argv, &o, &err);
    if (status == WR_OK) {
        status = worker_open(&w, &o, &err);
    }
    if (status == WR_OK) {
        libraries_load(&w);
        status = work(&w, &err);
    }
    if (status != WR_OK) {
        WR_LOG_ERROR("worker.ended", "%s", err.text);
    }
    wr_map_done(&w.functions);
    wr_client_close(w.client);
    return status == WR_OK ? 0 : 1;
}

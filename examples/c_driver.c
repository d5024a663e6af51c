/* examples/c_driver.c: a driver in C. It submits tasks to C functions by name and reads their results.
 *
 *   c_driver SOCKET TOKEN_FILE LIBRARY
 *
 * SOCKET is the raylet's Unix socket (sockets/raylet in the session's folder), LIBRARY the shared library of
 * examples/c_functions.c. Threads of a driver that call functions marked [books] in whipray.h hold one mutex
 * around them; waits and looks need none.
 */
#include "whipray/record.h"
#include "whipray/whipray.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 2, TASKS = 1000 };

static pthread_mutex_t books = PTHREAD_MUTEX_INITIALIZER;

static int fail(const char *what, const wr_error *err) {
    fprintf(stderr, "%s: %s (%s)\n", what, err->text, wr_status_name(err->status));
    return 1;
}

/* Says which library the job's workers load. */
static wr_status connect_driver(const char *socket_path, const char *token, const char *library,
                                wr_client **out, wr_error *err) {
    char cwd[4096];
    if (getcwd(cwd, sizeof cwd) == NULL) {
        cwd[0] = '\0';
    }
    wr_record_writer w = {0};
    wr_record_begin(&w);
    wr_record_map_begin(&w, "job");
    wr_record_string(&w, "language", "c");
    wr_record_string(&w, "entrypoint", "c_driver");
    wr_record_string(&w, "cwd", cwd);
    wr_record_list_begin(&w, "libraries");
    wr_record_string(&w, NULL, library);
    wr_record_list_end(&w);
    wr_record_map_end(&w);
    wr_client_opts opts = {.kind = WR_CLIENT_DRIVER, .socket_path = socket_path, .token = token};
    uint32_t bytes = 0;
    wr_status status = wr_record_finish(&w, &opts.hello, &bytes, err);
    if (status == WR_OK) {
        opts.hello_bytes = bytes;
        status = wr_client_open(&opts, out, err);
    }
    wr_record_done(&w);
    return status;
}

/* Waits for an int64 and gives the ref back. */
static wr_status result_of(wr_client *client, wr_ref ref, int64_t *out, wr_error *err) {
    wr_status status;
    do { /* comes round at least each 100 ms: a place to look at signals */
        pthread_mutex_lock(&books);
        const bool left = wr_flush(client); /* true: tasks that found no room wait to be queued */
        pthread_mutex_unlock(&books);
        status = wr_wait(client, ref, left ? 1000000 : UINT64_MAX);
    } while (status == WR_E_INTERRUPTED || status == WR_E_TIMEOUT);
    wr_view view;
    if (status == WR_OK) {
        status = wr_view_get(client, ref, &view, err);
    } else {
        wr_error_set(err, status, __FILE__, __LINE__, "the wait for a result ended: %s",
                     wr_status_text(status));
    }
    if (status == WR_OK && view.kind == WR_KIND_SYSTEM_ERROR) {
        wr_view_error(&view, err);
        status = err->status;
    }
    if (status == WR_OK && view.stream_bytes != sizeof *out) {
        status = wr_error_set(err, WR_E_CORRUPT, __FILE__, __LINE__, "a result has %" PRIu64 " bytes",
                              view.stream_bytes);
    }
    if (status == WR_OK) {
        memcpy(out, view.stream, sizeof *out);
    }
    pthread_mutex_lock(&books);
    wr_unref(client, ref);
    pthread_mutex_unlock(&books);
    return status;
}

typedef struct adder {
    wr_client *client;
    wr_status status;
    wr_error err;
} adder;

static void *add_many(void *arg) {
    adder *a = arg;
    wr_ref refs[TASKS];
    int submitted = 0;
    for (; submitted < TASKS && a->status == WR_OK; submitted++) {
        const int64_t numbers[3] = {submitted, 2, 3};
        pthread_mutex_lock(&books);
        a->status = wr_c_submit(a->client, "sum", numbers, sizeof numbers, &refs[submitted], &a->err);
        pthread_mutex_unlock(&books);
    }
    for (int i = 0; i < submitted && a->status == WR_OK; i++) {
        int64_t sum = 0;
        a->status = result_of(a->client, refs[i], &sum, &a->err);
        if (a->status == WR_OK && sum != i + 5) {
            a->status =
                wr_error_set(&a->err, WR_E_INTERNAL, __FILE__, __LINE__, "%d + 2 + 3 gave %" PRId64, i, sum);
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s SOCKET TOKEN_FILE LIBRARY\n", argv[0]);
        return 2;
    }
    char token[512] = "";
    FILE *file = fopen(argv[2], "r");
    if (file == NULL || fgets(token, sizeof token, file) == NULL) {
        fprintf(stderr, "%s: no token there\n", argv[2]);
        return 1;
    }
    fclose(file);
    token[strcspn(token, "\r\n")] = '\0';

    wr_error err = {0};
    wr_client *client = NULL;
    if (connect_driver(argv[1], token, argv[3], &client, &err) != WR_OK) {
        return fail("connect", &err);
    }
    wr_ref ref = 0;
    int64_t pid = 0;
    pthread_mutex_lock(&books);
    wr_status status = wr_c_submit(client, "whoami", NULL, 0, &ref, &err);
    pthread_mutex_unlock(&books);
    if (status != WR_OK || result_of(client, ref, &pid, &err) != WR_OK) {
        return fail("whoami", &err);
    }
    printf("a task ran in process %" PRId64 ", the driver is %d\n", pid, (int)getpid());

    static adder adders[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        adders[i].client = client;
        if (pthread_create(&threads[i], NULL, add_many, &adders[i]) != 0) {
            fprintf(stderr, "a thread could not be started\n");
            return 1;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        if (adders[i].status != WR_OK) {
            return fail("sum", &adders[i].err);
        }
    }
    wr_counters counters;
    wr_client_counters(client, &counters);
    printf("%d sums are right; %" PRIu64 " tasks were submitted\n", THREADS * TASKS,
           counters.tasks_submitted);
    wr_client_close(client);
    return 0;
}

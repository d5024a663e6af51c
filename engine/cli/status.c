/* whipray status: nodes, resources, the pool, processes, and what waits and why. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const cli_option options[] = {
    {"verbose", 'v', false, "also processes and workers"},
    {"address", 0, true, "session folder, raylet socket, or \"auto\""},
    {"temp-dir", 0, true, "as for start"},
    {"help", 'h', false, "this text"},
    {NULL, 0, false, NULL},
};

static void amount(const char *name, uint32_t name_bytes, double value, char *out, size_t size) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    bool bytes = (name_bytes == 6 && memcmp(name, "memory", 6) == 0) ||
                 (name_bytes == 19 && memcmp(name, "object_store_memory", 19) == 0);
    if (!bytes) {
        snprintf(out, size, "%.6g", value);
        return;
    }
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < WR_COUNT_OF(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(out, size, "%.4g %s", value, units[unit]);
}

static void print_resources(const wr_record *reply) {
    wr_record total, available;
    if (!wr_record_get_map(reply, "total", &total) || !wr_record_get_map(reply, "available", &available)) {
        return;
    }
    printf("Resources (in use / total)\n");
    uint32_t cursor = 0, bytes;
    const char *name;
    wr_record_value v;
    while (wr_record_next(&total, &cursor, &name, &bytes, &v)) {
        char key[WR_RECORD_NAME_MAX + 1], used[64], all[64];
        snprintf(key, sizeof key, "%.*s", (int)bytes, name);
        double rest = wr_record_get_double(&available, key, 0);
        amount(name, bytes, v.d - rest, used, sizeof used);
        amount(name, bytes, v.d, all, sizeof all);
        printf("  %-12s %s / %s\n", key, used, all);
    }
}

static void map_text(const wr_record *map, char *out, size_t size) {
    uint32_t cursor = 0, bytes;
    size_t used = 0;
    const char *name;
    wr_record_value v;
    out[0] = 0;
    while (wr_record_next(map, &cursor, &name, &bytes, &v) && used + 1 < size) {
        int n =
            snprintf(out + used, size - used, "%s%.*s: %.6g", used > 0 ? ", " : "", (int)bytes, name, v.d);
        used += n > 0 ? (size_t)n : 0;
    }
}

static void print_pending(const wr_record *reply) {
    wr_record_value list, item;
    if (!wr_record_find(reply, "pending", &list) || list.type != 'l') {
        return;
    }
    printf("Waiting\n%s", list.items == 0 ? "  nothing\n" : "");
    uint32_t cursor = 0;
    while (wr_record_item(&list, &cursor, &item)) {
        wr_record one = wr_record_of(&item), need = {0};
        char kind[256] = "", why[600] = "", text[600] = "";
        (void)wr_record_get_string(&one, "kind", kind, sizeof kind);
        (void)wr_record_get_string(&one, "why", why, sizeof why);
        if (wr_record_get_map(&one, "resources", &need)) {
            map_text(&need, text, sizeof text);
        }
        printf("  %lld %s of job %lld, each {%s}: %s\n", (long long)wr_record_get_int(&one, "queued", 0),
               kind, (long long)wr_record_get_int(&one, "job", 0), text, why);
    }
}

static void print_nodes(const wr_record *nodes) {
    wr_record_value list, item;
    if (!wr_record_find(nodes, "nodes", &list) || list.type != 'l') {
        return;
    }
    printf("Nodes\n");
    uint32_t cursor = 0;
    while (wr_record_item(&list, &cursor, &item)) {
        wr_record one = wr_record_of(&item);
        char name[128] = "", host[256] = "", death[256] = "";
        (void)wr_record_get_string(&one, "name", name, sizeof name);
        (void)wr_record_get_string(&one, "hostname", host, sizeof host);
        (void)wr_record_get_string(&one, "death_text", death, sizeof death);
        printf("  %s (%s)%s: %s%s%s\n", name, host, wr_record_get_int(&one, "head", 0) != 0 ? ", head" : "",
               wr_record_get_int(&one, "alive", 0) != 0 ? "alive" : "dead", death[0] != 0 ? ": " : "", death);
    }
}

static void print_list(const wr_record *reply, const char *field, const char *head,
                       const char *const *texts) {
    wr_record_value list, item;
    if (!wr_record_find(reply, field, &list) || list.type != 'l') {
        return;
    }
    printf("%s\n", head);
    uint32_t cursor = 0;
    while (wr_record_item(&list, &cursor, &item)) {
        wr_record one = wr_record_of(&item);
        printf("  pid %-8lld job %-4lld", (long long)wr_record_get_int(&one, "pid", 0),
               (long long)wr_record_get_int(&one, "job", 0));
        for (const char *const *t = texts; *t != NULL; t++) {
            char text[256];
            if (wr_record_get_string(&one, *t, text, sizeof text)) {
                printf(" %s", text);
            }
        }
        printf("\n");
    }
}

static void print_pool(const wr_record *reply) {
    wr_record pool, counts;
    if (!wr_record_get_map(reply, "pool", &pool) || !wr_record_get_map(reply, "counts", &counts)) {
        return;
    }
    char used[64], all[64], run[64];
    amount("memory", 6, (double)wr_record_get_int(&pool, "heap_leased", 0), used, sizeof used);
    amount("memory", 6, (double)wr_record_get_int(&pool, "heap_bytes", 0), all, sizeof all);
    amount("memory", 6, (double)wr_record_get_int(&pool, "heap_largest_run", 0), run, sizeof run);
    printf("Object store\n  %s of %s are leased to processes, the largest free run has %s; %lld shared "
           "objects\n",
           used, all, run, (long long)wr_record_get_int(&pool, "shared_objects", 0));
    printf("Processes\n  %lld jobs, %lld workers (%lld idle, %lld starting), %lld actors, %lld placement "
           "groups\n",
           (long long)wr_record_get_int(&counts, "jobs", 0),
           (long long)wr_record_get_int(&counts, "workers", 0),
           (long long)wr_record_get_int(&counts, "workers_idle", 0),
           (long long)wr_record_get_int(&counts, "workers_starting", 0),
           (long long)wr_record_get_int(&counts, "actors", 0),
           (long long)wr_record_get_int(&counts, "groups", 0));
}

int cli_status(int argc, char **argv) {
    cli_values v;
    wr_error err;
    cli_cluster c;
    wr_record reply;
    memset(&err, 0, sizeof err);
    if (cli_parse(options, argc, argv, &v, &err) != WR_OK) {
        return cli_complain(&err);
    }
    if (cli_value(options, &v, "help") != NULL) {
        cli_help("usage: whipray status [option ...]", options);
        return 0;
    }
    wr_status status =
        cli_connect(cli_value(options, &v, "address"), cli_value(options, &v, "temp-dir"), &c, &err);
    if (status != WR_OK) {
        cli_disconnect(&c);
        return cli_complain(&err);
    }
    status = cli_call(&c, "resources", 5ull * 1000000000, &reply, &err); /* it needs no GCS */
    if (status == WR_OK) {
        status = cli_call(&c, "nodes", 5ull * 1000000000, &reply, &err);
        if (status == WR_OK) {
            print_nodes(&reply);
        } else if (status == WR_E_UNAVAILABLE ||
                   status == WR_E_TIMEOUT) { /* the raylet is there all the same */
            printf("Nodes\n  %s\n",
                   status == WR_E_TIMEOUT ? "the GCS is away: it has not answered for 5 s" : err.text);
            status = WR_OK;
        }
    }
    status = status == WR_OK ? cli_call(&c, "status", 5ull * 1000000000, &reply, &err) : status;
    if (status != WR_OK) {
        cli_disconnect(&c);
        return cli_complain(&err);
    }
    print_resources(&reply);
    print_pool(&reply);
    print_pending(&reply);
    if (cli_value(options, &v, "verbose") != NULL) {
        static const char *const process_texts[] = {"kind", NULL}, *const worker_texts[] = {"state", "actor",
                                                                                            NULL};
        printf("raylet pid %lld, gcs pid %lld, up for %lld s\n",
               (long long)wr_record_get_int(&reply, "raylet_pid", 0),
               (long long)wr_record_get_int(&reply, "gcs_pid", 0),
               (long long)wr_record_get_int(&reply, "uptime_ms", 0) / 1000);
        print_list(&reply, "processes", "Processes that are watched", process_texts);
        print_list(&reply, "workers", "Workers", worker_texts);
    }
    cli_disconnect(&c);
    return 0;
}

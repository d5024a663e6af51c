/* Control groups, and the store's size. */
#include "raylet/shell/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GROUP_MAX = 512, PATH_SIZE = 1400 };

const shell_limit_paths shell_limit_paths_of_kernel = {
    .cgroup = "/sys/fs/cgroup", .own_group = "/proc/self/cgroup", .meminfo = "/proc/meminfo"};

static bool read_file(const char *path, char *out, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    if (n <= 0) {
        return false;
    }
    out[n] = 0;
    return true;
}

/* The process's group in the tree of a controller: "" is version 2's. Without a line for it, the root. */
static void own_group(const shell_limit_paths *paths, const char *controller, char out[GROUP_MAX]) {
    char text[4096], wanted[32];
    snprintf(out, GROUP_MAX, "/");
    if (!read_file(paths->own_group, text, sizeof text)) {
        return;
    }
    for (char *line = text, *rest; line != NULL && *line != 0; line = rest) { /* number:controller,...:path */
        rest = strchr(line, '\n');
        if (rest != NULL) {
            *rest++ = 0;
        }
        char *names = strchr(line, ':'), *path = names != NULL ? strchr(names + 1, ':') : NULL;
        if (path == NULL || path[1] != '/') {
            continue;
        }
        *path++ = 0;
        char list[256];
        snprintf(list, sizeof list, ",%s,", names + 1);
        snprintf(wanted, sizeof wanted, ",%s,", controller);
        if (strstr(list, wanted) != NULL && strlen(path) < GROUP_MAX) {
            snprintf(out, GROUP_MAX, "%s", path);
            return;
        }
    }
}

/* Makes a group the one above it; false: it was the root. */
static bool one_up(char *group) {
    char *slash = strrchr(group, '/');
    if (slash == NULL || strcmp(group, "/") == 0) {
        return false;
    }
    slash[slash == group ? 1 : 0] = 0;
    return true;
}

static bool read_group(const shell_limit_paths *paths, const char *tree, const char *group, const char *file,
                       char *out, size_t size) {
    char path[PATH_SIZE];
    int n = snprintf(path, sizeof path, "%s%s%s/%s", paths->cgroup, tree,
                     strcmp(group, "/") == 0 ? "" : group, file);
    return n > 0 && n < PATH_SIZE && read_file(path, out, size);
}

/* The least memory limit from the process's group up to the root of one tree. */
static uint64_t least_memory(const shell_limit_paths *paths, const char *controller, const char *tree,
                             const char *file, uint64_t least) {
    char group[GROUP_MAX], text[64];
    own_group(paths, controller, group);
    do {
        if (read_group(paths, tree, group, file, text, sizeof text)) {
            unsigned long long limit = strtoull(text, NULL, 10); /* "max" gives 0 */
            least = limit > 0 && limit < least ? limit : least;
        }
    } while (one_up(group));
    return least;
}

uint64_t shell_memory_limit(const shell_limit_paths *paths) {
    char text[4096];
    uint64_t limit = 4ull << 30;
    if (read_file(paths->meminfo, text, sizeof text)) {
        unsigned long long kib;
        const char *at = strstr(text, "MemTotal:");
        if (at != NULL && sscanf(at, "MemTotal: %llu", &kib) == 1) {
            limit = kib * 1024;
        }
    }
    limit = least_memory(paths, "", "", "memory.max", limit);
    return least_memory(paths, "memory", "/memory", "memory.limit_in_bytes", limit);
}

static uint32_t least_cpus(long long quota, long long period, uint32_t least) {
    if (quota <= 0 || period <= 0) {
        return least;
    }
    long long cpus = quota / period + (quota % period != 0);
    return cpus < least ? (uint32_t)cpus : least;
}

uint32_t shell_cpu_limit(const shell_limit_paths *paths, uint32_t machine) {
    char group[GROUP_MAX], text[128], period[64];
    uint32_t least = machine > 0 ? machine : 1;
    own_group(paths, "", group);
    do {
        long long quota, length;
        if (read_group(paths, "", group, "cpu.max", text, sizeof text) &&
            sscanf(text, "%lld %lld", &quota, &length) == 2) { /* "max 100000" is no limit */
            least = least_cpus(quota, length, least);
        }
    } while (one_up(group));
    own_group(paths, "cpu", group);
    do {
        if (read_group(paths, "/cpu", group, "cpu.cfs_quota_us", text, sizeof text) &&
            read_group(paths, "/cpu", group, "cpu.cfs_period_us", period, sizeof period)) {
            least = least_cpus(strtoll(text, NULL, 10), strtoll(period, NULL, 10), least);
        }
    } while (one_up(group));
    return least;
}

wr_status shell_store_heap(uint64_t asked, uint64_t limit, uint64_t *out_heap, wr_error *err) {
    const uint64_t unit = 1u << 20, default_max = 200ull << 30;
    uint64_t heap = asked > 0 ? asked : limit / 10 * 3;
    heap = asked > 0 || heap < default_max ? heap : default_max;
    if (heap > limit) {
        wr_status status = WR_FAIL(
            err, WR_E_INVALID,
            "object_store_memory: %llu bytes are more than the %llu that this machine or container may use",
            (unsigned long long)heap, (unsigned long long)limit);
        wr_error_hint(err, "raise the container's memory limit, or ask for at most %llu",
                      (unsigned long long)(limit / 10 * 8));
        return status;
    }
    if (heap < 8 * unit) {
        return WR_FAIL(
            err, WR_E_INVALID,
            "object_store_memory: %llu bytes are less than 8 MiB%s (the memory limit is %llu bytes)",
            (unsigned long long)heap, asked > 0 ? "" : ", and so is 30 % of the memory",
            (unsigned long long)limit);
    }
    *out_heap = heap / unit * unit;
    return WR_OK;
}

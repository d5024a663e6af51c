/* What this machine, or this container, has. */
#include "raylet/shell/shell.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* A file of this process's cgroup (version 2), looked for from its own group up to the root; then version 1's place. */
static bool read_cgroup(const char *file, const char *v1, char *out, size_t size) {
    char text[1024], path[1400], group[512] = "/";
    if (read_file("/proc/self/cgroup", text, sizeof text)) {
        const char *line = strstr(text, "0::");
        if (line != NULL) {
            snprintf(group, sizeof group, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
        }
    }
    for (;;) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", strcmp(group, "/") == 0 ? "" : group, file);
        if (read_file(path, out, size)) {
            return true;
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL || strcmp(group, "/") == 0) {
            break;
        }
        slash[slash == group ? 1 : 0] = 0;
    }
    return v1 != NULL && read_file(v1, out, size);
}

uint32_t shell_cpu_count(void) {
    cpu_set_t set;
    uint32_t count = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        count = (uint32_t)CPU_COUNT(&set);
    }
    char text[128], period_text[64];
    long long quota = -1, period = 100000;
    if (read_cgroup("cpu.max", NULL, text, sizeof text)) {
        if (sscanf(text, "%lld %lld", &quota, &period) != 2) {
            quota = -1; /* "max" */
        }
    } else if (read_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", text, sizeof text) &&
               read_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period_text, sizeof period_text)) {
        quota = strtoll(text, NULL, 10);
        period = strtoll(period_text, NULL, 10);
    }
    if (quota > 0 && period > 0) {
        uint64_t cpus = (uint64_t)((quota + period - 1) / period);
        count = cpus < count ? (uint32_t)(cpus > 0 ? cpus : 1) : count;
    }
    return count > 0 ? count : 1;
}

uint64_t shell_memory_limit(void) {
    char text[4096];
    uint64_t total = 4ull << 30;
    if (read_file("/proc/meminfo", text, sizeof text)) {
        unsigned long long kib;
        const char *at = strstr(text, "MemTotal:");
        if (at != NULL && sscanf(at, "MemTotal: %llu", &kib) == 1) {
            total = kib * 1024;
        }
    }
    if (read_cgroup("memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes", text, sizeof text)) {
        unsigned long long limit = strtoull(text, NULL, 10); /* "max" gives 0 */
        total = limit > 0 && limit < total ? limit : total;
    }
    return total;
}

uint32_t shell_gpu_count(wr_shell *sh) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    uint32_t count = 0;
    if (visible != NULL) { /* ids may also be UUIDs: they are handed on as they are */
        while (visible[0] != 0 && strncmp(visible, "-1", 2) != 0 && count < WR_GPUS_MAX) {
            size_t n = strcspn(visible, ",");
            snprintf(sh->gpu_ids[count], sizeof sh->gpu_ids[0], "%.*s", (int)n, visible);
            count += n > 0;
            visible += n + (visible[n] == ',');
        }
        return count;
    }
    DIR *dev = opendir("/dev");
    struct dirent *entry;
    while (dev != NULL && (entry = readdir(dev)) != NULL && count < WR_GPUS_MAX) {
        unsigned number;
        char rest;
        count += sscanf(entry->d_name, "nvidia%u%c", &number, &rest) == 1;
    }
    if (dev != NULL) {
        closedir(dev);
    }
    return count;
}

void shell_node_ip(char out[64]) {
    snprintf(out, 64, "127.0.0.1");
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        return;
    }
    for (struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr != NULL && at->ifa_addr->sa_family == AF_INET && (at->ifa_flags & IFF_UP) != 0 &&
            (at->ifa_flags & IFF_LOOPBACK) == 0) {
            struct sockaddr_in address;
            memcpy(&address, at->ifa_addr, sizeof address);
            if (inet_ntop(AF_INET, &address.sin_addr, out, 64) != NULL) {
                break;
            }
        }
    }
    freeifaddrs(all);
}

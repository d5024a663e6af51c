/* What this machine, or this container, has. */
#include "raylet/shell/limits.h"
#include "raylet/shell/shell.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

uint32_t shell_cpu_count(void) {
    cpu_set_t set;
    uint32_t count = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        count = (uint32_t)CPU_COUNT(&set);
    }
    return shell_cpu_limit(&shell_limit_paths_of_kernel, count);
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

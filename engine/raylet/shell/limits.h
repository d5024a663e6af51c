/* engine/raylet/shell/limits.h: what this process may use of its machine or container, and what follows for the store.
 *
 * A process may use the least of what the machine has and of what its control group and each group above it allow,
 * in version 2 (one tree) or version 1 (a tree per resource). Files that are not there, or say "max", limit nothing.
 * Reads a few small files; no state.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

/* Where the kernel tells it; tests give folders of their own. */
typedef struct shell_limit_paths {
    const char *cgroup;    /* root folder of the control groups: /sys/fs/cgroup */
    const char *own_group; /* this process's groups: /proc/self/cgroup */
    const char *meminfo;   /* /proc/meminfo */
} shell_limit_paths;

extern const shell_limit_paths shell_limit_paths_of_kernel;

uint64_t shell_memory_limit(const shell_limit_paths *paths); /* bytes; 4 GiB when nothing tells it */
/* `machine` CPUs, or fewer where a quota is lower: parts of a CPU count as one. At least 1. */
uint32_t shell_cpu_limit(const shell_limit_paths *paths, uint32_t machine);

/* Size of the store's heap, in whole MiB. asked: bytes that the user wants, 0 for the default: 30 % of the limit, at
 * most 200 GiB. Fails: INVALID (less than 8 MiB; more than the limit: the text has both figures, nothing is cut
 * silently). */
WR_MUST_USE wr_status shell_store_heap(uint64_t asked, uint64_t limit, uint64_t *out_heap, wr_error *err);

WR_END_DECLS

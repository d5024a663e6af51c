#include "rl/nn/kernels.h"

#include "base/base.h"
#include "rl/env/nearest.h"

#include <pthread.h>
#include <string.h>

void wr_kernel_set_base(wr_kernels *out);
#if defined(WR_RL_WITH_AVX)
void wr_kernel_set_avx2(wr_kernels *out);
void wr_kernel_set_avx512(wr_kernels *out);
#endif

enum { SETS_MAX = 3 };
static wr_kernels sets[SETS_MAX]; /* best first */
static uint32_t set_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find_sets(void) {
#if defined(WR_RL_WITH_AVX)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("fma")) {
        wr_kernel_set_avx512(&sets[set_count++]);
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        wr_kernel_set_avx2(&sets[set_count++]);
    }
#endif
    wr_kernel_set_base(&sets[set_count]);
#if defined(__aarch64__)
    sets[set_count].name = "neon";
#else
    sets[set_count].name = "sse2";
#endif
    set_count++;
}

const wr_kernels *wr_kernels_best(void) {
    pthread_once(&once, find_sets);
    return &sets[0];
}

const char *wr_rl_kernels_name(void) {
    return wr_kernels_best()->name;
}

const char *wr_rl_kernels_available(uint32_t index) {
    pthread_once(&once, find_sets);
    return index < set_count ? sets[index].name : NULL;
}

wr_status wr_kernels_find(const char *name, const wr_kernels **out, wr_error *err) {
    static const char *const known[] = {"auto", "avx512", "avx2", "sse2", "neon"};
    const wr_kernels *best = wr_kernels_best();
    if (name == NULL || strcmp(name, "auto") == 0) {
        *out = best;
        return WR_OK;
    }
    for (uint32_t i = 0; i < set_count; i++) {
        if (strcmp(sets[i].name, name) == 0) {
            *out = &sets[i];
            return WR_OK;
        }
    }
    for (size_t i = 0; i < WR_COUNT_OF(known); i++) {
        if (strcmp(known[i], name) == 0) {
            return WR_FAIL(err, WR_E_UNSUPPORTED, "kernels: this processor has no %s; its best is %s", name,
                           best->name);
        }
    }
    wr_status status = WR_FAIL(err, WR_E_NOT_FOUND, "kernels: there is no '%.40s'; did you mean '%s'?", name,
                               wr_nearest(name, known, WR_COUNT_OF(known)));
    wr_error_hint(err, "known: auto, avx512, avx2, sse2, neon");
    return status;
}

/* engine/base/base.h: asserts, cleanup on scope exit, and small arithmetic that all of C here uses.
 *
 * WR_ASSERT stays on in releases and is for what only a bug of ours can break: it logs one line and
 * aborts. WR_DEBUG_ASSERT is for costly checks and is off when NDEBUG is defined.
 */
#pragma once

#include "whipray/status.h"

#include <stdlib.h>

WR_BEGIN_DECLS

void wr_assert_fail(const char *file, int line, const char *function, const char *what)
    __attribute__((noreturn));

#define WR_ASSERT(cond)                                                                                      \
    do {                                                                                                     \
        if (__builtin_expect(!(cond), 0)) {                                                                  \
            wr_assert_fail(__FILE__, __LINE__, __func__, #cond);                                             \
        }                                                                                                    \
    } while (0)
#ifdef NDEBUG
#define WR_DEBUG_ASSERT(cond) ((void)sizeof(cond))
#else
#define WR_DEBUG_ASSERT(cond) WR_ASSERT(cond)
#endif

/* WR_AUTO(wr_thing) t = ...; releases t on every return; *out = wr_steal(&t) hands it over. */
#define WR_DEFINE_AUTO(type, release)                                                                        \
    static inline void type##_auto_(type **p) {                                                              \
        release(*p);                                                                                         \
    }
#define WR_AUTO(type) __attribute__((cleanup(type##_auto_))) type *
#define wr_steal(pp)                                                                                         \
    __extension__({                                                                                          \
        __typeof__(*(pp)) wr_stolen_ = *(pp);                                                                \
        *(pp) = NULL;                                                                                        \
        wr_stolen_;                                                                                          \
    })

#define WR_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define WR_LIKELY(x) __builtin_expect(!!(x), 1)
#define WR_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Zeroed memory, or NULL; one place, so that tests can make the n-th allocation fail. */
void *wr_calloc(size_t count, size_t bytes);
void *wr_realloc(void *old, size_t bytes); /* as realloc: old stays valid when it fails */
void wr_free(void *memory);                /* accepts NULL */
/* Tests only: the allocation `n` from now (1 = the next) returns NULL; 0 = none. */
void wr_alloc_fail_nth(uint64_t n);

/* Grows an array to hold at least `need` items (doubling, at least 8). Leaves it as it was on NO_MEMORY. */
WR_MUST_USE wr_status wr_array_reserve(void **items, uint32_t *capacity, uint32_t need, size_t item_bytes,
                                       wr_error *err);

static inline uint64_t wr_align_up(uint64_t value, uint64_t power_of_two) {
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

WR_END_DECLS

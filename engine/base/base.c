#include "base/base.h"

#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

void wr_assert_fail(const char *file, int line, const char *function, const char *what) {
    char text[512];
    int n = snprintf(text, sizeof text, "whipray: a bug of ours: %s:%d: %s: not true: %s\n", file, line,
                     function, what);
    if (n > 0) {
        ssize_t ignored = write(STDERR_FILENO, text, (size_t)n);
        (void)ignored;
    }
    if (wr_log_fd() != STDERR_FILENO) {
        wr_log_write(WR_LEVEL_ERROR, file, line, "process.bug", "function=%s not_true=%s", function, what);
    }
    abort();
}

static atomic_uint_fast64_t fail_countdown;

void wr_alloc_fail_nth(uint64_t n) {
    atomic_store(&fail_countdown, n);
}

static bool fails_now(void) {
    if (WR_LIKELY(atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0)) {
        return false;
    }
    return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

void *wr_calloc(size_t count, size_t bytes) {
    return fails_now() ? NULL : calloc(count, bytes);
}

void *wr_realloc(void *old, size_t bytes) {
    return fails_now() ? NULL : realloc(old, bytes);
}

void wr_free(void *memory) {
    free(memory);
}

wr_status wr_array_reserve(void **items, uint32_t *capacity, uint32_t need, size_t item_bytes,
                           wr_error *err) {
    if (need <= *capacity) {
        return WR_OK;
    }
    uint32_t grown = *capacity < 8 ? 8 : *capacity;
    while (grown < need) {
        if (grown > UINT32_MAX / 2) {
            return WR_FAIL(err, WR_E_NO_MEMORY, "an array of %u items is too long", need);
        }
        grown *= 2;
    }
    void *moved = wr_realloc(*items, (size_t)grown * item_bytes);
    if (moved == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no %zu bytes for an array", (size_t)grown * item_bytes);
    }
    *items = moved;
    *capacity = grown;
    return WR_OK;
}

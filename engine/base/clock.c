#include "base/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

wr_time_ns wr_clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint64_t wr_clock_wall_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000ull + (uint64_t)t.tv_nsec / 1000;
}

void wr_random_bytes(void *out, size_t bytes) {
    uint8_t *p = out;
    while (bytes > 0) {
        ssize_t n = getrandom(p, bytes, 0);
        if (n < 0) {
            WR_ASSERT(errno == EINTR); /* getrandom has no other failure with these arguments */
            continue;
        }
        p += n;
        bytes -= (size_t)n;
    }
}

uint64_t wr_random_u64(void) {
    uint64_t value;
    wr_random_bytes(&value, sizeof value);
    return value;
}

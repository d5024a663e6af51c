/* engine/base/clock.h: time. Cores take it as an argument; only shells and waits read it. */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

typedef uint64_t wr_time_ns; /* nanoseconds of CLOCK_MONOTONIC */

wr_time_ns wr_clock_ns(void);    /* monotonic; about 20 ns */
uint64_t wr_clock_wall_us(void); /* microseconds since 1970, for records that people read */
uint64_t wr_random_u64(void);    /* from the kernel (getrandom); for identifiers and tokens */
void wr_random_bytes(void *out, size_t bytes);

WR_END_DECLS

/* engine/store/copy.h: copying bytes into the pool.
 *
 * Measured on two cores with 32 MiB of shared cache, 100 MB into warm shared pages, GB/s: memcpy 25, stores
 * that bypass the cache 30, two threads of them 61. Small copies stay in the cache for their reader.
 *
 * C1. When a call returns, no thread that helped touches its bytes any more. Helpers take no signals.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

enum {
    WR_COPY_STREAM_MIN = 8 << 20, /* from here on the cache is bypassed */
    WR_COPY_SHARE_MIN = 16 << 20, /* what makes another thread worth its start of some 30 us */
    WR_COPY_THREADS_MAX = 4,
};

/* As memcpy; the areas do not overlap. */
void wr_store_copy(uint8_t *to, const void *from, uint64_t bytes);

/* copy_stream_*.c, by machine: as memcpy, past the cache if the machine can. to: a multiple of 64. */
void wr_store_copy_stream(uint8_t *to, const uint8_t *from, uint64_t bytes);

WR_END_DECLS

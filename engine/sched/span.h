/* engine/sched/span.h: bytes that somebody else owns. */
#pragma once

#include "base/base.h"

#include <string.h>

WR_BEGIN_DECLS

/* Borrows; until when is said where it is used. data may be NULL when bytes is 0. Text in a span has no
 * final zero. */
typedef struct wr_span {
    const void *data;
    uint32_t bytes;
} wr_span;

static inline wr_span wr_span_of(const void *data, uint32_t bytes) {
    wr_span span = {data, bytes};
    return span;
}

static inline wr_span wr_span_text(const char *text /* may be NULL */) {
    return wr_span_of(text, text == NULL ? 0 : (uint32_t)strlen(text));
}

static inline bool wr_span_equal(wr_span a, wr_span b) {
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

WR_END_DECLS

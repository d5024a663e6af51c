#include "store/copy.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

enum { LINE = 64, PAGE = 4096 };

typedef struct span {
    uint8_t *to;
    const uint8_t *from;
    uint64_t bytes;
    pthread_t thread;
} span;

static void span_copy(const span *s) {
    const uint64_t odd = (LINE - (uintptr_t)s->to % LINE) % LINE;
    memcpy(s->to, s->from, odd);
    wr_store_copy_stream(s->to + odd, s->from + odd, s->bytes - odd);
}

static void *helper(void *arg) {
    span_copy(arg);
    return NULL;
}

static uint32_t threads_for(uint64_t bytes) {
    const uint64_t useful = bytes / WR_COPY_SHARE_MIN;
    cpu_set_t mine;
    if (useful < 2 || sched_getaffinity(0, sizeof mine, &mine) != 0) {
        return 1;
    }
    uint32_t n = (uint32_t)CPU_COUNT(&mine);
    n = n > WR_COPY_THREADS_MAX ? WR_COPY_THREADS_MAX : n < 1 ? 1 : n;
    return useful < n ? (uint32_t)useful : n;
}

static void copy_shared(uint8_t *to, const uint8_t *from, uint64_t bytes, uint32_t threads) {
    span spans[WR_COPY_THREADS_MAX];
    const uint64_t share = wr_align_up(bytes / threads, PAGE);
    for (uint32_t i = 0; i < threads; i++) {
        const uint64_t at = share * i;
        spans[i] = (span){.to = to + at, .from = from + at, .bytes = i + 1 == threads ? bytes - at : share};
    }
    /* The program's signals are for the program's threads. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    uint32_t started = 1;
    while (started < threads && pthread_create(&spans[started].thread, NULL, helper, &spans[started]) == 0) {
        started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    span_copy(&spans[0]);
    for (uint32_t i = started; i < threads; i++) { /* no thread to be had: done here */
        span_copy(&spans[i]);
    }
    for (uint32_t i = 1; i < started; i++) {
        pthread_join(spans[i].thread, NULL);
    }
}

void wr_store_copy(uint8_t *to, const void *from, uint64_t bytes) {
    if (WR_LIKELY(bytes < WR_COPY_STREAM_MIN)) {
        memcpy(to, from, bytes);
        return;
    }
    copy_shared(to, from, bytes, threads_for(bytes));
}

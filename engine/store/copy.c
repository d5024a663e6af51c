#include "store/copy.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum { LINE = 64, CHUNK = 2 << 20 };

/* Chunks are taken one by one. A helper that gets no core in time finds none left, and ends by itself: the
 * call waits for chunks, not for threads. */
typedef struct job {
    uint8_t *to;
    const uint8_t *from;
    uint64_t bytes;
    atomic_uint_fast64_t next; /* offset of the first chunk that nobody took */
    atomic_uint_fast64_t done; /* bytes that are copied */
    atomic_uint users;         /* threads that know of it: the last one frees it */
} job;

static void chunk_copy(uint8_t *to, const uint8_t *from, uint64_t bytes) {
    uint64_t odd = (LINE - (uintptr_t)to % LINE) % LINE;
    odd = odd < bytes ? odd : bytes;
    memcpy(to, from, odd);
    wr_store_copy_stream(to + odd, from + odd, bytes - odd);
}

static void work(job *j) {
    for (;;) {
        const uint64_t at = atomic_fetch_add_explicit(&j->next, CHUNK, memory_order_relaxed);
        if (at >= j->bytes) {
            return;
        }
        const uint64_t bytes = j->bytes - at < CHUNK ? j->bytes - at : CHUNK;
        chunk_copy(j->to + at, j->from + at, bytes);
        atomic_fetch_add_explicit(&j->done, bytes, memory_order_release);
    }
}

static void job_unref(job *j) {
    if (atomic_fetch_sub_explicit(&j->users, 1, memory_order_acq_rel) == 1) {
        wr_free(j);
    }
}

static void *helper(void *arg) {
    job *j = arg;
    work(j);
    job_unref(j);
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

static void helpers_start(job *j, uint32_t count) {
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    /* The program's signals are for the program's threads. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; i < count; i++) {
        pthread_t ignored;
        atomic_fetch_add_explicit(&j->users, 1, memory_order_relaxed);
        if (pthread_create(&ignored, &detached, helper, j) != 0) {
            atomic_fetch_sub_explicit(&j->users, 1, memory_order_relaxed);
            break; /* copied without it */
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
}

void wr_store_copy(uint8_t *to, const void *from, uint64_t bytes) {
    if (WR_LIKELY(bytes < WR_COPY_STREAM_MIN)) {
        memcpy(to, from, bytes);
        return;
    }
    const uint32_t threads = threads_for(bytes);
    job *j = threads < 2 ? NULL : wr_calloc(1, sizeof *j);
    if (j == NULL) {
        chunk_copy(to, from, bytes);
        return;
    }
    j->to = to;
    j->from = from;
    j->bytes = bytes;
    atomic_init(&j->users, 1);
    helpers_start(j, threads - 1);
    work(j);
    while (atomic_load_explicit(&j->done, memory_order_acquire) != bytes) {
        sched_yield(); /* a helper is within its last chunk */
    }
    job_unref(j);
}

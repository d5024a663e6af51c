/* tests/bench/core/floors.c: what the machine itself can do: the physical floor beside every figure.
 *
 * Prints JSON lines: futex round trip (asleep, spinning), memcpy of 100 MB to warm shared pages with one thread and with as
 * many as a large put uses, and the first touch of fresh shared pages. Argument 1: 1 for a tiny run.
 */
#include "store/copy.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 9 };

typedef struct ping_pong {
    _Alignas(64) _Atomic uint32_t ping;
    _Alignas(64) _Atomic uint32_t pong;
} ping_pong;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *metric, double *values, int count, const char *unit) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    printf("{\"metric\": \"floor.%s\", \"value\": %.4g, \"unit\": \"%s\", \"min\": %.4g, \"max\": %.4g, "
           "\"engine\": \"floor\"}\n",
           metric, values[count / 2], unit, values[0], values[count - 1]);
    fflush(stdout);
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
    syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void round_trips(int n, int sleeping) {
    ping_pong *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double *times = calloc((size_t)n, sizeof *times);
    if (shared == MAP_FAILED || times == NULL) {
        exit(1);
    }
    pid_t child = fork();
    if (child == 0) {
        for (uint32_t i = 1; i <= (uint32_t)n; i++) {
            while (atomic_load(&shared->ping) < i) {
                if (sleeping) {
                    futex_wait(&shared->ping, i - 1);
                }
            }
            atomic_store(&shared->pong, i);
            if (sleeping) {
                futex_wake(&shared->pong);
            }
        }
        _exit(0);
    }
    for (uint32_t i = 1; i <= (uint32_t)n; i++) {
        double t = seconds();
        atomic_store(&shared->ping, i);
        if (sleeping) {
            futex_wake(&shared->ping);
        }
        while (atomic_load(&shared->pong) < i) {
            if (sleeping) {
                futex_wait(&shared->pong, i - 1);
            }
        }
        times[i - 1] = (seconds() - t) * 1e6;
    }
    waitpid(child, NULL, 0);
    report(sleeping ? "futex_round_trip_asleep" : "round_trip_spinning", times, n, "us");
    free(times);
    munmap(shared, sizeof *shared);
}

typedef struct copy_job {
    char *to;
    const char *from;
    size_t bytes;
} copy_job;

static void *copy_part(void *arg) {
    copy_job *job = arg;
    memcpy(job->to, job->from, job->bytes);
    return NULL;
}

static double copy_gb_per_s(char *to, const char *from, size_t bytes, int threads) {
    copy_job jobs[WR_COPY_THREADS_MAX];
    pthread_t others[WR_COPY_THREADS_MAX];
    const double t = seconds();
    for (int k = 0; k < threads; k++) {
        const size_t begin = bytes / (size_t)threads * (size_t)k;
        const size_t end = k == threads - 1 ? bytes : bytes / (size_t)threads * ((size_t)k + 1);
        jobs[k] = (copy_job){to + begin, from + begin, end - begin};
        if (k > 0 && pthread_create(&others[k], NULL, copy_part, &jobs[k]) != 0) {
            exit(1);
        }
    }
    copy_part(&jobs[0]);
    for (int k = 1; k < threads; k++) {
        pthread_join(others[k], NULL);
    }
    return (double)bytes / (seconds() - t) / 1e9;
}

/* As wr_store_copy chooses for 100 MB. */
static int put_threads(void) {
    cpu_set_t mine;
    if (sched_getaffinity(0, sizeof mine, &mine) != 0) {
        return 1;
    }
    const int n = CPU_COUNT(&mine);
    return n > WR_COPY_THREADS_MAX ? WR_COPY_THREADS_MAX : n;
}

static char *shared_pages(size_t bytes) {
    int fd = memfd_create("floor", 0);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) {
        exit(1);
    }
    char *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (pages == MAP_FAILED) {
        exit(1);
    }
    return pages;
}

static void copies(size_t bytes) {
    double values[ROUNDS], many[ROUNDS], threads = put_threads();
    char *from = malloc(bytes);
    if (from == NULL) {
        exit(1);
    }
    memset(from, 1, bytes);
    char *to = shared_pages(bytes);
    memset(to, 2, bytes);
    for (int r = 0; r < ROUNDS; r++) {
        values[r] = copy_gb_per_s(to, from, bytes, 1);
        many[r] = copy_gb_per_s(to, from, bytes, (int)threads);
    }
    report("memcpy_warm_1_thread", values, ROUNDS, "GB/s");
    report("memcpy_warm_put_threads", many, ROUNDS, "GB/s");
    report("put_threads", &threads, 1, "threads");
    munmap(to, bytes);
    for (int r = 0; r < ROUNDS; r++) {
        to = shared_pages(bytes);
        values[r] = copy_gb_per_s(to, from, bytes, 1);
        munmap(to, bytes);
    }
    report("memcpy_fresh_pages", values, ROUNDS, "GB/s");
    free(from);
}

int main(int argc, char **argv) {
    int tiny = argc > 1 && strcmp(argv[1], "1") == 0;
    round_trips(tiny ? 200 : 20000, 1);
    round_trips(tiny ? 200 : 20000, 0);
    copies(tiny ? 1000000 : 100000000);
    return 0;
}

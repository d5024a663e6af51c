#include "tests/kill/arena.h"

#include "shm/layout.h"
#include "tests/kill/step.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

/* The first bytes of the arena say how much of it is used, so that an image carries that too. Parent and
 * victim each have a half: a victim that stands in the middle of an allocation must not be in the parent's
 * way. */
typedef struct arena_head {
    _Alignas(64) size_t used[2]; /* parent, victim; from the beginning of their half */
    kill_sleep_watch watch;
} arena_head;

enum { HALF = KILL_ARENA_BYTES / 2, SHORT_SLEEP_NS = 200000, SYS_FUTEX_WAITV = 449 };
#define WATCHED_SLEEP_NS 3000000000u

static arena_head *arena;
static kill_sleep_fn on_sleep;

void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void __wrap_free(void *memory);
void __real_free(void *memory);
void *__wrap_wr_pages_new(size_t bytes);
void __wrap_wr_pages_free(void *memory, size_t bytes);
long __wrap_syscall(long number, ...);
long __real_syscall(long number, ...);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __real_nanosleep(const struct timespec *time, struct timespec *left);

void kill_arena_open(void) {
    void *memory = mmap(NULL, KILL_ARENA_BYTES, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    WR_ASSERT(memory != MAP_FAILED);
    arena = memory;
    arena->used[0] = sizeof(*arena);
}

void *kill_arena_new(size_t bytes) {
    uint32_t half = kill_step_is_victim() ? 1 : 0;
    size_t *block = (size_t *)(void *)((uint8_t *)arena + half * HALF + arena->used[half]);
    size_t whole = 64 + wr_align_up(bytes, 64); /* a line before each block says how long it is */
    WR_ASSERT(bytes <= HALF && whole <= HALF - arena->used[half]);
    arena->used[half] += whole;
    memset(block, 0, whole);
    *block = bytes;
    return block + 8;
}

static bool in_arena(const void *memory) {
    return (const uint8_t *)memory >= (uint8_t *)arena &&
           (const uint8_t *)memory < (uint8_t *)arena + KILL_ARENA_BYTES;
}

void *__wrap_calloc(size_t count, size_t bytes) {
    return kill_arena_new(count * bytes);
}

void *__wrap_realloc(void *old, size_t bytes) {
    if (old != NULL && !in_arena(old)) {
        return __real_realloc(old, bytes);
    }
    size_t old_bytes = old == NULL ? 0 : ((size_t *)old)[-8];
    if (old_bytes >= bytes && old != NULL) {
        return old;
    }
    void *fresh = kill_arena_new(bytes);
    if (old != NULL) {
        memcpy(fresh, old, old_bytes);
    }
    return fresh;
}

void __wrap_free(void *memory) {
    if (!in_arena(memory)) {
        __real_free(memory); /* what is in the arena, kill_image_restore takes back at once */
    }
}

void *__wrap_wr_pages_new(size_t bytes) {
    return kill_arena_new(bytes);
}

void __wrap_wr_pages_free(void *memory, size_t bytes) {
    (void)memory;
    (void)bytes;
}

void kill_on_sleep(kill_sleep_fn fn) {
    on_sleep = fn;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left) {
    if (on_sleep != NULL) {
        on_sleep();
        return 0;
    }
    return __real_nanosleep(time, left);
}

kill_sleep_watch *kill_sleep_watched(void) {
    return &arena->watch;
}

/* A futex sleep of the victim, shortened, or made so long that only a wake-up ends it. */
static long sleep_for_real(long number, long args[6]) {
    uint64_t limit_ns = arena->watch.watched ? WATCHED_SLEEP_NS : SHORT_SLEEP_NS;
    struct timespec limit = {.tv_sec = (time_t)(limit_ns / 1000000000u),
                             .tv_nsec = (long)(limit_ns % 1000000000u)};
    long timeout = (long)(uintptr_t)&limit;
    if (number == SYS_futex) {
        args[3] = timeout;
    } else { /* futex_waitv: an absolute time */
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        limit.tv_sec += now.tv_sec + (limit.tv_nsec + now.tv_nsec) / 1000000000;
        limit.tv_nsec = (limit.tv_nsec + now.tv_nsec) % 1000000000;
        args[3] = timeout;
    }
    arena->watch.asleep = true;
    long result = __real_syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    int error = errno;
    arena->watch.asleep = false;
    if (result < 0 && error == ETIMEDOUT && arena->watch.watched) {
        arena->watch.in_vain = true;
    }
    errno = error;
    return result;
}

long __wrap_syscall(long number, ...) {
    long args[6];
    va_list list;
    va_start(list, number);
    for (size_t k = 0; k < WR_COUNT_OF(args); k++) {
        args[k] = va_arg(list, long);
    }
    va_end(list);
    bool sleeps = (number == SYS_futex && (int)args[1] == FUTEX_WAIT) || number == SYS_FUTEX_WAITV;
    if (sleeps && on_sleep != NULL) {
        on_sleep();
        errno = EINTR;
        return -1;
    }
    return sleeps ? sleep_for_real(number, args)
                  : __real_syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

/* What an image consists of: four ranges, one after the other. */
typedef struct range {
    uint8_t *at;
    size_t bytes;
} range;

static void ranges_of(const wr_pool *pool, const size_t used[2], range out[4]) {
    out[0] = (range){(uint8_t *)arena, used[0]};
    out[1] = (range){(uint8_t *)arena + HALF, used[1]};
    out[2] = (range){pool->control, pool->control_bytes};
    out[3] = (range){pool->heap_write, pool->heap_bytes};
}

void kill_image_take(kill_image *image, const wr_pool *pool) {
    range ranges[4];
    ranges_of(pool, arena->used, ranges);
    size_t need = ranges[0].bytes + ranges[1].bytes + ranges[2].bytes + ranges[3].bytes, at = 0;
    if (image->capacity < need) {
        image->capacity = need * 2;
        image->bytes = __real_realloc(image->bytes, image->capacity);
        WR_ASSERT(image->bytes != NULL);
    }
    memcpy(image->used, arena->used, sizeof image->used);
    for (size_t k = 0; k < WR_COUNT_OF(ranges); k++) {
        memcpy(image->bytes + at, ranges[k].at, ranges[k].bytes);
        at += ranges[k].bytes;
    }
}

void kill_image_restore(const kill_image *image, wr_pool *pool) {
    range ranges[4];
    size_t at = 0;
    ranges_of(pool, image->used, ranges);
    for (size_t k = 0; k < WR_COUNT_OF(ranges); k++) {
        memcpy(ranges[k].at, image->bytes + at, ranges[k].bytes);
        at += ranges[k].bytes;
    }
}

bool kill_image_differs(const kill_image *image, const wr_pool *pool) {
    const uint8_t *control = image->bytes + image->used[0] + image->used[1];
    return memcmp(control, pool->control, pool->control_bytes) != 0 ||
           memcmp(control + pool->control_bytes, pool->heap_read, pool->heap_bytes) != 0;
}

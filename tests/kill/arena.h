/* tests/kill/arena.h: one shared region for all that the killer must be able to put back.
 *
 * A victim is a forked process; when it goes on living, the parent goes on with its books. So every private
 * half (books of each process, tables of the keeper) lies in memory that parent and victim share. The killer
 * is linked with --wrap for calloc, realloc and free, which leads the engine's allocations to this arena;
 * nothing in the engine knows of it. What the killer itself needs outside of it comes from malloc.
 */
#pragma once

#include "shm/pool.h"

enum { KILL_ARENA_BYTES = 64 << 20 };

/* Maps the arena; before the first calloc. Aborts when the machine refuses. */
void kill_arena_open(void);
/* Zeroed memory of the arena, never given back but by kill_image_restore. Aborts when it is used up. */
void *kill_arena_new(size_t bytes);

/* What to do where a process of the engine would sleep: NULL sleeps for real, on a futex at most 200 us. */
typedef void (*kill_sleep_fn)(void);
void kill_on_sleep(kill_sleep_fn fn);

/* Of the victim's sleeps on futexes, in the arena. While `watched`, they last until somebody wakes it; 3 s:
 * in vain. */
typedef struct kill_sleep_watch {
    volatile bool watched, asleep, in_vain;
} kill_sleep_watch;
kill_sleep_watch *kill_sleep_watched(void);

/* A copy of the arena and of a pool, to be put back any number of times. */
typedef struct kill_image {
    uint8_t *bytes;
    size_t capacity, used[2];
} kill_image;
void kill_image_take(kill_image *image, const wr_pool *pool);
void kill_image_restore(const kill_image *image, wr_pool *pool);
/* The pool (not the arena) differs from the image. */
bool kill_image_differs(const kill_image *image, const wr_pool *pool);

#include "rpc/arena.h"

enum { CHUNK_BYTES = 16 * 1024, ALIGN = 16 };

typedef struct chunk {
    struct chunk *next;
    uint64_t unused; /* keeps what follows aligned to 16 */
} chunk;

struct wr_arena {
    chunk *chunks;
    char *at, *end;
    size_t used, bytes_max;
    bool hit_cap;
};

wr_status wr_arena_new(size_t bytes_max, wr_arena **out, wr_error *err) {
    wr_arena *arena = wr_calloc(1, sizeof *arena);
    if (arena == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for an arena");
    }
    arena->bytes_max = bytes_max;
    *out = arena;
    return WR_OK;
}

void wr_arena_free(wr_arena *arena) {
    if (arena == NULL) {
        return;
    }
    for (chunk *c = arena->chunks; c != NULL;) {
        chunk *next = c->next;
        wr_free(c);
        c = next;
    }
    wr_free(arena);
}

void *wr_arena_take(wr_arena *arena, size_t bytes) {
    if (bytes > arena->bytes_max - arena->used) {
        arena->hit_cap = true;
        return NULL;
    }
    bytes = wr_align_up(bytes == 0 ? 1 : bytes, ALIGN);
    if (arena->chunks == NULL || (size_t)(arena->end - arena->at) < bytes) {
        size_t room = bytes > CHUNK_BYTES / 4 ? bytes : CHUNK_BYTES;
        chunk *c = wr_calloc(1, sizeof *c + room);
        if (c == NULL) {
            return NULL;
        }
        if (room != CHUNK_BYTES &&
            arena->chunks != NULL) { /* a large piece alone: the open chunk stays open */
            c->next = arena->chunks->next;
            arena->chunks->next = c;
            arena->used += bytes < arena->bytes_max - arena->used ? bytes : arena->bytes_max - arena->used;
            return c + 1;
        }
        c->next = arena->chunks;
        arena->chunks = c;
        arena->at = (char *)(c + 1);
        arena->end = arena->at + room;
    }
    void *taken = arena->at;
    arena->at += bytes;
    arena->used += bytes < arena->bytes_max - arena->used ? bytes : arena->bytes_max - arena->used;
    return taken;
}

bool wr_arena_hit_cap(const wr_arena *arena) {
    return arena->hit_cap;
}

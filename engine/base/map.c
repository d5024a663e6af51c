#include "base/map.h"

#include <string.h>

enum { SLOT_EMPTY, SLOT_FULL, SLOT_REMOVED };

uint64_t wr_hash_u64(uint64_t key) {
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdull; /* the finaliser of MurmurHash3 */
    key ^= key >> 33;
    key *= 0xc4ceb9fe1a85ec53ull;
    return key ^ key >> 33;
}

uint64_t wr_hash_bytes(const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    uint64_t hash = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ p[i]) * 0x100000001b3ull;
    }
    return wr_hash_u64(hash);
}

void wr_map_done(wr_map *map) {
    wr_free(map->slots);
    wr_free(map->used);
    memset(map, 0, sizeof *map);
}

/* Index of key, or of the slot where it belongs; capacity is never 0 here. */
static uint32_t find(const wr_map *map, uint64_t key, bool *out_found) {
    uint32_t mask = map->capacity - 1, at = (uint32_t)wr_hash_u64(key) & mask, free_at = UINT32_MAX;
    for (;; at = (at + 1) & mask) {
        if (map->used[at] == SLOT_EMPTY) {
            *out_found = false;
            return free_at != UINT32_MAX ? free_at : at;
        }
        if (map->used[at] == SLOT_REMOVED) {
            free_at = free_at == UINT32_MAX ? at : free_at;
        } else if (map->slots[at].key == key) {
            *out_found = true;
            return at;
        }
    }
}

static wr_status rehash(wr_map *map, uint32_t capacity, wr_error *err) {
    wr_map grown = {.capacity = capacity};
    grown.slots = wr_calloc(capacity, sizeof *grown.slots);
    grown.used = wr_calloc(capacity, 1);
    if (grown.slots == NULL || grown.used == NULL) {
        wr_map_done(&grown);
        return WR_FAIL(err, WR_E_NO_MEMORY, "map: no memory for %u slots", capacity);
    }
    for (uint32_t i = 0; i < map->capacity; i++) {
        if (map->used[i] == SLOT_FULL) {
            bool found;
            uint32_t at = find(&grown, map->slots[i].key, &found);
            grown.slots[at] = map->slots[i];
            grown.used[at] = SLOT_FULL;
            grown.count++;
        }
    }
    grown.filled = grown.count;
    wr_map_done(map);
    *map = grown;
    return WR_OK;
}

wr_status wr_map_set(wr_map *map, uint64_t key, uint64_t value, wr_error *err) {
    if ((map->filled + 1) * 4ull > map->capacity * 3ull) {
        uint32_t capacity = map->capacity == 0                ? 16
                            : map->count * 2 >= map->capacity ? map->capacity * 2
                                                              : map->capacity;
        WR_TRY(rehash(map, capacity, err));
    }
    bool found;
    uint32_t at = find(map, key, &found);
    if (!found) {
        map->filled += map->used[at] == SLOT_EMPTY;
        map->count++;
    }
    map->used[at] = SLOT_FULL;
    map->slots[at].key = key;
    map->slots[at].value = value;
    return WR_OK;
}

bool wr_map_get(const wr_map *map, uint64_t key, uint64_t *out) {
    if (map->capacity == 0) {
        return false;
    }
    bool found;
    uint32_t at = find(map, key, &found);
    if (found && out != NULL) {
        *out = map->slots[at].value;
    }
    return found;
}

bool wr_map_remove(wr_map *map, uint64_t key, uint64_t *out) {
    if (map->capacity == 0) {
        return false;
    }
    bool found;
    uint32_t at = find(map, key, &found);
    if (!found) {
        return false;
    }
    if (out != NULL) {
        *out = map->slots[at].value;
    }
    map->used[at] = SLOT_REMOVED;
    map->count--;
    return true;
}

bool wr_map_next(const wr_map *map, uint32_t *cursor, uint64_t *out_key, uint64_t *out_value) {
    for (; *cursor < map->capacity; (*cursor)++) {
        if (map->used[*cursor] == SLOT_FULL) {
            *out_key = map->slots[*cursor].key;
            *out_value = map->slots[*cursor].value;
            (*cursor)++;
            return true;
        }
    }
    return false;
}

/* engine/base/map.h: hash map from u64 keys to u64 values; open addressing, linear probing.
 *
 * For the private tables of one thread: ids, handles and pids to indices or pointers. Strings are
 * looked up through wr_hash_bytes and checked by the caller, who holds the string.
 * O(1) expected; memory 16 bytes a slot at a load of at most 3/4.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

typedef struct wr_map {
    struct wr_map_slot {
        uint64_t key, value;
    } *slots;
    uint8_t *used; /* 0 empty, 1 full, 2 removed */
    uint32_t capacity, count, filled;
} wr_map; /* zeroed is a valid empty map */

void wr_map_done(wr_map *map); /* frees, leaves a valid empty map */
/* Sets key to value, replacing. Fails: NO_MEMORY (map unchanged). */
WR_MUST_USE wr_status wr_map_set(wr_map *map, uint64_t key, uint64_t value, wr_error *err);
bool wr_map_get(const wr_map *map, uint64_t key, uint64_t *out);
bool wr_map_remove(wr_map *map, uint64_t key, uint64_t *out /* may be NULL */);
/* Iterates: *cursor starts at 0; false at the end. The map must not change meanwhile, but for removal of the
 * item just returned. */
bool wr_map_next(const wr_map *map, uint32_t *cursor, uint64_t *out_key, uint64_t *out_value);

uint64_t wr_hash_bytes(const void *bytes, size_t n); /* FNV-1a, mixed; not against attackers */
uint64_t wr_hash_u64(uint64_t key);

WR_END_DECLS

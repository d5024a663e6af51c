/* engine/shm/keeper_room.c: who has which extent of cells and which units of the heap, and when those of the
 * dead are free. */
#include "shm/keeper_internal.h"

enum { CELL_EXTENTS_AT_ONCE = 16 };

/* ---- Cells ---- */

static bool lease_one(wr_keeper *k, uint32_t slot) {
    for (uint32_t e = 0; e < k->pool->geometry.cell_extents; e++) {
        if (k->cell_owner[e] != WR_EXTENT_FREE) {
            continue;
        }
        k->cell_owner[e] = (uint16_t)slot;
        k->cell_high = e + 1 > k->cell_high ? e + 1 : k->cell_high;
        k->cells_leased++;
        k->slots[slot].cell_extents++;
        WR_STORE(&k->pool->extents[e], slot + 1); /* before the grant: a lost grant is in the table */
        wr_keeper_grant(k, slot, WR_GRANT_CELLS, e);
        return true;
    }
    return false;
}

/* The more a process has, the more it gets at once. */
bool wr_keeper_lease_cells(wr_keeper *k, uint32_t slot, bool first) {
    uint32_t has = k->slots[slot].cell_extents,
             free_extents = k->pool->geometry.cell_extents - k->cells_leased;
    uint32_t n = first ? 1 : 1 + has / 2;
    n = n > CELL_EXTENTS_AT_ONCE ? CELL_EXTENTS_AT_ONCE : n;
    n = n > 1 + free_extents / 8 ? 1 + free_extents / 8 : n; /* the last ones go one by one */
    bool any = false;
    for (uint32_t i = 0; i < n && lease_one(k, slot); i++) {
        any = true;
    }
    if (!any && !first) {
        wr_keeper_grant(k, slot, WR_GRANT_NO_CELLS, 0);
        wr_keeper_tell(k, WR_KEEPER_STORE_FULL, slot, 0);
    }
    return any;
}

/* A cell of an orphaned extent has become free; with the last one the extent is. */
void wr_keeper_orphan_cell_freed(wr_keeper *k, uint32_t index) {
    uint32_t e = index >> k->pool->cells_shift;
    if (k->cell_owner[e] == WR_EXTENT_ORPHAN && k->orphan_live[e] != 0 && --k->orphan_live[e] == 0) {
        k->cell_owner[e] = WR_EXTENT_FREE;
        k->cells_leased--;
    }
}

/* ---- Heap ---- */

/* First fit; UINT64_MAX: no such run. Offset 0 means "no block": unit 0 is never leased. */
static uint64_t find_run(const wr_keeper *k, uint64_t units) {
    uint64_t run = 0;
    for (uint64_t u = 1; u < k->units; u++) {
        run = k->unit_owner[u] == WR_EXTENT_FREE ? run + 1 : 0;
        if (run == units) {
            return u + 1 - units;
        }
    }
    return UINT64_MAX;
}

bool wr_keeper_lease_heap(wr_keeper *k, uint32_t slot, uint64_t units) {
    uint64_t first = units == 0 || units > k->units ? UINT64_MAX : find_run(k, units);
    if (first == UINT64_MAX) {
        wr_keeper_figures(k);
        wr_keeper_grant(k, slot, WR_GRANT_HEAP, 0);
        wr_keeper_tell(k, WR_KEEPER_STORE_FULL, slot, units * k->pool->geometry.heap_unit);
        wr_keeper_trim(k);
        return false;
    }
    for (uint64_t u = first; u < first + units; u++) {
        k->unit_owner[u] = (uint16_t)slot;
    }
    k->units_leased += units;
    k->slots[slot].heap_units += (uint32_t)units;
    wr_keeper_grant(k, slot, WR_GRANT_HEAP, first << 32 | units);
    return true;
}

void wr_keeper_take_heap(wr_keeper *k, uint32_t slot, uint64_t first, uint64_t units) {
    if (first >= k->units || units > k->units - first) {
        return;
    }
    for (uint64_t u = first; u < first + units; u++) {
        if (k->unit_owner[u] == slot) {
            k->unit_owner[u] = WR_EXTENT_FREE;
            k->units_leased--;
            k->slots[slot].heap_units--;
        }
    }
}

/* The units that a block lies in, by its own header; at least its first. */
static uint64_t block_units(const wr_keeper *k, uint64_t offset, uint64_t *out_first) {
    const uint8_t *block = wr_pool_heap_read(k->pool, offset, WR_BLOCK_HEADER_BYTES);
    uint64_t bytes = 1, unit = k->pool->geometry.heap_unit;
    if (block == NULL) {
        return 0;
    }
    memcpy(&bytes, block, sizeof bytes);
    if (bytes == 0 || wr_pool_heap_read(k->pool, offset, bytes) == NULL) {
        bytes = 1;
    }
    *out_first = offset / unit;
    return (offset + bytes - 1) / unit - *out_first + 1;
}

static void free_orphan_unit(wr_keeper *k, uint64_t u) {
    k->unit_owner[u] = WR_EXTENT_FREE;
    k->units_leased--;
    k->units_orphaned--;
}

bool wr_keeper_route_block(wr_keeper *k, uint64_t offset, uint32_t creator) {
    uint64_t first = 0, units = block_units(k, offset, &first);
    if (units == 0) {
        return true; /* nowhere */
    }
    uint16_t owner = k->unit_owner[first];
    if (owner == WR_EXTENT_FREE) {
        return true;
    }
    if (owner == WR_EXTENT_ORPHAN) {
        for (uint64_t u = first; u < first + units && k->unit_owner[u] == WR_EXTENT_ORPHAN; u++) {
            if (k->unit_refs[u] != 0 && --k->unit_refs[u] == 0) {
                free_orphan_unit(k, u);
            }
        }
        return true;
    }
    if (owner == creator) {
        return false;
    }
    wr_keeper_grant(k, owner, WR_GRANT_BLOCK, offset);
    return true;
}

/* One more cell refers into the units, if they are those just orphaned. */
static void count_block(wr_keeper *k, uint64_t offset, const uint8_t *fresh) {
    uint64_t first = 0, units = block_units(k, offset, &first);
    for (uint64_t u = first; u < first + units && k->unit_owner[u] == WR_EXTENT_ORPHAN; u++) {
        k->unit_refs[u] += fresh[u];
    }
}

static void count_cell(wr_keeper *k, uint32_t i, const uint8_t *fresh) {
    const wr_cell *cell = &k->pool->cells[i];
    uint64_t word = WR_LOAD(&k->pool->cells[i].ctl);
    if (wr_state_of(word) == WR_CELL_FREE) {
        return;
    }
    uint64_t block = cell->block;
    if (block != 0 && k->cell_owner[i >> k->pool->cells_shift] == WR_EXTENT_ORPHAN) {
        count_block(k, block, fresh);
    }
    const wr_row *row = &k->rows[i];
    bool routed = row->generation == wr_generation_of(word) && row->homed && row->block_routed;
    if (wr_state_of(word) == WR_CELL_SEALED && cell->location == WR_AT_HEAP && !routed) {
        count_block(k, cell->place & ~7ull, fresh);
    }
}

void wr_keeper_orphan_heap(wr_keeper *k, uint32_t slot) {
    if (k->slots[slot].heap_units == 0) {
        return;
    }
    uint8_t *fresh = wr_pages_new(k->units);
    if (fresh == NULL) {
        wr_keeper_give_up(k, "the raylet has no memory to count the references into a dead process's heap");
        return;
    }
    for (uint64_t u = 0; u < k->units; u++) {
        if (k->unit_owner[u] == slot) {
            k->unit_owner[u] = WR_EXTENT_ORPHAN;
            k->unit_refs[u] = 0;
            k->units_orphaned++;
            fresh[u] = 1;
        }
    }
    uint32_t cells = k->pool->geometry.cells_per_extent;
    for (uint32_t e = 0; e < k->cell_high; e++) {
        for (uint32_t c = 0; c < cells && k->cell_owner[e] != WR_EXTENT_FREE; c++) {
            count_cell(k, (e << k->pool->cells_shift) + c, fresh);
        }
    }
    for (uint64_t u = 0; u < k->units; u++) {
        if (fresh[u] != 0 && k->unit_refs[u] == 0) {
            free_orphan_unit(k, u);
        }
    }
    k->slots[slot].heap_units = 0;
    wr_pages_free(fresh, k->units);
}

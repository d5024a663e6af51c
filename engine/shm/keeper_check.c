/* engine/shm/keeper_check.c: the structure checker for tests. Looks at everything and says what does not add
 * up. */
#include "shm/keeper_internal.h"

static wr_error wrong;

#define WRONG(...)                                                                                           \
    do {                                                                                                     \
        (void)!wr_error_set(&wrong, WR_E_INTERNAL, __FILE__, __LINE__, __VA_ARGS__);                         \
        return wrong.text;                                                                                   \
    } while (0)

typedef struct checking {
    const wr_keeper *keeper;
    wr_proc *const *procs;
    uint32_t proc_count;
    bool at_rest;
    uint8_t *seen; /* [cells] times in a free list */
} checking;

static const wr_proc *proc_of(const checking *c, uint32_t slot) {
    if (slot == WR_SLOT_RAYLET) {
        return c->keeper->self;
    }
    for (uint32_t n = 0; n < c->proc_count; n++) {
        if (c->procs[n] != NULL && c->procs[n]->index == slot &&
            c->procs[n]->epoch == c->keeper->slots[slot].epoch) {
            return c->procs[n];
        }
    }
    return NULL;
}

static const char *check_free_list(checking *c, const wr_proc *p) {
    for (uint32_t n = 0; n < p->free_count; n++) {
        uint32_t i = p->free[n];
        if (i >= p->pool->cell_count || c->keeper->cell_owner[i >> p->pool->cells_shift] != p->index) {
            WRONG("slot %u has cell %u in its free list, which is not its own", p->index, i);
        }
        if (c->seen[i]++ != 0) {
            WRONG("cell %u is free twice", i);
        }
        if (wr_state_of(WR_LOAD(&p->pool->cells[i].ctl)) != WR_CELL_FREE) {
            WRONG("cell %u is in a free list but not FREE", i);
        }
    }
    return NULL;
}

static const char *check_cell(const checking *c, uint32_t i) {
    const wr_keeper *k = c->keeper;
    wr_cell *cell = &k->pool->cells[i];
    uint64_t word = WR_LOAD(&cell->ctl);
    uint32_t owner = wr_keeper_creator(k, i);
    const wr_row *row = &k->rows[i];
    const wr_proc *p = owner < WR_SLOT_MAX ? proc_of(c, owner) : NULL;
    uint32_t flags = (uint32_t)word & WR_FLAG_ALL;
    if (wr_state_of(word) == WR_CELL_FREE) {
        if (p != NULL && c->seen[i] == 0 && (p->count[i] & WR_COUNT_OWN) != 0) {
            WRONG("cell %u of slot %u is FREE but in no list (lost)", i, owner);
        }
        if (row->used && row->generation == wr_generation_of(word)) {
            WRONG("cell %u is FREE but has a row", i);
        }
        return NULL;
    }
    if (c->at_rest) {
        WRONG("cell %u left: state %d flags %x slot %u function %u port %u count %x row: used %d low %lx "
              "pins %u contained "
              "%u holds %u dropped %d homed %d candidate %d",
              i, (int)wr_state_of(word), flags, owner, cell->function, cell->port,
              p == NULL ? 0 : p->count[i], row->used, (unsigned long)row->low_slots, row->pins,
              row->contained, row->holds, row->dropped, row->homed, row->candidate);
    }
    if (p != NULL && (p->count[i] & (WR_COUNT_MASK | WR_COUNT_LIMBO | WR_COUNT_DROPPED)) == 0) {
        WRONG("cell %u of slot %u is not FREE, and nobody counts it (state %d flags %x)", i, owner,
              (int)wr_state_of(word), flags);
    }
    return NULL;
}

static const char *check_cells(checking *c) {
    const wr_keeper *k = c->keeper;
    for (uint32_t e = 0; e < k->pool->geometry.cell_extents; e++) {
        uint32_t owner = k->cell_owner[e], table = WR_LOAD(&k->pool->extents[e]);
        if (table != (owner < WR_SLOT_MAX ? owner + 1 : 0)) {
            WRONG("extent %u: the table says %u, its owner is %u", e, table, owner);
        }
        if (owner == WR_EXTENT_FREE) {
            continue;
        }
        if (owner < WR_SLOT_MAX && k->slots[owner].state != WR_SLOT_LIVE) {
            WRONG("extent %u belongs to slot %u, which is not open", e, owner);
        }
        for (uint32_t n = 0; n < k->pool->geometry.cells_per_extent; n++) {
            const char *text = check_cell(c, (e << k->pool->cells_shift) + n);
            if (text != NULL) {
                return text;
            }
        }
        if (owner == WR_EXTENT_ORPHAN && c->at_rest) {
            WRONG("extent %u of a dead process was not returned (%u cells left)", e, k->orphan_live[e]);
        }
    }
    return NULL;
}

static const char *check_rings(const checking *c) {
    const wr_keeper *k = c->keeper;
    for (uint32_t r = 0; r < k->pool->geometry.rings; r++) {
        const wr_keeper_ring *mine = &k->rings[r];
        if (!mine->leased) {
            continue;
        }
        wr_ring *ring = wr_ring_at(k->pool, r);
        wr_port *port = &k->pool->ports[mine->port];
        if (!k->ports[mine->port].open || k->slots[mine->slot].state != WR_SLOT_LIVE) {
            WRONG("ring %u is leased to slot %u at port %u, and one of them is not open", r, mine->slot,
                  mine->port);
        }
        uint64_t tail = WR_LOAD(&ring->tail);
        for (uint64_t at = WR_LOAD(&ring->head); at < tail; at++) {
            wr_handle handle = WR_LOAD(&ring->at[at & k->pool->ring_mask]);
            if (!wr_entry_done(k->pool, handle) && !wr_slot_set_has(&port->nonempty, mine->slot)) {
                WRONG("ring %u of slot %u at port %u has a task that no hint shows", r, mine->slot,
                      mine->port);
            }
        }
    }
    for (uint32_t n = 0; n < k->port_high; n++) {
        for (uint32_t s = 0; k->ports[n].open && s < k->pool->geometry.slots; s++) {
            if (wr_slot_set_has(&k->pool->ports[n].sleepers, s) && k->slots[s].state != WR_SLOT_LIVE) {
                WRONG("port %u has a sleeper in slot %u, which is not open", n, s);
            }
        }
    }
    return NULL;
}

static const char *check_heap(const checking *c) {
    const wr_keeper *k = c->keeper;
    for (uint64_t u = 0; u < k->units; u++) {
        uint16_t owner = k->unit_owner[u];
        if (owner == WR_EXTENT_ORPHAN && c->at_rest) {
            WRONG("heap unit %lu of a dead process was not returned (%u references)", (unsigned long)u,
                  k->unit_refs[u]);
        }
        if (owner < WR_SLOT_MAX && k->slots[owner].state != WR_SLOT_LIVE) {
            WRONG("heap unit %lu belongs to slot %u, which is not open", (unsigned long)u, owner);
        }
        for (uint32_t n = 0; n < c->proc_count; n++) {
            const wr_proc *p = c->procs[n];
            if (p != NULL && proc_of(c, p->index) == p && wr_heap_unit_held(p, u) && owner != p->index) {
                WRONG("slot %u believes to hold heap unit %lu of %u", p->index, (unsigned long)u, owner);
            }
        }
    }
    for (uint32_t n = 0; c->at_rest && n < c->proc_count; n++) {
        if (c->procs[n] != NULL && wr_heap_live_blocks(c->procs[n]) != 0) {
            WRONG("slot %u has %lu heap blocks left", c->procs[n]->index,
                  (unsigned long)wr_heap_live_blocks(c->procs[n]));
        }
    }
    return NULL;
}

static const char *check_rest(const checking *c) {
    const wr_keeper *k = c->keeper;
    if (k->row_count != 0 || k->candidate_count != 0 || k->orphan_count != 0 || k->pair_count != 0) {
        WRONG("left: rows %lu candidates %u orphans %u pairs %lu", (unsigned long)k->row_count,
              k->candidate_count, k->orphan_count, (unsigned long)k->pair_count);
    }
    for (uint32_t s = 0; s < k->slot_high; s++) {
        if (k->slots[s].state == WR_SLOT_LIVE && k->slots[s].holds != 0) {
            WRONG("slot %u still holds %lu shared cells", s, (unsigned long)k->slots[s].holds);
        }
    }
    return NULL;
}

const char *wr_keeper_check(const wr_keeper *k, wr_proc *const *procs, uint32_t proc_count, bool at_rest) {
    size_t bytes = k->pool->cell_count;
    checking c = {.keeper = k,
                  .procs = procs,
                  .proc_count = proc_count,
                  .at_rest = at_rest,
                  .seen = wr_pages_new(bytes)};
    wr_error_clear(&wrong);
    if (c.seen == NULL) {
        return "no memory for the check";
    }
    const char *text = check_free_list(&c, k->self);
    for (uint32_t n = 0; n < proc_count && text == NULL; n++) {
        if (procs[n] != NULL && proc_of(&c, procs[n]->index) == procs[n]) {
            text = check_free_list(&c, procs[n]);
        }
    }
    text = text != NULL ? text : check_cells(&c);
    text = text != NULL ? text : check_rings(&c);
    text = text != NULL ? text : check_heap(&c);
    if (text == NULL && at_rest) {
        text = check_rest(&c);
    }
    wr_pages_free(c.seen, bytes);
    return text;
}

/* engine/shm/keeper_pass.c: rows, and the pass that frees what nobody holds.
 *
 * A cell is freed only when a complete pass over all event rings, begun after the last removal of a holder,
 * found none: what could have been handed on before a drop was reported stands in some ring already, so the
 * pass that follows sees it.
 */
#include "shm/keeper_internal.h"

enum { HIGH_WORDS = WR_SLOT_WORDS - 1 };

/* ---- Rows ---- */

static void row_end(wr_keeper *k, wr_row *row) {
    if (row->used) {
        row->used = false;
        k->row_count--;
    }
    wr_free(row->high_slots);
    row->high_slots = NULL;
}

wr_row *wr_keeper_row(wr_keeper *k, wr_handle handle) {
    uint32_t i = wr_index_of(handle);
    if (!wr_keeper_cell_known(k, i)) {
        return NULL;
    }
    uint64_t word = WR_LOAD(&k->pool->cells[i].ctl);
    if (wr_generation_of(word) != wr_generation_of(handle) || wr_state_of(word) == WR_CELL_FREE) {
        return NULL; /* a stale handle touches nothing */
    }
    wr_row *row = &k->rows[i];
    if (row->generation != wr_generation_of(handle) || (!row->used && !row->homed)) {
        bool candidate = row->candidate;
        row_end(k, row);
        *row = (wr_row){.generation = wr_generation_of(handle),
                        .candidate = candidate,
                        .removal_pass = k->pass,
                        .used = true};
        k->row_count++;
    }
    return row->homed ? NULL : row;
}

void wr_keeper_candidate(wr_keeper *k, uint32_t i) {
    wr_row *row = &k->rows[i];
    row->removal_pass = k->pass; /* every removal begins the grace anew */
    if (!row->candidate) {
        row->candidate = true;
        k->candidates[k->candidate_count++] = i;
    }
}

bool wr_row_has_slot(const wr_row *row, uint32_t slot) {
    if (slot < 64) {
        return row->low_slots >> slot & 1;
    }
    return row->high_slots != NULL && (row->high_slots[slot / 64 - 1] >> (slot % 64) & 1);
}

static void row_add_slot(wr_keeper *k, wr_row *row, uint32_t slot) {
    if (wr_row_has_slot(row, slot)) {
        return;
    }
    if (slot < 64) {
        row->low_slots |= 1ull << slot;
    } else {
        if (row->high_slots == NULL) {
            row->high_slots = wr_calloc(HIGH_WORDS, sizeof(uint64_t));
        }
        if (row->high_slots == NULL) {
            wr_keeper_give_up(k, "the raylet has no memory for the holders of an object");
            return;
        }
        row->high_slots[slot / 64 - 1] |= 1ull << (slot % 64);
    }
    k->slots[slot].holds++;
}

void wr_row_remove_slot(wr_keeper *k, wr_row *row, uint32_t slot) {
    if (!wr_row_has_slot(row, slot)) {
        return;
    }
    if (slot < 64) {
        row->low_slots &= ~(1ull << slot);
    } else {
        row->high_slots[slot / 64 - 1] &= ~(1ull << (slot % 64));
    }
    k->slots[slot].holds--;
}

/* Nobody but the raylet holds it. */
bool wr_row_unheld(const wr_row *row) {
    uint64_t any = row->low_slots;
    for (uint32_t w = 0; row->high_slots != NULL && w < HIGH_WORDS; w++) {
        any |= row->high_slots[w];
    }
    return any == 0 && row->pins == 0 && row->contained == 0 && row->dropped;
}

/* ---- What a value names ---- */

static void contain(wr_keeper *k, wr_handle container, wr_handle inner) {
    wr_row *outer_row = wr_keeper_row(k, container), *inner_row = wr_keeper_row(k, inner);
    if (outer_row == NULL || inner_row == NULL) {
        return;
    }
    uint32_t node = k->pair_free;
    if (node != 0) {
        k->pair_free = k->pairs[node - 1].next;
    } else {
        if (wr_array_reserve((void **)&k->pairs, &k->pair_capacity, k->pair_used + 1, sizeof(*k->pairs),
                             NULL) != WR_OK) {
            wr_keeper_give_up(k, "the raylet has no memory for nested references");
            return;
        }
        node = ++k->pair_used;
    }
    k->pairs[node - 1] = (wr_pair){inner, outer_row->inner_first};
    outer_row->inner_first = node;
    inner_row->contained++;
    k->pair_count++;
}

static void release_inner(wr_keeper *k, wr_row *row) {
    uint32_t node = row->inner_first;
    row->inner_first = 0;
    while (node != 0) {
        wr_pair pair = k->pairs[node - 1];
        k->pairs[node - 1].next = k->pair_free;
        k->pair_free = node;
        k->pair_count--;
        node = pair.next;
        wr_row *inner = wr_keeper_row(k, pair.inner);
        if (inner != NULL && inner->contained != 0) {
            inner->contained--;
            wr_keeper_candidate(k, wr_index_of(pair.inner));
        }
    }
}

/* ---- Events ---- */

static void drop(wr_keeper *k, uint32_t slot, wr_handle handle) {
    wr_row *row = wr_keeper_row(k, handle);
    if (row == NULL) {
        return;
    }
    if (wr_keeper_creator(k, wr_index_of(handle)) == slot) {
        row->dropped = true;
    }
    wr_row_remove_slot(k, row, slot);
    wr_keeper_candidate(k, wr_index_of(handle));
}

static void queue_for(wr_keeper *k, wr_handle handle) {
    uint32_t i = wr_index_of(handle);
    if (!wr_keeper_cell_known(k, i)) {
        return;
    }
    uint64_t word = WR_LOAD(&k->pool->cells[i].ctl);
    if (wr_generation_of(word) == wr_generation_of(handle) && wr_state_of(word) == WR_CELL_READY) {
        wr_keeper_requeue(k, handle);
    }
}

static void take_event(wr_keeper *k, uint32_t slot, uint64_t type, uint64_t handle) {
    wr_row *row;
    uint32_t ring;
    switch (type) {
    case WR_EVENT_HOLD:
        row = wr_keeper_row(k, handle);
        if (row != NULL) {
            row_add_slot(k, row, slot);
        }
        break;
    case WR_EVENT_DROP:
        drop(k, slot, handle);
        break;
    case WR_EVENT_NEED_CELLS:
        wr_keeper_lease_cells(k, slot, false);
        break;
    case WR_EVENT_NEED_HEAP:
        wr_keeper_lease_heap(k, slot, handle);
        break;
    case WR_EVENT_GIVE_HEAP:
        wr_keeper_take_heap(k, slot, handle >> 32, handle & UINT32_MAX);
        break;
    case WR_EVENT_QUEUE:
        queue_for(k, handle);
        break;
    case WR_EVENT_NEED_RING:
        if (handle < k->pool->geometry.ports) {
            (void)!wr_keeper_ring_open(k, (uint16_t)handle, slot, &ring, NULL);
        }
        break;
    default:
        break; /* a stranger's record */
    }
}

static void drain_slot(wr_keeper *k, uint32_t s) {
    wr_keeper_slot *mine = &k->slots[s];
    wr_slot *slot = wr_slot_at(k->pool, s);
    wr_event *events = wr_slot_events(k->pool, s);
    uint64_t capacity = k->pool->geometry.event_capacity, tail = WR_LOAD(&slot->event_tail);
    if (tail - mine->event_head > capacity) { /* no honest process writes this */
        mine->event_head = tail - capacity;
    }
    while ((int64_t)(tail - mine->event_head) > 0) { /* a request may lead back here, and further than tail */
        wr_event *at = &events[mine->event_head & (capacity - 1)];
        uint64_t handle = __atomic_load_n(&at->handle, __ATOMIC_RELAXED);
        uint64_t type = __atomic_load_n(&at->type, __ATOMIC_RELAXED);
        mine->event_head++;
        if (type == WR_EVENT_CONTAIN && mine->event_head != tail) {
            uint64_t inner =
                __atomic_load_n(&events[mine->event_head & (capacity - 1)].handle, __ATOMIC_RELAXED);
            mine->event_head++;
            contain(k, handle, inner);
        } else {
            take_event(k, s, type, handle);
        }
    }
    WR_STORE(&slot->event_head, mine->event_head);
}

void wr_keeper_drain(wr_keeper *k) {
    for (uint32_t s = 0; s < k->slot_high; s++) {
        if (k->slots[s].state != WR_SLOT_FREE) {
            drain_slot(k, s);
        }
    }
}

/* ---- Freeing ---- */

/* The block of a sealed result goes to its holder. true: the creator need not. */
static bool route_result(wr_keeper *k, const wr_cell *cell, uint32_t creator) {
    if (cell->location != WR_AT_HEAP) {
        return true;
    }
    return wr_keeper_route_block(k, cell->place & ~7ull, creator);
}

/* A task of a dead creator pins nothing any more. */
static void release_orphan(wr_keeper *k, wr_cell *cell) {
    wr_keeper_pin_arguments(k, cell, false);
    uint64_t block = cell->block;
    cell->nargs = 0;
    cell->block = 0;
    if (block != 0) {
        wr_keeper_route_block(k, block, WR_EXTENT_ORPHAN);
    }
}

static void free_orphan(wr_keeper *k, uint32_t i, wr_cell *cell, uint32_t generation) {
    cell->location = WR_AT_INLINE;
    WR_STORE(&cell->ctl, wr_word(wr_generation_next(generation), WR_CELL_FREE));
    wr_keeper_orphan_cell_freed(k, i);
}

/* Nobody holds the cell any more: what its value names is let go, its block and itself go home. */
static void send_home(wr_keeper *k, uint32_t i, wr_row *row) {
    wr_cell *cell = &k->pool->cells[i];
    uint32_t creator = wr_keeper_creator(k, i);
    release_inner(k, row);
    row->block_routed = route_result(k, cell, creator);
    row->homed = true;
    row_end(k, row);
    if (creator < WR_SLOT_MAX) {
        wr_keeper_grant(k, creator, WR_GRANT_FREED, wr_handle_make(row->generation, i));
    } else {
        if (cell->nargs != 0 || cell->block != 0) { /* was parked */
            release_orphan(k, cell);
        }
        free_orphan(k, i, cell, row->generation);
    }
}

void wr_keeper_homed_again(wr_keeper *k, uint32_t i) {
    wr_row *row = &k->rows[i];
    wr_cell *cell = &k->pool->cells[i];
    if (!row->block_routed) {
        row->block_routed =
            true; /* in its creator's own heap, which is being orphaned: not counted, as the cell goes now */
    }
    free_orphan(k, i, cell, row->generation);
}

/* A candidate whose grace is over. */
static void settle(wr_keeper *k, uint32_t i) {
    wr_row *row = &k->rows[i];
    wr_cell *cell = &k->pool->cells[i];
    uint64_t word = WR_LOAD(&cell->ctl);
    if (!row->used || row->generation != wr_generation_of(word) || wr_state_of(word) != WR_CELL_SEALED ||
        !wr_row_unheld(row)) {
        if (row->used && row->generation != wr_generation_of(word)) {
            row_end(
                k, row); /* the cell was freed by its creator without the raylet: only a stranger does that */
        } else if (row->used && wr_row_unheld(row) && row->watched && !row->unheld_told) {
            row->unheld_told = true;
            wr_keeper_tell(k, WR_KEEPER_UNHELD, 0, row->watch_tag);
        }
        return;
    }
    if (row->watched && !row->unheld_told) {
        row->unheld_told = true;
        wr_keeper_tell(k, WR_KEEPER_UNHELD, 0, row->watch_tag);
    }
    if (row->holds != 0) {
        return;
    }
    if (!wr_cell_list_walked(cell, word)) {
        wr_keeper_candidate(k, i);
        return;
    }
    send_home(k, i, row);
}

static void settle_candidates(wr_keeper *k) {
    uint32_t count = k->candidate_count, pass = k->pass++;
    uint32_t *now =
        k->candidates; /* what is freed makes candidates of what it named, any number: into another list */
    k->candidates = k->candidates_next;
    k->candidates_next = now;
    k->candidate_count = 0;
    for (uint32_t c = 0; c < count; c++) {
        uint32_t i = now[c];
        wr_row *row = &k->rows[i];
        if (row->removal_pass == pass) {
            k->candidates[k->candidate_count++] = i; /* next pass */
            continue;
        }
        row->candidate = false;
        settle(k, i);
    }
}

/* ---- Tasks of dead creators ---- */

static void pin(wr_keeper *k, wr_handle handle, bool up) {
    wr_row *row = wr_keeper_row(k, handle);
    if (row == NULL) {
        return;
    }
    if (up) {
        row->pins++;
    } else if (row->pins != 0) {
        row->pins--;
        wr_keeper_candidate(k, wr_index_of(handle));
    }
}

void wr_keeper_pin_arguments(wr_keeper *k, wr_cell *cell, bool up) {
    uint32_t links = wr_cell_link_count(k->pool, cell);
    for (uint32_t n = 0; n < links; n++) {
        wr_block_link *link = wr_cell_link(k->pool, cell, n);
        if (link != NULL) {
            pin(k, __atomic_load_n(&link->ref, __ATOMIC_RELAXED), up);
        }
    }
    const uint64_t *refs = NULL;
    uint64_t block = cell->block;
    uint32_t nested = block == 0 ? 0 : wr_cell_nested(k->pool, block, &refs);
    for (uint32_t n = 0; n < nested; n++) {
        pin(k, __atomic_load_n(&refs[n], __ATOMIC_RELAXED), up);
    }
    if (cell->port == WR_PORT_JOIN && cell->nargs != 0 && cell->joined != 0) {
        pin(k, cell->joined, up);
    }
}

/* Waits until nobody runs it and no walk can touch it; then it pins nothing any more. */
static bool orphan_done(wr_keeper *k, wr_handle handle) {
    uint32_t i = wr_index_of(handle);
    wr_cell *cell = &k->pool->cells[i];
    uint64_t word = WR_LOAD(&cell->ctl);
    if (wr_generation_of(word) != wr_generation_of(handle)) {
        return true;
    }
    if (wr_state_of(word) != WR_CELL_SEALED || !wr_cell_lists_walked(k->pool, cell) ||
        (cell->port == WR_PORT_JOIN && cell->nargs != 0 && !wr_cell_list_walked(cell, word))) {
        return false;
    }
    if (!wr_cell_parked(cell, word)) {
        release_orphan(k, cell);
    }
    if (wr_keeper_row(k, handle) != NULL) {
        wr_keeper_candidate(k, i);
    }
    return true;
}

static bool sweep_orphans(wr_keeper *k) {
    bool any = false;
    for (uint32_t n = 0; n < k->orphan_count;) {
        if (orphan_done(k, k->orphans[n])) {
            k->orphans[n] = k->orphans[--k->orphan_count];
            any = true;
        } else {
            n++;
        }
    }
    return any;
}

void wr_keeper_requeue(wr_keeper *k, wr_handle handle) {
    uint32_t port = wr_cell_port(&k->pool->cells[wr_index_of(handle)]);
    if (port >= k->pool->geometry.ports) {
        return;
    }
    if (!k->ports[port].open || wr_cell_port_generation(&k->pool->cells[wr_index_of(handle)]) !=
                                    (uint16_t)k->ports[port].generation) {
        wr_proc_fail_gone(k->self, handle);
        return;
    }
    if (wr_proc_backlog_reserve(k->self, NULL) != WR_OK) {
        wr_keeper_give_up(k, "the raylet has no memory for tasks to be queued");
        return;
    }
    (void)!wr_proc_enqueue_own(k->self, port, handle); /* nobody but this thread closes ports */
}

/* ---- The raylet's own references ---- */

void wr_keeper_hold(wr_keeper *k, wr_handle handle) {
    wr_row *row = wr_keeper_row(k, handle);
    if (row != NULL) {
        row->holds++;
    }
}

void wr_keeper_drop(wr_keeper *k, wr_handle handle) {
    wr_row *row = wr_keeper_row(k, handle);
    if (row != NULL && row->holds != 0) {
        row->holds--;
        wr_keeper_candidate(k, wr_index_of(handle));
    }
}

wr_status wr_keeper_watch(wr_keeper *k, wr_handle handle, uint64_t tag, wr_error *err) {
    wr_row *row = wr_keeper_row(k, handle);
    if (row == NULL) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "watch: not a live object");
    }
    row->watched = true;
    row->unheld_told = false;
    row->watch_tag = tag;
    wr_keeper_candidate(k, wr_index_of(handle)); /* perhaps nobody holds it already */
    return WR_OK;
}

/* ---- The pass ---- */

bool wr_keeper_pass(wr_keeper *k) {
    wr_keeper_tend_slots(k);
    wr_keeper_drain(k);
    bool swept = k->orphan_count != 0 && sweep_orphans(k);
    settle_candidates(k);
    wr_keeper_tend_ports(k);
    return k->candidate_count != 0 || swept || k->self->backlog_count != 0;
}

/* engine/shm/keeper_reap.c: the process of a slot has exited, which is a fact of the kernel: what it held is
 * released, what it had begun is repaired. Every step may run again; the tasks of the dead are sealed as
 * errors by the ordinary seal, walk included, so that nobody waits for them. */
#include "shm/keeper_internal.h"

typedef struct reaping {
    wr_keeper *keeper;
    uint32_t slot, who;
    wr_lost_fn lost;
    void *arg;
    uint32_t first_orphan; /* orphans from here on are this slot's */
} reaping;

/* ---- What it had reserved or claimed ---- */

static void requeue_ready(wr_keeper *k, wr_handle handle) {
    uint32_t i = wr_index_of(handle);
    if (!wr_keeper_cell_known(k, i)) {
        return;
    }
    uint32_t port = wr_cell_port(&k->pool->cells[i]);
    uint64_t word = WR_LOAD(&k->pool->cells[i].ctl);
    if (wr_generation_of(word) == wr_generation_of(handle) && wr_state_of(word) == WR_CELL_READY &&
        port < k->pool->geometry.ports && !k->ports[port].actor) {
        wr_keeper_requeue(k, handle);
    }
}

/* The reservation that a slot has published: its ring, and the places [*at, *end) in it that were not lapped. What was not
 * begun there lies behind the head, so nobody would look there again. false: none (an actor's heads are set back as a whole). */
static bool reservation_of(const wr_keeper *k, uint32_t s, uint32_t *number, uint64_t *at, uint64_t *end) {
    uint64_t word = WR_LOAD(&wr_slot_at(k->pool, s)->reserved);
    uint32_t count = (uint32_t)word & 63;
    *number = (uint32_t)(word >> 6) & (WR_RING_MAX - 1);
    if (count == 0 || count > WR_RESERVE_MAX || *number >= k->pool->geometry.rings ||
        !k->rings[*number].leased || k->ports[k->rings[*number].port].actor) {
        return false;
    }
    wr_ring *ring = wr_ring_at(k->pool, *number);
    uint64_t tail = WR_LOAD(&ring->tail), head = WR_LOAD(&ring->head);
    uint64_t behind = (tail - (word >> 26)) & ((1ull << WR_RESERVE_START_BITS) - 1);
    if (behind > k->pool->ring_mask + WR_RESERVE_MAX || behind > tail) {
        return false;
    }
    *at = tail - behind;
    *end = *at + count < head ? *at + count : head;
    *end = *end < tail ? *end : tail;
    while (*at < *end && tail - *at > k->pool->ring_mask) {
        ++*at; /* done, and its place was used again; those behind it need not be */
    }
    return *at < *end;
}

static void reap_reservation(reaping *r) {
    wr_keeper *k = r->keeper;
    uint32_t number;
    uint64_t at, end;
    if (reservation_of(k, r->slot, &number, &at, &end)) {
        wr_ring *ring = wr_ring_at(k->pool, number);
        for (; at < end; at++) {
            requeue_ready(k, WR_LOAD(&ring->at[at & k->pool->ring_mask]));
        }
    }
}

uint32_t wr_keeper_reserved(const wr_keeper *k, uint32_t slot) {
    uint32_t ready = 0, number;
    uint64_t at, end;
    if (reservation_of(k, slot, &number, &at, &end) &&
        k->rings[number].port == (k->slots[slot].assignment & 0xffff)) { /* else of what it took before */
        const wr_ring *ring = wr_ring_at(k->pool, number);
        for (; at < end; at++) {
            ready += wr_cell_state_of(k->pool, WR_LOAD(&ring->at[at & k->pool->ring_mask])) == WR_CELL_READY;
        }
    }
    return ready;
}

/* A call of an actor that runs again is found where it stands in its caller's ring, unless that has gone
 * round since. */
static void requeue_lapped(wr_keeper *k, wr_cell *cell, wr_handle handle) {
    uint32_t port = cell->port, creator = wr_keeper_creator(k, wr_index_of(handle));
    if (port >= k->pool->geometry.ports || !k->ports[port].actor) {
        return;
    }
    uint32_t number = creator < WR_SLOT_MAX ? wr_keeper_ring_number(k, port, creator) : 0;
    uint64_t mask = k->pool->ring_mask;
    if (number != 0) {
        wr_ring *ring = wr_ring_at(k->pool, number - 1);
        uint64_t tail = WR_LOAD(&ring->tail);
        if (tail - k->rings[number - 1].base <= mask) {
            return;
        }
        for (uint64_t at = tail - mask; at != tail; at++) {
            if (WR_LOAD_RELAXED(&ring->at[at & mask]) == handle) {
                return;
            }
        }
    }
    wr_keeper_requeue(k, handle);
}

static bool may_retry(const wr_keeper *k, const wr_cell *cell, wr_lost_reason *out_reason) {
    uint32_t port = cell->port;
    bool again = cell->max_retries == WR_ATTEMPTS_ENDLESS || cell->attempt < cell->max_retries;
    *out_reason = WR_LOST_WORKER_DIED;
    if (port < k->pool->geometry.ports && k->ports[port].actor) {
        bool restarting = k->ports[port].state == WR_PORT_RESTARTING;
        *out_reason = restarting ? WR_LOST_ACTOR_RESTARTING : WR_LOST_ACTOR_DIED;
        return again && restarting;
    }
    return again;
}

/* A claim in flight: READY again with one attempt more, or sealed as an error. */
static void reap_running(reaping *r, wr_cell *cell, wr_handle handle, uint64_t word) {
    wr_keeper *k = r->keeper;
    wr_lost_reason reason;
    bool again = may_retry(k, cell, &reason) && handle != k->no_retry;
    if (again && cell->attempt != UINT8_MAX) {
        cell->attempt++;
    }
    uint32_t next = again ? WR_CELL_READY : WR_CELL_RUNNING | k->self->who;
    while (wr_generation_of(word) == wr_generation_of(handle) && wr_state_of(word) == WR_CELL_RUNNING &&
           wr_who_in(word) == r->who) {
        if (!WR_CAS(&cell->ctl, &word,
                    wr_word(wr_generation_of(word), next | ((uint32_t)word & WR_FLAG_ALL)))) {
            continue;
        }
        if (again) {
            requeue_lapped(k, cell, handle);
        } else {
            wr_keeper_seal_lost(k, handle, reason, r->lost, r->arg);
        }
        return;
    }
}

static void reap_lane(reaping *r, wr_handle handle) {
    wr_keeper *k = r->keeper;
    if (handle == 0 || !wr_keeper_cell_known(k, wr_index_of(handle))) {
        return;
    }
    wr_cell *cell = &k->pool->cells[wr_index_of(handle)];
    uint64_t word = WR_LOAD(&cell->ctl);
    if (wr_generation_of(word) != wr_generation_of(handle)) {
        return;
    }
    if (wr_state_of(word) == WR_CELL_RUNNING && wr_who_in(word) == r->who) {
        reap_running(r, cell, handle, word);
    }
    requeue_ready(k, handle); /* also what it gave back and had not queued */
    word = WR_LOAD(&cell->ctl);
    if (wr_generation_of(word) == wr_generation_of(handle) && wr_state_of(word) == WR_CELL_SEALED &&
        wr_who_in(word) == r->who && !wr_cell_list_walked(cell, word)) {
        wr_proc_walk(k->self, cell, r->who); /* it died between its seal and the end of its walk */
    }
    wr_futex_wake_all(wr_cell_futex(cell));
}

/* ---- What it made ---- */

static void reap_cell(reaping *r, uint32_t i) {
    wr_keeper *k = r->keeper;
    wr_cell *cell = &k->pool->cells[i];
    uint64_t word = WR_LOAD(&cell->ctl);
    if (wr_state_of(word) == WR_CELL_FREE) {
        return;
    }
    k->orphan_live[i >> k->pool->cells_shift]++;
    wr_handle handle = wr_handle_make(wr_generation_of(word), i);
    wr_row *row = wr_keeper_row(k, handle);
    if (row == NULL) { /* on its way home when its creator died */
        wr_keeper_homed_again(k, i);
        return;
    }
    row->dropped = true;
    row->requeued = false;
    bool claimed = wr_keeper_claim(k, handle, false); /* nobody else holds its result: it need not run */
    word = WR_LOAD(&cell->ctl);
    if (!claimed && wr_state_of(word) == WR_CELL_RUNNING &&
        wr_who_in(word) == r->who) { /* not in its intents: a stranger's */
        claimed = WR_CAS(
            &cell->ctl, &word,
            wr_word(wr_generation_of(word), WR_CELL_RUNNING | ((uint32_t)word & WR_FLAG_ALL) | k->self->who));
    }
    if (wr_state_of(word) == WR_CELL_SEALED && cell->nargs == 0 && cell->block == 0) {
        wr_keeper_candidate(k, i);
        return;
    }
    if (k->orphan_count == k->pool->cell_count) { /* each cell once, unless a stranger writes control words */
        wr_keeper_give_up(k, "the list of orphaned tasks is longer than there are cells");
        return;
    }
    if (cell->block != 0 && wr_state_of(word) == WR_CELL_RUNNING) {
        wr_stream_wake(k->pool, cell->block); /* its producer would wait for a credit of the dead */
    }
    wr_keeper_pin_arguments(k, cell, true);
    k->orphans[k->orphan_count++] = handle;
}

static void reap_extents(reaping *r) {
    wr_keeper *k = r->keeper;
    uint32_t cells = k->pool->geometry.cells_per_extent;
    r->first_orphan = k->orphan_count;
    for (uint32_t e = 0; e < k->cell_high; e++) {
        if (k->cell_owner[e] != r->slot) {
            continue;
        }
        k->cell_owner[e] = WR_EXTENT_ORPHAN;
        WR_STORE(&k->pool->extents[e], 0);
        k->orphan_live[e] = 1; /* held while we count */
        for (uint32_t c = 0; c < cells; c++) {
            reap_cell(r, (e << k->pool->cells_shift) + c);
        }
        wr_keeper_orphan_cell_freed(k, e << k->pool->cells_shift);
    }
    k->slots[r->slot].cell_extents = 0;
}

/* The claimed are sealed the usual way. */
static void seal_cancelled(reaping *r) {
    wr_keeper *k = r->keeper;
    for (uint32_t n = r->first_orphan; n < k->orphan_count; n++) {
        wr_handle handle = k->orphans[n];
        uint64_t word = WR_LOAD(&k->pool->cells[wr_index_of(handle)].ctl);
        if (wr_state_of(word) == WR_CELL_RUNNING && wr_who_in(word) == k->self->who) {
            wr_keeper_seal_lost(k, handle, WR_LOST_OWNER_DIED, r->lost, r->arg);
        }
    }
}

/* Tasks of the dead that go on, because others hold their results, and stood in no ring. */
static void requeue_shared(reaping *r) {
    wr_keeper *k = r->keeper;
    for (uint32_t n = r->first_orphan; n < k->orphan_count; n++) {
        wr_handle handle = k->orphans[n];
        wr_row *row = wr_keeper_row(k, handle);
        uint32_t port = k->pool->cells[wr_index_of(handle)].port;
        wr_cell_state state = wr_cell_state_of(k->pool, handle);
        bool actor = port < k->pool->geometry.ports && k->ports[port].actor;
        if (row != NULL && !row->requeued &&
            (state == WR_CELL_READY || (actor && state == WR_CELL_WAITING))) {
            wr_keeper_requeue(k, handle);
        }
    }
    for (uint32_t n = 0; n < k->orphan_count; n++) { /* another death begins anew */
        wr_row *row = wr_keeper_row(k, k->orphans[n]);
        if (row != NULL) {
            row->requeued = false;
        }
    }
}

/* ---- What it held ---- */

static void reap_rows(reaping *r) {
    wr_keeper *k = r->keeper;
    uint32_t cells = k->pool->geometry.cells_per_extent;
    for (uint32_t e = 0; e < k->cell_high && k->slots[r->slot].holds != 0; e++) {
        for (uint32_t c = 0; c < cells && k->cell_owner[e] != WR_EXTENT_FREE; c++) {
            uint32_t i = (e << k->pool->cells_shift) + c;
            wr_row *row = &k->rows[i];
            if (row->used && wr_row_has_slot(row, r->slot)) {
                wr_row_remove_slot(k, row, r->slot);
                wr_keeper_candidate(k, i);
            }
        }
    }
    k->slots[r->slot].holds = 0;
}

/* ---- Hints that it may have lost: raised again ---- */

static void reap_hints(reaping *r) {
    wr_keeper *k = r->keeper;
    for (uint32_t n = 0; n < k->port_high; n++) {
        if (!k->ports[n].open) {
            continue;
        }
        wr_port *port = &k->pool->ports[n];
        wr_slot_set_remove(&port->sleepers, r->slot, NULL);
        for (uint32_t ring = k->ports[n].rings_first; ring != 0; ring = k->rings[ring - 1].next) {
            wr_ring *at = wr_ring_at(k->pool, ring - 1);
            if (WR_LOAD_SEQ(&at->head) < WR_LOAD_SEQ(&at->tail)) {
                wr_slot_set_add(&port->nonempty, k->rings[ring - 1].slot);
            }
        }
        wr_slot_set_repair(&port->nonempty);
        wr_slot_set_repair(&port->sleepers);
        for (uint32_t s = 0; s < k->slot_high && wr_port_wake_one(k->pool, n); s++) {
        }
    }
    for (uint32_t b = 0; b < k->pool->geometry.bells; b++) {
        wr_bell_ring(&k->pool->header->bells[b][0]);
    }
}

static void close_slot(wr_keeper *k, uint32_t s) {
    wr_keeper_slot *mine = &k->slots[s];
    wr_slot *slot = wr_slot_at(k->pool, s);
    WR_STORE_RELAXED(&slot->reserved, 0);
    for (uint32_t lane = 0; lane <= WR_LANE_MAX; lane++) {
        if (WR_LOAD_RELAXED(&slot->current[lane]) != 0) {
            WR_STORE_RELAXED(&slot->current[lane], 0);
        }
    }
    mine->backlog_count = mine->backlog_first = 0; /* grants for the dead are not for the next */
    mine->assignment = WR_PORT_NONE;
    mine->epoch = (mine->epoch + 1) & 0xfff;
    mine->epoch = mine->epoch == 0 ? 1 : mine->epoch;
    mine->state = WR_SLOT_FREE;
    k->slots_live--;
    WR_STORE_RELAXED(&slot->epoch, mine->epoch);
    WR_STORE(&slot->state, WR_SLOT_FREE);
}

void wr_keeper_no_retry(wr_keeper *k, wr_handle handle) {
    k->no_retry = handle;
}

void wr_keeper_slot_dead(wr_keeper *k, uint32_t s, wr_lost_fn lost, void *arg) {
    if (s == WR_SLOT_RAYLET || s >= k->slot_high || k->slots[s].state == WR_SLOT_FREE) {
        return;
    }
    wr_slot *slot = wr_slot_at(k->pool, s);
    reaping r = {.keeper = k, .slot = s, .who = wr_who(s, k->slots[s].epoch), .lost = lost, .arg = arg};
    WR_STORE(&slot->state, WR_SLOT_DEAD);
    wr_keeper_drain(k); /* what it reported holds; the rest did not happen */
    k->slots[s].state = WR_SLOT_DEAD;
    reap_reservation(&r);
    for (uint32_t lane = 0; lane <= WR_LANE_MAX; lane++) {
        reap_lane(&r, WR_LOAD(&slot->current[lane]));
    }
    reap_extents(&r);
    seal_cancelled(&r);
    wr_keeper_slot_rings_dead(k, s);
    requeue_shared(&r);
    wr_keeper_orphan_heap(k, s);
    reap_rows(&r);
    reap_hints(&r);
    close_slot(k, s);
    k->no_retry = 0;
}

/* engine/shm/proc_take.c: taking tasks: reservations, claims, stealing; and what a claimer does with a claim.
 *
 * Two steps: a range of a ring is reserved (intent, then CAS on head), and its cells are claimed one by one
 * as they are begun (intent, then CAS on ctl). A reservation is a hint: what its holder has not begun can be
 * claimed by an idle taker.
 */
#include "shm/proc_internal.h"

enum { PREFETCH_AHEAD = 4 }; /* cells on their way from their submitter's cache while others are run */

/* ---- Claims ---- */

static bool copy_claim(const wr_pool *pool, wr_cell *cell, wr_handle handle, uint32_t lane, wr_claim *out) {
    out->handle = handle;
    out->function = cell->function;
    out->lane = lane;
    uint32_t holder = WR_LOAD_RELAXED(&pool->extents[wr_index_of(handle) >> pool->cells_shift]);
    out->caller_slot = holder == 0 ? WR_SLOT_RAYLET : holder - 1;
    out->port = cell->port;
    out->flags = cell->flags;
    out->attempt = cell->attempt;
    out->max_retries = cell->max_retries;
    out->block = cell->block;
    uint8_t nargs = cell->nargs, arg_bytes = cell->arg_bytes;
    out->links = NULL;
    if (WR_UNLIKELY(nargs == WR_LINKS_IN_BLOCK)) {
        wr_block_view view;
        if (wr_block_open(pool, out->block, &view, NULL) != WR_OK) {
            return false;
        }
        out->links = view.links;
        out->ref_count = view.header.link_count;
        out->arg_bytes = 0;
        return true;
    }
    out->ref_count = nargs <= WR_CELL_LINKS ? nargs : 0;
    for (uint32_t k = 0; k < out->ref_count; k++) {
        out->refs[k] = cell->links[k].ref;
    }
    uint32_t at = out->ref_count * (uint32_t)sizeof(wr_block_link);
    out->arg_bytes = arg_bytes <= WR_CELL_ARG_BYTES - at ? arg_bytes : 0;
    if (at == 0) { /* whole lines: cheaper than as many bytes as there are */
        memcpy(out->args, cell->args, WR_CELL_ARG_BYTES);
    } else if (out->arg_bytes != 0) {
        memcpy(out->args, cell->args + at, out->arg_bytes);
    }
    return true;
}

/* port_generation: of the port's present opening; 0 for WR_PORT_NONE. A task of an earlier one is left to its
 * submitter, who sees what we see and seals it (wr_proc_enqueue). */
static bool claim_cell(wr_proc *p, uint32_t lane, wr_handle handle, uint32_t port, uint16_t port_generation,
                       wr_claim *out) {
    wr_cell *cell = wr_cell_at(p->pool, handle);
    if (WR_UNLIKELY(cell == NULL)) {
        return false;
    }
    WR_STORE_RELAXED(&p->slot->current[lane], handle);
    WR_INTENT_BARRIER(); /* intent before act */
    uint64_t word = WR_LOAD(&cell->ctl);
    do {
        if (wr_generation_of(word) != wr_generation_of(handle) || wr_state_of(word) != WR_CELL_READY ||
            wr_cell_port(cell) != port || wr_cell_port_generation(cell) != port_generation) {
            return false;
        }
    } while (
        !WR_CAS(&cell->ctl, &word,
                wr_word(wr_generation_of(word), WR_CELL_RUNNING | p->who | ((uint32_t)word & WR_FLAG_ALL))));
    if (WR_UNLIKELY(!copy_claim(p->pool, cell, handle, lane, out))) {
        wr_result broken = {.kind = WR_TRACE_KIND_SYSTEM_ERROR,
                            .location = WR_AT_INLINE}; /* its creator destroyed its own arguments */
        wr_proc_seal_cell(p, handle, &broken, true);
        return false;
    }
    if (WR_UNLIKELY((wr_alert(p->pool) & WR_ALERT_TRACE) != 0)) {
        wr_proc_trace(p, handle, out->function, 1);
    }
    return true;
}

static void prefetch_cell(const wr_pool *pool, wr_handle handle) {
    const wr_cell *cell = wr_cell_at(pool, handle);
    if (cell != NULL) {
        __builtin_prefetch(cell, 1);
        __builtin_prefetch(&cell->function);
    }
}

/* ---- Reservations ---- */

/* An actor's: its one taker sets the head back to what it has not begun. Not if the ring's submitter has died and the ring
 * gone to another: that one would wait behind a call of this actor. */
static void give_head_back(wr_proc *p) {
    wr_ring *ring = p->reserved_ring;
    uint64_t end = p->reserved_end;
    if (WR_LOAD(&ring->port) == p->take_port && WR_LOAD(&ring->slot) == p->reserved_slot) {
        WR_CAS(&ring->head, &end, p->reserved_at);
    }
    p->reserved_end = p->reserved_at;
}

/* Claims the next READY cell of the reserved range. false: the range is used up, or an actor's head waits. */
static bool take_reserved(wr_proc *p, uint32_t lane, bool actor, wr_claim *out) {
    const wr_pool *pool = p->pool;
    wr_ring *ring = p->reserved_ring;
    while (p->reserved_at != p->reserved_end) {
        wr_handle handle = WR_LOAD(&ring->at[p->reserved_at & pool->ring_mask]);
        if (p->reserved_at + PREFETCH_AHEAD < p->reserved_end) {
            prefetch_cell(pool,
                          WR_LOAD_RELAXED(&ring->at[(p->reserved_at + PREFETCH_AHEAD) & pool->ring_mask]));
        }
        if (actor && wr_cell_state_of(pool, handle) == WR_CELL_WAITING) { /* in order: it blocks its ring */
            give_head_back(p);
            return false;
        }
        p->reserved_at++;
        if (claim_cell(p, lane, handle, p->take_port, p->take_generation, out)) {
            return true;
        }
    }
    return false;
}

/* Reserves what may be taken at once from the ring. false: it is empty. */
static bool reserve(wr_proc *p, wr_port *port, uint32_t slot, uint32_t number, bool actor) {
    const wr_pool *pool = p->pool;
    wr_ring *ring = wr_ring_at(pool, number);
    uint64_t head = WR_LOAD(&ring->head), tail = WR_LOAD(&ring->tail);
    while (head < tail) {
        /* Behind the looks at both: a ring that went to another port since its number was read says so, or its head has
         * moved past this one. What is taken out of another port's ring would stand in no ring. */
        if (WR_UNLIKELY(WR_LOAD_RELAXED(&ring->port) != p->take_port)) {
            return false;
        }
        if (actor && wr_cell_state_of(pool, WR_LOAD(&ring->at[head & pool->ring_mask])) == WR_CELL_WAITING) {
            return false;
        }
        uint32_t takers = actor ? 1 : WR_LOAD_RELAXED(&port->takers);
        /* One taker takes all it sees (another that comes may steal): each look at `tail` costs the submitter. */
        uint64_t n = (tail - head) / (takers < 2 ? 1 : 2 * (uint64_t)takers);
        n = n < 1 ? 1 : n > WR_RESERVE_MAX ? WR_RESERVE_MAX : n;
        WR_STORE_RELAXED(&p->slot->reserved, wr_reserve_word(number, (uint32_t)n, head));
        WR_INTENT_BARRIER(); /* intent; the head is only a hint */
        if (WR_CAS(&ring->head, &head, head + n)) {
            wr_proc_publish_core(p);
            p->reserved_ring = ring;
            p->reserved_slot = slot;
            p->reserved_at = head;
            p->reserved_end = head + n;
            for (uint64_t k = 0; k < n && k < PREFETCH_AHEAD; k++) {
                prefetch_cell(pool, WR_LOAD_RELAXED(&ring->at[(head + k) & pool->ring_mask]));
            }
            return true;
        }
    }
    return false;
}

/* The ring was empty: its bit goes only after many such looks, or an idle taker fights the submitter for the
 * line. */
static void looked_empty(wr_proc *p, wr_port *port, uint32_t slot, wr_ring *ring) {
    if (++p->empty_looks < 64) {
        return;
    }
    p->empty_looks = 0;
    wr_slot_set_remove(&port->nonempty, slot, NULL);
    if (WR_LOAD_SEQ(&ring->head) < WR_LOAD_SEQ(&ring->tail)) { /* README, pair 4 */
        wr_slot_set_add(&port->nonempty, slot);
    }
}

/* Tries the ring of one submitter. */
static bool take_from(wr_proc *p, uint32_t lane, wr_port *port, uint32_t slot, bool actor, wr_claim *out) {
    const wr_pool *pool = p->pool;
    uint32_t number = slot < pool->geometry.slots ? WR_LOAD(&port->ring_of[slot]) : 0;
    if (number == 0 || number > pool->geometry.rings) {
        wr_slot_set_remove(&port->nonempty, slot, NULL); /* no such ring: a stale bit */
        return false;
    }
    while (reserve(p, port, slot, number - 1, actor)) {
        if (take_reserved(p, lane, actor, out)) {
            return true;
        }
    }
    wr_ring *ring = wr_ring_at(pool, number - 1);
    if (WR_LOAD(&ring->head) >= WR_LOAD(&ring->tail)) {
        looked_empty(p, port, slot, ring);
    }
    return false;
}

/* Once round the set bits, beginning behind the ring served last, so that no submitter starves another. */
static bool take_round(wr_proc *p, uint32_t lane, wr_port *port, bool actor, wr_claim *out) {
    uint64_t summary = WR_LOAD(&port->nonempty.summary);
    if (summary == 0) {
        return false;
    }
    uint32_t first = p->rotation / 64 % WR_SLOT_WORDS;
    for (uint32_t k = 0; k <= WR_SLOT_WORDS; k++) {
        uint32_t w = (first + k) % WR_SLOT_WORDS;
        if ((summary >> w & 1) == 0) {
            continue;
        }
        uint64_t word = WR_LOAD(&port->nonempty.words[w]), from = ~0ull << (p->rotation % 64);
        if (k == 0) {
            word &= from;
        } else if (k == WR_SLOT_WORDS) {
            word &= ~from; /* the first word again: what lies before where we began */
        }
        for (; word != 0; word &= word - 1) {
            uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(word);
            if (take_from(p, lane, port, slot, actor, out)) {
                p->rotation = (slot + 1) % WR_SLOT_MAX;
                return true;
            }
        }
    }
    return false;
}

/* ---- Stealing: what another reserved and has not begun ---- */

typedef struct reserved_range {
    wr_ring *ring;
    uint64_t start;
    uint32_t count;
} reserved_range;

static bool range_of(const wr_pool *pool, uint32_t slot, uint32_t port, reserved_range *out) {
    uint64_t word = WR_LOAD(&wr_slot_at(pool, slot)->reserved);
    uint32_t count = (uint32_t)word & 63, number = (uint32_t)(word >> 6) & (WR_RING_MAX - 1);
    if (count < 2 || count > WR_RESERVE_MAX || number >= pool->geometry.rings) {
        return false;
    }
    wr_ring *ring = wr_ring_at(pool, number);
    if (WR_LOAD_RELAXED(&ring->port) != port) {
        return false;
    }
    uint64_t tail = WR_LOAD(&ring->tail),
             behind = (tail - (word >> 26)) & ((1ull << WR_RESERVE_START_BITS) - 1);
    if (behind < count || behind > pool->ring_mask + WR_RESERVE_MAX || behind > tail) {
        return false;
    }
    uint64_t lapped = behind > pool->ring_mask ? behind - pool->ring_mask : 0; /* done, and used again */
    if (lapped + 2 > count) {
        return false;
    }
    *out = (reserved_range){ring, tail - behind + lapped, count - (uint32_t)lapped};
    return true;
}

/* Last first: the holder goes the other way. */
static bool steal_from(wr_proc *p, uint32_t port, uint32_t slot, uint32_t lane, wr_claim *out) {
    const wr_pool *pool = p->pool;
    reserved_range range;
    if (!range_of(pool, slot, port, &range)) {
        return false;
    }
    for (uint32_t k = range.count; k-- > 1;) {
        wr_handle handle = WR_LOAD(&range.ring->at[(range.start + k) & pool->ring_mask]);
        if (wr_cell_state_of(pool, handle) != WR_CELL_READY) {
            continue;
        }
        if (out == NULL) {
            return wr_cell_port(wr_cell_at(pool, handle)) == port;
        }
        if (claim_cell(p, lane, handle, port, p->take_generation, out)) {
            return true;
        }
    }
    return false;
}

static bool steal(wr_proc *p, uint32_t port, uint32_t lane, wr_claim *out) {
    uint32_t high = WR_LOAD(&p->pool->header->slot_high);
    for (uint32_t s = 1; s < high && s < p->pool->geometry.slots; s++) {
        if (s != p->index && steal_from(p, port, s, lane, out)) {
            return true;
        }
    }
    return false;
}

bool wr_proc_can_steal(wr_proc *p, uint32_t port) {
    if (WR_LOAD_RELAXED(&p->pool->ports[port].actor) != 0) {
        return false;
    }
    bool found = steal(p, port, 0, NULL);
    if (found) {
        atomic_store_explicit(&p->steal_seen, true, memory_order_relaxed);
    }
    return found;
}

/* ---- Take ---- */

/* Hands on what is reserved and not begun, before this process turns to another port or blocks. */
void wr_proc_release_reserved(wr_proc *p) {
    if (!wr_port_valid(p->pool, p->take_port) || WR_LOAD_RELAXED(&p->pool->ports[p->take_port].actor) != 0) {
        if (p->reserved_at != p->reserved_end) {
            give_head_back(p);
        }
        return;
    }
    while (p->reserved_at != p->reserved_end) {
        wr_handle handle = WR_LOAD(&p->reserved_ring->at[p->reserved_at & p->pool->ring_mask]);
        if (wr_cell_state_of(p->pool, handle) == WR_CELL_READY) {
            wr_proc_enqueue_durably(p, p->take_port, handle);
        }
        p->reserved_at++;
    }
    WR_INTENT_BARRIER(); /* they stand elsewhere now: who dies before the next line has them queued twice, which is none */
    WR_STORE_RELAXED(&p->slot->reserved, 0);
}

bool wr_proc_take(wr_proc *p, uint32_t lane, wr_claim *out) {
    if (WR_UNLIKELY(p->forked) || WR_UNLIKELY((wr_alert(p->pool) & WR_ALERT_POISON) != 0)) {
        return false;
    }
    WR_DEBUG_ASSERT(lane < WR_LANE_MAX);
    uint32_t number = WR_LOAD(&p->slot->assignment) & 0xffff;
    if (WR_UNLIKELY(number != p->take_port)) {
        wr_proc_release_reserved(p);
        p->take_port = number;
    }
    if (!wr_port_valid(p->pool, number)) {
        return false;
    }
    wr_port *port = &p->pool->ports[number];
    bool actor = WR_LOAD_RELAXED(&port->actor) != 0;
    p->take_generation = (uint16_t)WR_LOAD_RELAXED(&port->generation);
    bool taken = (p->reserved_at != p->reserved_end && take_reserved(p, lane, actor, out)) ||
                 take_round(p, lane, port, actor, out);
    if (!taken && !actor &&
        ((++p->idle_looks & 15) == 0 || atomic_load_explicit(&p->steal_seen, memory_order_relaxed))) {
        atomic_store_explicit(&p->steal_seen, false, memory_order_relaxed);
        taken = steal(p, number, lane, out);
        if (taken) {
            wr_proc_count(p, WR_COUNTER_STEALS, 1);
        }
    }
    if (taken) {
        wr_proc_count(p, actor ? WR_COUNTER_CALLS_EXECUTED : WR_COUNTER_EXECUTED, 1);
    }
    return taken;
}

wr_status wr_proc_claim(wr_proc *p, uint32_t lane, wr_handle handle, wr_claim *out) {
    wr_cell *cell = p->forked || lane >= WR_LANE_MAX ? NULL : wr_cell_at(p->pool, handle);
    if (cell == NULL) {
        return WR_E_NOT_FOUND;
    }
    if (claim_cell(p, lane, handle, WR_PORT_NONE, 0, out)) {
        return WR_OK;
    }
    uint64_t word = WR_LOAD(&cell->ctl);
    if (wr_generation_of(word) != wr_generation_of(handle)) {
        return WR_E_NOT_FOUND;
    }
    switch (wr_state_of(word)) {
    case WR_CELL_WAITING:
        return WR_E_AGAIN;
    case WR_CELL_SEALED:
        return copy_claim(p->pool, cell, handle, lane, out) ? WR_E_STATE : WR_E_NOT_FOUND;
    case WR_CELL_READY: /* of another port */
    case WR_CELL_RUNNING:
    case WR_CELL_FREE:
        break;
    }
    return WR_E_NOT_FOUND;
}

/* ---- Seal ---- */

static void write_result(wr_cell *cell, const wr_result *result, bool withdrawn) {
    wr_cell_kind_set(cell, result->kind, withdrawn);
    cell->location = result->location;
    if (result->location == WR_AT_INLINE) {
        cell->result_bytes = (uint8_t)(result->bytes <= WR_INLINE_MAX ? result->bytes : WR_INLINE_MAX);
        memcpy(cell->inline_bytes, result->inline_bytes, WR_INLINE_MAX);
    } else {
        cell->result_bytes = 0;
        cell->place = result->offset | (result->location & 7u);
    }
}

void wr_proc_wake_sealed(wr_proc *p, wr_handle handle, wr_cell *cell, uint64_t word) {
    if ((word & WR_FLAG_DEPS) != 0) {
        wr_proc_walk(p, cell, 0);
    }
    if ((word & WR_FLAG_WAIT1) != 0) {
        wr_futex_wake_all(wr_cell_futex(cell));
    }
    if ((word & WR_FLAG_WAITN) != 0) {
        wr_bell_ring(&p->pool->header->bells[wr_index_of(handle) & (p->pool->geometry.bells - 1)][0]);
    }
    if ((word & (WR_FLAG_WAIT1 | WR_FLAG_WAITN)) != 0) {
        atomic_store_explicit(&p->woke, true, memory_order_relaxed);
        wr_proc_count(p, WR_COUNTER_WAKES, 1);
    }
}

bool wr_proc_seal_cell(wr_proc *p, wr_handle handle, const wr_result *result, bool withdrawn) {
    wr_cell *cell = wr_cell_at(p->pool, handle);
    if (cell == NULL) {
        return false;
    }
    uint64_t word = WR_LOAD(&cell->ctl);
    if (wr_generation_of(word) != wr_generation_of(handle) || wr_state_of(word) != WR_CELL_RUNNING ||
        wr_who_in(word) != p->who) {
        return false; /* taken away: the fields are another's */
    }
    write_result(cell, result, withdrawn);
    uint64_t flags =
        result->location == WR_AT_HEAP ? WR_FLAG_SHARED : 0; /* the raylet routes the block's free */
    do {
        if (wr_generation_of(word) != wr_generation_of(handle) || wr_state_of(word) != WR_CELL_RUNNING ||
            wr_who_in(word) != p->who) {
            return false;
        }
    } while (!WR_CAS_SEQ(&cell->ctl, &word,
                         wr_word(wr_generation_of(handle), WR_CELL_SEALED) | p->who | flags |
                             (word & (WR_FLAG_DEPS | WR_FLAG_SHARED))));
    if (WR_UNLIKELY((word & (WR_FLAG_DEPS | WR_FLAG_WAIT1 | WR_FLAG_WAITN)) != 0)) {
        wr_proc_wake_sealed(p, handle, cell, word);
    }
    return true;
}

/* ---- What a claimer does ---- */

bool wr_proc_seal(wr_proc *p, const wr_claim *claim, const wr_result *result) {
    if (WR_UNLIKELY(p->forked)) {
        return false;
    }
    uint64_t bytes = result->bytes;
    if (result->location == WR_AT_HEAP) {
        const uint8_t *block = wr_pool_heap_read(p->pool, result->offset, WR_BLOCK_HEADER_BYTES);
        bytes = 0;
        if (block != NULL) {
            memcpy(&bytes, block, sizeof bytes);
        }
    }
    if (WR_UNLIKELY(!wr_proc_seal_cell(p, claim->handle, result, false))) {
        if (result->location == WR_AT_HEAP) {
            wr_heap_block_free(p, result->offset);
        }
        return false;
    }
    wr_proc_count(p, WR_COUNTER_SEALED, 1);
    wr_proc_count(p, WR_COUNTER_SEALED_BYTES, bytes);
    if (WR_UNLIKELY((wr_alert(p->pool) & WR_ALERT_TRACE) != 0)) {
        wr_proc_trace(p, claim->handle, claim->function,
                      result->kind == WR_TRACE_KIND_ERROR || result->kind == WR_TRACE_KIND_SYSTEM_ERROR ? 3
                                                                                                        : 2);
    }
    return true;
}

/* The cell, if this process still has the claim. */
static wr_cell *claimed(wr_proc *p, const wr_claim *claim, uint64_t *out_word) {
    wr_cell *cell = p->forked ? NULL : wr_cell_at(p->pool, claim->handle);
    if (cell == NULL) {
        return NULL;
    }
    *out_word = WR_LOAD(&cell->ctl);
    return wr_generation_of(*out_word) == wr_generation_of(claim->handle) &&
                   wr_state_of(*out_word) == WR_CELL_RUNNING && wr_who_in(*out_word) == p->who
               ? cell
               : NULL;
}

static void one_more_attempt(wr_cell *cell) {
    if (cell->attempt != UINT8_MAX) {
        cell->attempt++;
    }
}

bool wr_proc_give_back(wr_proc *p, const wr_claim *claim, uint32_t ring) {
    (void)ring; /* the port's table knows it */
    uint64_t word;
    wr_cell *cell = claimed(p, claim, &word);
    if (cell == NULL) {
        return false;
    }
    WR_STORE_RELAXED(&p->slot->current[claim->lane],
                     claim->handle); /* until it is queued, the reaper looks here */
    WR_INTENT_BARRIER();
    one_more_attempt(cell);
    uint64_t ready;
    do {
        if (wr_state_of(word) != WR_CELL_RUNNING || wr_who_in(word) != p->who) {
            return false;
        }
        ready = wr_word(wr_generation_of(word), WR_CELL_READY | ((uint32_t)word & WR_FLAG_ALL));
    } while (!WR_CAS(&cell->ctl, &word, ready));
    if (wr_port_valid(p->pool, claim->port)) {
        wr_proc_enqueue_durably(p, claim->port, claim->handle);
    }
    return true;
}

bool wr_proc_retry_in_place(wr_proc *p, wr_claim *claim) {
    uint64_t word;
    wr_cell *cell = claimed(p, claim, &word);
    if (cell == NULL) {
        return false;
    }
    one_more_attempt(cell);
    claim->attempt = cell->attempt;
    return true;
}

/* engine/shm/keeper_port.c: ports and the rings at them; an actor's new incarnation; calls of a dead one. */
#include "shm/keeper_internal.h"

/* ---- Rings ---- */

static wr_ring *ring_at(const wr_keeper *k, uint32_t r) {
    return wr_ring_at(k->pool, r);
}

uint32_t wr_keeper_ring_number(const wr_keeper *k, uint32_t port, uint32_t slot) {
    for (uint32_t r = k->ports[port].rings_first; r != 0; r = k->rings[r - 1].next) {
        if (k->rings[r - 1].slot == slot) {
            return r;
        }
    }
    return 0;
}

/* One that this slot had before, else one that nobody has. */
static uint32_t find_free_ring(const wr_keeper *k, uint32_t slot) {
    uint32_t found = k->ring_high < k->pool->geometry.rings ? k->ring_high : UINT32_MAX;
    for (uint32_t r = k->ring_high; r-- > 0;) {
        const wr_keeper_ring *ring = &k->rings[r];
        if (ring->kept && ring->slot == slot) {
            return r;
        }
        if (!ring->leased && !ring->kept) {
            found = r;
        }
    }
    return found;
}

wr_status wr_keeper_ring_open(wr_keeper *k, uint16_t port, uint32_t slot, uint32_t *out, wr_error *err) {
    if (port >= k->pool->geometry.ports || !k->ports[port].open || slot >= k->pool->geometry.slots ||
        k->slots[slot].state != WR_SLOT_LIVE) {
        return WR_FAIL(err, WR_E_INVALID, "no ring for slot %u at port %u: one of them is not open", slot,
                       port);
    }
    uint32_t number = wr_keeper_ring_number(k, port, slot);
    if (number != 0) {
        *out = number - 1;
        return WR_OK;
    }
    uint32_t r = find_free_ring(k, slot);
    if (r == UINT32_MAX) {
        return WR_FAIL(err, WR_E_LIMIT, "all %u rings of the pool are taken", k->pool->geometry.rings);
    }
    wr_ring *ring = ring_at(k, r);
    uint64_t tail = WR_LOAD(&ring->tail);
    k->rings_kept -= k->rings[r].kept;
    k->rings[r] = (wr_keeper_ring){.leased = true,
                                   .port = port,
                                   .slot = slot,
                                   .next = k->ports[port].rings_first,
                                   .base = tail,
                                   .done = tail,
                                   .failed = tail};
    k->ring_high = r >= k->ring_high ? r + 1 : k->ring_high;
    k->ports[port].rings_first = r + 1;
    k->rings_open++;
    WR_STORE(&ring->head, tail); /* indices go on; what stood there is done */
    WR_STORE(&ring->port, port);
    WR_STORE(&ring->slot, slot);
    WR_STORE_SEQ(&k->pool->ports[port].ring_of[slot], r + 1); /* README, pair 1 */
    *out = r;
    return WR_OK;
}

/* keep: its submitter lives, and may be about to write to it. */
static void release_ring(wr_keeper *k, uint32_t r, bool keep) {
    wr_keeper_ring *mine = &k->rings[r];
    wr_port *port = &k->pool->ports[mine->port];
    WR_STORE(&port->ring_of[mine->slot], 0);
    WR_STORE(&ring_at(k, r)->slot, UINT32_MAX);
    wr_slot_set_remove(&port->nonempty, mine->slot, NULL);
    uint32_t *at = &k->ports[mine->port].rings_first;
    while (*at != r + 1) {
        at = &k->rings[*at - 1].next;
    }
    *at = mine->next;
    *mine = (wr_keeper_ring){.kept = keep, .slot = keep ? mine->slot : 0};
    k->rings_open--;
    k->rings_kept += keep;
}

/* ---- Ports ---- */

wr_status wr_keeper_port_open(wr_keeper *k, bool actor, uint16_t *out, wr_error *err) {
    uint32_t n = 0;
    while (n < k->pool->geometry.ports && k->ports[n].open) {
        n++;
    }
    if (n == k->pool->geometry.ports) {
        return WR_FAIL(err, WR_E_LIMIT, "all %u ports of the pool are taken", n);
    }
    wr_port *port = &k->pool->ports[n];
    uint32_t generation = k->ports[n].generation != 0 ? k->ports[n].generation : 1;
    k->ports[n] = (wr_keeper_port){
        .open = true, .actor = actor, .hungry = !actor, .generation = generation, .state = WR_PORT_OPEN};
    uint32_t ring;
    wr_status status = wr_keeper_ring_open(k, (uint16_t)n, WR_SLOT_RAYLET, &ring, err);
    if (status != WR_OK) {
        k->ports[n].open = false;
        return status;
    }
    WR_STORE_RELAXED(&port->actor, actor ? 1 : 0);
    WR_STORE_RELAXED(&port->takers, 0);
    WR_STORE_RELAXED(&port->cause, 0);
    WR_STORE_RELAXED(&port->generation, generation);
    WR_STORE(&port->hungry, actor ? 0 : 1); /* an actor has its taker; nobody else comes for its calls */
    WR_STORE(&port->state, WR_PORT_OPEN);
    k->port_high = n + 1 > k->port_high ? n + 1 : k->port_high;
    k->ports_open++;
    *out = (uint16_t)n;
    return WR_OK;
}

static bool is_open(const wr_keeper *k, uint32_t port) {
    return port < k->pool->geometry.ports && k->ports[port].open;
}

void wr_keeper_port_takers(wr_keeper *k, uint16_t n, uint32_t takers, bool hungry) {
    if (!is_open(k, n)) {
        return;
    }
    const bool woken = hungry && !k->ports[n].hungry && takers == 0;
    k->ports[n].hungry = hungry;
    k->ports[n].takers = takers;
    WR_STORE(&k->pool->ports[n].takers, takers);
    WR_STORE_SEQ(&k->pool->ports[n].hungry, hungry ? 1 : 0);
    if (woken) { /* this pass has looked at the tails already, and nobody else does */
        wr_bell_ring(&k->pool->header->bell);
    }
}

void wr_keeper_port_state(wr_keeper *k, uint16_t n, wr_port_state state, wr_handle cause) {
    if (!is_open(k, n)) {
        return;
    }
    k->ports[n].state = (uint8_t)state;
    k->ports[n].cause = cause;
    WR_STORE(&k->pool->ports[n].cause, cause);
    WR_STORE_SEQ(&k->pool->ports[n].state, state);
}

void wr_keeper_port_info(const wr_keeper *k, uint16_t n, wr_port_info *out) {
    *out = (wr_port_info){.state = WR_PORT_CLOSED};
    if (!is_open(k, n)) {
        return;
    }
    out->generation = k->ports[n].generation;
    wr_port *port = &k->pool->ports[n];
    out->state = (wr_port_state)k->ports[n].state;
    out->actor = k->ports[n].actor;
    for (uint32_t r = k->ports[n].rings_first; r != 0; r = k->rings[r - 1].next) {
        wr_ring *ring = ring_at(k, r - 1);
        uint64_t head = WR_LOAD_SEQ(&ring->head), tail = WR_LOAD_SEQ(&ring->tail);
        if (head >= tail || tail - head > k->pool->ring_mask) {
            continue;
        }
        out->queued += tail - head;
        wr_handle handle = WR_LOAD(&ring->at[head & k->pool->ring_mask]);
        out->ready += wr_cell_state_of(k->pool, handle) != WR_CELL_WAITING;
    }
    for (uint32_t w = 0; w < WR_SLOT_WORDS; w++) {
        out->sleepers += (uint32_t)__builtin_popcountll(WR_LOAD(&port->sleepers.words[w]));
    }
}

/* ---- An actor's new incarnation ---- */

/* An index a whole ring behind the tail is done by its submitter's own check, and its slot may name a newer
 * call: so the tail is read again after each slot. One slot less (a full ring) it may be the call that the
 * dead actor had begun. */
static uint64_t oldest_not_done(wr_keeper *k, uint32_t r) {
    wr_keeper_ring *mine = &k->rings[r];
    wr_ring *ring = ring_at(k, r);
    uint64_t mask = k->pool->ring_mask, tail = WR_LOAD(&ring->tail);
    uint64_t at = mine->done > tail ? tail : mine->done;
    if (tail - at > mask) {
        at = tail - mask;
    }
    while (at < tail) {
        wr_handle handle = WR_LOAD(&ring->at[at & mask]);
        uint64_t now = WR_LOAD(&ring->tail);
        if (now - at <= mask && !wr_entry_done(k->pool, handle)) {
            break;
        }
        at++;
    }
    mine->done = at;
    return at;
}

void wr_keeper_actor_rewind(wr_keeper *k, uint16_t n) {
    if (!is_open(k, n)) {
        return;
    }
    for (uint32_t r = k->ports[n].rings_first; r != 0; r = k->rings[r - 1].next) {
        wr_ring *ring = ring_at(k, r - 1);
        uint64_t head = oldest_not_done(k, r - 1);
        WR_STORE_SEQ(&ring->head, head);
        if (head < WR_LOAD_SEQ(&ring->tail)) {
            wr_slot_set_add(&k->pool->ports[n].nonempty, k->rings[r - 1].slot);
        }
    }
    wr_port_wake_one(k->pool, n);
}

/* ---- Claiming for the raylet ---- */

bool wr_keeper_claim(wr_keeper *k, wr_handle handle, bool shared_too) {
    if (!wr_keeper_cell_known(k, wr_index_of(handle))) {
        return false;
    }
    wr_cell *cell = &k->pool->cells[wr_index_of(handle)];
    uint64_t word = WR_LOAD(&cell->ctl);
    for (;;) {
        if (wr_generation_of(word) != wr_generation_of(handle) ||
            (wr_state_of(word) != WR_CELL_WAITING && wr_state_of(word) != WR_CELL_READY) ||
            ((word & WR_FLAG_SHARED) != 0 && !shared_too)) {
            return false;
        }
        if (WR_CAS(&cell->ctl, &word,
                   wr_word(wr_generation_of(word),
                           WR_CELL_RUNNING | ((uint32_t)word & WR_FLAG_ALL) | k->self->who))) {
            return true;
        }
    }
}

void wr_keeper_seal_lost(wr_keeper *k, wr_handle handle, wr_lost_reason reason, wr_lost_fn lost, void *arg) {
    const wr_cell *cell = &k->pool->cells[wr_index_of(handle)];
    wr_result result = {.kind = WR_TRACE_KIND_SYSTEM_ERROR, .location = WR_AT_INLINE};
    if (cell->port == WR_PORT_JOIN) {
        memcpy(result.inline_bytes, cell->inline_bytes,
               WR_INLINE_MAX); /* the task it belongs to stands there */
    } else if (lost != NULL) {
        lost(arg, handle, cell->function, reason, cell->attempt, &result);
    } else {
        result = k->self->gone;
    }
    if (!wr_proc_seal_cell(k->self, handle, &result, true) && result.location == WR_AT_HEAP) {
        wr_proc_heap_free(k->self, result.offset);
    }
}

bool wr_keeper_fail(wr_keeper *k, wr_handle handle, const wr_result *error) {
    bool mine = wr_keeper_claim(k, handle, true);
    if (!mine && wr_keeper_cell_known(k, wr_index_of(handle))) { /* RUNNING by one who is no more */
        wr_cell *cell = &k->pool->cells[wr_index_of(handle)];
        uint64_t word = WR_LOAD(&cell->ctl);
        uint32_t slot = (uint32_t)(word >> 8) & 0xfff;
        bool dead = slot >= k->slot_high || k->slots[slot].state != WR_SLOT_LIVE ||
                    wr_who(slot, k->slots[slot].epoch) != wr_who_in(word);
        while (dead && !mine && wr_generation_of(word) == wr_generation_of(handle) &&
               wr_state_of(word) == WR_CELL_RUNNING) {
            mine = WR_CAS(&cell->ctl, &word,
                          wr_word(wr_generation_of(word),
                                  WR_CELL_RUNNING | ((uint32_t)word & WR_FLAG_ALL) | k->self->who));
        }
    }
    return mine && wr_proc_seal_cell(k->self, handle, error, true);
}

/* ---- Calls of a dead actor ---- */

static void fail_ring(wr_keeper *k, uint32_t n, uint32_t r) {
    wr_keeper_port *port = &k->ports[n];
    wr_keeper_ring *mine = &k->rings[r];
    wr_ring *ring = ring_at(k, r);
    uint64_t mask = k->pool->ring_mask, tail = WR_LOAD_SEQ(&ring->tail);
    uint64_t at = mine->failed > tail ? tail : mine->failed;
    if (tail - at > mask + 1) {
        at = tail - mask - 1;
    }
    for (; at < tail; at++) {
        wr_handle handle = WR_LOAD(&ring->at[at & mask]);
        if (wr_keeper_cell_known(k, wr_index_of(handle)) &&
            wr_cell_port(&k->pool->cells[wr_index_of(handle)]) == n && wr_keeper_claim(k, handle, true)) {
            wr_keeper_seal_lost(k, handle, port->reason, port->lost, port->lost_arg);
        }
    }
    mine->failed = tail;
    WR_STORE(&ring->head, tail);
}

static void fail_calls(wr_keeper *k, uint32_t n) {
    for (uint32_t r = k->ports[n].rings_first; r != 0; r = k->rings[r - 1].next) {
        fail_ring(k, n, r - 1);
    }
}

void wr_keeper_port_fail(wr_keeper *k, uint16_t n, wr_handle cause, wr_lost_reason reason, wr_lost_fn lost,
                         void *arg) {
    if (!is_open(k, n)) {
        return;
    }
    wr_keeper_port_state(k, n, WR_PORT_DEAD, cause);
    wr_keeper_port *port = &k->ports[n];
    k->ports_failing += !port->failing;
    port->failing = true;
    port->reason = reason;
    port->lost = lost;
    port->lost_arg = arg;
    WR_STORE_SEQ(&k->pool->ports[n].hungry, 1); /* a late call rings */
    fail_calls(k, n);
}

static void generation_end(wr_keeper *k, uint32_t n) {
    wr_keeper_port *port = &k->ports[n];
    port->generation = wr_generation_next(port->generation & ~WR_PORT_RETIRING) & ~WR_PORT_RETIRING;
    port->generation += port->generation == 0;
    WR_STORE_SEQ(&k->pool->ports[n].generation,
                 port->generation); /* before the looks at tails: README, pair 6 */
    wr_keeper_port_state(k, (uint16_t)n, WR_PORT_CLOSED, 0);
}

static void give_port_back(wr_keeper *k, uint32_t n) {
    wr_keeper_port *port = &k->ports[n];
    while (port->rings_first != 0) {
        const uint32_t r = port->rings_first - 1;
        release_ring(k, r,
                     k->rings[r].slot != WR_SLOT_RAYLET); /* this thread is in the middle of no submit */
    }
    k->ports_failing -= port->failing;
    k->ports_open--;
    *port = (wr_keeper_port){.generation = port->generation};
}

void wr_keeper_port_close(wr_keeper *k, uint16_t n) {
    if (!is_open(k, n)) {
        return;
    }
    generation_end(k, n);
    fail_calls(k, n); /* late calls, and what its last taker's death queued again: nobody else looks there */
    give_port_back(k, n);
}

/* ---- Ports that no task names ---- */

enum { LOOKED_FOR = 1, NAMED = 2 };

static void find_named(const wr_keeper *k, uint8_t *marks) {
    const uint32_t each = 1u << k->pool->cells_shift;
    for (uint32_t first = 0; first < k->pool->cell_count; first += each) {
        if (!wr_keeper_cell_known(k, first)) {
            continue;
        }
        for (uint32_t i = first; i < first + each && i < k->pool->cell_count; i++) {
            const wr_cell *cell = &k->pool->cells[i];
            wr_cell_state state = wr_state_of(WR_LOAD_SEQ(&cell->ctl));
            uint32_t port = wr_cell_port(cell);
            if ((state == WR_CELL_WAITING || state == WR_CELL_READY || state == WR_CELL_RUNNING) &&
                port < k->pool->geometry.ports && marks[port] != 0) {
                marks[port] = NAMED;
            }
        }
    }
}

uint32_t wr_keeper_ports_close_unused(wr_keeper *k, uint16_t *ports, uint32_t count) {
    uint8_t *marks = wr_calloc(k->pool->geometry.ports, 1);
    if (marks == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint16_t n = ports[i];
        if (is_open(k, n) && !k->ports[n].actor && k->ports[n].takers == 0) {
            marks[n] = LOOKED_FOR;
            WR_STORE_SEQ(&k->pool->ports[n].generation, k->ports[n].generation | WR_PORT_RETIRING);
        }
    }
    atomic_thread_fence(memory_order_seq_cst); /* before the looks at tails and cells: README, pair 7 */
    for (uint32_t i = 0; i < count; i++) {
        wr_port_info info;
        wr_keeper_port_info(k, ports[i], &info);
        marks[ports[i]] = info.queued != 0 && marks[ports[i]] != 0 ? NAMED : marks[ports[i]];
    }
    find_named(k, marks);
    uint32_t closed = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint16_t n = ports[i];
        if (marks[n] == NAMED) {
            WR_STORE_SEQ(&k->pool->ports[n].generation, k->ports[n].generation);
        } else if (marks[n] ==
                   LOOKED_FOR) { /* what came after the look takes itself back: no call is failed here */
            generation_end(k, n);
            give_port_back(k, n);
            ports[i] = ports[closed];
            ports[closed++] = n;
        }
        marks[n] = 0;
    }
    wr_free(marks);
    return closed;
}

/* What a pass does for ports: late calls of dead ones, and the bells that submitters ring are armed again. */
void wr_keeper_tend_ports(wr_keeper *k) {
    if (k->self->backlog_count != 0) {
        wr_proc_flush(k->self);
    }
    for (uint32_t n = 0; n < k->port_high; n++) {
        wr_keeper_port *port = &k->ports[n];
        if (!port->open) {
            continue;
        }
        wr_port *shared = &k->pool->ports[n];
        bool wants = port->hungry || port->failing;
        if (wants && WR_LOAD_RELAXED(&shared->hungry) == 0) {
            WR_STORE_SEQ(&shared->hungry, 1); /* before the looks at tails: what came before is seen there */
        }
        if (port->failing) {
            fail_calls(k, n);
        }
    }
}

/* ---- The rings of a dead submitter ---- */

/* Its calls that others hold the results of go on in the raylet's own ring, in their order. */
static void hand_over(wr_keeper *k, uint32_t r) {
    wr_keeper_ring *mine = &k->rings[r];
    wr_ring *ring = ring_at(k, r);
    uint64_t mask = k->pool->ring_mask, tail = WR_LOAD(&ring->tail);
    uint64_t at = mine->done > tail ? tail : mine->done;
    if (tail - at > mask + 1) {
        at = tail - mask - 1;
    }
    for (; at < tail; at++) {
        wr_handle handle = WR_LOAD(&ring->at[at & mask]);
        uint32_t i = wr_index_of(handle);
        if (!wr_keeper_cell_known(k, i) || wr_entry_done(k->pool, handle) ||
            wr_cell_port(&k->pool->cells[i]) != mine->port) {
            continue;
        }
        /* Only a cell of the dead has a row here by right: what its worker gave back or made READY is
         * another's. */
        wr_row *row = wr_keeper_creator(k, i) == WR_EXTENT_ORPHAN ? wr_keeper_row(k, handle) : NULL;
        if (row != NULL && row->requeued) {
            continue;
        }
        if (row != NULL) {
            row->requeued = true;
        }
        wr_keeper_requeue(k, handle);
    }
}

void wr_keeper_slot_rings_dead(wr_keeper *k, uint32_t slot) {
    for (uint32_t r = 0; r < k->pool->geometry.rings; r++) {
        if (k->rings[r].leased && k->rings[r].slot == slot) {
            hand_over(k, r);
            release_ring(k, r, false);
        } else if (k->rings[r].kept && k->rings[r].slot == slot) {
            k->rings[r].kept = false;
            k->rings_kept--;
        }
    }
}

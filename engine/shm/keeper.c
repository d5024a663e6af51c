/* engine/shm/keeper.c: the keeper's life, slots, and what it says about them. */
#include "shm/keeper_internal.h"

enum { NO_SLOT = UINT32_MAX };

/* ---- Life ---- */

WR_DEFINE_AUTO(wr_keeper, wr_keeper_free)

static void drain_self(void *arg) {
    wr_keeper_drain(arg);
}

static wr_status allocate(wr_keeper *k, wr_error *err) {
    const wr_pool_geometry *g = &k->pool->geometry;
    uint32_t cells = k->pool->cell_count;
    k->units = g->heap_bytes / g->heap_unit;
    k->rows = wr_pages_new(sizeof(*k->rows) * (size_t)cells);
    k->candidates = wr_pages_new(4ull * cells);
    k->candidates_next = wr_pages_new(4ull * cells);
    k->orphans = wr_pages_new(8ull * cells);
    k->slots = wr_calloc(g->slots, sizeof(*k->slots));
    k->ports = wr_pages_new(sizeof(*k->ports) * (size_t)g->ports);
    k->rings = wr_pages_new(sizeof(*k->rings) * (size_t)g->rings);
    k->cell_owner = wr_calloc(g->cell_extents, sizeof(*k->cell_owner));
    k->orphan_live = wr_calloc(g->cell_extents, sizeof(*k->orphan_live));
    k->unit_owner = wr_calloc(k->units, sizeof(*k->unit_owner));
    k->unit_refs = wr_calloc(k->units, sizeof(*k->unit_refs));
    if (k->rows == NULL || k->candidates == NULL || k->candidates_next == NULL || k->orphans == NULL ||
        k->slots == NULL || k->ports == NULL || k->rings == NULL || k->cell_owner == NULL ||
        k->orphan_live == NULL || k->unit_owner == NULL || k->unit_refs == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "keeper: no memory for the tables of %u cells", cells);
    }
    memset(k->cell_owner, 0xff, sizeof(*k->cell_owner) * g->cell_extents); /* WR_EXTENT_FREE */
    memset(k->unit_owner, 0xff, sizeof(*k->unit_owner) * k->units);
    return WR_OK;
}

static void open_slot(wr_keeper *k, uint32_t s, int pid) {
    wr_keeper_slot *mine = &k->slots[s];
    wr_slot *slot = wr_slot_at(k->pool, s);
    mine->state = WR_SLOT_LIVE;
    mine->epoch = mine->epoch == 0 ? 1 : mine->epoch;
    mine->pid = pid;
    mine->assignment = WR_PORT_NONE;
    mine->holds = 0;
    mine->blocked = false;
    mine->trim_tail = mine->grant_tail;
    WR_STORE_RELAXED(&slot->epoch, mine->epoch);
    WR_STORE_RELAXED(&slot->pid, (uint32_t)pid);
    WR_STORE_RELAXED(&slot->assignment, WR_PORT_NONE);
    WR_STORE_RELAXED(&slot->cancel_wanted, 0);
    WR_STORE_RELAXED(&slot->reserved, 0);
    WR_STORE_RELAXED(&slot->activity, WR_IDLE);
    WR_STORE_RELAXED(&slot->cpu, 0);
    WR_STORE_RELAXED(&slot->credit_waiters, 0);
    for (uint32_t i = 0; i < WR_COUNT_OF(slot->counters); i++) {
        WR_STORE_RELAXED(&slot->counters[i], 0);
    }
    WR_STORE_RELAXED(&slot->event_tail, mine->event_head);
    WR_STORE_RELAXED(&slot->event_head, mine->event_head);
    WR_STORE_RELAXED(&slot->grant_tail, mine->grant_tail);
    WR_STORE_RELAXED(&slot->grant_head, mine->grant_tail);
    WR_STORE(&slot->state, WR_SLOT_LIVE);
    if (s >= k->slot_high) {
        k->slot_high = s + 1;
        WR_STORE_SEQ(&k->pool->header->slot_high, k->slot_high); /* README, pair 1 */
    }
    k->slots_live++;
}

wr_status wr_keeper_new(wr_pool *pool, wr_keeper **out, wr_error *err) {
    WR_ASSERT(out != NULL);
    WR_AUTO(wr_keeper) k = wr_calloc(1, sizeof(*k));
    if (k == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "keeper: no %zu bytes", sizeof(*k));
    }
    k->pool = pool;
    WR_TRY(allocate(k, err));
    WR_STORE(&pool->cells[0].ctl, wr_word(1, WR_CELL_FREE)); /* so that no handle is 0 */
    open_slot(k, WR_SLOT_RAYLET, (int)getpid());
    WR_TRY(wr_proc_attach(pool, WR_SLOT_RAYLET, k->slots[WR_SLOT_RAYLET].epoch, &k->self, err));
    k->self->drain = drain_self;
    k->self->drain_arg = k;
    wr_keeper_figures(k);
    *out = wr_steal(&k);
    return WR_OK;
}

void wr_keeper_free(wr_keeper *k) {
    if (k == NULL) {
        return;
    }
    const wr_pool_geometry *g = &k->pool->geometry;
    uint32_t cells = k->pool->cell_count;
    for (uint64_t i = 0; k->rows != NULL && i < (uint64_t)k->cell_high << k->pool->cells_shift; i++) {
        wr_free(k->rows[i].high_slots);
    }
    for (uint32_t s = 0; k->slots != NULL && s < g->slots; s++) {
        wr_free(k->slots[s].backlog);
    }
    wr_proc_detach(k->self);
    wr_pages_free(k->rows, sizeof(*k->rows) * (size_t)cells);
    wr_pages_free(k->candidates, 4ull * cells);
    wr_pages_free(k->candidates_next, 4ull * cells);
    wr_pages_free(k->orphans, 8ull * cells);
    wr_pages_free(k->ports, sizeof(*k->ports) * (size_t)g->ports);
    wr_pages_free(k->rings, sizeof(*k->rings) * (size_t)g->rings);
    wr_free(k->slots);
    wr_free(k->cell_owner);
    wr_free(k->orphan_live);
    wr_free(k->unit_owner);
    wr_free(k->unit_refs);
    wr_free(k->pairs);
    wr_free(k->events);
    wr_free(k);
}

wr_proc *wr_keeper_proc(wr_keeper *k) {
    return k->self;
}

void wr_keeper_give_up(wr_keeper *k, const char *why) {
    wr_pool_poison(k->pool, why);
}

/* ---- Slots ---- */

wr_status wr_keeper_slot_open(wr_keeper *k, int pid, uint32_t *out_slot, uint32_t *out_epoch, wr_error *err) {
    uint32_t s = 1;
    while (s < k->pool->geometry.slots && k->slots[s].state != WR_SLOT_FREE) {
        s++;
    }
    if (s == k->pool->geometry.slots) {
        return WR_FAIL(err, WR_E_LIMIT, "all %u slots of the pool are taken", k->pool->geometry.slots);
    }
    open_slot(k, s, pid);
    wr_keeper_lease_cells(k, s, true); /* so that its first calls need not ask */
    if (k->units_leased < k->units / 2) {
        wr_keeper_lease_heap(k, s, 1);
    }
    *out_slot = s;
    *out_epoch = k->slots[s].epoch;
    return WR_OK;
}

void wr_keeper_slot_info(const wr_keeper *k, uint32_t s, wr_slot_info *out) {
    *out = (wr_slot_info){0};
    if (s >= k->pool->geometry.slots || k->slots[s].state != WR_SLOT_LIVE) {
        return;
    }
    const wr_keeper_slot *mine = &k->slots[s];
    wr_slot *slot = wr_slot_at(k->pool, s);
    uint32_t activity = WR_LOAD(&slot->activity);
    out->live = true;
    out->pid = mine->pid;
    out->epoch = mine->epoch;
    out->assignment = mine->assignment;
    out->activity = activity <= WR_BLOCKED ? (wr_activity)activity : WR_IDLE;
    out->cells_held = (uint64_t)mine->cell_extents << k->pool->cells_shift;
    out->heap_bytes_held = mine->heap_units * k->pool->geometry.heap_unit;
    out->holds = mine->holds;
    out->reserved = wr_keeper_reserved(k, s);
    uint32_t who = wr_who(s, mine->epoch);
    for (uint32_t lane = 0; lane < WR_LANE_MAX; lane++) {
        wr_handle handle = WR_LOAD(&slot->current[lane]);
        if (handle == 0 || !wr_keeper_cell_known(k, wr_index_of(handle))) {
            continue;
        }
        uint64_t word = WR_LOAD(&k->pool->cells[wr_index_of(handle)].ctl);
        if (wr_generation_of(word) == wr_generation_of(handle) && wr_state_of(word) == WR_CELL_RUNNING &&
            wr_who_in(word) == who) {
            out->running = out->running == 0 ? handle : out->running;
            out->lanes_running++;
        }
    }
}

void wr_keeper_assign(wr_keeper *k, uint32_t s, uint32_t assignment) {
    if (s >= k->pool->geometry.slots || k->slots[s].state != WR_SLOT_LIVE) {
        return;
    }
    uint32_t port = assignment & 0xffff, ring;
    if (port < k->pool->geometry.ports &&
        k->ports[port].open) { /* what it seals may make others READY here */
        (void)!wr_keeper_ring_open(k, (uint16_t)port, s, &ring, NULL);
    }
    wr_slot *slot = wr_slot_at(k->pool, s);
    k->slots[s].assignment = assignment;
    WR_STORE_SEQ(&slot->assignment, assignment);
    wr_bell_ring(&slot->bell);
}

void wr_keeper_want_cancel(wr_keeper *k, uint32_t s, wr_handle handle) {
    if (s < k->pool->geometry.slots && k->slots[s].state == WR_SLOT_LIVE) {
        WR_STORE(&wr_slot_at(k->pool, s)->cancel_wanted, handle);
    }
}

/* ---- Grants ---- */

/* The client writes grant_head: whatever stands there, at worst the ring looks full. */
static bool grant_now(wr_keeper *k, uint32_t s, wr_event grant) {
    wr_keeper_slot *mine = &k->slots[s];
    wr_slot *slot = wr_slot_at(k->pool, s);
    uint32_t capacity = k->pool->geometry.grant_capacity;
    if (mine->grant_tail - WR_LOAD(&slot->grant_head) >= capacity) {
        return false;
    }
    wr_slot_grants(k->pool, s)[mine->grant_tail & (capacity - 1)] = grant;
    mine->grant_tail++;
    WR_STORE(&slot->grant_tail, mine->grant_tail);
    if (grant.type != WR_GRANT_FREED && grant.type != WR_GRANT_BLOCK) {
        wr_bell_ring(&slot->bell); /* it may be waiting for this */
    }
    return true;
}

void wr_keeper_grant(wr_keeper *k, uint32_t s, wr_event_type type, uint64_t handle) {
    wr_keeper_slot *mine = &k->slots[s];
    wr_event grant = {handle, type};
    if (mine->state != WR_SLOT_LIVE || (mine->backlog_count == 0 && grant_now(k, s, grant))) {
        return;
    }
    uint32_t end = mine->backlog_first + mine->backlog_count;
    if (wr_array_reserve((void **)&mine->backlog, &mine->backlog_capacity, end + 1, sizeof(*mine->backlog),
                         NULL) != WR_OK) {
        wr_keeper_give_up(k, "the raylet has no memory for a client's grants");
        return;
    }
    mine->backlog[end] = grant;
    mine->backlog_count++;
}

static void flush_grants(wr_keeper *k, uint32_t s) {
    wr_keeper_slot *mine = &k->slots[s];
    while (mine->backlog_count != 0 && grant_now(k, s, mine->backlog[mine->backlog_first])) {
        mine->backlog_first++;
        mine->backlog_count--;
    }
    if (mine->backlog_count == 0) {
        mine->backlog_first = 0;
    }
}

void wr_keeper_trim(wr_keeper *k) {
    for (uint32_t s = 0; s < k->slot_high; s++) {
        wr_keeper_slot *mine = &k->slots[s];
        if (mine->state != WR_SLOT_LIVE || mine->heap_units == 0 || mine->backlog_count != 0 ||
            mine->trim_tail > WR_LOAD(&wr_slot_at(k->pool, s)->grant_head)) {
            continue; /* it has not taken in the last one: who asks again and again must not fill its ring */
        }
        wr_keeper_grant(k, s, WR_GRANT_TRIM, 0);
        mine->trim_tail = mine->grant_tail;
    }
}

/* ---- Events for the raylet ---- */

void wr_keeper_tell(wr_keeper *k, wr_keeper_event_type type, uint32_t slot, uint64_t tag) {
    for (uint32_t i = 0; i < k->event_count && type == WR_KEEPER_STORE_FULL; i++) {
        const wr_keeper_event *e = &k->events[k->event_first + i];
        if (e->type == type && e->slot == slot) {
            return; /* said, and not yet heard */
        }
    }
    uint32_t end = k->event_first + k->event_count;
    if (wr_array_reserve((void **)&k->events, &k->event_capacity, end + 1, sizeof(*k->events), NULL) !=
        WR_OK) {
        wr_keeper_give_up(k, "the raylet has no memory for the keeper's events");
        return;
    }
    k->events[end] = (wr_keeper_event){type, slot, tag};
    k->event_count++;
}

bool wr_keeper_next(wr_keeper *k, wr_keeper_event *out) {
    if (k->event_count == 0) {
        k->event_first = 0;
        return false;
    }
    *out = k->events[k->event_first++];
    k->event_count--;
    return true;
}

static void tell_blocked(wr_keeper *k) {
    for (uint32_t s = 1; s < k->slot_high; s++) {
        wr_keeper_slot *mine = &k->slots[s];
        if (mine->state != WR_SLOT_LIVE) {
            continue;
        }
        bool blocked = WR_LOAD(&wr_slot_at(k->pool, s)->activity) == WR_BLOCKED;
        if (blocked && !mine->blocked) {
            wr_keeper_tell(k, WR_KEEPER_BLOCKED, s, 0);
        }
        mine->blocked = blocked;
    }
}

/* What a pass does for slots beside draining their events. */
void wr_keeper_tend_slots(wr_keeper *k) {
    for (uint32_t s = 0; s < k->slot_high; s++) {
        if (k->slots[s].state == WR_SLOT_LIVE && k->slots[s].backlog_count != 0) {
            flush_grants(k, s);
        }
    }
    tell_blocked(k);
    wr_proc_poll(k->self);
}

/* ---- Figures ---- */

void wr_keeper_taken(const wr_keeper *k, uint32_t *out_ports, uint32_t *out_rings) {
    *out_ports = k->ports_open;
    *out_rings = k->rings_open;
}

void wr_keeper_stats_of(const wr_keeper *k, wr_keeper_stats *out) {
    const wr_pool_geometry *g = &k->pool->geometry;
    *out = (wr_keeper_stats){
        .cells_capacity = k->pool->cell_count,
        .cells_leased = (uint64_t)k->cells_leased << k->pool->cells_shift,
        .rows = k->row_count,
        .candidates = k->candidate_count,
        .orphan_cells = k->orphan_count,
        .pairs = k->pair_count,
        .heap_capacity = g->heap_bytes,
        .heap_leased = k->units_leased * g->heap_unit,
        .heap_orphaned = k->units_orphaned * g->heap_unit,
        .slots_live = k->slots_live,
        .ports_open = k->ports_open,
        .rings_open = k->rings_open,
        .rings_kept = k->rings_kept,
    };
    uint64_t run = 0, largest = 0;
    for (uint64_t u = 1; u < k->units; u++) {
        run = k->unit_owner[u] == WR_EXTENT_FREE ? run + 1 : 0;
        largest = run > largest ? run : largest;
    }
    out->heap_largest_run = largest * g->heap_unit;
}

void wr_keeper_figures(wr_keeper *k) {
    wr_keeper_stats stats;
    wr_keeper_stats_of(k, &stats);
    WR_STORE_RELAXED(&k->pool->header->heap_leased, stats.heap_leased);
    WR_STORE_RELAXED(&k->pool->header->heap_largest, stats.heap_largest_run);
}

/* ---- Task events ---- */

void wr_keeper_trace(wr_keeper *k, bool on) {
    wr_a32 *alert = &k->pool->header->alert;
    if (on) {
        atomic_fetch_or(alert, WR_ALERT_TRACE);
    } else {
        atomic_fetch_and(alert, ~(uint32_t)WR_ALERT_TRACE);
    }
}

uint32_t wr_keeper_trace_read(const wr_keeper *k, uint32_t s, uint64_t *cursor, uint64_t *lost,
                              wr_trace_record *out, uint32_t max) {
    if (s >= k->slot_high) {
        return 0;
    }
    uint64_t capacity = k->pool->geometry.trace_capacity;
    wr_slot *slot = wr_slot_at(k->pool, s);
    uint64_t tail = WR_LOAD(&slot->trace_tail), at = *cursor;
    uint64_t oldest = tail > capacity ? tail - capacity : 0;
    uint32_t n = 0;
    if (at > tail || at < oldest) { /* a cursor beyond the tail is not ours: from the start */
        *lost += at < oldest ? oldest - at : 0;
        at = oldest;
    }
    for (; at < tail && n < max; at++) {
        wr_a64 *record = (wr_a64 *)(void *)((uint8_t *)slot + k->pool->trace_at + 32 * (at & (capacity - 1)));
        uint64_t words[4];
        for (uint32_t i = 0; i < WR_COUNT_OF(words); i++) {
            words[i] = WR_LOAD_RELAXED(&record[i]);
        }
        atomic_thread_fence(memory_order_acquire);
        if (WR_LOAD_RELAXED(&slot->trace_tail) - at >= capacity) {
            *lost += 1;
            continue; /* it was overwritten while we read */
        }
        out[n++] = (wr_trace_record){.handle = words[0],
                                     .time_ns = words[1],
                                     .function = (uint32_t)words[2],
                                     .state = (uint32_t)(words[2] >> 32),
                                     .pid = (uint32_t)words[3]};
    }
    *cursor = at;
    return n;
}

uint32_t wr_keeper_slots(const wr_keeper *k) {
    return k->slot_high;
}

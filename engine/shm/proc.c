/* engine/shm/proc.c: the life of a process half, its two rings with the raylet, and puts. */
#include "shm/proc_internal.h"

enum { ROOM_TURN_NS = 2000000, LIMBO_LOOK_MAX = 1024, POLL_LIMBO_MAX = 256 };

/* ---- Life ---- */

WR_DEFINE_AUTO(wr_proc, wr_proc_detach)

static size_t cells_bytes(const wr_pool *pool) {
    return 4ull * pool->geometry.cell_extents * pool->geometry.cells_per_extent;
}

wr_status wr_proc_attach(wr_pool *pool, uint32_t slot, uint32_t epoch, wr_proc **out, wr_error *err) {
    WR_ASSERT(out != NULL);
    if (slot >= pool->geometry.slots) {
        return WR_FAIL(err, WR_E_INVALID, "pool: slot %u of %u", slot, pool->geometry.slots);
    }
    wr_slot *s = wr_slot_at(pool, slot);
    if (pool->forked || WR_LOAD(&s->state) != WR_SLOT_LIVE || WR_LOAD(&s->epoch) != epoch) {
        return WR_FAIL(err, WR_E_STATE, "pool: slot %u is not open for epoch %u", slot, epoch);
    }
    WR_AUTO(wr_proc) p = wr_calloc(1, sizeof(*p));
    if (p == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "pool: no %zu bytes", sizeof(*p));
    }
    p->pool = pool;
    p->slot = s;
    p->events = wr_slot_events(pool, slot);
    p->grants = wr_slot_grants(pool, slot);
    p->index = slot;
    p->epoch = epoch;
    p->who = wr_who(slot, epoch);
    p->take_port = WR_PORT_NONE;
    p->patience_ns = 10000000000u;
    p->gone = (wr_result){.kind = WR_TRACE_KIND_SYSTEM_ERROR, .location = WR_AT_INLINE};
    p->quiet_after_ns = WR_QUIET_AFTER_NS;
    size_t bytes = cells_bytes(pool);
    p->limbo_mask = 1;
    while (p->limbo_mask < pool->cell_count) {
        p->limbo_mask = p->limbo_mask << 1 | 1;
    }
    p->count = wr_pages_new(bytes);
    p->free = wr_pages_new(bytes);
    p->work = wr_pages_new(bytes);
    p->limbo = wr_pages_new(4ull * p->limbo_mask + 4);
    p->ports = wr_pages_new(sizeof(*p->ports) * pool->geometry.ports);
    if (p->count == NULL || p->free == NULL || p->work == NULL || p->limbo == NULL || p->ports == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "pool: no memory for the books of %u cells", pool->cell_count);
    }
    WR_TRY(wr_heap_new(p, &p->heap, err));
    p->event_tail = WR_LOAD_RELAXED(&s->event_tail);
    p->event_head_seen = WR_LOAD(&s->event_head);
    p->grant_head = WR_LOAD_RELAXED(&s->grant_head);
    wr_proc_publish_core(p);
    wr_proc_grants(p);
    *out = wr_steal(&p);
    return WR_OK;
}

void wr_proc_detach(wr_proc *proc) {
    if (proc == NULL) {
        return;
    }
    const wr_pool *pool = proc->pool;
    size_t bytes = cells_bytes(pool);
    wr_pages_free(proc->count, bytes);
    wr_pages_free(proc->free, bytes);
    wr_pages_free(proc->work, bytes);
    wr_pages_free(proc->limbo, 4ull * proc->limbo_mask + 4);
    wr_pages_free(proc->ports, sizeof(*proc->ports) * pool->geometry.ports);
    wr_free(proc->backlog);
    wr_free(proc->backlog_ports);
    wr_heap_free(proc->heap);
    wr_free(proc);
}

void wr_proc_forked(wr_proc *proc) {
    wr_pool *pool = proc->pool;
    proc->forked = true;
    if (pool->forked) {
        return;
    }
    /* The control pages are not here: whoever asks finds a poisoned pool without cells. */
    wr_pool_header *header = wr_calloc(1, sizeof(*header));
    WR_ASSERT(header != NULL);
    WR_STORE(&header->alert, WR_ALERT_POISON);
    pool->forked = true;
    pool->header = header;
    pool->cell_count = 0;
}

uint32_t wr_proc_slot(const wr_proc *proc) {
    return proc->index;
}

uint32_t wr_proc_epoch(const wr_proc *proc) {
    return proc->epoch;
}

void wr_proc_on_wait(wr_proc *proc, bool (*on_wait)(void *arg), void *arg) {
    proc->on_wait = on_wait;
    proc->on_wait_arg = arg;
}

void wr_proc_waited(wr_proc *proc, uint64_t waited_ns) {
    proc->waited_ns = waited_ns;
}

void wr_proc_patience(wr_proc *proc, uint64_t patience_ns) {
    proc->patience_ns = patience_ns;
}

void wr_proc_on_gone(wr_proc *proc, const wr_result *result) {
    WR_ASSERT(result->location == WR_AT_INLINE);
    proc->gone = *result;
}

void wr_proc_quiet_after(wr_proc *proc, uint64_t after_ns) {
    proc->quiet_after_ns = after_ns;
}

wr_status wr_proc_usable(const wr_proc *proc, wr_error *err) {
    if (proc->forked) {
        return WR_FAIL(err, WR_E_STATE,
                       "this process was forked from one of the cluster: it can read what its parent "
                       "holds, but not call the engine");
    }
    if ((WR_LOAD(&proc->pool->header->alert) & WR_ALERT_POISON) != 0) { /* and then the text is there */
        char why[WR_REASON_MAX];
        wr_pool_reason(proc->pool, why);
        return WR_FAIL(err, WR_E_RAYLET_DIED, "the raylet of this node has stopped: %s", why);
    }
    return WR_OK;
}

/* ---- Events: one writer, in order. The raylet never waits for a process, so a wait for room ends. ---- */

static void wait_for_event_room(wr_proc *p, uint32_t records) {
    uint32_t capacity = p->pool->geometry.event_capacity;
    for (;;) {
        p->event_head_seen = WR_LOAD(&p->slot->event_head);
        if (p->event_tail + records - p->event_head_seen <= capacity) {
            return;
        }
        if (p->drain != NULL) {
            p->drain(p->drain_arg);
            continue;
        }
        if (wr_pool_poisoned(p->pool)) {
            return;
        }
        wr_bell_ring(&p->pool->header->bell);
        struct timespec pause = {0, 200000};
        nanosleep(&pause, NULL);
    }
}

static void publish_events(wr_proc *p, uint32_t records, bool urgent) {
    uint64_t before = p->event_tail;
    p->event_tail += records;
    WR_STORE(&p->slot->event_tail, p->event_tail);
    uint64_t half = p->pool->geometry.event_capacity / 2;
    if ((urgent || before / half != p->event_tail / half) && p->drain == NULL) {
        wr_bell_ring(&p->pool->header->bell);
    }
}

void wr_proc_emit(wr_proc *p, wr_event_type type, uint64_t handle) {
    uint32_t capacity = p->pool->geometry.event_capacity;
    if (p->forked) {
        return;
    }
    if (WR_UNLIKELY(p->event_tail + 1 - p->event_head_seen > capacity)) {
        wait_for_event_room(p, 1);
    }
    p->events[p->event_tail & (capacity - 1)] = (wr_event){handle, type};
    publish_events(p, 1, type >= WR_EVENT_NEED_CELLS);
}

void wr_proc_emit_pair(wr_proc *p, wr_event_type type, uint64_t handle, uint64_t second) {
    uint32_t capacity = p->pool->geometry.event_capacity;
    if (p->forked) {
        return;
    }
    if (WR_UNLIKELY(p->event_tail + 2 - p->event_head_seen > capacity)) {
        wait_for_event_room(p, 2);
    }
    p->events[p->event_tail & (capacity - 1)] = (wr_event){handle, type};
    p->events[(p->event_tail + 1) & (capacity - 1)] = (wr_event){second, WR_EVENT_NONE};
    publish_events(p, 2, false);
}

/* ---- Grants ---- */

static void cells_granted(wr_proc *p, uint32_t extent) {
    if (extent >= p->pool->geometry.cell_extents) {
        return;
    }
    uint32_t shift = p->pool->cells_shift;
    for (uint32_t k = p->pool->geometry.cells_per_extent; k-- > 0;) {
        uint32_t i = (extent << shift) + k;
        if ((p->count[i] & WR_COUNT_OWN) != 0) {
            return; /* granted twice: cannot be */
        }
        p->count[i] = WR_COUNT_OWN;
        p->free[p->free_count++] = i;
    }
}

void wr_proc_grants(wr_proc *p) {
    uint32_t mask = p->pool->geometry.grant_capacity - 1;
    uint64_t tail = WR_LOAD(&p->slot->grant_tail);
    while (p->grant_head != tail) {
        wr_event e = p->grants[p->grant_head & mask];
        switch ((wr_event_type)e.type) {
        case WR_GRANT_CELLS:
            cells_granted(p, (uint32_t)e.handle);
            p->cells_asked = p->cells_refused = false;
            break;
        case WR_GRANT_NO_CELLS:
            p->cells_asked = false;
            p->cells_refused = true;
            break;
        case WR_GRANT_FREED:
            wr_proc_freed(p, e.handle);
            break;
        case WR_GRANT_HEAP:
            wr_heap_granted(p, e.handle >> 32, e.handle & UINT32_MAX);
            break;
        case WR_GRANT_BLOCK:
            wr_heap_block_free(p, e.handle);
            break;
        case WR_GRANT_TRIM:
            wr_heap_trim(p);
            break;
        default:
            break;
        }
        p->grant_head++;
        WR_STORE(&p->slot->grant_head, p->grant_head);
    }
}

void wr_proc_poll(wr_proc *p) {
    if (p->forked) {
        return;
    }
    wr_proc_grants(p);
    if (p->limbo_count != 0) {
        wr_proc_limbo_look(p, p->limbo_count < POLL_LIMBO_MAX ? p->limbo_count : POLL_LIMBO_MAX);
    }
    if (p->backlog_count != 0) {
        wr_proc_flush(p);
    }
}

/* ---- Waiting for room ---- */

void wr_room_wait_begin(wr_proc *p, wr_room_wait *wait) {
    wait->began_ns = wr_clock_ns() - p->waited_ns;
    wait->rang_ns = 0;
    wait->bell = WR_LOAD_SEQ(&p->slot->bell);
}

wr_status wr_room_wait_turn(wr_proc *p, wr_room_wait *wait, wr_error *err) {
    if (p->drain != NULL) { /* the raylet itself: nobody else will answer */
        return WR_FAIL(err, WR_E_OBJECT_STORE_FULL, "the raylet found no room in its own pool");
    }
    WR_TRY(wr_proc_usable(p, err));
    uint64_t now = wr_clock_ns();
    if (p->on_wait != NULL && !p->on_wait(p->on_wait_arg)) {
        return WR_FAIL(err, WR_E_INTERRUPTED, "interrupted while waiting for room in the object store");
    }
    if (now - wait->rang_ns >= WR_SLEEP_MAX_NS) { /* at once, too */
        bool first = wait->rang_ns == 0;
        wait->rang_ns = now;
        wr_bell_ring(&p->pool->header->bell);
        if (first && p->on_wait != NULL) {
            return WR_OK;
        }
    }
    wr_futex_wait(&p->slot->bell, wait->bell, ROOM_TURN_NS);
    wait->bell = WR_LOAD_SEQ(&p->slot->bell);
    return now - wait->began_ns >= p->patience_ns ? WR_E_TIMEOUT : WR_OK;
}

static wr_status no_cells(wr_proc *p, wr_error *err) {
    if (!p->cells_refused) {
        return WR_FAIL(err, WR_E_OBJECT_STORE_FULL,
                       "no cell is free, and the raylet did not answer for %lu ms",
                       (unsigned long)(p->patience_ns / 1000000));
    }
    wr_status full =
        WR_FAIL(err, WR_E_OBJECT_STORE_FULL,
                "no cell is free, after %.1f s: all %u cells of the pool (objects and tasks) are in use",
                (double)p->patience_ns / 1e9, p->pool->cell_count);
    wr_error_hint(err, "drop references that are no longer needed, or submit fewer tasks at once");
    return full;
}

wr_status wr_proc_cell_refill(wr_proc *p, wr_error *err) {
    wr_proc_grants(p);
    if (p->free_count > p->pool->geometry.cells_per_extent / 2) {
        return WR_OK;
    }
    if (!p->cells_asked && !p->cells_refused) {
        p->cells_asked = true;
        wr_proc_emit(p, WR_EVENT_NEED_CELLS, 0);
        if (p->drain != NULL) {
            p->drain(p->drain_arg);
            wr_proc_grants(p);
        }
    }
    if (WR_LIKELY(p->free_count != 0)) {
        return WR_OK;
    }
    wr_proc_limbo_look(p, p->limbo_count);
    wr_room_wait wait;
    wr_room_wait_begin(p, &wait);
    for (;;) {
        wr_proc_grants(p);
        if (p->free_count != 0) {
            p->cells_refused = false;
            return WR_OK;
        }
        if (!p->cells_asked) {
            p->cells_asked = true;
            wr_proc_emit(p, WR_EVENT_NEED_CELLS, 0);
        }
        wr_status status = wr_room_wait_turn(p, &wait, err);
        if (status == WR_E_TIMEOUT) {
            return no_cells(p, err);
        }
        WR_TRY(status);
        wr_proc_limbo_look(p, p->limbo_count < LIMBO_LOOK_MAX ? p->limbo_count : LIMBO_LOOK_MAX);
    }
}

/* ---- Puts ---- */

static uint64_t result_size(const wr_pool *pool, const wr_result *result) {
    if (result->location != WR_AT_HEAP) {
        return result->bytes;
    }
    const uint8_t *block = wr_pool_heap_read(pool, result->offset, WR_BLOCK_HEADER_BYTES);
    uint64_t bytes = 0;
    if (block != NULL) {
        memcpy(&bytes, block, sizeof bytes);
    }
    return bytes;
}

wr_status wr_proc_put(wr_proc *p, const wr_result *result, wr_handle *out, wr_error *err) {
    if (WR_UNLIKELY(wr_alert(p->pool) != 0)) {
        WR_TRY(wr_proc_usable(p, err));
    }
    const uint64_t *refs = NULL;
    uint32_t ref_count = 0, i;
    if (result->location == WR_AT_HEAP) {
        wr_block_view view;
        WR_TRY(wr_block_open(p->pool, result->offset, &view, err));
        refs = view.refs;
        ref_count = view.header.ref_count;
        if (ref_count > WR_LINK_ARG_MAX) {
            return WR_FAIL(err, WR_E_INVALID, "put: a value with %u references is too much", ref_count);
        }
    }
    WR_TRY(wr_proc_cell_alloc(p, &i, err));
    wr_cell *cell = &p->pool->cells[i];
    uint32_t generation = wr_generation_of(WR_LOAD_RELAXED(&cell->ctl));
    wr_handle handle = wr_handle_make(generation, i);
    cell->nargs = 0;
    cell->block = 0;
    WR_STORE_RELAXED(&cell->deps, 0);
    wr_cell_kind_set(cell, result->kind, false);
    cell->location = result->location;
    if (result->location == WR_AT_INLINE) {
        cell->result_bytes = (uint8_t)(result->bytes <= WR_INLINE_MAX ? result->bytes : WR_INLINE_MAX);
        memcpy(cell->inline_bytes, result->inline_bytes, WR_INLINE_MAX);
    } else {
        cell->result_bytes = 0;
        cell->place = result->offset | result->location;
    }
    p->count[i] = WR_COUNT_OWN | 1;
    WR_STORE(&cell->ctl, wr_word(generation, WR_CELL_SEALED | (ref_count != 0 ? WR_FLAG_SHARED : 0)));
    if (ref_count != 0) {
        wr_proc_contain(p, handle, refs, ref_count);
    }
    wr_proc_count(p, WR_COUNTER_PUT, 1);
    wr_proc_count(p, WR_COUNTER_PUT_BYTES, result_size(p->pool, result));
    *out = handle;
    return WR_OK;
}

void wr_proc_contain(wr_proc *p, wr_handle container, const wr_handle *refs, uint32_t count) {
    wr_cell *cell = wr_cell_at(p->pool, container);
    if (cell == NULL || count == 0) {
        return;
    }
    for (uint32_t k = 0; k < count; k++) {
        wr_handle ref = __atomic_load_n(&refs[k], __ATOMIC_RELAXED);
        wr_cell *inner = wr_cell_at(p->pool, ref);
        if (inner == NULL) {
            continue;
        }
        wr_proc_set_shared(inner);
        wr_proc_set_shared(cell);
        wr_proc_emit_pair(p, WR_EVENT_CONTAIN, container, ref);
    }
}

/* ---- Words of the slot ---- */

void wr_proc_activity(wr_proc *p, wr_activity activity) {
    if (p->forked) {
        return;
    }
    WR_STORE_SEQ(&p->slot->activity, activity);
    if (activity == WR_BLOCKED) {
        uint32_t port = p->take_port;
        wr_proc_release_reserved(p); /* nothing waits behind the one that blocks */
        if (wr_port_valid(p->pool, port) && wr_proc_look(p, port, false)) {
            wr_bell_ring(&p->pool->header->bell);
        }
    }
}

uint32_t wr_proc_assignment(const wr_proc *p) {
    return p->forked ? WR_PORT_NONE : WR_LOAD(&p->slot->assignment);
}

wr_handle wr_proc_cancel_wanted(const wr_proc *p) {
    return p->forked ? 0 : WR_LOAD(&p->slot->cancel_wanted);
}

void wr_proc_trace(wr_proc *p, wr_handle handle, uint32_t function, uint32_t state) {
    uint32_t capacity = p->pool->geometry.trace_capacity;
    uint64_t tail = WR_LOAD_RELAXED(&p->slot->trace_tail);
    wr_a64 *record =
        (wr_a64 *)(void *)((uint8_t *)p->slot + p->pool->trace_at + 32 * (tail & (capacity - 1)));
    atomic_thread_fence(memory_order_release); /* who reads a word of it sees the tail that has come here */
    WR_STORE_RELAXED(&record[0], handle);
    WR_STORE_RELAXED(&record[1], wr_clock_wall_us() * 1000);
    WR_STORE_RELAXED(&record[2], (uint64_t)state << 32 | function);
    WR_STORE_RELAXED(&record[3], WR_LOAD_RELAXED(&p->slot->pid));
    WR_STORE(&p->slot->trace_tail, tail + 1);
}

/* engine/shm/proc_stream.c: a generator's credits. The consumer prepares cells of its own, READY at
 * WR_PORT_NONE, and names them in a ring inside the generator's argument block; the producer claims and seals
 * them in order. So items stay private to the consumer, and back-pressure is the window.
 *
 * The producer's threads that sleep are counted in its slot: the consumer wakes only then. That is pair 5
 * of the README: tail, then the look at credit_waiters; credit_waiters, then the look at tail.
 */
#include "shm/proc_internal.h"

typedef struct credit_ring {
    wr_a64 *tail;
    wr_a32 *bell;
    wr_a64 *handles;
    uint64_t window;
} credit_ring;

/* In the read-write mapping; the producer only reads. */
static bool ring_of(const wr_pool *pool, uint64_t block, credit_ring *out) {
    wr_block_view view;
    if (block == 0 || wr_block_open(pool, block, &view, NULL) != WR_OK || view.credits == NULL) {
        return false;
    }
    uint64_t at = (uint64_t)((const uint8_t *)view.credits - pool->heap_read);
    uint64_t *words = (uint64_t *)(void *)(pool->heap_write + at);
    out->tail = (wr_a64 *)&words[0];
    out->bell = (wr_a32 *)(void *)&words[1];
    out->handles = (wr_a64 *)&words[2];
    out->window = view.header.stream_window;
    return true;
}

/* The index stands in the cell: the producer can tell a credit from a later one in the same place of the
 * ring. */
static wr_status prepare(wr_proc *p, uint64_t index, wr_handle *out, wr_error *err) {
    wr_task_spec spec = {
        .port = WR_PORT_NONE, .function = (uint32_t)index, .max_retries = WR_ATTEMPTS_ENDLESS};
    return wr_proc_submit_uncounted(p, &spec, out, err);
}

/* README, pair 5: a producer that has just begun and waits must not be missed. */
static bool runner_of(const wr_cell *cell, wr_handle generator, uint32_t *out_slot) {
    uint64_t word = WR_LOAD_SEQ(&cell->ctl);
    *out_slot = (uint32_t)(word >> 8) & 0xfff;
    return wr_generation_of(word) == wr_generation_of(generator) && wr_state_of(word) == WR_CELL_RUNNING;
}

wr_status wr_proc_credit(wr_proc *p, wr_handle generator, uint64_t upto, wr_handle *out, uint32_t *out_count,
                         wr_error *err) {
    *out_count = 0;
    WR_TRY(wr_proc_usable(p, err));
    wr_cell *cell = wr_cell_at(p->pool, generator);
    credit_ring ring;
    if (cell == NULL || !wr_proc_is_mine(p, generator) || !wr_proc_counts(p, generator) ||
        !ring_of(p->pool, cell->block, &ring)) {
        return WR_FAIL(err, WR_E_INVALID, "credit: not a generator of this process");
    }
    uint64_t tail = WR_LOAD_RELAXED(ring.tail), first = tail;
    wr_status status = WR_OK;
    while (tail < upto && status == WR_OK) {
        wr_a64 *at = &ring.handles[tail % ring.window];
        if (tail >= ring.window && !wr_entry_done(p->pool, WR_LOAD_RELAXED(at))) {
            break; /* the item a window ago is not there yet */
        }
        wr_handle handle;
        status = prepare(p, tail, &handle, err);
        if (status == WR_OK) {
            WR_STORE(at, handle);
            out[(*out_count)++] = handle;
            tail++;
        }
    }
    if (tail == first) {
        return status;
    }
    WR_STORE_SEQ(ring.tail, tail);
    uint32_t slot;
    atomic_fetch_add_explicit(ring.bell, 1, memory_order_seq_cst);
    if (runner_of(cell, generator, &slot) && slot < p->pool->geometry.slots &&
        WR_LOAD_SEQ(&wr_slot_at(p->pool, slot)->credit_waiters) != 0) {
        wr_futex_wake_all(ring.bell);
        atomic_store_explicit(&p->woke, true, memory_order_relaxed);
    }
    return *out_count != 0 ? WR_OK : status;
}

/* Its extents are orphaned. */
static bool consumer_dead(const wr_pool *pool, wr_handle generator) {
    return WR_LOAD(&pool->extents[wr_index_of(generator) >> pool->cells_shift]) == 0;
}

wr_status wr_proc_credit_claim(wr_proc *p, const wr_claim *generator, uint32_t lane, uint64_t index,
                               wr_claim *out) {
    credit_ring ring;
    if (p->forked || !ring_of(p->pool, generator->block, &ring)) {
        return WR_E_CANCELLED;
    }
    if (consumer_dead(p->pool, generator->handle)) {
        return WR_E_CANCELLED;
    }
    uint64_t tail = WR_LOAD_SEQ(ring.tail);
    if (index >= tail) {
        return WR_E_AGAIN;
    }
    if (tail - index > ring.window) {
        return WR_E_STATE; /* overwritten by a later credit: it was sealed long ago */
    }
    wr_handle handle = WR_LOAD(&ring.handles[index % ring.window]);
    const wr_cell *credit = wr_cell_at(p->pool, handle);
    if (credit != NULL && wr_cell_function(credit) != (uint32_t)index) {
        return WR_E_STATE; /* a replay: the consumer is writing later credits, and has not raised `tail` yet
                            */
    }
    wr_status status = wr_proc_claim(p, lane, handle, out);
    if (status == WR_E_STATE || status == WR_E_NOT_FOUND) {
        bool sealed = wr_cell_state_of(p->pool, handle) == WR_CELL_SEALED; /* and then the mark is there */
        return sealed && wr_cell_withdrawn(credit) ? WR_E_CANCELLED : WR_E_STATE;
    }
    return status;
}

void wr_proc_credit_wait(wr_proc *p, const wr_claim *generator, uint64_t index, uint64_t timeout_ns) {
    credit_ring ring;
    if (p->forked || !ring_of(p->pool, generator->block, &ring)) {
        return;
    }
    uint32_t seen = WR_LOAD_SEQ(ring.bell);
    atomic_fetch_add_explicit(&p->slot->credit_waiters, 1, memory_order_seq_cst);
    if (WR_LOAD_SEQ(ring.tail) <= index && !consumer_dead(p->pool, generator->handle) &&
        (wr_alert(p->pool) & WR_ALERT_POISON) == 0) {
        wr_futex_wait(ring.bell, seen, timeout_ns < WR_SLEEP_MAX_NS ? timeout_ns : WR_SLEEP_MAX_NS);
    }
    atomic_fetch_sub_explicit(&p->slot->credit_waiters, 1, memory_order_seq_cst);
}

void wr_stream_wake(const wr_pool *pool, uint64_t block) {
    credit_ring ring;
    if (ring_of(pool, block, &ring)) {
        wr_bell_ring(ring.bell);
    }
}

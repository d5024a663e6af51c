/* engine/shm/proc_task.c: submit, waiting for arguments, the walk, and cancelling.
 *
 * A task with arguments that are not sealed is published WAITING with a bit for each in `pending` and a guard
 * bit, then its links are set; the guard goes last, so nobody can make it READY half-linked. Whoever clears
 * the last bit makes it READY and queues it. More than 62 bits are joined: hidden cells of port WR_PORT_JOIN
 * stand between, and are sealed at once by whoever clears their last bit. A join pins its task until the list
 * that the task stands in is walked.
 */
#include "shm/proc_internal.h"

enum { GUARD = WR_PENDING_MAX, WALK_DEPTH_MAX = 8, JOIN_DEPTH_MAX = 4 };

static void walk_at(wr_proc *p, wr_cell *sealed, uint32_t dead, uint32_t depth);

/* ---- READY ---- */

static void queue_ready(wr_proc *p, wr_handle handle, uint32_t port) {
    if ((p->count[wr_index_of(handle)] & WR_COUNT_OWN) != 0 && wr_proc_backlog_reserve(p, NULL) == WR_OK &&
        wr_proc_ring(p, port) != NULL) {
        if (!wr_proc_enqueue_own(p, port, handle)) {
            wr_proc_fail_gone(p, handle);
        }
    } else {
        wr_proc_enqueue_durably(p, port, handle);
    }
}

/* A join with nothing pending is sealed at once, by anybody; sealed by the dead but not walked, it is walked again. */
static void join_done(wr_proc *p, wr_cell *cell, wr_handle handle, uint32_t dead, uint32_t depth) {
    uint64_t word = WR_LOAD(&cell->ctl);
    while (wr_generation_of(word) == wr_generation_of(handle) && wr_state_of(word) == WR_CELL_WAITING) {
        if (WR_CAS_SEQ(&cell->ctl, &word, (word & ~15ull) | WR_CELL_SEALED | p->who)) {
            walk_at(p, cell, dead, depth + 1);
            return;
        }
    }
    if (dead != 0 && wr_generation_of(word) == wr_generation_of(handle) &&
        wr_state_of(word) == WR_CELL_SEALED && wr_who_in(word) == dead && !wr_cell_list_walked(cell, word)) {
        walk_at(p, cell, dead, depth + 1);
    }
}

/* Nothing is pending: whoever wins the CAS queues the task; a repair queues it anyway. */
static void make_ready(wr_proc *p, wr_cell *cell, wr_handle handle, uint32_t dead, uint32_t depth) {
    uint32_t port = cell->port;
    if (port == WR_PORT_JOIN) {
        join_done(p, cell, handle, dead, depth);
        return;
    }
    bool queued = wr_port_valid(p->pool, port);
    uint64_t word = WR_LOAD(&cell->ctl);
    while (wr_generation_of(word) == wr_generation_of(handle) && wr_state_of(word) == WR_CELL_WAITING) {
        if (!WR_CAS_SEQ(&cell->ctl, &word, (word & ~15ull) | WR_CELL_READY)) {
            continue;
        }
        if (!queued &&
            (word & WR_FLAG_WAIT1) != 0) { /* who sleeps on it looks again: it is claimed by its handle */
            wr_futex_wake_all(wr_cell_futex(cell));
        }
        if (queued &&
            WR_LOAD(&p->pool->ports[port].actor) != 0) { /* in its caller's ring already, in order */
            if (wr_port_wake_one(p->pool, port)) {
                atomic_store_explicit(&p->woke, true, memory_order_relaxed);
            }
        } else if (queued) {
            queue_ready(p, handle, port);
        }
        return;
    }
    if (dead != 0 && queued && wr_generation_of(word) == wr_generation_of(handle) &&
        wr_state_of(word) == WR_CELL_READY) {
        if (WR_LOAD(&p->pool->ports[port].actor) != 0) {
            wr_port_wake_one(p->pool, port);
        } else {
            queue_ready(p, handle, port);
        }
    }
}

/* ---- The walk ---- */

static void walk_at(wr_proc *p, wr_cell *sealed, uint32_t dead, uint32_t depth) {
    wr_pool *pool = p->pool;
    uint64_t code = WR_LOAD_SEQ(&sealed->deps) & ~WR_WALKED;
    uint64_t steps_max = 4ull * pool->cell_count + 65536; /* a stranger's list may be a ring */
    for (uint64_t step = 0; code != 0 && step < steps_max; step++) {
        uint32_t index = wr_link_cell(code);
        wr_cell *cell = wr_cell_at(pool, index);
        wr_block_link *link = cell == NULL ? NULL : wr_cell_link(pool, cell, wr_link_arg(code));
        if (link == NULL || depth > WALK_DEPTH_MAX) {
            break;
        }
        uint64_t word = WR_LOAD(&cell->ctl);
        uint64_t next = __atomic_load_n(&link->next, __ATOMIC_RELAXED);
        uint64_t bit = 1ull << wr_link_bit(code);
        if ((atomic_fetch_and_explicit(&cell->pending, ~bit, memory_order_acq_rel) & ~bit) == 0) {
            make_ready(p, cell, wr_handle_make(wr_generation_of(word), index), dead, depth);
        }
        code = next & ~WR_WALKED;
    }
    atomic_fetch_or_explicit(&sealed->deps, WR_WALKED, memory_order_release);
}

void wr_proc_walk(wr_proc *p, wr_cell *sealed, uint32_t dead) {
    walk_at(p, sealed, dead, 0);
}

/* Stands `link` (argument `arg` of cell `index`) in the list of a cell. true: its sealer will clear the bit.
 * The CAS on ctl is done even if DEPS stands there: then either it comes before the seal, whose CAS reads
 * from it and so sees the link, or it sees SEALED. */
static bool link_to(wr_cell *awaited, wr_block_link *link, uint32_t index, uint32_t arg, uint32_t bit) {
    uint64_t code = wr_link_code(index, arg, bit);
    uint64_t deps = WR_LOAD(&awaited->deps);
    do {
        __atomic_store_n(&link->next, deps & ~WR_WALKED, __ATOMIC_RELAXED);
    } while (!WR_CAS(&awaited->deps, &deps, code | (deps & WR_WALKED)));
    uint64_t word = WR_LOAD(&awaited->ctl);
    do {
        if (wr_state_of(word) == WR_CELL_SEALED) {
            return false;
        }
    } while (!WR_CAS_SEQ(&awaited->ctl, &word, word | WR_FLAG_DEPS));
    return true;
}

/* ---- Joins ---- */

typedef struct join_plan {
    wr_handle *refs; /* pending arguments */
    uint32_t ref_count;
    struct planned_join {
        uint32_t cell;
        uint64_t block;
    } *joins;
    uint32_t join_count, used;
} join_plan;

static uint64_t span_of(uint32_t depth) {
    uint64_t span = 1;
    for (uint32_t k = 0; k < depth; k++) {
        span *= WR_PENDING_MAX;
    }
    return span;
}

static uint32_t joins_needed(uint64_t refs, uint32_t depth) {
    uint32_t all = 0;
    for (uint32_t d = 1; d <= depth; d++) {
        all += (uint32_t)((refs + span_of(d) - 1) / span_of(d));
    }
    return all;
}

static void plan_drop(wr_proc *p, join_plan *plan) {
    for (uint32_t k = plan->used; k < plan->join_count; k++) {
        struct planned_join *join = &plan->joins[k];
        if (join->block != UINT64_MAX) {
            wr_heap_block_free(p, join->block);
            p->free[p->free_count++] = join->cell;
        }
    }
    wr_free(plan->joins);
    wr_free(plan->refs);
}

static uint32_t plan_depth(uint32_t refs) {
    uint32_t depth = 1;
    while ((refs + span_of(depth) - 1) / span_of(depth) > WR_PENDING_MAX) {
        depth++;
    }
    return depth;
}

/* Everything that can fail, before anything is published. */
static wr_status plan_make(wr_proc *p, const wr_task_spec *spec, uint32_t pending, join_plan *plan,
                           wr_error *err) {
    *plan = (join_plan){0};
    uint32_t count = joins_needed(pending, plan_depth(pending));
    plan->refs = wr_calloc(pending, sizeof(*plan->refs));
    plan->joins = wr_calloc(count, sizeof(*plan->joins));
    if (plan->refs == NULL || plan->joins == NULL) {
        plan_drop(p, plan);
        return WR_FAIL(err, WR_E_NO_MEMORY, "submit: no memory to wait for %u arguments", pending);
    }
    for (uint32_t k = 0; k < spec->ref_count && plan->ref_count < pending; k++) {
        if (wr_cell_state_of(p->pool, spec->refs[k]) != WR_CELL_SEALED) {
            plan->refs[plan->ref_count++] = spec->refs[k];
        }
    }
    uint64_t bytes = wr_block_size(WR_PENDING_MAX, 0, 0, NULL, 0, 0);
    for (uint32_t k = 0; k < count; k++) {
        plan->joins[k].block = UINT64_MAX;
        plan->join_count = k + 1;
        uint32_t cell = 0;
        wr_status status = wr_proc_cell_alloc(p, &cell, err);
        if (status == WR_OK) {
            status = wr_proc_heap_alloc(p, bytes, &plan->joins[k].block, err);
            if (status != WR_OK) {
                plan->joins[k].block = UINT64_MAX;
                p->free[p->free_count++] = cell;
            }
        }
        if (status != WR_OK) {
            plan_drop(p, plan);
            return status;
        }
        plan->joins[k].cell = cell;
    }
    return WR_OK;
}

/* Builds the join over plan->refs[first, last) that stands for `bit` of the cell `above`. */
static void join_build(wr_proc *p, join_plan *plan, uint32_t depth, uint32_t first, uint32_t last,
                       uint32_t above, uint32_t bit, bool top) {
    struct planned_join plan_of = plan->joins[plan->used++];
    wr_cell *cell = &p->pool->cells[plan_of.cell], *above_cell = &p->pool->cells[above];
    uint32_t generation = wr_generation_of(WR_LOAD_RELAXED(&cell->ctl));
    wr_handle handle = wr_handle_make(generation, plan_of.cell);
    uint32_t span = (uint32_t)span_of(depth - 1);
    uint32_t children = (last - first + span - 1) / span;

    wr_block_header *header = (wr_block_header *)(void *)(p->pool->heap_write + plan_of.block);
    *header = (wr_block_header){
        .bytes = wr_block_size(children, 0, 0, NULL, 0, 0), .magic = WR_BLOCK_MAGIC, .link_count = children};
    cell->nargs = WR_LINKS_IN_BLOCK;
    cell->attempt = 0;
    cell->max_retries = 0;
    wr_cell_port_generation_set(cell, 0);
    cell->location = WR_AT_INLINE;
    cell->result_bytes = 0;
    cell->block = plan_of.block;
    __atomic_store_n(&cell->function, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&cell->port, WR_PORT_JOIN, __ATOMIC_RELAXED);
    cell->arg_bytes = 0;
    WR_STORE_RELAXED(&cell->deps, 0);
    WR_STORE_RELAXED(&cell->pending, 1ull << GUARD | ((1ull << children) - 1));
    for (uint32_t k = 0; k < children; k++) {
        *wr_cell_link(p->pool, cell, k) = (wr_block_link){0, 0};
    }
    cell->joined = 0;
    if (top) { /* nobody counts it; it pins its task, and waits in limbo until it is walked */
        cell->joined = wr_handle_make(wr_generation_of(WR_LOAD_RELAXED(&above_cell->ctl)), above);
        p->count[above]++;
        p->count[plan_of.cell] = WR_COUNT_OWN | WR_COUNT_LIMBO;
        p->limbo[(p->limbo_at + p->limbo_count++) & p->limbo_mask] = plan_of.cell;
    } else {
        p->count[plan_of.cell] = WR_COUNT_OWN | 1; /* counted by the link above */
        wr_cell_link(p->pool, above_cell, bit)->ref = handle;
    }
    WR_STORE(&cell->ctl, wr_word(generation, WR_CELL_WAITING));
    link_to(cell, wr_cell_link(p->pool, above_cell, bit), above, bit,
            bit); /* never sealed yet: our guard stands */

    uint64_t clear = 1ull << GUARD;
    for (uint32_t k = 0; k < children; k++) {
        uint32_t from = first + k * span, to = from + span < last ? from + span : last;
        if (depth > 1) {
            join_build(p, plan, depth - 1, from, to, plan_of.cell, k, false);
            continue;
        }
        wr_block_link *link = wr_cell_link(p->pool, cell, k);
        wr_proc_pin(p, plan->refs[from]);
        __atomic_store_n(&link->ref, plan->refs[from], __ATOMIC_RELEASE);
        if (!link_to(wr_cell_at(p->pool, plan->refs[from]), link, plan_of.cell, k, k)) {
            clear |= 1ull << k;
        }
    }
    if ((atomic_fetch_and_explicit(&cell->pending, ~clear, memory_order_acq_rel) & ~clear) == 0) {
        make_ready(p, cell, handle, 0, 0);
    }
}

/* ---- Taking a task back ---- */

/* READY or WAITING -> claimed by this process -> sealed. STATE: *out_word says who runs it. */
static wr_status withdraw(wr_proc *p, wr_cell *cell, wr_handle handle, const wr_result *error,
                          uint64_t *out_word) {
    WR_STORE_RELAXED(&p->slot->current[WR_LANE_OWN], handle);
    WR_INTENT_BARRIER();
    uint64_t word = WR_LOAD(&cell->ctl);
    for (;;) {
        if (wr_generation_of(word) != wr_generation_of(handle) || wr_state_of(word) == WR_CELL_SEALED ||
            wr_state_of(word) == WR_CELL_FREE) {
            return WR_E_NOT_FOUND;
        }
        if (wr_state_of(word) == WR_CELL_RUNNING) {
            *out_word = word;
            return WR_E_STATE;
        }
        if (WR_CAS(
                &cell->ctl, &word,
                wr_word(wr_generation_of(word), WR_CELL_RUNNING | p->who | ((uint32_t)word & WR_FLAG_ALL)))) {
            break;
        }
    }
    wr_proc_seal_cell(p, handle, error, true);
    return WR_OK;
}

/* ---- Submit ---- */

/* The port was closed since the caller learned of it. */
static inline bool other_opening(const wr_proc *p, const wr_task_spec *spec) {
    return spec->generation != 0 &&
           WR_LOAD_RELAXED(&p->pool->ports[spec->port].generation) != spec->generation;
}

static wr_status stale(const wr_task_spec *spec, wr_error *err) {
    return WR_FAIL(err, WR_E_NOT_FOUND, "submit: port %u was closed since the caller learned of it",
                   spec->port);
}

/* The usual: a few inline bytes for a port at which this process has a ring. Everything else is looked at
 * closely. */
static inline bool plain_spec(wr_proc *p, const wr_task_spec *spec) {
    return spec->ref_count == 0 && spec->block == 0 && spec->arg_bytes <= WR_CELL_ARG_BYTES &&
           wr_port_valid(p->pool, spec->port) && wr_proc_ring(p, spec->port) != NULL &&
           !other_opening(p, spec) && (wr_alert(p->pool) & WR_ALERT_POISON) == 0;
}

static wr_status check_spec(wr_proc *p, const wr_task_spec *spec, wr_error *err) {
    WR_TRY(wr_proc_usable(p, err));
    if (spec->port != WR_PORT_NONE && !wr_port_valid(p->pool, spec->port)) {
        return WR_FAIL(err, WR_E_INVALID, "submit: port %u of %u", spec->port, p->pool->geometry.ports);
    }
    if (spec->port != WR_PORT_NONE && other_opening(p, spec)) {
        if (spec->reopens) {
            if (spec->block != 0) {
                wr_proc_heap_free(p, spec->block);
            }
            return stale(spec, err);
        }
        return WR_FAIL(err, WR_E_ACTOR_DIED,
                       "submit: what had port %u has ended, and its last handle is gone", spec->port);
    }
    if (spec->port != WR_PORT_NONE && wr_proc_ring(p, spec->port) == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "submit: this process has no ring at port %u", spec->port);
    }
    if (spec->block == 0 && (spec->ref_count > WR_CELL_LINKS ||
                             spec->arg_bytes > WR_CELL_ARG_BYTES - sizeof(wr_block_link) * spec->ref_count)) {
        return WR_FAIL(err, WR_E_INVALID, "submit: %u inline bytes beside %u references do not fit in a cell",
                       spec->arg_bytes, spec->ref_count);
    }
    if (spec->ref_count > WR_LINK_ARG_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "submit: %u reference arguments are too many", spec->ref_count);
    }
    wr_block_view view;
    if (spec->block != 0) {
        WR_TRY(wr_block_open(p->pool, spec->block, &view, err));
        if (spec->ref_count > WR_CELL_LINKS && view.header.link_count != spec->ref_count) {
            return WR_FAIL(err, WR_E_INVALID, "submit: the block has %u links for %u references",
                           view.header.link_count, spec->ref_count);
        }
    }
    for (uint32_t k = 0; k < spec->ref_count; k++) {
        if (wr_cell_state_of(p->pool, spec->refs[k]) == WR_CELL_FREE) {
            return WR_FAIL(err, WR_E_INVALID, "submit: argument %u is not a live object", k);
        }
    }
    return WR_OK;
}

static uint32_t pin_arguments(wr_proc *p, const wr_task_spec *spec, wr_cell *cell) {
    uint32_t pending = 0;
    for (uint32_t k = 0; k < spec->ref_count; k++) {
        *wr_cell_link(p->pool, cell, k) = (wr_block_link){.ref = spec->refs[k], .next = 0};
        wr_proc_pin(p, spec->refs[k]);
        pending += wr_cell_state_of(p->pool, spec->refs[k]) != WR_CELL_SEALED;
    }
    if (spec->block != 0) {
        const uint64_t *refs = NULL;
        uint32_t nested = wr_cell_nested(p->pool, spec->block, &refs);
        for (uint32_t k = 0; k < nested; k++) {
            wr_proc_pin(p, __atomic_load_n(&refs[k], __ATOMIC_RELAXED));
        }
    }
    return pending;
}

static uint32_t count_pending(wr_proc *p, const wr_task_spec *spec) {
    uint32_t pending = 0;
    for (uint32_t k = 0; k < spec->ref_count; k++) {
        pending += wr_cell_state_of(p->pool, spec->refs[k]) != WR_CELL_SEALED;
    }
    return pending;
}

/* A few bytes without a call: 8 at a time, the last 8 overlapping. */
static inline void copy_bytes(uint8_t *to, const void *from, uint32_t n) {
    const uint8_t *at = from;
    if (n >= 8) {
        for (uint32_t k = 0; k + 8 < n; k += 8) {
            memcpy(to + k, at + k, 8);
        }
        memcpy(to + n - 8, at + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, at, 4);
        memcpy(to + n - 4, at + n - 4, 4);
    } else {
        for (uint32_t k = 0; k < n; k++) {
            to[k] = at[k];
        }
    }
}

static void fill(const wr_proc *p, wr_cell *cell, const wr_task_spec *spec) {
    cell->result_bytes = 0;
    cell->location = WR_AT_INLINE;
    wr_cell_port_generation_set(cell,
                                (uint16_t)(spec->generation != 0 ? spec->generation
                                           : spec->port == WR_PORT_NONE
                                               ? 0
                                               : WR_LOAD_RELAXED(&p->pool->ports[spec->port].generation)));
    cell->attempt = 0;
    cell->max_retries = spec->max_retries;
    cell->nargs = (uint8_t)(spec->ref_count <= WR_CELL_LINKS ? spec->ref_count : WR_LINKS_IN_BLOCK);
    cell->block = spec->block;
    __atomic_store_n(&cell->function, spec->function, __ATOMIC_RELAXED);
    __atomic_store_n(&cell->port, spec->port, __ATOMIC_RELAXED);
    cell->flags = spec->flags;
    cell->arg_bytes = spec->block != 0 ? 0 : spec->arg_bytes;
    WR_STORE_RELAXED(&cell->deps, 0);
}

/* Links the task to each argument that is not sealed; then the guard goes. */
static void link_arguments(wr_proc *p, const wr_task_spec *spec, wr_cell *cell, uint32_t index,
                           wr_handle handle, join_plan *plan, uint32_t bits) {
    uint64_t clear = 1ull << GUARD;
    uint32_t bit = 0;
    if (plan != NULL) {
        uint32_t depth = plan_depth(plan->ref_count);
        uint32_t span = (uint32_t)span_of(depth);
        for (uint32_t first = 0; first < plan->ref_count; first += span, bit++) {
            uint32_t last = first + span < plan->ref_count ? first + span : plan->ref_count;
            join_build(p, plan, depth, first, last, index, bit, true);
        }
    } else {
        for (uint32_t k = 0; k < spec->ref_count && bit < bits; k++) {
            wr_cell *awaited = wr_cell_at(p->pool, spec->refs[k]);
            if (wr_state_of(WR_LOAD(&awaited->ctl)) == WR_CELL_SEALED) {
                continue;
            }
            if (!link_to(awaited, wr_cell_link(p->pool, cell, k), index, k, bit)) {
                clear |= 1ull << bit; /* the sealer may have looked before our link stood there */
            }
            bit++;
        }
    }
    for (; bit < bits; bit++) {
        clear |= 1ull << bit; /* was sealed meanwhile */
    }
    if ((atomic_fetch_and_explicit(&cell->pending, ~clear, memory_order_acq_rel) & ~clear) == 0) {
        make_ready(p, cell, handle, 0, 0);
    }
}

/* false: the port was closed meanwhile. */
static bool submit_waiting(wr_proc *p, const wr_task_spec *spec, uint32_t index, wr_handle handle,
                           uint32_t pending, join_plan *plan) {
    wr_cell *cell = &p->pool->cells[index];
    uint32_t bits = pending;
    if (plan != NULL) {
        uint64_t span = span_of(plan_depth(plan->ref_count));
        bits = (uint32_t)((plan->ref_count + span - 1) / span);
    }
    WR_STORE_RELAXED(&cell->pending, 1ull << GUARD | ((1ull << bits) - 1));
    WR_STORE(&cell->ctl, wr_word(wr_generation_of(handle), WR_CELL_WAITING));
    bool queued = true;
    if (spec->port != WR_PORT_NONE && WR_LOAD_RELAXED(&p->pool->ports[spec->port].actor) != 0) {
        queued = wr_proc_enqueue_own(p, spec->port, handle); /* its place in the order is fixed now */
    }
    link_arguments(p, spec, cell, index, handle, plan, bits);
    return queued;
}

/* The raylet closes the port, or looks whether it may (README, invariant 16). OK: it runs or has run, so the port stays. */
static wr_status take_back(wr_proc *p, const wr_task_spec *spec, wr_handle handle, wr_error *err) {
    uint64_t word;
    if (withdraw(p, wr_cell_at(p->pool, handle), handle, &p->gone, &word) != WR_OK) {
        return WR_OK;
    }
    wr_proc_unref(p, handle);
    return stale(spec, err);
}

/* After the task was published: seq_cst, README, pair 7. */
static inline bool retired(const wr_proc *p, const wr_task_spec *spec, uint32_t pending) {
    if (WR_UNLIKELY(pending != 0 || p->backlog_count != 0)) { /* no store of a tail came before */
        atomic_thread_fence(memory_order_seq_cst);
    }
    return WR_LOAD_SEQ(&p->pool->ports[spec->port].generation) != spec->generation;
}

wr_status wr_proc_submit_uncounted(wr_proc *p, const wr_task_spec *spec, wr_handle *out, wr_error *err) {
    if (WR_UNLIKELY(p->forked) || !plain_spec(p, spec)) {
        WR_TRY(check_spec(p, spec, err));
    }
    if (WR_UNLIKELY(p->backlog_count != 0)) {
        wr_proc_flush(p);
    }
    if (WR_UNLIKELY(p->backlog_used >= p->backlog_capacity) ||
        WR_UNLIKELY(p->backlog_ports_count >= p->backlog_ports_capacity)) {
        WR_TRY(wr_proc_backlog_reserve(p, err));
    }
    join_plan plan_space, *plan = NULL;
    if (WR_UNLIKELY(spec->ref_count > WR_PENDING_MAX)) {
        uint32_t waits = count_pending(p, spec);
        if (waits > WR_PENDING_MAX) {
            plan = &plan_space;
            WR_TRY(plan_make(p, spec, waits, plan, err));
        }
    }
    uint32_t index;
    wr_status status = wr_proc_cell_alloc(p, &index, err);
    if (status != WR_OK) {
        if (plan != NULL) {
            plan_drop(p, plan);
        }
        return status;
    }
    wr_cell *cell = &p->pool->cells[index];
    wr_handle handle = wr_handle_make(wr_generation_of(WR_LOAD_RELAXED(&cell->ctl)), index);
    fill(p, cell, spec);
    p->count[index] = WR_COUNT_OWN | 1;
    uint32_t pending = 0;
    if (spec->ref_count != 0 || spec->block != 0) {
        pending = pin_arguments(p, spec, cell);
    }
    if (cell->arg_bytes != 0) {
        copy_bytes(cell->args + sizeof(wr_block_link) * spec->ref_count, spec->args, cell->arg_bytes);
    }
    bool queued = true;
    if (pending == 0) {
        WR_STORE_RELAXED(&cell->pending, 0);
        WR_STORE(&cell->ctl, wr_word(wr_generation_of(handle), WR_CELL_READY));
        if (spec->port != WR_PORT_NONE) {
            queued = wr_proc_enqueue_own(p, spec->port, handle);
        }
    } else {
        queued = submit_waiting(p, spec, index, handle, pending,
                                plan != NULL && plan->ref_count != 0 ? plan : NULL);
    }
    if (WR_UNLIKELY(!queued) && !spec->reopens) {
        wr_proc_fail_gone(p, handle);
    }
    if (plan != NULL) {
        plan_drop(p, plan);
    }
    if (spec->reopens && WR_UNLIKELY(retired(p, spec, pending))) {
        WR_TRY(take_back(p, spec, handle, err));
    }
    *out = handle;
    return WR_OK;
}

wr_status wr_proc_submit(wr_proc *p, const wr_task_spec *spec, wr_handle *out, wr_error *err) {
    WR_TRY(wr_proc_submit_uncounted(p, spec, out, err));
    bool actor = spec->port != WR_PORT_NONE && WR_LOAD_RELAXED(&p->pool->ports[spec->port].actor) != 0;
    wr_proc_count(p, actor ? WR_COUNTER_CALLS_SUBMITTED : WR_COUNTER_SUBMITTED, 1);
    if (WR_UNLIKELY((wr_alert(p->pool) & WR_ALERT_TRACE) != 0)) {
        wr_proc_trace(p, *out, spec->function, 0);
    }
    return WR_OK;
}

wr_port_state wr_proc_port_state(const wr_proc *p, uint16_t port, wr_handle *out_cause) {
    if (p->forked || !wr_port_valid(p->pool, port)) {
        return WR_PORT_CLOSED;
    }
    wr_port *at = &p->pool->ports[port];
    uint32_t state = WR_LOAD(&at->state);
    if (out_cause != NULL) {
        *out_cause = WR_LOAD(&at->cause);
    }
    return state <= WR_PORT_DEAD ? (wr_port_state)state : WR_PORT_CLOSED;
}

uint32_t wr_proc_port_generation(const wr_proc *p, uint16_t port) {
    return p->forked || !wr_port_valid(p->pool, port) ? 0 : WR_LOAD(&p->pool->ports[port].generation);
}

/* ---- Cancel ---- */

void wr_proc_fail_gone(wr_proc *p, wr_handle handle) {
    wr_cell *cell = wr_cell_at(p->pool, handle);
    uint64_t word;
    if (cell != NULL) {
        (void)!withdraw(p, cell, handle, &p->gone, &word); /* else somebody was faster */
    }
}

wr_status wr_proc_cancel(wr_proc *p, wr_handle handle, const wr_result *error, uint32_t *out_slot,
                         uint32_t *out_epoch) {
    wr_cell *cell = p->forked ? NULL : wr_cell_at(p->pool, handle);
    if (cell == NULL || !wr_proc_is_mine(p, handle)) {
        return WR_E_NOT_FOUND;
    }
    uint64_t word;
    wr_status status = withdraw(p, cell, handle, error, &word);
    if (status == WR_E_STATE) {
        *out_slot = (uint32_t)(word >> 8) & 0xfff;
        *out_epoch = (uint32_t)(word >> 20) & 0xfff;
    }
    if (status != WR_OK) {
        return status;
    }
    uint32_t port = cell->port;
    if (wr_port_valid(p->pool, port) && WR_LOAD(&p->pool->ports[port].actor) != 0) {
        wr_port_wake_one(p->pool, port); /* it may have stood at the head of its ring, WAITING */
    }
    return WR_OK;
}

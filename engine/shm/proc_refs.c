/* engine/shm/proc_refs.c: who counts what. The counts are private; a cell leaves its creator's books only if
 * somebody set SHARED while it was pinned. Drops are iterative: the end of a long chain frees all of it
 * without recursion. */
#include "shm/proc_internal.h"

/* ---- What a cell names ---- */

uint32_t wr_cell_nested(const wr_pool *pool, uint64_t block, const uint64_t **out_refs) {
    wr_block_view view;
    if (wr_block_open(pool, block, &view, NULL) != WR_OK) {
        return 0;
    }
    *out_refs = view.refs;
    return view.header.ref_count <= WR_LINK_ARG_MAX ? view.header.ref_count : 0;
}

uint32_t wr_cell_link_count(const wr_pool *pool, const wr_cell *cell) {
    uint8_t nargs = cell->nargs;
    if (nargs != WR_LINKS_IN_BLOCK) {
        return nargs <= WR_CELL_LINKS ? nargs : 0;
    }
    wr_block_view view;
    if (wr_block_open(pool, cell->block, &view, NULL) != WR_OK) {
        return 0;
    }
    return view.header.link_count <= WR_LINK_ARG_MAX ? view.header.link_count : 0;
}

wr_block_link *wr_cell_link(const wr_pool *pool, wr_cell *cell, uint32_t arg) {
    uint8_t nargs = cell->nargs;
    if (nargs != WR_LINKS_IN_BLOCK) {
        return arg < WR_CELL_LINKS && arg < nargs ? &cell->links[arg] : NULL;
    }
    uint64_t block = cell->block, at;
    if (block % WR_BLOCK_ALIGN != 0 ||
        __builtin_add_overflow(block, WR_BLOCK_HEADER_BYTES + sizeof(wr_block_link) * (uint64_t)arg, &at)) {
        return NULL;
    }
    return (wr_block_link *)(void *)wr_pool_heap_write(pool, at, sizeof(wr_block_link));
}

/* `word` is the cell's control word. A list matters while DEPS is set and WALKED is not. */
bool wr_cell_list_walked(wr_cell *cell, uint64_t word) {
    return (word & WR_FLAG_DEPS) == 0 ||
           (wr_state_of(word) == WR_CELL_SEALED && (WR_LOAD(&cell->deps) & WR_WALKED) != 0);
}

bool wr_cell_lists_walked(const wr_pool *pool, wr_cell *cell) {
    uint32_t links = wr_cell_link_count(pool, cell);
    for (uint32_t k = 0; k < links; k++) {
        wr_block_link *link = wr_cell_link(pool, cell, k);
        uint64_t ref = link == NULL ? 0 : __atomic_load_n(&link->ref, __ATOMIC_RELAXED);
        wr_cell *arg = wr_cell_at(pool, ref);
        if (link == NULL || arg == NULL) {
            continue;
        }
        uint64_t word = WR_LOAD(&arg->ctl);
        if (wr_generation_of(word) == wr_generation_of(ref) && !wr_cell_list_walked(arg, word)) {
            return false;
        }
    }
    return true;
}

/* ---- Counts ---- */

void wr_proc_set_shared(wr_cell *cell) {
    uint64_t word = WR_LOAD(&cell->ctl);
    while ((word & WR_FLAG_SHARED) == 0 && !WR_CAS(&cell->ctl, &word, word | WR_FLAG_SHARED)) {
    }
}

/* The count of cell i goes down; at 0 the cell joins the work to be done by drop_all. */
static void count_down(wr_proc *p, uint32_t i) {
    if (i >= p->pool->cell_count || (p->count[i] & WR_COUNT_MASK) == 0) {
        return; /* a stranger wrote the handle: nothing of ours */
    }
    if ((--p->count[i] & WR_COUNT_MASK) == 0) {
        p->work[p->work_count++] = i;
    }
}

/* Ends the pins that a task has on its arguments, and frees their block. */
static void release_arguments(wr_proc *p, wr_cell *cell) {
    uint32_t links = wr_cell_link_count(p->pool, cell);
    for (uint32_t k = 0; k < links; k++) {
        wr_block_link *link = wr_cell_link(p->pool, cell, k);
        if (link != NULL) {
            count_down(p, wr_index_of(__atomic_load_n(&link->ref, __ATOMIC_RELAXED)));
        }
    }
    uint64_t block = cell->block;
    if (block != 0) {
        const uint64_t *refs = NULL;
        uint32_t nested = wr_cell_nested(p->pool, block, &refs);
        for (uint32_t k = 0; k < nested; k++) {
            count_down(p, wr_index_of(__atomic_load_n(&refs[k], __ATOMIC_RELAXED)));
        }
    }
    cell->nargs = 0;
    cell->block = 0;
    WR_INTENT_BARRIER(); /* the reaper must not count references into a block that is free already */
    if (block != 0) {
        wr_heap_block_free(p, block);
    }
}

/* Gives the cell back to the free list; its result goes, too, if it lies in this process's heap. */
static void free_cell(wr_proc *p, uint32_t i, wr_cell *cell, uint32_t generation) {
    uint64_t place = cell->location == WR_AT_HEAP ? cell->place & ~7ull : UINT64_MAX;
    cell->location = WR_AT_INLINE;
    WR_STORE(&cell->ctl, wr_word(wr_generation_next(generation), WR_CELL_FREE));
    p->count[i] = WR_COUNT_OWN;
    p->free[p->free_count++] = i;
    if (place != UINT64_MAX && wr_heap_owns(p, place)) {
        wr_heap_block_free(p, place);
    }
}

/* The count of an own cell is 0: frees it, or reports it. false: not yet. */
static bool reclaim(wr_proc *p, uint32_t i) {
    wr_cell *cell = &p->pool->cells[i];
    uint64_t word = WR_LOAD(&cell->ctl);
    if (wr_state_of(word) != WR_CELL_SEALED) {
        return false;
    }
    uint32_t links = cell->nargs;
    if (links != 0 && !wr_cell_lists_walked(p->pool, cell)) {
        return false; /* somebody may still stand on our links */
    }
    bool join = links != 0 && cell->port == WR_PORT_JOIN; /* in this order: the other line need not come */
    if (join && !wr_cell_list_walked(cell, word)) {
        return false; /* the task it belongs to does not pin it */
    }
    uint64_t owner = join ? cell->joined : 0;
    if ((links != 0 || cell->block != 0) && !wr_cell_parked(cell, word)) {
        release_arguments(p, cell);
    }
    if (join && owner != 0) {
        count_down(p, wr_index_of(owner));
    }
    if ((word & WR_FLAG_SHARED) != 0) {
        p->count[i] |= WR_COUNT_DROPPED;
        wr_proc_emit(p, WR_EVENT_DROP, wr_handle_make(wr_generation_of(word), i));
    } else {
        free_cell(p, i, cell, wr_generation_of(word));
    }
    return true;
}

static void limbo_push(wr_proc *p, uint32_t i) {
    if ((p->count[i] & WR_COUNT_LIMBO) == 0) {
        p->count[i] |= WR_COUNT_LIMBO;
        p->limbo[(p->limbo_at + p->limbo_count++) & p->limbo_mask] = i;
    }
}

static void drop_all(wr_proc *p) {
    while (p->work_count != 0) {
        uint32_t i = p->work[--p->work_count];
        uint32_t count = p->count[i];
        if ((count & WR_COUNT_OWN) == 0 || (count & WR_COUNT_DROPPED) != 0) {
            uint32_t generation =
                wr_generation_of(WR_LOAD(&p->pool->cells[i].ctl)); /* counted until now: it lives */
            wr_proc_emit(p, WR_EVENT_DROP, wr_handle_make(generation, i));
        } else if ((count & WR_COUNT_LIMBO) == 0 && !reclaim(p, i)) {
            limbo_push(p, i);
        }
    }
}

/* Looks at the oldest of those that were dropped before they were done; what is not done goes to the end. */
void wr_proc_limbo_look(wr_proc *p, uint32_t entries) {
    for (uint32_t k = 0; k < entries && p->limbo_count != 0; k++) {
        uint32_t i = p->limbo[p->limbo_at & p->limbo_mask];
        p->limbo_at++;
        p->limbo_count--;
        p->count[i] &= ~(uint32_t)WR_COUNT_LIMBO;
        if ((p->count[i] & WR_COUNT_MASK) != 0) {
            continue; /* counted again meanwhile */
        }
        if (!reclaim(p, i)) {
            limbo_push(p, i);
        }
        drop_all(p);
    }
}

/* The raylet found no holder of a cell of ours. */
void wr_proc_freed(wr_proc *p, wr_handle handle) {
    wr_cell *cell = wr_cell_at(p->pool, handle);
    uint32_t i = wr_index_of(handle);
    if (cell == NULL || wr_generation_of(WR_LOAD(&cell->ctl)) != wr_generation_of(handle) ||
        (p->count[i] & (WR_COUNT_OWN | WR_COUNT_DROPPED)) != (WR_COUNT_OWN | WR_COUNT_DROPPED) ||
        (p->count[i] & WR_COUNT_MASK) != 0) {
        return;
    }
    if (cell->nargs != 0 || cell->block != 0) {
        release_arguments(p, cell);
    }
    free_cell(p, i, cell, wr_generation_of(handle));
    drop_all(p);
}

bool wr_proc_pin(wr_proc *p, wr_handle handle) {
    wr_cell *cell = wr_cell_at(p->pool, handle);
    if (cell == NULL) {
        return false;
    }
    uint32_t *count = &p->count[wr_index_of(handle)];
    if ((*count & WR_COUNT_MASK) != 0) {
        ++*count;
        return true;
    }
    wr_proc_borrow(p, handle);
    return (*count & WR_COUNT_MASK) != 0;
}

void wr_proc_ref(wr_proc *p, wr_handle handle) {
    if (!p->forked) {
        wr_proc_pin(p, handle);
    }
}

void wr_proc_unref(wr_proc *p, wr_handle handle) {
    if (p->forked) {
        return;
    }
    count_down(p, wr_index_of(handle));
    drop_all(p);
}

void wr_proc_borrow(wr_proc *p, wr_handle handle) {
    wr_cell *cell = p->forked ? NULL : wr_cell_at(p->pool, handle);
    if (cell == NULL) {
        return;
    }
    uint64_t word = WR_LOAD(&cell->ctl);
    if (wr_generation_of(word) != wr_generation_of(handle) || wr_state_of(word) == WR_CELL_FREE) {
        return;
    }
    uint32_t *count = &p->count[wr_index_of(handle)];
    bool first = (*count & WR_COUNT_MASK) == 0;
    ++*count;
    if (!first || (*count & (WR_COUNT_OWN | WR_COUNT_DROPPED)) == WR_COUNT_OWN) {
        return; /* counted; or ours, and the hold that a creator has has not ended */
    }
    wr_proc_set_shared(cell);
    wr_proc_emit(p, WR_EVENT_HOLD, handle);
}

void wr_proc_share(wr_proc *p, wr_handle handle) {
    wr_cell *cell = p->forked ? NULL : wr_cell_at(p->pool, handle);
    if (cell != NULL && wr_generation_of(WR_LOAD(&cell->ctl)) == wr_generation_of(handle)) {
        wr_proc_set_shared(cell);
    }
}

bool wr_proc_counts(const wr_proc *p, wr_handle handle) {
    const wr_cell *cell = p->forked ? NULL : wr_cell_at(p->pool, handle);
    return cell != NULL && (p->count[wr_index_of(handle)] & WR_COUNT_MASK) != 0 &&
           wr_generation_of(WR_LOAD(&cell->ctl)) == wr_generation_of(handle);
}

bool wr_proc_is_mine(const wr_proc *p, wr_handle handle) {
    return !p->forked && wr_index_of(handle) < p->pool->cell_count &&
           (p->count[wr_index_of(handle)] & WR_COUNT_OWN) != 0;
}

void wr_proc_settle(wr_proc *p, wr_handle handle) {
    wr_cell *cell = p->forked ? NULL : wr_cell_at(p->pool, handle);
    if (cell == NULL || (p->count[wr_index_of(handle)] & WR_COUNT_OWN) == 0 ||
        (cell->nargs == 0 && cell->block == 0)) {
        return;
    }
    uint64_t word = WR_LOAD(&cell->ctl);
    if (wr_generation_of(word) == wr_generation_of(handle) && wr_state_of(word) == WR_CELL_SEALED &&
        cell->port != WR_PORT_JOIN && !wr_cell_parked(cell, word) && wr_cell_lists_walked(p->pool, cell)) {
        release_arguments(p, cell);
        drop_all(p);
    }
}

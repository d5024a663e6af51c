/* engine/shm/proc_internal.h: the private half of a slot, and what the files proc_*.c use of each other. */
#pragma once

#include "base/clock.h"
#include "shm/layout.h"
#include "shm/proc.h"

#include <sched.h>

/* ---- The private count of a cell: one word for each cell of the pool, touched pages only ---- */
enum {
    WR_COUNT_OWN = 1u << 31,     /* in an extent of this process */
    WR_COUNT_LIMBO = 1u << 30,   /* own; count 0; stands in the limbo list until it can be freed */
    WR_COUNT_DROPPED = 1u << 29, /* own, SHARED; DROP was sent: the raylet frees it */
    WR_COUNT_MASK = WR_COUNT_DROPPED - 1,
};

/* Order of wr_proc_counters. */
typedef enum wr_counter {
    WR_COUNTER_SUBMITTED,
    WR_COUNTER_EXECUTED,
    WR_COUNTER_CALLS_SUBMITTED,
    WR_COUNTER_CALLS_EXECUTED,
    WR_COUNTER_PUT,
    WR_COUNTER_PUT_BYTES,
    WR_COUNTER_SEALED,
    WR_COUNTER_SEALED_BYTES,
    WR_COUNTER_STEALS,
    WR_COUNTER_SLEEPS,
    WR_COUNTER_WAKES,
} wr_counter;

/* What this process knows of a port. */
typedef struct wr_proc_port {
    uint32_t ring;                        /* + 1; 0: not looked up */
    uint32_t backlog_first, backlog_last; /* + 1; tasks that found the ring full, in order */
    uint64_t low;                         /* oldest index of the ring not known to be begun */
} wr_proc_port;

typedef struct wr_backlog_node {
    wr_handle handle;
    uint32_t next; /* + 1 */
} wr_backlog_node;

typedef struct wr_heap wr_heap; /* proc_heap.c */

struct wr_proc {
    wr_pool *pool;
    wr_slot *slot;
    wr_event *events, *grants;
    uint32_t index, epoch, who;
    bool forked;

    /* Cells. */
    uint32_t free_count, limbo_count, work_count;
    uint32_t limbo_at, limbo_mask; /* limbo is a ring */
    uint32_t *count;               /* [cells] */
    uint32_t *free;                /* [cells] LIFO */
    uint32_t *limbo;               /* [limbo_mask + 1] */
    uint32_t *work;                /* [cells] cells whose count has just become 0 */
    bool cells_asked, cells_refused;

    /* Rings. */
    wr_proc_port *ports; /* [ports] */
    wr_backlog_node *backlog;
    uint32_t backlog_capacity, backlog_free /* + 1 */, backlog_used, backlog_count;
    uint32_t *backlog_ports; /* ports with a backlog */
    uint32_t backlog_ports_capacity, backlog_ports_count;

    /* Taking. */
    uint32_t take_port, rotation, empty_looks, idle_looks;
    uint16_t take_generation; /* of take_port, as the present look found it */
    uint32_t reserved_slot;   /* whose ring it was */
    wr_ring *reserved_ring;   /* the range [reserved_at, reserved_end) is reserved and not begun */
    uint64_t reserved_at, reserved_end;

    /* Events. */
    uint64_t event_tail, event_head_seen, grant_head;
    uint32_t polls;

    wr_heap *heap;

    /* Looked at and changed by threads that hold no lock. */
    _Atomic bool woke; /* this process has just woken another: the next wait sleeps at once */
    _Atomic bool steal_seen;
    wr_a32 idlers, crowded;
    wr_a64 quiet_ns; /* slept through by an idle taker since it last had something to do */

    bool (*on_wait)(void *arg);
    void *on_wait_arg;
    uint64_t waited_ns; /* by the present caller, before this call */
    uint64_t patience_ns, quiet_after_ns;
    wr_result gone; /* what a task gets whose port was closed meanwhile */

    /* The keeper's own half: it cannot wait for the raylet. drain empties its event ring. */
    void (*drain)(void *arg);
    void *drain_arg;
};

/* ---- proc.c ---- */
/* OK, or why nothing can be done: RAYLET_DIED, STATE. */
wr_status wr_proc_usable(const wr_proc *proc, wr_error *err);
void wr_proc_emit(wr_proc *proc, wr_event_type type, uint64_t handle);
void wr_proc_emit_pair(wr_proc *proc, wr_event_type type, uint64_t handle, uint64_t second);
void wr_proc_grants(wr_proc *proc);
wr_status wr_proc_cell_refill(wr_proc *proc, wr_error *err);
/* Waiting for the raylet's answer: one turn sleeps at most 2 ms on the own bell. OK: look again. */
typedef struct wr_room_wait {
    uint64_t began_ns, rang_ns;
    uint32_t bell;
} wr_room_wait;
void wr_room_wait_begin(wr_proc *proc, wr_room_wait *wait);
wr_status wr_room_wait_turn(wr_proc *proc, wr_room_wait *wait, wr_error *err);
void wr_proc_trace(wr_proc *proc, wr_handle handle, uint32_t function, uint32_t state);

/* ---- proc_refs.c ---- */
void wr_proc_limbo_look(wr_proc *proc, uint32_t entries);
void wr_proc_freed(wr_proc *proc, wr_handle handle);
void wr_proc_set_shared(wr_cell *cell);
/* One more count on a handle that is alive; foreign and not counted: borrows it. false: no such cell. */
bool wr_proc_pin(wr_proc *proc, wr_handle handle);
/* The refs that the arguments' block names; 0 if there is none. */
uint32_t wr_cell_nested(const wr_pool *pool, uint64_t block, const uint64_t **out_refs);
uint32_t wr_cell_link_count(const wr_pool *pool, const wr_cell *cell);
/* Link `arg` of a cell, in the cell or in its block; NULL if there is no such link. For writing. */
wr_block_link *wr_cell_link(const wr_pool *pool, wr_cell *cell, uint32_t arg);
/* No list that a link of this cell stands in is still to be walked. */
bool wr_cell_lists_walked(const wr_pool *pool, wr_cell *cell);
bool wr_cell_list_walked(wr_cell *cell, uint64_t word);
/* A task that is claimed by its handle, and that others hold: an actor's constructor may be read again at each
 * restart, so its arguments stay until the cell goes. */
static inline bool wr_cell_parked(const wr_cell *cell, uint64_t word) {
    return (word & WR_FLAG_SHARED) != 0 && cell->port == WR_PORT_NONE;
}

/* ---- proc_task.c ---- */
/* wr_proc_submit for what is no task of the user's: neither counted nor traced. */
wr_status wr_proc_submit_uncounted(wr_proc *proc, const wr_task_spec *spec, wr_handle *out, wr_error *err);
/* Clears the bits of all that waited for a sealed cell. By its sealer; or again by the raylet, once its sealer is dead:
 * then that one's mark, else 0. Never by two at once: what a list leads to may be used again when it is WALKED. */
void wr_proc_walk(wr_proc *proc, wr_cell *sealed, uint32_t dead);
/* READY or WAITING, by anybody: claimed, and sealed with wr_proc_on_gone's result. For a task whose port was
 * closed. */
void wr_proc_fail_gone(wr_proc *proc, wr_handle handle);
/* ---- proc_take.c ---- */
/* Wakes all that may sleep on a cell that was just sealed; `word` is what stood there before. */
void wr_proc_wake_sealed(wr_proc *proc, wr_handle handle, wr_cell *cell, uint64_t word);
/* RUNNING by proc -> SEALED. Fields of the result are written first. false: taken away. */
bool wr_proc_seal_cell(wr_proc *proc, wr_handle handle, const wr_result *result, bool withdrawn);

/* ---- proc_queue.c ---- */
typedef enum wr_enqueued { WR_ENQUEUED, WR_ENQUEUE_FULL, WR_ENQUEUE_NO_RING, WR_ENQUEUE_GONE } wr_enqueued;
/* GONE: the port was closed since the task was submitted, and may be another's by now. Nobody takes the task
 * (it may stand in a ring all the same): the caller fails it. */
wr_enqueued wr_proc_enqueue(wr_proc *proc, uint32_t port, wr_handle handle);
/* For a task that must not be lost with this process: full or no ring: the raylet queues it. */
void wr_proc_enqueue_durably(wr_proc *proc, uint32_t port, wr_handle handle);
/* For a task of this process: full: the backlog. */
wr_status wr_proc_backlog_reserve(wr_proc *proc, wr_error *err);
/* false: GONE. */
WR_MUST_USE bool wr_proc_enqueue_own(wr_proc *proc, uint32_t port, wr_handle handle);
bool wr_port_wake_one(const wr_pool *pool, uint32_t port);
wr_ring *wr_proc_ring(wr_proc *proc, uint32_t port);
void wr_proc_release_reserved(wr_proc *proc);
/* A port of this number exists in the pool. */
static inline bool wr_port_valid(const wr_pool *pool, uint32_t port) {
    return port < pool->geometry.ports;
}
/* Something can be taken from the port. all: every ring, not only those whose bit is set (their bits are
 * raised). */
bool wr_proc_look(wr_proc *proc, uint32_t port, bool all);
bool wr_proc_can_steal(wr_proc *proc, uint32_t port);

/* ---- proc_stream.c ---- */
/* Wakes a producer that waits for a credit of the generator with this argument block; nothing if it is none.
 */
void wr_stream_wake(const wr_pool *pool, uint64_t block);

/* ---- proc_heap.c ---- */
wr_status wr_heap_new(wr_proc *proc, wr_heap **out, wr_error *err);
void wr_heap_free(wr_heap *heap);
void wr_heap_granted(wr_proc *proc, uint64_t first_unit, uint64_t units);
void wr_heap_trim(wr_proc *proc);
/* Frees a block of this process; false: the offset is not the start of one. */
bool wr_heap_block_free(wr_proc *proc, uint64_t offset);
bool wr_heap_owns(const wr_proc *proc, uint64_t offset);
/* Checker: units that this process believes to hold; live blocks in them. */
bool wr_heap_unit_held(const wr_proc *proc, uint64_t unit);
uint64_t wr_heap_live_blocks(const wr_proc *proc);

/* ---- Inline parts ---- */

static inline void wr_proc_count(wr_proc *proc, wr_counter counter, uint64_t n) {
    wr_a64 *word = &proc->slot->counters[counter]; /* one writer: plain stores */
    WR_STORE_RELAXED(word, WR_LOAD_RELAXED(word) + n);
}

/* Says in its slot which core this process runs on (+ 1); a sleeper is nowhere (0). A few ns where the kernel
 * has rseq. */
static inline uint32_t wr_proc_publish_core(wr_proc *proc) {
    uint32_t here = (uint32_t)sched_getcpu() + 1;
    WR_STORE_RELAXED(&proc->slot->cpu, here);
    return here;
}

/* Takes a free cell; *out is its index. */
static inline wr_status wr_proc_cell_alloc(wr_proc *proc, uint32_t *out, wr_error *err) {
    if (WR_UNLIKELY(proc->limbo_count != 0)) {
        wr_proc_limbo_look(proc, 2);
    }
    if (WR_UNLIKELY(proc->free_count <= proc->pool->geometry.cells_per_extent / 2)) {
        WR_TRY(wr_proc_cell_refill(proc, err));
    }
    *out = proc->free[--proc->free_count];
    if (WR_LIKELY(proc->free_count >
                  4)) { /* another core had it last: let it travel while this one is filled */
        const wr_cell *soon = &proc->pool->cells[proc->free[proc->free_count - 4]];
        __builtin_prefetch(soon, 1);
        __builtin_prefetch(&soon->function, 1);
    }
    return WR_OK;
}

/* engine/shm/keeper_internal.h: the raylet's private tables: the truth about slots, ports, rings, extents and
 * rows.
 *
 * Nothing that the raylet decides on is read back from the pool if it wrote it there itself; what clients
 * wrote (events, control words, links, results) is read once, checked, and then used.
 */
#pragma once

#include "base/map.h"
#include "shm/keeper.h"
#include "shm/proc_internal.h"

/* Who holds a shared cell. One for each cell of the pool, touched pages only. Valid if generation is the
 * cell's. */
typedef struct wr_row {
    uint32_t generation;
    uint32_t pins;         /* arguments and nested refs of tasks whose creator is dead */
    uint32_t contained;    /* values that name it */
    uint32_t holds;        /* of the raylet itself */
    uint32_t removal_pass; /* pass of the last removal of a holder: the grace starts anew at each */
    uint32_t inner_first;  /* + 1: what its value names, in keeper->pairs */
    bool used;             /* counted in keeper->row_count */
    bool dropped;          /* its creator's hold has ended */
    bool candidate;
    bool homed;        /* given back: only its generation has to follow */
    bool block_routed; /* the result's block was given back as well */
    bool watched, unheld_told;
    bool requeued;        /* while its creator is being reaped */
    uint64_t low_slots;   /* holders 0-63 */
    uint64_t *high_slots; /* holders 64-1023 */
    uint64_t watch_tag;
} wr_row;

typedef struct wr_pair {
    wr_handle inner;
    uint32_t next; /* + 1 */
} wr_pair;

typedef struct wr_keeper_slot {
    uint32_t state, epoch;
    int pid;
    uint32_t assignment;
    uint64_t event_head;
    uint32_t cell_extents, heap_units;
    uint64_t holds;
    uint64_t grant_tail, trim_tail; /* trim_tail: behind the last TRIM */
    wr_event *backlog;              /* grants that found the ring full */
    uint32_t backlog_capacity, backlog_first, backlog_count;
    bool blocked;
} wr_keeper_slot;

typedef struct wr_keeper_port {
    uint8_t state;
    bool open, actor, hungry, failing;
    uint32_t takers;
    uint32_t generation;  /* outlives its openings; 0: never opened */
    uint32_t rings_first; /* + 1 */
    wr_lost_reason reason;
    wr_lost_fn lost;
    void *lost_arg;
    wr_handle cause;
} wr_keeper_port;

typedef struct wr_keeper_ring {
    bool leased;
    bool kept; /* not leased, and for `slot` only: its process may be in the middle of a submit to a port that
                  was closed, and one ring has one submitter */
    uint32_t port, slot;
    uint32_t next;   /* + 1, of the port's rings */
    uint64_t base;   /* tail when it was leased */
    uint64_t done;   /* all below are done */
    uint64_t failed; /* all below were failed with their port */
} wr_keeper_ring;

typedef enum wr_extent_owner { WR_EXTENT_FREE = 0xffff, WR_EXTENT_ORPHAN = 0xfffe } wr_extent_owner;

struct wr_keeper {
    wr_pool *pool;
    wr_proc *self;
    uint32_t pass;
    wr_row *rows; /* [cells] */
    uint64_t row_count;
    uint32_t *candidates, *candidates_next; /* [cells] */
    uint32_t candidate_count;
    wr_handle *orphans; /* [cells] tasks of dead creators that are not done */
    uint32_t orphan_count;
    wr_pair *pairs;
    uint32_t pair_capacity, pair_used, pair_free /* + 1 */;
    uint64_t pair_count;

    wr_keeper_slot *slots;
    uint32_t slot_high, slots_live;
    wr_keeper_port *ports;
    uint32_t port_high, ports_open, ports_failing;
    wr_keeper_ring *rings;
    uint32_t ring_high /* one above the highest ever leased */, rings_open, rings_kept;

    uint16_t *cell_owner;  /* [cell_extents] slot, or wr_extent_owner */
    uint32_t *orphan_live; /* [cell_extents] cells of an orphaned extent that are not free */
    uint32_t cell_high, cells_leased;
    uint16_t *unit_owner; /* [units] */
    uint32_t *unit_refs;  /* [units] cells that refer into an orphaned unit */
    uint64_t units, units_leased, units_orphaned, unit_at;
    bool figures_stale;
    wr_handle no_retry; /* of the next death */
    bool room_freed;    /* cells or units came back since the last refusal */

    wr_keeper_event *events;
    uint32_t event_capacity, event_first, event_count;
};

/* ---- keeper.c ---- */
void wr_keeper_grant(wr_keeper *k, uint32_t slot, wr_event_type type, uint64_t handle);
void wr_keeper_tell(wr_keeper *k, wr_keeper_event_type type, uint32_t slot, uint64_t tag);
/* Memory for the truth is gone: going on would be wrong. */
void wr_keeper_give_up(wr_keeper *k, const char *why);

/* ---- keeper_pass.c ---- */
/* The row of a live cell; NULL: the handle is stale, out of range, or was given back already. */
wr_row *wr_keeper_row(wr_keeper *k, wr_handle handle);
void wr_keeper_candidate(wr_keeper *k, uint32_t index);
void wr_keeper_drain(wr_keeper *k);
bool wr_row_has_slot(const wr_row *row, uint32_t slot);
void wr_row_remove_slot(wr_keeper *k, wr_row *row, uint32_t slot);
/* Adds to (or takes from) the pins of all that a task of a dead creator names. */
void wr_keeper_pin_arguments(wr_keeper *k, wr_cell *cell, bool pin);
/* Queues a READY cell in the raylet's own ring of its port; full: in the raylet's backlog. */
void wr_keeper_requeue(wr_keeper *k, wr_handle handle);
bool wr_row_unheld(const wr_row *row);

/* ---- keeper_room.c: extents of cells and of the heap ---- */
bool wr_keeper_lease_cells(wr_keeper *k, uint32_t slot, bool grant);
bool wr_keeper_lease_heap(wr_keeper *k, uint32_t slot, uint64_t units);
void wr_keeper_take_heap(wr_keeper *k, uint32_t slot, uint64_t first, uint64_t units);
void wr_keeper_orphan_cell_freed(wr_keeper *k, uint32_t index);
/* A block that nobody refers to any more goes to its holder. owner: the slot of the cell's creator, who frees
 * its own. true: it was routed. */
bool wr_keeper_route_block(wr_keeper *k, uint64_t offset, uint32_t creator);
/* The heap of slot s has lost its holder: counts what still refers into it. */
void wr_keeper_orphan_heap(wr_keeper *k, uint32_t slot);
void wr_keeper_figures(wr_keeper *k);
/* A pool under pressure: everybody gives back what is only cached. */
void wr_keeper_trim(wr_keeper *k);

/* ---- keeper_port.c ---- */
uint32_t wr_keeper_ring_number(const wr_keeper *k, uint32_t port, uint32_t slot); /* + 1; 0: none */
void wr_keeper_slot_rings_dead(wr_keeper *k, uint32_t slot);
/* READY tasks in the reservation that a slot has at the port it is assigned to. */
uint32_t wr_keeper_reserved(const wr_keeper *k, uint32_t slot);
void wr_keeper_fail_late_calls(wr_keeper *k);
/* Claims a READY or WAITING cell for the raylet; false: it is something else by now. */
bool wr_keeper_claim(wr_keeper *k, wr_handle handle, bool shared_too);
void wr_keeper_seal_lost(wr_keeper *k, wr_handle handle, wr_lost_reason reason, wr_lost_fn lost, void *arg);

/* Is this cell in an extent that clients or orphans have? (Others were never written.) */
static inline bool wr_keeper_cell_known(const wr_keeper *k, uint32_t index) {
    return index < k->pool->cell_count && k->cell_owner[index >> k->pool->cells_shift] != WR_EXTENT_FREE;
}
static inline uint32_t wr_keeper_creator(const wr_keeper *k, uint32_t index) {
    return k->cell_owner[index >> k->pool->cells_shift];
}

/* Parts of a pass, and of the reaper. */
void wr_keeper_tend_slots(wr_keeper *k); /* keeper.c */
void wr_keeper_tend_ports(wr_keeper *k); /* keeper_port.c */
/* Its creator died before it took a cell back that was on its way home. */
void wr_keeper_homed_again(wr_keeper *k, uint32_t index); /* keeper_pass.c */

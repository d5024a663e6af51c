/* engine/shm/keeper.h: the raylet's side of the pool: slots, extents, shared references, the reaper.
 *
 * One keeper per pool, used by one thread (the raylet's loop). It owns all rows (who holds which shared cell) in
 * private
 * memory: those are the truth. It never waits for a client.
 *
 * Its caller learns what happened through wr_keeper_event records, which wr_keeper_pass and wr_keeper_slot_dead
 * append to a
 * list of the keeper's that wr_keeper_next drains.
 */
#pragma once

#include "shm/proc.h"

WR_BEGIN_DECLS

typedef struct wr_keeper wr_keeper;

WR_MUST_USE wr_status wr_keeper_new(wr_pool *pool /* borrowed */, wr_keeper **out, wr_error *err);
void wr_keeper_free(wr_keeper *keeper);
/* The raylet's own process half (slot 0): for its puts and its claims. Lent. */
wr_proc *wr_keeper_proc(wr_keeper *keeper);

/* ---- Slots ---- */
/* Leases it its first cells and, while half of the heap is free, a unit of heap. Fails: LIMIT (all slots taken). */
WR_MUST_USE wr_status wr_keeper_slot_open(wr_keeper *keeper, int pid, uint32_t *out_slot, uint32_t *out_epoch,
                                          wr_error *err);

/* Makes the error that a task of the dead gets: called for each task that ended without retries left, and for each task whose
 * creator died. Fills *out (inline, or a block of the raylet's heap made through wr_keeper_proc). */
typedef enum wr_lost_reason {
    WR_LOST_WORKER_DIED,
    WR_LOST_OWNER_DIED,
    WR_LOST_ACTOR_DIED,
    WR_LOST_ACTOR_RESTARTING
} wr_lost_reason;
typedef void (*wr_lost_fn)(void *arg, wr_handle handle, uint32_t function, wr_lost_reason reason,
                           uint32_t attempt, wr_result *out);

/* The process of slot s has exited (kernel fact). Drains, repairs, releases all it held; tasks it ran are queued again
 * (attempt + 1, within max_retries) or sealed by lost(). Calls of an actor port that it
 * had begun are READY for the next incarnation if the port is RESTARTING (set that first), within max_retries; else
 * they are sealed. Those
 * it had not begun stay. Every step may run again. O(cells it held), or of all leased cells if it held heap or shared cells. */
void wr_keeper_slot_dead(wr_keeper *keeper, uint32_t slot, wr_lost_fn lost, void *arg);
/* For the next wr_keeper_slot_dead: this task is not queued again though it has retries left, but sealed by lost(). 0: none. */
void wr_keeper_no_retry(wr_keeper *keeper, wr_handle handle);

typedef struct wr_slot_info {
    bool live;
    int pid;
    uint32_t epoch, assignment;
    wr_activity activity;
    uint64_t running;       /* first claim in flight, 0: none */
    uint32_t lanes_running; /* claims in flight */
    uint32_t reserved;      /* READY tasks that it reserved and has not begun: others may steal them */
    uint64_t cells_held, heap_bytes_held; /* extents it holds, in cells and bytes */
    uint64_t holds;                       /* shared cells of others that it holds */
} wr_slot_info;
void wr_keeper_slot_info(const wr_keeper *keeper, uint32_t slot, wr_slot_info *out);
/* Writes the word that wr_proc_assignment reads, and rings the slot's bell. Opaque but for the low 16 bits: the port that
 * wr_proc_take looks at (WR_PORT_NONE: none). */
void wr_keeper_assign(wr_keeper *keeper, uint32_t slot, uint32_t assignment);
void wr_keeper_want_cancel(wr_keeper *keeper, uint32_t slot, wr_handle handle);

/* ---- Ports and rings ---- */
/* actor: one taker, order kept. Numbers are used again: wr_port_info's generation tells one opening from the next.
 * Fails: LIMIT. */
WR_MUST_USE wr_status wr_keeper_port_open(wr_keeper *keeper, bool actor, uint16_t *out, wr_error *err);
/* Idempotent: the ring of that slot at that port. A ring stays with its slot until that is dead, whatever becomes of the
 * port: one ring has one submitter.
 * Fails: LIMIT, INVALID. */
WR_MUST_USE wr_status wr_keeper_ring_open(wr_keeper *keeper, uint16_t port, uint32_t slot, uint32_t *out,
                                          wr_error *err);
/* takers: how many workers are assigned (a hint for batching). With `hungry` (at first, and while more work would get another
 * worker, or is what the raylet waits for) the first submitter that finds no sleeper rings the raylet's bell; wr_keeper_pass
 * arms that again. So: pass, then look at wr_keeper_port_info. Hungry anew and no takers: rings the bell itself, for that
 * look. */
void wr_keeper_port_takers(wr_keeper *keeper, uint16_t port, uint32_t takers, bool hungry);
void wr_keeper_port_state(wr_keeper *keeper, uint16_t port, wr_port_state state, wr_handle cause);
/* Before a new incarnation of an actor takes: heads go back to the oldest call that is not done. */
void wr_keeper_actor_rewind(wr_keeper *keeper, uint16_t port);
/* Seals every call in the port that is not done (also WAITING) by lost(); the port is then DEAD and stays readable. Repeated by
 * wr_keeper_pass for calls that arrive late. */
void wr_keeper_port_fail(wr_keeper *keeper, uint16_t port, wr_handle cause, wr_lost_reason reason,
                         wr_lost_fn lost, void *arg);
void wr_keeper_port_close(wr_keeper *keeper,
                          uint16_t port); /* who still names it by its generation gets an error; what is
                                             queued there is sealed by port_fail's lost(), else as gone */
/* Closes those of `count` open ports, none an actor's and none with a taker, that no task names: neither in a ring nor waiting, nor
 * on its way into either; submits that can open the port anew get NOT_FOUND meanwhile. The closed ones stand first afterwards;
 * returns how many. One look at every cell in use, whatever `count`. */
uint32_t wr_keeper_ports_close_unused(wr_keeper *keeper, uint16_t *ports, uint32_t count);
typedef struct wr_port_info {
    wr_port_state state;
    bool actor;
    uint32_t generation; /* of this opening; 0: closed */
    uint64_t queued;     /* tasks in rings that no taker has reserved */
    uint64_t ready;    /* of the ring heads: how many are READY (0: all that is queued waits for arguments) */
    uint32_t sleepers; /* takers asleep */
} wr_port_info;
void wr_keeper_port_info(const wr_keeper *keeper, uint16_t port, wr_port_info *out);

/* ---- References that the raylet itself has ---- */
void wr_keeper_hold(wr_keeper *keeper,
                    wr_handle handle); /* SHARED by its creator before the raylet was told */
void wr_keeper_drop(wr_keeper *keeper, wr_handle handle);
/* Report (WR_KEEPER_UNHELD, tag) once nobody but the raylet holds the cell (an actor whose last handle is gone). */
WR_MUST_USE wr_status wr_keeper_watch(wr_keeper *keeper, wr_handle handle, uint64_t tag, wr_error *err);
/* Seals READY, WAITING or (by force) RUNNING-by-a-dead cells; false: it runs or is done. */
bool wr_keeper_fail(wr_keeper *keeper, wr_handle handle, const wr_result *error);

/* ---- The pass ---- */
/* Drains all event rings, answers NEED, frees what had no holder for a full pass, sweeps orphans. Returns true while another
 * pass would find work (candidates wait for their second look). O(events + candidates). */
bool wr_keeper_pass(wr_keeper *keeper);

typedef enum wr_keeper_event_type {
    WR_KEEPER_UNHELD,
    WR_KEEPER_BLOCKED,
    WR_KEEPER_STORE_FULL
} wr_keeper_event_type;
typedef struct wr_keeper_event {
    wr_keeper_event_type type;
    uint32_t slot;
    uint64_t tag; /* UNHELD: of the watch; STORE_FULL: bytes asked */
} wr_keeper_event;
bool wr_keeper_next(wr_keeper *keeper, wr_keeper_event *out);

typedef struct wr_keeper_stats {
    /* at rest: rows, candidates, orphans, pairs 0 */
    uint64_t cells_capacity, cells_leased, rows, candidates, orphan_cells, pairs;
    uint64_t heap_capacity, heap_leased, heap_largest_run, heap_orphaned;
    uint32_t slots_live, ports_open, rings_open, rings_kept; /* kept: of closed ports, with their slots */
} wr_keeper_stats;
void wr_keeper_stats_of(const wr_keeper *keeper, wr_keeper_stats *out); /* O(heap units) */
/* Open ports and rings alone. O(1). Rings that are kept do not count: closing ports does not give them back. */
void wr_keeper_taken(const wr_keeper *keeper, uint32_t *out_ports, uint32_t *out_rings);

/* Task events: off until somebody reads. state: 0 submitted, 1 started, 2 finished, 3 failed. */
typedef struct wr_trace_record {
    wr_handle handle;
    uint64_t time_ns;
    uint32_t function;
    uint32_t state;
    uint32_t pid; /* of the process that wrote it: it may have ended, and its slot may be another's now */
} wr_trace_record;
void wr_keeper_trace(wr_keeper *keeper, bool on);
/* Up to `max` records of a slot, live or not, from *cursor on (0 at first; the count goes on over the processes that have the
 * slot one after the other). Those that were overwritten meanwhile are skipped and added to *lost. */
uint32_t wr_keeper_trace_read(const wr_keeper *keeper, uint32_t slot, uint64_t *cursor, uint64_t *lost,
                              wr_trace_record *out, uint32_t max);
uint32_t wr_keeper_slots(const wr_keeper *keeper); /* slots below this one have been in use; >= 1 */

/* Structure checker for tests: every cell is free in exactly one list or accounted for; no row, bit, orphan left. Takes the
 * private halves of all live slots. Returns NULL or a text (static buffer) that says what is wrong. */
const char *wr_keeper_check(const wr_keeper *keeper, wr_proc *const *procs, uint32_t proc_count,
                            bool at_rest);

WR_END_DECLS

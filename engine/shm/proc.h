/* engine/shm/proc.h: what a process does with the pool: put, submit, take, seal, wait, count, allocate.
 *
 * A wr_proc is the private half of a slot: free cells, counts, limbo, heap free lists. All functions marked [books]
 * change it and are called under one lock of the caller's; those marked [look] only look at the pool and may run in any
 * thread at any time. A process may die at any instruction of any function here: the keeper (keeper.h) repairs.
 *
 * Counts: each handle that a function hands out carries one private count; wr_proc_unref gives it back. While a task
 * is not done, it pins its arguments (refs and nested) in its creator's books.
 */
#pragma once

#include "shm/block.h"
#include "shm/pool.h"

WR_BEGIN_DECLS

typedef struct wr_proc wr_proc;

/* slot, epoch: from the keeper (wr_keeper_slot_open), by way of the raylet's welcome. pool: borrowed until detach. */
WR_MUST_USE wr_status wr_proc_attach(wr_pool *pool, uint32_t slot, uint32_t epoch, wr_proc **out,
                                     wr_error *err);
void wr_proc_detach(wr_proc *proc); /* frees private memory, no pool operation; accepts NULL */
void wr_proc_forked(wr_proc *proc); /* in a forked child: every later call is a no-op or STATE */
uint32_t wr_proc_slot(const wr_proc *proc);
uint32_t wr_proc_epoch(const wr_proc *proc);
/* Called at once, once more before the first sleep, and then every 2 ms or sooner while a [books] function waits for
 * room; returns false to give up (a signal, or to wait elsewhere). May be NULL. */
void wr_proc_on_wait(wr_proc *proc, bool (*on_wait)(void *arg), void *arg);
/* The next waits for room are continued ones: this long counts against their patience already. 0: new ones. */
void wr_proc_waited(wr_proc *proc, uint64_t waited_ns);
/* How long a [books] function waits for room before OBJECT_STORE_FULL; 10 s unless set. on_wait's false:
 * INTERRUPTED. */
void wr_proc_patience(wr_proc *proc, uint64_t patience_ns);
/* What a task gets whose port was closed after wr_proc_submit had looked and before the task was queued: an
 * inline result, copied. Unless set: kind 3 (a system error) without bytes. */
void wr_proc_on_gone(wr_proc *proc, const wr_result *result);

/* ---- Objects [books] ---- */

/* FREE -> SEALED. Waits for a cell up to 10 s. With a heap result the block must be this process's own; the refs in its
 * table are contained: each was counted here; the container pins them (CONTAIN events).
 * Fails: OBJECT_STORE_FULL, RAYLET_DIED, STATE. */
WR_MUST_USE wr_status wr_proc_put(wr_proc *proc, const wr_result *result, wr_handle *out, wr_error *err);

/* ---- Tasks [books] ---- */

typedef struct wr_task_spec {
    uint16_t port; /* or WR_PORT_NONE */
    uint32_t ring; /* of this process at that port, from the keeper */
    uint32_t
        generation;    /* of the port, from wr_keeper_port_open: which opening is meant; 0: the present one */
    uint32_t function; /* opaque */
    uint8_t flags;     /* opaque */
    uint8_t max_retries; /* 255: endless */
    uint8_t arg_bytes;   /* inline arguments, when block is 0: at most 48 - 16 * ref_count, ref_count <= 2 */
    const void *args;
    uint64_t
        block; /* offset of this process's own block with stream, nested refs, links (if ref_count > 3 links
                                 are taken from the block, which must have room for ref_count of them); 0: inline */
    const wr_handle *refs; /* waited for and pinned; any number (joins above 62 pending) */
    uint32_t ref_count;
    bool
        reopens; /* generation is set, and the caller can open the port anew: NOT_FOUND instead of a task that ends */
} wr_task_spec;

/* The ring must have been opened (wr_keeper_ring_open); which one it is stands in the port's table, spec->ring
 * is not needed. A ref that is
 * not counted here is borrowed. Refs nested in the arguments are pinned from the block's table: such arguments need
 * a block.
 * FREE -> READY or WAITING, then queued; ring full: kept in a private backlog. The caller's block passes to the task.
 * A port that is closed while this runs (or while the task stands in the backlog) seals the task with wr_proc_on_gone's
 * result, and the task reaches nobody: also not who has the port then.
 * Fails: OBJECT_STORE_FULL, RAYLET_DIED, INVALID (inline too long), ACTOR_DIED (the port is not of that generation any
 * more), NOT_FOUND (instead, with spec->reopens: nothing was submitted, and the block is freed), STATE. */
WR_MUST_USE wr_status wr_proc_submit(wr_proc *proc, const wr_task_spec *spec, wr_handle *out, wr_error *err);
/* Queues what waits in the backlog as far as rings have room; true: something is left. */
bool wr_proc_flush(wr_proc *proc);
/* State of a port as its raylet last wrote it. */
typedef enum wr_port_state { WR_PORT_CLOSED, WR_PORT_OPEN, WR_PORT_RESTARTING, WR_PORT_DEAD } wr_port_state;
wr_port_state wr_proc_port_state(const wr_proc *proc, uint16_t port,
                                 wr_handle *out_cause /* DEAD: an error object */);
/* [look] How often the port was closed, + 1: names one opening of it. Never 0 while it is open. For a moment
 * with WR_PORT_RETIRING: what a call names is what the raylet told, never this. */
uint32_t wr_proc_port_generation(const wr_proc *proc, uint16_t port);

/* Cancels a task made here: READY or WAITING -> claimed by this process -> sealed with `error`, walk included.
 * OK; STATE: runs on *out_slot, *out_epoch; NOT_FOUND: sealed or gone. */
wr_status wr_proc_cancel(wr_proc *proc, wr_handle handle, const wr_result *error, uint32_t *out_slot,
                         uint32_t *out_epoch);

/* A claimed task; fields were copied out of the cell and checked. */
typedef struct wr_claim {
    wr_handle handle;
    uint32_t function, lane, caller_slot;
    uint16_t port;
    uint8_t flags, attempt, max_retries, arg_bytes;
    uint32_t ref_count;
    const wr_block_link *links; /* ref_count of them, when in a block; else NULL: refs below */
    wr_handle refs[3];
    uint64_t block; /* 0: inline */
    uint8_t args[48];
} wr_claim;

/* Takes one task of the port this process is assigned to, on `lane`. false: nothing that can be seen.
 * Batches a reservation (published as an intent) and claims cell by cell; idle takers steal from others' reservations. */
bool wr_proc_take(wr_proc *proc, uint32_t lane, wr_claim *out);
/* Claims a given cell of port WR_PORT_NONE. OK; AGAIN: WAITING; STATE: sealed already (*out filled all the
 * same); NOT_FOUND. */
wr_status wr_proc_claim(wr_proc *proc, uint32_t lane, wr_handle handle, wr_claim *out);
/* RUNNING -> SEALED by its claimer: wakes, walks. A heap result's block is this process's own: the cell is marked SHARED and
 * the raylet routes the block back. false: it was taken away; the result's block is freed again. */
bool wr_proc_seal(wr_proc *proc, const wr_claim *claim, const wr_result *result);
/* Announces, before the seal and while the value lives, that the result about to be sealed names refs. */
void wr_proc_contain(wr_proc *proc, wr_handle container, const wr_handle *refs, uint32_t count);
/* RUNNING -> READY, attempt + 1, queued again through `ring` (own ring at that port). false: taken away. */
bool wr_proc_give_back(wr_proc *proc, const wr_claim *claim, uint32_t ring);
/* RUNNING -> READY again, same attempt, at the head of this process's view: runs next here (actor retries in place). */
bool wr_proc_retry_in_place(wr_proc *proc,
                            wr_claim *claim); /* attempt + 1, stays claimed; false: taken away */

/* ---- Streams: a generator's items are cells of the consumer's, prepared as credits ----
 * The generator's argument block has a credit ring (block.h). The consumer prepares cells (READY at WR_PORT_NONE),
 * writes
 * their handles, raises `tail`, rings `bell`. The producer claims and seals them in order: an item is a result. A
 * credit
 * that is taken back is sealed as an error by its consumer; then the producer finds it SEALED and stops. */
/* [books] Consumer: prepares credits until `tail` = upto, or as far as the items a window before are sealed (a place of
 * the ring is written again then, whether its item was read or not: that limit is upto). Hands out their handles (counted)
 * into out[], which has room for upto - tail. */
WR_MUST_USE wr_status wr_proc_credit(wr_proc *proc, wr_handle generator, uint64_t upto, wr_handle *out,
                                     uint32_t *out_count, wr_error *err);
/* [books] Producer: claims credit `index` of the generator it runs, on `lane`. OK; AGAIN: no credit yet; STATE: that item is
 * sealed already (a replay: skip it); CANCELLED: the consumer took it back or is dead. */
wr_status wr_proc_credit_claim(wr_proc *proc, const wr_claim *generator, uint32_t lane, uint64_t index,
                               wr_claim *out);
/* [look] Waits until `tail` > index, at most timeout_ns (and 100 ms). */
void wr_proc_credit_wait(wr_proc *proc, const wr_claim *generator, uint64_t index, uint64_t timeout_ns);

/* ---- Waiting [look] ---- */

/* OK, TIMEOUT, INTERRUPTED (100 ms or a signal), RAYLET_DIED (poisoned). Spins first unless this process has just woken
 * another, or all it waits for sit on its own core (then it moves away, if it may). spin_ns 0: no spin. */
wr_status wr_proc_wait(wr_proc *proc, wr_handle handle, uint64_t timeout_ns, uint64_t spin_ns);
wr_status wr_proc_wait_many(wr_proc *proc, const wr_handle *handles, uint32_t count, uint32_t enough,
                            uint64_t timeout_ns, uint64_t spin_ns, uint32_t *out_ready);
bool wr_proc_spin(wr_proc *proc, wr_handle handle, uint64_t spin_ns);
/* A taker with nothing to do: looks, sets its sleeper bit, looks again, sleeps at most 100 ms on its bell, or 1 s when
 * it has had nothing to do for 2 s. */
void wr_proc_idle(wr_proc *proc, uint64_t spin_ns);
void wr_proc_quiet_after(wr_proc *proc, uint64_t after_ns); /* other than 2 s */

/* ---- References [books] ---- */
void wr_proc_ref(wr_proc *proc, wr_handle handle);
void wr_proc_unref(wr_proc *proc, wr_handle handle);
void wr_proc_borrow(wr_proc *proc, wr_handle handle);        /* first count of a foreign cell: SHARED, HOLD */
bool wr_proc_counts(const wr_proc *proc, wr_handle handle);  /* this process has a count on it */
bool wr_proc_is_mine(const wr_proc *proc, wr_handle handle); /* made here */
/* Ends the pins that a sealed task of this process has on its arguments now, and not with the last count of
 * its result. O(args). */
void wr_proc_settle(wr_proc *proc, wr_handle handle);
/* SHARED by hand, while counted: the raylet has been or will be told to hold it. */
void wr_proc_share(wr_proc *proc, wr_handle handle);
/* Takes in what the raylet sent: extents, freed cells and blocks; looks at limbo. Called by the other
 * functions now and then. */
void wr_proc_poll(wr_proc *proc);

/* ---- Slot words [books] ---- */
typedef enum wr_activity { WR_IDLE, WR_RUNNING, WR_BLOCKED } wr_activity;
void wr_proc_activity(wr_proc *proc,
                      wr_activity activity);      /* BLOCKED hands on what is reserved, rings if work waits */
uint32_t wr_proc_assignment(const wr_proc *proc); /* [look] the word that wr_keeper_assign wrote */
wr_handle wr_proc_cancel_wanted(const wr_proc *proc); /* [look] the word that wr_keeper_want_cancel wrote */

typedef struct wr_proc_counters {
    uint64_t submitted, executed, calls_submitted, calls_executed, put, put_bytes, sealed, sealed_bytes,
        steals, sleeps, wakes;
} wr_proc_counters;
/* Of any slot (they lie in the slot, written by its process): for status, and for a process itself. [look] */
void wr_pool_counters(const wr_pool *pool, uint32_t slot, wr_proc_counters *out);

/* ---- Heap [books]: extents leased by the raylet, sub-allocated here ---- */
/* A block of at least `bytes` (multiple of 64, wr_block_size): *out is its offset. Fills in nothing. Waits for extents up to
 * 10 s. Fails: OBJECT_STORE_FULL (text: asked by whom, how long it waited, largest free run, used,
 * capacity; hint: what to do), RAYLET_DIED, STATE. */
WR_MUST_USE wr_status wr_proc_heap_alloc(wr_proc *proc, uint64_t bytes, uint64_t *out, wr_error *err);
void wr_proc_heap_free(wr_proc *proc, uint64_t offset); /* own block that no cell ever named */

WR_END_DECLS

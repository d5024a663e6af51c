/* engine/shm/layout.h: where everything lies in the mapping, and the words of which it is made. Internal.
 *
 *   header               magic, version, geometry, offsets, poison, bells       raylet; bells: any waker
 *   cell extent table    u32 per extent: slot + 1 of its holder, 0 none         raylet
 *   slots                stride slot_stride: wr_slot, then its three rings      see wr_slot
 *   ports                wr_port                                                raylet; bitmaps: anyone
 *   rings                stride ring_stride: wr_ring, then handles              submitter; head: takers
 *   cells                128 bytes each                                         as the words below say
 *   heap                 units of heap_unit bytes                               holder of the unit
 *
 * All parts but the heap are "control pages". Each part begins at a multiple of 4096.
 *
 * Control word of a cell (u64): state 0-3, flags 4-7, slot 8-19 and epoch 20-31 of who runs or sealed it, generation
 * 32-63. Its low half is the futex.
 * Waiting link (u64), in `deps` and in a link's `next`: WALKED 0 (deps only), bit of `pending` 1-6, argument
 * 7-30, cell 31-62, valid 63. `deps` names the newest link; the list is never detached, so that a walk may run
 * again.
 */
#pragma once

#include "shm/block.h"
#include "shm/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WR_POOL_MAGIC 0x4c4f4f5059415257ull /* "WRAYPOOL" */

enum {
    WR_PAGE = 4096,
    WR_SLOT_MAX = 1024,
    WR_SLOT_WORDS = WR_SLOT_MAX / 64,
    WR_BELL_MAX = 128, /* FUTEX_WAITV_MAX */
    WR_CELL_LINKS = 3,
    WR_CELL_ARG_BYTES = 48,
    WR_INLINE_MAX = 32,
    WR_LINKS_IN_BLOCK = 255, /* value of nargs */
    WR_PENDING_MAX = 62,     /* bits of `pending` for arguments; one more is the guard */
    WR_RESERVE_MAX = 16,
    WR_LANE_OWN = WR_LANE_MAX, /* the intent of a creator that claims its own task, to seal it */
    WR_ATTEMPTS_ENDLESS = 255,
    WR_SLEEP_MAX_NS = 100000000,
    WR_SLEEP_QUIET_NS = 1000000000, /* of a taker that has had nothing to do for WR_QUIET_AFTER_NS */
    WR_TRACE_KIND_ERROR = 2,
    WR_TRACE_KIND_SYSTEM_ERROR = 3, /* wr_kind of whipray.h: what the trace calls failed */
    WR_WITHDRAWN =
        0x80, /* in result_kind: sealed by its creator or for its dead creator, not by who ran it */
};

#define WR_QUIET_AFTER_NS 2000000000ull

/* ---- Atomics: the orders that the protocol names ---- */

typedef _Atomic uint64_t wr_a64;
typedef _Atomic uint32_t wr_a32;

#define WR_LOAD(p) atomic_load_explicit((p), memory_order_acquire)
#define WR_LOAD_RELAXED(p) atomic_load_explicit((p), memory_order_relaxed)
#define WR_LOAD_SEQ(p) atomic_load_explicit((p), memory_order_seq_cst)
#define WR_STORE(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define WR_STORE_RELAXED(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define WR_STORE_SEQ(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)
#define WR_CAS(p, expected, v)                                                                               \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel, memory_order_acquire)
/* For the control words that stand in a pair of the README (ctl to READY or SEALED before a look at sleepers).
 */
#define WR_CAS_SEQ(p, expected, v)                                                                           \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_seq_cst, memory_order_seq_cst)
/* Program order is all that the reaper of a dead writer needs: by then every executed store is visible. */
#define WR_INTENT_BARRIER() atomic_signal_fence(memory_order_seq_cst)

/* ---- Handles and control words ---- */

enum {
    WR_FLAG_WAIT1 = 1 << 4,
    WR_FLAG_WAITN = 1 << 5,
    WR_FLAG_DEPS = 1 << 6,
    WR_FLAG_SHARED = 1 << 7,
    WR_FLAG_ALL = 0xf0
};
#define WR_WALKED 1ull

static inline uint32_t wr_index_of(wr_handle handle) {
    return (uint32_t)handle;
}
static inline uint32_t wr_generation_of(uint64_t word) {
    return (uint32_t)(word >> 32);
}
static inline wr_cell_state wr_state_of(uint64_t word) {
    return (wr_cell_state)(word & 15);
}
static inline uint64_t wr_word(uint32_t generation, uint32_t low) {
    return (uint64_t)generation << 32 | low;
}
static inline wr_handle wr_handle_make(uint32_t generation, uint32_t index) {
    return (uint64_t)generation << 32 | index;
}
/* The claimer's mark in a control word. */
static inline uint32_t wr_who(uint32_t slot, uint32_t epoch) {
    return slot << 8 | (epoch & 0xfff) << 20;
}
static inline uint32_t wr_who_in(uint64_t word) {
    return (uint32_t)word & 0xffffff00u;
}
/* Generation 0 is never used, so no handle is 0. */
static inline uint32_t wr_generation_next(uint32_t generation) {
    return generation + 1 == 0 ? 1 : generation + 1;
}

/* ---- Cells ---- */

typedef struct wr_cell {
    wr_a64 ctl;           /*   0 */
    wr_a64 deps;          /*   8 */
    uint8_t result_bytes; /* 16  inline result; all of 16-23 but attempt, nargs, max_retries, port_kind:
                             claimer */
    uint8_t result_kind;  /* low 7 bits; WR_WITHDRAWN */
    uint8_t location;     /*     wr_location */
    uint8_t attempt;      /*     raylet, or the claimer that gives back */
    uint8_t nargs;        /*     links in this cell, or WR_LINKS_IN_BLOCK */
    uint8_t max_retries;
    uint16_t port_generation; /* 22  low half of its port's generation; immutable once published */
    uint64_t block;           /*  24  arguments' block, 0 none; immutable once published */
    union {                   /*  32 */
        uint8_t inline_bytes[WR_INLINE_MAX];
        uint64_t place;  /* offset | wr_location */
        uint64_t joined; /* of a JOIN cell: the task it belongs to */
    };
    uint32_t function; /*  64  from here on immutable once published, but for pending and the links' next */
    uint16_t port;
    uint8_t arg_bytes;
    uint8_t flags;
    wr_a64 pending; /*  72 */
    union {         /*  80 */
        wr_block_link links[WR_CELL_LINKS];
        uint8_t args[WR_CELL_ARG_BYTES];
    };
} wr_cell;
_Static_assert(sizeof(wr_cell) == 128, "two cache lines");
_Static_assert(offsetof(wr_cell, port_generation) == 22 && offsetof(wr_cell, block) == 24 &&
                   offsetof(wr_cell, inline_bytes) == 32,
               "line 0");
_Static_assert(offsetof(wr_cell, function) == 64 && offsetof(wr_cell, links) == 80, "line 1");

/* ---- Waiting links ---- */

enum { WR_LINK_ARG_MAX = (1 << 24) - 1 };

static inline uint64_t wr_link_code(uint32_t cell, uint32_t arg, uint32_t bit) {
    return 1ull << 63 | (uint64_t)cell << 31 | (uint64_t)arg << 7 | (uint64_t)bit << 1;
}
static inline uint32_t wr_link_cell(uint64_t code) {
    return (uint32_t)(code >> 31);
}
static inline uint32_t wr_link_arg(uint64_t code) {
    return (uint32_t)(code >> 7) & WR_LINK_ARG_MAX;
}
static inline uint32_t wr_link_bit(uint64_t code) {
    return (uint32_t)(code >> 1) & 63;
}

/* ---- Rings ---- */

typedef struct wr_ring {
    _Alignas(64) wr_a64 tail; /* its submitter */
    wr_a32 port, slot;        /* raylet: where it is leased to */
    _Alignas(64) wr_a64 head; /* takers, by CAS */
    _Alignas(64) wr_a64 at[]; /* handles; index & (capacity - 1) */
} wr_ring;
_Static_assert(offsetof(wr_ring, head) == 64 && offsetof(wr_ring, at) == 128, "a line for each writer");

/* A set of slots, with a summary word: bit w is set if words[w] may be non-zero. */
typedef struct wr_slot_set {
    _Alignas(64) wr_a64 summary;
    wr_a64 words[WR_SLOT_WORDS];
} wr_slot_set;

typedef struct wr_port {
    _Alignas(64) wr_a32 state; /* this line: raylet. wr_port_state */
    wr_a32 actor;              /* one taker, order kept */
    wr_a32 takers, hungry;
    wr_a64 cause;
    wr_a32 generation;    /* raised when the port is closed; never 0 while it is open; WR_PORT_RETIRING */
    wr_slot_set nonempty; /* submitters whose ring may have something */
    wr_slot_set sleepers; /* takers asleep */
    _Alignas(64) wr_a32 ring_of[WR_SLOT_MAX]; /* raylet: ring + 1 of each slot */
} wr_port;
_Static_assert(sizeof(wr_port) == 64 + 2 * 192 + 4096, "port");

/* Beside the generation while the raylet looks whether a class's port may be closed (README, invariant 16): submits that can open
 * the class anew see another opening; who looks at the low half sees none. */
#define WR_PORT_RETIRING 0x80000000u

/* A task of this port_generation was meant for an earlier opening of the port (README, invariant 14). seq_cst:
 * README, pair 6. */
static inline bool wr_port_passed_on(const wr_port *port, uint16_t port_generation) {
    return port_generation != (uint16_t)WR_LOAD_SEQ(&port->generation);
}

/* ---- Slots ---- */

typedef struct wr_event {
    uint64_t handle;
    uint64_t type;
} wr_event;

typedef enum wr_event_type {
    WR_EVENT_NONE,
    WR_EVENT_HOLD,
    WR_EVENT_DROP,
    WR_EVENT_CONTAIN, /* and the next record's handle: what it names */
    WR_EVENT_NEED_CELLS,
    WR_EVENT_NEED_HEAP, /* handle: units */
    WR_EVENT_GIVE_HEAP, /* handle: first unit << 32 | units */
    WR_EVENT_QUEUE,     /* a READY task for which its process has no ring, or a full one */
    WR_EVENT_NEED_RING, /* handle: port */
    WR_GRANT_CELLS,     /* handle: extent */
    WR_GRANT_FREED,     /* a cell of this process that nobody holds any more */
    WR_GRANT_HEAP,      /* handle: first unit << 32 | units; 0: none to be had, see the header's figures */
    WR_GRANT_BLOCK,     /* offset of a block in a heap of this process that nobody holds any more */
    WR_GRANT_TRIM,      /* give back what is only cached */
    WR_GRANT_NO_CELLS,
} wr_event_type;

typedef struct wr_slot {
    _Alignas(64) wr_a32 state; /*   0  raylet: 0 free, 1 live, 2 dead */
    wr_a32 epoch, pid, assignment;
    wr_a64 cancel_wanted;
    _Alignas(64) wr_a32 bell; /*  64  any waker */
    _Alignas(
        64) wr_a64 reserved; /* 128  its process, up to the counters: the reservation it is about to make */
    wr_a32 activity, cpu;    /*      cpu + 1 where it last waited, 0 unknown */
    wr_a32 credit_waiters;   /*      threads that sleep for a credit */
    _Alignas(64) wr_a64 counters[16]; /* 192  order of wr_proc_counters */
    _Alignas(64) wr_a64 event_tail;   /* 320  process */
    _Alignas(64) wr_a64 event_head;   /* 384  raylet */
    _Alignas(64) wr_a64 grant_tail;   /* 448  raylet */
    _Alignas(64) wr_a64 grant_head;   /* 512  process */
    _Alignas(64) wr_a64 trace_tail;   /* 576  process */
    _Alignas(
        64) wr_a64 current[WR_LANE_MAX + 1]; /* 640  process: what each lane is about to claim, or runs */
} wr_slot;
_Static_assert(offsetof(wr_slot, reserved) == 128 && offsetof(wr_slot, event_tail) == 320,
               "a line for each writer");
_Static_assert(offsetof(wr_slot, current) == 640, "slot");

enum { WR_SLOT_FREE, WR_SLOT_LIVE, WR_SLOT_DEAD };

/* Reservation: count 0-5, ring 6-25, start (its low 38 bits) 26-63. 0: none. */
enum { WR_RESERVE_START_BITS = 38, WR_RING_MAX = 1 << 20 };
static inline uint64_t wr_reserve_word(uint32_t ring, uint32_t count, uint64_t start) {
    return start << 26 | (uint64_t)ring << 6 | count;
}

/* ---- Header ---- */

enum { WR_ALERT_POISON = 1, WR_ALERT_TRACE = 2 };

typedef struct wr_pool_header {
    uint64_t magic; /* written last */
    uint32_t version, header_bytes;
    wr_pool_geometry geometry;
    uint64_t extents_at, slots_at, ports_at, rings_at, cells_at, heap_at, total_bytes;
    uint64_t slot_stride, ring_stride;
    char reason[WR_REASON_MAX];
    _Alignas(64) wr_a32 alert;                     /* read by every operation, written hardly ever */
    wr_a32 slot_high;                              /* raylet: one above the highest slot ever opened */
    _Alignas(64) wr_a32 bell;                      /* the raylet's */
    _Alignas(64) wr_a64 heap_leased, heap_largest; /* raylet: figures for the text of a full store */
    _Alignas(64) wr_a32 bells[WR_BELL_MAX][16];    /* a line each; the first `bells` are used */
} wr_pool_header;
_Static_assert(sizeof(wr_pool_header) <= 4 * WR_PAGE, "header");

/* ---- A mapped pool ---- */

struct wr_pool {
    wr_pool_header *header;
    wr_pool_geometry geometry; /* read once, checked */
    uint8_t *slots, *rings;
    wr_port *ports;
    wr_a32 *extents;
    wr_cell *cells;
    uint32_t cell_count, cells_shift; /* cells per extent = 1 << cells_shift */
    uint64_t slot_stride, ring_stride, ring_mask;
    uint64_t events_at, grants_at, trace_at; /* inside a slot */
    const uint8_t *heap_read;
    uint8_t *heap_write;
    uint64_t heap_bytes;
    uint8_t *control;
    uint64_t control_bytes, heap_at;
    int fd;
    bool forked;
};

static inline wr_cell *wr_cell_at(const wr_pool *pool, wr_handle handle) {
    return WR_LIKELY(wr_index_of(handle) < pool->cell_count) ? &pool->cells[wr_index_of(handle)] : NULL;
}
/* Who looks at a cell that it has not claimed may meet the next task's fields: these four are read and written as
 * atomics, and what was read counts only if the control word then says so. */
static inline uint16_t wr_cell_port(const wr_cell *cell) {
    return __atomic_load_n(&cell->port, __ATOMIC_RELAXED);
}
static inline uint32_t wr_cell_function(const wr_cell *cell) {
    return __atomic_load_n(&cell->function, __ATOMIC_RELAXED);
}
static inline uint16_t wr_cell_port_generation(const wr_cell *cell) {
    return __atomic_load_n(&cell->port_generation, __ATOMIC_RELAXED);
}
static inline void wr_cell_port_generation_set(wr_cell *cell, uint16_t generation) {
    __atomic_store_n(&cell->port_generation, generation, __ATOMIC_RELAXED);
}
static inline bool wr_cell_withdrawn(const wr_cell *cell) {
    return (__atomic_load_n(&cell->result_kind, __ATOMIC_RELAXED) & WR_WITHDRAWN) != 0;
}
static inline void wr_cell_kind_set(wr_cell *cell, uint8_t kind, bool withdrawn) {
    __atomic_store_n(&cell->result_kind, (uint8_t)(kind | (withdrawn ? WR_WITHDRAWN : 0)), __ATOMIC_RELAXED);
}
static inline wr_slot *wr_slot_at(const wr_pool *pool, uint32_t slot) {
    return (wr_slot *)(void *)(pool->slots + slot * pool->slot_stride);
}
static inline wr_event *wr_slot_events(const wr_pool *pool, uint32_t slot) {
    return (wr_event *)(void *)(pool->slots + slot * pool->slot_stride + pool->events_at);
}
static inline wr_event *wr_slot_grants(const wr_pool *pool, uint32_t slot) {
    return (wr_event *)(void *)(pool->slots + slot * pool->slot_stride + pool->grants_at);
}
static inline wr_ring *wr_ring_at(const wr_pool *pool, uint32_t ring) {
    return (wr_ring *)(void *)(pool->rings + ring * pool->ring_stride);
}
static inline uint32_t wr_alert(const wr_pool *pool) {
    return WR_LOAD_RELAXED(&pool->header->alert);
}
/* An entry of a ring is done with: sealed, freed, or its cell is another's by now. */
static inline bool wr_entry_done(const wr_pool *pool, wr_handle handle) {
    const wr_cell *cell = wr_cell_at(pool, handle);
    if (cell == NULL) {
        return true;
    }
    uint64_t word = WR_LOAD(&cell->ctl);
    return wr_generation_of(word) != wr_generation_of(handle) || wr_state_of(word) == WR_CELL_SEALED ||
           wr_state_of(word) == WR_CELL_FREE;
}

/* ---- Futexes and time ---- */

static inline void wr_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}
static inline void wr_futex_wake_all(const void *word) {
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
/* Sleeps while *word == seen, at most timeout_ns; 0 or an errno. */
int wr_futex_wait(const void *word, uint32_t seen, uint64_t timeout_ns);
static inline const void *wr_cell_futex(const wr_cell *cell) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return &cell->ctl;
#else
    return (const uint8_t *)&cell->ctl + 4;
#endif
}
static inline void wr_bell_ring(wr_a32 *bell) {
    atomic_fetch_add_explicit(bell, 1, memory_order_seq_cst);
    wr_futex_wake_all(bell);
}

/* ---- Slot sets ---- */

static inline bool wr_slot_set_has(wr_slot_set *set, uint32_t slot) {
    return WR_LOAD_SEQ(&set->words[slot / 64]) >> (slot % 64) & 1;
}
static inline void wr_slot_set_add(wr_slot_set *set, uint32_t slot) {
    atomic_fetch_or_explicit(&set->words[slot / 64], 1ull << (slot % 64), memory_order_seq_cst);
    if ((WR_LOAD_SEQ(&set->summary) >> (slot / 64) & 1) == 0) {
        atomic_fetch_or_explicit(&set->summary, 1ull << (slot / 64), memory_order_seq_cst);
    }
}
/* true: the bit was set, and this caller took it away. out_hid may be NULL; true: for a moment the summary did not show
 * a bit that stands, so whoever looked then saw an empty set. */
bool wr_slot_set_remove(wr_slot_set *set, uint32_t slot, bool *out_hid);
/* Makes the summary agree with the words again, after a death between the two. */
void wr_slot_set_repair(wr_slot_set *set);

/* Zeroed private memory of which only touched pages cost anything; NULL when there is none. */
void *wr_pages_new(size_t bytes);
void wr_pages_free(void *memory, size_t bytes);

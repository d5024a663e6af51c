/* engine/shm/pool.h: the node's shared mapping: creating it, opening it, and what is inside.
 *
 * One sparse memfd per node, sealed against shrinking, made by the raylet and handed to processes of the same user. It
 * holds the control pages (header, slots, ports, rings, cells) and the heap. Two mappings in a client: the control
 * pages (read-write, not inherited by fork), and the heap twice: read-only (inherited: a forked child may read the
 * arrays that its parent holds) and read-write (not inherited; the holder of an extent fills it through this one).
 * The layout is in layout.h and is nobody's business but engine/shm's.
 *
 * Rules (see README.md): one control word per cell is the only truth; everything else is a hint; what is read from the
 * pool is read once, checked, then used.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

typedef uint64_t wr_handle; /* generation (32) ‖ cell index (32); never 0 */
typedef struct wr_pool wr_pool;

enum {
    WR_REASON_MAX = 512, /* bytes of the text that says why a pool was poisoned, with its zero */
    WR_LAYOUT_VERSION = 2,
    WR_LANE_MAX = 1024,    /* claims in flight of one process */
    WR_PORT_NONE = 0xffff, /* a task that is queued nowhere: claimed by its handle (constructors) */
    WR_PORT_JOIN = 0xfffe, /* internal: more than 62 pending arguments are joined by cells of this port */
    WR_SLOT_RAYLET = 0,
};

/* Powers of two where said; all > 0. Zero in a field of wr_pool_opts means its default (in parentheses). */
typedef struct wr_pool_geometry {
    uint32_t slots;            /* (1024) processes, slot 0 is the raylet */
    uint32_t ports;            /* (4096) classes and actors */
    uint32_t rings;            /* (8192) */
    uint32_t ring_capacity;    /* (131072) power of two; entries */
    uint32_t cells_per_extent; /* (512) power of two */
    uint32_t cell_extents;     /* (16384): 8 M cells, 1 GiB virtual, sparse */
    uint32_t event_capacity;   /* (16384) power of two; per slot */
    uint32_t grant_capacity;   /* (16384) power of two; per slot */
    uint32_t trace_capacity;   /* (1024) power of two; task events per slot */
    uint32_t bells;            /* (64) power of two; for waits on many */
    uint64_t heap_unit;        /* (1 MiB) power of two >= 4096; heap extents are runs of units */
    uint64_t heap_bytes;       /* (30 % of usable memory) multiple of heap_unit */
} wr_pool_geometry;

/* Creates the pool (raylet). Fails: INVALID (geometry), NO_MEMORY, IO, LIMIT (descriptors). */
WR_MUST_USE wr_status wr_pool_create(const wr_pool_geometry *geometry, wr_pool **out, wr_error *err);
/* Maps a pool received from the raylet; takes over fd, also on failure. Fails: VERSION (the text has both numbers),
 * CORRUPT (magic, sizes), NO_MEMORY. */
WR_MUST_USE wr_status wr_pool_open(int fd, wr_pool **out, wr_error *err);
void wr_pool_close(wr_pool *pool);   /* unmaps; accepts NULL */
int wr_pool_fd(const wr_pool *pool); /* lent */
const wr_pool_geometry *wr_pool_geometry_of(const wr_pool *pool);

/* Stops all that use the pool: every wait returns, every take refuses. reason: a text for wr_pool_reason, cut to
 * WR_REASON_MAX; only the first one counts. For the raylet's thread, also in a signal's handler. */
void wr_pool_poison(wr_pool *pool, const char *reason);
bool wr_pool_poisoned(const wr_pool *pool);
/* Why it was poisoned; "" if it was not, or nobody said (its raylet was killed). What is not text becomes '?'. */
void wr_pool_reason(const wr_pool *pool, char out[WR_REASON_MAX]);

/* The raylet's bell: rung by clients for what cannot wait. wait returns at once if the bell rang since `seen` was read,
 * else sleeps at most timeout_ns. For the raylet's bell thread. */
uint32_t wr_pool_bell_read(const wr_pool *pool);
void wr_pool_bell_wait(wr_pool *pool, uint32_t seen, uint64_t timeout_ns);
void wr_pool_bell_ring(wr_pool *pool);

/* Heap bytes by offset: NULL if [offset, offset + bytes) is not inside the heap. */
const uint8_t *wr_pool_heap_read(const wr_pool *pool, uint64_t offset, uint64_t bytes);
uint8_t *wr_pool_heap_write(const wr_pool *pool, uint64_t offset, uint64_t bytes);

/* ---- Cells, as anybody may look at them ---- */

typedef enum wr_cell_state {
    WR_CELL_FREE,
    WR_CELL_WAITING,
    WR_CELL_READY,
    WR_CELL_RUNNING,
    WR_CELL_SEALED
} wr_cell_state;

/* Where a sealed object's bytes are; tag in the low 3 bits of the location word. */
typedef enum wr_location {
    WR_AT_INLINE = 0, /* in the cell, at most 32 bytes */
    WR_AT_HEAP = 1,   /* offset of a block (block.h) */
    WR_AT_SPILLED = 2,
    WR_AT_DEVICE = 3,
    WR_AT_REMOTE = 4, /* not built: readers refuse by name */
} wr_location;

/* What stands in a sealed cell. kind: wr_kind of whipray.h, opaque here. */
typedef struct wr_result {
    uint8_t kind;
    uint8_t location; /* wr_location */
    uint32_t bytes;   /* inline: 0..32; else 0 (the block knows) */
    uint64_t offset;  /* heap: offset of the block */
    uint8_t inline_bytes[32];
} wr_result;

/* State of the cell if its generation is the handle's, else WR_CELL_FREE. One acquire load and checks; any thread. */
wr_cell_state wr_cell_state_of(const wr_pool *pool, wr_handle handle);
/* Copies the result of a sealed cell. Fails: STATE (not sealed), NOT_FOUND (stale or out of range). */
wr_status wr_cell_result(const wr_pool *pool, wr_handle handle, wr_result *out);
/* Who runs it (RUNNING), else false. */
bool wr_cell_runner(const wr_pool *pool, wr_handle handle, uint32_t *out_slot, uint32_t *out_epoch);
/* What is known of a task or a call from its cell; false: stale or out of range. function and port of an object that no task
 * makes mean nothing. */
typedef struct wr_cell_call {
    wr_cell_state state;
    uint32_t function, slot; /* slot: who runs it (RUNNING) */
    uint16_t port;
} wr_cell_call;
bool wr_cell_look(const wr_pool *pool, wr_handle handle, wr_cell_call *out);
/* It is a call of an actor, and not done. */
bool wr_cell_is_actor_call(const wr_pool *pool, wr_handle handle);

WR_END_DECLS

/* engine/store/value.h: values <-> cells and blocks of the pool.
 *
 * A value (whipray.h: stream, refs, buffers) is stored inline in its cell when it is at most 32 bytes of
 * stream alone, else as one heap block (shm/block.h), written in a single pass. Several returns of one task
 * share one block: its stream begins with a table, and its buffer and ref tables are those of all items, one
 * after the other:
 *
 *   offset 0  u32 item_count, u32 reserved (0)
 *          8  items[item_count], 32 bytes each
 *             the items' streams
 *
 *   item   0  u64 offset of its stream from the start of the block's stream    8  u64 its bytes
 *         16  u32 first buffer    20  u32 buffers    24  u32 first ref    28  u32 refs
 *
 * S1. A block is complete before its offset leaves this module.
 *
 * S2. What is read from the pool is read once, checked, then used: a hostile block gives CORRUPT or false,
 * never a read outside of the block's bounds as they were checked against the heap.
 *
 * S3. A result whose location is spilled, device or remote is refused by that name.
 *
 * Threads: functions that take a wr_proc are [books] (proc.h), the others only look. Costs: an inline value
 * 5 ns, a block 30 ns and its memcpy.
 */
#pragma once

#include "shm/block.h"
#include "shm/pool.h"
#include "shm/proc.h"
#include "whipray/whipray.h"

WR_BEGIN_DECLS

enum {
    WR_STORE_INLINE_MAX = 32,      /* bytes of a result in its cell */
    WR_STORE_ARGS_INLINE_MAX = 48, /* bytes of arguments in their cell, less 16 for each reference argument */
    WR_STORE_ITEM_HEAD_BYTES = 8,
    WR_STORE_ITEM_BYTES = 32,
};

/* Stores `count` values (1: as `kind`; else together, as WR_KIND_VALUES, with `kind` WR_KIND_VALUE only). The
 * result is not in a cell yet: it goes to wr_proc_put or wr_proc_seal, which take its block over, or to
 * wr_store_discard. Fails: INVALID (kind; a part of a value whose pointer is NULL; sizes that overflow),
 * OBJECT_STORE_FULL, RAYLET_DIED, STATE. */
WR_MUST_USE wr_status wr_store_values(wr_pool *pool, wr_proc *proc, wr_kind kind, const wr_value *values,
                                      uint32_t count, wr_result *out, wr_error *err);
/* Frees the block of a result that no cell ever named. */
void wr_store_discard(wr_proc *proc, const wr_result *result);

/* Arguments of a task as a block with room for `link_count` links and a ring of `stream_window` credits, both
 * zeroed. The block passes to wr_proc_submit, or back by wr_proc_heap_free. Fails: as wr_store_values. */
WR_MUST_USE wr_status wr_store_args(wr_pool *pool, wr_proc *proc, const wr_value *args, uint32_t link_count,
                                    uint64_t stream_window, uint64_t *out_block, wr_error *err);

/* The view of a result as wr_cell_result copied it. out must stay where it is: an inline view points into
 * itself. Fails: CORRUPT, UNSUPPORTED (names the location). */
WR_MUST_USE wr_status wr_store_view(const wr_pool *pool, const wr_result *result, wr_view *out,
                                    wr_error *err);
/* The view of a task's arguments in a block. Fails: CORRUPT. */
WR_MUST_USE wr_status wr_store_view_block(const wr_pool *pool, uint64_t block, wr_view *out, wr_error *err);
/* The view of `bytes` inline bytes (at most 48; more is cut), which are copied. */
void wr_store_view_inline(wr_kind kind, const void *bytes, uint32_t count, wr_view *out);

WR_END_DECLS

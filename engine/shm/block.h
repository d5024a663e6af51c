/* engine/shm/block.h: how a value or a task's arguments lie in the heap: one format for both.
 *
 *   offset  0  u64 bytes          of the whole block, header included
 *           8  u32 magic          WR_BLOCK_MAGIC
 *          12  u32 link_count     reference arguments beyond the cell's own 3 (all of them, if there are more than 3)
 *          16  u32 ref_count      nested refs
 *          20  u32 buffer_count
 *          24  u64 stream_bytes
 *          32  u64 stream_window  of a generator's arguments: credits follow the links (see stream in proc.h); else 0
 *          40  u64 reserved, 0
 *          48  links  {u64 ref, u64 next}[link_count]
 *              refs   u64[ref_count]
 *              buffers {u64 offset from the block's start, u64 bytes}[buffer_count]
 *              credits {u64 tail, u64 bell, u64 handle[stream_window]}, only with stream_window
 *              stream
 *              buffers' bytes, each at a multiple of 64
 *
 * A block starts at a multiple of 64. Its writer is its only writer (but `next` of links, written by linkers, and credits, by the
 * stream's consumer); it never changes once its cell is published.
 */
#pragma once

#include "shm/pool.h"

WR_BEGIN_DECLS

enum { WR_BLOCK_MAGIC = 0x4b4c4257, WR_BLOCK_HEADER_BYTES = 48, WR_BLOCK_ALIGN = 64 };

typedef struct wr_block_header {
    uint64_t bytes;
    uint32_t magic, link_count, ref_count, buffer_count;
    uint64_t stream_bytes, stream_window, reserved;
} wr_block_header;

typedef struct wr_block_link {
    uint64_t ref, next;
} wr_block_link;

/* A block as found in the pool: header read once and checked, part offsets computed; pointers into the read-only mapping. */
typedef struct wr_block_view {
    wr_block_header header;
    const uint8_t *base;
    const wr_block_link *links;
    const uint64_t *refs;
    const uint64_t *buffers; /* pairs; each is checked when it is used */
    const uint64_t *credits; /* NULL without stream_window */
    const uint8_t *stream;
} wr_block_view;

/* Size of a block with these parts, buffers' bytes included; 0 when it overflows. buffer_bytes may be NULL with 0. */
uint64_t wr_block_size(uint32_t link_count, uint32_t ref_count, uint32_t buffer_count,
                       const uint64_t *buffer_bytes, uint64_t stream_window, uint64_t stream_bytes);
/* Checks everything against the heap's bounds. Fails: CORRUPT. */
WR_MUST_USE wr_status wr_block_open(const wr_pool *pool, uint64_t offset, wr_block_view *out, wr_error *err);

WR_END_DECLS

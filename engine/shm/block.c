/* engine/shm/block.c: sizes of blocks, and the check of one that was found in the heap. */
#include "shm/block.h"

#include "shm/layout.h"

_Static_assert(sizeof(wr_block_header) == WR_BLOCK_HEADER_BYTES, "block header");
_Static_assert(offsetof(wr_block_header, magic) == 8 && offsetof(wr_block_header, stream_bytes) == 24,
               "block header");
_Static_assert(offsetof(wr_block_header, stream_window) == 32, "block header");

/* *at += count * each; false when it overflows. */
static bool add(uint64_t *at, uint64_t count, uint64_t each) {
    uint64_t bytes;
    return !__builtin_mul_overflow(count, each, &bytes) && !__builtin_add_overflow(*at, bytes, at);
}

/* Offsets of the parts up to the stream; false when they overflow. */
typedef struct part_offsets {
    uint64_t links, refs, buffers, credits, stream, end;
} part_offsets;

static bool parts_of(const wr_block_header *h, part_offsets *out) {
    uint64_t at = WR_BLOCK_HEADER_BYTES;
    out->links = at;
    bool fits = add(&at, h->link_count, sizeof(wr_block_link));
    out->refs = at;
    fits = fits && add(&at, h->ref_count, 8);
    out->buffers = at;
    fits = fits && add(&at, h->buffer_count, 16);
    out->credits = at;
    fits = fits && (h->stream_window == 0 || (add(&at, h->stream_window, 8) && add(&at, 2, 8)));
    out->stream = at;
    fits = fits && add(&at, h->stream_bytes, 1);
    out->end = at;
    return fits;
}

uint64_t wr_block_size(uint32_t link_count, uint32_t ref_count, uint32_t buffer_count,
                       const uint64_t *buffer_bytes, uint64_t stream_window, uint64_t stream_bytes) {
    wr_block_header h = {.link_count = link_count,
                         .ref_count = ref_count,
                         .buffer_count = buffer_count,
                         .stream_bytes = stream_bytes,
                         .stream_window = stream_window};
    part_offsets parts;
    if (!parts_of(&h, &parts) || (buffer_count != 0 && buffer_bytes == NULL)) {
        return 0;
    }
    uint64_t at = parts.end;
    for (uint32_t i = 0; i < buffer_count; i++) {
        if (at > UINT64_MAX - WR_BLOCK_ALIGN) {
            return 0;
        }
        at = wr_align_up(at, WR_BLOCK_ALIGN);
        if (!add(&at, buffer_bytes[i], 1)) {
            return 0;
        }
    }
    return at > UINT64_MAX - WR_BLOCK_ALIGN ? 0 : wr_align_up(at, WR_BLOCK_ALIGN);
}

wr_status wr_block_open(const wr_pool *pool, uint64_t offset, wr_block_view *out, wr_error *err) {
    const uint8_t *base = wr_pool_heap_read(pool, offset, WR_BLOCK_HEADER_BYTES);
    if (base == NULL || offset % WR_BLOCK_ALIGN != 0) {
        return WR_FAIL(err, WR_E_CORRUPT, "block: offset %lu is not in the heap", (unsigned long)offset);
    }
    wr_block_header h;
    memcpy(&h, base, sizeof h); /* read once; the copy is what is checked and used */
    part_offsets parts;
    if (h.magic != WR_BLOCK_MAGIC || h.bytes < WR_BLOCK_HEADER_BYTES ||
        wr_pool_heap_read(pool, offset, h.bytes) == NULL || !parts_of(&h, &parts) || parts.end > h.bytes) {
        return WR_FAIL(err, WR_E_CORRUPT, "block: the header at offset %lu cannot be right",
                       (unsigned long)offset);
    }
    out->header = h;
    out->base = base;
    out->links = (const wr_block_link *)(const void *)(base + parts.links);
    out->refs = (const uint64_t *)(const void *)(base + parts.refs);
    out->buffers = (const uint64_t *)(const void *)(base + parts.buffers);
    out->credits = h.stream_window == 0 ? NULL : (const uint64_t *)(const void *)(base + parts.credits);
    out->stream = base + parts.stream;
    return WR_OK;
}

/* Another process's pages: hostile bytes lie in the heap of a small pool, and what the block and view checks let pass
 * is read in full. A part beyond its block is refused by an assertion, one beyond the heap by the mapping.
 *
 * Input: u8 where (end of the heap, or its beginning), u8 kind of the view, then the block's bytes. A right magic and
 * size are filled in by the second bit of `where`, so that the parts behind the header are reached. */
#include "store/value.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAP_BYTES = 1 << 20, INPUT_MAX = 64 * 1024, DEPTH_MAX = 2 };

static volatile uint8_t sink; /* every byte is really read */

static wr_pool *small_pool(void) {
    static wr_pool *pool;
    if (pool == NULL) {
        wr_pool_geometry geometry = {.slots = 4,
                                     .ports = 8,
                                     .rings = 16,
                                     .ring_capacity = 64,
                                     .cells_per_extent = 64,
                                     .cell_extents = 8,
                                     .event_capacity = 64,
                                     .grant_capacity = 64,
                                     .trace_capacity = 64,
                                     .bells = 4,
                                     .heap_unit = 4096,
                                     .heap_bytes = HEAP_BYTES};
        wr_error err;
        memset(&err, 0, sizeof err);
        wr_status status = wr_pool_create(&geometry, &pool, &err);
        WR_ASSERT(status == WR_OK);
    }
    return pool;
}

static void read_bytes(const uint8_t *data, uint64_t bytes, const uint8_t *base, uint64_t block_bytes) {
    WR_ASSERT(data >= base && bytes <= block_bytes && (uint64_t)(data - base) <= block_bytes - bytes);
    uint8_t all = 0;
    for (uint64_t i = 0; i < bytes; i++) {
        all ^= data[i];
    }
    sink = all;
}

static void read_view(const wr_view *v, int depth) {
    if (v->base != NULL) {
        read_bytes(v->stream, v->stream_bytes, v->base, v->block_bytes);
        read_bytes((const uint8_t *)v->refs, v->ref_count * sizeof(wr_ref), v->base, v->block_bytes);
    }
    for (uint32_t i = 0; i <= v->buffer_count && i < 64; i++) {
        const uint8_t *data;
        uint64_t bytes;
        if (wr_view_buffer(v, i, &data, &bytes)) {
            WR_ASSERT(i < v->buffer_count);
            read_bytes(data, bytes, v->base, v->block_bytes);
        }
    }
    for (uint32_t i = 0; i <= v->item_count && i < 64 && depth < DEPTH_MAX; i++) {
        wr_view item;
        memset(&item, 0, sizeof item);
        if (wr_view_item(v, i, &item)) {
            WR_ASSERT(i < v->item_count);
            read_view(&item, depth + 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > INPUT_MAX) {
        return 0;
    }
    wr_pool *pool = small_pool();
    uint8_t where = data[0], kind = data[1];
    data += 2;
    size -= 2;
    uint64_t room = (size + WR_BLOCK_ALIGN - 1) / WR_BLOCK_ALIGN * WR_BLOCK_ALIGN;
    room = room < WR_BLOCK_ALIGN ? WR_BLOCK_ALIGN : room;
    uint64_t offset = (where & 1) != 0 ? HEAP_BYTES - room : 4096;
    uint8_t *at = wr_pool_heap_write(pool, offset, room);
    WR_ASSERT(at != NULL);
    memset(at, 0, room);
    memcpy(at, data, size);
    if ((where & 2) != 0) {
        wr_block_header *header = (wr_block_header *)(void *)at;
        header->magic = WR_BLOCK_MAGIC;
        header->bytes = room;
    }
    wr_block_view block;
    if (wr_block_open(pool, offset, &block, NULL) == WR_OK) {
        const wr_block_header *h = &block.header;
        WR_ASSERT(h->bytes <= HEAP_BYTES - offset && block.base == wr_pool_heap_read(pool, offset, h->bytes));
        read_bytes((const uint8_t *)block.links, h->link_count * sizeof(wr_block_link), block.base, h->bytes);
        read_bytes((const uint8_t *)block.refs, h->ref_count * 8ull, block.base, h->bytes);
        read_bytes((const uint8_t *)block.buffers, h->buffer_count * 16ull, block.base, h->bytes);
        read_bytes(block.stream, h->stream_bytes, block.base, h->bytes);
        WR_ASSERT((block.credits != NULL) == (h->stream_window != 0));
        if (block.credits != NULL) {
            read_bytes((const uint8_t *)block.credits, 16 + h->stream_window * 8, block.base, h->bytes);
        }
    }
    wr_result result;
    memset(&result, 0, sizeof result);
    memcpy(&result, data, size < sizeof result ? size : sizeof result); /* hostile in each of its fields */
    wr_view view;
    memset(&view, 0, sizeof view);
    if (wr_store_view(pool, &result, &view, NULL) == WR_OK) {
        read_view(&view, 0);
    }
    result.location = WR_AT_HEAP;
    result.offset = offset;
    result.kind = kind % 6;
    memset(&view, 0, sizeof view);
    if (wr_store_view(pool, &result, &view, NULL) == WR_OK) {
        read_view(&view, 0);
    }
    return 0;
}

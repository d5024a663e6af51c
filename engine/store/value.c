#include "store/value.h"

#include "store/copy.h"

#include <string.h>

typedef struct item_entry {
    uint64_t stream_offset, stream_bytes;
    uint32_t first_buffer, buffer_count, first_ref, ref_count;
} item_entry;

_Static_assert(sizeof(item_entry) == WR_STORE_ITEM_BYTES, "layout of the item table");

/* Where the parts of a block about to be written begin. */
typedef struct plan {
    uint32_t link_count, ref_count, buffer_count,
        item_count; /* item_count 0: a single value, without a table */
    uint64_t stream_window;
    uint64_t refs, buffers, credits, stream, stream_bytes, buffer_bytes, total;
} plan;

static bool add(uint64_t *sum, uint64_t more) {
    return !__builtin_add_overflow(*sum, more, sum);
}

static bool add_aligned(uint64_t *sum, uint64_t alignment) {
    return *sum <= UINT64_MAX - alignment && (*sum = wr_align_up(*sum, alignment), true);
}

/* Sums up what all values need. */
static wr_status plan_make(plan *p, const wr_value *values, uint32_t count, wr_error *err) {
    uint64_t refs = 0;
    uint64_t buffers = 0;
    uint64_t stream =
        p->item_count == 0 ? 0 : WR_STORE_ITEM_HEAD_BYTES + (uint64_t)p->item_count * WR_STORE_ITEM_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        const wr_value *v = &values[i];
        if ((v->stream_bytes != 0 && v->stream == NULL) || (v->ref_count != 0 && v->refs == NULL) ||
            (v->buffer_count != 0 && v->buffers == NULL)) {
            return WR_FAIL(err, WR_E_INVALID, "value %u has a size without a pointer", i);
        }
        refs += v->ref_count;
        buffers += v->buffer_count;
        if (!add(&stream, v->stream_bytes)) {
            return WR_FAIL(err, WR_E_INVALID, "the streams of %u values are too long", count);
        }
    }
    if (refs > UINT32_MAX / 16 || buffers > UINT32_MAX / 16) {
        return WR_FAIL(err, WR_E_INVALID,
                       "a value names %llu references and %llu buffers: too many for one object",
                       (unsigned long long)refs, (unsigned long long)buffers);
    }
    p->ref_count = (uint32_t)refs;
    p->buffer_count = (uint32_t)buffers;
    p->stream_bytes = stream;
    p->refs = WR_BLOCK_HEADER_BYTES + (uint64_t)p->link_count * sizeof(wr_block_link);
    p->buffers = p->refs + refs * sizeof(uint64_t);
    p->credits = p->buffers + buffers * 2 * sizeof(uint64_t);
    p->stream = p->credits + (p->stream_window == 0 ? 0 : (2 + p->stream_window) * sizeof(uint64_t));
    uint64_t total = p->stream;
    bool fits = add(&total, stream);
    for (uint32_t i = 0; i < count && fits; i++) {
        for (uint32_t k = 0; k < values[i].buffer_count && fits; k++) {
            const wr_buffer *b = &values[i].buffers[k];
            if (b->bytes != 0 && b->data == NULL) {
                return WR_FAIL(err, WR_E_INVALID, "buffer %u of value %u has a size without a pointer", k, i);
            }
            fits = add_aligned(&total, WR_BLOCK_ALIGN) && add(&total, b->bytes);
        }
    }
    if (!fits || !add_aligned(&total, WR_BLOCK_ALIGN)) {
        return WR_FAIL(err, WR_E_INVALID, "a value's sizes overflow 64 bits");
    }
    p->total = total;
    return WR_OK;
}

/* Writes the block in the order in which it lies. `at` is this process's own until the cell is published. */
static void block_write(uint8_t *at, const plan *p, const wr_value *values, uint32_t count) {
    const wr_block_header header = {.bytes = p->total,
                                    .magic = WR_BLOCK_MAGIC,
                                    .link_count = p->link_count,
                                    .ref_count = p->ref_count,
                                    .buffer_count = p->buffer_count,
                                    .stream_bytes = p->stream_bytes,
                                    .stream_window = p->stream_window};
    memcpy(at, &header, sizeof header);
    memset(at + WR_BLOCK_HEADER_BYTES, 0, p->refs - WR_BLOCK_HEADER_BYTES);
    memset(at + p->credits, 0, p->stream - p->credits);
    uint64_t refs = p->refs;
    uint64_t entry = p->buffers;
    uint64_t item = p->stream;
    uint64_t stream = p->stream;
    uint64_t bytes = p->stream + p->stream_bytes;
    if (p->item_count != 0) {
        const uint32_t head[2] = {p->item_count, 0};
        memcpy(at + item, head, sizeof head);
        item += sizeof head;
        stream += WR_STORE_ITEM_HEAD_BYTES + (uint64_t)p->item_count * WR_STORE_ITEM_BYTES;
    }
    for (uint32_t i = 0; i < count; i++) {
        const wr_value *v = &values[i];
        if (p->item_count != 0) {
            const item_entry e = {.stream_offset = stream - p->stream,
                                  .stream_bytes = v->stream_bytes,
                                  .first_buffer = (uint32_t)((entry - p->buffers) / (2 * sizeof(uint64_t))),
                                  .buffer_count = v->buffer_count,
                                  .first_ref = (uint32_t)((refs - p->refs) / sizeof(uint64_t)),
                                  .ref_count = v->ref_count};
            memcpy(at + item, &e, sizeof e);
            item += sizeof e;
        }
        if (v->ref_count != 0) {
            memcpy(at + refs, v->refs, v->ref_count * sizeof(uint64_t));
            refs += v->ref_count * sizeof(uint64_t);
        }
        if (v->stream_bytes != 0) {
            wr_store_copy(at + stream, v->stream, v->stream_bytes);
            stream += v->stream_bytes;
        }
        for (uint32_t k = 0; k < v->buffer_count; k++) {
            const wr_buffer *b = &v->buffers[k];
            bytes = wr_align_up(bytes, WR_BLOCK_ALIGN);
            const uint64_t pair[2] = {bytes, b->bytes};
            memcpy(at + entry, pair, sizeof pair);
            entry += sizeof pair;
            if (b->bytes != 0) {
                wr_store_copy(at + bytes, b->data, b->bytes);
                bytes += b->bytes;
            }
        }
    }
    WR_DEBUG_ASSERT(wr_align_up(bytes, WR_BLOCK_ALIGN) == p->total);
}

static wr_status block_make(wr_pool *pool, wr_proc *proc, plan *p, const wr_value *values, uint32_t count,
                            uint64_t *out_block, wr_error *err) {
    WR_TRY(plan_make(p, values, count, err));
    uint64_t block = 0;
    WR_TRY(wr_proc_heap_alloc(proc, p->total, &block, err));
    uint8_t *at = wr_pool_heap_write(pool, block, p->total);
    WR_ASSERT(at != NULL);
    block_write(at, p, values, count);
    *out_block = block;
    return WR_OK;
}

wr_status wr_store_values(wr_pool *pool, wr_proc *proc, wr_kind kind, const wr_value *values, uint32_t count,
                          wr_result *out, wr_error *err) {
    if (kind != WR_KIND_VALUE && (count != 1 || (kind != WR_KIND_ERROR && kind != WR_KIND_SYSTEM_ERROR))) {
        return WR_FAIL(err, WR_E_INVALID, "%u values of kind %d cannot be stored", count, (int)kind);
    }
    if (count == 1 && values->stream_bytes <= WR_STORE_INLINE_MAX && values->ref_count == 0 &&
        values->buffer_count == 0 && (values->stream != NULL || values->stream_bytes == 0)) {
        out->kind = (uint8_t)kind;
        out->location = WR_AT_INLINE;
        out->bytes = (uint32_t)values->stream_bytes;
        out->offset = 0;
        if (values->stream_bytes != 0) {
            memcpy(out->inline_bytes, values->stream, values->stream_bytes);
        }
        return WR_OK;
    }
    plan p = {.item_count = count == 1 ? 0 : count};
    uint64_t block = 0;
    if (count == 0) {
        /* A task of no returns: an empty table fits into the cell. */
        *out =
            (wr_result){.kind = WR_KIND_VALUES, .location = WR_AT_INLINE, .bytes = WR_STORE_ITEM_HEAD_BYTES};
        return WR_OK;
    }
    WR_TRY(block_make(pool, proc, &p, values, count, &block, err));
    out->kind = (uint8_t)(count == 1 ? kind : WR_KIND_VALUES);
    out->location = WR_AT_HEAP;
    out->bytes = 0;
    out->offset = block;
    return WR_OK;
}

void wr_store_discard(wr_proc *proc, const wr_result *result) {
    if (result->location == WR_AT_HEAP) {
        wr_proc_heap_free(proc, result->offset);
    }
}

wr_status wr_store_args(wr_pool *pool, wr_proc *proc, const wr_value *args, uint32_t link_count,
                        uint64_t stream_window, uint64_t *out_block, wr_error *err) {
    if (stream_window > UINT32_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "a window of %llu items is too large",
                       (unsigned long long)stream_window);
    }
    plan p = {.link_count = link_count, .stream_window = stream_window};
    return block_make(pool, proc, &p, args, 1, out_block, err);
}

/* ---- Views ---- */

/* The parts of a view that a block has, for a value without one. */
static void view_plain(wr_kind kind, uint64_t bytes, wr_view *out) {
    out->kind = kind;
    out->buffer_count = 0;
    out->ref_count = 0;
    out->item_count = 0;
    out->stream = out->inline_bytes;
    out->stream_bytes = bytes;
    out->base = NULL;
    out->buffers = NULL;
    out->refs = NULL;
    out->block_bytes = 0;
}

void wr_store_view_inline(wr_kind kind, const void *bytes, uint32_t count, wr_view *out) {
    const uint32_t n = count <= sizeof out->inline_bytes ? count : (uint32_t)sizeof out->inline_bytes;
    view_plain(kind, n, out);
    if (n != 0) {
        memcpy(out->inline_bytes, bytes, n);
    }
}

wr_status wr_store_view_block(const wr_pool *pool, uint64_t block, wr_view *out, wr_error *err) {
    wr_block_view b;
    WR_TRY(wr_block_open(pool, block, &b, err));
    out->kind = WR_KIND_VALUE;
    out->buffer_count = b.header.buffer_count;
    out->ref_count = b.header.ref_count;
    out->item_count = 0;
    out->stream = b.stream;
    out->stream_bytes = b.header.stream_bytes;
    out->base = b.base;
    out->buffers = b.buffers;
    out->refs = b.refs;
    out->block_bytes = b.header.bytes;
    return WR_OK;
}

static wr_status items_check(wr_view *view, wr_error *err) {
    uint32_t count = 0;
    if (view->stream_bytes >= WR_STORE_ITEM_HEAD_BYTES) {
        memcpy(&count, view->stream, sizeof count);
        if (count <= (view->stream_bytes - WR_STORE_ITEM_HEAD_BYTES) / WR_STORE_ITEM_BYTES) {
            view->item_count = count;
            return WR_OK;
        }
    }
    return WR_FAIL(err, WR_E_CORRUPT,
                   "an object of several values has %llu bytes of stream, which cannot hold its table of %u",
                   (unsigned long long)view->stream_bytes, count);
}

wr_status wr_store_view(const wr_pool *pool, const wr_result *result, wr_view *out, wr_error *err) {
    static const char *const names[] = {"inline", "heap", "spilled", "device", "remote"};
    const uint32_t kind = result->kind;
    if (kind < WR_KIND_VALUE || kind > WR_KIND_VALUES) {
        return WR_FAIL(err, WR_E_CORRUPT, "an object has the unknown kind %u", kind);
    }
    switch (result->location) {
    case WR_AT_INLINE:
        if (result->bytes > WR_STORE_INLINE_MAX) {
            return WR_FAIL(err, WR_E_CORRUPT, "an inline object claims %u bytes", result->bytes);
        }
        view_plain((wr_kind)kind, result->bytes, out);
        memcpy(out->inline_bytes, result->inline_bytes,
               WR_STORE_INLINE_MAX); /* all of it: faster than to count */
        break;
    case WR_AT_HEAP:
        WR_TRY(wr_store_view_block(pool, result->offset, out, err));
        out->kind = (wr_kind)kind;
        break;
    case WR_AT_SPILLED:
    case WR_AT_DEVICE:
    case WR_AT_REMOTE:
        return WR_FAIL(err, WR_E_UNSUPPORTED, "the object is %s: reading such objects is not built yet",
                       names[result->location]);
    default:
        return WR_FAIL(err, WR_E_CORRUPT, "an object has the unknown location %u",
                       (unsigned)result->location);
    }
    return kind == WR_KIND_VALUES ? items_check(out, err) : WR_OK;
}

bool wr_view_buffer(const wr_view *view, uint32_t index, const uint8_t **out, uint64_t *out_bytes) {
    if (index >= view->buffer_count) {
        return false;
    }
    uint64_t pair[2]; /* read once: its writer can still write there */
    memcpy(pair, view->buffers + 2 * (uint64_t)index, sizeof pair);
    if (pair[0] > view->block_bytes || pair[1] > view->block_bytes - pair[0]) {
        return false;
    }
    *out = view->base + pair[0];
    *out_bytes = pair[1];
    return true;
}

bool wr_view_item(const wr_view *view, uint32_t item, wr_view *out) {
    if (view->kind != WR_KIND_VALUES || item >= view->item_count) {
        return false;
    }
    item_entry e;
    memcpy(&e, view->stream + WR_STORE_ITEM_HEAD_BYTES + (uint64_t)item * WR_STORE_ITEM_BYTES, sizeof e);
    if (e.stream_offset > view->stream_bytes || e.stream_bytes > view->stream_bytes - e.stream_offset ||
        e.first_buffer > view->buffer_count || e.buffer_count > view->buffer_count - e.first_buffer ||
        e.first_ref > view->ref_count || e.ref_count > view->ref_count - e.first_ref) {
        return false;
    }
    out->kind = WR_KIND_VALUE;
    out->buffer_count = e.buffer_count;
    out->ref_count = e.ref_count;
    out->item_count = 0;
    out->stream = view->stream + e.stream_offset;
    out->stream_bytes = e.stream_bytes;
    out->base = view->base;
    out->buffers = view->buffers == NULL ? NULL : view->buffers + 2 * (uint64_t)e.first_buffer;
    out->refs = view->refs == NULL ? NULL : view->refs + e.first_ref;
    out->block_bytes = view->block_bytes;
    return true;
}

#include "sched/struct_desc.h"

uint32_t wr_field_element_bytes(const wr_field *field) {
    return field->bytes;
}

static const void *list_of(const wr_field *f, const void *of, uint32_t *out_count) {
    const void *items;
    memcpy(&items, (const char *)of + f->offset, sizeof items);
    memcpy(out_count, (const char *)of + f->count_offset, sizeof *out_count);
    return items;
}

static bool is_list(const wr_field *f) {
    return f->kind >= WR_FIELD_LIST;
}

/* Bytes beside the struct itself. Each piece begins at a multiple of 8. */
static size_t extra_bytes(const wr_struct_desc *desc, const void *from) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < desc->field_count; i++) {
        const wr_field *f = &desc->fields[i];
        const void *at = (const char *)from + f->offset;
        if (f->kind == WR_FIELD_SPAN) {
            bytes += wr_align_up(((const wr_span *)at)->bytes, 8);
        } else if (f->kind == WR_FIELD_PART) {
            bytes += extra_bytes(f->desc, at);
        } else if (is_list(f)) {
            uint32_t count;
            const char *items = list_of(f, from, &count);
            bytes += wr_align_up((uint64_t)count * f->bytes, 8);
            for (uint32_t k = 0; k < count && f->kind == WR_FIELD_LIST; k++) {
                bytes += extra_bytes(f->desc, items + (size_t)k * f->bytes);
            }
            for (uint32_t k = 0; k < count && f->kind == WR_FIELD_LIST_SPAN; k++) {
                bytes += wr_align_up(((const wr_span *)items)[k].bytes, 8);
            }
        }
    }
    return bytes;
}

static void move_span(wr_span *span, char **free_at) {
    if (span->bytes == 0) {
        span->data = NULL;
        return;
    }
    memcpy(*free_at, span->data, span->bytes);
    span->data = *free_at;
    *free_at += wr_align_up(span->bytes, 8);
}

/* *to is a flat copy already: moves what it points to behind it. */
static void move_pieces(const wr_struct_desc *desc, void *to, char **free_at) {
    for (uint32_t i = 0; i < desc->field_count; i++) {
        const wr_field *f = &desc->fields[i];
        char *at = (char *)to + f->offset;
        if (f->kind == WR_FIELD_SPAN) {
            move_span((wr_span *)(void *)at, free_at);
        } else if (f->kind == WR_FIELD_PART) {
            move_pieces(f->desc, at, free_at);
        } else if (is_list(f)) {
            uint32_t count;
            const void *items = list_of(f, to, &count);
            char *copy = count == 0 ? NULL : *free_at;
            if (count > 0) {
                memcpy(copy, items, (size_t)count * f->bytes);
                *free_at += wr_align_up((uint64_t)count * f->bytes, 8);
            }
            memcpy(at, &copy, sizeof copy);
            for (uint32_t k = 0; k < count && f->kind == WR_FIELD_LIST; k++) {
                move_pieces(f->desc, copy + (size_t)k * f->bytes, free_at);
            }
            for (uint32_t k = 0; k < count && f->kind == WR_FIELD_LIST_SPAN; k++) {
                move_span((wr_span *)(void *)copy + k, free_at);
            }
        }
    }
}

wr_status wr_struct_dup(const wr_struct_desc *desc, const void *from, size_t head, size_t own_bytes,
                        void **out, wr_error *err) {
    WR_ASSERT(head % 8 == 0);
    size_t own = wr_align_up(desc->bytes > own_bytes ? desc->bytes : own_bytes, 8),
           bytes = head + own + extra_bytes(desc, from);
    char *block = wr_calloc(1, bytes);
    if (block == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a %s of %zu bytes", desc->name, bytes);
    }
    memcpy(block + head, from, desc->bytes);
    char *free_at = block + head + own;
    move_pieces(desc, block + head, &free_at);
    WR_ASSERT(free_at == block + bytes);
    *out = block;
    return WR_OK;
}

bool wr_struct_equal(const wr_struct_desc *desc, const void *a, const void *b) {
    for (uint32_t i = 0; i < desc->field_count; i++) {
        const wr_field *f = &desc->fields[i];
        const char *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
        if (f->kind == WR_FIELD_SPAN) {
            if (!wr_span_equal(*(const wr_span *)(const void *)x, *(const wr_span *)(const void *)y)) {
                return false;
            }
        } else if (f->kind == WR_FIELD_PART) {
            if (!wr_struct_equal(f->desc, x, y)) {
                return false;
            }
        } else if (!is_list(f)) {
            if (memcmp(x, y, f->bytes) != 0) {
                return false;
            }
        } else {
            uint32_t count, other;
            const char *left = list_of(f, a, &count), *right = list_of(f, b, &other);
            if (count != other) {
                return false;
            }
            for (uint32_t k = 0; k < count; k++, left += f->bytes, right += f->bytes) {
                bool same = f->kind == WR_FIELD_LIST ? wr_struct_equal(f->desc, left, right)
                            : f->kind == WR_FIELD_LIST_SPAN
                                ? wr_span_equal(*(const wr_span *)(const void *)left,
                                                *(const wr_span *)(const void *)right)
                                : memcmp(left, right, f->bytes) == 0;
                if (!same) {
                    return false;
                }
            }
        }
    }
    return true;
}

/* engine/shm/proc_heap.c: a process's part of the heap. All allocator state is private: what lies free in a
 * dead process's units is what no cell refers to.
 *
 * The raylet leases runs of units (1 MiB). A unit is split into 16 pages, or belongs to a large run:
 *
 *   small    <= half a page   pages of one size class: a bitmap of free blocks; per class the warmest are cached
 *   medium   <= 16 pages      a run of pages inside a unit
 *   large                     whole units, and the first pages of a last one; freed runs are kept warm up to a limit
 */
#include "shm/proc_internal.h"

enum {
    UNIT_PAGES = 16,
    CLASS_MAX = 64,
    CACHE_MAX = 32, /* warm blocks of a class */
    RUN_CACHE_MAX = 64,
    FREE_UNITS_MAX = 8, /* wholly free split units that are kept */
    SPLIT_ASK_MAX = 8,
};
#define WAIT_GIVEN_UP_NS (1000ull * 1000 * 1000) /* who lets other threads run meanwhile comes back sooner */

typedef enum unit_mode { UNIT_NONE, UNIT_SPLIT, UNIT_RUN, UNIT_RUN_CACHED, UNIT_BODY } unit_mode;
typedef enum page_kind { PAGE_FREE, PAGE_SMALL, PAGE_MEDIUM, PAGE_BODY } page_kind;

typedef struct heap_unit {
    uint8_t mode;
    uint8_t tail_pages;  /* RUN: pages used of the split unit behind it */
    uint8_t bucket;      /* SPLIT: longest run of free pages */
    uint16_t free_pages; /* SPLIT: bit per page */
    uint32_t units;      /* RUN: whole units */
    uint32_t prev, next; /* SPLIT: list of its bucket; index + 1 */
} heap_unit;

typedef struct heap_page {
    uint8_t kind, class_index, pages; /* pages: of a medium run, at its first */
    bool listed;
    uint16_t live, blocks;
    uint32_t prev, next; /* SMALL with free blocks: list of its class; index + 1 */
    uint64_t *bits;      /* SMALL: free[words], then used[words] */
} heap_page;

typedef struct heap_class {
    uint32_t bytes, pages_first, page_count;
    uint32_t cached;
    uint64_t cache[CACHE_MAX]; /* offsets; the last is the warmest */
} heap_class;

struct wr_heap {
    wr_pool *pool;
    uint64_t unit_bytes, page_bytes, units;
    uint32_t unit_shift, page_shift, class_count, bit_words;
    heap_unit *unit; /* [units] */
    heap_page *page; /* [units * UNIT_PAGES] */
    heap_class classes[CLASS_MAX];
    uint32_t buckets[UNIT_PAGES + 1]; /* unit + 1 */
    uint32_t split_units, free_units;
    uint32_t runs[RUN_CACHE_MAX]; /* cached runs, oldest first */
    uint32_t run_count;
    uint64_t run_bytes, run_bytes_max;
    uint32_t waiting_units, arrived_first;
    bool asked, arrived, refused;
    bool left;        /* the wait for waiting_units was interrupted, and may go on */
    uint64_t left_ns; /* when */
    uint64_t live_blocks;
};

/* ---- Size classes ---- */

static uint32_t class_of(const wr_heap *h, uint64_t bytes) {
    uint32_t lo = 0, hi = h->class_count - 1;
    if (bytes <= 512) {
        return (uint32_t)(bytes == 0 ? 0 : (bytes - 1) / 64);
    }
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (h->classes[mid].bytes >= bytes) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return lo;
}

static void make_classes(wr_heap *h) {
    uint64_t bytes = 64, most = h->page_bytes / 2;
    while (bytes <= most && h->class_count < CLASS_MAX) {
        h->classes[h->class_count++].bytes = (uint32_t)bytes;
        uint64_t step = 64;
        while (step * 8 <= bytes) {
            step *= 2;
        }
        bytes += step;
    }
}

WR_DEFINE_AUTO(wr_heap, wr_heap_free)

wr_status wr_heap_new(wr_proc *p, wr_heap **out, wr_error *err) {
    const wr_pool_geometry *g = &p->pool->geometry;
    WR_AUTO(wr_heap) h = wr_calloc(1, sizeof(*h));
    if (h == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "heap: no %zu bytes", sizeof(*h));
    }
    h->pool = p->pool;
    h->unit_bytes = g->heap_unit;
    h->unit_shift = (uint32_t)__builtin_ctzll(g->heap_unit);
    h->page_bytes = g->heap_unit / UNIT_PAGES;
    h->page_shift = h->unit_shift - 4;
    h->units = g->heap_bytes >> h->unit_shift;
    h->bit_words = (uint32_t)((h->page_bytes / 64 + 63) / 64);
    h->run_bytes_max = g->heap_bytes / 8 < 1ull << 30 ? g->heap_bytes / 8 : 1ull << 30;
    make_classes(h);
    h->unit = wr_pages_new(h->units * sizeof(*h->unit));
    h->page = wr_pages_new(h->units * UNIT_PAGES * sizeof(*h->page));
    if (h->unit == NULL || h->page == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "heap: no memory for the books of %lu units",
                       (unsigned long)h->units);
    }
    *out = wr_steal(&h);
    return WR_OK;
}

void wr_heap_free(wr_heap *h) {
    if (h == NULL) {
        return;
    }
    for (uint64_t u = 0; h->unit != NULL && h->page != NULL && u < h->units && h->split_units != 0; u++) {
        if (h->unit[u].mode != UNIT_SPLIT) {
            continue;
        }
        h->split_units--;
        for (uint32_t k = 0; k < UNIT_PAGES; k++) {
            wr_free(h->page[u * UNIT_PAGES + k].bits);
        }
    }
    wr_pages_free(h->unit, h->units * sizeof(*h->unit));
    wr_pages_free(h->page, h->units * UNIT_PAGES * sizeof(*h->page));
    wr_free(h);
}

/* ---- Split units and their pages ---- */

static uint32_t longest_run(uint32_t mask) {
    uint32_t n = 0;
    for (; mask != 0; mask &= mask << 1) {
        n++;
    }
    return n;
}

static void bucket_remove(wr_heap *h, uint32_t u) {
    heap_unit *unit = &h->unit[u];
    if (unit->prev != 0) {
        h->unit[unit->prev - 1].next = unit->next;
    } else {
        h->buckets[unit->bucket] = unit->next;
    }
    if (unit->next != 0) {
        h->unit[unit->next - 1].prev = unit->prev;
    }
}

static void bucket_add(wr_heap *h, uint32_t u) {
    heap_unit *unit = &h->unit[u];
    unit->bucket = (uint8_t)longest_run(unit->free_pages);
    unit->prev = 0;
    unit->next = h->buckets[unit->bucket];
    if (unit->next != 0) {
        h->unit[unit->next - 1].prev = u + 1;
    }
    h->buckets[unit->bucket] = u + 1;
}

static void set_free_pages(wr_heap *h, uint32_t u, uint16_t mask) {
    bucket_remove(h, u);
    h->free_units -= h->unit[u].free_pages == UINT16_MAX;
    h->unit[u].free_pages = mask;
    h->free_units += mask == UINT16_MAX;
    bucket_add(h, u);
}

static void add_split_unit(wr_heap *h, uint32_t u, uint16_t free_pages) {
    h->unit[u] = (heap_unit){.mode = UNIT_SPLIT, .free_pages = free_pages};
    h->split_units++;
    h->free_units += free_pages == UINT16_MAX;
    bucket_add(h, u);
}

/* First fit of n pages in the fullest unit that has room; UINT32_MAX: none. */
static uint32_t pages_take(wr_heap *h, uint32_t n) {
    for (uint32_t b = n; b <= UNIT_PAGES; b++) {
        if (h->buckets[b] == 0) {
            continue;
        }
        uint32_t u = h->buckets[b] - 1, mask = h->unit[u].free_pages, want = (1u << n) - 1, at = 0;
        while ((mask >> at & want) != want) {
            at++;
        }
        set_free_pages(h, u, (uint16_t)(mask & ~(want << at)));
        return u * UNIT_PAGES + at;
    }
    return UINT32_MAX;
}

static void give_back(wr_proc *p, uint32_t first, uint32_t units) {
    for (uint32_t k = 0; p->heap->unit[first].mode == UNIT_SPLIT && k < UNIT_PAGES; k++) {
        heap_page *page = &p->heap->page[first * UNIT_PAGES + k];
        wr_free(page->bits);
        *page = (heap_page){0};
    }
    memset(&p->heap->unit[first], 0, units * sizeof(heap_unit));
    wr_proc_emit(p, WR_EVENT_GIVE_HEAP, (uint64_t)first << 32 | units);
}

static void pages_return(wr_proc *p, uint32_t page, uint32_t n, bool keep) {
    wr_heap *h = p->heap;
    uint32_t u = page / UNIT_PAGES, at = page % UNIT_PAGES;
    for (uint32_t k = 0; k < n; k++) {
        h->page[page + k].kind = PAGE_FREE;
    }
    set_free_pages(h, u, (uint16_t)(h->unit[u].free_pages | ((1u << n) - 1) << at));
    if (h->unit[u].free_pages == UINT16_MAX && (!keep || h->free_units > FREE_UNITS_MAX)) {
        bucket_remove(h, u);
        h->free_units--;
        h->split_units--;
        give_back(p, u, 1);
    }
}

/* All pages of a run that came are free. */
static void split_run(wr_heap *h, uint32_t first, uint32_t units) {
    for (uint32_t u = first; u < first + units; u++) {
        add_split_unit(h, u, UINT16_MAX);
    }
}

/* ---- Asking the raylet ---- */

void wr_heap_granted(wr_proc *p, uint64_t first, uint64_t units) {
    wr_heap *h = p->heap;
    if (units == 0) {
        h->asked = false;
        h->refused = true;
        return;
    }
    if (first >= h->units || units > h->units - first) {
        return;
    }
    for (uint64_t u = first; u < first + units; u++) {
        if (h->unit[u].mode != UNIT_NONE) {
            return; /* granted twice: cannot be */
        }
    }
    h->asked = false;
    if (h->waiting_units == units && !h->arrived) {
        h->arrived = true;
        h->arrived_first = (uint32_t)first;
        return;
    }
    split_run(h, (uint32_t)first, (uint32_t)units); /* too late for the one who asked */
}

static bool ask(wr_proc *p, uint32_t units) {
    wr_heap *h = p->heap;
    if (h->arrived) { /* while a wait was interrupted */
        return true;
    }
    if (!h->asked) {
        h->asked = true;
        h->refused = false;
        wr_proc_emit(p, WR_EVENT_NEED_HEAP, units);
        if (p->drain != NULL) {
            p->drain(p->drain_arg);
        }
    }
    wr_proc_grants(p);
    return h->arrived;
}

static bool evict_run(wr_proc *p);

static wr_status too_small(const wr_proc *p, uint64_t bytes, wr_error *err) {
    wr_status status =
        WR_FAIL(err, WR_E_OBJECT_STORE_FULL,
                "the object store is too small: %lu bytes asked by pid %u, and it has %lu in all",
                (unsigned long)bytes, WR_LOAD_RELAXED(&p->slot->pid), (unsigned long)p->pool->heap_bytes);
    wr_error_hint(err, "start the node with a larger object_store_memory, or put the value in pieces");
    return status;
}

static wr_status full(const wr_proc *p, uint64_t bytes, uint64_t waited_ns, wr_error *err) {
    wr_pool_header *header = p->pool->header;
    wr_status status =
        WR_FAIL(err, WR_E_OBJECT_STORE_FULL,
                "the object store is full: %lu bytes asked by pid %u, which waited %.1f s for room; "
                "largest free run %lu bytes, %lu of %lu bytes in use",
                (unsigned long)bytes, WR_LOAD_RELAXED(&p->slot->pid), (double)waited_ns / 1e9,
                (unsigned long)WR_LOAD_RELAXED(&header->heap_largest),
                (unsigned long)WR_LOAD_RELAXED(&header->heap_leased), (unsigned long)p->pool->heap_bytes);
    wr_error_hint(err,
                  "drop references to large objects, or start the node with a larger object_store_memory");
    return status;
}

/* Waits for a run of `units`; *out is its first. INTERRUPTED lets other threads run and is usually followed by another call
 * for as much: what was asked for stays asked for, and what comes meanwhile is kept for that call. */
static wr_status lease(wr_proc *p, uint32_t units, uint64_t bytes, uint32_t *out, wr_error *err) {
    wr_heap *h = p->heap;
    if (units > h->units) {
        return too_small(p, bytes, err);
    }
    WR_TRY(wr_proc_usable(p, err));
    if (h->waiting_units != units && h->arrived) { /* of a wait that did not go on */
        split_run(h, h->arrived_first, h->waiting_units);
        h->arrived = false;
    }
    h->waiting_units = units;
    h->left = false;
    wr_room_wait wait;
    wr_room_wait_begin(p, &wait);
    wr_status status = WR_OK;
    while (!ask(p, units)) {
        if (h->refused && evict_run(p)) {
            continue; /* what is only kept warm here may be what is missing */
        }
        wr_proc_limbo_look(p, p->limbo_count < 1024 ? p->limbo_count : 1024);
        status = wr_room_wait_turn(p, &wait, err);
        if (status != WR_OK) {
            break;
        }
    }
    if (status == WR_E_INTERRUPTED && !h->arrived) {
        h->left = true;
        h->left_ns = wr_clock_ns();
        return status;
    }
    h->waiting_units = 0;
    if (h->arrived) {
        h->arrived = false;
        *out = h->arrived_first;
        return WR_OK;
    }
    return status == WR_E_TIMEOUT || status == WR_E_OBJECT_STORE_FULL
               ? full(p, bytes, wr_clock_ns() - wait.began_ns, err)
               : status;
}

static wr_status pages_get(wr_proc *p, uint32_t n, uint64_t bytes, uint32_t *out, wr_error *err) {
    wr_heap *h = p->heap;
    *out = pages_take(h, n);
    if (*out != UINT32_MAX) {
        return WR_OK;
    }
    uint32_t more = h->split_units / 4, first = 0;
    more = more < 1 || h->refused ? 1 : more > SPLIT_ASK_MAX ? SPLIT_ASK_MAX : more;
    WR_TRY(lease(p, more, bytes, &first, err));
    split_run(h, first, more);
    *out = pages_take(h, n);
    WR_ASSERT(*out != UINT32_MAX);
    return WR_OK;
}

/* ---- Small blocks ---- */

static void class_list_remove(wr_heap *h, heap_class *c, heap_page *page) {
    if (page->prev != 0) {
        h->page[page->prev - 1].next = page->next;
    } else {
        c->pages_first = page->next;
    }
    if (page->next != 0) {
        h->page[page->next - 1].prev = page->prev;
    }
    page->listed = false;
}

static void class_list_add(wr_heap *h, heap_class *c, uint32_t index) {
    heap_page *page = &h->page[index];
    page->prev = 0;
    page->next = c->pages_first;
    if (page->next != 0) {
        h->page[page->next - 1].prev = index + 1;
    }
    c->pages_first = index + 1;
    page->listed = true;
}

static wr_status class_grow(wr_proc *p, uint32_t class_index, wr_error *err) {
    wr_heap *h = p->heap;
    heap_class *c = &h->classes[class_index];
    uint32_t index;
    WR_TRY(pages_get(p, 1, c->bytes, &index, err));
    heap_page *page = &h->page[index];
    if (page->bits == NULL) {
        page->bits = wr_calloc(2ull * h->bit_words, sizeof(uint64_t));
        if (page->bits == NULL) {
            pages_return(p, index, 1, true);
            return WR_FAIL(err, WR_E_NO_MEMORY, "heap: no memory for a page's bits");
        }
    }
    page->kind = PAGE_SMALL;
    page->class_index = (uint8_t)class_index;
    page->blocks = (uint16_t)(h->page_bytes / c->bytes);
    page->live = 0;
    for (uint32_t w = 0; w < h->bit_words; w++) {
        uint32_t left = page->blocks > w * 64 ? page->blocks - w * 64 : 0;
        page->bits[w] = left >= 64 ? ~0ull : (1ull << left) - 1;
        page->bits[h->bit_words + w] = 0;
    }
    c->page_count++;
    class_list_add(h, c, index);
    return WR_OK;
}

/* Moves free blocks of a page into the class's cache, highest first so that the lowest is taken first. */
static void class_refill(wr_heap *h, heap_class *c) {
    uint32_t index = c->pages_first - 1;
    heap_page *page = &h->page[index];
    uint64_t found[CACHE_MAX / 2];
    uint32_t n = 0;
    for (uint32_t w = 0; w < h->bit_words && n < CACHE_MAX / 2; w++) {
        while (page->bits[w] != 0 && n < CACHE_MAX / 2) {
            uint32_t b = (uint32_t)__builtin_ctzll(page->bits[w]);
            page->bits[w] &= page->bits[w] - 1;
            found[n++] = ((uint64_t)index << h->page_shift) + (uint64_t)(w * 64 + b) * c->bytes;
        }
    }
    page->live = (uint16_t)(page->live + n);
    if (page->live == page->blocks) {
        class_list_remove(h, c, page);
    }
    while (n != 0) {
        c->cache[c->cached++] = found[--n];
    }
}

/* The bit of a block in its page's maps. */
static uint32_t block_bit(const wr_heap *h, const heap_class *c, uint64_t offset) {
    return (uint32_t)((offset & (h->page_bytes - 1)) / c->bytes);
}

static void block_to_page(wr_proc *p, heap_class *c, uint64_t offset) {
    wr_heap *h = p->heap;
    uint32_t index = (uint32_t)(offset >> h->page_shift), bit = block_bit(h, c, offset);
    heap_page *page = &h->page[index];
    page->bits[bit / 64] |= 1ull << (bit % 64);
    page->live--;
    if (!page->listed) {
        class_list_add(h, c, index);
    }
    if (page->live == 0 && c->page_count > 1) {
        class_list_remove(h, c, page);
        c->page_count--;
        pages_return(p, index, 1, true);
    }
}

static wr_status small_alloc(wr_proc *p, uint64_t bytes, uint64_t *out, wr_error *err) {
    wr_heap *h = p->heap;
    uint32_t class_index = class_of(h, bytes);
    heap_class *c = &h->classes[class_index];
    if (WR_UNLIKELY(c->cached == 0)) {
        wr_proc_grants(p);
        if (c->cached == 0 && c->pages_first == 0) {
            WR_TRY(class_grow(p, class_index, err));
        }
        if (c->cached == 0) {
            class_refill(h, c);
        }
    }
    uint64_t offset = c->cache[--c->cached];
    uint32_t bit = block_bit(h, c, offset);
    h->page[offset >> h->page_shift].bits[h->bit_words + bit / 64] |= 1ull << (bit % 64);
    *out = offset;
    return WR_OK;
}

static bool small_free(wr_proc *p, uint64_t offset, heap_page *page) {
    wr_heap *h = p->heap;
    heap_class *c = &h->classes[page->class_index];
    uint32_t bit = block_bit(h, c, offset);
    uint64_t *used = &page->bits[h->bit_words + bit / 64];
    if ((offset & (h->page_bytes - 1)) % c->bytes != 0 || (*used >> (bit % 64) & 1) == 0) {
        return false;
    }
    *used &= ~(1ull << (bit % 64));
    if (c->cached == CACHE_MAX) { /* the coldest half goes home */
        for (uint32_t k = 0; k < CACHE_MAX / 2; k++) {
            block_to_page(p, c, c->cache[k]);
        }
        c->cached -= CACHE_MAX / 2;
        memmove(c->cache, c->cache + CACHE_MAX / 2, c->cached * sizeof(c->cache[0]));
    }
    c->cache[c->cached++] = offset;
    return true;
}

/* ---- Medium blocks ---- */

static wr_status medium_alloc(wr_proc *p, uint32_t n, uint64_t bytes, uint64_t *out, wr_error *err) {
    wr_heap *h = p->heap;
    uint32_t index;
    WR_TRY(pages_get(p, n, bytes, &index, err));
    h->page[index].kind = PAGE_MEDIUM;
    h->page[index].pages = (uint8_t)n;
    for (uint32_t k = 1; k < n; k++) {
        h->page[index + k].kind = PAGE_BODY;
    }
    *out = (uint64_t)index << h->page_shift;
    return WR_OK;
}

/* ---- Large runs ---- */

static uint64_t run_bytes_of(const wr_heap *h, uint32_t u) {
    return h->unit[u].units * h->unit_bytes + h->unit[u].tail_pages * h->page_bytes;
}

static void run_release(wr_proc *p, uint32_t u) {
    wr_heap *h = p->heap;
    uint32_t units = h->unit[u].units, tail = h->unit[u].tail_pages;
    give_back(p, u, units);
    if (tail != 0) {
        pages_return(p, (u + units) * UNIT_PAGES, tail, false);
    }
}

static void run_uncache(wr_heap *h, uint32_t k) {
    h->run_bytes -= run_bytes_of(h, h->runs[k]);
    memmove(&h->runs[k], &h->runs[k + 1], (h->run_count - k - 1) * sizeof(h->runs[0]));
    h->run_count--;
}

/* Gives the oldest cached run back; false: there is none. */
static bool evict_run(wr_proc *p) {
    wr_heap *h = p->heap;
    if (h->run_count == 0) {
        return false;
    }
    uint32_t u = h->runs[0];
    run_uncache(h, 0);
    run_release(p, u);
    return true;
}

/* The newest cached run that holds `bytes` and wastes at most a quarter. */
static bool run_reuse(wr_heap *h, uint64_t bytes, uint64_t *out) {
    for (uint32_t k = h->run_count; k-- > 0;) {
        uint32_t u = h->runs[k];
        uint64_t has = run_bytes_of(h, u);
        if (has >= bytes && has - bytes <= has / 4) {
            run_uncache(h, k);
            h->unit[u].mode = UNIT_RUN;
            *out = (uint64_t)u << h->unit_shift;
            return true;
        }
    }
    return false;
}

static wr_status large_alloc(wr_proc *p, uint64_t bytes, uint64_t *out, wr_error *err) {
    wr_heap *h = p->heap;
    wr_proc_grants(p);
    if (run_reuse(h, bytes, out)) {
        return WR_OK;
    }
    uint64_t pages = (bytes + h->page_bytes - 1) >> h->page_shift;
    uint64_t units = pages / UNIT_PAGES;
    uint32_t tail = (uint32_t)(pages % UNIT_PAGES), first;
    if (units + 1 > h->units) {
        return too_small(p, bytes, err);
    }
    WR_TRY(lease(p, (uint32_t)units + (tail != 0), bytes, &first, err));
    h->unit[first] = (heap_unit){.mode = UNIT_RUN, .units = (uint32_t)units, .tail_pages = (uint8_t)tail};
    for (uint32_t u = first + 1; u < first + units; u++) {
        h->unit[u] = (heap_unit){.mode = UNIT_BODY};
    }
    if (tail != 0) {
        uint32_t last = first + (uint32_t)units;
        add_split_unit(h, last, (uint16_t)~((1u << tail) - 1));
        for (uint32_t k = 0; k < tail; k++) {
            h->page[last * UNIT_PAGES + k].kind = PAGE_BODY;
        }
    }
    *out = (uint64_t)first << h->unit_shift;
    return WR_OK;
}

static void large_free(wr_proc *p, uint32_t u) {
    wr_heap *h = p->heap;
    uint64_t bytes = run_bytes_of(h, u);
    if (bytes > h->run_bytes_max) {
        h->unit[u].mode = UNIT_RUN_CACHED;
        run_release(p, u);
        return;
    }
    while (h->run_count == RUN_CACHE_MAX || h->run_bytes + bytes > h->run_bytes_max) {
        evict_run(p);
    }
    h->unit[u].mode = UNIT_RUN_CACHED;
    h->runs[h->run_count++] = u;
    h->run_bytes += bytes;
}

/* ---- The interface ---- */

wr_status wr_proc_heap_alloc(wr_proc *p, uint64_t bytes, uint64_t *out, wr_error *err) {
    if (WR_UNLIKELY(p->forked)) {
        return wr_proc_usable(p, err);
    }
    wr_heap *h = p->heap;
    wr_status status;
    if (bytes <= h->page_bytes / 2) {
        status = small_alloc(p, bytes, out, err);
    } else if (bytes <= h->unit_bytes) {
        status = medium_alloc(p, (uint32_t)((bytes + h->page_bytes - 1) >> h->page_shift), bytes, out, err);
    } else if (bytes <= p->pool->heap_bytes) {
        status = large_alloc(p, bytes, out, err);
    } else {
        return too_small(p, bytes, err);
    }
    h->live_blocks += status == WR_OK;
    return status;
}

bool wr_heap_block_free(wr_proc *p, uint64_t offset) {
    wr_heap *h = p->heap;
    uint64_t u = offset >> h->unit_shift;
    if (u >= h->units) {
        return false;
    }
    heap_unit *unit = &h->unit[u];
    bool freed = false;
    if (unit->mode == UNIT_RUN && (offset & (h->unit_bytes - 1)) == 0) {
        large_free(p, (uint32_t)u);
        freed = true;
    } else if (unit->mode == UNIT_SPLIT) {
        uint32_t index = (uint32_t)(offset >> h->page_shift);
        heap_page *page = &h->page[index];
        if (page->kind == PAGE_SMALL) {
            freed = small_free(p, offset, page);
        } else if (page->kind == PAGE_MEDIUM && (offset & (h->page_bytes - 1)) == 0) {
            pages_return(p, index, page->pages, true);
            freed = true;
        }
    }
    h->live_blocks -= freed;
    return freed;
}

void wr_proc_heap_free(wr_proc *p, uint64_t offset) {
    if (!p->forked) {
        wr_heap_block_free(p, offset);
    }
}

bool wr_heap_owns(const wr_proc *p, uint64_t offset) {
    uint64_t u = offset >> p->heap->unit_shift;
    return u < p->heap->units && p->heap->unit[u].mode != UNIT_NONE;
}

void wr_heap_trim(wr_proc *p) {
    wr_heap *h = p->heap;
    if (h->left && h->arrived && wr_clock_ns() - h->left_ns > WAIT_GIVEN_UP_NS) {
        give_back(p, h->arrived_first, h->waiting_units);
        h->left = h->arrived = false;
        h->waiting_units = 0;
    }
    while (evict_run(p)) {
    }
    for (uint32_t k = 0; k < h->class_count; k++) { /* warm blocks keep whole pages */
        heap_class *c = &h->classes[k];
        while (c->cached != 0) {
            block_to_page(p, c, c->cache[--c->cached]);
        }
    }
    while (h->buckets[UNIT_PAGES] != 0) {
        uint32_t u = h->buckets[UNIT_PAGES] - 1;
        bucket_remove(h, u);
        h->free_units--;
        h->split_units--;
        give_back(p, u, 1);
    }
}

bool wr_heap_unit_held(const wr_proc *p, uint64_t unit) {
    return unit < p->heap->units && p->heap->unit[unit].mode != UNIT_NONE;
}

uint64_t wr_heap_live_blocks(const wr_proc *p) {
    return p->heap->live_blocks;
}

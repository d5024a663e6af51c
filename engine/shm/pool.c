/* engine/shm/pool.c: making, mapping and poisoning the pool, and the views of it that need no books. */
#include "shm/layout.h"
#include "shm/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* ---- Small things of layout.h ---- */

int wr_futex_wait(const void *word, uint32_t seen, uint64_t timeout_ns) {
    struct timespec limit = {.tv_sec = (time_t)(timeout_ns / 1000000000u),
                             .tv_nsec = (long)(timeout_ns % 1000000000u)};
    return syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0) == 0 ? 0 : errno;
}

bool wr_slot_set_remove(wr_slot_set *set, uint32_t slot, bool *out_hid) {
    bool hid = false;
    uint32_t w = slot / 64;
    uint64_t bit = 1ull << (slot % 64);
    uint64_t before = atomic_fetch_and_explicit(&set->words[w], ~bit, memory_order_seq_cst);
    if ((before & ~bit) == 0) {
        atomic_fetch_and_explicit(&set->summary, ~(1ull << w), memory_order_seq_cst);
        if (WR_LOAD_SEQ(&set->words[w]) != 0) { /* somebody came in between, and saw the summary set */
            atomic_fetch_or_explicit(&set->summary, 1ull << w, memory_order_seq_cst);
            hid = true;
        }
    }
    if (out_hid != NULL) {
        *out_hid = hid;
    }
    return (before & bit) != 0;
}

void wr_slot_set_repair(wr_slot_set *set) {
    for (uint32_t w = 0; w < WR_SLOT_WORDS; w++) {
        if (WR_LOAD_SEQ(&set->words[w]) != 0) {
            atomic_fetch_or_explicit(&set->summary, 1ull << w, memory_order_seq_cst);
        }
    }
}

void *wr_pages_new(size_t bytes) {
    void *memory = mmap(NULL, bytes == 0 ? 1 : bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void wr_pages_free(void *memory, size_t bytes) {
    if (memory != NULL) {
        munmap(memory, bytes == 0 ? 1 : bytes);
    }
}

/* ---- Geometry ---- */

static bool is_power_of_two(uint64_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}

/* The least of what the machine has and what a container allows. */
static uint64_t usable_memory(void) {
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    static const char *const limits[] = {"/sys/fs/cgroup/memory.max",
                                         "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < WR_COUNT_OF(limits); i++) {
        char text[32];
        int fd = open(limits[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        ssize_t n = read(fd, text, sizeof text - 1);
        close(fd);
        uint64_t limit = 0;
        for (ssize_t k = 0; k < n && text[k] >= '0' && text[k] <= '9' && limit < UINT64_MAX / 16; k++) {
            limit = limit * 10 + (uint64_t)(text[k] - '0');
        }
        if (limit > 0 && limit < bytes) {
            bytes = limit;
        }
    }
    return bytes;
}

static void defaults(wr_pool_geometry *g) {
    const wr_pool_geometry usual = {
        .slots = 1024,
        .ports = 4096,
        .rings = 8192,
        .ring_capacity = 131072,
        .cells_per_extent = 512,
        .cell_extents = 16384,
        .event_capacity = 16384,
        .grant_capacity = 16384,
        .trace_capacity = 1024,
        .bells = 64,
        .heap_unit = 1 << 20,
    };
#define USUAL(field) g->field = g->field != 0 ? g->field : usual.field
    USUAL(slots);
    USUAL(ports);
    USUAL(rings);
    USUAL(ring_capacity);
    USUAL(cells_per_extent);
    USUAL(cell_extents);
    USUAL(event_capacity);
    USUAL(grant_capacity);
    USUAL(trace_capacity);
    USUAL(bells);
    USUAL(heap_unit);
#undef USUAL
    if (g->heap_bytes == 0) {
        g->heap_bytes = usable_memory() / 10 * 3 / g->heap_unit * g->heap_unit;
    }
}

static const char *geometry_wrong(const wr_pool_geometry *g) {
    if (g->slots < 2 || g->slots > WR_SLOT_MAX) {
        return "slots must be 2 to 1024";
    }
    if (g->ports < 1 || g->ports >= WR_PORT_JOIN) {
        return "ports must be 1 to 65533";
    }
    if (g->rings < 1 || g->rings > WR_RING_MAX) {
        return "rings must be 1 to 1048576";
    }
    if (!is_power_of_two(g->ring_capacity) || g->ring_capacity < 4 || g->ring_capacity > 1u << 24) {
        return "ring_capacity must be a power of two, 4 to 2^24";
    }
    if (!is_power_of_two(g->cells_per_extent) || g->cells_per_extent < 4 || g->cells_per_extent > 1u << 16) {
        return "cells_per_extent must be a power of two, 4 to 65536";
    }
    if (g->cell_extents < 1 || (uint64_t)g->cell_extents * g->cells_per_extent > 1u << 30) {
        return "cell_extents must be > 0 and make at most 2^30 cells";
    }
    if (!is_power_of_two(g->event_capacity) || g->event_capacity < 4 || g->event_capacity > 1u << 24 ||
        !is_power_of_two(g->grant_capacity) || g->grant_capacity < 4 || g->grant_capacity > 1u << 24 ||
        !is_power_of_two(g->trace_capacity) || g->trace_capacity > 1u << 24) {
        return "event, grant and trace capacities must be powers of two, 4 to 2^24";
    }
    if (!is_power_of_two(g->bells) || g->bells > WR_BELL_MAX) {
        return "bells must be a power of two, at most 128";
    }
    if (!is_power_of_two(g->heap_unit) || g->heap_unit < WR_PAGE || g->heap_unit > 1ull << 32) {
        return "heap_unit must be a power of two, 4096 to 2^32";
    }
    if (g->heap_bytes == 0 || g->heap_bytes % g->heap_unit != 0 || g->heap_bytes > 1ull << 46 ||
        g->heap_bytes / g->heap_unit > 1u << 28) {
        return "heap_bytes must be a multiple of heap_unit, at most 2^46 and 2^28 units";
    }
    return NULL;
}

/* The offsets follow from the geometry alone, so that a reader can compare instead of trusting. */
static void lay_out(wr_pool_header *h) {
    const wr_pool_geometry *g = &h->geometry;
    uint64_t at = wr_align_up(sizeof(*h), WR_PAGE);
    h->extents_at = at;
    at = wr_align_up(at + 4ull * g->cell_extents, WR_PAGE);
    h->slots_at = at;
    h->slot_stride = wr_align_up(wr_align_up(sizeof(wr_slot), 64) + 16ull * g->event_capacity +
                                     16ull * g->grant_capacity + 32ull * g->trace_capacity,
                                 WR_PAGE);
    at += h->slot_stride * g->slots;
    h->ports_at = at;
    at = wr_align_up(at + sizeof(wr_port) * (uint64_t)g->ports, WR_PAGE);
    h->rings_at = at;
    h->ring_stride = wr_align_up(sizeof(wr_ring) + 8ull * g->ring_capacity, 128);
    at = wr_align_up(at + h->ring_stride * g->rings, WR_PAGE);
    h->cells_at = at;
    at = wr_align_up(at + sizeof(wr_cell) * (uint64_t)g->cell_extents * g->cells_per_extent, WR_PAGE);
    h->heap_at = at;
    h->total_bytes = at + g->heap_bytes;
    h->header_bytes = sizeof(*h);
}

/* ---- Mapping ---- */

static wr_status no_room(wr_error *err, const char *what, uint64_t bytes) {
    wr_status status = WR_FAIL_ERRNO(err, "pool: mapping %lu %s", (unsigned long)bytes, what);
    wr_error_hint(err,
                  "raise the limit of address space (ulimit -v), or choose a smaller object_store_memory; "
                  "what is mapped takes memory only as it is used");
    return status;
}

static wr_status map_parts(wr_pool *p, const wr_pool_header *h, wr_error *err) {
    p->geometry = h->geometry;
    p->control_bytes = h->heap_at;
    p->heap_at = h->heap_at;
    p->heap_bytes = h->geometry.heap_bytes;
    void *control =
        mmap(NULL, p->control_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, p->fd, 0);
    if (control == MAP_FAILED) {
        return no_room(err, "control bytes", p->control_bytes);
    }
    p->control = control;
    void *heap = mmap(NULL, p->heap_bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, p->fd, (off_t)h->heap_at);
    if (heap == MAP_FAILED) {
        return no_room(err, "heap bytes", p->heap_bytes);
    }
    p->heap_read = heap;
    heap = mmap(NULL, p->heap_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, p->fd,
                (off_t)h->heap_at);
    if (heap == MAP_FAILED) {
        return no_room(err, "heap bytes for writing", p->heap_bytes);
    }
    p->heap_write = heap;
    /* A forked child must not own its parent's slot, and can read what its parent holds. */
    madvise(p->control, p->control_bytes, MADV_DONTFORK);
    madvise(p->heap_write, p->heap_bytes, MADV_DONTFORK);

    p->header = control;
    p->extents = (wr_a32 *)(void *)(p->control + h->extents_at);
    p->slots = p->control + h->slots_at;
    p->ports = (wr_port *)(void *)(p->control + h->ports_at);
    p->rings = p->control + h->rings_at;
    p->cells = (wr_cell *)(void *)(p->control + h->cells_at);
    p->cell_count = h->geometry.cell_extents * h->geometry.cells_per_extent;
    p->cells_shift = (uint32_t)__builtin_ctz(h->geometry.cells_per_extent);
    p->slot_stride = h->slot_stride;
    p->ring_stride = h->ring_stride;
    p->ring_mask = h->geometry.ring_capacity - 1;
    p->events_at = wr_align_up(sizeof(wr_slot), 64);
    p->grants_at = p->events_at + 16ull * h->geometry.event_capacity;
    p->trace_at = p->grants_at + 16ull * h->geometry.grant_capacity;
    return WR_OK;
}

WR_DEFINE_AUTO(wr_pool, wr_pool_close)

wr_status wr_pool_create(const wr_pool_geometry *geometry, wr_pool **out, wr_error *err) {
    WR_ASSERT(out != NULL);
    wr_pool_header plan = {.version = WR_LAYOUT_VERSION};
    if (geometry != NULL) {
        plan.geometry = *geometry;
    }
    defaults(&plan.geometry);
    const char *wrong = geometry_wrong(&plan.geometry);
    if (wrong != NULL) {
        return WR_FAIL(err, WR_E_INVALID, "pool: %s", wrong);
    }
    lay_out(&plan);

    WR_AUTO(wr_pool) p = wr_calloc(1, sizeof(*p));
    if (p == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "pool: no %zu bytes", sizeof(*p));
    }
    p->fd = memfd_create("whipray-pool", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (p->fd < 0) {
        return errno == EMFILE || errno == ENFILE
                   ? WR_FAIL(err, WR_E_LIMIT, "pool: no file descriptor is left")
                   : WR_FAIL_ERRNO(err, "pool: memfd_create");
    }
    if (ftruncate(p->fd, (off_t)plan.total_bytes) != 0 ||
        fcntl(p->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return WR_FAIL_ERRNO(err, "pool: sizing a memfd of %lu bytes", (unsigned long)plan.total_bytes);
    }
    WR_TRY(map_parts(p, &plan, err));
    memcpy(p->header, &plan, offsetof(wr_pool_header, reason));
    atomic_thread_fence(memory_order_release);
    p->header->magic = WR_POOL_MAGIC;
    *out = wr_steal(&p);
    return WR_OK;
}

wr_status wr_pool_open(int fd, wr_pool **out, wr_error *err) {
    WR_ASSERT(out != NULL);
    WR_AUTO(wr_pool) p = wr_calloc(1, sizeof(*p));
    if (p == NULL) {
        close(fd);
        return WR_FAIL(err, WR_E_NO_MEMORY, "pool: no %zu bytes", sizeof(*p));
    }
    p->fd = fd;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return WR_FAIL_ERRNO(err, "pool: fstat");
    }
    wr_pool_header found, plan = {.version = WR_LAYOUT_VERSION};
    ssize_t n = pread(fd, &found, sizeof found, 0);
    if (n < (ssize_t)offsetof(wr_pool_header, geometry) || found.magic != WR_POOL_MAGIC) {
        return WR_FAIL(err, WR_E_CORRUPT, "pool: the descriptor is not a pool (no magic)");
    }
    if (found.version != WR_LAYOUT_VERSION) {
        return WR_FAIL(err, WR_E_VERSION, "pool: its layout version is %u, this process was built for %d",
                       found.version, WR_LAYOUT_VERSION);
    }
    plan.geometry = found.geometry;
    if (n != (ssize_t)sizeof found || geometry_wrong(&plan.geometry) != NULL) {
        return WR_FAIL(err, WR_E_CORRUPT, "pool: the header's geometry cannot be right");
    }
    lay_out(&plan);
    plan.magic = WR_POOL_MAGIC;
    if (memcmp(&plan, &found, offsetof(wr_pool_header, reason)) != 0 ||
        st.st_size != (off_t)plan.total_bytes) {
        return WR_FAIL(err, WR_E_CORRUPT, "pool: the header's offsets do not follow from its geometry");
    }
    WR_TRY(map_parts(p, &plan, err));
    *out = wr_steal(&p);
    return WR_OK;
}

void wr_pool_close(wr_pool *pool) {
    if (pool == NULL) {
        return;
    }
    if (!pool->forked &&
        pool->control != NULL) { /* in a forked child these are not mapped, or something else is there */
        munmap(pool->control, pool->control_bytes);
    }
    if (!pool->forked && pool->heap_write != NULL) {
        munmap(pool->heap_write, pool->heap_bytes);
    }
    if (pool->heap_read != NULL) {
        munmap((void *)(uintptr_t)pool->heap_read, pool->heap_bytes);
    }
    if (pool->forked) {
        wr_free(pool->header);
    }
    if (pool->fd >= 0) {
        close(pool->fd);
    }
    wr_free(pool);
}

int wr_pool_fd(const wr_pool *pool) {
    return pool->fd;
}

const wr_pool_geometry *wr_pool_geometry_of(const wr_pool *pool) {
    return &pool->geometry;
}

/* ---- Poison and the raylet's bell ---- */

void wr_pool_poison(wr_pool *pool, const char *reason) {
    wr_pool_header *h = pool->header;
    if (reason != NULL && !wr_pool_poisoned(pool)) { /* before the flag: who sees that, sees the text */
        memcpy(h->reason, reason, strnlen(reason, WR_REASON_MAX - 1));
    }
    (void)atomic_fetch_or(&h->alert, WR_ALERT_POISON);
    if (pool->forked) {
        return;
    }
    wr_bell_ring(&h->bell);
    for (uint32_t b = 0; b < pool->geometry.bells; b++) {
        wr_bell_ring(&h->bells[b][0]);
    }
    uint32_t high = WR_LOAD(&h->slot_high);
    for (uint32_t s = 0; s < high && s < pool->geometry.slots; s++) {
        wr_bell_ring(&wr_slot_at(pool, s)->bell);
    }
}

bool wr_pool_poisoned(const wr_pool *pool) {
    return (wr_alert(pool) & WR_ALERT_POISON) != 0;
}

void wr_pool_reason(const wr_pool *pool, char out[WR_REASON_MAX]) {
    out[0] = 0;
    if ((WR_LOAD(&pool->header->alert) & WR_ALERT_POISON) == 0) {
        return;
    }
    memcpy(out, pool->header->reason, WR_REASON_MAX); /* read once: others may write there */
    out[WR_REASON_MAX - 1] = 0;
    for (char *at = out; *at != 0; at++) {
        *at = (unsigned char)*at < ' ' && *at != '\n' ? '?' : *at;
    }
}

uint32_t wr_pool_bell_read(const wr_pool *pool) {
    return WR_LOAD_SEQ(&pool->header->bell);
}

void wr_pool_bell_wait(wr_pool *pool, uint32_t seen, uint64_t timeout_ns) {
    wr_futex_wait(&pool->header->bell, seen, timeout_ns);
}

void wr_pool_bell_ring(wr_pool *pool) {
    wr_bell_ring(&pool->header->bell);
}

/* ---- Heap bytes ---- */

const uint8_t *wr_pool_heap_read(const wr_pool *pool, uint64_t offset, uint64_t bytes) {
    if (offset > pool->heap_bytes || bytes > pool->heap_bytes - offset) {
        return NULL;
    }
    return pool->heap_read + offset;
}

uint8_t *wr_pool_heap_write(const wr_pool *pool, uint64_t offset, uint64_t bytes) {
    if (pool->forked || offset > pool->heap_bytes || bytes > pool->heap_bytes - offset) {
        return NULL;
    }
    return pool->heap_write + offset;
}

/* ---- Cells and counters, as anybody may look at them ---- */

wr_cell_state wr_cell_state_of(const wr_pool *pool, wr_handle handle) {
    const wr_cell *cell = wr_cell_at(pool, handle);
    if (cell == NULL) {
        return WR_CELL_FREE;
    }
    uint64_t word = WR_LOAD(&cell->ctl);
    return wr_generation_of(word) == wr_generation_of(handle) ? wr_state_of(word) : WR_CELL_FREE;
}

wr_status wr_cell_result(const wr_pool *pool, wr_handle handle, wr_result *out) {
    const wr_cell *cell = wr_cell_at(pool, handle);
    uint64_t word = cell == NULL ? 0 : WR_LOAD(&cell->ctl);
    if (cell == NULL || wr_generation_of(word) != wr_generation_of(handle) ||
        wr_state_of(word) == WR_CELL_FREE) {
        return WR_E_NOT_FOUND;
    }
    if (wr_state_of(word) != WR_CELL_SEALED) {
        return WR_E_STATE;
    }
    uint8_t location = cell->location, bytes = cell->result_bytes;
    out->kind = cell->result_kind & (uint8_t)~WR_WITHDRAWN;
    out->location = location;
    if (location == WR_AT_INLINE) {
        out->bytes = bytes <= WR_INLINE_MAX ? bytes : WR_INLINE_MAX;
        out->offset = 0;
        memcpy(out->inline_bytes, cell->inline_bytes, WR_INLINE_MAX);
    } else {
        out->bytes = 0;
        out->offset = cell->place & ~7ull;
    }
    return WR_OK;
}

bool wr_cell_runner(const wr_pool *pool, wr_handle handle, uint32_t *out_slot, uint32_t *out_epoch) {
    const wr_cell *cell = wr_cell_at(pool, handle);
    uint64_t word = cell == NULL ? 0 : WR_LOAD(&cell->ctl);
    if (cell == NULL || wr_generation_of(word) != wr_generation_of(handle) ||
        wr_state_of(word) != WR_CELL_RUNNING) {
        return false;
    }
    *out_slot = (uint32_t)(word >> 8) & 0xfff;
    *out_epoch = (uint32_t)(word >> 20) & 0xfff;
    return true;
}

bool wr_cell_look(const wr_pool *pool, wr_handle handle, wr_cell_call *out) {
    const wr_cell *cell = wr_cell_at(pool, handle);
    const uint64_t word = cell == NULL ? 0 : WR_LOAD(&cell->ctl);
    if (cell == NULL || wr_generation_of(word) != wr_generation_of(handle) ||
        wr_state_of(word) == WR_CELL_FREE) {
        return false;
    }
    *out = (wr_cell_call){.state = wr_state_of(word),
                          .function = wr_cell_function(cell),
                          .slot = (uint32_t)(word >> 8) & 0xfff,
                          .port = wr_cell_port(cell)};
    atomic_thread_fence(
        memory_order_acquire); /* what was read counts only if the cell is still this task's */
    return wr_generation_of(WR_LOAD_RELAXED(&cell->ctl)) == wr_generation_of(handle);
}

bool wr_cell_is_actor_call(const wr_pool *pool, wr_handle handle) {
    wr_cell_call call;
    return wr_cell_look(pool, handle, &call) && call.state != WR_CELL_SEALED &&
           call.port < pool->geometry.ports && WR_LOAD(&pool->ports[call.port].actor) != 0;
}

void wr_pool_counters(const wr_pool *pool, uint32_t slot, wr_proc_counters *out) {
    uint64_t values[sizeof(*out) / sizeof(uint64_t)] = {0};
    if (slot < pool->geometry.slots && !pool->forked) {
        for (size_t i = 0; i < WR_COUNT_OF(values); i++) {
            values[i] = WR_LOAD_RELAXED(&wr_slot_at(pool, slot)->counters[i]);
        }
    }
    memcpy(out, values, sizeof values);
}

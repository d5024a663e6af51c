#include "probe.h"

#include "shm/proc_internal.h"

void wr_test_seal_without_walk(wr_proc *proc, wr_handle handle) {
    wr_cell *cell = wr_cell_at(proc->pool, handle);
    uint64_t word = WR_LOAD(&cell->ctl);
    cell->location = WR_AT_INLINE;
    cell->result_bytes = 4;
    cell->result_kind = 1;
    memset(cell->inline_bytes, 0, sizeof cell->inline_bytes);
    while (!WR_CAS(&cell->ctl, &word,
                   wr_word(wr_generation_of(handle), WR_CELL_SEALED) | proc->who |
                       (word & (WR_FLAG_DEPS | WR_FLAG_SHARED)))) {
    }
}

void wr_test_scribble(wr_pool *pool, uint32_t slot, uint64_t random) {
    uint64_t place = random >> 8, value = random * 0x9e3779b97f4a7c15u;
    if (random & 16) {
        value &= 0xff; /* small numbers get further */
    }
    uint8_t *at;
    switch (random % 8) {
    case 0:
    case 1:
    case 2:
        at = (uint8_t *)pool->cells + place % (sizeof(wr_cell) * 1024);
        break;
    case 3:
        at = (uint8_t *)wr_slot_at(pool, slot) + place % pool->slot_stride;
        break;
    case 4:
        at = (uint8_t *)pool->ports + place % (sizeof(wr_port) * 2);
        break;
    case 5:
        at = pool->rings + place % (pool->ring_stride * 8);
        break;
    case 6:
        at = pool->heap_write + place % (1 << 18);
        break;
    default:
        at = (uint8_t *)pool->extents + place % 256;
        break;
    }
    *(uint64_t *)(void *)((uintptr_t)at & ~(uintptr_t)7) = value;
}

void wr_test_event(wr_proc *proc, uint32_t type, uint64_t handle) {
    wr_proc_emit(proc, (wr_event_type)type, handle);
}

uint32_t wr_test_point_ring(wr_pool *pool, uint16_t port, uint32_t slot, uint32_t ring) {
    uint32_t was = WR_LOAD(&pool->ports[port].ring_of[slot]);
    WR_STORE(&pool->ports[port].ring_of[slot], ring);
    wr_slot_set_add(&pool->ports[port].nonempty, slot);
    return was;
}

void wr_test_lose_hint(wr_pool *pool, uint16_t port, uint32_t slot) {
    wr_slot_set_remove(&pool->ports[port].nonempty, slot, NULL);
}

void wr_test_outlive_port(wr_pool *pool, wr_handle handle) {
    wr_cell_at(pool, handle)->port_generation--;
}

uint64_t wr_test_credit_tail(wr_pool *pool, uint64_t block, uint64_t tail) {
    wr_block_view view;
    if (wr_block_open(pool, block, &view, NULL) != WR_OK) {
        return 0;
    }
    wr_a64 *at = (wr_a64 *)(void *)(pool->heap_write + ((const uint8_t *)view.credits - pool->heap_read));
    uint64_t was = WR_LOAD(at);
    if (tail != 0) {
        WR_STORE(at, tail);
    }
    return was;
}

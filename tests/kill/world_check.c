/* tests/kill/world_check.c: what must hold once the world has come to rest. */
#include "tests/kill/world.h"

static void check_results(kill_who gone) {
    for (kill_who who = DRIVER; who < WHO_COUNT; who++) {
        if (!kill_acts(who, gone)) {
            continue;
        }
        for (uint32_t k = 0; k < world->out_count[who]; k++) {
            wr_handle handle = world->out[who][k].handle;
            const wr_cell *cell = wr_cell_at(world->pool, handle);
            if (handle != 0 && cell != NULL) {
                const wr_ring *ring = wr_ring_at(world->pool, kill_ring_at(who, world->port));
                kill_wrong("result %u of process %d never came: cell %u, control word %lx, pending %lx, its "
                           "ring is at "
                           "%lu to %lu",
                           k, (int)who, wr_index_of(handle), (unsigned long)WR_LOAD(&cell->ctl),
                           (unsigned long)WR_LOAD(&cell->pending), (unsigned long)WR_LOAD(&ring->head),
                           (unsigned long)WR_LOAD(&ring->tail));
            }
        }
        if (world->busy[who].handle != 0) {
            kill_wrong("process %d still waits inside a task", (int)who);
        }
        kill_forget_kept(who);
    }
    for (uint32_t id = 0; id < WR_COUNT_OF(world->ran); id++) {
        if (world->ran[id] > 1) {
            kill_wrong("task %u ran %u times among the survivors", id, world->ran[id]);
        }
    }
}

static void check_hints(void) {
    const wr_pool *pool = world->pool;
    for (uint32_t n = 0; n < pool->geometry.ports; n++) {
        wr_port *port = &pool->ports[n];
        for (uint32_t w = 0; w < WR_SLOT_WORDS; w++) {
            if (WR_LOAD(&port->sleepers.words[w]) != 0) {
                kill_wrong("port %u: a sleeper's bit is left (%lx)", n,
                           (unsigned long)WR_LOAD(&port->sleepers.words[w]));
            }
        }
        if (n == world->actor_port && world->actor_port_dead) {
            continue; /* nobody takes there any more */
        }
        for (uint32_t s = 0; s < pool->geometry.slots; s++) {
            uint32_t ring = WR_LOAD(&port->ring_of[s]);
            if (ring != 0 &&
                WR_LOAD(&wr_ring_at(pool, ring - 1)->head) < WR_LOAD(&wr_ring_at(pool, ring - 1)->tail)) {
                kill_wrong("port %u: the ring of slot %u is not empty", n, s);
            }
        }
    }
}

static void check_cells(kill_who gone) {
    const wr_pool *pool = world->pool;
    for (uint32_t i = 0; i < pool->cell_count; i++) {
        uint64_t word = WR_LOAD(&pool->cells[i].ctl);
        if (wr_state_of(word) != WR_CELL_FREE) {
            kill_wrong("leak: cell %u of slot %d, control word %lx, function %u", i,
                       (int)WR_LOAD(&pool->extents[i >> pool->cells_shift]) - 1, (unsigned long)word,
                       pool->cells[i].function);
        }
    }
    for (uint32_t e = 0; e < pool->geometry.cell_extents; e++) {
        uint32_t holder = WR_LOAD(&pool->extents[e]);
        if (holder != 0 && WR_LOAD(&wr_slot_at(pool, holder - 1)->state) != WR_SLOT_LIVE) {
            kill_wrong("extent %u is still held by slot %u, which is dead", e, holder - 1);
        }
    }
    if (gone != NOBODY && gone != RAYLET &&
        WR_LOAD(&wr_slot_at(pool, world->slot[gone])->state) != WR_SLOT_FREE) {
        kill_wrong("the victim's slot is not free");
    }
}

static void check_keeper(kill_who gone) {
    wr_proc *procs[WHO_COUNT];
    uint32_t count = 0;
    for (kill_who who = DRIVER; who < WHO_COUNT; who++) {
        if (kill_acts(who, gone)) {
            procs[count++] = world->proc[who];
        }
    }
    const char *fault = wr_keeper_check(world->keeper, procs, count, true);
    if (fault != NULL) {
        kill_wrong("structure: %s", fault);
    }
    wr_keeper_stats stats;
    wr_keeper_stats_of(world->keeper, &stats);
    if (stats.rows != 0 || stats.candidates != 0 || stats.orphan_cells != 0 || stats.pairs != 0 ||
        stats.heap_orphaned != 0) {
        kill_wrong("left in the keeper: %lu rows, %lu candidates, %lu orphans, %lu pairs, %lu bytes of "
                   "orphaned heap",
                   (unsigned long)stats.rows, (unsigned long)stats.candidates,
                   (unsigned long)stats.orphan_cells, (unsigned long)stats.pairs,
                   (unsigned long)stats.heap_orphaned);
    }
}

void kill_check_rest(kill_who gone) {
    for (kill_who who = DRIVER; who < WHO_COUNT; who++) {
        if (kill_acts(who, gone)) {
            kill_collect(who);
        }
    }
    check_results(gone);
    kill_others(6, gone);
    if (!world->failed) {
        check_hints();
        check_keeper(gone);
        check_cells(gone);
    }
}

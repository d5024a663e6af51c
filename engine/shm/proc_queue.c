/* engine/shm/proc_queue.c: rings, their hints (nonempty, sleepers), and the private backlog behind a full
 * ring. Everything here is a hint: queueing a task twice or not at all is repaired from its cell. */
#include "shm/proc_internal.h"

enum { CORE_EVERY = 16 };

/* ---- Waking takers ---- */

bool wr_port_wake_one(const wr_pool *pool, uint32_t port) {
    wr_slot_set *sleepers = &pool->ports[port].sleepers;
    bool woken = false;
    for (uint32_t tries = 0; tries < WR_SLOT_MAX; tries++) { /* bounded: others set bits all the time */
        uint64_t summary = WR_LOAD_SEQ(&sleepers->summary);
        if (summary == 0) {
            break;
        }
        uint32_t w = (uint32_t)__builtin_ctzll(summary) % WR_SLOT_WORDS;
        uint64_t word = WR_LOAD_SEQ(&sleepers->words[w]);
        uint32_t slot = w * 64 + (word == 0 ? 0 : (uint32_t)__builtin_ctzll(word));
        bool hid;
        if (wr_slot_set_remove(sleepers, slot, &hid) &&
            slot < pool->geometry.slots) { /* an empty word: mends the summary */
            wr_bell_ring(&wr_slot_at(pool, slot)->bell);
            woken = true;
        }
        if (woken && !hid) {
            break; /* else another submitter may have seen nobody: one more looks for its task */
        }
    }
    return woken;
}

/* A task has become visible: wakes a sleeper; without one, the raylet, if it asked for that. */
static void announce(wr_proc *p, wr_port *port, uint32_t number) {
    if (WR_UNLIKELY(WR_LOAD_SEQ(&port->sleepers.summary) != 0) && wr_port_wake_one(p->pool, number)) {
        atomic_store_explicit(&p->woke, true, memory_order_relaxed);
        wr_proc_count(p, WR_COUNTER_WAKES, 1);
        return;
    }
    if (WR_UNLIKELY(WR_LOAD_SEQ(&port->hungry) != 0) && p->drain == NULL &&
        atomic_exchange_explicit(&port->hungry, 0, memory_order_seq_cst) != 0) {
        wr_bell_ring(&p->pool->header->bell);
    }
}

/* ---- The own ring at a port ---- */

static wr_ring *ring_lookup(wr_proc *p, uint32_t port) {
    wr_proc_port *mine = &p->ports[port];
    uint32_t number = WR_LOAD_SEQ(&p->pool->ports[port].ring_of[p->index]); /* README, pair 1 */
    if (number == 0 || number > p->pool->geometry.rings) {
        return NULL;
    }
    wr_ring *ring = wr_ring_at(p->pool, number - 1);
    if (WR_LOAD(&ring->port) != port || WR_LOAD(&ring->slot) != p->index) {
        return NULL;
    }
    uint64_t tail = WR_LOAD_RELAXED(&ring->tail);
    mine->ring = number;
    mine->low =
        tail > p->pool->ring_mask ? tail - p->pool->ring_mask : 0; /* old entries are looked at as well */
    return ring;
}

wr_ring *wr_proc_ring(wr_proc *p, uint32_t port) {
    wr_proc_port *mine = &p->ports[port];
    if (WR_LIKELY(mine->ring != 0)) {
        wr_ring *ring = wr_ring_at(p->pool, mine->ring - 1);
        if (WR_LIKELY(WR_LOAD_RELAXED(&ring->port) == port && WR_LOAD_RELAXED(&ring->slot) == p->index)) {
            return ring;
        }
        mine->ring = 0; /* the port was closed and opened anew */
    }
    return ring_lookup(p, port);
}

/* Begun, or done with: it is found by its claimer's intents, and no longer by its place in the ring. (An
 * actor's call that still runs a whole ring later loses its place: should its actor die, the reaper queues it
 * anew.) */
static bool begun(const wr_pool *pool, wr_handle handle) {
    wr_cell_state state = wr_cell_state_of(pool, handle);
    return state != WR_CELL_READY && state != WR_CELL_WAITING;
}

/* One slot stays unused: the slot written next never names a call that was not begun. */
static bool ring_full(wr_proc *p, wr_proc_port *mine, wr_ring *ring, uint64_t tail) {
    uint64_t mask = p->pool->ring_mask;
    uint32_t looks = 0;
    while (tail - mine->low >= mask && looks++ < 64) {
        if (!begun(p->pool, WR_LOAD_RELAXED(&ring->at[mine->low & mask]))) {
            break;
        }
        mine->low++;
    }
    return tail - mine->low >= mask;
}

/* The task is looked at once more after it stands in the ring: its port may have been closed between the
 * look of its submit and the ring (README, invariant 14). */
wr_enqueued wr_proc_enqueue(wr_proc *p, uint32_t number, wr_handle handle) {
    wr_port *port = &p->pool->ports[number];
    uint16_t meant =
        wr_cell_port_generation(&p->pool->cells[wr_index_of(handle)]); /* now: its line is a taker's soon */
    wr_ring *ring = wr_proc_ring(p, number);
    if (WR_UNLIKELY(ring == NULL)) {
        return wr_port_passed_on(port, meant) ? WR_ENQUEUE_GONE : WR_ENQUEUE_NO_RING;
    }
    uint64_t tail = WR_LOAD_RELAXED(&ring->tail);
    wr_proc_port *mine = &p->ports[number];
    if (WR_UNLIKELY(tail - mine->low >= p->pool->ring_mask) && ring_full(p, mine, ring, tail)) {
        return wr_port_passed_on(port, meant) ? WR_ENQUEUE_GONE : WR_ENQUEUE_FULL;
    }
    if (WR_UNLIKELY(tail % CORE_EVERY == 0)) { /* who waits for us wants to know where we are */
        wr_proc_publish_core(p);
    }
    /* Release: who finds it where an older handle lay sees the tail that has passed that one (actor_rewind). */
    WR_STORE(&ring->at[tail & p->pool->ring_mask], handle);
    WR_STORE_SEQ(&ring->tail, tail + 1); /* before the looks at nonempty and sleepers: README, pair 1 */
    if (!wr_slot_set_has(&port->nonempty, p->index)) {
        wr_slot_set_add(&port->nonempty, p->index);
    }
    announce(p, port, number);
    return WR_UNLIKELY(wr_port_passed_on(port, meant)) ? WR_ENQUEUE_GONE : WR_ENQUEUED;
}

void wr_proc_enqueue_durably(wr_proc *p, uint32_t port, wr_handle handle) {
    wr_enqueued done = WR_ENQUEUE_FULL;
    if (p->ports[port].backlog_first == 0) {
        done = wr_proc_enqueue(p, port, handle);
    }
    if (done == WR_ENQUEUED) {
        return;
    }
    if (done == WR_ENQUEUE_NO_RING) {
        wr_proc_emit(p, WR_EVENT_NEED_RING, port);
    }
    wr_proc_emit(p, WR_EVENT_QUEUE, handle); /* GONE: the raylet fails it */
}

/* ---- The backlog: tasks of this process behind a full ring ---- */

wr_status wr_proc_backlog_reserve(wr_proc *p, wr_error *err) {
    WR_TRY(wr_array_reserve((void **)&p->backlog, &p->backlog_capacity, p->backlog_used + 1,
                            sizeof(*p->backlog), err));
    return wr_array_reserve((void **)&p->backlog_ports, &p->backlog_ports_capacity,
                            p->backlog_ports_count + 1, sizeof(*p->backlog_ports), err);
}

/* Room was reserved. */
static void backlog_push(wr_proc *p, uint32_t port, wr_handle handle) {
    uint32_t node = p->backlog_free;
    if (node != 0) {
        p->backlog_free = p->backlog[node - 1].next;
    } else {
        node = ++p->backlog_used;
    }
    p->backlog[node - 1] = (wr_backlog_node){handle, 0};
    wr_proc_port *mine = &p->ports[port];
    if (mine->backlog_first == 0) {
        mine->backlog_first = node;
        p->backlog_ports[p->backlog_ports_count++] = port;
    } else {
        p->backlog[mine->backlog_last - 1].next = node;
    }
    mine->backlog_last = node;
    p->backlog_count++;
}

bool wr_proc_enqueue_own(wr_proc *p, uint32_t port, wr_handle handle) {
    if (WR_LIKELY(p->ports[port].backlog_first == 0)) {
        wr_enqueued done = wr_proc_enqueue(p, port, handle);
        if (WR_LIKELY(done == WR_ENQUEUED)) {
            return true;
        }
        if (done == WR_ENQUEUE_GONE) {
            return false;
        }
    }
    backlog_push(p, port, handle);
    return true;
}

bool wr_proc_flush(wr_proc *p) {
    if (p->forked) {
        return false;
    }
    for (uint32_t k = 0; k < p->backlog_ports_count;) {
        uint32_t port = p->backlog_ports[k];
        wr_proc_port *mine = &p->ports[port];
        while (mine->backlog_first != 0) {
            uint32_t node = mine->backlog_first;
            wr_handle handle = p->backlog[node - 1].handle;
            wr_enqueued done = wr_proc_enqueue(p, port, handle);
            if (done == WR_ENQUEUE_GONE) {
                wr_proc_fail_gone(p, handle);
            } else if (done != WR_ENQUEUED) {
                break;
            }
            mine->backlog_first = p->backlog[node - 1].next;
            p->backlog[node - 1].next = p->backlog_free;
            p->backlog_free = node;
            p->backlog_count--;
        }
        if (mine->backlog_first == 0) {
            p->backlog_ports[k] = p->backlog_ports[--p->backlog_ports_count];
        } else {
            k++;
        }
    }
    return p->backlog_count != 0;
}

/* ---- Looking for work ---- */

/* The head of a ring can be taken. Of an actor's ring only if it does not wait for its arguments (README,
 * pair 3). */
static bool head_ready(const wr_pool *pool, wr_ring *ring, bool actor) {
    uint64_t head = WR_LOAD_SEQ(&ring->head);
    if (head >= WR_LOAD_SEQ(&ring->tail)) {
        return false;
    }
    if (!actor) {
        return true;
    }
    wr_handle handle = WR_LOAD(&ring->at[head & pool->ring_mask]);
    const wr_cell *cell = wr_cell_at(pool, handle);
    if (cell == NULL) {
        return true;
    }
    uint64_t word = WR_LOAD_SEQ(&cell->ctl);
    return wr_generation_of(word) != wr_generation_of(handle) || wr_state_of(word) != WR_CELL_WAITING;
}

static wr_ring *ring_of(const wr_pool *pool, wr_port *port, uint32_t slot) {
    uint32_t number = WR_LOAD_SEQ(&port->ring_of[slot]);
    return number != 0 && number <= pool->geometry.rings ? wr_ring_at(pool, number - 1) : NULL;
}

bool wr_proc_look(wr_proc *p, uint32_t number, bool all) {
    const wr_pool *pool = p->pool;
    wr_port *port = &pool->ports[number];
    bool actor = WR_LOAD_RELAXED(&port->actor) != 0, found = false;
    if (!all) {
        uint64_t summary = WR_LOAD_SEQ(&port->nonempty.summary);
        for (; summary != 0; summary &= summary - 1) {
            uint32_t w = (uint32_t)__builtin_ctzll(summary) % WR_SLOT_WORDS;
            uint64_t word = WR_LOAD_SEQ(&port->nonempty.words[w]);
            for (; word != 0; word &= word - 1) {
                wr_ring *ring = ring_of(pool, port, w * 64 + (uint32_t)__builtin_ctzll(word));
                if (ring != NULL && head_ready(pool, ring, actor)) {
                    return true;
                }
            }
        }
        return false;
    }
    uint32_t high = WR_LOAD_SEQ(&pool->header->slot_high);
    for (uint32_t s = 0; s < high && s < pool->geometry.slots; s++) {
        wr_ring *ring = ring_of(pool, port, s);
        if (ring != NULL && head_ready(pool, ring, actor)) {
            wr_slot_set_add(&port->nonempty, s);
            found = true;
        }
    }
    return found;
}

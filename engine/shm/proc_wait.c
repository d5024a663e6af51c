/* engine/shm/proc_wait.c: spinning and sleeping. Nothing here changes private books; any thread may call it.
 *
 * No sleep lasts longer than 100 ms, but for a taker that has had nothing to do for 2 s: 1 s. Wake-ups do not depend on it
 * (tests/kill/wakes.c waits without); it bounds what an unforeseen loss of one would cost.
 *
 * Who has just woken another sleeps and does not spin: the kernel tends to put the woken one on the waker's core, where a
 * spinner would starve it. For the same reason nobody spins while all it could wait for sit on its own core; it moves to
 * another, if it may.
 */
#include "shm/proc_internal.h"

#include <errno.h>
#include <sched.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* Between two looks a spinner pauses: each look takes the line from the one who is about to write it. A taker
 * that looks too often finds one task at a time, and both then pay for each line that travels; a little later
 * there are several. */
enum {
    LOOKS_PER_CLOCK = 16,
    PAUSES_CELL = 2,
    PAUSES_TAKER = 12,
    CROWD_SLOTS_MAX = 64,
    CROWD_AFTER_NS = 2000,
    CROWD_EVERY_NS = 8000
};

/* ---- Placement ---- */

static int sleep_nowhere(wr_proc *p, const void *word, uint32_t seen, uint64_t timeout_ns) {
    WR_STORE_RELAXED(&p->slot->cpu, 0);
    wr_proc_count(p, WR_COUNTER_SLEEPS, 1);
    int slept = wr_futex_wait(word, seen, timeout_ns);
    wr_proc_publish_core(p);
    return slept;
}

/* All live processes that are awake and said where share this core, and there is at least one. */
static bool crowded(wr_proc *p) {
    uint32_t here = wr_proc_publish_core(p), high = WR_LOAD(&p->pool->header->slot_high);
    bool any = false;
    for (uint32_t s = 1; s < high && s < CROWD_SLOTS_MAX && s < p->pool->geometry.slots; s++) {
        wr_slot *slot = wr_slot_at(p->pool, s);
        uint32_t cpu = WR_LOAD_RELAXED(&slot->cpu);
        if (s == p->index || cpu == 0 || WR_LOAD_RELAXED(&slot->state) != WR_SLOT_LIVE) {
            continue;
        }
        if (cpu != here) {
            return false;
        }
        any = true;
    }
    return any;
}

/* Off this core and back into the full set: the scheduler has to choose another now. */
static void move_away(void) {
    cpu_set_t all, others;
    if (sched_getaffinity(0, sizeof all, &all) != 0) {
        return;
    }
    int here = sched_getcpu();
    others = all;
    if (here >= 0 && here < CPU_SETSIZE) {
        CPU_CLR((size_t)here, &others);
    }
    if (CPU_COUNT(&others) != 0 && sched_setaffinity(0, sizeof others, &others) == 0) {
        sched_setaffinity(0, sizeof all, &all);
    }
}

/* Whether to go on spinning; asked after the first 2 us, and now and then. */
static bool may_spin(wr_proc *p) {
    if (!crowded(p)) {
        return true;
    }
    if ((atomic_fetch_add_explicit(&p->crowded, 1, memory_order_relaxed) & 63) == 0) {
        move_away();
        return !crowded(p);
    }
    return false;
}

typedef struct spin {
    uint64_t began_ns, limit_ns;
    uint32_t looks;
    uint64_t check_ns; /* when to look again whether somebody we may wait for runs on another core */
} spin;

static bool spin_begin(spin *s, uint64_t spin_ns) {
    *s = (spin){.limit_ns = spin_ns};
    return spin_ns != 0;
}

/* This process has woken another since it last asked. */
static bool has_woken(wr_proc *p) {
    if (!atomic_load_explicit(&p->woke, memory_order_relaxed)) {
        return false;
    }
    atomic_store_explicit(&p->woke, false, memory_order_relaxed);
    return true;
}

/* One turn of a spin; false: enough. */
static bool spin_on(wr_proc *p, spin *s, uint32_t pauses) {
    for (uint32_t k = 0; k < pauses; k++) {
        wr_relax();
    }
    if (++s->looks % LOOKS_PER_CLOCK != 0) {
        return true;
    }
    uint64_t now = wr_clock_ns();
    if (s->began_ns == 0) {
        s->began_ns = now;
        s->check_ns = now + CROWD_AFTER_NS;
    }
    if (now >= s->check_ns) {
        s->check_ns = now + CROWD_EVERY_NS;
        if (!may_spin(p)) {
            return false;
        }
    }
    return now - s->began_ns < s->limit_ns && (wr_alert(p->pool) & WR_ALERT_POISON) == 0;
}

/* ---- One cell ---- */

/* SEALED, or not there (any more): nothing to wait for. */
static bool settled(const wr_pool *pool, wr_handle handle) {
    wr_cell_state state = wr_cell_state_of(pool, handle);
    return state == WR_CELL_SEALED || state == WR_CELL_FREE;
}

static bool spin_on_cell(wr_proc *p, wr_handle handle, uint64_t spin_ns) {
    spin s;
    if (!spin_begin(&s, spin_ns)) {
        return settled(p->pool, handle);
    }
    do {
        if (settled(p->pool, handle)) {
            return true;
        }
    } while (spin_on(p, &s, PAUSES_CELL));
    return settled(p->pool, handle);
}

/* Leaves `woke` as it is: a wait may follow, and must know, too, or it would spin in the woken one's way. */
bool wr_proc_spin(wr_proc *p, wr_handle handle, uint64_t spin_ns) {
    if (atomic_load_explicit(&p->woke, memory_order_relaxed)) {
        return settled(p->pool, handle);
    }
    return spin_on_cell(p, handle, spin_ns);
}

static uint64_t sleep_time(uint64_t timeout_ns) {
    return timeout_ns < WR_SLEEP_MAX_NS ? timeout_ns : WR_SLEEP_MAX_NS;
}

/* Sets WAIT1 and sleeps on that very value: the seal's CAS sees the flag, or the value has changed already.
 */
static int sleep_on_cell(wr_proc *p, wr_cell *cell, wr_handle handle, uint64_t timeout_ns) {
    uint64_t word = WR_LOAD(&cell->ctl);
    while ((word & WR_FLAG_WAIT1) == 0) {
        if (settled(p->pool, handle)) {
            return 0;
        }
        if (WR_CAS(&cell->ctl, &word, word | WR_FLAG_WAIT1)) {
            word |= WR_FLAG_WAIT1;
        }
    }
    if (wr_generation_of(word) != wr_generation_of(handle) || wr_state_of(word) == WR_CELL_SEALED) {
        return 0;
    }
    return sleep_nowhere(p, wr_cell_futex(cell), (uint32_t)word, timeout_ns);
}

wr_status wr_proc_wait(wr_proc *p, wr_handle handle, uint64_t timeout_ns, uint64_t spin_ns) {
    const wr_pool *pool = p->pool;
    wr_cell *cell = wr_cell_at(pool, handle);
    if (cell == NULL) {
        return p->forked ? WR_E_STATE : WR_E_NOT_FOUND;
    }
    bool late = timeout_ns == 0;
    uint64_t spin_at_most_ns = has_woken(p) ? 0 : spin_ns < timeout_ns ? spin_ns : timeout_ns;
    if (!spin_on_cell(p, handle, spin_at_most_ns) && !late) {
        int slept = EAGAIN; /* the word changed meanwhile (another flag, READY, RUNNING): look again */
        while (slept == EAGAIN && !settled(pool, handle) && (wr_alert(pool) & WR_ALERT_POISON) == 0) {
            slept = sleep_on_cell(p, cell, handle, sleep_time(timeout_ns));
        }
        late = slept == ETIMEDOUT && timeout_ns <= WR_SLEEP_MAX_NS;
    }
    wr_cell_state state = wr_cell_state_of(pool, handle);
    if (state == WR_CELL_SEALED) {
        return WR_OK;
    }
    if (state == WR_CELL_FREE) {
        return WR_E_NOT_FOUND;
    }
    if ((wr_alert(pool) & WR_ALERT_POISON) != 0) {
        return WR_E_RAYLET_DIED;
    }
    return late ? WR_E_TIMEOUT : WR_E_INTERRUPTED;
}

/* ---- Many cells ---- */

static uint32_t count_ready(const wr_pool *pool, const wr_handle *handles, uint32_t count, uint32_t enough) {
    uint32_t ready = 0;
    for (uint32_t k = 0; k < count && ready < enough; k++) {
        ready += settled(pool, handles[k]);
    }
    return ready;
}

typedef struct bell_wait { /* struct futex_waitv of newer kernel headers */
    uint64_t value, address;
    uint32_t flags, reserved;
} bell_wait;

/* Sleeps until one of the bells rings; true: the time is over. */
static bool sleep_on_bells(bell_wait *bells, uint32_t count, uint64_t timeout_ns) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t at = (uint64_t)until.tv_sec * 1000000000u + (uint64_t)until.tv_nsec + timeout_ns;
    until = (struct timespec){.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)};
    if (syscall(SYS_futex_waitv, bells, count, 0, &until, CLOCK_MONOTONIC) >= 0) {
        return false;
    }
    if (errno != ENOSYS) {
        return errno == ETIMEDOUT;
    }
    uint64_t nap = timeout_ns < 1000000 ? timeout_ns : 1000000; /* an old kernel: one bell, and short */
    return wr_futex_wait((const void *)(uintptr_t)bells[0].address, (uint32_t)bells[0].value, nap) ==
               ETIMEDOUT &&
           nap == timeout_ns;
}

/* WAITN on every pending cell (it stays until the seal); notes each cell's bell once. Returns the number of
 * bells. */
static uint32_t set_bells(wr_proc *p, const wr_handle *handles, uint32_t count, bell_wait *bells) {
    const wr_pool *pool = p->pool;
    uint64_t noted[WR_BELL_MAX / 64] = {0};
    uint32_t bell_count = 0, mask = pool->geometry.bells - 1;
    for (uint32_t k = 0; k < count; k++) {
        wr_cell *cell = wr_cell_at(pool, handles[k]);
        if (cell == NULL) {
            continue;
        }
        uint32_t b = wr_index_of(handles[k]) & mask;
        if ((noted[b / 64] >> (b % 64) & 1) == 0 &&
            !settled(pool, handles[k])) { /* the value before the flag */
            noted[b / 64] |= 1ull << (b % 64);
            wr_a32 *bell = &pool->header->bells[b][0];
            bells[bell_count++] =
                (bell_wait){WR_LOAD_SEQ(bell), (uint64_t)(uintptr_t)bell, 2 /* 32 bit, shared */, 0};
        }
        uint64_t word = WR_LOAD(&cell->ctl);
        while (!settled(pool, handles[k]) && (word & WR_FLAG_WAITN) == 0 &&
               !WR_CAS_SEQ(&cell->ctl, &word, word | WR_FLAG_WAITN)) {
        }
    }
    return bell_count;
}

wr_status wr_proc_wait_many(wr_proc *p, const wr_handle *handles, uint32_t count, uint32_t enough,
                            uint64_t timeout_ns, uint64_t spin_ns, uint32_t *out_ready) {
    const wr_pool *pool = p->pool;
    if (p->forked) {
        return WR_E_STATE;
    }
    enough = enough < count ? enough : count;
    uint32_t ready = count_ready(pool, handles, count, enough);
    spin s;
    if (ready < enough && !has_woken(p) && spin_begin(&s, spin_ns < timeout_ns ? spin_ns : timeout_ns)) {
        do {
            ready = count_ready(pool, handles, count, enough);
        } while (ready < enough && spin_on(p, &s, PAUSES_CELL));
    }
    bool late = timeout_ns == 0;
    if (ready < enough && !late) {
        bell_wait bells[WR_BELL_MAX];
        uint32_t bell_count = set_bells(p, handles, count, bells);
        ready = count_ready(pool, handles, count, enough);
        if (ready < enough && bell_count != 0 && (wr_alert(pool) & WR_ALERT_POISON) == 0) {
            WR_STORE_RELAXED(&p->slot->cpu, 0);
            wr_proc_count(p, WR_COUNTER_SLEEPS, 1);
            late = sleep_on_bells(bells, bell_count, sleep_time(timeout_ns)) && timeout_ns <= WR_SLEEP_MAX_NS;
            wr_proc_publish_core(p);
            ready = count_ready(pool, handles, count, enough);
        }
    }
    *out_ready = ready;
    if (ready >= enough) {
        return WR_OK;
    }
    if ((wr_alert(pool) & WR_ALERT_POISON) != 0) {
        return WR_E_RAYLET_DIED;
    }
    return late ? WR_E_TIMEOUT : WR_E_INTERRUPTED;
}

/* ---- A taker with nothing to do ---- */

/* The last thread of this process that idled takes its bit away, unless another came meanwhile: that one looks again. */
static void sleep_ends(wr_proc *p, uint32_t port) {
    wr_slot_set *sleepers = &p->pool->ports[port].sleepers;
    bool hid;
    wr_slot_set_remove(sleepers, p->index, &hid);
    if (hid) {
        wr_port_wake_one(p->pool, port); /* a submitter may have seen nobody */
    }
    if (WR_LOAD_SEQ(&p->idlers) != 0) {
        wr_slot_set_add(sleepers, p->index);
        wr_bell_ring(&p->slot->bell);
    }
}

void wr_proc_idle(wr_proc *p, uint64_t spin_ns) {
    if (p->forked) {
        return;
    }
    const wr_pool *pool = p->pool;
    wr_slot *slot = p->slot;
    uint32_t assignment = WR_LOAD(&slot->assignment), port = assignment & 0xffff;
    bool takes = wr_port_valid(pool, port);
    spin s;
    if (has_woken(p)) {
        sched_yield(); /* and then spin all the same: if both sides slept, each would have to wake the other for ever */
    }
    if (takes && spin_begin(&s, spin_ns)) {
        while (spin_on(p, &s, PAUSES_TAKER)) { /* the caller has just looked */
            if (wr_proc_look(p, port, false) || WR_LOAD_RELAXED(&slot->assignment) != assignment) {
                atomic_store_explicit(&p->quiet_ns, 0, memory_order_relaxed);
                return;
            }
        }
    }
    uint32_t seen = WR_LOAD_SEQ(&slot->bell);
    if (takes) {
        atomic_fetch_add_explicit(&p->idlers, 1, memory_order_seq_cst);
        wr_slot_set_add(&pool->ports[port].sleepers, p->index); /* before the looks: README, pairs 1 and 3 */
    }
    bool found = takes && (wr_proc_look(p, port, true) || wr_proc_can_steal(p, port));
    uint64_t quiet_ns = atomic_load_explicit(&p->quiet_ns, memory_order_relaxed);
    bool through = false;
    if (!found && WR_LOAD(&slot->assignment) == assignment && (wr_alert(pool) & WR_ALERT_POISON) == 0) {
        uint64_t longest_ns = quiet_ns < p->quiet_after_ns ? WR_SLEEP_MAX_NS : WR_SLEEP_QUIET_NS;
        through = sleep_nowhere(p, &slot->bell, seen, longest_ns) == ETIMEDOUT;
        quiet_ns += longest_ns;
    }
    atomic_store_explicit(&p->quiet_ns, through ? quiet_ns : 0, memory_order_relaxed);
    if (takes && atomic_fetch_sub_explicit(&p->idlers, 1, memory_order_seq_cst) == 1) {
        sleep_ends(p, port);
    }
}

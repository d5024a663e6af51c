#include "rl/loop/team.h"

#include "base/base.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS_BEFORE_SLEEP = 2000 }; /* some tens of microseconds */

typedef struct member {
    wr_team *team;
    uint32_t index;
    pthread_t thread;
} member;

struct wr_team {
    uint32_t count;
    uint32_t started; /* threads that run, members 1 to started */
    member *members;
    bool alone;    /* the caller works by itself; written only while the others sleep */
    wr_team_fn fn; /* NULL: end */
    void *arg;
    _Alignas(64) _Atomic uint32_t turn; /* one more for each run; what sleepers wait on */
    _Atomic uint32_t sleepers;
    _Alignas(64) _Atomic uint32_t arrived; /* of the barrier */
    _Atomic uint32_t barrier_turn;         /* one more for each barrier passed */
    _Atomic uint32_t barrier_sleepers;
};

static void pause_once(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Waits until *word is not `seen`: spins first, for a wake-up costs more than most waits last. */
static uint32_t wait_word(_Atomic uint32_t *word, _Atomic uint32_t *sleepers, uint32_t seen) {
    uint32_t now;
    for (uint32_t spins = 0; spins < SPINS_BEFORE_SLEEP; spins++) {
        now = atomic_load_explicit(word, memory_order_acquire);
        if (now != seen) {
            return now;
        }
        pause_once();
    }
    /* Sleeping gives the core away: the member that is waited for may need it. */
    atomic_fetch_add(sleepers, 1);
    while ((now = atomic_load(word)) == seen) {
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    }
    atomic_fetch_sub(sleepers, 1);
    return now;
}

static void advance_word(_Atomic uint32_t *word, _Atomic uint32_t *sleepers) {
    atomic_fetch_add(word,
                     1); /* before the look at sleepers: a sleeper adds itself, then looks at the word */
    if (atomic_load(sleepers) > 0) {
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    }
}

void wr_team_barrier(wr_team *team) {
    if (team->count == 1 || team->alone) {
        return;
    }
    uint32_t turn = atomic_load_explicit(&team->barrier_turn, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) == team->count - 1) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        advance_word(&team->barrier_turn, &team->barrier_sleepers);
    } else {
        wait_word(&team->barrier_turn, &team->barrier_sleepers, turn);
    }
}

static void *member_main(void *arg) {
    member *m = arg;
    wr_team *team = m->team;
    uint32_t turn = 0;
    for (;;) {
        turn = wait_word(&team->turn, &team->sleepers, turn);
        if (team->fn == NULL) {
            return NULL;
        }
        team->fn(team->arg, m->index);
        wr_team_barrier(team);
    }
}

static void start_turn(wr_team *team, wr_team_fn fn, void *arg) {
    team->fn = fn;
    team->arg = arg;
    advance_word(&team->turn, &team->sleepers);
}

void wr_team_run(wr_team *team, wr_team_fn fn, void *arg) {
    if (team->count > 1) {
        start_turn(team, fn, arg);
    }
    fn(arg, 0);
    wr_team_barrier(team);
}

void wr_team_run_alone(wr_team *team, wr_team_fn fn, void *arg) {
    team->alone = true;
    fn(arg, 0);
    team->alone = false;
}

uint32_t wr_team_members(const wr_team *team) {
    return team->count;
}

void wr_team_free(wr_team *team) {
    if (team == NULL) {
        return;
    }
    if (team->started > 0) {
        start_turn(team, NULL, NULL);
        for (uint32_t i = 1; i <= team->started; i++) {
            pthread_join(team->members[i].thread, NULL);
        }
    }
    wr_free(team->members);
    free(team);
}
WR_DEFINE_AUTO(wr_team, wr_team_free)

wr_status wr_team_new(uint32_t members, wr_team **out, wr_error *err) {
    WR_ASSERT(members > 0);
    WR_AUTO(wr_team) team = aligned_alloc(64, sizeof(wr_team));
    if (team == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a team of threads");
    }
    memset(team, 0, sizeof(*team));
    team->count = members;
    team->members = wr_calloc(members, sizeof(member));
    if (team->members == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a team of %u threads", members);
    }
    for (uint32_t i = 1; i < members; i++) {
        team->members[i] = (member){.team = team, .index = i};
        int error = pthread_create(&team->members[i].thread, NULL, member_main, &team->members[i]);
        if (error != 0) {
            return WR_FAIL(err, WR_E_LIMIT, "a thread could not be started: %s", strerror(error));
        }
        team->started = i;
    }
    *out = wr_steal(&team);
    return WR_OK;
}

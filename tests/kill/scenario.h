/* tests/kill/scenario.h: what victims are stopped in: a set-up by the parent, then one operation by the
 * victim. And what sleepers are woken by: an operation that sleeps, and what others do meanwhile. */
#pragma once

#include "tests/kill/world.h"

/* FED: the operation waits for the raylet, which makes a pass every few instructions. */
typedef enum kill_feeding { UNFED, FED } kill_feeding;

typedef struct kill_scenario {
    const char *name;
    kill_who victim;
    void (*setup)(void);
    void (*op)(void);
    kill_feeding feeding;
} kill_scenario;

typedef struct kill_table {
    const kill_scenario *scenarios;
    uint32_t count;
} kill_table;

extern const kill_table kill_task_table, kill_memory_table, kill_raylet_table;

/* ---- What set-ups share (scenario_kit.c); `a`, `b` and `claim` are the world's ---- */

wr_proc *kit_proc_of(kill_who who);
void kit_nothing(void);
void kit_passes(uint32_t count); /* of the raylet */
/* A task of DRIVER that is not done, value 16; a task whose value is 1 + those of its references; one that
 * keeps its reference. */
wr_handle kit_pending(void);
wr_handle kit_sum_of(kill_who who, bool to_actor, const wr_handle *refs, uint32_t count, uint32_t expect);
wr_handle kit_keep_of(kill_who who, wr_handle ref, bool forget);
void kit_must_take(kill_who who, wr_claim *out);
/* a: a task of DRIVER that two others wait for; then also: WORKER has claimed it. */
void kit_pending_awaited(void);
void kit_taken_awaited(void);
void kit_seal_worker(void); /* an operation: WORKER runs `claim` to its seal */
void kit_cancellable(void); /* a: READY; two tasks wait for it, one of them (b) is waited for */
void kit_nest_done(void);   /* a result of DRIVER that names an object of WORKER */
/* RIVAL waits for a, a task of DRIVER, which waits for another one. */
void kit_awaited_abroad_late(void);
void kit_blocks_on_their_way(void); /* results in WORKER's heap, dropped by DRIVER */
/* Calls of two drivers; then also: ACTOR has claimed the first. */
void kit_fill_actor(void);
void kit_actor_taken(void);

/* ---- Sleepers ---- */

/* The sleeper runs `op` and falls asleep in it; then `act` happens, which must wake it: no sleep may end by
 * its time limit. */
typedef struct kill_wake {
    const char *name;
    kill_who sleeper;
    void (*setup)(void);
    void (*op)(void);
    void (*act)(void);
} kill_wake;

extern const kill_wake kill_wakes[];
extern const uint32_t kill_wake_count;

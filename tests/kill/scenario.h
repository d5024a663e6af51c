/* tests/kill/scenario.h: what victims are stopped in: a set-up by the parent, then one operation by the victim.
 * And what sleepers are woken by: an operation that sleeps, and what others do meanwhile. */
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

extern const kill_scenario kill_scenarios[];
extern const uint32_t kill_scenario_count;

/* The sleeper runs `op` and falls asleep in it; then `act` happens, which must wake it: no sleep may end by its time limit. */
typedef struct kill_wake {
    const char *name;
    kill_who sleeper;
    void (*setup)(void);
    void (*op)(void);
    void (*act)(void);
} kill_wake;

extern const kill_wake kill_wakes[];
extern const uint32_t kill_wake_count;

/* include/whipray/rl_env.h: how an environment written in C joins Whipray's reinforcement learning.
 *
 * An environment is a table of functions over batches: one call steps many copies of it. Its state is
 * rows of floats, [state_count][stride], one column for each copy, so that stepping is plain vector
 * code, and so that state can be kept, sent and restored without the environment's help. An
 * environment holds nothing else: no globals, no generator. The loop owns episodes: it counts steps,
 * truncates at episode_steps_max, and restarts what has ended.
 *
 * E1. Columns are independent: the result of a column depends on that column's inputs alone, never on
 *     its place in the batch or on count.
 * E2. The same inputs give the same bits.
 * E3. Columns from count to the next multiple of 16 (never past stride) may be computed or left
 *     alone; they hold finite numbers.
 *
 * Threads: the functions of a table run in several threads at once, on different batches.
 */
#ifndef WHIPRAY_RL_ENV_H
#define WHIPRAY_RL_ENV_H

#include "whipray/status.h"

WR_BEGIN_DECLS

enum {
    WR_RL_ENV_NAME_MAX = 64,
    WR_RL_ENV_OBS_MAX = 1024,
    WR_RL_ENV_ACTIONS_MAX = 256,
    WR_RL_ENV_STATE_MAX = 1024,
    WR_RL_ENV_RANDOM_MAX = 64,
};

/* The batch of one call. All pointers are borrowed for the call; rows are 64-byte aligned. */
typedef struct wr_rl_env_batch {
    uint32_t count;      /* columns in use, > 0 */
    uint32_t stride;     /* floats from one row to the next; a multiple of 16 */
    float *state;        /* [state_count][stride]; read and written by step, written by start */
    const float *action; /* step: [stride], whole numbers in [0, action_count) */
    const float
        *uniform;      /* start: [start_random_count][stride]; step: [step_random_count][stride]; in [0, 1) */
    float *reward;     /* step: [stride], to write */
    float *terminated; /* step: [stride], to write: 1 where the episode ended by its own rule, else 0 */
    float *obs;        /* observe: [obs_count][stride], to write */
} wr_rl_env_batch;

typedef struct wr_rl_env_ops {
    uint32_t struct_size;  /* sizeof(wr_rl_env_ops) when compiled; members are only ever added at the end */
    const char *name;      /* "CartPole-v1"; static string, at most WR_RL_ENV_NAME_MAX - 1 bytes */
    uint32_t obs_count;    /* floats of an observation, 1 to WR_RL_ENV_OBS_MAX */
    uint32_t action_count; /* discrete actions, 2 to WR_RL_ENV_ACTIONS_MAX */
    uint32_t state_count;  /* floats of state, 1 to WR_RL_ENV_STATE_MAX */
    uint32_t start_random_count; /* random numbers that start uses, at most WR_RL_ENV_RANDOM_MAX */
    uint32_t step_random_count;  /* random numbers that each step uses, at most WR_RL_ENV_RANDOM_MAX */
    uint32_t episode_steps_max;  /* longer episodes are truncated, > 0 */
    /* Required: the first state of an episode, and one step from state and action to the next state. */
    void (*start)(const wr_rl_env_batch *batch);
    void (*step)(const wr_rl_env_batch *batch);
    /* Optional: observations from state. NULL: the first obs_count rows of the state are it. */
    void (*observe)(const wr_rl_env_batch *batch);
} wr_rl_env_ops;

/* Makes an environment known by its name, for the life of the process. ops: borrowed for ever.
 * Fails: INVALID (a count out of range, a function missing, obs_count > state_count without observe),
 * EXISTS (the name is taken by another table), LIMIT (64 are known), VERSION (struct_size is not known here).
 */
WR_API WR_MUST_USE wr_status wr_rl_env_register(const wr_rl_env_ops *ops, wr_error *err);

/* Finds an environment. out: lent for ever. "CartPole-v1" is built in.
 * Fails: NOT_FOUND; the text names the nearest environment and lists all. */
WR_API WR_MUST_USE wr_status wr_rl_env_find(const char *name, const wr_rl_env_ops **out, wr_error *err);

/* The name of the index-th environment, or NULL past the last. */
WR_API const char *wr_rl_env_name(uint32_t index);

WR_END_DECLS
#endif

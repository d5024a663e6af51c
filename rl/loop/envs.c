#include "base/base.h"
#include "rl/loop/columns.h"
#include "whipray/rl.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 256 }; /* environments whose rows stay in the first-level cache */

struct wr_rl_envs {
    const wr_rl_env_ops *ops;
    const wr_kernels *kernels;
    uint32_t count;
    uint32_t chunk_count;
    wr_columns *chunks;
    uint64_t step;
    uint64_t seed;
};

void wr_rl_envs_free(wr_rl_envs *e) {
    if (e == NULL) {
        return;
    }
    for (uint32_t i = 0; e->chunks != NULL && i < e->chunk_count; i++) {
        wr_columns_done(&e->chunks[i]);
    }
    wr_free(e->chunks);
    wr_free(e);
}
WR_DEFINE_AUTO(wr_rl_envs, wr_rl_envs_free)

wr_status wr_rl_envs_new(const char *env, uint32_t count, uint64_t seed, wr_rl_envs **out, wr_error *err) {
    const wr_rl_env_ops *ops;
    WR_TRY(wr_rl_env_find(env, &ops, err));
    if (count == 0 || count > WR_RL_ENVS_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "%u environments: the nearest allowed is %d", count,
                       count == 0 ? 1 : WR_RL_ENVS_MAX);
    }
    WR_AUTO(wr_rl_envs) e = wr_calloc(1, sizeof(*e));
    if (e == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for environments");
    }
    e->ops = ops;
    e->kernels = wr_kernels_best();
    e->count = count;
    e->seed = seed;
    e->chunk_count = (count + CHUNK - 1) / CHUNK;
    e->chunks = wr_calloc(e->chunk_count, sizeof(*e->chunks));
    if (e->chunks == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for %u environments", count);
    }
    for (uint32_t i = 0; i < e->chunk_count; i++) {
        wr_columns *c = &e->chunks[i];
        uint32_t first = i * CHUNK, n = count - first < CHUNK ? count - first : CHUNK;
        WR_TRY(wr_columns_init(c, ops, e->kernels, wr_pad(n), err));
        c->seed = seed;
        c->first = first;
        c->count = n;
        wr_columns_start(c, 0);
    }
    *out = wr_steal(&e);
    return WR_OK;
}

void wr_rl_envs_shape(const wr_rl_envs *e, uint32_t *out_obs, uint32_t *out_actions, uint32_t *out_state,
                      uint32_t *out_steps_max) {
    *out_obs = e->ops->obs_count;
    *out_actions = e->ops->action_count;
    *out_state = e->ops->state_count;
    *out_steps_max = e->ops->episode_steps_max;
}

static void write_obs(const wr_rl_envs *e, const wr_columns *c, float *out_obs) {
    e->kernels->transpose_rows(c->obs, e->ops->obs_count, c->stride, c->count,
                               out_obs + (size_t)c->first * e->ops->obs_count);
}

void wr_rl_envs_observe(wr_rl_envs *e, float *out_obs) {
    for (uint32_t i = 0; i < e->chunk_count; i++) {
        write_obs(e, &e->chunks[i], out_obs);
    }
}

wr_status wr_rl_envs_step(wr_rl_envs *e, const int32_t *actions, float *out_obs, float *out_reward,
                          uint8_t *out_terminated, uint8_t *out_truncated, wr_error *err) {
    for (uint32_t i = 0; i < e->count; i++) {
        if (actions[i] < 0 || (uint32_t)actions[i] >= e->ops->action_count) {
            return WR_FAIL(err, WR_E_INVALID, "action %d of environment %u: %s has actions 0 to %u",
                           actions[i], i, e->ops->name, e->ops->action_count - 1);
        }
    }
    for (uint32_t n = 0; n < e->chunk_count; n++) {
        wr_columns *c = &e->chunks[n];
        for (uint32_t i = 0; i < c->count; i++) {
            c->action[i] = (float)actions[c->first + i];
        }
        uint32_t ends = wr_columns_step(c, e->step);
        memcpy(out_reward + c->first, c->reward, c->count * sizeof(float));
        for (uint32_t i = 0; i < c->count; i++) {
            out_terminated[c->first + i] = c->terminated[i] > 0;
            out_truncated[c->first + i] = c->truncated[i] > 0;
        }
        if (ends != 0) {
            wr_columns_restart(c, e->step);
        }
        write_obs(e, c, out_obs);
    }
    e->step++;
    return WR_OK;
}

uint64_t wr_rl_envs_step_random(wr_rl_envs *e, uint32_t steps, float *out_obs, float *out_reward) {
    uint64_t episodes = 0;
    const uint32_t actions = e->ops->action_count;
    for (uint32_t step = 0; step < steps; step++, e->step++) {
        for (uint32_t n = 0; n < e->chunk_count; n++) {
            wr_columns *c = &e->chunks[n];
            uint32_t words[CHUNK];
            e->kernels->words(e->seed, WR_RANDOM_BENCH, (uint32_t)e->step, 0, c->first, CHUNK, words);
            for (uint32_t i = 0; i < c->count; i++) {
                c->action[i] = (float)((uint64_t)words[i] * actions >> 32);
            }
            if (wr_columns_step(c, e->step) != 0) {
                for (uint32_t i = 0; i < c->count; i++) {
                    episodes += c->ended[i] > 0;
                }
                wr_columns_restart(c, e->step);
            }
            memcpy(out_reward + c->first, c->reward, c->count * sizeof(float));
            write_obs(e, c, out_obs);
        }
    }
    return episodes;
}

void wr_rl_envs_state_get(const wr_rl_envs *e, float *out_state, uint32_t *out_steps) {
    for (uint32_t n = 0; n < e->chunk_count; n++) {
        const wr_columns *c = &e->chunks[n];
        e->kernels->transpose_rows(c->state, e->ops->state_count, c->stride, c->count,
                                   out_state + (size_t)c->first * e->ops->state_count);
        for (uint32_t i = 0; i < c->count; i++) {
            out_steps[c->first + i] = (uint32_t)c->length[i];
        }
    }
}

wr_status wr_rl_envs_state_set(wr_rl_envs *e, const float *state, const uint32_t *steps, wr_error *err) {
    const uint32_t width = e->ops->state_count;
    for (size_t i = 0; i < (size_t)e->count * width; i++) {
        if (!isfinite(state[i])) {
            return WR_FAIL(err, WR_E_INVALID, "state %zu of environment %zu is not finite", i % width,
                           i / width);
        }
    }
    for (uint32_t i = 0; i < e->count; i++) {
        if (steps[i] >= e->ops->episode_steps_max) {
            return WR_FAIL(err, WR_E_INVALID, "environment %u has taken %u steps: the nearest allowed is %u",
                           i, steps[i], e->ops->episode_steps_max - 1);
        }
    }
    for (uint32_t n = 0; n < e->chunk_count; n++) {
        wr_columns *c = &e->chunks[n];
        for (uint32_t i = 0; i < c->count; i++) {
            for (uint32_t k = 0; k < width; k++) {
                c->state[k * (size_t)c->stride + i] = state[(size_t)(c->first + i) * width + k];
            }
            c->length[i] = (float)steps[c->first + i];
        }
        wr_columns_observe(c);
    }
    return WR_OK;
}

#include "rl/loop/columns.h"

#include "base/base.h"

#include <string.h>

static uint32_t random_blocks(uint32_t count) {
    return (count + 3) / 4;
}

static wr_rl_env_batch batch_of(const wr_columns *c, float *state) {
    return (wr_rl_env_batch){.count = c->count,
                             .stride = c->stride,
                             .state = state,
                             .action = c->action,
                             .uniform = c->uniform,
                             .reward = c->reward,
                             .terminated = c->terminated,
                             .obs = c->obs};
}

wr_status wr_columns_init(wr_columns *c, const wr_rl_env_ops *ops, const wr_kernels *kernels, uint32_t stride,
                          wr_error *err) {
    uint32_t blocks = random_blocks(ops->start_random_count);
    if (random_blocks(ops->step_random_count) > blocks) {
        blocks = random_blocks(ops->step_random_count);
    }
    const size_t row = stride;
    const size_t own_obs = ops->observe == NULL ? 0 : ops->obs_count;
    *c = (wr_columns){.ops = ops, .kernels = kernels, .stride = stride};
    c->memory = wr_floats_new(row * (2 * (size_t)ops->state_count + own_obs + 7 + 4 * (size_t)blocks));
    if (c->memory == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for %u environments", stride);
    }
    float *next = c->memory;
    c->state = next;
    next += row * ops->state_count;
    c->fresh = next;
    next += row * ops->state_count;
    c->obs = own_obs == 0 ? c->state : next;
    next += row * own_obs;
    float **single[] = {&c->length,     &c->ret,   &c->action,   &c->reward,
                        &c->terminated, &c->ended, &c->truncated};
    for (size_t i = 0; i < WR_COUNT_OF(single); i++) {
        *single[i] = next;
        next += row;
    }
    c->uniform = next;
    return WR_OK;
}

void wr_columns_done(wr_columns *c) {
    wr_floats_free(c->memory);
    *c = (wr_columns){0};
}

void wr_columns_observe(wr_columns *c) {
    if (c->ops->observe != NULL) {
        wr_rl_env_batch batch = batch_of(c, c->state);
        c->ops->observe(&batch);
    }
}

static void draw_starts(wr_columns *c, float *state, uint64_t step) {
    c->kernels->uniform(c->seed, WR_RANDOM_START, step, c->first, c->count,
                        random_blocks(c->ops->start_random_count), c->stride, c->uniform);
    wr_rl_env_batch batch = batch_of(c, state);
    c->ops->start(&batch);
}

void wr_columns_start(wr_columns *c, uint64_t step) {
    draw_starts(c, c->state, step);
    memset(c->length, 0, c->stride * sizeof(float));
    memset(c->ret, 0, c->stride * sizeof(float));
    wr_columns_observe(c);
}

uint32_t wr_columns_step(wr_columns *c, uint64_t step) {
    if (c->ops->step_random_count > 0) {
        c->kernels->uniform(c->seed, WR_RANDOM_STEP, step, c->first, c->count,
                            random_blocks(c->ops->step_random_count), c->stride, c->uniform);
    }
    wr_rl_env_batch batch = batch_of(c, c->state);
    c->ops->step(&batch);
    wr_columns_observe(c);
    return c->kernels->ends(c->count, c->ops->episode_steps_max, c->reward, c->terminated, c->length, c->ret,
                            c->ended, c->truncated);
}

void wr_columns_restart(wr_columns *c, uint64_t step) {
    draw_starts(c, c->fresh, step + 1);
    c->kernels->blend(c->count, c->ops->state_count, c->stride, c->ended, c->fresh, c->state);
    uint32_t padded = wr_pad(c->count);
    for (uint32_t i = 0; i < padded; i++) {
        c->length[i] = c->ended[i] > 0 ? 0 : c->length[i];
        c->ret[i] = c->ended[i] > 0 ? 0 : c->ret[i];
    }
    wr_columns_observe(c);
}

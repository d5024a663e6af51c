#include "rl/env/cartpole.h"

#include "rl/nn/kernels.h"

static void start(const wr_rl_env_batch *batch) {
    wr_kernels_best()->cartpole_start(batch);
}

static void step(const wr_rl_env_batch *batch) {
    wr_kernels_best()->cartpole_step(batch);
}

const wr_rl_env_ops wr_cartpole_ops = {
    .struct_size = sizeof(wr_cartpole_ops),
    .name = "CartPole-v1",
    .obs_count = 4,
    .action_count = 2,
    .state_count = 4,
    .start_random_count = 4,
    .episode_steps_max = 500,
    .start = start,
    .step = step,
};

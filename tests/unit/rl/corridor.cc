#include "corridor.h"

#include <gtest/gtest.h>

namespace corridor {

float Next(float x, float action, float u) {
    return x + (action - 1.0f) * kStep + (u < 0.25f ? kStep : 0.0f);
}
float Reward(float x_after) {
    return x_after - 0.5f;
}
bool Ends(float x_after) {
    return x_after >= 1.25f;
}

static void Start(const wr_rl_env_batch *b) {
    for (uint32_t i = 0; i < b->count; i++) {
        b->state[i] = b->uniform[i] < 0.5f ? 0.0f : kStep;
        b->state[b->stride + i] = 0;
    }
}
static void Step(const wr_rl_env_batch *b) {
    for (uint32_t i = 0; i < b->count; i++) {
        b->state[i] = Next(b->state[i], b->action[i], b->uniform[i]);
        b->state[b->stride + i] += 1;
        b->reward[i] = Reward(b->state[i]);
        b->terminated[i] = Ends(b->state[i]) ? 1.0f : 0.0f;
    }
}
static void Observe(const wr_rl_env_batch *b) {
    for (uint32_t i = 0; i < b->count; i++) {
        b->obs[i] = b->state[i];
        b->obs[b->stride + i] = b->state[i] * b->state[i];
        b->obs[2 * b->stride + i] = 0.05f * b->state[b->stride + i];
    }
}

const wr_rl_env_ops *Register() {
    static const wr_rl_env_ops ops = {
        sizeof(wr_rl_env_ops), "Corridor-v0", 3, 3, 2, 1, 1, kStepsMax, Start, Step, Observe};
    EXPECT_EQ(WR_OK, wr_rl_env_register(&ops, nullptr));
    return &ops;
}

} // namespace corridor

// A small environment with what CartPole lacks: three actions, rewards that differ, random steps, and
// observations that are not its state. Truncated after 20 steps.
#pragma once

#include "whipray/rl_env.h"

namespace corridor {
constexpr uint32_t kStepsMax = 20;
constexpr float kStep = 0.125f;
// What the environment does to position x with action a (0, 1, 2) and random number u.
float Next(float x, float action, float u);
float Reward(float x_after);
bool Ends(float x_after);
// Registers "Corridor-v0"; again does nothing.
const wr_rl_env_ops *Register();
} // namespace corridor

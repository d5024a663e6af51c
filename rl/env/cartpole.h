/* rl/env/cartpole.h: Gymnasium's CartPole-v1 in float32. Its state is its observation. */
#pragma once

#include "whipray/rl_env.h"

extern const wr_rl_env_ops wr_cartpole_ops;

/* rl/nn/kernel_set.h: each kernel source adds its functions to the table of its instruction set. */
#pragma once

#include "rl/nn/kernels.h"
#include "rl/nn/vector.h"

void WR_KERNEL(wr_kernel_set)(wr_kernels *out);
void WR_KERNEL(wr_kernel_set_ppo)(wr_kernels *out);
void WR_KERNEL(wr_kernel_set_rollout)(wr_kernels *out);
void WR_KERNEL(wr_kernel_set_cartpole)(wr_kernels *out);

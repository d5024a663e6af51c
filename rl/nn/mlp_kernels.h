/* rl/nn/mlp_kernels.h: a network forward and backward over one tile of at most WR_TILE samples.
 *
 * Included by kernel sources only. obs: rows of features [obs_count][obs_stride], readable up to the next
 * multiple of 16 columns past count.
 */
#pragma once

#include "rl/nn/kernels.h"
#include "rl/nn/vector.h"

/* Writes s->out and keeps the hidden layers' outputs for backward. */
void WR_KERNEL(wr_mlp_forward)(const wr_net *net, const float *params, wr_scratch *s, const float *obs,
                               size_t obs_stride, uint32_t count);
/* Adds to grad from s->out_grad, which is zero from count to the next multiple of 16; the rest of s as
 * forward and transpose left it. */
void WR_KERNEL(wr_mlp_backward)(const wr_net *net, const float *params, wr_scratch *s, const float *obs,
                                size_t obs_stride, uint32_t count, float *grad);
void WR_KERNEL(wr_mlp_transpose)(const wr_net *net, const float *params, wr_scratch *s);

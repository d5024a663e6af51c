/* rl/loop/columns.h: copies of an environment that are stepped together, with their episodes.
 *
 * Rows of `stride` floats; column i is environment first + i, and draws its random numbers by that number
 * and the step's, so it does not matter in which batch it runs.
 */
#pragma once

#include "rl/nn/kernels.h"
#include "whipray/rl_env.h"

WR_BEGIN_DECLS

typedef struct wr_columns {
    const wr_rl_env_ops *ops;
    const wr_kernels *kernels;
    uint64_t seed;
    uint32_t first, count, stride;
    float *memory;       /* of all rows */
    float *state;        /* [state_count] rows */
    float *obs;          /* [obs_count] rows: the state's, or observe's */
    float *length, *ret; /* steps and reward of the present episode */
    float *action, *reward, *terminated;
    float *ended, *truncated; /* by the last step: 1 or 0 */
    float *fresh;             /* [state_count] rows: new starts */
    float *uniform;
} wr_columns;

/* stride: a multiple of 16. Columns are not started. Fails: NO_MEMORY. */
WR_MUST_USE wr_status wr_columns_init(wr_columns *c, const wr_rl_env_ops *ops, const wr_kernels *kernels,
                                      uint32_t stride, wr_error *err);
void wr_columns_done(wr_columns *c); /* accepts a zeroed one */

/* Starts an episode in every column; step: the number of the step that comes next. */
void wr_columns_start(wr_columns *c, uint64_t step);
/* Takes step number `step` with c->action; obs is then of the state that was reached, also where the episode
 * ended. Returns bit 0 if any ended, bit 1 if any was truncated. */
uint32_t wr_columns_step(wr_columns *c, uint64_t step);
/* Starts anew what ended in step number `step`. */
void wr_columns_restart(wr_columns *c, uint64_t step);
/* Makes obs anew after state was written from outside. */
void wr_columns_observe(wr_columns *c);

WR_END_DECLS

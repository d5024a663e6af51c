/* rl/loop/batch.h: the layout of a runner's batch, an array of floats that travels as it is.
 *
 *   head      wr_batch_head, 16 floats
 *   sums      [2][n]: sum and sum of squares of each environment's advantages
 *   state     [state_count + 2][n]: state, steps and return of the running episode, after the last step
 *   records   [steps][n][record_floats]: see WR_RECORD_*
 *   episodes  [episode_count]: wr_batch_episode, by step, then environment
 *
 * Each part is padded to a multiple of 16 floats. A batch is as long as its episodes need. A state alone (for
 * checkpoints) is head, sums and state with steps = 0.
 *
 * B1. Nothing is used before wr_batch_read has checked it.
 */
#pragma once

#include "rl/nn/net.h"
#include "whipray/rl_env.h"

WR_BEGIN_DECLS

typedef struct wr_batch_head {
    uint32_t magic, version;
    uint32_t env_first, env_count, steps;
    uint32_t record_floats, obs_count, action_count, state_count;
    uint32_t episode_count;
    uint64_t iteration; /* before it was played; in a state alone: the next one */
    uint64_t config_key;
    uint64_t reserved;
} wr_batch_head;

typedef struct wr_batch_episode {
    uint32_t step, env; /* where it ended; env counts over all runners */
    float ret, length;
} wr_batch_episode;

typedef struct wr_batch_view {
    wr_batch_head head;
    const float *sums, *state, *records, *episodes; /* episodes: memcpy each to a wr_batch_episode */
} wr_batch_view;

/* What all parts of one training share, and what a batch must agree with. */
typedef struct wr_batch_shape {
    uint32_t env_total, steps, state_count, steps_max;
    uint64_t config_key;
    const wr_net *net;
} wr_batch_shape;

void wr_batch_shape_init(wr_batch_shape *shape, const wr_rl_config *config, const wr_rl_env_ops *ops,
                         const wr_net *net);
/* Offsets of the parts for `env_count` environments and `steps` steps; out_episodes is also the length
 * without episodes. */
void wr_batch_layout(const wr_batch_shape *shape, uint32_t env_count, uint32_t steps, size_t *out_state,
                     size_t *out_records, size_t *out_episodes);
/* A head for this part, with episode_count 0. */
wr_batch_head wr_batch_head_make(const wr_batch_shape *shape, uint32_t env_first, uint32_t env_count,
                                 uint32_t steps, uint64_t iteration);
/* Checks all but the records. steps: what the head must say. Fails: CORRUPT, INVALID (of another
 * configuration). */
WR_MUST_USE wr_status wr_batch_read(const wr_batch_shape *shape, const float *data, size_t floats,
                                    uint32_t steps, wr_batch_view *out, wr_error *err);
wr_batch_episode wr_batch_episode_at(const wr_batch_view *view, uint32_t index);

WR_END_DECLS

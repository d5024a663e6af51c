/* rl/loop/learner.h: what the loop needs of a learner beyond the public interface. */
#pragma once

#include "rl/loop/team.h"
#include "whipray/rl.h"

WR_BEGIN_DECLS

/* As wr_rl_learner_new, on the threads of `team`, which is borrowed until wr_rl_learner_free. */
WR_MUST_USE wr_status wr_rl_learner_new_in(const wr_rl_config *config, wr_team *team, wr_rl_learner **out,
                                           wr_error *err);

/* The halves of an update: accept checks the batches and notes their episodes; learn changes the weights.
 * Between the two the batches stay borrowed. */
WR_MUST_USE wr_status wr_rl_learner_accept(wr_rl_learner *l, const wr_rl_batch *batches, uint32_t count,
                                           wr_rl_update_stats *out, wr_error *err);
void wr_rl_learner_learn(wr_rl_learner *l, wr_rl_update_stats *out);

WR_END_DECLS

/* rl/loop/runner.h: what the loop needs of a runner beyond the public interface. */
#pragma once

#include "rl/loop/team.h"
#include "whipray/rl.h"

WR_BEGIN_DECLS

/* As wr_rl_runner_new, on the threads of `team`, which is borrowed until wr_rl_runner_free. */
WR_MUST_USE wr_status wr_rl_runner_new_in(const wr_rl_config *config, const wr_rl_runner_opts *opts,
                                          wr_team *team, wr_rl_runner **out, wr_error *err);

WR_END_DECLS

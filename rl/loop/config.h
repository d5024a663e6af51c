/* rl/loop/config.h: a checked configuration, and what follows from it. */
#pragma once

#include "rl/nn/kernels.h"
#include "whipray/rl.h"

WR_BEGIN_DECLS

typedef struct wr_rl_setup {
    wr_rl_config config; /* its strings are static */
    const wr_rl_env_ops *ops;
    const wr_kernels *kernels;
    wr_net net;
} wr_rl_setup;

/* Checks and copies. Fails: as wr_rl_config_check. */
WR_MUST_USE wr_status wr_rl_setup_init(wr_rl_setup *out, const wr_rl_config *config, wr_error *err);

/* Bits that numbers below count need. */
uint32_t wr_bits_for(uint32_t count);

WR_END_DECLS

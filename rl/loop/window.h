/* rl/loop/window.h: the last episodes, and their mean return. */
#pragma once

#include "whipray/rl.h"

WR_BEGIN_DECLS

typedef struct wr_window {
    float *ret, *length; /* [size] rings; one allocation */
    uint32_t size;
    uint64_t count; /* episodes ever added */
    double ret_sum; /* of those in the ring */
    double best;    /* highest mean of a full ring since wr_window_mark; NaN if none */
} wr_window;

WR_MUST_USE wr_status wr_window_init(wr_window *w, uint32_t size, wr_error *err);
void wr_window_done(wr_window *w);
void wr_window_mark(wr_window *w);
void wr_window_add(wr_window *w, float ret, float length);
/* Fills the window's members of stats. */
void wr_window_stats(const wr_window *w, wr_rl_update_stats *stats);

WR_END_DECLS

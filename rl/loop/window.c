#include "rl/loop/window.h"

#include "base/base.h"
#include "rl/nn/kernels.h"

#include <math.h>

wr_status wr_window_init(wr_window *w, uint32_t size, wr_error *err) {
    *w = (wr_window){.size = size, .best = NAN, .ret = wr_floats_new(2 * (size_t)size)};
    if (w->ret == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a window of %u episodes", size);
    }
    w->length = w->ret + size;
    return WR_OK;
}

void wr_window_done(wr_window *w) {
    wr_floats_free(w->ret);
    *w = (wr_window){0};
}

void wr_window_mark(wr_window *w) {
    w->best = NAN;
    w->ret_sum = 0; /* summed anew, so that rounding does not pile up */
    for (uint32_t i = 0; i < w->size && i < w->count; i++) {
        w->ret_sum += (double)w->ret[i];
    }
}

void wr_window_add(wr_window *w, float ret, float length) {
    uint32_t at = (uint32_t)(w->count % w->size);
    w->ret_sum += (double)ret - (w->count >= w->size ? (double)w->ret[at] : 0);
    w->ret[at] = ret;
    w->length[at] = length;
    w->count++;
    if (w->count >= w->size && !(w->ret_sum / w->size <= w->best)) {
        w->best = w->ret_sum / w->size;
    }
}

static void describe(const float *values, uint32_t count, double *mean, double *min, double *max) {
    double sum = 0;
    *min = count > 0 ? INFINITY : NAN;
    *max = count > 0 ? -INFINITY : NAN;
    for (uint32_t i = 0; i < count; i++) {
        double v = (double)values[i];
        sum += v;
        *min = v < *min ? v : *min;
        *max = v > *max ? v : *max;
    }
    *mean = count > 0 ? sum / count : NAN;
}

void wr_window_stats(const wr_window *w, wr_rl_update_stats *stats) {
    uint32_t held = w->count < w->size ? (uint32_t)w->count : w->size;
    stats->window_episodes = held;
    stats->return_best = w->best;
    describe(w->ret, held, &stats->return_mean, &stats->return_min, &stats->return_max);
    describe(w->length, held, &stats->length_mean, &stats->length_min, &stats->length_max);
}

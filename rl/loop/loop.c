#include "base/base.h"
#include "base/clock.h"
#include "rl/loop/learner.h"
#include "rl/loop/runner.h"
#include "rl/nn/kernels.h"

#include <math.h>

struct wr_rl_loop {
    wr_team *team; /* shared: first all sample, then all learn */
    wr_rl_runner *runner;
    wr_rl_learner *learner;
    float *batch;
    size_t capacity;
    wr_time_ns sample_ns; /* of the last iteration */
};

void wr_rl_loop_free(wr_rl_loop *loop) {
    if (loop == NULL) {
        return;
    }
    wr_rl_runner_free(loop->runner);
    wr_rl_learner_free(loop->learner);
    wr_team_free(loop->team);
    wr_floats_free(loop->batch);
    wr_free(loop);
}
WR_DEFINE_AUTO(wr_rl_loop, wr_rl_loop_free)

wr_status wr_rl_loop_new(const wr_rl_config *config, uint32_t threads, wr_rl_loop **out, wr_error *err) {
    if (threads > WR_RL_THREADS_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "loop: threads is %u: the nearest allowed is %d", threads,
                       WR_RL_THREADS_MAX);
    }
    WR_AUTO(wr_rl_loop) loop = wr_calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a loop");
    }
    WR_TRY(wr_team_new(threads > 0 ? threads : 1, &loop->team, err));
    WR_TRY(wr_rl_runner_new_in(config, &(wr_rl_runner_opts){0}, loop->team, &loop->runner, err));
    WR_TRY(wr_rl_learner_new_in(config, loop->team, &loop->learner, err));
    loop->capacity = wr_rl_runner_batch_floats(loop->runner);
    loop->batch = wr_floats_new(loop->capacity);
    if (loop->batch == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a batch of %zu floats", loop->capacity);
    }
    *out = wr_steal(&loop);
    return WR_OK;
}

static wr_status sample(wr_rl_loop *loop, wr_rl_update_stats *out, wr_error *err) {
    size_t weight_count, used;
    const float *weights = wr_rl_learner_weights(loop->learner, &weight_count);
    const wr_time_ns start = wr_clock_ns();
    WR_TRY(wr_rl_runner_sample(loop->runner, weights, weight_count, loop->batch, loop->capacity, &used, err));
    loop->sample_ns = wr_clock_ns() - start;
    return wr_rl_learner_accept(loop->learner, &(wr_rl_batch){.data = loop->batch, .floats = used}, 1, out,
                                err);
}

wr_status wr_rl_loop_train(wr_rl_loop *loop, wr_rl_update_stats *out, wr_error *err) {
    wr_rl_update_stats stats;
    WR_TRY(sample(loop, &stats, err));
    wr_rl_learner_learn(loop->learner, &stats);
    *out = stats;
    return WR_OK;
}

wr_status wr_rl_loop_solve(wr_rl_loop *loop, double target, uint64_t env_steps_max, bool *out_solved,
                           uint64_t *out_env_steps, wr_rl_update_stats *out, wr_error *err) {
    uint64_t env_steps = 0;
    bool solved = false;
    wr_rl_update_stats stats = {0};
    while (!solved && env_steps < env_steps_max) {
        WR_TRY(sample(loop, &stats, err));
        env_steps += stats.env_steps;
        solved = stats.return_best >= target;
        if (!solved) {
            wr_rl_learner_learn(loop->learner, &stats);
        }
    }
    if (out_solved != NULL) {
        *out_solved = solved;
    }
    *out_env_steps = env_steps;
    *out = stats;
    return WR_OK;
}

wr_rl_learner *wr_rl_loop_learner(wr_rl_loop *loop) {
    return loop->learner;
}

wr_rl_runner *wr_rl_loop_runner(wr_rl_loop *loop) {
    return loop->runner;
}

double wr_rl_loop_sample_seconds(const wr_rl_loop *loop) {
    return (double)loop->sample_ns * 1e-9;
}

double wr_rl_peak_flops(uint32_t ms) {
    const wr_kernels *k = wr_kernels_best();
    const uint64_t turns = 100000;
    const double flop = (double)turns * 10 * 2 * k->lanes;
    const wr_time_ns until = wr_clock_ns() + (wr_time_ns)ms * 1000000;
    double best = 0;
    do {
        wr_time_ns start = wr_clock_ns();
        volatile float keep = k->fma_loop(turns);
        (void)keep;
        double rate = flop / ((double)(wr_clock_ns() - start) * 1e-9);
        best = rate > best ? rate : best;
    } while (wr_clock_ns() < until);
    return best;
}

/* include/whipray/rl.h: reinforcement learning in native code: PPO with environments in C.
 *
 * A runner steps environments and writes one iteration into a buffer of the caller's: a batch. A
 * learner reads batches in place and improves the weights. A policy plays. A loop is a runner and a
 * learner in one process. None of it needs a daemon; all data are flat arrays of float, so that
 * any transport serves.
 *
 *   runner.sample(weights) -> batch ┐
 *   runner.sample(weights) -> batch ┴-> learner.update(batches) -> weights
 *
 * R1. Equal configuration and seed give equal bits on one machine, for any number of threads, of
 *     runners, and any split of the environments between them.
 * R2. A batch ends with the state of its environments: a runner that takes it goes on exactly where
 *     the first would have.
 * R3. What comes in a buffer is checked before it is used; a bad one is refused and changes nothing.
 *
 * Threads: an object belongs to one thread at a time; different objects are independent.
 * PPO: Schulman et al. 2017, "Proximal Policy Optimization Algorithms", equation 9; advantages:
 * Schulman et al. 2016, "High-Dimensional Continuous Control Using Generalized Advantage Estimation".
 */
#ifndef WHIPRAY_RL_H
#define WHIPRAY_RL_H

#include "whipray/status.h"

WR_BEGIN_DECLS

enum {
    WR_RL_LAYERS_MAX = 16,
    WR_RL_WIDTH_MAX = 4096,
    WR_RL_ENVS_MAX = 1 << 20,
    WR_RL_SLICES_MAX = 16,
    WR_RL_THREADS_MAX = 64,
};

typedef enum wr_rl_activation { WR_RL_TANH, WR_RL_RELU, WR_RL_LINEAR } wr_rl_activation;

/* "tanh", "relu" or "linear". Fails: NOT_FOUND; the hint names the nearest. */
WR_API WR_MUST_USE wr_status wr_rl_activation_parse(const char *name, wr_rl_activation *out, wr_error *err);

typedef struct wr_rl_config {
    const char *env;     /* a registered environment; borrowed while the config is in use */
    const char *kernels; /* "auto", or "avx512", "avx2", "sse2", "neon" to force one */
    uint64_t seed;
    uint32_t env_count;      /* environments over all runners, 1 to WR_RL_ENVS_MAX */
    uint32_t fragment_steps; /* steps of each in an iteration; env_count * fragment_steps < 2^31 */
    /* Network. */
    uint32_t layers;                   /* hidden ones, 0 to WR_RL_LAYERS_MAX */
    uint32_t hidden[WR_RL_LAYERS_MAX]; /* their widths, 1 to WR_RL_WIDTH_MAX */
    wr_rl_activation activation;
    bool value_shares_layers; /* one tower with two heads, or a tower each */
    /* Returns. */
    float gamma, lambda; /* in [0, 1] */
    float value_unit;    /* the value output is in multiples of this return; > 0 */
    /* Objective. */
    float clip;       /* of the probability ratio, > 0 */
    float value_clip; /* the squared value error (in value units) is cut here; > 0, may be INFINITY */
    float value_coeff, entropy_coeff; /* >= 0 */
    bool use_kl;                      /* adds kl_coeff * KL(old || new), and adapts kl_coeff to kl_target */
    float kl_coeff, kl_target;        /* >= 0, > 0 */
    /* Optimiser: Adam (Kingma and Ba 2015). */
    float lr;        /* >= 0 */
    float grad_clip; /* of the global norm; 0 = off */
    float adam_beta1, adam_beta2, adam_epsilon;
    uint32_t epochs;          /* > 0 */
    uint32_t minibatch;       /* samples, 1 to the batch; a last one of less than half is left out */
    uint32_t gradient_slices; /* fixed parts of a minibatch's sum, so that threads do not change bits */
    uint32_t episode_window;  /* episodes that the mean return is taken over, > 0 */
} wr_rl_config;

/* RLlib's defaults for PPO, with 32 environments of 125 steps. */
WR_API void wr_rl_config_default(wr_rl_config *out);
/* Fails: INVALID, naming the field, its value and what is allowed; NOT_FOUND or UNSUPPORTED for env and
 * kernels. */
WR_API WR_MUST_USE wr_status wr_rl_config_check(const wr_rl_config *config, wr_error *err);

/* ---- weights: one flat array; padding in it is zero ---- */

/* One matrix or vector of the network: element (row, column) at offset + row * stride + column. */
typedef struct wr_rl_weight {
    char name[32]; /* "shared.0.weight", "policy.head.bias", "value.1.weight" */
    size_t offset;
    uint32_t rows, columns, stride; /* a bias has one row */
} wr_rl_weight;

/* Number of floats in the flat array; 0 for a config that does not pass wr_rl_config_check. */
WR_API size_t wr_rl_weights_floats(const wr_rl_config *config);
/* Describes the index-th part. Fails: NOT_FOUND past the last, or as wr_rl_config_check. */
WR_API WR_MUST_USE wr_status wr_rl_weights_part(const wr_rl_config *config, uint32_t index, wr_rl_weight *out,
                                                wr_error *err);

/* ---- runner ---- */

typedef struct wr_rl_runner wr_rl_runner;

typedef struct wr_rl_runner_opts {
    uint32_t env_first, env_count; /* this runner's part of config->env_count; count 0: all from env_first */
    uint32_t threads;              /* 0: 1 */
    uint64_t iteration;            /* the first to play; the environments start anew before it */
} wr_rl_runner_opts;

/* out: owned, released with wr_rl_runner_free. The config is copied.
 * Fails: as wr_rl_config_check, INVALID (the part is outside), NO_MEMORY. */
WR_API WR_MUST_USE wr_status wr_rl_runner_new(const wr_rl_config *config, const wr_rl_runner_opts *opts,
                                              wr_rl_runner **out, wr_error *err);
WR_API void wr_rl_runner_free(wr_rl_runner *runner);
/* Floats that a batch needs at most. */
WR_API size_t wr_rl_runner_batch_floats(const wr_rl_runner *runner);
/* Plays one iteration and writes it to out [capacity]; *out_used: floats written. Blocks for the work.
 * On failure the environments are where they were. Fails: INVALID (weight_count or capacity is wrong). */
WR_API WR_MUST_USE wr_status wr_rl_runner_sample(wr_rl_runner *runner, const float *weights,
                                                 size_t weight_count, float *out, size_t capacity,
                                                 size_t *out_used, wr_error *err);
/* Goes on from the end of a batch of a runner of the same part. Fails: CORRUPT, INVALID (another part). */
WR_API WR_MUST_USE wr_status wr_rl_runner_restore(wr_rl_runner *runner, const float *batch, size_t floats,
                                                  wr_error *err);
/* The state alone, for checkpoints: wr_rl_runner_state_floats floats. */
WR_API size_t wr_rl_runner_state_floats(const wr_rl_runner *runner);
WR_API void wr_rl_runner_state_get(const wr_rl_runner *runner, float *out);
/* Fails: CORRUPT, INVALID (of another part). */
WR_API WR_MUST_USE wr_status wr_rl_runner_state_set(wr_rl_runner *runner, const float *state, size_t floats,
                                                    wr_error *err);
/* Iterations played. */
WR_API uint64_t wr_rl_runner_iteration(const wr_rl_runner *runner);

/* ---- learner ---- */

typedef struct wr_rl_learner wr_rl_learner;

typedef struct wr_rl_batch {
    const float *data; /* borrowed for the call; any float alignment */
    size_t floats;
} wr_rl_batch;

/* Means over the last epoch of an update, and over the episodes that ended. */
typedef struct wr_rl_update_stats {
    double policy_loss, value_loss, entropy, kl, total_loss;
    double clipped, value_clipped;      /* shares of samples whose ratio, or value error, was cut */
    double value_explained;             /* 1 - Var(target - value) / Var(target) */
    double grad_norm;                   /* global, of the last minibatch, before clipping */
    double kl_coeff, lr, entropy_coeff; /* used in this update */
    uint64_t samples_trained;           /* over all epochs */
    uint64_t env_steps;                 /* of the batches */
    uint64_t episodes;                  /* that ended in them */
    uint64_t window_episodes;           /* in the window of the last config->episode_window */
    double return_mean, return_min, return_max, length_mean, length_min,
        length_max;     /* over the window; NaN if empty */
    double return_best; /* highest mean of a full window seen at an episode's end; NaN if none */
} wr_rl_update_stats;

/* threads: at most config->gradient_slices are of use; 0: 1. out: owned.
 * Fails: as wr_rl_config_check, NO_MEMORY. */
WR_API WR_MUST_USE wr_status wr_rl_learner_new(const wr_rl_config *config, uint32_t threads,
                                               wr_rl_learner **out, wr_error *err);
WR_API void wr_rl_learner_free(wr_rl_learner *learner);
/* One iteration's batches, which together hold each environment once. Blocks for the work.
 * Fails: CORRUPT (a batch is malformed), INVALID (of another configuration or iteration, or
 * environments are missing or twice). */
WR_API WR_MUST_USE wr_status wr_rl_learner_update(wr_rl_learner *learner, const wr_rl_batch *batches,
                                                  uint32_t count, wr_rl_update_stats *out, wr_error *err);
/* Lends the weights until the next update, weights_set, state_set or free. */
WR_API const float *wr_rl_learner_weights(const wr_rl_learner *learner, size_t *out_count);
/* Fails: INVALID (count is wrong, a weight is not finite). Padding is set to zero. */
WR_API WR_MUST_USE wr_status wr_rl_learner_weights_set(wr_rl_learner *learner, const float *weights,
                                                       size_t count, wr_error *err);
/* For schedules. Fails: INVALID (negative or not finite). */
WR_API WR_MUST_USE wr_status wr_rl_learner_rates_set(wr_rl_learner *learner, double lr, double entropy_coeff,
                                                     wr_error *err);
/* Weights, optimiser, adapted kl_coeff, counters and the window of episodes, for checkpoints. */
WR_API size_t wr_rl_learner_state_floats(const wr_rl_learner *learner);
WR_API void wr_rl_learner_state_get(const wr_rl_learner *learner, float *out);
/* Fails: CORRUPT, INVALID (of another network). */
WR_API WR_MUST_USE wr_status wr_rl_learner_state_set(wr_rl_learner *learner, const float *state,
                                                     size_t floats, wr_error *err);
/* For measurements: gradients of every whole minibatch of the batches, `rounds` times, by one thread, without
 * changing a weight; *out_samples: samples done, *out_flop: floating-point operations of one sample. */
WR_API WR_MUST_USE wr_status wr_rl_learner_exercise(wr_rl_learner *learner, const wr_rl_batch *batches,
                                                    uint32_t count, uint32_t rounds, uint64_t *out_samples,
                                                    double *out_flop, wr_error *err);

/* ---- policy: for evaluation and play ---- */

typedef struct wr_rl_policy wr_rl_policy;

/* Fails: as wr_rl_config_check, INVALID (count is wrong), NO_MEMORY. Weights are copied. */
WR_API WR_MUST_USE wr_status wr_rl_policy_new(const wr_rl_config *config, const float *weights, size_t count,
                                              wr_rl_policy **out, wr_error *err);
WR_API void wr_rl_policy_free(wr_rl_policy *policy);
/* Network outputs for obs [count][obs_count]: logits [count][action_count] and value [count] (in units of
 * return); either may be NULL. */
WR_API void wr_rl_policy_forward(wr_rl_policy *policy, const float *obs, uint32_t count, float *out_logits,
                                 float *out_values);
/* Plays whole episodes, each from its own start by `seed`. sample: draws actions, else takes the likeliest.
 * out_returns, out_lengths [episodes]: may be NULL. */
WR_API void wr_rl_policy_play(wr_rl_policy *policy, uint64_t seed, uint32_t episodes, bool sample,
                              float *out_returns, float *out_lengths);

/* ---- loop: sampling and learning in one process ---- */

typedef struct wr_rl_loop wr_rl_loop;

/* threads: share both the environments and the gradient; 0: 1. out: owned. Fails: as wr_rl_learner_new. */
WR_API WR_MUST_USE wr_status wr_rl_loop_new(const wr_rl_config *config, uint32_t threads, wr_rl_loop **out,
                                            wr_error *err);
WR_API void wr_rl_loop_free(wr_rl_loop *loop);
/* One iteration. */
WR_API WR_MUST_USE wr_status wr_rl_loop_train(wr_rl_loop *loop, wr_rl_update_stats *out, wr_error *err);
/* Iterations until the mean return over a full window reaches `target`, or env_steps_max is passed. The last
 * iteration's stats; out_solved may be NULL. */
WR_API WR_MUST_USE wr_status wr_rl_loop_solve(wr_rl_loop *loop, double target, uint64_t env_steps_max,
                                              bool *out_solved, uint64_t *out_env_steps,
                                              wr_rl_update_stats *out, wr_error *err);
/* Lends its parts until wr_rl_loop_free. */
WR_API wr_rl_learner *wr_rl_loop_learner(wr_rl_loop *loop);
WR_API wr_rl_runner *wr_rl_loop_runner(wr_rl_loop *loop);
/* Seconds that the last iteration took to sample; 0 before the first. */
WR_API double wr_rl_loop_sample_seconds(const wr_rl_loop *loop);

/* ---- environments alone: a batch of them, stepped with given actions ---- */

typedef struct wr_rl_envs wr_rl_envs;

/* Fails: NOT_FOUND (env), INVALID (count), NO_MEMORY. */
WR_API WR_MUST_USE wr_status wr_rl_envs_new(const char *env, uint32_t count, uint64_t seed, wr_rl_envs **out,
                                            wr_error *err);
WR_API void wr_rl_envs_free(wr_rl_envs *envs);
WR_API void wr_rl_envs_shape(const wr_rl_envs *envs, uint32_t *out_obs, uint32_t *out_actions,
                             uint32_t *out_state, uint32_t *out_steps_max);
/* Present observations [count][obs_count]. */
WR_API void wr_rl_envs_observe(wr_rl_envs *envs, float *out_obs);
/* Steps all. What ended starts anew in the same call: out_obs is then the first observation of the new
 * episode. out_terminated, out_truncated: 0 or 1. Fails: INVALID (an action out of range); nothing was
 * stepped. */
WR_API WR_MUST_USE wr_status wr_rl_envs_step(wr_rl_envs *envs, const int32_t *actions, float *out_obs,
                                             float *out_reward, uint8_t *out_terminated,
                                             uint8_t *out_truncated, wr_error *err);
/* As step, with actions drawn here: for measurements. out_obs, out_reward as above. Returns episodes ended.
 */
WR_API uint64_t wr_rl_envs_step_random(wr_rl_envs *envs, uint32_t steps, float *out_obs, float *out_reward);
/* State [count][state_count] and steps taken [count]; get writes, set reads. Fails: INVALID (not finite). */
WR_API void wr_rl_envs_state_get(const wr_rl_envs *envs, float *out_state, uint32_t *out_steps);
WR_API WR_MUST_USE wr_status wr_rl_envs_state_set(wr_rl_envs *envs, const float *state, const uint32_t *steps,
                                                  wr_error *err);

/* ---- this machine ---- */

/* The instruction set of the kernels that "auto" means here; static string. */
WR_API const char *wr_rl_kernels_name(void);
/* The index-th set that this build and processor have, best first, or NULL past the last. */
WR_API const char *wr_rl_kernels_available(uint32_t index);
/* One core's peak by a plain loop of fused multiply-adds, in FLOP/s; takes about `ms` milliseconds. */
WR_API double wr_rl_peak_flops(uint32_t ms);

WR_END_DECLS
#endif

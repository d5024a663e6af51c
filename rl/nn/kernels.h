/* rl/nn/kernels.h: the table of vector kernels, one per instruction set, chosen at run time.
 *
 * The same sources (*_kernels.c) are compiled for each set; see vector.h. Tiles are structures of
 * arrays: a field is a row of WR_TILE floats. Rows up to the next multiple of 16 are computed too and
 * must hold finite numbers.
 *
 * Threads: kernels keep no state; a wr_scratch belongs to one thread at a time.
 */
#pragma once

#include "rl/nn/net.h"
#include "whipray/rl_env.h"

WR_BEGIN_DECLS

/* What a thread needs to run a network forward and backward over one tile. */
typedef struct wr_scratch {
    float *hidden[2][WR_RL_LAYERS_MAX]; /* [WR_TILE][out_pad], outputs of each layer */
    float *delta[2];                    /* [WR_TILE][width_max] */
    float *out;                         /* [action_count + 1][WR_TILE]: logits, value */
    float *out_grad;                    /* the same */
    float *fields;                      /* [record_floats][WR_TILE] */
    float *transposed;                  /* weights of layers from the second on, for backward */
} wr_scratch;

/* Fails: NO_MEMORY, with nothing left allocated. */
WR_MUST_USE wr_status wr_scratch_init(wr_scratch *s, const wr_net *net, wr_error *err);
void wr_scratch_done(wr_scratch *s); /* accepts a zeroed one */

/* Zeroed floats that start on a cache line, or NULL. */
float *wr_floats_new(size_t count);
void wr_floats_free(float *floats); /* accepts NULL */

/* Coefficients of the loss, and what normalises the advantages. */
typedef struct wr_ppo_loss {
    float clip, value_clip, value_coeff, entropy_coeff, kl_coeff;
    float advantage_mean, advantage_scale; /* normalised advantage: (a - mean) * scale */
} wr_ppo_loss;

/* Sums over samples; means are made by the learner. */
typedef struct wr_ppo_sums {
    double policy_loss, value_loss, entropy, kl, clipped, value_clipped;
    double error, error_square, target, target_square; /* of value - target, and of target */
    double samples;
} wr_ppo_sums;

/* Where the records of one environment lie: step t at base + t * stride. */
typedef struct wr_record_rows {
    const float *base;
    size_t stride;
} wr_record_rows;

/* A shuffled sample number is (environment << step_bits) | step. */
typedef struct wr_samples {
    const wr_record_rows *env; /* [env_count] */
    uint32_t step_bits;
    const uint32_t *index; /* the samples to use */
    uint32_t count;
} wr_samples;

typedef struct wr_adam {
    float beta1, beta2, rate, epsilon; /* rate and epsilon already corrected for bias */
    float gradient_scale;
} wr_adam;

/* One chunk's generalised advantages: rows of `stride` floats, records of `record_floats`. */
typedef struct wr_gae {
    uint32_t count, stride, steps;
    float gamma, lambda, value_unit;
    const float *value;  /* [steps + 1][stride], in value units */
    const float *reward; /* [steps][stride]; a truncated step's has gamma times the value that follows */
    const float *ended;  /* [steps][stride], 1 or 0 */
    float *record;       /* of the chunk's first environment at step 0, at its advantage field */
    size_t record_floats;
    size_t step_floats;      /* from a record to that of the next step */
    float *sum, *sum_square; /* [count], of the advantages of each environment */
} wr_gae;

typedef struct wr_kernels {
    const char *name; /* "avx512" */
    uint32_t lanes;

    /* out [outputs][WR_TILE] from obs rows [obs_count][obs_stride], `count` columns, at most WR_TILE. */
    void (*forward)(const wr_net *net, const float *params, wr_scratch *s, const float *obs,
                    size_t obs_stride, uint32_t count);
    /* Fills s->transposed. */
    void (*transpose)(const wr_net *net, const float *params, wr_scratch *s);
    /* Adds the gradient of sum(loss) * scale over the samples to grad, and the sums to *sums. */
    void (*gradient)(const wr_net *net, const float *params, wr_scratch *s, const wr_ppo_loss *loss,
                     const wr_samples *samples, float scale, float *grad, wr_ppo_sums *sums);
    /* Sum of squares of the summed gradients. */
    float (*square_sum)(float *const *grads, uint32_t grad_count, size_t count);
    /* One Adam step of [begin, end), multiples of 16, with the sum of the gradients in their order. */
    void (*adam)(const wr_adam *adam, float *const *grads, uint32_t grad_count, size_t begin, size_t end,
                 float *params, float *m, float *v);
    void (*gae)(const wr_gae *gae);

    /* rows [4 * blocks][stride] of uniform numbers: column i's counter is (first + i, step, block, purpose).
     */
    void (*uniform)(uint64_t seed, uint32_t purpose, uint64_t step, uint32_t first, uint32_t count,
                    uint32_t blocks, size_t stride, float *rows);
    /* The n-th group of 4 words is Philox of counter (first + n, c1, c2, purpose). count: a multiple of 64.
     */
    void (*words)(uint64_t seed, uint32_t purpose, uint32_t c1, uint32_t c2, uint32_t first, uint32_t count,
                  uint32_t *out);
    /* Draws an action for each column from logits, and writes action, value, log-probabilities (rows of
     * `stride`); uniform NULL: takes the likeliest action. */
    void (*act)(uint32_t action_count, const float *out, const float *uniform, uint32_t count, float *action,
                float *logp);
    /* Columns become records: [count] of `record_floats` floats. */
    void (*record)(const float *fields, uint32_t record_floats, uint32_t count, float *records);
    /* Counts steps, finds ends: returns bit 0 if any ended, bit 1 if any was truncated. */
    uint32_t (*ends)(uint32_t count, uint32_t steps_max, const float *reward, const float *terminated,
                     float *length, float *ret, float *ended, float *truncated);
    /* dst = mask ? src : dst, by column, over `rows` rows. */
    void (*blend)(uint32_t count, uint32_t rows, size_t stride, const float *mask, const float *src,
                  float *dst);
    /* [rows][stride] to [count][rows]. */
    void (*transpose_rows)(const float *rows, uint32_t row_count, size_t stride, uint32_t count, float *out);

    void (*cartpole_start)(const wr_rl_env_batch *batch);
    void (*cartpole_step)(const wr_rl_env_batch *batch);

    /* The plain FMA loop that shares of peak are measured against: `turns` times 10 vectors. */
    float (*fma_loop)(uint64_t turns);
} wr_kernels;

/* The best this machine can run, or the named one ("auto", NULL: the best).
 * Fails: NOT_FOUND (no such set), UNSUPPORTED (not on this processor). */
WR_MUST_USE wr_status wr_kernels_find(const char *name, const wr_kernels **out, wr_error *err);
const wr_kernels *wr_kernels_best(void);

/* Purposes of random numbers, the last word of the counter: no two uses share a counter. */
enum {
    WR_RANDOM_ACTION = 1,
    WR_RANDOM_START,
    WR_RANDOM_STEP,
    WR_RANDOM_SHUFFLE,
    WR_RANDOM_WEIGHTS,
    WR_RANDOM_BENCH
};

WR_END_DECLS

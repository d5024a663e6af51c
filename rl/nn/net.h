/* rl/nn/net.h: the shape of a policy and value network, and where each weight lies.
 *
 * A network is one tower (policy and value share the hidden layers) or two. All weights are one array
 * of floats, the same on every machine:
 *
 *   for each tower, for each hidden layer: weights [in][out], bias [out]; then head [outputs][in], bias
 *
 * `out` and the `in` of all but the first layer are padded to a multiple of 16; the first layer has one
 * row per observation float; the head has a row per output: the actions' logits, then the value.
 *
 * N1. Padding is zero and stays zero: its gradient is zero.
 * N2. Each part starts at a multiple of 16 floats.
 *
 * Pure: no state, no allocation.
 */
#pragma once

#include "whipray/rl.h"

WR_BEGIN_DECLS

enum { WR_TILE = 48, WR_PAD = 16 }; /* samples a network works on at a time, a multiple of WR_PAD */

static inline uint32_t wr_pad(uint32_t n) {
    return (n + WR_PAD - 1) / WR_PAD * WR_PAD;
}

typedef struct wr_net_tower {
    uint32_t layers;                    /* hidden ones; may be 0 */
    uint32_t in[WR_RL_LAYERS_MAX];      /* inputs in use */
    uint32_t in_pad[WR_RL_LAYERS_MAX];  /* rows of weights */
    uint32_t out[WR_RL_LAYERS_MAX];     /* outputs in use */
    uint32_t out_pad[WR_RL_LAYERS_MAX]; /* columns of weights */
    size_t weights[WR_RL_LAYERS_MAX];   /* offsets into the parameters */
    size_t bias[WR_RL_LAYERS_MAX];
    size_t transposed[WR_RL_LAYERS_MAX]; /* offset into the transposed weights; layers from the second on */
    uint32_t head_in, head_in_pad;       /* columns of the head in use, and padded */
    uint32_t outputs;                    /* rows of the head */
    uint32_t first_output;               /* the network's output that the first row is */
    size_t head, head_bias;
} wr_net_tower;

typedef struct wr_net {
    uint32_t obs_count, action_count;
    wr_rl_activation activation;
    uint32_t towers;
    wr_net_tower tower[2];
    size_t param_count; /* a multiple of 16 */
    size_t transposed_count;
    uint32_t width_max;     /* widest padded layer, at least WR_PAD */
    uint32_t record_floats; /* of a sample's record, see wr_record_* */
} wr_net;

/* Lays a network out. hidden: [layers], checked by the caller. */
void wr_net_init(wr_net *net, uint32_t obs_count, uint32_t action_count, const uint32_t *hidden,
                 uint32_t layers, wr_rl_activation activation, bool value_shares_layers);

/* First weights: uniform with variance 1/in (2/in for relu), the policy's head times 0.01, biases 0.
 * A pure function of the seed. params: [param_count], written. */
void wr_net_first_weights(const wr_net *net, uint64_t seed, float *params);

/* Number of weights without padding. */
size_t wr_net_weight_count(const wr_net *net);

/* A sample's record, record_floats long (a multiple of 16, so whole cache lines): observation, then
 * these at obs_count + ..., then the old log-probability of each action. */
enum { WR_RECORD_ACTION, WR_RECORD_ADVANTAGE, WR_RECORD_TARGET, WR_RECORD_VALUE, WR_RECORD_LOGP };

WR_END_DECLS

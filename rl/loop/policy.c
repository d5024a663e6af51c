#include "base/base.h"
#include "rl/loop/columns.h"
#include "rl/loop/config.h"

#include <string.h>

struct wr_rl_policy {
    wr_rl_setup setup;
    float *weights;
    wr_scratch scratch;
    wr_columns columns;
    float *obs;    /* [obs_count][WR_TILE] */
    float *random; /* [4][WR_TILE] */
};

void wr_rl_policy_free(wr_rl_policy *p) {
    if (p == NULL) {
        return;
    }
    wr_scratch_done(&p->scratch);
    wr_columns_done(&p->columns);
    wr_floats_free(p->weights);
    wr_floats_free(p->obs);
    wr_floats_free(p->random);
    wr_free(p);
}
WR_DEFINE_AUTO(wr_rl_policy, wr_rl_policy_free)

wr_status wr_rl_policy_new(const wr_rl_config *config, const float *weights, size_t count, wr_rl_policy **out,
                           wr_error *err) {
    WR_AUTO(wr_rl_policy) p = wr_calloc(1, sizeof(*p));
    if (p == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a policy");
    }
    WR_TRY(wr_rl_setup_init(&p->setup, config, err));
    if (weights == NULL || count != p->setup.net.param_count) {
        return WR_FAIL(err, WR_E_INVALID, "policy: %zu weights; the network has %zu", count,
                       p->setup.net.param_count);
    }
    WR_TRY(wr_scratch_init(&p->scratch, &p->setup.net, err));
    WR_TRY(wr_columns_init(&p->columns, p->setup.ops, p->setup.kernels, WR_TILE, err));
    p->weights = wr_floats_new(count);
    p->obs = wr_floats_new((size_t)WR_TILE * p->setup.net.obs_count);
    p->random = wr_floats_new((size_t)4 * WR_TILE);
    if (p->weights == NULL || p->obs == NULL || p->random == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a policy of %zu weights", count);
    }
    memcpy(p->weights, weights, count * sizeof(float));
    *out = wr_steal(&p);
    return WR_OK;
}

void wr_rl_policy_forward(wr_rl_policy *p, const float *obs, uint32_t count, float *out_logits,
                          float *out_values) {
    const wr_net *net = &p->setup.net;
    const uint32_t width = net->obs_count, actions = net->action_count;
    for (uint32_t first = 0; first < count; first += WR_TILE) {
        const uint32_t n = count - first < WR_TILE ? count - first : WR_TILE;
        for (uint32_t i = 0; i < n; i++) {
            for (uint32_t k = 0; k < width; k++) {
                p->obs[k * (size_t)WR_TILE + i] = obs[(size_t)(first + i) * width + k];
            }
        }
        p->setup.kernels->forward(net, p->weights, &p->scratch, p->obs, WR_TILE, n);
        for (uint32_t i = 0; i < n; i++) {
            for (uint32_t o = 0; out_logits != NULL && o < actions; o++) {
                out_logits[(size_t)(first + i) * actions + o] = p->scratch.out[o * (size_t)WR_TILE + i];
            }
            if (out_values != NULL) {
                out_values[first + i] =
                    p->scratch.out[actions * (size_t)WR_TILE + i] * p->setup.config.value_unit;
            }
        }
    }
}

static void play_tile(wr_rl_policy *p, uint32_t first, uint32_t count, bool sample, float *out_returns,
                      float *out_lengths) {
    const wr_kernels *k = p->setup.kernels;
    wr_columns *c = &p->columns;
    bool done[WR_TILE] = {false};
    c->first = first;
    c->count = count;
    wr_columns_start(c, 0);
    uint32_t playing = count;
    for (uint64_t step = 0; playing > 0; step++) {
        if (step % 4 == 0) {
            k->uniform(c->seed, WR_RANDOM_ACTION, step / 4, c->first, count, 1, WR_TILE, p->random);
        }
        k->forward(&p->setup.net, p->weights, &p->scratch, c->obs, c->stride, count);
        /* The backward pass's rows are free here: log-probabilities go there. */
        k->act(p->setup.net.action_count, p->scratch.out, sample ? p->random + step % 4 * WR_TILE : NULL,
               count, c->action, p->scratch.out_grad);
        if ((wr_columns_step(c, step) & 1) == 0) {
            continue;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (c->ended[i] > 0 && !done[i]) {
                done[i] = true;
                playing--;
                if (out_returns != NULL) {
                    out_returns[i] = c->ret[i];
                }
                if (out_lengths != NULL) {
                    out_lengths[i] = c->length[i];
                }
            }
        }
        wr_columns_restart(c, step);
    }
}

void wr_rl_policy_play(wr_rl_policy *p, uint64_t seed, uint32_t episodes, bool sample, float *out_returns,
                       float *out_lengths) {
    p->columns.seed = seed;
    for (uint32_t first = 0; first < episodes; first += WR_TILE) {
        play_tile(p, first, episodes - first < WR_TILE ? episodes - first : WR_TILE, sample,
                  out_returns == NULL ? NULL : out_returns + first,
                  out_lengths == NULL ? NULL : out_lengths + first);
    }
}

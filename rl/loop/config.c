#include "rl/loop/config.h"

#include "base/base.h"
#include "rl/env/nearest.h"
#include "rl/nn/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

wr_status wr_rl_activation_parse(const char *name, wr_rl_activation *out, wr_error *err) {
    static const char *const names[] = {
        [WR_RL_TANH] = "tanh", [WR_RL_RELU] = "relu", [WR_RL_LINEAR] = "linear"};
    for (size_t i = 0; name != NULL && i < WR_COUNT_OF(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (wr_rl_activation)i;
            return WR_OK;
        }
    }
    wr_status status = WR_FAIL(
        err, WR_E_NOT_FOUND, "there is no activation '%.40s'; did you mean '%s'? Known: tanh, relu, linear",
        name == NULL ? "(null)" : name, name == NULL ? "tanh" : wr_nearest(name, names, WR_COUNT_OF(names)));
    return status;
}

void wr_rl_config_default(wr_rl_config *out) {
    *out = (wr_rl_config){.env = "CartPole-v1",
                          .kernels = "auto",
                          .env_count = 32,
                          .fragment_steps = 125,
                          .layers = 2,
                          .hidden = {256, 256},
                          .activation = WR_RL_TANH,
                          .value_shares_layers = true,
                          .gamma = 0.99f,
                          .lambda = 1.0f,
                          .value_unit = 1.0f,
                          .clip = 0.3f,
                          .value_clip = 10.0f,
                          .value_coeff = 1.0f,
                          .use_kl = true,
                          .kl_coeff = 0.2f,
                          .kl_target = 0.01f,
                          .lr = 5e-5f,
                          .adam_beta1 = 0.9f,
                          .adam_beta2 = 0.999f,
                          .adam_epsilon = 1e-5f,
                          .epochs = 30,
                          .minibatch = 128,
                          .gradient_slices = 2,
                          .episode_window = 100};
}

typedef struct float_range {
    const char *field;
    float value;
    double low, high;
    bool open_low; /* low itself is not allowed */
} float_range;

static wr_status check_floats(const wr_rl_config *c, wr_error *err) {
    const float_range ranges[] = {
        {"gamma", c->gamma, 0, 1, false},
        {"lambda", c->lambda, 0, 1, false},
        {"value_unit", c->value_unit, 0, 1e9, true},
        {"clip", c->clip, 0, 1e3, true},
        {"value_clip", c->value_clip, 0, INFINITY, true},
        {"value_coeff", c->value_coeff, 0, 1e9, false},
        {"entropy_coeff", c->entropy_coeff, 0, 1e9, false},
        {"kl_coeff", c->kl_coeff, 0, 1e9, false},
        {"kl_target", c->kl_target, 0, 1e9, !!c->use_kl},
        {"lr", c->lr, 0, 1e3, false},
        {"grad_clip", c->grad_clip, 0, 1e30, false},
        {"adam_beta1", c->adam_beta1, 0, 0.999999, false},
        {"adam_beta2", c->adam_beta2, 0, 0.999999, false},
        {"adam_epsilon", c->adam_epsilon, 0, 1, true},
    };
    for (size_t i = 0; i < WR_COUNT_OF(ranges); i++) {
        const float_range *r = &ranges[i];
        double v = (double)r->value;
        if (v >= r->low && v <= r->high && !(r->open_low && v <= r->low)) {
            continue;
        }
        char nearest[64];
        if (isnan(v)) {
            snprintf(nearest, sizeof nearest, "it is not a number");
        } else if (v > r->high) {
            snprintf(nearest, sizeof nearest, "the nearest allowed is %g", r->high);
        } else {
            snprintf(nearest, sizeof nearest,
                     r->open_low ? "it must be above %g" : "the nearest allowed is %g", r->low);
        }
        return WR_FAIL(err, WR_E_INVALID, "%s is %g: %s (allowed: %s%g to %g)", r->field, v, nearest,
                       r->open_low ? "above " : "", r->low, r->high);
    }
    return WR_OK;
}

static wr_status check_counts(const wr_rl_config *c, wr_error *err) {
    const uint64_t batch = (uint64_t)c->env_count * c->fragment_steps;
    const struct {
        const char *field;
        uint64_t value, low, high;
    } ranges[] = {
        {"env_count", c->env_count, 1, WR_RL_ENVS_MAX},
        {"fragment_steps", c->fragment_steps, 1, 1u << 24},
        {"env_count * fragment_steps", batch, 1, (1ull << 31) - 1},
        {"layers", c->layers, 0, WR_RL_LAYERS_MAX},
        {"epochs", c->epochs, 1, 1u << 20},
        {"minibatch", c->minibatch, 1, batch},
        {"gradient_slices", c->gradient_slices, 1, WR_RL_SLICES_MAX},
        {"episode_window", c->episode_window, 1, 1u << 20},
    };
    for (size_t i = 0; i < WR_COUNT_OF(ranges); i++) {
        if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high) {
            uint64_t nearest = ranges[i].value < ranges[i].low ? ranges[i].low : ranges[i].high;
            return WR_FAIL(err, WR_E_INVALID,
                           "%s is %llu: the nearest allowed is %llu (allowed: %llu to %llu)", ranges[i].field,
                           (unsigned long long)ranges[i].value, (unsigned long long)nearest,
                           (unsigned long long)ranges[i].low, (unsigned long long)ranges[i].high);
        }
    }
    uint32_t env_bits = wr_bits_for(c->env_count);
    if (env_bits + wr_bits_for(c->fragment_steps) > 32) {
        return WR_FAIL(err, WR_E_INVALID,
                       "fragment_steps is %u: with env_count %u the nearest allowed is %llu",
                       c->fragment_steps, c->env_count, 1ull << (32 - env_bits));
    }
    for (uint32_t l = 0; l < c->layers; l++) {
        if (c->hidden[l] < 1 || c->hidden[l] > WR_RL_WIDTH_MAX) {
            return WR_FAIL(err, WR_E_INVALID,
                           "hidden[%u] is %u: the nearest allowed is %d (allowed: 1 to %d)", l, c->hidden[l],
                           c->hidden[l] < 1 ? 1 : WR_RL_WIDTH_MAX, WR_RL_WIDTH_MAX);
        }
    }
    return WR_OK;
}

uint32_t wr_bits_for(uint32_t count) {
    uint32_t bits = 0;
    while (bits < 32 && (1ull << bits) < count) {
        bits++;
    }
    return bits;
}

wr_status wr_rl_setup_init(wr_rl_setup *out, const wr_rl_config *config, wr_error *err) {
    if (config == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "the config is NULL");
    }
    wr_rl_setup s = {.config = *config};
    WR_TRY(wr_rl_env_find(config->env, &s.ops, err));
    WR_TRY(wr_kernels_find(config->kernels, &s.kernels, err));
    if ((unsigned)config->activation > WR_RL_LINEAR) {
        return WR_FAIL(err, WR_E_INVALID,
                       "activation is %d: the nearest allowed is tanh (0), relu (1) or linear (2)",
                       (int)config->activation);
    }
    WR_TRY(check_counts(config, err));
    WR_TRY(check_floats(config, err));
    s.config.env = s.ops->name;
    s.config.kernels = s.kernels->name;
    wr_net_init(&s.net, s.ops->obs_count, s.ops->action_count, config->hidden, config->layers,
                config->activation, config->value_shares_layers);
    *out = s;
    return WR_OK;
}

wr_status wr_rl_config_check(const wr_rl_config *config, wr_error *err) {
    wr_rl_setup setup;
    return wr_rl_setup_init(&setup, config, err);
}

size_t wr_rl_weights_floats(const wr_rl_config *config) {
    wr_rl_setup setup;
    return wr_rl_setup_init(&setup, config, NULL) == WR_OK ? setup.net.param_count : 0;
}

wr_status wr_rl_weights_part(const wr_rl_config *config, uint32_t index, wr_rl_weight *out, wr_error *err) {
    wr_rl_setup setup;
    WR_TRY(wr_rl_setup_init(&setup, config, err));
    const wr_net *net = &setup.net;
    uint32_t at = 0;
    for (uint32_t z = 0; z < net->towers; z++) {
        const wr_net_tower *t = &net->tower[z];
        const char *tower = net->towers == 1 ? "shared" : z == 0 ? "policy" : "value";
        for (uint32_t l = 0; l <= t->layers; l++) {
            for (uint32_t bias = 0; bias < 2; bias++, at++) {
                if (at != index) {
                    continue;
                }
                wr_rl_weight w = {.rows = 1};
                const char *kind = bias != 0 ? "bias" : "weight";
                if (l == t->layers) {
                    snprintf(w.name, sizeof w.name, "%s.head.%s", tower, kind);
                    w.offset = bias != 0 ? t->head_bias : t->head;
                    w.rows = bias != 0 ? 1 : t->outputs;
                    w.columns = bias != 0 ? t->outputs : t->head_in;
                    w.stride = bias != 0 ? wr_pad(t->outputs) : t->head_in_pad;
                } else {
                    snprintf(w.name, sizeof w.name, "%s.%u.%s", tower, l, kind);
                    w.offset = bias != 0 ? t->bias[l] : t->weights[l];
                    w.rows = bias != 0 ? 1 : t->in[l];
                    w.columns = t->out[l];
                    w.stride = t->out_pad[l];
                }
                *out = w;
                return WR_OK;
            }
        }
    }
    return WR_FAIL(err, WR_E_NOT_FOUND, "the network has %u parts; there is no number %u", at, index);
}

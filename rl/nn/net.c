#include "rl/nn/net.h"

#include "base/base.h"
#include "rl/nn/kernels.h"

#include <math.h>
#include <string.h>

static void tower_init(wr_net *net, wr_net_tower *t, const uint32_t *hidden, uint32_t layers) {
    uint32_t in = net->obs_count;
    uint32_t in_pad = net->obs_count; /* the first layer's inputs are rows of features: no padding */
    t->layers = layers;
    for (uint32_t l = 0; l < layers; l++) {
        t->in[l] = in;
        t->in_pad[l] = in_pad;
        t->out[l] = hidden[l];
        t->out_pad[l] = wr_pad(hidden[l]);
        t->weights[l] = net->param_count;
        net->param_count += (size_t)in_pad * t->out_pad[l];
        t->bias[l] = net->param_count;
        net->param_count += t->out_pad[l];
        t->transposed[l] = net->transposed_count;
        if (l > 0) {
            net->transposed_count += (size_t)in_pad * t->out_pad[l];
        }
        in = hidden[l];
        in_pad = t->out_pad[l];
        net->width_max = in_pad > net->width_max ? in_pad : net->width_max;
    }
    t->head_in = in;
    t->head_in_pad = wr_pad(in);
    t->head = net->param_count;
    net->param_count += (size_t)t->outputs * t->head_in_pad;
    t->head_bias = net->param_count;
    net->param_count += wr_pad(t->outputs);
}

void wr_net_init(wr_net *net, uint32_t obs_count, uint32_t action_count, const uint32_t *hidden,
                 uint32_t layers, wr_rl_activation activation, bool value_shares_layers) {
    WR_ASSERT(layers <= WR_RL_LAYERS_MAX);
    *net = (wr_net){.obs_count = obs_count,
                    .action_count = action_count,
                    .activation = activation,
                    .towers = value_shares_layers ? 1 : 2,
                    .width_max = WR_PAD,
                    .record_floats = wr_pad(obs_count + WR_RECORD_LOGP + action_count)};
    net->tower[0].outputs = value_shares_layers ? action_count + 1 : action_count;
    net->tower[1].outputs = 1;
    net->tower[1].first_output = action_count;
    for (uint32_t z = 0; z < net->towers; z++) {
        tower_init(net, &net->tower[z], hidden, layers);
    }
}

size_t wr_net_weight_count(const wr_net *net) {
    size_t n = 0;
    for (uint32_t z = 0; z < net->towers; z++) {
        const wr_net_tower *t = &net->tower[z];
        for (uint32_t l = 0; l < t->layers; l++) {
            n += ((size_t)t->in[l] + 1) * t->out[l];
        }
        n += ((size_t)t->head_in + 1) * t->outputs;
    }
    return n;
}

/* Numbers of one stream, in order. */
typedef struct draw {
    const wr_kernels *kernels;
    uint64_t seed;
    uint32_t next;
    uint32_t words[256];
} draw;

static float draw_symmetric(draw *d) { /* in [-1, 1) */
    uint32_t at = d->next % 256;
    if (at == 0) {
        d->kernels->words(d->seed, WR_RANDOM_WEIGHTS, 0, 0, d->next / 4, 256, d->words);
    }
    d->next++;
    return (float)(d->words[at] >> 8) * (1.0f / 8388608.0f) - 1.0f;
}

void wr_net_first_weights(const wr_net *net, uint64_t seed, float *params) {
    draw d = {.kernels = wr_kernels_best(), .seed = seed};
    memset(params, 0, net->param_count * sizeof(float));
    for (uint32_t z = 0; z < net->towers; z++) {
        const wr_net_tower *t = &net->tower[z];
        for (uint32_t l = 0; l < t->layers; l++) {
            float bound = sqrtf((net->activation == WR_RL_RELU ? 6.0f : 3.0f) / (float)t->in[l]);
            for (uint32_t i = 0; i < t->in[l]; i++) {
                for (uint32_t j = 0; j < t->out[l]; j++) {
                    params[t->weights[l] + (size_t)i * t->out_pad[l] + j] = bound * draw_symmetric(&d);
                }
            }
        }
        for (uint32_t o = 0; o < t->outputs; o++) {
            bool is_value = o + t->first_output == net->action_count;
            float bound = (is_value ? 1.0f : 0.01f) * sqrtf(3.0f / (float)t->head_in);
            for (uint32_t j = 0; j < t->head_in; j++) {
                params[t->head + (size_t)o * t->head_in_pad + j] = bound * draw_symmetric(&d);
            }
        }
    }
}

float *wr_floats_new(size_t count) {
    /* calloc aligns to 16: take a line more, and remember the start in the word before the floats. */
    char *raw = wr_calloc(1, count * sizeof(float) + 128);
    if (raw == NULL) {
        return NULL;
    }
    char *aligned = (char *)(((uintptr_t)raw + 127) & ~(uintptr_t)63);
    memcpy(aligned - sizeof(raw), &raw, sizeof(raw));
    return (float *)(void *)aligned;
}

void wr_floats_free(float *floats) {
    if (floats != NULL) {
        char *raw;
        memcpy(&raw, (char *)floats - sizeof(raw), sizeof(raw));
        wr_free(raw);
    }
}

void wr_scratch_done(wr_scratch *s) {
    for (uint32_t z = 0; z < 2; z++) {
        for (uint32_t l = 0; l < WR_RL_LAYERS_MAX; l++) {
            wr_floats_free(s->hidden[z][l]);
        }
        wr_floats_free(s->delta[z]);
    }
    wr_floats_free(s->out);
    wr_floats_free(s->out_grad);
    wr_floats_free(s->fields);
    wr_floats_free(s->transposed);
    *s = (wr_scratch){0};
}

wr_status wr_scratch_init(wr_scratch *s, const wr_net *net, wr_error *err) {
    *s = (wr_scratch){0};
    bool complete = true;
    for (uint32_t z = 0; z < net->towers; z++) {
        for (uint32_t l = 0; l < net->tower[z].layers; l++) {
            s->hidden[z][l] = wr_floats_new((size_t)WR_TILE * net->tower[z].out_pad[l]);
            complete = complete && s->hidden[z][l] != NULL;
        }
    }
    const size_t outputs = (size_t)WR_TILE * (net->action_count + 1);
    s->delta[0] = wr_floats_new((size_t)WR_TILE * net->width_max);
    s->delta[1] = wr_floats_new((size_t)WR_TILE * net->width_max);
    s->out = wr_floats_new(outputs);
    s->out_grad = wr_floats_new(outputs);
    s->fields = wr_floats_new((size_t)WR_TILE * net->record_floats);
    s->transposed = wr_floats_new(net->transposed_count);
    complete = complete && s->delta[0] != NULL && s->delta[1] != NULL && s->out != NULL &&
               s->out_grad != NULL && s->fields != NULL && s->transposed != NULL;
    if (!complete) {
        wr_scratch_done(s);
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a network of %zu weights", net->param_count);
    }
    return WR_OK;
}

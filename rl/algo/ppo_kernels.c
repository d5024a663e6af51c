/* The inner loops of PPO: gathering shuffled samples, the loss, Adam, and generalised advantages. */
#include "rl/nn/kernel_set.h"
#include "rl/nn/mlp_kernels.h"

/* Sample records, [record_floats] each, become rows of fields. Lanes past count repeat the last sample, so
 * that they hold finite numbers. */
NEVER_INLINE void gather(const wr_samples *samples, uint32_t first, uint32_t count, uint32_t record_floats,
                         float *fields) {
    const uint32_t step_mask = (1u << samples->step_bits) - 1;
    const float *record[WR_TILE];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t sample = samples->index[first + i];
        const wr_record_rows *rows = &samples->env[sample >> samples->step_bits];
        record[i] = rows->base + (sample & step_mask) * rows->stride;
    }
    for (uint32_t i = count; i < wr_pad(count); i++) {
        record[i] = record[count - 1];
    }
    for (uint32_t f = 0; f < record_floats; f += LANES) {
        for (uint32_t i = 0; i < count; i += LANES) {
            vfloat r[LANES];
            for (uint32_t k = 0; k < LANES; k++) {
                r[k] = load(record[i + k] + f);
            }
            transpose_square(r);
            for (uint32_t k = 0; k < LANES; k++) {
                store(fields + (f + k) * (size_t)WR_TILE + i, r[k]);
            }
        }
    }
}

typedef struct loss_sums {
    vfloat policy, value, entropy, kl, clipped, value_clipped, error, error_square, target, target_square;
} loss_sums;

/* Loss of LANES samples from column i on, and its gradient by the network's outputs, times scale.
 *
 *   loss = -min(r A, clip(r) A) + c_v min((V - T)^2, value_clip) - c_e H + c_k KL(old || new)
 *
 * r: ratio of probabilities (PPO's equation 7), A: normalised advantage, V, T: value and target in value
 * units. The cut of the squared error is RLlib's; the paper has none. */
ALWAYS_INLINE void loss_lanes(const wr_net *net, const wr_ppo_loss *loss, const float *fields,
                              const float *out, float *out_grad, uint32_t i, uint32_t count, float scale,
                              loss_sums *sums) {
    const uint32_t actions = net->action_count;
    const size_t row = WR_TILE;
    const float *extra = fields + net->obs_count * row + i;
    const float *old_logp = extra + WR_RECORD_LOGP * row;
    out += i;
    out_grad += i;
    const vint used = lane_index(i) < (int32_t)count;
    const vfloat none = splat(0);

    vfloat top = load(out);
    for (uint32_t o = 1; o < actions; o++) {
        top = vmax(top, load(out + o * row));
    }
    vfloat total = none;
    for (uint32_t o = 0; o < actions; o++) {
        total += vexp(load(out + o * row) - top);
    }
    const vfloat log_total = top + vlog(total);

    const vint action = to_int(load(extra + WR_RECORD_ACTION * row));
    vfloat entropy = none, kl = none, logp = none, logp_old = none;
    for (uint32_t o = 0; o < actions; o++) {
        vfloat l = load(out + o * row) - log_total;
        vfloat q = load(old_logp + o * row);
        entropy -= vexp(l) * l;
        kl += vexp(q) * (q - l);
        vint chosen = action == (int32_t)o;
        logp = pick(chosen, l, logp);
        logp_old = pick(chosen, q, logp_old);
    }

    const vfloat advantage =
        (load(extra + WR_RECORD_ADVANTAGE * row) - loss->advantage_mean) * loss->advantage_scale;
    const vfloat ratio = vexp(logp - logp_old);
    const vfloat plain = ratio * advantage;
    const vfloat cut = vclamp(ratio, 1 - loss->clip, 1 + loss->clip) * advantage;
    const vint counts = plain <= cut; /* the plain term is the smaller one, so the gradient passes */
    const vfloat by_logp = pick(counts, -plain, none);
    for (uint32_t o = 0; o < actions; o++) {
        vfloat l = load(out + o * row) - log_total;
        vfloat p = vexp(l);
        vfloat is_chosen = pick(action == (int32_t)o, splat(1), none);
        vfloat d = by_logp * (is_chosen - p) + loss->entropy_coeff * p * (l + entropy);
        if (loss->kl_coeff != 0) {
            d += loss->kl_coeff * (p - vexp(load(old_logp + o * row)));
        }
        store(out_grad + o * row, pick(used, d * scale, none));
    }

    const vfloat target = load(extra + WR_RECORD_TARGET * row);
    const vfloat error = load(out + actions * row) - target;
    const vfloat square = error * error;
    const vint value_counts = square < loss->value_clip;
    const vfloat by_value = pick(value_counts, 2.0f * error * (loss->value_coeff * scale), none);
    store(out_grad + actions * row, pick(used, by_value, none));

    sums->policy += pick(used, -vmin(plain, cut), none);
    sums->value += pick(used, vmin(square, splat(loss->value_clip)), none);
    sums->entropy += pick(used, entropy, none);
    sums->kl += pick(used, kl, none);
    sums->clipped += pick(used & ~counts, splat(1), none);
    sums->value_clipped += pick(used & ~value_counts, splat(1), none);
    sums->error += pick(used, error, none);
    sums->error_square += pick(used, square, none);
    sums->target += pick(used, target, none);
    sums->target_square += pick(used, target * target, none);
}

NEVER_INLINE void loss_tile(const wr_net *net, const wr_ppo_loss *loss, wr_scratch *s, uint32_t count,
                            float scale, wr_ppo_sums *sums) {
    loss_sums v = {0};
    for (uint32_t i = 0; i < wr_pad(count); i += LANES) {
        loss_lanes(net, loss, s->fields, s->out, s->out_grad, i, count, scale, &v);
    }
    sums->policy_loss += sum_lanes(v.policy);
    sums->value_loss += sum_lanes(v.value);
    sums->entropy += sum_lanes(v.entropy);
    sums->kl += sum_lanes(v.kl);
    sums->clipped += sum_lanes(v.clipped);
    sums->value_clipped += sum_lanes(v.value_clipped);
    sums->error += sum_lanes(v.error);
    sums->error_square += sum_lanes(v.error_square);
    sums->target += sum_lanes(v.target);
    sums->target_square += sum_lanes(v.target_square);
    sums->samples += count;
}

static void gradient(const wr_net *net, const float *params, wr_scratch *s, const wr_ppo_loss *loss,
                     const wr_samples *samples, float scale, float *grad, wr_ppo_sums *sums) {
    if (samples->count == 0) {
        return;
    }
    /* Tiles of about equal size, so that none is nearly empty. */
    uint32_t tiles = (samples->count + WR_TILE - 1) / WR_TILE;
    uint32_t tile = wr_pad((samples->count + tiles - 1) / tiles);
    for (uint32_t first = 0; first < samples->count; first += tile) {
        uint32_t left = samples->count - first;
        uint32_t count = left < tile ? left : tile;
        gather(samples, first, count, net->record_floats, s->fields);
        WR_KERNEL(wr_mlp_forward)(net, params, s, s->fields, WR_TILE, count);
        loss_tile(net, loss, s, count, scale, sums);
        WR_KERNEL(wr_mlp_backward)(net, params, s, s->fields, WR_TILE, count, grad);
    }
}

ALWAYS_INLINE vfloat summed(float *const *grads, uint32_t grad_count, size_t i) {
    vfloat g = load(grads[0] + i);
    for (uint32_t k = 1; k < grad_count; k++) {
        g += load(grads[k] + i);
    }
    return g;
}

static float square_sum(float *const *grads, uint32_t grad_count, size_t count) {
    vfloat s = splat(0);
    for (size_t i = 0; i < count; i += LANES) {
        vfloat g = summed(grads, grad_count, i);
        s += g * g;
    }
    return sum_lanes(s);
}

static void adam_step(const wr_adam *adam, float *const *grads, uint32_t grad_count, size_t begin, size_t end,
                      float *params, float *m, float *v) {
    for (size_t i = begin; i < end; i += LANES) {
        vfloat g = summed(grads, grad_count, i) * adam->gradient_scale;
        vfloat first = load(m + i) * adam->beta1 + g * (1 - adam->beta1);
        vfloat second = load(v + i) * adam->beta2 + g * g * (1 - adam->beta2);
        store(m + i, first);
        store(v + i, second);
        store(params + i, load(params + i) - adam->rate * first / (vsqrt(second) + adam->epsilon));
    }
}

/* Equations 16 and 11 of the GAE paper, backward in time; an ended step has nothing after it (what follows a
 * truncation is in its reward). */
static void gae(const wr_gae *g) {
    const float unit = g->value_unit;
    const float per_unit = 1 / unit;
    for (uint32_t i = 0; i < g->count; i += LANES) {
        const uint32_t columns = g->count - i < LANES ? g->count - i : LANES;
        vfloat advantage = splat(0), sum = splat(0), sum_square = splat(0);
        vfloat next = load(g->value + (size_t)g->steps * g->stride + i) * unit;
        for (uint32_t t = g->steps; t-- > 0;) {
            size_t at = (size_t)t * g->stride + i;
            vfloat discount = pick(load(g->ended + at) > 0.0f, splat(0), splat(g->gamma));
            vfloat value = load(g->value + at) * unit;
            advantage = load(g->reward + at) + discount * next - value + discount * g->lambda * advantage;
            next = value;
            sum += advantage;
            sum_square += advantage * advantage;
            vfloat target = (advantage + value) * per_unit;
            float *record = g->record + (size_t)t * g->step_floats + i * g->record_floats;
            for (uint32_t k = 0; k < columns; k++) {
                record[k * g->record_floats] = advantage[k];
                record[k * g->record_floats + WR_RECORD_TARGET - WR_RECORD_ADVANTAGE] = target[k];
            }
        }
        for (uint32_t k = 0; k < columns; k++) {
            g->sum[i + k] = sum[k];
            g->sum_square[i + k] = sum_square[k];
        }
    }
}

void WR_KERNEL(wr_kernel_set_ppo)(wr_kernels *out) {
    out->gradient = gradient;
    out->square_sum = square_sum;
    out->adam = adam_step;
    out->gae = gae;
}

#include "rl/loop/learner.h"

#include "base/base.h"
#include "base/clock.h"
#include "rl/loop/batch.h"
#include "rl/loop/config.h"
#include "rl/loop/pace.h"
#include "rl/loop/window.h"

#include <math.h>
#include <string.h>

enum { BATCHES_MAX = 1024, STATE_MAGIC = 0x4c525257, STATE_VERSION = 1 }; /* "WRRL" */

typedef struct learner_thread {
    wr_scratch scratch;
    uint32_t *order; /* [samples] shuffled for one epoch */
} learner_thread;

/* What an update shares between its threads. Members work on fixed parts; barriers separate the phases. */
struct wr_rl_learner {
    wr_rl_setup setup;
    wr_batch_shape shape;
    wr_team *team;
    wr_team *own_team; /* team, if it is not lent */
    uint32_t thread_count;
    uint32_t active; /* threads of the present update: all, or one */
    learner_thread *threads;
    wr_pace pace;

    float *params, *m, *v;          /* Adam's moments */
    float *grads[WR_RL_SLICES_MAX]; /* one for each slice of a minibatch */
    wr_ppo_sums sums[WR_RL_SLICES_MAX];
    uint64_t adam_steps;
    double kl_coeff, lr, entropy_coeff;
    uint64_t iteration; /* of the next batches */
    wr_window window;

    /* Of the present update. */
    wr_record_rows *rows; /* [env_count] */
    uint32_t step_bits;
    wr_ppo_loss loss;
    float grad_norm;
    uint64_t trained; /* samples, over all epochs */
};

void wr_rl_learner_free(wr_rl_learner *l) {
    if (l == NULL) {
        return;
    }
    for (uint32_t i = 0; l->threads != NULL && i < l->thread_count; i++) {
        wr_scratch_done(&l->threads[i].scratch);
        wr_free(l->threads[i].order);
    }
    wr_free(l->threads);
    for (uint32_t s = 0; s < WR_RL_SLICES_MAX; s++) {
        wr_floats_free(l->grads[s]);
    }
    wr_floats_free(l->params);
    wr_floats_free(l->m);
    wr_floats_free(l->v);
    wr_free(l->rows);
    wr_window_done(&l->window);
    wr_team_free(l->own_team);
    wr_free(l);
}
WR_DEFINE_AUTO(wr_rl_learner, wr_rl_learner_free)

static uint64_t sample_count(const wr_rl_learner *l) {
    return (uint64_t)l->setup.config.env_count * l->setup.config.fragment_steps;
}

wr_status wr_rl_learner_new_in(const wr_rl_config *config, wr_team *team, wr_rl_learner **out,
                               wr_error *err) {
    WR_AUTO(wr_rl_learner) l = wr_calloc(1, sizeof(*l));
    if (l == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a learner");
    }
    WR_TRY(wr_rl_setup_init(&l->setup, config, err));
    wr_batch_shape_init(&l->shape, &l->setup.config, l->setup.ops, &l->setup.net);
    l->team = team;
    l->thread_count = wr_team_members(team);
    wr_pace_init(&l->pace, l->thread_count);
    l->kl_coeff = (double)config->kl_coeff;
    l->lr = (double)config->lr;
    l->entropy_coeff = (double)config->entropy_coeff;
    l->step_bits = wr_bits_for(config->fragment_steps);

    const size_t count = l->setup.net.param_count;
    l->params = wr_floats_new(count);
    l->m = wr_floats_new(count);
    l->v = wr_floats_new(count);
    l->rows = wr_calloc(config->env_count, sizeof(*l->rows));
    l->threads = wr_calloc(l->thread_count, sizeof(*l->threads));
    bool complete =
        l->params != NULL && l->m != NULL && l->v != NULL && l->rows != NULL && l->threads != NULL;
    for (uint32_t s = 0; s < config->gradient_slices; s++) {
        l->grads[s] = wr_floats_new(count);
        complete = complete && l->grads[s] != NULL;
    }
    for (uint32_t i = 0; complete && i < l->thread_count; i++) {
        WR_TRY(wr_scratch_init(&l->threads[i].scratch, &l->setup.net, err));
        l->threads[i].order = wr_calloc(sample_count(l), sizeof(uint32_t));
        complete = l->threads[i].order != NULL;
    }
    if (!complete) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a learner of %zu weights and %llu samples", count,
                       (unsigned long long)sample_count(l));
    }
    WR_TRY(wr_window_init(&l->window, config->episode_window, err));
    wr_net_first_weights(&l->setup.net, config->seed, l->params);
    *out = wr_steal(&l);
    return WR_OK;
}

wr_status wr_rl_learner_new(const wr_rl_config *config, uint32_t threads, wr_rl_learner **out,
                            wr_error *err) {
    if (threads > WR_RL_THREADS_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "learner: threads is %u: the nearest allowed is %d", threads,
                       WR_RL_THREADS_MAX);
    }
    WR_TRY(wr_rl_config_check(config, err));
    if (threads > config->gradient_slices) {
        threads = config->gradient_slices; /* more would have no part of a minibatch */
    }
    wr_team *team;
    WR_TRY(wr_team_new(threads > 0 ? threads : 1, &team, err));
    wr_status status = wr_rl_learner_new_in(config, team, out, err);
    if (status != WR_OK) {
        wr_team_free(team);
        return status;
    }
    (*out)->own_team = team;
    return WR_OK;
}

/* ---- batches ---- */

static wr_status check_cover(const wr_rl_learner *l, const wr_batch_view *views, uint32_t count,
                             wr_error *err) {
    /* The batches are few: each must begin where some other ends. */
    uint32_t covered = 0;
    for (uint32_t turn = 0; turn < count; turn++) {
        uint32_t found = count;
        for (uint32_t i = 0; i < count; i++) {
            if (views[i].head.env_first == covered) {
                found = i;
            }
        }
        if (found == count) {
            break;
        }
        covered += views[found].head.env_count;
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += views[i].head.env_count;
    }
    if (covered != l->setup.config.env_count || sum != covered) {
        return WR_FAIL(err, WR_E_INVALID,
                       "learner: %u batches with %llu environments, which do not hold each of the %u once",
                       count, (unsigned long long)sum, l->setup.config.env_count);
    }
    return WR_OK;
}

/* Episodes of all batches, by step, then environment: as one runner would have seen them. */
static uint64_t note_episodes(wr_rl_learner *l, const wr_batch_view *views, uint32_t *next, uint32_t count) {
    uint64_t total = 0;
    for (;;) {
        uint32_t best = count;
        wr_batch_episode first = {0};
        for (uint32_t i = 0; i < count; i++) {
            if (next[i] < views[i].head.episode_count) {
                wr_batch_episode e = wr_batch_episode_at(&views[i], next[i]);
                if (best == count || e.step < first.step || (e.step == first.step && e.env < first.env)) {
                    best = i;
                    first = e;
                }
            }
        }
        if (best == count) {
            return total;
        }
        wr_window_add(&l->window, first.ret, first.length);
        next[best]++;
        total++;
    }
}

/* Sums over environments in their order, whichever batch they came in. */
static void normalise(wr_rl_learner *l, const wr_batch_view *views, uint32_t count) {
    double sum = 0, sum_square = 0;
    for (uint32_t env = 0; env < l->setup.config.env_count;) {
        const wr_batch_view *view = NULL;
        for (uint32_t i = 0; view == NULL && i < count; i++) {
            view = views[i].head.env_first == env ? &views[i] : NULL;
        }
        WR_ASSERT(view != NULL); /* check_cover */
        const uint32_t n = view->head.env_count;
        const size_t stride = (size_t)n * view->head.record_floats;
        for (uint32_t i = 0; i < n; i++) {
            sum += (double)view->sums[i];
            sum_square += (double)view->sums[n + i];
            l->rows[env + i] = (wr_record_rows){.base = view->records + (size_t)i * view->head.record_floats,
                                                .stride = stride};
        }
        env += n;
    }
    const double samples = (double)sample_count(l);
    const double mean = sum / samples;
    const double variance = sum_square / samples - mean * mean;
    l->loss.advantage_mean = (float)mean;
    l->loss.advantage_scale = (float)(1.0 / (sqrt(variance > 0 ? variance : 0) + 1e-6));
}

wr_status wr_rl_learner_accept(wr_rl_learner *l, const wr_rl_batch *batches, uint32_t count,
                               wr_rl_update_stats *out, wr_error *err) {
    if (count == 0 || count > BATCHES_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "learner: %u batches: it takes 1 to %d", count, BATCHES_MAX);
    }
    wr_batch_view few[16];
    uint32_t next_few[16] = {0};
    wr_batch_view *views = few;
    uint32_t *next = next_few;
    void *many = NULL;
    if (count > WR_COUNT_OF(few)) {
        many = wr_calloc(count, sizeof(*views) + sizeof(*next));
        if (many == NULL) {
            return WR_FAIL(err, WR_E_NO_MEMORY, "learner: no memory for %u batches", count);
        }
        views = many;
        next = (uint32_t *)(void *)(views + count);
    }
    wr_status status = WR_OK;
    for (uint32_t i = 0; status == WR_OK && i < count; i++) {
        status = wr_batch_read(&l->shape, batches[i].data, batches[i].floats, l->shape.steps, &views[i], err);
        if (status == WR_OK && views[i].head.iteration != l->iteration) {
            status = WR_FAIL(err, WR_E_INVALID, "learner: a batch of iteration %llu; the next is %llu",
                             (unsigned long long)views[i].head.iteration, (unsigned long long)l->iteration);
        }
    }
    if (status == WR_OK) {
        status = check_cover(l, views, count, err);
    }
    if (status == WR_OK) {
        *out = (wr_rl_update_stats){.env_steps = sample_count(l)};
        wr_window_mark(&l->window);
        out->episodes = note_episodes(l, views, next, count);
        wr_window_stats(&l->window, out);
        normalise(l, views, count);
    }
    wr_free(many);
    return status;
}

/* ---- learning ---- */

/* A permutation of the samples: Fisher and Yates, a pure function of seed, iteration and epoch. */
static void shuffle(const wr_rl_learner *l, uint32_t epoch, uint32_t *order) {
    const wr_rl_config *c = &l->setup.config;
    uint32_t n = 0;
    for (uint32_t step = 0; step < c->fragment_steps; step++) {
        for (uint32_t env = 0; env < c->env_count; env++) {
            order[n++] = env << l->step_bits | step;
        }
    }
    enum { WORDS = 256 };
    uint32_t words[WORDS];
    uint32_t at = WORDS, group = 0;
    for (uint32_t i = n - 1; i > 0; i--) {
        if (at == WORDS) {
            l->setup.kernels->words(c->seed, WR_RANDOM_SHUFFLE, (uint32_t)l->iteration, epoch, group, WORDS,
                                    words);
            group += WORDS / 4;
            at = 0;
        }
        uint32_t j = (uint32_t)((uint64_t)words[at++] * (i + 1) >> 32);
        uint32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

/* Samples of slice s of a minibatch: equal multiples of 16, the last takes the rest. */
static void slice_bounds(uint32_t count, uint32_t slices, uint32_t s, uint32_t *begin, uint32_t *end) {
    uint32_t part = wr_pad((count + slices - 1) / slices);
    uint64_t first = (uint64_t)part * s, last = first + part;
    *begin = first < count ? (uint32_t)first : count;
    *end = s + 1 < slices && last < count ? (uint32_t)last : count;
}

static void gradients(wr_rl_learner *l, uint32_t member, const uint32_t *order, uint32_t count) {
    const wr_rl_config *c = &l->setup.config;
    for (uint32_t s = member; s < c->gradient_slices; s += l->active) {
        uint32_t begin, end;
        slice_bounds(count, c->gradient_slices, s, &begin, &end);
        memset(l->grads[s], 0, l->setup.net.param_count * sizeof(float));
        l->setup.kernels->gradient(
            &l->setup.net, l->params, &l->threads[member].scratch, &l->loss,
            &(wr_samples){
                .env = l->rows, .step_bits = l->step_bits, .index = order + begin, .count = end - begin},
            1.0f / (float)count, l->grads[s], &l->sums[s]);
    }
}

/* Each member updates its own part of the weights from the sum of all slices. */
static void optimise(wr_rl_learner *l, uint32_t member, uint64_t step, bool last) {
    const wr_rl_config *c = &l->setup.config;
    const wr_kernels *k = l->setup.kernels;
    const size_t count = l->setup.net.param_count;
    float scale = 1;
    if (c->grad_clip > 0 || last) {
        float norm = sqrtf(k->square_sum(l->grads, c->gradient_slices, count));
        if (c->grad_clip > 0 && norm > c->grad_clip) {
            scale = c->grad_clip / norm;
        }
        if (member == 0) {
            l->grad_norm = norm;
        }
    }
    const double correct1 = 1 - pow((double)c->adam_beta1, (double)step);
    const double correct2 = sqrt(1 - pow((double)c->adam_beta2, (double)step));
    const wr_adam adam = {.beta1 = c->adam_beta1,
                          .beta2 = c->adam_beta2,
                          .rate = (float)(l->lr * correct2 / correct1),
                          .epsilon = (float)((double)c->adam_epsilon * correct2),
                          .gradient_scale = scale};
    const size_t part = (size_t)wr_align_up((count + l->active - 1) / l->active, WR_PAD);
    const size_t begin = part * member < count ? part * member : count;
    const size_t end = begin + part < count ? begin + part : count;
    k->adam(&adam, l->grads, c->gradient_slices, begin, end, l->params, l->m, l->v);
}

static void learn_member(void *arg, uint32_t member) {
    wr_rl_learner *l = arg;
    const wr_rl_config *c = &l->setup.config;
    const uint32_t n = (uint32_t)sample_count(l);
    learner_thread *t = &l->threads[member];
    uint64_t step = l->adam_steps;
    uint64_t trained = 0;
    if (member < c->gradient_slices) {
        l->setup.kernels->transpose(&l->setup.net, l->params, &t->scratch);
    }
    for (uint32_t epoch = 0; epoch < c->epochs; epoch++) {
        if (epoch % l->active == 0) { /* as many permutations as there are members, one by each */
            if (epoch + member < c->epochs) {
                shuffle(l, epoch + member, t->order);
            }
            wr_team_barrier(l->team);
        }
        if (epoch + 1 == c->epochs) { /* statistics are of the last epoch */
            for (uint32_t s = member; s < c->gradient_slices; s += l->active) {
                l->sums[s] = (wr_ppo_sums){0};
            }
        }
        const uint32_t *order = l->threads[epoch % l->active].order;
        for (uint32_t first = 0; first < n; first += c->minibatch) {
            uint32_t count = n - first < c->minibatch ? n - first : c->minibatch;
            if (first > 0 && 2 * (uint64_t)count < c->minibatch) {
                break; /* too few for a step of full size */
            }
            uint64_t after = (uint64_t)first + c->minibatch;
            bool last = epoch + 1 == c->epochs && (after >= n || 2 * (n - after) < c->minibatch);
            gradients(l, member, order + first, count);
            wr_team_barrier(l->team);
            optimise(l, member, ++step, last);
            wr_team_barrier(l->team);
            if (member < c->gradient_slices) {
                l->setup.kernels->transpose(&l->setup.net, l->params, &t->scratch);
            }
            trained += count;
        }
    }
    wr_team_barrier(l->team);
    if (member == 0) {
        l->adam_steps = step;
        l->trained = trained;
    }
}

static wr_ppo_sums total_sums(const wr_rl_learner *l) {
    wr_ppo_sums t = {0};
    for (uint32_t s = 0; s < l->setup.config.gradient_slices; s++) {
        const wr_ppo_sums *p = &l->sums[s];
        t.policy_loss += p->policy_loss;
        t.value_loss += p->value_loss;
        t.entropy += p->entropy;
        t.kl += p->kl;
        t.clipped += p->clipped;
        t.value_clipped += p->value_clipped;
        t.error += p->error;
        t.error_square += p->error_square;
        t.target += p->target;
        t.target_square += p->target_square;
        t.samples += p->samples;
    }
    return t;
}

static void loss_stats(const wr_rl_learner *l, wr_rl_update_stats *out) {
    const wr_ppo_sums t = total_sums(l);
    const double n = t.samples;
    out->policy_loss = t.policy_loss / n;
    out->value_loss = t.value_loss / n;
    out->entropy = t.entropy / n;
    out->kl = t.kl / n;
    out->clipped = t.clipped / n;
    out->value_clipped = t.value_clipped / n;
    double error = t.error_square / n - t.error / n * (t.error / n);
    double target = t.target_square / n - t.target / n * (t.target / n);
    out->value_explained = target > 0 ? 1 - error / target : 0;
    out->total_loss = out->policy_loss + (double)l->loss.value_coeff * out->value_loss -
                      (double)l->loss.entropy_coeff * out->entropy + (double)l->loss.kl_coeff * out->kl;
    out->grad_norm = (double)l->grad_norm;
}

void wr_rl_learner_learn(wr_rl_learner *l, wr_rl_update_stats *out) {
    const wr_rl_config *c = &l->setup.config;
    l->loss.clip = c->clip;
    l->loss.value_clip = c->value_clip;
    l->loss.value_coeff = c->value_coeff;
    l->loss.entropy_coeff = (float)l->entropy_coeff;
    l->loss.kl_coeff = c->use_kl ? (float)l->kl_coeff : 0;
    const bool alone = wr_pace_choose(&l->pace);
    const wr_time_ns start = wr_clock_ns();
    l->active = alone ? 1 : l->thread_count;
    if (alone) {
        wr_team_run_alone(l->team, learn_member, l);
    } else {
        wr_team_run(l->team, learn_member, l);
    }
    wr_pace_note(&l->pace, alone, wr_clock_ns() - start);
    loss_stats(l, out);
    out->samples_trained = l->trained;
    out->kl_coeff = (double)l->loss.kl_coeff;
    out->lr = l->lr;
    out->entropy_coeff = l->entropy_coeff;
    if (c->use_kl) { /* RLlib's rule: keep KL near its target */
        if (out->kl > 2 * (double)c->kl_target) {
            l->kl_coeff *= 1.5;
        } else if (out->kl < 0.5 * (double)c->kl_target) {
            l->kl_coeff *= 0.5;
        }
    }
    l->iteration++;
}

wr_status wr_rl_learner_update(wr_rl_learner *l, const wr_rl_batch *batches, uint32_t count,
                               wr_rl_update_stats *out, wr_error *err) {
    wr_rl_update_stats stats;
    WR_TRY(wr_rl_learner_accept(l, batches, count, &stats, err));
    wr_rl_learner_learn(l, &stats);
    *out = stats;
    return WR_OK;
}

static double flop_of_sample(const wr_net *net) {
    double flop =
        0; /* two for each weight forward, four backward; the first layer needs no gradient of its input */
    for (uint32_t z = 0; z < net->towers; z++) {
        const wr_net_tower *t = &net->tower[z];
        for (uint32_t l = 0; l < t->layers; l++) {
            flop += (l > 0 ? 6.0 : 4.0) * t->in[l] * t->out[l];
        }
        flop += (t->layers > 0 ? 6.0 : 4.0) * t->outputs * t->head_in;
    }
    return flop;
}

wr_status wr_rl_learner_exercise(wr_rl_learner *l, const wr_rl_batch *batches, uint32_t count,
                                 uint32_t rounds, uint64_t *out_samples, double *out_flop, wr_error *err) {
    wr_rl_update_stats stats;
    WR_TRY(wr_rl_learner_accept(l, batches, count, &stats, err));
    const wr_rl_config *c = &l->setup.config;
    const uint32_t n = (uint32_t)sample_count(l);
    learner_thread *t = &l->threads[0];
    shuffle(l, 0, t->order);
    l->setup.kernels->transpose(&l->setup.net, l->params, &t->scratch);
    uint64_t samples = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t first = 0; n - first >= c->minibatch; first += c->minibatch) {
            memset(l->grads[0], 0, l->setup.net.param_count * sizeof(float));
            l->setup.kernels->gradient(&l->setup.net, l->params, &t->scratch, &l->loss,
                                       &(wr_samples){.env = l->rows,
                                                     .step_bits = l->step_bits,
                                                     .index = t->order + first,
                                                     .count = c->minibatch},
                                       1.0f / (float)c->minibatch, l->grads[0], &l->sums[0]);
            samples += c->minibatch;
        }
    }
    *out_samples = samples;
    *out_flop = flop_of_sample(&l->setup.net);
    return WR_OK;
}

/* ---- weights and state ---- */

const float *wr_rl_learner_weights(const wr_rl_learner *l, size_t *out_count) {
    *out_count = l->setup.net.param_count;
    return l->params;
}

/* Copies what is in use and zeroes the padding (N1). */
static void copy_weights(const wr_net *net, const float *from, float *to) {
    memset(to, 0, net->param_count * sizeof(float));
    for (uint32_t z = 0; z < net->towers; z++) {
        const wr_net_tower *t = &net->tower[z];
        for (uint32_t l = 0; l < t->layers; l++) {
            for (uint32_t i = 0; i < t->in[l]; i++) {
                size_t at = t->weights[l] + (size_t)i * t->out_pad[l];
                memcpy(to + at, from + at, t->out[l] * sizeof(float));
            }
            memcpy(to + t->bias[l], from + t->bias[l], t->out[l] * sizeof(float));
        }
        for (uint32_t o = 0; o < t->outputs; o++) {
            size_t at = t->head + (size_t)o * t->head_in_pad;
            memcpy(to + at, from + at, t->head_in * sizeof(float));
        }
        memcpy(to + t->head_bias, from + t->head_bias, t->outputs * sizeof(float));
    }
}

static wr_status check_finite(const float *values, size_t count, const char *what, wr_error *err) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return WR_FAIL(err, WR_E_INVALID, "learner: %s %zu is not finite", what, i);
        }
    }
    return WR_OK;
}

wr_status wr_rl_learner_weights_set(wr_rl_learner *l, const float *weights, size_t count, wr_error *err) {
    if (weights == NULL || count != l->setup.net.param_count) {
        return WR_FAIL(err, WR_E_INVALID, "learner: %zu weights; the network has %zu", count,
                       l->setup.net.param_count);
    }
    WR_TRY(check_finite(weights, count, "weight", err));
    copy_weights(&l->setup.net, weights, l->params);
    return WR_OK;
}

wr_status wr_rl_learner_rates_set(wr_rl_learner *l, double lr, double entropy_coeff, wr_error *err) {
    if (!isfinite(lr) || lr < 0 || !isfinite(entropy_coeff) || entropy_coeff < 0) {
        return WR_FAIL(err, WR_E_INVALID, "learner: lr %g and entropy_coeff %g must be finite and at least 0",
                       lr, entropy_coeff);
    }
    l->lr = lr;
    l->entropy_coeff = entropy_coeff;
    return WR_OK;
}

typedef struct learner_head {
    uint32_t magic, version;
    uint64_t param_count, adam_steps, iteration, window_count;
    uint32_t window_size, reserved;
    double kl_coeff;
    uint64_t reserved2;
} learner_head;
enum { LEARNER_HEAD_FLOATS = 16 };
_Static_assert(sizeof(learner_head) == LEARNER_HEAD_FLOATS * sizeof(float), "the head is 64 bytes");

size_t wr_rl_learner_state_floats(const wr_rl_learner *l) {
    return LEARNER_HEAD_FLOATS + 3 * l->setup.net.param_count + 2 * (size_t)l->window.size;
}

void wr_rl_learner_state_get(const wr_rl_learner *l, float *out) {
    const size_t count = l->setup.net.param_count;
    learner_head head = {.magic = STATE_MAGIC,
                         .version = STATE_VERSION,
                         .param_count = count,
                         .adam_steps = l->adam_steps,
                         .iteration = l->iteration,
                         .window_count = l->window.count,
                         .window_size = l->window.size,
                         .kl_coeff = l->kl_coeff};
    memcpy(out, &head, sizeof(head));
    out += LEARNER_HEAD_FLOATS;
    memcpy(out, l->params, count * sizeof(float));
    memcpy(out + count, l->m, count * sizeof(float));
    memcpy(out + 2 * count, l->v, count * sizeof(float));
    memcpy(out + 3 * count, l->window.ret, 2 * (size_t)l->window.size * sizeof(float));
}

wr_status wr_rl_learner_state_set(wr_rl_learner *l, const float *state, size_t floats, wr_error *err) {
    const size_t count = l->setup.net.param_count;
    learner_head head;
    if (state == NULL || floats < LEARNER_HEAD_FLOATS) {
        return WR_FAIL(err, WR_E_CORRUPT, "learner: %zu floats are too few for a state", floats);
    }
    memcpy(&head, state, sizeof(head));
    if (head.magic != STATE_MAGIC || head.version != STATE_VERSION) {
        return WR_FAIL(err, WR_E_CORRUPT, "learner: it does not begin with a learner's head of version %d",
                       STATE_VERSION);
    }
    if (head.param_count != count || head.window_size != l->window.size) {
        return WR_FAIL(err, WR_E_INVALID,
                       "learner: a state of %llu weights and %u episodes; this one has %zu and %u",
                       (unsigned long long)head.param_count, head.window_size, count, l->window.size);
    }
    if (floats != wr_rl_learner_state_floats(l) || !isfinite(head.kl_coeff) || head.kl_coeff < 0) {
        return WR_FAIL(err, WR_E_CORRUPT, "learner: %zu floats; a state has %zu", floats,
                       wr_rl_learner_state_floats(l));
    }
    state += LEARNER_HEAD_FLOATS;
    WR_TRY(check_finite(state, floats - LEARNER_HEAD_FLOATS, "number", err));
    for (size_t i = 0; i < count; i++) {
        if (state[2 * count + i] < 0) {
            return WR_FAIL(err, WR_E_CORRUPT, "learner: second moment %zu is negative", i);
        }
    }
    copy_weights(&l->setup.net, state, l->params);
    copy_weights(&l->setup.net, state + count, l->m);
    copy_weights(&l->setup.net, state + 2 * count, l->v);
    memcpy(l->window.ret, state + 3 * count, 2 * (size_t)l->window.size * sizeof(float));
    l->window.count = head.window_count;
    l->adam_steps = head.adam_steps;
    l->iteration = head.iteration;
    l->kl_coeff = head.kl_coeff;
    return WR_OK;
}

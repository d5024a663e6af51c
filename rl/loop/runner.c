#include "rl/loop/runner.h"

#include "base/base.h"
#include "rl/loop/batch.h"
#include "rl/loop/columns.h"
#include "rl/loop/config.h"

#include <stdatomic.h>
#include <string.h>

/* A chunk of environments plays all steps before the next begins: its state, the weights and the network's
 * outputs stay in the first-level cache. */
typedef struct runner_thread {
    wr_scratch scratch;
    wr_columns columns;
    float *action_random; /* [4][WR_TILE], for four steps */
    float *value;         /* [steps + 1][WR_TILE] */
    float *reward;        /* [steps][WR_TILE] */
    float *ended;         /* [steps][WR_TILE] */
} runner_thread;

struct wr_rl_runner {
    wr_rl_setup setup;
    wr_batch_shape shape;
    uint32_t first, count; /* environments */
    uint32_t chunk;        /* environments that run together */
    size_t stride;         /* of the rows of state: count, padded */
    wr_team *team;
    wr_team *own_team; /* team, if it is not lent */
    uint32_t thread_count;
    runner_thread *threads;
    float *weights;
    float *state;  /* [state_count][stride] */
    float *length; /* [stride] */
    float *ret;    /* [stride] */
    uint64_t iteration;
};

/* Work of the busiest thread, in environments. */
static uint32_t busiest(uint32_t count, uint32_t chunk, uint32_t threads) {
    uint32_t most = 0;
    for (uint32_t t = 0; t < threads; t++) {
        uint32_t sum = 0;
        for (uint64_t first = (uint64_t)t * chunk; first < count; first += (uint64_t)threads * chunk) {
            sum += count - first < chunk ? count - (uint32_t)first : chunk;
        }
        most = sum > most ? sum : most;
    }
    return most;
}

static uint32_t choose_chunk(uint32_t count, uint32_t threads) {
    uint32_t best = WR_TILE;
    for (uint32_t chunk = WR_TILE - WR_PAD; chunk > 0; chunk -= WR_PAD) {
        if (busiest(count, chunk, threads) < busiest(count, best, threads)) {
            best = chunk;
        }
    }
    return best;
}

void wr_rl_runner_free(wr_rl_runner *r) {
    if (r == NULL) {
        return;
    }
    for (uint32_t i = 0; r->threads != NULL && i < r->thread_count; i++) {
        runner_thread *t = &r->threads[i];
        wr_scratch_done(&t->scratch);
        wr_columns_done(&t->columns);
        wr_floats_free(t->action_random);
        wr_floats_free(t->value);
        wr_floats_free(t->reward);
        wr_floats_free(t->ended);
    }
    wr_free(r->threads);
    wr_floats_free(r->weights);
    wr_floats_free(r->state);
    wr_team_free(r->own_team);
    wr_free(r);
}
WR_DEFINE_AUTO(wr_rl_runner, wr_rl_runner_free)

static wr_status thread_init(runner_thread *t, const wr_rl_setup *setup, wr_error *err) {
    const size_t rows = setup->config.fragment_steps;
    WR_TRY(wr_scratch_init(&t->scratch, &setup->net, err));
    WR_TRY(wr_columns_init(&t->columns, setup->ops, setup->kernels, WR_TILE, err));
    t->columns.seed = setup->config.seed;
    t->action_random = wr_floats_new((size_t)4 * WR_TILE);
    t->value = wr_floats_new((rows + 1) * WR_TILE);
    t->reward = wr_floats_new(rows * WR_TILE);
    t->ended = wr_floats_new(rows * WR_TILE);
    if (t->action_random == NULL || t->value == NULL || t->reward == NULL || t->ended == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for %zu steps of a runner", rows);
    }
    return WR_OK;
}

/* The first episode of each environment. */
static void start_all(wr_rl_runner *r) {
    wr_columns *c = &r->threads[0].columns;
    for (uint32_t first = 0; first < r->count; first += WR_TILE) {
        c->first = r->first + first;
        c->count = r->count - first < WR_TILE ? r->count - first : WR_TILE;
        wr_columns_start(c, r->iteration * r->shape.steps);
        for (size_t k = 0; k < r->setup.ops->state_count; k++) {
            memcpy(r->state + k * r->stride + first, c->state + k * c->stride,
                   wr_pad(c->count) * sizeof(float));
        }
    }
}

wr_status wr_rl_runner_new_in(const wr_rl_config *config, const wr_rl_runner_opts *opts, wr_team *team,
                              wr_rl_runner **out, wr_error *err) {
    const uint32_t env_first = opts->env_first, env_count = opts->env_count;
    WR_AUTO(wr_rl_runner) r = wr_calloc(1, sizeof(*r));
    if (r == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a runner");
    }
    WR_TRY(wr_rl_setup_init(&r->setup, config, err));
    if (env_first >= config->env_count || env_count > config->env_count - env_first) {
        return WR_FAIL(err, WR_E_INVALID, "runner: environments %u to %u are not within the %u of the config",
                       env_first, env_first + env_count, config->env_count);
    }
    r->first = env_first;
    r->count = env_count > 0 ? env_count : config->env_count - env_first;
    r->stride = wr_pad(r->count);
    r->team = team;
    r->thread_count = wr_team_members(team);
    r->chunk = choose_chunk(r->count, r->thread_count);
    wr_batch_shape_init(&r->shape, &r->setup.config, r->setup.ops, &r->setup.net);

    r->threads = wr_calloc(r->thread_count, sizeof(*r->threads));
    r->weights = wr_floats_new(r->setup.net.param_count);
    r->state = wr_floats_new(r->stride * (r->setup.ops->state_count + 2));
    if (r->threads == NULL || r->weights == NULL || r->state == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a runner of %u environments", r->count);
    }
    r->length = r->state + r->stride * r->setup.ops->state_count;
    r->ret = r->length + r->stride;
    for (uint32_t i = 0; i < r->thread_count; i++) {
        WR_TRY(thread_init(&r->threads[i], &r->setup, err));
    }
    r->iteration = opts->iteration;
    start_all(r);
    *out = wr_steal(&r);
    return WR_OK;
}

wr_status wr_rl_runner_new(const wr_rl_config *config, const wr_rl_runner_opts *opts, wr_rl_runner **out,
                           wr_error *err) {
    const wr_rl_runner_opts all = {0};
    if (opts == NULL) {
        opts = &all;
    }
    if (opts->threads > WR_RL_THREADS_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "runner: threads is %u: the nearest allowed is %d", opts->threads,
                       WR_RL_THREADS_MAX);
    }
    wr_team *team;
    WR_TRY(wr_team_new(opts->threads > 0 ? opts->threads : 1, &team, err));
    wr_status status = wr_rl_runner_new_in(config, opts, team, out, err);
    if (status != WR_OK) {
        wr_team_free(team);
        return status;
    }
    (*out)->own_team = team;
    return WR_OK;
}

size_t wr_rl_runner_batch_floats(const wr_rl_runner *r) {
    size_t state, records, episodes;
    wr_batch_layout(&r->shape, r->count, r->shape.steps, &state, &records, &episodes);
    return episodes + 4 * (size_t)r->count * r->shape.steps;
}

uint64_t wr_rl_runner_iteration(const wr_rl_runner *r) {
    return r->iteration;
}

/* ---- playing ---- */

typedef struct play {
    wr_rl_runner *r;
    float *sums, *records, *episodes;
    _Atomic uint32_t episode_count;
} play;

static void columns_load(wr_columns *c, const wr_rl_runner *r, uint32_t first, uint32_t count) {
    c->first = r->first + first;
    c->count = count;
    const size_t bytes = wr_pad(count) * sizeof(float);
    for (size_t k = 0; k < r->setup.ops->state_count; k++) {
        memcpy(c->state + k * c->stride, r->state + k * r->stride + first, bytes);
    }
    memcpy(c->length, r->length + first, bytes);
    memcpy(c->ret, r->ret + first, bytes);
    wr_columns_observe(c);
}

static void columns_save(const wr_columns *c, wr_rl_runner *r, uint32_t first) {
    const size_t bytes = wr_pad(c->count) * sizeof(float);
    for (size_t k = 0; k < r->setup.ops->state_count; k++) {
        memcpy(r->state + k * r->stride + first, c->state + k * c->stride, bytes);
    }
    memcpy(r->length + first, c->length, bytes);
    memcpy(r->ret + first, c->ret, bytes);
}

static void note_episodes(play *p, const wr_columns *c, uint32_t step) {
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->ended[i] > 0) {
            wr_batch_episode e = {
                .step = step, .env = c->first + i, .ret = c->ret[i], .length = c->length[i]};
            uint32_t at = atomic_fetch_add_explicit(&p->episode_count, 1, memory_order_relaxed);
            memcpy(p->episodes + 4 * (size_t)at, &e, sizeof(e));
        }
    }
}

/* A truncated episode would have gone on: the value of the state it was cut in takes the place of what was to
 * come. One more forward pass of the chunk. */
static void bootstrap(runner_thread *t, const wr_rl_runner *r, float *reward) {
    const wr_rl_setup *s = &r->setup;
    const wr_columns *c = &t->columns;
    s->kernels->forward(&s->net, r->weights, &t->scratch, c->obs, c->stride, c->count);
    const float *value = t->scratch.out + s->net.action_count * (size_t)WR_TILE;
    const float scale = s->config.gamma * s->config.value_unit;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->truncated[i] > 0) {
            reward[i] += scale * value[i];
        }
    }
}

static void play_chunk(play *p, runner_thread *t, uint32_t first, uint32_t count) {
    const wr_rl_runner *r = p->r;
    const wr_rl_setup *s = &r->setup;
    const wr_kernels *k = s->kernels;
    const uint32_t steps = r->shape.steps;
    const size_t record_floats = s->net.record_floats;
    const size_t step_floats = record_floats * r->count;
    float *records = p->records + first * record_floats;
    float *fields = t->scratch.fields;
    float *extra = fields + s->net.obs_count * (size_t)WR_TILE;
    const float *value = t->scratch.out + s->net.action_count * (size_t)WR_TILE;
    const size_t row_bytes = WR_TILE * sizeof(float);
    wr_columns *c = &t->columns;

    columns_load(c, r, first, count);
    memset(extra, 0, (record_floats - s->net.obs_count) * row_bytes);
    c->action = extra + WR_RECORD_ACTION * (size_t)WR_TILE;
    for (uint32_t step = 0; step < steps; step++) {
        const uint64_t now = r->iteration * steps + step;
        if (now % 4 == 0 || step == 0) {
            k->uniform(s->config.seed, WR_RANDOM_ACTION, now / 4, c->first, count, 1, WR_TILE,
                       t->action_random);
        }
        k->forward(&s->net, r->weights, &t->scratch, c->obs, c->stride, count);
        k->act(s->net.action_count, t->scratch.out, t->action_random + now % 4 * WR_TILE, count, c->action,
               extra + WR_RECORD_LOGP * (size_t)WR_TILE);
        memcpy(fields, c->obs, s->net.obs_count * row_bytes);
        memcpy(extra + WR_RECORD_VALUE * (size_t)WR_TILE, value, row_bytes);
        memcpy(t->value + step * (size_t)WR_TILE, value, row_bytes);
        k->record(fields, s->net.record_floats, count, records + step * step_floats);

        uint32_t ends = wr_columns_step(c, now);
        float *reward = t->reward + step * (size_t)WR_TILE;
        memcpy(reward, c->reward, row_bytes);
        memcpy(t->ended + step * (size_t)WR_TILE, c->ended, row_bytes);
        if ((ends & 2) != 0) {
            bootstrap(t, r, reward);
        }
        if ((ends & 1) != 0) {
            note_episodes(p, c, step);
            wr_columns_restart(c, now);
        }
    }
    k->forward(&s->net, r->weights, &t->scratch, c->obs, c->stride, count);
    memcpy(t->value + steps * (size_t)WR_TILE, value, row_bytes);
    k->gae(&(wr_gae){.count = count,
                     .stride = WR_TILE,
                     .steps = steps,
                     .gamma = s->config.gamma,
                     .lambda = s->config.lambda,
                     .value_unit = s->config.value_unit,
                     .value = t->value,
                     .reward = t->reward,
                     .ended = t->ended,
                     .record = records + s->net.obs_count + WR_RECORD_ADVANTAGE,
                     .record_floats = record_floats,
                     .step_floats = step_floats,
                     .sum = p->sums + first,
                     .sum_square = p->sums + r->count + first});
    columns_save(c, p->r, first);
}

static void play_member(void *arg, uint32_t member) {
    play *p = arg;
    wr_rl_runner *r = p->r;
    for (uint64_t first = (uint64_t)member * r->chunk; first < r->count;
         first += (uint64_t)r->thread_count * r->chunk) {
        uint32_t count = r->count - first < r->chunk ? r->count - (uint32_t)first : r->chunk;
        play_chunk(p, &r->threads[member], (uint32_t)first, count);
    }
}

static int by_step_and_env(const void *a, const void *b) {
    wr_batch_episode x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (x.step != y.step) {
        return x.step < y.step ? -1 : 1;
    }
    return x.env < y.env ? -1 : x.env > y.env;
}

static void write_state(const wr_rl_runner *r, float *out) {
    for (size_t k = 0; k < r->setup.ops->state_count + (size_t)2; k++) {
        memcpy(out + k * r->count, r->state + k * r->stride, r->count * sizeof(float));
    }
}

wr_status wr_rl_runner_sample(wr_rl_runner *r, const float *weights, size_t weight_count, float *out,
                              size_t capacity, size_t *out_used, wr_error *err) {
    if (weights == NULL || weight_count != r->setup.net.param_count) {
        return WR_FAIL(err, WR_E_INVALID, "runner: %zu weights; the network has %zu", weight_count,
                       r->setup.net.param_count);
    }
    if (out == NULL || capacity < wr_rl_runner_batch_floats(r)) {
        return WR_FAIL(err, WR_E_INVALID, "runner: a buffer of %zu floats; a batch needs up to %zu", capacity,
                       wr_rl_runner_batch_floats(r));
    }
    size_t state, records, episodes;
    wr_batch_layout(&r->shape, r->count, r->shape.steps, &state, &records, &episodes);
    wr_batch_head head = wr_batch_head_make(&r->shape, r->first, r->count, r->shape.steps, r->iteration);
    play p = {.r = r,
              .sums = out + sizeof(head) / sizeof(float),
              .records = out + records,
              .episodes = out + episodes};
    memcpy(r->weights, weights, weight_count * sizeof(float));
    wr_team_run(r->team, play_member, &p);

    head.episode_count = atomic_load(&p.episode_count);
    qsort(p.episodes, head.episode_count, sizeof(wr_batch_episode), by_step_and_env);
    memcpy(out, &head, sizeof(head));
    write_state(r, out + state);
    r->iteration++;
    *out_used = episodes + 4 * (size_t)head.episode_count;
    return WR_OK;
}

/* ---- state ---- */

static void read_state(wr_rl_runner *r, const float *state, uint64_t iteration) {
    for (size_t k = 0; k < r->setup.ops->state_count + (size_t)2; k++) {
        memcpy(r->state + k * r->stride, state + k * r->count, r->count * sizeof(float));
    }
    r->iteration = iteration;
}

static wr_status restore(wr_rl_runner *r, const float *data, size_t floats, uint32_t steps, uint64_t ahead,
                         wr_error *err) {
    wr_batch_view view;
    WR_TRY(wr_batch_read(&r->shape, data, floats, steps, &view, err));
    if (view.head.env_first != r->first || view.head.env_count != r->count) {
        return WR_FAIL(
            err, WR_E_INVALID, "runner: a batch of environments %u to %u; this runner has %u to %u",
            view.head.env_first, view.head.env_first + view.head.env_count, r->first, r->first + r->count);
    }
    read_state(r, view.state, view.head.iteration + ahead);
    return WR_OK;
}

wr_status wr_rl_runner_restore(wr_rl_runner *r, const float *batch, size_t floats, wr_error *err) {
    return restore(r, batch, floats, r->shape.steps, 1, err);
}

size_t wr_rl_runner_state_floats(const wr_rl_runner *r) {
    size_t state, records, episodes;
    wr_batch_layout(&r->shape, r->count, 0, &state, &records, &episodes);
    return episodes;
}

void wr_rl_runner_state_get(const wr_rl_runner *r, float *out) {
    size_t state, records, episodes;
    wr_batch_layout(&r->shape, r->count, 0, &state, &records, &episodes);
    memset(out, 0, episodes * sizeof(float));
    wr_batch_head head = wr_batch_head_make(&r->shape, r->first, r->count, 0, r->iteration);
    memcpy(out, &head, sizeof(head));
    write_state(r, out + state);
}

wr_status wr_rl_runner_state_set(wr_rl_runner *r, const float *state, size_t floats, wr_error *err) {
    return restore(r, state, floats, 0, 0, err);
}

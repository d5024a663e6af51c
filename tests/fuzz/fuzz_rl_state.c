/* What a learner and a runner take from files and other processes: their saved states, and batches of experience. Each
 * begins as a right one, made here; the input says which, and what is written over it. What is accepted is played or
 * learned from.
 *
 * Input: u8 which, u8 floats cut off the end, then changes of 8 bytes: u32 place (modulo the floats), the float's
 * bits. */
#include "base/base.h"
#include "whipray/rl.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHANGE_BYTES = 8 };

typedef struct training {
    wr_rl_runner *runner;
    wr_rl_learner *learner;
    float *runner_state, *learner_state, *batch;
    size_t runner_floats, learner_floats, batch_floats, batch_room;
} training;

static float *floats_new(size_t count) {
    float *out = calloc(count, sizeof *out);
    WR_ASSERT(out != NULL);
    return out;
}

static bool sample(training *t, float *out, size_t *out_used) {
    size_t count;
    const float *weights = wr_rl_learner_weights(t->learner, &count);
    return wr_rl_runner_sample(t->runner, weights, count, out, t->batch_room, out_used, NULL) == WR_OK;
}

static void begin(training *t) {
    wr_rl_config config;
    wr_rl_config_default(&config);
    config.env_count = 4;
    config.fragment_steps = 32; /* some episodes end in it */
    config.layers = 1;
    config.hidden[0] = 4;
    config.epochs = 1;
    config.minibatch = 64;
    config.episode_window = 4;
    wr_rl_runner_opts opts = {.threads = 1};
    WR_ASSERT(wr_rl_runner_new(&config, &opts, &t->runner, NULL) == WR_OK);
    WR_ASSERT(wr_rl_learner_new(&config, 1, &t->learner, NULL) == WR_OK);
    t->batch_room = wr_rl_runner_batch_floats(t->runner);
    t->batch = floats_new(t->batch_room);
    WR_ASSERT(sample(t, t->batch, &t->batch_floats));
    t->runner_floats = wr_rl_runner_state_floats(t->runner);
    t->runner_state = floats_new(t->runner_floats);
    wr_rl_runner_state_get(t->runner, t->runner_state);
    t->learner_floats = wr_rl_learner_state_floats(t->learner);
    t->learner_state = floats_new(t->learner_floats);
    wr_rl_learner_state_get(t->learner, t->learner_state);
}

/* A copy of exactly the length that is left, with the input's changes in it. */
static float *damage(const float *from, size_t *floats, const uint8_t *data, size_t size) {
    size_t cut = data[1] < *floats ? data[1] : *floats;
    *floats -= cut;
    float *out = malloc(*floats > 0 ? *floats * sizeof *out : 1);
    WR_ASSERT(out != NULL);
    memcpy(out, from, *floats * sizeof *out);
    for (size_t at = 2; *floats > 0 && at + CHANGE_BYTES <= size; at += CHANGE_BYTES) {
        uint32_t place;
        memcpy(&place, data + at, sizeof place);
        memcpy(&out[place % *floats], data + at + 4, sizeof(float));
    }
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static training t;
    if (size < 2) {
        return 0;
    }
    if (t.runner == NULL) {
        begin(&t);
    }
    const float *const from[] = {t.runner_state, t.learner_state, t.batch, t.batch};
    size_t floats =
        (const size_t[]){t.runner_floats, t.learner_floats, t.batch_floats, t.batch_floats}[data[0] % 4];
    float *state = damage(from[data[0] % 4], &floats, data, size);
    wr_rl_batch batch = {.data = state, .floats = floats};
    wr_rl_update_stats stats;
    wr_error err;
    memset(&err, 0, sizeof err);
    wr_status status;
    switch (data[0] % 4) {
    case 0:
        status = wr_rl_runner_state_set(t.runner, state, floats, &err);
        break;
    case 1:
        status = wr_rl_learner_state_set(t.learner, state, floats, &err);
        break;
    case 2:
        status = wr_rl_runner_restore(t.runner, state, floats, &err);
        break;
    default:
        status = wr_rl_learner_update(t.learner, &batch, 1, &stats, &err);
        break;
    }
    WR_ASSERT(status == WR_OK || err.text[0] != 0);
    if (status == WR_OK) { /* it goes on from there, and is put back after it */
        float *out = floats_new(t.batch_room);
        size_t used = 0;
        if (sample(&t, out, &used)) {
            batch = (wr_rl_batch){.data = out, .floats = used};
            (void)wr_rl_learner_update(t.learner, &batch, 1, &stats, NULL);
        }
        free(out);
        WR_ASSERT(wr_rl_runner_state_set(t.runner, t.runner_state, t.runner_floats, NULL) == WR_OK);
        WR_ASSERT(wr_rl_learner_state_set(t.learner, t.learner_state, t.learner_floats, NULL) == WR_OK);
    }
    free(state);
    return 0;
}

#include "rl/loop/batch.h"

#include "base/base.h"

#include <math.h>
#include <string.h>

enum { MAGIC = 0x42525257, VERSION = 1, HEAD_FLOATS = 16 }; /* "WRRB" */
_Static_assert(sizeof(wr_batch_head) == HEAD_FLOATS * sizeof(float), "the head is 64 bytes");
_Static_assert(sizeof(wr_batch_episode) == 4 * sizeof(float), "an episode is 16 bytes");

static size_t padded(size_t floats) {
    return (size_t)wr_align_up(floats, WR_PAD);
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count) { /* FNV-1a */
    const unsigned char *p = bytes;
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ p[i]) * 1099511628211u;
    }
    return hash;
}

void wr_batch_shape_init(wr_batch_shape *shape, const wr_rl_config *config, const wr_rl_env_ops *ops,
                         const wr_net *net) {
    uint64_t key = hash_bytes(14695981039346656037u, ops->name, strlen(ops->name));
    key = hash_bytes(key, &config->seed, sizeof(config->seed));
    key = hash_bytes(key, &config->env_count, sizeof(config->env_count));
    key = hash_bytes(key, &config->fragment_steps, sizeof(config->fragment_steps));
    *shape = (wr_batch_shape){.env_total = config->env_count,
                              .steps = config->fragment_steps,
                              .state_count = ops->state_count,
                              .steps_max = ops->episode_steps_max,
                              .config_key = key,
                              .net = net};
}

void wr_batch_layout(const wr_batch_shape *shape, uint32_t env_count, uint32_t steps, size_t *out_state,
                     size_t *out_records, size_t *out_episodes) {
    const size_t n = env_count;
    *out_state = HEAD_FLOATS + padded(2 * n);
    *out_records = *out_state + padded((shape->state_count + 2) * n);
    *out_episodes = *out_records + n * steps * shape->net->record_floats;
}

wr_batch_head wr_batch_head_make(const wr_batch_shape *shape, uint32_t env_first, uint32_t env_count,
                                 uint32_t steps, uint64_t iteration) {
    return (wr_batch_head){.magic = MAGIC,
                           .version = VERSION,
                           .env_first = env_first,
                           .env_count = env_count,
                           .steps = steps,
                           .record_floats = shape->net->record_floats,
                           .obs_count = shape->net->obs_count,
                           .action_count = shape->net->action_count,
                           .state_count = shape->state_count,
                           .iteration = iteration,
                           .config_key = shape->config_key};
}

wr_batch_episode wr_batch_episode_at(const wr_batch_view *view, uint32_t index) {
    wr_batch_episode episode;
    memcpy(&episode, view->episodes + 4 * (size_t)index, sizeof(episode));
    return episode;
}

static wr_status check_state(const wr_batch_shape *shape, const wr_batch_view *view, wr_error *err) {
    const size_t n = view->head.env_count;
    for (size_t i = 0; i < (shape->state_count + 2) * n; i++) {
        if (!isfinite(view->state[i])) {
            return WR_FAIL(err, WR_E_CORRUPT, "batch: float %zu of the environments' state is not finite", i);
        }
    }
    const float *length = view->state + shape->state_count * n;
    for (size_t i = 0; i < n; i++) {
        if (length[i] < 0 || length[i] >= (float)shape->steps_max || length[i] != floorf(length[i])) {
            return WR_FAIL(err, WR_E_CORRUPT, "batch: an episode of %g steps; the longest has %u",
                           (double)length[i], shape->steps_max);
        }
    }
    return WR_OK;
}

static wr_status check_episodes(const wr_batch_view *view, wr_error *err) {
    const wr_batch_head *head = &view->head;
    uint64_t before = 0;
    for (uint32_t i = 0; i < head->episode_count; i++) {
        wr_batch_episode e = wr_batch_episode_at(view, i);
        uint64_t at = ((uint64_t)e.step << 32 | e.env) + 1;
        if (e.step >= head->steps || e.env < head->env_first || e.env - head->env_first >= head->env_count ||
            at <= before) {
            return WR_FAIL(err, WR_E_CORRUPT, "batch: episode %u ends at step %u of environment %u", i,
                           e.step, e.env);
        }
        before = at;
    }
    return WR_OK;
}

wr_status wr_batch_read(const wr_batch_shape *shape, const float *data, size_t floats, uint32_t steps,
                        wr_batch_view *out, wr_error *err) {
    wr_batch_view view = {0};
    if (data == NULL || floats < HEAD_FLOATS) {
        return WR_FAIL(err, WR_E_CORRUPT, "batch: %zu floats are too few for a head",
                       data == NULL ? 0 : floats);
    }
    memcpy(&view.head, data, sizeof(view.head));
    const wr_batch_head *head = &view.head;
    if (head->magic != MAGIC || head->version != VERSION) {
        return WR_FAIL(err, WR_E_CORRUPT, "batch: it does not begin with a batch's head of version %d",
                       VERSION);
    }
    if (head->config_key != shape->config_key || head->record_floats != shape->net->record_floats ||
        head->obs_count != shape->net->obs_count || head->action_count != shape->net->action_count ||
        head->state_count != shape->state_count) {
        return WR_FAIL(
            err, WR_E_INVALID,
            "batch: it was made with another environment, seed, number of environments or of steps");
    }
    if (head->steps != steps || head->env_count == 0 || head->env_count > shape->env_total ||
        head->env_first > shape->env_total - head->env_count) {
        return WR_FAIL(err, WR_E_CORRUPT, "batch: %u steps of environments %u to %u of %u", head->steps,
                       head->env_first, head->env_first + head->env_count, shape->env_total);
    }
    size_t state, records, episodes;
    wr_batch_layout(shape, head->env_count, steps, &state, &records, &episodes);
    if (head->episode_count > (uint64_t)head->env_count * steps ||
        floats != episodes + 4 * (size_t)head->episode_count) {
        return WR_FAIL(err, WR_E_CORRUPT, "batch: %zu floats; its head asks for %zu and %u episodes", floats,
                       episodes, head->episode_count);
    }
    view.sums = data + HEAD_FLOATS;
    view.state = data + state;
    view.records = data + records;
    view.episodes = data + episodes;
    WR_TRY(check_state(shape, &view, err));
    WR_TRY(check_episodes(&view, err));
    for (size_t i = 0; i < 2 * (size_t)head->env_count; i++) {
        if (!isfinite(view.sums[i])) {
            return WR_FAIL(err, WR_E_CORRUPT,
                           "batch: the advantages are not finite; lower lr or check the rewards");
        }
    }
    *out = view;
    return WR_OK;
}

#include "whipray/rl_env.h"

#include "base/base.h"
#include "rl/env/cartpole.h"
#include "rl/env/nearest.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { ENVS_MAX = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static const wr_rl_env_ops *known[ENVS_MAX] = {&wr_cartpole_ops};
static uint32_t known_count = 1;

static wr_status check_ops(const wr_rl_env_ops *ops, wr_error *err) {
    if (ops == NULL || ops->name == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "environment: the table or its name is NULL");
    }
    if (ops->struct_size != sizeof(*ops)) {
        return WR_FAIL(err, WR_E_VERSION, "environment '%.63s': its table has %u bytes, this library's %zu",
                       ops->name, ops->struct_size, sizeof(*ops));
    }
    size_t length = strlen(ops->name);
    if (length == 0 || length >= WR_RL_ENV_NAME_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "environment '%.63s': a name has 1 to %d bytes", ops->name,
                       WR_RL_ENV_NAME_MAX - 1);
    }
    const struct {
        const char *field;
        uint32_t value, low, high;
    } counts[] = {
        {"obs_count", ops->obs_count, 1, WR_RL_ENV_OBS_MAX},
        {"action_count", ops->action_count, 2, WR_RL_ENV_ACTIONS_MAX},
        {"state_count", ops->state_count, 1, WR_RL_ENV_STATE_MAX},
        {"start_random_count", ops->start_random_count, 0, WR_RL_ENV_RANDOM_MAX},
        {"step_random_count", ops->step_random_count, 0, WR_RL_ENV_RANDOM_MAX},
        {"episode_steps_max", ops->episode_steps_max, 1, 1u << 24}, /* lengths are floats */
    };
    for (size_t i = 0; i < WR_COUNT_OF(counts); i++) {
        if (counts[i].value < counts[i].low || counts[i].value > counts[i].high) {
            return WR_FAIL(err, WR_E_INVALID, "environment '%s': %s is %u; it must be from %u to %u",
                           ops->name, counts[i].field, counts[i].value, counts[i].low, counts[i].high);
        }
    }
    if (ops->start == NULL || ops->step == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "environment '%s': it needs start and step", ops->name);
    }
    if (ops->observe == NULL && ops->obs_count > ops->state_count) {
        return WR_FAIL(err, WR_E_INVALID,
                       "environment '%s': %u observations of %u floats of state need observe", ops->name,
                       ops->obs_count, ops->state_count);
    }
    return WR_OK;
}

static const wr_rl_env_ops *find_locked(const char *name) {
    for (uint32_t i = 0; i < known_count; i++) {
        if (strcmp(known[i]->name, name) == 0) {
            return known[i];
        }
    }
    return NULL;
}

wr_status wr_rl_env_register(const wr_rl_env_ops *ops, wr_error *err) {
    WR_TRY(check_ops(ops, err));
    pthread_mutex_lock(&lock);
    wr_status status = WR_OK;
    const wr_rl_env_ops *old = find_locked(ops->name);
    if (old != NULL && old != ops) {
        status = WR_FAIL(err, WR_E_EXISTS, "environment '%s' is registered already", ops->name);
    } else if (old == NULL && known_count == ENVS_MAX) {
        status =
            WR_FAIL(err, WR_E_LIMIT, "environment '%s': %d are registered, no more fit", ops->name, ENVS_MAX);
    } else if (old == NULL) {
        known[known_count++] = ops;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

static wr_status not_found(const char *name, wr_error *err) {
    const char *names[ENVS_MAX];
    char list[400] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < known_count; i++) {
        names[i] = known[i]->name;
        int n = snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", names[i]);
        if (n < 0 || (size_t)n >= sizeof list - used) {
            break; /* the list is cut where it is full */
        }
        used += (size_t)n;
    }
    return WR_FAIL(err, WR_E_NOT_FOUND, "there is no environment '%.63s'; did you mean '%s'? Known: %s", name,
                   wr_nearest(name, names, known_count), list);
}

wr_status wr_rl_env_find(const char *name, const wr_rl_env_ops **out, wr_error *err) {
    if (name == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "the environment's name is NULL");
    }
    pthread_mutex_lock(&lock);
    const wr_rl_env_ops *found = find_locked(name);
    wr_status status = found == NULL ? not_found(name, err) : WR_OK;
    pthread_mutex_unlock(&lock);
    if (found != NULL) {
        *out = found;
    }
    return status;
}

const char *wr_rl_env_name(uint32_t index) {
    pthread_mutex_lock(&lock);
    const char *name = index < known_count ? known[index]->name : NULL;
    pthread_mutex_unlock(&lock);
    return name;
}

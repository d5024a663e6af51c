/* The types Runner, Learner, Policy, Loop and Envs: thin handles over the C objects of the same names. */
#include "bridge.h"

#include <string.h>

/* All types share one layout: a C object, who owns it, and whether a thread is at work in it. */
typedef struct handle {
    PyObject_HEAD void *object;
    void (*release)(void *);
    PyObject *owner;   /* keeps a lent object alive */
    bool busy;         /* guarded by the GIL */
    uint32_t sizes[4]; /* Envs: count, obs, state; Policy: obs, actions */
} handle;

typedef PyObject *(*method)(handle *self, PyObject *const *args, Py_ssize_t count);

static void handle_dealloc(PyObject *self) {
    handle *h = (handle *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (h->object != NULL && h->release != NULL) {
        h->release(h->object);
    }
    Py_XDECREF(h->owner);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static handle *handle_new(PyTypeObject *type, void *object, void (*release)(void *)) {
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    handle *h = (handle *)make(type, 0);
    if (h == NULL) {
        release(object);
        return NULL;
    }
    h->object = object;
    h->release = release;
    return h;
}

static handle *handle_lend(PyTypeObject *type, void *object, handle *owner) {
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    handle *h = (handle *)make(type, 0);
    if (h != NULL) {
        h->object = object;
        h->owner = Py_NewRef((PyObject *)owner);
    }
    return h;
}

/* A loop and its parts are one object for this purpose. */
static bool *busy_flag(handle *h) {
    return h->owner != NULL ? &((handle *)h->owner)->busy : &h->busy;
}

static bool enter(handle *h) {
    if (*busy_flag(h)) {
        PyErr_Format(PyExc_RuntimeError, "this %R is at work in another thread",
                     (PyObject *)Py_TYPE((PyObject *)h));
        return false;
    }
    *busy_flag(h) = true;
    return true;
}

static void leave(handle *h) {
    *busy_flag(h) = false;
}

static bool takes(Py_ssize_t count, Py_ssize_t want, const char *what) {
    if (count != want) {
        PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, not %zd", what, want, count);
        return false;
    }
    return true;
}

static PyObject *finish(wr_status status, const wr_error *error) {
    if (status != WR_OK) {
        return bridge_raise(status, error);
    }
    Py_RETURN_NONE;
}

/* ---- Runner ---- */

static void runner_release(void *object) {
    wr_rl_runner_free(object);
}

static PyObject *runner_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *dict;
    wr_rl_runner_opts opts = {0};
    unsigned long long iteration = 0;
    static char *names[] = {"config", "env_first", "env_count", "threads", "iteration", NULL};
    wr_rl_config config;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|IIIK", names, &dict, &opts.env_first, &opts.env_count,
                                     &opts.threads, &iteration) ||
        !bridge_config(dict, &config)) {
        return NULL;
    }
    opts.iteration = iteration;
    wr_rl_runner *runner;
    wr_error error = {0};
    wr_status status = wr_rl_runner_new(&config, &opts, &runner, &error);
    return status != WR_OK ? bridge_raise(status, &error)
                           : (PyObject *)handle_new(type, runner, runner_release);
}

static PyObject *runner_sample(handle *self, PyObject *const *args, Py_ssize_t count) {
    bridge_floats weights, out;
    if (!takes(count, 2, "sample(weights, out)") || !bridge_floats_get(args[0], false, "weights", &weights)) {
        return NULL;
    }
    if (!bridge_floats_get(args[1], true, "out", &out)) {
        bridge_floats_release(&weights);
        return NULL;
    }
    size_t used = 0;
    wr_error error = {0};
    wr_status status = WR_OK;
    bool entered = enter(self);
    if (entered) {
        Py_BEGIN_ALLOW_THREADS status = wr_rl_runner_sample(self->object, weights.data, weights.count,
                                                            out.data, out.count, &used, &error);
        Py_END_ALLOW_THREADS leave(self);
    }
    bridge_floats_release(&weights);
    bridge_floats_release(&out);
    if (!entered) {
        return NULL;
    }
    return status != WR_OK ? bridge_raise(status, &error) : PyLong_FromSize_t(used);
}

/* A call that takes one array and returns nothing. */
#define ARRAY_CALL(name, what, call)                                                                         \
    static PyObject *name(handle *self, PyObject *const *args, Py_ssize_t count) {                           \
        bridge_floats in;                                                                                    \
        wr_error error = {0};                                                                                \
        if (!takes(count, 1, what) || !bridge_floats_get(args[0], false, what, &in)) {                       \
            return NULL;                                                                                     \
        }                                                                                                    \
        bool entered = enter(self);                                                                          \
        wr_status status = entered ? call(self->object, in.data, in.count, &error) : WR_OK;                  \
        bridge_floats_release(&in);                                                                          \
        if (!entered) {                                                                                      \
            return NULL;                                                                                     \
        }                                                                                                    \
        leave(self);                                                                                         \
        return finish(status, &error);                                                                       \
    }
ARRAY_CALL(runner_restore, "restore(batch)", wr_rl_runner_restore)
ARRAY_CALL(runner_set_state, "set_state(state)", wr_rl_runner_state_set)
ARRAY_CALL(learner_set_weights, "set_weights(weights)", wr_rl_learner_weights_set)
ARRAY_CALL(learner_set_state, "set_state(state)", wr_rl_learner_state_set)

/* State as bytes. */
#define STATE_CALL(name, type, size, get)                                                                    \
    static PyObject *name(handle *self, PyObject *const *args, Py_ssize_t count) {                           \
        (void)args;                                                                                          \
        if (!takes(count, 0, "state()") || !enter(self)) {                                                   \
            return NULL;                                                                                     \
        }                                                                                                    \
        PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(size(self->object) * sizeof(float))); \
        if (bytes != NULL) {                                                                                 \
            get((type *)self->object, (float *)(void *)PyBytes_AsString(bytes));                             \
        }                                                                                                    \
        leave(self);                                                                                         \
        return bytes;                                                                                        \
    }
STATE_CALL(runner_state, wr_rl_runner, wr_rl_runner_state_floats, wr_rl_runner_state_get)
STATE_CALL(learner_state, wr_rl_learner, wr_rl_learner_state_floats, wr_rl_learner_state_get)

static PyObject *runner_batch_floats(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromSize_t(wr_rl_runner_batch_floats(((handle *)self)->object));
}

static PyObject *runner_iteration(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLongLong(wr_rl_runner_iteration(((handle *)self)->object));
}

/* What a learner and a loop are made of: (config, threads=1). false with an exception. */
static bool config_and_threads(PyObject *args, PyObject *kwargs, wr_rl_config *config, unsigned *threads) {
    PyObject *dict;
    static char *names[] = {"config", "threads", NULL};
    *threads = 1;
    return PyArg_ParseTupleAndKeywords(args, kwargs, "O|I", names, &dict, threads) &&
           bridge_config(dict, config);
}

/* ---- Learner ---- */

static void learner_release(void *object) {
    wr_rl_learner_free(object);
}

static PyObject *learner_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    unsigned threads;
    wr_rl_config config;
    if (!config_and_threads(args, kwargs, &config, &threads)) {
        return NULL;
    }
    wr_rl_learner *learner;
    wr_error error = {0};
    wr_status status = wr_rl_learner_new(&config, threads, &learner, &error);
    return status != WR_OK ? bridge_raise(status, &error)
                           : (PyObject *)handle_new(type, learner, learner_release);
}

/* Views of a sequence of arrays; all or none. */
typedef struct batch_views {
    bridge_floats *views;
    wr_rl_batch *batches;
    uint32_t count;
} batch_views;

static void batches_release(batch_views *b) {
    for (uint32_t i = 0; i < b->count; i++) {
        bridge_floats_release(&b->views[i]);
    }
    PyMem_Free(b->views);
    PyMem_Free(b->batches);
}

static bool batches_get(PyObject *sequence, batch_views *out) {
    *out = (batch_views){0};
    PyObject *list = PySequence_List(sequence);
    if (list == NULL) {
        return false;
    }
    size_t count = (size_t)PyList_Size(list);
    out->views = PyMem_Calloc(count + 1, sizeof(*out->views));
    out->batches = PyMem_Calloc(count + 1, sizeof(*out->batches));
    bool ok = out->views != NULL && out->batches != NULL && count < UINT32_MAX;
    if (!ok) {
        PyErr_NoMemory();
    }
    for (size_t i = 0; ok && i < count; i++) {
        bridge_floats *view = &out->views[i];
        ok = bridge_floats_get(PyList_GetItem(list, (Py_ssize_t)i), false, "a batch", view);
        if (ok) {
            out->batches[i] = (wr_rl_batch){.data = view->data, .floats = view->count};
            out->count++;
        }
    }
    Py_DECREF(list);
    if (!ok) {
        batches_release(out);
    }
    return ok;
}

static PyObject *learner_update(handle *self, PyObject *const *args, Py_ssize_t count) {
    batch_views b;
    if (!takes(count, 1, "update(batches)") || !batches_get(args[0], &b)) {
        return NULL;
    }
    wr_rl_update_stats stats;
    wr_error error = {0};
    wr_status status = WR_OK;
    bool entered = enter(self);
    if (entered) {
        Py_BEGIN_ALLOW_THREADS status =
            wr_rl_learner_update(self->object, b.batches, b.count, &stats, &error);
        Py_END_ALLOW_THREADS leave(self);
    }
    batches_release(&b);
    if (!entered) {
        return NULL;
    }
    return status != WR_OK ? bridge_raise(status, &error) : bridge_stats(&stats);
}

static PyObject *learner_exercise(handle *self, PyObject *const *args, Py_ssize_t count) {
    batch_views b;
    if (!takes(count, 2, "exercise(batches, rounds)")) {
        return NULL;
    }
    unsigned long rounds = PyLong_AsUnsignedLong(args[1]);
    if (PyErr_Occurred() != NULL || !batches_get(args[0], &b)) {
        return NULL;
    }
    uint64_t samples = 0;
    double flop = 0;
    wr_error error = {0};
    wr_status status = WR_OK;
    bool entered = enter(self);
    if (entered) {
        Py_BEGIN_ALLOW_THREADS status = wr_rl_learner_exercise(self->object, b.batches, b.count,
                                                               (uint32_t)rounds, &samples, &flop, &error);
        Py_END_ALLOW_THREADS leave(self);
    }
    batches_release(&b);
    if (!entered) {
        return NULL;
    }
    return status != WR_OK ? bridge_raise(status, &error)
                           : Py_BuildValue("(Kd)", (unsigned long long)samples, flop);
}

static PyObject *learner_weights(handle *self, PyObject *const *args, Py_ssize_t count) {
    bridge_floats out;
    if (!takes(count, 1, "weights(out)") || !bridge_floats_get(args[0], true, "out", &out)) {
        return NULL;
    }
    size_t have = 0;
    bool entered = enter(self);
    if (entered) {
        const float *weights = wr_rl_learner_weights(self->object, &have);
        if (out.count == have) {
            memcpy(out.data, weights, have * sizeof(float));
        }
        leave(self);
    }
    size_t room = out.count;
    bridge_floats_release(&out);
    if (!entered) {
        return NULL;
    }
    if (room != have) {
        PyErr_Format(PyExc_ValueError, "out has %zu floats, the weights %zu", room, have);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *learner_set_rates(handle *self, PyObject *const *args, Py_ssize_t count) {
    if (!takes(count, 2, "set_rates(lr, entropy_coeff)")) {
        return NULL;
    }
    double lr = PyFloat_AsDouble(args[0]);
    double entropy = PyErr_Occurred() != NULL ? 0 : PyFloat_AsDouble(args[1]);
    if (PyErr_Occurred() != NULL || !enter(self)) {
        return NULL;
    }
    wr_error error = {0};
    wr_status status = wr_rl_learner_rates_set(self->object, lr, entropy, &error);
    leave(self);
    return finish(status, &error);
}

/* ---- Policy ---- */

static void policy_release(void *object) {
    wr_rl_policy_free(object);
}

static PyObject *policy_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *dict, *array;
    static char *names[] = {"config", "weights", NULL};
    wr_rl_config config;
    bridge_floats weights;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO", names, &dict, &array) ||
        !bridge_config(dict, &config) || !bridge_floats_get(array, false, "weights", &weights)) {
        return NULL;
    }
    wr_rl_policy *policy;
    const wr_rl_env_ops *ops = NULL;
    wr_error error = {0};
    wr_status status = wr_rl_env_find(config.env, &ops, &error);
    if (status == WR_OK) {
        status = wr_rl_policy_new(&config, weights.data, weights.count, &policy, &error);
    }
    bridge_floats_release(&weights);
    if (status != WR_OK) {
        return bridge_raise(status, &error);
    }
    handle *h = handle_new(type, policy, policy_release);
    if (h != NULL) {
        h->sizes[0] = ops->obs_count;
        h->sizes[1] = ops->action_count;
    }
    return (PyObject *)h;
}

static PyObject *policy_forward(handle *self, PyObject *const *args, Py_ssize_t count) {
    bridge_floats obs, logits, values;
    if (!takes(count, 3, "forward(obs, logits, values)") || !bridge_floats_get(args[0], false, "obs", &obs)) {
        return NULL;
    }
    if (!bridge_floats_get(args[1], true, "logits", &logits)) {
        bridge_floats_release(&obs);
        return NULL;
    }
    if (!bridge_floats_get(args[2], true, "values", &values)) {
        bridge_floats_release(&obs);
        bridge_floats_release(&logits);
        return NULL;
    }
    bool fits = obs.count == values.count * self->sizes[0] && logits.count == values.count * self->sizes[1] &&
                values.count <= UINT32_MAX;
    bool entered = fits && enter(self);
    if (entered) {
        Py_BEGIN_ALLOW_THREADS wr_rl_policy_forward(self->object, obs.data, (uint32_t)values.count,
                                                    logits.data, values.data);
        Py_END_ALLOW_THREADS leave(self);
    }
    bridge_floats_release(&obs);
    bridge_floats_release(&logits);
    bridge_floats_release(&values);
    if (!fits) {
        PyErr_Format(PyExc_ValueError, "for n observations: obs [n, %u], logits [n, %u], values [n]",
                     self->sizes[0], self->sizes[1]);
    }
    if (!entered) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *policy_play(handle *self, PyObject *const *args, Py_ssize_t count) {
    bridge_floats returns, lengths;
    if (!takes(count, 4, "play(seed, sample, returns, lengths)")) {
        return NULL;
    }
    unsigned long long seed = PyLong_AsUnsignedLongLong(args[0]);
    int sample = PyErr_Occurred() != NULL ? -1 : PyObject_IsTrue(args[1]);
    if (sample < 0 || !bridge_floats_get(args[2], true, "returns", &returns)) {
        return NULL;
    }
    if (!bridge_floats_get(args[3], true, "lengths", &lengths)) {
        bridge_floats_release(&returns);
        return NULL;
    }
    bool fits = returns.count == lengths.count && returns.count < UINT32_MAX;
    bool entered = fits && enter(self);
    if (entered) {
        Py_BEGIN_ALLOW_THREADS wr_rl_policy_play(self->object, seed, (uint32_t)returns.count, sample == 1,
                                                 returns.data, lengths.data);
        Py_END_ALLOW_THREADS leave(self);
    }
    bridge_floats_release(&returns);
    bridge_floats_release(&lengths);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "returns and lengths must have one float for each episode");
    }
    if (!entered) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- Loop ---- */

typedef struct module_types {
    PyTypeObject *runner, *learner;
} module_types;
static module_types lent_types; /* set once when the module is made; borrowed from it */

static void loop_release(void *object) {
    wr_rl_loop_free(object);
}

static PyObject *loop_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    unsigned threads;
    wr_rl_config config;
    if (!config_and_threads(args, kwargs, &config, &threads)) {
        return NULL;
    }
    wr_rl_loop *loop;
    wr_error error = {0};
    wr_status status = wr_rl_loop_new(&config, threads, &loop, &error);
    return status != WR_OK ? bridge_raise(status, &error) : (PyObject *)handle_new(type, loop, loop_release);
}

static PyObject *loop_train(handle *self, PyObject *const *args, Py_ssize_t count) {
    (void)args;
    if (!takes(count, 0, "train()") || !enter(self)) {
        return NULL;
    }
    wr_rl_update_stats stats;
    wr_error error = {0};
    wr_status status;
    Py_BEGIN_ALLOW_THREADS status = wr_rl_loop_train(self->object, &stats, &error);
    Py_END_ALLOW_THREADS leave(self);
    return status != WR_OK ? bridge_raise(status, &error) : bridge_stats(&stats);
}

static PyObject *loop_solve(handle *self, PyObject *const *args, Py_ssize_t count) {
    if (!takes(count, 2, "solve(target, env_steps_max)")) {
        return NULL;
    }
    double target = PyFloat_AsDouble(args[0]);
    unsigned long long steps_max = PyErr_Occurred() != NULL ? 0 : PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred() != NULL || !enter(self)) {
        return NULL;
    }
    bool solved = false;
    uint64_t env_steps = 0;
    wr_rl_update_stats stats;
    wr_error error = {0};
    wr_status status;
    Py_BEGIN_ALLOW_THREADS status =
        wr_rl_loop_solve(self->object, target, steps_max, &solved, &env_steps, &stats, &error);
    Py_END_ALLOW_THREADS leave(self);
    if (status != WR_OK) {
        return bridge_raise(status, &error);
    }
    return Py_BuildValue("(NKN)", PyBool_FromLong(solved), (unsigned long long)env_steps,
                         bridge_stats(&stats));
}

static PyObject *loop_learner(PyObject *self, void *closure) {
    (void)closure;
    handle *h = (handle *)self;
    return (PyObject *)handle_lend(lent_types.learner, wr_rl_loop_learner(h->object), h);
}

static PyObject *loop_runner(PyObject *self, void *closure) {
    (void)closure;
    handle *h = (handle *)self;
    return (PyObject *)handle_lend(lent_types.runner, wr_rl_loop_runner(h->object), h);
}

static PyObject *loop_sample_seconds(PyObject *self, void *closure) {
    (void)closure;
    return PyFloat_FromDouble(wr_rl_loop_sample_seconds(((handle *)self)->object));
}

/* ---- Envs ---- */

static void envs_release(void *object) {
    wr_rl_envs_free(object);
}

static PyObject *envs_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    const char *name;
    unsigned count;
    unsigned long long seed = 0;
    static char *names[] = {"env", "count", "seed", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sI|K", names, &name, &count, &seed)) {
        return NULL;
    }
    wr_rl_envs *envs;
    wr_error error = {0};
    wr_status status = wr_rl_envs_new(name, count, seed, &envs, &error);
    if (status != WR_OK) {
        return bridge_raise(status, &error);
    }
    handle *h = handle_new(type, envs, envs_release);
    if (h != NULL) {
        uint32_t steps_max;
        h->sizes[0] = count;
        wr_rl_envs_shape(envs, &h->sizes[1], &h->sizes[2], &h->sizes[3], &steps_max);
    }
    return (PyObject *)h;
}

static PyObject *envs_shape(PyObject *self, void *closure) {
    (void)closure;
    const handle *h = (handle *)self;
    return Py_BuildValue("(IIII)", h->sizes[0], h->sizes[1], h->sizes[2], h->sizes[3]);
}

/* A contiguous buffer of exactly `bytes` bytes. */
static bool raw_get(PyObject *object, bool writable, size_t bytes, const char *what, Py_buffer *out) {
    if (PyObject_GetBuffer(object, out, (writable ? PyBUF_WRITABLE : 0) | PyBUF_C_CONTIGUOUS) != 0) {
        return false;
    }
    if ((size_t)out->len != bytes) {
        PyErr_Format(PyExc_ValueError, "%s must have %zu bytes, not %zd", what, bytes, out->len);
        PyBuffer_Release(out);
        return false;
    }
    return true;
}

/* The arrays of a call, in order; all or none. sizes: bytes, and whether written. */
typedef struct raw_arg {
    size_t bytes;
    bool writable;
    const char *what;
} raw_arg;

static bool raws_get(PyObject *const *args, const raw_arg *wanted, size_t count, Py_buffer *out) {
    for (size_t i = 0; i < count; i++) {
        if (!raw_get(args[i], wanted[i].writable, wanted[i].bytes, wanted[i].what, &out[i])) {
            while (i-- > 0) {
                PyBuffer_Release(&out[i]);
            }
            return false;
        }
    }
    return true;
}

static void raws_release(Py_buffer *views, size_t count) {
    for (size_t i = 0; i < count; i++) {
        PyBuffer_Release(&views[i]);
    }
}

static PyObject *envs_observe(handle *self, PyObject *const *args, Py_ssize_t count) {
    Py_buffer out;
    const raw_arg wanted = {sizeof(float) * self->sizes[0] * self->sizes[1], true, "obs"};
    if (!takes(count, 1, "observe(obs)") || !raws_get(args, &wanted, 1, &out)) {
        return NULL;
    }
    wr_rl_envs_observe(self->object, out.buf);
    raws_release(&out, 1);
    Py_RETURN_NONE;
}

static PyObject *envs_step(handle *self, PyObject *const *args, Py_ssize_t count) {
    const size_t n = self->sizes[0];
    const raw_arg wanted[] = {{n * sizeof(int32_t), false, "actions"},
                              {n * self->sizes[1] * sizeof(float), true, "obs"},
                              {n * sizeof(float), true, "reward"},
                              {n, true, "terminated"},
                              {n, true, "truncated"}};
    Py_buffer views[5];
    if (!takes(count, 5, "step(actions, obs, reward, terminated, truncated)") ||
        !raws_get(args, wanted, 5, views)) {
        return NULL;
    }
    wr_error error = {0};
    wr_status status = wr_rl_envs_step(self->object, views[0].buf, views[1].buf, views[2].buf, views[3].buf,
                                       views[4].buf, &error);
    raws_release(views, 5);
    return finish(status, &error);
}

static PyObject *envs_step_random(handle *self, PyObject *const *args, Py_ssize_t count) {
    const size_t n = self->sizes[0];
    const raw_arg wanted[] = {{n * self->sizes[1] * sizeof(float), true, "obs"},
                              {n * sizeof(float), true, "reward"}};
    Py_buffer views[2];
    if (!takes(count, 3, "step_random(steps, obs, reward)")) {
        return NULL;
    }
    unsigned long steps = PyLong_AsUnsignedLong(args[0]);
    if (PyErr_Occurred() != NULL || !raws_get(args + 1, wanted, 2, views)) {
        return NULL;
    }
    uint64_t episodes = 0;
    bool entered = enter(self);
    if (entered) {
        Py_BEGIN_ALLOW_THREADS episodes =
            wr_rl_envs_step_random(self->object, (uint32_t)steps, views[0].buf, views[1].buf);
        Py_END_ALLOW_THREADS leave(self);
    }
    raws_release(views, 2);
    return entered ? PyLong_FromUnsignedLongLong(episodes) : NULL;
}

static PyObject *envs_state(handle *self, PyObject *const *args, Py_ssize_t count) {
    const size_t n = self->sizes[0];
    const raw_arg wanted[] = {{n * self->sizes[3] * sizeof(float), true, "state"},
                              {n * sizeof(uint32_t), true, "steps"}};
    Py_buffer views[2];
    if (!takes(count, 2, "state(state, steps)") || !raws_get(args, wanted, 2, views)) {
        return NULL;
    }
    wr_rl_envs_state_get(self->object, views[0].buf, views[1].buf);
    raws_release(views, 2);
    Py_RETURN_NONE;
}

static PyObject *envs_set_state(handle *self, PyObject *const *args, Py_ssize_t count) {
    const size_t n = self->sizes[0];
    const raw_arg wanted[] = {{n * self->sizes[3] * sizeof(float), false, "state"},
                              {n * sizeof(uint32_t), false, "steps"}};
    Py_buffer views[2];
    if (!takes(count, 2, "set_state(state, steps)") || !raws_get(args, wanted, 2, views)) {
        return NULL;
    }
    wr_error error = {0};
    wr_status status = wr_rl_envs_state_set(self->object, views[0].buf, views[1].buf, &error);
    raws_release(views, 2);
    return finish(status, &error);
}

/* ---- the types ---- */

#define FAST(function) ((PyCFunction)(void (*)(void))(method)(function))
static PyMethodDef runner_methods[] = {
    {"sample", FAST(runner_sample), METH_FASTCALL,
     "sample(weights, out)\n--\n\nPlays an iteration into out; returns the floats used."},
    {"restore", FAST(runner_restore), METH_FASTCALL,
     "restore(batch)\n--\n\nGoes on from the end of a batch."},
    {"state", FAST(runner_state), METH_FASTCALL, "state()\n--\n\nThe environments' state as bytes."},
    {"set_state", FAST(runner_set_state), METH_FASTCALL, "set_state(state)\n--\n\nThe reverse of state."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef runner_members[] = {
    {"batch_floats", runner_batch_floats, NULL, "Floats that a batch needs at most.", NULL},
    {"iteration", runner_iteration, NULL, "Iterations played.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyMethodDef learner_methods[] = {
    {"update", FAST(learner_update), METH_FASTCALL,
     "update(batches)\n--\n\nLearns from one iteration's batches; returns statistics in the order of STATS."},
    {"exercise", FAST(learner_exercise), METH_FASTCALL,
     "exercise(batches, rounds)\n--\n\nGradients without learning: (samples, floating-point operations of "
     "one)."},
    {"weights", FAST(learner_weights), METH_FASTCALL, "weights(out)\n--\n\nWrites the flat weights to out."},
    {"set_weights", FAST(learner_set_weights), METH_FASTCALL,
     "set_weights(weights)\n--\n\nThe reverse of weights."},
    {"set_rates", FAST(learner_set_rates), METH_FASTCALL,
     "set_rates(lr, entropy_coeff)\n--\n\nFor schedules."},
    {"state", FAST(learner_state), METH_FASTCALL, "state()\n--\n\nWeights, optimiser and counters as bytes."},
    {"set_state", FAST(learner_set_state), METH_FASTCALL, "set_state(state)\n--\n\nThe reverse of state."},
    {NULL, NULL, 0, NULL}};
static PyMethodDef policy_methods[] = {
    {"forward", FAST(policy_forward), METH_FASTCALL,
     "forward(obs, logits, values)\n--\n\nWrites logits [n, actions] and values [n] for obs [n, obs]."},
    {"play", FAST(policy_play), METH_FASTCALL,
     "play(seed, sample, returns, lengths)\n--\n\nPlays an episode for each float of returns."},
    {NULL, NULL, 0, NULL}};
static PyMethodDef loop_methods[] = {
    {"train", FAST(loop_train), METH_FASTCALL, "train()\n--\n\nOne iteration; returns statistics."},
    {"solve", FAST(loop_solve), METH_FASTCALL,
     "solve(target, env_steps_max)\n--\n\nTrains to a mean return: (solved, env_steps, statistics)."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef loop_members[] = {
    {"learner", loop_learner, NULL, "Its learner.", NULL},
    {"runner", loop_runner, NULL, "Its runner.", NULL},
    {"sample_seconds", loop_sample_seconds, NULL, "Seconds that the last iteration took to sample.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyMethodDef envs_methods[] = {
    {"observe", FAST(envs_observe), METH_FASTCALL, "observe(obs)\n--\n\nWrites the present observations."},
    {"step", FAST(envs_step), METH_FASTCALL,
     "step(actions, obs, reward, terminated, truncated)\n--\n\nSteps all; what ended starts anew."},
    {"step_random", FAST(envs_step_random), METH_FASTCALL,
     "step_random(steps, obs, reward)\n--\n\nSteps with actions drawn in C; returns episodes ended."},
    {"state", FAST(envs_state), METH_FASTCALL, "state(state, steps)\n--\n\nWrites state and steps taken."},
    {"set_state", FAST(envs_set_state), METH_FASTCALL,
     "set_state(state, steps)\n--\n\nThe reverse of state."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef envs_members[] = {
    {"shape", envs_shape, NULL, "(environments, floats of an observation, actions, floats of state).", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

#define SLOTS(name, make, methods, members, doc)                                                             \
    static PyType_Slot name[] = {{Py_tp_new, (void *)(make)}, {Py_tp_dealloc, (void *)handle_dealloc},       \
                                 {Py_tp_methods, methods},    {Py_tp_getset, members},                       \
                                 {Py_tp_doc, (void *)(doc)},  {0, NULL}};
static PyGetSetDef no_members[] = {{NULL, NULL, NULL, NULL, NULL}};
SLOTS(runner_slots, runner_new, runner_methods, runner_members,
      "Runner(config, env_first=0, env_count=0, threads=0, iteration=0)\n--\n\nPlays a part of the config's "
      "environments.")
SLOTS(learner_slots, learner_new, learner_methods, no_members,
      "Learner(config, threads=1)\n--\n\nLearns by PPO.")
SLOTS(policy_slots, policy_new, policy_methods, no_members,
      "Policy(config, weights)\n--\n\nFixed weights, to play with.")
SLOTS(loop_slots, loop_new, loop_methods, loop_members,
      "Loop(config, threads=1)\n--\n\nA runner and a learner in this process.")
SLOTS(envs_slots, envs_new, envs_methods, envs_members,
      "Envs(env, count, seed=0)\n--\n\nEnvironments, to step by hand.")

static const struct {
    const char *name;
    PyType_Spec spec;
} types[] = {
    {"Runner", {"whipray._rl.Runner", sizeof(handle), 0, Py_TPFLAGS_DEFAULT, runner_slots}},
    {"Learner", {"whipray._rl.Learner", sizeof(handle), 0, Py_TPFLAGS_DEFAULT, learner_slots}},
    {"Policy", {"whipray._rl.Policy", sizeof(handle), 0, Py_TPFLAGS_DEFAULT, policy_slots}},
    {"Loop", {"whipray._rl.Loop", sizeof(handle), 0, Py_TPFLAGS_DEFAULT, loop_slots}},
    {"Envs", {"whipray._rl.Envs", sizeof(handle), 0, Py_TPFLAGS_DEFAULT, envs_slots}},
};

int bridge_add_types(PyObject *module) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        PyType_Spec spec = types[i].spec;
        PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
        if (type == NULL || PyModule_AddObjectRef(module, types[i].name, type) != 0) {
            Py_XDECREF(type);
            return -1;
        }
        if (i < 2) { /* kept for the life of the process: Loop hands out objects of these types */
            *(i == 0 ? &lent_types.runner : &lent_types.learner) = (PyTypeObject *)type;
        } else {
            Py_DECREF(type);
        }
    }
    return 0;
}

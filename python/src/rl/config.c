#include "bridge.h"

#include <stddef.h>
#include <string.h>

typedef enum field_kind {
    FIELD_U32,
    FIELD_U64,
    FIELD_FLOAT,
    FIELD_BOOL,
    FIELD_TEXT,
    FIELD_HIDDEN,
    FIELD_ACTIVATION
} field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    size_t offset;
} field;

#define AT(kind, member) {#member, kind, offsetof(wr_rl_config, member)}
static const field fields[] = {
    AT(FIELD_TEXT, env),
    AT(FIELD_TEXT, kernels),
    AT(FIELD_U64, seed),
    AT(FIELD_U32, env_count),
    AT(FIELD_U32, fragment_steps),
    AT(FIELD_HIDDEN, hidden),
    AT(FIELD_ACTIVATION, activation),
    AT(FIELD_BOOL, value_shares_layers),
    AT(FIELD_FLOAT, gamma),
    AT(FIELD_FLOAT, lambda),
    AT(FIELD_FLOAT, value_unit),
    AT(FIELD_FLOAT, clip),
    AT(FIELD_FLOAT, value_clip),
    AT(FIELD_FLOAT, value_coeff),
    AT(FIELD_FLOAT, entropy_coeff),
    AT(FIELD_BOOL, use_kl),
    AT(FIELD_FLOAT, kl_coeff),
    AT(FIELD_FLOAT, kl_target),
    AT(FIELD_FLOAT, lr),
    AT(FIELD_FLOAT, grad_clip),
    AT(FIELD_FLOAT, adam_beta1),
    AT(FIELD_FLOAT, adam_beta2),
    AT(FIELD_FLOAT, adam_epsilon),
    AT(FIELD_U32, epochs),
    AT(FIELD_U32, minibatch),
    AT(FIELD_U32, gradient_slices),
    AT(FIELD_U32, episode_window),
};

/* A whole number in [0, max]; true numbers only. */
static bool whole(PyObject *value, const char *name, unsigned long long max, unsigned long long *out) {
    if (!PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, not %R", name, value);
        return false;
    }
    unsigned long long n = PyLong_AsUnsignedLongLong(value);
    if (PyErr_Occurred() != NULL || n > max) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "%s is %R: it must be from 0 to %llu", name, value, max);
        return false;
    }
    *out = n;
    return true;
}

static bool read_hidden(PyObject *value, wr_rl_config *out) {
    PyObject *list = PySequence_List(value);
    if (list == NULL) {
        return false;
    }
    Py_ssize_t count = PyList_Size(list);
    bool ok = count <= WR_RL_LAYERS_MAX;
    if (!ok) {
        PyErr_Format(PyExc_ValueError, "%zd hidden layers: the nearest allowed is %d", count,
                     WR_RL_LAYERS_MAX);
    }
    for (Py_ssize_t i = 0; ok && i < count; i++) {
        unsigned long long width = 0;
        ok = whole(PyList_GetItem(list, i), "a hidden layer's width", UINT32_MAX, &width);
        out->hidden[i] = (uint32_t)width;
    }
    out->layers = ok ? (uint32_t)count : 0;
    Py_DECREF(list);
    return ok;
}

static bool read_field(const field *f, PyObject *value, wr_rl_config *out) {
    char *at = (char *)out + f->offset;
    unsigned long long n = 0;
    switch (f->kind) {
    case FIELD_U32:
        if (!whole(value, f->name, UINT32_MAX, &n)) {
            return false;
        }
        *(uint32_t *)(void *)at = (uint32_t)n;
        return true;
    case FIELD_U64:
        if (!whole(value, f->name, UINT64_MAX, &n)) {
            return false;
        }
        *(uint64_t *)(void *)at = n;
        return true;
    case FIELD_FLOAT: {
        double v = PyFloat_AsDouble(value);
        if (PyErr_Occurred() != NULL) {
            PyErr_Clear();
            PyErr_Format(PyExc_TypeError, "%s must be a number, not %R", f->name, value);
            return false;
        }
        *(float *)(void *)at = (float)v;
        return true;
    }
    case FIELD_BOOL: {
        int v = PyObject_IsTrue(value);
        *(bool *)at = v == 1;
        return v >= 0;
    }
    case FIELD_TEXT:
    case FIELD_ACTIVATION: {
        Py_ssize_t length;
        const char *text = PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, &length) : NULL;
        if (text == NULL) {
            PyErr_Clear();
            PyErr_Format(PyExc_TypeError, "%s must be a str, not %R", f->name, value);
            return false;
        }
        if (f->kind == FIELD_TEXT) {
            *(const char **)(void *)at = text;
            return true;
        }
        wr_error error = {0};
        wr_status status = wr_rl_activation_parse(text, &out->activation, &error);
        if (status != WR_OK) {
            bridge_raise(status, &error);
        }
        return status == WR_OK;
    }
    case FIELD_HIDDEN:
        return read_hidden(value, out);
    }
    return false;
}

bool bridge_config(PyObject *dict, wr_rl_config *out) {
    if (!PyDict_Check(dict)) {
        PyErr_Format(PyExc_TypeError, "the config must be a dict, not %R", (PyObject *)Py_TYPE(dict));
        return false;
    }
    wr_rl_config_default(out);
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &key, &value)) {
        const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8AndSize(key, NULL) : NULL;
        const field *found = NULL;
        for (size_t i = 0; name != NULL && i < sizeof fields / sizeof fields[0]; i++) {
            found = strcmp(fields[i].name, name) == 0 ? &fields[i] : found;
        }
        if (found == NULL) {
            PyErr_Clear();
            PyErr_Format(PyExc_TypeError, "there is no config field %R", key);
            return false;
        }
        if (!read_field(found, value, out)) {
            return false;
        }
    }
    return true;
}

/* ---- statistics ---- */

#define STAT_DOUBLE(member) {#member, offsetof(wr_rl_update_stats, member), true}
#define STAT_COUNT(member) {#member, offsetof(wr_rl_update_stats, member), false}
static const struct {
    const char *name;
    size_t offset;
    bool is_double;
} stats_fields[] = {
    STAT_DOUBLE(policy_loss),
    STAT_DOUBLE(value_loss),
    STAT_DOUBLE(entropy),
    STAT_DOUBLE(kl),
    STAT_DOUBLE(total_loss),
    STAT_DOUBLE(clipped),
    STAT_DOUBLE(value_clipped),
    STAT_DOUBLE(value_explained),
    STAT_DOUBLE(grad_norm),
    STAT_DOUBLE(kl_coeff),
    STAT_DOUBLE(lr),
    STAT_DOUBLE(entropy_coeff),
    STAT_COUNT(samples_trained),
    STAT_COUNT(env_steps),
    STAT_COUNT(episodes),
    STAT_COUNT(window_episodes),
    STAT_DOUBLE(return_mean),
    STAT_DOUBLE(return_min),
    STAT_DOUBLE(return_max),
    STAT_DOUBLE(length_mean),
    STAT_DOUBLE(length_min),
    STAT_DOUBLE(length_max),
    STAT_DOUBLE(return_best),
};
enum { STATS = sizeof stats_fields / sizeof stats_fields[0] };

PyObject *bridge_stats(const wr_rl_update_stats *stats) {
    PyObject *tuple = PyTuple_New(STATS);
    for (Py_ssize_t i = 0; tuple != NULL && i < STATS; i++) {
        const char *at = (const char *)stats + stats_fields[i].offset;
        PyObject *value = stats_fields[i].is_double
                              ? PyFloat_FromDouble(*(const double *)(const void *)at)
                              : PyLong_FromUnsignedLongLong(*(const uint64_t *)(const void *)at);
        if (value == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SetItem(tuple, i, value);
        }
    }
    return tuple;
}

PyObject *bridge_stats_names(void) {
    PyObject *tuple = PyTuple_New(STATS);
    for (Py_ssize_t i = 0; tuple != NULL && i < STATS; i++) {
        PyObject *name = PyUnicode_FromString(stats_fields[i].name);
        if (name == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SetItem(tuple, i, name);
        }
    }
    return tuple;
}

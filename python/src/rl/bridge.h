/* python/src/rl/bridge.h: what the sources of whipray._rl share.
 *
 * This code converts types and nothing else. Arrays come and go as buffers of native float32; the GIL is
 * released while the library works. An object that is at work in one thread refuses the others.
 */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "whipray/rl.h"
#include "whipray/rl_env.h"

/* Raises the Python exception of a status; returns NULL. */
PyObject *bridge_raise(wr_status status, const wr_error *error);

/* Fills a config from a dict whose keys are the struct's members, with "hidden" a sequence and "activation" a
 * name. What is missing keeps its default; unknown keys raise TypeError. out->env borrows from `dict`. false:
 * raised. */
bool bridge_config(PyObject *dict, wr_rl_config *out);

/* A view of contiguous float32, writable if asked. false: raised TypeError or BufferError. */
typedef struct bridge_floats {
    Py_buffer view;
    float *data;
    size_t count;
} bridge_floats;
bool bridge_floats_get(PyObject *object, bool writable, const char *what, bridge_floats *out);
void bridge_floats_release(bridge_floats *floats);

/* Statistics as a tuple in the order of bridge_stats_names, a tuple of str. */
PyObject *bridge_stats(const wr_rl_update_stats *stats);
PyObject *bridge_stats_names(void);

/* Adds the types Runner, Learner, Policy, Loop and Envs. */
int bridge_add_types(PyObject *module);

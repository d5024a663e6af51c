/* What a call made that is no value yet: the items of a generator, as a stream or as returns; a coroutine. */
#include "core.h"

enum { YIELD_TICK_NS = 1000000000 }; /* the core's waits end by themselves every 100 ms */

int wr_py_task_yield(wr_py_task *t, PyObject *value, bool wait) {
    wr_py_sink *sink = wr_py_sink_take();
    if (sink == NULL) {
        return -1;
    }
    int result = wr_py_encode(sink, value);
    while (result == 0) {
        if (!wr_py_task_is_live(t)) {
            (void)wr_py_client();
            result = -1;
            break;
        }
        const wr_value stored = wr_py_sink_value(sink);
        wr_error error;
        error.status = WR_OK; /* the rest is filled only by a failure */
        wr_status status = wr_task_yield(wr_py.client, &t->task, WR_KIND_VALUE, &stored, &error);
        if (WR_LIKELY(status == WR_OK)) {
            break;
        }
        if (status == WR_E_CANCELLED) {
            result = 2;
        } else if (status == WR_E_INTERRUPTED && PyErr_Occurred()) { /* a signal's handler raised */
            result = -1;
        } else if (status != WR_E_AGAIN) {
            if (error.status == WR_OK) {
                error.status = status;
            }
            (void)wr_py_raise(&error);
            result = -1;
        } else if (!wait) {
            result = 1;
        } else {
            wr_py_look look;
            wr_py_look_begin(&look, wr_py.client);
            status = wr_task_yield_wait(look.client, &t->task, YIELD_TICK_NS);
            if (wr_py_look_end(&look) != 0 || PyErr_CheckSignals() != 0) {
                result = -1;
            } else if (status == WR_E_RAYLET_DIED) {
                (void)wr_py_raise_status(status, wr_status_text(status), "");
                result = -1;
            }
        }
    }
    wr_py_sink_give(sink);
    return result;
}

/* Drives a generator to its end: what the task returns then (None), or NULL with an exception. Consumes
 * `made`. */
PyObject *wr_py_task_drive(wr_py_task *t, PyObject *made) {
    PyObject *iterator = PyIter_Check(made) ? made : NULL;
    if (iterator == NULL) {
        PyErr_Format(PyExc_TypeError, "a streaming task must return a generator, not %R",
                     (PyObject *)Py_TYPE(made));
        Py_DECREF(made);
        return NULL;
    }
    int yielded = 0;
    PyObject *item;
    while (yielded == 0 && (item = PyIter_Next(iterator)) != NULL) {
        yielded = wr_py_task_yield(t, item, true);
        Py_DECREF(item);
    }
    if (yielded == 2) { /* close() runs the generator's finally */
        PyObject *closed =
            PyObject_HasAttrString(iterator, "close") ? PyObject_CallMethod(iterator, "close", NULL) : NULL;
        Py_XDECREF(closed);
        if (closed == NULL) {
            PyErr_Clear();
        }
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyTypeObject *type_named(const char *name) {
    PyObject *types = PyImport_ImportModule("types");
    PyObject *found = types != NULL ? PyObject_GetAttrString(types, name) : NULL;
    Py_XDECREF(types);
    PyErr_Clear();
    return (PyTypeObject *)found;
}

/* What an event loop has to drive. */
bool wr_py_is_async(PyObject *result) {
    static PyTypeObject *coroutine, *async_generator;
    if (WR_UNLIKELY(coroutine == NULL)) {
        coroutine = type_named("CoroutineType");
        async_generator = type_named("AsyncGeneratorType");
    }
    PyTypeObject *type = Py_TYPE(result);
    return type == coroutine || type == async_generator;
}

bool wr_py_is_generator(PyObject *result) {
    static PyTypeObject *generator;
    if (WR_UNLIKELY(generator == NULL)) {
        generator = type_named("GeneratorType");
    }
    return Py_TYPE(result) == generator;
}

/* What a generator stands for that is no stream: its first value, or the list of all. Consumes it. */
PyObject *wr_py_task_drained(const wr_py_task *t, PyObject *generator) {
    PyObject *out = t->head.num_returns == 1 ? PyIter_Next(generator) : PySequence_List(generator);
    if (out == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "the task's generator ended without a value, but num_returns is 1");
    }
    Py_DECREF(generator);
    return out;
}

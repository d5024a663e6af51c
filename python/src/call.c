/* Submitting, and what RemoteFunction and ActorMethod share. */
#include "core.h"

#include <string.h>

enum { REOPENS_MAX = 8 }; /* of one call: each is of another opening of its class */

/* ---- Submit ---- */

/* The one ref of a call -> what .remote returns. */
static PyObject *results_of(wr_ref handle, int32_t num_returns) {
    PyObject *first = wr_py_ref_new(handle, 0);
    if (WR_LIKELY(num_returns == 1) || first == NULL) {
        return first;
    }
    if (num_returns == WR_PY_RETURNS_STREAM) {
        PyObject *made = wr_py_hook_find(WR_PY_HOOK_generator_class) != NULL
                             ? wr_py_hook_call(WR_PY_HOOK_generator_class, first, NULL)
                             : PyObject_CallFunctionObjArgs((PyObject *)wr_py_generator_type, first, NULL);
        Py_DECREF(first);
        return made;
    }
    if (num_returns == 0) {
        Py_DECREF(first);
        Py_RETURN_NONE;
    }
    PyObject *list = PyList_New(num_returns);
    for (int32_t k = 0; list != NULL && k < num_returns; k++) {
        PyObject *ref = first;
        if (k > 0) {
            wr_addref(wr_py.client, handle);
            ref = wr_py_ref_new(handle, (uint32_t)k);
        } else {
            Py_INCREF(first);
        }
        if (ref == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SetItem(list, k, ref);
        }
    }
    Py_DECREF(first);
    return list;
}

/* The port is dead: as in Ray the call returns a ref whose get raises. */
static PyObject *dead_port(const wr_call *call, int32_t num_returns, const wr_error *error) {
    if (num_returns == WR_PY_RETURNS_STREAM || (call->flags & WR_CALL_PARKED) != 0) {
        return wr_py_raise(error);
    }
    (void)wr_py_raise(error);
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *payload = wr_py_hook_call(WR_PY_HOOK_pack_error, value, Py_None);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    wr_py_sink *sink = payload != NULL ? wr_py_sink_take() : NULL;
    PyObject *out = NULL;
    if (sink != NULL && wr_py_encode(sink, payload) == 0) {
        const wr_ref handle = wr_py_store(sink, WR_KIND_ERROR);
        out = handle != 0 ? results_of(handle, num_returns) : NULL;
    }
    wr_py_sink_give(sink);
    Py_XDECREF(payload);
    return out;
}

/* Other threads run while it waits for room in the store. INTERRUPTED: an exception is set. */
static wr_status submit_in_room(const wr_call *call, wr_ref *out, wr_error *error) {
    wr_status status;
    wr_py_room room = {0};
    do {
        wr_py_room_begin(&room);
        status = wr_submit(wr_py.client, call, out, error);
    } while (wr_py_room_again(&room, status));
    return status;
}

/* The raylet has given back the port of the class, which nobody used: opens it anew, and submits again. 0, or -1 with an
 * exception. */
static int submit_again(const wr_py_call_spec *spec, wr_call *call, wr_ref *out, wr_error *error,
                        wr_status *out_status) {
    wr_py_target to = spec->to;
    for (int tries = 0; tries < REOPENS_MAX && *out_status == WR_E_NOT_FOUND; tries++) {
        if (wr_py_function_rebind(spec->function, &to) != 0) {
            return -1;
        }
        call->port = to.port;
        call->ring = to.ring;
        call->generation = to.generation;
        *out_status = submit_in_room(call, out, error);
    }
    return 0;
}

static PyObject *submit_call(const wr_py_call_spec *spec, wr_call *call) {
    const int32_t num_returns = spec->num_returns;
    wr_ref handle = 0;
    wr_error error;
    error.status = WR_OK; /* the rest is filled only by a failure */
    wr_status status = submit_in_room(call, &handle, &error);
    if (WR_UNLIKELY(status == WR_E_NOT_FOUND && spec->function != NULL) &&
        submit_again(spec, call, &handle, &error, &status) != 0) {
        return NULL;
    }
    if (WR_UNLIKELY(status != WR_OK)) {
        if (status == WR_E_INTERRUPTED) {
            return NULL;
        }
        return error.status == WR_E_ACTOR_DIED ? dead_port(call, num_returns, &error) : wr_py_raise(&error);
    }
    if (wr_py.works &&
        (call->flags & WR_CALL_PARKED) == 0) { /* an actor outlives the cancel of who made it */
        wr_py_task_note_child(handle);
    }
    return results_of(handle, num_returns);
}

PyObject *wr_py_submit(const wr_py_call_spec *spec, PyObject *const *args, Py_ssize_t count,
                       PyObject *names) {
    PyObject *in_order[WR_PY_POSITIONAL_MAX];
    if (spec->sig != NULL) {
        Py_ssize_t positions;
        if (WR_UNLIKELY(wr_py_sig_check(spec->sig, args, count, names, in_order, &positions) != 0)) {
            return NULL;
        }
        if (positions >= 0) {
            args = in_order;
            count = positions;
            names = NULL;
        }
    }
    wr_call call = {
        .port = spec->to.port,
        .ring = spec->to.ring,
        .generation = spec->to.generation,
        .function = spec->to.function,
        .flags = spec->flags | (spec->num_returns == WR_PY_RETURNS_STREAM ? WR_CALL_STREAM : 0),
        .max_retries = spec->max_retries,
        .stream_window = spec->window,
    };
    const wr_py_call_head head = {.num_returns = spec->num_returns, .extra = spec->extra};
    if (count == 0 && names == NULL && head.num_returns == 1 && head.extra == NULL) {
        return submit_call(spec, &call);
    }
    wr_py_sink *sink = wr_py_sink_take();
    if (sink == NULL) {
        return NULL;
    }
    PyObject *out = NULL;
    if (WR_LIKELY(wr_py_encode_args(sink, &head, args, count, names, true) == 0)) {
        if (WR_UNLIKELY(wr_py.client == NULL)) { /* somebody's __reduce__ ended the session */
            (void)wr_py_client();
        } else {
            call.refs = sink->links;
            call.ref_count = sink->link_count;
            call.args = wr_py_sink_value(sink);
            out = submit_call(spec, &call);
        }
    }
    wr_py_sink_give(sink);
    return out;
}

PyObject *wr_py_submit_dict(const wr_py_call_spec *spec, PyObject *args, PyObject *kwargs) {
    const Py_ssize_t count = PyTuple_Size(args), named = kwargs != NULL ? PyDict_Size(kwargs) : 0;
    PyObject **values = PyMem_Malloc((size_t)(count + named + 1) * sizeof *values);
    PyObject *names = named > 0 ? PyTuple_New(named) : NULL;
    PyObject *out = NULL;
    if (values == NULL || (named > 0 && names == NULL)) {
        PyErr_NoMemory();
    } else {
        for (Py_ssize_t k = 0; k < count; k++) {
            values[k] = PyTuple_GetItem(args, k);
        }
        PyObject *key, *value;
        Py_ssize_t k = 0;
        for (Py_ssize_t at = 0; named > 0 && PyDict_Next(kwargs, &at, &key, &value); k++) {
            Py_INCREF(key);
            PyTuple_SetItem(names, k, key);
            Py_INCREF(value); /* the dict may change while an argument is pickled */
            values[count + k] = value;
        }
        bool good = true;
        for (Py_ssize_t n = 0; n < named; n++) {
            good = good && PyUnicode_Check(PyTuple_GetItem(names, n));
        }
        if (good) {
            out = wr_py_submit(spec, values, count, names);
        } else {
            PyErr_SetString(PyExc_TypeError, "keywords must be strings");
        }
        for (Py_ssize_t n = 0; n < named; n++) {
            Py_DECREF(values[count + n]);
        }
    }
    Py_XDECREF(names);
    PyMem_Free(values);
    return out;
}

int wr_py_call_parts_check(const char *what, PyObject *name, PyObject *sig, PyObject *extra) {
    if ((sig == Py_None || Py_TYPE(sig) == wr_py_sig_type) && (extra == Py_None || PyBytes_Check(extra))) {
        return 0;
    }
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError, "%s %R: sig is a Sig or None, extra is bytes or None", what, name);
    } else {
        PyErr_Format(PyExc_TypeError, "%s: sig is a Sig or None, extra is bytes or None", what);
    }
    return -1;
}

static PyObject *submit(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"function",    "args",        "kwargs", "sig",   "port", "ring",
                            "num_returns", "max_retries", "flags",  "extra", NULL};
    PyObject *positional, *named, *sig = Py_None, *extra = Py_None;
    wr_py_call_spec spec = {.num_returns = 1};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "IO!O!|$OIIiiIO", names, &spec.to.function, &PyTuple_Type,
                                     &positional, &PyDict_Type, &named, &sig, &spec.to.port, &spec.to.ring,
                                     &spec.num_returns, &spec.max_retries, &spec.flags, &extra)) {
        return NULL;
    }
    if (wr_py_call_parts_check("submit", NULL, sig, extra) != 0 || wr_py_client() == NULL) {
        return NULL;
    }
    spec.sig = sig != Py_None ? sig : NULL;
    spec.extra = extra != Py_None ? extra : NULL;
    return wr_py_submit_dict(&spec, positional, named);
}

/* ---- RemoteFunction and ActorMethod ---- */

int wr_py_callable_traverse(PyObject *self, visitproc visit, void *arg) {
    const wr_py_callable *c = (wr_py_callable *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(c->dict);
    Py_VISIT(c->sig);
    Py_VISIT(c->extra);
    return 0;
}

void wr_py_callable_clear(PyObject *self) {
    wr_py_callable *c = (wr_py_callable *)self;
    Py_CLEAR(c->dict);
    Py_CLEAR(c->sig);
    Py_CLEAR(c->extra);
}

PyObject *wr_py_callable_clone(PyObject *self) {
    const wr_py_callable *c = (wr_py_callable *)self;
    PyObject *dict = c->dict != NULL ? PyDict_Copy(c->dict) : NULL;
    if (c->dict != NULL && dict == NULL) {
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(Py_TYPE(self), Py_tp_alloc);
    wr_py_callable *copy = (wr_py_callable *)alloc(Py_TYPE(self), 0);
    if (copy == NULL) {
        Py_XDECREF(dict);
        return NULL;
    }
    copy->dict = dict;
    copy->sig = Py_XNewRef(c->sig);
    copy->extra = Py_XNewRef(c->extra);
    copy->num_returns = c->num_returns;
    copy->max_retries = c->max_retries;
    copy->flags = c->flags;
    copy->window = c->window;
    return (PyObject *)copy;
}

static inline wr_py_call_spec spec_of(const wr_py_callable *c, const wr_py_target *to) {
    return (wr_py_call_spec){
        .to = *to,
        .sig = c->sig,
        .extra = c->extra != NULL && PyBytes_Check(c->extra) ? c->extra : NULL,
        .num_returns = c->num_returns,
        .max_retries = c->max_retries,
        .flags = c->flags,
        .window = c->window,
        .function = (to->function & WR_METHOD) == 0 ? (PyObject *)c : NULL,
    };
}

PyObject *wr_py_callable_remote(const wr_py_callable *c, const wr_py_target *to, PyObject *const *args,
                                Py_ssize_t count, PyObject *names) {
    const wr_py_call_spec spec = spec_of(c, to);
    return wr_py_submit(&spec, args, count, names);
}

PyObject *wr_py_callable_submit(const wr_py_callable *c, const wr_py_target *to, PyObject *args) {
    PyObject *positional, *named;
    if (!PyArg_ParseTuple(args, "O!O!", &PyTuple_Type, &positional, &PyDict_Type, &named)) {
        return NULL;
    }
    const wr_py_call_spec spec = spec_of(c, to);
    return wr_py_submit_dict(&spec, positional, named);
}

PyObject *wr_py_call_refused(PyObject *self, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    PyObject *error = wr_py_hook_call(WR_PY_HOOK_call_refused, self, NULL);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyMethodDef functions[] = {
    {"submit", WR_PY_FUNCTION(submit), METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_call_add(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}

/* Submitting: RemoteFunction and submit(). */
#include "core.h"

#include <string.h>

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
        const wr_value stored = wr_py_sink_value(sink);
        wr_error failed = {0};
        wr_ref handle = 0;
        out = wr_put_kind(wr_py.client, WR_KIND_ERROR, &stored, &handle, &failed) == WR_OK
                  ? results_of(handle, num_returns)
                  : wr_py_raise(&failed);
    }
    wr_py_sink_give(sink);
    Py_XDECREF(payload);
    return out;
}

static PyObject *submit_call(const wr_call *call, int32_t num_returns) {
    wr_ref handle = 0;
    wr_error error;
    error.status = WR_OK; /* the rest is filled only by a failure */
    if (WR_UNLIKELY(wr_submit(wr_py.client, call, &handle, &error) != WR_OK)) {
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
        .port = spec->port,
        .ring = spec->ring,
        .function = spec->function,
        .flags = spec->flags | (spec->num_returns == WR_PY_RETURNS_STREAM ? WR_CALL_STREAM : 0),
        .max_retries = spec->max_retries,
        .stream_window = spec->window,
    };
    const wr_py_call_head head = {.num_returns = spec->num_returns, .extra = spec->extra};
    if (count == 0 && names == NULL && head.num_returns == 1 && head.extra == NULL) {
        return submit_call(&call, 1);
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
            out = submit_call(&call, spec->num_returns);
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

static PyObject *submit(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"function",    "args",        "kwargs", "sig",   "port", "ring",
                            "num_returns", "max_retries", "flags",  "extra", NULL};
    PyObject *positional, *named, *sig = Py_None, *extra = Py_None;
    wr_py_call_spec spec = {.num_returns = 1};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "IO!O!|$OIIiiIO", names, &spec.function, &PyTuple_Type,
                                     &positional, &PyDict_Type, &named, &sig, &spec.port, &spec.ring,
                                     &spec.num_returns, &spec.max_retries, &spec.flags, &extra)) {
        return NULL;
    }
    if ((sig != Py_None && Py_TYPE(sig) != wr_py_sig_type) || (extra != Py_None && !PyBytes_Check(extra))) {
        PyErr_SetString(PyExc_TypeError, "submit: sig is a Sig or None, extra is bytes or None");
        return NULL;
    }
    if (wr_py_client() == NULL) {
        return NULL;
    }
    spec.sig = sig != Py_None ? sig : NULL;
    spec.extra = extra != Py_None ? extra : NULL;
    return wr_py_submit_dict(&spec, positional, named);
}

/* ---- RemoteFunction ---- */

typedef struct remote_function {
    PyObject_HEAD PyObject *dict;
    PyObject *function, *options, *sig, *extra; /* sig: a Sig or None; extra: bytes or None */
    int num_returns, max_retries;
    unsigned int flags, window;
    uint32_t session; /* in which it is bound */
    uint32_t number, port, ring;
} remote_function;

static int function_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"function", "sig",    "options", "num_returns", "max_retries",
                            "flags",    "window", "extra",   NULL};
    PyObject *function, *sig, *options = Py_None, *extra = Py_None;
    int num_returns = 1, max_retries = 3;
    unsigned int flags = 0, window = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O$iiIIO", names, &function, &sig, &options,
                                     &num_returns, &max_retries, &flags, &window, &extra)) {
        return -1;
    }
    if ((sig != Py_None && Py_TYPE(sig) != wr_py_sig_type) || (extra != Py_None && !PyBytes_Check(extra))) {
        PyErr_SetString(PyExc_TypeError, "RemoteFunction: sig is a Sig or None, extra is bytes or None");
        return -1;
    }
    remote_function *f = (remote_function *)self;
    PyObject *old[] = {f->function, f->sig, f->options, f->extra};
    Py_INCREF(function);
    Py_INCREF(sig);
    Py_INCREF(options);
    Py_INCREF(extra);
    f->function = function;
    f->sig = sig;
    f->options = options;
    f->extra = extra;
    f->num_returns = num_returns;
    f->max_retries = max_retries;
    f->flags = flags;
    f->window = window;
    f->session = 0;
    for (size_t k = 0; k < sizeof old / sizeof *old; k++) {
        Py_XDECREF(old[k]);
    }
    return 0;
}

static int function_traverse(PyObject *self, visitproc visit, void *arg) {
    remote_function *f = (remote_function *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(f->dict);
    Py_VISIT(f->function);
    Py_VISIT(f->options);
    Py_VISIT(f->sig);
    Py_VISIT(f->extra);
    return 0;
}

static int function_clear(PyObject *self) {
    remote_function *f = (remote_function *)self;
    Py_CLEAR(f->dict);
    Py_CLEAR(f->function);
    Py_CLEAR(f->options);
    Py_CLEAR(f->sig);
    Py_CLEAR(f->extra);
    return 0;
}

static void function_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    function_clear(self);
    wr_py_free_object(self);
}

/* Bound in this session, by hook if it was not. 0, or -1 with an exception. */
static int function_ready(remote_function *f) {
    if (WR_LIKELY(f->session == wr_py.session && wr_py.client != NULL)) {
        return 0;
    }
    if (wr_py_client() == NULL) {
        return -1;
    }
    if (f->session != wr_py.session) {
        PyObject *done = wr_py_hook_call(WR_PY_HOOK_resolve_function, (PyObject *)f, NULL);
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
        if (f->session != wr_py.session || wr_py.client == NULL) {
            PyErr_SetString(PyExc_RuntimeError, "resolve_function did not bind the function");
            return -1;
        }
    }
    return 0;
}

static int function_spec(remote_function *f, wr_py_call_spec *out) {
    if (WR_UNLIKELY(f->sig == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "the RemoteFunction was not initialized");
        return -1;
    }
    if (function_ready(f) != 0) {
        return -1;
    }
    *out = (wr_py_call_spec){
        .function = f->number,
        .port = f->port,
        .ring = f->ring,
        .sig = f->sig != Py_None ? f->sig : NULL,
        .extra = f->extra != NULL && PyBytes_Check(f->extra) ? f->extra : NULL,
        .num_returns = f->num_returns,
        .max_retries = f->max_retries,
        .flags = f->flags,
        .window = f->window,
    };
    return 0;
}

static PyObject *function_remote(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    wr_py_call_spec spec;
    return WR_LIKELY(function_spec((remote_function *)self, &spec) == 0)
               ? wr_py_submit(&spec, args, count, names)
               : NULL;
}

static PyObject *function_submit(PyObject *self, PyObject *args) {
    PyObject *positional, *named;
    wr_py_call_spec spec;
    if (!PyArg_ParseTuple(args, "O!O!", &PyTuple_Type, &positional, &PyDict_Type, &named) ||
        function_spec((remote_function *)self, &spec) != 0) {
        return NULL;
    }
    return wr_py_submit_dict(&spec, positional, named);
}

static PyObject *function_bind(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"function", "port", "ring", NULL};
    remote_function *f = (remote_function *)self;
    unsigned int number, port, ring;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$III", names, &number, &port, &ring)) {
        return NULL;
    }
    f->number = number;
    f->port = port;
    f->ring = ring;
    f->session = wr_py.session;
    Py_RETURN_NONE;
}

static PyObject *function_unbind(PyObject *self, PyObject *ignored) {
    (void)ignored;
    ((remote_function *)self)->session = 0;
    Py_RETURN_NONE;
}

static PyObject *function_bound(PyObject *self, void *ignored) {
    (void)ignored;
    remote_function *f = (remote_function *)self;
    if (f->session != wr_py.session || wr_py.client == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(III)", f->number, f->port, f->ring);
}

static PyObject *function_clone(PyObject *self, PyObject *ignored) {
    (void)ignored;
    remote_function *f = (remote_function *)self;
    PyObject *dict = f->dict != NULL ? PyDict_Copy(f->dict) : NULL;
    if (f->dict != NULL && dict == NULL) {
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(Py_TYPE(self), Py_tp_alloc);
    remote_function *copy = (remote_function *)alloc(Py_TYPE(self), 0);
    if (copy == NULL) {
        Py_XDECREF(dict);
        return NULL;
    }
    copy->dict = dict;
    copy->function = Py_XNewRef(f->function);
    copy->options = Py_XNewRef(f->options);
    copy->sig = Py_XNewRef(f->sig);
    copy->extra = Py_XNewRef(f->extra);
    copy->num_returns = f->num_returns;
    copy->max_retries = f->max_retries;
    copy->flags = f->flags;
    copy->window = f->window;
    return (PyObject *)copy;
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

static PyMethodDef function_methods[] = {
    {"remote", WR_PY_FUNCTION(function_remote), WR_PY_FASTCALL, NULL},
    {"_submit", function_submit, METH_VARARGS, NULL},
    {"_bind", WR_PY_FUNCTION(function_bind), METH_VARARGS | METH_KEYWORDS, NULL},
    {"_unbind", function_unbind, METH_NOARGS, NULL},
    {"_clone", function_clone, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef function_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(remote_function, dict), READONLY, NULL},
    {"_function", T_OBJECT, offsetof(remote_function, function), 0, NULL},
    {"_options", T_OBJECT, offsetof(remote_function, options), 0, NULL},
    {"_sig", T_OBJECT, offsetof(remote_function, sig), READONLY, NULL},
    {"_extra", T_OBJECT, offsetof(remote_function, extra), 0, NULL},
    {"_num_returns", T_INT, offsetof(remote_function, num_returns), 0, NULL},
    {"_max_retries", T_INT, offsetof(remote_function, max_retries), 0, NULL},
    {"_flags", T_UINT, offsetof(remote_function, flags), 0, NULL},
    {"_window", T_UINT, offsetof(remote_function, window), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyGetSetDef function_getset[] = {
    {"_bound", function_bound, NULL, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot function_slots[] = {
    {Py_tp_new, PyType_GenericNew},    {Py_tp_init, function_init},
    {Py_tp_dealloc, function_dealloc}, {Py_tp_traverse, function_traverse},
    {Py_tp_clear, function_clear},     {Py_tp_call, wr_py_call_refused},
    {Py_tp_methods, function_methods}, {Py_tp_members, function_members},
    {Py_tp_getset, function_getset},   {0, NULL},
};
static PyType_Spec function_spec_type = {
    .name = "whipray._core.RemoteFunction",
    .basicsize = sizeof(remote_function),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = function_slots,
};

static PyMethodDef functions[] = {
    {"submit", WR_PY_FUNCTION(submit), METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_call_add(PyObject *module) {
    static PyTypeObject *type;
    return wr_py_add_type(module, "RemoteFunction", &function_spec_type, &type) != 0 ||
                   PyModule_AddFunctions(module, functions) != 0
               ? -1
               : 0;
}

/* RemoteFunction: a function with its options; in each session it is bound to a class's port at its first call. */
#include "core.h"

typedef struct remote_function {
    wr_py_callable head;
    PyObject *function, *options; /* function: NULL before __init__ */
    uint32_t session;             /* in which it is bound */
    wr_py_target to;
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
    if (wr_py_call_parts_check("RemoteFunction", NULL, sig, extra) != 0) {
        return -1;
    }
    remote_function *f = (remote_function *)self;
    PyObject *old[] = {f->function, f->options, f->head.sig, f->head.extra};
    f->function = Py_NewRef(function);
    f->options = Py_NewRef(options);
    f->head.sig = sig != Py_None ? Py_NewRef(sig) : NULL;
    f->head.extra = extra != Py_None ? Py_NewRef(extra) : NULL;
    f->head.num_returns = num_returns;
    f->head.max_retries = max_retries;
    f->head.flags = flags;
    f->head.window = window;
    f->session = 0;
    for (size_t k = 0; k < sizeof old / sizeof *old; k++) {
        Py_XDECREF(old[k]);
    }
    return 0;
}

static int function_traverse(PyObject *self, visitproc visit, void *arg) {
    remote_function *f = (remote_function *)self;
    Py_VISIT(f->function);
    Py_VISIT(f->options);
    return wr_py_callable_traverse(self, visit, arg);
}

static int function_clear(PyObject *self) {
    remote_function *f = (remote_function *)self;
    Py_CLEAR(f->function);
    Py_CLEAR(f->options);
    wr_py_callable_clear(self);
    return 0;
}

static void function_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    function_clear(self);
    wr_py_free_object(self);
}

/* Bound in this session, by hook if it was not. 0, or -1 with an exception. */
static int function_ready(remote_function *f) {
    if (WR_UNLIKELY(f->function == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "the RemoteFunction was not initialized");
        return -1;
    }
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

int wr_py_function_rebind(PyObject *function, wr_py_target *to) {
    remote_function *f = (remote_function *)function;
    if (f->session == wr_py.session && f->to.port == to->port && f->to.generation == to->generation) {
        PyObject *closed = Py_BuildValue("(III)", to->port, to->ring, to->generation);
        f->session = 0;
        PyObject *done =
            closed != NULL ? wr_py_hook_call(WR_PY_HOOK_resolve_function, function, closed) : NULL;
        Py_XDECREF(closed);
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    } /* else another thread was faster */
    if (function_ready(f) != 0) {
        return -1;
    }
    *to = f->to;
    return 0;
}

static PyObject *function_remote(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    remote_function *f = (remote_function *)self;
    return WR_LIKELY(function_ready(f) == 0) ? wr_py_callable_remote(&f->head, &f->to, args, count, names)
                                             : NULL;
}

static PyObject *function_submit(PyObject *self, PyObject *args) {
    remote_function *f = (remote_function *)self;
    return function_ready(f) == 0 ? wr_py_callable_submit(&f->head, &f->to, args) : NULL;
}

static PyObject *function_bind(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"function", "port", "ring", "generation", NULL};
    remote_function *f = (remote_function *)self;
    wr_py_target to = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$IIII", names, &to.function, &to.port, &to.ring,
                                     &to.generation)) {
        return NULL;
    }
    f->to = to;
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
    return Py_BuildValue("(III)", f->to.function, f->to.port, f->to.ring);
}

static PyObject *function_clone(PyObject *self, PyObject *ignored) {
    (void)ignored;
    remote_function *f = (remote_function *)self;
    remote_function *copy = (remote_function *)wr_py_callable_clone(self);
    if (copy != NULL) {
        copy->function = Py_XNewRef(f->function);
        copy->options = Py_XNewRef(f->options);
    }
    return (PyObject *)copy;
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
    WR_PY_CALLABLE_MEMBERS,
    {"_function", T_OBJECT, offsetof(remote_function, function), 0, NULL},
    {"_options", T_OBJECT, offsetof(remote_function, options), 0, NULL},
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
static PyType_Spec function_type_spec = {
    .name = "whipray._core.RemoteFunction",
    .basicsize = sizeof(remote_function),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = function_slots,
};

int wr_py_function_add(PyObject *module) {
    static PyTypeObject *type;
    return wr_py_add_type(module, "RemoteFunction", &function_type_spec, &type);
}

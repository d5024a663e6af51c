/* Actors: core (the handle's life), handle, method. A method holds the core and never the handle: no cycle.
 */
#include "core.h"

static PyTypeObject *core_type, *handle_type, *method_type;

/* ---- ActorCore ---- */

typedef struct actor_core {
    PyObject_HEAD PyObject *ref; /* ObjectRef of the actor's handle object, or NULL: a weak handle */
    PyObject *extra;
    wr_ref handle;
    uint32_t session; /* in which port, ring and generation are bound */
    uint32_t port, ring, generation;
} actor_core;

static PyObject *core_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"handle", "ref", "extra", NULL};
    unsigned long long handle;
    PyObject *ref, *extra = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "KO|O", names, &handle, &ref, &extra)) {
        return NULL;
    }
    if (ref != Py_None && !wr_py_is_ref(ref)) {
        PyErr_Format(PyExc_TypeError, "ActorCore: ref is an ObjectRef or None, not %R", ref);
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    actor_core *core = (actor_core *)alloc(type, 0);
    if (core != NULL) {
        core->handle = handle;
        Py_INCREF(extra);
        core->extra = extra;
        if (ref != Py_None) {
            Py_INCREF(ref);
            core->ref = ref;
        }
    }
    return (PyObject *)core;
}

static int core_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((actor_core *)self)->extra);
    return 0;
}

static int core_clear(PyObject *self) {
    Py_CLEAR(((actor_core *)self)->extra);
    return 0;
}

static void core_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    core_clear(self);
    Py_CLEAR(((actor_core *)self)->ref);
    wr_py_free_object(self);
}

static PyObject *core_bind(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"port", "ring", "generation", NULL};
    unsigned int port, ring, generation;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$III", names, &port, &ring, &generation)) {
        return NULL;
    }
    actor_core *core = (actor_core *)self;
    core->port = port;
    core->ring = ring;
    core->generation = generation;
    core->session = wr_py.session;
    Py_RETURN_NONE;
}

static PyObject *core_unbind(PyObject *self, PyObject *ignored) {
    (void)ignored;
    ((actor_core *)self)->session = 0;
    Py_RETURN_NONE;
}

static PyObject *core_bound(PyObject *self, void *ignored) {
    (void)ignored;
    actor_core *core = (actor_core *)self;
    if (core->session != wr_py.session || wr_py.client == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(II)", core->port, core->ring);
}

static PyObject *core_handle(PyObject *self, void *ignored) {
    (void)ignored;
    return PyLong_FromUnsignedLongLong(((actor_core *)self)->handle);
}

/* Bound in this session, by hook if it was not. */
static int core_ready(actor_core *core) {
    if (WR_LIKELY(core->session == wr_py.session && wr_py.client != NULL)) {
        return 0;
    }
    if (wr_py_client() == NULL) {
        return -1;
    }
    if (core->ref != NULL && wr_py_ref_look(core->ref) == 0) {
        PyErr_Clear();
        (void)wr_py_raise_status(WR_E_STATE, "the actor handle is from a session that has ended", "");
        return -1;
    }
    PyObject *done = wr_py_hook_call(WR_PY_HOOK_resolve_actor, (PyObject *)core, NULL);
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    if (core->session != wr_py.session || wr_py.client == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "resolve_actor did not bind the actor");
        return -1;
    }
    return 0;
}

static PyMethodDef core_methods[] = {
    {"bind", WR_PY_FUNCTION(core_bind), METH_VARARGS | METH_KEYWORDS, NULL},
    {"unbind", core_unbind, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef core_members[] = {
    {"ref", T_OBJECT, offsetof(actor_core, ref), READONLY, NULL},
    {"extra", T_OBJECT, offsetof(actor_core, extra), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyGetSetDef core_getset[] = {
    {"handle", core_handle, NULL, NULL, NULL},
    {"bound", core_bound, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot core_slots[] = {
    {Py_tp_new, core_new},           {Py_tp_dealloc, core_dealloc},
    {Py_tp_traverse, core_traverse}, {Py_tp_clear, core_clear},
    {Py_tp_methods, core_methods},   {Py_tp_members, core_members},
    {Py_tp_getset, core_getset},     {0, NULL},
};
static PyType_Spec core_spec = {
    .name = "whipray._core.ActorCore",
    .basicsize = sizeof(actor_core),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = core_slots,
};

/* ---- ActorMethod ---- */

typedef struct actor_method {
    wr_py_callable head;
    PyObject *core, *name;
    uint32_t index;
} actor_method;

static int method_traverse(PyObject *self, visitproc visit, void *arg) {
    actor_method *m = (actor_method *)self;
    Py_VISIT(m->core);
    return wr_py_callable_traverse(self, visit, arg);
}

static int method_clear(PyObject *self) {
    actor_method *m = (actor_method *)self;
    Py_CLEAR(m->core);
    wr_py_callable_clear(self);
    return 0;
}

static void method_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    method_clear(self);
    Py_CLEAR(((actor_method *)self)->name);
    wr_py_free_object(self);
}

static int method_target(const actor_method *m, wr_py_target *out) {
    if (WR_UNLIKELY(m->core == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "an ActorMethod is made by its handle");
        return -1;
    }
    actor_core *core = (actor_core *)m->core;
    if (core_ready(core) != 0) {
        return -1;
    }
    *out = (wr_py_target){.function = WR_METHOD | m->index,
                          .port = core->port,
                          .ring = core->ring,
                          .generation = core->generation};
    return 0;
}

static PyObject *method_remote(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    actor_method *m = (actor_method *)self;
    wr_py_target to;
    return WR_LIKELY(method_target(m, &to) == 0) ? wr_py_callable_remote(&m->head, &to, args, count, names)
                                                 : NULL;
}

static PyObject *method_submit(PyObject *self, PyObject *args) {
    actor_method *m = (actor_method *)self;
    wr_py_target to;
    return method_target(m, &to) == 0 ? wr_py_callable_submit(&m->head, &to, args) : NULL;
}

static PyObject *method_options(PyObject *self, PyObject *args, PyObject *kwargs) {
    if (PyTuple_Size(args) != 0) {
        PyErr_SetString(PyExc_TypeError, "options() takes keywords only");
        return NULL;
    }
    PyObject *options = kwargs != NULL ? PyDict_Copy(kwargs) : PyDict_New();
    PyObject *made = options != NULL ? wr_py_hook_call(WR_PY_HOOK_method_options, self, options) : NULL;
    Py_XDECREF(options);
    return made;
}

static PyObject *method_clone(PyObject *self, PyObject *ignored) {
    (void)ignored;
    actor_method *m = (actor_method *)self;
    actor_method *copy = (actor_method *)wr_py_callable_clone(self);
    if (copy != NULL) {
        copy->core = Py_XNewRef(m->core);
        copy->name = Py_XNewRef(m->name);
        copy->index = m->index;
    }
    return (PyObject *)copy;
}

static PyMethodDef method_methods[] = {
    {"remote", WR_PY_FUNCTION(method_remote), WR_PY_FASTCALL, NULL},
    {"options", WR_PY_FUNCTION(method_options), METH_VARARGS | METH_KEYWORDS, NULL},
    {"_clone", method_clone, METH_NOARGS, NULL},
    {"_submit", method_submit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef method_members[] = {
    WR_PY_CALLABLE_MEMBERS,
    {"_core", T_OBJECT, offsetof(actor_method, core), READONLY, NULL},
    {"_name", T_OBJECT, offsetof(actor_method, name), READONLY, NULL},
    {"_index", T_UINT, offsetof(actor_method, index), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyGetSetDef dict_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot method_slots[] = {
    {Py_tp_new, PyType_GenericNew},  {Py_tp_dealloc, method_dealloc},  {Py_tp_traverse, method_traverse},
    {Py_tp_clear, method_clear},     {Py_tp_call, wr_py_call_refused}, {Py_tp_methods, method_methods},
    {Py_tp_members, method_members}, {Py_tp_getset, dict_getset},      {0, NULL},
};
static PyType_Spec method_type_spec = {
    .name = "whipray._core.ActorMethod",
    .basicsize = sizeof(actor_method),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = method_slots,
};

/* ---- ActorHandle ---- */

typedef struct actor_handle {
    PyObject_HEAD PyObject *dict; /* methods that were used, among others */
    PyObject *core, *methods;
} actor_handle;

static int handle_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"core", "methods", NULL};
    PyObject *core, *methods;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!", names, core_type, &core, &PyDict_Type, &methods)) {
        return -1;
    }
    actor_handle *handle = (actor_handle *)self;
    PyObject *old_core = handle->core, *old_methods = handle->methods;
    Py_INCREF(core);
    Py_INCREF(methods);
    handle->core = core;
    handle->methods = methods;
    Py_XDECREF(old_core);
    Py_XDECREF(old_methods);
    return 0;
}

static int handle_traverse(PyObject *self, visitproc visit, void *arg) {
    actor_handle *handle = (actor_handle *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(handle->dict);
    Py_VISIT(handle->core);
    Py_VISIT(handle->methods);
    return 0;
}

static int handle_clear(PyObject *self) {
    actor_handle *handle = (actor_handle *)self;
    Py_CLEAR(handle->dict);
    Py_CLEAR(handle->core);
    Py_CLEAR(handle->methods);
    return 0;
}

static void handle_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    handle_clear(self);
    wr_py_free_object(self);
}

/* entry: (index, Sig or None[, num_returns, max_retries, flags, extra]) */
static PyObject *make_method(actor_handle *handle, PyObject *name, PyObject *entry) {
    unsigned int index, flags = 0;
    int num_returns = 1, max_retries = 0;
    PyObject *sig = Py_None, *extra = Py_None;
    if (!PyTuple_Check(entry)) {
        PyErr_Format(PyExc_TypeError, "method %R: not a tuple", name);
        return NULL;
    }
    if (!PyArg_ParseTuple(entry, "I|OiiIO", &index, &sig, &num_returns, &max_retries, &flags, &extra)) {
        return NULL;
    }
    if (wr_py_call_parts_check("method", name, sig, extra) != 0) {
        return NULL;
    }
    PyObject *class = wr_py_hook_find(WR_PY_HOOK_method_class);
    if (class == NULL) {
        class = (PyObject *)method_type;
    }
    PyObject *made = PyObject_CallNoArgs(class);
    if (made == NULL || !PyObject_TypeCheck(made, method_type)) {
        Py_XDECREF(made);
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "method_class is no subclass of ActorMethod");
        }
        return NULL;
    }
    actor_method *m = (actor_method *)made;
    m->core = Py_XNewRef(handle->core);
    m->name = Py_XNewRef(name);
    m->index = index;
    m->head.sig = sig != Py_None ? Py_XNewRef(sig) : NULL;
    m->head.extra = extra != Py_None ? Py_XNewRef(extra) : NULL;
    m->head.num_returns = num_returns;
    m->head.max_retries = max_retries;
    m->head.flags = flags;
    return made;
}

/* Attributes come first; a method that was used is one. */
static PyObject *handle_getattr(PyObject *self, PyObject *name) {
    PyObject *found = PyObject_GenericGetAttr(self, name);
    if (WR_LIKELY(found != NULL) || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return found;
    }
    actor_handle *handle = (actor_handle *)self;
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyObject *entry = handle->methods != NULL ? PyDict_GetItemWithError(handle->methods, name) : NULL;
    if (entry == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_Restore(type, error, traceback);
            return NULL;
        }
    } else {
        Py_INCREF(entry);
        found = make_method(handle, name, entry);
        Py_DECREF(entry);
        if (found != NULL && PyObject_GenericSetAttr(self, name, found) != 0) {
            Py_CLEAR(found);
        }
    }
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    return found;
}

static PyMemberDef handle_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(actor_handle, dict), READONLY, NULL},
    {"_core", T_OBJECT, offsetof(actor_handle, core), READONLY, NULL},
    {"_methods", T_OBJECT, offsetof(actor_handle, methods), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyType_Slot handle_slots[] = {
    {Py_tp_new, PyType_GenericNew},    {Py_tp_init, handle_init},   {Py_tp_dealloc, handle_dealloc},
    {Py_tp_traverse, handle_traverse}, {Py_tp_clear, handle_clear}, {Py_tp_getattro, handle_getattr},
    {Py_tp_members, handle_members},   {Py_tp_getset, dict_getset}, {0, NULL},
};
static PyType_Spec handle_spec = {
    .name = "whipray._core.ActorHandle",
    .basicsize = sizeof(actor_handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = handle_slots,
};

int wr_py_actor_add(PyObject *module) {
    return wr_py_add_type(module, "ActorCore", &core_spec, &core_type) != 0 ||
                   wr_py_add_type(module, "ActorMethod", &method_type_spec, &method_type) != 0 ||
                   wr_py_add_type(module, "ActorHandle", &handle_spec, &handle_type) != 0
               ? -1
               : 0;
}

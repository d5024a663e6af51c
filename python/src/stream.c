/* ObjectRefGenerator: the consumer's side of a streaming call. */
#include "core.h"

PyTypeObject *wr_py_generator_type;

enum { TICK_NS = 1000000000 }; /* the core's waits end by themselves every 100 ms */

typedef struct generator {
    PyObject_HEAD PyObject *dict;
    PyObject *ref;     /* of the generator's own object: sealed at the end */
    wr_stream *stream; /* NULL: closed, or of a session that has ended */
    wr_stream *orphan; /* closed while threads wait on it: the last of them closes it */
    uint32_t session, waiters;
    bool ended;                         /* all was handed out */
    struct generator *next, **previous; /* all open ones: their streams end with the session */
} generator;

static generator *open_generators;

static void unlink_open(generator *g) {
    if (g->previous != NULL) {
        *g->previous = g->next;
        if (g->next != NULL) {
            g->next->previous = g->previous;
        }
        g->previous = NULL;
        g->next = NULL;
    }
}

static void stream_shut(generator *g) {
    wr_stream *stream = g->stream;
    g->stream = NULL;
    unlink_open(g);
    if (stream == NULL || g->session != wr_py.session) {
        return; /* a forked child leaves its parent's stream alone */
    }
    if (g->waiters > 0) {
        g->orphan = stream;
    } else {
        wr_stream_close(stream);
    }
}

void wr_py_generators_shut(void) {
    while (open_generators != NULL) {
        stream_shut(open_generators);
    }
}

static int generator_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"ref", NULL};
    generator *g = (generator *)self;
    PyObject *ref;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!", names, wr_py_ref_type, &ref)) {
        return -1;
    }
    if (g->ref != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a generator is initialized once");
        return -1;
    }
    const wr_ref handle = wr_py_ref_use(ref);
    if (handle == 0) {
        return -1;
    }
    wr_error error = {0};
    if (wr_stream_open(wr_py.client, handle, &g->stream, &error) != WR_OK) {
        (void)wr_py_raise(&error);
        return -1;
    }
    g->session = wr_py.session;
    g->next = open_generators;
    g->previous = &open_generators;
    if (open_generators != NULL) {
        open_generators->previous = &g->next;
    }
    open_generators = g;
    Py_INCREF(ref);
    g->ref = ref;
    wr_py_ticker_start(); /* its producer goes on while this program does something else */
    return 0;
}

static int generator_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((generator *)self)->dict);
    return 0;
}

static int generator_clear(PyObject *self) {
    Py_CLEAR(((generator *)self)->dict);
    return 0;
}

static void generator_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    generator_clear(self);
    stream_shut((generator *)self);
    Py_CLEAR(((generator *)self)->ref);
    wr_py_free_object(self);
}

static bool stop(void) {
    PyErr_SetNone(PyExc_StopIteration);
    return false;
}

/* What can be had without waiting: a ref in *out; NULL there: nothing yet. false with an exception
 * (StopIteration: the end). */
static bool step(generator *g, PyObject **out) {
    *out = NULL;
    if (g->ended) {
        return stop();
    }
    if (g->stream == NULL || g->session != wr_py.session) {
        if (g->ref != NULL && wr_py_ref_look(g->ref) == 0) {
            return false;
        }
        return stop(); /* closed */
    }
    wr_ref item = 0;
    uint64_t index = 0;
    const wr_status status = wr_stream_next(g->stream, &item, &index);
    if (WR_LIKELY(status == WR_OK)) {
        *out = wr_py_ref_new(item, 0);
        return *out != NULL;
    }
    if (status == WR_E_AGAIN) {
        return true;
    }
    if (status == WR_E_NOT_FOUND) {
        g->ended = true;
        stream_shut(g);
        const wr_kind kind = wr_peek(wr_py.client, wr_py_ref_look(g->ref));
        if (kind == WR_KIND_ERROR || kind == WR_KIND_SYSTEM_ERROR) { /* the failure is one more item */
            Py_INCREF(g->ref);
            *out = g->ref;
            return true;
        }
        return stop();
    }
    (void)wr_py_raise_status(status, wr_status_text(status), "");
    return false;
}

/* Waits until step has something: 0, or 1 at the deadline, or -1 with an exception. */
static int wait_for(generator *g, uint64_t timeout_ns) {
    const uint64_t begin = wr_py_now_ns();
    const bool inside = wr_py_task_current() != NULL;
    const uint32_t session = wr_py.session;
    int result = 0;
    bool blocked = false;
    for (;;) {
        const uint64_t passed = wr_py_now_ns() - begin;
        if (passed >= timeout_ns) {
            result = 1;
            break;
        }
        wr_py_look look;
        wr_stream *stream = g->stream;
        g->waiters++;
        wr_py_look_begin(&look, wr_py.client);
        /* Inside a task the first look spins only: what sleeps is blocked, and says so. */
        const wr_status status = wr_stream_wait(stream, inside && !blocked              ? 1
                                                        : timeout_ns - passed < TICK_NS ? timeout_ns - passed
                                                                                        : TICK_NS);
        const int ended = wr_py_look_end(&look);
        if (--g->waiters == 0 && g->orphan != NULL) { /* the client stays until all who looked are back */
            wr_stream_close(g->orphan);
            g->orphan = NULL;
        }
        if (ended != 0) {
            return -1;
        }
        if (status == WR_OK) {
            break;
        }
        if (status != WR_E_TIMEOUT && status != WR_E_INTERRUPTED) {
            (void)wr_py_raise_status(status, wr_status_text(status), "");
            result = -1;
            break;
        }
        if (PyErr_CheckSignals() != 0) {
            result = -1;
            break;
        }
        if (g->stream == NULL || wr_py.session != session) { /* a signal's handler closed it */
            break;
        }
        if (inside && !blocked) {
            wr_blocked_begin(wr_py.client);
            blocked = true;
        }
    }
    if (blocked && wr_py.session == session) {
        wr_blocked_end(wr_py.client);
    }
    return result;
}

static PyObject *next_within(generator *g, uint64_t timeout_ns) {
    for (;;) {
        PyObject *ref;
        if (!step(g, &ref)) {
            return NULL;
        }
        if (ref != NULL) {
            return ref;
        }
        const int waited = wait_for(g, timeout_ns);
        if (waited < 0) {
            return NULL;
        }
        if (waited > 0) {
            return PyObject_CallMethod((PyObject *)wr_py_ref_type, "nil", NULL);
        }
    }
}

static PyObject *generator_next(PyObject *self) {
    return next_within((generator *)self, UINT64_MAX);
}

static PyObject *generator_next_sync(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"timeout_s", NULL};
    PyObject *timeout = Py_None;
    uint64_t timeout_ns;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &timeout) ||
        wr_py_timeout("next", timeout, true, &timeout_ns) != 0) {
        return NULL;
    }
    return next_within((generator *)self, timeout_ns);
}

static PyObject *generator_try_next(PyObject *self, PyObject *ignored) {
    (void)ignored;
    PyObject *ref;
    if (!step((generator *)self, &ref)) {
        return NULL;
    }
    if (ref == NULL) {
        Py_RETURN_NONE;
    }
    return ref;
}

int wr_py_generator_pending(PyObject *self) {
    generator *g = (generator *)self;
    if (g->ended || g->stream == NULL) {
        return 0;
    }
    if (g->session != wr_py.session) {
        return wr_py_ref_look(g->ref) == 0 ? -1 : 0;
    }
    return wr_stream_wait(g->stream, 0) != WR_OK;
}

static PyObject *generator_next_ready(PyObject *self, PyObject *ignored) {
    (void)ignored;
    if (((generator *)self)->ended) { /* next() does not block, but there is no next */
        Py_RETURN_FALSE;
    }
    const int pending = wr_py_generator_pending(self);
    return pending < 0 ? NULL : PyBool_FromLong(pending == 0);
}

static PyObject *generator_is_finished(PyObject *self, PyObject *ignored) {
    (void)ignored;
    return PyBool_FromLong(((generator *)self)->ended);
}

static PyObject *generator_completed(PyObject *self, PyObject *ignored) {
    (void)ignored;
    generator *g = (generator *)self;
    if (g->ref == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the generator was not initialized");
        return NULL;
    }
    Py_INCREF(g->ref);
    return g->ref;
}

static PyObject *generator_close(PyObject *self, PyObject *ignored) {
    (void)ignored;
    stream_shut((generator *)self);
    Py_RETURN_NONE;
}

static PyObject *generator_iter(PyObject *self) {
    Py_INCREF(self);
    return self;
}

static PyMethodDef generator_methods[] = {
    {"_next_sync", WR_PY_FUNCTION(generator_next_sync), METH_VARARGS | METH_KEYWORDS, NULL},
    {"_try_next", generator_try_next, METH_NOARGS, NULL},
    {"next_ready", generator_next_ready, METH_NOARGS, NULL},
    {"is_finished", generator_is_finished, METH_NOARGS, NULL},
    {"completed", generator_completed, METH_NOARGS, NULL},
    {"_close", generator_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef generator_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(generator, dict), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyGetSetDef generator_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot generator_slots[] = {
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, generator_init},
    {Py_tp_dealloc, generator_dealloc},
    {Py_tp_traverse, generator_traverse},
    {Py_tp_clear, generator_clear},
    {Py_tp_iter, generator_iter},
    {Py_tp_iternext, generator_next},
    {Py_tp_methods, generator_methods},
    {Py_tp_members, generator_members},
    {Py_tp_getset, generator_getset},
    {0, NULL},
};
static PyType_Spec generator_spec = {
    .name = "whipray._core.ObjectRefGenerator",
    .basicsize = sizeof(generator),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = generator_slots,
};

int wr_py_stream_add(PyObject *module) {
    return wr_py_add_type(module, "ObjectRefGenerator", &generator_spec, &wr_py_generator_type);
}

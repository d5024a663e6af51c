/* put, and values that are encoded before they are stored. */
#include "core.h"

wr_ref wr_py_store(wr_py_sink *sink, wr_kind kind) {
    if (WR_UNLIKELY(wr_py.client == NULL)) { /* ended while the value was pickled */
        (void)wr_py_client();
        return 0;
    }
    const wr_value value = wr_py_sink_value(sink);
    wr_ref handle = 0;
    wr_error error;
    error.status = WR_OK; /* the rest is filled only by a failure */
    wr_status status;
    wr_py_room room = {0};
    do {
        wr_py_room_begin(&room);
        status = wr_put_kind(wr_py.client, kind, &value, &handle, &error);
    } while (wr_py_room_again(&room, status));
    if (WR_UNLIKELY(status != WR_OK)) {
        if (status != WR_E_INTERRUPTED) {
            (void)wr_py_raise(&error);
        }
        return 0;
    }
    return handle;
}

static PyObject *store(wr_py_sink *sink, wr_kind kind) {
    const wr_ref handle = wr_py_store(sink, kind);
    return handle != 0 ? wr_py_ref_new(handle, 0) : NULL;
}

static PyObject *put_kind(PyObject *value, wr_kind kind) {
    if (wr_py_client() == NULL) {
        return NULL;
    }
    wr_py_sink *sink = wr_py_sink_take();
    if (sink == NULL) {
        return NULL;
    }
    PyObject *ref = WR_LIKELY(wr_py_encode(sink, value) == 0) ? store(sink, kind) : NULL;
    wr_py_sink_give(sink);
    return ref;
}

static PyObject *put(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    (void)module;
    PyObject *value = count == 1 ? args[0] : NULL;
    if (WR_UNLIKELY(names != NULL)) {
        Py_ssize_t found = 0;
        PyObject *owner = wr_py_keyword(args, count, names, "_owner", &found);
        PyObject *transport = wr_py_keyword(args, count, names, "_tensor_transport", &found);
        if (count == 0) {
            value = wr_py_keyword(args, count, names, "value", &found);
        }
        if (wr_py_no_others("put", names, found) != 0) {
            return NULL;
        }
        if (owner != NULL && owner != Py_None) {
            PyErr_SetString(PyExc_ValueError, "put: _owner does not exist any more");
            return NULL;
        }
        if (transport != NULL && transport != Py_None) {
            PyErr_SetString(PyExc_NotImplementedError, "put: _tensor_transport is not built yet");
            return NULL;
        }
    }
    if (value == NULL) {
        PyErr_Format(PyExc_TypeError, "put takes one positional argument, the value (%zd given)", count);
        return NULL;
    }
    if (wr_py_is_ref(value)) {
        PyErr_SetString(
            PyExc_TypeError,
            "put: the value is an ObjectRef already; put it inside of a list to store the reference");
        return NULL;
    }
    return put_kind(value, WR_KIND_VALUE);
}

static PyObject *put_error(PyObject *module, PyObject *payload) {
    (void)module;
    return put_kind(payload, WR_KIND_ERROR);
}

/* ---- Encoded: a value between encoding and storing ---- */

typedef struct encoded {
    PyObject_HEAD wr_py_sink *sink;
} encoded;
static PyTypeObject *encoded_type;

static PyObject *encode(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"value", "by_value", NULL};
    PyObject *value;
    int by_value = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$p", names, &value, &by_value)) {
        return NULL;
    }
    wr_py_sink *sink = wr_py_sink_take();
    if (sink == NULL) {
        return NULL;
    }
    sink->refuse_refs = wr_py.client == NULL;
    encoded *made = NULL;
    if ((by_value ? wr_py_encode_by_value(sink, value) : wr_py_encode(sink, value)) == 0) {
        made = PyObject_New(encoded, encoded_type);
    }
    if (made == NULL) {
        wr_py_sink_give(sink);
        return NULL;
    }
    made->sink = sink;
    return (PyObject *)made;
}

static void encoded_dealloc(PyObject *self) {
    wr_py_sink_give(((encoded *)self)->sink);
    wr_py_free_object(self);
}

static PyObject *encoded_stream(PyObject *self, void *ignored) {
    (void)ignored;
    const wr_py_sink *sink = ((encoded *)self)->sink;
    return PyBytes_FromStringAndSize((const char *)sink->bytes, (Py_ssize_t)sink->used);
}

static PyObject *encoded_nbytes(PyObject *self, void *ignored) {
    (void)ignored;
    const wr_py_sink *sink = ((encoded *)self)->sink;
    uint64_t bytes = sink->used;
    for (uint32_t k = 0; k < sink->buffer_count; k++) {
        bytes += sink->buffers[k].bytes;
    }
    return PyLong_FromUnsignedLongLong(bytes);
}

static PyObject *encoded_put(PyObject *self, PyObject *ignored) {
    (void)ignored;
    return wr_py_client() != NULL ? store(((encoded *)self)->sink, WR_KIND_VALUE) : NULL;
}

static PyMethodDef encoded_methods[] = {
    {"put", encoded_put, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef encoded_getset[] = {
    {"stream", encoded_stream, NULL, NULL, NULL},
    {"nbytes", encoded_nbytes, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot encoded_slots[] = {
    {Py_tp_dealloc, encoded_dealloc},
    {Py_tp_methods, encoded_methods},
    {Py_tp_getset, encoded_getset},
    {0, NULL},
};
static PyType_Spec encoded_spec = {
    .name = "whipray._core.Encoded",
    .basicsize = sizeof(encoded),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = encoded_slots,
};

static PyMethodDef functions[] = {
    {"put", WR_PY_FUNCTION(put), WR_PY_FASTCALL, NULL},
    {"put_error", put_error, METH_O, NULL},
    {"encode", WR_PY_FUNCTION(encode), METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_put_add(PyObject *module) {
    return wr_py_add_type(module, "Encoded", &encoded_spec, &encoded_type) != 0 ||
                   PyModule_AddFunctions(module, functions) != 0
               ? -1
               : 0;
}

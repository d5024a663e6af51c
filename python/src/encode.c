/* Values and arguments -> bytes (codec.h). */
#include "codec.h"
#include "core.h"

#include <string.h>

typedef enum fast {
    FAST_DONE = 0,
    FAST_PICKLE = 1,
    FAST_ERROR = -1
} fast; /* PICKLE: the whole value must be pickled */

/* ---- Small writes ---- */

static inline fast put1(wr_py_sink *sink, uint8_t tag) {
    uint8_t *p = wr_py_sink_room(sink, 1);
    if (p == NULL) {
        return FAST_ERROR;
    }
    p[0] = tag;
    return FAST_DONE;
}

/* A tag and a count: one byte where it fits, else four behind the next tag. */
static inline fast put_count(wr_py_sink *sink, uint8_t tag, size_t count) {
    if (WR_LIKELY(count < 256)) {
        uint8_t *p = wr_py_sink_room(sink, 2);
        if (p == NULL) {
            return FAST_ERROR;
        }
        p[0] = tag;
        p[1] = (uint8_t)count;
        return FAST_DONE;
    }
    if (count > UINT32_MAX) {
        return FAST_PICKLE;
    }
    uint8_t *p = wr_py_sink_room(sink, 5);
    if (p == NULL) {
        return FAST_ERROR;
    }
    const uint32_t wide = (uint32_t)count;
    p[0] = (uint8_t)(tag + 1);
    memcpy(p + 1, &wide, 4);
    return FAST_DONE;
}

static inline fast put_fixed(wr_py_sink *sink, uint8_t tag, const void *value, size_t bytes) {
    uint8_t *p = wr_py_sink_room(sink, 1 + bytes);
    if (p == NULL) {
        return FAST_ERROR;
    }
    p[0] = tag;
    memcpy(p + 1, value, bytes);
    return FAST_DONE;
}

/* ---- Exact types ---- */

static fast encode_int(wr_py_sink *sink, PyObject *value) {
    int overflow;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow != 0) {
        return FAST_PICKLE;
    }
    if (number >= INT8_MIN && number <= INT8_MAX) {
        const int8_t small = (int8_t)number;
        return put_fixed(sink, WR_PY_INT8, &small, 1);
    }
    if (number >= INT32_MIN && number <= INT32_MAX) {
        const int32_t middle = (int32_t)number;
        return put_fixed(sink, WR_PY_INT32, &middle, 4);
    }
    return put_fixed(sink, WR_PY_INT64, &number, 8);
}

static fast encode_str(wr_py_sink *sink, PyObject *value) {
    Py_ssize_t bytes;
    const char *text = PyUnicode_AsUTF8AndSize(value, &bytes);
    if (text == NULL) {
        PyErr_Clear(); /* surrogates */
        return FAST_PICKLE;
    }
    fast done = put_count(sink, WR_PY_STR8, (size_t)bytes);
    if (done == FAST_DONE) {
        uint8_t *p = wr_py_sink_room(sink, (size_t)bytes);
        if (p == NULL) {
            return FAST_ERROR;
        }
        memcpy(p, text, (size_t)bytes);
    }
    return done;
}

static fast encode_bytes(wr_py_sink *sink, PyObject *value) {
    const Py_ssize_t bytes = PyBytes_Size(value);
    const char *data = PyBytes_AsString(value);
    if (bytes < 256) {
        fast done = put_count(sink, WR_PY_BYTES8, (size_t)bytes);
        uint8_t *p = done == FAST_DONE ? wr_py_sink_room(sink, (size_t)bytes) : NULL;
        if (p == NULL) {
            return FAST_ERROR;
        }
        memcpy(p, data, (size_t)bytes);
        return FAST_DONE;
    }
    Py_INCREF(value);
    const int64_t index = wr_py_sink_add_buffer(sink, value, NULL, data, (uint64_t)bytes);
    if (index < 0) {
        Py_DECREF(value);
        return FAST_ERROR;
    }
    const uint32_t buffer = (uint32_t)index - sink->buffer_base;
    return put_fixed(sink, WR_PY_BYTES_BUFFER, &buffer, 4);
}

static fast encode_ref(wr_py_sink *sink, PyObject *ref) {
    const int64_t position = wr_py_sink_add_ref(sink, ref);
    if (position < 0) {
        return FAST_ERROR;
    }
    const uint32_t at = (uint32_t)position - sink->ref_base;
    const uint32_t index = ((wr_py_ref *)ref)->index;
    uint8_t *p = wr_py_sink_room(sink, 9);
    if (p == NULL) {
        return FAST_ERROR;
    }
    p[0] = WR_PY_REF;
    memcpy(p + 1, &at, 4);
    memcpy(p + 5, &index, 4);
    return FAST_DONE;
}

/* numpy.ndarray once the program has imported numpy: an array cannot be there before. */
static PyTypeObject *array_type;

static bool is_array(PyObject *value) {
    if (WR_UNLIKELY(array_type == NULL)) {
        PyObject *modules = PySys_GetObject("modules");
        PyObject *numpy = modules != NULL ? PyDict_GetItemString(modules, "numpy") : NULL;
        if (numpy == NULL) {
            return false;
        }
        array_type = (PyTypeObject *)PyObject_GetAttrString(numpy, "ndarray");
        if (array_type == NULL) {
            PyErr_Clear(); /* half imported */
            return false;
        }
    }
    return Py_TYPE(value) == array_type;
}

/* C order and a plain dtype; anything else is pickle's. */
static fast encode_array(wr_py_sink *sink, PyObject *array) {
    Py_buffer view;
    if (PyObject_GetBuffer(array, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) {
        PyErr_Clear();
        return FAST_PICKLE;
    }
    const char *format = view.format;
    if (format == NULL || format[0] == 0 || format[1] != 0 || strchr(WR_PY_DTYPES, format[0]) == NULL ||
        view.ndim > WR_PY_DIMENSIONS_MAX) {
        PyBuffer_Release(&view);
        return FAST_PICKLE;
    }
    const size_t shape_bytes = 8 * (size_t)view.ndim;
    uint8_t *p = wr_py_sink_room(sink, 7 + shape_bytes);
    const int64_t index =
        p != NULL ? wr_py_sink_add_buffer(sink, NULL, &view, view.buf, (uint64_t)view.len) : -1;
    if (index < 0) {
        PyBuffer_Release(&view);
        return FAST_ERROR;
    }
    const uint32_t buffer = (uint32_t)index - sink->buffer_base;
    p[0] = WR_PY_ARRAY;
    p[1] = (uint8_t)format[0];
    p[2] = (uint8_t)view.ndim;
    memcpy(p + 3, &buffer, 4);
    if (shape_bytes > 0) {
        memcpy(p + 7, view.shape, shape_bytes);
    }
    return FAST_DONE;
}

/* ---- Containers ---- */

static fast encode_fast(wr_py_sink *sink, PyObject *value, int depth, bool shared);

/* A mutable value inside a container travels fast only if nothing else refers to it: else two places may mean
 * one object. */
static inline bool only_here(PyObject *value, int depth, bool shared) {
    return depth == 0 || (!shared && Py_REFCNT(value) == 1);
}

static fast encode_tuple(wr_py_sink *sink, PyObject *tuple, int depth, bool shared) {
    const Py_ssize_t count = PyTuple_Size(tuple);
    shared = shared ||
             (depth > 0 && Py_REFCNT(tuple) != 1); /* a tuple in two places: nothing mutable may lie in it */
    fast done = put_count(sink, WR_PY_TUPLE8, (size_t)count);
    for (Py_ssize_t k = 0; done == FAST_DONE && k < count; k++) {
        done = encode_fast(sink, PyTuple_GetItem(tuple, k), depth + 1, shared);
    }
    return done;
}

static fast encode_list(wr_py_sink *sink, PyObject *list, int depth) {
    const Py_ssize_t count = PyList_Size(list);
    fast done = put_count(sink, WR_PY_LIST8, (size_t)count);
    for (Py_ssize_t k = 0; done == FAST_DONE && k < count; k++) {
        done = encode_fast(sink, PyList_GetItem(list, k), depth + 1, false);
    }
    return done;
}

static fast encode_dict(wr_py_sink *sink, PyObject *dict, int depth) {
    Py_ssize_t at = 0;
    PyObject *key, *value;
    fast done = put_count(sink, WR_PY_DICT8, (size_t)PyDict_Size(dict));
    while (done == FAST_DONE && PyDict_Next(dict, &at, &key, &value)) {
        done = encode_fast(sink, key, depth + 1, false);
        if (done == FAST_DONE) {
            done = encode_fast(sink, value, depth + 1, false);
        }
    }
    return done;
}

/* Runs no Python code: what it walks over cannot change meanwhile. */
static fast encode_fast(wr_py_sink *sink, PyObject *value, int depth, bool shared) {
    PyTypeObject *type = Py_TYPE(value);
    if (value == Py_None) {
        return put1(sink, WR_PY_NONE);
    }
    if (type == &PyLong_Type) {
        return encode_int(sink, value);
    }
    if (type == &PyUnicode_Type) {
        return encode_str(sink, value);
    }
    if (type == &PyFloat_Type) {
        const double number = PyFloat_AsDouble(value);
        return put_fixed(sink, WR_PY_FLOAT, &number, 8);
    }
    if (type == &PyBool_Type) {
        return put1(sink, value == Py_True ? WR_PY_TRUE : WR_PY_FALSE);
    }
    if (type == &PyBytes_Type) {
        return encode_bytes(sink, value);
    }
    if (type == wr_py_ref_type) {
        return encode_ref(sink, value);
    }
    if (type == &PyTuple_Type) {
        return depth < WR_PY_FAST_DEPTH_MAX ? encode_tuple(sink, value, depth, shared) : FAST_PICKLE;
    }
    if (type == &PyList_Type) {
        return depth < WR_PY_FAST_DEPTH_MAX && only_here(value, depth, shared)
                   ? encode_list(sink, value, depth)
                   : FAST_PICKLE;
    }
    if (type == &PyDict_Type) {
        return depth < WR_PY_FAST_DEPTH_MAX && only_here(value, depth, shared)
                   ? encode_dict(sink, value, depth)
                   : FAST_PICKLE;
    }
    if (is_array(value) && only_here(value, depth, shared)) {
        return encode_array(sink, value);
    }
    return FAST_PICKLE;
}

/* One item: fast, or pickled as a whole. */
static int encode_item(wr_py_sink *sink, PyObject *value) {
    const wr_py_mark mark = wr_py_sink_mark(sink);
    sink->ref_base = mark.refs;
    sink->buffer_base = mark.buffers;
    const fast done = encode_fast(sink, value, 0, false);
    if (WR_LIKELY(done == FAST_DONE)) {
        return 0;
    }
    if (done == FAST_ERROR) {
        return -1;
    }
    wr_py_sink_rewind(sink, mark);
    return wr_py_sink_pickle(sink, value, false);
}

int wr_py_encode(wr_py_sink *sink, PyObject *value) {
    if (value == Py_None) {
        return 0;
    }
    uint8_t *p = wr_py_sink_room(sink, 1);
    if (p == NULL) {
        return -1;
    }
    *p = WR_PY_VALUE_1;
    return encode_item(sink, value);
}

int wr_py_encode_by_value(wr_py_sink *sink, PyObject *value) {
    uint8_t *p = wr_py_sink_room(sink, 1);
    if (p == NULL) {
        return -1;
    }
    *p = WR_PY_VALUE_1;
    return wr_py_sink_pickle(sink, value, true);
}

/* ---- Arguments ---- */

static int encode_link(wr_py_sink *sink, PyObject *ref, bool owned) {
    const wr_ref handle = wr_py_ref_use(ref);
    const uint32_t index = ((wr_py_ref *)ref)->index;
    if (handle == 0 && owned) {
        Py_DECREF(ref);
    }
    const int64_t at = handle != 0 ? wr_py_sink_add_link(sink, handle, owned ? ref : NULL) : -1;
    if (at < 0) {
        return -1;
    }
    if (WR_LIKELY(index == 0 && at < 256)) {
        uint8_t *p = wr_py_sink_room(sink, 2);
        if (p == NULL) {
            return -1;
        }
        p[0] = WR_PY_LINK;
        p[1] = (uint8_t)at;
        return 0;
    }
    uint8_t *p = wr_py_sink_room(sink, 9);
    if (p == NULL) {
        return -1;
    }
    const uint32_t link = (uint32_t)at;
    p[0] = WR_PY_LINK_INDEX;
    memcpy(p + 1, &link, 4);
    memcpy(p + 5, &index, 4);
    return 0;
}

/* The item that was written since `mark` becomes an object of its own, and a reference argument takes its
 * place. */
static int put_argument(wr_py_sink *sink, wr_py_mark mark) {
    if (wr_py.client == NULL) {
        (void)wr_py_client();
        return -1;
    }
    uint8_t *stream = sink->bytes + mark.used -
                      1; /* the byte before it, of the arguments' head, makes room for the value's */
    const uint8_t before = *stream;
    *stream = WR_PY_VALUE_1;
    const wr_value value = {
        .stream = stream,
        .stream_bytes = sink->used - mark.used + 1,
        .refs = sink->refs + mark.refs,
        .ref_count = sink->ref_count - mark.refs,
        .buffers = sink->buffers + mark.buffers,
        .buffer_count = sink->buffer_count - mark.buffers,
    };
    wr_error error = {0};
    wr_ref handle = 0;
    wr_status status;
    wr_py_room room = {0};
    do {
        wr_py_room_begin(&room);
        status = wr_put(wr_py.client, &value, &handle, &error);
    } while (wr_py_room_again(&room, status));
    *stream = before;
    if (status != WR_OK) {
        if (status != WR_E_INTERRUPTED) {
            (void)wr_py_raise(&error);
        }
        return -1;
    }
    PyObject *ref = wr_py_ref_new(handle, 0);
    if (ref == NULL) {
        return -1;
    }
    wr_py_sink_rewind(sink, mark);
    return encode_link(sink, ref, true);
}

static inline int encode_argument(wr_py_sink *sink, PyObject *value, bool references) {
    if (WR_UNLIKELY(references && wr_py_is_ref(value))) {
        return encode_link(sink, value, false);
    }
    const wr_py_mark mark = wr_py_sink_mark(sink);
    if (WR_UNLIKELY(encode_item(sink, value) != 0)) {
        return -1;
    }
    if (WR_LIKELY(sink->buffer_count == mark.buffers) || !references || Py_TYPE(value) == &PyBytes_Type) {
        return 0; /* bytes are copied out in any case */
    }
    uint64_t bytes = 0;
    for (uint32_t k = mark.buffers; k < sink->buffer_count; k++) {
        bytes += sink->buffers[k].bytes;
    }
    return bytes < WR_PY_PUT_MIN ? 0 : put_argument(sink, mark);
}

static int encode_args_head(wr_py_sink *sink, const wr_py_call_head *head, Py_ssize_t count,
                            Py_ssize_t named) {
    const bool wide = count > UINT8_MAX || named > UINT8_MAX;
    if (count > INT32_MAX || named > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many arguments");
        return -1;
    }
    const Py_ssize_t extra_bytes = head->extra != NULL ? PyBytes_Size(head->extra) : 0;
    uint8_t *p =
        wr_py_sink_room(sink, (size_t)1 + (head->num_returns != 1 ? 4u : 0u) +
                                  (head->extra != NULL ? 4 + (size_t)extra_bytes : 0) + (wide ? 8u : 2u));
    if (p == NULL) {
        return -1;
    }
    *p++ = (uint8_t)(WR_PY_ARGS_1 | (head->num_returns != 1 ? WR_PY_ARGS_RETURNS : 0) |
                     (head->extra != NULL ? WR_PY_ARGS_EXTRA : 0) | (wide ? WR_PY_ARGS_WIDE : 0));
    if (head->num_returns != 1) {
        memcpy(p, &head->num_returns, 4);
        p += 4;
    }
    if (head->extra != NULL) {
        const uint32_t bytes = (uint32_t)extra_bytes;
        memcpy(p, &bytes, 4);
        memcpy(p + 4, PyBytes_AsString(head->extra), bytes);
        p += 4 + bytes;
    }
    if (wide) {
        const uint32_t counts[2] = {(uint32_t)count, (uint32_t)named};
        memcpy(p, counts, 8);
    } else {
        p[0] = (uint8_t)count;
        p[1] = (uint8_t)named;
    }
    return 0;
}

int wr_py_encode_args(wr_py_sink *sink, const wr_py_call_head *head, PyObject *const *args, Py_ssize_t count,
                      PyObject *names, bool references) {
    const Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0;
    if (count == 0 && named == 0 && head->num_returns == 1 && head->extra == NULL) {
        return 0;
    }
    if (encode_args_head(sink, head, count, named) != 0) {
        return -1;
    }
    for (Py_ssize_t k = 0; k < count; k++) {
        if (encode_argument(sink, args[k], references) != 0) {
            return -1;
        }
    }
    for (Py_ssize_t k = 0; k < named; k++) {
        if (encode_item(sink, PyTuple_GetItem(names, k)) != 0 ||
            encode_argument(sink, args[count + k], references) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- For tests: (stream, [buffers]) ---- */

static PyObject *sink_parts(wr_py_sink *sink) {
    PyObject *buffers = PyList_New(0);
    for (uint32_t k = 0; buffers != NULL && k < sink->buffer_count; k++) {
        PyObject *bytes =
            PyBytes_FromStringAndSize(sink->buffers[k].data, (Py_ssize_t)sink->buffers[k].bytes);
        if (bytes == NULL || PyList_Append(buffers, bytes) != 0) {
            Py_CLEAR(buffers);
        }
        Py_XDECREF(bytes);
    }
    PyObject *out = buffers != NULL
                        ? Py_BuildValue("(y#N)", (const char *)sink->bytes, (Py_ssize_t)sink->used, buffers)
                        : NULL;
    return out;
}

static PyObject *encode(PyObject *module, PyObject *value) {
    (void)module;
    wr_py_sink *sink = wr_py_sink_take();
    if (sink == NULL) {
        return NULL;
    }
    sink->refuse_refs = wr_py.client == NULL;
    PyObject *out = wr_py_encode(sink, value) == 0 ? sink_parts(sink) : NULL;
    wr_py_sink_give(sink);
    return out;
}

static PyObject *encode_args(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *positional, *named;
    if (!PyArg_ParseTuple(args, "O!O!", &PyTuple_Type, &positional, &PyDict_Type, &named)) {
        return NULL;
    }
    const Py_ssize_t count = PyTuple_Size(positional), keywords = PyDict_Size(named);
    PyObject *names = PyTuple_New(keywords);
    PyObject **values = PyMem_Malloc((size_t)(count + keywords + 1) * sizeof *values);
    wr_py_sink *sink = wr_py_sink_take();
    PyObject *out = NULL;
    if (names == NULL || values == NULL || sink == NULL) {
        PyErr_NoMemory();
    } else {
        sink->refuse_refs = wr_py.client == NULL;
        for (Py_ssize_t k = 0; k < count; k++) {
            values[k] = PyTuple_GetItem(positional, k);
        }
        PyObject *key, *value;
        for (Py_ssize_t at = 0, k = 0; PyDict_Next(named, &at, &key, &value); k++) {
            Py_INCREF(key);
            PyTuple_SetItem(names, k, key);
            values[count + k] = value;
        }
        const wr_py_call_head head = {.num_returns = 1};
        if (wr_py_encode_args(sink, &head, values, count, keywords > 0 ? names : NULL, false) == 0) {
            out = sink_parts(sink);
        }
    }
    wr_py_sink_give(sink);
    PyMem_Free(values);
    Py_XDECREF(names);
    return out;
}

static PyMethodDef functions[] = {
    {"_encode", encode, METH_O, NULL},
    {"_encode_args", encode_args, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_encode_add(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}

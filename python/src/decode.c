/* Bytes (codec.h) -> values and arguments. Nothing that is read is trusted. */
#include "codec.h"
#include "core.h"

#include <string.h>

static _Thread_local wr_py_decoder *unpickling; /* innermost one of this thread, for _ref_at */

static PyObject *corrupt(void) {
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "corrupt value");
    }
    return NULL;
}

static inline bool has(const wr_py_decoder *d, uint64_t bytes) {
    return (uint64_t)(d->end - d->at) >= bytes;
}

static inline bool take8(wr_py_decoder *d, uint32_t *out) {
    if (WR_UNLIKELY(!has(d, 1))) {
        return false;
    }
    *out = *d->at++;
    return true;
}

static inline bool take(wr_py_decoder *d, void *out, size_t bytes) {
    if (WR_UNLIKELY(!has(d, bytes))) {
        return false;
    }
    memcpy(out, d->at, bytes);
    d->at += bytes;
    return true;
}

static inline bool take32(wr_py_decoder *d, uint32_t *out) {
    return take(d, out, 4);
}

/* ---- Buffers and refs ---- */

/* Number of the item's own buffer or ref -> of the whole's; the next item's begin behind those that are used.
 */
static bool rebase(uint32_t base, uint32_t *used, uint32_t *number) {
    const uint32_t own = *number;
    if (own == UINT32_MAX || __builtin_add_overflow(base, own, number)) {
        return false;
    }
    if (own >= *used) {
        *used = own + 1;
    }
    return true;
}

static bool find_buffer(wr_py_decoder *d, uint32_t index, const uint8_t **out, uint64_t *out_bytes) {
    if (!rebase(d->buffer_base, &d->buffers_used, &index)) {
        return false;
    }
    if (d->view != NULL) {
        return wr_view_buffer(d->view, index, out, out_bytes);
    }
    if (index >= d->test_buffer_count) {
        return false;
    }
    *out = d->test_buffers[index].data;
    *out_bytes = d->test_buffers[index].bytes;
    return true;
}

/* A Python object that shows a buffer and keeps it in place. */
static PyObject *show_buffer(wr_py_decoder *d, const uint8_t *data, uint64_t bytes) {
    if (d->copy) {
        return PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)bytes);
    }
    return d->view != NULL ? wr_py_buffer_new(d->holder, data, bytes, d->loans)
                           : wr_py_buffer_over(d->test_owner, data, bytes);
}

static PyObject *make_ref(wr_py_decoder *d, uint32_t position, uint32_t index) {
    if (d->view == NULL || !rebase(d->ref_base, &d->refs_used, &position) || position >= d->view->ref_count) {
        return corrupt();
    }
    wr_ref handle;
    memcpy(&handle, d->view->refs + position, sizeof handle);
    if (!wr_ref_valid(wr_py.client, handle)) {
        return corrupt();
    }
    return wr_py_ref_of(handle, index, d->loans);
}

PyObject *wr_py_ref_at(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_ref_at needs two numbers");
        return NULL;
    }
    const unsigned long position = PyLong_AsUnsignedLong(args[0]);
    const unsigned long index = PyErr_Occurred() ? 0 : PyLong_AsUnsignedLong(args[1]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (unpickling == NULL) {
        PyErr_SetString(PyExc_ValueError, "an ObjectRef inside a value's pickle can only be read by get");
        return NULL;
    }
    if (position > UINT32_MAX || index > UINT32_MAX) {
        return corrupt();
    }
    return make_ref(unpickling, (uint32_t)position, (uint32_t)index);
}

static PyObject *decode_link(wr_py_decoder *d, bool wide) {
    uint32_t link = 0, index = 0;
    if (wide ? !(take32(d, &link) && take32(d, &index)) : !take8(d, &link)) {
        return corrupt();
    }
    if (link >= d->link_count) {
        return corrupt();
    }
    bool pending = false;
    PyObject *value = wr_py_value(d->links[link], index, NULL, d->loans, &pending);
    if (pending) {
        PyErr_SetString(PyExc_RuntimeError, "a task was taken before its argument was there");
    }
    return value;
}

/* ---- Arrays ---- */

static PyObject *array_class;
static PyObject *dtypes[128]; /* by struct character */

/* numpy.dtype of a struct character; imports numpy when the first array arrives. */
static PyObject *dtype_of(uint8_t character) {
    if (character >= sizeof dtypes / sizeof *dtypes || strchr(WR_PY_DTYPES, character) == NULL ||
        character == 0) {
        return corrupt();
    }
    if (WR_UNLIKELY(array_class == NULL || dtypes[character] == NULL)) {
        const char name[2] = {(char)character, 0};
        PyObject *numpy = PyImport_ImportModule("numpy");
        if (numpy != NULL && array_class == NULL) {
            array_class = PyObject_GetAttrString(numpy, "ndarray");
        }
        if (numpy != NULL && array_class != NULL) {
            dtypes[character] = PyObject_CallMethod(numpy, "dtype", "s", name);
        }
        Py_XDECREF(numpy);
        if (array_class == NULL) {
            return NULL;
        }
    }
    return dtypes[character];
}

static PyObject *shape_of(wr_py_decoder *d, uint32_t dimensions) {
    PyObject *shape = PyTuple_New((Py_ssize_t)dimensions);
    for (uint32_t k = 0; shape != NULL && k < dimensions; k++) {
        int64_t extent;
        PyObject *number = take(d, &extent, 8) && extent >= 0 ? PyLong_FromLongLong(extent) : corrupt();
        if (number == NULL) {
            Py_CLEAR(shape);
        } else {
            PyTuple_SetItem(shape, (Py_ssize_t)k, number);
        }
    }
    return shape;
}

static PyObject *decode_array(wr_py_decoder *d) {
    uint32_t character, dimensions, index;
    const uint8_t *data;
    uint64_t bytes;
    if (!take8(d, &character) || !take8(d, &dimensions) || !take32(d, &index) ||
        dimensions > WR_PY_DIMENSIONS_MAX || !find_buffer(d, index, &data, &bytes)) {
        return corrupt();
    }
    PyObject *dtype = dtype_of((uint8_t)character); /* borrowed */
    PyObject *shape = dtype != NULL ? shape_of(d, dimensions) : NULL;
    PyObject *buffer = shape != NULL ? show_buffer(d, data, bytes) : NULL;
    PyObject *array = NULL;
    if (buffer != NULL) {
        /* numpy checks that the shape's bytes lie inside of the buffer. */
        array = PyObject_CallFunctionObjArgs(array_class, shape, dtype, buffer, NULL);
        Py_DECREF(buffer);
        if (array == NULL &&
            (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_ValueError))) {
            PyErr_Clear();
            corrupt();
        }
    }
    Py_XDECREF(shape);
    return array;
}

/* ---- Pickles ---- */

static PyObject *pickle_loads; /* pickle.loads */

static PyObject *buffers_of(wr_py_decoder *d, uint32_t first, uint32_t count) {
    PyObject *list = PyList_New(0);
    for (uint32_t k = 0; list != NULL && k < count; k++) {
        const uint8_t *data;
        uint64_t bytes;
        PyObject *buffer = first + k >= first && find_buffer(d, first + k, &data, &bytes)
                               ? show_buffer(d, data, bytes)
                               : corrupt();
        if (buffer == NULL || PyList_Append(list, buffer) != 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(buffer);
    }
    return list;
}

static PyObject *decode_pickle(wr_py_decoder *d) {
    uint64_t bytes;
    uint32_t first, count;
    if (!take(d, &bytes, 8) || !take32(d, &first) || !take32(d, &count) || !has(d, bytes)) {
        return corrupt();
    }
    const uint8_t *stream = d->at;
    d->at += bytes;
    if (pickle_loads == NULL) {
        PyObject *pickle = PyImport_ImportModule("pickle");
        pickle_loads = pickle != NULL ? PyObject_GetAttrString(pickle, "loads") : NULL;
        Py_XDECREF(pickle);
        if (pickle_loads == NULL) {
            return NULL;
        }
    }
    PyObject *view = PyMemoryView_FromMemory((char *)(uintptr_t)stream, (Py_ssize_t)bytes, PyBUF_READ);
    PyObject *args = view != NULL ? PyTuple_New(1) : NULL;
    PyObject *named = NULL, *value = NULL;
    if (args != NULL) {
        PyTuple_SetItem(args, 0, view);
        if (count > 0) {
            PyObject *list = buffers_of(d, first, count);
            named = list != NULL ? Py_BuildValue("{s:N}", "buffers", list) : NULL;
        }
        if (count == 0 || named != NULL) {
            d->outer = unpickling;
            unpickling = d;
            value = PyObject_Call(pickle_loads, args, named);
            unpickling = d->outer;
        }
        Py_XDECREF(named);
        Py_DECREF(args);
    } else {
        Py_XDECREF(view);
    }
    return value;
}

/* ---- Plain values ---- */

static PyObject *decode_int(wr_py_decoder *d, uint8_t tag) {
    if (tag == WR_PY_INT8) {
        int8_t number;
        return take(d, &number, 1) ? PyLong_FromLong(number) : corrupt();
    }
    if (tag == WR_PY_INT32) {
        int32_t number;
        return take(d, &number, 4) ? PyLong_FromLong(number) : corrupt();
    }
    int64_t number;
    return take(d, &number, 8) ? PyLong_FromLongLong(number) : corrupt();
}

static bool take_count(wr_py_decoder *d, bool wide, uint32_t *out) {
    return wide ? take32(d, out) : take8(d, out);
}

static PyObject *decode_str(wr_py_decoder *d, bool wide) {
    uint32_t bytes;
    if (!take_count(d, wide, &bytes) || !has(d, bytes)) {
        return corrupt();
    }
    const char *text = (const char *)d->at;
    d->at += bytes;
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)bytes, NULL); /* UnicodeDecodeError is a ValueError */
}

static PyObject *decode_bytes(wr_py_decoder *d) {
    uint32_t bytes;
    if (!take8(d, &bytes) || !has(d, bytes)) {
        return corrupt();
    }
    const char *data = (const char *)d->at;
    d->at += bytes;
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)bytes);
}

static PyObject *decode_bytes_buffer(wr_py_decoder *d) {
    uint32_t index;
    const uint8_t *data;
    uint64_t bytes;
    if (!take32(d, &index) || !find_buffer(d, index, &data, &bytes)) {
        return corrupt();
    }
    return PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)bytes);
}

static PyObject *decode_sequence(wr_py_decoder *d, bool tuple, bool wide) {
    uint32_t count;
    if (!take_count(d, wide, &count) || !has(d, count)) { /* each item has a byte at least */
        return corrupt();
    }
    PyObject *out = tuple ? PyTuple_New((Py_ssize_t)count) : PyList_New((Py_ssize_t)count);
    for (uint32_t k = 0; out != NULL && k < count; k++) {
        PyObject *item = wr_py_decode_item(d);
        if (item == NULL) {
            Py_CLEAR(out);
        } else if (tuple) {
            PyTuple_SetItem(out, (Py_ssize_t)k, item);
        } else {
            PyList_SetItem(out, (Py_ssize_t)k, item);
        }
    }
    return out;
}

static PyObject *decode_dict(wr_py_decoder *d, bool wide) {
    uint32_t count;
    if (!take_count(d, wide, &count) || !has(d, 2 * (uint64_t)count)) {
        return corrupt();
    }
    PyObject *out = PyDict_New();
    for (uint32_t k = 0; out != NULL && k < count; k++) {
        PyObject *key = wr_py_decode_item(d);
        PyObject *value = key != NULL ? wr_py_decode_item(d) : NULL;
        if (value == NULL || PyDict_SetItem(out, key, value) != 0) {
            Py_CLEAR(out);
        }
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    if (out == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) { /* an unhashable key: no writer makes it */
        PyErr_Clear();
        return corrupt();
    }
    return out;
}

static PyObject *decode_container(wr_py_decoder *d, uint8_t tag) {
    if (d->depth >= WR_PY_DECODE_DEPTH_MAX) {
        return corrupt();
    }
    d->depth++;
    PyObject *out;
    switch (tag) {
    case WR_PY_TUPLE8:
    case WR_PY_TUPLE32:
        out = decode_sequence(d, true, tag == WR_PY_TUPLE32);
        break;
    case WR_PY_LIST8:
    case WR_PY_LIST32:
        out = decode_sequence(d, false, tag == WR_PY_LIST32);
        break;
    default:
        out = decode_dict(d, tag == WR_PY_DICT32);
        break;
    }
    d->depth--;
    return out;
}

PyObject *wr_py_decode_item(wr_py_decoder *d) {
    if (WR_UNLIKELY(!has(d, 1))) {
        return corrupt();
    }
    const uint8_t tag = *d->at++;
    switch (tag) {
    case WR_PY_NONE:
        Py_RETURN_NONE;
    case WR_PY_FALSE:
        Py_RETURN_FALSE;
    case WR_PY_TRUE:
        Py_RETURN_TRUE;
    case WR_PY_INT8:
    case WR_PY_INT32:
    case WR_PY_INT64:
        return decode_int(d, tag);
    case WR_PY_FLOAT: {
        double number;
        return take(d, &number, 8) ? PyFloat_FromDouble(number) : corrupt();
    }
    case WR_PY_STR8:
    case WR_PY_STR32:
        return decode_str(d, tag == WR_PY_STR32);
    case WR_PY_BYTES8:
        return decode_bytes(d);
    case WR_PY_BYTES_BUFFER:
        return decode_bytes_buffer(d);
    case WR_PY_TUPLE8:
    case WR_PY_TUPLE32:
    case WR_PY_LIST8:
    case WR_PY_LIST32:
    case WR_PY_DICT8:
    case WR_PY_DICT32:
        return decode_container(d, tag);
    case WR_PY_LINK:
    case WR_PY_LINK_INDEX:
        return decode_link(d, tag == WR_PY_LINK_INDEX);
    case WR_PY_REF: {
        uint32_t position, index;
        return take32(d, &position) && take32(d, &index) ? make_ref(d, position, index) : corrupt();
    }
    case WR_PY_PICKLE:
        return decode_pickle(d);
    case WR_PY_ARRAY:
        return decode_array(d);
    default:
        return corrupt();
    }
}

/* What stands behind the first byte. */
static PyObject *decode_whole(wr_py_decoder *d) {
    PyObject *value = wr_py_decode_item(d);
    if (value != NULL && WR_UNLIKELY(d->at != d->end)) {
        Py_DECREF(value);
        return corrupt();
    }
    return value;
}

PyObject *wr_py_decode(wr_py_decoder *d) {
    if (d->at == d->end) {
        Py_RETURN_NONE;
    }
    if (*d->at++ != WR_PY_VALUE_1) {
        PyErr_SetString(PyExc_ValueError, "corrupt value, or one of another version of whipray");
        return NULL;
    }
    return decode_whole(d);
}

/* ---- Arguments ---- */

int wr_py_decode_head(wr_py_decoder *d, wr_py_args_head *out) {
    *out = (wr_py_args_head){.num_returns = 1};
    if (d->at == d->end) {
        return 0;
    }
    const uint8_t head = *d->at++;
    bool good = (head & 0xf8) == WR_PY_ARGS_1;
    if (good && (head & WR_PY_ARGS_RETURNS) != 0) {
        good = take(d, &out->num_returns, 4) && out->num_returns >= WR_PY_RETURNS_STREAM;
    }
    if (good && (head & WR_PY_ARGS_EXTRA) != 0) {
        good = take32(d, &out->extra_bytes) && has(d, out->extra_bytes);
        if (good) {
            out->extra = d->at;
            d->at += out->extra_bytes;
        }
    }
    if (good) {
        const bool wide = (head & WR_PY_ARGS_WIDE) != 0;
        good = take_count(d, wide, &out->positional) && take_count(d, wide, &out->keywords) &&
               has(d, (uint64_t)out->positional + 2 * (uint64_t)out->keywords);
    }
    if (!good) {
        corrupt();
        return -1;
    }
    return 0;
}

static PyObject *decode_argument(wr_py_decoder *d) {
    d->ref_base += d->refs_used;
    d->buffer_base += d->buffers_used;
    d->refs_used = d->buffers_used = 0;
    return wr_py_decode_item(d);
}

int wr_py_decode_args(wr_py_decoder *d, const wr_py_args_head *head, PyObject **out, PyObject **out_names) {
    uint32_t done = 0;
    PyObject *names = NULL;
    for (; done < head->positional; done++) {
        if ((out[done] = decode_argument(d)) == NULL) {
            goto failed;
        }
    }
    if (head->keywords > 0) {
        names = PyTuple_New((Py_ssize_t)head->keywords);
        for (uint32_t k = 0; names != NULL && k < head->keywords; k++, done++) {
            PyObject *name = decode_argument(d);
            if (name == NULL || !PyUnicode_CheckExact(name)) {
                Py_XDECREF(name);
                corrupt();
                goto failed;
            }
            PyUnicode_InternInPlace(&name); /* compares by pointer in the call */
            PyTuple_SetItem(names, (Py_ssize_t)k, name);
            if ((out[done] = decode_argument(d)) == NULL) {
                goto failed;
            }
        }
        if (names == NULL) {
            goto failed;
        }
    }
    if (d->at != d->end) {
        corrupt();
        goto failed;
    }
    *out_names = names;
    return 0;
failed:
    Py_XDECREF(names);
    while (done > 0) {
        Py_DECREF(out[--done]);
    }
    return -1;
}

/* ---- Objects ---- */

/* Raises what a sealed error stands for. */
static void raise_task_error(PyObject *payload) {
    PyObject *error = wr_py_hook_call(WR_PY_HOOK_task_error, payload, NULL);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
}

static PyObject *value_of_view(const wr_view *view, wr_ref handle, PyObject *ref, wr_py_loans *loans) {
    if (view->stream_bytes == 0) {
        Py_RETURN_NONE;
    }
    if (ref != NULL && (view->buffer_count > 0 || view->ref_count > 0) && wr_py_ref_use(ref) == 0) {
        return NULL; /* a lent ref is counted before its value can be: both belong to this process then */
    }
    wr_py_decoder decoder = {
        .at = view->stream,
        .end = view->stream + view->stream_bytes,
        .view = view,
        .loans = loans,
        .holder = handle,
    };
    if (WR_LIKELY(*decoder.at != WR_PY_ERROR_1)) {
        return wr_py_decode(&decoder);
    }
    decoder.at++;
    PyObject *payload = decode_whole(&decoder);
    if (payload != NULL) {
        raise_task_error(payload);
        Py_DECREF(payload);
    }
    return NULL;
}

PyObject *wr_py_value(wr_ref handle, uint32_t index, PyObject *ref, wr_py_loans *loans, bool *out_pending) {
    wr_view view, item;
    const wr_status status = wr_view_get(wr_py.client, handle, &view, NULL);
    if (WR_UNLIKELY(status != WR_OK)) {
        if (status == WR_E_STATE && wr_peek(wr_py.client, handle) == WR_KIND_PENDING &&
            wr_ref_valid(wr_py.client, handle)) {
            *out_pending = true;
            return NULL;
        }
        wr_error error = {0};
        if (wr_view_get(wr_py.client, handle, &view, &error) != WR_OK) {
            if (error.status == WR_E_NOT_FOUND) {
                return wr_py_raise_status(WR_E_OBJECT_LOST, "the object is gone", "");
            }
            return wr_py_raise(&error);
        }
    }
    if (ref != NULL) {
        wr_settle(wr_py.client, handle); /* seen to be done: what the task had as arguments may go */
    }
    switch (view.kind) {
    case WR_KIND_VALUE:
        if (WR_UNLIKELY(index != 0)) {
            PyErr_Format(PyExc_ValueError, "the task returned one value; there is no return %u",
                         (unsigned)index);
            return NULL;
        }
        return value_of_view(&view, handle, ref, loans);
    case WR_KIND_VALUES:
        if (!wr_view_item(&view, index, &item)) {
            PyErr_Format(PyExc_ValueError, "the task returned %u values; there is no return %u",
                         (unsigned)view.item_count, (unsigned)index);
            return NULL;
        }
        return value_of_view(&item, handle, ref, loans);
    case WR_KIND_ERROR: {
        PyObject *payload = value_of_view(&view, handle, ref, loans);
        if (payload != NULL) {
            raise_task_error(payload);
            Py_DECREF(payload);
        }
        return NULL;
    }
    case WR_KIND_SYSTEM_ERROR: {
        wr_error error = {0};
        wr_view_error(&view, &error);
        return wr_py_raise(&error);
    }
    default:
        break;
    }
    *out_pending = true; /* reached only if the cell is sealed with a kind of a later version: wr_view_get
                            checks kinds */
    return NULL;
}

/* ---- For tests: without a session ---- */

typedef struct test_input {
    PyObject *stream, *list;
    wr_buffer *buffers;
} test_input;

static int test_open(PyObject *args, test_input *in, wr_py_decoder *d) {
    *in = (test_input){0};
    *d = (wr_py_decoder){0};
    if (!PyArg_ParseTuple(args, "O!|O!", &PyBytes_Type, &in->stream, &PyList_Type, &in->list)) {
        return -1;
    }
    const Py_ssize_t count = in->list != NULL ? PyList_Size(in->list) : 0;
    in->buffers = PyMem_Calloc((size_t)count + 1, sizeof *in->buffers);
    if (in->buffers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t k = 0; k < count; k++) {
        PyObject *bytes = PyList_GetItem(in->list, k);
        if (!PyBytes_Check(bytes)) {
            PyErr_SetString(PyExc_TypeError, "buffers must be bytes");
            PyMem_Free(in->buffers);
            return -1;
        }
        in->buffers[k] = (wr_buffer){.data = PyBytes_AsString(bytes), .bytes = (uint64_t)PyBytes_Size(bytes)};
    }
    d->at = (const uint8_t *)PyBytes_AsString(in->stream);
    d->end = d->at + PyBytes_Size(in->stream);
    d->test_buffers = in->buffers;
    d->test_buffer_count = (uint32_t)count;
    d->test_owner = in->list != NULL ? PySequence_Tuple(in->list) : PyTuple_New(0); /* keeps the bytes */
    if (d->test_owner == NULL) {
        PyMem_Free(in->buffers);
        return -1;
    }
    return 0;
}

static void test_close(test_input *in, wr_py_decoder *d) {
    PyMem_Free(in->buffers);
    Py_XDECREF(d->test_owner);
}

static PyObject *decode(PyObject *module, PyObject *args) {
    (void)module;
    test_input in;
    wr_py_decoder d;
    if (test_open(args, &in, &d) != 0) {
        return NULL;
    }
    PyObject *value = wr_py_decode(&d);
    test_close(&in, &d);
    return value;
}

static PyObject *decode_arguments(PyObject *module, PyObject *args) {
    (void)module;
    test_input in;
    wr_py_decoder d;
    wr_py_args_head head;
    if (test_open(args, &in, &d) != 0) {
        return NULL;
    }
    PyObject *out = NULL, *names = NULL, **values = NULL;
    if (wr_py_decode_head(&d, &head) == 0) {
        const size_t count = (size_t)head.positional + head.keywords;
        values = PyMem_Malloc((count + 1) * sizeof *values);
        if (values != NULL && wr_py_decode_args(&d, &head, values, &names) == 0) {
            PyObject *positional = PyTuple_New((Py_ssize_t)head.positional), *named = PyDict_New();
            for (uint32_t k = 0; k < head.positional; k++) {
                PyTuple_SetItem(positional, (Py_ssize_t)k, values[k]);
            }
            for (uint32_t k = 0; k < head.keywords; k++) {
                PyObject *value = values[head.positional + k];
                PyDict_SetItem(named, PyTuple_GetItem(names, (Py_ssize_t)k), value);
                Py_DECREF(value);
            }
            Py_XDECREF(names);
            out = Py_BuildValue("(NN)", positional, named);
        }
    }
    PyMem_Free(values);
    test_close(&in, &d);
    return out;
}

static PyObject *encode_decode(PyObject *module, PyObject *value) {
    (void)module;
    wr_py_sink *sink = wr_py_sink_take();
    if (sink == NULL) {
        return NULL;
    }
    sink->refuse_refs = true;
    PyObject *out = NULL;
    if (wr_py_encode(sink, value) == 0) {
        uint64_t total = sink->used;
        for (uint32_t k = 0; k < sink->buffer_count; k++) {
            total += sink->buffers[k].bytes + 64;
        }
        /* One bytes object is the pool: what is decoded must not refer to the value itself. */
        PyObject *pool = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total + 64);
        wr_buffer *buffers = PyMem_Calloc((size_t)sink->buffer_count + 1, sizeof *buffers);
        if (pool != NULL && buffers != NULL) {
            uint8_t *at = (uint8_t *)PyBytes_AsString(pool);
            const uint8_t *stream = at;
            if (sink->used > 0) {
                memcpy(at, sink->bytes, sink->used);
            }
            at += sink->used;
            for (uint32_t k = 0; k < sink->buffer_count; k++) {
                at = (uint8_t *)(((uintptr_t)at + 63) & ~(uintptr_t)63);
                buffers[k] = (wr_buffer){.data = at, .bytes = sink->buffers[k].bytes};
                if (buffers[k].bytes > 0) {
                    memcpy(at, sink->buffers[k].data, buffers[k].bytes);
                }
                at += buffers[k].bytes;
            }
            wr_py_decoder d = {
                .at = stream,
                .end = stream + sink->used,
                .test_buffers = buffers,
                .test_buffer_count = sink->buffer_count,
                .test_owner = pool,
            };
            out = wr_py_decode(&d);
        }
        PyMem_Free(buffers);
        Py_XDECREF(pool);
    }
    wr_py_sink_give(sink);
    return out;
}

static PyMethodDef functions[] = {
    {"_decode", decode, METH_VARARGS, NULL},
    {"_decode_args", decode_arguments, METH_VARARGS, NULL},
    {"_encode_decode", encode_decode, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_decode_add(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}

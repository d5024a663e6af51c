/* pack and unpack: dicts <-> the packed records of control calls (whipray/record.h). */
#include "core.h"

#include <string.h>

/* Writes one value; name NULL: the next item of a list. */
static int write_value(wr_record_writer *w, const char *name, PyObject *value, int depth);

static int write_fields(wr_record_writer *w, PyObject *dict, int depth) {
    Py_ssize_t at = 0;
    PyObject *key, *value;
    while (PyDict_Next(dict, &at, &key, &value)) {
        const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8AndSize(key, NULL) : NULL;
        if (name == NULL) {
            if (!PyErr_Occurred()) {
                PyErr_Format(PyExc_TypeError, "pack: a field's name must be a str, not %.100R", key);
            }
            return -1;
        }
        if (write_value(w, name, value, depth) != 0) {
            return -1;
        }
    }
    return 0;
}

static int write_items(wr_record_writer *w, PyObject *sequence, int depth) {
    PyObject *items = PySequence_Tuple(sequence);
    int status = items != NULL ? 0 : -1;
    for (Py_ssize_t k = 0; status == 0 && k < PyTuple_Size(items); k++) {
        status = write_value(w, NULL, PyTuple_GetItem(items, k), depth);
    }
    Py_XDECREF(items);
    return status;
}

static int write_int(wr_record_writer *w, const char *name, PyObject *value) {
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow != 0) { /* a handle is unsigned */
        number = (long long)PyLong_AsUnsignedLongLong(value);
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    wr_record_int(w, name, (int64_t)number);
    return 0;
}

static int write_bytes(wr_record_writer *w, const char *name, PyObject *value) {
    Py_buffer view;
    if (PyObject_GetBuffer(value, &view, PyBUF_SIMPLE) != 0) {
        return -1;
    }
    wr_record_bytes(w, name, view.buf, (uint64_t)view.len);
    PyBuffer_Release(&view);
    return 0;
}

static int write_value(wr_record_writer *w, const char *name, PyObject *value, int depth) {
    if (depth > WR_RECORD_DEPTH_MAX) {
        PyErr_Format(PyExc_ValueError, "pack: nested more than %d deep", (int)WR_RECORD_DEPTH_MAX);
        return -1;
    }
    if (value == Py_None) {
        wr_record_none(w, name);
        return 0;
    }
    if (PyLong_Check(value)) {
        return write_int(w, name, value);
    }
    if (wr_py_is_ref(value)) {
        const wr_ref handle = wr_py_ref_look(value);
        wr_record_int(w, name, (int64_t)handle);
        return handle != 0 ? 0 : -1;
    }
    if (PyFloat_Check(value)) {
        wr_record_double(w, name, PyFloat_AsDouble(value));
        return 0;
    }
    if (PyUnicode_Check(value)) {
        Py_ssize_t bytes;
        const char *text = PyUnicode_AsUTF8AndSize(value, &bytes);
        if (text == NULL) {
            return -1;
        }
        if (memchr(text, 0, (size_t)bytes) != NULL) {
            PyErr_SetString(PyExc_ValueError, "pack: a NUL character in a str");
            return -1;
        }
        wr_record_string(w, name, text);
        return 0;
    }
    if (PyDict_Check(value)) {
        wr_record_map_begin(w, name);
        const int status = write_fields(w, value, depth + 1);
        wr_record_map_end(w);
        return status;
    }
    if (PyList_Check(value) || PyTuple_Check(value)) {
        wr_record_list_begin(w, name);
        const int status = write_items(w, value, depth + 1);
        wr_record_list_end(w);
        return status;
    }
    if (PyObject_CheckBuffer(value)) {
        return write_bytes(w, name, value);
    }
    PyErr_Format(PyExc_TypeError, "pack: %s is a %R, which no record can hold",
                 name != NULL ? name : "an item", (PyObject *)Py_TYPE(value));
    return -1;
}

static PyObject *pack(PyObject *module, PyObject *fields) {
    (void)module;
    if (!PyDict_Check(fields)) {
        PyErr_Format(PyExc_TypeError, "pack needs a dict, not %.100R", fields);
        return NULL;
    }
    wr_record_writer w = {0};
    PyObject *out = NULL;
    wr_record_begin(&w);
    if (write_fields(&w, fields, 1) == 0) {
        const uint8_t *bytes;
        uint32_t count;
        wr_error error = {0};
        if (wr_record_finish(&w, &bytes, &count, &error) == WR_OK) {
            out = PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)count);
        } else {
            PyErr_Format(PyExc_ValueError, "pack: %s", error.text);
        }
    }
    wr_record_done(&w);
    return out;
}

/* ---- Reading ---- */

static PyObject *read_value(const wr_record_value *value);

static PyObject *read_fields(const wr_record *record) {
    PyObject *out = PyDict_New();
    uint32_t cursor = 0, bytes;
    const char *name;
    wr_record_value value;
    while (out != NULL && wr_record_next(record, &cursor, &name, &bytes, &value)) {
        PyObject *key = PyUnicode_DecodeUTF8(name, (Py_ssize_t)bytes, NULL);
        PyObject *read = key != NULL ? read_value(&value) : NULL;
        if (read == NULL || PyDict_SetItem(out, key, read) != 0) {
            Py_CLEAR(out);
        }
        Py_XDECREF(key);
        Py_XDECREF(read);
    }
    return out;
}

static PyObject *read_items(const wr_record_value *list) {
    PyObject *out = PyList_New(0);
    uint32_t cursor = 0;
    wr_record_value value;
    while (out != NULL && wr_record_item(list, &cursor, &value)) {
        PyObject *read = read_value(&value);
        if (read == NULL || PyList_Append(out, read) != 0) {
            Py_CLEAR(out);
        }
        Py_XDECREF(read);
    }
    return out;
}

static PyObject *read_value(const wr_record_value *value) {
    switch (value->type) {
    case 'i':
        return PyLong_FromLongLong(value->i);
    case 'd':
        return PyFloat_FromDouble(value->d);
    case 's':
        return PyUnicode_DecodeUTF8((const char *)value->bytes, (Py_ssize_t)value->count, "replace");
    case 'b':
        return PyBytes_FromStringAndSize((const char *)value->bytes, (Py_ssize_t)value->count);
    case 'm': {
        const wr_record map = wr_record_of(value);
        return read_fields(&map);
    }
    case 'l':
        return read_items(value);
    default:
        Py_RETURN_NONE;
    }
}

static PyObject *unpack(PyObject *module, PyObject *bytes) {
    (void)module;
    Py_buffer view;
    if (PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) != 0) {
        return NULL;
    }
    wr_record record;
    wr_error error = {0};
    PyObject *out = NULL;
    if (wr_record_check(view.buf, (uint64_t)view.len, &record, &error) == WR_OK) {
        out = read_fields(&record);
    } else {
        PyErr_Format(PyExc_ValueError, "unpack: %s", error.text);
    }
    PyBuffer_Release(&view);
    return out;
}

static PyMethodDef functions[] = {
    {"pack", pack, METH_O, NULL},
    {"unpack", unpack, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_record_add(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}

/* The arguments of a claimed task: their head, and the vector that its function is called with. */
#include "codec.h"
#include "core.h"

static wr_py_decoder args_decoder(wr_py_task *t) {
    return (wr_py_decoder){
        .at = t->task.args.stream,
        .end = t->task.args.stream + t->task.args.stream_bytes,
        .view = &t->task.args,
        .loans = &t->loans,
        .holder = t->task.ref,
        .links = t->task.refs,
        .copy = true,
        .link_count = t->task.ref_count,
    };
}

/* The head, once; `extra` is decoded by hook and cached by its bytes. 0, or -1 with an exception. */
static int read_head(wr_py_task *t, wr_py_decoder *d) {
    if (wr_py_decode_head(d, &t->head) != 0) {
        return -1;
    }
    if (t->head_read || t->head.extra == NULL) {
        t->head_read = true;
        return 0;
    }
    static PyObject *cache;
    if (cache == NULL && (cache = PyDict_New()) == NULL) {
        return -1;
    }
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)t->head.extra, (Py_ssize_t)t->head.extra_bytes);
    PyObject *known = bytes != NULL ? PyDict_GetItemWithError(cache, bytes) : NULL;
    Py_XINCREF(known);
    if (known == NULL && bytes != NULL && !PyErr_Occurred()) {
        known = wr_py_hook_call(WR_PY_HOOK_call_extra, bytes, NULL);
        enum { CACHED_MAX = 1024 };
        if (known != NULL && PyDict_Size(cache) < CACHED_MAX && PyDict_SetItem(cache, bytes, known) != 0) {
            Py_CLEAR(known);
        }
    }
    Py_XDECREF(bytes);
    if (known == NULL) {
        return -1;
    }
    t->extra = known;
    t->head_read = true;
    return 0;
}

int wr_py_task_head(wr_py_task *t) {
    wr_py_decoder d = args_decoder(t);
    return read_head(t, &d);
}

int wr_py_task_args(wr_py_task *t, wr_py_args *a) {
    wr_py_decoder d = args_decoder(t);
    a->names = NULL;
    a->total = 0;
    if (read_head(t, &d) != 0) {
        return -1;
    }
    const size_t total = (size_t)t->head.positional + t->head.keywords;
    PyObject **memory = a->stack;
    if (total > WR_PY_STACK_ARGS && (memory = PyMem_Malloc((total + 1) * sizeof *memory)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    a->values = memory + 1;
    if (t->task.args.stream_bytes > 0 && wr_py_decode_args(&d, &t->head, a->values, &a->names) != 0) {
        if (memory != a->stack) {
            PyMem_Free(memory);
        }
        return -1;
    }
    a->positional = t->head.positional;
    a->total = (uint32_t)total;
    return 0;
}

void wr_py_args_free(wr_py_args *a) {
    for (uint32_t k = 0; k < a->total; k++) {
        Py_DECREF(a->values[k]);
    }
    Py_XDECREF(a->names);
    if (a->values - 1 != a->stack) {
        PyMem_Free(a->values - 1);
    }
}

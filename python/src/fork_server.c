/* serve_forks: the fork server's loop (engine/local/forks.h), and the way back into Python in a child. */
#include "core.h"
#include "local/forks.h"

#include <stdlib.h>
#include <unistd.h>

enum { GAP_MAX = 1 << 16, GAP_MIN = 32 };

/* Takes what malloc has free between the server's blocks and never gives it back: a worker's new blocks then lie side
 * by side behind them, instead of one here and one there in pages that it would have to copy for them (0.2 MiB). */
static void fill_gaps(void) {
    const char *end = sbrk(0);
    for (size_t size = GAP_MAX; size >= GAP_MIN; size /= 2) {
        const char *block;
        do {
            block = malloc(size);
        } while (block != NULL && block < end);
    }
}

static PyObject *serve_forks(PyObject *module, PyObject *args) {
    (void)module;
    const char *path;
    Py_buffer hello;
    if (!PyArg_ParseTuple(args, "sy*", &path, &hello)) {
        return NULL;
    }
    fill_gaps();
    wr_error error = {0};
    wr_frame_conn *conn = NULL;
    wr_record order;
    wr_status status = wr_frame_connect(path, UINT64_MAX, &conn, &error);
    if (status == WR_OK) {
        status = wr_forks_serve(conn, hello.buf, (uint32_t)hello.len, &order, &error);
    }
    PyObject *out = NULL;
    if (status == WR_OK) {
        PyOS_AfterFork_Child();
        out = PyBytes_FromStringAndSize((const char *)order.bytes, (Py_ssize_t)order.count_bytes);
    } else if (status == WR_E_UNAVAILABLE) {
        PyErr_SetString(PyExc_ConnectionError, error.text);
    } else {
        PyErr_SetString(PyExc_RuntimeError, error.text);
    }
    wr_frame_close(conn);
    PyBuffer_Release(&hello);
    return out;
}

static PyMethodDef functions[] = {
    {"serve_forks", serve_forks, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_forks_add(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}

/* Values and arguments of other processes as the Python extension reads them (codec.h, C2), and packed records as dicts: any
 * bytes give a value, ValueError or MemoryError. Python's objects come from malloc, so that a byte beyond one is seen.
 *
 * Input: u8 which (value, arguments, record), then the bytes. The buffers are always the same three. A pickle is not run:
 * it does what it says. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

PyMODINIT_FUNC PyInit__core(void);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* What an interpreter keeps to its end is no leak; what is too large is Python's MemoryError. */
const char *__asan_default_options(void) {
    return "detect_leaks=0:allocator_may_return_null=1";
}

static PyObject *functions[3], *buffers;

static void check(int good) {
    if (!good) {
        PyErr_Print();
        abort();
    }
}

static void start(void) {
    static const char *const names[] = {"_decode", "_decode_args", "unpack"};
    PyPreConfig before;
    PyPreConfig_InitPythonConfig(&before);
    before.allocator = PYMEM_ALLOCATOR_MALLOC;
    check(!PyStatus_Exception(Py_PreInitialize(&before)) &&
          PyImport_AppendInittab("_core", PyInit__core) == 0);
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    check(!PyStatus_Exception(PyConfig_SetBytesString(&config, &config.program_name, WR_PYTHON)));
    check(!PyStatus_Exception(Py_InitializeFromConfig(&config)));
    PyConfig_Clear(&config);
    check(PyRun_SimpleString(
              "import numpy, pickle\n"
              "pickle.loads = lambda data, buffers=(): (bytes(data), [bytes(b) for b in buffers])\n") == 0);
    PyObject *core = PyImport_ImportModule("_core");
    check(core != NULL);
    for (int i = 0; i < 3; i++) {
        functions[i] = PyObject_GetAttrString(core, names[i]);
        check(functions[i] != NULL);
    }
    buffers = Py_BuildValue("[y#y#y#]", "0123456789abcdef", (Py_ssize_t)16, "", (Py_ssize_t)0, "12345678",
                            (Py_ssize_t)8);
    check(buffers != NULL);
    Py_DECREF(core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (functions[0] == NULL) {
        start();
    }
    if (size < 1) {
        return 0;
    }
    int which = data[0] % 3;
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)data + 1, (Py_ssize_t)size - 1);
    check(bytes != NULL);
    PyObject *value = PyObject_CallFunctionObjArgs(functions[which], bytes, which < 2 ? buffers : NULL, NULL);
    PyObject *shown = value != NULL ? PyObject_Repr(value) : NULL; /* every byte of it is really read */
    if (shown == NULL) {
        check(PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_MemoryError));
        PyErr_Clear();
    }
    Py_XDECREF(shown);
    Py_XDECREF(value);
    Py_DECREF(bytes);
    return 0;
}

#include "bridge.h"

#include <string.h>

PyObject *bridge_raise(wr_status status, const wr_error *error) {
    static const struct {
        const char *name;
        PyObject **type;
    } builtins[] = {
        {"ValueError", &PyExc_ValueError},   {"TypeError", &PyExc_TypeError},
        {"MemoryError", &PyExc_MemoryError}, {"NotImplementedError", &PyExc_NotImplementedError},
        {"OSError", &PyExc_OSError},
    };
    const char *name = wr_status_python(status);
    PyObject *type = PyExc_RuntimeError;
    for (size_t i = 0; i < sizeof builtins / sizeof builtins[0]; i++) {
        type = strcmp(builtins[i].name, name) == 0 ? *builtins[i].type : type;
    }
    PyErr_Format(type, "%s", error->text);
    return NULL;
}

bool bridge_floats_get(PyObject *object, bool writable, const char *what, bridge_floats *out) {
    if (PyObject_GetBuffer(object, &out->view,
                           (writable ? PyBUF_WRITABLE : 0) | PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) {
        return false;
    }
    const char *format = out->view.format == NULL ? "B" : out->view.format;
    if (*format == '<' || *format == '=' || *format == '@') {
        format++;
    }
    bool is_float = strcmp(format, "f") == 0;
    bool is_bytes = strcmp(format, "B") == 0 && out->view.len % (Py_ssize_t)sizeof(float) == 0;
    if ((!is_float && !is_bytes) || (uintptr_t)out->view.buf % sizeof(float) != 0) {
        PyErr_Format(PyExc_TypeError, "%s must be float32, not format '%s'", what, format);
        PyBuffer_Release(&out->view);
        return false;
    }
    out->data = out->view.buf;
    out->count = (size_t)out->view.len / sizeof(float);
    return true;
}

void bridge_floats_release(bridge_floats *floats) {
    PyBuffer_Release(&floats->view);
}

static PyObject *check_config(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    (void)self;
    wr_rl_config config;
    wr_error error = {0};
    if (count != 1) {
        PyErr_SetString(PyExc_TypeError, "check_config takes a config");
        return NULL;
    }
    if (!bridge_config(args[0], &config)) {
        return NULL;
    }
    wr_status status = wr_rl_config_check(&config, &error);
    if (status != WR_OK) {
        return bridge_raise(status, &error);
    }
    return PyLong_FromSize_t(wr_rl_weights_floats(&config));
}

static PyObject *weights_parts(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    (void)self;
    wr_rl_config config;
    wr_error error = {0};
    if (count != 1) {
        PyErr_SetString(PyExc_TypeError, "weights_parts takes a config");
        return NULL;
    }
    if (!bridge_config(args[0], &config)) {
        return NULL;
    }
    wr_status status = wr_rl_config_check(&config, &error);
    if (status != WR_OK) {
        return bridge_raise(status, &error);
    }
    PyObject *list = PyList_New(0);
    wr_rl_weight part;
    for (uint32_t i = 0; list != NULL && wr_rl_weights_part(&config, i, &part, NULL) == WR_OK; i++) {
        PyObject *item = Py_BuildValue("(snIII)", part.name, (Py_ssize_t)part.offset, part.rows, part.columns,
                                       part.stride);
        if (item == NULL || PyList_Append(list, item) != 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *names(const char *(*get)(uint32_t)) {
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && get(i) != NULL; i++) {
        PyObject *name = PyUnicode_FromString(get(i));
        if (name == NULL || PyList_Append(list, name) != 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(name);
    }
    return list;
}

static PyObject *environments(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    (void)self;
    (void)args;
    (void)count;
    return names(wr_rl_env_name);
}

static PyObject *kernels(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    (void)self;
    (void)args;
    (void)count;
    return names(wr_rl_kernels_available);
}

static PyObject *peak_flops(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    (void)self;
    long ms = count == 1 ? PyLong_AsLong(args[0]) : -1;
    if (ms < 0 || ms > 60000) {
        PyErr_Clear();
        PyErr_SetString(PyExc_ValueError, "peak_flops takes milliseconds, 0 to 60000");
        return NULL;
    }
    double flops;
    Py_BEGIN_ALLOW_THREADS flops = wr_rl_peak_flops((uint32_t)ms);
    Py_END_ALLOW_THREADS return PyFloat_FromDouble(flops);
}

#define FAST(function) ((PyCFunction)(void (*)(void))(function))
static PyMethodDef functions[] = {
    {"check_config", FAST(check_config), METH_FASTCALL,
     "check_config(config)\n--\n\nNumber of floats of the config's weights; raises ValueError naming what is "
     "wrong."},
    {"weights_parts", FAST(weights_parts), METH_FASTCALL,
     "weights_parts(config)\n--\n\nList of (name, offset, rows, columns, stride) of the flat weights."},
    {"environments", FAST(environments), METH_FASTCALL,
     "environments()\n--\n\nNames of the environments in C."},
    {"kernels", FAST(kernels), METH_FASTCALL,
     "kernels()\n--\n\nInstruction sets that this build and processor have, best first."},
    {"peak_flops", FAST(peak_flops), METH_FASTCALL,
     "peak_flops(ms)\n--\n\nOne core's FLOP/s in a plain loop of fused multiply-adds."},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module) {
    PyObject *stats = bridge_stats_names();
    if (stats == NULL || PyModule_AddObjectRef(module, "STATS", stats) != 0) {
        Py_XDECREF(stats);
        return -1;
    }
    Py_DECREF(stats);
    return bridge_add_types(module);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "whipray._rl",
    .m_doc =
        "Whipray's reinforcement learning in C: runners, learners, policies. Arrays are float32 buffers.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__rl(void);
PyMODINIT_FUNC PyInit__rl(void) {
    return PyModuleDef_Init(&definition);
}

/* whipray._core: the module, hooks, and what its files share. */
#include "core.h"

#include <dlfcn.h>
#include <string.h>

/* ---- Hooks ---- */

static PyObject *hooks[WR_PY_HOOK_COUNT];
static const char *const hook_names[WR_PY_HOOK_COUNT] = {
#define WR_PY_HOOK(name) #name,
    WR_PY_HOOKS(WR_PY_HOOK)
#undef WR_PY_HOOK
};

PyObject *wr_py_hook_find(wr_py_hook_name name) {
    return hooks[name];
}

PyObject *wr_py_hook_call(wr_py_hook_name name, PyObject *first, PyObject *second) {
    PyObject *hook = hooks[name];
    if (hook == NULL) {
        PyErr_Format(PyExc_RuntimeError, "whipray._core needs the hook %s", hook_names[name]);
        return NULL;
    }
    Py_INCREF(hook); /* it may replace itself */
    PyObject *out = PyObject_CallFunctionObjArgs(hook, first, second, NULL);
    Py_DECREF(hook);
    return out;
}

static PyObject *set_hooks(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    if (PyTuple_Size(args) != 0) {
        PyErr_SetString(PyExc_TypeError, "set_hooks takes keywords only");
        return NULL;
    }
    PyObject *key, *value;
    for (Py_ssize_t at = 0; kwargs != NULL && PyDict_Next(kwargs, &at, &key, &value);) {
        int found = -1;
        for (int k = 0; k < WR_PY_HOOK_COUNT; k++) {
            if (PyUnicode_CompareWithASCIIString(key, hook_names[k]) == 0) {
                found = k;
            }
        }
        if (found < 0) {
            PyErr_Format(PyExc_TypeError, "set_hooks: there is no hook %R", key);
            return NULL;
        }
        PyObject *old = hooks[found];
        hooks[found] = NULL;
        if (value != Py_None) {
            Py_INCREF(value);
            hooks[found] = value;
        }
        Py_XDECREF(old);
    }
    Py_RETURN_NONE;
}

/* ---- Calling with a vector: not in the limited API of 3.11, but exported by it, and stable from 3.12 on
 * ---- */

typedef PyObject *(*vector_function)(PyObject *, PyObject *const *, size_t, PyObject *);
static vector_function vector_call;
static const size_t offset_flag = (size_t)1 << (8 * sizeof(size_t) - 1); /* PY_VECTORCALL_ARGUMENTS_OFFSET */

static void find_vector_call(void) {
    void *found = dlsym(RTLD_DEFAULT, "PyObject_Vectorcall");
    memcpy(&vector_call, &found, sizeof vector_call);
}

PyObject *wr_py_vector_call(PyObject *callable, PyObject **args, Py_ssize_t positional, PyObject *names) {
    if (WR_LIKELY(vector_call != NULL)) {
        return vector_call(callable, args, (size_t)positional | offset_flag, names);
    }
    const Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0;
    PyObject *tuple = PyTuple_New(positional), *dict = named > 0 ? PyDict_New() : NULL, *out = NULL;
    bool good = tuple != NULL && (named == 0 || dict != NULL);
    for (Py_ssize_t k = 0; good && k < positional; k++) {
        Py_INCREF(args[k]);
        PyTuple_SetItem(tuple, k, args[k]);
    }
    for (Py_ssize_t k = 0; good && k < named; k++) {
        good = PyDict_SetItem(dict, PyTuple_GetItem(names, k), args[positional + k]) == 0;
    }
    if (good) {
        out = PyObject_Call(callable, tuple, dict);
    }
    Py_XDECREF(tuple);
    Py_XDECREF(dict);
    return out;
}

/* ---- Types ---- */

void wr_py_free_object(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type); /* instances of heap types hold their type */
}

int wr_py_add_type(PyObject *module, const char *name, PyType_Spec *spec, PyTypeObject **out) {
    if (*out == NULL) { /* else the module is imported once more into the same interpreter */
        *out = (PyTypeObject *)PyType_FromSpec(spec);
    }
    return *out != NULL ? PyModule_AddObjectRef(module, name, (PyObject *)*out) : -1;
}

/* ---- Module ---- */

static int add_constants(PyObject *module) {
    static const struct {
        const char *name;
        long value;
    } rows[] = {
        {"KIND_DRIVER", WR_CLIENT_DRIVER},
        {"KIND_WORKER", WR_CLIENT_WORKER},
        {"KIND_TOOL", WR_CLIENT_TOOL},
        {"CALL_STREAM", WR_CALL_STREAM},
        {"CALL_PARKED", WR_CALL_PARKED},
        {"CALL_RETRY_ERRORS", WR_CALL_RETRY_ERRORS},
        {"METHOD", (long)WR_METHOD},
        {"NEXT_NONE", WR_NEXT_NONE},
        {"NEXT_ASSIGNMENT", WR_NEXT_ASSIGNMENT},
        {"NEXT_EXIT", WR_NEXT_EXIT},
        {"NEXT_DEAD", WR_NEXT_DEAD},
        {"RETURNS_STREAM", WR_PY_RETURNS_STREAM},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        if (PyModule_AddIntConstant(module, rows[k].name, rows[k].value) != 0) {
            return -1;
        }
    }
    return 0;
}

static int module_exec(PyObject *module) {
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
        PyErr_SetString(PyExc_ImportError, "whipray does not work in subinterpreters");
        return -1;
    }
    wr_py.module = module;
    if (wr_py.serializers == NULL && (wr_py.serializers = PyDict_New()) == NULL) {
        return -1;
    }
    static int (*const parts[])(PyObject *) = {
        add_constants,       wr_py_ref_add,    wr_py_sink_add,     wr_py_encode_add, wr_py_decode_add,
        wr_py_signature_add, wr_py_stream_add, wr_py_call_add,     wr_py_actor_add,  wr_py_wait_add,
        wr_py_put_add,       wr_py_task_add,   wr_py_children_add, wr_py_worker_add, wr_py_record_add,
        wr_py_session_add,   wr_py_forks_add,  wr_py_function_add,
    };
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        if (parts[k](module) != 0) {
            return -1;
        }
    }
    find_vector_call();
    return PyModule_AddObjectRef(module, "serializers", wr_py.serializers);
}

static PyMethodDef functions[] = {
    {"set_hooks", WR_PY_FUNCTION(set_hooks), METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "whipray._core",
    .m_doc = "The part of whipray that runs per call; see _core.pyi.",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&definition);
}

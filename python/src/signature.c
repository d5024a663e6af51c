/* Sig: whether a call fits its function, without binding anything. */
#include "core.h"

struct wr_py_sig {
    PyObject_HEAD PyObject *names; /* tuple of interned names: positional parameters, then keyword-only ones;
                                      NULL: anything goes */
    PyObject *signature;           /* inspect.Signature, whose bind() words the refusals */
    PyObject *name;                /* of the function, for the texts; None: unknown */
    Py_ssize_t positional, positional_only, required; /* required: of the positional ones, which lead */
    Py_ssize_t keyword_only;
    uint64_t keyword_required; /* bit per keyword-only parameter without default */
    bool var_positional, var_keyword;
};
PyTypeObject *wr_py_sig_type;

enum {
    NAMES_MAX = 64,
    KIND_POSITIONAL_ONLY = 0,
    KIND_BOTH,
    KIND_VAR_POSITIONAL,
    KIND_KEYWORD_ONLY,
    KIND_VAR_KEYWORD
};

/* ---- Making ---- */

/* Adds one inspect.Parameter; names of keyword-only ones go to `later`. */
static int add_parameter(wr_py_sig *sig, PyObject *parameter, PyObject *empty, PyObject *names,
                         PyObject *later) {
    PyObject *name = PyObject_GetAttrString(parameter, "name");
    PyObject *default_value = PyObject_GetAttrString(parameter, "default");
    PyObject *kind = PyObject_GetAttrString(parameter, "kind");
    const long number = kind != NULL ? PyLong_AsLong(kind) : -1;
    int status = name != NULL && default_value != NULL && !PyErr_Occurred() ? 0 : -1;
    if (status == 0) {
        PyUnicode_InternInPlace(&name);
        switch (number) {
        case KIND_POSITIONAL_ONLY:
        case KIND_BOTH:
            sig->positional++;
            sig->positional_only += number == KIND_POSITIONAL_ONLY;
            sig->required += default_value == empty;
            status = PyList_Append(names, name);
            break;
        case KIND_VAR_POSITIONAL:
            sig->var_positional = true;
            break;
        case KIND_KEYWORD_ONLY:
            if (default_value == empty && sig->keyword_only < NAMES_MAX) {
                sig->keyword_required |= 1ull << sig->keyword_only;
            }
            sig->keyword_only++;
            status = PyList_Append(later, name);
            break;
        default:
            sig->var_keyword = true;
            break;
        }
    }
    Py_XDECREF(kind);
    Py_XDECREF(default_value);
    Py_XDECREF(name);
    return status;
}

static int read_signature(wr_py_sig *sig, PyObject *signature) {
    PyObject *empty = PyObject_GetAttrString(signature, "empty");
    PyObject *parameters = PyObject_GetAttrString(signature, "parameters");
    PyObject *values = parameters != NULL ? PyObject_CallMethod(parameters, "values", NULL) : NULL;
    PyObject *list = values != NULL ? PySequence_List(values) : NULL;
    PyObject *names = PyList_New(0), *later = PyList_New(0);
    int status = empty != NULL && list != NULL && names != NULL && later != NULL ? 0 : -1;
    for (Py_ssize_t k = 0; status == 0 && k < PyList_Size(list); k++) {
        status = add_parameter(sig, PyList_GetItem(list, k), empty, names, later);
    }
    for (Py_ssize_t k = 0; status == 0 && k < PyList_Size(later); k++) {
        status = PyList_Append(names, PyList_GetItem(later, k));
    }
    if (status == 0) {
        sig->names = PyList_AsTuple(names);
        status = sig->names != NULL ? 0 : -1;
    }
    Py_XDECREF(later);
    Py_XDECREF(names);
    Py_XDECREF(list);
    Py_XDECREF(values);
    Py_XDECREF(parameters);
    Py_XDECREF(empty);
    return status;
}

static PyObject *sig_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"signature", "name", NULL};
    PyObject *signature, *name = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O", names, &signature, &name)) {
        return NULL;
    }
    wr_py_sig *sig = PyObject_New(wr_py_sig, type);
    if (sig == NULL) {
        return NULL;
    }
    sig->names = NULL;
    sig->positional = sig->positional_only = sig->required = sig->keyword_only = 0;
    sig->keyword_required = 0;
    sig->var_positional = sig->var_keyword = false;
    Py_INCREF(signature);
    sig->signature = signature;
    Py_INCREF(name);
    sig->name = name;
    if (signature != Py_None && read_signature(sig, signature) != 0) {
        Py_DECREF(sig);
        return NULL;
    }
    return (PyObject *)sig;
}

static void sig_dealloc(PyObject *self) {
    wr_py_sig *sig = (wr_py_sig *)self;
    Py_XDECREF(sig->names);
    Py_XDECREF(sig->signature);
    Py_XDECREF(sig->name);
    wr_py_free_object(self);
}

/* ---- Checking ---- */

/* inspect.Signature.bind says what is wrong, in its words. Where it does not refuse, the call is good, or
 * (3.11 accepts less than the call does) its refusal is wrong: only a name that both a positional-only
 * parameter and **kw could take. */
static int bind(wr_py_sig *sig, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    const Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0;
    PyObject *positional = PyTuple_New(count), *keywords = PyDict_New();
    PyObject *method = PyObject_GetAttrString(sig->signature, "bind");
    PyObject *bound = NULL;
    if (positional != NULL && keywords != NULL && method != NULL) {
        for (Py_ssize_t k = 0; k < count; k++) {
            Py_INCREF(args[k]);
            PyTuple_SetItem(positional, k, args[k]);
        }
        for (Py_ssize_t k = 0; k < named; k++) {
            PyDict_SetItem(keywords, PyTuple_GetItem(names, k), args[count + k]);
        }
        bound = PyObject_Call(method, positional, keywords);
    }
    Py_XDECREF(method);
    Py_XDECREF(keywords);
    Py_XDECREF(positional);
    Py_XDECREF(bound);
    return bound != NULL ? 0 : -1;
}

/* The refusal begins with the function and what it takes: "Actor.add(x, y=0): too many positional arguments". */
static int refuse(wr_py_sig *sig, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (bind(sig, args, count, names) == 0) {
        PyErr_SetString(PyExc_TypeError, "the arguments do not fit the function");
    }
    if (sig->name != Py_None && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_Format(PyExc_TypeError, "%S%.300S: %S", sig->name, sig->signature, value);
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) { /* the __repr__ of a default value raised */
            PyErr_Restore(type, value, traceback);
            return -1;
        }
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    }
    return -1;
}

static Py_ssize_t find_name(const wr_py_sig *sig, Py_ssize_t count, PyObject *name) {
    for (Py_ssize_t k = 0; k < count; k++) { /* interned on both sides, nearly always */
        if (PyTuple_GetItem(sig->names, k) == name) {
            return k;
        }
    }
    for (Py_ssize_t k = 0; k < count; k++) {
        if (PyUnicode_Compare(PyTuple_GetItem(sig->names, k), name) == 0) {
            return k;
        }
    }
    return count;
}

static inline uint64_t low_bits(Py_ssize_t count) {
    return count >= 64 ? ~0ull : (1ull << count) - 1;
}

int wr_py_sig_check(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject **out,
                    Py_ssize_t *out_count) {
    wr_py_sig *sig = (wr_py_sig *)self;
    *out_count = -1;
    if (sig->names == NULL) {
        return 0;
    }
    if (count > sig->positional && !sig->var_positional) {
        return refuse(sig, args, count, names);
    }
    const Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0;
    if (named == 0) {
        return count >= sig->required && sig->keyword_required == 0 ? 0 : refuse(sig, args, count, names);
    }
    const Py_ssize_t known = sig->positional + sig->keyword_only;
    if (known > NAMES_MAX) {
        return bind(sig, args, count, names);
    }
    const Py_ssize_t filled = count < sig->positional ? count : sig->positional;
    uint64_t seen = low_bits(filled);
    bool in_order = out != NULL && count + named <= WR_PY_POSITIONAL_MAX && filled == count;
    for (Py_ssize_t k = 0; k < named; k++) {
        const Py_ssize_t at = find_name(sig, known, PyTuple_GetItem(names, k));
        if (at == known || at < sig->positional_only) {
            if (!sig->var_keyword) {
                return refuse(sig, args, count, names);
            }
            in_order = false;
            continue;
        }
        if ((seen >> at & 1) != 0) {
            return refuse(sig, args, count, names);
        }
        seen |= 1ull << at;
        if (at >= sig->positional || at >= WR_PY_POSITIONAL_MAX) {
            in_order = false;
        } else if (in_order) {
            out[at] = args[count + k];
        }
    }
    const uint64_t needed =
        low_bits(sig->required) | (sig->positional < 64 ? sig->keyword_required << sig->positional : 0);
    if ((seen & needed) != needed) {
        return refuse(sig, args, count, names);
    }
    if (in_order &&
        seen == low_bits(count + named)) { /* keywords that are the next positions travel as positions */
        for (Py_ssize_t k = 0; k < count; k++) {
            out[k] = args[k];
        }
        *out_count = count + named;
    }
    return 0;
}

static PyObject *sig_check(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Py_ssize_t out_count;
    if (wr_py_sig_check(self, args, count, names, NULL, &out_count) != 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *sig_signature(PyObject *self, void *ignored) {
    (void)ignored;
    PyObject *signature = ((wr_py_sig *)self)->signature;
    Py_INCREF(signature);
    return signature;
}

static PyMethodDef sig_methods[] = {
    {"check", WR_PY_FUNCTION(sig_check), WR_PY_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef sig_getset[] = {
    {"signature", sig_signature, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot sig_slots[] = {
    {Py_tp_new, sig_new},
    {Py_tp_dealloc, sig_dealloc},
    {Py_tp_methods, sig_methods},
    {Py_tp_getset, sig_getset},
    {0, NULL},
};
static PyType_Spec sig_spec = {
    .name = "whipray._core.Sig",
    .basicsize = sizeof(wr_py_sig),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = sig_slots,
};

int wr_py_signature_add(PyObject *module) {
    return wr_py_add_type(module, "Sig", &sig_spec, &wr_py_sig_type);
}

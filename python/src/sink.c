/* Sink: where values are written; the file, buffer callback and reducer of its own pickler. */
#include "codec.h"
#include "core.h"

#include <string.h>

PyTypeObject *wr_py_sink_type;

enum { FREE_MAX = 16, FIRST_BYTES = 4096, KEPT_BYTES_MAX = 1 << 20, KEPT_ITEMS_MAX = 4096 };

static wr_py_sink *free_sinks[FREE_MAX];
static uint32_t free_count;

/* ---- Memory ---- */

uint8_t *wr_py_sink_grow(wr_py_sink *sink, size_t bytes) {
    size_t need = sink->used + bytes;
    size_t capacity = need < FIRST_BYTES ? FIRST_BYTES : need * 2;
    uint8_t *grown = PyMem_Realloc(sink->bytes, capacity);
    if (grown == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    sink->bytes = grown;
    sink->capacity = capacity;
    uint8_t *room = grown + sink->used;
    sink->used = need;
    return room;
}

/* Room for one more item in an array. */
static int reserve(void **items, uint32_t count, uint32_t capacity, size_t item_bytes) {
    if (count == UINT32_MAX / 2) {
        PyErr_SetString(PyExc_OverflowError, "too many references or buffers in one value");
        return -1;
    }
    void *grown = PyMem_Realloc(*items, capacity * item_bytes);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *items = grown;
    return 0;
}

static uint32_t doubled(uint32_t capacity) {
    return capacity == 0 ? 8 : capacity * 2;
}

wr_py_sink *wr_py_sink_take(void) {
    if (WR_LIKELY(free_count > 0)) {
        return free_sinks[--free_count];
    }
    wr_py_sink *sink = PyObject_New(wr_py_sink, wr_py_sink_type);
    if (sink != NULL) {
        memset((uint8_t *)sink + sizeof(PyObject), 0, sizeof *sink - sizeof(PyObject));
    }
    return sink;
}

static void buffers_drop(wr_py_sink *sink, uint32_t down_to) {
    while (sink->buffer_count > down_to) {
        wr_py_held *held = &sink->held[--sink->buffer_count];
        PyObject *object = held->object;
        if (held->has_view) {
            Py_buffer view = held->view; /* its release may run code that comes back here */
            PyBuffer_Release(&view);
        }
        Py_XDECREF(object);
    }
}

static void links_drop(wr_py_sink *sink) {
    while (sink->link_count > 0) {
        PyObject *owned = sink->link_objects[--sink->link_count];
        Py_XDECREF(owned);
    }
}

static void refs_drop(wr_py_sink *sink, uint32_t down_to) {
    while (sink->ref_count > down_to) {
        PyObject *ref = sink->ref_objects[--sink->ref_count];
        Py_DECREF(ref);
    }
}

/* Sink and pickler refer to each other; this ends it. */
static void sink_clear_pickler(wr_py_sink *sink) {
    Py_CLEAR(sink->dump);
    Py_CLEAR(sink->clear_memo);
}

void wr_py_sink_give(wr_py_sink *sink) {
    if (sink == NULL) {
        return;
    }
    buffers_drop(sink, 0);
    refs_drop(sink, 0);
    links_drop(sink);
    sink->used = 0;
    sink->ref_base = sink->buffer_base = 0;
    sink->cloud = sink->need_cloud = sink->refuse_refs = false;
    const bool large = sink->capacity > KEPT_BYTES_MAX || sink->ref_capacity > KEPT_ITEMS_MAX ||
                       sink->buffer_capacity > KEPT_ITEMS_MAX || sink->link_capacity > KEPT_ITEMS_MAX;
    if (free_count < FREE_MAX && !large) {
        free_sinks[free_count++] = sink;
    } else {
        sink_clear_pickler(sink);
        Py_DECREF(sink);
    }
}

static void sink_dealloc(PyObject *self) {
    wr_py_sink *sink = (wr_py_sink *)self;
    buffers_drop(sink, 0);
    refs_drop(sink, 0);
    links_drop(sink);
    sink_clear_pickler(sink);
    PyMem_Free(sink->bytes);
    PyMem_Free(sink->ref_objects);
    PyMem_Free(sink->refs);
    PyMem_Free(sink->links);
    PyMem_Free(sink->link_objects);
    PyMem_Free(sink->buffers);
    PyMem_Free(sink->held);
    wr_py_free_object(self);
}

wr_py_mark wr_py_sink_mark(const wr_py_sink *sink) {
    return (wr_py_mark){.used = sink->used, .refs = sink->ref_count, .buffers = sink->buffer_count};
}

void wr_py_sink_rewind(wr_py_sink *sink, wr_py_mark mark) {
    sink->used = mark.used;
    buffers_drop(sink, mark.buffers);
    refs_drop(sink, mark.refs);
}

int64_t wr_py_sink_add_buffer(wr_py_sink *sink, PyObject *object, Py_buffer *view, const void *data,
                              uint64_t bytes) {
    const uint32_t count = sink->buffer_count;
    if (count == sink->buffer_capacity) {
        const uint32_t capacity = doubled(sink->buffer_capacity);
        if (reserve((void **)&sink->buffers, count, capacity, sizeof *sink->buffers) != 0 ||
            reserve((void **)&sink->held, count, capacity, sizeof *sink->held) != 0) {
            return -1;
        }
        sink->buffer_capacity = capacity;
    }
    sink->buffers[count] = (wr_buffer){.data = data, .bytes = bytes};
    sink->held[count].object = object;
    sink->held[count].has_view = view != NULL;
    if (view != NULL) {
        sink->held[count].view = *view;
    }
    sink->buffer_count = count + 1;
    return count;
}

int64_t wr_py_sink_add_ref(wr_py_sink *sink, PyObject *ref) {
    const uint32_t count = sink->ref_count;
    if (sink->refuse_refs) {
        PyErr_SetString(PyExc_ValueError, "references need a session");
        return -1;
    }
    const wr_ref handle = wr_py_ref_use(ref);
    if (handle == 0) {
        return -1;
    }
    if (count == sink->ref_capacity) {
        const uint32_t capacity = doubled(sink->ref_capacity);
        if (reserve((void **)&sink->refs, count, capacity, sizeof *sink->refs) != 0 ||
            reserve((void **)&sink->ref_objects, count, capacity, sizeof *sink->ref_objects) != 0) {
            return -1;
        }
        sink->ref_capacity = capacity;
    }
    Py_INCREF(ref);
    sink->refs[count] = handle;
    sink->ref_objects[count] = ref;
    sink->ref_count = count + 1;
    return count;
}

int64_t wr_py_sink_add_link(wr_py_sink *sink, wr_ref handle, PyObject *owned) {
    const uint32_t count = sink->link_count;
    if (count == sink->link_capacity) {
        const uint32_t capacity = doubled(sink->link_capacity);
        if (reserve((void **)&sink->links, count, capacity, sizeof *sink->links) != 0 ||
            reserve((void **)&sink->link_objects, count, capacity, sizeof *sink->link_objects) != 0) {
            Py_XDECREF(owned);
            return -1;
        }
        sink->link_capacity = capacity;
    }
    sink->links[count] = handle;
    sink->link_objects[count] = owned;
    sink->link_count = count + 1;
    return count;
}

wr_value wr_py_sink_value(const wr_py_sink *sink) {
    return (wr_value){
        .stream = sink->bytes,
        .stream_bytes = sink->used,
        .refs = sink->refs,
        .ref_count = sink->ref_count,
        .buffer_count = sink->buffer_count,
        .buffers = sink->buffers,
    };
}

/* ---- What a worker can import ---- */

static PyObject *importable; /* set of classes and functions found to be so */
static PyTypeObject *function_type;

static bool is_main(PyObject *module_name) {
    return PyUnicode_CompareWithASCIIString(module_name, "__main__") == 0 ||
           PyUnicode_CompareWithASCIIString(module_name, "__mp_main__") == 0;
}

/* The object that module.qualname names now: new reference, or NULL without an exception. */
static PyObject *look_up(PyObject *module_name, PyObject *qualname) {
    PyObject *modules = PySys_GetObject("modules"); /* borrowed */
    PyObject *found = modules != NULL ? PyDict_GetItemWithError(modules, module_name) : NULL;
    Py_XINCREF(found);
    PyObject *parts = found != NULL ? PyObject_CallMethod(qualname, "split", "s", ".") : NULL;
    for (Py_ssize_t k = 0; parts != NULL && found != NULL && k < PyList_Size(parts); k++) {
        PyObject *next = PyObject_GetAttr(found, PyList_GetItem(parts, k));
        Py_DECREF(found);
        found = next;
    }
    if (parts == NULL) {
        Py_CLEAR(found);
    }
    Py_XDECREF(parts);
    PyErr_Clear();
    return found;
}

/* cloudpickle.register_pickle_by_value(module) was called for this module or a parent of it. */
static bool by_value_on_request(PyObject *module_name) {
    PyObject *modules = PySys_GetObject("modules");
    PyObject *cloudpickle = modules != NULL ? PyDict_GetItemString(modules, "cloudpickle.cloudpickle") : NULL;
    PyObject *registered =
        cloudpickle != NULL ? PyObject_GetAttrString(cloudpickle, "_PICKLE_BY_VALUE_MODULES") : NULL;
    bool yes = false;
    if (registered != NULL && PyObject_Size(registered) > 0) {
        PyObject *names = PySequence_List(registered);
        for (Py_ssize_t k = 0; names != NULL && k < PyList_Size(names); k++) {
            PyObject *name = PyList_GetItem(names, k);
            PyObject *dotted = PyUnicode_FromFormat("%U.", name);
            yes |= PyUnicode_Compare(name, module_name) == 0 ||
                   (dotted != NULL && PyUnicode_Tailmatch(module_name, dotted, 0, PY_SSIZE_T_MAX, -1) == 1);
            Py_XDECREF(dotted);
        }
        Py_XDECREF(names);
    }
    Py_XDECREF(registered);
    PyErr_Clear();
    return yes;
}

/* Whether pickle's "by module and name" means the same object in a worker. */
static bool is_importable(PyObject *object) {
    if (importable == NULL && (importable = PySet_New(NULL)) == NULL) {
        PyErr_Clear();
        return false;
    }
    const int known = PySet_Contains(importable, object);
    if (known == 1) {
        return true;
    }
    if (known < 0) {
        PyErr_Clear(); /* a metaclass without hash */
    }
    PyObject *module = PyObject_GetAttrString(object, "__module__");
    PyObject *qualname = PyObject_GetAttrString(object, "__qualname__");
    bool yes = false;
    if (module != NULL && qualname != NULL && PyUnicode_Check(module) && PyUnicode_Check(qualname) &&
        !is_main(module)) {
        PyObject *found = look_up(module, qualname);
        yes = found == object && !by_value_on_request(module);
        Py_XDECREF(found);
    }
    PyErr_Clear();
    Py_XDECREF(module);
    Py_XDECREF(qualname);
    if (yes && known == 0 && PySet_Add(importable, object) != 0) {
        PyErr_Clear();
    }
    return yes;
}

/* ---- The pickler's side ---- */

static PyObject *ref_at; /* whipray._core._ref_at */

static PyObject *sink_write(PyObject *self, PyObject *data) {
    wr_py_sink *sink = (wr_py_sink *)self;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0) {
        return NULL;
    }
    uint8_t *room = wr_py_sink_room(sink, (size_t)view.len);
    if (room != NULL && view.len > 0) {
        memcpy(room, view.buf, (size_t)view.len);
    }
    Py_ssize_t bytes = view.len;
    PyBuffer_Release(&view);
    return room != NULL ? PyLong_FromSsize_t(bytes) : NULL;
}

/* buffer_callback of pickle: true keeps the buffer in the stream. None is too small to travel beside it: out of
 * the stream its reader could write to it. */
static PyObject *sink_buffer(PyObject *self, PyObject *buffer) {
    wr_py_sink *sink = (wr_py_sink *)self;
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_ANY_CONTIGUOUS) != 0) {
        PyErr_Clear();
        Py_RETURN_TRUE;
    }
    if (wr_py_sink_add_buffer(sink, NULL, &view, view.buf, (uint64_t)view.len) < 0) {
        PyBuffer_Release(&view);
        return NULL;
    }
    Py_RETURN_FALSE;
}

/* reducer_override: the C pickler asks for whatever is no builtin value. */
static PyObject *sink_reduce(PyObject *self, PyObject *object) {
    wr_py_sink *sink = (wr_py_sink *)self;
    PyTypeObject *type = Py_TYPE(object);
    if (type == wr_py_ref_type) {
        const int64_t position = wr_py_sink_add_ref(sink, object);
        if (position < 0) {
            return NULL;
        }
        return Py_BuildValue("O(LI)", ref_at, (long long)position - sink->ref_base,
                             ((wr_py_ref *)object)->index);
    }
    if (PyDict_Size(wr_py.serializers) > 0) {
        PyObject *serializer = PyDict_GetItemWithError(wr_py.serializers, (PyObject *)type);
        if (serializer != NULL) {
            return PyObject_CallFunctionObjArgs(serializer, object, NULL);
        }
        if (PyErr_Occurred()) {
            return NULL;
        }
    }
    if (!sink->cloud && (type == function_type || PyType_Check(object)) && !is_importable(object)) {
        sink->need_cloud = true;
        PyErr_SetString(PyExc_RuntimeError, "pickled by value");
        return NULL;
    }
    Py_RETURN_NOTIMPLEMENTED;
}

/* ---- Pickling ---- */

/* A trivial subclass of the C pickler: only a subclass looks for reducer_override. */
static PyObject *pickler_class(void) {
    static PyObject *made;
    if (made == NULL) {
        PyObject *pickle = PyImport_ImportModule("pickle");
        PyObject *base = pickle != NULL ? PyObject_GetAttrString(pickle, "Pickler") : NULL;
        made = base != NULL ? PyObject_CallFunction((PyObject *)&PyType_Type, "s(O){s:s}", "_Pickler", base,
                                                    "__module__", "whipray._core")
                            : NULL;
        Py_XDECREF(base);
        Py_XDECREF(pickle);
    }
    return made;
}

static int pickler_open(wr_py_sink *sink) {
    if (sink->dump != NULL) {
        return 0;
    }
    PyObject *class = pickler_class();
    PyObject *reduce = PyObject_GetAttrString((PyObject *)sink, "reduce");
    PyObject *buffer = PyObject_GetAttrString((PyObject *)sink, "buffer");
    PyObject *args = class != NULL ? Py_BuildValue("(Oi)", sink, 5) : NULL;
    PyObject *named = buffer != NULL ? Py_BuildValue("{s:O}", "buffer_callback", buffer) : NULL;
    PyObject *pickler = args != NULL && named != NULL ? PyObject_Call(class, args, named) : NULL;
    if (pickler != NULL && reduce != NULL &&
        PyObject_SetAttrString(pickler, "reducer_override", reduce) == 0) {
        sink->dump = PyObject_GetAttrString(pickler, "dump");
        sink->clear_memo = PyObject_GetAttrString(pickler, "clear_memo");
    }
    Py_XDECREF(pickler);
    Py_XDECREF(named);
    Py_XDECREF(args);
    Py_XDECREF(buffer);
    Py_XDECREF(reduce);
    if (sink->dump == NULL || sink->clear_memo == NULL) {
        sink_clear_pickler(sink);
        return -1;
    }
    return 0;
}

static int dump_plain(wr_py_sink *sink, PyObject *value) {
    if (pickler_open(sink) != 0) {
        return -1;
    }
    PyObject *done = PyObject_CallFunctionObjArgs(sink->dump, value, NULL);
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyObject *cleared = PyObject_CallNoArgs(sink->clear_memo);
    Py_XDECREF(cleared);
    if (done == NULL) {
        sink_clear_pickler(sink); /* its half-written frame would come out first the next time */
    }
    PyErr_Restore(type, error, traceback);
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    return 0;
}

static int dump_cloud(wr_py_sink *sink, PyObject *value) {
    sink->cloud = true;
    PyObject *done = wr_py_hook_call(WR_PY_HOOK_cloud_dump, (PyObject *)sink, value);
    sink->cloud = false;
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

/* Plain pickle could not: cloudpickle knows modules, closures, properties ... and its message is the better
 * one. */
static bool cloud_may_help(void) {
    if (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_AttributeError) ||
        PyErr_ExceptionMatches(PyExc_NotImplementedError) || PyErr_ExceptionMatches(PyExc_RecursionError)) {
        return true;
    }
    static PyObject *pickle_error;
    if (pickle_error == NULL) {
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        PyObject *pickle = PyImport_ImportModule("pickle");
        pickle_error = pickle != NULL ? PyObject_GetAttrString(pickle, "PickleError") : NULL;
        Py_XDECREF(pickle);
        PyErr_Restore(type, error, traceback);
    }
    return pickle_error != NULL && PyErr_ExceptionMatches(pickle_error);
}

int wr_py_sink_pickle(wr_py_sink *sink, PyObject *value, bool by_value) {
    enum { HEAD = 1 + 8 + 4 + 4 };
    const wr_py_mark mark = wr_py_sink_mark(sink);
    const size_t begin = sink->used;
    if (wr_py_sink_room(sink, HEAD) == NULL) {
        return -1;
    }
    int status = -1;
    if (!by_value) {
        sink->need_cloud = false;
        status = dump_plain(sink, value);
        if (status != 0 && (sink->need_cloud || cloud_may_help()) &&
            wr_py_hook_find(WR_PY_HOOK_cloud_dump) != NULL) {
            PyErr_Clear();
            by_value = true;
        }
    }
    if (by_value) {
        wr_py_sink_rewind(sink, mark);
        if (wr_py_sink_room(sink, HEAD) == NULL) {
            return -1;
        }
        status = dump_cloud(sink, value);
    }
    if (status != 0) {
        return -1;
    }
    uint8_t *head = sink->bytes + begin;
    const uint64_t bytes = sink->used - begin - HEAD;
    const uint32_t first = mark.buffers - sink->buffer_base, buffers = sink->buffer_count - mark.buffers;
    head[0] = WR_PY_PICKLE;
    memcpy(head + 1, &bytes, 8);
    memcpy(head + 9, &first, 4);
    memcpy(head + 13, &buffers, 4);
    return 0;
}

static PyMethodDef sink_methods[] = {
    {"write", sink_write, METH_O, NULL},
    {"buffer", sink_buffer, METH_O, NULL},
    {"reduce", sink_reduce, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot sink_slots[] = {
    {Py_tp_dealloc, sink_dealloc},
    {Py_tp_methods, sink_methods},
    {0, NULL},
};
static PyType_Spec sink_spec = {
    .name = "whipray._core.Sink",
    .basicsize = sizeof(wr_py_sink),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = sink_slots,
};

static PyMethodDef functions[] = {
    {"_ref_at", WR_PY_FUNCTION(wr_py_ref_at), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_sink_add(PyObject *module) {
    if (wr_py_add_type(module, "Sink", &sink_spec, &wr_py_sink_type) != 0 ||
        PyModule_AddFunctions(module, functions) != 0) {
        return -1;
    }
    ref_at = PyObject_GetAttrString(module, "_ref_at");
    PyObject *types = PyImport_ImportModule("types"); /* imported by every interpreter's start */
    PyObject *found = types != NULL ? PyObject_GetAttrString(types, "FunctionType") : NULL;
    Py_XDECREF(types);
    function_type = (PyTypeObject *)found;
    return ref_at != NULL && found != NULL ? 0 : -1;
}

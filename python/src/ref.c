/* ObjectRef, buffers over the pool, and what tasks were lent. */
#include "core.h"

#include <string.h>
#include <sys/random.h>

PyTypeObject *wr_py_ref_type, *wr_py_buffer_type;

enum { FREE_MAX = 1024, ID_BYTES = 28, TASK_ID_BYTES = 24, JOB_AT = 12, JOB_BYTES = 4, INDEX_AT = 24 };

static wr_py_ref *free_refs[FREE_MAX]; /* recycled objects: 5 ns instead of 20 */
static uint32_t free_count;
static PyObject *task_id_class, *job_id_class;

/* ---- Making and dropping ---- */

static wr_py_ref *ref_alloc(void) {
    wr_py_ref *ref = free_count > 0
                         ? (wr_py_ref *)PyObject_Init((PyObject *)free_refs[--free_count], wr_py_ref_type)
                         : PyObject_New(wr_py_ref, wr_py_ref_type);
    if (ref != NULL) {
        ref->handle = 0;
        ref->index = 0;
        ref->session = wr_py.session & 0x3fffffff;
        ref->owned = 0;
        ref->bare = 0;
    }
    return ref;
}

static bool is_live(const wr_py_ref *ref) {
    return ref->session == wr_py.session && !ref->bare && wr_py.client != NULL;
}

PyObject *wr_py_ref_new(wr_ref handle, uint32_t index) {
    wr_py_ref *ref = ref_alloc();
    if (ref == NULL) {
        wr_unref(wr_py.client, handle);
        return NULL;
    }
    ref->handle = handle;
    ref->index = index;
    ref->owned = 1;
    return (PyObject *)ref;
}

static int loans_add(wr_py_loans *loans, PyObject *object) {
    if (loans->count == loans->capacity) {
        uint32_t capacity = loans->capacity == 0 ? 16 : loans->capacity * 2;
        PyObject **items = PyMem_Realloc(loans->items, capacity * sizeof *items);
        if (items == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        loans->items = items;
        loans->capacity = capacity;
    }
    Py_INCREF(object);
    loans->items[loans->count++] = object;
    return 0;
}

PyObject *wr_py_ref_of(wr_ref handle, uint32_t index, wr_py_loans *loans) {
    wr_py_ref *ref = ref_alloc();
    if (ref == NULL) {
        return NULL;
    }
    ref->handle = handle;
    ref->index = index;
    if (loans != NULL) {
        if (loans_add(loans, (PyObject *)ref) != 0) {
            Py_DECREF(ref);
            return NULL;
        }
    } else {
        wr_borrow(wr_py.client, handle);
        ref->owned = 1;
    }
    return (PyObject *)ref;
}

static PyObject *ref_bare(const uint8_t id[ID_BYTES]) {
    wr_py_ref *ref = ref_alloc();
    if (ref == NULL) {
        return NULL;
    }
    ref->id = PyBytes_FromStringAndSize((const char *)id, ID_BYTES);
    ref->bare = 1;
    if (ref->id == NULL) {
        ref->bare = 0;
        Py_DECREF(ref);
        return NULL;
    }
    return (PyObject *)ref;
}

static void ref_dealloc(PyObject *self) {
    wr_py_ref *ref = (wr_py_ref *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (ref->bare) {
        Py_DECREF(ref->id);
    } else if (ref->owned && ref->handle != 0 && is_live(ref)) {
        wr_unref(wr_py.client, ref->handle);
    }
    if (free_count < FREE_MAX) {
        free_refs[free_count++] = ref;
    } else {
        PyObject_Free(ref);
    }
    Py_DECREF(type);
}

static wr_ref refuse(const wr_py_ref *ref) {
    if (ref->bare || ref->handle == 0) {
        wr_py_raise_status(WR_E_OBJECT_LOST, "the ObjectRef names no object of this session", "");
    } else if (wr_py.forked) {
        (void)wr_py_client(); /* raises, with the reason */
    } else {
        wr_py_raise_status(WR_E_STATE, "the ObjectRef is from a session that has ended", "");
    }
    return 0;
}

wr_ref wr_py_ref_look(PyObject *self) {
    wr_py_ref *ref = (wr_py_ref *)self;
    return WR_LIKELY(is_live(ref) && ref->handle != 0) ? ref->handle : refuse(ref);
}

wr_ref wr_py_ref_use(PyObject *self) {
    wr_py_ref *ref = (wr_py_ref *)self;
    if (WR_UNLIKELY(!is_live(ref) || ref->handle == 0)) {
        return refuse(ref);
    }
    if (!ref->owned) {
        wr_borrow(wr_py.client, ref->handle);
        ref->owned = 1;
    }
    return ref->handle;
}

/* ---- Loans ---- */

void wr_py_loans_end(wr_py_loans *loans) {
    while (loans->count > 0) {
        PyObject *object = loans->items[--loans->count];
        if (Py_TYPE(object) == wr_py_ref_type) {
            wr_py_ref *ref = (wr_py_ref *)object;
            if (Py_REFCNT(object) > 1) {
                if (!ref->owned && is_live(ref)) {
                    wr_borrow(wr_py.client, ref->handle);
                    ref->owned = 1;
                }
            } else if (!ref->owned) {
                ref->handle = 0;
            }
        } else {
            wr_py_buffer *buffer = (wr_py_buffer *)object;
            if (Py_REFCNT(object) > 1 && !buffer->owned && buffer->session == wr_py.session &&
                wr_py.client != NULL) {
                wr_borrow(wr_py.client, buffer->handle);
                buffer->owned = true;
            }
        }
        Py_DECREF(object);
    }
}

void wr_py_loans_done(wr_py_loans *loans) {
    PyMem_Free(loans->items);
    *loans = (wr_py_loans){0};
}

/* ---- Buffers ---- */

static wr_py_buffer *buffer_alloc(const uint8_t *data, uint64_t bytes) {
    wr_py_buffer *buffer = PyObject_New(wr_py_buffer, wr_py_buffer_type);
    if (buffer != NULL) {
        buffer->handle = 0;
        buffer->data = data;
        buffer->bytes = bytes;
        buffer->owner = NULL;
        buffer->session = 0;
        buffer->owned = false;
    }
    return buffer;
}

PyObject *wr_py_buffer_new(wr_ref handle, const uint8_t *data, uint64_t bytes, wr_py_loans *loans) {
    wr_py_buffer *buffer = buffer_alloc(data, bytes);
    if (buffer == NULL) {
        return NULL;
    }
    buffer->handle = handle;
    buffer->session = wr_py.session;
    wr_py_views_begin();
    if (loans == NULL) {
        wr_addref(wr_py.client, handle);
        buffer->owned = true;
    } else if (loans_add(loans, (PyObject *)buffer) != 0) {
        Py_DECREF(buffer);
        return NULL;
    }
    return (PyObject *)buffer;
}

PyObject *wr_py_buffer_over(PyObject *owner, const uint8_t *data, uint64_t bytes) {
    wr_py_buffer *buffer = buffer_alloc(data, bytes);
    if (buffer != NULL) {
        Py_XINCREF(owner);
        buffer->owner = owner;
    }
    return (PyObject *)buffer;
}

static void buffer_dealloc(PyObject *self) {
    wr_py_buffer *buffer = (wr_py_buffer *)self;
    Py_XDECREF(buffer->owner);
    if (buffer->session != 0) {
        if (buffer->owned && buffer->session == wr_py.session && wr_py.client != NULL) {
            wr_unref(wr_py.client, buffer->handle);
        }
        wr_py_views_end();
    }
    wr_py_free_object(self);
}

static int buffer_get(PyObject *self, Py_buffer *view, int flags) {
    wr_py_buffer *buffer = (wr_py_buffer *)self;
    return PyBuffer_FillInfo(view, self, (void *)(uintptr_t)buffer->data, (Py_ssize_t)buffer->bytes, 1,
                             flags);
}

static PyType_Slot buffer_slots[] = {
    {Py_tp_dealloc, buffer_dealloc},
    {Py_bf_getbuffer, buffer_get},
    {0, NULL},
};
static PyType_Spec buffer_spec = {
    .name = "whipray._core._Buffer",
    .basicsize = sizeof(wr_py_buffer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = buffer_slots,
};

/* ---- Identity ---- */

/* Of a handle of this session: prefix of the session, handle, index, as the client itself writes them; so an
 * id can be read after the session has ended. */
void wr_py_ref_id(const wr_py_ref *ref, uint8_t out[ID_BYTES]) {
    if (ref->bare) {
        memcpy(out, PyBytes_AsString(ref->id), ID_BYTES);
    } else if (ref->handle == 0) {
        memset(out, 0xff, ID_BYTES);
    } else if (is_live(ref)) {
        wr_ref_id(wr_py.client, ref->handle, ref->index, out);
    } else {
        memcpy(out, wr_py.id_prefix, sizeof wr_py.id_prefix);
        memcpy(out + sizeof wr_py.id_prefix, &ref->handle, sizeof ref->handle);
        memcpy(out + INDEX_AT, &ref->index, sizeof ref->index);
    }
}

static Py_hash_t ref_hash(PyObject *self) {
    wr_py_ref *ref = (wr_py_ref *)self;
    if (ref->bare) {
        return PyObject_Hash(ref->id);
    }
    uint64_t mixed = (ref->handle + ref->index) * 0x9e3779b97f4a7c15ull;
    mixed ^= mixed >> 32;
    return (Py_hash_t)mixed == -1 ? -2 : (Py_hash_t)mixed;
}

static bool ref_equal(const wr_py_ref *a, const wr_py_ref *b) {
    if (a->bare || b->bare) {
        uint8_t x[ID_BYTES], y[ID_BYTES];
        wr_py_ref_id(a, x);
        wr_py_ref_id(b, y);
        return memcmp(x, y, ID_BYTES) == 0;
    }
    return a->handle == b->handle && a->index == b->index && (a->session == b->session || a->handle == 0);
}

static PyObject *ref_compare(PyObject *a, PyObject *b, int op) {
    if (!wr_py_is_ref(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    const bool equal = ref_equal((wr_py_ref *)a, (wr_py_ref *)b);
    switch (op) {
    case Py_EQ:
        return PyBool_FromLong(equal);
    case Py_NE:
        return PyBool_FromLong(!equal);
    default:
        break;
    }
    uint8_t x[ID_BYTES], y[ID_BYTES];
    wr_py_ref_id((wr_py_ref *)a, x);
    wr_py_ref_id((wr_py_ref *)b, y);
    const int order = memcmp(x, y, ID_BYTES);
    return PyBool_FromLong(op == Py_LT   ? order < 0
                           : op == Py_LE ? order <= 0
                           : op == Py_GT ? order > 0
                                         : order >= 0);
}

static PyObject *hex_of(const uint8_t *bytes, size_t count) {
    static const char digits[] = "0123456789abcdef";
    char text[2 * ID_BYTES];
    for (size_t k = 0; k < count; k++) {
        text[2 * k] = digits[bytes[k] >> 4];
        text[2 * k + 1] = digits[bytes[k] & 15];
    }
    return PyUnicode_FromStringAndSize(text, (Py_ssize_t)(2 * count));
}

static PyObject *ref_hex(PyObject *self, PyObject *ignored) {
    (void)ignored;
    uint8_t id[ID_BYTES];
    wr_py_ref_id((wr_py_ref *)self, id);
    return hex_of(id, ID_BYTES);
}

static PyObject *ref_binary(PyObject *self, PyObject *ignored) {
    (void)ignored;
    uint8_t id[ID_BYTES];
    wr_py_ref_id((wr_py_ref *)self, id);
    return PyBytes_FromStringAndSize((const char *)id, ID_BYTES);
}

static PyObject *ref_repr(PyObject *self) {
    PyObject *hex = ref_hex(self, NULL);
    PyObject *text = hex != NULL ? PyUnicode_FromFormat("ObjectRef(%U)", hex) : NULL;
    Py_XDECREF(hex);
    return text;
}

static PyObject *id_part(PyObject *self, PyObject *class, size_t at, size_t count) {
    uint8_t id[ID_BYTES];
    wr_py_ref_id((wr_py_ref *)self, id);
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)id + at, (Py_ssize_t)count);
    if (bytes == NULL || class == NULL) {
        return bytes;
    }
    PyObject *made = PyObject_CallFunctionObjArgs(class, bytes, NULL);
    Py_DECREF(bytes);
    return made;
}

static PyObject *ref_task_id(PyObject *self, PyObject *ignored) {
    (void)ignored;
    return id_part(self, task_id_class, 0, TASK_ID_BYTES);
}

static PyObject *ref_task_id_bytes(PyObject *self, PyObject *ignored) {
    (void)ignored;
    return id_part(self, NULL, 0, TASK_ID_BYTES);
}

static PyObject *ref_job_id(PyObject *self, PyObject *ignored) {
    (void)ignored;
    return id_part(self, job_id_class, JOB_AT, JOB_BYTES);
}

static PyObject *ref_is_nil(PyObject *self, PyObject *ignored) {
    (void)ignored;
    uint8_t id[ID_BYTES], nil[ID_BYTES];
    wr_py_ref_id((wr_py_ref *)self, id);
    memset(nil, 0xff, ID_BYTES);
    return PyBool_FromLong(memcmp(id, nil, ID_BYTES) == 0);
}

/* An id that came as bytes: of an object here, then borrowed; else bare. */
static PyObject *ref_from_id(const uint8_t id[ID_BYTES]) {
    wr_ref handle = 0;
    uint32_t index = 0;
    if (wr_py.client != NULL && wr_ref_from_id(wr_py.client, id, &handle, &index) && handle != 0 &&
        wr_ref_valid(wr_py.client, handle)) {
        return wr_py_ref_of(handle, index, NULL);
    }
    uint8_t nil[ID_BYTES];
    memset(nil, 0xff, ID_BYTES);
    return memcmp(id, nil, ID_BYTES) == 0 ? (PyObject *)ref_alloc() : ref_bare(id);
}

static PyObject *ref_from_binary(PyObject *class, PyObject *bytes) {
    (void)class;
    if (!PyBytes_Check(bytes) || PyBytes_Size(bytes) != ID_BYTES) {
        PyErr_Format(PyExc_ValueError, "an ObjectRef's id is %d bytes, got %R", (int)ID_BYTES, bytes);
        return NULL;
    }
    return ref_from_id((const uint8_t *)PyBytes_AsString(bytes));
}

static PyObject *ref_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)type;
    static char *names[] = {"id", NULL};
    PyObject *id;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", names, &id)) {
        return NULL;
    }
    return ref_from_binary(NULL, id);
}

static PyObject *ref_from_hex(PyObject *class, PyObject *text) {
    PyObject *bytes = PyObject_CallMethod((PyObject *)&PyBytes_Type, "fromhex", "O", text);
    PyObject *ref = bytes != NULL ? ref_from_binary(class, bytes) : NULL;
    Py_XDECREF(bytes);
    return ref;
}

static PyObject *ref_nil(PyObject *class, PyObject *ignored) {
    (void)class;
    (void)ignored;
    return (PyObject *)ref_alloc();
}

static PyObject *ref_from_random(PyObject *class, PyObject *ignored) {
    (void)class;
    (void)ignored;
    uint8_t id[ID_BYTES];
    if (getrandom(id, sizeof id, 0) != (ssize_t)sizeof id) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return ref_bare(id);
}

static PyObject *ref_size(PyObject *class, PyObject *ignored) {
    (void)class;
    (void)ignored;
    return PyLong_FromLong(ID_BYTES);
}

/* ---- Pickled by hand: outside of a value nobody can count what the bytes name, so the object stays for the
 * session ---- */

static PyObject *ref_reduce(PyObject *self, PyObject *ignored) {
    (void)ignored;
    wr_py_ref *ref = (wr_py_ref *)self;
    if (is_live(ref) && ref->handle != 0) {
        (void)wr_py_ref_use(self);
        wr_addref(wr_py.client, ref->handle);
        wr_share(wr_py.client, ref->handle);
    }
    PyObject *id = ref_binary(self, NULL);
    return id != NULL ? Py_BuildValue("O(N)", (PyObject *)wr_py_ref_type, id) : NULL;
}

/* ---- Waiting: the Python half's, but for a ref that is ready ---- */

typedef struct ready_await { /* an iterator that ends at once, with the value */
    PyObject_HEAD PyObject *value;
} ready_await;
static PyTypeObject *ready_await_type;

static PyObject *ready_next(PyObject *self) {
    ready_await *await = (ready_await *)self;
    PyObject *value = await->value;
    if (value == NULL) {
        return NULL;
    }
    await->value = NULL;
    if (value == Py_None) {
        Py_DECREF(value);
        return NULL;
    }
    PyObject *stop = PyObject_CallFunctionObjArgs(PyExc_StopIteration, value,
                                                  NULL); /* made first: a tuple stays one value */
    Py_DECREF(value);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

static void ready_dealloc(PyObject *self) {
    Py_XDECREF(((ready_await *)self)->value);
    wr_py_free_object(self);
}

static PyObject *self_iter(PyObject *self) {
    Py_INCREF(self);
    return self;
}

static PyType_Slot ready_slots[] = {
    {Py_tp_dealloc, ready_dealloc},
    {Py_tp_iter, self_iter},
    {Py_tp_iternext, ready_next},
    {0, NULL},
};
static PyType_Spec ready_spec = {
    .name = "whipray._core._Ready",
    .basicsize = sizeof(ready_await),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = ready_slots,
};

static PyObject *ref_await(PyObject *self) {
    wr_ref handle = wr_py_ref_look(self);
    if (handle == 0) {
        return NULL;
    }
    bool pending = false;
    PyObject *value = wr_py_value(handle, ((wr_py_ref *)self)->index, self, NULL, &pending);
    if (pending) {
        return wr_py_hook_call(WR_PY_HOOK_await_ref, self, NULL);
    }
    if (value == NULL) {
        return NULL;
    }
    ready_await *await = PyObject_New(ready_await, ready_await_type);
    if (await == NULL) {
        Py_DECREF(value);
        return NULL;
    }
    await->value = value;
    return (PyObject *)await;
}

static PyObject *ref_future(PyObject *self, PyObject *ignored) {
    (void)ignored;
    return wr_py_hook_call(WR_PY_HOOK_future_of, self, NULL);
}

static PyObject *ref_as_future(PyObject *self, PyObject *ignored) {
    (void)ignored;
    PyObject *asyncio = PyImport_ImportModule("asyncio");
    PyObject *future = asyncio != NULL ? ref_future(self, NULL) : NULL;
    PyObject *wrapped = future != NULL ? PyObject_CallMethod(asyncio, "wrap_future", "O", future) : NULL;
    Py_XDECREF(future);
    Py_XDECREF(asyncio);
    return wrapped;
}

static PyObject *ref_on_completed(PyObject *self, PyObject *callback) {
    return wr_py_hook_call(WR_PY_HOOK_on_completed, self, callback);
}

static PyObject *ref_call_site(PyObject *self, PyObject *ignored) {
    (void)self;
    (void)ignored;
    return PyUnicode_FromString("");
}

static PyObject *ref_owner_address(PyObject *self, PyObject *ignored) {
    (void)ignored;
    return id_part(self, NULL, 0, JOB_AT); /* the node owns the object, not a process of it */
}

static PyObject *ref_tensor_transport(PyObject *self, PyObject *ignored) {
    (void)self;
    (void)ignored;
    Py_RETURN_NONE;
}

static PyObject *ref_get_handle(PyObject *self, void *ignored) {
    (void)ignored;
    wr_py_ref *ref = (wr_py_ref *)self;
    return PyLong_FromUnsignedLongLong(ref->bare ? 0 : ref->handle);
}

static PyObject *ref_get_index(PyObject *self, void *ignored) {
    (void)ignored;
    return PyLong_FromUnsignedLong(((wr_py_ref *)self)->index);
}

static PyMethodDef ref_methods[] = {
    {"hex", ref_hex, METH_NOARGS, NULL},
    {"binary", ref_binary, METH_NOARGS, NULL},
    {"is_nil", ref_is_nil, METH_NOARGS, NULL},
    {"task_id", ref_task_id, METH_NOARGS, NULL},
    {"task_id_bytes", ref_task_id_bytes, METH_NOARGS, NULL},
    {"job_id", ref_job_id, METH_NOARGS, NULL},
    {"nil", ref_nil, METH_NOARGS | METH_CLASS, NULL},
    {"from_random", ref_from_random, METH_NOARGS | METH_CLASS, NULL},
    {"from_hex", ref_from_hex, METH_O | METH_CLASS, NULL},
    {"from_binary", ref_from_binary, METH_O | METH_CLASS, NULL},
    {"size", ref_size, METH_NOARGS | METH_CLASS, NULL},
    {"future", ref_future, METH_NOARGS, NULL},
    {"as_future", ref_as_future, METH_NOARGS, NULL},
    {"_on_completed", ref_on_completed, METH_O, NULL},
    {"call_site", ref_call_site, METH_NOARGS, NULL},
    {"owner_address", ref_owner_address, METH_NOARGS, NULL},
    {"tensor_transport", ref_tensor_transport, METH_NOARGS, NULL},
    {"__reduce__", ref_reduce, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef ref_getset[] = {
    {"handle", ref_get_handle, NULL, NULL, NULL},
    {"index", ref_get_index, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot ref_slots[] = {
    {Py_tp_new, ref_new},
    {Py_tp_dealloc, ref_dealloc},
    {Py_tp_hash, ref_hash},
    {Py_tp_richcompare, ref_compare},
    {Py_tp_repr, ref_repr},
    {Py_tp_methods, ref_methods},
    {Py_tp_getset, ref_getset},
    {Py_am_await, ref_await},
    {Py_tp_doc, "A counted reference to an object of the cluster."},
    {0, NULL},
};
static PyType_Spec ref_spec = {
    .name = "whipray._core.ObjectRef",
    .basicsize = sizeof(wr_py_ref),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = ref_slots,
};

/* ---- Module functions ---- */

static PyObject *ref_from_handle(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"handle", "index", NULL};
    unsigned long long handle; /* K takes both signs */
    unsigned int index = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "K|I", names, &handle, &index)) {
        return NULL;
    }
    if (wr_py_client() == NULL) {
        return NULL;
    }
    if (!wr_ref_valid(wr_py.client, handle)) {
        return wr_py_raise_status(WR_E_NOT_FOUND, "the handle names no object", "");
    }
    return wr_py_ref_of(handle, index, NULL);
}

static PyObject *share(PyObject *module, PyObject *ref) {
    (void)module;
    if (!wr_py_is_ref(ref)) {
        PyErr_Format(PyExc_TypeError, "share needs an ObjectRef, not %R", ref);
        return NULL;
    }
    wr_ref handle = wr_py_ref_use(ref);
    if (handle == 0) {
        return NULL;
    }
    wr_share(wr_py.client, handle);
    return PyLong_FromUnsignedLongLong(handle);
}

static PyObject *ref_reduce_function(PyObject *module, PyObject *ref) {
    (void)module;
    if (!wr_py_is_ref(ref)) {
        PyErr_Format(PyExc_TypeError, "ref_reduce needs an ObjectRef, not %R", ref);
        return NULL;
    }
    return ref_reduce(ref, NULL);
}

static PyObject *set_id_classes(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"task_id", "job_id", NULL};
    PyObject *task, *job;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$OO", names, &task, &job)) {
        return NULL;
    }
    Py_INCREF(task);
    Py_INCREF(job);
    Py_XDECREF(task_id_class);
    Py_XDECREF(job_id_class);
    task_id_class = task;
    job_id_class = job;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"ref_from_handle", WR_PY_FUNCTION(ref_from_handle), METH_VARARGS | METH_KEYWORDS, NULL},
    {"ref_reduce", ref_reduce_function, METH_O, NULL},
    {"share", share, METH_O, NULL},
    {"set_id_classes", WR_PY_FUNCTION(set_id_classes), METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_ref_add(PyObject *module) {
    return wr_py_add_type(module, "ObjectRef", &ref_spec, &wr_py_ref_type) != 0 ||
                   wr_py_add_type(module, "_Buffer", &buffer_spec, &wr_py_buffer_type) != 0 ||
                   wr_py_add_type(module, "_Ready", &ready_spec, &ready_await_type) != 0 ||
                   PyModule_AddFunctions(module, functions) != 0
               ? -1
               : 0;
}

/* Task: one claimed task from its arguments to its seal. */
#include "codec.h"
#include "core.h"

#include <string.h>

PyTypeObject *wr_py_task_type;

enum { TASK_ID_BYTES = 24 };

static PyObject *done_object;             /* _core.DONE */
static _Thread_local wr_py_task *running; /* innermost task of this thread */
static wr_py_task **worker_running;       /* `running` of the thread that runs all of this worker's tasks */

wr_py_task *wr_py_task_current(void) {
    return running;
}

wr_py_task *wr_py_task_of_worker(void) {
    return worker_running != NULL ? *worker_running : NULL;
}

void wr_py_task_thread_is(bool this_one) {
    worker_running = this_one ? &running : NULL;
}

static void enter(wr_py_task *t) {
    t->outer = running;
    running = t;
}

static void leave(wr_py_task *t) {
    if (running == t) {
        running = t->outer;
        t->outer = NULL;
    }
}

/* ---- Life ---- */

wr_py_task *wr_py_task_new(void) {
    allocfunc alloc = (allocfunc)PyType_GetSlot(wr_py_task_type, Py_tp_alloc);
    wr_py_task *t = (wr_py_task *)alloc(wr_py_task_type, 0);
    if (t != NULL) {
        wr_py.works = true;
        t->session = wr_py.session;
        t->sealed = true; /* until something is claimed */
    }
    return t;
}

static void task_dealloc(PyObject *self) {
    wr_py_task *t = (wr_py_task *)self;
    if (!t->sealed && !t->abandoned && wr_py_task_is_live(t)) {
        wr_error error = {.status = WR_E_INTERNAL};
        snprintf(error.text, sizeof error.text, "the worker dropped the task without a result");
        wr_py_loans_end(&t->loans);
        (void)wr_task_fail(wr_py.client, &t->task, &error);
    }
    wr_py_loans_end(&t->loans);
    wr_py_loans_done(&t->loans);
    wr_py_task_forget_children(t);
    PyMem_Free(t->children);
    Py_XDECREF(t->extra);
    wr_py_free_object(self);
}

/* Makes room for the next claim in the same object. */
void wr_py_task_reset(wr_py_task *t) {
    wr_py_task_forget_children(t);
    Py_CLEAR(t->extra);
    t->head = (wr_py_args_head){.num_returns = 1};
    t->head_read = false;
    t->readable = true;
    t->sealed = false;
    t->abandoned = false;
    t->session = wr_py.session;
}

/* ---- Calls ---- */

/* Calls the function with the task's arguments; the arguments are dropped again. */
static PyObject *call(wr_py_task *t, PyObject *callable) {
    if (WR_LIKELY(t->task.args.stream_bytes == 0)) {
        t->head = (wr_py_args_head){.num_returns = 1};
        t->head_read = true;
        return PyObject_CallNoArgs(callable);
    }
    wr_py_args a;
    if (wr_py_task_args(t, &a) != 0) {
        return NULL;
    }
    PyObject *result = wr_py_vector_call(callable, a.values, (Py_ssize_t)a.positional, a.names);
    wr_py_args_free(&a);
    return result;
}

/* ---- The end: encode; announce; drop the result; end the loans; seal ---- */

static void mark_sealed(wr_py_task *t) {
    wr_py_task_forget_children(t);
    t->sealed = true;
    t->readable = false;
}

static bool seal_error(wr_py_task *t, const wr_error *error) {
    wr_py_loans_end(&t->loans);
    mark_sealed(t);
    return wr_py_task_is_live(t) && wr_task_fail(wr_py.client, &t->task, error);
}

static bool seal_now(wr_py_task *t) {
    wr_py_loans_end(&t->loans);
    mark_sealed(t);
    return wr_task_seal(wr_py.client, &t->task);
}

static PyObject *packed_error(wr_py_task *t, PyObject *exception) {
    PyObject *name = wr_py_function_name(t->task.function);
    PyObject *payload = name != NULL ? wr_py_hook_call(WR_PY_HOOK_pack_error, exception, name) : NULL;
    Py_XDECREF(name);
    return payload;
}

/* One of several returns cannot be pickled: `sink` gets the present exception in its place. 0, or -1 with one. */
static int encode_failure(wr_py_task *t, wr_py_sink *sink) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(exception, traceback);
    }
    wr_py_sink_rewind(sink, (wr_py_mark){0});
    PyObject *payload = packed_error(t, exception);
    const int status = payload != NULL ? wr_py_encode(sink, payload) : -1;
    if (status == 0) {
        sink->bytes[0] = WR_PY_ERROR_1;
    }
    Py_XDECREF(payload);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    return status;
}

/* Encodes items and stores them as the result, still unsealed. Where one of several cannot be pickled, it and those
 * behind it fail (as in Ray). 0, or -1 with an exception, or 1: *error. */
static int store_items(wr_py_task *t, wr_kind kind, PyObject *const *items, uint32_t count, wr_error *error) {
    wr_py_sink *one_sink = NULL, **sinks = count == 1 ? &one_sink : PyMem_Calloc(count, sizeof *sinks);
    wr_value one_value, *values = count == 1 ? &one_value : PyMem_Calloc(count, sizeof *values);
    int status = sinks != NULL && values != NULL ? 0 : -1;
    if (status != 0) {
        PyErr_NoMemory();
    }
    for (uint32_t k = 0; status == 0 && k < count; k++) {
        if (items[k] == Py_None) { /* no byte at all */
            values[k] = (wr_value){0};
            continue;
        }
        sinks[k] = wr_py_sink_take();
        status = sinks[k] != NULL ? wr_py_encode(sinks[k], items[k]) : -1;
        const bool failed = status != 0 && sinks[k] != NULL && count > 1 && wr_py_task_is_live(t) &&
                            PyErr_ExceptionMatches(PyExc_Exception); /* else it ends the task */
        if (failed) {
            status = encode_failure(t, sinks[k]);
        }
        if (status == 0) {
            values[k] = wr_py_sink_value(sinks[k]);
        }
        for (; status == 0 && failed && k + 1 < count; k++) {
            values[k + 1] = values[k];
        }
    }
    if (status == 0 && !wr_py_task_is_live(t)) {
        (void)wr_py_raise_status(WR_E_STATE, "the session ended while the task ran", "");
        status = -1;
    }
    if (status == 0) {
        wr_status stored;
        wr_py_room room = {0};
        do {
            wr_py_room_begin(&room);
            stored = wr_task_result(wr_py.client, &t->task, kind, values, count, error);
        } while (wr_py_room_again(&room, stored));
        status = stored == WR_OK ? 0 : stored == WR_E_INTERRUPTED ? -1 : 1;
    }
    for (uint32_t k = 0; sinks != NULL && k < count; k++) {
        wr_py_sink_give(sinks[k]);
    }
    if (count != 1) {
        PyMem_Free(sinks);
        PyMem_Free(values);
    }
    return status;
}

/* The first reference argument that is an error: the task ends with the same error, and does not run. */
static bool fail_by_argument(wr_py_task *t) {
    for (uint32_t k = 0; k < t->task.ref_count; k++) {
        wr_view view;
        const wr_kind kind = wr_peek(wr_py.client, t->task.refs[k]);
        if (WR_LIKELY(kind == WR_KIND_VALUE || kind == WR_KIND_VALUES) ||
            wr_view_get(wr_py.client, t->task.refs[k], &view, NULL) != WR_OK) {
            continue;
        }
        wr_error error = {0};
        if (kind == WR_KIND_SYSTEM_ERROR) {
            wr_view_error(&view, &error);
            mark_sealed(t);
            (void)wr_task_fail(wr_py.client, &t->task, &error);
            return true;
        }
        if (view.ref_count > 0 || view.buffer_count > 0) {
            return false; /* decoding the arguments raises it, and what is raised is sealed */
        }
        const wr_value same = {.stream = view.stream, .stream_bytes = view.stream_bytes};
        mark_sealed(t);
        if (wr_task_result(wr_py.client, &t->task, WR_KIND_ERROR, &same, 1, &error) == WR_OK) {
            (void)wr_task_seal(wr_py.client, &t->task);
        } else {
            (void)wr_task_fail(wr_py.client, &t->task, &error);
        }
        return true;
    }
    return false;
}

static bool finish_with_exception(wr_py_task *t);

/* The items of num_returns > 1; NULL with ValueError. New list. */
static PyObject *items_of(PyObject *value, int32_t num_returns) {
    PyObject *list = PySequence_List(value);
    if (list == NULL) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError,
                     "the task returned a %R, but num_returns is %d: it must return that many values",
                     (PyObject *)Py_TYPE(value), (int)num_returns);
        return NULL;
    }
    if (PyList_Size(list) != num_returns) {
        PyErr_Format(PyExc_ValueError, "the task returned %zd values, but num_returns is %d",
                     PyList_Size(list), (int)num_returns);
        Py_CLEAR(list);
    }
    return list;
}

static bool finish_with_value(wr_py_task *t, PyObject *value) {
    wr_error error;
    error.status = WR_OK; /* the rest is filled only by a failure */
    int status;
    if (WR_LIKELY(t->head.num_returns == 1)) {
        status = store_items(t, WR_KIND_VALUE, &value, 1, &error);
    } else if (t->head.num_returns <= 0) {
        PyObject *none = Py_None;
        status = store_items(t, WR_KIND_VALUE, &none, 1, &error);
    } else {
        PyObject *list = items_of(value, t->head.num_returns);
        const uint32_t count = (uint32_t)t->head.num_returns;
        PyObject **items = list != NULL ? PyMem_Malloc(count * sizeof *items) : NULL;
        status = items != NULL ? 0 : -1;
        for (uint32_t k = 0; status == 0 && k < count; k++) {
            items[k] = PyList_GetItem(list, (Py_ssize_t)k);
        }
        if (status == 0) {
            status = store_items(t, WR_KIND_VALUE, items, count, &error);
        }
        PyMem_Free(items);
        Py_XDECREF(list);
    }
    Py_DECREF(value); /* may run __del__; its views are dropped before the loans are looked at */
    if (WR_LIKELY(status == 0)) {
        return wr_py_task_is_live(t) ? seal_now(t) : false;
    }
    return status < 0 ? finish_with_exception(t) : seal_error(t, &error);
}

/* `error` packed by the Python half and sealed. */
static bool seal_packed(wr_py_task *t, PyObject *exception) {
    wr_error error = {0};
    PyObject *payload = packed_error(t, exception);
    const int status = payload != NULL ? store_items(t, WR_KIND_ERROR, &payload, 1, &error) : -1;
    Py_XDECREF(payload);
    if (status == 0) {
        return true;
    }
    if (status < 0) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        PyObject *text = value != NULL ? PyObject_Str(value) : NULL;
        const char *utf8 = text != NULL ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
        error.status = WR_E_TASK_FAILED;
        snprintf(error.text, sizeof error.text,
                 "the task failed, and its exception could not be stored: %.500s", utf8 != NULL ? utf8 : "?");
        PyErr_Clear();
        Py_XDECREF(text);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    }
    (void)seal_error(t, &error);
    return false;
}

/* Application errors count against max_retries only if the call asks for it. */
static bool retried(wr_py_task *t, PyObject *exception) {
    if ((t->task.flags & WR_CALL_RETRY_ERRORS) == 0 || !wr_py_task_is_live(t)) {
        return false;
    }
    if (wr_py_hook_find(WR_PY_HOOK_should_retry) != NULL) {
        PyObject *answer =
            wr_py_hook_call(WR_PY_HOOK_should_retry, exception, t->extra != NULL ? t->extra : Py_None);
        const bool yes = answer != NULL && PyObject_IsTrue(answer) == 1;
        Py_XDECREF(answer);
        if (PyErr_Occurred()) {
            PyErr_Clear();
        }
        if (!yes || !wr_py_task_is_live(t)) {
            return false;
        }
    }
    wr_py_loans_end(&t->loans);
    if (!wr_task_retry(wr_py.client, &t->task)) {
        return false;
    }
    mark_sealed(t); /* no longer ours */
    return true;
}

/* Seals with the present exception, which is cleared. */
static bool finish_with_exception(wr_py_task *t) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(exception, traceback);
    }
    bool ours = false, packed = false;
    const bool interrupt = PyErr_GivenExceptionMatches(type, PyExc_KeyboardInterrupt) != 0;
    if (!wr_py_task_is_live(t)) {
        mark_sealed(t);
    } else if (interrupt && wr_worker_cancel_wanted(wr_py.client) == t->task.ref) {
        wr_error error = {.status = WR_E_CANCELLED};
        snprintf(error.text, sizeof error.text, "the task was cancelled while it ran");
        Py_CLEAR(type);
        Py_CLEAR(exception);
        Py_CLEAR(traceback);
        ours = seal_error(t, &error);
    } else if (!interrupt && retried(t, exception)) { /* its own KeyboardInterrupt counts as a cancel, too */
        ours = true;
    } else {
        packed = seal_packed(t, exception);
    }
    /* The traceback's frames hold arguments: dropped before the loans end. */
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    return packed && wr_py_task_is_live(t) ? seal_now(t) : ours;
}

bool wr_py_task_finish(wr_py_task *t, PyObject *value) {
    if (t->sealed) {
        Py_XDECREF(value);
        PyErr_Clear();
        return false;
    }
    if (!wr_py_task_is_live(t)) {
        mark_sealed(t);
        Py_XDECREF(value);
        PyErr_Clear();
        return false;
    }
    return value != NULL ? finish_with_value(t, value) : finish_with_exception(t);
}

/* ---- Running ---- */

int wr_py_task_run(wr_py_task *t, PyObject **out) {
    if (WR_UNLIKELY(t->task.ref_count > 0) && fail_by_argument(t)) {
        return WR_PY_RAN;
    }
    enter(t);
    PyObject *callable = wr_py_function_of(t->task.function);
    PyObject *result = NULL;
    if (WR_LIKELY(callable != NULL)) {
        Py_INCREF(callable); /* the table may change while it runs */
        result = call(t, callable);
        Py_DECREF(callable);
    }
    if (result != NULL && WR_UNLIKELY((t->task.flags & WR_CALL_STREAM) != 0)) {
        if (out != NULL && wr_py_is_async(result)) {
            leave(t);
            *out = result;
            return WR_PY_RAN;
        }
        result = wr_py_task_drive(t, result);
    } else if (out != NULL && result != NULL && wr_py_is_async(result)) {
        leave(t);
        *out = result;
        return WR_PY_RAN;
    } else if (result != NULL && t->head.num_returns > 0 && wr_py_is_generator(result)) {
        result = wr_py_task_drained(t, result);
    }
    leave(t);
    if (WR_UNLIKELY(result == NULL) && PyErr_ExceptionMatches(PyExc_SystemExit)) {
        t->abandoned = true; /* the process is about to end: that is what the raylet will see */
        return WR_PY_LEFT;
    }
    (void)wr_py_task_finish(t, result);
    return WR_PY_RAN;
}

/* ---- The Python type ---- */

static bool usable(wr_py_task *t) {
    if (!wr_py_task_is_live(t)) {
        if (wr_py_client() != NULL) {
            (void)wr_py_raise_status(WR_E_STATE, "the task is from a session that has ended", "");
        }
        return false;
    }
    return true;
}

/* What the task was lent ends with its seal. */
static bool readable(wr_py_task *t) {
    if (usable(t) && !t->readable) {
        (void)wr_py_raise_status(WR_E_STATE, "the task is done: its arguments are gone", "");
    }
    return t->readable && wr_py_task_is_live(t);
}

/* The head is needed by attributes, too. */
static bool head_ready(wr_py_task *t) {
    if (t->head_read) {
        return true;
    }
    if (!readable(t)) {
        return false;
    }
    return wr_py_task_head(t) == 0;
}

static PyObject *task_args(PyObject *self, PyObject *ignored) {
    (void)ignored;
    wr_py_task *t = (wr_py_task *)self;
    wr_py_args a;
    if (!readable(t) || wr_py_task_args(t, &a) != 0) {
        return NULL;
    }
    PyObject *positional = PyTuple_New((Py_ssize_t)a.positional), *named = PyDict_New();
    bool good = positional != NULL && named != NULL;
    for (uint32_t k = 0; good && k < a.positional; k++) {
        Py_INCREF(a.values[k]);
        PyTuple_SetItem(positional, (Py_ssize_t)k, a.values[k]);
    }
    for (uint32_t k = a.positional; good && k < a.total; k++) {
        good =
            PyDict_SetItem(named, PyTuple_GetItem(a.names, (Py_ssize_t)(k - a.positional)), a.values[k]) == 0;
    }
    wr_py_args_free(&a);
    if (!good) {
        Py_XDECREF(positional);
        Py_XDECREF(named);
        return NULL;
    }
    return Py_BuildValue("(NN)", positional, named);
}

static PyObject *done(void) {
    Py_INCREF(done_object);
    return done_object;
}

static PyObject *task_run(PyObject *self, PyObject *ignored) {
    (void)ignored;
    wr_py_task *t = (wr_py_task *)self;
    if (t->sealed) {
        return done();
    }
    if (!usable(t)) {
        return NULL;
    }
    PyObject *out = NULL;
    if (wr_py_task_run(t, &out) != WR_PY_RAN) {
        return NULL;
    }
    return out != NULL ? out : done();
}

static PyObject *task_step(PyObject *self, PyObject *coroutine) {
    wr_py_task *t = (wr_py_task *)self;
    if (!usable(t)) {
        return NULL;
    }
    PyObject *result = NULL;
    enter(t);
    const PySendResult sent = PyIter_Send(coroutine, Py_None, &result);
    leave(t);
    if (sent == PYGEN_NEXT) {
        return result;
    }
    if (sent == PYGEN_ERROR && PyErr_ExceptionMatches(PyExc_SystemExit)) {
        t->abandoned = true;
        return NULL;
    }
    (void)wr_py_task_finish(t, sent == PYGEN_RETURN ? result : NULL);
    return done();
}

static PyObject *task_enter(PyObject *self, PyObject *ignored) {
    (void)ignored;
    Py_INCREF(self);
    enter((wr_py_task *)self);
    Py_RETURN_NONE;
}

static PyObject *task_leave(PyObject *self, PyObject *ignored) {
    (void)ignored;
    if (running == (wr_py_task *)self) {
        leave((wr_py_task *)self);
        Py_DECREF(self);
    }
    Py_RETURN_NONE;
}

static PyObject *task_finish(PyObject *self, PyObject *value) {
    wr_py_task *t = (wr_py_task *)self;
    if (!t->sealed && !head_ready(t)) {
        return NULL;
    }
    Py_INCREF(value);
    return PyBool_FromLong(wr_py_task_finish(t, value));
}

static PyObject *task_fail(PyObject *self, PyObject *error) {
    wr_py_task *t = (wr_py_task *)self;
    if (!PyExceptionInstance_Check(error)) {
        PyErr_Format(PyExc_TypeError, "fail needs an exception, not %.200R", error);
        return NULL;
    }
    if (!t->sealed && !head_ready(t)) {
        return NULL;
    }
    Py_INCREF(error);
    PyObject *type = (PyObject *)Py_TYPE(error);
    Py_INCREF(type);
    PyErr_Restore(type, error, PyException_GetTraceback(error));
    return PyBool_FromLong(wr_py_task_finish(t, NULL));
}

static PyObject *task_fail_system(PyObject *self, PyObject *arguments) {
    wr_py_task *t = (wr_py_task *)self;
    const char *status, *text, *hint = "";
    if (!PyArg_ParseTuple(arguments, "ss|s", &status, &text, &hint)) {
        return NULL;
    }
    if (t->sealed) {
        Py_RETURN_FALSE;
    }
    wr_error error = {.status = wr_py_status_of(status)};
    snprintf(error.text, sizeof error.text, "%s", text);
    snprintf(error.hint, sizeof error.hint, "%s", hint);
    return PyBool_FromLong(seal_error(t, &error));
}

static PyObject *task_retry(PyObject *self, PyObject *ignored) {
    (void)ignored;
    wr_py_task *t = (wr_py_task *)self;
    if (t->sealed || !wr_py_task_is_live(t)) {
        Py_RETURN_FALSE;
    }
    wr_py_loans_end(&t->loans);
    const bool given = wr_task_retry(wr_py.client, &t->task);
    if (given) {
        mark_sealed(t);
    }
    return PyBool_FromLong(given);
}

static PyObject *task_yield_item(PyObject *self, PyObject *arguments, PyObject *kwargs) {
    static char *names[] = {"value", "wait", NULL};
    PyObject *value;
    int wait = 1;
    if (!PyArg_ParseTupleAndKeywords(arguments, kwargs, "O|p", names, &value, &wait) ||
        !usable((wr_py_task *)self)) {
        return NULL;
    }
    const int result = wr_py_task_yield((wr_py_task *)self, value, wait != 0);
    return result < 0 ? NULL : PyLong_FromLong(result);
}

static PyObject *task_abandon(PyObject *self, PyObject *ignored) {
    (void)ignored;
    ((wr_py_task *)self)->abandoned = true;
    Py_RETURN_NONE;
}

static PyObject *task_id_bytes(const wr_py_task *t) {
    uint8_t id[28];
    const wr_py_ref ref = {.handle = t->task.ref, .session = t->session & 0x3fffffff};
    wr_py_ref_id(&ref, id);
    return PyBytes_FromStringAndSize((const char *)id, TASK_ID_BYTES);
}

static PyObject *get_id(PyObject *self, void *ignored) {
    (void)ignored;
    return task_id_bytes((wr_py_task *)self);
}

static PyObject *get_name(PyObject *self, void *ignored) {
    (void)ignored;
    return wr_py_function_name(((wr_py_task *)self)->task.function);
}

static PyObject *get_callable(PyObject *self, void *ignored) {
    (void)ignored;
    PyObject *callable = wr_py_function_of(((wr_py_task *)self)->task.function);
    Py_XINCREF(callable);
    return callable;
}

static PyObject *get_num_returns(PyObject *self, void *ignored) {
    (void)ignored;
    wr_py_task *t = (wr_py_task *)self;
    return head_ready(t) ? PyLong_FromLong(t->head.num_returns) : NULL;
}

static PyObject *get_extra(PyObject *self, void *ignored) {
    (void)ignored;
    wr_py_task *t = (wr_py_task *)self;
    if (!head_ready(t)) {
        return NULL;
    }
    PyObject *extra = t->extra != NULL ? t->extra : Py_None;
    Py_INCREF(extra);
    return extra;
}

static PyObject *get_sealed(PyObject *self, void *ignored) {
    (void)ignored;
    return PyBool_FromLong(((wr_py_task *)self)->sealed);
}

static PyMethodDef task_methods[] = {
    {"args", task_args, METH_NOARGS, NULL},
    {"run", task_run, METH_NOARGS, NULL},
    {"step", task_step, METH_O, NULL},
    {"enter", task_enter, METH_NOARGS, NULL},
    {"leave", task_leave, METH_NOARGS, NULL},
    {"finish", task_finish, METH_O, NULL},
    {"fail", task_fail, METH_O, NULL},
    {"fail_system", task_fail_system, METH_VARARGS, NULL},
    {"retry", task_retry, METH_NOARGS, NULL},
    {"yield_item", WR_PY_FUNCTION(task_yield_item), METH_VARARGS | METH_KEYWORDS, NULL},
    {"abandon", task_abandon, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
#define TASK_MEMBER(name, type, field)                                                                       \
    {name, type, (Py_ssize_t)(offsetof(wr_py_task, task) + offsetof(wr_task, field)), READONLY, NULL}
static PyMemberDef task_members[] = {
    TASK_MEMBER("handle", T_ULONGLONG, ref),
    TASK_MEMBER("function", T_UINT, function),
    TASK_MEMBER("attempt", T_UINT, attempt),
    TASK_MEMBER("max_retries", T_INT, max_retries),
    TASK_MEMBER("flags", T_UINT, flags),
    TASK_MEMBER("lane", T_UINT, lane),
    TASK_MEMBER("port", T_UINT, port),
    TASK_MEMBER("caller_slot", T_UINT, caller_slot),
    {NULL, 0, 0, 0, NULL},
};
static PyGetSetDef task_getset[] = {
    {"id", get_id, NULL, NULL, NULL},
    {"name", get_name, NULL, NULL, NULL},
    {"callable", get_callable, NULL, NULL, NULL},
    {"num_returns", get_num_returns, NULL, NULL, NULL},
    {"extra", get_extra, NULL, NULL, NULL},
    {"sealed", get_sealed, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot task_slots[] = {
    {Py_tp_dealloc, task_dealloc},
    {Py_tp_methods, task_methods},
    {Py_tp_members, task_members},
    {Py_tp_getset, task_getset},
    {0, NULL},
};
static PyType_Spec task_spec = {
    .name = "whipray._core.Task",
    .basicsize = sizeof(wr_py_task),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = task_slots,
};

static PyObject *current_task(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    PyObject *task = running != NULL ? (PyObject *)running : Py_None;
    Py_INCREF(task);
    return task;
}

static PyObject *current_task_id(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    if (running == NULL) {
        Py_RETURN_NONE;
    }
    return task_id_bytes(running);
}

static PyMethodDef functions[] = {
    {"current_task", current_task, METH_NOARGS, NULL},
    {"current_task_id", current_task_id, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_task_add(PyObject *module) {
    if (wr_py_add_type(module, "Task", &task_spec, &wr_py_task_type) != 0 ||
        PyModule_AddFunctions(module, functions) != 0) {
        return -1;
    }
    if (done_object == NULL) {
        done_object = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    }
    return done_object != NULL ? PyModule_AddObjectRef(module, "DONE", done_object) : -1;
}

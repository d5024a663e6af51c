/* The worker: what functions it knows, and its loops. */
#include "core.h"

#include <time.h>

enum {
    GIL_LOOKS = 64,   /* with the GIL, before an idle worker gives it up */
    TURN_TASKS = 256, /* tasks between looks at the clock */
    BACKLOG_NS = 300000,
    TURN_NS = 1000000, /* after which other threads get the GIL: builtins never give it up */
};

/* ---- Functions: number -> callable and name; actor methods by index ---- */

typedef struct known {
    uint32_t number;
    uint32_t calls, max_calls; /* max_calls 0: no limit */
    PyObject *callable, *name; /* callable NULL: free place */
} known;

static known *table; /* open hash */
static uint32_t table_size, table_used;
static known *methods;
static uint32_t method_count;

static known *place(known *in, uint32_t size, uint32_t number) {
    uint32_t at = (uint32_t)((number * 0x9e3779b97f4a7c15ull) >> 32) & (size - 1);
    while (in[at].callable != NULL && in[at].number != number) {
        at = (at + 1) & (size - 1);
    }
    return &in[at];
}

static int table_grow(void) {
    if (table_used * 2 < table_size) {
        return 0;
    }
    const uint32_t size = table_size == 0 ? 64 : table_size * 2;
    known *grown = PyMem_Calloc(size, sizeof *grown);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (uint32_t k = 0; k < table_size; k++) {
        if (table[k].callable != NULL) {
            *place(grown, size, table[k].number) = table[k];
        }
    }
    PyMem_Free(table);
    table = grown;
    table_size = size;
    return 0;
}

static known *load(uint32_t number) {
    PyObject *argument = PyLong_FromUnsignedLong(number);
    PyObject *loaded = argument != NULL ? wr_py_hook_call(WR_PY_HOOK_load_function, argument, NULL) : NULL;
    Py_XDECREF(argument);
    PyObject *callable, *name;
    unsigned int max_calls;
    known *found = NULL;
    if (loaded != NULL && PyArg_ParseTuple(loaded, "OO!I", &callable, &PyUnicode_Type, &name, &max_calls) &&
        table_grow() == 0) {
        found = place(table, table_size, number);
        if (found->callable == NULL) { /* else: another thread was faster */
            Py_INCREF(callable);
            Py_INCREF(name);
            *found = (known){.number = number, .max_calls = max_calls, .callable = callable, .name = name};
            table_used++;
        }
    }
    Py_XDECREF(loaded);
    return found;
}

static known *find(uint32_t function) {
    if ((function & WR_METHOD) != 0) {
        const uint32_t index = function & ~WR_METHOD;
        if (WR_LIKELY(index < method_count && methods[index].callable != NULL)) {
            return &methods[index];
        }
        PyErr_Format(PyExc_AttributeError, "the actor has no method %u", (unsigned)index);
        return NULL;
    }
    if (WR_LIKELY(table_size > 0)) {
        known *found = place(table, table_size, function);
        if (WR_LIKELY(found->callable != NULL)) {
            return found;
        }
    }
    return load(function);
}

PyObject *wr_py_function_of(uint32_t function) {
    const known *found = find(function);
    return found != NULL ? found->callable : NULL;
}

PyObject *wr_py_function_name(uint32_t function) {
    const uint32_t index = function & ~WR_METHOD;
    const known *found = NULL;
    if ((function & WR_METHOD) != 0) {
        found = index < method_count ? &methods[index] : NULL;
    } else if (table_size > 0) {
        found = place(table, table_size, function);
    }
    if (found != NULL && found->callable != NULL) {
        Py_INCREF(found->name);
        return found->name;
    }
    return PyUnicode_FromFormat("%s %u", index == function ? "function" : "method", (unsigned)index);
}

bool wr_py_function_used(uint32_t function) {
    if ((function & WR_METHOD) != 0 || table_size == 0) {
        return false;
    }
    known *found = place(table, table_size, function);
    return found->callable != NULL && found->max_calls != 0 && ++found->calls >= found->max_calls;
}

static void known_free(known *all, uint32_t count) {
    for (uint32_t k = 0; k < count; k++) {
        Py_XDECREF(all[k].callable);
        Py_XDECREF(all[k].name);
    }
    PyMem_Free(all);
}

static void methods_clear(void) {
    known *old = methods;
    const uint32_t count = method_count;
    methods = NULL;
    method_count = 0;
    known_free(old, count); /* drops the actor: runs its __del__ */
}

void wr_py_functions_clear(void) {
    known *old = table;
    const uint32_t size = table_size;
    table = NULL;
    table_size = table_used = 0;
    known_free(old, size);
    methods_clear();
}

static PyObject *set_methods(PyObject *module, PyObject *list) {
    (void)module;
    if (!PyList_Check(list)) {
        PyErr_Format(PyExc_TypeError, "set_methods needs a list, not %.200R", list);
        return NULL;
    }
    const Py_ssize_t count = PyList_Size(list);
    known *made = PyMem_Calloc((size_t)count + 1, sizeof *made);
    if (made == NULL) {
        return PyErr_NoMemory();
    }
    for (Py_ssize_t k = 0; k < count; k++) {
        PyObject *item = PyList_GetItem(list, k), *callable, *name;
        if (item == Py_None) {
            continue;
        }
        if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "OO!", &callable, &PyUnicode_Type, &name)) {
            known_free(made, (uint32_t)count);
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_TypeError, "set_methods: an item is (callable, name) or None");
            }
            return NULL;
        }
        Py_INCREF(callable);
        Py_INCREF(name);
        made[k] = (known){.callable = callable, .name = name};
    }
    methods_clear();
    methods = made;
    method_count = (uint32_t)count;
    Py_RETURN_NONE;
}

/* ---- Loops ---- */

static int idle_for(uint64_t spin_ns) {
    if (wr_flush(wr_py.client)) { /* a ring is full: come again soon */
        const struct timespec moment = {0, BACKLOG_NS};
        wr_py_look nap;
        wr_py_look_begin(&nap, wr_py.client);
        nanosleep(&moment, NULL);
        return wr_py_look_end(&nap) != 0 ? -1 : PyErr_CheckSignals();
    }
    wr_py_look look;
    wr_py_look_begin(&look, wr_py.client);
    wr_worker_idle(look.client, spin_ns);
    if (wr_py_look_end(&look) != 0) {
        return -1;
    }
    return PyErr_CheckSignals();
}

/* Takes a task into *at, a spare object that is reused while nobody else refers to it. NULL with an
 * exception. */
static wr_py_task *spare(wr_py_task **at) {
    if (WR_LIKELY(*at != NULL && Py_REFCNT((PyObject *)*at) == 1)) {
        return *at;
    }
    Py_XDECREF((PyObject *)*at);
    *at = wr_py_task_new();
    return *at;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

/* Takes and runs until something else comes up: WR_NEXT_ASSIGNMENT, _EXIT, _DEAD, or -1 with an exception. */
static int run_tasks(uint32_t lane) {
    wr_py_task *t = NULL;
    uint32_t looks = 0, turns = 0;
    uint64_t turn_ns = wr_py_now_ns();
    int result = -1;
    for (;;) {
        if (spare(&t) == NULL) {
            break;
        }
        if (WR_UNLIKELY(wr_py.client == NULL)) {
            result = WR_NEXT_DEAD;
            break;
        }
        const wr_next next = wr_worker_next(wr_py.client, lane, &t->task);
        if (WR_LIKELY(next == WR_NEXT_TASK)) {
            const uint32_t function = t->task.function;
            looks = 0;
            wr_py_task_reset(t);
            if (wr_py_task_run(t, NULL) != WR_PY_RAN) {
                break;
            }
            if (WR_UNLIKELY(wr_py_function_used(function))) {
                PyObject *done = wr_py_hook_call(WR_PY_HOOK_max_calls_reached, NULL, NULL);
                result = done != NULL ? WR_NEXT_EXIT : -1;
                Py_XDECREF(done);
                break;
            }
            if (WR_UNLIKELY(++turns == TURN_TASKS)) {
                turns = 0;
                const uint64_t now = wr_py_now_ns();
                if (now - turn_ns > TURN_NS) {
                    turn_ns = now;
                    (void)wr_flush(wr_py.client);
                    PyEval_RestoreThread(PyEval_SaveThread());
                }
            }
            continue;
        }
        if (next != WR_NEXT_NONE) {
            result = (int)next;
            break;
        }
        if (++looks < GIL_LOOKS) {
            relax();
            continue;
        }
        looks = 0;
        if (idle_for(wr_py.spin_ns) != 0) {
            if (!PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
                break;
            }
            PyErr_Clear(); /* a cancel that came too late */
        }
        turn_ns = wr_py_now_ns();
    }
    Py_XDECREF((PyObject *)t);
    return result;
}

static PyObject *run_worker(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    if (wr_py_client() == NULL) {
        return NULL;
    }
    for (;;) {
        wr_py_task_thread_is(true);
        const int next = run_tasks(0);
        wr_py_task_thread_is(false);
        if (next != WR_NEXT_ASSIGNMENT) {
            return next < 0 ? NULL : PyLong_FromLong(next);
        }
        PyObject *answer = wr_py_hook_call(WR_PY_HOOK_assignment, NULL, NULL);
        if (answer == NULL) {
            return NULL;
        }
        const int stop = PyObject_IsTrue(answer);
        Py_DECREF(answer);
        if (stop != 0) {
            return stop < 0 ? NULL : PyLong_FromLong(WR_NEXT_EXIT);
        }
    }
}

static PyObject *assigned(PyObject *module, PyObject *number) {
    (void)module;
    const unsigned long word = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred() || wr_py_client() == NULL) {
        return NULL;
    }
    wr_worker_assigned(wr_py.client, (uint32_t)word);
    Py_RETURN_NONE;
}

static PyObject *run_lane(PyObject *module, PyObject *lane) {
    (void)module;
    const unsigned long number = PyLong_AsUnsignedLong(lane);
    if (PyErr_Occurred() || wr_py_client() == NULL) {
        return NULL;
    }
    const int next = run_tasks((uint32_t)number);
    return next < 0 ? NULL : PyLong_FromLong(next);
}

static PyObject *take(PyObject *module, PyObject *lane) {
    (void)module;
    static wr_py_task *next_task; /* made ahead: nothing is taken that no object could hold */
    const unsigned long number = PyLong_AsUnsignedLong(lane);
    if (PyErr_Occurred() || wr_py_client() == NULL || spare(&next_task) == NULL) {
        return NULL;
    }
    const wr_next next = wr_worker_next(wr_py.client, (uint32_t)number, &next_task->task);
    if (next != WR_NEXT_TASK) {
        return PyLong_FromLong((long)next);
    }
    wr_py_task *task = next_task;
    next_task = NULL;
    wr_py_task_reset(task);
    return (PyObject *)task;
}

static PyObject *claim(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"handle", "lane", NULL};
    unsigned long long handle;
    unsigned int lane = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "K|I", names, &handle, &lane) || wr_py_client() == NULL) {
        return NULL;
    }
    wr_py_task *task = wr_py_task_new();
    if (task == NULL) {
        return NULL;
    }
    const wr_status status = wr_worker_claim(wr_py.client, lane, handle, &task->task);
    if (status == WR_OK || status == WR_E_STATE) {
        wr_py_task_reset(task);
        task->sealed = status == WR_E_STATE;
        return (PyObject *)task;
    }
    Py_DECREF(task);
    if (status == WR_E_AGAIN) {
        Py_RETURN_NONE;
    }
    return wr_py_raise_status(status, "the actor's constructor cannot be claimed", "");
}

static PyObject *idle(PyObject *module, PyObject *args) {
    (void)module;
    unsigned int spin_us = 50;
    if (!PyArg_ParseTuple(args, "|I", &spin_us) || wr_py_client() == NULL ||
        idle_for((uint64_t)spin_us * 1000) != 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *cancel_wanted(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    return PyLong_FromUnsignedLongLong(wr_py.client != NULL ? wr_worker_cancel_wanted(wr_py.client) : 0);
}

static PyMethodDef functions[] = {
    {"set_methods", set_methods, METH_O, NULL},
    {"run_worker", run_worker, METH_NOARGS, NULL},
    {"assigned", assigned, METH_O, NULL},
    {"run_lane", run_lane, METH_O, NULL},
    {"take", take, METH_O, NULL},
    {"claim", WR_PY_FUNCTION(claim), METH_VARARGS | METH_KEYWORDS, NULL},
    {"idle", idle, METH_VARARGS, NULL},
    {"cancel_wanted", cancel_wanted, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_worker_add(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}

/* What running tasks submitted: a recursive cancel reaches it.
 *
 * A task's list has handles without a count: it keeps nothing alive, and one whose object is gone is one that is done. Only
 * the GIL's holder reads or writes any of it.
 */
#include "core.h"

enum {
    CHILDREN_FIRST = 16,
    CHILDREN_PLAIN = 1024, /* so many are kept without a look at which of them are done */
};

static wr_py_task *parents; /* running tasks that submitted something */

void wr_py_task_forget_children(wr_py_task *t) {
    if (t->parent_link != NULL) {
        *t->parent_link = t->next_parent;
        if (t->next_parent != NULL) {
            t->next_parent->parent_link = t->parent_link;
        }
        t->parent_link = NULL;
    }
    t->child_count = t->child_limit = 0;
}

static void drop_done_children(wr_py_task *t) {
    uint32_t kept = 0;
    for (uint32_t k = 0; k < t->child_count; k++) {
        if (wr_ref_valid(wr_py.client, t->children[k]) &&
            wr_peek(wr_py.client, t->children[k]) == WR_KIND_PENDING) {
            t->children[kept++] = t->children[k];
        }
    }
    t->child_count = kept;
}

/* Makes room for one more; the first one is the beginning of the list. false: no memory. */
static bool children_room(wr_py_task *t) {
    if (t->parent_link == NULL) {
        t->next_parent = parents;
        t->parent_link = &parents;
        if (parents != NULL) {
            parents->parent_link = &t->next_parent;
        }
        parents = t;
        t->child_limit = t->child_capacity;
    }
    if (t->child_count >= CHILDREN_PLAIN) {
        drop_done_children(t);
    }
    if (t->child_capacity == 0 || t->child_count > t->child_capacity / 2) {
        const uint32_t capacity = t->child_capacity == 0 ? CHILDREN_FIRST : t->child_capacity * 2;
        wr_ref *grown = PyMem_Realloc(t->children, capacity * sizeof *grown);
        if (grown != NULL) {
            t->children = grown;
            t->child_capacity = capacity;
        }
    }
    t->child_limit = t->child_capacity;
    return t->child_count < t->child_limit;
}

void wr_py_task_note_child(wr_ref child) {
    PyObject *found = NULL;
    wr_py_task *t = wr_py_task_current();
    if (t == NULL && WR_UNLIKELY(wr_py_hook_find(WR_PY_HOOK_coroutine_task) != NULL)) {
        found = wr_py_hook_call(WR_PY_HOOK_coroutine_task, NULL, NULL);
        if (found == NULL) {
            PyErr_Clear();
        } else if (Py_TYPE(found) == wr_py_task_type) {
            t = (wr_py_task *)found; /* a coroutine may outlive its call: then it is sealed */
        }
    }
    if (t == NULL) { /* a thread of the task's own, as of a ThreadPoolExecutor */
        t = wr_py_task_of_worker();
    }
    if (t != NULL && !t->sealed && (WR_LIKELY(t->child_count < t->child_limit) || children_room(t))) {
        t->children[t->child_count++] = child;
    }
    Py_XDECREF(found);
}

/* cancel_children(handle): drops what the running task `handle` submitted and nobody has begun; the handles of what runs. */
static PyObject *cancel_children(PyObject *module, PyObject *number) {
    (void)module;
    const unsigned long long handle = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred() || wr_py_client() == NULL) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    const wr_py_task *t = parents;
    while (t != NULL && (t->task.ref != handle || !wr_py_task_is_live(t))) {
        t = t->next_parent;
    }
    for (uint32_t k = 0; list != NULL && t != NULL && k < t->child_count; k++) {
        uint32_t slot, epoch;
        if (wr_cancel(wr_py.client, t->children[k], &slot, &epoch) == WR_E_STATE) {
            PyObject *item = PyLong_FromUnsignedLongLong(t->children[k]);
            if (item == NULL || PyList_Append(list, item) != 0) {
                Py_CLEAR(list);
            }
            Py_XDECREF(item);
        }
    }
    return list;
}

static PyMethodDef functions[] = {
    {"cancel_children", cancel_children, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_children_add(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}

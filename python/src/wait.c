/* get and wait. */
#include "core.h"

#include <string.h>
#include <time.h>

enum {
    GIL_SPIN_NS = 3000, /* a look with the GIL first: giving it up costs more than most answers take */
    FIRST_SLEEP_NS =
        1000000, /* on the next ref of a list alone; then on all that are pending, for an early failure */
    TICK_NS = 1000000000, /* the core's waits end by themselves every 100 ms, and look at the raylet then */
    POLL_NS = 1000000,    /* wait() with generators among others looks this often */
};

/* How long to sleep at most: what overflowed a ring must be queued meanwhile, with the GIL. */
static uint64_t sleep_limit(uint64_t limit_ns) {
    enum { BACKLOG_NS = 300000 };
    return wr_flush(wr_py.client) && limit_ns > BACKLOG_NS ? BACKLOG_NS : limit_ns;
}

static uint64_t deadline_of(uint64_t timeout_ns) {
    const uint64_t now = timeout_ns == UINT64_MAX || timeout_ns == 0 ? 0 : wr_py_now_ns();
    return timeout_ns >= UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

/* ---- A wait that may sleep: marks the task that waits as blocked once it is past its spin ---- */

typedef struct blocked {
    uint32_t session;
    bool marked;
} blocked;

static void blocked_begin(blocked *b) {
    if (!b->marked && wr_py_task_current() != NULL) {
        wr_blocked_begin(wr_py.client);
        b->marked = true;
        b->session = wr_py.session;
    }
}

static void blocked_end(blocked *b) {
    if (b->marked && b->session == wr_py.session) {
        wr_blocked_end(wr_py.client);
    }
}

/* After a look: 0 ready, 1 the deadline has passed, 2 look again, -1 exception. */
static int look_verdict(wr_status status, uint64_t deadline_ns) {
    if (status == WR_OK) {
        return 0;
    }
    if (status == WR_E_TIMEOUT) { /* a shorter sleep than those that look at the raylet */
        const wr_status health = wr_client_health(wr_py.client);
        status = health != WR_OK ? health : status;
    }
    if (status == WR_E_INTERRUPTED || status == WR_E_TIMEOUT) {
        if (PyErr_CheckSignals() != 0) {
            return -1;
        }
        return deadline_ns != UINT64_MAX && wr_py_now_ns() >= deadline_ns ? 1 : 2;
    }
    if (status == WR_E_NOT_FOUND) {
        (void)wr_py_raise_status(WR_E_OBJECT_LOST, "the object is gone", "");
    } else {
        (void)wr_py_raise_status(status, wr_status_text(status), "");
    }
    return -1;
}

static uint64_t remaining(uint64_t deadline_ns, uint64_t at_most_ns) {
    if (deadline_ns == UINT64_MAX) {
        return at_most_ns;
    }
    const uint64_t now = wr_py_now_ns();
    const uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    return left < at_most_ns ? left : at_most_ns;
}

/* A short look at one pending ref, with the GIL and then without: true: it is there. */
static int spin(wr_ref ref) {
    if (wr_spin(wr_py.client, ref, GIL_SPIN_NS)) {
        return 1;
    }
    if (wr_py_task_current() == NULL) {
        return 0; /* wr_wait itself spins first */
    }
    wr_py_look look;
    wr_py_look_begin(&look, wr_py.client);
    const bool there = wr_spin(look.client, ref, wr_py.spin_ns);
    return wr_py_look_end(&look) != 0 ? -1 : there;
}

/* One ref: 0 there, 1 the deadline has passed, -1 exception. */
static int wait_one(wr_ref ref, uint64_t deadline_ns) {
    const int there = deadline_ns == 0 ? 0 : spin(ref);
    if (there != 0) {
        return there < 0 ? -1 : 0;
    }
    blocked b = {0};
    blocked_begin(&b);
    int verdict;
    do {
        const uint64_t limit = deadline_ns == 0 ? 0 : sleep_limit(remaining(deadline_ns, TICK_NS));
        wr_py_look look;
        wr_py_look_begin(&look, wr_py.client);
        const wr_status status = wr_wait(look.client, ref, limit);
        verdict = wr_py_look_end(&look) != 0 ? -1 : look_verdict(status, deadline_ns);
    } while (verdict == 2);
    blocked_end(&b);
    return verdict;
}

/* missing: the first that is not there. Who did not want to wait does not wait for the reason either. */
static PyObject *raise_timeout(wr_ref missing, size_t ready, size_t all, uint64_t timeout_ns) {
    char text[160];
    int used = snprintf(text, sizeof text, "get timed out after %.3g s: ", (double)timeout_ns / 1e9);
    if (all == 1) {
        snprintf(text + used, sizeof text - (size_t)used, "the object is not there yet");
    } else {
        snprintf(text + used, sizeof text - (size_t)used, "%zu of %zu objects are there", ready, all);
    }
    if (timeout_ns == 0 || wr_py_hook_find(WR_PY_HOOK_timeout_error) == NULL) {
        return wr_py_raise_status(WR_E_TIMEOUT, text, "");
    }
    PyObject *handle = PyLong_FromUnsignedLongLong(missing), *said = PyUnicode_FromString(text);
    PyObject *error =
        handle != NULL && said != NULL ? wr_py_hook_call(WR_PY_HOOK_timeout_error, handle, said) : NULL;
    Py_XDECREF(handle);
    Py_XDECREF(said);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

/* ---- get ---- */

static PyObject *get_one(PyObject *ref, uint64_t timeout_ns) {
    const wr_ref handle = wr_py_ref_look(ref);
    if (handle == 0) {
        return NULL;
    }
    const uint32_t index = ((wr_py_ref *)ref)->index;
    bool pending = false;
    PyObject *value = wr_py_value(handle, index, ref, NULL, &pending);
    if (WR_LIKELY(!pending)) {
        return value;
    }
    Py_INCREF(ref); /* somebody's thread may drop the caller's list meanwhile */
    const int waited = wait_one(handle, deadline_of(timeout_ns));
    if (waited == 1) {
        (void)raise_timeout(handle, 0, 1, timeout_ns);
    } else if (waited == 0) {
        value = wr_py_value(handle, index, ref, NULL, &pending);
    }
    Py_DECREF(ref);
    return value;
}

typedef struct many {     /* the state of a get of a list */
    PyObject *refs;       /* tuple: the list may change while others run */
    wr_ref *handles;      /* of all, once somebody must be waited for */
    Py_ssize_t count, at; /* at: the first that has no value yet */
    wr_ref *pending;
    uint64_t deadline_ns;
    uint64_t scanned_ns; /* when all were looked at last */
} many;

/* The first failure among what is there behind `at`: raises it and returns true. O(n), so at most once per
 * FIRST_SLEEP_NS. */
static bool raise_failure(many *m) {
    const uint64_t now = wr_py_now_ns();
    if (now - m->scanned_ns < FIRST_SLEEP_NS) {
        return false;
    }
    m->scanned_ns = now;
    for (Py_ssize_t k = m->at; k < m->count; k++) {
        const wr_kind kind = wr_peek(wr_py.client, m->handles[k]);
        if (kind == WR_KIND_ERROR || kind == WR_KIND_SYSTEM_ERROR) {
            PyObject *ref = PyTuple_GetItem(m->refs, k);
            bool pending = false;
            PyObject *none = wr_py_value(m->handles[k], ((wr_py_ref *)ref)->index, ref, NULL, &pending);
            Py_XDECREF(none);
            return none == NULL && !pending;
        }
    }
    return false;
}

static int handles_read(many *m) {
    if (m->handles != NULL) {
        return 0;
    }
    m->handles = PyMem_Malloc(2 * (size_t)m->count * sizeof *m->handles);
    if (m->handles == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    m->pending = m->handles + m->count;
    for (Py_ssize_t k = m->at; k < m->count; k++) {
        m->handles[k] = wr_py_ref_look(PyTuple_GetItem(m->refs, k));
        if (m->handles[k] == 0) {
            return -1;
        }
    }
    return 0;
}

/* The ref whose arrival is worth being woken for. All of them are needed: to sleep on the next one would cost a wake-up per
 * object where producers and this process share cores (0.2 against 2 M calls/s, two callers and two actors on two cores);
 * half of what is missing costs a few in all, and the rest is made while the first half is decoded. */
static wr_ref sleep_target(const many *m) {
    const wr_ref ahead = m->handles[m->at + (m->count - m->at) / 2];
    return wr_peek(wr_py.client, ahead) == WR_KIND_PENDING ? ahead : m->handles[m->at];
}

/* Waits for the ref at `at`, and meanwhile for a failure of any behind it: 0, 1 deadline, -1 exception. */
static int wait_next(many *m) {
    if (handles_read(m) != 0) {
        return -1;
    }
    const wr_ref handle = m->handles[m->at];
    const int there = m->deadline_ns == 0 ? 0 : spin(handle);
    if (there != 0) {
        return there < 0 ? -1 : 0;
    }
    if (raise_failure(m)) {
        return -1;
    }
    blocked b = {0};
    blocked_begin(&b);
    int verdict;
    bool one = true; /* first on this one alone; then on all; after a turn that was short, on this one again:
                        O(n) work at most once per FIRST_SLEEP_NS */
    do {
        uint32_t waiting = 0;
        if (!one) {
            for (Py_ssize_t k = m->at; k < m->count; k++) {
                if (wr_peek(wr_py.client, m->handles[k]) == WR_KIND_PENDING) {
                    m->pending[waiting++] = m->handles[k];
                }
            }
        }
        const uint64_t limit =
            m->deadline_ns == 0 ? 0 : sleep_limit(remaining(m->deadline_ns, one ? FIRST_SLEEP_NS : TICK_NS));
        const uint64_t begin = wr_py_now_ns();
        const wr_ref target = sleep_target(m);
        wr_py_look look;
        wr_py_look_begin(&look, wr_py.client);
        uint32_t ready = 0;
        wr_status status = one || waiting == 0
                               ? wr_wait(look.client, target, limit)
                               : wr_wait_many(look.client, m->pending, waiting, 1, limit, &ready);
        if (wr_py_look_end(&look) != 0) {
            verdict = -1;
            break;
        }
        if (status == WR_OK && wr_peek(wr_py.client, handle) == WR_KIND_PENDING) {
            status = WR_E_INTERRUPTED; /* others came */
        }
        verdict = look_verdict(status, m->deadline_ns);
        if (verdict == 2 && raise_failure(m)) {
            verdict = -1;
        }
        one = !one && wr_py_now_ns() - begin < FIRST_SLEEP_NS;
    } while (verdict == 2);
    blocked_end(&b);
    return verdict;
}

static PyObject *get_many(PyObject *list, uint64_t timeout_ns) {
    many m = {.refs = PyList_AsTuple(list), .deadline_ns = deadline_of(timeout_ns)};
    if (m.refs == NULL) {
        return NULL;
    }
    m.count = PyTuple_Size(m.refs);
    PyObject *out = PyList_New(m.count);
    bool good = out != NULL;
    for (Py_ssize_t k = 0; good && k < m.count; k++) {
        PyObject *ref = PyTuple_GetItem(m.refs, k);
        if (WR_UNLIKELY(!wr_py_is_ref(ref))) {
            PyErr_Format(PyExc_TypeError, "get: item %zd of the list is not an ObjectRef but %.200R", k, ref);
            good = false;
        }
    }
    for (; good && m.at < m.count; m.at++) {
        PyObject *ref = PyTuple_GetItem(m.refs, m.at);
        const wr_ref handle = wr_py_ref_look(ref);
        bool pending = false;
        PyObject *value =
            handle != 0 ? wr_py_value(handle, ((wr_py_ref *)ref)->index, ref, NULL, &pending) : NULL;
        if (WR_UNLIKELY(pending)) {
            const int waited = wait_next(&m);
            if (waited == 0) {
                pending = false;
                value = wr_py_value(handle, ((wr_py_ref *)ref)->index, ref, NULL, &pending);
            } else if (waited == 1) {
                size_t ready = 0;
                for (Py_ssize_t k = 0; k < m.count; k++) {
                    ready += k < m.at || wr_peek(wr_py.client, m.handles[k]) != WR_KIND_PENDING;
                }
                (void)raise_timeout(handle, ready, (size_t)m.count, timeout_ns);
            }
        }
        if (value == NULL) {
            good = false;
        } else {
            PyList_SetItem(out, m.at, value);
        }
    }
    PyMem_Free(m.handles);
    Py_DECREF(m.refs);
    if (!good) {
        Py_CLEAR(out);
    }
    return out;
}

/* Keyword arguments of a fast call: finds `name`, counts what was found. */
PyObject *wr_py_keyword(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *name,
                        Py_ssize_t *found) {
    for (Py_ssize_t k = 0; names != NULL && k < PyTuple_Size(names); k++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, k), name) == 0) {
            ++*found;
            return args[count + k];
        }
    }
    return NULL;
}

int wr_py_no_others(const char *function, PyObject *names, Py_ssize_t found) {
    if (names != NULL && PyTuple_Size(names) != found) {
        PyErr_Format(PyExc_TypeError, "%s: unexpected keyword among %R", function, names);
        return -1;
    }
    return 0;
}

static PyObject *get(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    (void)module;
    uint64_t timeout_ns = UINT64_MAX;
    PyObject *refs = count == 1 ? args[0] : NULL;
    if (WR_UNLIKELY(names != NULL)) {
        Py_ssize_t found = 0;
        PyObject *timeout = wr_py_keyword(args, count, names, "timeout", &found);
        (void)wr_py_keyword(args, count, names, "_use_object_store", &found);
        if (count == 0) {
            refs = wr_py_keyword(args, count, names, "refs", &found);
        }
        if (wr_py_no_others("get", names, found) != 0 ||
            wr_py_timeout("get", timeout, true, &timeout_ns) != 0) {
            return NULL;
        }
    }
    if (refs == NULL) {
        PyErr_Format(PyExc_TypeError, "get takes one positional argument, the refs (%zd given)", count);
        return NULL;
    }
    if (wr_py_client() == NULL) {
        return NULL;
    }
    if (WR_LIKELY(wr_py_is_ref(refs))) {
        return get_one(refs, timeout_ns);
    }
    if (PyList_Check(refs)) {
        return get_many(refs, timeout_ns);
    }
    if (PyObject_TypeCheck(refs, wr_py_generator_type)) {
        Py_INCREF(refs);
        return refs;
    }
    PyErr_Format(PyExc_ValueError, "get needs an ObjectRef or a list of ObjectRefs, not %.200R", refs);
    return NULL;
}

/* ---- wait ---- */

typedef struct wait_set {
    PyObject **items; /* borrowed */
    wr_ref *handles;  /* 0: a generator */
    wr_ref *pending;
    bool *done;
    Py_ssize_t count, generators;
} wait_set;

/* Whether each handle has a bit of its own in a small map: then they are distinct. Cells of one driver lie close together, so
 * this is usual, and it costs a quarter of the exact look in a loop over wait(). */
static bool surely_distinct(const wait_set *w) {
    enum { MAP_BITS_MAX = 1 << 18 };
    uint64_t map[MAP_BITS_MAX / 64];
    size_t bits = 1024;
    while (bits < 16 * (size_t)w->count) {
        bits *= 2;
    }
    if (bits > MAP_BITS_MAX || w->generators > 0) {
        return false;
    }
    memset(map, 0, bits / 8);
    uint64_t twice = 0;
    for (Py_ssize_t k = 0; k < w->count; k++) {
        const size_t at = (size_t)w->handles[k] & (bits - 1);
        uint64_t *word = &map[at / 64];
        const uint64_t bit = UINT64_C(1) << (at % 64);
        twice |= *word & bit;
        *word |= bit;
    }
    return twice == 0;
}

/* Duplicates by an open hash over the handles: O(n) without Python. */
static int refuse_duplicates(const wait_set *w) {
    if (WR_LIKELY(surely_distinct(w))) {
        return 0;
    }
    size_t size = 16;
    while (size < 2 * (size_t)w->count) {
        size *= 2;
    }
    uint32_t small[256];
    uint32_t *table = size <= sizeof small / sizeof *small ? small : PyMem_Malloc(size * sizeof *table);
    if (table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memset(table, 0, size * sizeof *table);
    bool twice = false;
    for (Py_ssize_t k = 0; k < w->count && !twice; k++) {
        const wr_py_ref *ref = (const wr_py_ref *)w->items[k];
        const uint64_t key =
            w->handles[k] != 0 ? w->handles[k] + ((uint64_t)ref->index << 40) : (uintptr_t)ref >> 4;
        size_t at = (size_t)((key * 0x9e3779b97f4a7c15ull) >> 32) & (size - 1);
        for (; table[at] != 0 && !twice; at = (at + 1) & (size - 1)) {
            const Py_ssize_t other = (Py_ssize_t)table[at] - 1;
            twice =
                w->items[other] == w->items[k] || (w->handles[k] != 0 && w->handles[other] == w->handles[k] &&
                                                   ((const wr_py_ref *)w->items[other])->index == ref->index);
        }
        table[at] = (uint32_t)k + 1;
    }
    if (table != small) {
        PyMem_Free(table);
    }
    if (twice) {
        PyErr_SetString(PyExc_ValueError, "wait needs a list of distinct refs");
        return -1;
    }
    return 0;
}

/* Looks at all that is pending; stops at `enough`. Number that are ready, -1 with an exception. */
static Py_ssize_t look_at_all(wait_set *w, Py_ssize_t enough) {
    Py_ssize_t ready = 0;
    for (Py_ssize_t k = 0; k < w->count && ready < enough; k++) {
        if (!w->done[k]) {
            if (w->handles[k] != 0) {
                w->done[k] = wr_peek(wr_py.client, w->handles[k]) != WR_KIND_PENDING;
            } else {
                const int pending = wr_py_generator_pending(w->items[k]);
                if (pending < 0) {
                    return -1;
                }
                w->done[k] = pending == 0;
            }
        }
        ready += w->done[k];
    }
    return ready;
}

/* Sleeps until enough of the refs are there, or a moment if there are generators: verdict as look_verdict. */
static int sleep_on(wait_set *w, Py_ssize_t enough, uint64_t deadline_ns) {
    uint32_t waiting = 0;
    Py_ssize_t ready = 0;
    for (Py_ssize_t k = 0; k < w->count; k++) {
        ready += w->done[k];
        if (!w->done[k] && w->handles[k] != 0) {
            w->pending[waiting++] = w->handles[k];
        }
    }
    const uint64_t limit = sleep_limit(remaining(deadline_ns, w->generators > 0 ? POLL_NS : TICK_NS));
    wr_py_look look;
    wr_py_look_begin(&look, wr_py.client);
    wr_status status = WR_E_TIMEOUT;
    if (waiting > 0) {
        const Py_ssize_t more = w->generators > 0 ? 1 : enough - ready;
        uint32_t seen = 0;
        status = wr_wait_many(look.client, w->pending, waiting, (uint32_t)more, limit, &seen);
    } else {
        const struct timespec t = {.tv_sec = (time_t)(limit / 1000000000),
                                   .tv_nsec = (long)(limit % 1000000000)};
        nanosleep(&t, NULL);
    }
    if (wr_py_look_end(&look) != 0) {
        return -1;
    }
    return look_verdict(status == WR_OK ? WR_E_INTERRUPTED : status, deadline_ns);
}

static int wait_for(wait_set *w, Py_ssize_t enough, uint64_t timeout_ns) {
    const uint64_t deadline_ns = deadline_of(timeout_ns);
    Py_ssize_t ready;
    if (w->count == 1 && w->handles[0] != 0) {
        const int waited = wait_one(w->handles[0], deadline_ns);
        return waited < 0 || look_at_all(w, enough) < 0 ? -1 : 0;
    }
    blocked b = {0};
    blocked_begin(&b);
    int verdict;
    do {
        verdict = sleep_on(w, enough, deadline_ns);
        ready = verdict < 0 ? -1 : look_at_all(w, enough);
        if (ready < 0) {
            verdict = -1;
        }
    } while (verdict == 2 && ready < enough);
    blocked_end(&b);
    return verdict < 0 ? -1 : 0;
}

static PyObject *pair(PyObject *ready, PyObject *rest) {
    if (ready == NULL || rest == NULL) {
        Py_XDECREF(ready);
        Py_XDECREF(rest);
        return NULL;
    }
    return Py_BuildValue("(NN)", ready, rest);
}

/* Input order in both lists; never more than `enough` in the first. list: still what w was filled from, or
 * NULL. */
static PyObject *split(const wait_set *w, PyObject *list, Py_ssize_t enough) {
    PyObject *ready = PyList_New(0);
    if (enough == 1 && list != NULL) { /* usual, and worth it: one slice and one hole */
        PyObject *rest = PyList_GetSlice(list, 0, w->count);
        for (Py_ssize_t k = 0; rest != NULL && ready != NULL && k < w->count; k++) {
            if (w->done[k]) {
                if (PyList_Append(ready, w->items[k]) != 0 || PySequence_DelItem(rest, k) != 0) {
                    Py_CLEAR(rest);
                }
                break;
            }
        }
        return pair(ready, rest);
    }
    PyObject *rest = PyList_New(0);
    for (Py_ssize_t k = 0, taken = 0; ready != NULL && rest != NULL && k < w->count; k++) {
        const bool take = w->done[k] && taken < enough;
        taken += take;
        if (PyList_Append(take ? ready : rest, w->items[k]) != 0) {
            Py_CLEAR(rest);
        }
    }
    return pair(ready, rest);
}

static int wait_set_fill(wait_set *w, PyObject *list) {
    w->count = PyList_Size(list);
    const size_t each = sizeof(PyObject *) + 2 * sizeof(wr_ref) + sizeof(bool);
    w->items = PyMem_Malloc((size_t)w->count * each + 1);
    if (w->items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    w->handles = (wr_ref *)(w->items + w->count);
    w->pending = w->handles + w->count;
    w->done = (bool *)(w->pending + w->count);
    w->generators = 0;
    memset(w->done, 0, (size_t)w->count);
    const uint32_t session = wr_py.session;
    for (Py_ssize_t k = 0; k < w->count; k++) {
        PyObject *item = PyList_GetItem(list, k);
        const wr_py_ref *ref = (const wr_py_ref *)item;
        w->items[k] = item;
        w->handles[k] = 0;
        if (WR_LIKELY(wr_py_is_ref(item))) {
            /* As wr_py_ref_look, without the call: a loop over wait() comes here n * n / 2 times. */
            w->handles[k] = ref->session == session && !ref->bare ? ref->handle : 0;
            if (WR_UNLIKELY(w->handles[k] == 0)) {
                (void)wr_py_ref_look(item); /* says why */
                return -1;
            }
        } else if (PyObject_TypeCheck(item, wr_py_generator_type)) {
            w->generators++;
        } else {
            PyErr_Format(PyExc_TypeError, "wait: item %zd of the list is not an ObjectRef but %.200R", k,
                         item);
            return -1;
        }
    }
    return refuse_duplicates(w);
}

/* Fills w from a list and waits. *out_kept holds the items if there was a wait: the list may have changed
 * meanwhile. */
static int wait_on_list(wait_set *w, PyObject *list, Py_ssize_t enough, uint64_t timeout_ns,
                        PyObject **out_kept) {
    if (wait_set_fill(w, list) != 0) {
        return -1;
    }
    if (enough > w->count) {
        PyErr_Format(PyExc_ValueError, "wait: num_returns (%zd) is more than the %zd refs", enough, w->count);
        return -1;
    }
    const Py_ssize_t ready = look_at_all(w, enough);
    if (ready < 0 || ready >= enough || timeout_ns == 0) {
        return ready < 0 ? -1 : 0;
    }
    *out_kept = PyList_AsTuple(list);
    return *out_kept != NULL ? wait_for(w, enough, timeout_ns) : -1;
}

typedef struct wait_args {
    PyObject *refs;
    Py_ssize_t num_returns;
    uint64_t timeout_ns;
} wait_args;

static int wait_args_read(PyObject *const *args, Py_ssize_t count, PyObject *names, wait_args *out) {
    *out = (wait_args){.refs = count == 1 ? args[0] : NULL, .num_returns = 1, .timeout_ns = UINT64_MAX};
    if (names != NULL) {
        Py_ssize_t found = 0;
        PyObject *number = wr_py_keyword(args, count, names, "num_returns", &found);
        PyObject *timeout = wr_py_keyword(args, count, names, "timeout", &found);
        (void)wr_py_keyword(args, count, names, "fetch_local",
                            &found); /* one node: every object that is there is here */
        if (count == 0) {
            out->refs = wr_py_keyword(args, count, names, "refs", &found);
        }
        if (wr_py_no_others("wait", names, found) != 0 ||
            wr_py_timeout("wait", timeout, false, &out->timeout_ns) != 0) {
            return -1;
        }
        if (number != NULL) {
            out->num_returns = PyNumber_AsSsize_t(number, PyExc_OverflowError);
            if (out->num_returns == -1 && PyErr_Occurred()) {
                if (PyErr_ExceptionMatches(PyExc_TypeError)) {
                    PyErr_Format(PyExc_TypeError, "wait: num_returns must be an int, not %.200R", number);
                }
                return -1;
            }
        }
    }
    if (out->refs == NULL) {
        PyErr_Format(PyExc_TypeError, "wait takes one positional argument, the list of refs (%zd given)",
                     count);
        return -1;
    }
    if (!PyList_Check(out->refs)) {
        PyErr_Format(PyExc_TypeError, "wait needs a list of ObjectRefs, not %.200R", out->refs);
        return -1;
    }
    return 0;
}

static PyObject *wait_function(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    (void)module;
    wait_args in;
    if (wait_args_read(args, count, names, &in) != 0) {
        return NULL;
    }
    if (in.num_returns <= 0) {
        PyErr_Format(PyExc_ValueError, "wait: num_returns must be positive, not %zd", in.num_returns);
        return NULL;
    }
    if (wr_py_client() == NULL) {
        return NULL;
    }
    if (PyList_Size(in.refs) == 0) {
        return pair(PyList_New(0), PyList_New(0));
    }
    wait_set w = {0};
    PyObject *kept = NULL, *out = NULL;
    if (wait_on_list(&w, in.refs, in.num_returns, in.timeout_ns, &kept) == 0) {
        out = split(&w, kept == NULL ? in.refs : NULL, in.num_returns);
    }
    PyMem_Free(w.items);
    Py_XDECREF(kept);
    return out;
}

/* ---- For watcher threads, and the rest ---- */

static PyObject *watch(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *list;
    double timeout;
    if (!PyArg_ParseTuple(args, "O!d", &PyList_Type, &list, &timeout) || wr_py_client() == NULL) {
        return NULL;
    }
    wait_set w = {0};
    PyObject *kept = NULL, *out = NULL;
    if (PyList_Size(list) == 0) {
        out = PyList_New(0);
    } else if (wait_on_list(&w, list, 1, timeout > 0 ? (uint64_t)(timeout * 1e9) : 0, &kept) == 0 &&
               look_at_all(&w, w.count) >= 0) {
        out = PyList_New(0);
        for (Py_ssize_t k = 0; out != NULL && k < w.count; k++) {
            PyObject *number = w.done[k] ? PyLong_FromSsize_t(k) : NULL;
            if (w.done[k] && (number == NULL || PyList_Append(out, number) != 0)) {
                Py_CLEAR(out);
            }
            Py_XDECREF(number);
        }
    }
    PyMem_Free(w.items);
    Py_XDECREF(kept);
    return out;
}

static PyObject *ready(PyObject *module, PyObject *ref) {
    (void)module;
    if (!wr_py_is_ref(ref)) {
        PyErr_Format(PyExc_TypeError, "ready needs an ObjectRef, not %.200R", ref);
        return NULL;
    }
    const wr_ref handle = wr_py_ref_look(ref);
    return handle != 0 ? PyBool_FromLong(wr_peek(wr_py.client, handle) != WR_KIND_PENDING) : NULL;
}

static PyObject *cancel_local(PyObject *module, PyObject *ref) {
    (void)module;
    if (!wr_py_is_ref(ref)) {
        PyErr_Format(PyExc_TypeError, "cancel_local needs an ObjectRef, not %.200R", ref);
        return NULL;
    }
    const wr_ref handle = wr_py_ref_look(ref);
    if (handle == 0) {
        return NULL;
    }
    uint32_t slot = 0, epoch = 0;
    switch (wr_cancel(wr_py.client, handle, &slot, &epoch)) {
    case WR_OK:
        return Py_BuildValue("(sII)", "cancelled", 0u, 0u);
    case WR_E_STATE:
        return Py_BuildValue("(sII)", "running", slot, epoch);
    default:
        return Py_BuildValue("(sII)", "done", 0u, 0u);
    }
}

static PyMethodDef functions[] = {
    {"get", WR_PY_FUNCTION(get), WR_PY_FASTCALL, NULL},
    {"wait", WR_PY_FUNCTION(wait_function), WR_PY_FASTCALL, NULL},
    {"watch", watch, METH_VARARGS, NULL},
    {"ready", ready, METH_O, NULL},
    {"cancel_local", cancel_local, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int wr_py_wait_add(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}

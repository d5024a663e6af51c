/* Streams, consumer side. A generator's items are cells that the consumer prepares as credits (shm/proc.h).
 *
 *   0 .. next .. tail     items before `next` were handed out or dropped, those before `tail` have a cell:
 *                         that of item i is handles[i & mask]; its one count goes out with the item
 *
 * The producer never has more than `window` credits. With a limit they go on from the item that is read next,
 * so it is never more than that ahead of the reader, and `handles` never grows. Without a limit they go on
 * from the first item that is not sealed, whether anybody reads or not: whoever enters the core gives new
 * ones, and wr_flush does so for a program that does something else. Unread items pile up in `handles`.
 *
 * Credits are refilled a quarter of a window at a time: the producer then finds at least three quarters, and a
 * bell is rung less often.
 *
 * wr_stream_wait looks without the caller's lock, while others may make `handles` move: it goes by `awaited`.
 */
#include "worker/client.h"

#include "store/error_value.h"

struct wr_stream {
    wr_client *client;
    wr_ref generator;
    uint64_t next, tail;
    _Atomic wr_ref awaited; /* the item `next`; 0: it has no cell yet */
    uint32_t window;
    bool limited;
    wr_ref barrier; /* closing: a credit that was taken back, counted until the producer has ended; 0: none
                       yet */
    struct wr_stream *next_closing;
    struct wr_stream *next_fed,
        **previous_fed; /* of client->fed, without a limit and until its generator ends */
    wr_ref *handles;
    uint64_t mask;  /* of handles: a power of two of them */
    wr_ref fresh[]; /* window of them: what wr_proc_credit hands out */
};

static bool sealed(const wr_stream *s, wr_ref ref) {
    return wr_cell_state_of(s->client->pool, ref) == WR_CELL_SEALED;
}

static void await_next(wr_stream *s) {
    const wr_ref item = s->next == s->tail ? 0 : s->handles[s->next & s->mask];
    atomic_store_explicit(&s->awaited, item, memory_order_relaxed);
}

/* Room for `count` items from `next` on. */
static wr_status reserve(wr_stream *s, uint64_t count, wr_error *err) {
    if (WR_LIKELY(s->handles != NULL && count <= s->mask + 1)) {
        return WR_OK;
    }
    uint64_t capacity = s->handles == NULL ? 1 : s->mask + 1;
    while (capacity < count) {
        capacity *= 2;
    }
    wr_ref *handles = wr_calloc(capacity, sizeof *handles);
    if (handles == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for %llu unread items of a stream",
                       (unsigned long long)capacity);
    }
    for (uint64_t item = s->next; item < s->tail; item++) {
        handles[item & (capacity - 1)] = s->handles[item & s->mask];
    }
    wr_free(s->handles);
    s->handles = handles;
    s->mask = capacity - 1;
    return WR_OK;
}

/* Prepares cells: as far as the window goes from the reader, or from the first item that is not sealed.
 * *out_count: how many. */
static wr_status refill(wr_stream *s, uint32_t *out_count, wr_error *err) {
    *out_count = 0;
    const uint64_t upto = (s->limited ? s->next : s->tail) + s->window;
    WR_TRY(reserve(s, upto - s->next, err));
    WR_TRY(wr_proc_credit(s->client->proc, s->generator, upto, s->fresh, out_count, err));
    WR_ASSERT(*out_count <= s->window);
    for (uint32_t i = 0; i < *out_count; i++) {
        s->handles[(s->tail + i) & s->mask] = s->fresh[i];
    }
    s->tail += *out_count;
    await_next(s);
    return WR_OK;
}

/* ---- Streams that are fed though nobody reads ---- */

static void fed_begin(wr_stream *s) {
    s->next_fed = s->client->fed;
    s->previous_fed = &s->client->fed;
    if (s->next_fed != NULL) {
        s->next_fed->previous_fed = &s->next_fed;
    }
    s->client->fed = s;
}

static void fed_end(wr_stream *s) {
    if (s->previous_fed != NULL) {
        *s->previous_fed = s->next_fed;
        if (s->next_fed != NULL) {
            s->next_fed->previous_fed = s->previous_fed;
        }
        s->previous_fed = NULL;
    }
}

bool wr_client_streams_feed(wr_client *client) {
    bool busy = false;
    for (wr_stream *s = client->fed, *next; s != NULL; s = next) {
        next = s->next_fed;
        uint32_t count = 0;
        if (sealed(s, s->generator)) {
            fed_end(s);
        } else if (refill(s, &count, NULL) == WR_OK && count != 0) {
            busy = true; /* it goes on, and may soon be out of credits again */
        }
    }
    return busy;
}

static void stream_free(wr_stream *s) {
    wr_free(s->handles);
    wr_free(s);
}

wr_status wr_stream_open(wr_client *client, wr_ref generator, wr_stream **out, wr_error *err) {
    if (!client_live(client)) {
        return wr_client_refuse(client, err);
    }
    uint64_t limit = 0;
    if (!wr_map_get(&client->windows, generator, &limit)) {
        return WR_FAIL(err, WR_E_INVALID,
                       "stream: %llx is no generator that was called here, or it is being read already",
                       (unsigned long long)generator);
    }
    const uint64_t window = limit == 0 ? WINDOW_DEFAULT : limit;
    wr_stream *s = wr_calloc(1, sizeof *s + window * sizeof(wr_ref));
    if (s == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a stream with a window of %llu",
                       (unsigned long long)window);
    }
    s->client = client;
    s->generator = generator;
    s->window = (uint32_t)window;
    s->limited = limit != 0;
    uint32_t count = 0;
    const wr_status status = refill(s, &count, err);
    if (status != WR_OK) {
        stream_free(s);
        return wr_client_explain(client, status, err);
    }
    (void)wr_map_remove(&client->windows, generator, NULL);
    wr_proc_ref(client->proc, generator);
    if (!s->limited) {
        fed_begin(s);
    }
    *out = s;
    return WR_OK;
}

/* Whether a quarter of the producer's credits is used up. */
static bool is_low(const wr_stream *s) {
    const uint64_t rest =
        s->window - (s->window + 3) / 4; /* with so many left, the item before them is done */
    return s->tail - s->next <= rest ||
           (!s->limited && sealed(s, s->handles[(s->tail - rest - 1) & s->mask]));
}

wr_status wr_stream_next(wr_stream *s, wr_ref *out, uint64_t *out_index) {
    wr_client *client = s->client;
    if (!client_live(client)) {
        return wr_client_refuse(client, NULL);
    }
    if (WR_UNLIKELY(is_low(s)) && !sealed(s, s->generator)) {
        uint32_t count = 0;
        const wr_status status = refill(s, &count, NULL);
        if (status != WR_OK && s->next == s->tail) {
            return wr_client_explain(client, status, NULL);
        }
    }
    if (WR_UNLIKELY(s->next == s->tail)) {
        return sealed(s, s->generator) ? WR_E_NOT_FOUND : WR_E_AGAIN;
    }
    const wr_ref item = s->handles[s->next & s->mask];
    if (WR_UNLIKELY(!sealed(s, item))) {
        /* Items are sealed before their generator: first look at the one, then at the other. */
        if (!sealed(s, s->generator)) {
            return WR_E_AGAIN;
        }
        if (!sealed(s, item)) {
            return WR_E_NOT_FOUND;
        }
    }
    *out = item;
    *out_index = s->next++;
    await_next(s);
    return WR_OK;
}

wr_status wr_stream_wait(wr_stream *s, uint64_t timeout_ns) {
    wr_client *client = s->client;
    if (!client_live(client)) {
        return wr_client_refuse(client, NULL);
    }
    const wr_ref either[2] = {s->generator, atomic_load_explicit(&s->awaited, memory_order_relaxed)};
    if (either[1] == 0) { /* no cell could be prepared: only the generator's end can be seen */
        return wr_wait(client, s->generator, timeout_ns);
    }
    if (timeout_ns != 0 && wr_proc_spin(client->proc, either[1], client->spin_ns)) {
        return WR_OK;
    }
    uint32_t ready = 0;
    return wr_wait_many(client, either, 2, 1, timeout_ns, &ready);
}

/* ---- Closing ---- */

/* Takes a credit back; true: the producer will stop at it. */
static bool take_back(wr_stream *s, wr_ref credit) {
    wr_result error;
    uint32_t slot = 0;
    uint32_t epoch = 0;
    wr_store_error_inline(WR_E_CANCELLED, "the stream was closed", &error);
    return wr_proc_cancel(s->client->proc, credit, &error, &slot, &epoch) == WR_OK;
}

/* Takes all unread credits back and drops them but for the last, if the producer can still meet it: a cell
 * that is free says nothing to the producer. */
static void withdraw(wr_stream *s) {
    for (uint64_t item = s->tail; item > s->next; item--) {
        const wr_ref credit = s->handles[(item - 1) & s->mask];
        if (take_back(s, credit) && item == s->tail) {
            s->barrier = credit;
        }
        if (credit != s->barrier) {
            wr_proc_unref(s->client->proc, credit);
        }
    }
    s->next = s->tail;
    await_next(s);
}

/* false: the producer has not ended yet, and has to find the barrier. */
static bool finish(wr_stream *s) {
    wr_proc *proc = s->client->proc;
    if (!sealed(s, s->generator)) {
        /* Without a credit left it waits for one: it gets new ones, which are taken back at once. The last of
         * them it has hardly claimed by then; if it has, this is done again. */
        uint32_t count = 0;
        if (s->barrier == 0 && refill(s, &count, NULL) == WR_OK) {
            withdraw(s);
        }
        return false;
    }
    withdraw(s);
    if (s->barrier != 0) {
        wr_proc_unref(proc, s->barrier);
    }
    wr_proc_unref(proc, s->generator);
    return true;
}

void wr_client_streams_tend(wr_client *client) {
    for (wr_stream **at = &client->closing; *at != NULL;) {
        wr_stream *s = *at;
        if (finish(s)) {
            *at = s->next_closing;
            stream_free(s);
        } else {
            at = &s->next_closing;
        }
    }
}

void wr_client_streams_done(wr_client *client) {
    while (client->closing != NULL) {
        wr_stream *s = client->closing;
        client->closing = s->next_closing;
        stream_free(s);
    }
}

void wr_stream_close(wr_stream *s) {
    if (s == NULL) {
        return;
    }
    wr_client *client = s->client;
    if (!client_live(client)) {
        stream_free(s);
        return;
    }
    fed_end(s);
    withdraw(s);
    if (finish(s)) {
        stream_free(s);
        return;
    }
    s->next_closing = client->closing;
    client->closing = s;
}

/* Streams, consumer side. A generator's items are cells that the consumer prepares as credits (shm/proc.h).
 *
 *   0 .. next .. tail     items before `next` were handed out or dropped, those before `tail` have a cell:
 *                         that of item i is handles[i % window]; its one count goes out with the item
 *
 * The producer never has more than `window` credits, so it is never more than that ahead. Credits are
 * refilled a quarter of a window at a time: the producer then finds at least three quarters, and a bell is
 * rung less often.
 */
#include "worker/client.h"

#include "store/error_value.h"

struct wr_stream {
    wr_client *client;
    wr_ref generator;
    uint64_t next, tail;
    uint32_t window;
    wr_ref barrier; /* closing: a credit that was taken back, counted until the producer has ended; 0: none
                       yet */
    struct wr_stream *next_closing;
    wr_ref *fresh; /* window of them: what wr_proc_credit hands out */
    wr_ref handles[];
};

/* Prepares cells up to `upto`. */
static wr_status refill(wr_stream *s, uint64_t upto, wr_error *err) {
    uint32_t count = 0;
    WR_TRY(wr_proc_credit(s->client->proc, s->generator, upto, s->fresh, &count, err));
    WR_ASSERT(count <= s->window);
    for (uint32_t i = 0; i < count; i++) {
        s->handles[(s->tail + i) % s->window] = s->fresh[i];
    }
    s->tail += count;
    return WR_OK;
}

wr_status wr_stream_open(wr_client *client, wr_ref generator, wr_stream **out, wr_error *err) {
    if (!client_live(client)) {
        return wr_client_refuse(client, err);
    }
    uint64_t window = 0;
    if (!wr_map_get(&client->windows, generator, &window)) {
        return WR_FAIL(err, WR_E_INVALID,
                       "stream: %llx is no generator that was called here, or it is being read already",
                       (unsigned long long)generator);
    }
    wr_stream *s = wr_calloc(1, sizeof *s + 2 * window * sizeof(wr_ref));
    if (s == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a stream with a window of %llu",
                       (unsigned long long)window);
    }
    s->client = client;
    s->generator = generator;
    s->window = (uint32_t)window;
    s->fresh = s->handles + window;
    const wr_status status = refill(s, window, err);
    if (status != WR_OK) {
        wr_free(s);
        return wr_client_explain(client, status, err);
    }
    (void)wr_map_remove(&client->windows, generator, NULL);
    wr_proc_ref(client->proc, generator);
    *out = s;
    return WR_OK;
}

static bool sealed(const wr_stream *s, wr_ref ref) {
    return wr_cell_state_of(s->client->pool, ref) == WR_CELL_SEALED;
}

wr_status wr_stream_next(wr_stream *s, wr_ref *out, uint64_t *out_index) {
    wr_client *client = s->client;
    if (!client_live(client)) {
        return wr_client_refuse(client, NULL);
    }
    if (WR_UNLIKELY(s->tail - s->next <= s->window - (s->window + 3) / 4) && !sealed(s, s->generator)) {
        const wr_status status = refill(s, s->next + s->window, NULL);
        if (status != WR_OK && s->next == s->tail) {
            return wr_client_explain(client, status, NULL);
        }
    }
    if (WR_UNLIKELY(s->next == s->tail)) {
        return sealed(s, s->generator) ? WR_E_NOT_FOUND : WR_E_AGAIN;
    }
    const wr_ref item = s->handles[s->next % s->window];
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
    return WR_OK;
}

wr_status wr_stream_wait(wr_stream *s, uint64_t timeout_ns) {
    wr_client *client = s->client;
    if (!client_live(client)) {
        return wr_client_refuse(client, NULL);
    }
    const wr_ref either[2] = {s->generator, s->handles[s->next % s->window]};
    if (s->next == s->tail) { /* no cell could be prepared: only the generator's end can be seen */
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
        const wr_ref credit = s->handles[(item - 1) % s->window];
        if (take_back(s, credit) && item == s->tail) {
            s->barrier = credit;
        }
        if (credit != s->barrier) {
            wr_proc_unref(s->client->proc, credit);
        }
    }
    s->next = s->tail;
}

/* false: the producer has not ended yet, and has to find the barrier. */
static bool finish(wr_stream *s) {
    wr_proc *proc = s->client->proc;
    if (!sealed(s, s->generator)) {
        /* Without a credit left it waits for one: it gets new ones, which are taken back at once. The last of
         * them it has hardly claimed by then; if it has, this is done again. */
        if (s->barrier == 0 && refill(s, s->next + s->window, NULL) == WR_OK) {
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
            wr_free(s);
        } else {
            at = &s->next_closing;
        }
    }
}

void wr_client_streams_done(wr_client *client) {
    while (client->closing != NULL) {
        wr_stream *s = client->closing;
        client->closing = s->next_closing;
        wr_free(s);
    }
}

void wr_stream_close(wr_stream *s) {
    if (s == NULL) {
        return;
    }
    wr_client *client = s->client;
    if (!client_live(client)) {
        wr_free(s);
        return;
    }
    withdraw(s);
    if (finish(s)) {
        wr_free(s);
        return;
    }
    s->next_closing = client->closing;
    client->closing = s;
}

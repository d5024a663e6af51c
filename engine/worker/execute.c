/* Worker side: take, result, seal, retry, yield.
 *
 *   lane   empty --next, claim--> taken --result--> stored --seal--> empty
 *          taken --retry of an actor's call--> again --next--> taken
 *          taken --fail, or retry of a class's task--> empty
 */
#include "worker/client.h"

#include "base/clock.h"
#include "store/error_value.h"
#include "store/value.h"

#include <string.h>

enum { LOOK_EVERY = 1 << 16, RETRIES_ENDLESS = 255 };

static const uint64_t long_sleep_ns = 20 * 1000 * 1000; /* after which an idle worker looks at its socket */

void wr_client_lanes_done(wr_client *client) {
    for (uint32_t i = 0; i < WR_LANE_MAX; i++) {
        if (client->lanes[i] != NULL) {
            wr_free(client->lanes[i]->refs);
            wr_free(client->lanes[i]);
        }
    }
}

static lane *lane_get(wr_client *client, uint32_t index) {
    if (index >= TASK_LANES) {
        return NULL;
    }
    if (WR_UNLIKELY(client->lanes[index] == NULL)) {
        client->lanes[index] = wr_calloc(1, sizeof(lane));
    }
    return client->lanes[index];
}

/* The lane that holds the task, or NULL: it is not claimed (any more). */
static lane *lane_of(wr_client *client, const wr_task *task) {
    lane *l = client_live(client) && task->lane < TASK_LANES ? client->lanes[task->lane] : NULL;
    return WR_LIKELY(l != NULL && l->taken && !l->again && l->claim.handle == task->ref) ? l : NULL;
}

static void activity_set(wr_client *client, wr_activity activity) {
    if (client->activity != activity) {
        client->activity = activity;
        wr_proc_activity(client->proc, activity);
    }
}

static void lane_release(wr_client *client, lane *l) {
    l->taken = false;
    l->stored = false;
    l->again = false;
    WR_DEBUG_ASSERT(client->lanes_taken > 0);
    client->lanes_taken--;
}

static void drop_result(wr_client *client, lane *l) {
    if (l->stored) {
        wr_store_discard(client->proc, &l->result);
        l->stored = false;
    }
}

/* Describes the claim of a lane. Fails: CORRUPT (arguments), NO_MEMORY. */
static wr_status task_fill(wr_client *client, lane *l, wr_task *out, wr_error *err) {
    const wr_claim *c = &l->claim;
    out->ref = c->handle;
    out->function = c->function;
    out->flags = c->flags;
    out->attempt = c->attempt;
    out->max_retries = c->max_retries == RETRIES_ENDLESS ? -1 : c->max_retries;
    out->ref_count = c->ref_count;
    out->refs = c->refs;
    out->lane = c->lane;
    out->port = c->port;
    out->caller_slot = c->caller_slot;
    out->stream = (c->flags & WR_CALL_STREAM) != 0 ? l : NULL;
    if (c->links != NULL) {
        void *grown = l->refs;
        WR_TRY(wr_array_reserve(&grown, &l->ref_capacity, c->ref_count, sizeof(wr_ref), err));
        l->refs = grown;
        for (uint32_t i = 0; i < c->ref_count; i++) {
            l->refs[i] = c->links[i].ref;
        }
        out->refs = l->refs;
    }
    if (c->block == 0) {
        wr_store_view_inline(WR_KIND_VALUE, c->args, c->arg_bytes, &out->args);
        return WR_OK;
    }
    return wr_store_view_block(client->pool, c->block, &out->args, err);
}

/* Seals a claim that cannot be run. */
static void claim_fail(wr_client *client, lane *l, const wr_error *why) {
    drop_result(client, l);
    wr_store_error_encode(client->pool, client->proc, why, &l->result);
    (void)wr_proc_seal(client->proc, &l->claim, &l->result);
    lane_release(client, l);
}

/* Whether the word is a later assignment than the one that this worker follows. An earlier one may still stand in the
 * slot: an answer can tell of a word before the raylet wrote it. */
static bool assignment_is_new(const wr_client *client, uint32_t word) {
    const uint32_t ahead =
        (word >> WR_ASSIGN_COUNT_SHIFT) - (client->assignment_seen >> WR_ASSIGN_COUNT_SHIFT);
    return (word & WR_ASSIGN_EXIT) != 0 || (ahead & WR_ASSIGN_COUNT_MASK) - 1 < WR_ASSIGN_COUNT_MASK / 2;
}

void wr_worker_assigned(wr_client *client, uint32_t word) {
    if ((word & WR_ASSIGN_EXIT) == 0 && assignment_is_new(client, word)) {
        client->assignment_seen = word;
    }
}

/* What the slot's assignment word asks for; WR_NEXT_TASK: nothing, go on. */
static wr_next assignment_look(wr_client *client) {
    const uint32_t word = wr_proc_assignment(client->proc);
    if (WR_UNLIKELY(word != client->assignment_seen) && assignment_is_new(client, word)) {
        if ((word & WR_ASSIGN_EXIT) != 0) {
            return WR_NEXT_EXIT; /* not noted: every call says so */
        }
        client->assignment_seen = word;
        return WR_NEXT_ASSIGNMENT;
    }
    return WR_NEXT_TASK;
}

wr_next wr_worker_next(wr_client *client, uint32_t lane_index, wr_task *out) {
    if (!client_live(client)) {
        return WR_NEXT_DEAD;
    }
    if (WR_UNLIKELY((++client->next_calls & (LOOK_EVERY - 1)) == 0) && !wr_client_look(client)) {
        return WR_NEXT_DEAD; /* a worker that is never idle */
    }
    lane *l = lane_get(client, lane_index);
    if (WR_UNLIKELY(l == NULL || (l->taken && !l->again))) {
        return WR_NEXT_NONE; /* no such lane, no memory, or its task is not done */
    }
    if (WR_UNLIKELY(l->again)) {
        l->again = false;
        l->item = 0;
        wr_error why = {0};
        if (WR_LIKELY(task_fill(client, l, out, &why) == WR_OK)) {
            return WR_NEXT_TASK;
        }
        claim_fail(client, l, &why);
    }
    for (;;) {
        const wr_next wanted = assignment_look(client);
        if (WR_UNLIKELY(wanted != WR_NEXT_TASK)) {
            return wanted;
        }
        if (!wr_proc_take(client->proc, lane_index, &l->claim)) {
            if (WR_UNLIKELY(wr_pool_poisoned(client->pool))) {
                (void)wr_client_look(client); /* marks the client dead: nothing sleeps on a poisoned pool */
                return WR_NEXT_DEAD;
            }
            if (client->lanes_taken == 0) {
                activity_set(client, WR_IDLE);
            }
            return WR_NEXT_NONE;
        }
        l->taken = true;
        l->item = 0;
        client->lanes_taken++;
        wr_error why;
        why.status = WR_OK; /* the rest is filled only by a failure */
        if (WR_LIKELY(task_fill(client, l, out, &why) == WR_OK)) {
            activity_set(client, WR_RUNNING);
            return WR_NEXT_TASK;
        }
        claim_fail(client, l, &why);
    }
}

wr_status wr_worker_claim(wr_client *client, uint32_t lane_index, wr_ref ref, wr_task *out) {
    if (!client_live(client)) {
        return wr_client_refuse(client, NULL);
    }
    lane *l = lane_get(client, lane_index);
    if (l == NULL) {
        return lane_index >= TASK_LANES ? WR_E_INVALID : WR_E_NO_MEMORY;
    }
    if (l->taken) {
        return WR_E_INVALID;
    }
    wr_error why = {0};
    const wr_status status = wr_proc_claim(client->proc, lane_index, ref, &l->claim);
    if (status == WR_E_STATE) { /* done: its arguments can still be read */
        l->claim.lane = lane_index;
        WR_TRY(task_fill(client, l, out, &why));
        return status;
    }
    WR_TRY(status);
    l->taken = true;
    l->item = 0;
    client->lanes_taken++;
    const wr_status filled = task_fill(client, l, out, &why);
    if (filled != WR_OK) {
        claim_fail(client, l, &why);
        return filled;
    }
    activity_set(client, WR_RUNNING);
    return WR_OK;
}

void wr_worker_idle(wr_client *client, uint64_t spin_ns) {
    if (!client_live(client) || assignment_is_new(client, wr_proc_assignment(client->proc))) {
        return;
    }
    const uint64_t begin_ns = wr_clock_ns();
    wr_proc_idle(client->proc, spin_ns);
    if (wr_clock_ns() - begin_ns > long_sleep_ns) {
        (void)wr_client_look(client);
    }
}

wr_ref wr_worker_cancel_wanted(const wr_client *client) {
    return client_live(client) ? wr_proc_cancel_wanted(client->proc) : 0;
}

/* ---- The end of a task ---- */

static void announce(wr_client *client, wr_ref container, const wr_value *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (values[i].ref_count != 0) {
            wr_proc_contain(client->proc, container, values[i].refs, values[i].ref_count);
        }
    }
}

wr_status wr_task_result(wr_client *client, wr_task *task, wr_kind kind, const wr_value *values,
                         uint32_t value_count, wr_error *err) {
    lane *l = lane_of(client, task);
    if (l == NULL) {
        WR_TRY(wr_client_refuse(client, err));
        return WR_FAIL(err, WR_E_STATE, "result: this worker does not run task %llx",
                       (unsigned long long)task->ref);
    }
    drop_result(client, l);
    const wr_status status =
        wr_store_values(client->pool, client->proc, kind, values, value_count, &l->result, err);
    if (WR_UNLIKELY(status != WR_OK)) {
        return wr_client_explain(client, status, err);
    }
    announce(client, task->ref, values, value_count);
    l->stored = true;
    return WR_OK;
}

bool wr_task_seal(wr_client *client, wr_task *task) {
    lane *l = lane_of(client, task);
    if (l == NULL || !l->stored) {
        return false;
    }
    const bool ours = wr_proc_seal(client->proc, &l->claim, &l->result);
    lane_release(client, l);
    return ours;
}

bool wr_task_fail(wr_client *client, wr_task *task, const wr_error *error) {
    lane *l = lane_of(client, task);
    if (l == NULL) {
        return false;
    }
    drop_result(client, l);
    wr_store_error_encode(client->pool, client->proc, error, &l->result);
    const bool ours = wr_proc_seal(client->proc, &l->claim, &l->result);
    lane_release(client, l);
    return ours;
}

bool wr_task_retry(wr_client *client, wr_task *task) {
    lane *l = lane_of(client, task);
    if (l == NULL || (l->claim.max_retries != RETRIES_ENDLESS && l->claim.attempt >= l->claim.max_retries)) {
        return false;
    }
    if ((client->assignment_seen & WR_ASSIGN_ACTOR) != 0) {
        /* Before all later calls: on this lane, by the next wr_worker_next. */
        if (!wr_proc_retry_in_place(client->proc, &l->claim)) {
            return false;
        }
        drop_result(client, l);
        l->again = true;
        return true;
    }
    if (!wr_proc_give_back(client->proc, &l->claim, 0 /* the port's table knows this process's ring */)) {
        return false;
    }
    drop_result(client, l);
    lane_release(client, l);
    return true;
}

/* ---- Streams, producer side ---- */

wr_status wr_task_yield(wr_client *client, wr_task *task, wr_kind kind, const wr_value *value,
                        wr_error *err) {
    lane *l = lane_of(client, task);
    if (l == NULL || task->stream == NULL) {
        WR_TRY(wr_client_refuse(client, err));
        return WR_FAIL(err, WR_E_STATE, "yield: this worker runs no generator %llx",
                       (unsigned long long)task->ref);
    }
    wr_claim item;
    wr_status status = wr_proc_credit_claim(client->proc, &l->claim, ITEM_LANE, l->item, &item);
    if (status == WR_E_STATE) { /* sealed by an earlier attempt */
        l->item++;
        return WR_OK;
    }
    if (status != WR_OK) {
        return status;
    }
    wr_result result;
    status = wr_store_values(client->pool, client->proc, kind, value, 1, &result, err);
    if (WR_UNLIKELY(status != WR_OK)) {
        /* The claim cannot stay: the item becomes the error that the caller gets, too. A signal for this process is none
         * for who reads the item. */
        wr_error why = {0};
        const wr_status seen = status == WR_E_INTERRUPTED ? WR_E_CANCELLED : status;
        if (seen == WR_E_CANCELLED) {
            WR_FAIL(&why, seen, "cancelled by a signal");
        } else if (err != NULL) {
            why = *err;
        } else {
            WR_FAIL(&why, status, "the item could not be stored");
        }
        wr_store_error_inline(seen, why.text, &result);
        l->item++;
        (void)wr_proc_seal(client->proc, &item, &result);
        return wr_client_explain(client, status, err);
    }
    announce(client, item.handle, value, 1);
    l->item++;
    return wr_proc_seal(client->proc, &item, &result) ? WR_OK : WR_E_CANCELLED;
}

wr_status wr_task_yield_wait(wr_client *client, wr_task *task, uint64_t timeout_ns) {
    lane *l = lane_of(client, task);
    if (l == NULL || task->stream == NULL) {
        const wr_status status = wr_client_refuse(client, NULL);
        return status != WR_OK ? status : WR_E_STATE;
    }
    const uint64_t begin_ns = wr_clock_ns();
    wr_proc_credit_wait(client->proc, &l->claim, l->item, timeout_ns);
    const uint64_t slept_ns = wr_clock_ns() - begin_ns;
    if (slept_ns > long_sleep_ns && !wr_client_look(client)) {
        return WR_E_RAYLET_DIED;
    }
    return slept_ns < timeout_ns ? WR_OK : WR_E_TIMEOUT;
}

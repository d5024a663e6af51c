/* Objects: put, look, wait, count, name. */
#include "worker/client.h"

#include "base/clock.h"
#include "store/error_value.h"
#include "store/value.h"

#include <string.h>

/* ---- References ---- */

wr_status wr_client_refs_check(const wr_client *client, const wr_ref *refs, uint32_t count, const char *what,
                               wr_error *err) {
    if (count != 0 && refs == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "%s: %u of them, without a pointer", what, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (WR_UNLIKELY(wr_cell_state_of(client->pool, refs[i]) == WR_CELL_FREE)) {
            return WR_FAIL(err, WR_E_INVALID, "%s %u is no reference to an object (%llx)", what, i,
                           (unsigned long long)refs[i]);
        }
    }
    return WR_OK;
}

void wr_addref(wr_client *client, wr_ref ref) {
    if (client_live(client) && ref != 0) {
        wr_proc_ref(client->proc, ref);
    }
}

void wr_unref(wr_client *client, wr_ref ref) {
    if (client_live(client) && ref != 0) {
        wr_proc_unref(client->proc, ref);
    }
}

void wr_borrow(wr_client *client, wr_ref ref) {
    if (!client_live(client) || ref == 0) {
        return;
    }
    if (wr_proc_counts(client->proc, ref)) {
        wr_proc_ref(client->proc, ref);
    } else {
        wr_proc_borrow(client->proc, ref);
    }
}

void wr_share(wr_client *client, wr_ref ref) {
    if (client_live(client) && wr_proc_counts(client->proc, ref)) {
        wr_proc_share(client->proc, ref);
    }
}

void wr_settle(wr_client *client, wr_ref ref) {
    if (client_live(client) && ref != 0) {
        wr_proc_settle(client->proc, ref);
    }
}

bool wr_ref_valid(const wr_client *client, wr_ref ref) {
    return client_live(client) && wr_cell_state_of(client->pool, ref) != WR_CELL_FREE;
}

void wr_ref_id(const wr_client *client, wr_ref ref, uint32_t index, uint8_t out[28]) {
    const wr_object_id id = wr_object_id_make(&client->node, client->job, ref, index);
    memcpy(out, id.bytes, sizeof id.bytes);
}

bool wr_ref_from_id(const wr_client *client, const uint8_t id[28], wr_ref *out, uint32_t *out_index) {
    wr_object_id object;
    memcpy(object.bytes, id, sizeof object.bytes);
    uint64_t cluster = 0;
    uint64_t handle = 0;
    uint32_t incarnation = 0;
    uint32_t job = 0;
    uint32_t index = 0;
    wr_object_id_split(&object, &cluster, &incarnation, &job, &handle, &index);
    if (cluster != wr_node_id_cluster(&client->node) ||
        incarnation != wr_node_id_incarnation(&client->node)) {
        return false;
    }
    *out = handle;
    *out_index = index;
    return true;
}

/* ---- Put and look ---- */

wr_status wr_put_kind(wr_client *client, wr_kind kind, const wr_value *value, wr_ref *out, wr_error *err) {
    if (!client_live(client)) {
        return wr_client_refuse(client, err);
    }
    WR_TRY(wr_client_refs_check(client, value->refs, value->ref_count, "put: reference", err));
    wr_result result;
    wr_status status = wr_store_values(client->pool, client->proc, kind, value, 1, &result, err);
    if (WR_LIKELY(status == WR_OK)) {
        status = wr_proc_put(client->proc, &result, out, err);
        if (WR_UNLIKELY(status != WR_OK)) {
            wr_store_discard(client->proc, &result);
        }
    }
    return WR_LIKELY(status == WR_OK) ? WR_OK : wr_client_explain(client, status, err);
}

wr_status wr_put(wr_client *client, const wr_value *value, wr_ref *out, wr_error *err) {
    return wr_put_kind(client, WR_KIND_VALUE, value, out, err);
}

wr_kind wr_peek(const wr_client *client, wr_ref ref) {
    wr_result result;
    if (!client_live(client) || wr_cell_result(client->pool, ref, &result) != WR_OK) {
        return WR_KIND_PENDING;
    }
    /* Sealed with a kind that is none: wr_view_get says so. */
    return result.kind >= WR_KIND_VALUE && result.kind <= WR_KIND_VALUES ? (wr_kind)result.kind
                                                                         : WR_KIND_SYSTEM_ERROR;
}

wr_status wr_view_get(const wr_client *client, wr_ref ref, wr_view *out, wr_error *err) {
    if (!client_live(client)) {
        return wr_client_refuse(client, err);
    }
    wr_result result;
    const wr_status status = wr_cell_result(client->pool, ref, &result);
    if (WR_LIKELY(status == WR_OK)) {
        return wr_store_view(client->pool, &result, out, err);
    }
    return status == WR_E_STATE ? WR_FAIL(err, status, "the object is not there yet")
                                : WR_FAIL(err, status, "there is no object %llx", (unsigned long long)ref);
}

void wr_client_quote(const wr_client *client, wr_ref error, wr_error *out) {
    wr_view view;
    if (error == 0 || wr_view_get(client, error, &view, NULL) != WR_OK) {
        WR_FAIL(out, WR_E_ACTOR_DIED, "the actor is dead; why is not known");
    } else if (view.kind == WR_KIND_SYSTEM_ERROR) {
        wr_view_error(&view, out);
    } else { /* an exception in its language: only the codec can read it */
        WR_FAIL(out, WR_E_ACTOR_DIED, "the actor's constructor raised an exception");
    }
}

/* ---- Waits ---- */

/* A sleep's end after which the socket is looked at; the pool's own waits only see that it is poisoned. */
static wr_status wait_ended(const wr_client *client, wr_status status) {
    if (status == WR_E_INTERRUPTED && !wr_client_look(client)) {
        return wr_client_refuse(client, NULL);
    }
    return status;
}

wr_status wr_wait(wr_client *client, wr_ref ref, uint64_t timeout_ns) {
    if (!client_live(client)) {
        return wr_client_refuse(client, NULL);
    }
    switch (wr_cell_state_of(client->pool, ref)) {
    case WR_CELL_SEALED:
        return WR_OK;
    case WR_CELL_FREE:
        return WR_E_NOT_FOUND;
    default:
        break;
    }
    if (timeout_ns == 0) {
        return WR_E_TIMEOUT;
    }
    return wait_ended(client, wr_proc_wait(client->proc, ref, timeout_ns, client->spin_ns));
}

wr_status wr_wait_many(wr_client *client, const wr_ref *refs, uint32_t count, uint32_t enough,
                       uint64_t timeout_ns, uint32_t *out_ready) {
    if (!client_live(client)) {
        return wr_client_refuse(client, NULL);
    }
    return wait_ended(client, wr_proc_wait_many(client->proc, refs, count, enough < count ? enough : count,
                                                timeout_ns, client->spin_ns, out_ready));
}

bool wr_spin(wr_client *client, wr_ref ref, uint64_t spin_ns) {
    return client_live(client) && wr_proc_spin(client->proc, ref, spin_ns);
}

void wr_blocked_begin(wr_client *client) {
    if (client_live(client) && client->blocked_depth++ == 0) {
        (void)wr_flush(client);
        wr_proc_activity(client->proc, WR_BLOCKED);
    }
}

void wr_blocked_end(wr_client *client) {
    if (client_live(client) && client->blocked_depth != 0 && --client->blocked_depth == 0) {
        wr_proc_activity(client->proc, client->activity);
    }
}

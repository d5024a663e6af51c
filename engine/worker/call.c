/* Calls: submit, cancel, flush. */
#include "worker/client.h"

#include "store/error_value.h"
#include "store/value.h"

enum {
    RETRIES_ENDLESS = 255,
    RETRIES_MAX = 254,
    LINKS_INLINE = 3,
    CALL_FLAGS = WR_CALL_STREAM | WR_CALL_PARKED | WR_CALL_RETRY_ERRORS
};

/* outlived: the port was closed since the caller learned of it, and may be another's by now. */
static wr_status port_refuse(wr_client *client, const wr_call *call, bool outlived, wr_port_state state,
                             wr_ref cause, wr_error *err) {
    if (outlived && (call->function & WR_METHOD) != 0) {
        return WR_FAIL(err, WR_E_ACTOR_DIED, "the actor has ended, and its last handle is gone");
    }
    if (!outlived && state == WR_PORT_DEAD) {
        wr_error why = {0};
        wr_client_quote(client, cause, &why);
        wr_status status = WR_FAIL(err, WR_E_ACTOR_DIED, "%s", why.text);
        if ((call->function & WR_METHOD) != 0) {
            status = WR_FAIL(err, WR_E_ACTOR_DIED, "method %u: %s", call->function & ~WR_METHOD, why.text);
        }
        wr_error_hint(err, "%s", why.hint);
        return status;
    }
    if (outlived) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "call: port %u was closed since its class was opened",
                       (unsigned)call->port);
    }
    return WR_FAIL(err, WR_E_INVALID, "call: port %u is closed", (unsigned)call->port);
}

static wr_status call_check(wr_client *client, const wr_call *call, wr_error *err) {
    if ((call->flags & ~(uint32_t)CALL_FLAGS) != 0) {
        return WR_FAIL(err, WR_E_INVALID, "call: unknown flags %x", call->flags);
    }
    if (call->args.stream_bytes != 0 && call->args.stream == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "call: arguments of %llu bytes without a pointer",
                       (unsigned long long)call->args.stream_bytes);
    }
    WR_TRY(wr_client_refs_check(client, call->refs, call->ref_count, "call: reference argument", err));
    WR_TRY(
        wr_client_refs_check(client, call->args.refs, call->args.ref_count, "call: nested reference", err));
    if (call->stream_window > WINDOW_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "call: a window of %u items is larger than %d", call->stream_window,
                       (int)WINDOW_MAX);
    }
    if ((call->flags & WR_CALL_PARKED) != 0) {
        return WR_OK; /* queued nowhere */
    }
    if (call->port >= WR_PORT_JOIN) {
        return WR_FAIL(err, WR_E_INVALID, "call: there is no port %u", call->port);
    }
    wr_ref cause = 0;
    const uint16_t port = (uint16_t)call->port;
    const wr_port_state state = wr_proc_port_state(client->proc, port, &cause);
    const bool outlived =
        call->generation != 0 && call->generation != wr_proc_port_generation(client->proc, port);
    if (WR_UNLIKELY(outlived || state == WR_PORT_DEAD || state == WR_PORT_CLOSED)) {
        return port_refuse(client, call, outlived, state, cause, err);
    }
    return WR_OK;
}

/* Arguments go inline where the cell has room: 48 bytes, 16 of which each reference takes. */
static bool fits_inline(const wr_call *call) {
    return call->ref_count <= LINKS_INLINE && (call->flags & WR_CALL_STREAM) == 0 &&
           call->args.ref_count == 0 && call->args.buffer_count == 0 &&
           call->args.stream_bytes <= WR_STORE_ARGS_INLINE_MAX - 16ull * call->ref_count;
}

wr_status wr_submit(wr_client *client, const wr_call *call, wr_ref *out, wr_error *err) {
    if (!client_live(client)) {
        return wr_client_refuse(client, err);
    }
    WR_TRY(call_check(client, call, err));
    const bool parked = (call->flags & WR_CALL_PARKED) != 0;
    wr_task_spec spec = {.port = parked ? WR_PORT_NONE : (uint16_t)call->port,
                         .ring = call->ring,
                         .generation = parked ? 0 : call->generation,
                         .reopens = !parked && call->generation != 0 && (call->function & WR_METHOD) == 0,
                         .function = call->function,
                         .flags = (uint8_t)call->flags,
                         .max_retries = call->max_retries < 0             ? RETRIES_ENDLESS
                                        : call->max_retries > RETRIES_MAX ? RETRIES_MAX
                                                                          : (uint8_t)call->max_retries,
                         .refs = call->refs,
                         .ref_count = call->ref_count};
    const uint32_t window = call->stream_window == 0 ? WINDOW_DEFAULT : call->stream_window;
    const bool stream = (call->flags & WR_CALL_STREAM) != 0;

    if (WR_LIKELY(fits_inline(call))) {
        spec.args = call->args.stream_bytes != 0 ? (const void *)call->args.stream : "";
        spec.arg_bytes = (uint8_t)call->args.stream_bytes;
    } else {
        const wr_status stored = wr_store_args(client->pool, client->proc, &call->args,
                                               call->ref_count > LINKS_INLINE ? call->ref_count : 0,
                                               stream ? window : 0, &spec.block, err);
        if (WR_UNLIKELY(stored != WR_OK)) {
            return wr_client_explain(client, stored, err);
        }
    }
    if (WR_UNLIKELY(client->closing != NULL)) {
        wr_client_streams_tend(client);
    }
    wr_ref ref = 0;
    wr_status status = wr_proc_submit(client->proc, &spec, &ref, err);
    if (WR_UNLIKELY(status != WR_OK)) {
        if (spec.block != 0 && status != WR_E_NOT_FOUND) { /* there it is gone already */
            wr_proc_heap_free(client->proc, spec.block);
        }
        return wr_client_explain(client, status, err);
    }
    if (WR_UNLIKELY(parked)) {
        wr_proc_share(client->proc, ref);
    }
    if (WR_UNLIKELY(stream)) {
        status = wr_map_set(&client->windows, ref, call->stream_window, err);
        if (status != WR_OK) { /* a generator that nobody can read */
            (void)wr_cancel(client, ref, NULL, NULL);
            wr_proc_unref(client->proc, ref);
            return status;
        }
    }
    *out = ref;
    return WR_OK;
}

bool wr_flush(wr_client *client) {
    if (!client_live(client)) {
        return false;
    }
    wr_proc_poll(client->proc);
    if (client->closing != NULL) {
        wr_client_streams_tend(client);
    }
    const bool fed = client->fed != NULL && wr_client_streams_feed(client);
    return wr_proc_flush(client->proc) || fed;
}

wr_status wr_cancel(wr_client *client, wr_ref ref, uint32_t *out_slot, uint32_t *out_epoch) {
    if (!client_live(client)) {
        return wr_client_refuse(client, NULL);
    }
    wr_result error;
    wr_store_error_inline(WR_E_CANCELLED, "the task was cancelled", &error);
    uint32_t slot = 0;
    uint32_t epoch = 0;
    const wr_status status = wr_proc_cancel(client->proc, ref, &error, &slot, &epoch);
    if (status == WR_E_STATE && out_slot != NULL) {
        *out_slot = slot;
        *out_epoch = epoch;
    }
    return status;
}

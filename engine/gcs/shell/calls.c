/* Calls: KV and functions from the store, tables from the core. Every answer waits for the commit of its
 * batch. */
#include "gcs/shell/shell.h"

#include "base/clock.h"
#include "base/log.h"
#include "rpc/codec.h"
#include "rpc/gcs_api.h"

#include "gcs.pb-c.h"

enum { NAME_SPACE_MAX = 4096, KEY_MAX = 64 * 1024, VALUE_MAX = 200 * 1024 * 1024, KEYS_MAX = 1000000 };
static const uint64_t log_retry_ns = 100ull * 1000 * 1000;

/* ---- answers */

static wr_status answer(gcs_shell *shell, wr_rpc_call *call, const wr_gcs_reply *reply, wr_error *err) {
    void *answers = shell->answers;
    WR_TRY(wr_array_reserve(&answers, &shell->answer_capacity, shell->answer_count + 1,
                            sizeof *shell->answers, err));
    shell->answers = answers;
    gcs_answer made = {.call = call, .depends = shell->written};
    WR_TRY(wr_struct_pack(&wr_gcs_reply_desc, &whipray__gcs_reply__descriptor, reply, &made.data, &made.bytes,
                          err));
    shell->answers[shell->answer_count++] = made;
    return WR_OK;
}

void gcs_shell_answer_all(gcs_shell *shell) {
    for (uint32_t i = 0; i < shell->answer_count; i++) {
        wr_rpc_call_reply(shell->answers[i].call, shell->answers[i].data, shell->answers[i].bytes);
        wr_free(shell->answers[i].data);
    }
    shell->answer_count = 0;
}

/* ---- the commit, and what happens when it fails */

static void failed(gcs_shell *shell, const wr_error *why) {
    if (shell->failing.status == WR_OK) {
        WR_LOG_ERROR("gcs.store_failing", "%s %s reading goes on, writes are refused", why->text, why->hint);
    }
    shell->failing = *why;
    wr_gcs_core_store_failing(shell->core, shell->log_retry_at != 0 ? why->text : NULL);
}

void gcs_shell_answers_refuse(gcs_shell *shell, const wr_error *why) {
    wr_gcs_reply reply = {.status = why->status, .text = wr_span_text(why->text)};
    shell->store->ops->rollback(shell->store);
    shell->written = false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < shell->answer_count; i++) {
        gcs_answer a = shell->answers[i];
        if (a.depends) {
            wr_free(a.data);
            a.depends = false;
            if (wr_struct_pack(&wr_gcs_reply_desc, &whipray__gcs_reply__descriptor, &reply, &a.data, &a.bytes,
                               NULL) != WR_OK) {
                wr_rpc_call_fail(a.call, why->status, why->text);
                continue;
            }
        }
        shell->answers[kept++] = a;
    }
    shell->answer_count = kept;
    failed(shell, why);
}

wr_status gcs_shell_commit(gcs_shell *shell, bool with_log, wr_error *err) {
    wr_error why = {.status = WR_OK};
    with_log = with_log && shell->log.count > 0 && wr_clock_ns() >= shell->log_retry_at;
    if (!with_log && !shell->written) {
        return WR_OK;
    }
    wr_status status = with_log ? gcs_shell_write_log(shell, &why) : WR_OK;
    status = status == WR_OK ? shell->store->ops->commit(shell->store, &why) : status;
    if (status != WR_OK) {
        shell->log_retry_at = with_log ? wr_clock_ns() + log_retry_ns : shell->log_retry_at;
        gcs_shell_answers_refuse(shell, &why);
        if (err != NULL) {
            *err = why;
        }
        return status;
    }
    shell->written = false;
    for (uint32_t i = 0; i < shell->answer_count; i++) {
        shell->answers[i].depends = false;
    }
    if (with_log) {
        wr_gcs_log_clear(&shell->log);
        shell->log_retry_at = 0;
    } else if (shell->log_retry_at != 0) {
        shell->log_retry_at = 1; /* there may be room again: at once */
    }
    if (shell->failing.status != WR_OK && shell->log.count == 0) {
        WR_LOG_INFO("gcs.store_healed", "what waited is stored");
        shell->failing.status = WR_OK;
        wr_gcs_core_store_failing(shell->core, NULL);
    }
    return WR_OK;
}

void gcs_shell_answers_done(gcs_shell *shell) {
    for (uint32_t i = 0; i < shell->answer_count; i++) {
        wr_free(shell->answers[i].data);
    }
    wr_free(shell->answers);
    shell->answers = NULL;
    shell->answer_count = shell->answer_capacity = 0;
}

/* ---- keys: u32 length of the namespace, big endian ‖ namespace ‖ key. A prefix of a key is a prefix of
 * this. */

static wr_status make_key(const wr_gcs_request *request, wr_buffer *out, wr_error *err) {
    if (request->name_space.bytes > NAME_SPACE_MAX || request->key.bytes > KEY_MAX ||
        request->value.bytes > VALUE_MAX) {
        return WR_FAIL(err, WR_E_LIMIT, "a namespace has at most %d bytes, a key %d, a value %d",
                       NAME_SPACE_MAX, KEY_MAX, VALUE_MAX);
    }
    void *data = out->data;
    WR_TRY(
        wr_array_reserve(&data, &out->capacity, 4 + request->name_space.bytes + request->key.bytes, 1, err));
    out->data = data;
    uint32_t n = request->name_space.bytes;
    const uint8_t head[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    memcpy(out->data, head, 4);
    if (n > 0) {
        memcpy(out->data + 4, request->name_space.data, n);
    }
    if (request->key.bytes > 0) {
        memcpy(out->data + 4 + n, request->key.data, request->key.bytes);
    }
    out->bytes = 4 + n + request->key.bytes;
    return WR_OK;
}

/* Keys of a scan, one after the other in a buffer. */
typedef struct key_list {
    wr_buffer bytes;
    uint32_t *ends;                 /* owned */
    uint32_t count, capacity, skip; /* skip: bytes of each stored key before the user's key */
} key_list;

static void key_list_done(key_list *list) {
    wr_buffer_done(&list->bytes);
    wr_free(list->ends);
}

static wr_status add_key(void *user, wr_span key, wr_span value, wr_error *err) {
    (void)value;
    key_list *list = user;
    if (list->count == KEYS_MAX || key.bytes > (uint32_t)INT32_MAX - list->bytes.bytes) {
        return WR_FAIL(err, WR_E_LIMIT, "more than %d keys begin so", KEYS_MAX);
    }
    void *data = list->bytes.data, *ends = list->ends;
    WR_TRY(wr_array_reserve(&data, &list->bytes.capacity, list->bytes.bytes + key.bytes, 1, err));
    list->bytes.data = data;
    WR_TRY(wr_array_reserve(&ends, &list->capacity, list->count + 1, sizeof *list->ends, err));
    list->ends = ends;
    memcpy(list->bytes.data + list->bytes.bytes, key.data, key.bytes);
    list->bytes.bytes += key.bytes;
    list->ends[list->count++] = list->bytes.bytes;
    return WR_OK;
}

static wr_span key_at(const key_list *list, uint32_t i) {
    uint32_t begin = i == 0 ? 0 : list->ends[i - 1];
    return wr_span_of(list->bytes.data + begin, list->ends[i] - begin);
}

/* ---- one call */

static wr_status kv_put(gcs_shell *shell, uint32_t table, wr_span key, const wr_gcs_request *request,
                        bool overwrite, wr_gcs_response *out, wr_error *err) {
    bool there;
    WR_TRY(shell->store->ops->exists(shell->store, table, key, &there, err));
    out->added = !there;
    shell->written |= !there || overwrite;
    return there && !overwrite ? WR_OK
                               : shell->store->ops->put(shell->store, table, key, request->value, err);
}

static wr_status kv_del(gcs_shell *shell, wr_span key, bool prefix, wr_gcs_response *out, wr_error *err) {
    key_list list = {.count = 0};
    wr_status status =
        prefix ? shell->store->ops->scan(shell->store, WR_GCS_STORE_KV, key, true, add_key, &list, err)
               : add_key(&list, key, wr_span_of(NULL, 0), err);
    for (uint32_t i = 0; status == WR_OK && i < list.count; i++) {
        bool was;
        shell->written = true;
        status = shell->store->ops->remove(shell->store, WR_GCS_STORE_KV, key_at(&list, i), &was, err);
        out->count += status == WR_OK && was;
    }
    key_list_done(&list);
    return status;
}

static wr_status kv_list(gcs_shell *shell, wr_rpc_call *call, wr_span key, uint32_t skip, wr_error *err) {
    key_list list = {.count = 0};
    wr_status status = shell->store->ops->scan(shell->store, WR_GCS_STORE_KV, key, true, add_key, &list, err);
    wr_span *keys = status == WR_OK ? wr_calloc(list.count == 0 ? 1 : list.count, sizeof *keys) : NULL;
    if (status == WR_OK && keys == NULL) {
        status = WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a list of keys");
    }
    if (status == WR_OK) {
        for (uint32_t i = 0; i < list.count; i++) {
            wr_span whole = key_at(&list, i);
            keys[i] = wr_span_of((const char *)whole.data + skip, whole.bytes - skip);
        }
        wr_gcs_reply reply = {.response = {.keys = keys, .key_count = list.count}};
        status = answer(shell, call, &reply, err);
    }
    wr_free(keys);
    key_list_done(&list);
    return status;
}

static wr_status kv_get(gcs_shell *shell, wr_rpc_call *call, uint32_t table, wr_span key, wr_error *err) {
    uint8_t *data;
    uint32_t bytes;
    WR_TRY(shell->store->ops->get(shell->store, table, key, &data, &bytes, err));
    wr_gcs_reply reply = {.response = {.value = wr_span_of(data, bytes)}};
    wr_status status = answer(shell, call, &reply, err);
    wr_free(data);
    return status;
}

static wr_status table_call(gcs_shell *shell, wr_rpc_call *call, const wr_gcs_request *request,
                            wr_error *err) {
    wr_gcs_reply reply = {.status = WR_OK};
    wr_status status = wr_gcs_core_tables(shell->core, request, &reply.response, err);
    if (status == WR_OK) {
        status = answer(shell, call, &reply, err);
    }
    wr_gcs_core_tables_done(&reply.response);
    return status;
}

/* Answers, or says why not. */
static wr_status serve(gcs_shell *shell, wr_rpc_call *call, const wr_gcs_request *request, wr_error *err) {
    wr_buffer key = {NULL, 0, 0};
    wr_gcs_reply reply = {.status = WR_OK};
    wr_status status = make_key(request, &key, err);
    wr_span span = wr_span_of(key.data, key.bytes);
    bool answered = false;
    if (status != WR_OK) {
        wr_buffer_done(&key);
        return status;
    }
    switch (request->call) {
    case WR_GCS_KV_PUT:
        status = kv_put(shell, WR_GCS_STORE_KV, span, request, request->overwrite, &reply.response, err);
        break;
    case WR_GCS_FUNCTION_PUT:
        status = kv_put(shell, WR_GCS_STORE_FUNCTIONS, span, request, false, &reply.response, err);
        break;
    case WR_GCS_KV_GET:
    case WR_GCS_FUNCTION_GET:
        answered = true;
        status = kv_get(shell, call,
                        request->call == WR_GCS_KV_GET ? WR_GCS_STORE_KV : WR_GCS_STORE_FUNCTIONS, span, err);
        break;
    case WR_GCS_KV_DEL:
        status = kv_del(shell, span, request->prefix, &reply.response, err);
        break;
    case WR_GCS_KV_EXISTS:
        status = shell->store->ops->exists(shell->store, WR_GCS_STORE_KV, span, &reply.response.added, err);
        break;
    case WR_GCS_KV_LIST:
        answered = true;
        status = kv_list(shell, call, span, 4 + request->name_space.bytes, err);
        break;
    default:
        answered = true;
        status = table_call(shell, call, request, err);
        break;
    }
    wr_buffer_done(&key);
    return status == WR_OK && !answered ? answer(shell, call, &reply, err) : status;
}

wr_status gcs_shell_on_call(gcs_shell *shell, wr_rpc_call *call, wr_gcs_call which, wr_span bytes,
                            wr_error *err) {
    void *block;
    wr_error why = {.status = WR_OK};
    wr_status status =
        wr_struct_unpack(&wr_gcs_request_desc, &whipray__gcs_request__descriptor, bytes, &block, &why);
    if (status == WR_OK) {
        wr_gcs_request *request = block;
        request->call = which; /* the method decides */
        status = serve(shell, call, request, &why);
        wr_free(block);
    }
    if (status == WR_OK && shell->written && shell->failing.status != WR_OK) {
        /* By itself: the one that does not fit is refused, and no other. Its answer went with the others if it failed. */
        status = gcs_shell_commit(shell, false, &why);
        if (status != WR_E_CORRUPT) {
            return WR_OK;
        }
    }
    if (status == WR_OK) {
        return WR_OK;
    }
    if (status == WR_E_CORRUPT) {
        wr_rpc_call_fail(call, status, why.text);
        if (err != NULL) {
            *err = why;
        }
        return status;
    }
    if (status == WR_E_IO) { /* the others of this batch were undone with it */
        gcs_shell_answers_refuse(shell, &why);
    }
    wr_gcs_reply reply = {.status = status, .text = wr_span_text(why.text)};
    if (answer(shell, call, &reply, NULL) != WR_OK) {
        wr_rpc_call_fail(call, WR_E_NO_MEMORY, "no memory for an answer");
    }
    return WR_OK;
}

/* Rows of the GCS's store, as a damaged or hostile file would hold them: the shell loads them, the core starts from them
 * and runs for a minute of its own time. A wrong row is refused with a reason; what is accepted breaks nothing later.
 *
 * Input: rows one after the other: u8 table, u8 bytes of the key, u16 bytes of the row, key, row. */
#include "gcs/shell/shell.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS_MAX = 64, TICKS = 60 };

typedef struct row {
    uint32_t table;
    wr_span key, value;
} row;

typedef struct memory_store {
    wr_gcs_store base; /* first */
    row rows[ROWS_MAX];
    uint32_t count;
} memory_store;

static wr_status put(wr_gcs_store *store, uint32_t table, wr_span key, wr_span value, wr_error *err) {
    (void)store, (void)table, (void)key, (void)value, (void)err;
    return WR_OK;
}

static wr_status take_out(wr_gcs_store *store, uint32_t table, wr_span key, bool *out_was, wr_error *err) {
    (void)store, (void)table, (void)key, (void)out_was, (void)err;
    return WR_OK;
}

static wr_status get(wr_gcs_store *store, uint32_t table, wr_span key, uint8_t **out, uint32_t *out_bytes,
                     wr_error *err) {
    const memory_store *s = (const memory_store *)store;
    for (uint32_t i = 0; i < s->count; i++) {
        const row *r = &s->rows[i];
        if (r->table == table && wr_span_equal(r->key, key)) {
            uint8_t *copy = wr_calloc(1, r->value.bytes == 0 ? 1 : r->value.bytes);
            WR_ASSERT(copy != NULL);
            if (r->value.bytes > 0) {
                memcpy(copy, r->value.data, r->value.bytes);
            }
            *out = copy;
            *out_bytes = r->value.bytes;
            return WR_OK;
        }
    }
    return WR_FAIL(err, WR_E_NOT_FOUND, "there is no such key");
}

static wr_status scan(wr_gcs_store *store, uint32_t table, wr_span prefix, bool keys_only, wr_gcs_store_fn fn,
                      void *user, wr_error *err) {
    (void)prefix, (void)keys_only;
    const memory_store *s = (const memory_store *)store;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->rows[i].table == table) {
            WR_TRY(fn(user, s->rows[i].key, s->rows[i].value, err));
        }
    }
    return WR_OK;
}

static wr_status commit(wr_gcs_store *store, wr_error *err) {
    (void)store, (void)err;
    return WR_OK;
}

static const wr_gcs_store_ops ops = {.struct_size = sizeof ops,
                                     .name = "memory",
                                     .put = put,
                                     .remove = take_out,
                                     .get = get,
                                     .scan = scan,
                                     .commit = commit};

static void cut_rows(const uint8_t *data, size_t size, memory_store *s) {
    while (size >= 4 && s->count < ROWS_MAX) {
        uint32_t key = data[1], value = data[2] | (uint32_t)data[3] << 8, table = data[0] % WR_GCS_TABLES;
        data += 4;
        size -= 4;
        key = key < size ? key : (uint32_t)size;
        value = value < size - key ? value : (uint32_t)size - key;
        s->rows[s->count++] = (row){table, wr_span_of(data, key), wr_span_of(data + key, value)};
        data += key + value;
        size -= key + value;
    }
}

static void drop(gcs_shell *shell) {
    wr_gcs_log_clear(&shell->log);
    wr_outbox_clear(&shell->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    memory_store store = {.base = {&ops}};
    cut_rows(data, size, &store);
    gcs_shell shell;
    memset(&shell, 0, sizeof shell);
    shell.store = &store.base;
    wr_error err;
    memset(&err, 0, sizeof err);
    if (gcs_shell_load(&shell, &err) == WR_OK) {
        wr_time_ns now = 1000000000;
        for (int i = 0; i < TICKS; i++, now += 1000000000) {
            WR_ASSERT(gcs_shell_write_log(&shell, &err) == WR_OK); /* what was loaded can be stored again */
            drop(&shell);
            wr_gcs_core_tick(shell.core, now, now / 1000, &shell.log, &shell.out);
        }
    } else {
        WR_ASSERT(err.text[0] != 0);
    }
    wr_gcs_log_done(&shell.log);
    wr_outbox_done(&shell.out);
    wr_gcs_core_free(shell.core);
    return 0;
}

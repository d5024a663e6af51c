/* The core's records to rows of the store and back. */
#include "gcs/shell/shell.h"

#include "base/clock.h"
#include "rpc/codec.h"

#include "cluster.pb-c.h"
#include "store.pb-c.h"

static const struct ProtobufCMessageDescriptor *proto_of(wr_gcs_table table) {
    switch (table) {
    case WR_GCS_NODE:
        return &whipray__gcs_node_row__descriptor;
    case WR_GCS_JOB:
        return &whipray__gcs_job_row__descriptor;
    case WR_GCS_ACTOR_SPEC:
        return &whipray__actor_spec__descriptor;
    case WR_GCS_ACTOR:
        return &whipray__actor_info__descriptor;
    case WR_GCS_GROUP:
        return &whipray__pg_info__descriptor;
    case WR_GCS_META:
    case WR_GCS_TABLES:
        break;
    }
    return NULL;
}

wr_status gcs_shell_write_log(gcs_shell *shell, wr_error *err) {
    wr_gcs_store *store = shell->store;
    for (uint32_t i = 0; i < shell->log.count; i++) {
        const wr_gcs_record *r = &shell->log.records[i];
        wr_span key = wr_span_of(r->key, r->key_bytes);
        if (r->row == NULL) {
            WR_TRY(store->ops->remove(store, r->table, key, NULL, err));
        } else if (r->table == WR_GCS_META) {
            WR_TRY(store->ops->put(store, r->table, key, wr_span_of(r->row, sizeof(uint64_t)), err));
        } else {
            uint8_t *data;
            uint32_t bytes;
            WR_TRY(
                wr_struct_pack(wr_gcs_table_desc(r->table), proto_of(r->table), r->row, &data, &bytes, err));
            wr_status status = store->ops->put(store, r->table, key, wr_span_of(data, bytes), err);
            wr_free(data);
            WR_TRY(status);
        }
    }
    return WR_OK;
}

typedef struct loading {
    gcs_shell *shell;
    wr_gcs_table table;
} loading;

static wr_status load_row(void *user, wr_span key, wr_span value, wr_error *err) {
    loading *l = user;
    if (l->table == WR_GCS_META) {
        uint64_t number;
        if (value.bytes != sizeof number) {
            return WR_FAIL(err, WR_E_CORRUPT, "store: a number of %u bytes", value.bytes);
        }
        memcpy(&number, value.data, sizeof number);
        return wr_gcs_core_load(l->shell->core, l->table, key, &number, err);
    }
    void *row;
    WR_TRY(wr_struct_unpack(wr_gcs_table_desc(l->table), proto_of(l->table), value, &row, err));
    wr_status status = wr_gcs_core_load(l->shell->core, l->table, key, row, err);
    wr_free(row);
    return status;
}

static wr_status read_number(gcs_shell *shell, const char *key, uint64_t *out, wr_error *err) {
    uint8_t *data;
    uint32_t bytes;
    *out = 0;
    wr_status status =
        shell->store->ops->get(shell->store, WR_GCS_META, wr_span_text(key), &data, &bytes, err);
    if (status == WR_E_NOT_FOUND) {
        return WR_OK;
    }
    WR_TRY(status);
    if (bytes == sizeof *out) {
        memcpy(out, data, sizeof *out);
    }
    wr_free(data);
    return bytes == sizeof *out ? WR_OK : WR_FAIL(err, WR_E_CORRUPT, "store: %s is not a number", key);
}

static wr_status write_number(gcs_shell *shell, const char *key, uint64_t value, wr_error *err) {
    return shell->store->ops->put(shell->store, WR_GCS_META, wr_span_text(key),
                                  wr_span_of(&value, sizeof value), err);
}

wr_status gcs_shell_load(gcs_shell *shell, wr_error *err) {
    WR_TRY(read_number(shell, "epoch", &shell->epoch, err));
    WR_TRY(read_number(shell, "cluster_id", &shell->cluster_id, err));
    shell->epoch++;
    while (shell->cluster_id == 0) {
        shell->cluster_id = wr_random_u64();
    }
    WR_TRY(write_number(shell, "epoch", shell->epoch, err));
    WR_TRY(write_number(shell, "cluster_id", shell->cluster_id, err));
    WR_TRY(shell->store->ops->commit(shell->store, err)); /* no epoch is ever used twice */

    wr_gcs_core_opts opts = {
        .cluster_id = shell->cluster_id, .epoch = shell->epoch, .dead_after_ns = shell->dead_after_ns};
    WR_TRY(wr_gcs_core_new(&opts, &shell->core, err));
    /* Nodes and jobs before actors, specifications before states. */
    static const wr_gcs_table order[] = {WR_GCS_META,       WR_GCS_NODE,  WR_GCS_JOB,
                                         WR_GCS_ACTOR_SPEC, WR_GCS_ACTOR, WR_GCS_GROUP};
    for (size_t i = 0; i < WR_COUNT_OF(order); i++) {
        loading l = {shell, order[i]};
        WR_TRY(
            shell->store->ops->scan(shell->store, order[i], wr_span_of(NULL, 0), false, load_row, &l, err));
    }
    wr_gcs_core_start(shell->core, wr_clock_ns(), wr_clock_wall_us(), &shell->log, &shell->out);
    return WR_OK;
}

/* engine/gcs/shell/store.h: where the GCS keeps what must outlive it: bytes under keys in numbered tables.
 *
 * Writes gather in one transaction; commit makes them durable against the death of the process (SQLite:
 * WAL; loss of power may cost the last commits, never the file's integrity). Reads see what was written,
 * committed or not: an answer made from them waits for the commit. One thread.
 *
 * S1. All writes between two commits become durable together, or none.
 * S2. After a failed write or commit (the disk is full, a limit of the machine) nothing since the last commit is in the store,
 *     once `rollback` was called; reads go on, and writes may be tried again at any time.
 * S3. A store of another schema version is refused, unchanged.
 */
#pragma once

#include "base/base.h"
#include "sched/span.h"

WR_BEGIN_DECLS

typedef struct wr_gcs_store wr_gcs_store;

/* Called for each row in the order of keys; spans are borrowed. Another status than OK ends the scan and is
 * returned. */
typedef wr_status (*wr_gcs_store_fn)(void *user, wr_span key, wr_span value, wr_error *err);

typedef struct wr_gcs_store_ops {
    uint32_t struct_size;
    const char *name; /* "sqlite" */
    wr_status (*put)(wr_gcs_store *store, uint32_t table, wr_span key, wr_span value, wr_error *err); /* IO */
    wr_status (*remove)(wr_gcs_store *store, uint32_t table, wr_span key, bool *out_was, wr_error *err);
    /* out: owned by the caller (wr_free). NOT_FOUND, IO, NO_MEMORY. */
    wr_status (*get)(wr_gcs_store *store, uint32_t table, wr_span key, uint8_t **out, uint32_t *out_bytes,
                     wr_error *err);
    wr_status (*exists)(wr_gcs_store *store, uint32_t table, wr_span key, bool *out, wr_error *err);
    wr_status (*scan)(wr_gcs_store *store, uint32_t table, wr_span prefix, bool keys_only, wr_gcs_store_fn fn,
                      void *user, wr_error *err);            /* the callback must not write */
    wr_status (*commit)(wr_gcs_store *store, wr_error *err); /* nothing to do is OK */
    void (*close)(wr_gcs_store *store);                      /* consumes; uncommitted writes are lost */
    void (*rollback)(wr_gcs_store *store); /* undoes what was written since the last commit */
} wr_gcs_store_ops;

struct wr_gcs_store {
    const wr_gcs_store_ops *ops;
};

enum {
    WR_GCS_STORE_KV = 100,
    WR_GCS_STORE_FUNCTIONS = 101,
    WR_GCS_STORE_SCHEMA = 1
}; /* below: wr_gcs_table */

/* Opens or creates the file and takes it for this process alone.
 * Fails: IO (also: another process has it), VERSION, CORRUPT (no such database), NO_MEMORY. */
WR_MUST_USE wr_status wr_gcs_store_sqlite(const char *path, wr_gcs_store **out, wr_error *err);

WR_END_DECLS

#include "gcs/shell/store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { APPLICATION_ID = 0x77686970, /* "whip" */ BUSY_MS = 2000, SMALL_TABLES = 100 };

/* Small rows live in the key's own tree; values of users may be large and live beside it. */
static const char *const schema = "CREATE TABLE state (tab INTEGER NOT NULL, key BLOB NOT NULL, value BLOB "
                                  "NOT NULL, PRIMARY KEY (tab, key)) WITHOUT ROWID;"
                                  "CREATE TABLE blobs (tab INTEGER NOT NULL, key BLOB NOT NULL, value BLOB "
                                  "NOT NULL, PRIMARY KEY (tab, key));";

typedef enum statement { PUT, REMOVE, GET, EXISTS, SCAN, SCAN_KEYS, STATEMENTS } statement;
static const char *const texts[STATEMENTS][2] = {
    [PUT] = {"INSERT OR REPLACE INTO state VALUES (?1, ?2, ?3)",
             "INSERT OR REPLACE INTO blobs VALUES (?1, ?2, ?3)"},
    [REMOVE] = {"DELETE FROM state WHERE tab = ?1 AND key = ?2",
                "DELETE FROM blobs WHERE tab = ?1 AND key = ?2"},
    [GET] = {"SELECT value FROM state WHERE tab = ?1 AND key = ?2",
             "SELECT value FROM blobs WHERE tab = ?1 AND key = ?2"},
    [EXISTS] = {"SELECT 1 FROM state WHERE tab = ?1 AND key = ?2",
                "SELECT 1 FROM blobs WHERE tab = ?1 AND key = ?2"},
    [SCAN] = {"SELECT key, value FROM state WHERE tab = ?1 AND key >= ?2 ORDER BY key",
              "SELECT key, value FROM blobs WHERE tab = ?1 AND key >= ?2 ORDER BY key"},
    [SCAN_KEYS] = {"SELECT key FROM state WHERE tab = ?1 AND key >= ?2 ORDER BY key",
                   "SELECT key FROM blobs WHERE tab = ?1 AND key >= ?2 ORDER BY key"},
};

typedef struct sqlite_store {
    wr_gcs_store base; /* first */
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS][2];
    bool open; /* a transaction is open */
} sqlite_store;

/* The one place that translates SQLite's codes. */
static wr_status fail(sqlite_store *s, const char *what, wr_error *err) {
    int code = s->db == NULL ? SQLITE_NOMEM : sqlite3_extended_errcode(s->db);
    const char *text = s->db == NULL ? "no memory" : sqlite3_errmsg(s->db);
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return WR_FAIL(err, WR_E_NO_MEMORY, "store: %s: %s", what, text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return WR_FAIL(err, WR_E_CORRUPT, "store: %s: %s", what, text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return WR_FAIL(err, WR_E_IO, "store: %s: another process has the file", what);
    case SQLITE_FULL: {
        wr_status status =
            WR_FAIL(err, WR_E_IO, "store: %s: the disk is full, or the file may not grow", what);
        wr_error_hint(err, "make room where the session folder is; nothing that was acknowledged is lost");
        return status;
    }
    case SQLITE_TOOBIG:
        return WR_FAIL(err, WR_E_LIMIT, "store: %s: %s", what, text);
    default:
        return WR_FAIL(err, WR_E_IO, "store: %s: %s", what, text);
    }
}

static wr_status run(sqlite_store *s, const char *sql, wr_error *err) {
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? WR_OK : fail(s, sql, err);
}

static sqlite3_stmt *bind(sqlite_store *s, statement which, uint32_t table, wr_span key) {
    sqlite3_stmt *stmt = s->statements[which][table >= SMALL_TABLES];
    sqlite3_bind_int64(stmt, 1, table);
    if (key.bytes == 0) {
        sqlite3_bind_zeroblob(stmt, 2, 0);
    } else {
        sqlite3_bind_blob(stmt, 2, key.data, (int)key.bytes, SQLITE_STATIC);
    }
    return stmt;
}

static void release(sqlite3_stmt *stmt) {
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

static wr_status begin(sqlite_store *s, wr_error *err) {
    if (!s->open) {
        WR_TRY(run(s, "BEGIN IMMEDIATE", err));
        s->open = true;
    }
    return WR_OK;
}

static wr_status sqlite_put(wr_gcs_store *store, uint32_t table, wr_span key, wr_span value, wr_error *err) {
    sqlite_store *s = (sqlite_store *)store;
    WR_TRY(begin(s, err));
    sqlite3_stmt *stmt = bind(s, PUT, table, key);
    if (value.bytes == 0) {
        sqlite3_bind_zeroblob(stmt, 3, 0);
    } else {
        sqlite3_bind_blob(stmt, 3, value.data, (int)value.bytes, SQLITE_STATIC);
    }
    wr_status status = sqlite3_step(stmt) == SQLITE_DONE ? WR_OK : fail(s, "put", err);
    release(stmt);
    return status;
}

static wr_status sqlite_remove(wr_gcs_store *store, uint32_t table, wr_span key, bool *out_was,
                               wr_error *err) {
    sqlite_store *s = (sqlite_store *)store;
    WR_TRY(begin(s, err));
    sqlite3_stmt *stmt = bind(s, REMOVE, table, key);
    wr_status status = sqlite3_step(stmt) == SQLITE_DONE ? WR_OK : fail(s, "remove", err);
    release(stmt);
    if (status == WR_OK && out_was != NULL) {
        *out_was = sqlite3_changes(s->db) > 0;
    }
    return status;
}

static wr_status sqlite_get(wr_gcs_store *store, uint32_t table, wr_span key, uint8_t **out,
                            uint32_t *out_bytes, wr_error *err) {
    sqlite_store *s = (sqlite_store *)store;
    sqlite3_stmt *stmt = bind(s, GET, table, key);
    int code = sqlite3_step(stmt);
    wr_status status = WR_OK;
    if (code == SQLITE_ROW) {
        int bytes = sqlite3_column_bytes(stmt, 0);
        const void *data = sqlite3_column_blob(stmt, 0);
        uint8_t *copy = wr_calloc(1, bytes == 0 ? 1 : (size_t)bytes);
        if (copy == NULL) {
            status = WR_FAIL(err, WR_E_NO_MEMORY, "store: no memory for a value of %d bytes", bytes);
        } else {
            if (bytes > 0) {
                memcpy(copy, data, (size_t)bytes);
            }
            *out = copy;
            *out_bytes = (uint32_t)bytes;
        }
    } else {
        status =
            code == SQLITE_DONE ? WR_FAIL(err, WR_E_NOT_FOUND, "there is no such key") : fail(s, "get", err);
    }
    release(stmt);
    return status;
}

static wr_status sqlite_exists(wr_gcs_store *store, uint32_t table, wr_span key, bool *out, wr_error *err) {
    sqlite_store *s = (sqlite_store *)store;
    sqlite3_stmt *stmt = bind(s, EXISTS, table, key);
    int code = sqlite3_step(stmt);
    wr_status status = code == SQLITE_ROW || code == SQLITE_DONE ? WR_OK : fail(s, "exists", err);
    *out = code == SQLITE_ROW;
    release(stmt);
    return status;
}

static wr_status sqlite_scan(wr_gcs_store *store, uint32_t table, wr_span prefix, bool keys_only,
                             wr_gcs_store_fn fn, void *user, wr_error *err) {
    sqlite_store *s = (sqlite_store *)store;
    sqlite3_stmt *stmt = bind(s, keys_only ? SCAN_KEYS : SCAN, table, prefix);
    wr_status status = WR_OK;
    int code;
    while (status == WR_OK && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
        if (code != SQLITE_ROW) {
            status = fail(s, "scan", err);
            break;
        }
        wr_span key = wr_span_of(sqlite3_column_blob(stmt, 0), (uint32_t)sqlite3_column_bytes(stmt, 0));
        if (key.bytes < prefix.bytes ||
            (prefix.bytes > 0 && memcmp(key.data, prefix.data, prefix.bytes) != 0)) {
            break; /* sorted: past the last with this prefix */
        }
        wr_span value =
            keys_only ? wr_span_of(NULL, 0)
                      : wr_span_of(sqlite3_column_blob(stmt, 1), (uint32_t)sqlite3_column_bytes(stmt, 1));
        status = fn(user, key, value, err);
    }
    release(stmt);
    return status;
}

static wr_status sqlite_commit(wr_gcs_store *store, wr_error *err) {
    sqlite_store *s = (sqlite_store *)store;
    if (s->open) {
        WR_TRY(run(s, "COMMIT", err));
        s->open = false;
    }
    return WR_OK;
}

static void sqlite_rollback(wr_gcs_store *store) {
    sqlite_store *s = (sqlite_store *)store;
    if (!sqlite3_get_autocommit(s->db)) { /* else SQLite has done it already, as after some errors */
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    s->open = false;
}

static void sqlite_store_close(wr_gcs_store *store) {
    sqlite_store *s = (sqlite_store *)store;
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(s->statements[i][0]);
        sqlite3_finalize(s->statements[i][1]);
    }
    sqlite3_close(s->db);
    wr_free(s);
}

static const wr_gcs_store_ops sqlite_ops = {
    .struct_size = sizeof(sqlite_ops),
    .name = "sqlite",
    .put = sqlite_put,
    .remove = sqlite_remove,
    .get = sqlite_get,
    .exists = sqlite_exists,
    .scan = sqlite_scan,
    .commit = sqlite_commit,
    .close = sqlite_store_close,
    .rollback = sqlite_rollback,
};

static wr_status pragma_int(sqlite_store *s, const char *sql, int64_t *out, wr_error *err) {
    sqlite3_stmt *stmt = NULL;
    wr_status status =
        sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW
            ? WR_OK
            : fail(s, sql, err);
    *out = status == WR_OK ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_finalize(stmt);
    return status;
}

static wr_status check_schema(sqlite_store *s, const char *path, wr_error *err) {
    int64_t version, application, tables;
    WR_TRY(pragma_int(s, "PRAGMA user_version", &version, err));
    WR_TRY(pragma_int(s, "PRAGMA application_id", &application, err));
    WR_TRY(pragma_int(s, "SELECT count(*) FROM sqlite_master", &tables, err));
    if (tables == 0 && version == 0) {
        char sql[1024];
        snprintf(sql, sizeof sql,
                 "BEGIN IMMEDIATE; %s PRAGMA user_version = %d; PRAGMA application_id = %d; COMMIT", schema,
                 WR_GCS_STORE_SCHEMA, APPLICATION_ID);
        return run(s, sql, err);
    }
    if (application != APPLICATION_ID) {
        return WR_FAIL(err, WR_E_VERSION, "store: %s is a database of another program", path);
    }
    if (version != WR_GCS_STORE_SCHEMA) {
        wr_status status =
            WR_FAIL(err, WR_E_VERSION, "store: %s has schema version %ld, this program knows version %d",
                    path, (long)version, WR_GCS_STORE_SCHEMA);
        wr_error_hint(err, "use the version of Whipray that wrote it, or move the file away to begin anew");
        return status;
    }
    return WR_OK;
}

/* A bound on the file, for tests of a full disk and for who wants one. */
static wr_status bound_pages(sqlite_store *s, wr_error *err) {
    const char *most = getenv("WHIPRAY_GCS_STORE_PAGES_MAX");
    char sql[64];
    if (most == NULL || most[0] == 0) {
        return WR_OK;
    }
    char *end;
    unsigned long pages = strtoul(most, &end, 10);
    if (*end != 0 || pages == 0 || pages > UINT32_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "WHIPRAY_GCS_STORE_PAGES_MAX: '%s' is no number of pages", most);
    }
    snprintf(sql, sizeof sql, "PRAGMA max_page_count = %lu", pages);
    return run(s, sql, err);
}

static wr_status open_store(sqlite_store *s, const char *path, wr_error *err) {
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK) {
        return fail(s, path, err);
    }
    sqlite3_busy_timeout(s->db, BUSY_MS);
    /* Exclusive: two GCS on one file would be two truths. WAL with NORMAL: a commit is a write, no sync. */
    WR_TRY(run(s,
               "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
               "PRAGMA wal_autocheckpoint = 4000; PRAGMA temp_store = MEMORY",
               err));
    WR_TRY(check_schema(s, path, err));
    WR_TRY(bound_pages(s, err));
    WR_TRY(run(s, "BEGIN EXCLUSIVE; COMMIT", err)); /* takes the lock now, not at the first write */
    for (int i = 0; i < STATEMENTS; i++) {
        for (int k = 0; k < 2; k++) {
            if (sqlite3_prepare_v3(s->db, texts[i][k], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i][k],
                                   NULL) != SQLITE_OK) {
                return fail(s, "prepare", err);
            }
        }
    }
    return WR_OK;
}

wr_status wr_gcs_store_sqlite(const char *path, wr_gcs_store **out, wr_error *err) {
    sqlite_store *s = wr_calloc(1, sizeof *s);
    if (s == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "store: no memory");
    }
    s->base.ops = &sqlite_ops;
    wr_status status = open_store(s, path, err);
    if (status != WR_OK) {
        sqlite_store_close(&s->base);
        return status;
    }
    *out = &s->base;
    return WR_OK;
}

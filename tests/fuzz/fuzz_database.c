/* A torn or hostile database under the GCS: a right one of a few rows, made here, is changed or cut as the input says,
 * then opened and read in full. It is read, or refused with a reason; whatever SQLite says, nothing here breaks.
 *
 * Input: u8 whether it is cut, u16 where, then changes of 3 bytes: u16 place (modulo the file's bytes), the byte. */
#include "gcs/shell/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 40, TEMPLATE_MAX = 64 * 1024 };

static char folder[64], path[96];
static uint8_t right[TEMPLATE_MAX];
static size_t right_bytes;
static volatile uint8_t sink; /* every byte is really read */

static void remove_files(void) {
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < WR_COUNT_OF(ends); i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

static void end(void) {
    remove_files();
    rmdir(folder);
}

static void make_right(void) {
    snprintf(folder, sizeof folder, "/dev/shm/whipray_fuzz_XXXXXX");
    WR_ASSERT(mkdtemp(folder) != NULL && atexit(end) == 0);
    snprintf(path, sizeof path, "%s/db", folder);
    wr_gcs_store *store;
    WR_ASSERT(wr_gcs_store_sqlite(path, &store, NULL) == WR_OK);
    for (uint32_t i = 0; i < ROWS; i++) {
        uint8_t value[64];
        memset(value, (int)i, sizeof value);
        uint32_t table = i % 2 == 0 ? i % 6 : WR_GCS_STORE_KV;
        WR_ASSERT(store->ops->put(store, table, wr_span_of(&i, sizeof i), wr_span_of(value, i), NULL) ==
                  WR_OK);
    }
    WR_ASSERT(store->ops->commit(store, NULL) == WR_OK);
    store->ops->close(store); /* the log goes into the file */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, right, sizeof right) : -1;
    WR_ASSERT(n > 0 && n < TEMPLATE_MAX);
    right_bytes = (size_t)n;
    close(fd);
}

static wr_status touch(void *user, wr_span key, wr_span value, wr_error *err) {
    (void)user, (void)err;
    uint8_t all = 0;
    for (uint32_t i = 0; i < key.bytes; i++) {
        all ^= ((const uint8_t *)key.data)[i];
    }
    for (uint32_t i = 0; i < value.bytes; i++) {
        all ^= ((const uint8_t *)value.data)[i];
    }
    sink = all;
    return WR_OK;
}

static void use(wr_gcs_store *store) {
    static const uint32_t tables[] = {0, 1, 2, 3, 4, 5, WR_GCS_STORE_KV, WR_GCS_STORE_FUNCTIONS};
    wr_error err;
    memset(&err, 0, sizeof err);
    for (size_t t = 0; t < WR_COUNT_OF(tables); t++) {
        wr_status status =
            store->ops->scan(store, tables[t], wr_span_of(NULL, 0), t % 2 == 0, touch, NULL, &err);
        WR_ASSERT(status == WR_OK || err.text[0] != 0);
        for (uint32_t i = 0; i < 4; i++) {
            uint8_t *value = NULL;
            uint32_t bytes = 0;
            if (store->ops->get(store, tables[t], wr_span_of(&i, sizeof i), &value, &bytes, &err) == WR_OK) {
                (void)touch(NULL, wr_span_of(NULL, 0), wr_span_of(value, bytes), NULL);
                wr_free(value);
            }
        }
    }
    uint32_t key = 1000;
    if (store->ops->put(store, 0, wr_span_of(&key, sizeof key), wr_span_of(&key, sizeof key), &err) !=
            WR_OK ||
        store->ops->commit(store, &err) != WR_OK) {
        WR_ASSERT(err.text[0] != 0);
        store->ops->rollback(store);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t file[TEMPLATE_MAX];
    if (size < 3) {
        return 0;
    }
    if (right_bytes == 0) {
        make_right();
    }
    memcpy(file, right, right_bytes);
    size_t bytes = (data[0] & 1) != 0 ? (data[1] | (size_t)data[2] << 8) % (right_bytes + 1) : right_bytes;
    for (size_t at = 3; at + 3 <= size; at += 3) {
        file[(data[at] | (size_t)data[at + 1] << 8) % right_bytes] = data[at + 2];
    }
    remove_files();
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    WR_ASSERT(fd >= 0 && write(fd, file, bytes) == (ssize_t)bytes);
    close(fd);
    wr_gcs_store *store;
    wr_error err;
    memset(&err, 0, sizeof err);
    if (wr_gcs_store_sqlite(path, &store, &err) == WR_OK) {
        use(store);
        store->ops->close(store);
    } else {
        WR_ASSERT(err.text[0] != 0);
    }
    return 0;
}

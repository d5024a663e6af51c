/* Small files that tell where a cluster is, and what this machine may use: `current`, a token, the kernel's texts of
 * control groups and memory. The first byte says which; what is accepted fits its buffers and is what was written. */
#include "local/paths.h"
#include "raylet/shell/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char root[64];

static void remove_root(void) {
    static const char *const names[] = {"current", "token", "memory.max", "cpu.max", "own", "meminfo"};
    char path[WR_PATH_MAX];
    for (size_t i = 0; i < WR_COUNT_OF(names); i++) {
        if (wr_paths_join(root, names[i], path, NULL) == WR_OK) {
            unlink(path);
        }
    }
    rmdir(root);
}

static void make_root(void) {
    snprintf(root, sizeof root, "/dev/shm/whipray_fuzz_XXXXXX");
    WR_ASSERT(mkdtemp(root) != NULL && atexit(remove_root) == 0);
}

static void put(const char *name, const uint8_t *data, size_t size, char path[WR_PATH_MAX]) {
    WR_ASSERT(wr_paths_join(root, name, path, NULL) == WR_OK);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    WR_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

static void current(const uint8_t *data, size_t size) {
    char path[WR_PATH_MAX], address[WR_PATH_MAX], session[WR_PATH_MAX];
    wr_error err;
    memset(&err, 0, sizeof err);
    put("current", data, size, path);
    if (wr_paths_current_read(root, address, session, &err) != WR_OK) {
        WR_ASSERT(err.text[0] != 0);
        return;
    }
    size_t a = strlen(address), s = strlen(session);
    WR_ASSERT(a < sizeof address && s < sizeof session && a + s + 2 == size);
    WR_ASSERT(memcmp(data, address, a) == 0 && memcmp(data + a + 1, session, s) == 0);
}

static void token(const uint8_t *data, size_t size) {
    char path[WR_PATH_MAX], out[WR_TOKEN_MAX + 1];
    wr_error err;
    memset(&err, 0, sizeof err);
    put("token", data, size, path);
    if (wr_token_read(path, out, &err) != WR_OK) {
        WR_ASSERT(err.text[0] != 0);
        return;
    }
    size_t n = strlen(out);
    WR_ASSERT(n >= WR_TOKEN_MIN && n <= WR_TOKEN_MAX && memcmp(data, out, n) == 0);
    for (size_t i = n; i < size; i++) { /* nothing but ends of lines was left out */
        WR_ASSERT(data[i] == '\n' || data[i] == '\r' || data[i] == ' ');
    }
}

static void limits(const uint8_t *data, size_t size, bool group_too) {
    char own[WR_PATH_MAX], meminfo[WR_PATH_MAX], path[WR_PATH_MAX];
    put("memory.max", data, size, path);
    put("cpu.max", data, size, path);
    put("own", group_too ? data : (const uint8_t *)"0::/\n", group_too ? size : 5, own);
    put("meminfo", data, size, meminfo);
    shell_limit_paths paths = {.cgroup = root, .own_group = own, .meminfo = meminfo};
    WR_ASSERT(shell_cpu_limit(&paths, 8) >= 1 && shell_cpu_limit(&paths, 8) <= 8);
    uint64_t limit = shell_memory_limit(&paths), heap = 0;
    if (shell_store_heap(0, limit, &heap, NULL) == WR_OK) {
        WR_ASSERT(heap > 0 && heap <= limit);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > 8192) {
        return 0;
    }
    if (root[0] == 0) {
        make_root();
    }
    switch (data[0] % 4) {
    case 0:
        current(data + 1, size - 1);
        break;
    case 1:
        token(data + 1, size - 1);
        break;
    case 2:
        limits(data + 1, size - 1, false);
        break;
    default:
        limits(data + 1, size - 1, true);
        break;
    }
    return 0;
}

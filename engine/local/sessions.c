#include "local/sessions.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 128, DEPTH_MAX = 32, BLOCK_BYTES = 512 };
#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

wr_status wr_session_lock(const char *session, int *out_fd, wr_error *err) {
    int fd = open(session, FOLDER);
    if (fd < 0) {
        return WR_FAIL_ERRNO(err, "open folder %s", session);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        close(fd);
        if (why == EWOULDBLOCK) {
            return WR_FAIL(err, WR_E_EXISTS, "%s is the folder of a cluster that runs", session);
        }
        fd = -1;
    }
    *out_fd = fd;
    return WR_OK;
}

/* ---- One folder ---- */

typedef struct session {
    char name[NAME_BYTES];
    uint64_t bytes;
    time_t changed; /* the last change of anything in it: about when its cluster ended */
} session;

static bool stopped(const wr_sessions_opts *opts) {
    return opts->stop != NULL && __atomic_load_n(opts->stop, __ATOMIC_ACQUIRE) != 0;
}

/* Measures what is below `folder` (out), or removes it (out is NULL). Consumes folder. */
static void walk(int folder, dev_t device, uint32_t depth, const wr_sessions_opts *opts, session *out) {
    DIR *entries = fdopendir(folder);
    if (entries == NULL) {
        close(folder);
        return;
    }
    for (struct dirent *e; !stopped(opts) && (e = readdir(entries)) != NULL;) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        bool is_folder = S_ISDIR(st.st_mode);
        if (is_folder && (depth == DEPTH_MAX || st.st_dev != device)) {
            continue;
        }
        int inner = is_folder ? openat(folder, e->d_name, FOLDER) : -1;
        if (inner >= 0) {
            walk(inner, device, depth + 1, opts, out);
        }
        if (out == NULL) {
            (void)unlinkat(folder, e->d_name, is_folder ? AT_REMOVEDIR : 0);
        } else {
            out->bytes += (uint64_t)st.st_blocks * BLOCK_BYTES;
            out->changed = st.st_mtime > out->changed ? st.st_mtime : out->changed;
        }
    }
    closedir(entries);
}

static bool is_young(time_t changed, const wr_sessions_opts *opts) {
    time_t now = (time_t)(wr_clock_wall_us() / 1000000);
    return changed > now || (uint64_t)(now - changed) < opts->young_s;
}

/* The locked folder of a cluster that has ended; -1: it lives, or is none of ours. A young one is not even locked: its raylet
 * would be refused. */
static int open_ended(int root, const char *name, const wr_sessions_opts *opts, struct stat *out) {
    int fd = openat(root, name, FOLDER);
    if (fd >= 0 && (fstat(fd, out) != 0 || out->st_uid != geteuid() || is_young(out->st_mtime, opts) ||
                    flock(fd, LOCK_EX | LOCK_NB) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Measures, or removes (out is NULL), an ended session; false: it lives, or cannot be opened. */
static bool visit(int root, const char *name, const wr_sessions_opts *opts, session *out) {
    struct stat st;
    int fd = open_ended(root, name, opts, &st), inside = fd >= 0 ? openat(fd, ".", FOLDER) : -1;
    if (inside >= 0) {
        if (out != NULL) {
            out->changed = st.st_mtime;
        }
        walk(inside, st.st_dev, 0, opts, out);
    }
    bool done = inside >= 0 && (out != NULL || unlinkat(root, name, AT_REMOVEDIR) == 0);
    if (fd >= 0) {
        close(fd);
    }
    return done;
}

/* ---- All of them ---- */

/* session_2026-01-02_03-04-05_678901_4242 */
static bool is_session_name(const char *name) {
    static const char shape[] = "session_dddd-dd-dd_dd-dd-dd_";
    size_t head = sizeof "session_" - 1, n = sizeof shape - 1;
    if (strlen(name) <= n || strlen(name) >= NAME_BYTES || strncmp(name, shape, head) != 0) {
        return false;
    }
    for (size_t i = head; i < n; i++) {
        bool digit = name[i] >= '0' && name[i] <= '9';
        if (shape[i] == 'd' ? !digit : name[i] != shape[i]) {
            return false;
        }
    }
    return strspn(name + n, "0123456789_") == strlen(name + n);
}

static int newest_first(const void *a, const void *b) {
    const session *x = a, *y = b;
    if (x->changed != y->changed) {
        return x->changed < y->changed ? 1 : -1;
    }
    return strcmp(y->name, x->name);
}

static session *list_ended(DIR *root, const char *own, const wr_sessions_opts *opts, uint32_t *out_count) {
    session *found = NULL;
    uint32_t count = 0, capacity = 0;
    for (struct dirent *e; !stopped(opts) && (e = readdir(root)) != NULL;) {
        session s = {.bytes = 0};
        if (!is_session_name(e->d_name) || strcmp(e->d_name, own) == 0 ||
            !visit(dirfd(root), e->d_name, opts, &s)) {
            continue;
        }
        void *items = found;
        if (wr_array_reserve(&items, &capacity, count + 1, sizeof *found, NULL) != WR_OK) {
            break; /* those that were found will do */
        }
        found = items;
        memcpy(s.name, e->d_name, strlen(e->d_name) + 1);
        found[count++] = s;
    }
    if (count > 0) {
        qsort(found, count, sizeof *found, newest_first);
    }
    *out_count = count;
    return found;
}

uint32_t wr_sessions_prune(const char *root, const char *own, const wr_sessions_opts *opts) {
    int fd = open(root, FOLDER);
    struct stat st;
    bool ours = fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
    DIR *entries = ours ? fdopendir(fd) : NULL;
    if (entries == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return 0;
    }
    const char *slash = strrchr(own, '/');
    uint32_t count, removed = 0;
    uint64_t bytes = 0;
    session *all = list_ended(entries, slash == NULL ? own : slash + 1, opts, &count);
    for (uint32_t i = 0; i < count && !stopped(opts); i++) {
        bytes += all[i].bytes;
        bool stays = i < opts->keep_count && (i == 0 || bytes <= opts->keep_bytes);
        removed += !stays && !is_young(all[i].changed, opts) && visit(fd, all[i].name, opts, NULL);
    }
    wr_free(all);
    closedir(entries);
    return removed;
}

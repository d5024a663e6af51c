#include "local/paths.h"

#include "base/clock.h"
#include "base/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static wr_status format(char out[WR_PATH_MAX], wr_error *err, const char *fmt, ...) WR_PRINTF(3, 4);
static wr_status format(char out[WR_PATH_MAX], wr_error *err, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(out, WR_PATH_MAX, fmt, args);
    va_end(args);
    if (n < 0 || n >= WR_PATH_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "a path is longer than %d bytes", WR_PATH_MAX - 1);
    }
    return WR_OK;
}

wr_status wr_paths_join(const char *a, const char *b, char out[WR_PATH_MAX], wr_error *err) {
    return format(out, err, "%s/%s", a, b);
}

wr_status wr_paths_root(const char *parent, char out[WR_PATH_MAX], wr_error *err) {
    if (parent == NULL) {
        parent = getenv("WHIPRAY_TMPDIR");
    }
    if (parent == NULL || parent[0] == 0) {
        parent = "/tmp";
    }
    return format(out, err, "%s/whipray-%u", parent, (unsigned)geteuid());
}

wr_status wr_paths_folder(const char *path, wr_error *err) {
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return errno == ENOENT ? WR_FAIL(err, WR_E_NOT_FOUND, "%s: its parent folder is not there", path)
                               : WR_FAIL_ERRNO(err, "make folder %s", path);
    }
    struct stat st;
    if (lstat(path, &st) != 0) {
        return WR_FAIL_ERRNO(err, "look at folder %s", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        wr_status status = WR_FAIL(err, WR_E_DENIED, "%s is not a folder", path);
        wr_error_hint(err, "remove it, or choose another place by WHIPRAY_TMPDIR");
        return status;
    }
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        wr_status status = WR_FAIL(
            err, WR_E_DENIED, "folder %s has owner %u and mode %03o; it must be this user's (%u), mode 700",
            path, (unsigned)st.st_uid, (unsigned)(st.st_mode & 0777), (unsigned)geteuid());
        /* Removed it must not be: a cluster may run in it, which nothing would find any more. */
        if (st.st_uid == geteuid()) {
            wr_error_hint(err, "chmod 700 %s", path);
        } else {
            wr_error_hint(err, "choose another place by WHIPRAY_TMPDIR");
        }
        return status;
    }
    return WR_OK;
}

static wr_status make_parents(const char *path, wr_error *err) {
    char part[WR_PATH_MAX];
    WR_TRY(format(part, err, "%s", path));
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            return WR_FAIL_ERRNO(err, "make folder %s", part);
        }
        *slash = '/';
    }
    return WR_OK;
}

wr_status wr_paths_root_make(const char *root, wr_error *err) {
    WR_TRY(make_parents(root, err));
    return wr_paths_folder(root, err);
}

wr_status wr_paths_session(const char *root, char out[WR_PATH_MAX], wr_error *err) {
    WR_TRY(wr_paths_root_make(root, err));
    uint64_t now_us = wr_clock_wall_us();
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm t;
    localtime_r(&seconds, &t);
    char when[64], path[WR_PATH_MAX], link[WR_PATH_MAX], fresh[WR_PATH_MAX];
    strftime(when, sizeof when, "%Y-%m-%d_%H-%M-%S", &t);
    WR_TRY(
        format(out, err, "%s/session_%s_%06u_%d", root, when, (unsigned)(now_us % 1000000), (int)getpid()));
    WR_TRY(wr_paths_folder(out, err));
    WR_TRY(wr_paths_join(out, "logs", path, err));
    WR_TRY(wr_paths_folder(path, err));
    WR_TRY(wr_paths_join(out, "sockets", path, err));
    WR_TRY(wr_paths_folder(path, err));
    if (strlen(path) + sizeof "/raylet" > sizeof((struct sockaddr_un *)0)->sun_path) {
        return WR_FAIL(err, WR_E_INVALID,
                       "%s: too long for the path of a socket; choose a shorter WHIPRAY_TMPDIR", path);
    }
    WR_TRY(wr_paths_join(root, "session_latest", link, err));
    WR_TRY(format(fresh, err, "%s/.latest_%d", root, (int)getpid()));
    unlink(fresh);
    if (symlink(out, fresh) != 0 || rename(fresh, link) != 0) {
        return WR_FAIL_ERRNO(err, "link %s", link);
    }
    return WR_OK;
}

wr_status wr_paths_write(const char *path, const char *text, wr_error *err) {
    char fresh[WR_PATH_MAX];
    WR_TRY(format(fresh, err, "%s.%d", path, (int)getpid()));
    unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return WR_FAIL_ERRNO(err, "make %s", fresh);
    }
    size_t n = strlen(text);
    bool ok = write(fd, text, n) == (ssize_t)n;
    ok = close(fd) == 0 && ok;
    if (!ok || rename(fresh, path) != 0) {
        wr_status status = WR_FAIL_ERRNO(err, "write %s", path);
        unlink(fresh);
        return status;
    }
    return WR_OK;
}

/* Reads at most size - 1 bytes of a plain file of this user; others must not read it when `secret`. */
static wr_status read_text(const char *path, bool secret, char *out, size_t size, wr_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? WR_FAIL(err, WR_E_NOT_FOUND, "there is no file %s", path)
                               : WR_FAIL_ERRNO(err, "open %s", path);
    }
    struct stat st;
    wr_status status = WR_OK;
    if (fstat(fd, &st) != 0) {
        status = WR_FAIL_ERRNO(err, "look at %s", path);
    } else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (secret && (st.st_mode & 077) != 0)) {
        status = WR_FAIL(err, WR_E_DENIED,
                         "%s has owner %u and mode %03o; it must be a plain file of this user (%u)%s", path,
                         (unsigned)st.st_uid, (unsigned)(st.st_mode & 0777), (unsigned)geteuid(),
                         secret ? ", mode 600" : "");
        if (!S_ISREG(st.st_mode)) {
            wr_error_hint(err, "move it away");
        } else if (st.st_uid == geteuid()) {
            wr_error_hint(err, "chmod 600 %s", path);
        }
    } else if ((uint64_t)st.st_size >= size) {
        status = WR_FAIL(err, WR_E_INVALID, "%s has %lld bytes, at most %zu are read", path,
                         (long long)st.st_size, size - 1);
    } else {
        ssize_t n = read(fd, out, size - 1);
        if (n < 0) {
            status = WR_FAIL_ERRNO(err, "read %s", path);
        } else if (memchr(out, 0, (size_t)n) != NULL) {
            status = WR_FAIL(err, WR_E_CORRUPT, "%s holds a zero byte; it must be text", path);
        } else {
            out[n] = 0;
        }
    }
    close(fd);
    return status;
}

wr_status wr_paths_current_write(const char *root, const char *address, const char *session, wr_error *err) {
    char path[WR_PATH_MAX], text[2 * WR_PATH_MAX + 3];
    WR_TRY(wr_paths_join(root, "current", path, err));
    snprintf(text, sizeof text, "%s\n%s\n", address, session);
    return wr_paths_write(path, text, err);
}

wr_status wr_paths_current_read(const char *root, char out_address[WR_PATH_MAX],
                                char out_session[WR_PATH_MAX], wr_error *err) {
    char path[WR_PATH_MAX], text[2 * WR_PATH_MAX];
    WR_TRY(wr_paths_join(root, "current", path, err));
    struct stat st;
    if (lstat(root, &st) == 0) {
        WR_TRY(wr_paths_folder(root, err));
    }
    WR_TRY(read_text(path, false, text, sizeof text, err));
    char *first_end = strchr(text, '\n');
    char *second_end = first_end == NULL ? NULL : strchr(first_end + 1, '\n');
    if (second_end == NULL || second_end[1] != 0 || first_end == text || second_end == first_end + 1 ||
        first_end - text >= WR_PATH_MAX || second_end - first_end > WR_PATH_MAX) {
        wr_status status =
            WR_FAIL(err, WR_E_CORRUPT, "%s does not hold an address and a folder, a line each", path);
        wr_error_hint(err, "remove it; if a cluster runs, end its process whipray-raylet by kill");
        return status;
    }
    *first_end = *second_end = 0;
    memcpy(out_address, text, strlen(text) + 1);
    memcpy(out_session, first_end + 1, strlen(first_end + 1) + 1);
    return WR_OK;
}

void wr_paths_current_clear(const char *root, const char *session) {
    char path[WR_PATH_MAX], address[WR_PATH_MAX], named[WR_PATH_MAX];
    if (wr_paths_current_read(root, address, named, NULL) == WR_OK && strcmp(named, session) == 0 &&
        wr_paths_join(root, "current", path, NULL) == WR_OK) {
        unlink(path);
    }
}

static wr_status check_token(char *token, const char *where, wr_error *err) {
    size_t n = strlen(token);
    while (n > 0 && (token[n - 1] == '\n' || token[n - 1] == '\r' || token[n - 1] == ' ')) {
        token[--n] = 0;
    }
    if (n < WR_TOKEN_MIN || n > WR_TOKEN_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "the token of %s has %zu bytes; it must have %d to %d", where, n,
                       WR_TOKEN_MIN, WR_TOKEN_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if (token[i] <= ' ' || token[i] > '~') {
            return WR_FAIL(err, WR_E_INVALID, "the token of %s has a byte that is not printable", where);
        }
    }
    return WR_OK;
}

wr_status wr_token_read(const char *path, char out[WR_TOKEN_MAX + 1], wr_error *err) {
    char text[WR_TOKEN_MAX + 3];
    WR_TRY(read_text(path, true, text, sizeof text, err));
    WR_TRY(check_token(text, path, err));
    memcpy(out, text, strlen(text) + 1);
    return WR_OK;
}

static wr_status make_token(const char *folder, const char *path, wr_error *err) {
    uint8_t random[32];
    char text[2 * sizeof random + 2];
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        wr_status status = WR_FAIL_ERRNO(err, "the token's folder %s cannot be made", folder);
        wr_error_hint(
            err, "set HOME to a folder of yours, or name a file with the token by WHIPRAY_AUTH_TOKEN_PATH");
        return status;
    }
    wr_random_bytes(random, sizeof random);
    wr_hex_encode(random, sizeof random, text);
    text[2 * sizeof random] = '\n';
    text[2 * sizeof random + 1] = 0;
    /* Two first starts at once must agree on one token: the file appears whole, by link, and only the first one
     * stays. */
    char fresh[WR_PATH_MAX];
    WR_TRY(format(fresh, err, "%s.new%d", path, (int)getpid()));
    WR_TRY(wr_paths_write(fresh, text, err));
    int failed = link(fresh, path) != 0 && errno != EEXIST ? errno : 0;
    unlink(fresh);
    errno = failed;
    return failed == 0 ? WR_OK : WR_FAIL_ERRNO(err, "make %s", path);
}

wr_status wr_token_load(bool create, char out[WR_TOKEN_MAX + 1], char out_path[WR_PATH_MAX], wr_error *err) {
    char path[WR_PATH_MAX], folder[WR_PATH_MAX];
    const char *token = getenv("WHIPRAY_AUTH_TOKEN"), *named = getenv("WHIPRAY_AUTH_TOKEN_PATH"),
               *home = getenv("HOME");
    char entry_text[1024];
    struct passwd entry, *found = NULL;
    if (out_path != NULL) {
        out_path[0] = 0;
    }
    if (token != NULL && token[0] != 0) {
        char text[WR_TOKEN_MAX + 3];
        snprintf(text, sizeof text, "%s", token);
        WR_TRY(check_token(text, "WHIPRAY_AUTH_TOKEN", err));
        memcpy(out, text, strlen(text) + 1);
        return WR_OK;
    }
    if ((home == NULL || home[0] == 0) && /* cron, systemd units */
        getpwuid_r(geteuid(), &entry, entry_text, sizeof entry_text, &found) == 0 && found != NULL) {
        home = found->pw_dir;
    }
    if (named != NULL && named[0] != 0) {
        WR_TRY(format(path, err, "%s", named));
    } else if (home != NULL && home[0] != 0) {
        WR_TRY(wr_paths_join(home, ".whipray", folder, err));
        WR_TRY(wr_paths_join(folder, "auth_token", path, err));
    } else {
        wr_status status =
            WR_FAIL(err, WR_E_NOT_FOUND, "no token: HOME is not set, and user %u is not in the password file",
                    (unsigned)geteuid());
        wr_error_hint(err, "set HOME, or name a file with the token by WHIPRAY_AUTH_TOKEN_PATH");
        return status;
    }
    wr_status status = wr_token_read(path, out, err);
    if (status == WR_E_NOT_FOUND && create && (named == NULL || named[0] == 0)) {
        WR_TRY(make_token(folder, path, err));
        status = wr_token_read(path, out, err);
    }
    if (status == WR_OK && out_path != NULL) {
        memcpy(out_path, path, strlen(path) + 1);
    }
    return status;
}

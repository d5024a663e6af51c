#include "whipray/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct status_row {
    wr_status status;
    int grpc;
    const char *name, *python, *text;
} status_row;

static const status_row rows[] = {
#define WR_STATUS(name, number, grpc, python, text) {WR_##name, grpc, #name, python, text},
#include "whipray/status.def"
#undef WR_STATUS
};

static const status_row *row_of(wr_status status) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].status == status) {
            return &rows[i];
        }
    }
    return row_of(WR_E_INTERNAL); /* a number from elsewhere; the table always has this row */
}

const char *wr_status_name(wr_status status) {
    const char *name = row_of(status)->name;
    return strncmp(name, "E_", 2) == 0 ? name + 2 : name;
}

const char *wr_status_text(wr_status status) {
    return row_of(status)->text;
}

const char *wr_status_python(wr_status status) {
    return row_of(status)->python;
}

int wr_status_to_grpc(wr_status status) {
    return row_of(status)->grpc;
}

wr_status wr_status_from_grpc(int code) {
    static const wr_status by_code[17] = {WR_OK,
                                          WR_E_CANCELLED,
                                          WR_E_INTERNAL,
                                          WR_E_INVALID,
                                          WR_E_TIMEOUT,
                                          WR_E_NOT_FOUND,
                                          WR_E_EXISTS,
                                          WR_E_DENIED,
                                          WR_E_LIMIT,
                                          WR_E_STATE,
                                          WR_E_UNAVAILABLE,
                                          WR_E_INVALID,
                                          WR_E_UNSUPPORTED,
                                          WR_E_INTERNAL,
                                          WR_E_UNAVAILABLE,
                                          WR_E_CORRUPT,
                                          WR_E_UNAUTHENTICATED};
    return code >= 0 && code <= 16 ? by_code[code] : WR_E_INTERNAL;
}

static void fill(wr_error *err, wr_status status, const char *file, int line) {
    err->status = status;
    err->file = file;
    err->line = line;
    err->hint[0] = '\0';
}

wr_status wr_error_set(wr_error *err, wr_status status, const char *file, int line, const char *fmt, ...) {
    if (err != NULL) {
        fill(err, status, file, line);
        va_list args;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
    }
    return status;
}

static wr_status status_of_errno(int error_number) {
    switch (error_number) {
    case ENOMEM:
        return WR_E_NO_MEMORY;
    case EACCES:
    case EPERM:
        return WR_E_DENIED;
    case ENOENT:
        return WR_E_NOT_FOUND;
    case EEXIST:
    case EADDRINUSE:
        return WR_E_EXISTS;
    case EMFILE:
    case ENFILE:
    case ENOSPC:
        return WR_E_LIMIT;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
        return WR_E_UNAVAILABLE;
    default:
        return WR_E_IO;
    }
}

wr_status wr_error_set_errno(wr_error *err, int error_number, const char *file, int line, const char *fmt,
                             ...) {
    wr_status status = status_of_errno(error_number);
    if (err != NULL) {
        fill(err, status, file, line);
        va_list args;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
        size_t used = strlen(err->text);
        char why[96];
        snprintf(err->text + used, sizeof err->text - used, ": %s",
                 strerror_r(error_number, why, sizeof why));
        if (error_number == EMFILE || error_number == ENFILE) {
            wr_error_hint(err, "raise the limit of open files (ulimit -n) and try again");
        }
    }
    return status;
}

void wr_error_hint(wr_error *err, const char *fmt, ...) {
    if (err == NULL) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, args);
    va_end(args);
}

void wr_error_prefix(wr_error *err, const char *fmt, ...) {
    if (err == NULL) {
        return;
    }
    char prefixed[WR_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(prefixed, sizeof prefixed, fmt, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n < sizeof prefixed ? (size_t)n : sizeof prefixed - 1;
    snprintf(prefixed + used, sizeof prefixed - used, ": %.*s", (int)(sizeof prefixed - used), err->text);
    memcpy(err->text, prefixed, sizeof prefixed);
}

void wr_error_clear(wr_error *err) {
    if (err != NULL) {
        memset(err, 0, sizeof *err);
    }
}

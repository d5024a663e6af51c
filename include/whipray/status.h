/* include/whipray/status.h: what a call of Whipray returns, and the error that explains it.
 *
 * A `wr_status` is for code: one small number, from one table (status.def), in ranges by what has
 * to be rebuilt (request, object, process, device, node, cluster). A `wr_error` is for people: it
 * is filled once, by whoever decides which error it is; callers on the way up only add a prefix.
 *
 * Threads: all functions here are safe in any thread; a wr_error belongs to its caller.
 */
#ifndef WHIPRAY_STATUS_H
#define WHIPRAY_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define WR_BEGIN_DECLS extern "C" {
#define WR_END_DECLS }
#else
#define WR_BEGIN_DECLS
#define WR_END_DECLS
#endif

#define WR_API __attribute__((visibility("default")))
#define WR_MUST_USE __attribute__((warn_unused_result))
#define WR_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

WR_BEGIN_DECLS

typedef enum wr_status {
#define WR_STATUS(name, number, grpc, python, text) WR_##name = number,
#include "whipray/status.def"
#undef WR_STATUS
} wr_status;

enum { WR_ERROR_TEXT_MAX = 2048, WR_ERROR_HINT_MAX = 256 };

/* Fixed size, no ownership: may live on the stack and be copied. A zeroed one means "no error". */
typedef struct wr_error {
    wr_status status;
    int line;
    const char *file;             /* static string */
    char text[WR_ERROR_TEXT_MAX]; /* what happened and why, one sentence */
    char hint[WR_ERROR_HINT_MAX]; /* what to do about it; may be empty */
} wr_error;

/* Name ("NOT_FOUND") and one-line meaning of a status; lends static strings, never NULL. */
WR_API const char *wr_status_name(wr_status status);
WR_API const char *wr_status_text(wr_status status);
/* The Python exception class that stands for a status, by its name in whipray.exceptions or builtins. */
WR_API const char *wr_status_python(wr_status status);
/* The gRPC status code (0 to 16) that stands for a status on the wire, and back. */
WR_API int wr_status_to_grpc(wr_status status);
WR_API wr_status wr_status_from_grpc(int code);

/* Fills err (which may be NULL) and returns status, so that a caller writes `return WR_FAIL(...)`. */
WR_API wr_status wr_error_set(wr_error *err, wr_status status, const char *file, int line, const char *fmt,
                              ...) WR_PRINTF(5, 6);
/* Adds what to do about it. err may be NULL. */
WR_API void wr_error_hint(wr_error *err, const char *fmt, ...) WR_PRINTF(2, 3);
/* Puts "prefix: " before the text; for callers that know the wider purpose. err may be NULL. */
WR_API void wr_error_prefix(wr_error *err, const char *fmt, ...) WR_PRINTF(2, 3);
WR_API void wr_error_clear(wr_error *err);

#define WR_FAIL(err, status, ...) wr_error_set((err), (status), __FILE__, __LINE__, __VA_ARGS__)
/* Translates the current errno into a status: "what: strerror". */
WR_API wr_status wr_error_set_errno(wr_error *err, int error_number, const char *file, int line,
                                    const char *fmt, ...) WR_PRINTF(5, 6);
#define WR_FAIL_ERRNO(err, ...) wr_error_set_errno((err), errno, __FILE__, __LINE__, __VA_ARGS__)

#define WR_TRY(expr)                                                                                         \
    do {                                                                                                     \
        wr_status wr_try_status_ = (expr);                                                                   \
        if (wr_try_status_ != WR_OK) {                                                                       \
            return wr_try_status_;                                                                           \
        }                                                                                                    \
    } while (0)

WR_END_DECLS
#endif

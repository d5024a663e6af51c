/* engine/base/log.h: one line per event, with fields, to a file descriptor.
 *
 *   WR_LOG_WARN("spill.disk_full", "dir=%s need_bytes=%lu", dir, need);
 *   2026-11-24T17:40:02.123456Z W raylet[412] spill.disk_full dir=/tmp need_bytes=4096 (spill.c:88)
 *
 * Levels: error = lost work, warn = went on (say how), info = one per life of a thing, debug = per
 * request. Libraries return errors; only shells (daemons, CLI) log. Never log a token.
 * Threads: any; a line is one write(2).
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

typedef enum wr_log_level { WR_LEVEL_DEBUG, WR_LEVEL_INFO, WR_LEVEL_WARN, WR_LEVEL_ERROR } wr_log_level;

/* program: static string, "raylet". fd: where lines go, borrowed for ever; -1 turns logging off. */
void wr_log_open(const char *program, int fd, wr_log_level lowest);
int wr_log_fd(void); /* where lines go; -1: nowhere */
/* "debug" | "info" | "warning" | "warn" | "error"; false leaves the level as it was. */
bool wr_log_set_level(const char *name);
void wr_log_write(wr_log_level level, const char *file, int line, const char *event, const char *fmt, ...)
    WR_PRINTF(5, 6);

/* From now on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT leave a line here, then call before_end (may be NULL; in the
 * signal's handler: system calls only) with the signal's name, and end the process as they would. An overflow of the
 * calling thread's stack is told, too. Once a process. */
void wr_log_faults(void (*before_end)(const char *name));

#define WR_LOG_DEBUG(event, ...) wr_log_write(WR_LEVEL_DEBUG, __FILE__, __LINE__, event, __VA_ARGS__)
#define WR_LOG_INFO(event, ...) wr_log_write(WR_LEVEL_INFO, __FILE__, __LINE__, event, __VA_ARGS__)
#define WR_LOG_WARN(event, ...) wr_log_write(WR_LEVEL_WARN, __FILE__, __LINE__, event, __VA_ARGS__)
#define WR_LOG_ERROR(event, ...) wr_log_write(WR_LEVEL_ERROR, __FILE__, __LINE__, event, __VA_ARGS__)

WR_END_DECLS

#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static const char *log_program = "whipray";
static atomic_int log_fd = STDERR_FILENO;
static atomic_int log_lowest = WR_LEVEL_INFO;

void wr_log_open(const char *program, int fd, wr_log_level lowest) {
    log_program = program;
    atomic_store(&log_fd, fd);
    atomic_store(&log_lowest, (int)lowest);
}

bool wr_log_set_level(const char *name) {
    static const struct {
        const char *name;
        wr_log_level level;
    } levels[] = {{"debug", WR_LEVEL_DEBUG},
                  {"info", WR_LEVEL_INFO},
                  {"warning", WR_LEVEL_WARN},
                  {"warn", WR_LEVEL_WARN},
                  {"error", WR_LEVEL_ERROR}};
    for (size_t i = 0; i < WR_COUNT_OF(levels); i++) {
        if (strcasecmp(levels[i].name, name) == 0) {
            atomic_store(&log_lowest, (int)levels[i].level);
            return true;
        }
    }
    return false;
}

void wr_log_write(wr_log_level level, const char *file, int line, const char *event, const char *fmt, ...) {
    int fd = atomic_load(&log_fd);
    if (fd < 0 || (int)level < atomic_load(&log_lowest)) {
        return;
    }
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    struct tm utc;
    gmtime_r(&t.tv_sec, &utc);
    char text[1024];
    size_t used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(text + used, sizeof text - used, ".%06ldZ %c %s[%d] %s ", t.tv_nsec / 1000,
                             "DIWE"[level], log_program, (int)getpid(), event);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text + used, sizeof text - used - 64, fmt, args);
    va_end(args);
    size_t room = sizeof text - used - 64;
    used += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
    const char *base = strrchr(file, '/');
    n = snprintf(text + used, sizeof text - used, " (%s:%d)\n", base == NULL ? file : base + 1, line);
    used += n < 0 ? 0 : (size_t)n < sizeof text - used ? (size_t)n : sizeof text - used - 1;
    ssize_t ignored = write(fd, text, used); /* a full disk must not stop a daemon */
    (void)ignored;
}

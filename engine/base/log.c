#include "base/log.h"

#include <signal.h>
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

int wr_log_fd(void) {
    return atomic_load(&log_fd);
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

/* The time and the program, as each line begins with them; the bytes written. */
static size_t line_begin(char *text, size_t size, wr_log_level level, const char *event) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    struct tm utc;
    gmtime_r(&t.tv_sec, &utc);
    size_t used = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(text + used, size - used, ".%06ldZ %c %s[%d] %s ", t.tv_nsec / 1000,
                             "DIWE"[level], log_program, (int)getpid(), event);
    return used;
}

void wr_log_write(wr_log_level level, const char *file, int line, const char *event, const char *fmt, ...) {
    int fd = atomic_load(&log_fd);
    if (fd < 0 || (int)level < atomic_load(&log_lowest)) {
        return;
    }
    char text[1024];
    size_t used = line_begin(text, sizeof text, level, event);
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

/* ---- Signals that end the process ---- */

static void (*fault_before_end)(const char *name);
static struct sigaction fault_old[NSIG];

static const char *fault_name(int number) {
    switch (number) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGFPE:
        return "SIGFPE";
    case SIGILL:
        return "SIGILL";
    case SIGABRT:
        return "SIGABRT";
    default:
        return "a signal";
    }
}

static void log_fault(int number, const siginfo_t *why) {
    int fd = atomic_load(&log_fd);
    if (fd < 0) {
        return;
    }
    char text[256];
    size_t used = line_begin(text, sizeof text, WR_LEVEL_ERROR, "process.fault");
    int n = snprintf(text + used, sizeof text - used, "signal=%s code=%d address=%p sender=%d\n",
                     fault_name(number), why->si_code, why->si_code > 0 ? why->si_addr : NULL,
                     why->si_code <= 0 ? (int)why->si_pid : 0);
    used += n < 0 ? 0 : (size_t)n < sizeof text - used ? (size_t)n : sizeof text - used - 1;
    ssize_t ignored = write(fd, text, used);
    (void)ignored;
}

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    log_fault(number, info);
    if (fault_before_end != NULL) {
        fault_before_end(fault_name(number));
    }
    sigaction(number, &fault_old[number], NULL); /* a sanitizer's has its own say */
    if (info->si_code <= 0) {                    /* sent; else the same instruction fails again */
        raise(number);
    }
}

void wr_log_faults(void (*before_end)(const char *name)) {
    static char stack[32 * 1024];
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    fault_before_end = before_end;
    sigaltstack(&alternative, NULL); /* of this thread, the main one */
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    for (size_t i = 0; i < WR_COUNT_OF(numbers); i++) {
        sigaction(numbers[i], &action, &fault_old[numbers[i]]);
    }
}

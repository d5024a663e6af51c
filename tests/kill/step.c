#include "tests/kill/step.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool is_victim;

bool kill_step_is_victim(void) {
    return is_victim;
}

/* The end of an operation is an instruction that is none: a copy stops there itself, whose number it does not
 * know. */
static void end_here(void) {
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#else
    __asm__ volatile(".inst 0");
#endif
}

static kill_step look(int status, int *out_signal) {
    if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) {
        return KILL_STEP_MORE;
    }
    if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGILL) {
        return KILL_STEP_END;
    }
    *out_signal = WIFSTOPPED(status) ? WSTOPSIG(status) : WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return KILL_STEP_BROKEN;
}

static int wait_stop(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, __WALL) < 0) {
        WR_ASSERT(errno == EINTR);
    }
    return status;
}

pid_t kill_step_open(void (*op)(void *arg), void *arg) {
    pid_t pid = fork();
    WR_ASSERT(pid >= 0);
    if (pid == 0) {
        is_victim = true;
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        kill(getpid(), SIGSTOP);
        op(arg);
        end_here();
        _exit(0);
    }
    int status = wait_stop(pid);
    WR_ASSERT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    long done = ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(long)(PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL));
    WR_ASSERT(done == 0);
    return pid;
}

kill_step kill_step_once(pid_t pid, int *out_signal) {
    ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
    return look(wait_stop(pid), out_signal);
}

#if defined(__x86_64__)
/* Where a stopped process is sent to fork. */
extern const char kill_step_gate[];
__asm__(".text\n"
        ".globl kill_step_gate\n"
        ".hidden kill_step_gate\n"
        "kill_step_gate: syscall\n"
        "int3\n");

pid_t kill_step_split(pid_t pid) {
    struct user_regs_struct here, there;
    ptrace(PTRACE_GETREGS, pid, NULL, &here);
    there = here;
    there.rip = (unsigned long)kill_step_gate;
    there.rax = SYS_clone;
    there.orig_rax = (unsigned long)-1; /* no system call to restart */
    there.rdi = CLONE_PARENT | SIGCHLD; /* the copy is a child of ours, so its exit is ours to see */
    there.rsi = there.rdx = there.r10 = there.r8 = 0;
    ptrace(PTRACE_SETREGS, pid, NULL, &there);
    ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
    int status = wait_stop(pid);
    WR_ASSERT(WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_FORK);
    unsigned long copy = 0;
    ptrace(PTRACE_GETEVENTMSG, pid, NULL, &copy);
    ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
    status = wait_stop(pid);
    WR_ASSERT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    ptrace(PTRACE_SETREGS, pid, NULL, &here);
    status = wait_stop((pid_t)copy);
    WR_ASSERT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    ptrace(PTRACE_SETREGS, (pid_t)copy, NULL, &here);
    return (pid_t)copy;
}
#else
pid_t kill_step_split(pid_t pid) {
    (void)pid;
    return 0;
}
#endif

kill_step kill_step_finish(pid_t pid, void (*idle)(void *arg), void *arg, int *out_signal) {
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    for (uint32_t looks = 0;; looks++) {
        int status = 0;
        pid_t got = waitpid(pid, &status, __WALL | WNOHANG);
        if (got == pid) {
            return look(status, out_signal);
        }
        struct timespec moment = {.tv_nsec = looks < 20 ? 10000 : 200000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
        if (looks >= 20) { /* it waits for somebody */
            idle(arg);
        }
    }
}

static bool sleeps(pid_t pid) {
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[n < 0 ? 0 : n] = '\0';
    const char *state = strrchr(text, ')');
    return state != NULL && strncmp(state, ") S", 3) == 0;
}

kill_step kill_step_to_sleep(pid_t pid, bool (*asleep)(void), int *out_signal) {
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    for (;;) {
        int status = 0;
        if (waitpid(pid, &status, __WALL | WNOHANG) == pid) {
            return look(status, out_signal);
        }
        if (asleep() && sleeps(pid)) {
            return KILL_STEP_MORE;
        }
        struct timespec moment = {.tv_nsec = 20000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
    }
}

kill_step kill_step_to_end(pid_t pid, int *out_signal) {
    return look(wait_stop(pid), out_signal);
}

void kill_step_kill(pid_t pid) {
    kill(pid, SIGKILL);
    int status = 0;
    do {
        status = wait_stop(pid);
    } while (!WIFSIGNALED(status) && !WIFEXITED(status));
}

/* Processes: the kernel tells by a pidfd that one has exited; only then is what it held used again. */
#include "raylet/shell/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long the exit status of a fork server's child is waited for once its pidfd says that it is gone. */
#define STATUS_WAIT_NS (20ull * 1000 * 1000)

static void on_closed(uv_handle_t *handle) {
    wr_free(handle->data);
}

void shell_proc_close(shell_proc *proc) {
    if (proc->closed) {
        return;
    }
    proc->closed = true;
    wr_shell *sh = proc->shell;
    for (shell_proc **at = &sh->procs; *at != NULL; at = &(*at)->next) {
        if (*at == proc) {
            *at = proc->next;
            break;
        }
    }
    for (shell_conn *c = sh->conns; c != NULL; c = c->next) {
        c->proc = c->proc == proc ? NULL : c->proc;
    }
    uv_poll_stop(&proc->poll);
    uv_close((uv_handle_t *)&proc->poll, on_closed);
    close(proc->pidfd);
}

/* The process is gone and all that can be known of it is known. */
static void settle(shell_proc *proc) {
    wr_shell *sh = proc->shell;
    uint64_t now = wr_clock_ns();
    char text[SHELL_TEXT_MAX];
    shell_worker *w;
    switch (proc->kind) {
    case PROC_WORKER:
        w = proc->worker < sh->worker_capacity ? sh->workers[proc->worker] : NULL;
        if (w != NULL && w->proc == proc) {
            shell_death_text(proc, w->err, w->out, text, sizeof text);
            if (w->late) {
                shell_late_text(sh, "the worker did not say hello", w->err, text, sizeof text);
            }
            shell_logs_dead(sh, proc->pid);
            uint32_t worker = proc->worker;
            w->proc = NULL;
            shell_proc_close(proc);
            wr_raylet_core_worker_dead(sh->core, now, worker, text);
        } else {
            shell_proc_close(proc);
        }
        break;
    case PROC_DRIVER: {
        uint32_t job = proc->job, slot = proc->slot;
        snprintf(text, sizeof text, "the driver (pid %d) has exited", proc->pid);
        shell_conn *waits = NULL; /* for its job, which shall not begin; a child may hold the socket open */
        for (shell_conn *c = sh->conns; c != NULL; c = c->next) {
            waits = c->proc == proc && c->kind == 1 && job == 0 ? c : waits;
        }
        shell_proc_close(proc);
        if (job != 0) {
            wr_raylet_core_job_end(sh->core, now, job, true, text);
        } else if (slot != 0) {
            wr_keeper_slot_dead(sh->keeper, slot, NULL, NULL);
        }
        if (waits != NULL) {
            waits->slot = 0;
            shell_conn_close(waits);
        }
        break;
    }
    case PROC_FORK_SERVER:
        shell_fork_died(sh, proc->fork);
        break;
    default:
        shell_gcs_died(sh);
        break;
    }
    shell_drain(sh);
    shell_soon(sh);
}

static void on_exit_event(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    shell_proc *proc = poll->data;
    if (proc->exited) {
        return;
    }
    proc->exited = true;
    proc->exited_at = wr_clock_ns();
    uv_poll_stop(&proc->poll);
    if (proc->child) {
        int raw = 0;
        if (waitpid(proc->pid, &raw, 0) == proc->pid) {
            proc->status = raw;
            proc->status_known = true;
        }
    }
    if (proc->status_known || proc->kind != PROC_WORKER) {
        settle(proc);
    } else {
        shell_soon(proc->shell);
    }
}

void shell_procs_tick(wr_shell *sh) {
    uint64_t now = wr_clock_ns();
    bool again = true;
    while (again) { /* settle changes the list */
        again = false;
        for (shell_proc *p = sh->procs; p != NULL; p = p->next) {
            if (p->exited && (p->status_known || now - p->exited_at >= STATUS_WAIT_NS)) {
                settle(p);
                again = true;
                break;
            }
            if (p->exited) {
                sh->again = true;
            }
        }
    }
}

void shell_proc_status(wr_shell *sh, int pid, int status) {
    for (shell_proc *p = sh->procs; p != NULL; p = p->next) {
        if (p->pid == pid && !p->status_known && p->kind == PROC_WORKER) {
            p->status = status;
            p->status_known = true;
            if (p->exited) {
                settle(p);
            }
            return;
        }
    }
}

shell_proc *shell_proc_watch(wr_shell *sh, int pid, int pidfd, bool child) {
    if (pidfd < 0) {
        pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (pidfd < 0) {
            return NULL;
        }
    }
    fcntl(pidfd, F_SETFD, FD_CLOEXEC);
    shell_proc *proc = shell_alloc(sizeof *proc);
    *proc = (shell_proc){.shell = sh, .pidfd = pidfd, .pid = pid, .child = child, .worker = WR_CORE_NONE};
    proc->poll.data = proc;
    if (uv_poll_init(&sh->loop, &proc->poll, pidfd) != 0 ||
        uv_poll_start(&proc->poll, UV_READABLE, on_exit_event) != 0) {
        close(pidfd);
        wr_free(proc);
        return NULL;
    }
    proc->next = sh->procs;
    sh->procs = proc;
    return proc;
}

void shell_kill(const shell_proc *proc, int signal) {
    if (!proc->exited) {
        (void)syscall(SYS_pidfd_send_signal, proc->pidfd, signal, NULL, 0);
    }
}

static void add_lines(char *out, size_t size, const char *stream, const char *path, const char *lines) {
    const size_t used = strlen(out);
    if (lines[0] != 0) {
        snprintf(out + used, size - used, "\nits last lines of %s (all of them: %s):\n%s", stream, path,
                 lines);
    }
}

void shell_death_text(const shell_proc *proc, const char *err, const char *out_file, char *out, size_t size) {
    enum { LINES_BYTES = 1024, PRINTED_BYTES = 320 /* of them are left to stdout, if it has so many */ };
    char printed[LINES_BYTES + 1] = "", complained[LINES_BYTES + 1] = "", how[128];
    if (!proc->status_known) {
        snprintf(how, sizeof how, "ended");
    } else if (WIFSIGNALED(proc->status)) {
        snprintf(how, sizeof how, "was ended by SIG%s (%s)", sigabbrev_np(WTERMSIG(proc->status)),
                 strsignal(WTERMSIG(proc->status)));
    } else {
        snprintf(how, sizeof how, "exited with status %d", WEXITSTATUS(proc->status));
    }
    static const char *const kinds[] = {"driver", "worker", "fork server", "GCS"};
    snprintf(out, size, "the %s process (pid %d) %s", kinds[proc->kind], proc->pid, how);
    if (out_file != NULL && out_file[0] != 0) {
        shell_log_last(out_file, printed, PRINTED_BYTES + 1);
    }
    if (err != NULL && err[0] != 0) {
        shell_log_last(err, complained, LINES_BYTES - strlen(printed) + 1);
    }
    if (out_file != NULL && out_file[0] != 0) { /* what stderr leaves */
        shell_log_last(out_file, printed, LINES_BYTES - strlen(complained) + 1);
    }
    add_lines(out, size, "stderr", err, complained);
    add_lines(out, size, "stdout", out_file, printed);
}

static void child_exec(char *const argv[], char *const envp[], const char *out, const char *err,
                       const char *cwd, pid_t parent) {
    /* Between fork and exec only calls that are safe there. The parent's end ends this process, whatever it runs. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
    setsid();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    int in = open("/dev/null", O_RDONLY);
    int o = open(out, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int e = strcmp(out, err) == 0 ? o : open(err, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in >= 0 && o >= 0 && e >= 0) {
        dup2(in, 0);
        dup2(o, 1);
        dup2(e, 2);
    }
    if (cwd != NULL && cwd[0] != 0 && chdir(cwd) != 0) {
        static const char text[] = "whipray-raylet: the working directory of the job is not there\n";
        ssize_t ignored = write(2, text, sizeof text - 1);
        (void)ignored;
    }
    for (int fd = 3; fd < 1024; fd++) { /* ours are CLOEXEC; those that were inherited are not */
        close(fd);
    }
    execve(argv[0], argv, envp);
    const char *const texts[] = {"whipray-raylet: ", argv[0], " cannot be run: ", strerrordesc_np(errno),
                                 "\n"};
    for (size_t i = 0; i < WR_COUNT_OF(texts); i++) {
        ssize_t ignored = write(2, texts[i], strlen(texts[i]));
        (void)ignored;
    }
    _exit(127);
}

int shell_exec(char *const argv[], char *const envp[], const char *out, const char *err, const char *cwd) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        child_exec(argv, envp, out, err, cwd, parent);
    }
    return pid;
}

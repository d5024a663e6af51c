/* whipray start: a head node that goes on after this command has ended. */
#include "cli/cli.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_WAIT_NS (90ull * 1000000000) /* longer than a start takes at most */
enum { LOCK_POLL_MS = 20, ENDING_WAIT_MS = 20 * 1000 };

static const cli_option options[] = {
    {"head", 0, false, "start a cluster with this machine as its head node"},
    {"address", 0, true, "!join the cluster at HOST:PORT"},
    {"port", 0, true, "TCP port of the GCS; without it only a Unix socket listens"},
    {"num-cpus", 0, true, "CPUs of the node; default: what this process may use"},
    {"num-gpus", 0, true, "GPUs of the node; default: what is found"},
    {"resources", 0, true, "JSON, {\"name\": amount}: custom resources"},
    {"labels", 0, true, "key=value,...: labels of the node"},
    {"labels-file", 0, true, "file with a \"key: value\" in each line"},
    {"memory", 0, true, "bytes that tasks may ask for with memory="},
    {"object-store-memory", 0, true, "bytes of the object store; default: 30 % of the memory"},
    {"node-ip-address", 0, true, "address of this node"},
    {"node-name", 0, true, "name of this node"},
    {"temp-dir", 0, true, "folder that session folders are made in; default: WHIPRAY_TMPDIR, /tmp"},
    {"block", 0, false, "stay until the cluster ends; Ctrl-C ends it"},
    {"dashboard-host", 0, true, "!address of the dashboard"},
    {"dashboard-port", 0, true, "!port of the dashboard"},
    {"include-dashboard", 0, true, "!whether to start the dashboard"},
    {"metrics-export-port", 0, true, "!port for metrics"},
    {"object-spilling-directory", 0, true, "!folder for spilled objects"},
    {"system-config", 0, true, "!JSON of engine settings"},
    {"disable-usage-stats", 0, false, "!nothing is ever reported anywhere"},
    {"help", 'h', false, "this text"},
    {NULL, 0, false, NULL},
};

static wr_status read_labels(const char *path, char *out, size_t size, wr_error *err) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return WR_FAIL_ERRNO(err, "--labels-file %s", path);
    }
    wr_status status = cli_labels(file, path, out, size, err);
    fclose(file);
    return status;
}

/* The folder of this program. */
static void own_folder(char out[WR_PATH_MAX]) {
    ssize_t n = readlink("/proc/self/exe", out, WR_PATH_MAX - 1);
    out[n > 0 ? n : 0] = 0;
    char *slash = strrchr(out, '/');
    if (slash != NULL) {
        *slash = 0;
    }
}

static pid_t launch(char *const argv[], const char *folder, const char *log, int keep_fd) {
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    setsid(); /* the terminal's signals are not for the cluster */
    int in = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in >= 0 && out >= 0) {
        dup2(in, 0);
        dup2(out, 1);
        dup2(out, 2);
    }
    for (int fd = 3; fd < 256; fd++) {
        if (fd != keep_fd) {
            close(fd);
        }
    }
    if (chdir(folder) == 0) { /* it keeps no folder of the user's busy, and finds nothing there */
        execv(argv[0], argv);
    }
    _exit(127);
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    interrupted = number;
}

/* From before the raylet runs until this command ends: an interrupted start leaves nothing behind. */
static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction hangup;
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) { /* ignored: nohup */
        sigaction(SIGHUP, &action, NULL);
    }
}

static wr_status go_on(wr_error *err) {
    return interrupted ? WR_FAIL(err, WR_E_CANCELLED, "interrupted before the cluster was ready") : WR_OK;
}

/* Our own child, not reaped yet: the number is its. */
static void end_child(pid_t pid) {
    kill(pid, SIGTERM);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 || !cli_ended(pidfd, ENDING_WAIT_MS / 4)) {
        kill(pid, SIGKILL);
    }
    (void)waitpid(pid, NULL, 0);
}

/* The one line of the ready pipe; "" when it was closed without one. */
static wr_status read_ready(int fd, char *out, size_t size, wr_error *err) {
    uint64_t deadline = wr_clock_ns() + 60ull * 1000000000;
    size_t used = 0;
    out[0] = 0;
    while (strchr(out, '\n') == NULL && used + 1 < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (wr_clock_ns() >= deadline) {
            return WR_FAIL(err, WR_E_TIMEOUT, "the cluster was not ready within 60 s");
        }
        WR_TRY(go_on(err));
        if (poll(&p, 1, 100) <= 0) {
            continue;
        }
        ssize_t n = read(fd, out + used, size - 1 - used);
        if (n <= 0) {
            break;
        }
        used += (size_t)n;
        out[used] = 0;
    }
    out[strcspn(out, "\n")] = 0;
    return WR_OK;
}

/* --block: until the cluster ends (a failure), or a signal ends it. */
static int block(const char *session, pid_t raylet) {
    sigset_t ends, before;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &ends, &before); /* they come while it waits only: none is missed before that */
    int pidfd = (int)syscall(SYS_pidfd_open, raylet, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    do {
        if (interrupted) {
            (void)syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
        }
    } while (pidfd >= 0 && ppoll(&p, 1, NULL, &before) != 1); /* -1: it is gone */
    fprintf(stderr, "whipray: the cluster has ended; its log is %s/logs/raylet.out\n", session);
    return interrupted ? 0 : 1;
}

typedef struct start_plan {
    char token_file[WR_PATH_MAX], session[WR_PATH_MAX], program[WR_PATH_MAX], log[WR_PATH_MAX],
        err_log[WR_PATH_MAX];
    char resources[4096], labels[1024], folder[WR_PATH_MAX], ready[16];
    char *argv[48];
    int argc;
    int lock; /* -1: not held */
} start_plan;

static void add(start_plan *p, const char *option, const char *value) {
    if (value != NULL) {
        p->argv[p->argc++] = (char *)(uintptr_t)option;
        p->argv[p->argc++] = (char *)(uintptr_t)value;
    }
}

static wr_status check(const cli_values *v, start_plan *p, wr_error *err) {
    static const struct {
        const char *name;
        double least, most;
    } numbers[] = {{"num-cpus", 0, 1e6},
                   {"num-gpus", 0, 64},
                   {"memory", 1, 1e18},
                   {"object-store-memory", 8 << 20, 1e18},
                   {"port", 1, 65535}};
    double ignored;
    for (size_t i = 0; i < WR_COUNT_OF(numbers); i++) {
        const char *text = cli_value(options, v, numbers[i].name);
        if (text != NULL) {
            WR_TRY(cli_number(numbers[i].name, text, numbers[i].least, numbers[i].most, &ignored, err));
        }
    }
    const char *resources = cli_value(options, v, "resources"), *labels = cli_value(options, v, "labels");
    if (resources != NULL) {
        WR_TRY(cli_resources(resources, p->resources, sizeof p->resources, err));
    }
    if (labels != NULL) {
        if (strlen(labels) >= sizeof p->labels) {
            return WR_FAIL(err, WR_E_INVALID, "--labels: %zu bytes, at most %zu are possible", strlen(labels),
                           sizeof p->labels - 1);
        }
        memcpy(p->labels, labels, strlen(labels) + 1);
    }
    if (cli_value(options, v, "labels-file") != NULL) {
        WR_TRY(read_labels(cli_value(options, v, "labels-file"), p->labels, sizeof p->labels, err));
    }
    for (int i = 0; options[i].name != NULL; i++) {
        if (v->of[i] != NULL && options[i].help[0] == '!') {
            fprintf(stderr, "whipray: --%s is accepted and does nothing yet\n", options[i].name);
        }
    }
    return WR_OK;
}

static wr_status prepare(const cli_values *v, const char *root, start_plan *p, wr_error *err) {
    char token[WR_TOKEN_MAX + 1], line[WR_TOKEN_MAX + 2];
    WR_TRY(wr_token_load(true, token, NULL, err));
    char made[WR_PATH_MAX], here[WR_PATH_MAX];
    WR_TRY(wr_paths_session(root, made, err));
    if (made[0] == '/') {
        memcpy(p->session, made, sizeof made);
    } else if (getcwd(here, sizeof here) != NULL) { /* the raylet has another working directory */
        WR_TRY(wr_paths_join(here, made, p->session, err));
    } else {
        return WR_FAIL_ERRNO(err, "the working directory");
    }
    /* The session's own copy: the cluster keeps its token, also when the user's file or variable changes. */
    snprintf(line, sizeof line, "%s\n", token);
    WR_TRY(wr_paths_join(p->session, "auth_token", p->token_file, err));
    WR_TRY(wr_paths_write(p->token_file, line, err));
    own_folder(p->folder);
    WR_TRY(wr_paths_join(p->folder, "whipray-raylet", p->program, err));
    WR_TRY(wr_paths_join(p->session, "logs/raylet.out", p->log, err));
    WR_TRY(wr_paths_join(p->session, "logs/raylet.err", p->err_log, err));
    p->argv[p->argc++] = p->program;
    p->argv[p->argc++] = (char *)(uintptr_t)"--head";
    add(p, "--session-dir", p->session);
    add(p, "--token-file", p->token_file);
    add(p, "--bin-dir", p->folder);
    add(p, "--log-file", p->log);
    add(p, "--num-cpus", cli_value(options, v, "num-cpus"));
    add(p, "--num-gpus", cli_value(options, v, "num-gpus"));
    add(p, "--memory", cli_value(options, v, "memory"));
    add(p, "--object-store-memory", cli_value(options, v, "object-store-memory"));
    add(p, "--node-ip", cli_value(options, v, "node-ip-address"));
    add(p, "--node-name", cli_value(options, v, "node-name"));
    add(p, "--gcs-port", cli_value(options, v, "port"));
    add(p, "--resources", p->resources[0] != 0 ? p->resources : NULL);
    add(p, "--labels", p->labels[0] != 0 ? p->labels : NULL);
    add(p, "--ready-fd", p->ready);
    return WR_OK;
}

/* Of several starts at once one goes on; the others come after it, and find its cluster. */
static wr_status lock(const char *root, int *out_fd, wr_error *err) {
    char path[WR_PATH_MAX];
    WR_TRY(wr_paths_root_make(root, err));
    WR_TRY(wr_paths_join(root, "current.lock", path, err));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return WR_FAIL_ERRNO(err, "open %s", path);
    }
    uint64_t deadline = wr_clock_ns() + LOCK_WAIT_NS;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        wr_status status = WR_OK;
        if (errno != EWOULDBLOCK && errno != EINTR) {
            status = WR_FAIL_ERRNO(err, "lock %s", path);
        } else if (wr_clock_ns() >= deadline) {
            status = WR_FAIL(err, WR_E_TIMEOUT, "another `whipray start` has held %s for %llu s", path,
                             LOCK_WAIT_NS / 1000000000);
            wr_error_hint(err, "see who has it open: fuser %s", path);
        }
        status = status == WR_OK ? go_on(err) : status;
        if (status != WR_OK) {
            close(fd);
            return status;
        }
        (void)poll(NULL, 0, LOCK_POLL_MS);
    }
    *out_fd = fd;
    return WR_OK;
}

/* Goes on only if no cluster runs here: one that a new one took the place of could not be ended by `whipray stop`. */
static wr_status refuse_another(const char *temp_dir, cli_cluster *c, wr_error *err) {
    wr_status status = cli_connect(NULL, temp_dir, c, err);
    if (status == WR_E_UNAVAILABLE && c->pid > 0) { /* it ends */
        int pidfd = cli_pidfd(c);
        status = pidfd < 0 || cli_ended(pidfd, ENDING_WAIT_MS) ? WR_E_NOT_FOUND : WR_E_TIMEOUT;
        if (pidfd >= 0) {
            close(pidfd);
        }
        if (status == WR_E_TIMEOUT) {
            WR_FAIL(err, status, "the cluster that ran here (raylet %d) is still ending", (int)c->pid);
            wr_error_hint(err, "end it at once with: whipray stop --force");
        }
    } else if (status == WR_OK || status == WR_E_UNAUTHENTICATED) {
        status = WR_FAIL(err, WR_E_EXISTS, "a cluster is running here already (session %s)", c->session);
        wr_error_hint(err, "end it with: whipray stop");
    } else if (status != WR_E_NOT_FOUND && c->pid > 0 && err->hint[0] == 0) { /* another version's */
        wr_error_prefix(err, "a cluster is running here already");
        wr_error_hint(err, "end it with: whipray stop --force");
    }
    cli_disconnect(c);
    if (status == WR_E_NOT_FOUND) {
        wr_error_clear(err);
        status = WR_OK;
    }
    return status;
}

static wr_status start(const cli_values *v, start_plan *p, pid_t *out_pid, cli_cluster *c, wr_error *err) {
    const char *temp_dir = cli_value(options, v, "temp-dir");
    WR_TRY(check(v, p, err));
    WR_TRY(wr_paths_root(temp_dir, c->root, err));
    WR_TRY(lock(c->root, &p->lock, err));
    WR_TRY(refuse_another(temp_dir, c, err));
    WR_TRY(go_on(err));
    wr_status status;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return WR_FAIL_ERRNO(err, "pipe");
    }
    fcntl(fds[1], F_SETFD, 0);
    snprintf(p->ready, sizeof p->ready, "%d", fds[1]);
    char said[1024] = "";
    status = prepare(v, c->root, p, err);
    if (status == WR_OK) {
        *out_pid = launch(p->argv, p->session, p->err_log, fds[1]);
        close(fds[1]);
        fds[1] = -1;
        status = *out_pid > 0 ? read_ready(fds[0], said, sizeof said, err) : WR_FAIL_ERRNO(err, "fork");
    }
    close(fds[0]);
    if (fds[1] >= 0) {
        close(fds[1]);
    }
    WR_TRY(status);
    if (strcmp(said, "OK") != 0) {
        return WR_FAIL(err, WR_E_STATE, "the cluster could not be started: %s (logs in %s/logs)",
                       strncmp(said, "ERROR ", 6) == 0 ? said + 6 : "it ended before it was ready",
                       p->session);
    }
    return cli_connect(p->session, temp_dir, c, err);
}

int cli_start(int argc, char **argv) {
    cli_values v;
    wr_error err;
    cli_cluster c;
    static start_plan plan = {.lock = -1};
    pid_t pid = 0;
    memset(&err, 0, sizeof err);
    if (cli_parse(options, argc, argv, &v, &err) != WR_OK) {
        return cli_complain(&err);
    }
    if (cli_value(options, &v, "help") != NULL) {
        cli_help("usage: whipray start --head [option ...]", options);
        return 0;
    }
    if (cli_value(options, &v, "address") != NULL) {
        WR_FAIL(&err, WR_E_UNSUPPORTED,
                "start --address: joining a cluster of several nodes is not built yet");
        wr_error_hint(&err, "programs on this machine join a running cluster by init(address=\"auto\")");
        return cli_complain(&err);
    }
    if (cli_value(options, &v, "head") == NULL) {
        WR_FAIL(&err, WR_E_INVALID, "start: needs --head");
        return cli_complain(&err);
    }
    wr_record reply;
    catch_signals();
    wr_status status = start(&v, &plan, &pid, &c, &err);
    status = status == WR_OK ? cli_call(&c, "status", 10ull * 1000000000, &reply, &err) : status;
    char address[WR_PATH_MAX] = "";
    if (status == WR_OK) {
        (void)wr_record_get_string(&reply, "gcs_address", address, sizeof address);
        status = wr_paths_current_write(c.root, address, c.session, &err);
    }
    if (status == WR_OK &&
        (status = go_on(&err)) != WR_OK) { /* the last look: from here on it has succeeded */
        wr_paths_current_clear(c.root, c.session);
    }
    if (plan.lock >= 0) {
        close(plan.lock);
    }
    if (status != WR_OK) {
        if (pid > 0) {
            end_child(pid);
        }
        return cli_complain(&err);
    }
    cli_disconnect(&c);
    printf("Whipray is running.\n  address:  %s\n  session:  %s\n\n"
           "In Python:  import whipray as ray; ray.init(address=\"auto\")\n"
           "Look at it: whipray status\nEnd it:     whipray stop\n",
           address, c.session);
    fflush(stdout);
    return cli_value(options, &v, "block") != NULL ? block(c.session, pid) : 0;
}

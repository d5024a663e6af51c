/* whipray-gcs: the Global Control Store as a process. */
#include "gcs/shell/shell.h"

#include "base/clock.h"
#include "base/log.h"
#include "rpc/gcs_api.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_FILE_MAX = 1024, EVENTS_MAX = 512, PATH_BYTES = 4096 };
/* A GCS that has had nothing to say or to store for quiet_ns looks at its clock less often. */
static const uint64_t tick_ns = 100ull * 1000 * 1000, slow_tick_ns = 500ull * 1000 * 1000,
                      quiet_ns = 2ull * 1000 * 1000 * 1000, idle_ns = 30ull * 1000 * 1000 * 1000;

/* tcmalloc's, where it is linked: it gives nothing back to the system by itself. */
void MallocExtension_ReleaseFreeMemory(void) __attribute__((weak));

typedef struct options {
    const char *session_dir, *listen, *port_file, *token_file, *tls_cert, *tls_key, *tls_ca, *storage,
        *log_file;
    uint64_t dead_after_ns;
    bool die_with_parent;
} options;

static const char usage[] =
    "usage: whipray-gcs --token-file FILE [option ...]\n"
    "  --session-dir DIR      folder of the session; default of --storage and --log-file\n"
    "  --listen ADDRESS       unix:PATH or HOST:PORT (port 0 = any); default 127.0.0.1:0\n"
    "  --port-file FILE       the port is written there once it is open\n"
    "  --token-file FILE      the cluster's token, one line\n"
    "  --tls-cert FILE --tls-key FILE --tls-ca FILE   TLS, with certificates asked of both sides\n"
    "  --storage PATH         SQLite database; default SESSION_DIR/gcs.sqlite\n"
    "  --log-file PATH        default SESSION_DIR/logs/gcs_server.log, else stderr\n"
    "  --dead-after-ms N      silence after which a node is dead; default 10000\n"
    "  --die-with-parent      end when the process that started this one does\n";

static _Atomic int stop_signal;
static wr_rpc_server *volatile interruptible;

static void *wait_for_signal(void *set) {
    int number = 0;
    sigwait(set, &number);
    atomic_store(&stop_signal, number);
    wr_rpc_server_interrupt(interruptible);
    return NULL;
}

static wr_status read_token(const char *path, char token[TOKEN_FILE_MAX], wr_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return WR_FAIL_ERRNO(err, "token file %s", path);
    }
    struct stat info;
    ssize_t n = fstat(fd, &info) == 0 ? read(fd, token, TOKEN_FILE_MAX - 1) : -1;
    close(fd);
    if (n < 0) {
        return WR_FAIL_ERRNO(err, "token file %s", path);
    }
    token[n] = 0;
    token[strcspn(token, "\r\n")] = 0;
    if ((info.st_mode & 077) != 0) {
        WR_LOG_WARN("gcs.token_readable", "path=%s mode=%o others can read the cluster's token", path,
                    info.st_mode & 0777);
    }
    return WR_OK;
}

static bool parse_u64(const char *text, uint64_t *out) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != 0) {
        return false;
    }
    *out = value;
    return true;
}

static wr_status parse_options(int argc, char **argv, options *o, wr_error *err) {
    enum {
        SESSION_DIR = 1,
        LISTEN,
        PORT_FILE,
        TOKEN_FILE,
        TLS_CERT,
        TLS_KEY,
        TLS_CA,
        STORAGE,
        LOG_FILE,
        DEAD_AFTER,
        DIE
    };
    static const struct option known[] = {
        {"session-dir", 1, NULL, SESSION_DIR}, {"listen", 1, NULL, LISTEN},
        {"port-file", 1, NULL, PORT_FILE},     {"token-file", 1, NULL, TOKEN_FILE},
        {"tls-cert", 1, NULL, TLS_CERT},       {"tls-key", 1, NULL, TLS_KEY},
        {"tls-ca", 1, NULL, TLS_CA},           {"storage", 1, NULL, STORAGE},
        {"log-file", 1, NULL, LOG_FILE},       {"dead-after-ms", 1, NULL, DEAD_AFTER},
        {"die-with-parent", 0, NULL, DIE},     {NULL, 0, NULL, 0},
    };
    const char **texts[] = {
        [SESSION_DIR] = &o->session_dir, [LISTEN] = &o->listen,     [PORT_FILE] = &o->port_file,
        [TOKEN_FILE] = &o->token_file,   [TLS_CERT] = &o->tls_cert, [TLS_KEY] = &o->tls_key,
        [TLS_CA] = &o->tls_ca,           [STORAGE] = &o->storage,   [LOG_FILE] = &o->log_file};
    o->listen = "127.0.0.1:0";
    for (int which; (which = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (which >= SESSION_DIR && which <= LOG_FILE) {
            *texts[which] = optarg;
        } else if (which == DEAD_AFTER) {
            uint64_t ms;
            if (!parse_u64(optarg, &ms) || ms == 0 || ms > 86400000) {
                return WR_FAIL(err, WR_E_INVALID, "--dead-after-ms: %s is no number from 1 to 86400000",
                               optarg);
            }
            o->dead_after_ns = ms * 1000000;
        } else if (which == DIE) {
            o->die_with_parent = true;
        } else {
            return WR_FAIL(err, WR_E_INVALID, "unknown option");
        }
    }
    if (optind != argc || o->token_file == NULL || (o->storage == NULL && o->session_dir == NULL)) {
        return WR_FAIL(err, WR_E_INVALID, "needs --token-file and one of --session-dir, --storage");
    }
    return WR_OK;
}

static wr_status open_log(const options *o, wr_error *err) {
    char path[PATH_BYTES];
    int fd = STDERR_FILENO;
    if (o->log_file != NULL) {
        snprintf(path, sizeof path, "%s", o->log_file);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    } else if (o->session_dir != NULL) {
        snprintf(path, sizeof path, "%s/logs", o->session_dir);
        mkdir(path, 0700); /* there already, or the open says why not */
        snprintf(path, sizeof path, "%s/logs/gcs_server.log", o->session_dir);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    if (fd < 0) {
        return WR_FAIL_ERRNO(err, "log file %s", path);
    }
    wr_log_open("gcs", fd, WR_LEVEL_INFO);
    return WR_OK;
}

static wr_status write_port(const char *path, int port, wr_error *err) {
    char temporary[PATH_BYTES];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *file = fopen(temporary, "we");
    if (file == NULL) {
        return WR_FAIL_ERRNO(err, "port file %s", temporary);
    }
    bool written = fprintf(file, "%d\n", port) > 0;
    written = fclose(file) == 0 && written;
    if (!written || rename(temporary, path) != 0) { /* whole or not at all */
        return WR_FAIL_ERRNO(err, "port file %s", path);
    }
    return WR_OK;
}

static bool is_local(const char *listen) {
    static const char *const local[] = {"unix:", "127.", "localhost:", "[::1]:"};
    for (size_t i = 0; i < WR_COUNT_OF(local); i++) {
        if (strncmp(listen, local[i], strlen(local[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the server's callbacks. A store that is corrupt ends the process after the batch. */

typedef struct daemon_state {
    gcs_shell shell;
    wr_error failure; /* status OK while all is well */
} daemon_state;

static wr_rpc_kind on_call(void *user, wr_rpc_call *call, const char *method) {
    daemon_state *d = user;
    wr_gcs_call which;
    if (strcmp(method, WR_GCS_STREAM_METHOD) == 0) {
        gcs_shell_on_stream(&d->shell, call);
        return WR_RPC_STREAM;
    }
    if (wr_gcs_call_of_method(method, &which)) {
        wr_rpc_call_set_user(call, (void *)(uintptr_t)(which + 1));
        return WR_RPC_UNARY;
    }
    return WR_RPC_UNKNOWN;
}

static void on_message(void *user, wr_rpc_call *call, wr_span bytes) {
    daemon_state *d = user;
    uintptr_t mark = (uintptr_t)wr_rpc_call_user(call);
    if (mark >= 1 && mark <= WR_GCS_CALLS) {
        (void)gcs_shell_on_call(&d->shell, call, (wr_gcs_call)(mark - 1), bytes, &d->failure);
    } else {
        gcs_shell_on_frame(&d->shell, call, bytes);
    }
}

static void on_writable(void *user, wr_rpc_call *call) {
    gcs_shell_on_writable(&((daemon_state *)user)->shell, call);
}

static void on_closed(void *user, wr_rpc_call *call) {
    gcs_shell_on_stream_closed(&((daemon_state *)user)->shell, call);
}

/* What came in is decided: make it durable, then say so. */
static wr_status settle(gcs_shell *shell, wr_error *err) {
    if (shell->log.failed || shell->out.failed) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory: a record or a message is missing");
    }
    WR_TRY(gcs_shell_deliver(shell, true, err)); /* deaths are published first (M1) */
    wr_status status = gcs_shell_commit(shell, true, err);
    if (status == WR_E_CORRUPT || status == WR_E_LIMIT) { /* no trying again mends these */
        return status;
    }
    if (shell->log.count == 0) {
        WR_TRY(gcs_shell_deliver(shell, false, err));
    }
    gcs_shell_answer_all(shell);
    return WR_OK;
}

static wr_status serve(daemon_state *d, const options *o, pid_t parent, wr_error *err) {
    gcs_shell *shell = &d->shell;
    wr_time_ns next_tick = wr_clock_ns() + tick_ns, busy_at = wr_clock_ns(), spoke_at = busy_at;
    bool released = false;
    WR_TRY(settle(shell, err)); /* what the start derived */
    while (atomic_load(&stop_signal) == 0) {
        uint32_t events = wr_rpc_server_poll(shell->server, next_tick, EVENTS_MAX);
        wr_time_ns now = wr_clock_ns();
        if (d->failure.status != WR_OK) {
            *err = d->failure;
            return d->failure.status;
        }
        if (now >= next_tick) {
            wr_gcs_core_tick(shell->core, now, wr_clock_wall_us(), &shell->log, &shell->out);
            gcs_shell_ack_all(shell);
            next_tick = now + (now - spoke_at > quiet_ns ? slow_tick_ns : tick_ns);
            if (o->die_with_parent && getppid() != parent) {
                WR_LOG_INFO("gcs.orphaned", "parent=%d has ended", (int)parent);
                return WR_OK;
            }
        }
        if (shell->log.count > 0 || shell->out.count > 0) {
            spoke_at = now;
            next_tick = next_tick < now + tick_ns ? next_tick : now + tick_ns;
        }
        WR_TRY(settle(shell, err));
        busy_at = events > 0 ? now : busy_at;
        released = released && events == 0;
        if (!released && now - busy_at > idle_ns && MallocExtension_ReleaseFreeMemory != NULL) {
            MallocExtension_ReleaseFreeMemory();
            released = true;
        }
    }
    WR_LOG_INFO("gcs.stopped", "signal=%d", atomic_load(&stop_signal));
    return WR_OK;
}

static wr_status run(daemon_state *d, const options *o, sigset_t *signals, wr_error *err) {
    pid_t parent = getppid();
    char storage[PATH_BYTES], token[TOKEN_FILE_MAX];
    gcs_shell *shell = &d->shell;
    snprintf(storage, sizeof storage, "%s%s", o->storage != NULL ? o->storage : o->session_dir,
             o->storage != NULL ? "" : "/gcs.sqlite");
    WR_TRY(read_token(o->token_file, token, err));
    WR_TRY(wr_gcs_store_sqlite(storage, &shell->store, err));
    shell->dead_after_ns = o->dead_after_ns;
    WR_TRY(gcs_shell_load(shell, err));
    wr_rpc_server_opts server = {
        .listen = o->listen,
        .credentials = {.token = token, .tls_cert = o->tls_cert, .tls_key = o->tls_key, .tls_ca = o->tls_ca},
        .handlers = {d, on_call, on_message, on_writable, on_closed},
    };
    WR_TRY(wr_rpc_server_open(&server, &shell->server, err));
    memset(token, 0, sizeof token);
    interruptible = shell->server;
    pthread_t thread;
    int error = pthread_create(&thread, NULL, wait_for_signal, signals);
    if (error != 0) {
        return wr_error_set_errno(err, error, __FILE__, __LINE__, "signal thread");
    }
    pthread_detach(thread);
    if (o->port_file != NULL) {
        WR_TRY(write_port(o->port_file, wr_rpc_server_port(shell->server), err));
    }
    if (o->tls_cert == NULL && !is_local(o->listen)) {
        WR_LOG_WARN("gcs.plaintext", "listen=%s others on the network can read the cluster's token",
                    o->listen);
    }
    WR_LOG_INFO("gcs.started", "listen=%s port=%d epoch=%lu storage=%s tls=%d", o->listen,
                wr_rpc_server_port(shell->server), (unsigned long)shell->epoch, storage, o->tls_cert != NULL);
    return serve(d, o, parent, err);
}

int main(int argc, char **argv) {
    static daemon_state d; /* large, and one */
    static sigset_t signals;
    options o = {NULL};
    wr_error err = {.status = WR_OK};
    wr_log_open("gcs", STDERR_FILENO, WR_LEVEL_INFO);
    wr_status status = parse_options(argc, argv, &o, &err);
    if (status != WR_OK) {
        fprintf(stderr, "whipray-gcs: %s\n%s", err.text, usage);
        return 2;
    }
    umask(077);
    wr_log_faults(NULL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread: only the waiting one gets them */
    status = open_log(&o, &err);
    status = status == WR_OK ? run(&d, &o, &signals, &err) : status;
    if (status != WR_OK) {
        WR_LOG_ERROR("gcs.failed", "%s: %s %s", wr_status_name(status), err.text, err.hint);
        fprintf(stderr, "whipray-gcs: %s %s\n", err.text, err.hint);
    }
    wr_rpc_server_close(d.shell.server);
    gcs_shell_peers_done(&d.shell);
    gcs_shell_answers_done(&d.shell);
    wr_gcs_core_free(d.shell.core);
    wr_gcs_log_done(&d.shell.log);
    wr_outbox_done(&d.shell.out);
    if (d.shell.store != NULL) {
        d.shell.store->ops->close(d.shell.store);
    }
    return status == WR_OK ? 0 : 1;
}

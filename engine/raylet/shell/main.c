/* whipray-raylet: the node manager as a process. */
#include "local/sessions.h"
#include "raylet/shell/limits.h"
#include "raylet/shell/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static wr_shell shell; /* for the life of the process */

enum {
    ENV_SERVER_IDLE_MS = 60 * 1000,
    REGISTER_MS = 60 * 1000,
    HELLO_MS = 10 * 1000,
    GCS_SILENCE_MS = 10 * 1000,
    PATIENCE_MS_MAX = 1000 * 1000 * 1000,
    FILES_LEAST = 64,
    ROTATION_MAX_BYTES = 100 * 1000 * 1000,
    ROTATION_BACKUP_COUNT = 5,
    ROTATION_BACKUPS_MAX = 1000,
    SESSION_KEEP_COUNT = 10,
    SESSION_KEEP_BYTES = 1 << 30,
    DEAD_LOGS_COUNT = 200,
    POOL_PORTS_MAX = 4096,
    POOL_RINGS_MAX = 8192,
    DEAD_LOGS_BYTES = 1 << 30,
    REGISTER_SECONDS_MAX = 1000 * 1000
};
#define CPUS_MOST 1e6
#define BYTES_MOST 9007199254740992.0 /* 2^53: what a number of the command line holds exactly */

static const char usage[] =
    "usage: whipray-raylet --head --session-dir DIR --token-file FILE [option ...]\n"
    "  --num-cpus N --num-gpus N --resources k=v,... --labels k=v,...   what the node has; found out by "
    "default\n"
    "  --object-store-memory BYTES   size of the pool's heap; 30 % of the memory by default\n"
    "  --memory BYTES                for tasks' `memory`\n"
    "  --node-ip IP --node-name NAME --gcs-port PORT --bin-dir DIR --log-file FILE\n"
    "  --owner-fd FD                 a pipe; its end of file ends the cluster\n"
    "  --ready-fd FD                 gets \"OK\" or \"ERROR text\" once\n"
    "  --config NAME=VALUE           python=PATH (warmed before a driver comes), prestart=N,\n"
    "                                gcs_restarts_per_minute=N (5; at most 1000),\n"
    "                                hello_timeout_ms=N (10000),\n"
    "                                gcs_silence_ms=N (10000: then it is killed and started again),\n"
    "                                worker_register_timeout_seconds=N (60),\n"
    "                                env_server_idle_ms=N (60000), rotation_max_bytes=N (100 MB; 0: never),\n"
    "                                rotation_backup_count=N (5),\n"
    "                                session_keep_count=N (10), session_keep_bytes=N (1 GiB): ended "
    "sessions\n"
    "                                of this user whose folders stay,\n"
    "                                dead_worker_logs_count=N (200), dead_worker_logs_bytes=N (1 GiB);\n"
    "                                rotation_, session_ and dead_ also as WHIPRAY_ROTATION_MAX_BYTES, ...\n";

static wr_status parse_number(const char *option, const char *text, double least, double most, double *out,
                              wr_error *err) {
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    if (end == text || *end != 0 || errno != 0 || !(*out >= least && *out <= most)) {
        return WR_FAIL(err, WR_E_INVALID, "--%s: '%s' is no number from %.0f to %.0f", option, text, least,
                       most);
    }
    return WR_OK;
}

static wr_status copy_text(const char *option, const char *text, char *out, size_t size, wr_error *err) {
    if (strlen(text) >= size) {
        return WR_FAIL(err, WR_E_INVALID, "--%s: longer than %zu bytes", option, size - 1);
    }
    memcpy(out, text, strlen(text) + 1);
    return WR_OK;
}

/* --config NAME=VALUE with a number; variable: how Ray's users or ours may give it, too. An option counts before it. */
static const struct setting {
    const char *name, *variable;
    size_t at;          /* in shell_args */
    bool wide;          /* uint64_t, else uint32_t */
    double least, most; /* as given */
    double scale;       /* of what is kept to what is given; 0: the same */
} settings[] = {
    {.name = "gcs_restarts_per_minute", .at = offsetof(shell_args, gcs_restarts), .most = GCS_RESTARTS_LIMIT},
    {.name = "rotation_max_bytes",
     .variable = "WHIPRAY_ROTATION_MAX_BYTES",
     .at = offsetof(shell_args, rotation_bytes),
     .wide = true,
     .most = BYTES_MOST},
    {.name = "rotation_backup_count",
     .variable = "WHIPRAY_ROTATION_BACKUP_COUNT",
     .at = offsetof(shell_args, rotation_count),
     .most = ROTATION_BACKUPS_MAX},
    {.name = "session_keep_count",
     .variable = "WHIPRAY_SESSION_KEEP_COUNT",
     .at = offsetof(shell_args, session_count),
     .most = UINT32_MAX},
    {.name = "session_keep_bytes",
     .variable = "WHIPRAY_SESSION_KEEP_BYTES",
     .at = offsetof(shell_args, session_bytes),
     .wide = true,
     .most = BYTES_MOST},
    {.name = "dead_worker_logs_count",
     .variable = "WHIPRAY_DEAD_WORKER_LOGS_COUNT",
     .at = offsetof(shell_args, dead_logs_count),
     .most = UINT32_MAX},
    {.name = "dead_worker_logs_bytes",
     .variable = "WHIPRAY_DEAD_WORKER_LOGS_BYTES",
     .at = offsetof(shell_args, dead_logs_bytes),
     .wide = true,
     .most = BYTES_MOST},
    {.name = "env_server_idle_ms",
     .at = offsetof(shell_args, env_server_idle_ms),
     .wide = true,
     .most = BYTES_MOST},
    {.name = "worker_register_timeout_seconds",
     .at = offsetof(shell_args, register_ms),
     .wide = true,
     .least = 0.001,
     .most = REGISTER_SECONDS_MAX,
     .scale = 1000},
    {.name = "hello_timeout_ms",
     .at = offsetof(shell_args, hello_ms),
     .wide = true,
     .least = 1,
     .most = PATIENCE_MS_MAX},
    {.name = "gcs_silence_ms",
     .at = offsetof(shell_args, gcs_silence_ms),
     .wide = true,
     .least = 100,
     .most = PATIENCE_MS_MAX},
    {.name = "pool_ports", /* fewer than usual, for tests of what happens when they are all taken */
     .variable = "WHIPRAY_POOL_PORTS",
     .at = offsetof(shell_args, pool_ports),
     .most = POOL_PORTS_MAX},
    {.name = "pool_rings",
     .variable = "WHIPRAY_POOL_RINGS",
     .at = offsetof(shell_args, pool_rings),
     .most = POOL_RINGS_MAX},
    {.name = "prestart", .at = offsetof(shell_args, prestart), .most = UINT32_MAX - 1},
};

static wr_status set_number(shell_args *a, const struct setting *s, const char *text, wr_error *err) {
    char option[64];
    double number;
    snprintf(option, sizeof option, "config %s", s->name);
    WR_TRY(parse_number(option, text, s->least, s->most, &number, err));
    number *= s->scale == 0 ? 1 : s->scale;
    if (s->wide) {
        *(uint64_t *)(void *)((char *)a + s->at) = (uint64_t)number;
    } else {
        *(uint32_t *)(void *)((char *)a + s->at) = (uint32_t)number;
    }
    return WR_OK;
}

static wr_status parse_config(shell_args *a, const char *text, wr_error *err) {
    const char *equals = strchr(text, '=');
    if (equals == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "--config: '%s' is not NAME=VALUE", text);
    }
    size_t n = (size_t)(equals - text);
    if (n == strlen("python") && strncmp(text, "python", n) == 0) {
        return copy_text("config python", equals + 1, a->python, sizeof a->python, err);
    }
    for (size_t i = 0; i < WR_COUNT_OF(settings); i++) {
        if (strlen(settings[i].name) == n && strncmp(text, settings[i].name, n) == 0) {
            return set_number(a, &settings[i], equals + 1, err);
        }
    }
    return WR_FAIL(err, WR_E_INVALID, "--config: there is no setting '%.*s'", (int)n, text);
}

static wr_status settings_of_environment(shell_args *a, wr_error *err) {
    for (size_t i = 0; i < WR_COUNT_OF(settings); i++) {
        const char *value = settings[i].variable == NULL ? NULL : getenv(settings[i].variable);
        if (value != NULL && value[0] != 0) {
            WR_TRY(set_number(a, &settings[i], value, err));
        }
    }
    return WR_OK;
}

static wr_status parse_args(int argc, char **argv, shell_args *a, wr_error *err) {
    enum {
        HEAD = 1,
        SESSION,
        TOKEN,
        CPUS,
        GPUS,
        RESOURCES,
        LABELS,
        STORE,
        MEMORY,
        IP,
        NAME,
        OWNER,
        READY,
        PORT,
        CONFIG,
        BIN,
        LOG
    };
    static const struct option known[] = {
        {"head", 0, NULL, HEAD},        {"session-dir", 1, NULL, SESSION},
        {"token-file", 1, NULL, TOKEN}, {"num-cpus", 1, NULL, CPUS},
        {"num-gpus", 1, NULL, GPUS},    {"resources", 1, NULL, RESOURCES},
        {"labels", 1, NULL, LABELS},    {"object-store-memory", 1, NULL, STORE},
        {"memory", 1, NULL, MEMORY},    {"node-ip", 1, NULL, IP},
        {"node-name", 1, NULL, NAME},   {"owner-fd", 1, NULL, OWNER},
        {"ready-fd", 1, NULL, READY},   {"gcs-port", 1, NULL, PORT},
        {"config", 1, NULL, CONFIG},    {"bin-dir", 1, NULL, BIN},
        {"log-file", 1, NULL, LOG},     {NULL, 0, NULL, 0},
    };
    *a = (shell_args){.num_cpus = -1,
                      .num_gpus = -1,
                      .owner_fd = -1,
                      .ready_fd = -1,
                      .prestart = UINT32_MAX,
                      .env_server_idle_ms = ENV_SERVER_IDLE_MS,
                      .register_ms = REGISTER_MS,
                      .rotation_bytes = ROTATION_MAX_BYTES,
                      .rotation_count = ROTATION_BACKUP_COUNT,
                      .session_count = SESSION_KEEP_COUNT,
                      .session_bytes = SESSION_KEEP_BYTES,
                      .dead_logs_count = DEAD_LOGS_COUNT,
                      .dead_logs_bytes = DEAD_LOGS_BYTES,
                      .hello_ms = HELLO_MS,
                      .gcs_silence_ms = GCS_SILENCE_MS,
                      .gcs_restarts = GCS_RESTARTS_DEFAULT};
    double number;
    wr_status first = settings_of_environment(a, err); /* ready_fd must be known before the first complaint */
    for (int which, index = 0; (which = getopt_long(argc, argv, "", known, &index)) != -1;) {
        wr_status s = WR_OK;
        const char *option = which < LOG + 1 && which > 0 ? known[which - 1].name : "";
        switch (which) {
        case HEAD:
            a->head = true;
            break;
        case SESSION:
            s = copy_text(option, optarg, a->session_dir, sizeof a->session_dir, err);
            break;
        case TOKEN:
            s = copy_text(option, optarg, a->token_file, sizeof a->token_file, err);
            break;
        case CPUS:
            s = parse_number(option, optarg, 0, CPUS_MOST, &a->num_cpus, err);
            break;
        case GPUS:
            s = parse_number(option, optarg, 0, WR_GPUS_MAX, &a->num_gpus, err);
            break;
        case RESOURCES:
            s = copy_text(option, optarg, a->resources, sizeof a->resources, err);
            break;
        case LABELS:
            s = copy_text(option, optarg, a->labels, sizeof a->labels, err);
            break;
        case STORE:
            s = parse_number(option, optarg, 1, BYTES_MOST, &number, err);
            a->object_store_memory = s == WR_OK ? (int64_t)number : 0;
            break;
        case MEMORY:
            s = parse_number(option, optarg, 1, BYTES_MOST, &number, err);
            a->memory = s == WR_OK ? (int64_t)number : 0;
            break;
        case IP:
            s = copy_text(option, optarg, a->node_ip, sizeof a->node_ip, err);
            break;
        case NAME:
            s = copy_text(option, optarg, a->node_name, sizeof a->node_name, err);
            break;
        case OWNER:
            s = parse_number(option, optarg, 0, INT32_MAX, &number, err);
            a->owner_fd = s == WR_OK ? (int)number : -1;
            break;
        case READY:
            s = parse_number(option, optarg, 0, INT32_MAX, &number, err);
            a->ready_fd = s == WR_OK ? (int)number : -1;
            break;
        case PORT:
            s = parse_number(option, optarg, 0, UINT16_MAX, &number, err);
            a->gcs_port = s == WR_OK ? (int)number : 0;
            break;
        case CONFIG:
            s = parse_config(a, optarg, err);
            break;
        case BIN:
            s = copy_text(option, optarg, a->bin_dir, sizeof a->bin_dir, err);
            break;
        case LOG:
            s = copy_text(option, optarg, a->log_file, sizeof a->log_file, err);
            break;
        default:
            s = WR_FAIL(err, WR_E_INVALID, "unknown option; see --help");
            break;
        }
        first = first == WR_OK ? s : first;
    }
    WR_TRY(first);
    if (!a->head) {
        return WR_FAIL(err, WR_E_UNSUPPORTED,
                       "only --head is built: joining a cluster of several nodes comes later");
    }
    if (a->session_dir[0] == 0 || a->token_file[0] == 0 || optind != argc) {
        return WR_FAIL(err, WR_E_INVALID, "needs --session-dir and --token-file");
    }
    return WR_OK;
}

static void find_bin_dir(shell_args *a) {
    if (a->bin_dir[0] != 0) {
        return;
    }
    ssize_t n = readlink("/proc/self/exe", a->bin_dir, sizeof a->bin_dir - 1);
    a->bin_dir[n > 0 ? n : 0] = 0;
    char *slash = strrchr(a->bin_dir, '/');
    if (slash != NULL) {
        *slash = 0;
    }
}

static wr_status open_log(const shell_args *a, wr_error *err) {
    int fd = STDERR_FILENO;
    if (a->log_file[0] != 0) {
        fd = open(a->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0) {
            return WR_FAIL_ERRNO(err, "log file %s", a->log_file);
        }
    }
    wr_log_open("raylet", fd, WR_LEVEL_INFO);
    return WR_OK;
}

/* ---- What the node has ---- */

static wr_status store_size(const shell_args *a, uint64_t *out_heap, uint64_t *out_memory, wr_error *err) {
    uint64_t limit = shell_memory_limit(&shell_limit_paths_of_kernel), heap = 0;
    WR_TRY(shell_store_heap((uint64_t)a->object_store_memory, limit, &heap, err));
    if (heap > limit / 10 * 9) {
        WR_LOG_WARN("store.large", "heap_bytes=%llu limit_bytes=%llu little is left for the processes",
                    (unsigned long long)heap, (unsigned long long)limit);
    }
    *out_heap = heap;
    *out_memory = a->memory > 0 ? (uint64_t)a->memory : limit - heap;
    return WR_OK;
}

static wr_status make_core(wr_shell *sh, uint64_t heap, uint64_t memory, wr_error *err) {
    shell_args *a = &sh->args;
    char *resources = shell_alloc(WR_RES_TEXT_MAX);
    uint32_t cpus_found = shell_cpu_count(), gpus_found = shell_gpu_count(sh);
    double cpus = a->num_cpus >= 0 ? a->num_cpus : cpus_found,
           gpus = a->num_gpus >= 0 ? a->num_gpus : gpus_found;
    if (a->node_ip[0] == 0) {
        shell_node_ip(a->node_ip);
    }
    if (gethostname(sh->hostname, sizeof sh->hostname - 1) != 0) {
        snprintf(sh->hostname, sizeof sh->hostname, "localhost");
    }
    if (a->node_name[0] == 0) {
        snprintf(a->node_name, sizeof a->node_name, "%s", a->node_ip);
    }
    char devices[64] = "";
    if (gpus > 0) {
        snprintf(devices, sizeof devices, "GPU=%.4f,", gpus);
    }
    int n = snprintf(resources, WR_RES_TEXT_MAX,
                     "CPU=%.4f,%smemory=%llu,object_store_memory=%llu,node:%s=1,node:__internal_head__=1%s%s",
                     cpus, devices, (unsigned long long)memory, (unsigned long long)heap, a->node_ip,
                     a->resources[0] != 0 ? "," : "", a->resources);
    wr_raylet_core_opts opts = {.num_cpus = cpus < 1 ? 1 : (uint32_t)cpus,
                                .start_ns = a->register_ms * 1000000};
    opts.prestart = a->prestart != UINT32_MAX ? a->prestart : opts.num_cpus < 2 ? opts.num_cpus : 2;
    opts.node = (wr_node_info){.head = true,
                               .pid = (uint32_t)getpid(),
                               .name = wr_span_text(a->node_name),
                               .hostname = wr_span_text(sh->hostname),
                               .address = wr_span_text(a->node_ip),
                               .raylet_socket = wr_span_text(sh->socket_path),
                               .resources = wr_span_text(resources),
                               .labels = wr_span_text(a->labels)};
    wr_random_bytes(opts.nonce.bytes, sizeof opts.nonce.bytes);
    wr_status status = n > 0 && n < WR_RES_TEXT_MAX ? wr_raylet_core_new(&opts, &sh->core, err)
                                                    : WR_FAIL(err, WR_E_INVALID, "--resources: too long");
    if (status != WR_OK) {
        wr_error_prefix(err, "resources");
    }
    wr_free(resources);
    return status;
}

/* ---- Threads and handles that wake the loop ---- */

static void *ring_bell(void *arg) {
    wr_shell *sh = arg;
    uint32_t seen = wr_pool_bell_read(sh->pool);
    while (!__atomic_load_n(&sh->bell_stop, __ATOMIC_ACQUIRE)) {
        wr_pool_bell_wait(sh->pool, seen, 1000000000ull);
        uint32_t now = wr_pool_bell_read(sh->pool);
        if (now != seen) {
            seen = now;
            uv_async_send(&sh->bell);
        }
    }
    return NULL;
}

static void on_bell(uv_async_t *async) {
    wr_shell *sh = async->data;
    sh->active_at = wr_clock_ns();
    shell_pass(sh);
}

static void on_signal(uv_signal_t *handle, int number) {
    char why[64];
    snprintf(why, sizeof why, "its raylet was ended by SIG%s", sigabbrev_np(number));
    shell_end(handle->data, why);
}

/* A failed invariant, or a fault of ours: nobody shall go on with a pool that has no keeper. */
static void on_failure(const char *name) {
    if (shell.pool != NULL) {
        char why[128];
        (void)snprintf(why, sizeof why, "the raylet has failed by a bug of ours: %s", name);
        wr_pool_poison(shell.pool, why);
    }
}

static void on_owner(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    wr_shell *sh = poll->data;
    char byte;
    ssize_t n = read(sh->args.owner_fd, &byte, 1);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        uv_poll_stop(poll);
        shell_end(sh, "its owner has ended");
    }
}

/* An error in a task's slot, once: its heap extents are there before a worker's death needs room for a text. */
static bool never_wait(void *arg) {
    (void)arg;
    return false;
}

/* Below that gRPC aborts the GCS, or waits for ever. */
static wr_status check_files(wr_error *err) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= FILES_LEAST) {
        return WR_OK;
    }
    wr_status status = WR_FAIL(err, WR_E_LIMIT, "%llu open files are allowed, at least %d are needed",
                               (unsigned long long)files.rlim_cur, FILES_LEAST);
    wr_error_hint(err, "raise the limit (ulimit -n), better to 65536");
    return status;
}

static wr_status start(wr_shell *sh, wr_error *err) {
    uint64_t heap = 0, memory = 0;
    WR_TRY(check_files(err));
    WR_TRY(wr_token_read(sh->args.token_file, sh->token, err));
    WR_TRY(wr_paths_folder(sh->args.session_dir, err));
    WR_TRY(wr_session_lock(sh->args.session_dir, &sh->session_lock, err));
    WR_TRY(wr_paths_join(sh->args.session_dir, "sockets", sh->socket_path, err));
    WR_TRY(wr_paths_folder(sh->socket_path, err));
    WR_TRY(wr_paths_join(sh->args.session_dir, "sockets/raylet", sh->socket_path, err));
    char logs[WR_PATH_MAX];
    WR_TRY(wr_paths_join(sh->args.session_dir, "logs", logs, err));
    WR_TRY(wr_paths_folder(logs, err));
    WR_TRY(store_size(&sh->args, &heap, &memory, err));
    wr_pool_geometry geometry = {
        .heap_bytes = heap, .ports = sh->args.pool_ports, .rings = sh->args.pool_rings};
    WR_TRY(wr_pool_create(&geometry, &sh->pool, err));
    WR_TRY(wr_keeper_new(sh->pool, &sh->keeper, err));
    wr_proc_on_wait(wr_keeper_proc(sh->keeper), never_wait, NULL);
    wr_result gone;
    shell_gone_result(&gone);
    wr_proc_on_gone(wr_keeper_proc(sh->keeper), &gone);
    uint64_t block;
    for (int i = 0; i < 2 && wr_proc_heap_alloc(wr_keeper_proc(sh->keeper), 1024, &block, NULL) != WR_OK;
         i++) {
        (void)wr_keeper_pass(sh->keeper); /* the keeper answers its own NEED */
    }
    sh->port_causes = shell_alloc(wr_pool_geometry_of(sh->pool)->ports * sizeof *sh->port_causes);
    WR_TRY(make_core(sh, heap, memory, err));
    if (uv_loop_init(&sh->loop) != 0) {
        return WR_FAIL(err, WR_E_IO, "the event loop cannot be made");
    }
    sh->timer.data = sh->bell.data = sh->sigterm.data = sh->sigint.data = sh->owner.data = sh;
    uv_timer_init(&sh->loop, &sh->timer);
    uv_signal_init(&sh->loop, &sh->sigterm);
    uv_signal_start(&sh->sigterm, on_signal, SIGTERM);
    uv_signal_init(&sh->loop, &sh->sigint);
    uv_signal_start(&sh->sigint, on_signal, SIGINT);
    if (uv_async_init(&sh->loop, &sh->bell, on_bell) != 0) {
        return WR_FAIL(err, WR_E_IO, "the loop takes no async handle");
    }
    if (sh->args.owner_fd >= 0) {
        fcntl(sh->args.owner_fd, F_SETFD, FD_CLOEXEC);
        fcntl(sh->args.owner_fd, F_SETFL, O_NONBLOCK);
        if (uv_poll_init(&sh->loop, &sh->owner, sh->args.owner_fd) != 0 ||
            uv_poll_start(&sh->owner, UV_READABLE | UV_DISCONNECT, on_owner) != 0) {
            return WR_FAIL(err, WR_E_INVALID, "--owner-fd %d is no pipe", sh->args.owner_fd);
        }
    }
    if (sh->args.ready_fd >= 0) {
        fcntl(sh->args.ready_fd, F_SETFD, FD_CLOEXEC);
    }
    shell_logs_start(sh);
    WR_TRY(shell_listen(sh, err));
    if (sh->args.python[0] != 0) {
        (void)shell_fork_of(sh, NULL, 0);
    }
    WR_TRY(shell_gcs_start(sh, err));
    if (pthread_create(&sh->bell_thread, NULL, ring_bell, sh) != 0) {
        return WR_FAIL(err, WR_E_LIMIT, "no thread for the pool's bell");
    }
    sh->bell_running = true;
    shell_sessions_prune(sh);
    shell_soon(sh);
    return WR_OK;
}

int main(int argc, char **argv) {
    wr_shell *sh = &shell;
    wr_error err;
    memset(&err, 0, sizeof err);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
    }
    wr_log_open("raylet", STDERR_FILENO, WR_LEVEL_INFO);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    wr_log_faults(on_failure);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* two descriptors for each process that it watches */
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    sh->started_at = wr_clock_ns();
    wr_status status = parse_args(argc, argv, &sh->args, &err);
    find_bin_dir(&sh->args);
    status = status == WR_OK ? open_log(&sh->args, &err) : status;
    status = status == WR_OK ? start(sh, &err) : status;
    if (status != WR_OK) {
        WR_LOG_ERROR("raylet.start", "status=%s text=%s hint=%s", wr_status_name(status), err.text, err.hint);
        if (sh->args.ready_fd >= 0) {
            dprintf(sh->args.ready_fd, "ERROR %s%s%s\n", err.text, err.hint[0] != 0 ? "; " : "", err.hint);
        }
        if (sh->gcs != NULL) {
            shell_kill(sh->gcs, SIGKILL);
        }
        wr_raylet_core_free(sh->core);
        wr_keeper_free(sh->keeper);
        return 1;
    }
    WR_LOG_INFO("raylet.started", "session=%s pid=%d", sh->args.session_dir, (int)getpid());
    uv_run(&sh->loop, UV_RUN_DEFAULT);
    char root[WR_PATH_MAX];
    memcpy(root, sh->args.session_dir, sizeof root);
    char *slash = strrchr(root, '/');
    if (slash != NULL) {
        *slash = 0;
        wr_paths_current_clear(root, sh->args.session_dir);
    }
    __atomic_store_n(&sh->bell_stop, 1, __ATOMIC_RELEASE);
    wr_pool_bell_ring(sh->pool);
    pthread_join(sh->bell_thread, NULL);
    wr_raylet_core_free(sh->core);
    wr_keeper_free(sh->keeper);
    WR_LOG_INFO("raylet.ended", "after_ms=%llu",
                (unsigned long long)((wr_clock_ns() - sh->started_at) / 1000000));
    return 0;
}

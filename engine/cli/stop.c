/* whipray stop: ends the cluster that `whipray start` left running, and nothing else. */
#include "cli/cli.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const cli_option options[] = {
    {"force", 'f', false, "kill it at once"},
    {"grace-period", 'g', true, "seconds until it is killed; default 16"},
    {"temp-dir", 0, true, "as for start"},
    {"help", 'h', false, "this text"},
    {NULL, 0, false, NULL},
};

#define SECOND_NS 1000000000ull

int cli_stop(int argc, char **argv) {
    cli_values v;
    wr_error err;
    cli_cluster c;
    wr_record reply;
    double grace = 16;
    memset(&err, 0, sizeof err);
    if (cli_parse(options, argc, argv, &v, &err) != WR_OK) {
        return cli_complain(&err);
    }
    if (cli_value(options, &v, "help") != NULL) {
        cli_help("usage: whipray stop [option ...]", options);
        return 0;
    }
    const char *text = cli_value(options, &v, "grace-period");
    if (text != NULL && cli_number("grace-period", text, 0, 86400, &grace, &err) != WR_OK) {
        return cli_complain(&err);
    }
    wr_status status = cli_find(NULL, cli_value(options, &v, "temp-dir"), &c, &err);
    if (status == WR_E_NOT_FOUND) {
        if (c.session[0] != 0) {
            wr_paths_current_clear(c.root, c.session); /* its raylet was killed */
        }
        printf("No cluster is running.\n");
        return 0;
    }
    if (status != WR_OK) {
        return cli_complain(&err);
    }
    /* The pid is the kernel's word about who listens at the session's socket; the pidfd keeps it from naming
     * another. */
    int pidfd = cli_pidfd(&c);
    if (pidfd < 0) {
        cli_disconnect(&c);
        printf("The cluster has ended.\n");
        return 0;
    }
    uint64_t since = wr_clock_ns();
    bool force = cli_value(options, &v, "force") != NULL;
    if (!force) {
        status = cli_hello(&c, (uint64_t)((grace < 1 ? 1 : grace > 5 ? 5 : grace) * SECOND_NS), &err);
        if (status == WR_OK || status == WR_E_TIMEOUT) { /* one that hangs may wake up and read it */
            status = cli_call(&c, "shutdown", SECOND_NS, &reply, &err); /* what counts is whether it ends */
        } else if (status != WR_E_UNAVAILABLE) {                        /* unavailable: it ends already */
            wr_error_hint(&err, "whipray stop --force ends it without asking it");
            cli_disconnect(&c);
            close(pidfd);
            return cli_complain(&err);
        }
        double left = grace - (double)(wr_clock_ns() - since) / SECOND_NS;
        force = !cli_ended(pidfd, left > 0 ? (int)(left * 1000) : 0);
    }
    if (force && !cli_ended(pidfd, 0)) {
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL,
                      0); /* its processes end with it: parent-death signals */
        (void)cli_ended(pidfd, 5000);
    }
    bool gone = cli_ended(pidfd, 0);
    close(pidfd);
    cli_disconnect(&c);
    if (!gone) {
        fprintf(stderr, "whipray: raylet %d does not end\n", (int)c.pid);
        return 1;
    }
    wr_paths_current_clear(c.root, c.session);
    unlink(c.socket);
    printf("The cluster has ended.\n");
    return 0;
}

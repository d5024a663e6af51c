/* whipray: the command. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "usage: whipray COMMAND [option ...]\n"
                            "  start --head   start a cluster on this machine\n"
                            "  status         what it has and does; exit status 1 if there is none\n"
                            "  stop           end it\n"
                            "  --version      prints it\n"
                            "Each command explains its options with --help.\n";

/* Closed standard descriptors would be given to sockets and pipes, and what is printed would go there. */
static void open_standard(void) {
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

static int written(int result) {
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return result;
    }
    fprintf(stderr, "whipray: the output could not be written: %s\n", strerror(errno));
    return result != 0 ? result : 1;
}

int main(int argc, char **argv) {
    open_standard();
    static const struct {
        const char *name;
        int (*run)(int, char **);
    } commands[] = {{"start", cli_start}, {"stop", cli_stop}, {"status", cli_status}};
    static const char *const names[] = {"start", "stop", "status", NULL};
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : written(0);
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("whipray " WHIPRAY_VERSION);
        return written(0);
    }
    for (size_t i = 0; i < WR_COUNT_OF(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return written(commands[i].run(argc - 2, argv + 2));
        }
    }
    wr_error err;
    memset(&err, 0, sizeof err);
    WR_FAIL(&err, WR_E_INVALID, "there is no command '%s'", argv[1]);
    const char *nearest = cli_nearest(argv[1], names);
    wr_error_hint(&err, nearest != NULL ? "did you mean 'whipray %s'?" : "there are start, stop and status%s",
                  nearest != NULL ? nearest : "");
    (void)cli_complain(&err);
    return 2;
}

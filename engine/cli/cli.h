/* engine/cli/cli.h: the command `whipray`: options, the connection to a cluster, and its subcommands; private to
 * this folder. */
#pragma once

#include "local/frame.h"
#include "local/paths.h"

#include <stdio.h>
#include <sys/types.h>

WR_BEGIN_DECLS

/* ---- options.c ---- */
typedef struct cli_option {
    const char *name; /* without "--" */
    char letter;      /* 0: none */
    bool argument;
    const char *help; /* starts with '!' for options that have no meaning here (accepted, told once) */
} cli_option;         /* a table ends with name NULL */

typedef struct cli_values {
    const char *of[48]; /* by the option's place in its table: NULL: not given; "" for flags */
} cli_values;

/* "--name=value", "--name value", "-x value"; underscores count as dashes. Fails: INVALID (unknown: the nearest
 * right one is the
 * hint; a missing value; a stray word). Values borrow argv. */
WR_MUST_USE wr_status cli_parse(const cli_option *table, int argc, char **argv, cli_values *out,
                                wr_error *err);
const char *cli_value(const cli_option *table, const cli_values *values,
                      const char *name); /* NULL: not given */
void cli_help(const char *head, const cli_option *table);
/* The nearest of the names (a NULL-ended array), or NULL if none is near. */
const char *cli_nearest(const char *word, const char *const *names);
WR_MUST_USE wr_status cli_number(const char *option, const char *text, double least, double most, double *out,
                                 wr_error *err);
/* {"a": 1, "b": 0.5} -> "a=1,b=0.5". Fails: INVALID. */
WR_MUST_USE wr_status cli_resources(const char *json, char *out, size_t size, wr_error *err);

/* A labels file, "key: value" in each line, also as JSON and with comments (#): appends "key=value" to the list in out, which
 * stays a list when it fails. name: for messages. Fails: INVALID (a line of no label, of several or too long; no room). */
WR_MUST_USE wr_status cli_labels(FILE *file, const char *name, char *out, size_t size, wr_error *err);

/* ---- cluster.c ---- */
typedef struct cli_cluster {
    char root[WR_PATH_MAX], session[WR_PATH_MAX], socket[WR_PATH_MAX], address[WR_PATH_MAX];
    wr_frame_conn *conn;
    pid_t pid; /* of the raylet, as the kernel says */
    uint64_t next_request;
} cli_cluster;

/* where: NULL or "auto" = the cluster that `whipray start` left running; else a session folder, a raylet's socket,
 * or the address in `current`. Finds who listens there; nothing is said yet, so a raylet that hangs is found, too.
 * out->pid is known then. Fails: NOT_FOUND (no cluster: nobody listens), DENIED (L1, another user's), TIMEOUT,
 * CORRUPT. */
WR_MUST_USE wr_status cli_find(const char *where, const char *temp_dir, cli_cluster *out, wr_error *err);
/* Says hello to what cli_find found. Fails: TIMEOUT (it hangs; the text names the pid), UNAVAILABLE (it ends),
 * UNAUTHENTICATED, PROTOCOL, VERSION. */
WR_MUST_USE wr_status cli_hello(cli_cluster *cluster, uint64_t timeout_ns, wr_error *err);
/* cli_find and cli_hello, which has 5 s. */
WR_MUST_USE wr_status cli_connect(const char *where, const char *temp_dir, cli_cluster *out, wr_error *err);
void cli_disconnect(cli_cluster *cluster);
/* Of the raylet's process, for cli_ended; -1: it is gone. The caller closes it. */
int cli_pidfd(const cli_cluster *cluster);
/* Whether the process has ended, or does within timeout_ms. */
bool cli_ended(int pidfd, int timeout_ms);
/* An op without fields; out is borrowed until the next call. */
WR_MUST_USE wr_status cli_call(cli_cluster *cluster, const char *op, uint64_t timeout_ns, wr_record *out,
                               wr_error *err);

/* ---- one file each; they return the exit status ---- */
int cli_start(int argc, char **argv);
int cli_stop(int argc, char **argv);
int cli_status(int argc, char **argv);

/* "whipray: text" and the hint, to stderr; returns 1. */
int cli_complain(const wr_error *err);

WR_END_DECLS

/* engine/local/forks.h: the loop of a fork server: it takes the raylet's orders, forks, and reports ends.
 *
 * A page that the server writes between two forks is from then on private to the child before: so the loop is in C and
 * touches its stack, the connection's buffer and nothing else. With it in Python, each worker kept a megabyte of pages
 * that were the server's.
 *
 * K1. Each child that was forked is announced by fork_done, with its pidfd, before its end is by fork_exited: it is
 *     reaped only here, so its pid cannot name another process in between.
 * K2. A child is killed when the server ends, also when the server ended before the child had said so.
 */
#pragma once

#include "local/frame.h"

WR_BEGIN_DECLS

enum { WR_FORKS_EXIT_LOST = 3 }; /* exit status of a child whose server had ended before it began */

/* Says hello as a fork server with the fields given (a packed record: token, key, ...), then serves; the process must
 * have one thread. Takes SIGCHLD for itself (blocked, by a descriptor); a child has its caller's mask again.
 * Returns OK only in a child: out is its order (protocol.h, fork_next), borrowed until the connection is closed, which
 * the child does.
 * Fails, in the server: UNAVAILABLE (the raylet hung up: the server's end), whatever the raylet refused with, PROTOCOL
 * and CORRUPT (what came is no answer), NO_MEMORY, LIMIT, IO. */
WR_MUST_USE wr_status wr_forks_serve(wr_frame_conn *conn, const uint8_t *hello, uint32_t hello_bytes,
                                     wr_record *out, wr_error *err);

WR_END_DECLS

/* engine/local/paths.h: where the state of this user's clusters lies, and the cluster's token.
 *
 *   ROOT            /tmp/whipray-UID (another parent: WHIPRAY_TMPDIR, or --temp-dir)    0700
 *     current       line 1: address of the running cluster; line 2: its session folder
 *     current.lock  held (flock) by a `whipray start` until it has written `current`
 *     session_DATE_PID/   sockets/raylet, sockets/gcs, logs/, gcs.sqlite, session.json  0700
 *     session_latest -> the newest session
 *
 * L1. A folder is used only if it is a real folder (no link) of this user that nobody else may enter.
 * L2. A token file is used only if it is a plain file of this user that nobody else may read.
 *
 * All functions block on the file system. Paths are at most WR_PATH_MAX - 1 bytes.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

enum { WR_PATH_MAX = 512, WR_TOKEN_MIN = 16, WR_TOKEN_MAX = 512 };

/* parent: NULL = $WHIPRAY_TMPDIR, else "/tmp". Makes nothing. Fails: INVALID (too long). */
WR_MUST_USE wr_status wr_paths_root(const char *parent, char out[WR_PATH_MAX], wr_error *err);
/* out = "a/b". Fails: INVALID (too long). */
WR_MUST_USE wr_status wr_paths_join(const char *a, const char *b, char out[WR_PATH_MAX], wr_error *err);
/* Makes path (not its parents) with mode 0700, or checks L1. Fails: DENIED (L1), IO, NOT_FOUND (parent). */
WR_MUST_USE wr_status wr_paths_folder(const char *path, wr_error *err);
/* Makes root and its parents as far as they are not there, and checks L1. Fails: DENIED, IO. */
WR_MUST_USE wr_status wr_paths_root_make(const char *root, wr_error *err);
/* A new session under root (made when needed), with sockets/ and logs/; session_latest points to it then.
 * Fails: DENIED, IO, INVALID (a socket's path would be too long). */
WR_MUST_USE wr_status wr_paths_session(const char *root, char out[WR_PATH_MAX], wr_error *err);

/* The file `current`. write replaces it in one step. Fails: IO. */
WR_MUST_USE wr_status wr_paths_current_write(const char *root, const char *address, const char *session,
                                             wr_error *err);
/* Fails: NOT_FOUND (no cluster was started), CORRUPT, DENIED (L1), IO. */
WR_MUST_USE wr_status wr_paths_current_read(const char *root, char out_address[WR_PATH_MAX],
                                            char out_session[WR_PATH_MAX], wr_error *err);
/* Removes `current` if it still names that session. */
void wr_paths_current_clear(const char *root, const char *session);
/* Writes a file of mode 0600 in one step. Fails: IO. */
WR_MUST_USE wr_status wr_paths_write(const char *path, const char *text, wr_error *err);

/* The cluster's token: $WHIPRAY_AUTH_TOKEN, else the file $WHIPRAY_AUTH_TOKEN_PATH, else ~/.whipray/auth_token,
 * which is made (32 random bytes in hex, mode 0600) when `create` and absent. ~ is $HOME, else the user's home in the
 * password file; that folder itself is never made. out_path: the file, "" for the variable; may be NULL.
 * Fails: NOT_FOUND, DENIED (L2), INVALID (shorter than WR_TOKEN_MIN, too long, or not printable),
 * CORRUPT (a zero byte), IO. */
WR_MUST_USE wr_status wr_token_load(bool create, char out[WR_TOKEN_MAX + 1], char out_path[WR_PATH_MAX],
                                    wr_error *err);
WR_MUST_USE wr_status wr_token_read(const char *path, char out[WR_TOKEN_MAX + 1], wr_error *err);

WR_END_DECLS

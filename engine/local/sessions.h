/* engine/local/sessions.h: which session folders live, and the end of old ones.
 *
 * A raylet holds a lock (flock) on its session folder for its life. The kernel gives it back when the process ends, however
 * it ends, so no number of a process is compared that could be another's by now. Folders whose lock is free are those of
 * clusters that have ended: the newest stay for whoever wants to look at their logs, older ones go.
 *
 * L3. Nothing is removed but folders of this user, called session_DATE_TIME_..., in a root that is this user's alone (L1), whose
 *     lock is free and stays taken while they are removed; no link is followed, no other file system is entered.
 * L4. A folder that was changed in the last `young_s` seconds stays and is not locked: its raylet may be about to do so.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

/* The folder's lock, held until the descriptor is closed or the process ends; programs that this one executes do not have
 * it. out_fd: owned by the caller, -1 where the file system has no locks (nobody removes the folder there either).
 * Fails: EXISTS (a raylet lives there, or the folder is just being removed), IO. */
WR_MUST_USE wr_status wr_session_lock(const char *session, int *out_fd, wr_error *err);

typedef struct wr_sessions_opts {
    uint32_t keep_count; /* ended sessions that stay; 0: none */
    uint64_t keep_bytes; /* of disk that those may take together; the newest one stays whatever it takes */
    uint64_t young_s;    /* L4 */
    const int *stop;     /* set (atomically) by another thread: enough. NULL: nobody does */
} wr_sessions_opts;

/* Removes the oldest ended sessions beyond the bounds, `own` never. Returns how many went. What cannot be removed is left; the
 * next call tries again. Blocks on the file system: O(files of all sessions). Any thread, also several processes at once. */
uint32_t wr_sessions_prune(const char *root, const char *own, const wr_sessions_opts *opts);

WR_END_DECLS

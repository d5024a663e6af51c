/* engine/raylet/shell/errors.h: errors and empty values as results; the one file of the shell that knows how values lie
 * in cells. */
#pragma once

#include "shm/keeper.h"

WR_BEGIN_DECLS

/* The error as a result: in the heap of `proc`, or cut to what a cell holds. */
void shell_error_result(wr_pool *pool, wr_proc *proc, const wr_error *error, wr_result *out);
void shell_result_discard(wr_proc *proc, const wr_result *result);
void shell_empty_result(wr_result *out); /* a value whose stream is empty */
void shell_gone_result(wr_result *out);  /* of a call whose port was closed before it was queued */

WR_END_DECLS

/* engine/raylet/shell/errors.h: errors and empty values as results. A file of its own, because the public header
 * of values and
 * the messages of the cluster both have a thing called wr_task_result. */
#pragma once

#include "shm/keeper.h"

WR_BEGIN_DECLS

/* The error as a result: in the heap of `proc`, or cut to what a cell holds. */
void shell_error_result(wr_pool *pool, wr_proc *proc, const wr_error *error, wr_result *out);
void shell_result_discard(wr_proc *proc, const wr_result *result);
void shell_empty_result(wr_result *out); /* a value whose stream is empty */

WR_END_DECLS

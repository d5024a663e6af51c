#include "raylet/shell/errors.h"

#include "store/error_value.h"
#include "store/value.h"

#include <string.h>

void shell_error_result(wr_pool *pool, wr_proc *proc, const wr_error *error, wr_result *out) {
    wr_store_error_encode(pool, proc, error, out);
}

void shell_result_discard(wr_proc *proc, const wr_result *result) {
    wr_store_discard(proc, result);
}

void shell_empty_result(wr_result *out) {
    memset(out, 0, sizeof *out);
    out->kind = WR_KIND_VALUE;
    out->location = WR_AT_INLINE;
}

void shell_gone_result(wr_result *out) {
    wr_store_error_inline(WR_E_ACTOR_DIED, "it ended before the call", out);
}

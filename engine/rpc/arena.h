/* engine/rpc/arena.h: memory for one unpacked message, with a cap in bytes.
 *
 * protobuf-c knows no limit of its own: a small input can ask for sixty times its size. Every unpack goes
 * through an arena whose cap follows the input's length; past it the unpack fails cleanly. Freed as a
 * whole.
 */
#pragma once

#include "base/base.h"

WR_BEGIN_DECLS

typedef struct wr_arena wr_arena;

/* Fails: NO_MEMORY. */
WR_MUST_USE wr_status wr_arena_new(size_t bytes_max, wr_arena **out, wr_error *err);
void wr_arena_free(wr_arena *arena); /* accepts NULL */
WR_DEFINE_AUTO(wr_arena, wr_arena_free)
/* Zeroed, aligned to 16; NULL past the cap or without memory. Lent until wr_arena_free. */
void *wr_arena_take(wr_arena *arena, size_t bytes);
bool wr_arena_hit_cap(const wr_arena *arena); /* a take was refused by the cap */

WR_END_DECLS

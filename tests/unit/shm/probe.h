/* tests/unit/shm/probe.h: what a test does behind the API's back: stops half way, or writes where it should
 * not. */
#pragma once

#include "shm/proc.h"

WR_BEGIN_DECLS

/* The CAS of a seal and nothing after it, as if its process died there. */
void wr_test_seal_without_walk(wr_proc *proc, wr_handle handle);
/* Writes `random` to a place derived from it: in cells, slots, ports, rings, the extent table, or the heap.
 */
void wr_test_scribble(wr_pool *pool, uint32_t slot, uint64_t random);
void wr_test_event(wr_proc *proc, uint32_t type, uint64_t handle);
/* Names another ring (+ 1) in the port's table, as one sees it who read the table long ago. Returns what stood there. */
uint32_t wr_test_point_ring(wr_pool *pool, uint16_t port, uint32_t slot, uint32_t ring);
/* Forgets the hint that a ring is not empty. */
void wr_test_lose_hint(wr_pool *pool, uint16_t port, uint32_t slot);
/* The task was submitted to the opening before the present one of its port, and stands in its ring all the same. */
void wr_test_outlive_port(wr_pool *pool, wr_handle handle);

/* The tail of a generator's credit ring; sets it, unless `tail` is 0. Returns what it was. */
uint64_t wr_test_credit_tail(wr_pool *pool, uint64_t block, uint64_t tail);

WR_END_DECLS

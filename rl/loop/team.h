/* rl/loop/team.h: a few threads that do one piece of work together, many thousand times a second.
 *
 * The caller is member 0. Between pieces the others spin for some microseconds, then sleep on a futex, so
 * an idle team costs nothing. Within a piece, wr_team_barrier joins all members.
 *
 * T1. wr_team_run returns after every member has returned from the work.
 * Threads: one caller at a time.
 */
#pragma once

#include "whipray/status.h"

WR_BEGIN_DECLS

typedef struct wr_team wr_team;
typedef void (*wr_team_fn)(void *arg, uint32_t member);

/* members: at least 1. Fails: NO_MEMORY, LIMIT (no more threads). */
WR_MUST_USE wr_status wr_team_new(uint32_t members, wr_team **out, wr_error *err);
void wr_team_free(wr_team *team); /* accepts NULL; not during a run */
uint32_t wr_team_members(const wr_team *team);
void wr_team_run(wr_team *team, wr_team_fn fn, void *arg);
/* By the caller alone, as the only member; the others sleep on. */
void wr_team_run_alone(wr_team *team, wr_team_fn fn, void *arg);
void wr_team_barrier(wr_team *team); /* by every member of a run, inside it */

WR_END_DECLS

/* rl/loop/pace.h: whether a learner's threads are worth it just now.
 *
 * Threads that meet at barriers a few hundred times in a millisecond are fast while each has a core, and
 * many times slower than one thread where they do not: another program runs, or a container's quota is
 * less than its cores. Bits do not depend on the number of threads, so the learner may choose by the clock:
 * it keeps to what was faster, and tries the other now and then.
 *
 * Pure: times come in as arguments.
 */
#pragma once

#include "whipray/status.h"

WR_BEGIN_DECLS

typedef struct wr_pace {
    bool fixed;                   /* one thread: nothing to choose */
    bool alone;                   /* the present choice */
    double together_ns, alone_ns; /* smoothed times; 0: not known */
    double settled_ns;            /* what the choice took when it was made */
    uint32_t until_trial;         /* updates until the other is tried */
    uint32_t interval;            /* between trials */
} wr_pace;

void wr_pace_init(wr_pace *pace, uint32_t threads);
/* Whether the next update shall be done by one thread. */
bool wr_pace_choose(const wr_pace *pace);
/* Tells how long it took. */
void wr_pace_note(wr_pace *pace, bool alone, uint64_t ns);

WR_END_DECLS

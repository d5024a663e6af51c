#include "rl/loop/pace.h"

enum { INTERVAL_MIN = 16, INTERVAL_MAX = 512 };
static const double smoothing = 0.25;
static const double much_slower = 1.5; /* than when the choice was made: something has changed */

void wr_pace_init(wr_pace *pace, uint32_t threads) {
    *pace =
        (wr_pace){.fixed = threads == 1, .alone = threads == 1, .until_trial = 4, .interval = INTERVAL_MIN};
}

bool wr_pace_choose(const wr_pace *pace) {
    return pace->until_trial == 0 && !pace->fixed ? !pace->alone : pace->alone;
}

static void settle(wr_pace *pace) {
    const bool alone = pace->alone_ns < pace->together_ns;
    if (alone == pace->alone) { /* the trial lost: the next one can wait longer */
        pace->interval = pace->interval * 2 < INTERVAL_MAX ? pace->interval * 2 : INTERVAL_MAX;
    } else {
        pace->interval = INTERVAL_MIN;
    }
    pace->alone = alone;
    pace->settled_ns = alone ? pace->alone_ns : pace->together_ns;
    pace->until_trial = pace->interval;
}

void wr_pace_note(wr_pace *pace, bool alone, uint64_t ns) {
    if (pace->fixed) {
        return;
    }
    const bool trial = alone != pace->alone;
    double *mean = alone ? &pace->alone_ns : &pace->together_ns;
    /* A trial is judged by itself: what it took long ago says nothing. */
    *mean = *mean == 0 || trial ? (double)ns : *mean + smoothing * ((double)ns - *mean);
    if (trial) {
        settle(pace);
    } else if (pace->settled_ns > 0 && *mean > much_slower * pace->settled_ns) {
        pace->until_trial = 0;
        pace->settled_ns = *mean;
        pace->interval = INTERVAL_MIN;
    } else if (pace->until_trial > 0) {
        pace->until_trial--;
    }
}

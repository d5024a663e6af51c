#include "rl/loop/pace.h"

#include <gtest/gtest.h>

namespace {

// Runs `updates` updates whose times are given, and counts those that one thread did.
int Alone(wr_pace *pace, int updates, uint64_t together_ns, uint64_t alone_ns) {
    int count = 0;
    for (int i = 0; i < updates; i++) {
        bool alone = wr_pace_choose(pace);
        count += alone;
        wr_pace_note(pace, alone, alone ? alone_ns : together_ns);
    }
    return count;
}

TEST(Pace, KeepsToTheThreadsWhileTheyAreFaster) {
    wr_pace pace;
    wr_pace_init(&pace, 2);
    EXPECT_LE(Alone(&pace, 1000, 60, 100), 8);
}

TEST(Pace, KeepsToOneThreadWhileThatIsFaster) {
    wr_pace pace;
    wr_pace_init(&pace, 2);
    EXPECT_GE(Alone(&pace, 1000, 5000, 100), 980);
}

TEST(Pace, FollowsTheMachineBothWays) {
    wr_pace pace;
    wr_pace_init(&pace, 2);
    Alone(&pace, 500, 60, 100);
    EXPECT_GE(Alone(&pace, 100, 5000, 100), 90); /* noticed within a few updates */
    Alone(&pace, 600, 60, 100);
    EXPECT_LE(Alone(&pace, 500, 60, 100), 40); /* and back, at the next trials */
}

TEST(Pace, OneThreadHasNothingToChoose) {
    wr_pace pace;
    wr_pace_init(&pace, 1);
    EXPECT_EQ(100, Alone(&pace, 100, 1, 100));
}

} // namespace

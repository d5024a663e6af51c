#include <csignal>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "store/copy.h"

namespace {

TEST(Copy, EverySizeAndAlignmentArrivesAndNothingBesides) {
    const uint64_t big = WR_COPY_STREAM_MIN;
    for (uint64_t bytes :
         {(uint64_t)0, (uint64_t)1, (uint64_t)63, (uint64_t)64, (uint64_t)1000, big - 1, big, big + 1,
          big + 63, (uint64_t)2 * WR_COPY_SHARE_MIN + 12345, (uint64_t)5 * WR_COPY_SHARE_MIN + 1}) {
        std::vector<uint8_t> from(bytes + 64), to(bytes + 128, 0xee);
        for (uint64_t i = 0; i < from.size(); i++) {
            from[i] = (uint8_t)(i * 131 + (i >> 13));
        }
        for (uint64_t odd : {0u, 1u, 17u, 63u}) {
            wr_store_copy(to.data() + odd, from.data() + odd / 2, bytes);
            EXPECT_EQ(0, memcmp(to.data() + odd, from.data() + odd / 2, bytes)) << bytes << " " << odd;
            EXPECT_EQ(0xee, to[odd + bytes]);
            memset(to.data(), 0xee, to.size());
        }
    }
}

TEST(Copy, SignalsStayTheCallersAndItsMaskIsKept) {
    sigset_t mask, after;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    std::vector<uint8_t> from(3u * WR_COPY_SHARE_MIN, 5), to(from.size());
    wr_store_copy(to.data(), from.data(), from.size());
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    EXPECT_EQ(1, sigismember(&after, SIGUSR1));
    EXPECT_EQ(0, sigismember(&after, SIGTERM));
    EXPECT_EQ(from, to);
    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}

} // namespace

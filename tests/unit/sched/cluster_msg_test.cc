#include "sched/cluster_msg.h"

#include <gtest/gtest.h>

#include <string>

namespace {

TEST(ClusterMsgTest, ACopyOwnsAllThatTheOriginalBorrowed) {
    std::string text = "a long enough text", cls = "class";
    std::vector<wr_task_arg> args(2);
    memset(args.data(), 0, args.size() * sizeof args[0]);
    args[1].value = wr_span_of(text.data(), 18);
    wr_cluster_msg msg = {};
    msg.type = WR_MSG_TASK;
    msg.u.task.attempt = 3;
    msg.u.task.cls = wr_span_of(cls.data(), 5);
    msg.u.task.args = args.data();
    msg.u.task.arg_count = 2;
    wr_cluster_msg *copy = nullptr;
    ASSERT_EQ(WR_OK, wr_cluster_msg_dup(&msg, &copy, nullptr));
    EXPECT_TRUE(wr_cluster_msg_equal(&msg, copy));
    wr_cluster_msg by_value = *copy; // a whole message may be copied flat
    EXPECT_EQ(3u, by_value.u.task.attempt);
    text.assign(18, 'x');
    args[1].is_ref = true;
    EXPECT_FALSE(wr_cluster_msg_equal(&msg, copy));
    EXPECT_EQ("a long enough text",
              std::string(static_cast<const char *>(copy->u.task.args[1].value.data), 18));
    EXPECT_FALSE(copy->u.task.args[1].is_ref);
    wr_cluster_msg_free(copy);
}

TEST(ClusterMsgTest, EveryTypeHasATableAndAName) {
    for (uint32_t type = 1; type < WR_MSG_TYPES; type++) {
        wr_cluster_msg msg = {}, *copy = nullptr;
        msg.type = type;
        ASSERT_EQ(WR_OK, wr_cluster_msg_dup(&msg, &copy, nullptr)) << type;
        EXPECT_TRUE(wr_cluster_msg_equal(&msg, copy));
        wr_cluster_msg_free(copy);
        EXPECT_STRNE("?", wr_cluster_msg_name(type));
    }
    wr_cluster_msg msg = {}, *copy = nullptr;
    for (uint32_t type : {0u, static_cast<uint32_t>(WR_MSG_TYPES), 4000000000u}) {
        msg.type = type;
        EXPECT_EQ(WR_E_INVALID, wr_cluster_msg_dup(&msg, &copy, nullptr));
        EXPECT_STREQ("?", wr_cluster_msg_name(type));
    }
}

TEST(ClusterMsgTest, AnOutboxWithoutMemorySaysSo) {
    wr_outbox box = {};
    wr_cluster_msg msg = {};
    msg.type = WR_MSG_HB;
    for (uint64_t n = 1; n <= 2; n++) {
        wr_alloc_fail_nth(n);
        wr_outbox_push(&box, 1, &msg);
        wr_alloc_fail_nth(0);
        EXPECT_TRUE(box.failed);
        EXPECT_EQ(0u, box.count);
        wr_outbox_clear(&box);
        wr_outbox_done(&box);
    }
    wr_outbox_push_after(&box, 7, 9, &msg);
    ASSERT_EQ(1u, box.count);
    EXPECT_EQ(7u, box.items[0].dest);
    EXPECT_EQ(9u, box.items[0].after);
    wr_outbox_done(&box);
}

} // namespace

#include "sched/policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

class PolicyTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(WR_OK, wr_res_names_init(&names_, nullptr));
        memset(cls_.get(), 0, sizeof *cls_);
        cls_->resources = Of("CPU=1");
    }
    void TearDown() override {
        wr_res_names_done(&names_);
    }
    wr_res Of(const char *text) {
        wr_res res = {};
        EXPECT_EQ(WR_OK, wr_res_parse(&names_, wr_span_text(text), &res, nullptr));
        return res;
    }
    void Node(const char *total, const char *available, const char *labels = nullptr) {
        wr_node_view view = {};
        view.node = static_cast<uint32_t>(nodes_.size()) + 1;
        view.total = Of(total);
        view.available = Of(available);
        view.labels = labels;
        nodes_.push_back(view);
    }
    // The incarnation, or 0.
    uint32_t Pick(wr_pick_opts opts = {}) {
        opts.nodes = nodes_.data();
        opts.count = static_cast<uint32_t>(nodes_.size());
        uint32_t at = 0;
        status_ = wr_policy_pick(cls_.get(), &opts, &at, &why_);
        return status_ == WR_OK ? nodes_[at].node : 0;
    }
    wr_pick_opts Local(uint32_t node) {
        wr_pick_opts o = {};
        o.local = node;
        return o;
    }
    std::string Why() {
        char text[256];
        return wr_infeasible_format(&why_, &names_, text, sizeof text);
    }
    wr_status Place(std::vector<const char *> bundles, wr_pg_strategy strategy) {
        std::vector<wr_res> res;
        for (auto *b : bundles) {
            res.push_back(Of(b));
        }
        placed_.assign(bundles.size(), 999);
        return wr_policy_place_bundles(nodes_.data(), static_cast<uint32_t>(nodes_.size()), res.data(),
                                       static_cast<uint32_t>(res.size()), strategy, placed_.data(), &why_);
    }
    wr_res_names names_;
    std::unique_ptr<wr_class> cls_ = std::make_unique<wr_class>();
    std::vector<wr_node_view> nodes_;
    std::vector<uint32_t> placed_;
    wr_infeasible why_ = {};
    wr_status status_ = WR_OK;
};

TEST_F(PolicyTest, TheLocalNodeComesFirstWhileItIsLessThanHalfUsed) {
    Node("CPU=4", "CPU=4");
    Node("CPU=4", "CPU=3");
    EXPECT_EQ(2u, Pick(Local(2)));
    nodes_[1].available = Of("CPU=2");
    EXPECT_EQ(1u, Pick(Local(2)));
}

TEST_F(PolicyTest, BelowHalfTheFullestIsChosenAboveItTheLeastUsed) {
    Node("CPU=10", "CPU=9");
    Node("CPU=10", "CPU=6");
    EXPECT_EQ(2u, Pick());
    nodes_[0].available = Of("CPU=2");
    nodes_[1].available = Of("CPU=4");
    EXPECT_EQ(2u, Pick());
}

TEST_F(PolicyTest, FullNodesAreAskedAgainLaterUnlessBusyOnesWillDo) {
    Node("CPU=2", "CPU=0");
    Node("CPU=4", "CPU=0.5");
    Pick();
    EXPECT_EQ(WR_E_AGAIN, status_);
    wr_pick_opts o = {};
    o.also_busy = true;
    EXPECT_EQ(2u, Pick(o));
}

TEST_F(PolicyTest, WhatNoNodeCanHoldIsExplainedByTheNearest) {
    Node("CPU=2", "CPU=2");
    Node("CPU=8", "CPU=8");
    cls_->resources = Of("CPU=16");
    Pick();
    EXPECT_EQ(WR_E_UNSCHEDULABLE, status_);
    EXPECT_EQ(2u, why_.nearest);
    EXPECT_EQ("needs CPU=16, the nearest node has 8", Why());
    nodes_.clear();
    Pick();
    EXPECT_EQ("there is no node", Why());
}

TEST_F(PolicyTest, WhatIsOnlyForPlacingMustBeThereInTotalButNotFree) {
    cls_->resources = Of("");
    cls_->place = Of("CPU=1");
    Node("GPU=1", "GPU=1");
    Node("CPU=1", "CPU=0");
    EXPECT_EQ(2u, Pick());
}

TEST_F(PolicyTest, WorkWithoutGpusKeepsOffGpuNodes) {
    Node("CPU=8,GPU=4", "CPU=8,GPU=4");
    Node("CPU=8", "CPU=1");
    EXPECT_EQ(2u, Pick());
    cls_->resources = Of("CPU=1,GPU=1");
    EXPECT_EQ(1u, Pick());
}

TEST_F(PolicyTest, SpreadGoesRoundAndSkipsTheFull) {
    for (int i = 0; i < 4; i++) {
        Node("CPU=4", i == 2 ? "CPU=0" : "CPU=4");
    }
    cls_->strategy.kind = WR_STRATEGY_SPREAD;
    uint32_t cursor = 0;
    wr_pick_opts o = {};
    o.cursor = &cursor;
    std::vector<uint32_t> order;
    for (int i = 0; i < 6; i++) {
        order.push_back(Pick(o));
    }
    EXPECT_EQ((std::vector<uint32_t>{1, 2, 4, 1, 2, 4}), order);
}

TEST_F(PolicyTest, HardAffinityIsThatNodeOrNone) {
    Node("CPU=4", "CPU=4");
    Node("CPU=4", "CPU=0");
    cls_->strategy.kind = WR_STRATEGY_NODE_AFFINITY;
    cls_->strategy.node = 2;
    EXPECT_EQ(2u, Pick()); // also when it is busy
    cls_->strategy.node = 77;
    Pick();
    EXPECT_EQ(WR_E_UNSCHEDULABLE, status_);
    EXPECT_TRUE(why_.gone);
    cls_->strategy.soft = true;
    EXPECT_EQ(1u, Pick());
    cls_->strategy.node = 2;
    EXPECT_EQ(1u, Pick());
    cls_->strategy.soft = false;
    cls_->resources = Of("CPU=9");
    Pick();
    EXPECT_EQ(WR_E_UNSCHEDULABLE, status_);
    EXPECT_EQ("needs CPU=9, the nearest node has 4", Why());
}

TEST_F(PolicyTest, LocalityWinsWhileThereIsRoom) {
    Node("CPU=4", "CPU=4");
    Node("CPU=4", "CPU=1");
    wr_pick_opts o = Local(1);
    o.prefer = 2;
    EXPECT_EQ(2u, Pick(o));
    nodes_[1].available = Of("CPU=0");
    EXPECT_EQ(1u, Pick(o));
}

TEST_F(PolicyTest, DrainingAndSkippedNodesAreNotChosen) {
    Node("CPU=4", "CPU=4");
    Node("CPU=4", "CPU=4");
    nodes_[0].draining = true;
    EXPECT_EQ(2u, Pick(Local(1)));
    wr_pick_opts o = Local(2);
    o.skip = 2;
    Pick(o);
    EXPECT_EQ(WR_E_AGAIN, status_);
}

TEST_F(PolicyTest, LabelsSelectNodes) {
    Node("CPU=4", "CPU=4", "zone=a,gpu=h100");
    Node("CPU=4", "CPU=4", "zone=b");
    auto select = [&](const char *text) {
        cls_->labels_bytes = static_cast<uint32_t>(strlen(text));
        memcpy(cls_->labels, text, strlen(text));
        return Pick();
    };
    EXPECT_EQ(2u, select("zone=b"));
    EXPECT_EQ(1u, select("zone=in(c|a)"));
    EXPECT_EQ(2u, select("gpu=!h100"));
    EXPECT_EQ(1u, select("zone=!in(b|c),gpu=h100"));
    EXPECT_EQ(0u, select("zone=c"));
    EXPECT_EQ("no node with enough resources has the labels asked for", Why());
}

TEST(LabelsTest, MalformedSelectorsMatchNothingAndAreNamed) {
    for (const char *text : {"a", "=b", "a=", "a=!", "a=b,", ",a=b", "a=in()"}) {
        wr_error err = {};
        bool last_comma = strcmp(text, "a=b,") == 0; // an empty last term does not exist
        EXPECT_EQ(last_comma ? WR_OK : WR_E_INVALID, wr_labels_check(wr_span_text(text), &err)) << text;
        EXPECT_EQ(last_comma, wr_labels_match("a=b", wr_span_text(text))) << text;
    }
    std::mt19937 random(1);
    const char alphabet[] = "ab=!in(|),";
    for (int i = 0; i < 100000; i++) {
        std::string s, l;
        for (uint32_t n = random() % 16; n > 0; n--) {
            s += alphabet[random() % (sizeof alphabet - 1)];
        }
        for (uint32_t n = random() % 16; n > 0; n--) {
            l += alphabet[random() % (sizeof alphabet - 1)];
        }
        (void)wr_labels_match(l.c_str(), wr_span_of(s.data(), static_cast<uint32_t>(s.size())));
    }
}

TEST_F(PolicyTest, StrictPackNeedsOneNode) {
    Node("CPU=4", "CPU=3");
    Node("CPU=4", "CPU=4");
    EXPECT_EQ(WR_OK, Place({"CPU=2", "CPU=2"}, WR_PG_STRICT_PACK));
    EXPECT_EQ((std::vector<uint32_t>{1, 1}), placed_);
    EXPECT_EQ(WR_E_UNSCHEDULABLE, Place({"CPU=3", "CPU=3"}, WR_PG_STRICT_PACK));
    EXPECT_EQ("needs CPU=6, the nearest node has 4", Why());
    EXPECT_EQ((std::vector<uint32_t>{999, 999}), placed_); // all or none
    nodes_[1].available = Of("CPU=1");
    EXPECT_EQ(WR_E_AGAIN, Place({"CPU=2", "CPU=2"}, WR_PG_STRICT_PACK));
}

TEST_F(PolicyTest, StrictSpreadFindsAWayWheneverThereIsOne) {
    Node("CPU=4", "CPU=4");
    Node("CPU=2", "CPU=2");
    Node("CPU=1,x=1", "CPU=1,x=1");
    EXPECT_EQ(WR_OK, Place({"CPU=1", "CPU=2", "CPU=3"}, WR_PG_STRICT_SPREAD));
    EXPECT_EQ((std::vector<uint32_t>{2, 1, 0}), placed_);
    EXPECT_EQ(WR_E_UNSCHEDULABLE, Place({"CPU=1", "CPU=1", "CPU=1", "CPU=1"}, WR_PG_STRICT_SPREAD));
    // Against an exhaustive search on small random cases.
    std::mt19937 random(2);
    for (int i = 0; i < 2000; i++) {
        nodes_.clear();
        std::vector<int> have, want;
        for (uint32_t n = 1 + random() % 4; n > 0; n--) {
            have.push_back(static_cast<int>(random() % 4));
        }
        for (uint32_t n = 1 + random() % 4; n > 0; n--) {
            want.push_back(1 + static_cast<int>(random() % 3));
        }
        for (int h : have) {
            Node(("CPU=" + std::to_string(h)).c_str(), ("CPU=" + std::to_string(h)).c_str());
        }
        std::vector<std::string> texts;
        std::vector<const char *> bundles;
        for (int w : want) {
            texts.push_back("CPU=" + std::to_string(w));
        }
        for (auto &t : texts) {
            bundles.push_back(t.c_str());
        }
        bool possible = false;
        if (want.size() <= have.size()) {
            std::vector<int> order(have);
            std::sort(order.begin(), order.end());
            do {
                bool all = true;
                for (size_t k = 0; k < want.size(); k++) {
                    all &= order[k] >= want[k];
                }
                possible |= all;
            } while (std::next_permutation(order.begin(), order.end()));
        }
        ASSERT_EQ(possible, Place(bundles, WR_PG_STRICT_SPREAD) == WR_OK);
    }
}

TEST_F(PolicyTest, PackUsesFewNodesAndSpreadUsesMany) {
    for (int i = 0; i < 3; i++) {
        Node("CPU=2", "CPU=2");
    }
    EXPECT_EQ(WR_OK, Place({"CPU=1", "CPU=1", "CPU=1"}, WR_PG_PACK));
    std::map<uint32_t, int> used;
    for (uint32_t p : placed_) {
        used[p]++;
    }
    EXPECT_EQ(2u, used.size());
    EXPECT_EQ(WR_OK, Place({"CPU=1", "CPU=1", "CPU=1", "CPU=1"}, WR_PG_SPREAD));
    used.clear();
    for (uint32_t p : placed_) {
        used[p]++;
    }
    EXPECT_EQ(3u, used.size());
}

TEST_F(PolicyTest, BundleCountsOutOfRangeAreRefused) {
    Node("CPU=2", "CPU=2");
    EXPECT_EQ(WR_E_LIMIT, Place({}, WR_PG_PACK));
    std::vector<const char *> many(WR_PG_BUNDLES_MAX + 1, "CPU=0.0001");
    EXPECT_EQ(WR_E_LIMIT, Place(many, WR_PG_PACK));
}

class FairTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(WR_OK, wr_fair_new(&fair_, nullptr));
    }
    void TearDown() override {
        wr_fair_free(fair_);
    }
    void Wait(uint32_t job, uint64_t key, bool waiting = true) {
        ASSERT_EQ(WR_OK, wr_fair_wait(fair_, job, key, waiting, nullptr));
    }
    wr_fair_entry First() {
        wr_fair_entry order[16];
        EXPECT_GE(wr_fair_order(fair_, order, 16), 1u);
        return order[0];
    }
    wr_fair *fair_ = nullptr;
};

TEST_F(FairTest, JobsShareEquallyHoweverManyClassesTheyHave) {
    for (uint64_t k = 0; k < 9; k++) {
        Wait(1, k);
    }
    Wait(2, 100);
    std::map<uint32_t, int> served;
    for (int i = 0; i < 1000; i++) {
        wr_fair_entry e = First();
        served[e.job]++;
        wr_fair_served(fair_, e.job, e.key, 1);
    }
    EXPECT_EQ(500, served[1]);
    EXPECT_EQ(500, served[2]);
}

TEST_F(FairTest, ClassesOfAJobShareByCostNotByCount) {
    Wait(1, 1);
    Wait(1, 2);
    std::map<uint64_t, int> cost;
    for (int i = 0; i < 900; i++) {
        wr_fair_entry e = First();
        int each = e.key == 1 ? 1 : 3;
        cost[e.key] += each;
        wr_fair_served(fair_, e.job, e.key, static_cast<uint64_t>(each));
    }
    EXPECT_NEAR(cost[1], cost[2], 3);
}

TEST_F(FairTest, ANewcomerNeitherWaitsForTheOldNorTakesAllUntilItHasCaughtUp) {
    Wait(1, 1);
    for (int i = 0; i < 1000; i++) {
        wr_fair_served(fair_, 1, 1, 1);
    }
    Wait(2, 2);
    int newcomer = 0;
    for (int i = 0; i < 100; i++) {
        wr_fair_entry e = First();
        newcomer += e.job == 2;
        wr_fair_served(fair_, e.job, e.key, 1);
    }
    EXPECT_NEAR(50, newcomer, 1);
}

TEST_F(FairTest, WhoIsPassedOverTooOftenIsFirstAndReserves) {
    Wait(1, 1); // wants the whole machine, never fits
    Wait(2, 2);
    for (int i = 0; i < WR_FAIR_PASSED_MAX; i++) {
        EXPECT_FALSE(First().reserve);
        wr_fair_passed(fair_, 1, 1);
        wr_fair_served(fair_, 2, 2, 1);
    }
    EXPECT_EQ(1u, First().key);
    EXPECT_TRUE(First().reserve);
    wr_fair_served(fair_, 1, 1, 1);
    wr_fair_entry order[4];
    ASSERT_EQ(2u, wr_fair_order(fair_, order, 4));
    EXPECT_FALSE(order[0].reserve || order[1].reserve);
}

TEST_F(FairTest, JobsTakeTurnsInTheOrder) {
    for (uint64_t k = 0; k < 3; k++) {
        Wait(1, k);
    }
    for (uint64_t k = 10; k < 12; k++) {
        Wait(2, k);
    }
    wr_fair_entry order[8];
    ASSERT_EQ(5u, wr_fair_order(fair_, order, 8));
    std::vector<uint32_t> jobs;
    for (int i = 0; i < 5; i++) {
        jobs.push_back(order[i].job);
    }
    EXPECT_EQ((std::vector<uint32_t>{1, 2, 1, 2, 1}), jobs);
    EXPECT_EQ(2u, wr_fair_order(fair_, order, 2));
    Wait(1, 0, false);
    wr_fair_forget_job(fair_, 2);
    EXPECT_EQ(2u, wr_fair_order(fair_, order, 8));
}

} // namespace

#include "rl/nn/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace {

std::vector<std::string> Available() {
    std::vector<std::string> names;
    for (uint32_t i = 0; wr_rl_kernels_available(i) != nullptr; i++) {
        names.push_back(wr_rl_kernels_available(i));
    }
    return names;
}

class Kernels : public testing::TestWithParam<std::string> {
  protected:
    void SetUp() override {
        ASSERT_EQ(WR_OK, wr_kernels_find(GetParam().c_str(), &k_, nullptr));
    }
    const wr_kernels *k_ = nullptr;
};

// The vectors that the authors of Philox publish with their code (kat_vectors, philox4x32 with 10 rounds).
TEST_P(Kernels, PhiloxGivesThePublishedAnswers) {
    struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t answer[4];
    } known[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         0xffffffffffffffff,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         0x299f31d0a4093822,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (const auto &v : known) {
        uint32_t words[64];
        k_->words(v.key, v.counter[3], v.counter[1], v.counter[2], v.counter[0], 64, words);
        for (int i = 0; i < 4; i++) {
            EXPECT_EQ(v.answer[i], words[i]);
        }
    }
}

TEST_P(Kernels, RandomNumbersOfAColumnDoNotDependOnItsBatch) {
    std::vector<float> all(8 * 48), part(8 * 48);
    k_->uniform(7, 1, 5, 0, 48, 2, 48, all.data());
    k_->uniform(7, 1, 5, 16, 16, 2, 48, part.data());
    for (int row = 0; row < 8; row++) {
        for (int i = 0; i < 16; i++) {
            EXPECT_EQ(all[row * 48 + 16 + i], part[row * 48 + i]);
            EXPECT_GE(all[row * 48 + i], 0.0f);
            EXPECT_LT(all[row * 48 + i], 1.0f);
        }
    }
}

TEST_P(Kernels, AdamFollowsItsEquations) {
    // Double arithmetic of Kingma and Ba's algorithm 1; the bound is a few float roundings of numbers near 1.
    const size_t n = 48;
    std::mt19937 rng(1);
    std::normal_distribution<float> normal;
    std::vector<float> params(n), m(n), v(n), g0(n), g1(n);
    std::vector<double> p64(n), m64(n), v64(n);
    for (size_t i = 0; i < n; i++) {
        p64[i] = params[i] = normal(rng);
    }
    for (int step = 1; step <= 20; step++) {
        for (size_t i = 0; i < n; i++) {
            g0[i] = normal(rng);
            g1[i] = normal(rng);
            double g = 0.5 * (double(g0[i]) + double(g1[i]));
            m64[i] = 0.9 * m64[i] + 0.1 * g;
            v64[i] = 0.999 * v64[i] + 0.001 * g * g;
            double m_hat = m64[i] / (1 - std::pow(0.9, step)), v_hat = v64[i] / (1 - std::pow(0.999, step));
            p64[i] -= 0.01 * m_hat / (std::sqrt(v_hat) + 1e-5);
        }
        double correct2 = std::sqrt(1 - std::pow(0.999, step));
        wr_adam adam = {0.9f, 0.999f, float(0.01 * correct2 / (1 - std::pow(0.9, step))),
                        float(1e-5 * correct2), 0.5f};
        float *grads[] = {g0.data(), g1.data()};
        k_->adam(&adam, grads, 2, 0, 16, params.data(), m.data(), v.data());
        k_->adam(&adam, grads, 2, 16, n, params.data(), m.data(), v.data());
    }
    for (size_t i = 0; i < n; i++) {
        EXPECT_NEAR(p64[i], params[i], 3e-6);
    }
}

TEST_P(Kernels, AdvantagesFollowTheirRecursion) {
    // Three steps of two environments, by hand: gamma 0.5, lambda 0.5, unit 2; the second one ends at step 1.
    const uint32_t stride = 16;
    std::vector<float> value(4 * stride), reward(3 * stride), ended(3 * stride), record(3 * 2 * 16);
    const float v0[] = {1, 2, 3, 4}, v1[] = {0.5f, 1, -1, 7};
    for (int t = 0; t < 4; t++) {
        value[t * stride] = v0[t];
        value[t * stride + 1] = v1[t];
    }
    const float r0[] = {1, -1, 2}, r1[] = {3, 5, 1};
    for (int t = 0; t < 3; t++) {
        reward[t * stride] = r0[t];
        reward[t * stride + 1] = r1[t];
    }
    ended[1 * stride + 1] = 1;
    std::vector<float> sum(2), square(2);
    wr_gae gae = {};
    gae.count = 2;
    gae.stride = stride;
    gae.steps = 3;
    gae.gamma = 0.5f;
    gae.lambda = 0.5f;
    gae.value_unit = 2;
    gae.value = value.data();
    gae.reward = reward.data();
    gae.ended = ended.data();
    gae.record = record.data() + WR_RECORD_ADVANTAGE;
    gae.record_floats = 16;
    gae.step_floats = 32;
    gae.sum = sum.data();
    gae.sum_square = square.data();
    k_->gae(&gae);
    // Environment 0: d2 = 2 + 4 - 6 = 0; d1 = -1 + 3 - 4 = -2; d0 = 1 + 2 - 2 = 1; A = {1 - 0.5, -2, 0}.
    // Environment 1: d2 = 1 + 7 + 2 = 10; d1 = 5 - 2 = 3 (ended); d0 = 3 + 1 - 1 = 3; A = {3 + 0.75, 3, 10}.
    const float a0[] = {0.5f, -2, 0}, a1[] = {3.75f, 3, 10};
    for (int t = 0; t < 3; t++) {
        EXPECT_FLOAT_EQ(a0[t], record[t * 32 + WR_RECORD_ADVANTAGE]);
        EXPECT_FLOAT_EQ(a1[t], record[t * 32 + 16 + WR_RECORD_ADVANTAGE]);
        EXPECT_FLOAT_EQ((a0[t] + 2 * v0[t]) / 2, record[t * 32 + WR_RECORD_TARGET]);
        EXPECT_FLOAT_EQ((a1[t] + 2 * v1[t]) / 2, record[t * 32 + 16 + WR_RECORD_TARGET]);
    }
    EXPECT_FLOAT_EQ(-1.5f, sum[0]);
    EXPECT_FLOAT_EQ(16.75f, sum[1]);
    EXPECT_FLOAT_EQ(4.25f, square[0]);
}

TEST_P(Kernels, ActionsAreDrawnWithTheirProbabilities) {
    // 48 columns with the same logits; u walks over [0, 1): the counts are the probabilities to 1/48.
    std::vector<float> out(4 * WR_TILE), u(WR_TILE), action(WR_TILE), logp(3 * WR_TILE);
    const double logits[] = {0.0, 1.0, -0.5};
    double total = 0;
    for (int o = 0; o < 3; o++) {
        total += std::exp(logits[o]);
        for (int i = 0; i < WR_TILE; i++) {
            out[o * WR_TILE + i] = float(logits[o]);
        }
    }
    for (int i = 0; i < WR_TILE; i++) {
        u[i] = (i + 0.5f) / WR_TILE;
    }
    k_->act(3, out.data(), u.data(), WR_TILE, action.data(), logp.data());
    int counts[3] = {};
    for (int i = 0; i < WR_TILE; i++) {
        counts[int(action[i])]++;
        EXPECT_NEAR(1.0 - std::log(total), logp[WR_TILE + i], 1e-6);
    }
    for (int o = 0; o < 3; o++) {
        EXPECT_NEAR(std::exp(logits[o]) / total * WR_TILE, counts[o], 1.0);
    }
    k_->act(3, out.data(), nullptr, WR_TILE, action.data(), logp.data());
    EXPECT_EQ(1.0f, action[17]);
}

TEST_P(Kernels, ANetworkWithPaddedAndOddWidthsMatchesDoubleArithmetic) {
    // One layer of 20 with tanh: the bound is the tanh's stated error of 3e-7 times the head's weights, and
    // roundings.
    const uint32_t hidden[] = {20};
    wr_net net;
    wr_net_init(&net, 5, 3, hidden, 1, WR_RL_TANH, true);
    std::vector<float> params(net.param_count);
    wr_net_first_weights(&net, 3, params.data());
    wr_scratch s;
    ASSERT_EQ(WR_OK, wr_scratch_init(&s, &net, nullptr));
    std::vector<float> obs(5 * WR_TILE);
    for (size_t i = 0; i < obs.size(); i++) {
        obs[i] = std::sin(float(i));
    }
    for (uint32_t count : {1u, 7u, 16u, 33u, 48u}) {
        k_->forward(&net, params.data(), &s, obs.data(), WR_TILE, count);
        for (uint32_t i = 0; i < count; i++) {
            for (uint32_t o = 0; o < 4; o++) {
                double y = 0;
                for (int j = 0; j < 20; j++) {
                    double h = 0;
                    for (int d = 0; d < 5; d++) {
                        h += double(obs[d * WR_TILE + i]) *
                             double(params[net.tower[0].weights[0] + d * 32 + j]);
                    }
                    y += std::tanh(h) * double(params[net.tower[0].head + o * 32 + j]);
                }
                EXPECT_NEAR(y, s.out[o * WR_TILE + i], 3e-6);
            }
        }
    }
    wr_scratch_done(&s);
}

INSTANTIATE_TEST_SUITE_P(All, Kernels, testing::ValuesIn(Available()),
                         [](const auto &shape) { return shape.param; });

TEST(KernelChoice, AnUnknownSetIsRefusedAndTheNearestNamed) {
    const wr_kernels *k = nullptr;
    wr_error err = {};
    EXPECT_EQ(WR_E_NOT_FOUND, wr_kernels_find("avx22", &k, &err));
    EXPECT_NE(nullptr, strstr(err.text, "avx2"));
    EXPECT_EQ(nullptr, k);
}

TEST(KernelChoice, EverySetOfTheBuildGivesTheSameRandomNumbers) {
    std::vector<uint32_t> first(64), other(64);
    wr_kernels_best()->words(11, 3, 2, 1, 0, 64, first.data());
    for (const std::string &name : Available()) {
        const wr_kernels *k = nullptr;
        ASSERT_EQ(WR_OK, wr_kernels_find(name.c_str(), &k, nullptr));
        k->words(11, 3, 2, 1, 0, 64, other.data());
        EXPECT_EQ(first, other) << name;
    }
}

} // namespace

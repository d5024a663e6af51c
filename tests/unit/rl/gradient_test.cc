// The gradient of PPO's loss against central differences of a loss written independently in double.
//
// Bound: |numeric - analytic| <= 1e-4 |numeric| + 4e-6. The analytic gradient is a float sum over 115 samples
// of terms below 1 (a few times 2^-24 each); the difference quotient with h = 1e-5 in double is exact to
// 1e-9.
#include "rl/nn/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

struct Shape {
    const char *name;
    uint32_t obs, actions;
    std::vector<uint32_t> hidden;
    wr_rl_activation activation;
    bool shared;
    float value_clip;
};

struct Problem {
    wr_net net;
    wr_ppo_loss loss;
    std::vector<float> params, records;
    uint32_t count;
};

double Activate(wr_rl_activation kind, double x) {
    return kind == WR_RL_TANH ? std::tanh(x) : kind == WR_RL_RELU ? std::fmax(x, 0.0) : x;
}

std::vector<double> Outputs(const wr_net &net, const std::vector<double> &p, const float *obs) {
    std::vector<double> y(net.action_count + 1);
    for (uint32_t z = 0; z < net.towers; z++) {
        const wr_net_tower &t = net.tower[z];
        std::vector<double> x(obs, obs + net.obs_count);
        for (uint32_t l = 0; l < t.layers; l++) {
            std::vector<double> h(t.out[l]);
            for (uint32_t j = 0; j < t.out[l]; j++) {
                double s = p[t.bias[l] + j];
                for (uint32_t i = 0; i < t.in[l]; i++) {
                    s += x[i] * p[t.weights[l] + size_t(i) * t.out_pad[l] + j];
                }
                h[j] = Activate(net.activation, s);
            }
            x = h;
        }
        for (uint32_t o = 0; o < t.outputs; o++) {
            double s = p[t.head_bias + o];
            for (uint32_t j = 0; j < t.head_in; j++) {
                s += x[j] * p[t.head + size_t(o) * t.head_in_pad + j];
            }
            y[t.first_output + o] = s;
        }
    }
    return y;
}

double Loss(const Problem &q, const std::vector<double> &p) {
    const uint32_t actions = q.net.action_count;
    double total = 0;
    for (uint32_t n = 0; n < q.count; n++) {
        const float *record = &q.records[size_t(n) * q.net.record_floats];
        const float *extra = record + q.net.obs_count;
        std::vector<double> y = Outputs(q.net, p, record);
        double z = 0, entropy = 0, kl = 0;
        for (uint32_t o = 0; o < actions; o++) {
            z += std::exp(y[o]);
        }
        for (uint32_t o = 0; o < actions; o++) {
            double l = y[o] - std::log(z), old = extra[WR_RECORD_LOGP + o];
            entropy -= std::exp(l) * l;
            kl += std::exp(old) * (old - l);
        }
        const uint32_t a = uint32_t(extra[WR_RECORD_ACTION]);
        double ratio = std::exp(y[a] - std::log(z) - double(extra[WR_RECORD_LOGP + a]));
        double advantage = (double(extra[WR_RECORD_ADVANTAGE]) - double(q.loss.advantage_mean)) *
                           double(q.loss.advantage_scale);
        double cut = std::fmin(std::fmax(ratio, 1 - double(q.loss.clip)), 1 + double(q.loss.clip));
        double error = y[actions] - double(extra[WR_RECORD_TARGET]);
        total += -std::fmin(ratio * advantage, cut * advantage) +
                 double(q.loss.value_coeff) * std::fmin(error * error, double(q.loss.value_clip)) -
                 double(q.loss.entropy_coeff) * entropy + double(q.loss.kl_coeff) * kl;
    }
    return total / q.count;
}

Problem Make(const Shape &shape) {
    Problem q;
    wr_net_init(&q.net, shape.obs, shape.actions, shape.hidden.data(), uint32_t(shape.hidden.size()),
                shape.activation, shape.shared);
    q.loss = {0.2f, shape.value_clip, 0.5f, 0.02f, 0.1f, 0.3f, 0.7f};
    q.params.resize(q.net.param_count);
    wr_net_first_weights(&q.net, 7, q.params.data());
    q.count = 115;
    q.records.assign(size_t(q.count) * q.net.record_floats, 0.0f);
    std::mt19937 rng(5);
    std::normal_distribution<float> normal;
    for (uint32_t z = 0; z < q.net.towers; z++) { /* heads that matter: the policy's starts near zero */
        const wr_net_tower &t = q.net.tower[z];
        for (uint32_t o = 0; o < t.outputs; o++) {
            q.params[t.head_bias + o] = 0.1f * normal(rng);
            for (uint32_t j = 0; j < t.head_in; j++) {
                q.params[t.head + size_t(o) * t.head_in_pad + j] =
                    0.4f * normal(rng) / std::sqrt(float(t.head_in));
            }
        }
    }
    for (uint32_t n = 0; n < q.count; n++) {
        float *record = &q.records[size_t(n) * q.net.record_floats];
        float *extra = record + shape.obs;
        for (uint32_t i = 0; i < shape.obs; i++) {
            record[i] = normal(rng);
        }
        extra[WR_RECORD_ACTION] = float(rng() % shape.actions);
        extra[WR_RECORD_ADVANTAGE] = normal(rng);
        extra[WR_RECORD_TARGET] = normal(rng);
        double z = 0;
        std::vector<double> logits(shape.actions);
        for (double &l : logits) {
            l = 0.4 * double(normal(rng));
            z += std::exp(l);
        }
        for (uint32_t o = 0; o < shape.actions; o++) {
            extra[WR_RECORD_LOGP + o] = float(logits[o] - std::log(z));
        }
    }
    return q;
}

class Gradient : public testing::TestWithParam<Shape> {};

TEST_P(Gradient, MatchesCentralDifferencesWithEveryInstructionSet) {
    const Problem q = Make(GetParam());
    std::vector<double> p(q.params.begin(), q.params.end());
    std::vector<size_t> checked;
    for (size_t i = 0; i < p.size(); i++) {
        if (p.size() < 3000 || i % (p.size() / 100) == 0 || i + 50 > p.size()) {
            checked.push_back(i);
        }
    }
    std::vector<double> numeric;
    for (size_t i : checked) {
        const double h = 1e-5, old = p[i];
        p[i] = old + h;
        double above = Loss(q, p);
        p[i] = old - h;
        double below = Loss(q, p);
        p[i] = old;
        numeric.push_back((above - below) / (2 * h));
    }
    // Records in two blocks, as two runners would have them: 5 environments of 23 steps, split 2 and 3.
    std::vector<uint32_t> index;
    std::vector<wr_record_rows> rows;
    for (uint32_t env = 0; env < 5; env++) {
        rows.push_back({&q.records[size_t(env) * q.net.record_floats], size_t(5) * q.net.record_floats});
        for (uint32_t step = 0; step < 23; step++) {
            index.push_back(env << 5 | step);
        }
    }
    for (uint32_t set = 0; wr_rl_kernels_available(set) != nullptr; set++) {
        const wr_kernels *k = nullptr;
        ASSERT_EQ(WR_OK, wr_kernels_find(wr_rl_kernels_available(set), &k, nullptr));
        wr_scratch s;
        ASSERT_EQ(WR_OK, wr_scratch_init(&s, &q.net, nullptr));
        std::vector<float> grad(q.net.param_count);
        wr_ppo_sums sums = {};
        wr_samples samples = {rows.data(), 5, index.data(), q.count};
        k->transpose(&q.net, q.params.data(), &s);
        k->gradient(&q.net, q.params.data(), &s, &q.loss, &samples, 1.0f / float(q.count), grad.data(),
                    &sums);
        wr_scratch_done(&s);
        double worst = 0;
        int bad = 0;
        for (size_t n = 0; n < checked.size(); n++) {
            double error = std::fabs(numeric[n] - double(grad[checked[n]]));
            worst = std::fmax(worst, error);
            bad += error > 1e-4 * std::fabs(numeric[n]) + 4e-6;
        }
        EXPECT_EQ(0, bad) << k->name << ": worst " << worst << " of " << checked.size() << " weights";
        EXPECT_EQ(double(q.count), sums.samples);
        double loss = (sums.policy_loss + 0.5 * sums.value_loss -
                       double(q.loss.entropy_coeff) * sums.entropy + double(q.loss.kl_coeff) * sums.kl) /
                      q.count;
        EXPECT_NEAR(Loss(q, p), loss, 2e-6) << k->name;
    }
}

INSTANTIATE_TEST_SUITE_P(All, Gradient,
                         testing::Values(Shape{"Shared64x64Tanh", 4, 2, {64, 64}, WR_RL_TANH, true, 10},
                                         Shape{"Separate64x64Tanh", 4, 2, {64, 64}, WR_RL_TANH, false, 0.5f},
                                         Shape{"OddWidthsTanh", 4, 2, {48, 20, 7}, WR_RL_TANH, false, 0.5f},
                                         Shape{"Linear32", 4, 2, {32}, WR_RL_LINEAR, true, 0.5f},
                                         Shape{"WideRelu", 4, 2, {100, 33}, WR_RL_RELU, true, 10},
                                         Shape{"Shared256x256", 4, 2, {256, 256}, WR_RL_TANH, true, INFINITY},
                                         Shape{"NoHiddenLayersShared", 4, 2, {}, WR_RL_TANH, true, 1},
                                         Shape{"NoHiddenLayersSeparate", 19, 3, {}, WR_RL_RELU, false, 1},
                                         Shape{"ManyActions", 7, 9, {24, 16}, WR_RL_TANH, true, 2},
                                         Shape{"WideObservations", 70, 5, {40}, WR_RL_RELU, false, 2},
                                         Shape{"Deep", 3, 4, {16, 16, 16, 16, 16, 16}, WR_RL_TANH, true, 2}),
                         [](const auto &shape) { return std::string(shape.param.name); });

} // namespace

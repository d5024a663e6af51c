// Runners, learners and their batches: equal bits however the work is split, truncation, restoring, hostile
// input.
#include "whipray/rl.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/base.h"
#include "corridor.h"
#include "rl/loop/batch.h"

namespace {

using Floats = std::vector<float>;

wr_rl_config Config(const char *env = "CartPole-v1") {
    wr_rl_config c;
    wr_rl_config_default(&c);
    c.env = env;
    c.env_count = 40;
    c.fragment_steps = 24;
    c.layers = 2;
    c.hidden[0] = 32;
    c.hidden[1] = 20;
    c.epochs = 3;
    c.minibatch = 200;
    c.lr = 3e-3f;
    c.grad_clip = 0.5f;
    c.value_unit = 10;
    c.entropy_coeff = 0.01f;
    c.seed = 5;
    return c;
}

struct Runner {
    wr_rl_runner *r = nullptr;
    Floats buffer;
    Runner(const wr_rl_config &c, uint32_t first = 0, uint32_t count = 0, uint32_t threads = 1) {
        wr_rl_runner_opts opts = {first, count, threads, 0};
        EXPECT_EQ(WR_OK, wr_rl_runner_new(&c, &opts, &r, nullptr));
        buffer.resize(wr_rl_runner_batch_floats(r));
    }
    Runner(const Runner &) = delete;
    ~Runner() {
        wr_rl_runner_free(r);
    }
    Floats Sample(const Floats &weights) {
        size_t used = 0;
        EXPECT_EQ(WR_OK, wr_rl_runner_sample(r, weights.data(), weights.size(), buffer.data(), buffer.size(),
                                             &used, nullptr));
        return Floats(buffer.begin(), buffer.begin() + long(used));
    }
};

struct Learner {
    wr_rl_learner *l = nullptr;
    wr_rl_update_stats stats = {};
    explicit Learner(const wr_rl_config &c, uint32_t threads = 1) {
        EXPECT_EQ(WR_OK, wr_rl_learner_new(&c, threads, &l, nullptr));
    }
    Learner(const Learner &) = delete;
    ~Learner() {
        wr_rl_learner_free(l);
    }
    Floats Weights() const {
        size_t n;
        const float *w = wr_rl_learner_weights(l, &n);
        return Floats(w, w + n);
    }
    wr_status Update(const std::vector<Floats> &batches, wr_error *err = nullptr) {
        std::vector<wr_rl_batch> b;
        for (const Floats &f : batches) {
            b.push_back({f.data(), f.size()});
        }
        return wr_rl_learner_update(l, b.data(), uint32_t(b.size()), &stats, err);
    }
};

bool SameBits(const Floats &a, const Floats &b) {
    return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

Floats Train(const wr_rl_config &c, const std::vector<uint32_t> &parts, uint32_t runner_threads,
             uint32_t learner_threads, int iterations, wr_rl_update_stats *stats = nullptr) {
    std::vector<std::unique_ptr<Runner>> runners;
    uint32_t first = 0;
    for (uint32_t count : parts) {
        runners.push_back(std::make_unique<Runner>(c, first, count, runner_threads));
        first += count;
    }
    Learner learner(c, learner_threads);
    for (int i = 0; i < iterations; i++) {
        std::vector<Floats> batches;
        Floats weights = learner.Weights();
        for (auto &r : runners) {
            batches.push_back(r->Sample(weights));
        }
        EXPECT_EQ(WR_OK, learner.Update(batches));
    }
    if (stats != nullptr) {
        *stats = learner.stats;
    }
    return learner.Weights();
}

class Bits : public testing::TestWithParam<const char *> {
  protected:
    void SetUp() override {
        corridor::Register();
    }
};

TEST_P(Bits, AreEqualForAnyNumberOfThreadsAndRunners) {
    const wr_rl_config c = Config(GetParam());
    wr_rl_update_stats one, other;
    const Floats reference = Train(c, {40}, 1, 1, 6, &one);
    struct {
        std::vector<uint32_t> parts;
        uint32_t runner_threads, learner_threads;
    } splits[] = {{{40}, 2, 2},       {{40}, 3, 1},    {{20, 20}, 1, 2}, {{8, 8, 8, 8, 8}, 1, 1},
                  {{1, 38, 1}, 2, 1}, {{17, 23}, 1, 2}};
    for (const auto &s : splits) {
        EXPECT_TRUE(SameBits(reference, Train(c, s.parts, s.runner_threads, s.learner_threads, 6, &other)));
        EXPECT_EQ(0, memcmp(&one, &other, sizeof one));
    }
    wr_rl_loop *loop = nullptr;
    ASSERT_EQ(WR_OK, wr_rl_loop_new(&c, 2, &loop, nullptr));
    for (int i = 0; i < 6; i++) {
        ASSERT_EQ(WR_OK, wr_rl_loop_train(loop, &other, nullptr));
    }
    size_t n;
    const float *w = wr_rl_learner_weights(wr_rl_loop_learner(loop), &n);
    EXPECT_TRUE(SameBits(reference, Floats(w, w + n)));
    wr_rl_loop_free(loop);
}

TEST_P(Bits, FollowTheSeed) {
    wr_rl_config c = Config(GetParam());
    const Floats a = Train(c, {40}, 1, 1, 2);
    c.seed = 6;
    EXPECT_FALSE(SameBits(a, Train(c, {40}, 1, 1, 2)));
}

TEST_P(Bits, MoreSlicesServeMoreThreadsWithEqualBits) {
    wr_rl_config c = Config(GetParam());
    c.gradient_slices = 4;
    c.use_kl = false;
    EXPECT_TRUE(SameBits(Train(c, {40}, 1, 1, 3), Train(c, {40}, 1, 4, 3)));
    EXPECT_TRUE(SameBits(Train(c, {40}, 1, 3, 3), Train(c, {40}, 1, 4, 3)));
}

TEST_P(Bits, AReplacedRunnerRedoesItsIteration) {
    const wr_rl_config c = Config(GetParam());
    Learner learner(c);
    Runner a(c, 0, 20), b(c, 20, 20);
    Floats weights = learner.Weights();
    Floats first = b.Sample(weights);
    ASSERT_EQ(WR_OK, learner.Update({a.Sample(weights), first}));
    weights = learner.Weights();
    Floats lost = b.Sample(weights); /* dies after this: its batch never arrives */
    Runner again(c, 20, 20);
    ASSERT_EQ(WR_OK, wr_rl_runner_restore(again.r, first.data(), first.size(), nullptr));
    EXPECT_TRUE(SameBits(lost, again.Sample(weights)));
    // The same by the state alone.
    Floats state(wr_rl_runner_state_floats(b.r));
    wr_rl_runner_state_get(b.r, state.data());
    Runner third(c, 20, 20);
    ASSERT_EQ(WR_OK, wr_rl_runner_state_set(third.r, state.data(), state.size(), nullptr));
    EXPECT_TRUE(SameBits(b.Sample(weights), third.Sample(weights)));
}

TEST_P(Bits, ALearnerThatIsRestoredGoesOnTheSame) {
    const wr_rl_config c = Config(GetParam());
    Learner a(c), b(c);
    Runner r(c);
    for (int i = 0; i < 3; i++) {
        ASSERT_EQ(WR_OK, a.Update({r.Sample(a.Weights())}));
    }
    Floats state(wr_rl_learner_state_floats(a.l));
    wr_rl_learner_state_get(a.l, state.data());
    ASSERT_EQ(WR_OK, wr_rl_learner_state_set(b.l, state.data(), state.size(), nullptr));
    Floats batch = r.Sample(a.Weights());
    ASSERT_EQ(WR_OK, a.Update({batch}));
    ASSERT_EQ(WR_OK, b.Update({batch}));
    EXPECT_TRUE(SameBits(a.Weights(), b.Weights()));
    EXPECT_EQ(a.stats.kl_coeff, b.stats.kl_coeff);
    EXPECT_TRUE(a.stats.return_mean == b.stats.return_mean);
}

INSTANTIATE_TEST_SUITE_P(All, Bits, testing::Values("CartPole-v1", "Corridor-v0"),
                         [](const auto &env) { return std::string(env.param).substr(0, 8); });

// ---- what is in a batch ----

struct View {
    Floats data;
    const float *records;
    wr_batch_head head;
    uint32_t obs;
    explicit View(Floats batch) : data(std::move(batch)) {
        memcpy(&head, data.data(), sizeof head);
        size_t n = head.env_count, at = 16 + (2 * n + 15) / 16 * 16;
        at += ((head.state_count + 2) * n + 15) / 16 * 16;
        records = data.data() + at;
        obs = head.obs_count;
    }
    const float *Record(uint32_t step, uint32_t env) const {
        return records + (size_t(step) * head.env_count + env) * head.record_floats;
    }
    std::vector<wr_batch_episode> Episodes() const {
        std::vector<wr_batch_episode> all(head.episode_count);
        const float *from = records + size_t(head.steps) * head.env_count * head.record_floats;
        memcpy(static_cast<void *>(all.data()), from, all.size() * sizeof(wr_batch_episode));
        return all;
    }
};

TEST(Batch, TruncatedEpisodesAreBootstrappedAndTerminatedOnesAreNot) {
    // Corridor-v0 in double, from the records: the state reached is known up to its random step, which the
    // reward tells. With lambda 0 the advantage is r + gamma V(next) - V. Bound: float roundings of values
    // below 10.
    corridor::Register();
    wr_rl_config c = Config("Corridor-v0");
    c.lambda = 0;
    c.fragment_steps = 64;
    Runner r(c);
    Learner learner(c);
    Floats weights = learner.Weights();
    wr_rl_policy *policy = nullptr;
    ASSERT_EQ(WR_OK, wr_rl_policy_new(&c, weights.data(), weights.size(), &policy, nullptr));
    View v(r.Sample(weights));
    int truncated = 0, terminated = 0;
    for (const wr_batch_episode &e : v.Episodes()) {
        const float *extra = v.Record(e.step, e.env) + v.obs;
        // Which random step was taken follows from the episode's return: try both.
        bool matched = false;
        for (float u : {0.0f, 0.5f}) {
            float x = corridor::Next(v.Record(e.step, e.env)[0], extra[WR_RECORD_ACTION], u);
            float obs[3] = {x, x * x, 0.05f * e.length}, value_next;
            wr_rl_policy_forward(policy, obs, 1, nullptr, &value_next);
            bool ends = corridor::Ends(x);
            double expected = double(corridor::Reward(x)) - double(extra[WR_RECORD_VALUE]) * 10;
            if (!ends) {
                expected += double(c.gamma) * double(value_next);
            }
            if (std::fabs(expected - double(extra[WR_RECORD_ADVANTAGE])) < 1e-5) {
                matched = true;
                truncated += !ends;
                terminated += ends;
                EXPECT_TRUE(ends || e.length == corridor::kStepsMax);
                break;
            }
        }
        EXPECT_TRUE(matched) << "step " << e.step << " of environment " << e.env;
    }
    EXPECT_GT(truncated, 20);
    EXPECT_GT(terminated, 5);
    wr_rl_policy_free(policy);
}

TEST(Batch, AdvantagesOverAWholeFragmentMatchDoubleArithmetic) {
    wr_rl_config c = Config();
    c.lambda = 0.9f;
    c.env_count = 21;
    c.fragment_steps = 80;
    Runner r(c);
    Learner learner(c);
    Floats weights = learner.Weights();
    View v(r.Sample(weights));
    wr_rl_policy *policy = nullptr;
    ASSERT_EQ(WR_OK, wr_rl_policy_new(&c, weights.data(), weights.size(), &policy, nullptr));
    std::vector<std::vector<bool>> ended(80, std::vector<bool>(21));
    for (const wr_batch_episode &e : v.Episodes()) {
        EXPECT_LT(e.length, 500.0f); /* the first weights do not balance: none is truncated, so an end has no
                                        value after it */
        EXPECT_EQ(e.ret, e.length);
        ended[e.step][e.env] = true;
    }
    for (uint32_t env = 0; env < 21; env++) {
        float last_obs[4], value_last;
        for (int k = 0; k < 4; k++) { /* the state part of the batch is the last observation */
            last_obs[k] = v.data[16 + 48 + size_t(k) * 21 + env];
        }
        wr_rl_policy_forward(policy, last_obs, 1, nullptr, &value_last);
        double next = double(value_last), advantage = 0;
        for (uint32_t t = 80; t-- > 0;) {
            const float *extra = v.Record(t, env) + 4;
            double value = double(extra[WR_RECORD_VALUE]) * 10, go = ended[t][env] ? 0 : double(c.gamma);
            advantage = 1 + go * next - value + go * double(c.lambda) * advantage;
            EXPECT_NEAR(advantage, extra[WR_RECORD_ADVANTAGE],
                        2e-4); /* up to 80 roundings of numbers near 10 */
            EXPECT_NEAR((advantage + value) / 10, extra[WR_RECORD_TARGET], 2e-5);
            next = value;
        }
    }
    wr_rl_policy_free(policy);
}

TEST(Batch, RecordsHoldTheProbabilitiesOfTheirObservations) {
    wr_rl_config c = Config();
    Runner r(c);
    Learner learner(c);
    Floats weights = learner.Weights();
    View v(r.Sample(weights));
    wr_rl_policy *policy = nullptr;
    ASSERT_EQ(WR_OK, wr_rl_policy_new(&c, weights.data(), weights.size(), &policy, nullptr));
    for (uint32_t t = 0; t < c.fragment_steps; t += 5) {
        for (uint32_t env = 0; env < c.env_count; env++) {
            const float *record = v.Record(t, env);
            float logits[2], value;
            wr_rl_policy_forward(policy, record, 1, logits, &value);
            double z = std::exp(double(logits[0])) + std::exp(double(logits[1]));
            EXPECT_NEAR(double(logits[1]) - std::log(z), record[4 + WR_RECORD_LOGP + 1], 1e-6);
            EXPECT_FLOAT_EQ(value, record[4 + WR_RECORD_VALUE] * 10);
        }
    }
    wr_rl_policy_free(policy);
}

TEST(Batch, AMalformedOneIsRefusedAndChangesNothing) {
    const wr_rl_config c = Config();
    Learner learner(c), untouched(c);
    Runner r(c), half(c, 0, 20);
    const Floats weights = learner.Weights();
    const Floats good = r.Sample(weights), part = half.Sample(weights);
    wr_error err = {};
    auto refused = [&](const std::vector<Floats> &batches, wr_status status) {
        err = {};
        EXPECT_EQ(status, learner.Update(batches, &err)) << err.text;
        EXPECT_NE('\0', err.text[0]);
        EXPECT_TRUE(SameBits(weights, learner.Weights()));
    };
    auto spoiled = [&](size_t word, uint32_t value) {
        Floats bad = good;
        memcpy(&bad[word], &value, sizeof value);
        return std::vector<Floats>{bad};
    };
    refused({}, WR_E_INVALID);
    refused({Floats()}, WR_E_CORRUPT);
    refused({Floats(good.begin(), good.begin() + 15)}, WR_E_CORRUPT);
    refused({Floats(good.begin(), good.end() - 1)}, WR_E_CORRUPT);
    refused({good, good}, WR_E_INVALID); /* each environment twice */
    refused({part}, WR_E_INVALID);       /* half of them missing */
    refused({part, part}, WR_E_INVALID);
    for (size_t word = 0; word < 10; word++) { /* every count in the head */
        for (uint32_t value : {0u, 1u, 41u, 0x7fffffffu, 0xffffffffu}) {
            uint32_t now;
            memcpy(&now, &good[word], sizeof now);
            if (now != value) {
                Floats bad = spoiled(word, value)[0];
                wr_status status = learner.Update({bad}, &err);
                EXPECT_TRUE(status == WR_E_CORRUPT || status == WR_E_INVALID) << word << " " << value;
            }
        }
    }
    refused(spoiled(10, 7), WR_E_INVALID);          /* another iteration */
    refused(spoiled(12, 7), WR_E_INVALID);          /* another configuration */
    refused(spoiled(16, 0x7fc00000), WR_E_CORRUPT); /* an advantage that is not a number */
    const size_t episodes = good.size() - 4 * View(good).head.episode_count;
    ASSERT_LT(episodes, good.size());
    refused(spoiled(episodes, 24), WR_E_CORRUPT);     /* ends after the last step */
    refused(spoiled(episodes + 1, 40), WR_E_CORRUPT); /* of an environment that is not there */
    EXPECT_EQ(WR_E_CORRUPT,
              wr_rl_runner_restore(r.r, spoiled(16 + 80, 0x7f800000)[0].data(), good.size(), nullptr));
    EXPECT_EQ(WR_E_INVALID, wr_rl_runner_restore(r.r, part.data(), part.size(), nullptr));
    EXPECT_EQ(WR_OK, learner.Update({good}));
    EXPECT_EQ(WR_OK, untouched.Update({good}));
    EXPECT_TRUE(SameBits(untouched.Weights(), learner.Weights()));
}

TEST(Batch, WrongBuffersAreRefused) {
    const wr_rl_config c = Config();
    Runner r(c);
    Learner learner(c);
    Floats weights = learner.Weights();
    size_t used = 0;
    EXPECT_EQ(WR_E_INVALID, wr_rl_runner_sample(r.r, weights.data(), weights.size() - 1, r.buffer.data(),
                                                r.buffer.size(), &used, nullptr));
    EXPECT_EQ(WR_E_INVALID, wr_rl_runner_sample(r.r, weights.data(), weights.size(), r.buffer.data(),
                                                r.buffer.size() - 1, &used, nullptr));
    EXPECT_EQ(0u, wr_rl_runner_iteration(r.r));
    wr_rl_runner *none = nullptr;
    const wr_rl_runner_opts outside = {39, 2, 1, 0}, after = {40, 0, 1, 0}, threads = {0, 0, 1000, 0};
    EXPECT_EQ(WR_E_INVALID, wr_rl_runner_new(&c, &outside, &none, nullptr));
    EXPECT_EQ(WR_E_INVALID, wr_rl_runner_new(&c, &after, &none, nullptr));
    EXPECT_EQ(WR_E_INVALID, wr_rl_runner_new(&c, &threads, &none, nullptr));
}

TEST(Learner, RefusesStatesThatAreNotItsOwn) {
    wr_rl_config c = Config();
    Learner learner(c);
    Floats state(wr_rl_learner_state_floats(learner.l)), weights = learner.Weights();
    wr_rl_learner_state_get(learner.l, state.data());
    EXPECT_EQ(WR_E_CORRUPT, wr_rl_learner_state_set(learner.l, state.data(), 3, nullptr));
    EXPECT_EQ(WR_E_CORRUPT, wr_rl_learner_state_set(learner.l, state.data(), state.size() - 1, nullptr));
    Floats bad = state;
    bad[20] = NAN;
    EXPECT_EQ(WR_E_INVALID, wr_rl_learner_state_set(learner.l, bad.data(), bad.size(), nullptr));
    bad = state;
    bad[0] = 0;
    EXPECT_EQ(WR_E_CORRUPT, wr_rl_learner_state_set(learner.l, bad.data(), bad.size(), nullptr));
    c.hidden[0] = 64;
    Learner other(c);
    EXPECT_EQ(WR_E_INVALID, wr_rl_learner_state_set(other.l, state.data(), state.size(), nullptr));
    bad = weights;
    bad[3] = INFINITY;
    EXPECT_EQ(WR_E_INVALID, wr_rl_learner_weights_set(learner.l, bad.data(), bad.size(), nullptr));
    EXPECT_EQ(WR_E_INVALID, wr_rl_learner_rates_set(learner.l, -1, 0, nullptr));
    EXPECT_TRUE(SameBits(weights, learner.Weights()));
}

TEST(Learner, KeepsPaddingZeroAndCountsWhatItTrained) {
    wr_rl_config c = Config();
    c.minibatch = 300; /* 960 samples: three whole ones; 60 are less than half of one and left out */
    Learner learner(c);
    Runner r(c);
    Floats weights = learner.Weights();
    for (float &w : weights) { /* padding that somebody filled is zeroed */
        w = w == 0 ? 1.0f : w;
    }
    ASSERT_EQ(WR_OK, wr_rl_learner_weights_set(learner.l, weights.data(), weights.size(), nullptr));
    ASSERT_EQ(WR_OK, learner.Update({r.Sample(learner.Weights())}));
    EXPECT_EQ(3u * 900, learner.stats.samples_trained);
    EXPECT_EQ(960u, learner.stats.env_steps);
    Floats after = learner.Weights();
    std::vector<bool> used(after.size());
    wr_rl_weight w;
    for (uint32_t i = 0; wr_rl_weights_part(&c, i, &w, nullptr) == WR_OK; i++) {
        for (uint32_t row = 0; row < w.rows; row++) {
            for (uint32_t k = 0; k < w.columns; k++) {
                used[w.offset + size_t(row) * w.stride + k] = true;
            }
        }
    }
    for (size_t i = 0; i < after.size(); i++) {
        EXPECT_TRUE(used[i] || after[i] == 0);
    }
}

TEST(Learner, ClippedValueErrorsAreCounted) {
    wr_rl_config c = Config();
    c.value_unit = 1;
    c.value_clip = 1e-3f;
    Learner learner(c);
    Runner r(c);
    ASSERT_EQ(WR_OK, learner.Update({r.Sample(learner.Weights())}));
    EXPECT_GT(learner.stats.value_clipped, 0.9);
    EXPECT_LE(learner.stats.value_loss, 1.001e-3);
}

TEST(Memory, EachAllocationThatFailsIsAnErrorAndLeavesNothing) {
    const wr_rl_config c = Config();
    int failures = 0;
    for (uint64_t n = 1; n < 200; n++) {
        wr_alloc_fail_nth(n);
        wr_rl_loop *loop = nullptr;
        wr_status status = wr_rl_loop_new(&c, 2, &loop, nullptr);
        wr_alloc_fail_nth(0);
        if (status == WR_OK) {
            wr_rl_loop_free(loop);
            break;
        }
        EXPECT_EQ(WR_E_NO_MEMORY, status);
        EXPECT_EQ(nullptr, loop);
        failures++;
    }
    EXPECT_GT(failures, 20);
    for (uint64_t n = 1; n < 50; n++) {
        wr_alloc_fail_nth(n);
        wr_rl_envs *envs = nullptr;
        wr_status status = wr_rl_envs_new("CartPole-v1", 1000, 1, &envs, nullptr);
        wr_alloc_fail_nth(0);
        if (status == WR_OK) {
            wr_rl_envs_free(envs);
            break;
        }
        EXPECT_EQ(WR_E_NO_MEMORY, status);
    }
}

} // namespace

#include "whipray/rl_env.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "corridor.h"
#include "whipray/rl.h"

namespace {

struct Envs {
    wr_rl_envs *e = nullptr;
    uint32_t count;
    std::vector<float> obs, reward;
    std::vector<uint8_t> terminated, truncated;
    Envs(const char *name, uint32_t n, uint64_t seed) : count(n), reward(n), terminated(n), truncated(n) {
        EXPECT_EQ(WR_OK, wr_rl_envs_new(name, n, seed, &e, nullptr));
        uint32_t width, actions, state, steps_max;
        wr_rl_envs_shape(e, &width, &actions, &state, &steps_max);
        obs.resize(size_t(n) * width);
        wr_rl_envs_observe(e, obs.data());
    }
    ~Envs() {
        wr_rl_envs_free(e);
    }
    wr_status Step(const std::vector<int32_t> &actions) {
        return wr_rl_envs_step(e, actions.data(), obs.data(), reward.data(), terminated.data(),
                               truncated.data(), nullptr);
    }
};

// One step by the equations in double. Bound of the comparison: 5 float roundings of numbers below 4.
void DoubleStep(const float *s, int action, double *next) {
    double x = s[0], v = s[1], th = s[2], w = s[3], f = action ? 10 : -10, c = std::cos(th),
           sn = std::sin(th);
    double tmp = (f + 0.05 * w * w * sn) / 1.1;
    double ta = (9.8 * sn - c * tmp) / (0.5 * (4.0 / 3 - 0.1 * c * c / 1.1));
    double xa = tmp - 0.05 * ta * c / 1.1;
    next[0] = x + 0.02 * v;
    next[1] = v + 0.02 * xa;
    next[2] = th + 0.02 * w;
    next[3] = w + 0.02 * ta;
}

TEST(CartPole, FollowsDoubleArithmeticAndEndsWhereItMust) {
    const double limit = 12 * 2 * M_PI / 360;
    Envs envs("CartPole-v1", 300, 3);
    std::mt19937 rng(1);
    std::vector<int32_t> actions(300);
    std::vector<uint32_t> steps(300), length(300);
    std::vector<float> state(300 * 4);
    uint64_t ends = 0, cuts = 0, transitions = 0;
    for (int t = 0; t < 700; t++) {
        std::vector<float> before = envs.obs;
        wr_rl_envs_state_get(envs.e, state.data(), length.data());
        for (int i = 0; i < 300;
             i++) { /* a policy that balances in the first third, so that episodes are cut at 500 */
            const float *s = &before[4 * i];
            actions[i] = i < 100 ? 0.1f * s[0] + 0.25f * s[1] + s[2] + 0.35f * s[3] > 0 : int(rng() & 1);
        }
        ASSERT_EQ(WR_OK, envs.Step(actions));
        for (int i = 0; i < 300; i++) {
            double next[4];
            DoubleStep(&before[4 * i], actions[i], next);
            bool out = std::fabs(next[0]) > 2.4 || std::fabs(next[2]) > limit;
            bool near_limit =
                std::fabs(std::fabs(next[0]) - 2.4) < 1e-6 || std::fabs(std::fabs(next[2]) - limit) < 1e-6;
            bool cut = !envs.terminated[i] && length[i] + 1 == 500;
            EXPECT_TRUE(near_limit || out == bool(envs.terminated[i]));
            EXPECT_EQ(cut, bool(envs.truncated[i]));
            EXPECT_EQ(1.0f, envs.reward[i]);
            transitions++;
            for (int k = 0; k < 4; k++) {
                if (envs.terminated[i] || cut) {
                    EXPECT_LE(std::fabs(envs.obs[4 * i + k]), 0.05f);
                } else {
                    EXPECT_NEAR(next[k], envs.obs[4 * i + k], 1e-6);
                }
            }
            ends += envs.terminated[i];
            cuts += envs.truncated[i];
        }
    }
    EXPECT_GT(ends, 5000u);
    EXPECT_GT(cuts, 80u);
    EXPECT_EQ(210000u, transitions);
}

TEST(CartPole, StateThatIsSetGoesOnAsTheOneItWasTakenFrom) {
    Envs a("CartPole-v1", 20, 1), b("CartPole-v1", 20, 1);
    std::vector<int32_t> actions(20, 1);
    std::vector<float> state(80);
    std::vector<uint32_t> steps(20);
    for (int t = 0; t < 5; t++) {
        ASSERT_EQ(WR_OK, a.Step(actions));
    }
    wr_rl_envs_state_get(a.e, state.data(), steps.data());
    ASSERT_EQ(WR_OK, wr_rl_envs_state_set(b.e, state.data(), steps.data(), nullptr));
    ASSERT_EQ(WR_OK, a.Step(actions));
    ASSERT_EQ(WR_OK, b.Step(actions));
    EXPECT_EQ(a.obs, b.obs);
    state[3] = NAN;
    EXPECT_EQ(WR_E_INVALID, wr_rl_envs_state_set(b.e, state.data(), steps.data(), nullptr));
    state[3] = 0;
    steps[1] = 500;
    EXPECT_EQ(WR_E_INVALID, wr_rl_envs_state_set(b.e, state.data(), steps.data(), nullptr));
}

TEST(Envs, AWrongActionIsRefusedAndNothingIsStepped) {
    Envs envs("CartPole-v1", 4, 1);
    std::vector<float> before = envs.obs;
    wr_error err = {};
    const int32_t actions[] = {0, 1, 2, 0};
    EXPECT_EQ(WR_E_INVALID, wr_rl_envs_step(envs.e, actions, envs.obs.data(), envs.reward.data(),
                                            envs.terminated.data(), envs.truncated.data(), &err));
    EXPECT_NE(nullptr, strstr(err.text, "actions 0 to 1"));
    wr_rl_envs_observe(envs.e, envs.obs.data());
    EXPECT_EQ(before, envs.obs);
}

TEST(Envs, ColumnsDoNotDependOnTheirNumber) {
    Envs few("CartPole-v1", 5, 9), many("CartPole-v1", 600, 9);
    for (int t = 0; t < 100; t++) {
        std::vector<int32_t> actions(600);
        for (int i = 0; i < 600; i++) {
            actions[i] = (i + t) % 3 == 0;
        }
        ASSERT_EQ(WR_OK, few.Step(std::vector<int32_t>(actions.begin(), actions.begin() + 5)));
        ASSERT_EQ(WR_OK, many.Step(actions));
        EXPECT_EQ(0, memcmp(few.obs.data(), many.obs.data(), 20 * sizeof(float)));
    }
}

TEST(Registry, AnUnknownEnvironmentIsAnErrorThatListsWhatThereIs) {
    corridor::Register();
    const wr_rl_env_ops *ops = nullptr;
    wr_error err = {};
    EXPECT_EQ(WR_E_NOT_FOUND, wr_rl_env_find("CartPole-v0", &ops, &err));
    EXPECT_NE(nullptr, strstr(err.text, "did you mean 'CartPole-v1'"));
    EXPECT_NE(nullptr, strstr(err.text, "CartPole-v1, Corridor-v0"));
    EXPECT_EQ(nullptr, ops);
}

TEST(Registry, ATableThatCannotWorkIsRefused) {
    wr_rl_env_ops bad = *corridor::Register();
    wr_error err = {};
    EXPECT_EQ(WR_E_EXISTS, wr_rl_env_register(&bad, &err));
    bad.name = "Bad-v0";
    bad.action_count = 1;
    EXPECT_EQ(WR_E_INVALID, wr_rl_env_register(&bad, &err));
    EXPECT_NE(nullptr, strstr(err.text, "action_count"));
    bad.action_count = 3;
    bad.observe = nullptr;
    EXPECT_EQ(WR_E_INVALID, wr_rl_env_register(&bad, &err));
    bad.struct_size = 8;
    EXPECT_EQ(WR_E_VERSION, wr_rl_env_register(&bad, &err));
    bad = *corridor::Register();
    bad.name = "Bad-v0";
    bad.step = nullptr;
    EXPECT_EQ(WR_E_INVALID, wr_rl_env_register(&bad, &err));
}

} // namespace

#include "whipray/rl.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <set>
#include <string>

namespace {

wr_rl_config Default() {
    wr_rl_config c;
    wr_rl_config_default(&c);
    return c;
}

TEST(Config, TheDefaultPasses) {
    wr_rl_config c = Default();
    EXPECT_EQ(WR_OK, wr_rl_config_check(&c, nullptr));
    c.layers = 0;
    EXPECT_EQ(WR_OK, wr_rl_config_check(&c, nullptr));
    c.value_clip = INFINITY;
    EXPECT_EQ(WR_OK, wr_rl_config_check(&c, nullptr));
}

TEST(Config, EachBadFieldIsNamedWithTheNearestRightValue) {
    struct {
        std::function<void(wr_rl_config *)> spoil;
        wr_status status;
        const char *field, *nearest;
    } cases[] = {
        {[](auto *c) { c->env = "Cartpole-v1"; }, WR_E_NOT_FOUND, "Cartpole-v1", "'CartPole-v1'"},
        {[](auto *c) { c->env = nullptr; }, WR_E_INVALID, "environment", ""},
        {[](auto *c) { c->kernels = "avx"; }, WR_E_NOT_FOUND, "kernels", "avx2"},
        {[](auto *c) { c->env_count = 0; }, WR_E_INVALID, "env_count", "nearest allowed is 1"},
        {[](auto *c) { c->env_count = 1u << 21; }, WR_E_INVALID, "env_count", "nearest allowed is 1048576"},
        {[](auto *c) { c->env_count = 1u << 20, c->fragment_steps = 1u << 20; }, WR_E_INVALID,
         "env_count * fragment", ""},
        {[](auto *c) { c->fragment_steps = 0; }, WR_E_INVALID, "fragment_steps", "nearest allowed is 1"},
        {[](auto *c) { c->layers = 17; }, WR_E_INVALID, "layers", "nearest allowed is 16"},
        {[](auto *c) { c->hidden[1] = 0; }, WR_E_INVALID, "hidden[1]", "nearest allowed is 1"},
        {[](auto *c) { c->hidden[0] = 1000000; }, WR_E_INVALID, "hidden[0]", "nearest allowed is 4096"},
        {[](auto *c) { c->activation = wr_rl_activation(9); }, WR_E_INVALID, "activation", "tanh"},
        {[](auto *c) { c->gamma = 1.5f; }, WR_E_INVALID, "gamma", "nearest allowed is 1"},
        {[](auto *c) { c->gamma = NAN; }, WR_E_INVALID, "gamma", "not a number"},
        {[](auto *c) { c->lambda = -1; }, WR_E_INVALID, "lambda", "nearest allowed is 0"},
        {[](auto *c) { c->value_unit = 0; }, WR_E_INVALID, "value_unit", "above 0"},
        {[](auto *c) { c->clip = 0; }, WR_E_INVALID, "clip", "above 0"},
        {[](auto *c) { c->value_clip = -1; }, WR_E_INVALID, "value_clip", "above 0"},
        {[](auto *c) { c->entropy_coeff = -0.1f; }, WR_E_INVALID, "entropy_coeff", "nearest allowed is 0"},
        {[](auto *c) { c->lr = INFINITY; }, WR_E_INVALID, "lr", "nearest allowed is 1000"},
        {[](auto *c) { c->kl_target = 0; }, WR_E_INVALID, "kl_target", "above 0"},
        {[](auto *c) { c->adam_beta2 = 1; }, WR_E_INVALID, "adam_beta2", "nearest"},
        {[](auto *c) { c->epochs = 0; }, WR_E_INVALID, "epochs", "nearest allowed is 1"},
        {[](auto *c) { c->minibatch = 0; }, WR_E_INVALID, "minibatch", "nearest allowed is 1"},
        {[](auto *c) { c->minibatch = 4001; }, WR_E_INVALID, "minibatch", "nearest allowed is 4000"},
        {[](auto *c) { c->gradient_slices = 17; }, WR_E_INVALID, "gradient_slices", "nearest allowed is 16"},
        {[](auto *c) { c->episode_window = 0; }, WR_E_INVALID, "episode_window", "nearest allowed is 1"},
    };
    for (const auto &k : cases) {
        wr_rl_config c = Default();
        k.spoil(&c);
        wr_error err = {};
        EXPECT_EQ(k.status, wr_rl_config_check(&c, &err)) << k.field;
        EXPECT_NE(nullptr, strstr(err.text, k.field)) << err.text;
        EXPECT_NE(nullptr, strstr(err.text, k.nearest)) << err.text;
        wr_rl_learner *learner = nullptr;
        wr_rl_runner *runner = nullptr;
        wr_rl_loop *loop = nullptr;
        EXPECT_EQ(k.status, wr_rl_learner_new(&c, 1, &learner, nullptr));
        EXPECT_EQ(k.status, wr_rl_runner_new(&c, nullptr, &runner, nullptr));
        EXPECT_EQ(k.status, wr_rl_loop_new(&c, 1, &loop, nullptr));
        EXPECT_EQ(0u, wr_rl_weights_floats(&c));
    }
}

TEST(Config, AnUnknownActivationNamesTheNearest) {
    wr_rl_activation a = WR_RL_RELU;
    wr_error err = {};
    EXPECT_EQ(WR_E_NOT_FOUND, wr_rl_activation_parse("tahn", &a, &err));
    EXPECT_NE(nullptr, strstr(err.text, "did you mean 'tanh'"));
    EXPECT_EQ(WR_OK, wr_rl_activation_parse("linear", &a, nullptr));
    EXPECT_EQ(WR_RL_LINEAR, a);
}

TEST(Config, TheWeightsPartsCoverEachWeightOnce) {
    for (bool shared : {true, false}) {
        wr_rl_config c = Default();
        c.layers = 2;
        c.hidden[0] = 20;
        c.hidden[1] = 7;
        c.value_shares_layers = shared;
        std::set<size_t> seen;
        wr_rl_weight w;
        for (uint32_t i = 0; wr_rl_weights_part(&c, i, &w, nullptr) == WR_OK; i++) {
            for (uint32_t r = 0; r < w.rows; r++) {
                for (uint32_t k = 0; k < w.columns; k++) {
                    EXPECT_TRUE(seen.insert(w.offset + size_t(r) * w.stride + k).second) << w.name;
                }
            }
        }
        EXPECT_LT(*seen.rbegin(), wr_rl_weights_floats(&c));
        size_t expected = shared ? 5 * 20 + 21 * 7 + 8 * 3 : 2 * (5 * 20 + 21 * 7) + 8 * 3;
        EXPECT_EQ(expected, seen.size());
    }
}

} // namespace

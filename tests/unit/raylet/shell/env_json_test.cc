#include "raylet/shell/env_json.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs Read(const std::string &json) {
    std::vector<char> name(json.size() + 8), value(json.size() + 8);
    Pairs pairs;
    for (const char *at = shell_env_json_begin(json.c_str());
         at != nullptr && shell_env_json_next(&at, name.data(), value.data(), name.size());) {
        pairs.emplace_back(name.data(), value.data());
    }
    return pairs;
}

TEST(EnvJson, EachVariableIsReadInItsOrder) {
    EXPECT_EQ((Pairs{{"A", "b"}, {"C", ""}}), Read(R"({"env_vars": {"A": "b", "C": ""}, "x": 1})"));
}

TEST(EnvJson, EscapesBecomeUtf8) {
    EXPECT_EQ((Pairs{{"A", "\n\"\\\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"}}),
              Read(R"({"env_vars": {"A": "\n\"\\\u00e9\u20ac\ud83d\ude00"}})"));
}

TEST(EnvJson, ATextThatIsCutOffEndsTheList) {
    const std::string whole = R"({"env_vars": {"A": "b", "C": "\u00e9"}})";
    for (size_t n = 0; n <= whole.size(); n++) {
        Pairs pairs = Read(whole.substr(0, n));
        EXPECT_LE(pairs.size(), 2u);
        EXPECT_EQ(n >= whole.size() - 2, pairs.size() == 2) << n;
    }
}

TEST(EnvJson, FewerThanFourHexDigitsEndTheList) {
    EXPECT_TRUE(Read(R"({"env_vars": {"A": "\u1)").empty());
    EXPECT_TRUE(Read(R"({"env_vars": {"A": "\u12g4"}})").empty());
    EXPECT_TRUE(Read(R"({"env_vars": {"A": "\ud83d\u00"}})").empty());
}

TEST(EnvJson, ATextWithoutVariablesNamesNone) {
    EXPECT_EQ(nullptr, shell_env_json_begin(nullptr));
    EXPECT_EQ(nullptr, shell_env_json_begin("{}"));
    EXPECT_EQ(nullptr, shell_env_json_begin(R"({"env_vars": 3})"));
    EXPECT_TRUE(Read(R"({"env_vars": {}})").empty());
}

TEST(EnvJson, ATextLongerThanTheBufferEndsTheList) {
    char name[8], value[8];
    const char *at = shell_env_json_begin(R"({"env_vars": {"A": "0123456789"}})"), *before = at;
    EXPECT_FALSE(shell_env_json_next(&at, name, value, sizeof name));
    EXPECT_EQ(before, at);
}

} // namespace

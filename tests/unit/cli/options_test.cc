// What a user's shell and files say to `whipray start`.
#include "cli/cli.h"

#include <cstdio>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

namespace {

std::string Resources(const std::string &json) {
    char out[64] = "";
    wr_error err = {};
    if (cli_resources(json.c_str(), out, sizeof out, &err) != WR_OK) {
        return std::string("refused: ") + err.text;
    }
    return out;
}

// The list that a labels file makes, behind "a=b"; "refused: why" if it does not.
std::string Labels(const std::string &text) {
    FILE *file = fmemopen(const_cast<char *>(text.data()), text.size(), "r");
    char out[64] = "a=b";
    wr_error err = {};
    const wr_status status = cli_labels(file, "FILE", out, sizeof out, &err);
    fclose(file);
    return status == WR_OK ? out : std::string("refused: ") + err.text;
}

TEST(CliResources, JsonBecomesAList) {
    EXPECT_EQ("a=1.0000,b=0.5000", Resources("{\"a\": 1, \"b\": 0.5}"));
    EXPECT_EQ("", Resources(" {} \r\n"));
}

TEST(CliResources, WhatIsBehindTheBraceIsNotPassedOver) {
    EXPECT_EQ(0u, Resources("{\"a\": 1} \"b\": 2}").find("refused: ")) << Resources("{\"a\": 1} \"b\": 2}");
    EXPECT_EQ(0u, Resources("{}}").find("refused: "));
}

TEST(CliResources, NoAmountThatIsNoNumberPasses) {
    for (const char *bad :
         {"{\"a\": nan}", "{\"a\": inf}", "{\"a\": -1}", "{\"a\"}", "{\"a\": 1", "{\"a,b\": 1}", "[]", ""}) {
        EXPECT_EQ(0u, Resources(bad).find("refused: ")) << bad;
    }
}

TEST(CliLabels, EachLineIsALabel) {
    EXPECT_EQ("a=b,region=eu,zone=x y", Labels("# comment\nregion: eu\n\n  zone:   x y  \r\n"));
    EXPECT_EQ("a=b,region=eu,zone=x", Labels("{\n  \"region\": \"eu\",\n  \"zone\": \"x\"\n}\n"));
    EXPECT_EQ("a=b,region=eu", Labels("{\"region\": \"eu\"}"));
}

TEST(CliLabels, ALineIsReadWholeOrRefused) {
    EXPECT_EQ(0u, Labels("no colon\n").find("refused: "));
    EXPECT_EQ(0u, Labels("{\"region\": \"eu\", \"zone\": \"x\"}\n").find("refused: "))
        << "the second was lost";
    EXPECT_EQ(0u, Labels("k: " + std::string(600, 'v') + ": w\n").find("refused: "))
        << "two lines were made of it";
    EXPECT_EQ(0u, Labels(std::string("k: v\0z\nl: w\n", 11)).find("refused: "))
        << "text behind a zero byte was lost";
    EXPECT_EQ(0u, Labels("k: " + std::string(100, 'v') + "\n").find("refused: ")) << "no room";
}

} // namespace

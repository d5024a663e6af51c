#include "sched/resources.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>

namespace {

class ResourcesTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(WR_OK, wr_res_names_init(&names_, nullptr));
    }
    void TearDown() override {
        wr_res_names_done(&names_);
    }
    wr_status Parse(const std::string &text, wr_res *out) {
        return wr_res_parse(&names_, wr_span_of(text.data(), static_cast<uint32_t>(text.size())), out, &err_);
    }
    wr_res Of(const std::string &text) {
        wr_res res = {};
        EXPECT_EQ(WR_OK, Parse(text, &res)) << text << ": " << err_.text;
        return res;
    }
    std::string Format(const wr_res &res) {
        char text[WR_RES_TEXT_MAX];
        uint32_t bytes = 0;
        EXPECT_EQ(WR_OK, wr_res_format(&names_, &res, text, sizeof text, &bytes, nullptr));
        EXPECT_EQ(strlen(text), bytes);
        return text;
    }
    int64_t Units(const std::string &text, wr_status expect = WR_OK) {
        int64_t units = -1;
        EXPECT_EQ(expect, wr_res_units_parse(wr_span_of(text.data(), static_cast<uint32_t>(text.size())),
                                             &units, nullptr))
            << text;
        return units;
    }
    wr_res_names names_;
    wr_error err_ = {};
};

TEST_F(ResourcesTest, AmountsAreExactInStepsOfOneTenThousandth) {
    EXPECT_EQ(10000, Units("1"));
    EXPECT_EQ(5000, Units("0.5"));
    EXPECT_EQ(5000, Units(".5"));
    EXPECT_EQ(1, Units("0.0001"));
    EXPECT_EQ(1, Units("0.00019999"));
    EXPECT_EQ(0, Units("0.000"));
    EXPECT_EQ(12345678, Units("1234.5678"));
}

TEST_F(ResourcesTest, NonzeroBelowTheStepIsRefused) {
    Units("0.00009", WR_E_INVALID);
    Units("0.0000000000000000000001", WR_E_INVALID);
    int64_t units;
    EXPECT_EQ(WR_E_INVALID, wr_res_units_from_double(0.00009, &units, nullptr));
}

TEST_F(ResourcesTest, WhatIsNoAmountIsRefused) {
    for (const char *text : {"", ".", "-1", "+1", "1e3", "nan", "inf", " 1", "1 ", "1..2", "0x10", "1,5",
                             "99999999999999999999", "1\n"}) {
        Units(text, WR_E_INVALID);
    }
    Units(std::string("1\0", 2), WR_E_INVALID);
    Units(std::string(1000, '9'), WR_E_INVALID);
}

TEST_F(ResourcesTest, DoublesMeanTheDecimalTheyWereWrittenAs) {
    for (int i = 0; i <= 100000; i++) {
        int64_t units = -1;
        ASSERT_EQ(WR_OK, wr_res_units_from_double(i / 10000.0, &units, nullptr));
        ASSERT_EQ(i, units);
    }
    int64_t units;
    for (double bad : {-0.1, std::nan(""), std::numeric_limits<double>::infinity(), 1e300}) {
        EXPECT_EQ(WR_E_INVALID, wr_res_units_from_double(bad, &units, nullptr));
    }
}

TEST_F(ResourcesTest, FormatIsShortestAndParsesBack) {
    char text[WR_RES_UNITS_TEXT];
    EXPECT_STREQ("2", wr_res_units_format(20000, text));
    EXPECT_STREQ("0.5", wr_res_units_format(5000, text));
    EXPECT_STREQ("0.0001", wr_res_units_format(1, text));
    EXPECT_STREQ("-1.25", wr_res_units_format(-12500, text));
    EXPECT_STREQ("0", wr_res_units_format(0, text));
    wr_res_units_format(std::numeric_limits<int64_t>::min(), text); // fits
    std::mt19937_64 random(1);
    for (int i = 0; i < 10000; i++) {
        int64_t units = static_cast<int64_t>(random() % 1000000000);
        ASSERT_EQ(units, Units(wr_res_units_format(units, text)));
    }
}

TEST_F(ResourcesTest, ListsAreCanonical) {
    EXPECT_EQ("CPU=4,GPU=0.5,node:10.0.0.1=1", Format(Of("node:10.0.0.1=1,GPU=0.50,CPU=4")));
    EXPECT_EQ("", Format(Of("")));
    EXPECT_EQ("CPU=1", Format(Of("GPU=0,CPU=1")));
    wr_res a = Of("a=1,b=2"), b = Of("b=2,a=1");
    EXPECT_TRUE(wr_res_equal(&a, &b));
}

TEST_F(ResourcesTest, MalformedListsAreRefusedAndLeaveTheOutputAlone) {
    wr_res before = Of("CPU=3"), res = before;
    for (const char *text : {"CPU", "CPU=", "=1", "CPU=1,", ",CPU=1", "CPU=1,,GPU=1", "CPU=1,CPU=2",
                             "a=0,a=0", "CPU=x", "a\x01=1", "CPU==1", "CPU=1=2"}) {
        EXPECT_EQ(WR_E_INVALID, Parse(text, &res)) << text;
        EXPECT_TRUE(wr_res_equal(&before, &res));
    }
    EXPECT_EQ(WR_E_INVALID, Parse(std::string(WR_RES_NAME_BYTES_MAX + 1, 'a') + "=1", &res));
    EXPECT_EQ(WR_E_LIMIT, Parse(std::string(WR_RES_TEXT_MAX + 1, 'a'), &res));
    std::string many;
    for (int i = 0; i <= WR_RES_MAX; i++) {
        many += (i ? "," : "") + ("r" + std::to_string(i)) + "=1";
    }
    EXPECT_EQ(WR_E_LIMIT, Parse(many, &res));
}

TEST_F(ResourcesTest, TheNameTableHasALimit) {
    wr_status status = WR_OK;
    wr_res res;
    for (int i = 0; i < WR_RES_NAMES_MAX + 10 && status == WR_OK; i++) {
        status = Parse("n" + std::to_string(i) + "=1", &res);
    }
    EXPECT_EQ(WR_E_LIMIT, status);
    EXPECT_EQ(WR_OK, Parse("CPU=1", &res));
    EXPECT_STREQ("?", wr_res_names_text(&names_, 999999));
}

TEST_F(ResourcesTest, HostileBytesNeverCrash) {
    std::mt19937 random(3);
    const char alphabet[] = "CPUG=,.019-+e \n\0\xff";
    for (int i = 0; i < 200000; i++) {
        std::string text;
        for (uint32_t n = random() % 24; n > 0; n--) {
            text += alphabet[random() % (sizeof alphabet - 1)];
        }
        wr_res res = {};
        if (Parse(text, &res) == WR_OK) {
            wr_res again = {};
            ASSERT_EQ(WR_OK, Parse(Format(res), &again));
            ASSERT_TRUE(wr_res_equal(&res, &again));
        }
        if (names_.count > WR_RES_NAMES_MAX / 2) {
            wr_res_names_done(&names_);
            ASSERT_EQ(WR_OK, wr_res_names_init(&names_, nullptr));
        }
    }
}

TEST_F(ResourcesTest, ArithmeticKeepsTheVectorSparse) {
    wr_res res = Of("CPU=2,a=1"), what = Of("CPU=2");
    ASSERT_EQ(WR_OK, wr_res_sub(&res, &what, 1, nullptr));
    EXPECT_EQ("a=1", Format(res));
    ASSERT_EQ(WR_OK, wr_res_sub(&res, &what, 3, nullptr));
    EXPECT_EQ("CPU=-6,a=1", Format(res));
    ASSERT_EQ(WR_OK, wr_res_add(&res, &what, 3, nullptr));
    EXPECT_EQ("a=1", Format(res));
}

TEST_F(ResourcesTest, SumsSaturateInsteadOfOverflowing) {
    wr_res res = {}, big = {};
    ASSERT_EQ(WR_OK, wr_res_set(&big, WR_RES_CPU, WR_RES_UNITS_MAX, nullptr));
    ASSERT_EQ(WR_OK, wr_res_add(&res, &big, INT64_MAX, nullptr));
    EXPECT_EQ(WR_RES_UNITS_MAX, wr_res_get(&res, WR_RES_CPU));
    ASSERT_EQ(WR_OK, wr_res_sub(&res, &big, INT64_MAX, nullptr));
    ASSERT_EQ(WR_OK, wr_res_sub(&res, &big, INT64_MIN, nullptr));
    EXPECT_GE(wr_res_get(&res, WR_RES_CPU), -WR_RES_UNITS_MAX);
}

TEST_F(ResourcesTest, FitsIsPerName) {
    wr_res have = Of("CPU=2,GPU=1"), none = Of("");
    wr_res need = Of("CPU=2"), more = Of("CPU=2.0001"), other = Of("x=0.0001");
    EXPECT_TRUE(wr_res_fits(&have, &need));
    EXPECT_FALSE(wr_res_fits(&have, &more));
    EXPECT_FALSE(wr_res_fits(&have, &other));
    EXPECT_TRUE(wr_res_fits(&none, &none));
    wr_res half = Of("CPU=0.5");
    EXPECT_EQ(4u, wr_res_fits_times(&have, &half, 100));
    EXPECT_EQ(3u, wr_res_fits_times(&have, &half, 3));
    EXPECT_EQ(100u, wr_res_fits_times(&have, &none, 100));
    EXPECT_EQ(0u, wr_res_fits_times(&none, &half, 100));
}

TEST_F(ResourcesTest, WholeGpusAreGivenAloneAndFractionsArePacked) {
    wr_gpus gpus;
    wr_gpus_init(&gpus, 3);
    wr_gpu_share a, b, c, whole;
    char text[4 * WR_GPUS_MAX];
    ASSERT_EQ(WR_OK, wr_gpus_take(&gpus, 2500, &a, nullptr));
    ASSERT_EQ(WR_OK, wr_gpus_take(&gpus, 5000, &b, nullptr));
    EXPECT_EQ(a.devices, b.devices); // the same device, so that two stay whole
    ASSERT_EQ(WR_OK, wr_gpus_take(&gpus, 20000, &whole, nullptr));
    EXPECT_STREQ("1,2", wr_gpu_share_format(&whole, text));
    EXPECT_EQ(WR_E_AGAIN, wr_gpus_take(&gpus, 10000, &c, nullptr));
    EXPECT_EQ(WR_E_AGAIN, wr_gpus_take(&gpus, 5000, &c, nullptr));
    EXPECT_EQ(WR_E_INVALID, wr_gpus_take(&gpus, 15000, &c, nullptr));
    EXPECT_EQ(WR_E_INVALID, wr_gpus_take(&gpus, -1, &c, nullptr));
    ASSERT_EQ(WR_OK, wr_gpus_take(&gpus, 0, &c, nullptr));
    EXPECT_STREQ("", wr_gpu_share_format(&c, text));
    wr_gpus_give(&gpus, &whole);
    wr_gpus_give(&gpus, &a);
    wr_gpus_give(&gpus, &b);
    for (uint32_t i = 0; i < 3; i++) {
        EXPECT_EQ(WR_RES_UNIT, gpus.free_units[i]);
    }
}

} // namespace

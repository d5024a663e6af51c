#include "whipray/record.h"

#include "base/base.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

struct Writer {
    wr_record_writer w = {};
    ~Writer() {
        wr_record_done(&w);
    }
    std::vector<uint8_t> Finish() {
        const uint8_t *bytes = nullptr;
        uint32_t count = 0;
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_record_finish(&w, &bytes, &count, &err)) << err.text;
        return std::vector<uint8_t>(bytes, bytes + count);
    }
};

std::vector<uint8_t> Sample() {
    Writer s;
    wr_record_begin(&s.w);
    wr_record_int(&s.w, "int", -5);
    wr_record_double(&s.w, "double", 2.5);
    wr_record_string(&s.w, "text", "gr\xc3\xbc\xc3\x9f");
    wr_record_bytes(&s.w, "bytes", "\0\1\2", 3);
    wr_record_none(&s.w, "none");
    wr_record_map_begin(&s.w, "map");
    wr_record_int(&s.w, "inner", 7);
    wr_record_list_begin(&s.w, "list");
    wr_record_string(&s.w, nullptr, "a");
    wr_record_map_begin(&s.w, nullptr);
    wr_record_int(&s.w, "x", 1);
    wr_record_map_end(&s.w);
    wr_record_list_end(&s.w);
    wr_record_map_end(&s.w);
    wr_record_int(&s.w, "last", INT64_MIN);
    return s.Finish();
}

/* Walks a checked record as any reader would. */
uint64_t Walk(const wr_record *r);
uint64_t WalkValue(const wr_record_value *v) {
    uint64_t sum = v->count;
    if (v->type == 'm') {
        wr_record inner = wr_record_of(v);
        sum += Walk(&inner);
    }
    if (v->type == 'l') {
        uint32_t cursor = 0;
        wr_record_value item;
        while (wr_record_item(v, &cursor, &item)) {
            sum += WalkValue(&item);
        }
    }
    for (uint32_t i = 0; (v->type == 's' || v->type == 'b') && i < v->count; i++) {
        sum += v->bytes[i];
    }
    return sum;
}
uint64_t Walk(const wr_record *r) {
    uint64_t sum = 0;
    uint32_t cursor = 0, n;
    const char *name;
    wr_record_value v;
    while (wr_record_next(r, &cursor, &name, &n, &v)) {
        sum += n + WalkValue(&v);
    }
    return sum;
}

TEST(Record, WhatIsWrittenIsRead) {
    std::vector<uint8_t> bytes = Sample();
    wr_record r;
    wr_error err = {};
    ASSERT_EQ(WR_OK, wr_record_check(bytes.data(), bytes.size(), &r, &err)) << err.text;
    char text[16];
    EXPECT_EQ(-5, wr_record_get_int(&r, "int", 0));
    EXPECT_EQ(INT64_MIN, wr_record_get_int(&r, "last", 0));
    EXPECT_DOUBLE_EQ(2.5, wr_record_get_double(&r, "double", 0));
    EXPECT_DOUBLE_EQ(-5, wr_record_get_double(&r, "int", 0));
    EXPECT_TRUE(wr_record_get_string(&r, "text", text, sizeof text));
    EXPECT_STREQ("gr\xc3\xbc\xc3\x9f", text);
    wr_record_value v;
    ASSERT_TRUE(wr_record_find(&r, "bytes", &v));
    EXPECT_EQ('b', v.type);
    EXPECT_EQ(3u, v.count);
    ASSERT_TRUE(wr_record_find(&r, "none", &v));
    EXPECT_EQ('n', v.type);
    wr_record map;
    ASSERT_TRUE(wr_record_get_map(&r, "map", &map));
    EXPECT_EQ(7, wr_record_get_int(&map, "inner", 0));
    ASSERT_TRUE(wr_record_find(&map, "list", &v));
    EXPECT_EQ(2u, v.items);
    uint32_t cursor = 0;
    wr_record_value item;
    ASSERT_TRUE(wr_record_item(&v, &cursor, &item));
    EXPECT_EQ("a", std::string(reinterpret_cast<const char *>(item.bytes), item.count));
    ASSERT_TRUE(wr_record_item(&v, &cursor, &item));
    wr_record inner = wr_record_of(&item);
    EXPECT_EQ(1, wr_record_get_int(&inner, "x", 0));
    EXPECT_FALSE(wr_record_item(&v, &cursor, &item));
}

TEST(Record, AbsentOrMistypedFieldsGiveTheFallback) {
    std::vector<uint8_t> bytes = Sample();
    wr_record r;
    ASSERT_EQ(WR_OK, wr_record_check(bytes.data(), bytes.size(), &r, nullptr));
    char text[3];
    EXPECT_EQ(9, wr_record_get_int(&r, "text", 9));
    EXPECT_EQ(9, wr_record_get_int(&r, "absent", 9));
    EXPECT_FALSE(wr_record_get_string(&r, "int", text, sizeof text));
    EXPECT_FALSE(wr_record_get_string(&r, "text", text, sizeof text)) << "does not fit";
    EXPECT_STREQ("", text);
    wr_record map;
    EXPECT_FALSE(wr_record_get_map(&r, "int", &map));
}

TEST(Record, EveryTruncationIsRefused) {
    std::vector<uint8_t> bytes = Sample();
    for (size_t n = 0; n < bytes.size(); n++) {
        std::vector<uint8_t> cut(bytes.begin(),
                                 bytes.begin() + static_cast<long>(n)); /* own block: ASan sees overreads */
        wr_record r;
        wr_error err = {};
        EXPECT_EQ(WR_E_CORRUPT, wr_record_check(cut.data(), cut.size(), &r, &err)) << n;
        EXPECT_STRNE("", err.text);
    }
}

TEST(Record, EveryFlippedByteIsRefusedOrReadsWithinBounds) {
    std::vector<uint8_t> bytes = Sample();
    for (size_t i = 0; i < bytes.size(); i++) {
        for (int v = 0; v < 256; v++) {
            std::vector<uint8_t> bad = bytes;
            bad[i] = static_cast<uint8_t>(v);
            wr_record r;
            if (wr_record_check(bad.data(), bad.size(), &r, nullptr) == WR_OK) {
                Walk(&r);
            }
        }
    }
}

TEST(Record, NamesAreUniqueInShortAndLongRecords) {
    for (int fields : {2, 40}) {
        Writer s;
        wr_record_begin(&s.w);
        for (int i = 0; i < fields; i++) {
            wr_record_int(&s.w, ("f" + std::to_string(i)).c_str(), i);
        }
        std::vector<uint8_t> good = s.Finish();
        wr_record r;
        EXPECT_EQ(WR_OK, wr_record_check(good.data(), good.size(), &r, nullptr));
        wr_record_begin(&s.w);
        for (int i = 0; i < fields; i++) {
            wr_record_int(&s.w, ("f" + std::to_string(i % (fields - 1))).c_str(), i);
        }
        std::vector<uint8_t> bad = s.Finish();
        wr_error err = {};
        EXPECT_EQ(WR_E_CORRUPT, wr_record_check(bad.data(), bad.size(), &r, &err));
        EXPECT_NE(nullptr, strstr(err.text, "twice")) << err.text;
    }
}

TEST(Record, TextThatIsNotUtf8IsMendedByTheWriterAndRefusedByTheReader) {
    for (const char *bad : {"\xff", "a\xc3", "\xe2\x82", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80"}) {
        Writer s;
        wr_record_begin(&s.w);
        wr_record_string(&s.w, "t", bad);
        std::vector<uint8_t> bytes = s.Finish();
        wr_record r;
        EXPECT_EQ(WR_OK, wr_record_check(bytes.data(), bytes.size(), &r, nullptr));
        memcpy(bytes.data() + bytes.size() - strlen(bad), bad, strlen(bad));
        EXPECT_EQ(WR_E_CORRUPT, wr_record_check(bytes.data(), bytes.size(), &r, nullptr));
    }
}

TEST(Record, DepthIsBoundedOnBothSides) {
    Writer s;
    wr_record_begin(&s.w);
    for (int i = 0; i < WR_RECORD_DEPTH_MAX; i++) {
        wr_record_map_begin(&s.w, "m");
    }
    for (int i = 0; i < WR_RECORD_DEPTH_MAX; i++) {
        wr_record_map_end(&s.w);
    }
    std::vector<uint8_t> deepest = s.Finish();
    wr_record r;
    EXPECT_EQ(WR_OK, wr_record_check(deepest.data(), deepest.size(), &r, nullptr));

    wr_record_begin(&s.w);
    wr_record_packed(&s.w, "m", deepest.data(), deepest.size()); /* one deeper */
    const uint8_t *out;
    uint32_t count;
    EXPECT_EQ(WR_E_INVALID, wr_record_finish(&s.w, &out, &count, nullptr));
    wr_record_begin(&s.w);
    for (int i = 0; i <= WR_RECORD_DEPTH_MAX; i++) {
        wr_record_list_begin(&s.w, i == 0 ? "l" : nullptr);
    }
    EXPECT_EQ(WR_E_LIMIT, wr_record_finish(&s.w, &out, &count, nullptr));

    /* By hand: lists within lists, a megabyte of them. */
    std::vector<uint8_t> bomb = {1, 0, 1, 'l'};
    while (bomb.size() < 1000000) {
        uint32_t left = 1000000 - static_cast<uint32_t>(bomb.size()) - 9;
        bomb.push_back('l');
        for (int i = 0; i < 4; i++) {
            bomb.push_back(static_cast<uint8_t>(left >> (8 * i)));
        }
        bomb.insert(bomb.end(), {1, 0, 0, 0});
    }
    EXPECT_EQ(WR_E_CORRUPT, wr_record_check(bomb.data(), bomb.size(), &r, nullptr));
}

TEST(Record, TheWritersFirstFailureSticks) {
    Writer s;
    const uint8_t *out;
    uint32_t count;
    std::vector<uint8_t> big(WR_RECORD_BYTES_MAX, 1);
    wr_record_begin(&s.w);
    wr_record_bytes(&s.w, "b", big.data(), big.size());
    wr_record_int(&s.w, "i", 1);
    EXPECT_EQ(WR_E_LIMIT, wr_record_finish(&s.w, &out, &count, nullptr));
    wr_record_begin(&s.w);
    wr_record_int(&s.w, std::string(65, 'n').c_str(), 1);
    EXPECT_EQ(WR_E_INVALID, wr_record_finish(&s.w, &out, &count, nullptr));
    wr_record_begin(&s.w);
    wr_record_map_begin(&s.w, "m");
    EXPECT_EQ(WR_E_INVALID, wr_record_finish(&s.w, &out, &count, nullptr)) << "still open";
    wr_record_begin(&s.w);
    wr_record_map_begin(&s.w, "m");
    wr_record_list_end(&s.w);
    EXPECT_EQ(WR_E_INVALID, wr_record_finish(&s.w, &out, &count, nullptr));
    wr_record_begin(&s.w);
    wr_record_int(&s.w, "fine", 1);
    EXPECT_EQ(WR_OK, wr_record_finish(&s.w, &out, &count, nullptr)) << "begin forgives";
}

TEST(Record, NoMemoryIsAnErrorAndLeaksNothing) {
    for (uint64_t n = 1; n < 4; n++) {
        Writer s;
        wr_alloc_fail_nth(n);
        wr_record_begin(&s.w);
        std::string text(1000, 'x');
        wr_record_string(&s.w, "t", text.c_str());
        wr_alloc_fail_nth(0);
        const uint8_t *out;
        uint32_t count;
        wr_status status = wr_record_finish(&s.w, &out, &count, nullptr);
        EXPECT_EQ(n <= 2 ? WR_E_NO_MEMORY : WR_OK, status) << n;
    }
}

} // namespace

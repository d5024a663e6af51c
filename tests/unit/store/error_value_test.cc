#include <cstring>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "store/error_value.h"
#include "store/value.h"
#include "tests/unit/store/keeper_thread.h"

namespace {

wr_error Make(wr_status status, const std::string &text, const std::string &hint) {
    wr_error error = {};
    WR_FAIL(&error, status, "%s", text.c_str());
    wr_error_hint(&error, "%s", hint.c_str());
    return error;
}

wr_error ReadBack(const wr_pool *pool, const wr_result &result) {
    wr_view view;
    wr_error out = {};
    EXPECT_EQ(WR_OK, wr_store_view(pool, &result, &view, nullptr));
    EXPECT_EQ(WR_KIND_SYSTEM_ERROR, view.kind);
    wr_view_error(&view, &out);
    return out;
}

TEST(ErrorValue, StatusTextAndHintComeBack) {
    KeeperThread keeper;
    wr_proc *proc = keeper.Attach();
    for (const std::string &text : {std::string("short"), std::string(WR_ERROR_TEXT_MAX - 1, 't')}) {
        const wr_error error = Make(WR_E_WORKER_DIED, text, "look at the log");
        wr_result result;
        wr_store_error_encode(keeper.pool, proc, &error, &result);
        const wr_error back = ReadBack(keeper.pool, result);
        EXPECT_EQ(WR_E_WORKER_DIED, back.status);
        EXPECT_EQ(text, back.text);
        EXPECT_STREQ("look at the log", back.hint);
        wr_store_discard(proc, &result);
    }
    wr_proc_detach(proc);
}

TEST(ErrorValue, AShortErrorNeedsNoHeap) {
    wr_result result;
    wr_store_error_inline(WR_E_CANCELLED, "the task was cancelled", &result);
    EXPECT_EQ(WR_AT_INLINE, result.location);
    wr_error back = {};
    wr_store_error_decode(result.inline_bytes, result.bytes, &back);
    EXPECT_EQ(WR_E_CANCELLED, back.status);
    EXPECT_STREQ("the task was cancelled", back.text);
}

TEST(ErrorValue, AnInlineTextIsCutBetweenCharacters) {
    wr_result result;
    wr_store_error_inline(WR_E_IO, "12345678901234567890123\xc3\xa4",
                          &result); // the last character ends at byte 25
    wr_error back = {};
    wr_store_error_decode(result.inline_bytes, result.bytes, &back);
    EXPECT_STREQ("12345678901234567890123", back.text);
}

TEST(ErrorValue, AnEmptyTextReadsAsTheMeaningOfTheStatus) {
    wr_result result;
    wr_store_error_inline(WR_E_ACTOR_DIED, "", &result);
    wr_error back = {};
    wr_store_error_decode(result.inline_bytes, result.bytes, &back);
    EXPECT_STREQ(wr_status_text(WR_E_ACTOR_DIED), back.text);
}

TEST(ErrorValue, WhatIsNoErrorIsCorruptAndSaysSo) {
    uint8_t packed[WR_ERROR_VALUE_MAX];
    const wr_error error = Make(WR_E_IO, "text", "hint");
    const uint32_t n = wr_store_error_pack(&error, packed);
    wr_error back = {};
    for (uint32_t cut = 0; cut < n; cut++) {
        wr_store_error_decode(packed, cut, &back);
        EXPECT_EQ(WR_E_CORRUPT, back.status) << cut;
    }
    uint8_t other[WR_ERROR_VALUE_MAX];
    memcpy(other, packed, n);
    other[0] = 2; // a version of the future
    wr_store_error_decode(other, n, &back);
    EXPECT_EQ(WR_E_CORRUPT, back.status);
    memcpy(other, packed, n);
    other[2] = 0xff; // a status that is none
    wr_store_error_decode(other, n, &back);
    EXPECT_EQ(WR_E_CORRUPT, back.status);
    std::mt19937 random(7);
    for (int round = 0; round < 20000; round++) {
        memcpy(other, packed, n);
        other[random() % n] = (uint8_t)random();
        wr_store_error_decode(other, n, &back);
        EXPECT_NE(WR_OK, back.status);
        EXPECT_LT(strnlen(back.text, sizeof back.text), sizeof back.text);
    }
}

TEST(ErrorValue, ATextThatBeginsWithAZeroByteReadsAsItsStatus) {
    const uint8_t stream[] = {WR_ERROR_VALUE_VERSION, 0, 0, 0, 2, 0, 1, 0, 0, 'x', 'h'};
    uint8_t hostile[sizeof stream];
    memcpy(hostile, stream, sizeof stream);
    hostile[2] = WR_E_WORKER_DIED & 0xff;
    hostile[3] = WR_E_WORKER_DIED >> 8;
    wr_error back = {};
    wr_store_error_decode(hostile, sizeof hostile, &back);
    EXPECT_EQ(WR_E_WORKER_DIED, back.status);
    EXPECT_STREQ(wr_status_text(WR_E_WORKER_DIED), back.text);
    EXPECT_STREQ("h", back.hint);
}

TEST(ErrorValue, AViewOfAnotherKindHoldsNoError) {
    wr_view view;
    wr_store_view_inline(WR_KIND_VALUE, "x", 1, &view);
    wr_error back = {};
    wr_view_error(&view, &back);
    EXPECT_EQ(WR_E_INVALID, back.status);
}

TEST(ErrorValue, WithoutRoomInTheHeapTheErrorIsCutNotLost) {
    KeeperThread keeper(16u << 20);
    wr_proc *proc = keeper.Attach();
    std::string text(600, 'x');
    const wr_error error = Make(WR_E_TASK_FAILED, text, "");
    keeper.Stop();
    wr_pool_poison(keeper.pool, "test"); // so that no allocation waits
    uint64_t block = 0;
    for (uint64_t bytes = 1 << 20; bytes >= 512; bytes /= 2) {
        while (wr_proc_heap_alloc(proc, bytes, &block, nullptr) == WR_OK) {
        }
    }
    wr_result result;
    wr_store_error_encode(keeper.pool, proc, &error, &result);
    EXPECT_EQ(WR_AT_INLINE, result.location);
    wr_error back = {};
    wr_store_error_decode(result.inline_bytes, result.bytes, &back);
    EXPECT_EQ(WR_E_TASK_FAILED, back.status);
    EXPECT_EQ(text.substr(0, 24), back.text);
    wr_proc_detach(proc);
}

} // namespace

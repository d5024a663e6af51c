#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "store/value.h"
#include "tests/unit/store/keeper_thread.h"

namespace {

class Value : public testing::Test {
  protected:
    void SetUp() override {
        proc_ = keeper_.Attach();
    }
    void TearDown() override {
        wr_proc_detach(proc_);
    }

    wr_result Store(const std::vector<wr_value> &values, wr_kind kind = WR_KIND_VALUE) {
        wr_result result = {};
        wr_error err = {};
        EXPECT_EQ(WR_OK, wr_store_values(keeper_.pool, proc_, kind, values.data(), (uint32_t)values.size(),
                                         &result, &err))
            << err.text;
        return result;
    }

    wr_ref Put(int64_t number) {
        const wr_value value = Stream(&number, sizeof number);
        const wr_result result = Store({value});
        wr_handle ref = 0;
        EXPECT_EQ(WR_OK, wr_proc_put(proc_, &result, &ref, nullptr));
        return ref;
    }

    static wr_value Stream(const void *bytes, uint64_t count) {
        wr_value value = {};
        value.stream = (const uint8_t *)bytes;
        value.stream_bytes = count;
        return value;
    }

    static std::string Text(const wr_view &view) {
        return std::string((const char *)view.stream, view.stream_bytes);
    }

    static std::string Buffer(const wr_view &view, uint32_t index) {
        const uint8_t *data = nullptr;
        uint64_t bytes = 0;
        return wr_view_buffer(&view, index, &data, &bytes) ? std::string((const char *)data, bytes)
                                                           : "<none>";
    }

    KeeperThread keeper_;
    wr_proc *proc_ = nullptr;
};

TEST_F(Value, AStreamOfUpTo32BytesLiesInItsCellAndALongerOneInABlock) {
    for (size_t n : {0u, 1u, 31u, 32u, 33u, 1000u}) {
        const std::string text(n, 'x');
        const wr_result result = Store({Stream(text.data(), n)});
        EXPECT_EQ(n <= 32 ? WR_AT_INLINE : WR_AT_HEAP, result.location) << n;
        wr_view view;
        ASSERT_EQ(WR_OK, wr_store_view(keeper_.pool, &result, &view, nullptr)) << n;
        EXPECT_EQ(WR_KIND_VALUE, view.kind);
        EXPECT_EQ(text, Text(view));
        wr_store_discard(proc_, &result);
    }
}

TEST_F(Value, BuffersLieAtMultiplesOf64AndKeepTheirBytes) {
    const std::string a(1, 'a'), b(100, 'b'), c(70000, 'c');
    const wr_buffer buffers[] = {
        {a.data(), a.size()}, {nullptr, 0}, {b.data(), b.size()}, {c.data(), c.size()}};
    wr_value value = Stream("stream", 6);
    value.buffers = buffers;
    value.buffer_count = 4;
    const wr_result result = Store({value});
    wr_view view;
    ASSERT_EQ(WR_OK, wr_store_view(keeper_.pool, &result, &view, nullptr));
    ASSERT_EQ(4u, view.buffer_count);
    EXPECT_EQ("stream", Text(view));
    EXPECT_EQ(a, Buffer(view, 0));
    EXPECT_EQ("", Buffer(view, 1));
    EXPECT_EQ(b, Buffer(view, 2));
    EXPECT_EQ(c, Buffer(view, 3));
    EXPECT_EQ("<none>", Buffer(view, 4));
    for (uint32_t i = 0; i < 4; i++) {
        const uint8_t *data = nullptr;
        uint64_t bytes = 0;
        ASSERT_TRUE(wr_view_buffer(&view, i, &data, &bytes));
        EXPECT_EQ(0u, (uintptr_t)data % 64);
    }
    const uint64_t sizes[] = {1, 0, 100, 70000};
    EXPECT_EQ(wr_block_size(0, 0, 4, sizes, 0, 6), view.block_bytes);
    wr_store_discard(proc_, &result);
}

TEST_F(Value, ReferencesStandInTheTableAndKeepTheirObjectsAlive) {
    const wr_ref refs[] = {Put(1), Put(2)};
    wr_value value = Stream("ab", 2);
    value.refs = refs;
    value.ref_count = 2;
    const wr_result result = Store({value});
    wr_handle container = 0;
    ASSERT_EQ(WR_OK, wr_proc_put(proc_, &result, &container, nullptr));
    wr_view view;
    wr_result found;
    ASSERT_EQ(WR_OK, wr_cell_result(keeper_.pool, container, &found));
    ASSERT_EQ(WR_OK, wr_store_view(keeper_.pool, &found, &view, nullptr));
    ASSERT_EQ(2u, view.ref_count);
    EXPECT_EQ(refs[0], view.refs[0]);
    EXPECT_EQ(refs[1], view.refs[1]);
    wr_proc_unref(proc_, refs[0]);
    wr_proc_unref(proc_, refs[1]);
    EXPECT_EQ(WR_CELL_SEALED, wr_cell_state_of(keeper_.pool, refs[0]));
    wr_proc_unref(proc_, container);
}

TEST_F(Value, SeveralReturnsShareABlockAndEachIsAViewOfItsOwn) {
    const std::string big(5000, 'z'), small("q");
    const wr_buffer first[] = {{big.data(), big.size()}};
    const wr_buffer third[] = {{small.data(), 1}, {big.data(), 10}};
    const wr_ref refs[] = {Put(7), Put(8), Put(9)};
    wr_value values[3] = {Stream("one", 3), Stream("", 0), Stream("three", 5)};
    values[0].buffers = first;
    values[0].buffer_count = 1;
    values[0].refs = refs;
    values[0].ref_count = 1;
    values[2].buffers = third;
    values[2].buffer_count = 2;
    values[2].refs = refs + 1;
    values[2].ref_count = 2;
    const wr_result result = Store({values[0], values[1], values[2]});
    wr_view all, one, two, three, none;
    ASSERT_EQ(WR_OK, wr_store_view(keeper_.pool, &result, &all, nullptr));
    EXPECT_EQ(WR_KIND_VALUES, all.kind);
    ASSERT_EQ(3u, all.item_count);
    ASSERT_TRUE(wr_view_item(&all, 0, &one));
    ASSERT_TRUE(wr_view_item(&all, 1, &two));
    ASSERT_TRUE(wr_view_item(&all, 2, &three));
    EXPECT_FALSE(wr_view_item(&all, 3, &none));
    EXPECT_FALSE(wr_view_item(&one, 0, &none));
    EXPECT_EQ("one", Text(one));
    EXPECT_EQ(big, Buffer(one, 0));
    EXPECT_EQ("<none>", Buffer(one, 1));
    ASSERT_EQ(1u, one.ref_count);
    EXPECT_EQ(refs[0], one.refs[0]);
    EXPECT_EQ("", Text(two));
    EXPECT_EQ(0u, two.buffer_count + two.ref_count);
    EXPECT_EQ("three", Text(three));
    EXPECT_EQ("q", Buffer(three, 0));
    EXPECT_EQ(std::string(10, 'z'), Buffer(three, 1));
    ASSERT_EQ(2u, three.ref_count);
    EXPECT_EQ(refs[2], three.refs[1]);
    wr_store_discard(proc_, &result);
    for (wr_ref ref : refs) {
        wr_proc_unref(proc_, ref);
    }
}

TEST_F(Value, NoReturnsAtAllAreAnEmptyTable) {
    wr_result result = {};
    ASSERT_EQ(WR_OK, wr_store_values(keeper_.pool, proc_, WR_KIND_VALUE, nullptr, 0, &result, nullptr));
    wr_view view, item;
    ASSERT_EQ(WR_OK, wr_store_view(keeper_.pool, &result, &view, nullptr));
    EXPECT_EQ(WR_KIND_VALUES, view.kind);
    EXPECT_EQ(0u, view.item_count);
    EXPECT_FALSE(wr_view_item(&view, 0, &item));
}

TEST_F(Value, SizesWithoutPointersAndSizesThatOverflowAreRefused) {
    wr_result result = {};
    wr_error err = {};
    wr_value value = Stream(nullptr, 100);
    EXPECT_EQ(WR_E_INVALID, wr_store_values(keeper_.pool, proc_, WR_KIND_VALUE, &value, 1, &result, &err));
    const wr_buffer nowhere = {nullptr, 5};
    value = Stream("", 0);
    value.buffers = &nowhere;
    value.buffer_count = 1;
    EXPECT_EQ(WR_E_INVALID, wr_store_values(keeper_.pool, proc_, WR_KIND_VALUE, &value, 1, &result, &err));
    const wr_buffer endless[2] = {{"x", UINT64_MAX - 10}, {"x", UINT64_MAX - 10}};
    value.buffers = endless;
    value.buffer_count = 2;
    EXPECT_EQ(WR_E_INVALID, wr_store_values(keeper_.pool, proc_, WR_KIND_VALUE, &value, 1, &result, &err));
    const wr_value two[2] = {Stream("a", 1), Stream("b", 1)};
    EXPECT_EQ(WR_E_INVALID, wr_store_values(keeper_.pool, proc_, WR_KIND_ERROR, two, 2, &result, &err));
    EXPECT_EQ(WR_E_INVALID, wr_store_values(keeper_.pool, proc_, WR_KIND_PENDING, two, 1, &result, &err));
}

TEST_F(Value, SpilledDeviceAndRemoteObjectsAreRefusedByName) {
    const char *names[] = {"spilled", "device", "remote"};
    for (uint8_t i = 0; i < 3; i++) {
        wr_result result = {};
        result.kind = WR_KIND_VALUE;
        result.location = (uint8_t)(WR_AT_SPILLED + i);
        wr_view view;
        wr_error err = {};
        EXPECT_EQ(WR_E_UNSUPPORTED, wr_store_view(keeper_.pool, &result, &view, &err));
        EXPECT_NE(nullptr, strstr(err.text, names[i])) << err.text;
    }
}

TEST_F(Value, UnknownKindsLocationsAndOffsetsAreCorrupt) {
    wr_view view;
    wr_result result = {};
    result.kind = 9;
    EXPECT_EQ(WR_E_CORRUPT, wr_store_view(keeper_.pool, &result, &view, nullptr));
    result.kind = WR_KIND_VALUE;
    result.location = 7;
    EXPECT_EQ(WR_E_CORRUPT, wr_store_view(keeper_.pool, &result, &view, nullptr));
    result.location = WR_AT_INLINE;
    result.bytes = 33;
    EXPECT_EQ(WR_E_CORRUPT, wr_store_view(keeper_.pool, &result, &view, nullptr));
    result.bytes = 0;
    result.location = WR_AT_HEAP;
    for (uint64_t offset : {(uint64_t)7, (uint64_t)64 << 40, UINT64_MAX - 63, UINT64_MAX}) {
        result.offset = offset;
        EXPECT_EQ(WR_E_CORRUPT, wr_store_view(keeper_.pool, &result, &view, nullptr)) << offset;
    }
}

TEST_F(Value, ABufferOutsideItsBlockIsNotHandedOut) {
    const std::string big(1000, 'b');
    const wr_buffer buffer = {big.data(), big.size()};
    wr_value value = Stream("s", 1);
    value.buffers = &buffer;
    value.buffer_count = 1;
    const wr_result result = Store({value});
    wr_view view;
    ASSERT_EQ(WR_OK, wr_store_view(keeper_.pool, &result, &view, nullptr));
    uint8_t *block = wr_pool_heap_write(keeper_.pool, result.offset, view.block_bytes);
    auto *pair = (uint64_t *)(block + WR_BLOCK_HEADER_BYTES);
    const uint64_t good[2] = {pair[0], pair[1]};
    const uint64_t bad[][2] = {{good[0], view.block_bytes},
                               {view.block_bytes + 1, 0},
                               {UINT64_MAX, 2},
                               {64, UINT64_MAX},
                               {UINT64_MAX - 5, UINT64_MAX - 5}};
    const uint8_t *data = nullptr;
    uint64_t bytes = 0;
    for (const auto &hostile : bad) {
        memcpy(pair, hostile, sizeof hostile);
        EXPECT_FALSE(wr_view_buffer(&view, 0, &data, &bytes));
    }
    memcpy(pair, good, sizeof good);
    EXPECT_TRUE(wr_view_buffer(&view, 0, &data, &bytes));
    wr_store_discard(proc_, &result);
}

// Any byte of a block may be anything: a reader gets an error, or pieces that lie within the block.
TEST_F(Value, MutatedBlocksNeverLeadOutOfTheirBounds) {
    const std::string big(3000, 'b');
    const wr_buffer buffers[] = {{big.data(), big.size()}, {big.data(), 65}};
    const wr_ref refs[] = {Put(1), Put(2)};
    std::mt19937_64 random(20261124);
    uint64_t opened = 0, refused = 0;
    for (int round = 0; round < 4000; round++) {
        wr_value values[2] = {Stream("first stream", 12), Stream("second", 6)};
        values[0].buffers = buffers;
        values[0].buffer_count = 2;
        values[1].refs = refs;
        values[1].ref_count = 2;
        const wr_result result = Store({values[0], values[1]});
        wr_view view;
        ASSERT_EQ(WR_OK, wr_store_view(keeper_.pool, &result, &view, nullptr));
        const uint64_t whole = view.block_bytes;
        uint8_t *block = wr_pool_heap_write(keeper_.pool, result.offset, whole);
        std::vector<uint8_t> before(block, block + 256);
        for (int k = 0; k < 4; k++) {
            const uint64_t at = random() % 256;
            block[at] = (uint8_t)(random() % 3 == 0 ? 0xff : random());
        }
        if (wr_store_view(keeper_.pool, &result, &view, nullptr) == WR_OK) {
            opened++;
            uint64_t sum = 0;
            for (uint32_t item = 0; item < view.item_count && item < 1000; item++) {
                wr_view one;
                if (!wr_view_item(&view, item, &one)) {
                    continue;
                }
                for (uint64_t i = 0; i < one.stream_bytes; i++) {
                    sum += one.stream[i];
                }
                for (uint32_t i = 0; i < one.ref_count; i++) {
                    sum += wr_cell_state_of(keeper_.pool, one.refs[i]);
                }
                for (uint32_t i = 0; i < one.buffer_count; i++) {
                    const uint8_t *data = nullptr;
                    uint64_t bytes = 0;
                    if (wr_view_buffer(&one, i, &data, &bytes)) {
                        EXPECT_GE(data, view.base);
                        EXPECT_LE(data + bytes, view.base + view.block_bytes);
                        for (uint64_t k = 0; k < bytes; k += 64) {
                            sum += data[k];
                        }
                    }
                }
            }
            volatile uint64_t use = sum;
            (void)use;
        } else {
            refused++;
        }
        memcpy(block, before.data(), before.size());
        wr_store_discard(proc_, &result);
    }
    EXPECT_GT(opened, 0u);
    EXPECT_GT(refused, 0u);
}

TEST_F(Value, ArgumentsKeepRoomForLinksAndCreditsInFrontOfTheirStream) {
    const wr_value args = Stream("arguments", 9);
    uint64_t block = 0;
    ASSERT_EQ(WR_OK, wr_store_args(keeper_.pool, proc_, &args, 5, 16, &block, nullptr));
    wr_block_view view;
    ASSERT_EQ(WR_OK, wr_block_open(keeper_.pool, block, &view, nullptr));
    EXPECT_EQ(5u, view.header.link_count);
    EXPECT_EQ(16u, view.header.stream_window);
    ASSERT_NE(nullptr, view.credits);
    for (int i = 0; i < 18; i++) {
        EXPECT_EQ(0u, view.credits[i]);
    }
    EXPECT_EQ("arguments", std::string((const char *)view.stream, view.header.stream_bytes));
    EXPECT_EQ(wr_block_size(5, 0, 0, nullptr, 16, 9), view.header.bytes);
    wr_proc_heap_free(proc_, block);
}

TEST_F(Value, AFullStoreSaysItsFigures) {
    wr_result result = {};
    wr_error err = {};
    const std::vector<uint8_t> small(1);
    const wr_buffer huge = {small.data(), (uint64_t)1 << 40}; // refused before a byte is read
    wr_value value = Stream("", 0);
    value.buffers = &huge;
    value.buffer_count = 1;
    EXPECT_EQ(WR_E_OBJECT_STORE_FULL,
              wr_store_values(keeper_.pool, proc_, WR_KIND_VALUE, &value, 1, &result, &err));
    EXPECT_NE(nullptr, strpbrk(err.text, "0123456789")) << err.text;
}

} // namespace

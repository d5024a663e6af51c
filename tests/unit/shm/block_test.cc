#include "harness.h"

namespace {

TEST(Block, SizesAddUpAndBuffersBeginAtMultiplesOf64) {
    uint64_t buffers[] = {1, 100};
    EXPECT_EQ(64u, wr_block_size(0, 0, 0, nullptr, 0, 0));
    EXPECT_EQ(64u, wr_block_size(1, 0, 0, nullptr, 0, 0));
    EXPECT_EQ(128u, wr_block_size(1, 1, 0, nullptr, 0, 0));
    // 48 + 2 * 16 = 80; 80 + 10 = 90; buffers at 128 and 192, the end at 292.
    EXPECT_EQ(320u, wr_block_size(0, 0, 2, buffers, 0, 10));
    EXPECT_EQ(48u + 16 + 8 * 8 + 0, wr_block_size(0, 0, 0, nullptr, 8, 0));
}

TEST(Block, AnOverflowIsRefused) {
    uint64_t huge[] = {UINT64_MAX - 100};
    EXPECT_EQ(0u, wr_block_size(0, 0, 1, huge, 0, 0));
    EXPECT_EQ(0u, wr_block_size(0, 0, 0, nullptr, UINT64_MAX / 4, 0));
    EXPECT_EQ(0u, wr_block_size(0, 0, 0, nullptr, 0, UINT64_MAX - 40));
    EXPECT_EQ(0u, wr_block_size(0, 0, 1, nullptr, 0, 0)); // buffers without sizes
}

class BlockFound : public ::testing::Test {
  protected:
    Node node;
    std::unique_ptr<Part> part = node.Open();
    uint64_t offset = part->Block({}, 100, 7, 2);
    wr_block_header *Header() {
        return reinterpret_cast<wr_block_header *>(
            wr_pool_heap_write(node.pool, offset, sizeof(wr_block_header)));
    }
    wr_status Open() {
        wr_block_view view;
        return wr_block_open(node.pool, offset, &view, nullptr);
    }
};

TEST_F(BlockFound, OpensWithItsParts) {
    wr_block_view view;
    ASSERT_EQ(WR_OK, wr_block_open(node.pool, offset, &view, nullptr));
    EXPECT_EQ(2u, view.header.link_count);
    EXPECT_EQ(100u, view.header.stream_bytes);
    EXPECT_EQ(view.base + 48 + 32, view.stream);
    EXPECT_EQ(nullptr, view.credits);
    EXPECT_EQ(7, view.stream[99]);
}

TEST_F(BlockFound, IsRefusedWhenAnyPartLeavesTheBlockOrTheHeap) {
    wr_block_header good = *Header();
    Header()->magic++;
    EXPECT_EQ(WR_E_CORRUPT, Open());
    *Header() = good;
    Header()->bytes = UINT64_MAX;
    EXPECT_EQ(WR_E_CORRUPT, Open());
    Header()->bytes = node.pool == nullptr ? 0 : wr_pool_geometry_of(node.pool)->heap_bytes + 64;
    EXPECT_EQ(WR_E_CORRUPT, Open());
    *Header() = good;
    Header()->link_count = UINT32_MAX;
    EXPECT_EQ(WR_E_CORRUPT, Open());
    *Header() = good;
    Header()->ref_count = UINT32_MAX;
    EXPECT_EQ(WR_E_CORRUPT, Open());
    *Header() = good;
    Header()->stream_bytes = UINT64_MAX - 3;
    EXPECT_EQ(WR_E_CORRUPT, Open());
    *Header() = good;
    Header()->stream_window = UINT64_MAX / 8;
    EXPECT_EQ(WR_E_CORRUPT, Open());
    *Header() = good;
    EXPECT_EQ(WR_OK, Open());
}

TEST_F(BlockFound, OffsetsOutsideTheHeapOrUnalignedAreRefused) {
    wr_block_view view;
    for (uint64_t at :
         {offset + 1, offset + 8, uint64_t{wr_pool_geometry_of(node.pool)->heap_bytes}, UINT64_MAX - 10}) {
        EXPECT_EQ(WR_E_CORRUPT, wr_block_open(node.pool, at, &view, nullptr)) << at;
    }
}

} // namespace

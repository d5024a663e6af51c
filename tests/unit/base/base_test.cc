// tests/unit/base/base_test.cc: statuses, errors, identifiers, maps.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>

#include "base/base.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/map.h"

namespace {

TEST(StatusTest, EveryStatusHasAnOwnNumberNameAndMeaning) {
    std::set<int> numbers;
    std::set<std::string> names;
#define WR_STATUS(name, number, grpc, python, text)                                                          \
    EXPECT_TRUE(numbers.insert(number).second) << #name;                                                     \
    EXPECT_TRUE(names.insert(wr_status_name(WR_##name)).second);                                             \
    EXPECT_STREQ(text, wr_status_text(WR_##name));                                                           \
    EXPECT_EQ(grpc, wr_status_to_grpc(WR_##name));
#include "whipray/status.def"
#undef WR_STATUS
}

TEST(StatusTest, AnUnknownNumberReadsAsAnInternalError) {
    EXPECT_STREQ("INTERNAL", wr_status_name(static_cast<wr_status>(9999)));
    EXPECT_EQ(WR_E_INTERNAL, wr_status_from_grpc(77));
}

TEST(ErrorTest, APrefixKeepsTheTextBehindIt) {
    wr_error err = {};
    EXPECT_EQ(WR_E_INVALID, WR_FAIL(&err, WR_E_INVALID, "num_cpus is %d", -1));
    wr_error_prefix(&err, "options of %s", "f");
    EXPECT_STREQ("options of f: num_cpus is -1", err.text);
    EXPECT_EQ(WR_E_INVALID, err.status);
}

TEST(ErrorTest, ATextThatIsTooLongIsCutAndStaysTerminated) {
    wr_error err = {};
    std::string text(5000, 'x');
    WR_FAIL(&err, WR_E_INVALID, "%s", text.c_str());
    EXPECT_EQ(sizeof err.text - 1, strlen(err.text));
    wr_error_prefix(&err, "%s", text.c_str());
    EXPECT_EQ(sizeof err.text - 1, strlen(err.text));
}

TEST(ErrorTest, DescriptorsUsedUpIsALimitThatNamesTheRemedy) {
    wr_error err = {};
    errno = EMFILE;
    EXPECT_EQ(WR_E_LIMIT, WR_FAIL_ERRNO(&err, "open of %s", "/x"));
    EXPECT_NE(nullptr, strstr(err.hint, "ulimit"));
}

TEST(IdTest, AnObjectIdSplitsIntoWhatItWasMadeOf) {
    wr_node_id node = wr_node_id_make(0x1122334455667788, 42);
    wr_object_id id = wr_object_id_make(&node, 7, 0xabcdef0123456789, 3);
    uint64_t cluster, handle;
    uint32_t incarnation, job, index;
    wr_object_id_split(&id, &cluster, &incarnation, &job, &handle, &index);
    EXPECT_EQ(0x1122334455667788u, cluster);
    EXPECT_EQ(42u, incarnation);
    EXPECT_EQ(7u, job);
    EXPECT_EQ(0xabcdef0123456789u, handle);
    EXPECT_EQ(3u, index);
    EXPECT_EQ(42u, wr_node_id_incarnation(&node));
}

TEST(IdTest, HexReadsBackAndRefusesWhatIsNotExactlyTheDigits) {
    const uint8_t bytes[4] = {0x00, 0x9f, 0xff, 0x10};
    char text[9];
    wr_hex_encode(bytes, 4, text);
    EXPECT_STREQ("009fff10", text);
    uint8_t back[4];
    EXPECT_TRUE(wr_hex_decode(text, 4, back));
    EXPECT_EQ(0, memcmp(bytes, back, 4));
    EXPECT_FALSE(wr_hex_decode("009fff1", 4, back));
    EXPECT_FALSE(wr_hex_decode("009fff100", 4, back));
    EXPECT_FALSE(wr_hex_decode("009fff1g", 4, back));
}

TEST(MapTest, AgreesWithTheStandardMapOverRandomOperations) {
    std::mt19937_64 random(7);
    std::map<uint64_t, uint64_t> truth;
    wr_map map = {};
    for (int i = 0; i < 200000; i++) {
        uint64_t key = random() % 4096, value = random();
        if (random() % 3 != 0) {
            ASSERT_EQ(WR_OK, wr_map_set(&map, key, value, nullptr));
            truth[key] = value;
        } else {
            EXPECT_EQ(truth.erase(key) == 1, wr_map_remove(&map, key, nullptr));
        }
    }
    EXPECT_EQ(truth.size(), map.count);
    uint32_t cursor = 0;
    uint64_t key, value;
    size_t seen = 0;
    while (wr_map_next(&map, &cursor, &key, &value)) {
        EXPECT_EQ(truth.at(key), value);
        seen++;
    }
    EXPECT_EQ(truth.size(), seen);
    wr_map_done(&map);
}

TEST(MapTest, AFailedAllocationLeavesTheMapAsItWas) {
    wr_map map = {};
    uint64_t n = 0;
    for (uint64_t fail = 1; fail <= 2; fail++) {
        for (; (map.filled + 1) * 4ull <= map.capacity * 3ull; n++) {
            ASSERT_EQ(WR_OK, wr_map_set(&map, n, n, nullptr));
        }
        wr_alloc_fail_nth(fail);
        EXPECT_EQ(WR_E_NO_MEMORY, wr_map_set(&map, n, n, nullptr));
        wr_alloc_fail_nth(0);
        EXPECT_EQ(n, map.count);
        ASSERT_EQ(WR_OK, wr_map_set(&map, n, n, nullptr));
        n++;
    }
    wr_map_done(&map);
}

} // namespace

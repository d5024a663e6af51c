#include "raylet/shell/last_lines.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

/* The result for a buffer of `size` bytes; what lies around the buffer must stay as it is. */
std::string Last(const std::string &text, size_t size) {
    static const std::string guard(4096, 0x5a); /* more than any text of these tests */
    std::string memory = guard + std::string(size, 0x5a) + guard;
    char *out = memory.data() + guard.size();
    shell_last_lines(text.data(), text.size(), out, size);
    EXPECT_EQ(0, memory.compare(0, guard.size(), guard)) << "written below " << size << " bytes: " << text;
    EXPECT_EQ(0, memory.compare(guard.size() + size, guard.size(), guard)) << "written above them: " << text;
    EXPECT_NE(nullptr, memchr(out, 0, size));
    out[size - 1] = 0;
    return out;
}

TEST(LastLines, WholeLinesWithoutTheNewlinesBehindThem) {
    EXPECT_EQ("", Last("", 100));
    EXPECT_EQ("", Last("\n\n", 100));
    EXPECT_EQ("a\n\nb", Last("a\n\nb\n\n", 100));
}

TEST(LastLines, TenAtMost) {
    std::string text, last;
    for (int k = 0; k < 15; k++) {
        text += std::to_string(k) + "\n";
        last += k < 5 ? "" : std::to_string(k) + (k < 14 ? "\n" : "");
    }
    EXPECT_EQ(last, Last(text, 100));
}

TEST(LastLines, AsManyAsFit) {
    EXPECT_EQ("bb\nccc", Last("aaaa\nbb\nccc\n", 7));
    EXPECT_EQ("ccc", Last("aaaa\nbb\nccc\n", 6));
}

TEST(LastLines, NothingIsWrittenBelowABufferThatIsFull) {
    EXPECT_EQ(std::string(320, 'x'), Last("a\n\n" + std::string(400, 'x') + "\n", 321));
    EXPECT_EQ(std::string(320, 'x'), Last("a\n\n" + std::string(320, 'x') + "\n", 321));
    EXPECT_EQ("bb\nccc", Last("a\n\nbb\nccc\n", 7));
    EXPECT_EQ("", Last("a\n\nb\n", 1));
}

TEST(LastLines, ALongLineIsCutBetweenTwoCharacters) {
    EXPECT_EQ("\xc3\xa9z", Last("a\xc3\xa9z", 4));
    EXPECT_EQ("z", Last("a\xc3\xa9z", 3));
    EXPECT_EQ("", Last("\x80\x80\x80", 2));
}

TEST(LastLines, NamesOfTasksAreLeftOutAndZeroBytesAreSpaces) {
    EXPECT_EQ("a\nb c", Last(std::string("a\n::task_name:f\nb\0c\n::actor_name:A\n", 35), 100));
}

TEST(LastLines, AnyTextInABufferOfAnySizeEndsAsTheTextDoes) {
    std::mt19937 random(1); // NOLINT(cert-msc51-cpp): the same texts each time
    const std::vector<std::string> pieces = {
        "\n", "\n\n", "x", "\xc3\xa9", "\x80", "::task_name:f\n", std::string(1, '\0'), "some words"};
    for (int round = 0; round < 5000; round++) {
        std::string text;
        for (size_t count = random() % 24; count > 0; count--) {
            text += pieces[random() % pieces.size()];
        }
        const std::string last = Last(text, 1 + random() % 64);
        if (text.find("::") == std::string::npos) {
            for (char &c : text) {
                c = c == 0 ? ' ' : c;
            }
            const size_t end = text.find_last_not_of('\n') + 1;
            ASSERT_LE(last.size(), end);
            ASSERT_EQ(text.substr(end - last.size(), last.size()), last);
        }
    }
}

} // namespace

#include "local/paths.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace {

/* A folder of its own for each test, removed with what the test made. */
class Paths : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/wrpathsXXXXXX";
        ASSERT_NE(nullptr, mkdtemp(name));
        dir_ = name;
        unsetenv("WHIPRAY_AUTH_TOKEN");
        unsetenv("WHIPRAY_AUTH_TOKEN_PATH");
        setenv("HOME", name, 1);
    }
    void TearDown() override {
        std::filesystem::remove_all(dir_);
    }
    std::string dir_;
    wr_error err_ = {};
};

TEST_F(Paths, ASessionHasPrivateFoldersAndIsTheLatest) {
    std::string root = dir_ + "/deep/root";
    char session[WR_PATH_MAX];
    ASSERT_EQ(WR_OK, wr_paths_session(root.c_str(), session, &err_)) << err_.text;
    struct stat st;
    for (const char *part : {"", "/logs", "/sockets"}) {
        ASSERT_EQ(0, stat((std::string(session) + part).c_str(), &st));
        EXPECT_EQ(0700u, st.st_mode & 0777u);
    }
    char to[WR_PATH_MAX] = {};
    ASSERT_GT(readlink((root + "/session_latest").c_str(), to, sizeof to - 1), 0);
    EXPECT_STREQ(session, to);
}

TEST_F(Paths, AFolderThatOthersMayEnterOrThatIsALinkIsRefused) {
    std::string open = dir_ + "/open", link = dir_ + "/link";
    ASSERT_EQ(0, mkdir(open.c_str(), 0700));
    ASSERT_EQ(0, chmod(open.c_str(), 0755));
    EXPECT_EQ(WR_E_DENIED, wr_paths_folder(open.c_str(), &err_));
    EXPECT_NE(nullptr, strstr(err_.text, "755"));
    ASSERT_EQ(0, symlink(dir_.c_str(), link.c_str()));
    EXPECT_EQ(WR_E_DENIED, wr_paths_folder(link.c_str(), &err_));
    EXPECT_EQ(WR_E_NOT_FOUND, wr_paths_folder((dir_ + "/no/child").c_str(), &err_));
}

TEST_F(Paths, TheRootFollowsTheVariable) {
    char root[WR_PATH_MAX];
    unsetenv("WHIPRAY_TMPDIR");
    ASSERT_EQ(WR_OK, wr_paths_root(nullptr, root, &err_));
    EXPECT_EQ("/tmp/whipray-" + std::to_string(geteuid()), root);
    setenv("WHIPRAY_TMPDIR", dir_.c_str(), 1);
    ASSERT_EQ(WR_OK, wr_paths_root(nullptr, root, &err_));
    EXPECT_EQ(dir_ + "/whipray-" + std::to_string(geteuid()), root);
    unsetenv("WHIPRAY_TMPDIR");
    EXPECT_EQ(WR_E_INVALID, wr_paths_root(std::string(600, 'x').c_str(), root, &err_));
}

TEST_F(Paths, CurrentNamesTheClusterUntilItsSessionIsCleared) {
    char address[WR_PATH_MAX], session[WR_PATH_MAX];
    EXPECT_EQ(WR_E_NOT_FOUND, wr_paths_current_read(dir_.c_str(), address, session, &err_));
    ASSERT_EQ(WR_OK, wr_paths_current_write(dir_.c_str(), "unix:/x/gcs", "/x", &err_));
    ASSERT_EQ(WR_OK, wr_paths_current_read(dir_.c_str(), address, session, &err_)) << err_.text;
    EXPECT_STREQ("unix:/x/gcs", address);
    EXPECT_STREQ("/x", session);
    wr_paths_current_clear(dir_.c_str(), "/another");
    EXPECT_EQ(WR_OK, wr_paths_current_read(dir_.c_str(), address, session, &err_));
    wr_paths_current_clear(dir_.c_str(), "/x");
    EXPECT_EQ(WR_E_NOT_FOUND, wr_paths_current_read(dir_.c_str(), address, session, &err_));
    ASSERT_EQ(WR_OK, wr_paths_write((dir_ + "/current").c_str(), "one line only\n", &err_));
    EXPECT_EQ(WR_E_CORRUPT, wr_paths_current_read(dir_.c_str(), address, session, &err_));
}

TEST_F(Paths, CurrentWithAnEmptyLineOrAZeroByteIsRefused) {
    for (const std::string &text : {std::string("\n/x\n"), std::string("unix:/x\n\n"),
                                    std::string("a\n/x\n\0junk", 10), std::string("a\0b\n/x\n", 7)}) {
        char address[WR_PATH_MAX] = "kept", session[WR_PATH_MAX] = "kept";
        std::ofstream(dir_ + "/current", std::ios::binary) << text;
        EXPECT_EQ(WR_E_CORRUPT, wr_paths_current_read(dir_.c_str(), address, session, &err_)) << text;
        EXPECT_STREQ("kept", address);
    }
}

TEST_F(Paths, ATokenFileWithAZeroByteIsRefused) {
    char token[WR_TOKEN_MAX + 1];
    std::string file = dir_ + "/token";
    std::ofstream(file, std::ios::binary) << std::string("0123456789abcdef\0more", 21);
    ASSERT_EQ(0, chmod(file.c_str(), 0600));
    EXPECT_EQ(WR_E_CORRUPT, wr_token_read(file.c_str(), token, &err_));
}

TEST_F(Paths, ATokenIsMadeOnceAndReadAgain) {
    char first[WR_TOKEN_MAX + 1], second[WR_TOKEN_MAX + 1], path[WR_PATH_MAX];
    EXPECT_EQ(WR_E_NOT_FOUND, wr_token_load(false, first, path, &err_));
    ASSERT_EQ(WR_OK, wr_token_load(true, first, path, &err_)) << err_.text;
    EXPECT_EQ(64u, strlen(first));
    EXPECT_EQ(dir_ + "/.whipray/auth_token", path);
    struct stat st;
    ASSERT_EQ(0, stat(path, &st));
    EXPECT_EQ(0600u, st.st_mode & 0777u);
    ASSERT_EQ(WR_OK, wr_token_load(true, second, path, &err_));
    EXPECT_STREQ(first, second);
}

TEST_F(Paths, ATokenFileThatOthersMayReadIsRefused) {
    std::string file = dir_ + "/token";
    char token[WR_TOKEN_MAX + 1];
    ASSERT_EQ(WR_OK, wr_paths_write(file.c_str(), "0123456789abcdef\n", &err_));
    EXPECT_EQ(WR_OK, wr_token_read(file.c_str(), token, &err_));
    EXPECT_STREQ("0123456789abcdef", token);
    ASSERT_EQ(0, chmod(file.c_str(), 0640));
    EXPECT_EQ(WR_E_DENIED, wr_token_read(file.c_str(), token, &err_));
    setenv("WHIPRAY_AUTH_TOKEN_PATH", file.c_str(), 1);
    EXPECT_EQ(WR_E_DENIED, wr_token_load(true, token, nullptr, &err_));
}

TEST_F(Paths, ATokenMustBeLongAndPrintable) {
    char token[WR_TOKEN_MAX + 1];
    for (const char *bad : {"short", "0123456789 abcdef", "0123456789abcde\x01"}) {
        setenv("WHIPRAY_AUTH_TOKEN", bad, 1);
        EXPECT_EQ(WR_E_INVALID, wr_token_load(true, token, nullptr, &err_)) << bad;
    }
    setenv("WHIPRAY_AUTH_TOKEN", std::string(600, 'x').c_str(), 1);
    EXPECT_EQ(WR_E_INVALID, wr_token_load(true, token, nullptr, &err_));
    setenv("WHIPRAY_AUTH_TOKEN", "of-the-variable-itself", 1);
    EXPECT_EQ(WR_OK, wr_token_load(true, token, nullptr, &err_));
    EXPECT_STREQ("of-the-variable-itself", token);
}

} // namespace

// The store's contract, on SQLite.
#include "gcs/shell/store.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

class StoreTest : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/wr_store_test_XXXXXX";
        dir_ = mkdtemp(name);
        Open();
    }
    void TearDown() override {
        Close();
        (void)!std::system(("rm -rf " + dir_).c_str());
    }
    void Open() {
        wr_error err = {};
        ASSERT_EQ(WR_OK, wr_gcs_store_sqlite((dir_ + "/db").c_str(), &store_, &err)) << err.text;
    }
    void Close() {
        if (store_ != nullptr) {
            store_->ops->close(store_);
        }
        store_ = nullptr;
    }
    static wr_span Of(const std::string &s) {
        return wr_span_of(s.data(), static_cast<uint32_t>(s.size()));
    }
    void Put(uint32_t table, const std::string &key, const std::string &value) {
        ASSERT_EQ(WR_OK, store_->ops->put(store_, table, Of(key), Of(value), nullptr));
    }
    std::string Get(uint32_t table, const std::string &key) {
        uint8_t *data = nullptr;
        uint32_t bytes = 0;
        if (store_->ops->get(store_, table, Of(key), &data, &bytes, nullptr) != WR_OK) {
            return "(none)";
        }
        std::string out(reinterpret_cast<char *>(data), bytes);
        wr_free(data);
        return out;
    }
    std::vector<std::string> Keys(uint32_t table, const std::string &prefix) {
        std::vector<std::string> keys;
        EXPECT_EQ(WR_OK, store_->ops->scan(
                             store_, table, Of(prefix), true,
                             [](void *user, wr_span key, wr_span, wr_error *) {
                                 static_cast<std::vector<std::string> *>(user)->emplace_back(
                                     static_cast<const char *>(key.data), key.bytes);
                                 return WR_OK;
                             },
                             &keys, nullptr));
        return keys;
    }
    void Commit() {
        ASSERT_EQ(WR_OK, store_->ops->commit(store_, nullptr));
    }
    std::string dir_;
    wr_gcs_store *store_ = nullptr;
};

TEST_F(StoreTest, TablesAreApartAndBytesAreBytes) {
    for (uint32_t table :
         {0u, 4u, static_cast<uint32_t>(WR_GCS_STORE_KV), static_cast<uint32_t>(WR_GCS_STORE_FUNCTIONS)}) {
        Put(table, std::string("k\0\xff", 3), "v" + std::to_string(table));
        Put(table, "", std::string());
    }
    Commit();
    Close();
    Open();
    for (uint32_t table :
         {0u, 4u, static_cast<uint32_t>(WR_GCS_STORE_KV), static_cast<uint32_t>(WR_GCS_STORE_FUNCTIONS)}) {
        EXPECT_EQ("v" + std::to_string(table), Get(table, std::string("k\0\xff", 3)));
        EXPECT_EQ("", Get(table, ""));
        EXPECT_EQ("(none)", Get(table, "k"));
    }
    EXPECT_EQ("(none)", Get(1, ""));
}

TEST_F(StoreTest, WritesBetweenTwoCommitsAreDurableTogetherOrNotAtAll) { // S1
    Put(1, "a", "1");
    Commit();
    Put(1, "a", "2");
    Put(WR_GCS_STORE_KV, "b", "2");
    bool was = false;
    ASSERT_EQ(WR_OK, store_->ops->remove(store_, 1, Of("a"), &was, nullptr));
    EXPECT_TRUE(was);
    EXPECT_EQ("2", Get(WR_GCS_STORE_KV, "b")); // seen before the commit
    Close();                                   // without one
    Open();
    EXPECT_EQ("1", Get(1, "a"));
    EXPECT_EQ("(none)", Get(WR_GCS_STORE_KV, "b"));
}

TEST_F(StoreTest, AWriteThatDoesNotFitIsAnErrorAndRollbackUndoesItsTransaction) { // S2
    Close();
    setenv("WHIPRAY_GCS_STORE_PAGES_MAX", "30", 1);
    Open();
    unsetenv("WHIPRAY_GCS_STORE_PAGES_MAX");
    Put(WR_GCS_STORE_KV, "kept", "v");
    Commit();
    Put(WR_GCS_STORE_KV, "undone", "v");
    std::string big(400000, 'x');
    wr_error err = {};
    EXPECT_EQ(WR_E_IO, store_->ops->put(store_, WR_GCS_STORE_KV, Of("big"), Of(big), &err));
    EXPECT_NE(nullptr, strstr(err.text, "full")) << err.text;
    store_->ops->rollback(store_);
    EXPECT_EQ("v", Get(WR_GCS_STORE_KV, "kept"));
    EXPECT_EQ("(none)", Get(WR_GCS_STORE_KV, "undone"));
    Put(WR_GCS_STORE_KV, "after", "w");
    Commit();
    Close();
    Open();
    EXPECT_EQ((std::vector<std::string>{"after", "kept"}), Keys(WR_GCS_STORE_KV, ""));
    Put(WR_GCS_STORE_KV, "big", big); // there is room again
    Commit();
}

TEST_F(StoreTest, ScansFollowTheOrderOfKeysWithinAPrefix) {
    for (const char *key : {"b", "ab", "aa", "a", "\xff\xff", "\xff"}) {
        Put(WR_GCS_STORE_KV, key, "v");
    }
    EXPECT_EQ((std::vector<std::string>{"a", "aa", "ab"}), Keys(WR_GCS_STORE_KV, "a"));
    EXPECT_EQ((std::vector<std::string>{"\xff", "\xff\xff"}), Keys(WR_GCS_STORE_KV, "\xff"));
    EXPECT_EQ(6u, Keys(WR_GCS_STORE_KV, "").size());
    EXPECT_TRUE(Keys(WR_GCS_STORE_KV, "zz").empty());
}

TEST_F(StoreTest, AScanEndsWithWhatItsCallbackSays) {
    Put(1, "a", "1");
    Put(1, "b", "1");
    int calls = 0;
    EXPECT_EQ(WR_E_LIMIT, store_->ops->scan(
                              store_, 1, Of(""), false,
                              [](void *user, wr_span, wr_span, wr_error *) {
                                  ++*static_cast<int *>(user);
                                  return WR_E_LIMIT;
                              },
                              &calls, nullptr));
    EXPECT_EQ(1, calls);
    EXPECT_EQ(2u, Keys(1, "").size()); // and the next one begins anew
}

TEST_F(StoreTest, RemovingWhatIsNotThereIsNoError) {
    bool was = true;
    EXPECT_EQ(WR_OK, store_->ops->remove(store_, 1, Of("x"), &was, nullptr));
    EXPECT_FALSE(was);
    bool there = true;
    EXPECT_EQ(WR_OK, store_->ops->exists(store_, 1, Of("x"), &there, nullptr));
    EXPECT_FALSE(there);
}

TEST_F(StoreTest, APathThatCannotBeOpenedIsAnError) {
    wr_gcs_store *none = nullptr;
    wr_error err = {};
    EXPECT_EQ(WR_E_IO, wr_gcs_store_sqlite((dir_ + "/no/such/folder/db").c_str(), &none, &err));
    EXPECT_EQ(nullptr, none);
}

} // namespace

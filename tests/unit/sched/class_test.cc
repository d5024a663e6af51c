#include "sched/class.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>

namespace {

class ClassTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(WR_OK, wr_res_names_init(&names_, nullptr));
    }
    void TearDown() override {
        wr_res_names_done(&names_);
    }
    std::string Key(const std::function<void(wr_class *)> &edit = nullptr) {
        auto cls = std::make_unique<wr_class>();
        memset(cls.get(), 0, sizeof *cls);
        cls->job = 7;
        EXPECT_EQ(WR_OK, wr_res_parse(&names_, wr_span_text("CPU=1,x=2"), &cls->resources, nullptr));
        if (edit) {
            edit(cls.get());
        }
        std::string key(WR_CLASS_KEY_MAX, 0);
        uint32_t bytes = 0;
        status_ = wr_class_encode(cls.get(), &names_, reinterpret_cast<uint8_t *>(key.data()), key.size(),
                                  &bytes, nullptr);
        key.resize(status_ == WR_OK ? bytes : 0);
        return key;
    }
    wr_status Decode(const std::string &key, wr_class *out) {
        return wr_class_decode(wr_span_of(key.data(), static_cast<uint32_t>(key.size())), &names_, out,
                               nullptr);
    }
    wr_res_names names_;
    wr_status status_ = WR_OK;
};

void Group(wr_class *c) {
    c->strategy.kind = WR_STRATEGY_PLACEMENT_GROUP;
    c->strategy.pg.bytes[0] = 1;
    c->strategy.bundle = -1;
}

TEST_F(ClassTest, EveryMemberMakesAnotherClass) {
    std::set<std::string> keys = {
        Key(),
        Key([](wr_class *c) { c->job = 8; }),
        Key([](wr_class *c) { c->language = WR_LANGUAGE_C; }),
        Key([](wr_class *c) { c->env_hash = 1; }),
        Key([](wr_class *c) { c->resources.items[0].units = 5; }),
        Key([](wr_class *c) { c->place = c->resources; }),
        Key([](wr_class *c) { c->strategy.kind = WR_STRATEGY_SPREAD; }),
        Key([](wr_class *c) {
            c->strategy.kind = WR_STRATEGY_NODE_AFFINITY;
            c->strategy.node = 1;
        }),
        Key([](wr_class *c) {
            c->strategy.kind = WR_STRATEGY_NODE_AFFINITY;
            c->strategy.node = 1;
            c->strategy.soft = true;
        }),
        Key(Group),
        Key([](wr_class *c) {
            Group(c);
            c->strategy.bundle = 3;
        }),
        Key([](wr_class *c) {
            Group(c);
            c->strategy.capture = true;
        }),
        Key([](wr_class *c) {
            c->labels_bytes = 3;
            memcpy(c->labels, "a=b", 3);
        }),
    };
    EXPECT_EQ(13u, keys.size());
    std::set<uint64_t> hashes;
    for (auto &k : keys) {
        hashes.insert(wr_class_hash(wr_span_of(k.data(), static_cast<uint32_t>(k.size()))));
    }
    EXPECT_EQ(13u, hashes.size());
    EXPECT_EQ(0u, hashes.count(0));
}

TEST_F(ClassTest, AKeyIsTheSameInAProcessThatMetTheNamesInAnotherOrder) {
    std::string here = Key();
    wr_res_names other;
    ASSERT_EQ(WR_OK, wr_res_names_init(&other, nullptr));
    uint32_t number;
    for (const char *name : {"zz", "yy", "x"}) {
        ASSERT_EQ(WR_OK, wr_res_names_intern(&other, wr_span_text(name), &number, nullptr));
    }
    auto cls = std::make_unique<wr_class>();
    ASSERT_EQ(WR_OK, wr_class_decode(wr_span_of(here.data(), static_cast<uint32_t>(here.size())), &other,
                                     cls.get(), nullptr));
    EXPECT_EQ(20000, wr_res_get(&cls->resources, number));
    std::string there(WR_CLASS_KEY_MAX, 0);
    uint32_t bytes;
    ASSERT_EQ(WR_OK, wr_class_encode(cls.get(), &other, reinterpret_cast<uint8_t *>(there.data()),
                                     there.size(), &bytes, nullptr));
    there.resize(bytes);
    EXPECT_EQ(here, there);
    wr_res_names_done(&other);
}

TEST_F(ClassTest, DecodeGivesBackWhatWasEncoded) {
    auto cls = std::make_unique<wr_class>();
    ASSERT_EQ(WR_OK, Decode(Key([](wr_class *c) {
                                Group(c);
                                c->env_hash = 99;
                                c->labels_bytes = 3;
                                memcpy(c->labels, "a=b", 3);
                            }),
                            cls.get()));
    EXPECT_EQ(7u, cls->job);
    EXPECT_EQ(99u, cls->env_hash);
    EXPECT_EQ(WR_STRATEGY_PLACEMENT_GROUP, cls->strategy.kind);
    EXPECT_EQ(-1, cls->strategy.bundle);
    EXPECT_EQ(10000, wr_res_get(&cls->resources, WR_RES_CPU));
    EXPECT_EQ("a=b", std::string(cls->labels, cls->labels_bytes));
}

TEST_F(ClassTest, MembersThatTheStrategyDoesNotUseAreRefused) {
    Key([](wr_class *c) { c->strategy.node = 3; });
    EXPECT_EQ(WR_E_INVALID, status_);
    Key([](wr_class *c) { c->strategy.kind = WR_STRATEGY_NODE_AFFINITY; });
    EXPECT_EQ(WR_E_INVALID, status_);
    Key([](wr_class *c) {
        Group(c);
        c->strategy.bundle = -2;
    });
    EXPECT_EQ(WR_E_INVALID, status_);
    auto cls = std::make_unique<wr_class>();
    memset(cls.get(), 0, sizeof *cls);
    uint8_t small[8];
    uint32_t bytes;
    EXPECT_EQ(WR_E_LIMIT, wr_class_encode(cls.get(), &names_, small, sizeof small, &bytes, nullptr));
}

TEST_F(ClassTest, MutatedKeysAreRefusedOrStayCanonical) {
    std::mt19937 random(5);
    std::string base = Key([](wr_class *c) {
        Group(c);
        c->place = c->resources;
    });
    auto cls = std::make_unique<wr_class>();
    for (int i = 0; i < 100000; i++) {
        std::string key = base;
        for (int k = 0; k < 3; k++) {
            key[random() % key.size()] = static_cast<char>(random());
        }
        if (random() % 4 == 0) {
            key.resize(random() % (key.size() + 1));
        }
        if (Decode(key, cls.get()) == WR_OK) {
            std::string again(WR_CLASS_KEY_MAX, 0);
            uint32_t bytes;
            ASSERT_EQ(WR_OK, wr_class_encode(cls.get(), &names_, reinterpret_cast<uint8_t *>(again.data()),
                                             again.size(), &bytes, nullptr));
            again.resize(bytes);
            ASSERT_EQ(key, again);
        }
        if (names_.count > WR_RES_NAMES_MAX / 2) {
            wr_res_names_done(&names_);
            ASSERT_EQ(WR_OK, wr_res_names_init(&names_, nullptr));
        }
    }
}

} // namespace

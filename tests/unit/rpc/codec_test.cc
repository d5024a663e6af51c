#include "rpc/codec.h"

#include <gtest/gtest.h>
#include <protobuf-c/protobuf-c.h>

#include <set>
#include <string>

#include "cluster.pb-c.h"
#include "gcs.pb-c.h"
#include "random_msg.h"
#include "rpc/arena.h"
#include "rpc/gcs_api.h"
#include "rpc/session.h"
#include "store.pb-c.h"

namespace {

std::string Pack(const wr_cluster_msg &msg) {
    uint8_t *data = nullptr;
    uint32_t bytes = 0;
    EXPECT_EQ(WR_OK, wr_cluster_msg_pack(&msg, &data, &bytes, nullptr));
    std::string out(reinterpret_cast<char *>(data), bytes);
    wr_free(data);
    return out;
}

wr_span Of(const std::string &s) {
    return wr_span_of(s.data(), static_cast<uint32_t>(s.size()));
}

TEST(ProtoTest, EveryTableMatchesItsMessage) {
    const ProtobufCMessageDescriptor *all = &whipray__cluster_msg__descriptor;
    ASSERT_EQ(static_cast<unsigned>(WR_MSG_TYPES - 1), all->n_fields);
    for (uint32_t type = 1; type < WR_MSG_TYPES; type++) {
        const ProtobufCFieldDescriptor &p = all->fields[type - 1];
        ASSERT_EQ(type, p.id);
        wr_error why = {};
        EXPECT_TRUE(wr_struct_matches(wr_cluster_msg_desc(type),
                                      static_cast<const ProtobufCMessageDescriptor *>(p.descriptor), &why))
            << why.text;
    }
    wr_error why = {};
    EXPECT_TRUE(wr_struct_matches(&wr_gcs_request_desc, &whipray__gcs_request__descriptor, &why)) << why.text;
    EXPECT_TRUE(wr_struct_matches(&wr_gcs_reply_desc, &whipray__gcs_reply__descriptor, &why)) << why.text;
    EXPECT_FALSE(wr_struct_matches(&wr_gcs_request_desc, &whipray__gcs_reply__descriptor, &why));
}

// protobuf-c has no limit of depth: a message that contains itself would let 34 KB overflow the stack.
bool Recurses(const ProtobufCMessageDescriptor *m, std::set<const ProtobufCMessageDescriptor *> path) {
    if (!path.insert(m).second) {
        return true;
    }
    for (unsigned i = 0; i < m->n_fields; i++) {
        if (m->fields[i].type == PROTOBUF_C_TYPE_MESSAGE &&
            Recurses(static_cast<const ProtobufCMessageDescriptor *>(m->fields[i].descriptor), path)) {
            return true;
        }
    }
    return false;
}

TEST(ProtoTest, NoMessageContainsItself) {
    for (auto *m : {&whipray__frame__descriptor, &whipray__cluster_msg__descriptor,
                    &whipray__gcs_request__descriptor, &whipray__gcs_reply__descriptor,
                    &whipray__gcs_node_row__descriptor, &whipray__gcs_job_row__descriptor}) {
        EXPECT_FALSE(Recurses(m, {})) << m->name;
    }
}

TEST(CodecTest, EveryTypeComesBackAsItWent) {
    for (uint32_t seed = 0; seed < 100; seed++) {
        for (uint32_t type = 1; type < WR_MSG_TYPES; type++) {
            RandomStruct random(seed * 100 + type);
            wr_cluster_msg msg, *back = nullptr;
            random.FillMsg(&msg, type);
            std::string packed = Pack(msg);
            wr_error err = {};
            ASSERT_EQ(WR_OK, wr_cluster_msg_unpack(Of(packed), &back, &err))
                << wr_cluster_msg_name(type) << ": " << err.text;
            EXPECT_TRUE(wr_cluster_msg_equal(&msg, back)) << wr_cluster_msg_name(type);
            EXPECT_EQ(packed, Pack(*back));
            wr_cluster_msg_free(back);
        }
    }
}

TEST(CodecTest, EmptyMessagesComeBackToo) {
    for (uint32_t type = 1; type < WR_MSG_TYPES; type++) {
        wr_cluster_msg msg = {}, *back = nullptr;
        msg.type = type;
        std::string packed = Pack(msg);
        ASSERT_EQ(WR_OK, wr_cluster_msg_unpack(Of(packed), &back, nullptr));
        EXPECT_TRUE(wr_cluster_msg_equal(&msg, back));
        wr_cluster_msg_free(back);
    }
}

TEST(CodecTest, HostileBytesAreRefusedWithoutHarm) {
    std::mt19937 random(11);
    int accepted = 0;
    for (int i = 0; i < 60000; i++) {
        RandomStruct source(static_cast<uint32_t>(i));
        wr_cluster_msg msg, *back = nullptr;
        source.FillMsg(&msg, 1 + random() % (WR_MSG_TYPES - 1));
        std::string bytes = Pack(msg);
        for (uint32_t k = random() % 6; k > 0 && !bytes.empty(); k--) {
            bytes[random() % bytes.size()] = static_cast<char>(random());
        }
        if (random() % 3 == 0) {
            bytes.resize(random() % (bytes.size() + 1));
        }
        if (random() % 16 == 0) {
            bytes += bytes;
        }
        if (wr_cluster_msg_unpack(Of(bytes), &back, nullptr) == WR_OK) {
            accepted++;
            (void)Pack(*back);
            wr_cluster_msg_free(back);
        }
        wr_cluster_frame frame;
        if (wr_cluster_frame_unpack(Of(bytes), &frame, nullptr) == WR_OK) {
            wr_cluster_frame_done(&frame);
        }
    }
    EXPECT_GT(accepted, 1000);
    wr_cluster_msg *none = nullptr;
    EXPECT_EQ(WR_E_PROTOCOL, wr_cluster_msg_unpack(Of(""), &none, nullptr));
}

TEST(CodecTest, AnIdOfTheWrongLengthIsRefused) {
    Whipray__Started started = WHIPRAY__STARTED__INIT;
    Whipray__ClusterMsg whole = WHIPRAY__CLUSTER_MSG__INIT;
    uint8_t id[17] = {1};
    whole.body_case = WHIPRAY__CLUSTER_MSG__BODY_STARTED;
    whole.started = &started;
    started.actor.data = id;
    for (size_t length : {1u, 15u, 17u}) {
        started.actor.len = length;
        std::string bytes(whipray__cluster_msg__get_packed_size(&whole), 0);
        whipray__cluster_msg__pack(&whole, reinterpret_cast<uint8_t *>(bytes.data()));
        wr_cluster_msg *msg = nullptr;
        EXPECT_EQ(WR_E_PROTOCOL, wr_cluster_msg_unpack(Of(bytes), &msg, nullptr)) << length;
    }
}

TEST(CodecTest, ASmallInputCannotAskForMuchMemory) {
    // A megabyte of empty sub-messages: 60 times its size without a cap.
    std::string list;
    while (list.size() < (4u << 20)) {
        list += std::string("\x0a\x00", 2); // NODES.live, empty
    }
    std::string body = std::string("\x42", 1); // field 8, bytes
    for (size_t n = list.size(); n > 0; n >>= 7) {
        body += static_cast<char>((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
    }
    body += list;
    wr_cluster_msg *msg = nullptr;
    EXPECT_EQ(WR_E_LIMIT, wr_cluster_msg_unpack(Of(body), &msg, nullptr));
}

TEST(CodecTest, EveryFailedAllocationIsReported) {
    RandomStruct random(3);
    wr_cluster_msg msg;
    random.FillMsg(&msg, WR_MSG_REREG);
    std::string packed = Pack(msg);
    for (uint64_t n = 1;; n++) {
        uint8_t *data = nullptr;
        uint32_t bytes = 0;
        wr_alloc_fail_nth(n);
        wr_status status = wr_cluster_msg_pack(&msg, &data, &bytes, nullptr);
        wr_alloc_fail_nth(0);
        wr_free(data);
        if (status == WR_OK) {
            break;
        }
        ASSERT_EQ(WR_E_NO_MEMORY, status);
        ASSERT_LT(n, 100u);
    }
    for (uint64_t n = 1;; n++) {
        wr_cluster_msg *back = nullptr;
        wr_alloc_fail_nth(n);
        wr_status status = wr_cluster_msg_unpack(Of(packed), &back, nullptr);
        wr_alloc_fail_nth(0);
        wr_cluster_msg_free(back);
        if (status == WR_OK) {
            break;
        }
        ASSERT_TRUE(status == WR_E_NO_MEMORY || status == WR_E_PROTOCOL) << wr_status_name(status);
        ASSERT_LT(n, 100u);
    }
}

TEST(ArenaTest, TakesUpToItsCapZeroedAndAligned) {
    wr_arena *arena = nullptr;
    ASSERT_EQ(WR_OK, wr_arena_new(100000, &arena, nullptr));
    size_t total = 0;
    for (size_t n : {1u, 100u, 40000u, 7u, 16u * 1024u}) {
        auto *p = static_cast<uint8_t *>(wr_arena_take(arena, n));
        ASSERT_NE(nullptr, p);
        EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(p) % 16);
        for (size_t i = 0; i < n; i++) {
            ASSERT_EQ(0, p[i]);
        }
        memset(p, 0xff, n);
        total += n;
    }
    EXPECT_FALSE(wr_arena_hit_cap(arena));
    EXPECT_EQ(nullptr, wr_arena_take(arena, 100000 - total));
    EXPECT_EQ(nullptr, wr_arena_take(arena, SIZE_MAX));
    EXPECT_TRUE(wr_arena_hit_cap(arena));
    wr_arena_free(arena);
}

// ---- sessions: two ends, connections that break anywhere

class SessionTest : public testing::Test {
  protected:
    void SetUp() override {
        wr_session_init(&a_);
        wr_session_init(&b_);
    }
    void TearDown() override {
        wr_session_done(&a_);
        wr_session_done(&b_);
        wr_buffer_done(&buffer_);
    }
    void Push(wr_session *s, uint64_t number) {
        wr_cluster_msg msg = {};
        msg.type = WR_MSG_HB;
        msg.u.hb.epoch = number;
        uint8_t *data;
        uint32_t bytes;
        ASSERT_EQ(WR_OK, wr_cluster_msg_pack(&msg, &data, &bytes, nullptr));
        ASSERT_EQ(WR_OK, wr_session_push(s, data, bytes, nullptr));
    }
    std::string Frame(wr_session *s, uint32_t bytes_max = 64) {
        EXPECT_EQ(WR_OK, wr_session_frame(s, 5, 9, bytes_max, &buffer_, nullptr));
        return std::string(reinterpret_cast<char *>(buffer_.data), buffer_.bytes);
    }
    void Receive(wr_session *s, const std::string &bytes, std::vector<uint64_t> *got) {
        wr_cluster_frame frame;
        ASSERT_EQ(WR_OK, wr_cluster_frame_unpack(Of(bytes), &frame, nullptr));
        EXPECT_EQ(5u, frame.src);
        EXPECT_EQ(9u, frame.epoch);
        EXPECT_TRUE(frame.session);
        wr_session_acked(s, frame.ack);
        for (uint32_t i = 0; i < frame.count; i++) {
            bool is_new;
            ASSERT_EQ(WR_OK, wr_session_accept(s, frame.seq + i, &is_new, nullptr));
            if (is_new) {
                got->push_back(frame.msgs[i]->u.hb.epoch);
            }
        }
        wr_cluster_frame_done(&frame);
    }
    wr_session a_, b_;
    wr_buffer buffer_ = {nullptr, 0, 0};
};

TEST_F(SessionTest, EachRecordArrivesOnceInOrderWhateverBreaks) {
    std::mt19937 random(4);
    std::vector<uint64_t> got_a, got_b;
    uint64_t sent_a = 0, sent_b = 0;
    for (int i = 0; i < 20000; i++) {
        if (random() % 3 == 0) {
            Push(&a_, ++sent_a);
        }
        if (random() % 3 == 0) {
            Push(&b_, ++sent_b);
        }
        bool broken = random() % 5 == 0;
        std::string from_a = Frame(&a_), from_b = Frame(&b_);
        if (!broken || random() % 2) {
            Receive(&b_, from_a, &got_b); // or lost with the connection
        }
        if (!broken) {
            Receive(&a_, from_b, &got_a);
        }
        if (broken) {
            wr_session_rewind(&a_);
            wr_session_rewind(&b_);
        }
    }
    while (wr_session_has_unsent(&a_)) {
        Receive(&b_, Frame(&a_), &got_b);
    }
    while (wr_session_has_unsent(&b_)) {
        Receive(&a_, Frame(&b_), &got_a);
    }
    ASSERT_EQ(sent_a, got_b.size());
    ASSERT_EQ(sent_b, got_a.size());
    for (uint64_t i = 0; i < sent_a; i++) {
        ASSERT_EQ(i + 1, got_b[i]);
    }
    Receive(&a_, Frame(&b_), &got_a); // a bare acknowledgement
    EXPECT_EQ(0u, a_.count);
    EXPECT_EQ(0u, a_.bytes);
}

TEST_F(SessionTest, AGapIsAProtocolErrorAndNonsenseAcksAreIgnored) {
    bool is_new;
    EXPECT_EQ(WR_E_PROTOCOL, wr_session_accept(&a_, 2, &is_new, nullptr));
    Push(&a_, 1);
    wr_session_acked(&a_, 99);
    EXPECT_EQ(1u, a_.count);
    (void)Frame(&a_);
    wr_session_acked(&a_, 2);
    EXPECT_EQ(0u, a_.count);
    wr_session_acked(&a_, 1);
    EXPECT_EQ(2u, a_.first_seq);
}

} // namespace

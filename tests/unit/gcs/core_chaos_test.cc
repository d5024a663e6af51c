// The GCS's core, rule by rule: everything at once. The numbers in brackets are those of engine/gcs/README.md.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "core_world.h"

namespace {

const std::string kOneCpu = ClassKey("CPU=1");

// ---- everything at once: random requests, random crashes with a random part of the log, and books of our own

class Chaos {
  public:
    explicit Chaos(uint32_t seed) : random_(seed) {
    }
    void Run(int steps) {
        for (uint8_t i = 1; i <= 3; i++) {
            incs_.push_back(w_.Join(i, "CPU=8"));
        }
        for (int i = 0; i < steps; i++) {
            OneStep();
            Deliver();
        }
        // The end: all is flushed; whatever was acknowledged is there.
        w_.Flush();
        Deliver();
        for (auto &[number, id] : acked_) {
            EXPECT_NE(99u, w_.Actor(id).state) << number;
        }
        std::map<std::string, int> holders;
        for (auto &[number, id] : made_) {
            wr_actor_info info = w_.Actor(id);
            if (info.state != 99 && info.state != WR_ACTOR_DEAD && info.spec.name.bytes > 0) {
                holders[Text(info.spec.name)]++;
            }
        }
        for (auto &[name, n] : holders) {
            EXPECT_EQ(1, n) << name;
        }
    }
    size_t acked() const {
        return acked_.size();
    }
    int crashes = 0;

  private:
    uint32_t Pick(uint32_t n) {
        return static_cast<uint32_t>(random_() % n);
    }
    uint32_t AnyNode() {
        return incs_[Pick(static_cast<uint32_t>(incs_.size()))];
    }
    void OneStep() {
        switch (Pick(12)) {
        case 0:
        case 1:
        case 2: {
            uint32_t from = AnyNode();
            uint64_t number = next_++;
            World::ActorOptions o = {Pick(2) ? "name" + std::to_string(Pick(5)) : "", kOneCpu};
            o.max_restarts = static_cast<int32_t>(Pick(3));
            made_[number] = w_.New(from, number, o);
            break;
        }
        case 3:
            if (!made_.empty()) {
                auto it = made_.begin();
                std::advance(it, Pick(static_cast<uint32_t>(made_.size())));
                w_.Say(AnyNode(), Pick(2) ? WR_MSG_KILL : WR_MSG_OUTOFSCOPE, it->second, 0, true);
            }
            break;
        case 4:
            if (!hosted_.empty()) {
                auto it = hosted_.begin();
                std::advance(it, Pick(static_cast<uint32_t>(hosted_.size())));
                w_.Say(it->second.first, WR_MSG_ENDED, made_[it->first], it->second.second);
                hosted_.erase(it);
            }
            break;
        case 5:
        case 6:
            w_.Flush(Pick(6));
            break;
        case 7:
        case 8:
            w_.Flush();
            break;
        case 9:
            for (uint32_t inc : incs_) {
                w_.Heartbeat(inc);
            }
            w_.Tick();
            break;
        case 10: {
            uint32_t inc = AnyNode();
            w_.Sync(inc, "CPU=8", 1u << 30);
            break;
        }
        default:
            if (Pick(4) == 0) {
                crashes++;
                w_.Flush(Pick(4));
                Deliver();
                w_.Crash();
                for (uint32_t inc : incs_) {
                    std::vector<wr_hosted> hosted;
                    for (auto &[number, place] : hosted_) {
                        if (place.first == inc) {
                            hosted.push_back({made_[number], place.second, true, 1});
                        }
                    }
                    w_.Rereg(inc, hosted);
                    w_.Sync(inc, "CPU=8", 1u << 30);
                }
            }
        }
    }
    void Deliver() {
        auto sent = std::move(w_.sent);
        w_.sent.clear();
        for (auto &s : sent) {
            uint64_t number = 0;
            uint32_t node = static_cast<uint32_t>(s.dest);
            if (s.msg->type == WR_MSG_ACK && s.msg->u.ack.of == WR_MSG_NEW && s.msg->u.ack.status == WR_OK) {
                memcpy(&number, s.msg->u.ack.actor.bytes + 8, 8);
                acked_[number] = s.msg->u.ack.actor;
            } else if (s.msg->type == WR_MSG_START) {
                memcpy(&number, s.msg->u.start.spec.actor.bytes + 8, 8);
                uint64_t n = s.msg->u.start.n;
                auto place = places_.emplace(std::make_pair(number, n), node);
                EXPECT_EQ(node, place.first->second) << "an (actor, n) belongs to one node for ever";
                auto &last = last_n_[number];
                EXPECT_GE(n, last);
                last = n;
                hosted_[number] = {node, n};
                w_.Say(node, WR_MSG_STARTED, s.msg->u.start.spec.actor, n);
            } else if (s.msg->type == WR_MSG_STOP) {
                memcpy(&number, s.msg->u.stop.actor.bytes + 8, 8);
                auto it = hosted_.find(number);
                if (it != hosted_.end() && it->second.second == s.msg->u.stop.n) {
                    hosted_.erase(it);
                }
            }
        }
    }
    std::mt19937 random_;
    World w_;
    std::vector<uint32_t> incs_;
    std::map<uint64_t, wr_actor_id> made_, acked_;
    std::map<uint64_t, std::pair<uint32_t, uint64_t>> hosted_;
    std::map<std::pair<uint64_t, uint64_t>, uint32_t> places_;
    std::map<uint64_t, uint64_t> last_n_;
    uint64_t next_ = 1;
};

TEST(GcsCoreChaosTest, NoAcknowledgedActorIsLostAndNoPlaceIsGivenTwice) {
    int crashes = 0;
    size_t acked = 0;
    for (uint32_t seed = 1; seed <= 60; seed++) {
        SCOPED_TRACE(seed);
        Chaos chaos(seed);
        chaos.Run(300);
        crashes += chaos.crashes;
        acked += chaos.acked();
        if (HasFailure()) {
            break;
        }
    }
    EXPECT_GT(crashes, 100);
    EXPECT_GT(acked, 1000u);
}

} // namespace

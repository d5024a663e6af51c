// Random structs by their tables, for round trips.
#pragma once

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "sched/cluster_msg.h"
#include "sched/struct_desc.h"

class RandomStruct {
  public:
    explicit RandomStruct(uint32_t seed) : random_(seed) {
    }
    // Everything it points to lives as long as this object.
    void Fill(const wr_struct_desc *desc, void *out, int depth = 0) {
        for (uint32_t i = 0; i < desc->field_count; i++) {
            const wr_field &f = desc->fields[i];
            char *at = static_cast<char *>(out) + f.offset;
            switch (f.kind) {
            case WR_FIELD_U32:
                Store(at, static_cast<uint32_t>(random_() >> (random_() % 32)));
                break;
            case WR_FIELD_I32:
                Store(at, static_cast<int32_t>(random_()));
                break;
            case WR_FIELD_U64:
                Store(at, static_cast<uint64_t>(random_()) << 32 | random_());
                break;
            case WR_FIELD_FLAG:
                Store(at, random_() % 2 == 0);
                break;
            case WR_FIELD_SPAN:
                Store(at, Bytes());
                break;
            case WR_FIELD_ID:
                for (uint32_t k = 0; k < f.bytes; k++) {
                    at[k] = static_cast<char>(random_());
                }
                at[0] |= 1; // never all zero
                break;
            case WR_FIELD_PART:
                Fill(f.desc, at, depth + 1);
                break;
            default: {
                uint32_t count = random_() % (depth == 0 ? 5 : 3);
                Store(static_cast<char *>(out) + f.count_offset, count);
                char *items = count == 0 ? nullptr : New(count * f.bytes);
                Store(at, items);
                for (uint32_t k = 0; k < count; k++) {
                    char *item = items + k * f.bytes;
                    if (f.kind == WR_FIELD_LIST) {
                        Fill(f.desc, item, depth + 1);
                    }
                    if (f.kind == WR_FIELD_LIST_U32) {
                        Store(item, static_cast<uint32_t>(random_()));
                    }
                    if (f.kind == WR_FIELD_LIST_SPAN) {
                        Store(item, Bytes());
                    }
                    if (f.kind == WR_FIELD_LIST_ID) {
                        for (uint32_t b = 0; b < f.bytes; b++) {
                            item[b] = static_cast<char>(random_());
                        }
                        item[0] |= 1;
                    }
                }
            }
            }
        }
    }
    void FillMsg(wr_cluster_msg *msg, uint32_t type) {
        memset(msg, 0, sizeof *msg);
        msg->type = type;
        Fill(wr_cluster_msg_desc(type), &msg->u);
    }
    std::mt19937 &random() {
        return random_;
    }

  private:
    template <typename T> void Store(char *at, T value) {
        memcpy(at, &value, sizeof value);
    }
    char *New(size_t bytes) {
        blocks_.emplace_back(new char[bytes]());
        return blocks_.back().get();
    }
    wr_span Bytes() {
        uint32_t n = random_() % 40;
        char *data = New(n + 1);
        for (uint32_t i = 0; i < n; i++) {
            data[i] = static_cast<char>(random_());
        }
        return wr_span_of(n == 0 ? nullptr : data, n);
    }
    std::mt19937 random_;
    std::vector<std::unique_ptr<char[]>> blocks_;
};

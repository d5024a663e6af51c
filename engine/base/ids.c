#include "base/ids.h"

#include <string.h>

/* Little endian whatever the machine is: ids are compared between nodes. */
static void put_le(uint8_t *out, uint64_t value, size_t n) {
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get_le(const uint8_t *in, size_t n) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value |= (uint64_t)in[i] << (8 * i);
    }
    return value;
}

wr_node_id wr_node_id_make(uint64_t cluster_id, uint32_t incarnation) {
    wr_node_id id = {{0}};
    put_le(id.bytes, cluster_id, 8);
    put_le(id.bytes + 8, incarnation, 4);
    return id;
}

uint32_t wr_node_id_incarnation(const wr_node_id *id) {
    return (uint32_t)get_le(id->bytes + 8, 4);
}

uint64_t wr_node_id_cluster(const wr_node_id *id) {
    return get_le(id->bytes, 8);
}

wr_object_id wr_object_id_make(const wr_node_id *node, uint32_t job, uint64_t handle, uint32_t index) {
    wr_object_id id;
    memcpy(id.bytes, node->bytes, WR_INCARNATION_BYTES);
    put_le(id.bytes + 12, job, 4);
    put_le(id.bytes + 16, handle, 8);
    put_le(id.bytes + 24, index, 4);
    return id;
}

void wr_object_id_split(const wr_object_id *id, uint64_t *out_cluster, uint32_t *out_incarnation,
                        uint32_t *out_job, uint64_t *out_handle, uint32_t *out_index) {
    *out_cluster = get_le(id->bytes, 8);
    *out_incarnation = (uint32_t)get_le(id->bytes + 8, 4);
    *out_job = (uint32_t)get_le(id->bytes + 12, 4);
    *out_handle = get_le(id->bytes + 16, 8);
    *out_index = (uint32_t)get_le(id->bytes + 24, 4);
}

void wr_hex_encode(const uint8_t *bytes, size_t n, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool wr_hex_decode(const char *hex, size_t n, uint8_t *out) {
    if (strnlen(hex, 2 * n + 1) != 2 * n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

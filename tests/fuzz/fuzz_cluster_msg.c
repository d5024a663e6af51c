/* Bytes from the wire: a frame, a message, a class key and a resource list, as a raylet or the GCS would
 * read them. */
#include "rpc/codec.h"
#include "sched/policy.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_texts(wr_span bytes) {
    wr_res_names names;
    wr_res res;
    static wr_class cls; /* large */
    if (wr_res_names_init(&names, NULL) != WR_OK) {
        return;
    }
    if (wr_res_parse(&names, bytes, &res, NULL) == WR_OK) {
        char text[WR_RES_TEXT_MAX + 1];
        uint32_t length;
        WR_ASSERT(wr_res_format(&names, &res, text, sizeof text, &length, NULL) == WR_OK);
    }
    if (wr_class_decode(bytes, &names, &cls, NULL) == WR_OK) {
        static uint8_t key[WR_CLASS_KEY_MAX];
        uint32_t length;
        WR_ASSERT(wr_class_encode(&cls, &names, key, sizeof key, &length, NULL) == WR_OK);
        WR_ASSERT(wr_span_equal(bytes, wr_span_of(key, length))); /* one class, one key */
    }
    (void)wr_labels_match("a=b,c=d", bytes);
    wr_res_names_done(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 1024 * 1024) {
        return 0;
    }
    wr_span bytes = wr_span_of(data, (uint32_t)size);
    wr_cluster_msg *msg = NULL;
    if (wr_cluster_msg_unpack(bytes, &msg, NULL) == WR_OK) {
        uint8_t *packed;
        uint32_t length;
        wr_cluster_msg *again = NULL;
        WR_ASSERT(wr_cluster_msg_pack(msg, &packed, &length, NULL) == WR_OK);
        WR_ASSERT(wr_cluster_msg_unpack(wr_span_of(packed, length), &again, NULL) == WR_OK);
        WR_ASSERT(wr_cluster_msg_equal(msg, again));
        wr_free(packed);
        wr_cluster_msg_free(again);
        wr_cluster_msg_free(msg);
    }
    wr_cluster_frame frame;
    if (wr_cluster_frame_unpack(bytes, &frame, NULL) == WR_OK) {
        wr_cluster_frame_done(&frame);
    }
    read_texts(bytes);
    return 0;
}

/* A stream of bytes from a socket, as the raylet parses it: frame after frame until one is wrong or cut off. */
#include "local/frame.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t at = 0;
    for (;;) {
        wr_frame frame;
        uint32_t consumed = 0;
        uint64_t request = 0;
        wr_error err;
        memset(&err, 0, sizeof err);
        wr_status status = wr_frame_parse(data + at, size - at, &frame, &consumed, &request, &err);
        if (status != WR_OK) {
            WR_ASSERT(status == WR_E_AGAIN || err.text[0] != 0);
            return 0;
        }
        WR_ASSERT(consumed >= WR_FRAME_HEADER_BYTES && consumed <= size - at);
        WR_ASSERT(frame.body.bytes >= data + at &&
                  frame.body.bytes + frame.body.count_bytes <= data + at + consumed);
        char op[WR_RECORD_NAME_MAX];
        (void)wr_record_get_string(&frame.body, "op", op, sizeof op);
        wr_error carried;
        WR_ASSERT(wr_frame_error_read(&frame.body, &carried) != WR_OK);
        at += consumed;
    }
}

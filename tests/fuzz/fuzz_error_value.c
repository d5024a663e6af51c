/* An error of another process, out of its pages: the stream lies in a block of exactly its size, so that a byte read
 * beyond it is seen. What is read is written again and read again, and must be the same. */
#include "base/base.h"
#include "store/error_value.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const wr_error *e) {
    WR_ASSERT(e->status != WR_OK && e->text[0] != 0);
    WR_ASSERT(memchr(e->text, 0, sizeof e->text) != NULL && memchr(e->hint, 0, sizeof e->hint) != NULL);
    WR_ASSERT(strcmp(wr_status_text(e->status), "") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *stream = malloc(size > 0 ? size : 1);
    WR_ASSERT(stream != NULL);
    if (size > 0) {
        memcpy(stream, data, size);
    }
    wr_error first, second;
    wr_store_error_decode(stream, size, &first);
    check(&first);
    free(stream);

    uint8_t packed[WR_ERROR_VALUE_MAX];
    uint32_t bytes = wr_store_error_pack(&first, packed);
    WR_ASSERT(bytes <= sizeof packed);
    wr_store_error_decode(packed, bytes, &second);
    check(&second);
    WR_ASSERT(second.status == first.status && strcmp(second.text, first.text) == 0 &&
              strcmp(second.hint, first.hint) == 0);

    wr_result result; /* the cell's own room: the text is cut, never more than fits is written */
    memset(&result, 0, sizeof result);
    wr_store_error_inline(first.status, first.text, &result);
    WR_ASSERT(result.location == WR_AT_INLINE && result.bytes <= sizeof result.inline_bytes);
    return 0;
}

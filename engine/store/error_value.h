/* engine/store/error_value.h: Whipray's own errors as values: sealed into cells, raised by who gets them.
 *
 * Kind WR_KIND_SYSTEM_ERROR; the stream, little endian:
 *
 *   offset 0  u8 version (1)    1  u8 reserved (0)     2  u16 status
 *          4  u16 text bytes    6  u16 hint bytes      8  text, hint (UTF-8)
 *
 * Text that is empty reads as the status's own meaning. With at most 24 bytes of text and hint the error lies
 * in its cell.
 */
#pragma once

#include "shm/proc.h"
#include "whipray/whipray.h"

WR_BEGIN_DECLS

enum {
    WR_ERROR_VALUE_VERSION = 1,
    WR_ERROR_VALUE_HEAD_BYTES = 8,
    WR_ERROR_VALUE_MAX = WR_ERROR_VALUE_HEAD_BYTES + WR_ERROR_TEXT_MAX + WR_ERROR_HINT_MAX
};

/* Packs an error; returns its size, at most WR_ERROR_VALUE_MAX. A status of OK becomes INTERNAL. */
uint32_t wr_store_error_pack(const wr_error *error, uint8_t out[WR_ERROR_VALUE_MAX]);

/* [books] An error as a result, ready for wr_proc_put, wr_proc_seal, wr_keeper_fail. Never fails: when the
 * heap has no room the text is cut to what the cell holds (cut at a character). May wait for room as
 * wr_proc_heap_alloc does. */
void wr_store_error_encode(wr_pool *pool, wr_proc *proc, const wr_error *error, wr_result *out);
/* The same without any heap: text and hint are cut to 24 bytes. For callers that must not allocate. */
void wr_store_error_inline(wr_status status, const char *text, wr_result *out);

/* Unpacks an error from the stream of a view; what is no error's stream becomes CORRUPT, which says so. */
void wr_store_error_decode(const uint8_t *stream, uint64_t bytes, wr_error *out);

WR_END_DECLS

/* python/src/codec.h: the bytes of a value. Little endian; written by encode.c and sink.c, read by decode.c.
 *
 *   value      u8 WR_PY_VALUE_1, item; None has no byte at all
 *   failure    u8 WR_PY_ERROR_1, item: one of several returns, which raises the error of this payload
 *   item       u8 tag, then
 *      0 None, 1 False, 2 True               -
 *      3, 4, 5 int                           i8, i32, i64
 *      6 float                               f64
 *      7, 8 str                              u8 / u32 length, UTF-8
 *      9 bytes below 256                     u8 length, bytes
 *     10 bytes                               u32 buffer
 *     11, 12 tuple; 13, 14 list              u8 / u32 count, items
 *     15, 16 dict                            u8 / u32 count, {key, value} items
 *     17 reference argument, first return    u8 link
 *     18 reference argument                  u32 link, u32 return index
 *     19 nested ref                          u32 position in the refs, u32 return index
 *     20 pickle 5                            u64 bytes, u32 first buffer, u32 buffers, pickle
 *     21 ndarray                             u8 dtype char, u8 dimensions, u32 buffer, u64 shape[dimensions]
 *   arguments  u8 WR_PY_ARGS_1 | flags, [i32 num_returns], [u32 n, n bytes of "extra"],
 *              counts of positional and keyword arguments (u8, u8, or u32, u32),
 *              positional items, {name item (str), item} of the keywords;
 *              a call without anything to say has no byte at all
 *
 * Numbers of buffers and refs count from the first one of their own argument.
 *
 * What is not exactly one of these types is pickled, and with it the whole value (not the call: each argument
 * is a value of its own). The block of arguments ends with the task, so their buffers are copied out of it;
 * large ones are put and passed by reference, so that a view of them can be kept.
 *
 * C1. Equal to pickle: a list, dict or array inside a container goes the fast way only if nothing else refers
 *     to it and no shared tuple lies above it.
 * C2. A reader trusts nothing: any bytes give a value or ValueError (a pickle does what it says).
 */
#pragma once

enum {
    WR_PY_VALUE_1 = 0xa1,
    WR_PY_ERROR_1 = 0xa2,
    WR_PY_ARGS_1 = 0xb0, /* low bits: */
    WR_PY_ARGS_RETURNS = 1,
    WR_PY_ARGS_EXTRA = 2,
    WR_PY_ARGS_WIDE = 4,
};

enum {
    WR_PY_NONE,
    WR_PY_FALSE,
    WR_PY_TRUE,
    WR_PY_INT8,
    WR_PY_INT32,
    WR_PY_INT64,
    WR_PY_FLOAT,
    WR_PY_STR8,
    WR_PY_STR32,
    WR_PY_BYTES8,
    WR_PY_BYTES_BUFFER,
    WR_PY_TUPLE8,
    WR_PY_TUPLE32,
    WR_PY_LIST8,
    WR_PY_LIST32,
    WR_PY_DICT8,
    WR_PY_DICT32,
    WR_PY_LINK,
    WR_PY_LINK_INDEX,
    WR_PY_REF,
    WR_PY_PICKLE,
    WR_PY_ARRAY,
};

/* Array element types that travel without pickle: struct format characters, native. */
#define WR_PY_DTYPES "?bBhHiIlLqQefd"

enum {
    WR_PY_FAST_DEPTH_MAX = 8,    /* deeper values are pickled */
    WR_PY_DECODE_DEPTH_MAX = 32, /* deeper ones are corrupt: no writer makes them */
    WR_PY_DIMENSIONS_MAX = 16,
    WR_PY_PUT_MIN = 8192, /* an argument with more bytes that a reader could keep a view of becomes an object
                             of its own */
};

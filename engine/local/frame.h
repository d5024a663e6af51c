/* engine/local/frame.h: frames on the Unix socket, for both of its ends. The frame itself: protocol.h.
 *
 *   offset 0  u32 length of what follows (12 .. WR_FRAME_LENGTH_MAX)
 *          4  u16 type    6  u16 version    8  u64 request id    16  packed record
 *
 * F1. A frame that parses has a checked record: lookups cannot leave it.
 * F2. A malformed frame is an error that names the mistake; nothing after it is read.
 *
 * The client side blocks, with a deadline; the server side parses a byte buffer that its event loop fills. Both
 * allocate
 * only for what they buffer (at most one frame plus 64 KiB).
 */
#pragma once

#include "local/protocol.h"
#include "whipray/record.h"

#include <sys/types.h>

WR_BEGIN_DECLS

enum { WR_FRAME_LENGTH_MAX = WR_RECORD_BYTES_MAX + 16, WR_FRAME_FDS_MAX = 8 };

typedef struct wr_frame {
    uint16_t type;
    uint64_t request;
    wr_record body; /* borrowed from the buffer it was parsed from */
} wr_frame;

/* Parses the frame at the start of bytes. out_consumed: its size. *out_request (may be NULL) is set as soon as the
 * header
 * is known, also on failure, so that an error reply can name it.
 * Returns OK; AGAIN (more bytes are needed; err is not filled); PROTOCOL (length, type or version), CORRUPT
 * (record). */
wr_status wr_frame_parse(const uint8_t *bytes, uint64_t count, wr_frame *out, uint32_t *out_consumed,
                         uint64_t *out_request, wr_error *err);
/* Writes the header of a frame with a record of record_bytes. */
void wr_frame_header(uint8_t out[WR_FRAME_HEADER_BYTES], uint16_t type, uint64_t request,
                     uint32_t record_bytes);

/* An error as the record of a WR_FRAME_ERROR, and back. read: a status of no meaning becomes INTERNAL, OK also. */
void wr_frame_error_write(wr_record_writer *w, const wr_error *error);
wr_status wr_frame_error_read(const wr_record *body, wr_error *out);

/* Equal in time that depends on the lengths only. */
bool wr_token_equal(const char *a, const char *b);

/* Who is at the other end. Fails: IO. */
WR_MUST_USE wr_status wr_peer_of(int fd, pid_t *out_pid, uid_t *out_uid, wr_error *err);
/* Fails: DENIED (the text has both users). Only equal users pass; root is no exception. */
WR_MUST_USE wr_status wr_peer_check(uid_t peer, uid_t mine, wr_error *err);

/* ---- The client's blocking side ---- */

/* One connection. One thread at a time sends, one at a time receives. */
typedef struct wr_frame_conn wr_frame_conn;

/* Connects to the socket at path, whose listener must be of this user. deadline_ns: of wr_clock_ns; UINT64_MAX: none.
 * Fails: UNAVAILABLE (nobody listens), DENIED (another user's), TIMEOUT, INVALID (path too long), NO_MEMORY,
 * LIMIT, IO. */
WR_MUST_USE wr_status wr_frame_connect(const char *path, uint64_t deadline_ns, wr_frame_conn **out,
                                       wr_error *err);
/* The same over a connected socket (tests); takes over fd, also on failure. */
WR_MUST_USE wr_status wr_frame_adopt(int fd, wr_frame_conn **out, wr_error *err);
void wr_frame_close(wr_frame_conn *conn); /* accepts NULL; closes descriptors that nobody took */
WR_DEFINE_AUTO(wr_frame_conn, wr_frame_close)
int wr_frame_fd(const wr_frame_conn *conn); /* lent, for poll */

/* Sends one frame. pass_fd: descriptor that goes along, or -1; stays the caller's.
 * Fails: UNAVAILABLE (hung up), TIMEOUT (part may have gone: close the connection), LIMIT (record too long), IO. */
WR_MUST_USE wr_status wr_frame_send(wr_frame_conn *conn, uint16_t type, uint64_t request,
                                    const uint8_t *record, uint32_t record_bytes, int pass_fd,
                                    uint64_t deadline_ns, wr_error *err);
/* Receives one frame; out is borrowed until the next receive. deadline_ns 0: only what is here already.
 * Fails: TIMEOUT, UNAVAILABLE (hung up), PROTOCOL, CORRUPT, NO_MEMORY, IO. */
WR_MUST_USE wr_status wr_frame_receive(wr_frame_conn *conn, uint64_t deadline_ns, wr_frame *out,
                                       wr_error *err);
/* The oldest descriptor that was received and not taken, now the caller's; -1: none. It came with the frame last
 * received
 * or an earlier one, or with one whose bytes are not all here yet. */
int wr_frame_take_fd(wr_frame_conn *conn);

WR_END_DECLS

/* engine/rpc/grpc_util.h: the one place that knows gRPC's odds and ends: codes, credentials, slices, time.
 * Private to this folder.
 */
#pragma once

#include "base/clock.h"
#include "rpc/credentials.h"
#include "sched/span.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#if __has_include(<grpc/credentials.h>)
#include <grpc/credentials.h>
#endif
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

WR_BEGIN_DECLS

enum { WR_RPC_MESSAGE_BYTES_MAX = 256 * 1024 * 1024 };

/* A gRPC status with its text, as an error of ours: the status is in both, UNAVAILABLE for a peer that is
 * not there. */
wr_status wr_grpc_error(grpc_status_code code, const char *text, wr_error *err);
grpc_status_code wr_grpc_code(wr_status status);

gpr_timespec wr_grpc_deadline(wr_time_ns at); /* UINT64_MAX = never */

grpc_byte_buffer *wr_grpc_buffer(const void *data,
                                 uint32_t bytes); /* copies; owned by the caller; NULL: no memory */
/* All bytes of a buffer in one piece. out->data is owned by the caller (wr_free). Fails: NO_MEMORY, LIMIT.
 */
WR_MUST_USE wr_status wr_grpc_bytes(grpc_byte_buffer *buffer, uint8_t **out, uint32_t *out_bytes,
                                    wr_error *err);

/* Fails: INVALID, NOT_FOUND, DENIED or IO (a file), as wr_rpc_credentials_check. out: owned by the caller.
 */
WR_MUST_USE wr_status wr_grpc_client_credentials(const wr_rpc_credentials *c, grpc_channel_credentials **out,
                                                 wr_error *err);
WR_MUST_USE wr_status wr_grpc_server_credentials(const wr_rpc_credentials *c, grpc_server_credentials **out,
                                                 wr_error *err);
/* "Bearer TOKEN", owned by the caller (wr_free). */
WR_MUST_USE wr_status wr_grpc_bearer(const wr_rpc_credentials *c, char **out, wr_error *err);
/* Takes time that depends on the lengths alone. */
bool wr_bytes_equal_secret(const void *a, size_t a_bytes, const void *b, size_t b_bytes);

WR_END_DECLS

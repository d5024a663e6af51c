/* engine/rpc/gcs_api.h: what both ends of the GCS's calls must agree on. */
#pragma once

#include "rpc/gcs_link.h"
#include "sched/struct_desc.h"

WR_BEGIN_DECLS

#define WR_GCS_STREAM_METHOD "/whipray.Gcs/Session"

/* Answer to every call: the status is ours, gRPC's is OK unless the call itself failed. */
typedef struct wr_gcs_reply {
    uint32_t status; /* wr_status */
    wr_span text;
    wr_gcs_response response;
} wr_gcs_reply;

extern const wr_struct_desc wr_gcs_request_desc, wr_gcs_response_desc, wr_gcs_reply_desc;

const char *wr_gcs_call_method(wr_gcs_call call); /* NULL: no such call */
bool wr_gcs_call_of_method(const char *method, wr_gcs_call *out);

WR_END_DECLS

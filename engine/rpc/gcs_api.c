#include "rpc/gcs_api.h"

static const char *const methods[WR_GCS_CALLS] = {
    [WR_GCS_KV_PUT] = "/whipray.Gcs/KvPut",
    [WR_GCS_KV_GET] = "/whipray.Gcs/KvGet",
    [WR_GCS_KV_DEL] = "/whipray.Gcs/KvDel",
    [WR_GCS_KV_EXISTS] = "/whipray.Gcs/KvExists",
    [WR_GCS_KV_LIST] = "/whipray.Gcs/KvList",
    [WR_GCS_FUNCTION_PUT] = "/whipray.Gcs/FunctionPut",
    [WR_GCS_FUNCTION_GET] = "/whipray.Gcs/FunctionGet",
    [WR_GCS_NODES] = "/whipray.Gcs/Nodes",
    [WR_GCS_ACTORS] = "/whipray.Gcs/Actors",
    [WR_GCS_JOBS] = "/whipray.Gcs/Jobs",
    [WR_GCS_GROUPS] = "/whipray.Gcs/Groups",
    [WR_GCS_HEALTH] = "/whipray.Gcs/Health",
};

const char *wr_gcs_call_method(wr_gcs_call call) {
    return (uint32_t)call < WR_GCS_CALLS ? methods[call] : NULL;
}

bool wr_gcs_call_of_method(const char *method, wr_gcs_call *out) {
    for (uint32_t i = 0; i < WR_GCS_CALLS; i++) {
        if (strcmp(method, methods[i]) == 0) {
            *out = (wr_gcs_call)i;
            return true;
        }
    }
    return false;
}

static const wr_field wr_gcs_request_fields[] = {
    WR_F_U32(wr_gcs_request, call),       WR_F_SPAN(wr_gcs_request, name_space),
    WR_F_SPAN(wr_gcs_request, key),       WR_F_SPAN(wr_gcs_request, value),
    WR_F_FLAG(wr_gcs_request, overwrite), WR_F_FLAG(wr_gcs_request, prefix),
    WR_F_U32(wr_gcs_request, limit),      WR_F_U64(wr_gcs_request, timeout_ns),
};
const wr_struct_desc wr_gcs_request_desc = WR_DESC(wr_gcs_request);

static const wr_field wr_gcs_node_fields[] = {
    WR_F_PART(wr_gcs_node, info, wr_node_info),
    WR_F_U32(wr_gcs_node, state),
    WR_F_SPAN(wr_gcs_node, available),
    WR_F_SPAN(wr_gcs_node, stats),
    WR_F_SPAN(wr_gcs_node, death),
    WR_F_U64(wr_gcs_node, start_us),
    WR_F_U64(wr_gcs_node, end_us),
};
static const wr_struct_desc wr_gcs_node_desc = WR_DESC(wr_gcs_node);

static const wr_field wr_gcs_response_fields[] = {
    WR_F_SPAN(wr_gcs_response, value),
    WR_F_FLAG(wr_gcs_response, added),
    WR_F_U64(wr_gcs_response, count),
    WR_F_LIST_SPAN(wr_gcs_response, keys, key_count),
    WR_F_LIST(wr_gcs_response, nodes, node_count, wr_gcs_node),
    WR_F_LIST(wr_gcs_response, actors, actor_count, wr_actor_info),
    WR_F_LIST(wr_gcs_response, jobs, job_count, wr_job_info),
    WR_F_LIST(wr_gcs_response, groups, group_count, wr_pg_info),
    WR_F_U64(wr_gcs_response, epoch),
    WR_F_U64(wr_gcs_response, cluster_id),
};
const wr_struct_desc wr_gcs_response_desc = WR_DESC(wr_gcs_response);

static const wr_field wr_gcs_reply_fields[] = {
    WR_F_U32(wr_gcs_reply, status),
    WR_F_SPAN(wr_gcs_reply, text),
    WR_F_PART(wr_gcs_reply, response, wr_gcs_response),
};
const wr_struct_desc wr_gcs_reply_desc = WR_DESC(wr_gcs_reply);

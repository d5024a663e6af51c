/* The tables of every struct in cluster_msg.h; one line a field, in the order of proto/cluster.proto. */
#include "sched/cluster_msg.h"
#include "sched/struct_desc.h"

static const wr_field wr_node_info_fields[] = {
    WR_F_U32(wr_node_info, inc),           WR_F_FLAG(wr_node_info, head),
    WR_F_U32(wr_node_info, pid),           WR_F_SPAN(wr_node_info, name),
    WR_F_SPAN(wr_node_info, hostname),     WR_F_SPAN(wr_node_info, address),
    WR_F_SPAN(wr_node_info, bulk_address), WR_F_SPAN(wr_node_info, raylet_socket),
    WR_F_SPAN(wr_node_info, resources),    WR_F_SPAN(wr_node_info, labels),
};
const wr_struct_desc wr_node_info_desc = WR_DESC(wr_node_info);

static const wr_field wr_msg_hello_fields[] = {
    WR_F_U64(wr_msg_hello, epoch),
    WR_F_U64(wr_msg_hello, cluster_id),
    WR_F_U32(wr_msg_hello, version),
};
static const wr_struct_desc wr_msg_hello_desc = WR_DESC(wr_msg_hello);

static const wr_field wr_msg_join_fields[] = {
    WR_F_ID(wr_msg_join, nonce),
    WR_F_U32(wr_msg_join, version),
    WR_F_PART(wr_msg_join, node, wr_node_info),
};
static const wr_struct_desc wr_msg_join_desc = WR_DESC(wr_msg_join);

static const wr_field wr_msg_welcome_fields[] = {
    WR_F_ID(wr_msg_welcome, nonce),
    WR_F_U32(wr_msg_welcome, inc),
    WR_F_U64(wr_msg_welcome, epoch),
    WR_F_U64(wr_msg_welcome, cluster_id),
};
static const wr_struct_desc wr_msg_welcome_desc = WR_DESC(wr_msg_welcome);

static const wr_field wr_msg_nonce_fields[] = {
    WR_F_ID(wr_msg_nonce, nonce),
};
static const wr_struct_desc wr_msg_nonce_desc = WR_DESC(wr_msg_nonce);

static const wr_field wr_msg_node_fields[] = {
    WR_F_U32(wr_msg_node, inc),
    WR_F_SPAN(wr_msg_node, text),
};
static const wr_struct_desc wr_msg_node_desc = WR_DESC(wr_msg_node);

static const wr_field wr_msg_hb_fields[] = {
    WR_F_U64(wr_msg_hb, epoch),
};
static const wr_struct_desc wr_msg_hb_desc = WR_DESC(wr_msg_hb);

static const wr_field wr_hosted_fields[] = {
    WR_F_ID(wr_hosted, actor),
    WR_F_U64(wr_hosted, n),
    WR_F_FLAG(wr_hosted, alive),
    WR_F_U32(wr_hosted, pid),
};
static const wr_struct_desc wr_hosted_desc = WR_DESC(wr_hosted);

static const wr_field wr_ended_actor_fields[] = {
    WR_F_ID(wr_ended_actor, actor),   WR_F_U64(wr_ended_actor, n),     WR_F_U32(wr_ended_actor, status),
    WR_F_FLAG(wr_ended_actor, final), WR_F_SPAN(wr_ended_actor, text),
};
static const wr_struct_desc wr_ended_actor_desc = WR_DESC(wr_ended_actor);

static const wr_field wr_held_bundle_fields[] = {
    WR_F_ID(wr_held_bundle, pg),
    WR_F_U64(wr_held_bundle, attempt),
    WR_F_U32(wr_held_bundle, index),
    WR_F_FLAG(wr_held_bundle, committed),
};
static const wr_struct_desc wr_held_bundle_desc = WR_DESC(wr_held_bundle);

static const wr_field wr_msg_rereg_fields[] = {
    WR_F_PART(wr_msg_rereg, node, wr_node_info),
    WR_F_LIST_U32(wr_msg_rereg, dead, dead_count),
    WR_F_LIST(wr_msg_rereg, ended, ended_count, wr_ended_actor),
    WR_F_LIST(wr_msg_rereg, hosted, hosted_count, wr_hosted),
    WR_F_LIST(wr_msg_rereg, bundles, bundle_count, wr_held_bundle),
};
static const wr_struct_desc wr_msg_rereg_desc = WR_DESC(wr_msg_rereg);

static const wr_field wr_msg_nodes_fields[] = {
    WR_F_LIST(wr_msg_nodes, live, live_count, wr_node_info),
    WR_F_LIST_U32(wr_msg_nodes, unburied, unburied_count),
    WR_F_LIST_U32(wr_msg_nodes, dead, dead_count),
};
static const wr_struct_desc wr_msg_nodes_desc = WR_DESC(wr_msg_nodes);

static const wr_field wr_demand_fields[] = {
    WR_F_SPAN(wr_demand, cls),
    WR_F_U32(wr_demand, prefer),
    WR_F_U32(wr_demand, waiting),
};
static const wr_struct_desc wr_demand_desc = WR_DESC(wr_demand);

static const wr_field wr_grant_use_fields[] = {
    WR_F_U64(wr_grant_use, grant),
    WR_F_U32(wr_grant_use, count),
};
static const wr_struct_desc wr_grant_use_desc = WR_DESC(wr_grant_use);

static const wr_field wr_msg_sync_fields[] = {
    WR_F_SPAN(wr_msg_sync, available),
    WR_F_U64(wr_msg_sync, placed_seen),
    WR_F_LIST(wr_msg_sync, demand, demand_count, wr_demand),
    WR_F_LIST(wr_msg_sync, used, used_count, wr_grant_use),
    WR_F_LIST(wr_msg_sync, received, received_count, wr_grant_use),
    WR_F_SPAN(wr_msg_sync, stats),
};
static const wr_struct_desc wr_msg_sync_desc = WR_DESC(wr_msg_sync);

static const wr_field wr_msg_grant_fields[] = {
    WR_F_U64(wr_msg_grant, grant),    WR_F_SPAN(wr_msg_grant, cls),  WR_F_U32(wr_msg_grant, node),
    WR_F_SPAN(wr_msg_grant, address), WR_F_U32(wr_msg_grant, count),
};
static const wr_struct_desc wr_msg_grant_desc = WR_DESC(wr_msg_grant);

static const wr_field wr_msg_infeasible_fields[] = {
    WR_F_SPAN(wr_msg_infeasible, cls),   WR_F_ID(wr_msg_infeasible, actor),
    WR_F_FLAG(wr_msg_infeasible, final), WR_F_U32(wr_msg_infeasible, nearest),
    WR_F_SPAN(wr_msg_infeasible, text),
};
static const wr_struct_desc wr_msg_infeasible_desc = WR_DESC(wr_msg_infeasible);

static const wr_field wr_task_arg_fields[] = {
    WR_F_FLAG(wr_task_arg, is_ref),
    WR_F_ID(wr_task_arg, object),
    WR_F_U32(wr_task_arg, hint),
    WR_F_SPAN(wr_task_arg, value),
};
static const wr_struct_desc wr_task_arg_desc = WR_DESC(wr_task_arg);

static const wr_field wr_msg_task_fields[] = {
    WR_F_ID(wr_msg_task, task),      WR_F_U32(wr_msg_task, attempt),
    WR_F_U32(wr_msg_task, results),  WR_F_U64(wr_msg_task, grant),
    WR_F_SPAN(wr_msg_task, cls),     WR_F_SPAN(wr_msg_task, function),
    WR_F_SPAN(wr_msg_task, options), WR_F_ID(wr_msg_task, actor),
    WR_F_U64(wr_msg_task, n),        WR_F_U64(wr_msg_task, seq),
    WR_F_FLAG(wr_msg_task, rebuild), WR_F_LIST(wr_msg_task, args, arg_count, wr_task_arg),
};
static const wr_struct_desc wr_msg_task_desc = WR_DESC(wr_msg_task);

static const wr_field wr_done_result_fields[] = {
    WR_F_U32(wr_done_result, index), WR_F_FLAG(wr_done_result, error), WR_F_FLAG(wr_done_result, bytes_here),
    WR_F_U64(wr_done_result, size),  WR_F_SPAN(wr_done_result, value),
};
static const wr_struct_desc wr_done_result_desc = WR_DESC(wr_done_result);

static const wr_field wr_msg_done_fields[] = {
    WR_F_ID(wr_msg_done, task),
    WR_F_U32(wr_msg_done, attempt),
    WR_F_U32(wr_msg_done, status),
    WR_F_FLAG(wr_msg_done, started),
    WR_F_SPAN(wr_msg_done, text),
    WR_F_LIST(wr_msg_done, results, result_count, wr_done_result),
    WR_F_LIST_ID(wr_msg_done, kept, kept_count, wr_object_id),
};
static const wr_struct_desc wr_msg_done_desc = WR_DESC(wr_msg_done);

static const wr_field wr_msg_return_fields[] = {
    WR_F_ID(wr_msg_return, task),
    WR_F_U32(wr_msg_return, attempt),
};
static const wr_struct_desc wr_msg_return_desc = WR_DESC(wr_msg_return);

static const wr_field wr_msg_cancel_fields[] = {
    WR_F_ID(wr_msg_cancel, task),
    WR_F_U32(wr_msg_cancel, attempt),
    WR_F_FLAG(wr_msg_cancel, force),
};
static const wr_struct_desc wr_msg_cancel_desc = WR_DESC(wr_msg_cancel);

static const wr_field wr_actor_spec_fields[] = {
    WR_F_ID(wr_actor_spec, actor),         WR_F_U32(wr_actor_spec, job),
    WR_F_U32(wr_actor_spec, creator),      WR_F_FLAG(wr_actor_spec, detached),
    WR_F_I32(wr_actor_spec, max_restarts), WR_F_SPAN(wr_actor_spec, class_name),
    WR_F_SPAN(wr_actor_spec, name),        WR_F_SPAN(wr_actor_spec, name_space),
    WR_F_SPAN(wr_actor_spec, cls),         WR_F_SPAN(wr_actor_spec, spec),
};
const wr_struct_desc wr_actor_spec_desc = WR_DESC(wr_actor_spec);

static const wr_field wr_actor_info_fields[] = {
    WR_F_PART(wr_actor_info, spec, wr_actor_spec),
    WR_F_U32(wr_actor_info, state),
    WR_F_U64(wr_actor_info, n),
    WR_F_U32(wr_actor_info, restarts),
    WR_F_U32(wr_actor_info, node),
    WR_F_U32(wr_actor_info, pid),
    WR_F_U32(wr_actor_info, status),
    WR_F_SPAN(wr_actor_info, text),
    WR_F_U64(wr_actor_info, start_us),
    WR_F_U64(wr_actor_info, end_us),
};
const wr_struct_desc wr_actor_info_desc = WR_DESC(wr_actor_info);

static const wr_field wr_msg_new_fields[] = {
    WR_F_PART(wr_msg_new, spec, wr_actor_spec),
};
static const wr_struct_desc wr_msg_new_desc = WR_DESC(wr_msg_new);

static const wr_field wr_msg_start_fields[] = {
    WR_F_U64(wr_msg_start, n),
    WR_F_U32(wr_msg_start, restarts),
    WR_F_PART(wr_msg_start, spec, wr_actor_spec),
};
static const wr_struct_desc wr_msg_start_desc = WR_DESC(wr_msg_start);

static const wr_field wr_msg_started_fields[] = {
    WR_F_ID(wr_msg_started, actor),
    WR_F_U64(wr_msg_started, n),
    WR_F_U32(wr_msg_started, pid),
};
static const wr_struct_desc wr_msg_started_desc = WR_DESC(wr_msg_started);

static const wr_field wr_msg_refused_fields[] = {
    WR_F_ID(wr_msg_refused, actor),
    WR_F_U64(wr_msg_refused, n),
    WR_F_SPAN(wr_msg_refused, text),
};
static const wr_struct_desc wr_msg_refused_desc = WR_DESC(wr_msg_refused);

static const wr_field wr_msg_ended_fields[] = {
    WR_F_PART(wr_msg_ended, actor, wr_ended_actor),
};
static const wr_struct_desc wr_msg_ended_desc = WR_DESC(wr_msg_ended);

static const wr_field wr_msg_stop_fields[] = {
    WR_F_ID(wr_msg_stop, actor),   WR_F_U64(wr_msg_stop, n),     WR_F_FLAG(wr_msg_stop, restart),
    WR_F_U32(wr_msg_stop, status), WR_F_SPAN(wr_msg_stop, text),
};
static const wr_struct_desc wr_msg_stop_desc = WR_DESC(wr_msg_stop);

static const wr_field wr_msg_actor_fields[] = {
    WR_F_ID(wr_msg_actor, actor),
};
static const wr_struct_desc wr_msg_actor_desc = WR_DESC(wr_msg_actor);

static const wr_field wr_msg_act_fields[] = {
    WR_F_ID(wr_msg_act, actor),     WR_F_U64(wr_msg_act, n),     WR_F_U32(wr_msg_act, state),
    WR_F_U32(wr_msg_act, restarts), WR_F_U32(wr_msg_act, node),  WR_F_SPAN(wr_msg_act, address),
    WR_F_U32(wr_msg_act, status),   WR_F_SPAN(wr_msg_act, text),
};
static const wr_struct_desc wr_msg_act_desc = WR_DESC(wr_msg_act);

static const wr_field wr_msg_kill_fields[] = {
    WR_F_ID(wr_msg_kill, actor),
    WR_F_FLAG(wr_msg_kill, no_restart),
    WR_F_SPAN(wr_msg_kill, text),
};
static const wr_struct_desc wr_msg_kill_desc = WR_DESC(wr_msg_kill);

static const wr_field wr_msg_name_get_fields[] = {
    WR_F_U64(wr_msg_name_get, query),
    WR_F_SPAN(wr_msg_name_get, name_space),
    WR_F_SPAN(wr_msg_name_get, name),
};
static const wr_struct_desc wr_msg_name_get_desc = WR_DESC(wr_msg_name_get);

static const wr_field wr_msg_name_is_fields[] = {
    WR_F_U64(wr_msg_name_is, query),
    WR_F_FLAG(wr_msg_name_is, found),
    WR_F_PART(wr_msg_name_is, actor, wr_actor_info),
};
static const wr_struct_desc wr_msg_name_is_desc = WR_DESC(wr_msg_name_is);

static const wr_field wr_msg_name_list_fields[] = {
    WR_F_U64(wr_msg_name_list, query),
    WR_F_FLAG(wr_msg_name_list, all),
    WR_F_SPAN(wr_msg_name_list, name_space),
};
static const wr_struct_desc wr_msg_name_list_desc = WR_DESC(wr_msg_name_list);

static const wr_field wr_named_fields[] = {
    WR_F_SPAN(wr_named, name_space),
    WR_F_SPAN(wr_named, name),
    WR_F_ID(wr_named, actor),
};
static const wr_struct_desc wr_named_desc = WR_DESC(wr_named);

static const wr_field wr_msg_names_fields[] = {
    WR_F_U64(wr_msg_names, query),
    WR_F_LIST(wr_msg_names, names, count, wr_named),
};
static const wr_struct_desc wr_msg_names_desc = WR_DESC(wr_msg_names);

static const wr_field wr_bundle_info_fields[] = {
    WR_F_SPAN(wr_bundle_info, resources),
    WR_F_U32(wr_bundle_info, node),
};
static const wr_struct_desc wr_bundle_info_desc = WR_DESC(wr_bundle_info);

static const wr_field wr_pg_info_fields[] = {
    WR_F_ID(wr_pg_info, pg),        WR_F_U32(wr_pg_info, job),
    WR_F_ID(wr_pg_info, owner),     WR_F_FLAG(wr_pg_info, detached),
    WR_F_U32(wr_pg_info, strategy), WR_F_U32(wr_pg_info, state),
    WR_F_U64(wr_pg_info, attempt),  WR_F_SPAN(wr_pg_info, name),
    WR_F_SPAN(wr_pg_info, text),    WR_F_LIST(wr_pg_info, bundles, bundle_count, wr_bundle_info),
};
const wr_struct_desc wr_pg_info_desc = WR_DESC(wr_pg_info);

static const wr_field wr_msg_pg_create_fields[] = {
    WR_F_PART(wr_msg_pg_create, pg, wr_pg_info),
};
static const wr_struct_desc wr_msg_pg_create_desc = WR_DESC(wr_msg_pg_create);

static const wr_field wr_msg_pg_fields[] = {
    WR_F_ID(wr_msg_pg, pg),
};
static const wr_struct_desc wr_msg_pg_desc = WR_DESC(wr_msg_pg);

static const wr_field wr_msg_bundle_fields[] = {
    WR_F_ID(wr_msg_bundle, pg),   WR_F_U64(wr_msg_bundle, attempt), WR_F_U32(wr_msg_bundle, index),
    WR_F_FLAG(wr_msg_bundle, ok), WR_F_U32(wr_msg_bundle, job),     WR_F_SPAN(wr_msg_bundle, resources),
};
static const wr_struct_desc wr_msg_bundle_desc = WR_DESC(wr_msg_bundle);

static const wr_field wr_msg_pg_get_fields[] = {
    WR_F_U64(wr_msg_pg_get, query),
    WR_F_ID(wr_msg_pg_get, pg),
    WR_F_SPAN(wr_msg_pg_get, name),
};
static const wr_struct_desc wr_msg_pg_get_desc = WR_DESC(wr_msg_pg_get);

static const wr_field wr_msg_pg_is_fields[] = {
    WR_F_U64(wr_msg_pg_is, query),
    WR_F_FLAG(wr_msg_pg_is, found),
    WR_F_PART(wr_msg_pg_is, pg, wr_pg_info),
};
static const wr_struct_desc wr_msg_pg_is_desc = WR_DESC(wr_msg_pg_is);

static const wr_field wr_msg_pg_table_fields[] = {
    WR_F_U64(wr_msg_pg_table, query),
    WR_F_LIST(wr_msg_pg_table, groups, count, wr_pg_info),
};
static const wr_struct_desc wr_msg_pg_table_desc = WR_DESC(wr_msg_pg_table);

static const wr_field wr_msg_query_fields[] = {
    WR_F_U64(wr_msg_query, query),
};
static const wr_struct_desc wr_msg_query_desc = WR_DESC(wr_msg_query);

static const wr_field wr_job_info_fields[] = {
    WR_F_U32(wr_job_info, job),        WR_F_U32(wr_job_info, state),       WR_F_U32(wr_job_info, node),
    WR_F_U32(wr_job_info, driver_pid), WR_F_SPAN(wr_job_info, name_space), WR_F_SPAN(wr_job_info, entrypoint),
    WR_F_SPAN(wr_job_info, metadata),  WR_F_U64(wr_job_info, start_us),    WR_F_U64(wr_job_info, end_us),
    WR_F_SPAN(wr_job_info, text),
};
const wr_struct_desc wr_job_info_desc = WR_DESC(wr_job_info);

static const wr_field wr_msg_job_start_fields[] = {
    WR_F_ID(wr_msg_job_start, nonce),
    WR_F_PART(wr_msg_job_start, job, wr_job_info),
};
static const wr_struct_desc wr_msg_job_start_desc = WR_DESC(wr_msg_job_start);

static const wr_field wr_msg_job_started_fields[] = {
    WR_F_ID(wr_msg_job_started, nonce),
    WR_F_U32(wr_msg_job_started, job),
};
static const wr_struct_desc wr_msg_job_started_desc = WR_DESC(wr_msg_job_started);

static const wr_field wr_msg_job_fields[] = {
    WR_F_U32(wr_msg_job, job),
    WR_F_FLAG(wr_msg_job, failed),
    WR_F_SPAN(wr_msg_job, text),
};
static const wr_struct_desc wr_msg_job_desc = WR_DESC(wr_msg_job);

static const wr_field wr_msg_ack_fields[] = {
    WR_F_U32(wr_msg_ack, of),   WR_F_ID(wr_msg_ack, actor),  WR_F_ID(wr_msg_ack, pg),
    WR_F_U32(wr_msg_ack, job),  WR_F_U64(wr_msg_ack, n),     WR_F_U32(wr_msg_ack, status),
    WR_F_ID(wr_msg_ack, other), WR_F_SPAN(wr_msg_ack, text),
};
static const wr_struct_desc wr_msg_ack_desc = WR_DESC(wr_msg_ack);

static const struct {
    const char *name;
    const wr_struct_desc *desc;
} types[WR_MSG_TYPES] = {
    [WR_MSG_HELLO] = {"HELLO", &wr_msg_hello_desc},
    [WR_MSG_JOIN] = {"JOIN", &wr_msg_join_desc},
    [WR_MSG_WELCOME] = {"WELCOME", &wr_msg_welcome_desc},
    [WR_MSG_NONCE] = {"NONCE", &wr_msg_nonce_desc},
    [WR_MSG_YOUDEAD] = {"YOUDEAD", &wr_msg_node_desc},
    [WR_MSG_HB] = {"HB", &wr_msg_hb_desc},
    [WR_MSG_REREG] = {"REREG", &wr_msg_rereg_desc},
    [WR_MSG_NODES] = {"NODES", &wr_msg_nodes_desc},
    [WR_MSG_DEAD] = {"DEAD", &wr_msg_node_desc},
    [WR_MSG_FLUSHED] = {"FLUSHED", &wr_msg_node_desc},
    [WR_MSG_BURIED] = {"BURIED", &wr_msg_node_desc},
    [WR_MSG_LEAVE] = {"LEAVE", &wr_msg_node_desc},
    [WR_MSG_SYNC] = {"SYNC", &wr_msg_sync_desc},
    [WR_MSG_GRANT] = {"GRANT", &wr_msg_grant_desc},
    [WR_MSG_INFEASIBLE] = {"INFEASIBLE", &wr_msg_infeasible_desc},
    [WR_MSG_TASK] = {"TASK", &wr_msg_task_desc},
    [WR_MSG_DONE] = {"DONE", &wr_msg_done_desc},
    [WR_MSG_RETURN] = {"RETURN", &wr_msg_return_desc},
    [WR_MSG_CANCEL] = {"CANCEL", &wr_msg_cancel_desc},
    [WR_MSG_NEW] = {"NEW", &wr_msg_new_desc},
    [WR_MSG_START] = {"START", &wr_msg_start_desc},
    [WR_MSG_STARTED] = {"STARTED", &wr_msg_started_desc},
    [WR_MSG_REFUSED] = {"REFUSED", &wr_msg_refused_desc},
    [WR_MSG_ENDED] = {"ENDED", &wr_msg_ended_desc},
    [WR_MSG_STOP] = {"STOP", &wr_msg_stop_desc},
    [WR_MSG_ACTOR_SUB] = {"ACTOR_SUB", &wr_msg_actor_desc},
    [WR_MSG_ACT] = {"ACT", &wr_msg_act_desc},
    [WR_MSG_KILL] = {"KILL", &wr_msg_kill_desc},
    [WR_MSG_OUTOFSCOPE] = {"OUTOFSCOPE", &wr_msg_actor_desc},
    [WR_MSG_NAME_GET] = {"NAME_GET", &wr_msg_name_get_desc},
    [WR_MSG_NAME_IS] = {"NAME_IS", &wr_msg_name_is_desc},
    [WR_MSG_NAME_LIST] = {"NAME_LIST", &wr_msg_name_list_desc},
    [WR_MSG_NAMES] = {"NAMES", &wr_msg_names_desc},
    [WR_MSG_PG_CREATE] = {"PG_CREATE", &wr_msg_pg_create_desc},
    [WR_MSG_PG_REMOVE] = {"PG_REMOVE", &wr_msg_pg_desc},
    [WR_MSG_PREPARE] = {"PREPARE", &wr_msg_bundle_desc},
    [WR_MSG_PREPARED] = {"PREPARED", &wr_msg_bundle_desc},
    [WR_MSG_COMMIT] = {"COMMIT", &wr_msg_bundle_desc},
    [WR_MSG_RELEASE] = {"RELEASE", &wr_msg_bundle_desc},
    [WR_MSG_PG_GET] = {"PG_GET", &wr_msg_pg_get_desc},
    [WR_MSG_PG_IS] = {"PG_IS", &wr_msg_pg_is_desc},
    [WR_MSG_PG_TABLE_GET] = {"PG_TABLE_GET", &wr_msg_query_desc},
    [WR_MSG_PG_TABLE] = {"PG_TABLE", &wr_msg_pg_table_desc},
    [WR_MSG_JOB_START] = {"JOB_START", &wr_msg_job_start_desc},
    [WR_MSG_JOB_STARTED] = {"JOB_STARTED", &wr_msg_job_started_desc},
    [WR_MSG_JOB_END] = {"JOB_END", &wr_msg_job_desc},
    [WR_MSG_JOBDEAD] = {"JOBDEAD", &wr_msg_job_desc},
    [WR_MSG_ACK] = {"ACK", &wr_msg_ack_desc},
};

const wr_struct_desc *wr_cluster_msg_desc(uint32_t type) {
    return type < WR_MSG_TYPES ? types[type].desc : NULL;
}

const char *wr_cluster_msg_name(uint32_t type) {
    return type < WR_MSG_TYPES && types[type].name != NULL ? types[type].name : "?";
}

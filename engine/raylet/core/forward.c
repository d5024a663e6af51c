/* Tasks that travel: granted ones of ours, and those of other nodes (rules T1 to T6 of engine/gcs/README.md). */
#include "raylet/core/state.h"

#include <string.h>

static core_sent *sent_of(wr_raylet_core *core, const wr_task_id *id, uint32_t attempt) {
    for (uint32_t i = 0; i < core->sent_count; i++) {
        if (memcmp(&core->sent[i].id, id, sizeof *id) == 0 && core->sent[i].attempt == attempt) {
            return &core->sent[i];
        }
    }
    return NULL;
}

static void sent_remove(wr_raylet_core *core, core_sent *s) {
    *s = core->sent[--core->sent_count];
}

static void count_use(wr_grant_use **items, uint32_t *count, uint32_t *capacity, uint64_t grant, uint32_t n) {
    for (uint32_t i = 0; i < *count; i++) {
        if ((*items)[i].grant == grant) {
            (*items)[i].count += n;
            return;
        }
    }
    void *grown = *items;
    core_reserve(&grown, capacity, *count + 1, sizeof **items);
    *items = grown;
    (*items)[(*count)++] = (wr_grant_use){.grant = grant, .count = n};
}

static void granted(wr_raylet_core *core, const wr_msg_grant *grant) {
    wr_class cls;
    core_class *c = NULL;
    if (wr_class_decode(grant->cls, &core->names, &cls, NULL) == WR_OK) {
        c = core_class_of_port(core, wr_raylet_core_class_find(core, &cls));
    }
    if (c == NULL || c->queued == 0 || grant->node == core->inc) {
        count_use(&core->used, &core->used_count, &core->used_capacity, grant->grant, 0);
        return;
    }
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_TAKE);
    cmd->port = c->port;
    cmd->count = grant->count;
    cmd->node = grant->node;
    cmd->tag = grant->grant;
}

void wr_raylet_core_taken(wr_raylet_core *core, wr_time_ns now, uint16_t port, uint32_t node, uint64_t grant,
                          const wr_core_taken *tasks, uint32_t count) {
    const core_class *c = core_class_of_port(core, port);
    WR_ASSERT(c != NULL);
    uint8_t key[WR_CLASS_KEY_MAX];
    uint32_t key_bytes;
    wr_status status = wr_class_encode(&c->cls, &core->names, key, sizeof key, &key_bytes, NULL);
    WR_ASSERT(status == WR_OK); /* it was opened from such a key */
    for (uint32_t i = 0; i < count; i++) {
        void *sent = core->sent;
        core_reserve(&sent, &core->sent_capacity, core->sent_count + 1, sizeof *core->sent);
        core->sent = sent;
        core->sent[core->sent_count++] = (core_sent){.id = tasks[i].id,
                                                     .handle = tasks[i].handle,
                                                     .attempt = tasks[i].attempt,
                                                     .max_retries = tasks[i].max_retries,
                                                     .node = node,
                                                     .port = port};
        wr_cluster_msg msg = {.type = WR_MSG_TASK};
        msg.u.task = (wr_msg_task){.task = tasks[i].id,
                                   .attempt = tasks[i].attempt,
                                   .results = tasks[i].results,
                                   .grant = grant,
                                   .cls = wr_span_of(key, key_bytes),
                                   .function = tasks[i].function,
                                   .options = tasks[i].options,
                                   .args = tasks[i].args,
                                   .arg_count = tasks[i].arg_count};
        core_send(core, node, &msg);
    }
    count_use(&core->used, &core->used_count, &core->used_capacity, grant, count);
    core->last_sync = 0; /* the answer frees the rest of the grant: at once */
    core_cluster_tick(core, now);
}

static void put_back(wr_raylet_core *core, core_sent *s, bool attempt_used) {
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_PUT_BACK);
    cmd->handle = s->handle;
    cmd->port = s->port;
    cmd->flag = attempt_used;
    cmd->status = WR_E_NODE_DIED;
    core_cmd_text(cmd, "the node that ran the task was declared dead");
    sent_remove(core, s);
}

static void done(wr_raylet_core *core, uint32_t from, const wr_cluster_msg *msg) {
    core_sent *s = sent_of(core, &msg->u.done.task, msg->u.done.attempt);
    if (s == NULL || s->node != from) {
        return; /* an older attempt, or not its node: T3 */
    }
    if (msg->u.done.status == WR_E_WORKER_DIED || msg->u.done.status == WR_E_NODE_DIED) {
        put_back(core, s, true); /* the submitter owns retries (T6) */
        return;
    }
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_SEAL);
    cmd->handle = s->handle;
    cmd->port = s->port;
    core_cmd_msg(cmd, msg);
    sent_remove(core, s);
}

static void foreign_task(wr_raylet_core *core, uint32_t from, const wr_cluster_msg *msg) {
    if (msg->u.task.grant != 0) {
        count_use(&core->received, &core->received_count, &core->received_capacity, msg->u.task.grant, 1);
    }
    void *foreign = core->foreign;
    core_reserve(&foreign, &core->foreign_capacity, core->foreign_count + 1, sizeof *core->foreign);
    core->foreign = foreign;
    core->foreign[core->foreign_count++] =
        (core_foreign){.id = msg->u.task.task, .attempt = msg->u.task.attempt, .node = from};
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_RUN);
    cmd->node = from;
    core_cmd_msg(cmd, msg);
}

static core_foreign *foreign_of(wr_raylet_core *core, const wr_task_id *id) {
    for (uint32_t i = 0; i < core->foreign_count; i++) {
        if (memcmp(&core->foreign[i].id, id, sizeof *id) == 0) {
            return &core->foreign[i];
        }
    }
    return NULL;
}

void wr_raylet_core_foreign(wr_raylet_core *core, wr_time_ns now, const wr_task_id *id, uint64_t handle) {
    core_foreign *f = foreign_of(core, id);
    if (f == NULL) {
        return;
    }
    f->handle = handle;
    f->since = now;
    if (handle == 0) {
        wr_cluster_msg msg = {.type = WR_MSG_RETURN};
        msg.u.returned = (wr_msg_return){.task = f->id, .attempt = f->attempt};
        core_send(core, f->node, &msg);
        *f = core->foreign[--core->foreign_count];
    }
}

void wr_raylet_core_foreign_end(wr_raylet_core *core, wr_time_ns now, uint64_t handle,
                                const wr_msg_done *result) {
    for (uint32_t i = 0; i < core->foreign_count; i++) {
        core_foreign *f = &core->foreign[i];
        if (f->handle != handle) {
            continue;
        }
        wr_cluster_msg msg = {.type = result != NULL ? WR_MSG_DONE : WR_MSG_RETURN};
        if (result != NULL) {
            msg.u.done = *result;
            msg.u.done.task = f->id;
            msg.u.done.attempt = f->attempt;
        } else {
            msg.u.returned = (wr_msg_return){.task = f->id, .attempt = f->attempt};
        }
        core_send(core, f->node, &msg);
        *f = core->foreign[--core->foreign_count];
        break;
    }
    core_schedule(core, now);
}

static void unrun(wr_raylet_core *core, core_foreign *f) {
    if (!f->returning && f->handle != 0) {
        f->returning = true;
        core_cmd(core, WR_CMD_UNRUN)->handle = f->handle;
    }
}

void core_forward_message(wr_raylet_core *core, wr_time_ns now, uint64_t from, const wr_cluster_msg *msg) {
    uint32_t node = (uint32_t)from;
    core_sent *s;
    core_foreign *f;
    switch (msg->type) {
    case WR_MSG_GRANT:
        granted(core, &msg->u.grant);
        break;
    case WR_MSG_TASK:
        foreign_task(core, node, msg);
        break;
    case WR_MSG_DONE:
        done(core, node, msg);
        break;
    case WR_MSG_RETURN:
        s = sent_of(core, &msg->u.returned.task, msg->u.returned.attempt);
        if (s != NULL && s->node == node) {
            put_back(core, s, false);
        }
        break;
    default: /* CANCEL */
        f = foreign_of(core, &msg->u.cancel.task);
        if (f != NULL && f->node == node) {
            unrun(core, f);
        }
        break;
    }
    core_schedule(core, now);
}

void core_forward_dead(wr_raylet_core *core, wr_time_ns now, uint32_t node) {
    (void)now;
    for (uint32_t i = 0; i < core->sent_count; i++) {
        if (core->sent[i].node == node) {
            put_back(core, &core->sent[i], true);
            i--;
        }
    }
    for (uint32_t i = 0; i < core->foreign_count; i++) {
        if (core->foreign[i].node == node) {
            unrun(core, &core->foreign[i]);
        }
    }
}

void core_forward_tick(wr_raylet_core *core, wr_time_ns now) {
    for (uint32_t i = 0; i < core->foreign_count; i++) {
        core_foreign *f = &core->foreign[i];
        if (f->handle != 0 && now - f->since >= WR_CORE_RETURN_NS) {
            unrun(core, f); /* one that has begun stays: the shell's claim fails */
        }
    }
}

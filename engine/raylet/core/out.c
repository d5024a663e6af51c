/* Commands, messages, wishes, and memory that must not fail. */
#include "raylet/core/state.h"

#include <stdio.h>
#include <string.h>

void *core_alloc(size_t bytes) {
    void *memory = wr_calloc(1, bytes);
    WR_ASSERT(
        memory !=
        NULL); /* half-changed tables would be worse: the pool is poisoned and a new raylet begins anew */
    return memory;
}

char *core_text_span(wr_span span) {
    char *copy = core_alloc((size_t)span.bytes + 1);
    if (span.bytes > 0) {
        memcpy(copy, span.data, span.bytes);
    }
    return copy;
}

char *core_text(const char *text) {
    return core_text_span(wr_span_text(text));
}

void core_reserve(void **items, uint32_t *capacity, uint32_t need, size_t bytes) {
    wr_status status = wr_array_reserve(items, capacity, need, bytes, NULL);
    WR_ASSERT(status == WR_OK);
}

uint64_t core_id_hash(const void *id, size_t bytes) {
    return wr_hash_bytes(id, bytes);
}

wr_core_cmd *core_cmd(wr_raylet_core *core, wr_core_cmd_type type) {
    void *cmds = core->cmds;
    core_reserve(&cmds, &core->cmd_capacity, core->cmd_count + 1, sizeof *core->cmds);
    core->cmds = cmds;
    wr_core_cmd *cmd = &core->cmds[core->cmd_count++];
    memset(cmd, 0, sizeof *cmd);
    cmd->type = type;
    cmd->text = "";
    return cmd;
}

void core_cmd_text(wr_core_cmd *cmd, const char *text) {
    if (text != NULL && text[0] != 0) {
        cmd->text = core_text(text);
    }
}

void core_cmd_msg(wr_core_cmd *cmd, const wr_cluster_msg *msg) {
    wr_cluster_msg *copy = NULL;
    wr_status status = wr_cluster_msg_dup(msg, &copy, NULL);
    WR_ASSERT(status == WR_OK);
    cmd->msg = copy;
}

void core_reply(wr_raylet_core *core, uint64_t ticket, wr_status status, uint32_t index, bool flag,
                const char *text) {
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_REPLY);
    cmd->ticket = ticket;
    cmd->status = status;
    cmd->worker = index;
    cmd->flag = flag;
    core_cmd_text(cmd, text);
}

const wr_core_cmd *wr_raylet_core_cmds(const wr_raylet_core *core, uint32_t *out_count) {
    *out_count = core->cmd_count;
    return core->cmds;
}

const wr_outbox *wr_raylet_core_outbox(const wr_raylet_core *core) {
    return &core->outbox;
}

void wr_raylet_core_clear(wr_raylet_core *core) {
    for (uint32_t i = 0; i < core->cmd_count; i++) {
        if (core->cmds[i].text[0] != 0) {
            wr_free((char *)(uintptr_t)core->cmds[i].text);
        }
        wr_cluster_msg_free((wr_cluster_msg *)(uintptr_t)core->cmds[i].msg);
    }
    core->cmd_count = 0;
    wr_outbox_clear(&core->outbox);
}

void core_send(wr_raylet_core *core, uint64_t dest, const wr_cluster_msg *msg) {
    wr_outbox_push(&core->outbox, dest, msg);
    WR_ASSERT(!core->outbox.failed);
    if (dest == WR_DEST_GCS) {
        core->last_sent = 0; /* set by the next tick: something was sent */
    }
}

/* ---- Wishes and questions (N5) ---- */

void core_wish_add(wr_raylet_core *core, const wr_cluster_msg *msg, uint64_t query, uint64_t ticket,
                   wr_time_ns deadline) {
    void *wishes = core->wishes;
    core_reserve(&wishes, &core->wish_capacity, core->wish_count + 1, sizeof *core->wishes);
    core->wishes = wishes;
    wr_cluster_msg *copy = NULL;
    wr_status status = wr_cluster_msg_dup(msg, &copy, NULL);
    WR_ASSERT(status == WR_OK);
    core->wishes[core->wish_count++] =
        (core_wish){.msg = copy, .query = query, .ticket = ticket, .deadline = deadline};
    if (core->joined) {
        core_send(core, WR_DEST_GCS, msg);
    }
}

static bool acknowledges(const wr_cluster_msg *wish, const wr_msg_ack *ack) {
    if (wish->type != ack->of) {
        return false;
    }
    switch (wish->type) {
    case WR_MSG_NEW:
        return memcmp(&wish->u.new_actor.spec.actor, &ack->actor, sizeof ack->actor) == 0;
    case WR_MSG_KILL:
        return memcmp(&wish->u.kill.actor, &ack->actor, sizeof ack->actor) == 0;
    case WR_MSG_OUTOFSCOPE:
        return memcmp(&wish->u.actor.actor, &ack->actor, sizeof ack->actor) == 0;
    case WR_MSG_ENDED:
        return memcmp(&wish->u.ended.actor.actor, &ack->actor, sizeof ack->actor) == 0 &&
               wish->u.ended.actor.n == ack->n;
    case WR_MSG_PG_CREATE:
        return memcmp(&wish->u.pg_create.pg.pg, &ack->pg, sizeof ack->pg) == 0;
    case WR_MSG_PG_REMOVE:
        return memcmp(&wish->u.pg.pg, &ack->pg, sizeof ack->pg) == 0;
    case WR_MSG_JOB_END:
        return wish->u.job.job == ack->job;
    default:
        return false;
    }
}

static void wish_remove(wr_raylet_core *core, uint32_t at) {
    wr_cluster_msg_free(core->wishes[at].msg);
    core->wish_count--;
    memmove(&core->wishes[at], &core->wishes[at + 1], (core->wish_count - at) * sizeof core->wishes[0]);
}

void core_ack(wr_raylet_core *core, wr_time_ns now, const wr_msg_ack *ack) {
    bool found = false;
    for (uint32_t i = 0; i < core->wish_count && !found; i++) {
        if (acknowledges(core->wishes[i].msg, ack)) {
            wish_remove(core, i);
            found = true;
        }
    }
    if (!found) {
        return; /* a second answer: the wish was repeated over a new epoch */
    }
    if (ack->of == WR_MSG_NEW) {
        core_actor_new_ack(core, now, ack);
    } else if (ack->of == WR_MSG_ENDED || ack->of == WR_MSG_OUTOFSCOPE) {
        core_actor_ended_ack(core, ack);
    }
}

/* To a new epoch, after REREG (which has the ENDEDs). */
void core_wishes_again(wr_raylet_core *core) {
    for (uint32_t i = 0; i < core->wish_count; i++) {
        if (core->wishes[i].msg->type != WR_MSG_ENDED) {
            core_send(core, WR_DEST_GCS, core->wishes[i].msg);
        }
    }
}

/* Takes the question of that number out; false: nobody waits for it. */
bool core_query_take(wr_raylet_core *core, uint64_t query, uint64_t *out_ticket) {
    for (uint32_t i = 0; i < core->wish_count; i++) {
        if (core->wishes[i].query == query && query != 0) {
            *out_ticket = core->wishes[i].ticket;
            wish_remove(core, i);
            return *out_ticket != 0;
        }
    }
    return false;
}

void core_wishes_tick(wr_raylet_core *core, wr_time_ns now) {
    for (uint32_t i = 0; i < core->wish_count; i++) {
        if (core->wishes[i].deadline != 0 && now >= core->wishes[i].deadline) {
            if (core->wishes[i].msg->type == WR_MSG_NEW) {
                core_actor_new_late(core, &core->wishes[i].msg->u.new_actor.spec.actor);
            }
            if (core->wishes[i].ticket != 0) {
                core_reply(core, core->wishes[i].ticket, WR_E_UNAVAILABLE, WR_CORE_NONE, false,
                           "the GCS did not answer; it may be away");
            }
            wish_remove(core, i--);
        }
    }
}

/* By ticket (nonce NULL), or by nonce. */
void core_job_start_forget(wr_raylet_core *core, uint64_t ticket, const wr_nonce *nonce,
                           uint64_t *out_ticket) {
    *out_ticket = 0;
    for (uint32_t i = 0; i < core->wish_count; i++) {
        const core_wish *wish = &core->wishes[i];
        if (wish->msg->type == WR_MSG_JOB_START &&
            (nonce == NULL ? wish->ticket == ticket
                           : memcmp(&wish->msg->u.job_start.nonce, nonce, sizeof *nonce) == 0)) {
            *out_ticket = wish->ticket;
            wish_remove(core, i);
            return;
        }
    }
}

void wr_raylet_core_ticket_gone(wr_raylet_core *core, uint64_t ticket_from, uint64_t ticket_to) {
    for (uint32_t i = 0; i < core->wish_count; i++) {
        core_wish *wish = &core->wishes[i];
        if (wish->query != 0 && wish->ticket >= ticket_from && wish->ticket <= ticket_to) {
            wish->ticket = 0;
        }
    }
    for (uint32_t i = 0; i < core->actor_count; i++) {
        core_actor *a = core->actors[i];
        if (a != NULL && a->ticket >= ticket_from && a->ticket <= ticket_to) {
            a->ticket = 0;
        }
    }
}

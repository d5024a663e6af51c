/* What passes between this node and the GCS: membership, REREG, SYNC (N5; rules S4, M4, A1, T1 of
 * engine/gcs/README.md). */
#include "raylet/core/state.h"

#include <stdio.h>
#include <string.h>

#define JOIN_AGAIN_NS (200ull * 1000 * 1000)
#define SYNC_SOON_NS (5ull * 1000 * 1000)

static void join(wr_raylet_core *core, wr_time_ns now) {
    core->last_join = now;
    wr_cluster_msg msg = {.type = WR_MSG_JOIN};
    msg.u.join = (wr_msg_join){.nonce = core->nonce, .version = WR_CLUSTER_VERSION, .node = core->node};
    msg.u.join.node.inc = 0;
    core_send(core, WR_DEST_GCS, &msg);
}

static void rereg(wr_raylet_core *core) {
    wr_ended_actor *ended = core_alloc((core->wish_count + 1u) * sizeof *ended);
    wr_hosted *hosted = core_alloc((core->actor_count + 1u) * sizeof *hosted);
    wr_held_bundle *bundles = core_alloc((core->bundle_count + 1u) * sizeof *bundles);
    wr_cluster_msg msg = {.type = WR_MSG_REREG};
    wr_msg_rereg *r = &msg.u.rereg;
    *r = (wr_msg_rereg){.node = core->node,
                        .dead = core->dead,
                        .dead_count = core->dead_count,
                        .ended = ended,
                        .hosted = hosted,
                        .bundles = bundles};
    for (uint32_t i = 0; i < core->wish_count; i++) {
        if (core->wishes[i].msg->type == WR_MSG_ENDED) {
            ended[r->ended_count++] = core->wishes[i].msg->u.ended.actor;
        }
    }
    for (uint32_t i = 0; i < core->actor_count; i++) {
        const core_actor *a = core->actors[i];
        if (a != NULL && (a->worker != NULL || a->placing)) {
            hosted[r->hosted_count++] = (wr_hosted){.actor = a->spec.id,
                                                    .n = a->n,
                                                    .alive = a->ready,
                                                    .pid = a->worker != NULL ? (uint32_t)a->worker->pid : 0};
        }
    }
    for (uint32_t i = 0; i < core->bundle_count; i++) {
        const core_bundle *b = core->bundles[i];
        if (!b->releasing) {
            bundles[r->bundle_count++] = (wr_held_bundle){
                .pg = b->pg, .attempt = b->attempt, .index = b->index, .committed = b->committed};
        }
    }
    core->placed_seen = 0;
    core_send(core, WR_DEST_GCS, &msg);
    wr_free(ended);
    wr_free(hosted);
    wr_free(bundles);
    core_wishes_again(core);
    for (uint32_t i = 0; i < core->actor_count; i++) { /* acknowledged ones are watched again */
        const core_actor *a = core->actors[i];
        if (a != NULL && a->known && a->state != WR_ACTOR_DEAD) {
            wr_cluster_msg sub = {.type = WR_MSG_ACTOR_SUB};
            sub.u.actor.actor = a->spec.id;
            core_send(core, WR_DEST_GCS, &sub);
        }
    }
    for (uint32_t i = 0; i < core->group_count; i++) {
        const core_group *g = core->groups[i];
        if (g != NULL && g->state != WR_PG_REMOVED) {
            wr_cluster_msg get = {.type = WR_MSG_PG_GET};
            get.u.pg_get.pg = g->id;
            core_send(core, WR_DEST_GCS, &get);
        }
    }
    wr_free(core->sync_text);
    core->sync_text = core_text("");
    core->sync_dirty = true;
}

void wr_raylet_core_connected(wr_raylet_core *core, wr_time_ns now, uint64_t epoch, uint64_t cluster_id,
                              bool new_epoch) {
    core->online = true;
    core->cluster_id = cluster_id;
    if (core->inc == 0) {
        core->epoch = epoch;
        join(core, now);
    } else if (new_epoch) {
        core->epoch = epoch;
        rereg(core);
    }
    wr_raylet_core_tick(core, now);
}

void wr_raylet_core_lost(wr_raylet_core *core, wr_time_ns now) {
    core->online = false;
    wr_raylet_core_tick(core, now);
}

static void welcome(wr_raylet_core *core, const wr_msg_welcome *msg) {
    if (core->inc != 0 || memcmp(&msg->nonce, &core->nonce, sizeof core->nonce) != 0) {
        return;
    }
    core->inc = core->node.inc = msg->inc;
    core->epoch = msg->epoch;
    core->cluster_id = msg->cluster_id;
    core->joined = true;
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_IDENTIFY);
    cmd->word = msg->inc;
    cmd->tag = msg->cluster_id;
    rereg(core);
}

static void over(wr_raylet_core *core, const wr_msg_node *msg) {
    core->over = true;
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_END);
    cmd->status = WR_E_NODE_DIED;
    char *text = core_text_span(msg->text);
    core_cmd_text(cmd, text[0] != 0 ? text : "the GCS declared this node dead");
    wr_free(text);
}

static void dead_node(wr_raylet_core *core, wr_time_ns now, uint32_t inc) {
    for (uint32_t i = 0; i < core->dead_count; i++) {
        if (core->dead[i] == inc) {
            return;
        }
    }
    void *dead = core->dead;
    core_reserve(&dead, &core->dead_capacity, core->dead_count + 1, sizeof *core->dead);
    core->dead = dead;
    core->dead[core->dead_count++] = inc;
    core_forward_dead(core, now, inc);
    wr_cluster_msg msg = {.type = WR_MSG_FLUSHED}; /* nothing here is held on another node's account yet */
    msg.u.node.inc = inc;
    core_send(core, WR_DEST_GCS, &msg);
}

static void infeasible(wr_raylet_core *core, wr_time_ns now, const wr_msg_infeasible *msg) {
    wr_actor_id none = {{0}};
    if (memcmp(&msg->actor, &none, sizeof none) != 0) {
        core_actor_infeasible(core, now, msg);
        return;
    }
    wr_class cls;
    if (wr_class_decode(msg->cls, &core->names, &cls, NULL) != WR_OK) {
        return;
    }
    core_class *c = core_class_of_port(core, wr_raylet_core_class_find(core, &cls));
    if (c != NULL && msg->final) {
        char *text = core_text_span(msg->text);
        core_class_fail(core, c, WR_E_UNSCHEDULABLE, text, false);
        wr_free(text);
    }
}

void wr_raylet_core_message(wr_raylet_core *core, wr_time_ns now, uint64_t from, const wr_cluster_msg *msg) {
    if (core->over) {
        return;
    }
    switch (msg->type) {
    case WR_MSG_WELCOME:
        welcome(core, &msg->u.welcome);
        core_schedule(core, now);
        break;
    case WR_MSG_NONCE:
        if (memcmp(&msg->u.nonce.nonce, &core->nonce, sizeof core->nonce) == 0 && core->inc == 0) {
            core_cmd(core, WR_CMD_DRAW_NONCE);
        }
        break;
    case WR_MSG_YOUDEAD:
        over(core, &msg->u.node);
        break;
    case WR_MSG_NODES:
        for (uint32_t i = 0; i < msg->u.nodes.unburied_count; i++) {
            dead_node(core, now, msg->u.nodes.unburied[i]);
        }
        break;
    case WR_MSG_DEAD:
        dead_node(core, now, msg->u.node.inc);
        break;
    case WR_MSG_BURIED:
        break;
    case WR_MSG_INFEASIBLE:
        infeasible(core, now, &msg->u.infeasible);
        break;
    case WR_MSG_GRANT:
    case WR_MSG_TASK:
    case WR_MSG_DONE:
    case WR_MSG_RETURN:
    case WR_MSG_CANCEL:
        core_forward_message(core, now, from, msg);
        break;
    case WR_MSG_START:
        core_actor_start(core, now, &msg->u.start);
        break;
    case WR_MSG_STOP:
        core_actor_stop(core, now, &msg->u.stop);
        break;
    case WR_MSG_ACT:
        core_actor_act(core, now, &msg->u.act);
        break;
    case WR_MSG_NAME_IS:
    case WR_MSG_NAMES:
        core_actor_answer(core, msg);
        break;
    case WR_MSG_PREPARE:
    case WR_MSG_COMMIT:
    case WR_MSG_RELEASE:
    case WR_MSG_PG_IS:
        core_group_message(core, now, msg);
        break;
    case WR_MSG_JOB_STARTED:
        core_job_started(core, now, &msg->u.job_started);
        break;
    case WR_MSG_JOBDEAD: {
        char *text = core_text_span(msg->u.job.text);
        wr_raylet_core_job_end(core, now, msg->u.job.job, msg->u.job.failed, text);
        wr_free(text);
        break;
    }
    case WR_MSG_ACK:
        core_ack(core, now, &msg->u.ack);
        break;
    default:
        break; /* not for raylets: ignored, the session's order is kept */
    }
    core_cluster_tick(core, now);
}

void wr_raylet_core_leave(wr_raylet_core *core, const char *why) {
    if (core->joined) {
        wr_cluster_msg msg = {.type = WR_MSG_LEAVE};
        msg.u.node = (wr_msg_node){.inc = core->inc, .text = wr_span_text(why)};
        core_send(core, WR_DEST_GCS, &msg);
    }
    core->over = true;
}

/* ---- SYNC ---- */

static void sync(wr_raylet_core *core, wr_time_ns now) {
    wr_cluster_msg msg = {.type = WR_MSG_SYNC};
    wr_msg_sync *s = &msg.u.sync;
    char *total = core_alloc(WR_RES_TEXT_MAX), *available = core_alloc(WR_RES_TEXT_MAX);
    wr_demand *demand = core_alloc((core->class_count + 1u) * sizeof *demand);
    uint8_t *keys = core_alloc((size_t)(core->class_count + 1u) * WR_CLASS_KEY_MAX);
    char mark[256];
    uint64_t hash = 0;
    wr_raylet_core_resources(core, total, available, WR_RES_TEXT_MAX);
    for (uint32_t i = 0; i < core->class_count; i++) {
        core_class *c = core->classes[i];
        uint32_t waiting = c != NULL && c->waits && c->cls.strategy.kind != WR_STRATEGY_PLACEMENT_GROUP
                               ? (uint32_t)(c->queued < UINT32_MAX ? c->queued : UINT32_MAX)
                               : 0;
        if (c == NULL || (waiting == 0 && c->demand == 0)) {
            continue;
        }
        uint8_t *key = keys + (size_t)i * WR_CLASS_KEY_MAX;
        uint32_t bytes = 0;
        if (wr_class_encode(&c->cls, &core->names, key, WR_CLASS_KEY_MAX, &bytes, NULL) != WR_OK) {
            continue;
        }
        c->demand = waiting;
        demand[s->demand_count++] = (wr_demand){.cls = wr_span_of(key, bytes), .waiting = waiting};
        hash = wr_hash_u64(hash ^ wr_hash_u64(((uint64_t)i << 32 | waiting) + 1));
    }
    snprintf(mark, sizeof mark, "%016llx %llu %u %u",
             (unsigned long long)(hash ^ wr_hash_bytes(available, strlen(available))),
             (unsigned long long)core->placed_seen, core->used_count, core->received_count);
    if (strcmp(mark, core->sync_text) != 0 || core->used_count > 0 || core->received_count > 0) {
        s->available = wr_span_text(available);
        s->placed_seen = core->placed_seen;
        s->demand = demand;
        s->used = core->used;
        s->used_count = core->used_count;
        s->received = core->received;
        s->received_count = core->received_count;
        s->stats = wr_span_text(core->stats);
        core_send(core, WR_DEST_GCS, &msg);
        core->used_count = core->received_count = 0;
        core->last_sync = now;
        char *copy = core_text(mark);
        wr_free(core->sync_text);
        core->sync_text = copy;
    }
    core->sync_dirty = false;
    wr_free(total);
    wr_free(available);
    wr_free(demand);
    wr_free(keys);
}

void core_cluster_tick(wr_raylet_core *core, wr_time_ns now) {
    if (core->over || !core->online) {
        return;
    }
    if (!core->joined) {
        if (core->last_join == 0 || now - core->last_join >= JOIN_AGAIN_NS) {
            join(core, now);
        }
        return;
    }
    bool waits = false;
    for (uint32_t i = 0; i < core->class_count && !waits; i++) {
        waits = core->classes[i] != NULL && (core->classes[i]->waits || core->classes[i]->demand > 0);
    }
    bool answers = core->used_count > 0 || core->received_count > 0;
    bool keep;
    wr_res wish; /* while the GCS waits for room on our behalf, it hears of room soon */
    wr_time_ns step = core_oldest_wish(core, now, &wish, &keep) ? SYNC_SOON_NS : WR_SYNC_NS;
    if ((core->sync_dirty || waits || answers) && (core->last_sync == 0 || now - core->last_sync >= step)) {
        sync(core, now);
    }
    if (core->last_sent == 0) {
        core->last_sent = now;
    }
    if (now - core->last_sent >= WR_HB_NS) {
        wr_cluster_msg msg = {.type = WR_MSG_HB};
        msg.u.hb.epoch = core->epoch;
        core_send(core, WR_DEST_GCS, &msg);
        core->last_sent = now;
    }
}

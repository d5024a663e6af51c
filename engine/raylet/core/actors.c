/* Actors that live here: created on this node's behalf, placed by the GCS, restarted, ended. */
#include "raylet/core/state.h"

#include <stdio.h>
#include <string.h>

core_actor *core_actor_of_id(const wr_raylet_core *core, const wr_actor_id *id) {
    uint64_t found;
    if (!wr_map_get(&core->actor_by_id, core_id_hash(id, sizeof *id), &found)) {
        return NULL;
    }
    core_actor *a = (core_actor *)(uintptr_t)found;
    return memcmp(&a->spec.id, id, sizeof *id) == 0 ? a : NULL;
}

static core_actor *actor_at(const wr_raylet_core *core, uint32_t index) {
    return index < core->actor_count ? core->actors[index] : NULL;
}

static uint64_t tag_of(const core_actor *a) {
    return (uint64_t)a->serial << 32 | a->index;
}

/* One block for all texts and spans of a spec. */
static char *copy_texts(wr_core_actor_spec *spec) {
    size_t class_name = strlen(spec->class_name) + 1, name = strlen(spec->name) + 1,
           space = strlen(spec->name_space) + 1;
    char *block = core_alloc(class_name + name + space + spec->groups.bytes + spec->meta.bytes + 1),
         *at = block;
    memcpy(at, spec->class_name, class_name);
    spec->class_name = at;
    at += class_name;
    memcpy(at, spec->name, name);
    spec->name = at;
    at += name;
    memcpy(at, spec->name_space, space);
    spec->name_space = at;
    at += space;
    if (spec->groups.bytes > 0) {
        memcpy(at, spec->groups.data, spec->groups.bytes);
    }
    spec->groups.data = at;
    at += spec->groups.bytes;
    if (spec->meta.bytes > 0) {
        memcpy(at, spec->meta.data, spec->meta.bytes);
    }
    spec->meta.data = at;
    return block;
}

static void send_new(wr_raylet_core *core, wr_time_ns now, const core_actor *a, const uint8_t *key,
                     uint32_t key_bytes) {
    const wr_core_actor_spec *s = &a->spec;
    wr_cluster_msg msg = {.type = WR_MSG_NEW};
    msg.u.new_actor.spec =
        (wr_actor_spec){.actor = s->id,
                        .job = s->cls.job,
                        .creator = core->inc,
                        .detached = s->detached,
                        .max_restarts = s->max_restarts,
                        .class_name = wr_span_text(s->class_name),
                        .name = wr_span_text(s->name),
                        .name_space = s->name[0] != 0 ? wr_span_text(s->name_space) : wr_span_text(""),
                        .cls = wr_span_of(key, key_bytes),
                        .spec = s->meta};
    core_wish_add(core, &msg, 0, 0, s->name[0] != 0 ? now + WR_CORE_QUERY_NS : 0);
}

wr_status wr_raylet_core_actor_create(wr_raylet_core *core, wr_time_ns now, uint64_t ticket,
                                      const wr_core_actor_spec *spec, uint32_t *out_actor, wr_error *err) {
    bool named = spec->name[0] != 0;
    WR_TRY(wr_raylet_core_class_check(core, &spec->cls, err));
    if (core_actor_of_id(core, &spec->id) != NULL) {
        return WR_FAIL(err, WR_E_INVALID, "this handle is an actor's already");
    }
    uint8_t key[WR_CLASS_KEY_MAX];
    uint32_t key_bytes;
    WR_TRY(wr_class_encode(&spec->cls, &core->names, key, sizeof key, &key_bytes, err));

    core_actor *a = core_alloc(sizeof *a);
    uint32_t at = 0;
    while (at < core->actor_count && core->actors[at] != NULL) {
        at++;
    }
    void *actors = core->actors;
    core_reserve(&actors, &core->actor_capacity, at + 1, sizeof *core->actors);
    core->actors = actors;
    core->actors[at] = a;
    core->actor_count = at == core->actor_count ? at + 1 : core->actor_count;
    a->index = at;
    a->serial = ++core->actor_serial;
    a->spec = *spec;
    a->texts = copy_texts(&a->spec);
    a->text = core_text("");
    a->ticket = named ? ticket : 0;
    a->placing_since = now;
    wr_status one =
        wr_map_set(&core->actor_by_id, core_id_hash(&spec->id, sizeof spec->id), (uintptr_t)a, NULL);
    wr_status two = wr_map_set(&core->actor_by_port, spec->port, (uintptr_t)a, NULL);
    WR_ASSERT(one == WR_OK && two == WR_OK);

    core_cmd(core, WR_CMD_HOLD)->handle = spec->handle;
    core_cmd(core, WR_CMD_HOLD)->handle = spec->ctor;
    if (!spec->detached) {
        wr_core_cmd *watch = core_cmd(core, WR_CMD_WATCH);
        watch->handle = spec->handle;
        watch->tag = tag_of(a);
    }
    send_new(core, now, a, key, key_bytes);
    *out_actor = at;
    return WR_OK;
}

/* ---- The end ---- */

char *core_actor_text(const core_actor *a, const char *why) {
    char id[2 * WR_ACTOR_ID_BYTES + 1], pid[24] = "", restarts[40] = "";
    wr_hex_encode(a->spec.id.bytes, WR_ACTOR_ID_BYTES, id);
    const int process = a->worker != NULL ? a->worker->pid : a->pid;
    if (process != 0) {
        snprintf(pid, sizeof pid, ", pid=%d", process);
    }
    if (a->restarts > 0) {
        snprintf(restarts, sizeof restarts, ", restarts=%u", a->restarts);
    }
    const bool named = a->spec.name[0] != 0;
    char text[WR_ERROR_TEXT_MAX];
    snprintf(text, sizeof text, "actor %s (actor_id=%s%s%s%s%s%s%s): %s", a->spec.class_name, id,
             named ? ", name=" : "", a->spec.name, named ? ", namespace=" : "",
             named ? a->spec.name_space : "", pid, restarts, why);
    return core_text(text);
}

void core_actor_end(wr_raylet_core *core, core_actor *a, wr_status status, const char *text, bool job_gone) {
    if (a->state == WR_ACTOR_DEAD) {
        return;
    }
    WR_ASSERT(a->worker == NULL);
    core->placing -= a->placing;
    core->draining -= a->draining;
    a->placing = a->draining = a->ready = false;
    core_give(core, &a->taken);
    a->state = WR_ACTOR_DEAD;
    a->status = status;
    char *why = core_text(text[0] != 0 ? text : "it has ended");
    wr_free(a->text);
    a->text = why;
    wr_core_cmd *cmd = core_cmd(core, WR_CMD_PORT_FAIL);
    cmd->port = a->spec.port;
    cmd->handle = a->spec.ctor; /* it may never have begun, and stands in no port */
    cmd->status = status == WR_E_PG_REMOVED      ? WR_E_PG_REMOVED
                  : status == WR_E_UNSCHEDULABLE ? WR_E_UNSCHEDULABLE
                                                 : WR_E_ACTOR_DIED;
    cmd->flag = job_gone;
    char *shown = core_actor_text(a, a->text);
    core_cmd_text(cmd, shown);
    core_cmd(core, WR_CMD_DROP)->handle = a->spec.ctor;
    if (a->ticket != 0) {
        core_reply(core, a->ticket, WR_E_ACTOR_DIED, WR_CORE_NONE, false, shown);
        a->ticket = 0;
    }
    wr_free(shown);
    if (a->spec.detached) { /* from now on its last handle frees it */
        wr_core_cmd *watch = core_cmd(core, WR_CMD_WATCH);
        watch->handle = a->spec.handle;
        watch->tag = tag_of(a);
    }
    core_actor_free_if_done(core, a);
}

void core_actor_free(core_actor *a) {
    wr_free(a->texts);
    wr_free(a->text);
    wr_free(a);
}

void core_actor_free_if_done(wr_raylet_core *core, core_actor *a) {
    if (a->state != WR_ACTOR_DEAD || !a->unheld || a->worker != NULL) {
        return;
    }
    core_cmd(core, WR_CMD_DROP)->handle = a->spec.handle;
    core_cmd(core, WR_CMD_PORT_CLOSE)->port = a->spec.port;
    wr_map_remove(&core->actor_by_id, core_id_hash(&a->spec.id, sizeof a->spec.id), NULL);
    wr_map_remove(&core->actor_by_port, a->spec.port, NULL);
    core->actors[a->index] = NULL;
    core_actor_free(a);
}

static void send_ended(wr_raylet_core *core, const core_actor *a, wr_status status, bool final,
                       const char *text) {
    wr_cluster_msg msg = {.type = WR_MSG_ENDED};
    msg.u.ended.actor = (wr_ended_actor){
        .actor = a->spec.id, .n = a->n, .status = status, .final = final, .text = wr_span_text(text)};
    core_wish_add(core, &msg, 0, 0, 0);
}

static void send_simple(wr_raylet_core *core, uint32_t type, const core_actor *a) {
    wr_cluster_msg msg = {.type = type};
    msg.u.actor.actor = a->spec.id;
    core_wish_add(core, &msg, 0, 0, 0);
}

bool core_actor_restarts(const core_actor *a, const core_worker *w) {
    bool left = a->spec.max_restarts < 0 || a->restarts < (uint32_t)a->spec.max_restarts;
    return left && !a->no_restart && !a->final && !w->intended &&
           !(w->killed && w->kill_status == WR_E_PG_REMOVED);
}

void core_actor_worker_dead(wr_raylet_core *core, wr_time_ns now, core_actor *a, core_worker *w,
                            const char *text) {
    bool restarts = core_actor_restarts(a, w);
    a->pid = w->pid != 0 ? w->pid : a->pid;
    a->ready = false;
    a->placing_since = now;
    wr_status status = w->killed ? w->kill_status : w->intended ? WR_E_ACTOR_DIED : WR_E_WORKER_DIED;
    if (w->intended && w->kill_text == NULL) {
        text = "it left by exit_actor()";
    }
    if (!a->silent) {
        send_ended(core, a, status, !restarts, text);
    }
    if (restarts) {
        a->state = WR_ACTOR_RESTARTING;
        char *why = core_text(text);
        wr_free(a->text);
        a->text = why;
        return;
    }
    core_actor_end(core, a, status, a->text[0] != 0 && a->final ? a->text : text, false);
}

/* ---- Placement, as the GCS says ---- */

static void started(wr_raylet_core *core, const core_actor *a) {
    wr_cluster_msg msg = {.type = WR_MSG_STARTED};
    msg.u.started = (wr_msg_started){.actor = a->spec.id, .n = a->n, .pid = (uint32_t)a->worker->pid};
    core_send(core, WR_DEST_GCS, &msg);
}

static void refuse(wr_raylet_core *core, core_actor *a, const char *text) {
    wr_cluster_msg msg = {.type = WR_MSG_REFUSED};
    msg.u.refused = (wr_msg_refused){.actor = a->spec.id, .n = a->n, .text = wr_span_text(text)};
    core_send(core, WR_DEST_GCS, &msg);
    a->state = a->restarts > 0 ? WR_ACTOR_RESTARTING : WR_ACTOR_PENDING;
}

void core_actor_start(wr_raylet_core *core, wr_time_ns now, const wr_msg_start *start) {
    core->placed_seen++;
    core_actor *a = core_actor_of_id(core, &start->spec.actor);
    if (a == NULL || a->state == WR_ACTOR_DEAD) {
        wr_cluster_msg msg = {.type = WR_MSG_ENDED};
        msg.u.ended.actor =
            (wr_ended_actor){.actor = start->spec.actor,
                             .n = start->n,
                             .status = WR_E_ACTOR_DIED,
                             .final = true,
                             .text = wr_span_text("its arguments are gone: it ended meanwhile")};
        core_wish_add(core, &msg, 0, 0, 0);
        return;
    }
    if (start->n < a->n || (start->n == a->n && (a->worker != NULL || a->placing))) {
        if (start->n == a->n && a->ready) {
            started(core, a);
        }
        return;
    }
    a->n = start->n;
    a->restarts = start->restarts;
    a->state = WR_ACTOR_STARTING;
    if (!a->placing) {
        a->placing = true;
        core->placing++;
    }
    a->placing_since = now;
    core_schedule(core, now);
}

/* Why it waits, for people; "": it does not any more. */
static void say_why(core_actor *a, const char *why) {
    if (strcmp(a->text, why) != 0) {
        wr_free(a->text);
        a->text = core_text(why);
    }
}

/* Gives every actor that was told to start its resources and its process. */
void core_actor_place(wr_raylet_core *core, wr_time_ns now) {
    for (uint32_t i = 0; core->placing > 0 && i < core->actor_count; i++) {
        core_actor *a = core->actors[i];
        if (a == NULL || !a->placing) {
            continue;
        }
        const wr_class *cls = &a->spec.cls;
        if (!a->taken.any && core_take(core, cls, &a->taken) != WR_OK) {
            if (now - a->placing_since >= WR_START_WAIT_NS) {
                core->placing--;
                a->placing = false;
                refuse(core, a, "the node's resources are in use");
            } else {
                (void)core_recall(core, now, cls, NULL, false);
            }
            continue;
        }
        core_worker *w = a->taken.share.devices == 0 ? core_worker_idle(core, cls) : NULL;
        if (w == NULL) {
            int64_t cpus = wr_res_get(&cls->resources, WR_RES_CPU) / WR_RES_UNIT;
            w = core_spawn(core, now, cls, cpus < 1 ? 1 : (uint32_t)cpus);
        }
        if (w == NULL) {
            core_give(core, &a->taken); /* tried again, for ever: no other node is asked, and processes end */
            if (core->live_workers >= WR_CORE_WORKERS_MAX) {
                char why[128];
                snprintf(why, sizeof why, "this node runs %u worker processes, the most it can",
                         core->live_workers);
                say_why(a, why);
            }
            continue;
        }
        core->placing--;
        a->placing = false;
        say_why(a, "");
        if (a->restarts > 0 || a->n > 1) { /* the calls that were not done begin again, in order */
            core_cmd(core, WR_CMD_REWIND)->port = a->spec.port;
            wr_core_cmd *cmd = core_cmd(core, WR_CMD_PORT_STATE);
            cmd->port = a->spec.port;
            cmd->word = WR_PORT_OPEN;
        }
        core_assign_actor(core, now, w, a);
    }
}

void wr_raylet_core_actor_ready(wr_raylet_core *core, wr_time_ns now, uint32_t worker, bool ok,
                                const char *text) {
    core_worker *w = core_worker_of(core, worker);
    core_actor *a = w != NULL ? w->actor : NULL;
    if (a == NULL || a->ready) {
        return;
    }
    if (ok) {
        a->ready = true;
        a->state = WR_ACTOR_ALIVE;
        started(core, a);
        return;
    }
    /* A constructor that raises is not tried again; what it raised is what every call gets. */
    a->final = true;
    char *why = core_text(text != NULL && text[0] != 0 ? text : "its constructor failed");
    wr_free(a->text);
    a->text = why;
    send_ended(core, a, WR_E_TASK_FAILED, true, a->text);
    a->silent = true;
    w->actor = NULL;
    a->worker = NULL;
    core_worker_end(core, now, w, WR_CORE_DRAIN_NS / 6);
    core_actor_end(core, a, WR_E_TASK_FAILED, why, false);
    core_schedule(core, now);
}

/* It was told to leave because its last handle is gone, and has its time for exit functions: that the GCS
 * calls it dead is the echo of what it was told. */
static bool leaves_by_itself(const core_actor *a) {
    return a->unheld && a->worker != NULL && a->worker->state == WR_CW_ENDING && !a->worker->killed;
}

void core_actor_stop(wr_raylet_core *core, wr_time_ns now, const wr_msg_stop *stop) {
    core_actor *a = core_actor_of_id(core, &stop->actor);
    if (a == NULL || a->state == WR_ACTOR_DEAD || stop->n < a->n) {
        return;
    }
    char *text = core_text_span(stop->text);
    const char *why = text[0] != 0 ? text : "it was killed";
    a->no_restart = a->no_restart || !stop->restart;
    a->silent = a->silent || !stop->restart;
    if (leaves_by_itself(a)) {
        wr_free(text);
        return;
    }
    if (a->worker != NULL) {
        core_worker_stop(core, a->worker, stop->status != WR_OK ? (wr_status)stop->status : WR_E_ACTOR_DIED,
                         why);
    } else if (!stop->restart) {
        core_actor_end(core, a, WR_E_ACTOR_DIED, why, false);
    } else {
        core->placing -= a->placing;
        a->placing = false;
        core_give(core, &a->taken);
        send_ended(core, a, WR_E_ACTOR_DIED, false, why);
    }
    wr_free(text);
    core_schedule(core, now);
}

void core_actor_act(wr_raylet_core *core, wr_time_ns now, const wr_msg_act *act) {
    core_actor *a = core_actor_of_id(core, &act->actor);
    if (a == NULL || a->state == WR_ACTOR_DEAD) {
        return;
    }
    char *text = core_text_span(act->text);
    if (act->state == WR_ACTOR_DEAD) {
        a->no_restart = a->silent = true;
        if (leaves_by_itself(a)) {
            wr_free(text);
            return;
        }
        if (a->worker != NULL) {
            core_worker_stop(core, a->worker, act->status != WR_OK ? (wr_status)act->status : WR_E_ACTOR_DIED,
                             text[0] != 0 ? text : "it has ended");
        } else {
            core_actor_end(core, a, act->status != WR_OK ? (wr_status)act->status : WR_E_ACTOR_DIED, text,
                           false);
        }
    } else if (a->worker == NULL && !a->placing && text[0] != 0) {
        wr_free(a->text); /* why it waits */
        a->text = text;
        text = NULL;
    }
    wr_free(text);
    core_schedule(core, now);
}

void core_actor_infeasible(wr_raylet_core *core, wr_time_ns now, const wr_msg_infeasible *msg) {
    core_actor *a = core_actor_of_id(core, &msg->actor);
    if (a == NULL || a->worker != NULL || a->state == WR_ACTOR_DEAD) {
        return;
    }
    char *text = core_text_span(msg->text);
    if (msg->final) {
        send_simple(core, WR_MSG_OUTOFSCOPE, a);
        core_actor_end(core, a, WR_E_UNSCHEDULABLE, text, false);
    } else {
        wr_free(a->text);
        a->text = text;
        text = NULL;
    }
    wr_free(text);
    core_schedule(core, now);
}

void core_actor_new_ack(wr_raylet_core *core, wr_time_ns now, const wr_msg_ack *ack) {
    (void)now;
    core_actor *a = core_actor_of_id(core, &ack->actor);
    if (a == NULL) {
        return;
    }
    uint64_t ticket = a->ticket;
    a->ticket = 0;
    if (ack->status == WR_OK) {
        a->known = true;
        if (ticket != 0) {
            core_reply(core, ticket, WR_OK, a->index, false, "");
        }
        return;
    }
    char *text = core_text_span(ack->text);
    core_actor *other = ack->status == WR_E_EXISTS ? core_actor_of_id(core, &ack->other) : NULL;
    if (ticket != 0 && a->spec.get_if_exists && other != NULL) {
        core_reply(core, ticket, WR_OK, other->index, true, "");
    } else if (ticket != 0) {
        char why[512];
        snprintf(why, sizeof why, "the name '%s' is taken in namespace '%s'", a->spec.name,
                 a->spec.name_space);
        core_reply(core, ticket, (wr_status)ack->status, WR_CORE_NONE, false,
                   ack->status == WR_E_EXISTS ? why : text);
    }
    a->silent = a->no_restart = true;
    if (a->worker == NULL) {
        core_actor_end(core, a, WR_E_ACTOR_DIED, text[0] != 0 ? text : "its name is taken", false);
    } else {
        core_worker_stop(core, a->worker, WR_E_ACTOR_DIED, text);
    }
    wr_free(text);
}

void core_actor_new_late(wr_raylet_core *core, const wr_actor_id *id) {
    core_actor *a = core_actor_of_id(core, id);
    if (a == NULL || a->state == WR_ACTOR_DEAD || a->worker != NULL) {
        return;
    }
    char why[512];
    snprintf(why, sizeof why,
             "actor '%s' could not be created: the GCS, which keeps the names, did not answer for %llu s",
             a->spec.name, (unsigned long long)(WR_CORE_QUERY_NS / 1000000000));
    if (a->ticket != 0) {
        core_reply(core, a->ticket, WR_E_UNAVAILABLE, WR_CORE_NONE, false, why);
        a->ticket = 0;
    }
    a->silent = a->no_restart =
        true; /* should it have heard of it after all, its START is answered with ENDED */
    core_actor_end(core, a, WR_E_UNAVAILABLE, why, false);
}

void core_actor_ended_ack(wr_raylet_core *core, const wr_msg_ack *ack) {
    core_actor *a = core_actor_of_id(core, &ack->actor);
    if (a != NULL) {
        core_actor_free_if_done(core, a);
    }
}

/* ---- Requests ---- */

bool wr_raylet_core_actor_info(const wr_raylet_core *core, uint32_t actor, wr_core_actor_info *out) {
    const core_actor *a = actor_at(core, actor);
    if (a == NULL) {
        return false;
    }
    const bool room = a->worker != NULL || a->taken.any ||
                      (core_room(core, &a->spec.cls) && wr_res_fits(&core->available, &a->spec.cls.place));
    *out = (wr_core_actor_info){.index = a->index,
                                .spec = &a->spec,
                                .state = a->state,
                                .restarts = a->restarts,
                                .worker = a->worker != NULL ? a->worker->index : WR_CORE_NONE,
                                .pid = a->worker != NULL ? a->worker->pid : 0,
                                .ready = a->ready,
                                .room = room,
                                .status = a->status,
                                .text = a->text};
    return true;
}

uint32_t wr_raylet_core_actor_of_port(const wr_raylet_core *core, uint16_t port) {
    uint64_t found;
    return wr_map_get(&core->actor_by_port, port, &found) ? ((core_actor *)(uintptr_t)found)->index
                                                          : WR_CORE_NONE;
}

bool wr_raylet_core_actor_next(const wr_raylet_core *core, uint32_t *cursor, uint32_t *out_actor) {
    while (*cursor < core->actor_count) {
        uint32_t at = (*cursor)++;
        if (core->actors[at] != NULL) {
            *out_actor = at;
            return true;
        }
    }
    return false;
}

static wr_status ask(wr_raylet_core *core, wr_time_ns now, uint64_t ticket, wr_cluster_msg *msg,
                     uint64_t *query, wr_error *err) {
    if (core->over) {
        return WR_FAIL(err, WR_E_UNAVAILABLE, "this node ends");
    }
    *query = ++core->next_query; /* while the GCS is away it waits: it is asked again when the GCS is back */
    core_wish_add(core, msg, *query, ticket, now + WR_CORE_QUERY_NS);
    return WR_OK;
}

wr_status wr_raylet_core_actor_find(wr_raylet_core *core, wr_time_ns now, uint64_t ticket,
                                    const char *name_space, const char *name, wr_error *err) {
    wr_cluster_msg msg = {.type = WR_MSG_NAME_GET};
    msg.u.name_get.name_space = wr_span_text(name_space);
    msg.u.name_get.name = wr_span_text(name);
    return ask(core, now, ticket, &msg, &msg.u.name_get.query, err);
}

wr_status wr_raylet_core_actor_list(wr_raylet_core *core, wr_time_ns now, uint64_t ticket, bool all,
                                    const char *name_space, wr_error *err) {
    wr_cluster_msg msg = {.type = WR_MSG_NAME_LIST};
    msg.u.name_list.all = all;
    msg.u.name_list.name_space = wr_span_text(name_space);
    return ask(core, now, ticket, &msg, &msg.u.name_list.query, err);
}

void core_actor_answer(wr_raylet_core *core, const wr_cluster_msg *msg) {
    uint64_t ticket;
    if (msg->type == WR_MSG_NAMES) {
        if (core_query_take(core, msg->u.names.query, &ticket)) {
            wr_core_cmd *cmd = core_cmd(core, WR_CMD_NAMES);
            cmd->ticket = ticket;
            core_cmd_msg(cmd, msg);
        }
        return;
    }
    if (!core_query_take(core, msg->u.name_is.query, &ticket)) {
        return;
    }
    core_actor *a = msg->u.name_is.found ? core_actor_of_id(core, &msg->u.name_is.actor.spec.actor) : NULL;
    if (a != NULL && a->state != WR_ACTOR_DEAD) {
        core_reply(core, ticket, WR_OK, a->index, true, "");
    } else {
        core_reply(core, ticket, WR_E_NOT_FOUND, WR_CORE_NONE, false, "");
    }
}

wr_status wr_raylet_core_actor_kill(wr_raylet_core *core, wr_time_ns now, uint32_t actor, bool no_restart,
                                    wr_error *err) {
    core_actor *a = actor_at(core, actor);
    if (a == NULL) {
        return WR_FAIL(err, WR_E_NOT_FOUND, "there is no such actor");
    }
    if (a->state == WR_ACTOR_DEAD) {
        return WR_OK;
    }
    wr_cluster_msg msg = {.type = WR_MSG_KILL};
    msg.u.kill = (wr_msg_kill){
        .actor = a->spec.id, .no_restart = no_restart, .text = wr_span_text("it was killed by kill()")};
    core_wish_add(core, &msg, 0, 0, 0);
    if (a->worker != NULL && a->worker->slot != 0) {
        /* Its process ends at once; the STOP that comes finds it gone. With restarts left it is RESTARTING until
         * START. */
        if (no_restart) {
            a->no_restart = a->silent = true;
        }
        core_worker_stop(core, a->worker, WR_E_ACTOR_DIED, "it was killed by kill()");
    }
    (void)now;
    return WR_OK;
}

/* ---- Out of scope ---- */

void wr_raylet_core_unheld(wr_raylet_core *core, wr_time_ns now, uint64_t tag) {
    core_actor *a = actor_at(core, (uint32_t)tag);
    if (a == NULL || a->serial != (uint32_t)(tag >> 32)) {
        return;
    }
    a->unheld = true;
    if (a->state == WR_ACTOR_DEAD) {
        core_actor_free_if_done(core, a);
        return;
    }
    if (!a->draining) {
        a->draining = true;
        core->draining++;
        a->placing_since = now;
    }
}

bool wr_raylet_core_draining(const wr_raylet_core *core, uint32_t *cursor, uint32_t *out_actor) {
    while (core->draining > 0 && *cursor < core->actor_count) {
        uint32_t at = (*cursor)++;
        const core_actor *a = core->actors[at];
        if (a != NULL && a->draining && (a->ready || (a->worker == NULL && !a->placing))) {
            *out_actor = at;
            return true;
        }
    }
    return false;
}

void wr_raylet_core_drained(wr_raylet_core *core, wr_time_ns now, uint32_t actor) {
    core_actor *a = actor_at(core, actor);
    if (a == NULL || !a->draining) {
        return;
    }
    core->draining--;
    a->draining = false;
    a->no_restart = a->silent = true;
    send_simple(core, WR_MSG_OUTOFSCOPE, a);
    static const char why[] = "its last handle went out of scope";
    if (a->worker == NULL) {
        core_actor_end(core, a, WR_E_ACTOR_DIED, why, false);
    } else {
        a->worker->kill_status = WR_E_ACTOR_DIED;
        if (a->worker->kill_text == NULL) {
            a->worker->kill_text = core_text(why);
        }
        core_worker_end(core, now, a->worker, WR_CORE_DRAIN_NS);
    }
    core_schedule(core, now);
}

/* Actors: created, named, started, ended, restarted. Every state that leaves here was stored first. */
#include "gcs/core/core_priv.h"

/* ---- tables */

static uint64_t id_hash(const wr_actor_id *id) {
    return wr_hash_bytes(id->bytes, sizeof id->bytes);
}

static uint64_t name_hash(wr_span name_space, wr_span name) {
    return wr_hash_bytes(name_space.data, name_space.bytes) * 31 + wr_hash_bytes(name.data, name.bytes);
}

gcs_actor *gcs_actor_find(const wr_gcs_core *core, const wr_actor_id *id) {
    uint64_t head = 0;
    (void)wr_map_get(&core->actor_index, id_hash(id), &head);
    gcs_actor *a = (gcs_actor *)(uintptr_t)head;
    while (a != NULL && memcmp(&a->spec->actor, id, sizeof *id) != 0) {
        a = a->next;
    }
    return a;
}

static gcs_actor *find_named(const wr_gcs_core *core, wr_span name_space, wr_span name) {
    uint64_t head = 0;
    (void)wr_map_get(&core->name_index, name_hash(name_space, name), &head);
    gcs_actor *a = (gcs_actor *)(uintptr_t)head;
    while (a != NULL &&
           !(wr_span_equal(a->spec->name, name) && wr_span_equal(a->spec->name_space, name_space))) {
        a = a->next_name;
    }
    return a;
}

static void take_name(wr_gcs_core *core, gcs_actor *actor) {
    if (actor->spec->name.bytes == 0) {
        return;
    }
    uint64_t hash = name_hash(actor->spec->name_space, actor->spec->name), head = 0;
    (void)wr_map_get(&core->name_index, hash, &head);
    actor->next_name = (gcs_actor *)(uintptr_t)head;
    actor->named = wr_map_set(&core->name_index, hash, (uint64_t)(uintptr_t)actor, NULL) == WR_OK;
    if (!actor->named) {
        gcs_out_of_memory(core);
    }
}

static void give_name_back(wr_gcs_core *core, gcs_actor *actor) {
    if (!actor->named) {
        return;
    }
    uint64_t hash = name_hash(actor->spec->name_space, actor->spec->name), head = 0;
    (void)wr_map_get(&core->name_index, hash, &head);
    gcs_actor *first = (gcs_actor *)(uintptr_t)head;
    if (first == actor) {
        if (actor->next_name == NULL) {
            (void)wr_map_remove(&core->name_index, hash, NULL);
        } else if (wr_map_set(&core->name_index, hash, (uint64_t)(uintptr_t)actor->next_name, NULL) !=
                   WR_OK) {
            gcs_out_of_memory(core);
        }
    } else {
        while (first->next_name != actor) {
            first = first->next_name;
        }
        first->next_name = actor->next_name;
    }
    actor->named = false;
    actor->next_name = NULL;
}

static gcs_actor *add_actor(wr_gcs_core *core, const wr_actor_spec *spec) {
    void *actors = core->actors, *block = NULL;
    uint64_t hash = id_hash(&spec->actor), head = 0;
    gcs_actor *actor = wr_calloc(1, sizeof *actor);
    (void)wr_map_get(&core->actor_index, hash, &head);
    if (actor == NULL || wr_array_reserve(&actors, &core->actor_capacity, core->actor_count + 1,
                                          sizeof *core->actors, NULL) != WR_OK) {
        wr_free(actor);
        gcs_out_of_memory(core);
        return NULL;
    }
    core->actors = actors;
    if (wr_struct_dup(&wr_actor_spec_desc, spec, 0, 0, &block, NULL) != WR_OK ||
        wr_map_set(&core->actor_index, hash, (uint64_t)(uintptr_t)actor, NULL) != WR_OK) {
        wr_free(block);
        wr_free(actor);
        gcs_out_of_memory(core);
        return NULL;
    }
    actor->next = (gcs_actor *)(uintptr_t)head;
    actor->spec = block;
    actor->info.spec = *actor->spec;
    core->actors[core->actor_count++] = actor;
    return actor;
}

void gcs_actor_free(wr_gcs_core *core, gcs_actor *actor) {
    gcs_actor_unqueue(core, actor);
    gcs_class_unref(core, actor->cls);
    wr_free(actor->spec);
    wr_free(actor->text);
    wr_free(actor->subs);
    wr_free(actor);
}

void gcs_actor_put(wr_gcs_core *core, const gcs_actor *actor) {
    wr_actor_info row = actor->info;
    memset(&row.spec, 0, sizeof row.spec);
    row.spec.actor = actor->spec->actor;
    gcs_put(core, WR_GCS_ACTOR, &actor->spec->actor, sizeof actor->spec->actor, &row);
}

static void put_spec(wr_gcs_core *core, const gcs_actor *actor) {
    gcs_put(core, WR_GCS_ACTOR_SPEC, &actor->spec->actor, sizeof actor->spec->actor, actor->spec);
}

static void set_text(wr_gcs_core *core, gcs_actor *actor, wr_span text) {
    char *copy = gcs_text(core, text);
    wr_free(actor->text);
    actor->text = copy;
    actor->info.text = wr_span_of(copy, copy == NULL ? 0 : text.bytes);
}

/* ---- telling */

static wr_cluster_msg act_of(const wr_gcs_core *core, const gcs_actor *actor) {
    const wr_actor_info *info = &actor->info;
    wr_cluster_msg msg = {.type = WR_MSG_ACT};
    msg.u.act = (wr_msg_act){.actor = info->spec.actor,
                             .n = info->n,
                             .state = info->state,
                             .restarts = info->restarts,
                             .node = info->node,
                             .address = gcs_node_address(core, info->node),
                             .status = info->status,
                             .text = info->text};
    if (info->state == WR_ACTOR_STARTING) { /* where it will be is nobody's business before it is there */
        msg.u.act.state = info->restarts > 0 ? WR_ACTOR_RESTARTING : WR_ACTOR_PENDING;
        msg.u.act.node = 0;
        msg.u.act.address = wr_span_of(NULL, 0);
    }
    return msg;
}

void gcs_actor_publish(wr_gcs_core *core, const gcs_actor *actor) {
    wr_cluster_msg msg = act_of(core, actor);
    for (uint32_t i = 0; i < actor->sub_count; i++) {
        gcs_tell(core, actor->subs[i], &msg);
    }
}

static void ack(wr_gcs_core *core, uint32_t to, wr_cluster_msg_type of, const wr_actor_id *actor, uint64_t n,
                wr_status status, wr_span text, const wr_actor_id *other) {
    wr_cluster_msg msg = {.type = WR_MSG_ACK};
    msg.u.ack = (wr_msg_ack){.of = of, .actor = *actor, .n = n, .status = status, .text = text};
    if (other != NULL) {
        msg.u.ack.other = *other;
    }
    gcs_tell(core, to, &msg);
}

static void subscribe(wr_gcs_core *core, gcs_actor *actor, uint32_t inc) {
    if (!gcs_add_u32(&actor->subs, &actor->sub_count, &actor->sub_capacity, inc)) {
        gcs_out_of_memory(core);
    }
}

/* Those who asked for the actor before its NEW came. */
static void take_waiting_subs(wr_gcs_core *core, gcs_actor *actor) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < core->waiting_sub_count; i++) {
        gcs_waiting_sub *w = &core->waiting_subs[i];
        if (memcmp(&w->actor, &actor->spec->actor, sizeof w->actor) == 0) {
            subscribe(core, actor, w->inc);
        } else {
            core->waiting_subs[kept++] = *w;
        }
    }
    core->waiting_sub_count = kept;
}

static void say_never_created(wr_gcs_core *core, uint32_t to, const wr_actor_id *id) {
    wr_cluster_msg msg = {.type = WR_MSG_ACT};
    msg.u.act = (wr_msg_act){.actor = *id,
                             .state = WR_ACTOR_DEAD,
                             .status = WR_E_ACTOR_DIED,
                             .text = wr_span_text("the node that wanted to create it died first")};
    gcs_tell(core, to, &msg);
}

void gcs_on_actor_sub(wr_gcs_core *core, uint32_t from, const wr_actor_id *id) {
    gcs_actor *actor = gcs_actor_find(core, id);
    if (actor != NULL) {
        if (actor->info.state != WR_ACTOR_DEAD) {
            subscribe(core, actor, from);
        }
        wr_cluster_msg msg = act_of(core, actor);
        gcs_tell(core, from, &msg);
        return;
    }
    if (!gcs_node_is_live(core, wr_id_creator(id->bytes))) { /* A2: its NEW never came, and never will */
        say_never_created(core, from, id);
        return;
    }
    void *subs = core->waiting_subs;
    if (wr_array_reserve(&subs, &core->waiting_sub_capacity, core->waiting_sub_count + 1,
                         sizeof *core->waiting_subs, NULL) != WR_OK) {
        gcs_out_of_memory(core);
        return;
    }
    core->waiting_subs = subs;
    core->waiting_subs[core->waiting_sub_count++] = (gcs_waiting_sub){.actor = *id, .inc = from};
}

/* ---- life */

static void enter_queue(wr_gcs_core *core, gcs_actor *actor) {
    actor->pending_since = core->now;
    gcs_actor_queue(core, actor);
    core->place_due = true;
}

void gcs_on_new(wr_gcs_core *core, uint32_t from, const wr_actor_spec *spec) {
    gcs_actor *known = gcs_actor_find(core, &spec->actor);
    if (known != NULL) {
        if (known->info.state != WR_ACTOR_DEAD) {
            subscribe(core, known, from);
        }
        ack(core, from, WR_MSG_NEW, &spec->actor, 0, WR_OK, wr_span_of(NULL, 0), NULL);
        wr_cluster_msg msg = act_of(core, known);
        gcs_tell(core, from, &msg);
        return;
    }
    if (core->store_why[0] != 0) {
        wr_cluster_msg msg = {.type = WR_MSG_ACK};
        msg.u.ack = (wr_msg_ack){
            .of = WR_MSG_NEW, .actor = spec->actor, .status = WR_E_IO, .text = wr_span_text(core->store_why)};
        gcs_say_now(core, from, &msg); /* nothing has changed, so it waits for nothing */
        return;
    }
    wr_error err = {.status = WR_OK};
    wr_status status = gcs_job_check(core, spec->job);
    if (status != WR_OK) {
        (void)WR_FAIL(&err, status, "%s",
                      status == WR_E_STATE ? "its job has ended" : "there is no such job");
    }
    wr_span name = spec->name_space;
    if (status == WR_OK && spec->name.bytes > 0) {
        const gcs_actor *holder = find_named(core, name, spec->name);
        if (holder != NULL) {
            ack(core, from, WR_MSG_NEW, &spec->actor, 0, WR_E_EXISTS, wr_span_text("the name is taken"),
                &holder->spec->actor);
            return;
        }
    }
    gcs_class *cls = status == WR_OK ? gcs_class_ref(core, spec->cls, &err) : NULL;
    if (cls == NULL && err.status == WR_E_NO_MEMORY) {
        gcs_out_of_memory(core);
        return;
    }
    if (cls == NULL) {
        ack(core, from, WR_MSG_NEW, &spec->actor, 0, err.status == WR_E_STATE ? WR_E_STATE : WR_E_INVALID,
            wr_span_text(err.text), NULL);
        return;
    }
    gcs_actor *actor = add_actor(core, spec);
    if (actor == NULL) {
        gcs_class_unref(core, cls);
        return;
    }
    actor->cls = cls;
    actor->spec->creator = actor->info.spec.creator = spec->creator == 0 ? from : spec->creator;
    actor->info.state = WR_ACTOR_PENDING;
    actor->info.start_us = core->wall_us;
    take_name(core, actor);
    subscribe(core, actor, from);
    take_waiting_subs(core, actor);
    put_spec(core, actor);
    gcs_actor_put(core, actor);
    ack(core, from, WR_MSG_NEW, &spec->actor, 0, WR_OK, wr_span_of(NULL, 0), NULL);
    enter_queue(core, actor);
}

/* Removes what is remembered of the oldest dead. */
void gcs_actors_prune(wr_gcs_core *core) {
    uint32_t excess =
                 core->dead_actors > WR_GCS_DEAD_ACTORS_MAX ? core->dead_actors - WR_GCS_DEAD_ACTORS_MAX : 0,
             kept = 0;
    if (excess < WR_GCS_DEAD_ACTORS_MAX / 100) { /* in batches: this is O(actors) */
        return;
    }
    for (uint32_t i = 0; i < core->actor_count; i++) {
        gcs_actor *actor = core->actors[i];
        if (excess == 0 || actor->info.state != WR_ACTOR_DEAD) {
            core->actors[kept++] = actor;
            continue;
        }
        excess--;
        core->dead_actors--;
        gcs_put(core, WR_GCS_ACTOR, &actor->spec->actor, sizeof actor->spec->actor, NULL);
        gcs_put(core, WR_GCS_ACTOR_SPEC, &actor->spec->actor, sizeof actor->spec->actor, NULL);
        uint64_t hash = id_hash(&actor->spec->actor), head = 0;
        (void)wr_map_get(&core->actor_index, hash, &head);
        gcs_actor *first = (gcs_actor *)(uintptr_t)head;
        if (first == actor && actor->next == NULL) {
            (void)wr_map_remove(&core->actor_index, hash, NULL);
        } else if (first == actor) {
            if (wr_map_set(&core->actor_index, hash, (uint64_t)(uintptr_t)actor->next, NULL) != WR_OK) {
                gcs_out_of_memory(core);
            }
        } else {
            while (first->next != actor) {
                first = first->next;
            }
            first->next = actor->next;
        }
        gcs_actor_free(core, actor);
    }
    core->actor_count = kept;
}

static void unforce(wr_gcs_core *core, gcs_actor *actor) {
    if (actor->forced) {
        actor->forced = false;
        gcs_node *node = gcs_node_find(core, actor->info.node);
        if (node != NULL && node->forced > 0) {
            node->forced--;
        }
    }
}

static void say_stop(wr_gcs_core *core, uint32_t to, const wr_actor_id *id, uint64_t n, bool restart,
                     wr_status status, wr_span text) {
    wr_cluster_msg msg = {.type = WR_MSG_STOP};
    msg.u.stop = (wr_msg_stop){.actor = *id, .n = n, .restart = restart, .status = status, .text = text};
    gcs_tell(core, to, &msg);
}

void gcs_actor_dead(wr_gcs_core *core, gcs_actor *actor, wr_status status, wr_span text) {
    if (actor->info.state == WR_ACTOR_DEAD) {
        return;
    }
    uint32_t node = actor->info.node;
    unforce(core, actor);
    gcs_actor_unqueue(core, actor);
    give_name_back(core, actor);
    gcs_class_unref(core, actor->cls);
    actor->cls = NULL;
    set_text(core, actor, text);
    actor->info.state = WR_ACTOR_DEAD;
    actor->info.status = status;
    actor->info.end_us = core->wall_us;
    actor->info.pid = 0;
    core->dead_actors++;
    gcs_actor_put(core, actor);
    if (actor->spec->spec.bytes > 0) { /* nobody will start it again */
        actor->spec->spec = actor->info.spec.spec = wr_span_of(NULL, 0);
        put_spec(core, actor);
    }
    if (node != 0) {
        say_stop(core, node, &actor->spec->actor, actor->info.n, false, status, actor->info.text);
    }
    gcs_actor_publish(core, actor);
    actor->sub_count = 0; /* nothing more will change */
    gcs_groups_on_owner_dead(core, &actor->spec->actor);
    core->place_due = true;
}

/* Its process or node is gone: restarts are left, or it is dead. */
static void go_down(wr_gcs_core *core, gcs_actor *actor, bool final, wr_status status, wr_span text) {
    const wr_actor_spec *spec = actor->spec;
    bool left = spec->max_restarts < 0 || actor->info.restarts < (uint32_t)spec->max_restarts;
    if (final || !left) {
        actor->info.node = 0; /* there is nothing to stop */
        gcs_actor_dead(core, actor, status, text);
        return;
    }
    unforce(core, actor);
    set_text(core, actor, text);
    actor->info.state = WR_ACTOR_RESTARTING;
    actor->info.restarts++;
    actor->info.node = 0;
    actor->info.pid = 0;
    gcs_actor_put(core, actor);
    gcs_actor_publish(core, actor);
    enter_queue(core, actor);
}

/* The record, if (actor, n) is what this node has. */
static gcs_actor *placed_at(const wr_gcs_core *core, uint32_t inc, const wr_actor_id *id, uint64_t n) {
    gcs_actor *actor = gcs_actor_find(core, id);
    bool is = actor != NULL && actor->info.n == n && actor->info.node == inc &&
              (actor->info.state == WR_ACTOR_STARTING || actor->info.state == WR_ACTOR_ALIVE);
    return is ? actor : NULL;
}

static void become_alive(wr_gcs_core *core, gcs_actor *actor, uint32_t pid) {
    unforce(core, actor);
    set_text(core, actor, wr_span_of(NULL, 0));
    actor->info.state = WR_ACTOR_ALIVE;
    actor->info.status = WR_OK;
    actor->info.pid = pid;
    actor->refusals = 0;
    gcs_actor_put(core, actor);
    gcs_actor_publish(core, actor);
}

void gcs_on_started(wr_gcs_core *core, uint32_t from, const wr_msg_started *m) {
    gcs_actor *actor = placed_at(core, from, &m->actor, m->n);
    if (actor != NULL && actor->info.state == WR_ACTOR_STARTING) {
        become_alive(core, actor, m->pid);
    }
}

void gcs_on_refused(wr_gcs_core *core, uint32_t from, const wr_msg_refused *m) {
    gcs_actor *actor = placed_at(core, from, &m->actor, m->n);
    if (actor == NULL || actor->info.state != WR_ACTOR_STARTING) {
        return;
    }
    unforce(core, actor);
    set_text(core, actor, m->text);
    actor->info.state = actor->info.restarts > 0 ? WR_ACTOR_RESTARTING : WR_ACTOR_PENDING;
    actor->info.node = 0;
    actor->refusals += actor->refusals < 6;
    actor->not_before = core->now + (25 * WR_GCS_MS << actor->refusals);
    gcs_actor_put(core, actor);
    enter_queue(core, actor);
}

void gcs_on_ended(wr_gcs_core *core, uint32_t from, const wr_ended_actor *m) {
    gcs_actor *actor = placed_at(core, from, &m->actor, m->n);
    if (actor != NULL) {
        go_down(core, actor, m->final, m->status == WR_OK ? WR_E_ACTOR_DIED : (wr_status)m->status, m->text);
    }
    ack(core, from, WR_MSG_ENDED, &m->actor, m->n, WR_OK, wr_span_of(NULL, 0), NULL);
}

static const wr_hosted *find_hosted(const wr_msg_rereg *m, const wr_actor_id *id) {
    for (uint32_t i = 0; i < m->hosted_count; i++) {
        if (memcmp(&m->hosted[i].actor, id, sizeof *id) == 0) {
            return &m->hosted[i];
        }
    }
    return NULL;
}

/* REREG: what the node has against what it should have. */
void gcs_on_hosted(wr_gcs_core *core, gcs_node *node, const wr_msg_rereg *m) {
    uint32_t inc = node->row->info.inc;
    for (uint32_t i = 0; i < m->hosted_count; i++) {
        const wr_hosted *h = &m->hosted[i];
        gcs_actor *actor = placed_at(core, inc, &h->actor, h->n);
        if (actor == NULL) {
            say_stop(core, inc, &h->actor, h->n, false, WR_E_ACTOR_DIED,
                     wr_span_text("it lives elsewhere, or no more"));
        } else if (actor->info.state == WR_ACTOR_STARTING && h->alive) {
            become_alive(core, actor, h->pid);
        }
    }
    for (uint32_t i = 0; i < core->actor_count; i++) {
        gcs_actor *actor = core->actors[i];
        bool here = actor->info.node == inc &&
                    (actor->info.state == WR_ACTOR_STARTING || actor->info.state == WR_ACTOR_ALIVE);
        const wr_hosted *h = here ? find_hosted(m, &actor->spec->actor) : NULL;
        if (here && (h == NULL || h->n != actor->info.n)) {
            gcs_start_again(core, node, actor); /* the START was lost with the last epoch */
        }
    }
}

void gcs_on_kill(wr_gcs_core *core, uint32_t from, const wr_msg_kill *m) {
    gcs_actor *actor = gcs_actor_find(core, &m->actor);
    wr_span text = m->text.bytes > 0 ? m->text : wr_span_text("it was killed on request");
    if (actor != NULL && m->no_restart) {
        gcs_actor_dead(core, actor, WR_E_ACTOR_DIED, text);
    } else if (actor != NULL && actor->info.node != 0 && actor->info.state != WR_ACTOR_DEAD) {
        say_stop(core, actor->info.node, &m->actor, actor->info.n, true, WR_E_ACTOR_DIED, text);
    }
    ack(core, from, WR_MSG_KILL, &m->actor, 0, actor == NULL ? WR_E_NOT_FOUND : WR_OK, wr_span_of(NULL, 0),
        NULL);
}

void gcs_on_out_of_scope(wr_gcs_core *core, uint32_t from, const wr_actor_id *id) {
    gcs_actor *actor = gcs_actor_find(core, id);
    if (actor != NULL && !actor->spec->detached) {
        gcs_actor_dead(core, actor, WR_E_ACTOR_DIED, wr_span_text("its last handle is gone"));
    }
    ack(core, from, WR_MSG_OUTOFSCOPE, id, 0, WR_OK, wr_span_of(NULL, 0), NULL);
}

/* ---- names */

void gcs_on_name_get(wr_gcs_core *core, uint32_t from, const wr_msg_name_get *m) {
    wr_cluster_msg msg = {.type = WR_MSG_NAME_IS};
    const gcs_actor *actor = m->name.bytes == 0 ? NULL : find_named(core, m->name_space, m->name);
    msg.u.name_is.query = m->query;
    if (actor != NULL) {
        msg.u.name_is.found = true;
        msg.u.name_is.actor = actor->info;
    }
    gcs_tell(core, from, &msg);
}

void gcs_on_name_list(wr_gcs_core *core, uint32_t from, const wr_msg_name_list *m) {
    wr_named *names = wr_calloc(core->actor_count == 0 ? 1 : core->actor_count, sizeof *names);
    if (names == NULL) {
        gcs_out_of_memory(core);
        return;
    }
    wr_cluster_msg msg = {.type = WR_MSG_NAMES};
    msg.u.names = (wr_msg_names){.query = m->query, .names = names};
    for (uint32_t i = 0; i < core->actor_count; i++) {
        const gcs_actor *a = core->actors[i];
        if (a->named && (m->all || wr_span_equal(a->spec->name_space, m->name_space))) {
            names[msg.u.names.count++] =
                (wr_named){.name_space = a->spec->name_space, .name = a->spec->name, .actor = a->spec->actor};
        }
    }
    gcs_tell(core, from, &msg);
    wr_free(names);
}

/* ---- what follows from other ends. Indices, not pointers: actors are never moved but in prune, which
 * nobody calls here. */

void gcs_actors_on_death(wr_gcs_core *core, uint32_t inc) {
    for (uint32_t i = 0; i < core->actor_count; i++) {
        gcs_actor *actor = core->actors[i];
        if (actor->info.state == WR_ACTOR_DEAD) {
            continue;
        }
        if (actor->spec->creator == inc && !actor->spec->detached) {
            gcs_actor_dead(core, actor, WR_E_ACTOR_DIED, wr_span_text("the node of its creator died"));
        } else if (actor->info.node == inc) {
            go_down(core, actor, false, WR_E_NODE_DIED, wr_span_text("its node died"));
        }
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < core->waiting_sub_count; i++) {
        gcs_waiting_sub w = core->waiting_subs[i];
        if (wr_id_creator(w.actor.bytes) == inc) {
            say_never_created(core, w.inc, &w.actor);
        } else if (w.inc != inc) {
            core->waiting_subs[kept++] = w;
        }
    }
    core->waiting_sub_count = kept;
}

void gcs_actors_on_job_end(wr_gcs_core *core, uint32_t job) {
    for (uint32_t i = 0; i < core->actor_count; i++) {
        if (core->actors[i]->spec->job == job && !core->actors[i]->spec->detached) {
            gcs_actor_dead(core, core->actors[i], WR_E_ACTOR_DIED, wr_span_text("its job has ended"));
        }
    }
    wr_fair_forget_job(core->actor_fair, job);
    for (uint32_t i = 0; i < core->actor_count;
         i++) { /* detached ones of that job still wait for their turn */
        const gcs_actor *a = core->actors[i];
        if (a->pending && a->cls->cls.job == job &&
            wr_fair_wait(core->actor_fair, job, a->cls->hash, true, NULL) != WR_OK) {
            gcs_out_of_memory(core);
        }
    }
}

void gcs_actors_on_group_removed(wr_gcs_core *core, const wr_pg_id *pg) {
    for (uint32_t i = 0; i < core->actor_count; i++) {
        gcs_actor *actor = core->actors[i];
        if (actor->cls != NULL && actor->cls->cls.strategy.kind == WR_STRATEGY_PLACEMENT_GROUP &&
            memcmp(&actor->cls->cls.strategy.pg, pg, sizeof *pg) == 0) {
            gcs_actor_dead(core, actor, WR_E_PG_REMOVED, wr_span_text("its placement group was removed"));
        }
    }
}

/* ---- the store */

wr_status gcs_actor_load_spec(wr_gcs_core *core, const wr_actor_spec *row, wr_error *err) {
    if (gcs_actor_find(core, &row->actor) != NULL) {
        return WR_FAIL(err, WR_E_CORRUPT, "an actor is stored twice");
    }
    gcs_actor *actor = add_actor(core, row);
    if (actor == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for the stored actors");
    }
    actor->info.state = WR_ACTOR_DEAD; /* until its state is read */
    return WR_OK;
}

wr_status gcs_actor_load(wr_gcs_core *core, const wr_actor_info *row, wr_error *err) {
    gcs_actor *actor = gcs_actor_find(core, &row->spec.actor);
    if (actor == NULL || actor->loaded || row->state > WR_ACTOR_DEAD) {
        return WR_FAIL(err, WR_E_CORRUPT,
                       "a stored actor without its specification, stored twice, or in state %u", row->state);
    }
    actor->loaded = true;
    wr_actor_spec spec = actor->info.spec;
    actor->info = *row;
    actor->info.spec = spec;
    set_text(core, actor, row->text);
    if (row->state == WR_ACTOR_DEAD) {
        core->dead_actors++;
        return WR_OK;
    }
    if (spec.name.bytes > 0 && find_named(core, spec.name_space, spec.name) != NULL) { /* G6 */
        return WR_FAIL(err, WR_E_CORRUPT, "two stored actors that live have one name");
    }
    actor->cls = gcs_class_ref(core, actor->spec->cls, err);
    if (actor->cls == NULL) {
        wr_error_prefix(err, "a stored actor");
        return WR_E_CORRUPT;
    }
    take_name(core, actor);
    return actor->spec->name.bytes == 0 || actor->named
               ? WR_OK
               : WR_FAIL(err, WR_E_NO_MEMORY, "no memory for the stored names");
}

void gcs_actors_start(wr_gcs_core *core) {
    for (uint32_t i = 0; i < core->actor_count; i++) {
        gcs_actor *actor = core->actors[i];
        if (actor->info.state == WR_ACTOR_DEAD) {
            continue;
        }
        if (!actor->spec->detached && !gcs_node_is_live(core, actor->spec->creator)) {
            gcs_actor_dead(core, actor, WR_E_ACTOR_DIED, wr_span_text("the node of its creator died"));
        } else if (!actor->spec->detached && gcs_job_check(core, actor->spec->job) != WR_OK) {
            gcs_actor_dead(core, actor, WR_E_ACTOR_DIED, wr_span_text("its job has ended"));
        } else if (actor->info.node != 0 && !gcs_node_is_live(core, actor->info.node)) {
            go_down(core, actor, false, WR_E_NODE_DIED, wr_span_text("its node died"));
        } else if (actor->info.state == WR_ACTOR_PENDING || actor->info.state == WR_ACTOR_RESTARTING) {
            enter_queue(core, actor);
        }
    }
}

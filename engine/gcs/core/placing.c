/* The cluster's scheduler: nodes for actors, and grants for tasks that found no room where they are. */
#include "gcs/core/core_priv.h"

enum { ORDER_MAX = 1024, GRANT_MAX = 32 };
static const uint64_t force_after_ns = 100 * WR_GCS_MS, infeasible_every_ns = 1000 * WR_GCS_MS;

/* ---- the queue of a class */

/* Ending a wait allocates nothing. */
static void end_wait(wr_fair *fair, uint32_t job, uint64_t key) {
    wr_status status = wr_fair_wait(fair, job, key, false, NULL);
    WR_ASSERT(status == WR_OK);
}

void gcs_actor_queue(wr_gcs_core *core, gcs_actor *actor) {
    if (actor->pending) {
        return;
    }
    gcs_class *cls = actor->cls;
    actor->pending = true;
    actor->previous_pending = cls->last;
    actor->next_pending = NULL;
    if (cls->last != NULL) {
        cls->last->next_pending = actor;
    } else {
        cls->first = actor;
    }
    cls->last = actor;
    if (wr_fair_wait(core->actor_fair, cls->cls.job, cls->hash, true, NULL) != WR_OK) {
        gcs_out_of_memory(core);
    }
}

void gcs_actor_unqueue(wr_gcs_core *core, gcs_actor *actor) {
    if (!actor->pending) {
        return;
    }
    gcs_class *cls = actor->cls;
    actor->pending = false;
    *(actor->previous_pending != NULL ? &actor->previous_pending->next_pending : &cls->first) =
        actor->next_pending;
    *(actor->next_pending != NULL ? &actor->next_pending->previous_pending : &cls->last) =
        actor->previous_pending;
    if (cls->first == NULL) {
        end_wait(core->actor_fair, cls->cls.job, cls->hash);
    }
}

static gcs_class *find_class(const wr_gcs_core *core, const wr_fair_entry *entry) {
    uint64_t head = 0;
    (void)wr_map_get(&core->class_index, entry->key, &head);
    gcs_class *c = (gcs_class *)(uintptr_t)head;
    while (c != NULL && c->cls.job != entry->job) {
        c = c->next;
    }
    return c;
}

/* ---- starting one actor */

static void say_start(wr_gcs_core *core, gcs_node *node, const gcs_actor *actor, const wr_res *taken) {
    wr_cluster_msg msg = {.type = WR_MSG_START};
    msg.u.start = (wr_msg_start){.n = actor->info.n, .restarts = actor->info.restarts, .spec = *actor->spec};
    gcs_node_debit(core, node, taken);
    gcs_tell(core, node->row->info.inc, &msg);
}

static const wr_res *taken_by(const gcs_actor *actor) {
    static const wr_res nothing = {.count = 0}; /* in a group: the bundle has it reserved already */
    return actor->cls->cls.strategy.kind == WR_STRATEGY_PLACEMENT_GROUP ? &nothing
                                                                        : &actor->cls->cls.resources;
}

void gcs_start_again(wr_gcs_core *core, gcs_node *node, gcs_actor *actor) {
    say_start(core, node, actor, taken_by(actor));
}

static void start(wr_gcs_core *core, gcs_node *node, gcs_actor *actor, bool forced) {
    gcs_actor_unqueue(core, actor);
    actor->info.state = WR_ACTOR_STARTING;
    actor->info.n++;
    actor->info.node = node->row->info.inc;
    actor->forced = forced;
    node->forced += forced;
    gcs_actor_put(core, actor); /* G5: START waits for this record */
    say_start(core, node, actor, taken_by(actor));
}

static void say_infeasible(wr_gcs_core *core, uint32_t to, const gcs_class *cls, const wr_actor_id *actor,
                           bool final, const wr_infeasible *why) {
    char text[256];
    wr_cluster_msg msg = {.type = WR_MSG_INFEASIBLE};
    msg.u.infeasible = (wr_msg_infeasible){
        .cls = wr_span_of(cls->key, cls->key_bytes), .final = final, .nearest = why->nearest};
    msg.u.infeasible.text = wr_span_text(wr_infeasible_format(why, &core->names, text, sizeof text));
    if (actor != NULL) {
        msg.u.infeasible.actor = *actor;
    }
    gcs_tell(core, to, &msg);
}

/* A node of the group's bundles, or NULL: none now. Ends the actor where there never will be one. */
static gcs_node *node_of_group(wr_gcs_core *core, gcs_actor *actor, bool *out_ended) {
    const wr_class *cls = &actor->cls->cls;
    gcs_group *group = gcs_group_find(core, &cls->strategy.pg);
    *out_ended = true;
    if (group == NULL || group->info->state == WR_PG_REMOVED) {
        gcs_actor_dead(core, actor, WR_E_PG_REMOVED, wr_span_text("its placement group was removed"));
        return NULL;
    }
    int32_t bundle = cls->strategy.bundle;
    uint32_t count = group->info->bundle_count;
    bool able = false;
    gcs_node *chosen = NULL;
    for (uint32_t k = 0; k < count && chosen == NULL; k++) {
        uint32_t i = bundle >= 0 ? (uint32_t)bundle : (group->turn + k) % count;
        if (i >= count || !wr_res_fits(&group->resources[i], &cls->resources) ||
            !wr_res_fits(&group->resources[i], &cls->place)) {
            continue;
        }
        able = true;
        if (group->info->state == WR_PG_CREATED && gcs_node_is_up(core, group->bundles[i].node)) {
            chosen = gcs_node_find(core, group->bundles[i].node);
            group->turn = i + 1;
        }
    }
    if (!able) {
        gcs_actor_dead(core, actor, WR_E_UNSCHEDULABLE,
                       wr_span_text("no bundle of its placement group can hold it"));
        return NULL;
    }
    *out_ended = false;
    return chosen;
}

/* true: something changed, the class may be asked again. */
static bool place_one(wr_gcs_core *core, gcs_class *cls) {
    gcs_actor *actor = cls->first;
    while (actor != NULL && actor->not_before > core->now) {
        actor = actor->next_pending;
    }
    if (actor == NULL) {
        return false;
    }
    if (cls->cls.strategy.kind == WR_STRATEGY_PLACEMENT_GROUP) {
        bool ended;
        gcs_node *node = node_of_group(core, actor, &ended);
        if (node != NULL) {
            start(core, node, actor, false);
        }
        return node != NULL || ended;
    }
    bool may_force = core->now >= actor->pending_since + force_after_ns;
    wr_pick_opts opts = {.nodes = core->views,
                         .count = core->view_count,
                         .local = actor->spec->creator,
                         .also_busy = may_force,
                         .cursor = &cls->spread};
    wr_infeasible why;
    uint32_t at;
    wr_status status = wr_policy_pick(&cls->cls, &opts, &at, &why);
    if (status == WR_OK) {
        gcs_node *node = gcs_node_find(core, core->views[at].node);
        bool forced = !wr_res_fits(&core->views[at].available, &cls->cls.resources);
        if (forced && (!may_force || node->forced > 0)) {
            return false;
        }
        start(core, node, actor, forced);
        return true;
    }
    if (status == WR_E_UNSCHEDULABLE && why.gone && !gcs_node_is_live(core, cls->cls.strategy.node)) {
        gcs_actor_dead(core, actor, WR_E_UNSCHEDULABLE,
                       wr_span_text("the node it is bound to is not in the cluster"));
        return true;
    }
    if (status == WR_E_UNSCHEDULABLE && gcs_all_registered(core) &&
        (actor->told_infeasible == 0 || core->now >= actor->told_infeasible + infeasible_every_ns)) {
        actor->told_infeasible = core->now;
        say_infeasible(core, actor->spec->creator, cls, &actor->spec->actor, false, &why);
    }
    return false;
}

static void place_actors(wr_gcs_core *core) {
    wr_fair_entry order[ORDER_MAX];
    gcs_class *stuck[ORDER_MAX];
    uint32_t stuck_count = 0;
    for (bool progress = true; progress;) {
        progress = false;
        uint32_t n = wr_fair_order(core->actor_fair, order, ORDER_MAX);
        for (uint32_t i = 0; i < n; i++) {
            gcs_class *cls = find_class(core, &order[i]);
            bool skip = cls == NULL || cls->first == NULL;
            for (uint32_t k = 0; k < stuck_count && !skip; k++) {
                skip = stuck[k] == cls; /* room only shrinks within a pass */
            }
            if (skip) {
                continue;
            }
            cls->refs++; /* an actor that ends may be the last to hold it */
            if (place_one(core, cls)) {
                wr_fair_served(core->actor_fair, order[i].job, order[i].key, 1);
                progress = true;
            } else {
                stuck[stuck_count++] = cls;
            }
            gcs_class_unref(core, cls);
        }
    }
}

/* ---- grants */

void gcs_demand_clear(wr_gcs_core *core, gcs_node *node) {
    for (uint32_t i = 0; i < node->demand_count; i++) {
        gcs_class_unref(core, node->demand[i].cls);
    }
    wr_free(node->demand);
    node->demand = NULL;
    node->demand_count = 0;
}

static void drop_grant(wr_gcs_core *core, uint32_t i) {
    gcs_class_unref(core, core->grants[i].cls);
    core->grants[i] = core->grants[--core->grant_count];
}

void gcs_grants_on_death(wr_gcs_core *core, uint32_t inc) {
    for (uint32_t i = core->grant_count; i > 0; i--) {
        if (core->grants[i - 1].from == inc || core->grants[i - 1].to == inc) {
            drop_grant(core, i - 1);
        }
    }
}

void gcs_on_grant_uses(wr_gcs_core *core, gcs_node *node, const wr_msg_sync *m) {
    uint32_t inc = node->row->info.inc;
    for (uint32_t i = core->grant_count; i > 0; i--) {
        gcs_grant *g = &core->grants[i - 1];
        uint32_t to = g->to;
        bool changed = false;
        for (uint32_t k = 0; k < m->used_count && g->from == inc; k++) {
            if (m->used[k].grant == g->id) {
                g->answered = changed = true;
                g->used = m->used[k].count < g->count ? m->used[k].count : g->count;
            }
        }
        for (uint32_t k = 0; k < m->received_count && g->to == inc; k++) {
            if (m->received[k].grant == g->id) {
                changed = true;
                g->received = m->received[k].count > UINT32_MAX - g->received
                                  ? UINT32_MAX
                                  : g->received + m->received[k].count;
            }
        }
        if (g->answered && g->received >= g->used) { /* T2: debited until used equals received */
            drop_grant(core, i - 1);
        }
        if (changed && to != inc && gcs_node_is_up(core, to)) {
            gcs_node_refresh(core, gcs_node_find(core, to));
        }
    }
}

static void grant(wr_gcs_core *core, uint32_t from, gcs_class *cls, gcs_node *to, uint32_t count) {
    void *grants = core->grants;
    if (wr_array_reserve(&grants, &core->grant_capacity, core->grant_count + 1, sizeof *core->grants, NULL) !=
        WR_OK) {
        gcs_out_of_memory(core);
        return;
    }
    core->grants = grants;
    uint64_t id = core->opts.epoch << 32 | (uint32_t)++core->next_grant;
    cls->refs++;
    core->grants[core->grant_count++] =
        (gcs_grant){.id = id, .from = from, .to = to->row->info.inc, .count = count, .cls = cls};
    gcs_view_sub(core, to, &cls->cls.resources, count);
    wr_cluster_msg msg = {.type = WR_MSG_GRANT};
    msg.u.grant = (wr_msg_grant){.grant = id,
                                 .cls = wr_span_of(cls->key, cls->key_bytes),
                                 .node = to->row->info.inc,
                                 .address = to->row->info.address,
                                 .count = count};
    gcs_tell(core, from, &msg);
}

/* Marks the nodes where this submitter has an open grant of this class, so that the policy passes them by
 * (T2). */
static uint32_t exclude_open(wr_gcs_core *core, uint32_t from, const gcs_class *cls, bool exclude) {
    uint32_t open = 0;
    for (uint32_t i = 0; i < core->grant_count; i++) {
        const gcs_grant *g = &core->grants[i];
        if (g->from == from && g->cls == cls) {
            open += g->answered ? 0 : g->count;
            if (gcs_node_is_up(core, g->to)) {
                core->views[gcs_node_find(core, g->to)->view].draining = exclude;
            }
        }
    }
    return open;
}

/* Tasks of a group go where its bundles are; the node knows what is free in them. */
static uint32_t grant_in_group(wr_gcs_core *core, gcs_node *node, gcs_demand *d, uint32_t wanted) {
    const wr_class *cls = &d->cls->cls;
    const gcs_group *group = gcs_group_find(core, &cls->strategy.pg);
    uint32_t granted = 0;
    if (group == NULL || group->info->state == WR_PG_REMOVED) {
        wr_infeasible why = {.gone = true};
        say_infeasible(core, node->row->info.inc, d->cls, NULL, true, &why);
        return 0;
    }
    for (uint32_t i = 0;
         i < group->info->bundle_count && group->info->state == WR_PG_CREATED && granted < wanted; i++) {
        if (cls->strategy.bundle >= 0 && (uint32_t)cls->strategy.bundle != i) {
            continue;
        }
        uint32_t to = group->bundles[i].node,
                 fits = wr_res_fits_times(&group->resources[i], &cls->resources, GRANT_MAX);
        if (to == node->row->info.inc || fits == 0 || !gcs_node_is_up(core, to) ||
            core->views[gcs_node_find(core, to)->view].draining) {
            continue;
        }
        uint32_t count = fits < wanted - granted ? fits : wanted - granted;
        gcs_node *target = gcs_node_find(core, to);
        grant(core, node->row->info.inc, d->cls, target, count);
        core->views[target->view].draining = true;
        granted += count;
    }
    return granted;
}

static uint32_t grant_by_policy(wr_gcs_core *core, gcs_node *node, gcs_demand *d, uint32_t wanted) {
    const wr_class *cls = &d->cls->cls;
    uint32_t inc = node->row->info.inc, granted = 0, at;
    wr_pick_opts opts = {.nodes = core->views,
                         .count = core->view_count,
                         .skip = inc,
                         .cursor = &d->cls->spread,
                         .prefer = d->prefer == inc ? 0 : d->prefer};
    while (granted < wanted && wr_policy_pick(cls, &opts, &at, NULL) == WR_OK) {
        gcs_node *to = gcs_node_find(core, core->views[at].node);
        if (to == node) {
            break; /* bound to itself: it will run there when there is room */
        }
        uint32_t limit = cls->strategy.kind == WR_STRATEGY_SPREAD ? 1 : GRANT_MAX;
        uint32_t count = wr_res_fits_times(&core->views[at].available, &cls->resources, limit);
        count = count == 0 ? 1 : count; /* hard affinity: also when it is busy (T5) */
        count = count < wanted - granted ? count : wanted - granted;
        grant(core, inc, d->cls, to, count);
        core->views[at].draining = true;
        granted += count;
    }
    return granted;
}

static uint32_t grant_demand(wr_gcs_core *core, gcs_node *node, gcs_demand *d) {
    const wr_class *cls = &d->cls->cls;
    uint32_t inc = node->row->info.inc, at;
    if (cls->strategy.kind != WR_STRATEGY_PLACEMENT_GROUP) {
        wr_pick_opts anywhere = {.nodes = core->views, .count = core->view_count, .also_busy = true};
        wr_infeasible why;
        if (wr_policy_pick(cls, &anywhere, &at, &why) == WR_E_UNSCHEDULABLE) {
            bool final = why.gone && !gcs_node_is_live(core, cls->strategy.node);
            if ((final || gcs_all_registered(core)) &&
                (d->told_infeasible == 0 || core->now >= d->told_infeasible + infeasible_every_ns)) {
                d->told_infeasible = core->now;
                say_infeasible(core, inc, d->cls, NULL, final, &why);
            }
            return 0;
        }
    }
    uint32_t open = exclude_open(core, inc, d->cls, true), granted = 0;
    if (d->waiting > open) {
        granted = cls->strategy.kind == WR_STRATEGY_PLACEMENT_GROUP
                      ? grant_in_group(core, node, d, d->waiting - open)
                      : grant_by_policy(core, node, d, d->waiting - open);
    }
    (void)exclude_open(core, inc, d->cls, false);
    return granted;
}

static void place_tasks(wr_gcs_core *core) {
    wr_fair_entry order[ORDER_MAX];
    for (uint32_t i = 0; i < core->view_count; i++) {
        const gcs_node *node = gcs_node_find(core, core->views[i].node);
        for (uint32_t k = 0; k < node->demand_count; k++) {
            const gcs_class *cls = node->demand[k].cls;
            if (node->demand[k].waiting > 0 &&
                wr_fair_wait(core->task_fair, cls->cls.job, cls->hash, true, NULL) != WR_OK) {
                gcs_out_of_memory(core);
            }
        }
    }
    uint32_t n = wr_fair_order(core->task_fair, order, ORDER_MAX);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t granted = 0;
        bool any = false;
        for (uint32_t v = 0; v < core->view_count; v++) {
            gcs_node *node = gcs_node_find(core, core->views[v].node);
            for (uint32_t k = 0; k < node->demand_count; k++) {
                gcs_demand *d = &node->demand[k];
                if (d->waiting > 0 && d->cls->hash == order[i].key && d->cls->cls.job == order[i].job) {
                    any = true;
                    granted += grant_demand(core, node, d);
                }
            }
        }
        if (granted > 0) {
            wr_fair_served(core->task_fair, order[i].job, order[i].key, granted);
        }
        if (!any) {
            end_wait(core->task_fair, order[i].job, order[i].key);
        }
    }
}

void gcs_place(wr_gcs_core *core) {
    core->place_due = false;
    gcs_groups_place(core);
    place_actors(core);
    place_tasks(core);
    core->place_due = false; /* what the pass itself caused waits for the next message or tick */
}

/* Placement groups: all bundles are reserved, then all are committed, or none (protocol, section 7). */
#include "gcs/core/core_priv.h"

gcs_group *gcs_group_find(const wr_gcs_core *core, const wr_pg_id *id) {
    uint64_t head = 0;
    (void)wr_map_get(&core->group_index, wr_hash_bytes(id->bytes, sizeof id->bytes), &head);
    gcs_group *g = (gcs_group *)(uintptr_t)head;
    while (g != NULL && memcmp(&g->info->pg, id, sizeof *id) != 0) {
        g = g->next;
    }
    return g;
}

static void put_group(wr_gcs_core *core, const gcs_group *group) {
    gcs_put(core, WR_GCS_GROUP, &group->info->pg, sizeof group->info->pg, group->info);
}

static void try_done(gcs_try *t) {
    wr_free(t->nodes);
    wr_free(t->yes);
    memset(t, 0, sizeof *t);
}

void gcs_group_free(gcs_group *group) {
    if (group == NULL) {
        return;
    }
    try_done(&group->try_now);
    wr_free(group->info);
    wr_free(group->text);
    wr_free(group->resources);
    wr_free(group->subs);
    wr_free(group);
}

/* Fails: INVALID (no bundles, an empty one, resources that cannot be read), NO_MEMORY. */
static wr_status add_group(wr_gcs_core *core, const wr_pg_info *info, gcs_group **out, wr_error *err) {
    if (info->bundle_count == 0 || info->bundle_count > WR_PG_BUNDLES_MAX ||
        info->strategy > WR_PG_STRICT_SPREAD) {
        return WR_FAIL(err, WR_E_INVALID, "a placement group has 1 to %d bundles and one of four strategies",
                       WR_PG_BUNDLES_MAX);
    }
    gcs_group *group = wr_calloc(1, sizeof *group);
    void *block = NULL, *groups = core->groups;
    wr_status status = WR_E_NO_MEMORY;
    uint64_t hash = wr_hash_bytes(info->pg.bytes, sizeof info->pg.bytes), head = 0;
    (void)wr_map_get(&core->group_index, hash, &head);
    if (group != NULL) {
        group->resources = wr_calloc(info->bundle_count, sizeof *group->resources);
        status = group->resources == NULL
                     ? WR_E_NO_MEMORY
                     : wr_struct_dup(wr_gcs_table_desc(WR_GCS_GROUP), info, 0, 0, &block, err);
        group->info = block;
    }
    for (uint32_t i = 0; status == WR_OK && i < info->bundle_count; i++) {
        status = wr_res_parse(&core->names, info->bundles[i].resources, &group->resources[i], err);
        if (status == WR_OK && wr_res_is_empty(&group->resources[i])) {
            status = WR_FAIL(err, WR_E_INVALID, "bundle %u of the placement group asks for nothing", i);
        }
    }
    status = status == WR_OK ? wr_array_reserve(&groups, &core->group_capacity, core->group_count + 1,
                                                sizeof *core->groups, err)
                             : status;
    if (status == WR_OK) {
        core->groups = groups;
        status = wr_map_set(&core->group_index, hash, (uint64_t)(uintptr_t)group, err);
    }
    if (status != WR_OK) {
        gcs_group_free(group);
        return status;
    }
    group->next = (gcs_group *)(uintptr_t)head;
    group->bundles = (wr_bundle_info *)(uintptr_t)group->info->bundles; /* of our own block */
    core->groups[core->group_count++] = group;
    *out = group;
    return WR_OK;
}

/* ---- telling */

static void publish(wr_gcs_core *core, const gcs_group *group) {
    wr_cluster_msg msg = {.type = WR_MSG_PG_IS};
    msg.u.pg_is = (wr_msg_pg_is){.found = true, .pg = *group->info};
    for (uint32_t i = 0; i < group->sub_count; i++) {
        gcs_tell(core, group->subs[i], &msg);
    }
}

static void subscribe(wr_gcs_core *core, gcs_group *group, uint32_t inc) {
    if (!gcs_add_u32(&group->subs, &group->sub_count, &group->sub_capacity, inc)) {
        gcs_out_of_memory(core);
    }
}

static void ack(wr_gcs_core *core, uint32_t to, wr_cluster_msg_type of, const wr_pg_id *pg, wr_status status,
                wr_span text) {
    wr_cluster_msg msg = {.type = WR_MSG_ACK};
    msg.u.ack = (wr_msg_ack){.of = of, .pg = *pg, .status = status, .text = text};
    gcs_tell(core, to, &msg);
}

static void say_bundle(wr_gcs_core *core, wr_cluster_msg_type type, uint32_t to, const wr_pg_info *info,
                       uint64_t attempt, uint32_t i) {
    wr_cluster_msg msg = {.type = type};
    msg.u.bundle = (wr_msg_bundle){.pg = info->pg, .attempt = attempt, .index = i};
    if (type == WR_MSG_PREPARE) {
        msg.u.bundle.job = info->job;
        msg.u.bundle.resources = info->bundles[i].resources;
    }
    gcs_tell(core, to, &msg);
}

static bool set_text(wr_gcs_core *core, gcs_group *group, wr_span text) {
    if (wr_span_equal(text, group->info->text)) {
        return false;
    }
    char *copy = gcs_text(core, text);
    wr_free(group->text);
    group->text = copy;
    group->info->text = wr_span_of(copy, copy == NULL ? 0 : text.bytes);
    return true;
}

/* ---- placing */

static void abort_try(wr_gcs_core *core, gcs_group *group) {
    gcs_try *t = &group->try_now;
    for (uint32_t i = 0; t->attempt != 0 && i < group->info->bundle_count; i++) {
        say_bundle(core, WR_MSG_RELEASE, t->nodes[i], group->info, t->attempt, i);
    }
    try_done(t);
}

static void begin_try(wr_gcs_core *core, gcs_group *group, const uint32_t *views) {
    gcs_try *t = &group->try_now;
    uint32_t count = group->info->bundle_count;
    t->nodes = wr_calloc(count, sizeof *t->nodes);
    t->yes = wr_calloc(count, sizeof *t->yes);
    if (t->nodes == NULL || t->yes == NULL) {
        try_done(t);
        gcs_out_of_memory(core);
        return;
    }
    t->attempt = core->opts.epoch << 32 | (uint32_t)++core->next_attempt; /* never used again */
    for (uint32_t i = 0; i < count; i++) {
        t->nodes[i] = core->views[views[i]].node;
        gcs_node_debit(core, gcs_node_find(core, t->nodes[i]), &group->resources[i]);
        say_bundle(core, WR_MSG_PREPARE, t->nodes[i], group->info, t->attempt, i);
    }
}

static bool waits(const gcs_group *group) {
    return (group->info->state == WR_PG_PENDING || group->info->state == WR_PG_RESCHEDULING) &&
           group->try_now.attempt == 0;
}

void gcs_groups_place(wr_gcs_core *core) {
    uint32_t *views = NULL;
    for (uint32_t g = 0; g < core->group_count; g++) {
        gcs_group *group = core->groups[g];
        if (!waits(group) || group->not_before > core->now) {
            continue;
        }
        views = views == NULL ? wr_calloc(WR_PG_BUNDLES_MAX, sizeof *views) : views;
        if (views == NULL) {
            gcs_out_of_memory(core);
            return;
        }
        wr_infeasible why;
        char text[256];
        memset(&why, 0, sizeof why);
        wr_status status = wr_policy_place_bundles(core->views, core->view_count, group->resources,
                                                   group->info->bundle_count,
                                                   (wr_pg_strategy)group->info->strategy, views, &why);
        if (status == WR_OK) {
            begin_try(core, group, views);
        } else if (status == WR_E_NO_MEMORY) {
            gcs_out_of_memory(core);
        } else {
            bool never = status == WR_E_UNSCHEDULABLE && gcs_all_registered(core);
            wr_span reason = never ? wr_span_text(wr_infeasible_format(&why, &core->names, text, sizeof text))
                                   : wr_span_text("waits for room");
            if (set_text(core, group, reason) && never) {
                publish(core, group);
            }
        }
    }
    wr_free(views);
}

void gcs_on_prepared(wr_gcs_core *core, uint32_t from, const wr_msg_bundle *m) {
    gcs_group *group = gcs_group_find(core, &m->pg);
    if (group == NULL || group->try_now.attempt != m->attempt || m->attempt == 0 ||
        m->index >= group->info->bundle_count || group->try_now.nodes[m->index] != from) {
        return; /* given up meanwhile: its RELEASE is behind the PREPARE */
    }
    gcs_try *t = &group->try_now;
    if (!m->ok) {
        abort_try(core, group);
        group->failures += group->failures < 6;
        group->not_before = core->now + (10 * WR_GCS_MS << group->failures);
        core->place_due = true;
        return;
    }
    t->yes_count += !t->yes[m->index];
    t->yes[m->index] = true;
    if (t->yes_count < group->info->bundle_count) {
        return;
    }
    group->info->state = WR_PG_CREATED;
    group->info->attempt = t->attempt;
    group->failures = 0;
    (void)set_text(core, group, wr_span_of(NULL, 0));
    for (uint32_t i = 0; i < group->info->bundle_count; i++) {
        group->bundles[i].node = t->nodes[i];
    }
    put_group(core, group);
    for (uint32_t i = 0; i < group->info->bundle_count; i++) {
        say_bundle(core, WR_MSG_COMMIT, t->nodes[i], group->info, t->attempt, i);
    }
    try_done(t);
    publish(core, group);
    core->place_due = true;
}

/* ---- life */

void gcs_on_pg_create(wr_gcs_core *core, uint32_t from, const wr_pg_info *pg) {
    gcs_group *group = gcs_group_find(core, &pg->pg);
    if (group != NULL) {
        subscribe(core, group, from);
        ack(core, from, WR_MSG_PG_CREATE, &pg->pg, WR_OK, wr_span_of(NULL, 0));
        wr_cluster_msg msg = {.type = WR_MSG_PG_IS};
        msg.u.pg_is = (wr_msg_pg_is){.found = true, .pg = *group->info};
        gcs_tell(core, from, &msg);
        return;
    }
    wr_error err = {.status = WR_OK};
    wr_status status = gcs_job_check(core, pg->job);
    if (status != WR_OK) {
        (void)WR_FAIL(&err, status, "%s",
                      status == WR_E_STATE ? "its job has ended" : "there is no such job");
    } else {
        wr_pg_info info = *pg;
        info.state = WR_PG_PENDING;
        info.attempt = 0;
        info.text = wr_span_of(NULL, 0);
        status = add_group(core, &info, &group, &err);
    }
    if (status == WR_E_NO_MEMORY) {
        gcs_out_of_memory(core);
        return;
    }
    ack(core, from, WR_MSG_PG_CREATE, &pg->pg, status, wr_span_text(status == WR_OK ? "" : err.text));
    if (status != WR_OK) {
        return;
    }
    for (uint32_t i = 0; i < group->info->bundle_count; i++) {
        group->bundles[i].node = 0;
    }
    subscribe(core, group, from);
    put_group(core, group);
    core->place_due = true;
}

/* Forgets the oldest of the removed. Not within an end of something else: its groups are being looked through. */
void gcs_groups_prune(wr_gcs_core *core) {
    for (uint32_t i = 0; i < core->group_count && core->removed_groups > WR_GCS_DEAD_GROUPS_MAX; i++) {
        gcs_group *group = core->groups[i];
        if (group->info->state != WR_PG_REMOVED) {
            continue;
        }
        uint64_t hash = wr_hash_bytes(group->info->pg.bytes, sizeof group->info->pg.bytes), head = 0;
        (void)wr_map_get(&core->group_index, hash, &head);
        gcs_group *first = (gcs_group *)(uintptr_t)head;
        if (first == group && group->next == NULL) {
            (void)wr_map_remove(&core->group_index, hash, NULL);
        } else if (first == group) {
            if (wr_map_set(&core->group_index, hash, (uint64_t)(uintptr_t)group->next, NULL) != WR_OK) {
                gcs_out_of_memory(core);
            }
        } else {
            while (first->next != group) {
                first = first->next;
            }
            first->next = group->next;
        }
        gcs_put(core, WR_GCS_GROUP, &group->info->pg, sizeof group->info->pg, NULL);
        memmove(&core->groups[i], &core->groups[i + 1], (core->group_count - i - 1) * sizeof *core->groups);
        core->group_count--;
        core->removed_groups--;
        i--;
        gcs_group_free(group);
    }
}

static void remove_group(wr_gcs_core *core, gcs_group *group) {
    if (group->info->state == WR_PG_REMOVED) {
        return;
    }
    abort_try(core, group);
    bool created = group->info->state == WR_PG_CREATED;
    group->info->state = WR_PG_REMOVED;
    (void)set_text(core, group, wr_span_of(NULL, 0));
    put_group(core, group);
    for (uint32_t i = 0; created && i < group->info->bundle_count; i++) {
        say_bundle(core, WR_MSG_RELEASE, group->bundles[i].node, group->info, group->info->attempt, i);
    }
    publish(core, group);
    group->sub_count = 0;
    gcs_actors_on_group_removed(core, &group->info->pg);
    core->removed_groups++;
    core->place_due = true;
}

void gcs_on_pg_remove(wr_gcs_core *core, uint32_t from, const wr_pg_id *id) {
    gcs_group *group = gcs_group_find(core, id);
    if (group != NULL) {
        remove_group(core, group);
        gcs_groups_prune(core);
    }
    ack(core, from, WR_MSG_PG_REMOVE, id, WR_OK, wr_span_of(NULL, 0));
}

void gcs_groups_on_death(wr_gcs_core *core, uint32_t inc) {
    for (uint32_t g = 0; g < core->group_count; g++) {
        gcs_group *group = core->groups[g];
        bool in_try =
            group->try_now.attempt != 0 && gcs_has_u32(group->try_now.nodes, group->info->bundle_count, inc);
        if (in_try) {
            abort_try(core, group);
        }
        bool hit = false;
        for (uint32_t i = 0; group->info->state == WR_PG_CREATED && i < group->info->bundle_count; i++) {
            hit |= group->bundles[i].node == inc;
        }
        if (!hit) {
            continue;
        }
        uint64_t attempt = group->info->attempt;
        for (uint32_t i = 0; i < group->info->bundle_count; i++) { /* the whole group is placed anew */
            say_bundle(core, WR_MSG_RELEASE, group->bundles[i].node, group->info, attempt, i);
            group->bundles[i].node = 0;
        }
        group->info->state = WR_PG_RESCHEDULING;
        group->info->attempt = 0;
        put_group(core, group);
        publish(core, group);
        core->place_due = true;
    }
}

void gcs_groups_on_job_end(wr_gcs_core *core, uint32_t job) {
    for (uint32_t g = 0; g < core->group_count; g++) {
        if (core->groups[g]->info->job == job && !core->groups[g]->info->detached) {
            remove_group(core, core->groups[g]);
        }
    }
}

void gcs_groups_on_owner_dead(wr_gcs_core *core, const wr_actor_id *owner) {
    for (uint32_t g = 0; g < core->group_count; g++) {
        const wr_pg_info *info = core->groups[g]->info;
        if (info->state != WR_PG_REMOVED && !info->detached &&
            memcmp(&info->owner, owner, sizeof *owner) == 0) {
            remove_group(core, core->groups[g]);
        }
    }
}

/* REREG: the record's attempt is committed, any other is released; nothing waits for a time limit. */
void gcs_on_held_bundles(wr_gcs_core *core, gcs_node *node, const wr_msg_rereg *m) {
    uint32_t inc = node->row->info.inc;
    for (uint32_t i = 0; i < m->bundle_count; i++) {
        const wr_held_bundle *b = &m->bundles[i];
        const gcs_group *group = gcs_group_find(core, &b->pg);
        bool ours = group != NULL && group->info->state == WR_PG_CREATED &&
                    group->info->attempt == b->attempt && b->index < group->info->bundle_count &&
                    group->bundles[b->index].node == inc;
        wr_pg_info nobody = {.pg = b->pg};
        if (!ours) {
            say_bundle(core, WR_MSG_RELEASE, inc, group == NULL ? &nobody : group->info, b->attempt,
                       b->index);
        } else if (!b->committed) {
            say_bundle(core, WR_MSG_COMMIT, inc, group->info, b->attempt, b->index);
        }
    }
}

/* ---- questions */

void gcs_on_pg_get(wr_gcs_core *core, uint32_t from, const wr_msg_pg_get *m) {
    gcs_group *group = wr_pg_id_is_none(&m->pg) ? NULL : gcs_group_find(core, &m->pg);
    for (uint32_t g = core->group_count; group == NULL && m->name.bytes > 0 && g > 0; g--) {
        gcs_group *named = core->groups[g - 1];
        group =
            named->info->state != WR_PG_REMOVED && wr_span_equal(named->info->name, m->name) ? named : NULL;
    }
    wr_cluster_msg msg = {.type = WR_MSG_PG_IS};
    msg.u.pg_is.query = m->query;
    if (group != NULL) {
        if (group->info->state != WR_PG_REMOVED) {
            subscribe(core, group, from);
        }
        msg.u.pg_is.found = true;
        msg.u.pg_is.pg = *group->info;
    }
    gcs_tell(core, from, &msg);
}

void gcs_on_pg_table_get(wr_gcs_core *core, uint32_t from, uint64_t query) {
    wr_pg_info *groups = wr_calloc(core->group_count == 0 ? 1 : core->group_count, sizeof *groups);
    if (groups == NULL) {
        gcs_out_of_memory(core);
        return;
    }
    for (uint32_t i = 0; i < core->group_count; i++) {
        groups[i] = *core->groups[i]->info;
    }
    wr_cluster_msg msg = {.type = WR_MSG_PG_TABLE};
    msg.u.pg_table = (wr_msg_pg_table){.query = query, .groups = groups, .count = core->group_count};
    gcs_tell(core, from, &msg);
    wr_free(groups);
}

/* ---- the store */

wr_status gcs_group_load(wr_gcs_core *core, const wr_pg_info *row, wr_error *err) {
    gcs_group *group;
    if (row->state > WR_PG_REMOVED || gcs_group_find(core, &row->pg) != NULL) {
        return WR_FAIL(err, WR_E_CORRUPT, "a stored placement group in state %u, or stored twice",
                       row->state);
    }
    wr_status status = add_group(core, row, &group, err);
    if (status != WR_OK) {
        wr_error_prefix(err, "a stored placement group");
        return status == WR_E_NO_MEMORY ? status : WR_E_CORRUPT;
    }
    core->removed_groups += row->state == WR_PG_REMOVED;
    return WR_OK;
}

void gcs_groups_start(wr_gcs_core *core) {
    for (uint32_t g = 0; g < core->group_count; g++) {
        gcs_group *group = core->groups[g];
        const wr_pg_info *info = group->info;
        if (info->state == WR_PG_REMOVED) {
            continue;
        }
        wr_actor_id none;
        memset(&none, 0, sizeof none);
        const gcs_actor *owner =
            memcmp(&info->owner, &none, sizeof none) == 0 ? NULL : gcs_actor_find(core, &info->owner);
        bool owner_dead = owner != NULL && owner->info.state == WR_ACTOR_DEAD;
        if (!info->detached && (gcs_job_check(core, info->job) != WR_OK || owner_dead)) {
            remove_group(core, group);
        }
    }
    for (uint32_t i = 0; i < core->node_count; i++) {
        if (core->nodes[i]->row->state != WR_GCS_NODE_LIVE) {
            gcs_groups_on_death(core, core->nodes[i]->row->info.inc);
        }
    }
    core->place_due = true;
}

/* Membership: joining, life signs, death in two steps; and what each node has to give. */
#include "gcs/core/core_priv.h"

static const uint64_t away_ns = 2000 * WR_GCS_MS;

gcs_node *gcs_node_find(const wr_gcs_core *core, uint32_t inc) {
    uint64_t found;
    return wr_map_get(&core->node_index, inc, &found) ? (gcs_node *)(uintptr_t)found : NULL;
}

bool gcs_node_is_live(const wr_gcs_core *core, uint32_t inc) {
    const gcs_node *node = gcs_node_find(core, inc);
    return node != NULL && node->row->state == WR_GCS_NODE_LIVE;
}

bool gcs_node_is_up(const wr_gcs_core *core, uint32_t inc) {
    const gcs_node *node = gcs_node_find(core, inc);
    return node != NULL && node->row->state == WR_GCS_NODE_LIVE && node->registered;
}

bool gcs_all_registered(const wr_gcs_core *core) {
    for (uint32_t i = 0; i < core->node_count; i++) {
        if (core->nodes[i]->row->state == WR_GCS_NODE_LIVE && !core->nodes[i]->registered) {
            return false;
        }
    }
    return true;
}

wr_span gcs_node_address(const wr_gcs_core *core, uint32_t inc) {
    const gcs_node *node = inc == 0 ? NULL : gcs_node_find(core, inc);
    return node == NULL ? wr_span_of(NULL, 0) : node->row->info.address;
}

static void put_node(wr_gcs_core *core, const gcs_node *node) {
    uint32_t inc = node->row->info.inc;
    uint8_t key[4] = {(uint8_t)(inc >> 24), (uint8_t)(inc >> 16), (uint8_t)(inc >> 8), (uint8_t)inc};
    gcs_put(core, WR_GCS_NODE, key, sizeof key, node->row);
}

static gcs_node *add_node(wr_gcs_core *core, const wr_gcs_node_row *row) {
    void *nodes = core->nodes, *block = NULL;
    gcs_node *node = wr_calloc(1, sizeof *node);
    if (node == NULL || wr_array_reserve(&nodes, &core->node_capacity, core->node_count + 1,
                                         sizeof *core->nodes, NULL) != WR_OK) {
        wr_free(node);
        gcs_out_of_memory(core);
        return NULL;
    }
    core->nodes = nodes;
    if (wr_struct_dup(wr_gcs_table_desc(WR_GCS_NODE), row, 0, 0, &block, NULL) != WR_OK ||
        wr_map_set(&core->node_index, row->info.inc, (uint64_t)(uintptr_t)node, NULL) != WR_OK) {
        wr_free(block);
        wr_free(node);
        gcs_out_of_memory(core);
        return NULL;
    }
    node->row = block;
    node->heard = core->now;
    core->nodes[core->node_count++] = node;
    return node;
}

void gcs_node_free(wr_gcs_core *core, gcs_node *node) {
    gcs_demand_clear(core, node);
    wr_free(node->row);
    wr_free(node->death);
    wr_free(node->debits);
    wr_free(node->labels);
    wr_free(node->available_text);
    wr_free(node->stats);
    wr_free(node->flushed);
    wr_free(node);
}

/* Forgets the oldest of the buried when there are too many. */
static void prune(wr_gcs_core *core) {
    uint32_t buried = 0, oldest = UINT32_MAX;
    for (uint32_t i = 0; i < core->node_count; i++) {
        if (core->nodes[i]->row->state == WR_GCS_NODE_BURIED) {
            buried++;
            oldest = oldest == UINT32_MAX ? i : oldest;
        }
    }
    if (buried <= WR_GCS_DEAD_NODES_MAX) {
        return;
    }
    gcs_node *node = core->nodes[oldest];
    uint32_t inc = node->row->info.inc;
    uint8_t key[4] = {(uint8_t)(inc >> 24), (uint8_t)(inc >> 16), (uint8_t)(inc >> 8), (uint8_t)inc};
    gcs_put(core, WR_GCS_NODE, key, sizeof key, NULL);
    (void)wr_map_remove(&core->node_index, inc, NULL);
    memmove(&core->nodes[oldest], &core->nodes[oldest + 1],
            (core->node_count - oldest - 1) * sizeof *core->nodes);
    core->node_count--;
    gcs_node_free(core, node);
}

/* ---- joining */

static void say_welcome(wr_gcs_core *core, uint64_t conn, const gcs_node *node) {
    wr_cluster_msg msg = {.type = WR_MSG_WELCOME};
    msg.u.welcome = (wr_msg_welcome){.nonce = node->row->nonce,
                                     .inc = node->row->info.inc,
                                     .epoch = core->opts.epoch,
                                     .cluster_id = core->opts.cluster_id};
    gcs_say(core, conn, &msg);
}

void gcs_on_join(wr_gcs_core *core, uint64_t conn, const wr_msg_join *m) {
    wr_cluster_msg msg;
    memset(&msg, 0, sizeof msg);
    if (m->version != WR_CLUSTER_VERSION) {
        msg.type = WR_MSG_YOUDEAD;
        msg.u.node.text = wr_span_text("the node speaks another version of the cluster's protocol");
        gcs_say_now(core, conn, &msg);
        return;
    }
    for (uint32_t i = 0; i < core->node_count; i++) {
        gcs_node *known = core->nodes[i];
        if (memcmp(&known->row->nonce, &m->nonce, sizeof m->nonce) != 0) {
            continue;
        }
        if (known->row->state == WR_GCS_NODE_LIVE) {
            known->heard = core->now;
            say_welcome(core, conn, known);
        } else { /* declared dead before it heard its number: as a new node it may join */
            msg.type = WR_MSG_NONCE;
            msg.u.nonce.nonce = m->nonce;
            gcs_say(core, conn, &msg);
        }
        return;
    }
    wr_gcs_node_row row = {.nonce = m->nonce, .info = m->node, .start_us = core->wall_us};
    row.info.inc = (uint32_t)++core->next_inc;
    gcs_put_meta(core, "next_inc", core->next_inc);
    gcs_node *node = add_node(core, &row);
    if (node != NULL) {
        put_node(core, node);
        say_welcome(core, conn, node);
    }
}

/* ---- what a node has */

void gcs_view_sub(wr_gcs_core *core, const gcs_node *node, const wr_res *taken, int64_t times) {
    wr_status ignored = wr_res_sub(&core->views[node->view].available, taken, times,
                                   NULL); /* too many names: the node corrects us */
    (void)ignored;
}

void gcs_node_refresh(wr_gcs_core *core, gcs_node *node) {
    if (!node->registered) {
        return;
    }
    core->views[node->view].available = node->reported;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < node->debit_count; i++) {
        if (node->debits[i].number > node->placed_seen) {
            node->debits[kept++] = node->debits[i];
        }
    }
    node->debit_count = kept;
    for (uint32_t i = 0; i < node->debit_count; i++) {
        gcs_view_sub(core, node, &node->debits[i].taken, 1);
    }
    for (uint32_t i = 0; i < core->grant_count; i++) {
        const gcs_grant *g = &core->grants[i];
        if (g->to == node->row->info.inc) {
            int64_t open = (int64_t)(g->answered ? g->used : g->count) - g->received;
            if (open > 0) {
                gcs_view_sub(core, node, &g->cls->cls.resources, open);
            }
        }
    }
}

void gcs_node_debit(wr_gcs_core *core, gcs_node *node, const wr_res *taken) {
    node->placed++;
    if (wr_res_is_empty(taken)) {
        return;
    }
    void *debits = node->debits;
    if (wr_array_reserve(&debits, &node->debit_capacity, node->debit_count + 1, sizeof *node->debits, NULL) !=
        WR_OK) {
        gcs_out_of_memory(core);
        return;
    }
    node->debits = debits;
    node->debits[node->debit_count++] = (gcs_debit){.number = node->placed, .taken = *taken};
    gcs_view_sub(core, node, taken, 1);
}

static bool add_view(wr_gcs_core *core, gcs_node *node) {
    void *views = core->views;
    if (wr_array_reserve(&views, &core->view_capacity, core->view_count + 1, sizeof *core->views, NULL) !=
        WR_OK) {
        gcs_out_of_memory(core);
        return false;
    }
    core->views = views;
    node->view = core->view_count++;
    core->views[node->view] = (wr_node_view){.node = node->row->info.inc};
    return true;
}

static void drop_view(wr_gcs_core *core, gcs_node *node) {
    uint32_t last = --core->view_count;
    if (node->view != last) {
        core->views[node->view] = core->views[last];
        gcs_node_find(core, core->views[node->view].node)->view = node->view;
    }
}

void gcs_on_sync(wr_gcs_core *core, gcs_node *node, const wr_msg_sync *m) {
    wr_res available;
    if (wr_res_parse(&core->names, m->available, &available, NULL) != WR_OK) {
        return; /* a node that talks nonsense gets nothing */
    }
    node->reported = available;
    node->placed_seen = m->placed_seen;
    wr_free(node->available_text);
    wr_free(node->stats);
    node->available_text = gcs_text(core, m->available);
    node->stats = gcs_text(core, m->stats);

    gcs_demand *demand = m->demand_count == 0 ? NULL : wr_calloc(m->demand_count, sizeof *demand);
    uint32_t count = 0;
    for (uint32_t i = 0; demand != NULL && i < m->demand_count; i++) {
        gcs_class *cls = gcs_class_ref(core, m->demand[i].cls, NULL);
        if (cls == NULL) {
            continue;
        }
        demand[count] =
            (gcs_demand){.cls = cls, .prefer = m->demand[i].prefer, .waiting = m->demand[i].waiting};
        for (uint32_t k = 0; k < node->demand_count; k++) {
            if (node->demand[k].cls == cls) {
                demand[count].told_infeasible = node->demand[k].told_infeasible;
            }
        }
        count++;
    }
    gcs_demand_clear(core, node);
    node->demand = demand;
    node->demand_count = count;
    gcs_on_grant_uses(core, node, m);
    gcs_node_refresh(core, node);
    core->place_due = true;
}

/* ---- a session begins */

static void say_nodes(wr_gcs_core *core, const gcs_node *to) {
    wr_node_info *live = wr_calloc(core->node_count, sizeof *live);
    uint32_t *unburied = wr_calloc(core->node_count, sizeof *unburied),
             *dead = wr_calloc(core->node_count, sizeof *dead);
    wr_cluster_msg msg = {.type = WR_MSG_NODES};
    wr_msg_nodes *m = &msg.u.nodes;
    if (live == NULL || unburied == NULL || dead == NULL) {
        gcs_out_of_memory(core);
    } else {
        for (uint32_t i = 0; i < core->node_count; i++) {
            const wr_gcs_node_row *row = core->nodes[i]->row;
            if (row->state == WR_GCS_NODE_LIVE) {
                live[m->live_count++] = row->info;
            } else if (row->state == WR_GCS_NODE_DEAD) {
                unburied[m->unburied_count++] = row->info.inc;
            } else {
                dead[m->dead_count++] = row->info.inc;
            }
        }
        m->live = live;
        m->unburied = unburied;
        m->dead = dead;
        gcs_say(core, to->row->info.inc, &msg);
    }
    wr_free(live);
    wr_free(unburied);
    wr_free(dead);
}

/* Address and totals may have changed since JOIN; the nonce stays. */
static bool take_info(wr_gcs_core *core, gcs_node *node, const wr_node_info *info) {
    wr_gcs_node_row row = *node->row;
    row.info = *info;
    row.info.inc = node->row->info.inc;
    wr_res total;
    wr_status status = wr_res_parse(&core->names, info->resources, &total, NULL);
    if (status != WR_OK) {
        if (status == WR_E_NO_MEMORY) {
            gcs_out_of_memory(core);
        }
        return false;
    }
    const wr_struct_desc *desc = wr_gcs_table_desc(WR_GCS_NODE);
    if (!wr_struct_equal(desc, &row, node->row)) {
        void *block;
        if (wr_struct_dup(desc, &row, 0, 0, &block, NULL) != WR_OK) {
            gcs_out_of_memory(core);
            return false;
        }
        wr_free(node->row);
        node->row = block;
        put_node(core, node);
    }
    char *labels = gcs_text(core, info->labels);
    if (labels == NULL) {
        return false;
    }
    wr_free(node->labels);
    node->labels = labels;
    wr_node_view *view = &core->views[node->view];
    view->total = total;
    view->labels = labels;
    return true;
}

void gcs_on_rereg(wr_gcs_core *core, gcs_node *node, const wr_msg_rereg *m) {
    if (!node->registered) {
        if (!add_view(core, node)) {
            return;
        }
        node->registered = true;
    }
    uint32_t inc = node->row->info.inc;
    node->placed = node->placed_seen = 0;
    node->debit_count = 0;
    node->reported.count = 0; /* until its first SYNC */
    gcs_demand_clear(core, node);
    if (!take_info(core, node, &m->node)) {
        gcs_node_declare(core, node, wr_span_text("its resources cannot be read"));
        return;
    }
    gcs_node_refresh(core, node);
    for (uint32_t i = 0; i < m->dead_count; i++) { /* M1: who is dead to one is dead to all */
        gcs_node *dead = gcs_node_find(core, m->dead[i]);
        if (dead != NULL && dead != node && dead->row->state == WR_GCS_NODE_LIVE) {
            gcs_node_declare(core, dead, wr_span_text("another node had heard of its death"));
        }
    }
    say_nodes(core, node);
    gcs_jobs_tell_dead(core, inc);
    for (uint32_t i = 0; i < m->ended_count; i++) { /* A1: before the hosted */
        gcs_on_ended(core, inc, &m->ended[i]);
    }
    gcs_on_hosted(core, node, m);
    gcs_on_held_bundles(core, node, m);
    core->place_due = true;
}

/* ---- death */

void gcs_node_declare(wr_gcs_core *core, gcs_node *node, wr_span why) {
    if (node->row->state != WR_GCS_NODE_LIVE) {
        return;
    }
    uint32_t inc = node->row->info.inc;
    node->row->state = WR_GCS_NODE_DEAD;
    node->row->end_us = core->wall_us;
    node->death = gcs_text(core, why);
    node->row->death = wr_span_text(node->death);
    if (node->registered) {
        drop_view(core, node);
        node->registered = false;
    }
    gcs_demand_clear(core, node);
    wr_cluster_msg msg = {.type = WR_MSG_DEAD};
    msg.u.node = (wr_msg_node){.inc = inc, .text = node->row->death};
    for (uint32_t i = 0; i < core->node_count; i++) {
        if (gcs_node_is_up(core, core->nodes[i]->row->info.inc)) {
            gcs_say_now(core, core->nodes[i]->row->info.inc, &msg); /* G3: published first */
        }
    }
    msg.type = WR_MSG_YOUDEAD;
    gcs_say_now(core, inc, &msg);
    put_node(core, node);
    gcs_grants_on_death(core, inc);
    gcs_jobs_on_death(core, inc);
    gcs_actors_on_death(core, inc);
    gcs_groups_on_death(core, inc);
    gcs_nodes_bury(core);
    core->place_due = true;
}

void gcs_on_flushed(wr_gcs_core *core, gcs_node *node, uint32_t dead_inc) {
    gcs_node *dead = gcs_node_find(core, dead_inc);
    if (dead == NULL || dead->row->state == WR_GCS_NODE_BURIED) {
        wr_cluster_msg msg = {.type = WR_MSG_BURIED};
        msg.u.node.inc = dead_inc;
        gcs_tell(core, node->row->info.inc, &msg);
    } else if (dead->row->state == WR_GCS_NODE_DEAD) {
        if (!gcs_add_u32(&dead->flushed, &dead->flushed_count, &dead->flushed_capacity,
                         node->row->info.inc)) {
            gcs_out_of_memory(core);
        }
        gcs_nodes_bury(core);
    }
}

static bool may_be_buried(const wr_gcs_core *core, const gcs_node *dead) {
    for (uint32_t i = 0; i < core->node_count; i++) {
        const wr_gcs_node_row *row = core->nodes[i]->row;
        if (row->state == WR_GCS_NODE_LIVE &&
            !gcs_has_u32(dead->flushed, dead->flushed_count, row->info.inc)) {
            return false;
        }
    }
    return true;
}

void gcs_nodes_bury(wr_gcs_core *core) {
    bool any = false;
    for (uint32_t i = 0; i < core->node_count; i++) {
        gcs_node *node = core->nodes[i];
        if (node->row->state != WR_GCS_NODE_DEAD || !may_be_buried(core, node)) {
            continue;
        }
        node->row->state = WR_GCS_NODE_BURIED;
        put_node(core, node);
        any = true;
        wr_cluster_msg msg = {.type = WR_MSG_BURIED};
        msg.u.node.inc = node->row->info.inc;
        for (uint32_t k = 0; k < core->node_count; k++) {
            gcs_tell(core, core->nodes[k]->row->info.inc, &msg);
        }
    }
    if (any) {
        prune(core);
    }
}

void gcs_nodes_tick(wr_gcs_core *core) {
    /* Who was away itself has no right to call others silent: what they said lies unread. */
    bool was_away = core->last_tick != 0 && core->now > core->last_tick + away_ns;
    core->last_tick = core->now;
    for (uint32_t i = 0; was_away && i < core->node_count; i++) {
        core->nodes[i]->heard = core->now;
    }
    for (uint32_t i = 0; i < core->node_count; i++) {
        gcs_node *node = core->nodes[i];
        if (node->row->state == WR_GCS_NODE_LIVE && core->now > node->heard &&
            core->now - node->heard > core->opts.dead_after_ns) {
            gcs_node_declare(core, node, wr_span_text("nothing was heard of it for too long"));
        }
    }
}

/* ---- the store */

wr_status gcs_node_load(wr_gcs_core *core, const wr_gcs_node_row *row, wr_error *err) {
    uint32_t inc = row->info.inc; /* the last number of all has no next one */
    if (row->state > WR_GCS_NODE_BURIED || inc == 0 || inc == UINT32_MAX ||
        gcs_node_find(core, inc) != NULL) {
        return WR_FAIL(err, WR_E_CORRUPT, "a stored node %u in state %u", row->info.inc, row->state);
    }
    if (add_node(core, row) == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for the stored nodes");
    }
    core->next_inc = core->next_inc < row->info.inc ? row->info.inc : core->next_inc;
    return WR_OK;
}

void gcs_nodes_start(wr_gcs_core *core) {
    for (uint32_t i = 0; i < core->node_count; i++) {
        core->nodes[i]->heard = core->now; /* silence counts from now */
    }
}

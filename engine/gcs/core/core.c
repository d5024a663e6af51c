/* The step: who speaks, may he, and what does he say. Log and outbox of the step. */
#include "gcs/core/core_priv.h"

#include <stdio.h>

static const uint64_t dead_after_default_ns = 10000 * WR_GCS_MS;
#define AFTER_TAIL UINT64_MAX /* replaced at the end of the step by the number of its last record */

/* ---- rows */

static const wr_field wr_gcs_node_row_fields[] = {
    WR_F_ID(wr_gcs_node_row, nonce),
    WR_F_U32(wr_gcs_node_row, state),
    WR_F_PART(wr_gcs_node_row, info, wr_node_info),
    WR_F_SPAN(wr_gcs_node_row, death),
    WR_F_U64(wr_gcs_node_row, start_us),
    WR_F_U64(wr_gcs_node_row, end_us),
};
static const wr_struct_desc wr_gcs_node_row_desc = WR_DESC(wr_gcs_node_row);

static const wr_field wr_gcs_job_row_fields[] = {
    WR_F_ID(wr_gcs_job_row, nonce),
    WR_F_PART(wr_gcs_job_row, info, wr_job_info),
};
static const wr_struct_desc wr_gcs_job_row_desc = WR_DESC(wr_gcs_job_row);

const wr_struct_desc *wr_gcs_table_desc(wr_gcs_table table) {
    switch (table) {
    case WR_GCS_NODE:
        return &wr_gcs_node_row_desc;
    case WR_GCS_JOB:
        return &wr_gcs_job_row_desc;
    case WR_GCS_ACTOR_SPEC:
        return &wr_actor_spec_desc;
    case WR_GCS_ACTOR:
        return &wr_actor_info_desc;
    case WR_GCS_GROUP:
        return &wr_pg_info_desc;
    case WR_GCS_META:
    case WR_GCS_TABLES:
        break;
    }
    return NULL;
}

/* ---- log and outbox */

void wr_gcs_log_clear(wr_gcs_log *log) {
    for (uint32_t i = 0; i < log->count; i++) {
        wr_free(log->records[i].row);
    }
    log->count = 0;
}

void wr_gcs_log_done(wr_gcs_log *log) {
    wr_gcs_log_clear(log);
    wr_free(log->records);
    memset(log, 0, sizeof *log);
}

void gcs_out_of_memory(wr_gcs_core *core) {
    if (core->log != NULL) {
        core->log->failed = true;
    }
}

static wr_gcs_record *new_record(wr_gcs_core *core, wr_gcs_table table, const void *key, uint32_t key_bytes) {
    wr_gcs_log *log = core->log;
    void *records = log->records;
    if (wr_array_reserve(&records, &log->capacity, log->count + 1, sizeof *log->records, NULL) != WR_OK) {
        gcs_out_of_memory(core);
        return NULL;
    }
    log->records = records;
    if (!core->number_raised) {
        core->number++;
        core->number_raised = true;
    }
    wr_gcs_record *record = &log->records[log->count++];
    memset(record, 0, sizeof *record);
    record->number = core->number;
    record->table = table;
    WR_ASSERT(key_bytes <= sizeof record->key);
    memcpy(record->key, key, key_bytes);
    record->key_bytes = key_bytes;
    return record;
}

void gcs_put(wr_gcs_core *core, wr_gcs_table table, const void *key, uint32_t key_bytes, const void *row) {
    wr_gcs_record *record = new_record(core, table, key, key_bytes);
    if (record != NULL && row != NULL &&
        wr_struct_dup(wr_gcs_table_desc(table), row, 0, 0, &record->row, NULL) != WR_OK) {
        gcs_out_of_memory(core);
    }
}

void gcs_put_meta(wr_gcs_core *core, const char *key, uint64_t value) {
    wr_gcs_record *record = new_record(core, WR_GCS_META, key, (uint32_t)strlen(key));
    if (record != NULL) {
        record->row = wr_calloc(1, sizeof value);
        if (record->row == NULL) {
            gcs_out_of_memory(core);
        } else {
            memcpy(record->row, &value, sizeof value);
        }
    }
}

void gcs_say(wr_gcs_core *core, uint64_t dest, const wr_cluster_msg *msg) {
    wr_outbox_push_after(core->out, dest, AFTER_TAIL, msg);
}

void gcs_say_now(wr_gcs_core *core, uint64_t dest, const wr_cluster_msg *msg) {
    wr_outbox_push_after(core->out, dest, 0, msg);
}

void gcs_tell(wr_gcs_core *core, uint32_t inc, const wr_cluster_msg *msg) {
    if (gcs_node_is_up(core, inc)) {
        gcs_say(core, inc, msg);
    }
}

/* ---- small helpers */

char *gcs_text(wr_gcs_core *core, wr_span text) {
    char *copy = wr_calloc(1, text.bytes + 1u);
    if (copy == NULL) {
        gcs_out_of_memory(core);
    } else if (text.bytes > 0) {
        memcpy(copy, text.data, text.bytes);
    }
    return copy;
}

bool gcs_has_u32(const uint32_t *items, uint32_t count, uint32_t value) {
    for (uint32_t i = 0; i < count; i++) {
        if (items[i] == value) {
            return true;
        }
    }
    return false;
}

bool gcs_add_u32(uint32_t **items, uint32_t *count, uint32_t *capacity, uint32_t value) {
    if (gcs_has_u32(*items, *count, value)) {
        return true;
    }
    void *array = *items;
    if (wr_array_reserve(&array, capacity, *count + 1, sizeof **items, NULL) != WR_OK) {
        return false;
    }
    *items = array;
    (*items)[(*count)++] = value;
    return true;
}

/* ---- classes */

gcs_class *gcs_class_ref(wr_gcs_core *core, wr_span key, wr_error *err) {
    uint64_t hash = wr_class_hash(key), head = 0;
    (void)wr_map_get(&core->class_index, hash, &head);
    for (gcs_class *c = (gcs_class *)(uintptr_t)head; c != NULL; c = c->next) {
        if (wr_span_equal(key, wr_span_of(c->key, c->key_bytes))) {
            c->refs++;
            return c;
        }
    }
    gcs_class *c = wr_calloc(1, sizeof *c);
    uint8_t *copy = wr_calloc(1, key.bytes == 0 ? 1 : key.bytes);
    wr_status status = c == NULL || copy == NULL ? WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a class")
                                                 : wr_class_decode(key, &core->names, &c->cls, err);
    if (status == WR_OK) {
        memcpy(copy, key.data, key.bytes);
        *c = (gcs_class){.next = (gcs_class *)(uintptr_t)head,
                         .hash = hash,
                         .refs = 1,
                         .key = copy,
                         .key_bytes = key.bytes,
                         .cls = c->cls};
        status = wr_map_set(&core->class_index, hash, (uint64_t)(uintptr_t)c, err);
    }
    if (status != WR_OK) {
        wr_free(copy);
        wr_free(c);
        return NULL;
    }
    return c;
}

void gcs_class_unref(wr_gcs_core *core, gcs_class *cls) {
    if (cls == NULL || --cls->refs > 0) {
        return;
    }
    WR_ASSERT(cls->first == NULL);
    uint64_t head = 0;
    bool known = wr_map_get(&core->class_index, cls->hash, &head);
    WR_ASSERT(known);
    gcs_class *first = (gcs_class *)(uintptr_t)head;
    if (first == cls) {
        first = cls->next;
    } else {
        gcs_class *c = first;
        while (c->next != cls) {
            c = c->next;
        }
        c->next = cls->next;
    }
    if (first == NULL) {
        (void)wr_map_remove(&core->class_index, cls->hash, NULL);
    } else if (wr_map_set(&core->class_index, cls->hash, (uint64_t)(uintptr_t)first, NULL) != WR_OK) {
        gcs_out_of_memory(core); /* cannot be: the key is there */
    }
    wr_free(cls->key);
    wr_free(cls);
}

/* ---- life */

wr_status wr_gcs_core_new(const wr_gcs_core_opts *opts, wr_gcs_core **out, wr_error *err) {
    wr_gcs_core *core = wr_calloc(1, sizeof *core);
    if (core == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for the GCS");
    }
    core->opts = *opts;
    core->opts.dead_after_ns = opts->dead_after_ns == 0 ? dead_after_default_ns : opts->dead_after_ns;
    wr_status status = wr_res_names_init(&core->names, err);
    status = status == WR_OK ? wr_fair_new(&core->actor_fair, err) : status;
    status = status == WR_OK ? wr_fair_new(&core->task_fair, err) : status;
    if (status != WR_OK) {
        wr_gcs_core_free(core);
        return status;
    }
    *out = core;
    return WR_OK;
}

void wr_gcs_core_free(wr_gcs_core *core) {
    if (core == NULL) {
        return;
    }
    core->log = NULL; /* nothing is reported any more */
    for (uint32_t i = 0; i < core->actor_count; i++) {
        gcs_actor_free(core, core->actors[i]);
    }
    for (uint32_t i = 0; i < core->grant_count; i++) {
        gcs_class_unref(core, core->grants[i].cls);
    }
    for (uint32_t i = 0; i < core->node_count; i++) {
        gcs_node_free(core, core->nodes[i]);
    }
    for (uint32_t i = 0; i < core->job_count; i++) {
        gcs_job_free(core->jobs[i]);
    }
    for (uint32_t i = 0; i < core->group_count; i++) {
        gcs_group_free(core->groups[i]);
    }
    wr_free(core->actors);
    wr_free(core->grants);
    wr_free(core->nodes);
    wr_free(core->views);
    wr_free(core->jobs);
    wr_free(core->groups);
    wr_free(core->waiting_subs);
    wr_map_done(&core->node_index);
    wr_map_done(&core->job_index);
    wr_map_done(&core->actor_index);
    wr_map_done(&core->name_index);
    wr_map_done(&core->group_index);
    wr_map_done(&core->class_index);
    wr_fair_free(core->actor_fair);
    wr_fair_free(core->task_fair);
    wr_res_names_done(&core->names);
    wr_free(core);
}

static wr_status load_meta(wr_gcs_core *core, wr_span key, uint64_t value, wr_error *err) {
    bool inc = wr_span_equal(key, wr_span_text("next_inc")),
         job = wr_span_equal(key, wr_span_text("next_job"));
    if ((inc || job) && value >= UINT32_MAX) { /* the next one would be 0, which is none */
        return WR_FAIL(err, WR_E_CORRUPT, "the stored number of the last %s is %llu", inc ? "node" : "job",
                       (unsigned long long)value);
    }
    core->next_inc = inc ? value : core->next_inc;
    core->next_job = job ? value : core->next_job;
    return WR_OK; /* others are the shell's own */
}

wr_status wr_gcs_core_load(wr_gcs_core *core, wr_gcs_table table, wr_span key, const void *row,
                           wr_error *err) {
    WR_ASSERT(!core->started);
    uint64_t value;
    switch (table) {
    case WR_GCS_META:
        memcpy(&value, row, sizeof value);
        return load_meta(core, key, value, err);
    case WR_GCS_NODE:
        return gcs_node_load(core, row, err);
    case WR_GCS_JOB:
        return gcs_job_load(core, row, err);
    case WR_GCS_ACTOR_SPEC:
        return gcs_actor_load_spec(core, row, err);
    case WR_GCS_ACTOR:
        return gcs_actor_load(core, row, err);
    case WR_GCS_GROUP:
        return gcs_group_load(core, row, err);
    case WR_GCS_TABLES:
        break;
    }
    return WR_FAIL(err, WR_E_CORRUPT, "no table %d", (int)table);
}

/* ---- steps */

typedef struct step_mark {
    uint32_t first_message;
} step_mark;

static step_mark step_begin(wr_gcs_core *core, wr_time_ns now, uint64_t wall_us, wr_gcs_log *log,
                            wr_outbox *out) {
    core->now = now;
    core->wall_us = wall_us;
    core->log = log;
    core->out = out;
    core->number_raised = false;
    return (step_mark){out->count};
}

static void step_end(wr_gcs_core *core, step_mark mark) {
    if (core->place_due) {
        gcs_place(core);
    }
    for (uint32_t i = mark.first_message; i < core->out->count; i++) {
        if (core->out->items[i].after == AFTER_TAIL) {
            core->out->items[i].after = core->number;
        }
    }
    core->log = NULL;
    core->out = NULL;
}

void wr_gcs_core_start(wr_gcs_core *core, wr_time_ns now, uint64_t wall_us, wr_gcs_log *log, wr_outbox *out) {
    step_mark mark = step_begin(core, now, wall_us, log, out);
    core->started = true;
    gcs_nodes_start(core); /* first: the others ask who is dead */
    gcs_jobs_start(core);
    gcs_actors_start(core);
    gcs_groups_start(core);
    step_end(core, mark);
}

void wr_gcs_core_tick(wr_gcs_core *core, wr_time_ns now, uint64_t wall_us, wr_gcs_log *log, wr_outbox *out) {
    WR_ASSERT(core->started);
    step_mark mark = step_begin(core, now, wall_us, log, out);
    gcs_nodes_tick(core);
    gcs_actors_prune(core);
    gcs_groups_prune(core);
    gcs_nodes_bury(core);
    core->place_due = true;
    step_end(core, mark);
}

void wr_gcs_core_store_failing(wr_gcs_core *core, const char *why) {
    snprintf(core->store_why, sizeof core->store_why, "%s", why == NULL ? "" : why);
}

uint64_t wr_gcs_core_log_number(const wr_gcs_core *core) {
    return core->number;
}

wr_cluster_msg wr_gcs_core_hello(const wr_gcs_core *core) {
    wr_cluster_msg msg;
    memset(&msg, 0, sizeof msg);
    msg.type = WR_MSG_HELLO;
    msg.u.hello = (wr_msg_hello){
        .epoch = core->opts.epoch, .cluster_id = core->opts.cluster_id, .version = WR_CLUSTER_VERSION};
    return msg;
}

bool wr_gcs_core_knows_live(const wr_gcs_core *core, uint32_t inc) {
    return gcs_node_is_live(core, inc);
}

static void say_you_are_dead(wr_gcs_core *core, uint32_t inc, const gcs_node *node) {
    wr_cluster_msg msg = {.type = WR_MSG_YOUDEAD};
    msg.u.node.inc = inc;
    msg.u.node.text = node == NULL ? wr_span_text("this cluster does not know the node") : node->row->death;
    gcs_say_now(core, inc, &msg);
}

/* What a live, registered node says. */
static void dispatch(wr_gcs_core *core, gcs_node *node, const wr_cluster_msg *msg) {
    uint32_t from = node->row->info.inc;
    switch (msg->type) {
    case WR_MSG_FLUSHED:
        gcs_on_flushed(core, node, msg->u.node.inc);
        break;
    case WR_MSG_SYNC:
        gcs_on_sync(core, node, &msg->u.sync);
        break;
    case WR_MSG_NEW:
        gcs_on_new(core, from, &msg->u.new_actor.spec);
        break;
    case WR_MSG_STARTED:
        gcs_on_started(core, from, &msg->u.started);
        break;
    case WR_MSG_REFUSED:
        gcs_on_refused(core, from, &msg->u.refused);
        break;
    case WR_MSG_ENDED:
        gcs_on_ended(core, from, &msg->u.ended.actor);
        break;
    case WR_MSG_ACTOR_SUB:
        gcs_on_actor_sub(core, from, &msg->u.actor.actor);
        break;
    case WR_MSG_KILL:
        gcs_on_kill(core, from, &msg->u.kill);
        break;
    case WR_MSG_OUTOFSCOPE:
        gcs_on_out_of_scope(core, from, &msg->u.actor.actor);
        break;
    case WR_MSG_NAME_GET:
        gcs_on_name_get(core, from, &msg->u.name_get);
        break;
    case WR_MSG_NAME_LIST:
        gcs_on_name_list(core, from, &msg->u.name_list);
        break;
    case WR_MSG_PG_CREATE:
        gcs_on_pg_create(core, from, &msg->u.pg_create.pg);
        break;
    case WR_MSG_PG_REMOVE:
        gcs_on_pg_remove(core, from, &msg->u.pg.pg);
        break;
    case WR_MSG_PREPARED:
        gcs_on_prepared(core, from, &msg->u.bundle);
        break;
    case WR_MSG_PG_GET:
        gcs_on_pg_get(core, from, &msg->u.pg_get);
        break;
    case WR_MSG_PG_TABLE_GET:
        gcs_on_pg_table_get(core, from, msg->u.query.query);
        break;
    case WR_MSG_JOB_START:
        gcs_on_job_start(core, from, &msg->u.job_start);
        break;
    case WR_MSG_JOB_END:
        gcs_on_job_end(core, from, &msg->u.job);
        break;
    default:
        break; /* nothing that a raylet says to the GCS */
    }
}

void wr_gcs_core_step(wr_gcs_core *core, wr_time_ns now, uint64_t wall_us, uint64_t from,
                      const wr_cluster_msg *msg, wr_gcs_log *log, wr_outbox *out) {
    WR_ASSERT(core->started);
    step_mark mark = step_begin(core, now, wall_us, log, out);
    if (from >= WR_DEST_CONN(0)) {
        if (msg->type == WR_MSG_JOIN) {
            gcs_on_join(core, from, &msg->u.join);
        }
        step_end(core, mark);
        return;
    }
    uint32_t inc = (uint32_t)from;
    gcs_node *node = gcs_node_find(core, inc);
    if (node == NULL || node->row->state != WR_GCS_NODE_LIVE) {
        say_you_are_dead(core, inc, node);
        step_end(core, mark);
        return;
    }
    node->heard = now;
    if (msg->type == WR_MSG_REREG) {
        gcs_on_rereg(core, node, &msg->u.rereg);
    } else if (msg->type == WR_MSG_LEAVE) {
        gcs_node_declare(core, node,
                         msg->u.node.text.bytes == 0 ? wr_span_text("it left in good order")
                                                     : msg->u.node.text);
    } else if (msg->type == WR_MSG_HB) {
        if (msg->u.hb.epoch != core->opts.epoch) {
            wr_cluster_msg hello = wr_gcs_core_hello(core);
            gcs_say(core, inc, &hello);
        }
    } else if (node->registered) {
        dispatch(core, node, msg);
    }
    step_end(core, mark);
}

#include "sched/cluster_msg.h"

#include "sched/struct_desc.h"

#include <assert.h>
#include <stddef.h>

static const char *const actor_states[] = {"PENDING", "STARTING", "ALIVE", "RESTARTING", "DEAD"};
static const char *const pg_states[] = {"PENDING", "CREATED", "RESCHEDULING", "REMOVED"};

const char *wr_actor_state_text(uint32_t state) {
    return state < WR_COUNT_OF(actor_states) ? actor_states[state] : "?";
}

const char *wr_pg_state_text(uint32_t state) {
    return state < WR_COUNT_OF(pg_states) ? pg_states[state] : "?";
}

/* An owned message is the block of wr_struct_dup for its member of the union, with the type before it. */
enum { HEAD = offsetof(wr_cluster_msg, u) };
static_assert(HEAD % 8 == 0, "the union must stay aligned behind the head");

wr_status wr_cluster_msg_dup(const wr_cluster_msg *msg, wr_cluster_msg **out, wr_error *err) {
    const wr_struct_desc *desc = wr_cluster_msg_desc(msg->type);
    if (desc == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "no message type %u", msg->type);
    }
    void *block;
    WR_TRY(wr_struct_dup(desc, &msg->u, HEAD, sizeof msg->u, &block, err));
    *out = block;
    (*out)->type = msg->type;
    return WR_OK;
}

void wr_cluster_msg_free(wr_cluster_msg *msg) {
    wr_free(msg);
}

bool wr_cluster_msg_equal(const wr_cluster_msg *a, const wr_cluster_msg *b) {
    const wr_struct_desc *desc = wr_cluster_msg_desc(a->type);
    return a->type == b->type && desc != NULL && wr_struct_equal(desc, &a->u, &b->u);
}

void wr_outbox_push_after(wr_outbox *box, uint64_t dest, uint64_t after, const wr_cluster_msg *msg) {
    void *items = box->items;
    wr_cluster_msg *copy = NULL;
    if (wr_array_reserve(&items, &box->capacity, box->count + 1, sizeof *box->items, NULL) != WR_OK) {
        box->failed = true;
        return;
    }
    box->items = items;
    if (wr_cluster_msg_dup(msg, &copy, NULL) != WR_OK) {
        box->failed = true;
        return;
    }
    box->items[box->count++] = (wr_outbox_item){.dest = dest, .after = after, .msg = copy};
}

void wr_outbox_push(wr_outbox *box, uint64_t dest, const wr_cluster_msg *msg) {
    wr_outbox_push_after(box, dest, 0, msg);
}

void wr_outbox_clear(wr_outbox *box) {
    for (uint32_t i = 0; i < box->count; i++) {
        wr_cluster_msg_free(box->items[i].msg);
    }
    box->count = 0;
    box->failed = false;
}

void wr_outbox_done(wr_outbox *box) {
    wr_outbox_clear(box);
    wr_free(box->items);
    memset(box, 0, sizeof *box);
}

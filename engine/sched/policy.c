#include "sched/policy.h"

#include <stdio.h>

static wr_span labels_of(const wr_class *cls) {
    return wr_span_of(cls->labels, cls->labels_bytes);
}

/* Could this node ever run it? */
static bool is_able(const wr_class *cls, const wr_node_view *node) {
    return !node->draining && wr_res_fits(&node->total, &cls->resources) &&
           wr_res_fits(&node->total, &cls->place) && wr_labels_match(node->labels, labels_of(cls));
}

static bool has_room(const wr_class *cls, const wr_node_view *node) {
    return wr_res_fits(&node->available, &cls->resources);
}

/* Largest used fraction, in 1/10000, over what the class takes (or is placed by). */
static int64_t used_fraction(const wr_class *cls, const wr_node_view *node) {
    const wr_res *need = wr_res_is_empty(&cls->resources) ? &cls->place : &cls->resources;
    int64_t worst = 0;
    for (uint32_t i = 0; i < need->count; i++) {
        int64_t total = wr_res_get(&node->total, need->items[i].name);
        int64_t used = total - wr_res_get(&node->available, need->items[i].name);
        double fraction = total > 0 ? (double)used / (double)total * 10000 : 10000;
        worst = (int64_t)fraction > worst ? (int64_t)fraction : worst;
    }
    return worst;
}

/* What the node lacks most of `need`, in 1/10000 of the need; 0 = nothing. */
static int64_t lack_of(const wr_res *need, const wr_res *total, wr_infeasible *out) {
    int64_t worst = 0;
    for (uint32_t i = 0; i < need->count; i++) {
        int64_t want = need->items[i].units, have = wr_res_get(total, need->items[i].name);
        int64_t lack = have >= want ? 0 : 1 + (int64_t)((double)(want - have) / (double)want * 9999);
        if (lack > worst) {
            worst = lack;
            out->name = need->items[i].name;
            out->need = want;
            out->have = have;
        }
    }
    return worst;
}

static void explain(const wr_class *cls, const wr_pick_opts *opts, wr_infeasible *out) {
    if (out == NULL) {
        return;
    }
    memset(out, 0, sizeof *out);
    int64_t best = INT64_MAX;
    for (uint32_t i = 0; i < opts->count; i++) {
        const wr_node_view *node = &opts->nodes[i];
        if (node->draining) {
            continue;
        }
        wr_infeasible a = {.nearest = node->node}, b = a;
        int64_t lack = lack_of(&cls->resources, &node->total, &a),
                lack_place = lack_of(&cls->place, &node->total, &b);
        bool labels = lack == 0 && lack_place == 0;
        if (lack_place > lack) {
            a = b;
            lack = lack_place;
        }
        a.labels = labels;
        if (lack < best) {
            best = lack;
            *out = a;
        }
    }
}

/* The wish of a strategy for one certain node: its index, or UINT32_MAX. */
static uint32_t index_of(const wr_pick_opts *opts, uint32_t node) {
    for (uint32_t i = 0; node != 0 && i < opts->count; i++) {
        if (opts->nodes[i].node == node) {
            return i;
        }
    }
    return UINT32_MAX;
}

static wr_status pick_spread(const wr_class *cls, const wr_pick_opts *opts, uint32_t *out) {
    uint32_t start = opts->cursor != NULL ? *opts->cursor : 0, busy = UINT32_MAX;
    bool able = false;
    for (uint32_t k = 0; k < opts->count; k++) {
        uint32_t i = (uint32_t)(((uint64_t)start + k) % opts->count);
        const wr_node_view *node = &opts->nodes[i];
        if (!is_able(cls, node)) {
            continue;
        }
        able = true;
        if (node->node == opts->skip) {
            continue;
        }
        if (has_room(cls, node)) {
            busy = i;
            break;
        }
        busy = opts->also_busy && busy == UINT32_MAX ? i : busy;
    }
    if (busy == UINT32_MAX) {
        return able ? WR_E_AGAIN : WR_E_UNSCHEDULABLE;
    }
    if (opts->cursor != NULL) {
        *opts->cursor = (busy + 1) % opts->count;
    }
    *out = busy;
    return WR_OK;
}

static wr_status pick_default(const wr_class *cls, const wr_pick_opts *opts, uint32_t *out) {
    enum { HALF = 5000, GPU_NODE = 1 << 20 };
    uint32_t packed = UINT32_MAX, least = UINT32_MAX, busy = UINT32_MAX;
    int64_t packed_score = -1, least_score = INT64_MAX, busy_score = INT64_MAX;
    bool able = false, wants_gpu = wr_res_get(&cls->resources, WR_RES_GPU) > 0;
    for (uint32_t i = 0; i < opts->count; i++) {
        const wr_node_view *node = &opts->nodes[i];
        if (!is_able(cls, node)) {
            continue;
        }
        able = true;
        if (node->node == opts->skip) {
            continue;
        }
        int64_t used = used_fraction(cls, node);
        int64_t penalty = !wants_gpu && wr_res_get(&node->total, WR_RES_GPU) > 0 ? GPU_NODE : 0;
        if (!has_room(cls, node)) {
            if (used + penalty < busy_score) {
                busy_score = used + penalty;
                busy = i;
            }
            continue;
        }
        if (node->node == opts->prefer || (node->node == opts->local && used < HALF && opts->prefer == 0)) {
            *out = i;
            return WR_OK;
        }
        if (used < HALF && GPU_NODE - penalty + used > packed_score) {
            packed_score = GPU_NODE - penalty + used;
            packed = i;
        }
        /* The local node wins a tie. */
        int64_t score = 2 * (used + penalty) + (node->node != opts->local);
        if (score < least_score) {
            least_score = score;
            least = i;
        }
    }
    uint32_t local = index_of(opts, opts->local);
    if (local != UINT32_MAX && opts->nodes[local].node != opts->skip && is_able(cls, &opts->nodes[local]) &&
        has_room(cls, &opts->nodes[local]) && used_fraction(cls, &opts->nodes[local]) < HALF) {
        *out = local; /* the preferred one had no room */
        return WR_OK;
    }
    if (packed != UINT32_MAX && packed_score < GPU_NODE && least_score < 2 * GPU_NODE) {
        packed = UINT32_MAX; /* a node without GPUs has room, though it is more than half used */
    }
    uint32_t choice = packed != UINT32_MAX  ? packed
                      : least != UINT32_MAX ? least
                      : opts->also_busy     ? busy
                                            : UINT32_MAX;
    if (choice == UINT32_MAX) {
        return able ? WR_E_AGAIN : WR_E_UNSCHEDULABLE;
    }
    *out = choice;
    return WR_OK;
}

wr_status wr_policy_pick(const wr_class *cls, const wr_pick_opts *opts, uint32_t *out,
                         wr_infeasible *out_why) {
    WR_ASSERT(cls != NULL && opts != NULL && out != NULL);
    const wr_strategy *s = &cls->strategy;
    if (s->kind == WR_STRATEGY_NODE_AFFINITY) {
        uint32_t i = index_of(opts, s->node);
        if (i != UINT32_MAX && is_able(cls, &opts->nodes[i])) {
            if (!s->soft || has_room(cls, &opts->nodes[i])) {
                *out = i; /* hard: also when it is busy */
                return WR_OK;
            }
        } else if (!s->soft) {
            wr_pick_opts only = *opts;
            only.nodes = i == UINT32_MAX ? NULL : &opts->nodes[i];
            only.count = i == UINT32_MAX ? 0 : 1;
            explain(cls, &only, out_why);
            if (out_why != NULL) {
                out_why->gone = i == UINT32_MAX;
                out_why->nearest = s->node;
            }
            return WR_E_UNSCHEDULABLE;
        }
    }
    wr_status status =
        s->kind == WR_STRATEGY_SPREAD ? pick_spread(cls, opts, out) : pick_default(cls, opts, out);
    if (status == WR_E_UNSCHEDULABLE) {
        explain(cls, opts, out_why);
    }
    return status;
}

char *wr_infeasible_format(const wr_infeasible *why, const wr_res_names *names, char *out, size_t size) {
    char need[WR_RES_UNITS_TEXT], have[WR_RES_UNITS_TEXT];
    if (why->gone) {
        snprintf(out, size, "the node it is bound to is not in the cluster");
    } else if (why->nearest == 0) {
        snprintf(out, size, "there is no node");
    } else if (why->labels) {
        snprintf(out, size, "no node with enough resources has the labels asked for");
    } else {
        snprintf(out, size, "needs %s=%s, the nearest node has %s", wr_res_names_text(names, why->name),
                 wr_res_units_format(why->need, need), wr_res_units_format(why->have, have));
    }
    return out;
}

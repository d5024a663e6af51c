/* Placement groups: all bundles find a node, or none does. */
#include "sched/policy.h"

static const char *const strategy_texts[] = {"PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"};

bool wr_pg_strategy_parse(wr_span text, wr_pg_strategy *out) {
    for (uint32_t i = 0; i < WR_COUNT_OF(strategy_texts); i++) {
        if (wr_span_equal(text, wr_span_text(strategy_texts[i]))) {
            *out = (wr_pg_strategy)i;
            return true;
        }
    }
    return false;
}

const char *wr_pg_strategy_text(wr_pg_strategy strategy) {
    return (uint32_t)strategy < WR_COUNT_OF(strategy_texts) ? strategy_texts[strategy] : "?";
}

typedef struct trial {
    const wr_node_view *nodes;
    uint32_t node_count;
    const wr_res *bundles;
    uint32_t bundle_count;
    bool empty;       /* try on totals, as if nothing ran */
    wr_res *room;     /* per node, what is left */
    uint32_t *given;  /* per node, how many bundles it has */
    uint32_t *order;  /* bundles, the hardest to place first */
    uint32_t *choice; /* per bundle, a node */
    uint32_t *owner;  /* STRICT_SPREAD: per node, its bundle or UINT32_MAX */
    bool *seen;       /* STRICT_SPREAD: nodes on the present path */
} trial;

static void trial_done(trial *t) {
    wr_free(t->room);
    wr_free(t->given);
    wr_free(t->order);
    wr_free(t->choice);
    wr_free(t->owner);
    wr_free(t->seen);
}

static bool is_harder(const wr_res *a, const wr_res *b) {
    static const uint32_t scarce[] = {WR_RES_GPU, WR_RES_CPU, WR_RES_MEMORY};
    for (uint32_t i = 0; i < WR_COUNT_OF(scarce); i++) {
        int64_t x = wr_res_get(a, scarce[i]), y = wr_res_get(b, scarce[i]);
        if (x != y) {
            return x > y;
        }
    }
    return a->count > b->count;
}

static bool trial_init(trial *t) {
    uint32_t nodes = t->node_count == 0 ? 1 : t->node_count;
    t->room = wr_calloc(nodes, sizeof *t->room);
    t->given = wr_calloc(nodes, sizeof *t->given);
    t->owner = wr_calloc(nodes, sizeof *t->owner);
    t->seen = wr_calloc(nodes, sizeof *t->seen);
    t->order = wr_calloc(t->bundle_count, sizeof *t->order);
    t->choice = wr_calloc(t->bundle_count, sizeof *t->choice);
    if (t->room == NULL || t->given == NULL || t->owner == NULL || t->seen == NULL || t->order == NULL ||
        t->choice == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < t->bundle_count; i++) {
        uint32_t at = i;
        for (; at > 0 && is_harder(&t->bundles[i], &t->bundles[t->order[at - 1]]); at--) {
            t->order[at] = t->order[at - 1];
        }
        t->order[at] = i;
    }
    return true;
}

static void trial_reset(trial *t, bool empty) {
    t->empty = empty;
    for (uint32_t i = 0; i < t->node_count; i++) {
        t->room[i] = t->nodes[i].draining ? (wr_res){.count = 0}
                     : empty              ? t->nodes[i].total
                                          : t->nodes[i].available;
        t->given[i] = 0;
        t->owner[i] = UINT32_MAX;
    }
}

static void take(trial *t, uint32_t bundle, uint32_t node) {
    /* cannot fail: a bundle that fits has no name that the room lacks */
    wr_status status = wr_res_sub(&t->room[node], &t->bundles[bundle], 1, NULL);
    WR_ASSERT(status == WR_OK);
    t->given[node]++;
    t->choice[bundle] = node;
}

/* All on one node, the first with room for the sum. */
static bool place_on_one(trial *t) {
    for (uint32_t n = 0; n < t->node_count; n++) {
        if (t->nodes[n].draining) {
            continue;
        }
        wr_res before = t->room[n];
        uint32_t placed = 0;
        for (; placed < t->bundle_count && wr_res_fits(&t->room[n], &t->bundles[placed]); placed++) {
            take(t, placed, n);
        }
        if (placed == t->bundle_count) {
            return true;
        }
        t->room[n] = before;
        t->given[n] = 0;
    }
    return false;
}

/* One by one, on the node with most (pack) or fewest (spread) bundles of this group that has room. */
static bool place_greedily(trial *t, bool pack) {
    for (uint32_t k = 0; k < t->bundle_count; k++) {
        uint32_t bundle = t->order[k], best = UINT32_MAX;
        for (uint32_t n = 0; n < t->node_count; n++) {
            if (t->nodes[n].draining || !wr_res_fits(&t->room[n], &t->bundles[bundle])) {
                continue;
            }
            if (best == UINT32_MAX || (pack ? t->given[n] > t->given[best] : t->given[n] < t->given[best])) {
                best = n;
            }
        }
        if (best == UINT32_MAX) {
            return false;
        }
        take(t, bundle, best);
    }
    return true;
}

/* Finds a node for the bundle, moving others away where that helps (augmenting path); depth <= bundles. */
static bool find_own_node(trial *t, uint32_t bundle) {
    for (uint32_t n = 0; n < t->node_count; n++) {
        if (t->seen[n] || t->nodes[n].draining || !wr_res_fits(&t->room[n], &t->bundles[bundle])) {
            continue;
        }
        t->seen[n] = true;
        if (t->owner[n] == UINT32_MAX || find_own_node(t, t->owner[n])) {
            t->owner[n] = bundle;
            t->choice[bundle] = n;
            return true;
        }
    }
    return false;
}

static bool place_apart(trial *t) {
    if (t->bundle_count > t->node_count) {
        return false;
    }
    for (uint32_t k = 0; k < t->bundle_count; k++) {
        memset(t->seen, 0, t->node_count * sizeof *t->seen);
        if (!find_own_node(t, t->order[k])) {
            return false;
        }
    }
    return true;
}

static bool place(trial *t, wr_pg_strategy strategy, bool empty) {
    trial_reset(t, empty);
    switch (strategy) {
    case WR_PG_STRICT_PACK:
        return place_on_one(t);
    case WR_PG_STRICT_SPREAD:
        return place_apart(t);
    case WR_PG_SPREAD:
        return place_greedily(t, false);
    case WR_PG_PACK:
    default:
        if (place_on_one(t)) {
            return true;
        }
        trial_reset(t, empty);
        return place_greedily(t, true);
    }
}

/* The first bundle that no node can hold; else the shape of the whole group is the reason. */
static void explain(const trial *t, wr_pg_strategy strategy, wr_infeasible *out) {
    if (out == NULL) {
        return;
    }
    memset(out, 0, sizeof *out);
    wr_class cls;
    memset(&cls, 0, sizeof cls);
    wr_pick_opts opts = {.nodes = t->nodes, .count = t->node_count, .also_busy = true};
    uint32_t node;
    for (uint32_t k = 0; k < t->bundle_count; k++) {
        cls.resources = t->bundles[k];
        if (wr_policy_pick(&cls, &opts, &node, out) == WR_E_UNSCHEDULABLE) {
            return;
        }
    }
    if (strategy == WR_PG_STRICT_PACK) { /* each would fit, the sum does not */
        cls.resources.count = 0;
        for (uint32_t k = 0; k < t->bundle_count; k++) {
            if (wr_res_add(&cls.resources, &t->bundles[k], 1, NULL) != WR_OK) {
                return;
            }
        }
        if (wr_policy_pick(&cls, &opts, &node, out) == WR_E_UNSCHEDULABLE) {
            return;
        }
    }
}

wr_status wr_policy_place_bundles(const wr_node_view *nodes, uint32_t count, const wr_res *bundles,
                                  uint32_t bundle_count, wr_pg_strategy strategy, uint32_t *out,
                                  wr_infeasible *out_why) {
    if (bundle_count == 0 || bundle_count > WR_PG_BUNDLES_MAX) {
        return WR_E_LIMIT;
    }
    trial t = {.nodes = nodes, .node_count = count, .bundles = bundles, .bundle_count = bundle_count};
    wr_status status = WR_E_NO_MEMORY;
    if (trial_init(&t)) {
        if (place(&t, strategy, false)) {
            memcpy(out, t.choice, bundle_count * sizeof *out);
            status = WR_OK;
        } else if (place(&t, strategy, true)) {
            status = WR_E_AGAIN;
        } else {
            explain(&t, strategy, out_why);
            status = WR_E_UNSCHEDULABLE;
        }
    }
    trial_done(&t);
    return status;
}

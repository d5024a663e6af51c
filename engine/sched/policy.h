/* engine/sched/policy.h: which node, and who is next. Pure functions over views; no allocation but in
 * wr_fair.
 *
 * P1. DEFAULT: the local node if it has room and is less than half used (or nobody else has room); else the
 *     fullest node below half that has room (pack); else the least used one. "Used" is the largest used
 *     fraction over the names that the class takes. A class without GPUs prefers nodes without any.
 * P2. SPREAD: nodes in turn, by the caller's cursor, those with room first.
 * P3. Hard affinity: that node or none, also when it is busy. Soft: that node if it lives and can, else
 *     DEFAULT.
 * P4. Groups: all bundles or none. STRICT_PACK one node, STRICT_SPREAD distinct nodes (found whenever there
 *     is a way); PACK and SPREAD do their best.
 */
#pragma once

#include "sched/class.h"

WR_BEGIN_DECLS

typedef struct wr_node_view {
    uint32_t node; /* incarnation */
    bool draining; /* takes nothing new */
    wr_res total;
    wr_res available;   /* after debits; may be negative */
    const char *labels; /* borrowed: "key=value,key=value"; NULL = none */
} wr_node_view;

typedef struct wr_infeasible {
    uint32_t nearest; /* incarnation of the node that comes nearest; 0 = there is no node */
    uint32_t name;    /* what it lacks most, in fractions of the need; meaningless when `labels` */
    int64_t need, have;
    bool labels; /* it has the resources, but not the labels */
    bool gone;   /* hard affinity: the node is not there */
} wr_infeasible;

typedef struct wr_pick_opts {
    const wr_node_view *nodes; /* borrowed */
    uint32_t count;
    uint32_t local;   /* incarnation preferred as "here"; 0 = none */
    uint32_t skip;    /* incarnation that is not to be chosen (the asking node, which is full); 0 = none */
    uint32_t prefer;  /* locality: node with most argument bytes, chosen if it has room; 0 = none */
    bool also_busy;   /* a feasible node will do when none has room: the least used */
    uint32_t *cursor; /* SPREAD: kept by the caller between calls; may be NULL */
} wr_pick_opts;

/* Chooses a node for one task or actor of a class (strategy PLACEMENT_GROUP is treated as DEFAULT: the
 * caller passes the views of the bundles' nodes). O(count). out: index into nodes. out_why: filled when
 * UNSCHEDULABLE; may be NULL. Returns OK, AGAIN (some node can in principle, none has room now),
 * UNSCHEDULABLE (none ever). */
WR_MUST_USE wr_status wr_policy_pick(const wr_class *cls, const wr_pick_opts *opts, uint32_t *out,
                                     wr_infeasible *out_why);

/* "needs GPU=4, the nearest node has 2": for messages to people. Returns out. */
char *wr_infeasible_format(const wr_infeasible *why, const wr_res_names *names, char *out, size_t size);

/* Node labels against a selector: "key=value", "key=!value", "key=in(a|b)", "key=!in(a|b)", all joined by
 * commas; all must hold. A malformed term matches nothing. wr_labels_check tells a user. */
bool wr_labels_match(const char *labels /* may be NULL */, wr_span selector);
WR_MUST_USE wr_status wr_labels_check(wr_span selector, wr_error *err); /* INVALID */

typedef enum wr_pg_strategy {
    WR_PG_PACK,
    WR_PG_SPREAD,
    WR_PG_STRICT_PACK,
    WR_PG_STRICT_SPREAD
} wr_pg_strategy;
enum { WR_PG_BUNDLES_MAX = WR_PG_BUNDLES_LIMIT };
/* "PACK" ...; false for another text (case counts). */
bool wr_pg_strategy_parse(wr_span text, wr_pg_strategy *out);
const char *wr_pg_strategy_text(wr_pg_strategy strategy);

/* Places bundles on `available`; out[i] = index of the node of bundle i, all written or none. O(bundles *
 * nodes), for STRICT_SPREAD O(bundles^2 * nodes). Allocates scratch. Returns OK, AGAIN (would go on empty
 * nodes), UNSCHEDULABLE (never, with these nodes), NO_MEMORY, LIMIT (bundle count). */
WR_MUST_USE wr_status wr_policy_place_bundles(const wr_node_view *nodes, uint32_t count,
                                              const wr_res *bundles, uint32_t bundle_count,
                                              wr_pg_strategy strategy, uint32_t *out, wr_infeasible *out_why);

/* Fairness: service in rounds over jobs, and within a job over its classes; each service costs what it
 * takes, and who got least is next, so a class with endless work starves nobody. A class that was passed
 * over WR_FAIR_PASSED_MAX times because it did not fit comes with `reserve`: the caller then serves nobody
 * behind it until it fits (else a request for the whole machine would never see it free).
 *
 *   wr_fair_entry order[64];
 *   uint32_t n = wr_fair_order(fair, order, 64);
 *   for (i = 0; i < n; i++) {
 *       if (room(order[i])) { start(order[i]); wr_fair_served(fair, order[i].job, order[i].key, cost); }
 *       else { wr_fair_passed(fair, order[i].job, order[i].key); if (order[i].reserve) break; }
 *   }
 */
enum { WR_FAIR_PASSED_MAX = 64 };
typedef struct wr_fair wr_fair;
typedef struct wr_fair_entry {
    uint32_t job;
    uint64_t key; /* the caller's name of a class */
    bool reserve;
} wr_fair_entry;

WR_MUST_USE wr_status wr_fair_new(wr_fair **out, wr_error *err); /* owned by the caller */
void wr_fair_free(wr_fair *fair);
WR_DEFINE_AUTO(wr_fair, wr_fair_free)
/* The class has work waiting, or has none. A newcomer starts level with the least served. Fails: NO_MEMORY.
 */
WR_MUST_USE wr_status wr_fair_wait(wr_fair *fair, uint32_t job, uint64_t key, bool waiting, wr_error *err);
/* cost: any unit, the same for all (units of the scarcest resource, or nanoseconds of a worker); at least
 * 1. */
void wr_fair_served(wr_fair *fair, uint32_t job, uint64_t key, uint64_t cost);
void wr_fair_passed(wr_fair *fair, uint32_t job, uint64_t key);
/* Classes that wait, in the order of service: the jobs by turns (first class of each job, then the second
 * of each ...). Writes at most `max`. O(n log n). */
uint32_t wr_fair_order(wr_fair *fair, wr_fair_entry *out, uint32_t max);
void wr_fair_forget_job(wr_fair *fair, uint32_t job);

WR_END_DECLS

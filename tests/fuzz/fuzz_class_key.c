/* What travels as text or canonical bytes in a class: keys, resource lists, amounts, labels, bundles. The first byte
 * says which. What is accepted is written again and read again, and must be the same. */
#include "sched/policy.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NODES = 3, BUNDLES = 16 };

static void class_key(wr_res_names *names, wr_span key) {
    static wr_class cls;
    static uint8_t again[WR_CLASS_KEY_MAX];
    uint32_t bytes = 0;
    if (wr_class_decode(key, names, &cls, NULL) == WR_OK) {
        WR_ASSERT(wr_class_encode(&cls, names, again, sizeof again, &bytes, NULL) == WR_OK);
        WR_ASSERT(wr_span_equal(key, wr_span_of(again, bytes)));
        WR_ASSERT(wr_class_hash(key) != 0);
    }
}

static void resources(wr_res_names *names, wr_span text) {
    wr_res res, second;
    char out[2 * WR_RES_TEXT_MAX];
    uint32_t bytes = 0;
    if (wr_res_parse(names, text, &res, NULL) == WR_OK &&
        wr_res_format(names, &res, out, sizeof out, &bytes, NULL) == WR_OK && bytes <= WR_RES_TEXT_MAX) {
        WR_ASSERT(wr_res_parse(names, wr_span_of(out, bytes), &second, NULL) == WR_OK);
        WR_ASSERT(wr_res_equal(&res, &second));
    }
}

static void amount(wr_span text) {
    int64_t units = 0, second = 0;
    char out[WR_RES_UNITS_TEXT];
    if (wr_res_units_parse(text, &units, NULL) == WR_OK) {
        WR_ASSERT(units >= 0 && units <= WR_RES_UNITS_MAX);
        WR_ASSERT(wr_res_units_parse(wr_span_text(wr_res_units_format(units, out)), &second, NULL) == WR_OK);
        WR_ASSERT(units == second);
    }
}

/* "labels \0 selector" */
static void labels(const uint8_t *data, uint32_t size) {
    char *text = wr_calloc(size + 1u, 1);
    WR_ASSERT(text != NULL);
    memcpy(text, data, size);
    uint32_t first = (uint32_t)strlen(text), rest = first < size ? size - first - 1 : 0;
    wr_span selector = wr_span_of(data + (size - rest), rest);
    bool good = wr_labels_check(selector, NULL) == WR_OK, matches = wr_labels_match(text, selector);
    WR_ASSERT(good || !matches);
    (void)wr_labels_match(NULL, selector);
    wr_free(text);
}

/* The strategy's number, then the bundles' resource lists, one a line. */
static void bundles(wr_res_names *names, const uint8_t *data, uint32_t size) {
    static wr_node_view nodes[NODES];
    static wr_res list[BUNDLES];
    static const char *const has[NODES] = {"CPU=4", "CPU=2,GPU=1", "CPU=8,x=2"};
    uint32_t count = 0, out[BUNDLES], used[NODES] = {0};
    (void)wr_pg_strategy_parse(wr_span_of(data, size), &(wr_pg_strategy){0});
    if (size == 0) {
        return;
    }
    wr_pg_strategy strategy = (wr_pg_strategy)(data[0] % 4);
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[i] = (wr_node_view){.node = i + 1};
        WR_ASSERT(wr_res_parse(names, wr_span_text(has[i]), &nodes[i].total, NULL) == WR_OK);
        nodes[i].available = nodes[i].total;
    }
    for (uint32_t at = 1; at < size && count < BUNDLES;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        uint32_t bytes = end != NULL ? (uint32_t)(end - data) - at : size - at;
        count += wr_res_parse(names, wr_span_of(data + at, bytes), &list[count], NULL) == WR_OK;
        at += bytes + 1;
    }
    if (count == 0 || wr_policy_place_bundles(nodes, NODES, list, count, strategy, out, NULL) != WR_OK) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        WR_ASSERT(out[i] < NODES);
        wr_res *left = &nodes[out[i]].available;
        WR_ASSERT(wr_res_fits(left, &list[i]));
        WR_ASSERT(wr_res_sub(left, &list[i], 1, NULL) == WR_OK);
        used[out[i]]++;
        WR_ASSERT(strategy != WR_PG_STRICT_PACK || out[i] == out[0]);
        WR_ASSERT(strategy != WR_PG_STRICT_SPREAD || used[out[i]] == 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    wr_res_names names;
    if (size == 0 || wr_res_names_init(&names, NULL) != WR_OK) {
        return 0;
    }
    wr_span rest = wr_span_of(data + 1, (uint32_t)size - 1);
    switch (data[0] % 5) {
    case 0:
        class_key(&names, rest);
        break;
    case 1:
        resources(&names, rest);
        break;
    case 2:
        amount(rest);
        break;
    case 3:
        labels(data + 1, rest.bytes);
        break;
    default:
        bundles(&names, data + 1, rest.bytes);
        break;
    }
    wr_res_names_done(&names);
    return 0;
}

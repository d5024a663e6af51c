/* Label selectors: a list of terms key=value, key=!value, key=in(a|b), key=!in(a|b). */
#include "sched/policy.h"

typedef struct term {
    wr_span key;
    wr_span values; /* "a|b", or one value */
    bool list, negated;
} term;

/* Takes the next term off text, starting at *at. false: malformed. */
static bool next_term(wr_span text, uint32_t *at, term *out) {
    const char *p = text.data;
    uint32_t end = *at, split = UINT32_MAX;
    for (; end < text.bytes && p[end] != ','; end++) {
        if (p[end] == '=' && split == UINT32_MAX) {
            split = end;
        }
    }
    if (split == UINT32_MAX || split == *at) {
        return false;
    }
    *out = (term){.key = wr_span_of(p + *at, split - *at)};
    uint32_t from = split + 1;
    if (from < end && p[from] == '!') {
        out->negated = true;
        from++;
    }
    if (end - from >= 4 && memcmp(p + from, "in(", 3) == 0 && p[end - 1] == ')') {
        out->list = true;
        from += 3;
        out->values = wr_span_of(p + from, end - 1 - from);
    } else {
        out->values = wr_span_of(p + from, end - from);
    }
    *at = end + 1;
    return out->values.bytes > 0;
}

static bool one_of(wr_span value, wr_span list) {
    const char *p = list.data;
    for (uint32_t at = 0; at <= list.bytes;) {
        uint32_t end = at;
        while (end < list.bytes && p[end] != '|') {
            end++;
        }
        if (wr_span_equal(value, wr_span_of(p + at, end - at))) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

static bool label_of(const char *labels, wr_span key, wr_span *out) {
    for (const char *p = labels; p != NULL && *p != 0;) {
        size_t length = strcspn(p, ","), split = strcspn(p, "=");
        if (split < length && split == key.bytes && memcmp(p, key.data, split) == 0) {
            *out = wr_span_of(p + split + 1, (uint32_t)(length - split - 1));
            return true;
        }
        p += length + (p[length] == ',');
    }
    return false;
}

bool wr_labels_match(const char *labels, wr_span selector) {
    for (uint32_t at = 0; at < selector.bytes;) {
        term t;
        wr_span value;
        if (!next_term(selector, &at, &t)) {
            return false;
        }
        bool held = label_of(labels, t.key, &value) &&
                    (t.list ? one_of(value, t.values) : wr_span_equal(value, t.values));
        if (held == t.negated) {
            return false;
        }
    }
    return true;
}

wr_status wr_labels_check(wr_span selector, wr_error *err) {
    if (selector.bytes > WR_LABELS_TEXT_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "a label selector of %u bytes, at most %d are possible",
                       selector.bytes, WR_LABELS_TEXT_MAX);
    }
    for (uint32_t at = 0; at < selector.bytes;) {
        term t;
        uint32_t begin = at;
        if (!next_term(selector, &at, &t)) {
            return WR_FAIL(err, WR_E_INVALID,
                           "a label selector is a list of key=value, key=!value, key=in(a|b), key=!in(a|b), "
                           "not \"%.*s\"",
                           (int)(selector.bytes - begin < 100 ? selector.bytes - begin : 100),
                           (const char *)selector.data + begin);
        }
    }
    return WR_OK;
}

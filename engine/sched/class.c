#include "sched/class.h"

#include "base/map.h"

enum {
    KEY_VERSION = 1,
    KEY_FIXED_BYTES = 4 + 4 + 8 + 4 + 4 + WR_PG_ID_BYTES,
    FLAG_SOFT = 1u << 0,
    FLAG_CAPTURE = 1u << 1
};

typedef struct writer {
    uint8_t *at, *end;
} writer;

static void put(writer *w, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        *w->at++ = (uint8_t)(value >> 8 * i);
    }
}

static uint64_t get(const uint8_t **at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value |= (uint64_t)*(*at)++ << 8 * i;
    }
    return value;
}

/* What a strategy does not use must be zero, or equal classes would have two keys. */
static bool is_canonical(const wr_strategy *s) {
    bool affinity = s->kind == WR_STRATEGY_NODE_AFFINITY, group = s->kind == WR_STRATEGY_PLACEMENT_GROUP;
    return (affinity ? s->node != 0 : s->node == 0 && !s->soft) &&
           (group ? !wr_pg_id_is_none(&s->pg) && s->bundle >= -1 && s->bundle < WR_PG_BUNDLES_LIMIT
                  : wr_pg_id_is_none(&s->pg) && s->bundle == 0 && !s->capture);
}

static wr_status put_text(writer *w, const wr_res_names *names, const wr_res *res, wr_error *err) {
    uint32_t bytes;
    if (w->end - w->at < 3) {
        return WR_FAIL(err, WR_E_LIMIT, "a class key does not fit");
    }
    size_t room = (size_t)(w->end - w->at) - 2;
    WR_TRY(wr_res_format(names, res, (char *)w->at + 2, room, &bytes, err));
    put(w, bytes, 2);
    w->at += bytes;
    return WR_OK;
}

wr_status wr_class_encode(const wr_class *cls, const wr_res_names *names, uint8_t *out, size_t size,
                          uint32_t *out_bytes, wr_error *err) {
    WR_ASSERT(out != NULL && out_bytes != NULL);
    const wr_strategy *s = &cls->strategy;
    if (!is_canonical(s) || cls->labels_bytes > WR_LABELS_TEXT_MAX) {
        return WR_FAIL(err, WR_E_INVALID, "a scheduling class with members that do not fit its strategy");
    }
    if (size < KEY_FIXED_BYTES + 6) {
        return WR_FAIL(err, WR_E_LIMIT, "a class key does not fit into %zu bytes", size);
    }
    writer w = {out, out + size};
    put(&w, KEY_VERSION, 1);
    put(&w, (uint64_t)cls->language, 1);
    put(&w, (uint64_t)s->kind, 1);
    put(&w, (s->soft ? FLAG_SOFT : 0) | (s->capture ? FLAG_CAPTURE : 0), 1);
    put(&w, cls->job, 4);
    put(&w, cls->env_hash, 8);
    put(&w, s->node, 4);
    put(&w, (uint32_t)s->bundle, 4);
    memcpy(w.at, s->pg.bytes, WR_PG_ID_BYTES);
    w.at += WR_PG_ID_BYTES;
    WR_TRY(put_text(&w, names, &cls->resources, err));
    WR_TRY(put_text(&w, names, &cls->place, err));
    if ((size_t)(w.end - w.at) < cls->labels_bytes + 2u) {
        return WR_FAIL(err, WR_E_LIMIT, "a class key does not fit into %zu bytes", size);
    }
    put(&w, cls->labels_bytes, 2);
    memcpy(w.at, cls->labels, cls->labels_bytes);
    w.at += cls->labels_bytes;
    *out_bytes = (uint32_t)(w.at - out);
    return WR_OK;
}

static bool get_text(const uint8_t **at, const uint8_t *end, wr_span *out) {
    if (end - *at < 2) {
        return false;
    }
    uint32_t bytes = (uint32_t)get(at, 2);
    if ((size_t)(end - *at) < bytes) {
        return false;
    }
    *out = wr_span_of(*at, bytes);
    *at += bytes;
    return true;
}

wr_status wr_class_decode(wr_span key, wr_res_names *names, wr_class *out, wr_error *err) {
    const uint8_t *at = key.data;
    if (key.bytes < KEY_FIXED_BYTES + 6 || at[0] != KEY_VERSION) {
        return WR_FAIL(err, WR_E_PROTOCOL, "not a class key");
    }
    const uint8_t *end = at + key.bytes;
    wr_class cls;
    memset(&cls, 0, sizeof cls);
    at++;
    uint64_t language = get(&at, 1), kind = get(&at, 1), flags = get(&at, 1);
    cls.job = (uint32_t)get(&at, 4);
    cls.env_hash = get(&at, 8);
    cls.strategy.node = (uint32_t)get(&at, 4);
    cls.strategy.bundle = (int32_t)(uint32_t)get(&at, 4);
    memcpy(cls.strategy.pg.bytes, at, WR_PG_ID_BYTES);
    at += WR_PG_ID_BYTES;
    wr_span resources, place, labels;
    if (language > WR_LANGUAGE_C || kind > WR_STRATEGY_PLACEMENT_GROUP ||
        (flags & ~(uint64_t)(FLAG_SOFT | FLAG_CAPTURE)) != 0 || !get_text(&at, end, &resources) ||
        !get_text(&at, end, &place) || !get_text(&at, end, &labels) || at != end ||
        labels.bytes > WR_LABELS_TEXT_MAX) {
        return WR_FAIL(err, WR_E_PROTOCOL, "a malformed class key");
    }
    cls.language = (wr_language)language;
    cls.strategy.kind = (wr_strategy_kind)kind;
    cls.strategy.soft = (flags & FLAG_SOFT) != 0;
    cls.strategy.capture = (flags & FLAG_CAPTURE) != 0;
    wr_status status = wr_res_parse(names, resources, &cls.resources, err);
    status = status == WR_OK ? wr_res_parse(names, place, &cls.place, err) : status;
    if (status != WR_OK) {
        return status == WR_E_INVALID ? WR_FAIL(err, WR_E_PROTOCOL, "a class key with malformed resources")
                                      : status;
    }
    cls.labels_bytes = labels.bytes;
    memcpy(cls.labels, labels.data, labels.bytes);

    /* One class, one key: whatever else would decode to the same class is refused. */
    char text[WR_RES_TEXT_MAX + 1];
    uint32_t bytes;
    if (!is_canonical(&cls.strategy) ||
        wr_res_format(names, &cls.resources, text, sizeof text, &bytes, NULL) != WR_OK ||
        !wr_span_equal(resources, wr_span_of(text, bytes)) ||
        wr_res_format(names, &cls.place, text, sizeof text, &bytes, NULL) != WR_OK ||
        !wr_span_equal(place, wr_span_of(text, bytes))) {
        return WR_FAIL(err, WR_E_PROTOCOL, "a class key that is not canonical");
    }
    *out = cls;
    return WR_OK;
}

uint64_t wr_class_hash(wr_span key) {
    uint64_t hash = wr_hash_bytes(key.data, key.bytes);
    return hash == 0 ? 1 : hash;
}

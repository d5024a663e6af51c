#include "sched/resources.h"

/* ---- names */

static const char *const fixed_names[] = {"CPU", "GPU", "memory", "object_store_memory"};

static bool name_is_legal(wr_span name) {
    if (name.bytes == 0 || name.bytes > WR_RES_NAME_BYTES_MAX) {
        return false;
    }
    const uint8_t *p = name.data;
    for (uint32_t i = 0; i < name.bytes; i++) {
        if (p[i] < 0x20 || p[i] == 0x7f || p[i] == ',' || p[i] == '=') {
            return false;
        }
    }
    return true;
}

wr_status wr_res_names_intern(wr_res_names *names, wr_span name, uint32_t *out, wr_error *err) {
    WR_ASSERT(names != NULL && out != NULL);
    for (uint32_t i = 0; i < names->count; i++) {
        if (strlen(names->names[i]) == name.bytes && memcmp(names->names[i], name.data, name.bytes) == 0) {
            *out = i;
            return WR_OK;
        }
    }
    if (!name_is_legal(name)) {
        return WR_FAIL(
            err, WR_E_INVALID,
            "a resource name has 1 to %d characters, none of them a comma, '=' or a control character",
            WR_RES_NAME_BYTES_MAX);
    }
    if (names->count == WR_RES_NAMES_MAX) {
        return WR_FAIL(err, WR_E_LIMIT, "more than %d different resource names", WR_RES_NAMES_MAX);
    }
    void *items = names->names;
    WR_TRY(wr_array_reserve(&items, &names->capacity, names->count + 1, sizeof *names->names, err));
    names->names = items;
    char *text = wr_calloc(1, name.bytes + 1u);
    if (text == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a resource name");
    }
    memcpy(text, name.data, name.bytes);
    names->names[names->count] = text;
    *out = names->count++;
    return WR_OK;
}

wr_status wr_res_names_init(wr_res_names *names, wr_error *err) {
    memset(names, 0, sizeof *names);
    for (uint32_t i = 0; i < WR_COUNT_OF(fixed_names); i++) {
        uint32_t number;
        wr_status status = wr_res_names_intern(names, wr_span_text(fixed_names[i]), &number, err);
        if (status != WR_OK) {
            wr_res_names_done(names);
            return status;
        }
        WR_ASSERT(number == i);
    }
    return WR_OK;
}

void wr_res_names_done(wr_res_names *names) {
    for (uint32_t i = 0; i < names->count; i++) {
        wr_free(names->names[i]);
    }
    wr_free(names->names);
    memset(names, 0, sizeof *names);
}

const char *wr_res_names_text(const wr_res_names *names, uint32_t number) {
    return number < names->count ? names->names[number] : "?";
}

/* ---- amounts */

wr_status wr_res_units_parse(wr_span text, int64_t *out_units, wr_error *err) {
    const char *p = text.data;
    int64_t units = 0, scale = WR_RES_UNIT;
    bool nonzero = false, digits = false, fraction = false, legal = text.bytes <= 64;
    for (uint32_t i = 0; legal && i < text.bytes; i++) {
        if (p[i] == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (p[i] < '0' || p[i] > '9') {
            legal = false;
            break;
        }
        int64_t digit = p[i] - '0';
        digits = true;
        nonzero |= digit != 0;
        if (fraction) {
            scale /= 10; /* 0 after four digits: the rest is cut */
            units += digit * scale;
        } else if (units > (WR_RES_UNITS_MAX - digit * WR_RES_UNIT) / 10) {
            return WR_FAIL(err, WR_E_INVALID, "a resource amount is too large");
        } else {
            units = units * 10 + digit * WR_RES_UNIT;
        }
    }
    if (!legal || !digits) {
        return WR_FAIL(err, WR_E_INVALID,
                       "a resource amount must be a number that is not negative, not \"%.*s\"",
                       (int)(text.bytes < 64 ? text.bytes : 64), p == NULL ? "" : p);
    }
    if (nonzero && units == 0) {
        return WR_FAIL(err, WR_E_INVALID, "a resource amount below 0.0001 is not possible");
    }
    *out_units = units;
    return WR_OK;
}

wr_status wr_res_units_from_double(double amount, int64_t *out_units, wr_error *err) {
    if (!(amount >= 0) || amount > (double)(WR_RES_UNITS_MAX / WR_RES_UNIT)) {
        return WR_FAIL(err, WR_E_INVALID, "a resource amount must be a number from 0 to %.0f",
                       (double)(WR_RES_UNITS_MAX / WR_RES_UNIT));
    }
    /* 0.0003 * 10000 is 2.9999999999999996: what is nearer than rounding can be is meant. */
    double scaled = amount * WR_RES_UNIT;
    int64_t units = (int64_t)(scaled + scaled * 4e-16 + 1e-9);
    if (amount > 0 && units == 0) {
        return WR_FAIL(err, WR_E_INVALID, "a resource amount below 0.0001 is not possible");
    }
    *out_units = units;
    return WR_OK;
}

double wr_res_units_to_double(int64_t units) {
    return (double)units / WR_RES_UNIT;
}

char *wr_res_units_format(int64_t units, char out[WR_RES_UNITS_TEXT]) {
    char digits[WR_RES_UNITS_TEXT], *at = out;
    uint64_t size = units < 0 ? 0 - (uint64_t)units : (uint64_t)units;
    uint64_t whole = size / WR_RES_UNIT;
    uint32_t rest = (uint32_t)(size % WR_RES_UNIT), n = 0;
    if (units < 0) {
        *at++ = '-';
    }
    do {
        digits[n++] = (char)('0' + whole % 10);
        whole /= 10;
    } while (whole > 0);
    while (n > 0) {
        *at++ = digits[--n];
    }
    if (rest > 0) {
        *at++ = '.';
        for (uint32_t unit = WR_RES_UNIT / 10; rest > 0; unit /= 10) {
            *at++ = (char)('0' + rest / unit);
            rest %= unit;
        }
    }
    *at = 0;
    return out;
}

/* ---- lists */

wr_status wr_res_parse(wr_res_names *names, wr_span text, wr_res *out, wr_error *err) {
    if (text.bytes > WR_RES_TEXT_MAX) {
        return WR_FAIL(err, WR_E_LIMIT, "a resource list of %u bytes, at most %d are possible", text.bytes,
                       WR_RES_TEXT_MAX);
    }
    wr_res res = {.count = 0};
    uint32_t seen[WR_RES_TEXT_MAX / 4 + 1], seen_count = 0; /* also names with 0; "a=0," is the shortest */
    const char *p = text.data;
    for (uint32_t at = 0; at < text.bytes;) {
        uint32_t end = at, split = UINT32_MAX;
        for (; end < text.bytes && p[end] != ','; end++) {
            if (p[end] == '=' && split == UINT32_MAX) {
                split = end;
            }
        }
        if (split == UINT32_MAX || end + 1 == text.bytes) {
            return WR_FAIL(err, WR_E_INVALID,
                           "a resource list must look like \"CPU=4,GPU=0.5\", not \"%.*s\"",
                           (int)(text.bytes < 200 ? text.bytes : 200), p);
        }
        int64_t units;
        uint32_t name;
        wr_status status = wr_res_units_parse(wr_span_of(p + split + 1, end - split - 1), &units, err);
        if (status != WR_OK) {
            wr_error_prefix(err, "%.*s", (int)(split - at < 64 ? split - at : 64), p + at);
            return status;
        }
        WR_TRY(wr_res_names_intern(names, wr_span_of(p + at, split - at), &name, err));
        for (uint32_t i = 0; i < seen_count; i++) {
            if (seen[i] == name) {
                return WR_FAIL(err, WR_E_INVALID, "resource %s is given twice",
                               wr_res_names_text(names, name));
            }
        }
        seen[seen_count++] = name;
        WR_TRY(wr_res_set(&res, name, units, err));
        at = end + 1;
    }
    *out = res;
    return WR_OK;
}

wr_status wr_res_format(const wr_res_names *names, const wr_res *res, char *out, size_t size,
                        uint32_t *out_bytes, wr_error *err) {
    WR_ASSERT(out != NULL && size > 0);
    uint8_t order[WR_RES_MAX];
    for (uint32_t i = 0; i < res->count; i++) { /* insertion sort by text */
        uint32_t at = i;
        const char *name = wr_res_names_text(names, res->items[i].name);
        for (; at > 0 && strcmp(wr_res_names_text(names, res->items[order[at - 1]].name), name) > 0; at--) {
            order[at] = order[at - 1];
        }
        order[at] = (uint8_t)i;
    }
    size_t used = 0;
    for (uint32_t i = 0; i < res->count; i++) {
        const wr_res_item *item = &res->items[order[i]];
        const char *name = wr_res_names_text(names, item->name);
        char amount[WR_RES_UNITS_TEXT];
        wr_res_units_format(item->units, amount);
        size_t name_bytes = strlen(name), amount_bytes = strlen(amount);
        if (used + name_bytes + amount_bytes + 3 > size) {
            out[0] = 0;
            return WR_FAIL(err, WR_E_LIMIT, "a resource list does not fit into %zu bytes", size);
        }
        if (used > 0) {
            out[used++] = ',';
        }
        memcpy(out + used, name, name_bytes);
        used += name_bytes;
        out[used++] = '=';
        memcpy(out + used, amount, amount_bytes);
        used += amount_bytes;
    }
    out[used] = 0;
    if (out_bytes != NULL) {
        *out_bytes = (uint32_t)used;
    }
    return WR_OK;
}

/* ---- vectors */

/* Index of name, or of the place where it belongs. */
static uint32_t place_of(const wr_res *res, uint32_t name) {
    uint32_t at = 0;
    while (at < res->count && res->items[at].name < name) {
        at++;
    }
    return at;
}

int64_t wr_res_get(const wr_res *res, uint32_t name) {
    uint32_t at = place_of(res, name);
    return at < res->count && res->items[at].name == name ? res->items[at].units : 0;
}

wr_status wr_res_set(wr_res *res, uint32_t name, int64_t units, wr_error *err) {
    uint32_t at = place_of(res, name);
    bool there = at < res->count && res->items[at].name == name;
    if (units == 0) {
        if (there) {
            memmove(&res->items[at], &res->items[at + 1], (res->count - at - 1) * sizeof res->items[0]);
            res->count--;
        }
        return WR_OK;
    }
    if (!there) {
        if (res->count == WR_RES_MAX) {
            return WR_FAIL(err, WR_E_LIMIT, "more than %d resources in one list", WR_RES_MAX);
        }
        memmove(&res->items[at + 1], &res->items[at], (res->count - at) * sizeof res->items[0]);
        res->items[at] = (wr_res_item){.name = name};
        res->count++;
    }
    res->items[at].units = units;
    return WR_OK;
}

/* base + units * times, kept within +-WR_RES_UNITS_MAX. */
static int64_t sum_saturated(int64_t base, int64_t units, int64_t times) {
    int64_t product, sum;
    bool negative = (units < 0) != (times < 0);
    if (__builtin_mul_overflow(units, times, &product)) {
        return negative ? -WR_RES_UNITS_MAX : WR_RES_UNITS_MAX;
    }
    if (__builtin_add_overflow(base, product, &sum)) {
        return product < 0 ? -WR_RES_UNITS_MAX : WR_RES_UNITS_MAX;
    }
    return sum > WR_RES_UNITS_MAX ? WR_RES_UNITS_MAX : sum < -WR_RES_UNITS_MAX ? -WR_RES_UNITS_MAX : sum;
}

wr_status wr_res_add(wr_res *res, const wr_res *what, int64_t times, wr_error *err) {
    wr_res sum = *res;
    for (uint32_t i = 0; i < what->count; i++) {
        const wr_res_item *item = &what->items[i];
        WR_TRY(wr_res_set(&sum, item->name, sum_saturated(wr_res_get(&sum, item->name), item->units, times),
                          err));
    }
    *res = sum;
    return WR_OK;
}

wr_status wr_res_sub(wr_res *res, const wr_res *what, int64_t times, wr_error *err) {
    return wr_res_add(res, what, times == INT64_MIN ? INT64_MAX : -times, err);
}

bool wr_res_fits(const wr_res *available, const wr_res *need) {
    for (uint32_t i = 0; i < need->count; i++) {
        if (need->items[i].units > wr_res_get(available, need->items[i].name)) {
            return false;
        }
    }
    return true;
}

uint32_t wr_res_fits_times(const wr_res *available, const wr_res *need, uint32_t limit) {
    for (uint32_t i = 0; i < need->count; i++) {
        int64_t have = wr_res_get(available, need->items[i].name), each = need->items[i].units;
        if (each > 0) {
            int64_t times = have < 0 ? 0 : have / each;
            limit = times < (int64_t)limit ? (uint32_t)times : limit;
        }
    }
    return limit;
}

bool wr_res_equal(const wr_res *a, const wr_res *b) {
    if (a->count != b->count) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->items[i].name != b->items[i].name || a->items[i].units != b->items[i].units) {
            return false;
        }
    }
    return true;
}

bool wr_res_is_empty(const wr_res *res) {
    return res->count == 0;
}

/* ---- devices */

void wr_gpus_init(wr_gpus *gpus, uint32_t count) {
    WR_ASSERT(count <= WR_GPUS_MAX);
    memset(gpus, 0, sizeof *gpus);
    gpus->count = count;
    for (uint32_t i = 0; i < count; i++) {
        gpus->free_units[i] = WR_RES_UNIT;
    }
}

wr_status wr_gpus_take(wr_gpus *gpus, int64_t units, wr_gpu_share *out, wr_error *err) {
    if (units < 0 || (units > WR_RES_UNIT && units % WR_RES_UNIT != 0)) {
        return WR_FAIL(err, WR_E_INVALID, "more than one GPU must be a whole number of them");
    }
    wr_gpu_share share = {.units_each = units < WR_RES_UNIT ? units : WR_RES_UNIT};
    int64_t left = units == 0 ? 0 : units < WR_RES_UNIT ? 1 : units / WR_RES_UNIT; /* devices */
    if (units > 0 && units < WR_RES_UNIT) {
        uint32_t best = WR_GPUS_MAX;
        for (uint32_t i = 0; i < gpus->count; i++) {
            if (gpus->free_units[i] >= units &&
                (best == WR_GPUS_MAX || gpus->free_units[i] < gpus->free_units[best])) {
                best = i;
            }
        }
        if (best < WR_GPUS_MAX) {
            share.devices = 1ull << best;
            left = 0;
        }
    }
    for (uint32_t i = 0; units >= WR_RES_UNIT && left > 0 && i < gpus->count; i++) {
        if (gpus->free_units[i] == WR_RES_UNIT) {
            share.devices |= 1ull << i;
            left--;
        }
    }
    if (left > 0) {
        return WR_FAIL(err, WR_E_AGAIN, "no GPU is free");
    }
    for (uint32_t i = 0; i < gpus->count; i++) {
        gpus->free_units[i] -= share.devices >> i & 1 ? share.units_each : 0;
    }
    *out = share;
    return WR_OK;
}

void wr_gpus_give(wr_gpus *gpus, const wr_gpu_share *share) {
    for (uint32_t i = 0; i < WR_GPUS_MAX; i++) {
        if (share->devices >> i & 1) {
            WR_ASSERT(i < gpus->count && gpus->free_units[i] + share->units_each <= WR_RES_UNIT);
            gpus->free_units[i] += share->units_each;
        }
    }
}

char *wr_gpu_share_format(const wr_gpu_share *share, char out[4 * WR_GPUS_MAX]) {
    char *at = out;
    for (uint32_t i = 0; i < WR_GPUS_MAX; i++) {
        if (share->devices >> i & 1) {
            if (at != out) {
                *at++ = ',';
            }
            if (i >= 10) {
                *at++ = (char)('0' + i / 10);
            }
            *at++ = (char)('0' + i % 10);
        }
    }
    *at = 0;
    return out;
}

/* engine/sched/resources.h: amounts of resources, in whole units of 1/10000.
 *
 * A vector holds a few (name, amount) pairs, sorted by name number, none of them zero; so equal vectors
 * are equal bytes up to `count`. Names become numbers in a small table that belongs to one core; between
 * processes a vector travels as text: "CPU=4,GPU=0.5,memory=1073741824,node:10.0.0.1=1".
 *
 * R1. Amounts are exact: digits finer than 0.0001 are cut, a nonzero amount below 0.0001 is refused.
 * R2. No operation overflows: an amount is at most WR_RES_UNITS_MAX, sums saturate there.
 * R3. An amount may be negative only in a view that was debited ahead of its node's report.
 *
 * Pure; no allocation but in the name table. One thread per table.
 */
#pragma once

#include "sched/span.h"

WR_BEGIN_DECLS

enum {
    WR_RES_UNIT = 10000, /* units in 1.0 */
    WR_RES_MAX = 32,     /* names in one vector */
    WR_RES_NAMES_MAX = 1024,
    WR_RES_NAME_BYTES_MAX = 128, /* without the final zero */
    WR_RES_TEXT_MAX = 4096,      /* longest text that is parsed */
    WR_GPUS_MAX = 64             /* devices of one node */
};
#define WR_RES_UNITS_MAX (INT64_MAX / 4)

/* Names that every table has, under these numbers. */
typedef enum wr_res_name {
    WR_RES_CPU,
    WR_RES_GPU,
    WR_RES_MEMORY,
    WR_RES_OBJECT_STORE_MEMORY,
    WR_RES_FIRST_CUSTOM
} wr_res_name;

typedef struct wr_res_names {
    char **names; /* owned; index = number */
    uint32_t count, capacity;
} wr_res_names;

typedef struct wr_res_item {
    uint32_t name;
    uint32_t unused; /* 0 */
    int64_t units;
} wr_res_item;

typedef struct wr_res {
    uint32_t count;
    wr_res_item items[WR_RES_MAX]; /* only the first `count` mean anything */
} wr_res;                          /* zeroed (or count = 0) is the empty vector */

/* Fails: NO_MEMORY. */
WR_MUST_USE wr_status wr_res_names_init(wr_res_names *names, wr_error *err);
void wr_res_names_done(wr_res_names *names); /* accepts a zeroed one */
/* Number of a name; a new name gets the next one. Fails: INVALID (empty, too long, or with one of , = or a
 * control character), LIMIT (WR_RES_NAMES_MAX), NO_MEMORY. */
WR_MUST_USE wr_status wr_res_names_intern(wr_res_names *names, wr_span name, uint32_t *out, wr_error *err);
/* Lends the name until wr_res_names_done; "?" for a number that was never given. */
const char *wr_res_names_text(const wr_res_names *names, uint32_t number);

/* One amount. "0.5", "2", "1e3" is refused, so are signs, blanks, nan and inf.
 * Fails: INVALID (what R1 and R2 refuse, and everything that is no number). */
WR_MUST_USE wr_status wr_res_units_parse(wr_span text, int64_t *out_units, wr_error *err);
WR_MUST_USE wr_status wr_res_units_from_double(double amount, int64_t *out_units, wr_error *err);
double wr_res_units_to_double(int64_t units);
enum { WR_RES_UNITS_TEXT = 32 };
/* Shortest exact text: "2", "0.5", "-1.25". Returns out. */
char *wr_res_units_format(int64_t units, char out[WR_RES_UNITS_TEXT]);

/* Whole lists. An empty text is the empty vector; an amount of 0 leaves the name out. Fails: INVALID (also
 * a name given twice), LIMIT (more than WR_RES_MAX names, text too long), NO_MEMORY. */
WR_MUST_USE wr_status wr_res_parse(wr_res_names *names, wr_span text, wr_res *out, wr_error *err);
/* Names in alphabetical order, so equal vectors give equal text in every process. Writes at most `size`
 * bytes with the final zero. Returns the length without it. Fails: LIMIT (does not fit; out is ""). */
WR_MUST_USE wr_status wr_res_format(const wr_res_names *names, const wr_res *res, char *out, size_t size,
                                    uint32_t *out_bytes, wr_error *err);

int64_t wr_res_get(const wr_res *res, uint32_t name); /* 0 when it is not there */
/* Sets one amount; 0 removes it. Fails: LIMIT (no place for one more name). */
WR_MUST_USE wr_status wr_res_set(wr_res *res, uint32_t name, int64_t units, wr_error *err);
/* res += times * what, res -= times * what. Fails: LIMIT (names), res is unchanged then. */
WR_MUST_USE wr_status wr_res_add(wr_res *res, const wr_res *what, int64_t times, wr_error *err);
WR_MUST_USE wr_status wr_res_sub(wr_res *res, const wr_res *what, int64_t times, wr_error *err);
bool wr_res_fits(const wr_res *available, const wr_res *need); /* each need <= available */
/* How often need fits into available; limit when need is empty. 0 to limit. */
uint32_t wr_res_fits_times(const wr_res *available, const wr_res *need, uint32_t limit);
bool wr_res_equal(const wr_res *a, const wr_res *b);
bool wr_res_is_empty(const wr_res *res);

/* Which devices. A request of 1 or more must be whole and takes free devices alone; one below 1 takes a
 * part of one device, the fullest that still has room, so that whole devices stay free. */
typedef struct wr_gpus {
    uint32_t count;
    int64_t free_units[WR_GPUS_MAX]; /* 0 to WR_RES_UNIT */
} wr_gpus;

typedef struct wr_gpu_share {
    uint64_t devices;   /* bit i: device i was given */
    int64_t units_each; /* of each of them; WR_RES_UNIT = whole */
} wr_gpu_share;         /* zeroed: none */

void wr_gpus_init(wr_gpus *gpus, uint32_t count); /* all free; count <= WR_GPUS_MAX */
/* units = 0 gives an empty share. Fails: INVALID (negative, or above 1 and not whole), AGAIN (no room now).
 */
WR_MUST_USE wr_status wr_gpus_take(wr_gpus *gpus, int64_t units, wr_gpu_share *out, wr_error *err);
void wr_gpus_give(wr_gpus *gpus, const wr_gpu_share *share); /* exactly what take gave */
/* "0,3" as in CUDA_VISIBLE_DEVICES; "" for none. Returns out. */
char *wr_gpu_share_format(const wr_gpu_share *share, char out[4 * WR_GPUS_MAX]);

WR_END_DECLS

/* The inner loops of a rollout: random numbers, actions, records, and the ends of episodes. */
#include "rl/nn/kernel_set.h"

static void uniform(uint64_t seed, uint32_t purpose, uint64_t step, uint32_t first, uint32_t count,
                    uint32_t blocks, size_t stride, float *rows) {
    for (uint32_t block = 0; block < blocks; block++) {
        for (uint32_t i = 0; i < wr_pad(count); i += LANES) {
            vword c[4] = {(vword)lane_index(first + i), splat_word((uint32_t)step),
                          splat_word((uint32_t)(step >> 32) ^ block << 16), splat_word(purpose)};
            philox(c, seed);
            for (uint32_t k = 0; k < 4; k++) {
                store(rows + (4 * block + k) * stride + i, unit_float(c[k]));
            }
        }
    }
}

static void words(uint64_t seed, uint32_t purpose, uint32_t c1, uint32_t c2, uint32_t first, uint32_t count,
                  uint32_t *out) {
    for (uint32_t n = 0; n < count / 4; n += LANES) {
        vword c[4] = {(vword)lane_index(first + n), splat_word(c1), splat_word(c2), splat_word(purpose)};
        philox(c, seed);
        /* Word k of group n goes to out[4 n + k], whatever the number of lanes. */
        vfloat r[LANES];
        for (int k = 0; k < LANES; k++) {
            r[k] = (vfloat)c[k % 4];
        }
        transpose_square(r);
        for (uint32_t k = 0; k < LANES; k++) {
            memcpy(out + 4 * (size_t)(n + k), &r[k], 16);
        }
    }
}

static void act(uint32_t action_count, const float *out, const float *uniform_row, uint32_t count,
                float *action, float *logp) {
    const size_t row = WR_TILE;
    for (uint32_t i = 0; i < wr_pad(count); i += LANES) {
        vfloat top = load(out + i);
        vfloat best = splat(0);
        for (uint32_t o = 1; o < action_count; o++) {
            vfloat y = load(out + o * row + i);
            best = pick(y > top, splat((float)o), best);
            top = vmax(top, y);
        }
        vfloat total = splat(0);
        for (uint32_t o = 0; o < action_count; o++) {
            total += vexp(load(out + o * row + i) - top);
        }
        vfloat log_total = top + vlog(total);
        vfloat below = splat(0), drawn = splat(0);
        vfloat u = uniform_row == NULL ? splat(0) : load(uniform_row + i);
        for (uint32_t o = 0; o < action_count; o++) {
            vfloat l = load(out + o * row + i) - log_total;
            store(logp + o * row + i, l);
            below += vexp(l);
            if (o + 1 < action_count) { /* the last takes what rounding leaves */
                drawn += pick(u >= below, splat(1), splat(0));
            }
        }
        store(action + i, uniform_row == NULL ? best : drawn);
    }
}

static void record(const float *fields, uint32_t record_floats, uint32_t count, float *records) {
    for (uint32_t i = 0; i < count; i += LANES) {
        const uint32_t columns = count - i < LANES ? count - i : LANES;
        for (uint32_t f = 0; f < record_floats; f += LANES) {
            vfloat r[LANES];
            for (uint32_t k = 0; k < LANES; k++) {
                r[k] = load(fields + (f + k) * (size_t)WR_TILE + i);
            }
            transpose_square(r);
            float *to = records + (size_t)i * record_floats + f;
            if (columns == LANES) {
                for (uint32_t k = 0; k < LANES; k++) {
                    store(to + k * (size_t)record_floats, r[k]);
                }
            } else {
                for (uint32_t k = 0; k < columns; k++) {
                    store(to + k * (size_t)record_floats, r[k]);
                }
            }
        }
    }
}

static uint32_t ends(uint32_t count, uint32_t steps_max, const float *reward, const float *terminated,
                     float *length, float *ret, float *ended, float *truncated) {
    vint any_ended = {0}, any_truncated = {0};
    /* Padding columns count too: they start anew as others do, and so stay finite. */
    for (uint32_t i = 0; i < wr_pad(count); i += LANES) {
        vfloat steps = load(length + i) + 1.0f;
        vint own = load(terminated + i) > 0.0f;
        vint cut = (steps >= (float)steps_max) & ~own;
        store(length + i, steps);
        store(ret + i, load(ret + i) + load(reward + i));
        store(ended + i, pick(own | cut, splat(1), splat(0)));
        store(truncated + i, pick(cut, splat(1), splat(0)));
        any_ended |= own | cut;
        any_truncated |= cut;
    }
    return (any_lane(any_ended) ? 1u : 0) | (any_lane(any_truncated) ? 2u : 0);
}

static void blend(uint32_t count, uint32_t rows, size_t stride, const float *mask, const float *src,
                  float *dst) {
    for (uint32_t i = 0; i < wr_pad(count); i += LANES) {
        vint take = load(mask + i) > 0.0f;
        for (uint32_t k = 0; k < rows; k++) {
            store(dst + k * stride + i, pick(take, load(src + k * stride + i), load(dst + k * stride + i)));
        }
    }
}

static void transpose_rows(const float *rows, uint32_t row_count, size_t stride, uint32_t count, float *out) {
    if (row_count == 4) { /* the compiler makes shuffles of it */
        const float *a = rows, *b = rows + stride, *c = rows + 2 * stride, *d = rows + 3 * stride;
        for (uint32_t i = 0; i < count; i++) {
            out[4 * (size_t)i] = a[i];
            out[4 * (size_t)i + 1] = b[i];
            out[4 * (size_t)i + 2] = c[i];
            out[4 * (size_t)i + 3] = d[i];
        }
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < row_count; k++) {
            out[(size_t)i * row_count + k] = rows[k * stride + i];
        }
    }
}

void WR_KERNEL(wr_kernel_set_rollout)(wr_kernels *out) {
    out->uniform = uniform;
    out->words = words;
    out->act = act;
    out->record = record;
    out->ends = ends;
    out->blend = blend;
    out->transpose_rows = transpose_rows;
}

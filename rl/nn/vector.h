/* rl/nn/vector.h: vectors of WR_LANES floats, and the arithmetic that the kernels share.
 *
 * Only kernel sources (*_kernels.c) include this. Each is compiled once per instruction set with
 * WR_LANES and WR_KERNEL_SET given by the build: 4 lanes (SSE2 or NEON), 8 (AVX2), 16 (AVX-512). A
 * vector is as wide as a register, never wider: the compiler keeps wider ones in memory.
 *
 * V1. What is computed for a column or row depends on that column or row alone.
 * V2. No estimates (reciprocal, square root): bits do not depend on the maker of the processor.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if !defined(WR_LANES) || !defined(WR_KERNEL_SET)
#error "kernel sources are compiled by rl/CMakeLists.txt, with WR_LANES and WR_KERNEL_SET"
#endif

#define WR_PASTE_(a, b) a##_##b
#define WR_PASTE(a, b) WR_PASTE_(a, b)
/* The name of a kernel in this compilation: wr_gae -> wr_gae_avx512. */
#define WR_KERNEL(name) WR_PASTE(name, WR_KERNEL_SET)

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE static __attribute__((noinline))

enum { LANES = WR_LANES, VECTOR_BYTES = 4 * WR_LANES };

typedef float vfloat __attribute__((vector_size(VECTOR_BYTES)));
typedef float vfloat_any __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef int32_t vint __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t vword __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t vword_any __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef uint64_t vlong __attribute__((vector_size(VECTOR_BYTES)));

ALWAYS_INLINE vfloat load(const float *p) {
    return *(const vfloat_any *)p;
}

ALWAYS_INLINE void store(float *p, vfloat x) {
    *(vfloat_any *)p = x;
}

ALWAYS_INLINE vfloat splat(float x) {
    return (vfloat){0} + x;
}

ALWAYS_INLINE vword splat_word(uint32_t x) {
    return (vword){0} + x;
}

ALWAYS_INLINE vfloat pick(vint mask, vfloat yes, vfloat no) {
    return (vfloat)(((vint)yes & mask) | ((vint)no & ~mask));
}

/* a < b ? a : b and a > b ? a : b, by lane: one instruction on x86. */
#if defined(__AVX512F__)
#define VECTOR_INTRINSIC(name) _mm512_##name
typedef __m512 vnative;
#elif defined(__AVX2__)
#define VECTOR_INTRINSIC(name) _mm256_##name
typedef __m256 vnative;
#elif defined(__SSE2__)
#define VECTOR_INTRINSIC(name) _mm_##name
typedef __m128 vnative;
#endif

#if defined(VECTOR_INTRINSIC)
ALWAYS_INLINE vfloat vmin(vfloat a, vfloat b) {
    return (vfloat)VECTOR_INTRINSIC(min_ps)((vnative)a, (vnative)b);
}

ALWAYS_INLINE vfloat vmax(vfloat a, vfloat b) {
    return (vfloat)VECTOR_INTRINSIC(max_ps)((vnative)a, (vnative)b);
}
#else
ALWAYS_INLINE vfloat vmin(vfloat a, vfloat b) {
    return pick(a < b, a, b);
}

ALWAYS_INLINE vfloat vmax(vfloat a, vfloat b) {
    return pick(a > b, a, b);
}
#endif

ALWAYS_INLINE vfloat vclamp(vfloat x, float low, float high) {
    return vmax(vmin(x, splat(high)), splat(low));
}

ALWAYS_INLINE vfloat to_float(vint x) {
    return __builtin_convertvector(x, vfloat);
}

ALWAYS_INLINE vint to_int(vfloat x) {
    return __builtin_convertvector(x, vint);
}

/* The lanes' own numbers, from `first`. */
ALWAYS_INLINE vint lane_index(uint32_t first) {
    vint r;
    for (int i = 0; i < LANES; i++) {
        r[i] = i;
    }
    return r + (int32_t)first;
}

/* Sum of the lanes, always in the same order. */
ALWAYS_INLINE float sum_lanes(vfloat x) {
    float s = 0;
    for (int i = 0; i < LANES; i++) {
        s += x[i];
    }
    return s;
}

ALWAYS_INLINE bool any_lane(vint mask) {
    vlong m = (vlong)mask;
    uint64_t any = 0;
    for (int i = 0; i < LANES / 2; i++) {
        any |= m[i];
    }
    return any != 0;
}

/* Square roots by lane; one instruction per vector where the machine has it. */
ALWAYS_INLINE vfloat vsqrt(vfloat x) {
    vfloat r;
    for (int i = 0; i < LANES; i++) {
        r[i] = __builtin_sqrtf(x[i]);
    }
    return r;
}

/* tanh by a rational function of degrees 13 and 6 on [-7.905, 7.905], past which float tanh is +-1;
 * absolute error below 3e-7. The coefficients come from memory each time: kept in registers over a loop, they
 * would push the accumulators of a matrix product out. */
static const float tanh_terms[12] = {7.90531110763549805f,   -2.76076847742355e-16f, 2.00018790482477e-13f,
                                     -8.60467152213735e-11f, 5.12229709037114e-08f,  1.48572235717979e-05f,
                                     6.37261928875436e-04f,  4.89352455891786e-03f,  1.19825839466702e-06f,
                                     1.18534705686654e-04f,  2.26843463243900e-03f,  4.89352518554385e-03f};

ALWAYS_INLINE vfloat vtanh(vfloat x) {
    const float *c = tanh_terms;
    __asm__ volatile("" : "+r"(c)); /* a new pointer, for all that the compiler knows */
    x = vclamp(x, -c[0], c[0]);
    vfloat q = x * x;
    vfloat p = q * c[1] + c[2];
    p = p * q + c[3];
    p = p * q + c[4];
    p = p * q + c[5];
    p = p * q + c[6];
    p = p * q + c[7];
    vfloat d = q * c[8] + c[9];
    d = d * q + c[10];
    d = d * q + c[11];
    return p * x / d;
}

/* exp by 2^n times a polynomial of degree 7 on +-ln2/2 (Cephes); relative error below 2e-7; arguments
 * are cut at +-87, so the result is finite and > 0. */
ALWAYS_INLINE vfloat vexp(vfloat x) {
    const float round_to_int =
        12582912.0f; /* 1.5 * 2^23: adding it leaves the rounded integer in the low bits */
    x = vclamp(x, -87.0f, 87.0f);
    vfloat n = x * 1.44269504f + round_to_int;
    vint exponent = (vint)n;
    n = n - round_to_int;
    vfloat r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vfloat p = splat(1.9875691500e-4f) * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return (vfloat)((vint)p + (exponent << 23));
}

/* Natural logarithm of normal x > 0 (Cephes); relative error below 2e-7. */
ALWAYS_INLINE vfloat vlog(vfloat x) {
    vint bits = (vint)x;
    vint exponent = (bits - 0x3f3504f3) >> 23;
    vfloat m = (vfloat)(bits - (exponent << 23)) - 1.0f;
    vfloat q = m * m;
    vfloat p = splat(7.0376836292e-2f) * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    return m + (p * m * q - 0.5f * q) + to_float(exponent) * 0.693147181f;
}

/* High and low words of 32 x 32 bit products. */
ALWAYS_INLINE void multiply_wide(vword a, uint32_t m, vword *high, vword *low) {
    vlong mask = (vlong){0} + 0xffffffffull;
    vlong factor = (vlong){0} + m;
    vlong even = ((vlong)a & mask) * factor;
    vlong odd = ((vlong)a >> 32) * factor;
    *low = a * m;
    *high = (vword)((even >> 32) | (odd & ~mask));
}

/* Philox 4x32 with 10 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): each
 * lane turns its own counter of four words into four random words. */
ALWAYS_INLINE void philox(vword c[4], uint64_t key) {
    uint32_t k0 = (uint32_t)key;
    uint32_t k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        vword h0, l0, h1, l1;
        multiply_wide(c[0], 0xD2511F53u, &h0, &l0);
        multiply_wide(c[2], 0xCD9E8D57u, &h1, &l1);
        vword a = h1 ^ c[1] ^ k0;
        vword b = h0 ^ c[3] ^ k1;
        c[0] = a;
        c[1] = l1;
        c[2] = b;
        c[3] = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* The upper 24 bits as a float in [0, 1). */
ALWAYS_INLINE vfloat unit_float(vword x) {
    return to_float((vint)(x >> 8)) * (1.0f / 16777216.0f);
}

/* MIX(s): of vectors a and b, blocks of s lanes alternate: LOW takes the even blocks of both, HIGH the odd.
 */
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#if WR_LANES == 16
#define LOW8(a, b) MIX(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define HIGH8(a, b) MIX(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define LOW4(a, b) MIX(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define HIGH4(a, b) MIX(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define LOW2(a, b) MIX(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH2(a, b) MIX(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define LOW1(a, b) MIX(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
#define HIGH1(a, b) MIX(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)
#elif WR_LANES == 8
#define LOW4(a, b) MIX(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH4(a, b) MIX(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#define LOW2(a, b) MIX(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH2(a, b) MIX(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define LOW1(a, b) MIX(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
#define HIGH1(a, b) MIX(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
#elif WR_LANES == 4
#define LOW2(a, b) MIX(a, b, 0, 1, 4, 5)
#define HIGH2(a, b) MIX(a, b, 2, 3, 6, 7)
#define LOW1(a, b) MIX(a, b, 0, 4, 2, 6)
#define HIGH1(a, b) MIX(a, b, 1, 5, 3, 7)
#else
#error "WR_LANES is 4, 8 or 16"
#endif

/* One step of the transpose: rows that are `half` apart exchange blocks of `half` lanes. */
#define EXCHANGE(half, LOW, HIGH)                                                                            \
    for (int base = 0; base < LANES; base += 2 * (half)) {                                                   \
        for (int i = base; i < base + (half); i++) {                                                         \
            vfloat low = LOW(r[i], r[i + (half)]);                                                           \
            r[i + (half)] = HIGH(r[i], r[i + (half)]);                                                       \
            r[i] = low;                                                                                      \
        }                                                                                                    \
    }

/* Transposes a square of LANES x LANES in registers. */
ALWAYS_INLINE void transpose_square(vfloat r[LANES]){
#if WR_LANES >= 16
    EXCHANGE(8, LOW8, HIGH8)
#endif
#if WR_LANES >= 8
        EXCHANGE(4, LOW4, HIGH4)
#endif
            EXCHANGE(2, LOW2, HIGH2) EXCHANGE(1, LOW1, HIGH1)}

/* Lane i of the result is the sum of r[i]; destroys r. The order of the sum is the same for every i. */
ALWAYS_INLINE vfloat sum_each(vfloat r[LANES]) {
#define FOLD(half, LOW, HIGH)                                                                                \
    for (int i = 0; i < (half); i++) {                                                                       \
        r[i] = LOW(r[i], r[i + (half)]) + HIGH(r[i], r[i + (half)]);                                         \
    }
#if WR_LANES >= 16
    FOLD(8, LOW8, HIGH8)
#endif
#if WR_LANES >= 8
    FOLD(4, LOW4, HIGH4)
#endif
    FOLD(2, LOW2, HIGH2)
    FOLD(1, LOW1, HIGH1)
#undef FOLD
    return r[0];
}

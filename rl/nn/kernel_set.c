/* One instruction set's table: this file, too, is compiled once per set. */
#include "rl/nn/kernel_set.h"

#include "rl/nn/mlp_kernels.h"

#define NAME_(x) #x
#define NAME(x) NAME_(x)

/* Ten chains, more than the latency of two units needs; named one by one so that they stay in registers. */
static float fma_loop(uint64_t turns) {
    const vfloat x = splat(0.999999f), y = splat(1e-7f);
    vfloat a = splat(1), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a;
    for (uint64_t n = 0; n < turns; n++) {
        a = a * x + y;
        b = b * x + y;
        c = c * x + y;
        d = d * x + y;
        e = e * x + y;
        f = f * x + y;
        g = g * x + y;
        h = h * x + y;
        i = i * x + y;
        j = j * x + y;
        /* The compiler may not merge the chains. */
#if defined(__x86_64__)
        __asm__ volatile(""
                         : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i),
                           "+v"(j));
#else
        __asm__ volatile(""
                         : "+w"(a), "+w"(b), "+w"(c), "+w"(d), "+w"(e), "+w"(f), "+w"(g), "+w"(h), "+w"(i),
                           "+w"(j));
#endif
    }
    return sum_lanes(a + b + c + d + e + f + g + h + i + j);
}

void WR_KERNEL(wr_kernel_set)(wr_kernels *out) {
    *out = (wr_kernels){.name = NAME(WR_KERNEL_SET),
                        .lanes = LANES,
                        .forward = WR_KERNEL(wr_mlp_forward),
                        .transpose = WR_KERNEL(wr_mlp_transpose),
                        .fma_loop = fma_loop};
    WR_KERNEL(wr_kernel_set_ppo)(out);
    WR_KERNEL(wr_kernel_set_rollout)(out);
    WR_KERNEL(wr_kernel_set_cartpole)(out);
}

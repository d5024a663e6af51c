/* One instruction set's table: this file, too, is compiled once per set. */
#include "rl/nn/kernel_set.h"

#include "rl/nn/mlp_kernels.h"

#define NAME_(x) #x
#define NAME(x) NAME_(x)

static float fma_loop(uint64_t turns) {
    vfloat c[10];
    for (int i = 0; i < 10; i++) {
        c[i] = splat(1.0f);
    }
    vfloat x = splat(0.999999f);
    vfloat y = splat(1e-7f);
    for (uint64_t n = 0; n < turns; n++) {
        for (int i = 0; i < 10; i++) {
            c[i] = c[i] * x + y;
        }
#if defined(__x86_64__)
        __asm__ volatile("" : "+x"(c[0]), "+x"(c[1]), "+x"(c[2]), "+x"(c[3]), "+x"(c[4]));
        __asm__ volatile("" : "+x"(c[5]), "+x"(c[6]), "+x"(c[7]), "+x"(c[8]), "+x"(c[9]));
#else
        __asm__ volatile("" : "+w"(c[0]), "+w"(c[1]), "+w"(c[2]), "+w"(c[3]), "+w"(c[4]));
        __asm__ volatile("" : "+w"(c[5]), "+w"(c[6]), "+w"(c[7]), "+w"(c[8]), "+w"(c[9]));
#endif
    }
    float sum = 0;
    for (int i = 0; i < 10; i++) {
        sum += sum_lanes(c[i]);
    }
    return sum;
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

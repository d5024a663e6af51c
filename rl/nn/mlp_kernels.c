#include "rl/nn/mlp_kernels.h"

/* Register block: as many columns and rows as the registers hold beside one row of B and a factor. */
#if WR_LANES == 16
enum { COLUMN_VECTORS_MAX = 4 };
#elif WR_LANES == 8
enum { COLUMN_VECTORS_MAX = 2 };
#elif defined(__aarch64__)
enum { COLUMN_VECTORS_MAX = 4 };
#else
enum { COLUMN_VECTORS_MAX = 2 };
#endif

typedef enum block_mode {
    BLOCK_FORWARD,    /* C = activation(bias + A B) */
    BLOCK_ACCUMULATE, /* C += A B */
    BLOCK_BACKWARD,   /* C = (A B) * activation'(H); bias gradient += column sums of C */
} block_mode;

/* Element (row, k) of A lies at a[row * row_step + k * k_step]. */
typedef struct matrix_args {
    const float *a;
    size_t row_step, k_step;
    const float *b; /* [inner][columns] */
    const float *bias;
    const float *hidden; /* H, as C */
    float *c;            /* [rows][columns] */
    float *bias_grad;
    size_t rows, columns, inner;
} matrix_args;

ALWAYS_INLINE vfloat activate(wr_rl_activation kind, vfloat x) {
    return kind == WR_RL_TANH ? vtanh(x) : kind == WR_RL_RELU ? vmax(x, splat(0)) : x;
}

/* d times the activation's derivative, from the activation's output h. */
ALWAYS_INLINE vfloat activation_gradient(wr_rl_activation kind, vfloat d, vfloat h) {
    return kind == WR_RL_TANH ? d - d * h * h : kind == WR_RL_RELU ? pick(h > 0.0f, d, splat(0)) : d;
}

/* `height` rows by `width` vectors, from row i and column j; both are constants where this is inlined. */
ALWAYS_INLINE void multiply_block(int height, int width, block_mode mode, wr_rl_activation kind,
                                  const matrix_args *m, size_t i, size_t j) {
    vfloat c[16][4];
    const size_t stride = m->columns;
    const float *a = m->a + i * m->row_step;
    const float *b = m->b + j;
    float *out = m->c + i * stride + j;
    for (int r = 0; r < height; r++) {
        for (int v = 0; v < width; v++) {
            c[r][v] = mode == BLOCK_ACCUMULATE ? load(out + (size_t)r * stride + (size_t)(v * LANES))
                      : mode == BLOCK_FORWARD  ? load(m->bias + j + (size_t)(v * LANES))
                                               : splat(0);
        }
    }
    for (size_t k = 0; k < m->inner; k++) {
        vfloat row[4];
        for (int v = 0; v < width; v++) {
            row[v] = load(b + k * stride + (size_t)(v * LANES));
        }
        for (int r = 0; r < height; r++) {
            vfloat x = splat(a[(size_t)r * m->row_step + k * m->k_step]);
            for (int v = 0; v < width; v++) {
                c[r][v] += x * row[v];
            }
        }
    }
    if (mode == BLOCK_BACKWARD) {
        for (int v = 0; v < width; v++) {
            vfloat sum = load(m->bias_grad + j + (size_t)(v * LANES));
            for (int r = 0; r < height; r++) {
                vfloat h = load(m->hidden + (i + (size_t)r) * stride + j + (size_t)(v * LANES));
                c[r][v] = activation_gradient(kind, c[r][v], h);
                sum += c[r][v];
            }
            store(m->bias_grad + j + (size_t)(v * LANES), sum);
        }
    }
    for (int r = 0; r < height; r++) {
        for (int v = 0; v < width; v++) {
            store(out + (size_t)r * stride + (size_t)(v * LANES),
                  mode == BLOCK_FORWARD ? activate(kind, c[r][v]) : c[r][v]);
        }
    }
}

#define ROWS_OF(height)                                                                                      \
    for (; i + (height) <= m->rows; i += (height)) {                                                         \
        multiply_block(height, width, mode, kind, m, i, j);                                                  \
    }

ALWAYS_INLINE void multiply_columns(int width, block_mode mode, wr_rl_activation kind, const matrix_args *m,
                                    size_t j) {
    size_t i = 0;
    if (width == COLUMN_VECTORS_MAX) {
        ROWS_OF(6)
    } else if (width == 3) {
        ROWS_OF(8)
    } else if (width == 2) {
        ROWS_OF(12)
    } else {
        ROWS_OF(16)
    }
    ROWS_OF(4)
    ROWS_OF(2)
    ROWS_OF(1)
}

ALWAYS_INLINE void multiply(block_mode mode, wr_rl_activation kind, const matrix_args *m) {
    size_t j = 0;
    for (; j + (size_t)(COLUMN_VECTORS_MAX * LANES) <= m->columns;
         j += (size_t)(COLUMN_VECTORS_MAX * LANES)) {
        multiply_columns(COLUMN_VECTORS_MAX, mode, kind, m, j);
    }
#if WR_LANES == 16 /* narrower sets have blocks of 8 or 16 columns, which leave no rest */
    switch ((m->columns - j) / LANES) {
    case 3:
        multiply_columns(3, mode, kind, m, j);
        break;
    case 2:
        multiply_columns(2, mode, kind, m, j);
        break;
    case 1:
        multiply_columns(1, mode, kind, m, j);
        break;
    default:
        break;
    }
#endif
}

/* A copy for each activation and each stride of A, with the stride a constant. */
#define FORWARD_LAYER(name, kind)                                                                            \
    NEVER_INLINE void name##_from_columns(matrix_args m) { /* first layer: A is rows of features */          \
        m.row_step = 1;                                                                                      \
        multiply(BLOCK_FORWARD, kind, &m);                                                                   \
    }                                                                                                        \
    NEVER_INLINE void name##_from_rows(matrix_args m) {                                                      \
        m.k_step = 1;                                                                                        \
        multiply(BLOCK_FORWARD, kind, &m);                                                                   \
    }
FORWARD_LAYER(forward_tanh, WR_RL_TANH)
FORWARD_LAYER(forward_relu, WR_RL_RELU)
FORWARD_LAYER(forward_linear, WR_RL_LINEAR)

static void (*const forward_first[3])(matrix_args) = {forward_tanh_from_columns, forward_relu_from_columns,
                                                      forward_linear_from_columns};
static void (*const forward_next[3])(matrix_args) = {forward_tanh_from_rows, forward_relu_from_rows,
                                                     forward_linear_from_rows};

#define BACKWARD_INPUT(name, kind)                                                                           \
    NEVER_INLINE void name(matrix_args m) {                                                                  \
        m.k_step = 1;                                                                                        \
        multiply(BLOCK_BACKWARD, kind, &m);                                                                  \
    }
BACKWARD_INPUT(backward_tanh, WR_RL_TANH)
BACKWARD_INPUT(backward_relu, WR_RL_RELU)
BACKWARD_INPUT(backward_linear, WR_RL_LINEAR)
static void (*const backward_input[3])(matrix_args) = {backward_tanh, backward_relu, backward_linear};

NEVER_INLINE void weight_gradient(matrix_args m) {
    m.row_step = 1;
    multiply(BLOCK_ACCUMULATE, WR_RL_LINEAR, &m);
}

NEVER_INLINE void weight_gradient_first(matrix_args m) { /* A's inner index runs along a row of features */
    m.k_step = 1;
    multiply(BLOCK_ACCUMULATE, WR_RL_LINEAR, &m);
}

/* LANES samples of one head: dot products, reduced together. */
ALWAYS_INLINE void head_lanes(uint32_t outputs, size_t vectors, const float *hidden, const float *weights,
                              const float *bias, float *out) {
    const size_t width = vectors * LANES;
    for (uint32_t o = 0; o < outputs; o++) {
        vfloat sum[LANES];
        for (int i = 0; i < LANES; i++) {
            vfloat s = splat(0);
            for (size_t j = 0; j < vectors; j++) {
                s += load(hidden + (size_t)i * width + j * LANES) * load(weights + o * width + j * LANES);
            }
            sum[i] = s;
        }
        store(out + o * (size_t)WR_TILE, sum_each(sum) + bias[o]);
    }
}

NEVER_INLINE void head_forward(uint32_t outputs, uint32_t width, uint32_t count, const float *hidden,
                               const float *weights, const float *bias, float *out) {
    for (size_t i = 0; i < count; i += LANES) {
        const float *h = hidden + i * width;
        if (width == 64) {
            head_lanes(outputs, 64 / LANES, h, weights, bias, out + i);
        } else if (width == 32) {
            head_lanes(outputs, 32 / LANES, h, weights, bias, out + i);
        } else {
            head_lanes(outputs, width / LANES, h, weights, bias, out + i);
        }
    }
}

/* Without hidden layers: the head reads rows of features. */
NEVER_INLINE void head_forward_features(const wr_net_tower *t, const float *params, const float *obs,
                                        size_t obs_stride, uint32_t count, float *out) {
    for (uint32_t o = 0; o < t->outputs; o++) {
        const float *w = params + t->head + (size_t)o * t->head_in_pad;
        for (size_t i = 0; i < count; i += LANES) {
            vfloat s = splat(params[t->head_bias + o]);
            for (uint32_t k = 0; k < t->head_in; k++) {
                s += load(obs + k * obs_stride + i) * w[k];
            }
            store(out + o * (size_t)WR_TILE + i, s);
        }
    }
}

void WR_KERNEL(wr_mlp_forward)(const wr_net *net, const float *params, wr_scratch *s, const float *obs,
                               size_t obs_stride, uint32_t count) {
    for (uint32_t z = 0; z < net->towers; z++) {
        const wr_net_tower *t = &net->tower[z];
        float *out = s->out + t->first_output * (size_t)WR_TILE;
        if (t->layers == 0) {
            head_forward_features(t, params, obs, obs_stride, count, out);
            continue;
        }
        forward_first[net->activation]((matrix_args){.a = obs,
                                                     .k_step = obs_stride,
                                                     .b = params + t->weights[0],
                                                     .bias = params + t->bias[0],
                                                     .c = s->hidden[z][0],
                                                     .rows = count,
                                                     .columns = t->out_pad[0],
                                                     .inner = t->in[0]});
        for (uint32_t l = 1; l < t->layers; l++) {
            forward_next[net->activation]((matrix_args){.a = s->hidden[z][l - 1],
                                                        .row_step = t->in_pad[l],
                                                        .b = params + t->weights[l],
                                                        .bias = params + t->bias[l],
                                                        .c = s->hidden[z][l],
                                                        .rows = count,
                                                        .columns = t->out_pad[l],
                                                        .inner = t->in_pad[l]});
        }
        head_forward(t->outputs, t->head_in_pad, count, s->hidden[z][t->layers - 1], params + t->head,
                     params + t->head_bias, out);
    }
}

/* A head's backward pass for up to 4 outputs, fused with the last hidden layer's derivative: adds to the
 * head's gradient; first: sets delta, else adds to it; last: applies the derivative, adds the bias gradient.
 */
ALWAYS_INLINE void head_backward_group(int outputs, bool first, bool last, wr_rl_activation kind,
                                       size_t width, size_t count, const float *hidden, const float *out_grad,
                                       const float *weights, float *weight_grad, float *bias_grad,
                                       float *delta) {
    for (size_t j = 0; j < width; j += LANES) {
        vfloat g[4], w[4], bias_sum = load(bias_grad + j);
        for (int o = 0; o < outputs; o++) {
            g[o] = load(weight_grad + (size_t)o * width + j);
            w[o] = load(weights + (size_t)o * width + j);
        }
        for (size_t i = 0; i < count; i++) {
            vfloat h = load(hidden + i * width + j);
            vfloat d = first ? splat(0) : load(delta + i * width + j);
            for (int o = 0; o < outputs; o++) {
                vfloat y = splat(out_grad[(size_t)o * WR_TILE + i]);
                g[o] += y * h;
                d += y * w[o];
            }
            if (last) {
                d = activation_gradient(kind, d, h);
                bias_sum += d;
            }
            store(delta + i * width + j, d);
        }
        store(bias_grad + j, bias_sum);
        for (int o = 0; o < outputs; o++) {
            store(weight_grad + (size_t)o * width + j, g[o]);
        }
    }
}

#define HEAD_GROUP(n, first, last)                                                                           \
    head_backward_group(n, first, last, kind, width, count, hidden, out_grad, weights, weight_grad,          \
                        bias_grad, delta)

ALWAYS_INLINE void head_backward_kind(wr_rl_activation kind, uint32_t outputs, size_t width, size_t count,
                                      const float *hidden, const float *out_grad, const float *weights,
                                      float *weight_grad, float *bias_grad, float *delta) {
    switch (outputs) { /* the common heads in one pass */
    case 1:
        HEAD_GROUP(1, true, true);
        return;
    case 2:
        HEAD_GROUP(2, true, true);
        return;
    case 3:
        HEAD_GROUP(3, true, true);
        return;
    default:
        break;
    }
    for (uint32_t done = 0; done < outputs;) {
        uint32_t left = outputs - done;
        if (done == 0) {
            HEAD_GROUP(2, true, false);
            done += 2;
        } else if (left > 1) {
            HEAD_GROUP(1, false, false);
            done += 1;
        } else {
            HEAD_GROUP(1, false, true);
            done += 1;
        }
        size_t step = done == 2 ? 2 : 1;
        out_grad += step * WR_TILE;
        weights += step * width;
        weight_grad += step * width;
    }
}

NEVER_INLINE void head_backward(wr_rl_activation kind, uint32_t outputs, size_t width, size_t count,
                                const float *hidden, const float *out_grad, const float *weights,
                                float *weight_grad, float *bias_grad, float *delta) {
    if (kind == WR_RL_TANH) {
        head_backward_kind(WR_RL_TANH, outputs, width, count, hidden, out_grad, weights, weight_grad,
                           bias_grad, delta);
    } else if (kind == WR_RL_RELU) {
        head_backward_kind(WR_RL_RELU, outputs, width, count, hidden, out_grad, weights, weight_grad,
                           bias_grad, delta);
    } else {
        head_backward_kind(WR_RL_LINEAR, outputs, width, count, hidden, out_grad, weights, weight_grad,
                           bias_grad, delta);
    }
}

void WR_KERNEL(wr_mlp_backward)(const wr_net *net, const float *params, wr_scratch *s, const float *obs,
                                size_t obs_stride, uint32_t count, float *grad) {
    for (uint32_t z = 0; z < net->towers; z++) {
        const wr_net_tower *t = &net->tower[z];
        const float *out_grad = s->out_grad + t->first_output * (size_t)WR_TILE;
        for (uint32_t o = 0; o < t->outputs; o++) {
            vfloat sum = splat(0);
            for (size_t i = 0; i < count; i += LANES) {
                sum += load(out_grad + o * (size_t)WR_TILE + i);
            }
            grad[t->head_bias + o] += sum_lanes(sum);
        }
        if (t->layers == 0) {
            for (uint32_t o = 0; o < t->outputs; o++) {
                for (uint32_t k = 0; k < t->head_in; k++) {
                    vfloat sum = splat(0);
                    for (size_t i = 0; i < count; i += LANES) {
                        sum += load(out_grad + o * (size_t)WR_TILE + i) * load(obs + k * obs_stride + i);
                    }
                    grad[t->head + (size_t)o * t->head_in_pad + k] += sum_lanes(sum);
                }
            }
            continue;
        }
        uint32_t last = t->layers - 1;
        float *delta = s->delta[0];
        float *next = s->delta[1];
        head_backward(net->activation, t->outputs, t->head_in_pad, count, s->hidden[z][last], out_grad,
                      params + t->head, grad + t->head, grad + t->bias[last], delta);
        for (uint32_t l = last; l > 0; l--) {
            weight_gradient((matrix_args){.a = s->hidden[z][l - 1],
                                          .k_step = t->in_pad[l],
                                          .b = delta,
                                          .c = grad + t->weights[l],
                                          .rows = t->in_pad[l],
                                          .columns = t->out_pad[l],
                                          .inner = count});
            backward_input[net->activation]((matrix_args){.a = delta,
                                                          .row_step = t->out_pad[l],
                                                          .b = s->transposed + t->transposed[l],
                                                          .c = next,
                                                          .hidden = s->hidden[z][l - 1],
                                                          .bias_grad = grad + t->bias[l - 1],
                                                          .rows = count,
                                                          .columns = t->in_pad[l],
                                                          .inner = t->out_pad[l]});
            float *swap = delta;
            delta = next;
            next = swap;
        }
        weight_gradient_first((matrix_args){.a = obs,
                                            .row_step = obs_stride,
                                            .b = delta,
                                            .c = grad + t->weights[0],
                                            .rows = t->in[0],
                                            .columns = t->out_pad[0],
                                            .inner = count});
    }
}

void WR_KERNEL(wr_mlp_transpose)(const wr_net *net, const float *params, wr_scratch *s) {
    for (uint32_t z = 0; z < net->towers; z++) {
        const wr_net_tower *t = &net->tower[z];
        for (uint32_t l = 1; l < t->layers; l++) {
            const float *from = params + t->weights[l];
            float *to = s->transposed + t->transposed[l];
            for (size_t i = 0; i < t->in_pad[l]; i += LANES) {
                for (size_t j = 0; j < t->out_pad[l]; j += LANES) {
                    vfloat r[LANES];
                    for (size_t k = 0; k < LANES; k++) {
                        r[k] = load(from + (i + k) * t->out_pad[l] + j);
                    }
                    transpose_square(r);
                    for (size_t k = 0; k < LANES; k++) {
                        store(to + (j + k) * t->in_pad[l] + i, r[k]);
                    }
                }
            }
        }
    }
}

/* CartPole: a pole on a cart, pushed left or right (Barto, Sutton and Anderson 1983), with the constants,
 * limits and explicit Euler step of Gymnasium's CartPole-v1. State rows: position, speed, angle, angular
 * speed. */
#include "rl/nn/kernel_set.h"

static const float gravity = 9.8f;
static const float mass_pole = 0.1f;
static const float mass_total = 1.1f;
static const float half_length = 0.5f;
static const float pole_moment = 0.05f; /* mass_pole * half_length */
static const float force = 10.0f;
static const float step_seconds = 0.02f;
static const float position_limit = 2.4f;
static const float angle_limit = 0.20943951023931953f; /* 12 degrees */

static void start(const wr_rl_env_batch *b) {
    for (uint32_t i = 0; i < wr_pad(b->count); i += LANES) {
        for (size_t k = 0; k < 4; k++) {
            size_t at = k * b->stride + i;
            store(b->state + at, load(b->uniform + at) * 0.1f - 0.05f);
        }
    }
}

static void step(const wr_rl_env_batch *b) {
    const float per_mass = 1.0f / mass_total;
    float *row[4];
    for (size_t k = 0; k < 4; k++) {
        row[k] = b->state + k * b->stride;
    }
    for (uint32_t i = 0; i < wr_pad(b->count); i += LANES) {
        vfloat x = load(row[0] + i), speed = load(row[1] + i), angle = load(row[2] + i),
               spin = load(row[3] + i);
        vfloat push = 2 * force * load(b->action + i) - force;
        /* An angle that is still in play is below 0.21 (one step more: 0.3): these series are exact to a bit.
         */
        vfloat q = angle * angle;
        vfloat sine = angle * (1.0f + q * (-1.0f / 6 + q * (1.0f / 120 - q * (1.0f / 5040))));
        vfloat cosine = 1.0f + q * (-0.5f + q * (1.0f / 24 + q * (-1.0f / 720 + q * (1.0f / 40320))));
        vfloat pushed = (push + pole_moment * spin * spin * sine) * per_mass;
        vfloat spin_gain = (gravity * sine - cosine * pushed) /
                           (half_length * (4.0f / 3.0f - mass_pole * cosine * cosine * per_mass));
        vfloat gain = pushed - pole_moment * spin_gain * cosine * per_mass;
        x += step_seconds * speed;
        speed += step_seconds * gain;
        angle += step_seconds * spin;
        spin += step_seconds * spin_gain;
        vint out =
            (x < -position_limit) | (x > position_limit) | (angle < -angle_limit) | (angle > angle_limit);
        store(row[0] + i, x);
        store(row[1] + i, speed);
        store(row[2] + i, angle);
        store(row[3] + i, spin);
        store(b->reward + i, splat(1));
        store(b->terminated + i, pick(out, splat(1), splat(0)));
    }
}

void WR_KERNEL(wr_kernel_set_cartpole)(wr_kernels *out) {
    out->cartpole_start = start;
    out->cartpole_step = step;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* norms: RMSNorm (Zhang and Sennrich, 2019), LayerNorm (Ba et al., 2016), and activations.
 *
 *     RMSNorm    x / sqrt(mean(x^2) + eps) * w      Gemma's: * (1 + w)
 *     LayerNorm  (x - mean(x)) / sqrt(var(x) + eps) * w + b, var over n
 *
 * Sums are in double. */
#include <math.h>
#include <stdlib.h>

#include "forward/engine.h"

void sc_norm_row(enum sc_norm kind, double eps, const float *w, const float *bias, const float *x,
                 size_t n, float *y)
{
    const bool centred = kind == SC_NORM_LAYER || kind == SC_NORM_PLAIN;
    double mean = 0, square = 0;

    for (size_t i = 0; centred && i < n; i++)
        mean += (double)x[i];
    mean /= (double)n;
    for (size_t i = 0; i < n; i++)
        square += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double scale = 1 / sqrt(square / (double)n + eps);
    for (size_t i = 0; i < n; i++) {
        double v = ((double)x[i] - mean) * scale;
        if (w)
            v *= kind == SC_NORM_RMS_PLUS_ONE ? 1 + (double)w[i] : (double)w[i];
        if (bias)
            v += (double)bias[i];
        y[i] = (float)v;
    }
}

struct norming {
    enum sc_norm kind;
    double eps;
    const float *w, *bias, *x;
    float *y;
    size_t width;
};

static void norm_one(void *ctx, size_t i)
{
    const struct norming *n = ctx;

    sc_norm_row(n->kind, n->eps, n->w, n->bias, n->x + i * n->width, n->width, n->y + i * n->width);
}

int sc_norm_run(struct sc_state *s, const struct sc_weight *w, const float *x, size_t width,
                float *y, struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    float *weights = NULL, *bias = NULL;
    int code = sc_tensor_floats(s, w->m.tensor, w->m.first, width, &weights, e);

    if (code == 0)
        code = sc_tensor_floats(s, w->bias, w->bias_first, width, &bias, e);
    struct norming n = {p->norm, p->eps, weights, bias, x, y, width};
    if (code == 0)
        sc_pool_for(s->r->pool, s->n_rows, norm_one, &n);
    free(weights);
    free(bias);
    return code;
}

/* ----------------------------------------------------------------------------- activations --- */

static float silu(float x)
{
    return x / (1 + expf(-x));
}

/* The approximation by tanh of Hendrycks and Gimpel, 2016. */
static float gelu_tanh(float x)
{
    const double v = (double)x;
    return (float)(0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v))));
}

static float gelu(float x)
{
    return (float)(0.5 * (double)x * (1 + erf((double)x * 0.7071067811865476)));
}

struct acting {
    enum sc_activation act;
    const float *up;
    float *gate;
    size_t width;
};

static void act_one(void *ctx, size_t row)
{
    const struct acting *a = ctx;
    float *gate = a->gate + row * a->width;
    const float *up = a->up ? a->up + row * a->width : NULL;

    for (size_t i = 0; i < a->width; i++) {
        const float x = gate[i];
        const float y = a->act == SC_ACT_SILU        ? silu(x)
                        : a->act == SC_ACT_GELU_TANH ? gelu_tanh(x)
                                                     : gelu(x);
        gate[i] = up ? y * up[i] : y;
    }
}

void sc_activate(const struct sc_state *s, const float *up, size_t n, size_t width, float *gate)
{
    struct acting a = {s->f->plan.activation, up, gate, width};

    sc_pool_for(s->r->pool, n, act_one, &a);
}

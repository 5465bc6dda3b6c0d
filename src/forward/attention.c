/* SPDX-License-Identifier: Apache-2.0 */
/* attention: causal attention of every stream, grouped heads, sliding windows, soft caps.
 *
 *     s[i, j] = q_i . k_j * scale        cap: cap * tanh(s / cap)
 *     p = softmax over j <= i, i - j < window        out_i = sum over j of p[i, j] v_j, in order */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forward/engine.h"

enum { QUERIES = 16 }; /* together: keys are read once for them */

struct attending {
    struct sc_state *s;
    const struct sc_layer *layer;
    float *q, *k, *v, *out;
    float *probabilities; /* (n x n) of the stream and head that are shown, or NULL */
    int *codes;           /* of each stream and head */
};

/* -------------------------------------------------------------------------------- one head --- */

static void soften(const struct sc_plan *p, float *score, size_t from, size_t to)
{
    float most = -INFINITY;
    double sum = 0;

    for (size_t j = from; j < to; j++) {
        score[j] *= (float)p->attention_scale;
        if (p->attention_cap > 0)
            score[j] = (float)(p->attention_cap * tanh((double)score[j] / p->attention_cap));
        most = SC_MAX(most, score[j]);
    }
    for (size_t j = from; j < to; j++) {
        score[j] = expf(score[j] - most);
        sum += (double)score[j];
    }
    for (size_t j = from; j < to; j++)
        score[j] = (float)((double)score[j] / sum);
}

static void one_head(void *ctx, size_t task)
{
    struct attending *a = ctx;
    const struct sc_plan *p = &a->s->f->plan;
    const struct sc_forward_facts *f = &p->facts;
    const struct sc_stream *st = &a->s->streams[task / f->heads];
    const size_t head = task % f->heads, kv = head / (f->heads / f->kv_heads);
    const size_t q_width = (size_t)f->heads * f->head_dim;
    const size_t k_width = (size_t)f->kv_heads * f->head_dim;
    const size_t v_width = (size_t)f->kv_heads * f->value_dim;
    const size_t o_width = (size_t)f->heads * f->value_dim, window = a->layer->window;
    const float *k = a->k + st->first * k_width + kv * f->head_dim;
    const float *v = a->v + st->first * v_width + kv * f->value_dim;
    float *scores = sc_floats(QUERIES, st->n);

    if (!scores) {
        a->codes[task] = SCRUPLE_EMEMORY;
        return;
    }
    for (size_t i0 = 0; i0 < st->n; i0 += QUERIES) {
        const size_t n = SC_MIN(st->n - i0, (size_t)QUERIES);
        const size_t least = window && i0 + 1 > window ? i0 + 1 - window : 0;
        sc_dots(&(struct sc_dots){.w = k + least * k_width,
                                  .x = a->q + (st->first + i0) * q_width + head * f->head_dim,
                                  .y = scores + least,
                                  .w_stride = k_width,
                                  .x_stride = q_width,
                                  .y_stride = st->n,
                                  .n_w = i0 + n - least,
                                  .n_x = n,
                                  .n = f->head_dim},
                a->s->level);
        for (size_t i = i0; i < i0 + n; i++) {
            const size_t from = window && i + 1 > window ? i + 1 - window : 0;
            float *score = scores + (i - i0) * st->n;
            float *out = a->out + (st->first + i) * o_width + head * f->value_dim;
            soften(p, score, from, i + 1);
            memset(out, 0, f->value_dim * sizeof *out);
            for (size_t j = from; j <= i; j++)
                sc_axpy(score[j], v + j * v_width, f->value_dim, out, a->s->level);
            if (a->probabilities) {
                memset(a->probabilities + i * st->n, 0, st->n * sizeof *score);
                memcpy(a->probabilities + i * st->n + from, score + from,
                       (i + 1 - from) * sizeof *score);
            }
        }
    }
    free(scores);
}

/* -------------------------------------------------------------------------- q, k and v --- */

/* same: `in` is that of the product just before. */
static int project(struct sc_state *s, const struct sc_weight *w, const float *in, bool same,
                   float *out, struct sc_error *e)
{
    const struct sc_linear l = {.w = w,
                                .x = in,
                                .n = s->n_rows,
                                .x_stride = (size_t)w->m.cols,
                                .y = out,
                                .y_stride = (size_t)w->m.rows,
                                .of = s->of,
                                .same_x = same};

    return sc_linear_run(s, &l, e);
}

static void clip(const struct sc_state *s, float *x, size_t width)
{
    const float most = (float)s->f->plan.clip_qkv;

    for (size_t i = 0; most > 0 && i < s->n_rows * width; i++)
        x[i] = SC_MIN(SC_MAX(x[i], -most), most);
}

/* Norms of q or k: over all heads, or over each. */
static int norm_heads(struct sc_state *s, const struct sc_weight *w, float *x, size_t heads,
                      struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const size_t width = heads * p->facts.head_dim;
    float *weights = NULL;

    if (!p->qk_norm_full && !p->qk_norm_head)
        return 0;
    const size_t n = p->qk_norm_full ? width : p->facts.head_dim;
    TRY(sc_tensor_floats(s, w->m.tensor, w->m.first, n, &weights, e));
    for (size_t i = 0; i < s->n_rows * width; i += n)
        sc_norm_row(p->norm, p->eps, weights, NULL, x + i, n, x + i);
    free(weights);
    return 0;
}

static void rotate(struct sc_state *s, const struct sc_layer *l, float *x, size_t heads)
{
    const struct sc_plan *p = &s->f->plan;
    const struct sc_rope *r = &p->ropes[l->rope];
    const size_t half = r->dims / 2, behind = p->kv_rank ? p->nope_dim : 0;

    for (size_t i = 0; i < s->n_streams && half; i++)
        for (size_t t = 0; t < s->streams[i].n; t++)
            for (size_t h = 0; h < heads; h++)
                sc_rope_apply(r, s->cosine[l->rope] + (s->streams[i].table + t) * half,
                              s->sine[l->rope] + (s->streams[i].table + t) * half,
                              x + ((s->streams[i].first + t) * heads + h) * p->facts.head_dim +
                                  behind);
}

static int plain_project(struct sc_state *s, const struct sc_layer *l, const float *in, float *q,
                         float *k, float *v, struct sc_error *e)
{
    const struct sc_forward_facts *f = &s->f->plan.facts;

    TRY(project(s, &l->w[SC_SLOT_Q], in, false, q, e));
    TRY(project(s, &l->w[SC_SLOT_K], in, true, k, e));
    TRY(project(s, &l->w[SC_SLOT_V], in, true, v, e));
    TRY(norm_heads(s, &l->w[SC_SLOT_Q_NORM], q, f->heads, e));
    TRY(norm_heads(s, &l->w[SC_SLOT_K_NORM], k, f->kv_heads, e));
    clip(s, q, (size_t)f->heads * f->head_dim);
    clip(s, k, (size_t)f->kv_heads * f->head_dim);
    clip(s, v, (size_t)f->kv_heads * f->value_dim);
    return 0;
}

/* ------------------------------------------------------------- latent attention (DeepSeek) --- */

static int norm_latent(struct sc_state *s, const struct sc_weight *w, float *x, size_t n,
                       size_t stride, struct sc_error *e)
{
    float *weights = NULL;

    TRY(sc_tensor_floats(s, w->m.tensor, w->m.first, n, &weights, e));
    for (size_t i = 0; i < s->n_rows; i++)
        sc_norm_row(SC_NORM_RMS, 1e-6, weights, NULL, x + i * stride, n, x + i * stride);
    free(weights);
    return 0;
}

static int latent_query(struct sc_state *s, const struct sc_layer *l, const float *in, float *q,
                        struct sc_error *e)
{
    const size_t rank = s->f->plan.q_rank;

    if (!rank)
        return project(s, &l->w[SC_SLOT_Q], in, false, q, e);
    float *low = sc_floats(s->n_rows, rank);
    int code = low ? project(s, &l->w[SC_SLOT_Q_A], in, false, low, e) : sc_fail_memory(e);
    if (code == 0)
        code = norm_latent(s, &l->w[SC_SLOT_Q_A_NORM], low, rank, rank, e);
    if (code == 0)
        code = project(s, &l->w[SC_SLOT_Q_B], low, false, q, e);
    free(low);
    return code;
}

/* One matrix gives [nope of the key | value] of each head. */
static int latent_both(struct sc_state *s, const struct sc_layer *l, const float *low, float *k,
                       float *v, struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const size_t heads = p->facts.heads, dim = p->facts.head_dim, value = p->facts.value_dim;
    const size_t each = p->nope_dim + value;
    float *kv = sc_floats(s->n_rows, heads * each);
    const struct sc_linear up = {.w = &l->w[SC_SLOT_KV_B],
                                 .x = low,
                                 .n = s->n_rows,
                                 .x_stride = (size_t)p->kv_rank + p->rope_dim,
                                 .y = kv,
                                 .y_stride = heads * each,
                                 .of = s->of};
    const int code = kv ? sc_linear_run(s, &up, e) : sc_fail_memory(e);

    for (size_t i = 0; i < s->n_rows * heads && code == 0; i++) {
        memcpy(k + i * dim, kv + i * each, p->nope_dim * sizeof *k);
        memcpy(v + i * value, kv + i * each + p->nope_dim, value * sizeof *v);
    }
    free(kv);
    return code;
}

/* The same from two stacks of matrices: those of keys are stored [rank, nope]. */
static int latent_parts(struct sc_state *s, const struct sc_layer *l, const float *low, float *k,
                        float *v, struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const size_t heads = p->facts.heads, dim = p->facts.head_dim, value = p->facts.value_dim;
    struct sc_weight head = l->w[SC_SLOT_K_B];
    struct sc_linear up = {.w = &head,
                           .x = low,
                           .n = s->n_rows,
                           .x_stride = (size_t)p->kv_rank + p->rope_dim,
                           .y_stride = heads * dim,
                           .of = s->of};

    TRY(sc_views_begin(s, &l->w[SC_SLOT_K_B], e));
    for (size_t h = 0; h < heads; h++) {
        head.m = (struct sc_forward_matrix){.tensor = head.m.tensor,
                                            .first = h * p->kv_rank * p->nope_dim,
                                            .rows = p->nope_dim,
                                            .cols = p->kv_rank,
                                            .stride = p->nope_dim,
                                            .transposed = true};
        up.y = k + h * dim;
        up.same_x = h > 0;
        TRY(sc_linear_run(s, &up, e));
    }
    up.w = &l->w[SC_SLOT_V_B];
    up.y = v;
    up.y_stride = heads * value;
    up.same_x = true;
    return sc_linear_run(s, &up, e);
}

static int latent_project(struct sc_state *s, const struct sc_layer *l, const float *in, float *q,
                          float *k, float *v, struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const size_t heads = p->facts.heads, width = (size_t)p->kv_rank + p->rope_dim;
    float *low = sc_floats(s->n_rows, width); /* the latent, and the part that is rotated */
    int code = low ? latent_query(s, l, in, q, e) : sc_fail_memory(e);

    if (code == 0)
        code = project(s, &l->w[SC_SLOT_KV_A], in, false, low, e);
    if (code == 0)
        code = norm_latent(s, &l->w[SC_SLOT_KV_A_NORM], low, p->kv_rank, width, e);
    if (code == 0)
        code = (l->w[SC_SLOT_K_B].m.tensor == SC_NO_TENSOR_HERE ? latent_both
                                                                : latent_parts)(s, l, low, k, v, e);
    for (size_t i = 0; i < s->n_rows && code == 0; i++) /* all heads share it */
        for (size_t h = 0; h < heads; h++)
            memcpy(k + (i * heads + h) * p->facts.head_dim + p->nope_dim,
                   low + i * width + p->kv_rank, p->rope_dim * sizeof *k);
    free(low);
    return code;
}

/* --------------------------------------------------------------------------------- a layer --- */

static int attend(struct attending *a, uint32_t layer, struct sc_error *e)
{
    struct sc_state *s = a->s;
    const size_t heads = s->f->plan.facts.heads, n = s->n_streams * heads;
    int code = 0;

    a->codes = sc_calloc(n, sizeof *a->codes);
    if (!a->codes)
        return sc_fail_memory(e);
    if (!sc_wants(s, SC_HOOK_ATTENTION)) {
        sc_pool_for(s->r->pool, n, one_head, a);
        for (size_t i = 0; i < n && code == 0; i++)
            code = a->codes[i] < 0 ? sc_fail_memory(e) : 0;
    }
    for (size_t i = 0; i < n && code == 0 && sc_wants(s, SC_HOOK_ATTENTION); i++) {
        const struct sc_stream *st = &s->streams[i / heads];
        a->probabilities = sc_floats(st->n, st->n);
        if (!a->probabilities) {
            code = sc_fail_memory(e);
            break;
        }
        one_head(a, i);
        code = a->codes[i] < 0 ? sc_fail_memory(e) : 0;
        const struct sc_hook_data h = {.hook = SC_HOOK_ATTENTION,
                                       .layer = (int32_t)layer,
                                       .part = (int32_t)(i % heads),
                                       .stream = st->number,
                                       .n = st->n,
                                       .width = st->n,
                                       .values = a->probabilities};
        if (code == 0)
            code = s->r->see(s->r->ctx, &h, e);
        free(a->probabilities);
        a->probabilities = NULL;
    }
    free(a->codes);
    return code;
}

int sc_attention_run(struct sc_state *s, uint32_t layer, const float *in, float *out,
                     struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const struct sc_forward_facts *f = &p->facts;
    const struct sc_layer *l = &p->layers[layer];
    const size_t q_width = (size_t)f->heads * f->head_dim;
    const size_t k_width = (size_t)f->kv_heads * f->head_dim;
    const size_t v_width = (size_t)f->kv_heads * f->value_dim;
    const size_t o_width = (size_t)f->heads * f->value_dim;
    struct attending a = {.s = s,
                          .layer = l,
                          .q = sc_floats(s->n_rows, q_width),
                          .k = sc_floats(s->n_rows, k_width),
                          .v = sc_floats(s->n_rows, v_width),
                          .out = sc_floats(s->n_rows, o_width)};
    int code = a.q && a.k && a.v && a.out ? 0 : sc_fail_memory(e);

    if (code == 0)
        code = p->kv_rank ? latent_project(s, l, in, a.q, a.k, a.v, e)
                          : plain_project(s, l, in, a.q, a.k, a.v, e);
    if (code == 0) {
        rotate(s, l, a.q, f->heads);
        rotate(s, l, a.k, f->kv_heads);
        code = sc_see(s, SC_HOOK_Q, (int32_t)layer, -1, a.q, q_width, e);
    }
    if (code == 0)
        code = sc_see(s, SC_HOOK_K, (int32_t)layer, -1, a.k, k_width, e);
    if (code == 0)
        code = sc_see(s, SC_HOOK_V, (int32_t)layer, -1, a.v, v_width, e);
    if (code == 0)
        code = attend(&a, layer, e);
    if (code == 0)
        code = project(s, &l->w[SC_SLOT_O], a.out, false, out, e);
    free(a.q);
    free(a.k);
    free(a.v);
    free(a.out);
    return code;
}

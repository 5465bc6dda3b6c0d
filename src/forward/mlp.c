/* SPDX-License-Identifier: Apache-2.0 */
/* mlp: the feed-forward half of a layer: dense, or a mixture of experts of which a router chooses
 * some for each token. Only the experts that are chosen are read. Their parts are added in the
 * order of their numbers, whatever the order of their weights, then the shared expert's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forward/engine.h"

/* ----------------------------------------------------------------------------------- dense --- */

/* Rows of one MLP: those of the batch, or those that an expert works on. */
struct mlp {
    const struct sc_weight *gate, *up, *down;
    const float *in;
    float *out;
    size_t n;
    const uint32_t *of;       /* stream of each row */
    const uint32_t *position; /* NULL: rows are the batch's */
    int32_t part;
};

/* Shows rows that are grouped by stream. */
static int see_rows(struct sc_state *s, enum sc_hook hook, uint32_t layer, const struct mlp *m,
                    const float *values, size_t width, struct sc_error *e)
{
    int code = 0;

    if (!sc_wants(s, hook))
        return 0;
    for (size_t i = 0, n; i < m->n && code == 0; i += n) {
        for (n = 1; i + n < m->n && m->of[i + n] == m->of[i]; n++)
            ;
        const struct sc_hook_data h = {.hook = hook,
                                       .layer = (int32_t)layer,
                                       .part = m->part,
                                       .stream = s->streams[m->of[i]].number,
                                       .n = n,
                                       .width = width,
                                       .positions = m->position ? m->position + i : NULL,
                                       .values = values + i * width};
        code = s->r->see(s->r->ctx, &h, e);
    }
    return code;
}

static int multiply(struct sc_state *s, const struct mlp *m, const struct sc_weight *w,
                    const float *x, bool same_x, float *y, struct sc_error *e)
{
    const struct sc_linear l = {.w = w,
                                .x = x,
                                .n = m->n,
                                .x_stride = (size_t)w->m.cols,
                                .y = y,
                                .y_stride = (size_t)w->m.rows,
                                .of = m->of,
                                .same_x = same_x};

    return sc_linear_run(s, &l, e);
}

static int run_mlp(struct sc_state *s, uint32_t layer, const struct mlp *m, struct sc_error *e)
{
    const bool gated = s->f->plan.gated;
    const size_t wide = (size_t)m->up->m.rows;
    float *gate = sc_floats(m->n, wide), *up = gated ? sc_floats(m->n, wide) : NULL;
    int code = gate && (up || !gated) ? 0 : sc_fail_memory(e);

    if (code == 0)
        code = multiply(s, m, gated ? m->gate : m->up, m->in, false, gate, e);
    if (code == 0 && gated)
        code = multiply(s, m, m->up, m->in, true, up, e);
    if (code == 0) {
        sc_activate(s, up, m->n, wide, gate);
        code = see_rows(s, SC_HOOK_DOWN_IN, layer, m, gate, wide, e);
    }
    if (code == 0)
        code = multiply(s, m, m->down, gate, false, m->out, e);
    if (code == 0 && m->part == -1)
        sc_restore_rows(s, SC_HOOK_DOWN_OUT, layer, m->out, (size_t)m->down->m.rows);
    if (code == 0)
        code = see_rows(s, SC_HOOK_DOWN_OUT, layer, m, m->out, (size_t)m->down->m.rows, e);
    free(gate);
    free(up);
    return code;
}

/* ---------------------------------------------------------------------------------- router --- */

/* What differs from the model for a row of the batch; NULL: nothing. */
static const struct sc_variant *variant_of(const struct sc_state *s, size_t row)
{
    const uint32_t number = s->streams[s->of[row]].variant;

    return number ? &s->r->variants[number - 1] : NULL;
}

static bool is_dropped(const struct sc_variant *v, uint32_t layer, uint32_t expert)
{
    for (size_t i = 0; v && i < v->n_drops; i++)
        if (v->drops[i].layer == layer && v->drops[i].expert == expert)
            return true;
    return false;
}

struct routes {
    uint32_t *ids;  /* (n_rows x k) heaviest first */
    float *weights; /* (n_rows x k) */
    size_t k;
};

/* The k largest of n, the first of equals; -Infinity is never taken while there is another. */
static void choose(const float *score, size_t n, size_t k, uint32_t *ids)
{
    for (size_t i = 0; i < k; i++) {
        size_t best = n;
        for (size_t j = 0; j < n; j++) {
            bool taken = false;
            for (size_t before = 0; before < i && !taken; before++)
                taken = ids[before] == j;
            if (!taken && (best == n || score[j] > score[best]))
                best = j;
        }
        ids[i] = (uint32_t)best;
    }
}

/* Experts of groups that are not kept cannot be chosen (DeepSeek). */
static void keep_groups(const struct sc_plan *p, float *choice)
{
    float best[SC_MAX_GROUPS];
    uint32_t kept[SC_MAX_GROUPS];

    if (p->groups <= 1)
        return;
    const size_t each = p->facts.experts / p->groups;
    for (size_t g = 0; g < p->groups; g++) {
        float first = -INFINITY, second = -INFINITY;
        for (size_t i = 0; i < each; i++) {
            const float v = choice[g * each + i];
            second = SC_MAX(second, SC_MIN(v, first));
            first = SC_MAX(first, v);
        }
        best[g] = p->group_top2 && each > 1 ? first + second : first;
    }
    choose(best, p->groups, p->groups_kept, kept);
    for (size_t g = 0; g < p->groups; g++) {
        bool keep = false;
        for (size_t i = 0; i < p->groups_kept && !keep; i++)
            keep = kept[i] == g;
        for (size_t i = 0; i < each && !keep; i++)
            choice[g * each + i] = -INFINITY;
    }
}

/* logits: n numbers, which become scores; choice has room for as many. Of `without`, experts that
 * cannot be chosen; where so few are left that one of them is, it counts for nothing. */
static void route(const struct sc_plan *p, uint32_t layer, const struct sc_variant *without,
                  float *logits, const float *correction, float *choice, uint32_t *ids,
                  float *weights)
{
    const size_t n = p->facts.experts, k = p->facts.experts_per_token;
    float most = -INFINITY;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        most = SC_MAX(most, logits[i]);
    for (size_t i = 0; i < n && p->router == SC_ROUTER_SOFTMAX; i++)
        sum += exp((double)logits[i] - (double)most);
    for (size_t i = 0; i < n; i++) {
        const double x = (double)logits[i];
        logits[i] = p->router == SC_ROUTER_SOFTMAX ? (float)(exp(x - (double)most) / sum)
                                                   : (float)(1 / (1 + exp(-x)));
        choice[i] = logits[i] + (correction ? correction[i] : 0);
    }
    for (size_t i = 0; without && i < without->n_drops; i++)
        if (without->drops[i].layer == layer)
            choice[without->drops[i].expert] = -INFINITY;
    keep_groups(p, choice);
    choose(choice, n, k, ids);
    sum = 0;
    for (size_t i = 0; i < k; i++)
        sum += is_dropped(without, layer, ids[i]) ? 0 : (double)logits[ids[i]];
    if (p->router == SC_ROUTER_SIGMOID)
        sum += 1e-20;
    for (size_t i = 0; i < k; i++) {
        double w = (double)logits[ids[i]];
        if (p->renormalise)
            w /= sum;
        weights[i] = (float)(w * (p->route_scale > 0 ? p->route_scale : 1));
    }
}

/* Heaviest first, as people read it; the choice of DeepSeek is by other numbers. */
static void sort_route(size_t k, uint32_t *ids, float *weights)
{
    for (size_t i = 1; i < k; i++)
        for (size_t j = i; j > 0 && weights[j] > weights[j - 1]; j--) {
            const float w = weights[j];
            const uint32_t id = ids[j];
            weights[j] = weights[j - 1];
            ids[j] = ids[j - 1];
            weights[j - 1] = w;
            ids[j - 1] = id;
        }
}

static int see_routes(struct sc_state *s, uint32_t layer, const struct routes *r,
                      struct sc_error *e)
{
    int code = 0;

    for (size_t i = 0; i < s->n_streams && code == 0 && sc_wants(s, SC_HOOK_ROUTE); i++) {
        const struct sc_stream *st = &s->streams[i];
        const struct sc_hook_data h = {.hook = SC_HOOK_ROUTE,
                                       .layer = (int32_t)layer,
                                       .part = -1,
                                       .stream = st->number,
                                       .n = st->n,
                                       .width = r->k,
                                       .values = r->weights + st->first * r->k,
                                       .ids = r->ids + st->first * r->k};
        code = s->r->see(s->r->ctx, &h, e);
    }
    return code;
}

static int find_routes(struct sc_state *s, uint32_t layer, const float *in, struct routes *r,
                       struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const struct sc_layer *l = &p->layers[layer];
    const size_t n = p->facts.experts;
    float *logits = sc_floats(s->n_rows + 1, n), *correction = NULL;
    int code = logits ? 0 : sc_fail_memory(e);
    const struct sc_linear linear = {.w = &l->w[SC_SLOT_ROUTER],
                                     .x = in,
                                     .n = s->n_rows,
                                     .x_stride = p->facts.hidden,
                                     .y = logits,
                                     .y_stride = n,
                                     .of = s->of,
                                     .exact = true};

    if (code == 0)
        code = sc_linear_run(s, &linear, e);
    if (code == 0)
        code = sc_tensor_floats(s, l->w[SC_SLOT_ROUTER_BIAS].m.tensor, 0, n, &correction, e);
    if (code == 0)
        code = sc_see(s, SC_HOOK_ROUTER, (int32_t)layer, -1, logits, n, e);
    for (size_t i = 0; i < s->n_rows && code == 0; i++) {
        const struct sc_variant *v = variant_of(s, i);
        route(p, layer, v && v->reroute ? v : NULL, logits + i * n, correction,
              logits + s->n_rows * n, r->ids + i * r->k, r->weights + i * r->k);
        sort_route(r->k, r->ids + i * r->k, r->weights + i * r->k);
    }
    free(logits);
    free(correction);
    return code == 0 ? see_routes(s, layer, r, e) : code;
}

/* --------------------------------------------------------------------------------- experts --- */

/* Rows that an expert works on: copies of what they see, and what becomes of them. */
struct gathered {
    float *in, *out;
    uint32_t *row, *of, *position;
    float *weight;
};

static size_t gather(const struct sc_state *s, uint32_t layer, const struct routes *r,
                     uint32_t expert, const float *in, struct gathered *g)
{
    const size_t hidden = s->f->plan.facts.hidden;
    size_t n = 0;

    for (size_t i = 0; i < s->n_rows; i++)
        for (size_t j = 0; j < r->k; j++) {
            if (r->ids[i * r->k + j] != expert || is_dropped(variant_of(s, i), layer, expert))
                continue;
            memcpy(g->in + n * hidden, in + i * hidden, hidden * sizeof *in);
            g->row[n] = (uint32_t)i;
            g->of[n] = s->of[i];
            g->position[n] = (uint32_t)(i - s->streams[s->of[i]].first);
            g->weight[n++] = r->weights[i * r->k + j];
        }
    return n;
}

static int run_expert(struct sc_state *s, uint32_t layer, uint32_t expert, const struct routes *r,
                      const float *in, struct gathered *g, float *out, struct sc_error *e)
{
    const struct sc_expert *x = &s->f->plan.layers[layer].experts[expert];
    const size_t hidden = s->f->plan.facts.hidden;
    const struct mlp m = {.gate = &x->gate,
                          .up = &x->up,
                          .down = &x->down,
                          .in = g->in,
                          .out = g->out,
                          .n = gather(s, layer, r, expert, in, g),
                          .of = g->of,
                          .position = g->position,
                          .part = (int32_t)expert};

    if (m.n == 0)
        return 0;
    TRY(run_mlp(s, layer, &m, e));
    for (size_t i = 0; i < m.n; i++)
        sc_axpy(g->weight[i], g->out + i * hidden, hidden, out + g->row[i] * hidden, s->level);
    return 0;
}

/* The expert that comes next among those that are chosen. */
static int ask_expert(struct sc_state *s, uint32_t layer, uint32_t expert, const struct routes *r,
                      struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;

    for (size_t i = 0; expert < p->facts.experts && i < s->n_rows * r->k; i++) {
        if (r->ids[i] != expert)
            continue;
        const struct sc_expert *x = &p->layers[layer].experts[expert];
        TRY(sc_views_ask(s, &x->gate, e));
        TRY(sc_views_ask(s, &x->up, e));
        return sc_views_ask(s, &x->down, e);
    }
    return 0;
}

static int run_shared(struct sc_state *s, uint32_t layer, const float *in, float *scratch,
                      float *out, struct sc_error *e)
{
    const struct sc_layer *l = &s->f->plan.layers[layer];
    const struct sc_weight *switch_ = &l->w[SC_SLOT_SHARED_SWITCH];
    const size_t hidden = s->f->plan.facts.hidden;
    const struct mlp m = {.gate = &l->w[SC_SLOT_SHARED_GATE],
                          .up = &l->w[SC_SLOT_SHARED_UP],
                          .down = &l->w[SC_SLOT_SHARED_DOWN],
                          .in = in,
                          .out = scratch,
                          .n = s->n_rows,
                          .of = s->of,
                          .part = -2};
    float *share = sc_floats(s->n_rows, 1);
    const struct sc_linear share_of = {.w = switch_,
                                       .x = in,
                                       .n = s->n_rows,
                                       .x_stride = hidden,
                                       .y = share,
                                       .y_stride = 1,
                                       .of = s->of,
                                       .exact = true};
    int code = share ? run_mlp(s, layer, &m, e) : sc_fail_memory(e);

    if (code == 0 && switch_->m.tensor != SC_NO_TENSOR_HERE)
        code = sc_linear_run(s, &share_of, e);
    for (size_t i = 0; i < s->n_rows && code == 0; i++) {
        const float w =
            switch_->m.tensor == SC_NO_TENSOR_HERE ? 1 : (float)(1 / (1 + exp(-(double)share[i])));
        sc_axpy(w, scratch + i * hidden, hidden, out + i * hidden, s->level);
    }
    free(share);
    return code;
}

static int run_experts(struct sc_state *s, uint32_t layer, const float *in, float *out,
                       struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const size_t hidden = p->facts.hidden, k = p->facts.experts_per_token, n = s->n_rows;
    struct routes r = {
        .ids = (uint32_t *)(void *)sc_floats(n, k), .weights = sc_floats(n, k), .k = k};
    struct gathered g = {.in = sc_floats(n, hidden),
                         .out = sc_floats(n, hidden),
                         .row = (uint32_t *)(void *)sc_floats(n, 3),
                         .weight = sc_floats(n, 1)};
    int code = r.ids && r.weights && g.in && g.out && g.row && g.weight ? 0 : sc_fail_memory(e);

    if (code == 0) {
        g.of = g.row + n;
        g.position = g.of + n;
        memset(out, 0, n * hidden * sizeof *out);
        code = find_routes(s, layer, in, &r, e);
    }
    for (uint32_t x = 0; x < p->facts.experts && code == 0; x++) {
        code = ask_expert(s, layer, x + 1, &r, e);
        if (code == 0)
            code = run_expert(s, layer, x, &r, in, &g, out, e);
    }
    if (code == 0 && p->shared_intermediate)
        code = run_shared(s, layer, in, g.out, out, e);
    free(r.ids);
    free(r.weights);
    free(g.in);
    free(g.out);
    free(g.row);
    free(g.weight);
    return code;
}

int sc_mlp_run(struct sc_state *s, uint32_t layer, const float *in, float *out, struct sc_error *e)
{
    const struct sc_layer *l = &s->f->plan.layers[layer];
    const struct mlp m = {.gate = &l->w[SC_SLOT_GATE],
                          .up = &l->w[SC_SLOT_UP],
                          .down = &l->w[SC_SLOT_DOWN],
                          .in = in,
                          .out = out,
                          .n = s->n_rows,
                          .of = s->of,
                          .part = -1};

    return l->experts ? run_experts(s, layer, in, out, e) : run_mlp(s, layer, &m, e);
}

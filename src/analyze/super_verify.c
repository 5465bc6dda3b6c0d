/* SPDX-License-Identifier: Apache-2.0 */
/* super_verify: what happens without super weights, all questions in one reading of the model.
 *
 * Every question is a variant of one run. The null asks what zeroing does at all: as many weights
 * of nearly the same size, elsewhere in the same tensors. A set matters when it does ten times what
 * the worst null does, and at least 0.01 nats. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/edit.h"
#include "analyze/largest.h"
#include "analyze/super.h"
#include "analyze/variants.h"
#include "math/math.h"

enum { SINGLES = 32, CANDIDATES = 4096 };
static const double factors[] = {0.25, 0.5, 0.75, 1.5, 2, 3};

const char *const sc_super_kinds[SC_SUPER_KINDS + 1] = {"base",   "alone",  "without",  "all",
                                                        "mean",   "scaled", "restored", "null",
                                                        "column", "row",    "expert",   NULL};

struct verifying {
    const struct sc_forward *f;
    const struct sc_super_options *o;
    struct sc_super_list *l;
    struct sc_super_effects *out;
    struct sc_variant *variants;
    struct sc_edit *edits;
    struct sc_restore *restores;
    size_t *first; /* where the edits of each variant begin */
    size_t n, cap_effects, cap_variants, cap_first, n_edits, cap_edits;
    size_t first_draw; /* while draws are made: edits from here on are theirs */
    struct sc_rivals rivals;
    size_t vocab;
    double *shift; /* (6 x vocab) sums of p over positions, then p behind the last, of base, all and
                      restored */
};

/* ------------------------------------------------------------------------------- variants --- */

static int add_variant(struct verifying *x, enum sc_super_kind kind, uint32_t index, double factor,
                       struct sc_error *e)
{
    struct sc_super_effects *out = x->out;

    TRY(sc_grow(&out->p, &x->cap_effects, out->n + 1, sizeof *out->p, e));
    TRY(sc_grow(&x->variants, &x->cap_variants, x->n + 1, sizeof *x->variants, e));
    TRY(sc_grow(&x->first, &x->cap_first, x->n + 1, sizeof *x->first, e));
    out->p[out->n++] = (struct sc_super_effect){.kind = kind, .index = index, .factor = factor};
    x->first[x->n] = x->n_edits; /* edits grow, so their place is known only at the end */
    x->variants[x->n++] = (struct sc_variant){0};
    return 0;
}

static int add_edit(struct verifying *x, uint32_t tensor, uint64_t row, uint64_t col, float value,
                    struct sc_error *e)
{
    TRY(sc_grow(&x->edits, &x->cap_edits, x->n_edits + 1, sizeof *x->edits, e));
    x->edits[x->n_edits++] = (struct sc_edit){tensor, row, col, value};
    x->variants[x->n - 1].n_edits++;
    return 0;
}

static int scale_weight(struct verifying *x, const struct sc_super_weight *w, double factor,
                        struct sc_error *e)
{
    return add_edit(x, w->tensor, w->stored_row, w->stored_col, (float)((double)w->weight * factor),
                    e);
}

static int scale_all(struct verifying *x, double factor, size_t but, struct sc_error *e)
{
    for (size_t i = 0; i < x->l->n; i++)
        if (i != but)
            TRY(scale_weight(x, &x->l->p[i], factor, e));
    return 0;
}

static int add_mean(struct verifying *x, struct sc_error *e)
{
    const struct sc_super_list *l = x->l;
    double mean = 0;

    TRY(add_variant(x, SC_SUPER_MEAN, 0, 0, e));
    for (size_t i = 0; i < l->n; i++) {
        size_t first = 0; /* a tensor is read once */
        while (l->p[first].tensor != l->p[i].tensor)
            first++;
        if (first < i)
            mean = (double)x->edits[x->first[x->n - 1] + first].value;
        else
            TRY(sc_edit_mean(sc_forward_model(x->f), l->p[i].tensor, x->o->cancel, &mean, e));
        TRY(add_edit(x, l->p[i].tensor, l->p[i].stored_row, l->p[i].stored_col, (float)mean, e));
    }
    return 0;
}

static bool is_found(const struct sc_super_list *l, uint32_t tensor, uint64_t row, uint64_t col)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->p[i].tensor == tensor && l->p[i].stored_row == row && l->p[i].stored_col == col)
            return true;
    return false;
}

static bool is_drawn(const struct verifying *x, uint32_t tensor, uint64_t row, uint64_t col)
{
    for (size_t i = x->first_draw; i < x->n_edits; i++)
        if (x->edits[i].tensor == tensor && x->edits[i].row == row && x->edits[i].col == col)
            return true;
    return false;
}

/* Does an element of a tensor share a row or a column of its matrix with one that was found? What
 * feeds or leaves a loud neuron is no example of any weight. */
static bool is_beside(const struct sc_super_list *l, const struct sc_large_shape *s,
                      const struct sc_tensor *t, uint32_t tensor, uint64_t at)
{
    const uint64_t size = s->height * s->width, cols = t->rank ? t->parameters / t->shape[0] : 1;

    for (size_t i = 0; i < l->n; i++) {
        const uint64_t other = l->p[i].stored_row * cols + l->p[i].stored_col;
        if (l->p[i].tensor == tensor && at / size == other / size &&
            (at % size / s->width == other % size / s->width || at % s->width == other % s->width))
            return true;
    }
    return false;
}

/* Of some thousand weights at random places, of a small tensor of all, the one whose size is
 * nearest to that of the found one, but none of those that were found or drawn, and none beside
 * them if there are others: nothing else is as large, mostly. Counts in *unmatched when there is
 * none. */
static int add_match(struct verifying *x, const struct sc_super_weight *w, uint64_t seed,
                     size_t *unmatched, struct sc_error *e)
{
    const struct sc_model *m = sc_forward_model(x->f);
    const struct sc_tensor *t = &m->tensors[w->tensor];
    const uint64_t cols = t->rank ? t->parameters / t->shape[0] : 1;
    struct sc_large_shape shape;
    struct sc_values *v = NULL;
    uint64_t best = UINT64_MAX;
    double nearest = INFINITY;
    bool apart = false; /* the best one is beside none that was found */
    float value;

    sc_large_shape(m, w->tensor, &shape);
    TRY(sc_values_open(m, w->tensor, &v, e));
    const bool all = v->count <= CANDIDATES;
    int code = 0;
    for (uint64_t i = 0; i < (all ? v->count : CANDIDATES) && code == 0; i++) {
        const uint64_t at = all ? i : sc_random_below(seed, i, v->count);
        code = sc_values_read(v, at, 1, &value, e);
        const double distance = fabs(fabs((double)value) - fabs((double)w->weight));
        if (code < 0 || (apart && !(distance < nearest)) ||
            is_found(x->l, w->tensor, at / cols, at % cols) ||
            is_drawn(x, w->tensor, at / cols, at % cols))
            continue;
        const bool beside = is_beside(x->l, &shape, t, w->tensor, at);
        if (beside ? !apart && distance < nearest : !apart || distance < nearest) {
            nearest = distance;
            best = at;
            apart = !beside;
        }
    }
    sc_values_close(v);
    TRY(code);
    *unmatched += best == UINT64_MAX;
    return best == UINT64_MAX ? 0 : add_edit(x, w->tensor, best / cols, best % cols, 0, e);
}

static int add_restored(struct verifying *x, struct sc_error *e)
{
    const size_t n = x->l->n;

    x->restores = sc_calloc(n, sizeof *x->restores);
    if (!x->restores)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n; i++) {
        const struct sc_super_weight *w = &x->l->p[i];
        if (w->round > 0) /* its stream was seen in a changed model */
            continue;
        x->restores[i] = (struct sc_restore){.hook = SC_HOOK_RESIDUAL,
                                             .layer = w->layer,
                                             .position = w->token,
                                             .channel = w->row,
                                             .value = w->stream};
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (x->l->p[i].round == 0)
            x->restores[kept++] = x->restores[i];
    TRY(add_variant(x, SC_SUPER_RESTORED, 0, 0, e));
    TRY(scale_all(x, 0, SIZE_MAX, e));
    x->variants[x->n - 1].restores = x->restores;
    x->variants[x->n - 1].n_restores = kept;
    return 0;
}

/* Each alone, and all but each. */
static int add_singles(struct verifying *x, struct sc_error *e)
{
    const size_t n = x->l->n, singles = SC_MIN(n, (size_t)SINGLES);

    for (size_t i = 0; i < singles; i++) {
        TRY(add_variant(x, SC_SUPER_ALONE, (uint32_t)i, 0, e));
        TRY(scale_weight(x, &x->l->p[i], 0, e));
    }
    for (size_t i = 0; i < singles && n > 1; i++) {
        TRY(add_variant(x, SC_SUPER_WITHOUT, (uint32_t)i, 0, e));
        TRY(scale_all(x, 0, i, e));
    }
    return 0;
}

static bool shares(const struct sc_super_weight *a, const struct sc_super_weight *b,
                   enum sc_super_kind what)
{
    if (a->layer != b->layer || a->expert != b->expert)
        return false;
    return what == SC_SUPER_EXPERT   ? a->expert != -1
           : a->tensor != b->tensor  ? false
           : what == SC_SUPER_COLUMN ? a->col == b->col
                                     : a->row == b->row;
}

size_t sc_super_mates(const struct sc_super_list *l, size_t i, bool column)
{
    size_t n = 0;

    for (size_t k = 0; k < l->n; k++)
        n += shares(&l->p[i], &l->p[k], column ? SC_SUPER_COLUMN : SC_SUPER_ROW);
    return n;
}

/* Those that share something with weight i, once, if they are several but not all. */
static int add_group(struct verifying *x, size_t i, enum sc_super_kind what, struct sc_error *e)
{
    const struct sc_super_list *l = x->l;
    size_t n = 0, first = SIZE_MAX;

    for (size_t k = l->n; k-- > 0;)
        if (shares(&l->p[i], &l->p[k], what)) {
            first = k;
            n++;
        }
    if (n < 2 || n == l->n || first != i)
        return 0;
    TRY(add_variant(x, what, (uint32_t)i, 0, e));
    for (size_t k = 0; k < l->n; k++)
        if (shares(&l->p[i], &l->p[k], what))
            TRY(scale_weight(x, &l->p[k], 0, e));
    return 0;
}

static int add_groups(struct verifying *x, struct sc_error *e)
{
    for (enum sc_super_kind what = SC_SUPER_COLUMN; what <= SC_SUPER_EXPERT; what++)
        for (size_t i = 0; i < x->l->n; i++)
            TRY(add_group(x, i, what, e));
    return 0;
}

/* Draws that share no weight, as many as there are weights for: the first one even where some found
 * weights have no match. */
static int add_nulls(struct verifying *x, struct sc_error *e)
{
    struct sc_super_effects *out = x->out;

    x->first_draw = x->n_edits;
    for (uint32_t k = 0; k < SC_SUPER_NULLS; k++) {
        const size_t before = x->n_edits;
        size_t unmatched = 0;
        TRY(add_variant(x, SC_SUPER_NULL, k, 0, e));
        for (size_t i = 0; i < x->l->n; i++)
            TRY(add_match(x, &x->l->p[i], k * UINT64_C(1000003) + i, &unmatched, e));
        out->unmatched = k ? 0 : unmatched;
        if (unmatched && (k || unmatched == x->l->n)) { /* not this one */
            x->n_edits = before;
            x->n--;
            out->n--;
            break;
        }
        out->nulls++;
        if (unmatched)
            break;
    }
    return 0;
}

static int add_questions(struct verifying *x, struct sc_error *e)
{
    TRY(sc_grow(&x->out->p, &x->cap_effects, 1, sizeof *x->out->p, e));
    x->out->p[x->out->n++] = (struct sc_super_effect){.kind = SC_SUPER_BASE, .factor = 1};
    TRY(add_variant(x, SC_SUPER_ALL, 0, 0, e));
    TRY(scale_all(x, 0, SIZE_MAX, e));
    TRY(add_singles(x, e));
    TRY(add_mean(x, e));
    for (size_t i = 0; i < SC_COUNT(factors); i++) {
        TRY(add_variant(x, SC_SUPER_SCALED, 0, factors[i], e));
        TRY(scale_all(x, factors[i], SIZE_MAX, e));
    }
    if (!x->o->by_size)
        TRY(add_restored(x, e));
    TRY(add_nulls(x, e));
    TRY(add_groups(x, e));
    for (size_t i = 0; i < x->n; i++)
        x->variants[i].edits = x->edits + x->first[i];
    return 0;
}

/* -------------------------------------------------------------------------------- figures --- */

/* How likely each token is, in the variants between which a shift is told. */
static void take_shift(struct verifying *x, enum sc_super_kind kind, uint32_t position,
                       const float *row)
{
    const size_t k = kind == SC_SUPER_BASE       ? 0
                     : kind == SC_SUPER_ALL      ? 1
                     : kind == SC_SUPER_RESTORED ? 2
                                                 : 3;
    const bool last = position + 1 == x->o->n;
    const double sum = k < 3 ? sc_logits_log_sum(row, x->vocab) : 0;

    for (size_t i = 0; i < x->vocab && k < 3; i++) {
        const double p = exp((double)row[i] - sum);
        x->shift[k * x->vocab + i] += p / (double)x->o->n;
        if (last)
            x->shift[(3 + k) * x->vocab + i] = p;
    }
}

static int take_logits(void *ctx, uint32_t stream, uint32_t position, const float *row,
                       size_t vocab, struct sc_error *e)
{
    struct verifying *x = ctx;
    const bool last = position + 1 == x->o->n;

    (void)vocab;
    (void)e;
    take_shift(x, x->out->p[stream].kind, position, row);
    sc_rivals_take(&x->rivals, stream, position, row,
                   last ? SC_NO_TOKEN : x->o->tokens[position + 1]);
    return 0;
}

static int finish(struct verifying *x, struct sc_error *e)
{
    for (size_t s = 0; s < x->out->n; s++) {
        struct sc_super_effect *effect = &x->out->p[s];
        struct sc_effect got;
        TRY(sc_rivals_end(&x->rivals, s, &got, e));
        effect->kl = got.kl;
        effect->nll = got.nll;
        effect->perplexity_ratio = got.perplexity_ratio;
        effect->agree = got.agree;
        effect->change = got.change;
        effect->low = got.low;
        effect->high = got.high;
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- shift --- */

static bool is_listed(const struct sc_super_effects *out, size_t id)
{
    for (size_t i = 0; i < out->n_tokens; i++)
        if (out->tokens[i].id == id)
            return true;
    return false;
}

/* Adds those of the likeliest by one measure that are not there yet. */
static void add_likeliest(struct verifying *x, const double *p)
{
    struct sc_super_effects *out = x->out;
    double below = INFINITY;
    size_t after = SIZE_MAX;

    for (size_t k = 0; k < SC_SUPER_TOKENS; k++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < x->vocab; i++) {
            const bool later = p[i] < below || (p[i] == below && i > after);
            if (later && (best == SIZE_MAX || p[i] > p[best]))
                best = i;
        }
        if (best == SIZE_MAX)
            return;
        below = p[best];
        after = best;
        if (!is_listed(out, best))
            out->tokens[out->n_tokens++] =
                (struct sc_super_token){.id = (uint32_t)best,
                                        .base = x->shift[best],
                                        .all = x->shift[x->vocab + best],
                                        .restored = x->shift[2 * x->vocab + best],
                                        .last_base = x->shift[3 * x->vocab + best],
                                        .last_all = x->shift[4 * x->vocab + best],
                                        .last_restored = x->shift[5 * x->vocab + best]};
    }
}

static int by_base(const void *a, const void *b)
{
    const struct sc_super_token *x = a, *y = b;

    if (x->base > y->base || x->base < y->base)
        return x->base > y->base ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int find_shift(struct verifying *x, struct sc_error *e)
{
    static const unsigned char measures[] = {0, 1, 3, 4};
    struct sc_super_effects *out = x->out;

    out->tokens = sc_calloc((size_t)SC_SUPER_TOKENS * SC_COUNT(measures), sizeof *out->tokens);
    if (!out->tokens)
        return sc_fail_memory(e);
    for (size_t i = 0; i < SC_COUNT(measures); i++)
        add_likeliest(x, x->shift + measures[i] * x->vocab);
    sc_sort(out->tokens, out->n_tokens, sizeof *out->tokens, by_base);
    return 0;
}

/* --------------------------------------------------------------------------------- labels --- */

static const struct sc_super_effect *find_effect(const struct sc_super_effects *x,
                                                 enum sc_super_kind kind, uint32_t index)
{
    for (size_t i = 0; i < x->n; i++)
        if (x->p[i].kind == kind && x->p[i].index == index)
            return &x->p[i];
    return NULL;
}

/* Whether a set makes more than half of what all do; where both leave no finite output, too. */
static bool is_most(double kl, double all)
{
    return kl > 0.5 * all || isinf(kl);
}

static void label(struct verifying *x)
{
    const struct sc_super_effects *out = x->out;
    const double all = find_effect(out, SC_SUPER_ALL, 0)->kl;
    double null = 0;

    if (isnan(all)) { /* the model gives no numbers */
        for (uint32_t i = 0; i < x->l->n; i++)
            x->l->p[i].alone_kl = x->l->p[i].without_kl = (double)NAN;
        x->out->label = "not known: the model's output is not finite on these tokens";
        return;
    }

    for (size_t i = 0; i < out->n; i++)
        if (out->p[i].kind == SC_SUPER_NULL)
            null = SC_MAX(null, out->p[i].kl);
    const double least = SC_MAX(10 * null, 0.01);
    const bool together = all > least;
    bool any = false, most = false;
    for (uint32_t i = 0; i < x->l->n; i++) {
        struct sc_super_weight *w = &x->l->p[i];
        const struct sc_super_effect *alone = find_effect(out, SC_SUPER_ALONE, i);
        const struct sc_super_effect *without = find_effect(out, SC_SUPER_WITHOUT, i);
        w->alone_kl = alone ? alone->kl : (double)NAN;
        w->without_kl = without ? without->kl : (double)NAN;
        const bool matters = alone && alone->kl > least;
        any |= matters;
        most |= matters && is_most(alone->kl, all);
        w->label = !alone                                         ? NULL
                   : matters && is_most(alone->kl, all)           ? "fatal alone"
                   : matters                                      ? "matters alone"
                   : together && without && without->kl < all / 2 ? "needed for the joint effect"
                   : together ? "inert alone, part of a fatal set"
                              : "inert";
    }
    x->out->label = !together && !out->nulls ? "inert: a divergence of no more than 0.01"
                    : !together ? "inert: no more than weights of the same size elsewhere"
                    : most      ? "fatal, one of them alone"
                    : any       ? "fatal together, each alone less than half as much"
                                : "inert alone, fatal together";
    x->out->call = !together ? "inert" : most ? "single" : "joint";
}

int sc_super_verify(const struct sc_forward *f, const struct sc_super_options *o,
                    struct sc_super_list *l, struct sc_super_effects *out, struct sc_error *e)
{
    struct verifying x = {.f = f, .o = o, .l = l, .out = out, .vocab = sc_forward_facts(f)->vocab};
    const struct sc_sequence sequence = {o->tokens, o->n};

    memset(out, 0, sizeof *out);
    int code = add_questions(&x, e);
    x.shift = sc_calloc(6 * x.vocab, sizeof *x.shift);
    if (code == 0 && !x.shift)
        code = sc_fail_memory(e);
    if (code == 0)
        code = sc_rivals_start(&x.rivals, x.n + 1, o->n, o->n, sc_forward_facts(f)->vocab,
                               o->memory / 2, e);
    const struct sc_run run = {.pool = o->pool,
                               .cancel = o->cancel,
                               .memory = o->memory / 2,
                               .sequences = &sequence,
                               .n_sequences = 1,
                               .variants = x.variants,
                               .n_variants = x.n,
                               .logits = take_logits,
                               .ctx = &x};
    if (code == 0)
        code = sc_forward_run(f, &run, e);
    if (code == 0)
        code = finish(&x, e);
    for (size_t i = 0; code == 0 && i < 2 * x.vocab && o->by_size; i++) /* nothing was put back */
        x.shift[(i < x.vocab ? 2 : 4) * x.vocab + i] = (double)NAN;
    if (code == 0)
        code = find_shift(&x, e);
    if (code == 0)
        label(&x);
    sc_rivals_clear(&x.rivals);
    free(x.variants);
    free(x.first);
    free(x.edits);
    free(x.restores);
    free(x.shift);
    return code;
}

void sc_super_effects_clear(struct sc_super_effects *x)
{
    free(x->p);
    free(x->tokens);
    memset(x, 0, sizeof *x);
}

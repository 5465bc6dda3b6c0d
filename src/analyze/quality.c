/* SPDX-License-Identifier: Apache-2.0 */
/* quality: one tensor in many formats.
 *
 *   formats --> passes of those that fit the same panels --> facts, if any asks --> where tails
 *   begin --> all panels --> figures
 *
 * Nearly always there is one pass. */
#include "analyze/quality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quality_parts.h"

void sc_quality_clear(struct sc_quality_result *r)
{
    free(r->formats);
    free(r->intervals);
    sc_cells_free(r->cells);
    *r = (struct sc_quality_result){0};
}

/* ---------------------------------------------------------------------------------- sample ---
 * Blocks are rows of panels (of one wide row: panels), one from each of as many equal parts. */
static int pick_blocks(struct sc_quality_pass *q, uint64_t **only, struct sc_error *e)
{
    const struct sc_cut *c = &q->cut;
    const uint64_t across = (c->cols - 1) / c->width + 1;
    const uint64_t bands = c->matrices * ((c->rows - 1) / c->height + 1);
    const bool panels = bands < 8 && across > 1;
    const uint64_t total = panels ? bands * across : bands;
    const uint64_t size = (uint64_t)c->height * (panels ? c->width : c->cols);
    const uint64_t many = SC_MAX((q->o->sample - 1) / size + 1, UINT64_C(2));
    uint64_t n;
    if (many >= total || (many * 10 >= total * 9))
        return 0; /* all of it */
    q->per_block = panels ? 1 : across;
    if (!sc_mul(many, q->per_block, &n) || n > SIZE_MAX / 2 / sizeof **only ||
        !(*only = sc_alloc((size_t)n * sizeof **only)))
        return sc_fail_memory(e);
    q->n_blocks = (size_t)many;
    for (uint64_t i = 0; i < many; i++) {
        /* whole numbers, so that they ascend */
        const uint64_t from = (uint64_t)((double)i * (double)total / (double)many);
        const uint64_t to = (uint64_t)((double)(i + 1) * (double)total / (double)many);
        const uint64_t block = from + sc_random_below(total, i, SC_MAX(to - from, UINT64_C(1)));
        for (uint64_t k = 0; k < q->per_block; k++)
            (*only)[i * q->per_block + k] = block * q->per_block + k;
    }
    q->only = *only;
    q->n_only = (size_t)n;
    q->unseen = 1 - (double)many / (double)total;
    return 0;
}

/* Values in the panels of the sample. */
static uint64_t values_of(const struct sc_quality_pass *q)
{
    const struct sc_cut *c = &q->cut;
    const uint64_t across = (c->cols - 1) / c->width + 1, down = (c->rows - 1) / c->height + 1;
    uint64_t n = q->only ? 0 : q->v->count;
    for (size_t i = 0; q->only && i < q->n_only; i++) {
        const uint64_t row = q->only[i] / across % down * c->height;
        const uint64_t col = q->only[i] % across * c->width;
        n += SC_MIN(c->rows - row, (uint64_t)c->height) * SC_MIN(c->cols - col, (uint64_t)c->width);
    }
    return n;
}

/* ---------------------------------------------------------------------------------- a pass --- */

static void set_facts(const struct sc_quality_pass *q, uint64_t values, struct sc_value_facts *out)
{
    const uint64_t finite = values - q->x.nonfinite;
    *out = (struct sc_value_facts){.values = values, .nonfinite = q->x.nonfinite};
    if (finite == 0)
        return;
    out->min = (double)q->x.min;
    out->max = (double)q->x.max;
    out->mean = q->x.sum / (double)finite;
    out->abs_max = SC_MAX(fabs(out->min), fabs(out->max));
    out->rms = sqrt(q->x.square / (double)finite);
}

/* Whether panels need not be decoded as a whole: nobody looks at whole lines of them. */
static void choose_codes(struct sc_quality_pass *q)
{
    const bool bf16 = sc_values_are_bf16(q->v);
    q->codes = !q->exact && q->v->code_bytes && !q->any_other_axis;
    for (size_t f = 0; f < q->n; f++)
        q->codes = q->codes && (q->formats[f].f->over != SC_OVER_LINE || q->formats[f].lines);
    if (q->codes && !bf16)
        q->decode = sc_decoder(q->v->codec, q->level);
    if (!q->decode && !bf16)
        q->codes = false;
}

static int run_pass(struct sc_quality_pass *q, struct sc_quality_result *out, struct sc_error *e)
{
    for (size_t f = 0; f < q->n; f++) {
        q->formats[f].active = true;
        q->any_other_axis = q->any_other_axis || (q->formats[f].turned && !q->formats[f].down);
        q->any_down = q->any_down || q->formats[f].down;
    }
    TRY(sc_books_make(q, e));
    TRY(sc_totals_make(q, e));
    TRY(sc_quality_facts(q, e));
    choose_codes(q);
    TRY(sc_tail_begin(q, e));
    TRY(sc_quality_visit(q, SC_LOOK_ALL, e));
    sc_totals_end(q);
    const uint64_t values = values_of(q);
    if (q->first)
        set_facts(q, values, &out->facts);
    for (size_t f = 0; f < q->n; f++) {
        struct sc_quality *g = &out->formats[q->formats[f].index];
        g->values = values;
        g->nonfinite = q->x.nonfinite;
        g->finite = values - q->x.nonfinite;
        sc_quality_figures(q, f, g);
    }
    if (q->only) {
        out->sampled = values;
        sc_quality_intervals(q, out->intervals);
    }
    TRY(sc_tail_end(q, out->formats, e));
    for (size_t f = 0; values > 0 && f < q->n; f++)
        if (values == q->x.nonfinite)
            sc_quality_no_errors(&out->formats[q->formats[f].index]);
    return 0;
}

/* Of the work: what came before a pass, and the pass itself. */
struct share {
    double before, of_all;
};

static int one_pass(struct sc_values *v, const struct sc_quality_options *o,
                    struct sc_planned *formats, size_t n, const struct sc_cut *cut,
                    const struct share *share, struct sc_quality_result *out, struct sc_error *e)
{
    struct sc_quality_pass q = {.v = v,
                                .o = o,
                                .cut = *cut,
                                .formats = formats,
                                .n = n,
                                .level = sc_cpu_level(),
                                .first = share->before == 0,
                                .before = share->before,
                                .of_all = share->of_all,
                                .exact = v->count <= SC_SMALL_TENSOR,
                                .cells = out->cells};
    uint64_t *only = NULL;
    int code = o->sample ? pick_blocks(&q, &only, e) : 0;
    pthread_mutex_init(&q.lock, NULL);
    if (code == 0)
        code = run_pass(&q, out, e);
    pthread_mutex_destroy(&q.lock);
    sc_quality_facts_free(&q);
    sc_totals_free(&q);
    sc_books_free(&q);
    free(only);
    return code;
}

/* ------------------------------------------------------------------------------------- all --- */

/* What there is to say without looking: bytes. Returns whether values fit the format. */
static bool set_bytes(const struct sc_values *v, const struct sc_encoding *f,
                      struct sc_quality *out)
{
    struct sc_matrices m = sc_quality_matrices(v);
    struct sc_encoding as_is = *f;
    uint64_t bytes;
    if (f->scheme == SC_SCHEME_BFP && sc_is_vector(v) && v->count)
        m = (struct sc_matrices){.n = 1, .rows = (m.cols - 1) / SC_TILE + 1, .cols = SC_TILE};
    as_is.other_axis = f->other_axis && !sc_is_vector(v);
    sc_quality_none(out);
    if (!sc_encoding_bytes(&as_is, m.n, m.rows, m.cols, &bytes, NULL))
        return false;
    out->bytes = bytes;
    out->bits_per_weight = v->count ? 8 * (double)bytes / (double)v->count : NAN;
    return true;
}

/* Formats from `at` on that can be looked at together; they come first then. */
static size_t gather(const struct sc_quality_options *o, const struct sc_values *v,
                     struct sc_planned *formats, size_t n, struct sc_cut *cut)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        const struct sc_planned moved = formats[i], other = formats[k];
        struct sc_cut wider;
        formats[k] = moved;
        formats[i] = other;
        if (sc_cut_of(o, formats, k + 1, v, &wider)) {
            *cut = wider;
            k++;
        } else {
            formats[i] = moved;
            formats[k] = other;
        }
    }
    return k;
}

static int empty(const struct sc_quality_options *o, struct sc_quality_result *out)
{
    for (size_t i = 0; i < o->n; i++) {
        struct sc_quality *g = &out->formats[i];
        const struct sc_quality_sums none = {0};
        const uint64_t bytes = g->bytes;
        sc_quality_none(g);
        g->bytes = bytes;
        g->values = g->finite = g->nonfinite = 0;
        g->overflowed = g->saturated = g->zeroed = 0;
        sc_quality_pearson(&none, &g->pcc, &g->one_minus_pcc);
        g->cosine = 1;
        g->mae = g->mse = g->rmse = g->atol = g->relative_frobenius = 0;
        g->max_relative = g->bias = g->p99 = g->p999 = 0;
        g->sqnr_db = INFINITY;
    }
    return 0;
}

/* Nothing but x: facts. */
static int measure(struct sc_values *v, const struct sc_quality_options *o,
                   struct sc_planned *formats, size_t n, struct sc_quality_result *out,
                   struct sc_error *e)
{
    const size_t all = n;
    for (bool first = true; n > 0 || first; first = false) {
        struct sc_cut cut;
        const size_t k = gather(o, v, formats, n, &cut);
        if (k == 0 && n > 0)
            return sc_fail(e, SCRUPLE_EUNSUPPORTED,
                           "%s takes %u values together, which fit no panel of a tensor of rows of "
                           "%llu; multiples of 32 do",
                           formats[0].f->name, formats[0].f->unit, (unsigned long long)v->cols);
        if (k == 0 && !sc_cut_of(o, NULL, 0, v, &cut))
            return sc_fail(e, SCRUPLE_EUNSUPPORTED, "this tensor cannot be cut into panels");
        const struct share share = {all ? (double)(all - n) / (double)all : 0,
                                    all ? (double)k / (double)all : 1};
        TRY(one_pass(v, o, formats, k, &cut, &share, out, e));
        formats += k;
        n -= k;
    }
    return 0;
}

int sc_quality_measure(struct sc_values *v, const struct sc_quality_options *o,
                       struct sc_quality_result *out, struct sc_error *e)
{
    struct sc_planned *formats = sc_calloc(o->n + 1, sizeof *formats);
    size_t n = 0;
    int code = 0, mix = 0;
    *out = (struct sc_quality_result){0};
    if (o->n > SC_QUALITY_FORMATS) {
        free(formats);
        return sc_fail(e, SCRUPLE_EUSAGE, "at most %d formats can be measured at once",
                       SC_QUALITY_FORMATS);
    }
    out->formats = sc_calloc(o->n + 1, sizeof *out->formats);
    if (o->sample)
        out->intervals = sc_calloc(o->n + 1, sizeof *out->intervals);
    if (!formats || !out->formats || (o->sample && !out->intervals))
        code = sc_fail_memory(e);
    if (code == 0 && o->grain != SC_GRAIN_NONE && o->sample == 0 && !o->brief)
        code = sc_cells_make(o, v, &out->cells, e);
    for (size_t i = 0; code == 0 && i < o->n; i++) {
        const bool fits = set_bytes(v, &o->formats[i], &out->formats[i]);
        const bool mixed = out->cells && (!o->in_mix || o->in_mix[i]);
        if (!fits)
            continue;
        sc_plan_format(v, &o->formats[i], &formats[n]);
        formats[n].index = i;
        formats[n].mix = mixed ? mix : -1;
        mix += mixed;
        n++;
    }
    if (code == 0)
        code = v->count ? measure(v, o, formats, n, out, e) : empty(o, out);
    free(formats);
    for (size_t i = 0; o->brief && code == 0 && i < o->n; i++)
        sc_quality_shorten(&out->formats[i]);
    if (out->sampled == 0) {
        free(out->intervals);
        out->intervals = NULL;
    }
    if (code < 0)
        sc_quality_clear(out);
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* quality_facts: what a format must know of a tensor or its lines before it rounds: extents, and
 * how far they should be narrowed. One visit for what is over the tensor, one for lines that panels
 * do not hold; none when no format asks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quality_parts.h"

enum { TOPS = 65536, PANEL_VALUES = 1 << 17, LINES_ACROSS = 16 };

/* One of the two visits. */
struct facts {
    struct sc_quality_pass *q;
    struct sc_extent of; /* of the tensor */
    bool count;          /* a format over the tensor is narrowed */
    bool codes;          /* panels hold BF16 as it is stored */
    pthread_mutex_t lock;
    uint64_t *tops; /* (TOPS) values by their upper 16 bits */
    bool turned;    /* lines are columns */
    bool whole;     /* panels hold whole lines */
    uint64_t n_lines;
};

static void widen(struct sc_extent *to, struct sc_extent by)
{
    to->min = SC_MIN(to->min, by.min);
    to->max = SC_MAX(to->max, by.max);
}

/* ------------------------------------------------------------------------------ the tensor --- */

/* BF16 as it is stored: rows one by one, or all that lie behind each other. */
static void extremes_of_codes(const struct sc_rectangle *at, enum sc_cpu level,
                              struct sc_extent *out)
{
    const bool whole = at->stride == sizeof(uint16_t) * at->n_cols;
    const size_t rows = whole ? 1 : at->n_rows,
                 n = whole ? (size_t)at->n_rows * at->n_cols : at->n_cols;
    *out = (struct sc_extent){INFINITY, -INFINITY};
    for (size_t r = 0; r < rows; r++) {
        struct sc_extent of;
        sc_extremes_bf16(at->codes + r * at->stride, n, level, &of.min, &of.max);
        widen(out, of);
    }
}

static void look_at_tensor(void *ctx, const struct sc_rectangle *at, void *scratch, void *part)
{
    struct facts *f = ctx;
    struct sc_extent *of = part;
    const size_t n = (size_t)at->n_rows * at->n_cols;
    uint32_t *tops = scratch;
    if (at->codes) {
        extremes_of_codes(at, f->q->level, of);
        return;
    }
    sc_extremes(at->values, n, f->q->level, &of->min, &of->max);
    if (!f->count)
        return;
    memset(tops, 0, TOPS * sizeof *tops);
    sc_count_tops(at->values, n, tops);
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < TOPS; i++)
        f->tops[i] += tops[i];
    pthread_mutex_unlock(&f->lock);
}

static void merge_tensor(void *ctx, const struct sc_rectangle *at, const void *part)
{
    struct facts *f = ctx;
    (void)at;
    widen(&f->of, *(const struct sc_extent *)part);
}

static int visit(struct facts *f, uint32_t height, uint32_t width, size_t part, size_t scratch,
                 void (*look)(void *, const struct sc_rectangle *, void *, void *),
                 void (*merge)(void *, const struct sc_rectangle *, const void *),
                 struct sc_error *e)
{
    const struct sc_quality_pass *q = f->q;
    const bool same = height == q->cut.height && width == q->cut.width;
    const struct sc_panels p = {.view = q->v,
                                .matrices = q->cut.matrices,
                                .rows = q->cut.rows,
                                .cols = q->cut.cols,
                                .height = height,
                                .width = width,
                                .part = part,
                                .scratch = scratch,
                                .look = look,
                                .merge = merge,
                                .ctx = f,
                                .p = q->o->p,
                                .cancel = q->o->cancel,
                                .only = same ? q->only : NULL,
                                .n_only = same ? q->n_only : 0,
                                .codes = f->codes};
    return sc_panels_visit(&p, e);
}

/* The values of upper 16 bits, which are all there is of BF16, stand for their neighbours. */
static int narrow(const struct facts *f, const struct sc_encoding *format, struct sc_extent *of,
                  struct sc_error *e)
{
    const bool exact = sc_values_are_bf16(f->q->v);
    float *x = sc_alloc(TOPS * sizeof *x);
    uint32_t *weight = sc_alloc(TOPS * sizeof *weight);
    uint64_t most = 0;
    unsigned shift = 0;
    size_t n = 0;
    int code = 0;
    for (size_t i = 0; i < TOPS; i++)
        most = SC_MAX(most, f->tops[i]);
    while (most >> shift > UINT32_MAX)
        shift++;
    if (!x || !weight)
        code = sc_fail_memory(e);
    for (uint32_t i = 0; code == 0 && i < (uint32_t)TOPS; i++) {
        const uint32_t bits = i << 16 | (exact ? 0 : 0x8000);
        float v;
        memcpy(&v, &bits, sizeof v);
        if (f->tops[i] >> shift == 0 || !isfinite(v))
            continue;
        x[n] = exact ? v : SC_MIN(SC_MAX(v, of->min), of->max);
        weight[n++] = (uint32_t)(f->tops[i] >> shift);
    }
    if (code == 0 && n)
        *of = sc_encoding_clip(format, *of, x, weight, n);
    free(x);
    free(weight);
    return code;
}

static int of_tensor(struct sc_quality_pass *q, struct sc_error *e)
{
    struct facts f = {.q = q, .of = {INFINITY, -INFINITY}};
    bool any = false;
    for (size_t i = 0; i < q->n; i++) {
        any = any || q->formats[i].f->over == SC_OVER_TENSOR;
        f.count = f.count || (q->formats[i].f->over == SC_OVER_TENSOR && q->formats[i].f->clip);
    }
    if (!any)
        return 0;
    if (f.count && !(f.tops = sc_calloc(TOPS, sizeof *f.tops)))
        return sc_fail_memory(e);
    f.codes = !f.count && sc_values_are_bf16(q->v);
    pthread_mutex_init(&f.lock, NULL);
    int code = visit(&f, q->cut.height, q->cut.width, sizeof f.of,
                     f.count ? TOPS * sizeof(uint32_t) : 0, look_at_tensor, merge_tensor, e);
    for (size_t i = 0; code == 0 && i < q->n; i++) {
        struct sc_planned *p = &q->formats[i];
        struct sc_extent of = f.of;
        if (p->f->over != SC_OVER_TENSOR)
            continue;
        if (p->f->clip)
            code = narrow(&f, p->f, &of, e);
        sc_encoding_step(p->f, of, &p->step);
    }
    pthread_mutex_destroy(&f.lock);
    free(f.tops);
    return code;
}

/* ----------------------------------------------------------------------------------- lines --- */

static bool wants_lines(const struct facts *f, const struct sc_planned *p)
{
    const struct sc_cut *c = &f->q->cut;
    return p->f->over == SC_OVER_LINE && p->turned == f->turned &&
           !(p->turned ? c->whole_cols : c->whole_rows);
}

/* Extents of the lines of a panel, in the part; whole lines are narrowed at once. */
static void look_at_lines(void *ctx, const struct sc_rectangle *at, void *scratch, void *part)
{
    const struct facts *f = ctx;
    const struct sc_cut *c = &f->q->cut;
    const size_t lines = f->turned ? at->n_cols : at->n_rows;
    const size_t n = f->turned ? at->n_rows : at->n_cols;
    const uint64_t first =
        f->turned ? at->matrix * c->cols + at->col : at->matrix * c->rows + at->row;
    const float *x = at->values;
    struct sc_extent *of = part;
    if (f->turned) {
        sc_turn(at->values, at->n_rows, at->n_cols, scratch);
        x = scratch;
    }
    for (size_t i = 0; i < lines; i++) {
        sc_extremes(x + i * n, n, f->q->level, &of[i].min, &of[i].max);
        for (size_t k = 0; f->whole && k < f->q->n; k++) {
            const struct sc_planned *p = &f->q->formats[k];
            if (wants_lines(f, p))
                p->lines[first + i] =
                    p->f->clip ? sc_encoding_clip(p->f, of[i], x + i * n, NULL, n) : of[i];
        }
    }
}

static void merge_lines(void *ctx, const struct sc_rectangle *at, const void *part)
{
    const struct facts *f = ctx;
    const struct sc_cut *c = &f->q->cut;
    const struct sc_extent *of = part;
    const uint64_t first =
        f->turned ? at->matrix * c->cols + at->col : at->matrix * c->rows + at->row;
    for (size_t k = 0; !f->whole && k < f->q->n; k++)
        for (size_t i = 0;
             wants_lines(f, &f->q->formats[k]) && i < (f->turned ? at->n_cols : at->n_rows); i++)
            widen(&f->q->formats[k].lines[first + i], of[i]);
}

static int lines_memory(struct facts *f, bool *any, struct sc_error *e)
{
    uint64_t bytes;
    for (size_t k = 0; k < f->q->n; k++) {
        struct sc_planned *p = &f->q->formats[k];
        if (!wants_lines(f, p))
            continue;
        *any = true;
        if (!sc_mul(f->n_lines, sizeof *p->lines, &bytes) || bytes > f->q->o->memory / 4)
            return sc_fail(e, SCRUPLE_ELIMIT, "the steps of %llu lines do not fit the memory",
                           (unsigned long long)f->n_lines);
        p->lines = sc_alloc((size_t)bytes);
        if (!p->lines)
            return sc_fail_memory(e);
        for (uint64_t i = 0; i < f->n_lines; i++)
            p->lines[i] = (struct sc_extent){INFINITY, -INFINITY};
    }
    return 0;
}

/* Whole lines where they fit a panel: they can be narrowed. A longer one keeps its extent. */
static int of_lines(struct sc_quality_pass *q, bool turned, struct sc_error *e)
{
    const struct sc_cut *c = &q->cut;
    struct facts f = {
        .q = q, .turned = turned, .n_lines = c->matrices * (turned ? c->cols : c->rows)};
    uint32_t height = c->height, width = c->width;
    bool any = false;
    TRY(lines_memory(&f, &any, e));
    if (!any)
        return 0;
    if (!turned && c->cols <= (uint64_t)SC_PANEL_VALUES && !q->only) {
        width = (uint32_t)c->cols;
        height = (uint32_t)SC_MIN(SC_MAX((uint64_t)PANEL_VALUES / width, UINT64_C(1)), c->rows);
        f.whole = true;
    } else if (turned && c->rows <= (uint64_t)SC_PANEL_VALUES / LINES_ACROSS && !q->only) {
        height = (uint32_t)c->rows;
        width = (uint32_t)SC_MIN(SC_MAX((uint64_t)PANEL_VALUES / height, (uint64_t)LINES_ACROSS),
                                 c->cols);
        f.whole = true;
    }
    return visit(&f, height, width, (turned ? width : height) * sizeof(struct sc_extent),
                 turned ? (size_t)height * width * sizeof(float) : 0, look_at_lines, merge_lines,
                 e);
}

int sc_quality_facts(struct sc_quality_pass *q, struct sc_error *e)
{
    TRY(of_tensor(q, e));
    TRY(of_lines(q, false, e));
    return of_lines(q, true, e);
}

void sc_quality_facts_free(struct sc_quality_pass *q)
{
    for (size_t f = 0; f < q->n; f++)
        free(q->formats[f].lines);
}

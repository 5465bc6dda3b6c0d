/* SPDX-License-Identifier: Apache-2.0 */
/* quality_tail: quantiles of |d| without a table of all of it.
 *
 *   a sample of panels --> where the largest 1.6 % begin --> all values: those above, in bins
 *   of 0.1 % --> quantiles; where 1 % was not reached, once more with a lower start
 *
 * A small tensor keeps all errors, and its quantiles are exact. Counts are added up in any order,
 * so each thread has a book of its own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quality_parts.h"

enum {
    SAMPLE_VALUES = 1 << 16, /* that are about looked at before */
    SAMPLE_PANELS = 64,      /* at most; at least an eighth of it */
    SAMPLE_ROWS = 8,         /* of these */
    DOWN = 8 << 23,          /* octaves, when a tail began too late */
};
#define SAMPLE_TAIL    0.016            /* share that should be above; 1 % must be */
#define LEAST_ABOVE    UINT32_C(0x1fff) /* below any error that is not nothing */
#define TAIL_QUANTILES 2

static const double quantiles[TAIL_QUANTILES] = {0.99, 0.999};

/* ----------------------------------------------------------------------------------- books --- */

int sc_books_make(struct sc_quality_pass *q, struct sc_error *e)
{
    const size_t n = q->o->p ? SC_MAX(q->o->p->threads, 1U) : 1;
    if (q->o->brief)
        return 0;
    q->books = sc_calloc(n, sizeof *q->books);
    if (!q->books)
        return sc_fail_memory(e);
    q->n_books = n;
    for (size_t i = 0; i < n; i++) {
        struct sc_book *b = &q->books[i];
        b->next = q->free;
        q->free = b;
        if (q->exact) /* all errors are kept */
            continue;
        b->bins = sc_calloc(q->n * SC_TAIL_BINS * SC_TAIL_WAYS, sizeof *b->bins);
        b->coarse = sc_calloc(q->n * SC_COARSE_BINS, sizeof *b->coarse);
        if (!b->bins || !b->coarse)
            return sc_fail_memory(e);
    }
    return 0;
}

void sc_books_free(struct sc_quality_pass *q)
{
    for (size_t i = 0; q->books && i < q->n_books; i++) {
        free(q->books[i].bins);
        free(q->books[i].coarse);
    }
    free(q->books);
    for (size_t f = 0; f < q->n; f++)
        free(q->formats[f].errors);
}

/* There are as many as threads, so one is always free; NULL: nobody counts. */
struct sc_book *sc_book_take(struct sc_quality_pass *q)
{
    if (!q->books)
        return NULL;
    pthread_mutex_lock(&q->lock);
    struct sc_book *b = q->free;
    q->free = b->next;
    pthread_mutex_unlock(&q->lock);
    return b;
}

void sc_book_return(struct sc_quality_pass *q, struct sc_book *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&q->lock);
    b->next = q->free;
    q->free = b;
    pthread_mutex_unlock(&q->lock);
}

int sc_quality_visit(struct sc_quality_pass *q, enum sc_look look, struct sc_error *e)
{
    struct sc_look_sums unused;
    const struct sc_panels p = {.view = q->v,
                                .matrices = q->cut.matrices,
                                .rows = q->cut.rows,
                                .cols = q->cut.cols,
                                .height = q->cut.height,
                                .width = q->cut.width,
                                .part = sc_look_lay(q, NULL, &unused),
                                .scratch = sc_look_scratch(q),
                                .look = sc_look,
                                .merge = sc_totals_merge,
                                .ctx = q,
                                .p = q->o->p,
                                .cancel = q->o->cancel,
                                .only = q->only,
                                .n_only = q->n_only,
                                .codes = q->codes};
    q->look = look;
    if (look == SC_LOOK_ALL) /* visits for a tail that began too late are few; they count as none */
        q->panels = (q->only ? q->n_only : sc_panels_count(&p)) + 1;
    return sc_panels_visit(&p, e);
}

/* ----------------------------------------------------------------------------------- before --- */

static int keep_all_errors(struct sc_quality_pass *q, struct sc_error *e)
{
    for (size_t f = 0; f < q->n; f++) {
        struct sc_planned *p = &q->formats[f];
        if (p->lossless)
            continue;
        p->errors = sc_alloc((size_t)q->v->count * sizeof *p->errors);
        if (!p->errors)
            return sc_fail_memory(e);
        for (uint64_t i = 0; i < q->v->count; i++)
            p->errors[i] = NAN;
    }
    return 0;
}

/* Where the tail of a format begins, and whether many values are at its beginning: half a step is
 * what block floats lose of many BF16 values, and most. */
static void start_tail(const struct sc_quality_pass *q, size_t f, struct sc_planned *p)
{
    uint64_t n = 0, above = 0, here = 0;
    uint32_t bin = SC_COARSE_BINS;
    for (size_t i = 0; i < q->n_books; i++)
        for (size_t k = 0; k < SC_COARSE_BINS; k++)
            n += q->books[i].coarse[f * SC_COARSE_BINS + k];
    while (bin > 2 && (double)above < SAMPLE_TAIL * (double)n) {
        bin--;
        here = 0;
        for (size_t i = 0; i < q->n_books; i++)
            here += q->books[i].coarse[f * SC_COARSE_BINS + bin];
        above += here;
    }
    p->above = LEAST_ABOVE;
    p->common = 0;
    if (bin <= 2 || n == 0)
        return;
    p->above = (bin / 2 << SC_COARSE_SHIFT) + (bin % 2 << SC_TAIL_SHIFT) - 1;
    if (bin % 2 == 0 && (double)here > SAMPLE_TAIL * (double)n)
        p->common = p->above + (1U << SC_TAIL_SHIFT);
}

/* `many` panels at even distances, of q->only or of all. */
static int pick_panels(const struct sc_quality_pass *q, uint64_t total, uint64_t many,
                       uint64_t **out, struct sc_error *e)
{
    uint64_t *only = sc_alloc((size_t)many * sizeof *only);
    *out = only;
    if (!only)
        return sc_fail_memory(e);
    for (uint64_t i = 0; i < many; i++) {
        const uint64_t k = (uint64_t)(((double)i + 0.5) * (double)total / (double)many);
        only[i] = q->only ? q->only[k] : k;
    }
    return 0;
}

static int sample(struct sc_quality_pass *q, struct sc_error *e)
{
    const struct sc_cut cut = q->cut;
    const uint64_t *was = q->only;
    const size_t n_was = q->n_only;
    const bool columns = q->columns_kept;
    uint64_t *only = NULL;
    if (!was && !q->any_other_axis)
        q->cut.height =
            SC_MIN(q->cut.height, q->any_down ? (uint32_t)SC_TILE : (uint32_t)SAMPLE_ROWS);
    if (!was && !q->cut.whole_rows)
        q->cut.width = q->cut.segment;
    const struct sc_panels p = {.view = q->v,
                                .matrices = q->cut.matrices,
                                .rows = q->cut.rows,
                                .cols = q->cut.cols,
                                .height = q->cut.height,
                                .width = q->cut.width};
    const uint64_t total = was ? n_was : sc_panels_count(&p);
    const uint64_t size = (uint64_t)q->cut.height * q->cut.width;
    const uint64_t some =
        SC_MAX(SC_MIN(SAMPLE_VALUES / size, (uint64_t)SAMPLE_PANELS), (uint64_t)SAMPLE_PANELS / 8);
    const uint64_t many = SC_MIN(some, total);
    int code = pick_panels(q, total, many, &only, e);
    q->only = only;
    q->n_only = (size_t)many;
    q->columns_kept = false;
    if (code == 0)
        code = sc_quality_visit(q, SC_LOOK_SAMPLE, e);
    q->cut = cut;
    q->only = was;
    q->n_only = n_was;
    q->columns_kept = columns;
    free(only);
    return code;
}

int sc_tail_begin(struct sc_quality_pass *q, struct sc_error *e)
{
    if (q->o->brief)
        return 0;
    if (q->exact)
        return keep_all_errors(q, e);
    TRY(sample(q, e));
    for (size_t f = 0; f < q->n; f++) {
        start_tail(q, f, &q->formats[f]);
        q->formats[f].tail = !q->formats[f].lossless;
    }
    return 0;
}

/* ------------------------------------------------------------------------------- afterwards --- */

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Linear interpolation between the values that stand next to it. */
static double exact_quantile(const float *sorted, size_t n, double share)
{
    const double at = share * (double)(n - 1), low = floor(at);
    const size_t i = (size_t)low;
    const double a = (double)sorted[i], b = (double)sorted[SC_MIN(i + 1, n - 1)];
    return a + (at - low) * (b - a);
}

static void small_quantiles(struct sc_planned *p, uint64_t count, struct sc_quality *out)
{
    size_t n = 0;
    for (uint64_t i = 0; i < count; i++)
        if (!isnan(p->errors[i]))
            p->errors[n++] = p->errors[i];
    qsort(p->errors, n, sizeof *p->errors, compare_floats);
    out->p99 = n ? exact_quantile(p->errors, n, quantiles[0]) : 0;
    out->p999 = n ? exact_quantile(p->errors, n, quantiles[1]) : 0;
}

static double edge_of(uint32_t bin)
{
    const uint32_t bits = bin << SC_TAIL_SHIFT;
    float v;
    memcpy(&v, &bits, sizeof v);
    return (double)v;
}

static uint64_t count_of(const struct sc_quality_pass *q, size_t f, size_t bin)
{
    uint64_t n = 0;
    for (size_t b = 0; b < q->n_books; b++)
        for (size_t way = 0; way < SC_TAIL_WAYS; way++)
            n += q->books[b].bins[(f * SC_TAIL_BINS + bin) * SC_TAIL_WAYS + way];
    return n;
}

/* The value of this rank among n; false: it lies outside of the bins, which shall begin at *above.
 */
static bool find_rank(const struct sc_quality_pass *q, size_t f, uint64_t n, uint64_t rank,
                      double *out, uint32_t *above)
{
    const uint32_t first = (q->formats[f].above >> SC_TAIL_SHIFT) + 1;
    uint64_t inside = 0, seen = 0;
    for (size_t i = 0; i < SC_TAIL_BINS; i++)
        inside += count_of(q, f, i);
    const uint64_t below = n - inside;
    *out = 0;
    if (rank < below) {
        if (q->formats[f].above == LEAST_ABOVE)
            return true;
        *above = q->formats[f].above > (uint32_t)DOWN ? q->formats[f].above - DOWN : LEAST_ABOVE;
        return false;
    }
    for (uint32_t i = 0; i < (uint32_t)SC_TAIL_BINS; i++) {
        const uint64_t here = count_of(q, f, i);
        if (rank < below + seen + here && i + 1 == (uint32_t)SC_TAIL_BINS &&
            first + i < UINT32_C(0x7f800000) >> SC_TAIL_SHIFT) {
            *above = ((first + i) << SC_TAIL_SHIFT) - 1;
            return false;
        }
        if (rank < below + seen + here) {
            const double low = edge_of(first + i), high = edge_of(first + i + 1);
            const double in = ((double)(rank - below - seen) + 0.5) / (double)here;
            *out = low + (isfinite(high) ? high - low : 0) * in;
            return true;
        }
        seen += here;
    }
    return true;
}

static void clear_bins(struct sc_quality_pass *q)
{
    for (size_t b = 0; b < q->n_books; b++)
        memset(q->books[b].bins, 0, q->n * SC_TAIL_BINS * SC_TAIL_WAYS * sizeof *q->books[b].bins);
}

int sc_tail_end(struct sc_quality_pass *q, struct sc_quality *out, struct sc_error *e)
{
    if (q->o->brief)
        return 0;
    for (size_t f = 0; f < q->n; f++) {
        struct sc_quality *g = &out[q->formats[f].index];
        g->p99 = g->p999 = q->formats[f].lossless ? 0 : NAN;
        if (q->formats[f].errors)
            small_quantiles(&q->formats[f], q->v->count, g);
    }
    for (bool again = true; again;) {
        again = false;
        for (size_t f = 0; f < q->n; f++) {
            struct sc_planned *p = &q->formats[f];
            struct sc_quality *g = &out[p->index];
            double *const to[] = {&g->p99, &g->p999};
            float most;
            bool missing = false;
            const uint64_t n = g->finite;
            uint32_t above = p->above;
            memcpy(&most, &q->d[f].most, sizeof most);
            for (size_t k = 0; p->tail && p->active && k < TAIL_QUANTILES; k++) {
                double value = 0;
                if (!isnan(*to[k]))
                    continue;
                const uint64_t rank = n ? (uint64_t)(quantiles[k] * (double)(n - 1)) : 0;
                if (n == 0 || find_rank(q, f, n, rank, &value, &above))
                    *to[k] = SC_MIN(value, (double)most);
                else
                    missing = true;
            }
            p->active = missing;
            p->above = above;
            p->common = 0;
            again = again || missing;
        }
        if (again) {
            clear_bins(q);
            TRY(sc_quality_visit(q, SC_LOOK_TAIL, e));
        }
    }
    return 0;
}

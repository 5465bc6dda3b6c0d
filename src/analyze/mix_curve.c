/* SPDX-License-Identifier: Apache-2.0 */
/* mix_curve: the best assignments of all sizes.
 *
 * All sizes are found together (mix_hull.c), then the assignments are walked through beside each
 * other, cell by cell, and never stored. */
#include <stdlib.h>
#include <string.h>

#include "analyze/mix_set.h"

struct point {
    struct sc_mix_sums sums;
    struct sc_mix_totals totals;
    uint64_t spent; /* without what formats add once; steps within the cut included */
    uint32_t used;  /* formats of the table at hand */
};
struct curve {
    const struct sc_mix_set *s;
    const struct sc_mix_price *p;
    const struct sc_mix_cut *cuts;
    const uint64_t *bytes; /* (n) targets */
    struct point *points;
    size_t n, share; /* points that one thread does */
};

/* The step that a point ends with in a cell. */
static unsigned step_of(const struct curve *job, size_t i, const struct sc_mix_hull *h)
{
    const struct sc_mix_cut *cut = &job->cuts[i];
    struct point *point = &job->points[i];
    unsigned k = 0;

    while (k + 1 < h->n && h->key[k + 1] > cut->hi)
        k++;
    if (job->p->kind == SC_MIX_ERROR_MOST || cut->lo == 0)
        return k;
    for (; k + 1 < h->n && h->key[k + 1] >= cut->lo; k++) {
        const uint64_t more = h->bytes[k + 1] - h->bytes[k];
        if (point->spent > job->bytes[i] || more > job->bytes[i] - point->spent)
            break;
        point->spent += more;
    }
    return k;
}

static void walk_run(const struct curve *job, const struct sc_mix_run *r, size_t first, size_t last)
{
    struct sc_mix_hull h;

    for (uint64_t i = 0; i < r->n; i++) {
        const uint64_t cell = r->first + i;
        sc_mix_hull_of(job->p, r, cell, &h);
        for (size_t k = first; k < last; k++) {
            struct point *point = &job->points[k];
            const unsigned step = step_of(job, k, &h);
            const uint8_t f = h.format[step];
            sc_mix_sums_add(&point->sums, &r->c->values[cell], sc_cell_error(r->c, cell, f));
            point->totals.bytes = sc_add_up(point->totals.bytes, h.bytes[step]);
            point->totals.cells[f]++;
            point->used |= UINT32_C(1) << f;
        }
    }
    for (size_t k = first; k < last; k++) { /* runs are whole tables */
        struct point *point = &job->points[k];
        for (size_t f = 0; f < r->c->n_formats; f++)
            if (point->used >> f & 1)
                point->totals.bytes = sc_add_up(point->totals.bytes, r->c->once[f]);
        point->used = 0;
    }
}

static void walk(void *ctx, size_t i)
{
    const struct curve *job = ctx;
    const size_t first = i * job->share, last = SC_MIN(first + job->share, job->n);
    const uint64_t end = sc_mix_set_cells(job->s);

    for (uint64_t at = 0; at < end;) {
        const struct sc_mix_run r = sc_mix_run_at(job->s, at, end);
        walk_run(job, &r, first, last);
        at += r.n;
    }
    for (size_t k = first; k < last; k++)
        sc_mix_sums_totals(&job->points[k].sums, &job->points[k].totals);
}

/* The fewest bytes for the least largest error. */
struct least {
    const struct sc_mix_price *p;
    double most;   /* of all cells in their best formats */
    bool counting; /* bytes for it */
    uint64_t bytes;
};

static void least_run(void *ctx, const struct sc_mix_run *r, void *partial)
{
    const struct least *job = ctx;
    struct least *out = partial;
    struct sc_mix_hull h;

    for (uint64_t i = 0; i < r->n; i++) {
        unsigned k = 0;
        sc_mix_hull_of(job->p, r, r->first + i, &h);
        while (job->counting && h.error[k] > job->most)
            k++; /* ends: the last one is not above */
        out->bytes += h.bytes[k];
        out->most = SC_MAX(out->most, h.error[h.n - 1]);
    }
}

static void least_fold(void *ctx, void *partial)
{
    struct least *job = ctx;
    const struct least *part = partial;
    job->bytes += part->bytes;
    if (!job->counting)
        job->most = SC_MAX(job->most, part->most);
}

static int least_bytes(const struct sc_mix_set *s, const struct sc_mix_price *p, uint64_t *bytes,
                       struct sc_error *e)
{
    struct least job = {.p = p};
    const struct sc_mix_pass pass = {sizeof job, least_run, least_fold, &job};
    TRY(sc_mix_set_pass(s, &pass, e));
    job.counting = true;
    job.bytes = 0;
    TRY(sc_mix_set_pass(s, &pass, e));
    *bytes = job.bytes;
    return 0;
}

/* Targets: evenly from the fewest bytes to those of the least error. *n: fewer where they meet. */
static int targets(const struct sc_mix_set *s, const struct sc_mix_price *p, uint64_t *bytes,
                   size_t *n, struct sc_error *e)
{
    const uint64_t ends[2] = {0, UINT64_MAX};
    const struct sc_mix_targets t = {.by_bytes = true, .bytes = ends, .n = 2};
    struct sc_mix_cut cuts[2];

    TRY(sc_mix_select(s, p, &t, cuts, e));
    const uint64_t least = cuts[0].bytes;
    uint64_t most = cuts[1].bytes;
    if (p->kind == SC_MIX_ERROR_MOST)
        TRY(least_bytes(s, p, &most, e));
    *n = (size_t)SC_MIN((uint64_t)*n, most - least + 1);
    for (size_t i = 0; i < *n; i++)
        bytes[i] = i + 1 == *n
                       ? most
                       : least + (uint64_t)((double)(most - least) * (double)i / (double)(*n - 1));
    return 0;
}

/* Only points that are better than every smaller one. */
static size_t frontier(const struct curve *job, enum sc_mix_metric m, struct sc_mix_totals *out)
{
    size_t n = 0;
    for (size_t i = 0; i < job->n; i++) {
        const struct sc_mix_totals *t = &job->points[i].totals;
        const double value = sc_mix_value(t, m);
        if (n > 0 && !sc_mix_better(m, value, sc_mix_value(&out[n - 1], m)))
            continue;
        while (n > 0 && t->bytes <= out[n - 1].bytes)
            n--;
        out[n++] = *t;
    }
    return n;
}

static int make_curve(struct curve *job, enum sc_mix_metric m, uint64_t *bytes,
                      struct sc_mix_cut *cuts, struct sc_mix_totals *out, size_t *n_out,
                      struct sc_error *e)
{
    TRY(targets(job->s, job->p, bytes, &job->n, e));
    const struct sc_mix_targets t = {.by_bytes = true, .bytes = bytes, .n = job->n};
    TRY(sc_mix_select(job->s, job->p, &t, cuts, e));
    const size_t threads = job->s->p ? SC_MAX(job->s->p->threads, 1U) : 1;
    job->share = SC_MAX((job->n + threads - 1) / threads, (size_t)1);
    for (size_t i = 0; i < job->n; i++)
        job->points[i].spent = cuts[i].bytes;
    sc_parallel_run(job->s->p, (job->n + job->share - 1) / job->share, walk, job);
    *n_out = frontier(job, m, out);
    return 0;
}

int sc_mix_curve(struct sc_cells *const *c, size_t n, enum sc_mix_metric metric, size_t points,
                 const struct sc_parallel *p, struct sc_mix_totals **out, size_t *n_out,
                 struct sc_error *e)
{
    enum { MAX_POINTS = 4096 };
    const size_t m = SC_MIN(SC_MAX(points, (size_t)2), (size_t)MAX_POINTS);
    struct sc_mix_set s = {0};
    const struct sc_mix_price price = {.kind = sc_mix_error_of(metric), .mask = UINT32_MAX};
    struct curve job = {.s = &s, .p = &price, .n = m};
    uint64_t *bytes = sc_calloc(m, sizeof *bytes);
    struct sc_mix_cut *cuts = sc_calloc(m, sizeof *cuts);
    struct sc_mix_totals *totals = sc_calloc(m, sizeof *totals);
    int rc = sc_mix_set_make(&s, (const struct sc_cells *const *)c, n, p, e);

    job.points = sc_calloc(m, sizeof *job.points);
    job.cuts = cuts;
    job.bytes = bytes;
    *n_out = 0;
    if (rc == 0)
        rc = bytes && cuts && totals && job.points
                 ? make_curve(&job, metric, bytes, cuts, totals, n_out, e)
                 : sc_fail_memory(e);
    sc_mix_set_clear(&s);
    free(job.points);
    free(cuts);
    free(bytes);
    *out = rc == 0 ? totals : NULL;
    if (rc < 0)
        free(totals);
    return rc;
}

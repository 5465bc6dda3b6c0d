/* SPDX-License-Identifier: Apache-2.0 */
/* band: a symmetric matrix to a band by blocked Householder similarity.
 *
 * Bischof, Lang, Sun: A framework for symmetric band reduction (2000), first stage. For each panel
 * of `width` columns below the band: Q R by compact WY, Q = I - V T V'; then, with X = A V T and
 * W = X - V (T' V' X) / 2, the rest becomes A - V W' - W V'. Nearly all of it is matrix products,
 * where the usual tridiagonalisation spends half of its work reading the matrix once a column. */
#include <stdlib.h>
#include <string.h>

#include "math/svd.h"

enum { BLOCK = 256 };

struct reduction {
    const struct sc_svd_job *job;
    double *a; /* the rest: r x r, lower */
    uint64_t r, ld;
    uint64_t k;   /* reflectors */
    double *vwv;  /* r x 3k, ld r: V, W, V side by side, so that [V W] [W V]' is one product */
    double *x;    /* A V, r x k */
    double *t;    /* k x k */
    double *m;    /* V' X, k x k, one a block */
    double *half; /* T' (V' X) / 2 */
};

static const double one = 1, zero = 0, minus_one = -1;

/* Rows of block `task`: X = A V T into W, and their part of V' X. */
static void multiply(void *ctx, size_t task)
{
    const struct reduction *s = ctx;
    const struct sc_lapack *la = s->job->la;
    const uint64_t i0 = (uint64_t)task * BLOCK, i1 = SC_MIN(i0 + BLOCK, s->r);
    const int rows = (int)(i1 - i0), before = (int)i0, after = (int)(s->r - i1), k = (int)s->k;
    const int ld = (int)s->ld, ldv = (int)s->r;
    const double *v = s->vwv;
    double *x = s->x + i0, *w = s->vwv + s->k * s->r + i0;
    la->dsymm("L", "L", &rows, &k, &one, s->a + i0 + i0 * s->ld, &ld, v + i0, &ldv, &zero, x, &ldv,
              1, 1);
    if (before)
        la->dgemm("N", "N", &rows, &k, &before, &one, s->a + i0, &ld, v, &ldv, &one, x, &ldv, 1, 1);
    if (after)
        la->dgemm("T", "N", &rows, &k, &after, &one, s->a + i1 + i0 * s->ld, &ld, v + i1, &ldv,
                  &one, x, &ldv, 1, 1);
    la->dgemm("N", "N", &rows, &k, &k, &one, x, &ldv, s->t, &k, &zero, w, &ldv, 1, 1);
    la->dgemm("T", "N", &k, &k, &rows, &one, v + i0, &ldv, w, &ldv, &zero,
              s->m + task * s->k * s->k, &k, 1, 1);
}

static void finish_w(void *ctx, size_t task)
{
    const struct reduction *s = ctx;
    const uint64_t i0 = (uint64_t)task * BLOCK, i1 = SC_MIN(i0 + BLOCK, s->r);
    const int rows = (int)(i1 - i0), k = (int)s->k, ldv = (int)s->r;
    const double *v = s->vwv + i0;
    double *w = s->vwv + s->k * s->r + i0;
    s->job->la->dgemm("N", "N", &rows, &k, &k, &minus_one, v, &ldv, s->half, &k, &one, w, &ldv, 1,
                      1);
}

/* Columns of block `task` of the rest, from their diagonal down. */
static void update(void *ctx, size_t task)
{
    const struct reduction *s = ctx;
    const struct sc_lapack *la = s->job->la;
    const uint64_t j0 = (uint64_t)task * BLOCK, j1 = SC_MIN(j0 + BLOCK, s->r);
    const int cols = (int)(j1 - j0), below = (int)(s->r - j1), k = (int)s->k, k2 = 2 * k;
    const int ld = (int)s->ld, ldv = (int)s->r;
    const double *vw = s->vwv, *wv = s->vwv + s->k * s->r;
    la->dsyr2k("L", "N", &cols, &k, &minus_one, vw + j0, &ldv, wv + j0, &ldv, &one,
               s->a + j0 + j0 * s->ld, &ld, 1, 1);
    if (below)
        la->dgemm("N", "T", &below, &cols, &k2, &minus_one, vw + j1, &ldv, wv + j0, &ldv, &one,
                  s->a + j1 + j0 * s->ld, &ld, 1, 1);
}

/* V of the panel (r x k, ld) with its ones and zeros, twice. */
static void copy_v(struct reduction *s, const double *panel)
{
    for (uint64_t j = 0; j < s->k; j++) {
        double *v = s->vwv + j * s->r;
        for (uint64_t i = 0; i < s->r; i++)
            v[i] = i > j ? panel[i + j * s->ld] : i == j ? 1.0 : 0.0;
        memcpy(v + 2 * s->k * s->r, v, (size_t)s->r * sizeof *v);
    }
}

/* A <- Q' A Q for the rest. */
static void similarity(struct reduction *s)
{
    const struct sc_lapack *la = s->job->la;
    const uint64_t blocks = (s->r + BLOCK - 1) / BLOCK, kk = s->k * s->k;
    const int k = (int)s->k;
    const double half = 0.5;
    sc_svd_run(s->job, blocks, multiply, s);
    for (uint64_t b = 1; b < blocks; b++)
        for (uint64_t i = 0; i < kk; i++)
            s->m[i] += s->m[b * kk + i];
    la->dgemm("T", "N", &k, &k, &k, &half, s->t, &k, s->m, &k, &zero, s->half, &k, 1, 1);
    sc_svd_run(s->job, blocks, finish_w, s);
    sc_svd_run(s->job, blocks, update, s);
}

/* Columns j..j+width of a, from the diagonal to `width` below it, into the band. */
static void keep_band(const double *a, uint64_t n, uint64_t j, uint64_t width, double *band)
{
    for (uint64_t c = j; c < SC_MIN(j + width, n); c++)
        memcpy(band + c * sc_band_ld(width), a + c + c * n,
               (size_t)(SC_MIN(c + width + 1, n) - c) * sizeof *a);
}

/* The last panel is wider than high: its other columns see Q' from the left only. */
static void rest_of_panel(struct reduction *s, double *c, uint64_t cols)
{
    const struct sc_lapack *la = s->job->la;
    const int r = (int)s->r, k = (int)s->k, n = (int)cols, ld = (int)s->ld;
    la->dgemm("T", "N", &k, &n, &r, &one, s->vwv, &r, c, &ld, &zero, s->x, &k, 1, 1);
    la->dgemm("T", "N", &k, &n, &k, &one, s->t, &k, s->x, &k, &zero, s->half, &k, 1, 1);
    la->dgemm("N", "N", &r, &n, &k, &minus_one, s->vwv, &r, s->half, &k, &one, c, &ld, 1, 1);
}

static int reduce(struct reduction *s, double *a, uint64_t n, uint64_t width, double *band,
                  struct sc_error *e)
{
    uint64_t j = 0;
    for (; j + width < n; j += width) {
        TRY(sc_svd_pause(s->job, e));
        double *panel = a + j + width + j * n;
        s->r = n - j - width;
        s->k = SC_MIN(width, s->r);
        s->a = a + (j + width) * (n + 1);
        memset(s->t, 0,
               (size_t)(width * width) * sizeof *s->t); /* nobody writes below its diagonal */
        int info = 0;
        const int r = (int)s->r, k = (int)s->k, ld = (int)s->ld;
        s->job->la->dgeqrt3(&r, &k, panel, &ld, s->t, &k, &info);
        copy_v(s, panel);
        if (s->k < width)
            rest_of_panel(s, panel + s->k * n, width - s->k);
        keep_band(a, n, j, width, band); /* R lies on and above the diagonal of the panel */
        similarity(s);
    }
    for (; j < n; j += width)
        keep_band(a, n, j, width, band);
    return 0;
}

int sc_band_reduce(const struct sc_svd_job *job, double *a, uint64_t n, uint64_t width,
                   double *band, struct sc_error *e)
{
    const uint64_t blocks = (n + BLOCK - 1) / BLOCK, ww = width * width;
    double *scratch = sc_svd_doubles(4 * width * n + (blocks + 2) * ww, 1, e);
    if (!scratch)
        return SCRUPLE_EMEMORY;
    struct reduction s = {.job = job, .ld = n, .vwv = scratch, .x = scratch + 3 * width * n};
    s.t = s.x + width * n;
    s.half = s.t + ww;
    s.m = s.half + ww;
    const int status = reduce(&s, a, n, width, band, e);
    free(scratch);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* bidiagonal: every singular value of a square matrix to within rounding.
 *
 * Householder bidiagonalisation (Golub, Van Loan: Matrix Computations, 5.4.8) in blocks, as dgebrd
 * does it, with the products shared by threads and a look at the caller's wish between blocks; then
 * the differential quotient-difference algorithm. */
#include <stdlib.h>

#include "math/svd.h"

enum { PANEL = 32, LAST = 64, COLUMNS = 256 };
static const double one = 1, minus_one = -1;

struct update {
    const struct sc_svd_job *job;
    double *a; /* n x n; the rest starts PANEL further */
    uint64_t n, r;
    const double *x, *y; /* r x PANEL */
};

/* A <- A - V Y' - X U' for the columns of block `task` of the rest. */
static void update(void *ctx, size_t task)
{
    const struct update *u = ctx;
    const uint64_t from = PANEL + (uint64_t)task * COLUMNS;
    const int rows = (int)(u->r - PANEL), cols = (int)SC_MIN(COLUMNS, u->r - from), k = PANEL;
    const int ld = (int)u->n, ldx = (int)u->r;
    double *c = u->a + PANEL + from * u->n;
    u->job->la->dgemm("N", "T", &rows, &cols, &k, &minus_one, u->a + PANEL, &ld, u->y + from, &ldx,
                      &one, c, &ld, 1, 1);
    u->job->la->dgemm("N", "N", &rows, &cols, &k, &minus_one, u->x + PANEL, &ldx,
                      u->a + from * u->n, &ld, &one, c, &ld, 1, 1);
}

int sc_bidiagonal_values(const struct sc_svd_job *job, double *a, uint64_t n, double *s,
                         struct sc_error *e)
{
    const int ld = (int)n, k = PANEL, size = 2 * PANEL * (int)n;
    double *e1 = sc_svd_doubles(3 + 2 * PANEL + 4, n, e);
    if (!e1)
        return SCRUPLE_EMEMORY;
    double *tauq = e1 + n, *taup = tauq + n, *x = taup + n, *work = x + 2 * n * PANEL;
    uint64_t i = 0;
    int status = 0, info = 0;
    for (; n - i > LAST; i += PANEL) {
        struct update u = {.job = job, .a = a + i * (n + 1), .n = n, .r = n - i, .x = x};
        u.y = x + PANEL * u.r;
        const int r = (int)u.r;
        status = sc_svd_pause(job, e);
        if (status < 0)
            break;
        job->la->dlabrd(&r, &r, &k, u.a, &ld, s + i, e1 + i, tauq, taup, x, &r, x + PANEL * u.r,
                        &r);
        sc_svd_run(job, (u.r - PANEL + COLUMNS - 1) / COLUMNS, update, &u);
    }
    if (status == 0) {
        const int order = (int)n, rest = (int)(n - i);
        job->la->dgebrd(&rest, &rest, a + i * (n + 1), &ld, s + i, e1 + i, tauq, taup, x, &size,
                        &info);
        job->la->dlasq1(&order, s, e1, work, &info);
        if (info != 0)
            status = sc_fail(e, SCRUPLE_EFORMAT, "the singular values of a matrix do not converge");
    }
    free(e1);
    return status;
}

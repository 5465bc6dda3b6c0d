/* SPDX-License-Identifier: Apache-2.0 */
/* symmetric: all eigenvalues of a symmetric matrix.
 *
 * Small ones by LAPACK's tridiagonalisation; large ones by way of a band, because that reads the
 * matrix n / SC_BAND_WIDTH times instead of n times. Then root-free QL. */
#include <stdlib.h>
#include <string.h>

#include "math/svd.h"

enum { SMALL = 320 };

static int small(const struct sc_svd_job *job, double *a, uint64_t n, double *d, double *e1,
                 struct sc_error *e)
{
    const int order = (int)n, size = 32 * (int)n;
    int info = 0;
    double *work = sc_svd_doubles(33 * n, 1, e);
    if (!work)
        return SCRUPLE_EMEMORY;
    job->la->dsytrd("L", &order, a, &order, d, e1, work + n * 32, work, &size, &info, 1);
    free(work);
    return 0;
}

static int large(const struct sc_svd_job *job, double *a, uint64_t n, double *d, double *e1,
                 struct sc_error *e)
{
    const uint64_t width = SC_BAND_WIDTH, ld = sc_band_ld(width), cols = n + 2 * width;
    double *band = sc_svd_doubles(ld, cols, e);
    if (!band)
        return SCRUPLE_EMEMORY;
    memset(band, 0, (size_t)(ld * cols) * sizeof *band);
    int status = sc_band_reduce(job, a, n, width, band, e);
    if (status == 0)
        status = sc_band_chase(job, band, n, d, e1, e);
    free(band);
    return status;
}

int sc_symmetric_values(const struct sc_svd_job *job, double *a, uint64_t n, double *w,
                        struct sc_error *e)
{
    double *e1 = sc_svd_doubles(n, 1, e);
    if (!e1)
        return SCRUPLE_EMEMORY;
    int status = (n <= SMALL ? small : large)(job, a, n, w, e1, e);
    if (status == 0)
        status = sc_svd_pause(job, e);
    if (status == 0) {
        const int order = (int)n;
        int info = 0;
        job->la->dsterf(&order, w, e1, &info);
        if (info != 0)
            status = sc_fail(e, SCRUPLE_EFORMAT, "the eigenvalues of a matrix do not converge");
    }
    free(e1);
    return status;
}

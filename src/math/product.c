/* SPDX-License-Identifier: Apache-2.0 */
/* product: singular values of a product of two thin matrices, which is never formed.
 *
 *     up = Q1 R1,  down^T = Q2 R2    =>    up * down = Q1 (R1 R2^T) Q2^T
 *
 * and the values of the small matrix in the middle are those of the product. QR by Householder
 * reflections, the small matrix by one-sided Jacobi rotations, which find small values to high
 * relative accuracy (Demmel and Veselic, SIAM J. Matrix Anal. Appl. 13 (1992) 1204). */
#include "math/math.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SWEEPS = 60 };

/* x -= 2 v (v . x) / (v . v), over n. */
static void reflect(const double *v, double vv, double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i] * x[i];
    sum *= 2 / vv;
    for (size_t i = 0; i < n; i++)
        x[i] -= sum * v[i];
}

/* a: n x k, column-major, is overwritten; r: k x k, column-major, upper triangle of its QR
 * factorisation (rows beyond min(n, k) are zero). */
static void factorise(double *a, size_t n, size_t k, double *r)
{
    memset(r, 0, k * k * sizeof *r);
    for (size_t j = 0; j < k; j++) {
        double *x = a + j * n;
        const size_t top = SC_MIN(j, n);
        double largest = 0, norm = 0;
        for (size_t i = top; i < n; i++)
            largest = fmax(largest, fabs(x[i]));
        for (size_t i = top; i < n && largest > 0; i++)
            norm += (x[i] / largest) * (x[i] / largest);
        norm = largest * sqrt(norm);
        memcpy(r + j * k, x, top * sizeof *r);
        if (j >= n)
            continue;
        const double pivot = x[j] > 0 ? -norm : norm;
        r[j * k + j] = pivot;
        if (!(norm > 0))
            continue;
        x[j] -= pivot;
        /* Scaled, so that the square neither overflows nor vanishes. */
        double vv = 0;
        for (size_t i = j; i < n; i++) {
            x[i] /= norm;
            vv += x[i] * x[i];
        }
        for (size_t c = j + 1; c < k; c++)
            reflect(x + j, vv, a + c * n + j, n - j);
    }
}

/* Rotates columns x and y to be orthogonal; false: they are. */
static bool rotate(double *x, double *y, size_t n)
{
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        xx += x[i] * x[i];
        yy += y[i] * y[i];
        xy += x[i] * y[i];
    }
    if (!(fabs(xy) > DBL_EPSILON * sqrt(xx) * sqrt(yy)))
        return false;
    const double zeta = (yy - xx) / (2 * xy);
    const double t = copysign(1, zeta) / (fabs(zeta) + sqrt(1 + zeta * zeta));
    const double c = 1 / sqrt(1 + t * t), s = c * t;
    for (size_t i = 0; i < n; i++) {
        const double old = x[i];
        x[i] = c * old - s * y[i];
        y[i] = s * old + c * y[i];
    }
    return true;
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The values of m (k x k, column-major, destroyed) into s. */
static int jacobi(double *m, size_t k, const _Atomic int *cancel, double *s, struct sc_error *e)
{
    double largest = 0;
    for (size_t i = 0; i < k * k; i++)
        largest = fmax(largest, fabs(m[i]));
    for (size_t i = 0; i < k * k && largest > 0; i++)
        m[i] /= largest;
    bool again = true;
    for (unsigned sweep = 0; again && sweep < MOST_SWEEPS; sweep++) {
        again = false;
        for (size_t i = 0; i + 1 < k; i++) {
            if (cancel && *cancel)
                return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
            for (size_t j = i + 1; j < k; j++)
                again = rotate(m + i * k, m + j * k, k) || again;
        }
    }
    for (size_t j = 0; j < k; j++) {
        double sum = 0;
        for (size_t i = 0; i < k; i++)
            sum += m[j * k + i] * m[j * k + i];
        s[j] = largest * sqrt(sum);
    }
    qsort(s, k, sizeof *s, descending);
    return 0;
}

/* R1 R2^T, both upper triangles. */
static void multiply(const double *r1, const double *r2, size_t k, double *out)
{
    memset(out, 0, k * k * sizeof *out);
    for (size_t j = 0; j < k; j++)
        for (size_t l = j; l < k; l++)
            for (size_t i = 0; i <= l; i++)
                out[j * k + i] += r1[l * k + i] * r2[l * k + j];
}

/* All finite? */
static bool widen(const float *src, size_t n, double *dst)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        dst[i] = (double)src[i];
        finite = finite && isfinite(dst[i]);
    }
    return finite;
}

uint64_t sc_svd_product_memory(uint64_t rows, uint64_t rank, uint64_t cols)
{
    uint64_t bytes;
    if (!sc_mul(SC_MAX(rows, cols), rank, &bytes) || bytes > UINT64_MAX / 64 || rank > UINT32_MAX)
        return UINT64_MAX;
    return sc_add_up(bytes * sizeof(double), 3 * rank * rank * sizeof(double));
}

int sc_svd_product(const float *up, const float *down, uint64_t rows, uint64_t rank, uint64_t cols,
                   double scale, const _Atomic int *cancel, struct sc_svd *out, struct sc_error *e)
{
    const size_t k = (size_t)rank, n = (size_t)SC_MIN(rows, cols);
    double *a, *r1, *r2, *m, *s;
    int code = 0;
    *out = (struct sc_svd){.method = SC_SVD_REFINED};
    if (sc_svd_product_memory(rows, rank, cols) > SIZE_MAX / 2)
        return sc_fail_memory(e);
    a = sc_alloc((size_t)SC_MAX(rows, cols) * k * sizeof *a);
    r1 = sc_alloc(k * k * sizeof *r1);
    r2 = sc_alloc(k * k * sizeof *r2);
    m = sc_alloc(k * k * sizeof *m);
    s = sc_calloc(SC_MAX(n, k) + 1, sizeof *s);
    if (!a || !r1 || !r2 || !m || !s)
        code = sc_fail_memory(e);
    bool finite = code == 0 && isfinite(scale);
    /* down is column-major as it lies: its transpose, cols x rank, starts a column a row. */
    if (finite) {
        finite = widen(down, k * (size_t)cols, a);
        factorise(a, (size_t)cols, k, r2);
        for (size_t i = 0; i < (size_t)rows; i++)
            for (size_t j = 0; j < k; j++) {
                a[j * (size_t)rows + i] = (double)up[i * k + j];
                finite = finite && isfinite(a[j * (size_t)rows + i]);
            }
    }
    if (code == 0 && !finite)
        code = sc_fail(e, SCRUPLE_EFORMAT, "the factors are not finite");
    if (code == 0) {
        factorise(a, (size_t)rows, k, r1);
        multiply(r1, r2, k, m);
        code = jacobi(m, k, cancel, s, e);
    }
    if (code == 0) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            s[i] = i < k ? s[i] * fabs(scale) : 0;
            sum += s[i] * s[i];
        }
        out->s = s;
        out->n = n;
        out->frobenius = sqrt(sum);
        out->floor = n ? s[0] * (double)SC_MAX(rows, cols) * DBL_EPSILON : 0;
        s = NULL;
    }
    free(a);
    free(r1);
    free(r2);
    free(m);
    free(s);
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* lapack: the routines of BLAS and LAPACK that singular values need, as a table.
 *
 * Owns: loading OpenBLAS when it is first needed, and its setting: one thread, so that results do
 * not depend on how many there are and several matrices can be worked on at once.
 *
 * Does not own: what they compute; see netlib's documentation of each. Matrices are column-major,
 * integers have 32 bits, the lengths of character arguments follow at the end (gfortran).
 *
 * $OPENBLAS_CORETYPE, where it is set, makes OpenBLAS use kernels for another processor; it is read
 * while the library is loaded and cannot be undone.
 */
#ifndef SC_LAPACK_H
#define SC_LAPACK_H

#include "base/base.h"

typedef const int *sc_int_in;
typedef const double *sc_real_in;

/* name, arguments */
#define SC_LAPACK_FUNCTIONS(X)                                                                     \
    X(dgemm, (const char *ta, const char *tb, sc_int_in m, sc_int_in n, sc_int_in k,               \
              sc_real_in alpha, sc_real_in a, sc_int_in lda, sc_real_in b, sc_int_in ldb,          \
              sc_real_in beta, double *c, sc_int_in ldc, size_t, size_t))                          \
    X(dsyrk,                                                                                       \
      (const char *uplo, const char *trans, sc_int_in n, sc_int_in k, sc_real_in alpha,            \
       sc_real_in a, sc_int_in lda, sc_real_in beta, double *c, sc_int_in ldc, size_t, size_t))    \
    X(dsyr2k, (const char *uplo, const char *trans, sc_int_in n, sc_int_in k, sc_real_in alpha,    \
               sc_real_in a, sc_int_in lda, sc_real_in b, sc_int_in ldb, sc_real_in beta,          \
               double *c, sc_int_in ldc, size_t, size_t))                                          \
    X(dsymm, (const char *side, const char *uplo, sc_int_in m, sc_int_in n, sc_real_in alpha,      \
              sc_real_in a, sc_int_in lda, sc_real_in b, sc_int_in ldb, sc_real_in beta,           \
              double *c, sc_int_in ldc, size_t, size_t))                                           \
    X(dgemv,                                                                                       \
      (const char *trans, sc_int_in m, sc_int_in n, sc_real_in alpha, sc_real_in a, sc_int_in lda, \
       sc_real_in x, sc_int_in incx, sc_real_in beta, double *y, sc_int_in incy, size_t))          \
    X(dsymv, (const char *uplo, sc_int_in n, sc_real_in alpha, sc_real_in a, sc_int_in lda,        \
              sc_real_in x, sc_int_in incx, sc_real_in beta, double *y, sc_int_in incy, size_t))   \
    X(dtrsv, (const char *uplo, const char *trans, const char *diag, sc_int_in n, sc_real_in a,    \
              sc_int_in lda, double *x, sc_int_in incx, size_t, size_t, size_t))                   \
    X(dgeqrt3,                                                                                     \
      (sc_int_in m, sc_int_in n, double *a, sc_int_in lda, double *t, sc_int_in ldt, int *info))   \
    X(dtpqrt2, (sc_int_in m, sc_int_in n, sc_int_in l, double *a, sc_int_in lda, double *b,        \
                sc_int_in ldb, double *t, sc_int_in ldt, int *info))                               \
    X(dtprfb, (const char *side, const char *trans, const char *direct, const char *storev,        \
               sc_int_in m, sc_int_in n, sc_int_in k, sc_int_in l, sc_real_in v, sc_int_in ldv,    \
               sc_real_in t, sc_int_in ldt, double *a, sc_int_in lda, double *b, sc_int_in ldb,    \
               double *work, sc_int_in ldwork, size_t, size_t, size_t, size_t))                    \
    X(dlabrd,                                                                                      \
      (sc_int_in m, sc_int_in n, sc_int_in nb, double *a, sc_int_in lda, double *d, double *e,     \
       double *tauq, double *taup, double *x, sc_int_in ldx, double *y, sc_int_in ldy))            \
    X(dgebrd, (sc_int_in m, sc_int_in n, double *a, sc_int_in lda, double *d, double *e,           \
               double *tauq, double *taup, double *work, sc_int_in lwork, int *info))              \
    X(dlasq1, (sc_int_in n, double *d, double *e, double *work, int *info))                        \
    X(dbdsqr, (const char *uplo, sc_int_in n, sc_int_in ncvt, sc_int_in nru, sc_int_in ncc,        \
               double *d, double *e, double *vt, sc_int_in ldvt, double *u, sc_int_in ldu,         \
               double *c, sc_int_in ldc, double *work, int *info, size_t))                         \
    X(dsytrd, (const char *uplo, sc_int_in n, double *a, sc_int_in lda, double *d, double *e,      \
               double *tau, double *work, sc_int_in lwork, int *info, size_t))                     \
    X(dsterf, (sc_int_in n, double *d, double *e, int *info))                                      \
    X(dsteqr, (const char *compz, sc_int_in n, double *d, double *e, double *z, sc_int_in ldz,     \
               double *work, int *info, size_t))

struct sc_lapack {
#define SC_LAPACK_SLOT(name, arguments) void(*name) arguments;
    SC_LAPACK_FUNCTIONS(SC_LAPACK_SLOT)
#undef SC_LAPACK_SLOT
};

/* The table, from any thread; NULL and a sentence in *e where there is no OpenBLAS. */
const struct sc_lapack *sc_lapack(struct sc_error *e);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* svd: how long the singular values of a matrix take.
 *
 *   svd N RUNS [THREADS]
 *
 * One tab-separated line of seconds, the fastest of RUNS, for an N x N matrix of normal floats:
 * ours, LAPACK's dsyevd and dsyevd_2stage of its Gram matrix,
 * numpy.linalg.svd(compute_uv=False), all with THREADS threads (2), taking turns; then the largest
 * distance between ours and numpy, relative to the largest value. numpy is that of $PYTHON3
 * (/usr/bin/python3); it computes in double, whatever it is given. */
#include "math/math.h"

#include "clock.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "svd: no memory, or no OpenBLAS\n");
        exit(1);
    }
    return p;
}

/* ------------------------------------------------------------------------ threads to lend --- */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    void (*fn)(void *ctx, size_t i);
    void *ctx;
    size_t n, next, busy;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .work = PTHREAD_COND_INITIALIZER,
          .idle = PTHREAD_COND_INITIALIZER};

/* Under the lock. */
static void take_all(void)
{
    while (pool.next < pool.n) {
        const size_t i = pool.next++;
        pool.busy++;
        pthread_mutex_unlock(&pool.lock);
        pool.fn(pool.ctx, i);
        pthread_mutex_lock(&pool.lock);
        pool.busy--;
    }
}

static void *worker(void *arg)
{
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        take_all();
        if (pool.busy == 0)
            pthread_cond_signal(&pool.idle);
        pthread_cond_wait(&pool.work, &pool.lock);
    }
    return arg;
}

static void run(void *ctx, size_t n, void (*fn)(void *fn_ctx, size_t i), void *fn_ctx)
{
    (void)ctx;
    pthread_mutex_lock(&pool.lock);
    pool.fn = fn, pool.ctx = fn_ctx, pool.n = n, pool.next = 0;
    if (n > 1)
        pthread_cond_broadcast(&pool.work);
    take_all();
    while (pool.busy > 0)
        pthread_cond_wait(&pool.idle, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

/* ---------------------------------------------------------------------------------- matrix --- */
static struct {
    float *x;
    uint64_t n;
} matrix;

static int read_matrix(void *ctx, uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols,
                       float *dst, struct sc_error *e)
{
    (void)ctx, (void)e;
    for (uint64_t i = 0; i < n_rows; i++)
        memcpy(dst + i * n_cols, matrix.x + (row + i) * matrix.n + col, n_cols * sizeof *dst);
    return 0;
}

static void fill(uint64_t n)
{
    matrix.n = n;
    matrix.x = must(malloc(n * n * sizeof *matrix.x));
    uint64_t state = n;
    for (uint64_t i = 0; i < n * n; i++) {
        double sum = 0; /* of 12 uniform numbers: nearly normal */
        for (int k = 0; k < 12; k++) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
            sum += (double)(state >> 33) * 0x1p-31;
        }
        matrix.x[i] = (float)((sum - 6) * 0.02);
    }
}

/* ----------------------------------------------------------------------------------- peers --- */
typedef void gram_fn(const char *uplo, const char *trans, const int *n, const int *k,
                     const double *alpha, const double *a, const int *lda, const double *beta,
                     double *c, const int *ldc, size_t, size_t);
typedef void eigen_fn(const char *job, const char *uplo, const int *n, double *a, const int *lda,
                      double *w, double *work, const int *lwork, int *iwork, const int *liwork,
                      int *info, size_t, size_t);
static struct {
    gram_fn *gram;
    eigen_fn *direct, *two_stage;
    void (*threads)(int n);
    double *a, *g, *w, *work;
    int size, *iwork, isize;
} lapack;

static void load(uint64_t n)
{
    void *handle = must(dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL)), *at;
    at = must(dlsym(handle, "dsyrk_")), memcpy(&lapack.gram, &at, sizeof at);
    at = must(dlsym(handle, "dsyevd_")), memcpy(&lapack.direct, &at, sizeof at);
    at = must(dlsym(handle, "dsyevd_2stage_")), memcpy(&lapack.two_stage, &at, sizeof at);
    at = must(dlsym(handle, "openblas_set_num_threads")), memcpy(&lapack.threads, &at, sizeof at);
    const int order = (int)n, ask = -1;
    double size = 0, size2 = 0;
    int isize = 0, info = 0;
    lapack.direct("N", "L", &order, &size, &order, &size, &size, &ask, &isize, &ask, &info, 1, 1);
    lapack.two_stage("N", "L", &order, &size2, &order, &size2, &size2, &ask, &isize, &ask, &info, 1,
                     1);
    lapack.size = (int)SC_MAX(size, size2) + 1;
    lapack.isize = 5 * order + 10;
    lapack.a = must(malloc(n * n * sizeof(double)));
    lapack.g = must(malloc(n * n * sizeof(double)));
    lapack.w = must(malloc(n * sizeof(double)));
    lapack.work = must(malloc((size_t)lapack.size * sizeof(double)));
    lapack.iwork = must(malloc((size_t)lapack.isize * sizeof(int)));
}

static double time_lapack(eigen_fn *eigen, int threads)
{
    const int n = (int)matrix.n;
    const double one = 1, zero = 0, start = now();
    int info = 0;
    lapack.threads(threads);
    for (uint64_t i = 0; i < matrix.n * matrix.n; i++)
        lapack.a[i] = (double)matrix.x[i];
    lapack.gram("L", "T", &n, &n, &one, lapack.a, &n, &zero, lapack.g, &n, 1, 1);
    eigen("N", "L", &n, lapack.g, &n, lapack.w, lapack.work, &lapack.size, lapack.iwork,
          &lapack.isize, &info, 1, 1);
    lapack.threads(1);
    return now() - start;
}

/* Seconds; the values into s. */
static double time_numpy(const char *path, int threads, double *s)
{
    char command[1024];
    const char *python = getenv("PYTHON3");
    snprintf(command, sizeof command,
             "OPENBLAS_NUM_THREADS=%d %s -c '\n"
             "import sys, time, numpy\n"
             "n = %d\n"
             "x = numpy.fromfile(\"%s\", dtype=numpy.float32).reshape(n, n)\n"
             "numpy.linalg.svd(x[:300, :300], compute_uv=False)\n"
             "t = time.perf_counter()\n"
             "s = numpy.linalg.svd(x, compute_uv=False)\n"
             "t = time.perf_counter() - t\n"
             "sys.stdout.buffer.write(numpy.append(s.astype(float), t).tobytes())'",
             threads, python ? python : "/usr/bin/python3", (int)matrix.n, path);
    FILE *pipe = must(popen(command, "r"));
    double seconds = 0;
    if (fread(s, sizeof *s, matrix.n, pipe) != matrix.n ||
        fread(&seconds, sizeof seconds, 1, pipe) != 1)
        fprintf(stderr, "svd: no numpy\n");
    pclose(pipe);
    return seconds;
}

static double time_ours(const struct sc_parallel *p, struct sc_svd *v)
{
    const struct sc_matrix m = {.rows = matrix.n, .cols = matrix.n, .read = read_matrix};
    const struct sc_svd_options o = {.refine = true};
    struct sc_error e = {0};
    sc_svd_clear(v);
    const double start = now();
    if (sc_svd_values(&m, &o, p, v, &e) < 0) {
        fprintf(stderr, "svd: %s\n", e.text);
        exit(1);
    }
    return now() - start;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: svd N RUNS [THREADS]\n");
        return 2;
    }
    const uint64_t n = strtoull(argv[1], NULL, 10);
    const int runs = atoi(argv[2]), threads = argc > 3 ? atoi(argv[3]) : 2;
    char path[] = "/tmp/scruple-svd-XXXXXX";
    const int fd = mkstemp(path);
    FILE *file = must(fd < 0 ? NULL : fdopen(fd, "wb"));
    fill(n);
    fwrite(matrix.x, sizeof *matrix.x, n * n, file);
    fclose(file);
    load(n);
    const struct sc_parallel p = {run, NULL, (unsigned)threads};
    for (int i = 1; i < threads; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, worker, NULL) != 0)
            return 1;
        pthread_detach(t);
    }
    double best[4] = {INFINITY, INFINITY, INFINITY, INFINITY}, worst = 0;
    double *s = must(calloc(n, sizeof *s));
    struct sc_svd v = {0};
    for (int i = 0; i < runs; i++) {
        best[0] = fmin(best[0], time_ours(&p, &v));
        best[1] = fmin(best[1], time_lapack(lapack.direct, threads));
        best[2] = fmin(best[2], time_lapack(lapack.two_stage, threads));
        best[3] = fmin(best[3], time_numpy(path, threads, s));
    }
    remove(path);
    for (uint64_t i = 0; i < n && s[0] > 0; i++)
        worst = fmax(worst, fabs(v.s[i] - s[i]) / s[0]);
    printf("%.6g\t%.6g\t%.6g\t%.6g\t%.3g\n", best[0], best[1], best[2], best[3], worst);
    sc_svd_clear(&v);
    return 0;
}

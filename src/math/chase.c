/* SPDX-License-Identifier: Apache-2.0 */
/* chase: a symmetric band to a tridiagonal matrix.
 *
 * Bischof, Lang, Sun: A framework for symmetric band reduction (2000), second stage. Sweep s
 * reflects column s to two entries; that fills a square below the band, whose first column is
 * reflected next, and so on down to the end. Step k of a sweep works on rows and columns from
 * s + 1 + k * W on:
 *
 *        D . .    D: W x W on the diagonal, gets the reflector from both sides
 *        B . .    B: W x W below it, gets it from the right; its first column makes the next
 *                    reflector, which it gets from the left
 *
 * The band ends in 2 W columns of zeros, so that every block is whole.
 *
 * Step (s, k) needs (s, k - 1) and (s - 1, k + 1), nothing else. Threads take tiles of SWEEPS
 * sweeps and STEPS steps, leaning by one step a sweep; those on one front are independent. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "math/svd.h"

/* Four lanes on every processor: with eight, those that have them are no faster. */
enum { W = SC_BAND_WIDTH, LANES = 4, VECTORS = W / LANES, SWEEPS = 16, STEPS = 16 };

typedef double lanes __attribute__((vector_size(32), aligned(8), may_alias));

struct reflector {
    double v[W]; /* v[0] is 1 */
    double tau;
};

struct chase {
    const struct sc_svd_job *job;
    double *band;
    uint64_t n, n_sweeps, n_steps; /* steps of the longest sweep */
    uint64_t front;                /* tiles (group, window) with window + 2 * group == front */
    uint64_t first_group;          /* of the front */
    struct reflector *at;          /* of each sweep: where it stands */
    void (*tile)(const struct chase *c, uint64_t group, uint64_t window);
};

#define LOAD(x, r) (*(const lanes *)((x) + (size_t)(r)*LANES))
#define ROW(x, r)  (*(lanes *)((x) + (size_t)(r)*LANES))

static inline __attribute__((always_inline)) double add_up(const lanes *x)
{
    return ((*x)[0] + (*x)[2]) + ((*x)[1] + (*x)[3]);
}

/* H = I - tau v v' with H x = (beta, 0, ...); x becomes that. */
static inline __attribute__((always_inline)) void reflect(double *x, struct reflector *h)
{
    double below = 0;
    for (int i = 1; i < W; i++)
        below += x[i] * x[i];
    for (int i = 1; i < W; i++)
        h->v[i] = 0;
    h->v[0] = 1;
    h->tau = 0;
    if (below == 0)
        return;
    const double alpha = x[0], norm = sqrt(alpha * alpha + below);
    const double beta = alpha > 0 ? -norm : norm;
    h->tau = (beta - alpha) / beta;
    const double scale = 1 / (alpha - beta);
    for (int i = 1; i < W; i++) {
        h->v[i] = x[i] * scale;
        x[i] = 0;
    }
    x[0] = beta;
}

/* Lanes of the columns of a diagonal block that lie below the diagonal, and with it. */
static const double under[LANES][LANES] = {{0, 1, 1, 1}, {0, 0, 1, 1}, {0, 0, 0, 1}, {0}};
static const double from[LANES][LANES] = {{1, 1, 1, 1}, {0, 1, 1, 1}, {0, 0, 1, 1}, {0, 0, 0, 1}};

/* D <- H D H of the lower triangle. Whole vectors are loaded: what lies above the diagonal of a
 * column is the unused end of the one before, is zero, and stays so. */
static inline __attribute__((always_inline)) void both_sides(double *d, size_t ld,
                                                             const struct reflector *h)
{
    lanes v[VECTORS], y[VECTORS], zero = {0};
    double dots[W];
    for (int r = 0; r < VECTORS; r++) {
        v[r] = LOAD(h->v, r);
        y[r] = zero;
    }
    for (int b = 0; b < VECTORS; b++) {
        for (int l = 0; l < LANES; l++) {
            const int c = b * LANES + l;
            const double *x = d + (size_t)c * ld, vc = h->v[c];
            lanes a = LOAD(x, b);
            y[b] += a * vc;
            lanes dot = a * (v[b] * LOAD(under[l], 0));
            for (int r = b + 1; r < VECTORS; r++) {
                a = LOAD(x, r);
                y[r] += a * vc;
                dot += a * v[r];
            }
            dots[c] = add_up(&dot);
        }
    }
    lanes product = zero;
    for (int r = 0; r < VECTORS; r++) {
        y[r] = (y[r] + LOAD(dots, r)) * h->tau;
        product += y[r] * v[r];
    }
    const double alpha = -0.5 * h->tau * add_up(&product);
    double q[W];
    for (int r = 0; r < VECTORS; r++) {
        y[r] += v[r] * alpha;
        ROW(q, r) = y[r];
    }
    for (int b = 0; b < VECTORS; b++) {
        for (int l = 0; l < LANES; l++) {
            const int c = b * LANES + l;
            double *x = d + (size_t)c * ld;
            const double vc = h->v[c], qc = q[c];
            ROW(x, b) -= (v[b] * qc + y[b] * vc) * LOAD(from[l], 0);
            for (int r = b + 1; r < VECTORS; r++)
                ROW(x, r) -= v[r] * qc + y[r] * vc;
        }
    }
}

/* B <- H' B H, where H' is what reflects the first column of B H; h becomes H'. */
static inline __attribute__((always_inline)) void below_it(double *b, size_t ld,
                                                           struct reflector *h)
{
    lanes y[VECTORS], zero = {0};
    for (int r = 0; r < VECTORS; r++)
        y[r] = zero;
    for (int c = 0; c < W; c++)
        for (int r = 0; r < VECTORS; r++)
            y[r] += LOAD(b + (size_t)c * ld, r) * h->v[c];
    for (int r = 0; r < VECTORS; r++)
        y[r] *= h->tau;
    for (int r = 0; r < VECTORS; r++)
        ROW(b, r) -= y[r];
    struct reflector next;
    reflect(b, &next);
    lanes v[VECTORS];
    for (int r = 0; r < VECTORS; r++)
        v[r] = LOAD(next.v, r);
    for (int c = 1; c < W; c++) {
        double *x = b + (size_t)c * ld;
        const double vc = h->v[c];
        lanes a[VECTORS], dot = zero;
        for (int r = 0; r < VECTORS; r++) {
            a[r] = LOAD(x, r) - y[r] * vc;
            dot += a[r] * v[r];
        }
        const double t = next.tau * add_up(&dot);
        for (int r = 0; r < VECTORS; r++)
            ROW(x, r) = a[r] - v[r] * t;
    }
    *h = next;
}

/* Sweep g of a tile is one step behind sweep g - 1. */
static inline __attribute__((always_inline)) void run_tile(const struct chase *c, uint64_t group,
                                                           uint64_t window)
{
    const size_t ld =
        (size_t)sc_band_ld(W) - 1; /* of the blocks: a column starts at its diagonal */
    for (uint64_t g = 0; g < SWEEPS; g++) {
        const uint64_t s = group * SWEEPS + g;
        if (s >= c->n_sweeps)
            return;
        const uint64_t begin = window * STEPS > g ? window * STEPS - g : 0;
        const uint64_t end = (window + 1) * STEPS - g;
        struct reflector *h = &c->at[s];
        for (uint64_t k = begin; k < end; k++) {
            const uint64_t i = s + 1 + k * W; /* first row and column of D */
            if (i >= c->n)
                break;
            if (k == 0)
                reflect(c->band + i + s * ld, h);
            double *d = c->band + i + i * ld;
            both_sides(d, ld, h);
            below_it(d + W, ld, h);
        }
    }
}

static void tile_c(const struct chase *c, uint64_t group, uint64_t window)
{
    run_tile(c, group, window);
}
#if SC_HAVE_X86
SC_TARGET_AVX2 static void tile_avx2(const struct chase *c, uint64_t group, uint64_t window)
{
    run_tile(c, group, window);
}
#endif

static void take_tile(void *ctx, size_t i)
{
    const struct chase *c = ctx;
    const uint64_t group = c->first_group + i;
    c->tile(c, group, c->front - 2 * group);
}

static int run_fronts(struct chase *c, struct sc_error *e)
{
    /* A leaning window begins up to SWEEPS - 1 steps early: one more than the steps need. */
    const uint64_t windows = (c->n_steps + SWEEPS + STEPS - 1) / STEPS;
    const uint64_t groups = (c->n_sweeps + SWEEPS - 1) / SWEEPS;
    for (c->front = 0; c->front < windows + 2 * (groups - 1); c->front++) {
        if (c->front % 16 == 0)
            TRY(sc_svd_pause(c->job, e));
        c->first_group = c->front < windows ? 0 : (c->front - windows) / 2 + 1;
        const uint64_t last = SC_MIN(c->front / 2, groups - 1);
        if (last >= c->first_group)
            sc_svd_run(c->job, last - c->first_group + 1, take_tile, c);
    }
    return 0;
}

int sc_band_chase(const struct sc_svd_job *job, double *band, uint64_t n, double *d, double *e1,
                  struct sc_error *e)
{
    struct chase c = {.job = job, .n = n, .tile = tile_c};
    c.band = band;
#if SC_HAVE_X86
    if (sc_cpu_level() >= SC_CPU_AVX2)
        c.tile = tile_avx2;
#endif
    int status = 0;
    if (n > 2) {
        c.n_sweeps = n - 2;
        c.n_steps = (n - 2) / W + 1;
        c.at = sc_svd_items(c.n_sweeps, 1, sizeof *c.at, e);
        if (!c.at)
            return SCRUPLE_EMEMORY;
        status = run_fronts(&c, e);
        free(c.at);
    }
    for (uint64_t i = 0; i < n; i++)
        d[i] = band[i * sc_band_ld(W)];
    for (uint64_t i = 0; i + 1 < n; i++)
        e1[i] = band[i * sc_band_ld(W) + 1];
    return status;
}

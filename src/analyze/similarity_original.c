/* SPDX-License-Identifier: Apache-2.0 */
/* similarity_original: scores as modelweightvis defines them.
 *
 * A = W R^T of a weight as it is stored in Hugging Face's layout, [out, in]; R is rank x in, normal
 * with variance 1 / rank: Box and Muller on SplitMix64, whose state starts at
 * ((layer * K) xor weight) * K with K = 0x9E3779B97F4A7C15 and weight 0, 1, 2 for gate, up, down; a
 * uniform number is the top 24 bits. Then |A^T B|^2 / (|A^T A| |B^T B|), clamped to 0..1, and 0
 * where the line below is 1e-30 or less. What is wrong with it is in docs/moe.md. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/similarity_parts.h"
#include "kernel/dots.h"

struct original {
    struct sc_similar *s;
    size_t rank, in;
    const float *r; /* (rank, in) */
    float **a;      /* (n) rank lines of `out` values: A^T; NULL: not compared */
    size_t *out;    /* (n) */
    float *scores;
    double *self; /* (n) |A^T A|^2 */
};

static float *normals(uint64_t seed, size_t rank, size_t in)
{
    const double sigma = sqrt(1 / (double)rank), two_pi = 6.283185307179586476925287;
    const size_t n = rank * in;
    float *r = sc_alloc((n + 1) * sizeof *r);

    for (size_t i = 0; r && i < n; i += 2) {
        const double u = (double)(sc_random(seed, i) >> 40) * 0x1p-24;
        const double v = (double)(sc_random(seed, i + 1) >> 40) * 0x1p-24;
        const double size = sigma * sqrt(-2 * log(fmax(u, 0x1p-126)));
        r[i] = (float)(size * cos(two_pi * v));
        r[i + 1] = (float)(size * sin(two_pi * v));
    }
    return r;
}

/* A^T of one expert: lines of `out` values, so that products run along them. */
static int project(void *ctx, size_t i, struct sc_error *e)
{
    const struct original *k = ctx;
    struct sc_similar *s = k->s;
    struct sc_similar_weight *w = &s->w[i];
    const bool down = s->part == SC_EXPERT_DOWN; /* stored [hidden, neurons] */
    const size_t out = (size_t)(down ? w->hidden : w->neurons);
    const size_t in = (size_t)(down ? w->neurons : w->hidden);
    enum { ROWS = 96 };

    if (w->state != SC_SIMILARITY_COMPARED)
        return 0;
    if (in != k->in) {
        w->state = SC_SIMILARITY_SHAPE;
        return 0;
    }
    int code = sc_similar_measure(w, true, NULL, s->o->cancel, e);
    float *slab = sc_alloc(ROWS * in * sizeof *slab);
    k->a[i] = sc_alloc(k->rank * out * sizeof **k->a);
    k->out[i] = out;
    if (code == 0 && (!slab || !k->a[i]))
        code = sc_fail_memory(e);
    for (size_t row = 0; row < out && code == 0 && w->state == SC_SIMILARITY_COMPARED;
         row += ROWS) {
        const size_t n = SC_MIN(out - row, (size_t)ROWS);
        code = sc_similar_read(w, !down, row, n, slab, e);
        const struct sc_dots d = {.w = slab,
                                  .x = k->r,
                                  .y = k->a[i] + row,
                                  .w_stride = in,
                                  .x_stride = in,
                                  .y_stride = out,
                                  .n_w = n,
                                  .n_x = k->rank,
                                  .n = in};
        if (code == 0)
            sc_dots(&d, s->level);
        sc_similar_count(s, (uint64_t)k->rank * n * in);
    }
    free(slab);
    return sc_similar_settle(w, code, e);
}

/* |A^T B|^2. */
static double product(const struct original *k, size_t a, size_t b)
{
    enum { TILE = SC_SIMILAR_TILE };
    const size_t out = k->out[a];
    float y[TILE * TILE];
    double sum = 0;

    for (size_t r = 0; r < k->rank; r += TILE)
        for (size_t c = 0; c < k->rank; c += TILE) {
            const size_t rows = SC_MIN(k->rank - r, (size_t)TILE);
            const size_t cols = SC_MIN(k->rank - c, (size_t)TILE);
            const struct sc_dots d = {.w = k->a[b] + c * out,
                                      .x = k->a[a] + r * out,
                                      .y = y,
                                      .w_stride = out,
                                      .x_stride = out,
                                      .y_stride = cols,
                                      .n_w = cols,
                                      .n_x = rows,
                                      .n = out};
            struct sc_sums sums;
            sc_dots(&d, k->s->level);
            sc_sums(y, rows * cols, k->s->level, &sums);
            sum += sums.square;
        }
    sc_similar_count(k->s, (uint64_t)k->rank * k->rank * out);
    return sum;
}

static bool compared(const struct original *k, size_t i)
{
    return k->s->w[i].state == SC_SIMILARITY_COMPARED;
}

static int multiply_self(void *ctx, size_t i, struct sc_error *e)
{
    const struct original *k = ctx;

    (void)e;
    k->self[i] = compared(k, i) ? product(k, i, i) : 0;
    return 0;
}

static int multiply(void *ctx, size_t a, struct sc_error *e)
{
    const struct original *k = ctx;
    const size_t n = k->s->n;

    (void)e;
    for (size_t b = a + 1; b < n && !sc_similar_stop(k->s); b++) {
        if (!compared(k, a) || !compared(k, b) || k->out[a] != k->out[b])
            continue;
        const double below = sqrt(k->self[a] * k->self[b]);
        k->scores[a * n + b] =
            (float)(below > 1e-30 ? fmin(fmax(product(k, a, b) / below, 0), 1) : 0);
    }
    return 0;
}

static size_t first_in(const struct sc_similar *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->w[i].state == SC_SIMILARITY_COMPARED)
            return (size_t)(s->part == SC_EXPERT_DOWN ? s->w[i].neurons : s->w[i].hidden);
    return 1;
}

int sc_similar_original(struct sc_similar *s, uint32_t rank, float *scores, struct sc_error *e)
{
    struct original k = {.s = s, .rank = rank, .in = first_in(s), .scores = scores};
    uint64_t values = 0;

    for (size_t i = 0; i < s->n; i++)
        values = sc_add_up(values, s->part == SC_EXPERT_DOWN ? s->hidden : s->w[i].neurons);
    const double bytes = 4. * rank * ((double)values + (double)k.in);
    if (bytes > .9 * (double)s->memory)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "a sketch of rank %u of %zu experts takes %.0f MB of memory, but %.0f are "
                       "allowed (--memory)",
                       rank, s->n, bytes / .9e6, (double)s->memory / 1e6);
    float *r = normals(s->seed, rank, k.in);
    k.r = r;
    k.a = sc_calloc(s->n, sizeof *k.a);
    k.out = sc_calloc(s->n, sizeof *k.out);
    k.self = sc_calloc(s->n, sizeof *k.self);
    int code =
        r && k.a && k.out && k.self ? sc_similar_for(s, s->n, project, &k, e) : sc_fail_memory(e);
    if (code == 0)
        code = sc_similar_for(s, s->n, multiply_self, &k, e);
    if (code == 0)
        code = sc_similar_for(s, s->n, multiply, &k, e);
    for (size_t i = 0; k.a && i < s->n; i++)
        free(k.a[i]);
    free(k.a);
    free(k.out);
    free(k.self);
    free(r);
    return code;
}

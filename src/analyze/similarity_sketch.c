/* SPDX-License-Identifier: Apache-2.0 */
/* similarity_sketch: scores from random projections: Hutchinson's estimate with its error, and
 * modelweightvis' definition.
 *
 * With signs x_q, T_q = G x_q = W^T (W x_q) takes 2 I H multiplications instead of the I H^2 / 2 of
 * a Gram matrix, and <T_aq, T_bq> has the expectation <G_a, G_b>. The traces t are known exactly,
 * so only F = G - (t / H) 1 is estimated: as |x_q|^2 = H,
 *
 *     <F_a x, F_b x> = <T_a, T_b> - (t_b x^T T_a + t_a x^T T_b - t_a t_b) / H
 *     <G_a, G_b> = <F_a, F_b> + t_a t_b / H
 *
 * Its variance is 2 (|sym M|^2 - sum of M_hh^2), M = F_a F_b: small where spectra are flat, at most
 * that of one direction where it holds everything, which the jackknife sees. All experts have the
 * same x_q, so copies score 1 with no error. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/similarity_parts.h"
#include "kernel/dots.h"

enum { NEURONS = 256 }; /* read at a time */

struct sketch {
    struct sc_similar *s;
    size_t probes;
    const float *x; /* (probes, hidden) */
    float *t;       /* (n, probes, hidden) */
    float *scores;
    double *trace;  /* (n) of the G whose T that is */
    double *g;      /* (n, probes) x^T G x */
    double *norms;  /* (n, probes) <T_q, T_q>, steady */
    double *errors; /* (blocks of experts, 2) */
};

/* ------------------------------------------------------------------------------ sketches --- */
struct room {
    float *w, *turned, *y, *part; /* slab by neurons, by hidden, W x, its share of T */
};

static bool make_room(const struct sketch *k, struct room *r)
{
    const size_t h = (size_t)k->s->hidden;

    r->w = sc_alloc(NEURONS * h * sizeof(float));
    r->turned = sc_alloc(NEURONS * h * sizeof(float));
    r->y = sc_alloc(NEURONS * k->probes * sizeof(float));
    r->part = sc_alloc(k->probes * h * sizeof(float));
    return r->w && r->turned && r->y && r->part;
}

static void clear_room(struct room *r)
{
    free(r->w);
    free(r->turned);
    free(r->y);
    free(r->part);
}

/* T += W^T (W X^T)^T of n neurons. */
static void add_neurons(const struct sketch *k, size_t n, const struct room *r, float *t)
{
    const size_t h = (size_t)k->s->hidden;
    const struct sc_dots forth = {.w = r->w,
                                  .x = k->x,
                                  .y = r->y,
                                  .w_stride = h,
                                  .x_stride = h,
                                  .y_stride = n,
                                  .n_w = n,
                                  .n_x = k->probes,
                                  .n = h};
    const struct sc_dots back = {.w = r->turned,
                                 .x = r->y,
                                 .y = r->part,
                                 .w_stride = n,
                                 .x_stride = n,
                                 .y_stride = h,
                                 .n_w = h,
                                 .n_x = k->probes,
                                 .n = n};

    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < h; c++)
            r->turned[c * n + i] = r->w[i * h + c];
    sc_dots(&forth, k->s->level);
    sc_dots(&back, k->s->level);
    for (size_t i = 0; i < k->probes * h; i++)
        t[i] += r->part[i];
    sc_similar_count(k->s, 2 * (uint64_t)k->probes * h * n);
}

/* Reads an expert once. The first neurons that are not zero tell the shift; those that follow may
 * be far larger before a float overflows, and if one does, *again is set: now the shift is right.
 */
static int sketch_weight(const struct sketch *k, struct sc_similar_weight *w,
                         const struct room *room, float *t, bool *again, struct sc_error *e)
{
    const size_t h = (size_t)k->s->hidden;
    const bool known = *again;

    memset(t, 0, k->probes * h * sizeof *t);
    *again = false;
    w->square = 0;
    for (uint64_t first = 0; first < w->neurons; first += NEURONS) {
        const size_t n = (size_t)SC_MIN(w->neurons - first, (uint64_t)NEURONS);
        const int shift = w->shift;
        if (sc_similar_stop(k->s))
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        w->shift = 0;
        const int code = sc_similar_read(w, true, first, n, room->w, e);
        w->shift = shift;
        TRY(code);
        struct sc_sums sums;
        sc_sums(room->w, n * h, k->s->level, &sums);
        w->square += sums.square;
        const uint32_t most = w->most;
        w->most = SC_MAX(w->most, sums.most);
        if (w->most >= 0x7f800000)
            return 0;
        if (most == 0 && w->most && !known) {
            (void)frexp((double)sc_float_of(w->most), &w->shift);
            w->shift = -w->shift;
        }
        if (sums.most) {
            sc_similar_scale(room->w, n * h, w->shift);
            add_neurons(k, n, room, t);
        }
    }
    struct sc_sums sums;
    sc_sums(t, k->probes * h, k->s->level, &sums);
    *again = sums.most >= 0x7f800000 || sums.most == 0;
    return 0;
}

static int sketch_expert(void *ctx, size_t i, struct sc_error *e)
{
    const struct sketch *k = ctx;
    struct sc_similar_weight *w = &k->s->w[i];
    float *t = k->t + i * k->probes * k->s->hidden;
    struct room room = {0};
    bool again = false;

    if (w->state != SC_SIMILARITY_COMPARED)
        return 0;
    int code = make_room(k, &room) ? 0 : sc_fail_memory(e);
    if (code == 0)
        code = sketch_weight(k, w, &room, t, &again, e);
    if (code == 0 && again && w->most && w->most < 0x7f800000) {
        int exponent;
        (void)frexp((double)sc_float_of(w->most), &exponent);
        w->shift = -exponent;
        code = sketch_weight(k, w, &room, t, &again, e);
    }
    clear_room(&room);
    code = sc_similar_settle(w, code, e);
    if (code < 0 || w->state != SC_SIMILARITY_COMPARED)
        return code;
    if (w->most == 0)
        w->state = SC_SIMILARITY_DEAD;
    else if (w->most >= 0x7f800000 || again)
        w->state = SC_SIMILARITY_BROKEN;
    if (w->state != SC_SIMILARITY_COMPARED) {
        w->square = w->state == SC_SIMILARITY_DEAD ? 0 : (double)NAN;
        return 0;
    }
    struct sc_sums sums; /* so that products of two experts stay in range */
    sc_sums(t, k->probes * (size_t)k->s->hidden, k->s->level, &sums);
    int exponent;
    (void)frexp((double)sc_float_of(sums.most), &exponent);
    sc_similar_scale(t, k->probes * (size_t)k->s->hidden, -exponent);
    k->trace[i] = ldexp(w->square, 2 * w->shift - exponent);
    return 0;
}

/* -------------------------------------------------------------------------------- scores --- */
/* What one probe gives for rows first.. of the pairs: (rows, n - first) each, into inner. */
static void inner_of_probe(const struct sketch *k, size_t first, size_t q, double *inner)
{
    const size_t n = k->s->n, h = (size_t)k->s->hidden;
    const size_t rows = SC_MIN(n - first, (size_t)SC_SIMILAR_ROWS), cols = n - first;
    float y[SC_SIMILAR_ROWS * (SC_SIMILARITY_MOST_EXPERTS + 1)];

    memset(inner, 0, rows * cols * sizeof *inner);
    for (size_t c = 0; c < h; c += SC_DOT_BLOCK) {
        const float *x = k->t + (first * k->probes + q) * h + c;
        const struct sc_dots d = {.w = x,
                                  .x = x,
                                  .y = y,
                                  .w_stride = k->probes * h,
                                  .x_stride = k->probes * h,
                                  .y_stride = cols,
                                  .n_w = cols,
                                  .n_x = rows,
                                  .n = SC_MIN(h - c, (size_t)SC_DOT_BLOCK)};
        sc_dots(&d, k->s->level);
        for (size_t i = 0; i < rows * cols; i++)
            inner[i] += (double)y[i];
    }
    sc_similar_count(k->s, (uint64_t)rows * cols * h);
}

/* What p probes say of a pair: ab[q * step], aa[q], bb[q], from each of which a constant is taken.
 */
struct samples {
    const double *ab, *aa, *bb;
    size_t p, step;
    double less_ab, less_aa, less_bb;
};

/* The ratio of sums of ab, aa, bb without its bias, and its standard error. */
static double jackknife(const struct samples *s, double *error)
{
    const double count = (double)s->p;
    double n = -count * s->less_ab, a = -count * s->less_aa, b = -count * s->less_bb;
    double sum = 0, square = 0;

    for (size_t q = 0; q < s->p; q++) {
        n += s->ab[q * s->step];
        a += s->aa[q];
        b += s->bb[q];
    }
    const double all = n / sqrt(a * b);
    for (size_t q = 0; q < s->p; q++) {
        const double less = n - (s->ab[q * s->step] - s->less_ab);
        const double left = (a - (s->aa[q] - s->less_aa)) * (b - (s->bb[q] - s->less_bb));
        const double change = less / sqrt(left) - all;
        sum += change;
        square += change * change;
    }
    *error = sqrt(fmax(0, (count - 1) / count * (square - sum * sum / count)));
    return fmin(all - (count - 1) / count * sum, 1);
}

/* <T_aq, T_bq> less its part that the traces make vary: see above. */
static double steady(const struct sketch *k, double inner, size_t a, size_t b, size_t q)
{
    const double t_a = k->trace[a], t_b = k->trace[b], h = (double)k->s->hidden;

    return inner -
           (t_b * k->g[a * k->probes + q] + t_a * k->g[b * k->probes + q] - 2 * t_a * t_b) / h;
}

static int look_at_expert(void *ctx, size_t i, struct sc_error *e)
{
    const struct sketch *k = ctx;
    const size_t h = (size_t)k->s->hidden, p = k->probes;
    double sum = 0;

    (void)e;
    if (k->s->w[i].state != SC_SIMILARITY_COMPARED)
        return 0;
    for (size_t q = 0; q < p; q++) {
        const float *t = k->t + (i * p + q) * h, *x = k->x + q * h;
        double square = 0, g = 0;
        for (size_t at = 0; at < h; at += SC_DOT_BLOCK) {
            const size_t n = SC_MIN(h - at, (size_t)SC_DOT_BLOCK);
            square += (double)sc_dot(t + at, t + at, n, k->s->level);
            g += (double)sc_dot(t + at, x + at, n, k->s->level);
        }
        k->g[i * p + q] = g;
        k->norms[i * p + q] = steady(k, square, i, i, q);
        sum += k->norms[i * p + q];
    }
    /* in units of the trace's square, which is all that is asked of it */
    k->s->self[i] = sum / (double)p / (k->trace[i] * k->trace[i]);
    return 0;
}

static void score_pair(const struct sketch *k, size_t a, size_t b, double *inner, size_t step,
                       double worst[2])
{
    const struct sc_similar *s = k->s;
    const double t_a = k->trace[a], t_b = k->trace[b], h = (double)s->hidden;
    struct samples x = {.ab = inner,
                        .aa = k->norms + a * k->probes,
                        .bb = k->norms + b * k->probes,
                        .p = k->probes,
                        .step = step};
    double error;

    for (size_t q = 0; q < k->probes; q++)
        inner[q * step] = steady(k, inner[q * step], a, b, q);
    k->scores[a * s->n + b] = (float)jackknife(&x, &error);
    worst[0] = fmax(worst[0], error);
    x.less_ab = t_a * t_b / h;
    x.less_aa = t_a * t_a / h;
    x.less_bb = t_b * t_b / h;
    (void)jackknife(&x, &error);
    worst[1] = fmax(worst[1], error);
}

static int score_rows(void *ctx, size_t block, struct sc_error *e)
{
    const struct sketch *k = ctx;
    const struct sc_similar *s = k->s;
    const size_t first = block * SC_SIMILAR_ROWS, cols = s->n - first;
    const size_t rows = SC_MIN(cols, (size_t)SC_SIMILAR_ROWS), step = rows * cols;
    double *inner = sc_alloc(k->probes * step * sizeof *inner);

    if (!inner)
        return sc_fail_memory(e);
    for (size_t q = 0; q < k->probes; q++)
        inner_of_probe(k, first, q, inner + q * step);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = r + 1; j < cols; j++)
            if (s->w[first + r].state == SC_SIMILARITY_COMPARED &&
                s->w[first + j].state == SC_SIMILARITY_COMPARED)
                score_pair(k, first + r, first + j, inner + r * cols + j, step,
                           k->errors + 2 * block);
    free(inner);
    return 0;
}

/* errors[0]: of scores, [1]: of corrected ones. */
static int score(struct sketch *k, double errors[2], struct sc_error *e)
{
    const size_t n = k->s->n, blocks = (n + SC_SIMILAR_ROWS - 1) / SC_SIMILAR_ROWS;

    k->g = sc_alloc(n * k->probes * sizeof *k->g);
    k->norms = sc_alloc(n * k->probes * sizeof *k->norms);
    k->errors = sc_calloc(2 * blocks, sizeof *k->errors);
    int code = k->g && k->norms && k->errors ? 0 : sc_fail_memory(e);
    if (code == 0)
        code = sc_similar_for(k->s, n, look_at_expert, k, e);
    if (code == 0)
        code = sc_similar_for(k->s, blocks, score_rows, k, e);
    for (size_t i = 0; code == 0 && i < 2 * blocks; i++)
        errors[i % 2] = fmax(errors[i % 2], 4 * k->errors[i]);
    free(k->g);
    free(k->norms);
    free(k->errors);
    return code;
}

static float *signs(uint64_t seed, size_t n)
{
    float *x = sc_alloc(n * sizeof *x);

    for (size_t i = 0; x && i < n; i++)
        x[i] = sc_random(seed, i / 64) >> (i % 64) & 1 ? 1 : -1;
    return x;
}

int sc_similar_sketch(struct sc_similar *s, uint32_t probes, float *scores, double errors[2],
                      struct sc_error *e)
{
    const size_t h = (size_t)s->hidden;
    struct sketch k = {.s = s, .probes = probes, .scores = scores};
    /* T of all experts, the probes, and for each thread two slabs and a share of T */
    const double threads = (double)sc_pool_threads(s->o->pool);
    const double bytes =
        4. * (double)h * ((double)(s->n + 1) * probes + threads * (2 * NEURONS + (double)probes));

    if (bytes > .9 * (double)s->memory)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "a sketch of %zu experts takes %.0f MB of memory, but %.0f are allowed "
                       "(--memory)",
                       s->n, bytes / .9e6, (double)s->memory / 1e6);
    float *x = signs(s->seed, (size_t)probes * h);
    k.x = x;
    k.t = sc_calloc(s->n * probes * h, sizeof *k.t);
    k.trace = sc_calloc(s->n, sizeof *k.trace);
    int code =
        x && k.t && k.trace ? sc_similar_for(s, s->n, sketch_expert, &k, e) : sc_fail_memory(e);
    if (code == 0)
        code = score(&k, errors, e);
    free(x);
    free(k.trace);
    free(k.t);
    return code;
}

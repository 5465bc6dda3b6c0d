/* SPDX-License-Identifier: Apache-2.0 */
/* similarity_match: which neurons of one expert are those of another.
 *
 * A neuron is its rows of gate and up and its column of down beside one another, each weight
 * divided by the norm that it has in its expert, so that a scaled copy is a copy. Two neurons
 * belong together when each is the other's best by cosine, and that is SC_SIMILARITY_COSINE or
 * more: so one to one, and in no need of an order. Of equal cosines the lower number wins. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/similarity_parts.h"
#include "kernel/dots.h"

enum { TILE = SC_SIMILAR_TILE };
#define EXACT .9999 /* mean cosine of a copy: what rounding to 8 bits and more leaves */

struct best {
    float cosine;
    uint32_t other; /* SC_NO_NODE: none */
};
struct matching {
    size_t length;
    const float *x[2]; /* lines of neurons, each of length 1 or zeros */
    size_t n[2];
    struct best *a, *b; /* (n[0]); (tiles, n[1]) */
    const _Atomic int *cancel;
    enum sc_cpu level;
};

/* All neurons of an expert; how many are not zero. */
static int read_expert(struct sc_similar_weight *const w[3], size_t n_parts, size_t length,
                       size_t longest, float *x, size_t *alive, struct sc_error *e)
{
    const size_t n = (size_t)w[0]->neurons;
    float *part = sc_alloc(n * longest * sizeof *part);
    size_t at = 0;
    int code = part ? 0 : sc_fail_memory(e);

    for (size_t p = 0; p < n_parts && code == 0; p++) {
        const size_t h = (size_t)w[p]->hidden;
        const double norm = sqrt(w[p]->square) * ldexp(1, w[p]->shift);
        code = sc_similar_read(w[p], true, 0, n, part, e);
        for (size_t i = 0; i < n && code == 0; i++)
            for (size_t k = 0; k < h; k++)
                x[i * length + at + k] = (float)((double)part[i * h + k] / norm);
        at += h;
    }
    free(part);
    *alive = 0;
    for (size_t i = 0; i < n && code == 0; i++) {
        double sum = 0;
        for (size_t k = 0; k < length; k++)
            sum += (double)x[i * length + k] * (double)x[i * length + k];
        *alive += sum > 0;
        const double scale = sum > 0 ? 1 / sqrt(sum) : 0;
        for (size_t k = 0; k < length; k++)
            x[i * length + k] = (float)((double)x[i * length + k] * scale);
    }
    return code;
}

static void keep(struct best *b, float cosine, size_t other)
{
    if (cosine > b->cosine || (!(cosine < b->cosine) && other < b->other))
        *b = (struct best){cosine, (uint32_t)other};
}

/* A tile's height of neurons of the first with all of the second. */
static void match_rows(void *ctx, size_t task)
{
    struct matching *m = ctx;
    const size_t r0 = task * TILE, rows = SC_MIN(m->n[0] - r0, (size_t)TILE);
    struct best *columns = m->b + task * m->n[1];
    float y[TILE * TILE];

    if (m->cancel && atomic_load(m->cancel))
        return;
    for (size_t c0 = 0; c0 < m->n[1]; c0 += TILE) {
        const size_t cols = SC_MIN(m->n[1] - c0, (size_t)TILE);
        const struct sc_dots d = {.w = m->x[1] + c0 * m->length,
                                  .x = m->x[0] + r0 * m->length,
                                  .y = y,
                                  .w_stride = m->length,
                                  .x_stride = m->length,
                                  .y_stride = cols,
                                  .n_w = cols,
                                  .n_x = rows,
                                  .n = m->length};
        sc_dots(&d, m->level);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++) {
                keep(&m->a[r0 + r], y[r * cols + c], c0 + c);
                keep(&columns[c0 + c], y[r * cols + c], r0 + r);
            }
    }
}

static void count(struct matching *m, size_t alive, struct sc_similarity_pair *out)
{
    const size_t tasks = (m->n[0] + TILE - 1) / TILE;
    double sum = 0;

    for (size_t t = 1; t < tasks; t++)
        for (size_t c = 0; c < m->n[1]; c++)
            keep(&m->b[c], m->b[t * m->n[1] + c].cosine, m->b[t * m->n[1] + c].other);
    out->neurons = (uint32_t)alive;
    out->matched = out->in_place = 0;
    for (size_t i = 0; i < m->n[0]; i++) {
        const struct best *b = &m->a[i];
        if (b->other == SC_NO_NODE || (double)b->cosine < SC_SIMILARITY_COSINE ||
            m->b[b->other].other != i)
            continue;
        out->matched++;
        out->in_place += b->other == i;
        sum += (double)b->cosine;
    }
    out->cosine = out->matched ? fmin(1, sum / out->matched) : (double)NAN;
    const double share = alive ? (double)out->matched / (double)alive : 0;
    const bool exact = out->matched == alive && out->cosine >= EXACT;
    out->kind = (uint8_t)(exact && out->in_place == alive ? SC_SIMILARITY_COPY
                          : exact                         ? SC_SIMILARITY_SHUFFLED
                          : share >= .9                   ? SC_SIMILARITY_NEAR
                          : share >= .5                   ? SC_SIMILARITY_PARTLY
                                                          : SC_SIMILARITY_ALIKE);
}

int sc_similar_match(struct sc_similar_weight *const a[3], struct sc_similar_weight *const b[3],
                     size_t n_parts, const struct sc_similarity_options *o, uint64_t memory,
                     struct sc_similarity_pair *out, struct sc_error *e)
{
    struct matching m = {.cancel = o->cancel, .level = sc_cpu_level()};
    size_t alive[2] = {0, 0}, longest = 0;

    for (size_t p = 0; p < n_parts; p++) {
        m.length += (size_t)a[p]->hidden;
        longest = SC_MAX(longest, (size_t)a[p]->hidden);
        if (a[p]->neurons != a[0]->neurons || b[p]->neurons != b[0]->neurons)
            return 0; /* weights that do not belong together */
    }
    m.n[0] = (size_t)a[0]->neurons;
    m.n[1] = (size_t)b[0]->neurons;
    const size_t tasks = (m.n[0] + TILE - 1) / TILE;
    const double bytes = 4. * (double)(m.n[0] + m.n[1]) * (double)(m.length + longest) +
                         (double)sizeof *m.a * ((double)m.n[0] + (double)tasks * (double)m.n[1]);
    if (bytes > .9 * (double)memory)
        return 0;
    float *x = sc_alloc(m.n[0] * m.length * sizeof *x),
          *y = sc_alloc(m.n[1] * m.length * sizeof *y);
    m.a = sc_alloc(m.n[0] * sizeof *m.a);
    m.b = sc_alloc(tasks * m.n[1] * sizeof *m.b);
    int code = x && y && m.a && m.b ? 0 : sc_fail_memory(e);
    if (code == 0)
        code = read_expert(a, n_parts, m.length, longest, x, &alive[0], e);
    if (code == 0)
        code = read_expert(b, n_parts, m.length, longest, y, &alive[1], e);
    for (size_t i = 0; i < m.n[0] && code == 0; i++)
        m.a[i] = (struct best){-2, SC_NO_NODE};
    for (size_t i = 0; i < tasks * m.n[1] && code == 0; i++)
        m.b[i] = (struct best){-2, SC_NO_NODE};
    if (code == 0) {
        m.x[0] = x;
        m.x[1] = y;
        sc_pool_for(o->pool, tasks, match_rows, &m);
        if (o->cancel && atomic_load(o->cancel))
            code = sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        else
            count(&m, SC_MIN(alive[0], alive[1]), out);
    }
    free(x);
    free(y);
    free(m.a);
    free(m.b);
    return code;
}

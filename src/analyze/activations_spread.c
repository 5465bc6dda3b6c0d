/* SPDX-License-Identifier: Apache-2.0 */
/* activations_spread: what pictures of activations want to know: how values are spread, how long
 * the stream is, where attention goes. */
#include <math.h>
#include <stdlib.h>

#include "analyze/activations_parts.h"
#include "math/math.h"

/* ----------------------------------------------------------------------------------- spread --- */
static double bent(const struct sc_activation *a, double x)
{
    return asinh(x / a->unit);
}

double sc_activation_edge(const struct sc_activation *a, size_t i)
{
    const double low = bent(a, a->min), high = bent(a, a->max);

    if (i == 0 || !(high > low))
        return a->min;
    if (i >= SC_ACTIVATION_BINS)
        return a->max;
    return a->unit * sinh(low + (high - low) * (double)i / SC_ACTIVATION_BINS);
}

void sc_activation_fill_bins(struct sc_activation *a, const float *values, size_t n)
{
    a->unit = a->median_abs > 0 ? a->median_abs : a->rms > 0 ? a->rms : 1;
    const double low = bent(a, a->min), span = bent(a, a->max) - low;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            continue;
        const double t =
            span > 0 ? (bent(a, (double)values[i]) - low) / span * SC_ACTIVATION_BINS : 0;
        a->bins[SC_MIN((size_t)SC_MAX(t, 0), (size_t)SC_ACTIVATION_BINS - 1)]++;
    }
}

/* ------------------------------------------------------------------------------------ norms --- */
static bool sees_the_stream(enum sc_hook hook)
{
    return hook == SC_HOOK_EMBEDDING || hook == SC_HOOK_RESIDUAL || hook == SC_HOOK_RESIDUAL_MID ||
           hook == SC_HOOK_FINAL_NORM;
}

int sc_activation_find_norms(struct sc_activation *a, const float *values, size_t n, size_t width,
                             struct sc_error *e)
{
    const size_t rows = width ? n / width : 0;
    size_t used = 0;

    a->norm_first = a->norm_median = a->norm_most = (double)NAN;
    if (!rows || !sees_the_stream(a->hook))
        return 0;
    double *norms = sc_alloc(rows * sizeof *norms);
    if (!norms)
        return sc_fail_memory(e);
    for (size_t i = 0; i < rows; i++) {
        double square = 0;
        for (size_t k = 0; k < width; k++)
            square += (double)values[i * width + k] * (double)values[i * width + k];
        const double norm = sqrt(square);
        if (!isfinite(norm))
            continue;
        if (i == 0)
            a->norm_first = norm;
        if (!used || norm > a->norm_most) {
            a->norm_most = norm;
            a->norm_at = (uint32_t)i;
        }
        norms[used++] = norm;
    }
    if (used)
        a->norm_median = sc_select(norms, used, used / 2);
    free(norms);
    return 0;
}

/* -------------------------------------------------------------------------------- attention --- */
int sc_attention_start(const struct sc_activations_options *o, struct sc_activations *out,
                       struct sc_error *e)
{
    uint64_t cells, bytes;

    if (!o->n_maps)
        return 0;
    if (o->n > SC_ATTENTION_POSITIONS)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "maps of attention are made of at most %d tokens, not %zu",
                       (int)SC_ATTENTION_POSITIONS, o->n);
    if (!sc_mul(o->n, o->n, &cells) || !sc_mul(cells, o->n_maps * sizeof(double), &bytes) ||
        (o->memory && bytes > o->memory / 4))
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "%zu maps of the attention of %zu tokens do not fit a quarter of the "
                       "memory: take fewer tokens or more --memory",
                       o->n_maps, o->n);
    out->maps = sc_calloc(o->n_maps, sizeof *out->maps);
    if (!out->maps)
        return sc_fail_memory(e);
    for (size_t i = 0; i < o->n_maps; i++) {
        out->maps[i] = (struct sc_attention_map){
            .layer = o->maps[i].layer, .head = o->maps[i].head, .n = o->n};
        out->maps[i].p = sc_calloc((size_t)cells, sizeof *out->maps[i].p);
        out->n_maps = i + 1;
        if (!out->maps[i].p)
            return sc_fail_memory(e);
    }
    return 0;
}

void sc_attention_add(struct sc_activations *out, const struct sc_hook_data *h)
{
    for (size_t i = 0; i < out->n_maps; i++) {
        struct sc_attention_map *m = &out->maps[i];
        if ((int32_t)m->layer != h->layer || (m->head >= 0 && m->head != h->part) || h->n != m->n ||
            h->width != m->n)
            continue;
        for (size_t q = 0; q < m->n; q++)
            for (size_t k = 0; k <= q; k++)
                m->p[q * m->n + k] += (double)h->values[q * m->n + k];
        m->heads++;
    }
}

void sc_attention_finish(struct sc_activations *out)
{
    for (size_t i = 0; i < out->n_maps; i++)
        for (size_t k = 0; k < out->maps[i].n * out->maps[i].n && out->maps[i].heads > 1; k++)
            out->maps[i].p[k] /= (double)out->maps[i].heads;
}

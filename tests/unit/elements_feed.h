/* SPDX-License-Identifier: Apache-2.0 */
/* elements_feed: a tensor in memory, given to a pass as the sweeps give it: chunks of whole rows or
 * of a part of one row, in segments whose work may interleave. */
#ifndef SC_TEST_ELEMENTS_FEED_H
#define SC_TEST_ELEMENTS_FEED_H

#include "analyze/health.h"

#include <stdlib.h>
#include <string.h>

struct feed {
    struct sc_tensor tensor;
    struct sc_values view;
    const uint8_t *codes; /* code_bytes each */
    const float *values;
    const double *values64;
    uint64_t chunk, segment; /* values; 0: as the sweeps do */
    unsigned visits;         /* how many it took */
};

/* `codec`: "BF16"; a shape of `rank` dimensions that outlives the feed. */
static inline void feed_open(struct feed *f, const char *codec, const uint64_t *shape, uint8_t rank)
{
    memset(f, 0, sizeof *f);
    f->tensor.shape = shape;
    f->tensor.rank = rank;
    f->view.tensor = &f->tensor;
    f->view.codec = sc_codec_find(sc_strz(codec));
    f->view.count = f->view.rows = 1;
    for (uint8_t i = 0; i < rank; i++) {
        f->view.count *= shape[i];
        f->view.rows *= i + 1 < rank ? shape[i] : 1;
    }
    f->view.count *= sc_codec_values(f->view.codec);
    f->view.cols = f->view.rows ? f->view.count / f->view.rows : 0;
    f->view.is_double = !sc_decoder(f->view.codec, SC_CPU_C);
    const double bits = sc_codec_bits(f->view.codec);
    f->view.code_bytes = bits == 8 || bits == 16 || bits == 32 ? (uint8_t)(bits / 8) : 0;
}

static inline void feed_chunk(const struct feed *f, const struct sc_pass *pass, void *ctx,
                              void *total, void *part, uint64_t at, uint64_t n)
{
    const struct sc_values *v = &f->view;
    struct sc_chunk c = {.view = v, .row = at / v->cols, .col = at % v->cols};
    c.n_rows = n < v->cols || c.col ? 1 : n / v->cols;
    c.n_cols = n / c.n_rows;
    c.codes = f->codes ? f->codes + at * v->code_bytes : NULL;
    c.values = f->values ? f->values + at : NULL;
    c.values64 = f->values64 ? f->values64 + at : NULL;
    pass->chunk(ctx, total, part, &c);
}

/* Values of the chunk that begins at `at`. */
static inline uint64_t feed_chunk_size(const struct feed *f, uint64_t at, uint64_t end)
{
    const uint64_t most = f->chunk ? f->chunk : SC_CHUNK_VALUES, cols = f->view.cols;
    const uint64_t left = cols - at % cols;
    if (left < cols || cols > most)
        return SC_MIN(SC_MIN(most, left), end - at);
    return SC_MIN(most / cols * cols, end - at);
}

static inline int feed_visit(const struct feed *f, const struct sc_pass *pass, void *ctx,
                             void *total, unsigned visit, bool interleaved)
{
    const uint64_t most = f->segment ? f->segment : SC_SEGMENT_VALUES;
    const uint64_t cols = f->view.cols;
    const uint64_t size = cols <= most ? most / cols * cols : most;
    const size_t n = (size_t)((f->view.count + size - 1) / size);
    void **part = calloc(n + 1, sizeof *part), *reuse = NULL;
    int status = 0;
    for (size_t i = 0; i < n && interleaved && status == 0; i++)
        status = pass->part(ctx, total, visit, NULL, &part[i], NULL);
    /* Interleaved: every segment gets a chunk before any gets its second. */
    bool more = interleaved;
    uint64_t *at = calloc(n + 1, sizeof *at);
    while (more && status == 0) {
        more = false;
        for (size_t i = n; i-- > 0;) {
            const uint64_t first = i * size + at[i], end = SC_MIN((i + 1) * size, f->view.count);
            if (first >= end)
                continue;
            const uint64_t now = feed_chunk_size(f, first, end);
            feed_chunk(f, pass, ctx, total, part[i], first, now);
            at[i] += now;
            more = true;
        }
    }
    for (size_t i = 0; i < n && status == 0; i++) {
        const uint64_t end = SC_MIN((i + 1) * size, f->view.count);
        if (!interleaved)
            status = pass->part(ctx, total, visit, reuse, &part[i], NULL);
        for (uint64_t k = i * size; k < end && !interleaved && status == 0;) {
            const uint64_t now = feed_chunk_size(f, k, end);
            feed_chunk(f, pass, ctx, total, part[i], k, now);
            k += now;
        }
        if (status == 0)
            pass->merge(ctx, total, part[i]);
        if (interleaved)
            pass->part_free(ctx, part[i]);
        else
            reuse = part[i];
    }
    if (!interleaved && reuse)
        pass->part_free(ctx, reuse);
    free(part);
    free(at);
    return status;
}

/* The whole pass, into *out. */
static inline int feed_run(struct feed *f, const struct sc_measure *m, bool interleaved,
                           struct sc_health *out)
{
    const struct sc_pass *pass = &sc_pass_elements;
    const struct sc_item item = {.user = out};
    struct sc_measure copy = *m;
    void *total = NULL;
    memset(out, 0, sizeof *out);
    f->visits = 0;
    if (!pass->wants(&copy, &item, &f->view))
        return 0;
    int status = pass->begin(&copy, &item, &f->view, &total, NULL);
    for (unsigned visit = 0; status == 0 && f->view.count; visit++) {
        status = feed_visit(f, pass, &copy, total, visit, interleaved);
        f->visits = visit + 1;
        if (status < 0)
            pass->drop(&copy, total);
        else if (!pass->again(&copy, total, visit))
            break;
    }
    return status < 0 ? status : pass->end(&copy, &item, &f->view, total, NULL);
}

#endif

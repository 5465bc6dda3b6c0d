/* SPDX-License-Identifier: Apache-2.0 */
/* panels: a matrix read in pieces, widened to double, longer side first.
 *
 * A panel is read in chunks, which threads share: rows of a tall matrix (they must be transposed),
 * and parts of all rows of a wide one. */
#include <stdlib.h>
#include <string.h>

#include "math/svd.h"

enum { CHUNK = 64, TILE = 16 };

uint64_t sc_panel_depth(uint64_t n, uint64_t length)
{
    uint64_t depth = (UINT64_C(1) << 21) / SC_MAX(n, 1);
    depth = SC_MIN(SC_MAX(depth, 256), 4096) / CHUNK * CHUNK;
    return SC_MIN(depth, length);
}

static size_t value_bytes(const struct sc_matrix *m)
{
    return m->read64 ? sizeof(double) : sizeof(float);
}

static uint64_t n_chunks(const struct sc_svd_job *job, uint64_t count)
{
    return ((job->wide ? job->n : count) + CHUNK - 1) / CHUNK;
}

int sc_panel_start(const struct sc_svd_job *job, struct sc_panel *panel, struct sc_error *e)
{
    *panel = (struct sc_panel){.depth = sc_panel_depth(job->n, job->length)};
    panel->x = sc_svd_doubles(panel->depth, job->n, e);
    panel->raw = sc_svd_items(panel->depth, job->n, value_bytes(job->m), e);
    panel->chunk_norm2 = sc_svd_doubles(n_chunks(job, panel->depth), 1, e);
    if (panel->x && panel->raw && panel->chunk_norm2)
        return 0;
    sc_panel_clear(panel);
    return SCRUPLE_EMEMORY;
}

void sc_panel_clear(struct sc_panel *panel)
{
    free(panel->x);
    free(panel->raw);
    free(panel->chunk_norm2);
    *panel = (struct sc_panel){0};
}

struct reading {
    const struct sc_svd_job *job;
    struct sc_panel *panel;
    _Atomic int failed; /* the first code; whoever sets it fills `problem` */
    struct sc_error problem;
};

static void fail(struct reading *r, const struct sc_error *problem)
{
    int none = 0;
    if (atomic_compare_exchange_strong(&r->failed, &none, problem->code))
        r->problem = *problem;
}

/* Value i of what was read. `wide` is a constant wherever this is inlined. */
static inline double value_at(const void *raw, bool wide, uint64_t i)
{
    return wide ? ((const double *)raw)[i] : (double)((const float *)raw)[i];
}

/* Sum of squares; NaN or infinite when a value is. Sixteen lanes, so that it can be vectorised. */
static inline double square_sum(const void *x, bool wide, uint64_t n)
{
    double lane[16] = {0}, sum = 0;
    uint64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (unsigned k = 0; k < 16; k++)
            lane[k] += value_at(x, wide, i + k) * value_at(x, wide, i + k);
    for (; i < n; i++)
        sum += value_at(x, wide, i) * value_at(x, wide, i);
    for (int k = 0; k < 16; k++)
        sum += lane[k];
    return sum;
}

/* rows x n values, row-major, to columns of doubles. */
static inline void transpose(const void *from, bool wide, uint64_t rows, uint64_t n, double *to,
                             uint64_t ld)
{
    for (uint64_t j0 = 0; j0 < n; j0 += TILE) {
        const uint64_t j1 = SC_MIN(j0 + TILE, n);
        for (uint64_t i0 = 0; i0 < rows; i0 += TILE) {
            const uint64_t i1 = SC_MIN(i0 + TILE, rows);
            for (uint64_t j = j0; j < j1; j++)
                for (uint64_t i = i0; i < i1; i++)
                    to[i + j * ld] = value_at(from, wide, i * n + j);
        }
    }
}

/* A chunk that begins at row or column `from` to its place; returns its sum of squares. */
static inline double place_chunk(const struct sc_svd_job *job, struct sc_panel *panel,
                                 const void *raw, bool wide, uint64_t from, uint64_t many,
                                 uint64_t width)
{
    if (!job->wide) {
        transpose(raw, wide, many, width, panel->x + from, panel->depth);
    } else {
        for (uint64_t i = 0; i < many; i++)
            for (uint64_t j = 0; j < width; j++)
                panel->x[j + (from + i) * panel->depth] = value_at(raw, wide, i * width + j);
    }
    return square_sum(raw, wide, many * width);
}

static void read_chunk(void *ctx, size_t chunk)
{
    struct reading *r = ctx;
    const struct sc_svd_job *job = r->job;
    const struct sc_matrix *m = job->m;
    struct sc_panel *panel = r->panel;
    struct sc_error e = {0};
    if (atomic_load(&r->failed))
        return;
    const uint64_t from = (uint64_t)chunk * CHUNK;
    const uint64_t side = job->wide ? job->n : panel->count;
    const uint64_t many = SC_MIN(side - from, CHUNK);
    const uint64_t width = job->wide ? panel->count : job->n; /* values of a row of the chunk */
    void *raw = (char *)panel->raw + from * width * value_bytes(m);
    const uint64_t row = job->wide ? from : panel->first + from;
    const uint64_t col = job->wide ? panel->first : 0;
    const bool flush = sc_svd_flush(false); /* numbers are read as they are */
    const int status = m->read64 ? m->read64(m->ctx, row, many, col, width, raw, &e)
                                 : m->read(m->ctx, row, many, col, width, raw, &e);
    sc_svd_flush(flush);
    if (status < 0) {
        e.code = status;
        fail(r, &e);
        return;
    }
    panel->chunk_norm2[chunk] = m->read64 ? place_chunk(job, panel, raw, true, from, many, width)
                                          : place_chunk(job, panel, raw, false, from, many, width);
    if (!(panel->chunk_norm2[chunk] <= 1.7976931348623157e308)) {
        sc_fail(&e, SCRUPLE_EFORMAT, "the matrix is not finite: it has NaN or infinity");
        fail(r, &e);
    }
}

int sc_panel_read(const struct sc_svd_job *job, struct sc_panel *panel, uint64_t first,
                  struct sc_error *e)
{
    TRY(sc_svd_pause(job, e));
    panel->first = first;
    panel->count = SC_MIN(panel->depth, job->length - first);
    struct reading r = {.job = job, .panel = panel};
    const uint64_t chunks = n_chunks(job, panel->count);
    sc_parallel_run(job->p, (size_t)chunks, read_chunk, &r);
    const int status = atomic_load(&r.failed);
    if (status < 0) {
        if (e)
            *e = r.problem;
        return status;
    }
    panel->norm2 = 0;
    for (uint64_t i = 0; i < chunks; i++)
        panel->norm2 += panel->chunk_norm2[i];
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* similarity_read: an expert's weight as lines of neurons or of the hidden axis, however it lies.
 *
 * A stored matrix is read in slabs of whole or partial rows; where lines are its columns, slabs are
 * transposed. The two halves of a gate_up stack may be blocks or take turns. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/similarity_parts.h"

enum { SLAB_VALUES = 1 << 17, BLOCK = 16 };

/* Rows row..row+n_rows and columns col..col+n_cols of one matrix of a piece; dst has room for twice
 * as many values where columns take turns. */
static int read_rectangle(const struct sc_similar_weight *w, uint64_t row, uint64_t n_rows,
                          uint64_t col, uint64_t n_cols, float *dst, struct sc_error *e)
{
    const struct sc_expert_piece *p = &w->piece;
    const bool turns = p->cut == SC_CUT_EVEN_COLUMNS;
    const uint64_t step = p->cut == SC_CUT_EVEN_ROWS ? 2 : 1;
    uint64_t top = row * step, left = turns ? 2 * col : col;

    if (w->up) {
        top += p->cut == SC_CUT_ROWS ? w->rows : p->cut == SC_CUT_EVEN_ROWS;
        left += p->cut == SC_CUT_COLUMNS ? w->cols : 0;
    }
    const uint64_t wide = turns ? 2 * n_cols : n_cols;
    TRY(sc_values_read_runs(w->view, p->first + top * p->cols + left, step * p->cols,
                            (size_t)n_rows, wide, dst, e));
    for (uint64_t i = 0; turns && i < n_rows * n_cols; i++)
        dst[i] = dst[2 * i + w->up];
    return 0;
}

/* src: rows x cols; dst: a line for each column, `stride` apart. */
static void transpose(const float *src, size_t rows, size_t cols, float *dst, size_t stride)
{
    for (size_t r0 = 0; r0 < rows; r0 += BLOCK)
        for (size_t c0 = 0; c0 < cols; c0 += BLOCK)
            for (size_t c = c0; c < SC_MIN(c0 + BLOCK, cols); c++)
                for (size_t r = r0; r < SC_MIN(r0 + BLOCK, rows); r++)
                    dst[c * stride + r] = src[r * cols + c];
}

void sc_similar_scale(float *x, size_t n, int shift)
{
    const double factor = ldexp(1, shift);

    for (size_t i = 0; i < n && shift; i++)
        x[i] = (float)((double)x[i] * factor);
}

/* How many rows of `cols` values are read at a time. */
static uint64_t slab_rows(uint64_t cols, uint64_t rows)
{
    return SC_MIN(SC_MAX(SLAB_VALUES / SC_MAX(cols, UINT64_C(1)), UINT64_C(1)), rows);
}

int sc_similar_read(const struct sc_similar_weight *w, bool by_neuron, uint64_t first, uint64_t n,
                    float *dst, struct sc_error *e)
{
    const bool as_stored = by_neuron == w->neurons_are_rows;
    const uint64_t cols = as_stored ? w->cols : n, rows = as_stored ? n : w->rows;
    const uint64_t at_once = slab_rows(cols, rows);
    float *slab = sc_alloc((size_t)(2 * at_once * cols) * sizeof *slab);
    int code = slab ? 0 : sc_fail_memory(e);

    for (uint64_t r = 0; r < rows && code == 0; r += at_once) {
        const uint64_t k = SC_MIN(rows - r, at_once);
        if (as_stored) {
            code = read_rectangle(w, first + r, k, 0, cols, slab, e);
            if (code == 0)
                memcpy(dst + r * cols, slab, (size_t)(k * cols) * sizeof *dst);
        } else {
            code = read_rectangle(w, r, k, first, n, slab, e);
            if (code == 0)
                transpose(slab, (size_t)k, (size_t)n, dst + r, (size_t)rows);
        }
    }
    free(slab);
    if (code == 0)
        sc_similar_scale(dst, (size_t)(rows * cols), w->shift);
    return code;
}

static void judge(struct sc_similar_weight *w)
{
    if (w->most >= 0x7f800000) {
        w->state = SC_SIMILARITY_BROKEN;
        w->square = (double)NAN;
    } else if (w->most == 0) {
        w->state = SC_SIMILARITY_DEAD;
    } else {
        (void)frexp((double)sc_float_of(w->most), &w->shift);
        w->shift = -w->shift;
    }
}

int sc_similar_measure(struct sc_similar_weight *w, bool by_neuron, float *dst,
                       const _Atomic int *cancel, struct sc_error *e)
{
    const uint64_t at_once = slab_rows(w->cols, w->rows);
    const enum sc_cpu level = sc_cpu_level();
    float *slab = sc_alloc((size_t)(2 * at_once * w->cols) * sizeof *slab);
    int code = slab ? 0 : sc_fail_memory(e);

    w->square = 0;
    w->most = 0;
    w->shift = 0;
    for (uint64_t r = 0; r < w->rows && code == 0; r += at_once) {
        const uint64_t k = SC_MIN(w->rows - r, at_once);
        if (cancel && atomic_load(cancel)) {
            code = sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
            break;
        }
        code = read_rectangle(w, r, k, 0, w->cols, slab, e);
        for (uint64_t i = 0; i < k && code == 0; i++) {
            struct sc_sums sums;
            sc_sums(slab + i * w->cols, (size_t)w->cols, level, &sums);
            w->square += sums.square;
            w->most = SC_MAX(w->most, sums.most);
        }
        if (code == 0 && dst && by_neuron == w->neurons_are_rows)
            memcpy(dst + r * w->cols, slab, (size_t)(k * w->cols) * sizeof *dst);
        else if (code == 0 && dst)
            transpose(slab, (size_t)k, (size_t)w->cols, dst + r, (size_t)w->rows);
    }
    free(slab);
    if (code == 0)
        judge(w);
    return code;
}

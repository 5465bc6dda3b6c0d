/* SPDX-License-Identifier: Apache-2.0 */
/* quality_round: the lines of a panel as their format keeps them. */
#include "analyze/quality_desk.h"

void sc_turn(const float *src, size_t rows, size_t cols, float *dst)
{
    enum { SQUARE = 16 };
    for (size_t i = 0; i < rows; i += SQUARE)
        for (size_t j = 0; j < cols; j += SQUARE)
            for (size_t r = i; r < SC_MIN(rows, i + SQUARE); r++)
                for (size_t c = j; c < SC_MIN(cols, j + SQUARE); c++)
                    dst[c * rows + r] = src[r * cols + c];
}

void sc_round_step(const struct sc_planned *p, uint64_t line, const float *x, size_t n,
                   struct sc_step *out)
{
    struct sc_extent of;
    if (p->f->over != SC_OVER_LINE) {
        *out = p->step;
        return;
    }
    if (p->lines) {
        of = p->lines[line];
    } else {
        sc_extremes(x, n, sc_cpu_level(), &of.min, &of.max);
        if (p->f->clip)
            of = sc_encoding_clip(p->f, of, x, NULL, n);
    }
    sc_encoding_step(p->f, of, out);
}

uint64_t sc_round_panel(const struct sc_planned *p, const struct sc_cut *cut,
                        const struct sc_rectangle *at, const float *turned, float *back, float *y)
{
    const size_t lines = p->turned ? at->n_cols : at->n_rows;
    const size_t n = p->turned ? at->n_rows : at->n_cols;
    const uint64_t first =
        p->turned ? at->matrix * cut->cols + at->col : at->matrix * cut->rows + at->row;
    const float *x = p->turned ? turned : at->values;
    float *dst = p->turned ? back : y;
    uint64_t saturated = 0;
    for (size_t i = 0; i < lines; i++) {
        struct sc_step step;
        sc_round_step(p, first + i, x + i * n, n, &step);
        saturated += sc_round_line(p, &step, x + i * n, n, dst + i * n);
    }
    if (p->turned)
        sc_turn(back, at->n_cols, at->n_rows, y);
    return saturated;
}

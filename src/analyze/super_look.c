/* SPDX-License-Identifier: Apache-2.0 */
/* super_look: where super weights stand: their matrix as squares, its histogram, and the weights
 * around the largest of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/largest.h"
#include "analyze/super.h"

/* A matrix in lines as they are stored: its rows, or its columns when it is transposed. */
struct lines {
    const struct sc_forward_matrix *m;
    struct sc_values *v;
    float *line; /* (inner) */
    uint64_t outer, inner;
    const _Atomic int *cancel;
};

static int read_line(const struct lines *l, uint64_t i, struct sc_error *e)
{
    const uint64_t from = l->m->first + i * (l->m->transposed ? l->m->stride : l->m->cols);

    if (l->cancel && *l->cancel)
        return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
    return sc_values_read(l->v, from, (size_t)l->inner, l->line, e);
}

static void place(const struct lines *l, uint64_t outer, uint64_t inner, uint64_t *row,
                  uint64_t *col)
{
    *row = l->m->transposed ? inner : outer;
    *col = l->m->transposed ? outer : inner;
}

static void take_square(struct sc_super_matrix *m, uint64_t row, uint64_t col, float w)
{
    float *square = &m->squares[row / m->by * m->across + col / m->by];

    if (isnan(*square) || fabsf(w) > fabsf(*square))
        *square = w;
}

static void take_near(struct sc_super_matrix *m, uint64_t row, uint64_t col, float w)
{
    if (row >= m->near_row && row - m->near_row < m->near_rows && col >= m->near_col &&
        col - m->near_col < m->near_cols)
        m->near[(row - m->near_row) * m->near_cols + col - m->near_col] = w;
}

static int find_range(const struct lines *l, struct sc_super_matrix *m, struct sc_error *e)
{
    m->min = m->max = (double)NAN;
    for (uint64_t i = 0; i < l->outer; i++) {
        TRY(read_line(l, i, e));
        for (uint64_t k = 0; k < l->inner; k++) {
            const double w = (double)l->line[k];
            uint64_t row, col;
            place(l, i, k, &row, &col);
            take_near(m, row, col, l->line[k]);
            if (!isfinite(w)) {
                m->nonfinite++;
                continue;
            }
            m->min = w >= m->min ? m->min : w;
            m->max = w <= m->max ? m->max : w;
            take_square(m, row, col, l->line[k]);
        }
    }
    return 0;
}

static int count_bins(const struct lines *l, struct sc_super_matrix *m, struct sc_error *e)
{
    const double span = m->max - m->min;

    for (uint64_t i = 0; i < l->outer; i++) {
        TRY(read_line(l, i, e));
        for (uint64_t k = 0; k < l->inner; k++) {
            const double w = (double)l->line[k];
            if (!isfinite(w))
                continue;
            const double t = span > 0 ? (w - m->min) / span * SC_SUPER_BINS : 0;
            m->bins[SC_MIN((size_t)t, (size_t)SC_SUPER_BINS - 1)]++;
        }
    }
    return 0;
}

/* A window around the weight, moved to where it is inside of the matrix. */
static void choose_near(struct sc_super_matrix *m, const struct sc_super_weight *w)
{
    const uint64_t half = SC_SUPER_NEAR / 2;

    m->near_rows = SC_MIN(m->rows, (uint64_t)SC_SUPER_NEAR);
    m->near_cols = SC_MIN(m->cols, (uint64_t)SC_SUPER_NEAR);
    m->near_row = SC_MIN(w->row > half ? w->row - half : 0, m->rows - m->near_rows);
    m->near_col = SC_MIN(w->col > half ? w->col - half : 0, m->cols - m->near_cols);
}

/* The matrix of a weight: a down projection of a model that is run, or a matrix as --by magnitude
 * has it. */
static bool find_matrix(const struct sc_model *model, const struct sc_forward *f,
                        const struct sc_super_weight *w, struct sc_forward_matrix *out)
{
    const struct sc_tensor *t = &model->tensors[w->tensor];
    struct sc_large_shape s;

    if (f)
        return sc_forward_down(f, w->layer, w->expert == -2 ? -1 : w->expert, out);
    sc_large_shape(model, w->tensor, &s);
    const uint64_t size = s.height * s.width, cols = t->rank ? t->parameters / t->shape[0] : 1;
    if (!size)
        return false;
    *out = (struct sc_forward_matrix){.tensor = w->tensor,
                                      .first = (w->stored_row * cols + w->stored_col) / size * size,
                                      .rows = s.rows,
                                      .cols = s.cols,
                                      .transposed = s.transposed,
                                      .stride = s.width};
    return true;
}

static int look_at(const struct sc_model *model, const struct sc_forward *f,
                   const struct sc_super_weight *w, const _Atomic int *cancel,
                   struct sc_super_matrix *m, struct sc_error *e)
{
    struct sc_forward_matrix at;

    *m = (struct sc_super_matrix){
        .layer = w->layer, .tensor = w->tensor, .expert = w->expert, .kind = w->kind};
    if (!find_matrix(model, f, w, &at) || !at.rows || !at.cols)
        return 0;
    m->rows = at.rows;
    m->cols = at.cols;
    const uint64_t side = SC_MAX(at.rows, at.cols);
    m->by = (side + SC_SUPER_SQUARES - 1) / SC_SUPER_SQUARES;
    m->down = (at.rows + m->by - 1) / m->by;
    m->across = (at.cols + m->by - 1) / m->by;
    choose_near(m, w);
    struct lines l = {.m = &at,
                      .outer = at.transposed ? at.cols : at.rows,
                      .inner = at.transposed ? at.rows : at.cols,
                      .cancel = cancel};
    m->squares = sc_alloc((size_t)(m->down * m->across) * sizeof *m->squares);
    l.line = sc_alloc((size_t)l.inner * sizeof *l.line);
    int code = m->squares && l.line ? sc_values_open(model, at.tensor, &l.v, e) : sc_fail_memory(e);
    for (size_t i = 0; code == 0 && i < m->down * m->across; i++)
        m->squares[i] = NAN;
    if (code == 0)
        code = find_range(&l, m, e);
    if (code == 0)
        code = count_bins(&l, m, e);
    sc_values_close(l.v);
    free(l.line);
    return code;
}

static bool is_same(const struct sc_super_matrix *m, const struct sc_super_weight *w)
{
    return m->layer == w->layer && m->expert == w->expert && m->tensor == w->tensor;
}

/* The found weight of the largest size in the matrix of the i-th. */
static const struct sc_super_weight *largest_beside(const struct sc_super_list *l, size_t i)
{
    const struct sc_super_weight *w = &l->p[i];

    for (size_t k = i + 1; k < l->n; k++)
        if (l->p[k].layer == l->p[i].layer && l->p[k].expert == l->p[i].expert &&
            l->p[k].tensor == l->p[i].tensor && fabsf(l->p[k].weight) > fabsf(w->weight))
            w = &l->p[k];
    return w;
}

int sc_super_look(const struct sc_model *m, const struct sc_forward *f,
                  const struct sc_super_list *l, const _Atomic int *cancel,
                  struct sc_super_matrices *out, struct sc_error *e)
{
    memset(out, 0, sizeof *out);
    out->p = sc_calloc(SC_SUPER_MATRICES, sizeof *out->p);
    if (!out->p)
        return sc_fail_memory(e);
    for (size_t i = 0; i < l->n && out->n < SC_SUPER_MATRICES; i++) {
        bool seen = false;
        for (size_t k = 0; k < out->n && !seen; k++)
            seen = is_same(&out->p[k], &l->p[i]);
        if (!seen)
            TRY(look_at(m, f, largest_beside(l, i), cancel, &out->p[out->n++], e));
    }
    return 0;
}

void sc_super_matrices_clear(struct sc_super_matrices *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->p[i].squares);
    free(m->p);
    memset(m, 0, sizeof *m);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* quality_look: one panel in all formats.
 *
 *   8 rows x a segment of x --> facts of x --> format by format: rounded, sums of errors
 *
 * so that x and y stay in the first cache. Sums go from blocks into tiles of 32 rows, from tiles
 * into the panel, in that order. Formats of the other axis see the panel turned, all at once.
 *
 * Blocks whose values are out of the range of the fast sums, or not finite, are added up one by
 * one (sc_errors_exact()), and so are small tensors, where the rounding of these sums would show.
 */
#include "analyze/quality_parts.h"

#include <math.h>
#include <string.h>

/* Sums of a tile: of x (d, square), or of the errors of a format. */
struct tile {
    double d, abs, square, values, cross;
    uint32_t most, nonfinite; /* nonfinite: of x */
};

/* A line of cells inside a block: its sums of x. */
struct piece {
    double x, xx;
    uint32_t finite;
};

/* What formats want to know of x in a block. */
struct seen {
    uint32_t most;  /* bits of the largest |x| */
    uint64_t zeros; /* values that are 0, and padding */
};

/* Where look() works. */
struct desk {
    struct sc_quality_pass *q;
    const struct sc_rectangle *at;
    struct sc_book *book;
    struct sc_look_sums part;
    size_t across;  /* tiles of the panel */
    struct tile *x; /* (tiles of the panel) */
    struct tile *d; /* (n * across) of the tiles of 32 rows */
    struct sc_error_sums *sums;
    struct sc_step *steps; /* (n * 8) */
    float *padded, *y;     /* (8 * stride) */
    size_t stride;         /* of these: a segment, in whole groups */
    uint16_t *hits;
    double *saved;               /* (stride) sums of columns, before a block */
    float *turned, *back, *full; /* (panel) */
    struct piece *pieces;        /* of cells that are lines */
    struct seen *seen;           /* of x in every block of the panel */
    size_t segments;             /* of a row */
};

/* Pieces of memory one behind the other, 64 bytes aligned; base NULL: only their sum. */
struct shelf {
    char *base;
    size_t used;
};
static void *put(struct shelf *s, size_t n, size_t size)
{
    void *p = s->base ? s->base + s->used : NULL;
    s->used += (n * size + 63) / 64 * 64;
    return p;
}

size_t sc_look_lay(const struct sc_quality_pass *q, void *memory, struct sc_look_sums *p)
{
    struct shelf s = {memory, 0};
    const size_t height = q->cut.height, width = q->cut.width;
    const bool lines = q->cells && q->cells->grain == SC_GRAIN_ROW;
    *p = (struct sc_look_sums){0};
    p->x = put(&s, 1, sizeof *p->x);
    p->d = put(&s, q->n, sizeof *p->d);
    p->rows = put(&s, (q->n + 1) * height, sizeof *p->rows);
    if (q->columns_kept)
        p->cols = put(&s, (q->n + 1) * width, sizeof *p->cols);
    if (lines) {
        p->row_x = put(&s, height, sizeof *p->row_x);
        p->row_d = put(&s, height * q->cells->n_formats, sizeof *p->row_d);
    }
    return s.used;
}

static size_t lay_desk(const struct sc_quality_pass *q, void *memory, struct desk *d)
{
    struct shelf s = {memory, 0};
    const struct sc_cut *c = &q->cut;
    const size_t panel = (size_t)c->height * c->width;
    const size_t down = (c->height + c->tile_rows - 1) / c->tile_rows;
    d->across = (c->width + c->tile_cols - 1) / c->tile_cols;
    d->stride = sc_align_up(c->segment, SC_ERROR_COLUMNS);
    d->x = put(&s, down * d->across, sizeof *d->x);
    d->d = put(&s, q->n * d->across, sizeof *d->d);
    d->sums = put(&s, d->stride / SC_ERROR_COLUMNS, sizeof *d->sums);
    d->steps = put(&s, q->n * SC_ERROR_ROWS, sizeof *d->steps);
    d->padded = put(&s, SC_ERROR_ROWS * d->stride, sizeof *d->padded);
    d->y = put(&s, SC_ERROR_ROWS * d->stride, sizeof *d->y);
    d->hits = put(&s, SC_ERROR_ROWS * d->stride / SC_LANES, sizeof *d->hits);
    d->saved = put(&s, d->stride, sizeof *d->saved);
    d->pieces = put(&s, SC_ERROR_ROWS * d->stride, sizeof *d->pieces);
    d->segments = (c->width + c->segment - 1) / c->segment;
    d->seen = put(&s, ((c->height - 1) / SC_ERROR_ROWS + 1) * d->segments, sizeof *d->seen);
    d->turned = d->back = d->full = NULL;
    if (q->any_other_axis) {
        d->turned = put(&s, panel, sizeof *d->turned);
        d->back = put(&s, panel, sizeof *d->back);
        d->full = put(&s, panel, sizeof *d->full);
    }
    return s.used;
}

size_t sc_look_scratch(const struct sc_quality_pass *q)
{
    struct desk d;
    return lay_desk(q, NULL, &d);
}

/* -------------------------------------------------------------------------------- rounding --- */

void sc_turn(const float *src, size_t rows, size_t cols, float *dst)
{
    enum { SQUARE = 16 };
    for (size_t i = 0; i < rows; i += SQUARE)
        for (size_t j = 0; j < cols; j += SQUARE)
            for (size_t r = i; r < SC_MIN(rows, i + SQUARE); r++)
                for (size_t c = j; c < SC_MIN(cols, j + SQUARE); c++)
                    dst[c * rows + r] = src[r * cols + c];
}

/* The step of one line, whose number counts all lines of the tensor; x: the whole line, where
 * p->lines is NULL. */
static void set_step(const struct sc_planned *p, uint64_t line, const float *x, size_t n,
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

/* GGML wants whole units, and there are none left over: shapes that do not fit are not measured. */
static uint64_t round_line(const struct sc_planned *p, const struct sc_step *step, const float *x,
                           size_t n, float *y)
{
    return p->round(p->f, p->f->over == SC_OVER_NOTHING ? NULL : step, x, n, y);
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
        set_step(p, first + i, x + i * n, n, &step);
        saturated += round_line(p, &step, x + i * n, n, dst + i * n);
    }
    if (p->turned)
        sc_turn(back, at->n_cols, at->n_rows, y);
    return saturated;
}

/* ---------------------------------------------------------------------------------- blocks --- */

/* Up to 8 rows of a segment. */
struct block {
    size_t row, col, rows, n; /* inside the panel; n: columns that there are */
    size_t whole;             /* in whole groups */
    const float *x;
    size_t x_stride;
    struct seen *seen;
};

/* Rows with zeros behind them, where groups are not whole. */
static const float *pad(const struct block *b, const float *src, size_t *stride, float *dst,
                        size_t dst_stride)
{
    if (b->whole == b->n)
        return src;
    for (size_t r = 0; r < b->rows; r++) {
        memcpy(dst + r * dst_stride, src + r * *stride, b->n * sizeof *dst);
        memset(dst + r * dst_stride + b->n, 0, (b->whole - b->n) * sizeof *dst);
    }
    *stride = dst_stride;
    return dst;
}

static void add_tile(struct tile *t, const struct sc_error_sums *s)
{
    t->d += s->d;
    t->abs += s->abs;
    t->square += s->square;
    t->values += s->values;
    t->cross += s->cross;
    t->most = SC_MAX(t->most, s->most);
}

static struct tile *tile_at(const struct desk *d, struct tile *row, const struct block *b,
                            size_t group)
{
    return row + (b->col + group * SC_ERROR_COLUMNS) / d->q->cut.tile_cols;
}

static bool is_finite(float v)
{
    return isfinite(v);
}

static void count_nonfinite(struct desk *d, const struct block *b, struct tile *tiles)
{
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < b->n; i++)
            if (!is_finite(b->x[r * b->x_stride + i])) {
                tile_at(d, tiles, b, i / SC_ERROR_COLUMNS)->nonfinite++;
                d->part.x->nonfinite++;
            }
}

/* Sums of a block, into `columns` (n of them) too; good: the values of x are in range. */
static void add_up(struct desk *d, struct sc_error_block *k, size_t n, double *columns, bool good,
                   struct sc_block_errors *e, uint64_t *overflowed)
{
    const bool padded = k->n != n; /* there are no columns behind the last */
    good = good && !d->q->exact;
    *overflowed = 0;
    k->columns = columns && padded ? d->saved : columns;
    if (columns)
        memcpy(d->saved, columns, n * sizeof *columns);
    if (columns && padded)
        memset(d->saved + n, 0, (k->n - n) * sizeof *columns);
    if (good) {
        sc_errors(k, d->q->level, e);
        good = sc_errors_good(e->most);
        if (!good && columns) /* as they were */
            memcpy(padded ? d->saved : columns, padded ? columns : d->saved, n * sizeof *columns);
    }
    if (!good)
        sc_errors_exact(k, e, overflowed);
    if (columns && padded)
        memcpy(columns, d->saved, n * sizeof *columns);
}

/* Sums of x: the errors of what keeps nothing, with the other sign. */
static void look_at_x(struct desk *d, struct block *b)
{
    struct sc_quality_pass *q = d->q;
    struct sc_sums_x *x = d->part.x;
    struct sc_block_errors e = {.sums = d->sums};
    struct tile *tiles = d->x + b->row / q->cut.tile_rows * d->across;
    double *columns = d->part.cols ? d->part.cols + q->n * q->cut.width + b->col : NULL;
    struct sc_error_block k = {.y = b->x, .y_stride = b->x_stride, .rows = b->rows, .n = b->whole};
    uint64_t overflowed;
    bool finite = true;
    for (size_t r = 0; r < b->rows; r++) {
        float min, max;
        sc_extremes(b->x + r * b->x_stride, b->n, q->level, &min, &max);
        x->min = SC_MIN(x->min, min);
        x->max = SC_MAX(x->max, max);
    }
    add_up(d, &k, b->n, columns, true, &e, &overflowed);
    for (size_t r = 0; e.exact && finite && r < b->rows; r++)
        for (size_t i = 0; i < b->n; i++)
            finite = finite && is_finite(b->x[r * b->x_stride + i]);
    if (!finite)
        count_nonfinite(d, b, tiles);
    *b->seen = (struct seen){finite ? e.most : UINT32_MAX, e.zeros};
    x->zeros += e.zeros - b->rows * (b->whole - b->n);
    for (size_t g = 0; g * SC_ERROR_COLUMNS < b->whole; g++)
        add_tile(tile_at(d, tiles, b, g), &d->sums[g]);
    for (size_t r = 0; r < b->rows; r++)
        d->part.rows[q->n * q->cut.height + b->row + r] += e.row_square[r];
}

/* |d| of values that are finite into what counts them. */
static void count_hits(struct desk *d, const struct block *b, size_t f, const float *y,
                       size_t y_stride)
{
    const uint32_t first = (d->q->formats[f].above >> SC_TAIL_SHIFT) + 1;
    uint64_t *bins = d->book->bins + f * SC_TAIL_BINS;
    const size_t words = b->whole / SC_LANES; /* an even number */
    for (size_t r = 0; r < b->rows; r++)
        for (size_t w = 0; w < words; w += 2)
            for (uint32_t bits = d->hits[r * words + w] | (uint32_t)d->hits[r * words + w + 1]
                                                              << SC_LANES;
                 bits; bits &= bits - 1) {
                const size_t i = w * SC_LANES + (size_t)__builtin_ctz(bits);
                const float v = b->x[r * b->x_stride + i], u = y[r * y_stride + i];
                const float a = fabsf((is_finite(u) ? u : 0.0F) - v);
                uint32_t magnitude;
                memcpy(&magnitude, &a, sizeof a);
                const uint32_t bin = (magnitude >> SC_TAIL_SHIFT) - first;
                bins[SC_MIN(bin, (uint32_t)SC_TAIL_BINS - 1)]++;
            }
}

/* Of a sample, or of a small tensor: every |d|. */
static void keep_all(struct desk *d, const struct block *b, size_t f, const float *y,
                     size_t y_stride)
{
    const struct sc_planned *p = &d->q->formats[f];
    const struct sc_cut *c = &d->q->cut;
    uint32_t *coarse = d->q->exact ? NULL : d->book->coarse + f * SC_COARSE_BINS;
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < b->n; i++) {
            const float v = b->x[r * b->x_stride + i], u = y[r * y_stride + i];
            const float a = fabsf((is_finite(u) ? u : 0.0F) - v);
            const uint64_t place = (d->at->matrix * c->rows + d->at->row + b->row + r) * c->cols +
                                   d->at->col + b->col + i;
            uint32_t magnitude;
            memcpy(&magnitude, &a, sizeof a);
            if (d->q->look == SC_LOOK_ALL)
                p->errors[place] = is_finite(v) ? a : NAN;
            else if (is_finite(v))
                coarse[magnitude >> SC_COARSE_SHIFT]++;
        }
}

/* Rows of cells of a segment: ROW has one a row, GROUP some. */
static size_t piece_width(const struct desk *d, const struct block *b)
{
    const struct sc_cells *c = d->q->cells;
    return c->grain == SC_GRAIN_ROW ? b->n : (size_t)SC_MIN(c->width, (uint64_t)b->n);
}

/* Sums of one line of n values. */
static void sum_line(const struct desk *d, const float *x, const float *y, size_t n,
                     struct tile *out)
{
    struct sc_block_errors e = {.sums = d->sums};
    struct sc_error_block k = {.x = x, .y = y, .rows = 1, .n = n};
    uint64_t overflowed;
    bool good = n % SC_ERROR_COLUMNS == 0 && !d->q->exact;
    if (good) {
        sc_errors(&k, d->q->level, &e);
        good = sc_errors_good(e.most);
    }
    if (good && x) { /* x may be larger than its errors */
        float min, max;
        sc_extremes(x, n, d->q->level, &min, &max);
        good = fmaxf(-min, max) < 0x1p55F;
        for (size_t i = 0; good && i < n; i++)
            good = is_finite(x[i]);
    }
    if (!good)
        sc_errors_exact(&k, &e, &overflowed);
    *out = (struct tile){0};
    for (size_t g = 0; g * SC_ERROR_COLUMNS < n; g++)
        add_tile(out, &d->sums[g]);
}

/* `keep`: into the cells too. */
static void keep_x_lines(struct desk *d, const struct block *b, bool keep)
{
    const struct sc_cells *c = d->q->cells;
    const size_t width = piece_width(d, b);
    size_t k = 0;
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < b->n; i += width, k++) {
            const size_t n = SC_MIN(width, b->n - i);
            const float *x = b->x + r * b->x_stride + i;
            struct piece *p = &d->pieces[k];
            struct tile t;
            sum_line(d, NULL, x, n, &t);
            *p = (struct piece){.x = t.d, .xx = t.square, .finite = (uint32_t)n};
            for (size_t j = 0; j < n; j++)
                p->finite -= !is_finite(x[j]);
            if (!keep)
                continue;
            struct sc_cell_values *v =
                c->grain == SC_GRAIN_ROW
                    ? &d->part.row_x[b->row + r]
                    : &c->values[sc_cell_at(c, d->at->matrix, d->at->row + b->row + r,
                                            d->at->col + b->col + i)];
            if (c->grain == SC_GRAIN_GROUP)
                *v = (struct sc_cell_values){.part = n < c->width};
            v->x += p->x;
            v->xx += p->xx;
            v->n += p->finite;
        }
}

static void keep_lines(struct desk *d, const struct block *b, int mix, const float *y,
                       size_t y_stride)
{
    const struct sc_cells *c = d->q->cells;
    const size_t width = piece_width(d, b);
    size_t k = 0;
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < b->n; i += width, k++) {
            const size_t n = SC_MIN(width, b->n - i);
            struct tile t = {.values = d->pieces[k].xx};
            struct sc_cell_error *out =
                c->grain == SC_GRAIN_ROW
                    ? &d->part.row_d[(b->row + r) * c->n_formats + (size_t)mix]
                    : &c->errors[sc_cell_at(c, d->at->matrix, d->at->row + b->row + r,
                                            d->at->col + b->col + i) *
                                     c->n_formats +
                                 (size_t)mix];
            float most;
            if (y)
                sum_line(d, b->x + r * b->x_stride + i, y + r * y_stride + i, n, &t);
            memcpy(&most, &t.most, sizeof most);
            if (c->grain == SC_GRAIN_GROUP)
                *out = (struct sc_cell_error){0};
            out->y += d->pieces[k].x + t.d;
            out->yy += t.values;
            out->dd += t.square;
            out->abs += t.abs;
            out->most = SC_MAX(out->most, (double)most);
        }
}

static bool cells_are_lines(const struct desk *d)
{
    return d->q->look == SC_LOOK_ALL && d->q->cells && d->q->cells->grain != SC_GRAIN_TILE;
}

/* Errors of a block in one format. */
static void look_at_y(struct desk *d, const struct block *b, size_t f, const float *y,
                      size_t y_stride)
{
    struct sc_quality_pass *q = d->q;
    const struct sc_planned *p = &q->formats[f];
    struct sc_sums_d *s = &d->part.d[f];
    struct sc_block_errors e = {.sums = d->sums};
    double *columns = d->part.cols ? d->part.cols + f * q->cut.width + b->col : NULL;
    uint64_t overflowed;
    if (q->look == SC_LOOK_SAMPLE || p->errors)
        keep_all(d, b, f, y, y_stride);
    if (q->look == SC_LOOK_SAMPLE)
        return;
    /* What has become zero is lost as a whole, and of these formats nothing is lost more. */
    struct sc_error_block k = {.x = b->x,
                               .y = y,
                               .x_stride = b->x_stride,
                               .y_stride = y_stride,
                               .rows = b->rows,
                               .n = b->whole,
                               .above = p->above,
                               .hits = p->tail ? d->hits : NULL,
                               .relative = !(p->nearest && s->relative >= 1)};
    add_up(d, &k, b->n, columns, sc_errors_good(b->seen->most), &e, &overflowed);
    if (p->tail)
        count_hits(d, b, f, y, y_stride);
    for (size_t g = 0; g * SC_ERROR_COLUMNS < b->whole; g++)
        add_tile(tile_at(d, d->d + f * d->across, b, g), &d->sums[g]);
    for (size_t r = 0; r < b->rows; r++)
        d->part.rows[f * q->cut.height + b->row + r] += e.row_square[r];
    s->most = SC_MAX(s->most, e.most);
    s->overflowed += overflowed;
    s->zeros += e.zeros - b->seen->zeros;
    for (size_t r = 0; !p->keeps_zero && r < b->rows; r++)
        for (size_t i = 0; i < b->n; i++)
            s->zeros += b->x[r * b->x_stride + i] == 0 && y[r * y_stride + i] != 0;
    s->relative = SC_MAX(s->relative, (double)e.relative);
    if (p->nearest && e.zeros > b->seen->zeros)
        s->relative = 1;
    if (cells_are_lines(d) && p->mix >= 0)
        keep_lines(d, b, p->mix, y, y_stride);
}

/* One format of the lines of a block, segment by segment. */
static void round_block(struct desk *d, const struct block *b, size_t f)
{
    const struct sc_planned *p = &d->q->formats[f];
    const float *x = d->at->values + b->row * d->at->n_cols + b->col;
    for (size_t r = 0; r < b->rows; r++) {
        d->part.d[f].saturated += round_line(p, &d->steps[f * SC_ERROR_ROWS + r],
                                             x + r * d->at->n_cols, b->n, d->y + r * d->stride);
        if (b->whole > b->n)
            memset(d->y + r * d->stride + b->n, 0, (b->whole - b->n) * sizeof *d->y);
    }
    look_at_y(d, b, f, d->y, d->stride);
}

/* ----------------------------------------------------------------------------------- tiles --- */

void sc_worst_see(struct sc_worst *w, uint64_t index, double dd, double xx)
{
    const double share = xx > 0 ? sqrt(dd / xx) : dd > 0 ? INFINITY : 0;
    if (w->index != UINT64_MAX && share <= w->relative_frobenius)
        return;
    w->index = index;
    w->relative_frobenius = share;
}

static uint64_t tiles_of(uint64_t n, uint32_t size)
{
    return (n + size - 1) / size;
}

static void write_cell(const struct desk *d, uint64_t row, uint64_t col, const struct tile *x,
                       int mix, const struct tile *t)
{
    struct sc_cells *c = d->q->cells;
    const uint64_t cell = sc_cell_at(c, d->at->matrix, row, col);
    float most;
    if (mix < 0) { /* x itself */
        const uint64_t high = SC_MIN(c->height, c->rows - row),
                       wide = SC_MIN(c->width, c->cols - col);
        c->values[cell] = (struct sc_cell_values){.x = x->d,
                                                  .xx = x->square,
                                                  .n = (uint32_t)(high * wide) - x->nonfinite,
                                                  .part = (wide < c->width ? 1U : 0U) |
                                                          (high < c->height ? 2U : 0U)};
        return;
    }
    memcpy(&most, &t->most, sizeof most);
    c->errors[cell * c->n_formats + (size_t)mix] = (struct sc_cell_error){
        .y = x->d + t->d, .yy = t->values, .dd = t->square, .abs = t->abs, .most = (double)most};
}

/* Tiles of 32 rows are complete: f as in formats, or n for x. */
static void end_tiles(struct desk *d, size_t row, size_t f)
{
    struct sc_quality_pass *q = d->q;
    const struct sc_cut *c = &q->cut;
    const size_t n = (d->at->n_cols + c->tile_cols - 1) / c->tile_cols;
    const bool cells = q->look == SC_LOOK_ALL && q->cells && q->cells->grain == SC_GRAIN_TILE;
    const struct tile *x = d->x + row / c->tile_rows * d->across;
    struct tile *t = d->d + f * d->across;
    const uint64_t down = tiles_of(c->rows, c->tile_rows), across = tiles_of(c->cols, c->tile_cols);
    for (size_t i = 0; i < n; i++) {
        const uint64_t at_row = d->at->row + row, at_col = d->at->col + i * c->tile_cols;
        const uint64_t index =
            (d->at->matrix * down + at_row / c->tile_rows) * across + at_col / c->tile_cols;
        if (f == q->n) {
            d->part.x->sum += x[i].d;
            d->part.x->square += x[i].square;
            for (size_t k = 0; cells && k < q->n; k++) {
                const struct sc_planned *p = &q->formats[k];
                const struct tile same = {.values = x[i].square};
                if (p->lossless && p->mix >= 0)
                    write_cell(d, at_row, at_col, &x[i], p->mix, &same);
            }
            if (cells && q->first)
                write_cell(d, at_row, at_col, &x[i], -1, NULL);
            continue;
        }
        struct sc_sums_d *s = &d->part.d[f];
        s->d += t[i].d;
        s->abs += t[i].abs;
        s->square += t[i].square;
        s->values += t[i].values;
        s->cross += t[i].cross;
        if (c->parts)
            sc_worst_see(&s->tile, index, t[i].square, x[i].square);
        if (cells && q->formats[f].mix >= 0)
            write_cell(d, at_row, at_col, &x[i], q->formats[f].mix, &t[i]);
        t[i] = (struct tile){0};
    }
}

/* ----------------------------------------------------------------------------------- panel --- */

static void start_block(const struct desk *d, size_t row, size_t end_row, size_t col,
                        struct block *b)
{
    const struct sc_cut *c = &d->q->cut;
    *b = (struct block){.row = row, .col = col};
    b->rows = SC_MIN((size_t)SC_ERROR_ROWS, end_row - row);
    b->n = SC_MIN((size_t)c->segment, d->at->n_cols - col);
    b->whole = (size_t)sc_align_up(b->n, SC_ERROR_COLUMNS);
    b->x_stride = d->at->n_cols;
    b->x = pad(b, d->at->values + row * d->at->n_cols + col, &b->x_stride, d->padded, d->stride);
    b->seen = &d->seen[row / SC_ERROR_ROWS * d->segments + col / c->segment];
}

static void set_steps(struct desk *d, size_t row, size_t rows)
{
    for (size_t f = 0; f < d->q->n; f++)
        for (size_t r = 0; !d->q->formats[f].turned && r < rows; r++)
            set_step(&d->q->formats[f], d->at->matrix * d->q->cut.rows + d->at->row + row + r,
                     d->at->values + (row + r) * d->at->n_cols, d->at->n_cols,
                     &d->steps[f * SC_ERROR_ROWS + r]);
}

/* Blocks of 32 rows: x, and all formats but those of the other axis. */
static void look_at_rows(struct desk *d, size_t row, size_t end_row)
{
    struct sc_quality_pass *q = d->q;
    for (; row < end_row; row += SC_ERROR_ROWS) {
        set_steps(d, row, SC_MIN((size_t)SC_ERROR_ROWS, end_row - row));
        for (size_t col = 0; col < d->at->n_cols; col += q->cut.segment) {
            struct block b;
            start_block(d, row, end_row, col, &b);
            look_at_x(d, &b);
            if (cells_are_lines(d))
                keep_x_lines(d, &b, q->first);
            for (size_t f = 0; f < q->n; f++) {
                const struct sc_planned *p = &q->formats[f];
                if (p->lossless && p->mix >= 0 && cells_are_lines(d))
                    keep_lines(d, &b, p->mix, NULL, 0);
                if (p->active && !p->lossless && !p->turned)
                    round_block(d, &b, f);
            }
        }
    }
}

/* Blocks of 32 rows of one format of the other axis, which d->full holds. */
static void look_at_turned(struct desk *d, size_t row, size_t end_row, size_t f)
{
    struct sc_quality_pass *q = d->q;
    for (; row < end_row; row += SC_ERROR_ROWS)
        for (size_t col = 0; col < d->at->n_cols; col += q->cut.segment) {
            struct block b;
            size_t stride = d->at->n_cols;
            start_block(d, row, end_row, col, &b);
            if (cells_are_lines(d))
                keep_x_lines(d, &b, false);
            const float *y = pad(&b, d->full + row * d->at->n_cols + col, &stride, d->y, d->stride);
            look_at_y(d, &b, f, y, stride);
        }
}

void sc_look(void *ctx, const struct sc_rectangle *at, void *scratch, void *part)
{
    struct sc_quality_pass *q = ctx;
    struct desk d = {.q = q, .at = at, .book = sc_book_take(q)};
    const size_t high = q->cut.tile_rows;
    (void)sc_look_lay(q, part, &d.part);
    (void)lay_desk(q, scratch, &d);
    memset(d.x, 0, (at->n_rows + high - 1) / high * d.across * sizeof *d.x);
    memset(d.d, 0, q->n * d.across * sizeof *d.d);
    d.part.x->min = INFINITY;
    d.part.x->max = -INFINITY;
    for (size_t f = 0; f < q->n; f++)
        d.part.d[f].tile.index = UINT64_MAX;
    for (size_t row = 0; row < at->n_rows; row += high) {
        look_at_rows(&d, row, SC_MIN(row + high, (size_t)at->n_rows));
        end_tiles(&d, row, q->n);
        for (size_t f = 0; f < q->n; f++)
            if (q->formats[f].active && !q->formats[f].lossless && !q->formats[f].turned)
                end_tiles(&d, row, f);
    }
    if (q->any_other_axis)
        sc_turn(at->values, at->n_rows, at->n_cols, d.turned);
    for (size_t f = 0; f < q->n; f++) {
        const struct sc_planned *p = &q->formats[f];
        if (!p->active || p->lossless || !p->turned)
            continue;
        d.part.d[f].saturated += sc_round_panel(p, &q->cut, at, d.turned, d.back, d.full);
        for (size_t row = 0; row < at->n_rows; row += high) {
            look_at_turned(&d, row, SC_MIN(row + high, (size_t)at->n_rows), f);
            end_tiles(&d, row, f);
        }
    }
    sc_book_return(q, d.book);
}

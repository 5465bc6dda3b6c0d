/* SPDX-License-Identifier: Apache-2.0 */
/* quality_look: one panel in all formats.
 *
 *   32 rows x a segment, copied --> facts of x --> format by format: rounded, sums of errors
 *
 * so that x and y stay in the first cache. Sums go from blocks into tiles, from tiles into the
 * panel, in that order. Where nobody wants whole lines, what is stored is decoded block by block.
 * Formats of the other axis whose units are 16 or 32 rows are looked at in the same blocks; others
 * see the panel turned, all at once.
 *
 * Blocks whose values are out of the range of the fast sums, or not finite, are added up one by
 * one (sc_errors_exact()), and so are small tensors, where the rounding of these sums would show.
 */
#include <math.h>
#include <string.h>

#include "analyze/quality_desk.h"

enum { CACHE_LINE = 64 }; /* bytes */

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
    if (!q->o->brief)
        p->rows = put(&s, (q->n + 1) * height, sizeof *p->rows);
    if (q->columns_kept)
        p->cols = put(&s, (q->n + 1) * width, sizeof *p->cols);
    if (lines) {
        p->row_x = put(&s, height, sizeof *p->row_x);
        p->row_d = put(&s, height * q->cells->n_formats, sizeof *p->row_d);
    }
    return s.used;
}

static size_t lay_desk(const struct sc_quality_pass *q, void *memory, struct sc_desk *d)
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
    d->block = put(&s, SC_ERROR_ROWS * d->stride, sizeof *d->block);
    d->y = put(&s, SC_ERROR_ROWS * d->stride, sizeof *d->y);
    if (q->o->brief)
        d->short_x = put(&s, SC_SHORT_VALUES, sizeof *d->short_x);
    if (!q->o->brief) {
        d->tail = put(&s, SC_ERROR_ROWS * d->stride + SC_LANES, sizeof *d->tail);
        d->columns = put(&s, d->stride, sizeof *d->columns);
    }
    d->peaks = put(&s, SC_ERROR_ROWS * d->stride / SC_LANES + SC_LANES, sizeof *d->peaks);
    d->down = put(&s, SC_ERROR_ROWS * d->stride / SC_LANES + SC_LANES, sizeof *d->down);
    d->pieces = put(&s, SC_ERROR_ROWS * d->stride, sizeof *d->pieces);
    d->segments = (c->width + c->segment - 1) / c->segment;
    d->seen = put(&s, ((c->height - 1) / SC_ERROR_ROWS + 1) * d->segments, sizeof *d->seen);
    d->turned = d->back = d->full = NULL;
    if (q->any_down && !q->any_other_axis)
        d->turned = put(&s, SC_ERROR_ROWS * d->stride, sizeof *d->turned);
    if (q->any_other_axis) {
        d->turned = put(&s, SC_MAX(panel, SC_ERROR_ROWS * d->stride), sizeof *d->turned);
        d->back = put(&s, panel, sizeof *d->back);
        d->full = put(&s, panel, sizeof *d->full);
    }
    return s.used;
}

size_t sc_look_scratch(const struct sc_quality_pass *q)
{
    struct sc_desk d;
    return lay_desk(q, NULL, &d);
}

/* ---------------------------------------------------------------------------------- blocks --- */

void sc_tile_add(struct sc_tile *t, const struct sc_error_sums *s)
{
    t->d += s->d;
    t->abs += s->abs;
    t->square += s->square;
    t->values += s->values;
    t->cross += s->cross;
    t->most = SC_MAX(t->most, s->most);
}

/* Rows into a block, zeros behind them. */
static void copy_block(const struct sc_block *b, const float *src, size_t stride, float *dst)
{
    for (size_t r = 0; r < b->rows; r++) {
        memcpy(dst + r * b->whole, src + r * stride, b->n * sizeof *dst);
        if (b->whole > b->n)
            memset(dst + r * b->whole + b->n, 0, (b->whole - b->n) * sizeof *dst);
    }
}

/* The block behind this one, or below; that of the next panel, mostly. Nobody reads it here. Named
 * by the last of 64 bytes: rows seldom begin where a line of the cache does, and the line in which
 * one begins came with the block before. */
static struct sc_ahead what_comes(const struct sc_desk *d, size_t row, size_t col)
{
    const size_t next = col + d->q->cut.segment, stride = d->at->stride;
    const uint8_t *const codes = d->at->codes;
    if (!codes || d->q->decode)
        return (struct sc_ahead){NULL, 0};
    if (next < d->at->n_cols)
        return (struct sc_ahead){codes + row * stride + 2 * next + CACHE_LINE - 1, stride};
    return (struct sc_ahead){codes + (row + SC_ERROR_ROWS) * stride + CACHE_LINE - 1, stride};
}

/* Where a block stands; nothing of it is read. */
static void start_block(const struct sc_desk *d, size_t row, size_t end_row, size_t col,
                        struct sc_block *b)
{
    const struct sc_cut *c = &d->q->cut;
    *b = (struct sc_block){.row = row, .col = col, .x = d->block, .has_x = true};
    b->rows = SC_MIN((size_t)SC_ERROR_ROWS, end_row - row);
    b->n = SC_MIN((size_t)c->segment, d->at->n_cols - col);
    b->whole = (size_t)sc_align_up(b->n, SC_ERROR_COLUMNS);
    b->seen = &d->seen[row / SC_ERROR_ROWS * d->segments + col / c->segment];
    b->ahead = what_comes(d, row, col);
}

static void copy_x(const struct sc_desk *d, const struct sc_block *b)
{
    const size_t stride = d->at->n_cols;
    copy_block(b, d->at->values + b->row * stride + b->col, stride, d->block);
}

/* The block of what is stored; zeros behind its rows. */
static void decode_x(const struct sc_desk *d, const struct sc_block *b)
{
    const struct sc_quality_pass *q = d->q;
    sc_decode_fn *decode = q->decode ? q->decode : sc_decoder(q->v->codec, q->level);
    const uint8_t *from = d->at->codes + b->row * d->at->stride + b->col * q->v->code_bytes;
    for (size_t r = 0; r < b->rows; r++, from += d->at->stride) {
        float *to = d->block + r * b->whole;
        decode(from, to, b->n);
        memset(to + b->n, 0, (b->whole - b->n) * sizeof *to);
    }
}

static struct sc_tile *tile_at(const struct sc_desk *d, struct sc_tile *row,
                               const struct sc_block *b, size_t group)
{
    return row + (b->col + group * SC_ERROR_COLUMNS) / d->q->cut.tile_cols;
}

static bool is_finite(float v)
{
    return isfinite(v);
}

static void count_nonfinite(struct sc_desk *d, const struct sc_block *b, struct sc_tile *tiles)
{
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < b->n; i++)
            if (!is_finite(b->x[r * b->whole + i])) {
                tile_at(d, tiles, b, i / SC_ERROR_COLUMNS)->nonfinite++;
                d->part.x->nonfinite++;
            }
}

static double *columns_of(const struct sc_desk *d, const struct sc_block *b, size_t f)
{
    return d->part.cols ? d->part.cols + f * d->q->cut.width + b->col : NULL;
}

/* Where sums of a block go; whoever adds them up clears the rest. */
static void want_sums(const struct sc_desk *d, const struct sc_block *b, size_t f,
                      struct sc_block_errors *e)
{
    e->sums = d->sums;
    e->columns = columns_of(d, b, f) ? d->columns : NULL;
}

/* Sums of a block into tiles, rows and columns; f as in formats, or n for x. */
static void put_sums(struct sc_desk *d, const struct sc_block *b, size_t f, struct sc_tile *tiles,
                     const struct sc_block_errors *e)
{
    double *columns = columns_of(d, b, f);
    const double *of_block = d->columns;
    for (size_t g = 0; g * SC_ERROR_COLUMNS < b->whole; g++)
        sc_tile_add(tile_at(d, tiles, b, g), &d->sums[g]);
    if (!d->part.rows)
        return;
    double *rows = d->part.rows + f * d->q->cut.height + b->row;
    for (size_t i = 0, n = columns ? b->n : 0; i < n; i++)
        columns[i] += of_block[i];
    for (size_t r = 0; r < b->rows; r++)
        rows[r] += e->row_square[r];
}

/* Adds up a block; good: the values of x are in range. */
static void add_up(struct sc_desk *d, const struct sc_block *b, const struct sc_error_block *k,
                   size_t f, struct sc_tile *tiles, bool good, struct sc_block_errors *e,
                   uint64_t *overflowed)
{
    const struct sc_quality_pass *q = d->q;
    want_sums(d, b, f, e);
    *overflowed = 0;
    good = good && !q->exact;
    if (good) {
        sc_errors(k, q->level, e);
        good = sc_errors_good(e->most);
    }
    if (!good)
        sc_errors_exact(k, e, overflowed);
    put_sums(d, b, f, tiles, e);
}

/* Whether formats are rounded and added up in one loop; nobody asks for what they make of x. */
static bool loses(const struct sc_desk *d, const struct sc_planned *p)
{
    const struct sc_quality_pass *q = d->q;
    return p->losses && p->active && (p->tail || q->o->brief) && !q->exact &&
           q->look != SC_LOOK_SAMPLE && !(sc_cells_are_lines(d) && p->mix >= 0);
}

static bool loses_any(const struct sc_desk *d)
{
    for (size_t f = 0; f < d->q->n; f++)
        if (loses(d, &d->q->formats[f]))
            return true;
    return false;
}

/* Whether sums of the errors of a format may be in another order, by what it is: of blocks of BF16
 * as it is stored. The level does not matter. */
static bool may_be_short(const struct sc_desk *d, const struct sc_planned *p)
{
    const struct sc_quality_pass *q = d->q;
    return p->short_below && p->active && q->o->brief && !q->exact && q->look != SC_LOOK_SAMPLE &&
           !(sc_cells_are_lines(d) && p->mix >= 0);
}

/* The block as codes, where some format needs no more than that. */
static bool read_short(struct sc_desk *d, struct sc_block *b, const uint8_t *codes,
                       const uint8_t *ahead, struct sc_block_errors *e)
{
    const struct sc_quality_pass *q = d->q;
    bool any = false, others = q->any_down;
    for (size_t f = 0; f < q->n; f++) {
        const struct sc_planned *p = &q->formats[f];
        any = any || may_be_short(d, p);
        others = others || (p->active && !p->lossless && !p->short_below);
    }
    const struct sc_short_codes from = {.codes = codes,
                                        .ahead = ahead,
                                        .stride = d->at->stride,
                                        .rows = b->rows,
                                        .short_x = d->short_x,
                                        .x = others ? d->block : NULL,
                                        .peaks = d->peaks};
    if (!any || b->n != SC_SHORT_COLUMNS || b->rows % 2 ||
        !sc_errors_short_bf16(&from, q->level, e))
        return false;
    b->is_short = true;
    b->has_x = others;
    return true;
}

/* x as floats. */
static void want_x(const struct sc_desk *d, struct sc_block *b)
{
    if (!b->has_x)
        decode_x(d, b);
    b->has_x = true;
}

/* Reads a block, with its peaks, and adds it up: the errors of what keeps nothing, with the other
 * sign. BF16 as it is stored goes through all of it at once. */
static void read_x(struct sc_desk *d, struct sc_block *b, struct sc_tile *tiles,
                   struct sc_block_errors *e)
{
    const struct sc_quality_pass *q = d->q;
    const size_t groups = b->rows * b->whole / SC_LANES;
    struct sc_error_block k = {
        .y = b->x, .y_stride = b->whole, .rows = b->rows, .n = b->whole, .only_sums = q->o->brief};
    uint64_t overflowed;
    if (d->at->codes && !q->decode && b->n == b->whole) {
        const uint8_t *codes = d->at->codes + b->row * d->at->stride + 2 * b->col;
        const uint8_t *ahead = loses_any(d) ? NULL : b->ahead.codes;
        want_sums(d, b, q->n, e);
        b->bits = 0;
        if (read_short(d, b, codes, ahead, e)) {
            put_sums(d, b, q->n, tiles, e);
            return;
        }
        sc_errors_bf16(codes, d->at->stride, b->rows, b->n, q->level, ahead, q->o->brief, d->block,
                       d->peaks, e);
        if (!sc_errors_good(e->most))
            sc_errors_exact(&k, e, &overflowed);
        put_sums(d, b, q->n, tiles, e);
        return;
    }
    if (d->at->codes)
        decode_x(d, b);
    else
        copy_x(d, b);
    b->bits = sc_group_peaks(b->x, groups, q->level, d->peaks);
    k.brief = !(b->bits & 0xffff);
    add_up(d, b, &k, q->n, tiles, true, e, &overflowed);
}

static void look_at_x(struct sc_desk *d, struct sc_block *b)
{
    struct sc_quality_pass *q = d->q;
    struct sc_sums_x *x = d->part.x;
    struct sc_block_errors e;
    struct sc_tile *tiles = d->x + b->row / q->cut.tile_rows * d->across;
    bool finite = true;
    read_x(d, b, tiles, &e);
    for (size_t r = 0; e.exact && finite && r < b->rows; r++)
        for (size_t i = 0; i < b->n; i++)
            finite = finite && is_finite(b->x[r * b->whole + i]);
    if (!finite)
        count_nonfinite(d, b, tiles);
    *b->seen = (struct sc_seen){finite ? e.most : UINT32_MAX, e.zeros};
    if (b->whole > b->n) { /* padding is no value */
        e.min = INFINITY;
        e.max = -INFINITY;
        for (size_t r = 0; r < b->rows; r++) {
            float min, max;
            sc_extremes(b->x + r * b->whole, b->n, q->level, &min, &max);
            e.min = SC_MIN(e.min, min);
            e.max = SC_MAX(e.max, max);
        }
    }
    x->min = SC_MIN(x->min, e.min);
    x->max = SC_MAX(x->max, e.max);
}

/* |d| of the tail into what counts them; those of its first bin have been counted. */
static void count_tail(const struct sc_desk *d, size_t f, const struct sc_block_errors *e)
{
    const uint32_t first = (d->q->formats[f].above >> SC_TAIL_SHIFT) + 1;
    uint64_t *bins = d->book->bins + f * SC_TAIL_BINS * SC_TAIL_WAYS;
    for (size_t i = 0; i < e->tail; i++) {
        const uint32_t bin =
            SC_MIN((d->tail[i] >> SC_TAIL_SHIFT) - first, (uint32_t)SC_TAIL_BINS - 1);
        bins[(size_t)bin * SC_TAIL_WAYS + i % SC_TAIL_WAYS]++;
    }
    bins[0] += e->common;
}

/* Two for each upper bits: the first bin of what quantiles are made of, and the rest. */
static size_t coarse_bin(uint32_t magnitude)
{
    const uint32_t bin = magnitude >> SC_TAIL_SHIFT;
    const uint32_t each = 1U << (SC_COARSE_SHIFT - SC_TAIL_SHIFT);
    return 2 * (bin / each) + (bin % each != 0);
}

/* |d|, where y that is not finite counts as 0. */
static float error_of(float x, float y)
{
    return fabsf((is_finite(y) ? y : 0.0F) - x);
}

/* Of a small tensor: every |d|. */
static void keep_all(struct sc_desk *d, const struct sc_block *b, size_t f, const float *y)
{
    const struct sc_cut *c = &d->q->cut;
    for (size_t r = 0; r < b->rows; r++) {
        const uint64_t row = d->at->matrix * c->rows + d->at->row + b->row + r;
        float *to = d->q->formats[f].errors + row * c->cols + d->at->col + b->col;
        for (size_t i = 0; i < b->n; i++) {
            const float v = b->x[r * b->whole + i];
            to[i] = is_finite(v) ? error_of(v, y[r * b->whole + i]) : NAN;
        }
    }
}

/* Of a sample: how often each |d| comes, about. */
static void count_all(struct sc_desk *d, const struct sc_block *b, size_t f, const float *y)
{
    uint32_t *coarse = d->book->coarse + f * SC_COARSE_BINS;
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < b->n; i++) {
            const float v = b->x[r * b->whole + i], a = error_of(v, y[r * b->whole + i]);
            if (is_finite(v))
                coarse[coarse_bin(sc_bits_of(a))]++;
        }
}

/* What is asked of the errors of a block. Where something has become zero, it is lost as a whole,
 * and of these formats nothing is lost more. */
static struct sc_error_block block_of(const struct sc_desk *d, const struct sc_block *b, size_t f,
                                      const float *y)
{
    const struct sc_planned *p = &d->q->formats[f];
    const bool is_short = b->is_short && may_be_short(d, p) && b->seen->most < p->short_below;
    return (struct sc_error_block){.x = b->x,
                                   .y = y,
                                   .x_stride = b->whole,
                                   .y_stride = b->whole,
                                   .rows = b->rows,
                                   .n = b->whole,
                                   .above = p->above,
                                   .common = p->common,
                                   .tail = p->tail ? d->tail : NULL,
                                   .relative = !d->q->o->brief &&
                                               !(p->nearest && d->part.d[f].relative >= 1),
                                   .only_sums = d->q->o->brief,
                                   .short_x = is_short ? d->short_x : NULL};
}

/* What else is known of the errors of a block. */
static void note(struct sc_desk *d, const struct sc_block *b, size_t f,
                 const struct sc_block_errors *e)
{
    const struct sc_planned *p = &d->q->formats[f];
    struct sc_sums_d *s = &d->part.d[f];
    s->most = SC_MAX(s->most, e->most);
    if (d->q->o->brief)
        return;
    if (p->tail)
        count_tail(d, f, e);
    s->zeros += e->zeros - b->seen->zeros;
    s->relative = SC_MAX(s->relative, (double)e->relative);
    if (p->nearest && e->zeros > b->seen->zeros)
        s->relative = 1;
}

/* Errors of a block in one format; y like b->x. */
static void look_at_y(struct sc_desk *d, const struct sc_block *b, size_t f, const float *y)
{
    struct sc_quality_pass *q = d->q;
    const struct sc_planned *p = &q->formats[f];
    struct sc_sums_d *s = &d->part.d[f];
    struct sc_block_errors e;
    uint64_t overflowed;
    if (q->look == SC_LOOK_SAMPLE) {
        count_all(d, b, f, y);
        return;
    }
    if (p->errors)
        keep_all(d, b, f, y);
    const struct sc_error_block k = block_of(d, b, f, y);
    add_up(d, b, &k, f, d->d + f * d->across, sc_errors_good(b->seen->most), &e, &overflowed);
    note(d, b, f, &e);
    s->overflowed += overflowed;
    for (size_t i = 0; !q->o->brief && !p->keeps_zero && i < b->rows * b->whole; i++)
        s->zeros += b->x[i] == 0 && y[i] != 0;
    if (sc_cells_are_lines(d) && p->mix >= 0)
        sc_lines_of_y(d, b, p->mix, y);
}

/* Rounded and added up in one loop, where that can be done. The first one has the next block
 * brought nearer. x is there afterwards, unless errors are short. */
static bool lose_block(struct sc_desk *d, struct sc_block *b, size_t f)
{
    const struct sc_quality_pass *q = d->q;
    const struct sc_planned *p = &q->formats[f];
    uint64_t *saturated = &d->part.d[f].saturated, full = 0;
    if (!loses(d, p) || !sc_errors_good(b->seen->most))
        return false;
    struct sc_error_block k = block_of(d, b, f, NULL);
    if (!k.short_x)
        want_x(d, b);
    k.ahead = b->ahead;
    b->ahead.codes = NULL;
    struct sc_block_errors e;
    want_sums(d, b, f, &e);
    if (!p->losses(p->f, &d->steps[f * SC_ERROR_ROWS], &k, p->down ? d->down : d->peaks, b->bits,
                   p->down, &e, q->o->brief ? NULL : &full) ||
        !sc_errors_good(e.most))
        return false;
    *saturated += full;
    put_sums(d, b, f, d->d + f * d->across, &e);
    note(d, b, f, &e);
    return true;
}

/* Lines are columns, of which the block holds whole units. */
static uint64_t round_down(struct sc_desk *d, const struct sc_block *b, size_t f)
{
    const struct sc_planned *p = &d->q->formats[f];
    uint64_t full = 0;
    sc_turn(b->x, b->rows, b->whole, d->turned);
    for (size_t i = 0; i < b->n; i++)
        full += sc_round_line(p, &d->steps[f * SC_ERROR_ROWS], d->turned + i * b->rows, b->rows,
                              d->turned + i * b->rows);
    sc_turn(d->turned, b->whole, b->rows, d->y);
    return full;
}

/* One format of the lines of a block: at once where it does not matter where a line ends. */
static void round_block(struct sc_desk *d, struct sc_block *b, size_t f)
{
    const struct sc_planned *p = &d->q->formats[f];
    const struct sc_step *steps = &d->steps[f * SC_ERROR_ROWS];
    uint64_t *saturated = &d->part.d[f].saturated;
    if (p->down) {
        if (lose_block(d, b, f))
            return;
        want_x(d, b);
        *saturated += round_down(d, b, f);
        look_at_y(d, b, f, d->y);
        return;
    }
    const bool whole = b->n == b->whole && b->n % SC_MAX(p->f->unit, 1U) == 0;
    if (whole && lose_block(d, b, f))
        return;
    want_x(d, b);
    if (p->f->over != SC_OVER_LINE && whole) {
        *saturated += sc_round_line(p, steps, b->x, b->rows * b->n, d->y);
        look_at_y(d, b, f, d->y);
        return;
    }
    for (size_t r = 0; r < b->rows; r++) {
        float *y = d->y + r * b->whole;
        *saturated += sc_round_line(p, &steps[r], b->x + r * b->whole, b->n, y);
        memset(y + b->n, 0, (b->whole - b->n) * sizeof *y);
    }
    look_at_y(d, b, f, d->y);
}

/* ----------------------------------------------------------------------------------- tiles --- */

void sc_worst_see(struct sc_worst *w, uint64_t index, double dd, double xx)
{
    const double most = w->relative_frobenius;
    if (w->index != UINT64_MAX && xx > 0 && dd < xx * (most * most) * (1 - 0x1p-40))
        return; /* as nearly always */
    const double share = xx > 0 ? sqrt(dd / xx) : dd > 0 ? INFINITY : 0;
    if (w->index != UINT64_MAX && share <= most)
        return;
    w->index = index;
    w->relative_frobenius = share;
}

static uint64_t tiles_of(uint64_t n, uint32_t size)
{
    return (n + size - 1) / size;
}

static void write_cell(const struct sc_desk *d, uint64_t row, uint64_t col, const struct sc_tile *x,
                       int mix, const struct sc_tile *t)
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
static void end_tiles(struct sc_desk *d, size_t row, size_t f)
{
    struct sc_quality_pass *q = d->q;
    const struct sc_cut *c = &q->cut;
    const size_t n = (d->at->n_cols + c->tile_cols - 1) / c->tile_cols;
    const bool cells = q->look == SC_LOOK_ALL && q->cells && q->cells->grain == SC_GRAIN_TILE;
    const struct sc_tile *x = d->x + row / c->tile_rows * d->across;
    struct sc_tile *t = d->d + f * d->across;
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
                const struct sc_tile same = {.values = x[i].square};
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
        if (c->parts && !q->o->brief)
            sc_worst_see(&s->tile, index, t[i].square, x[i].square);
        if (cells && q->formats[f].mix >= 0)
            write_cell(d, at_row, at_col, &x[i], q->formats[f].mix, &t[i]);
        t[i] = (struct sc_tile){0};
    }
}

/* ----------------------------------------------------------------------------------- panel --- */

/* Formats that want whole columns of a panel. */
static bool is_later(const struct sc_planned *p)
{
    return p->turned && !p->down;
}

static void set_steps(struct sc_desk *d, size_t row, size_t rows)
{
    for (size_t f = 0; f < d->q->n; f++)
        for (size_t r = 0; !is_later(&d->q->formats[f]) && r < rows; r++)
            sc_round_step(&d->q->formats[f], d->at->matrix * d->q->cut.rows + d->at->row + row + r,
                          d->at->codes ? NULL : d->at->values + (row + r) * d->at->n_cols,
                          d->at->n_cols, &d->steps[f * SC_ERROR_ROWS + r]);
}

/* Blocks of 32 rows: x, and all formats but those of the other axis. */
static void look_at_rows(struct sc_desk *d, size_t row, size_t end_row)
{
    struct sc_quality_pass *q = d->q;
    for (; row < end_row; row += SC_ERROR_ROWS) {
        set_steps(d, row, SC_MIN((size_t)SC_ERROR_ROWS, end_row - row));
        for (size_t col = 0; col < d->at->n_cols; col += q->cut.segment) {
            struct sc_block b;
            start_block(d, row, end_row, col, &b);
            look_at_x(d, &b);
            if (q->any_down) {
                want_x(d, &b);
                sc_column_peaks(b.x, b.rows, b.whole, q->level, d->down);
            }
            if (sc_cells_are_lines(d))
                sc_lines_of_x(d, &b, q->first);
            for (size_t f = 0; f < q->n; f++) {
                const struct sc_planned *p = &q->formats[f];
                if (p->lossless && p->mix >= 0 && sc_cells_are_lines(d))
                    sc_lines_of_y(d, &b, p->mix, NULL);
                if (p->active && !p->lossless && !is_later(p))
                    round_block(d, &b, f);
            }
        }
    }
}

/* Blocks of 32 rows of one format of the other axis, which d->full holds. */
static void look_at_turned(struct sc_desk *d, size_t row, size_t end_row, size_t f)
{
    struct sc_quality_pass *q = d->q;
    for (; row < end_row; row += SC_ERROR_ROWS)
        for (size_t col = 0; col < d->at->n_cols; col += q->cut.segment) {
            struct sc_block b;
            start_block(d, row, end_row, col, &b);
            copy_x(d, &b);
            if (sc_cells_are_lines(d))
                sc_lines_of_x(d, &b, false);
            copy_block(&b, d->full + row * d->at->n_cols + col, d->at->n_cols, d->y);
            look_at_y(d, &b, f, d->y);
        }
}

/* The formats of the other axis, each as a whole first. */
static void look_along_columns(struct sc_desk *d)
{
    struct sc_quality_pass *q = d->q;
    const struct sc_rectangle *at = d->at;
    const size_t high = q->cut.tile_rows;
    sc_turn(at->values, at->n_rows, at->n_cols, d->turned);
    for (size_t f = 0; f < q->n; f++) {
        const struct sc_planned *p = &q->formats[f];
        if (!p->active || p->lossless || !is_later(p))
            continue;
        d->part.d[f].saturated += sc_round_panel(p, &q->cut, at, d->turned, d->back, d->full);
        for (size_t row = 0; row < at->n_rows; row += high) {
            look_at_turned(d, row, SC_MIN(row + high, (size_t)at->n_rows), f);
            end_tiles(d, row, f);
        }
    }
}

void sc_look(void *ctx, const struct sc_rectangle *at, void *scratch, void *part)
{
    struct sc_quality_pass *q = ctx;
    struct sc_desk d = {.q = q, .at = at, .book = sc_book_take(q)};
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
            if (q->formats[f].active && !q->formats[f].lossless && !is_later(&q->formats[f]))
                end_tiles(&d, row, f);
    }
    if (q->any_other_axis)
        look_along_columns(&d);
    sc_book_return(q, d.book);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* layout_gptq: GPTQ and AWQ, which store the transposed matrix: words [K*b/32,N] and [K,N*b/32] for
 * N rows of K columns.
 *
 *     GPTQ   w[n,k] = (q[k,n] - z[g,n]) * s[g,n]     bits K*b of column n, lowest first
 *            z = (stored + 1) mod 2^b, in checkpoints of format gptq_v2 stored; 2^(b-1) without
 *            g = g_idx[k]; k / group_size where there is none or it is all zeros
 *     AWQ    w[n,k] = (q[k,n] - z[g,n]) * s[g,n]     column n: nibble 0 4 1 5 2 6 3 7 of n % 8
 *
 * in single precision. The sum is taken modulo 2^b because that is what a zero point of 0 becomes
 * when 1 is subtracted and it is packed (AutoGPTQ, ExLlamaV2).
 *
 * A row of values is a column of words. Columns are copied, many at a time, into a strip that stays
 * in the cache (and, where a file cannot be mapped, saves reading it word by word); rows are then
 * decoded from the strip, SC_ROWS at a time. A strip that continues the one before is twice as
 * wide, so a single row costs little and a whole matrix is read about once. */
#include <stdlib.h>
#include <string.h>

#include "stream/layout_parts.h"

enum {
    LINE = 16,                   /* words of a cache line */
    MOST_STRIP = 2 * 1024 * 1024 /* bytes */
};
static const uint8_t awq_shift[8] = {0, 16, 4, 20, 8, 24, 12, 28}; /* by column modulo 8 */

struct rect {
    uint64_t row, rows, col, cols; /* of words */
};

/* ---------------------------------------------------------------------------------- strips --- */
static bool in_strip(const struct sc_unpack_scratch *w, const struct rect *r)
{
    return w->strip_cols && r->row >= w->strip_row && r->col >= w->strip_col &&
           r->row + r->rows <= w->strip_row + w->strip_rows &&
           r->col + r->cols <= w->strip_col + w->strip_cols;
}

static uint64_t words_in_row(const struct sc_unpack *u)
{
    return sc_part_entry(u, &u->codes)->shape[1];
}

/* What to copy so that r is in it. */
static struct rect strip_for(const struct sc_unpack *u, const struct sc_unpack_scratch *w,
                             const struct rect *r)
{
    const uint64_t all = words_in_row(u), end = r->col + r->cols;
    struct rect s = {.row = r->row, .rows = r->rows, .col = r->col / LINE * LINE};
    uint64_t width = (end - s.col + LINE - 1) / LINE * LINE;
    const uint64_t most = MOST_STRIP / 4 / r->rows / LINE * LINE;
    const bool next = w->strip_cols && r->row == w->strip_row && r->rows == w->strip_rows &&
                      r->col >= w->strip_col && r->col <= w->strip_col + w->strip_cols;
    if (next)
        width = SC_MAX(width, SC_MIN(2 * w->strip_cols, most));
    s.cols = SC_MIN(width, all - s.col);
    return s;
}

static int copy_strip(const struct sc_unpack *u, struct sc_unpack_scratch *w, const struct rect *s,
                      struct sc_error *e)
{
    const struct sc_unpack_part *p = &u->codes;
    const uint64_t step = words_in_row(u) * 4, at = s->row * step + s->col * 4;
    const size_t len = (size_t)s->cols * 4;
    const uint64_t span = (s->rows - 1) * step + len;
    uint8_t *dst = (uint8_t *)w->strip;
    const uint8_t *src = u->bytes.map ? u->bytes.map(u->bytes.ctx, p->entry, at, span) : NULL;
    for (uint64_t i = 0; i < s->rows; i++, dst += len) {
        if (src)
            memcpy(dst, src + i * step, len);
        else
            TRY(u->bytes.read(u->bytes.ctx, p->entry, at + i * step, dst, len, e));
    }
    return 0;
}

/* Words r in w->strip. */
static int need_strip(const struct sc_unpack *u, struct sc_unpack_scratch *w, const struct rect *r,
                      struct sc_error *e)
{
    if (in_strip(w, r))
        return 0;
    const struct rect s = strip_for(u, w, r);
    w->strip_cols = 0;
    TRY(sc_grow(&w->strip, &w->strip_cap, (size_t)(s.rows * s.cols), sizeof w->strip[0], e));
    TRY(copy_strip(u, w, &s, e));
    w->strip_row = s.row;
    w->strip_rows = s.rows;
    w->strip_col = s.col;
    w->strip_cols = s.cols;
    const unsigned per = u->tensor->layout == SC_LAYOUT_AWQ ? 8 : 1; /* rows of a word */
    w->first_row = s.col * per;
    w->n_rows = s.cols * per;
    return 0;
}

/* ---------------------------------------------------------------------------- zero points --- */
/* Zero points of rows row..row+n in group g. */
static int gptq_zeros(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t g,
                      uint64_t row, size_t n, float *dst, struct sc_error *e)
{
    const unsigned bits = u->bits;
    const float most = (float)((1U << bits) - 1);
    const uint64_t from = row / 8 * bits, end = row + n;
    const uint64_t to = end / 8 * bits + (end % 8 * bits + 7) / 8;
    const uint64_t line = sc_part_entry(u, &u->zero)->shape[1] * 4;
    const uint8_t *src;
    TRY(sc_part_bytes(u, w, &u->zero, g * line + from, (size_t)(to - from), &src, e));
    sc_bits_unpack(src, bits, row, n, dst);
    for (size_t i = 0; u->zero_step && i < n; i++)
        dst[i] = dst[i] == most ? 0 : dst[i] + 1;
    return 0;
}

static int awq_zeros(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t g,
                     uint64_t row, size_t n, float *dst, struct sc_error *e)
{
    const uint64_t line = sc_part_entry(u, &u->zero)->shape[1] * 4, from = row / 8;
    const uint8_t *src;
    TRY(sc_part_bytes(u, w, &u->zero, g * line + from * 4, ((row + n - 1) / 8 + 1 - from) * 4, &src,
                      e));
    for (size_t i = 0; i < n; i++) {
        const uint64_t at = row + i;
        dst[i] = (float)(sc_le32(src + (at / 8 - from) * 4) >> awq_shift[at % 8] & 15);
    }
    return 0;
}

/* Scales and zero points of n_rows rows, `groups` each, in w->scales and w->zeros. */
static int group_values(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                        size_t n_rows, uint64_t from, size_t groups, struct sc_error *e)
{
    for (size_t g = 0; g < groups; g++) {
        float scale[SC_ROWS], zero[SC_ROWS];
        TRY(sc_part_floats(u, w, &u->scale, (from + g) * u->rows + row, n_rows, scale, e));
        if (!sc_part_there(&u->zero))
            for (size_t i = 0; i < n_rows; i++)
                zero[i] = u->zero_base;
        else if (u->tensor->layout == SC_LAYOUT_AWQ)
            TRY(awq_zeros(u, w, from + g, row, n_rows, zero, e));
        else
            TRY(gptq_zeros(u, w, from + g, row, n_rows, zero, e));
        for (size_t i = 0; i < n_rows; i++) {
            w->scales[i * groups + g] = scale[i];
            w->zeros[i * groups + g] = zero[i];
        }
    }
    return 0;
}

/* ----------------------------------------------------------------------------------- tiles --- */
/* n_rows rows of n <= SC_PIECE values from col on. */
struct tile {
    uint64_t row, col;
    size_t n_rows, n;
    float *dst;
    uint64_t stride;
};

static struct rect gptq_words(const struct sc_unpack *u, uint64_t row, size_t n_rows, uint64_t col,
                              uint64_t n)
{
    const uint64_t from = col / 32 * u->bits; /* 32 codes are whole words */
    const uint64_t to = (col + n) / 32 * u->bits + ((col + n) % 32 * u->bits + 31) / 32;
    return (struct rect){.row = from, .rows = to - from, .col = row, .cols = n_rows};
}

static struct rect awq_words(uint64_t row, size_t n_rows, uint64_t col, uint64_t n)
{
    const uint64_t from = row / 8, to = (row + n_rows - 1) / 8 + 1;
    return (struct rect){.row = col, .rows = n, .col = from, .cols = to - from};
}

/* Columns of words as lines, an odd number of cache lines apart: powers of two would all fall into
 * the same few places of the cache. Returns words from line to line. */
static size_t turn(struct sc_unpack_scratch *w, const struct rect *r)
{
    const size_t step = (size_t)((r->rows + LINE - 1) / LINE | 1) * LINE;
    const uint32_t *src =
        w->strip + (r->row - w->strip_row) * w->strip_cols + (r->col - w->strip_col);
    for (uint64_t k = 0; k < r->rows; k++, src += w->strip_cols)
        for (size_t i = 0; i < r->cols; i++)
            w->lines[i * step + k] = src[i];
    return step;
}

/* Then the words of a row follow each other, and are bits like any others. */
static void gptq_codes(const struct sc_unpack *u, struct sc_unpack_scratch *w, const struct tile *t,
                       const struct rect *r)
{
    const size_t step = turn(w, r);
    for (size_t i = 0; i < t->n_rows; i++)
        sc_bits_unpack((const uint8_t *)(w->lines + i * step) + t->col % 32 / 8 * u->bits, u->bits,
                       t->col, t->n, t->dst + i * t->stride);
}

static void awq_codes(struct sc_unpack_scratch *w, const struct tile *t, const struct rect *r)
{
    const size_t step = turn(w, r);
    for (size_t i = 0; i < t->n_rows; i++) {
        const uint64_t row = t->row + i;
        sc_column_unpack(w->lines + (row / 8 - r->col) * step, awq_shift[row % 8], 15, t->n,
                         t->dst + i * t->stride);
    }
}

static int decode_tile(const struct sc_unpack *u, struct sc_unpack_scratch *w, const struct tile *t,
                       struct sc_error *e)
{
    const bool awq = u->tensor->layout == SC_LAYOUT_AWQ;
    const struct rect r = awq ? awq_words(t->row, t->n_rows, t->col, t->n)
                              : gptq_words(u, t->row, t->n_rows, t->col, t->n);
    const uint64_t along = u->grid.along, from = u->order ? 0 : t->col / along;
    const size_t groups =
        (size_t)(u->order ? u->grid.high : (t->col + t->n - 1) / along + 1 - from);
    TRY(need_strip(u, w, &r, e));
    if (awq)
        awq_codes(w, t, &r);
    else
        gptq_codes(u, w, t, &r);
    TRY(group_values(u, w, t->row, t->n_rows, from, groups, e));
    for (size_t i = 0; i < t->n_rows; i++) {
        float *dst = t->dst + i * t->stride;
        const float *s = w->scales + i * groups, *z = w->zeros + i * groups;
        if (u->order)
            sc_apply_order(SC_APPLY_ZERO_SCALE, dst, t->n, u->order + t->col, s, z);
        else
            sc_apply_runs(SC_APPLY_ZERO_SCALE, dst, t->n, t->col, along, s, z);
    }
    return 0;
}

/* Rows that are decoded at once: what they need of scales must fit. */
static size_t rows_at_once(const struct sc_unpack *u, size_t n_rows)
{
    const uint64_t groups =
        u->order ? u->grid.high : SC_MIN(u->grid.high, SC_PIECE / u->grid.along + 2);
    return (size_t)SC_MIN((uint64_t)n_rows, SC_MAX(1, u->n_floats / SC_MAX(groups, 1)));
}

static int transposed_tile(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                           size_t n_rows, uint64_t col, uint64_t n,
                           float *dst, /* NOLINT(readability-non-const-parameter): through a rect */
                           uint64_t stride, struct sc_error *e)
{
    const bool awq = u->tensor->layout == SC_LAYOUT_AWQ;
    const struct rect all =
        awq ? awq_words(row, n_rows, col, n) : gptq_words(u, row, n_rows, col, n);
    const struct rect strip = strip_for(u, w, &all);
    if (strip.rows * strip.cols <= MOST_STRIP / 4) /* else each tile sees for itself */
        TRY(need_strip(u, w, &all, e));
    for (size_t i = 0, rows; i < n_rows; i += rows) {
        rows = rows_at_once(u, n_rows - i);
        for (uint64_t k = 0, take; k < n; k += take) {
            take = SC_MIN(n - k, (uint64_t)SC_PIECE);
            const struct tile t = {.row = row + i,
                                   .col = col + k,
                                   .n_rows = rows,
                                   .n = (size_t)take,
                                   .dst = dst + i * stride + k,
                                   .stride = stride};
            TRY(decode_tile(u, w, &t, e));
        }
    }
    return 0;
}

/* --------------------------------------------------------------------------------- opening --- */
static bool is_matrix(const struct sc_unpack *u, const struct sc_unpack_part *p, uint64_t rows,
                      uint64_t cols)
{
    const struct sc_entry *en = sc_part_entry(u, p);
    return en->rank == 2 && en->shape[0] == rows && en->shape[1] == cols;
}

static bool is_words(const struct sc_unpack_part *p)
{
    return sc_part_is(p, "I32") || sc_part_is(p, "U32");
}

static int open_scales(struct sc_unpack *u, struct sc_error *e)
{
    const int64_t told = u->model->config.quant_group;
    TRY(sc_part_find(u, SC_PART_SCALE, NULL, &u->scale, e));
    TRY(sc_unpack_need(u, &u->scale, "scales", e));
    TRY(sc_part_find(u, SC_PART_ZERO, NULL, &u->zero, e));
    const struct sc_entry *s = sc_part_entry(u, &u->scale);
    const uint64_t groups = s->rank == 2 ? s->shape[0] : 0;
    if (!sc_part_is_float(&u->scale) || groups == 0 || !is_matrix(u, &u->scale, groups, u->rows))
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e,
                                "floats of %llu columns were expected",
                                (unsigned long long)u->rows);
    uint64_t along = told > 0 ? (uint64_t)told : u->cols;
    if (u->cols / along + (u->cols % along != 0) != groups)
        along = u->cols / groups + (u->cols % groups != 0);
    u->grid = (struct sc_unpack_grid){.down = 1, .along = along, .high = groups, .wide = 1};
    u->n_floats = (size_t)SC_ROWS * (SC_PIECE + 2);
    u->tile = transposed_tile;
    return 0;
}

static int check_zeros(struct sc_unpack *u, uint64_t words, struct sc_error *e)
{
    if (!sc_part_there(&u->zero) ||
        (is_words(&u->zero) && is_matrix(u, &u->zero, u->grid.high, words)))
        return 0;
    return sc_unpack_refuse(u, &u->zero, SCRUPLE_EFORMAT, e, "I32 [%llux%llu] was expected",
                            (unsigned long long)u->grid.high, (unsigned long long)words);
}

static int check_codes(struct sc_unpack *u, uint64_t rows, uint64_t cols, struct sc_error *e)
{
    if (u->tensor->rank == 2 && u->count && is_words(&u->codes) &&
        is_matrix(u, &u->codes, rows, cols))
        return 0;
    return sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e, "I32 [%llux%llu] was expected",
                            (unsigned long long)rows, (unsigned long long)cols);
}

/* Without an order, groups of equal length must make up the columns. */
static int check_groups(struct sc_unpack *u, struct sc_error *e)
{
    if (u->order || (u->cols - 1) / u->grid.along + 1 == u->grid.high)
        return 0;
    return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e,
                            "%llu columns do not make %llu groups of equal length",
                            (unsigned long long)u->cols, (unsigned long long)u->grid.high);
}

int sc_unpack_gptq(struct sc_unpack *u, struct sc_error *e)
{
    const char *format = u->model->config.quant_format;
    uint64_t k_bits = 0, n_bits = 0;
    u->bits = u->tensor->bits;
    if (u->bits < 1 || u->bits > 8 || !sc_mul(u->cols, u->bits, &k_bits) ||
        !sc_mul(u->rows, u->bits, &n_bits))
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EUNSUPPORTED, e,
                                "codes of %u bits have no packing that is known", u->bits);
    TRY(check_codes(u, k_bits / 32 + (k_bits % 32 != 0), u->rows, e));
    TRY(open_scales(u, e));
    TRY(check_zeros(u, n_bits / 32 + (n_bits % 32 != 0), e));
    u->zero_base = (float)(1U << (u->bits - 1));
    u->zero_step = !format || strcmp(format, "gptq_v2") != 0;
    TRY(sc_unpack_order(u, u->grid.high, e));
    u->n_floats = (size_t)SC_MAX(u->order ? u->grid.high : 1, (uint64_t)u->n_floats);
    return check_groups(u, e);
}

int sc_unpack_awq(struct sc_unpack *u, struct sc_error *e)
{
    u->bits = u->tensor->bits;
    if (u->bits != 4)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EUNSUPPORTED, e,
                                "codes of %u bits have no order that is known", u->bits);
    TRY(check_codes(u, u->cols, u->rows / 8 + (u->rows % 8 != 0), e));
    TRY(open_scales(u, e));
    TRY(sc_unpack_need(u, &u->zero, "qzeros", e));
    TRY(check_zeros(u, u->rows / 8 + (u->rows % 8 != 0), e));
    return check_groups(u, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* layout_int: integer codes, row by row.
 *
 *     ct-pack      w = (u - z) * s      z: stored zero point, or 2^(bits-1) where there is none
 *     ct-int       w = (q - z) * s      without zero points q * s
 *     MLX affine   w = q * s + b
 *     bnb int8     w = (q * SCB) * fl(1/127)
 *
 * Each operation in single precision and in this order (compressed-tensors, MLX, bitsandbytes).
 *
 * Packed codes follow each other from the lowest bit upward: over the words of a row as one stream,
 * or, in older files of compressed-tensors whose bits do not divide 32, with 32 / bits whole codes
 * in each word. The number of words tells which; where both would do it is the stream. Zero points
 * of compressed-tensors are packed the same way along the rows. */
#include <string.h>

#include "stream/layout_parts.h"

/* ----------------------------------------------------------------------------- zero points --- */
static void shift_out(float *dst, const uint8_t *words, size_t n, unsigned shift, uint32_t mask)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (float)(sc_le32(words + 4 * i) >> shift & mask);
}

/* Zero points of groups from..from+n of grid row `high`, packed along the rows. */
static int packed_zeros(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t high,
                        uint64_t from, uint64_t n, float *dst, struct sc_error *e)
{
    const unsigned bits = u->bits, per = 32 / bits;
    const uint64_t bit = high * bits, row = u->zero_whole ? high / per : bit / 32;
    const unsigned shift = (unsigned)(u->zero_whole ? high % per * bits : bit % 32);
    const unsigned low = SC_MIN(bits, 32 - shift);
    while (n) {
        const size_t take = (size_t)SC_MIN(n, (uint64_t)1024);
        const uint64_t at = (row * u->grid.wide + from) * 4;
        const uint8_t *src;
        float upper[1024];
        TRY(sc_part_bytes(u, w, &u->zero, at, take * 4, &src, e));
        shift_out(dst, src, take, shift, (1U << low) - 1);
        if (low < bits) {
            TRY(sc_part_bytes(u, w, &u->zero, at + u->grid.wide * 4, take * 4, &src, e));
            shift_out(upper, src, take, 0, (1U << (bits - low)) - 1);
            for (size_t i = 0; i < take; i++)
                dst[i] += upper[i] * (float)(1U << low);
        }
        dst += take;
        from += take;
        n -= take;
    }
    return 0;
}

static int zeros(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                 uint64_t from, uint64_t n, struct sc_error *e)
{
    if (sc_part_there(&u->zero)) {
        const uint64_t index = sc_grid_row(u, row);
        if (u->zero_packed)
            return packed_zeros(u, w, index / u->grid.wide, from, n, w->zeros, e);
        TRY(sc_part_floats(u, w, &u->zero, index + from, n, w->zeros, e));
        for (uint64_t i = 0; i < n; i++)
            w->zeros[i] += u->zero_base;
    } else {
        for (uint64_t i = 0; i < n; i++)
            w->zeros[i] = u->zero_base;
    }
    return 0;
}

static uint64_t words_of(uint64_t n, unsigned bits, bool whole)
{
    const unsigned per = whole ? 32 / bits : 32;
    uint64_t units = n;
    if (!whole && !sc_mul(n, bits, &units))
        return UINT64_MAX;
    return units / per + (units % per != 0);
}

static bool is_int(const struct sc_unpack_part *p)
{
    const enum sc_kind kind = (enum sc_kind)sc_codec(p->codec)->kind;
    return kind == SC_KIND_INT || kind == SC_KIND_UINT;
}

/* Packed words for codes of less than 8 bits and their like, or one number for each scale. */
static int open_zeros(struct sc_unpack *u, bool may_be_packed, struct sc_error *e)
{
    const struct sc_unpack_grid *g = &u->grid;
    TRY(sc_part_find(u, SC_PART_ZERO, NULL, &u->zero, e));
    if (!sc_part_there(&u->zero))
        return 0;
    const struct sc_entry *z = sc_part_entry(u, &u->zero);
    if (may_be_packed && z->rank == 2 && sc_codec(u->zero.codec)->bytes == 4 && is_int(&u->zero) &&
        z->shape[1] == g->wide) {
        /* As the codes are packed, unless only the other way fits. */
        const bool same = z->shape[0] == words_of(g->high, u->bits, u->whole_codes);
        u->zero_whole = same == u->whole_codes;
        u->zero_packed = same || z->shape[0] == words_of(g->high, u->bits, !u->whole_codes);
    }
    if (u->zero_packed ||
        (u->zero.count == u->scale.count && (is_int(&u->zero) || sc_part_is_float(&u->zero))))
        return 0;
    return sc_unpack_refuse(u, &u->zero, SCRUPLE_EFORMAT, e,
                            "one zero point for each of %llux%llu scales was expected",
                            (unsigned long long)g->high, (unsigned long long)g->wide);
}

/* -------------------------------------------------------------------- compressed-tensors --- */
static int apply_grid(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                      uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    const struct sc_unpack_grid *g = &u->grid;
    const bool shifts = sc_part_there(&u->zero) || u->zero_base != 0;
    const enum sc_apply how = shifts ? SC_APPLY_ZERO_SCALE : SC_APPLY_SCALE;
    const uint64_t from = u->order ? 0 : col / g->along;
    const uint64_t groups = u->order ? g->wide : (col + n - 1) / g->along + 1 - from;
    TRY(sc_part_floats(u, w, &u->scale, sc_grid_row(u, row) + from, groups, w->scales, e));
    if (shifts)
        TRY(zeros(u, w, row, from, groups, e));
    if (u->order)
        sc_apply_order(how, dst, n, u->order + col, w->scales, w->zeros);
    else
        sc_apply_runs(how, dst, n, col, g->along, w->scales, w->zeros);
    return 0;
}

/* Codes of a row of packed words. */
static int packed_codes(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                        uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    const unsigned bits = u->bits, per = 32 / bits;
    const uint64_t from = u->whole_codes ? col / per * 4 : col / 8 * bits;
    const uint64_t to = u->whole_codes ? ((col + n - 1) / per + 1) * 4
                                       : (col + n) / 8 * bits + ((col + n) % 8 * bits + 7) / 8;
    const uint8_t *src;
    TRY(sc_code_bytes(u, w, row * u->row_bytes + from, (size_t)(to - from), &src, e));
    if (u->whole_codes)
        sc_words_unpack(src, bits, col, n, dst);
    else
        sc_bits_unpack(src, bits, col, n, dst);
    return 0;
}

static int ct_pack_piece(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                         uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    TRY(packed_codes(u, w, row, col, n, dst, e));
    return apply_grid(u, w, row, col, n, dst, e);
}

static int ct_int_piece(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                        uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    TRY(sc_code_values(u, w, row * u->cols + col, n, dst, e));
    return apply_grid(u, w, row, col, n, dst, e);
}

/* Scale, zero point and order, which both kinds have. */
static int open_grid(struct sc_unpack *u, bool may_be_packed, struct sc_error *e)
{
    TRY(sc_part_find(u, SC_PART_SCALE, NULL, &u->scale, e));
    TRY(sc_unpack_need(u, &u->scale, "its scale", e));
    if (!sc_part_is_float(&u->scale))
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e, "floats were expected");
    TRY(sc_grid_open(u, &u->scale, true, e));
    TRY(open_zeros(u, may_be_packed, e));
    TRY(sc_unpack_order(u, u->grid.wide, e));
    if (u->order)
        u->n_floats = (size_t)SC_MAX(u->grid.wide, (uint64_t)u->n_floats);
    return 0;
}

/* Words of 32 bits, `words` of them in a row of u->cols codes. */
static int open_words(struct sc_unpack *u, const char *type, uint64_t words, struct sc_error *e)
{
    u->bits = u->tensor->bits;
    if (!sc_part_is(&u->codes, type))
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e, "%s was expected", type);
    if (u->bits < 1 || u->bits > 8)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EUNSUPPORTED, e,
                                "codes of %u bits have no packing that is known", u->bits);
    u->whole_codes = words != words_of(u->cols, u->bits, false);
    if ((u->whole_codes && words != words_of(u->cols, u->bits, true)) ||
        u->codes.count / SC_MAX(words, 1) < u->rows)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e,
                                "%llu rows of %llu codes of %u bits were expected",
                                (unsigned long long)u->rows, (unsigned long long)u->cols, u->bits);
    u->row_bytes = words * 4;
    return 0;
}

int sc_unpack_ct_pack(struct sc_unpack *u, struct sc_error *e)
{
    const struct sc_entry *en = sc_part_entry(u, &u->codes);
    TRY(open_words(u, "I32", en->rank ? en->shape[en->rank - 1] : 0, e));
    u->zero_base = (float)(1U << (u->bits - 1)); /* signed numbers, stored from 0 upward */
    u->piece = ct_pack_piece;
    return open_grid(u, true, e);
}

int sc_unpack_ct_int(struct sc_unpack *u, struct sc_error *e)
{
    if (!sc_part_is(&u->codes, "I8") || u->codes.count != u->count)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e, "%llu values I8 were expected",
                                (unsigned long long)u->count);
    u->decode = sc_decoder(u->codes.codec, sc_cpu_level());
    u->bits = 8;
    u->piece = ct_int_piece;
    return open_grid(u, false, e);
}

/* -------------------------------------------------------------------------------------- MLX --- */
static int mlx_piece(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                     uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    const struct sc_unpack_grid *g = &u->grid;
    const uint64_t from = col / g->along, groups = (col + n - 1) / g->along + 1 - from;
    const uint64_t at = row * g->wide + from;
    TRY(packed_codes(u, w, row, col, n, dst, e));
    TRY(sc_part_floats(u, w, &u->scale, at, groups, w->scales, e));
    TRY(sc_part_floats(u, w, &u->bias, at, groups, w->zeros, e));
    sc_apply_runs(SC_APPLY_SCALE_BIAS, dst, n, col, g->along, w->scales, w->zeros);
    return 0;
}

int sc_unpack_mlx(struct sc_unpack *u, struct sc_error *e)
{
    const struct sc_entry *en = sc_part_entry(u, &u->codes);
    TRY(sc_part_find(u, SC_PART_SCALE, NULL, &u->scale, e));
    TRY(sc_unpack_need(u, &u->scale, "its scales", e));
    TRY(sc_part_find(u, SC_PART_BIAS, NULL, &u->bias, e));
    TRY(open_words(u, "U32", en->rank ? en->shape[en->rank - 1] : 0, e));
    if (!sc_part_there(&u->bias))
        return sc_unpack_mlx_float(u, e);
    if (!sc_part_is_float(&u->scale))
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e, "floats were expected");
    if (!sc_part_is_float(&u->bias) || u->bias.count != u->scale.count)
        return sc_unpack_refuse(u, &u->bias, SCRUPLE_EFORMAT, e,
                                "one float for each of %llu scales was expected",
                                (unsigned long long)u->scale.count);
    const uint64_t wide = u->rows ? u->scale.count / u->rows : 0;
    if (u->whole_codes || wide == 0 || u->cols % wide != 0 || u->scale.count % u->rows != 0)
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e,
                                "groups of the same length were expected in rows of %llu codes",
                                (unsigned long long)u->cols);
    u->grid = (struct sc_unpack_grid){.down = 1, .along = u->cols / wide, .high = 1, .wide = wide};
    u->piece = mlx_piece;
    return 0;
}

/* ------------------------------------------------------------------------ bitsandbytes int8 --- */
static int bnb8_piece(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                      uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    const float part = 0x1.020408p-7F; /* 1/127 as float: bits 3C010204 */
    float most;
    TRY(sc_code_values(u, w, row * u->cols + col, n, dst, e));
    TRY(sc_part_floats(u, w, &u->scale, row, 1, &most, e));
    for (size_t i = 0; i < n; i++)
        dst[i] = dst[i] * most * part;
    return 0;
}

/* 0: rows. Others are orders of tiles for one kind of processor. */
static int row_format(struct sc_unpack *u, struct sc_error *e)
{
    float format = 0;
    TRY(sc_part_find(u, SC_PART_STATE, NULL, &u->map, e));
    if (!sc_part_there(&u->map))
        return 0;
    if (u->map.count != 1)
        return sc_unpack_refuse(u, &u->map, SCRUPLE_EFORMAT, e, "one number was expected");
    TRY(sc_part_read(u, &u->map, &format, e));
    return format == 0
               ? 0
               : sc_unpack_refuse(u, &u->map, SCRUPLE_EUNSUPPORTED, e,
                                  "format %g is an order for one kind of GPU; only 0, rows, "
                                  "can be read",
                                  (double)format);
}

int sc_unpack_bnb8(struct sc_unpack *u, struct sc_error *e)
{
    TRY(sc_part_find(u, SC_PART_SCALE, NULL, &u->scale, e));
    TRY(sc_unpack_need(u, &u->scale, "SCB", e));
    if (!sc_part_is(&u->codes, "I8") || u->codes.count != u->count)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e, "%llu values I8 were expected",
                                (unsigned long long)u->count);
    if (!sc_part_is_float(&u->scale) || u->scale.count != u->rows)
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e,
                                "one float for each of %llu rows was expected",
                                (unsigned long long)u->rows);
    u->decode = sc_decoder(u->codes.codec, sc_cpu_level());
    u->bits = 8;
    u->piece = bnb8_piece;
    return row_format(u, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* layout_qint: quantised integers of PyTorch, whose scale and zero point stand in the pickle.
 *
 *     per tensor      w = fl(fl(q - z) * fl(s))            q - z exact
 *     per channel     w = fl(fl(fl(q) - fl(z)) * s)        s in double precision
 *                     likewise with s and z as floats where the zero points are floats
 *
 * fl() rounds to single precision. This is what dequantize() of PyTorch 1.13 gives, bit for bit. It
 * refuses integer zero points outside of the type that holds the codes, and so do we. NaN and
 * infinite scales pass through, as they do there.
 *
 * Codes of 4 and 2 bits follow each other through all rows, from the lowest bits of a byte upward.
 * A channel is all that has one index along the axis. */
#include <string.h>

#include "stream/layout_parts.h"

enum { STEP = 512 }; /* values at a time */

/* ----------------------------------------------------------------------------------- codes --- */

/* What a zero point of such codes may be: those of less than a byte are bytes to PyTorch. */
static bool in_range(const struct sc_unpack *u, double zero)
{
    const char *name = sc_codec(u->codes.codec)->name;
    if (u->bits == 32)
        return zero >= INT32_MIN && zero <= INT32_MAX;
    return strcmp(name, "QI8") == 0 ? zero >= INT8_MIN && zero <= INT8_MAX
                                    : zero >= 0 && zero <= UINT8_MAX;
}

/* Codes first..first+n of all, n <= STEP. */
static int read_codes(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t first,
                      size_t n, int32_t *dst, struct sc_error *e)
{
    const struct sc_codec *c = sc_codec(u->codes.codec);
    const unsigned per = c->block;
    const uint64_t from = first / per, to = (first + n - 1) / per + 1;
    const bool has_sign = strcmp(c->name, "QI8") == 0;
    const uint8_t *src;
    TRY(sc_code_bytes(u, w, from * c->bytes, (size_t)(to - from) * c->bytes, &src, e));
    if (u->bits == 32) {
        for (size_t i = 0; i < n; i++)
            dst[i] = (int32_t)sc_le32(src + 4 * i);
    } else if (per == 1) {
        for (size_t i = 0; i < n; i++)
            dst[i] = has_sign ? (int8_t)src[i] : src[i];
    } else {
        const unsigned mask = (1U << u->bits) - 1;
        for (size_t i = 0; i < n; i++) {
            const uint64_t at = first % per + i;
            dst[i] = (int32_t)(src[at / per] >> at % per * u->bits & mask);
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------ per tensor --- */

static int tensor_piece(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                        uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    const float scale = (float)u->quantizer->scale;
    const int64_t zero = u->quantizer->zero_point;
    int32_t code[STEP];
    for (uint64_t at = row * u->cols + col; n > 0;) {
        const size_t take = SC_MIN(n, (size_t)STEP);
        TRY(read_codes(u, w, at, take, code, e));
        for (size_t i = 0; i < take; i++)
            dst[i] = (float)(code[i] - zero) * scale;
        at += take;
        dst += take;
        n -= take;
    }
    return 0;
}

static int open_tensor(struct sc_unpack *u, struct sc_error *e)
{
    const int64_t zero = u->quantizer->zero_point;
    u->piece = tensor_piece;
    return in_range(u, (double)zero)
               ? 0
               : sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e,
                                  "the zero point %lld is outside of the type of the codes",
                                  (long long)zero);
}

/* ----------------------------------------------------------------------------- per channel --- */

static bool is_int(const struct sc_unpack_part *p)
{
    const enum sc_kind kind = (enum sc_kind)sc_codec(p->codec)->kind;
    return kind == SC_KIND_INT || kind == SC_KIND_UINT;
}

/* n <= STEP numbers of a part. */
static int read_numbers(const struct sc_unpack *u, struct sc_unpack_scratch *w,
                        const struct sc_unpack_part *p, uint64_t first, size_t n, double *dst,
                        struct sc_error *e)
{
    const size_t size = sc_codec(p->codec)->bytes;
    const uint8_t *src;
    TRY(sc_part_bytes(u, w, p, first * size, n * size, &src, e));
    sc_decoder64(p->codec)(src, dst, n);
    return 0;
}

/* Scales and zero points of n <= STEP channels. */
static int read_channels(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t first,
                         size_t n, double *scale, float *zero, struct sc_error *e)
{
    const bool floats = !is_int(&u->zero);
    double z[STEP];
    TRY(read_numbers(u, w, &u->scale, first, n, scale, e));
    TRY(read_numbers(u, w, &u->zero, first, n, z, e));
    for (size_t i = 0; i < n; i++)
        zero[i] = (float)z[i];
    for (size_t i = 0; i < n; i++) {
        if (floats)
            scale[i] = (double)(float)scale[i];
        else if (!in_range(u, z[i]))
            return sc_unpack_refuse(u, &u->zero, SCRUPLE_EFORMAT, e,
                                    "zero point %.0f of channel %llu is outside of the type of the "
                                    "codes",
                                    z[i], (unsigned long long)first + i);
    }
    return 0;
}

/* Along the last dimension every value is of a channel of its own; along another one a row is of
 * one. */
static int channel_piece(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                         uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    const size_t axis = (size_t)u->quantizer->axis;
    const bool last = axis + 1 == u->tensor->rank;
    uint64_t inner = 1; /* rows of a channel that follow each other */
    for (size_t i = axis + 1; i + 1 < u->tensor->rank; i++)
        inner *= u->tensor->shape[i];
    const uint64_t channel = row / inner % u->tensor->shape[axis];
    int32_t code[STEP];
    double scale[STEP];
    float zero[STEP];
    if (!last)
        TRY(read_channels(u, w, channel, 1, scale, zero, e));
    while (n > 0) {
        const size_t take = SC_MIN(n, (size_t)STEP);
        if (last)
            TRY(read_channels(u, w, col, take, scale, zero, e));
        TRY(read_codes(u, w, row * u->cols + col, take, code, e));
        for (size_t i = 0; i < take; i++) {
            const size_t k = last ? i : 0;
            dst[i] = (float)((double)((float)code[i] - zero[k]) * scale[k]);
        }
        col += take;
        dst += take;
        n -= take;
    }
    return 0;
}

static int check_vector(const struct sc_unpack *u, const struct sc_unpack_part *p, bool may_be_int,
                        struct sc_error *e)
{
    const uint64_t n = u->tensor->shape[u->quantizer->axis];
    if (!sc_part_is_float(p) && !(may_be_int && is_int(p)))
        return sc_unpack_refuse(u, p, SCRUPLE_EFORMAT, e, "%s were expected",
                                may_be_int ? "numbers" : "floats");
    if (sc_part_entry(u, p)->rank != 1 || p->count != n)
        return sc_unpack_refuse(u, p, SCRUPLE_EFORMAT, e,
                                "one number for each of %llu channels was expected",
                                (unsigned long long)n);
    return 0;
}

static int open_channels(struct sc_unpack *u, struct sc_error *e)
{
    const int64_t axis = u->quantizer->axis;
    if (axis < 0 || axis >= u->tensor->rank)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e,
                                "its channels are along a dimension that it does not have");
    TRY(sc_part_find(u, SC_PART_SCALE, NULL, &u->scale, e));
    TRY(sc_unpack_need(u, &u->scale, "its scales", e));
    TRY(sc_part_find(u, SC_PART_ZERO, NULL, &u->zero, e));
    TRY(sc_unpack_need(u, &u->zero, "its zero points", e));
    TRY(check_vector(u, &u->scale, false, e));
    TRY(check_vector(u, &u->zero, true, e));
    u->piece = channel_piece;
    return 0;
}

int sc_unpack_qint(struct sc_unpack *u, struct sc_error *e)
{
    const struct sc_codec *c = sc_codec(u->codes.codec);
    struct sc_quoted name;
    u->quantizer = sc_entry_quantizer(u->model->catalog, sc_part_entry(u, &u->codes));
    if (!u->quantizer || c->kind != SC_KIND_QINT || u->codes.count != u->count)
        return sc_fail(e, SCRUPLE_EFORMAT, "%s: it has no scale and zero point",
                       sc_quote(&name, sc_str(u->tensor->name, u->tensor->name_len)));
    u->bits = (uint8_t)(c->bytes * 8U / c->block);
    return u->quantizer->per_channel ? open_channels(u, e) : open_tensor(u, e);
}

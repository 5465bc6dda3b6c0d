/* SPDX-License-Identifier: Apache-2.0 */
/* layout_float: codes that are values of their own, and scales that multiply them.
 *
 *     FP8, MXFP8   w = code * scale                    E8M0 scales: 2^(byte - 127)
 *     MXFP4        w = E2M1 * 2^(byte - 127)           low nibble first
 *     NVFP4        w = E2M1 * (E4M3 * g)               weight_scale_2 (ModelOpt)
 *                  w = E2M1 * (E4M3 / g)               weight_global_scale (compressed-tensors)
 *     BitNet       w = (code - 1) / scale, or * scale  row n of N: bits 2j of byte row n % (N/4),
 *                                                      j = n / (N/4)
 *     MLX          w = code * scale                    mxfp4, mxfp8; nvfp4 with E4M3 scales
 *     GGML         w = block value * scale
 *
 * Each operation in single precision and in this order, as compressed-tensors, ModelOpt and
 * transformers do it (OCP Microscaling Formats 1.0 for the MX types). BitNet: the class BitLinear
 * of transformers divides by the scale, AutoBitLinear ("linear_class": "autobitlinear") multiplies.
 */
#include <string.h>

#include "stream/layout_parts.h"

/* ------------------------------------------------------------------ scales on a grid: FP8 --- */
static int scaled_piece(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                        uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    const struct sc_unpack_grid *g = &u->grid;
    const uint64_t from = col / g->along, to = (col + n - 1) / g->along + 1;
    TRY(sc_code_values(u, w, row * u->cols + col, n, dst, e));
    TRY(sc_part_floats(u, w, &u->scale, sc_grid_row(u, row) + from, to - from, w->scales, e));
    sc_apply_runs(SC_APPLY_SCALE, dst, n, col, g->along, w->scales, NULL);
    return 0;
}

/* Codes that are read in place. */
static int plain_codes(struct sc_unpack *u, uint64_t values, struct sc_error *e)
{
    u->decode = sc_decoder(u->codes.codec, sc_cpu_level());
    if (!u->decode)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EUNSUPPORTED, e,
                                "values of this type cannot be computed");
    if (values != u->count)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e,
                                "it does not hold the %llu values of the weight",
                                (unsigned long long)u->count);
    return 0;
}

static bool is_power(const struct sc_unpack_part *p)
{
    return sc_part_is(p, "U8") || sc_part_is(p, "F8_E8M0");
}

/* Scales along K, `along` values each, for matrices of any number. */
static int groups_of(struct sc_unpack *u, uint64_t along, struct sc_error *e)
{
    const struct sc_tensor *t = u->tensor;
    const struct sc_entry *s = sc_part_entry(u, &u->scale);
    const uint64_t k = u->cols;
    if (t->rank < 2 || s->rank != t->rank ||
        memcmp(s->shape, t->shape, (t->rank - 1U) * sizeof s->shape[0]) != 0 ||
        s->shape[s->rank - 1] != k / along + (k % along != 0))
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e,
                                "one scale for each %llu of %llu columns was expected",
                                (unsigned long long)along, (unsigned long long)k);
    u->grid = (struct sc_unpack_grid){.lead = s->shape,
                                      .down = 1,
                                      .along = along,
                                      .high = s->shape[s->rank - 2],
                                      .wide = s->shape[s->rank - 1]};
    return 0;
}

int sc_unpack_fp8(struct sc_unpack *u, struct sc_error *e)
{
    TRY(plain_codes(u, u->codes.count, e));
    TRY(sc_part_find(u, SC_PART_SCALE, NULL, &u->scale, e));
    TRY(sc_unpack_need(u, &u->scale, "its scale", e));
    u->bits = 8;
    u->piece = scaled_piece;
    if (strcmp(u->tensor->dtype, "MXFP8") == 0) {
        if (!is_power(&u->scale))
            return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e, "U8 or F8_E8M0 was expected");
        u->scale.codec = sc_codec_find(SC_STR("F8_E8M0"));
        return groups_of(u, 32, e);
    }
    if (!sc_part_is_float(&u->scale) && !sc_part_is(&u->scale, "F8_E8M0"))
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e,
                                "scales of this type do not belong to FP8");
    return sc_grid_open(u, &u->scale, true, e);
}

/* ---------------------------------------------------------------------------- MXFP4, NVFP4 --- */
static int nvfp4_piece(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                       uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    const uint64_t along = u->grid.along, from = col / along, to = (col + n - 1) / along + 1;
    const size_t groups = (size_t)(to - from);
    const uint64_t which = u->scale_2.count > 1 ? row / (u->rows / u->scale_2.count) : 0;
    float whole;
    TRY(sc_code_values(u, w, row * u->cols + col, n, dst, e));
    TRY(sc_part_floats(u, w, &u->scale_2, which, 1, &whole, e));
    TRY(sc_part_floats(u, w, &u->scale, sc_grid_row(u, row) + from, groups, w->scales, e));
    if (u->divides)
        for (size_t i = 0; i < groups; i++)
            w->scales[i] /= whole;
    else
        for (size_t i = 0; i < groups; i++)
            w->scales[i] *= whole;
    sc_apply_runs(SC_APPLY_SCALE, dst, n, col, along, w->scales, NULL);
    return 0;
}

/* Bytes of two codes, whatever they are called. */
static int nibble_codes(struct sc_unpack *u, struct sc_error *e)
{
    const char *name = sc_codec(u->codes.codec)->name;
    uint64_t values = u->codes.count;
    if (strcmp(name, "F4") != 0 && !sc_mul(values, 2, &values))
        values = 0;
    if (strcmp(name, "U8") == 0 || strcmp(name, "I8") == 0)
        u->codes.codec = sc_codec_find(SC_STR("F4"));
    else if (strcmp(name, "F4") != 0 && strcmp(name, "F4_X2") != 0)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e, "U8, I8 or F4 was expected");
    u->bits = 4;
    return plain_codes(u, values, e);
}

static int nvfp4_scales(struct sc_unpack *u, struct sc_error *e)
{
    const struct sc_tensor *t = u->tensor;
    TRY(sc_part_find(u, SC_PART_SCALE_2, NULL, &u->scale_2, e));
    TRY(sc_unpack_need(u, &u->scale_2, "the scale for the whole weight", e));
    if (!sc_part_is_float(&u->scale_2))
        return sc_unpack_refuse(u, &u->scale_2, SCRUPLE_EFORMAT, e, "F32 was expected");
    if (u->scale_2.count != 1 && (t->rank < 3 || u->scale_2.count != t->shape[0]))
        return sc_unpack_refuse(u, &u->scale_2, SCRUPLE_EFORMAT, e,
                                "one value was expected, or one for each stacked matrix");
    if (strncmp(sc_codec(u->scale.codec)->name, "F8_E", 4) != 0 || is_power(&u->scale))
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e, "F8_E4M3 was expected");
    u->divides = sc_str_ends(sc_entry_name(sc_part_entry(u, &u->scale_2)), "_global_scale");
    u->piece = nvfp4_piece;
    return groups_of(u, 16, e);
}

/* The blocks of gpt-oss are rows of whole blocks cut into pieces: the same bytes. */
int sc_unpack_fp4(struct sc_unpack *u, struct sc_error *e)
{
    TRY(nibble_codes(u, e));
    TRY(sc_part_find(u, SC_PART_SCALE, NULL, &u->scale, e));
    TRY(sc_unpack_need(u, &u->scale, "its scale", e));
    if (u->tensor->layout == SC_LAYOUT_NVFP4)
        return nvfp4_scales(u, e);
    if (!is_power(&u->scale))
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e, "U8 or F8_E8M0 was expected");
    u->scale.codec = sc_codec_find(SC_STR("F8_E8M0"));
    u->piece = scaled_piece;
    return groups_of(u, 32, e);
}

/* --------------------------------------------------------------------- MLX without biases --- */
int sc_unpack_mlx_float(struct sc_unpack *u, struct sc_error *e)
{
    static const struct {
        const char *dtype, *codes, *scales;
        uint8_t bits, along;
    } modes[] = {
        {"MXFP4", "F4", "F8_E8M0", 4, 32},
        {"MXFP8", "F8_E4M3", "F8_E8M0", 8, 32},
        {"NVFP4", "F4", "F8_E4M3", 4, 16},
    };
    for (size_t i = 0; i < SC_COUNT(modes); i++) {
        if (strcmp(u->tensor->dtype, modes[i].dtype) != 0)
            continue;
        if (!sc_part_is(&u->scale, "U8"))
            return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e, "U8 was expected");
        u->bits = modes[i].bits;
        u->codes.codec = sc_codec_find(sc_strz(modes[i].codes));
        u->scale.codec = sc_codec_find(sc_strz(modes[i].scales));
        u->piece = scaled_piece;
        TRY(plain_codes(u, u->codes.bytes * (8 / u->bits), e));
        return groups_of(u, modes[i].along, e);
    }
    return sc_unpack_refuse(u, &u->scale, SCRUPLE_EUNSUPPORTED, e,
                            "codes without biases are of no mode that is known");
}

/* ---------------------------------------------------------------------------------- BitNet --- */
static int bitnet_piece(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row,
                        uint64_t col, size_t n, float *dst, struct sc_error *e)
{
    const uint64_t quarter = u->rows / 4;
    const unsigned shift = 2 * (unsigned)(row / quarter);
    const uint8_t *src;
    float scale;
    TRY(sc_code_bytes(u, w, row % quarter * u->cols + col, n, &src, e));
    TRY(sc_part_floats(u, w, &u->scale, 0, 1, &scale, e));
    for (size_t i = 0; i < n; i++)
        dst[i] = (float)((src[i] >> shift & 3) - 1);
    if (u->divides)
        for (size_t i = 0; i < n; i++)
            dst[i] /= scale;
    else
        for (size_t i = 0; i < n; i++)
            dst[i] *= scale;
    return 0;
}

int sc_unpack_bitnet(struct sc_unpack *u, struct sc_error *e)
{
    const char *said = u->model->config.quant_format;
    TRY(sc_part_find(u, SC_PART_SCALE, NULL, &u->scale, e));
    TRY(sc_unpack_need(u, &u->scale, "its scale", e));
    if (!sc_part_is_float(&u->scale) || u->scale.count != 1)
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e, "one float was expected");
    if (!sc_part_is(&u->codes, "U8") || u->rows % 4 != 0 || u->codes.count != u->count / 4)
        return sc_unpack_refuse(u, &u->codes, SCRUPLE_EFORMAT, e,
                                "bytes of four weights of %llu rows were expected",
                                (unsigned long long)u->rows);
    u->divides = !said || strcmp(said, "autobitlinear") != 0;
    u->piece = bitnet_piece;
    return 0;
}

/* ------------------------------------------------------------------------------------ GGML --- */
int sc_unpack_ggml(struct sc_unpack *u, struct sc_error *e)
{
    const struct sc_tensor *t = u->tensor;
    TRY(plain_codes(u, u->codes.count, e));
    TRY(sc_part_find(u, SC_PART_SCALE, NULL, &u->scale, e));
    TRY(sc_unpack_need(u, &u->scale, "its scale", e));
    if (!sc_part_is_float(&u->scale))
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e, "a float was expected");
    if (u->scale.count != 1 && (t->rank < 3 || u->scale.count != t->shape[0]))
        return sc_unpack_refuse(u, &u->scale, SCRUPLE_EFORMAT, e,
                                "one value was expected, or one for each stacked matrix");
    u->piece = scaled_piece;
    if (t->rank == 3)
        return sc_grid_open(u, &u->scale, false, e);
    u->grid =
        (struct sc_unpack_grid){.down = UINT64_MAX, .along = UINT64_MAX, .high = 1, .wide = 1};
    return u->scale.count == 1 ? 0
                               : sc_unpack_refuse(u, &u->scale, SCRUPLE_EUNSUPPORTED, e,
                                                  "stacks of stacks have no order of scales");
}

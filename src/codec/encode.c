/* SPDX-License-Identifier: Apache-2.0 */
/* encode: which functions put values into which scheme, and the bytes that formats take. */
#include "codec/encode.h"

static const struct sc_scheme_row *const rows[] = {
    [SC_SCHEME_ZERO] = &sc_scheme_zero,     [SC_SCHEME_CAST] = &sc_scheme_cast,
    [SC_SCHEME_BFP] = &sc_scheme_bfp,       [SC_SCHEME_MX] = &sc_scheme_mx,
    [SC_SCHEME_NVFP4] = &sc_scheme_nvfp4,   [SC_SCHEME_INT] = &sc_scheme_int,
    [SC_SCHEME_LEVELS] = &sc_scheme_levels, [SC_SCHEME_GGML] = &sc_scheme_ggml,
};

sc_round_fn *sc_rounder(const struct sc_encoding *f, enum sc_cpu level)
{
    /* cppcheck-suppress CastIntegerToAddressAtReturn ; it is a pointer to a function */
    return rows[f->scheme]->rounder(f, level);
}

#if SC_HAVE_X86
#define LOSSES(name) (level >= SC_CPU_AVX512 ? sc_losses_##name##_avx512 : sc_losses_##name##_avx2)
sc_losses_fn *sc_losses(const struct sc_encoding *f, enum sc_cpu level)
{
    if (level < SC_CPU_AVX2 || f->rule == SC_RULE_SSE)
        return NULL;
    switch ((enum sc_scheme)f->scheme) {
    case SC_SCHEME_ZERO:
        return LOSSES(zero);
    case SC_SCHEME_CAST:
        return sc_smalls[f->element].bits && sc_smalls[f->element].bits < 16 ? LOSSES(cast) : NULL;
    case SC_SCHEME_BFP:
        return LOSSES(bfp);
    case SC_SCHEME_MX:
        return LOSSES(mx);
    case SC_SCHEME_NVFP4:
        return LOSSES(nvfp4);
    case SC_SCHEME_INT: /* a clip of groups is searched by looking at values */
        return f->affine || (f->over == SC_OVER_NOTHING && (f->clip || f->unit % 16)) ? NULL
                                                                                      : LOSSES(int);
    case SC_SCHEME_LEVELS:
    case SC_SCHEME_GGML:
        break;
    }
    return NULL;
}
#undef LOSSES
#else
sc_losses_fn *sc_losses(const struct sc_encoding *f, enum sc_cpu level)
{
    (void)f, (void)level;
    return NULL;
}
#endif

uint32_t sc_encoding_short_below(const struct sc_encoding *f)
{
    const uint32_t any = SC_INFINITE;
    if (f->rule == SC_RULE_SSE) /* scales may be too small for what they hold */
        return 0;
    switch ((enum sc_scheme)f->scheme) {
    case SC_SCHEME_ZERO:
    case SC_SCHEME_BFP:
    case SC_SCHEME_MX:
        return any;
    case SC_SCHEME_CAST: { /* what is much larger than the largest is far from it */
        const struct sc_small *s = &sc_smalls[f->element];
        return s->bits && s->bits <= 8 ? sc_bits_of(sc_small_largest(s)) & SC_INFINITE : 0;
    }
    case SC_SCHEME_NVFP4:
    case SC_SCHEME_INT:
    case SC_SCHEME_LEVELS:
    case SC_SCHEME_GGML:
        break;
    }
    return 0;
}

uint32_t sc_group_peaks(const float *x, size_t n, enum sc_cpu level, uint32_t *peak)
{
    uint32_t bits = 0;
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX2)
        return (level >= SC_CPU_AVX512 ? sc_group_peaks_avx512 : sc_group_peaks_avx2)(x, n, peak);
#endif
    for (size_t i = 0; i < 16 * n; i++)
        bits |= sc_bits_of(x[i]);
    sc_peaks(x, 16 * n, 16, level, peak);
    return bits;
}

void sc_column_peaks(const float *x, size_t high, size_t n, enum sc_cpu level, uint32_t *peak)
{
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX512)
        sc_column_peaks_avx512(x, high, n, peak);
    else if (level >= SC_CPU_AVX2)
        sc_column_peaks_avx2(x, high, n, peak);
    if (level >= SC_CPU_AVX2)
        return;
#endif
    memset(peak, 0, (high + 15) / 16 * n * sizeof *peak);
    for (size_t r = 0; r < high; r++)
        for (size_t i = 0; i < n; i++) {
            uint32_t *const of = &peak[r / 16 * n + i];
            *of = SC_MAX(*of, sc_bits_of(x[r * n + i]) & ~SC_SIGN);
        }
}

size_t sc_encoding_pack(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                        size_t n, uint8_t *dst)
{
    return rows[f->scheme]->pack(f, step, x, n, dst);
}

void sc_encoding_step(const struct sc_encoding *f, struct sc_extent of, struct sc_step *out)
{
    *out = (struct sc_step){.scale = 1, .inverse = 1};
    if (rows[f->scheme]->step)
        rows[f->scheme]->step(f, of, out);
}

void sc_pack_bits(const uint8_t *codes, size_t n, unsigned bits, uint8_t *dst)
{
    uint32_t pending = 0;
    unsigned filled = 0;
    for (size_t i = 0; i < n; i++) {
        pending |= (uint32_t)codes[i] << filled;
        for (filled += bits; filled >= 8; filled -= 8, pending >>= 8)
            *dst++ = (uint8_t)pending;
    }
    if (filled)
        *dst = (uint8_t)pending;
}

/* ----------------------------------------------------------------------------------- bytes --- */
enum {
    TILE = 32,
    SCALE_BYTES = 4, /* a float */
};

/* What n values of a line take: codes in whole bytes, and the scales of blocks. */
struct of_line {
    uint64_t block;       /* values; the last one counts whole if `whole`, else its codes do */
    uint64_t block_bytes; /* of its codes, if whole */
    uint64_t scale_bytes; /* of a block; block 0: of a line */
    uint64_t zero_bits;   /* the same of zero points, those of a line in whole bytes */
    bool whole;
};

/* Of one stored step. */
static uint64_t step_bytes(const struct sc_encoding *f)
{
    return f->scale == SC_ELEMENT_F16 || f->scale == SC_ELEMENT_BF16 ? 2 : SCALE_BYTES;
}

static struct of_line of_line(const struct sc_encoding *f)
{
    switch ((enum sc_scheme)f->scheme) {
    case SC_SCHEME_MX:
    case SC_SCHEME_NVFP4:
        return (struct of_line){.block = f->unit,
                                .block_bytes = f->unit * (uint64_t)f->bits / 8,
                                .scale_bytes = 1,
                                .whole = true};
    case SC_SCHEME_INT:
        if (f->over == SC_OVER_TENSOR)
            return (struct of_line){0};
        return (struct of_line){.block = f->over == SC_OVER_NOTHING ? f->unit : 0,
                                .scale_bytes = step_bytes(f),
                                .zero_bits = f->affine ? f->bits : 0};
    case SC_SCHEME_LEVELS:
        return (struct of_line){.block = f->unit, .scale_bytes = SCALE_BYTES};
    case SC_SCHEME_GGML:
        return (struct of_line){
            .block = f->unit, .block_bytes = sc_codec(f->codec)->bytes, .whole = true};
    case SC_SCHEME_ZERO:
    case SC_SCHEME_CAST:
    case SC_SCHEME_BFP:
        break;
    }
    return (struct of_line){0};
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static bool line_bytes(const struct sc_encoding *f, uint64_t n, uint64_t *out)
{
    const struct of_line l = of_line(f);
    const uint64_t blocks = l.block ? ceil_div(n, l.block) : 1;
    uint64_t codes, scales, zeros;
    if (l.whole ? !sc_mul(blocks, l.block_bytes, &codes) : !sc_mul(n, f->bits, &codes))
        return false;
    if (!l.whole)
        codes = ceil_div(codes, 8);
    return sc_mul(blocks, l.scale_bytes, &scales) && sc_mul(blocks, l.zero_bits, &zeros) &&
           sc_add(codes, scales, out) && sc_add(*out, ceil_div(zeros, 8), out);
}

/* Tiles are padded in both directions. */
static bool tile_bytes(const struct sc_encoding *f, uint64_t matrices, uint64_t rows_of,
                       uint64_t cols, uint64_t *out)
{
    const uint64_t tile = (uint64_t)TILE * TILE / 16 + (uint64_t)TILE * TILE * f->bits / 8;
    uint64_t tiles;
    return sc_mul(ceil_div(rows_of, TILE), ceil_div(cols, TILE), &tiles) &&
           sc_mul(tiles, matrices, &tiles) && sc_mul(tiles, tile, out);
}

static uint64_t bytes_of_tensor(const struct sc_encoding *f)
{
    if (f->over != SC_OVER_TENSOR)
        return 0;
    return step_bytes(f) + (f->affine ? 1 : 0);
}

bool sc_encoding_bytes(const struct sc_encoding *f, uint64_t matrices, uint64_t rows_of,
                       uint64_t cols, uint64_t *out, const char **why)
{
    const uint64_t n = f->other_axis ? rows_of : cols, shape[] = {matrices, rows_of, cols};
    uint64_t values;
    const char *unused;
    if (!why)
        why = &unused;
    *why = "its size does not fit in 64 bits";
    *out = 0;
    if (!sc_product(shape, 3, &values))
        return false;
    if (values == 0 || f->scheme == SC_SCHEME_ZERO)
        return true;
    if (f->scheme == SC_SCHEME_BFP)
        return tile_bytes(f, matrices, rows_of, cols, out);
    if (f->scheme == SC_SCHEME_GGML && n % f->unit) {
        *why = "its lines are not whole blocks";
        return false;
    }
    return line_bytes(f, n, out) && sc_mul(values / n, *out, out) &&
           sc_add(*out, bytes_of_tensor(f), out);
}

double sc_encoding_bits(const struct sc_encoding *f)
{
    const struct of_line l = of_line(f);
    if (f->scheme == SC_SCHEME_BFP)
        return f->bits + 8.0 / 16;
    if (l.whole)
        return 8 * (double)(l.block_bytes + l.scale_bytes) / (double)l.block;
    return f->bits + (l.block ? (double)(8 * l.scale_bytes + l.zero_bits) / (double)l.block : 0);
}

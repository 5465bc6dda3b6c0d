/* SPDX-License-Identifier: Apache-2.0 */
/* encoder: which encoder serves which row of the codec table, at which level; the scheme of GGML,
 * which is encoding, and for rounding decoding again. */
#include <math.h>
#include <string.h>

#include "codec/encode_ggml.h"

static const struct sc_encoder_row *search(const struct sc_encoder_row *row, const char *name)
{
    while (row->name && strcmp(row->name, name) != 0)
        row++;
    return row->name ? row : NULL;
}

sc_encode_fn *sc_encoder(sc_codec_id id, enum sc_cpu level)
{
    const char *name = sc_codec(id)->name;
    const struct sc_encoder_row *row = search(sc_encode_ggml, name);
    if (!row)
        row = search(sc_encode_fits, name);
    if (!row)
        return NULL;
    if (level >= SC_CPU_AVX512 && row->avx512)
        return row->avx512;
    if (level >= SC_CPU_AVX2 && row->avx2)
        return row->avx2;
    return row->c;
}

bool sc_encoder_exact(sc_codec_id id)
{
    return search(sc_encode_ggml, sc_codec(id)->name) != NULL;
}

/* How many finite values lie above what E2M1 rounds to 6, the largest; other types are not asked.
 */
static size_t too_large(const struct sc_encoding *f, const float *x, const uint8_t *bytes,
                        size_t blocks)
{
    const struct sc_codec *c = sc_codec(f->codec);
    const bool nvfp4 = strcmp(c->name, "NVFP4") == 0;
    const size_t group = nvfp4 ? 16 : 32;
    size_t full = 0;
    if (!nvfp4 && strcmp(c->name, "MXFP4") != 0)
        return 0;
    for (size_t i = 0; i < blocks * f->unit; i += group) {
        const uint8_t scale = bytes[i / f->unit * c->bytes + i % f->unit / group];
        const float most = 14 * (nvfp4 ? sc_ue4m3_half[scale] : sc_e8m0_half(scale));
        uint32_t above = 0;
        for (size_t k = i; k < i + group; k++)
            above += (uint32_t)(fabsf(x[k]) > most) & (uint32_t)(fabsf(x[k]) < INFINITY);
        full += most > 0 ? above : 0;
    }
    return full;
}

/* Pieces that stay in the nearest cache: whole blocks. */
static size_t round_blocks(enum sc_cpu level, const struct sc_encoding *f, const float *x, size_t n,
                           float *y)
{
    enum { VALUES = 1024 }; /* of any type: no fewer than a block, no more bytes than floats */
    uint8_t bytes[VALUES * sizeof(float)];
    sc_encode_fn *encode = sc_encoder(f->codec, level);
    sc_decode_fn *decode = sc_decoder(f->codec, level);
    size_t full = 0;
    for (size_t i = 0; i < n; i += VALUES) {
        const size_t blocks = SC_MIN(n - i, VALUES) / f->unit;
        encode(x + i, bytes, blocks);
        full += too_large(f, x + i, bytes, blocks);
        decode(bytes, y + i, blocks);
    }
    return full;
}

SC_ROUND_LEVELS(of_blocks, round_blocks)

static sc_round_fn *rounder(const struct sc_encoding *f, enum sc_cpu level)
{
    (void)f;
    return of_blocks[level];
}

static size_t pack(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                   size_t n, uint8_t *dst)
{
    const size_t blocks = n / f->unit;
    (void)step;
    sc_encoder(f->codec, sc_cpu_level())(x, dst, blocks);
    return blocks * sc_codec(f->codec)->bytes;
}

const struct sc_scheme_row sc_scheme_ggml = {rounder, pack, NULL};

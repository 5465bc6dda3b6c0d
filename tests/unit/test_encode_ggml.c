/* SPDX-License-Identifier: Apache-2.0 */
/* test_encode_ggml: blocks of GGML types against what ggml makes of the same values (check sums of
 * bytes, or how near its own fits come), and levels of the processor against each other. From ggml
 * 0.21 built for x86-64 as it is released, without FMA. */
#include "codec/encode_ggml.h"
#include "encode_input.h"
#include "ggml_blocks.h"
#include "ggml_inputs.h"

enum { LEVELS = 3, MAX_BYTES = INPUT_VALUES * 4 };

static const char *const fits[] = {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"};

/* FNV-1a-32 of the bytes for every kind of enum input. */
static const struct {
    const char *name;
    uint32_t sums[INPUT_COUNT];
} exact[] = {
    {"F16",
     {0x12e742ec, 0xd772bf30, 0x1d40d63e, 0xb1f09c81, 0xa760251a, 0x3bde2eb2, 0x8f037743,
      0x2cc61a45, 0xa1aab305, 0x6e1916d4, 0x02d8b380, 0xd2b62301}},
    {"BF16",
     {0x3d8dd51e, 0x5d78b516, 0xa8cc529b, 0x346e3ec2, 0x44b4f734, 0x3acb90fa, 0xb4d45667,
      0xf7662eac, 0x62c4190d, 0xfd6285e6, 0xb2e7c2de, 0xa6036e41}},
    {"Q4_0",
     {0xf76c45ae, 0xbe82fcc8, 0xbae7246f, 0x55ee2249, 0x4af4a213, 0x6f1f3dc7, 0xca451749,
      0xb419b7da, 0xa5762b4d, 0xb43ef79c, 0x752b0ac8, 0xc9f90812}},
    {"Q4_1",
     {0x8eae5b38, 0x560db8ee, 0xa883a74f, 0x09ccb395, 0x1922e09d, 0x36040d7d, 0x984452c7,
      0x8b88ef5e, 0xe18cad97, 0x1c75771b, 0xc0af16d1, 0x85da663a}},
    {"Q5_0",
     {0x91212d91, 0xaa9215d3, 0xab098434, 0x2d1ff3c1, 0x40092246, 0xcb22fe62, 0xdfeb678c,
      0x24707c45, 0xc0c3c645, 0x2e9e6a71, 0x76aec072, 0x7d8efdd4}},
    {"Q5_1",
     {0x03927a97, 0xffc8f8ed, 0x23ebaa8b, 0x3f16b93a, 0xe74763f7, 0x08adc579, 0x8a665061,
      0x336817ba, 0xbf4fbb8f, 0xb90c7f13, 0x61f62349, 0xaead4002}},
    {"Q8_0",
     {0xcf1c145f, 0x38f05aab, 0x84c24c5f, 0xcca95537, 0x7dee9f1b, 0x7c49af0a, 0x2876be76,
      0x5423ddc5, 0xde56033d, 0x8e25c37f, 0x681eb679, 0x8db43793}},
    {"MXFP4",
     {0x7dd278f5, 0xbeba9c09, 0x6afde980, 0x4e58dabe, 0x346b99ac, 0xa8a459ce, 0xd5592430,
      0x324add14, 0x08591102, 0xa1699f1a, 0xf1f59315, 0x7141bf24}},
    {"NVFP4",
     {0x435a86e4, 0xb3394223, 0xb392fab9, 0x4ea0b44c, 0x6a095c39, 0xda572fd6, 0xb82c7cbc,
      0x6589ddc5, 0x7ff6ddc5, 0x676b69c4, 0xdde5c4b0, 0x6f2cec45}},
    {"Q1_0",
     {0x9e9a2d11, 0xe5c06f31, 0x2f076e72, 0x635e9a28, 0x7f02e786, 0x718d04db, 0xce43d3b7,
      0xae31853c, 0x9a6711b0, 0x830cfd65, 0xf14f9dc4, 0xc02d3281}},
    {"Q2_0",
     {0x92ae6a1b, 0x6126f8a8, 0x6a368663, 0x3ff93871, 0x16144ad0, 0xdea56acd, 0xc544cec5,
      0x78fd6edd, 0x0add156b, 0xc933ae35, 0x9d4baf8a, 0x34b0ba11}},
    {"TQ1_0",
     {0x71b5d82f, 0xb40cf903, 0x669d5af0, 0x114b5e7d, 0xdece957d, 0xc0136c7d, 0x9ecabdc5,
      0xb5236603, 0x2184d640, 0xc9ee95e6, 0xa56b3f6b, 0x83ea70a7}},
    {"TQ2_0",
     {0x056aecb4, 0x3707090c, 0xdf41039c, 0x29a50f41, 0xc31bb227, 0x0913b12d, 0x6a90791d,
      0xe1edd6bd, 0x45228611, 0x5590495b, 0xa251c77b, 0xa250dfaa}},
};

/* Signal to noise in dB of ggml's own fits, without importances: of the first kinds of input. */
static const struct {
    const char *name;
    double db[INPUT_TIES];
} searched[] = {
    {"Q2_K", {10.727, 12.658, 8.235, 8.257, 10.725, 14.879}},
    {"Q3_K", {16.572, 18.079, 15.097, 24.519, 15.390, 17.768}},
    {"Q4_K", {23.101, 25.277, 20.213, 26.790, 21.237, 27.131}},
    {"Q5_K", {28.979, 31.180, 25.944, 28.856, 27.108, 33.091}},
    {"Q6_K", {35.160, 37.531, 31.653, 43.556, 31.667, 36.142}},
    {"IQ4_NL", {22.487, 23.867, 20.133, 25.799, 19.403, 23.242}},
    {"IQ4_XS", {22.426, 23.789, 20.040, 25.517, 19.227, 23.171}},
};

static double sqnr_of(const float *x, const float *y, size_t n)
{
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        const double off = (double)x[i] - (double)y[i];
        signal += (double)x[i] * (double)x[i];
        noise += off * off;
    }
    return 10 * log10(signal / noise);
}

static sc_codec_id id_of(const char *name)
{
    return sc_codec_find(sc_strz(name));
}

static bool is_fit(const char *name)
{
    for (size_t i = 0; i < SC_COUNT(fits); i++)
        if (strcmp(fits[i], name) == 0)
            return true;
    return false;
}

TEST(bytes_of_common_values_are_those_of_ggml)
{
    static float x[1024];
    static uint8_t bytes[MAX_BYTES];
    size_t compared = 0;
    fill_common(x);
    for (size_t i = 0; i < SC_COUNT(ggml_goldens); i++) {
        const sc_codec_id id = id_of(ggml_goldens[i].name);
        if (!sc_encoder_exact(id))
            continue;
        const struct sc_codec *c = sc_codec(id);
        sc_encoder(id, sc_cpu_level())(x, bytes, 1024U / c->block);
        CHECK_U64(fnv(bytes, 1024U / c->block * c->bytes), ggml_goldens[i].sum);
        compared++;
    }
    CHECK_U64(compared, 11);
}

TEST(bytes_of_any_values_are_those_of_ggml)
{
    static float x[INPUT_VALUES];
    static uint8_t bytes[MAX_BYTES];
    for (size_t t = 0; t < SC_COUNT(exact); t++) {
        const sc_codec_id id = id_of(exact[t].name);
        const struct sc_codec *c = sc_codec(id);
        CHECK(sc_encoder_exact(id));
        for (size_t kind = 0; kind < INPUT_COUNT; kind++) {
            input_fill((enum input)kind, x);
            sc_encoder(id, SC_CPU_C)(x, bytes, INPUT_VALUES / c->block);
            test_u64(fnv(bytes, (size_t)INPUT_VALUES / c->block * c->bytes), exact[t].sums[kind],
                     exact[t].name, __FILE__, __LINE__);
        }
    }
}

/* All kinds of values at all levels, also ends that fill no run of blocks; bytes around the blocks
 * stay as they are, and so do levels that the processor lacks. */
TEST(levels_give_the_same_bytes)
{
    static float x[INPUT_VALUES + 1];
    static uint8_t want[MAX_BYTES + 2], got[MAX_BYTES + 2];
    static const size_t counts[] = {0, 1, 2, 3, 15, 16, 17, 31};
    for (sc_codec_id id = 1; id < sc_codec_count(); id++) {
        const struct sc_codec *c = sc_codec(id);
        for (size_t kind = 0; kind < INPUT_COUNT && sc_encoder(id, SC_CPU_C); kind++) {
            const size_t few = is_fit(c->name) && kind != INPUT_ODD ? 4 : 1;
            const size_t all = INPUT_VALUES / 8 / few / c->block;
            input_fill((enum input)kind, x + 1);
            memset(want, 0xa5, sizeof want);
            sc_encoder(id, SC_CPU_C)(x + 1, want + 1, all);
            CHECK_U64(want[0], 0xa5);
            CHECK_U64(want[1 + all * c->bytes], 0xa5);
            for (unsigned level = 1; level < LEVELS && level <= (unsigned)sc_cpu_level(); level++) {
                sc_encode_fn *encode = sc_encoder(id, (enum sc_cpu)level);
                memset(got, 0xa5, sizeof got);
                encode(x + 1, got + 1, all);
                CHECK_BITS(got, want, all * c->bytes + 2);
                for (size_t i = 0; i < SC_COUNT(counts) && kind == INPUT_ODD; i++) {
                    memset(got, 0xa5, sizeof got);
                    encode(x + 1, got + 1, counts[i]);
                    CHECK_BITS(got + 1, want + 1, counts[i] * c->bytes);
                    CHECK_U64(got[1 + counts[i] * c->bytes], 0xa5);
                }
            }
        }
    }
}

TEST(fits_are_as_near_as_those_of_ggml)
{
    static float x[INPUT_VALUES], y[INPUT_VALUES];
    static uint8_t bytes[MAX_BYTES];
    for (size_t t = 0; t < SC_COUNT(searched); t++) {
        const sc_codec_id id = id_of(searched[t].name);
        const size_t blocks = INPUT_VALUES / sc_codec(id)->block;
        CHECK(!sc_encoder_exact(id));
        for (size_t kind = 0; kind < INPUT_TIES; kind++) {
            input_fill((enum input)kind, x);
            sc_encoder(id, sc_cpu_level())(x, bytes, blocks);
            sc_decoder(id, SC_CPU_C)(bytes, y, blocks);
            CHECK(sqnr_of(x, y, INPUT_VALUES) >= searched[t].db[kind]);
        }
    }
}

/* What ggml reaches on the common values; of Q2_K to IQ4_XS as above. */
TEST(fits_of_common_values)
{
    static const double db[] = {8.690, 15.509, 20.434, 26.467, 31.869, 20.892, 20.842};
    static float x[1024], y[1024];
    static uint8_t bytes[4096];
    fill_common(x);
    for (size_t t = 0; t < SC_COUNT(fits); t++) {
        const sc_codec_id id = id_of(fits[t]);
        sc_encoder(id, sc_cpu_level())(x, bytes, 1024U / sc_codec(id)->block);
        sc_decoder(id, SC_CPU_C)(bytes, y, 1024U / sc_codec(id)->block);
        CHECK(sqnr_of(x, y, 1024) >= db[t]);
    }
}

/* Values that a format holds come back, but for what a half's 11 bits lose: every group has the
 * least and the largest code. */
TEST(fits_find_what_is_there)
{
    static float x[256], y[256];
    uint8_t bytes[512];
    for (size_t t = 0; t < SC_COUNT(fits); t++) {
        const sc_codec_id id = id_of(fits[t]);
        const size_t blocks = 256U / sc_codec(id)->block;
        static const int8_t levels[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};
        static const int codes[] = {4, 8, 16, 32, 64};
        for (size_t i = 0; i < 256; i++) {
            const int n = t < 5 ? codes[t] : 16, q = i % 16 == 0   ? 0
                                                     : i % 16 == 1 ? n - 1
                                                                   : (int)(i * 5 % (size_t)n);
            const bool least = t == 1 || t == 4;
            x[i] = t >= 5 ? levels[q] * 0.125F : (float)(least ? q - n / 2 : q) * 0.25F;
        }
        sc_encoder(id, sc_cpu_level())(x, bytes, blocks);
        sc_decoder(id, SC_CPU_C)(bytes, y, blocks);
        CHECK(sqnr_of(x, y, 256) > 45);
    }
}

/* Nothing finite becomes NaN or infinite, zeros stay zeros. */
TEST(fits_of_extremes_are_finite)
{
    static float x[INPUT_VALUES], y[INPUT_VALUES];
    static uint8_t bytes[MAX_BYTES];
    static const enum input kinds[] = {INPUT_SMALL, INPUT_LARGE, INPUT_ODD, INPUT_BITS};
    for (size_t t = 0; t < SC_COUNT(fits); t++) {
        const sc_codec_id id = id_of(fits[t]);
        const size_t blocks = INPUT_VALUES / sc_codec(id)->block;
        for (size_t k = 0; k < SC_COUNT(kinds); k++) {
            input_fill(kinds[k], x);
            sc_encoder(id, sc_cpu_level())(x, bytes, blocks);
            sc_decoder(id, SC_CPU_C)(bytes, y, blocks);
            size_t bad = 0;
            for (size_t i = 0; i < INPUT_VALUES; i++)
                bad += !isfinite(y[i]);
            CHECK_U64(bad, 0);
        }
        memset(x, 0, sizeof x);
        sc_encoder(id, sc_cpu_level())(x, bytes, blocks);
        sc_decoder(id, SC_CPU_C)(bytes, y, blocks);
        for (size_t i = 0; i < INPUT_VALUES; i++)
            x[i] = fabsf(y[i]);
        memset(y, 0, sizeof y);
        CHECK_BITS(x, y, sizeof x);
    }
}

/* Rounding is encoding and decoding, at every level, also in place. */
TEST(rounding_is_encoding_and_decoding)
{
    static float x[4096], want[4096], y[4096];
    static uint8_t bytes[4096 * 4];
    static float all[INPUT_VALUES];
    input_fill(INPUT_OUTLIERS, all);
    memcpy(x, all, sizeof x);
    for (size_t i = 0; i < sc_n_encodings; i++) {
        const struct sc_encoding f = parsed(sc_encodings[i].name);
        if (f.scheme != SC_SCHEME_GGML)
            continue;
        const struct sc_codec *c = sc_codec(f.codec);
        CHECK_U64(sc_encoding_pack(&f, NULL, x, 4096, bytes), 4096U / c->block * c->bytes);
        sc_decoder(f.codec, SC_CPU_C)(bytes, want, 4096U / c->block);
        for (unsigned level = 0; level < LEVELS && level <= (unsigned)sc_cpu_level(); level++) {
            memcpy(y, x, sizeof y);
            sc_rounder(&f, (enum sc_cpu)level)(&f, NULL, y, 4096, y);
            CHECK_BITS(y, want, sizeof y);
        }
    }
}

TEST(what_e2m1_cannot_hold_is_counted)
{
    const struct sc_encoding f = parsed("mxfp4_gguf"), g = parsed("nvfp4_gguf");
    float x[64] = {7.5F, -7.25F, 7, 6.5F, INFINITY}, y[64];
    x[4] = 1;
    CHECK_U64(sc_rounder(&f, SC_CPU_C)(&f, NULL, x, 64, y), 2);
    CHECK_NEAR((double)y[0], 6, 0);
    x[16] = 1e6F;
    CHECK_U64(sc_rounder(&g, SC_CPU_C)(&g, NULL, x, 64, y), 1);
}

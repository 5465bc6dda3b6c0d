/* SPDX-License-Identifier: Apache-2.0 */
/* test_encode: formats that values are put into, against worked examples and numbers of independent
 * code, against a search over all codes, and against the decoders of the codes they pack. */
#include "codec/encoding.h"
#include "encode_input.h"
#include "test.h"

/* -------------------------------------------------------------------- numbers of other code --- */
static double sqnr_of(const float *x, const float *y, size_t n)
{
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        signal += (double)x[i] * (double)x[i];
        noise += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
    }
    return 10 * log10(signal / noise);
}

/* FNV-1a-32 of what decoding gives of the 1024 common values, -0 as +0, and the SQNR in dB. */
static const struct {
    const char *format;
    uint32_t hash;
    double db;
} common[] = {
    {"fp16", 0xc63ca393, 0},
    {"bf16", 0xf09bb964, 56.918},
    {"bfp8", 0xf961b8b7, 41.623},
    {"bfp4", 0x8453a65b, 18.335},
    {"bfp2", 0xd5bdd338, 6.680},
    {"fp8_e4m3", 0x26972c2c, 32.529},
    {"e5m2", 0xce92527d, 26.600},
    {"fp8_e4m3fnuz", 0xa0d02f7f, 32.529},
    {"e5m2fnuz", 0xce92527d, 26.6},
    {"mxfp8_e4m3", 0x0b0583ae, 26.460},
    {"mxfp8_e5m2", 0x7b4a0300, 24.463},
    {"mxfp6_e3m2", 0x0c58ba7c, 24.463},
    {"mxfp6_e2m3", 0x6d016352, 30.136},
    {"mxfp4", 0x20c6583b, 16.470},
    {"mxfp8_e4m3:rceil", 0xd7a1f4de, 32.530},
    {"mxfp8_e5m2:rceil", 0xce92527d, 26.600},
    {"mxfp6_e3m2:rceil", 0x50f2191e, 26.595},
    {"mxfp6_e2m3:rceil", 0xc793c24e, 30.267},
    {"mxfp4:rceil", 0xdf4100cb, 17.475},
    {"mxint8", 0x0149545b, 40.943},
    {"nvfp4", 0xac78c3e5, 20.562},
};

TEST(common_values_have_the_hashes_of_other_code)
{
    static float x[1024], y[1024];
    fill_common(x);
    CHECK_U64(fnv(x, sizeof x), 0xc05def2b);
    for (size_t i = 0; i < SC_COUNT(common); i++) {
        const struct sc_encoding f = parsed(common[i].format);
        const struct sc_step step = step_of(&f, x, 1024);
        sc_rounder(&f, SC_CPU_C)(&f, &step, x, 1024, y);
        for (size_t k = 0; k < 1024; k++)
            if (!(y[k] < 0) && !(y[k] > 0))
                y[k] = 0;
        if (!test_u64(fnv(y, sizeof y), common[i].hash, common[i].format, __FILE__, __LINE__))
            continue;
        if (common[i].db > 0)
            CHECK_NEAR(sqnr_of(x, y, 1024), common[i].db, 1e-3 / common[i].db);
    }
}

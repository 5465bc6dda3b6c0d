/* SPDX-License-Identifier: Apache-2.0 */
/* decode: any bytes as blocks of every number format. All levels of the processor give the same
 * bits, doubles are the floats, nobody leaves the buffers (AddressSanitizer looks), and what was
 * turned around twice is as before. */
#include "fuzz.h"

/* Without NaNs, which may differ in their payload. */
static void check_doubles(sc_codec_id id, const uint8_t *src, size_t n, const float *floats,
                          size_t values)
{
    double *wide = fuzz_alloc(values * sizeof *wide);
    sc_decoder64(id)(src, wide, n);
    for (size_t i = 0; floats && i < values; i++)
        FUZZ_CHECK(floats[i] != floats[i] ? wide[i] != wide[i] : wide[i] == (double)floats[i]);
    free(wide);
}

static void check_decoders(sc_codec_id id, const uint8_t *src, size_t size)
{
    const struct sc_codec *c = sc_codec(id);
    const size_t n = size / c->bytes, values = n * c->block * sc_codec_values(id);
    float *first = NULL;
    sc_decode_fn *decode = sc_decoder(id, SC_CPU_C);
    FUZZ_CHECK(!decode || sc_decoder64(id));
    if (decode) {
        first = fuzz_alloc(values * sizeof *first);
        decode(src, first, n);
        for (int level = SC_CPU_C + 1; level <= (int)sc_cpu_level(); level++) {
            float *other = fuzz_alloc(values * sizeof *other);
            sc_decoder(id, (enum sc_cpu)level)(src, other, n);
            FUZZ_CHECK(values == 0 || memcmp(first, other, values * sizeof *other) == 0);
            free(other);
        }
    }
    if (sc_decoder64(id))
        check_doubles(id, src, n, first, values);
    free(first);
}

static void check_swap(sc_codec_id id, const uint8_t *src, size_t size)
{
    uint8_t *copy = fuzz_alloc(size);
    const size_t n = size / sc_codec(id)->bytes;
    if (size)
        memcpy(copy, src, size);
    const bool swapped = sc_codec_swap(id, copy, n);
    FUZZ_CHECK(sc_codec_swap(id, copy, n) == swapped);
    FUZZ_CHECK(size == 0 || memcmp(copy, src, size) == 0);
    free(copy);
}

/* The first byte chooses how far the source is from an even address. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t skip = size ? data[0] % 64 : 0;
    if (size <= skip)
        return 0;
    const size_t n = size - skip;
    uint8_t *bytes = fuzz_alloc(n + skip), *src = bytes + skip;
    memcpy(src, data + skip, n);
    for (size_t id = 1; id < sc_codec_count(); id++) {
        check_decoders((sc_codec_id)id, src, n);
        check_swap((sc_codec_id)id, src, n);
    }
    free(bytes);
    return 0;
}

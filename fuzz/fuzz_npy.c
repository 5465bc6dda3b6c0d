/* SPDX-License-Identifier: Apache-2.0 */
/* npy: the header of one array, a Python literal; as a file and on its own. */
#include "fuzz.h"

#include "format/npy.h"

static void check_header(const uint8_t *data, size_t size)
{
    struct sc_npy npy = {0};
    uint64_t need = 0, bytes, elements;

    if (!sc_npy_header_bytes(data, size, &need, &npy)) {
        FUZZ_CHECK(npy.problem && npy.problem[0]);
        return;
    }
    if (need > size)
        return;
    npy.problem = NULL;
    if (!sc_npy_parse(data, (size_t)need, &npy)) {
        FUZZ_CHECK(npy.problem && npy.problem[0] && npy.problem_at <= need);
        return;
    }
    FUZZ_CHECK(npy.rank <= SC_MAX_RANK);
    FUZZ_CHECK(memchr(npy.type, '\0', sizeof npy.type));
    fuzz_check_safe(sc_strz(npy.type), "");
    FUZZ_CHECK(sc_product(npy.shape, npy.rank, &elements));
    if (npy.sized) {
        FUZZ_CHECK(sc_mul(elements, npy.item_bytes, &bytes) && bytes == npy.bytes);
        FUZZ_CHECK(!npy.objects);
    }
    if (npy.codec != SC_OPAQUE) {
        FUZZ_CHECK(npy.sized && sc_codec_bytes(npy.codec, npy.shape, npy.rank, &bytes));
        FUZZ_CHECK(bytes == npy.bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_header(data, size);
    fuzz_bid(&sc_format_npy, data, size);
    fuzz_format(&sc_format_npy, data, size);
    return 0;
}

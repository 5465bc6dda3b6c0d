/* SPDX-License-Identifier: Apache-2.0 */
/* gguf: keys, values and tensor list of every version and byte order. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bid(&sc_format_gguf, data, size);
    fuzz_format(&sc_format_gguf, data, size);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors: the header parser, through its sliding JSON window. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bid(&sc_format_safetensors, data, size);
    fuzz_format(&sc_format_safetensors, data, size);
    return 0;
}

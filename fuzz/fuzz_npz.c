/* SPDX-License-Identifier: Apache-2.0 */
/* npz: arrays in a zip file, stored and deflated. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bid(&sc_format_npz, data, size);
    fuzz_format(&sc_format_npz, data, size);
    return 0;
}

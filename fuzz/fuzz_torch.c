/* SPDX-License-Identifier: Apache-2.0 */
/* torch: zip, stream and tar, with the pickle machine behind them. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bid(&sc_format_torch, data, size);
    fuzz_format(&sc_format_torch, data, size);
    return 0;
}

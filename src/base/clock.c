/* SPDX-License-Identifier: Apache-2.0 */
/* clock: time that passes. */
#include <time.h>

#include "base/base.h"

uint64_t sc_microseconds(void)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t sc_milliseconds(void)
{
    return sc_microseconds() / 1000;
}

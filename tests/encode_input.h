/* SPDX-License-Identifier: Apache-2.0 */
/* encode_input: what the tests of encoders share: the common input, hashes, formats by name. */
#ifndef SC_ENCODE_INPUT_H
#define SC_ENCODE_INPUT_H

#include "codec/encoding.h"
#include "test.h"

#include <math.h>
#include <string.h>

static inline uint32_t fnv(const void *p, size_t n)
{
    uint32_t hash = 0x811c9dc5;
    for (const uint8_t *b = p; n; n--, b++)
        hash = (hash ^ *b) * 0x01000193;
    return hash;
}

/* 1024 values over seven binades, the same ones in all programs. */
static inline void fill_common(float *x)
{
    uint32_t state = 1;
    for (int i = 0; i < 1024; i++) {
        state = state * 1664525 + 1013904223;
        x[i] = (float)((((double)(state >> 8)) / 16777216 - 0.5) * ldexp(1, i % 7 - 3));
    }
}

static inline struct sc_encoding parsed(const char *name)
{
    struct sc_encoding f;
    struct sc_error e = {0};
    if (sc_encoding_parse(sc_strz(name), &f, &e) < 0)
        test_str(e.text, name, "parse", __FILE__, __LINE__);
    return f;
}

/* The step over all finite ones of n values. */
static inline struct sc_step step_of(const struct sc_encoding *f, const float *x, size_t n)
{
    struct sc_extent of = {INFINITY, -INFINITY};
    struct sc_step step;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i])) {
            of.min = SC_MIN(of.min, x[i]);
            of.max = SC_MAX(of.max, x[i]);
        }
    sc_encoding_step(f, of, &step);
    return step;
}

#endif

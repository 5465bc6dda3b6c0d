/* SPDX-License-Identifier: Apache-2.0 */
/* cast: is what lies between two tensors the rounding of one of them?
 *
 *     B = T(A)         B holds A in its own type T: a conversion, a quantization
 *     A = T(B)         the other way round
 *     B = T(F(A))      the same by way of a format F that somebody asks about (--cast)
 *
 * Values are rounded as the encoders of codec/encoding.h do it, a chunk at a time, and compared
 * with what is there; what is not equal is counted. Types with a scale a row or a tensor are not
 * tried: nobody says how it was found.
 *
 * Owns: which roundings are tried, counting. Does not own: rounding. */
#ifndef SC_CAST_H
#define SC_CAST_H

#include "codec/encoding.h"
#include "stream/stream.h"

enum { SC_MAX_CASTS = 8, SC_MAX_TRIALS = 2 + 2 * SC_MAX_CASTS };

/* What --cast names. */
struct sc_casts {
    struct sc_encoding format[SC_MAX_CASTS];
    size_t n;
    bool off; /* nothing is tried */
};
/* "bf16,q4_0" or "none"; SCRUPLE_EUSAGE with a sentence. */
int sc_casts_parse(const char *text, struct sc_casts *out, struct sc_error *e);

struct sc_trial {
    const struct sc_encoding *by; /* NULL: `own` alone */
    struct sc_encoding own;       /* of the side that was made; scheme ZERO: as it is (F32) */
    bool of_b;                    /* A was made of B */
};
struct sc_trials {
    struct sc_trial t[SC_MAX_TRIALS];
    size_t n;
};
/* Of two tensors of `cols` values a row. */
void sc_trials_of(const struct sc_casts *c, const struct sc_tensor *a, const struct sc_tensor *b,
                  uint64_t cols, struct sc_trials *out);

struct sc_trial_sums {
    uint64_t unexplained;
    double squares; /* of what rounding changes, over finite values */
};
/* Adds those of n values, which are whole rows of `cols` or begin at a multiple of
 * SC_CHUNK_VALUES in one. work has room for n values. */
void sc_trial_run(const struct sc_trial *t, const float *a, const float *b, size_t n, float *work,
                  struct sc_trial_sums *sums);
/* "Q8_0", "BF16 by way of q4_0"; at most `room` bytes with the NUL. */
void sc_trial_name(const struct sc_trial *t, char *out, size_t room);
/* Whether the rounding is everybody's, or a fit of our own. */
bool sc_trial_exact(const struct sc_trial *t);

#endif

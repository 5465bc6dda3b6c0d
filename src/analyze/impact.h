/* SPDX-License-Identifier: Apache-2.0 */
/* impact: how much a variant of a model expects something else than the model.
 *
 * Owns: comparing the logits of variants with those of the model, position by position, on one
 * sequence of tokens.
 *
 * Does not own: which variants there are (super.h, routing.h), the pass (forward).
 */
#ifndef SC_IMPACT_H
#define SC_IMPACT_H

#include "forward/forward.h"

struct sc_impact {
    double kl;  /* mean over positions of sum p (ln p - ln q), in nats: q is the variant */
    double nll; /* mean of -ln q of the tokens of the text; NaN: there is one token only */
    double perplexity_ratio; /* exp(nll - nll of the model) */
    double agree;            /* share of positions whose likeliest token is the same */
    double change;    /* Frobenius norm of the difference of logits over that of the logits */
    double low, high; /* 95 % interval of the difference of nll: paired bootstrap over positions,
                         2000 draws */
};
struct sc_impacts;
/* Of `n` tokens (borrowed), the model and `variants` others. */
int sc_impacts_new(const uint32_t *tokens, size_t n, size_t vocab, size_t variants,
                   struct sc_impacts **out, struct sc_error *e);
/* Bytes that it takes for each token, nearly all: the model's log-probabilities. */
static inline uint64_t sc_impacts_bytes(size_t vocab)
{
    return vocab * sizeof(float);
}
/* A row of logits. Number 0 is the model, which comes first at every position. */
void sc_impacts_take(struct sc_impacts *x, size_t number, uint32_t position, const float *row);
/* Once all rows of a number and of the model were taken. */
int sc_impacts_finish(const struct sc_impacts *x, size_t number, struct sc_impact *out,
                      struct sc_error *e);
void sc_impacts_free(struct sc_impacts *x); /* NULL is allowed */

#endif

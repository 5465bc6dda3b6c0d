/* SPDX-License-Identifier: Apache-2.0 */
/* variants: logits of variants of a model, held against the model's own at the same positions.
 *
 * Owns: divergence, change, agreement, losses, and how sure their difference is.
 *
 * Does not own: the run (forward), what the variants are. */
#ifndef SC_VARIANTS_H
#define SC_VARIANTS_H

#include "forward/forward.h"

/* KL: mean over positions of the divergence of the model's next token from the variant's, in nats;
 * nll: mean of -log p of the tokens that come next; agree: share of positions whose likeliest token
 * is the same; change: Frobenius norm of the difference of logits over that of the logits. Where
 * the model's own logits are not finite, all but nll are NaN; where only the variant's are not, KL
 * is infinite. */
struct sc_effect {
    double kl, nll, perplexity_ratio, agree, change;
    double low, high; /* 95 % interval of the difference of nll from the model's: bootstrap over
                         positions, 2000 draws */
};
struct sc_rivals {
    size_t variants; /* the model included, as number 0 */
    size_t positions, scored, vocab;
    size_t first,
        window;         /* the logits of the model are kept of so many positions from `first` on */
    float *base;        /* (window x vocab) log p of the model */
    double *sums;       /* (window) log of the sum of the model's exponentials */
    double *losses;     /* (variants x positions): -log p of the next token */
    double *moved, *kl; /* (variants) */
    size_t *agreed;
};
#define SC_NO_TOKEN UINT32_MAX
/* SCRUPLE_ELIMIT: the logits of `window` positions do not fit `memory`. Clear it in any case. */
int sc_rivals_start(struct sc_rivals *x, size_t variants, size_t positions, size_t window,
                    size_t vocab, uint64_t memory, struct sc_error *e);
void sc_rivals_clear(struct sc_rivals *x);
/* Logits of a position, which is `first` or one of the window - 1 behind it: of the model before
 * those of its variants. next: the token that comes; positions without one come last. */
void sc_rivals_take(struct sc_rivals *x, size_t variant, size_t position, const float *row,
                    uint32_t next);
int sc_rivals_end(const struct sc_rivals *x, size_t variant, struct sc_effect *out,
                  struct sc_error *e);

#endif

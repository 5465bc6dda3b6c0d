/* SPDX-License-Identifier: Apache-2.0 */
/* perplexity: how well a model expects a text.
 *
 * Owns: the protocols, which differ in what a token may see before it; the figures.
 *
 * Does not own: the pass (forward), tokens (text).
 *
 *     nll of token t = log sum exp(logits at t - 1) - logits[t]      perplexity = exp(mean nll)
 */
#ifndef SC_PERPLEXITY_H
#define SC_PERPLEXITY_H

#include "analyze/variants.h"
#include "result/result.h"

#define SC_SCHEMA_EVAL "scruple.eval/1"

enum sc_ppl_protocol {
    SC_PPL_WINDOWS, /* windows of equal length, one behind the other; of each all tokens but the
                       first count; a shorter rest is left out, if it is not all. As in GPTQ's
                       evaluation */
    SC_PPL_LLAMA, /* windows of 512; the first token becomes BOS when the model has one; the second
                     half counts. As llama.cpp's perplexity */
    SC_PPL_ROLLING, /* windows that begin every `stride` tokens; every token counts once, in the
                       window in which it sees most. */
    SC_PPL_PROTOCOLS
};
extern const char *const sc_ppl_protocols[SC_PPL_PROTOCOLS + 1]; /* "windows", ..., NULL */
struct sc_ppl_options {
    struct sc_pool *pool;
    const _Atomic int *cancel;
    uint64_t memory;
    const uint32_t *tokens;
    size_t n;
    enum sc_ppl_protocol protocol;
    size_t window,
        stride;  /* 0: 2048 (llama: 512), half of the window; at most what the model has */
    size_t most; /* windows; 0: all */
    bool has_bos;
    uint32_t bos;
    /* Run beside the model, on the same windows; what becomes of them is in sc_ppl.effects. */
    const struct sc_variant *variants;
    size_t n_variants;
    void (*progress)(void *ctx, size_t done, size_t of, uint32_t layer, uint32_t layers);
    void *ctx;
};
struct sc_ppl_window {
    size_t from, n, scored; /* tokens */
    double nll;             /* their sum */
};
struct sc_ppl {
    enum sc_ppl_protocol protocol;
    size_t window, stride;
    struct sc_ppl_window *windows;
    size_t n_windows, scored;
    double nll;                /* mean */
    double error;              /* its standard error: deviation of all scored over the root of their
                                  number */
    size_t passes;             /* how often the model was read */
    struct sc_effect *effects; /* (n_effects) of the model, then of its variants; NULL: none */
    size_t n_effects;
};
/* Windows are run together as far as memory allows. Clear *out, also after a failure. */
int sc_ppl_measure(const struct sc_forward *f, const struct sc_ppl_options *o, struct sc_ppl *out,
                   struct sc_error *e);
void sc_ppl_clear(struct sc_ppl *p);
/* bytes, words: of the text; 0: not known. */
void sc_analyze_ppl(struct sc_document *d, struct sc_field *into, const struct sc_ppl *p,
                    uint64_t tokens, uint64_t bytes, uint64_t words);

#endif

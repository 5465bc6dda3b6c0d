/* SPDX-License-Identifier: Apache-2.0 */
/* eval_quantize: what a model says when its weights are quantised: variants for a run, which
 * quantise a matrix when it is read.
 *
 * Matrices of layers are quantised; embeddings, the output matrix, norms, biases and routers are
 * not. */
#ifndef SC_EVAL_QUANTIZE_H
#define SC_EVAL_QUANTIZE_H

#include "analyze/perplexity.h"
#include "analyze/recipe.h"

enum { SC_QUANTIZED_MOST = 32 }; /* formats at once */

struct sc_quantized { /* one of them */
    char name[64];
    bool is_recipe;
    struct sc_recipe recipe;
    struct sc_encoding format;
};
struct sc_quantizing;
/* A list of recipes and formats with commas. SCRUPLE_EUSAGE. */
int sc_quantized_parse(const char *text, struct sc_quantized *out, size_t *n, struct sc_error *e);
/* Everything is borrowed. `memory`: for quantised matrices, of which one a variant is kept where
 * that fits, else one in all. */
struct sc_quantizing_options {
    const struct sc_model *model;
    const struct sc_quantized *formats;
    size_t n;
    const struct sc_filter *filter; /* NULL: all */
    struct sc_held_list held;       /* of recipes */
    const struct sc_parallel *p;
    const _Atomic int *cancel;
    uint64_t memory;
};
int sc_quantizing_open(const struct sc_quantizing_options *o, struct sc_quantizing **out,
                       struct sc_error *e);
/* (n) in the order of the formats; with it. */
const struct sc_variant *sc_quantizing_variants(const struct sc_quantizing *q);
/* How many tensors are quantised. */
size_t sc_quantizing_tensors(const struct sc_quantizing *q);
void sc_quantizing_close(struct sc_quantizing *q); /* NULL is allowed */
/* "quantized": one a format. */
void sc_analyze_quantized(struct sc_document *d, struct sc_field *into,
                          const struct sc_quantized *formats, const struct sc_ppl *p);

#endif

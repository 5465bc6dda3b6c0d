/* SPDX-License-Identifier: Apache-2.0 */
/* plots_forward: the pictures of what flows through a model, of super weights, of perplexity.
 *
 * Owns: which pictures there are (tables of kinds, see pictures.h) and how they are drawn. What
 * they show is in the documents of activations, super and eval, too, under the same names.
 *
 * Does not own: the figures (analyze). Everything passed in is borrowed.
 */
#ifndef SC_PLOTS_FORWARD_H
#define SC_PLOTS_FORWARD_H

#include "analyze/activations.h"
#include "analyze/eval_quantize.h"
#include "analyze/perplexity.h"
#include "analyze/super.h"
#include "report/pictures.h"
#include "text/text.h"

/* The tokens that were read, for names beside marks. */
struct sc_picture_tokens {
    const uint32_t *ids;
    size_t n;
    const struct sc_tokenizer *tokenizer; /* NULL: tokens are shown as numbers */
};

struct sc_activation_pictures { /* the data of sc_activation_kinds */
    const struct sc_activations *a;
    struct sc_picture_tokens tokens;
};
extern const struct sc_picture_kind sc_activation_kinds[];
extern const size_t sc_n_activation_kinds;

struct sc_super_pictures { /* the data of sc_super_picture_kinds, of sc_largest_picture_kinds */
    const struct sc_super_list *list;
    const struct sc_super_effects *effects;   /* n 0: not verified */
    const struct sc_super_matrices *matrices; /* n 0: none */
    struct sc_picture_tokens tokens;
    bool by_size; /* the list was chosen by size: nothing is known of activations */
};
extern const struct sc_picture_kind sc_super_picture_kinds[];
extern const size_t sc_n_super_picture_kinds;
extern const struct sc_picture_kind sc_largest_picture_kinds[];
extern const size_t sc_n_largest_picture_kinds;

struct sc_ppl_pictures { /* the data of sc_ppl_picture_kinds */
    const struct sc_ppl *ppl;
    const struct sc_quantized *formats; /* (n_formats) of ppl->effects behind the first one */
    size_t n_formats;
};
extern const struct sc_picture_kind sc_ppl_picture_kinds[];
extern const size_t sc_n_ppl_picture_kinds;

#endif

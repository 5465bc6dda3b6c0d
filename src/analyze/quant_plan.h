/* SPDX-License-Identifier: Apache-2.0 */
/* quant_plan: what the words of options and the keys of the file share; private to them. */
#ifndef SC_QUANT_PLAN_H
#define SC_QUANT_PLAN_H

#include "analyze/quant.h"

enum { SC_QUANT_MOST_TRIALS = 1000000 };
extern const char *const sc_clustering_names[]; /* of enum sc_clustering; NULL at the end */

/* Position of a word in a list that ends with NULL, in any case; empty words are none. */
bool sc_quant_find_word(const char *const *words, struct sc_str text, size_t *at);
struct sc_str sc_quant_trimmed(struct sc_str s); /* of blanks and tabs */
/* Appends the formats that wq mixes, in its order. */
int sc_quant_add_wq_mix(struct sc_quant_formats *out, const char *what, struct sc_error *e);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* activations_parts: what the files of activations share. Private to analyze. */
#ifndef SC_ACTIVATIONS_PARTS_H
#define SC_ACTIVATIONS_PARTS_H

#include "analyze/activations.h"

/* unit and bins of values whose min, max, rms and median_abs are known. */
void sc_activation_fill_bins(struct sc_activation *a, const float *values, size_t n);
/* Norms of n / width rows in the order of positions, if the hook sees the stream. */
int sc_activation_find_norms(struct sc_activation *a, const float *values, size_t n, size_t width,
                             struct sc_error *e);

/* Maps that are wanted; add every head; finish divides. SCRUPLE_ELIMIT: a quarter of the memory is
 * not enough for them. */
int sc_attention_start(const struct sc_activations_options *o, struct sc_activations *out,
                       struct sc_error *e);
void sc_attention_add(struct sc_activations *out, const struct sc_hook_data *h);
void sc_attention_finish(struct sc_activations *out);

#endif

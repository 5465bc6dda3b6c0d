/* SPDX-License-Identifier: Apache-2.0 */
/* names: shared by names.c and names_canonical.c. Private to them. */
#ifndef SC_MODEL_NAMES_H
#define SC_MODEL_NAMES_H

#include "model/model.h"

/* Whether a name begins like those of GGUF towers: "v.blk.0...", "mm.2...", "enc.output_norm".
 * The words are too short to mean anything by themselves. */
bool sc_gguf_tower(struct sc_str first, struct sc_str next);

#endif

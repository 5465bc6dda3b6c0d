/* SPDX-License-Identifier: Apache-2.0 */
/* check: the parts of `scruple check` that have a file of their own. Private to check*.c.
 *
 * Each records findings in the catalog, which is lenient by then: only a lack of memory is an
 * error. `source` is the name of the configuration, safe to print; `partial` says that one shard
 * of several was opened, so that nothing can be called missing. */
#ifndef SC_MODEL_CHECK_H
#define SC_MODEL_CHECK_H

#include "model/model.h"

/* check_shapes.c: sizes that the configuration promises. */
int sc_check_shapes(struct sc_model *m, const char *source, bool partial, struct sc_error *e);
/* Whether the shape is that of the matrix: not of words or bytes that could not be unpacked. */
bool sc_shape_is_logical(const struct sc_tensor *t);
/* check_layers.c: layers against their neighbours. */
int sc_check_layers(struct sc_model *m, bool partial, struct sc_error *e);
/* check_gguf.c: the keys of a GGUF model against each other and its embedding. */
int sc_check_gguf(struct sc_model *m, bool partial, struct sc_error *e);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* super_known: coordinates of super weights that were published, to compare with what is found.
 *
 * Always of the down projection, [row, column] of [out, in] (y = W x): the channel of the stream
 * that the weight writes and the neuron that it reads, whichever way round the matrix is stored.
 * They are no finding: nothing here was measured by us.
 */
#ifndef SC_SUPER_KNOWN_H
#define SC_SUPER_KNOWN_H

#include "model/model.h"
#include "result/result.h"

/* How a model is recognised, the surest first. Only the surest that any fits is used: a model whose
 * name is known is not taken for another one of its sizes, too. */
enum sc_super_how {
    SC_SUPER_BY_NAME,   /* it is called so */
    SC_SUPER_BY_CONFIG, /* family, sizes, vocabulary and context agree */
    SC_SUPER_BY_SHAPE,  /* layers, hidden and intermediate size agree */
    SC_SUPER_HOWS
};
extern const char *const sc_super_hows[SC_SUPER_HOWS + 1]; /* "name", "config", "shape", NULL */

struct sc_super_known {
    const char *model;
    uint32_t layer, row, col;
    int32_t expert; /* -1: none */
    const char *source, *note;
    enum sc_super_how how;
    const char *impossible; /* why the model cannot have it; NULL: it can */
    uint32_t tensor;        /* where it would be: SC_NO_NODE when it cannot */
    uint64_t element;       /* of the tensor, in row-major order */
};
enum { SC_SUPER_KNOWN_MOST = 64 };
struct sc_super_knowns {
    struct sc_super_known p[SC_SUPER_KNOWN_MOST];
    size_t n;
};
/* Those of the models that this one may be. Reads no value. */
void sc_super_known_find(const struct sc_model *m, struct sc_super_knowns *out);
/* Of the one at this place; NULL: none was published. */
const struct sc_super_known *sc_super_known_at(const struct sc_super_knowns *k, uint32_t tensor,
                                               uint64_t element);
/* Adds what is known of entry i to its object. */
void sc_super_known_add(struct sc_document *d, struct sc_field *into,
                        const struct sc_super_known *k);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* spot: one weight in a picture, as it is written in a command and in the address of the viewer.
 *
 *     model.layers.1.mlp.down_proj.weight[3968,7003]          --at
 *     #t=model.layers.1.mlp.down_proj.weight&r=3968&c=7003&z=-4     docs/viewer-protocol.md
 *
 * Rows and columns are those of the tensor as stored: dimension 0, all others; of stacked experts
 * the expert comes first.
 */
#ifndef SC_SPOT_H
#define SC_SPOT_H

#include "picture/scene.h"

struct sc_spot {
    uint32_t tensor, slice;
    bool stacked, whole; /* whole: the tensor, no weight of it */
    uint64_t row, col;
    int zoom; /* at which a weight is 16 pixels wide, or the tensor is seen */
};
/* False: it is not in the picture. */
bool sc_spot_find(const struct sc_scene *s, uint32_t tensor, uint64_t element, struct sc_spot *out);
/* "NAME[r,c]", "NAME[expert,r,c]"; "NAME[i]" and "NAME[i,j,k,l]" of the tensor's own shape; "NAME".
 * SCRUPLE_EUSAGE with what is wrong. */
int sc_spot_parse(const struct sc_scene *s, struct sc_str text, struct sc_spot *out,
                  struct sc_error *e);
/* Append. A name that is no UTF-8 has no link: false. */
bool sc_spot_link(const struct sc_scene *s, const struct sc_spot *spot, struct sc_buf *out);
void sc_spot_words(const struct sc_scene *s, const struct sc_spot *spot, struct sc_buf *out);

#endif

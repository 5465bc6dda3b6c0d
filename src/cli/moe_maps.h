/* SPDX-License-Identifier: Apache-2.0 */
/* moe_maps: what is known of experts as maps for the viewer. */
#ifndef SC_MOE_MAPS_H
#define SC_MOE_MAPS_H

#include "analyze/experts.h"
#include "analyze/routing.h"
#include "analyze/similarity.h"
#include "cli/drawing.h"

/* What has been measured; NULL: not that. */
struct sc_moe_figures {
    const struct sc_model *model;
    const struct sc_experts *experts;
    const struct sc_routing *routing;
    const struct sc_similarity *similarity;
};
/* Shows all of it: in a browser, or as files when --out asks for them. An exit code. */
int sc_moe_view(struct sc_cli *c, const struct sc_moe_figures *f);

#endif

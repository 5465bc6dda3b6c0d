/* SPDX-License-Identifier: Apache-2.0 */
/* diff_maps: checkpoints in order as maps for the viewer. Private to cli. */
#ifndef SC_CLI_DIFF_MAPS_H
#define SC_CLI_DIFF_MAPS_H

#include "analyze/diff.h"
#include "cli/cli.h"

/* In a browser, or as files when --out asks for them. An exit code. */
int sc_view_evolution(struct sc_cli *c, const struct sc_evolution *v);

#endif

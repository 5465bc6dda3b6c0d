/* SPDX-License-Identifier: Apache-2.0 */
/* diff_maps: checkpoints in order as maps: what changed in each step, by layer and by kind. */
#ifndef SC_DIFF_MAPS_H
#define SC_DIFF_MAPS_H

#include "analyze/diff.h"
#include "cli/cli.h"

/* Writes what --out asks for. An exit code. */
int sc_write_steps(struct sc_cli *c, const struct sc_evolution *v);

#endif

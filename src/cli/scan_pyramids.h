/* SPDX-License-Identifier: Apache-2.0 */
/* scan_pyramids: the statistics that the viewer draws from, made by a scan on its way. */
#ifndef SC_SCAN_PYRAMIDS_H
#define SC_SCAN_PYRAMIDS_H

#include "analyze/scan.h"
#include "cli/cli.h"
#include "picture/tiles.h"

/* Of one model. Zero-initialise; it stays where it is while a scan runs. */
struct sc_scan_pyramids {
    struct sc_scene *scene;
    struct sc_pyramids *pyramids;
    struct sc_pyramid_setup setup;
    size_t before; /* tensors whose pyramids were there */
};
/* Fills so->beside, where so->cache can be written; says so where it cannot. 0 or an error; close
 * it in any case, after the scan. */
int sc_scan_pyramids_open(struct sc_scan_pyramids *x, struct sc_cli *c, const struct sc_model *m,
                          struct sc_scan_options *so, struct sc_error *e);
void sc_scan_pyramids_close(struct sc_scan_pyramids *x, const struct sc_cli *c);

#endif

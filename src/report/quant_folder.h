/* SPDX-License-Identifier: Apache-2.0 */
/* quant_folder: the folder of results of a run of `quant`, laid out as wq does.
 *
 *     DIR/<model>/<algorithm>/<YYYYmmdd-HHMMSS>/
 *         table.txt                      what the terminal shows
 *         compression_config.used.json   a configuration that asks for the same again
 *         results.csv                    every figure of every result
 *         mixed_tile_random/<tensor>.csv, <tensor>_assignment.npy, ..._mapping.json
 *         mixed_tile_<algorithm>/<tensor>/assignment.npy, assignment_mapping.json
 *
 * It grows under another name and appears whole; two runs in one second get folders of their own.
 */
#ifndef SC_QUANT_FOLDER_H
#define SC_QUANT_FOLDER_H

#include "analyze/quant.h"
#include "report/report.h"

struct sc_quant_folder {
    const char *dir;
    const struct sc_quant *q; /* with keep, when it mixes */
    struct sc_str table;      /* the text of table.txt */
    bool legacy;              /* wq's sizes in the tables */
    void (*note)(void *ctx, const char *sentence);
    void *ctx;
};
/* path: where it stands now; appended. */
int sc_quant_folder_write(const struct sc_quant_folder *f, struct sc_buf *path, struct sc_error *e);
/* Runs outside [A-Za-z0-9._-] as one '_', none at the ends; "tensor" when nothing is left. */
void sc_quant_slug(struct sc_str name, struct sc_buf *out);

#endif

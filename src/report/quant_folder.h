/* SPDX-License-Identifier: Apache-2.0 */
/* quant_folder: the folder of results of a run of `quant`, laid out as wq does.
 *
 *     DIR/<model>/<algorithm>/<YYYYmmdd-HHMMSS>/
 *         table.txt                      what the terminal shows
 *         compression_config.used.json   a configuration that asks for the same again
 *         results.csv                    every figure of every result
 *         mixed_tile_random/<tensor>.csv, .png, <tensor>_assignment.npy, ..._mapping.json
 *         mixed_tile_<algorithm>/<tensor>/assignment.npy, assignment_mapping.json,
 *             <tensor>_assignment.png, size_vs_accuracy.png
 *
 * It grows under another name and appears whole; two runs in one second get folders of their own.
 */
#ifndef SC_QUANT_FOLDER_H
#define SC_QUANT_FOLDER_H

#include "analyze/quant.h"
#include "report/plots_quality.h"

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

/* quant_page.c. The results of a tensor as marks of a picture: every format that fits, and the mix.
 * Clear it, also after a failure. */
struct sc_quant_points {
    struct sc_size_point *points;
    size_t n;
    char (*names)[80];
    struct sc_buf cells;
};
int sc_quant_points_make(const struct sc_quant *q, size_t i, struct sc_quant_points *out,
                         struct sc_error *e);
void sc_quant_points_clear(struct sc_quant_points *p);
/* The page with a threshold that moves, of the first tensors of a run that kept cells. */
int sc_quant_page_write(struct sc_out *o, const struct sc_quant *q, struct sc_error *e);

#endif

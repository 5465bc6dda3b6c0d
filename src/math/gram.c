/* SPDX-License-Identifier: Apache-2.0 */
/* gram: the Gram matrix of the smaller side, in double, from panels along the longer one.
 *
 * Products of two floats are exact in double and none of them overflows, so no scaling is needed.
 * Blocks of the lower triangle are tasks; each adds the panels in their order. */
#include <stdlib.h>
#include <string.h>

#include "math/svd.h"

struct gram {
    const struct sc_svd_job *job;
    const struct sc_panel *panel;
    double *g;
    uint64_t block;
    double beta; /* 0 for the first panel */
};

static void add_block(void *ctx, size_t task)
{
    const struct gram *g = ctx;
    const struct sc_lapack *la = g->job->la;
    const struct sc_panel *panel = g->panel;
    uint64_t bi = 0, bj = task; /* block row bi has bi + 1 blocks */
    while (bj > bi)
        bj -= ++bi;
    const uint64_t n = g->job->n, i = bi * g->block, j = bj * g->block;
    const int rows = (int)SC_MIN(g->block, n - i), cols = (int)SC_MIN(g->block, n - j);
    const int k = (int)panel->count, ld = (int)panel->depth, ldg = (int)n;
    const double one = 1, *a = panel->x + i * panel->depth, *b = panel->x + j * panel->depth;
    double *c = g->g + i + j * n;
    if (i == j)
        la->dsyrk("L", "T", &rows, &k, &one, a, &ld, &g->beta, c, &ldg, 1, 1);
    else
        la->dgemm("T", "N", &rows, &cols, &k, &one, a, &ld, b, &ld, &g->beta, c, &ldg, 1, 1);
}

int sc_gram(const struct sc_svd_job *job, double *g, double *norm2, struct sc_error *e)
{
    struct sc_panel panel;
    TRY(sc_panel_start(job, &panel, e));
    const uint64_t n = job->n;
    struct gram gram = {.job = job, .panel = &panel};
    gram.g = g;
    gram.block = n <= 512 ? 128 : n <= 2048 ? 256 : 512;
    const uint64_t blocks = (n + gram.block - 1) / gram.block;
    int status = 0;
    *norm2 = 0;
    for (uint64_t first = 0; first < job->length && status == 0; first += panel.depth) {
        status = sc_panel_read(job, &panel, first, e);
        if (status < 0)
            break;
        sc_svd_run(job, blocks * (blocks + 1) / 2, add_block, &gram);
        gram.beta = 1;
        *norm2 += panel.norm2;
    }
    sc_panel_clear(&panel);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_tree: what its files share. */
#ifndef SC_CMD_TREE_H
#define SC_CMD_TREE_H

#include "analyze/quant.h"
#include "cli/cli.h"

/* `tree -c`: what number formats cost the tensors of each model. All zero: nobody asked. */
struct sc_tree_pricing {
    struct sc_cli *c;
    bool on;
    int interrupted; /* the signal that ended a measurement early */
    int incomplete;  /* exit code: some tensors could not be read */
    struct sc_quant_plan plan;
    struct sc_pool *pool;
    struct sc_hub_env env;
};
/* 0, or an exit code after the error was printed; end it in both cases. */
int sc_tree_pricing_start(struct sc_tree_pricing *p, struct sc_cli *c);
void sc_tree_pricing_end(struct sc_tree_pricing *p);
/* Measures what the filter (NULL: all) lets through of a model that was opened with keep_repo.
 * Likewise. *out is NULL when nobody asked. A signal that comes while tensors are read ends the
 * reading and nothing else: *out has what there is until then. */
int sc_tree_price(struct sc_tree_pricing *p, const struct sc_model *m,
                  const struct sc_filter *filter, struct sc_quant **out);
/* The table below the tree: each format over all that was measured. */
int sc_tree_put_prices(struct sc_cli *c, const struct sc_quant *q, struct sc_error *e);

#endif

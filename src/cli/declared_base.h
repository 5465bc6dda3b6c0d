/* SPDX-License-Identifier: Apache-2.0 */
/* declared_base: the other side of a comparison when one MODEL is named: the base that its model
 * card, or its adapter_config.json, says it was made from. */
#ifndef SC_DECLARED_BASE_H
#define SC_DECLARED_BASE_H

#include "cli/cli.h"

struct sc_declared_base {
    struct sc_model *model; /* NULL: an adapter stands by itself. The caller's */
    const char *name;       /* as it is written there; borrowed from the model that says it */
    bool finetune;          /* the model is a fine-tune of it */
};
/* `m` was opened with facts. A base of a local model may lie beside it, under the last part of its
 * name. `is_adapter`: one without a base, or with --no-base, is no failure. `filters`: the other
 * words of the command line, any of which may have been meant as the other MODEL. 0, or an exit
 * code after the error was printed. */
int sc_declared_base_open(struct sc_cli *c, const struct sc_model *m, bool is_adapter,
                          const struct sc_words *filters, struct sc_declared_base *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_quant: what its files share. */
#ifndef SC_CMD_QUANT_H
#define SC_CMD_QUANT_H

#include "analyze/quant.h"
#include "cli/cli.h"

/* A run as text: on the terminal, or in a file. */
struct sc_quant_text {
    const struct sc_settings *set;
    const struct sc_quant *q;
    struct sc_out *o;
    const struct sc_term *term;
    bool seconds; /* what took how long */
};
void sc_quant_put_plan(const struct sc_quant_text *x);
/* The tree of what is measured, a table a tensor, what is said of all together. */
int sc_quant_put_text(const struct sc_quant_text *x, struct sc_error *e);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* diff_text: what a terminal shows of a diff. */
#ifndef SC_DIFF_TEXT_H
#define SC_DIFF_TEXT_H

#include "analyze/diff.h"
#include "cli/cli.h"

/* by: 1 << enum sc_diff_table of what --by asks for; 0: what everybody sees. */
int sc_put_diff(struct sc_cli *c, const struct sc_diff *d, unsigned by, struct sc_error *e);
int sc_put_evolution(struct sc_cli *c, const struct sc_evolution *v, struct sc_error *e);
/* Something differs for sure, whatever could not be read. */
bool sc_diff_differs(const struct sc_diff *d);
size_t sc_diff_top(const struct sc_cli *c); /* --top, within reason */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* super_parts: what the two ways of `super` share. Private to cli. */
#ifndef SC_CLI_SUPER_PARTS_H
#define SC_CLI_SUPER_PARTS_H

#include "analyze/super.h"
#include "cli/cli.h"

/* super_largest.c: `super --by magnitude`. An exit code. */
int sc_super_largest(struct sc_cli *c);
/* cmd_super.c: what happens without them, as words, from a document that has "effects". */
void sc_super_put_effects(struct sc_cli *c, const struct sc_document *d,
                          const struct sc_super_effects *x);
/* "Without the found weights, all together: inert." on top of a page; `text` if they were verified,
 * else NULL. */
const char *sc_super_verdict(const struct sc_super_effects *x, const char *which, char text[160]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* tokens_input: what a command that runs a model reads. Private to cli. */
#ifndef SC_CLI_TOKENS_INPUT_H
#define SC_CLI_TOKENS_INPUT_H

#include "cli/cli.h"

/* Numbers of tokens, to be freed. */
struct sc_tokens_input {
    uint32_t *ids;
    size_t n;
};
/* --ids. SCRUPLE_EUSAGE with a sentence when there are none. */
int sc_tokens_input_read(const struct sc_cli *c, struct sc_tokens_input *out, struct sc_error *e);
#define SC_TOKENS_OPTIONS                                                                          \
    {                                                                                              \
        "ids", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING,                                             \
            (uint16_t)offsetof(struct sc_settings, ids), "LIST", NULL,                             \
            "the tokens to read, as numbers with commas"                                           \
    }

#endif

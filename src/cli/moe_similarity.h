/* SPDX-License-Identifier: Apache-2.0 */
/* moe_similarity: the third of `moe` that compares experts. Private to cli. */
#ifndef SC_CLI_MOE_SIMILARITY_H
#define SC_CLI_MOE_SIMILARITY_H

#include <stddef.h>

#include "analyze/similarity.h"
#include "cli/cli.h"

extern const char *const sc_moe_definitions[]; /* "gram", "original", NULL */
/* Words of the command line that are wrong whatever the model is. SCRUPLE_EUSAGE. */
int sc_moe_similarity_check(const struct sc_cli *c, struct sc_error *e);
/* All of it; the exit code. */
int sc_moe_similarity(struct sc_cli *c, const struct sc_model *m, struct sc_pool *pool,
                      const struct sc_filter *filter);

#define SC_SIMILARITY_FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))
#define SC_SIMILARITY_OPTION(name, kind, field, arg, values, help)                                 \
    {                                                                                              \
        name, 0, SC_OPTION_##kind, SC_COMPLETE_NOTHING, SC_SIMILARITY_FIELD(field), arg, values,   \
            help                                                                                   \
    }
/* clang-format off */
#define SC_SIMILARITY_OPTIONS                                                                      \
    SC_SIMILARITY_OPTION("similarity", FLAG, similarity, NULL, NULL,                               \
        "compare every two experts of a layer instead"),                                           \
    SC_SIMILARITY_OPTION("definition", ENUM, definition, "WHICH", sc_moe_definitions,              \
        "what likeness is: of Gram matrices, which know no order of neurons (gram, the default), " \
        "or modelweightvis' (original)"),                                                          \
    SC_SIMILARITY_OPTION("sketch", TEXT, sketch, "N", NULL,                                        \
        "estimate it from N random directions (16 or more) and tell the error; never: always "     \
        "exactly; auto (the default): exactly up to 10^14 multiplications, then from 64"),         \
    SC_SIMILARITY_OPTION("rank", UINT, rank, "K", NULL,                                            \
        "directions of the original definition (default: 128)"),                                   \
    SC_SIMILARITY_OPTION("threshold", TEXT, threshold, "X", NULL,                                  \
        "corrected likeness, from 0 to 1, at which experts are called alike (default: 0.5)"),      \
    SC_SIMILARITY_OPTION("top", UINT, top, "N", NULL,                                              \
        "pairs and ranks that are shown (default: 10)"),                                           \
    SC_SIMILARITY_OPTION("no-match", FLAG, no_match, NULL, NULL,                                   \
        "leave out which neurons of experts that are alike are the same")
/* clang-format on */

#endif

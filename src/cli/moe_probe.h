/* SPDX-License-Identifier: Apache-2.0 */
/* moe_probe: the half of `moe` that runs the model. Private to cli. */
#ifndef SC_CLI_MOE_PROBE_H
#define SC_CLI_MOE_PROBE_H

#include "analyze/experts.h"
#include "analyze/routing.h"
#include "cli/tokens_input.h"

/* Zero-initialise. */
struct sc_moe_probe {
    struct sc_cli *c;
    struct sc_forward *forward;
    struct sc_tokens_input tokens;
    struct sc_routing routing;
    struct sc_routing_drops drops;
    bool ran;
    struct sc_error why; /* it did not, though it was wanted */
};
/* Does the command line ask for it? Every option of it does. */
bool sc_moe_probe_wanted(const struct sc_cli *c);
/* Words of the command line that are wrong whatever the model is. SCRUPLE_EUSAGE. */
int sc_moe_probe_check(const struct sc_cli *c, struct sc_error *e);
/* Reads the text and runs the model, if it is wanted. Close it in either case. */
int sc_moe_probe_run(struct sc_moe_probe *p, struct sc_cli *c, const struct sc_model *m,
                     struct sc_pool *pool, struct sc_error *e);
void sc_moe_probe_close(struct sc_moe_probe *p);
/* "routing" and what was read, or null and "routing_error"; nothing when it was not wanted. */
void sc_moe_probe_describe(const struct sc_moe_probe *p, struct sc_document *d,
                           struct sc_field *into);
/* Frequencies from 0 to 1 as --norm says, a row for each layer of `rows` (NULL: for each that was
 * probed; NaN where none was). False: there is nothing to show. */
bool sc_moe_probe_map(const struct sc_moe_probe *p, const struct sc_experts *rows, float *out);
/* The same in words, from the document's root. */
int sc_moe_probe_put(struct sc_moe_probe *p, const struct sc_field *root, struct sc_error *e);

#define SC_PROBE_OPTIONS                                                                           \
    {"probe",                                                                                      \
     0,                                                                                            \
     SC_OPTION_FLAG,                                                                               \
     0,                                                                                            \
     SC_TOKENS_FIELD(probe),                                                                       \
     NULL,                                                                                         \
     NULL,                                                                                         \
     "run the model over a text and tell which experts are chosen; the text is ours unless one "   \
     "is given"},                                                                                  \
        SC_TOKENS_OPTIONS,                                                                         \
        {"url",                                                                                    \
         0,                                                                                        \
         SC_OPTION_TEXT,                                                                           \
         SC_COMPLETE_NOTHING,                                                                      \
         SC_TOKENS_FIELD(text_url),                                                                \
         "URL",                                                                                    \
         NULL,                                                                                     \
         "let it read what is at URL, a file of up to 16 MiB"},                                    \
        {"window",                                                                                 \
         0,                                                                                        \
         SC_OPTION_UINT,                                                                           \
         SC_COMPLETE_NOTHING,                                                                      \
         SC_TOKENS_FIELD(window),                                                                  \
         "N",                                                                                      \
         NULL,                                                                                     \
         "tokens that see each other (default: 2048, or what the model was made for)"},            \
        {"limit", 0,    SC_OPTION_UINT,        SC_COMPLETE_NOTHING, SC_TOKENS_FIELD(max_windows),  \
         "N",     NULL, "stop after N windows"},                                                   \
        {"trace",                                                                                  \
         0,                                                                                        \
         SC_OPTION_FLAG,                                                                           \
         0,                                                                                        \
         SC_TOKENS_FIELD(trace),                                                                   \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "also list the experts and weights of every token in every layer"},                       \
        {"pairs",                                                                                  \
         0,                                                                                        \
         SC_OPTION_FLAG,                                                                           \
         0,                                                                                        \
         SC_TOKENS_FIELD(pairs),                                                                   \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "also list the pairs of experts that are chosen together; with --json, how often all "    \
         "are"},                                                                                   \
        {"trace-file",                                                                             \
         0,                                                                                        \
         SC_OPTION_TEXT,                                                                           \
         SC_COMPLETE_PATH,                                                                         \
         SC_TOKENS_FIELD(trace_file),                                                              \
         "FILE",                                                                                   \
         NULL,                                                                                     \
         "write them to FILE, a line of JSON for each token"},                                     \
        {"drop",                                                                                   \
         0,                                                                                        \
         SC_OPTION_TEXT,                                                                           \
         SC_COMPLETE_NOTHING,                                                                      \
         SC_TOKENS_FIELD(drop),                                                                    \
         "LIST",                                                                                   \
         NULL,                                                                                     \
         "run it also without experts and tell what changes: LAYER.EXPERT with commas, + between " \
         "those that go together, top (the busiest of each layer), super; each alone, then all"},  \
        {"reroute",                                                                                \
         0,                                                                                        \
         SC_OPTION_FLAG,                                                                           \
         0,                                                                                        \
         SC_TOKENS_FIELD(reroute),                                                                 \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "with --drop: the router takes the next expert, where else its part is left out"},        \
    {                                                                                              \
        "no-maps", 0, SC_OPTION_FLAG, 0, SC_TOKENS_FIELD(no_maps), NULL, NULL,                     \
            "leave out what weights say: only the probe, which reads less"                         \
    }

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* tokens_input: what a command that runs a model reads: tokens, or a text of which its tokenizer
 * makes them. Private to cli. */
#ifndef SC_CLI_TOKENS_INPUT_H
#define SC_CLI_TOKENS_INPUT_H

#include <stddef.h>

#include "cli/cli.h"
#include "forward/forward.h"
#include "text/text.h"

struct sc_tokens_input {
    uint32_t *ids;
    size_t n;
    struct sc_tokenizer *tokenizer; /* NULL: --ids, and the model has none that is understood */
    uint64_t bytes, words;          /* of the text; 0: --ids */
};
/* Words of the command line that are wrong whatever the model is. SCRUPLE_EUSAGE. */
int sc_tokens_input_check(const struct sc_cli *c, struct sc_error *e);
/* --ids, --text or --file. Clear it with sc_tokens_input_clear(), also after a failure. */
int sc_tokens_input_read(const struct sc_cli *c, const struct sc_model *m,
                         struct sc_tokens_input *out, struct sc_error *e);
/* The tokens of a text that came from elsewhere; likewise. */
int sc_tokens_input_of(const struct sc_cli *c, const struct sc_model *m, struct sc_str text,
                       struct sc_tokens_input *out, struct sc_error *e);
void sc_tokens_input_clear(struct sc_tokens_input *t);
/* "tokens": ids, and "pieces" as the vocabulary spells them (null: it is not known). */
void sc_tokens_input_describe(const struct sc_tokens_input *t, struct sc_document *d,
                              struct sc_field *into);

/* What every command that runs a model opens. */
struct sc_model_reader {
    struct sc_model *model;
    struct sc_pool *pool;
    struct sc_forward *forward;
    struct sc_tokens_input tokens;
};
/* From the command line to a model that can be run and the tokens that it reads: 0, or an exit code
 * after the error was printed. `check` looks at the command's own words before anything is opened.
 * Close it in either case. */
int sc_model_reader_open(struct sc_cli *c, int (*check)(void *ctx, struct sc_error *e), void *ctx,
                         struct sc_model_reader *out);
/* Its second half, of a model that was opened with keep_repo and facts: 0, or an exit code. */
int sc_model_reader_load(struct sc_cli *c, struct sc_model_reader *r);
void sc_model_reader_close(struct sc_model_reader *r);
/* A note when `n` tokens that see each other are more than the model was made for. */
void sc_model_reader_note(struct sc_cli *c, const struct sc_model_reader *r, size_t n);

/* A whole file ("-": standard input) as text; *copy is to be freed, and *source to be closed. */
int sc_text_input_open(const char *path, struct sc_source **source, char **copy, struct sc_str *out,
                       struct sc_error *e);

#define SC_TOKENS_FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))
#define SC_TOKENS_OPTIONS                                                                          \
    {"text", 0,    SC_OPTION_TEXT,           SC_COMPLETE_NOTHING, SC_TOKENS_FIELD(text),           \
     "TEXT", NULL, "let the model read TEXT"},                                                     \
        {"file",                                                                                   \
         0,                                                                                        \
         SC_OPTION_TEXT,                                                                           \
         SC_COMPLETE_PATH,                                                                         \
         SC_TOKENS_FIELD(text_file),                                                               \
         "FILE",                                                                                   \
         NULL,                                                                                     \
         "let it read FILE (-: standard input)"},                                                  \
        {"ids",                                                                                    \
         0,                                                                                        \
         SC_OPTION_TEXT,                                                                           \
         SC_COMPLETE_NOTHING,                                                                      \
         SC_TOKENS_FIELD(token_ids),                                                               \
         "LIST",                                                                                   \
         NULL,                                                                                     \
         "let it read these tokens, as numbers with commas"},                                      \
    {                                                                                              \
        "no-special", 0, SC_OPTION_FLAG, 0, SC_TOKENS_FIELD(no_special), NULL, NULL,               \
            "add no tokens for the begin and the end of a text"                                    \
    }

#endif

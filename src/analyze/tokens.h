/* SPDX-License-Identifier: Apache-2.0 */
/* tokens: the document of `tokenize`. */
#ifndef SC_ANALYZE_TOKENS_H
#define SC_ANALYZE_TOKENS_H

#include "result/result.h"
#include "text/text.h"

#define SC_SCHEMA_TOKENIZE "scruple.tokenize/1"

/* A text and its tokens, for the table; outlives the document. */
struct sc_token_list {
    const struct sc_tokenizer *t;
    struct sc_str text;
    const struct sc_tokens *tokens;
    char digits[24]; /* of the cell that was asked for last */
};
struct sc_table sc_token_table(struct sc_token_list *l);
/* "tokenizer", "summary" and "tokens". */
void sc_analyze_tokens(struct sc_document *d, struct sc_field *into, struct sc_token_list *l);
/* "tokenizer" and "text". */
void sc_analyze_decoded(struct sc_document *d, struct sc_field *into, const struct sc_tokenizer *t,
                        struct sc_str text);
/* Of these the special ones. */
size_t sc_special_tokens(const struct sc_token_list *l);

#endif

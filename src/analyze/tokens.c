/* SPDX-License-Identifier: Apache-2.0 */
/* tokens: the tokens of a text as a document. */
#include "analyze/tokens.h"

enum { POSITION, ID, PIECE, FROM, TO, TEXT, SPECIAL, COLUMNS };
static const struct sc_column columns[COLUMNS] = {
    [POSITION] = {"position", "", NULL, SC_COL_OFFSET, SC_COL_TERM_ONLY | SC_COL_RIGHT, 0},
    [ID] = {"id", "ID", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [PIECE] = {"piece", "PIECE", NULL, SC_COL_TEXT, 0, 0},
    [FROM] = {"from", "FROM", "bytes", SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [TO] = {"to", "TO", "bytes", SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [TEXT] = {"text", "TEXT", NULL, SC_COL_TEXT, SC_COL_SHRINK, 0},
    [SPECIAL] = {"special", NULL, NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
};

static void cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_token_list *l = ctx;
    const struct sc_token *k = &l->tokens->p[row];

    *out = (struct sc_cell){0};
    switch (column) {
    case POSITION:
        out->u = row;
        break;
    case ID:
        out->u = k->id;
        break;
    case PIECE:
        out->text = sc_tokenizer_piece(l->t, k->id);
        break;
    case FROM:
        out->u = k->from;
        break;
    case TO:
        out->u = k->to;
        break;
    case TEXT:
        out->text = sc_str(l->text.n ? l->text.p + k->from : "", k->to - k->from);
        break;
    default:
        out->text = sc_tokenizer_special(l->t, k->id) ? SC_STR("special") : sc_str("", 0);
        out->null = !out->text.n;
    }
}

struct sc_table sc_token_table(struct sc_token_list *l)
{
    return (struct sc_table){columns, COLUMNS, l->tokens->n, cell, l};
}

size_t sc_special_tokens(const struct sc_token_list *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->tokens->n; i++)
        n += sc_tokenizer_special(l->t, l->tokens->p[i].id);
    return n;
}

static void add_tokenizer(struct sc_document *d, struct sc_field *into,
                          const struct sc_tokenizer *t)
{
    struct sc_field *o = sc_add_object(d, into, "tokenizer");
    sc_add_textz(d, o, "kind", sc_tokenizer_kind(t));
    sc_add_textz(d, o, "source", sc_tokenizer_source(t));
    sc_add_uint(d, o, "vocabulary", sc_tokenizer_size(t), SC_COL_COUNT);
}

void sc_analyze_tokens(struct sc_document *d, struct sc_field *into, struct sc_token_list *l)
{
    const struct sc_table table = sc_token_table(l);
    add_tokenizer(d, into, l->t);
    struct sc_field *o = sc_add_object(d, into, "summary");
    sc_add_uint(d, o, "tokens", l->tokens->n, SC_COL_COUNT);
    sc_add_uint(d, o, "special", sc_special_tokens(l), SC_COL_COUNT);
    sc_add_uint(d, o, "bytes", l->text.n, SC_COL_BYTES);
    sc_add_bool(d, o, "valid_utf8", sc_utf8_valid(l->text));
    sc_add_table(d, into, "tokens", &table);
}

void sc_analyze_decoded(struct sc_document *d, struct sc_field *into, const struct sc_tokenizer *t,
                        struct sc_str text)
{
    add_tokenizer(d, into, t);
    sc_add_text(d, into, "text", text);
}

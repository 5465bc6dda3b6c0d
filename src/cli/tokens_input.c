/* SPDX-License-Identifier: Apache-2.0 */
/* tokens_input: from the command line to numbers of tokens. */
#include "cli/tokens_input.h"

#include <inttypes.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int sc_tokens_input_check(const struct sc_cli *c, struct sc_error *e)
{
    const int n = (c->set.text != NULL) + (c->set.text_file != NULL) + (c->set.token_ids != NULL);

    if (n == 1)
        return 0;
    return sc_fail(e, SCRUPLE_EUSAGE, "%s takes one of --text, --file and --ids", c->command->name);
}

static int read_ids(const char *p, struct sc_tokens_input *out, struct sc_error *e)
{
    size_t cap = 0;

    while (*p) {
        const size_t n = strcspn(p, ", \t\n");
        uint64_t id;
        struct sc_quoted q;
        if (n) {
            if (!sc_str_u64(sc_str(p, n), &id) || id > UINT32_MAX)
                return sc_fail(e, SCRUPLE_EUSAGE, "--ids holds %s, which is no token's number",
                               sc_quote(&q, sc_str(p, n)));
            TRY(sc_grow(&out->ids, &cap, out->n + 1, sizeof *out->ids, e));
            out->ids[out->n++] = (uint32_t)id;
        }
        p += n + (p[n] != '\0');
    }
    return out->n ? 0 : sc_fail(e, SCRUPLE_EUSAGE, "nothing to read: --ids gives no token");
}

int sc_text_input_open(const char *path, struct sc_source **source, char **copy, struct sc_str *out,
                       struct sc_error *e)
{
    const struct sc_file_options o = {.no_map = false};

    *copy = NULL;
    *source = NULL;
    TRY(path && strcmp(path, "-") != 0 ? sc_file_open(path, &o, source, e)
                                       : sc_stdin_open(source, e));
    if ((*source)->size > SC_MAX_TEXT)
        return sc_fail(e, SCRUPLE_ELIMIT, "%s has more than 1 GiB", (*source)->name);
    out->n = (size_t)(*source)->size;
    out->p = out->n ? (const char *)sc_source_map(*source, 0, out->n) : "";
    if (out->p)
        return 0;
    out->p = *copy = sc_alloc(out->n);
    return *copy ? sc_source_read(*source, 0, *copy, out->n, e) : sc_fail_memory(e);
}

static void count_words(struct sc_str text, struct sc_tokens_input *out)
{
    bool inside = false;

    out->bytes = text.n;
    for (size_t i = 0; i < text.n; i++) {
        const bool blank = isspace((unsigned char)text.p[i]) != 0;
        out->words += !blank && !inside;
        inside = !blank;
    }
}

static int encode(const struct sc_cli *c, struct sc_str text, struct sc_tokens_input *out,
                  struct sc_error *e)
{
    struct sc_encoder *en = NULL;
    struct sc_tokens tokens = {0};
    int code = sc_encoder_new(out->tokenizer, &en, e);

    if (code == 0)
        code = sc_encode(en, text, !c->set.no_special, &tokens, e);
    sc_encoder_free(en);
    if (code == 0 && !tokens.n)
        code = sc_fail(e, SCRUPLE_EUSAGE, "nothing to read: the text has no tokens");
    if (code == 0 && !(out->ids = sc_alloc(tokens.n * sizeof *out->ids)))
        code = sc_fail_memory(e);
    for (size_t i = 0; code == 0 && i < tokens.n; i++)
        out->ids[i] = tokens.p[i].id;
    out->n = code == 0 ? tokens.n : 0;
    sc_tokens_clear(&tokens);
    count_words(text, out);
    return code;
}

int sc_tokens_input_of(const struct sc_cli *c, const struct sc_model *m, struct sc_str text,
                       struct sc_tokens_input *out, struct sc_error *e)
{
    const struct sc_tokenizer_notes notes = {sc_say_note, (void *)(uintptr_t)c};

    *out = (struct sc_tokens_input){0};
    TRY(sc_tokenizer_of_model(m, &notes, &out->tokenizer, e));
    return encode(c, text, out, e);
}

int sc_tokens_input_read(const struct sc_cli *c, const struct sc_model *m,
                         struct sc_tokens_input *out, struct sc_error *e)
{
    struct sc_error why = {0};
    struct sc_source *source = NULL;
    char *copy = NULL;
    struct sc_str text = {0};

    *out = (struct sc_tokens_input){0};
    if (c->set.token_ids) {
        TRY(read_ids(c->set.token_ids, out, e));
        /* for their spelling only */
        const int code =
            sc_tokenizer_of_model(m, &(struct sc_tokenizer_notes){0}, &out->tokenizer, &why);
        return code == SCRUPLE_EMEMORY || code == SCRUPLE_EINTERRUPTED ? (*e = why, code) : 0;
    }
    if (c->set.text)
        return sc_tokens_input_of(c, m, sc_strz(c->set.text), out, e);
    int code = sc_text_input_open(c->set.text_file, &source, &copy, &text, e);
    if (code == 0)
        code = sc_tokens_input_of(c, m, text, out, e);
    free(copy);
    sc_source_close(source);
    return code;
}

void sc_tokens_input_clear(struct sc_tokens_input *t)
{
    sc_tokenizer_close(t->tokenizer);
    free(t->ids);
    *t = (struct sc_tokens_input){0};
}

void sc_tokens_input_describe(const struct sc_tokens_input *t, struct sc_document *d,
                              struct sc_field *into)
{
    struct sc_field *list = sc_add_list(d, into, "tokens");

    for (size_t i = 0; i < t->n; i++)
        sc_add_uint(d, list, NULL, t->ids[i], SC_COL_COUNT);
    if (!t->tokenizer) {
        sc_add_null(d, into, "pieces");
        return;
    }
    list = sc_add_list(d, into, "pieces");
    for (size_t i = 0; i < t->n; i++) {
        const struct sc_str piece = sc_tokenizer_piece(t->tokenizer, t->ids[i]);
        if (piece.p)
            sc_add_text(d, list, NULL, piece);
        else
            sc_add_null(d, list, NULL);
    }
}

/* ------------------------------------------------------------------------------- a reader --- */

int sc_model_reader_load(struct sc_cli *c, struct sc_model_reader *r)
{
    struct sc_error e = {0};

    if (sc_forward_open(r->model, &r->forward, &e) < 0 ||
        sc_tokens_input_read(c, r->model, &r->tokens, &e) < 0)
        return sc_fail_exit(c, &e);
    sc_forward_set_precision(r->forward, (enum sc_precision)c->set.precision);
    return 0;
}

int sc_model_reader_open(struct sc_cli *c, int (*check)(void *ctx, struct sc_error *e), void *ctx,
                         struct sc_model_reader *out)
{
    struct sc_open_options oo = sc_cli_open_options(c);
    struct sc_error e = {0};
    const char *const *paths = NULL;
    struct sc_words filters = {0};
    size_t n = 0;
    int status = 0;

    *out = (struct sc_model_reader){0};
    oo.keep_repo = true;
    oo.facts = true; /* which token begins a text */
    if (sc_cli_operands(c, &paths, &n, &filters, &e) < 0)
        status = sc_fail_exit(c, &e);
    else if (n != 1 || filters.n)
        status = sc_wrong_use(c, "%s takes one MODEL", c->command->name);
    else if (sc_tokens_input_check(c, &e) < 0 || check(ctx, &e) < 0)
        status = sc_usage_exit(c, &e);
    else if (sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &out->pool, &e) < 0)
        status = sc_fail_exit(c, &e);
    if (!status)
        status = sc_cli_open_with(c, paths[0], &oo, &out->model);
    if (!status)
        status = sc_model_reader_load(c, out);
    sc_words_clear(&filters);
    return status;
}

void sc_model_reader_note(struct sc_cli *c, const struct sc_model_reader *r, size_t n)
{
    const uint64_t context = sc_forward_facts(r->forward)->context;

    if (context && n > context)
        sc_say(c, "note", "the model reads %zu tokens at once, but was made for %" PRIu64, n,
               context);
}

void sc_model_reader_close(struct sc_model_reader *r)
{
    sc_tokens_input_clear(&r->tokens);
    sc_forward_close(r->forward);
    sc_model_close(r->model);
    sc_pool_free(r->pool);
}

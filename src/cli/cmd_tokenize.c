/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_tokenize: the tokens of a text, and the text of tokens.
 *
 * Owns: where the text comes from, the forms of output. Does not own: tokenizers (text), the
 * document (analyze).
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/tokens.h"
#include "cli/tokens_input.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const struct sc_option tokenize_options[] = {
    {"file", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(text_file), "FILE", NULL,
     "take the text from FILE (-: standard input, as without TEXT)"},
    {"ids", 0, SC_OPTION_FLAG, 0, FIELD(only_ids), NULL, NULL,
     "print the ids alone, with a blank between"},
    {"no-special", 0, SC_OPTION_FLAG, 0, FIELD(no_special), NULL, NULL,
     "add no tokens for the begin and the end of a text; with --decode leave special ones out"},
    {"decode", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(decode), "IDS", NULL,
     "print the text of these ids, with blanks or commas between"},
};

static const struct sc_example tokenize_examples[] = {
    {"scruple tokenize Qwen/Qwen3-0.6B \"Hello, world\"",
     "tokens of a text, without downloading the weights"},
    {"scruple tokenize model.gguf --file README.md --ids", "the ids alone"},
    {"scruple tokenize . --decode \"9707 11 1879\"", "back to text"},
    {NULL, NULL},
};

struct tokenizing {
    struct sc_cli *c;
    struct sc_repo *repo;
    struct sc_model *model; /* of a GGUF file; it owns the repository then */
    struct sc_tokenizer *t;
    struct sc_source *source;
    char *copy;
    struct sc_str text;
};

static bool is_tokenizer_file(const char *path)
{
    const struct sc_str s = sc_strz(path ? path : "");
    return sc_str_ends(s, ".json") && !sc_str_ends(s, ".index.json");
}

/* tokenizer.json where there is one and no GGUF file was named; else the keys of the GGUF. */
static int open_tokenizer(struct tokenizing *x, const char *path, struct sc_error *e)
{
    const struct sc_tokenizer_notes notes = {sc_say_note, x->c};
    struct sc_open_options o = sc_cli_open_options(x->c);
    TRY(sc_repo_open(path, o.hub, &x->repo, e));
    const char *selected = x->repo->selected;
    const bool named = selected && sc_str_ends(sc_strz(selected), ".gguf");
    if (!named &&
        (sc_repo_find(x->repo, "tokenizer.json") ||
         sc_repo_find(x->repo, "tokenizer/tokenizer.json") || is_tokenizer_file(selected)))
        return sc_tokenizer_open(x->repo, &notes, &x->t, e);
    struct sc_repo *repo = x->repo;
    x->repo = NULL;
    o.keep_repo = true;
    TRY(sc_model_open_repo(repo, &o, &x->model, e));
    return sc_tokenizer_of_model(x->model, &notes, &x->t, e);
}

static void begin_document(struct tokenizing *x, struct sc_document *d)
{
    const struct sc_repo *repo = x->repo;
    sc_document_start(d, SC_SCHEMA_TOKENIZE);
    struct sc_field *o = sc_add_object(d, &d->root, "model");
    sc_add_textz(d, o, "source", repo ? repo->label : x->model->label);
    sc_add_textz(d, o, "revision", repo ? repo->revision : x->model->revision);
    sc_add_textz(d, o, "commit", repo ? repo->commit : x->model->commit);
}

static void end_document(struct tokenizing *x, struct sc_document *d)
{
    if (d->failed)
        x->c->out.status = x->c->out.status ? x->c->out.status : SCRUPLE_EMEMORY;
    else
        sc_report_json(&x->c->out, d);
    sc_document_clear(d);
}

/* -------------------------------------------------------------------------------------- output ---
 */
static void put_ids(struct sc_cli *c, const struct sc_tokens *tokens)
{
    char digits[24];
    for (size_t i = 0; i < tokens->n; i++) {
        if (i)
            sc_out_putc(&c->out, ' ');
        sc_out_put(&c->out, digits, sc_format_u64(tokens->p[i].id, digits));
    }
    sc_out_putc(&c->out, '\n');
}

static void put_table(struct sc_cli *c, struct sc_token_list *l)
{
    struct sc_table table = sc_token_table(l);
    struct sc_buf b = {0};
    char count[32], bytes[64];
    const size_t special = sc_special_tokens(l);
    sc_report_table(&c->out, &table, &c->term);
    sc_format_count(l->tokens->n, count);
    sc_buf_printf(&b, "%s%s token%s", table.n_rows ? "\n" : "", count,
                  l->tokens->n == 1 ? "" : "s");
    if (special)
        sc_buf_printf(&b, " (%zu special)", special);
    sc_format_count(l->text.n, count);
    sc_buf_printf(&b, " of %s byte%s", count, l->text.n == 1 ? "" : "s");
    if (l->tokens->n > special) {
        sc_format_fixed((double)l->text.n / (double)(l->tokens->n - special), 2, bytes);
        sc_buf_printf(&b, ", %s bytes a token", bytes);
    }
    sc_buf_putc(&b, '\n');
    sc_put_text(c, &b);
    sc_buf_clear(&b);
}

static int encode(struct tokenizing *x, struct sc_error *e)
{
    struct sc_cli *c = x->c;
    struct sc_encoder *en = NULL;
    struct sc_tokens tokens = {0};
    struct sc_token_list l = {.t = x->t, .text = x->text, .tokens = &tokens};
    int code = sc_encoder_new(x->t, &en, e);
    if (code == 0)
        code = sc_encode(en, x->text, !c->set.no_special, &tokens, e);
    sc_encoder_free(en);
    if (code == 0 && !sc_utf8_valid(x->text))
        sc_say_note(c, "the text is not valid UTF-8; what is no character counts as U+FFFD");
    if (code == 0 && c->set.json) {
        struct sc_document d;
        begin_document(x, &d);
        sc_analyze_tokens(&d, &d.root, &l);
        end_document(x, &d);
    } else if (code == 0 && c->set.only_ids) {
        put_ids(c, &tokens);
    } else if (code == 0 && c->set.csv) {
        const struct sc_table table = sc_token_table(&l);
        sc_report_csv(&c->out, &table);
    } else if (code == 0) {
        put_table(c, &l);
    }
    sc_tokens_clear(&tokens);
    return code;
}

/* "1 2,3" */
static int read_ids(const char *text, uint32_t **ids, size_t *n, struct sc_error *e)
{
    static const char apart[] = " ,\t\n[]";
    size_t cap = 0;
    for (const char *p = text + strspn(text, apart); *p; p += strspn(p, apart)) {
        const size_t length = strcspn(p, apart);
        struct sc_quoted q;
        uint64_t id;
        if (!sc_str_u64(sc_str(p, length), &id) || id > UINT32_MAX)
            return sc_fail(e, SCRUPLE_EUSAGE, "--decode: \"%s\" is no id",
                           sc_quote(&q, sc_str(p, length)));
        TRY(sc_grow(ids, &cap, *n + 1, sizeof **ids, e));
        (*ids)[(*n)++] = (uint32_t)id;
        p += length;
    }
    return 0;
}

/* To a terminal made safe, line by line; to a file or a pipe as it is. */
static void put_decoded(struct sc_cli *c, struct sc_str text)
{
    const bool terminal = c->term.colour || c->term.width;
    for (size_t i = 0; terminal && i < text.n;) {
        const char *end = memchr(text.p + i, '\n', text.n - i);
        const size_t n = end ? (size_t)(end - text.p) - i : text.n - i;
        sc_out_safe(&c->out, &c->term, SC_COLOUR_NONE, sc_str(text.p + i, n));
        i += n;
        if (end) {
            sc_out_putc(&c->out, '\n');
            i++;
        }
    }
    if (!terminal)
        sc_out_put(&c->out, text.p, text.n);
    sc_out_putc(&c->out, '\n');
}

static int decode(struct tokenizing *x, struct sc_error *e)
{
    struct sc_cli *c = x->c;
    struct sc_buf b = {0};
    uint32_t *ids = NULL;
    size_t n = 0;
    int code = read_ids(c->set.decode, &ids, &n, e);
    if (code == 0)
        code = sc_decode(x->t, ids, n, !c->set.no_special, &b, e);
    const struct sc_str text = sc_str(b.p ? b.p : "", b.n);
    if (code == 0 && c->set.json) {
        struct sc_document d;
        begin_document(x, &d);
        sc_analyze_decoded(&d, &d.root, x->t, text);
        end_document(x, &d);
    } else if (code == 0) {
        put_decoded(c, text);
    }
    sc_buf_clear(&b);
    free(ids);
    return code;
}

static int run_words(struct tokenizing *x, struct sc_error *e)
{
    const struct sc_cli *c = x->c;
    const struct sc_words *words = &c->operands.words;
    TRY(open_tokenizer(x, words->p[0], e));
    if (c->set.decode)
        return decode(x, e);
    if (words->n > 1)
        x->text = sc_strz(words->p[1]);
    else
        TRY(sc_text_input_open(c->set.text_file, &x->source, &x->copy, &x->text, e));
    return encode(x, e);
}

static int run_tokenize(struct sc_cli *c)
{
    struct tokenizing x = {.c = c};
    struct sc_error e = {0};
    const size_t n = c->operands.words.n;

    if (n == 0)
        return sc_wrong_use(c, "tokenize: MODEL is missing");
    if ((n > 1) + (c->set.text_file != NULL) + (c->set.decode != NULL) > 1)
        return sc_wrong_use(c, "tokenize takes one of TEXT, --file and --decode");
    if (c->set.only_ids + c->set.json + c->set.csv > 1)
        return sc_wrong_use(c, "tokenize prints one of --ids, --json and --csv");
    const int code = run_words(&x, &e);
    const int status = code < 0 ? sc_fail_exit(c, &e) : SC_EXIT_OK;
    sc_tokenizer_close(x.t);
    if (x.model)
        sc_model_close(x.model);
    if (x.repo)
        sc_repo_close(x.repo);
    sc_source_close(x.source);
    free(x.copy);
    return status;
}

const struct sc_command sc_cmd_tokenize = {
    .name = "tokenize",
    .summary = "show the tokens of a text",
    .usage = "MODEL [TEXT]",
    .description =
        "Which tokens MODEL makes of a text, with their ids, how the vocabulary spells them, and "
        "which bytes of the "
        "text they stand for. Without TEXT and --file the text is read from standard input.\n\n"
        "The tokenizer is tokenizer.json (its file alone may be MODEL) or the vocabulary of a GGUF "
        "file. Ids are those "
        "of the Rust tokenizers of Hugging Face. A part of a tokenizer that is not known is "
        "refused, since without it "
        "the ids would be others. docs/tokenize.md tells what is known.\n\n"
        "Bytes of the text that are not valid UTF-8 count as U+FFFD.",
    .options = tokenize_options,
    .n_options = SC_COUNT(tokenize_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_HUB | SC_GROUP_CSV | SC_GROUP_OUTPUT | SC_GROUP_COMMON,
    .operands = 2,
    .complete = SC_COMPLETE_PATH,
    .examples = tokenize_examples,
    .run = run_tokenize,
};

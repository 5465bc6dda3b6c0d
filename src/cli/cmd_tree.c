/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_tree: the tensors of a model as a collapsed tree.
 *
 *     /models/tiny (local) - 1 file, 61 tensors, 336.5 KB, 184.2K parameters
 *     model
 *       embed_tokens          1000x64  BF16  128.0 KB       38.0 %
 *       layers (0-5)
 *         input_layernorm     64       BF16     128 B   x6   0.2 %
 *
 * Owns: which words are models and which are filters, the header, what is said when nothing
 * matched. Does not own: rows and columns (analyze), collapsing (model), measuring
 * (cmd_tree_quality.c).
 */
#include <stddef.h>
#include <stdlib.h>
#include <limits.h>
#include <string.h>

#include "cli/cmd_tree.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const char *const sort_words[] = {"name", "size", NULL};
static const struct sc_option tree_options[] = {
    {"model", 'm', SC_OPTION_LIST, SC_COMPLETE_PATH, FIELD(models), "MODEL", NULL,
     "name a model; all other words are filters then (may be repeated)"},
    {"flat", 0, SC_OPTION_FLAG, 0, FIELD(flat), NULL, NULL,
     "list every tensor with its full name, nothing collapsed"},
    {"depth", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(depth), "N", NULL,
     "show N levels; what is below them is summed up"},
    {"sort", 0, SC_OPTION_ENUM, 0, FIELD(sort), "KEY", sort_words,
     "order by name (natural order, the default) or by size (largest first)"},
    {"format", 'c', SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(formats), "FORMAT", NULL,
     "read the weights, and tell what FORMAT makes of them: a list with commas, or all: bfp8, "
     "bfp8.T, bfp4 and bfp4.T; may be repeated; scruple formats lists more"},
    {"compress", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(formats), "FORMAT", NULL,
     "the same, as we calls it"},
    {"sample", 0, SC_OPTION_SIZE, SC_COMPLETE_NOTHING, FIELD(sample), "N", NULL,
     "with --format: look at about N values of each tensor (1M), and tell how sure that is"},
    {"recompute", 0, SC_OPTION_FLAG, 0, FIELD(recompute), NULL, NULL,
     "with --format: measure everything anew"},
    {"no-cache", 0, SC_OPTION_FLAG, 0, FIELD(no_cache), NULL, NULL,
     "with --format: measure everything anew, and keep nothing for the next time"},
    {"no-totals", 0, SC_OPTION_FLAG, 0, FIELD(no_totals), NULL, NULL,
     "leave out the totals by element type at the end"},
    {"lenient", 0, SC_OPTION_FLAG, 0, FIELD(lenient), NULL, NULL,
     "list what is sound of a broken model, and say what is not"},
};

static const struct sc_example tree_examples[] = {
    {"scruple Qwen/Qwen3-0.6B", "the tree of a model on the Hub; only headers are fetched"},
    {"scruple Qwen3-0.6B", "of a model in a folder"},
    {"scruple model.gguf attn", "only tensors with \"attn\" in their names"},
    {"scruple model.safetensors 'layers.3-7' --flat", "layers 3 to 7, every tensor on a line"},
    {"scruple tree model --depth 2 --sort size", "the largest modules first"},
    {"scruple tree model -c bfp8,mxfp4,q4_k", "what three formats would make of it"},
    {"scruple tree model --json -o model.json", "everything, for a program"},
    {NULL, NULL},
};

/* A model that is open, with its rows. */
struct listing {
    struct sc_model *model;
    struct sc_outline outline;
    struct sc_quant *quality; /* NULL: not asked for */
};

/* ---------------------------------------------------------------------- models and filters --- */
/* How many of the words are models: the first always is one; those after it while they lie on the
 * disk or look like a path, and stand before "--". */
static size_t count_models(const struct sc_cli *c)
{
    size_t n = 0;

    if (c->set.models.n)
        return 0;
    while (n < c->operands.n_before_dashes && (n == 0 || strchr(c->operands.words.p[n], '/') ||
                                               sc_path_exists(c->operands.words.p[n])))
        n++;
    return n;
}

/* ----------------------------------------------------------------------------- near names --- */
#define NEAR_MAX  3
#define NEAR_LOOK 20000 /* names looked at: enough for any collapsed model, and quick */

struct near {
    struct sc_str name[NEAR_MAX];
    unsigned distance[NEAR_MAX];
    size_t n;
};

static void remember(struct near *near, struct sc_str name, unsigned distance)
{
    size_t at = near->n;

    for (size_t i = 0; i < near->n; i++)
        if (sc_str_eq_nocase(near->name[i], name))
            return;
    while (at > 0 && near->distance[at - 1] > distance)
        at--;
    if (at == NEAR_MAX)
        return;
    near->n = SC_MIN(near->n + 1, NEAR_MAX);
    for (size_t i = near->n - 1; i > at; i--) {
        near->name[i] = near->name[i - 1];
        near->distance[i] = near->distance[i - 1];
    }
    near->name[at] = name;
    near->distance[at] = distance;
}

/* "layers.1" where "model.layers.1" was meant: the name up to the end of the filter's text. */
static bool contains_path(struct sc_str name, struct sc_str path, struct sc_str *upto)
{
    for (size_t i = 0; i + path.n <= name.n; i++) {
        if (i && name.p[i - 1] == '.' && (i + path.n == name.n || name.p[i + path.n] == '.') &&
            sc_str_eq_nocase(sc_str(name.p + i, path.n), path)) {
            *upto = sc_str(name.p, i + path.n);
            return true;
        }
    }
    return false;
}

static size_t count_dots(struct sc_str s)
{
    size_t dots = 0;

    for (size_t i = 0; i < s.n; i++)
        dots += s.p[i] == '.';
    return dots;
}

/* The first segments of a name, as many as the filter has. */
static struct sc_str same_depth(struct sc_str name, size_t dots)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == '.' && !dots--)
            return sc_str(name.p, i);
    return name;
}

/* Takes what stands before the next separator off s. */
static struct sc_str take_piece(struct sc_str *s, char separator)
{
    const char *at = s->n ? memchr(s->p, separator, s->n) : NULL;
    struct sc_str piece = sc_str(s->p, at ? (size_t)(at - s->p) : s->n);
    size_t skip = SC_MIN(piece.n + 1, s->n);

    *s = sc_str(s->p + skip, s->n - skip);
    return piece;
}

/* A segment as a whole, and its words: "attn" of "self_attn". */
static void look_at_segment(struct near *near, struct sc_str segment, struct sc_str word,
                            unsigned limit)
{
    unsigned d = sc_edit_distance(segment, word, limit);

    if (d <= limit)
        remember(near, segment, d);
    while (segment.n) {
        struct sc_str piece = take_piece(&segment, '_');
        if (piece.n > 2 && (d = sc_edit_distance(piece, word, limit)) <= limit)
            remember(near, piece, d);
    }
}

static void look_near(struct near *near, const struct sc_model *m, struct sc_str word)
{
    size_t dots = count_dots(word), n = SC_MIN(m->n_tensors, NEAR_LOOK);
    unsigned limit = word.n < 6 ? 1 : 2;
    struct sc_str name, piece;

    for (size_t i = 0; i < n; i++) {
        name = sc_str(m->tensors[i].name, m->tensors[i].name_len);
        if (dots && contains_path(name, word, &piece)) {
            remember(near, piece, 0);
            continue;
        }
        if (dots) {
            piece = same_depth(name, dots);
            unsigned d = sc_edit_distance(piece, word, limit);
            if (d <= limit)
                remember(near, piece, d);
            continue;
        }
        while (name.n)
            look_at_segment(near, take_piece(&name, '.'), word, limit);
    }
}

/* Where MODELs follow each other, a word may have been meant as one that is not there. */
static bool may_be_a_name(const struct sc_cli *c, const char *word)
{
    const bool several = c->command == &sc_cmd_diff || c->command == &sc_cmd_view;

    return several && !strpbrk(word, "*?[") && strncmp(word, "re:", 3) != 0;
}

void sc_say_no_match(const struct sc_cli *c, const struct sc_model *m, const char *const *words,
                     size_t n)
{
    struct near near = {.n = 0};
    struct sc_buf text = {0};

    sc_buf_puts(&text, "no tensor matches");
    for (size_t i = 0; i < n; i++) {
        sc_buf_puts(&text, !i ? " \"" : i + 1 < n ? ", \"" : " or \"");
        sc_put_safe(&text, sc_strz(words[i]), 60);
        sc_buf_putc(&text, '"');
        look_near(&near, m, sc_strz(words[i]));
    }
    for (size_t i = 0; i < near.n; i++) {
        sc_buf_puts(&text, i ? " or \"" : " (did you mean \"");
        sc_put_safe(&text, near.name[i], 60);
        sc_buf_puts(&text, i + 1 < near.n ? "\"" : "\"?)");
    }
    if (!near.n && n == 1 && may_be_a_name(c, words[0]))
        sc_buf_puts(&text, ", nor is there a file or folder of that name here");
    sc_say(c, "", "%s", text.failed ? "no tensor matches" : text.p);
    sc_buf_clear(&text);
}

/* -------------------------------------------------------------------------------- printing --- */
static void put_count(struct sc_out *o, const struct sc_term *t, uint64_t n, const char *what)
{
    sc_out_u64(o, n);
    sc_out_putc(o, ' ');
    sc_out_colour(o, t, SC_COLOUR_UNIT, what);
    if (n != 1)
        sc_out_colour(o, t, SC_COLOUR_UNIT, "s");
}

static void put_parameters(struct sc_out *o, const struct sc_term *t, uint64_t n)
{
    char text[32];

    sc_format_parameters(n, text);
    sc_out_puts(o, text);
    sc_out_putc(o, ' ');
    sc_out_colour(o, t, SC_COLOUR_UNIT, n == 1 ? "parameter" : "parameters");
}

void sc_cli_header(struct sc_cli *c, const struct sc_model *m)
{
    struct sc_out *o = &c->out;
    const struct sc_term *t = &c->term;
    struct sc_buf where = {0};

    sc_out_safe(o, t, SC_COLOUR_REPO, sc_strz(m->label));
    sc_buf_puts(&where, " (");
    sc_put_safe(&where, sc_strz(m->revision ? m->revision : m->origin), 60);
    sc_buf_puts(&where, ") - ");
    sc_out_colour(o, t, SC_COLOUR_UNIT, where.failed ? " - " : where.p);
    sc_buf_clear(&where);
    put_count(o, t, m->catalog->n_files, "file");
    sc_out_colour(o, t, SC_COLOUR_UNIT, ", ");
    put_count(o, t, m->catalog->n_entries, "tensor");
    sc_out_colour(o, t, SC_COLOUR_UNIT, ", ");
    sc_out_bytes(o, t, SC_COLOUR_PERCENT, m->bytes);
    sc_out_colour(o, t, SC_COLOUR_UNIT, ", ");
    put_parameters(o, t, m->parameters);
    sc_out_putc(o, '\n');
}

/* "matched 12 of 61 tensors, 128.0 KB (38.0 %), 1.2M parameters" */
static void put_matched(struct sc_cli *c, const struct listing *l)
{
    struct sc_out *o = &c->out;
    const struct sc_term *t = &c->term;
    char percent[32];

    sc_out_putc(o, '\n');
    sc_out_colour(o, t, SC_COLOUR_UNIT, "matched ");
    sc_out_u64(o, l->outline.n_matched);
    sc_out_colour(o, t, SC_COLOUR_UNIT, " of ");
    put_count(o, t, l->model->n_tensors, "tensor");
    sc_out_colour(o, t, SC_COLOUR_UNIT, ", ");
    sc_out_bytes(o, t, SC_COLOUR_SIZE, l->outline.matched_bytes);
    sc_out_colour(o, t, SC_COLOUR_UNIT, " (");
    sc_format_percent(sc_percent((double)l->outline.matched_bytes, l->model->bytes), percent);
    sc_out_colour(o, t, SC_COLOUR_PERCENT, percent);
    sc_out_colour(o, t, SC_COLOUR_UNIT, " %), ");
    put_parameters(o, t, l->outline.matched_parameters);
    sc_out_putc(o, '\n');
}

static int put_text(struct sc_cli *c, const struct listing *l, const struct sc_field *result,
                    bool filtered, struct sc_error *e)
{
    const struct sc_table *dtypes = sc_find_table(result, "dtypes");
    const struct sc_table *rows = sc_find_table(result, "rows");

    sc_cli_header(c, l->model);
    if (rows)
        sc_report_table(&c->out, rows, &c->term);
    if (filtered) {
        if (l->outline.n_matched)
            put_matched(c, l);
    } else if (dtypes && dtypes->n_rows > 1 && !c->set.no_totals) {
        sc_out_putc(&c->out, '\n');
        sc_report_table(&c->out, dtypes, &c->term);
    }
    return c->set.no_totals ? 0 : sc_tree_put_prices(c, l->quality, e);
}

/* --------------------------------------------------------------------------------- running --- */
/* What all models of a call are listed with. */
struct listing_options {
    struct sc_cli *c;
    struct sc_outline_options outline;
    const struct sc_words *filters;
    struct sc_tree_pricing pricing;
    size_t matched;
};

static int open_listing(struct listing_options *x, const char *path, struct listing *l)
{
    struct sc_cli *c = x->c;
    struct sc_error e = {0};
    struct sc_open_options o = sc_cli_open_options(c);
    const bool read = x->pricing.on;
    o.names_only = !c->set.json && !c->set.csv && !read; /* the text shows no roles */
    o.keep_repo = read;
    int status = sc_cli_open_with(c, path, &o, &l->model);

    if (!status && sc_outline_make(l->model, &x->outline, &l->outline, &e) < 0)
        status = sc_fail_exit(c, &e);
    if (!status)
        x->matched += l->outline.n_matched;
    if (!status && l->outline.n_matched)
        status = sc_tree_price(&x->pricing, l->model, x->outline.filter, &l->quality);
    return status;
}

static int describe(const struct listing_options *x, const struct listing *l, struct sc_document *d,
                    struct sc_field *into)
{
    const struct sc_tree_look look = {l->quality, x->c->term.ascii, x->c->set.csv};
    struct sc_error e = {0};

    return sc_analyze_tree_quality(d, into, l->model, &l->outline, &x->outline, &look, &e) < 0
               ? sc_fail_exit(x->c, &e)
               : 0;
}

static void close_listing(struct listing *l)
{
    sc_quant_free(l->quality);
    sc_outline_clear(&l->outline);
    sc_model_close(l->model);
}

/* One model after the other: only one is in memory. */
static int run_each(struct listing_options *x, const char *const *paths, size_t n)
{
    struct sc_cli *c = x->c;
    const bool filtered = x->outline.filter;
    int status = 0;

    for (size_t i = 0; i < n && !status && !c->out.status && !x->pricing.interrupted; i++) {
        struct listing l = {0};
        struct sc_document d;
        struct sc_error e = {0};
        sc_document_start(&d, SC_SCHEMA_TREE);
        status = open_listing(x, paths[i], &l);
        if (!status)
            status = describe(x, &l, &d, &d.root);
        if (!status && c->set.csv) {
            sc_report_csv(&c->out, sc_find_table(&d.root, "tensors"));
        } else if (!status) {
            if (i)
                sc_out_putc(&c->out, '\n');
            if (put_text(c, &l, &d.root, filtered, &e) < 0)
                status = sc_fail_exit(c, &e);
        }
        if (!status && l.model->catalog->n_errors && !l.model->bytes)
            status = SC_EXIT_INPUT; /* --lenient, and nothing of it is sound */
        if (!status && filtered && !l.outline.n_matched)
            sc_say_no_match(c, l.model, x->filters->p, x->filters->n);
        sc_document_clear(&d);
        close_listing(&l);
    }
    return status;
}

/* One document for all of them. */
static int run_json(struct listing_options *x, const char *const *paths, size_t n)
{
    struct sc_cli *c = x->c;
    struct listing *all = sc_calloc(n, sizeof *all);
    struct sc_error e = {0};
    struct sc_document d;
    int status = 0;

    if (!all) {
        sc_fail_memory(&e);
        return sc_fail_exit(c, &e);
    }
    sc_document_start(&d, SC_SCHEMA_TREE);
    struct sc_field *list = n > 1 ? sc_add_list(&d, &d.root, "models") : NULL;
    for (size_t i = 0; i < n && !status && !x->pricing.interrupted; i++) {
        struct sc_field *into = list ? sc_add_object(&d, list, NULL) : &d.root;
        status = open_listing(x, paths[i], &all[i]);
        if (!status)
            status = describe(x, &all[i], &d, into);
        if (!status && x->outline.filter && !all[i].outline.n_matched)
            sc_say_no_match(c, all[i].model, x->filters->p, x->filters->n);
    }
    if (!status)
        sc_report_json(&c->out, &d);
    sc_document_clear(&d);
    for (size_t i = 0; i < n; i++)
        close_listing(&all[i]);
    free(all);
    return status;
}

static int run_filtered(struct sc_cli *c, const char *const *paths, size_t n,
                        const struct sc_words *filters)
{
    struct sc_filter *filter = NULL;
    struct sc_error e = {0};

    if (filters->n && sc_filter_new(filters->p, filters->n, &filter, &e) < 0)
        return sc_usage_exit(c, &e);
    struct listing_options *x = sc_calloc(1, sizeof *x);
    if (!x) {
        sc_filter_free(filter);
        sc_fail_memory(&e);
        return sc_fail_exit(c, &e);
    }
    x->c = c;
    x->filters = filters;
    x->outline = (struct sc_outline_options){
        .filter = filter,
        .depth = (uint32_t)SC_MIN(c->set.depth, UINT32_MAX),
        .sort = (enum sc_sort)c->set.sort,
        .flat = c->set.flat,
        .members = c->set.formats.n > 0,
    };
    int status = sc_tree_pricing_start(&x->pricing, c);
    if (!status)
        status = c->set.json ? run_json(x, paths, n) : run_each(x, paths, n);
    if (!status && x->pricing.interrupted)
        status = 128 + x->pricing.interrupted;
    if (!status)
        status = x->pricing.incomplete;
    if (!status && filter && !x->matched)
        status = SC_EXIT_FINDINGS;
    sc_tree_pricing_end(&x->pricing);
    sc_filter_free(filter);
    free(x);
    return status;
}

int sc_cli_operands(const struct sc_cli *c, const char *const **paths, size_t *n,
                    struct sc_words *filters, struct sc_error *e)
{
    size_t models = count_models(c);

    for (size_t i = models; i < c->operands.words.n; i++)
        TRY(sc_words_add(filters, c->operands.words.p[i], e));
    *paths = models ? c->operands.words.p : c->set.models.p;
    *n = models ? models : c->set.models.n;
    return 0;
}

static int run_tree(struct sc_cli *c)
{
    const char *const *paths = NULL;
    struct sc_words filters = {0};
    struct sc_error e = {0};
    size_t n = 0;
    int status = sc_cli_operands(c, &paths, &n, &filters, &e);

    c->several = n > 1;
    if (status < 0)
        status = sc_fail_exit(c, &e);
    else if (!n)
        status = sc_wrong_use(c, "tree: MODEL is missing");
    else if (c->set.csv && n > 1)
        status = sc_wrong_use(c, "--csv lists one model, but %zu are given", n);
    else
        status = run_filtered(c, paths, n, &filters);
    sc_words_clear(&filters);
    return status;
}

const struct sc_command sc_cmd_tree = {
    .name = "tree",
    .alias = "ls",
    .summary = "print the tensors of a model as a collapsed tree",
    .usage = "MODEL... [FILTER...]",
    .description =
        "Equal neighbours are shown once: layers 3 to 60 of the same structure are one row, "
        "\"(3-60)\". Sizes are those of one member, percentages those of all. A weight that is "
        "stored in parts, such as FP8 codes with their scales or the tensors of a GPTQ layer, is "
        "one row with its logical shape and all of its bytes; where that is so, a column tells "
        "the bits per weight (bpw). The rows add up to the model.\n\n"
        "The first word is a model, and so are those that follow while they are paths that exist "
        "or contain a slash; the rest are filters. -- ends the models. A tensor is shown when "
        "any filter matches, whatever the case of letters:\n\n"
        "  attn              no dot: found anywhere in the name\n"
        "  model.layers.3    a module from the root, and all below it\n"
        "  *.mlp.*           a glob (* ? [a-c]) over the name or its beginning\n"
        "  layers.3-7        numbers in a range, wherever the layers stand\n"
        "  re:k_proj|v_proj  an extended regular expression\n\n"
        "When nothing matches the exit code is 1.\n\n"
        "With --format the weights are read, each once, and a row tells the range of its values "
        "(least, mean, largest) and what each format makes of them: the correlation with the "
        "weight (pcc), the largest error (atol), bits a weight and size, packed. A row that stands "
        "for many tells the worst of them. \"-\" stands where a format does not fit or a tensor "
        "cannot be decoded; --json says why. Weights are measured as they are meant, with their "
        "scales applied; scales are no rows and are not rounded. Over the Hub only what matches "
        "is fetched, with --sample only some of that. An interruption ends the reading, and prints "
        "what is known. What was measured is kept for the next time, here and in quant; --json has "
        "more figures than a table and takes twice as long. How to read the numbers: "
        "docs/quant.md.",
    .options = tree_options,
    .n_options = SC_COUNT(tree_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_CSV | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = tree_examples,
    .run = run_tree,
};

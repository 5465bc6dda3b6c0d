/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_super: on which single weights does the model depend?
 *
 *     LAYER   ROW  COLUMN   WEIGHT    INPUT   OUTPUT  SHARE  x MEDIAN  AT  ROUND
 *         2  3968    7003  -1.9000  -560.50  1313.00  0.812      4377   0      0 */
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/largest.h"
#include "analyze/super.h"
#include "cli/pictures_output.h"
#include "cli/spots.h"
#include "cli/super_parts.h"
#include "cli/tokens_input.h"
#include "report/plots_forward.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

enum by { BY_ACTIVATION, BY_MAGNITUDE };
static const char *const by_words[] = {"activation", "magnitude", NULL};

static const struct sc_option super_options[] = {
    {"by", 0, SC_OPTION_ENUM, 0, FIELD(super_by), "HOW", by_words,
     "find weights by what they do on a text (activation, the default), or by their size alone "
     "(magnitude), which needs no text and reads any model"},
    SC_TOKENS_OPTIONS,
    {"verify", 0, SC_OPTION_FLAG, 0, FIELD(verify), NULL, NULL,
     "run the model without each of them, without all, scaled, and beside weights of the same "
     "size; "
     "all in one reading"},
    {"ratio", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(ratio), "X", NULL,
     "what is a spike: X times the median size of the layer's outputs (default: 30)"},
    {"share", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(share), "X", NULL,
     "how much of a spike one weight must make, 0 to 1 (default: 0.5)"},
    {"rounds", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(rounds), "N", NULL,
     "zero what was found and look again, at most N times (default: 8)"},
    {"top", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(super_top), "N", NULL,
     "of --by magnitude: the N largest of each ranking (default: 20)"},
    {"percent", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(percent), "X", NULL,
     "of --by magnitude: the largest X percent of each ranking, at least one weight"},
    {"above", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(above), "X", NULL,
     "of --by magnitude: all weights whose size is above X"},
    {"per", 0, SC_OPTION_ENUM, 0, FIELD(per), "WHAT", sc_large_pers,
     "what one ranking is of: the model (the default), a layer, a tensor, or a matrix (experts of "
     "a stack one by one)"},
    {"kind", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(kinds), "LIST", NULL,
     "of --by magnitude: kinds of tensors with commas, such as down_proj,o_proj, also inside of "
     "fused ones; all (default: all matrices but embeddings and the output matrix)"},
    {"layers", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(layers), "LIST", NULL,
     "of --by magnitude: layers by number, such as 0-3,7"},
    SC_PICTURE_OPTIONS,
};

#define NOTHING_FOUND                                                                              \
    "no super weight: no output of a down projection stands out because of one weight, on these "  \
    "tokens"

struct looking {
    struct sc_cli *c;
    struct sc_model_reader in;
    struct sc_super_options o;
    struct sc_super_list list;
    struct sc_super_effects effects;
    struct sc_super_matrices matrices;
    struct sc_super_document about;
    struct sc_spots spots;
    struct sc_document d;
};

static int read_number(const char *option, const char *text, double least, double most, double *out,
                       struct sc_error *e)
{
    char *end;
    struct sc_quoted q;

    if (!text)
        return 0;
    *out = strtod(text, &end);
    if (!*text || *end || !(*out > least) || !(*out <= most))
        return sc_fail(e, SCRUPLE_EUSAGE, "%s cannot be %s: it takes a number above %g up to %g",
                       option, sc_quote(&q, sc_strz(text)), least, most);
    return 0;
}

static void show_progress(void *ctx, unsigned round, uint32_t done, uint32_t of)
{
    (void)ctx;
    (void)round;
    sc_progress_show(&(struct sc_progress){.n_done = done, .n = of, .what = "layers"});
}

static int read_settings(void *ctx, struct sc_error *e)
{
    struct looking *x = ctx;
    const struct sc_settings *set = &x->c->set;

    if (set->super_top || set->percent || set->above || set->per || set->kinds || set->layers)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "--top, --percent, --above, --per, --kind and --layers are for --by "
                       "magnitude");
    TRY(sc_pictures_check(x->c, sc_super_picture_kinds, sc_n_super_picture_kinds, e));
    TRY(read_number("--ratio", set->ratio, 1, 1e9, &x->o.ratio, e));
    TRY(read_number("--share", set->share, 0, 1, &x->o.share, e));
    if (set->rounds > 100)
        return sc_fail(e, SCRUPLE_EUSAGE, "--rounds takes a number from 1 to 100");
    x->o.rounds = (unsigned)set->rounds;
    x->o.memory = sc_memory_budget(set->memory);
    x->o.cancel = &sc_cancel;
    x->o.progress = show_progress;
    return 0;
}

static int look(struct looking *x, struct sc_error *e)
{
    x->o.pool = x->in.pool;
    x->o.tokens = x->in.tokens.ids;
    x->o.n = x->in.tokens.n;
    sc_progress_start(x->c, 0);
    int code = sc_super_find(x->in.forward, &x->o, &x->list, e);
    if (code == 0 && x->c->set.verify && x->list.n)
        code = sc_super_verify(x->in.forward, &x->o, &x->list, &x->effects, e);
    if (code == 0 && sc_wants_pictures(x->c))
        code = sc_super_look(x->in.model, x->in.forward, &x->list, &sc_cancel, &x->matrices, e);
    (void)sc_progress_end();
    return code;
}

static int describe(struct looking *x, struct sc_error *e)
{
    TRY(sc_spots_open(&x->spots, x->in.model, e));
    x->about = (struct sc_super_document){.model = x->in.model,
                                          .forward = x->in.forward,
                                          .list = &x->list,
                                          .effects = x->effects.n ? &x->effects : NULL,
                                          .matrices = x->matrices.p ? &x->matrices : NULL,
                                          .spotter = &x->spots.spotter};
    sc_document_start(&x->d, SC_SCHEMA_SUPER);
    TRY(sc_analyze_model(&x->d, &x->d.root, x->in.model, e));
    sc_tokens_input_describe(&x->in.tokens, &x->d, &x->d.root);
    sc_analyze_super(&x->d, &x->d.root, &x->about);
    return x->d.failed ? sc_fail_memory(e) : 0;
}

/* Where the first one is seen. */
static void put_spot(struct looking *x)
{
    const struct sc_super_weight *w = &x->list.p[0];
    const struct sc_tensor *t = &x->in.model->tensors[w->tensor];

    sc_out_putc(&x->c->out, '\n');
    sc_spots_put(&x->spots, x->c, x->in.model, w->tensor,
                 w->stored_row * (t->parameters / t->shape[0]) + w->stored_col);
}

void sc_super_put_effects(struct sc_cli *c, const struct sc_document *d,
                          const struct sc_super_effects *x)
{
    if (!x->call)
        sc_say(c, "warning", "the model's output is not finite on these tokens: nothing is judged");
    sc_out_putc(&c->out, '\n');
    sc_report_table(&c->out, sc_find_table(&d->root, "effects"), &c->term);
    if (x->nulls < SC_SUPER_NULLS || x->unmatched) {
        char text[160];
        snprintf(text, sizeof text, "%u of %d null draws: a matrix has too few other weights%s",
                 x->nulls, (int)SC_SUPER_NULLS,
                 x->nulls && x->unmatched ? " even for one whole draw" : "");
        sc_out_putc(&c->out, '\n');
        sc_out_puts(&c->out, text);
    }
    sc_out_puts(&c->out, "\nall together: ");
    sc_out_puts(&c->out, x->label);
    sc_out_putc(&c->out, '\n');
}

const char *sc_super_verdict(const struct sc_super_effects *x, const char *which, char text[160])
{
    snprintf(text, 160, "Without the %s weights, all together: %s.", which,
             x->n ? x->label : "not verified");
    return x->n ? text : NULL;
}

static void print(struct looking *x)
{
    struct sc_cli *c = x->c;
    const struct sc_table *weights = sc_find_table(&x->d.root, "weights");

    sc_cli_header(c, x->in.model);
    if (!x->list.n) {
        sc_out_puts(&c->out, NOTHING_FOUND "\n");
        return;
    }
    sc_report_table(&c->out, weights, &c->term);
    if (x->effects.n)
        sc_super_put_effects(c, &x->d, &x->effects);
    put_spot(x);
}

static int put(struct looking *x, struct sc_error *e)
{
    const struct sc_super_pictures data = {
        .list = &x->list,
        .effects = &x->effects,
        .matrices = &x->matrices,
        .tokens = {x->in.tokens.ids, x->in.tokens.n, x->in.tokens.tokenizer}};
    char verdict[160];

    const char *told = sc_super_verdict(&x->effects, "found", verdict);
    const struct sc_picture_set set = {.command = "super",
                                       .kinds = sc_super_picture_kinds,
                                       .n_kinds = sc_n_super_picture_kinds,
                                       .data = &data,
                                       .subject = sc_strz(x->in.model->label),
                                       .verdict = told        ? told
                                                  : x->list.n ? NULL
                                                              : NOTHING_FOUND,
                                       .document = "docs/super.md",
                                       .root = &x->d.root};
    const struct sc_table *effects = sc_find_table(&x->d.root, "effects");

    if (sc_form_of(x->c) == SC_FORM_TEXT)
        print(x);
    return sc_pictures_output(x->c, &set, &x->d,
                              effects ? effects : sc_find_table(&x->d.root, "weights"), e);
}

static int run_super(struct sc_cli *c)
{
    struct looking x = {.c = c};
    struct sc_error e = {0};

    if (c->set.super_by == BY_MAGNITUDE)
        return sc_super_largest(c);
    int status = sc_model_reader_open(c, read_settings, &x, &x.in);

    if (!status)
        sc_model_reader_note(c, &x.in, x.in.tokens.n);
    if (!status && (look(&x, &e) < 0 || describe(&x, &e) < 0 || put(&x, &e) < 0))
        status = sc_fail_exit(c, &e);
    sc_document_clear(&x.d);
    sc_spots_close(&x.spots);
    sc_super_effects_clear(&x.effects);
    sc_super_matrices_clear(&x.matrices);
    sc_super_clear(&x.list);
    sc_model_reader_close(&x.in);
    return status;
}

static const struct sc_example super_examples[] = {
    {"scruple super model --text \"Paris is in\"", "which weights make spikes"},
    {"scruple super model --text \"Paris is in\" --verify", "and what happens without them"},
    {"scruple super model --file text --verify -o super.html", "as a page with every picture"},
    {"scruple super model --by magnitude --kind down_proj", "the largest weights, without a text"},
    {"scruple super model --by magnitude --verify --text \"Paris is in\" -o super.html",
     "and what the model says without them, as a page"},
    {"scruple super model.gguf --by magnitude --percent 0.01 --per tensor --json",
     "the largest of each tensor, for a program"},
    {NULL, NULL},
};
const struct sc_command sc_cmd_super = {
    .name = "super",
    .summary = "find single weights on which the model depends",
    .usage = "MODEL --text TEXT | --by magnitude [FILTER...]",
    .description = "Runs the model and looks behind each down projection for outputs that stand "
                   "out, and which "
                   "weight makes the most of them, exactly. What is found is zeroed and the model "
                   "is run again, "
                   "until nothing new is found.\n\n"
                   "--verify zeroes each alone, all but each, and all; sets them to the mean; "
                   "scales them; puts "
                   "back the activations that they had made; and zeroes as many weights of nearly "
                   "the same size "
                   "elsewhere. All of these are variants of one run: the model is read once. What "
                   "the verdicts "
                   "mean is in docs/super.md.\n\n"
                   "--by magnitude ranks weights by their size, in one pass and without a text, of "
                   "any model whose values can be decoded, and tells how many of them stand in one "
                   "row or column. Large weights need not matter: what they do, --verify with a "
                   "text tells.\n\n"
                   "The suffix of --output chooses the form: .json, .csv, .svg, .png or .html, a "
                   "page with every picture: maxima, stream, perplexity, divergence, scale, shift, "
                   "weights, histogram (of --by magnitude without the first two); else it is a "
                   "table.",
    .options = super_options,
    .n_options = SC_COUNT(super_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_CSV | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = super_examples,
    .run = run_super,
};

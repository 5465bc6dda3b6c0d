/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_activations: what flows through a model while it reads. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/activations.h"
#include "cli/pictures_output.h"
#include "cli/tokens_input.h"
#include "report/plots_forward.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const struct sc_option activations_options[] = {
    SC_TOKENS_OPTIONS,
    {"hook", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(hooks), "NAME", NULL,
     "measure at NAME, a list with commas, or all (default: embedding, attention, down_in, "
     "down_out and residual); may be repeated"},
    {"npy", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(out_dir), "DIR", NULL,
     "write every value that is measured to DIR, as files that numpy reads, and all logits"},
    {"attention", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(maps), "LAYER", NULL,
     "keep the attention map of LAYER (mean of its heads) or LAYER.HEAD, a list with commas "
     "(default: none; with pictures: of the first, middle and last layer); may be repeated"},
    SC_PICTURE_OPTIONS,
};

enum { MAX_MAPS = 64, MAP_TOKENS = 512 };

struct reading {
    struct sc_cli *c;
    struct sc_model_reader in;
    uint64_t hooks;
    struct sc_attention_wanted maps[MAX_MAPS];
    size_t n_maps;
    struct sc_activations a;
    struct sc_document d;
};

/* ------------------------------------------------------------------------------- settings --- */

static int add_hook(struct reading *x, struct sc_str word, struct sc_error *e)
{
    struct sc_quoted q;

    if (sc_str_is(word, "all")) {
        x->hooks = (UINT64_C(1) << SC_HOOKS) - 1;
        return 0;
    }
    for (unsigned i = 0; i < SC_HOOKS; i++)
        if (sc_str_is(word, sc_hook_names[i])) {
            x->hooks |= UINT64_C(1) << i;
            return 0;
        }
    struct sc_buf known = {0};
    for (unsigned i = 0; i < SC_HOOKS; i++)
        sc_buf_printf(&known, "%s%s", i ? ", " : "", sc_hook_names[i]);
    const int code = sc_fail(e, SCRUPLE_EUSAGE, "--hook knows no %s; there are %s and all",
                             sc_quote(&q, word), known.failed ? "others" : known.p);
    sc_buf_clear(&known);
    return code;
}

static int read_hooks(void *ctx, struct sc_error *e)
{
    struct reading *x = ctx;
    const struct sc_words *w = &x->c->set.hooks;

    for (size_t i = 0; i < w->n; i++)
        for (const char *p = w->p[i]; *p;) {
            const size_t n = strcspn(p, ",");
            if (n)
                TRY(add_hook(x, sc_str(p, n), e));
            p += n + (p[n] != '\0');
        }
    return w->n && !x->hooks ? sc_fail(e, SCRUPLE_EUSAGE, "--hook names none") : 0;
}

/* "5" or "5.3" */
static int add_map(struct reading *x, struct sc_str word, struct sc_error *e)
{
    const char *dot = memchr(word.p, '.', word.n);
    const size_t n = dot ? (size_t)(dot - word.p) : word.n;
    uint64_t layer = 0, head = 0;
    struct sc_quoted q;

    if (!sc_str_u64(sc_str(word.p, n), &layer) || layer > INT32_MAX ||
        (dot && (!sc_str_u64(sc_str(dot + 1, word.n - n - 1), &head) || head > INT32_MAX)))
        return sc_fail(e, SCRUPLE_EUSAGE, "--attention takes LAYER or LAYER.HEAD, not %s",
                       sc_quote(&q, word));
    if (x->n_maps == MAX_MAPS)
        return sc_fail(e, SCRUPLE_EUSAGE, "--attention takes at most %d maps", (int)MAX_MAPS);
    x->maps[x->n_maps++] = (struct sc_attention_wanted){(uint32_t)layer, dot ? (int32_t)head : -1};
    return 0;
}

static int read_settings(void *ctx, struct sc_error *e)
{
    struct reading *x = ctx;
    const struct sc_words *w = &x->c->set.maps;

    TRY(read_hooks(x, e));
    TRY(sc_pictures_check(x->c, sc_activation_kinds, sc_n_activation_kinds, e));
    for (size_t i = 0; i < w->n; i++)
        for (const char *p = w->p[i]; *p;) {
            const size_t n = strcspn(p, ",");
            if (n)
                TRY(add_map(x, sc_str(p, n), e));
            p += n + (p[n] != '\0');
        }
    return 0;
}

/* Once it is known how many layers there are. */
static int choose_maps(struct reading *x, struct sc_error *e)
{
    const struct sc_forward_facts *f = sc_forward_facts(x->in.forward);
    const uint64_t attention = UINT64_C(1) << SC_HOOK_ATTENTION;

    for (size_t i = 0; i < x->n_maps; i++)
        if (x->maps[i].layer >= f->layers ||
            (x->maps[i].head >= 0 && (uint32_t)x->maps[i].head >= f->heads))
            return sc_fail(e, SCRUPLE_EUSAGE,
                           "--attention: there is no layer %u with head %d: the model has %u "
                           "layers of %u heads",
                           (unsigned)x->maps[i].layer, (int)SC_MAX(x->maps[i].head, 0),
                           (unsigned)f->layers, (unsigned)f->heads);
    if (x->n_maps && x->hooks)
        x->hooks |= attention;
    if (x->n_maps || !sc_wants_pictures(x->c) || x->in.tokens.n > MAP_TOKENS ||
        (x->hooks && !(x->hooks & attention)))
        return 0;
    const uint32_t layers[] = {0, f->layers / 2, f->layers - 1};
    for (size_t i = 0; i < SC_COUNT(layers); i++)
        if (i == 0 || layers[i] > layers[i - 1])
            x->maps[x->n_maps++] = (struct sc_attention_wanted){layers[i], -1};
    return 0;
}

/* -------------------------------------------------------------------------------- running --- */

static void show_progress(void *ctx, uint32_t done, uint32_t of)
{
    (void)ctx;
    sc_progress_show(&(struct sc_progress){.n_done = done, .n = of, .what = "layers"});
}

static int measure(struct reading *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;

    TRY(choose_maps(x, e));
    const struct sc_activations_options o = {.pool = x->in.pool,
                                             .cancel = &sc_cancel,
                                             .memory = sc_memory_budget(set->memory),
                                             .tokens = x->in.tokens.ids,
                                             .n = x->in.tokens.n,
                                             .hooks = x->hooks,
                                             .maps = x->maps,
                                             .n_maps = x->n_maps,
                                             .folder = set->out_dir,
                                             .progress = show_progress};

    sc_progress_start(x->c, 0);
    const int code = sc_activations_measure(x->in.forward, &o, &x->a, e);
    (void)sc_progress_end();
    return code;
}

static int describe(struct reading *x, struct sc_error *e)
{
    sc_document_start(&x->d, SC_SCHEMA_ACTIVATIONS);
    TRY(sc_analyze_model(&x->d, &x->d.root, x->in.model, e));
    sc_analyze_forward(&x->d, &x->d.root, x->in.forward);
    sc_tokens_input_describe(&x->in.tokens, &x->d, &x->d.root);
    sc_analyze_activations(&x->d, &x->d.root, &x->a);
    return x->d.failed ? sc_fail_memory(e) : 0;
}

static void print(struct reading *x, const struct sc_table *t)
{
    struct sc_cli *c = x->c;
    const struct sc_table *sinks = sc_find_table(&x->d.root, "sinks");

    sc_cli_header(c, x->in.model);
    sc_report_table(&c->out, t, &c->term);
    if (sinks->n_rows) {
        sc_out_putc(&c->out, '\n');
        sc_report_table(&c->out, sinks, &c->term);
    }
}

static int put(struct reading *x, struct sc_error *e)
{
    const struct sc_activation_pictures data = {
        &x->a, {x->in.tokens.ids, x->in.tokens.n, x->in.tokens.tokenizer}};
    const struct sc_picture_set set = {.command = "activations",
                                       .kinds = sc_activation_kinds,
                                       .n_kinds = sc_n_activation_kinds,
                                       .data = &data,
                                       .subject = sc_strz(x->in.model->label),
                                       .document = "docs/forward.md",
                                       .root = &x->d.root};
    const struct sc_table *t = sc_find_table(&x->d.root, "activations");

    if (sc_form_of(x->c) == SC_FORM_TEXT)
        print(x, t);
    return sc_pictures_output(x->c, &set, &x->d, t, e);
}

static int run_activations(struct sc_cli *c)
{
    struct reading x = {.c = c};
    struct sc_error e = {0};
    int status = sc_model_reader_open(c, read_settings, &x, &x.in);

    if (!status)
        sc_model_reader_note(c, &x.in, x.in.tokens.n);
    if (!status && (measure(&x, &e) < 0 || describe(&x, &e) < 0 || put(&x, &e) < 0))
        status = sc_fail_exit(c, &e);
    sc_document_clear(&x.d);
    sc_activations_clear(&x.a);
    sc_model_reader_close(&x.in);
    return status;
}

static const struct sc_example activations_examples[] = {
    {"scruple activations model --text \"Paris is in\"", "figures of every layer"},
    {"scruple activations model --text \"Paris is in\" -o flow.html", "a page with every picture"},
    {"scruple activations model --ids 1,450 --hook residual,q --npy out", "values for numpy"},
    {NULL, NULL},
};
const struct sc_command sc_cmd_activations = {
    .name = "activations",
    .summary = "run the model on tokens and measure what flows through it",
    .usage = "MODEL --text TEXT",
    .description =
        "Runs the model over the tokens, exactly and layer by layer, and tells for each layer the "
        "largest activation and where it is, spread, median and kurtosis, and how much attention "
        "goes to the first token (a sink). Massive values are above 100 and 1000 times the median "
        "of their row.\n\n"
        "Weights may be stored in any format that scan decodes and may be larger than memory. "
        "Which architectures can be run, and how, is in docs/forward.md; what cannot is refused "
        "with the reason.\n\n"
        "The suffix of --output chooses the form: .json, .csv, .svg, .png or .html, a page with "
        "every picture: maxima, norms, box, violin, sinks, attention, next; else it is a table.",
    .options = activations_options,
    .n_options = SC_COUNT(activations_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_CSV | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = activations_examples,
    .run = run_activations,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_activations: what flows through a model while it reads. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/activations.h"
#include "cli/tokens_input.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const struct sc_option activations_options[] = {
    SC_TOKENS_OPTIONS,
    {"hook", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(hooks), "NAME", NULL,
     "measure at NAME, a list with commas, or all (default: embedding, attention, down_in, "
     "down_out and residual); may be repeated"},
    {"npy", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(out_dir), "DIR", NULL,
     "write every value that is measured to DIR, as files that numpy reads, and all logits"},
};

struct reading {
    struct sc_cli *c;
    struct sc_model_reader in;
    uint64_t hooks;
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

/* -------------------------------------------------------------------------------- running --- */

static void show_progress(void *ctx, uint32_t done, uint32_t of)
{
    (void)ctx;
    sc_progress_show(&(struct sc_progress){.n_done = done, .n = of, .what = "layers"});
}

static int measure(struct reading *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;
    const struct sc_activations_options o = {.pool = x->in.pool,
                                             .cancel = &sc_cancel,
                                             .memory = sc_memory_budget(set->memory),
                                             .tokens = x->in.tokens.ids,
                                             .n = x->in.tokens.n,
                                             .hooks = x->hooks,
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

static void print(struct reading *x)
{
    struct sc_cli *c = x->c;
    const struct sc_table *sinks = sc_find_table(&x->d.root, "sinks");

    if (c->set.json) {
        sc_report_json(&c->out, &x->d);
        return;
    }
    const struct sc_table *t = sc_find_table(&x->d.root, "activations");
    if (c->set.csv) {
        sc_report_csv(&c->out, t);
        return;
    }
    sc_cli_header(c, x->in.model);
    sc_report_table(&c->out, t, &c->term);
    if (sinks->n_rows) {
        sc_out_putc(&c->out, '\n');
        sc_report_table(&c->out, sinks, &c->term);
    }
}

static int run_activations(struct sc_cli *c)
{
    struct reading x = {.c = c};
    struct sc_error e = {0};
    int status = sc_model_reader_open(c, read_hooks, &x, &x.in);

    if (!status && (measure(&x, &e) < 0 || describe(&x, &e) < 0))
        status = sc_fail_exit(c, &e);
    if (!status)
        print(&x);
    sc_document_clear(&x.d);
    sc_activations_clear(&x.a);
    sc_model_reader_close(&x.in);
    return status;
}

static const struct sc_example activations_examples[] = {
    {"scruple activations model --text \"Paris is in\"", "figures of every layer"},
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
        "with the reason.",
    .options = activations_options,
    .n_options = SC_COUNT(activations_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_CSV | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = activations_examples,
    .run = run_activations,
};

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
    struct sc_model *model;
    struct sc_pool *pool;
    struct sc_forward *forward;
    struct sc_tokens_input tokens;
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

static int read_hooks(struct reading *x, struct sc_error *e)
{
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
    TRY(sc_forward_open(x->model, &x->forward, e));
    TRY(sc_tokens_input_read(x->c, x->model, &x->tokens, e));
    const struct sc_activations_options o = {.pool = x->pool,
                                             .cancel = &sc_cancel,
                                             .memory = sc_memory_budget(set->memory),
                                             .tokens = x->tokens.ids,
                                             .n = x->tokens.n,
                                             .hooks = x->hooks,
                                             .folder = set->out_dir,
                                             .progress = show_progress};

    sc_progress_start(x->c, 0);
    const int code = sc_activations_measure(x->forward, &o, &x->a, e);
    (void)sc_progress_end();
    return code;
}

static int describe(struct reading *x, struct sc_error *e)
{
    sc_document_start(&x->d, SC_SCHEMA_ACTIVATIONS);
    TRY(sc_analyze_model(&x->d, &x->d.root, x->model, e));
    sc_analyze_forward(&x->d, &x->d.root, x->forward);
    sc_tokens_input_describe(&x->tokens, &x->d, &x->d.root);
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
    sc_cli_header(c, x->model);
    sc_report_table(&c->out, t, &c->term);
    if (sinks->n_rows) {
        sc_out_putc(&c->out, '\n');
        sc_report_table(&c->out, sinks, &c->term);
    }
}

static int run_activations(struct sc_cli *c)
{
    struct reading x = {.c = c};
    struct sc_open_options oo = sc_cli_open_options(c);
    struct sc_error e = {0};
    const char *const *paths = NULL;
    struct sc_words filters = {0};
    size_t n = 0;
    int status = 0;

    oo.keep_repo = true;
    if (sc_cli_operands(c, &paths, &n, &filters, &e) < 0)
        status = sc_fail_exit(c, &e);
    else if (n != 1 || filters.n)
        status = sc_wrong_use(c, "activations takes one MODEL");
    else if (sc_tokens_input_check(c, &e) < 0 || read_hooks(&x, &e) < 0)
        status = sc_usage_exit(c, &e);
    else if (sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &x.pool, &e) < 0)
        status = sc_fail_exit(c, &e);
    if (!status)
        status = sc_cli_open_with(c, paths[0], &oo, &x.model);
    if (!status && (measure(&x, &e) < 0 || describe(&x, &e) < 0))
        status = sc_fail_exit(c, &e);
    if (!status)
        print(&x);
    sc_document_clear(&x.d);
    sc_activations_clear(&x.a);
    sc_forward_close(x.forward);
    sc_model_close(x.model);
    sc_pool_free(x.pool);
    sc_tokens_input_clear(&x.tokens);
    sc_words_clear(&filters);
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

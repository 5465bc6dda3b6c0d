/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_eval: how well does the model expect a text? */
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "analyze/activations.h"
#include "analyze/edit.h"
#include "analyze/eval_quantize.h"
#include "analyze/perplexity.h"
#include "cli/pictures_output.h"
#include "cli/tokens_input.h"
#include "report/plots_forward.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const struct sc_option eval_options[] = {
    SC_TOKENS_OPTIONS,
    {"protocol", 0, SC_OPTION_ENUM, 0, FIELD(ppl), "NAME", sc_ppl_protocols,
     "how the text is cut: windows (the default, as GPTQ evaluates), llama.cpp (as its perplexity) "
     "or "
     "rolling (every token counts once)"},
    {"window", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(window), "N", NULL,
     "tokens that the model reads at a time (default: 2048, llama.cpp: 512)"},
    {"stride", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(stride), "N", NULL,
     "with rolling: a window begins every N tokens (default: half a window)"},
    {"limit", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(max_windows), "N", NULL,
     "only the first N windows"},
    {"quantize", 0, SC_OPTION_LIST, SC_COMPLETE_FORMAT, FIELD(quantized), "FORMAT", NULL,
     "run it quantised, too, in the same reading: formats of quant and recipes, a list with "
     "commas; may be repeated"},
    {"hold", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(held), "PLACE", NULL,
     "weights that recipes leave as they are: NAME[i,j] or @FILE of super --json, as in edit"},
    SC_PICTURE_OPTIONS,
};

struct evaluating {
    struct sc_cli *c;
    struct sc_model_reader in;
    struct sc_ppl ppl;
    struct sc_document d;
    struct sc_quantized formats[SC_QUANTIZED_MOST];
    size_t n_formats;
};

static void show_progress(void *ctx, size_t done, size_t of, uint32_t layer, uint32_t layers)
{
    (void)ctx;
    sc_progress_show(
        &(struct sc_progress){.n_done = done * layers + layer, .n = of * layers, .what = "layers"});
}

static int check_windows(void *ctx, struct sc_error *e)
{
    struct evaluating *x = ctx;
    const struct sc_settings *set = &x->c->set;

    for (size_t i = 0; i < set->quantized.n; i++)
        TRY(sc_quantized_parse(set->quantized.p[i], x->formats, &x->n_formats, e));

    if (set->window == 1 || set->window > 1 << 20 || set->stride > 1 << 20)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "--window takes a number from 2 to %d, --stride from 1 on", 1 << 20);
    if (set->stride && set->ppl != SC_PPL_ROLLING)
        return sc_fail(e, SCRUPLE_EUSAGE, "--stride is for --protocol rolling");
    if (set->held && !x->n_formats)
        return sc_fail(e, SCRUPLE_EUSAGE, "--hold does nothing without --quantize");
    return sc_pictures_check(x->c, sc_ppl_picture_kinds, sc_n_ppl_picture_kinds, e);
}

/* Runs it with its quantised variants. */
static int evaluate_with(struct evaluating *x, struct sc_ppl_options *o, struct sc_error *e)
{
    const struct sc_parallel p = sc_pool_parallel(x->in.pool);
    struct sc_quantizing *q = NULL;
    struct sc_edit_wishes held = {0};
    struct sc_held *list = NULL;
    size_t n = 0;
    int code = 0;

    if (x->c->set.held)
        code = sc_edit_wish_add(&held, x->in.model, SC_EDIT_ZERO, x->c->set.held, e);
    if (code == 0)
        code = sc_edit_held(x->in.model, &held, &list, &n, e);
    const struct sc_quantizing_options how = {.model = x->in.model,
                                              .formats = x->formats,
                                              .n = x->n_formats,
                                              .held = {list, n},
                                              .p = &p,
                                              .cancel = &sc_cancel,
                                              .memory = o->memory / 4};
    if (code == 0)
        code = sc_quantizing_open(&how, &q, e);
    if (code == 0) {
        o->variants = sc_quantizing_variants(q);
        o->n_variants = x->n_formats;
        code = sc_ppl_measure(x->in.forward, o, &x->ppl, e);
    }
    sc_quantizing_close(q);
    sc_edit_wishes_clear(&held);
    free(list);
    return code;
}

static int evaluate(struct evaluating *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;

    struct sc_ppl_options o = {.pool = x->in.pool,
                               .cancel = &sc_cancel,
                               .memory = sc_memory_budget(set->memory),
                               .tokens = x->in.tokens.ids,
                               .n = x->in.tokens.n,
                               .protocol = (enum sc_ppl_protocol)set->ppl,
                               .window = (size_t)set->window,
                               .stride = (size_t)set->stride,
                               .most = (size_t)set->max_windows,
                               .progress = show_progress};
    const char *bos = x->in.model->tokenizer.bos;
    if (bos && x->in.tokens.tokenizer)
        o.has_bos = sc_tokenizer_find(x->in.tokens.tokenizer, sc_strz(bos), &o.bos);
    sc_progress_start(x->c, 0);
    const int code =
        x->n_formats ? evaluate_with(x, &o, e) : sc_ppl_measure(x->in.forward, &o, &x->ppl, e);
    (void)sc_progress_end();
    return code;
}

static int describe(struct evaluating *x, struct sc_error *e)
{
    sc_document_start(&x->d, SC_SCHEMA_EVAL);
    TRY(sc_analyze_model(&x->d, &x->d.root, x->in.model, e));
    sc_analyze_forward(&x->d, &x->d.root, x->in.forward);
    sc_analyze_ppl(&x->d, &x->d.root, &x->ppl, x->in.tokens.n, x->in.tokens.bytes,
                   x->in.tokens.words);
    if (x->n_formats)
        sc_analyze_quantized(&x->d, &x->d.root, x->formats, &x->ppl);
    return x->d.failed ? sc_fail_memory(e) : 0;
}

static void put_line(struct evaluating *x, const char *what, double v, double error)
{
    struct sc_buf *b = &x->c->out.buf;

    if (isnan(v))
        return;
    sc_buf_printf(b, "%-18s%.6g", what, v);
    if (error > 0) /* two digits, but no power of ten where the value has none */
        sc_buf_printf(b, error < 99.5 || v >= 999999.5 ? " +- %.2g" : " +- %.0f", error);
    sc_buf_putc(b, '\n');
}

static void print(struct evaluating *x)
{
    struct sc_cli *c = x->c;
    const struct sc_ppl *p = &x->ppl;
    const double all = p->nll * (double)x->in.tokens.n;

    sc_cli_header(c, x->in.model);
    sc_buf_printf(&c->out.buf, "%zu tokens, %zu scored in %zu window%s of %zu (%s%s)\n",
                  x->in.tokens.n, p->scored, p->n_windows, p->n_windows == 1 ? "" : "s", p->window,
                  sc_ppl_protocols[p->protocol],
                  c->set.precision == SC_PRECISION_BF16 ? ", products of bfloat16" : "");
    if (!isfinite(p->nll))
        sc_say(c, "warning", "the model's output is not finite on this text: no perplexity");
    put_line(x, "perplexity", exp(p->nll), exp(p->nll) * p->error);
    put_line(x, "nats a token", p->nll, p->error);
    if (x->in.tokens.bytes) {
        put_line(x, "bits a byte", all / log(2) / (double)x->in.tokens.bytes, 0);
        put_line(x, "word perplexity", exp(all / (double)x->in.tokens.words), 0);
    }
    sc_out_settle(&c->out);
    if (!x->n_formats)
        return;
    sc_out_putc(&c->out, '\n');
    sc_report_table(&c->out, sc_find_table(&x->d.root, "quantized"), &c->term);
}

static int put(struct evaluating *x, struct sc_error *e)
{
    const struct sc_ppl_pictures data = {&x->ppl, x->formats, x->n_formats};
    const struct sc_picture_set set = {.command = "eval",
                                       .kinds = sc_ppl_picture_kinds,
                                       .n_kinds = sc_n_ppl_picture_kinds,
                                       .data = &data,
                                       .subject = sc_strz(x->in.model->label),
                                       .document = "docs/eval.md",
                                       .root = &x->d.root};

    if (sc_form_of(x->c) == SC_FORM_TEXT)
        print(x);
    return sc_pictures_output(x->c, &set, &x->d, NULL, e);
}

static int run_eval(struct sc_cli *c)
{
    struct evaluating x = {.c = c};
    struct sc_error e = {0};
    int status = sc_model_reader_open(c, check_windows, &x, &x.in);

    if (!status)
        sc_model_reader_note(c, &x.in, SC_MIN(x.in.tokens.n, (size_t)c->set.window));
    if (!status && (evaluate(&x, &e) < 0 || describe(&x, &e) < 0 || put(&x, &e) < 0))
        status = sc_fail_exit(c, &e);
    sc_document_clear(&x.d);
    sc_ppl_clear(&x.ppl);
    sc_model_reader_close(&x.in);
    return status;
}

static const struct sc_example eval_examples[] = {
    {"scruple eval model --file wiki.test.txt", "perplexity, in windows of 2048 tokens"},
    {"scruple eval model.gguf --file wiki.test.txt --protocol llama.cpp",
     "as llama.cpp measures it"},
    {"scruple eval model --file wiki.test.txt -o eval.svg", "as a picture, window by window"},
    {"scruple eval model --file wiki.test.txt --quantize rtn4,mxfp4 --limit 4",
     "and quantised, in the same reading"},
    {"scruple eval model --text hi --quantize rtn4:block=8x8,rtn4 --plots pictures",
     "pictures, one of them against the size of blocks"},
    {NULL, NULL},
};
const struct sc_command sc_cmd_eval = {
    .name = "eval",
    .summary = "measure how well the model expects a text",
    .usage = "MODEL --file FILE",
    .description =
        "Runs the model over a text and tells its perplexity, with its standard error, by a "
        "protocol that "
        "is named: what a token may see before it decides the number. Weights may be stored in any "
        "format that scan decodes, and may be larger than memory; windows are run together as far "
        "as "
        "memory allows, so the model is read seldom.\n\n"
        "--quantize runs it with quantised weights beside the model as it is, and tells "
        "perplexity, "
        "divergence and agreement of each (docs/recipes.md).\n\n"
        "Which architectures can be run is in docs/forward.md, protocols are in docs/eval.md.\n\n"
        "The suffix of --output chooses the form: .json, .svg, .png or .html, a page with every "
        "picture: windows, formats, blocks; else it is text.",
    .options = eval_options,
    .n_options = SC_COUNT(eval_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = eval_examples,
    .run = run_eval,
};

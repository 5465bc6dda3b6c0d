/* SPDX-License-Identifier: Apache-2.0 */
/* perplexity: how well a model expects a text. */
#include "analyze/perplexity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/figures.h"

enum { DEFAULT_WINDOW = 2048, LLAMA_WINDOW = 512 };

const char *const sc_ppl_protocols[SC_PPL_PROTOCOLS + 1] = {"windows", "llama.cpp", "rolling",
                                                            NULL};

struct scoring {
    const struct sc_forward *f;
    const struct sc_ppl_options *o;
    struct sc_ppl *out;
    struct sc_sequence *sequences;
    uint32_t *tokens;    /* those of the windows, where they differ from the text's */
    size_t first, batch; /* windows that are at work */
    double square;       /* of all nll */
    size_t *place;       /* (windows) scored tokens before each */
    struct sc_rivals rivals;
};

/* -------------------------------------------------------------------------------- windows --- */

/* From which position of a window on tokens count. */
static size_t first_scored(const struct sc_ppl *p, size_t window)
{
    const struct sc_ppl_window *w = &p->windows[window];

    if (p->protocol == SC_PPL_LLAMA)
        return w->n / 2 + 1; /* logits from the middle on */
    if (p->protocol == SC_PPL_WINDOWS || window == 0)
        return 1;
    const struct sc_ppl_window *before = w - 1; /* what it has reached is scored */
    return before->from + before->n - w->from;
}

static int cut_windows(struct scoring *x, struct sc_error *e)
{
    struct sc_ppl *p = x->out;
    const size_t n = x->o->n, step = p->protocol == SC_PPL_ROLLING ? p->stride : p->window;
    size_t cap = 0;

    for (size_t from = 0; from < n; from += step) {
        const size_t here = SC_MIN(n - from, p->window);
        const bool rest = here < p->window && p->n_windows > 0;
        if ((rest && p->protocol != SC_PPL_ROLLING) || (x->o->most && p->n_windows == x->o->most))
            break;
        TRY(sc_grow(&p->windows, &cap, p->n_windows + 1, sizeof *p->windows, e));
        p->windows[p->n_windows++] = (struct sc_ppl_window){.from = from, .n = here};
        if (from + here == n)
            break;
    }
    if (n < 2)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "a text of one token tells nothing: each is expected from those before it");
    return 0;
}

static int make_sequences(struct scoring *x, struct sc_error *e)
{
    const struct sc_ppl *p = x->out;
    const bool bos = p->protocol == SC_PPL_LLAMA && x->o->has_bos;

    x->sequences = sc_calloc(p->n_windows, sizeof *x->sequences);
    x->tokens = sc_alloc(x->o->n * sizeof *x->tokens);
    if (!x->sequences || !x->tokens)
        return sc_fail_memory(e);
    memcpy(x->tokens, x->o->tokens, x->o->n * sizeof *x->tokens);
    for (size_t i = 0; i < p->n_windows; i++) {
        if (bos)
            x->tokens[p->windows[i].from] = x->o->bos;
        x->sequences[i] = (struct sc_sequence){x->tokens + p->windows[i].from, p->windows[i].n};
    }
    return 0;
}

/* -------------------------------------------------------------------------------- scoring --- */

static int take_logits(void *ctx, uint32_t stream, uint32_t position, const float *row,
                       size_t vocab, struct sc_error *e)
{
    struct scoring *x = ctx;
    const size_t window = x->first + stream % x->batch, first = first_scored(x->out, window);
    struct sc_ppl_window *w = &x->out->windows[window];

    (void)e;
    if (position + 1 >= w->n || position + 1 < first)
        return 0;
    const uint32_t next = x->o->tokens[w->from + position + 1];
    if (x->o->n_variants)
        sc_rivals_take(&x->rivals, stream / x->batch, x->place[window] + position + 1 - first, row,
                       next);
    if (stream >= x->batch)
        return 0;
    const double nll = sc_logits_log_sum(row, vocab) - (double)row[next];
    w->nll += nll;
    w->scored++;
    x->square += nll * nll;
    return 0;
}

static void progress(void *ctx, uint32_t done, uint32_t of)
{
    const struct scoring *x = ctx;

    if (x->o->progress)
        x->o->progress(x->o->ctx, x->first, x->out->n_windows, done, of);
}

static int run_batch(struct scoring *x, struct sc_error *e)
{
    struct sc_run run = {.pool = x->o->pool,
                         .cancel = x->o->cancel,
                         .memory = x->o->memory,
                         .sequences = x->sequences + x->first,
                         .n_sequences = 1,
                         .variants = x->o->variants,
                         .n_variants = x->o->n_variants,
                         .logits = take_logits,
                         .progress = progress,
                         .ctx = x};

    /* as many windows as fit half of the memory: each batch reads the model once */
    run.n_sequences = sc_forward_batch(x->f, &run, x->out->n_windows - x->first, x->o->memory / 2);
    while (x->o->n_variants && run.n_sequences > 1 &&
           x->place[x->first + run.n_sequences] - x->place[x->first] > x->rivals.window)
        run.n_sequences--;
    x->batch = run.n_sequences;
    x->rivals.first = x->o->n_variants ? x->place[x->first] : 0;
    x->out->passes++;
    return sc_forward_run(x->f, &run, e);
}

/* Room for the logits of the model: of at least the largest window, of more as far as a quarter of
 * the memory goes. */
static int start_rivals(struct scoring *x, struct sc_error *e)
{
    const struct sc_ppl *p = x->out;
    const size_t vocab = sc_forward_facts(x->f)->vocab;
    size_t largest = 0;

    if (!x->o->n_variants)
        return 0;
    x->place = sc_alloc((p->n_windows + 1) * sizeof *x->place);
    if (!x->place)
        return sc_fail_memory(e);
    x->place[0] = 0;
    for (size_t i = 0; i < p->n_windows; i++) {
        const size_t first = first_scored(p, i), n = p->windows[i].n;
        x->place[i + 1] = x->place[i] + (n > first ? n - first : 0);
        largest = SC_MAX(largest, x->place[i + 1] - x->place[i]);
    }
    const size_t all = x->place[p->n_windows];
    const size_t fit = (size_t)(x->o->memory / 4 / sizeof(float) / vocab);
    return sc_rivals_start(&x->rivals, x->o->n_variants + 1, all, SC_MIN(SC_MAX(fit, largest), all),
                           vocab, x->o->memory / 2, e);
}

static int finish_rivals(struct scoring *x, struct sc_error *e)
{
    struct sc_ppl *p = x->out;
    int code = 0;

    if (!x->o->n_variants)
        return 0;
    p->effects = sc_calloc(x->o->n_variants + 1, sizeof *p->effects);
    if (!p->effects)
        return sc_fail_memory(e);
    for (; p->n_effects <= x->o->n_variants && code == 0; p->n_effects++)
        code = sc_rivals_end(&x->rivals, p->n_effects, &p->effects[p->n_effects], e);
    return code;
}

int sc_ppl_measure(const struct sc_forward *f, const struct sc_ppl_options *o, struct sc_ppl *out,
                   struct sc_error *e)
{
    const uint64_t context = sc_forward_facts(f)->context;
    struct scoring x = {.f = f, .o = o, .out = out};

    memset(out, 0, sizeof *out);
    out->protocol = o->protocol;
    out->window = o->window                     ? o->window
                  : o->protocol == SC_PPL_LLAMA ? LLAMA_WINDOW
                                                : DEFAULT_WINDOW;
    if (!o->window && context && out->window > context)
        out->window = (size_t)context;
    out->stride = o->stride ? o->stride : SC_MAX(out->window / 2, (size_t)1);
    int code = 0;
    if (o->protocol == SC_PPL_ROLLING && out->stride >= out->window)
        code = sc_fail(e, SCRUPLE_EUSAGE,
                       "windows of %zu tokens that begin every %zu leave tokens out; allowed are 1 "
                       "to %zu",
                       out->window, out->stride, out->window - 1);
    if (code == 0)
        code = cut_windows(&x, e);
    if (code == 0)
        code = make_sequences(&x, e);
    if (code == 0)
        code = start_rivals(&x, e);
    for (; code == 0 && x.first < out->n_windows; x.first += x.batch)
        code = run_batch(&x, e);
    for (size_t i = 0; i < out->n_windows; i++) {
        out->nll += out->windows[i].nll;
        out->scored += out->windows[i].scored;
    }
    if (code == 0 && !out->scored)
        code = sc_fail(e, SCRUPLE_EUSAGE,
                       "no token counts in windows of %zu by the protocol %s: they are too short",
                       out->windows[0].n, sc_ppl_protocols[out->protocol]);
    if (code == 0)
        code = finish_rivals(&x, e);
    const double n = (double)out->scored;
    out->nll /= n;
    if (out->n_effects)
        out->effects[0].nll = out->nll; /* the same sum in another order */
    const double spread = x.square / n - out->nll * out->nll;
    out->error = isnan(spread) ? spread : sqrt(fmax(spread, 0) / n);
    sc_rivals_clear(&x.rivals);
    free(x.place);
    free(x.sequences);
    free(x.tokens);
    return code;
}

void sc_ppl_clear(struct sc_ppl *p)
{
    free(p->windows);
    free(p->effects);
    memset(p, 0, sizeof *p);
}

/* ------------------------------------------------------------------------------- document --- */

void sc_analyze_ppl(struct sc_document *d, struct sc_field *into, const struct sc_ppl *p,
                    uint64_t tokens, uint64_t bytes, uint64_t words)
{
    /* of the whole text, as if the tokens that do not count were like the others */
    const double all = p->nll * (double)tokens;

    sc_add_textz(d, into, "protocol", sc_ppl_protocols[p->protocol]);
    sc_add_uint(d, into, "window", p->window, SC_COL_COUNT);
    if (p->protocol == SC_PPL_ROLLING)
        sc_add_uint(d, into, "stride", p->stride, SC_COL_COUNT);
    else
        sc_add_null(d, into, "stride");
    sc_add_uint(d, into, "text_tokens", tokens, SC_COL_COUNT);
    sc_add_uint(d, into, "scored", p->scored, SC_COL_COUNT);
    sc_add_uint(d, into, "passes", p->passes, SC_COL_COUNT);
    sc_add_figure(d, into, "nll", p->nll);
    sc_add_figure(d, into, "nll_error", p->error);
    sc_add_figure(d, into, "perplexity", exp(p->nll));
    sc_add_figure(d, into, "perplexity_error", exp(p->nll) * p->error);
    sc_add_figure(d, into, "bits_per_byte", bytes ? all / log(2) / (double)bytes : (double)NAN);
    sc_add_figure(d, into, "byte_perplexity", bytes ? exp(all / (double)bytes) : (double)NAN);
    sc_add_figure(d, into, "word_perplexity", words ? exp(all / (double)words) : (double)NAN);
    struct sc_field *list = sc_add_list(d, into, "windows");
    for (size_t i = 0; i < p->n_windows; i++) {
        struct sc_field *o = sc_add_object(d, list, NULL);
        sc_add_uint(d, o, "from", p->windows[i].from, SC_COL_COUNT);
        sc_add_uint(d, o, "tokens", p->windows[i].n, SC_COL_COUNT);
        sc_add_uint(d, o, "scored", p->windows[i].scored, SC_COL_COUNT);
        sc_add_figure(d, o, "nll",
                      p->windows[i].scored ? p->windows[i].nll / (double)p->windows[i].scored
                                           : (double)NAN);
    }
}

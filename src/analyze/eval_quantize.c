/* SPDX-License-Identifier: Apache-2.0 */
/* eval_quantize: variants of a run that multiply with quantised matrices. */
#include "analyze/eval_quantize.h"
#include "analyze/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct one {
    struct sc_quantizing *q;
    const struct sc_quantized *f;
    struct sc_recipe_use use;
    struct sc_substitutes substitutes;
    uint32_t tensor; /* that is open; SC_NO_NODE: none */
    struct sc_values *v, *view;
};
struct sc_quantizing {
    struct sc_quantizing_options o;
    bool *has; /* (tensors) */
    size_t n_has;
    struct one *ones;
    struct sc_variant *variants;
};

/* --------------------------------------------------------------------------------- formats --- */

int sc_quantized_parse(const char *text, struct sc_quantized *out, size_t *n, struct sc_error *e)
{
    struct sc_quant_formats list = {.n = 0};

    TRY(sc_quant_formats_add(&list, SC_QUALITY_FORMATS, sc_strz(text), "--quantize", e));
    for (size_t i = 0; i < list.n; i++) {
        const struct sc_encoding *f = &list.f[i];
        if (*n == SC_QUANTIZED_MOST)
            return sc_fail(e, SCRUPLE_EUSAGE, "at most %d formats are evaluated at once",
                           SC_QUANTIZED_MOST);
        struct sc_quantized *x = &out[(*n)++];
        *x = (struct sc_quantized){.is_recipe = sc_quant_is_recipe(f), .format = *f};
        memcpy(x->name, f->name, sizeof x->name);
        if (x->is_recipe)
            TRY(sc_recipe_parse(sc_strz(f->name), &x->recipe, e));
    }
    return 0;
}

/* ----------------------------------------------------------------------------------- views --- */

static bool has(void *ctx, uint32_t tensor)
{
    const struct one *x = ctx;

    return x->q->has[tensor];
}

static void forget(struct one *x)
{
    sc_values_close(x->view);
    sc_values_close(x->v);
    x->view = x->v = NULL;
    x->tensor = SC_NO_NODE;
}

/* Of all variants that have this tensor open, as many as fit. */
static void make_room(struct one *x, const struct sc_values *v)
{
    const struct sc_matrices m = sc_quality_matrices(v);
    const uint64_t one = sc_add_up(m.rows * m.cols * sizeof(float), 1);

    for (size_t i = 0; i < x->q->o.n; i++)
        if (&x->q->ones[i] != x && x->q->o.memory / 2 / one < x->q->o.n)
            forget(&x->q->ones[i]);
}

static int view(void *ctx, uint32_t tensor, uint64_t first, uint64_t n, struct sc_values **out,
                struct sc_error *e)
{
    struct one *x = ctx;
    float some;

    (void)n;
    if (x->tensor != tensor) {
        forget(x);
        TRY(sc_values_open(x->q->o.model, tensor, &x->v, e));
        make_room(x, x->v);
        TRY(sc_values_open_quantised(x->v, tensor, &x->use, &x->f->format, x->q->o.memory / 2,
                                     &x->view, e));
        x->tensor = tensor;
    }
    *out = x->view;
    return sc_values_read(x->view, first, 1, &some, e); /* now, by all threads */
}

/* --------------------------------------------------------------------------------- outside --- */

static bool is_quantised(const struct sc_quantizing *q, uint32_t i)
{
    const struct sc_tensor *t = &q->o.model->tensors[i];

    return t->layer >= 0 && t->rank >= 2 && t->role != SC_ROLE_ROUTER &&
           sc_filter_match(q->o.filter, sc_tensor_name(t));
}

static int check_fits(const struct sc_quantizing *q, uint32_t tensor, struct sc_error *e)
{
    const struct sc_tensor *t = &q->o.model->tensors[tensor];
    struct sc_quoted name;
    const char *why = NULL;
    uint64_t bytes, cols = t->shape[t->rank - 1];

    for (size_t i = 0; i < q->o.n; i++) {
        const struct sc_quantized *f = &q->o.formats[i];
        if (!f->is_recipe &&
            !sc_encoding_bytes(&f->format, 1, cols ? t->parameters / cols : 0, cols, &bytes, &why))
            return sc_fail(e, SCRUPLE_EUSAGE, "%s does not fit tensor \"%s\": %s", f->name,
                           sc_quote(&name, sc_tensor_name(t)), why ? why : "its rows do not fit");
    }
    return 0;
}

static int choose(struct sc_quantizing *q, struct sc_error *e)
{
    const struct sc_model *m = q->o.model;

    q->has = sc_calloc(SC_MAX(m->n_tensors, (size_t)1), sizeof *q->has);
    if (!q->has)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        q->has[i] = is_quantised(q, i);
        q->n_has += q->has[i];
        if (q->has[i])
            TRY(check_fits(q, i, e));
    }
    return q->n_has ? 0 : sc_fail(e, SCRUPLE_EUSAGE, "no matrix of a layer is there to quantise");
}

int sc_quantizing_open(const struct sc_quantizing_options *o, struct sc_quantizing **out,
                       struct sc_error *e)
{
    struct sc_quantizing *q = sc_calloc(1, sizeof *q);

    if (!(*out = q))
        return sc_fail_memory(e);
    q->o = *o;
    q->ones = sc_calloc(SC_MAX(o->n, (size_t)1), sizeof *q->ones);
    q->variants = sc_calloc(SC_MAX(o->n, (size_t)1), sizeof *q->variants);
    if (!q->ones || !q->variants)
        return sc_fail_memory(e);
    for (size_t i = 0; i < o->n; i++) {
        struct one *x = &q->ones[i];
        *x = (struct one){.q = q,
                          .f = &o->formats[i],
                          .use = {o->formats[i].is_recipe ? &o->formats[i].recipe : NULL, o->held,
                                  o->p, o->cancel, 8},
                          .substitutes = {has, view, x},
                          .tensor = SC_NO_NODE};
        q->variants[i].substitutes = &x->substitutes;
    }
    return choose(q, e);
}

const struct sc_variant *sc_quantizing_variants(const struct sc_quantizing *q)
{
    return q->variants;
}

size_t sc_quantizing_tensors(const struct sc_quantizing *q)
{
    return q->n_has;
}

void sc_quantizing_close(struct sc_quantizing *q)
{
    if (!q)
        return;
    for (size_t i = 0; q->ones && i < q->o.n; i++)
        forget(&q->ones[i]);
    free(q->ones);
    free(q->variants);
    free(q->has);
    free(q);
}

/* -------------------------------------------------------------------------------- document --- */

enum { NAME, NLL, PERPLEXITY, RATIO, LOW, HIGH, KL, AGREE, CHANGE, COLUMNS };
static const struct sc_column columns[COLUMNS] = {
    [NAME] = {"format", "FORMAT", NULL, SC_COL_TEXT, 0, 0},
    [NLL] = {"nll", "NLL", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [PERPLEXITY] = {"perplexity", "PPL", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 3},
    [RATIO] = {"perplexity_ratio", "x PPL", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [LOW] = {"nll_low", "95 % FROM", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 4},
    [HIGH] = {"nll_high", "TO", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 4},
    [KL] = {"kl", "KL", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 5},
    [AGREE] = {"agree", "SAME TOP", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 3},
    [CHANGE] = {"change", "CHANGE", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 4},
};
struct table {
    const struct sc_quantized *formats;
    const struct sc_ppl *p;
};

static void get(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct table *t = ctx;
    const struct sc_effect *x = &t->p->effects[row];
    const double figures[COLUMNS] = {
        [NLL] = x->nll,     [PERPLEXITY] = exp(x->nll), [RATIO] = x->perplexity_ratio,
        [LOW] = x->low,     [HIGH] = x->high,           [KL] = x->kl,
        [AGREE] = x->agree, [CHANGE] = x->change};

    if (column == NAME) {
        out->text = sc_strz(row ? t->formats[row - 1].name : "as stored");
        return;
    }
    out->f = figures[column];
    out->null = !isfinite(figures[column]);
}

void sc_analyze_quantized(struct sc_document *d, struct sc_field *into,
                          const struct sc_quantized *formats, const struct sc_ppl *p)
{
    struct table *x = SC_ARENA_NEW(&d->arena, struct table, 1);

    if (!x) {
        d->failed = true;
        return;
    }
    *x = (struct table){formats, p};
    const struct sc_table t = {columns, COLUMNS, p->n_effects, get, x};
    sc_add_table(d, into, "quantized", &t);
}

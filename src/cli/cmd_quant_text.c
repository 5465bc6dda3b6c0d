/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_quant_text: what a terminal (and table.txt) shows of `quant`. */
#include "cli/cmd_quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TREE_MOST = 2000 };

/* ------------------------------------------------------------------------------------ text --- */
static void put_key(const struct sc_quant_text *x, const char *key)
{
    enum { WIDTH = 13 };

    sc_out_colour(x->o, x->term, SC_COLOUR_KEY, key);
    sc_out_repeat(x->o, ' ', WIDTH - strlen(key));
}

static void put_names(struct sc_out *o, const struct sc_quant_formats *f)
{
    for (size_t i = 0; i < f->n; i++) {
        sc_out_puts(o, i ? ", " : "");
        sc_out_puts(o, f->f[i].name);
    }
}

/* "pcc >= 0.999 in tiles of bf16, bfp8" */
static void put_goal(struct sc_out *o, const struct sc_quant_plan *p)
{
    const bool least = p->goal.metric == SC_MIX_PCC || p->goal.metric == SC_MIX_SQNR;
    char number[40];

    if (p->algorithm != SC_ALGORITHM_BUDGET) {
        sc_format_real(p->goal.threshold, number);
        sc_out_puts(o, sc_mix_metrics[p->goal.metric]);
        sc_out_puts(o, least ? " >= " : " <= ");
    } else {
        sc_out_puts(o, "best ");
        sc_out_puts(o, sc_mix_metrics[p->goal.metric]);
        sc_out_puts(o, " within ");
        if (p->budget.bits > 0)
            sc_format_real(p->budget.bits, number);
        else
            sc_format_bytes(p->budget.bytes, number);
    }
    sc_out_puts(o, number);
    if (p->algorithm == SC_ALGORITHM_BUDGET)
        sc_out_puts(o, p->budget.bits > 0 ? " bits a weight"
                       : p->model_wide    ? ""
                                          : " for each tensor");
    sc_out_puts(o, p->grain == SC_GRAIN_ROW     ? " in rows"
                   : p->grain == SC_GRAIN_GROUP ? " in groups of "
                                                : " in tiles");
    if (p->grain == SC_GRAIN_GROUP)
        sc_out_u64(o, p->group);
    sc_out_puts(o, " of ");
    put_names(o, &p->mix);
    if (p->model_wide)
        sc_out_puts(o, ", over all tensors together");
}

void sc_quant_put_plan(const struct sc_quant_text *x)
{
    const struct sc_quant_plan *p = x->q->plan;
    struct sc_out *o = x->o;

    put_key(x, "formats");
    put_names(o, &p->formats);
    sc_out_putc(o, '\n');
    put_key(x, "compression");
    sc_out_puts(o, sc_algorithm_names[p->algorithm]);
    if (sc_quant_mixes(p)) {
        sc_out_puts(o, ": ");
        put_goal(o, p);
    }
    sc_out_putc(o, '\n');
    put_key(x, "backend");
    sc_out_puts(o, "emulation (bit-exact)\n");
    if (x->set->config_file) {
        put_key(x, "config");
        sc_out_safe(o, x->term, SC_COLOUR_NONE, sc_strz(x->set->config_file));
        sc_out_putc(o, '\n');
    }
    if (p->seed_source != SC_SEED_UNUSED) {
        put_key(x, "seed");
        sc_out_u64(o, p->seed);
        sc_out_puts(o, " (");
        sc_out_puts(o, sc_seed_sources[p->seed_source]);
        sc_out_puts(o, "), generator " SC_GENERATOR "\n");
    }
}

static void put_title(const struct sc_quant_text *x, const char *title)
{
    sc_out_putc(x->o, '\n');
    sc_out_colour(x->o, x->term, SC_COLOUR_MODULE, title);
    sc_out_putc(x->o, '\n');
}

/* The tensors that are measured, as `tree` shows them. */
static int put_tree(const struct sc_quant_text *x, struct sc_error *e)
{
    const struct sc_quant *q = x->q;
    struct sc_outline outline = {0};
    struct sc_outline_options oo = {.sort = SC_SORT_NAME};
    struct sc_filter *filter = NULL;
    struct sc_document d;

    if (q->n < 2 || q->n > TREE_MOST)
        return 0;
    const char **names = sc_alloc(q->n * sizeof *names);
    int code = names ? 0 : sc_fail_memory(e);
    for (size_t i = 0; code == 0 && i < q->n; i++)
        names[i] = q->model->tensors[q->tensors[i].tensor].name;
    if (code == 0 && sc_filter_new(names, q->n, &filter, NULL) < 0) {
        free(names); /* a name that means something else as a filter */
        return 0;
    }
    oo.filter = filter;
    sc_document_start(&d, SC_SCHEMA_QUANT);
    if (code == 0)
        code = sc_outline_make(q->model, &oo, &outline, e);
    if (code == 0)
        code = sc_analyze_tree(&d, &d.root, q->model, &outline, &oo, e);
    const struct sc_table *rows = code == 0 ? sc_find_table(&d.root, "rows") : NULL;
    if (rows) {
        put_title(x, "Hierarchy");
        sc_report_table(x->o, rows, x->term);
    }
    sc_document_clear(&d);
    sc_outline_clear(&outline);
    sc_filter_free(filter);
    free(names);
    return code;
}

static void put_figure(struct sc_out *o, const char *key, double v)
{
    char text[64];

    snprintf(text, sizeof text, "%.3e", v);
    sc_out_puts(o, key);
    sc_out_puts(o, isnan(v) ? "-" : text);
}

static void put_facts(const struct sc_quant_text *x, const struct sc_quant_tensor *t)
{
    struct sc_out *o = x->o;

    put_figure(o, "  min ", t->facts.min);
    put_figure(o, "  mean ", t->facts.mean);
    put_figure(o, "  max ", t->facts.max);
    if (t->facts.nonfinite) {
        sc_out_puts(o, "  ");
        sc_out_colour(o, x->term, SC_COLOUR_ERROR, "NaN or infinite ");
        sc_out_u64(o, t->facts.nonfinite);
    }
    if (t->sampled) {
        sc_out_puts(o, "  sample of ");
        sc_out_u64(o, t->sampled);
        sc_out_puts(o, " values");
    }
    sc_out_putc(o, '\n');
}

static int put_table(const struct sc_quant_text *x, const struct sc_table *t,
                     const struct sc_document *d, struct sc_error *e)
{
    if (d->failed || !t)
        return sc_fail_memory(e);
    sc_report_table(x->o, t, x->term);
    return 0;
}

/* How sure the figures of a sample are: half of the 95 % interval. */
static void put_intervals(struct sc_out *o, const struct sc_quant *q,
                          const struct sc_quant_tensor *t)
{
    char text[160];

    for (size_t k = 0; t->intervals && k < q->measured.n; k++) {
        snprintf(text, sizeof text, "  %s: 95 %% of samples within pcc %.1e, mae %.1e, %.2f dB\n",
                 q->measured.f[k].name, t->intervals[k].pcc, t->intervals[k].mae,
                 t->intervals[k].sqnr_db);
        sc_out_puts(o, text);
    }
}

static int put_tensor(const struct sc_quant_text *x, const struct sc_quant_look *look, size_t i,
                      struct sc_error *e)
{
    const struct sc_quant *q = x->q;
    const struct sc_quant_tensor *what = &q->tensors[i], *t = sc_quant_first(q, i);
    const struct sc_tensor *tensor = &q->model->tensors[what->tensor];
    struct sc_out *o = x->o;
    struct sc_document d;
    int code = 0;

    sc_out_putc(o, '\n');
    sc_out_safe(o, x->term, SC_COLOUR_MODULE, sc_tensor_name(tensor));
    sc_out_puts(o, "  ");
    for (size_t k = 0; k < tensor->rank; k++) {
        if (k)
            sc_out_colour(o, x->term, SC_COLOUR_SHAPE_X, "x");
        sc_out_u64(o, tensor->shape[k]);
    }
    sc_out_puts(o, "  ");
    sc_out_colour(o, x->term, SC_COLOUR_DTYPE, tensor->dtype);
    sc_out_putc(o, '\n');
    if (!t->measured) {
        sc_out_puts(o, "  ");
        sc_out_safe(o, x->term, SC_COLOUR_WARNING, sc_strz(t->why ? t->why : "was not measured"));
        sc_out_putc(o, '\n');
        return 0;
    }
    if (what->same != SC_NO_NODE) {
        sc_out_puts(o, "  the same values as ");
        sc_out_safe(o, x->term, SC_COLOUR_TENSOR,
                    sc_tensor_name(&q->model->tensors[q->tensors[what->same].tensor]));
        sc_out_putc(o, '\n');
        return 0;
    }
    put_facts(x, t);
    sc_document_start(&d, SC_SCHEMA_QUANT);
    code = put_table(x, sc_quant_table(&d, q, i, look, e), &d, e);
    put_intervals(o, q, t);
    if (code == 0 && t->curve && x->set->curve)
        code = put_table(x,
                         sc_quant_curve_table(&d, q, t->curve, t->n_curve, "frontier",
                                              tensor->parameters, look->ascii, e),
                         &d, e);
    sc_document_clear(&d);
    return code;
}

static int put_together(const struct sc_quant_text *x, const struct sc_quant_look *look,
                        struct sc_error *e)
{
    const struct sc_quant *q = x->q;
    struct sc_document d;
    int code = 0;

    sc_document_start(&d, SC_SCHEMA_QUANT);
    if (q->has_total) {
        put_title(x, "All tensors together");
        code = put_table(x,
                         sc_quant_curve_table(&d, q, &q->total, 1,
                                              sc_algorithm_names[q->plan->algorithm],
                                              sc_quant_parameters(q), look->ascii, e),
                         &d, e);
    }
    if (code == 0 && q->n_curve && q->n > 1) {
        put_title(x, "Frontier of all tensors together");
        code = put_table(x,
                         sc_quant_curve_table(&d, q, q->curve, q->n_curve, "frontier",
                                              sc_quant_parameters(q), look->ascii, e),
                         &d, e);
    }
    if (code == 0 && x->set->summary && q->n_measured) {
        put_title(x, "Summary (mean across matched tensors; w.: weighted by parameters)");
        code = put_table(x, sc_quant_summary_table(&d, q, look, e), &d, e);
    }
    sc_document_clear(&d);
    return code;
}

int sc_quant_put_text(const struct sc_quant_text *x, struct sc_error *e)
{
    const struct sc_quant_look look = {x->set->legacy_sizes, x->seconds, x->term->ascii};
    int code = put_tree(x, e);

    for (size_t i = 0; code == 0 && i < x->q->n; i++)
        code = put_tensor(x, &look, i, e);
    return code == 0 ? put_together(x, &look, e) : code;
}

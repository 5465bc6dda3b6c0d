/* SPDX-License-Identifier: Apache-2.0 */
/* scan_compat: the same figures in the shapes that other programs write.
 *
 *   WeightScope   an object a layer, with its keys and nesting; infinities are strings
 *   Spectrum      the YAML list of parameters to leave trainable
 *
 * Owns: their spellings, and which tensors they look at. Figures are ours: where theirs differ by
 * rounding or by mistake (norms of large tensors, cosines above one), ours are the right ones.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/scan.h"

static void add(struct sc_document *d, struct sc_field *into, const char *key, double v)
{
    if (isnan(v))
        sc_add_null(d, into, key);
    else
        sc_add_number(d, into, key, v);
}

static void add_count(struct sc_document *d, struct sc_field *into, const char *key, uint64_t v)
{
    if (v == UINT64_MAX)
        sc_add_null(d, into, key);
    else
        sc_add_uint(d, into, key, v, SC_COL_COUNT);
}

/* ----------------------------------------------------------------------------- WeightScope --- */
static void add_basic(struct sc_document *d, struct sc_field *into, const struct sc_basic *b)
{
    struct sc_field *f = sc_add_object(d, into, "basic_stats");

    add(d, f, "mean", b->mean);
    add(d, f, "std", b->std);
    add(d, f, "min", b->min);
    add(d, f, "max", b->max);
    add(d, f, "l2_norm", b->l2_norm);
    add(d, f, "zeros_percentage", b->zeros_percent);
}

static void add_spectral(struct sc_document *d, struct sc_field *into, const struct sc_spectrum *s)
{
    struct sc_field *f = sc_add_object(d, into, "spectral");

    add(d, f, "condition_number", s->condition);
    add(d, f, "stable_rank", s->stable_rank);
    add_count(d, f, "effective_rank", s->rank_001);
    add_count(d, f, "total_rank", s->total_rank);
    add(d, f, "max_singular_value", s->sigma_max);
    add(d, f, "min_singular_value", s->sigma_min);
    add(d, f, "singular_value_ratio", s->ratio);
    struct sc_field *top = sc_add_list(d, f, "top_singular_values");
    for (size_t i = 0; i < SC_TOP_SIGMA && i < s->total_rank && !isnan(s->top[i]); i++)
        sc_add_number(d, top, NULL, s->top[i]);
}

static void add_quantization(struct sc_document *d, struct sc_field *into,
                             const struct sc_quantization *q)
{
    struct sc_field *f = sc_add_object(d, into, "quantization");

    add(d, f, "outlier_percentage", q->outlier_percent);
    add(d, f, "extreme_outlier_percentage", q->extreme_outlier_percent);
    add_count(d, f, "outlier_count", q->outliers);
    add_count(d, f, "extreme_outlier_count", q->extreme_outliers);
    add(d, f, "quantization_scale", q->scale);
    add(d, f, "quantization_mse", q->per_tensor.mse);
    add(d, f, "quantization_mae", q->per_tensor.mae);
    add(d, f, "cosine_similarity", q->per_tensor.cosine);
    add(d, f, "sqnr_db", q->per_tensor.sqnr_db);
    add(d, f, "abs_max", q->abs_max);
    add(d, f, "dynamic_range", q->dynamic_range);
}

static void add_sparsity(struct sc_document *d, struct sc_field *into, const struct sc_tensor *t,
                         const struct sc_sparsity *p)
{
    static const char *const levels[SC_LEVELS] = {"threshold_0.0", "threshold_1e-06",
                                                  "threshold_0.0001", "threshold_0.01"};
    static const char *const magnitudes[SC_MAGNITUDES] = {"p10", "p25", "p50", "p75", "p90"};
    struct sc_field *f = sc_add_object(d, into, "sparsity");

    struct sc_field *level = sc_add_object(d, f, "sparsity_levels");
    for (size_t i = 0; i < SC_LEVELS; i++)
        add(d, level, levels[i], p->level_percent[i]);
    struct sc_field *dead = sc_add_object(d, f, "structured_sparsity");
    if (t->rank == 2) {
        add_count(d, dead, "dead_rows", p->dead_rows);
        add(d, dead, "dead_rows_percentage", p->dead_rows_percent);
        add_count(d, dead, "dead_columns", p->dead_columns);
        add(d, dead, "dead_columns_percentage", p->dead_columns_percent);
    }
    struct sc_field *magnitude = sc_add_object(d, f, "magnitude_percentiles");
    for (size_t i = 0; i < SC_MAGNITUDES; i++)
        add(d, magnitude, magnitudes[i], p->magnitude[i]);
    add(d, f, "mean_abs_weight", p->mean_abs);
    add(d, f, "median_abs_weight", p->median_abs);
}

/* Weights of linear, convolution and embedding modules, by the module's name. */
bool sc_scan_weightscope(const struct sc_scan *s, size_t i, struct sc_document *d,
                         struct sc_field *into, struct sc_buf *key)
{
    const struct sc_tensor *t = &s->model->tensors[s->tensors[i]];
    const struct sc_health *h = s->health[i];
    struct sc_str name = sc_str(t->name, t->name_len);

    if (!h || t->rank < 2 || !sc_str_ends(name, ".weight"))
        return false;
    sc_buf_put(key, name.p, name.n - strlen(".weight"));
    if (h->measured & SC_METHOD_BASIC)
        add_basic(d, into, &h->basic);
    if (h->measured & SC_METHOD_SPECTRAL)
        add_spectral(d, into, &h->spectrum);
    if (h->measured & SC_METHOD_QUANTIZATION)
        add_quantization(d, into, &h->quantization);
    if (h->measured & SC_METHOD_SPARSITY)
        add_sparsity(d, into, t, &h->sparsity);
    return true;
}

/* -------------------------------------------------------------------------------- Spectrum --- */
/* What stands behind the number of the layer: "self_attn.q_proj". */
static struct sc_str kind_of(const struct sc_tensor *t)
{
    struct sc_str name = sc_str(t->name, t->name_len);
    size_t at = 0;

    for (size_t i = 1; i + 1 < name.n && !at; i++) {
        size_t end = i;
        while (end < name.n && name.p[end] >= '0' && name.p[end] <= '9')
            end++;
        if (name.p[i - 1] == '.' && end > i && end < name.n && name.p[end] == '.')
            at = end + 1;
    }
    return sc_str(name.p + at, name.n - at);
}

struct candidate {
    struct sc_str kind, name;
    double snr;
};

static int by_snr(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int order = sc_str_cmp(x->kind, y->kind);

    if (order)
        return order;
    if (x->snr < y->snr || x->snr > y->snr)
        return x->snr > y->snr ? -1 : 1;
    return sc_natural_cmp(x->name, y->name);
}

/* The module's name: a plain YAML scalar where it allows that, as Spectrum writes them, else a
 * quoted one. */
static void put_name(struct sc_buf *out, struct sc_str name)
{
    bool plain = true;

    if (sc_str_ends(name, ".weight"))
        name.n -= strlen(".weight");
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        plain = plain && ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                          (c >= 'a' && c <= 'z') || (c && strchr("._-/", c)));
    }
    sc_buf_puts(out, plain ? "- " : "- \"");
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (plain || (c >= 0x20 && c < 0x7f && c != '"' && c != '\\'))
            sc_buf_putc(out, (char)c);
        else
            sc_buf_printf(out, "\\x%02x", c);
    }
    sc_buf_puts(out, plain ? "\n" : "\"\n");
}

int sc_scan_unfrozen(const struct sc_scan *s, bool mp, struct sc_buf *out, struct sc_error *e)
{
    struct candidate *all = sc_alloc(SC_MAX(s->n, (size_t)1) * sizeof *all);
    size_t n = 0;

    if (!all)
        return sc_fail_memory(e);
    for (size_t i = 0; i < s->n; i++) {
        const struct sc_tensor *t = &s->model->tensors[s->tensors[i]];
        const struct sc_health *h = s->health[i];
        if (!h || !(h->measured & SC_METHOD_SPECTRAL) || t->layer < 0 || t->rank != 2)
            continue;
        double snr = mp ? h->spectrum.mp_snr : h->spectrum.spectrum_snr;
        if (!isnan(snr))
            all[n++] = (struct candidate){kind_of(t), sc_str(t->name, t->name_len), snr};
    }
    if (n)
        qsort(all, n, sizeof *all, by_snr);
    sc_buf_puts(out, "unfrozen_parameters:\n- ^lm_head.weight$\n- ^model.embed_tokens.weight$\n");
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && sc_str_eq(all[end].kind, all[i].kind);)
            end++;
        sc_buf_puts(out, "# ");
        struct sc_str kind = all[i].kind;
        kind.n -= sc_str_ends(kind, ".weight") ? strlen(".weight") : 0;
        (void)sc_put_safe(out, kind, 200);
        sc_buf_puts(out, " layers\n");
        for (size_t k = i; k < i + (end - i) / 2; k++)
            put_name(out, all[k].name);
    }
    free(all);
    return out->failed ? sc_fail_memory(e) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* plots: the tables of plots and of the metrics they can show.
 *
 * A plot is a row here and a function in plots_weights.c (elements), plots_spectrum.c (singular
 * values), plots_quant.c, plots_grid.c (heat maps) or plots_models.c (several scans). */
#include <math.h>
#include <string.h>

#include "report/plots_draw.h"

/* --------------------------------------------------------------------------------- metrics --- */
#define GET(name, expression)                                                                      \
    static double name(const struct sc_health *h)                                                  \
    {                                                                                              \
        return expression;                                                                         \
    }
static double share(uint64_t part, uint64_t all)
{
    return part == UINT64_MAX || all == UINT64_MAX || !all ? NAN : 100 * (double)part / (double)all;
}
GET(get_std, h->basic.std)
GET(get_abs_max, h->basic.abs_max)
GET(get_kurtosis, h->basic.kurtosis)
GET(get_beyond, h->basic.max_over_sigma)
GET(get_zeros, h->basic.zeros_percent)
GET(get_bad_values, (double)(h->basic.nans + h->basic.infinities))
GET(get_entropy, h->basic.entropy)
GET(get_near_zero, h->sparsity.level_percent[1])
GET(get_dead_rows, h->sparsity.dead_rows_percent)
GET(get_dead_columns, h->sparsity.dead_columns_percent)
GET(get_extreme, h->quantization.extreme_outlier_percent)
GET(get_sqnr_tensor, h->quantization.per_tensor.sqnr_db)
GET(get_sqnr_channel, h->quantization.per_channel.sqnr_db)
GET(get_sqnr_group, h->quantization.per_group.sqnr_db)
GET(get_dynamic, h->quantization.dynamic_range)
GET(get_condition, h->spectrum.method ? h->spectrum.condition : NAN)
GET(get_excess, h->spectrum.method ? h->spectrum.condition / h->spectrum.condition_random : NAN)
GET(get_sigma_max, h->spectrum.method ? h->spectrum.sigma_max : NAN)
GET(get_stable, h->spectrum.method ? h->spectrum.stable_rank : NAN)
GET(get_energy,
    h->spectrum.method ? share(h->spectrum.energy_rank[3], h->spectrum.total_rank) : NAN)
GET(get_signal, h->spectrum.method ? share(h->spectrum.signal_rank, h->spectrum.total_rank) : NAN)
GET(get_alpha, h->spectrum.method ? h->spectrum.power_law.alpha : NAN)

const struct sc_plot_metric sc_plot_metrics[] = {
    {"std", "Standard deviation", NULL, get_std, SC_METHOD_BASIC, true, 0},
    {"abs-max", "Largest magnitude", NULL, get_abs_max, SC_METHOD_BASIC, true, 0},
    {"max-sigma", "Largest magnitude in standard deviations", "σ", get_beyond, SC_METHOD_BASIC,
     true, 1},
    {"kurtosis", "Excess kurtosis", NULL, get_kurtosis, SC_METHOD_BASIC, false, 1},
    {"zeros", "Zeros", "%", get_zeros, SC_METHOD_BASIC, false, 1},
    {"not-finite", "NaN and infinite values", NULL, get_bad_values, SC_METHOD_BASIC, false, 1},
    {"entropy", "Entropy of the stored codes", "bits", get_entropy, SC_METHOD_BASIC, false, 0},
    {"near-zero", "Values within 1e-6 of zero", "%", get_near_zero, SC_METHOD_SPARSITY, false, 1},
    {"dead-rows", "Dead rows", "%", get_dead_rows, SC_METHOD_SPARSITY, false, 1},
    {"dead-columns", "Dead columns", "%", get_dead_columns, SC_METHOD_SPARSITY, false, 1},
    {"extreme", "Extreme outliers (3 IQR)", "%", get_extreme, SC_METHOD_QUANTIZATION, true, 1},
    {"sqnr-tensor", "SQNR, one scale a tensor", "dB", get_sqnr_tensor, SC_METHOD_QUANTIZATION,
     false, -1},
    {"sqnr-channel", "SQNR, one scale a row", "dB", get_sqnr_channel, SC_METHOD_QUANTIZATION, false,
     -1},
    {"sqnr-group", "SQNR, one scale a group", "dB", get_sqnr_group, SC_METHOD_QUANTIZATION, false,
     -1},
    {"dynamic-range", "Dynamic range (largest over mean magnitude)", NULL, get_dynamic,
     SC_METHOD_QUANTIZATION, true, 1},
    {"condition", "Condition number", NULL, get_condition, SC_METHOD_SPECTRAL, true, 1},
    {"condition-excess", "Condition number over that of a random matrix", "×", get_excess,
     SC_METHOD_SPECTRAL, true, 1},
    {"sigma-max", "Largest singular value", NULL, get_sigma_max, SC_METHOD_SPECTRAL, true, 0},
    {"stable-rank", "Stable rank", NULL, get_stable, SC_METHOD_SPECTRAL, true, 0},
    {"energy-rank", "Ranks that hold 99 % of the energy", "%", get_energy, SC_METHOD_SPECTRAL,
     false, 0},
    {"signal-rank", "Ranks above the noise", "%", get_signal, SC_METHOD_SPECTRAL, false, 0},
    {"alpha", "Power-law exponent α", NULL, get_alpha, SC_METHOD_SPECTRAL, false, 0},
};
const size_t sc_n_plot_metrics = SC_COUNT(sc_plot_metrics);

const struct sc_plot_metric *sc_plot_metric(const char *id)
{
    for (size_t i = 0; i < sc_n_plot_metrics; i++)
        if (!strcmp(sc_plot_metrics[i].id, id))
            return &sc_plot_metrics[i];
    return NULL;
}

/* The first four keep apart for every kind of colour-blindness; shapes tell all of them. */
const struct sc_legend_item sc_families[SC_FAMILY_COUNT] = {
    [SC_FAMILY_ATTENTION] = {SC_INK_BLUE, SC_SHAPE_CIRCLE, "attention"},
    [SC_FAMILY_MLP] = {SC_INK_ORANGE, SC_SHAPE_SQUARE, "MLP"},
    [SC_FAMILY_EXPERT] = {SC_INK_AQUA, SC_SHAPE_TRIANGLE, "experts"},
    [SC_FAMILY_EMBEDDING] = {SC_INK_VIOLET, SC_SHAPE_DIAMOND, "embedding, output"},
    [SC_FAMILY_NORM] = {SC_INK_YELLOW, SC_SHAPE_DROP, "norm"},
    [SC_FAMILY_ROUTER] = {SC_INK_MAGENTA, SC_SHAPE_CROSS, "router"},
    [SC_FAMILY_SSM] = {SC_INK_GREEN, SC_SHAPE_SQUARE, "state space, convolution"},
    [SC_FAMILY_OTHER] = {SC_INK_OTHER, SC_SHAPE_CIRCLE, "other"},
};

/* ----------------------------------------------------------------------------------- plots --- */
#define NEEDS_BASIC "No values were measured (method basic)."
#define NEEDS_LAYERS                                                                               \
    "No values of layers were measured (method basic, tensors with a layer's number)."
#define NEEDS_QUANT    "No quantization error was measured (method quantization)."
#define NEEDS_SPECTRUM "No singular values were measured (method spectral)."
#define NEEDS_MODELS   "This compares two scans or more."

const struct sc_plot sc_plots[] = {
    {"dashboard", "Health at a glance",
     "How the tensors of the model are spread over each figure. Zeros of a logarithmic axis and "
     "singular matrices (∞) have bars of their own beside it.",
     "Nothing was measured.", SC_PLOT_MODEL, sc_draw_dashboard},
    {"std", "Standard deviation along the layers",
     "The median over the tensors of a role in a layer, in a band from the lowest to the "
     "highest of them. A healthy stack changes smoothly; a jump or a single layer that leaves "
     "its neighbours deserves a look.",
     NEEDS_LAYERS, SC_PLOT_MODEL, sc_draw_std},
    {"condition", "Condition numbers",
     "The largest over the smallest singular value. The upright mark is what a matrix of random "
     "numbers of the same shape has: only the excess says something about the weights, so the "
     "furthest above it come first. A bar that passes the diamond tells of the rounding of the "
     "stored type.",
     NEEDS_SPECTRUM, SC_PLOT_MODEL, sc_draw_condition},
    {"quantization-risk", "Quantization risk",
     "Extreme outliers against the signal-to-noise ratio of symmetric integers with one scale "
     "for the tensor. Normally distributed values of the same size give what the grey lines "
     "mark; right and below of them, outliers cost precision. Scales a row or a group win much "
     "of it back.",
     NEEDS_QUANT, SC_PLOT_MODEL, sc_draw_risk},
    {"rank-efficiency", "Where the energy of the matrices is",
     "How many of all ranks hold 50, 90, 95 and 99 % of the squared singular values (median of "
     "a role), and how the stable rank compares with a random matrix of the same shape.",
     NEEDS_SPECTRUM, SC_PLOT_MODEL, sc_draw_rank},
    {"layers", "Layers and roles",
     "One cell for the tensors of a role in a layer: their median. Where only a grey line is, "
     "the layer has no such role, or its tensors have no such figure.",
     "The metric was not measured.", SC_PLOT_METRIC, sc_draw_roles},
    {"experts", "Layers and experts",
     "One cell for the weights of an expert in a layer: their median. Experts that leave the "
     "crowd show as single cells.",
     "No weights of single experts were measured.", SC_PLOT_METRIC, sc_draw_experts},
    {"distribution", "Distribution of the values",
     "Counts of values in 64 equal bins, twice: linear, and logarithmic to show the tails. The "
     "line is a normal distribution with the same mean and standard deviation.",
     NEEDS_BASIC, SC_PLOT_TENSOR, sc_draw_distribution},
    {"singular-values", "Singular values",
     "In order of size, linear and logarithmic. Above the dashed edge lies what independent "
     "random entries of the same variance would not give.",
     NEEDS_SPECTRUM, SC_PLOT_TENSOR, sc_draw_singular},
    {"esd", "Spectral density",
     "The eigenvalues of WᵀW in logarithmic bins, with the power law fitted to their tail and "
     "the density of Marchenko and Pastur, which random entries would follow.",
     NEEDS_SPECTRUM, SC_PLOT_TENSOR, sc_draw_esd},
    {"comparison", "What differs most",
     "The tensors of both scans whose figures differ most: from the hollow mark (first) to the "
     "full one (second).",
     NEEDS_MODELS, SC_PLOT_MODELS, sc_draw_comparison},
    {"evolution", "Evolution",
     "The median over the tensors of a kind, scan by scan in the order they were given.",
     NEEDS_MODELS, SC_PLOT_MODELS, sc_draw_evolution},
};
const size_t sc_n_plots = SC_COUNT(sc_plots);

const struct sc_plot *sc_plot(const char *id)
{
    for (size_t i = 0; i < sc_n_plots; i++)
        if (!strcmp(sc_plots[i].id, id))
            return &sc_plots[i];
    return NULL;
}

static bool has_what_it_needs(const struct sc_plot *p, const struct sc_plot_input *in)
{
    if (p->kind == SC_PLOT_MODELS)
        return in->n_views >= 2;
    if (!in->n_views || !in->views[0].n)
        return false;
    if (p->kind == SC_PLOT_METRIC)
        return in->metric != NULL;
    return p->kind != SC_PLOT_TENSOR || in->tensor < in->views[0].n;
}

/* What stands under the title of a file. */
static void put_subject(const struct sc_plot *p, const struct sc_plot_input *in, struct sc_buf *b)
{
    for (size_t i = 0; i < in->n_views && (i == 0 || p->kind == SC_PLOT_MODELS) && i < 4; i++) {
        if (i)
            sc_buf_puts(b, " → ");
        sc_buf_put(b, in->views[i].title.p, in->views[i].title.n);
    }
    if (p->kind == SC_PLOT_TENSOR) {
        const struct sc_tensor *t = sc_view_tensor(&in->views[0], in->tensor);
        sc_buf_puts(b, " · ");
        sc_buf_put(b, t->name, t->name_len);
    }
}

static void put_title(const struct sc_plot *p, const struct sc_plot_input *in, struct sc_buf *b)
{
    sc_buf_puts(b, p->title);
    if (p->kind == SC_PLOT_METRIC)
        sc_buf_printf(b, ": %s%s%s", in->metric->title, in->metric->unit ? ", " : "",
                      in->metric->unit ? in->metric->unit : "");
}

int sc_plot_svg(const struct sc_plot *p, const struct sc_plot_input *in, double width, bool page,
                struct sc_buf *out, struct sc_buf *notes, struct sc_error *e)
{
    struct sc_svg s;
    struct sc_buf title = {0}, subject = {0};

    if (!has_what_it_needs(p, in))
        return 0;
    sc_svg_start(&s, width, page);
    if (!p->draw(in, &s) && !s.b.failed) {
        sc_svg_clear(&s);
        return 0;
    }
    if (notes && s.notes.n)
        sc_buf_put(notes, s.notes.p, s.notes.n);
    put_title(p, in, &title);
    put_subject(p, in, &subject);
    out->failed = out->failed || title.failed || subject.failed;
    sc_svg_finish(&s, title.p ? title.p : "", p->what,
                  sc_str(subject.p ? subject.p : "", subject.n), "plot", out);
    sc_buf_clear(&title);
    sc_buf_clear(&subject);
    if (out->failed || (notes && notes->failed))
        return sc_fail_memory(e);
    return 1;
}

void sc_plot_spark(const struct sc_grid *g, uint32_t row, bool log, struct sc_buf *out)
{
    struct sc_svg s;
    double low = INFINITY, high = -INFINITY;
    struct sc_panel p = {.box = {1, 2, 118, 18}};

    sc_svg_start(&s, 120, true);
    s.h = 22;
    for (size_t i = 0; i < g->n_cells; i++) {
        double v = g->cells[i].median;
        if (g->cells[i].row == row && isfinite(v) && (!log || v > 0)) {
            low = SC_MIN(low, v);
            high = SC_MAX(high, v);
        }
    }
    p.x = (struct sc_scale){
        .low = -0.5, .high = (double)SC_MAX(g->n_columns, 1) - 0.5, .first = 1, .last = 119};
    p.y = sc_scale_fit(log, low, high);
    if (low < high) {
        p.y.low = low;
        p.y.high = high;
    }
    p.y.first = 20;
    p.y.last = 2;
    sc_svg_path(&s, SC_INK_BLUE, 1.5, false);
    for (size_t i = 0; i < g->n_cells; i++)
        if (g->cells[i].row == row && g->columns[g->cells[i].column].number >= 0)
            sc_svg_to(&s, sc_scale_at(&p.x, g->cells[i].column),
                      sc_scale_at(&p.y, g->cells[i].median));
    sc_svg_end_path(&s);
    for (size_t i = 0; i < g->n_cells; i++) /* singular layers are not on the line */
        if (g->cells[i].row == row && isinf(g->cells[i].median))
            sc_svg_mark(&s, SC_SHAPE_CIRCLE, sc_scale_at(&p.x, g->cells[i].column), 4, 2.5,
                        SC_INK_CRITICAL);
    sc_svg_finish(&s, "along the layers", "", SC_STR(""), "spark", out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* plots_spectrum: pictures of singular values: of one matrix, and of all matrices of a model. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/plots_draw.h"

#define PI   3.14159265358979323846 /* POSIX has no M_PI without XSI */
#define LN10 2.30258509299404568402

static const struct sc_spectrum *spectrum_of(const struct sc_scan_view *v, size_t i)
{
    const struct sc_health *h = sc_view_health(v, i, SC_METHOD_SPECTRAL);

    return h && h->spectrum.method != SC_SPECTRUM_NONE ? &h->spectrum : NULL;
}

/* ------------------------------------------------------------------------- singular values --- */
static size_t points_in(const struct sc_spectrum *sp)
{
    return SC_MIN(sp->n_points, SC_SIGMA_POINTS);
}

/* Points stand at evenly spread ranks, 1 to total_rank. */
static double rank_of(const struct sc_spectrum *sp, size_t i)
{
    size_t n = points_in(sp);

    return n < 2 ? 1 : 1 + (double)i * ((double)sp->total_rank - 1) / (double)(n - 1);
}

static void draw_sigma(struct sc_svg *s, const struct sc_box *box, const struct sc_spectrum *sp,
                       bool log)
{
    double low = INFINITY, high = -INFINITY;
    size_t n = points_in(sp);

    for (size_t i = 0; i < n; i++) {
        double v = sp->point[i];
        if (!isfinite(v) || (log && v <= 0))
            continue;
        low = SC_MIN(low, v);
        high = SC_MAX(high, v);
    }
    struct sc_panel p = {.x = {.low = 0, .high = (double)SC_MAX(sp->total_rank, 1)},
                         .y = sc_scale_fit(log, log ? low : 0, high),
                         .title = log ? "Logarithmic" : "Linear",
                         .x_title = "rank",
                         .y_title = "singular value"};
    sc_panel_draw(s, &p, box);
    sc_svg_path(s, SC_INK_BLUE, 2, false);
    for (size_t i = 0; i < n; i++)
        sc_svg_to(s, sc_scale_at(&p.x, rank_of(sp, i)), sc_scale_at(&p.y, (double)sp->point[i]));
    sc_svg_end_path(s);
    for (size_t i = 0; i < n; i++) {
        char tip[96];
        snprintf(tip, sizeof tip, "rank %.0f: %s", rank_of(sp, i),
                 sc_value_text((double)sp->point[i]).s);
        sc_svg_item(s, UINT32_MAX, sc_strz(tip));
        sc_svg_mark(s, SC_SHAPE_CIRCLE, sc_scale_at(&p.x, rank_of(sp, i)),
                    sc_scale_at(&p.y, (double)sp->point[i]), 3, SC_INK_BLUE);
        sc_svg_end_item(s);
    }
    sc_panel_guide(s, &p, true, sp->edge, "edge of random entries", SC_INK_TEXT2);
}

bool sc_draw_singular(const struct sc_plot_input *in, struct sc_svg *s)
{
    const struct sc_spectrum *sp = spectrum_of(&in->views[0], in->tensor);
    size_t zeros = 0, wild = 0;

    if (!sp || !points_in(sp))
        return false;
    struct sc_rows rows = sc_rows_start(s, 0, 2, 330, 290);
    for (int log = 0; log < 2; log++) {
        struct sc_box box = sc_rows_next(&rows);
        draw_sigma(s, &box, sp, log);
    }
    s->h = sc_rows_end(&rows);
    for (size_t i = 0; i < points_in(sp); i++) {
        zeros += sp->point[i] == 0;
        wild += !isfinite(sp->point[i]);
    }
    if (zeros + wild)
        sc_svg_note(s, "Of %zu points, %zu %s zero and cannot be on the logarithmic axis.",
                    points_in(sp), zeros + wild, zeros + wild == 1 ? "is" : "are");
    if (sp->slices > 1)
        sc_svg_note(
            s, "Of %u matrices this is number %u (from 0), which has the largest condition number.",
            sp->slices, sp->slice);
    if (sp->method == SC_SPECTRUM_LANCZOS || sp->method == SC_SPECTRUM_ESTIMATE)
        sc_svg_note(s, "These values are estimates.");
    return true;
}

/* -------------------------------------------------------------------------------- density --- */
struct density {
    const struct sc_spectrum *sp;
    double total, bin; /* eigenvalues in bins; width of a bin in log10 */
};

/* Expected share of a bin around lambda under the power law of the tail. */
static double power_law_share(const struct density *d, double lambda)
{
    const struct sc_power_law *pl = &d->sp->power_law;

    if (!(pl->alpha > 1) || !(pl->xmin > 0) || lambda < pl->xmin ||
        (pl->xmax > 0 && lambda > pl->xmax))
        return NAN;
    double density = (pl->alpha - 1) / pl->xmin * pow(lambda / pl->xmin, -pl->alpha);
    return density * lambda * LN10 * d->bin * (double)pl->in_tail / d->total;
}

/* The same under Marchenko and Pastur: eigenvalues of W'W, entries of variance noise_sigma^2. */
static double random_share(const struct density *d, double lambda)
{
    double m = (double)SC_MIN(d->sp->rows, d->sp->cols),
           n = (double)SC_MAX(d->sp->rows, d->sp->cols);
    double v = d->sp->noise_sigma * d->sp->noise_sigma;
    double low = v * pow(sqrt(n) - sqrt(m), 2), high = v * pow(sqrt(n) + sqrt(m), 2);

    if (!(v > 0) || !(lambda > low && lambda < high))
        return NAN;
    double density = sqrt((high - lambda) * (lambda - low)) / (2 * PI * v * m * lambda);
    return density * lambda * LN10 * d->bin;
}

static void draw_curve(struct sc_svg *s, const struct sc_panel *p, const struct density *d,
                       double (*share)(const struct density *, double), enum sc_ink ink)
{
    enum { STEPS = 300 };
    double low = log10(p->x.low), high = log10(p->x.high);

    sc_svg_path(s, ink, 2, false);
    for (size_t i = 0; i <= STEPS; i++) {
        double lambda = pow(10, low + (high - low) * (double)i / STEPS), v = share(d, lambda);
        sc_svg_to(s, sc_scale_at(&p->x, lambda), v >= p->y.low ? sc_scale_at(&p->y, v) : NAN);
    }
    sc_svg_end_path(s);
}

static void draw_bins(struct sc_svg *s, const struct sc_panel *p, const struct density *d)
{
    double bottom = p->box.y + p->box.h;

    for (size_t i = 0; i < SC_ESD_BINS; i++) {
        if (!d->sp->esd[i])
            continue;
        double at = d->sp->esd_low + (double)i * d->bin;
        double left = sc_scale_at(&p->x, pow(10, at)),
               right = sc_scale_at(&p->x, pow(10, at + d->bin));
        double y = sc_scale_at(&p->y, d->sp->esd[i] / d->total);
        char tip[128];
        snprintf(tip, sizeof tip, "%u eigenvalues from %s to %s", d->sp->esd[i],
                 sc_value_text(pow(10, at)).s, sc_value_text(pow(10, at + d->bin)).s);
        sc_svg_item(s, UINT32_MAX, sc_strz(tip));
        sc_svg_rect(s, left + 0.4, y, SC_MAX(right - left - 0.8, 0.6), bottom - y, SC_INK_BLUE);
        sc_svg_end_item(s);
    }
}

bool sc_draw_esd(const struct sc_plot_input *in, struct sc_svg *s)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_BLUE, SC_SHAPE_BOX, "eigenvalues"},
        {SC_INK_ORANGE, SC_SHAPE_LINE, "power law of the tail"},
        {SC_INK_VIOLET, SC_SHAPE_LINE, "Marchenko-Pastur"}};
    struct density d = {.sp = spectrum_of(&in->views[0], in->tensor)};

    if (!d.sp || !isfinite(d.sp->esd_low + d.sp->esd_high) || !(d.sp->esd_high > d.sp->esd_low) ||
        fabs(d.sp->esd_low) > 290 || fabs(d.sp->esd_high) > 290)
        return false;
    for (size_t i = 0; i < SC_ESD_BINS; i++)
        d.total += d.sp->esd[i];
    if (!(d.total > 0))
        return false;
    d.bin = (d.sp->esd_high - d.sp->esd_low) / SC_ESD_BINS;
    double y = sc_svg_legend(s, 0, 0, s->w, items, SC_COUNT(items)) + 4;
    struct sc_box box = {0, y, s->w, 320};
    double top = 0;
    for (size_t i = 0; i < SC_ESD_BINS; i++)
        top = SC_MAX(top, d.sp->esd[i] / d.total);
    double pad = 0.02 * (d.sp->esd_high - d.sp->esd_low);
    struct sc_panel p = {.x = {.log = true,
                               .low = pow(10, d.sp->esd_low - pad),
                               .high = pow(10, d.sp->esd_high + pad)},
                         .y = sc_scale_fit(true, 0.5 / d.total, top),
                         .x_title = "eigenvalue λ of WᵀW",
                         .y_title = "share of eigenvalues in a bin"};
    sc_panel_draw(s, &p, &box);
    draw_bins(s, &p, &d);
    draw_curve(s, &p, &d, random_share, SC_INK_VIOLET);
    draw_curve(s, &p, &d, power_law_share, SC_INK_ORANGE);
    sc_panel_guide(s, &p, false, d.sp->power_law.xmin, "tail begins", SC_INK_TEXT2);
    sc_panel_guide(s, &p, false, d.sp->edge * d.sp->edge, "edge", SC_INK_TEXT2);
    s->h = y + 320;
    if (d.sp->power_law.alpha > 1)
        sc_svg_note(s, "Power law: α = %s, distance D = %s, %llu eigenvalues in the tail.",
                    sc_value_text(d.sp->power_law.alpha).s,
                    sc_value_text(d.sp->power_law.distance).s,
                    (unsigned long long)d.sp->power_law.in_tail);
    return true;
}

/* ----------------------------------------------------------------------- condition numbers --- */
enum { CONDITION_ROWS = 40, SINGULAR_ROWS = 20, ROW = 19, VALUES = 62 };

static enum sc_ink condition_ink(const struct sc_spectrum *sp)
{
    double excess = sp->condition / sp->condition_random;

    if (isinf(sp->condition) || excess > 100)
        return SC_INK_CRITICAL;
    return excess > 10 ? SC_INK_WARNING : SC_INK_BLUE;
}

static void put_condition_tip(const struct sc_scan_view *v, size_t at, struct sc_buf *tip)
{
    const struct sc_spectrum *sp = spectrum_of(v, at);
    struct sc_str name = sc_plot_name(v, at);

    sc_buf_put(tip, name.p, name.n);
    sc_buf_printf(tip, ": %s", sc_value_text(sp->condition).s);
    sc_buf_printf(tip, "; random matrix %s", sc_value_text(sp->condition_random).s);
    sc_buf_printf(tip, "; rank %llu of %llu", (unsigned long long)sp->numerical_rank,
                  (unsigned long long)sp->total_rank);
}

static void draw_condition_row(struct sc_svg *s, const struct sc_panel *p,
                               const struct sc_scan_view *v, size_t at, double y)
{
    const struct sc_spectrum *sp = spectrum_of(v, at);
    double x = sc_panel_x(p, sp->condition), right = p->box.x + p->box.w;
    bool singular = isinf(sp->condition);
    struct sc_buf tip = {0};

    put_condition_tip(v, at, &tip);
    sc_svg_item(s, (uint32_t)at, sc_str(tip.p ? tip.p : "", tip.n));
    sc_svg_text(s, p->box.x - 8, y + 13, SC_END, SC_LOOK_LABEL, sc_plot_name(v, at), p->box.x - 10);
    sc_svg_hbar(s, p->box.x, y + 3, SC_MAX((singular ? right : x) - p->box.x, 2), ROW - 6,
                condition_ink(sp));
    if (isfinite(sp->condition_random))
        sc_svg_mark(s, SC_SHAPE_TICK, sc_scale_at(&p->x, sp->condition_random), y + ROW / 2.0, 8,
                    SC_INK_TEXT);
    if (isfinite(sp->condition_resolution))
        sc_svg_mark(s, SC_SHAPE_DIAMOND, sc_scale_at(&p->x, sp->condition_resolution),
                    y + ROW / 2.0, 4, SC_INK_TEXT2);
    sc_svg_textz(s, right + VALUES - 4, y + 13, SC_END, SC_LOOK_LABEL,
                 sc_value_text(sp->condition).s);
    sc_svg_end_item(s);
    s->b.failed = s->b.failed || tip.failed;
    sc_buf_clear(&tip);
}

static void condition_limits(const struct sc_scan_view *v, const struct sc_point *p, size_t n,
                             double *low, double *high)
{
    *low = 1;
    *high = 10;
    for (size_t i = 0; i < n; i++) {
        const struct sc_spectrum *sp = spectrum_of(v, p[i].at);
        double values[] = {sp->condition, sp->condition_random, sp->condition_resolution};
        for (size_t k = 0; k < SC_COUNT(values); k++)
            if (isfinite(values[k]))
                *high = SC_MAX(*high, values[k]);
    }
}

/* Points by how far they are above a random matrix: by the number itself, square matrices would
 * hide whatever is wrong with others. */
static void measure_excess(const struct sc_scan_view *v, struct sc_point *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double random = spectrum_of(v, p[i].at)->condition_random;
        if (isfinite(p[i].v) && random >= 1 && isfinite(random))
            p[i].v /= random;
    }
}

/* How many of the sorted points (infinite ones first) get a bar; moves the finite ones up behind
 * the singular ones that stay. */
static size_t choose_rows(struct sc_point *p, size_t n, size_t *singular)
{
    size_t finite, kept;

    *singular = 0;
    while (*singular < n && isinf(p[*singular].v))
        ++*singular;
    finite = SC_MIN(n - *singular, CONDITION_ROWS);
    kept = SC_MIN(*singular, SINGULAR_ROWS);
    memmove(&p[kept], &p[*singular], finite * sizeof *p);
    return kept + finite;
}

bool sc_draw_condition(const struct sc_plot_input *in, struct sc_svg *s)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_BLUE, SC_SHAPE_BOX, "up to 10 times a random matrix"},
        {SC_INK_WARNING, SC_SHAPE_BOX, "10 to 100 times"},
        {SC_INK_CRITICAL, SC_SHAPE_BOX, "more, or singular"},
        {SC_INK_TEXT, SC_SHAPE_TICK, "random matrix of this shape"},
        {SC_INK_TEXT2, SC_SHAPE_DIAMOND, "resolution of the stored type"}};
    const struct sc_scan_view *v = &in->views[0];
    size_t n, singular;
    struct sc_point *points = sc_points_of(s, v, sc_plot_metric("condition"), &n);
    double low, high;

    if (!n) {
        free(points);
        return false;
    }
    measure_excess(v, points, n);
    qsort(points, n, sizeof *points, sc_point_down);
    size_t shown = choose_rows(points, n, &singular);
    condition_limits(v, points, shown, &low, &high);
    double y = sc_svg_legend(s, 0, 0, s->w, items, SC_COUNT(items)) + 4;
    double names = SC_MIN(s->w * 0.36, 250), height = (double)shown * ROW + 8;
    struct sc_panel p = {.box = {names, y, s->w - names - VALUES, height},
                         .x = sc_scale_fit(true, low, high),
                         .x_title = "condition number σ₁ / σᵣ",
                         .infinite_x = singular > 0};
    sc_panel_rows(s, &p);
    for (size_t i = 0; i < shown; i++)
        draw_condition_row(s, &p, v, points[i].at, y + 4 + (double)i * ROW);
    s->h = y + height + 46;
    if (shown < n)
        sc_svg_note(s, "Shown are %zu of %zu matrices, the worst first (%zu singular in all).",
                    shown, n, singular);
    free(points);
    return true;
}

/* ---------------------------------------------------------------------------------- ranks --- */
struct role_ranks {
    unsigned key; /* role and whether experts */
    double share[4], signal;
    size_t n;
};

static void median_of_role(const struct sc_scan_view *v, const struct sc_point *p, size_t n,
                           double *scratch, struct role_ranks *out)
{
    for (size_t k = 0; k < 5; k++) {
        size_t used = 0;
        for (size_t i = 0; i < n; i++) {
            const struct sc_spectrum *sp = spectrum_of(v, p[i].at);
            uint64_t rank = k < 4 ? sp->energy_rank[k] : sp->signal_rank;
            if (rank != UINT64_MAX && sp->total_rank)
                scratch[used++] = 100 * (double)rank / (double)sp->total_rank;
        }
        double median = sc_median(scratch, used);
        if (k < 4)
            out->share[k] = median;
        else
            out->signal = median;
    }
    out->n = n;
}

/* Points sorted by role; their medians, a role each. Returns how many. */
static size_t medians_of_roles(struct sc_svg *s, const struct sc_scan_view *v, struct sc_point *p,
                               size_t n, struct role_ranks *out, size_t max)
{
    double *scratch = sc_calloc(SC_MAX(n, 1), sizeof *scratch);
    size_t used = 0;

    if (!scratch) {
        s->b.failed = true;
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        const struct sc_tensor *t = sc_view_tensor(v, p[i].at);
        p[i].v = (double)(t->role * 2u + (sc_family_of(t) == SC_FAMILY_EXPERT));
    }
    qsort(p, n, sizeof *p, sc_point_up);
    for (size_t i = 0, end; i < n && used < max; i = end) {
        for (end = i; end < n && p[end].v == p[i].v;)
            end++;
        out[used].key = (unsigned)p[i].v;
        median_of_role(v, &p[i], end - i, scratch, &out[used++]);
    }
    free(scratch);
    return used;
}

static void draw_role_ranks(struct sc_svg *s, const struct role_ranks *roles, size_t n,
                            struct sc_box box)
{
    static const enum sc_ink inks[4] = {SC_INK_RAMP8 - 1, SC_INK_RAMP8 - 3, SC_INK_RAMP8 - 5,
                                        SC_INK_RAMP8 - 7};
    double names = 150;
    struct sc_panel p = {.x = {.low = 0, .high = 100}, .x_title = "% of all ranks"};

    sc_svg_textz(s, box.x, box.y + 14, SC_START, SC_LOOK_HEAD, "Ranks that hold the energy");
    p.box = (struct sc_box){box.x + names, box.y + 24, box.w - names - 14, (double)n * 22};
    sc_panel_rows(s, &p);
    for (size_t i = 0; i < n; i++) {
        struct sc_grid_line line = {.role = (uint8_t)(roles[i].key >> 1),
                                    .expert = roles[i].key & 1};
        struct sc_buf name = {0};
        double y = p.box.y + (double)i * 22;
        char tip[320];
        sc_grid_row_name(&line, SC_GRID_ROLES, &name);
        snprintf(
            tip, sizeof tip,
            "%s (%zu): 50 %% of the energy in %s %% of the ranks, 90 in %s, 95 in %s, 99 in %s",
            name.p ? name.p : "", roles[i].n, sc_value_text(roles[i].share[0]).s,
            sc_value_text(roles[i].share[1]).s, sc_value_text(roles[i].share[2]).s,
            sc_value_text(roles[i].share[3]).s);
        sc_svg_item(s, UINT32_MAX, sc_strz(tip));
        sc_svg_text(s, p.box.x - 8, y + 15, SC_END, SC_LOOK_LABEL,
                    sc_str(name.p ? name.p : "", name.n), names - 10);
        double from = 0;
        for (size_t k = 0; k < 4; k++) {
            double x = sc_scale_at(&p.x, from), to = sc_scale_at(&p.x, roles[i].share[k]);
            sc_svg_rect(s, x + (k ? 1 : 0), y + 4, to - x - (k ? 1 : 0), 14, inks[k]);
            from = isfinite(roles[i].share[k]) ? roles[i].share[k] : from;
        }
        sc_svg_mark(s, SC_SHAPE_DIAMOND, sc_scale_at(&p.x, roles[i].signal), y + 11, 4.5,
                    SC_INK_ORANGE);
        sc_svg_end_item(s);
        s->b.failed = s->b.failed || name.failed;
        sc_buf_clear(&name);
    }
}

static void draw_stable(struct sc_svg *s, const struct sc_scan_view *v, const struct sc_point *p,
                        size_t n, const struct sc_box *box)
{
    double high = 10;
    size_t step = (n + SC_MANY_POINTS - 1) / SC_MANY_POINTS;

    for (size_t i = 0; i < n; i++) {
        const struct sc_spectrum *sp = spectrum_of(v, p[i].at);
        if (isfinite(sp->stable_rank))
            high = SC_MAX(high, sp->stable_rank);
        if (isfinite(sp->stable_rank_random))
            high = SC_MAX(high, sp->stable_rank_random);
    }
    struct sc_panel panel = {.x = sc_scale_fit(true, 1, high),
                             .y = sc_scale_fit(true, 1, high),
                             .title = "Stable rank against a random matrix",
                             .x_title = "stable rank of a random matrix of this shape",
                             .y_title = "stable rank ‖W‖² / σ₁²"};
    sc_panel_draw(s, &panel, box);
    sc_svg_line(s, panel.x.first, panel.y.first, panel.x.last, panel.y.last, SC_INK_TEXT2, 1.5,
                true);
    for (size_t i = 0; i < n; i += step) {
        const struct sc_spectrum *sp = spectrum_of(v, p[i].at);
        const struct sc_legend_item *f = &sc_families[sc_family_of(sc_view_tensor(v, p[i].at))];
        double x = sc_scale_at(&panel.x, sp->stable_rank_random);
        double y = sc_scale_at(&panel.y, sp->stable_rank);
        struct sc_buf tip = {0};
        struct sc_str name = sc_plot_name(v, p[i].at);
        if (!isfinite(x) || !isfinite(y))
            continue;
        sc_buf_put(&tip, name.p, name.n);
        sc_buf_printf(&tip, ": %s", sc_value_text(sp->stable_rank).s);
        sc_buf_printf(&tip, ", random %s", sc_value_text(sp->stable_rank_random).s);
        sc_svg_item(s, p[i].at, sc_str(tip.p ? tip.p : "", tip.n));
        sc_svg_mark(s, f->shape, x, y, 4, f->ink);
        sc_svg_end_item(s);
        s->b.failed = s->b.failed || tip.failed;
        sc_buf_clear(&tip);
    }
    if (step > 1)
        sc_svg_note(s, "Of the stable ranks, every %zuth tensor is shown.", step);
}

bool sc_draw_rank(const struct sc_plot_input *in, struct sc_svg *s)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_RAMP8 - 1, SC_SHAPE_BOX, "50 % of the energy"},
        {SC_INK_RAMP8 - 3, SC_SHAPE_BOX, "90 %"},
        {SC_INK_RAMP8 - 5, SC_SHAPE_BOX, "95 %"},
        {SC_INK_RAMP8 - 7, SC_SHAPE_BOX, "99 %"},
        {SC_INK_ORANGE, SC_SHAPE_DIAMOND, "ranks above the noise"}};
    struct role_ranks roles[2 * SC_ROLE_COUNT];
    const struct sc_scan_view *v = &in->views[0];
    size_t n;
    struct sc_point *points = sc_points_of(s, v, sc_plot_metric("energy-rank"), &n);

    if (!n) {
        free(points);
        return false;
    }
    double y = 0;
    y += sc_family_legend(s, v, points, n, y);
    y += sc_svg_legend(s, 0, y, s->w, items, SC_COUNT(items)) + 6;
    size_t used = medians_of_roles(s, v, points, n, roles, SC_COUNT(roles));
    struct sc_rows rows = sc_rows_start(s, y, 2, 340, SC_MAX(330, (double)used * 22 + 70));
    draw_role_ranks(s, roles, used, sc_rows_next(&rows));
    struct sc_box box = sc_rows_next(&rows);
    box.h = SC_MIN(box.h, 360);
    draw_stable(s, v, points, n, &box);
    s->h = sc_rows_end(&rows);
    free(points);
    return true;
}

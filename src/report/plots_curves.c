/* SPDX-License-Identifier: Apache-2.0 */
/* plots_curves: what becomes of a value in a format: staircases, transfer curves, errors. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/plots_draw.h"

enum { NAME = 80 };

static const enum sc_ink curve_inks[] = {SC_INK_BLUE,   SC_INK_ORANGE,  SC_INK_AQUA, SC_INK_VIOLET,
                                         SC_INK_YELLOW, SC_INK_MAGENTA, SC_INK_GREEN};

bool sc_curve_is_ideal(const struct sc_curve *c)
{
    return c->kind == SC_CURVE_IDEAL || c->kind == SC_CURVE_LEGACY_IDEAL;
}

/* Which of the formats it is, in order of their first curves. */
size_t sc_curve_place(const struct sc_curves *c, size_t at)
{
    size_t place = 0;

    for (size_t i = 1; i <= at; i++)
        place += strcmp(c->curves[i].format.name, c->curves[i - 1].format.name) != 0;
    return place;
}

static enum sc_ink ink_of(const struct sc_curves *c, size_t at)
{
    return curve_inks[sc_curve_place(c, at) % SC_COUNT(curve_inks)];
}

static void put_upper(char *out, size_t size, const char *name)
{
    size_t n = SC_MIN(strlen(name), size - 1);

    for (size_t i = 0; i < n; i++)
        out[i] = (char)toupper((unsigned char)name[i]);
    out[n] = '\0';
}

void sc_curve_name(const struct sc_curve *c, char *out, size_t size)
{
    static const char *const suffix[] = {[SC_CURVE_VALUE] = "",
                                         [SC_CURVE_IDEAL] = " (ideal)",
                                         [SC_CURVE_BLOCK] = " (block)",
                                         [SC_CURVE_TENSOR] = "",
                                         [SC_CURVE_LEGACY_IDEAL] = " (ideal exp)",
                                         [SC_CURVE_LEGACY_RANDOM] = " (rand16 exp)"};
    char name[64];

    put_upper(name, sizeof name, c->format.name);
    if (c->kind == SC_CURVE_TENSOR)
        snprintf(out, size, "%s (MAE=%.3e)", name, c->mae);
    else
        snprintf(out, size, "%s%s", name, suffix[c->kind]);
}

/* Between the points whose band is a number. */
static void draw_band(struct sc_svg *s, const struct sc_panel *p, const struct sc_curves *c,
                      const struct sc_curve *one, bool error, enum sc_ink ink)
{
    double *x = sc_calloc(3 * SC_MAX(c->n_points, 1), sizeof *x);
    double *low = x + c->n_points, *high = low + c->n_points;

    s->b.failed = s->b.failed || !x;
    for (size_t i = 0; x && i < c->n_points;) {
        size_t n = 0;
        for (; i < c->n_points && isfinite(one->low[i] + one->high[i]); i++, n++) {
            double from = error ? c->x[i] : 0;
            x[n] = sc_panel_x(p, c->x[i]);
            low[n] = sc_panel_y(p, one->low[i] - from);
            high[n] = sc_panel_y(p, one->high[i] - from);
        }
        if (n)
            sc_svg_area(s, x, low, high, n, ink);
        i += !n;
    }
    free(x);
}

static void draw_mean(struct sc_svg *s, const struct sc_panel *p, const struct sc_curves *c,
                      const struct sc_curve *one, bool error, enum sc_ink ink, double width)
{
    sc_svg_path(s, ink, width, sc_curve_is_ideal(one));
    for (size_t i = 0; i < c->n_points; i++)
        sc_svg_to(s, sc_panel_x(p, c->x[i]), sc_panel_y(p, one->mean[i] - (error ? c->x[i] : 0)));
    sc_svg_end_path(s);
}

/* What the curves of one format span, as errors; band included. */
static void error_range(const struct sc_curves *c, const struct sc_curve *one, double *low,
                        double *high)
{
    for (size_t i = 0; i < c->n_points; i++) {
        if (isfinite(one->low[i]))
            *low = fmin(*low, one->low[i] - c->x[i]);
        if (isfinite(one->high[i]))
            *high = fmax(*high, one->high[i] - c->x[i]);
    }
}

static const char *x_title_of(const struct sc_curves *c)
{
    return c->values ? "original weight value" : "original value";
}

static void draw_overview(struct sc_svg *s, const struct sc_curves *c, const struct sc_box *outer)
{
    struct sc_panel p = {.x = sc_scale_fit(false, c->low, c->high),
                         .y = sc_scale_fit(false, c->low, c->high),
                         .x_title = x_title_of(c),
                         .y_title = "reconstructed value"};

    sc_panel_draw(s, &p, outer);
    sc_svg_line(s, sc_panel_x(&p, c->low), sc_panel_y(&p, c->low), sc_panel_x(&p, c->high),
                sc_panel_y(&p, c->high), SC_INK_TEXT, 1.5, false);
    for (size_t i = 0; i < c->n; i++) {
        struct sc_buf tip = {0};
        char name[NAME];
        sc_curve_name(&c->curves[i], name, sizeof name);
        sc_buf_puts(&tip, name);
        sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
        draw_mean(s, &p, c, &c->curves[i], false, ink_of(c, i),
                  sc_curve_is_ideal(&c->curves[i]) ? 1.2 : 1.8);
        sc_svg_end_item(s);
        s->b.failed = s->b.failed || tip.failed;
        sc_buf_clear(&tip);
    }
}

/* One panel a format: its error, with the band. */
static void draw_errors(struct sc_svg *s, const struct sc_curves *c, struct sc_rows *rows)
{
    for (size_t i = 0; i < c->n;) {
        size_t place = sc_curve_place(c, i), end = i;
        double low = INFINITY, high = -INFINITY;
        char title[64];
        while (end < c->n && sc_curve_place(c, end) == place)
            error_range(c, &c->curves[end++], &low, &high);
        put_upper(title, sizeof title, c->curves[i].format.name);
        if (low > high || (low == 0 && high == 0)) {
            low = -1e-6;
            high = 1e-6;
        }
        struct sc_panel p = {.title = title,
                             .x = sc_scale_fit(false, c->low, c->high),
                             .y = sc_scale_fit(false, low, high),
                             .x_title = x_title_of(c),
                             .y_title = "error q(x) - x"};
        struct sc_box box = sc_rows_next(rows);
        sc_panel_draw(s, &p, &box);
        if (p.y.low < 0 && p.y.high > 0)
            sc_svg_line(s, p.box.x, sc_panel_y(&p, 0), p.box.x + p.box.w, sc_panel_y(&p, 0),
                        SC_INK_AXIS, 1, false);
        for (size_t k = i; k < end; k++)
            if (!sc_curve_is_ideal(&c->curves[k]))
                draw_band(s, &p, c, &c->curves[k], true, ink_of(c, k));
        for (size_t k = i; k < end; k++)
            draw_mean(s, &p, c, &c->curves[k], true,
                      sc_curve_is_ideal(&c->curves[k]) ? SC_INK_MUTED : ink_of(c, k),
                      sc_curve_is_ideal(&c->curves[k]) ? 1 : 1.6);
        i = end;
    }
}

static double draw_names(struct sc_svg *s, const struct sc_curves *c, bool line)
{
    struct sc_legend_item *items = sc_calloc(c->n + 1, sizeof *items);
    char(*text)[NAME] = sc_calloc(c->n + 1, sizeof *text);
    double h = 0;

    s->b.failed = s->b.failed || !items || !text;
    for (size_t i = 0; items && text && i < c->n; i++) {
        sc_curve_name(&c->curves[i], text[i], sizeof *text);
        items[i] = (struct sc_legend_item){
            ink_of(c, i), sc_curve_is_ideal(&c->curves[i]) ? SC_SHAPE_DASH : SC_SHAPE_LINE,
            text[i]};
    }
    if (items && text) {
        items[c->n] = (struct sc_legend_item){SC_INK_TEXT, SC_SHAPE_LINE, "no error"};
        h = sc_svg_legend(s, 0, 0, s->w, items, c->n + line);
    }
    free(items);
    free(text);
    return h;
}

int sc_picture_curves(const struct sc_curves *c, const struct sc_picture *picture,
                      struct sc_buf *out, struct sc_error *e)
{
    struct sc_svg s;

    if (!c->n || !c->n_points)
        return 0;
    sc_picture_start(&s, picture);
    double y = draw_names(&s, c, true), h = SC_MIN(SC_MAX(s.w * 0.5, 320), 460);
    draw_overview(&s, c, &(struct sc_box){0, y, s.w, h});
    struct sc_rows rows = sc_rows_start(&s, y + h + 16, 3, 260, 240);
    draw_errors(&s, c, &rows);
    s.h = sc_rows_end(&rows);
    if (c->nonfinite)
        sc_svg_note(&s, "%llu value%s not finite and left out.", (unsigned long long)c->nonfinite,
                    c->nonfinite == 1 ? " is" : "s are");
    return sc_picture_finish(
        &s, true, c->values ? "What becomes of the values" : "What becomes of a value",
        c->values
            ? "The values of the tensor where they stand, gathered by size: what each format makes "
              "of them on average, and between which errors nine of ten lie (the band)."
            : "Ideal: the block's scale is made for the value. Block: the value stands among "
              "normal "
              "neighbours, of which a larger one may set the scale; the line is the average, nine "
              "of ten lie in the band.",
        picture, out, e);
}

/* --------------------------------------------------------------------------- (x, q(x)) cells ---
 */
static void draw_density(struct sc_svg *s, const struct sc_panel *p, const struct sc_curves *c,
                         const uint32_t *cells)
{
    enum { N = SC_CURVE_CELLS };
    uint32_t most = 1;
    double left = sc_panel_x(p, c->low), right = sc_panel_x(p, c->high);
    double bottom = sc_panel_y(p, c->low), top = sc_panel_y(p, c->high);

    for (size_t i = 0; i < (size_t)N * N; i++)
        most = SC_MAX(most, cells[i]);
    sc_svg_grid(s, left, top, (right - left) / N, (bottom - top) / N);
    for (int step = 0; step < SC_RAMP_STEPS; step++) {
        bool any = false;
        for (size_t row = 0; row < N; row++)
            for (size_t col = 0; col < N;) {
                size_t end = col;
                for (; end < N; end++) {
                    uint32_t n = cells[(N - 1 - row) * N + end];
                    double t = log(1.0 + n) / log(1.0 + most) * SC_RAMP_STEPS;
                    if (!n || SC_MIN((int)t, SC_RAMP_STEPS - 1) != step)
                        break;
                }
                if (end > col) {
                    if (!any)
                        sc_svg_runs(s, (enum sc_ink)(SC_INK_RAMP0 + step));
                    any = true;
                    sc_svg_run(s, col, row, end - col);
                }
                col = end + (end == col);
            }
        if (any)
            sc_svg_end_runs(s);
    }
    sc_svg_end_grid(s);
}

int sc_picture_transfer(const struct sc_curves *c, const struct sc_picture *picture,
                        struct sc_buf *out, struct sc_error *e)
{
    struct sc_svg s;
    bool any = false;

    sc_picture_start(&s, picture);
    struct sc_rows rows = sc_rows_start(&s, 30, SC_MIN(c->n, 3), 280, 330);
    sc_draw_ramp(&s, 0, 0, "few values", "many");
    for (size_t i = 0; i < c->n && c->n_points; i++) {
        const struct sc_curve *one = &c->curves[i];
        char title[NAME];
        if (!one->cells)
            continue;
        any = true;
        sc_curve_name(one, title, sizeof title);
        struct sc_panel p = {.title = title,
                             .x = sc_scale_fit(false, c->low, c->high),
                             .y = sc_scale_fit(false, c->low, c->high),
                             .x_title = x_title_of(c),
                             .y_title = "reconstructed value"};
        struct sc_box box = sc_rows_next(&rows);
        sc_panel_draw(&s, &p, &box);
        draw_density(&s, &p, c, one->cells);
        draw_mean(&s, &p, c, one, false, SC_INK_ORANGE, 1.2);
    }
    s.h = sc_rows_end(&rows);
    return sc_picture_finish(&s, any, "Values and what they become",
                             "How many values x become q(x), by colour (logarithmic); the line is "
                             "their average. What is not on the diagonal is error.",
                             picture, out, e);
}

/* ------------------------------------------------------------------------------- histograms --- */
static uint64_t most_of(const uint64_t *count, size_t n)
{
    uint64_t most = 0;

    for (size_t i = 0; i < n; i++)
        most = SC_MAX(most, count[i]);
    return most;
}

static void draw_magnitudes(struct sc_svg *s, const struct sc_curves *c, const struct sc_box *outer)
{
    enum { N = SC_CURVE_HISTOGRAM };
    uint64_t most = 1;
    double low = c->error_high, high = c->error_low, bin = (c->error_high - c->error_low) / N;

    for (size_t i = 0; i < c->n; i++) {
        most = SC_MAX(most, most_of(c->curves[i].magnitude, N));
        for (size_t k = 0; k < N; k++)
            if (c->curves[i].magnitude[k]) {
                low = fmin(low, c->error_low + (double)k * bin);
                high = fmax(high, c->error_low + (double)(k + 1) * bin);
            }
    }
    struct sc_panel p = {.x = sc_scale_fit(true, pow(10, low), pow(10, high)),
                         .y = sc_scale_fit(false, 0, (double)most),
                         .x_title = "|q(x) - x|",
                         .y_title = "values in a bin"};
    sc_panel_draw(s, &p, outer);
    double x[2 * N], under[2 * N], over[2 * N];
    for (size_t i = 0; i < c->n; i++) {
        const struct sc_curve *one = &c->curves[i];
        size_t n = 0;
        for (size_t k = 0; k < N; k++)
            for (size_t side = 0; side < 2; side++, n++) {
                double at = pow(10, c->error_low + (double)(k + side) * bin);
                x[n] = sc_panel_x(&p, SC_MIN(SC_MAX(at, p.x.low), p.x.high));
                under[n] = sc_panel_y(&p, 0);
                over[n] = sc_panel_y(&p, (double)one->magnitude[k]);
            }
        if (!most_of(one->magnitude, N))
            continue;
        if (!sc_curve_is_ideal(one))
            sc_svg_area(s, x, under, over, n, ink_of(c, i));
        sc_svg_path(s, ink_of(c, i), 1.6, sc_curve_is_ideal(one));
        for (size_t k = 0; k < n; k++)
            sc_svg_to(s, x[k], over[k]);
        sc_svg_end_path(s);
    }
}

static void draw_signed(struct sc_svg *s, const struct sc_curve *one, enum sc_ink ink,
                        const struct sc_box *outer)
{
    enum { N = SC_CURVE_HISTOGRAM };
    char title[NAME], note[120];
    uint64_t most = SC_MAX(most_of(one->error, N), 1);
    double edge = one->edge > 0 ? one->edge : 1e-6;

    sc_curve_name(one, title, sizeof title);
    struct sc_panel p = {.title = title,
                         .x = {.low = -edge, .high = edge},
                         .y = sc_scale_fit(false, 0, (double)most),
                         .x_title = "q(x) - x",
                         .y_title = "values"};
    sc_panel_draw(s, &p, outer);
    double width = p.box.w / N, bottom = p.box.y + p.box.h;
    for (size_t k = 0; k < N; k++)
        sc_svg_rect(s, p.box.x + (double)k * width, sc_panel_y(&p, (double)one->error[k]),
                    width + 0.2, bottom - sc_panel_y(&p, (double)one->error[k]), ink);
    snprintf(note, sizeof note, "bias %s", sc_value_text(one->bias).s);
    sc_svg_textz(s, p.box.x + p.box.w - 2, p.box.y + 12, SC_END, SC_LOOK_LABEL, note);
}

int sc_picture_error_histogram(const struct sc_curves *c, const struct sc_picture *picture,
                               struct sc_buf *out, struct sc_error *e)
{
    struct sc_svg s;
    bool any = false;
    struct sc_buf exact = {0};

    for (size_t i = 0; i < c->n; i++)
        any = any || most_of(c->curves[i].error, SC_CURVE_HISTOGRAM);
    if (!any)
        return 0;
    sc_picture_start(&s, picture);
    double y = draw_names(&s, c, false), h = SC_MIN(SC_MAX(s.w * 0.36, 280), 340);
    draw_magnitudes(&s, c, &(struct sc_box){0, y, s.w, h});
    struct sc_rows rows = sc_rows_start(&s, y + h + 16, 3, 250, 220);
    for (size_t i = 0; i < c->n; i++) {
        const struct sc_curve *one = &c->curves[i];
        struct sc_box box = sc_rows_next(&rows);
        char name[NAME], share[32];
        draw_signed(&s, one, ink_of(c, i), &box);
        uint64_t all = 0;
        for (size_t k = 0; k < SC_CURVE_HISTOGRAM; k++)
            all += one->error[k];
        put_upper(name, sizeof name, one->format.name);
        sc_format_percent(100 * (double)one->exact / (double)SC_MAX(all, 1), share);
        sc_buf_printf(&exact, "%s%s %s %%", i ? ", " : "", name, share);
    }
    s.h = sc_rows_end(&rows);
    if (exact.p)
        sc_svg_note(&s,
                    "Values that come back as they were are in no bin of the upper picture: "
                    "%s.",
                    exact.p);
    s.b.failed = s.b.failed || exact.failed;
    sc_buf_clear(&exact);
    return sc_picture_finish(&s, true, "How large the errors are",
                             "Above: sizes of errors in logarithmic bins. Below: errors with "
                             "their sign; values beyond the edge are in the last bins.",
                             picture, out, e);
}

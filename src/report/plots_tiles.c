/* SPDX-License-Identifier: Apache-2.0 */
/* plots_tiles: figures and formats of the cells of one tensor, where they stand in it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/plots_draw.h"

/* Squares of a picture a side; more cells are put together. */
enum { MOST = 256, NONE = SC_SQUARE_NONE };

static const char *const grain_x[] = {"", "Tile X", "Row", "Group"};
static const char *const grain_y[] = {"", "Tile Y", "Row", "Row"};

/* -------------------------------------------------------------------------- assignment map --- */
/* The formats of an assignment from the largest to the smallest, and a step of the ramp each. */
struct palette {
    size_t n;
    uint8_t format[16]; /* by place */
    int8_t place[16];   /* by format */
    enum sc_ink ink[16];
};

static struct palette palette_of(const struct sc_cells *c)
{
    struct palette p = {.n = SC_MIN(c->n_formats, 16)};

    for (size_t i = 0; i < p.n; i++) {
        size_t at = i; /* stable: equal sizes keep their order */
        while (at && c->bytes[p.format[at - 1]][0] < c->bytes[i][0]) {
            p.format[at] = p.format[at - 1];
            at--;
        }
        p.format[at] = (uint8_t)i;
    }
    for (size_t k = 0; k < p.n; k++) {
        size_t step = p.n < 2 ? 6 : (p.n - 1 - k) * (SC_RAMP_STEPS - 1) / (p.n - 1);
        p.place[p.format[k]] = (int8_t)k;
        p.ink[k] = (enum sc_ink)(SC_INK_RAMP0 + step);
    }
    return p;
}

/* The most frequent place among the cells of a square; of equals the larger format. */
static int8_t majority(const struct sc_cells *c, const int8_t *format, const struct palette *p,
                       const struct sc_tiling *t, uint64_t row, uint64_t col)
{
    uint32_t count[17] = {0};
    uint64_t last_row = SC_MIN((row + 1) * t->by_rows, t->down);
    uint64_t last_col = SC_MIN((col + 1) * t->by_cols, t->across);

    for (uint64_t y = row * t->by_rows; y < last_row; y++)
        for (uint64_t x = col * t->by_cols; x < last_col; x++) {
            const int8_t f = format[y * t->across + x];
            count[f >= 0 && (size_t)f < c->n_formats ? p->place[f] : 16]++;
        }
    size_t best = 16;
    for (size_t k = p->n; k-- > 0;)
        if (count[k] && count[k] >= count[best])
            best = k;
    if (best == 16)
        return NONE;
    return (int8_t)best;
}

static void count_formats(const struct sc_cells *c, const int8_t *format,
                          struct sc_mix_totals *totals)
{
    for (uint64_t i = 0; i < c->n; i++) {
        if (format[i] >= 0 && (size_t)format[i] < c->n_formats)
            totals->cells[format[i]]++;
        else
            totals->left++;
    }
}

static double draw_formats(struct sc_svg *s, const struct sc_cells *c, const struct palette *p,
                           const struct sc_mix_totals *totals)
{
    struct sc_legend_item items[17];
    char text[17][160], count[32], share[32];
    size_t n = 0;

    for (size_t k = 0; k <= p->n; k++) {
        bool none = k == p->n;
        uint64_t cells = none ? totals->left : totals->cells[p->format[k]];
        if (none && !cells)
            continue;
        sc_format_count(cells, count);
        sc_format_percent(100 * (double)cells / (double)SC_MAX(c->n, 1), share);
        snprintf(text[n], sizeof *text, "%s: %s (%s %%)",
                 none ? "none" : c->formats[p->format[k]].name, count, share);
        items[n] = (struct sc_legend_item){none ? SC_INK_OTHER : p->ink[k], SC_SHAPE_BOX, text[n]};
        n++;
    }
    return sc_svg_legend(s, 0, 0, s->w, items, n);
}

static void note_shrunk(struct sc_svg *s, const struct sc_tiling *t, const char *what)
{
    if (t->by_rows > 1 || t->by_cols > 1)
        sc_svg_note(s, "One square stands for %llu x %llu cells of the %llu x %llu: %s.",
                    (unsigned long long)t->by_rows, (unsigned long long)t->by_cols,
                    (unsigned long long)t->down, (unsigned long long)t->across, what);
}

int sc_picture_assignment(const struct sc_cells *c, const int8_t *format,
                          const struct sc_picture *picture, struct sc_buf *out, struct sc_error *e)
{
    struct sc_svg s;
    struct sc_mix_totals totals = {0};

    if (!c->n || !c->across || !c->n_formats)
        return 0;
    struct palette p = palette_of(c);
    struct sc_tiling t = sc_tiling_of(c->n / c->across, c->across, MOST);
    int8_t *index = sc_calloc((size_t)(t.n_rows * t.n_cols), 1);
    if (!index)
        return sc_fail_memory(e);
    for (uint64_t row = 0; row < t.n_rows; row++)
        for (uint64_t col = 0; col < t.n_cols; col++)
            index[row * t.n_cols + col] = majority(c, format, &p, &t, row, col);
    count_formats(c, format, &totals);
    sc_picture_start(&s, picture);
    double y = draw_formats(&s, c, &p, &totals) + 30, left = sc_tiling_room(&t);
    sc_tiling_place(&t, left, y, s.w - left - 8, SC_MIN(s.w * 0.9, 760));
    sc_tiling_squares(&s, &t, index, p.ink, p.n, SC_INK_OTHER);
    sc_tiling_mesh(&s, &t);
    sc_tiling_ticks(&s, &t, grain_x[c->grain], grain_y[c->grain]);
    s.h = t.box.y + t.box.h + 44;
    note_shrunk(&s, &t, "the most frequent format of them");
    if (c->matrices > 1)
        sc_svg_note(&s, "The %llu matrices of the tensor stand one below the other.",
                    (unsigned long long)c->matrices);
    free(index);
    return sc_picture_finish(&s, true, "Which cell has which format",
                             "The larger the format, the stronger the colour.", picture, out, e);
}

/* ------------------------------------------------------------------------------- heat maps --- */
/* A figure of cells, shrunk by its root mean square over those that a square stands for. */
static float *shrink(const struct sc_tiling *t, const float *v, struct sc_error *e)
{
    float *out = sc_calloc((size_t)(t->n_rows * t->n_cols), sizeof *out);

    for (uint64_t i = 0; out && i < t->n_rows * t->n_cols; i++) {
        uint64_t row = i / t->n_cols * t->by_rows, col = i % t->n_cols * t->by_cols, n = 0;
        double sum = 0;
        for (uint64_t y = row; y < SC_MIN(row + t->by_rows, t->down); y++)
            for (uint64_t x = col; x < SC_MIN(col + t->by_cols, t->across); x++) {
                double one = (double)v[y * t->across + x];
                if (isnan(one))
                    continue;
                sum += one * one;
                n++;
            }
        out[i] = n ? (float)sqrt(sum / (double)n) : NAN;
    }
    if (!out)
        sc_say_memory(e);
    return out;
}

/* Nine steps between the quantiles 2 % and 98 %, equal in the logarithm where that spans more. */
struct steps {
    struct sc_scale scale;
    bool clipped;
};

static struct steps steps_of(struct sc_svg *s, const float *v, size_t n)
{
    struct steps c = {.scale = {.high = 1, .last = SC_RAMP_STEPS}};
    double *sorted = sc_calloc(SC_MAX(n, 1), sizeof *sorted);
    size_t used = 0;

    s->b.failed = s->b.failed || !sorted;
    for (size_t i = 0; sorted && i < n; i++)
        if (isfinite((double)v[i]) && v[i] > 0)
            sorted[used++] = (double)v[i];
    if (used) {
        sc_median(sorted, used); /* sorts */
        size_t cut = used / 50;
        double low = sorted[cut], high = sorted[used - 1 - cut];
        c.clipped = sorted[0] < low || sorted[used - 1] > high;
        c.scale.log = high > 20 * low;
        c.scale.low = low;
        c.scale.high = high > low ? high : low * 1.0001;
    }
    free(sorted);
    return c;
}

static void draw_heat(struct sc_svg *s, struct sc_tiling *t, const float *v, const char *title,
                      const char *unit)
{
    size_t n = (size_t)(t->n_rows * t->n_cols);
    struct steps c = steps_of(s, v, n);
    enum sc_ink inks[SC_RAMP_STEPS];
    int8_t *index = sc_calloc(n, 1);
    char low[80], high[80];

    s->b.failed = s->b.failed || !index;
    for (size_t i = 0; index && i < n; i++) {
        double x = (double)v[i];
        int step = c.scale.log && x <= 0 ? 0 : (int)sc_scale_at(&c.scale, x);
        index[i] = isnan(x)   ? NONE
                   : isinf(x) ? SC_RAMP_STEPS - 1
                              : (int8_t)SC_MIN(step, SC_RAMP_STEPS - 1);
    }
    for (int i = 0; i < SC_RAMP_STEPS; i++)
        inks[i] = (enum sc_ink)(SC_INK_RAMP0 + i);
    sc_svg_textz(s, t->box.x, t->box.y - 62, SC_START, SC_LOOK_HEAD, title);
    snprintf(low, sizeof low, "%s%s", c.clipped ? "≤ " : "", sc_value_text(c.scale.low).s);
    snprintf(high, sizeof high, "%s%s%s", c.clipped ? "≥ " : "", sc_value_text(c.scale.high).s,
             unit);
    sc_draw_ramp(s, t->box.x, t->box.y - 50, low, high);
    if (index)
        sc_tiling_squares(s, t, index, inks, SC_RAMP_STEPS, SC_INK_GRID);
    free(index);
}

int sc_picture_errors(const struct sc_error_map *m, const struct sc_picture *picture,
                      struct sc_buf *out, struct sc_error *e)
{
    struct sc_svg s;
    char title[160];

    if (!m->down || !m->across)
        return 0;
    struct sc_tiling t = sc_tiling_of(m->down, m->across, MOST);
    float *error = shrink(&t, m->error, e), *rms = m->rms && error ? shrink(&t, m->rms, e) : NULL;
    if (!error || (m->rms && !rms)) {
        free(error);
        return SCRUPLE_EMEMORY;
    }
    sc_picture_start(&s, picture);
    double left = sc_tiling_room(&t), gap = 28;
    /* Side by side, unless both would be too small. */
    bool beside = rms && s.w >= 700 && t.n_cols < 4 * t.n_rows;
    double w = beside ? (s.w - gap) / 2 : s.w, most_h = beside ? 420 : 380, y = 80;
    if (rms) {
        sc_tiling_place(&t, left, y, w - left - 8, most_h);
        draw_heat(&s, &t, rms, "The weights: root mean square", "");
        sc_tiling_ticks(&s, &t, grain_x[SC_GRAIN_TILE], grain_y[SC_GRAIN_TILE]);
        y = beside ? y : t.box.y + t.box.h + 44 + 80;
    }
    sc_tiling_place(&t, (beside ? w + gap : 0) + left, y, w - left - 8, most_h);
    for (size_t i = 0; i < t.n_rows * t.n_cols; i++)
        error[i] *= 100;
    draw_heat(&s, &t, error, "The error: ||d|| / ||x||", " %");
    sc_tiling_ticks(&s, &t, grain_x[SC_GRAIN_TILE], grain_y[SC_GRAIN_TILE]);
    s.h = t.box.y + t.box.h + 44;
    if (m->cell_rows && m->cell_cols)
        sc_svg_note(&s, "A tile is %llu x %llu values.", (unsigned long long)m->cell_rows,
                    (unsigned long long)m->cell_cols);
    note_shrunk(&s, &t, "the root mean square of them");
    snprintf(title, sizeof title, "Where the error is%s%.100s", m->format ? ": " : "",
             m->format ? m->format : "");
    free(error);
    free(rms);
    return sc_picture_finish(&s, true, title,
                             "Tiles of the tensor where they stand in it; the colours span the "
                             "middle 96 % of the tiles.",
                             picture, out, e);
}

int sc_picture_cell_errors(const struct sc_cells *c, const int8_t *format, size_t one,
                           const struct sc_picture *picture, struct sc_buf *out, struct sc_error *e)
{
    float *error = sc_calloc((size_t)SC_MAX(c->n, 1), sizeof *error);
    float *rms = sc_calloc((size_t)SC_MAX(c->n, 1), sizeof *rms);
    int code = error && rms && c->across ? 0 : sc_fail_memory(e);

    for (uint64_t i = 0; code == 0 && i < c->n; i++) {
        const struct sc_cell_values *v = &c->values[i];
        int f = format ? format[i] : (int)one;
        double dd = f >= 0 && (size_t)f < c->n_formats ? sc_cell_error(c, i, (size_t)f)->dd : 0;
        rms[i] = v->n ? (float)sqrt(v->xx / v->n) : NAN;
        error[i] = v->n && v->xx > 0 ? (float)sqrt(dd / v->xx) : v->n && dd == 0 ? 0 : NAN;
    }
    if (code == 0) {
        struct sc_error_map m = {.down = c->n / c->across,
                                 .across = c->across,
                                 .error = error,
                                 .rms = rms,
                                 .format =
                                     format || one >= c->n_formats ? NULL : c->formats[one].name};
        if (c->grain == SC_GRAIN_TILE)
            m.cell_rows = m.cell_cols = 32;
        code = sc_picture_errors(&m, picture, out, e);
    }
    free(error);
    free(rms);
    return code;
}

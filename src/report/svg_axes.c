/* SPDX-License-Identifier: Apache-2.0 */
/* svg_axes: scales, ticks, panels and legends of pictures. */
#include <math.h>
#include <string.h>

#include "report/report.h"
#include "report/svg.h"

/* ---------------------------------------------------------------------------------- scales --- */
/* 1, 2 or 5 times a power of ten, at least `rough`. */
static double nice_step(double rough)
{
    double power = pow(10, floor(log10(rough))), m = rough / power;

    return power * (m <= 1.0000001 ? 1 : m <= 2.0000001 ? 2 : m <= 5.0000001 ? 5 : 10);
}

static struct sc_scale fit_linear(double min, double max)
{
    double span = max - min, size = SC_MAX(fabs(min), fabs(max));

    if (!(span > size * 1e-9)) { /* one value: some room on both sides */
        double room = size > 1e-300 ? size / 2 : 1;
        min -= room;
        max += room;
        span = max - min;
    }
    double step = nice_step(span / 8);
    return (struct sc_scale){.low = floor(min / step + 1e-9) * step,
                             .high = ceil(max / step - 1e-9) * step};
}

static struct sc_scale fit_log(double min, double max)
{
    if (!(max > 0)) {
        min = 1;
        max = 10;
    }
    if (!(min > 0))
        min = max;
    double low = log10(min), high = log10(max);
    if (high - low < 1e-9) {
        low -= 0.5;
        high += 0.5;
    }
    if (high - low > 1.5) { /* whole decades; a little slack where the data just passes one */
        low = floor(low + 0.02);
        high = ceil(high - 0.02);
    } else {
        low -= 0.05;
        high += 0.05;
    }
    return (struct sc_scale){
        .log = true, .low = pow(10, SC_MAX(low, -300)), .high = pow(10, SC_MIN(high, 300))};
}

struct sc_scale sc_scale_fit(bool log, double min, double max)
{
    if (!isfinite(min) || !isfinite(max) || min > max) {
        min = log ? 1 : 0;
        max = log ? 10 : 1;
    }
    min = SC_MIN(SC_MAX(min, -1e300), 1e300);
    max = SC_MIN(SC_MAX(max, -1e300), 1e300);
    return log                                         ? fit_log(min, max)
           : fit_linear(min / 2, max / 2).high > 5e299 ? (struct sc_scale){.low = min, .high = max}
                                                       : fit_linear(min, max);
}

struct sc_scale sc_scale_fit_signed(double unit, double min, double max)
{
    struct sc_scale s = sc_scale_fit(false, min, max);

    if (!(unit > 0) || !isfinite(unit) || !isfinite(min) || !isfinite(max) || !(min <= max))
        return s;
    /* Half a decade at least: what is all within the unit is shown around zero. */
    const double low = asinh(min / unit), high = asinh(max / unit);
    const double room = SC_MAX((high - low) * 0.03, high - low < 1e-9 ? 0.5 : 0);
    s.low = unit * sinh(SC_MIN(SC_MAX(low - room, -600), 600));
    s.high = unit * sinh(SC_MIN(SC_MAX(high + room, -600), 600));
    s.unit = unit;
    return s;
}

double sc_scale_at(const struct sc_scale *s, double v)
{
    double t;

    if (!isfinite(v) || (s->log && v <= 0))
        return NAN;
    if (s->log)
        t = (log10(v) - log10(s->low)) / (log10(s->high) - log10(s->low));
    else if (s->unit > 0)
        t = (asinh(v / s->unit) - asinh(s->low / s->unit)) /
            (asinh(s->high / s->unit) - asinh(s->low / s->unit));
    else
        t = (v / 2 - s->low / 2) / (s->high / 2 - s->low / 2);
    return s->first + SC_MIN(SC_MAX(t, 0), 1) * (s->last - s->first);
}

static size_t add_tick(struct sc_tick *ticks, size_t n, double v, bool major)
{
    if (n >= SC_TICKS)
        return n;
    ticks[n] = (struct sc_tick){.v = v, .major = major};
    return n + 1;
}

static void set_text(struct sc_tick *t, double step)
{
    double size = fabs(t->v);
    char text[64];

    if (size < step * 1e-6)
        memcpy(text, "0", 2);
    else if (step >= 1e-4 && step < 1 && size < 1000) /* the same decimals along an axis */
        sc_format_fixed(t->v, (unsigned)ceil(-log10(step) - 1e-9), text);
    else
        memcpy(text, sc_value_text(t->v).s, sizeof t->text);
    text[sizeof t->text - 1] = '\0';
    memcpy(t->text, text, sizeof t->text);
}

static size_t linear_ticks(const struct sc_scale *s, unsigned about, struct sc_tick *ticks)
{
    double step, first, last;
    size_t n = 0;

    /* One number alone, such as the 0 of -19 to 19, would not say how large anything is. */
    for (unsigned more = 1;; more *= 2) {
        step = nice_step((s->high / 2 - s->low / 2) * 2 / (SC_MAX(about, 2) * more));
        if (!isfinite(step) || !(step > 0))
            return 0;
        first = ceil(s->low / step - 1e-6);
        last = floor(s->high / step + 1e-6);
        if (last > first || more >= 4)
            break;
    }
    while (n < SC_TICKS && first + (double)n <= last) {
        n = add_tick(ticks, n, (first + (double)n) * step, true);
        set_text(&ticks[n - 1], step);
    }
    return n;
}

static size_t log_ticks(const struct sc_scale *s, unsigned about, struct sc_tick *ticks)
{
    int low = (int)ceil(log10(s->low) - 1e-9), high = (int)floor(log10(s->high) + 1e-9);
    double decades = log10(s->high) - log10(s->low);
    int every = (int)ceil(decades / SC_MAX(about, 2));
    bool between = decades < 3; /* 2 and 5 have a text, too */
    size_t n = 0;

    every = SC_MAX(every, 1);
    for (int e = low - 1; e <= high; e++) {
        for (int m = 1; m < 10; m++) {
            double v = m * pow(10, e);
            bool major = m == 1 ? (e - low) % every == 0
                                : between && (m == 2 || m == 5) && every == 1 && about >= 4;
            bool minor = every == 1 && decades <= 5;
            if (v < s->low * (1 - 1e-9) || v > s->high * (1 + 1e-9) || !(major || minor))
                continue;
            n = add_tick(ticks, n, v, major);
            if (major && n && ticks[n - 1].v == v)
                set_text(&ticks[n - 1], 0);
        }
    }
    return n;
}

/* Zero, and powers of ten on both sides as far as they stand apart from it. */
static size_t signed_ticks(const struct sc_scale *s, unsigned about, struct sc_tick *ticks)
{
    const double most = SC_MAX(fabs(s->low), fabs(s->high));
    const double all = asinh(s->high / s->unit) - asinh(s->low / s->unit);
    const int last = (int)floor(log10(most) + 1e-9);
    int first = (int)ceil(log10(s->unit) - 0.2);
    /* Its number would stand on that of zero. */
    while (first < last && asinh(pow(10, first) / s->unit) < 0.35 * all / SC_MAX(about, 2))
        first++;
    int every = (int)ceil(all / log(10) / SC_MAX(about, 2));
    size_t n = 0;

    every = SC_MAX(every, 1);
    for (int side = -1; side <= 1; side += 2) {
        if (side > 0 && s->low <= 0 && s->high >= 0) {
            n = add_tick(ticks, n, 0, true);
            set_text(&ticks[n - 1], 1);
        }
        for (int k = 0; first + k <= last; k++) {
            const int e = side < 0 ? last - k : first + k;
            const double v = side * pow(10, e);
            if (v < s->low || v > s->high || (e - first) % every)
                continue;
            n = add_tick(ticks, n, v, true);
            if (ticks[n - 1].v == v)
                set_text(&ticks[n - 1], 0);
        }
    }
    return n;
}

size_t sc_scale_ticks(const struct sc_scale *s, unsigned about, struct sc_tick ticks[SC_TICKS])
{
    if (s->unit > 0) {
        const size_t n = signed_ticks(s, about, ticks);
        if (n > 2)
            return n;
    }
    /* Within a decade, powers of ten would leave the axis without numbers. */
    return s->log && s->high > 8 * s->low ? log_ticks(s, about, ticks)
                                          : linear_ticks(s, about, ticks);
}

void sc_bin(const double *v, size_t n, bool log, double low, double high, size_t n_bins,
            uint64_t *count)
{
    if (log) {
        low = log10(low);
        high = log10(high);
    }
    memset(count, 0, n_bins * sizeof *count);
    for (size_t i = 0; i < n; i++) {
        double x = log ? (v[i] > 0 ? log10(v[i]) : NAN) : v[i];
        double t = (x - low) / (high - low) * (double)n_bins;
        if (t >= 0 && t <= (double)n_bins)
            count[SC_MIN((size_t)t, n_bins - 1)]++;
    }
}

/* ---------------------------------------------------------------------------------- panels --- */
#define TICK_ROOM  16 /* below the data, for the numbers */
#define TITLE_ROOM 18 /* for the name of an axis */
#define LANE       30.0

double sc_panel_x(const struct sc_panel *p, double v)
{
    if (p->zero_x && v == 0)
        return p->box.x + LANE / 2;
    if (p->infinite_x && isinf(v) && v > 0)
        return p->box.x + p->box.w - LANE / 2;
    return sc_scale_at(&p->x, v);
}

double sc_panel_y(const struct sc_panel *p, double v)
{
    if (p->infinite_y && isinf(v) && v > 0)
        return p->box.y + LANE / 2;
    if (p->zero_y && v == 0)
        return p->nines_y ? p->box.y + LANE / 2 : p->box.y + p->box.h - LANE / 2;
    return sc_scale_at(&p->y, v);
}

static void draw_lanes(struct sc_svg *s, const struct sc_panel *p)
{
    const struct sc_box *b = &p->box;
    double bottom = b->y + b->h, right = b->x + b->w;

    if (p->zero_x) {
        sc_svg_line(s, b->x + LANE, b->y, b->x + LANE, bottom, SC_INK_AXIS, 1, true);
        sc_svg_textz(s, b->x + LANE / 2, bottom + TICK_ROOM, SC_MIDDLE, SC_LOOK_TICK, "0");
    }
    if (p->infinite_x) {
        sc_svg_line(s, right - LANE, b->y, right - LANE, bottom, SC_INK_AXIS, 1, true);
        sc_svg_textz(s, right - LANE / 2, bottom + TICK_ROOM, SC_MIDDLE, SC_LOOK_TICK, "∞");
    }
    if (p->infinite_y) {
        sc_svg_line(s, b->x, b->y + LANE, right, b->y + LANE, SC_INK_AXIS, 1, true);
        sc_svg_textz(s, b->x - 6, b->y + LANE / 2 + 4, SC_END, SC_LOOK_TICK, "∞");
    }
    if (p->zero_y) {
        double edge = p->nines_y ? b->y + LANE : bottom - LANE;
        sc_svg_line(s, b->x, edge, right, edge, SC_INK_AXIS, 1, true);
        sc_svg_textz(s, b->x - 6, sc_panel_y(p, 0) + 4, SC_END, SC_LOOK_TICK,
                     p->nines_y ? "1" : "0");
    }
}

/* The text of a tick of 1 - v: 0.999. Only powers of ten have one, else the numbers run long. */
static void complement_text(struct sc_tick *t)
{
    int nines = (int)nearbyint(-log10(t->v));
    char text[64];

    t->major = t->major && fabs(t->v * pow(10, nines) - 1) < 1e-6 && nines <= 12;
    if (!t->major)
        return;
    sc_format_fixed(1 - t->v, (unsigned)SC_MAX(nines, 0), text);
    text[sizeof t->text - 1] = '\0';
    memcpy(t->text, text, sizeof t->text);
}

static double y_tick_width(const struct sc_tick *ticks, size_t n)
{
    double width = 8;

    for (size_t i = 0; i < n; i++)
        width = SC_MAX(width, sc_svg_text_width(sc_strz(ticks[i].text), SC_LOOK_TICK));
    return width;
}

static void draw_y(struct sc_svg *s, const struct sc_panel *p, const struct sc_tick *ticks,
                   size_t n)
{
    const struct sc_box *b = &p->box;

    for (size_t i = 0; i < n; i++) {
        double y = sc_scale_at(&p->y, ticks[i].v);
        if (!ticks[i].major) {
            sc_svg_line(s, b->x - 3, y, b->x, y, SC_INK_AXIS, 1, false);
            continue;
        }
        sc_svg_line(s, b->x, y, b->x + b->w, y, SC_INK_GRID, 1, false);
        sc_svg_textz(s, b->x - 6, y + 4, SC_END, SC_LOOK_TICK, ticks[i].text);
    }
}

static void draw_x(struct sc_svg *s, const struct sc_panel *p)
{
    const struct sc_box *b = &p->box;
    struct sc_tick ticks[SC_TICKS];
    size_t n = sc_scale_ticks(&p->x, (unsigned)SC_MAX(b->w / 65, 4), ticks);
    double bottom = b->y + b->h;
    /* The lanes have numbers, too. */
    double free_from = p->zero_x ? b->x + LANE / 2 + 10 : -1e9;
    double free_to = p->infinite_x ? b->x + b->w - LANE / 2 - 12 : 1e9;

    for (size_t i = 0; i < n; i++) {
        double x = sc_scale_at(&p->x, ticks[i].v);
        sc_svg_line(s, x, bottom, x, bottom + (ticks[i].major ? 5 : 3), SC_INK_AXIS, 1, false);
        double half = sc_svg_text_width(sc_strz(ticks[i].text), SC_LOOK_TICK) / 2;
        if (!ticks[i].major)
            continue;
        sc_svg_line(s, x, b->y, x, bottom, SC_INK_GRID, 1, false);
        if (x - half < free_from || x + half > free_to)
            continue;
        free_from = x + half + 8;
        sc_svg_textz(s, x, bottom + TICK_ROOM, SC_MIDDLE, SC_LOOK_TICK, ticks[i].text);
    }
}

static void set_x(struct sc_panel *p)
{
    p->x.first = p->box.x + (p->zero_x ? LANE + 6 : 0);
    p->x.last = p->box.x + p->box.w - (p->infinite_x ? LANE + 6 : 0);
}

static void draw_below(struct sc_svg *s, const struct sc_panel *p)
{
    double bottom = p->box.y + p->box.h;

    if (!p->no_x_ticks)
        draw_x(s, p);
    draw_lanes(s, p);
    sc_svg_line(s, p->box.x, bottom, p->box.x + p->box.w, bottom, SC_INK_AXIS, 1, false);
    if (p->x_title)
        sc_svg_text(s, p->box.x + p->box.w / 2, bottom + TICK_ROOM + TITLE_ROOM, SC_MIDDLE,
                    SC_LOOK_AXIS, sc_strz(p->x_title), p->box.w + 60);
}

void sc_panel_draw(struct sc_svg *s, struct sc_panel *p, const struct sc_box *outer)
{
    struct sc_tick ticks[SC_TICKS];
    double top = (p->title ? 22 : 0) + (p->y_title ? 26 : 8);
    double below = TICK_ROOM + 4 + (p->x_title ? TITLE_ROOM : 0);
    double height = outer->h - top - below;
    size_t n = sc_scale_ticks(&p->y, (unsigned)SC_MAX(height / 44, 2), ticks);
    for (size_t i = 0; i < n && p->nines_y; i++)
        complement_text(&ticks[i]);
    double left = y_tick_width(ticks, n) + 10;

    p->box = (struct sc_box){outer->x + left, outer->y + top, outer->w - left - 14, height};
    set_x(p);
    double lane = p->infinite_y || p->zero_y ? LANE + 6 : 0;
    p->y.first = p->box.y + p->box.h; /* up is more */
    p->y.last = p->box.y;
    if (p->zero_y && !p->nines_y)
        p->y.first -= lane;
    else
        p->y.last += lane;
    if (p->nines_y) { /* up is less of what is missing */
        double bottom = p->y.first;
        p->y.first = p->y.last;
        p->y.last = bottom;
    }
    double y = outer->y + 14;
    if (p->title) {
        sc_svg_text(s, outer->x, y, SC_START, SC_LOOK_HEAD, sc_strz(p->title), outer->w);
        y += 20;
    }
    if (p->y_title)
        sc_svg_text(s, outer->x, y, SC_START, SC_LOOK_AXIS, sc_strz(p->y_title), outer->w);
    draw_y(s, p, ticks, n);
    draw_below(s, p);
}

void sc_panel_rows(struct sc_svg *s, struct sc_panel *p)
{
    set_x(p);
    draw_below(s, p);
}

void sc_panel_guide(struct sc_svg *s, const struct sc_panel *p, bool across, double v,
                    const char *name, enum sc_ink ink)
{
    const struct sc_scale *scale = across ? &p->y : &p->x;
    const struct sc_box *b = &p->box;

    if (!(v >= scale->low && v <= scale->high))
        return;
    double at = sc_scale_at(scale, v), w = sc_svg_text_width(sc_strz(name), SC_LOOK_LABEL);
    if (across) {
        sc_svg_line(s, b->x, at, b->x + b->w, at, ink, 1.5, true);
        double y = at - b->y < 16 ? at + 12 : at - 4;
        sc_svg_textz(s, b->x + b->w - 2, y, SC_END, SC_LOOK_LABEL, name);
        sc_svg_take(s, b->x + b->w - 2 - w, y - 11, w, 14);
        return;
    }
    bool left = at + w + 6 > b->x + b->w;
    /* Guides that stand close have their names one below the other. */
    double y = b->y + 11;
    struct sc_box place = {.x = left ? at - 4 - w : at + 4, .w = w, .h = 13};
    for (int i = 0; i < 4; i++) {
        place.y = y - 10;
        if (sc_svg_is_free(s, &place))
            break;
        y += 14;
    }
    sc_svg_line(s, at, b->y, at, b->y + b->h, ink, 1.5, true);
    sc_svg_textz(s, left ? at - 4 : at + 4, y, left ? SC_END : SC_START, SC_LOOK_LABEL, name);
    sc_svg_take(s, place.x, y - 10, w, 13);
}

double sc_svg_legend(struct sc_svg *s, double x, double y, double w,
                     const struct sc_legend_item *items, size_t n)
{
    double at = x, row = y + 10;

    for (size_t i = 0; i < n; i++) {
        double width = 22 + sc_svg_text_width(sc_strz(items[i].text), SC_LOOK_LABEL);
        if (at > x && at + width > x + w) {
            at = x;
            row += 18;
        }
        bool line = items[i].shape == SC_SHAPE_LINE || items[i].shape == SC_SHAPE_DASH;
        sc_svg_mark(s, items[i].shape, at + 7, row, line ? 3.5 : 4.5, items[i].ink);
        sc_svg_text(s, at + 18, row + 4, SC_START, SC_LOOK_LABEL, sc_strz(items[i].text), w - 18);
        at += width + 14;
    }
    return n ? row + 12 - y : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* svg: colours and shapes of pictures. Text is in svg_text.c, scales and panels in svg_axes.c.
 *
 * Colour comes from classes, f-NAME for areas and k-NAME for lines, so that a page can change all
 * of them at once; a file carries the same classes with the colours of both looks. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/report.h"
#include "report/svg.h"

const struct sc_ink_info sc_inks[SC_INK_COUNT] = {
    [SC_INK_NONE] = {"none", "none", "none"},
    [SC_INK_SURFACE] = {"surface", "#fcfcfb", "#1a1a19"},
    [SC_INK_TEXT] = {"text", "#0b0b0b", "#ffffff"},
    [SC_INK_TEXT2] = {"text2", "#52514e", "#c3c2b7"},
    [SC_INK_MUTED] = {"muted", "#6f6d68", "#98968e"},
    [SC_INK_GRID] = {"grid", "#e6e5de", "#2c2c2a"},
    [SC_INK_AXIS] = {"axis", "#b9b8af", "#4a4a46"},
    [SC_INK_BLUE] = {"blue", "#2a78d6", "#3987e5"},
    [SC_INK_ORANGE] = {"orange", "#eb6834", "#d95926"},
    [SC_INK_AQUA] = {"aqua", "#1baf7a", "#199e70"},
    [SC_INK_VIOLET] = {"violet", "#4a3aa7", "#9085e9"},
    [SC_INK_YELLOW] = {"yellow", "#eda100", "#c98500"},
    [SC_INK_MAGENTA] = {"magenta", "#e87ba4", "#d55181"},
    [SC_INK_GREEN] = {"green", "#008300", "#2f9e44"},
    [SC_INK_OTHER] = {"other", "#8f8d86", "#8f8d86"},
    [SC_INK_GOOD] = {"good", "#0ca30c", "#0ca30c"},
    [SC_INK_WARNING] = {"warning", "#fab219", "#fab219"},
    [SC_INK_SERIOUS] = {"serious", "#ec835a", "#ec835a"},
    [SC_INK_CRITICAL] = {"critical", "#d03b3b", "#e05555"},
    [SC_INK_RAMP0] = {"ramp0", "#e3effd", "#0f2743"},
    {"ramp1", "#cde2fb", "#10345f"},
    {"ramp2", "#a9cdf6", "#12427a"},
    {"ramp3", "#83b5ef", "#185299"},
    {"ramp4", "#5b9be6", "#1f66b8"},
    {"ramp5", "#3a82da", "#3a82da"},
    {"ramp6", "#2267bd", "#69a3ea"},
    {"ramp7", "#184d92", "#9dc5f4"},
    [SC_INK_RAMP8] = {"ramp8", "#0d366b", "#d3e6fc"},
};

/* ------------------------------------------------------------------------------- a picture --- */
void sc_svg_start(struct sc_svg *s, double w, bool page)
{
    *s = (struct sc_svg){.w = w, .page = page};
}

void sc_svg_clear(struct sc_svg *s)
{
    sc_buf_clear(&s->b);
    sc_buf_clear(&s->notes);
}

void sc_svg_note(struct sc_svg *s, const char *fmt, ...)
{
    va_list ap;
    char text[400];

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (s->notes.n)
        sc_buf_putc(&s->notes, ' ');
    sc_put_safe(&s->notes, sc_strz(text), 0);
}

static const char *shade(enum sc_ink ink, bool dark)
{
    return dark ? sc_inks[ink].dark : sc_inks[ink].light;
}

static void put_colours(struct sc_buf *b, bool dark)
{
    for (size_t i = SC_INK_SURFACE; i < SC_INK_COUNT; i++) {
        const char *colour = shade((enum sc_ink)i, dark);
        if (!dark || strcmp(colour, sc_inks[i].light) != 0)
            sc_buf_printf(b, ".f-%s{fill:%s}.k-%s{stroke:%s}", sc_inks[i].name, colour,
                          sc_inks[i].name, colour);
    }
    for (size_t i = 0; i < SC_LOOK_COUNT; i++)
        sc_buf_printf(b, ".t%zu{fill:%s}", i, shade(sc_text_looks[i].ink, dark));
    sc_buf_printf(b, ".t%d{stroke:%s}", SC_LOOK_LABEL, shade(SC_INK_SURFACE, dark));
}

/* Of the light look, and of the dark one where a reader wants that (what draws PNGs does not).
 * Only inks that a class can name. */
static void put_style(struct sc_buf *b)
{
    sc_buf_puts(b, "<style>text{font-family:\"DejaVu Sans\",Verdana,system-ui,sans-serif}");
    for (size_t i = 0; i < SC_LOOK_COUNT; i++)
        sc_buf_printf(b, ".t%zu{font-size:%.0fpx%s}", i, sc_text_looks[i].size,
                      sc_text_looks[i].strong ? ";font-weight:bold" : "");
    /* Names stay readable on guides and lines. */
    sc_buf_printf(b, ".t%d{stroke-width:3px;stroke-linejoin:round;paint-order:stroke}",
                  SC_LOOK_LABEL);
    put_colours(b, false);
    sc_buf_puts(b, "@media (prefers-color-scheme:dark){");
    put_colours(b, true);
    sc_buf_puts(b, "}</style>\n");
}

static void put_open(struct sc_buf *b, const struct sc_svg *s, double height, const char *look)
{
    sc_buf_puts(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ");
    sc_put_coordinate(b, s->w);
    sc_buf_putc(b, ' ');
    sc_put_coordinate(b, height);
    sc_buf_puts(b, "\" width=\"");
    sc_put_coordinate(b, s->w);
    sc_buf_puts(b, "\" height=\"");
    sc_put_coordinate(b, height);
    sc_buf_puts(b, "\" role=\"img\"");
    if (look)
        sc_buf_printf(b, " class=\"%s\"", look);
}

/* Words of a text in lines of at most `width`; returns the y below the last line. */
static double put_lines(struct sc_svg *s, double x, double y, double width, enum sc_text_look look,
                        const char *text)
{
    const char *line = text, *fits = NULL, *p = text;

    while (*p) {
        while (*p == ' ')
            p++;
        while (*p && *p != ' ')
            p++;
        bool long_line = sc_svg_text_width(sc_str(line, (size_t)(p - line)), look) > width;
        if (long_line && fits) {
            sc_svg_text(s, x, y, SC_START, look, sc_str(line, (size_t)(fits - line)), width);
            y += 17;
            line = fits + (*fits == ' ');
        }
        fits = p;
    }
    if (p > line) {
        sc_svg_text(s, x, y, SC_START, look, sc_str(line, (size_t)(p - line)), width);
        y += 17;
    }
    return y;
}

static void finish_file(struct sc_svg *s, const char *title, const char *what,
                        struct sc_str subject, struct sc_buf *out)
{
    enum { MARGIN = 24 };
    struct sc_svg head, foot;
    double inner = s->w, y = MARGIN + 16;

    sc_svg_start(&head, inner, false);
    sc_svg_text(&head, 0, y, SC_START, SC_LOOK_TITLE, sc_strz(title), inner);
    y += 20;
    if (subject.n) {
        sc_svg_text(&head, 0, y, SC_START, SC_LOOK_AXIS, subject, inner);
        y += 19;
    }
    y = put_lines(&head, 0, y, inner, SC_LOOK_NOTE, what) + 4;
    sc_svg_start(&foot, inner, false);
    double below = s->notes.n ? put_lines(&foot, 0, 20, inner, SC_LOOK_NOTE, s->notes.p) : 8;
    struct sc_svg whole = {.w = inner + 2 * MARGIN};
    double height = y + s->h + below + MARGIN / 2.0;
    put_open(out, &whole, height, NULL);
    sc_buf_puts(out, ">\n<title>");
    sc_put_markup(out, sc_strz(title));
    sc_buf_puts(out, "</title>\n<desc>");
    sc_put_markup(out, sc_strz(what));
    sc_buf_puts(out, "</desc>\n");
    put_style(out);
    sc_buf_puts(
        out,
        "<rect width=\"100%\" height=\"100%\" class=\"f-surface\"/>\n<g transform=\"translate(");
    sc_put_coordinate(out, MARGIN);
    sc_buf_puts(out, ",0)\">\n");
    sc_buf_put(out, head.b.p, head.b.n);
    sc_buf_puts(out, "<g transform=\"translate(0,");
    sc_put_coordinate(out, y);
    sc_buf_puts(out, ")\">\n");
    sc_buf_put(out, s->b.p, s->b.n);
    sc_buf_puts(out, "</g>\n<g transform=\"translate(0,");
    sc_put_coordinate(out, y + s->h);
    sc_buf_puts(out, ")\">\n");
    sc_buf_put(out, foot.b.p, foot.b.n);
    sc_buf_puts(out, "</g>\n</g>\n</svg>\n");
    out->failed = out->failed || head.b.failed || foot.b.failed;
    sc_svg_clear(&head);
    sc_svg_clear(&foot);
}

void sc_svg_finish(struct sc_svg *s, const char *title, const char *what, struct sc_str subject,
                   const char *look, struct sc_buf *out)
{
    out->failed = out->failed || s->b.failed || s->notes.failed;
    if (s->page) {
        put_open(out, s, s->h, look);
        sc_buf_puts(out, " aria-label=\"");
        sc_put_markup(out, sc_strz(title));
        sc_buf_puts(out, "\">\n");
        sc_buf_put(out, s->b.p, s->b.n);
        sc_buf_puts(out, "</svg>\n");
    } else {
        finish_file(s, title, what, subject, out);
    }
    sc_svg_clear(s);
}

/* ---------------------------------------------------------------------------------- shapes --- */
static void put_attribute(struct sc_svg *s, const char *name, double v)
{
    sc_buf_printf(&s->b, " %s=\"", name);
    sc_put_coordinate(&s->b, v);
    sc_buf_putc(&s->b, '"');
}

static void put_point(struct sc_svg *s, char command, double x, double y)
{
    sc_buf_putc(&s->b, command);
    sc_put_coordinate(&s->b, x);
    sc_buf_putc(&s->b, ' ');
    sc_put_coordinate(&s->b, y);
}

void sc_svg_item(struct sc_svg *s, uint32_t tensor, struct sc_str tip)
{
    sc_buf_puts(&s->b, "<g");
    if (s->page && tensor != UINT32_MAX)
        sc_buf_printf(&s->b, " data-t=\"%u\"", tensor);
    sc_buf_puts(&s->b, "><title>");
    sc_put_markup(&s->b, tip);
    sc_buf_puts(&s->b, "</title>");
}

void sc_svg_end_item(struct sc_svg *s)
{
    sc_buf_puts(&s->b, "</g>\n");
}

void sc_svg_hover(struct sc_svg *s, double x, double y, double w, double h)
{
    if (!isfinite(x + y + w + h) || w <= 0 || h <= 0)
        return;
    sc_buf_puts(&s->b, "<rect fill-opacity=\"0\"");
    put_attribute(s, "x", x);
    put_attribute(s, "y", y);
    put_attribute(s, "width", w);
    put_attribute(s, "height", h);
    sc_buf_puts(&s->b, "/>");
}

void sc_svg_rect(struct sc_svg *s, double x, double y, double w, double h, enum sc_ink fill)
{
    if (!isfinite(x + y + w + h) || w <= 0 || h <= 0)
        return;
    sc_buf_printf(&s->b, "<rect class=\"f-%s\"", sc_inks[fill].name);
    put_attribute(s, "x", x);
    put_attribute(s, "y", y);
    put_attribute(s, "width", w);
    put_attribute(s, "height", h);
    sc_buf_puts(&s->b, "/>\n");
}

void sc_svg_hbar(struct sc_svg *s, double x, double y, double w, double h, enum sc_ink fill)
{
    double r = SC_MIN(SC_MIN(3, h / 2), w);

    if (!isfinite(x + y + w + h) || w <= 0 || h <= 0)
        return;
    sc_buf_printf(&s->b, "<path class=\"f-%s\" d=\"", sc_inks[fill].name);
    put_point(s, 'M', x, y);
    put_point(s, 'L', x + w - r, y);
    put_point(s, 'Q', x + w, y);
    put_point(s, ' ', x + w, y + r);
    put_point(s, 'L', x + w, y + h - r);
    put_point(s, 'Q', x + w, y + h);
    put_point(s, ' ', x + w - r, y + h);
    put_point(s, 'L', x, y + h);
    sc_buf_puts(&s->b, "Z\"/>\n");
}

void sc_svg_vbar(struct sc_svg *s, double x, double bottom, double w, double h, enum sc_ink fill)
{
    double r = SC_MIN(SC_MIN(3, w / 2), h), top = bottom - h;

    if (!isfinite(x + bottom + w + h) || w <= 0 || h <= 0)
        return;
    sc_buf_printf(&s->b, "<path class=\"f-%s\" d=\"", sc_inks[fill].name);
    put_point(s, 'M', x, bottom);
    put_point(s, 'L', x, top + r);
    put_point(s, 'Q', x, top);
    put_point(s, ' ', x + r, top);
    put_point(s, 'L', x + w - r, top);
    put_point(s, 'Q', x + w, top);
    put_point(s, ' ', x + w, top + r);
    put_point(s, 'L', x + w, bottom);
    sc_buf_puts(&s->b, "Z\"/>\n");
}

static void put_stroke(struct sc_svg *s, enum sc_ink ink, double width, bool dashed)
{
    sc_buf_printf(&s->b, " class=\"k-%s\"", sc_inks[ink].name);
    put_attribute(s, "stroke-width", width);
    if (dashed)
        sc_buf_puts(&s->b, " stroke-dasharray=\"5 4\"");
}

void sc_svg_line(struct sc_svg *s, double x1, double y1, double x2, double y2, enum sc_ink ink,
                 double width, bool dashed)
{
    if (!isfinite(x1 + y1 + x2 + y2))
        return;
    sc_buf_puts(&s->b, "<line");
    put_stroke(s, ink, width, dashed);
    put_attribute(s, "x1", x1);
    put_attribute(s, "y1", y1);
    put_attribute(s, "x2", x2);
    put_attribute(s, "y2", y2);
    sc_buf_puts(&s->b, "/>\n");
}

void sc_svg_path(struct sc_svg *s, enum sc_ink ink, double width, bool dashed)
{
    sc_buf_puts(&s->b, "<path fill=\"none\" stroke-linejoin=\"round\"");
    put_stroke(s, ink, width, dashed);
    sc_buf_puts(&s->b, " d=\"");
    s->run = 0;
}

/* A point between gaps has no line to be part of: a dash of 4 pixels, so that it is seen. */
static void end_run(struct sc_svg *s)
{
    if (s->run == 1)
        sc_buf_puts(&s->b, "m-2 0h4");
    s->run = 0;
}

void sc_svg_to(struct sc_svg *s, double x, double y)
{
    if (!isfinite(x) || !isfinite(y)) {
        end_run(s);
        return;
    }
    put_point(s, s->run ? 'L' : 'M', x, y);
    s->run = SC_MIN(s->run + 1, 2);
}

void sc_svg_end_path(struct sc_svg *s)
{
    end_run(s);
    sc_buf_puts(&s->b, "\"/>\n");
}

void sc_svg_area(struct sc_svg *s, const double *x, const double *low, const double *high, size_t n,
                 enum sc_ink fill)
{
    size_t used = 0;

    while (used < n && isfinite(x[used] + low[used] + high[used]))
        used++;
    if (used == 0)
        return;
    sc_buf_printf(&s->b, "<path fill-opacity=\".16\" class=\"f-%s\" d=\"", sc_inks[fill].name);
    if (used == 1) { /* as wide as the dash of a point between gaps */
        put_point(s, 'M', x[0] - 2, high[0]);
        put_point(s, 'L', x[0] + 2, high[0]);
        put_point(s, 'L', x[0] + 2, low[0]);
        put_point(s, 'L', x[0] - 2, low[0]);
    }
    for (size_t i = 0; used > 1 && i < used; i++)
        put_point(s, i ? 'L' : 'M', x[i], high[i]);
    for (size_t i = used; used > 1 && i-- > 0;)
        put_point(s, 'L', x[i], low[i]);
    sc_buf_puts(&s->b, "Z\"/>\n");
}

void sc_svg_blob(struct sc_svg *s, const double *y, const double *left, const double *right,
                 size_t n, enum sc_ink fill)
{
    size_t used = 0;

    while (used < n && isfinite(y[used] + left[used] + right[used]))
        used++;
    if (used < 2)
        return;
    sc_buf_printf(&s->b, "<path class=\"f-%s\" d=\"", sc_inks[fill].name);
    for (size_t i = 0; i < used; i++)
        put_point(s, i ? 'L' : 'M', right[i], y[i]);
    for (size_t i = used; i-- > 0;)
        put_point(s, 'L', left[i], y[i]);
    sc_buf_puts(&s->b, "Z\"/>\n");
}

static void put_polygon(struct sc_svg *s, double x, double y, double r, const signed char *corner,
                        size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_point(s, i ? 'L' : 'M', x + r * corner[2 * i] / 100, y + r * corner[2 * i + 1] / 100);
    sc_buf_putc(&s->b, 'Z');
}

void sc_svg_mark(struct sc_svg *s, enum sc_mark_shape shape, double x, double y, double r,
                 enum sc_ink ink)
{
    static const struct {
        unsigned char n;
        signed char corner[24]; /* hundredths of r */
    } shapes[] = {
        [SC_SHAPE_SQUARE] = {4, {-90, -90, 90, -90, 90, 90, -90, 90}},
        [SC_SHAPE_TRIANGLE] = {3, {0, -115, 105, 75, -105, 75}},
        [SC_SHAPE_DIAMOND] = {4, {0, -122, 122, 0, 0, 122, -122, 0}},
        [SC_SHAPE_DROP] = {3, {0, 115, 105, -75, -105, -75}},
        [SC_SHAPE_CROSS] = {12, {-35, -110, 35,  -110, 35,  -35, 110,  -35, 110,  35,  35,  35,
                                 35,  110,  -35, 110,  -35, 35,  -110, 35,  -110, -35, -35, -35}},
        [SC_SHAPE_BOX] = {4, {-100, -100, 100, -100, 100, 100, -100, 100}},
        [SC_SHAPE_TICK] = {4, {-25, -120, 25, -120, 25, 120, -25, 120}},
    };

    if (!isfinite(x + y + r))
        return;
    if (shape == SC_SHAPE_RING) {
        sc_svg_mark(s, SC_SHAPE_CIRCLE, x, y, r, ink);
        sc_svg_mark(s, SC_SHAPE_CIRCLE, x, y, r / 2, SC_INK_SURFACE);
        return;
    }
    if (shape == SC_SHAPE_LINE || shape == SC_SHAPE_DASH) {
        sc_svg_line(s, x - 2 * r, y, x + 2 * r, y, ink, 2, shape == SC_SHAPE_DASH);
        return;
    }
    bool ring = shape != SC_SHAPE_BOX && shape != SC_SHAPE_TICK;
    const char *edge = ring ? " k-surface" : "";
    if (shape == SC_SHAPE_CIRCLE) {
        sc_buf_printf(&s->b, "<circle class=\"f-%s%s\"", sc_inks[ink].name, edge);
        put_attribute(s, "cx", x);
        put_attribute(s, "cy", y);
        put_attribute(s, "r", r);
        sc_buf_puts(&s->b, "/>\n");
        return;
    }
    sc_buf_printf(&s->b, "<path class=\"f-%s%s\" d=\"", sc_inks[ink].name, edge);
    put_polygon(s, x, y, r, shapes[shape].corner, shapes[shape].n);
    sc_buf_puts(&s->b, "\"/>\n");
}

void sc_svg_circle(struct sc_svg *s, double x, double y, double r, enum sc_ink ink, double width)
{
    if (!isfinite(x + y + r))
        return;
    sc_buf_puts(&s->b, "<circle fill=\"none\"");
    put_stroke(s, ink, width, false);
    put_attribute(s, "cx", x);
    put_attribute(s, "cy", y);
    put_attribute(s, "r", r);
    sc_buf_puts(&s->b, "/>\n");
}

void sc_svg_disc(struct sc_svg *s, double x, double y, double r, const unsigned char rgb[3])
{
    if (!isfinite(x + y + r))
        return;
    sc_buf_printf(&s->b, "<circle fill=\"#%02x%02x%02x\" class=\"k-surface\"", rgb[0], rgb[1],
                  rgb[2]);
    put_attribute(s, "cx", x);
    put_attribute(s, "cy", y);
    put_attribute(s, "r", r);
    sc_buf_puts(&s->b, "/>\n");
}

void sc_svg_grid(struct sc_svg *s, double x, double y, double w, double h)
{
    char scale[2][64];

    sc_buf_puts(&s->b, "<g shape-rendering=\"crispEdges\" transform=\"translate(");
    sc_put_coordinate(&s->b, x);
    sc_buf_putc(&s->b, ' ');
    sc_put_coordinate(&s->b, y);
    sc_format_fixed(w, 5, scale[0]); /* of up to a thousand cells: finer than a coordinate */
    sc_format_fixed(h, 5, scale[1]);
    sc_buf_printf(&s->b, ") scale(%s %s)\">\n", scale[0], scale[1]);
}

void sc_svg_runs(struct sc_svg *s, enum sc_ink fill)
{
    sc_buf_printf(&s->b, "<path class=\"f-%s\" d=\"", sc_inks[fill].name);
}

void sc_svg_faint_runs(struct sc_svg *s, enum sc_ink fill, double opacity)
{
    sc_buf_printf(&s->b, "<path class=\"f-%s\" fill-opacity=\"", sc_inks[fill].name);
    sc_put_coordinate(&s->b, opacity);
    sc_buf_puts(&s->b, "\" d=\"");
}

void sc_svg_run(struct sc_svg *s, uint64_t column, uint64_t row, uint64_t n)
{
    char at[4][24];

    sc_format_u64(column, at[0]);
    sc_format_u64(row, at[1]);
    sc_format_u64(column + n, at[2]);
    sc_format_u64(row + 1, at[3]);
    sc_buf_printf(&s->b, "M%s %sH%sV%sH%sZ", at[0], at[1], at[2], at[3], at[0]);
}

void sc_svg_end_runs(struct sc_svg *s)
{
    sc_buf_puts(&s->b, "\"/>\n");
}

void sc_svg_end_grid(struct sc_svg *s)
{
    sc_buf_puts(&s->b, "</g>\n");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* svg_text: text in pictures: numbers as people read them, widths, names that keep out of each
 * other's way. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/report.h"
#include "report/svg.h"

const struct sc_look sc_text_looks[SC_LOOK_COUNT] = {
    [SC_LOOK_TICK] = {11, SC_INK_MUTED, false}, [SC_LOOK_LABEL] = {11, SC_INK_TEXT2, false},
    [SC_LOOK_AXIS] = {12, SC_INK_TEXT2, false}, [SC_LOOK_HEAD] = {13, SC_INK_TEXT, true},
    [SC_LOOK_TITLE] = {18, SC_INK_TEXT, true},  [SC_LOOK_NOTE] = {12, SC_INK_TEXT2, false},
    [SC_LOOK_CELL] = {10, SC_INK_TEXT, false},  [SC_LOOK_INSIDE] = {10, SC_INK_SURFACE, false},
};

/* --------------------------------------------------------------------------------- numbers --- */
void sc_put_markup(struct sc_buf *b, struct sc_str text)
{
    struct sc_buf safe = {0};

    sc_put_safe(&safe, text, 0);
    b->failed = b->failed || safe.failed;
    for (size_t i = 0; i < safe.n; i++) {
        switch (safe.p[i]) {
        case '&':
            sc_buf_puts(b, "&amp;");
            break;
        case '<':
            sc_buf_puts(b, "&lt;");
            break;
        case '>':
            sc_buf_puts(b, "&gt;");
            break;
        case '"':
            sc_buf_puts(b, "&quot;");
            break;
        case '\'':
            sc_buf_puts(b, "&#39;");
            break;
        default:
            sc_buf_putc(b, safe.p[i]);
        }
    }
    sc_buf_clear(&safe);
}

void sc_put_coordinate(struct sc_buf *b, double v)
{
    char text[64];

    sc_format_fixed(isfinite(v) ? SC_MIN(SC_MAX(v, -1e6), 1e6) : 0, 2, text);
    size_t n = strlen(text);
    while (n && text[n - 1] == '0')
        n--;
    if (n && text[n - 1] == '.')
        n--;
    sc_buf_put(b, text, n);
}

/* Values become text without memory that could run out: a picture has thousands of them. */
static void add(struct sc_short_text *t, const char *text)
{
    size_t used = strlen(t->s), n = SC_MIN(strlen(text), sizeof t->s - 1 - used);

    memcpy(t->s + used, text, n);
    t->s[used + n] = '\0';
}

static void add_power_of_ten(struct sc_short_text *t, int exponent)
{
    static const char *const raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char digits[24];

    add(t, exponent < 0 ? "10⁻" : "10");
    sc_format_u64((uint64_t)(exponent < 0 ? -exponent : exponent), digits);
    for (const char *p = digits; *p; p++)
        add(t, raised[*p - '0']);
}

/* m x 10^e with one decimal of m, or a bare power where m is 1. */
static void add_scientific(struct sc_short_text *t, double v)
{
    char text[64];
    int exponent = (int)floor(log10(fabs(v)));
    double m = v / pow(10, exponent);

    if (!isfinite(m)) /* subnormal: the power itself is not representable */
        m = v * 1e300 / pow(10, exponent + 300);
    if (fabs(m) > 9.95) {
        m /= 10;
        exponent++;
    }
    if (fabs(fabs(m) - 1) > 0.005) {
        sc_format_fixed(m, fabs(m - nearbyint(m)) < 0.05 ? 0 : 1, text);
        add(t, text);
        add(t, "·");
    } else if (v < 0) {
        add(t, "-");
    }
    add_power_of_ten(t, exponent);
}

static void add_trimmed(struct sc_short_text *t, double v, unsigned digits)
{
    char text[64];

    sc_format_fixed(v, digits, text);
    if (strchr(text, '.')) {
        size_t n = strlen(text);
        while (text[n - 1] == '0')
            n--;
        if (text[n - 1] == '.')
            n--;
        text[n] = '\0';
    }
    add(t, text);
}

static unsigned decimals(double size)
{
    return size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : size >= 0.1 ? 3 : 4;
}

struct sc_short_text sc_value_text(double v)
{
    static const char *const units[] = {"K", "M", "B", "T"};
    struct sc_short_text t = {""};
    double size = fabs(v);

    if (isnan(v)) {
        add(&t, "–");
    } else if (isinf(v)) {
        add(&t, v < 0 ? "-∞" : "∞");
    } else if (v == 0) {
        add(&t, "0");
    } else if (size < 1e-3 || size >= 9.995e14) {
        add_scientific(&t, v);
    } else if (size < 9999.5) {
        add_trimmed(&t, v, decimals(size));
    } else {
        size_t unit = 0;
        for (v /= 1000; fabs(v) >= 999.5; unit++)
            v /= 1000;
        add_trimmed(&t, v, SC_MIN(decimals(fabs(v)), 2));
        add(&t, units[unit]);
    }
    return t;
}

void sc_put_value(struct sc_buf *b, double v)
{
    sc_buf_puts(b, sc_value_text(v).s);
}

/* ------------------------------------------------------------------------------------ text --- */
/* Widths of DejaVu Sans in hundredths of the size, by kind of letter: the widest font that a
 * reader is likely to see, so that nothing overlaps with a narrower one. */
static double letter_width(uint32_t c)
{
    if (c >= 0x2e80)
        return 1.0;
    if (c >= 0x2070 && c <= 0x209f)
        return 0.42;
    if (c < 0x80) {
        if (strchr("iljI|.,:;'! ", (int)c) && c)
            return 0.34;
        if (strchr("mwMW%@", (int)c) && c)
            return 0.92;
        if (c >= 'A' && c <= 'Z')
            return 0.70;
        if (strchr("frt()[]-/", (int)c) && c)
            return 0.42;
    }
    return 0.62;
}

double sc_svg_text_width(struct sc_str text, enum sc_text_look look)
{
    double width = 0;

    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        size_t n = sc_utf8_decode(text.p + i, text.n - i, &c);
        width += letter_width(n ? c : 0xfffd);
        i += n ? n : 1;
    }
    return width * sc_text_looks[look].size * (sc_text_looks[look].strong ? 1.1 : 1);
}

static bool inside_letter(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Names differ at both ends, so the middle gives way. Appends safe, unescaped text. */
static void put_cut(struct sc_buf *b, struct sc_str text, enum sc_text_look look, double max)
{
    struct sc_buf safe = {0};

    sc_put_safe(&safe, text, 0);
    size_t head = safe.n / 2, tail = safe.n - head;
    struct sc_str all = sc_str(safe.p ? safe.p : "", safe.n);
    if (max <= 0 || sc_svg_text_width(all, look) <= max) {
        sc_buf_put(b, all.p, all.n);
    } else {
        double room = max - sc_text_looks[look].size;
        while (head + tail > 1 &&
               sc_svg_text_width(sc_str(all.p, head), look) +
                       sc_svg_text_width(sc_str(all.p + all.n - tail, tail), look) >
                   room) {
            if (tail > head)
                do
                    tail--;
                while (tail && inside_letter(all.p[all.n - tail]));
            else
                do
                    head--;
                while (head && inside_letter(all.p[head]));
        }
        while (head && inside_letter(all.p[head]))
            head--;
        while (tail && inside_letter(all.p[all.n - tail]))
            tail--;
        sc_buf_put(b, all.p, head);
        sc_buf_puts(b, "…");
        sc_buf_put(b, all.p + all.n - tail, tail);
    }
    b->failed = b->failed || safe.failed;
    sc_buf_clear(&safe);
}

void sc_svg_text(struct sc_svg *s, double x, double y, enum sc_anchor anchor,
                 enum sc_text_look look, struct sc_str text, double max)
{
    static const char *const anchors[] = {"", " text-anchor=\"middle\"", " text-anchor=\"end\""};
    struct sc_buf cut = {0};

    if (!isfinite(x + y) || !text.n)
        return;
    put_cut(&cut, text, look, max);
    sc_buf_printf(&s->b, "<text class=\"t%d\"%s", (int)look, anchors[anchor]);
    sc_buf_puts(&s->b, " x=\"");
    sc_put_coordinate(&s->b, x);
    sc_buf_puts(&s->b, "\" y=\"");
    sc_put_coordinate(&s->b, y);
    sc_buf_putc(&s->b, '"');
    sc_buf_putc(&s->b, '>');
    sc_put_markup(&s->b, sc_str(cut.p ? cut.p : "", cut.n));
    sc_buf_puts(&s->b, "</text>\n");
    s->b.failed = s->b.failed || cut.failed;
    sc_buf_clear(&cut);
}

void sc_svg_textz(struct sc_svg *s, double x, double y, enum sc_anchor anchor,
                  enum sc_text_look look, const char *text)
{
    sc_svg_text(s, x, y, anchor, look, sc_strz(text), 0);
}

void sc_svg_take(struct sc_svg *s, double x, double y, double w, double h)
{
    if (s->n_taken < SC_SVG_LABELS)
        s->taken[s->n_taken++] = (struct sc_box){x, y, w, h};
}

bool sc_svg_is_free(const struct sc_svg *s, const struct sc_box *b)
{
    for (size_t i = 0; i < s->n_taken; i++) {
        const struct sc_box *t = &s->taken[i];
        if (b->x < t->x + t->w && t->x < b->x + b->w && b->y < t->y + t->h && t->y < b->y + b->h)
            return false;
    }
    return s->n_taken < SC_SVG_LABELS;
}

bool sc_svg_label(struct sc_svg *s, const struct sc_box *within, double x, double y, double r,
                  struct sc_str text)
{
    static const signed char place[][2] = {{1, 0},   {-1, 0}, {1, -1}, {1, 1},
                                           {-1, -1}, {-1, 1}, {0, -1}, {0, 1}};
    double w = sc_svg_text_width(text, SC_LOOK_LABEL), h = 13;

    if (!isfinite(x + y + r))
        return false;
    for (size_t i = 0; i < SC_COUNT(place); i++) {
        double dx = place[i][0] * (r + 4), dy = place[i][1] * (place[i][0] ? 9 : r + 9);
        struct sc_box b = {place[i][0] > 0   ? x + dx
                           : place[i][0] < 0 ? x + dx - w
                                             : x - w / 2,
                           y + dy - h / 2, w, h};
        if (b.x < within->x || b.x + b.w > within->x + within->w || b.y < within->y ||
            b.y + b.h > within->y + within->h || !sc_svg_is_free(s, &b))
            continue;
        sc_svg_take(s, b.x, b.y, b.w, b.h);
        sc_svg_text(s, b.x, b.y + 10, SC_START, SC_LOOK_LABEL, text, 0);
        return true;
    }
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* plots_rows: rows with a name at the left, and a bar, an interval or a mark beside it. */
#include <math.h>

#include "report/pictures_parts.h"

#define ROW 22.0

double sc_row_panel_draw(struct sc_svg *s, struct sc_row_panel *p, double x, double y, double w,
                         const struct sc_str *names, size_t n)
{
    double room = 40;
    const double most = SC_MIN(w * 0.42, 240);

    for (size_t i = 0; i < n; i++)
        room = SC_MAX(room, sc_svg_text_width(names[i], SC_LOOK_LABEL) + 12);
    room = SC_MIN(room, most);
    if (p->panel.title) {
        sc_svg_text(s, x, y + 14, SC_START, SC_LOOK_HEAD, sc_strz(p->panel.title), w);
        y += 26;
    }
    p->row_h = ROW;
    p->panel.box = (struct sc_box){x + room, y, w - room - 14, ROW * (double)SC_MAX(n, 1)};
    sc_panel_rows(s, &p->panel);
    for (size_t i = 0; i < n; i++)
        sc_svg_text(s, x + room - 8, sc_row_y(p, i) + 4, SC_END, SC_LOOK_LABEL, names[i],
                    room - 12);
    return p->panel.box.y + p->panel.box.h + (p->panel.x_title ? 46 : 28);
}

double sc_row_y(const struct sc_row_panel *p, size_t row)
{
    return p->panel.box.y + ((double)row + 0.5) * p->row_h;
}

void sc_row_bar_draw(struct sc_svg *s, const struct sc_row_panel *p, double y, double h,
                     const struct sc_row_bar *b)
{
    const struct sc_scale *x = &p->panel.x;
    const double left = p->panel.box.x, right = left + p->panel.box.w;
    const double zero = x->log ? left : sc_panel_x(&p->panel, SC_MIN(SC_MAX(0, x->low), x->high));

    if (isnan(b->v)) {
        sc_svg_textz(s, zero + 6, y + 4, SC_START, SC_LOOK_LABEL, "not finite");
        return;
    }
    const double at = isinf(b->v)           ? (b->v > 0 ? right : left)
                      : x->log && b->v <= 0 ? left
                                            : sc_panel_x(&p->panel, b->v);
    sc_svg_rect(s, SC_MIN(at, zero), y - h / 2, SC_MAX(fabs(at - zero), 1), h, b->ink);
    if (isinf(b->v))
        sc_svg_textz(s, right - 4, y + 4, SC_END, SC_LOOK_LABEL, "∞");
    if (!(b->low <= b->high) || !isfinite(b->low + b->high))
        return;
    const double low = sc_panel_x(&p->panel, b->low), high = sc_panel_x(&p->panel, b->high);
    sc_svg_line(s, low, y, high, y, SC_INK_TEXT, 1.5, false);
    sc_svg_line(s, low, y - 4, low, y + 4, SC_INK_TEXT, 1.5, false);
    sc_svg_line(s, high, y - 4, high, y + 4, SC_INK_TEXT, 1.5, false);
}

void sc_put_piece(struct sc_buf *b, const struct sc_tokenizer *tokenizer, uint32_t id)
{
    const struct sc_str piece =
        tokenizer ? sc_tokenizer_piece(tokenizer, id) : (struct sc_str){NULL, 0};

    if (piece.p)
        sc_put_safe(b, piece, 0);
    else
        sc_buf_printf(b, "#%u", (unsigned)id);
}

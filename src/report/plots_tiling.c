/* SPDX-License-Identifier: Apache-2.0 */
/* plots_tiling: grids of squares that stand for the cells of a matrix. */
#include "report/plots_draw.h"

struct sc_tiling sc_tiling_of(uint64_t down, uint64_t across, uint64_t most)
{
    struct sc_tiling t = {.down = down, .across = across};

    /* The same both ways as long as both are many, so that squares stay square. */
    uint64_t by = SC_MAX((down + most - 1) / most, (across + most - 1) / most);
    by = SC_MAX(by, 1);
    t.by_rows = SC_MIN(by, down);
    t.by_cols = SC_MIN(by, across);
    t.n_rows = (down + t.by_rows - 1) / t.by_rows;
    t.n_cols = (across + t.by_cols - 1) / t.by_cols;
    return t;
}

void sc_tiling_place(struct sc_tiling *t, double x, double y, double w, double most_h)
{
    double side = SC_MIN(SC_MIN(w / (double)t->n_cols, most_h / (double)t->n_rows), 30);

    t->w = SC_MAX(side, SC_MIN(28 / (double)t->n_cols, w / (double)t->n_cols));
    t->h = SC_MAX(side, 28 / (double)t->n_rows);
    t->box = (struct sc_box){x, y, t->w * (double)t->n_cols, t->h * (double)t->n_rows};
}

static uint64_t tick_step(uint64_t n, double cell, double room)
{
    static const unsigned nice[] = {1, 2, 4, 8, 16, 32};

    for (uint64_t power = 1;; power *= 64)
        for (size_t i = 0; i < SC_COUNT(nice); i++)
            if ((double)(nice[i] * power) * cell >= room || nice[i] * power >= n)
                return nice[i] * power;
}

void sc_tiling_ticks(struct sc_svg *s, const struct sc_tiling *t, const char *x_title,
                     const char *y_title)
{
    const struct sc_box *b = &t->box;
    double per_col = t->w / (double)t->by_cols, per_row = t->h / (double)t->by_rows;
    char text[24];

    sc_format_u64(SC_MAX(t->first_col + t->across, t->first_row + t->down), text);
    double widest = sc_svg_text_width(sc_strz(text), SC_LOOK_TICK);
    uint64_t step = tick_step(t->across, per_col, widest + 14);
    for (uint64_t i = 0; i < t->across; i += step) {
        double x = b->x + ((double)i + 0.5) * per_col;
        sc_format_u64(t->first_col + i, text);
        sc_svg_line(s, x, b->y + b->h, x, b->y + b->h + 4, SC_INK_AXIS, 1, false);
        sc_svg_textz(s, x, b->y + b->h + 16, SC_MIDDLE, SC_LOOK_TICK, text);
    }
    step = tick_step(t->down, per_row, 18);
    for (uint64_t i = 0; i < t->down; i += step) {
        double y = b->y + ((double)i + 0.5) * per_row;
        sc_format_u64(t->first_row + i, text);
        sc_svg_line(s, b->x - 4, y, b->x, y, SC_INK_AXIS, 1, false);
        sc_svg_textz(s, b->x - 7, y + 4, SC_END, SC_LOOK_TICK, text);
    }
    sc_svg_textz(s, b->x + b->w / 2, b->y + b->h + 34, SC_MIDDLE, SC_LOOK_AXIS, x_title);
    sc_svg_textz(s, b->x, b->y - 8, SC_START, SC_LOOK_AXIS, y_title);
}

void sc_tiling_mesh(struct sc_svg *s, const struct sc_tiling *t)
{
    const struct sc_box *b = &t->box;

    if (t->n_rows > 64 || t->n_cols > 64)
        return;
    for (uint64_t i = 1; i < t->n_cols; i++)
        sc_svg_line(s, b->x + (double)i * t->w, b->y, b->x + (double)i * t->w, b->y + b->h,
                    SC_INK_SURFACE, 1, false);
    for (uint64_t i = 1; i < t->n_rows; i++)
        sc_svg_line(s, b->x, b->y + (double)i * t->h, b->x + b->w, b->y + (double)i * t->h,
                    SC_INK_SURFACE, 1, false);
}

void sc_tiling_squares(struct sc_svg *s, const struct sc_tiling *t, const int8_t *index,
                       const enum sc_ink *inks, size_t n_inks, enum sc_ink none)
{
    sc_svg_grid(s, t->box.x, t->box.y, t->w, t->h);
    for (size_t k = 0; k <= n_inks; k++) {
        int wanted = k < n_inks ? (int)k : SC_SQUARE_NONE;
        bool any = false;
        for (uint64_t row = 0; row < t->n_rows; row++) {
            const int8_t *line = index + row * t->n_cols;
            for (uint64_t i = 0; i < t->n_cols;) {
                uint64_t end = i + 1;
                while (end < t->n_cols && line[end] == line[i])
                    end++;
                if (line[i] == wanted) {
                    if (!any)
                        sc_svg_runs(s, k < n_inks ? inks[k] : none);
                    any = true;
                    sc_svg_run(s, i, row, end - i);
                }
                i = end;
            }
        }
        if (any)
            sc_svg_end_runs(s);
    }
    sc_svg_end_grid(s);
}

double sc_tiling_room(const struct sc_tiling *t)
{
    char text[24];

    sc_format_u64(t->first_row + t->down, text);
    return sc_svg_text_width(sc_strz(text), SC_LOOK_TICK) + 12;
}

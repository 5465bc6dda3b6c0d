/* SPDX-License-Identifier: Apache-2.0 */
/* quality_plan: how a tensor is cut so that panels hold whole units of every format. */
#include "analyze/quality_parts.h"

enum {
    PANEL_VALUES = 1 << 17, /* 512 KiB: x stays in the second cache */
    SEGMENT = 128,          /* columns whose 32 rows of x and y stay in the first */
    MOST_ROWS = 2048,       /* sums of rows of a panel */
};

struct sc_matrices sc_quality_matrices(const struct sc_values *v)
{
    const uint8_t rank = v->tensor->rank;
    struct sc_matrices m = {.n = 1, .rows = 1, .cols = v->cols};
    if (v->count == 0)
        return (struct sc_matrices){.n = 1};
    if (rank >= 2) {
        m.rows = v->tensor->shape[rank - 2];
        m.n = v->rows / m.rows;
    }
    return m;
}

bool sc_is_vector(const struct sc_values *v)
{
    return v->tensor->rank < 2;
}

void sc_plan_format(const struct sc_values *v, const struct sc_encoding *f, struct sc_planned *out)
{
    const bool any_float = f->scheme == SC_SCHEME_CAST && f->element == SC_ELEMENT_F32;
    const bool stored = f->scheme == SC_SCHEME_CAST && v->code_bytes && f->codec == v->codec;
    *out = (struct sc_planned){.f = f, .mix = -1};
    out->round = sc_rounder(f, sc_cpu_level());
    out->turned = f->other_axis && !sc_is_vector(v) && (f->unit > 1 || f->over == SC_OVER_LINE);
    out->down = out->turned && f->over != SC_OVER_LINE && SC_TILE % f->unit == 0;
    out->lossless = any_float || (stored && v->code_bytes == 2);
    out->nearest = f->scheme != SC_SCHEME_GGML && f->scheme != SC_SCHEME_LEVELS && !f->affine;
    out->losses = sc_losses(f, sc_cpu_level());
    out->keeps_zero = f->scheme != SC_SCHEME_GGML;
    out->short_below = sc_encoding_short_below(f);
}

/* Least common multiple; 0: it is too large to be of use. */
static uint64_t common(uint64_t a, uint64_t b)
{
    uint64_t x = a, y = b, out;
    while (y) {
        const uint64_t rest = x % y;
        x = y;
        y = rest;
    }
    return x && sc_mul(a / x, b, &out) && out <= (uint64_t)SC_PANEL_VALUES ? out : 0;
}

/* Multiples of `step` that are about `target`, at least one. */
static uint64_t near(uint64_t target, uint64_t step)
{
    return SC_MAX(target / step, UINT64_C(1)) * step;
}

/* Whole units down and across; whole lines where a unit is as long as they are. */
static bool units_of(const struct sc_quality_options *o, const struct sc_planned *formats, size_t n,
                     struct sc_cut *c, uint64_t *down, uint64_t *across)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t unit = formats[i].f->unit;
        const uint64_t length = formats[i].turned ? c->rows : c->cols;
        uint64_t *step = formats[i].turned ? down : across;
        if (unit <= 1)
            continue;
        if (unit >= length) {
            *(formats[i].turned ? &c->whole_cols : &c->whole_rows) = true;
            c->whole_segments = c->whole_segments || !formats[i].turned;
        }
        if (unit < length && !(*step = common(*step, unit)))
            return false;
    }
    if (o->grain == SC_GRAIN_GROUP && o->group >= c->cols)
        c->whole_rows = true;
    else if (o->grain == SC_GRAIN_GROUP && !(*across = common(*across, o->group)))
        return false;
    return true;
}

bool sc_cut_of(const struct sc_quality_options *o, const struct sc_planned *formats, size_t n,
               const struct sc_values *v, struct sc_cut *out)
{
    const struct sc_matrices m = sc_quality_matrices(v);
    struct sc_cut c = {.matrices = m.n, .rows = m.rows, .cols = m.cols, .parts = true};
    bool turned = false;
    for (size_t i = 0; i < n; i++)
        turned = turned || formats[i].turned;
    /* Kernels of a convolution: panels that hold nine values would take hours. */
    if (m.n > 1 && m.rows * m.cols < (uint64_t)SC_VECTOR_TILE && !turned &&
        o->grain == SC_GRAIN_NONE) {
        c.rows *= c.matrices;
        c.matrices = 1;
        c.parts = false;
    }
    c.tile_rows = sc_is_vector(v) ? 1 : SC_TILE;
    c.tile_cols = sc_is_vector(v) ? SC_VECTOR_TILE : SC_TILE;
    uint64_t down = c.tile_rows, across = c.tile_cols, height = SC_TILE, width = c.cols;
    if (!units_of(o, formats, n, &c, &down, &across))
        return false;
    height = c.whole_cols ? c.rows : SC_MIN(down, c.rows);
    if (!c.whole_rows && c.cols > across && height * c.cols > 2 * (uint64_t)PANEL_VALUES)
        width = SC_MIN(near(SC_MAX(PANEL_VALUES / height, (uint64_t)SC_TILE), across), c.cols);
    if (!c.whole_cols && o->sample == 0)
        height = SC_MIN(
            near(SC_MIN(PANEL_VALUES / SC_MAX(width, UINT64_C(1)), (uint64_t)MOST_ROWS), down),
            c.rows);
    c.whole_rows = width == c.cols;
    c.whole_cols = height == c.rows;
    if (width > (uint64_t)SC_PANEL_VALUES || height > (uint64_t)SC_PANEL_VALUES ||
        height * width > (uint64_t)SC_PANEL_VALUES)
        return false;
    c.height = (uint32_t)SC_MAX(height, UINT64_C(1));
    c.width = (uint32_t)SC_MAX(width, UINT64_C(1));
    const uint64_t segment =
        c.whole_segments ? c.width : (uint64_t)SEGMENT * (SC_TILE / c.tile_rows);
    c.segment = (uint32_t)SC_MIN((segment + across - 1) / across * across, (uint64_t)c.width);
    *out = c;
    return true;
}

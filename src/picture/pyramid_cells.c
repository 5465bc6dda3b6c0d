/* SPDX-License-Identifier: Apache-2.0 */
/* pyramid_cells: sums of the values of cells and pixels, and what is kept of them. */
#include "picture/pyramid.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A product that is not rounded before the sum gives other bits; see codec/decode.h. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

enum { LANES = 16, TOGETHER = 64 };

void sc_cells_clear(struct sc_cell_sum *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        c[i] = (struct sc_cell_sum){.min = INFINITY, .max = -INFINITY};
}

void sc_cell_join(struct sc_cell_sum *to, const struct sc_cell_sum *from)
{
    to->sum += from->sum;
    to->square += from->square;
    to->n += from->n;
    to->min = from->min < to->min ? from->min : to->min;
    to->max = from->max > to->max ? from->max : to->max;
    to->flags |= from->flags;
}

/* ---------------------------------------------------------------------------------- values --- */

static void add_exact(const float *x, size_t stride, size_t rows, size_t n, struct sc_cell_sum *c)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++)
            sc_cell_take(c, x[r * stride + i]);
}

#if SC_HAVE_X86
/* A cell of floats, or of codes, one by one. */
static void add_either(const void *x, bool bf16, size_t at, size_t stride, size_t rows, size_t n,
                       struct sc_cell_sum *c)
{
    const uint8_t *const codes = x;
    if (!bf16) {
        add_exact((const float *)x + at, stride, rows, n, c);
        return;
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++)
            sc_cell_take(c, sc_bf16_value(sc_le16(codes + 2 * (at + r * stride + i))));
}
#endif

static void columns_c(const float *x, size_t stride, size_t rows, size_t n,
                      struct sc_cell_columns *out)
{
    for (size_t i = 0; i < n; i++) {
        float sum = 0, square = 0, min = INFINITY, max = -INFINITY;
        uint32_t most = 0;
        for (size_t r = 0; r < rows; r++) {
            const float v = x[r * stride + i];
            uint32_t bits;
            memcpy(&bits, &v, sizeof bits);
            bits &= 0x7fffffff;
            sum += v;
            square += v * v;
            min = v < min ? v : min;
            max = v > max ? v : max;
            most = SC_MAX(most, bits);
        }
        out->sum[i] = sum;
        out->square[i] = square;
        out->min[i] = min;
        out->max[i] = max;
        out->most[i] = most;
    }
}

/* Narrow cells, all of whose columns are at most SC_CELL_COLUMNS. */
static void add_columns(const float *x, size_t stride, size_t rows, size_t width, size_t n,
                        enum sc_cpu level, struct sc_cell_sum *c)
{
    struct sc_cell_columns col;
#if SC_HAVE_X86
    level = n % LANES ? SC_CPU_C : level;
    if (level == SC_CPU_AVX512)
        sc_cell_columns_avx512(x, stride, rows, n, &col);
    else if (level == SC_CPU_AVX2)
        sc_cell_columns_avx2(x, stride, rows, n, &col);
    else
#else
    (void)level;
#endif
        columns_c(x, stride, rows, n, &col);
    for (size_t i = 0; i + width <= n; i += width, c++) {
        float sum = 0, square = 0, min = INFINITY, max = -INFINITY;
        uint32_t most = 0;
        for (size_t k = i; k < i + width; k++) {
            sum += col.sum[k];
            square += col.square[k];
            min = col.min[k] < min ? col.min[k] : min;
            max = col.max[k] > max ? col.max[k] : max;
            most = SC_MAX(most, col.most[k]);
        }
        if (!sc_errors_good(most)) {
            add_exact(x + i, stride, rows, width, c);
            continue;
        }
        min = min == 0 ? 0.0F : min;
        max = max == 0 ? 0.0F : max;
        c->sum += (double)sum;
        c->square += (double)square;
        c->n += rows * width;
        c->min = min < c->min ? min : c->min;
        c->max = max > c->max ? max : c->max;
    }
}

/* Several narrow cells. What one of them is does not depend on its neighbours. */
static void add_narrow(const float *x, size_t stride, size_t rows, size_t width, size_t cells,
                       enum sc_cpu level, struct sc_cell_sum *c)
{
    while (cells > 0) {
        const size_t all = SC_MIN(cells * width, (size_t)SC_CELL_COLUMNS);
        const size_t n = all < LANES ? all : all / LANES * LANES;
        add_columns(x, stride, rows, width, n, level, c);
        x += n;
        c += n / width;
        cells -= n / width;
    }
}

static float lanes_sum(float v[LANES])
{
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            v[i] += v[i + half];
    return v[0];
}

static void cells_c(const float *x, size_t stride, size_t rows, size_t width, size_t cells,
                    struct sc_cell_lanes *out)
{
    for (size_t k = 0; k < cells; k++) {
        float sum[LANES] = {0}, square[LANES] = {0};
        struct sc_cell_lanes l = {.min = INFINITY, .max = -INFINITY};
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < width; i++) {
                const float v = x[r * stride + k * width + i];
                uint32_t bits;
                memcpy(&bits, &v, sizeof bits);
                bits &= 0x7fffffff;
                sum[i % LANES] += v;
                square[i % LANES] += v * v;
                l.min = v < l.min ? v : l.min;
                l.max = v > l.max ? v : l.max;
                l.most = SC_MAX(l.most, bits);
            }
        l.sum = lanes_sum(sum);
        l.square = lanes_sum(square);
        l.min = l.min == 0 ? 0.0F : l.min; /* of either sign */
        l.max = l.max == 0 ? 0.0F : l.max;
        out[k] = l;
    }
}

/* Adds a cell of n values; false: its sums are no good. */
static bool take_lanes(const struct sc_cell_lanes *l, size_t n, struct sc_cell_sum *c)
{
    if (!sc_errors_good(l->most))
        return false;
    c->sum += (double)l->sum;
    c->square += (double)l->square;
    c->n += n;
    c->min = l->min < c->min ? l->min : c->min;
    c->max = l->max > c->max ? l->max : c->max;
    return true;
}

static void add_lanes(const float *x, size_t stride, size_t rows, size_t width, size_t cells,
                      enum sc_cpu level, struct sc_cell_sum *c)
{
    struct sc_cell_lanes lanes[TOGETHER];
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        sc_cells_avx512(x, stride, rows, width, cells, lanes);
    else if (level == SC_CPU_AVX2)
        sc_cells_avx2(x, stride, rows, width, cells, lanes);
    else
#else
    (void)level;
#endif
        cells_c(x, stride, rows, width, cells, lanes);
    for (size_t k = 0; k < cells; k++)
        if (!take_lanes(&lanes[k], rows * width, &c[k]))
            add_exact(x + k * width, stride, rows, width, &c[k]);
}

void sc_cells_add_codes(const uint8_t *codes, size_t stride, size_t rows, size_t n_cells,
                        size_t width, struct sc_cell_sum *cells)
{
#if SC_HAVE_X86
    struct sc_cell_lanes lanes[TOGETHER];
    for (size_t done = 0; done < n_cells; done += TOGETHER) {
        const size_t some = SC_MIN(n_cells - done, (size_t)TOGETHER);
        sc_cells_bf16_avx512(codes + 2 * done * width, stride, rows, width, some, lanes);
        for (size_t k = 0; k < some; k++)
            if (!take_lanes(&lanes[k], rows * width, &cells[done + k]))
                add_either(codes, true, (done + k) * width, stride, rows, width, &cells[done + k]);
    }
#else
    (void)codes, (void)stride, (void)rows, (void)n_cells, (void)width, (void)cells;
#endif
}

void sc_cells_add(const float *x, size_t stride, size_t rows, size_t n, size_t width, size_t skip,
                  enum sc_cpu level, struct sc_cell_sum *cells)
{
    if (skip > 0) {
        const size_t now = SC_MIN(n, width - skip);
        add_exact(x, stride, rows, now, cells++);
        x += now;
        n -= now;
    }
    for (size_t left = n / width; left > 0;) {
        const size_t now = width < LANES ? left : SC_MIN(left, (size_t)TOGETHER);
        if (width % LANES == 0)
            add_lanes(x, stride, rows, width, now, level, cells);
        else
            add_narrow(x, stride, rows, width, now, level, cells);
        x += now * width;
        cells += now;
        left -= now;
    }
    if (n % width > 0)
        add_exact(x, stride, rows, n % width, cells);
}

/* ------------------------------------------------------------------------------- bfloat16 --- */

enum { BF16_NAN = 0x7fc0, BF16_INF = 0x7f80, BF16_LARGEST = 0x7f7f };

/* Towards zero, or away from it. */
static uint16_t bf16_cut(float x, bool away)
{
    const uint32_t bits = sc_bits_of(x);
    return (uint16_t)((bits >> 16) + (away && bits & 0xffff ? 1 : 0));
}

static uint16_t bf16_down(float x)
{
    return bf16_cut(x, signbit(x));
}

static uint16_t bf16_up(float x)
{
    return bf16_cut(x, !signbit(x));
}

/* To the nearest finite one; what is not 0 stays so. */
static uint16_t bf16_near(double x)
{
    const float f = (float)SC_MAX(SC_MIN(x, (double)FLT_MAX), -(double)FLT_MAX);
    const uint32_t bits = sc_bits_of(f);
    uint32_t near = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    if ((near & 0x7fff) == BF16_INF)
        near--;
    if ((near & 0x7fff) == 0 && x != 0)
        near++;
    return (uint16_t)near;
}

void sc_cell_stats(const struct sc_cell_sum *c, struct sc_cell_stats *out)
{
    *out = (struct sc_cell_stats){BF16_NAN, BF16_NAN, BF16_INF, BF16_INF | 0x8000};
    if (c->n > 0) {
        const double n = (double)c->n;
        out->mean = bf16_near(c->sum / n);
        out->rms = bf16_near(sqrt(c->square / n));
        out->min = bf16_down(c->min);
        out->max = bf16_up(c->max);
    }
    if (c->flags)
        out->rms = (uint16_t)(BF16_NAN | c->flags);
}

static bool is_nan16(uint16_t x)
{
    return (x & 0x7fff) > BF16_INF;
}

/* Rounding outwards may have led to infinity. */
static float finite(uint16_t x)
{
    return (x & 0x7fff) == BF16_INF ? (x & 0x8000 ? -FLT_MAX : FLT_MAX) : sc_bf16_value(x);
}

void sc_cell_unpack(const struct sc_cell_stats *s, uint64_t n, struct sc_cell_sum *out)
{
    *out = (struct sc_cell_sum){.min = INFINITY, .max = -INFINITY};
    if (is_nan16(s->rms))
        out->flags = s->rms & (SC_HAS_NAN | SC_HAS_POS_INF | SC_HAS_NEG_INF);
    if (is_nan16(s->mean))
        return;
    const double mean = (double)sc_bf16_value(s->mean);
    const double rms = is_nan16(s->rms) ? mean : (double)sc_bf16_value(s->rms);
    out->n = n;
    out->sum = mean * (double)n;
    out->square = rms * rms * (double)n;
    out->min = finite(s->min);
    out->max = finite(s->max);
}

/* ---------------------------------------------------------------------------------- pixels --- */

static uint32_t infinite_pixel(uint32_t flags, enum sc_plane plane)
{
    if (flags & SC_HAS_NAN)
        return SC_PIXEL_NAN;
    if (plane == SC_PLANE_MIN)
        return flags & SC_HAS_NEG_INF ? SC_PIXEL_NEG_INF : SC_PIXEL_POS_INF;
    return flags & SC_HAS_POS_INF ? SC_PIXEL_POS_INF : SC_PIXEL_NEG_INF;
}

uint32_t sc_cell_pixel(const struct sc_cell_sum *c, enum sc_plane plane)
{
    double x = 0;
    if (c->flags & (SC_HAS_NAN | SC_HAS_POS_INF | SC_HAS_NEG_INF))
        return infinite_pixel(c->flags, plane);
    if (c->n == 0)
        return c->flags & SC_IS_UNKNOWN   ? SC_PIXEL_UNKNOWN
               : c->flags & SC_IS_WAITING ? SC_PIXEL_WAITING
               : c->flags & SC_IS_SHAPE   ? SC_PIXEL_SHAPE
               : c->flags & SC_IS_ONLY_B  ? SC_PIXEL_ONLY_B
               : c->flags & SC_IS_ONLY_A  ? SC_PIXEL_ONLY_A
                                          : SC_PIXEL_OUTSIDE;
    if (c->n == 1 && c->min == c->max)
        return sc_bits_of(c->min); /* a single element, on every plane */
    switch (plane) {
    case SC_PLANE_MEAN:
    case SC_PLANE_MAIN: /* no planes of weights */
    case SC_PLANE_ENTROPY:
    case SC_PLANES_ALL:
        x = c->sum / (double)c->n;
        break;
    case SC_PLANE_RMS:
        x = sqrt(c->square / (double)c->n);
        break;
    case SC_PLANE_MIN:
        x = (double)c->min;
        break;
    case SC_PLANE_MAX:
        x = (double)c->max;
        break;
    case SC_PLANE_ABS:
        x = SC_MAX(-(double)c->min, (double)c->max);
        break;
    }
    return sc_bits_of((float)x);
}

void sc_cells_pixels(const struct sc_cell_sum *c, size_t n, enum sc_plane plane, uint32_t *pixels)
{
    const bool is_mean = plane == SC_PLANE_MEAN, common = is_mean || plane == SC_PLANE_ABS;
    for (size_t i = 0; i < n; i++) {
        if (c[i].n == 0 && c[i].flags == 0)
            continue;
        if (!common || c[i].flags || c[i].n < 2) {
            pixels[i] = sc_cell_pixel(&c[i], plane);
            continue;
        }
        const float most = SC_MAX(-c[i].min, c[i].max);
        pixels[i] = sc_bits_of(is_mean ? (float)(c[i].sum / (double)c[i].n) : most);
    }
}

/* ---------------------------------------------------------------------------- rows of pixels ---
 */

#if SC_HAVE_X86
/* 16 cells at a time, as many as there are. */
static size_t narrow_pixels(const void *x, bool bf16, size_t stride, size_t rows, size_t width,
                            size_t cells, size_t at, const struct sc_pixel_row *out, size_t n_out)
{
    const size_t size = bf16 ? sizeof(uint16_t) : sizeof(float);
    size_t done = 0;
    for (; done + LANES <= cells; done += LANES) {
        uint32_t rest = sc_cell_pixels_avx512((const char *)x + done * width * size, bf16, stride,
                                              rows, width, out, n_out, at + done);
        for (; rest; rest &= rest - 1) {
            const size_t k = (size_t)__builtin_ctz(rest);
            struct sc_cell_sum c;
            sc_cells_clear(&c, 1);
            add_either(x, bf16, (done + k) * width, stride, rows, width, &c);
            for (size_t i = 0; i < n_out; i++)
                out[i].pixels[at + done + k] = sc_cell_pixel(&c, out[i].plane);
        }
    }
    return done;
}

static bool is_narrow(size_t rows, size_t width, enum sc_cpu level)
{
    return level == SC_CPU_AVX512 && width >= 2 && width < LANES && (rows & (rows - 1)) == 0;
}
#endif

bool sc_codes_to_pixels(const uint8_t *codes, size_t stride, size_t rows, size_t n_cells,
                        size_t width, enum sc_cpu level, const struct sc_pixel_row *out,
                        size_t n_out)
{
#if SC_HAVE_X86
    struct sc_cell_sum cells[SC_SCENE_TILE];
    if (is_narrow(rows, width, level) && n_cells % LANES == 0) {
        narrow_pixels(codes, true, stride, rows, width, n_cells, 0, out, n_out);
        return true;
    }
    if (level != SC_CPU_AVX512 || width % LANES)
        return false;
    sc_cells_clear(cells, n_cells);
    sc_cells_add_codes(codes, stride, rows, n_cells, width, cells);
    for (size_t i = 0; i < n_out; i++)
        sc_cells_pixels(cells, n_cells, out[i].plane, out[i].pixels);
    return true;
#else
    (void)codes, (void)stride, (void)rows, (void)n_cells, (void)width, (void)level;
    (void)out, (void)n_out;
    return false;
#endif
}

void sc_cells_to_pixels(const float *x, size_t stride, size_t rows, size_t n, size_t width,
                        size_t skip, enum sc_cpu level, const struct sc_pixel_row *out,
                        size_t n_out)
{
    struct sc_cell_sum cells[SC_SCENE_TILE + 1];
    const size_t own = skip ? SC_MIN(n, width - skip) : 0; /* of a first cell that is cut */
    size_t at = skip ? 1 : 0, done = 0;
#if SC_HAVE_X86
    if (is_narrow(rows, width, level))
        done =
            narrow_pixels(x + own, false, stride, rows, width, (n - own) / width, at, out, n_out);
#endif
    if (skip && done) {
        sc_cells_clear(cells, 1);
        add_exact(x, stride, rows, own, cells);
        for (size_t i = 0; i < n_out; i++)
            out[i].pixels[0] = sc_cell_pixel(cells, out[i].plane);
    }
    if (done) {
        at += done;
        x += own + done * width;
        n -= own + done * width;
        skip = 0;
    } else {
        at = 0;
    }
    const size_t left = (skip + n + width - 1) / width;
    if (left == 0)
        return;
    sc_cells_clear(cells, left);
    sc_cells_add(x, stride, rows, n, width, skip, level, cells);
    for (size_t i = 0; i < n_out; i++)
        sc_cells_pixels(cells, left, out[i].plane, out[i].pixels + at);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* errors: what is lost between values and what a format keeps of them.
 *
 * A tile is taken 16 columns at a time, and these row by row, so that sums of columns stay in
 * registers. 16 rows are added up by themselves: sums of few floats lose little. Products are not
 * rounded before they are added, which costs nothing where there are vectors. */
#include "kernel/errors.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* 16 rows of 16 columns while they are added up, and then a tile. */
struct group {
    float d[SC_LANES], abs[SC_LANES], values[SC_LANES], cross[SC_LANES];
    float square[SC_LANES]; /* of each column */
    uint32_t most[SC_LANES];
};

/* One of the largest |d|. */
static void add_tail(const struct sc_error_block *b, struct sc_block_errors *out,
                     uint32_t magnitude)
{
    if (magnitude > b->common)
        b->tail[out->tail++] = magnitude;
    else
        out->common++;
}

/* 16 elements. */
static void add_c(const struct sc_error_block *b, const float *x, const float *y, struct group *g,
                  float row[SC_LANES], struct sc_block_errors *out)
{
    float relative = out->relative;
    bool larger = false;
    for (int i = 0; i < SC_LANES; i++) {
        const float v = x[i], d = y[i] - v, a = fabsf(d);
        const uint32_t magnitude = sc_bits_of(a);
        g->d[i] += d;
        g->abs[i] += a;
        g->values[i] = fmaf(y[i], y[i], g->values[i]);
        g->cross[i] = fmaf(v, d, g->cross[i]);
        g->square[i] = fmaf(d, d, g->square[i]);
        row[i] = fmaf(d, d, row[i]);
        g->most[i] = SC_MAX(g->most[i], magnitude);
        out->zeros += y[i] == 0;
        larger = larger || (v != 0 && a > relative * fabsf(v));
        if (b->tail && magnitude > b->above)
            add_tail(b, out, magnitude);
    }
    if (b->relative && larger)
        sc_errors_relative(x, y, &out->relative);
}

/* Lanes as ((i, i + 8), (i, i + 4), ...). */
static double sum_float(const float lanes[SC_LANES])
{
    float v[SC_LANES];
    memcpy(v, lanes, sizeof v);
    for (size_t half = SC_LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            v[i] += v[i + half];
    return (double)v[0];
}

static void add_group(struct group *to, const struct group *g, float square[SC_LANES])
{
    for (int i = 0; i < SC_LANES; i++) {
        to->d[i] += g->d[i];
        to->abs[i] += g->abs[i];
        to->values[i] += g->values[i];
        to->cross[i] += g->cross[i];
        square[i] += g->square[i];
        to->most[i] = SC_MAX(to->most[i], g->most[i]);
    }
}

static void tile_c(const struct sc_error_block *b, size_t at, float rows[][SC_LANES],
                   struct sc_block_errors *out)
{
    struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
    struct group tile = {.d = {0}};
    float square[2][SC_LANES] = {{0}};
    for (size_t half = 0; half < 2; half++)
        for (size_t first = 0; first < b->rows; first += SC_ERROR_TOGETHER) {
            const size_t end = SC_MIN(first + SC_ERROR_TOGETHER, b->rows);
            const size_t col = at + half * SC_LANES;
            struct group g = {.d = {0}};
            for (size_t r = first; r < end; r++)
                add_c(b, b->x + r * b->x_stride + col, b->y + r * b->y_stride + col, &g, rows[r],
                      out);
            add_group(&tile, &g, square[half]);
        }
    for (int i = 0; i < SC_LANES; i++) {
        tile.square[i] = square[0][i] + square[1][i];
        s->most = SC_MAX(s->most, tile.most[i]);
    }
    s->d = sum_float(tile.d);
    s->abs = sum_float(tile.abs);
    s->square = sum_float(tile.square);
    s->values = sum_float(tile.values);
    s->cross = sum_float(tile.cross);
    out->most = SC_MAX(out->most, s->most);
    for (int i = 0; out->columns && i < SC_ERROR_COLUMNS; i++)
        out->columns[at + (size_t)i] = (double)square[i / SC_LANES][i % SC_LANES];
}

static void errors_c(const struct sc_error_block *b, struct sc_block_errors *out)
{
    float rows[SC_ERROR_ROWS][SC_LANES];
    memset(rows, 0, sizeof rows);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS)
        tile_c(b, at, rows, out);
    for (size_t r = 0; r < b->rows; r++)
        out->row_square[r] = sum_float(rows[r]);
}

/* Without x: sums of y itself, all in double. */
static void sums_c(const struct sc_error_block *b, struct sc_block_errors *out)
{
    double rows[SC_ERROR_ROWS][SC_LANES];
    memset(rows, 0, sizeof rows);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        double sum[SC_LANES] = {0}, square[2][SC_LANES] = {{0}};
        for (size_t i = 0; i < SC_ERROR_COLUMNS; i++)
            for (size_t r = 0; r < b->rows; r++) {
                const float y = b->y[r * b->y_stride + at + i];
                const double v = (double)y, v2 = v * v;
                sum[i % SC_LANES] += v;
                square[i / SC_LANES][i % SC_LANES] += v2;
                rows[r][i % SC_LANES] += v2;
                s->most = SC_MAX(s->most, sc_bits_of(fabsf(y)));
                out->zeros += y == 0;
                out->min = y < out->min ? y : out->min;
                out->max = y > out->max ? y : out->max;
            }
        for (size_t i = 0; out->columns && i < SC_ERROR_COLUMNS; i++)
            out->columns[at + i] = square[i / SC_LANES][i % SC_LANES];
        for (size_t i = 0; i < SC_LANES; i++)
            square[0][i] += square[1][i];
        s->d = sc_lanes_sum(sum);
        s->square = s->values = sc_lanes_sum(square[0]);
        out->most = SC_MAX(out->most, s->most);
    }
    for (size_t r = 0; r < b->rows; r++)
        out->row_square[r] = sc_lanes_sum(rows[r]);
}

/* The same of BF16 values. */
static void short_c(const struct sc_error_block *b, struct sc_block_errors *out)
{
    float rows[SC_ERROR_ROWS][SC_LANES];
    memset(rows, 0, sizeof rows);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        float sum[SC_LANES] = {0}, square[2][SC_LANES] = {{0}};
        for (size_t half = 0; half < 2; half++)
            for (size_t first = 0; first < b->rows; first += SC_ERROR_TOGETHER) {
                const size_t end = SC_MIN(first + SC_ERROR_TOGETHER, b->rows);
                float of[SC_LANES] = {0}, of_square[SC_LANES] = {0};
                for (size_t r = first; r < end; r++)
                    for (size_t i = 0; i < SC_LANES; i++) {
                        const float y = b->y[r * b->y_stride + at + half * SC_LANES + i];
                        of[i] += y;
                        of_square[i] = fmaf(y, y, of_square[i]);
                        rows[r][i] = fmaf(y, y, rows[r][i]);
                        out->zeros += y == 0;
                        out->min = y < out->min ? y : out->min;
                        out->max = y > out->max ? y : out->max;
                    }
                for (size_t i = 0; i < SC_LANES; i++) {
                    sum[i] += of[i];
                    square[half][i] += of_square[i];
                }
            }
        for (size_t i = 0; out->columns && i < SC_ERROR_COLUMNS; i++)
            out->columns[at + i] = (double)square[i / SC_LANES][i % SC_LANES];
        for (size_t i = 0; i < SC_LANES; i++)
            square[0][i] += square[1][i];
        s->d = sum_float(sum);
        s->square = s->values = sum_float(square[0]);
    }
    for (size_t r = 0; r < b->rows; r++)
        out->row_square[r] = sum_float(rows[r]);
}

/* ------------------------------------------------------------------------------- short errors ---
 */

static float unless_tiny(float v)
{
    return fabsf(v) < FLT_MIN ? copysignf(0, v) : v;
}

static float add_product(float to, float x, float y)
{
    return unless_tiny(fmaf(x, y, to));
}

/* 32 columns of a row. */
static void add_short(const float *x, const float *y, struct group *g)
{
    for (size_t lane = 0; lane < SC_LANES; lane++)
        for (size_t odd = 2; odd-- > 0;) {
            const size_t i = sc_short_column(2 * lane + odd);
            const float v = unless_tiny(x[i]), w = unless_tiny(y[i]), d = unless_tiny(w - v);
            g->d[lane] = add_product(g->d[lane], d, 1);
            g->abs[lane] = add_product(g->abs[lane], fabsf(d), 1);
            g->square[lane] = add_product(g->square[lane], d, d);
            g->cross[lane] = add_product(g->cross[lane], v, d);
            g->values[lane] = add_product(g->values[lane], w, w);
            g->most[lane] = SC_MAX(g->most[lane], sc_bits_of(fabsf(d)));
        }
}

/* Only what keeps errors in a loop of its own has others than this; x NULL: of y alone. */
static void errors_short(const struct sc_error_block *b, struct sc_block_errors *out)
{
    static const float zeros[SC_ERROR_COLUMNS];
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        struct group tile = {.d = {0}};
        float square[SC_LANES] = {0};
        for (size_t first = 0; first < b->rows; first += SC_ERROR_TOGETHER) {
            struct group g = {.d = {0}};
            for (size_t r = first; r < SC_MIN(first + SC_ERROR_TOGETHER, b->rows); r++)
                add_short(b->x ? b->x + r * b->x_stride + at : zeros, b->y + r * b->y_stride + at,
                          &g);
            add_group(&tile, &g, square);
        }
        for (int i = 0; i < SC_LANES; i++)
            s->most = SC_MAX(s->most, tile.most[i]);
        s->d = sum_float(tile.d);
        s->abs = sum_float(tile.abs);
        s->square = sum_float(square);
        s->values = sum_float(tile.values);
        s->cross = sum_float(tile.cross);
        out->most = SC_MAX(out->most, s->most);
    }
}

/* The largest |y| of BF16 values; what is not finite makes its tile so. */
static uint32_t most_of_short(const struct sc_error_block *b, const struct sc_block_errors *out)
{
    for (size_t i = 0; i < b->n / SC_ERROR_COLUMNS; i++)
        if (!isfinite(out->sums[i].square))
            return UINT32_MAX;
    return b->n && b->rows ? SC_MAX(sc_bits_of(fabsf(out->min)), sc_bits_of(fabsf(out->max))) : 0;
}

/* Largest |d| / |x| of 16 elements; rare, since it seldom grows. */
void sc_errors_relative(const float *x, const float *y, float *most)
{
    for (int i = 0; i < SC_LANES; i++) {
        const float quotient = fabsf(y[i] - x[i]) / fabsf(x[i]);
        *most = x[i] != 0 && quotient > *most ? quotient : *most; /* NaN is not larger */
    }
}

void sc_errors_clear(const struct sc_error_block *b, struct sc_block_errors *out)
{
    out->tail = out->common = 0;
    out->relative = 0;
    out->min = INFINITY;
    out->max = -INFINITY;
    out->most = 0;
    out->zeros = 0;
    out->exact = false;
    if (!b->only_sums)
        memset(out->row_square, 0, sizeof out->row_square);
    memset(out->sums, 0, (b->n + SC_ERROR_COLUMNS - 1) / SC_ERROR_COLUMNS * sizeof *out->sums);
}

void sc_errors(const struct sc_error_block *b, enum sc_cpu level, struct sc_block_errors *out)
{
    sc_errors_clear(b, out);
    if (b->short_x) {
        errors_short(b, out);
        return;
    }
    switch (level) {
#if SC_HAVE_X86
    case SC_CPU_AVX512:
        sc_errors_avx512(b, out);
        break;
    case SC_CPU_AVX2:
        sc_errors_avx2(b, out);
        break;
#else
    case SC_CPU_AVX512:
    case SC_CPU_AVX2:
#endif
    case SC_CPU_C:
        if (b->x)
            errors_c(b, out);
        else if (b->brief)
            short_c(b, out);
        else
            sums_c(b, out);
        break;
    }
    if (!b->x && b->brief)
        out->most = most_of_short(b, out);
    out->min += 0.0F; /* -0 and 0 are the same extreme, whichever came first */
    out->max += 0.0F;
}

void sc_errors_bf16(const uint8_t *codes, size_t stride, size_t rows, size_t n, enum sc_cpu level,
                    const uint8_t *ahead, bool only_sums, float *x, uint32_t *peaks,
                    struct sc_block_errors *out)
{
    const struct sc_error_block b = {
        .y = x, .brief = true, .y_stride = n, .rows = rows, .n = n, .only_sums = only_sums};
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512 && n == SC_BF16_COLUMNS && rows % 2 == 0) {
        sc_errors_clear(&b, out);
        sc_errors_bf16_avx512(codes, stride, rows, ahead, only_sums, x, peaks, out);
        out->most = most_of_short(&b, out);
        out->min += 0.0F;
        out->max += 0.0F;
        return;
    }
#endif
    (void)ahead;
    for (size_t r = 0; r < rows; r++, codes += stride)
        for (size_t i = 0; i < n; i++)
            x[r * n + i] =
                sc_float_of((uint32_t)codes[2 * i] << 16 | (uint32_t)codes[2 * i + 1] << 24);
    (void)sc_peaks(x, rows * n, SC_LANES, level, peaks);
    for (size_t i = rows * n / SC_LANES; i % SC_LANES; i++)
        peaks[i] = 0;
    sc_errors(&b, level, out);
}

/* Whether errors may be short. */
static bool are_short(const uint32_t *peaks, size_t n)
{
    bool good = true;
    for (size_t i = 0; i < n; i++)
        good = good && sc_errors_good(peaks[i]);
    return good;
}

/* Codes in the order of short errors, their peaks and extremes. */
static bool lay_short(const struct sc_short_codes *from, struct sc_block_errors *out)
{
    enum { GROUPS = SC_SHORT_COLUMNS / SC_LANES };
    for (size_t r = 0; r < from->rows; r++) {
        const uint8_t *codes = from->codes + r * from->stride;
        uint32_t *peaks = from->peaks + r * GROUPS;
        float min, max;
        memset(peaks, 0, GROUPS * sizeof *peaks);
        for (size_t i = 0; i < SC_SHORT_COLUMNS; i++) {
            const size_t in_tile = i % SC_ERROR_COLUMNS, at = r * SC_SHORT_COLUMNS + i - in_tile;
            const size_t col = sc_short_column(in_tile);
            const uint16_t code = sc_le16(codes + 2 * (i - in_tile + col));
            const uint32_t magnitude = (uint32_t)(code & 0x7fff) << 16;
            uint32_t *const peak = &peaks[(i - in_tile + col) / SC_LANES];
            from->short_x[at + in_tile] = code;
            if (from->x)
                from->x[at + col] = sc_float_of((uint32_t)code << 16);
            *peak = SC_MAX(*peak, magnitude);
        }
        sc_extremes_bf16(codes, SC_SHORT_COLUMNS, SC_CPU_C, &min, &max);
        out->min = SC_MIN(out->min, min);
        out->max = SC_MAX(out->max, max);
    }
    return are_short(from->peaks, from->rows * GROUPS);
}

/* Sums of codes in that order. */
static void sum_short(const struct sc_error_block *b, struct sc_block_errors *out)
{
    float y[SC_SHORT_VALUES];
    struct sc_error_block own = *b;
    own.y = y;
    own.y_stride = b->n;
    for (size_t i = 0; i < b->rows * b->n; i++) {
        const size_t in_tile = i % SC_ERROR_COLUMNS;
        y[i - in_tile + sc_short_column(in_tile)] = sc_float_of((uint32_t)b->short_x[i] << 16);
    }
    errors_short(&own, out);
    for (size_t i = 0; i < b->n / SC_ERROR_COLUMNS; i++) {
        out->sums[i].abs = out->sums[i].cross = 0;
        out->sums[i].most = 0;
    }
}

#if SC_HAVE_X86
/* Laid out first, since reading a file may be given up, and then floats must be as they always are.
 */
static bool read_short_x86(const struct sc_short_codes *from, const struct sc_error_block *b,
                           enum sc_cpu level, struct sc_block_errors *out)
{
    if (level == SC_CPU_AVX512 && sc_cpu_has_bf16())
        return sc_read_short_bf16(from, out);
    const bool wide = level == SC_CPU_AVX512;
    const bool may = (wide ? sc_lay_short_avx512 : sc_lay_short_avx2)(from, out);
    const unsigned was = sc_tiny_is_zero();
    (wide ? sc_errors_short_x_avx512 : sc_errors_short_x_avx2)(b, out);
    sc_tiny_is_back(was);
    return may;
}
#endif

bool sc_errors_short_bf16(const struct sc_short_codes *from, enum sc_cpu level,
                          struct sc_block_errors *out)
{
    const struct sc_error_block b = {
        .short_x = from->short_x, .rows = from->rows, .n = SC_SHORT_COLUMNS, .only_sums = true};
    bool may;
    sc_errors_clear(&b, out);
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX2) {
        may = read_short_x86(from, &b, level, out);
    } else
#endif
    {
        may = lay_short(from, out);
        sum_short(&b, out);
    }
    (void)level;
    out->most = SC_MAX(sc_bits_of(fabsf(out->min)), sc_bits_of(fabsf(out->max)));
    out->min += 0.0F;
    out->max += 0.0F;
    return may;
}

/* -------------------------------------------------------------------------- one by one --- */

void sc_errors_exact(const struct sc_error_block *b, struct sc_block_errors *out,
                     uint64_t *overflowed)
{
    double relative = 0;
    sc_errors_clear(b, out);
    out->exact = true;
    *overflowed = 0;
    if (out->columns)
        memset(out->columns, 0, b->n * sizeof *out->columns);
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < b->n; i++) {
            const float v = b->x ? b->x[r * b->x_stride + i] : 0.0F;
            float y = b->y[r * b->y_stride + i];
            struct sc_error_sums *s = &out->sums[i / SC_ERROR_COLUMNS];
            if (!isfinite(v) || (!b->x && !isfinite(y)))
                continue;
            out->zeros += y == 0;
            if (!isfinite(y)) {
                ++*overflowed;
                y = 0;
            }
            const double d = (double)y - (double)v, a = fabs(d), square = d * d;
            const uint32_t magnitude = sc_bits_of((float)a);
            s->d += d;
            s->abs += b->x ? a : 0;
            s->square += square;
            s->values += (double)y * (double)y;
            s->cross += (double)v * d;
            s->most = SC_MAX(s->most, magnitude);
            if (!b->only_sums)
                out->row_square[r] += square;
            if (out->columns)
                out->columns[i] += square;
            if (b->x && b->tail && magnitude > b->above)
                add_tail(b, out, magnitude);
            if (!b->x) {
                out->min = y < out->min ? y : out->min;
                out->max = y > out->max ? y : out->max;
            }
            if (v != 0 && a > relative * fabs((double)v))
                relative = a / fabs((double)v);
        }
    for (size_t i = 0; i * SC_ERROR_COLUMNS < b->n; i++)
        out->most = SC_MAX(out->most, out->sums[i].most);
    out->relative = (float)relative;
    out->min += 0.0F;
    out->max += 0.0F;
}

/* ---------------------------------------------------------------------------- extremes --- */

static void extremes_c(const float *x, size_t n, float *min, float *max)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i])) {
            *min = x[i] < *min ? x[i] : *min;
            *max = x[i] > *max ? x[i] : *max;
        }
}

void sc_extremes(const float *x, size_t n, enum sc_cpu level, float *min, float *max)
{
    float low = INFINITY, high = -INFINITY;
    size_t done = 0;
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        done = sc_extremes_avx512(x, n, &low, &high);
    else if (level == SC_CPU_AVX2)
        done = sc_extremes_avx2(x, n, &low, &high);
#endif
    (void)level;
    if (done && (low < -FLT_MAX || high > FLT_MAX)) { /* the infinite ones are left out */
        low = INFINITY;
        high = -INFINITY;
        done = 0;
    }
    extremes_c(x + done, n - done, &low, &high);
    *min = low + 0.0F; /* -0 and 0 are the same extreme, whichever came first */
    *max = high + 0.0F;
}

/* Values of one sign, and those that are not finite: as floats. */
static void extremes_of_floats(const uint8_t *codes, size_t n, enum sc_cpu level, float *min,
                               float *max)
{
    enum { SOME = 512 };
    float x[SOME];
    *min = INFINITY;
    *max = -INFINITY;
    for (size_t i = 0; i < n; i += SOME) {
        const size_t some = SC_MIN(n - i, (size_t)SOME);
        float low, high;
        for (size_t k = 0; k < some; k++)
            x[k] = sc_float_of((uint32_t)sc_le16(codes + 2 * (i + k)) << 16);
        sc_extremes(x, some, level, &low, &high);
        *min = SC_MIN(*min, low);
        *max = SC_MAX(*max, high);
    }
}

void sc_extremes_bf16(const uint8_t *codes, size_t n, enum sc_cpu level, float *min, float *max)
{
    const uint16_t infinite = 0x7f80, sign = 0x8000;
    int16_t high = INT16_MIN;
    uint16_t far = 0;
    size_t i = 0;
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        i = sc_code_extremes_avx512(codes, n, &high, &far);
    else if (level == SC_CPU_AVX2)
        i = sc_code_extremes_avx2(codes, n, &high, &far);
#endif
    for (; i < n; i++) {
        const uint16_t code = sc_le16(codes + 2 * i);
        high = SC_MAX(high, (int16_t)code);
        far = SC_MAX(far, code);
    }
    if (high < 0 || high >= (int16_t)infinite || far < sign || far >= (sign | infinite)) {
        extremes_of_floats(codes, n, level, min, max);
        return;
    }
    *min = sc_float_of((uint32_t)far << 16) + 0.0F;
    *max = sc_float_of((uint32_t)(uint16_t)high << 16) + 0.0F;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* quality_set: a tensor of a test, and what plain loops in double over all of it say of a format;
 * lines are rounded one by one. */
#ifndef SC_TEST_QUALITY_SET_H
#define SC_TEST_QUALITY_SET_H

#include "analyze/quality.h"

#include <math.h>
#include <stdlib.h>

#include "st_maker.h"
#include "test.h"

/* ------------------------------------------------------------------------------ a tensor --- */
enum { NORMAL, CONSTANT, SPARSE, HOSTILE, TINY, HUGE_ONES, KINDS };

static inline double uniform(uint64_t i)
{
    return (double)(sc_random(7, i) >> 11) * 0x1p-53;
}
static inline float value_of(uint64_t i, int kind)
{
    const double v = uniform(3 * i) + uniform(3 * i + 1) + uniform(3 * i + 2) - 1.5;
    switch (kind) {
    case CONSTANT:
        return 0.37F;
    case SPARSE:
        return i % 5 ? 0 : (float)v;
    case HOSTILE:
        return i % 97 == 3 ? NAN : i % 389 == 5 ? -INFINITY : i % 211 == 7 ? 3e38F : (float)v;
    case TINY:
        return (float)(v * 1e-30);
    case HUGE_ONES:
        return (float)(v * 1e25);
    default:
        return (float)(v * (i % 1013 == 0 ? 30 : 1) * (1 + (double)(i / 5000 % 7)));
    }
}

struct set {
    struct blob blob;
    struct sc_model *model;
    struct sc_values *v;
    uint64_t matrices, rows, cols, n;
    float *x;
    bool vector;
};

/* Values as they are stored, in a type; x is what they are then. */
static inline struct set open_stored(const char *dtype, const char *shape, const uint64_t *dims,
                                     unsigned rank, const void *stored, size_t size)
{
    struct set s = {.matrices = 1, .rows = 1, .cols = 1, .vector = rank < 2};
    struct st_maker m = {0};
    struct sc_error e = {0};
    for (unsigned i = 0; i < rank; i++) {
        uint64_t *of = i + 1 == rank ? &s.cols : i + 2 == rank ? &s.rows : &s.matrices;
        *of *= dims[i];
    }
    s.n = s.matrices * s.rows * s.cols;
    s.x = calloc(s.n + 1, sizeof *s.x);
    st_add(&m, "w", dtype, shape, stored, s.n * size);
    s.blob = st_finish(&m);
    s.model = open_kept(s.blob);
    if (sc_values_open(s.model, 0, &s.v, &e) < 0 || sc_values_read(s.v, 0, s.n, s.x, &e) < 0)
        support_fail(e.text);
    return s;
}

static inline struct set open_set(const char *shape, const uint64_t *dims, unsigned rank, int kind)
{
    uint64_t n = 1;
    for (unsigned i = 0; i < rank; i++)
        n *= dims[i];
    float *x = calloc(n + 1, sizeof *x);
    for (uint64_t i = 0; i < n; i++)
        x[i] = value_of(i, kind);
    const struct set s = open_stored("F32", shape, dims, rank, x, sizeof *x);
    free(x);
    return s;
}

/* Values of a kind in a type: its codes. */
static inline void fill_codes(const char *dtype, void *codes, uint64_t n, size_t size, int kind)
{
    for (uint64_t i = 0; i < n; i++) {
        const float v = value_of(i, kind) / 4;
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        if (strcmp(dtype, "BF16") == 0)
            bits = sc_element_encode(SC_ELEMENT_BF16, v, true);
        else if (strcmp(dtype, "F16") == 0)
            bits = sc_element_encode(SC_ELEMENT_F16, v, true);
        else if (strcmp(dtype, "F8_E4M3") == 0)
            bits = sc_element_encode(SC_ELEMENT_E4M3, v, true);
        memcpy((char *)codes + i * size, &bits, size);
    }
}

static inline struct set open_codes(const char *dtype, size_t size, const char *shape,
                                    const uint64_t *dims, unsigned rank, int kind)
{
    uint64_t n = 1;
    for (unsigned i = 0; i < rank; i++)
        n *= dims[i];
    void *codes = calloc(n, size);
    fill_codes(dtype, codes, n, size, kind);
    const struct set s = open_stored(dtype, shape, dims, rank, codes, size);
    free(codes);
    return s;
}

static inline void close_set(struct set *s)
{
    sc_values_close(s->v);
    sc_model_close(s->model);
    free(s->blob.p);
    free(s->x);
}

/* --------------------------------------------------------------------------------- oracle --- */
struct oracle {
    float *y;
    uint64_t saturated;
};

/* All lines of the tensor in one format. */
static inline float *round_all(const struct set *s, const struct sc_encoding *f,
                               uint64_t *saturated)
{
    sc_round_fn *fn = sc_rounder(f, SC_CPU_C);
    struct sc_step step;
    struct sc_extent of = {INFINITY, -INFINITY};
    const bool turned = f->other_axis && !s->vector;
    const uint64_t n = turned ? s->rows : s->cols, stride = turned ? s->cols : 1;
    float *y = calloc(s->n + 1, sizeof *y), *line = calloc(n + 1, sizeof *line);
    *saturated = 0;
    for (uint64_t i = 0; i < s->n; i++)
        if (isfinite(s->x[i])) {
            of.min = fminf(of.min, s->x[i]);
            of.max = fmaxf(of.max, s->x[i]);
        }
    if (f->over == SC_OVER_TENSOR && f->clip)
        of = sc_encoding_clip(f, of, s->x, NULL, s->n);
    if (f->over == SC_OVER_TENSOR)
        sc_encoding_step(f, of, &step);
    for (uint64_t k = 0; n && k < s->n / n; k++) {
        const uint64_t from = turned ? k / s->cols * s->rows * s->cols + k % s->cols : k * n;
        of = (struct sc_extent){INFINITY, -INFINITY};
        for (uint64_t i = 0; i < n; i++) {
            line[i] = s->x[from + i * stride];
            if (isfinite(line[i])) {
                of.min = fminf(of.min, line[i]);
                of.max = fmaxf(of.max, line[i]);
            }
        }
        if (f->over == SC_OVER_LINE && f->clip)
            of = sc_encoding_clip(f, of, line, NULL, n);
        if (f->over == SC_OVER_LINE)
            sc_encoding_step(f, of, &step);
        *saturated += fn(f, f->over == SC_OVER_NOTHING ? NULL : &step, line, n, line);
        for (uint64_t i = 0; i < n; i++)
            y[from + i * stride] = line[i];
    }
    free(line);
    return y;
}

static inline int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double quantile(const double *sorted, uint64_t n, double share)
{
    const double at = share * (double)(n - 1);
    const uint64_t i = (uint64_t)at;
    return n == 0 ? 0 : sorted[i] + (at - (double)i) * (sorted[i + 1 < n ? i + 1 : i] - sorted[i]);
}

/* The worst of parts: part_of(i) tells which one value i belongs to. */
static inline double worst(const struct set *s, const float *y, uint64_t parts, uint64_t down,
                           uint64_t across, uint64_t *index)
{
    double *dd = calloc(parts + 1, sizeof *dd), *xx = calloc(parts + 1, sizeof *xx), most = -1;
    const uint64_t per_row = across ? (s->cols - 1) / across + 1 : 1;
    const uint64_t per_matrix = (down ? (s->rows - 1) / down + 1 : 1) * per_row;
    *index = UINT64_MAX;
    for (uint64_t i = 0; i < s->n; i++) {
        const uint64_t m = i / (s->rows * s->cols), r = i / s->cols % s->rows, c = i % s->cols;
        const uint64_t part =
            m * per_matrix + (down ? r / down : 0) * per_row + (across ? c / across : 0);
        if (!isfinite(s->x[i]))
            continue;
        const double d = (isfinite(y[i]) ? (double)y[i] : 0) - (double)s->x[i];
        dd[part] += d * d;
        xx[part] += (double)s->x[i] * (double)s->x[i];
    }
    for (uint64_t i = 0; i < parts; i++) {
        const double share = xx[i] > 0 ? sqrt(dd[i] / xx[i]) : dd[i] > 0 ? INFINITY : 0;
        if (share > most * (1 + 1e-6)) {
            most = share;
            *index = i;
        }
    }
    free(dd);
    free(xx);
    return most;
}

static inline void check_worst(const struct set *s, const float *y, const struct sc_worst *got,
                               uint64_t down, uint64_t across)
{
    const uint64_t parts = s->matrices * (down ? (s->rows - 1) / down + 1 : 1) *
                           (across ? (s->cols - 1) / across + 1 : 1);
    uint64_t index;
    const double want = worst(s, y, parts, down, across, &index);
    if (got->index == UINT64_MAX)
        return;
    CHECK_NEAR(got->relative_frobenius, want, 2e-6);
    CHECK(got->index < parts);
}

static inline void check_format(const struct set *s, const struct sc_encoding *f,
                                const struct sc_quality *g)
{
    uint64_t saturated, n = 0, zeroed = 0, overflowed = 0, bytes;
    float *y = round_all(s, f, &saturated);
    double *errors = calloc(s->n + 1, sizeof *errors);
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0, dd = 0, abs = 0, bias = 0, most = 0, rel = 0;
    double cxx = 0, cyy = 0, cxy = 0, cdd = 0;
    for (uint64_t i = 0; i < s->n; i++) {
        const double x = (double)s->x[i];
        if (!isfinite(s->x[i]))
            continue;
        overflowed += !isfinite(y[i]);
        zeroed += x != 0 && y[i] == 0;
        if (!isfinite(y[i]))
            y[i] = 0;
        const double v = (double)y[i], d = v - x;
        mx += x;
        my += v;
        xx += x * x;
        yy += v * v;
        xy += x * v;
        dd += d * d;
        abs += fabs(d);
        bias += d;
        most = fmax(most, fabs(d));
        rel = x != 0 ? fmax(rel, fabs(d) / fabs(x)) : rel;
        errors[n++] = fabs(d);
    }
    qsort(errors, n, sizeof *errors, compare);
    const double count = n ? (double)n : 1;
    mx /= count;
    my /= count;
    for (uint64_t i = 0; i < s->n; i++)
        if (isfinite(s->x[i])) {
            const double a = (double)s->x[i] - mx, b = (double)y[i] - my;
            cxx += a * a;
            cyy += b * b;
            cxy += a * b;
            cdd += (b - a) * (b - a);
        }
    const bool flat = !(cxx > 1e-14 * xx) || !(cyy > 1e-11 * yy);
    const double scale = sqrt(cxx) * sqrt(cyy);
    CHECK_U64(g->values, s->n);
    CHECK_U64(g->finite, n);
    CHECK_U64(g->nonfinite, s->n - n);
    CHECK_U64(g->overflowed, overflowed);
    CHECK_U64(g->saturated, saturated);
    CHECK_U64(g->zeroed, zeroed);
    const bool little = yy > 0 && yy < 1e-8 * xx;
    if (!little || flat)
        CHECK_NEAR(g->pcc, flat ? (dd > 0 ? 0 : 1) : cxy / scale, 2e-6);
    /* Without cancellation; and once more with it, so that the formula is not its own proof. */
    const double apart = sqrt(cxx) - sqrt(cyy);
    if (!flat && !little) {
        CHECK(fabs(g->one_minus_pcc - (cdd - apart * apart) / 2 / scale) <
              1e-5 * g->one_minus_pcc + 1e-11);
        CHECK_NEAR(g->one_minus_pcc, 1 - cxy / scale, 1e-6);
    }
    CHECK_NEAR(g->cosine,
               little        ? NAN
               : xx * yy > 0 ? xy / sqrt(xx) / sqrt(yy)
               : dd > 0      ? 0
                             : 1,
               1e-6);
    CHECK(fabs(g->mae - abs / count) <= 1e-6 * abs / count);
    CHECK(fabs(g->mse - dd / count) <= 1e-6 * dd / count);
    CHECK(fabs(g->rmse - sqrt(dd / count)) <= 1e-6 * sqrt(dd / count));
    CHECK(fabs(g->atol - most) <= 1e-7 * most);
    CHECK_NEAR(g->sqnr_db, dd > 0 ? 10 * log10(xx / dd) : INFINITY, 1e-5);
    CHECK_NEAR(g->relative_frobenius, xx > 0 ? sqrt(dd / xx) : 0, 1e-6);
    CHECK_NEAR(g->max_relative, rel, 1e-6);
    CHECK(fabs(g->bias - bias / count) <= 1e-6 * abs / count);
    if (s->n <= 65536) { /* exact */
        CHECK_NEAR(g->p99, quantile(errors, n, 0.99), 1e-6 * g->p99);
        CHECK_NEAR(g->p999, quantile(errors, n, 0.999), 1e-6 * g->p999);
    } else { /* a bin of 0.1 % */
        const double share[] = {0.99, 0.999}, got[] = {g->p99, g->p999};
        for (size_t k = 0; k < 2; k++) {
            const uint64_t rank = (uint64_t)(share[k] * (double)(n - 1));
            CHECK(got[k] >= errors[rank] * (1 - 1e-3));
            CHECK(got[k] <= errors[rank] * (1 + 1e-3));
        }
    }
    check_worst(s, y, &g->row, 1, 0);
    check_worst(s, y, &g->column, 0, 1);
    if (!s->vector)
        check_worst(s, y, &g->tile, 32, 32);
    else
        check_worst(s, y, &g->tile, 1, 1024);
    if (s->matrices > 1)
        check_worst(s, y, &g->expert, 0, 0);
    struct sc_encoding as_is = *f;
    as_is.other_axis = f->other_axis && !s->vector;
    CHECK(sc_encoding_bytes(&as_is, s->matrices, s->rows, s->cols, &bytes, NULL));
    if (f->scheme == SC_SCHEME_BFP && s->vector) /* rows of 32: 1024 values a tile */
        bytes = (s->n + 1023) / 1024 * (64 + 128 * f->bits);
    CHECK_U64(g->bytes, bytes);
    free(errors);
    free(y);
}

static inline struct sc_quality_options options_of(const struct sc_encoding *formats, size_t n)
{
    return (struct sc_quality_options){.formats = formats, .n = n, .memory = UINT64_C(64) << 20};
}

static inline void parse_formats(const char *const *names, size_t n, struct sc_encoding *out)
{
    struct sc_error e = {0};
    for (size_t i = 0; i < n; i++)
        if (sc_encoding_parse(sc_strz(names[i]), &out[i], &e) < 0)
            support_fail(e.text);
}

/* All of them measured at once, each checked. */
static inline void check_set(const struct set *s, const struct sc_quality_options *o,
                             const char *const *names, const char *what)
{
    struct sc_quality_result r;
    struct sc_error e = {0};
    CHECK_ERR(0, sc_quality_measure(s->v, o, &r, &e));
    for (size_t i = 0; r.formats && i < o->n; i++) {
        const unsigned before = test_bad;
        check_format(s, &o->formats[i], &r.formats[i]);
        if (test_bad != before)
            fprintf(stderr, "  %s of %s\n", names[i], what);
    }
    sc_quality_clear(&r);
}

#endif

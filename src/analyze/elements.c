/* SPDX-License-Identifier: Apache-2.0 */
/* elements: the pass over single values.
 *
 * Four ways, chosen by type and number of values alone:
 *
 *   few      up to 16384 values are kept and sorted
 *   codes    8- and 16-bit types: how often each bit pattern occurs tells everything
 *   floats   sums and counts of the upper 16 bits, then a visit that looks closer where needed;
 *            floats whose lower bits are all zero need none
 *   doubles  the same, for 64-bit floats and integers that do not fit a float
 *
 * All lead to an order (elements_order.c) and to the same figures. Rows and columns are added up
 * beside them (elements_lines.c). */
#include "analyze/elements.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FEW_VALUES = 16384,
    RUN = 16384,      /* values that are decoded at a time, so that they stay in cache */
    PICKED = 2 * RUN, /* values that wait for the details' lock */
    MAX_RANGES = 8,   /* of codes that are no finite values */
    BINS = 65536,
};
enum way { WAY_FEW, WAY_CODES, WAY_FLOATS, WAY_DOUBLES };

/* Neumaier's sum. */
struct sum {
    double value, lost;
};
static void add(struct sum *s, double x)
{
    const double next = s->value + x;
    s->lost += fabs(s->value) >= fabs(x) ? (s->value - next) + x : (x - next) + s->value;
    s->value = next;
}
static void add_sum(struct sum *to, const struct sum *from)
{
    add(to, from->value);
    add(to, from->lost);
}
static double total_of(struct sum s)
{
    return s.value + s.lost;
}

/* What a segment adds, and what the whole has. */
struct tally {
    uint64_t nans, infinities, first_nan, first_infinity;
    uint64_t tiny[SC_SIDES]; /* not zero, but the upper 16 bits are */
    struct sum sum, abs, square, central_square, central_third, central_fourth;
    double min, max;
    uint32_t any;  /* all bits */
    bool not_half; /* some value is no F16 */
    struct sc_int_sums per_tensor;
};

struct elements {
    struct sc_measure measure;
    const struct sc_values *view;
    enum way way;
    bool codes;           /* chunks bring codes */
    unsigned code_bytes;  /* with codes: 1 or 2 */
    sc_decode_fn *decode; /* with codes */
    float *value;         /* of each code, with way codes */
    enum sc_cpu level;
    unsigned ranges; /* of codes that are not finite */
    uint32_t range[MAX_RANGES][2];
    struct sc_lines_plan plan;
    struct sc_lines lines;
    struct tally tally;
    uint64_t *few;
    size_t n_few;
    uint64_t *count; /* of codes, or of upper 16 bits */
    struct sc_order order;
    struct sc_finer *finer;
    struct sc_gathered gathered;
    uint32_t *row_peak; /* for the second visit */
    unsigned visit;
    bool no_memory;
};

struct part {
    unsigned visit;
    struct tally tally;
    struct sc_lines lines;
    bool has_lines;
    uint32_t *count;
    uint64_t *few;
    size_t n_few;
    uint64_t not_finite; /* codes that were counted so far */
    float *scratch;      /* (SC_CHUNK_VALUES) */
    uint32_t *picked;    /* (PICKED + RUN + 16), or as many doubles' bits */
    uint64_t *picked64;
    size_t n_picked;
};

static struct tally empty_tally(void)
{
    struct tally t;
    memset(&t, 0, sizeof t);
    t.first_nan = t.first_infinity = UINT64_MAX;
    t.min = INFINITY;
    t.max = -INFINITY;
    return t;
}

static void merge_tally(struct tally *to, const struct tally *from)
{
    to->nans += from->nans;
    to->infinities += from->infinities;
    to->first_nan = SC_MIN(to->first_nan, from->first_nan);
    to->first_infinity = SC_MIN(to->first_infinity, from->first_infinity);
    to->tiny[0] += from->tiny[0];
    to->tiny[1] += from->tiny[1];
    add_sum(&to->sum, &from->sum);
    add_sum(&to->abs, &from->abs);
    add_sum(&to->square, &from->square);
    add_sum(&to->central_square, &from->central_square);
    add_sum(&to->central_third, &from->central_third);
    add_sum(&to->central_fourth, &from->central_fourth);
    to->min = SC_MIN(to->min, from->min);
    to->max = SC_MAX(to->max, from->max);
    to->any |= from->any;
    to->not_half |= from->not_half;
    to->per_tensor.square += from->per_tensor.square;
    to->per_tensor.abs += from->per_tensor.abs;
    to->per_tensor.cross += from->per_tensor.cross;
    to->per_tensor.most = SC_MAX(to->per_tensor.most, from->per_tensor.most);
}

/* ------------------------------------------------------------------------------------ begin --- */
static bool takes_codes(const struct sc_values *v)
{
    return (v->code_bytes == 1 || v->code_bytes == 2) && sc_codec_values(v->codec) == 1 &&
           sc_decoder(v->codec, SC_CPU_C);
}

static unsigned wants(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    const struct sc_measure *m = ctx;
    (void)item;
    if (!(m->methods & SC_METHODS_ELEMENTS))
        return 0;
    return takes_codes(v) ? SC_WANT_CODES : SC_WANT_VALUES;
}

static enum way way_of(const struct sc_values *v)
{
    if (takes_codes(v) && v->code_bytes == 1)
        return WAY_CODES;
    if (v->count <= FEW_VALUES)
        return WAY_FEW;
    return takes_codes(v) ? WAY_CODES : v->is_double ? WAY_DOUBLES : WAY_FLOATS;
}

static int decode_all(struct elements *t, struct sc_error *e)
{
    enum { BLOCK = 256 };
    uint8_t codes[2 * BLOCK];
    t->value = sc_alloc(BINS * sizeof *t->value);
    if (!t->value)
        return sc_fail_memory(e);
    for (uint32_t first = 0; first < (t->code_bytes == 1 ? 256U : BINS); first += BLOCK) {
        for (uint32_t i = 0; i < BLOCK; i++) {
            codes[t->code_bytes * i] = (uint8_t)i;
            if (t->code_bytes == 2)
                codes[2 * i + 1] = (uint8_t)(first >> 8);
        }
        t->decode(codes, t->value + first, BLOCK);
    }
    return 0;
}

static float code_value(const struct elements *t, uint64_t code)
{
    if (t->value)
        return t->value[code];
    const uint8_t bytes[2] = {(uint8_t)code, (uint8_t)(code >> 8)};
    float x;
    t->decode(bytes, &x, 1);
    return x;
}

/* Which codes are NaN or infinite. */
static void find_ranges(struct elements *t)
{
    bool inside = false;
    for (uint32_t code = 0; code < (t->code_bytes == 1 ? 256U : 65536U); code++) {
        const bool finite = isfinite(code_value(t, code));
        if (!finite && !inside && t->ranges < MAX_RANGES)
            t->range[t->ranges++][0] = code;
        if (!finite)
            t->range[t->ranges - 1][1] = code + 1;
        inside = !finite;
    }
}

static int make_total(struct elements *t, struct sc_error *e)
{
    if (t->way == WAY_FEW)
        t->few = sc_calloc(FEW_VALUES, sizeof *t->few);
    else
        t->count = sc_calloc(BINS, sizeof *t->count);
    if (!t->few && !t->count)
        return sc_fail_memory(e);
    if (t->way == WAY_CODES) {
        TRY(decode_all(t, e));
        find_ranges(t);
    }
    return sc_lines_new(&t->plan, UINT64_MAX, &t->lines, e);
}

static void drop(void *ctx, void *total)
{
    struct elements *t = total;
    (void)ctx;
    free(t->few);
    free(t->count);
    free(t->value);
    free(t->row_peak);
    sc_lines_clear(&t->lines);
    sc_order_clear(&t->order);
    sc_finer_free(t->finer);
    free(t);
}

static int begin(void *ctx, const struct sc_item *item, const struct sc_values *v, void **total,
                 struct sc_error *e)
{
    struct elements *t = sc_calloc(1, sizeof *t);
    (void)item;
    if (!t)
        return sc_fail_memory(e);
    t->measure = *(const struct sc_measure *)ctx;
    t->view = v;
    t->way = way_of(v);
    t->codes = takes_codes(v);
    t->code_bytes = v->code_bytes;
    t->level = sc_cpu_level();
    t->decode = t->codes ? sc_decoder(v->codec, t->level) : NULL;
    t->tally = empty_tally();
    sc_lines_plan(&t->measure, v, &t->plan);
    const int status = make_total(t, e);
    if (status < 0) {
        drop(NULL, t);
        return status;
    }
    *total = t;
    return 0;
}

/* ------------------------------------------------------------------------------------ parts --- */
static void part_free(void *ctx, void *part)
{
    struct part *p = part;
    (void)ctx;
    if (!p)
        return;
    free(p->count);
    free(p->few);
    free(p->scratch);
    free(p->picked);
    free(p->picked64);
    sc_lines_clear(&p->lines);
    free(p);
}

static bool fill_part(const struct elements *t, struct part *p)
{
    const size_t bins = t->code_bytes == 1 && t->codes ? 256 : BINS;
    if (!p->scratch)
        p->scratch = sc_alloc(SC_CHUNK_VALUES * sizeof *p->scratch);
    if (t->way == WAY_FEW && !p->few)
        p->few = sc_alloc(FEW_VALUES * sizeof *p->few);
    if (t->way != WAY_FEW && p->visit == 0 && !p->count)
        p->count = sc_calloc(bins, sizeof *p->count);
    if (p->visit > 0 && t->way == WAY_FLOATS && !p->picked)
        p->picked = sc_alloc((PICKED + RUN + 16) * sizeof *p->picked);
    if (p->visit > 0 && t->way == WAY_DOUBLES && !p->picked64)
        p->picked64 = sc_alloc((PICKED + RUN + 16) * sizeof *p->picked64);
    return p->scratch && (t->way != WAY_FEW || p->few) &&
           (t->way == WAY_FEW || p->visit > 0 || p->count) &&
           (p->visit == 0 || t->way != WAY_FLOATS || p->picked) &&
           (p->visit == 0 || t->way != WAY_DOUBLES || p->picked64);
}

static int new_part(void *ctx, void *total, unsigned visit, void *reuse, void **part,
                    struct sc_error *e)
{
    struct elements *t = total;
    struct part *p = reuse ? reuse : sc_calloc(1, sizeof *p);
    if (!p)
        return sc_fail_memory(e);
    p->visit = visit;
    p->tally = empty_tally();
    p->n_few = p->n_picked = 0;
    p->not_finite = 0;
    int status = fill_part(t, p) ? 0 : sc_fail_memory(e);
    if (status == 0 && !p->has_lines) {
        status = sc_lines_new(&t->plan, SC_SEGMENT_VALUES + SC_CHUNK_VALUES, &p->lines, e);
        p->has_lines = true;
    }
    if (status < 0) {
        part_free(ctx, p);
        return status;
    }
    *part = p;
    return 0;
}

/* ----------------------------------------------------------------------------------- chunks --- */
static void note(struct tally *t, double x, uint64_t at)
{
    if (isnan(x)) {
        t->nans++;
        t->first_nan = SC_MIN(t->first_nan, at);
    } else if (isinf(x)) {
        t->infinities++;
        t->first_infinity = SC_MIN(t->first_infinity, at);
    }
}

static void count_codes(struct elements *t, struct part *p, uint64_t at, const uint8_t *codes,
                        size_t n)
{
    if (t->code_bytes == 1)
        sc_count_codes8(codes, n, p->count);
    else
        sc_count_codes16(codes, n, p->count);
    uint64_t not_finite = 0;
    for (unsigned i = 0; i < t->ranges; i++)
        for (uint32_t code = t->range[i][0]; code < t->range[i][1]; code++)
            not_finite += p->count[code];
    if (not_finite == p->not_finite)
        return;
    p->not_finite = not_finite;
    if (p->tally.first_nan != UINT64_MAX && p->tally.first_infinity != UINT64_MAX)
        return;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *code = codes + i * t->code_bytes;
        note(&p->tally, (double)code_value(t, t->code_bytes == 1 ? *code : sc_le16(code)), at + i);
    }
}

static void keep_few(struct elements *t, struct part *p, uint64_t at, const uint8_t *codes,
                     const float *x, const double *x64, size_t n)
{
    for (size_t i = 0; i < n && p->n_few < FEW_VALUES; i++) {
        uint64_t raw = 0;
        double value;
        if (codes) {
            raw = sc_le16(codes + 2 * i);
            value = code_value(t, raw);
        } else if (x64) {
            memcpy(&raw, x64 + i, sizeof raw);
            value = x64[i];
        } else {
            uint32_t bits;
            memcpy(&bits, x + i, sizeof bits);
            raw = bits;
            value = x[i];
        }
        note(&p->tally, value, at + i);
        p->few[p->n_few++] = raw;
    }
}

/* Is every value an F16? */
static bool all_half(const float *x, size_t n)
{
    bool yes = true;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const float a = fabsf(x[i]), steps = a * 0x1p24F; /* subnormal halves are whole steps */
        const bool whole = a >= 0x1p-14F || (steps + 12582912.0F) - 12582912.0F == steps;
        yes &= (bits & 0x1fff) == 0 && a <= 65504.0F && whole;
    }
    return yes;
}

/* Only the finite values, together. */
static size_t finite_only(struct tally *t, uint64_t at, const float *x, size_t n, float *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        note(t, (double)x[i], at + i);
        out[kept] = x[i];
        kept += isfinite(x[i]) != 0;
    }
    return kept;
}

static void count_tiny(struct tally *t, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        t->tiny[bits >> 31] += (bits & 0x7fffffff) - 1 < 0xffff;
    }
}

static void first_of_floats(struct elements *t, struct part *p, uint64_t at, const float *x,
                            size_t n)
{
    struct sc_sums s;
    sc_count_tops(x, n, p->count);
    sc_sums(x, n, t->level, &s);
    if (s.most >= 0x7f800000) {
        n = finite_only(&p->tally, at, x, n, p->scratch);
        x = p->scratch;
        sc_sums(x, n, t->level, &s);
    }
    if (s.least < 0x10000)
        count_tiny(&p->tally, x, n);
    add(&p->tally.sum, s.sum);
    add(&p->tally.abs, s.abs);
    add(&p->tally.square, s.square);
    p->tally.min = SC_MIN(p->tally.min, (double)s.min);
    p->tally.max = SC_MAX(p->tally.max, (double)s.max);
    p->tally.any |= s.any;
    p->tally.not_half = p->tally.not_half || (s.any & 0x1fff) || !all_half(x, n);
}

static void flush_picked(struct elements *t, struct part *p)
{
    if (p->n_picked && t->way == WAY_FLOATS)
        sc_finer_add(t->finer, p->picked, p->n_picked);
    else if (p->n_picked)
        sc_finer_add64(t->finer, p->picked64, p->n_picked);
    p->n_picked = 0;
}

static uint32_t float_bits(double x)
{
    const float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static void central_of_floats(struct elements *t, struct part *p, uint64_t at, const float *x,
                              size_t n)
{
    const struct sc_gathered *g = &t->gathered;
    struct sc_central c;
    if (g->nans || g->infinities) {
        struct tally counted = empty_tally(); /* in the first visit */
        n = finite_only(&counted, at, x, n, p->scratch);
        x = p->scratch;
    }
    sc_central(x, n, g->sum / (double)sc_order_count(&t->order), t->level, &c);
    add(&p->tally.central_square, c.square);
    add(&p->tally.central_third, c.third);
    add(&p->tally.central_fourth, c.fourth);
    if (t->plan.want_errors)
        sc_int_sums_add(x, n, float_bits(g->abs_max), t->plan.most_steps, t->level, p->scratch,
                        &p->tally.per_tensor);
}

static void again_of_floats(struct elements *t, struct part *p, uint64_t at, const float *x,
                            size_t n)
{
    const uint32_t *wanted = sc_finer_wanted(t->finer);
    if (p->visit == 1)
        central_of_floats(t, p, at, x, n);
    for (size_t i = 0; i < n; i += RUN) {
        p->n_picked +=
            sc_pick_tops(x + i, SC_MIN(n - i, RUN), wanted, t->level, p->picked + p->n_picked);
        if (p->n_picked >= PICKED)
            flush_picked(t, p);
    }
}

static void first_of_doubles(struct part *p, uint64_t at, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, x + i, sizeof bits);
        p->count[bits >> 48]++;
        if (!isfinite(x[i])) {
            note(&p->tally, x[i], at + i);
            continue;
        }
        p->tally.tiny[bits >> 63] += (bits & INT64_MAX) - 1 < UINT64_C(0xffffffffffff);
        add(&p->tally.sum, x[i]);
        add(&p->tally.abs, fabs(x[i]));
        add(&p->tally.square, x[i] * x[i]);
        p->tally.min = SC_MIN(p->tally.min, x[i]);
        p->tally.max = SC_MAX(p->tally.max, x[i]);
    }
}

static void central_of_doubles(struct elements *t, struct part *p, const double *x, size_t n)
{
    const struct sc_gathered *g = &t->gathered;
    const double mean = g->sum / (double)sc_order_count(&t->order);
    const double most_steps = (double)t->plan.most_steps, top = g->abs_max / g->unit;
    struct tally *y = &p->tally;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            continue;
        const double d = (x[i] - mean) / g->unit, d2 = d * d;
        add(&y->central_square, d2);
        add(&y->central_third, d2 * d);
        add(&y->central_fourth, d2 * d2);
        if (!(top > 0))
            continue;
        const double v = x[i] / g->unit, e = v - rint(v * most_steps / top) * top / most_steps;
        y->per_tensor.square += e * e;
        y->per_tensor.abs += fabs(e);
        y->per_tensor.cross += v * e;
        y->per_tensor.most = SC_MAX(y->per_tensor.most, fabs(e));
    }
}

static void again_of_doubles(struct elements *t, struct part *p, const double *x, size_t n)
{
    const uint32_t *wanted = sc_finer_wanted(t->finer);
    if (p->visit == 1)
        central_of_doubles(t, p, x, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, x + i, sizeof bits);
        if (!(wanted[bits >> 53 & 1023] >> (bits >> 48 & 31) & 1))
            continue;
        p->picked64[p->n_picked++] = bits;
        if (p->n_picked >= PICKED)
            flush_picked(t, p);
    }
}

static void lines(struct elements *t, struct part *p, uint64_t at, const float *x, size_t n)
{
    if (p->visit == 0)
        sc_lines_add(&p->lines, at, x, n);
    else if (p->visit == 1 && t->row_peak)
        sc_lines_add_again(&p->lines, t->row_peak, at, x, n);
}

/* As floats, a run of whole units at a time where there are units. */
static void lines_of(struct elements *t, struct part *p, uint64_t at, const uint8_t *codes,
                     const double *x64, size_t n)
{
    const size_t unit = t->plan.unit > RUN ? (size_t)t->plan.unit
                                           : RUN / (size_t)t->plan.unit * (size_t)t->plan.unit;
    const size_t run = SC_MIN(unit, (size_t)SC_CHUNK_VALUES);
    if (!p->lines.clean || (p->visit && !t->row_peak))
        return;
    for (size_t i = 0; i < n; i += run) {
        const size_t now = SC_MIN(n - i, run);
        if (codes)
            t->decode(codes + i * t->code_bytes, p->scratch, now);
        for (size_t j = 0; x64 && j < now; j++)
            p->scratch[j] = (float)x64[i + j];
        lines(t, p, at + i, p->scratch, now);
    }
}

static void chunk(void *ctx, void *total, void *part, const struct sc_chunk *c)
{
    struct elements *t = total;
    struct part *p = part;
    const uint64_t at = c->row * c->view->cols + c->col;
    const size_t n = (size_t)(c->n_rows * c->n_cols);
    const uint8_t *codes = t->codes ? c->codes : NULL;
    const double *x64 = t->codes || !t->view->is_double ? NULL : c->values64;
    (void)ctx;
    if (t->way == WAY_FEW && p->visit == 0)
        keep_few(t, p, at, codes, c->values, x64, n);
    else if (t->way == WAY_CODES && p->visit == 0)
        count_codes(t, p, at, codes, n);
    else if (t->way == WAY_FLOATS && p->visit == 0)
        first_of_floats(t, p, at, c->values, n);
    else if (t->way == WAY_FLOATS && t->finer)
        again_of_floats(t, p, at, c->values, n);
    else if (t->way == WAY_DOUBLES && p->visit == 0)
        first_of_doubles(p, at, x64, n);
    else if (t->way == WAY_DOUBLES)
        again_of_doubles(t, p, x64, n);
    if (codes || x64)
        lines_of(t, p, at, codes, x64, n);
    else
        lines(t, p, at, c->values, n);
}

static void merge(void *ctx, void *total, void *part)
{
    struct elements *t = total;
    struct part *p = part;
    (void)ctx;
    merge_tally(&t->tally, &p->tally);
    if (p->visit == 0 && p->count) {
        const size_t bins = t->code_bytes == 1 && t->codes ? 256 : BINS;
        for (size_t i = 0; i < bins; i++)
            t->count[i] += p->count[i];
        memset(p->count, 0, bins * sizeof *p->count);
    }
    for (size_t i = 0; i < p->n_few && t->n_few < FEW_VALUES; i++)
        t->few[t->n_few++] = p->few[i];
    flush_picked(t, p);
    sc_lines_merge(&t->lines, &p->lines);
    sc_lines_reset(&p->lines);
}

/* ------------------------------------------------------------------------ counts to an order ---
 */
/* A bit pattern and how often it occurs. */
struct counted {
    uint64_t raw, n;
};
struct pattern_list {
    struct counted *p;
    size_t n;
};

static void sort_bytes(uint64_t *v, uint64_t *spare, size_t n)
{
    for (unsigned shift = 0; shift < 64; shift += 8) {
        size_t first[257] = {0};
        for (size_t i = 0; i < n; i++)
            first[(v[i] >> shift & 0xff) + 1]++;
        if (first[(v[0] >> shift & 0xff) + 1] == n)
            continue; /* all the same */
        for (size_t i = 0; i < 256; i++)
            first[i + 1] += first[i];
        for (size_t i = 0; i < n; i++)
            spare[first[v[i] >> shift & 0xff]++] = v[i];
        memcpy(v, spare, n * sizeof *v);
    }
}

static bool patterns_of_few(struct elements *t, struct pattern_list *out)
{
    uint64_t *spare = sc_alloc((t->n_few + 1) * sizeof *spare);
    out->p = sc_alloc((t->n_few + 1) * sizeof *out->p);
    if (!spare || !out->p) {
        free(spare);
        return false;
    }
    if (t->n_few)
        sort_bytes(t->few, spare, t->n_few);
    free(spare);
    for (size_t i = 0; i < t->n_few; i++)
        if (out->n && out->p[out->n - 1].raw == t->few[i])
            out->p[out->n - 1].n++;
        else
            out->p[out->n++] = (struct counted){t->few[i], 1};
    return true;
}

static bool patterns_of_counts(struct elements *t, struct pattern_list *out)
{
    size_t n = 0;
    for (size_t i = 0; i < BINS; i++)
        n += t->count[i] != 0;
    out->p = sc_alloc((n + 1) * sizeof *out->p);
    for (size_t i = 0; out->p && i < BINS; i++)
        if (t->count[i])
            out->p[out->n++] = (struct counted){i, t->count[i]};
    return out->p != NULL;
}

static double raw_value(const struct elements *t, uint64_t raw)
{
    double value;
    if (t->codes)
        return (double)code_value(t, raw);
    if (t->view->is_double) {
        memcpy(&value, &raw, sizeof value);
        return value;
    }
    const uint32_t bits = (uint32_t)(t->way == WAY_FLOATS ? raw << 16 : raw);
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static bool make_order(struct sc_order *o, size_t n, bool coarse)
{
    o->low = sc_calloc(n + 1, sizeof *o->low);
    o->below[0] = sc_calloc(n + 1, sizeof *o->below[0]);
    o->below[1] = sc_calloc(n + 1, sizeof *o->below[1]);
    if (coarse) {
        o->high = sc_calloc(n + 1, sizeof *o->high);
        o->bin = sc_calloc(n + 1, sizeof *o->bin);
    }
    return o->low && o->below[0] && o->below[1] && (!coarse || (o->high && o->bin));
}

/* A magnitude and how often it occurs with one sign. */
struct magnitude {
    double value;
    uint64_t n;
};
struct side {
    struct magnitude *p;
    size_t n;
};

/* Patterns ascend, so magnitudes of one sign ascend (signs in the top bit) or descend (two's
 * complement). */
static void split_sides(const struct elements *t, const struct pattern_list *list,
                        struct side side[SC_SIDES])
{
    for (size_t i = 0; i < list->n; i++) {
        const double x = raw_value(t, list->p[i].raw);
        struct side *s = &side[signbit(x) ? SC_NEGATIVE : SC_POSITIVE];
        if (isfinite(x))
            s->p[s->n++] = (struct magnitude){fabs(x), list->p[i].n};
    }
    struct side *s = &side[SC_NEGATIVE];
    if (s->n > 1 && s->p[0].value > s->p[s->n - 1].value)
        for (size_t i = 0, j = s->n - 1; i < j; i++, j--) {
            const struct magnitude m = s->p[i];
            s->p[i] = s->p[j];
            s->p[j] = m;
        }
}

static void merge_sides(const struct side side[SC_SIDES], struct sc_order *o)
{
    size_t at[SC_SIDES] = {0, 0};
    while (at[0] < side[0].n || at[1] < side[1].n) {
        double least = INFINITY;
        for (unsigned s = 0; s < SC_SIDES; s++)
            if (at[s] < side[s].n)
                least = SC_MIN(least, side[s].p[at[s]].value);
        const size_t i = o->n++;
        o->low[i] = least;
        for (unsigned s = 0; s < SC_SIDES; s++) {
            o->below[s][i + 1] = o->below[s][i];
            while (at[s] < side[s].n && side[s].p[at[s]].value == least)
                o->below[s][i + 1] += side[s].p[at[s]++].n;
        }
    }
}

static bool order_of_patterns(struct elements *t, const struct pattern_list *list)
{
    struct magnitude *both = sc_alloc((2 * list->n + 1) * sizeof *both);
    const bool ok = both && make_order(&t->order, list->n, false);
    if (ok) {
        struct side side[SC_SIDES] = {{both, 0}, {both + list->n, 0}};
        split_sides(t, list, side);
        merge_sides(side, &t->order);
    }
    free(both);
    return ok;
}

static double top_value(uint32_t top, bool wide)
{
    if (wide) {
        const uint64_t bits = (uint64_t)top << 48;
        double x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    const uint32_t bits = top << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

static bool order_of_tops(struct elements *t)
{
    const bool wide = t->view->is_double;
    const uint32_t end = wide ? 0x7ff0 : 0x7f80;
    struct sc_order *o = &t->order;
    size_t n = 0;
    for (uint32_t i = 0; i < end; i++)
        n += t->count[i] || t->count[i | 0x8000];
    if (!make_order(o, n, true))
        return false;
    o->wide = wide;
    o->finer = t->finer;
    for (uint32_t i = 0; i < end; i++)
        if (t->count[i] || t->count[i | 0x8000]) {
            const size_t at = o->n++;
            o->low[at] = top_value(i, wide);
            o->high[at] = top_value(i + 1, wide);
            o->bin[at] = i;
            o->below[SC_POSITIVE][at + 1] = o->below[SC_POSITIVE][at] + t->count[i];
            o->below[SC_NEGATIVE][at + 1] = o->below[SC_NEGATIVE][at] + t->count[i | 0x8000];
        }
    return true;
}

/* ----------------------------------------------------------------------------- narrower types ---
 */
struct narrow {
    const char *name;
    double bits, max;
    int least_exponent, mantissa;
};
static const struct narrow narrow[] = {
    {"F8_E4M3", 8, 448, -6, 3},  {"F8_E5M2", 8, 57344, -14, 2},  {"BF16", 16, 0x1.fep127, -126, 7},
    {"F16", 16, 65504, -14, 10}, {"F32", 32, FLT_MAX, -126, 23},
};

static bool fits(double magnitude, const struct narrow *type)
{
    if (magnitude == 0)
        return true;
    if (magnitude > type->max)
        return false;
    const int exponent = SC_MAX(ilogb(magnitude), type->least_exponent);
    const double steps = ldexp(magnitude, type->mantissa - exponent);
    return steps == rint(steps);
}

static bool order_fits(const struct sc_order *o, const struct narrow *type)
{
    for (size_t i = 0; i < o->n; i++)
        if (!fits(o->low[i], type))
            return false;
    return true;
}

static void find_holds(struct elements *t, struct sc_gathered *g)
{
    const struct sc_codec *codec = sc_codec(t->view->codec);
    const bool plain = t->view->code_bytes || t->view->is_double;
    if (!plain || codec->kind != SC_KIND_FLOAT || !(g->abs_max > 0))
        return;
    for (size_t i = 0; i < SC_COUNT(narrow); i++) {
        if (narrow[i].bits >= sc_codec_bits(t->view->codec))
            break;
        const bool is_half = narrow[i].mantissa == 10;
        if (t->order.high ? is_half && t->way == WAY_FLOATS && !t->tally.not_half
                          : order_fits(&t->order, &narrow[i])) {
            strcpy(g->holds, narrow[i].name);
            return;
        }
    }
}

/* ------------------------------------------------------------------------ what they amount to ---
 */
static double entropy_of(const struct pattern_list *list)
{
    uint64_t all = 0;
    double sum = 0;
    for (size_t i = 0; i < list->n; i++)
        all += list->p[i].n;
    for (size_t i = 0; i < list->n; i++) {
        const double share = (double)list->p[i].n / (double)all;
        sum -= share * log2(share);
    }
    return all ? sum + 0.0 : NAN;
}

/* Smallest normal magnitude of the stored type; 0: it has no subnormal values. */
static double smallest_normal(const struct elements *t)
{
    static const struct {
        const char *name;
        double least;
    } known[] = {{"F16", 0x1p-14},        {"BF16", 0x1p-126},      {"F32", 0x1p-126},
                 {"F64", 0x1p-1022},      {"C32", 0x1p-14},        {"C64", 0x1p-126},
                 {"C128", 0x1p-1022},     {"F8_E4M3", 0x1p-6},     {"F8_E5M2", 0x1p-14},
                 {"F8_E4M3FNUZ", 0x1p-7}, {"F8_E5M2FNUZ", 0x1p-15}};
    const char *name = sc_codec(t->view->codec)->name;
    if (!t->view->code_bytes && !t->view->is_double)
        return 0x1p-126; /* decoded to floats */
    for (size_t i = 0; i < SC_COUNT(known); i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].least;
    return 0;
}

static void counts_of_patterns(struct elements *t, const struct pattern_list *list)
{
    struct sc_gathered *g = &t->gathered;
    const double normal = smallest_normal(t);
    for (size_t i = 0; i < list->n; i++) {
        const double x = raw_value(t, list->p[i].raw);
        const uint64_t n = list->p[i].n;
        g->nans += isnan(x) ? n : 0;
        g->infinities += isinf(x) ? n : 0;
        g->zeros += x == 0 ? n : 0;
        g->negative_zeros += x == 0 && signbit(x) ? n : 0;
        g->subnormals += x != 0 && fabs(x) < normal ? n : 0;
    }
    if (t->view->code_bytes) {
        g->distinct = list->n;
        g->entropy = entropy_of(list);
    }
}

static void gather_exact(struct elements *t)
{
    struct pattern_list list = {NULL, 0};
    const bool ok =
        (t->way == WAY_FEW ? patterns_of_few(t, &list) : patterns_of_counts(t, &list)) &&
        order_of_patterns(t, &list);
    if (ok) {
        counts_of_patterns(t, &list);
        sc_figures_sums(&t->gathered);
    } else
        t->no_memory = true;
    free(list.p);
}

static void gather_coarse(struct elements *t)
{
    struct sc_gathered *g = &t->gathered;
    const struct tally *y = &t->tally;
    if (sc_finer_new(t->view->is_double, &t->finer, NULL) < 0 || !order_of_tops(t)) {
        t->no_memory = true;
        return;
    }
    const uint64_t *count = t->count;
    const uint32_t normal = t->view->is_double ? 0x10 : 0x80;
    g->nans = y->nans;
    g->infinities = y->infinities;
    g->negative_zeros = count[0x8000] - y->tiny[SC_NEGATIVE];
    g->zeros = count[0] - y->tiny[SC_POSITIVE] + g->negative_zeros;
    for (uint32_t i = 0; i < normal; i++)
        g->subnormals += count[i] + count[i | 0x8000];
    g->subnormals -= g->zeros;
    g->sum = total_of(y->sum);
    g->sum_abs = total_of(y->abs);
    g->min = y->min;
    g->max = y->max;
    g->abs_max = fmax(fabs(g->min), fabs(g->max));
    g->unit = ldexp(1, g->abs_max > 0 ? ilogb(g->abs_max) : 0);
    g->l2_norm = sqrt(total_of(y->square));
    /* Near enough to tell where the thresholds of the next visit will lie. */
    const double n = (double)sc_order_count(&t->order);
    g->central_square =
        (total_of(y->square) - n * (g->sum / n) * (g->sum / n)) / (g->unit * g->unit);
}

/* The sums of the second visit. */
static void gather_central(struct elements *t)
{
    struct sc_gathered *g = &t->gathered;
    const struct tally *y = &t->tally;
    const double n = (double)sc_order_count(&t->order), mean = g->sum / n / g->unit;
    /* Those of doubles were taken in units. */
    const double unit = t->way == WAY_FLOATS ? g->unit : 1,
                 from = t->way == WAY_FLOATS ? 1 : g->unit;
    g->central_square = total_of(y->central_square) / (unit * unit);
    g->central_third = total_of(y->central_third) / (unit * unit * unit);
    g->central_fourth = total_of(y->central_fourth) / (unit * unit * unit * unit);
    g->per_tensor = y->per_tensor;
    g->per_tensor.square *= from * from;
    g->per_tensor.abs *= from;
    g->per_tensor.cross *= from * from;
    g->per_tensor.most *= from;
    if (t->way == WAY_DOUBLES)
        g->l2_norm = g->unit * sqrt(g->central_square + n * mean * mean);
}

static void gather(struct elements *t)
{
    struct sc_gathered *g = &t->gathered;
    *g = (struct sc_gathered){.measure = &t->measure,
                              .view = t->view,
                              .order = &t->order,
                              .first_nan = t->tally.first_nan,
                              .first_infinity = t->tally.first_infinity,
                              .distinct = UINT64_MAX,
                              .entropy = NAN,
                              .lines = &t->lines};
    const bool coarse =
        t->way == WAY_DOUBLES || (t->way == WAY_FLOATS && (t->tally.any & 0xffff) != 0);
    if (coarse)
        gather_coarse(t);
    else
        gather_exact(t);
}

/* Rows that are longer than a unit. */
static bool want_second(struct elements *t)
{
    if (!t->plan.second || !t->lines.row_peak)
        return false;
    const size_t bytes = (size_t)t->plan.rows * sizeof *t->row_peak;
    t->row_peak = sc_alloc(bytes);
    if (t->row_peak)
        memcpy(t->row_peak, t->lines.row_peak, bytes);
    else
        t->no_memory = true;
    return t->row_peak != NULL;
}

static bool again(void *ctx, void *total, unsigned visit)
{
    struct elements *t = total;
    (void)ctx;
    t->visit = visit + 1;
    bool more = false;
    if (visit == 0) {
        gather(t);
        const bool second = want_second(t);
        more = t->finer || second;
    }
    if (t->finer && visit == 1)
        gather_central(t);
    if (t->finer && visit > 0)
        t->no_memory |= !sc_finer_close(t->finer);
    if (t->finer && !t->no_memory) {
        t->order.finer = t->finer;
        sc_figures_ask(&t->gathered);
        more |= sc_finer_open(t->finer);
    }
    return more && !t->no_memory;
}

static int end(void *ctx, const struct sc_item *item, const struct sc_values *v, void *total,
               struct sc_error *e)
{
    struct elements *t = total;
    (void)v;
    if (t->visit == 0) /* nothing was read */
        gather(t);
    int status = t->no_memory ? sc_fail_memory(e) : 0;
    if (status == 0) {
        find_holds(t, &t->gathered);
        status = sc_figures_fill(&t->gathered, item->user, e);
    }
    drop(ctx, t);
    return status;
}

const struct sc_pass sc_pass_elements = {
    .name = "elements",
    .wants = wants,
    .begin = begin,
    .part = new_part,
    .chunk = chunk,
    .merge = merge,
    .part_free = part_free,
    .again = again,
    .end = end,
    .drop = drop,
};

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
#include "kernel/tops.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUN = 16384,      /* values that are decoded at a time, so that they stay in cache */
    PICKED = 2 * RUN, /* values that wait for the details' lock */
};

struct part {
    unsigned visit;
    struct sc_tally tally;
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

static struct sc_tally empty_tally(void)
{
    struct sc_tally t;
    memset(&t, 0, sizeof t);
    t.first_nan = t.first_infinity = UINT64_MAX;
    t.min = INFINITY;
    t.max = -INFINITY;
    return t;
}

static void merge_tally(struct sc_tally *to, const struct sc_tally *from)
{
    to->nans += from->nans;
    to->infinities += from->infinities;
    to->first_nan = SC_MIN(to->first_nan, from->first_nan);
    to->first_infinity = SC_MIN(to->first_infinity, from->first_infinity);
    to->tiny[0] += from->tiny[0];
    to->tiny[1] += from->tiny[1];
    sc_sum_join(&to->sum, &from->sum);
    sc_sum_join(&to->abs, &from->abs);
    sc_sum_join(&to->square, &from->square);
    sc_sum_join(&to->central_square, &from->central_square);
    sc_sum_join(&to->central_third, &from->central_third);
    sc_sum_join(&to->central_fourth, &from->central_fourth);
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

static size_t room_for_few(const struct sc_elements *t)
{
    return (size_t)SC_MIN(t->view->count, SC_FEW_VALUES) + 1;
}

static enum sc_way way_of(const struct sc_values *v)
{
    if (takes_codes(v) && v->code_bytes == 1)
        return SC_WAY_CODES;
    if (v->count <= SC_FEW_VALUES)
        return SC_WAY_FEW;
    return takes_codes(v) ? SC_WAY_CODES : v->is_double ? SC_WAY_DOUBLES : SC_WAY_FLOATS;
}

/* Which codes are NaN or infinite. */
static void find_ranges(struct sc_elements *t)
{
    enum { BLOCK = 256 };
    uint8_t codes[2 * BLOCK];
    float x[BLOCK];
    bool inside = false;
    for (uint32_t first = 0; first < t->n_counts; first += BLOCK) {
        for (uint32_t i = 0; i < BLOCK; i++) {
            codes[(size_t)t->code_bytes * i] = (uint8_t)i;
            if (t->code_bytes == 2)
                codes[2 * i + 1] = (uint8_t)(first >> 8);
        }
        t->decode(codes, x, BLOCK);
        uint32_t peak;
        if (sc_peaks(x, BLOCK, BLOCK, t->level, &peak) < 0x7f800000) {
            inside = false;
            continue;
        }
        for (uint32_t i = 0; i < BLOCK; i++) {
            const bool finite = isfinite(x[i]);
            if (!finite && !inside && t->ranges < SC_CODE_RANGES)
                t->range[t->ranges++][0] = first + i;
            if (!finite)
                t->range[t->ranges - 1][1] = first + i + 1;
            inside = !finite;
        }
    }
}

static int make_total(struct sc_elements *t, struct sc_error *e)
{
    if (t->way == SC_WAY_FEW)
        t->few = sc_alloc(room_for_few(t) * sizeof *t->few);
    else
        t->count = sc_calloc(t->n_counts, sizeof *t->count);
    if (!t->few && !t->count)
        return sc_fail_memory(e);
    if (t->way == SC_WAY_CODES)
        find_ranges(t);
    return sc_lines_new(&t->plan, UINT64_MAX, &t->lines, e);
}

static void drop(void *ctx, void *total)
{
    struct sc_elements *t = total;
    (void)ctx;
    free(t->few);
    free(t->count);
    free(t->row_peak);
    sc_lines_clear(&t->lines);
    sc_order_clear(&t->order);
    sc_finer_free(t->finer);
    free(t);
}

static int begin(void *ctx, const struct sc_item *item, const struct sc_values *v, void **total,
                 struct sc_error *e)
{
    struct sc_elements *t = sc_calloc(1, sizeof *t);
    (void)item;
    if (!t)
        return sc_fail_memory(e);
    t->measure = *(const struct sc_measure *)ctx;
    t->view = v;
    t->way = way_of(v);
    t->codes = takes_codes(v);
    t->code_bytes = v->code_bytes;
    t->bf16 = v->codec == sc_codec_find(SC_STR("BF16"));
    t->n_counts = t->codes && t->code_bytes == 1 ? 256 : SC_TOPS;
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

static bool fill_part(const struct sc_elements *t, struct part *p)
{
    if (!p->scratch)
        p->scratch =
            sc_alloc(((size_t)SC_MIN(t->view->count, SC_CHUNK_VALUES) + 1) * sizeof *p->scratch);
    if (t->way == SC_WAY_FEW && !p->few)
        p->few = sc_alloc(room_for_few(t) * sizeof *p->few);
    if (t->way != SC_WAY_FEW && p->visit == 0 && !p->count)
        p->count = sc_calloc(t->n_counts, sizeof *p->count);
    if (p->visit > 0 && t->way == SC_WAY_FLOATS && !p->picked)
        p->picked = sc_alloc((PICKED + RUN + 16) * sizeof *p->picked);
    if (p->visit > 0 && t->way == SC_WAY_DOUBLES && !p->picked64)
        p->picked64 = sc_alloc((PICKED + RUN + 16) * sizeof *p->picked64);
    return p->scratch && (t->way != SC_WAY_FEW || p->few) &&
           (t->way == SC_WAY_FEW || p->visit > 0 || p->count) &&
           (p->visit == 0 || t->way != SC_WAY_FLOATS || p->picked) &&
           (p->visit == 0 || t->way != SC_WAY_DOUBLES || p->picked64);
}

static int new_part(void *ctx, void *total, unsigned visit, void *reuse, void **part,
                    struct sc_error *e)
{
    struct sc_elements *t = total;
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
static void note(struct sc_tally *t, double x, uint64_t at)
{
    if (isnan(x)) {
        t->nans++;
        t->first_nan = SC_MIN(t->first_nan, at);
    } else if (isinf(x)) {
        t->infinities++;
        t->first_infinity = SC_MIN(t->first_infinity, at);
    }
}

/* Counting waits for the table, and decoding for the vector units: in turns they fill each other's
 * gaps. out NULL: counts only. */
static void count_codes(const struct sc_elements *t, struct part *p, const uint8_t *codes, size_t n,
                        float *out)
{
    enum { TURN = 256 };
    const size_t turn = t->code_bytes == 2 && out ? TURN : n;
    for (size_t i = 0; i < n; i += turn) {
        const size_t now = SC_MIN(turn, n - i);
        if (t->code_bytes == 1)
            sc_count_codes8(codes + i, now, p->count);
        else
            sc_count_codes16(codes + 2 * i, now, p->count);
        if (out)
            t->decode(codes + t->code_bytes * i, out + i, now);
    }
}

/* After a chunk was counted: what of it is not finite. */
static void note_codes(struct sc_elements *t, struct part *p, uint64_t at, const uint8_t *codes,
                       size_t n)
{
    uint64_t not_finite = 0;
    for (unsigned i = 0; i < t->ranges; i++)
        for (uint32_t code = t->range[i][0]; code < t->range[i][1]; code++)
            not_finite += p->count[code];
    if (not_finite == p->not_finite)
        return;
    p->not_finite = not_finite;
    if (p->tally.first_nan != UINT64_MAX && p->tally.first_infinity != UINT64_MAX)
        return;
    t->decode(codes, p->scratch, n);
    for (size_t i = 0; i < n; i++)
        note(&p->tally, (double)p->scratch[i], at + i);
}

static void keep_few(struct sc_elements *t, struct part *p, uint64_t at, const uint8_t *codes,
                     const float *x, const double *x64, size_t n)
{
    if (codes) {
        t->decode(codes, p->scratch, n);
        x = p->scratch;
    }
    n = (size_t)SC_MIN(n, t->view->count - p->n_few);
    uint64_t *few = p->few + p->n_few;
    uint32_t peak;
    if (x64)
        memcpy(few, x64, n * sizeof *few);
    for (size_t i = 0; codes && i < n; i++)
        few[i] = sc_le16(codes + 2 * i);
    for (size_t i = 0; !codes && !x64 && i < n; i++)
        few[i] = sc_bits_of(x[i]);
    const bool finite = !x64 && sc_peaks(x, n, n, t->level, &peak) < 0x7f800000;
    for (size_t i = 0; !finite && i < n; i++)
        note(&p->tally, x64 ? x64[i] : (double)x[i], at + i);
    p->n_few += n;
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
static size_t finite_only(struct sc_tally *t, uint64_t at, const float *x, size_t n, float *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        note(t, (double)x[i], at + i);
        out[kept] = x[i];
        kept += isfinite(x[i]) != 0;
    }
    return kept;
}

static void count_tiny(struct sc_tally *t, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        t->tiny[bits >> 31] += (bits & 0x7fffffff) - 1 < 0xffff;
    }
}

static void first_of_floats(struct sc_elements *t, struct part *p, uint64_t at, const float *x,
                            size_t n)
{
    struct sc_sums s;
    sc_sums(x, n, t->level, &s);
    if (s.most >= 0x7f800000) {
        n = finite_only(&p->tally, at, x, n, p->scratch);
        x = p->scratch;
        sc_sums(x, n, t->level, &s);
    }
    if (s.least < 0x10000)
        count_tiny(&p->tally, x, n);
    sc_sum_add(&p->tally.sum, s.sum);
    sc_sum_add(&p->tally.abs, s.abs);
    sc_sum_add(&p->tally.square, s.square);
    p->tally.min = SC_MIN(p->tally.min, (double)s.min);
    p->tally.max = SC_MAX(p->tally.max, (double)s.max);
    p->tally.any |= s.any;
    p->tally.not_half = p->tally.not_half || (s.any & 0x1fff) || !all_half(x, n);
}

static void flush_picked(struct sc_elements *t, struct part *p)
{
    if (p->n_picked && t->way == SC_WAY_FLOATS)
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

static void central_of_floats(struct sc_elements *t, struct part *p, uint64_t at, const float *x,
                              size_t n)
{
    const struct sc_gathered *g = &t->gathered;
    struct sc_central c;
    if (g->nans || g->infinities) {
        struct sc_tally counted = empty_tally(); /* in the first visit */
        n = finite_only(&counted, at, x, n, p->scratch);
        x = p->scratch;
    }
    sc_central(x, n, g->sum / (double)sc_order_count(&t->order), t->level, &c);
    sc_sum_add(&p->tally.central_square, c.square);
    sc_sum_add(&p->tally.central_third, c.third);
    sc_sum_add(&p->tally.central_fourth, c.fourth);
    if (t->plan.want_errors)
        sc_int_sums_add(x, n, float_bits(g->abs_max), t->plan.most_steps, t->level, p->scratch,
                        &p->tally.per_tensor);
}

static void again_of_floats(struct sc_elements *t, struct part *p, uint64_t at, const float *x,
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
        sc_sum_add(&p->tally.sum, x[i]);
        sc_sum_add(&p->tally.abs, fabs(x[i]));
        sc_sum_add(&p->tally.square, x[i] * x[i]);
        p->tally.min = SC_MIN(p->tally.min, x[i]);
        p->tally.max = SC_MAX(p->tally.max, x[i]);
    }
}

static void central_of_doubles(struct sc_elements *t, struct part *p, const double *x, size_t n)
{
    const struct sc_gathered *g = &t->gathered;
    const double mean = g->sum / (double)sc_order_count(&t->order);
    const double most_steps = (double)t->plan.most_steps, top = g->abs_max / g->unit;
    struct sc_tally *y = &p->tally;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            continue;
        const double d = (x[i] - mean) / g->unit, d2 = d * d;
        sc_sum_add(&y->central_square, d2);
        sc_sum_add(&y->central_third, d2 * d);
        sc_sum_add(&y->central_fourth, d2 * d2);
        if (!(top > 0))
            continue;
        const double v = x[i] / g->unit, e = v - rint(v * most_steps / top) * top / most_steps;
        y->per_tensor.square += e * e;
        y->per_tensor.abs += fabs(e);
        y->per_tensor.cross += v * e;
        y->per_tensor.most = SC_MAX(y->per_tensor.most, fabs(e));
    }
}

static void again_of_doubles(struct sc_elements *t, struct part *p, const double *x, size_t n)
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

static void lines(struct sc_elements *t, struct part *p, uint64_t at, const float *x, size_t n)
{
    if (p->visit == 0)
        sc_lines_add(&p->lines, at, x, n);
    else if (p->visit == 1 && t->row_peak)
        sc_lines_add_again(&p->lines, t->row_peak, at, x, n);
}

/* As floats, a run of whole units at a time where there are units. */
static void lines_of(struct sc_elements *t, struct part *p, uint64_t at, const uint8_t *codes,
                     const double *x64, size_t n)
{
    const bool counts = t->way == SC_WAY_CODES && p->visit == 0;
    const bool later = counts && t->code_bytes == 2 && t->plan.want_errors;
    const bool in_place = later && t->bf16 && sc_lines_take_bf16(&p->lines);
    const size_t together =
        in_place ? 1 : RUN / (size_t)SC_MIN(t->plan.unit, RUN) / SC_ROWS_TOGETHER;
    const uint64_t run =
        SC_MIN(SC_MAX(together, 1) * SC_ROWS_TOGETHER * t->plan.unit, SC_CHUNK_VALUES);
    for (size_t i = 0; i < n; i += (size_t)run) {
        const size_t now = (size_t)SC_MIN(n - i, run);
        const uint8_t *c = codes ? codes + i * t->code_bytes : NULL;
        struct sc_counting counting = {c, later ? now : 0, p->count, 2 * now};
        if (in_place && sc_lines_add_bf16(&p->lines, at + i, c, now, &counting))
            continue;
        if (counts && !later)
            count_codes(t, p, c, now, p->scratch);
        else if (codes)
            t->decode(c, p->scratch, now);
        for (size_t j = 0; x64 && j < now; j++)
            p->scratch[j] = (float)x64[i + j];
        p->lines.counting = later ? &counting : NULL;
        lines(t, p, at + i, p->scratch, now);
        sc_counting_finish(&counting);
        p->lines.counting = NULL;
    }
}

/* Rounding takes the counting of floats along, and fetches the next chunk. */
static void lines_of_floats(struct sc_elements *t, struct part *p, uint64_t at, const float *x,
                            size_t n, bool wanted)
{
    const bool counts = t->way == SC_WAY_FLOATS && p->visit == 0;
    struct sc_counting tops = {(const uint8_t *)x, counts ? n : 0, p->count, n * sizeof *x};
    p->lines.counting = counts ? &tops : NULL;
    p->lines.tops = true;
    if (wanted)
        lines(t, p, at, x, n);
    p->lines.counting = NULL;
    p->lines.tops = false;
    sc_tops_finish(&tops);
}

static void chunk(void *ctx, void *total, void *part, const struct sc_chunk *c)
{
    struct sc_elements *t = total;
    struct part *p = part;
    const uint64_t at = c->row * c->view->cols + c->col;
    const size_t n = (size_t)(c->n_rows * c->n_cols);
    const uint8_t *codes = t->codes ? c->codes : NULL;
    const double *x64 = t->codes || !t->view->is_double ? NULL : c->values64;
    const bool wants_lines = p->lines.clean && (p->visit == 0 || t->row_peak);
    (void)ctx;
    if (t->way == SC_WAY_FEW && p->visit == 0)
        keep_few(t, p, at, codes, c->values, x64, n);
    else if (t->way == SC_WAY_CODES && p->visit == 0 && !wants_lines)
        count_codes(t, p, codes, n, NULL);
    else if (t->way == SC_WAY_FLOATS && p->visit == 0)
        first_of_floats(t, p, at, c->values, n);
    else if (t->way == SC_WAY_FLOATS && t->finer)
        again_of_floats(t, p, at, c->values, n);
    else if (t->way == SC_WAY_DOUBLES && x64 && p->visit == 0)
        first_of_doubles(p, at, x64, n);
    else if (t->way == SC_WAY_DOUBLES && x64)
        again_of_doubles(t, p, x64, n);
    if (wants_lines && (codes || x64))
        lines_of(t, p, at, codes, x64, n);
    else if (c->values)
        lines_of_floats(t, p, at, c->values, n, wants_lines);
    if (t->way == SC_WAY_CODES && p->visit == 0)
        note_codes(t, p, at, codes, n);
}

/* Of most tensors nearly all kinds of codes do not occur: of these no page is ever touched. */
static void merge_counts(struct sc_elements *t, uint32_t *from)
{
    for (size_t i = 0; i < t->n_counts; i += SC_COUNTS_TOGETHER) {
        uint32_t any = 0;
        for (size_t k = 0; k < SC_COUNTS_TOGETHER; k++)
            any |= from[i + k];
        if (any == 0)
            continue;
        for (size_t k = 0; k < SC_COUNTS_TOGETHER; k++)
            t->count[i + k] += from[i + k];
        memset(from + i, 0, SC_COUNTS_TOGETHER * sizeof *from);
        t->counted[i / SC_COUNTS_TOGETHER] = true;
    }
}

static void merge(void *ctx, void *total, void *part)
{
    struct sc_elements *t = total;
    struct part *p = part;
    (void)ctx;
    merge_tally(&t->tally, &p->tally);
    if (p->visit == 0 && p->count)
        merge_counts(t, p->count);
    const size_t n_few = (size_t)SC_MIN(p->n_few, t->view->count - t->n_few);
    if (n_few)
        memcpy(t->few + t->n_few, p->few, n_few * sizeof *t->few);
    t->n_few += n_few;
    flush_picked(t, p);
    sc_lines_merge(&t->lines, &p->lines);
    sc_lines_reset(&p->lines);
}

/* ----------------------------------------------------------------------------------- visits --- */
/* Rows that are longer than a unit. */
static bool want_second(struct sc_elements *t)
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
    struct sc_elements *t = total;
    (void)ctx;
    t->visit = visit + 1;
    bool more = false;
    if (visit == 0) {
        sc_elements_gather(t);
        const bool second = want_second(t);
        more = t->finer || second;
    }
    if (t->finer && visit == 1)
        sc_elements_gather_central(t);
    if (t->finer && visit > 0)
        sc_finer_close(t->finer);
    if (t->finer && !t->no_memory) {
        t->order.finer = t->finer;
        sc_figures_ask(&t->gathered);
        more |= sc_finer_open(t->finer);
        t->no_memory = sc_finer_failed(t->finer);
    }
    return more && !t->no_memory;
}

static int end(void *ctx, const struct sc_item *item, const struct sc_values *v, void *total,
               struct sc_error *e)
{
    struct sc_elements *t = total;
    (void)v;
    if (t->visit == 0) /* nothing was read */
        sc_elements_gather(t);
    int status = t->no_memory ? sc_fail_memory(e) : 0;
    if (status == 0) {
        sc_elements_find_holds(t);
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

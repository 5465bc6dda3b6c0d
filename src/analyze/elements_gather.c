/* SPDX-License-Identifier: Apache-2.0 */
/* elements_gather: from the counts and sums of all segments to an order of magnitudes, and what is
 * known beside it. */
#include "analyze/elements.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------ counts to an order ---
 */
/* A bit pattern, what it means, and how often it occurs. */
struct counted {
    uint64_t raw, n;
    double value;
};
struct pattern_list {
    struct counted *p;
    size_t n;
};

/* Codes are counted, which costs less than to sort them. Of the table only those stretches are
 * used, and cleared, in which some code lies. */
static bool patterns_of_few_codes(const struct sc_elements *t, struct pattern_list *out)
{
    bool used[SC_TOPS / SC_COUNTS_TOGETHER] = {false};
    _Static_assert(SC_FEW_VALUES <= UINT16_MAX, "counts have 16 bits");
    uint16_t *count = sc_alloc(SC_TOPS * sizeof *count);
    out->p = sc_alloc((t->n_few + 1) * sizeof *out->p);
    const bool ok = count && out->p;
    for (size_t i = 0; ok && i < t->n_few; i++)
        used[t->few[i] / SC_COUNTS_TOGETHER] = true;
    for (size_t i = 0; ok && i < SC_COUNT(used); i++)
        if (used[i])
            memset(count + i * SC_COUNTS_TOGETHER, 0, SC_COUNTS_TOGETHER * sizeof *count);
    for (size_t i = 0; ok && i < t->n_few; i++)
        count[t->few[i]]++;
    for (size_t i = 0; ok && i < SC_COUNT(used); i++)
        for (size_t k = 0; used[i] && k < SC_COUNTS_TOGETHER; k++) { /* without branches */
            const size_t code = i * SC_COUNTS_TOGETHER + k;
            out->p[out->n].raw = code;
            out->p[out->n].n = count[code];
            out->n += count[code] > 0;
        }
    free(count);
    return ok;
}

static bool patterns_of_few(struct sc_elements *t, struct pattern_list *out)
{
    uint64_t *spare = sc_alloc((t->n_few + 1) * sizeof *spare);
    out->p = sc_alloc((t->n_few + 1) * sizeof *out->p);
    if (!spare || !out->p) {
        free(spare);
        return false;
    }
    if (t->n_few)
        sc_sort_bits(t->few, spare, t->n_few, 0);
    free(spare);
    for (size_t i = 0; i < t->n_few; i++)
        if (out->n && out->p[out->n - 1].raw == t->few[i])
            out->p[out->n - 1].n++;
        else
            out->p[out->n++] = (struct counted){.raw = t->few[i], .n = 1};
    return true;
}

static bool patterns_of_counts(struct sc_elements *t, struct pattern_list *out)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_counts / SC_COUNTS_TOGETHER; i++)
        n += t->counted[i] ? SC_COUNTS_TOGETHER : 0;
    out->p = sc_alloc((n + 1) * sizeof *out->p);
    for (size_t first = 0; out->p && first < t->n_counts; first += SC_COUNTS_TOGETHER)
        for (size_t k = 0; t->counted[first / SC_COUNTS_TOGETHER] && k < SC_COUNTS_TOGETHER; k++)
            if (t->count[first + k])
                out->p[out->n++] = (struct counted){.raw = first + k, .n = t->count[first + k]};
    return out->p != NULL;
}

static double raw_value(const struct sc_elements *t, uint64_t raw)
{
    double value;
    if (t->view->is_double) {
        memcpy(&value, &raw, sizeof value);
        return value;
    }
    const uint32_t bits = (uint32_t)(t->way == SC_WAY_FLOATS ? raw << 16 : raw);
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static void find_values(const struct sc_elements *t, struct pattern_list *list)
{
    enum { BLOCK = 256 };
    uint8_t codes[2 * BLOCK];
    float x[BLOCK];
    for (size_t i = 0; !t->codes && i < list->n; i++)
        list->p[i].value = raw_value(t, list->p[i].raw);
    for (size_t first = 0; t->codes && first < list->n; first += BLOCK) {
        const size_t n = SC_MIN(list->n - first, (size_t)BLOCK);
        for (size_t i = 0; i < n; i++) {
            const uint64_t raw = list->p[first + i].raw;
            codes[t->code_bytes * i] = (uint8_t)raw;
            if (t->code_bytes == 2)
                codes[2 * i + 1] = (uint8_t)(raw >> 8);
        }
        t->decode(codes, x, n);
        for (size_t i = 0; i < n; i++)
            list->p[first + i].value = (double)x[i];
    }
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
static void split_sides(const struct pattern_list *list, struct side side[SC_SIDES])
{
    for (size_t i = 0; i < list->n; i++) {
        const double x = list->p[i].value;
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

/* Without branches: which sign comes next is anybody's guess. Different codes may mean the same. */
static void merge_sides(const struct side side[SC_SIDES], struct sc_order *o)
{
    size_t at[SC_SIDES] = {0, 0};
    uint64_t below[SC_SIDES] = {0, 0};
    double last = -1;
    while (at[0] < side[0].n || at[1] < side[1].n) {
        const struct magnitude none = {INFINITY, 0};
        const struct magnitude *p = at[0] < side[0].n ? &side[0].p[at[0]] : &none;
        const struct magnitude *m = at[1] < side[1].n ? &side[1].p[at[1]] : &none;
        const double least = SC_MIN(p->value, m->value);
        const size_t i = o->n - (least == last),
                     take[SC_SIDES] = {p->value == least, m->value == least};
        below[SC_POSITIVE] += take[0] * p->n;
        below[SC_NEGATIVE] += take[1] * m->n;
        at[0] += take[0];
        at[1] += take[1];
        o->low[i] = last = least;
        o->below[SC_POSITIVE][i + 1] = below[SC_POSITIVE];
        o->below[SC_NEGATIVE][i + 1] = below[SC_NEGATIVE];
        o->n = i + 1;
    }
}

static bool order_of_patterns(struct sc_elements *t, const struct pattern_list *list)
{
    struct magnitude *both = sc_alloc((2 * list->n + 1) * sizeof *both);
    const bool ok = both && make_order(&t->order, list->n, false);
    if (ok) {
        struct side side[SC_SIDES] = {{both, 0}, {both + list->n, 0}};
        split_sides(list, side);
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

static bool occurs(const struct sc_elements *t, uint32_t i)
{
    return t->counted[i / SC_COUNTS_TOGETHER] && t->count[i];
}

static bool order_of_tops(struct sc_elements *t)
{
    const bool wide = t->view->is_double;
    const uint32_t end = wide ? 0x7ff0 : 0x7f80;
    struct sc_order *o = &t->order;
    size_t n = 0;
    for (uint32_t i = 0; i < end; i++)
        n += occurs(t, i) || occurs(t, i | 0x8000);
    if (!make_order(o, n, true))
        return false;
    o->wide = wide;
    o->finer = t->finer;
    for (uint32_t i = 0; i < end; i++)
        if (occurs(t, i) || occurs(t, i | 0x8000)) {
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

void sc_elements_find_holds(struct sc_elements *t)
{
    struct sc_gathered *g = &t->gathered;
    const struct sc_codec *codec = sc_codec(t->view->codec);
    const bool plain = t->view->code_bytes || t->view->is_double;
    if (!plain || codec->kind != SC_KIND_FLOAT || !(g->abs_max > 0))
        return;
    for (size_t i = 0; i < SC_COUNT(narrow); i++) {
        if (narrow[i].bits >= sc_codec_bits(t->view->codec))
            break;
        const bool is_half = narrow[i].mantissa == 10;
        if (t->order.high ? is_half && t->way == SC_WAY_FLOATS && !t->tally.not_half
                          : order_fits(&t->order, &narrow[i])) {
            snprintf(g->holds, sizeof g->holds, "%s", narrow[i].name);
            return;
        }
    }
}

/* ------------------------------------------------------------------------ what they amount to ---
 */
static double entropy_of(const struct pattern_list *list)
{
    enum { KNOWN = 64 };
    uint64_t all = 0;
    double sum = 0, terms[KNOWN] = {0}; /* of small counts, which come again and again */
    for (size_t i = 0; i < list->n; i++)
        all += list->p[i].n;
    for (size_t i = 0; i < list->n; i++) {
        const uint64_t n = list->p[i].n;
        double term = n < KNOWN ? terms[n] : 0;
        if (term == 0) {
            const double share = (double)n / (double)all;
            term = share * log2(share);
            if (n < KNOWN)
                terms[n] = term;
        }
        sum -= term;
    }
    return all ? sum + 0.0 : NAN;
}

/* Smallest normal magnitude of the stored type; 0: it has no subnormal values. */
static double smallest_normal(const struct sc_elements *t)
{
    if (!t->view->code_bytes && !t->view->is_double)
        return 0x1p-126; /* decoded to floats */
    return sc_codec_least_normal(t->view->codec);
}

static void counts_of_patterns(struct sc_elements *t, const struct pattern_list *list)
{
    struct sc_gathered *g = &t->gathered;
    const double normal = smallest_normal(t);
    for (size_t i = 0; i < list->n; i++) {
        const double x = list->p[i].value;
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

static void gather_exact(struct sc_elements *t)
{
    struct pattern_list list = {NULL, 0};
    const bool found = t->way != SC_WAY_FEW ? patterns_of_counts(t, &list)
                       : t->codes           ? patterns_of_few_codes(t, &list)
                                            : patterns_of_few(t, &list);
    if (found)
        find_values(t, &list);
    if (found && order_of_patterns(t, &list)) {
        counts_of_patterns(t, &list);
        sc_figures_sums(&t->gathered);
    } else
        t->no_memory = true;
    free(list.p);
}

static void gather_coarse(struct sc_elements *t)
{
    struct sc_gathered *g = &t->gathered;
    const struct sc_tally *y = &t->tally;
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
    g->sum = sc_sum_total(y->sum);
    g->sum_abs = sc_sum_total(y->abs);
    g->min = y->min;
    g->max = y->max;
    g->abs_max = fmax(fabs(g->min), fabs(g->max));
    g->unit = ldexp(1, g->abs_max > 0 ? ilogb(g->abs_max) : 0);
    g->l2_norm = sqrt(sc_sum_total(y->square));
    /* Near enough to tell where the thresholds of the next visit will lie. */
    const double n = (double)sc_order_count(&t->order);
    g->central_square =
        (sc_sum_total(y->square) - n * (g->sum / n) * (g->sum / n)) / (g->unit * g->unit);
}

/* The sums of the second visit. */
void sc_elements_gather_central(struct sc_elements *t)
{
    struct sc_gathered *g = &t->gathered;
    const struct sc_tally *y = &t->tally;
    const double n = (double)sc_order_count(&t->order), mean = g->sum / n / g->unit;
    /* Those of doubles were taken in units. */
    const double unit = t->way == SC_WAY_FLOATS ? g->unit : 1,
                 from = t->way == SC_WAY_FLOATS ? 1 : g->unit;
    g->central_square = sc_sum_total(y->central_square) / (unit * unit);
    g->central_third = sc_sum_total(y->central_third) / (unit * unit * unit);
    g->central_fourth = sc_sum_total(y->central_fourth) / (unit * unit * unit * unit);
    g->per_tensor = y->per_tensor;
    g->per_tensor.square *= from * from;
    g->per_tensor.abs *= from;
    g->per_tensor.cross *= from * from;
    g->per_tensor.most *= from;
    if (t->way == SC_WAY_DOUBLES)
        g->l2_norm = g->unit * sqrt(g->central_square + n * mean * mean);
}

void sc_elements_gather(struct sc_elements *t)
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
        t->way == SC_WAY_DOUBLES || (t->way == SC_WAY_FLOATS && (t->tally.any & 0xffff) != 0);
    if (coarse)
        gather_coarse(t);
    else
        gather_exact(t);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* recipe: quantising one block to a grid of its own. */
#include "codec/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Dettmers et al., arXiv 2305.14314, and the same construction for 3 bits. */
static const double nf4[16] = {-1,
                               -0.6961928009986877,
                               -0.5250730514526367,
                               -0.39491748809814453,
                               -0.28444138169288635,
                               -0.18477343022823334,
                               -0.09105003625154495,
                               0,
                               0.07958029955625534,
                               0.16093020141124725,
                               0.24611230194568634,
                               0.33791524171829224,
                               0.44070982933044434,
                               0.5626170039176941,
                               0.7229568362236023,
                               1};
static const double nf3[8] = {-1,
                              -0.5350227355957031,
                              -0.2469314038753510,
                              0,
                              0.1833375245332718,
                              0.3819939494132996,
                              0.6229856610298157,
                              1};

/* --------------------------------------------------------------------------------- spelling --- */

const char *const sc_recipe_grammar =
    "rtn1 to rtn8, with settings behind a colon: sym, shift, nf "
    "(3 or 4 bits), bare (for it nothing is held out by name), block=row, "
    "col, tensor, ROWSxCOLS or flat:N, clip= and hold= with abs:X, share:X, "
    "std:X or iqr:X (tensor- in front: over "
    "the whole matrix), clip=mse, restore=X";

bool sc_recipe_is(struct sc_str text)
{
    return text.n > 3 && sc_str_eq_nocase(sc_str(text.p, 3), SC_STR("rtn"));
}

static bool read_number(struct sc_str s, double *out)
{
    char text[40], *end;

    if (!s.n || s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *out = strtod(text, &end);
    return !*end && isfinite(*out) && *out >= 0;
}

static bool read_size(struct sc_str s, uint32_t *out)
{
    uint64_t n;

    if (!sc_str_u64(s, &n) || n == 0 || n > UINT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool read_block(struct sc_str s, struct sc_recipe *r)
{
    static const char *const words[] = {"row", "col", "tensor"};

    for (size_t i = 0; i < SC_COUNT(words); i++)
        if (sc_str_eq_nocase(s, sc_strz(words[i]))) {
            r->shape = (uint8_t)i;
            return true;
        }
    if (sc_str_starts(s, "flat:")) {
        r->shape = SC_RECIPE_FLAT;
        return read_size(sc_str(s.p + 5, s.n - 5), &r->width);
    }
    const char *x = memchr(s.p, 'x', s.n);
    r->shape = SC_RECIPE_TILE;
    return x && read_size(sc_str(s.p, (size_t)(x - s.p)), &r->height) &&
           read_size(sc_str(x + 1, s.n - (size_t)(x - s.p) - 1), &r->width);
}

static bool read_cut(struct sc_str s, bool clip, struct sc_recipe_cut *c)
{
    static const struct {
        const char *word;
        uint8_t how;
    } words[] = {{"abs:", SC_LIMIT_ABS},
                 {"share:", SC_LIMIT_SHARE},
                 {"std:", SC_LIMIT_STD},
                 {"iqr:", SC_LIMIT_IQR}};

    *c = (struct sc_recipe_cut){0};
    if (sc_str_is(s, "none"))
        return true;
    if (clip && sc_str_is(s, "mse")) {
        c->how = SC_LIMIT_MSE;
        return true;
    }
    if (sc_str_starts(s, "tensor-")) {
        c->whole = true;
        s = sc_str(s.p + 7, s.n - 7);
    }
    for (size_t i = 0; i < SC_COUNT(words); i++) {
        const size_t n = strlen(words[i].word);
        if (!sc_str_starts(s, words[i].word))
            continue;
        c->how = words[i].how;
        return read_number(sc_str(s.p + n, s.n - n), &c->at) &&
               (c->how != SC_LIMIT_SHARE || c->at < 1);
    }
    return false;
}

static bool read_setting(struct sc_str s, struct sc_recipe *r)
{
    if (sc_str_is(s, "sym"))
        return r->symmetric = true;
    if (sc_str_is(s, "shift"))
        return r->shift = true;
    if (sc_str_is(s, "nf"))
        return r->normal = true;
    if (sc_str_is(s, "bare"))
        return r->bare = true;
    if (sc_str_starts(s, "block="))
        return read_block(sc_str(s.p + 6, s.n - 6), r);
    if (sc_str_starts(s, "clip="))
        return read_cut(sc_str(s.p + 5, s.n - 5), true, &r->clip);
    if (sc_str_starts(s, "hold="))
        return read_cut(sc_str(s.p + 5, s.n - 5), false, &r->hold);
    return sc_str_starts(s, "restore=") && read_number(sc_str(s.p + 8, s.n - 8), &r->restore);
}

static const char *wrong(const struct sc_recipe *r)
{
    if (r->symmetric + r->shift + r->normal > 1)
        return "sym, shift and nf are three kinds of levels: one of them";
    if (r->symmetric && r->bits == 1)
        return "sym has levels beside 0, and one bit has none";
    if (r->normal && r->bits != 3 && r->bits != 4)
        return "nf has 3 or 4 bits";
    return NULL;
}

int sc_recipe_parse(struct sc_str text, struct sc_recipe *out, struct sc_error *e)
{
    struct sc_quoted q, p;
    struct sc_str rest =
        sc_str(text.p + SC_MIN(text.n, (size_t)4), text.n - SC_MIN(text.n, (size_t)4));

    *out = (struct sc_recipe){.restore = 1};
    if (!sc_recipe_is(text) || text.p[3] < '1' || text.p[3] > '8' || (rest.n && *rest.p != ':'))
        return sc_fail(e, SCRUPLE_EUSAGE, "\"%s\" is no recipe: %s", sc_quote(&q, text),
                       sc_recipe_grammar);
    if (text.n >= sizeof out->name)
        return sc_fail(e, SCRUPLE_EUSAGE, "\"%s\": a recipe has at most %zu letters",
                       sc_quote(&q, text), sizeof out->name - 1);
    for (size_t i = 0; i < text.n; i++)
        out->name[i] = (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] + 32 : text.p[i]);
    out->bits = (uint8_t)(text.p[3] - '0');
    rest = sc_str(out->name + 4, rest.n);
    while (rest.n) {
        rest = sc_str(rest.p + 1, rest.n - 1);
        const char *comma = memchr(rest.p, ',', rest.n);
        const struct sc_str one = sc_str(rest.p, comma ? (size_t)(comma - rest.p) : rest.n);
        if (!read_setting(one, out))
            return sc_fail(e, SCRUPLE_EUSAGE, "\"%s\": there is no setting \"%s\": %s",
                           sc_quote(&q, text), sc_quote(&p, one), sc_recipe_grammar);
        rest = sc_str(rest.p + one.n, rest.n - one.n);
    }
    const char *why = wrong(out);
    return why ? sc_fail(e, SCRUPLE_EUSAGE, "\"%s\": %s", sc_quote(&q, text), why) : 0;
}

/* ----------------------------------------------------------------------------------- orders --- */

enum { BINS = 1 << 16 };

/* The k-th smallest (from 0) of n sizes: their bits stand in the same order. In two steps of 16
 * bits, so that a long row needs no copy as doubles. */
static float select_size(const float *v, size_t n, size_t k, uint32_t *bins)
{
    uint32_t high = 0;

    memset(bins, 0, BINS * sizeof *bins);
    for (size_t i = 0; i < n; i++)
        bins[sc_bits_of(v[i]) >> 16]++;
    while (k >= bins[high])
        k -= bins[high++];
    memset(bins, 0, BINS * sizeof *bins);
    for (size_t i = 0; i < n; i++)
        if (sc_bits_of(v[i]) >> 16 == high)
            bins[sc_bits_of(v[i]) & 0xffff]++;
    uint32_t low = 0;
    while (k >= bins[low])
        k -= bins[low++];
    return sc_float_of(high << 16 | low);
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* Which of n sizes stand at some ranks. v may be put into another order. */
static void select_sizes(float *v, size_t n, const size_t *ranks, size_t n_ranks, float *out)
{
    uint32_t *bins = n > 4096 && n < UINT32_MAX ? sc_alloc(BINS * sizeof *bins) : NULL;

    if (!bins)
        sc_sort(v, n, sizeof *v, ascending);
    for (size_t i = 0; i < n_ranks; i++)
        out[i] = bins ? select_size(v, n, ranks[i], bins) : v[ranks[i]];
    free(bins);
}

/* ----------------------------------------------------------------------------------- limits --- */

/* Sizes of those that are finite and not held out. */
static size_t take_sizes(const float *x, const uint8_t *held, size_t n, float *out)
{
    size_t m = 0;

    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i]) && !(held && held[i]))
            out[m++] = fabsf(x[i]);
    return m;
}

static double limit_std(const float *v, size_t n, double at)
{
    double sum = 0, square = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)v[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        square += ((double)v[i] - mean) * ((double)v[i] - mean);
    return mean + at * (n > 1 ? sqrt(square / (double)(n - 1)) : 0);
}

static double limit_iqr(float *v, size_t n, double at)
{
    double quartile[2];

    for (int i = 0; i < 2; i++) {
        const double place = (i ? 0.75 : 0.25) * (double)(n - 1);
        const size_t below = (size_t)place;
        const size_t ranks[2] = {below, SC_MIN(below + 1, n - 1)};
        float two[2];
        select_sizes(v, n, ranks, 2, two);
        quartile[i] = (double)two[0] + ((double)two[1] - (double)two[0]) * (place - (double)below);
    }
    return quartile[1] + at * (quartile[1] - quartile[0]);
}

/* How many are above; and the largest of the others. */
static size_t limit_share(float *v, size_t n, double at, float *limit)
{
    const size_t above = SC_MIN((size_t)floor(at * (double)n), n - 1);
    const size_t rank = n - 1 - above;

    select_sizes(v, n, &rank, 1, limit);
    return above;
}

double sc_recipe_limit(const struct sc_recipe_cut *c, const float *x, const uint8_t *held, size_t n,
                       float *scratch)
{
    float size = 0;

    if (c->how == SC_LIMIT_NONE || c->how == SC_LIMIT_MSE)
        return INFINITY;
    if (c->how == SC_LIMIT_ABS)
        return c->at;
    const size_t m = take_sizes(x, held, n, scratch);
    if (!m)
        return INFINITY;
    if (c->how == SC_LIMIT_STD)
        return limit_std(scratch, m, c->at);
    if (c->how == SC_LIMIT_IQR)
        return limit_iqr(scratch, m, c->at);
    return limit_share(scratch, m, c->at, &size) ? (double)size : INFINITY;
}

/* The floor(at n) largest; of those that are as large as the last the first. */
static size_t hold_share(double at, const float *x, uint8_t *held, size_t n, float *scratch)
{
    float limit = 0;
    const size_t m = take_sizes(x, held, n, scratch);
    const size_t want = m ? (size_t)floor(at * (double)m) : 0;
    size_t done = 0;

    if (!want)
        return 0;
    const size_t rank = m - want; /* the smallest that may be held */
    select_sizes(scratch, m, &rank, 1, &limit);
    for (int equals = 0; equals < 2; equals++)
        for (size_t i = 0; i < n && done < want; i++) {
            const float size = fabsf(x[i]);
            if (held[i] || !isfinite(size) || !(equals ? size >= limit : size > limit))
                continue;
            held[i] = 1;
            done++;
        }
    return done;
}

size_t sc_recipe_hold(const struct sc_recipe_cut *c, const float *x, uint8_t *held, size_t n,
                      float *scratch)
{
    size_t done = 0;

    if (c->how == SC_LIMIT_NONE)
        return 0;
    if (c->how == SC_LIMIT_SHARE)
        return hold_share(c->at, x, held, n, scratch);
    const double limit = sc_recipe_limit(c, x, held, n, scratch);
    for (size_t i = 0; i < n; i++)
        if (!held[i] && isfinite(x[i]) && fabs((double)x[i]) > limit) {
            held[i] = 1;
            done++;
        }
    return done;
}

/* ----------------------------------------------------------------------------------- levels --- */

struct grid {
    const struct sc_recipe *r;
    double limit, least, most, peak; /* of what counts, cut off */
    bool flat;                       /* one value */
};

static struct grid look(const struct sc_recipe *r, double limit, const float *x,
                        const uint8_t *held, size_t n)
{
    struct grid g = {r, limit, INFINITY, -INFINITY, 0, false};

    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]) || (held && held[i]))
            continue;
        const double v = SC_MAX(-limit, SC_MIN(limit, (double)x[i]));
        g.least = SC_MIN(g.least, v);
        g.most = SC_MAX(g.most, v);
    }
    g.peak = SC_MAX(fabs(g.least), fabs(g.most));
    g.flat = !(g.most > g.least);
    return g;
}

static double nearest_level(double x, const double *levels, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (fabs(x - levels[i]) < fabs(x - levels[best]))
            best = i;
    return levels[best];
}

static double to_level(const struct grid *g, double v)
{
    const struct sc_recipe *r = g->r;
    const double top = (double)((1U << r->bits) - 1), range = g->most - g->least;

    v = SC_MAX(-g->limit, SC_MIN(g->limit, v));
    if (g->flat)
        return v;
    if (r->symmetric) {
        const double half = (double)(1U << (r->bits - 1)), s = (half - 1) / g->peak;
        return SC_MAX(-half, SC_MIN(half - 1, rint(v * s))) / s;
    }
    if (r->normal) {
        const double x = 2 * (v - g->least) / range - 1;
        return (nearest_level(x, r->bits == 3 ? nf3 : nf4, (size_t)1 << r->bits) + 1) / 2 * range +
               g->least;
    }
    if (r->shift) {
        const double s = (top + 1 - 0.01) / range;
        return (SC_MAX(0, SC_MIN(top, rint((v - g->least) * s - 0.49))) + 0.49) / s + g->least;
    }
    const double s = top / range;
    return SC_MAX(0, SC_MIN(top, rint((v - g->least) * s))) / s + g->least;
}

/* The cut with the least squared error. */
static double search(const struct sc_recipe *r, const float *x, const uint8_t *held, size_t n)
{
    const struct grid all = look(r, INFINITY, x, held, n);
    double best = INFINITY, least = INFINITY;

    for (int percent = 100; percent >= 30 && !all.flat; percent--) {
        const double limit = percent == 100 ? all.peak : all.peak * percent / 100;
        const struct grid g = look(r, limit, x, held, n);
        double sum = 0;
        for (size_t i = 0; i < n && sum < least; i++) {
            if (!isfinite(x[i]) || (held && held[i]))
                continue;
            const double d = (double)(float)to_level(&g, (double)x[i]) - (double)x[i];
            sum += d * d;
        }
        if (sum < least) {
            least = sum;
            best = limit;
        }
    }
    return best;
}

size_t sc_recipe_round(const struct sc_recipe *r, double limit, const float *x, const uint8_t *held,
                       size_t n, float *y)
{
    size_t cut = 0;

    if (r->clip.how == SC_LIMIT_MSE)
        limit = search(r, x, held, n);
    const struct grid g = look(r, limit, x, held, n);
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x[i];
        if (held && held[i]) {
            y[i] = (float)(v * r->restore);
        } else if (!isfinite(v)) {
            y[i] = x[i];
        } else {
            cut += fabs(v) > limit;
            y[i] = (float)to_level(&g, v);
        }
    }
    return cut;
}

uint64_t sc_recipe_bits(const struct sc_recipe *r, uint64_t n)
{
    return n * r->bits + (r->symmetric ? 32 : 64);
}

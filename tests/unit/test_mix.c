/* SPDX-License-Identifier: Apache-2.0 */
/* Mixes of formats: optimal ones against all assignments of small tables and against the greedy
 * ways on large ones; these against slow ones that sum everything up again at every step. */
#include "test.h"

#include "oom.h"

#include <stdlib.h>

#include "analyze/mix.h"
#include "mix_tables.h"

static const enum sc_mix_metric all_metrics[] = {SC_MIX_PCC, SC_MIX_MAE, SC_MIX_ATOL, SC_MIX_MSE,
                                                 SC_MIX_SQNR};

/* --------------------------------------------------------------------------- totals, order --- */
TEST(totals_are_those_of_the_values)
{
    enum { ROWS = 50, COLS = 70 };
    static const int formats[] = {1, 2};
    struct sc_cells *c = made_tensor(MADE_ROWS, ROWS, COLS, 3, formats, 2);
    int8_t format[6] = {0, 1, -1, 1, 0, 1};
    long double x = 0, xx = 0, y = 0, yy = 0, xy = 0, dd = 0, abs_d = 0, n = 0;
    double most = 0;
    struct sc_mix_totals t;

    REQUIRE(c->n == 6);
    c->once[1] = 7;
    for (size_t i = 0; i < c->n; i++) { /* x y of a cell follows from its other sums */
        const struct sc_cell_values *v = &c->values[i];
        const struct sc_cell_error as_it_is = {v->x, v->xx, 0, 0, 0};
        const struct sc_cell_error *f =
            format[i] < 0 ? &as_it_is : sc_cell_error(c, i, (size_t)format[i]);
        n += v->n, x += v->x, xx += v->xx, y += f->y, yy += f->yy, dd += f->dd, abs_d += f->abs;
        xy += ((long double)v->xx + f->yy - f->dd) / 2;
        most = fmax(most, f->most);
    }
    sc_mix_sum(c, format, &t);
    const long double pcc = (xy - x * y / n) / sqrtl((xx - x * x / n) * (yy - y * y / n));
    CHECK(n == ROWS * COLS);
    CHECK_NEAR(t.pcc, (double)pcc, 1e-14);
    CHECK_NEAR(t.one_minus_pcc / (double)(1 - pcc), 1, 1e-11);
    CHECK_NEAR(t.cosine, (double)(xy / sqrtl(xx * yy)), 1e-14);
    CHECK_NEAR(t.mae, (double)(abs_d / n), 1e-15);
    CHECK_NEAR(t.mse, (double)(dd / n), 1e-15);
    CHECK_NEAR(t.sqnr_db, (double)(10 * log10l(xx / dd)), 1e-12);
    CHECK(t.atol == most);
    CHECK_U64(t.bytes, 2 * 1088 + 3 * 576 + 7);
    CHECK_U64(t.cells[0], 2);
    CHECK_U64(t.cells[1], 3);
    CHECK_U64(t.left, 1);
    made_free(c);
}

TEST(nothing_and_no_error_and_no_variance)
{
    struct sc_cells *c = made_empty(2, 1);
    struct sc_mix_totals t;
    const struct sc_mix_goal g = {SC_MIX_MAE, 1};

    c->bytes[0][0] = 5;
    sc_mix_sum(c, (const int8_t[]){0, 0}, &t); /* no value at all */
    CHECK(t.pcc == 1 && t.mae == 0 && t.atol == 0 && t.sqnr_db == (double)INFINITY);
    CHECK(t.cosine == 1);
    c->values[0] = (struct sc_cell_values){3, 9, 1, 0};
    c->values[1] = (struct sc_cell_values){3, 9, 1, 0};
    c->errors[0] = c->errors[1] = (struct sc_cell_error){3, 9, 0, 0, 0};
    sc_mix_sum(c, (const int8_t[]){0, 0}, &t);
    CHECK(t.pcc == 1 && t.one_minus_pcc == 0 && t.cosine == 1);
    c->errors[0] = c->errors[1] = (struct sc_cell_error){2, 4, 1, 1, 1};
    sc_mix_sum(c, (const int8_t[]){0, 0}, &t);
    CHECK(t.pcc == 0 && t.mse == 1);
    CHECK_NEAR(t.cosine, 1, 1e-15);
    CHECK(!sc_mix_good(&g, (double)NAN) && sc_mix_good(&g, 1) && !sc_mix_good(&g, 1.1));
    made_free(c);
}

TEST(order_is_by_bytes_and_then_as_given)
{
    struct sc_cells *c = made_empty(0, 4);
    static const uint64_t bytes[] = {576, 1088, 320, 576};
    uint8_t order[16];

    for (int f = 0; f < 4; f++)
        c->bytes[f][0] = bytes[f];
    sc_mix_order(c, order);
    CHECK_BITS(order, ((uint8_t[]){2, 0, 3, 1}), 4);
    made_free(c);
}

/* ------------------------------------------------------------------------- small tables --- */
/* n cells of a few values; formats are coarser and coarser grids with random sizes. */
static struct sc_cells *small(uint64_t seed, uint64_t n, size_t n_formats, bool once)
{
    struct sc_cells *c = made_empty(n, n_formats);
    uint64_t state = sc_random(77, seed);
    double step[16];

    for (size_t f = 0; f < n_formats; f++) {
        step[f] = 0.02 * exp(3 * made_uniform(&state));
        for (int part = 0; part < 4; part++)
            c->bytes[f][part] = (uint64_t)(20 / step[f]) + (uint64_t)(made_uniform(&state) * 40);
        c->once[f] = once && made_uniform(&state) < 0.5 ? 1 + sc_random_below(seed, f, 60) : 0;
    }
    for (uint64_t i = 0; i < n; i++) {
        const double scale = exp(made_normal(&state));
        c->values[i].n = 1 + (uint32_t)sc_random_below(seed, i, 12);
        c->values[i].part = (uint32_t)sc_random_below(seed, i + 100, 4);
        for (uint32_t k = 0; k < c->values[i].n; k++) {
            const double x = scale * made_normal(&state);
            c->values[i].x += x, c->values[i].xx += x * x;
            for (size_t f = 0; f < n_formats; f++)
                made_add(&c->errors[i * n_formats + f], x,
                         step[f] * rint(x / step[f] + 0.3 * made_normal(&state)));
        }
    }
    return c;
}

/* Sums of several tables as one, and of all their bytes. */
static void total(struct sc_cells *const *c, size_t n, int8_t *const *format,
                  struct sc_mix_totals *out)
{
    uint64_t cells = 0, at = 0, bytes = 0;
    for (size_t i = 0; i < n; i++)
        cells += c[i]->n;
    struct sc_cells *all = made_empty(cells, c[0]->n_formats);
    int8_t *of = malloc(cells + 1);
    for (size_t i = 0; i < n; i++) {
        struct sc_mix_totals t;
        sc_mix_sum(c[i], format[i], &t);
        bytes += t.bytes;
        memcpy(all->values + at, c[i]->values, c[i]->n * sizeof *all->values);
        memcpy(all->errors + at * all->n_formats, c[i]->errors,
               c[i]->n * all->n_formats * sizeof *all->errors);
        memcpy(of + at, format[i], c[i]->n);
        at += c[i]->n;
    }
    sc_mix_sum(all, of, out);
    out->bytes = bytes;
    free(of);
    made_free(all);
}

static bool next_assignment(struct sc_cells *const *c, size_t n, int8_t *const *format)
{
    for (size_t t = 0; t < n; t++)
        for (uint64_t i = 0; i < c[t]->n; i++) {
            if (++format[t][i] < (int8_t)c[t]->n_formats)
                return true;
            format[t][i] = 0;
        }
    return false;
}

struct brute {
    uint64_t fewest; /* of those that are good; UINT64_MAX: there is none */
    double best;     /* of all, or of all within the budget */
    bool within;
};

static bool better(enum sc_mix_metric m, double a, double b)
{
    return m == SC_MIX_PCC || m == SC_MIX_SQNR ? a > b : a < b;
}

static struct brute all_of(struct sc_cells *const *c, size_t n, const struct sc_mix_goal *g,
                           uint64_t budget)
{
    struct brute b = {UINT64_MAX, 0, false};
    int8_t *format[4];
    for (size_t t = 0; t < n; t++)
        format[t] = calloc(c[t]->n + 1, 1);
    do {
        struct sc_mix_totals t;
        total(c, n, format, &t);
        const double value = sc_mix_value(&t, g->metric);
        if (sc_mix_good(g, value) && t.bytes < b.fewest)
            b.fewest = t.bytes;
        if (t.bytes <= budget && (!b.within || better(g->metric, value, b.best))) {
            b.best = value;
            b.within = true;
        }
    } while (next_assignment(c, n, format));
    for (size_t t = 0; t < n; t++)
        free(format[t]);
    return b;
}

/* What one cell can differ by, with what its format adds once. */
static uint64_t one_cell(const struct sc_cells *c)
{
    uint64_t most = 0;
    for (size_t f = 0; f < c->n_formats; f++)
        for (int part = 0; part < 4; part++)
            most = SC_MAX(most, c->bytes[f][part] + c->once[f]);
    return most;
}

/* A goal that some random assignment just reaches, or nearly. */
static struct sc_mix_goal some_goal(struct sc_cells *const *c, size_t n, enum sc_mix_metric m,
                                    uint64_t seed, uint64_t *bytes)
{
    struct sc_mix_totals t;
    int8_t *format[4] = {NULL};
    for (size_t k = 0; k < n; k++) {
        format[k] = malloc(c[k]->n + 1);
        for (uint64_t i = 0; i < c[k]->n; i++)
            format[k][i] = (int8_t)sc_random_below(seed, 10 * k + i, c[k]->n_formats);
    }
    total(c, n, format, &t);
    for (size_t k = 0; k < n; k++)
        free(format[k]);
    *bytes = t.bytes;
    return (struct sc_mix_goal){m, sc_mix_value(&t, m)};
}

static void against_all(size_t tables, uint64_t cells, bool once, unsigned rounds)
{
    unsigned exact[SC_MIX_METRICS] = {0}, tried = 0;
    for (uint64_t seed = 0; seed < rounds; seed++) {
        struct sc_cells *c[2];
        struct sc_mix out[2];
        struct sc_error e;
        for (size_t t = 0; t < tables; t++)
            c[t] = small(seed * 2 + t, cells - sc_random_below(seed, t, 3), 3, once);
        for (size_t k = 0; k < SC_COUNT(all_metrics); k++) {
            struct sc_mix_totals t;
            uint64_t budget;
            const enum sc_mix_metric m = all_metrics[k];
            const struct sc_mix_goal g = some_goal(c, tables, m, seed, &budget);
            const struct brute want = all_of(c, tables, &g, budget);

            REQUIRE(sc_mix_optimal(c, tables, &g, NULL, out, &e) == 0);
            total(c, tables, (int8_t *[]){out[0].format, tables > 1 ? out[1].format : NULL}, &t);
            CHECK(sc_mix_good(&g, sc_mix_value(&t, m)) && out[0].good);
            CHECK(t.bytes >= want.fewest && t.bytes <= want.fewest + one_cell(c[0]));
            exact[k] += t.bytes == want.fewest;
            for (size_t i = 0; i < tables; i++)
                sc_mix_clear(&out[i]);

            REQUIRE(sc_mix_budget(c, tables, m, budget, NULL, out, &e) == 0);
            total(c, tables, (int8_t *[]){out[0].format, tables > 1 ? out[1].format : NULL}, &t);
            CHECK(t.bytes <= budget && out[0].good);
            if (m != SC_MIX_PCC && (!once || tables == 1)) /* of a pcc the squared error counts */
                CHECK_NEAR(sc_mix_value(&t, m), want.best, 1e-12);
            for (size_t i = 0; i < tables; i++)
                sc_mix_clear(&out[i]);
        }
        tried++;
        for (size_t t = 0; t < tables; t++)
            made_free(c[t]);
    }
    CHECK_U64(exact[SC_MIX_ATOL], tried);
    CHECK_U64(exact[SC_MIX_MAE], tried);
    CHECK_U64(exact[SC_MIX_MSE], tried);
    CHECK_U64(exact[SC_MIX_SQNR], tried);
    CHECK(exact[SC_MIX_PCC] * 10 >= tried * 9);
}

TEST(one_table_against_all_assignments)
{
    against_all(1, 7, false, 60);
}

TEST(what_formats_add_once_against_all_assignments)
{
    against_all(1, 7, true, 60);
}

TEST(two_tables_against_all_assignments)
{
    against_all(2, 4, false, 60);
}

/* ------------------------------------------------------------------------- slow versions --- */
static double value_of(const struct sc_cells *c, const int8_t *format, enum sc_mix_metric m)
{
    struct sc_mix_totals t;
    sc_mix_sum(c, format, &t);
    return sc_mix_value(&t, m);
}

TEST(greedy_does_what_it_says)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct sc_cells *c = small(seed, 40, 4, true);
        for (size_t k = 0; k < SC_COUNT(all_metrics); k++) {
            uint64_t bytes, drawn = 0;
            const struct sc_mix_goal g = some_goal(&c, 1, all_metrics[k], seed, &bytes);
            struct sc_mix m;
            struct sc_error e;
            int8_t format[40] = {0};
            uint32_t loose[40];
            size_t n = 40;
            for (uint32_t i = 0; i < 40; i++)
                loose[i] = i;
            for (int8_t f = 0; f < 4; f++) {
                size_t kept = 0;
                for (size_t i = n; i > 1; i--) {
                    const size_t j = (size_t)sc_random_below(seed, drawn++, i);
                    const uint32_t t = loose[j];
                    loose[j] = loose[i - 1];
                    loose[i - 1] = t;
                }
                for (size_t i = 0; i < n; i++) {
                    const int8_t old = format[loose[i]];
                    format[loose[i]] = f;
                    if (sc_mix_good(&g, value_of(c, format, g.metric)))
                        loose[kept++] = loose[i];
                    else
                        format[loose[i]] = old;
                }
                n = kept;
            }
            REQUIRE(sc_mix_greedy(c, &g, seed, &m, &e) == 0);
            CHECK_BITS(m.format, format, 40);
            CHECK(m.good == sc_mix_good(&g, value_of(c, format, g.metric)));
            sc_mix_clear(&m);
        }
        made_free(c);
    }
}

/* One-dimensional k-means as the original has it, value by value. cluster: (n). */
static void k_means(const double *v, size_t n, size_t k, uint64_t seed, size_t *cluster)
{
    double centre[8], sorted[64];
    uint64_t drawn = 0;

    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > v[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = v[i];
    }
    for (size_t i = 0; i < k; i++) {
        const double at = (double)i / (double)(k - 1) * (double)(n - 1);
        const size_t low = (size_t)at;
        centre[i] = low + 1 < n ? sorted[low] + (at - (double)low) * (sorted[low + 1] - sorted[low])
                                : sorted[low];
    }
    for (int round = 0; round <= 25; round++) {
        double moved = 0;
        for (size_t i = 0; i < n; i++) {
            cluster[i] = 0;
            for (size_t j = 1; j < k; j++)
                if (fabs(v[i] - centre[j]) < fabs(v[i] - centre[cluster[i]]))
                    cluster[i] = j;
        }
        if (round == 25)
            return;
        for (size_t j = 0; j < k; j++) {
            double sum = 0, count = 0;
            for (size_t i = 0; i < n; i++)
                if (cluster[i] == j)
                    sum += v[i], count++;
            const double to = count > 0 ? sum / count : sorted[sc_random_below(seed, drawn++, n)];
            moved = fmax(moved, fabs(to - centre[j]));
            centre[j] = to;
        }
        if (moved <= 1e-6)
            round = 24;
    }
}

static void slow_clusters(const struct sc_cells *c, const struct sc_mix_goal *g, size_t k,
                          uint64_t seed, int8_t *format)
{
    memset(format, -1, c->n);
    for (size_t f = 0; f < c->n_formats; f++) {
        bool accepted = false;
        for (;;) {
            double v[64], best = 0;
            size_t cell[64], cluster[64] = {0}, n = 0, which = SIZE_MAX;
            for (size_t i = 0; i < c->n; i++) {
                int8_t *alone = malloc(c->n);
                struct sc_cells *one = made_empty(1, c->n_formats);
                if (format[i] < 0) {
                    one->values[0] = c->values[i];
                    memcpy(one->errors, sc_cell_error(c, i, 0), c->n_formats * sizeof *one->errors);
                    alone[0] = (int8_t)f;
                    v[n] = value_of(one, alone, g->metric);
                    cell[n++] = i;
                }
                made_free(one);
                free(alone);
            }
            if (n == 0)
                break;
            if (k == 0)
                for (size_t i = 0; i < n; i++)
                    cluster[i] = i;
            else if (SC_MIN(k, n) > 1)
                k_means(v, n, SC_MIN(k, n), seed, cluster);
            for (size_t j = 0; j < n; j++) {
                double sum = 0, count = 0;
                for (size_t i = 0; i < n; i++)
                    if (cluster[i] == j)
                        sum += v[i], count++;
                if (count > 0 && (which == SIZE_MAX || better(g->metric, sum / count, best)))
                    which = j, best = sum / count;
            }
            if (!sc_mix_good(g, best)) {
                if (!accepted)
                    return;
                break;
            }
            for (size_t i = 0; i < n; i++)
                if (cluster[i] == which)
                    format[cell[i]] = (int8_t)f;
            if (!sc_mix_good(g, value_of(c, format, g->metric))) {
                for (size_t i = 0; i < n; i++)
                    if (cluster[i] == which)
                        format[cell[i]] = -1;
                return;
            }
            accepted = true;
        }
    }
}

TEST(clusters_are_those_of_a_slow_k_means)
{
    unsigned mixed = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct sc_cells *c = small(seed, 30, 3, false);
        for (size_t k = 0; k < 3; k++)
            for (size_t clusters = 0; clusters < 7; clusters++) {
                uint64_t bytes;
                int8_t format[30];
                struct sc_mix m;
                struct sc_error e;
                const struct sc_mix_goal g = some_goal(&c, 1, all_metrics[k], seed, &bytes);
                slow_clusters(c, &g, clusters, seed, format);
                REQUIRE(sc_mix_clusters(c, &g, clusters, seed, &m, &e) == 0);
                CHECK_BITS(m.format, format, 30);
                mixed += m.totals.left > 0 && m.totals.left < 30;
                sc_mix_clear(&m);
            }
        made_free(c);
    }
    CHECK(mixed > 100); /* not everything or nothing */
}

struct trials {
    size_t n;
    uint64_t best; /* fewest bytes of a good one */
    struct sc_mix_goal goal;
};
static void see(void *ctx, size_t trial, const struct sc_mix_totals *t)
{
    struct trials *seen = ctx;
    CHECK_U64(trial, seen->n++);
    if (sc_mix_good(&seen->goal, sc_mix_value(t, seen->goal.metric)))
        seen->best = SC_MIN(seen->best, t->bytes);
}

TEST(random_takes_the_smallest_good_one)
{
    struct sc_cells *c = small(5, 12, 3, false);
    uint64_t bytes;
    struct trials seen = {0, UINT64_MAX, some_goal(&c, 1, SC_MIX_PCC, 5, &bytes)};
    struct sc_mix a, b;
    struct sc_error e;

    REQUIRE(sc_mix_random(c, &seen.goal, 50, 9, see, &seen, &a, &e) == 0);
    CHECK_U64(seen.n, 50);
    CHECK(a.good && a.totals.bytes == seen.best);
    REQUIRE(sc_mix_random(c, &seen.goal, 50, 9, NULL, NULL, &b, &e) == 0);
    CHECK_BITS(a.format, b.format, 12);
    sc_mix_clear(&a);
    sc_mix_clear(&b);
    seen.goal.threshold = 2; /* none: the best of them */
    REQUIRE(sc_mix_random(c, &seen.goal, 50, 9, NULL, NULL, &a, &e) == 0);
    REQUIRE(sc_mix_random(c, &seen.goal, 1, 9, NULL, NULL, &b, &e) == 0);
    CHECK(!a.good && a.totals.pcc >= b.totals.pcc);
    sc_mix_clear(&a);
    sc_mix_clear(&b);
    made_free(c);
}

/* ------------------------------------------------------------------------------- threshold --- */
TEST(threshold_looks_at_values_and_not_at_padding)
{
    /* 50 ones with noise: bfp2 keeps nothing of them but their mean */
    static const int formats[] = {0, 1, 2, 3};
    struct sc_cells *c = made_tensor(MADE_IID, 1, 50, 1, formats, 4);
    const struct sc_mix_goal g = {SC_MIX_PCC, 0.94};
    struct sc_mix m;
    struct sc_error e;

    REQUIRE(c->n == 2);
    CHECK_U64(c->values[1].n, 18);
    REQUIRE(sc_mix_threshold(c, &g, false, &m, &e) == 0);
    for (int i = 0; i < 2; i++) {
        struct sc_cells *one = made_empty(1, 4);
        one->values[0] = c->values[i];
        memcpy(one->errors, sc_cell_error(c, (uint64_t)i, 0), 4 * sizeof *one->errors);
        CHECK(value_of(one, &m.format[i], SC_MIX_PCC) >= 0.94);
        const int8_t next = (int8_t)(m.format[i] + 1);
        CHECK(next == 4 || value_of(one, &next, SC_MIX_PCC) < 0.94);
        made_free(one);
    }
    sc_mix_clear(&m);
    made_free(c);
}

TEST(threshold_holds_the_whole_when_asked)
{
    /* Cells with an offset of their own: their pcc is worse than that of the whole, or, with a
     * small scale, far better for it than it looks. */
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct sc_cells *c = small(seed, 50, 4, false);
        for (size_t k = 0; k < SC_COUNT(all_metrics); k++) {
            uint64_t bytes;
            struct sc_mix m;
            struct sc_error e;
            const struct sc_mix_goal g = some_goal(&c, 1, all_metrics[k], seed, &bytes);
            REQUIRE(sc_mix_threshold(c, &g, false, &m, &e) == 0);
            CHECK(m.good == sc_mix_good(&g, value_of(c, m.format, g.metric)));
            sc_mix_clear(&m);
            REQUIRE(sc_mix_threshold(c, &g, true, &m, &e) == 0);
            CHECK(m.good && sc_mix_good(&g, value_of(c, m.format, g.metric)));
            sc_mix_clear(&m);
        }
        made_free(c);
    }
}

TEST(threshold_sees_cells_that_move)
{
    /* The small format keeps every cell but for its mean: their pcc is 1, that of the whole not. */
    struct sc_cells *c = made_empty(20, 2);
    const struct sc_mix_goal g = {SC_MIX_PCC, 0.9};
    struct sc_mix m;
    struct sc_error e;

    c->bytes[1][0] = 10;
    for (size_t i = 0; i < 20; i++) {
        const double off = i % 2 ? 0.05 * (double)i : -0.05 * (double)i;
        c->values[i] = (struct sc_cell_values){0, 2, 2, 0};
        c->errors[2 * i] =
            (struct sc_cell_error){2 * off, 2 + 2 * off * off, 2 * off * off, 2 * fabs(off), 0};
        c->errors[2 * i + 1] = (struct sc_cell_error){0, 2, 0, 0, 0};
    }
    REQUIRE(sc_mix_threshold(c, &g, false, &m, &e) == 0);
    CHECK(!m.good && m.totals.bytes == 0);
    sc_mix_clear(&m);
    REQUIRE(sc_mix_threshold(c, &g, true, &m, &e) == 0);
    CHECK(m.good && m.totals.bytes > 0 && m.totals.bytes < 200);
    CHECK(value_of(c, m.format, SC_MIX_PCC) >= 0.9);
    sc_mix_clear(&m);
    made_free(c);
}

/* ------------------------------------------------------------------------------ large ones --- */
static void against_greedy(enum made_kind kind)
{
    static const int formats[] = {0, 1, 2, 3};
    static const struct sc_mix_goal goals[] = {{SC_MIX_PCC, 0.999},
                                               {SC_MIX_PCC, 0.99},
                                               {SC_MIX_MAE, 8e-4},
                                               {SC_MIX_ATOL, 4e-3},
                                               {SC_MIX_SQNR, 25}};
    for (uint64_t seed = 0; seed < 2; seed++) {
        struct sc_cells *c = made_tensor(kind, 300 + 100 * seed, 410, seed, formats, 4);
        for (size_t k = 0; k < SC_COUNT(goals); k++) {
            struct sc_mix best, m;
            struct sc_error e;
            REQUIRE(sc_mix_optimal(&c, 1, &goals[k], NULL, &best, &e) == 0);
            CHECK(best.good == sc_mix_good(&goals[k], value_of(c, best.format, goals[k].metric)));
            for (uint64_t order = 0; order < 5; order++) {
                REQUIRE(sc_mix_greedy(c, &goals[k], order, &m, &e) == 0);
                CHECK(!m.good || (best.good && best.totals.bytes <= m.totals.bytes));
                sc_mix_clear(&m);
            }
            REQUIRE(sc_mix_threshold(c, &goals[k], true, &m, &e) == 0);
            CHECK(!m.good || (best.good && best.totals.bytes <= m.totals.bytes));
            sc_mix_clear(&m);
            sc_mix_clear(&best);
        }
        made_free(c);
    }
}

TEST(never_larger_than_greedy_iid)
{
    against_greedy(MADE_IID);
}
TEST(never_larger_than_greedy_rows)
{
    against_greedy(MADE_ROWS);
}
TEST(never_larger_than_greedy_columns)
{
    against_greedy(MADE_COLUMNS);
}
TEST(never_larger_than_greedy_outliers)
{
    against_greedy(MADE_OUTLIERS);
}
TEST(never_larger_than_greedy_blocky)
{
    against_greedy(MADE_BLOCKY);
}

/* Many small cells in several tables, more than one piece of work. */
static void many(struct sc_cells *c[3])
{
    c[0] = small(1, 60000, 3, true);
    c[1] = small(2, 7, 4, false);
    c[2] = small(3, 9000, 3, true);
}

TEST(threads_do_not_change_a_bit)
{
    struct sc_cells *c[3];
    struct sc_mix one[3], more[3];
    struct sc_mix_totals *curve[2];
    size_t n[2];
    struct sc_error e;
    struct sc_pool *pool;
    uint64_t bytes;

    many(c);
    REQUIRE(sc_pool_new(3, &pool, &e) == 0);
    const struct sc_parallel p = sc_pool_parallel(pool);
    for (size_t k = 0; k < 3; k++) {
        const struct sc_mix_goal g = some_goal(c, 1, all_metrics[k], 4, &bytes);
        REQUIRE(sc_mix_optimal(c, 3, &g, NULL, one, &e) == 0);
        REQUIRE(sc_mix_optimal(c, 3, &g, &p, more, &e) == 0);
        for (int i = 0; i < 3; i++) {
            CHECK_BITS(one[i].format, more[i].format, c[i]->n);
            CHECK_BITS(&one[i].totals, &more[i].totals, sizeof one[i].totals);
            sc_mix_clear(&one[i]);
            sc_mix_clear(&more[i]);
        }
        REQUIRE(sc_mix_budget(c, 3, all_metrics[k], 2 * bytes, NULL, one, &e) == 0);
        REQUIRE(sc_mix_budget(c, 3, all_metrics[k], 2 * bytes, &p, more, &e) == 0);
        for (int i = 0; i < 3; i++) {
            CHECK_BITS(one[i].format, more[i].format, c[i]->n);
            sc_mix_clear(&one[i]);
            sc_mix_clear(&more[i]);
        }
    }
    REQUIRE(sc_mix_curve(c, 3, SC_MIX_PCC, 20, NULL, &curve[0], &n[0], &e) == 0);
    REQUIRE(sc_mix_curve(c, 3, SC_MIX_PCC, 20, &p, &curve[1], &n[1], &e) == 0);
    CHECK_U64(n[0], n[1]);
    CHECK_BITS(curve[0], curve[1], n[0] * sizeof *curve[0]);
    free(curve[0]);
    free(curve[1]);
    sc_pool_free(pool);
    for (int i = 0; i < 3; i++)
        made_free(c[i]);
}

/* --------------------------------------------------------------------------------- budget --- */
TEST(a_budget_is_kept_and_spent)
{
    static const int formats[] = {0, 1, 2, 3, 4};
    struct sc_cells *c = made_tensor(MADE_BLOCKY, 640, 640, 8, formats, 5);
    double last = (double)INFINITY;

    for (uint64_t budget = 0; budget < 1000000; budget += 33333) {
        struct sc_mix m;
        struct sc_error e;
        REQUIRE(sc_mix_budget(&c, 1, SC_MIX_MAE, budget, NULL, &m, &e) == 0);
        CHECK(m.good && m.totals.bytes <= budget && m.totals.mae <= last);
        if (budget < UINT64_C(400) * 2048)
            CHECK(m.totals.bytes + 1024 > budget);
        last = m.totals.mae;
        sc_mix_clear(&m);
    }
    made_free(c);
}

TEST(a_budget_that_is_too_small_gives_the_smallest)
{
    struct sc_cells *c = small(4, 9, 3, true);
    struct sc_mix m;
    struct sc_error e;
    uint64_t least = UINT64_MAX;
    int8_t format[9] = {0}, *formats = format;

    do {
        struct sc_mix_totals t;
        sc_mix_sum(c, format, &t);
        least = SC_MIN(least, t.bytes);
    } while (next_assignment(&c, 1, &formats));
    for (size_t k = 0; k < SC_COUNT(all_metrics); k++) {
        REQUIRE(sc_mix_budget(&c, 1, all_metrics[k], 3, NULL, &m, &e) == 0);
        CHECK(!m.good);
        CHECK_U64(m.totals.bytes, least);
        sc_mix_clear(&m);
    }
    made_free(c);
}

TEST(a_curve_has_both_ends_and_falls)
{
    static const int formats[] = {2, 0, 3, 1};
    struct sc_cells *c = made_tensor(MADE_ROWS, 320, 500, 8, formats, 4);

    for (size_t k = 0; k < SC_COUNT(all_metrics); k++) {
        const enum sc_mix_metric m = all_metrics[k];
        struct sc_mix_totals *t;
        struct sc_mix best;
        size_t n;
        struct sc_error e;
        REQUIRE(sc_mix_curve(&c, 1, m, 25, NULL, &t, &n, &e) == 0);
        REQUIRE(n > 15 && n <= 25);
        CHECK_U64(t[0].bytes, c->n * 320);
        REQUIRE(sc_mix_budget(&c, 1, m, UINT64_MAX, NULL, &best, &e) == 0);
        CHECK_U64(t[n - 1].bytes, best.totals.bytes);
        CHECK(sc_mix_value(&t[n - 1], m) == sc_mix_value(&best.totals, m));
        sc_mix_clear(&best);
        for (size_t i = 0; i < n; i++) {
            CHECK(i == 0 || (t[i].bytes > t[i - 1].bytes &&
                             better(m, sc_mix_value(&t[i], m), sc_mix_value(&t[i - 1], m))));
            CHECK_U64(t[i].cells[0] + t[i].cells[1] + t[i].cells[2] + t[i].cells[3], c->n);
            REQUIRE(sc_mix_budget(&c, 1, m, t[i].bytes, NULL, &best, &e) == 0);
            CHECK(best.totals.mse <= t[i].mse || m == SC_MIX_MAE || m == SC_MIX_ATOL);
            CHECK_NEAR(sc_mix_value(&best.totals, m) / sc_mix_value(&t[i], m), 1, 0.01);
            sc_mix_clear(&best);
        }
        free(t);
    }
    made_free(c);
}

/* ---------------------------------------------------------------------------------- edges --- */
TEST(a_goal_out_of_reach_gives_the_best_there_is)
{
    static const double too_much[] = {1.5, -1, -1, -1, 1e9};
    struct sc_cells *c = small(9, 7, 3, false);

    for (size_t k = 0; k < SC_COUNT(all_metrics); k++) {
        const struct sc_mix_goal g = {all_metrics[k], too_much[k]};
        const struct sc_mix_goal nan = {all_metrics[k], (double)NAN};
        const struct brute want = all_of(&c, 1, &g, UINT64_MAX);
        struct sc_mix m;
        struct sc_error e;
        REQUIRE(sc_mix_optimal(&c, 1, &g, NULL, &m, &e) == 0);
        CHECK(!m.good);
        CHECK_NEAR(sc_mix_value(&m.totals, g.metric), want.best, g.metric == SC_MIX_PCC ? 1e-3 : 0);
        sc_mix_clear(&m);
        REQUIRE(sc_mix_optimal(&c, 1, &nan, NULL, &m, &e) == 0);
        CHECK(!m.good);
        sc_mix_clear(&m);
        REQUIRE(sc_mix_threshold(c, &g, true, &m, &e) == 0);
        CHECK(!m.good);
        sc_mix_clear(&m);
        REQUIRE(sc_mix_greedy(c, &g, 1, &m, &e) == 0);
        CHECK(!m.good);
        sc_mix_clear(&m);
    }
    made_free(c);
}

static void everything(struct sc_cells *c, const struct sc_mix_goal *g, bool good, uint64_t bytes)
{
    struct sc_mix m[6];
    struct sc_mix_totals *curve;
    size_t n;
    struct sc_error e;

    REQUIRE(sc_mix_optimal(&c, 1, g, NULL, &m[0], &e) == 0);
    REQUIRE(sc_mix_budget(&c, 1, g->metric, UINT64_MAX, NULL, &m[1], &e) == 0);
    REQUIRE(sc_mix_threshold(c, g, true, &m[2], &e) == 0);
    REQUIRE(sc_mix_greedy(c, g, 1, &m[3], &e) == 0);
    REQUIRE(sc_mix_clusters(c, g, 3, 1, &m[4], &e) == 0);
    REQUIRE(sc_mix_random(c, g, 5, 1, NULL, NULL, &m[5], &e) == 0);
    for (int i = 0; i < 6; i++) {
        CHECK(m[i].good == (good || i == 1));
        if (i != 4)
            CHECK_U64(m[i].totals.bytes, bytes);
        sc_mix_clear(&m[i]);
    }
    REQUIRE(sc_mix_curve(&c, 1, g->metric, 10, NULL, &curve, &n, &e) == 0);
    CHECK_U64(n, 1);
    CHECK_U64(curve[0].bytes, bytes);
    free(curve);
}

TEST(no_cells_no_values_one_format)
{
    for (size_t k = 0; k < SC_COUNT(all_metrics); k++) {
        const struct sc_mix_goal easy = {all_metrics[k], k == 0 || k == 4 ? -9 : 1e9};
        struct sc_cells *c = made_empty(0, 2);
        everything(c, &easy, true, 0);
        made_free(c);
        c = made_empty(3, 3); /* nothing but padding: the cheapest */
        c->bytes[0][0] = 7, c->bytes[1][0] = 4, c->bytes[2][0] = 5;
        c->once[1] = 1;
        if (k != 3) /* what a format adds once counts here too */
            everything(c, &easy, true, 13);
        made_free(c);
        c = small(2, 5, 1, false);
        uint64_t bytes = 0;
        for (int i = 0; i < 5; i++)
            bytes += c->bytes[0][c->values[i].part];
        everything(c, &easy, true, bytes);
        made_free(c);
        c = small(3, 1, 1, false);
        everything(c, &easy, true, c->bytes[0][c->values[0].part]);
        made_free(c);
    }
}

TEST(more_formats_than_there_may_be)
{
    struct sc_cells *c = made_empty(1, 1);
    const struct sc_mix_goal g = {SC_MIX_MAE, 1};
    struct sc_mix m;
    struct sc_error e;

    c->n_formats = 17;
    CHECK_ERR(SCRUPLE_EUSAGE, sc_mix_optimal(&c, 1, &g, NULL, &m, &e));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_mix_greedy(c, &g, 1, &m, &e));
    c->n_formats = 0;
    CHECK_ERR(SCRUPLE_EUSAGE, sc_mix_threshold(c, &g, true, &m, &e));
    made_free(c);
}

/* Sums that are not finite: such a format is not chosen, and nothing loops. */
TEST(sums_that_are_not_finite)
{
    struct sc_cells *c = small(6, 8, 3, false);
    const struct sc_mix_goal goals[] = {{SC_MIX_PCC, 0.5}, {SC_MIX_MAE, 0.05}, {SC_MIX_SQNR, 20}};

    c->errors[3 * 3 + 2] = (struct sc_cell_error){(double)NAN, INFINITY, INFINITY, NAN, INFINITY};
    for (size_t k = 0; k < SC_COUNT(goals); k++) {
        struct sc_mix m;
        struct sc_error e;
        REQUIRE(sc_mix_optimal(&c, 1, &goals[k], NULL, &m, &e) == 0);
        CHECK(m.good == sc_mix_good(&goals[k], value_of(c, m.format, goals[k].metric)));
        CHECK(m.format[3] != 2);
        sc_mix_clear(&m);
        REQUIRE(sc_mix_threshold(c, &goals[k], true, &m, &e) == 0);
        sc_mix_clear(&m);
        REQUIRE(sc_mix_greedy(c, &goals[k], 1, &m, &e) == 0);
        sc_mix_clear(&m);
        REQUIRE(sc_mix_clusters(c, &goals[k], 3, 1, &m, &e) == 0);
        sc_mix_clear(&m);
    }
    made_free(c);
}

/* All cells alike: the price decides for all or none, the rest is counted out. */
TEST(ties_are_filled_cell_by_cell)
{
    struct sc_cells *c = made_empty(1000, 2);
    struct sc_mix m;
    struct sc_error e;
    const struct sc_mix_goal g = {SC_MIX_MAE, 0.6175};

    for (size_t i = 0; i < 1000; i++) {
        c->values[i] = (struct sc_cell_values){0, 1, 1, 0};
        c->errors[2 * i] = (struct sc_cell_error){1, 1, 1, 1, 1};
    }
    c->bytes[1][0] = 10;
    REQUIRE(sc_mix_optimal(&c, 1, &g, NULL, &m, &e) == 0);
    CHECK_U64(m.totals.bytes, 3830);
    CHECK(m.good);
    sc_mix_clear(&m);
    REQUIRE(sc_mix_budget(&c, 1, SC_MIX_MSE, 4567, NULL, &m, &e) == 0);
    CHECK_U64(m.totals.bytes, 4560);
    sc_mix_clear(&m);
    made_free(c);
}

TEST(no_memory_is_said)
{
    struct sc_cells *c[2] = {small(1, 6, 2, true), small(2, 9, 2, false)};
    uint64_t bytes;
    const struct sc_mix_goal g = some_goal(c, 1, SC_MIX_PCC, 4, &bytes);

    for (int what = 0; what < 7; what++)
        for (uint64_t k = 0; k < 5000; k++) {
            struct sc_mix m[2] = {{0}};
            struct sc_mix_totals *curve = NULL;
            size_t n;
            struct sc_error e;
            int rc = 0;
            sc_oom_fail_at(k);
            switch (what) {
            case 0:
                rc = sc_mix_optimal(c, 2, &g, NULL, m, &e);
                break;
            case 1:
                rc = sc_mix_budget(c, 2, SC_MIX_MAE, bytes, NULL, m, &e);
                break;
            case 2:
                rc = sc_mix_threshold(c[0], &g, true, m, &e);
                break;
            case 3:
                rc = sc_mix_greedy(c[0], &g, 1, m, &e);
                break;
            case 4:
                rc = sc_mix_clusters(c[0], &g, 3, 1, m, &e);
                break;
            case 5:
                rc = sc_mix_random(c[0], &g, 3, 1, NULL, NULL, m, &e);
                break;
            default:
                rc = sc_mix_curve(c, 2, SC_MIX_PCC, 9, NULL, &curve, &n, &e);
            }
            const bool failed = sc_oom_failed() > 0;
            sc_oom_off();
            CHECK(rc == (failed ? SCRUPLE_EMEMORY : 0));
            if (rc == 0) {
                sc_mix_clear(&m[0]);
                sc_mix_clear(&m[1]);
            }
            free(curve);
            if (!failed)
                break;
        }
    made_free(c[0]);
    made_free(c[1]);
}

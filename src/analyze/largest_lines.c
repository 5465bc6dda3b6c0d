/* SPDX-License-Identifier: Apache-2.0 */
/* largest_lines: how many of the weights that were found stand in one row or one column.
 *
 * One loud weight is a scalar; many in a column are a neuron, many in a row are a channel. */
#include <math.h>
#include <stdlib.h>

#include "analyze/largest_parts.h"

enum { LEAST = 3 };
#define CHANCE 0.01

/* A weight by its line. */
struct entry {
    uint64_t at;
    uint32_t matrix, weight;
};

static int by_line(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->matrix != y->matrix)
        return x->matrix < y->matrix ? -1 : 1;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (x->weight > y->weight) - (x->weight < y->weight);
}

/* P(X >= k) of n draws, each with chance 1 / lines; an upper bound that is tight where it is small:
 * terms shrink at least as a geometric series does from the first on. */
static double binomial_tail(size_t n, uint64_t lines, size_t k)
{
    const double p = 1 / (double)lines;
    double log_term = 0;

    if ((double)n * p >= (double)k)
        return 1;
    for (size_t i = 1; i <= k; i++)
        log_term += log((double)(n - k + i) / (double)i);
    log_term += (double)k * log(p) + (double)(n - k) * log1p(-p);
    const double ratio = (double)(n - k) / (double)(k + 1) * p / (1 - p);
    return fmin(exp(log_term) / (1 - fmin(ratio, .999)), 1);
}

/* `all`: lines that are looked at, rows and columns of all matrices. */
static int add_line(struct sc_largest *l, size_t *cap, uint64_t all, const struct entry *e,
                    bool column, size_t n, struct sc_error *err)
{
    const struct sc_large_matrix *m = &l->matrices[e->matrix];
    const uint64_t lines = column ? m->shape.cols : m->shape.rows;

    if (n < LEAST || lines < 2)
        return 0;
    const double chance = (double)all * binomial_tail(m->chosen, lines, n);
    if (!(chance < CHANCE))
        return 0;
    TRY(sc_grow(&l->lines, cap, l->n_lines + 1, sizeof *l->lines, err));
    l->lines[l->n_lines++] = (struct sc_large_line){
        .matrix = e->matrix, .column = column, .at = e->at, .n = n, .chance = chance};
    return 0;
}

static int count_along(struct sc_largest *l, struct entry *entries, bool column, uint64_t all,
                       size_t *cap, struct sc_error *e)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct sc_large_weight *w = &l->weights[i];
        entries[i] = (struct entry){column ? w->col : w->row, w->matrix, (uint32_t)i};
    }
    sc_sort(entries, l->n, sizeof *entries, by_line);
    for (size_t i = 0, n; i < l->n; i += n) {
        struct sc_large_matrix *m = &l->matrices[entries[i].matrix];
        for (n = 1; i + n < l->n && entries[i + n].matrix == entries[i].matrix &&
                    entries[i + n].at == entries[i].at;
             n++)
            ;
        *(column ? &m->cols : &m->rows) += 1;
        for (size_t k = i; k < i + n; k++) {
            struct sc_large_weight *w = &l->weights[entries[k].weight];
            *(column ? &w->in_col : &w->in_row) = (uint32_t)n;
        }
        TRY(add_line(l, cap, all, &entries[i], column, n, e));
    }
    return 0;
}

/* Matrix by matrix, rows first, the fullest first. */
static int by_fullness(const void *a, const void *b)
{
    const struct sc_large_line *x = a, *y = b;

    if (x->matrix != y->matrix)
        return x->matrix < y->matrix ? -1 : 1;
    if (x->column != y->column)
        return x->column ? 1 : -1;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

int sc_large_find_lines(struct sc_largest *l, struct sc_error *e)
{
    struct entry *entries = sc_alloc((l->n + 1) * sizeof *entries);
    uint64_t all = 0;
    size_t cap = 0;

    if (!entries)
        return sc_fail_memory(e);
    for (size_t i = 0; i < l->n; i++)
        l->matrices[l->weights[i].matrix].chosen++;
    for (size_t i = 0; i < l->n_matrices; i++)
        if (l->matrices[i].chosen >= LEAST)
            all = sc_add_up(all, sc_add_up(l->matrices[i].shape.rows, l->matrices[i].shape.cols));
    int code = count_along(l, entries, false, all, &cap, e);
    if (code == 0)
        code = count_along(l, entries, true, all, &cap, e);
    free(entries);
    sc_sort(l->lines, l->n_lines, sizeof *l->lines, by_fullness);
    for (size_t i = 0; i < l->n; i++)
        l->alone += l->weights[i].in_row == 1 && l->weights[i].in_col == 1;
    return code;
}

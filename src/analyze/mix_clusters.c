/* SPDX-License-Identifier: Apache-2.0 */
/* mix_clusters: the older greedy of quantization-plots. Cells begin without a format; those with
 * the best scores are put into each format in turn, a cluster of scores at a time.
 *
 * Scores of a format do not change while it has its turn, and the best cluster is always the best
 * end of what is left of them. So they are sorted once, a cluster is an interval, and its mean
 * comes from running sums: a round of k-means costs k binary searches. */
#include <stdlib.h>
#include <string.h>

#include "analyze/mix_set.h"

enum { ROUNDS = 25 };
static const double still = 1e-6; /* no centre has moved further: done */

struct score {
    double value;
    uint32_t cell;
};
struct centre {
    double value;
    size_t index, first, last; /* its interval of the scores that are left */
};
struct clusters {
    const struct sc_cells *c;
    const struct sc_mix_goal *goal;
    struct sc_mix_sums sums;
    uint64_t above; /* cells whose largest error is too large, for atol */
    int8_t *format;
    struct score *scores; /* (c->n) sorted, smallest value first */
    double *sum;          /* (c->n + 1) of the values in front */
    size_t first, last;   /* scores that are left */
    struct centre *centres;
    double *moved; /* (k) new values by index */
    size_t k;
    uint64_t seed, drawn;
};

static bool high_is_good(const struct clusters *job)
{
    return job->goal->metric == SC_MIX_PCC || job->goal->metric == SC_MIX_SQNR;
}

/* Of equals the first cell stands at the good end. */
static int by_value_low(const void *a, const void *b)
{
    const struct score *p = a, *q = b;
    if (p->value != q->value)
        return p->value < q->value ? -1 : 1;
    return (p->cell > q->cell) - (p->cell < q->cell);
}

static int by_value_high(const void *a, const void *b)
{
    const struct score *p = a, *q = b;
    return p->value != q->value ? by_value_low(a, b) : by_value_low(b, a);
}

/* The cells without a format by their score in this one. Scores that are not finite are of no
 * cluster: such cells stay as they are. */
static void score(struct clusters *job, size_t f)
{
    const struct sc_cells *c = job->c;
    size_t n = 0;

    for (uint64_t i = 0; i < c->n; i++) {
        const struct sc_cell_values *v = &c->values[i];
        if (job->format[i] >= 0 || v->n == 0)
            continue;
        double value = sc_mix_cell_value(v, sc_cell_error(c, i, f), job->goal->metric);
        if (value == (double)INFINITY && high_is_good(job))
            value = 1e6; /* an SQNR without error */
        if (isfinite(value))
            job->scores[n++] = (struct score){value, (uint32_t)i};
    }
    qsort(job->scores, n, sizeof *job->scores, high_is_good(job) ? by_value_high : by_value_low);
    for (size_t i = 0; i < n; i++)
        job->sum[i + 1] = job->sum[i] + job->scores[i].value;
    job->first = 0;
    job->last = n;
}

static double mean(const struct clusters *job, size_t first, size_t last)
{
    return (job->sum[last] - job->sum[first]) / (double)(last - first);
}

/* Linear between the two neighbours. */
static double quantile(const struct clusters *job, double q)
{
    const double at = q * (double)(job->last - job->first - 1);
    const size_t i = (size_t)at;
    const struct score *s = job->scores + job->first + i;
    return at > (double)i ? s[0].value + (at - (double)i) * (s[1].value - s[0].value) : s[0].value;
}

static int by_centre(const void *a, const void *b)
{
    const struct centre *p = a, *q = b;
    if (p->value != q->value)
        return p->value < q->value ? -1 : 1;
    return (p->index > q->index) - (p->index < q->index);
}

/* The first score that is nearer to b than to a <= b; as near: to whom has the lower index. */
static size_t border(const struct clusters *job, const struct centre *a, const struct centre *b)
{
    size_t lo = job->first, hi = job->last;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const double v = job->scores[mid].value;
        const double to_a = fabs(v - a->value), to_b = fabs(v - b->value);
        if (to_b < to_a || (to_b == to_a && b->index < a->index))
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* Every score to its nearest centre; they get their intervals. */
static void share_out(struct clusters *job)
{
    struct centre *c = job->centres;
    size_t last = 0; /* the last centre that is not the same as one before it */

    qsort(c, job->k, sizeof *c, by_centre);
    c[0].first = job->first;
    for (size_t i = 1; i < job->k; i++) {
        if (c[i].value == c[last].value) { /* the first of equals has them all */
            c[i].first = c[i].last = job->last;
            continue;
        }
        c[i].first = SC_MAX(border(job, &c[last], &c[i]), c[last].first);
        c[last].last = c[i].first;
        last = i;
    }
    c[last].last = job->last;
}

/* One round. Returns how far the centre moved that moved most. */
static double move_centres(struct clusters *job)
{
    double most = 0;

    share_out(job);
    for (size_t i = 0; i < job->k; i++) {
        const struct centre *c = &job->centres[i];
        job->moved[c->index] = c->first < c->last ? mean(job, c->first, c->last) : (double)NAN;
    }
    for (size_t i = 0; i < job->k; i++) { /* in the order in which random numbers are drawn */
        if (!isnan(job->moved[i]))
            continue;
        const uint64_t r =
            sc_random_below(job->seed, job->drawn++, (uint64_t)(job->last - job->first));
        job->moved[i] = job->scores[job->first + r].value;
    }
    for (size_t i = 0; i < job->k; i++) {
        struct centre *c = &job->centres[i];
        most = SC_MAX(most, fabs(job->moved[c->index] - c->value));
        c->value = job->moved[c->index];
    }
    return most;
}

/* The cluster of the best mean, as an interval at the better end of what is left. */
static void best_cluster(struct clusters *job, size_t k, size_t *first, size_t *last)
{
    const bool high = high_is_good(job);

    job->k = SC_MIN(k, job->last - job->first);
    if (job->k == 0) { /* the single best cell, of equals the first */
        *last = high ? job->last : job->first + 1;
        *first = *last - 1;
        return;
    }
    *first = job->first;
    *last = job->last;
    if (job->k == 1)
        return;
    for (size_t i = 0; i < job->k; i++)
        job->centres[i] =
            (struct centre){.value = quantile(job, (double)i / (double)(job->k - 1)), .index = i};
    job->drawn = 0;
    for (int round = 0; round < ROUNDS; round++)
        if (move_centres(job) <= still)
            break;
    share_out(job);
    for (size_t i = 0; i < job->k; i++) { /* they rise */
        const struct centre *c = &job->centres[i];
        if (c->first == c->last)
            continue;
        *first = c->first;
        *last = c->last;
        if (!high)
            break;
    }
}

static void put(struct clusters *job, size_t first, size_t last, size_t f, bool in)
{
    for (size_t i = first; i < last; i++) {
        const uint32_t cell = job->scores[i].cell;
        const struct sc_cell_values *v = &job->c->values[cell];
        const struct sc_cell_error *error = sc_cell_error(job->c, cell, f);
        const struct sc_cell_error as_it_is = {v->x, v->xx, 0, 0, 0};
        const uint64_t above = !(error->most <= job->goal->threshold);
        sc_mix_sums_move(&job->sums, in ? &as_it_is : error, in ? error : &as_it_is);
        job->above += in ? above : (uint64_t)0 - above;
        job->format[cell] = (int8_t)(in ? (int)f : -1);
    }
}

static bool is_good(const struct clusters *job)
{
    if (job->goal->metric == SC_MIX_ATOL)
        return job->above == 0 && job->goal->threshold >= 0;
    return sc_mix_good(job->goal, sc_mix_sums_value(&job->sums, job->goal->metric));
}

/* Whether the run goes on with the next format. */
static bool fill_format(struct clusters *job, size_t f, size_t k)
{
    bool accepted = false;

    score(job, f);
    while (job->first < job->last) {
        size_t first, last;
        best_cluster(job, k, &first, &last);
        double sum = 0; /* without the rounding of running sums: it may be just the threshold */
        for (size_t i = first; i < last; i++)
            sum += job->scores[i].value;
        if (!sc_mix_good(job->goal, sum / (double)(last - first)))
            return accepted;
        put(job, first, last, f, true);
        if (!is_good(job)) {
            put(job, first, last, f, false);
            return false;
        }
        accepted = true;
        if (high_is_good(job))
            job->last = first;
        else
            job->first = last;
    }
    return true;
}

static int run(struct clusters *job, size_t k, struct sc_error *e)
{
    const struct sc_cells *c = job->c;
    const size_t most = (size_t)SC_MIN((uint64_t)k, c->n);

    job->scores = sc_alloc((size_t)c->n * sizeof *job->scores);
    job->sum = sc_calloc((size_t)c->n + 1, sizeof *job->sum);
    job->centres = sc_calloc(most + 1, sizeof *job->centres);
    job->moved = sc_calloc(most + 1, sizeof *job->moved);
    if (!job->scores || !job->sum || !job->centres || !job->moved)
        return sc_fail_memory(e);
    for (uint64_t i = 0; i < c->n; i++)
        sc_mix_sums_add(&job->sums, &c->values[i], NULL);
    for (size_t f = 0; f < c->n_formats; f++)
        if (!fill_format(job, f, k))
            break;
    for (uint64_t i = 0; i < c->n; i++)
        if (c->values[i].n == 0)
            job->format[i] = (int8_t)sc_mix_cheapest(c, c->values[i].part);
    return 0;
}

int sc_mix_clusters(const struct sc_cells *c, const struct sc_mix_goal *g, size_t k, uint64_t seed,
                    struct sc_mix *out, struct sc_error *e)
{
    struct clusters job = {.c = c, .goal = g, .seed = seed};

    if (c->n > UINT32_MAX)
        return sc_fail(e, SCRUPLE_ELIMIT, "clusters: %llu cells; it knows 2^32 - 1 of them",
                       (unsigned long long)c->n);
    TRY(sc_mix_make(c, out, e));
    job.format = out->format;
    const int rc = run(&job, k, e);
    free(job.scores);
    free(job.sum);
    free(job.centres);
    free(job.moved);
    if (rc < 0) {
        sc_mix_clear(out);
        return rc;
    }
    sc_mix_sum(c, out->format, &out->totals);
    out->good = sc_mix_good(g, sc_mix_value(&out->totals, g->metric));
    return 0;
}

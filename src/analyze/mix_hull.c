/* SPDX-License-Identifier: Apache-2.0 */
/* mix_hull: one price of a byte for all cells.
 *
 * With a price, every cell for itself takes the format of the least error + price * bytes, and the
 * sum over all cells is the least error of all assignments with as many bytes (H. Everett,
 * Operations Research 11 (1963) 399; Y. Shoham and A. Gersho, IEEE Trans. ASSP 36 (1988) 1445).
 * Which formats can win is the lower convex hull of (bytes, error); it is walked step by step as
 * the price falls. So the steps of all cells, by what they save a byte, are one list whose
 * beginning is taken. The place where it ends is found digit by digit from histograms; nothing is
 * sorted or stored. */
#include "analyze/mix_set.h"

#include <stdlib.h>
#include <string.h>

uint64_t sc_mix_key(double worth)
{
    uint64_t key;
    worth += 0.0; /* -0 */
    memcpy(&key, &worth, sizeof key);
    return key;
}

double sc_mix_worth(uint64_t key)
{
    double worth;
    memcpy(&worth, &key, sizeof worth);
    return worth;
}

enum sc_mix_error sc_mix_error_of(enum sc_mix_metric m)
{
    if (m == SC_MIX_MAE)
        return SC_MIX_ERROR_ABS;
    return m == SC_MIX_ATOL ? SC_MIX_ERROR_MOST : SC_MIX_ERROR_DD;
}

/* What the step from the last format to one with more bytes and less error is worth; 0: nothing. */
static uint64_t step_key(const struct sc_mix_price *p, const struct sc_mix_hull *h, uint64_t bytes,
                         double error)
{
    const unsigned last = h->n - 1;
    if (p->kind == SC_MIX_ERROR_MOST)
        return sc_mix_key(h->error[last]);
    return sc_mix_key((h->error[last] - error) / (double)(bytes - h->bytes[last]));
}

static void push(struct sc_mix_hull *h, uint8_t f, uint64_t key, uint64_t bytes, double error)
{
    h->format[h->n] = f;
    h->key[h->n] = key;
    h->bytes[h->n] = bytes;
    h->error[h->n] = error;
    h->n++;
}

void sc_mix_hull_of(const struct sc_mix_price *p, const struct sc_mix_run *r, uint64_t cell,
                    struct sc_mix_hull *h)
{
    const struct sc_cells *c = r->c;
    const struct sc_cell_values *v = &c->values[cell];
    const uint8_t *order = r->order[v->part];
    const uint32_t all = (UINT32_C(1) << c->n_formats) - 1, mask = p->mask & all;
    int cheapest = -1;

    h->n = 0;
    for (size_t k = 0; k < c->n_formats; k++) {
        const uint8_t f = order[k];
        if (!((mask ? mask : all) >> f & 1))
            continue;
        if (cheapest < 0)
            cheapest = f;
        if (v->n == 0) /* nothing but bytes counts */
            break;
        const double error = sc_mix_price_error(p, sc_cell_error(c, cell, f));
        const uint64_t bytes = c->bytes[f][v->part];
        if (!isfinite(error) || (h->n && error >= h->error[h->n - 1]))
            continue;
        if (h->n && bytes == h->bytes[h->n - 1])
            h->n--;
        uint64_t key = h->n ? step_key(p, h, bytes, error) : UINT64_MAX;
        while (p->kind != SC_MIX_ERROR_MOST && h->n > 1 && key > h->key[h->n - 1]) {
            h->n--;
            key = step_key(p, h, bytes, error);
        }
        if (key)
            push(h, f, key, bytes, error);
    }
    if (h->n == 0 && cheapest >= 0)
        push(h, (uint8_t)cheapest, UINT64_MAX, c->bytes[cheapest][v->part], 0);
}

/* ------------------------------------------------------------------------------- selection --- */
enum {
    KEY_BITS = 63, /* the sign is never set */
    DIGIT = 11,
    WIDE_DIGIT = 15, /* where a histogram is small beside the table */
    WIDE_CELLS = 1 << 15,
    NARROW_DIGIT = 7, /* of many targets: a histogram each */
    NARROW_DIGITS = 5,
};

struct bucket {
    uint64_t bytes;
    double error;
    uint64_t steps;
};
struct begin {
    uint64_t bytes;
    double error;
};

struct select {
    const struct sc_mix_set *s;
    const struct sc_mix_price *p;
    const struct sc_mix_targets *targets;
    struct sc_mix_cut *cuts;
    bool *done; /* (targets) */
    /* intervals of keys that are looked into; they fall and do not touch each other */
    uint64_t *lo, *hi; /* (groups) */
    size_t n_groups;
    unsigned shift, digit; /* where the digit is, and how many bits it has */
    struct begin *total;   /* before any step; then (groups << digit) buckets */
};

static struct bucket *buckets_of(struct begin *b)
{
    return (struct bucket *)(b + 1);
}

/* The interval that a key is in; n_groups: none. */
static size_t group_of(const struct select *job, uint64_t key)
{
    size_t a = 0, b = job->n_groups; /* the first with lo <= key */
    while (a < b) {
        const size_t mid = a + (b - a) / 2;
        if (job->lo[mid] <= key)
            b = mid;
        else
            a = mid + 1;
    }
    return a < job->n_groups && key <= job->hi[a] ? a : job->n_groups;
}

static void count_run(void *ctx, const struct sc_mix_run *r, void *partial)
{
    const struct select *job = ctx;
    struct begin *begin = partial;
    struct bucket *all = buckets_of(begin);
    const uint64_t digits = (UINT64_C(1) << job->digit) - 1;
    struct sc_mix_hull h;

    for (uint64_t i = 0; i < r->n; i++) {
        sc_mix_hull_of(job->p, r, r->first + i, &h);
        begin->bytes += h.bytes[0];
        begin->error += h.error[0];
        for (unsigned k = 1; k < h.n; k++) {
            const size_t g = group_of(job, h.key[k]);
            if (g == job->n_groups)
                continue;
            struct bucket *b = &all[(g << job->digit) + (h.key[k] >> job->shift & digits)];
            b->bytes += h.bytes[k] - h.bytes[k - 1];
            b->error += h.error[k - 1] - h.error[k];
            b->steps++;
        }
    }
}

static void count_fold(void *ctx, void *partial)
{
    struct select *job = ctx;
    const struct begin *begin = partial;
    struct bucket *to = buckets_of(job->total);
    const struct bucket *from = buckets_of(partial);

    job->total->bytes += begin->bytes;
    job->total->error += begin->error;
    for (size_t i = 0; i < job->n_groups << job->digit; i++) {
        to[i].bytes += from[i].bytes;
        to[i].error += from[i].error;
        to[i].steps += from[i].steps;
    }
}

/* Whether target t is reached (bytes: passed) with these sums. */
static bool ends(const struct sc_mix_targets *t, size_t i, uint64_t bytes, double error)
{
    return t->by_bytes ? bytes > t->bytes[i] : error <= t->error;
}

/* Before the first digit: every key is possible, unless no step is needed (or affordable). */
static void begin_target(struct select *job, size_t i)
{
    struct sc_mix_cut *cut = &job->cuts[i];
    *cut = (struct sc_mix_cut){0, INT64_MAX, job->total->error, job->total->bytes, true};
    if (ends(job->targets, i, cut->bytes, cut->error)) {
        *cut = (struct sc_mix_cut){UINT64_MAX, UINT64_MAX, cut->error, cut->bytes,
                                   !job->targets->by_bytes};
        job->done[i] = true;
    }
}

/* One digit of target i: the bucket in which it ends. */
static void narrow(struct select *job, size_t i, bool first)
{
    struct sc_mix_cut *cut = &job->cuts[i], before = *cut;
    const size_t size = (size_t)1 << job->digit;
    const struct bucket *b = buckets_of(job->total) + (group_of(job, cut->lo) << job->digit);
    size_t last = 0;
    bool found = false;

    for (size_t k = size; k-- > 0 && !found;) {
        if (b[k].steps == 0)
            continue;
        last = k;
        before = *cut;
        cut->error -= b[k].error;
        cut->bytes += b[k].bytes;
        found = ends(job->targets, i, cut->bytes, cut->error);
    }
    if (!found && first) { /* every step is taken and is not enough, or there is room for all */
        cut->lo = cut->hi = 0;
        cut->met = job->targets->by_bytes;
        job->done[i] = true;
        return;
    }
    /* Behind the first digit it ends in one of them; where rounding hides which, in the last. */
    *cut = before;
    cut->lo += (uint64_t)last << job->shift;
    cut->hi = cut->lo + ((UINT64_C(1) << job->shift) - 1);
    job->done[i] = b[last].steps == 1 || job->shift == 0;
}

/* The intervals of the targets that are not done, each once. */
static void regroup(struct select *job)
{
    job->n_groups = 0;
    for (size_t i = 0; i < job->targets->n; i++) {
        if (job->done[i])
            continue;
        size_t k = 0;
        while (k < job->n_groups && job->lo[k] > job->cuts[i].lo)
            k++;
        if (k < job->n_groups && job->lo[k] == job->cuts[i].lo)
            continue;
        memmove(job->lo + k + 1, job->lo + k, (job->n_groups - k) * sizeof *job->lo);
        memmove(job->hi + k + 1, job->hi + k, (job->n_groups - k) * sizeof *job->hi);
        job->lo[k] = job->cuts[i].lo;
        job->hi[k] = job->cuts[i].hi;
        job->n_groups++;
    }
}

static int select_digits(struct select *job, struct sc_error *e)
{
    const bool many = job->targets->n > 1;
    const unsigned width = many                                    ? NARROW_DIGIT
                           : sc_mix_set_cells(job->s) < WIDE_CELLS ? DIGIT
                                                                   : WIDE_DIGIT;
    unsigned left = KEY_BITS, level = 0;

    job->lo[0] = 0, job->hi[0] = INT64_MAX, job->n_groups = 1;
    while (job->n_groups) {
        job->digit = SC_MIN(width, left);
        job->shift = left - job->digit;
        const size_t bytes =
            sizeof(struct begin) + (job->n_groups << job->digit) * sizeof(struct bucket);
        const struct sc_mix_pass pass = {bytes, count_run, count_fold, job};
        job->total = sc_calloc(1, bytes);
        if (!job->total)
            return sc_fail_memory(e);
        const int rc = sc_mix_set_pass(job->s, &pass, e);
        for (size_t i = 0; rc == 0 && i < job->targets->n; i++) {
            if (level == 0)
                begin_target(job, i);
            if (!job->done[i])
                narrow(job, i, level == 0);
        }
        free(job->total);
        TRY(rc);
        left = job->shift;
        level++;
        if (left == 0 || (many && level == NARROW_DIGITS))
            break;
        regroup(job);
    }
    return 0;
}

int sc_mix_select(const struct sc_mix_set *s, const struct sc_mix_price *p,
                  const struct sc_mix_targets *targets, struct sc_mix_cut *cuts, struct sc_error *e)
{
    const size_t n = targets->n;
    struct select job = {.s = s, .p = p, .targets = targets, .cuts = cuts};

    job.done = sc_calloc(n + 1, sizeof *job.done);
    job.lo = sc_calloc(n + 1, sizeof *job.lo);
    job.hi = sc_calloc(n + 1, sizeof *job.hi);
    const int rc = job.done && job.lo && job.hi ? select_digits(&job, e) : sc_fail_memory(e);
    free(job.done);
    free(job.lo);
    free(job.hi);
    return rc;
}

/* ------------------------------------------------------------------------------- applying --- */
struct apply {
    const struct sc_mix_price *p;
    const struct sc_mix_cut *cut;
    int8_t *format;
};

static void apply_run(void *ctx, const struct sc_mix_run *r, void *partial)
{
    const struct apply *job = ctx;
    struct sc_mix_hull h;

    (void)partial;
    for (uint64_t i = 0; i < r->n; i++) {
        unsigned k = 0;
        sc_mix_hull_of(job->p, r, r->first + i, &h);
        while (k + 1 < h.n && h.key[k + 1] > job->cut->hi)
            k++;
        job->format[r->at + i] = (int8_t)h.format[k];
    }
}

/* The steps within the cut, cell by cell. */
static void fill(const struct sc_mix_set *s, const struct apply *job,
                 const struct sc_mix_targets *t)
{
    const struct sc_mix_cut *cut = job->cut;
    const uint64_t end = sc_mix_set_cells(s);
    double error = cut->error;
    uint64_t bytes = cut->bytes;
    struct sc_mix_hull h;

    for (uint64_t at = 0; at < end;) {
        const struct sc_mix_run r = sc_mix_run_at(s, at, end);
        for (uint64_t i = 0; i < r.n; i++) {
            sc_mix_hull_of(job->p, &r, r.first + i, &h);
            for (unsigned k = 1; k < h.n && h.key[k] >= cut->lo; k++) {
                if (h.key[k] > cut->hi)
                    continue;
                const uint64_t more = h.bytes[k] - h.bytes[k - 1];
                if (t->by_bytes ? bytes > *t->bytes || more > *t->bytes - bytes : error <= t->error)
                    break;
                error -= h.error[k - 1] - h.error[k];
                bytes += more;
                job->format[at + i] = (int8_t)h.format[k];
            }
            if (!t->by_bytes && error <= t->error)
                return;
        }
        at += r.n;
    }
}

int sc_mix_apply(const struct sc_mix_set *s, const struct sc_mix_price *p,
                 const struct sc_mix_cut *cut, const struct sc_mix_targets *target, int8_t *format,
                 struct sc_error *e)
{
    struct apply job = {p, cut, format};
    const struct sc_mix_pass pass = {0, apply_run, NULL, &job};

    TRY(sc_mix_set_pass(s, &pass, e));
    if (target && cut->lo > 0 && cut->lo != UINT64_MAX)
        fill(s, &job, target);
    return 0;
}

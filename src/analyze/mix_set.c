/* SPDX-License-Identifier: Apache-2.0 */
/* mix_set: passes over the cells of several tables, and the best of several assignments. */
#include "analyze/mix_set.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------ set --- */
enum { PIECE = 1 << 16 }; /* cells that one thread does at a time */

int sc_mix_set_make(struct sc_mix_set *s, const struct sc_cells *const *c, size_t n,
                    const struct sc_parallel *p, struct sc_error *e)
{
    *s = (struct sc_mix_set){.n = n, .p = p};
    s->c = sc_calloc(n + 1, sizeof *s->c);
    s->base = sc_calloc(n + 1, sizeof *s->base);
    s->order = sc_calloc(n + 1, sizeof *s->order);
    if (!s->c || !s->base || !s->order)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n; i++) {
        TRY(sc_mix_check(c[i], e));
        s->c[i] = c[i];
        if (!sc_add(s->base[i], c[i]->n, &s->base[i + 1]) || s->base[i + 1] > SIZE_MAX / 2)
            return sc_fail_memory(e);
        for (uint32_t part = 0; part < SC_MIX_PARTS; part++)
            sc_mix_order_part(c[i], part, s->order[i][part]);
        for (uint64_t k = 0; k < c[i]->n; k++)
            sc_mix_sums_add(&s->x, &c[i]->values[k], NULL);
    }
    return 0;
}

void sc_mix_set_clear(struct sc_mix_set *s)
{
    free(s->c);
    free(s->base);
    free(s->order);
    *s = (struct sc_mix_set){0};
}

struct sc_mix_run sc_mix_run_at(const struct sc_mix_set *s, uint64_t at, uint64_t end)
{
    size_t lo = 0, hi = s->n; /* base[lo] <= at < base[hi] */
    while (hi - lo > 1) {
        const size_t mid = lo + (hi - lo) / 2;
        if (s->base[mid] <= at)
            lo = mid;
        else
            hi = mid;
    }
    return (struct sc_mix_run){
        .c = s->c[lo],
        .order = (const uint8_t(*)[SC_MIX_FORMATS])s->order[lo],
        .table = lo,
        .first = at - s->base[lo],
        .n = SC_MIN(end, s->base[lo + 1]) - at,
        .at = at,
    };
}

struct wave {
    const struct sc_mix_set *s;
    const struct sc_mix_pass *pass;
    uint64_t first; /* piece */
    char *partials;
};

static void do_piece(void *ctx, size_t i)
{
    const struct wave *w = ctx;
    uint64_t at = (w->first + i) * PIECE;
    const uint64_t end = SC_MIN(at + PIECE, sc_mix_set_cells(w->s));
    while (at < end) {
        const struct sc_mix_run r = sc_mix_run_at(w->s, at, end);
        w->pass->run(w->pass->ctx, &r, w->partials + i * w->pass->partial);
        at += r.n;
    }
}

int sc_mix_set_pass(const struct sc_mix_set *s, const struct sc_mix_pass *pass, struct sc_error *e)
{
    const uint64_t pieces = (sc_mix_set_cells(s) + PIECE - 1) / PIECE;
    const size_t threads = s->p ? SC_MAX(s->p->threads, 1U) : 1;
    struct wave w = {s, pass, 0, NULL};

    w.partials = sc_calloc(threads, SC_MAX(pass->partial, (size_t)1));
    if (!w.partials)
        return sc_fail_memory(e);
    for (; w.first < pieces; w.first += threads) {
        const size_t n = (size_t)SC_MIN((uint64_t)threads, pieces - w.first);
        sc_parallel_run(s->p, n, do_piece, &w);
        for (size_t i = 0; pass->fold && i < n; i++)
            pass->fold(pass->ctx, w.partials + i * pass->partial);
        memset(w.partials, 0, threads * pass->partial);
    }
    free(w.partials);
    return 0;
}

struct summing {
    const int8_t *format;
    _Atomic uint32_t *used; /* (tables) */
    struct sc_mix_sums *sums;
    uint64_t bytes;
};
struct summed {
    struct sc_mix_sums sums;
    uint64_t bytes;
};

static void sum_run(void *ctx, const struct sc_mix_run *r, void *partial)
{
    const struct summing *job = ctx;
    const struct sc_cells *c = r->c;
    struct summed *out = partial;
    uint32_t used = 0;

    for (uint64_t i = 0; i < r->n; i++) {
        const struct sc_cell_values *v = &c->values[r->first + i];
        const int8_t format = job->format[r->at + i];
        const struct sc_cell_error *error = NULL;
        if (format >= 0) {
            const size_t f = (size_t)format;
            used |= UINT32_C(1) << f;
            out->bytes = sc_add_up(out->bytes, c->bytes[f][v->part]);
            error = sc_cell_error(c, r->first + i, f);
        }
        sc_mix_sums_add(&out->sums, v, error);
    }
    atomic_fetch_or(&job->used[r->table], used);
}

static void sum_fold(void *ctx, void *partial)
{
    struct summing *job = ctx;
    const struct summed *part = partial;
    sc_mix_sums_join(job->sums, &part->sums);
    job->bytes = sc_add_up(job->bytes, part->bytes);
}

int sc_mix_set_sum(const struct sc_mix_set *s, const int8_t *format, struct sc_mix_sums *sums,
                   uint64_t *bytes, uint64_t *once, struct sc_error *e)
{
    struct summing job = {format, NULL, sums, 0};
    uint64_t added = 0;
    const struct sc_mix_pass pass = {sizeof(struct summed), sum_run, sum_fold, &job};

    memset(sums, 0, sizeof *sums);
    job.used = sc_calloc(s->n + 1, sizeof *job.used);
    if (!job.used)
        return sc_fail_memory(e);
    const int rc = sc_mix_set_pass(s, &pass, e);
    for (size_t i = 0; i < s->n; i++)
        for (size_t f = 0; f < s->c[i]->n_formats; f++)
            if (atomic_load(&job.used[i]) >> f & 1)
                added = sc_add_up(added, s->c[i]->once[f]);
    *bytes = sc_add_up(job.bytes, added);
    if (once)
        *once = added;
    free(job.used);
    return rc;
}

/* --------------------------------------------------------------------------------- search --- */
int sc_mix_search_make(struct sc_mix_search *x, const struct sc_mix_set *s, struct sc_error *e)
{
    x->s = s;
    TRY(sc_records_make(&x->records, 2 * (size_t)sc_mix_set_cells(s), 1, e));
    x->now = x->records.p;
    x->best = x->now + sc_mix_set_cells(s);
    return 0;
}

void sc_mix_search_clear(struct sc_mix_search *x)
{
    sc_records_free(&x->records);
}

static bool is_better(const struct sc_mix_search *x)
{
    const double now = sc_mix_sums_value(&x->now_sums, x->metric);
    const double best = sc_mix_sums_value(&x->best_sums, x->metric);

    if (!x->any || x->now_good != x->best_good)
        return !x->any || x->now_good;
    /* the smaller is better with a goal that holds, and without anything else that tells */
    const bool size_first = x->goal ? x->now_good : !x->now_good;
    if (size_first && x->now_bytes != x->best_bytes)
        return x->now_bytes < x->best_bytes;
    if (sc_mix_better(x->metric, now, best) || sc_mix_better(x->metric, best, now))
        return sc_mix_better(x->metric, now, best);
    return x->now_bytes < x->best_bytes;
}

int sc_mix_search_try(struct sc_mix_search *x, struct sc_error *e)
{
    TRY(sc_mix_set_sum(x->s, x->now, &x->now_sums, &x->now_bytes, &x->now_once, e));
    x->now_good = x->goal ? sc_mix_good(x->goal, sc_mix_sums_value(&x->now_sums, x->metric))
                          : x->now_bytes <= x->budget;
    x->best_is_now = is_better(x);
    if (!x->best_is_now) {
        x->best_is_now = x->now_good && x->best_good && x->now_bytes == x->best_bytes;
        return 0;
    }
    memcpy(x->best, x->now, (size_t)sc_mix_set_cells(x->s));
    x->best_sums = x->now_sums;
    x->best_bytes = x->now_bytes;
    x->best_good = x->now_good;
    x->any = true;
    return 0;
}

struct finish {
    const struct sc_mix_set *s;
    struct sc_mix *out;
    struct sc_mix_sums *sums; /* (tables) */
};

static void finish_table(void *ctx, size_t i)
{
    const struct finish *f = ctx;
    sc_mix_sum_table(f->s->c[i], f->out[i].format, &f->sums[i], &f->out[i].totals);
}

int sc_mix_search_end(const struct sc_mix_search *x, struct sc_mix *out, struct sc_error *e)
{
    const struct sc_mix_set *s = x->s;
    struct finish f = {s, out, sc_calloc(s->n + 1, sizeof *f.sums)};
    struct sc_mix_sums all = {.n = 0};
    uint64_t bytes = 0;
    size_t made = 0;
    int rc = f.sums ? 0 : sc_fail_memory(e);

    for (; rc == 0 && made < s->n; made += rc == 0) {
        rc = sc_mix_make(s->c[made], &out[made], e);
        if (rc == 0)
            memcpy(out[made].format, x->best + s->base[made], (size_t)s->c[made]->n);
    }
    if (rc == 0)
        sc_parallel_run(s->p, s->n, finish_table, &f);
    for (size_t i = 0; rc == 0 && i < s->n; i++) {
        sc_mix_sums_join(&all, &f.sums[i]);
        bytes = sc_add_up(bytes, out[i].totals.bytes);
    }
    const bool good =
        x->goal ? sc_mix_good(x->goal, sc_mix_sums_value(&all, x->metric)) : bytes <= x->budget;
    for (size_t i = 0; i < made; i++) {
        out[i].good = good;
        if (rc < 0)
            sc_mix_clear(&out[i]);
    }
    free(f.sums);
    return rc;
}

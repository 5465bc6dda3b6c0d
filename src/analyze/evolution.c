/* SPDX-License-Identifier: Apache-2.0 */
/* evolution: checkpoints in order, each compared with the next.
 *
 * Owns: tensors followed from checkpoint to checkpoint, what froze, what jumped. Does not
 * own: the comparison of two (diff.c), documents (evolution_document.c).
 *
 * A jump is a step whose relative change is far above the tensor's others: by more than 5 robust
 * standard deviations of their logarithm, and twice their median. The deviation is 1.4826 times the
 * median distance from the median, and taken as a tenth of an octave at least. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff.h"

#define JUMP_Z       5.0
#define JUMP_RATIO   2.0
#define LEAST_SPREAD 0.1
enum { JUMP_STEPS = 3 }; /* fewer have no others */

/* -------------------------------------------------------------------------------- tracks --- */
struct following {
    struct sc_evolution *v;
    uint32_t *here, *there; /* by tensor of a checkpoint and the next: their track */
    uint32_t *first;        /* by tensor of the first: likewise */
    size_t cap;
    double *work; /* (n_steps + 1) */
    struct sc_error *e;
};

static int new_track(struct following *f, const struct sc_tensor *t, uint32_t *out)
{
    struct sc_evolution *v = f->v;

    TRY(sc_grow(&v->tracks, &f->cap, v->n + 1, sizeof *v->tracks, f->e));
    const char *name = sc_arena_copy(&v->arena, t->name, t->name_len);
    const size_t n_figures = 3 * v->n_steps + 1;
    double *figures = SC_ARENA_NEW(&v->arena, double, n_figures);
    if (!name || !figures)
        return sc_fail_memory(f->e);
    for (size_t i = 0; i < n_figures; i++)
        figures[i] = (double)NAN;
    v->tracks[v->n] = (struct sc_track){
        .name = sc_str(name, t->name_len),
        .role = t->role,
        .tower = t->tower,
        .layer = t->layer,
        .parameters = t->parameters,
        .relative = figures,
        .norm = figures + v->n_steps,
        .first = figures + 2 * v->n_steps + 1,
        .trend = (double)NAN,
        .jump = SC_NO_NODE,
        .jump_z = (double)NAN,
    };
    *out = (uint32_t)v->n++;
    return 0;
}

static int follow_step(struct following *f, size_t step)
{
    const struct sc_diff *d = f->v->steps[step];

    for (size_t i = 0; i < d->b->n_tensors; i++)
        f->there[i] = SC_NO_NODE;
    for (size_t i = 0; i < d->n; i++) {
        const struct sc_diff_pair *p = &d->pairs[i];
        /* an embedding that stands for an output matrix is followed as itself, elsewhere */
        const bool is_a = p->pair.a != SC_NO_NODE && !sc_diff_stands_in(d->a, &p->pair, p->pair.a);
        const bool is_b = p->pair.b != SC_NO_NODE && !sc_diff_stands_in(d->b, &p->pair, p->pair.b);
        uint32_t id = is_a ? f->here[p->pair.a] : SC_NO_NODE;
        if (id == SC_NO_NODE)
            TRY(new_track(f, sc_diff_tensor(d, p), &id));
        if (is_a)
            f->here[p->pair.a] = id;
        if (is_b && f->there[p->pair.b] == SC_NO_NODE)
            f->there[p->pair.b] = id;
        if (!p->change)
            continue;
        struct sc_track *t = &f->v->tracks[id];
        t->relative[step] = p->change->relative_l2;
        t->norm[step] = p->change->norm_a;
        t->norm[step + 1] = p->change->norm_b;
    }
    return 0;
}

/* Slope of log2 over the checkpoints, by least squares. */
static double trend_of(const double *norm, size_t n)
{
    double sx = 0, sy = 0, sxx = 0, sxy = 0, count = 0;

    for (size_t i = 0; i < n; i++) {
        if (!(norm[i] > 0) || isinf(norm[i]))
            continue;
        const double x = (double)i, y = log2(norm[i]);
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
        count++;
    }
    return count < 2 ? (double)NAN : (count * sxy - sx * sy) / (count * sxx - sx * sx);
}

static double median_of(struct following *f, const double *x, size_t n, double from)
{
    for (size_t i = 0; i < n; i++)
        f->work[i] = isnan(from) ? x[i] : fabs(log2(x[i]) - from);
    return sc_figures_median(f->work, n);
}

static void find_jump(struct following *f, struct sc_track *t)
{
    const size_t n = f->v->n_steps;
    size_t compared = 0, largest = SIZE_MAX;

    for (size_t i = 0; i < n; i++) {
        compared += !isnan(t->relative[i]);
        if (!isnan(t->relative[i]) &&
            (largest == SIZE_MAX || t->relative[i] > t->relative[largest]))
            largest = i;
    }
    if (compared < JUMP_STEPS || !(t->relative[largest] > 0))
        return;
    const double middle = median_of(f, t->relative, n, (double)NAN);
    double z = (double)INFINITY; /* it never changed but then */
    if (middle > 0) {
        const double spread = 1.4826 * median_of(f, t->relative, n, log2(middle));
        z = (log2(t->relative[largest]) - log2(middle)) / fmax(spread, LEAST_SPREAD);
    }
    if (z > JUMP_Z && t->relative[largest] > JUMP_RATIO * middle) {
        t->jump = (uint32_t)largest;
        t->jump_z = z;
        f->v->n_jumps++;
    }
}

static void settle(struct following *f)
{
    const size_t n = f->v->n_steps;

    for (size_t i = 0; i < f->v->n; i++) {
        struct sc_track *t = &f->v->tracks[i];
        t->frozen = true;
        for (size_t k = 0; k < n; k++) {
            t->frozen = t->frozen && t->relative[k] <= 0;
            t->largest = fmax(t->largest, t->relative[k]);
        }
        f->v->n_frozen += t->frozen;
        t->trend = trend_of(t->norm, n + 1);
        find_jump(f, t);
    }
}

/* What became of the tensors of the first checkpoint since. */
static void follow_first(struct following *f)
{
    struct sc_evolution *v = f->v;

    for (size_t step = 0; step < v->n_steps; step++) {
        const struct sc_diff *d = v->firsts[step];
        for (size_t i = 0; i < d->n; i++) {
            const struct sc_diff_pair *p = &d->pairs[i];
            if (!p->change || p->pair.a == SC_NO_NODE ||
                sc_diff_stands_in(d->a, &p->pair, p->pair.a) || f->first[p->pair.a] == SC_NO_NODE)
                continue;
            v->tracks[f->first[p->pair.a]].first[step] = p->change->relative_l2;
        }
    }
}

static int follow(struct sc_evolution *v, struct sc_error *e)
{
    struct following f = {.v = v, .e = e};
    size_t most = 1;

    for (size_t i = 0; i <= v->n_steps; i++)
        most = SC_MAX(most, v->models[i]->n_tensors);
    f.here = sc_alloc(most * sizeof *f.here);
    f.there = sc_alloc(most * sizeof *f.there);
    f.work = sc_alloc((v->n_steps + 1) * sizeof *f.work);
    f.first = sc_alloc(most * sizeof *f.first);
    int code = f.here && f.there && f.work && f.first ? 0 : sc_fail_memory(e);
    for (size_t i = 0; code == 0 && i < most; i++)
        f.here[i] = SC_NO_NODE;
    for (size_t i = 0; code == 0 && i < v->n_steps; i++) {
        code = follow_step(&f, i);
        if (i == 0)
            memcpy(f.first, f.here, most * sizeof *f.first);
        uint32_t *swap = f.here;
        f.here = f.there;
        f.there = swap;
    }
    if (code == 0) {
        follow_first(&f);
        settle(&f);
    }
    free(f.first);
    free(f.here);
    free(f.there);
    free(f.work);
    return code;
}

int sc_evolution_run(const struct sc_model *const *models, size_t n,
                     const struct sc_diff_options *o, struct sc_evolution **out, struct sc_error *e)
{
    struct sc_evolution *v = sc_calloc(1, sizeof *v);

    *out = v;
    if (!v)
        return sc_fail_memory(e);
    v->models = sc_alloc(n * sizeof(struct sc_model *));
    v->steps = sc_calloc(n, sizeof(struct sc_diff *));
    v->firsts = sc_calloc(n, sizeof(struct sc_diff *));
    if (!v->models || !v->steps || !v->firsts)
        return sc_fail_memory(e);
    memcpy(v->models, models, n * sizeof(struct sc_model *));
    for (size_t i = 0; i + 1 < n; i++) {
        v->n_steps = i + 1;
        TRY(sc_diff_run(models[i], models[i + 1], NULL, o, &v->steps[i], e));
    }
    struct sc_diff_options sums = *o; /* spectra are of steps alone */
    sums.methods = SC_METHOD_BASIC;
    v->firsts[0] = v->steps[0];
    for (size_t i = 1; i + 1 < n; i++)
        TRY(sc_diff_run(models[0], models[i + 1], NULL, &sums, &v->firsts[i], e));
    return follow(v, e);
}

void sc_evolution_free(struct sc_evolution *v)
{
    if (!v)
        return;
    for (size_t i = 0; v->steps && i < v->n_steps; i++)
        sc_diff_free(v->steps[i]);
    for (size_t i = 1; v->firsts && i < v->n_steps; i++)
        sc_diff_free(v->firsts[i]);
    free(v->firsts);
    free(v->steps);
    free(v->models);
    free(v->tracks);
    sc_arena_clear(&v->arena);
    free(v);
}

bool sc_evolution_identical(const struct sc_evolution *v)
{
    bool same = true;

    for (size_t i = 0; i < v->n_steps; i++)
        same = same && sc_diff_identical(v->steps[i]);
    return same;
}

void sc_evolution_sentence(const struct sc_evolution *v, struct sc_buf *out)
{
    double low = (double)INFINITY, high = 0;

    for (size_t i = 0; i < v->n_steps; i++) {
        const double x = sc_diff_relative(&v->steps[i]->sums);
        low = fmin(low, x);
        high = fmax(high, x);
    }
    if (!v->n)
        sc_buf_puts(out, "there are no tensors to compare");
    else if (sc_evolution_identical(v))
        sc_buf_printf(out, "all values of %zu tensors are the same in %zu checkpoints", v->n,
                      v->n_steps + 1);
    else if (low <= high)
        sc_buf_printf(out, "%zu steps; relative change %.3g to %.3g a step", v->n_steps, low, high);
    else
        sc_buf_puts(out, "nothing could be compared");
    if (low <= high)
        sc_buf_printf(out, "; %zu of %zu tensors frozen", v->n_frozen, v->n);
    if (v->n_jumps)
        sc_buf_printf(out, "; %zu jumped", v->n_jumps);
}

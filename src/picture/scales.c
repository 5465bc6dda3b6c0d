/* SPDX-License-Identifier: Apache-2.0 */
/* scales: how large the weights of a tensor are.
 *
 * A pyramid knows it of its tensor. Until it is there, an estimate serves: runs of 256 elements at
 * fixed places, one somewhere in each of equal shares of the tensor. How many depends on how many
 * tensors the model has, so that the estimate of a tensor is the same whatever else is asked for.
 *
 * Figures of roles and of the model are gathered again when one of a tensor has changed. */
#include "picture/scales.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "picture/pyramid.h"

enum { RUN = 256, MOST_RUNS = 64, LEAST_RUNS = 4, ALL_RUNS = 65536 };

struct sc_scales {
    struct sc_pyramids *p;
    _Atomic uint64_t *guess;  /* of tensors: two floats; UNKNOWN */
    _Atomic uint64_t guessed; /* how often one was made */
    _Atomic uint32_t *ends;   /* of tensors: bits of floats; 0: not known */
    pthread_mutex_t lock;     /* of what follows */
    uint64_t seen;            /* state of all at the time of: */
    struct sc_scale_range roles[SC_ROLE_COUNT], model;
};
#define UNKNOWN UINT64_MAX /* two NaNs */

int sc_scales_new(struct sc_pyramids *p, struct sc_scales **out, struct sc_error *e)
{
    struct sc_scales *s = sc_calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return sc_fail_memory(e);
    s->p = p;
    s->seen = UINT64_MAX;
    s->guess = sc_alloc(p->model->n_tensors * sizeof *s->guess);
    s->ends = sc_calloc(p->model->n_tensors, sizeof *s->ends);
    if (!s->guess || !s->ends) {
        free((void *)(uintptr_t)s->guess);
        free((void *)(uintptr_t)s->ends);
        free(s);
        return sc_fail_memory(e);
    }
    for (size_t i = 0; i < p->model->n_tensors; i++)
        atomic_init(&s->guess[i], UNKNOWN);
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return 0;
}

void sc_scales_free(struct sc_scales *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free((void *)(uintptr_t)s->guess);
    free((void *)(uintptr_t)s->ends);
    free(s);
}

/* --------------------------------------------------------------------- ends that are given --- */

void sc_scales_set_rms(struct sc_scales *s, uint32_t tensor, double rms)
{
    if (rms >= 0 && rms < (double)INFINITY)
        s->ends[tensor] = sc_bits_of((float)(0.5 * fmax(rms, 1e-6)));
}

float sc_scales_end(const struct sc_scales *s, uint32_t tensor)
{
    float most = 0;
    if (tensor < s->p->model->n_tensors)
        return sc_float_of(s->ends[tensor]);
    for (size_t i = 0; i < s->p->model->n_tensors; i++)
        most = SC_MAX(most, sc_float_of(s->ends[i]));
    return most;
}

/* ------------------------------------------------------------------------------- estimates --- */

static unsigned runs_of(const struct sc_pyramids *p)
{
    const uint64_t runs = ALL_RUNS / SC_MAX((uint64_t)p->model->n_tensors, UINT64_C(1));
    return (unsigned)SC_MAX(SC_MIN(runs, (uint64_t)MOST_RUNS), (uint64_t)LEAST_RUNS);
}

struct guessing {
    struct sc_magnitudes counts;
    float values[2 * RUN], most; /* most: of |x| */
};

static void take_run(struct guessing *g, size_t n)
{
    sc_magnitudes_take(&g->counts, 0, 0, g->values, n, SC_CPU_C);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &g->values[i], sizeof bits);
        bits &= 0x7fffffff;
        float x;
        memcpy(&x, &bits, sizeof x);
        g->most = bits < 0x7f800000 && x > g->most ? x : g->most;
    }
}

/* Somewhere in the share, so that runs do not stand in the same columns. */
static uint64_t place_of(uint64_t first, uint64_t n, uint64_t k)
{
    const uint64_t mixed = (k + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    return n > RUN ? first + mixed % (n - RUN + 1) : first;
}

static int read_runs(struct sc_values *v, const struct sc_cell_grid *grid, unsigned n_runs,
                     struct guessing *g, struct sc_error *e)
{
    const unsigned each = sc_values_each(v, grid);
    const uint64_t count = v->count / SC_MAX(each, 1U);
    const uint64_t n = count <= (uint64_t)n_runs * RUN ? (count + RUN - 1) / RUN : n_runs;
    for (uint64_t k = 0; k < n; k++) {
        const uint64_t first = count / n * k, next = k + 1 < n ? count / n * (k + 1) : count;
        const uint64_t at = n < n_runs ? k * RUN : place_of(first, next - first, k);
        const uint64_t some = SC_MIN((uint64_t)RUN, count - at);
        TRY(sc_read_elements(v, each, at, some, 1, some, g->values, e));
        take_run(g, (size_t)some);
    }
    return 0;
}

static int guess(struct sc_scales *s, uint32_t tensor, struct sc_error *e)
{
    struct sc_pyramids *p = s->p;
    struct sc_values *v;
    struct sc_scale_range r = {0};
    TRY(sc_pyramids_view(p, tensor, &v, e));
    struct guessing *g = sc_calloc(1, sizeof *g);
    int code = g ? 0 : sc_fail_memory(e);
    if (g)
        sc_magnitudes_start(&g->counts, UINT64_MAX, 0); /* what comes will not be as many */
    const bool near = sc_values_are_near(v);
    if (code == 0 && near)
        code = read_runs(v, &p->entries[tensor].grid, runs_of(p), g, e);
    sc_pyramids_release(p, tensor, v);
    if (code == 0 && near) {
        uint64_t bits;
        r = (struct sc_scale_range){sc_magnitudes_robust(&g->counts), g->most};
        memcpy(&bits, &r, sizeof bits);
        s->guess[tensor] = bits;
        s->guessed++;
    }
    free(g);
    return code;
}

struct sampling {
    struct sc_scales *s;
    const uint32_t *tensors; /* NULL: all */
    const _Atomic int *cancel;
    _Atomic bool no_memory;
};

static void sample_one(void *ctx, size_t i)
{
    struct sampling *a = ctx;
    const struct sc_pyramids *p = a->s->p;
    const uint32_t tensor = a->tensors ? a->tensors[i] : (uint32_t)i;
    struct sc_scale_range r;
    struct sc_error e = {0};
    bool final;
    if (tensor >= p->model->n_tensors || !p->entries[tensor].drawn || p->entries[tensor].instead ||
        a->no_memory || (a->cancel && *a->cancel) || sc_scales_of(a->s, tensor, &r, &final))
        return;
    /* What cannot be read is shown as unknown, and needs no scale. */
    if (guess(a->s, tensor, &e) == SCRUPLE_EMEMORY)
        a->no_memory = true;
}

int sc_scales_sample(struct sc_scales *s, struct sc_pool *pool, const uint32_t *tensors, size_t n,
                     const _Atomic int *cancel, struct sc_error *e)
{
    struct sampling a = {.s = s, .tensors = tensors, .cancel = cancel};
    sc_pool_for(pool, tensors ? n : s->p->model->n_tensors, sample_one, &a);
    if (cancel && *cancel)
        return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
    return a.no_memory ? sc_fail_memory(e) : 0;
}

/* -------------------------------------------------------------------------- what is known --- */

/* What was fetched of a tensor that is elsewhere tells its size, as if it were normal. */
static bool from_far(const struct sc_pyramids *p, uint32_t tensor, struct sc_scale_range *out)
{
    const struct sc_pyramid_entry *t = &p->entries[tensor];
    bool known = false;
    if (!sc_pyramids_is_far(p, tensor))
        return false;
    for (uint64_t i = 0; i < t->grid.slices; i++) {
        const uint64_t bits = p->quick[t->first_top + i];
        const struct sc_cell_stats cell = sc_cell_from_bits(bits);
        struct sc_cell_sum c;
        if (!bits)
            continue;
        known = true;
        sc_cell_unpack(&cell, 1, &c);
        if (c.n == 0)
            continue;
        out->abs = SC_MAX(out->abs, SC_MAX(-c.min, c.max));
        out->robust = SC_MAX(out->robust, (float)(3.3 * sqrt(c.square)));
    }
    out->robust = SC_MIN(out->robust, out->abs);
    return known;
}

bool sc_scales_of(struct sc_scales *s, uint32_t tensor, struct sc_scale_range *out, bool *final)
{
    *out = (struct sc_scale_range){0};
    *final = true;
    if (tensor >= s->p->model->n_tensors || !s->p->entries[tensor].drawn)
        return false;
    if (sc_pyramids_range(s->p, tensor, out, final))
        return true;
    const uint64_t bits = s->guess[tensor];
    if (bits == UNKNOWN)
        return from_far(s->p, tensor, out);
    memcpy(out, &bits, sizeof bits);
    return true;
}

static void widen(struct sc_scale_range *to, const struct sc_scale_range *by)
{
    to->robust = SC_MAX(to->robust, by->robust);
    to->abs = SC_MAX(to->abs, by->abs);
}

/* With the lock held. */
static void gather(struct sc_scales *s)
{
    const struct sc_model *m = s->p->model;
    const uint64_t now = s->guessed + sc_pyramids_ranges(s->p);
    if (now == s->seen)
        return;
    s->seen = now;
    memset(s->roles, 0, sizeof s->roles);
    s->model = (struct sc_scale_range){0};
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        struct sc_scale_range r;
        bool final;
        if (!sc_scales_of(s, i, &r, &final))
            continue;
        widen(&s->roles[m->tensors[i].role], &r);
        widen(&s->model, &r);
    }
}

void sc_scales_all(struct sc_scales *s, struct sc_scale_range roles[SC_ROLE_COUNT],
                   struct sc_scale_range *model)
{
    pthread_mutex_lock(&s->lock);
    gather(s);
    memcpy(roles, s->roles, sizeof s->roles);
    *model = s->model;
    pthread_mutex_unlock(&s->lock);
}

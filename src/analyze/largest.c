/* SPDX-License-Identifier: Apache-2.0 */
/* largest: which matrices are ranked, and from rankings to the list. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/largest_parts.h"

enum { BYTES_OF_ONE = 512, LEAST_LIST = 4096 };

const char *const sc_large_pers[SC_LARGE_PERS + 1] = {"model", "layer", "tensor", "matrix", NULL};

/* -------------------------------------------------------------------------------- the plan --- */

static bool in_layers(const struct sc_large_ranges *r, int32_t layer)
{
    for (size_t i = 0; r && i < r->n; i++)
        if (layer >= 0 && (uint64_t)layer >= r->p[i].first && (uint64_t)layer <= r->p[i].last)
            return true;
    return !r || r->n == 0;
}

static bool is_weight(const struct sc_tensor *t)
{
    const bool whole = t->layout == SC_LAYOUT_PLAIN && (t->dtype[0] == 'I' || t->dtype[0] == 'U' ||
                                                        strncmp(t->dtype, "BOOL", 4) == 0);
    return t->rank >= 2 && !whole && t->role != SC_ROLE_EMBEDDING && t->role != SC_ROLE_POSITION &&
           t->role != SC_ROLE_OUTPUT && t->role != SC_ROLE_NORM && t->role != SC_ROLE_BIAS;
}

/* False: not wanted. *parts: of a fused tensor only these. */
static bool is_wanted(const struct sc_large_finding *x, uint32_t tensor,
                      const struct sc_large_shape *s, uint32_t *parts)
{
    const struct sc_tensor *t = &x->m->tensors[tensor];
    const uint32_t kinds = x->o->kinds;
    const uint32_t halves = SC_LARGE_KIND(SC_ROLE_GATE) | SC_LARGE_KIND(SC_ROLE_UP);
    const uint32_t thirds =
        SC_LARGE_KIND(SC_ROLE_Q) | SC_LARGE_KIND(SC_ROLE_K) | SC_LARGE_KIND(SC_ROLE_V);

    *parts = 0;
    if (!t->parameters || !s->rows || !s->cols || !in_layers(x->o->layers, t->layer) ||
        !sc_filter_match(x->o->filter, sc_tensor_name(t)))
        return false;
    if (kinds == SC_LARGE_KINDS_DEFAULT)
        return is_weight(t);
    const enum sc_role own = s->fused == SC_FUSED_HALVES || s->fused == SC_FUSED_TURNS
                                 ? SC_ROLE_GATE_UP /* whatever its name says */
                                 : (enum sc_role)t->role;
    if (kinds & SC_LARGE_KIND(own))
        return true;
    if (s->fused != SC_FUSED_NOT)
        *parts = kinds & (s->fused == SC_FUSED_QKV ? thirds : halves);
    return *parts != 0;
}

/* Values of a matrix that are wanted. */
static uint64_t wanted_values(const struct sc_large_shape *s, uint32_t parts)
{
    uint64_t rows = 0;

    if (!parts)
        return s->rows * s->cols;
    if (s->fused == SC_FUSED_QKV) {
        rows += parts & SC_LARGE_KIND(SC_ROLE_Q) ? s->groups * s->q : 0;
        rows += parts & SC_LARGE_KIND(SC_ROLE_K) ? s->groups * s->kv : 0;
        rows += parts & SC_LARGE_KIND(SC_ROLE_V) ? s->groups * s->kv : 0;
    } else {
        const uint64_t up = s->rows / 2, gate = s->fused == SC_FUSED_TURNS ? s->rows - up : up;
        rows += parts & SC_LARGE_KIND(SC_ROLE_GATE) ? gate : 0;
        rows += parts & SC_LARGE_KIND(SC_ROLE_UP) ? s->rows - gate : 0;
    }
    return rows * s->cols;
}

/* The group that a matrix belongs to; a new one when it is the first. */
static int find_group(struct sc_large_finding *x, uint32_t matrix, uint32_t *out,
                      struct sc_error *e)
{
    struct sc_largest *l = x->out;
    const struct sc_large_matrix *m = &l->matrices[matrix];
    const struct sc_tensor *t = &x->m->tensors[m->tensor];
    const enum sc_large_per per = x->o->by == SC_LARGE_ABOVE ? SC_LARGE_PER_MODEL : x->o->per;

    for (size_t i = l->n_groups; i-- > 0;) {
        const struct sc_large_matrix *first = &l->matrices[l->groups[i].first_matrix];
        const struct sc_tensor *f = &x->m->tensors[first->tensor];
        *out = (uint32_t)i;
        if (per == SC_LARGE_PER_MODEL ||
            (per == SC_LARGE_PER_LAYER && f->layer == t->layer && f->tower == t->tower) ||
            (per == SC_LARGE_PER_TENSOR && first->tensor == m->tensor))
            return 0;
        if (per >= SC_LARGE_PER_TENSOR) /* those of a tensor follow each other */
            break;
    }
    TRY(sc_grow(&l->groups, &x->groups_cap, l->n_groups + 1, sizeof *l->groups, e));
    *out = (uint32_t)l->n_groups;
    l->groups[l->n_groups++] = (struct sc_large_group){.first_matrix = matrix};
    return 0;
}

static int add_tensor(struct sc_large_finding *x, uint32_t tensor, const struct sc_large_shape *s,
                      uint32_t parts, struct sc_error *e)
{
    struct sc_largest *l = x->out;
    const struct sc_tensor *t = &x->m->tensors[tensor];

    if (s->slices > UINT32_MAX / 2 - l->n_matrices)
        return sc_fail(e, SCRUPLE_ELIMIT, "the model has too many matrices");
    TRY(sc_grow(&x->items, &x->items_cap, x->n_items + 1, sizeof *x->items, e));
    TRY(sc_grow(&x->sources, &x->sources_cap, x->n_items + 1, sizeof *x->sources, e));
    x->items[x->n_items] = (struct sc_item){.tensor = tensor, .tensor_b = SC_NO_NODE};
    x->sources[x->n_items++] =
        (struct sc_large_source){.first = (uint32_t)l->n_matrices, .parts = parts};
    for (uint64_t i = 0; i < s->slices; i++) {
        const uint32_t at = (uint32_t)l->n_matrices;
        uint32_t group = 0;
        TRY(sc_grow(&l->matrices, &x->matrices_cap, l->n_matrices + 1, sizeof *l->matrices, e));
        TRY(sc_grow(&x->group_of, &x->group_of_cap, l->n_matrices + 1, sizeof *x->group_of, e));
        l->matrices[l->n_matrices++] =
            (struct sc_large_matrix){.tensor = tensor,
                                     .slice = (uint32_t)i,
                                     .layer = t->layer,
                                     .expert = s->slices > 1 ? (int32_t)i : t->expert,
                                     .role = t->role,
                                     .shape = *s,
                                     .rms = (double)NAN,
                                     .abs_max = (double)NAN};
        TRY(find_group(x, at, &group, e));
        x->group_of[at] = group;
        l->groups[group].values = sc_add_up(l->groups[group].values, wanted_values(s, parts));
    }
    return 0;
}

static uint64_t asked_of(const struct sc_largest_options *o, uint64_t values)
{
    if (o->by == SC_LARGE_ABOVE)
        return values;
    if (o->by == SC_LARGE_TOP)
        return SC_MIN(o->top, values);
    const double share = floor((double)values * (o->percent / 100));
    return share >= (double)values ? values : SC_MAX((uint64_t)share, UINT64_C(1));
}

static int make_plan(struct sc_large_finding *x, struct sc_error *e)
{
    struct sc_largest *l = x->out;
    uint64_t all = 0;

    for (uint32_t i = 0; i < x->m->n_tensors; i++) {
        struct sc_large_shape s;
        uint32_t parts;
        sc_large_shape(x->m, i, &s);
        if (is_wanted(x, i, &s, &parts))
            TRY(add_tensor(x, i, &s, parts, e));
    }
    x->ceiling = SC_MAX(x->o->memory / BYTES_OF_ONE, (uint64_t)LEAST_LIST);
    for (size_t i = 0; i < l->n_groups; i++) {
        l->groups[i].asked = asked_of(x->o, l->groups[i].values);
        all = sc_add_up(all, l->groups[i].asked);
    }
    if (x->o->by != SC_LARGE_ABOVE && all > x->ceiling)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "a list of %llu weights does not fit the memory, which has room for %llu: "
                       "ask for fewer, or give more --memory",
                       (unsigned long long)all, (unsigned long long)x->ceiling);
    return 0;
}

/* What cannot be decoded is left out. What fails on the way has been ranked in part, and shares are
 * of what is read: once more, without it. */
static int item_done(void *ctx, size_t item, const struct sc_error *why)
{
    struct sc_large_finding *x = ctx;
    struct sc_large_source *s = &x->sources[item];

    if (!why)
        return 0;
    if (x->out->unread++ == 0)
        memcpy(x->out->why, why->text, sizeof x->out->why - 1);
    s->failed = true;
    x->again |= s->begun || x->o->by == SC_LARGE_PERCENT;
    return 0;
}

static void tell_progress(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    const struct sc_large_finding *x = ctx;

    (void)tensor;
    x->o->progress(x->o->ctx, done, total);
}

/* -------------------------------------------------------------------------------- running --- */

static int sweep(struct sc_large_finding *x, struct sc_error *e)
{
    static const struct sc_pass *const passes[] = {&sc_large_pass};
    void *ctx[] = {x};
    const struct sc_sweep s = {.pool = x->o->pool,
                               .model = x->m,
                               .items = x->items,
                               .n_items = x->n_items,
                               .passes = passes,
                               .pass_ctx = ctx,
                               .n_passes = 1,
                               .memory = x->o->memory,
                               .cancel = x->o->cancel,
                               .done = item_done,
                               .progress = x->o->progress ? tell_progress : NULL,
                               .ctx = x};

    return sc_sweep_run(&s, e);
}

/* Without what has failed so far, and as if nothing had been seen. */
static void start_again(struct sc_large_finding *x)
{
    struct sc_largest *l = x->out;
    size_t kept = 0;

    for (size_t i = 0; i < x->n_items; i++)
        if (!x->sources[i].failed) {
            x->items[kept] = x->items[i];
            x->sources[kept] = x->sources[i];
            x->sources[kept++].begun = false;
        }
    x->n_items = kept;
    for (size_t i = 0; i < l->n_groups; i++)
        l->groups[i].values = 0;
    for (size_t i = 0; i < kept; i++) {
        const uint32_t first = x->sources[i].first;
        const struct sc_large_shape *s = &l->matrices[first].shape;
        for (uint64_t k = 0; k < s->slices; k++) {
            uint64_t *values = &l->groups[x->group_of[first + k]].values;
            *values = sc_add_up(*values, wanted_values(s, x->sources[i].parts));
        }
    }
    for (size_t i = 0; i < l->n_matrices; i++) {
        struct sc_large_matrix *m = &l->matrices[i];
        m->count = m->nans = m->infinities = 0;
        m->rms = m->abs_max = (double)NAN;
        m->read = false;
    }
    for (size_t i = 0; i < l->n_groups; i++) {
        struct sc_large_ranking *r = &x->rankings[i];
        l->groups[i].asked = asked_of(x->o, l->groups[i].values);
        r->most = SC_MAX(SC_MIN(l->groups[i].asked, x->ceiling), UINT64_C(1));
        r->n = 0;
        r->full = false;
        r->ties = 0;
    }
    for (size_t i = 0; i < x->o->n_probes; i++)
        atomic_store(&x->o->probes[i].larger, 0);
    x->again = false;
}

static int read_probes(struct sc_large_finding *x, struct sc_error *e)
{
    for (size_t i = 0; i < x->o->n_probes; i++) {
        struct sc_large_probe *p = &x->o->probes[i];
        struct sc_values *v = NULL;
        struct sc_error why = {0};
        int code = sc_values_open(x->m, p->tensor, &v, &why);
        if (code == 0)
            code = p->element < v->count ? sc_values_read(v, p->element, 1, &p->value, &why)
                                         : SCRUPLE_EFORMAT;
        sc_values_close(v);
        if (code == SCRUPLE_EMEMORY || code == SCRUPLE_EINTERRUPTED) {
            *e = why;
            return code;
        }
        p->known = code == 0 && isfinite(p->value);
    }
    return 0;
}

/* From rankings to the list. */
static int put_weights(struct sc_large_finding *x, struct sc_error *e)
{
    struct sc_largest *l = x->out;
    size_t n = 0;

    for (size_t i = 0; i < l->n_groups; i++) {
        sc_large_finish(&x->rankings[i]);
        if (x->o->by == SC_LARGE_ABOVE && x->rankings[i].full)
            return sc_fail(e, SCRUPLE_ELIMIT,
                           "more than %llu weights are above %g, and the list of them does not fit "
                           "the memory: ask for larger ones, or give more --memory",
                           (unsigned long long)x->ceiling, x->o->above);
        n += x->rankings[i].n;
    }
    l->weights = sc_calloc(n + 1, sizeof *l->weights);
    if (!l->weights)
        return sc_fail_memory(e);
    for (size_t i = 0; i < l->n_groups; i++) {
        struct sc_large_ranking *r = &x->rankings[i];
        l->groups[i].first = l->n;
        l->groups[i].n = r->n;
        l->groups[i].ties = r->ties;
        for (size_t k = 0; k < r->n; k++) {
            const struct sc_large_item *item = &r->p[k];
            const struct sc_large_matrix *m = &l->matrices[item->matrix];
            const struct sc_large_shape *s = &m->shape;
            const uint64_t row = item->place / s->cols, col = item->place % s->cols;
            struct sc_large_weight *w = &l->weights[l->n++];
            *w = (struct sc_large_weight){.matrix = item->matrix,
                                          .group = (uint32_t)i,
                                          .element =
                                              m->slice * s->rows * s->cols +
                                              (s->transposed ? col * s->width + row : item->place),
                                          .row = row,
                                          .col = col,
                                          .value = sc_float_of(item->bits)};
            w->role = (uint8_t)sc_large_role(s, (enum sc_role)m->role, w->row);
        }
        free(r->p); /* as early as can be: the list takes more */
        *r = (struct sc_large_ranking){.most = 1};
    }
    return 0;
}

static int run_all(struct sc_large_finding *x, struct sc_error *e)
{
    struct sc_largest *l = x->out;

    TRY(make_plan(x, e));
    if (!l->n_matrices)
        return 0;
    x->rankings = sc_calloc(l->n_groups, sizeof *x->rankings);
    if (!x->rankings)
        return sc_fail_memory(e);
    TRY(read_probes(x, e));
    do {
        start_again(x);
        TRY(sweep(x, e));
    } while (x->again);
    TRY(put_weights(x, e));
    for (size_t i = 0; i < l->n_matrices; i++) {
        l->values += l->matrices[i].count;
        l->nans += l->matrices[i].nans;
        l->infinities += l->matrices[i].infinities;
    }
    return sc_large_find_lines(l, e);
}

/* The least size that is above a number: of a float, as bits. */
static uint32_t bits_above(double above)
{
    uint32_t low = 0, high = SC_LARGE_INFINITE;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if ((double)sc_float_of(middle) > above)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int sc_largest_find(const struct sc_model *m, const struct sc_largest_options *o,
                    struct sc_largest *out, struct sc_error *e)
{
    struct sc_large_finding x = {.m = m, .o = o, .out = out, .level = sc_cpu_level()};

    memset(out, 0, sizeof *out);
    if (o->by == SC_LARGE_ABOVE)
        x.least = bits_above(o->above);
    pthread_mutex_init(&x.lock, NULL);
    const int code = run_all(&x, e);
    pthread_mutex_destroy(&x.lock);
    for (size_t i = 0; x.rankings && i < out->n_groups; i++)
        free(x.rankings[i].p);
    free(x.rankings);
    free(x.group_of);
    free(x.items);
    free(x.sources);
    return code;
}

void sc_largest_clear(struct sc_largest *l)
{
    free(l->matrices);
    free(l->groups);
    free(l->weights);
    free(l->lines);
    memset(l, 0, sizeof *l);
}

/* ------------------------------------------------------------------------------- words --- */

int sc_large_kinds(const char *text, uint32_t *out, struct sc_error *e)
{
    struct sc_quoted q;

    *out = 0;
    for (const char *p = text;; p++) {
        const size_t n = strcspn(p, ",");
        size_t role = 0;
        while (role < SC_ROLE_COUNT && !sc_str_is(sc_str(p, n), sc_role_names[role]))
            role++;
        if (sc_str_is(sc_str(p, n), "all"))
            *out |= (SC_LARGE_KIND(SC_ROLE_COUNT)) - 1;
        else if (role < SC_ROLE_COUNT)
            *out |= SC_LARGE_KIND(role);
        else
            return sc_fail(
                e, SCRUPLE_EUSAGE,
                "there is no kind %s: kinds are all, embedding, position, lm_head, norm, "
                "q_proj, k_proj, v_proj, o_proj, qkv_proj, kv_proj, q_a_proj, q_b_proj, "
                "kv_a_proj, kv_b_proj, gate_proj, up_proj, down_proj, gate_up_proj, "
                "router, conv, ssm, bias and other",
                sc_quote(&q, sc_str(p, n)));
        p += n;
        if (!*p)
            return 0;
    }
}

int sc_large_layers(const char *text, struct sc_large_ranges *out, struct sc_error *e)
{
    struct sc_quoted q;

    out->n = 0;
    for (const char *p = text;; p++) {
        const size_t n = strcspn(p, ","), first = strcspn(p, ",-");
        struct sc_large_range r;
        const bool one = first == n;
        if (out->n == SC_LARGE_RANGES)
            return sc_fail(e, SCRUPLE_EUSAGE, "more than %d ranges of layers", SC_LARGE_RANGES);
        if (!sc_str_u64(sc_str(p, first), &r.first) ||
            !sc_str_u64(one ? sc_str(p, first) : sc_str(p + first + 1, n - first - 1), &r.last) ||
            r.first > r.last)
            return sc_fail(e, SCRUPLE_EUSAGE,
                           "layers cannot be %s: they are numbers and ranges with commas, such as "
                           "0-3,7",
                           sc_quote(&q, sc_str(p, n)));
        out->p[out->n++] = r;
        p += n;
        if (!*p)
            return 0;
    }
}

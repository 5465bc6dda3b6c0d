/* SPDX-License-Identifier: Apache-2.0 */
/* diff: which pairs of tensors are compared, and what becomes of each.
 *
 *   pair      sc_models_pair(); of an adapter with what it changes
 *   twins     pairs that both files store once are compared once
 *   recall    figures of an earlier run, by the content of both
 *   compare   the rest, each read once
 *   spectra   of the differences that are there, when asked
 *   rank      by relative change
 *
 * An adapter's update is never formed: W is compared with a view of W + s B A, and the spectrum of
 * s B A comes from its factors. Without a base, W is zero. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff.h"
#include "analyze/results.h"

enum { PRODUCT_RANK = 1024 }; /* up to it a spectrum comes from the factors: its cost is cubic */
#define FACTORS_LEAST (UINT64_C(64) << 20)

const char *const sc_diff_status_names[] = {
    [SC_DIFF_SAME] = "same",     [SC_DIFF_CHANGED] = "changed", [SC_DIFF_SHAPE] = "shape",
    [SC_DIFF_ONLY_A] = "only_a", [SC_DIFF_ONLY_B] = "only_b",   [SC_DIFF_UNREADABLE] = "unreadable",
};
const char *const sc_pair_rule_names[] = {
    [SC_PAIR_BY_NAME] = "name",     [SC_PAIR_BY_CANONICAL] = "canonical",
    [SC_PAIR_BY_ENDING] = "ending", [SC_PAIR_BY_TYING] = "tying",
    [SC_PAIR_BY_PART] = "part",
};

int sc_diff_methods_parse(const char *text, unsigned *methods, struct sc_error *e)
{
    static const struct {
        const char *word;
        unsigned methods;
    } words[] = {{"basic", SC_METHOD_BASIC},
                 {"spectral", SC_METHOD_BASIC | SC_METHOD_SPECTRAL},
                 {"ulp", SC_METHOD_BASIC | SC_METHOD_ULP},
                 {"all", SC_METHOD_BASIC | SC_METHOD_SPECTRAL | SC_METHOD_ULP}};
    struct sc_quoted q;

    *methods = 0;
    for (const char *p = text;; p++) {
        const size_t n = strcspn(p, ",");
        unsigned found = 0;
        for (size_t i = 0; i < SC_COUNT(words); i++)
            if (sc_str_is(sc_str(p, n), words[i].word))
                found = words[i].methods;
        if (!found)
            return sc_fail(e, SCRUPLE_EUSAGE,
                           "--methods cannot be \"%s\": it takes basic, spectral, ulp, all",
                           sc_quote(&q, sc_str(p, n)));
        *methods |= found;
        p += n;
        if (!*p)
            return 0;
    }
}

/* --------------------------------------------------------------------------------- the run --- */
struct run {
    struct sc_diff *d;
    const struct sc_diff_options *o;
    struct sc_results *results;
    struct sc_measure measure; /* of spectra */
    uint8_t *todo;             /* (n) enum todo bits */
    struct sc_item *items;     /* of one sweep; item k is pair at[k] */
    uint32_t *at;
    bool *stored;                 /* of an item: both sides are read as they are */
    const struct sc_casts *casts; /* what is tried */
    bool spectra;                 /* this sweep is for them */
    uint64_t before, total;       /* bytes of earlier sweeps, of all */
    struct sc_buf key;            /* scratch */
    struct sc_error *e;
};
enum todo { TODO_CHANGE = 1, TODO_SPECTRUM = 2 };

static bool cancelled(const struct run *r)
{
    return r->o->cancel && *r->o->cancel;
}

static bool ends_all(int code)
{
    return code == SCRUPLE_EINTERRUPTED || code == SCRUPLE_EMEMORY;
}

static struct sc_change *change_at(const struct run *r, size_t i)
{
    return sc_record(&r->d->records, i);
}

bool sc_diff_stands_in(const struct sc_model *m, const struct sc_pair *p, uint32_t tensor)
{
    return p->rule == SC_PAIR_BY_TYING && p->a != SC_NO_NODE && p->b != SC_NO_NODE &&
           m->tensors[tensor].role != SC_ROLE_OUTPUT;
}

const struct sc_tensor *sc_diff_tensor(const struct sc_diff *d, const struct sc_diff_pair *p)
{
    if (p->pair.a != SC_NO_NODE && !sc_diff_stands_in(d->a, &p->pair, p->pair.a))
        return &d->a->tensors[p->pair.a];
    return &d->b->tensors[p->pair.b];
}

/* The stored tensor behind side b of a pair; of an update one of its factors. */
static uint32_t stored_b(const struct sc_diff *d, const struct sc_diff_pair *p)
{
    if (!d->adapter)
        return p->pair.b;
    return p->update ? p->update->up : d->adapter->whole[p->pair.b - d->adapter->n_updates];
}

static const struct sc_model *stored_model_b(const struct sc_diff *d)
{
    return d->adapter ? d->adapter->model : d->b;
}

/* ----------------------------------------------------------------------------------- views --- */
int sc_diff_open_update(const struct sc_adapter *a, size_t update, uint64_t memory,
                        struct sc_values **out, struct sc_error *e)
{
    const struct sc_update *u = &a->updates[update];
    const struct sc_low_rank l = {
        .model = a->model,
        .tensor = &a->target.tensors[update],
        .up = u->up,
        .down = u->down,
        .rows = u->rows,
        .cols = u->cols,
        .rank = u->rank,
        .scale = u->scale,
        .transposed = u->transposed,
        .memory = SC_MAX(memory, FACTORS_LEAST),
    };

    return sc_values_open_low_rank(&l, out, e);
}

static int open_update(struct run *r, const struct sc_diff_pair *p, struct sc_values **out,
                       struct sc_error *e)
{
    return sc_diff_open_update(r->d->adapter, p->pair.b, r->o->memory / 4, out, e);
}

/* The stored tensors of both sides, as sc_values_open_pair() has them. */
static struct sc_pair stored_pair(const struct sc_diff *d, const struct sc_diff_pair *p)
{
    struct sc_pair pair = p->pair;

    pair.b = stored_b(d, p);
    return pair;
}

/* A weight, and itself with its update; nothing, and the update. */
static int open_updated(struct run *r, const struct sc_diff_pair *p, struct sc_values **a,
                        struct sc_values **b, struct sc_error *e)
{
    struct sc_values *update = NULL, *base = NULL;

    if (r->d->has_base)
        TRY(sc_values_open(r->d->a, p->pair.a, a, e));
    TRY(open_update(r, p, &update, e));
    if (!r->d->has_base) {
        *b = update;
        return sc_values_open_zeros(update, a, e);
    }
    if ((*a)->count == update->count) {
        update->rows = (*a)->rows;
        update->cols = (*a)->cols;
    }
    const int code = sc_values_open(r->d->a, p->pair.a, &base, e);
    if (code < 0)
        sc_values_close(update);
    return code < 0 ? code : sc_values_open_sum(base, update, b, e);
}

/* Both sides of a pair. Shapes are equal but for dimensions of 1, so that the values stand in the
 * same order whatever the rows are. */
static int open_pair(struct run *r, size_t i, struct sc_values **a, struct sc_values **b,
                     struct sc_error *e)
{
    const struct sc_diff_pair *p = &r->d->pairs[i];
    const struct sc_pair pair = stored_pair(r->d, p);

    *a = *b = NULL;
    return p->update ? open_updated(r, p, a, b, e)
                     : sc_values_open_pair(r->d->a, stored_model_b(r->d), &pair, a, b, e);
}

/* What the spectrum is of. */
static int open_difference(struct run *r, size_t i, struct sc_values **out, struct sc_error *e)
{
    const struct sc_diff_pair *p = &r->d->pairs[i];
    struct sc_values *a, *b;

    *out = NULL;
    if (p->update)
        return open_update(r, p, out, e);
    const int code = open_pair(r, i, &a, &b, e);
    if (code == 0)
        return sc_values_open_difference(a, b, out, e);
    sc_values_close(a);
    sc_values_close(b);
    return code;
}

static int open_item(void *ctx, const struct sc_item *item, struct sc_values **a,
                     struct sc_values **b, struct sc_error *e)
{
    struct run *r = ctx;
    const size_t i = r->at[item - r->items];

    return r->spectra ? open_difference(r, i, a, e) : open_pair(r, i, a, b, e);
}

/* -------------------------------------------------------------------------------- pairing --- */
static void put_pair(struct sc_diff *d, struct sc_pair pair, enum sc_diff_status status)
{
    struct sc_diff_pair *p = &d->pairs[d->n++];

    *p = (struct sc_diff_pair){.pair = pair, .status = (uint8_t)status, .same = SC_NO_NODE};
    if (d->adapter && pair.b < d->adapter->n_updates)
        p->update = &d->adapter->updates[pair.b];
    if (pair.status == SC_PAIR_ONLY_A || pair.status == SC_PAIR_ONLY_B)
        p->why = pair.transform;
}

static int pair_up(struct run *r)
{
    static const uint8_t statuses[] = {
        [SC_PAIR_BOTH] = SC_DIFF_SAME,
        [SC_PAIR_SHAPE] = SC_DIFF_SHAPE,
        [SC_PAIR_ONLY_A] = SC_DIFF_ONLY_A,
        [SC_PAIR_ONLY_B] = SC_DIFF_ONLY_B,
    };
    struct sc_diff *d = r->d;
    struct sc_pairs pairs = {0};
    int code = 0;

    code = d->adapter
               ? sc_adapter_pair(d->adapter, d->has_base ? d->a : NULL, r->o->filter, &pairs, r->e)
               : sc_models_match(d->a, d->b, r->o->filter, &pairs, r->e);
    if (code == 0) {
        d->pairs = sc_alloc(SC_MAX(pairs.n, (size_t)1) * sizeof *d->pairs);
        if (!d->pairs)
            code = sc_fail_memory(r->e);
    }
    d->pair_arena = pairs.arena;
    pairs.arena = (struct sc_arena){0};
    for (size_t i = 0; code == 0 && i < pairs.n; i++) {
        if (d->adapter && pairs.p[i].status == SC_PAIR_ONLY_A)
            d->n_untouched++;
        else
            put_pair(d, pairs.p[i], (enum sc_diff_status)statuses[pairs.p[i].status]);
    }
    sc_pairs_clear(&pairs);
    return code;
}

/* Indices of one side of all pairs that have both. */
static int twins_of(struct run *r, bool second, uint32_t *tensors, const uint32_t *pairs, size_t n,
                    uint32_t *twin)
{
    const struct sc_diff *d = r->d;

    for (size_t k = 0; k < n; k++)
        tensors[k] = second ? d->pairs[pairs[k]].pair.b : d->pairs[pairs[k]].pair.a;
    return sc_find_twins(second ? d->b : d->a, tensors, n, twin, r->e);
}

/* A pair of parts is no twin of another one: it stands for itself. */
static bool is_arranged(const struct sc_diff_pair *p)
{
    return p->pair.how_a || p->pair.how_b;
}

/* The first pair whose sides have the same bytes on both sides is where a pair counts. */
static int find_twins(struct run *r)
{
    struct sc_diff *d = r->d;
    const size_t most = SC_MAX(d->n, (size_t)1);
    uint32_t *pairs = sc_alloc(most * sizeof *pairs), *tensors = sc_alloc(most * sizeof *tensors);
    uint32_t *a = sc_alloc(most * sizeof *a), *b = sc_alloc(most * sizeof *b);
    struct sc_index index = {0};
    size_t n = 0;
    int code = pairs && tensors && a && b ? 0 : sc_fail_memory(r->e);

    for (size_t i = 0; code == 0 && i < d->n; i++)
        if (d->pairs[i].status == SC_DIFF_SAME && !d->pairs[i].update && !is_arranged(&d->pairs[i]))
            pairs[n++] = (uint32_t)i;
    if (code == 0)
        code = twins_of(r, false, tensors, pairs, n, a);
    if (code == 0 && !d->adapter)
        code = twins_of(r, true, tensors, pairs, n, b);
    for (size_t k = 0; code == 0 && k < n && !d->adapter; k++) {
        const uint32_t first_a = a[k] == SC_NO_NODE ? (uint32_t)k : a[k];
        /* A tensor that stands in two pairs (a tied output matrix) is a twin of itself. */
        const uint32_t first_b = b[k] == SC_NO_NODE ? (uint32_t)k : b[k];
        const uint32_t places[] = {d->pairs[pairs[first_a]].pair.a,
                                   d->pairs[pairs[first_b]].pair.b};
        const uint64_t hash = sc_hash(places, sizeof places);
        size_t probe = 0;
        uint32_t found;
        while ((found = sc_index_next(&index, hash, &probe)) != UINT32_MAX) {
            const uint32_t fa = a[found] == SC_NO_NODE ? found : a[found];
            const uint32_t fb = b[found] == SC_NO_NODE ? found : b[found];
            if (d->pairs[pairs[fa]].pair.a == places[0] && d->pairs[pairs[fb]].pair.b == places[1])
                break;
        }
        if (found != UINT32_MAX)
            d->pairs[pairs[k]].same = pairs[found];
        else
            code = sc_index_put(&index, hash, (uint32_t)k, r->e);
    }
    sc_index_clear(&index);
    free(pairs);
    free(tensors);
    free(a);
    free(b);
    return code;
}

/* --------------------------------------------------------------------------------- recall --- */
/* The part of a record that belongs to a key. */
static void *part_of(struct sc_change *c, enum todo part, size_t *n)
{
    *n = part == TODO_SPECTRUM ? sizeof c->difference : offsetof(struct sc_change, difference);
    return part == TODO_SPECTRUM ? (void *)&c->difference : (void *)c;
}

/* false: nothing names the content of one of them. */
static bool make_key(struct run *r, enum todo part, struct sc_values *a, struct sc_values *b)
{
    r->key.n = 0;
    if (part == TODO_CHANGE)
        sc_buf_printf(&r->key, "change %d%s %s\n", SC_CHANGE_VERSION,
                      r->d->methods & SC_METHOD_ULP ? " ulp" : "",
                      r->casts && r->casts->off ? "none"
                      : r->o->casts_text        ? r->o->casts_text
                                                : "");
    else
        sc_buf_printf(&r->key, "change spectrum %d %llu\n", SC_HEALTH_VERSION,
                      (unsigned long long)r->measure.max_rank);
    const bool first = sc_values_identity(a, &r->key);
    sc_buf_putc(&r->key, '\n');
    return first && sc_values_identity(b, &r->key) && !r->key.failed;
}

static void remember(struct run *r, size_t i, enum todo part)
{
    struct sc_values *a = NULL, *b = NULL;
    size_t n;

    if (r->results && open_pair(r, i, &a, &b, NULL) == 0 && make_key(r, part, a, b)) {
        const void *p = part_of(change_at(r, i), part, &n);
        sc_results_put(r->results, sc_str(r->key.p, r->key.n), p, n);
    }
    sc_values_close(a);
    sc_values_close(b);
}

static bool recall(struct run *r, size_t i, enum todo part, struct sc_values *a,
                   struct sc_values *b)
{
    size_t n;
    void *p = part_of(change_at(r, i), part, &n);

    return r->results && make_key(r, part, a, b) &&
           sc_results_get(r->results, sc_str(r->key.p, r->key.n), p, n);
}

/* Cannot be compared, and why. */
static int give_up_on(struct run *r, size_t i, const struct sc_error *why)
{
    struct sc_diff_pair *p = &r->d->pairs[i];
    struct sc_buf text = {0};

    (void)sc_put_safe(&text, sc_strz(why->text[0] ? why->text : sc_code_text(why->code)), 0);
    p->status = SC_DIFF_UNREADABLE;
    p->unsupported = why->code == SCRUPLE_EUNSUPPORTED;
    p->why = text.failed ? NULL : sc_arena_copy(&r->d->arena, text.n ? text.p : "", text.n);
    sc_buf_clear(&text);
    return p->why ? 0 : sc_fail_memory(r->e);
}

/* Of a part: its share. */
static uint64_t bytes_read_of(const struct sc_tensor *t, const struct sc_arrangement *how)
{
    double values = 0;

    for (size_t i = 0; how && i < how->n; i++)
        if (how->step[i].kind == SC_STEP_ROWS)
            values = (double)how->step[i].cols * (double)how->step[i].n[0] *
                     (double)how->step[i].n[1] * (double)how->step[i].n[2];
    if (!(values > 0) || values >= (double)t->parameters)
        return t->bytes;
    return (uint64_t)((double)t->bytes * (values / (double)t->parameters));
}

static uint64_t bytes_of(const struct run *r, size_t i)
{
    const struct sc_diff_pair *p = &r->d->pairs[i];
    uint64_t n = r->d->has_base ? bytes_read_of(&r->d->a->tensors[p->pair.a], p->pair.how_a) : 0;

    return sc_add_up(n, bytes_read_of(&r->d->b->tensors[p->pair.b], p->pair.how_b));
}

static int look_up(struct run *r, size_t i)
{
    struct sc_values *a = NULL, *b = NULL;
    struct sc_error why = {0};

    r->todo[i] = TODO_CHANGE | (r->d->methods & SC_METHOD_SPECTRAL ? TODO_SPECTRUM : 0);
    change_at(r, i)->difference.method = SC_SPECTRUM_NONE;
    int code = open_pair(r, i, &a, &b, &why);
    if (code == 0 && recall(r, i, TODO_CHANGE, a, b))
        r->todo[i] &= (uint8_t)~TODO_CHANGE;
    if (code == 0 && (r->todo[i] & TODO_SPECTRUM) && recall(r, i, TODO_SPECTRUM, a, b))
        r->todo[i] &= (uint8_t)~TODO_SPECTRUM;
    sc_values_close(a);
    sc_values_close(b);
    if (code < 0) {
        why.code = code;
        r->todo[i] = 0;
        if (!ends_all(code))
            return give_up_on(r, i, &why);
        *r->e = why;
        return code;
    }
    if (!(r->todo[i] & TODO_CHANGE))
        r->d->n_known++;
    else
        r->total = sc_add_up(r->total, bytes_of(r, i));
    return 0;
}

/* -------------------------------------------------------------------------------- measure --- */
static int item_done(void *ctx, size_t item, const struct sc_error *why)
{
    struct run *r = ctx;
    const size_t i = r->at[item];

    if (why && r->spectra)
        return 0; /* the figures of its values are there; a spectrum that is not is null */
    if (why)
        return give_up_on(r, i, why);
    if (!r->spectra)
        r->d->bytes_read = sc_add_up(r->d->bytes_read, bytes_of(r, i));
    remember(r, i, r->spectra ? TODO_SPECTRUM : TODO_CHANGE);
    return 0;
}

static void tell_progress(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    const struct run *r = ctx;

    (void)total;
    r->o->progress(r->o->ctx, sc_add_up(r->before, done), r->total, tensor);
}

static uint64_t spectrum_memory(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    struct run *r = ctx;
    const struct sc_update *u = r->d->pairs[r->at[item - r->items]].update;

    if (u && u->rank <= PRODUCT_RANK)
        return sc_svd_product_memory(u->rows, u->rank, u->cols);
    return sc_task_spectrum.memory(&r->measure, item, v);
}

static int product_spectrum(struct run *r, const struct sc_update *u, const struct sc_values *v,
                            struct sc_spectrum *out, struct sc_error *e)
{
    const float *up, *down;
    struct sc_svd svd = {0};

    sc_values_factors(v, &up, &down);
    int code = sc_svd_product(up, down, u->rows, u->rank, u->cols, u->scale, r->o->cancel, &svd, e);
    if (code == 0)
        code = sc_spectrum_describe(&svd, u->rows, u->cols, out, e);
    if (code == 0) {
        out->method = SC_SPECTRUM_FACTORS;
        out->slices = 1;
    }
    sc_svd_clear(&svd);
    return code;
}

static int spectrum_run(void *ctx, const struct sc_item *item, struct sc_values *v,
                        const struct sc_parallel *p, struct sc_error *e)
{
    struct run *r = ctx;
    const struct sc_update *u = r->d->pairs[r->at[item - r->items]].update;
    struct sc_change *c = item->user;
    struct sc_health h = {0};
    struct sc_item inner = *item;

    if (u && u->rank <= PRODUCT_RANK)
        return product_spectrum(r, u, v, &c->difference, e);
    inner.user = &h;
    TRY(sc_task_spectrum.run(&r->measure, &inner, v, p, e));
    c->difference = h.spectrum;
    return 0;
}

static bool wants_spectrum(const struct run *r, size_t i)
{
    const struct sc_diff_pair *p = &r->d->pairs[i];

    return (r->todo[i] & TODO_SPECTRUM) && p->status != SC_DIFF_UNREADABLE &&
           !change_at(r, i)->identical && sc_diff_tensor(r->d, p)->rank >= 2;
}

static int sweep(struct run *r)
{
    static const struct sc_pass *const passes[] = {&sc_pass_change};
    const struct sc_task task = {"spectra of differences", spectrum_memory, spectrum_run};
    struct sc_diff *d = r->d;
    struct sc_change_setup setup = {
        .items = r->items, .stored = r->stored, .ulp = (d->methods & SC_METHOD_ULP) != 0};
    void *pass_ctx[] = {&setup};
    uint64_t bytes = 0;
    size_t n = 0;

    if (r->casts)
        setup.casts = *r->casts;
    for (size_t i = 0; i < d->n; i++) {
        const struct sc_diff_pair *p = &d->pairs[i];
        if (r->spectra ? !wants_spectrum(r, i) : !(r->todo[i] & TODO_CHANGE))
            continue;
        r->items[n] = (struct sc_item){
            .tensor = d->has_base ? p->pair.a : p->update->up,
            .tensor_b = d->has_base ? stored_b(d, p) : p->update->down,
            .model_b = stored_model_b(d),
            .user = change_at(r, i),
        };
        r->stored[n] = d->has_base && !p->update && !is_arranged(p);
        r->at[n++] = (uint32_t)i;
        bytes = sc_add_up(bytes, bytes_of(r, i));
    }
    if (!n)
        return 0;
    if (r->spectra)
        r->total = sc_add_up(r->before, bytes);
    struct sc_sweep w = {
        .pool = r->o->pool,
        .model = d->has_base ? d->a : d->adapter->model,
        .items = r->items,
        .n_items = n,
        .passes = passes,
        .pass_ctx = pass_ctx,
        .n_passes = r->spectra ? 0 : 1,
        .task = r->spectra ? &task : NULL,
        .task_ctx = r,
        .memory = r->o->memory,
        .cancel = r->o->cancel,
        .open = open_item,
        .done = item_done,
        .progress = r->o->progress ? tell_progress : NULL,
        .ctx = r,
    };
    const int code = sc_sweep_run(&w, r->e);
    r->before = sc_add_up(r->before, bytes);
    return code;
}

/* ----------------------------------------------------------------------------------- sums --- */
/* What has no meaning when there is nothing to compare with. */
static void forget_base(struct sc_change *c)
{
    double *const none[] = {&c->relative_l2,      &c->cosine,
                            &c->one_minus_cosine, &c->norm_ratio,
                            &c->mean_a,           &c->std_a,
                            &c->norm_a,           &c->absmax_a,
                            &c->change_score,     &c->significant_percent};

    for (size_t i = 0; i < SC_COUNT(none); i++)
        *none[i] = (double)NAN;
    c->significant = c->sign_flips = c->nonfinite_a = UINT64_MAX;
}

struct ranked {
    double key;
    uint32_t pair;
};

static int by_key(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->key < y->key || x->key > y->key)
        return x->key > y->key ? -1 : 1;
    return x->pair < y->pair ? -1 : x->pair > y->pair;
}

/* By relative change; where there is nothing to relate to, by the size of the change. What is no
 * number any more comes first: it is in no sum, and the model is broken by it. */
static int rank(struct run *r)
{
    struct sc_diff *d = r->d;
    struct ranked *all = sc_alloc(SC_MAX(d->n, (size_t)1) * sizeof *all);
    size_t n = 0;

    d->ranked = sc_alloc(SC_MAX(d->n, (size_t)1) * sizeof *d->ranked);
    if (!all || !d->ranked) {
        free(all);
        return sc_fail_memory(r->e);
    }
    for (size_t i = 0; i < d->n; i++) {
        const struct sc_diff_pair *p = &d->pairs[i];
        if (p->status != SC_DIFF_CHANGED || p->same != SC_NO_NODE)
            continue;
        const double key = d->has_base ? p->change->relative_l2 : p->change->l2;
        all[n++] = (struct ranked){isnan(key) || sc_diff_broke(d, p) ? (double)INFINITY : key,
                                   (uint32_t)i};
    }
    if (n)
        qsort(all, n, sizeof *all, by_key);
    for (size_t i = 0; i < n; i++)
        d->ranked[i] = all[i].pair;
    d->n_ranked = n;
    free(all);
    return 0;
}

static void settle(struct run *r)
{
    struct sc_diff *d = r->d;

    for (size_t i = 0; i < d->n; i++) {
        struct sc_diff_pair *p = &d->pairs[i];
        if (p->same != SC_NO_NODE) {
            *p = (struct sc_diff_pair){
                p->pair, d->pairs[p->same].status, d->pairs[p->same].unsupported,
                p->same, d->pairs[p->same].why,    d->pairs[p->same].change,
                NULL};
            d->n_tied++;
        } else if (p->status == SC_DIFF_SAME) {
            struct sc_change *c = change_at(r, i);
            p->change = c;
            p->status = c->identical ? SC_DIFF_SAME : SC_DIFF_CHANGED;
            if (!d->has_base)
                forget_base(c);
        }
        d->n_status[p->status]++;
        d->n_verdict[sc_change_kind(p->change)]++;
        d->n_unsupported += p->unsupported;
        sc_diff_add(&d->sums, p);
    }
}

/* --------------------------------------------------------------------------------- outside --- */
int sc_diff_settle_adapter(struct sc_adapter *adapter, const struct sc_model *base,
                           struct sc_error *e)
{
    if (adapter->settled)
        return 0;
    if (base)
        TRY(sc_adapter_settle_names(adapter, base, e));
    for (size_t i = 0; i < adapter->n_updates; i++) {
        const uint32_t at = adapter->updates[i].alpha_at;
        struct sc_values *v = NULL;
        double alpha = (double)NAN;
        if (at == SC_NO_NODE)
            continue;
        int code = sc_values_open(adapter->model, at, &v, e);
        if (code == 0 && v->count == 1)
            code = sc_values_read64(v, 0, 1, &alpha, e);
        sc_values_close(v);
        if (ends_all(code))
            return code;
        /* One that cannot be read is a scale of NaN, and so is the update. */
        sc_adapter_set_alpha(adapter, i, alpha);
    }
    adapter->settled = true;
    return 0;
}

static int run_all(struct run *r)
{
    struct sc_diff *d = r->d;

    TRY(pair_up(r));
    TRY(sc_records_make(&d->records, d->n, sizeof(struct sc_change), r->e));
    const size_t most = SC_MAX(d->n, (size_t)1);
    r->todo = sc_calloc(most, sizeof *r->todo);
    r->items = sc_alloc(most * sizeof *r->items);
    r->at = sc_alloc(most * sizeof *r->at);
    r->stored = sc_alloc(most * sizeof *r->stored);
    if (!r->todo || !r->items || !r->at || !r->stored)
        return sc_fail_memory(r->e);
    TRY(find_twins(r));
    for (size_t i = 0; i < d->n; i++) {
        if (cancelled(r))
            return sc_fail(r->e, SCRUPLE_EINTERRUPTED, "interrupted");
        if (d->pairs[i].status == SC_DIFF_SAME && d->pairs[i].same == SC_NO_NODE)
            TRY(look_up(r, i));
    }
    TRY(sweep(r));
    r->spectra = true;
    TRY(sweep(r));
    settle(r);
    return rank(r);
}

int sc_diff_run(const struct sc_model *a, const struct sc_model *b, struct sc_adapter *adapter,
                const struct sc_diff_options *o, struct sc_diff **out, struct sc_error *e)
{
    struct sc_error own = {0};
    struct run r = {.o = o, .e = e ? e : &own};

    *out = r.d = sc_calloc(1, sizeof *r.d);
    if (!r.d)
        return sc_fail_memory(e);
    r.d->adapter = adapter;
    r.d->has_base = a != NULL;
    r.d->b = adapter ? &adapter->target : b;
    r.d->a = a ? a : r.d->b;
    r.d->filtered = o->filter != NULL;
    r.d->finetune = o->finetune && a && !adapter;
    r.d->finetune_base = o->finetune_base;
    r.d->methods = o->methods | SC_METHOD_BASIC;
    r.d->opened_bytes[0] = a ? a->io.bytes_read : 0;
    r.d->opened_bytes[1] = b->io.bytes_read;
    r.d->opened_requests[0] = a ? a->io.requests : 0;
    r.d->opened_requests[1] = b->io.requests;
    static const struct sc_casts none = {.off = true};
    r.casts = adapter ? &none : o->casts;
    r.measure = (struct sc_measure){.methods = SC_METHOD_SPECTRAL,
                                    .bits = 8,
                                    .group = 128,
                                    .refine = true,
                                    .max_rank = 16384,
                                    .cancel = o->cancel};
    r.results = o->cache ? sc_results_open(o->cache, o->note, o->ctx) : NULL;
    int code = adapter ? sc_diff_settle_adapter(adapter, a, r.e) : 0;
    if (code == 0)
        code = run_all(&r);
    sc_results_close(r.results);
    free(r.todo);
    free(r.items);
    free(r.at);
    free(r.stored);
    sc_buf_clear(&r.key);
    return code;
}

void sc_diff_free(struct sc_diff *d)
{
    if (!d)
        return;
    sc_records_free(&d->records);
    free(d->pairs);
    sc_arena_clear(&d->pair_arena);
    free(d->ranked);
    sc_arena_clear(&d->arena);
    free(d);
}

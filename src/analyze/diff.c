/* SPDX-License-Identifier: Apache-2.0 */
/* diff: which pairs of tensors are compared, and what becomes of each.
 *
 *   pair      sc_models_pair(); of an adapter with what it changes (diff_pairs.c)
 *   twins     pairs that both files store once are compared once (diff_pairs.c)
 *   look up   figures of an earlier run, by the content of both (diff_known.c)
 *   compare   the rest, each read once
 *   spectra   of the differences that are there, when asked
 *   rank      by relative change
 *
 * The spectrum of an adapter's update s B A comes from its factors. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff_parts.h"

enum { PRODUCT_RANK = 1024 }; /* up to it a spectrum comes from the factors: its cost is cubic */

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

/* -------------------------------------------------------------------------------- measure --- */
static int open_item(void *ctx, const struct sc_item *item, struct sc_values **a,
                     struct sc_values **b, struct sc_error *e)
{
    struct sc_diff_work *r = ctx;
    const size_t i = r->at[item - r->items];

    return r->spectra ? sc_diff_open_difference(r, i, a, e) : sc_diff_open_pair(r, i, a, b, e);
}

static int item_done(void *ctx, size_t item, const struct sc_error *why)
{
    struct sc_diff_work *r = ctx;
    const size_t i = r->at[item];

    if (why && r->spectra) {
        /* The figures of its values are there; a spectrum that is not is null. */
        if (why->code == SCRUPLE_ELIMIT && r->refused++ == 0)
            (void)sc_put_safe(&r->refusal, sc_strz(why->text), 0);
        return 0;
    }
    if (why)
        return sc_diff_give_up_on(r, i, why);
    if (!r->spectra)
        r->d->bytes_read = sc_add_up(r->d->bytes_read, sc_diff_bytes_of(r, i));
    sc_diff_remember(r, i, r->spectra ? SC_DIFF_TODO_SPECTRUM : SC_DIFF_TODO_CHANGE);
    return 0;
}

static void tell_progress(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    const struct sc_diff_work *r = ctx;

    (void)total;
    r->o->progress(r->o->ctx, sc_add_up(r->before, done), r->total, tensor);
}

static bool by_factors(const struct sc_diff_work *r, const struct sc_update *u)
{
    return u && u->rank <= PRODUCT_RANK &&
           (!r->o->memory || sc_svd_product_memory(u->rows, u->rank, u->cols) <= r->o->memory);
}

static uint64_t spectrum_memory(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    struct sc_diff_work *r = ctx;
    const struct sc_update *u = r->d->pairs[r->at[item - r->items]].update;

    if (by_factors(r, u))
        return sc_svd_product_memory(u->rows, u->rank, u->cols);
    return sc_task_spectrum.memory(&r->measure, item, v);
}

static int product_spectrum(struct sc_diff_work *r, const struct sc_update *u,
                            const struct sc_values *v, struct sc_spectrum *out, struct sc_error *e)
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
    struct sc_diff_work *r = ctx;
    const struct sc_update *u = r->d->pairs[r->at[item - r->items]].update;
    struct sc_change *c = item->user;
    struct sc_health h = {0};
    struct sc_item inner = *item;

    if (by_factors(r, u))
        return product_spectrum(r, u, v, &c->difference, e);
    inner.user = &h;
    TRY(sc_task_spectrum.run(&r->measure, &inner, v, p, e));
    c->difference = h.spectrum;
    return 0;
}

static bool wants_spectrum(const struct sc_diff_work *r, size_t i)
{
    const struct sc_diff_pair *p = &r->d->pairs[i];

    return (r->todo[i] & SC_DIFF_TODO_SPECTRUM) && p->status != SC_DIFF_UNREADABLE &&
           !sc_diff_change(r, i)->identical && sc_diff_tensor(r->d, p)->rank >= 2;
}

static int sweep(struct sc_diff_work *r)
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
        if (r->spectra ? !wants_spectrum(r, i) : !(r->todo[i] & SC_DIFF_TODO_CHANGE))
            continue;
        r->items[n] = (struct sc_item){
            .tensor = d->has_base ? p->pair.a : p->update->up,
            .tensor_b = d->has_base ? sc_diff_stored_b(d, p) : p->update->down,
            .model_b = sc_diff_stored_model_b(d),
            .user = sc_diff_change(r, i),
        };
        r->stored[n] = d->has_base && !p->update && !sc_diff_is_arranged(p);
        r->at[n++] = (uint32_t)i;
        bytes = sc_add_up(bytes, sc_diff_bytes_of(r, i));
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

/* What is not as exact as it would be with more memory, or not there. */
static int note_memory(struct sc_diff_work *r)
{
    struct sc_buf text = {0};
    size_t n = 0;

    for (size_t i = 0; i < r->d->n && r->spectra; i++)
        n += sc_diff_is_limited(r, sc_diff_change(r, i));
    if (n)
        sc_buf_printf(
            &text, "spectra of %zu matri%s are estimates, since exact ones take more than --memory",
            n, n == 1 ? "x" : "ces");
    if (r->refused)
        sc_buf_printf(&text, "%s%zu spectr%s not measured: %s", n ? "; " : "", r->refused,
                      r->refused == 1 ? "um is" : "a are", r->refusal.n ? r->refusal.p : "");
    const bool failed = text.failed || r->refusal.failed;
    if (text.n && !failed && r->o->note)
        r->o->note(r->o->ctx, text.p);
    sc_buf_clear(&text);
    return failed ? sc_fail_memory(r->e) : 0;
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
static int rank(struct sc_diff_work *r)
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

static void settle(struct sc_diff_work *r)
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
            struct sc_change *c = sc_diff_change(r, i);
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
        if (sc_diff_ends(code))
            return code;
        /* One that cannot be read is a scale of NaN, and so is the update. */
        sc_adapter_set_alpha(adapter, i, alpha);
    }
    adapter->settled = true;
    return 0;
}

static int run_all(struct sc_diff_work *r)
{
    struct sc_diff *d = r->d;

    TRY(sc_diff_pair_up(r));
    TRY(sc_records_make(&d->records, d->n, sizeof(struct sc_change), r->e));
    const size_t most = SC_MAX(d->n, (size_t)1);
    r->todo = sc_calloc(most, sizeof *r->todo);
    r->items = sc_alloc(most * sizeof *r->items);
    r->at = sc_alloc(most * sizeof *r->at);
    r->stored = sc_alloc(most * sizeof *r->stored);
    if (!r->todo || !r->items || !r->at || !r->stored)
        return sc_fail_memory(r->e);
    TRY(sc_diff_find_twins(r));
    for (size_t i = 0; i < d->n; i++) {
        if (r->o->cancel && *r->o->cancel)
            return sc_fail(r->e, SCRUPLE_EINTERRUPTED, "interrupted");
        if (d->pairs[i].status == SC_DIFF_SAME && d->pairs[i].same == SC_NO_NODE)
            TRY(sc_diff_look_up(r, i));
    }
    TRY(sweep(r));
    r->spectra = true;
    TRY(sweep(r));
    TRY(note_memory(r));
    settle(r);
    return rank(r);
}

int sc_diff_run(const struct sc_model *a, const struct sc_model *b, struct sc_adapter *adapter,
                const struct sc_diff_options *o, struct sc_diff **out, struct sc_error *e)
{
    struct sc_error own = {0};
    struct sc_diff_work r = {.o = o, .e = e ? e : &own};

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
                                    .memory = o->memory,
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
    sc_buf_clear(&r.refusal);
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

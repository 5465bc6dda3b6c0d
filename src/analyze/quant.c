/* SPDX-License-Identifier: Apache-2.0 */
/* quant: which tensors are measured, and what becomes of each.
 *
 *   choose     what filter, names and limit let through
 *   twins      tensors that the file stores once are measured once
 *   recall     figures of an earlier run, by content and format
 *   measure    the rest, each read once for all formats; its own mix beside it (quant_mix.c)
 *   mix        over all tensors, when the plan asks for one
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quant_run.h"

#define KEY_VERSION 1

static bool cancelled(const struct sc_quant_work *r)
{
    return r->o->cancel && *r->o->cancel;
}

static bool ends_all(int code)
{
    return code == SCRUPLE_EINTERRUPTED || code == SCRUPLE_EMEMORY;
}

static const struct sc_tensor *tensor_of(const struct sc_quant *q, size_t i)
{
    return &q->model->tensors[q->tensors[i].tensor];
}

double sc_quant_now(void)
{
    return 1e-6 * (double)sc_microseconds();
}

/* --------------------------------------------------------------------------------- choose --- */
/* Names that wq takes for weights; its `_scale_inv` are parts of ours. */
static bool named_weight(struct sc_str name)
{
    return sc_str_has_nocase(name, SC_STR("weight")) && !sc_str_ends(name, "_scale_inv");
}

/* Whole numbers are indices and counters, not weights, unless a layout makes weights of them (or
 * the caller wants them, whatever they are); no format here is for complex ones. */
static bool can_measure(const struct sc_model *m, const struct sc_tensor *t, bool whole_numbers)
{
    const uint32_t dtype = m->catalog->entries[t->main].dtype;

    if (t->rank == 0 && !whole_numbers)
        return false;
    if (t->layout != SC_LAYOUT_PLAIN || dtype >= SC_FOREIGN_TYPE)
        return true;
    const uint8_t kind = sc_codec((sc_codec_id)dtype)->kind;
    if (kind == SC_KIND_COMPLEX)
        return false;
    return whole_numbers || (kind != SC_KIND_INT && kind != SC_KIND_UINT && kind != SC_KIND_BOOL);
}

/* Those of a filter among the weights; none of them: among all, as wq does it. */
static void choose_among(struct sc_quant *q, const struct sc_quant_options *o, bool weights)
{
    q->n = q->n_skipped = q->n_limited = 0;
    q->only_weights = weights;
    for (size_t i = 0; i < q->model->n_tensors; i++) {
        const struct sc_tensor *t = &q->model->tensors[i];
        if (!sc_filter_match(o->filter, sc_tensor_name(t)) ||
            (weights && !named_weight(sc_tensor_name(t))))
            continue;
        if (!can_measure(q->model, t, o->whole_numbers))
            q->n_skipped++;
        else if (o->limit && q->n >= o->limit)
            q->n_limited++;
        else
            q->tensors[q->n++] =
                (struct sc_quant_tensor){.tensor = (uint32_t)i, .same = SC_NO_NODE};
    }
}

static int choose(struct sc_quant_work *r)
{
    struct sc_quant *q = r->q;
    const size_t most = SC_MAX(q->model->n_tensors, (size_t)1);

    q->filtered = r->o->filter != NULL;
    q->tensors = sc_calloc(most, sizeof *q->tensors);
    if (!q->tensors)
        return sc_fail_memory(r->e);
    choose_among(q, r->o, !r->o->all_tensors);
    if (!r->o->all_tensors && !q->n)
        choose_among(q, r->o, false);
    return 0;
}

/* -------------------------------------------------------------------------------- formats --- */
/* The same along the other axis. */
static int other_axis(const struct sc_encoding *f, struct sc_encoding *out, struct sc_error *e)
{
    struct sc_buf name = {0};
    const size_t n = strlen(f->name);

    sc_buf_put(&name, f->name, f->other_axis ? n - 2 : n);
    if (!f->other_axis)
        sc_buf_puts(&name, ".T");
    const int code =
        name.failed ? sc_fail_memory(e) : sc_encoding_parse(sc_str(name.p, name.n), out, e);
    sc_buf_clear(&name);
    return code;
}

static size_t add_measured(struct sc_quant_work *r, const struct sc_encoding *f)
{
    for (size_t i = 0; i < r->n_formats; i++)
        if (strcmp(r->formats[i].name, f->name) == 0)
            return i;
    r->formats[r->n_formats] = *f;
    return r->n_formats++;
}

/* Those of the mix first, in its order: the order of a greedy mix is part of its result. */
static int plan_formats(struct sc_quant_work *r)
{
    const struct sc_quant_plan *p = r->o->plan;
    struct sc_quant *q = r->q;
    const bool twice = p->algorithm == SC_ALGORITHM_TRANSPOSE;

    for (size_t i = 0; i < p->formats.n; i++)
        if (sc_quant_is_recipe(&p->formats.f[i]) && (twice || r->o->sample))
            return sc_fail(r->e, SCRUPLE_EUSAGE, "%s: %s", p->formats.f[i].name,
                           twice ? "a recipe has no transpose: block=col takes columns"
                                 : "a recipe needs all values, not a sample");

    q->measured = p->formats;
    if (p->formats.n * (twice ? 2 : 1) + p->mix.n > SC_QUALITY_FORMATS)
        return sc_fail(r->e, SCRUPLE_EUSAGE, "at most %d formats are measured at once",
                       SC_QUALITY_FORMATS);
    for (size_t i = 0; twice && i < p->formats.n; i++)
        TRY(other_axis(&p->formats.f[i], &q->measured.f[q->measured.n++], r->e));
    for (size_t i = 0; sc_quant_mixes(p) && i < p->mix.n; i++)
        r->in_mix[add_measured(r, &p->mix.f[i])] = true;
    for (size_t i = 0; i < q->measured.n; i++)
        r->at_of[i] =
            sc_quant_is_recipe(&q->measured.f[i]) ? SIZE_MAX : add_measured(r, &q->measured.f[i]);
    q->n_rows = q->measured.n + sc_quant_mixes(p);
    return 0;
}

/* Rows or columns that belong to one attention head. */
static void head_of(const struct sc_quant *q, const struct sc_tensor *t, uint32_t *rows,
                    uint32_t *cols)
{
    const struct sc_config *c = &q->model->config;
    const uint64_t head = c->head_dim ? c->head_dim : c->heads ? c->hidden / c->heads : 0;

    *rows = *cols = 0;
    if (head == 0 || head > UINT32_MAX || t->rank != 2)
        return;
    if (t->role == SC_ROLE_Q || t->role == SC_ROLE_K || t->role == SC_ROLE_V ||
        t->role == SC_ROLE_QKV)
        *rows = (uint32_t)head;
    else if (t->role == SC_ROLE_O)
        *cols = (uint32_t)head;
}

/* --------------------------------------------------------------------------------- recall --- */
struct sc_quality *sc_quant_record(const struct sc_quant *q, size_t i, size_t k)
{
    return sc_record(&q->records, i * q->n_rows + k);
}

static bool make_key(struct sc_quant_work *r, size_t i, const char *what, bool brief,
                     struct sc_values *v)
{
    uint32_t rows = 0, cols = 0;

    if (!brief)
        head_of(r->q, tensor_of(r->q, i), &rows, &cols);
    r->key.n = 0;
    sc_buf_printf(&r->key, "%squality %d %lu %lu %s\n", brief ? "brief " : "", KEY_VERSION,
                  (unsigned long)rows, (unsigned long)cols, what);
    return sc_values_identity(v, &r->key) && !r->key.failed;
}

static bool is_brief(const struct sc_quant_work *r)
{
    return r->o->brief && !sc_quant_mixes(r->o->plan);
}

/* Of recipes there is one kind of report only. */
static bool is_kept_brief(const struct sc_quant_work *r, size_t k)
{
    return is_brief(r) && r->at_of[k] != SIZE_MAX;
}

/* Figures of format k. All of them serve whoever asks for some, and not the other way round. */
static bool recall_format(struct sc_quant_work *r, size_t i, size_t k, struct sc_values *v)
{
    struct sc_quality *to = sc_quant_record(r->q, i, k);

    for (int brief = 0, last = is_kept_brief(r, k) ? 1 : 0; brief <= last; brief++)
        if (make_key(r, i, r->q->measured.f[k].name, brief, v) &&
            sc_results_get(r->results, sc_str(r->key.p, r->key.n), to, sizeof *to))
            return true;
    return false;
}

/* All of it, or nothing. A mix needs the errors of its cells, which nobody keeps. */
static bool recall(struct sc_quant_work *r, size_t i, struct sc_values *v)
{
    struct sc_quant_tensor *t = &r->q->tensors[i];

    if (!r->results || r->o->recompute || r->o->sample || r->o->held.n ||
        sc_quant_mixes(r->o->plan) || !make_key(r, i, "facts", false, v) ||
        !sc_results_get(r->results, sc_str(r->key.p, r->key.n), &t->facts, sizeof t->facts))
        return false;
    for (size_t k = 0; k < r->q->measured.n; k++)
        if (!recall_format(r, i, k, v))
            return false;
    return true;
}

static void remember(struct sc_quant_work *r, size_t i)
{
    const struct sc_quant_tensor *t = &r->q->tensors[i];
    struct sc_values *v = NULL;

    if (!r->results || r->o->sample || r->o->held.n ||
        sc_values_open(r->q->model, t->tensor, &v, NULL) < 0)
        return;
    if (make_key(r, i, "facts", false, v))
        sc_results_put(r->results, sc_str(r->key.p, r->key.n), &t->facts, sizeof t->facts);
    for (size_t k = 0; k < r->q->measured.n; k++)
        if (make_key(r, i, r->q->measured.f[k].name, is_kept_brief(r, k), v))
            sc_results_put(r->results, sc_str(r->key.p, r->key.n), sc_quant_record(r->q, i, k),
                           sizeof(struct sc_quality));
    sc_values_close(v);
}

static int give_up_on(struct sc_quant_work *r, size_t i, const struct sc_error *why)
{
    struct sc_quant_tensor *t = &r->q->tensors[i];
    struct sc_buf text = {0};

    (void)sc_put_safe(&text, sc_strz(why->text[0] ? why->text : sc_code_text(why->code)), 0);
    t->unsupported = why->code == SCRUPLE_EUNSUPPORTED;
    r->q->n_unreached += why->code == SCRUPLE_ENETWORK || why->code == SCRUPLE_ENOTFOUND;
    t->why = text.failed ? NULL : sc_arena_copy(&r->q->arena, text.n ? text.p : "", text.n);
    sc_buf_clear(&text);
    return t->why ? 0 : sc_fail_memory(r->e);
}

static int look_up(struct sc_quant_work *r, size_t i)
{
    struct sc_quant_tensor *t = &r->q->tensors[i];
    struct sc_values *v = NULL;
    struct sc_error why = {0};

    int code = sc_values_open(r->q->model, t->tensor, &v, &why);
    if (code == 0)
        code = sc_values_check_expanded(v, &why);
    if (code < 0) {
        sc_values_close(v);
        why.code = code;
        if (!ends_all(code))
            return give_up_on(r, i, &why);
        *r->e = why;
        return code;
    }
    if (recall(r, i, v)) {
        t->measured = true;
        r->q->n_known++;
    } else {
        r->items[r->n_items] = (struct sc_item){t->tensor, SC_NO_NODE, NULL, t};
        r->at[r->n_items++] = (uint32_t)i;
        r->total = sc_add_up(r->total, tensor_of(r->q, i)->bytes);
    }
    sc_values_close(v);
    return 0;
}

/* -------------------------------------------------------------------------------- measure --- */
/* Panels and parts of some threads, and the table of errors. */
static uint64_t task_memory(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    const struct sc_quant_work *r = ctx;
    uint64_t cells = 0;

    (void)item;
    if (sc_quant_mixes(r->o->plan)) {
        const uint64_t per = r->o->plan->grain == SC_GRAIN_GROUP ? r->o->plan->group
                             : r->o->plan->grain == SC_GRAIN_ROW ? SC_MAX(v->cols, 1)
                                                                 : 1024;
        cells = (v->count / per + v->rows) *
                (sizeof(struct sc_cell_values) + r->n_formats * sizeof(struct sc_cell_error));
    }
    uint64_t recipes = 0;
    const struct sc_matrices m = sc_quality_matrices(v);
    struct sc_recipe recipe;
    for (size_t k = 0; k < r->q->measured.n; k++)
        if (r->at_of[k] == SIZE_MAX &&
            sc_recipe_parse(sc_strz(r->q->measured.f[k].name), &recipe, NULL) == 0)
            recipes = SC_MAX(
                recipes, SC_MIN(sc_recipe_memory(&recipe, NULL, m.rows, m.cols), r->o->memory / 2));
    return sc_add_up(sc_add_up(SC_MIN(r->o->memory / 2, UINT64_C(64) << 20), cells), recipes);
}

/* Its blocks do not fit the cells, or the rows: what single formats cost is told all the same. */
static int go_without_mix(struct sc_quant_tensor *t, const struct sc_error *why, struct sc_error *e)
{
    struct sc_buf text = {0};

    (void)sc_put_safe(&text, sc_strz(why->text), 0);
    t->no_mix = text.failed ? NULL : sc_str_copy(sc_str(text.n ? text.p : "", text.n));
    sc_buf_clear(&text);
    return t->no_mix ? 0 : sc_fail_memory(e);
}

/* A tensor that is being measured. */
struct telling {
    struct sc_quant_work *r;
    const struct sc_tensor *tensor;
    uint64_t told; /* bytes of it */
};

/* Under the lock. Never less than before, though a tensor moves from one sum to the other. */
static void tell(struct sc_quant_work *r, const char *name)
{
    const uint64_t all = SC_MIN(sc_add_up(r->done, r->under_way), r->total);
    r->shown = SC_MAX(r->shown, all);
    r->o->progress(r->o->ctx, r->shown, r->total, name);
}

static void tell_share(void *ctx, double share)
{
    struct telling *t = ctx;
    const uint64_t now = (uint64_t)((double)t->tensor->bytes * share);

    pthread_mutex_lock(&t->r->tell);
    if (now > t->told && now <= t->tensor->bytes) {
        t->r->under_way += now - t->told;
        t->told = now;
        tell(t->r, t->tensor->name);
    }
    pthread_mutex_unlock(&t->r->tell);
}

static int measure(struct sc_quant_work *r, size_t i, struct sc_values *v,
                   const struct sc_quality_options *o, struct sc_quality_result *out,
                   struct sc_error *e)
{
    struct telling t = {r, tensor_of(r->q, i), 0};
    struct sc_quality_options telling = *o;

    telling.progress = r->o->progress ? tell_share : NULL;
    telling.ctx = &t;
    const int code = sc_quality_measure(v, &telling, out, e);
    pthread_mutex_lock(&r->tell);
    r->under_way -= t.told;
    pthread_mutex_unlock(&r->tell);
    return code;
}

static int measure_recipe(struct sc_quant_work *r, size_t i, size_t k, struct sc_values *v,
                          const struct sc_parallel *p, struct sc_error *e)
{
    struct sc_recipe recipe;

    TRY(sc_recipe_parse(sc_strz(r->q->measured.f[k].name), &recipe, e));
    const struct sc_recipe_use use = {&recipe, r->o->held, p, r->o->cancel, 2};
    return sc_recipe_measure(v, r->q->tensors[i].tensor, &use, r->o->memory / 2,
                             sc_quant_record(r->q, i, k), e);
}

static int task_run(void *ctx, const struct sc_item *item, struct sc_values *v,
                    const struct sc_parallel *p, struct sc_error *e)
{
    struct sc_quant_work *r = ctx;
    struct sc_quant_tensor *t = item->user;
    const size_t i = (size_t)(t - r->q->tensors);
    const double start = sc_quant_now();
    struct sc_quality_result got = {0};
    struct sc_quality_options o = {
        .formats = r->formats,
        .n = r->n_formats,
        .brief = is_brief(r),
        .grain = sc_quant_mixes(r->o->plan) ? (enum sc_grain)r->o->plan->grain : SC_GRAIN_NONE,
        .group = r->o->plan->group,
        .in_mix = r->in_mix,
        .memory = task_memory(ctx, item, v),
        .sample = r->o->sample,
        .p = p,
        .cancel = r->o->cancel,
    };

    head_of(r->q, tensor_of(r->q, i), &o.head_rows, &o.head_cols);
    struct sc_error why = {0};
    int code = measure(r, i, v, &o, &got, &why);
    if (code == SCRUPLE_EUSAGE && o.grain != SC_GRAIN_NONE) {
        TRY(go_without_mix(t, &why, e));
        o.grain = SC_GRAIN_NONE;
        o.in_mix = NULL;
        code = measure(r, i, v, &o, &got, &why);
    }
    if (code < 0) {
        *e = why;
        return code;
    }
    t->facts = got.facts;
    t->sampled = got.sampled;
    for (size_t k = 0; k < r->q->measured.n && code == 0; k++)
        if (r->at_of[k] == SIZE_MAX)
            code = measure_recipe(r, i, k, v, p, e);
        else
            *sc_quant_record(r->q, i, k) = got.formats[r->at_of[k]];
    if (got.intervals) {
        t->intervals = sc_alloc(SC_MAX(r->q->measured.n, (size_t)1) * sizeof *t->intervals);
        code = t->intervals ? 0 : sc_fail_memory(e);
        for (size_t k = 0; code == 0 && k < r->q->measured.n; k++)
            t->intervals[k] = got.intervals[r->at_of[k]];
    }
    t->seconds = sc_quant_now() - start;
    if (code == 0 && got.cells) {
        t->cells = got.cells;
        got.cells = NULL;
        code = sc_quant_mix_own(r, t, p, e);
    }
    t->measured = code == 0;
    sc_quality_clear(&got);
    return code;
}

static int item_done(void *ctx, size_t item, const struct sc_error *why)
{
    struct sc_quant_work *r = ctx;
    const size_t i = r->at[item];

    if (why)
        return give_up_on(r, i, why);
    const struct sc_tensor *tensor = tensor_of(r->q, i);
    const struct sc_quant_tensor *t = &r->q->tensors[i];
    /* of a sample about as much as it is of the values */
    const double share =
        t->sampled && tensor->parameters ? (double)t->sampled / (double)tensor->parameters : 1;
    r->q->bytes_read = sc_add_up(
        r->q->bytes_read, share < 1 ? (uint64_t)((double)tensor->bytes * share) : tensor->bytes);
    remember(r, i);
    return 0;
}

static void tell_progress(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    struct sc_quant_work *r = ctx;

    (void)total;
    pthread_mutex_lock(&r->tell);
    r->done = done;
    tell(r, tensor);
    pthread_mutex_unlock(&r->tell);
}

static int sweep(struct sc_quant_work *r)
{
    static const struct sc_task task = {"quality", task_memory, task_run};

    if (!r->n_items)
        return 0;
    const struct sc_sweep w = {
        .pool = r->o->pool,
        .model = r->q->model,
        .items = r->items,
        .n_items = r->n_items,
        .task = &task,
        .task_ctx = r,
        .memory = r->o->memory,
        .sparse = r->o->sample > 0,
        .cancel = r->o->cancel,
        .done = item_done,
        .progress = r->o->progress ? tell_progress : NULL,
        .ctx = r,
    };
    return sc_sweep_run(&w, r->e);
}

/* -------------------------------------------------------------------------------- outside --- */
static void settle(struct sc_quant *q)
{
    for (size_t i = 0; i < q->n; i++) {
        const struct sc_quant_tensor *t = &q->tensors[i];
        q->n_tied += t->same != SC_NO_NODE;
        q->n_measured += t->measured;
        q->n_unsupported += t->why && t->unsupported;
        q->n_unreadable += t->why && !t->unsupported;
    }
}

static int run_all(struct sc_quant_work *r)
{
    struct sc_quant *q = r->q;

    TRY(plan_formats(r));
    TRY(choose(r));
    TRY(sc_records_make(&q->records, q->n * q->n_rows, sizeof(struct sc_quality), r->e));
    const size_t most = SC_MAX(q->n, (size_t)1);
    uint32_t *all = sc_alloc(most * sizeof *all), *twin = sc_alloc(most * sizeof *twin);
    r->items = sc_alloc(most * sizeof *r->items);
    r->at = sc_alloc(most * sizeof *r->at);
    int code = all && twin && r->items && r->at ? 0 : sc_fail_memory(r->e);
    for (size_t i = 0; code == 0 && i < q->n; i++)
        all[i] = q->tensors[i].tensor;
    if (code == 0)
        code = sc_find_twins(q->model, all, q->n, twin, r->e);
    for (size_t i = 0; code == 0 && i < q->n; i++) {
        q->tensors[i].same = twin[i];
        if (cancelled(r))
            code = sc_fail(r->e, SCRUPLE_EINTERRUPTED, "interrupted");
        else if (twin[i] == SC_NO_NODE)
            code = look_up(r, i);
    }
    free(all);
    free(twin);
    TRY(code);
    TRY(sweep(r));
    if (r->o->plan->model_wide || r->o->curve_all)
        TRY(sc_quant_mix_all(r));
    return 0;
}

int sc_quant_run(const struct sc_model *m, const struct sc_quant_options *o, struct sc_quant **out,
                 struct sc_error *e)
{
    struct sc_error own = {0};
    struct sc_quant_work *r = sc_calloc(1, sizeof *r);

    *out = sc_calloc(1, sizeof **out);
    if (!*out || !r) {
        free(r);
        return sc_fail_memory(e);
    }
    r->q = *out;
    r->o = o;
    r->e = e ? e : &own;
    pthread_mutex_init(&r->tell, NULL);
    r->q->model = m;
    r->q->plan = o->plan;
    r->q->opened_bytes = m->io.bytes_read;
    r->q->opened_requests = m->io.requests;
    r->results = o->cache ? sc_results_open(o->cache, o->note, o->ctx) : NULL;
    const int code = run_all(r);
    settle(r->q); /* of what was interrupted, too */
    if (m->repo)
        sc_repo_settle(m->repo);
    sc_results_close(r->results);
    for (size_t i = 0; i < r->q->n && !o->keep_cells; i++)
        sc_quant_mix_forget(&r->q->tensors[i]);
    free(r->items);
    free(r->at);
    sc_buf_clear(&r->key);
    pthread_mutex_destroy(&r->tell);
    free(r);
    return code;
}

void sc_quant_free(struct sc_quant *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->n; i++) {
        struct sc_quant_tensor *t = &q->tensors[i];
        sc_quant_mix_forget(t);
        free(t->no_mix);
        free(t->intervals);
        free(t->geometry);
        free(t->assignment);
        free(t->trials);
        free(t->curve);
    }
    free(q->curve);
    free(q->tensors);
    sc_records_free(&q->records);
    sc_arena_clear(&q->arena);
    free(q);
}

/* ----------------------------------------------------------------------------------- rows --- */
bool sc_quant_row_at(const struct sc_quant *q, size_t i, size_t k, struct sc_quant_row *out)
{
    const struct sc_quant_tensor *t = sc_quant_first(q, i);
    const bool mix = k == q->measured.n;

    *out = (struct sc_quant_row){.algorithm = q->plan->algorithm};
    if (!t->measured || (mix && !t->has_mix))
        return false;
    if (!mix) {
        out->algorithm = k < q->plan->formats.n ? SC_ALGORITHM_NONE : SC_ALGORITHM_TRANSPOSE;
        out->f = &q->measured.f[k];
    }
    out->cost = sc_quant_record(q, (size_t)(t - q->tensors), k);
    out->seconds = mix ? t->mix_seconds : t->seconds;
    return true;
}

const char *sc_quant_row_name(const struct sc_quant_row *r, char text[80])
{
    size_t n = 0;

    for (const char *p = r->f ? r->f->name : "mix"; *p && n < 79; p++)
        text[n++] = (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
    text[n] = '\0';
    return text;
}

static bool is_local(const struct sc_quant *q)
{
    return strcmp(q->model->origin, "local") == 0;
}

uint64_t sc_quant_requests(const struct sc_quant *q)
{
    return is_local(q) ? q->opened_requests : q->model->io.requests;
}

uint64_t sc_quant_bytes_read(const struct sc_quant *q)
{
    return is_local(q) ? sc_add_up(q->opened_bytes, q->bytes_read) : q->model->io.bytes_read;
}

/* ---------------------------------------------------------------------------- sizes of wq --- */
static const struct {
    const char *name;
    double bytes;
} legacy[] = {{"bf16", 2},    {"bfp8", 1.088}, {"bfp4", 0.50097}, {"bfp2", 0.25097},
              {"mxfp4", 0.5}, {"nvfp4", 0.5},  {"fp0", 0}};

static double legacy_of(const struct sc_encoding *f)
{
    struct sc_str name = sc_strz(f->name);

    if (f->other_axis && name.n > 2)
        name.n -= 2;
    for (size_t i = 0; i < SC_COUNT(legacy); i++)
        if (sc_str_is(name, legacy[i].name))
            return legacy[i].bytes;
    return (double)NAN;
}

double sc_quant_legacy_bytes(const struct sc_quant *q, size_t i, const struct sc_quant_row *r)
{
    const struct sc_quant_tensor *t = sc_quant_first(q, i);
    double sum = 0;

    if (r->f)
        return (double)tensor_of(q, i)->parameters * legacy_of(r->f);
    if (q->plan->grain != SC_GRAIN_TILE)
        return (double)NAN;
    for (size_t k = 0; k < q->plan->mix.n; k++)
        sum += (double)t->totals.cells[k] * 1024 * legacy_of(&q->plan->mix.f[k]);
    return sum;
}

/* ---------------------------------------------------------------------------------- means --- */
void sc_quant_mean_of(const struct sc_quant *q, size_t k, struct sc_quant_mean *out)
{
    double n = 0, weight = 0;

    *out = (struct sc_quant_mean){0};
    for (size_t i = 0; i < q->n; i++) {
        const struct sc_quant_tensor *t = &q->tensors[i];
        struct sc_quant_row row;
        if (t->same != SC_NO_NODE || !sc_quant_row_at(q, i, k, &row))
            continue;
        const struct sc_quality *c = row.cost;
        if (c->bytes == UINT64_MAX) /* it does not fit this one */
            continue;
        const double parameters = (double)tensor_of(q, i)->parameters;
        out->pcc += c->pcc;
        out->mae += c->mae;
        out->atol += c->atol;
        out->sqnr_db += c->sqnr_db;
        out->bytes += (double)c->bytes;
        out->w_pcc += c->pcc * parameters;
        out->w_mae += c->mae * parameters;
        out->w_mse += c->mse * parameters;
        out->w_sqnr_db += c->sqnr_db * parameters;
        out->w_atol = fmax(out->w_atol, c->atol);
        out->total_bytes = sc_add_up(out->total_bytes, c->bytes);
        out->parameters = sc_add_up(out->parameters, tensor_of(q, i)->parameters);
        out->legacy_bytes += sc_quant_legacy_bytes(q, i, &row);
        for (size_t f = 0; f < SC_QUANT_MIX && !row.f; f++)
            out->cells[f] += t->totals.cells[f];
        out->n_good += !row.f && t->good;
        n++;
        weight += parameters;
    }
    double *const plain[] = {&out->pcc, &out->mae, &out->atol, &out->sqnr_db, &out->bytes};
    double *const weighted[] = {&out->w_pcc, &out->w_mae, &out->w_mse, &out->w_sqnr_db};
    for (size_t i = 0; i < SC_COUNT(plain); i++)
        *plain[i] /= n;
    for (size_t i = 0; i < SC_COUNT(weighted); i++)
        *weighted[i] /= weight;
    out->n = (size_t)n;
}

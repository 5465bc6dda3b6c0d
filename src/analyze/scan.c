/* SPDX-License-Identifier: Apache-2.0 */
/* scan: which tensors are read, and what becomes of each.
 *
 *   choose     what the filter lets through
 *   twins      tensors that the file stores once are measured once
 *   recall     figures of an earlier run, by content and method
 *   measure    the rest, each read once; a pass of the caller's looks on
 *   compare    tensors with equal figures: do they hold the same values?
 *   judge      issues.c
 */
#include <stdlib.h>
#include <string.h>

#include "analyze/issues.h"
#include "analyze/results.h"
#include "analyze/scan.h"

/* ------------------------------------------------------------------------------- options --- */
struct sc_measure sc_measure_default(void)
{
    return (struct sc_measure){
        .methods = SC_METHODS_ELEMENTS, .bits = 8, .group = 128, .refine = true, .max_rank = 16384};
}

int sc_methods_parse(const char *text, unsigned *methods, struct sc_error *e)
{
    struct sc_str rest = sc_strz(text);
    struct sc_buf words = {0};
    struct sc_quoted q;

    *methods = 0;
    for (bool more = true; more;) {
        const char *comma = rest.n ? memchr(rest.p, ',', rest.n) : NULL;
        struct sc_str word = sc_str(rest.p, comma ? (size_t)(comma - rest.p) : rest.n);
        unsigned found = sc_str_is(word, "all") ? SC_METHODS_ELEMENTS | SC_METHOD_SPECTRAL : 0;
        for (size_t i = 0; sc_metric_groups[i]; i++)
            if (sc_str_is(word, sc_metric_groups[i]->key))
                found = sc_metric_groups[i]->method;
        if (!found) {
            for (size_t i = 0; sc_metric_groups[i]; i++)
                sc_buf_printf(&words, "%s, ", sc_metric_groups[i]->key);
            int code = sc_fail(e, SCRUPLE_EUSAGE, "--methods cannot be \"%s\": it takes %sall",
                               sc_quote(&q, word), words.failed ? "" : words.p);
            sc_buf_clear(&words);
            return code;
        }
        *methods |= found;
        more = comma;
        rest = comma ? sc_str(comma + 1, rest.n - word.n - 1) : rest;
    }
    return 0;
}

/* --------------------------------------------------------------------------------- the run --- */
/* What is to be done about a tensor. */
enum need { NEED_NOTHING, NEED_ALL, NEED_ELEMENTS, NEED_SPECTRUM, NEED_BESIDE, NEEDS };

struct run {
    struct sc_scan *s;
    const struct sc_scan_options *o;
    struct sc_results *results;
    uint8_t *need;         /* (n) enum need */
    uint32_t *twin;        /* (n) an earlier tensor whose bytes these are, or SC_NO_NODE */
    struct sc_item *items; /* of one sweep; item k is tensor at[k] */
    uint32_t *at;
    uint64_t before, total; /* bytes of earlier sweeps, of all */
    uint32_t *base_of;      /* (model->n_tensors) of the base, or SC_NO_NODE; NULL: no base */
    struct sc_buf key;      /* scratch */
    struct sc_error *e;
};

static bool cancelled(const struct run *r)
{
    return r->o->cancel && *r->o->cancel;
}

static const struct sc_tensor *tensor_of(const struct run *r, size_t i)
{
    return &r->s->model->tensors[r->s->tensors[i]];
}

static int choose(struct sc_scan *s, const struct sc_filter *filter, struct sc_error *e)
{
    const struct sc_model *m = s->model;
    size_t most = SC_MAX(m->n_tensors, (size_t)1);

    s->filtered = filter != NULL;
    s->tensors = sc_pages_new(true, most, sizeof *s->tensors);
    s->health = sc_pages_new(true, most, sizeof *s->health);
    s->scanned = sc_pages_new(true, most, sizeof *s->scanned);
    if (!s->tensors || !s->health || !s->scanned)
        return sc_fail_memory(e);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        if (!sc_filter_match(filter, sc_str(t->name, t->name_len)))
            continue;
        s->scanned[s->n] = (struct sc_scanned){.tensor = (uint32_t)i, .same = SC_NO_NODE};
        s->tensors[s->n++] = (uint32_t)i;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------- base --- */
static int pair_with_base(struct run *r)
{
    struct sc_pairs pairs = {0};
    size_t most = SC_MAX(r->s->model->n_tensors, (size_t)1);

    if (!r->s->base)
        return 0;
    r->base_of = sc_pages_new(true, most, sizeof *r->base_of);
    if (!r->base_of)
        return sc_fail_memory(r->e);
    for (size_t i = 0; i < most; i++)
        r->base_of[i] = SC_NO_NODE;
    TRY(sc_models_pair(r->s->base, r->s->model, NULL, &pairs, r->e));
    for (size_t i = 0; i < pairs.n; i++)
        if (pairs.p[i].status == SC_PAIR_BOTH)
            r->base_of[pairs.p[i].b] = pairs.p[i].a;
    sc_pairs_clear(&pairs);
    return 0;
}

/* A tensor, or how it differs from the base's, under its own name. */
static int open_view(struct run *r, uint32_t tensor, struct sc_values **out, struct sc_error *e)
{
    const struct sc_model *m = r->s->model;
    struct sc_values *base = NULL, *own = NULL;

    if (!r->base_of)
        return sc_values_open(m, tensor, out, e);
    *out = NULL;
    if (r->base_of[tensor] == SC_NO_NODE)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED, "the base has no tensor of this name and shape");
    TRY(sc_values_open(r->s->base, r->base_of[tensor], &base, e));
    int code = sc_values_open(m, tensor, &own, e);
    if (code < 0) {
        sc_values_close(base);
        return code;
    }
    if (base->count == own->count) { /* shapes are equal but for dimensions of 1 */
        base->rows = own->rows;
        base->cols = own->cols;
    }
    TRY(sc_values_open_difference(base, own, out, e));
    (*out)->model = m;
    (*out)->tensor = &m->tensors[tensor];
    return 0;
}

static int open_item(void *ctx, const struct sc_item *item, struct sc_values **a,
                     struct sc_values **b, struct sc_error *e)
{
    *b = NULL;
    return open_view(ctx, item->tensor, a, e);
}

/* ----------------------------------------------------------------------------------- recall --- */
enum part { PART_ELEMENTS, PART_SPECTRUM };

/* "elements 1 7 8 128\n" and what names the content. false: nothing does. */
static bool make_key(struct run *r, enum part part, struct sc_values *v)
{
    const struct sc_measure *m = &r->s->measure;

    r->key.n = 0;
    if (part == PART_ELEMENTS)
        sc_buf_printf(&r->key, "elements %d %u %u %u\n", SC_HEALTH_VERSION,
                      m->methods & SC_METHODS_ELEMENTS, (unsigned)m->bits, (unsigned)m->group);
    else
        sc_buf_printf(&r->key, "spectrum %d %d %d %d %llu\n", SC_HEALTH_VERSION, m->quick,
                      m->shuffled, m->refine, (unsigned long long)m->max_rank);
    return sc_values_identity(v, &r->key) && !r->key.failed;
}

/* The part of a record that belongs to a key. */
static void *part_of(struct sc_health *h, enum part part, size_t *n)
{
    if (part == PART_SPECTRUM) {
        *n = sizeof h->spectrum;
        return &h->spectrum;
    }
    *n = offsetof(struct sc_health, spectrum) - offsetof(struct sc_health, basic);
    return &h->basic;
}

static bool recall(struct run *r, enum part part, struct sc_values *v, struct sc_health *h)
{
    size_t n;
    void *p = part_of(h, part, &n);

    return r->results && make_key(r, part, v) &&
           sc_results_get(r->results, sc_str(r->key.p, r->key.n), p, n);
}

static void remember(struct run *r, size_t i)
{
    struct sc_health *h = sc_scan_record(r->s, i);
    unsigned elements = r->s->measure.methods & SC_METHODS_ELEMENTS;
    struct sc_values *v = NULL;
    size_t n;

    if (!r->results || !h->measured || open_view(r, r->s->tensors[i], &v, NULL) < 0)
        return;
    for (enum part part = PART_ELEMENTS; part <= PART_SPECTRUM; part++) {
        unsigned wanted = part == PART_ELEMENTS ? elements : SC_METHOD_SPECTRAL;
        if (!wanted || (h->measured & wanted) != wanted || !make_key(r, part, v))
            continue;
        const void *p = part_of(h, part, &n);
        sc_results_put(r->results, sc_str(r->key.p, r->key.n), p, n);
    }
    sc_values_close(v);
}

/* Cannot be measured, and why. */
static int give_up_on(struct run *r, size_t i, const struct sc_error *why)
{
    struct sc_scanned *s = &r->s->scanned[i];
    struct sc_buf text = {0};

    (void)sc_put_safe(&text, sc_strz(why->text[0] ? why->text : sc_code_text(why->code)), 0);
    s->unsupported = why->code == SCRUPLE_EUNSUPPORTED;
    s->unreached = why->code == SCRUPLE_ENETWORK || why->code == SCRUPLE_ENOTFOUND;
    s->why = text.failed ? NULL : sc_arena_copy(&r->s->arena, text.n ? text.p : "", text.n);
    sc_buf_clear(&text);
    return s->why ? 0 : sc_fail_memory(r->e);
}

static bool ends_all(int code)
{
    return code == SCRUPLE_EINTERRUPTED || code == SCRUPLE_EMEMORY;
}

/* Does the caller's pass want what nobody else reads? */
static bool is_wanted_beside(const struct run *r, size_t i, struct sc_values *v)
{
    const struct sc_item item = {r->s->tensors[i], SC_NO_NODE, NULL, sc_scan_record(r->s, i)};

    return r->o->beside && r->o->beside->wants(r->o->beside_ctx, &item, v) != 0;
}

/* A tensor that the file stores under another name, too. */
static int look_up_twin(struct run *r, size_t i)
{
    struct sc_values *v = NULL;
    struct sc_error why = {0};

    if (!r->o->beside)
        return 0;
    const int code = open_view(r, r->s->tensors[i], &v, &why);
    if (ends_all(code)) {
        *r->e = why;
        return code;
    }
    if (code == 0 && is_wanted_beside(r, i, v)) {
        r->need[i] = NEED_BESIDE;
        r->total = sc_add_up(r->total, tensor_of(r, i)->bytes);
    }
    sc_values_close(v);
    return 0;
}

static int look_up(struct run *r, size_t i)
{
    struct sc_health *h = sc_scan_record(r->s, i);
    unsigned methods = r->s->measure.methods, elements = methods & SC_METHODS_ELEMENTS;
    struct sc_values *v = NULL;
    struct sc_error why = {0};

    h->version = SC_HEALTH_VERSION;
    int code = open_view(r, r->s->tensors[i], &v, &why);
    if (code < 0) {
        why.code = code;
        if (!ends_all(code))
            return give_up_on(r, i, &why);
        *r->e = why;
        return code;
    }
    if (elements && recall(r, PART_ELEMENTS, v, h))
        h->measured |= elements;
    const struct sc_item item = {r->s->tensors[i], SC_NO_NODE, NULL, h};
    bool matrix = sc_task_spectrum.memory(&r->s->measure, &item, v) != 0; /* vectors have none */
    if ((methods & SC_METHOD_SPECTRAL) && matrix && recall(r, PART_SPECTRUM, v, h))
        h->measured |= SC_METHOD_SPECTRAL;
    const bool beside = is_wanted_beside(r, i, v);
    sc_values_close(v);
    bool left = elements & ~h->measured;
    bool spectrum = matrix && (methods & SC_METHOD_SPECTRAL & ~h->measured);
    r->need[i] = left && spectrum ? NEED_ALL
                 : left           ? NEED_ELEMENTS
                 : spectrum       ? NEED_SPECTRUM
                 : beside         ? NEED_BESIDE
                                  : NEED_NOTHING;
    r->s->n_known += !left && !spectrum;
    if (r->need[i] != NEED_NOTHING)
        r->total = sc_add_up(r->total, tensor_of(r, i)->bytes);
    return 0;
}

/* ---------------------------------------------------------------------------------- measure --- */
static int item_done(void *ctx, size_t item, const struct sc_error *why)
{
    struct run *r = ctx;
    size_t i = r->at[item];
    const bool beside = r->need[i] == NEED_BESIDE;

    if (why && !beside && !sc_scan_record(r->s, i)->measured)
        return give_up_on(r, i, why);
    r->s->bytes_read = sc_add_up(r->s->bytes_read, tensor_of(r, i)->bytes);
    if (!beside)
        remember(r, i);
    return 0;
}

static void tell_progress(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    const struct run *r = ctx;

    (void)total;
    r->o->progress(r->o->ctx, sc_add_up(r->before, done), r->total, tensor);
}

/* All tensors that need the same. */
static int sweep(struct run *r, enum need need)
{
    const bool elements = need == NEED_ALL || need == NEED_ELEMENTS;
    const struct sc_pass *passes[2];
    struct sc_scan *s = r->s;
    void *pass_ctx[2];
    uint64_t bytes = 0;
    size_t n = 0, n_passes = 0;

    if (elements) {
        passes[n_passes] = &sc_pass_elements;
        pass_ctx[n_passes++] = &s->measure; /* the setup of passes is read only */
    }
    if (r->o->beside) {
        passes[n_passes] = r->o->beside;
        pass_ctx[n_passes++] = r->o->beside_ctx;
    }

    for (size_t i = 0; i < s->n; i++) {
        if (r->need[i] != need)
            continue;
        r->items[n] = (struct sc_item){s->tensors[i], SC_NO_NODE, NULL, sc_scan_record(s, i)};
        r->at[n++] = (uint32_t)i;
        bytes = sc_add_up(bytes, tensor_of(r, i)->bytes);
    }
    if (!n)
        return 0;
    struct sc_sweep w = {
        .pool = r->o->pool,
        .model = s->model,
        .items = r->items,
        .n_items = n,
        .passes = passes,
        .pass_ctx = pass_ctx,
        .n_passes = n_passes,
        .task = need == NEED_ALL || need == NEED_SPECTRUM ? &sc_task_spectrum : NULL,
        .task_ctx = &s->measure,
        .memory = r->o->memory,
        .cancel = r->o->cancel,
        .open = r->base_of ? open_item : NULL,
        .done = item_done,
        .progress = r->o->progress ? tell_progress : NULL,
        .ctx = r,
    };
    int code = sc_sweep_run(&w, r->e);
    r->before = sc_add_up(r->before, bytes);
    return code;
}

/* ---------------------------------------------------------------------------------- compare --- */
/* What two tensors of the same values have in common, as far as figures tell. */
static uint64_t figures_hash(const struct sc_tensor *t, const struct sc_basic *b)
{
    const double moments[] = {b->mean, b->std, b->min, b->max, b->l2_norm, b->kurtosis};
    uint64_t hash = sc_hash(t->shape, t->rank * sizeof *t->shape);

    hash = sc_hash_mix(hash, sc_hash(moments, sizeof moments));
    return sc_hash_mix(hash, sc_hash(b->histogram, sizeof b->histogram));
}

/* Constant tensors are said to be that; of a few values chance is the cause. */
static bool may_be_copied(const struct sc_health *h)
{
    return h && (h->measured & SC_METHOD_BASIC) && h->basic.values >= 64 && h->basic.std > 0 &&
           h->basic.finite == h->basic.values;
}

static int compare_values(struct run *r, struct sc_values *a, struct sc_values *b, bool *same)
{
    enum { STEP = 1 << 14 };
    bool wide = a->is_double || b->is_double;
    size_t size = wide ? sizeof(double) : sizeof(float);
    char *buffer = sc_alloc((size_t)2 * STEP * size);
    int code = buffer ? 0 : sc_fail_memory(r->e);

    *same = a->count == b->count;
    for (uint64_t at = 0; at < a->count && *same && code >= 0; at += STEP) {
        uint64_t n = SC_MIN(a->count - at, (uint64_t)STEP);
        void *x = buffer, *y = buffer + STEP * size;
        if (cancelled(r))
            code = sc_fail(r->e, SCRUPLE_EINTERRUPTED, "interrupted");
        if (code >= 0)
            code = wide ? sc_values_read64(a, at, n, x, r->e) : sc_values_read(a, at, n, x, r->e);
        if (code >= 0)
            code = wide ? sc_values_read64(b, at, n, y, r->e) : sc_values_read(b, at, n, y, r->e);
        *same = code >= 0 && memcmp(x, y, (size_t)n * size) == 0;
    }
    free(buffer);
    return code;
}

/* The answer is kept like a figure, so that a second scan reads nothing. */
static int is_copy(struct run *r, size_t i, size_t k, bool *same)
{
    struct sc_values *a = NULL, *b = NULL;
    uint8_t answer = 0;

    *same = false;
    int code = sc_values_open(r->s->model, r->s->tensors[i], &a, r->e);
    if (code >= 0)
        code = sc_values_open(r->s->model, r->s->tensors[k], &b, r->e);
    r->key.n = 0;
    sc_buf_puts(&r->key, "same 1\n");
    bool named = code >= 0 && r->results && sc_values_identity(a, &r->key);
    sc_buf_putc(&r->key, '\n');
    named = named && sc_values_identity(b, &r->key) && !r->key.failed;
    if (named && sc_results_get(r->results, sc_str(r->key.p, r->key.n), &answer, 1)) {
        *same = answer == 1;
    } else if (code >= 0) {
        code = compare_values(r, a, b, same);
        answer = *same;
        if (code >= 0 && named)
            sc_results_put(r->results, sc_str(r->key.p, r->key.n), &answer, 1);
    }
    sc_values_close(a);
    sc_values_close(b);
    return ends_all(code) ? code : 0; /* what cannot be read has been said */
}

static int find_copies(struct run *r)
{
    struct sc_index index = {.filed = true};
    int code = 0;

    for (size_t i = 0; i < r->s->n && code >= 0; i++) {
        struct sc_scanned *s = &r->s->scanned[i];
        size_t probe = 0;
        if (s->tied || !may_be_copied(s->health))
            continue;
        uint64_t hash = figures_hash(tensor_of(r, i), &s->health->basic);
        uint32_t k = sc_index_next(&index, hash, &probe);
        bool same = false;
        if (k != UINT32_MAX)
            code = is_copy(r, i, k, &same);
        if (same)
            s->same = k;
        else if (code >= 0 && k == UINT32_MAX)
            code = sc_index_put(&index, hash, (uint32_t)i, r->e);
    }
    sc_index_clear(&index);
    return code;
}

/* ----------------------------------------------------------------------------------- verdict ---
 */
static void settle(struct run *r)
{
    struct sc_scan *s = r->s;

    for (size_t i = 0; i < s->n; i++) {
        struct sc_scanned *t = &s->scanned[i];
        if (r->twin[i] != SC_NO_NODE) {
            t->same = r->twin[i];
            t->tied = true;
            t->health = s->scanned[t->same].health;
            s->n_tied++;
        } else if (sc_scan_record(s, i)->measured) {
            t->health = sc_scan_record(s, i);
            s->n_measured++;
            s->judged = sc_add_up(s->judged, tensor_of(r, i)->parameters);
        } else {
            s->n_unsupported += t->why && t->unsupported;
            s->n_unreadable += t->why && !t->unsupported;
            s->n_unreached += t->why && t->unreached;
        }
        s->health[i] = t->health;
    }
}

static bool is_local(const struct sc_scan *s)
{
    return strcmp(s->model->origin, "local") == 0;
}

uint64_t sc_scan_requests(const struct sc_scan *s)
{
    return is_local(s) ? s->opened_requests : s->model->io.requests;
}

uint64_t sc_scan_bytes_read(const struct sc_scan *s)
{
    /* Tensors in files that are mapped are not counted by anybody else. */
    return is_local(s) ? sc_add_up(s->opened_bytes, s->bytes_read) : s->model->io.bytes_read;
}

/* Issues by tensor, each tensor's by rank: a counting sort keeps the order. */
static int index_issues(struct sc_scan *s, struct sc_error *e)
{
    s->first_issue = sc_pages_new(true, s->n + 2, sizeof *s->first_issue);
    s->issue_of = sc_pages_new(true, s->issues.n, sizeof *s->issue_of);
    if (!s->first_issue || !s->issue_of)
        return sc_fail_memory(e);
    for (int round = 0; round < 2; round++) {
        for (size_t k = 0; k < s->issues.n; k++) {
            size_t low = 0, high = s->n;
            while (low < high) { /* tensors are ascending */
                size_t middle = low + (high - low) / 2;
                if (s->tensors[middle] < s->issues.p[k].tensor)
                    low = middle + 1;
                else
                    high = middle;
            }
            if (round == 0)
                s->first_issue[low + 2]++;
            else
                s->issue_of[s->first_issue[low + 1]++] = (uint32_t)k;
        }
        for (size_t i = 0; round == 0 && i < s->n; i++)
            s->first_issue[i + 2] += s->first_issue[i + 1];
    }
    for (size_t k = 0; k < s->issues.n; k++)
        s->n_severity[s->issues.p[k].severity]++;
    return 0;
}

const char *sc_scan_verdict(const struct sc_scan *s)
{
    if (s->base)
        return "difference";
    if (s->n_severity[SC_ERROR] || s->model->catalog->n_errors)
        return "errors";
    return s->n_severity[SC_WARNING] ? "warnings" : s->judged ? "healthy" : "unknown";
}

static void put_number(struct sc_buf *out, size_t n, const char *word)
{
    sc_buf_printf(out, "%zu %s%s", n, word, n == 1 ? "" : "s");
}

void sc_scan_sentence(const struct sc_scan *s, struct sc_buf *out)
{
    size_t errors = s->n_severity[SC_ERROR], warnings = s->n_severity[SC_WARNING], bad = 0;
    const size_t broken = s->model->catalog->n_errors; /* opened leniently */

    for (size_t i = 0; i < s->n; i++)
        bad += s->first_issue[i + 1] > s->first_issue[i] &&
               s->issues.p[s->issue_of[s->first_issue[i]]].severity > SC_INFO;
    if (!s->n) {
        sc_buf_puts(out, "there are no tensors to measure");
    } else if (s->base) {
        sc_buf_puts(out, "differences from the base in ");
        put_number(out, s->n_measured, "tensor");
    } else if (!errors && !warnings) {
        sc_buf_puts(out, !s->n_measured ? "nothing could be measured of "
                         : !s->judged   ? "nothing to judge: there are no values in "
                         : broken       ? "no errors and no warnings in "
                                        : "healthy: no errors and no warnings in ");
        put_number(out, s->n, "tensor");
    } else {
        if (errors)
            put_number(out, errors, "error");
        if (errors && warnings)
            sc_buf_puts(out, " and ");
        if (warnings)
            put_number(out, warnings, "warning");
        sc_buf_printf(out, " in %zu of ", bad);
        put_number(out, s->n, "tensor");
    }
    if (s->n_unsupported)
        sc_buf_printf(out, "; %zu %s", s->n_unsupported,
                      s->base ? "cannot be compared" : "cannot be decoded");
    if (s->n_unreadable)
        sc_buf_printf(out, "; %zu cannot be read", s->n_unreadable);
    if (broken) {
        sc_buf_puts(out, "; the files have ");
        put_number(out, broken, "error");
        sc_buf_puts(out, ": not all of the model was measured");
    }
}

/* ----------------------------------------------------------------------------------- outside ---
 */
static int run_all(struct run *r)
{
    struct sc_scan *s = r->s;

    TRY(choose(s, r->o->filter, r->e));
    TRY(sc_records_make(&s->records, s->n, sizeof(struct sc_health), r->e));
    size_t most = SC_MAX(s->n, (size_t)1);
    r->need = sc_pages_new(true, most, sizeof *r->need);
    r->twin = sc_pages_new(true, most, sizeof *r->twin);
    r->items = sc_pages_new(true, most, sizeof *r->items);
    r->at = sc_pages_new(true, most, sizeof *r->at);
    if (!r->need || !r->twin || !r->items || !r->at)
        return sc_fail_memory(r->e);
    TRY(pair_with_base(r));
    for (size_t i = 0; i < s->n; i++)
        r->twin[i] = SC_NO_NODE;
    if (!s->base)
        TRY(sc_find_twins(s->model, s->tensors, s->n, r->twin, r->e));
    for (size_t i = 0; i < s->n; i++) {
        if (cancelled(r))
            return sc_fail(r->e, SCRUPLE_EINTERRUPTED, "interrupted");
        TRY(r->twin[i] == SC_NO_NODE ? look_up(r, i) : look_up_twin(r, i));
    }
    for (enum need need = NEED_ALL; need < NEEDS; need++)
        TRY(sweep(r, need));
    settle(r);
    if (!s->base) {
        TRY(find_copies(r));
        TRY(sc_issues_find(s->model, s->scanned, s->n, &s->issues, r->e));
    }
    return index_issues(s, r->e);
}

int sc_scan_run(const struct sc_model *m, const struct sc_scan_options *o, struct sc_scan **out,
                struct sc_error *e)
{
    struct sc_error own = {0};
    struct run r = {.o = o, .e = e ? e : &own};

    *out = r.s = sc_calloc(1, sizeof *r.s);
    if (!r.s)
        return sc_fail_memory(e);
    r.s->model = m;
    r.s->arena.filed = true;
    r.s->base = o->base;
    r.s->measure = o->measure;
    r.s->measure.cancel = o->cancel;
    r.s->opened_bytes = m->io.bytes_read;
    r.s->opened_requests = m->io.requests;
    /* Without a store a scan only takes longer. */
    r.results = o->cache ? sc_results_open(o->cache, o->note, o->ctx) : NULL;
    int code = run_all(&r);
    if (m->repo)
        sc_repo_settle(m->repo); /* a remote one tells what came over the network now */
    sc_results_close(r.results);
    sc_pages_free(r.need);
    sc_pages_free(r.twin);
    sc_pages_free(r.base_of);
    sc_pages_free(r.items);
    sc_pages_free(r.at);
    sc_buf_clear(&r.key);
    return code;
}

void sc_scan_free(struct sc_scan *s)
{
    if (!s)
        return;
    sc_records_free(&s->records);
    sc_pages_free(s->tensors);
    sc_pages_free(s->health);
    sc_pages_free(s->scanned);
    sc_pages_free(s->issue_of);
    sc_pages_free(s->first_issue);
    sc_issues_clear(&s->issues);
    sc_arena_clear(&s->arena);
    free(s);
}

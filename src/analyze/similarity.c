/* SPDX-License-Identifier: Apache-2.0 */
/* similarity: finds the weights of each layer's experts, has them compared, and turns inner
 * products into scores. */
#include "analyze/similarity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/similarity_parts.h"

#define DEFAULT_LIMIT UINT64_C(100000000000000)
enum { DEFAULT_RANK = 128, LONGEST = 1 << 20 }; /* longest side of a weight */

const char *const sc_similarity_parts[] = {"gate_proj", "up_proj", "down_proj",
                                           "router",    "joined",  NULL};
const char *const sc_similarity_methods[] = {"none",     "grams",   "pairs", "sketch",
                                             "original", "cosines", "mean",  NULL};
const char *const sc_similarity_states[] = {"compared",   "missing",     "dead", "not finite",
                                            "unreadable", "other shape", NULL};

struct comparing {
    const struct sc_model *m;
    struct sc_similarity_options o;
    struct sc_similarity *out;
    struct sc_expert_pieces pieces;
    struct sc_similar_weight *w; /* (layers, 4, n) */
    bool sketch;
    _Atomic uint64_t done; /* multiplications */
    uint64_t total;
    uint64_t bytes; /* of all pieces, as stored */
};

/* --------------------------------------------------------------------------------- tasks --- */
void sc_similar_count(const struct sc_similar *s, uint64_t macs)
{
    const uint64_t done = atomic_fetch_add(s->done, macs) + macs;

    if (s->o->progress && s->total)
        s->o->progress(s->o->ctx,
                       (uint64_t)((double)s->bytes * fmin((double)done / (double)s->total, 1)),
                       s->bytes);
}

bool sc_similar_stop(const struct sc_similar *s)
{
    return s->o->cancel && atomic_load(s->o->cancel);
}

struct loop {
    const struct sc_similar *s;
    int (*fn)(void *ctx, size_t i, struct sc_error *e);
    void *ctx;
    int *codes;
    struct sc_error **errors; /* of those that failed */
};

static void run_one(void *ctx, size_t i)
{
    struct loop *l = ctx;
    struct sc_error e = {0};

    if (sc_similar_stop(l->s))
        return;
    l->codes[i] = l->fn(l->ctx, i, &e);
    if (l->codes[i] < 0 && (l->errors[i] = sc_alloc(sizeof e)) != NULL)
        *l->errors[i] = e;
}

int sc_similar_for(const struct sc_similar *s, size_t n,
                   int (*fn)(void *ctx, size_t i, struct sc_error *e), void *ctx,
                   struct sc_error *e)
{
    struct loop l = {.s = s, .fn = fn, .ctx = ctx};
    int code = 0;

    l.codes = sc_calloc(n + 1, sizeof *l.codes);
    l.errors = sc_calloc(n + 1, sizeof *l.errors);
    if (l.codes && l.errors)
        sc_pool_for(s->o->pool, n, run_one, &l);
    else
        code = sc_fail_memory(e);
    for (size_t i = 0; l.codes && l.errors && i < n; i++) {
        if (l.codes[i] < 0 && code == 0) {
            code = l.errors[i] ? l.codes[i] : sc_fail_memory(e);
            if (e && l.errors[i])
                *e = *l.errors[i];
        }
        free(l.errors[i]);
    }
    free(l.codes);
    free(l.errors);
    return code == 0 && sc_similar_stop(s) ? sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted") : code;
}

int sc_similar_settle(struct sc_similar_weight *w, int code, const struct sc_error *e)
{
    if (code == 0 || code == SCRUPLE_EINTERRUPTED || code == SCRUPLE_EMEMORY)
        return code;
    w->state = SC_SIMILARITY_UNREADABLE;
    w->square = (double)NAN;
    if (!w->why && (w->why = sc_alloc(strlen(e->text) + 1)) != NULL)
        memcpy(w->why, e->text, strlen(e->text) + 1);
    return 0;
}

/* -------------------------------------------------------------------- which weights where --- */
static struct sc_similar_weight *weights_of(const struct comparing *c, size_t layer, unsigned part)
{
    return c->w + (layer * SC_EXPERT_PARTS + part) * c->out->n;
}

/* Along which axis neurons lie: where the hidden size tells nothing (square ones), gate and up
 * of a stack that is cut along columns are transposed, and their down as well. */
static bool transposed(const struct comparing *c, const struct sc_similar_weight *w, bool stack)
{
    const uint64_t hidden = c->m->config.hidden;
    const bool down = w->piece.part == SC_EXPERT_DOWN;
    const uint64_t axis = down ? w->rows : w->cols, other = down ? w->cols : w->rows;

    if (w->piece.cut != SC_CUT_WHOLE)
        return w->piece.cut == SC_CUT_COLUMNS || w->piece.cut == SC_CUT_EVEN_COLUMNS;
    if (hidden && axis != other && (axis == hidden || other == hidden))
        return other == hidden;
    return stack;
}

static void place(const struct comparing *c, const struct sc_expert_piece *p, bool stack)
{
    const uint32_t expert = p->expert == SC_NO_NODE ? c->out->n_experts : p->expert;
    const bool rows = p->cut == SC_CUT_ROWS || p->cut == SC_CUT_EVEN_ROWS;

    for (unsigned up = 0; up < (p->cut == SC_CUT_WHOLE ? 1U : 2U); up++) {
        struct sc_similar_weight *w = &weights_of(c, p->at, p->part + up)[expert];
        *w = (struct sc_similar_weight){.piece = *p,
                                        .up = up == 1,
                                        .rows = p->rows,
                                        .cols = p->cols,
                                        .state = SC_SIMILARITY_COMPARED};
        if (p->cut != SC_CUT_WHOLE) {
            w->rows /= rows ? 2 : 1;
            w->cols /= rows ? 1 : 2;
        }
        const bool turned = p->part != SC_EXPERT_ROUTER && transposed(c, w, stack);
        w->neurons_are_rows = (p->part == SC_EXPERT_DOWN) == turned;
        w->neurons = w->neurons_are_rows ? w->rows : w->cols;
        w->hidden = w->neurons_are_rows ? w->cols : w->rows;
    }
}

/* Is gate and up of this layer one stack that is cut along columns? */
static bool stack_of(const struct comparing *c, uint32_t layer)
{
    for (size_t i = 0; i < c->pieces.n; i++)
        if (c->pieces.p[i].at == layer && c->pieces.p[i].expert != SC_NO_NODE &&
            c->pieces.p[i].part != SC_EXPERT_ROUTER && c->pieces.p[i].cut != SC_CUT_WHOLE)
            return c->pieces.p[i].cut == SC_CUT_COLUMNS ||
                   c->pieces.p[i].cut == SC_CUT_EVEN_COLUMNS;
    return false;
}

static int check_shapes(const struct comparing *c, struct sc_error *e)
{
    for (size_t l = 0; l < c->out->n_layers; l++)
        for (unsigned part = 0; part < SC_EXPERT_PARTS; part++) {
            struct sc_similar_weight *w = weights_of(c, l, part);
            uint64_t hidden = 0;
            for (size_t i = 0; i < c->out->n; i++) {
                if (w[i].state != SC_SIMILARITY_COMPARED)
                    continue;
                if (w[i].hidden > LONGEST || w[i].neurons > LONGEST)
                    return sc_fail(e, SCRUPLE_ELIMIT,
                                   "layer %d, expert %zu, %s: %llu x %llu is more than can be "
                                   "compared (%d)",
                                   c->out->layers[l].layer, i, sc_similarity_parts[part],
                                   (unsigned long long)w[i].rows, (unsigned long long)w[i].cols,
                                   LONGEST);
                hidden = hidden ? hidden : w[i].hidden;
                if (!w[i].hidden || !w[i].neurons || w[i].hidden != hidden)
                    w[i].state = SC_SIMILARITY_SHAPE;
            }
        }
    return 0;
}

static int find(struct comparing *c, struct sc_error *e)
{
    struct sc_experts x = {0};
    struct sc_similarity *s = c->out;
    bool shared = false;
    int code = sc_experts_find(c->m, c->o.filter, &x, &c->pieces, e);

    s->n_layers = x.n_layers;
    s->n_experts = x.n_experts;
    for (size_t i = 0; i < c->pieces.n; i++)
        shared |= c->pieces.p[i].expert == SC_NO_NODE && c->pieces.p[i].part != SC_EXPERT_ROUTER;
    s->n = x.n_experts + shared;
    if (code == 0 && s->n > SC_SIMILARITY_MOST_EXPERTS)
        code = sc_fail(e, SCRUPLE_ELIMIT, "%u experts are more than can be compared (%d)", s->n,
                       SC_SIMILARITY_MOST_EXPERTS);
    if (code == 0 && s->n_layers) {
        s->layers = SC_ARENA_NEW(&s->arena, struct sc_similarity_layer, s->n_layers);
        c->w = sc_calloc(s->n_layers * SC_EXPERT_PARTS * s->n, sizeof *c->w);
        if (!s->layers || !c->w)
            code = sc_fail_memory(e);
    }
    for (size_t l = 0; l < s->n_layers && code == 0; l++)
        s->layers[l] =
            (struct sc_similarity_layer){.layer = x.layers[l].layer, .tower = x.layers[l].tower};
    for (size_t i = 0; i < s->n_layers * SC_EXPERT_PARTS * s->n && code == 0; i++)
        c->w[i].state = SC_SIMILARITY_MISSING;
    for (size_t i = 0; i < c->pieces.n && code == 0; i++) {
        const struct sc_expert_piece *p = &c->pieces.p[i];
        if (p->expert == SC_NO_NODE && (!shared || p->part == SC_EXPERT_ROUTER))
            continue; /* the gate of a shared expert is a row of no router */
        place(c, p, p->expert != SC_NO_NODE && stack_of(c, p->at));
        const struct sc_tensor *t = &c->m->tensors[p->tensor];
        c->bytes += (uint64_t)((double)t->bytes * ((double)p->rows * (double)p->cols) /
                               (double)t->parameters);
    }
    sc_arena_clear(&x.arena);
    return code == 0 && s->n_layers ? check_shapes(c, e) : code;
}

/* --------------------------------------------------------------------------------- views --- */
/* One view a tensor; weights of a stack share it. */
static int open_views(const struct comparing *c, struct sc_similar_weight *w, struct sc_error *e)
{
    for (size_t i = 0; i < c->out->n; i++) {
        if (w[i].state != SC_SIMILARITY_COMPARED)
            continue;
        for (size_t k = 0; k < i && !w[i].view; k++)
            if (w[k].view && w[k].piece.tensor == w[i].piece.tensor)
                w[i].view = w[k].view;
        if (w[i].view)
            continue;
        struct sc_error why = {0};
        int code = sc_values_open(c->m, w[i].piece.tensor, &w[i].view, &why);
        if (code == 0)
            code = sc_values_check_expanded(w[i].view, &why);
        if (sc_similar_settle(&w[i], code, &why) < 0) {
            if (e)
                *e = why;
            return code;
        }
    }
    return 0;
}

static void close_views(struct sc_similar_weight *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n && w[i].view; k++)
            if (w[k].view == w[i].view)
                w[k].view = NULL;
        sc_values_close(w[i].view);
        w[i].view = NULL;
    }
}

/* -------------------------------------------------------------------------------- scores --- */
static int make_matrix(const struct comparing *c, const struct sc_similar *s,
                       struct sc_similarity_matrix *out, struct sc_error *e)
{
    struct sc_arena *a = &c->out->arena;
    const size_t n = s->n;

    out->score = SC_ARENA_NEW(a, float, n *n);
    out->base = SC_ARENA_NEW(a, double, n);
    out->state = SC_ARENA_NEW(a, uint8_t, n);
    out->norm = SC_ARENA_NEW(a, double, n);
    out->neurons = SC_ARENA_NEW(a, uint32_t, n);
    if (!out->score || !out->base || !out->state || !out->norm || !out->neurons)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n * n; i++)
        out->score[i] = NAN;
    out->hidden = s->hidden;
    out->spread = (double)NAN;
    return 0;
}

/* b_e: see similarity.h. */
static double base_of(const struct comparing *c, const struct sc_similar *s, size_t i)
{
    const struct sc_similar_weight *w = &s->w[i];
    const double m = (double)w->neurons, h = (double)s->hidden;

    if (s->part == SC_EXPERT_ROUTER)
        return 0;
    if (w->state != SC_SIMILARITY_COMPARED)
        return (double)NAN;
    if (!c->o.original)
        return fmin(1 / (h * s->self[i]), 1);
    const double out = s->part == SC_EXPERT_DOWN ? h : m, in = s->part == SC_EXPERT_DOWN ? m : h;
    return 1 / (1 + out * (1 / (double)c->o.rank + 1 / in));
}

/* Of exact Gram matrices. */
static void find_self(struct sc_similar *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const double trace = ldexp(s->w[i].square, 2 * s->w[i].shift);
        s->self[i] = s->inner[i * s->n + i] / (trace * trace);
    }
}

static void finish(const struct comparing *c, const struct sc_similar *s,
                   struct sc_similarity_matrix *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct sc_similar_weight *w = &s->w[i];
        const bool known = w->state == SC_SIMILARITY_COMPARED || w->state == SC_SIMILARITY_DEAD;
        out->state[i] = w->state;
        out->norm[i] = known ? sqrt(w->square) : (double)NAN;
        out->neurons[i] = (uint32_t)w->neurons;
        out->base[i] = base_of(c, s, i);
        if (w->state == SC_SIMILARITY_UNREADABLE && c->out->unread++ == 0 && w->why)
            (void)snprintf(c->out->why, sizeof c->out->why, "%s", w->why);
    }
    for (size_t a = 0; a < s->n; a++)
        for (size_t b = a; b < s->n; b++) {
            float *up = &out->score[a * s->n + b];
            if (out->state[a] != SC_SIMILARITY_COMPARED || out->state[b] != SC_SIMILARITY_COMPARED)
                *up = NAN;
            else if (a == b)
                *up = 1;
            else if (s->inner)
                *up = (float)fmin(1, s->inner[a * s->n + b] /
                                         sqrt(s->inner[a * s->n + a] * s->inner[b * s->n + b]));
            out->score[b * s->n + a] = *up;
        }
}

/* Rows of the router. */
static int compare_rows(struct sc_similar *s, struct sc_error *e)
{
    const size_t h = (size_t)s->hidden;
    float *x = sc_calloc(s->n * h + 1, sizeof *x);
    const struct sc_similar_vectors v = {
        .x = x, .n = s->n, .length = h, .stride = h, .weight = 1, .inner = s->inner};
    int code = x ? 0 : sc_fail_memory(e);

    for (size_t i = 0; i < s->n && code == 0; i++) {
        struct sc_similar_weight *w = &s->w[i];
        if (w->state != SC_SIMILARITY_COMPARED)
            continue;
        if (w->neurons != 1) {
            w->state = SC_SIMILARITY_SHAPE;
            continue;
        }
        struct sc_error why = {0};
        code = sc_similar_measure(w, true, x + i * h, s->o->cancel, &why);
        code = sc_similar_settle(w, code, &why);
        if (code < 0 && e)
            *e = why;
        if (w->state == SC_SIMILARITY_COMPARED)
            sc_similar_scale(x + i * h, h, w->shift);
        else
            memset(x + i * h, 0, h * sizeof *x);
    }
    for (size_t first = 0; first < s->n && code == 0; first += SC_SIMILAR_ROWS)
        sc_similar_inner(&v, first, s->level);
    free(x);
    return code;
}

static enum sc_similarity_method method_of(const struct comparing *c, const struct sc_similar *s)
{
    if (s->part == SC_EXPERT_ROUTER)
        return SC_SIMILARITY_COSINES;
    if (c->o.original)
        return SC_SIMILARITY_ORIGINAL;
    if (c->sketch)
        return SC_SIMILARITY_SKETCH;
    return sc_similar_pairs_pay(s) ? SC_SIMILARITY_PAIRS : SC_SIMILARITY_GRAMS;
}

static uint32_t size_of_sketch(const struct comparing *c)
{
    return c->o.original     ? c->o.rank
           : c->o.probes > 0 ? (uint32_t)c->o.probes
                             : SC_SIMILARITY_PROBES;
}

static struct sc_similar setup(struct comparing *c, size_t layer, unsigned part)
{
    struct sc_similar s = {.o = &c->o,
                           .level = sc_cpu_level(),
                           .w = weights_of(c, layer, part),
                           .n = c->out->n,
                           .part = part,
                           .memory = c->o.memory,
                           .done = &c->done,
                           .bytes = c->bytes,
                           .total = c->total};
    const uint64_t k = UINT64_C(0x9E3779B97F4A7C15);

    s.seed = ((uint64_t)c->out->layers[layer].layer * k ^ part) * k;
    for (size_t i = 0; i < s.n && !s.hidden; i++)
        if (s.w[i].state == SC_SIMILARITY_COMPARED)
            s.hidden = s.w[i].hidden;
    return s;
}

static int run_method(struct comparing *c, struct sc_similar *s, struct sc_similarity_matrix *out,
                      struct sc_error *e)
{
    switch ((enum sc_similarity_method)out->method) {
    case SC_SIMILARITY_GRAMS:
        return sc_similar_grams(s, e);
    case SC_SIMILARITY_PAIRS:
        return sc_similar_pairs(s, e);
    case SC_SIMILARITY_COSINES:
        return compare_rows(s, e);
    case SC_SIMILARITY_SKETCH:
        return sc_similar_sketch(s, size_of_sketch(c), out->score, out->error, e);
    case SC_SIMILARITY_ORIGINAL:
        return sc_similar_original(s, c->o.rank, out->score, e);
    case SC_SIMILARITY_NONE:
    case SC_SIMILARITY_MEAN:
        break;
    }
    return 0;
}

static int compare(struct comparing *c, size_t layer, unsigned part, struct sc_error *e)
{
    struct sc_similar s = setup(c, layer, part);
    struct sc_similarity_matrix *out = &c->out->layers[layer].part[part];

    if (!s.hidden)
        return 0;
    int code = make_matrix(c, &s, out, e);
    if (code == 0)
        code = open_views(c, s.w, e);
    if (code == 0) {
        out->method = (uint8_t)method_of(c, &s);
        const bool own =
            out->method == SC_SIMILARITY_SKETCH || out->method == SC_SIMILARITY_ORIGINAL;
        out->macs = sc_similar_cost(&s, (enum sc_similarity_method)out->method, size_of_sketch(c));
        s.inner = own ? NULL : sc_calloc(s.n * s.n, sizeof *s.inner);
        s.self = sc_calloc(s.n, sizeof *s.self);
        code = s.self && (own || s.inner) ? run_method(c, &s, out, e) : sc_fail_memory(e);
    }
    if (code == 0) {
        if (s.inner)
            find_self(&s);
        finish(c, &s, out);
        const double h = (double)s.hidden;
        if (part == SC_EXPERT_ROUTER)
            out->spread = 1 / sqrt(h);
        else if (!c->o.original && h > 1)
            out->spread = 1 / sqrt(h * (h + 1) / 2 - 1);
        c->out->macs = sc_add_up(c->out->macs, out->macs);
    }
    close_views(s.w, s.n);
    free(s.inner);
    free(s.self);
    return code;
}

/* ------------------------------------------------------------------------------ neurons --- */
static int match_pair(struct comparing *c, struct sc_similarity_pair *p, struct sc_error *e)
{
    struct sc_similar_weight *a[3], *b[3];
    size_t n = 0;

    for (unsigned part = 0; part < SC_EXPERT_ROUTER; part++) {
        struct sc_similar_weight *w = weights_of(c, p->at, part);
        if (c->out->layers[p->at].part[part].method == SC_SIMILARITY_NONE)
            continue;
        a[n] = &w[p->a];
        b[n++] = &w[p->b];
    }
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++) {
        code = sc_values_open(c->m, a[i]->piece.tensor, &a[i]->view, e);
        if (code == 0)
            code = sc_values_open(c->m, b[i]->piece.tensor, &b[i]->view, e);
    }
    if (code == 0)
        code = sc_similar_match(a, b, n, &c->o, c->o.memory, p, e);
    for (size_t i = 0; i < n; i++) {
        sc_values_close(a[i]->view);
        sc_values_close(b[i]->view);
        a[i]->view = b[i]->view = NULL;
    }
    return code;
}

static int match_all(struct comparing *c, struct sc_error *e)
{
    struct sc_similarity *s = c->out;
    size_t of_layer = 0;

    for (size_t i = 0; i < s->n_pairs; i++) {
        of_layer = i && s->pairs[i].at == s->pairs[i - 1].at ? of_layer + 1 : 0;
        if (c->o.no_match)
            continue;
        if (of_layer < SC_SIMILARITY_MATCHES)
            TRY(match_pair(c, &s->pairs[i], e));
        s->n_unmatched += s->pairs[i].kind == SC_SIMILARITY_UNKNOWN;
    }
    return 0;
}

/* ----------------------------------------------------------------------------------- all --- */
static uint64_t cost_of_all(struct comparing *c, bool exact)
{
    uint64_t sum = 0;

    for (size_t l = 0; l < c->out->n_layers; l++)
        for (unsigned part = 0; part < SC_EXPERT_ROUTER; part++) {
            const struct sc_similar s = setup(c, l, part);
            if (!s.hidden)
                continue;
            c->sketch = c->sketch && !exact;
            const enum sc_similarity_method how = method_of(c, &s);
            sum = sc_add_up(sum, sc_similar_cost(&s, how, size_of_sketch(c)));
        }
    return sum;
}

static void choose(struct comparing *c)
{
    c->sketch = false;
    c->total = cost_of_all(c, true);
    if (c->o.original)
        return;
    c->sketch = c->o.probes > 0 || (c->o.probes == SC_SIMILARITY_AUTO && c->total > c->o.limit);
    if (c->sketch)
        c->total = cost_of_all(c, false);
}

int sc_similarity_measure(const struct sc_model *m, const struct sc_similarity_options *o,
                          struct sc_similarity *out, struct sc_error *e)
{
    struct comparing c = {.m = m, .o = *o, .out = out};

    memset(out, 0, sizeof *out);
    c.o.memory = o->memory ? o->memory : sc_memory_budget(0);
    c.o.limit = o->limit ? o->limit : DEFAULT_LIMIT;
    c.o.rank = o->rank ? o->rank : DEFAULT_RANK;
    c.o.threshold = isnan(o->threshold) ? .5 : o->threshold;
    if (o->probes > 0)
        c.o.probes = SC_MAX(o->probes, (int32_t)SC_SIMILARITY_LEAST_PROBES);
    out->threshold = c.o.threshold;
    out->original = o->original;
    int code = find(&c, e);
    if (code == 0 && out->n_layers)
        choose(&c);
    for (size_t l = 0; l < out->n_layers && code == 0; l++)
        for (unsigned part = 0; part < SC_EXPERT_PARTS && code == 0; part++)
            code = compare(&c, l, part, e);
    if (code == 0 && out->n_layers)
        code = sc_similar_judge(out, e);
    if (code == 0 && !c.o.original)
        code = match_all(&c, e);
    for (size_t i = 0; c.w && i < out->n_layers * SC_EXPERT_PARTS * out->n; i++)
        free(c.w[i].why);
    free(c.pieces.p);
    free(c.w);
    return code;
}

void sc_similarity_clear(struct sc_similarity *s)
{
    free(s->pairs);
    free(s->ranks);
    sc_arena_clear(&s->arena);
    memset(s, 0, sizeof *s);
}

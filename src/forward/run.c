/* SPDX-License-Identifier: Apache-2.0 */
/* run: the pass: embedding, layers, output, for all streams at once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forward/engine.h"

const char *const sc_hook_names[SC_HOOKS + 1] = {
    "embedding", "attn_norm", "q",        "k",          "v",     "attention",
    "attn_out",  "mid",       "mlp_norm", "router",     "route", "down_in",
    "down_out",  "mlp_out",   "residual", "final_norm", NULL};
const char *const sc_precision_names[] = {"f32", "bf16", NULL};

/* -------------------------------------------------------------------------------- opening --- */

int sc_forward_open(const struct sc_model *m, struct sc_forward **out, struct sc_error *e)
{
    struct sc_forward *f = sc_calloc(1, sizeof *f);
    struct sc_keys k;
    int code;

    *out = NULL;
    if (!f)
        return sc_fail_memory(e);
    f->m = m;
    f->seen = sc_arena_alloc(&f->arena, sizeof *f->seen, sizeof *f->seen);
    if (!f->seen) {
        sc_forward_close(f);
        return sc_fail_memory(e);
    }
    atomic_init(f->seen, false);
    code = sc_keys_open(m, &k, e);
    if (code == 0) {
        code = sc_forward_plan(f, &k);
        sc_keys_close(&k);
    }
    if (code == 0)
        code = sc_weights_bind(f, e);
    if (code < 0)
        sc_forward_close(f);
    else
        *out = f;
    return code;
}

void sc_forward_close(struct sc_forward *f)
{
    if (!f)
        return;
    sc_arena_clear(&f->arena);
    free(f);
}

void sc_forward_set_precision(struct sc_forward *f, enum sc_precision precision)
{
    f->plan.facts.precision = precision;
}

const struct sc_forward_facts *sc_forward_facts(const struct sc_forward *f)
{
    return &f->plan.facts;
}

const struct sc_model *sc_forward_model(const struct sc_forward *f)
{
    return f->m;
}

bool sc_forward_is_sparse(const struct sc_forward *f, uint32_t layer)
{
    return layer < f->plan.facts.layers && f->plan.layers[layer].experts;
}

bool sc_forward_down(const struct sc_forward *f, uint32_t layer, int32_t expert,
                     struct sc_forward_matrix *out)
{
    const struct sc_plan *p = &f->plan;

    if (layer >= p->facts.layers)
        return false;
    const struct sc_layer *l = &p->layers[layer];
    if (expert < 0)
        *out = l->experts ? l->w[SC_SLOT_SHARED_DOWN].m : l->w[SC_SLOT_DOWN].m;
    else if (l->experts && (uint32_t)expert < p->facts.experts)
        *out = l->experts[expert].down.m;
    else
        return false;
    return out->tensor != SC_NO_TENSOR_HERE;
}

/* ------------------------------------------------------------------------ where edits begin --- */

/* The first layer that multiplies with a tensor (layers: the output matrix); UINT32_MAX: none. */
static uint32_t first_use(const struct sc_plan *p, uint32_t tensor)
{
    for (uint32_t i = 0; i < p->facts.layers; i++) {
        const struct sc_layer *l = &p->layers[i];
        for (size_t s = 0; s < SC_SLOTS_OF_LAYER; s++)
            if (l->w[s].m.tensor == tensor && l->w[s].m.rows > 1)
                return i;
        for (uint32_t x = 0; l->experts && x < p->facts.experts; x++)
            if (l->experts[x].gate.m.tensor == tensor || l->experts[x].up.m.tensor == tensor ||
                l->experts[x].down.m.tensor == tensor)
                return i;
    }
    return SC_TOP(p, SC_SLOT_OUTPUT)->m.tensor == tensor &&
                   SC_TOP(p, SC_SLOT_EMBED)->m.tensor != tensor
               ? p->facts.layers
               : UINT32_MAX;
}

static int check_edit(const struct sc_forward *f, const struct sc_edit *edit, uint32_t *layer,
                      struct sc_error *e)
{
    struct sc_quoted q;

    if (edit->tensor >= f->m->n_tensors)
        return sc_fail(e, SCRUPLE_EUSAGE, "there is no tensor %u to edit", edit->tensor);
    const struct sc_tensor *t = &f->m->tensors[edit->tensor];
    const uint64_t rows = t->rank ? t->shape[0] : 1;
    const uint64_t cols = rows ? t->parameters / rows : 0;
    if (edit->row >= rows || edit->col >= cols)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "%s has no element [%llu, %llu]: its rows are 0 to %llu, its columns 0 to "
                       "%llu",
                       sc_quote(&q, sc_tensor_name(t)), (unsigned long long)edit->row,
                       (unsigned long long)edit->col, (unsigned long long)(rows ? rows - 1 : 0),
                       (unsigned long long)(cols ? cols - 1 : 0));
    *layer = first_use(&f->plan, edit->tensor);
    if (*layer == UINT32_MAX)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "%s is no matrix that the pass multiplies with, so no variant can edit it",
                       sc_quote(&q, sc_tensor_name(t)));
    return 0;
}

int sc_forward_check_drops(const struct sc_forward *f, const struct sc_variant *v,
                           struct sc_error *e)
{
    const struct sc_forward_facts *facts = &f->plan.facts;

    for (size_t i = 0; i < v->n_drops; i++) {
        const uint32_t layer = v->drops[i].layer;
        size_t here = 0;
        if (!sc_forward_is_sparse(f, layer))
            return sc_fail(e, SCRUPLE_EUSAGE, "layer %u has no experts to drop", layer);
        if (v->drops[i].expert >= facts->experts)
            return sc_fail(e, SCRUPLE_EUSAGE, "layer %u has no expert %u: they are 0 to %u", layer,
                           v->drops[i].expert, facts->experts - 1);
        for (size_t k = 0; k < v->n_drops; k++)
            here += v->drops[k].layer == layer;
        if (v->reroute && here + facts->experts_per_token > facts->experts)
            return sc_fail(e, SCRUPLE_EUSAGE,
                           "without %zu of its %u experts layer %u has not the %u that work on a "
                           "token",
                           here, facts->experts, layer, facts->experts_per_token);
    }
    return 0;
}

static int find_starts(struct sc_state *s, struct sc_error *e)
{
    const uint32_t layers = s->f->plan.facts.layers;

    for (size_t v = 0; v < s->r->n_variants; v++) {
        const struct sc_variant *variant = &s->r->variants[v];
        uint32_t start = layers, layer = layers;
        if (variant->substitutes) {
            if (variant->n_edits)
                return sc_fail(e, SCRUPLE_EUSAGE,
                               "a variant with other views of tensors has no edits beside them");
            start = 0;
        }
        TRY(sc_forward_check_drops(s->f, variant, e));
        for (size_t i = 0; i < variant->n_drops; i++)
            start = SC_MIN(start, variant->drops[i].layer);
        for (size_t i = 0; i < variant->n_edits; i++) {
            TRY(check_edit(s->f, &variant->edits[i], &layer, e));
            start = SC_MIN(start, layer);
        }
        for (size_t i = 0; i < variant->n_restores; i++) {
            if (variant->restores[i].layer >= layers ||
                variant->restores[i].channel >= s->f->plan.facts.hidden)
                return sc_fail(e, SCRUPLE_EUSAGE, "there is no channel %u of layer %u to restore",
                               variant->restores[i].channel, variant->restores[i].layer);
            start = SC_MIN(start, variant->restores[i].layer);
        }
        s->started[v + 1] = start;
    }
    return 0;
}

void sc_restore_rows(const struct sc_state *s, enum sc_hook hook, uint32_t layer, float *values,
                     size_t width)
{
    for (size_t i = 0; i < s->n_streams; i++) {
        const struct sc_stream *st = &s->streams[i];
        const struct sc_variant *v = st->variant ? &s->r->variants[st->variant - 1] : NULL;
        for (size_t j = 0; v && j < v->n_restores; j++) {
            const struct sc_restore *r = &v->restores[j];
            if (r->hook == hook && r->layer == layer && r->position < st->n)
                values[(st->first + r->position) * width + r->channel] = r->value;
        }
    }
}

/* -------------------------------------------------------------------------------- streams --- */

/* Variants that begin at this layer go on from where variant 0 stands. */
static void start_variants(struct sc_state *s, uint32_t layer)
{
    const size_t hidden = s->f->plan.facts.hidden, n = s->r->n_sequences;

    for (uint32_t v = 1; v <= s->r->n_variants; v++) {
        if (s->started[v] != layer)
            continue;
        for (size_t q = 0; q < n; q++) {
            const struct sc_stream *base = &s->streams[q];
            struct sc_stream *st = &s->streams[s->n_streams];
            *st = *base;
            st->variant = v;
            st->number = v * (uint32_t)n + (uint32_t)q;
            st->first = s->n_rows;
            memcpy(s->x + s->n_rows * hidden, s->x + base->first * hidden,
                   base->n * hidden * sizeof *s->x);
            for (size_t i = 0; i < base->n; i++)
                s->of[s->n_rows + i] = (uint32_t)s->n_streams;
            s->n_rows += base->n;
            s->n_streams++;
        }
    }
}

static int start_sequences(struct sc_state *s, struct sc_error *e)
{
    const struct sc_forward_facts *f = &s->f->plan.facts;

    for (size_t i = 0; i < s->r->n_sequences; i++) {
        const struct sc_sequence *q = &s->r->sequences[i];
        if (q->n == 0)
            return sc_fail(e, SCRUPLE_EUSAGE, "there are no tokens to run");
        if (s->f->plan.learned_positions && q->n > f->context)
            return sc_fail(e, SCRUPLE_EUSAGE, "%zu tokens, but this model has %llu positions", q->n,
                           (unsigned long long)f->context);
        for (size_t t = 0; t < q->n; t++)
            if (q->tokens[t] >= f->vocab)
                return sc_fail(e, SCRUPLE_EUSAGE, "token %u: the model has tokens 0 to %u",
                               q->tokens[t], f->vocab - 1);
        s->streams[i] = (struct sc_stream){.number = (uint32_t)i,
                                           .sequence = (uint32_t)i,
                                           .first = s->n_rows,
                                           .table = s->n_rows,
                                           .n = q->n};
        for (size_t t = 0; t < q->n; t++)
            s->of[s->n_rows + t] = (uint32_t)i;
        s->n_rows += q->n;
    }
    s->n_streams = s->r->n_sequences;
    return 0;
}

static int make_tables(struct sc_state *s, struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;

    for (int i = 0; i < 2; i++) {
        const size_t half = p->ropes[i].dims / 2;
        if (!half)
            continue;
        s->cosine[i] = sc_floats(s->n_rows, half);
        s->sine[i] = sc_floats(s->n_rows, half);
        if (!s->cosine[i] || !s->sine[i])
            return sc_fail_memory(e);
        for (size_t q = 0; q < s->n_streams; q++) {
            const struct sc_stream *st = &s->streams[q];
            sc_rope_table(&p->ropes[i], st->n, st->n, s->cosine[i] + st->table * half,
                          s->sine[i] + st->table * half);
        }
    }
    return 0;
}

int sc_see(struct sc_state *s, enum sc_hook hook, int32_t layer, int32_t part, const float *values,
           size_t width, struct sc_error *e)
{
    int code = 0;

    for (size_t i = 0; i < s->n_streams && code == 0 && sc_wants(s, hook); i++) {
        const struct sc_stream *st = &s->streams[i];
        const struct sc_hook_data h = {.hook = hook,
                                       .layer = layer,
                                       .part = part,
                                       .stream = st->number,
                                       .n = st->n,
                                       .width = width,
                                       .values = values + st->first * width};
        code = s->r->see(s->r->ctx, &h, e);
    }
    return code;
}

/* ------------------------------------------------------------------------------- embedding --- */

static int embed(struct sc_state *s, struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const size_t hidden = p->facts.hidden;
    struct sc_values *tokens = NULL, *positions = NULL;
    float *row = sc_floats(1, hidden);
    int code =
        row ? sc_views_get(s, SC_TOP(p, SC_SLOT_EMBED)->m.tensor, &tokens, e) : sc_fail_memory(e);

    if (code == 0 && p->learned_positions)
        code = sc_views_get(s, SC_TOP(p, SC_SLOT_POSITIONS)->m.tensor, &positions, e);
    for (size_t i = 0; i < s->n_rows && code == 0; i++) {
        const struct sc_stream *st = &s->streams[s->of[i]];
        const size_t t = i - st->first;
        float *x = s->x + i * hidden;
        code = sc_values_read(tokens, s->r->sequences[st->sequence].tokens[t] * (uint64_t)hidden,
                              hidden, x, e);
        for (size_t c = 0; c < hidden && p->embed_scale != 1; c++)
            x[c] *= (float)p->embed_scale;
        if (code == 0 && positions)
            code = sc_values_read(positions, t * (uint64_t)hidden, hidden, row, e);
        for (size_t c = 0; c < hidden && code == 0 && positions; c++)
            x[c] += row[c];
    }
    free(row);
    return code == 0 ? sc_see(s, SC_HOOK_EMBEDDING, -1, -1, s->x, hidden, e) : code;
}

/* ---------------------------------------------------------------------------------- layers --- */

static void add_rows(struct sc_state *s, const float *y)
{
    for (size_t i = 0; i < s->n_rows * s->f->plan.facts.hidden; i++)
        s->x[i] += y[i];
}

/* in and out are scratch of the batch's size. */
static int attention_half(struct sc_state *s, uint32_t layer, float *in, float *out,
                          struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const struct sc_layer *l = &p->layers[layer];
    const size_t hidden = p->facts.hidden;
    const float *seen = s->x;

    if (!p->post_only) {
        TRY(sc_norm_run(s, &l->w[SC_SLOT_ATTN_NORM], s->x, hidden, in, e));
        seen = in;
    }
    TRY(sc_see(s, SC_HOOK_ATTN_NORM, (int32_t)layer, -1, seen, hidden, e));
    TRY(sc_attention_run(s, layer, seen, out, e));
    TRY(sc_see(s, SC_HOOK_ATTN_OUT, (int32_t)layer, -1, out, hidden, e));
    if (p->parallel_norms)
        TRY(sc_norm_run(s, &l->w[SC_SLOT_POST_ATTN_NORM], out, hidden, out, e));
    add_rows(s, out);
    return sc_see(s, SC_HOOK_RESIDUAL_MID, (int32_t)layer, -1, s->x, hidden, e);
}

static int mlp_half(struct sc_state *s, uint32_t layer, float *in, float *out, struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const struct sc_layer *l = &p->layers[layer];
    const size_t hidden = p->facts.hidden;
    const float *seen = s->x;

    if (!p->post_only) {
        TRY(sc_norm_run(s, &l->w[SC_SLOT_MLP_NORM], s->x, hidden, in, e));
        seen = in;
    }
    TRY(sc_see(s, SC_HOOK_MLP_NORM, (int32_t)layer, -1, seen, hidden, e));
    TRY(sc_mlp_run(s, layer, seen, out, e));
    sc_restore_rows(s, SC_HOOK_MLP_OUT, layer, out, hidden);
    TRY(sc_see(s, SC_HOOK_MLP_OUT, (int32_t)layer, -1, out, hidden, e));
    if (p->parallel_norms)
        TRY(sc_norm_run(s, &l->w[SC_SLOT_POST_MLP_NORM], out, hidden, out, e));
    add_rows(s, out);
    sc_restore_rows(s, SC_HOOK_RESIDUAL, layer, s->x, hidden);
    return sc_see(s, SC_HOOK_RESIDUAL, (int32_t)layer, -1, s->x, hidden, e);
}

static int run_layers(struct sc_state *s, float *in, float *out, struct sc_error *e)
{
    const uint32_t all = s->f->plan.facts.layers;
    const uint32_t n = s->r->layers ? SC_MIN(s->r->layers, all) : all;

    for (uint32_t i = 0; i < n; i++) {
        if (s->r->cancel && atomic_load(s->r->cancel))
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        start_variants(s, i);
        TRY(attention_half(s, i, in, out, e));
        TRY(mlp_half(s, i, in, out, e));
        TRY(sc_views_end_layer(s, i, e));
        if (s->r->progress)
            s->r->progress(s->r->ctx, i + 1, n);
    }
    start_variants(s, all);
    return 0;
}

/* ---------------------------------------------------------------------------------- output --- */

double sc_logits_log_sum(const float *row, size_t vocab)
{
    float most = -INFINITY;
    double sum = 0;

    for (size_t i = 0; i < vocab; i++)
        most = row[i] > most ? row[i] : most;
    for (size_t i = 0; i < vocab; i++)
        sum += exp((double)row[i] - (double)most);
    /* cppcheck-suppress invalidFunctionArg ; the largest of them adds 1 */
    return (double)most + log(sum);
}

/* Positions whose logits are wanted: rows of the batch. */
static size_t wanted_rows(const struct sc_state *s, uint32_t *rows)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_streams; i++) {
        const struct sc_stream *st = &s->streams[i];
        const size_t from = s->r->last_only ? st->n - 1 : s->r->first_logit;
        for (size_t t = from; t < st->n; t++)
            rows[n++] = (uint32_t)(st->first + t);
    }
    return n;
}

static int give_logits(struct sc_state *s, const uint32_t *rows, size_t n, float *logits,
                       struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const size_t vocab = p->facts.vocab;
    int code = 0;

    for (size_t i = 0; i < n && code == 0; i++) {
        const struct sc_stream *st = &s->streams[s->of[rows[i]]];
        float *row = logits + i * vocab;
        for (size_t c = 0; c < vocab && p->logit_cap > 0; c++)
            row[c] = (float)(p->logit_cap * tanh((double)row[c] / p->logit_cap));
        code = s->r->logits(s->r->ctx, st->number, (uint32_t)(rows[i] - st->first), row, vocab, e);
    }
    return code;
}

/* The output matrix is read once for each group of positions whose logits fit 64 MiB. */
static int run_output(struct sc_state *s, const float *normed, float *gathered, struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const struct sc_weight *w = SC_TOP(p, SC_SLOT_OUTPUT);
    const size_t hidden = p->facts.hidden, vocab = p->facts.vocab;
    const size_t group = SC_MAX(((size_t)64 << 20) / sizeof(float) / vocab, (size_t)1);
    uint32_t *rows = sc_calloc(s->n_rows, 2 * sizeof *rows);
    int code = rows ? 0 : sc_fail_memory(e);
    const size_t n = rows ? wanted_rows(s, rows) : 0;
    float *logits = sc_floats(SC_MIN(group, n), vocab);

    if (code == 0 && !logits)
        code = sc_fail_memory(e);
    for (size_t at = 0; at < n && code == 0; at += group) {
        const size_t here = SC_MIN(group, n - at);
        uint32_t *of = rows + s->n_rows;
        for (size_t i = 0; i < here; i++) {
            memcpy(gathered + i * hidden, normed + rows[at + i] * hidden,
                   hidden * sizeof *gathered);
            of[i] = s->of[rows[at + i]];
        }
        const struct sc_linear l = {.w = w,
                                    .x = gathered,
                                    .n = here,
                                    .x_stride = hidden,
                                    .y = logits,
                                    .y_stride = vocab,
                                    .of = of};
        code = sc_linear_run(s, &l, e);
        if (code == 0)
            code = give_logits(s, rows + at, here, logits, e);
    }
    free(rows);
    free(logits);
    return code;
}

static int finish(struct sc_state *s, float *normed, float *gathered, struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;

    if (!s->r->logits && !sc_wants(s, SC_HOOK_FINAL_NORM))
        return 0;
    TRY(sc_norm_run(s, SC_TOP(p, SC_SLOT_FINAL_NORM), s->x, p->facts.hidden, normed, e));
    TRY(sc_see(s, SC_HOOK_FINAL_NORM, -1, -1, normed, p->facts.hidden, e));
    return s->r->logits ? run_output(s, normed, gathered, e) : 0;
}

/* ------------------------------------------------------------------------------------ a run --- */

static uint64_t all_rows(const struct sc_run *r)
{
    uint64_t n = 0;

    for (size_t i = 0; i < r->n_sequences; i++)
        n = sc_add_up(n, r->sequences[i].n);
    return n > UINT32_MAX / (r->n_variants + 1) ? UINT64_MAX : n * (r->n_variants + 1);
}

uint64_t sc_forward_memory(const struct sc_forward *f, const struct sc_run *r)
{
    const struct sc_forward_facts *facts = &f->plan.facts;
    const uint64_t rows = all_rows(r);
    uint64_t longest = 0; /* of attention that is shown, one head is kept as a whole */
    for (size_t i = 0; r->see && r->hooks >> SC_HOOK_ATTENTION & 1 && i < r->n_sequences; i++)
        longest = SC_MAX(longest, (uint64_t)r->sequences[i].n);
    const uint64_t wide =
        SC_MAX(SC_MAX(facts->intermediate, f->plan.shared_intermediate), f->plan.moe_intermediate);
    const uint64_t packed =
        SC_MAX(SC_MAX(wide, (uint64_t)facts->hidden), (uint64_t)facts->heads * facts->value_dim);
    const uint64_t heads = (uint64_t)facts->heads * (facts->head_dim + facts->value_dim) +
                           (uint64_t)facts->kv_heads * (facts->head_dim + facts->value_dim);
    uint64_t floats;

    if (rows == UINT64_MAX ||
        !sc_mul(rows,
                UINT64_C(5) * facts->hidden + SC_MAX(2 * wide, heads) + packed + facts->head_dim,
                &floats) ||
        floats > UINT64_MAX / 16 || longest > UINT32_MAX / 2)
        return UINT64_MAX;
    floats += longest * longest;
    return sc_mul(floats, sizeof(float), &floats) ? sc_add_up(floats, UINT64_C(64) << 20)
                                                  : UINT64_MAX;
}

size_t sc_forward_batch(const struct sc_forward *f, const struct sc_run *r, size_t n,
                        uint64_t memory)
{
    struct sc_run some = *r;
    size_t fit = 1, over = 1; /* sequences that do, and that do not */

    while (fit == over && over < n) { /* twice as many, */
        over = over <= n / 2 ? 2 * over : n;
        some.n_sequences = over;
        if (sc_forward_memory(f, &some) <= memory)
            fit = over;
    }
    while (over - fit > 1) { /* then halves */
        some.n_sequences = fit + (over - fit) / 2;
        if (sc_forward_memory(f, &some) <= memory)
            fit = some.n_sequences;
        else
            over = some.n_sequences;
    }
    return fit;
}

static int check_run(const struct sc_forward *f, const struct sc_run *r, struct sc_error *e)
{
    const uint64_t budget = r->memory ? r->memory : sc_memory_budget(0);
    const uint64_t need = sc_forward_memory(f, r);

    if (!r->n_sequences)
        return sc_fail(e, SCRUPLE_EUSAGE, "there are no tokens to run");
    if (need > budget)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "activations of %zu sequences in %zu variants would take %llu MiB of "
                       "memory, allowed are %llu (--memory)",
                       r->n_sequences, r->n_variants + 1,
                       (unsigned long long)(need >> 20) + (need % (1 << 20) != 0),
                       (unsigned long long)(budget >> 20));
    return 0;
}

int sc_forward_run(const struct sc_forward *f, const struct sc_run *r, struct sc_error *e)
{
    struct sc_state s = {.f = f, .r = r, .level = sc_cpu_level(), .unit = sc_dots16_unit()};
    const size_t hidden = f->plan.facts.hidden;

    TRY(check_run(f, r, e));
    const size_t rows = (size_t)all_rows(r);
    float *in = sc_floats(rows, hidden), *out = sc_floats(rows, hidden);
    s.x = sc_floats(rows, hidden);
    s.of = sc_calloc(rows, sizeof *s.of);
    s.streams = sc_calloc(r->n_sequences * (r->n_variants + 1), sizeof *s.streams);
    s.started = sc_calloc(r->n_variants + 1, sizeof *s.started);
    int code = in && out && s.x && s.of && s.streams && s.started ? 0 : sc_fail_memory(e);
    if (code == 0)
        code = find_starts(&s, e);
    if (code == 0)
        code = start_sequences(&s, e);
    if (code == 0)
        code = make_tables(&s, e);
    if (code == 0)
        code = sc_views_new(&s, e);
    if (code == 0)
        code = embed(&s, e);
    if (code == 0)
        code = run_layers(&s, in, out, e);
    if (code == 0)
        code = finish(&s, in, out, e);
    if (code == 0)
        code = sc_views_end_layer(&s, f->plan.facts.layers, e);
    if (code == 0 && r->logits && !r->layers)
        atomic_store(f->seen, true);
    if (r->weight_bytes)
        *r->weight_bytes += s.bytes;
    sc_views_free(&s);
    free(s.packed);
    free(in);
    free(out);
    free(s.x);
    free(s.of);
    free(s.streams);
    free(s.started);
    for (int i = 0; i < 2; i++) {
        free(s.cosine[i]);
        free(s.sine[i]);
    }
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* super: finding super weights by what they do. */
#include "analyze/super.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/dots.h"

enum { SPIKES = 16, TOGETHER = 4, DEFAULT_ROUNDS = 8, DEFAULT_MOST = 64 };
#define DEFAULT_RATIO 30.0
#define DEFAULT_SHARE 0.5

/* A value behind a down projection that stands out, and what went in at its position. */
struct spike {
    struct sc_super_weight w; /* without weight, col and share */
    double least;             /* what stands out there */
    float *input;
    size_t width;
};
struct finding {
    const struct sc_forward *f;
    const struct sc_super_options *o;
    struct sc_super_list *out;
    unsigned round;
    uint32_t stream; /* the one that is looked at */
    float *inputs;   /* (n x width) of the projection that is at work */
    size_t cap, n, width;
    double *medians; /* (n) of the outputs at each position */
    size_t medians_cap;
    struct spike *spikes; /* of this round */
    size_t n_spikes, spikes_cap;
    size_t first_of_layer;
};

/* --------------------------------------------------------------------------------- spikes --- */

static double median_size(const float *v, size_t n, struct sc_error *e)
{
    double *scratch = sc_alloc(SC_MAX(n, (size_t)1) * sizeof *scratch);
    size_t m = 0;

    if (!scratch) {
        sc_fail_memory(e);
        return -1;
    }
    for (size_t i = 0; i < n; i++)
        if (isfinite(v[i]))
            scratch[m++] = fabs((double)v[i]);
    const double median = m ? sc_select(scratch, m, m / 2) : 0;
    free(scratch);
    return median;
}

static uint32_t position_of(const struct sc_hook_data *h, size_t row)
{
    return h->positions ? h->positions[row] : (uint32_t)row;
}

static int add_spike(struct finding *x, const struct sc_hook_data *h, size_t row, size_t channel,
                     double median, double least, struct sc_error *e)
{
    TRY(sc_grow(&x->spikes, &x->spikes_cap, x->n_spikes + 1, sizeof *x->spikes, e));
    struct spike *s = &x->spikes[x->n_spikes];
    *s = (struct spike){
        .width = x->width, .least = least, .input = sc_alloc(x->width * sizeof *s->input)};
    if (!s->input)
        return sc_fail_memory(e);
    x->n_spikes++;
    memcpy(s->input, x->inputs + row * x->width, x->width * sizeof *s->input);
    s->w.layer = (uint32_t)h->layer;
    s->w.expert = h->part;
    s->w.row = (uint32_t)channel;
    s->w.token = position_of(h, row);
    s->w.round = x->round;
    s->w.output = h->values[row * h->width + channel];
    s->w.ratio = fabs((double)s->w.output) / median;
    return 0;
}

/* Of all outputs, and of each position. */
static int find_medians(struct finding *x, const struct sc_hook_data *h, double *all,
                        struct sc_error *e)
{
    TRY(sc_grow(&x->medians, &x->medians_cap, h->n, sizeof *x->medians, e));
    for (size_t t = 0; t < h->n; t++)
        if ((x->medians[t] = median_size(h->values + t * h->width, h->width, e)) < 0)
            return SCRUPLE_EMEMORY;
    *all = median_size(h->values, h->n * h->width, e);
    return *all < 0 ? SCRUPLE_EMEMORY : 0;
}

/* The largest values, each of another channel: a channel that is hit at several positions is hit
 * by the same weights. They stand out of the layer and of their own position: where a neuron is
 * loud, all channels are, and that is no matter of one weight. */
static int find_spikes(struct finding *x, const struct sc_hook_data *h, struct sc_error *e)
{
    const double ratio = x->o->ratio > 0 ? x->o->ratio : DEFAULT_RATIO;
    const size_t first = x->n_spikes;
    double median;

    TRY(find_medians(x, h, &median, e));
    for (size_t k = 0; k < SPIKES && median > 0; k++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < h->n * h->width; i++) {
            const float size = fabsf(h->values[i]);
            if (!isfinite(size) || (double)size < ratio * median ||
                (best != SIZE_MAX && size <= fabsf(h->values[best])) ||
                (double)size < ratio * x->medians[i / h->width]) /* NOLINT: its width is not 0 */
                continue;
            bool seen = false;
            for (size_t s = first; s < x->n_spikes && !seen; s++)
                seen = x->spikes[s].w.row == i % h->width;
            if (!seen)
                best = i;
        }
        if (best == SIZE_MAX)
            break;
        TRY(add_spike(x, h, best / h->width, best % h->width, median,
                      ratio * fmax(median, x->medians[best / h->width]), e));
    }
    return 0;
}

/* The stream behind the layer, where its spikes are: what would have to be put back. */
static void note_stream(struct finding *x, const struct sc_hook_data *h)
{
    for (size_t i = x->first_of_layer; i < x->n_spikes; i++) {
        struct sc_super_weight *w = &x->spikes[i].w;
        if (w->layer == (uint32_t)h->layer)
            w->stream = h->values[(size_t)w->token * h->width + w->row];
    }
    x->first_of_layer = x->n_spikes;
}

/* Experts and positions of a layer come one after the other. Rounds after the first replace each
 * other. */
static int note_maximum(struct finding *x, const struct sc_hook_data *h, struct sc_error *e)
{
    struct sc_super_list *l = x->out;
    struct sc_super_maximum *m = l->n_maxima ? &l->maxima[l->n_maxima - 1] : NULL;

    if (m && m->round > 0 && m->round < x->round) {
        while (l->n_maxima && l->maxima[l->n_maxima - 1].round > 0)
            l->n_maxima--;
        m = NULL;
    }
    for (size_t i = l->n_maxima, k = 0; i-- > 0 && k < 3; k++) {
        m = &l->maxima[i];
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a list that is not empty */
        if (m->round == x->round && m->layer == (uint32_t)h->layer && m->hook == h->hook)
            break;
        m = NULL;
    }
    if (!m) {
        TRY(sc_grow(&l->maxima, &l->cap_maxima, l->n_maxima + 1, sizeof *l->maxima, e));
        m = &l->maxima[l->n_maxima++];
        *m = (struct sc_super_maximum){
            .round = x->round, .layer = (uint32_t)h->layer, .hook = h->hook, .expert = -1};
    }
    for (size_t i = 0; i < h->n * h->width; i++) {
        const float v = h->values[i];
        m->nonfinite += !isfinite(v);
        if (!isfinite(v) || fabsf(v) <= fabsf(m->value))
            continue;
        m->value = v;
        m->expert = h->part;
        m->token = position_of(h, i / h->width);
        m->channel = (uint32_t)(i % h->width);
    }
    return 0;
}

static int see(void *ctx, const struct sc_hook_data *h, struct sc_error *e)
{
    struct finding *x = ctx;

    if (h->stream != x->stream)
        return 0;
    TRY(note_maximum(x, h, e));
    if (h->hook == SC_HOOK_DOWN_IN) {
        x->n = h->n;
        x->width = h->width;
        TRY(sc_grow(&x->inputs, &x->cap, h->n * h->width, sizeof *x->inputs, e));
        memcpy(x->inputs, h->values, h->n * h->width * sizeof *x->inputs);
    } else if (h->hook == SC_HOOK_DOWN_OUT && h->n == x->n) {
        return find_spikes(x, h, e);
    } else if (h->hook == SC_HOOK_RESIDUAL) {
        note_stream(x, h);
    }
    return 0;
}

static void show(void *ctx, uint32_t done, uint32_t of)
{
    const struct finding *x = ctx;

    if (x->o->progress)
        x->o->progress(x->o->ctx, x->round, done, of);
}

/* -------------------------------------------------------------------------- which weight --- */

/* Where an element of the product is stored. */
static void place(const struct sc_forward *f, const struct sc_forward_matrix *m,
                  const struct sc_model *model, struct sc_super_weight *w)
{
    const struct sc_tensor *t = &model->tensors[m->tensor];
    const uint64_t at = m->transposed ? m->first + (uint64_t)w->col * m->stride + w->row
                                      : m->first + (uint64_t)w->row * m->cols + w->col;
    const uint64_t cols = t->rank ? t->parameters / t->shape[0] : 1;

    (void)f;
    w->tensor = m->tensor;
    w->stored_row = at / cols;
    w->stored_col = at % cols;
}

static int read_row(const struct sc_model *model, const struct sc_forward_matrix *m, uint32_t row,
                    float *dst, struct sc_error *e)
{
    struct sc_values *v = NULL;

    TRY(sc_values_open(model, m->tensor, &v, e));
    const int code =
        m->transposed
            ? sc_values_read_runs(v, m->first + row, m->stride, (size_t)m->cols, 1, dst, e)
            : sc_values_read(v, m->first + (uint64_t)row * m->cols, m->cols, dst, e);
    sc_values_close(v);
    return code;
}

static bool is_known(const struct sc_super_list *l, const struct sc_super_weight *w)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->p[i].tensor == w->tensor && l->p[i].stored_row == w->stored_row &&
            l->p[i].stored_col == w->stored_col)
            return true;
    return false;
}

static int add_weight(struct finding *x, const struct sc_super_weight *w, struct sc_error *e)
{
    if (is_known(x->out, w))
        return 0;
    TRY(sc_grow(&x->out->p, &x->out->cap, x->out->n + 1, sizeof *x->out->p, e));
    x->out->p[x->out->n++] = *w;
    return 0;
}

/* The weights whose own parts stand out, the largest first; several may write to one channel. */
static size_t find_parts(const struct spike *s, const float *row,
                         struct sc_super_weight out[TOGETHER])
{
    size_t n = 0;

    for (; n < TOGETHER; n++) {
        double most = 0;
        struct sc_super_weight w = s->w;
        for (size_t k = 0; k < s->width; k++) {
            const double part = (double)row[k] * (double)s->input[k];
            bool seen = part * (double)w.output <= 0; /* what makes it smaller */
            for (size_t i = 0; i < n && !seen; i++)
                seen = out[i].col == k;
            if (seen || !(fabs(part) > fabs(most)))
                continue;
            most = part;
            w.col = (uint32_t)k;
            w.weight = row[k];
            w.input = s->input[k];
        }
        if (!(fabs(most) >= s->least))
            break;
        w.share = most / (double)w.output;
        out[n] = w;
    }
    return n;
}

/* The weights that make a spike, if they make enough of it. */
static int attribute(struct finding *x, const struct sc_model *model, struct spike *s,
                     struct sc_error *e)
{
    const double least = x->o->share > 0 ? x->o->share : DEFAULT_SHARE;
    struct sc_super_weight parts[TOGETHER];
    struct sc_forward_matrix m;
    double share = 0;

    if (!sc_forward_down(x->f, s->w.layer, s->w.expert == -2 ? -1 : s->w.expert, &m) ||
        m.cols != s->width)
        return 0;
    float *row = sc_alloc(s->width * sizeof *row);
    const int code = row ? read_row(model, &m, s->w.row, row, e) : sc_fail_memory(e);
    const size_t n = code == 0 ? find_parts(s, row, parts) : 0;
    free(row);
    TRY(code);
    for (size_t i = 0; i < n; i++)
        share += parts[i].share;
    const size_t most = x->o->most ? x->o->most : DEFAULT_MOST;
    for (size_t i = 0; i < n && share >= least && x->out->n < most; i++) {
        place(x->f, &m, model, &parts[i]);
        TRY(add_weight(x, &parts[i], e));
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- rounds --- */

/* One run with everything zeroed that is known so far. */
static int run_round(struct finding *x, struct sc_error *e)
{
    const struct sc_sequence sequence = {x->o->tokens, x->o->n};
    const size_t n = x->out->n;
    struct sc_edit *edits = sc_calloc(n + 1, sizeof *edits);
    struct sc_variant variant = {.edits = edits, .n_edits = n};
    const struct sc_run run = {.pool = x->o->pool,
                               .cancel = x->o->cancel,
                               .memory = x->o->memory,
                               .sequences = &sequence,
                               .n_sequences = 1,
                               .variants = &variant,
                               .n_variants = n ? 1 : 0,
                               .hooks = 1U << SC_HOOK_DOWN_IN | 1U << SC_HOOK_DOWN_OUT |
                                        1U << SC_HOOK_RESIDUAL,
                               .see = see,
                               .progress = show,
                               .ctx = x};

    if (!edits)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n; i++)
        edits[i] = (struct sc_edit){x->out->p[i].tensor, x->out->p[i].stored_row,
                                    x->out->p[i].stored_col, 0};
    x->stream = n ? 1 : 0;
    x->first_of_layer = 0;
    const int code = sc_forward_run(x->f, &run, e);
    free(edits);
    return code;
}

static int find_all(struct finding *x, struct sc_error *e)
{
    const unsigned rounds = x->o->rounds ? x->o->rounds : DEFAULT_ROUNDS;
    const size_t most = x->o->most ? x->o->most : DEFAULT_MOST;

    for (x->round = 0; x->round < rounds && x->out->n < most; x->round++) {
        const size_t before = x->out->n;
        TRY(run_round(x, e));
        for (size_t i = 0; i < x->n_spikes; i++)
            if (x->out->n < most)
                TRY(attribute(x, sc_forward_model(x->f), &x->spikes[i], e));
        for (size_t i = 0; i < x->n_spikes; i++)
            free(x->spikes[i].input);
        x->n_spikes = 0;
        if (x->out->n == before)
            break;
    }
    return 0;
}

/* Up to the first weight that is zeroed a round shares the work of the model, and sees nothing of
 * its own. */
static int complete_maxima(struct sc_super_list *l, struct sc_error *e)
{
    const unsigned last = l->n_maxima ? l->maxima[l->n_maxima - 1].round : 0;
    size_t shared = 0;

    if (!last)
        return 0;
    const struct sc_super_maximum *first = l->maxima;
    while (first->round == 0)
        first++;
    const size_t at = (size_t)(first - l->maxima);
    while (shared < at && l->maxima[shared].layer < first->layer)
        shared++;
    TRY(sc_grow(&l->maxima, &l->cap_maxima, l->n_maxima + shared, sizeof *l->maxima, e));
    memmove(l->maxima + at + shared, l->maxima + at, (l->n_maxima - at) * sizeof *l->maxima);
    memcpy(l->maxima + at, l->maxima, shared * sizeof *l->maxima);
    for (size_t i = 0; i < shared; i++)
        l->maxima[at + i].round = last;
    l->n_maxima += shared;
    return 0;
}

int sc_super_find(const struct sc_forward *f, const struct sc_super_options *o,
                  struct sc_super_list *out, struct sc_error *e)
{
    struct finding x = {.f = f, .o = o, .out = out};

    memset(out, 0, sizeof *out);
    int code = find_all(&x, e);
    if (code == 0)
        code = complete_maxima(out, e);
    for (size_t i = 0; i < x.n_spikes; i++)
        free(x.spikes[i].input);
    free(x.spikes);
    free(x.medians);
    free(x.inputs);
    return code;
}

void sc_super_clear(struct sc_super_list *l)
{
    free(l->p);
    free(l->maxima);
    memset(l, 0, sizeof *l);
}

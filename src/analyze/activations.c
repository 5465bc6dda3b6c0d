/* SPDX-License-Identifier: Apache-2.0 */
/* activations: figures of what flows through a model. */
#include "analyze/activations.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "analyze/quant.h"

const double sc_activation_quantiles[SC_ACTIVATION_QUANTILES] = {.01, .05, .25, .5, .75, .95, .99};

/* Values of one hook of one layer, until the layer is over: experts give theirs one by one. */
struct gathered {
    float *values;
    size_t n, cap;
    struct sc_activation figures;
    bool used;
};
struct measuring {
    const struct sc_activations_options *o;
    struct sc_activations *out;
    struct gathered hooks[SC_HOOKS];
    struct sc_attention_sink sink;
    size_t heads; /* that are in sink */
    FILE *logits;
    size_t n_logits;
};

/* --------------------------------------------------------------------------------- figures --- */

double sc_activation_quantile(double *v, size_t n, double q)
{
    const double at = q * (double)(n - 1);
    const size_t k = (size_t)at;
    const double low = sc_select(v, n, k);

    return k + 1 < n ? low + (sc_select(v, n, k + 1) - low) * (at - (double)k) : low;
}

static int find_quantiles(const struct gathered *g, struct sc_activation *a, struct sc_error *e)
{
    double *v = sc_alloc(SC_MAX(g->n, (size_t)1) * sizeof *v);
    size_t n = 0;

    if (!v)
        return sc_fail_memory(e);
    for (size_t i = 0; i < g->n; i++)
        if (isfinite(g->values[i]))
            v[n++] = (double)g->values[i];
    for (size_t i = 0; i < SC_ACTIVATION_QUANTILES; i++)
        a->quantile[i] = n ? sc_activation_quantile(v, n, sc_activation_quantiles[i]) : (double)NAN;
    for (size_t i = 0; i < n; i++)
        v[i] = fabs(v[i]);
    a->median_abs = n ? sc_activation_quantile(v, n, .5) : (double)NAN;
    free(v);
    return 0;
}

static void find_moments(const struct gathered *g, struct sc_activation *a)
{
    double sum = 0, abs = 0, square = 0, second = 0, fourth = 0;
    uint64_t n = 0;

    a->min = a->max = (double)NAN;
    for (size_t i = 0; i < g->n; i++) {
        const double x = (double)g->values[i];
        if (!isfinite(x))
            continue;
        a->min = n && a->min < x ? a->min : x;
        a->max = n && a->max > x ? a->max : x;
        sum += x;
        abs += fabs(x);
        square += x * x;
        n++;
    }
    a->count = g->n;
    a->nonfinite = g->n - n;
    const double count = n ? (double)n : (double)NAN;
    a->mean = sum / count;
    a->mean_abs = abs / count;
    a->rms = sqrt(square / count);
    for (size_t i = 0; i < g->n && n; i++) {
        const double d = (double)g->values[i] - a->mean;
        if (!isfinite(d))
            continue;
        second += d * d;
        fourth += d * d * d * d;
    }
    a->kurtosis = second > 0 ? fourth / count / (second / count * (second / count)) : (double)NAN;
}

static int finish_hook(struct measuring *m, struct gathered *g, struct sc_error *e)
{
    struct sc_activations *out = m->out;

    if (!g->used)
        return 0;
    g->used = false;
    TRY(sc_grow(&out->list, &out->cap, out->n + 1, sizeof *out->list, e));
    find_moments(g, &g->figures);
    TRY(find_quantiles(g, &g->figures, e));
    out->list[out->n++] = g->figures;
    g->n = 0;
    return 0;
}

double sc_massive_least(const float *row, size_t n, double *scratch)
{
    for (size_t i = 0; i < n; i++)
        scratch[i] = fabs((double)row[i]);
    return fmax(100, 1000 * sc_select(scratch, n, n / 2));
}

/* What is massive in a row: compared with the median of that row. */
static uint64_t count_massive(const float *row, size_t n, double *scratch)
{
    const double least = sc_massive_least(row, n, scratch);
    uint64_t massive = 0;

    for (size_t i = 0; i < n; i++)
        massive += fabs((double)row[i]) > least;
    return massive;
}

static int gather(struct measuring *m, const struct sc_hook_data *h, struct sc_error *e)
{
    struct gathered *g = &m->hooks[h->hook];
    const size_t n = h->n * h->width;

    if (g->used && g->figures.layer != h->layer)
        TRY(finish_hook(m, g, e));
    if (!g->used) {
        g->figures = (struct sc_activation){.hook = h->hook, .layer = h->layer, .part = -1};
        g->used = true;
    }
    TRY(sc_grow(&g->values, &g->cap, g->n + n, sizeof *g->values, e));
    memcpy(g->values + g->n, h->values, n * sizeof *g->values);
    g->n += n;
    for (size_t i = 0; i < n; i++) {
        const float x = h->values[i];
        if (!isfinite(x) || fabsf(x) <= fabsf(g->figures.most))
            continue;
        g->figures.most = x;
        g->figures.token = h->positions ? h->positions[i / h->width] : (uint32_t)(i / h->width);
        g->figures.channel = (uint32_t)(i % h->width);
        g->figures.part = h->part;
    }
    if (h->hook == SC_HOOK_RESIDUAL || h->hook == SC_HOOK_RESIDUAL_MID) {
        double *scratch = sc_alloc(h->width * sizeof *scratch);
        if (!scratch)
            return sc_fail_memory(e);
        for (size_t i = 0; i < h->n; i++)
            g->figures.massive += count_massive(h->values + i * h->width, h->width, scratch);
        free(scratch);
    }
    return 0;
}

/* --------------------------------------------------------------------------------- sinks --- */

static int finish_sink(struct measuring *m, struct sc_error *e)
{
    struct sc_activations *out = m->out;

    if (!m->heads)
        return 0;
    TRY(sc_grow(&out->sinks, &out->sinks_cap, out->n_sinks + 1, sizeof *out->sinks, e));
    m->sink.mass /= (double)m->heads;
    m->sink.entropy /= (double)m->heads;
    out->sinks[out->n_sinks++] = m->sink;
    m->heads = 0;
    return 0;
}

static int add_head(struct measuring *m, const struct sc_hook_data *h, struct sc_error *e)
{
    double mass = 0, entropy = 0;

    if (m->heads && m->sink.layer != h->layer)
        TRY(finish_sink(m, e));
    if (!m->heads)
        m->sink = (struct sc_attention_sink){.layer = h->layer, .most = -1};
    for (size_t i = 0; i < h->n; i++) {
        const float *row = h->values + i * h->width;
        mass += i ? (double)row[0] : 0;
        for (size_t j = 0; j <= i; j++)
            entropy -= row[j] > 0 ? (double)row[j] * log((double)row[j]) : 0;
    }
    mass /= h->n > 1 ? (double)(h->n - 1) : 1;
    m->sink.mass += mass;
    m->sink.entropy += entropy / (double)h->n;
    if (mass > m->sink.most) {
        m->sink.most = mass;
        m->sink.head = (uint32_t)h->part;
    }
    m->heads++;
    return 0;
}

/* ------------------------------------------------------------------------------- NPY files --- */

static int write_failed(const char *path, struct sc_error *e)
{
    const int error = errno;
    struct sc_quoted q;

    return sc_fail(e, SCRUPLE_EWRITE, "%s: cannot write: %s", sc_quote(&q, sc_strz(path)),
                   strerror(error));
}

static FILE *open_npy(const struct measuring *m, const char *name, size_t rows, size_t cols,
                      struct sc_error *e)
{
    struct sc_buf path = {0}, head = {0};
    const uint64_t shape[2] = {rows, cols};
    FILE *f = NULL;

    sc_buf_printf(&path, "%s/%s.npy", m->o->folder, name);
    sc_npy_put_header(&head, "<f4", shape, 2);
    if (path.failed || head.failed)
        sc_fail_memory(e);
    else if (!(f = fopen(path.p, "wb")) || fwrite(head.p, 1, head.n, f) != head.n)
        write_failed(path.p, e);
    if (f && e->code < 0) {
        fclose(f);
        f = NULL;
    }
    sc_buf_clear(&path);
    sc_buf_clear(&head);
    return f;
}

static int write_npy(const struct measuring *m, const struct sc_hook_data *h, struct sc_error *e)
{
    char name[64];
    int n = snprintf(name, sizeof name, "%s", sc_hook_names[h->hook]);

    if (h->layer >= 0)
        n += snprintf(name + n, sizeof name - (size_t)n, ".%d", (int)h->layer);
    if (h->part != -1)
        snprintf(name + n, sizeof name - (size_t)n, ".%d", (int)h->part);
    FILE *f = open_npy(m, name, h->n, h->width, e);
    if (!f)
        return e->code;
    const size_t count = h->n * h->width;
    const bool good = fwrite(h->values, sizeof *h->values, count, f) == count;
    if (fclose(f) != 0 || !good)
        return write_failed(m->o->folder, e);
    return 0;
}

/* ------------------------------------------------------------------------------- measuring --- */

static int see(void *ctx, const struct sc_hook_data *h, struct sc_error *e)
{
    struct measuring *m = ctx;

    if (m->o->folder)
        TRY(write_npy(m, h, e));
    return h->hook == SC_HOOK_ATTENTION ? add_head(m, h, e) : gather(m, h, e);
}

static void choose_next(struct sc_activations *out, const float *row, size_t vocab)
{
    float most = -INFINITY;
    double sum = 0;

    for (size_t i = 0; i < vocab; i++)
        most = row[i] > most ? row[i] : most;
    for (size_t i = 0; i < vocab; i++)
        sum += exp((double)row[i] - (double)most);
    for (size_t i = 0; i < vocab; i++) {
        size_t k = out->n_next;
        if (k == SC_NEXT_TOKENS && !(row[i] > out->next[k - 1].logit))
            continue;
        k = k < SC_NEXT_TOKENS ? k : k - 1;
        for (; k > 0 && row[i] > out->next[k - 1].logit; k--)
            out->next[k] = out->next[k - 1];
        out->next[k] =
            (struct sc_next_token){(uint32_t)i, row[i], exp((double)row[i] - (double)most) / sum};
        out->n_next = SC_MIN(out->n_next + 1, (size_t)SC_NEXT_TOKENS);
    }
}

static int take_logits(void *ctx, uint32_t stream, uint32_t position, const float *row,
                       size_t vocab, struct sc_error *e)
{
    struct measuring *m = ctx;

    (void)stream;
    if (m->o->folder && !m->logits) {
        m->logits = open_npy(m, "logits", m->o->n, vocab, e);
        if (!m->logits)
            return e->code;
    }
    if (m->logits && fwrite(row, sizeof *row, vocab, m->logits) != vocab)
        return write_failed(m->o->folder, e);
    if (position + 1 == m->o->n)
        choose_next(m->out, row, vocab);
    return 0;
}

static void forward_progress(void *ctx, uint32_t done, uint32_t of)
{
    const struct measuring *m = ctx;

    if (m->o->progress)
        m->o->progress(m->o->ctx, done, of);
}

static int by_layer(const void *a, const void *b)
{
    const struct sc_activation *x = a, *y = b;

    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return (x->hook > y->hook) - (x->hook < y->hook);
}

static int make_folder(const char *path, struct sc_error *e)
{
    if (path && mkdir(path, 0777) != 0 && errno != EEXIST)
        return write_failed(path, e);
    return 0;
}

int sc_activations_measure(const struct sc_forward *f, const struct sc_activations_options *o,
                           struct sc_activations *out, struct sc_error *e)
{
    struct measuring *m = sc_calloc(1, sizeof *m);
    const struct sc_sequence sequence = {o->tokens, o->n};

    memset(out, 0, sizeof *out);
    if (!m)
        return sc_fail_memory(e);
    m->o = o;
    m->out = out;
    const struct sc_run run = {.pool = o->pool,
                               .cancel = o->cancel,
                               .memory = o->memory,
                               .sequences = &sequence,
                               .n_sequences = 1,
                               .hooks = o->hooks
                                            ? o->hooks
                                            : 1U << SC_HOOK_EMBEDDING | 1U << SC_HOOK_DOWN_IN |
                                                  1U << SC_HOOK_DOWN_OUT | 1U << SC_HOOK_RESIDUAL |
                                                  1U << SC_HOOK_ATTENTION,
                               .see = see,
                               .logits = take_logits,
                               .last_only = !o->folder,
                               .progress = forward_progress,
                               .ctx = m};
    int code = make_folder(o->folder, e);
    if (code == 0)
        code = sc_forward_run(f, &run, e);
    for (size_t i = 0; i < SC_HOOKS; i++) {
        if (code == 0)
            code = finish_hook(m, &m->hooks[i], e);
        free(m->hooks[i].values);
    }
    if (code == 0)
        code = finish_sink(m, e);
    /* what is seen behind the last layer has no number, either */
    for (size_t i = 0; i < out->n; i++)
        if (out->list[i].hook == SC_HOOK_FINAL_NORM)
            out->list[i].layer = INT32_MAX;
    sc_sort(out->list, out->n, sizeof *out->list, by_layer);
    for (size_t i = 0; i < out->n; i++)
        if (out->list[i].hook == SC_HOOK_FINAL_NORM)
            out->list[i].layer = -1;
    if (m->logits && fclose(m->logits) != 0 && code == 0)
        code = write_failed(o->folder, e);
    free(m);
    return code;
}

void sc_activations_clear(struct sc_activations *a)
{
    free(a->list);
    free(a->sinks);
    memset(a, 0, sizeof *a);
}

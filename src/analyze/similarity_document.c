/* SPDX-License-Identifier: Apache-2.0 */
/* similarity_document: scores of experts as a document. Of its matrices one is in memory at a time.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/figures.h"
#include "analyze/similarity.h"

struct sc_str sc_similarity_name(const struct sc_similarity *s, uint32_t expert, char text[16])
{
    size_t n = 0;
    char turned[16];

    if (expert == s->n_experts)
        return sc_strz("shared");
    do
        turned[n++] = (char)('0' + expert % 10);
    while ((expert /= 10) != 0);
    for (size_t i = 0; i < n; i++)
        text[i] = turned[n - 1 - i];
    return sc_str(text, n);
}

void sc_similarity_sentence(const struct sc_similarity *s, const struct sc_similarity_pair *p,
                            struct sc_buf *out)
{
    char a[16], b[16];
    const struct sc_str first = sc_similarity_name(s, p->a, a),
                        second = sc_similarity_name(s, p->b, b);

    sc_buf_printf(out, "layer %d: experts %.*s and %.*s, %.3f", s->layers[p->at].layer,
                  (int)first.n, first.p, (int)second.n, second.p, p->score);
    if (fabs(p->scale - 1) > .01)
        sc_buf_printf(out, ", the second %.3g times as large", p->scale);
    if (p->kind != SC_SIMILARITY_UNKNOWN)
        sc_buf_printf(out, ": %u of %u neurons are the same", p->matched, p->neurons);
    if (p->kind != SC_SIMILARITY_UNKNOWN && p->matched)
        sc_buf_printf(out, " (cosine %.4f, %u in place)", p->cosine, p->in_place);
}

/* ------------------------------------------------------------------------------ matrices --- */
struct place {
    size_t layer;
    unsigned part;
    bool there;
};

/* The row-th matrix that is there. */
static struct place find(const struct sc_similarity *s, size_t row)
{
    for (size_t l = 0; l < s->n_layers; l++)
        for (unsigned part = 0; part < SC_SIMILARITY_PARTS; part++)
            if (s->layers[l].part[part].method != SC_SIMILARITY_NONE && row-- == 0)
                return (struct place){l, part, true};
    return (struct place){0, 0, false};
}

static void add_lists(struct sc_document *d, struct sc_field *o, const struct sc_similarity *s,
                      const struct sc_similarity_matrix *m)
{
    struct sc_field *list;

    if (!m->state)
        return;
    list = sc_add_list(d, o, "state");
    for (size_t i = 0; i < s->n; i++)
        sc_add_textz(d, list, NULL, sc_similarity_states[m->state[i]]);
    list = sc_add_list(d, o, "norm");
    for (size_t i = 0; i < s->n; i++)
        sc_add_figure(d, list, NULL, m->norm[i]);
    list = sc_add_list(d, o, "neurons");
    for (size_t i = 0; i < s->n; i++)
        sc_add_uint(d, list, NULL, m->neurons[i], SC_COL_COUNT);
    list = sc_add_list(d, o, "baseline");
    for (size_t i = 0; i < s->n; i++)
        sc_add_figure(d, list, NULL, m->base[i]);
}

/* What a float says, in as many digits as it has. */
static double short_of(double v)
{
    return isnan(v) ? v : round(v * 1e8) / 1e8;
}

static void put_matrix(const void *ctx, size_t row, struct sc_document *d, struct sc_field *o)
{
    const struct sc_similarity *s = ctx;
    const struct place at = find(s, row);

    if (!at.there)
        return;
    const struct sc_similarity_matrix *m = &s->layers[at.layer].part[at.part];
    sc_add_uint(d, o, "layer", (uint64_t)s->layers[at.layer].layer, SC_COL_COUNT);
    sc_add_textz(d, o, "part", sc_similarity_parts[at.part]);
    sc_add_textz(d, o, "method", sc_similarity_methods[m->method]);
    sc_add_uint(d, o, "hidden", m->hidden, SC_COL_COUNT);
    sc_add_figure(d, o, "spread", m->spread);
    sc_add_figure(d, o, "error", m->error[0]);
    sc_add_figure(d, o, "corrected_error", m->error[1]);
    sc_add_uint(d, o, "multiplications", m->macs, SC_COL_COUNT);
    add_lists(d, o, s, m);
    for (unsigned which = 0; which < 2; which++) {
        struct sc_field *rows = sc_add_list(d, o, which ? "corrected" : "raw");
        for (uint32_t a = 0; a < s->n; a++) {
            struct sc_field *list = sc_add_list(d, rows, NULL);
            for (uint32_t b = 0; b < s->n; b++)
                sc_add_figure(d, list, NULL,
                              short_of(which ? sc_similarity_corrected(s, at.layer, at.part, a, b)
                                             : (double)m->score[a * s->n + b]));
        }
    }
}

static void no_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    (void)ctx;
    (void)row;
    (void)column;
    out->null = true;
}

/* ---------------------------------------------------------------- clusters, pairs, ranking --- */
static void add_clusters(struct sc_document *d, struct sc_field *into,
                         const struct sc_similarity *s)
{
    struct sc_field *list = sc_add_list(d, into, "clusters");

    for (size_t l = 0; l < s->n_layers; l++)
        for (uint32_t first = 0; first < s->n; first++) {
            const uint32_t *cluster = s->layers[l].cluster;
            size_t members = 0;
            for (size_t i = 0; i < s->n; i++)
                members += cluster[i] == first;
            if (members < 2)
                continue;
            struct sc_field *o = sc_add_object(d, list, NULL);
            sc_add_uint(d, o, "layer", (uint64_t)s->layers[l].layer, SC_COL_COUNT);
            struct sc_field *experts = sc_add_list(d, o, "experts");
            for (size_t i = 0; i < s->n; i++)
                if (cluster[i] == first)
                    sc_add_uint(d, experts, NULL, i, SC_COL_COUNT);
        }
}

static void put_pair(const void *ctx, size_t row, struct sc_document *d, struct sc_field *o)
{
    const struct sc_similarity *s = ctx;
    const struct sc_similarity_pair *p = &s->pairs[row];
    const bool matched = p->kind != SC_SIMILARITY_UNKNOWN;
    struct sc_buf text = {0};

    sc_add_uint(d, o, "layer", (uint64_t)s->layers[p->at].layer, SC_COL_COUNT);
    sc_add_uint(d, o, "a", p->a, SC_COL_COUNT);
    sc_add_uint(d, o, "b", p->b, SC_COL_COUNT);
    sc_add_textz(d, o, "kind", sc_similarity_kinds[p->kind]);
    sc_add_figure(d, o, "corrected", short_of(p->score));
    sc_add_figure(d, o, "scale", p->scale);
    static const char *const keys[] = {"neurons", "matched", "in_place"};
    const uint32_t numbers[] = {p->neurons, p->matched, p->in_place};
    for (size_t i = 0; i < SC_COUNT(keys); i++)
        if (matched)
            sc_add_uint(d, o, keys[i], numbers[i], SC_COL_COUNT);
        else
            sc_add_null(d, o, keys[i]);
    sc_add_figure(d, o, "cosine", p->cosine);
    sc_similarity_sentence(s, p, &text);
    sc_add_textz(d, o, "message", text.failed ? NULL : text.p);
    d->failed |= text.failed;
    sc_buf_clear(&text);
}

static void put_rank(const void *ctx, size_t row, struct sc_document *d, struct sc_field *o)
{
    const struct sc_similarity *s = ctx;
    const struct sc_similarity_rank *r = &s->ranks[row];

    sc_add_uint(d, o, "layer", (uint64_t)s->layers[r->at].layer, SC_COL_COUNT);
    sc_add_uint(d, o, "expert", r->expert, SC_COL_COUNT);
    sc_add_uint(d, o, "nearest", r->nearest, SC_COL_COUNT);
    sc_add_figure(d, o, "corrected", short_of(r->score));
}

static void add_rows(struct sc_document *d, struct sc_field *into, const char *key, size_t n,
                     const struct sc_similarity *s, sc_row_object *row)
{
    static const struct sc_column none = {"", NULL, NULL, SC_COL_TEXT, 0, 0};
    const struct sc_table t = {
        .columns = &none, .n_columns = 0, .n_rows = n, .cell = no_cell, .ctx = s};

    sc_add_objects(d, into, key, &t, row);
}

void sc_analyze_similarity(struct sc_document *d, struct sc_field *into,
                           const struct sc_similarity *s)
{
    struct sc_field *o = sc_add_object(d, into, "similarity");
    size_t matrices = 0;

    sc_add_uint(d, o, "experts", s->n_experts, SC_COL_COUNT);
    sc_add_bool(d, o, "shared", s->n > s->n_experts);
    sc_add_textz(d, o, "definition", s->original ? "original" : "gram");
    sc_add_number(d, o, "threshold", s->threshold);
    sc_add_uint(d, o, "multiplications", s->macs, SC_COL_COUNT);
    sc_add_uint(d, o, "more_pairs", s->n_more, SC_COL_COUNT);
    sc_add_uint(d, o, "unmatched", s->n_unmatched, SC_COL_COUNT);
    sc_add_uint(d, o, "unread", s->unread, SC_COL_COUNT);
    struct sc_field *list = sc_add_list(d, into, "layers");
    for (size_t l = 0; l < s->n_layers; l++) {
        sc_add_uint(d, list, NULL, (uint64_t)s->layers[l].layer, SC_COL_COUNT);
        for (unsigned part = 0; part < SC_SIMILARITY_PARTS; part++)
            matrices += s->layers[l].part[part].method != SC_SIMILARITY_NONE;
    }
    add_rows(d, into, "matrices", matrices, s, put_matrix);
    add_clusters(d, into, s);
    add_rows(d, into, "pairs", s->n_pairs, s, put_pair);
    add_rows(d, into, "ranking", s->n_ranks, s, put_rank);
}

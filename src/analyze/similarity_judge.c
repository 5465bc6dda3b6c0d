/* SPDX-License-Identifier: Apache-2.0 */
/* similarity_judge: joined scores, and what they say of a layer: clusters, nearest experts, pairs
 * above the threshold, a ranking of what others could replace.
 *
 * Clusters grow from single experts: the two with the largest mean corrected score between their
 * members (average linkage) become one as long as that is the threshold or more; of equal ones the
 * pair that comes first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/similarity_parts.h"

const char *const sc_similarity_kinds[] = {"alike", "partly the same", "near copy", "shuffled copy",
                                           "copy",  "not matched",     NULL};

static double baseline(const struct sc_similarity_matrix *m, size_t n, uint32_t a, uint32_t b)
{
    (void)n;
    return sqrt(m->base[a] * m->base[b]);
}

static double corrected(const struct sc_similarity_matrix *m, size_t n, uint32_t a, uint32_t b)
{
    const double c = (double)m->score[a * n + b], base = baseline(m, n, a, b);
    const double left = sqrt((1 - m->base[a]) * (1 - m->base[b]));

    if (a == b || isnan(c)) /* fmin() would make 1 of NaN */
        return c;
    return left > 1e-6 ? fmin((c - base) / left, 1) : (double)NAN;
}

/* Of joined: the mean over what the layer has. */
static double figure(const struct sc_similarity *s, size_t layer, unsigned part, uint32_t a,
                     uint32_t b,
                     double (*of)(const struct sc_similarity_matrix *, size_t, uint32_t, uint32_t))
{
    const unsigned first = part == SC_SIMILARITY_JOINED ? 0 : part;
    const unsigned end = part == SC_SIMILARITY_JOINED ? SC_EXPERT_ROUTER : part + 1;
    double sum = 0;
    size_t n = 0;

    for (unsigned p = first; p < end; p++)
        if (s->layers[layer].part[p].method != SC_SIMILARITY_NONE) {
            sum += of(&s->layers[layer].part[p], s->n, a, b);
            n++;
        }
    return n ? sum / (double)n : (double)NAN;
}

double sc_similarity_baseline(const struct sc_similarity *s, size_t layer, unsigned part,
                              uint32_t a, uint32_t b)
{
    return figure(s, layer, part, a, b, baseline);
}

double sc_similarity_corrected(const struct sc_similarity *s, size_t layer, unsigned part,
                               uint32_t a, uint32_t b)
{
    return figure(s, layer, part, a, b, corrected);
}

/* Means of what the layer has; a pair of which one part is not compared has none. */
static int join(struct sc_similarity *s, size_t layer, struct sc_error *e)
{
    struct sc_similarity_layer *l = &s->layers[layer];
    struct sc_similarity_matrix *j = &l->part[SC_SIMILARITY_JOINED];
    const size_t n = s->n;
    unsigned parts = 0;

    *j = (struct sc_similarity_matrix){.spread = (double)NAN};
    for (unsigned p = 0; p < SC_EXPERT_ROUTER; p++) {
        const struct sc_similarity_matrix *m = &l->part[p];
        if (m->method == SC_SIMILARITY_NONE)
            continue;
        if (!parts++) {
            j->method = SC_SIMILARITY_MEAN;
            j->hidden = m->hidden;
            j->spread = m->spread;
            j->score = SC_ARENA_NEW(&s->arena, float, n *n);
            if (!j->score)
                return sc_fail_memory(e);
            memcpy(j->score, m->score, n * n * sizeof *j->score);
            j->error[0] = m->error[0];
            j->error[1] = m->error[1];
            continue;
        }
        for (size_t i = 0; i < n * n; i++)
            j->score[i] += m->score[i];
        j->error[0] += m->error[0];
        j->error[1] += m->error[1];
    }
    for (size_t i = 0; parts > 1 && i < n * n; i++)
        j->score[i] /= (float)parts;
    if (parts > 1) {
        j->error[0] /= parts;
        j->error[1] /= parts;
        j->spread /= sqrt((double)parts);
    }
    return 0;
}

/* ------------------------------------------------------------------------------ clusters --- */
struct groups {
    size_t n;
    double *sum;    /* (n x n) of scores between members; NaN: never together */
    uint32_t *size; /* (n); 0: went into another */
    uint32_t *best; /* (n) the other of a higher number that it is most like; n: none */
};

static double mean_of(const struct groups *g, size_t a, size_t b)
{
    return g->sum[a * g->n + b] / ((double)g->size[a] * (double)g->size[b]);
}

static void look(struct groups *g, size_t a)
{
    double most = -(double)INFINITY;

    g->best[a] = (uint32_t)g->n;
    for (size_t b = a + 1; b < g->n; b++)
        if (g->size[b] && mean_of(g, a, b) > most) {
            most = mean_of(g, a, b);
            g->best[a] = (uint32_t)b;
        }
}

/* b goes into a, which comes before it. */
static void merge(struct groups *g, size_t a, size_t b, uint32_t *cluster)
{
    for (size_t i = 0; i < g->n; i++) {
        g->sum[a * g->n + i] += g->sum[b * g->n + i];
        g->sum[i * g->n + a] = g->sum[a * g->n + i];
        if (cluster[i] == b)
            cluster[i] = (uint32_t)a;
    }
    g->size[a] += g->size[b];
    g->size[b] = 0;
    for (size_t i = 0; i < g->n; i++)
        if (i <= b && g->size[i])
            look(g, i);
}

static int make_clusters(struct sc_similarity *s, size_t layer, struct sc_error *e)
{
    struct sc_similarity_layer *l = &s->layers[layer];
    const size_t n = s->n;
    struct groups g = {.n = n};

    g.sum = sc_alloc(n * n * sizeof *g.sum);
    g.size = sc_alloc(n * sizeof *g.size);
    g.best = sc_alloc(n * sizeof *g.best);
    l->cluster = SC_ARENA_NEW(&s->arena, uint32_t, n);
    const int code = g.sum && g.size && g.best && l->cluster ? 0 : sc_fail_memory(e);
    for (uint32_t a = 0; a < n && code == 0; a++) {
        g.size[a] = 1;
        l->cluster[a] = a;
        for (uint32_t b = 0; b < n; b++)
            g.sum[a * n + b] = sc_similarity_corrected(s, layer, SC_SIMILARITY_JOINED, a, b);
    }
    for (size_t a = 0; a < n && code == 0; a++)
        look(&g, a);
    for (bool more = code == 0; more;) {
        size_t first = n;
        double most = s->threshold;
        for (size_t a = 0; a < n; a++)
            if (g.size[a] && g.best[a] < n &&
                (first == n ? mean_of(&g, a, g.best[a]) >= most
                            : mean_of(&g, a, g.best[a]) > most)) {
                most = mean_of(&g, a, g.best[a]);
                first = a;
            }
        more = first < n;
        if (more)
            merge(&g, first, g.best[first], l->cluster);
    }
    for (size_t a = 0; a < n && code == 0; a++)
        l->n_clusters += g.size[a] > 1;
    free(g.sum);
    free(g.size);
    free(g.best);
    return code;
}

/* ------------------------------------------------------------------- nearest, pairs, ranks --- */
static int better_pair(const void *x, const void *y)
{
    const struct sc_similarity_pair *a = x, *b = y;

    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    if (a->score < b->score || a->score > b->score)
        return a->score > b->score ? -1 : 1;
    return a->a != b->a ? (a->a < b->a ? -1 : 1) : (a->b > b->b) - (a->b < b->b);
}

static int better_rank(const void *x, const void *y)
{
    const struct sc_similarity_rank *a = x, *b = y;

    if (a->score < b->score || a->score > b->score)
        return a->score > b->score ? -1 : 1;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return (a->expert > b->expert) - (a->expert < b->expert);
}

/* Geometric mean of the ratios of norms. */
static double scale_of(const struct sc_similarity *s, size_t layer, uint32_t a, uint32_t b)
{
    double sum = 0;
    size_t n = 0;

    for (unsigned p = 0; p < SC_EXPERT_ROUTER; p++) {
        const struct sc_similarity_matrix *m = &s->layers[layer].part[p];
        if (m->method == SC_SIMILARITY_NONE)
            continue;
        sum += log(m->norm[b] / m->norm[a]);
        n++;
    }
    return exp(sum / (double)n);
}

static int look_at_layer(struct sc_similarity *s, size_t layer, size_t *cap, struct sc_error *e)
{
    struct sc_similarity_layer *l = &s->layers[layer];
    const size_t first = s->n_pairs;

    l->nearest = SC_ARENA_NEW(&s->arena, uint32_t, s->n);
    if (!l->nearest)
        return sc_fail_memory(e);
    for (uint32_t a = 0; a < s->n; a++) {
        double most = -(double)INFINITY;
        l->nearest[a] = SC_NO_NODE;
        for (uint32_t b = 0; b < s->n; b++) {
            const double score = sc_similarity_corrected(s, layer, SC_SIMILARITY_JOINED, a, b);
            if (a == b || isnan(score))
                continue;
            if (score > most) {
                most = score;
                l->nearest[a] = b;
            }
            if (a > b || score < s->threshold)
                continue;
            TRY(sc_grow(&s->pairs, cap, s->n_pairs + 1, sizeof *s->pairs, e));
            s->pairs[s->n_pairs++] = (struct sc_similarity_pair){.at = (uint32_t)layer,
                                                                 .a = a,
                                                                 .b = b,
                                                                 .kind = SC_SIMILARITY_UNKNOWN,
                                                                 .score = score,
                                                                 .scale = scale_of(s, layer, a, b),
                                                                 .cosine = (double)NAN};
        }
        if (l->nearest[a] != SC_NO_NODE)
            s->ranks[s->n_ranks++] =
                (struct sc_similarity_rank){(uint32_t)layer, a, l->nearest[a], most};
    }
    if (s->n_pairs > first)
        sc_sort(s->pairs + first, s->n_pairs - first, sizeof *s->pairs, better_pair);
    if (s->n_pairs - first > SC_SIMILARITY_MOST_PAIRS) {
        s->n_more += s->n_pairs - first - SC_SIMILARITY_MOST_PAIRS;
        s->n_pairs = first + SC_SIMILARITY_MOST_PAIRS;
    }
    return 0;
}

int sc_similar_judge(struct sc_similarity *s, struct sc_error *e)
{
    size_t cap = 0;

    s->ranks = sc_calloc(s->n_layers * s->n + 1, sizeof *s->ranks);
    if (!s->ranks)
        return sc_fail_memory(e);
    for (size_t l = 0; l < s->n_layers; l++) {
        TRY(join(s, l, e));
        TRY(make_clusters(s, l, e));
        TRY(look_at_layer(s, l, &cap, e));
    }
    sc_sort(s->ranks, s->n_ranks, sizeof *s->ranks, better_rank);
    return 0;
}

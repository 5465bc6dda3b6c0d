/* SPDX-License-Identifier: Apache-2.0 */
/* issues_layers: one tensor against its siblings in other layers.
 *
 * Siblings have the same name but for its numbers, and the same shape: all q_proj, all experts'
 * down_proj. Figures are compared as logarithms, by median and MAD (scaled by 1.4826, so that it
 * is the sigma of a normal sample): robust, so the odd one does not hide itself. A figure is odd
 * when it is 8 such sigmas away *and* a factor that is never chance in a healthy model, since
 * the MAD of five siblings may be tiny.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/figures.h"
#include "analyze/issues.h"

enum { MEMBERS_MIN = 5, LAYERS_MIN = 8 };
#define FAR 8.0

/* ---------------------------------------------------------------------------------- groups --- */
struct member {
    uint64_t group; /* hash of pattern and shape; equal groups stand together, in natural order */
    uint32_t index; /* into the list of tensors */
    int32_t layer;
};

/* The name with every run of digits as one '#'. */
static uint64_t pattern_hash(const struct sc_tensor *t, struct sc_buf *scratch)
{
    scratch->n = 0;
    for (size_t i = 0; i < t->name_len; i++) {
        bool digit = t->name[i] >= '0' && t->name[i] <= '9';
        bool before = i && t->name[i - 1] >= '0' && t->name[i - 1] <= '9';
        if (!digit || !before)
            sc_buf_putc(scratch, (char)(digit ? '#' : t->name[i]));
    }
    return sc_hash_mix(sc_hash(scratch->p ? scratch->p : "", scratch->n),
                       sc_hash(t->shape, t->rank * sizeof *t->shape));
}

static int by_group(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* --------------------------------------------------------------------------------- figures --- */
struct figure {
    const char *name;
    unsigned method;
    double (*value)(const struct sc_health *h); /* what is shown */
    double shift;                               /* added before the logarithm */
    double least; /* decades that are never chance: below them nothing is odd */
    double warn;  /* decades from which a person should look */
};

static double std_of(const struct sc_health *h)
{
    return h->basic.std;
}
static double abs_max_of(const struct sc_health *h)
{
    return h->basic.abs_max;
}
static double kurtosis_of(const struct sc_health *h)
{
    return h->basic.kurtosis;
}
static double sigma_max_of(const struct sc_health *h)
{
    return h->spectrum.sigma_max;
}
static double stable_rank_of(const struct sc_health *h)
{
    return h->spectrum.stable_rank;
}
static double condition_of(const struct sc_health *h)
{
    return isfinite(h->spectrum.condition) ? h->spectrum.condition : NAN;
}

static const struct figure figures[] = {
    {"standard deviation", SC_METHOD_BASIC, std_of, 0, 0.301, 1},
    {"largest magnitude", SC_METHOD_BASIC, abs_max_of, 0, 0.602, 1.301},
    /* Of a normal distribution it is 0, of a uniform one -1.2. */
    {"excess kurtosis", SC_METHOD_BASIC, kurtosis_of, 3, 0.602, 2},
    {"largest singular value", SC_METHOD_SPECTRAL, sigma_max_of, 0, 0.602, 1.301},
    {"stable rank", SC_METHOD_SPECTRAL, stable_rank_of, 0, 0.602, 2},
    /* Of random square matrices it varies over decades. */
    {"condition number", SC_METHOD_SPECTRAL, condition_of, 0, 3, 4},
};

static double log_of(const struct figure *f, const struct sc_health *h)
{
    double x = h->measured & f->method ? f->value(h) + f->shift : NAN;

    return x > 0 && isfinite(x) ? log10(x) : NAN;
}

struct odd {
    const struct figure *figure;
    double z, log, middle;
    size_t n; /* siblings that have the figure */
};

/* For each member: where it stands in this figure. work holds 2 n. */
static void compare(const struct sc_judge *j, const struct figure *f, const struct member *g,
                    size_t n, double *work, struct odd *worst)
{
    double *sorted = work + n;
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        work[i] = log_of(f, j->tensors[g[i].index].health);
        if (!isnan(work[i]))
            sorted[used++] = work[i];
    }
    if (used < MEMBERS_MIN)
        return;
    double middle = sc_figures_median(sorted, used);
    for (size_t i = used = 0; i < n; i++)
        if (!isnan(work[i]))
            sorted[used++] = fabs(work[i] - middle);
    double scale = 1.4826 * sc_figures_median(sorted, used);
    for (size_t i = 0; i < n; i++) {
        double away = isnan(work[i]) ? 0 : fabs(work[i] - middle);
        double z = away > 0 ? away / scale : 0; /* infinite where all siblings are equal */
        if (away <= f->least || z <= FAR)
            continue;
        if (!worst[i].figure ||
            away / f->least > fabs(worst[i].log - worst[i].middle) / worst[i].figure->least)
            worst[i] = (struct odd){f, z, work[i], middle, used};
    }
}

static void tell_odd(struct sc_judge *j, size_t i, const struct odd *o)
{
    const struct sc_tensor *t = sc_judge_tensor(j, i);
    const struct figure *f = o->figure;
    double value = f->value(j->tensors[i].health), usual = pow(10, o->middle) - f->shift;
    /* Gains and biases live their own lives. */
    bool vector = t->rank < 2 || t->role == SC_ROLE_NORM || t->role == SC_ROLE_BIAS;
    bool far = fabs(o->log - o->middle) >= f->warn && !vector;
    double limit = o->middle + copysign(far ? f->warn : f->least, o->log - o->middle);
    char sigmas[48] = "all others agree";

    if (o->z < 1e6)
        snprintf(sigmas, sizeof sigmas, "%.0f scaled MADs away", o->z);
    sc_judge_add(j, i, SC_RULE_ODD_LAYER, far ? SC_WARNING : SC_INFO, value,
                 pow(10, limit) - f->shift,
                 "its %s is %.4g, where the median of %zu tensors of its kind is %.4g (%s)",
                 f->name, value, o->n, usual, sigmas);
}

static void judge_odd(struct sc_judge *j, const struct member *g, size_t n, double *work,
                      struct odd *worst)
{
    memset(worst, 0, n * sizeof *worst);
    for (size_t k = 0; k < SC_COUNT(figures); k++)
        compare(j, &figures[k], g, n, work, worst);
    for (size_t i = 0; i < n; i++)
        if (worst[i].figure)
            tell_odd(j, g[i].index, &worst[i]);
}

/* ---------------------------------------------------------------------------- with depth --- */
/* Spearman's coefficient of v against its position (v has no equal values worth a correction). */
static double rank_correlation(const double *v, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        double rank = 0;
        for (size_t k = 0; k < n; k++)
            rank += v[k] < v[i] ? 1 : v[k] > v[i] || k == i ? 0 : 0.5;
        sum += (rank - (double)i) * (rank - (double)i);
    }
    return 1 - 6 * sum / ((double)n * ((double)n * (double)n - 1));
}

/* Typical size of the values from layer to layer; experts of a layer count as one. work holds 3 n.
 */
static void judge_drift(struct sc_judge *j, const struct member *g, size_t n, double *work)
{
    double *v = work, *part = work + n;
    size_t layers = 0;

    for (size_t i = 0; i < n;) {
        size_t used = 0, end = i;
        for (; end < n && g[end].layer == g[i].layer; end++) {
            double x = log_of(&figures[0], j->tensors[g[end].index].health);
            if (!isnan(x))
                part[used++] = x;
        }
        if (used && g[i].layer >= 0)
            v[layers++] = sc_figures_median(part, used);
        i = end;
    }
    if (layers < LAYERS_MIN || layers > 4096)
        return;
    double order = rank_correlation(v, layers);
    size_t quarter = layers / 4;
    memcpy(part, v, quarter * sizeof *v);
    double first = sc_figures_median(part, quarter);
    memcpy(part, v + layers - quarter, quarter * sizeof *v);
    double grown = sc_figures_median(part, quarter) - first;
    if (fabs(order) < 0.8 || fabs(grown) < 1 || (order < 0) != (grown < 0))
        return;
    size_t last = g[n - 1].index;
    const struct sc_tensor *t = sc_judge_tensor(j, last);
    bool vector = t->rank < 2 || t->role == SC_ROLE_NORM || t->role == SC_ROLE_BIAS;
    bool far = fabs(grown) >= 2 && !vector;
    sc_judge_add(
        j, last, SC_RULE_DRIFT, far ? SC_WARNING : SC_INFO, pow(10, fabs(grown)), far ? 100 : 10,
        "the standard deviation of its kind %s with depth: by a factor of %.1f from the first "
        "quarter of %zu layers to the last",
        grown > 0 ? "grows" : "shrinks", pow(10, fabs(grown)), layers);
}

/* ------------------------------------------------------------------------------------ all --- */
static size_t collect(struct sc_judge *j, struct member *all)
{
    struct sc_buf scratch = {0};
    size_t n = 0;

    for (size_t i = 0; i < j->n; i++) {
        const struct sc_health *h = j->tensors[i].health;
        const struct sc_tensor *t = sc_judge_tensor(j, i);
        /* Of a constant tensor the rest was said; NaN leave nothing to compare with. */
        if (!h || j->tensors[i].tied || !(h->measured & SC_METHOD_BASIC) || !(h->basic.std > 0) ||
            !sc_is_weight(j->model, t, h))
            continue;
        all[n++] = (struct member){pattern_hash(t, &scratch), (uint32_t)i, t->layer};
    }
    if (scratch.failed)
        j->code = sc_fail_memory(j->e);
    sc_buf_clear(&scratch);
    return n;
}

void sc_judge_layers(struct sc_judge *j)
{
    struct member *all = sc_pages_new(true, j->n, sizeof *all);
    double *work = sc_pages_new(true, j->n, 3 * sizeof *work);
    struct odd *worst = sc_pages_new(true, j->n, sizeof *worst);

    if (!all || !work || !worst) {
        j->code = sc_fail_memory(j->e);
    } else {
        size_t n = collect(j, all);
        if (n)
            sc_sort(all, n, sizeof *all, by_group);
        for (size_t i = 0; i < n && j->code >= 0;) {
            size_t end = i;
            while (end < n && all[end].group == all[i].group)
                end++;
            if (end - i >= MEMBERS_MIN) {
                judge_odd(j, all + i, end - i, work, worst);
                judge_drift(j, all + i, end - i, work);
            }
            i = end;
        }
    }
    sc_pages_free(all);
    sc_pages_free(work);
    sc_pages_free(worst);
}

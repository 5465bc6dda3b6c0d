/* SPDX-License-Identifier: Apache-2.0 */
/* issues: what is wrong or remarkable about measured tensors.
 *
 * Owns: the table of rules, the ranking, and the rules that need no figures (unreadable, tied,
 * duplicate, findings of the parsers). The others are in issues_*.c.
 *
 * A rule compares a figure with what a sound tensor of the same shape and size shows, never with
 * a constant that a larger tensor exceeds by being larger. Nothing of a Gaussian checkpoint is a
 * warning. Severity: error, the values cannot be used as they are; warning, a person should look;
 * info, worth knowing.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/issues.h"

const struct sc_rule sc_rules[] = {
    [SC_RULE_UNREADABLE] = {"unreadable", "cannot be read", "the file"},
    [SC_RULE_NAN] = {"nan", "NaN", "any NaN"},
    [SC_RULE_INFINITY] = {"infinity", "infinite values", "any infinity"},
    [SC_RULE_SATURATED] = {"saturated", "clipped at the largest number of its type",
                           "the largest finite F16, BF16 or F32"},
    [SC_RULE_RANK_DEFICIENT] = {"rank-deficient", "singular matrix",
                                "sigma_min <= sigma_max max(m, n) 2^-52, as in LAPACK"},
    [SC_RULE_ALL_ZERO] = {"all-zero", "all values are zero", "exact zeros"},
    [SC_RULE_CONSTANT] = {"constant", "all values are the same", "min = max"},
    [SC_RULE_DEAD_ROWS] = {"dead-rows", "dead rows",
                           "every |x| <= 1e-6, exact zeros where the values are as small"},
    [SC_RULE_DEAD_COLUMNS] = {"dead-columns", "dead columns",
                              "every |x| <= 1e-6, exact zeros where the values are as small"},
    [SC_RULE_DUPLICATE] = {"duplicate", "the same values as another tensor",
                           "equal figures, then compared value by value"},
    [SC_RULE_FINDING] = {"finding", "what the parsers found", "scruple check"},
    [SC_RULE_ODD_LAYER] = {"odd-layer", "unlike its siblings in other layers",
                           "8 scaled MADs from the median of at least 5, and a factor"},
    [SC_RULE_DRIFT] = {"drift", "weights grow or shrink with depth",
                       "rank correlation with the layer 0.8, last quarter over first 10"},
    [SC_RULE_CONDITION] = {"condition", "ill-conditioned",
                           "Edelman 1988 (square), Marchenko and Pastur 1967 (others)"},
    [SC_RULE_MAX_OVER_SIGMA] = {"max-over-sigma", "single values far out",
                                "5 times the expected maximum of a normal sample of this size"},
    [SC_RULE_KURTOSIS] = {"kurtosis", "heavy tails",
                          "excess over the normal distribution's, standard error sqrt(24/n)"},
    [SC_RULE_OUTLIERS] = {"outliers", "many extreme outliers",
                          "Tukey 1977: 3 IQR beyond the quartiles; normal: 0.00023 %"},
    [SC_RULE_QUANTIZATION] = {"quantization", "sensitive to rounding",
                              "12 dB (2 bits) below a normal sample of this size"},
    [SC_RULE_CORRELATION_TRAP] = {"correlation-trap", "spikes that survive shuffling",
                                  "Tracy and Widom 1996: 8 above the edge of a shuffled copy"},
    [SC_RULE_OVER_TRAINED] = {"over-trained", "very heavy-tailed spectrum",
                              "Martin and Mahoney 2021: alpha < 2"},
    [SC_RULE_UNDER_TRAINED] = {"under-trained", "spectrum like noise",
                               "Martin and Mahoney 2021: alpha > 6"},
    [SC_RULE_SUPER_WEIGHT] = {"super-weight", "candidate for a super weight",
                              "Yu et al. 2024: a single extreme weight of a down projection"},
    [SC_RULE_SPARSE] = {"sparse", "many exact zeros", "half of the values"},
    [SC_RULE_UPCAST] = {"upcast", "stored wider than its values need", "every value fits"},
    [SC_RULE_TIED] = {"tied", "shares the bytes of another tensor", "the file"},
    [SC_RULE_UNDECODABLE] = {"undecodable", "only listed", "layouts without a decoder"},
};
const size_t sc_n_rules = SC_COUNT(sc_rules);

/* ---------------------------------------------------------------------------------- adding --- */
/* The beginning of text that fits, without half a character at its end. */
static void copy_whole(char *dst, size_t size, const char *text)
{
    size_t n = strlen(text);

    if (n >= size) {
        n = size - 1;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    memcpy(dst, text, n);
    dst[n] = '\0';
}

void sc_judge_add(struct sc_judge *j, size_t i, enum sc_rule_id rule, enum sc_severity severity,
                  double value, double threshold, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    if (j->code < 0)
        return;
    j->code = sc_pages_grow(true, &j->out->p, &j->out->cap, j->out->n + 1, sizeof *j->out->p, j->e);
    if (j->code < 0)
        return;
    struct sc_issue *issue = &j->out->p[j->out->n++];
    memset(issue, 0, sizeof *issue);
    issue->tensor = j->tensors[i].tensor;
    issue->rule = (uint16_t)rule;
    issue->severity = (uint8_t)severity;
    issue->value = value;
    issue->threshold = threshold;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    copy_whole(issue->message, sizeof issue->message, text);
}

/* --------------------------------------------------------------------------- which tensors --- */
bool sc_is_weight(const struct sc_model *m, const struct sc_tensor *t, const struct sc_health *h)
{
    const struct sc_basic *b = &h->basic;
    uint32_t dtype = m->catalog->entries[t->main].dtype;

    if (t->layout == SC_LAYOUT_PLAIN) {
        enum sc_kind kind =
            dtype < SC_FOREIGN_TYPE ? sc_codec((sc_codec_id)dtype)->kind : SC_KIND_OPAQUE;
        if (kind == SC_KIND_INT || kind == SC_KIND_UINT || kind == SC_KIND_BOOL)
            return false;
    }
    /* A mask of zeros and ones, stored as floats: x^2 = x. */
    bool binary = b->min == 0 && b->max == 1 && fabs(b->rms * b->rms - b->mean) < 1e-12;
    return !binary || !(h->measured & SC_METHOD_BASIC);
}

bool sc_is_matrix(const struct sc_tensor *t)
{
    return t->rank >= 2 && t->role != SC_ROLE_NORM && t->role != SC_ROLE_BIAS &&
           t->parameters >= 1024 && t->shape[t->rank - 1] > 1;
}

/* ------------------------------------------------------------------------- without figures --- */
static void judge_state(struct sc_judge *j, size_t i)
{
    const struct sc_scanned *s = &j->tensors[i];
    struct sc_quoted q;

    if (!s->health && s->why) {
        if (s->unsupported)
            sc_judge_add(j, i, SC_RULE_UNDECODABLE, SC_INFO, NAN, NAN, "%s", s->why);
        else
            sc_judge_add(j, i, SC_RULE_UNREADABLE, SC_ERROR, NAN, NAN, "%s", s->why);
    }
    if (s->same == SC_NO_NODE)
        return;
    const struct sc_tensor *a = sc_judge_tensor(j, i), *b = sc_judge_tensor(j, s->same);
    const char *other = sc_quote(&q, sc_str(b->name, b->name_len));
    if (s->tied) {
        sc_judge_add(j, i, SC_RULE_TIED, SC_INFO, (double)a->parameters, NAN,
                     "shares its bytes with %s", other);
        return;
    }
    /* An output layer that repeats the embedding is a habit, not a mistake. */
    bool ends = (a->role == SC_ROLE_OUTPUT && b->role == SC_ROLE_EMBEDDING) ||
                (a->role == SC_ROLE_EMBEDDING && b->role == SC_ROLE_OUTPUT) || !s->health ||
                !sc_is_matrix(a);
    sc_judge_add(j, i, SC_RULE_DUPLICATE, ends ? SC_INFO : SC_WARNING, (double)a->parameters, NAN,
                 "holds the same %llu values as %s: %llu bytes stored twice",
                 (unsigned long long)a->parameters, other, (unsigned long long)a->bytes);
}

/* What opening the model found out about single tensors: strange names, broken bytes. */
static void judge_findings(struct sc_judge *j)
{
    const struct sc_catalog *c = j->model->catalog;
    struct sc_index index = {.filed = true};

    if (!c->n_findings)
        return;
    for (size_t i = 0; i < j->n && j->code >= 0; i++) {
        const struct sc_tensor *t = sc_judge_tensor(j, i);
        j->code = sc_index_put(&index, sc_hash(t->name, t->name_len), (uint32_t)i, j->e);
    }
    for (size_t f = 0; f < c->n_findings && j->code >= 0; f++) {
        const struct sc_finding *found = &c->findings[f];
        size_t probe = 0;
        if (!found->tensor || found->severity == SC_INFO)
            continue;
        uint64_t hash = sc_hash(found->tensor, strlen(found->tensor));
        for (uint32_t i; (i = sc_index_next(&index, hash, &probe)) != UINT32_MAX;) {
            const struct sc_tensor *t = sc_judge_tensor(j, i);
            if (sc_str_is(sc_str(t->name, t->name_len), found->tensor)) {
                sc_judge_add(j, i, SC_RULE_FINDING, (enum sc_severity)found->severity, NAN, NAN,
                             "%s [%s]", found->message, found->id);
                break;
            }
        }
    }
    sc_index_clear(&index);
}

/* --------------------------------------------------------------------------------- ranking --- */
/* How far from its threshold, whichever side of it is the wrong one. */
static double excess(const struct sc_issue *i)
{
    double x = i->threshold != 0 ? i->value / i->threshold : i->value;

    if (isnan(x))
        return 0;
    return x > 0 && i->threshold != 0 ? fabs(log(x)) : fabs(x);
}

static int by_rank(const void *a, const void *b)
{
    const struct sc_issue *x = a, *y = b;

    if (x->severity != y->severity)
        return x->severity > y->severity ? -1 : 1;
    if (x->rule != y->rule)
        return x->rule < y->rule ? -1 : 1;
    double p = excess(x), q = excess(y);
    if (p < q || p > q)
        return p > q ? -1 : 1;
    if (x->tensor != y->tensor)
        return x->tensor < y->tensor ? -1 : 1;
    return strcmp(x->message, y->message);
}

int sc_issues_find(const struct sc_model *m, const struct sc_scanned *tensors, size_t n,
                   struct sc_issues *out, struct sc_error *e)
{
    struct sc_judge j = {m, tensors, n, out, e, 0};

    *out = (struct sc_issues){0};
    for (size_t i = 0; i < n && j.code >= 0; i++) {
        judge_state(&j, i);
        if (!tensors[i].health || tensors[i].tied)
            continue;
        sc_judge_values(&j, i);
        sc_judge_distribution(&j, i);
        sc_judge_spectrum(&j, i);
    }
    if (j.code >= 0)
        judge_findings(&j);
    if (j.code >= 0)
        sc_judge_layers(&j);
    if (j.code < 0) {
        sc_issues_clear(out);
        return j.code;
    }
    if (out->n)
        sc_sort(out->p, out->n, sizeof *out->p, by_rank);
    return 0;
}

void sc_issues_clear(struct sc_issues *s)
{
    sc_pages_free(s->p);
    *s = (struct sc_issues){0};
}

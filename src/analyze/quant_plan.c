/* SPDX-License-Identifier: Apache-2.0 */
/* quant_plan: what is asked of `quant`.
 *
 * Owns: the words of options, defaults, which seed counts, what fits together. The keys of the
 * configuration file: quant_config.c.
 *
 * Nothing is ignored: a value that no rule allows and a goal that no tensor could miss are refused,
 * with what is allowed. */
#include "analyze/quant_plan.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const sc_algorithm_names[] = {
    [SC_ALGORITHM_NONE] = "none",
    [SC_ALGORITHM_TRANSPOSE] = "transpose",
    [SC_ALGORITHM_THRESHOLD] = "mixed-tile-threshold",
    [SC_ALGORITHM_GREEDY] = "mixed-tile-greedy",
    [SC_ALGORITHM_RANDOM] = "mixed-tile-random",
    [SC_ALGORITHM_OPTIMAL] = "optimal",
    [SC_ALGORITHM_BUDGET] = "budget",
    NULL,
};
const char *const sc_seed_sources[] = {
    [SC_SEED_UNUSED] = NULL,     [SC_SEED_DEFAULT] = "default", [SC_SEED_CONFIG] = "config",
    [SC_SEED_PARAMS] = "params", [SC_SEED_OPTION] = "option",   [SC_SEED_RANDOM] = "random",
};
const char *const sc_clustering_names[] = {"", "single", "kmeans", NULL};

enum { CLUSTERS = 10, TRIALS = 50 };
#define THRESHOLD 0.999

void sc_quant_plan_start(struct sc_quant_plan *p)
{
    *p = (struct sc_quant_plan){.clusters = CLUSTERS, .trials = TRIALS};
}

/* ---------------------------------------------------------------------------------- words --- */
/* "none, transpose or budget", of a list that ends with NULL; empty words are left out. */
static const char *list_of(const char *const *words, char text[256])
{
    size_t n = 0;

    text[0] = '\0';
    for (size_t i = 0; words[i]; i++) {
        if (!*words[i])
            continue;
        const char *between = !n ? "" : words[i + 1] ? ", " : " or ";
        n = (size_t)SC_MIN(strlen(text), (size_t)255);
        snprintf(text + n, 256 - n, "%s%s", between, words[i]);
        n = 1;
    }
    return text;
}

static int wrong_word(struct sc_error *e, const char *what, struct sc_str text, const char *allowed)
{
    struct sc_quoted q;

    return sc_fail(e, SCRUPLE_EUSAGE, "%s cannot be \"%s\": it takes %s", what, sc_quote(&q, text),
                   allowed);
}

bool sc_quant_find_word(const char *const *words, struct sc_str text, size_t *at)
{
    for (size_t i = 0; words[i]; i++)
        if (*words[i] && sc_str_eq_nocase(text, sc_strz(words[i]))) {
            *at = i;
            return true;
        }
    return false;
}

struct sc_str sc_quant_trimmed(struct sc_str s)
{
    while (s.n && (*s.p == ' ' || *s.p == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* The whole of a text as a finite number. */
static bool to_number(struct sc_str text, double *out)
{
    char copy[64], *end;

    text = sc_quant_trimmed(text);
    if (!text.n || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    for (size_t i = 0; i < text.n; i++) /* no hexadecimal, no "inf" */
        if (!strchr("0123456789+-.eE", copy[i]))
            return false;
    *out = strtod(copy, &end);
    return end == copy + text.n && isfinite(*out);
}

/* -------------------------------------------------------------------------------- formats --- */
/* wq's, in its order. */
static const char *const wq_formats[] = {"mxfp4", "nvfp4", "bf16", "bfp8", "bfp4", "bfp2", "fp0"};
/* Those that its mixes know. */
static const char *const we_formats[] = {"bfp8", "bfp8.T", "bfp4", "bfp4.T"};
static const char *const wq_mix[] = {"bf16", "bfp8", "bfp4", "bfp2"};

static int add_format(struct sc_quant_formats *out, size_t most, const struct sc_encoding *f,
                      const char *what, struct sc_error *e)
{
    for (size_t i = 0; i < out->n; i++)
        if (strcmp(out->f[i].name, f->name) == 0)
            return 0;
    if (out->n >= most)
        return sc_fail(e, SCRUPLE_EUSAGE, "%s names more than %zu formats", what, most);
    out->f[out->n++] = *f;
    return 0;
}

static int add_named(struct sc_quant_formats *out, size_t most, const char *const *names, size_t n,
                     const char *what, struct sc_error *e)
{
    struct sc_encoding f;

    for (size_t i = 0; i < n; i++) {
        TRY(sc_encoding_parse(sc_strz(names[i]), &f, e));
        TRY(add_format(out, most, &f, what, e));
    }
    return 0;
}

int sc_quant_add_wq_mix(struct sc_quant_formats *out, const char *what, struct sc_error *e)
{
    return add_named(out, SC_QUALITY_FORMATS, wq_mix, SC_COUNT(wq_mix), what, e);
}

/* A recipe is known by its name alone: everything that asks a format for more than its name asks
 * sc_quant_is_recipe() first. */
static int parse_format(struct sc_str text, struct sc_encoding *f, struct sc_error *e)
{
    struct sc_recipe r;

    if (!sc_recipe_is(text))
        return sc_encoding_parse(text, f, e);
    TRY(sc_recipe_parse(text, &r, e));
    *f = (struct sc_encoding){.scheme = SC_SCHEME_CAST, .element = SC_ELEMENT_F32, .bits = r.bits};
    memcpy(f->name, r.name, sizeof f->name);
    return 0;
}

bool sc_quant_is_recipe(const struct sc_encoding *f)
{
    return sc_recipe_is(sc_strz(f->name));
}

/* Up to the next comma, or over it where what follows is a setting of this format:
 * "int4:group=128,affine,bf16" holds two. */
static size_t format_length(struct sc_str text)
{
    struct sc_encoding f;
    size_t n = 0, best = 0;

    for (;;) {
        const char *comma = n < text.n ? memchr(text.p + n, ',', text.n - n) : NULL;
        n = comma ? (size_t)(comma - text.p) : text.n;
        if (best && parse_format(sc_quant_trimmed(sc_str(text.p, n)), &f, NULL) < 0)
            return best;
        best = n;
        if (!comma || !memchr(text.p, ':', n))
            return best;
        n++;
    }
}

static int add_list(struct sc_quant_formats *out, size_t most, struct sc_str text,
                    const char *const *all, size_t n_all, const char *what, struct sc_error *e)
{
    const bool recipes = all == wq_formats && most == SC_QUALITY_FORMATS;
    struct sc_encoding f;

    for (;;) {
        const size_t n = format_length(text);
        const struct sc_str one = sc_quant_trimmed(sc_str(text.p, n));
        if (sc_str_eq_nocase(one, SC_STR("all"))) {
            TRY(add_named(out, most, all, n_all, what, e));
        } else {
            const int code = recipes ? parse_format(one, &f, e) : sc_encoding_parse(one, &f, e);
            if (code < 0) {
                sc_error_prefix(e, "%s", what);
                return code;
            }
            TRY(add_format(out, most, &f, what, e));
        }
        if (n == text.n)
            return 0;
        text = sc_str(text.p + n + 1, text.n - n - 1);
    }
}

int sc_quant_formats_add(struct sc_quant_formats *out, size_t most, struct sc_str text,
                         const char *what, struct sc_error *e)
{
    return add_list(out, most, text, wq_formats, SC_COUNT(wq_formats), what, e);
}

int sc_quant_formats_add_tree(struct sc_quant_formats *out, size_t most, struct sc_str text,
                              const char *what, struct sc_error *e)
{
    return add_list(out, most, text, we_formats, SC_COUNT(we_formats), what, e);
}

/* ----------------------------------------------------------------------------- other words --- */
int sc_quant_algorithm(struct sc_quant_plan *p, struct sc_str text, const char *what,
                       struct sc_error *e)
{
    char allowed[256];
    size_t i;

    if (sc_str_eq_nocase(text, SC_STR("mixed-tile")))
        i = SC_ALGORITHM_GREEDY;
    else if (!sc_quant_find_word(sc_algorithm_names, text, &i))
        return wrong_word(e, what, text, list_of(sc_algorithm_names, allowed));
    p->algorithm = (uint8_t)i;
    p->has_algorithm = true;
    return 0;
}

int sc_quant_metric(struct sc_quant_plan *p, struct sc_str text, const char *what,
                    struct sc_error *e)
{
    char allowed[256];
    size_t i;

    if (sc_str_eq_nocase(text, SC_STR("sqnr")))
        i = SC_MIX_SQNR;
    else if (!sc_quant_find_word(sc_mix_metrics, text, &i))
        return wrong_word(e, what, text, list_of(sc_mix_metrics, allowed));
    p->goal.metric = (enum sc_mix_metric)i;
    p->has_metric = true;
    return 0;
}

int sc_quant_threshold(struct sc_quant_plan *p, struct sc_str text, const char *what,
                       struct sc_error *e)
{
    if (!to_number(text, &p->goal.threshold))
        return wrong_word(e, what, text, "a number");
    p->has_threshold = true;
    return 0;
}

int sc_quant_granularity(struct sc_quant_plan *p, struct sc_str text, const char *what,
                         struct sc_error *e)
{
    uint64_t group = 0;

    p->grain = SC_GRAIN_NONE;
    if (sc_str_eq_nocase(text, SC_STR("tile")))
        p->grain = SC_GRAIN_TILE;
    else if (sc_str_eq_nocase(text, SC_STR("row")))
        p->grain = SC_GRAIN_ROW;
    else if (text.n > 6 && sc_str_eq_nocase(sc_str(text.p, 5), SC_STR("group")) &&
             (text.p[5] == ':' || text.p[5] == '=') &&
             sc_str_u64(sc_str(text.p + 6, text.n - 6), &group) && group && group <= UINT32_MAX)
        p->grain = SC_GRAIN_GROUP;
    if (p->grain == SC_GRAIN_NONE)
        return wrong_word(e, what, text, "tile, row or group:N (N neighbours of a row)");
    p->group = (uint32_t)group;
    return 0;
}

int sc_quant_set_budget(struct sc_quant_plan *p, struct sc_str text, const char *what,
                        struct sc_error *e)
{
    struct sc_quant_budget b = {0};

    if (text.n > 3 && sc_str_eq_nocase(sc_str(text.p + text.n - 3, 3), SC_STR("bpw"))) {
        if (!to_number(sc_str(text.p, text.n - 3), &b.bits) || !(b.bits > 0) || b.bits > 64)
            return wrong_word(e, what, text, "more than 0 and at most 64 bits a weight: 2.5bpw");
    } else if (!sc_str_size(text, &b.bytes) || !b.bytes) {
        return wrong_word(e, what, text, "a size (4GB, 500M) or bits a weight (2.5bpw)");
    }
    p->budget = b;
    p->has_budget = true;
    return 0;
}

int sc_quant_set_seed(struct sc_quant_plan *p, struct sc_str text, const char *what,
                      struct sc_error *e)
{
    uint64_t seed = 0;
    const bool word = sc_str_eq_nocase(text, SC_STR("random"));

    if (!word && !sc_str_u64(text, &seed))
        return wrong_word(e, what, text, "a whole number, or random (0 is the same)");
    p->draw_seed = seed == 0;
    p->seed = seed;
    p->seed_source = seed ? SC_SEED_OPTION : SC_SEED_UNUSED;
    return 0;
}

/* --------------------------------------------------------------------------------- finish --- */
/* 31 random bits that are not 0, as wq draws them. */
static int draw(uint64_t *out, struct sc_error *e)
{
    uint32_t bits = 0;
    const int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    for (int i = 0; i < 16 && fd >= 0 && !bits; i++) {
        if (read(fd, &bits, sizeof bits) != sizeof bits)
            bits = 0;
        bits >>= 1;
    }
    if (fd >= 0)
        close(fd);
    *out = bits;
    return bits ? 0
                : sc_fail(e, SCRUPLE_EUNSUPPORTED,
                          "a seed cannot be drawn: /dev/urandom gives nothing; --seed names one");
}

static int settle_seed(struct sc_quant_plan *p, struct sc_error *e)
{
    if (p->algorithm != SC_ALGORITHM_GREEDY && p->algorithm != SC_ALGORITHM_RANDOM) {
        p->seed = 0;
        p->seed_source = SC_SEED_UNUSED;
        return 0;
    }
    if (p->seed_source != SC_SEED_UNUSED)
        return 0;
    if (!p->draw_seed && p->has_params_seed && p->params_seed) {
        p->seed = p->params_seed;
        p->seed_source = SC_SEED_PARAMS;
        return 0;
    }
    if (p->draw_seed || p->has_params_seed) {
        p->seed_source = SC_SEED_RANDOM;
        return draw(&p->seed, e);
    }
    p->seed = SC_SEED_OF_NOBODY;
    p->seed_source = SC_SEED_DEFAULT;
    return 0;
}

static int settle_goal(struct sc_quant_plan *p, struct sc_error *e)
{
    const struct sc_mix_goal *g = &p->goal;

    if (!p->has_threshold) {
        if (p->algorithm != SC_ALGORITHM_BUDGET && g->metric != SC_MIX_PCC)
            return sc_fail(e, SCRUPLE_EUSAGE, "a goal for %s needs a threshold: --threshold",
                           sc_mix_metrics[g->metric]);
        p->goal.threshold = g->metric == SC_MIX_PCC ? THRESHOLD : (double)NAN;
    }
    if (p->has_threshold && g->metric == SC_MIX_PCC && (g->threshold < -1 || g->threshold > 1))
        return sc_fail(e, SCRUPLE_EUSAGE, "a threshold for pcc is from -1 to 1, but is %g",
                       g->threshold);
    if (p->has_threshold && g->metric != SC_MIX_PCC && g->metric != SC_MIX_SQNR && g->threshold < 0)
        return sc_fail(e, SCRUPLE_EUSAGE, "a threshold for %s is not below 0, but is %g",
                       sc_mix_metrics[g->metric], g->threshold);
    return 0;
}

/* Of the formats tried those that wq mixes, in their order. */
static int settle_mix(struct sc_quant_plan *p, struct sc_error *e)
{
    struct sc_quant_formats four = {.n = 0};

    if (p->mix.n == 0) {
        TRY(sc_quant_add_wq_mix(&four, "", e));
        for (size_t i = 0; i < p->formats.n; i++)
            for (size_t k = 0; k < four.n; k++)
                if (strcmp(p->formats.f[i].name, four.f[k].name) == 0)
                    p->mix.f[p->mix.n++] = four.f[k];
    }
    if (p->mix.n == 0)
        return sc_fail(
            e, SCRUPLE_EUSAGE,
            "%s has no formats to mix: of those that are tried it takes bf16, bfp8, bfp4 "
            "and bfp2, and --mix names any",
            sc_algorithm_names[p->algorithm]);
    for (size_t i = 0; i < p->mix.n; i++)
        if (p->mix.f[i].other_axis)
            return sc_fail(e, SCRUPLE_EUSAGE,
                           "a mix cannot hold %s: its cells are parts of rows, not of columns",
                           p->mix.f[i].name);
    return 0;
}

int sc_quant_plan_finish(struct sc_quant_plan *p, struct sc_error *e)
{
    if (!p->has_algorithm && p->has_budget)
        p->algorithm = SC_ALGORITHM_BUDGET;
    else if (!p->has_algorithm && (p->wants_mix || p->mix.n || p->has_metric || p->has_threshold ||
                                   p->grain != SC_GRAIN_NONE))
        p->algorithm = SC_ALGORITHM_OPTIMAL;
    p->has_algorithm = true;
    if (p->formats.n == 0)
        TRY(add_named(&p->formats, SC_QUALITY_FORMATS, wq_formats, SC_COUNT(wq_formats), "", e));
    if (p->has_budget && p->algorithm != SC_ALGORITHM_BUDGET)
        return sc_fail(e, SCRUPLE_EUSAGE, "a budget belongs to the algorithm budget, not to %s",
                       sc_algorithm_names[p->algorithm]);
    if (!p->has_budget && p->algorithm == SC_ALGORITHM_BUDGET)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "the algorithm budget needs a budget: --budget 4GB or --budget 2.5bpw");
    if (p->model_wide && p->algorithm != SC_ALGORITHM_BUDGET &&
        p->algorithm != SC_ALGORITHM_OPTIMAL)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "one mix over the whole model is found by optimal and budget, not by %s",
                       sc_algorithm_names[p->algorithm]);
    TRY(settle_seed(p, e));
    if (!sc_quant_mixes(p))
        return 0;
    if (p->grain == SC_GRAIN_NONE)
        p->grain = SC_GRAIN_TILE;
    TRY(settle_goal(p, e));
    return settle_mix(p, e);
}

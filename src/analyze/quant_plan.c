/* SPDX-License-Identifier: Apache-2.0 */
/* quant_plan: what is asked of `quant`, from a configuration file and from options.
 *
 * Owns: the keys of the file (wq's and ours), the words of options, defaults, which seed counts.
 *
 * Nothing is ignored: a key that nobody knows, a value that no rule allows and a goal that no
 * tensor could miss are refused, with the path of the key and what is allowed there. */
#include "analyze/quant.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hub/cache.h"

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
static const char *const cluster_names[] = {"", "single", "kmeans", NULL};

enum { CLUSTERS = 10, TRIALS = 50, MOST_TRIALS = 1000000 };
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

static bool find_word(const char *const *words, struct sc_str text, size_t *at)
{
    for (size_t i = 0; words[i]; i++)
        if (*words[i] && sc_str_eq_nocase(text, sc_strz(words[i]))) {
            *at = i;
            return true;
        }
    return false;
}

static struct sc_str trimmed(struct sc_str s)
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

    text = trimmed(text);
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

/* Up to the next comma, or over it where what follows is a setting of this format:
 * "int4:group=128,affine,bf16" holds two. */
static size_t format_length(struct sc_str text)
{
    struct sc_encoding f;
    size_t n = 0, best = 0;

    for (;;) {
        const char *comma = n < text.n ? memchr(text.p + n, ',', text.n - n) : NULL;
        n = comma ? (size_t)(comma - text.p) : text.n;
        if (best && sc_encoding_parse(trimmed(sc_str(text.p, n)), &f, NULL) < 0)
            return best;
        best = n;
        if (!comma || !memchr(text.p, ':', n))
            return best;
        n++;
    }
}

int sc_quant_formats_add(struct sc_quant_formats *out, size_t most, struct sc_str text,
                         const char *what, struct sc_error *e)
{
    struct sc_encoding f;

    for (;;) {
        const size_t n = format_length(text);
        const struct sc_str one = trimmed(sc_str(text.p, n));
        if (sc_str_eq_nocase(one, SC_STR("all"))) {
            TRY(add_named(out, most, wq_formats, SC_COUNT(wq_formats), what, e));
        } else {
            const int code = sc_encoding_parse(one, &f, e);
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

/* ----------------------------------------------------------------------------- other words --- */
int sc_quant_algorithm(struct sc_quant_plan *p, struct sc_str text, const char *what,
                       struct sc_error *e)
{
    char allowed[256];
    size_t i;

    if (sc_str_eq_nocase(text, SC_STR("mixed-tile")))
        i = SC_ALGORITHM_GREEDY;
    else if (!find_word(sc_algorithm_names, text, &i))
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
    else if (!find_word(sc_mix_metrics, text, &i))
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

/* ----------------------------------------------------------------------------------- file --- */
struct reading {
    struct sc_quant_plan *p;
    const char *file;
    struct sc_error *e;
    struct sc_buf path; /* "config.json: params.threshold" */
    json_t *owner;      /* the object that the key is in */
};

static const char *path_of(const struct reading *r)
{
    return r->path.failed ? r->file : r->path.p;
}

static void set_path(struct reading *r, const char *inside, const char *key)
{
    struct sc_quoted file, name;

    r->path.n = 0;
    sc_buf_printf(&r->path, "%s: %s%s", sc_quote(&file, sc_strz(r->file)), inside,
                  sc_quote(&name, sc_strz(key)));
}

static int refuse(const struct reading *r, const json_t *value, const char *allowed)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    struct sc_quoted q;
    const int code = sc_fail(r->e, SCRUPLE_EUSAGE, "%s cannot be %s: it takes %s", path_of(r),
                             text ? sc_quote(&q, sc_strz(text)) : "that", allowed);
    free(text);
    return code;
}

static struct sc_str text_of(const json_t *value)
{
    return sc_str(json_string_value(value), json_string_length(value));
}

typedef int word_fn(struct sc_quant_plan *p, struct sc_str text, const char *what,
                    struct sc_error *e);

static int read_word(struct reading *r, const json_t *value, word_fn *set, const char *allowed)
{
    if (!json_is_string(value))
        return refuse(r, value, allowed);
    return set(r->p, trimmed(text_of(value)), path_of(r), r->e);
}

static int key_algorithm(struct reading *r, const json_t *value)
{
    return read_word(r, value, sc_quant_algorithm, "the name of an algorithm");
}

static int key_metric(struct reading *r, const json_t *value)
{
    return read_word(r, value, sc_quant_metric, "the name of a metric");
}

static int key_granularity(struct reading *r, const json_t *value)
{
    return read_word(r, value, sc_quant_granularity, "tile, row or group:N");
}

static int key_threshold(struct reading *r, const json_t *value)
{
    const double v = json_is_number(value) ? json_number_value(value) : (double)NAN;

    if (!isfinite(v))
        return refuse(r, value, "a number");
    r->p->goal.threshold = v;
    r->p->has_threshold = true;
    return 0;
}

/* "a,b" or ["a", "b"]; nothing of either is as if the key were not there. */
static int read_formats(struct reading *r, const json_t *value, struct sc_quant_formats *out,
                        size_t most)
{
    size_t i;
    json_t *one;

    out->n = 0;
    if (json_is_null(value) || (json_is_string(value) && !json_string_length(value)))
        return 0;
    if (json_is_string(value))
        return sc_quant_formats_add(out, most, text_of(value), path_of(r), r->e);
    if (!json_is_array(value))
        return refuse(r, value, "a list of formats, or text with commas between them");
    json_array_foreach(value, i, one)
    {
        if (!json_is_string(one))
            return refuse(r, one, "formats as text");
        TRY(sc_quant_formats_add(out, most, text_of(one), path_of(r), r->e));
    }
    return 0;
}

static int key_formats(struct reading *r, const json_t *value)
{
    return read_formats(r, value, &r->p->formats, SC_QUALITY_FORMATS);
}

static int key_mix_formats(struct reading *r, const json_t *value)
{
    return read_formats(r, value, &r->p->mix, SC_QUANT_MIX);
}

/* wq's: only its four. */
static int key_tile_formats(struct reading *r, const json_t *value)
{
    struct sc_quant_formats four = {.n = 0};

    TRY(read_formats(r, value, &r->p->mix, SC_QUANT_MIX));
    TRY(add_named(&four, SC_QUALITY_FORMATS, wq_mix, SC_COUNT(wq_mix), path_of(r), r->e));
    for (size_t i = 0; i < r->p->mix.n; i++) {
        bool known = false;
        for (size_t k = 0; k < four.n; k++)
            known = known || strcmp(four.f[k].name, r->p->mix.f[i].name) == 0;
        if (!known)
            return refuse(r, value, "bf16, bfp8, bfp4 and bfp2 (mix_formats takes any format)");
    }
    return 0;
}

static int key_seed(struct reading *r, const json_t *value)
{
    struct sc_quant_plan *p = r->p;

    if (json_is_null(value))
        return 0;
    if (json_is_string(value) && sc_str_eq_nocase(trimmed(text_of(value)), SC_STR("random"))) {
        p->draw_seed = true;
    } else if (json_is_integer(value) && json_integer_value(value) >= 0) {
        p->seed = (uint64_t)json_integer_value(value);
        p->draw_seed = p->draw_seed || !p->seed;
        p->seed_source = p->seed ? SC_SEED_CONFIG : SC_SEED_UNUSED;
    } else {
        return refuse(r, value, "a whole number from 0 on, or \"random\" (0 is the same)");
    }
    return 0;
}

static int key_random_seed(struct reading *r, const json_t *value)
{
    if (!json_is_boolean(value))
        return refuse(r, value, "true or false");
    r->p->draw_seed = r->p->draw_seed || json_is_true(value);
    return 0;
}

static int key_params_seed(struct reading *r, const json_t *value)
{
    if (json_is_null(value))
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return refuse(r, value, "a whole number; 0: drawn anew each time");
    r->p->has_params_seed = true;
    r->p->params_seed = (uint64_t)json_integer_value(value);
    return 0;
}

static int key_cluster(struct reading *r, const json_t *value)
{
    size_t i;

    if (!json_is_string(value) || !find_word(cluster_names, trimmed(text_of(value)), &i))
        return refuse(r, value, "single or kmeans");
    r->p->cluster = (uint8_t)i;
    return 0;
}

static int read_count(struct reading *r, const json_t *value, uint64_t most, uint64_t *out)
{
    char allowed[80];

    if (json_is_integer(value) && json_integer_value(value) >= 1 &&
        (uint64_t)json_integer_value(value) <= most) {
        *out = (uint64_t)json_integer_value(value);
        return 0;
    }
    snprintf(allowed, sizeof allowed, "a whole number from 1 to %llu", (unsigned long long)most);
    return refuse(r, value, allowed);
}

static int key_k(struct reading *r, const json_t *value)
{
    return read_count(r, value, UINT32_MAX, &r->p->clusters);
}

static int key_iters(struct reading *r, const json_t *value)
{
    return read_count(r, value, MOST_TRIALS, &r->p->trials);
}

static int key_budget(struct reading *r, const json_t *value)
{
    if (json_is_integer(value) && json_integer_value(value) > 0) {
        r->p->budget = (struct sc_quant_budget){.bytes = (uint64_t)json_integer_value(value)};
        r->p->has_budget = true;
        return 0;
    }
    return read_word(r, value, sc_quant_set_budget, "bytes, \"4GB\" or \"2.5bpw\"");
}

static int key_model_wide(struct reading *r, const json_t *value)
{
    if (!json_is_boolean(value))
        return refuse(r, value, "true or false");
    r->p->model_wide = json_is_true(value);
    return 0;
}

/* What we or wq write down beside a configuration. */
static int key_note(struct reading *r, const json_t *value)
{
    return json_is_string(value) || json_is_null(value) ? 0 : refuse(r, value, "text");
}

static int key_params(struct reading *r, const json_t *value);

struct key {
    const char *name;
    int (*read)(struct reading *r, const json_t *value);
};
static const struct key top_keys[] = {
    {"algorithm", key_algorithm},
    {"params", key_params},
    {"quantization_formats", key_formats},
    {"seed", key_seed},
    {"random_seed", key_random_seed},
    {"mix_formats", key_mix_formats},
    {"granularity", key_granularity},
    {"budget", key_budget},
    {"model_wide", key_model_wide},
    {"seed_source", key_note},
    {"generator", key_note},
};
static const struct key params_keys[] = {
    {"formats", key_tile_formats},
    {"tile_formats", key_tile_formats},
    {"metric", key_metric},
    {"threshold", key_threshold},
    {"cluster", key_cluster},
    {"k", key_k},
    {"iters", key_iters},
    {"seed", key_params_seed},
    {"mix_formats", key_mix_formats},
    {"granularity", key_granularity},
    {"budget", key_budget},
    {"model_wide", key_model_wide},
};

static int read_keys(struct reading *r, json_t *object, const char *inside, const struct key *keys,
                     size_t n)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        struct sc_buf allowed = {0};
        const struct key *k = NULL;
        set_path(r, inside, key);
        for (size_t i = 0; i < n; i++) {
            k = strcmp(keys[i].name, key) == 0 ? &keys[i] : k;
            sc_buf_printf(&allowed, "%s%s", !i ? "" : i + 1 < n ? ", " : " and ", keys[i].name);
        }
        int code =
            k ? k->read(r, value)
              : sc_fail(r->e, SCRUPLE_EUSAGE, "%s is no key of a configuration: there are %s",
                        path_of(r), allowed.failed ? "others" : allowed.p);
        sc_buf_clear(&allowed);
        TRY(code);
    }
    return 0;
}

static int key_params(struct reading *r, const json_t *value)
{
    if (json_is_null(value))
        return 0;
    if (!json_is_object(value))
        return refuse(r, value, "an object, or null");
    /* Read only: jansson iterates over what is not const. */
    return read_keys(r, json_object_get(r->owner, "params"), "params.", params_keys,
                     SC_COUNT(params_keys));
}

int sc_quant_plan_parse(struct sc_quant_plan *p, const char *text, size_t n, const char *path,
                        struct sc_error *e)
{
    struct reading r = {.p = p, .file = path, .e = e};
    struct sc_quoted q, why;
    json_error_t at = {.line = 0};

    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &at);
    if (!root)
        return sc_fail(e, SCRUPLE_EUSAGE, "%s: is not JSON: %s (line %d, column %d)",
                       sc_quote(&q, sc_strz(path)), sc_quote(&why, sc_strz(at.text)), at.line,
                       at.column);
    r.owner = root;
    int code = json_is_object(root) ? read_keys(&r, root, "", top_keys, SC_COUNT(top_keys))
                                    : sc_fail(e, SCRUPLE_EUSAGE,
                                              "%s: a configuration is an object: {\"algorithm\": "
                                              "...}",
                                              sc_quote(&q, sc_strz(path)));
    json_decref(root);
    sc_buf_clear(&r.path);
    return code;
}

int sc_quant_plan_read(struct sc_quant_plan *p, const char *path, struct sc_error *e)
{
    struct sc_source *s = NULL;
    struct sc_quoted q;

    TRY(sc_file_open(path, &(struct sc_file_options){.no_map = true}, &s, e));
    const uint64_t n = s->size;
    int code = n <= SC_MAX_CONFIG_BYTES
                   ? 0
                   : sc_fail(e, SCRUPLE_ELIMIT, "%s: has %llu bytes, a configuration at most %llu",
                             sc_quote(&q, sc_strz(path)), (unsigned long long)n,
                             (unsigned long long)SC_MAX_CONFIG_BYTES);
    char *text = code < 0 ? NULL : sc_alloc((size_t)n + 1);
    if (code == 0 && !text)
        code = sc_fail_memory(e);
    if (code == 0)
        code = sc_source_read(s, 0, text, (size_t)n, e);
    sc_source_close(s);
    if (code == 0)
        code = sc_quant_plan_parse(p, text, (size_t)n, path, e);
    free(text);
    return code;
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
        TRY(add_named(&four, SC_QUALITY_FORMATS, wq_mix, SC_COUNT(wq_mix), "", e));
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

/* ---------------------------------------------------------------------------------- write --- */
static json_t *names_of(const struct sc_quant_formats *f)
{
    json_t *list = json_array();

    for (size_t i = 0; i < f->n; i++)
        json_array_append_new(list, json_string(f->f[i].name));
    return list;
}

static json_t *grain_of(const struct sc_quant_plan *p)
{
    if (p->grain == SC_GRAIN_GROUP)
        return json_sprintf("group:%lu", (unsigned long)p->group);
    return json_string(p->grain == SC_GRAIN_ROW ? "row" : "tile");
}

/* Whether so many digits give the number back. */
static bool tells(double v, size_t digits)
{
    char text[64];

    snprintf(text, sizeof text, "%.*g", (int)digits, v);
    const double again = strtod(text, NULL);
    return isnan(v) || !(again < v || again > v);
}

static json_t *bits_of(const struct sc_quant_plan *p)
{
    int digits = 1;

    while (digits < 17 && !tells(p->budget.bits, (size_t)digits))
        digits++;
    return json_sprintf("%.*gbpw", digits, p->budget.bits);
}

static json_t *params_of(const struct sc_quant_plan *p)
{
    json_t *o = json_object();

    json_object_set_new(o, "mix_formats", names_of(&p->mix));
    json_object_set_new(o, "metric", json_string(sc_mix_metrics[p->goal.metric]));
    if (isfinite(p->goal.threshold))
        json_object_set_new(o, "threshold", json_real(p->goal.threshold));
    json_object_set_new(o, "granularity", grain_of(p));
    if (p->has_budget && p->budget.bits > 0)
        json_object_set_new(o, "budget", bits_of(p));
    else if (p->has_budget)
        json_object_set_new(o, "budget", json_integer((json_int_t)p->budget.bytes));
    if (p->model_wide)
        json_object_set_new(o, "model_wide", json_true());
    if (p->algorithm == SC_ALGORITHM_GREEDY && p->cluster) {
        json_object_set_new(o, "cluster", json_string(cluster_names[p->cluster]));
        json_object_set_new(o, "k", json_integer((json_int_t)p->clusters));
    }
    if (p->algorithm == SC_ALGORITHM_RANDOM)
        json_object_set_new(o, "iters", json_integer((json_int_t)p->trials));
    return o;
}

void sc_quant_plan_write(const struct sc_quant_plan *p, struct sc_buf *out)
{
    json_t *o = json_object();

    json_object_set_new(o, "algorithm", json_string(sc_algorithm_names[p->algorithm]));
    json_object_set_new(o, "quantization_formats", names_of(&p->formats));
    json_object_set_new(o, "params", sc_quant_mixes(p) ? params_of(p) : json_object());
    if (p->seed_source != SC_SEED_UNUSED) {
        json_object_set_new(o, "seed", json_integer((json_int_t)p->seed));
        json_object_set_new(o, "seed_source", json_string(sc_seed_sources[p->seed_source]));
        json_object_set_new(o, "generator", json_string(SC_GENERATOR));
    }
    size_t digits = 15; /* as few as tell the numbers apart */
    while (digits < 17 && !(tells(p->goal.threshold, digits) && tells(p->budget.bits, digits)))
        digits++;
    char *text = json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(digits));
    json_decref(o);
    if (text)
        sc_buf_puts(out, text);
    else
        out->failed = true;
    sc_buf_putc(out, '\n');
    free(text);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* quant_config: a plan as a configuration file, read and written.
 *
 * Owns: the keys of the file, wq's and ours. A key that nobody knows and a value that no rule
 * allows are refused, with the path of the key and what is allowed there. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quant_plan.h"

/* ----------------------------------------------------------------------------------- read --- */
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
    return set(r->p, sc_quant_trimmed(text_of(value)), path_of(r), r->e);
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
    TRY(sc_quant_add_wq_mix(&four, path_of(r), r->e));
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
    if (json_is_string(value) &&
        sc_str_eq_nocase(sc_quant_trimmed(text_of(value)), SC_STR("random"))) {
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

    if (!json_is_string(value) ||
        !sc_quant_find_word(sc_clustering_names, sc_quant_trimmed(text_of(value)), &i))
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
    return read_count(r, value, SC_QUANT_MOST_TRIALS, &r->p->trials);
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
        json_object_set_new(o, "cluster", json_string(sc_clustering_names[p->cluster]));
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

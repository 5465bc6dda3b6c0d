/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_diff: what changed between checkpoints?
 *
 *     A  /models/base (local) - 1 file, 201 tensors, 988.1 MB, 494.0M parameters
 *     B  /models/tuned (local) - 1 file, 201 tensors, 988.1 MB, 494.0M parameters
 *     ≠ 92 of 201 tensors changed; relative change 0.013
 *
 * Owns: which MODEL is compared with which (a declared base, an adapter, checkpoints in order),
 * what a terminal shows, the exit code. Does not own: figures and tables (analyze). */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff.h"
#include "cli/cli.h"
#include "cli/declared_base.h"
#include "cli/diff_maps.h"
#include "cli/diff_text.h"
#include "cli/drawing.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

enum { MAX_MODELS = 256 };

static const struct sc_option diff_options[] = {
    {"model", 'm', SC_OPTION_LIST, SC_COMPLETE_PATH, FIELD(models), "MODEL", NULL,
     "name a model; all other words are filters then (once for each)"},
    {"methods", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(methods), "LIST", NULL,
     "what to measure: basic (the default), spectral, too (singular values of the differences; an "
     "adapter's are always measured), ulp (how many representable numbers lie in between), or all"},
    {"top", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(top), "N", NULL,
     "show the N tensors that changed most (default: 10)"},
    {"by", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(by), "LIST", NULL,
     "rank by tensor, layer or role: the N of --top that changed most of each"},
    {"cast", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(cast), "LIST", NULL,
     "also say whether rounding to one of these formats explains a change: bf16, fp8, q4_0, ... "
     "(of the two stored types it is always said; none: of nothing)"},
    {"finetune", 0, SC_OPTION_FLAG, 0, FIELD(finetune), NULL, NULL,
     "take B for a fine-tune of A: it keeps names and shapes (default: when its card names A)"},
    {"no-finetune", 0, SC_OPTION_FLAG, 0, FIELD(no_finetune), NULL, NULL,
     "do not, whatever the card says"},
    {"strict", 0, SC_OPTION_FLAG, 0, FIELD(strict), NULL, NULL,
     "fail (exit code 3) when a fine-tune has other names or shapes than its base"},
    {"no-files", 0, SC_OPTION_FLAG, 0, FIELD(no_files), NULL, NULL,
     "compare tensors only: no configurations, tokenizers and other files"},
    {"no-base", 0, SC_OPTION_FLAG, 0, FIELD(no_base), NULL, NULL,
     "of an adapter by itself: do not look for the model it was made for"},
    {"full", 0, SC_OPTION_FLAG, 0, FIELD(full), NULL, NULL,
     "JSON: spectra, too, of which pictures are made"},
    {"compat", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(compat), "PROGRAM", NULL,
     "print the JSON document that PROGRAM would print: weightscope"},
    {"no-cache", 0, SC_OPTION_FLAG, 0, FIELD(no_cache), NULL, NULL,
     "compare everything anew, and keep nothing for the next time"},
    {"lenient", 0, SC_OPTION_FLAG, 0, FIELD(lenient), NULL, NULL,
     "compare what is sound of a broken model"},
    {"out", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(out_dir), "DIR", NULL,
     "also write pictures of what changed, as scruple view --diff shows them (of more than two "
     "MODELs: maps of each step), into a folder that any web server can offer, or into one page "
     "when the name ends in .html"},
    SC_EXPORT_OPTIONS,
};

static const struct sc_example diff_examples[] = {
    {"scruple diff base tuned", "what fine-tuning changed, and where"},
    {"scruple diff base tuned layers.3-7 --top 30", "some layers, in more detail"},
    {"scruple diff model.safetensors model.gguf", "what a conversion cost"},
    {"scruple diff base adapter", "what a LoRA adapter adds to each weight"},
    {"scruple diff org/tuned", "against the base that its model card names"},
    {"scruple diff step1000 step2000 step3000", "how training went on"},
    {"scruple diff base tuned --out changes.html", "pictures of it, too, in one page"},
    {"scruple diff a b -q && echo same", "for a script: the exit code tells"},
    {NULL, NULL},
};

enum form { FORM_TEXT, FORM_JSON, FORM_CSV, FORM_WEIGHTSCOPE };
struct diffing {
    struct sc_cli *c;
    enum form form;
    unsigned methods; /* 0: as is good for what is compared */
    struct sc_filter *filter;
    const struct sc_words *filters;
    struct sc_pool *pool;
    struct sc_hub_env env;
    struct sc_model **models; /* (n) */
    size_t n;
    struct sc_adapter *adapter;
    struct sc_casts casts;
    unsigned by;                      /* 1 << enum sc_diff_table; 0: not asked for */
    bool finetune, declared_finetune; /* declared: the base that the card names was opened */
    const char *finetune_base, *declared;
};

/* ---------------------------------------------------------------------------- other forms --- */
static int put_diff(struct diffing *x, const struct sc_diff *d, struct sc_error *e)
{
    struct sc_cli *c = x->c;
    struct sc_document doc = {.root = {.kind = SC_FIELD_OBJECT}};
    int code = 0;

    if (x->form == FORM_TEXT)
        return c->set.quiet ? 0 : sc_put_diff(c, d, x->by, e);
    if (x->form != FORM_WEIGHTSCOPE)
        sc_document_start(&doc, SC_SCHEMA_DIFF);
    code = x->form == FORM_WEIGHTSCOPE
               ? sc_diff_weightscope(&doc, &doc.root, d, e)
               : sc_analyze_diff(&doc, &doc.root, d, sc_diff_top(c), c->set.full, e);
    if (code == 0 && x->form == FORM_CSV)
        sc_report_csv(&c->out, sc_find_table(&doc.root, "pairs"));
    else if (code == 0)
        sc_report_json(&c->out, &doc);
    sc_document_clear(&doc);
    return code;
}

static int put_steps(struct diffing *x, const struct sc_evolution *v, struct sc_error *e)
{
    struct sc_cli *c = x->c;
    struct sc_document doc;

    if (x->form == FORM_TEXT)
        return c->set.quiet ? 0 : sc_put_evolution(c, v, e);
    sc_document_start(&doc, SC_SCHEMA_EVOLUTION);
    const int code = sc_analyze_evolution(&doc, &doc.root, v, e);
    if (code == 0 && x->form == FORM_CSV)
        sc_report_csv(&c->out, sc_find_table(&doc.root, "tensors"));
    else if (code == 0)
        sc_report_json(&c->out, &doc);
    sc_document_clear(&doc);
    return code;
}

/* -------------------------------------------------------------------------------- opening --- */
static void show(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    (void)ctx;
    sc_progress_show(
        &(struct sc_progress){.done = done, .total = total, .moved = done, .what = tensor});
}

static void tell(void *ctx, const char *sentence)
{
    const struct diffing *x = ctx;

    if (!x->c->set.quiet)
        sc_say(x->c, "note", "%s", sentence);
}

static struct sc_open_options options_of(struct diffing *x)
{
    struct sc_open_options o = sc_cli_open_options(x->c);

    o.keep_repo = true;
    return o;
}

/* One MODEL was given: its base comes first. 0, or an exit code. */
static int open_base(struct diffing *x)
{
    struct sc_declared_base base;
    const int status =
        sc_declared_base_open(x->c, x->models[0], x->adapter != NULL, x->filters, &base);

    if (status || !base.model)
        return status;
    x->declared = base.name;
    x->declared_finetune = base.finetune;
    x->models[1] = x->models[0];
    x->models[0] = base.model;
    x->n = 2;
    return 0;
}

/* 0, or an exit code after the error was printed. */
static int open_all(struct diffing *x, const char *const *paths)
{
    struct sc_cli *c = x->c;
    struct sc_open_options o = options_of(x);
    struct sc_error e = {0};
    struct sc_quoted q;
    int status = 0;

    for (size_t i = 0; i < x->n && !status; i++) {
        o.facts = x->n <= 2 && i == x->n - 1; /* the card names the base */
        status = sc_cli_open_with(c, paths[i], &o, &x->models[i]);
    }
    if (status || x->n > 2)
        return status;
    if (sc_adapter_open(x->models[x->n - 1], &x->adapter, &e) < 0)
        return sc_fail_exit(c, &e);
    if (x->n == 1)
        return open_base(x);
    struct sc_adapter *first = NULL;
    if (sc_adapter_open(x->models[0], &first, &e) < 0)
        return sc_fail_exit(c, &e);
    if (first && !x->adapter) {
        status = sc_wrong_use(c, "%s is an adapter: name the model that it changes before it",
                              sc_quote(&q, sc_strz(paths[0])));
    } else if (first) { /* two adapters are compared as they are stored */
        sc_adapter_free(x->adapter);
        x->adapter = NULL;
    }
    sc_adapter_free(first);
    return status;
}

/* -------------------------------------------------------------------------------- running --- */
static struct sc_diff_options diff_options_of(struct diffing *x)
{
    const struct sc_settings *set = &x->c->set;

    return (struct sc_diff_options){
        .methods = x->methods   ? x->methods
                   : x->adapter ? SC_METHOD_BASIC | SC_METHOD_SPECTRAL
                                : SC_METHOD_BASIC,
        .filter = x->filter,
        .casts = &x->casts,
        .casts_text = set->cast,
        .finetune = x->finetune,
        .finetune_base = x->finetune_base,
        .pool = x->pool,
        .memory = sc_memory_budget(set->memory),
        .cache = set->no_cache ? NULL : x->env.cache,
        .cancel = &sc_cancel,
        .progress = show,
        .note = tell,
        .ctx = x,
    };
}

/* The exit code after an error. */
static int stopped(struct diffing *x, int code, const struct sc_error *e)
{
    if (code == SCRUPLE_EINTERRUPTED && !x->c->set.no_cache && x->env.cache)
        tell(x, "what was compared is kept: the next diff goes on from there");
    return sc_fail_exit(x->c, e);
}

static int exit_of(const struct diffing *x, size_t n, bool identical, bool differs)
{
    if (x->filter && !n)
        return SC_EXIT_FINDINGS;
    return identical ? SC_EXIT_OK : differs ? SC_EXIT_FINDINGS : SC_EXIT_INPUT;
}

static void tell_known(const struct diffing *x, const struct sc_diff *d, double seconds)
{
    char size[32];

    if (!x->c->set.verbose)
        return;
    sc_format_bytes(d->bytes_read, size);
    sc_say(x->c, "note",
           "%llu tensors compared, %zu of them known from an earlier diff; %s read in "
           "%.1f s",
           (unsigned long long)d->sums.tensors, d->n_known, size, seconds);
}

/* What the card of B says, unless somebody knows better. */
static void settle_finetune(struct diffing *x)
{
    const struct sc_settings *set = &x->c->set;
    const bool said =
        x->n == 2 && !x->adapter && sc_is_finetune(x->models[0], x->models[1], &x->finetune_base);

    x->finetune = x->n == 2 && !x->adapter && !set->no_finetune &&
                  (set->finetune || said || x->declared_finetune);
    if (!x->finetune_base && x->declared_finetune)
        x->finetune_base = x->declared;
}

/* Also after the results were printed. */
static int exit_of_finetune(struct diffing *x, const struct sc_diff *d, int status)
{
    const size_t n = sc_diff_violations(d);

    if (!d->finetune || !x->c->set.strict || !n || status == SC_EXIT_INPUT)
        return status;
    sc_say(x->c, "error",
           "a fine-tune keeps the names and shapes of its base, but %zu tensor%s not", n,
           n == 1 ? " does" : "s do");
    return SC_EXIT_INPUT;
}

/* Of whole models, when somebody sees it. */
static bool wants_files(const struct diffing *x)
{
    return x->n == 2 && !x->adapter && !x->filter && !x->c->set.no_files && !x->c->set.quiet &&
           (x->form == FORM_TEXT || x->form == FORM_JSON);
}

/* The page of --out; the diff is the view's from here on. 0, or an exit code. */
static int put_pictures(struct diffing *x, struct sc_diff **d)
{
    struct sc_display display = {
        .desk = {.c = x->c, .filters = *x->filters, .filter = x->filter, .pool = x->pool}};
    struct sc_changes *changes = &display.changes;

    display.desk.env = x->env;
    const struct sc_sides of = {.a = x->n == 2 ? x->models[0] : NULL,
                                .b = x->models[x->n - 1],
                                .adapter = x->adapter,
                                .declared_finetune = x->declared_finetune};
    int status = sc_changes_open(changes, &display.desk, &of,
                                 sc_memory_budget(x->c->set.memory) / 2, UINT64_MAX);
    if (!status) {
        sc_difference_view_take(&changes->view, *d);
        *d = NULL;
        display.views[display.n_views++] = sc_web_view_of_differences(&changes->view);
        status = sc_display_export(&display);
    }
    sc_changes_close(changes); /* what is of the desk is not the display's */
    return status;
}

static int run_two(struct diffing *x)
{
    settle_finetune(x);
    const struct sc_diff_options o = diff_options_of(x);
    struct sc_diff *d = NULL;
    struct sc_error e = {0};

    if (x->adapter && x->adapter->note)
        tell(x, x->adapter->note);
    sc_progress_start(x->c, x->env.progress_bars);
    int code =
        sc_diff_run(x->n == 2 ? x->models[0] : NULL, x->models[x->n - 1], x->adapter, &o, &d, &e);
    const double seconds = sc_progress_end();
    struct sc_files_diff files = {0};
    if (code == 0 && wants_files(x)) {
        code = sc_files_diff(x->models[0], x->models[1], &sc_cancel, &files, &e);
        d->files = &files;
    }
    int status = code < 0 ? stopped(x, code, &e) : 0;
    if (!status) {
        tell_known(x, d, seconds);
        if (x->filter && !d->n)
            sc_say_no_match(x->c, x->models[0], x->filters->p, x->filters->n);
        if (put_diff(x, d, &e) < 0)
            status = sc_fail_exit(x->c, &e);
        else
            status =
                exit_of_finetune(x, d, exit_of(x, d->n, sc_diff_identical(d), sc_diff_differs(d)));
        if (x->c->set.out_dir && d->n && status != SC_EXIT_INPUT) {
            const int wrote = put_pictures(x, &d);
            status = wrote ? wrote : status;
        }
    }
    sc_diff_free(d);
    sc_files_diff_clear(&files);
    return status;
}

static int run_steps(struct diffing *x)
{
    const struct sc_diff_options o = diff_options_of(x);
    struct sc_evolution *v = NULL;
    struct sc_error e = {0};

    sc_progress_start(x->c, x->env.progress_bars);
    const int code = sc_evolution_run((const struct sc_model *const *)x->models, x->n, &o, &v, &e);
    sc_progress_end();
    int status = code < 0 ? stopped(x, code, &e) : 0;
    if (!status && x->filter && !v->n)
        sc_say_no_match(x->c, x->models[0], x->filters->p, x->filters->n);
    if (!status && put_steps(x, v, &e) < 0)
        status = sc_fail_exit(x->c, &e);
    else if (!status) {
        bool any = false;
        for (size_t i = 0; i < v->n_steps; i++)
            any = any || sc_diff_differs(v->steps[i]);
        status = exit_of(x, v->n, sc_evolution_identical(v), any);
        if (x->c->set.out_dir && v->n) {
            const int wrote = sc_view_evolution(x->c, v);
            status = wrote ? wrote : status;
        }
    }
    sc_evolution_free(v);
    return status;
}

static bool ends_in(const char *path, const char *suffix)
{
    return path && sc_str_ends(sc_strz(path), suffix);
}

static int read_by(struct diffing *x, const char *text)
{
    static const struct {
        const char *word;
        enum sc_diff_table table;
    } words[] = {
        {"tensor", SC_DIFF_MOST}, {"layer", SC_DIFF_RANKED_LAYERS}, {"role", SC_DIFF_RANKED_ROLES}};
    struct sc_quoted q;

    for (const char *p = text;; p++) {
        const size_t n = strcspn(p, ",");
        const unsigned before = x->by;
        for (size_t i = 0; i < SC_COUNT(words); i++)
            if (sc_str_is(sc_str(p, n), words[i].word))
                x->by |= 1u << words[i].table;
        if (x->by == before)
            return sc_wrong_use(x->c, "--by cannot be \"%s\": it takes tensor, layer, role",
                                sc_quote(&q, sc_str(p, n)));
        p += n;
        if (!*p)
            return 0;
    }
}

/* What the options ask for. 0 or an exit code. */
static int read_settings(struct diffing *x)
{
    const struct sc_settings *set = &x->c->set;
    struct sc_error e = {0};

    if (set->methods && sc_diff_methods_parse(set->methods, &x->methods, &e) < 0)
        return sc_usage_exit(x->c, &e);
    if (set->cast && sc_casts_parse(set->cast, &x->casts, &e) < 0)
        return sc_usage_exit(x->c, &e);
    if (set->by && read_by(x, set->by))
        return SC_EXIT_USAGE;
    if (set->finetune && set->no_finetune)
        return sc_wrong_use(x->c, "--finetune and --no-finetune cannot both be given");
    if (set->compat && strcmp(set->compat, "weightscope") != 0)
        return sc_wrong_use(x->c, "--compat cannot be \"%s\": it takes weightscope", set->compat);
    if (set->compat && x->n > 2)
        return sc_wrong_use(x->c, "--compat compares two models, but %zu are given", x->n);
    if (x->n > MAX_MODELS)
        return sc_wrong_use(x->c, "diff takes at most %d models, but %zu are given", MAX_MODELS,
                            x->n);
    x->form = set->compat                     ? FORM_WEIGHTSCOPE
              : set->json                     ? FORM_JSON
              : set->csv                      ? FORM_CSV
              : ends_in(set->output, ".json") ? FORM_JSON
              : ends_in(set->output, ".csv")  ? FORM_CSV
                                              : FORM_TEXT;
    return 0;
}

static int run_diff(struct sc_cli *c)
{
    struct diffing x = {.c = c};
    const char *const *paths = NULL;
    struct sc_words filters = {0};
    struct sc_error e = {0};
    int status = 0;

    int code = sc_cli_operands(c, &paths, &x.n, &filters, &e);
    c->several = x.n > 1;
    if (code < 0)
        status = sc_fail_exit(c, &e);
    else if (!x.n)
        status = sc_wrong_use(c, "diff: MODEL is missing");
    else
        status = read_settings(&x);
    if (!status && filters.n && sc_filter_new(filters.p, filters.n, &x.filter, &e) < 0)
        status = sc_usage_exit(c, &e);
    x.filters = &filters;
    const struct sc_open_options oo = sc_cli_open_options(c);
    if (!status && sc_hub_env_read(&x.env, oo.hub, &e) < 0)
        status = sc_usage_exit(c, &e);
    x.models = sc_calloc(x.n + 2, sizeof(struct sc_model *));
    if (!status && !x.models)
        status = sc_fail_memory(&e) < 0 ? sc_fail_exit(c, &e) : 0;
    if (!status && sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &x.pool, &e) < 0)
        status = sc_fail_exit(c, &e);
    if (!status)
        status = open_all(&x, paths);
    if (!status)
        status = x.n > 2 ? run_steps(&x) : run_two(&x);
    sc_adapter_free(x.adapter);
    for (size_t i = 0; x.models && i < x.n; i++)
        sc_model_close(x.models[i]);
    free(x.models);
    sc_pool_free(x.pool);
    sc_hub_env_clear(&x.env);
    sc_filter_free(x.filter);
    sc_words_clear(&filters);
    return status;
}

const struct sc_command sc_cmd_diff = {
    .name = "diff",
    .summary = "compare checkpoints: which weights changed, and how much",
    .usage = "A [B...] [FILTER...]",
    .description =
        "Compares two models value by value, in any two formats: names are matched across "
        "containers and wrappers, quantised weights are compared as what they mean, weights that "
        "are stored once are compared once. What llama.cpp's converter does to weights is undone, "
        "so that a GGUF is compared with what it was made from, and of each change it is said "
        "whether it is the rounding to another type. Differences are B minus A. The output begins "
        "with a "
        "sentence; then come the kinds of weights with their change along the layers, the tensors "
        "that changed most by ||B - A|| / ||A||, and what only one of them has. Every figure is "
        "explained in docs/metrics.md.\n\n"
        "When B is a LoRA adapter (of PEFT, or kohya's scripts), each weight is compared with "
        "itself plus its update, which is never formed as a whole. With one MODEL, it is compared "
        "with the base that its adapter_config.json or its model card names. With more than two, "
        "each is compared with the next: what froze, what jumped.\n\n"
        "Models and filters are told apart as by scruple tree.\n\n"
        "With --out pictures of what changed are written, too: the page that scruple view --diff "
        "shows.\n\n"
        "Figures are kept, by the content of both sides, so that a diff that was interrupted goes "
        "on. They are the same bits for any number of threads and any processor. The suffix of "
        "--output chooses the form: .json or .csv; else it is what a terminal shows.\n\n"
        "The exit code is 0 when all values are the same, and 1 when something differs or nothing "
        "matches the filter, and 3 with --strict when a fine-tune has other names or shapes than "
        "its base. With --quiet it is all there is.",
    .options = diff_options,
    .n_options = SC_COUNT(diff_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_CSV | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = diff_examples,
    .run = run_diff,
};

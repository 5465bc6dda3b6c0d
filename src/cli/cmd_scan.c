/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_scan: are these weights healthy?
 *
 *     /models/tiny (local) - 1 file, 61 tensors, 336.5 KB, 184.2K parameters
 *     ✗ 1 error and 2 warnings in 3 of 61 tensors
 *
 *     ✗ nan  model.layers.3.mlp.down_proj.weight
 *         3 NaN among 4,096 values, the first at row 2, column 17; sound weights have none
 *
 * Owns: what a terminal shows of a scan, the exit code, where the other forms go (JSON, CSV,
 * SQLite, a page, pictures, WeightScope's layout, Spectrum's list). Does not own: figures, verdicts
 * and their sentences (analyze).
 */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/scan.h"
#include "cli/cli.h"
#include "cli/scan_pyramids.h"
#include "hub/cache.h"
#include "report/html.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const char *const fail_words[] = {"never", "info", "warning", "error", NULL};
static const char *const snr_words[] = {"spectrum", "mp", NULL};

static const struct sc_option scan_options[] = {
    {"model", 'm', SC_OPTION_LIST, SC_COMPLETE_PATH, FIELD(models), "MODEL", NULL,
     "name a model; all other words are filters then (may be repeated)"},
    {"methods", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(methods), "LIST", NULL,
     "what to measure: basic, sparsity, quantization, spectral or all, with commas between "
     "(default: all but spectral)"},
    {"bits", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(bits), "N", NULL,
     "bits of the integers that quantization tries, 2 to 8 (default: 8)"},
    {"group", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(group), "N", NULL,
     "values that share a scale where it tries groups; 0: whole rows (default: 128)"},
    {"quick", 0, SC_OPTION_FLAG, 0, FIELD(quick), NULL, NULL,
     "spectral: only the largest singular values, in a fraction of the time"},
    {"shuffled", 0, SC_OPTION_FLAG, 0, FIELD(shuffled), NULL, NULL,
     "spectral: measure a shuffled copy of each matrix, too, as the baseline of noise"},
    {"top-issues", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(top), "N", NULL,
     "show N issues, and N rows of each table (default: 10)"},
    {"fail-on", 0, SC_OPTION_ENUM, 0, FIELD(fail_on), "SEVERITY", fail_words,
     "exit with 1 when there is an issue of SEVERITY (info, warning or error) or worse"},
    {"full", 0, SC_OPTION_FLAG, 0, FIELD(full), NULL, NULL,
     "JSON: histograms and spectra, too, of which pictures are made"},
    {"plots", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(plots), "DIR", NULL,
     "draw everything that was measured, as SVG files in DIR"},
    {"png", 0, SC_OPTION_FLAG, 0, FIELD(png), NULL, NULL, "with --plots: as PNG files, too"},
    {"compat", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(compat), "PROGRAM", NULL,
     "print the JSON document that PROGRAM would print: weightscope"},
    {"unfrozen-parameters", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(unfrozen), "FILE", NULL,
     "write the YAML list of the layers with the most signal, as Spectrum does, to FILE"},
    {"snr", 0, SC_OPTION_ENUM, 0, FIELD(snr), "RULE", snr_words,
     "what counts as signal in that list: as spectrum has it (the default), or mp, what lies "
     "above the edge of Marchenko and Pastur"},
    {"base", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(base), "MODEL", NULL,
     "measure how each tensor differs from that of MODEL, instead of the tensor itself"},
    {"pyramids", 0, SC_OPTION_FLAG, 0, FIELD(pyramids), NULL, NULL,
     "make the statistics that scruple view needs, too, while values are read; it opens with them"},
    {"no-cache", 0, SC_OPTION_FLAG, 0, FIELD(no_cache), NULL, NULL,
     "measure everything anew, and keep nothing for the next scan"},
    {"lenient", 0, SC_OPTION_FLAG, 0, FIELD(lenient), NULL, NULL,
     "measure what is sound of a broken model; the exit code stays 3"},
};

static const struct sc_example scan_examples[] = {
    {"scruple scan Qwen3-0.6B", "a verdict, what is wrong, and the worst of each kind"},
    {"scruple scan Qwen3-0.6B --methods all --shuffled", "singular values and baselines, too"},
    {"scruple scan model.gguf layers.3-7 --top-issues 30", "some layers, in more detail"},
    {"scruple scan model --fail-on error -q", "for a script: the exit code tells"},
    {"scruple scan model --methods all -o model.html", "a page with every picture, for a browser"},
    {"scruple scan model -o model.sqlite", "every figure of every tensor, for SQL"},
    {"scruple scan model --compat weightscope -o model.json", "for tools that read WeightScope's"},
    {NULL, NULL},
};

enum form { FORM_TEXT, FORM_JSON, FORM_CSV, FORM_SQLITE, FORM_HTML, FORM_WEIGHTSCOPE };
struct scanning {
    struct sc_cli *c;
    struct sc_measure measure;
    struct sc_filter *filter;
    const struct sc_words *filters;
    struct sc_pool *pool;
    struct sc_hub_env env;
    struct sc_model *base; /* NULL: none */
    enum form form;
    size_t matched;
    enum sc_severity worst;
    bool any_issue;
    bool incomplete, unreached; /* something could not be read; over the network */
};

/* -------------------------------------------------------------------------------- the issues ---
 */
static const struct {
    const char *glyph, *ascii;
    enum sc_colour colour;
} marks[] = {
    [SC_INFO] = {"•", "-", SC_COLOUR_KEY},
    [SC_WARNING] = {"▲", "!", SC_COLOUR_WARNING},
    [SC_ERROR] = {"✗", "x", SC_COLOUR_ERROR},
};

static void put_mark(struct sc_cli *c, enum sc_severity severity)
{
    sc_out_colour(&c->out, &c->term, marks[severity].colour,
                  c->term.ascii ? marks[severity].ascii : marks[severity].glyph);
    sc_out_putc(&c->out, ' ');
}

/* A sentence in lines that fit, indented. */
static void put_wrapped(struct sc_cli *c, enum sc_colour colour, const char *text, size_t indent)
{
    size_t room = c->term.width, at = indent;

    sc_out_repeat(&c->out, ' ', indent);
    for (bool first = true; *text; first = false) {
        size_t n = strcspn(text, " "), width = sc_safe_width(sc_str(text, n));
        if (!first && room && at + 1 + width > room) {
            sc_out_putc(&c->out, '\n');
            sc_out_repeat(&c->out, ' ', indent);
            at = indent;
        } else if (!first) {
            sc_out_putc(&c->out, ' ');
            at++;
        }
        sc_out_safe(&c->out, &c->term, colour, sc_str(text, n));
        at += width;
        text += n + (text[n] == ' ');
    }
    sc_out_putc(&c->out, '\n');
}

/* Of the issues of one rule and severity the worst are told, and how many there are. Each error
 * counts; of remarks one is enough. */
struct told {
    const struct sc_issue *issue;
    size_t more; /* that are not told, after the last of its kind */
};

static bool is_like(const struct sc_issue *a, const struct sc_issue *b)
{
    return a->rule == b->rule && a->severity == b->severity;
}

static void put_issue(struct sc_cli *c, const struct sc_scan *s, const struct told *told)
{
    const struct sc_issue *i = told->issue;
    const struct sc_tensor *t = &s->model->tensors[i->tensor];
    struct sc_out *o = &c->out;
    struct sc_buf more = {0}, name = {0};

    put_mark(c, (enum sc_severity)i->severity);
    sc_out_colour(o, &c->term, marks[i->severity].colour, sc_rules[i->rule].id);
    sc_out_puts(o, "  ");
    if (told->more)
        sc_buf_printf(&more, "  and %zu more", told->more);
    size_t used = 4 + strlen(sc_rules[i->rule].id) + more.n, width = c->term.width;
    (void)sc_put_safe_end(&name, sc_str(t->name, t->name_len),
                          width ? SC_MAX(width, used + 8) - used : 0);
    sc_out_safe(o, &c->term, SC_COLOUR_MODULE, sc_str(name.p ? name.p : "", name.n));
    if (more.n)
        sc_out_colour(o, &c->term, SC_COLOUR_UNIT, more.failed ? "" : more.p);
    sc_out_putc(o, '\n');
    put_wrapped(c, SC_COLOUR_NONE, i->message, 4);
    o->buf.failed = o->buf.failed || more.failed || name.failed;
    sc_buf_clear(&more);
    sc_buf_clear(&name);
}

static int put_issues(struct sc_cli *c, const struct sc_scan *s, struct sc_error *e)
{
    static const size_t shown[] = {[SC_INFO] = 1, [SC_WARNING] = 3, [SC_ERROR] = SIZE_MAX};
    size_t most = (size_t)SC_MIN(c->set.top, 10000), n = 0, left = 0, of_kind = 0;
    struct told *all = sc_calloc(SC_MAX(most, (size_t)1), sizeof *all);

    if (!all)
        return sc_fail_memory(e);
    for (size_t k = 0; k < s->issues.n; k++) { /* ranked: those of a kind follow each other */
        const struct sc_issue *i = &s->issues.p[k];
        bool again = n && is_like(all[n - 1].issue, i);
        of_kind = again ? of_kind + 1 : 1;
        if (again && of_kind > shown[i->severity])
            all[n - 1].more++;
        else if (n < most)
            all[n++] = (struct told){i, 0};
        else
            left++;
    }
    for (size_t k = 0; k < n; k++)
        put_issue(c, s, &all[k]);
    free(all);
    if (left) {
        sc_out_u64(&c->out, left);
        sc_out_colour(&c->out, &c->term, SC_COLOUR_UNIT,
                      " more; --top-issues shows more of them, --json all");
        sc_out_putc(&c->out, '\n');
    }
    return 0;
}

/* --------------------------------------------------------------------------------- the text --- */
static void put_verdict(struct sc_cli *c, const struct sc_scan *s)
{
    struct sc_out *o = &c->out;
    struct sc_buf sentence = {0};
    const bool error = s->n_severity[SC_ERROR] || s->model->catalog->n_errors;
    const bool bad = error || s->n_severity[SC_WARNING];
    enum sc_severity worst = error ? SC_ERROR : SC_WARNING;

    sc_scan_sentence(s, &sentence);
    if (bad)
        put_mark(c, worst);
    else if (s->judged)
        sc_out_colour(o, &c->term, SC_COLOUR_GOOD, c->term.ascii ? "ok " : "✓ ");
    sc_out_colour(o, &c->term,
                  bad         ? marks[worst].colour
                  : s->judged ? SC_COLOUR_GOOD
                              : SC_COLOUR_NONE,
                  sentence.failed ? "" : sentence.p);
    sc_out_putc(o, '\n');
    o->buf.failed = o->buf.failed || sentence.failed;
    sc_buf_clear(&sentence);
}

static int put_tables(struct sc_cli *c, const struct sc_scan *s, struct sc_document *d,
                      struct sc_error *e)
{
    /* The bars take what the medians leave. */
    size_t bars = c->term.width ? SC_MIN(SC_MAX(c->term.width, (size_t)70) - 62, (size_t)32) : 32;

    for (enum sc_scan_table which = 0; which < SC_SCAN_TABLES; which++) {
        const struct sc_table *t =
            sc_scan_table(d, s, which, (size_t)SC_MIN(c->set.top, 10000), bars, c->term.ascii, e);
        if (d->failed)
            return sc_fail_memory(e);
        if (!t || !t->n_rows)
            continue;
        sc_out_putc(&c->out, '\n');
        put_wrapped(c, SC_COLOUR_MODULE, sc_scan_table_titles[which], 0);
        sc_report_table(&c->out, t, &c->term);
    }
    return 0;
}

static int put_text(struct sc_cli *c, const struct sc_scan *s, struct sc_error *e)
{
    struct sc_document d;
    int code = 0;

    sc_document_start(&d, SC_SCHEMA_SCAN);
    sc_cli_header(c, s->model);
    put_verdict(c, s);
    if (s->issues.n && c->set.top) {
        sc_out_putc(&c->out, '\n');
        code = put_issues(c, s, e);
    }
    if (code == 0)
        code = put_tables(c, s, &d, e);
    sc_document_clear(&d);
    return code;
}

/* ------------------------------------------------------------------------------ other forms --- */
/* Layer by layer: none of it waits in memory. */
static void put_weightscope(struct sc_cli *c, const struct sc_scan *s)
{
    bool first = true;

    sc_out_putc(&c->out, '{');
    for (size_t i = 0; i < s->n && !c->out.status; i++) {
        struct sc_document d = {.root = {.kind = SC_FIELD_OBJECT}};
        struct sc_buf key = {0};
        if (sc_scan_weightscope(s, i, &d, &d.root, &key)) {
            d.root.key = sc_str(key.p ? key.p : "", key.n);
            sc_out_puts(&c->out, first ? "\n  " : ",\n  ");
            if (d.failed || key.failed)
                c->out.status = SCRUPLE_EMEMORY;
            else
                sc_report_json_field(&c->out, &d.root, 2);
            first = false;
        }
        sc_buf_clear(&key);
        sc_document_clear(&d);
    }
    sc_out_puts(&c->out, first ? "}\n" : "\n}\n");
}

/* Through a sink: whole or not at all, never over a device or over weights. */
static int put_unfrozen(struct sc_cli *c, const struct sc_scan *s, struct sc_error *e)
{
    struct sc_buf list = {0};
    struct sc_sink sink;
    int code = sc_scan_unfrozen(s, c->set.snr == SC_SNR_MP, &list, e);

    if (code == 0)
        code = sc_sink_open(&sink, c->set.unfrozen, false, 0, e);
    if (code == 0) {
        bool whole = sc_sink_write(&sink, list.p, list.n) == 0;
        code = sc_sink_close(&sink, whole, e);
    }
    sc_buf_clear(&list);
    return code;
}

/* ---------------------------------------------------------------------------------- running --- */
static void show(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    (void)ctx;
    sc_progress_show(
        &(struct sc_progress){.done = done, .total = total, .moved = done, .what = tensor});
}

static void tell(void *ctx, const char *sentence)
{
    const struct scanning *x = ctx;

    if (!x->c->set.quiet)
        sc_say(x->c, "note", "%s", sentence);
}

struct subject {
    struct sc_model *model;
    struct sc_scan *scan;
};

/* Opens and scans. 0, or an exit code after the error was printed. */
static int scan_one(struct scanning *x, const char *path, struct subject *s)
{
    struct sc_cli *c = x->c;
    struct sc_open_options oo = sc_cli_open_options(c);
    struct sc_scan_pyramids pyramids = {0};
    struct sc_error e = {0};

    oo.keep_repo = true;
    oo.check = true; /* what is strange about a tensor belongs to its issues */
    int status = sc_cli_open_with(c, path, &oo, &s->model);
    if (status)
        return status;
    struct sc_scan_options so = {
        .measure = x->measure,
        .filter = x->filter,
        .base = x->base,
        .pool = x->pool,
        .memory = sc_memory_budget(c->set.memory),
        .cache = c->set.no_cache ? NULL : x->env.cache,
        .cancel = &sc_cancel,
        .progress = show,
        .note = tell,
        .ctx = x,
    };
    sc_progress_start(c, x->env.progress_bars);
    int code = c->set.pyramids ? sc_scan_pyramids_open(&pyramids, c, s->model, &so, &e) : 0;
    if (code == 0)
        code = sc_scan_run(s->model, &so, &s->scan, &e);
    double seconds = sc_progress_end();
    sc_scan_pyramids_close(&pyramids, c);
    if (code < 0) {
        if (code == SCRUPLE_EINTERRUPTED && so.cache)
            tell(x, "what was measured is kept: the next scan goes on from there");
        return sc_fail_exit(c, &e);
    }
    const struct sc_scan *done = s->scan;
    if (c->set.verbose) {
        char size[32];
        sc_format_bytes(done->bytes_read, size);
        sc_say(c, "note",
               "%zu tensors measured, %zu of them known from an earlier scan; %s read "
               "in %.1f s",
               done->n_measured, done->n_known, size, seconds);
    }
    if (x->filter && !done->n)
        sc_say_no_match(c, s->model, x->filters->p, x->filters->n);
    x->matched += done->n;
    for (int k = SC_INFO; k <= SC_ERROR; k++)
        if (done->n_severity[k]) {
            x->any_issue = true;
            x->worst = SC_MAX(x->worst, (enum sc_severity)k);
        }
    x->incomplete = x->incomplete || done->n_unreadable || s->model->catalog->n_errors;
    x->unreached = x->unreached || done->n_unreached;
    return 0;
}

static void close_subject(struct subject *s)
{
    sc_scan_free(s->scan);
    sc_model_close(s->model);
}

/* One model after the other: only one is in memory. */
static int run_each(struct scanning *x, const char *const *paths, size_t n)
{
    struct sc_cli *c = x->c;
    int status = 0;

    for (size_t i = 0; i < n && !status && !c->out.status; i++) {
        struct subject s = {0};
        struct sc_error e = {0};
        int code = 0;
        status = scan_one(x, paths[i], &s);
        if (!status && i)
            sc_out_putc(&c->out, '\n');
        if (!status && x->form == FORM_TEXT)
            code = put_text(c, s.scan, &e);
        else if (!status)
            put_weightscope(c, s.scan);
        if (!status && code == 0 && c->set.unfrozen)
            code = put_unfrozen(c, s.scan, &e);
        if (!status && code < 0)
            status = sc_fail_exit(c, &e);
        close_subject(&s);
    }
    return status;
}

/* All models of this run, with what was found. */
struct together {
    struct subject *all;
    struct sc_scan_view *views;
    size_t n;
    struct sc_document d;
};

static int put_plots(struct scanning *x, const struct together *t, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;
    struct sc_plots_written w = {.note = tell, .note_ctx = x};

    TRY(sc_plots_write(set->plots, t->views, t->n, SC_PLOT_SVG | (set->png ? SC_PLOT_PNG : 0),
                       (size_t)SC_MIN(set->top, 10000), &w, e));
    if (!set->quiet)
        sc_say(x->c, "note", "%zu pictures are in %s", w.svg, set->plots);
    return 0;
}

static int put_together(struct scanning *x, struct together *t, struct sc_error *e)
{
    struct sc_cli *c = x->c;

    switch (x->form) {
    case FORM_TEXT:
        for (size_t i = 0; i < t->n; i++) {
            if (i)
                sc_out_putc(&c->out, '\n');
            TRY(put_text(c, t->all[i].scan, e));
        }
        break;
    case FORM_JSON:
        sc_report_json(&c->out, &t->d);
        break;
    case FORM_CSV:
        sc_report_csv(&c->out, sc_find_table(&t->d.root, "tensors"));
        break;
    case FORM_SQLITE:
        TRY(sc_report_sqlite(&c->out, &t->d, e));
        break;
    case FORM_HTML:
        TRY(sc_report_html(&c->out, t->views, t->n, e));
        break;
    case FORM_WEIGHTSCOPE:
        put_weightscope(c, t->all[0].scan);
        break;
    }
    if (c->set.plots)
        TRY(put_plots(x, t, e));
    return c->set.unfrozen ? put_unfrozen(c, t->all[0].scan, e) : 0;
}

static struct sc_scan_view view_of(const struct sc_scan *s, const struct sc_field *facts)
{
    return (struct sc_scan_view){.title = sc_strz(s->model->label),
                                 .model = s->model,
                                 .tensors = s->tensors,
                                 .health = s->health,
                                 .n = s->n,
                                 .issues = &s->issues,
                                 .rules = sc_rules,
                                 .n_rules = sc_n_rules,
                                 .file_errors = s->model->catalog->n_errors,
                                 .groups = sc_metric_groups,
                                 .spectrum_methods = sc_spectrum_method_names,
                                 .facts = facts};
}

/* One document, one page, pictures that compare: all models stay open. */
static int run_together(struct scanning *x, const char *const *paths, size_t n)
{
    struct together t = {
        .all = sc_calloc(n, sizeof *t.all), .views = sc_calloc(n, sizeof *t.views), .n = n};
    struct sc_error e = {0};
    int status = 0, code = t.all && t.views ? 0 : sc_fail_memory(&e);

    sc_document_start(&t.d, SC_SCHEMA_SCAN);
    struct sc_field *list = n > 1 ? sc_add_list(&t.d, &t.d.root, "models") : NULL;
    for (size_t i = 0; i < n && !status && code == 0; i++) {
        struct sc_field *into = list ? sc_add_object(&t.d, list, NULL) : &t.d.root;
        status = scan_one(x, paths[i], &t.all[i]);
        if (status)
            break;
        code = sc_analyze_scan(&t.d, into, t.all[i].scan, x->c->set.full, &e);
        t.views[i] = view_of(t.all[i].scan, into);
    }
    if (!status && code == 0)
        code = put_together(x, &t, &e);
    if (code < 0)
        status = sc_fail_exit(x->c, &e);
    sc_document_clear(&t.d);
    for (size_t i = 0; t.all && i < n; i++)
        close_subject(&t.all[i]);
    free(t.all);
    free(t.views);
    return status;
}

static bool ends_in(const char *path, const char *suffix)
{
    return path && sc_str_ends(sc_strz(path), suffix);
}

/* What the options ask for; a form by the suffix of --output where they do not say. 0 or an exit
 * code. */
static int read_settings(struct scanning *x, size_t n_models)
{
    const struct sc_settings *set = &x->c->set;
    struct sc_error e = {0};

    x->measure = sc_measure_default();
    if (set->methods && sc_methods_parse(set->methods, &x->measure.methods, &e) < 0)
        return sc_usage_exit(x->c, &e);
    if (set->bits < 2 || set->bits > 8)
        return sc_wrong_use(x->c, "--bits takes a number from 2 to 8, but is %llu",
                            (unsigned long long)set->bits);
    x->measure.bits = (uint32_t)set->bits;
    x->measure.group = (uint32_t)SC_MIN(set->group, UINT32_MAX);
    x->measure.quick = set->quick;
    x->measure.shuffled = set->shuffled;
    if (set->pyramids && set->base)
        return sc_wrong_use(x->c, "--pyramids are of a model's own values: they do not go with "
                                  "--base");
    if (set->unfrozen) {
        if (strcmp(set->unfrozen, "-") == 0)
            return sc_wrong_use(x->c, "--unfrozen-parameters takes a file, and standard output is "
                                      "taken by the scan");
        if (set->quick)
            return sc_wrong_use(x->c, "--unfrozen-parameters needs all singular values: leave out "
                                      "--quick");
        if (n_models > 1)
            return sc_wrong_use(x->c, "--unfrozen-parameters is about one model, but %zu are given",
                                n_models);
        x->measure.methods |= SC_METHOD_SPECTRAL;
    }
    if (set->compat && strcmp(set->compat, "weightscope") != 0)
        return sc_wrong_use(x->c, "--compat cannot be \"%s\": it takes weightscope", set->compat);
    x->form = set->compat                                                      ? FORM_WEIGHTSCOPE
              : set->json                                                      ? FORM_JSON
              : set->csv                                                       ? FORM_CSV
              : ends_in(set->output, ".json")                                  ? FORM_JSON
              : ends_in(set->output, ".csv")                                   ? FORM_CSV
              : ends_in(set->output, ".sqlite") || ends_in(set->output, ".db") ? FORM_SQLITE
              : ends_in(set->output, ".html")                                  ? FORM_HTML
                                                                               : FORM_TEXT;
    if ((x->form == FORM_CSV || x->form == FORM_WEIGHTSCOPE) && n_models > 1)
        return sc_wrong_use(x->c, "%s lists one model, but %zu are given",
                            x->form == FORM_CSV ? "CSV" : "--compat", n_models);
    return 0;
}

/* Options that change nothing this time: whoever gave them expected something. */
static void tell_idle_options(const struct scanning *x)
{
    const struct sc_settings *set = &x->c->set;
    const bool spectral = x->measure.methods & SC_METHOD_SPECTRAL;
    const struct {
        bool idle;
        const char *option, *needs;
    } all[] = {
        {set->quick && !spectral, "--quick", "--methods spectral"},
        {set->shuffled && !spectral, "--shuffled", "--methods spectral"},
        {set->png && !set->plots, "--png", "--plots"},
        {set->snr && !set->unfrozen, "--snr", "--unfrozen-parameters"},
        {set->full && (x->form == FORM_TEXT || x->form == FORM_HTML), "--full", "--json"},
    };

    for (size_t i = 0; i < SC_COUNT(all) && !set->quiet; i++)
        if (all[i].idle)
            sc_say(x->c, "note", "%s does nothing without %s", all[i].option, all[i].needs);
}

static int exit_of(const struct scanning *x)
{
    uint64_t fail_on = x->c->set.fail_on;

    if (x->filter && !x->matched)
        return SC_EXIT_FINDINGS;
    if (x->unreached)
        return SC_EXIT_NOT_FOUND;
    if (x->incomplete)
        return SC_EXIT_INPUT;
    return fail_on && x->any_issue && x->worst + 1 >= fail_on ? SC_EXIT_FINDINGS : SC_EXIT_OK;
}

static int run_scan(struct sc_cli *c)
{
    struct scanning x = {.c = c};
    const char *const *paths = NULL;
    struct sc_words filters = {0};
    struct sc_error e = {0};
    size_t n = 0;
    int status = 0;

    int code = sc_cli_operands(c, &paths, &n, &filters, &e);
    c->several = n > 1;
    if (code < 0)
        status = sc_fail_exit(c, &e);
    else if (!n)
        status = sc_wrong_use(c, "scan: MODEL is missing");
    else
        status = read_settings(&x, n);
    if (!status)
        tell_idle_options(&x);
    if (!status && filters.n && sc_filter_new(filters.p, filters.n, &x.filter, &e) < 0)
        status = sc_usage_exit(c, &e);
    x.filters = &filters;
    struct sc_open_options oo = sc_cli_open_options(c);
    if (!status && sc_hub_env_read(&x.env, oo.hub, &e) < 0)
        status = sc_usage_exit(c, &e);
    if (!status && sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &x.pool, &e) < 0)
        status = sc_fail_exit(c, &e);
    oo.keep_repo = true;
    if (!status && c->set.base)
        status = sc_cli_open_with(c, c->set.base, &oo, &x.base);
    if (!status)
        status = (x.form == FORM_TEXT || x.form == FORM_WEIGHTSCOPE) && !c->set.plots
                     ? run_each(&x, paths, n)
                     : run_together(&x, paths, n);
    if (!status) {
        c->whole = true; /* a report of what could be read is kept */
        status = exit_of(&x);
    }
    sc_model_close(x.base);
    sc_pool_free(x.pool);
    sc_hub_env_clear(&x.env);
    sc_filter_free(x.filter);
    sc_words_clear(&filters);
    return status;
}

const struct sc_command sc_cmd_scan = {
    .name = "scan",
    .summary = "measure the weights: a verdict, what is wrong, and the figures",
    .usage = "MODEL... [FILTER...]",
    .description =
        "Reads every tensor once and measures its values: moments, quantiles and tails (basic), "
        "zeros and dead rows (sparsity), what rounding to integers would cost (quantization) and, "
        "on demand, singular values (spectral). Weights are measured as they are meant: scales of "
        "quantised layouts are applied first. Each figure is held against what a sound tensor of "
        "the same shape and size shows, and the output begins with a verdict and the worst "
        "issues. Every figure is explained in docs/metrics.md, every issue in docs/scan.md.\n\n"
        "With --base what is measured is the difference from another model: its outliers, its "
        "spectrum. Differences are not judged.\n\n"
        "Models and filters are told apart as by scruple tree.\n\n"
        "Figures are kept, by content and method, so that a scan that was interrupted goes on, "
        "and one of an unchanged model reads nothing (scruple cache ls). They are the same bits "
        "for any number of threads. With --pyramids the same reading also leaves what scruple view "
        "draws overviews from, so that the viewer need not read the model again.\n\n"
        "The suffix of --output chooses the form: .json, .csv, .sqlite or .html; else it is what a "
        "terminal shows. The exit code is 0 whatever is found, unless --fail-on says otherwise; "
        "but where a part of the "
        "model could not be read it is 3, and 4 where the network failed, and what could be read "
        "is reported.",
    .options = scan_options,
    .n_options = SC_COUNT(scan_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_CSV | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = scan_examples,
    .run = run_scan,
};

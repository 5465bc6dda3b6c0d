/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_curves: what becomes of a value in a number format?
 *
 *     FORMAT  CURVE  BITS       MAE      RMSE      ATOL       BIAS  SQNR dB
 *     bfp4    ideal   4.5   0.02032   0.02804     0.125   -0.00516    26.27
 *     bfp4    block   4.5   0.02117   0.02871     0.125   -0.00324    26.07
 *
 * Owns: which curves are asked for, what a terminal shows of them, where pictures and pages go.
 * Does not own: curves (analyze), pictures (report). */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quant.h"
#include "cli/cli.h"
#include "hub/cache.h"
#include "report/plots_quality.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

enum { MAX_PAGE = 64, MAX_SAMPLES = 100000 };

static const struct sc_option curves_options[] = {
    {"format", 'c', SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(formats), "FORMAT", NULL,
     "draw FORMAT, a list with commas, or all: mxfp4, nvfp4, bf16, bfp8, bfp4, bfp2 and fp0 (the "
     "default); may be repeated; scruple formats lists more"},
    {"model", 'm', SC_OPTION_LIST, SC_COMPLETE_PATH, FIELD(models), "MODEL", NULL,
     "name a model; all other words are filters then (once)"},
    {"points", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(points), "N", NULL,
     "points of a curve, 2 to 4096 (default: 400); of a tensor: bins of its values"},
    {"rand-samples", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(rand_samples), "N", NULL,
     "without MODEL: blocks of neighbours a point (default: 100)"},
    {"seed", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(seed), "N", NULL,
     "without MODEL: what the neighbours are drawn from (default: 1)"},
    {"legacy", 0, SC_OPTION_FLAG, 0, FIELD(legacy), NULL, NULL,
     "without MODEL: block floats as compare_reconstr_error drew them"},
    {"out-dir", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(out_dir), "DIR", NULL,
     "draw every picture of every tensor, as SVG files in DIR"},
    {"png", 0, SC_OPTION_FLAG, 0, FIELD(png), NULL, NULL, "with --out-dir: as PNG files, too"},
    {"lenient", 0, SC_OPTION_FLAG, 0, FIELD(lenient), NULL, NULL,
     "draw what is sound of a broken model"},
};

static const struct sc_example curves_examples[] = {
    {"scruple curves", "what seven formats make of 0 to 1"},
    {"scruple curves -c bfp4,mxfp4,nf4 -o curves.svg", "the staircases of three formats"},
    {"scruple curves -o curves.html", "a page to compare them, for a browser"},
    {"scruple curves model model.layers.3.mlp.down_proj -o down.html",
     "what becomes of real weights"},
    {"scruple curves model q_proj --out-dir plots --png", "pictures of every matching tensor"},
    {NULL, NULL},
};

enum form { FORM_TEXT, FORM_JSON, FORM_SVG, FORM_PNG, FORM_HTML };
struct drawing {
    struct sc_cli *c;
    enum form form;
    struct sc_quant_formats formats;
    uint64_t seed;
    struct sc_model *model; /* NULL: synthetic */
    struct sc_filter *filter;
    struct sc_pool *pool;
    struct sc_document d;
    struct sc_field *tensors; /* of the document */
    unsigned pictures;        /* SC_PLOT_SVG | SC_PLOT_PNG, of --out-dir */
    size_t n_pictures;
    /* kept for the page */
    struct sc_str *names;
    struct sc_curves *curves;
    size_t n, cap, cap_names;
};

/* ---------------------------------------------------------------------------------- settings ---
 */
static int read_formats(struct drawing *x, struct sc_error *e)
{
    const struct sc_words *words = &x->c->set.formats;

    for (size_t i = 0; i < words->n; i++)
        TRY(sc_quant_formats_add(&x->formats, SC_QUALITY_FORMATS, sc_strz(words->p[i]), "--format",
                                 e));
    if (!words->n)
        TRY(sc_quant_formats_add(&x->formats, SC_QUALITY_FORMATS, SC_STR("all"), "--format", e));
    return 0;
}

static bool ends_in(const char *path, const char *suffix)
{
    return path && sc_str_ends(sc_strz(path), suffix);
}

/* 0 or an exit code. */
static int read_settings(struct drawing *x, bool synthetic)
{
    struct sc_cli *c = x->c;
    const struct sc_settings *set = &c->set;
    struct sc_error e = {0};

    if (read_formats(x, &e) < 0)
        return sc_usage_exit(c, &e);
    if (set->points < 2 || set->points > SC_CURVE_POINTS)
        return sc_wrong_use(c, "--points takes a number from 2 to %d, but is %llu",
                            (int)SC_CURVE_POINTS, (unsigned long long)set->points);
    if (set->rand_samples < 1 || set->rand_samples > MAX_SAMPLES)
        return sc_wrong_use(c, "--rand-samples takes a number from 1 to %d, but is %llu",
                            (int)MAX_SAMPLES, (unsigned long long)set->rand_samples);
    x->seed = 1;
    if (set->seed && !sc_str_u64(sc_strz(set->seed), &x->seed))
        return sc_wrong_use(c, "--seed cannot be \"%s\": it takes a number", set->seed);
    if (!synthetic && set->legacy)
        return sc_wrong_use(c, "--legacy is about curves without a MODEL");
    if (!synthetic && x->formats.n > SC_CURVE_FORMATS)
        return sc_wrong_use(c,
                            "of a MODEL at most %d formats are drawn together, but %zu are "
                            "asked for",
                            (int)SC_CURVE_FORMATS, x->formats.n);
    x->form = set->json                       ? FORM_JSON
              : ends_in(set->output, ".json") ? FORM_JSON
              : ends_in(set->output, ".svg")  ? FORM_SVG
              : ends_in(set->output, ".png")  ? FORM_PNG
              : ends_in(set->output, ".html") ? FORM_HTML
                                              : FORM_TEXT;
    x->pictures = SC_PLOT_SVG | (set->png ? SC_PLOT_PNG : 0);
    if (set->png && !set->out_dir && !set->quiet)
        sc_say(c, "note", "--png does nothing without --out-dir");
    return 0;
}

/* ---------------------------------------------------------------------------------- pictures ---
 */
static int put_picture(struct drawing *x, const struct sc_curves *c, struct sc_str name,
                       struct sc_error *e)
{
    struct sc_buf svg = {0}, png = {0};
    struct sc_picture how = {.subject = name};
    int code = sc_picture_curves(c, &how, &svg, e);

    if (code == 1 && x->form == FORM_PNG)
        code = sc_png_from_svg(sc_str(svg.p, svg.n), &png, e);
    const struct sc_buf *out = x->form == FORM_PNG ? &png : &svg;
    if (code >= 0)
        sc_out_put(&x->c->out, out->p ? out->p : "", out->n);
    sc_buf_clear(&svg);
    sc_buf_clear(&png);
    return SC_MIN(code, 0);
}

static void tell(void *ctx, const char *sentence)
{
    const struct drawing *x = ctx;

    if (!x->c->set.quiet)
        sc_say(x->c, "note", "%s", sentence);
}

static int write_picture(struct drawing *x, const char *slug, const char *what,
                         const struct sc_buf *svg, struct sc_error *e)
{
    struct sc_buf name = {0};
    struct sc_plots_written w = {.note = tell, .note_ctx = x};

    sc_buf_printf(&name, "%s%s", slug, what);
    int code = name.failed ? sc_fail_memory(e)
                           : sc_picture_write(x->c->set.out_dir, name.p, sc_str(svg->p, svg->n),
                                              &x->pictures, &w, e);
    if (code == 0 && !x->c->set.quiet)
        sc_say(x->c, "note", "wrote %s/%s.%s", x->c->set.out_dir, name.p,
               w.svg && w.png ? "svg and .png"
               : w.png        ? "png"
                              : "svg");
    x->n_pictures += w.svg + w.png;
    sc_buf_clear(&name);
    return code;
}

typedef int picture_fn(const struct sc_curves *c, const struct sc_picture *p, struct sc_buf *out,
                       struct sc_error *e);

static int write_kind(struct drawing *x, picture_fn *draw, const char *slug, const char *what,
                      const struct sc_curves *c, struct sc_str name, struct sc_error *e)
{
    struct sc_buf svg = {0};
    struct sc_picture how = {.subject = name};
    int code = draw(c, &how, &svg, e);

    if (code == 1)
        code = write_picture(x, slug, what, &svg, e);
    sc_buf_clear(&svg);
    return SC_MIN(code, 0);
}

static int write_tiles(struct drawing *x, const char *slug, const struct sc_curves *c,
                       struct sc_str name, struct sc_error *e)
{
    int code = 0;

    for (size_t i = 0; i < c->n && code >= 0; i++) {
        const struct sc_curve *one = &c->curves[i];
        struct sc_error_map m = {c->down,      c->across,    one->tiles,      c->rms,
                                 c->tile_rows, c->tile_cols, one->format.name};
        struct sc_picture how = {.subject = name};
        struct sc_buf svg = {0}, what = {0};
        if (!one->tiles || one->format.scheme == SC_SCHEME_ZERO)
            continue;
        sc_buf_puts(&what, "-tiles-");
        sc_picture_slug(sc_strz(one->format.name), &what);
        code = what.failed ? sc_fail_memory(e) : sc_picture_errors(&m, &how, &svg, e);
        if (code == 1)
            code = write_picture(x, slug, what.p, &svg, e);
        sc_buf_clear(&svg);
        sc_buf_clear(&what);
    }
    return code;
}

/* at: the number of the tensor, so that two names cannot become one file. */
static int write_pictures(struct drawing *x, const struct sc_curves *c, struct sc_str name,
                          size_t at, struct sc_error *e)
{
    struct sc_buf slug = {0};

    sc_picture_slug(name.n ? name : SC_STR("curves"), &slug);
    if (name.n && slug.p && !sc_str_is(name, slug.p))
        sc_buf_printf(&slug, "-%zu", at);
    int code = slug.failed ? sc_fail_memory(e) : 0;
    if (code == 0)
        code = write_kind(x, sc_picture_curves, slug.p, "", c, name, e);
    if (code == 0)
        code = write_kind(x, sc_picture_transfer, slug.p, "-transfer", c, name, e);
    if (code == 0)
        code = write_kind(x, sc_picture_error_histogram, slug.p, "-errors", c, name, e);
    if (code == 0)
        code = write_tiles(x, slug.p, c, name, e);
    sc_buf_clear(&slug);
    return code;
}

/* ---------------------------------------------------------------------------------- results --- */
static int put_text(struct drawing *x, const struct sc_curves *c, struct sc_str name, bool first,
                    struct sc_error *e)
{
    struct sc_document d;

    sc_document_start(&d, SC_SCHEMA_CURVES);
    const struct sc_table *t = sc_curves_table(&d, c);
    if (!first)
        sc_out_putc(&x->c->out, '\n');
    if (name.n) {
        sc_out_safe(&x->c->out, &x->c->term, SC_COLOUR_MODULE, name);
        sc_out_putc(&x->c->out, '\n');
    }
    if (t)
        sc_report_table(&x->c->out, t, &x->c->term);
    int code = t ? 0 : sc_fail_memory(e);
    sc_document_clear(&d);
    return code;
}

/* What is asked for of the curves of one tensor (name empty: synthetic). Takes *c. */
static int put_curves(struct drawing *x, struct sc_curves *c, struct sc_str name, size_t at,
                      struct sc_error *e)
{
    int code = 0;

    switch (x->form) {
    case FORM_TEXT:
        code = put_text(x, c, name, x->n == 0, e);
        break;
    case FORM_JSON: {
        struct sc_field *into = x->tensors ? sc_add_object(&x->d, x->tensors, NULL) : &x->d.root;
        if (x->tensors)
            sc_add_text(&x->d, into, "name", name);
        sc_analyze_curves(&x->d, into, c);
        break;
    }
    case FORM_SVG:
    case FORM_PNG:
        code = put_picture(x, c, name, e);
        break;
    case FORM_HTML:
        if (x->n < MAX_PAGE) {
            code = sc_grow(&x->curves, &x->cap, x->n + 1, sizeof *x->curves, e);
            if (code == 0)
                code = sc_grow(&x->names, &x->cap_names, x->n + 1, sizeof *x->names, e);
        }
        break;
    }
    if (code == 0 && x->c->set.out_dir)
        code = write_pictures(x, c, name, at, e);
    if (code == 0 && x->form == FORM_HTML && x->n < MAX_PAGE) {
        x->names[x->n] = name;
        x->curves[x->n] = *c;
    } else {
        sc_curves_clear(c);
    }
    x->n++;
    return code;
}

static int put_page(struct drawing *x, struct sc_error *e)
{
    struct sc_curves_page p = {.title = x->model ? sc_strz(x->model->label)
                                                 : SC_STR("Number formats from 0 to 1"),
                               .names = x->names,
                               .curves = x->curves,
                               .n = SC_MIN(x->n, MAX_PAGE)};

    if (x->n > MAX_PAGE && !x->c->set.quiet)
        sc_say(x->c, "note", "the page holds the first %d of %zu tensors", (int)MAX_PAGE, x->n);
    return sc_report_curves_page(&x->c->out, &p, e);
}

static int finish(struct drawing *x, struct sc_error *e)
{
    if (x->form == FORM_JSON) {
        if (x->d.failed)
            return sc_fail_memory(e);
        sc_report_json(&x->c->out, &x->d);
    }
    return x->form == FORM_HTML ? put_page(x, e) : 0;
}

/* ---------------------------------------------------------------------------------- running --- */
static int run_synthetic(struct drawing *x)
{
    const struct sc_settings *set = &x->c->set;
    struct sc_curves_synthetic how = {.formats = x->formats.f,
                                      .n = x->formats.n,
                                      .points = (size_t)set->points,
                                      .samples = (size_t)set->rand_samples,
                                      .seed = x->seed,
                                      .legacy = set->legacy};
    struct sc_curves c;
    struct sc_error e = {0};

    sc_add_uint(&x->d, &x->d.root, "points", set->points, SC_COL_COUNT);
    sc_add_uint(&x->d, &x->d.root, "samples", set->rand_samples, SC_COL_COUNT);
    sc_add_uint(&x->d, &x->d.root, "seed", x->seed, SC_COL_COUNT);
    sc_add_textz(&x->d, &x->d.root, "random", "splitmix64");
    sc_add_bool(&x->d, &x->d.root, "legacy", set->legacy);
    int code = sc_curves_synthesize(&how, &c, &e);
    if (code == 0)
        code = put_curves(x, &c, SC_STR(""), 0, &e);
    if (code == 0)
        code = finish(x, &e);
    return code < 0 ? sc_fail_exit(x->c, &e) : 0;
}

/* The formats that can hold this shape. */
static size_t fitting(struct drawing *x, const struct sc_values *v, struct sc_str name,
                      struct sc_encoding *out)
{
    struct sc_matrices s = sc_quality_matrices(v);
    struct sc_quoted q;
    size_t n = 0;

    for (size_t i = 0; i < x->formats.n; i++) {
        uint64_t bytes;
        const char *why = NULL;
        if (sc_encoding_bytes(&x->formats.f[i], s.n, s.rows, s.cols, &bytes, &why))
            out[n++] = x->formats.f[i];
        else if (!x->c->set.quiet)
            sc_say(x->c, "note", "%s: no %s: %s", sc_quote(&q, name), x->formats.f[i].name,
                   why ? why : "it does not fit");
    }
    return n;
}

static int draw_tensor(struct drawing *x, uint32_t tensor, struct sc_error *e)
{
    const struct sc_tensor *t = &x->model->tensors[tensor];
    struct sc_str name = sc_str(t->name, t->name_len);
    struct sc_values *v = NULL;
    struct sc_encoding formats[SC_CURVE_FORMATS];
    struct sc_parallel p = sc_pool_parallel(x->pool);
    struct sc_curves c;
    struct sc_quoted q;

    int code = sc_values_open(x->model, tensor, &v, e);
    if (code == SCRUPLE_EUNSUPPORTED) {
        if (!x->c->set.quiet)
            sc_say(x->c, "note", "%s: is left out: %s", sc_quote(&q, name), e->text);
        return 0;
    }
    TRY(code);
    struct sc_curves_measure m = {.formats = formats,
                                  .n = fitting(x, v, name, formats),
                                  .points = (size_t)x->c->set.points,
                                  .p = &p,
                                  .cancel = &sc_cancel};
    code = sc_curves_measure(v, &m, &c, e);
    sc_values_close(v);
    if (code == 0)
        code = put_curves(x, &c, name, tensor, e);
    else
        sc_error_prefix(e, "%s", sc_quote(&q, name));
    return code;
}

static size_t count_matches(const struct drawing *x)
{
    size_t n = 0;

    for (size_t i = 0; i < x->model->n_tensors; i++)
        n += sc_filter_match(x->filter,
                             sc_str(x->model->tensors[i].name, x->model->tensors[i].name_len));
    return n;
}

static int draw_model(struct drawing *x, const struct sc_words *filters)
{
    struct sc_error e = {0};
    size_t matched = count_matches(x), done = 0;
    int code = 0;

    if (!matched) {
        sc_say_no_match(x->c, x->model, filters->p, filters->n);
        return SC_EXIT_FINDINGS;
    }
    if (matched > 1 && (x->form == FORM_SVG || x->form == FORM_PNG))
        return sc_wrong_use(x->c,
                            "%s holds one picture, but %zu tensors match: take --out-dir, or "
                            "an .html file",
                            x->c->set.output, matched);
    code = sc_analyze_model(&x->d, &x->d.root, x->model, &e);
    sc_add_uint(&x->d, &x->d.root, "points", x->c->set.points, SC_COL_COUNT);
    x->tensors = sc_add_list(&x->d, &x->d.root, "tensors");
    sc_progress_start(x->c, 0);
    for (uint32_t i = 0; i < x->model->n_tensors && code == 0; i++) {
        const struct sc_tensor *t = &x->model->tensors[i];
        if (!sc_filter_match(x->filter, sc_str(t->name, t->name_len)))
            continue;
        sc_progress_show(&(struct sc_progress){.n_done = done++, .n = matched, .what = t->name});
        code = draw_tensor(x, i, &e);
    }
    (void)sc_progress_end();
    if (code == 0)
        code = finish(x, &e);
    return code < 0 ? sc_fail_exit(x->c, &e) : 0;
}

static int run_model(struct drawing *x, const char *path, const struct sc_words *filters)
{
    struct sc_cli *c = x->c;
    struct sc_open_options oo = sc_cli_open_options(c);
    struct sc_error e = {0};
    int status = 0;

    oo.keep_repo = true;
    if (filters->n && sc_filter_new(filters->p, filters->n, &x->filter, &e) < 0)
        status = sc_usage_exit(c, &e);
    if (!status && sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &x->pool, &e) < 0)
        status = sc_fail_exit(c, &e);
    if (!status)
        status = sc_cli_open_with(c, path, &oo, &x->model);
    if (!status)
        status = draw_model(x, filters);
    sc_model_close(x->model);
    sc_pool_free(x->pool);
    sc_filter_free(x->filter);
    return status;
}

static int run_curves(struct sc_cli *c)
{
    struct drawing x = {.c = c};
    const char *const *paths = NULL;
    struct sc_words filters = {0};
    struct sc_error e = {0};
    size_t n = 0;
    int status = 0;

    sc_document_start(&x.d, SC_SCHEMA_CURVES);
    if (sc_cli_operands(c, &paths, &n, &filters, &e) < 0)
        status = sc_fail_exit(c, &e);
    else if (n > 1)
        status = sc_wrong_use(c, "curves takes one MODEL, but %zu are given", n);
    else
        status = read_settings(&x, n == 0);
    if (!status)
        status = n ? run_model(&x, paths[0], &filters) : run_synthetic(&x);
    for (size_t i = 0; x.curves && i < SC_MIN(x.n, MAX_PAGE); i++)
        sc_curves_clear(&x.curves[i]);
    free(x.curves);
    free(x.names);
    sc_document_clear(&x.d);
    sc_words_clear(&filters);
    return status;
}

const struct sc_command sc_cmd_curves = {
    .name = "curves",
    .summary = "draw what number formats make of values",
    .usage = "[MODEL [FILTER...]]",
    .description =
        "Without MODEL: what each format makes of 0 to 1. The ideal curve has x alone in its "
        "block, so that the scale is made for it; the block curve has it among normal neighbours, "
        "one of which may be larger and set the scale. Its mean is drawn, and the band in which "
        "nine of ten results lie.\n\n"
        "With MODEL: the transfer curve of each tensor that matches, over the range of its own "
        "values and in their own blocks, with the histogram of errors and the map of where they "
        "are.\n\n"
        "The suffix of --output chooses the form: .svg, .png, .html (a page in which curves are "
        "switched on and off, enlarged and read) or .json; else it is a table of errors. What the "
        "curves mean is in docs/curves.md.",
    .options = curves_options,
    .n_options = SC_COUNT(curves_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = curves_examples,
    .run = run_curves,
};

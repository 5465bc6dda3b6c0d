/* SPDX-License-Identifier: Apache-2.0 */
/* html: the page of a scan. What the browser's script adds is in assets/report.js; without it the
 * page still shows summary, findings, roles and pictures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"

struct page {
    struct sc_out *o;
    const struct sc_scan_view *views, *v;
    size_t n_views;
    struct sc_buf b;          /* what goes out next */
    uint32_t *order;          /* positions, most remarkable first */
    uint32_t *positions;      /* of the model's tensors in the view */
    unsigned char *worst;     /* by position: 0 no finding, else severity + 1 */
    size_t n_details;         /* tensors whose figures are in the page */
    bool *has_details;        /* by position */
    size_t n_measured, clean; /* measured tensors; those of them without findings */
    size_t by_severity[3];    /* findings */
    struct sc_buf left_out;   /* sentences */
};
static const char *const severity_names[] = {"info", "warning", "error"};
static const char *const severity_signs[] = {"i", "!", "×"};

static void put(struct page *p, const char *s)
{
    sc_buf_puts(&p->b, s);
}

static void put_text(struct page *p, struct sc_str s)
{
    sc_put_markup(&p->b, s);
}

static void put_textz(struct page *p, const char *s)
{
    sc_put_markup(&p->b, sc_strz(s));
}

static void put_count(struct page *p, uint64_t n)
{
    char text[32];

    sc_format_count(n, text);
    put(p, text);
}

static void put_value(struct page *p, double v)
{
    sc_put_value(&p->b, v);
}

static void send(struct page *p)
{
    if (p->b.failed && !p->o->status)
        p->o->status = SCRUPLE_EMEMORY;
    if (p->b.n)
        sc_out_put(p->o, p->b.p, p->b.n);
    p->b.n = 0;
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* A tensor's name; with its figures in the page it can be opened. */
static void put_tensor(struct page *p, uint32_t at)
{
    struct sc_str name = sc_plot_name(p->v, at);

    if (p->has_details[at])
        sc_buf_printf(&p->b, "<button type=\"button\" class=\"tensor\" data-t=\"%u\">", at);
    put_text(p, name);
    if (p->has_details[at])
        put(p, "</button>");
}

/* ------------------------------------------------------------------------------------ facts --- */
static size_t count_details(const struct page *p)
{
    return SC_MIN(p->v->n, SC_HTML_TENSORS);
}

static int prepare(struct page *p, struct sc_error *e)
{
    const struct sc_scan_view *v = p->v;

    p->order = sc_calloc(SC_MAX(v->n, 1), sizeof *p->order);
    p->worst = sc_calloc(SC_MAX(v->n, 1), sizeof *p->worst);
    p->has_details = sc_calloc(SC_MAX(v->n, 1), sizeof *p->has_details);
    p->positions = sc_plot_positions(v);
    if (!p->order || !p->worst || !p->has_details || !p->positions)
        return sc_fail_memory(e);
    TRY(sc_plot_worst(v, p->order, e));
    p->n_details = count_details(p);
    for (size_t i = 0; i < p->n_details; i++)
        p->has_details[p->order[i]] = true;
    for (size_t i = 0; v->issues && i < v->issues->n; i++) {
        const struct sc_issue *issue = &v->issues->p[i];
        unsigned severity = SC_MIN(issue->severity, 2);
        p->by_severity[severity]++;
        if (issue->tensor >= v->model->n_tensors || p->positions[issue->tensor] == UINT32_MAX)
            continue;
        unsigned char *worst = &p->worst[p->positions[issue->tensor]];
        *worst = (unsigned char)SC_MAX(*worst, severity + 1);
    }
    for (size_t i = 0; i < v->n; i++) {
        p->n_measured += v->health[i] != NULL;
        p->clean += v->health[i] && !p->worst[i];
    }
    return 0;
}

/* The worst finite value of a metric, and whose it is; false: nobody has one. */
static bool find_worst(const struct page *p, const struct sc_plot_metric *m, double *value,
                       uint32_t *at)
{
    bool found = false;

    for (size_t i = 0; i < p->v->n; i++) {
        double x = sc_plot_value(p->v, i, m);
        if (!isfinite(x) || (found && (m->bad < 0 ? x >= *value : x <= *value)))
            continue;
        *value = x;
        *at = (uint32_t)i;
        found = true;
    }
    return found;
}

/* ------------------------------------------------------------------------------------- head --- */
static const struct sc_page_asset styles[] = {
    {sc_asset_report_css, &sc_asset_report_css_size},
};
static const struct sc_page_asset scripts[] = {
    {sc_asset_common_js, &sc_asset_common_js_size},
    {sc_asset_report_js, &sc_asset_report_js_size},
};
static const struct sc_page_frame frame = {"scan", styles, SC_COUNT(styles), scripts,
                                           SC_COUNT(scripts)};

static void put_banner(struct page *p)
{
    put(p,
        "<a class=\"skip\" href=\"#summary\">Skip to the summary</a>\n<header class=\"banner\">\n"
        "<p class=\"brand\">scruple scan</p>\n<nav aria-label=\"Sections\">"
        "<a href=\"#summary\">Summary</a><a href=\"#findings\">Findings</a>"
        "<a href=\"#maps\">Maps</a><a href=\"#plots\">Plots</a>"
        "<a href=\"#figures\">Figures</a><a href=\"#about\">About</a></nav>\n"
        "<button type=\"button\" id=\"theme\" class=\"needs-script\" hidden>Theme: auto</button>\n"
        "</header>\n<main>\n");
}

/* ---------------------------------------------------------------------------------- summary --- */
static void put_verdict(struct page *p)
{
    size_t errors = p->by_severity[SC_ERROR], warnings = p->by_severity[SC_WARNING];
    const size_t broken = p->v->file_errors;
    const char *mood = errors || broken ? "error" : warnings ? "warning" : "good";

    sc_buf_printf(&p->b, "<p class=\"verdict %s\">", mood);
    if (!p->v->issues) {
        put(p, "No rules were applied; the figures below speak for themselves.");
    } else if (errors || warnings) {
        if (errors)
            sc_buf_printf(&p->b, "%zu error%s", errors, plural(errors));
        if (errors && warnings)
            put(p, " and ");
        if (warnings)
            sc_buf_printf(&p->b, "%zu warning%s", warnings, plural(warnings));
        put(p, ". ");
        put_count(p, p->clean);
        put(p, " of ");
        put_count(p, p->n_measured);
        put(p, p->n_measured == 1 ? " measured tensor has no finding."
                                  : " measured tensors have no finding.");
    } else if (p->n_measured) {
        put(p, "No errors and no warnings in ");
        put_count(p, p->n_measured);
        sc_buf_printf(&p->b, " measured tensor%s.", plural(p->n_measured));
    } else {
        put(p, "Nothing was measured.");
    }
    if (broken)
        sc_buf_printf(&p->b, " The files have %zu error%s: not all of the model was measured.",
                      broken, plural(broken));
    put(p, "</p>\n");
}

static void put_pills(struct page *p)
{
    put(p, "<ul class=\"pills\">\n");
    for (int s = SC_ERROR; s >= SC_INFO; s--) {
        sc_buf_printf(
            &p->b, "<li class=\"pill %s\"><span class=\"sign\" aria-hidden=\"true\">%s</span><b>",
            severity_names[s], severity_signs[s]);
        put_count(p, p->by_severity[s]);
        sc_buf_printf(&p->b, "</b> %s%s</li>\n", severity_names[s],
                      s == SC_INFO ? "" : plural(p->by_severity[s]));
    }
    put(p, "<li class=\"pill good\"><span class=\"sign\" aria-hidden=\"true\">✓</span><b>");
    put_count(p, p->clean);
    sc_buf_printf(&p->b, "</b> tensor%s without findings</li>\n</ul>\n", plural(p->clean));
}

static void put_tile(struct page *p, const char *label, const char *value, const char *detail)
{
    sc_buf_printf(&p->b, "<div class=\"tile\"><dt>%s</dt><dd><b>%s</b>", label, value);
    if (detail)
        sc_buf_printf(&p->b, "<span>%s</span>", detail);
    put(p, "</dd></div>\n");
}

static void put_worst_tile(struct page *p, const char *label, const char *metric, const char *unit)
{
    double value;
    uint32_t at;

    if (!find_worst(p, sc_plot_metric(metric), &value, &at))
        return;
    sc_buf_printf(&p->b, "<div class=\"tile\"><dt>%s</dt><dd><b>", label);
    put_value(p, value);
    sc_buf_printf(&p->b, "%s</b><span>", unit);
    put_tensor(p, at);
    put(p, "</span></dd></div>\n");
}

static void put_tiles(struct page *p)
{
    uint64_t parameters = 0, bytes = 0, singular = 0, spectra = 0, wild = 0;
    char text[64], number[32];

    for (size_t i = 0; i < p->v->n; i++) {
        const struct sc_tensor *t = &p->v->model->tensors[p->v->tensors[i]];
        const struct sc_health *h = p->v->health[i];
        parameters = sc_add_up(parameters, t->parameters);
        bytes = sc_add_up(bytes, t->bytes);
        double condition = sc_plot_value(p->v, i, sc_plot_metric("condition"));
        spectra += !isnan(condition);
        singular += isinf(condition) != 0;
        if (h && (h->measured & SC_METHOD_BASIC))
            wild += h->basic.nans + h->basic.infinities;
    }
    put(p, "<dl class=\"tiles\">\n");
    sc_format_count(p->n_measured, number);
    snprintf(text, sizeof text, "of %zu", p->v->n);
    put_tile(p, "Tensors measured", number, text);
    sc_format_parameters(parameters, number);
    put_tile(p, "Values", number, NULL);
    sc_format_bytes(bytes, number);
    put_tile(p, "Stored in", number, NULL);
    sc_format_count(wild, number);
    put_tile(p, "NaN and infinite values", number, NULL);
    if (spectra) {
        sc_format_count(singular, number);
        snprintf(text, sizeof text, "of %llu matrices", (unsigned long long)spectra);
        put_tile(p, "Singular matrices", number, text);
    }
    put_worst_tile(p, "Furthest above a random matrix", "condition-excess", " ×");
    put_worst_tile(p, "Lowest SQNR, one scale a tensor", "sqnr-tensor", " dB");
    put_worst_tile(p, "Most extreme outliers", "extreme", " %");
    put(p, "</dl>\n");
}

static void put_scalar(struct page *p, const char *prefix, const struct sc_field *f)
{
    char text[64] = "";

    if (f->kind == SC_FIELD_UINT && f->hint == SC_COL_BYTES)
        sc_format_bytes(f->as.u, text);
    else if (f->kind == SC_FIELD_UINT)
        sc_format_count(f->as.u, text);
    else if (f->kind == SC_FIELD_INT)
        snprintf(text, sizeof text, "%lld", (long long)f->as.i);
    else if (f->kind == SC_FIELD_NUMBER)
        sc_format_real(f->as.f, text);
    else if (f->kind == SC_FIELD_BOOL)
        snprintf(text, sizeof text, "%s", f->as.b ? "yes" : "no");
    else if (f->kind != SC_FIELD_TEXT)
        return;
    put(p, "<div><dt>");
    put(p, prefix);
    put_text(p, f->key);
    put(p, "</dt><dd>");
    if (f->kind == SC_FIELD_TEXT)
        put_text(p, f->as.s);
    else
        put_textz(p, text);
    put(p, "</dd></div>\n");
}

/* The scalars of the document, and those of the objects in it. */
static void put_facts(struct page *p)
{
    if (!p->v->facts)
        return;
    put(p, "<details class=\"facts\"><summary>Facts of this scan</summary>\n<dl>\n");
    for (const struct sc_field *f = p->v->facts->as.children.first; f; f = f->next) {
        put_scalar(p, "", f);
        if (f->kind != SC_FIELD_OBJECT || f->key.n > 40)
            continue;
        char prefix[48];
        snprintf(prefix, sizeof prefix, "%.*s ", (int)f->key.n, f->key.p);
        for (const struct sc_field *c = f->as.children.first; c; c = c->next)
            put_scalar(p, prefix, c);
    }
    put(p, "</dl></details>\n");
}

static void put_summary(struct page *p)
{
    put(p, "<section id=\"summary\">\n<h1>");
    put_text(p, p->v->title);
    put(p, "</h1>\n");
    put_verdict(p);
    put_pills(p);
    put_tiles(p);
    put_facts(p);
    put(p, "</section>\n");
}

/* --------------------------------------------------------------------------------- findings --- */
struct rule_count {
    size_t n, rule;
    unsigned severity;
};

static int rule_down(const void *a, const void *b)
{
    const struct rule_count *x = a, *y = b;

    if (x->severity != y->severity)
        return x->severity > y->severity ? -1 : 1;
    return x->n > y->n ? -1 : x->n < y->n ? 1 : (x->rule > y->rule) - (x->rule < y->rule);
}

static void put_rules(struct page *p)
{
    const struct sc_scan_view *v = p->v;
    struct rule_count *count = sc_calloc(SC_MAX(v->n_rules, 1), sizeof *count);

    if (!count) {
        p->b.failed = true;
        return;
    }
    for (size_t i = 0; i < v->n_rules; i++)
        count[i].rule = i;
    for (size_t i = 0; i < v->issues->n; i++) {
        const struct sc_issue *issue = &v->issues->p[i];
        if (issue->rule >= v->n_rules)
            continue;
        count[issue->rule].n++;
        count[issue->rule].severity =
            SC_MAX(count[issue->rule].severity, SC_MIN(issue->severity, 2u));
    }
    qsort(count, v->n_rules, sizeof *count, rule_down);
    put(p, "<ul class=\"rules\">\n");
    for (size_t i = 0; i < v->n_rules; i++) {
        if (!count[i].n)
            continue;
        const struct sc_rule *rule = &v->rules[count[i].rule];
        sc_buf_printf(&p->b, "<li><span class=\"pill %s\"><b>", severity_names[count[i].severity]);
        put_count(p, count[i].n);
        put(p, "</b></span> ");
        put_textz(p, rule->title);
        if (rule->reference) {
            put(p, " <small>");
            put_textz(p, rule->reference);
            put(p, "</small>");
        }
        put(p, "</li>\n");
    }
    put(p, "</ul>\n");
    free(count);
}

static void put_issue(struct page *p, const struct sc_issue *issue)
{
    const struct sc_scan_view *v = p->v;
    unsigned severity = SC_MIN(issue->severity, 2);
    uint32_t at = issue->tensor < v->model->n_tensors ? p->positions[issue->tensor] : UINT32_MAX;

    sc_buf_printf(&p->b,
                  "<tr data-severity=\"%u\"><td data-v=\"%u\"><span class=\"pill %s\"><span "
                  "class=\"sign\" aria-hidden=\"true\">%s</span>%s</span></td><td>",
                  severity, severity, severity_names[severity], severity_signs[severity],
                  severity_names[severity]);
    if (at != UINT32_MAX)
        put_tensor(p, at);
    put(p, "</td><td>");
    if (issue->rule < v->n_rules)
        put_textz(p, v->rules[issue->rule].id);
    put(p, "</td><td class=\"number\" data-v=\"");
    char number[40];
    sc_format_double(issue->value, number);
    put(p, number);
    put(p, "\">");
    put_value(p, issue->value);
    put(p, "</td><td class=\"message\">");
    put_text(p, sc_str(issue->message, strnlen(issue->message, sizeof issue->message)));
    put(p, "</td></tr>\n");
}

static void put_findings(struct page *p)
{
    const struct sc_issues *issues = p->v->issues;
    static const char *const heads[] = {"Severity", "Tensor", "Rule", "Value", "What"};

    put(p, "<section id=\"findings\">\n<h2>Findings</h2>\n");
    if (!issues || !issues->n) {
        put(p, issues ? "<p>No rule has found anything.</p>\n</section>\n"
                      : "<p>No rules were applied.</p>\n</section>\n");
        return;
    }
    put_rules(p);
    put(p, "<div class=\"controls needs-script\" hidden><label>Filter <input type=\"search\" "
           "id=\"issue-filter\" placeholder=\"name, rule or word\"></label>");
    for (int s = SC_ERROR; s >= SC_INFO; s--)
        sc_buf_printf(&p->b,
                      "<label><input type=\"checkbox\" class=\"issue-severity\" value=\"%d\" "
                      "checked> %s</label>",
                      s, severity_names[s]);
    put(p, "<output id=\"issue-count\"></output></div>\n<div class=\"scroll\" tabindex=\"0\" "
           "role=\"region\" aria-label=\"Findings\"><table id=\"issues\"><thead><tr>");
    for (size_t i = 0; i < SC_COUNT(heads); i++)
        sc_buf_printf(&p->b, "<th scope=\"col\"%s><button type=\"button\">%s</button></th>",
                      i == 3 ? " class=\"number\"" : "", heads[i]);
    put(p, "</tr></thead>\n<tbody>\n");
    size_t shown = SC_MIN(issues->n, SC_HTML_ISSUES);
    for (size_t i = 0; i < shown; i++)
        put_issue(p, &issues->p[i]);
    put(p, "</tbody></table></div>\n</section>\n");
    if (shown < issues->n)
        sc_buf_printf(&p->left_out, "<li>The table of findings holds the worst %zu of %zu.</li>\n",
                      shown, issues->n);
}

/* ------------------------------------------------------------------------------------ plots --- */
/* A picture for wide screens and one for narrow ones; the style sheet shows the one that fits. */
static int put_picture(struct page *p, const struct sc_plot *plot, const struct sc_plot_input *in,
                       struct sc_error *e)
{
    struct sc_buf notes = {0};

    put(p, "<div class=\"wide\">");
    int code = sc_plot_svg(plot, in, 1040, true, &p->b, &notes, e);
    put(p, "</div>");
    if (code == 1) {
        put(p, "<div class=\"narrow\">");
        code = sc_plot_svg(plot, in, 400, true, &p->b, NULL, e);
        put(p, "</div>\n<figcaption>");
        put_textz(p, plot->what);
        if (notes.n) {
            put(p, " <span class=\"note\">");
            put_text(p, sc_str(notes.p, notes.n));
            put(p, "</span>");
        }
        put(p, "</figcaption>\n");
    }
    sc_buf_clear(&notes);
    return code;
}

static int put_figure(struct page *p, const struct sc_plot *plot, const struct sc_plot_input *in,
                      struct sc_error *e)
{
    size_t start = p->b.n;

    sc_buf_printf(&p->b, "<figure id=\"plot-%s\">\n<h3>", plot->id);
    put_textz(p, plot->title);
    put(p, "</h3>\n");
    int code = put_picture(p, plot, in, e);
    put(p, "</figure>\n");
    if (code != 0 || p->b.failed)
        return code;
    p->b.n = start; /* there was nothing to show */
    sc_buf_printf(&p->left_out, "<li>%s: ", plot->title);
    sc_put_markup(&p->left_out, sc_strz(plot->needs));
    sc_buf_puts(&p->left_out, "</li>\n");
    return 0;
}

static int put_plots(struct page *p, struct sc_error *e)
{
    put(p, "<section id=\"plots\">\n<h2>Plots</h2>\n");
    for (size_t i = 0; i < sc_n_plots; i++) {
        const struct sc_plot *plot = &sc_plots[i];
        struct sc_plot_input in = {.views = p->views, .n_views = p->n_views};
        bool wanted =
            plot->kind == SC_PLOT_MODEL || (plot->kind == SC_PLOT_MODELS && p->n_views > 1);
        if (!wanted)
            continue;
        int code = put_figure(p, plot, &in, e);
        if (code < 0)
            return code;
        send(p);
    }
    put(p, "</section>\n");
    return 0;
}

/* ------------------------------------------------------------------------------------- maps --- */
/* Without the script: one map. With it: any metric, over roles or experts. */
static int put_maps(struct page *p, struct sc_error *e)
{
    struct sc_plot_input in = {.views = p->v, .n_views = 1, .metric = sc_plot_metric("std")};
    const struct sc_plot *plot = sc_plot("layers");

    put(p, "<section id=\"maps\">\n<h2>Layers and roles</h2>\n"
           "<div class=\"controls needs-script\" hidden><label>Metric <select id=\"map-metric\">"
           "</select></label><label id=\"map-kind-label\">Rows <select id=\"map-kind\">"
           "<option value=\"roles\">roles</option><option value=\"experts\">experts</option>"
           "</select></label></div>\n<figure><div id=\"map\">");
    int code = put_picture(p, plot, &in, e);
    if (code < 0)
        return code;
    if (code == 0)
        put(p, "<p>No figure of a layer was measured.</p>");
    put(p, "</div></figure>\n");
    return 0;
}

struct role_line {
    size_t n;
    uint64_t parameters;
    double worst_condition, least_sqnr;
};

static void put_role(struct page *p, const struct sc_grid *g, uint32_t row,
                     const struct role_line *r)
{
    struct sc_buf name = {0};

    sc_grid_row_name(&g->rows[row], SC_GRID_ROLES, &name);
    put(p, "<tr><th scope=\"row\">");
    put_text(p, sc_str(name.p ? name.p : "", name.n));
    put(p, "</th><td class=\"number\">");
    put_count(p, r->n);
    char number[32];
    sc_format_parameters(r->parameters, number);
    sc_buf_printf(&p->b, "</td><td class=\"number\">%s</td><td>", number);
    sc_plot_spark(g, row, true, &p->b);
    put(p, "</td><td class=\"number\">");
    put_value(p, r->worst_condition);
    put(p, "</td><td class=\"number\">");
    put_value(p, r->least_sqnr);
    put(p, "</td></tr>\n");
    p->b.failed = p->b.failed || name.failed;
    sc_buf_clear(&name);
}

static bool belongs(const struct sc_grid_line *row, const struct sc_tensor *t)
{
    return row->role == t->role && row->expert == (sc_family_of(t) == SC_FAMILY_EXPERT);
}

static struct role_line sum_role(const struct page *p, const struct sc_grid_line *row)
{
    struct role_line r = {.worst_condition = NAN, .least_sqnr = NAN};
    const struct sc_plot_metric *condition = sc_plot_metric("condition"),
                                *sqnr = sc_plot_metric("sqnr-tensor");

    for (size_t i = 0; i < p->v->n; i++) {
        const struct sc_tensor *t = &p->v->model->tensors[p->v->tensors[i]];
        if (!belongs(row, t))
            continue;
        r.n++;
        r.parameters = sc_add_up(r.parameters, t->parameters);
        r.worst_condition = fmax(r.worst_condition, sc_plot_value(p->v, i, condition));
        r.least_sqnr = fmin(r.least_sqnr, sc_plot_value(p->v, i, sqnr));
    }
    return r;
}

static int put_roles(struct page *p, struct sc_error *e)
{
    struct sc_grid g;

    TRY(sc_grid_make(p->v, sc_plot_metric("std"), SC_GRID_ROLES, 120, 64, &g, e));
    if (g.n_rows) {
        put(p,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Roles\"><table>"
            "<thead><tr><th scope=\"col\">Role</th><th scope=\"col\" class=\"number\">Tensors</th>"
            "<th scope=\"col\" class=\"number\">Values</th>"
            "<th scope=\"col\">Std along the layers</th>"
            "<th scope=\"col\" class=\"number\">Largest condition number</th>"
            "<th scope=\"col\" class=\"number\">Lowest SQNR, dB</th></tr></thead>\n<tbody>\n");
        for (uint32_t row = 0; row < g.n_rows; row++) {
            struct role_line r = sum_role(p, &g.rows[row]);
            put_role(p, &g, row, &r);
        }
        put(p, "</tbody></table></div>\n");
    }
    put(p, "</section>\n");
    sc_grid_clear(&g);
    return 0;
}

/* ---------------------------------------------------------------------------------- figures --- */
static void put_figures(struct page *p)
{
    put(p, "<section id=\"figures\">\n<h2>Figures of the tensors</h2>\n"
           "<p class=\"without-script\">This table is drawn by the script of the page.</p>\n"
           "<div class=\"controls needs-script\" hidden><div id=\"figure-groups\" role=\"group\" "
           "aria-label=\"Kind of figures\"></div><label>Filter <input type=\"search\" "
           "id=\"figure-filter\" placeholder=\"name or role\"></label>"
           "<output id=\"figure-count\"></output></div>\n"
           "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Figures\">"
           "<table id=\"figure-table\"></table></div>\n"
           "<button type=\"button\" id=\"figure-more\" class=\"needs-script\" hidden>Show "
           "more</button>\n"
           "</section>\n");
    if (p->n_details < p->v->n)
        sc_buf_printf(&p->left_out,
                      "<li>The page holds the figures of %zu of %zu tensors: those with the most "
                      "severe findings, then those whose largest value stands out most. Summary, "
                      "maps and plots are of all of them.</li>\n",
                      p->n_details, p->v->n);
}

static void put_about(struct page *p)
{
    put(p, "<section id=\"about\">\n<h2>About this page</h2>\n<p>Made by scruple ");
    put_textz(p, scruple_version());
    put(p,
        ". All figures are computed from the weights; statistics are over finite values, NaN and "
        "infinities are counted apart. Figures are shown with up to seven digits; the JSON "
        "document of the same scan has all of them. The page is complete in itself and asks "
        "nothing of any network. The elements themselves are not in it, so there is no picture "
        "of them here.</p>\n");
    if (p->left_out.n) {
        put(p, "<h3>What is not shown</h3>\n<ul>\n");
        sc_buf_put(&p->b, p->left_out.p, p->left_out.n);
        put(p, "</ul>\n");
    }
    put(p, "</section>\n");
}

static void put_tail(struct page *p)
{
    put(p, "</main>\n<dialog id=\"tensor\" aria-labelledby=\"tensor-name\"></dialog>\n"
           "<script type=\"application/json\" id=\"data\">");
    sc_html_data(p->v, p->order, p->n_details, &p->b);
    put(p, "</script>\n");
    sc_page_tail(&frame, &p->b);
}

static int put_page(struct page *p, struct sc_error *e)
{
    TRY(prepare(p, e));
    TRY(sc_page_head(&frame, p->v->title, &p->b, e));
    put_banner(p);
    put_summary(p);
    put_findings(p);
    send(p);
    TRY(put_maps(p, e));
    TRY(put_roles(p, e));
    TRY(put_plots(p, e));
    put_figures(p);
    put_about(p);
    p->b.failed = p->b.failed || p->left_out.failed;
    put_tail(p);
    send(p);
    /* What became of writing is in the state of the output, as with every other report. */
    return p->o->status == SCRUPLE_EMEMORY ? sc_fail_memory(e) : 0;
}

int sc_report_html(struct sc_out *o, const struct sc_scan_view *views, size_t n_views,
                   struct sc_error *e)
{
    struct page p = {.o = o, .views = views, .v = views, .n_views = n_views};
    int code = put_page(&p, e);

    free(p.order);
    free(p.positions);
    free(p.worst);
    free(p.has_details);
    sc_buf_clear(&p.b);
    sc_buf_clear(&p.left_out);
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* html_data: figures as JSON for the page's own script.
 *
 *   groups   what the figures of a group are: key, title, unit
 *   grids    metrics over layers and roles, and over layers and experts, for the heat maps
 *   tensors  name, shape, figures (a list a group, in the order of its columns), and what pictures
 *            of it are drawn from
 *
 * Figures have seven digits, which is what people look at; the JSON document has all. Text passes
 * sc_put_safe(), and < > & are escaped, so nothing can end the element that holds it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"

/* ----------------------------------------------------------------------------------- values --- */
static void put_textz(struct sc_buf *b, const char *text)
{
    if (text)
        sc_put_script_text(b, sc_strz(text));
    else
        sc_buf_puts(b, "null");
}

static void put_number(struct sc_buf *b, double v)
{
    sc_put_script_number(b, v, 7);
}

static void put_count(struct sc_buf *b, uint64_t v)
{
    char digits[24];

    if (v == UINT64_MAX) {
        sc_buf_puts(b, "null");
        return;
    }
    sc_format_u64(v, digits);
    sc_buf_puts(b, digits);
}

static const void *at_offset(const struct sc_health *h, const struct sc_metric *m)
{
    return (const char *)h + m->offset;
}

/* Arrays are not shown in tables. */
static bool is_column(const struct sc_metric *m)
{
    switch ((enum sc_metric_kind)m->kind) {
    case SC_METRIC_DOUBLE:
    case SC_METRIC_UINT:
    case SC_METRIC_UINT32:
    case SC_METRIC_TEXT:
    case SC_METRIC_METHOD:
        return !(m->flags & SC_METRIC_PLOT);
    case SC_METRIC_DOUBLES:
    case SC_METRIC_FLOATS:
    case SC_METRIC_UINTS:
    case SC_METRIC_UINT32S:
        break;
    }
    return false;
}

static void put_metric(struct sc_buf *b, const struct sc_scan_view *v, const struct sc_health *h,
                       const struct sc_metric *m)
{
    const void *p = at_offset(h, m);

    if (m->kind == SC_METRIC_DOUBLE) {
        put_number(b, *(const double *)p);
    } else if (m->kind == SC_METRIC_UINT) {
        put_count(b, *(const uint64_t *)p);
    } else if (m->kind == SC_METRIC_UINT32) {
        put_count(b, *(const uint32_t *)p);
    } else if (m->kind == SC_METRIC_TEXT) {
        const char *text = p;
        size_t n = strnlen(text, 16);
        if (n)
            sc_put_script_text(b, sc_str(text, n));
        else
            sc_buf_puts(b, "null");
    } else {
        uint32_t method = *(const uint32_t *)p;
        put_textz(b, v->spectrum_methods && method <= SC_SPECTRUM_ESTIMATE
                         ? v->spectrum_methods[method]
                         : NULL);
    }
}

/* ----------------------------------------------------------------------------------- groups --- */
static void put_groups(struct sc_buf *b, const struct sc_scan_view *v)
{
    sc_buf_puts(b, "\"groups\":[");
    for (size_t g = 0; v->groups && v->groups[g]; g++) {
        const struct sc_metric_group *group = v->groups[g];
        sc_buf_puts(b, g ? ",\n{\"title\":" : "{\"title\":");
        put_textz(b, group->title);
        sc_buf_puts(b, ",\"columns\":[");
        bool first = true;
        for (size_t i = 0; i < group->n; i++) {
            const struct sc_metric *m = &group->metrics[i];
            if (!is_column(m))
                continue;
            sc_buf_puts(b, first ? "[" : ",[");
            first = false;
            put_textz(b, m->key);
            sc_buf_putc(b, ',');
            put_textz(b, m->title);
            sc_buf_putc(b, ',');
            put_textz(b, m->unit);
            sc_buf_putc(b, ']');
        }
        sc_buf_puts(b, "]}");
    }
    sc_buf_puts(b, "]");
}

/* ------------------------------------------------------------------------------------ grids --- */
static void put_grid(struct sc_buf *b, const struct sc_plot_metric *m, const struct sc_grid *g,
                     enum sc_grid_kind kind)
{
    sc_buf_printf(b, "{\"id\":\"%s\",\"experts\":%s,\"log\":%s,\"title\":", m->id,
                  kind == SC_GRID_EXPERTS ? "true" : "false", m->log ? "true" : "false");
    put_textz(b, m->title);
    sc_buf_puts(b, ",\"unit\":");
    put_textz(b, m->unit);
    sc_buf_printf(b, ",\"per\":[%zu,%zu],\"rows\":[", g->per_row, g->per_column);
    for (size_t i = 0; i < g->n_rows; i++) {
        struct sc_buf name = {0};
        sc_grid_row_name(&g->rows[i], kind, &name);
        sc_buf_puts(b, i ? "," : "");
        sc_put_script_text(b, sc_str(name.p ? name.p : "", name.n));
        b->failed = b->failed || name.failed;
        sc_buf_clear(&name);
    }
    sc_buf_puts(b, "],\"columns\":[");
    for (size_t i = 0; i < g->n_columns; i++)
        sc_buf_printf(b, "%s[%d,\"%s\"]", i ? "," : "", g->columns[i].number,
                      sc_tower_names[g->columns[i].tower]);
    sc_buf_puts(b, "],\"cells\":[");
    for (size_t i = 0; i < g->n_cells; i++) {
        const struct sc_cell_value *c = &g->cells[i];
        sc_buf_printf(b, "%s[%u,%u,%u,%u,", i ? "," : "", c->row, c->column, c->n, c->first);
        sc_put_script_number(b, c->median, 4);
        if (c->n > 1) {
            sc_buf_putc(b, ',');
            sc_put_script_number(b, c->low, 4);
            sc_buf_putc(b, ',');
            sc_put_script_number(b, c->high, 4);
        }
        sc_buf_putc(b, ']');
    }
    sc_buf_puts(b, "]}");
}

static void put_grids(struct sc_buf *b, const struct sc_scan_view *v)
{
    bool first = true;

    sc_buf_puts(b, "\"grids\":[");
    for (size_t i = 0; i < sc_n_plot_metrics; i++) {
        for (int kind = SC_GRID_ROLES; kind <= SC_GRID_EXPERTS; kind++) {
            struct sc_grid g;
            size_t columns = kind == SC_GRID_EXPERTS ? 64 : 128;
            if (sc_grid_make(v, &sc_plot_metrics[i], (enum sc_grid_kind)kind, columns, 64, &g,
                             NULL) < 0) {
                b->failed = true;
                return;
            }
            if (g.n_cells) {
                sc_buf_puts(b, first ? "" : ",\n");
                first = false;
                put_grid(b, &sc_plot_metrics[i], &g, (enum sc_grid_kind)kind);
            }
            sc_grid_clear(&g);
        }
    }
    sc_buf_puts(b, "]");
}

/* ---------------------------------------------------------------------------------- tensors --- */
static void put_histogram(struct sc_buf *b, const struct sc_basic *s)
{
    sc_buf_puts(b, ",\"h\":{\"edge\":");
    put_number(b, s->histogram_edge);
    sc_buf_puts(b, ",\"mean\":");
    put_number(b, s->mean);
    sc_buf_puts(b, ",\"std\":");
    put_number(b, s->std);
    sc_buf_puts(b, ",\"n\":");
    put_count(b, s->finite);
    sc_buf_puts(b, ",\"c\":[");
    for (size_t i = 0; i < SC_HISTOGRAM; i++) {
        sc_buf_puts(b, i ? "," : "");
        put_count(b, s->histogram[i]);
    }
    sc_buf_puts(b, "]}");
}

static void put_named(struct sc_buf *b, const char *name, double v)
{
    sc_buf_printf(b, ",\"%s\":", name);
    put_number(b, v);
}

static void put_spectrum(struct sc_buf *b, const struct sc_spectrum *s)
{
    sc_buf_printf(b, ",\"e\":{\"slices\":%u,\"slice\":%u", s->slices, s->slice);
    put_named(b, "rank", (double)s->total_rank);
    put_named(b, "m", (double)SC_MIN(s->rows, s->cols));
    put_named(b, "n", (double)SC_MAX(s->rows, s->cols));
    put_named(b, "low", s->esd_low);
    put_named(b, "high", s->esd_high);
    put_named(b, "edge", s->edge);
    put_named(b, "noise", s->noise_sigma);
    put_named(b, "alpha", s->power_law.alpha);
    put_named(b, "xmin", s->power_law.xmin);
    put_named(b, "xmax", s->power_law.xmax);
    put_named(b, "tail", (double)s->power_law.in_tail);
    sc_buf_puts(b, ",\"c\":[");
    for (size_t i = 0; i < SC_ESD_BINS; i++)
        sc_buf_printf(b, "%s%u", i ? "," : "", s->esd[i]);
    sc_buf_puts(b, "],\"p\":[");
    for (size_t i = 0; i < SC_MIN(s->n_points, SC_SIGMA_POINTS); i++) {
        sc_buf_puts(b, i ? "," : "");
        sc_put_script_number(b, (double)s->point[i], 4);
    }
    sc_buf_puts(b, "]}");
}

static void put_figures(struct sc_buf *b, const struct sc_scan_view *v, const struct sc_health *h)
{
    sc_buf_puts(b, ",\"m\":[");
    for (size_t g = 0; v->groups && v->groups[g]; g++) {
        const struct sc_metric_group *group = v->groups[g];
        sc_buf_puts(b, g ? "," : "");
        if (!h || !(h->measured & group->method)) {
            sc_buf_puts(b, "null");
            continue;
        }
        bool first = true;
        sc_buf_putc(b, '[');
        for (size_t i = 0; i < group->n; i++) {
            if (!is_column(&group->metrics[i]))
                continue;
            sc_buf_puts(b, first ? "" : ",");
            first = false;
            put_metric(b, v, h, &group->metrics[i]);
        }
        sc_buf_putc(b, ']');
    }
    sc_buf_putc(b, ']');
    if (h && (h->measured & SC_METHOD_BASIC) && h->basic.histogram_edge > 0)
        put_histogram(b, &h->basic);
    if (h && (h->measured & SC_METHOD_SPECTRAL) && h->spectrum.method != SC_SPECTRUM_NONE)
        put_spectrum(b, &h->spectrum);
}

static void put_tensor(struct sc_buf *b, const struct sc_scan_view *v, uint32_t at)
{
    const struct sc_tensor *t = &v->model->tensors[v->tensors[at]];

    sc_buf_printf(b, "{\"i\":%u,\"name\":", at);
    sc_put_script_text(b, sc_str(t->name, t->name_len));
    sc_buf_puts(b, ",\"dtype\":");
    put_textz(b, t->dtype);
    sc_buf_printf(b, ",\"role\":\"%s\",\"layer\":%d,\"shape\":[", sc_role_names[t->role], t->layer);
    for (size_t i = 0; i < t->rank; i++) {
        sc_buf_puts(b, i ? "," : "");
        put_count(b, t->shape[i]);
    }
    sc_buf_puts(b, "],\"parameters\":");
    put_count(b, t->parameters);
    put_figures(b, v, v->health[at]);
    sc_buf_putc(b, '}');
}

void sc_html_data(const struct sc_scan_view *v, const uint32_t *order, size_t n, struct sc_buf *b)
{
    sc_buf_puts(b, "{");
    put_groups(b, v);
    sc_buf_puts(b, ",\n");
    put_grids(b, v);
    sc_buf_puts(b, ",\n\"tensors\":[");
    for (size_t i = 0; i < n; i++) {
        sc_buf_puts(b, i ? ",\n" : "\n");
        put_tensor(b, v, order[i]);
    }
    sc_buf_puts(b, "]}");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* plots_data: from the figures of a scan to what a plot is made of: points, ranges, medians, grids.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/plots_draw.h"

const struct sc_tensor *sc_view_tensor(const struct sc_scan_view *v, size_t i)
{
    return &v->model->tensors[v->tensors[i]];
}

const struct sc_health *sc_view_health(const struct sc_scan_view *v, size_t i, unsigned method)
{
    const struct sc_health *h = v->health[i];

    return h && (h->measured & method) ? h : NULL;
}

double sc_plot_value(const struct sc_scan_view *v, size_t i, const struct sc_plot_metric *m)
{
    const struct sc_health *h = sc_view_health(v, i, m->method);

    return h ? m->get(h) : NAN;
}

struct sc_str sc_plot_name(const struct sc_scan_view *v, size_t i)
{
    const struct sc_tensor *t = sc_view_tensor(v, i);
    struct sc_str name = {t->name, t->name_len};

    if (sc_str_ends(name, ".weight") && name.n > 7)
        name.n -= 7;
    if (sc_str_starts(name, "model.") && name.n > 6) {
        name.p += 6;
        name.n -= 6;
    }
    return name.n ? name : SC_STR("\"\""); /* there are tensors without a name */
}

enum sc_family sc_family_of(const struct sc_tensor *t)
{
    switch ((enum sc_role)t->role) {
    case SC_ROLE_EMBEDDING:
    case SC_ROLE_POSITION:
    case SC_ROLE_OUTPUT:
        return SC_FAMILY_EMBEDDING;
    case SC_ROLE_NORM:
        return SC_FAMILY_NORM;
    case SC_ROLE_Q:
    case SC_ROLE_K:
    case SC_ROLE_V:
    case SC_ROLE_O:
    case SC_ROLE_QKV:
    case SC_ROLE_KV:
    case SC_ROLE_Q_A:
    case SC_ROLE_Q_B:
    case SC_ROLE_KV_A:
    case SC_ROLE_KV_B:
        return SC_FAMILY_ATTENTION;
    case SC_ROLE_GATE:
    case SC_ROLE_UP:
    case SC_ROLE_DOWN:
    case SC_ROLE_GATE_UP:
        return t->expert >= 0 || t->rank == 3 ? SC_FAMILY_EXPERT : SC_FAMILY_MLP;
    case SC_ROLE_ROUTER:
        return SC_FAMILY_ROUTER;
    case SC_ROLE_SSM:
    case SC_ROLE_CONV:
        return SC_FAMILY_SSM;
    case SC_ROLE_OTHER:
    case SC_ROLE_BIAS:
    case SC_ROLE_COUNT:
        break;
    }
    return SC_FAMILY_OTHER;
}

/* ---------------------------------------------------------------------------------- points --- */
int sc_point_up(const void *a, const void *b)
{
    const struct sc_point *x = a, *y = b;

    return x->v < y->v ? -1 : x->v > y->v ? 1 : (x->at > y->at) - (x->at < y->at);
}

int sc_point_down(const void *a, const void *b)
{
    const struct sc_point *x = a, *y = b;

    return x->v > y->v ? -1 : x->v < y->v ? 1 : (x->at > y->at) - (x->at < y->at);
}

struct sc_point *sc_points_of(struct sc_svg *s, const struct sc_scan_view *v,
                              const struct sc_plot_metric *m, size_t *n)
{
    struct sc_point *p = sc_calloc(SC_MAX(v->n, 1), sizeof *p);

    *n = 0;
    if (!p) {
        s->b.failed = true;
        return NULL;
    }
    for (size_t i = 0; i < v->n; i++) {
        double value = sc_plot_value(v, i, m);
        if (!isnan(value))
            p[(*n)++] = (struct sc_point){value, (uint32_t)i};
    }
    return p;
}

struct sc_range sc_range_of(const double *v, size_t stride, size_t n, bool positive)
{
    struct sc_range r = {.low = INFINITY, .high = -INFINITY};

    for (size_t i = 0; i < n; i++) {
        double x = *(const double *)(const void *)((const char *)v + i * stride);
        if (isnan(x))
            continue;
        r.n++;
        r.infinite += isinf(x);
        r.zeros += x == 0;
        if (isinf(x) || (positive && x <= 0))
            continue;
        r.low = SC_MIN(r.low, x);
        r.high = SC_MAX(r.high, x);
    }
    return r;
}

static int double_up(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Between an infinity and a number lies nothing: the larger of the two is taken. */
static double middle(double a, double b)
{
    return isinf(a) || isinf(b) ? b : a / 2 + b / 2;
}

double sc_median(double *v, size_t n)
{
    if (!n)
        return NAN;
    qsort(v, n, sizeof *v, double_up);
    return n % 2 ? v[n / 2] : middle(v[n / 2 - 1], v[n / 2]);
}

/* ----------------------------------------------------------------------------------- grids --- */
struct entry {
    uint64_t row, column; /* keys, then positions */
    double v;
    uint32_t at;
};

static int entry_up(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    if (x->v < y->v || x->v > y->v)
        return x->v < y->v ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int key_up(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static uint64_t row_key(const struct sc_tensor *t, enum sc_grid_kind kind)
{
    if (kind == SC_GRID_EXPERTS)
        return (uint64_t)t->expert;
    return (uint64_t)t->role << 1 | (sc_family_of(t) == SC_FAMILY_EXPERT);
}

static uint64_t column_key(const struct sc_tensor *t)
{
    return (uint64_t)t->tower << 33 | (uint64_t)((int64_t)t->layer + 1);
}

static size_t collect(const struct sc_scan_view *v, const struct sc_plot_metric *m,
                      enum sc_grid_kind kind, struct entry *e)
{
    size_t n = 0;

    for (size_t i = 0; i < v->n; i++) {
        const struct sc_tensor *t = sc_view_tensor(v, i);
        double value = sc_plot_value(v, i, m);
        if (isnan(value) || (kind == SC_GRID_EXPERTS && (t->expert < 0 || t->layer < 0)))
            continue;
        e[n++] = (struct entry){row_key(t, kind), column_key(t), value, (uint32_t)i};
    }
    return n;
}

/* The different keys in order, into `keys` (n of them at most). */
static size_t different(const struct entry *e, size_t n, bool columns, uint64_t *keys)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++)
        keys[i] = columns ? e[i].column : e[i].row;
    qsort(keys, n, sizeof *keys, key_up);
    for (size_t i = 0; i < n; i++)
        if (!i || keys[i] != keys[i - 1])
            keys[used++] = keys[i];
    return used;
}

static size_t position(const uint64_t *keys, size_t n, uint64_t key)
{
    const uint64_t *at = bsearch(&key, keys, n, sizeof *keys, key_up);

    return at ? (size_t)(at - keys) : 0;
}

/* Lines of a grid from its keys, `per` of them to a line; the first names it. */
static struct sc_grid_line *make_lines(const uint64_t *keys, size_t n, size_t per, bool columns,
                                       enum sc_grid_kind kind, size_t *n_lines)
{
    *n_lines = (n + per - 1) / per;
    struct sc_grid_line *lines = sc_calloc(SC_MAX(*n_lines, 1), sizeof *lines);

    for (size_t i = 0; lines && i < *n_lines; i++) {
        uint64_t key = keys[i * per];
        if (columns)
            lines[i] = (struct sc_grid_line){.number = (int32_t)((int64_t)(key & 0x1ffffffff) - 1),
                                             .tower = (uint8_t)(key >> 33)};
        else if (kind == SC_GRID_EXPERTS)
            lines[i] = (struct sc_grid_line){.number = (int32_t)key};
        else
            lines[i] =
                (struct sc_grid_line){.number = -1, .role = (uint8_t)(key >> 1), .expert = key & 1};
    }
    return lines;
}

static void sum_up(struct sc_grid *g, const struct entry *e, size_t n, signed char bad)
{
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && e[end].row == e[i].row && e[end].column == e[i].column;)
            end++;
        size_t count = end - i;
        const struct entry *half = &e[i + count / 2];
        g->cells[g->n_cells++] = (struct sc_cell_value){
            .row = (uint32_t)e[i].row,
            .column = (uint32_t)e[i].column,
            .n = (uint32_t)count,
            .first = bad < 0 ? e[i].at : e[end - 1].at,
            .median = count % 2 ? half->v : middle(half[-1].v, half->v),
            .low = e[i].v,
            .high = e[end - 1].v,
        };
    }
}

static int fill_grid(struct sc_grid *g, struct entry *e, size_t n, uint64_t *keys,
                     enum sc_grid_kind kind, size_t max_columns, size_t max_rows, signed char bad)
{
    size_t rows = different(e, n, false, keys);
    g->per_row = SC_MAX((rows + max_rows - 1) / SC_MAX(max_rows, 1), 1);
    g->rows = make_lines(keys, rows, g->per_row, false, kind, &g->n_rows);
    for (size_t i = 0; i < n; i++)
        e[i].row = position(keys, rows, e[i].row) / g->per_row;
    size_t columns = different(e, n, true, keys);
    g->per_column = SC_MAX((columns + max_columns - 1) / SC_MAX(max_columns, 1), 1);
    g->columns = make_lines(keys, columns, g->per_column, true, kind, &g->n_columns);
    for (size_t i = 0; i < n; i++)
        e[i].column = position(keys, columns, e[i].column) / g->per_column;
    qsort(e, n, sizeof *e, entry_up);
    g->cells = sc_calloc(SC_MAX(n, 1), sizeof *g->cells);
    if (!g->rows || !g->columns || !g->cells)
        return SCRUPLE_EMEMORY;
    sum_up(g, e, n, bad);
    return 0;
}

int sc_grid_make(const struct sc_scan_view *v, const struct sc_plot_metric *m,
                 enum sc_grid_kind kind, size_t max_columns, size_t max_rows, struct sc_grid *out,
                 struct sc_error *e)
{
    struct entry *entries = sc_calloc(SC_MAX(v->n, 1), sizeof *entries);
    uint64_t *keys = sc_calloc(SC_MAX(v->n, 1), sizeof *keys);
    int code = SCRUPLE_EMEMORY;

    *out = (struct sc_grid){0};
    if (entries && keys) {
        size_t n = collect(v, m, kind, entries);
        code = fill_grid(out, entries, n, keys, kind, max_columns, max_rows, m->bad);
    }
    free(entries);
    free(keys);
    if (code < 0) {
        sc_grid_clear(out);
        return sc_fail_memory(e);
    }
    return 0;
}

void sc_grid_clear(struct sc_grid *g)
{
    free(g->rows);
    free(g->columns);
    free(g->cells);
    *g = (struct sc_grid){0};
}

void sc_grid_row_name(const struct sc_grid_line *line, enum sc_grid_kind kind, struct sc_buf *out)
{
    if (kind == SC_GRID_EXPERTS)
        sc_buf_printf(out, "%d", line->number);
    else
        sc_buf_printf(out, "%s%s", sc_role_names[line->role], line->expert ? " (experts)" : "");
}

/* ----------------------------------------------------------------------------------- order --- */
uint32_t *sc_plot_positions(const struct sc_scan_view *v)
{
    size_t n = v->model->n_tensors;
    uint32_t *at = sc_alloc(SC_MAX(n, 1) * sizeof *at);

    if (at) {
        memset(at, 0xff, n * sizeof *at);
        for (size_t i = 0; i < v->n; i++)
            at[v->tensors[i]] = (uint32_t)i;
    }
    return at;
}

/* How remarkable a tensor is without any finding: 0 to 1. */
static double strangeness(const struct sc_scan_view *v, size_t i)
{
    const struct sc_health *h = sc_view_health(v, i, SC_METHOD_BASIC);

    if (!h || !(h->basic.max_over_sigma_normal > 0) || isnan(h->basic.max_over_sigma))
        return 0;
    return 1 - 1 / (1 + h->basic.max_over_sigma / h->basic.max_over_sigma_normal);
}

int sc_plot_worst(const struct sc_scan_view *v, uint32_t *order, struct sc_error *e)
{
    struct sc_point *points = sc_calloc(SC_MAX(v->n, 1), sizeof *points);
    uint32_t *at = sc_plot_positions(v);

    if (!points || !at) {
        free(points);
        free(at);
        return sc_fail_memory(e);
    }
    for (size_t i = 0; i < v->n; i++)
        points[i] = (struct sc_point){strangeness(v, i), (uint32_t)i};
    for (size_t i = 0; v->issues && i < v->issues->n; i++) {
        const struct sc_issue *issue = &v->issues->p[i];
        if (issue->tensor < v->model->n_tensors && at[issue->tensor] != UINT32_MAX) {
            static const double weight[] = {1e0, 1e4, 1e8};
            points[at[issue->tensor]].v += weight[SC_MIN(issue->severity, 2)];
        }
    }
    qsort(points, v->n, sizeof *points, sc_point_down);
    for (size_t i = 0; i < v->n; i++)
        order[i] = points[i].at;
    free(points);
    free(at);
    return 0;
}

/* ---------------------------------------------------------------------------------- layout --- */
double sc_family_legend(struct sc_svg *s, const struct sc_scan_view *v, const struct sc_point *p,
                        size_t n, double y)
{
    struct sc_legend_item items[SC_FAMILY_COUNT];
    bool there[SC_FAMILY_COUNT] = {false};
    size_t used = 0;

    for (size_t i = 0; i < n; i++)
        there[sc_family_of(sc_view_tensor(v, p[i].at))] = true;
    for (size_t f = 0; f < SC_FAMILY_COUNT; f++)
        if (there[f])
            items[used++] = sc_families[f];
    return sc_svg_legend(s, 0, y, s->w, items, used) + 4;
}

double sc_draw_ramp(struct sc_svg *s, double x, double y, const char *low, const char *high)
{
    double w = 22, at = x;

    sc_svg_textz(s, at, y + 10, SC_START, SC_LOOK_LABEL, low);
    at += sc_svg_text_width(sc_strz(low), SC_LOOK_LABEL) + 8;
    for (int i = 0; i < SC_RAMP_STEPS; i++)
        sc_svg_rect(s, at + i * w, y, w - 1, 13, (enum sc_ink)(SC_INK_RAMP0 + i));
    at += SC_RAMP_STEPS * w + 6;
    sc_svg_textz(s, at, y + 10, SC_START, SC_LOOK_LABEL, high);
    return at + sc_svg_text_width(sc_strz(high), SC_LOOK_LABEL) - x;
}

struct sc_rows sc_rows_start(const struct sc_svg *s, double y, size_t wanted, double least_width,
                             double h)
{
    struct sc_rows r = {.y = y, .h = h, .gap = 28, .per_row = SC_MAX(wanted, 1)};

    while (r.per_row > 1 &&
           (s->w - (double)(r.per_row - 1) * r.gap) / (double)r.per_row < least_width)
        r.per_row--;
    r.w = (s->w - (double)(r.per_row - 1) * r.gap) / (double)r.per_row;
    return r;
}

struct sc_box sc_rows_next(struct sc_rows *r)
{
    size_t column = r->at % r->per_row, row = r->at / r->per_row;

    r->at++;
    return (struct sc_box){r->x + (double)column * (r->w + r->gap),
                           r->y + (double)row * (r->h + 18), r->w, r->h};
}

double sc_rows_end(const struct sc_rows *r)
{
    size_t used = (r->at + r->per_row - 1) / r->per_row;

    return r->y + (double)used * (r->h + 18);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* tree_quality: rows of a tree as the worst of their tensors. */
#include "analyze/tree_quality.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One format over the tensors of a row. */
struct cost {
    double pcc, atol;     /* the worst; NaN: there is none */
    double interval;      /* of that pcc, when it is from a sample; else 0 */
    double bytes, values; /* of those that are stored in this row */
    uint32_t n;           /* tensors that fit */
};
struct member_sums {
    double min, max, sum, values; /* sum: of mean times values */
    uint64_t nonfinite, sampled;
    uint32_t measured, missing;
    const char *why; /* of the first that is missing */
};
enum { RANGE_PARTS = 3 };
struct sc_tree_quality {
    const struct sc_quant *q;
    const struct sc_outline *outline;
    bool ascii, sampled;
    struct member_sums *rows;   /* (n_rows) */
    struct cost *costs;         /* (n_rows * formats) */
    size_t widths[RANGE_PARTS]; /* of least, mean and largest */
    char text[160];             /* the cell that was asked for last */
};

static size_t count_formats(const struct sc_tree_quality *v)
{
    return v->q->measured.n;
}

static const struct cost *cost_at(const struct sc_tree_quality *v, size_t row, size_t format)
{
    return &v->costs[row * count_formats(v) + format];
}

/* -------------------------------------------------------------------------------- tensors --- */
/* Where a tensor is in the run; SIZE_MAX: nowhere. Both are in the order of the model. */
static size_t find_tensor(const struct sc_quant *q, uint32_t tensor)
{
    size_t low = 0, high = q->n;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (q->tensors[middle].tensor < tensor)
            low = middle + 1;
        else
            high = middle;
    }
    return low < q->n && q->tensors[low].tensor == tensor ? low : SIZE_MAX;
}

/* What became of a tensor. */
struct finding {
    const struct sc_quant_tensor *t; /* that has its figures; NULL: nobody has */
    const char *state, *why;
    size_t at; /* in the run */
};

static struct finding look_up(const struct sc_quant *q, uint32_t tensor)
{
    struct finding f = {.at = find_tensor(q, tensor)};

    if (f.at == SIZE_MAX) {
        f.state = "unsupported";
        f.why = "no format is for complex numbers";
        return f;
    }
    const struct sc_quant_tensor *t = sc_quant_first(q, f.at);
    if (t->measured) {
        f.t = t;
        f.state = q->tensors[f.at].same != SC_NO_NODE ? "tied" : "measured";
    } else if (t->why) {
        f.state = t->unsupported ? "unsupported" : "unreadable";
        f.why = t->why;
    } else {
        f.state = "unmeasured";
        f.why = "interrupted before it was measured";
    }
    return f;
}

/* ----------------------------------------------------------------------------------- rows --- */
static void merge_cost(struct cost *to, const struct cost *from)
{
    if (!isnan(from->pcc) && !(to->pcc <= from->pcc)) {
        to->pcc = from->pcc;
        to->interval = from->interval;
    }
    to->atol = fmax(to->atol, from->atol);
    to->bytes += from->bytes;
    to->values += from->values;
    to->n += from->n;
}

static void merge_sums(struct member_sums *to, const struct member_sums *from)
{
    to->min = fmin(to->min, from->min);
    to->max = fmax(to->max, from->max);
    to->sum += from->sum;
    to->values += from->values;
    to->nonfinite = sc_add_up(to->nonfinite, from->nonfinite);
    to->sampled = sc_add_up(to->sampled, from->sampled);
    to->measured += from->measured;
    to->missing += from->missing;
    to->why = to->why ? to->why : from->why;
}

static void merge_row(struct sc_tree_quality *v, size_t to, const struct member_sums *sums,
                      const struct cost *costs)
{
    const size_t n = count_formats(v);

    merge_sums(&v->rows[to], sums);
    for (size_t k = 0; k < n; k++)
        merge_cost(&v->costs[to * n + k], &costs[k]);
}

/* Bytes of a tensor that is stored with an earlier one are in the row of that one. */
static void add_tensor(struct sc_tree_quality *v, size_t row, uint32_t tensor)
{
    const struct sc_quant *q = v->q;
    const struct sc_tensor *t = &q->model->tensors[tensor];
    const bool stored = !(sc_tensor_flags(q->model, t) & SC_ENTRY_TIED);
    const struct finding f = look_up(q, tensor);
    struct cost costs[SC_QUALITY_FORMATS];
    struct member_sums sums = {.min = (double)NAN,
                               .max = (double)NAN,
                               .missing = !f.t,
                               .why = f.why,
                               .measured = f.t != NULL};

    for (size_t k = 0; k < count_formats(v); k++) {
        struct sc_quant_row got;
        costs[k] = (struct cost){.pcc = (double)NAN, .atol = (double)NAN};
        if (!f.t || !sc_quant_row_at(q, f.at, k, &got) || got.cost->bytes == UINT64_MAX)
            continue;
        costs[k].n = 1;
        costs[k].pcc = got.cost->pcc;
        costs[k].atol = got.cost->atol;
        costs[k].interval = f.t->intervals ? f.t->intervals[k].pcc : 0;
        costs[k].bytes = stored ? (double)got.cost->bytes : 0;
        costs[k].values = stored ? (double)t->parameters : 0;
    }
    if (f.t) {
        const struct sc_value_facts *x = &f.t->facts;
        sums.nonfinite = x->nonfinite;
        sums.sampled = f.t->sampled;
        if (x->values > x->nonfinite) {
            sums.min = x->min;
            sums.max = x->max;
            sums.values = (double)t->parameters;
            sums.sum = x->mean * (double)t->parameters;
        }
    }
    v->sampled = v->sampled || sums.sampled;
    merge_row(v, row, &sums, costs);
}

/* Modules tell of all that is below them. Rows stand as one reads them, so whatever is deeper and
 * comes later is below, until something as high comes; from the end on, all of a module is there
 * before it is told to the next. */
static int add_up_modules(struct sc_tree_quality *v, struct sc_document *d, struct sc_error *e)
{
    const struct sc_outline *o = v->outline;
    uint32_t *parent = sc_analyze_alloc(d, SC_MAX(o->n_rows, (size_t)1) * sizeof *parent, e);

    if (!parent)
        return SCRUPLE_EMEMORY;
    for (size_t i = 0; i < o->n_rows; i++) {
        uint32_t at = i ? (uint32_t)i - 1 : SC_NO_NODE;
        while (at != SC_NO_NODE &&
               (o->rows[at].depth >= o->rows[i].depth || o->rows[at].tensor != SC_NO_NODE))
            at = parent[at];
        parent[i] = at;
    }
    for (size_t i = o->n_rows; i-- > 0;)
        if (parent[i] != SC_NO_NODE)
            merge_row(v, parent[i], &v->rows[i], &v->costs[i * count_formats(v)]);
    return 0;
}

/* --------------------------------------------------------------------------------- numbers --- */
/* printf's decimal point is that of the locale. */
static void plain_point(char *s)
{
    for (; *s; s++)
        if (!strchr("0123456789+-einf.", *s))
            *s = '.';
}

/* "9.8e-4", "0.0e0" */
static void put_mantissa(char out[32], double v)
{
    char text[32];

    snprintf(text, sizeof text, "%.1e", v);
    char *exponent = strchr(text, 'e');
    int power = 0;
    if (exponent) {
        *exponent++ = '\0';
        for (const char *p = exponent + 1; *p; p++)
            power = power * 10 + (*p - '0');
        power = *exponent == '-' ? -power : power;
        plain_point(text);
        snprintf(out, 32, "%.16se%d", text, power);
    } else {
        memcpy(out, text, sizeof text); /* infinite */
    }
}

/* Two decimals where they say something: weights are small. */
static void put_value(char out[32], double v)
{
    if (isnan(v)) {
        memcpy(out, "-", 2);
    } else if (v == 0) {
        memcpy(out, "0.00", 5);
    } else if (fabs(v) >= 0.1 && fabs(v) < 1000) {
        snprintf(out, 32, "%.2f", v);
        plain_point(out);
    } else {
        put_mantissa(out, v);
    }
}

static void put_parts(const struct member_sums *s, char parts[RANGE_PARTS][32])
{
    put_value(parts[0], s->min);
    put_value(parts[1], s->values > 0 ? s->sum / s->values : (double)NAN);
    put_value(parts[2], s->max);
}

/* A module that is open leaves figures to its rows, as it does sizes. */
static bool is_shown(const struct sc_tree_quality *v, size_t row)
{
    return v->outline->rows[row].tensor != SC_NO_NODE || v->outline->rows[row].closed;
}

int sc_tree_quality_make(struct sc_document *d, const struct sc_quant *q,
                         const struct sc_outline *outline, bool ascii, struct sc_tree_quality **out,
                         struct sc_error *e)
{
    const size_t n = SC_MAX(outline->n_rows, (size_t)1);
    struct sc_tree_quality *v = sc_analyze_alloc(d, sizeof *v, e);
    uint64_t n_costs, bytes;

    *out = v;
    if (!v)
        return SCRUPLE_EMEMORY;
    *v = (struct sc_tree_quality){.q = q, .outline = outline, .ascii = ascii};
    if (!sc_mul(n, SC_MAX(count_formats(v), (size_t)1), &n_costs) ||
        !sc_mul(n_costs, sizeof *v->costs, &bytes) || bytes > SIZE_MAX)
        return sc_fail_memory(e);
    v->rows = sc_analyze_alloc(d, n * sizeof *v->rows, e);
    v->costs = sc_analyze_alloc(d, (size_t)bytes, e);
    if (!v->rows || !v->costs)
        return SCRUPLE_EMEMORY;
    for (size_t i = 0; i < n; i++)
        v->rows[i] = (struct member_sums){.min = (double)NAN, .max = (double)NAN};
    for (size_t i = 0; i < n_costs; i++)
        v->costs[i] = (struct cost){.pcc = (double)NAN, .atol = (double)NAN};
    for (size_t i = 0; i < q->model->n_tensors; i++)
        if (outline->row_of[i] != SC_NO_NODE)
            add_tensor(v, outline->row_of[i], (uint32_t)i);
    TRY(add_up_modules(v, d, e));
    for (size_t i = 0; i < outline->n_rows; i++) {
        char parts[RANGE_PARTS][32];
        put_parts(&v->rows[i], parts);
        for (size_t k = 0; k < RANGE_PARTS && is_shown(v, i); k++)
            v->widths[k] = SC_MAX(v->widths[k], strlen(parts[k]));
    }
    return 0;
}

/* --------------------------------------------------------------------------------- columns --- */
/* On a terminal: the range, then of each format these. */
enum shown_column { SHOWN_FORMAT, SHOWN_PCC, SHOWN_ATOL, SHOWN_BITS, SHOWN_SIZE, SHOWN_COLUMNS };
static const struct sc_column range_column = {
    "range", NULL, NULL, SC_COL_TEXT, SC_COL_TERM_ONLY | SC_COL_RIGHT | SC_COL_SPARE | SC_COL_BAR,
    0};
static const struct sc_column shown_columns[SHOWN_COLUMNS] = {
    [SHOWN_FORMAT] = {"format", NULL, NULL, SC_COL_KEY, SC_COL_TERM_ONLY | SC_COL_BAR, 0},
    [SHOWN_PCC] = {"pcc", NULL, "pcc", SC_COL_NUMBER, SC_COL_TERM_ONLY, 4},
    [SHOWN_ATOL] = {"atol", NULL, "atol", SC_COL_NUMBER, SC_COL_TERM_ONLY, 0},
    [SHOWN_BITS] = {"bits_per_weight", NULL, "bpw", SC_COL_NUMBER, SC_COL_TERM_ONLY | SC_COL_SPARE,
                    2},
    [SHOWN_SIZE] = {"bytes", NULL, "bytes", SC_COL_BYTES, SC_COL_TERM_ONLY | SC_COL_SPARE, 0},
};
/* Flat: these, then of each format those with its name before them. */
enum flat_column {
    FLAT_STATE,
    FLAT_MIN,
    FLAT_MEAN,
    FLAT_MAX,
    FLAT_NONFINITE,
    FLAT_SAMPLED,
    FLAT_COLUMNS
};
static const struct sc_column flat_columns[FLAT_COLUMNS] = {
    [FLAT_STATE] = {"quality", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [FLAT_MIN] = {"min", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [FLAT_MEAN] = {"mean", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [FLAT_MAX] = {"max", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [FLAT_NONFINITE] = {"nonfinite", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [FLAT_SAMPLED] = {"sampled", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
};
enum each_column { EACH_PCC, EACH_INTERVAL, EACH_ATOL, EACH_BYTES, EACH_BITS, EACH_COLUMNS };
static const struct sc_column each_columns[EACH_COLUMNS] = {
    [EACH_PCC] = {"pcc", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [EACH_INTERVAL] = {"pcc_interval", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [EACH_ATOL] = {"atol", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [EACH_BYTES] = {"bytes", NULL, "bytes", SC_COL_BYTES, SC_COL_JSON_ONLY, 0},
    [EACH_BITS] = {"bits_per_weight", NULL, "bits", SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
};

static int add_each_columns(struct sc_document *d, const struct sc_tree_quality *v,
                            struct sc_column *to, struct sc_error *e)
{
    for (size_t k = 0; k < count_formats(v); k++) {
        for (size_t i = 0; i < EACH_COLUMNS; i++) {
            char key[100];
            const int n =
                snprintf(key, sizeof key, "%s.%s", v->q->measured.f[k].name, each_columns[i].key);
            *to = each_columns[i];
            to->key = sc_arena_copy(&d->arena, key, (size_t)n);
            if (!to++->key)
                return sc_fail_memory(e);
        }
    }
    return 0;
}

int sc_tree_quality_columns(struct sc_document *d, const struct sc_tree_quality *v, bool flat,
                            const struct sc_column **columns, size_t *n, struct sc_error *e)
{
    const size_t fixed = flat ? FLAT_COLUMNS : 1;
    const size_t each = flat ? (size_t)EACH_COLUMNS : (size_t)SHOWN_COLUMNS;
    const size_t all = *n + fixed + each * count_formats(v);
    struct sc_column *to = sc_analyze_alloc(d, all * sizeof *to, e);

    if (!to)
        return SCRUPLE_EMEMORY;
    memcpy(to, *columns, *n * sizeof *to);
    memcpy(to + *n, flat ? flat_columns : &range_column, fixed * sizeof *to);
    if (flat) {
        TRY(add_each_columns(d, v, to + *n + fixed, e));
    } else {
        for (size_t k = 0; k < count_formats(v); k++)
            memcpy(to + *n + fixed + k * each, shown_columns, sizeof shown_columns);
        for (size_t i = 0; i < *n; i++) /* names give way to figures */
            to[i].flags |= to[i].kind == SC_COL_LABEL ? SC_COL_SHRINK : 0;
    }
    *columns = to;
    *n = all;
    return 0;
}

/* ----------------------------------------------------------------------------------- cells --- */
static void put_range(struct sc_tree_quality *v, size_t row, struct sc_cell *out)
{
    const char *than = v->ascii ? "<=" : "≤";
    const struct member_sums *s = &v->rows[row];
    char parts[RANGE_PARTS][32];

    put_parts(s, parts);
    out->text = SC_STR("-");
    if (!s->measured || isnan(s->min))
        return;
    snprintf(v->text, sizeof v->text, "%*s %s %*s %s %*s", (int)v->widths[0], parts[0], than,
             (int)v->widths[1], parts[1], than, (int)v->widths[2], parts[2]);
    out->text = sc_strz(v->text);
}

static void put_pcc(struct sc_tree_quality *v, const struct cost *c, struct sc_cell *out)
{
    char share[32];

    out->f = c->pcc;
    out->grade = sc_quant_grade_pcc(c->pcc);
    if (isnan(c->pcc)) {
        out->text = SC_STR("-");
    } else if (c->interval > 0) {
        if (c->interval >= 1e-4)
            snprintf(share, sizeof share, "%.4f", c->interval);
        else
            put_mantissa(share, c->interval);
        snprintf(v->text, sizeof v->text, "%.4f%s%s", c->pcc, v->ascii ? "+-" : "±", share);
        out->text = sc_strz(v->text);
    }
}

/* Of a sample it is the least that it can be. */
static void put_atol(struct sc_tree_quality *v, const struct cost *c, bool sampled,
                     struct sc_cell *out)
{
    char number[32];

    out->f = c->atol;
    out->grade = sc_quant_grade_error(c->atol);
    out->text = SC_STR("-");
    if (isnan(c->atol))
        return;
    put_mantissa(number, c->atol);
    snprintf(v->text, sizeof v->text, "%s%s", !sampled ? "" : v->ascii ? ">=" : "≥", number);
    out->text = sc_strz(v->text);
}

/* A size that leaves out what does not fit would look small. */
static bool has_size(const struct sc_tree_quality *v, size_t row, const struct cost *c)
{
    return c->values > 0 && c->n == v->rows[row].measured + v->rows[row].missing;
}

void sc_tree_quality_row_cell(const struct sc_tree_quality *view, size_t row, size_t column,
                              struct sc_cell *out)
{
    /* The scratch of a table is its own, whatever it is borrowed as. */
    struct sc_tree_quality *v = (struct sc_tree_quality *)(uintptr_t)view;

    out->null = !is_shown(v, row);
    if (out->null)
        return;
    if (column == 0) {
        put_range(v, row, out);
        return;
    }
    const size_t k = (column - 1) / SHOWN_COLUMNS;
    const struct cost *c = cost_at(v, row, k);
    switch ((enum shown_column)((column - 1) % SHOWN_COLUMNS)) {
    case SHOWN_FORMAT:
        out->text = sc_strz(v->q->measured.f[k].name);
        break;
    case SHOWN_PCC:
        put_pcc(v, c, out);
        break;
    case SHOWN_ATOL:
        put_atol(v, c, v->rows[row].sampled > 0, out);
        break;
    case SHOWN_BITS:
        out->null = !has_size(v, row, c);
        out->f = c->bytes * 8 / c->values;
        break;
    case SHOWN_SIZE: /* of one member, as all sizes here */
        out->null = !has_size(v, row, c);
        out->u = (uint64_t)(c->bytes / (double)v->outline->rows[row].count);
        break;
    case SHOWN_COLUMNS:
        break;
    }
}

static void put_figure(struct sc_cell *out, double f)
{
    out->f = f;
    out->null = isnan(f);
}

static void put_flat(const struct sc_tree_quality *v, const struct finding *f, size_t column,
                     struct sc_cell *out)
{
    struct sc_quant_row got;

    out->null = !f->t || !sc_quant_row_at(v->q, f->at, column / EACH_COLUMNS, &got) ||
                got.cost->bytes == UINT64_MAX;
    if (out->null)
        return;
    switch ((enum each_column)(column % EACH_COLUMNS)) {
    case EACH_PCC:
        put_figure(out, got.cost->pcc);
        break;
    case EACH_INTERVAL:
        put_figure(out, f->t->intervals ? f->t->intervals[column / EACH_COLUMNS].pcc : (double)NAN);
        break;
    case EACH_ATOL:
        put_figure(out, got.cost->atol);
        break;
    case EACH_BYTES:
        out->u = got.cost->bytes;
        break;
    case EACH_BITS:
        put_figure(out, got.cost->bits_per_weight);
        break;
    case EACH_COLUMNS:
        break;
    }
}

void sc_tree_quality_tensor_cell(const struct sc_tree_quality *v, uint32_t tensor, size_t column,
                                 struct sc_cell *out)
{
    const struct finding f = look_up(v->q, tensor);

    if (column >= FLAT_COLUMNS) {
        put_flat(v, &f, column - FLAT_COLUMNS, out);
        return;
    }
    out->null = column != FLAT_STATE && !f.t;
    if (out->null)
        return;
    switch ((enum flat_column)column) {
    case FLAT_STATE:
        out->text = sc_strz(f.why ? f.why : f.state);
        break;
    case FLAT_MIN:
        put_figure(out, f.t->facts.min);
        break;
    case FLAT_MEAN:
        put_figure(out, f.t->facts.mean);
        break;
    case FLAT_MAX:
        put_figure(out, f.t->facts.max);
        break;
    case FLAT_NONFINITE:
        out->u = f.t->facts.nonfinite;
        break;
    case FLAT_SAMPLED:
        out->u = f.t->sampled;
        break;
    case FLAT_COLUMNS:
        break;
    }
}

/* ---------------------------------------------------------------------------------- objects --- */
void sc_tree_quality_add_row(const struct sc_tree_quality *v, size_t row, struct sc_document *d,
                             struct sc_field *into)
{
    const struct member_sums *s = &v->rows[row];
    struct sc_field *f = sc_add_object(d, into, "quality");

    sc_add_uint(d, f, "measured", s->measured, SC_COL_COUNT);
    sc_add_uint(d, f, "missing", s->missing, SC_COL_COUNT);
    sc_add_textz(d, f, "why", s->why);
    sc_add_figure(d, f, "min", s->min);
    sc_add_figure(d, f, "mean", s->values > 0 ? s->sum / s->values : (double)NAN);
    sc_add_figure(d, f, "max", s->max);
    sc_add_uint(d, f, "nonfinite", s->nonfinite, SC_COL_COUNT);
    sc_add_uint(d, f, "sampled", s->sampled, SC_COL_COUNT);
    struct sc_field *list = sc_add_list(d, f, "formats");
    for (size_t k = 0; k < count_formats(v); k++) {
        const struct cost *c = cost_at(v, row, k);
        struct sc_field *one = sc_add_object(d, list, NULL);
        sc_add_textz(d, one, "format", v->q->measured.f[k].name);
        sc_add_uint(d, one, "tensors", c->n, SC_COL_COUNT);
        sc_add_figure(d, one, "pcc", c->pcc);
        sc_add_figure(d, one, "pcc_interval", c->interval > 0 ? c->interval : (double)NAN);
        sc_add_figure(d, one, "atol", c->atol);
        if (c->values > 0) {
            sc_add_uint(d, one, "total_bytes", (uint64_t)c->bytes, SC_COL_BYTES);
            sc_add_figure(d, one, "bits_per_weight", c->bytes * 8 / c->values);
        } else {
            sc_add_null(d, one, "total_bytes");
            sc_add_null(d, one, "bits_per_weight");
        }
    }
}

/* Why a format has no figures of a tensor that others have. */
static const char *why_not(const struct sc_quality *cost, const struct sc_encoding *f,
                           const struct sc_tensor *t)
{
    const uint64_t cols = t->rank > 1 ? t->shape[t->rank - 1] : t->parameters;
    const uint64_t rows = t->rank > 1 ? t->shape[t->rank - 2] : 1;
    const char *why = NULL;
    uint64_t bytes;

    if (cost->bytes != UINT64_MAX || !cols || !rows ||
        sc_encoding_bytes(f, t->parameters / cols / rows, rows, cols, &bytes, &why))
        return NULL;
    return why;
}

void sc_tree_quality_add_tensor(const struct sc_tree_quality *v, uint32_t tensor,
                                struct sc_document *d, struct sc_field *into)
{
    const struct sc_quant *q = v->q;
    const struct finding found = look_up(q, tensor);
    struct sc_field *f = sc_add_object(d, into, "quality");

    sc_add_textz(d, f, "state", found.state);
    sc_add_textz(d, f, "why", found.why);
    sc_quant_add_facts(d, f, found.t);
    struct sc_field *list = sc_add_list(d, f, "formats");
    for (size_t k = 0; found.t && k < count_formats(v); k++) {
        struct sc_quant_row row;
        if (!sc_quant_row_at(q, found.at, k, &row))
            continue;
        struct sc_field *one = sc_add_object(d, list, NULL);
        sc_add_textz(d, one, "format", row.f->name);
        sc_metrics_add(d, one, &sc_metrics_quality, row.cost, true);
        sc_quant_add_interval(d, one, found.t, k);
        sc_add_textz(d, one, "why", why_not(row.cost, row.f, &q->model->tensors[tensor]));
    }
}

void sc_tree_quality_add(const struct sc_tree_quality *v, struct sc_document *d,
                         struct sc_field *into)
{
    struct sc_field *f = sc_add_object(d, into, "quality"), *list = sc_add_list(d, f, "formats");

    for (size_t k = 0; k < count_formats(v); k++)
        sc_add_textz(d, list, NULL, v->q->measured.f[k].name);
    sc_quant_add_summary(d, f, v->q);
}

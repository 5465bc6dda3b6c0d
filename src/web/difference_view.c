/* SPDX-License-Identifier: Apache-2.0 */
/* difference_view: two models as a view of B - A: the picture is that of any model, and beside it
 * stand the figures of `scruple diff`, once they are measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "web/put.h"
#include "web/web.h"

/* ----------------------------------------------------------------------------------- values --- */

static void put_side(struct sc_out *o, const char *key, bool has, const struct sc_element_facts *f,
                     const char *file)
{
    if (!has) {
        sc_put_key_words(o, key, NULL);
        return;
    }
    sc_out_puts(o, key);
    sc_put_key_value(o, "{\"value\": ", f->value);
    sc_put_key_bytes(o, ", \"raw\": ", f->raw, f->raw_bytes);
    sc_put_key_count(o, ", \"offset\": ", f->offset);
    sc_put_key_words(o, ", \"file\": ", file);
    sc_out_putc(o, '}');
}

static int view_value(void *ctx, uint64_t tensor, uint64_t slice, uint64_t row, uint64_t col,
                      struct sc_out *o, struct sc_error *e)
{
    const struct sc_difference_view *v = ctx;
    const struct sc_scene *s = v->of.scene;
    struct sc_two_elements two;
    TRY(sc_web_is_drawn(&v->of, tensor, e));
    const struct sc_place *p = NULL;
    for (uint32_t i = s->places_of[tensor]; i < s->places_of[tensor + 1]; i++)
        if (s->places[s->list[i]].slice == slice)
            p = &s->places[s->list[i]];
    if (!p || row >= p->rows || col >= p->cols)
        return sc_fail(e, SCRUPLE_EUSAGE, "there is no row %llu, column %llu in slice %llu",
                       (unsigned long long)row, (unsigned long long)col, (unsigned long long)slice);
    TRY(sc_differences_at(v->differences, (uint32_t)tensor, (slice * p->rows + row) * p->cols + col,
                          &two, e));
    sc_put_key_whole(o, "{\"tensor\": ", tensor);
    sc_put_key_whole(o, ", \"slice\": ", slice);
    sc_put_key_whole(o, ", \"row\": ", row);
    sc_put_key_whole(o, ", \"col\": ", col);
    if (two.has_a && two.has_b)
        sc_put_key_value(o, ", \"value\": ", two.difference);
    else
        sc_put_key_words(o, ", \"value\": ", NULL);
    sc_out_puts(o, ", \"raw\": null, \"offset\": null, \"file\": null");
    put_side(o, ", \"a\": ", two.has_a, &two.a, two.file_a);
    put_side(o, ", \"b\": ", two.has_b, &two.b, two.file_b);
    sc_put_key_count(o, ", \"ulp\": ", two.ulp);
    sc_out_puts(o, "}\n");
    return 0;
}

/* ----------------------------------------------------------------------------------- tensor --- */

static void put_tensor(struct sc_out *o, const char *key, const struct sc_model *m, uint32_t tensor)
{
    if (!m || tensor == SC_NO_NODE) {
        sc_put_key_words(o, key, NULL);
        return;
    }
    const struct sc_tensor *t = &m->tensors[tensor];
    sc_out_puts(o, key);
    sc_put_key_text(o, "{\"name\": ", sc_tensor_name(t));
    sc_put_key_words(o, ", \"dtype\": ", t->dtype);
    sc_out_puts(o, ", \"shape\": [");
    for (size_t i = 0; i < t->rank; i++)
        sc_put_key_whole(o, i ? "," : "", t->shape[i]);
    sc_put_key_whole(o, "], \"bytes\": ", t->bytes);
    sc_out_putc(o, '}');
}

static void put_change(struct sc_out *o, const struct sc_change *c)
{
    const struct {
        const char *key;
        double v;
    } reals[] = {
        {", \"max_abs\": ", c->max_abs},
        {", \"mean_abs\": ", c->mean_abs},
        {", \"rms\": ", c->rms},
        {", \"relative_l2\": ", c->relative_l2},
        {", \"cosine\": ", c->cosine},
        {", \"one_minus_cosine\": ", c->one_minus_cosine},
        {", \"changed_percent\": ", c->changed_percent},
    };
    sc_put_key_words(o, ",\n  \"change\": {\"verdict\": ", sc_change_kind_names[sc_change_kind(c)]);
    sc_put_key_words(o, ", \"cast\": ", c->cast_of != SC_CAST_NONE ? c->cast_type : NULL);
    sc_put_key_whole(o, ", \"values\": ", c->values);
    sc_put_key_whole(o, ", \"changed\": ", c->changed);
    for (size_t i = 0; i < SC_COUNT(reals); i++)
        sc_put_key_real(o, reals[i].key, reals[i].v);
    sc_put_key_count(o, ", \"max_at\": ", c->max_at);
    sc_put_key_whole(o, ", \"nonfinite_a\": ", c->nonfinite_a);
    sc_put_key_whole(o, ", \"nonfinite_b\": ", c->nonfinite_b);
    sc_out_putc(o, '}');
}

/* Of a tensor of the picture; NULL: the diff has no such pair. */
static const struct sc_diff_pair *pair_of(const struct sc_difference_view *v, uint32_t tensor)
{
    const uint32_t i = sc_differences_figures(v->differences, tensor);
    return i == SC_NO_NODE ? NULL : &v->diff->pairs[i];
}

static void add_pair(const void *ctx, uint32_t tensor, struct sc_out *o)
{
    static const char *const statuses[] = {[SC_PAIR_BOTH] = "both",
                                           [SC_PAIR_SHAPE] = "shape",
                                           [SC_PAIR_ONLY_A] = "only_a",
                                           [SC_PAIR_ONLY_B] = "only_b"};
    const struct sc_difference_view *v = ctx;
    const struct sc_pair *p = sc_differences_pair(v->differences, tensor);
    const struct sc_diff_pair *figures = v->diff ? pair_of(v, tensor) : NULL;
    const bool untouched = sc_differences_figures(v->differences, tensor) == SC_NO_NODE;
    sc_put_key_words(o,
                     ",\n \"pair\": {\"status\": ", untouched ? "untouched" : statuses[p->status]);
    put_tensor(o, ", \"a\": ", v->a, p->a);
    put_tensor(o, ", \"b\": ", v->adapter ? &v->adapter->target : v->b, p->b);
    sc_put_key_words(o, ", \"transform\": ", p->transform);
    sc_put_key_words(o, ", \"why\": ", figures ? figures->why : NULL);
    if (figures && figures->change)
        put_change(o, figures->change);
    else
        sc_put_key_words(o, ", \"change\": ", NULL);
    sc_out_putc(o, '}');
}

/* ----------------------------------------------------------------------------------- scales --- */

static double or_nan(float v)
{
    return v > 0 ? (double)v : (double)NAN;
}

static const struct sc_change *change_of(const struct sc_difference_view *v, uint32_t tensor)
{
    const struct sc_diff_pair *p = pair_of(v, tensor);
    return p ? p->change : NULL;
}

static const char *verdict_of(const struct sc_difference_view *v, uint32_t tensor)
{
    const struct sc_diff_pair *p = pair_of(v, tensor);
    return !p          ? "untouched"
           : p->change ? sc_change_kind_names[sc_change_kind(p->change)]
                       : sc_diff_status_names[p->status];
}

/* Columns by tensor, for lists. */
static void put_columns(const struct sc_difference_view *v, const struct sc_diff *d,
                        struct sc_out *o)
{
    const uint32_t n = (uint32_t)v->of.scene->model->n_tensors;
    sc_out_puts(o, "\"verdict\": ");
    for (uint32_t i = 0; i < n && !o->status; i++)
        sc_put_key_words(o, i ? "," : "[", verdict_of(v, i));
    sc_out_puts(o, n ? "],\n    \"relative_l2\": " : "[],\n    \"relative_l2\": ");
    for (uint32_t i = 0; i < n && !o->status; i++)
        sc_put_key_real(o, i ? "," : "[",
                        change_of(v, i) ? change_of(v, i)->relative_l2 : (double)NAN);
    sc_out_puts(o, n ? "],\n    \"max_abs\": " : "[],\n    \"max_abs\": ");
    for (uint32_t i = 0; i < n && !o->status; i++)
        sc_put_key_real(o, i ? "," : "[", change_of(v, i) ? change_of(v, i)->max_abs : (double)NAN);
    sc_out_puts(o, n ? "],\n    \"nonfinite\": " : "[],\n    \"nonfinite\": ");
    for (uint32_t i = 0; i < n && !o->status; i++) {
        const struct sc_change *c = change_of(v, i);
        sc_put_key_whole(o, i ? "," : "[",
                         c ? (d->has_base ? c->nonfinite_a + c->nonfinite_b : c->nonfinite_b) : 0);
    }
    sc_out_puts(o, n ? "],\n    \"ranked\": [" : "[],\n    \"ranked\": [");
    for (size_t i = 0; i < d->n_ranked; i++)
        sc_put_key_whole(o, i ? "," : "", sc_differences_tensor(v->differences, d->ranked[i]));
    sc_out_puts(o, "]");
}

/* Other files, as the JSON of `scruple diff` has them. */
static void put_files(const struct sc_diff *d, struct sc_out *o)
{
    struct sc_document doc = {.root = {.kind = SC_FIELD_OBJECT}};
    sc_files_add(&doc, &doc.root, d->files);
    if (doc.failed)
        o->status = o->status ? o->status : SCRUPLE_EMEMORY;
    else
        sc_report_json_field(o, doc.root.as.children.first, 2);
    sc_document_clear(&doc);
}

/* The tables of `scruple diff --by`, as its JSON has them. */
static void put_groups(const struct sc_diff *d, struct sc_out *o)
{
    struct sc_document doc = {.root = {.kind = SC_FIELD_OBJECT}};
    struct sc_buf sentence = {0};
    struct sc_error e;
    const struct {
        const char *key;
        enum sc_diff_table table;
    } tables[] = {{"roles", SC_DIFF_RANKED_ROLES}, {"layers", SC_DIFF_RANKED_LAYERS}};
    sc_diff_sentence(d, &sentence);
    if (!sentence.failed)
        sc_add_text(&doc, &doc.root, "sentence", sc_str(sentence.n ? sentence.p : "", sentence.n));
    for (size_t i = 0; i < SC_COUNT(tables); i++) {
        const struct sc_table *t = sc_diff_table(&doc, d, tables[i].table, SIZE_MAX, 0, false, &e);
        if (t)
            sc_add_table(&doc, &doc.root, tables[i].key, t);
    }
    if (sentence.failed || doc.failed)
        o->status = o->status ? o->status : SCRUPLE_EMEMORY;
    else
        sc_report_json_field(o, &doc.root, 2);
    sc_buf_clear(&sentence);
    sc_document_clear(&doc);
}

static bool add_changes(const void *ctx, struct sc_out *o)
{
    const struct sc_difference_view *v = ctx;
    const bool over = v->over;
    const struct sc_diff *d = v->diff;
    const size_t n = v->of.scene->model->n_tensors;
    sc_put_key_real(o, ",\n  \"rms_end\": ", or_nan(sc_scales_end(v->of.scales, SC_NO_NODE)));
    sc_out_puts(o, ",\n  \"rms\": ");
    for (uint32_t i = 0; i < n && !o->status; i++)
        sc_put_key_real(o, i ? "," : "[", or_nan(sc_scales_end(v->of.scales, i)));
    sc_out_puts(o, n ? "],\n  \"changes\": " : "[],\n  \"changes\": ");
    if (d) {
        sc_out_puts(o, "{");
        put_columns(v, d, o);
        sc_out_puts(o, ",\n    \"groups\": ");
        put_groups(d, o);
        sc_out_puts(o, ",\n    ");
        put_files(d, o);
        sc_out_puts(o, "}");
    } else
        sc_out_puts(o, "null");
    sc_put_key_words(o, ",\n  \"problem\": ", over && v->why.code ? v->why.text : NULL);
    return over;
}

/* ---------------------------------------------------------------------------------- figures --- */

static void on_progress(void *ctx, uint64_t done, uint64_t total, const char *tensor)
{
    struct sc_difference_view *v = ctx;
    (void)tensor;
    v->share = total ? (double)done / (double)total : 1;
}

static uint64_t far_bytes(const struct sc_model *m)
{
    uint64_t n = 0;
    for (uint32_t i = 0; m && i < m->n_tensors; i++)
        if (sc_tensor_is_far(m, i))
            n = sc_add_up(n, m->tensors[i].bytes);
    return n;
}

static int run_diff(struct sc_difference_view *v, struct sc_error *e)
{
    struct sc_diff *d = NULL;
    struct sc_diff_options o = v->options;
    o.progress = on_progress;
    o.ctx = v;
    if (sc_add_up(far_bytes(v->a), far_bytes(v->b)) > v->network)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "figures of the differences would need more than --fetch allows");
    int code = sc_diff_run(v->a, v->b, v->adapter, &o, &d, e);
    if (code == 0 && v->with_files)
        code = sc_files_diff(v->a, v->b, o.cancel, &v->files, e);
    if (code < 0) {
        sc_diff_free(d);
        return code;
    }
    d->files = v->with_files ? &v->files : NULL;
    sc_difference_view_take(v, d);
    return 0;
}

void sc_difference_view_take(struct sc_difference_view *v, struct sc_diff *d)
{
    for (uint32_t i = 0; i < d->n && d->has_base; i++) {
        const struct sc_change *c = d->pairs[i].change;
        if (c && c->compared)
            sc_scales_set_rms(v->of.scales, sc_differences_tensor(v->differences, i),
                              c->norm_a / sqrt((double)c->compared));
    }
    v->diff = d;
    v->share = 1;
    v->over = true;
}

int sc_difference_view_measure(struct sc_difference_view *v, struct sc_error *e)
{
    if (v->over)
        return 0;
    const int code = run_diff(v, e);
    if (code == SCRUPLE_EINTERRUPTED || code == SCRUPLE_EMEMORY)
        return code;
    if (code < 0)
        v->why = *e;
    v->over = true;
    return 0;
}

void sc_difference_view_clear(struct sc_difference_view *v)
{
    sc_diff_free(v->diff);
    sc_files_diff_clear(&v->files);
    v->diff = NULL;
}

/* Pictures first: they are what is waited for. */
static int view_build(void *ctx, struct sc_error *e)
{
    struct sc_difference_view *v = ctx;
    TRY(sc_web_model_kind.build(ctx, e));
    return sc_difference_view_measure(v, e);
}

static double view_progress(void *ctx, uint64_t *epoch)
{
    const struct sc_difference_view *v = ctx;
    const double share = v->over ? 1 : fmin(v->share, 0.999);
    return (sc_web_model_kind.progress(ctx, epoch) + share) / 2;
}

struct sc_web_view sc_web_view_of_differences(struct sc_difference_view *v)
{
    v->kind = sc_web_model_kind;
    v->kind.value = view_value;
    v->kind.progress = view_progress;
    v->kind.build = view_build;
    v->of.add_to_scales = add_changes;
    v->of.add_to_tensor = add_pair;
    return (struct sc_web_view){.kind = &v->kind, .ctx = v, .title = v->of.title};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* scene_json: a plan as columns of JSON. */
#include "report/scene_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "picture/maps.h"

/* Things that are listed once, in the order in which they come: each is known by the first tensor
 * or box that has it. */
struct list {
    struct sc_index index;
    uint32_t *first;
    size_t n, cap;
};
struct writer {
    struct sc_out *o;
    const struct sc_scene *s;
    const struct sc_scene_json *j;
    struct list shapes, types, labels;
    uint32_t *shape_of, *type_of, *label_of; /* of tensors and boxes */
};

/* ------------------------------------------------------------------------------------ lists --- */
static bool decodable(const struct sc_model *m, const struct sc_tensor *t)
{
    if (!sc_layouts[t->layout].decodable || sc_tensor_flags(m, t) & SC_ENTRY_BROKEN)
        return false;
    return t->layout != SC_LAYOUT_PLAIN || sc_decoder64(sc_codec_find(sc_strz(t->dtype)));
}

static double least_normal(const struct sc_tensor *t)
{
    return t->layout == SC_LAYOUT_PLAIN ? sc_codec_least_normal(sc_codec_find(sc_strz(t->dtype)))
                                        : 0;
}

static bool same_shape(const struct writer *w, uint32_t a, uint32_t b)
{
    const struct sc_tensor *t = &w->s->model->tensors[a], *u = &w->s->model->tensors[b];
    return t->rank == u->rank &&
           (t->rank == 0 || memcmp(t->shape, u->shape, t->rank * sizeof *t->shape) == 0);
}
static bool same_type(const struct writer *w, uint32_t a, uint32_t b)
{
    const struct sc_model *m = w->s->model;
    const struct sc_tensor *t = &m->tensors[a], *u = &m->tensors[b];
    return t->layout == u->layout && strcmp(t->dtype, u->dtype) == 0 &&
           decodable(m, t) == decodable(m, u);
}
static bool same_label(const struct writer *w, uint32_t a, uint32_t b)
{
    return strcmp(w->s->boxes[a].label, w->s->boxes[b].label) == 0;
}

static int find(struct writer *w, struct list *l, uint64_t hash, uint32_t id,
                bool (*same)(const struct writer *, uint32_t, uint32_t), uint32_t *out)
{
    size_t probe = 0;
    while ((*out = sc_index_next(&l->index, hash, &probe)) < l->n)
        if (l->first[*out] == id || same(w, l->first[*out], id))
            return 0;
    TRY(sc_grow(&l->first, &l->cap, l->n + 1, sizeof *l->first, NULL));
    *out = (uint32_t)l->n;
    l->first[l->n++] = id;
    return sc_index_put(&l->index, hash, *out, NULL);
}

static int make_lists(struct writer *w)
{
    const struct sc_model *m = w->s->model;
    w->shape_of = sc_alloc(m->n_tensors * sizeof *w->shape_of);
    w->type_of = sc_alloc(m->n_tensors * sizeof *w->type_of);
    w->label_of = sc_alloc(w->s->n_boxes * sizeof *w->label_of);
    if (!w->shape_of || !w->type_of || !w->label_of)
        return SCRUPLE_EMEMORY;
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        TRY(find(w, &w->shapes, sc_hash(t->shape, t->rank * sizeof *t->shape), i, same_shape,
                 &w->shape_of[i]));
        TRY(find(w, &w->types, sc_hash_mix(sc_hash(t->dtype, strlen(t->dtype)), t->layout), i,
                 same_type, &w->type_of[i]));
    }
    for (uint32_t i = 0; i < w->s->n_boxes; i++) {
        const char *label = w->s->boxes[i].label;
        TRY(find(w, &w->labels, sc_hash(label, strlen(label)), i, same_label, &w->label_of[i]));
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- writing --- */
static void put_text(const struct writer *w, struct sc_str s)
{
    sc_out_json_text(w->o, s, w->j->in_page);
}

static void put_textz(const struct writer *w, const char *s)
{
    if (s)
        put_text(w, sc_strz(s));
    else
        sc_out_puts(w->o, "null");
}

/* "key": a fixed word of ours. */
static void put_key(struct sc_out *o, const char *before, const char *key)
{
    sc_out_puts(o, before);
    sc_out_putc(o, '"');
    sc_out_puts(o, key);
    sc_out_puts(o, "\": ");
}

/* One column: `value` is an expression over i. The last one is followed by `after`. */
#define COLUMN(o, key, n, put, value, after)                                                       \
    do {                                                                                           \
        put_key((o), "    ", (key));                                                               \
        for (size_t i = 0; i < (n) && !(o)->status; i++) {                                         \
            sc_out_putc((o), i ? ',' : '[');                                                       \
            put((o), (value));                                                                     \
        }                                                                                          \
        sc_out_puts((o), (n) ? "]" after : "[]" after);                                            \
    } while (0)

static void put_names(const struct writer *w, const char *key, const char *const *names, size_t n)
{
    put_key(w->o, "  ", key);
    sc_out_putc(w->o, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            sc_out_puts(w->o, ", ");
        put_textz(w, names[i]);
    }
    sc_out_puts(w->o, "],\n");
}

static void put_head(const struct writer *w)
{
    struct sc_out *o = w->o;
    const struct sc_model *m = w->s->model;
    sc_out_puts(o, "{\n  \"schema\": \"scruple.scene/1\",\n  \"scruple\": ");
    put_textz(w, scruple_version());
    put_key(o, ",\n  ", "mode");
    put_textz(w, w->j->mode);
    put_key(o, ",\n  ", "shows");
    put_textz(w, sc_shows_names[w->s->shows]);
    put_key(o, ",\n  ", "title");
    put_textz(w, w->j->title ? w->j->title : m->label);
    put_key(o, ",\n  ", "model");
    sc_out_puts(o, "{\"source\": ");
    put_textz(w, m->label);
    sc_out_puts(o, ", \"origin\": ");
    put_textz(w, m->origin);
    sc_out_puts(o, ", \"format\": ");
    put_textz(w, m->catalog->weight_set);
    sc_out_puts(o, ", \"architecture\": ");
    put_textz(w, m->config.architecture);
    sc_out_puts(o, ", \"tensors\": ");
    sc_out_u64(o, m->n_tensors);
    sc_out_puts(o, ", \"parameters\": ");
    sc_out_u64(o, m->parameters);
    sc_out_puts(o, ", \"bytes\": ");
    sc_out_u64(o, m->bytes);
    sc_out_puts(o, "}");
    put_key(o, ",\n  ", "tile");
    sc_out_u64(o, SC_SCENE_TILE);
    put_key(o, ",\n  ", "width");
    sc_out_i64(o, w->s->w);
    put_key(o, ",\n  ", "height");
    sc_out_i64(o, w->s->h);
    put_key(o, ",\n  ", "deepest");
    sc_out_i64(o, w->s->deepest);
    put_key(o, ",\n  ", "top");
    sc_out_i64(o, w->s->top);
    sc_out_puts(o, ",\n");
    if (w->j->more)
        w->j->more(w->j->more_ctx, o, w->j->in_page);
    put_names(w, "planes", w->j->planes, w->j->n_planes);
    put_names(w, "roles", sc_role_names, SC_ROLE_COUNT);
    put_names(w, "towers", sc_tower_names, SC_TOWER_COUNT);
}

static void put_scales(const struct writer *w)
{
    struct sc_out *o = w->o;
    const double *scale = w->j->role_scale;
    bool first = true;
    sc_out_puts(o, "  \"scales\": {\"model\": ");
    sc_out_json_number(o, w->j->scale);
    sc_out_puts(o, ", \"roles\": {");
    for (size_t i = 0; scale && i < SC_ROLE_COUNT; i++) {
        if (!isfinite(scale[i]))
            continue;
        put_key(o, first ? "" : ", ", sc_role_names[i]);
        sc_out_json_number(o, scale[i]);
        first = false;
    }
    sc_out_puts(o, "}},\n");
}

static void put_types(const struct writer *w)
{
    struct sc_out *o = w->o;
    const struct sc_model *m = w->s->model;
    sc_out_puts(o, "  \"types\": [");
    for (size_t i = 0; i < w->types.n; i++) {
        const struct sc_tensor *t = &m->tensors[w->types.first[i]];
        sc_out_puts(o, i ? ",\n    {\"dtype\": " : "\n    {\"dtype\": ");
        put_textz(w, t->dtype);
        sc_out_puts(o, ", \"layout\": ");
        put_textz(w, sc_layouts[t->layout].name);
        sc_out_puts(o, ", \"decodable\": ");
        sc_out_puts(o, decodable(m, t) ? "true" : "false");
        sc_out_puts(o, ", \"least\": ");
        sc_out_json_number(o, w->s->shows == SC_SHOWS_WEIGHTS ? least_normal(t) : 0);
        sc_out_putc(o, '}');
    }
    sc_out_puts(o, "],\n  \"shapes\": [");
    for (size_t i = 0; i < w->shapes.n && !o->status; i++) {
        const struct sc_tensor *t = &m->tensors[w->shapes.first[i]];
        sc_out_puts(o, i ? ",[" : "[");
        for (size_t k = 0; k < t->rank; k++) {
            if (k)
                sc_out_putc(o, ',');
            sc_out_u64(o, t->shape[k]);
        }
        sc_out_putc(o, ']');
    }
    sc_out_puts(o, "],\n");
}

static void put_tensors(const struct writer *w)
{
    struct sc_out *o = w->o;
    const struct sc_tensor *t = w->s->model->tensors;
    const size_t n = w->s->model->n_tensors;
    sc_out_puts(o, "  \"tensors\": {\n    \"name\": [");
    for (size_t i = 0; i < n && !o->status; i++) {
        if (i)
            sc_out_puts(o, ",\n");
        put_text(w, sc_tensor_name(&t[i]));
    }
    sc_out_puts(o, "],\n");
    COLUMN(o, "shape", n, sc_out_u64, w->shape_of[i], ",\n");
    COLUMN(o, "type", n, sc_out_u64, w->type_of[i], ",\n");
    COLUMN(o, "role", n, sc_out_u64, t[i].role, ",\n");
    COLUMN(o, "tower", n, sc_out_u64, t[i].tower, ",\n");
    COLUMN(o, "layer", n, sc_out_i64, t[i].layer, ",\n");
    COLUMN(o, "expert", n, sc_out_i64, t[i].expert, ",\n");
    COLUMN(o, "bytes", n, sc_out_u64, t[i].bytes, "\n  },\n");
}

/* "down": {"of": "layer", "labels": ["0", "1"]}; null for labels that are 0, 1, 2 ... */
static void put_axis(const struct writer *w, const char *key, const struct sc_map_axis *a,
                     uint32_t n)
{
    struct sc_out *o = w->o;
    put_key(o, ", ", key);
    sc_out_puts(o, "{\"of\": ");
    put_textz(w, a->of);
    sc_out_puts(o, ", \"labels\": ");
    for (uint32_t i = 0; a->labels && i < n && !o->status; i++) {
        sc_out_putc(o, i ? ',' : '[');
        put_textz(w, a->labels[i]);
    }
    sc_out_puts(o, a->labels ? "]}" : "null}");
}

/* The first map that has the spots of map i. */
static size_t first_with_spots(const struct sc_scene *s, size_t i)
{
    size_t k = 0;
    while (s->maps[k].spots != s->maps[i].spots)
        k++;
    return k;
}

/* "spots": {"0": {"command": ..., "at": [...]}}, by the first map that has them. */
static void put_spots(const struct writer *w)
{
    struct sc_out *o = w->o;
    size_t n = 0;
    sc_out_puts(o, "  \"spots\": {");
    for (size_t i = 0; i < w->s->model->n_tensors && !o->status; i++) {
        const struct sc_map *m = &w->s->maps[i];
        if (!m->spots || first_with_spots(w->s, i) != i)
            continue;
        sc_out_puts(o, n++ ? ",\n    \"" : "\n    \"");
        sc_out_u64(o, i);
        sc_out_puts(o, "\": {\"command\": ");
        put_textz(w, m->spots->command);
        sc_out_puts(o, ", \"at\": ");
        for (size_t c = 0; c < (size_t)m->rows * m->cols && !o->status; c++) {
            sc_out_putc(o, c ? ',' : '[');
            if (m->spots->at[c])
                put_textz(w, m->spots->at[c]);
            else
                sc_out_puts(o, "null");
        }
        sc_out_puts(o, "]}");
    }
    sc_out_puts(o, "},\n");
}

static void put_maps(const struct writer *w)
{
    struct sc_out *o = w->o;
    for (size_t i = 0; i < w->s->model->n_tensors && !o->status; i++) {
        const struct sc_map *m = &w->s->maps[i];
        sc_out_puts(o, i ? ",\n    {\"about\": " : "  \"maps\": [\n    {\"about\": ");
        put_textz(w, m->about);
        put_key(o, ", ", "low");
        sc_out_json_number(o, (double)m->low);
        put_key(o, ", ", "high");
        sc_out_json_number(o, (double)m->high);
        put_axis(w, "down", &m->down, m->rows);
        put_axis(w, "across", &m->across, m->cols);
        put_key(o, ", ", "spots");
        if (m->spots)
            sc_out_u64(o, first_with_spots(w->s, i));
        else
            sc_out_puts(o, "null");
        sc_out_putc(o, '}');
    }
    sc_out_puts(o, "],\n");
    put_spots(w);
}

static void put_places(const struct writer *w)
{
    struct sc_out *o = w->o;
    const struct sc_place *p = w->s->places;
    const size_t n = w->s->n_places;
    sc_out_puts(o, "  \"places\": {\n");
    COLUMN(o, "tensor", n, sc_out_u64, p[i].tensor, ",\n");
    COLUMN(o, "box", n, sc_out_u64, p[i].box, ",\n");
    COLUMN(o, "x", n, sc_out_i64, p[i].x, ",\n");
    COLUMN(o, "y", n, sc_out_i64, p[i].y, ",\n");
    COLUMN(o, "w", n, sc_out_u64, p[i].w, ",\n");
    COLUMN(o, "h", n, sc_out_u64, p[i].h, ",\n");
    COLUMN(o, "dx", n, sc_out_i64, p[i].depth_x, ",\n");
    COLUMN(o, "dy", n, sc_out_i64, p[i].depth_y, ",\n");
    COLUMN(o, "rows", n, sc_out_u64, p[i].rows, ",\n");
    COLUMN(o, "cols", n, sc_out_u64, p[i].cols, ",\n");
    COLUMN(o, "slice", n, sc_out_u64, p[i].slice, "\n  },\n");
}

static void put_boxes(const struct writer *w)
{
    static const char *const kinds[] = {"model", "tower", "block", "experts", "expert"};
    struct sc_out *o = w->o;
    const struct sc_scene_box *b = w->s->boxes;
    const size_t n = w->s->n_boxes;
    put_names(w, "kinds", kinds, SC_COUNT(kinds));
    sc_out_puts(o, "  \"labels\": [");
    for (size_t i = 0; i < w->labels.n && !o->status; i++) {
        if (i)
            sc_out_puts(o, ", ");
        put_textz(w, b[w->labels.first[i]].label);
    }
    sc_out_puts(o, "],\n  \"boxes\": {\n");
    COLUMN(o, "kind", n, sc_out_u64, b[i].kind, ",\n");
    COLUMN(o, "label", n, sc_out_u64, w->label_of[i], ",\n");
    COLUMN(o, "number", n, sc_out_i64, b[i].number, ",\n");
    COLUMN(o, "x", n, sc_out_i64, b[i].x, ",\n");
    COLUMN(o, "y", n, sc_out_i64, b[i].y, ",\n");
    COLUMN(o, "w", n, sc_out_i64, b[i].w, ",\n");
    COLUMN(o, "h", n, sc_out_i64, b[i].h, ",\n");
    COLUMN(o, "empty", n, sc_out_u64, b[i].empty, ",\n");
    COLUMN(o, "parent", n, sc_out_u64, b[i].parent, "\n  }\n}\n");
}

void sc_report_scene(struct sc_out *o, const struct sc_scene *s, const struct sc_scene_json *j)
{
    struct writer w = {.o = o, .s = s, .j = j};
    const int status = make_lists(&w);
    if (status < 0 && !o->status)
        o->status = status;
    if (!o->status) {
        put_head(&w);
        put_scales(&w);
        put_types(&w);
        put_tensors(&w);
        if (s->maps)
            put_maps(&w);
        put_places(&w);
        put_boxes(&w);
    }
    struct list *const lists[] = {&w.shapes, &w.types, &w.labels};
    for (size_t i = 0; i < SC_COUNT(lists); i++) {
        sc_index_clear(&lists[i]->index);
        free(lists[i]->first);
    }
    free(w.shape_of);
    free(w.type_of);
    free(w.label_of);
}

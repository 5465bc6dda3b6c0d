/* SPDX-License-Identifier: Apache-2.0 */
/* maps: matrices in memory as a model whose tensors have places. */
#include "picture/maps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/safetensors_write.h"
#include "picture/scene_parts.h"

enum { CELL_DEPTH = -3 }; /* an element takes 8 units */

/* ---------------------------------------------------------------------------------- model --- */

static uint64_t bytes_of(const struct sc_map *m)
{
    return (uint64_t)m->rows * m->cols * sizeof(float);
}

/* The bytes of float32 as files have them. */
static void put_values(const struct sc_map *m, uint8_t *to)
{
    const size_t n = (size_t)m->rows * m->cols;

    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &m->values[i], sizeof bits);
        for (size_t k = 0; k < 4; k++)
            to[4 * i + k] = (uint8_t)(bits >> (8 * k) & 0xff);
    }
}

static int make_file(const struct sc_map *maps, size_t n, struct sc_maps *out, size_t *size,
                     struct sc_error *e)
{
    struct sc_st_item *items = sc_alloc((n + 1) * sizeof *items);
    uint64_t(*shapes)[2] = sc_alloc((n + 1) * sizeof *shapes);
    struct sc_buf header = {0};
    uint64_t bytes = 0;
    int code = items && shapes ? 0 : sc_fail_memory(e);

    for (size_t i = 0; code == 0 && i < n; i++) {
        shapes[i][0] = maps[i].rows;
        shapes[i][1] = maps[i].cols;
        items[i] =
            (struct sc_st_item){sc_strz(maps[i].name), "F32", shapes[i], 2, bytes_of(&maps[i])};
    }
    if (code == 0)
        code = sc_st_header(items, n, &header, &bytes, e);
    if (code == 0) {
        *size = header.n + (size_t)bytes;
        out->file = sc_alloc(*size);
        code = out->file ? 0 : sc_fail_memory(e);
    }
    if (code == 0) {
        memcpy(out->file, header.p, header.n);
        uint8_t *to = (uint8_t *)out->file + header.n;
        for (size_t i = 0; i < n; to += bytes_of(&maps[i]), i++)
            put_values(&maps[i], to);
    }
    sc_buf_clear(&header);
    free(shapes);
    free(items);
    return code;
}

static int make_model(const struct sc_map *maps, size_t n, const char *label, struct sc_maps *out,
                      struct sc_error *e)
{
    const struct sc_open_options oo = {.keep_repo = true, .quick = true, .names_only = true};
    struct sc_repo *repo;
    size_t size = 0;

    TRY(make_file(maps, n, out, &size, e));
    TRY(sc_repo_open_memory(out->file, size, label, &repo, e));
    return sc_model_open_repo(repo, &oo, &out->model, e);
}

/* ---------------------------------------------------------------------------------- places --- */

static int compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* The ends of the colours where the map has none; both 0 when nothing is finite. */
static int find_ends(struct sc_map *m, struct sc_error *e)
{
    const size_t cells = (size_t)m->rows * m->cols;
    size_t n = 0;

    if (!isnan(m->low) || !isnan(m->high))
        return 0;
    float *v = sc_alloc(cells * sizeof *v);
    if (!v)
        return sc_fail_memory(e);
    for (size_t i = 0; i < cells; i++)
        if (isfinite(m->values[i]))
            v[n++] = m->values[i];
    if (n > 1)
        qsort(v, n, sizeof *v, compare);
    m->low = n ? v[(size_t)lround(0.02 * (double)(n - 1))] : 0;
    m->high = n ? v[(size_t)lround(0.98 * (double)(n - 1))] : 0;
    free(v);
    return 0;
}

static void measure(const struct sc_map *m, struct sc_place *p)
{
    int depth = CELL_DEPTH;

    while (ldexp(SC_MAX(m->rows, m->cols), -depth) > SC_MAP_LONG)
        depth++;
    p->rows = m->rows;
    p->cols = m->cols;
    p->depth_x = p->depth_y = (int8_t)depth;
    /* an axis of less than 8 cells would be too thin */
    while (ldexp((double)p->cols, -p->depth_x) < SC_SCENE_THIN)
        p->depth_x--;
    while (ldexp((double)p->rows, -p->depth_y) < SC_SCENE_THIN)
        p->depth_y--;
    p->w = (uint32_t)ceil(ldexp((double)p->cols, -p->depth_x));
    p->h = (uint32_t)ceil(ldexp((double)p->rows, -p->depth_y));
}

/* Small maps stand nearer to each other: what is between them is seen larger, too. */
static uint32_t gap_of(const struct sc_place *places, size_t n)
{
    uint32_t longest = 0;

    for (size_t i = 0; i < n; i++)
        longest = SC_MAX(longest, SC_MAX(places[i].w, places[i].h));
    return SC_MIN(SC_MAX(longest / 4, (uint32_t)SC_MAP_GAP_LEAST), (uint32_t)SC_MAP_GAP);
}

/* Grid columns side by side, rows below each other, as wide and high as what stands in them. */
static int lay_out(const struct sc_maps *s, struct sc_place *places, size_t n, struct sc_error *e)
{
    uint32_t columns = 0, rows = 0;

    for (size_t i = 0; i < n; i++) {
        columns = SC_MAX(columns, s->by_tensor[i].x + 1);
        rows = SC_MAX(rows, s->by_tensor[i].y + 1);
    }
    int64_t *x = sc_calloc(columns + 1, sizeof *x), *y = sc_calloc(rows + 1, sizeof *y);
    if (!x || !y) {
        free(x);
        free(y);
        return sc_fail_memory(e);
    }
    for (size_t i = 0; i < n; i++) { /* sizes first, at the next one's index */
        const struct sc_map *m = &s->by_tensor[i];
        measure(m, &places[i]);
        places[i].tensor = (uint32_t)i;
        x[m->x + 1] = SC_MAX(x[m->x + 1], (int64_t)places[i].w);
        y[m->y + 1] = SC_MAX(y[m->y + 1], (int64_t)places[i].h);
    }
    const uint32_t gap = gap_of(places, n);
    for (uint32_t k = 1; k < columns; k++)
        x[k] = sc_scene_behind(x[k - 1] + x[k], gap);
    for (uint32_t k = 1; k < rows; k++)
        y[k] = sc_scene_behind(y[k - 1] + y[k], gap);
    for (size_t i = 0; i < n; i++) {
        places[i].x = x[s->by_tensor[i].x];
        places[i].y = y[s->by_tensor[i].y];
    }
    free(x);
    free(y);
    return 0;
}

/* ------------------------------------------------------------------------------------- all --- */

/* Tensors of a model are in an order of their own. */
static int match(const struct sc_map *maps, size_t n, struct sc_maps *s, struct sc_error *e)
{
    s->by_tensor = sc_calloc(n, sizeof *s->by_tensor);
    if (!s->by_tensor)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < n && !sc_str_eq(sc_tensor_name(&s->model->tensors[i]), sc_strz(maps[k].name)))
            k++;
        if (k == n)
            return sc_fail(e, SCRUPLE_EUSAGE, "a map is called as another one");
        s->by_tensor[i] = maps[k];
        TRY(find_ends(&s->by_tensor[i], e));
    }
    return 0;
}

int sc_maps_open(const struct sc_map *maps, size_t n, const char *label, struct sc_maps *out,
                 struct sc_error *e)
{
    *out = (struct sc_maps){0};
    if (n == 0)
        return sc_fail(e, SCRUPLE_EUSAGE, "there is nothing to draw a map of");
    for (size_t i = 0; i < n; i++)
        if (maps[i].rows == 0 || maps[i].cols == 0)
            return sc_fail(e, SCRUPLE_EUSAGE, "a map has no cells");
    TRY(make_model(maps, n, label, out, e));
    if (out->model->n_tensors != n)
        return sc_fail(e, SCRUPLE_EUSAGE, "a map is called as another one");
    TRY(match(maps, n, out, e));
    struct sc_place *places = sc_calloc(n, sizeof *places);
    int code = places ? lay_out(out, places, n, e) : sc_fail_memory(e);
    if (code == 0)
        code = sc_scene_of_places(out->model, places, n, &out->scene, e);
    free(places);
    if (code == 0) {
        out->scene->shows = SC_SHOWS_MAPS;
        out->scene->maps = out->by_tensor;
    }
    return code;
}

void sc_maps_close(struct sc_maps *m)
{
    sc_scene_free(m->scene);
    sc_model_close(m->model);
    free(m->by_tensor);
    free(m->file);
    *m = (struct sc_maps){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* tiles_world: a small model of strange tensors with a scene, pyramids and all of its values; the
 * file of its pyramids in a cache. Include after test.h. */
#ifndef SC_TILES_WORLD_H
#define SC_TILES_WORLD_H

#include "picture/pyramid.h"

#include "test.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>

#include "st_maker.h"

#include "scenes.h"

/* ---------------------------------------------------------------------------------- models --- */

enum { TENSORS = 12 };
struct shape {
    const char *dtype;
    uint64_t slices, rows, cols;
    int depth_y, depth_x;
    int64_t x, y;
};
/* As scenes make them, and stranger. */
static const struct shape shapes[TENSORS] = {
    {"F32", 1, 100, 130, 0, 0, 0, 0},         {"BF16", 1, 300, 517, 1, 1, 144, 0},
    {"F16", 1, 1, 900, -3, 1, 0, 160},        {"F32", 1, 1, 40, -3, -2, 0, 176},
    {"F8_E4M3", 1, 257, 255, 2, 2, 480, 160}, {"F32", 2, 70, 45, 1, 1, 608, 0},
    {"F32", 1, 9, 1500, 0, 5, 656, 128},      {"BF16", 1, 2000, 6, 6, -1, 720, 0},
    {"F64", 1, 33, 31, 0, 0, 752, 96},        {"BF16", 1, 640, 1100, 4, 4, 800, 0},
    {"C64", 1, 20, 30, 0, 0, 880, 0},         {"I8", 1, 1, 1, 0, 0, 928, 16},
};

static inline uint64_t count_of(const struct shape *s)
{
    return s->slices * s->rows * s->cols;
}

static inline uint16_t half_of(uint32_t r)
{
    return (uint16_t)(((r >> 3 & 0x8000) | (r & 0x3ff)) + ((8 + (r >> 10) % 8) << 10));
}

static inline void put_value(struct sc_buf *b, const char *dtype, uint32_t r, bool special)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0F, 1e-42F, 3e38F, -1e-30F};
    float f = ((float)(r % 20001) - 10000) / 7000 + 0.01F;
    if (special)
        f = odd[r >> 8 & 7];
    const double d = (double)f;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    const uint16_t bf16 = (uint16_t)(bits >> 16), half = half_of(r);
    const uint8_t byte = (uint8_t)r;
    if (strcmp(dtype, "F64") == 0)
        sc_buf_put(b, &d, sizeof d);
    else if (strcmp(dtype, "F32") == 0)
        sc_buf_put(b, &f, sizeof f);
    else if (strcmp(dtype, "C64") == 0) {
        sc_buf_put(b, &f, sizeof f);
        sc_buf_put(b, &f, sizeof f);
    } else if (strcmp(dtype, "F16") == 0)
        sc_buf_put(b, &half, sizeof half);
    else if (strcmp(dtype, "BF16") == 0)
        sc_buf_put(b, &bf16, sizeof bf16);
    else
        sc_buf_put(b, &byte, sizeof byte);
}

/* `odd`: one value of so many is special; 0: none. */
static inline struct blob make_model(const struct shape *s, size_t n, uint32_t seed, uint32_t odd)
{
    struct st_maker m = {0};
    uint32_t state = seed;
    for (size_t i = 0; i < n; i++) {
        struct sc_buf data = {0};
        char name[32], shape[64];
        snprintf(name, sizeof name, "t%02zu", i);
        if (s[i].slices > 1)
            snprintf(shape, sizeof shape, "[%d,%d,%d]", (int)s[i].slices, (int)s[i].rows,
                     (int)s[i].cols);
        else if (s[i].rows > 1)
            snprintf(shape, sizeof shape, "[%d,%d]", (int)s[i].rows, (int)s[i].cols);
        else
            snprintf(shape, sizeof shape, "[%d]", (int)s[i].cols);
        for (uint64_t k = 0; k < count_of(&s[i]); k++) {
            const uint32_t r = st_random(&state);
            put_value(&data, s[i].dtype, r, odd && (r >> 11) % odd == 0);
        }
        st_add(&m, name, s[i].dtype, shape, data.p, data.n);
        sc_buf_clear(&data);
    }
    return st_finish(&m);
}

struct world {
    struct blob blob;
    struct sc_model *model;
    struct sc_scene *scene;
    struct sc_pool *pool;
    struct sc_pyramids *p;
    float *values[TENSORS];
    const struct shape *shapes;
    size_t n;
};

static inline void open_pyramids(struct world *w, const char *cache, const _Atomic int *cancel)
{
    const struct sc_pyramids_options o = {
        .pool = w->pool, .cache = cache, .memory = 1 << 20, .cancel = cancel};
    struct sc_error e = {0};
    sc_pyramids_free(w->p);
    if (sc_pyramids_new(w->scene, &o, &w->p, &e) < 0)
        support_fail(e.text);
}

static inline void make_scene(struct world *w)
{
    w->scene = scene_new(w->model);
    for (size_t i = 0; i < w->n; i++) {
        const struct shape *s = &w->shapes[i];
        char name[32];
        snprintf(name, sizeof name, "t%02zu", i);
        for (uint32_t k = 0; k < s->slices; k++)
            scene_add(w->scene, tensor_named(w->model, name), k, s->rows, s->cols, s->depth_y,
                      s->depth_x, s->x, s->y + 64 * (int64_t)k);
    }
    scene_finish(w->scene);
}

static inline void read_values(struct world *w)
{
    for (size_t i = 0; i < w->n; i++) {
        struct sc_values *v;
        struct sc_error e = {0};
        const uint64_t n = count_of(&w->shapes[i]);
        if (sc_values_open(w->model, (uint32_t)i, &v, &e) < 0)
            support_fail(e.text);
        w->values[i] = calloc((size_t)v->count, sizeof(float));
        if (sc_values_read(v, 0, v->count, w->values[i], &e) < 0)
            support_fail(e.text);
        for (uint64_t k = 0; v->count == 2 * n && k < n; k++)
            w->values[i][k] = hypotf(w->values[i][2 * k], w->values[i][2 * k + 1]);
        sc_values_close(v);
    }
}

static inline void world_of(struct world *w, const struct shape *s, size_t n, uint32_t seed,
                            uint32_t odd, unsigned threads)
{
    struct sc_error e = {0};
    memset(w, 0, sizeof *w);
    w->shapes = s;
    w->n = n;
    w->blob = make_model(s, n, seed, odd);
    w->model = open_kept(w->blob);
    make_scene(w);
    if (sc_pool_new(threads, &w->pool, &e) < 0)
        support_fail(e.text);
    open_pyramids(w, NULL, NULL);
    read_values(w);
}

static inline void end_world(struct world *w)
{
    sc_pyramids_free(w->p);
    sc_scene_free(w->scene);
    sc_pool_free(w->pool);
    sc_model_close(w->model);
    for (size_t i = 0; i < w->n; i++)
        free(w->values[i]);
    free(w->blob.p);
}

static inline void build(struct world *w)
{
    struct sc_error e = {0};
    CHECK_ERR(0, sc_pyramids_build(w->p, &e));
}

static inline void file_world(struct world *w, char **folder)
{
    world_of(w, shapes, TENSORS, 31, 500, 2);
    *folder = make_folder();
    write_file(*folder, "model.safetensors", w->blob.p, w->blob.n);
    sc_pyramids_free(w->p);
    w->p = NULL;
    sc_scene_free(w->scene);
    sc_model_close(w->model);
    char path[600];
    snprintf(path, sizeof path, "%s/model.safetensors", *folder);
    w->model = open_path(path);
    make_scene(w);
}

static inline char *cache_file(const char *folder)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/cache/pyramids", folder);
    DIR *d = opendir(path);
    const size_t n = strlen(path);
    path[n] = '\0';
    bool found = false;
    for (struct dirent *en; d && (en = readdir(d)) != NULL;)
        if (strstr(en->d_name, ".pyramid") && !strstr(en->d_name, ".tmp")) {
            snprintf(path + n, sizeof path - n, "/%s", en->d_name);
            found = true;
        }
    if (d)
        closedir(d);
    return found ? path : NULL;
}

static inline void flip(const char *path, long at, uint8_t with)
{
    FILE *f = fopen(path, "r+b");
    if (!f)
        support_fail(path);
    fseek(f, at, SEEK_SET);
    const int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ with, f);
    fclose(f);
}

#endif

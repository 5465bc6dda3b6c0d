/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices as a model with places: values arrive, ends are the percentiles, nothing overlaps. */
#include "picture/maps.h"

#include <math.h>

#include "picture/tiles.h"
#include "test.h"

#include "oom.h"

static struct sc_map map_of(const char *name, uint32_t rows, uint32_t cols, const float *values,
                            uint32_t x, uint32_t y)
{
    return (struct sc_map){.name = name,
                           .about = "a number",
                           .rows = rows,
                           .cols = cols,
                           .values = values,
                           .down = {"layer", NULL},
                           .across = {"expert", NULL},
                           .low = NAN,
                           .high = NAN,
                           .x = x,
                           .y = y};
}

static const struct sc_place *place_named(const struct sc_maps *m, const char *name)
{
    for (uint32_t i = 0; i < m->model->n_tensors; i++)
        if (sc_str_is(sc_tensor_name(&m->model->tensors[i]), name))
            return &m->scene->places[m->scene->list[m->scene->places_of[i]]];
    return NULL;
}

TEST(values_are_those_of_the_map)
{
    float v[6] = {1, -2, 3.5f, NAN, INFINITY, 0}, w[1] = {7};
    const struct sc_map maps[] = {map_of("zeta", 2, 3, v, 0, 0), map_of("alpha", 1, 1, w, 1, 0)};
    struct sc_maps m;
    struct sc_error e = {0};
    struct sc_pyramids *p = NULL;
    const struct sc_pyramids_options o = {.memory = 1 << 20};

    CHECK((sc_maps_open(maps, 2, "two", &m, &e)) == 0);
    CHECK(m.scene->shows == SC_SHOWS_MAPS);
    CHECK((sc_pyramids_new(m.scene, &o, &p, &e)) == 0);
    for (uint32_t k = 0; k < 6; k++) {
        struct sc_element_facts f;
        const struct sc_place *pl = place_named(&m, "zeta");
        CHECK((sc_element_at(p, pl->tensor, 0, k / 3, k % 3, &f, &e)) == 0);
        CHECK(isnan(v[k]) ? isnan(f.value) : f.value == (double)v[k]);
    }
    CHECK(m.scene->maps[place_named(&m, "alpha")->tensor].values == w);
    CHECK(m.scene->maps[place_named(&m, "zeta")->tensor].values == v);
    sc_pyramids_free(p);
    sc_maps_close(&m);
}

TEST(ends_are_percentiles_of_what_is_finite)
{
    float v[102], none[2] = {NAN, INFINITY};
    struct sc_maps m;
    struct sc_error e = {0};

    for (int i = 0; i < 101; i++)
        v[i] = (float)((i * 37) % 101); /* 0 ... 100 in disorder */
    v[101] = NAN;
    struct sc_map maps[] = {map_of("a", 6, 17, v, 0, 0), map_of("b", 1, 2, none, 0, 1),
                            map_of("c", 6, 17, v, 0, 2)};
    maps[2].low = -1;
    maps[2].high = 5;
    CHECK((sc_maps_open(maps, 3, "three", &m, &e)) == 0);
    CHECK(m.scene->maps[0].low == 2 && m.scene->maps[0].high == 98);
    CHECK(m.scene->maps[1].low == 0 && m.scene->maps[1].high == 0);
    CHECK(m.scene->maps[2].low == -1 && m.scene->maps[2].high == 5);
    sc_maps_close(&m);
}

TEST(places_stand_in_a_grid_without_touching)
{
    static float v[300 * 700];
    const struct sc_map maps[] = {
        map_of("wide", 1, 700, v, 0, 0),    map_of("tall", 300, 2, v, 1, 0),
        map_of("one", 1, 1, v, 0, 1),       map_of("square", 20, 20, v, 1, 1),
        map_of("long", 1, 210000, v, 0, 2),
    };
    struct sc_maps m;
    struct sc_error e = {0};

    CHECK((sc_maps_open(maps, 5, "five", &m, &e)) == 0);
    for (size_t i = 0; i < m.scene->n_places; i++) {
        const struct sc_place *a = &m.scene->places[i];
        CHECK(a->w >= SC_SCENE_THIN && a->h >= SC_SCENE_THIN && a->w <= SC_MAP_LONG &&
              a->h <= SC_MAP_LONG);
        CHECK(a->x % SC_SCENE_ALIGN == 0 && a->y % SC_SCENE_ALIGN == 0);
        CHECK(a->x + a->w <= m.scene->w && a->y + a->h <= m.scene->h);
        for (size_t k = 0; k < i; k++) {
            const struct sc_place *b = &m.scene->places[k];
            CHECK(a->x >= b->x + b->w || b->x >= a->x + a->w || a->y >= b->y + b->h ||
                  b->y >= a->y + a->h);
        }
    }
    CHECK(place_named(&m, "one")->x == place_named(&m, "wide")->x);
    CHECK(place_named(&m, "square")->x == place_named(&m, "tall")->x);
    CHECK(place_named(&m, "square")->y == place_named(&m, "one")->y);
    CHECK((place_named(&m, "square")->w) == 160);
    sc_maps_close(&m);
}

TEST(nonsense_is_refused)
{
    float v[4] = {0};
    const struct sc_map twice[] = {map_of("a", 2, 2, v, 0, 0), map_of("a", 2, 2, v, 1, 0)};
    const struct sc_map empty = map_of("a", 0, 2, v, 0, 0);
    struct sc_maps m;
    struct sc_error e = {0};

    CHECK(sc_maps_open(NULL, 0, "none", &m, &e) == SCRUPLE_EUSAGE);
    sc_maps_close(&m);
    CHECK(sc_maps_open(&empty, 1, "empty", &m, &e) == SCRUPLE_EUSAGE);
    sc_maps_close(&m);
    CHECK(sc_maps_open(twice, 2, "twice", &m, &e) < 0);
    sc_maps_close(&m);
}

TEST(without_memory)
{
    static const float v[4] = {1, 2, 3, 4};
    const struct sc_map maps[] = {map_of("a", 2, 2, v, 0, 0), map_of("b", 1, 4, v, 1, 0)};

    for (uint64_t k = 0;; k++) {
        struct sc_maps m;
        struct sc_error e = {0};
        sc_oom_fail_at(k);
        const int code = sc_maps_open(maps, 2, "two", &m, &e);
        const bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK(code == (reached ? SCRUPLE_EMEMORY : 0) || code == 0);
        sc_maps_close(&m);
        if (!reached)
            break;
    }
}

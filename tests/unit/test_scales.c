/* SPDX-License-Identifier: Apache-2.0 */
/* How large weights are: estimates and what pyramids know, against sorting all values. */
#include "picture/pyramid.h"

#include "test.h"

#include <pthread.h>
#include <stdlib.h>

#include "tiles_world.h"

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Towards 0, to six binary digits. */
static float cut(float x)
{
    int exponent;
    const float f = frexpf(x, &exponent);
    return exponent < -125 ? x : ldexpf(floorf(f * 64) / 64, exponent);
}

static struct sc_scale_range range_of(const float *x, uint64_t n)
{
    struct sc_scale_range r = {0};
    float *sorted = calloc((size_t)n + 1, sizeof *sorted);
    size_t k = 0;
    for (uint64_t i = 0; i < n; i++)
        if (isfinite(x[i]))
            sorted[k++] = fabsf(x[i]);
    qsort(sorted, k, sizeof *sorted, by_value);
    if (k > 0)
        r = (struct sc_scale_range){cut(sorted[k - 1 - k / 1000]), sorted[k - 1]};
    free(sorted);
    return r;
}

static struct sc_scales *scales_of(struct world *w)
{
    struct sc_scales *s = NULL;
    struct sc_error e = {0};
    if (sc_scales_new(w->p, &s, &e) < 0)
        support_fail(e.text);
    return s;
}

static void sample_all(struct world *w, struct sc_scales *s)
{
    struct sc_error e = {0};
    CHECK_ERR(0, sc_scales_sample(s, w->pool, NULL, 0, NULL, &e));
}

static bool same(const struct sc_scale_range *a, const struct sc_scale_range *b)
{
    return a->robust == b->robust && a->abs == b->abs;
}

static struct sc_scale_range model_of(struct sc_scales *s)
{
    struct sc_scale_range roles[SC_ROLE_COUNT], model;
    sc_scales_all(s, roles, &model);
    return model;
}

static struct sc_scale_range role_of(struct sc_scales *s, unsigned role)
{
    struct sc_scale_range roles[SC_ROLE_COUNT], model;
    sc_scales_all(s, roles, &model);
    return roles[role];
}

TEST(nothing_is_known_at_first)
{
    struct world w;
    struct sc_scale_range r;
    bool final = true;
    world_of(&w, shapes, TENSORS, 1, 0, 1);
    struct sc_scales *s = scales_of(&w);
    CHECK(!sc_scales_of(s, 0, &r, &final) && !final);
    r = model_of(s);
    CHECK(r.robust == 0 && r.abs == 0);
    r = role_of(s, SC_ROLE_COUNT - 1);
    CHECK(r.robust == 0 && r.abs == 0);
    CHECK(!sc_scales_of(s, 999, &r, &final) && final);
    sc_scales_free(s);
    sc_scales_free(NULL);
    end_world(&w);
}

/* Each has fewer values than a sample would take, or few more. */
TEST(small_tensors_are_known_from_all_of_their_values)
{
    struct world w;
    struct sc_scale_range r;
    bool final;
    world_of(&w, shapes, TENSORS, 2, 60, 2);
    struct sc_scales *s = scales_of(&w);
    sample_all(&w, s);
    for (uint32_t i = 0; i < TENSORS; i++) {
        const uint64_t n = count_of(&shapes[i]);
        if (n > 16384 || strcmp(shapes[i].dtype, "F64") == 0)
            continue;
        const struct sc_scale_range want = range_of(w.values[i], n);
        CHECK(sc_scales_of(s, i, &r, &final) && !final);
        CHECK(r.robust == want.robust);
        CHECK(r.abs == want.abs);
    }
    sc_scales_free(s);
    end_world(&w);
}

TEST(estimates_are_near_and_the_same_in_any_order)
{
    static const uint32_t some[] = {9, 1, 3};
    struct world w;
    struct sc_scale_range r, one;
    bool final;
    struct sc_error e = {0};
    world_of(&w, shapes, TENSORS, 3, 0, 2);
    struct sc_scales *s = scales_of(&w), *t = scales_of(&w);
    sample_all(&w, s);
    CHECK_ERR(0, sc_scales_sample(t, w.pool, some, 3, NULL, &e));
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE(sc_scales_of(s, some[i], &r, &final) && sc_scales_of(t, some[i], &one, &final));
        CHECK(same(&r, &one));
    }
    CHECK(!sc_scales_of(t, 0, &one, &final));
    const struct sc_scale_range want = range_of(w.values[9], count_of(&shapes[9]));
    CHECK(sc_scales_of(s, 9, &r, &final));
    CHECK(r.robust > 0.95F * want.robust && r.robust <= want.abs);
    CHECK(r.abs > 0.95F * want.abs && r.abs <= want.abs);
    sc_scales_free(s);
    sc_scales_free(t);
    end_world(&w);
}

TEST(pyramids_know_the_exact_figures)
{
    for (unsigned threads = 1; threads <= 3; threads += 2) {
        struct world w;
        struct sc_scale_range r, all = {0};
        bool final = false;
        world_of(&w, shapes, TENSORS, 4, 60, threads);
        struct sc_scales *s = scales_of(&w);
        build(&w);
        for (uint32_t i = 0; i < TENSORS; i++) {
            if (strcmp(shapes[i].dtype, "C64") == 0)
                continue;
            const uint64_t n = count_of(&shapes[i]);
            const struct sc_scale_range want = range_of(w.values[i], n);
            CHECK(sc_scales_of(s, i, &r, &final) && final);
            CHECK(n >= 1 << 20 || r.robust == want.robust);
            CHECK(r.abs == want.abs);
            all.robust = SC_MAX(all.robust, r.robust);
            all.abs = SC_MAX(all.abs, r.abs);
        }
        /* A complex one never has a pyramid. */
        CHECK(!sc_scales_of(s, 10, &r, &final) && final);
        r = model_of(s);
        CHECK(same(&r, &all));
        r = role_of(s, w.model->tensors[0].role);
        CHECK(same(&r, &all)); /* all of these names are of one role */
        sc_scales_free(s);
        end_world(&w);
    }
}

/* Counted of a part of its values: near, and the same for any number of threads. Two columns of
 * 1024 hold the largest values: no column may be left out, or seen everywhere. */
TEST(large_tensors_are_counted_in_part)
{
    enum { ROWS = 2100, COLS = 1024 };
    static const struct shape big[] = {{"F32", 1, ROWS, COLS, 1, 1, 0, 0}};
    struct sc_scale_range r[3];
    bool final;
    for (unsigned k = 0; k < 3; k++) {
        struct world w;
        world_of(&w, big, 1, 5, 0, k + 1);
        uint8_t *data = (uint8_t *)w.blob.p + w.blob.n - sizeof(float) * ROWS * COLS;
        for (size_t i = 0; i < 2 * ROWS; i++) {
            const size_t at = i / 2 * COLS + (i % 2 ? 777 : 64);
            w.values[0][at] = 100.0F + (float)i / 100;
            memcpy(data + at * sizeof(float), &w.values[0][at], sizeof(float));
        }
        struct sc_scales *s = scales_of(&w);
        build(&w);
        REQUIRE(sc_scales_of(s, 0, &r[k], &final));
        const struct sc_scale_range want = range_of(w.values[0], ROWS * COLS);
        CHECK(want.robust > 110);
        CHECK(r[k].abs == want.abs);
        CHECK_NEAR((double)r[k].robust, (double)want.robust, 0.05);
        CHECK(same(&r[k], &r[0]));
        sc_scales_free(s);
        end_world(&w);
    }
}

TEST(runs_are_the_same_however_a_tensor_is_cut)
{
    enum { N = 70000 };
    static uint8_t codes[2 * N];
    static float cut[N];
    float *x = calloc(N, sizeof *x);
    struct sc_magnitudes *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    uint32_t state = 9;
    for (size_t i = 0; i < N; i++)
        x[i] = (float)(st_random(&state) % 4096) / 77;
    for (unsigned rate = 0; rate <= 4; rate++) {
        sc_magnitudes_start(a, UINT64_MAX, 0);
        sc_magnitudes_start(b, UINT64_MAX, 0);
        sc_magnitudes_take(a, rate, 12345, x, N, sc_cpu_level());
        for (uint64_t at = 0, n; at < N; at += n) {
            n = st_random(&state) % 500 + 1;
            n = SC_MIN(n, N - at);
            sc_magnitudes_take(b, rate, 12345 + at, x + at, n, sc_cpu_level());
        }
        a->fresh = b->fresh;
        CHECK_BITS(a, b, sizeof *a);
        for (size_t i = 0; i < N; i++) { /* values as codes */
            const uint16_t code = (uint16_t)(sc_bits_of(x[i]) >> 16);
            codes[2 * i] = (uint8_t)code;
            codes[2 * i + 1] = (uint8_t)(code >> 8);
            cut[i] = sc_bf16_value(code);
        }
        sc_magnitudes_start(a, UINT64_MAX, 0);
        sc_magnitudes_start(b, UINT64_MAX, 0);
        sc_magnitudes_take(a, rate, 12345, cut, N, sc_cpu_level());
        sc_magnitudes_take_codes(b, rate, 12345, codes, N, sc_cpu_level());
        CHECK_BITS(a, b, sizeof *a);
        CHECK_NEAR((double)(a->n << rate), N, 0.03);
    }
    CHECK_U64(sc_magnitudes_rate(1), 0);
    CHECK_U64(sc_magnitudes_rate((1 << 20) - 1), 0);
    CHECK_U64(sc_magnitudes_rate(1 << 20), 1);
    CHECK_U64(sc_magnitudes_rate(UINT64_C(1) << 30), 4);
    for (unsigned log2 = 31; log2 < 64; log2++)
        CHECK((UINT64_C(1) << log2) >> sc_magnitudes_rate(UINT64_C(1) << log2) < UINT32_MAX);
    free(x);
    free(a);
    free(b);
}

/* Values that grow, that shrink, and that come in any order; in one part or joined from several,
 * each of which starts from what the others know. */
TEST(what_need_not_be_counted_is_left_out)
{
    enum { N = 200000, PARTS = 5 };
    float *x = calloc(N, sizeof *x);
    struct sc_magnitudes *all = calloc(1, sizeof *all), *part = calloc(1, sizeof *part);
    for (unsigned kind = 0; kind < 4; kind++) {
        uint32_t state = 9 + kind;
        for (size_t i = 0; i < N; i++) {
            const float r = (float)(st_random(&state) % 100000 + 1);
            x[i] = kind == 0 ? (float)i : kind == 1 ? (float)(N - i) : kind == 2 ? r : 1 / r;
            x[i] = st_random(&state) % 2 ? -x[i] : x[i];
        }
        x[kind * 1000] = NAN;
        const struct sc_scale_range want = range_of(x, N);
        sc_magnitudes_start(all, N, 0);
        for (size_t i = 0; i < N; i += 1000)
            sc_magnitudes_take(all, 0, i, x + i, 1000, sc_cpu_level());
        CHECK(sc_magnitudes_robust(all) == want.robust);
        CHECK(all->least > 0);
        sc_magnitudes_start(all, N, 0);
        for (size_t k = 0; k < PARTS; k++) {
            sc_magnitudes_start(part, N, 0);
            part->least = k % 2 ? all->least : 0;
            for (size_t i = 0; i < N / PARTS; i += 100)
                sc_magnitudes_take(part, 0, k * N / PARTS + i, x + k * N / PARTS + i, 100,
                                   sc_cpu_level());
            sc_magnitudes_join(all, part);
        }
        CHECK(sc_magnitudes_robust(all) == want.robust);
    }
    free(x);
    free(all);
    free(part);
}

TEST(levels_of_the_processor_count_the_same)
{
    enum { N = 5000 };
    float *x = calloc(N, sizeof *x);
    struct sc_magnitudes *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    uint32_t state = 3;
    for (size_t i = 0; i < N; i++) {
        const uint32_t bits = st_random(&state) << 16 ^ st_random(&state);
        memcpy(&x[i], &bits, sizeof bits);
    }
    static const uint32_t least[] = {0, 1, 0x3f800000, 0x7f7fffff, 0x7f800000};
    for (size_t k = 0; k < SC_COUNT(least); k++)
        for (size_t n = 0; n < N; n += n < 70 ? 1 : 613) {
            sc_magnitudes_start(a, UINT64_MAX, 0);
            sc_magnitudes_start(b, UINT64_MAX, 0);
            a->least = b->least = least[k];
            sc_magnitudes_take(a, 0, 0, x, n, SC_CPU_C);
            sc_magnitudes_take(b, 0, 0, x, n, sc_cpu_level());
            CHECK_BITS(a, b, sizeof *a);
        }
    free(x);
    free(a);
    free(b);
}

TEST(what_is_nearly_all_zero_has_no_quantile)
{
    struct sc_magnitudes *m = calloc(1, sizeof *m);
    float x[2000] = {0};
    x[7] = 5;
    x[1234] = -6.5F;
    x[3] = NAN;
    x[4] = INFINITY;
    sc_magnitudes_start(m, 2000, 0);
    sc_magnitudes_take(m, 0, 0, x, 2000, sc_cpu_level());
    CHECK(sc_magnitudes_robust(m) == 5);
    x[7] = 0;
    sc_magnitudes_start(m, 2000, 0);
    sc_magnitudes_take(m, 0, 0, x, 2000, sc_cpu_level());
    CHECK(sc_magnitudes_robust(m) == 0);
    sc_magnitudes_start(m, 2000, 0);
    CHECK(sc_magnitudes_robust(m) == 0);
    free(m);
}

/* ----------------------------------------------------------------------------------- cache --- */

static void build_into(struct world *w, const char *folder)
{
    char cache[600];
    snprintf(cache, sizeof cache, "%s/cache", folder);
    open_pyramids(w, cache, NULL);
    build(w);
}

/* Finds what the cache has, and nothing more. */
static void find_only(struct world *w, const char *folder)
{
    static _Atomic int cancel = 1;
    char cache[600];
    struct sc_error e = {0};
    snprintf(cache, sizeof cache, "%s/cache", folder);
    open_pyramids(w, cache, &cancel);
    CHECK_ERR(SCRUPLE_EINTERRUPTED, sc_pyramids_build(w->p, &e));
}

TEST(a_cache_knows_them_before_any_cell_is_read)
{
    struct world w;
    char *folder;
    struct sc_scale_range before[TENSORS], r;
    bool final;
    file_world(&w, &folder);
    build_into(&w, folder);
    struct sc_scales *s = scales_of(&w);
    for (uint32_t i = 0; i < TENSORS; i++)
        (void)sc_scales_of(s, i, &before[i], &final);
    sc_scales_free(s);
    find_only(&w, folder);
    s = scales_of(&w);
    for (uint32_t i = 0; i < TENSORS; i++)
        if (strcmp(shapes[i].dtype, "C64") != 0) {
            CHECK(sc_scales_of(s, i, &r, &final) && final && same(&r, &before[i]));
            CHECK_U64(w.p->entries[i].state, SC_PYRAMID_KEPT);
        }
    sc_scales_free(s);
    end_world(&w);
    remove_folder(folder);
}

/* A file of the layout before this one, or a row that somebody changed. */
TEST(what_an_older_or_damaged_cache_says_is_not_believed)
{
    struct world w;
    char *folder;
    struct sc_scale_range r;
    bool final;
    file_world(&w, &folder);
    build_into(&w, folder);
    flip(cache_file(folder), 64 + 3 * 32 + 12, 0x40); /* `robust` of a tensor */
    find_only(&w, folder);
    struct sc_scales *s = scales_of(&w);
    CHECK(!sc_scales_of(s, 3, &r, &final) && !final);
    CHECK(sc_scales_of(s, 4, &r, &final));
    sc_scales_free(s);
    flip(cache_file(folder), 12, 0x2 ^ 0x1);
    find_only(&w, folder);
    s = scales_of(&w);
    CHECK(!sc_scales_of(s, 4, &r, &final));
    sc_scales_free(s);
    build_into(&w, folder);
    find_only(&w, folder);
    s = scales_of(&w);
    CHECK(sc_scales_of(s, 3, &r, &final) && sc_scales_of(s, 4, &r, &final));
    sc_scales_free(s);
    end_world(&w);
    remove_folder(folder);
}

/* --------------------------------------------------------------------------------- threads --- */

struct worker {
    struct world *w;
    struct sc_scales *s;
    unsigned kind;
    size_t wrong;
};

static void *work(void *ctx)
{
    struct worker *k = ctx;
    struct sc_error e = {0};
    struct sc_scale_range r;
    bool final;
    if (k->kind == 0)
        k->wrong = sc_pyramids_build(k->w->p, &e) != 0;
    else if (k->kind == 1)
        k->wrong = sc_scales_sample(k->s, k->w->pool, NULL, 0, NULL, &e) != 0;
    for (unsigned i = 0; k->kind > 1 && i < 2000; i++) {
        if (sc_scales_of(k->s, i % TENSORS, &r, &final))
            k->wrong += !(r.abs > 0 && r.robust <= r.abs);
        r = model_of(k->s);
        k->wrong += !(r.robust <= r.abs);
    }
    return NULL;
}

TEST(they_are_asked_for_while_they_are_found_out)
{
    struct world w;
    char *folder, cache[600];
    file_world(&w, &folder);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    for (unsigned round = 0; round < 3; round++) {
        pthread_t threads[4];
        struct worker workers[4];
        open_pyramids(&w, cache, NULL);
        struct sc_scales *s = scales_of(&w);
        for (unsigned i = 0; i < 4; i++) {
            workers[i] = (struct worker){&w, s, i, 0};
            pthread_create(&threads[i], NULL, work, &workers[i]);
        }
        for (unsigned i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            CHECK_U64(workers[i].wrong, 0);
        }
        sc_scales_free(s);
    }
    end_world(&w);
    remove_folder(folder);
}

TEST(sampling_stops_when_it_is_cancelled)
{
    static _Atomic int cancel = 1;
    struct world w;
    struct sc_error e = {0};
    struct sc_scale_range r;
    bool final;
    world_of(&w, shapes, TENSORS, 6, 0, 2);
    struct sc_scales *s = scales_of(&w);
    CHECK_ERR(SCRUPLE_EINTERRUPTED, sc_scales_sample(s, w.pool, NULL, 0, &cancel, &e));
    CHECK(!sc_scales_of(s, 0, &r, &final));
    sc_scales_free(s);
    end_world(&w);
}

/* ------------------------------------------------------------------------------- elsewhere --- */

static int far_open(struct sc_repo *r, const char *path, struct sc_source **out, struct sc_error *e)
{
    TRY(sc_repo_open_file(r->private_data, path, out, e));
    (*out)->remote = true;
    return 0;
}

static void far_close(struct sc_repo *r)
{
    sc_repo_close(r->private_data);
}

static const struct sc_repo_ops far_ops = {.scheme = "far", .open = far_open, .close = far_close};

/* The same model, whose file says that it is elsewhere. */
static void far_world(struct world *w, char **folder, uint64_t network)
{
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_repo *inner = NULL;
    struct sc_error e = {0};
    file_world(w, folder);
    sc_scene_free(w->scene);
    sc_model_close(w->model);
    struct sc_repo *r = sc_repo_new(&e);
    if (!r || sc_repo_open_local(*folder, &inner, &e) < 0)
        support_fail(e.text);
    r->ops = &far_ops;
    r->private_data = inner;
    r->label = strdup("far");
    r->origin = "hub";
    for (size_t i = 0; i < inner->n_files; i++)
        if (sc_repo_add_file(r, inner->files[i].path, inner->files[i].bytes, &e) < 0)
            support_fail(e.text);
    if (sc_model_open_repo(r, &o, &w->model, &e) < 0)
        support_fail(e.text);
    make_scene(w);
    const struct sc_pyramids_options po = {.pool = w->pool, .memory = 1 << 20, .network = network};
    if (sc_pyramids_new(w->scene, &po, &w->p, &e) < 0)
        support_fail(e.text);
}

static size_t waiting(struct world *w, unsigned *flags)
{
    struct sc_tile *t = calloc(1, sizeof *t);
    struct sc_error e = {0};
    size_t n = 0;
    *t = (struct sc_tile){.z = w->scene->top, .plane = SC_PLANE_RMS};
    CHECK_ERR(0, sc_tile_fill(w->p, t, 0, &e));
    for (size_t i = 0; i < SC_COUNT(t->pixels); i++)
        n += t->pixels[i] == SC_PIXEL_WAITING;
    *flags = t->flags;
    free(t);
    return n;
}

TEST(what_is_elsewhere_is_sampled_within_its_budget)
{
    struct world w;
    char *folder;
    struct sc_scale_range r;
    bool final;
    unsigned flags;
    far_world(&w, &folder, 0);
    struct sc_scales *s = scales_of(&w);
    sample_all(&w, s); /* reads nothing of it */
    CHECK(!sc_scales_of(s, 9, &r, &final) && !final);
    CHECK(waiting(&w, &flags) > 0);
    CHECK(flags & SC_TILE_SAMPLED);
    build(&w);
    CHECK(waiting(&w, &flags) > 0); /* there was no budget */
    CHECK(!sc_scales_of(s, 9, &r, &final) && final);
    sc_scales_free(s);
    end_world(&w);
    remove_folder(folder);

    far_world(&w, &folder, 1 << 19);
    s = scales_of(&w);
    build(&w);
    CHECK_U64(waiting(&w, &flags), 0);
    CHECK_U64(w.p->entries[9].state, SC_PYRAMID_NONE); /* 1.4 MB were too much */
    REQUIRE(sc_scales_of(s, 9, &r, &final) && final);
    const struct sc_scale_range want = range_of(w.values[9], count_of(&shapes[9]));
    CHECK(r.abs > want.abs * 0.5F && r.abs <= want.abs * 1.01F);
    CHECK(r.robust > want.robust * 0.5F && r.robust <= r.abs);
    sc_scales_free(s);
    end_world(&w);
    remove_folder(folder);
}

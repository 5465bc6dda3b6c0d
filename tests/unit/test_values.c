/* SPDX-License-Identifier: Apache-2.0 */
/* Views: every container and element type as values, at any alignment, and what happens when the
 * bytes are not there. */
#include "format/zip.h"
#include "stream/values.h"

#include "test.h"

#include <glob.h>
#include <jansson.h>
#include <stdlib.h>

#include "st_maker.h"
#include "zip_maker.h"

static struct sc_values *view_of(const struct sc_model *m, const char *name)
{
    struct sc_values *v = NULL;
    struct sc_error e = {0};
    if (sc_values_open(m, tensor_named(m, name), &v, &e) < 0)
        fprintf(stderr, "%s: %s\n", name, e.text);
    return v;
}

static bool same_bits(const void *a, const void *b, size_t n)
{
    return memcmp(a, b, n) == 0;
}

/* ------------------------------------------------------------------------- types, one by one ---
 */

/* Reads whole and compares with doubles. */
static void check_all(struct sc_values *v, const double *want, size_t n)
{
    float *f = calloc(n + 1, sizeof *f);
    double *d = calloc(n + 1, sizeof *d);
    struct sc_error e = {0};
    CHECK_U64(v->count, n);
    CHECK_ERR(0, sc_values_read(v, 0, n, f, &e));
    CHECK_ERR(0, sc_values_read64(v, 0, n, d, &e));
    for (size_t i = 0; i < n; i++) {
        CHECK_NEAR(d[i], want[i], 0);
        CHECK_NEAR(f[i], (float)want[i], 0);
    }
    free(f);
    free(d);
}

TEST(plain_types_have_their_values)
{
    static const struct {
        const char *dtype;
        unsigned char bytes[16];
        size_t n;
        double want[2];
        uint8_t code_bytes;
        bool is_double;
    } cases[] = {
        {"F32", {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, 8, {1, -2}, 4, false},
        {"F16", {0, 0x3c, 0, 0xc0}, 4, {1, -2}, 2, false},
        {"BF16", {0x80, 0x3f, 0, 0xc0}, 4, {1, -2}, 2, false},
        {"F64",
         {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 1, 0, 0, 0, 0, 0, 0, 0xc0},
         16,
         {1, -2.0000000000000004},
         0,
         true},
        {"I64",
         {1, 0, 0, 0, 0, 0, 0x20, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
         16,
         {9007199254740992.0, -1},
         0,
         true},
        {"U64",
         {255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0},
         16,
         {18446744073709551616.0, 1},
         0,
         true},
        {"I32", {0xff, 0xff, 0xff, 0x7f, 0xfe, 0xff, 0xff, 0xff}, 8, {2147483647.0, -2}, 4, true},
        {"U32", {0xff, 0xff, 0xff, 0xff, 5, 0, 0, 0}, 8, {4294967295.0, 5}, 4, true},
        {"I16", {0, 0x80, 1, 0}, 4, {-32768, 1}, 2, false},
        {"U16", {0, 0x80, 1, 0}, 4, {32768, 1}, 2, false},
        {"I8", {0x80, 1}, 2, {-128, 1}, 1, false},
        {"U8", {0x80, 1}, 2, {128, 1}, 1, false},
        {"BOOL", {0, 1}, 2, {0, 1}, 1, false},
        {"F8_E4M3", {0x38, 0xc0}, 2, {1, -2}, 1, false},
        {"F8_E5M2", {0x3c, 0xc0}, 2, {1, -2}, 1, false},
        {"F8_E8M0", {127, 128}, 2, {1, 2}, 1, false},
        {"F4", {0xc2}, 1, {1, -2}, 0, false},
    };
    struct st_maker maker = {0};
    for (size_t i = 0; i < SC_COUNT(cases); i++)
        st_add(&maker, cases[i].dtype, cases[i].dtype, "[2]", cases[i].bytes, cases[i].n);
    struct blob b = st_finish(&maker);
    struct sc_model *m = open_kept(b);
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_values *v = view_of(m, cases[i].dtype);
        REQUIRE(v);
        CHECK_U64(v->rows, 1);
        CHECK_U64(v->cols, 2);
        CHECK_U64(v->code_bytes, cases[i].code_bytes);
        CHECK(v->is_double == cases[i].is_double);
        check_all(v, cases[i].want, 2);
        unsigned char scratch[8];
        const void *codes;
        if (v->code_bytes) {
            CHECK_ERR(0, sc_values_codes(v, 0, 2, scratch, &codes, NULL));
            CHECK_BITS(codes, cases[i].bytes, cases[i].n);
        } else {
            CHECK_ERR(SCRUPLE_EUSAGE, sc_values_codes(v, 0, 2, scratch, &codes, NULL));
            CHECK_ERR(SCRUPLE_EUSAGE, sc_values_read_codes(v, 0, 1, 1, 1, scratch, 8, NULL));
        }
        sc_values_close(v);
    }
    sc_model_close(m);
    free(b.p);
}

TEST(complex_numbers_are_two_values)
{
    const float numbers[] = {1, 2, 3, 4, 5, 6};
    struct st_maker maker = {0};
    st_add(&maker, "c", "C64", "[3,1]", numbers, sizeof numbers);
    st_add(&maker, "one", "C64", "[]", numbers, 8);
    struct blob b = st_finish(&maker);
    struct sc_model *m = open_kept(b);
    struct sc_values *v = view_of(m, "c"), *one = view_of(m, "one");
    const double want[] = {1, 2, 3, 4, 5, 6};
    REQUIRE(v && one);
    CHECK_U64(v->rows, 3);
    CHECK_U64(v->cols, 2);
    CHECK_U64(v->code_bytes, 0);
    check_all(v, want, 6);
    CHECK_U64(one->rows, 1);
    CHECK_U64(one->cols, 2);
    float f[3];
    CHECK_ERR(0, sc_values_read(v, 1, 3, f, NULL));
    CHECK(f[0] == 2 && f[1] == 3 && f[2] == 4);
    sc_values_close(v);
    sc_values_close(one);
    sc_model_close(m);
    free(b.p);
}

TEST(scalars_and_empty_tensors)
{
    const float one = 7;
    struct st_maker maker = {0};
    st_add(&maker, "scalar", "F32", "[]", &one, 4);
    st_add(&maker, "none", "F32", "[0]", &one, 0);
    st_add(&maker, "no_rows", "F32", "[0,5]", &one, 0);
    st_add(&maker, "no_cols", "F32", "[5,0]", &one, 0);
    st_add(&maker, "large_none", "F32", "[9223372036854775808,4,0]", &one, 0);
    struct blob b = st_finish(&maker);
    struct sc_model *m = open_kept(b);
    const double want = 7;
    struct sc_values *v = view_of(m, "scalar");
    REQUIRE(v);
    CHECK_U64(v->rows, 1);
    CHECK_U64(v->cols, 1);
    check_all(v, &want, 1);
    CHECK_ERR(SCRUPLE_EUSAGE, sc_values_read(v, 0, 2, (float[2]){0}, NULL));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_values_read(v, 2, 0, (float[2]){0}, NULL));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_values_read(v, UINT64_MAX, 2, (float[2]){0}, NULL));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_values_read_runs(v, 0, UINT64_MAX, 3, 1, (float[3]){0}, NULL));
    sc_values_close(v);
    static const char *const empty[] = {"none", "no_rows", "no_cols", "large_none"};
    for (size_t i = 0; i < SC_COUNT(empty); i++) {
        v = view_of(m, empty[i]);
        REQUIRE(v);
        CHECK_U64(v->count, 0);
        CHECK_U64(v->rows * v->cols, 0);
        CHECK_ERR(0, sc_values_read(v, 0, 0, NULL, NULL));
        CHECK_ERR(SCRUPLE_EUSAGE, sc_values_read(v, 0, 1, (float[1]){0}, NULL));
        sc_values_prefetch(v, 0, 0);
        sc_values_close(v);
    }
    sc_model_close(m);
    free(b.p);
}

/* ----------------------------------------------------------------------------- any alignment ---
 */

/* Random pieces are what a whole read gives there. */
static void check_pieces(struct sc_values *v, const char *what)
{
    const size_t n = (size_t)v->count;
    float *all = calloc(n + 1, sizeof *all), *some = calloc(n + 1, sizeof *some);
    double *all64 = calloc(n + 1, sizeof *all64), *some64 = calloc(n + 1, sizeof *some64);
    struct sc_error e = {0};
    uint32_t random = 12345;
    bool good = sc_values_read(v, 0, n, all, &e) == 0 && sc_values_read64(v, 0, n, all64, &e) == 0;
    for (size_t i = 0; good && i < n; i++) {
        const float narrow = (float)all64[i];
        good = same_bits(&narrow, &all[i], sizeof narrow) || (isnan(narrow) && isnan(all[i]));
    }
    for (int round = 0; good && n > 0 && round < 40; round++) {
        const size_t first = st_random(&random) % n, most = n - first;
        const size_t k = 1 + st_random(&random) % (round % 2 ? most : SC_MIN(most, (size_t)40));
        good = sc_values_read(v, first, k, some, &e) == 0 &&
               same_bits(some, all + first, k * sizeof *all) &&
               sc_values_read64(v, first, k, some64, &e) == 0 &&
               same_bits(some64, all64 + first, k * sizeof *all64);
        const size_t runs = 1 + st_random(&random) % 5, stride = k + st_random(&random) % 50;
        if (!good || first + (runs - 1) * stride + k > n)
            continue;
        good = sc_values_read_runs(v, first, stride, runs, k, some, &e) == 0;
        for (size_t i = 0; good && i < runs; i++)
            good = same_bits(some + i * k, all + first + i * stride, k * sizeof *all);
        if (good && v->code_bytes) {
            const void *codes, *codes_all;
            unsigned char *scratch = calloc(n + 1, 8);
            good = sc_values_codes(v, first, k, scratch, &codes, &e) == 0 &&
                   sc_values_codes(v, 0, n, scratch + 4 * n, &codes_all, &e) == 0 &&
                   same_bits(codes, (const char *)codes_all + first * v->code_bytes,
                             k * v->code_bytes);
            const size_t each = v->code_bytes, apart = (k + 3) * each;
            unsigned char *many = calloc(runs, apart);
            good = good && sc_values_read_codes(v, first, stride, runs, k, many, apart, &e) == 0;
            for (size_t i = 0; good && i < runs; i++)
                good = same_bits(many + i * apart,
                                 (const char *)codes_all + (first + i * stride) * each, k * each);
            free(many);
            free(scratch);
        }
    }
    if (!good)
        fprintf(stderr, "%s: %s: %s\n", what, v->tensor->name, e.text);
    CHECK(good);
    free(all);
    free(some);
    free(all64);
    free(some64);
}

/* Every model that was made for tests, leniently: what cannot be read says why. */
static void check_models(const char *pattern)
{
    const struct sc_open_options o = {.keep_repo = true, .lenient = true};
    glob_t found;
    REQUIRE(glob(pattern, 0, NULL, &found) == 0);
    size_t views = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct sc_model *m = NULL;
        if (sc_model_open(found.gl_pathv[i], &o, &m, NULL) < 0)
            continue;
        for (uint32_t t = 0; t < m->n_tensors; t++) {
            struct sc_values *v = NULL;
            struct sc_error e = {0};
            const int code = sc_values_open(m, t, &v, &e);
            CHECK(code == 0 || (e.text[0] && e.code == code));
            if (code == 0 && v->count <= 1000000) {
                check_pieces(v, found.gl_pathv[i]);
                views++;
            }
            sc_values_close(v);
        }
        sc_model_close(m);
    }
    CHECK(views > 20);
    globfree(&found);
}

TEST(random_pieces_of_generated_models)
{
    check_models(SC_FIXTURES "/[a-su-z]*");
}

TEST(random_pieces_of_generated_torch_models)
{
    check_models(SC_FIXTURES "/t*");
}

TEST(random_pieces_of_torch_files)
{
    check_models(SC_TESTDATA "/torch/*.[np][ptz]*");
}

/* ------------------------------------------------------------- what torch and numpy wrote --- */

/* `head`: the first values, as torch and numpy printed them. Complex ones are "a+bj". */
static bool check_head(struct sc_values *v, const json_t *head, const char *what)
{
    double got[64];
    size_t n = json_array_size(head), each = 1, i;
    const json_t *item;
    if (n == 0 || n > 16)
        return true;
    if (strstr(v->tensor->dtype, "C64") || strstr(v->tensor->dtype, "C128") ||
        strstr(v->tensor->dtype, "C32"))
        each = 2;
    if (sc_values_read64(v, 0, SC_MIN(n * each, v->count), got, NULL) < 0)
        return false;
    json_array_foreach(head, i, item)
    {
        const char *text = json_string_value(item);
        if (!text || i * each >= v->count)
            continue;
        char *rest;
        while (*text == '(')
            text++;
        double want = strcmp(text, "True") == 0 ? 1 : strtod(text, &rest);
        const double here = got[i * each];
        if (fabs(here - want) > 1e-6 * fmax(1e-30, fabs(want)) && !(isnan(here) && isnan(want))) {
            fprintf(stderr, "%s: %s[%zu] is %.17g, expected %s\n", what, v->tensor->name, i, here,
                    text);
            return false;
        }
    }
    return true;
}

/* `values`: all of them, exactly. Reads them whole and from the middle on. */
static bool check_exact(struct sc_values *v, const json_t *values, const char *what)
{
    float got[256], again[256];
    const size_t n = json_array_size(values), half = n / 2;
    size_t i;
    const json_t *item;
    if (n != v->count || n > SC_COUNT(got) || sc_values_read(v, 0, n, got, NULL) < 0 ||
        sc_values_read(v, half, n - half, again, NULL) < 0 ||
        !same_bits(got + half, again, (n - half) * sizeof got[0]))
        return false;
    json_array_foreach(values, i, item)
    {
        const float want = strtof(json_string_value(item), NULL);
        if (same_bits(&got[i], &want, sizeof want) || (isnan(got[i]) && isnan(want)))
            continue;
        fprintf(stderr, "%s: %s[%zu] is %a, expected %a\n", what, v->tensor->name, i,
                (double)got[i], (double)want);
        return false;
    }
    return true;
}

TEST(quantised_integers_are_those_of_torch)
{
    static const char *const files[] = {"quantised", "quantised-legacy", "exotic", "exotic-legacy",
                                        "quint4x2"};
    size_t tensors = 0;
    for (size_t i = 0; i < SC_COUNT(files); i++) {
        char path[4096];
        size_t k;
        json_t *row;
        snprintf(path, sizeof path, SC_TESTDATA "/torch/%s.pt.expect.json", files[i]);
        json_t *expect = json_load_file(path, 0, NULL);
        REQUIRE(expect);
        snprintf(path, sizeof path, SC_TESTDATA "/torch/%s.pt", files[i]);
        struct sc_model *m = open_path(path);
        json_array_foreach(json_object_get(expect, "tensors"), k, row)
        {
            const json_t *values = json_object_get(row, "values");
            if (!values)
                continue;
            struct sc_values *v = view_of(m, json_string_value(json_object_get(row, "name")));
            CHECK(v && check_exact(v, values, path));
            CHECK(v && v->tensor->layout == SC_LAYOUT_TORCH_QINT);
            sc_values_close(v);
            tensors++;
        }
        json_decref(expect);
        sc_model_close(m);
    }
    CHECK_U64(tensors, 22 + 22 + 4 + 4 + 1);
}

TEST(values_are_those_that_torch_and_numpy_saw)
{
    glob_t found;
    size_t heads = 0;
    REQUIRE(glob(SC_TESTDATA "/torch/*.expect.json", 0, NULL, &found) == 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char path[4096];
        size_t k;
        json_t *row;
        const size_t n = strlen(found.gl_pathv[i]) - strlen(".expect.json");
        snprintf(path, sizeof path, "%.*s", (int)n, found.gl_pathv[i]);
        json_t *expect = json_load_file(found.gl_pathv[i], 0, NULL);
        REQUIRE(expect);
        struct sc_model *m = open_path(path);
        json_array_foreach(json_object_get(expect, "tensors"), k, row)
        {
            const json_t *head = json_object_get(row, "head");
            struct sc_values *v = NULL;
            struct sc_error e = {0};
            const char *dtype = json_string_value(json_object_get(row, "dtype"));
            if (!head || !dtype)
                continue;
            const int code = sc_values_open(
                m, tensor_named(m, json_string_value(json_object_get(row, "name"))), &v, &e);
            if (code < 0)
                fprintf(stderr, "%s\n", e.text);
            CHECK(code == 0);
            CHECK(code < 0 || check_head(v, head, path));
            heads += code == 0 && json_array_size(head) > 0;
            sc_values_close(v);
        }
        json_decref(expect);
        sc_model_close(m);
    }
    globfree(&found);
    CHECK(heads > 100);
}

/* The same weights in other containers are the same values. */
static void check_twins(const char *path, const char *twin, size_t least)
{
    struct sc_model *a = open_path(path), *b = open_path(twin);
    size_t n = 0;
    for (uint32_t i = 0; i < a->n_tensors; i++) {
        struct sc_values *x = NULL, *y = NULL;
        if (sc_values_open(a, i, &x, NULL) == 0) {
            y = view_of(b, a->tensors[i].name);
            REQUIRE(y && y->count == x->count);
            double *p = calloc((size_t)x->count + 1, sizeof *p),
                   *q = calloc((size_t)x->count + 1, sizeof *q);
            CHECK_ERR(0, sc_values_read64(x, 0, x->count, p, NULL));
            CHECK_ERR(0, sc_values_read64(y, 0, x->count, q, NULL));
            CHECK_BITS(p, q, (size_t)x->count * sizeof *p);
            free(p);
            free(q);
            n++;
        }
        sc_values_close(x);
        sc_values_close(y);
    }
    CHECK(n >= least);
    sc_model_close(a);
    sc_model_close(b);
}

TEST(containers_agree)
{
    /* The makers draw the same values for the same names, but name them after the kind. */
    check_twins(SC_TESTDATA "/torch/zip.pt", SC_TESTDATA "/torch/legacy.pt", 20);
    check_twins(SC_TESTDATA "/torch/zip-p2.pt", SC_TESTDATA "/torch/zip-p5.pt", 4);
    check_twins(SC_TESTDATA "/torch/zip-p3.pt", SC_TESTDATA "/torch/legacy-p4.pt", 4);
    check_twins(SC_TESTDATA "/torch/numpy.npz", SC_TESTDATA "/torch/numpy-compressed.npz", 1);
}

/* ------------------------------------------------------------------------ order of elements --- */

/* An NPY file of shape 3 x 4 x 5 with value 100 i + 10 j + k at [i, j, k]. */
static struct blob cube(const char *descr, bool fortran, bool big)
{
    struct sc_buf text = {0};
    const size_t size = (size_t)(descr[2] - '0');
    sc_buf_printf(&text, "{'descr': '%s', 'fortran_order': %s, 'shape': (3, 4, 5), }", descr,
                  fortran ? "True" : "False");
    while ((10 + text.n + 1) % 64)
        sc_buf_putc(&text, ' ');
    sc_buf_putc(&text, '\n');
    struct blob b = blob_new(10 + text.n + 60 * size);
    memcpy(b.p, "\x93NUMPY\1\0", 8);
    b.p[8] = (uint8_t)text.n;
    b.p[9] = (uint8_t)(text.n >> 8);
    memcpy(b.p + 10, text.p, text.n);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 4; j++)
            for (unsigned k = 0; k < 5; k++) {
                const unsigned value = 100 * i + 10 * j + k;
                const size_t at = fortran ? i + 3 * (j + 4 * k) : k + 5 * (j + 4 * i);
                uint8_t element[8] = {(uint8_t)value, (uint8_t)(value >> 8)};
                uint8_t *p = b.p + 10 + text.n + at * size;
                for (size_t byte = 0; byte < size; byte++)
                    p[big ? size - 1 - byte : byte] = element[byte];
            }
    sc_buf_clear(&text);
    return b;
}

static void check_cube(const struct sc_model *m)
{
    double want[60], some[60];
    struct sc_values *v = NULL;
    REQUIRE(sc_values_open(m, 0, &v, NULL) == 0);
    CHECK_U64(v->rows, 12);
    CHECK_U64(v->cols, 5);
    for (unsigned i = 0; i < 60; i++)
        want[i] = 100 * (i / 20) + 10 * (i / 5 % 4) + i % 5;
    check_all(v, want, 60);
    for (unsigned first = 0; first < 60; first++)
        for (unsigned n = 1; first + n <= 60; n++) {
            REQUIRE(sc_values_read64(v, first, n, some, NULL) == 0);
            CHECK_BITS(some, want + first, n * sizeof *want);
        }
    sc_values_close(v);
}

TEST(column_order_and_byte_order_do_not_show)
{
    static const char *const types[] = {"i2", "i4", "i8", "u2", "u4", "u8"};
    for (size_t t = 0; t < SC_COUNT(types); t++)
        for (unsigned how = 0; how < 8; how++) {
            char descr[8];
            const bool fortran = how & 1, big = how & 2, packed = how & 4;
            snprintf(descr, sizeof descr, "%c%s", big ? '>' : '<', types[t]);
            struct blob b = cube(descr, fortran, big);
            struct zip_maker z = {0};
            if (packed) {
                zm_add_how(&z, "cube.npy", b.p, b.n, (struct zip_how){.deflated = true});
                zm_end(&z);
                free(b.p);
                b = (struct blob){(uint8_t *)z.out.p, z.out.n};
            }
            struct sc_model *m = open_kept(b);
            check_cube(m);
            sc_model_close(m);
            free(b.p);
        }
}

/* The same where nothing can be mapped: the elements are copied once. */
TEST(column_order_without_mapping)
{
    for (unsigned big = 0; big < 2; big++) {
        struct blob b = cube(big ? ">i4" : "<i4", true, big);
        struct sc_repo *repo = NULL;
        struct sc_model *m = NULL;
        struct sc_fault plan = {.fail_at = UINT64_MAX}; /* a layer that never maps */
        const struct sc_open_options o = {.keep_repo = true};
        REQUIRE(sc_repo_open_memory(b.p, b.n, "cube.npy", &repo, NULL) == 0);
        repo->fault = &plan;
        REQUIRE(sc_model_open_repo(repo, &o, &m, NULL) == 0);
        check_cube(m);
        sc_model_close(m);
        free(b.p);
    }
}

TEST(views_of_torch_storages)
{
    struct sc_model *m = open_path(SC_FIXTURES "/torch-shared");
    struct sc_values *base = view_of(m, "embed.weight"), *v = view_of(m, "embed.transposed");
    float all[24 * 16], some[24 * 16];
    REQUIRE(base && v);
    REQUIRE(sc_values_read(base, 0, 24 * 16, all, NULL) == 0);
    REQUIRE(sc_values_read(v, 0, 24 * 16, some, NULL) == 0);
    for (unsigned i = 0; i < 24 * 16; i++)
        CHECK(some[i] == all[i % 24 * 16 + i / 24]);
    sc_values_close(v);
    v = view_of(m, "embed.rows");
    REQUIRE(v && sc_values_read(v, 0, 64, some, NULL) == 0);
    CHECK_BITS(some, all + 64, 64 * sizeof *all);
    sc_values_close(v);
    v = view_of(m, "embed.column");
    REQUIRE(v && sc_values_read(v, 0, 24, some, NULL) == 0);
    for (unsigned i = 0; i < 24; i++)
        CHECK(some[i] == all[i * 16 + 3]);
    sc_values_close(v);
    sc_values_close(base);
    v = view_of(m, "dilated");
    REQUIRE(v && sc_values_read(v, 0, 10, some, NULL) == 0);
    for (unsigned i = 0; i < 10; i++)
        CHECK(some[i] == 2.0F * (float)i);
    sc_values_close(v);
    v = view_of(m, "expanded.huge");
    REQUIRE(v && sc_values_read(v, UINT64_C(999999000000), 100, some, NULL) == 0);
    for (unsigned i = 0; i < 100; i++)
        CHECK(some[i] == 0.5F);
    sc_values_close(v);
    sc_model_close(m);
}

/* ------------------------------------------------------------------------------- refusals --- */

TEST(what_is_only_listed_says_so)
{
    static const char *const files[] = {"numpy-string.npy", "numpy-struct.npy"};
    for (size_t i = 0; i < SC_COUNT(files); i++) {
        char path[4096];
        struct sc_values *v = NULL;
        struct sc_error e = {0};
        snprintf(path, sizeof path, SC_TESTDATA "/torch/%s", files[i]);
        struct sc_model *m = open_path(path);
        CHECK_U64(m->n_tensors, 1);
        CHECK_ERR(SCRUPLE_EUNSUPPORTED, sc_values_open(m, 0, &v, &e));
        CHECK(strstr(e.text, m->tensors[0].name) && strstr(e.text, "only listed"));
        sc_values_close(v);
        sc_model_close(m);
    }
}

TEST(a_model_without_its_files_cannot_be_read)
{
    struct st_maker maker = {0};
    st_add(&maker, "x", "F32", "[1]", "abcd", 4);
    struct blob b = st_finish(&maker);
    struct sc_model *m = NULL;
    struct sc_values *v = NULL;
    float f;
    REQUIRE(open_blob(b, NULL, &m, NULL) == 0);
    REQUIRE(sc_values_open(m, 0, &v, NULL) == 0);
    CHECK_ERR(SCRUPLE_EUSAGE, sc_values_read(v, 0, 1, &f, NULL));
    sc_values_close(v);
    sc_model_close(m);
    free(b.p);
}

/* A deflated array whose bytes, size or CRC is wrong. */
TEST(damaged_members_are_refused)
{
    static const struct {
        struct zip_how how;
        size_t spoil; /* a byte of the data that is turned over, from the end; 0: none */
    } cases[] = {
        {{.deflated = true, .crc_xor = 1}, 0},
        {{.deflated = true}, 20},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct blob c = cube("<i4", false, false);
        struct zip_maker z = {0};
        struct sc_error e = {0};
        struct sc_values *v = NULL;
        float f[60];
        zm_add_how(&z, "cube.npy", c.p, c.n, cases[i].how);
        if (cases[i].spoil)
            z.out.p[z.out.n - cases[i].spoil] ^= 0x55;
        zm_end(&z);
        struct sc_model *m = open_kept((struct blob){(uint8_t *)z.out.p, z.out.n});
        REQUIRE(sc_values_open(m, 0, &v, &e) == 0);
        for (int again = 0; again < 2; again++) {
            CHECK_ERR(SCRUPLE_EFORMAT, sc_values_read(v, 0, 60, f, &e));
            CHECK(strstr(e.text, "tensor \"cube\"") && strstr(e.text, "test.bin"));
        }
        sc_values_close(v);
        sc_model_close(m);
        sc_buf_clear(&z.out);
        free(c.p);
    }
}

/* Every read fails in turn: an error that names the tensor, or the right values. */
static void check_faults(const char *path)
{
    bool fired = true;
    for (uint64_t k = 0; fired && k < 200; k++) {
        struct sc_repo *repo = NULL;
        struct sc_model *m = NULL;
        struct sc_fault plan = {.fail_at = UINT64_MAX};
        const struct sc_open_options o = {.keep_repo = true};
        REQUIRE(sc_repo_open_local(path, &repo, NULL) == 0);
        repo->fault = &plan;
        REQUIRE(sc_model_open_repo(repo, &o, &m, NULL) == 0);
        plan.fail_at = plan.reads + k;
        for (uint32_t i = 0; i < m->n_tensors; i++) {
            struct sc_values *v = NULL;
            struct sc_error e = {0};
            if (sc_values_open(m, i, &v, &e) == 0 && v->count <= 100000) {
                float *f = calloc((size_t)v->count + 1, sizeof *f);
                const int code = sc_values_read(v, 0, v->count, f, &e);
                CHECK(code == 0 || (code == SCRUPLE_EIO && strstr(e.text, "injected fault") &&
                                    strstr(e.text, "tensor \"")));
                free(f);
            }
            sc_values_close(v);
        }
        fired = plan.fired;
        sc_model_close(m);
    }
    CHECK(!fired); /* it came to an end */
}

TEST(failing_reads_are_errors)
{
    check_faults(SC_TESTDATA "/torch/zip-p2.pt");
    check_faults(SC_TESTDATA "/torch/numpy-compressed.npz");
    check_faults(SC_TESTDATA "/torch/numpy-fortran.npy");
}

TEST(files_that_shrink_or_change_are_errors)
{
    static float zeros[50000];
    struct st_maker maker = {0};
    st_add(&maker, "big", "F32", "[50000]", zeros, sizeof zeros);
    struct blob b = st_finish(&maker);
    const char *folder = make_folder();
    write_file(folder, "model.safetensors", b.p, b.n);
    struct sc_model *m = open_path(folder);
    struct sc_values *v = view_of(m, "big");
    struct sc_error e = {0};
    REQUIRE(v);
    CHECK_ERR(0, sc_values_read(v, 0, 10, zeros, &e));
    REQUIRE(truncate(scratch_at("model.safetensors"), (off_t)b.n - 100000) == 0);
    CHECK_ERR(SCRUPLE_EIO, sc_values_read(v, 0, 50000, zeros, &e));
    CHECK(strstr(e.text, "tensor \"big\"") && strstr(e.text, "model.safetensors") &&
          strstr(e.text, "shrank"));
    CHECK(e.has_offset);
    /* through a mapping: rectangles of short rows */
    CHECK_ERR(SCRUPLE_EIO, sc_values_read_runs(v, 0, 1000, 50, 10, zeros, &e));
    sc_values_close(v);
    sc_model_close(m);

    /* Between listing and the first read. */
    write_file(folder, "model.safetensors", b.p, b.n);
    m = open_path(folder);
    v = view_of(m, "big");
    REQUIRE(v && truncate(scratch_at("model.safetensors"), 1000) == 0);
    CHECK_ERR(SCRUPLE_EIO, sc_values_read(v, 0, 50000, zeros, &e));
    CHECK(strstr(e.text, "has 1000 bytes now"));
    sc_values_close(v);
    sc_model_close(m);
    remove_folder(scratch_root);
    free(b.p);
}

/* ------------------------------------------------------------------------------- sources --- */

static size_t open_descriptors(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

TEST(few_files_are_open_at_once)
{
    enum { FILES = 200 };
    static struct sc_values *views[FILES];
    const char *folder = make_folder();
    for (unsigned i = 0; i < FILES; i++) {
        char name[64], tensor[64];
        struct st_maker maker = {0};
        const float value = (float)i;
        snprintf(name, sizeof name, "model-%05u-of-%05u.safetensors", i + 1, FILES);
        snprintf(tensor, sizeof tensor, "t%03u", i);
        st_add(&maker, tensor, "F32", "[1]", &value, 4);
        struct blob b = st_finish(&maker);
        write_file(folder, name, b.p, b.n);
        free(b.p);
    }
    struct sc_model *m = open_path(folder);
    const size_t before = open_descriptors();
    for (int round = 0; round < 2; round++)
        for (unsigned i = 0; i < FILES; i++) {
            char tensor[64];
            float f = -1;
            snprintf(tensor, sizeof tensor, "t%03u", i);
            if (round == 0)
                views[i] = view_of(m, tensor);
            REQUIRE(views[i]);
            CHECK_ERR(0, sc_values_read(views[i], 0, 1, &f, NULL));
            CHECK(f == (float)i);
        }
    CHECK(open_descriptors() <= before + SC_MODEL_SOURCES);
    CHECK(open_descriptors() > before);
    for (unsigned i = 0; i < FILES; i++)
        sc_values_close(views[i]);
    sc_model_close(m);
    remove_folder(scratch_root);
}

TEST(identity_changes_with_the_file)
{
    float data[4] = {1, 2, 3, 4};
    struct sc_buf one = {0}, two = {0}, three = {0};
    struct st_maker maker = {0};
    st_add(&maker, "a", "F32", "[2]", data, 8);
    st_add(&maker, "b", "F32", "[2]", data, 8);
    struct blob b = st_finish(&maker);
    const char *folder = make_folder();
    write_file(folder, "model.safetensors", b.p, b.n);
    struct sc_model *m = open_path(folder);
    struct sc_values *v = view_of(m, "a"), *w = view_of(m, "b");
    REQUIRE(v && w);
    CHECK(sc_values_identity(v, &one) && sc_values_identity(v, &two));
    CHECK_STR(one.p, two.p);
    CHECK(sc_values_identity(w, &three));
    CHECK(strcmp(one.p, three.p) != 0);
    sc_values_close(v);
    sc_values_close(w);
    sc_model_close(m);

    write_file(folder, "model.safetensors", b.p, b.n);
    m = open_path(folder);
    v = view_of(m, "a");
    two.n = 0;
    CHECK(v && sc_values_identity(v, &two));
    CHECK(strcmp(one.p, two.p) != 0);
    sc_values_close(v);
    sc_model_close(m);

    m = open_kept(b); /* memory has none */
    v = view_of(m, "a");
    CHECK(v && !sc_values_identity(v, &two));
    sc_values_close(v);
    sc_model_close(m);
    sc_buf_clear(&one);
    sc_buf_clear(&two);
    sc_buf_clear(&three);
    remove_folder(scratch_root);
    free(b.p);
}

/* -------------------------------------------------------------------------------- matrix --- */

TEST(matrices_are_parts_of_a_view)
{
    float data[60], got[12];
    struct st_maker maker = {0};
    for (unsigned i = 0; i < 60; i++)
        data[i] = (float)i;
    st_add(&maker, "x", "F32", "[3,4,5]", data, sizeof data);
    struct blob b = st_finish(&maker);
    struct sc_model *m = open_kept(b);
    struct sc_values *v = view_of(m, "x");
    struct sc_values_matrix matrix;
    REQUIRE(v);
    sc_values_matrix(v, 20, 4, 5, &matrix);
    CHECK_U64(matrix.matrix.rows, 4);
    CHECK_ERR(0, matrix.matrix.read(matrix.matrix.ctx, 1, 2, 2, 3, got, NULL));
    const float want[] = {27, 28, 29, 32, 33, 34};
    CHECK_BITS(got, want, sizeof want);
    CHECK_ERR(SCRUPLE_EUSAGE, matrix.matrix.read(matrix.matrix.ctx, 1, 4, 0, 1, got, NULL));
    CHECK_ERR(SCRUPLE_EUSAGE, matrix.matrix.read(matrix.matrix.ctx, 0, 1, 3, 3, got, NULL));
    sc_values_close(v);
    sc_model_close(m);
    free(b.p);
}

/* ------------------------------------------------------------------------ over a network --- */

/* A repository whose file looks remote, and says what was read. */
struct far {
    struct blob b;
    _Atomic size_t reads;
};
struct far_source {
    struct sc_source base;
    struct far *far;
};

static int far_read(struct sc_source *s, uint64_t off, void *dst, size_t len, struct sc_error *e)
{
    struct far *far = ((struct far_source *)s)->far;
    (void)e;
    memcpy(dst, far->b.p + off, len);
    far->reads++;
    return 0;
}

static const struct sc_source_ops far_source_ops = {.scheme = "far", .read_at = far_read};

static int far_open(struct sc_repo *r, const char *path, struct sc_source **out, struct sc_error *e)
{
    struct far_source *s = calloc(1, sizeof *s);
    (void)e;
    s->far = r->private_data;
    s->base = (struct sc_source){
        .ops = &far_source_ops, .name = strdup(path), .size = s->far->b.n, .remote = true};
    *out = &s->base;
    return 0;
}

static void far_close(struct sc_repo *r)
{
    (void)r;
}

static const struct sc_repo_ops far_ops = {.scheme = "far", .open = far_open, .close = far_close};

static struct sc_model *open_far(struct far *far)
{
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_error e = {0};
    struct sc_model *m = NULL;
    struct sc_repo *r = sc_repo_new(NULL);
    if (!r || sc_repo_add_file(r, "model.pt", far->b.n, NULL) < 0)
        support_fail("no memory");
    r->ops = &far_ops;
    r->private_data = far;
    r->label = sc_str_copy(SC_STR("far"));
    if (sc_model_open_repo(r, &o, &m, &e) < 0)
        support_fail(e.text);
    return m;
}

/* The members of an archive again, aligned as torch does it and between two large ones, so that
 * none of the storages lies in what is fetched from either end. */
static struct blob spread(const char *path)
{
    static char filler[100 << 10];
    struct blob b = read_blob(path);
    struct sc_catalog *c = sc_calloc(1, sizeof *c);
    struct sc_source *s = NULL;
    struct sc_arena arena = {0};
    struct sc_zip zip = {0};
    struct zip_maker z = {0};
    uint32_t file;
    if (!c || sc_catalog_add_file(c, "x", b.n, &file, NULL) < 0 ||
        sc_memory_open(b.p, b.n, "x", &s, NULL) < 0 ||
        sc_zip_open(c, file, s, &arena, &zip, NULL) < 0)
        support_fail(path);
    zm_add(&z, "first", filler, sizeof filler);
    for (size_t i = 0; i < zip.n; i++) {
        char name[256];
        struct zip_how how = {0};
        snprintf(name, sizeof name, "%.*s", (int)zip.members[i].name.n, zip.members[i].name.p);
        how.extra = (uint16_t)(64 - (z.out.n + 30 + strlen(name)) % 64);
        zm_add_how(&z, name, b.p + zip.members[i].data, (size_t)zip.members[i].stored, how);
    }
    zm_add(&z, "last", filler, sizeof filler);
    zm_end(&z);
    sc_arena_clear(&arena);
    sc_source_close(s);
    sc_catalog_close(c);
    free(b.p);
    return (struct blob){(uint8_t *)z.out.p, z.out.n};
}

/* Members of torch archives are placed without a look at their local headers, and a header that
 * says something else is found before its tensor is read. */
TEST(local_headers_are_read_before_the_data)
{
    struct far far = {.b = spread(SC_FIXTURES "/torch-zip-plain/torch-zip-plain.pt")};
    struct sc_model *m = open_far(&far);
    const struct sc_catalog *c = m->catalog;
    const struct sc_storage *unseen = NULL;
    uint32_t tensor = 0;
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const struct sc_entry *en = &c->entries[m->tensors[i].main];
        if (en->view != SC_NO_STORAGE && c->storages[c->views[en->view].storage].unseen) {
            unseen = &c->storages[c->views[en->view].storage];
            tensor = i;
        }
    }
    CHECK(unseen);
    for (unsigned spoil = 0; unseen && spoil < 4; spoil++) {
        static const size_t at[] = {0, 8, 28, 30 + 3};
        struct sc_values *v = NULL;
        struct sc_error e = {0};
        float f;
        uint8_t *header = far.b.p + unseen->offset - unseen->unseen;
        REQUIRE(sc_values_open(m, tensor, &v, &e) == 0);
        CHECK_ERR(0, sc_values_read(v, 0, 1, &f, &e));
        sc_values_close(v);
        const bool folder = at[spoil] >= 30; /* the folder of the name is not looked at */
        header[at[spoil]] ^= 1;
        REQUIRE(sc_values_open(m, tensor, &v, &e) == 0);
        CHECK_ERR(folder ? 0 : SCRUPLE_EFORMAT, sc_values_read(v, 0, 1, &f, &e));
        CHECK(folder || strstr(e.text, "local header"));
        sc_values_close(v);
        header[at[spoil]] ^= 1;
    }
    sc_model_close(m);
    free(far.b.p);
}

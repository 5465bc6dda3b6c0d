/* SPDX-License-Identifier: Apache-2.0 */
/* Recipes within little memory: some rows at a time give the bits of the whole matrix, and where
 * they cannot, what is needed is said and is enough. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/recipe.h"

#include "test.h"

static struct sc_model *m;

static void give_up(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static struct sc_values *open_values(const char *model, const char *name, uint32_t *tensor)
{
    struct sc_open_options keep = {.keep_repo = true};
    struct sc_values *v = NULL;
    struct sc_error e = {0};

    if (sc_model_open(model, &keep, &m, &e) < 0)
        give_up(e.text);
    *tensor = 0;
    while (*tensor < m->n_tensors && strcmp(m->tensors[*tensor].name, name) != 0)
        ++*tensor;
    if (*tensor == m->n_tensors || sc_values_open(m, *tensor, &v, &e) < 0)
        give_up(name);
    return v;
}

static void close_values(struct sc_values *v)
{
    sc_values_close(v);
    sc_model_close(m);
}

static void check_view(struct sc_values *v, uint32_t tensor, const struct sc_recipe_use *u,
                       uint64_t memory)
{
    struct sc_values *whole = NULL, *parts = NULL;
    const size_t n = (size_t)v->count;
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    struct sc_error e = {0};

    CHECK_ERR(0, sc_values_open_quantised(v, tensor, u, NULL, UINT64_C(1) << 40, &whole, &e));
    CHECK_ERR(0, sc_values_open_quantised(v, tensor, u, NULL, memory, &parts, &e));
    CHECK_ERR(0, sc_values_read(whole, 0, n, a, &e));
    CHECK_ERR(0, sc_values_read(parts, 0, n, b, &e));
    CHECK(memcmp(a, b, n * sizeof *a) == 0);
    memset(b, 0, n * sizeof *b); /* and in any order, across pieces */
    for (size_t at = n; at > 0;) {
        const size_t some = SC_MIN(at, (size_t)1009);
        at -= some;
        CHECK_ERR(0, sc_values_read(parts, at, some, b + at, &e));
    }
    CHECK(memcmp(a, b, n * sizeof *a) == 0);
    sc_values_close(whole);
    sc_values_close(parts);
    free(a);
    free(b);
}

static void check_recipe(struct sc_values *v, uint32_t tensor, const char *text, bool in_rows)
{
    const struct sc_matrices at = sc_quality_matrices(v);
    const struct sc_held held[] = {{tensor, 5}, {tensor, v->count / 2 + 1}};
    struct sc_recipe r;
    struct sc_quality whole, parts;
    struct sc_error e = {0};

    CHECK_ERR(0, sc_recipe_parse(sc_strz(text), &r, &e));
    const struct sc_recipe_use u = {.r = &r, .held = {held, 2}, .parts = 3};
    CHECK_ERR(0, sc_recipe_measure(v, tensor, &u, UINT64_C(1) << 40, &whole, &e));
    const uint64_t need = sc_recipe_memory(&r, NULL, at.rows, at.cols);
    CHECK_U64(sc_recipe_rows(&r, NULL, at.rows, at.cols, need), at.rows);
    size_t sizes = 0;
    for (uint64_t memory = need - 1; memory > 4; memory = memory / 4) {
        const uint64_t rows = sc_recipe_rows(&r, NULL, at.rows, at.cols, memory);
        if (!rows)
            break;
        CHECK(rows < at.rows && sc_recipe_memory(&r, NULL, rows, at.cols) <= memory);
        CHECK_ERR(0, sc_recipe_measure(v, tensor, &u, memory, &parts, &e));
        CHECK(memcmp(&parts, &whole, sizeof whole) == 0);
        check_view(v, tensor, &u, memory);
        sizes++;
    }
    CHECK(in_rows ? sizes > 1 : sizes == 0);
    CHECK_ERR(SCRUPLE_ELIMIT, sc_recipe_measure(v, tensor, &u, 3, &parts, &e));
    CHECK(strstr(e.text, in_rows ? "its blocks are as large" : "are over all of it"));
    const char *enough = strstr(e.text, "--memory ");
    CHECK(enough);
    if (!enough)
        return;
    const uint64_t allowed = strtoull(enough + 9, NULL, 10) * 1000000 / u.parts;
    e = (struct sc_error){0};
    CHECK_ERR(0, sc_recipe_measure(v, tensor, &u, allowed, &parts, &e));
    CHECK(memcmp(&parts, &whole, sizeof whole) == 0);
}

static void check_tensor(const char *model, const char *name)
{
    static const char *const in_rows[] = {"rtn4", "rtn3:sym,hold=share:0.01,clip=std:3",
                                          "rtn4:block=5x9,clip=mse", "rtn4:block=flat:36,nf",
                                          "rtn2:block=flat:30,hold=std:4,restore=2"};
    static const char *const whole[] = {"rtn4:block=tensor", "rtn4:block=col",
                                        "rtn4:clip=tensor-std:4", "rtn4:hold=tensor-share:0.01",
                                        "rtn4:block=flat:1000003"};
    uint32_t tensor;
    struct sc_values *v = open_values(model, name, &tensor);

    for (size_t i = 0; i < SC_COUNT(in_rows); i++)
        check_recipe(v, tensor, in_rows[i], true);
    for (size_t i = 0; i < SC_COUNT(whole); i++)
        check_recipe(v, tensor, whole[i], false);
    close_values(v);
}

TEST(of_a_matrix)
{
    check_tensor(SC_FIXTURES "/llama-tiny", "lm_head.weight");
}

/* [expert, rows, columns]: a piece never reaches from one expert into the next. */
TEST(of_a_stack)
{
    check_tensor(SC_FIXTURES "/fp8-stacked", "model.layers.0.mlp.experts.gate_up_proj");
}

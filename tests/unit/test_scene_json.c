/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as JSON: another parser reads what the plan says, whatever the names are. */
#include <jansson.h>

#include "report/scene_json.h"

#include "test.h"

#include "oom.h"
#include "scene_models.h"
#include "support.h"

static int catch_text(void *ctx, const char *p, size_t n)
{
    sc_buf_put(ctx, p, n);
    return ((struct sc_buf *)ctx)->failed ? SCRUPLE_EMEMORY : 0;
}

static const char *const planes[] = {"mean", "max"};

/* The text; NULL: it failed. */
static int write_scene(const struct sc_scene *s, bool in_page, struct sc_buf *text)
{
    double roles[SC_ROLE_COUNT];
    for (size_t i = 0; i < SC_ROLE_COUNT; i++)
        roles[i] = i == SC_ROLE_Q ? 0.25 : NAN;
    const struct sc_scene_json j = {.title = "a </script> title",
                                    .mode = "live",
                                    .planes = planes,
                                    .n_planes = 2,
                                    .scale = 0.5,
                                    .role_scale = roles,
                                    .in_page = in_page};
    struct sc_out o = {.write = catch_text, .ctx = text};
    sc_report_scene(&o, s, &j);
    return sc_out_finish(&o);
}

static json_t *read_scene(const struct sc_scene *s)
{
    struct sc_buf text = {0};
    json_error_t error;
    CHECK_ERR(0, write_scene(s, false, &text));
    json_t *j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &error);
    if (!j)
        support_fail(error.text);
    sc_buf_clear(&text);
    return j;
}

static json_int_t whole(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    CHECK(json_is_integer(v));
    return json_integer_value(v);
}
static const json_t *at(const json_t *table, const char *column, size_t i)
{
    const json_t *v = json_array_get(json_object_get(table, column), i);
    CHECK(v != NULL);
    return v;
}
static json_int_t cell(const json_t *table, const char *column, size_t i)
{
    const json_t *v = at(table, column, i);
    CHECK(json_is_integer(v));
    return json_integer_value(v);
}

static void check_columns(const json_t *table, size_t n, size_t n_columns)
{
    const char *key;
    json_t *column;
    CHECK_U64(json_object_size(table), n_columns);
    json_object_foreach((json_t *)(uintptr_t)table, key, column)
        CHECK_U64(json_array_size(column), n);
}

static void check_tensors(const struct sc_scene *s, const json_t *j)
{
    const json_t *t = json_object_get(j, "tensors"), *types = json_object_get(j, "types");
    check_columns(t, s->model->n_tensors, 8);
    for (size_t i = 0; i < s->model->n_tensors; i++) {
        const struct sc_tensor *want = &s->model->tensors[i];
        const json_t *shape =
            json_array_get(json_object_get(j, "shapes"), (size_t)cell(t, "shape", i));
        const json_t *type = json_array_get(types, (size_t)cell(t, "type", i));
        CHECK_U64(json_array_size(shape), want->rank);
        for (size_t k = 0; k < want->rank; k++)
            CHECK_U64(json_integer_value(json_array_get(shape, k)), want->shape[k]);
        CHECK_STR(json_string_value(json_object_get(type, "dtype")), want->dtype);
        CHECK_STR(json_string_value(json_object_get(type, "layout")),
                  sc_layouts[want->layout].name);
        CHECK(cell(t, "role", i) == want->role && cell(t, "tower", i) == want->tower);
        CHECK(cell(t, "layer", i) == want->layer && cell(t, "expert", i) == want->expert);
        CHECK_U64(cell(t, "bytes", i), want->bytes);
    }
}

static void check_scene(const struct sc_scene *s)
{
    json_t *j = read_scene(s);
    const json_t *p = json_object_get(j, "places"), *b = json_object_get(j, "boxes");
    CHECK_STR(json_string_value(json_object_get(j, "schema")), "scruple.scene/1");
    CHECK(whole(j, "width") == s->w && whole(j, "height") == s->h && whole(j, "top") == s->top &&
          whole(j, "deepest") == s->deepest && whole(j, "tile") == 256);
    check_tensors(s, j);
    check_columns(p, s->n_places, 11);
    for (size_t i = 0; i < s->n_places; i++) {
        const struct sc_place *q = &s->places[i];
        CHECK(cell(p, "tensor", i) == q->tensor && cell(p, "box", i) == q->box);
        CHECK(cell(p, "x", i) == q->x && cell(p, "y", i) == q->y && cell(p, "w", i) == q->w &&
              cell(p, "h", i) == q->h);
        CHECK(cell(p, "dx", i) == q->depth_x && cell(p, "dy", i) == q->depth_y);
        CHECK(cell(p, "rows", i) == (json_int_t)q->rows &&
              cell(p, "cols", i) == (json_int_t)q->cols);
        CHECK(cell(p, "slice", i) == q->slice);
    }
    check_columns(b, s->n_boxes, 9);
    for (size_t i = 0; i < s->n_boxes; i++) {
        const struct sc_scene_box *q = &s->boxes[i];
        CHECK(cell(b, "kind", i) == q->kind && cell(b, "number", i) == q->number &&
              cell(b, "empty", i) == q->empty && cell(b, "parent", i) == q->parent);
        CHECK(cell(b, "x", i) == q->x && cell(b, "y", i) == q->y && cell(b, "w", i) == q->w &&
              cell(b, "h", i) == q->h);
        CHECK_STR(json_string_value(
                      json_array_get(json_object_get(j, "labels"), (size_t)cell(b, "label", i))),
                  q->label);
    }
    const json_t *scales = json_object_get(j, "scales"), *roles = json_object_get(scales, "roles");
    CHECK_NEAR(json_real_value(json_object_get(scales, "model")), 0.5, 0);
    CHECK_U64(json_object_size(roles), 1);
    CHECK_NEAR(json_real_value(json_object_get(roles, "q_proj")), 0.25, 0);
    json_decref(j);
}

static void check_model(struct sc_model *m)
{
    struct sc_scene *s = NULL;
    struct sc_error e = {0};
    if (sc_scene_new(m, NULL, &s, &e) < 0)
        support_fail(e.text);
    check_scene(s);
    sc_scene_free(s);
}

TEST(another_parser_reads_what_the_plan_says)
{
    struct sc_model *m = hand_decoder_gguf(&hand_mixtral);
    check_model(m);
    hand_free(m);
    m = hand_done(hand_new());
    check_model(m);
    hand_free(m);
}

TEST(types_tell_what_can_be_decoded)
{
    static const char *const names[] = {"all-dtypes", "hqq", "unknown-dtype", "gguf-all-types"};
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        char path[1024];
        struct sc_model *m;
        struct sc_scene *s = NULL;
        struct sc_error e;
        snprintf(path, sizeof path, "%s/%s", SC_FIXTURES, names[i]);
        const struct sc_open_options o = {.lenient = true};
        if (sc_model_open(path, &o, &m, &e) < 0 || sc_scene_new(m, NULL, &s, &e) < 0)
            support_fail(e.text);
        check_scene(s);
        json_t *j = read_scene(s);
        size_t k;
        const json_t *type;
        unsigned refused = 0;
        json_array_foreach(json_object_get(j, "types"), k, type)
        {
            const char *dtype = json_string_value(json_object_get(type, "dtype"));
            const double least = json_number_value(json_object_get(type, "least"));
            refused += !json_is_true(json_object_get(type, "decodable"));
            if (strcmp(dtype, "F16") == 0)
                CHECK_NEAR(least, 0x1p-14, 0);
            if (strcmp(dtype, "I64") == 0)
                CHECK(least == 0);
        }
        CHECK((refused > 0) == (i == 1 || i == 2));
        json_decref(j);
        sc_scene_free(s);
        sc_model_close(m);
    }
}

/* Nothing of a file ends the string it stands in, or the element of a page around it. */
TEST(hostile_names_stay_text)
{
    static const char *const names[] = {"</script><script>alert(1)//",
                                        "\"],\"x\":[\"",
                                        "\\",
                                        "a\nb\x01\x7f",
                                        "\xff\xfe",
                                        "\xe2\x80\xae"
                                        "gpj",
                                        "<!--",
                                        "]]>&amp;",
                                        ""};
    struct sc_model *m = hand_new();
    struct sc_buf text = {0};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        hand_put(m, names[i], (const uint64_t[]){4, 4}, 2);
    hand_add(m, 4, 4, 0, "<b>.blocks.0.experts.1.<i>.weight");
    struct sc_scene *s = NULL;
    REQUIRE(sc_scene_new(hand_done(m), NULL, &s, NULL) == 0);
    json_t *j = read_scene(s);
    for (size_t i = 0; i < m->n_tensors; i++)
        if (m->tensors[i].name[0] != '\xff') /* not UTF-8: replaced */
            CHECK_STR(json_string_value(at(json_object_get(j, "tensors"), "name", i)),
                      m->tensors[i].name);
    json_decref(j);
    CHECK_ERR(0, write_scene(s, true, &text));
    CHECK(!strpbrk(text.p, "<>&") && strlen(text.p) == text.n);
    CHECK(sc_utf8_valid(sc_str(text.p, text.n)) && !strstr(text.p, "\xe2\x80\xae"));
    for (size_t i = 0; i < text.n; i++)
        CHECK(text.p[i] == '\n' || ((unsigned char)text.p[i] >= ' ' && text.p[i] != 0x7f));
    sc_buf_clear(&text);
    sc_scene_free(s);
    hand_free(m);
}

TEST(memory_and_writing_may_fail)
{
    struct sc_model *m = hand_decoder_gguf(&hand_mixtral);
    struct sc_scene *s = NULL;
    REQUIRE(sc_scene_new(m, NULL, &s, NULL) == 0);
    for (uint64_t k = 0;; k++) {
        struct sc_buf text = {0};
        sc_oom_fail_at(k);
        const int code = write_scene(s, false, &text);
        const bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        sc_buf_clear(&text);
        CHECK(code == (reached ? SCRUPLE_EMEMORY : 0));
        if (!reached)
            break;
    }
    sc_scene_free(s);
    hand_free(m);
}

TEST(a_big_plan_is_a_few_megabytes)
{
    struct sc_model *m = hand_deepseek_v3();
    struct sc_scene *s = NULL;
    struct sc_buf text = {0};
    REQUIRE(sc_scene_new(m, NULL, &s, NULL) == 0);
    CHECK_ERR(0, write_scene(s, false, &text));
    CHECK(text.n < 8 << 20);
    sc_buf_clear(&text);
    sc_scene_free(s);
    hand_free(m);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "support.h"

struct opened {
    struct sc_model *m;
    struct sc_error e;
    int status;
};

static struct opened open_json(const char *json, size_t data, bool lenient)
{
    const struct sc_open_options o = {.lenient = lenient};
    struct opened r = {0};
    struct blob b = st_blob(json, strlen(json), data);
    r.status = open_blob(b, &o, &r.m, &r.e);
    free(b.p);
    return r;
}

static bool says(const char *json, size_t data, const char *what)
{
    struct opened r = open_json(json, data, false);
    const bool ok = r.status == SCRUPLE_EFORMAT && strstr(r.e.text, what) != NULL;
    if (!ok)
        fprintf(stderr, "status %d, said: %s\n", r.status, r.m ? "(nothing)" : r.e.text);
    sc_model_close(r.m);
    return ok;
}

static size_t count(const char *json, size_t data)
{
    struct opened r = open_json(json, data, false);
    const size_t n = r.m ? r.m->n_tensors : SIZE_MAX;
    if (!r.m)
        fprintf(stderr, "refused: %s\n", r.e.text);
    sc_model_close(r.m);
    return n;
}

#define T(name, dtype, shape, from, to)                                                            \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to   \
    "]}"

TEST(a_tensor_is_read_as_written)
{
    struct opened r = open_json(
        "{" T("a.weight", "BF16", "[2,3]", 0, 12) "," T("s", "F32", "[]", 12, 16) "}  ", 16, false);
    REQUIRE(r.status == 0);
    CHECK_U64(r.m->n_tensors, 2);
    const struct sc_tensor *t = &r.m->tensors[0];
    CHECK_STR(t->name, "a.weight");
    CHECK_STR(t->dtype, "BF16");
    CHECK_U64(t->rank, 2);
    CHECK_U64(t->shape[0], 2);
    CHECK_U64(t->shape[1], 3);
    CHECK_U64(t->bytes, 12);
    CHECK_U64(t->parameters, 6);
    const struct sc_file *f = &r.m->catalog->files[0];
    CHECK_U64(f->header_bytes + f->tensor_bytes, f->bytes);
    CHECK_U64(r.m->tensors[1].rank, 0);
    CHECK_U64(r.m->tensors[1].parameters, 1);
    sc_model_close(r.m);
}

TEST(oddities_that_are_valid)
{
    CHECK_U64(count("{}", 0), 0);
    CHECK_U64(count("{\"__metadata__\":null}", 0), 0);
    CHECK_U64(count("{\"__metadata__\":{}}", 0), 0);
    CHECK_U64(count("  {\"__metadata__\":{\"a\":\"b\"}}\n", 0), 0);
    CHECK_U64(count("{" T("", "U8", "[1]", 0, 1) "}", 1), 1);
    CHECK_U64(count("{" T("a", "F32", "[0,9223372036854775808,4]", 0, 0) "}", 0), 1);
    CHECK_U64(count("{" T("a", "F4", "[2,3]", 0, 3) "}", 3), 1);
    CHECK_U64(count("{" T("a", "F6_E2M3", "[4]", 0, 3) "}", 3), 1);
    CHECK_U64(count("{\"a\":{\"shape\":[1],\"x\":{\"y\":[1.5,null]},\"data_offsets\":[0,1],"
                    "\"dtype\":\"U8\"}}",
                    1),
              1);
    /* Names and order do not matter for the tiling. */
    CHECK_U64(count("{" T("b", "U8", "[2]", 1, 3) "," T("a", "U8", "[1]", 0,
                                                        1) "," T("z", "U8", "[0]", 3, 3) "}",
                    3),
              3);
}

TEST(every_refusal_says_what_is_wrong)
{
    CHECK(says("{" T("a", "F32", "[2]", 0, 8) "}", 7, "tensor \"a\" ends at byte"));
    CHECK(says("{" T("a", "F32", "[2]", 0, 7) "}", 7, "holds 7 bytes"));
    CHECK(says("{" T("a", "F32", "[2]", 8, 0) "}", 8, "before it begins"));
    CHECK(says("{" T("a", "F4", "[3]", 0, 2) "}", 2, "does not fill whole bytes"));
    CHECK(says("{" T("a", "U8", "[1]", 0, 1) "," T("b", "U8", "[1]", 2, 3) "}", 3,
               "belongs to no tensor (after \"a\")"));
    CHECK(says("{" T("a", "U8", "[2]", 0, 2) "," T("b", "U8", "[1]", 1, 2) "}", 2, "overlap"));
    CHECK(says("{" T("a", "U8", "[1]", 1, 2) "}", 2, "the start of the data"));
    CHECK(says("{" T("a", "U8", "[1]", 0, 1) "," T("\\u0061", "U8", "[1]", 1, 2) "}", 2,
               "stands there twice"));
    CHECK(says("{\"a\":[1,2]}", 0, "expected an object"));
    CHECK(says("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "lacks"));
    CHECK(says("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],"
               "\"data_offsets\":[0,1]}}",
               1, "duplicate \"dtype\""));
    CHECK(says("{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1,
               "whole number"));
    CHECK(says("{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", 1,
               "not a fraction"));
    CHECK(says("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1,
               "needs two numbers"));
    CHECK(says("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1,
               "more than two"));
    CHECK(says("{\"__metadata__\":{\"a\":1}}", 0, "is not a string"));
    CHECK(says("{\"__metadata__\":{\"a\":\"b\",\"\\u0061\":\"c\"}}", 0, "stands there twice"));
    CHECK(says("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"));
    CHECK(says("{},\"__metadata__\":{\"a\":\"b\"}}", 0, "0.4.3"));
    CHECK(says("{" T("a", "U8", "[1]", 0, 1) ",}", 1, "not valid"));
    CHECK(says("{" T("a", "U8", "[18446744073709551615,2]", 0, 1) "}", 1, "does not fill"));
    CHECK(says("{" T("a", "F32", "[4611686018427387904]", 0, 0) "}", 0, "2^64"));
}

TEST(trailing_bytes_and_unknown_types_are_warnings)
{
    struct opened r = open_json("{" T("a", "F8_X9", "[3]", 0, 5) "}", 9, false);
    REQUIRE(r.status == 0);
    CHECK_STR(r.m->tensors[0].dtype, "F8_X9");
    CHECK_U64(r.m->tensors[0].bytes, 5);
    CHECK(finding(r.m->catalog, "safetensors.dtype") != NULL);
    CHECK(finding(r.m->catalog, "safetensors.trailing") != NULL);
    CHECK_U64(r.m->catalog->files[0].other_bytes, 4);
    sc_model_close(r.m);
}

TEST(lenient_lists_what_is_sound)
{
    struct opened r = open_json("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 4, 8) "," T(
                                    "c", "U8", "[4]", 2, 6) "}",
                                6, true);
    REQUIRE(r.status == 0);
    CHECK_U64(r.m->n_tensors, 3);
    CHECK(finding(r.m->catalog, "safetensors.truncated") != NULL);
    CHECK(finding(r.m->catalog, "safetensors.overlap") != NULL);
    uint64_t bytes = 0;
    for (size_t i = 0; i < r.m->n_tensors; i++)
        bytes += r.m->tensors[i].bytes;
    CHECK_U64(bytes, 6); /* every stored byte once */
    sc_model_close(r.m);
}

TEST(header_length_field_is_not_believed)
{
    static const uint64_t lengths[] = {0,
                                       1,
                                       3,
                                       100,
                                       99999999,
                                       100000000,
                                       100000001,
                                       UINT64_MAX,
                                       UINT64_MAX - 7,
                                       UINT64_MAX - 8,
                                       1ull << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const char *json = "{" T("a", "U8", "[1]", 0, 1) "}";
        struct blob b = st_blob(json, strlen(json), 1);
        struct sc_model *m;
        struct sc_error e;
        for (int k = 0; k < 8; k++)
            b.p[k] = (uint8_t)(lengths[i] >> (8 * k));
        CHECK(open_blob(b, NULL, &m, &e) < 0);
        sc_model_close(m);
        free(b.p);
    }
}

/* A header much longer than the window, with one entry longer than it, so that the window slides,
 * grows and retries. */
TEST(long_headers_slide_through_the_window)
{
    struct sc_buf json = {0};
    enum { N = 20000 };
    sc_buf_puts(&json, "{\"__metadata__\":{\"long\":\"");
    for (int i = 0; i < 600000; i++)
        sc_buf_puts(&json, i % 1000 ? "y" : "\\u00e9");
    sc_buf_puts(&json, "\"}");
    for (int i = 0; i < N; i++)
        sc_buf_printf(&json,
                      ",\"layers.%d.w\\u0065ight\":{\"dtype\":\"U8\",\"shape\":[1],"
                      "\"data_offsets\":[%d,%d]}",
                      i, i, i + 1);
    sc_buf_puts(&json, "}");
    struct blob b = st_blob(json.p, json.n, N);
    struct sc_model *m;
    struct sc_error e;
    REQUIRE(open_blob(b, NULL, &m, &e) == 0);
    CHECK_U64(m->n_tensors, N);
    CHECK_STR(m->tensors[N - 1].name, "layers.19999.weight");
    CHECK_U64(m->tensors[N - 1].bytes, 1);
    CHECK_U64(m->catalog->n_metas, 1);
    CHECK_U64(m->catalog->metas[0].value.as.s.n, 600000 + 600);
    sc_model_close(m);
    free(b.p);
    sc_buf_clear(&json);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* report and result: numbers as words, documents as JSON, tables as CSV and as aligned text. */
#include <stdlib.h>

#include "oom.h"
#include "report/report.h"
#include "test.h"

#include <inttypes.h>

/* ------------------------------------------------------------------------------ scaffolding --- */
struct catcher {
    struct sc_buf text;
    size_t calls, largest;
    int fail_with; /* the write that would exceed `room` bytes fails */
    size_t room;
};

static int catch_text(void *ctx, const char *p, size_t n)
{
    struct catcher *k = ctx;

    k->calls++;
    k->largest = SC_MAX(k->largest, n);
    if (k->fail_with && k->text.n + n > k->room)
        return k->fail_with;
    sc_buf_put(&k->text, p, n);
    return k->text.failed ? SCRUPLE_EMEMORY : 0;
}

static const char *text_of(struct catcher *k, struct sc_out *o)
{
    CHECK_ERR(0, sc_out_finish(o));
    return k->text.n ? k->text.p : "";
}

/* Rows of one text cell and more, from a plain array. */
struct row {
    struct sc_cell cell[8];
};
static void row_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    *out = ((const struct row *)ctx)[row].cell[column];
}

#define TEXT_CELL(s)                                                                               \
    {                                                                                              \
        .text = {(s), sizeof(s) - 1 }                                                              \
    }
#define UINT_CELL(v)                                                                               \
    {                                                                                              \
        .u = (v)                                                                                   \
    }
#define REAL_CELL(v)                                                                               \
    {                                                                                              \
        .f = (v)                                                                                   \
    }
#define NULL_CELL                                                                                  \
    {                                                                                              \
        .null = true                                                                               \
    }

/* ---------------------------------------------------------------------------------- numbers --- */
static const char *bytes_text(uint64_t n)
{
    static char out[32];

    sc_format_bytes(n, out);
    return out;
}

static const char *parameters_text(uint64_t n)
{
    static char out[32];

    sc_format_parameters(n, out);
    return out;
}

static const char *double_text(double v)
{
    static char out[40];

    sc_format_double(v, out);
    return out;
}

TEST(sizes_are_those_of_we)
{
    CHECK_STR(bytes_text(0), "0 B");
    CHECK_STR(bytes_text(999), "999 B");
    CHECK_STR(bytes_text(1000), "1.0 KB");
    CHECK_STR(bytes_text(336540), "336.5 KB");
    CHECK_STR(bytes_text(999949), "999.9 KB");
    CHECK_STR(bytes_text(999950), "1000.0 KB"); /* the unit is chosen before rounding */
    CHECK_STR(bytes_text(1000000), "1.0 MB");
    CHECK_STR(bytes_text(688586727753), "688.6 GB");
    CHECK_STR(bytes_text(1250), "1.2 KB"); /* exactly between: to even */
    CHECK_STR(bytes_text(1350), "1.4 KB");
    CHECK_STR(bytes_text(UINT64_C(1500000000000000)), "1.5 PB");
    CHECK_STR(bytes_text(UINT64_MAX), "18.4 EB");
}

TEST(fixed_numbers_are_those_of_printf)
{
    char ours[64], theirs[64];
    uint64_t seed = 1;

    for (int i = 0; i < 200000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        unsigned digits = (unsigned)(seed >> 60) % 5;
        /* Half of them on or next to the middle between two results. */
        double v = (double)(seed >> 20 & 0xfffff) / (i % 2 ? 20000.0 : 10485.76);
        sc_format_fixed(v, digits, ours);
        snprintf(theirs, sizeof theirs, "%.*f", (int)digits, v);
        if (strcmp(ours, theirs) != 0)
            CHECK_STR(ours, theirs);
    }
    sc_format_fixed(-0.04, 1, ours);
    CHECK_STR(ours, "0.0");
    sc_format_fixed(-1.26, 1, ours);
    CHECK_STR(ours, "-1.3");
}

TEST(parameters_are_short)
{
    CHECK_STR(parameters_text(0), "0");
    CHECK_STR(parameters_text(7), "7");
    CHECK_STR(parameters_text(999), "999");
    CHECK_STR(parameters_text(1000), "1K");
    CHECK_STR(parameters_text(12000), "12K");
    CHECK_STR(parameters_text(12345), "12.3K");
    CHECK_STR(parameters_text(7200000), "7.2M");
    CHECK_STR(parameters_text(999949), "999.9K");
    CHECK_STR(parameters_text(999950), "1M"); /* here the rounded number decides */
    CHECK_STR(parameters_text(UINT64_C(684531386000)), "684.5B");
    CHECK_STR(parameters_text(UINT64_C(1500000000000)), "1.5T");
    CHECK_STR(parameters_text(UINT64_MAX), "18446.7Q");
}

TEST(counts_have_commas)
{
    char out[32];

    sc_format_count(0, out);
    CHECK_STR(out, "0");
    sc_format_count(999, out);
    CHECK_STR(out, "999");
    sc_format_count(1000, out);
    CHECK_STR(out, "1,000");
    sc_format_count(91991, out);
    CHECK_STR(out, "91,991");
    sc_format_count(UINT64_MAX, out);
    CHECK_STR(out, "18,446,744,073,709,551,615");
}

TEST(doubles_round_trip)
{
    static const double values[] = {0.1,
                                    1.0 / 3,
                                    5e-324,
                                    1.7976931348623157e308,
                                    1e15,
                                    1e16,
                                    123456789.123,
                                    0.30000000000000004,
                                    9007199254740993.0,
                                    -2.5};

    for (size_t i = 0; i < SC_COUNT(values); i++) {
        double back = strtod(double_text(values[i]), NULL);
        CHECK_BITS(&back, &values[i], sizeof back);
    }
    CHECK_STR(double_text(0.1), "0.1");
    CHECK_STR(double_text(16), "16");
    CHECK_STR(double_text(-3), "-3");
    CHECK_STR(double_text(0.0), "0");
    CHECK_STR(double_text(-0.0), "-0");
    CHECK_STR(double_text(1e22), "1e+22");
    CHECK_STR(double_text((double)NAN), "NaN");
    CHECK_STR(double_text((double)INFINITY), "Infinity");
    CHECK_STR(double_text(-(double)INFINITY), "-Infinity");
}

TEST(other_numbers)
{
    char out[64];

    sc_format_percent(38.04, out);
    CHECK_STR(out, "38.0");
    sc_format_percent(100, out);
    CHECK_STR(out, "100.0");
    sc_format_percent((double)NAN, out);
    CHECK_STR(out, "-");
    sc_format_fixed(4.25, 2, out);
    CHECK_STR(out, "4.25");
    sc_format_fixed(1e300, 2, out); /* must not overflow the buffer */
    CHECK_STR(out, "1.00e+300");
    sc_format_real((double)1e-5f, out);
    CHECK_STR(out, "1e-05");
    sc_format_real(0.1, out);
    CHECK_STR(out, "0.1");
    sc_format_real(500000, out);
    CHECK_STR(out, "500000");
    sc_format_real((double)16777216.0f, out);
    CHECK_STR(out, "16777216");
}

/* -------------------------------------------------------------------------------------- out --- */
TEST(output_leaves_in_blocks)
{
    struct catcher k = {.calls = 0};
    struct sc_out o = {.write = catch_text, .ctx = &k};
    char line[100];

    k.text.max = 1 << 24;
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 2000; i++)
        sc_out_put(&o, line, sizeof line);
    char *large = malloc(300000);
    REQUIRE(large);
    memset(large, 'y', 300000);
    sc_out_put(&o, large, 300000);
    free(large);
    CHECK_ERR(0, sc_out_finish(&o));
    CHECK_U64(k.text.n, 500000);
    CHECK(k.calls < 12);
    CHECK(k.largest <= 65536);
    CHECK(k.text.p[199999] == 'x' && k.text.p[200000] == 'y' && k.text.p[499999] == 'y');
    sc_buf_clear(&k.text);
}

/* Of all lengths, in full buffers and in others. */
TEST(whole_numbers_are_those_of_printf)
{
    struct catcher k = {0};
    struct sc_out o = {.write = catch_text, .ctx = &k};
    struct sc_buf want = {0};
    char line[32];

    for (unsigned round = 0; round < 200; round++)
        for (uint64_t power = 1;; power *= 10) {
            const uint64_t some[] = {power - 1,          power,
                                     power + 1,          power / 3,
                                     UINT64_MAX - power, power * (round % 9 + 1)};
            for (size_t i = 0; i < SC_COUNT(some); i++) {
                sc_out_u64(&o, some[i]);
                sc_out_putc(&o, ' ');
                const int n = snprintf(line, sizeof line, "%" PRIu64 " ", some[i]);
                sc_buf_put(&want, line, (size_t)n);
            }
            if (power > UINT64_MAX / 10)
                break;
        }
    const char *got = text_of(&k, &o);
    CHECK_U64(strlen(got), want.n);
    CHECK_BITS(got, want.p, SC_MIN(strlen(got), want.n));
    sc_buf_clear(&want);
    sc_buf_clear(&k.text);
}

TEST(a_failing_write_ends_the_rendering)
{
    struct catcher k = {.fail_with = SCRUPLE_EWRITE, .room = 100000};
    struct sc_out o = {.write = catch_text, .ctx = &k};

    for (int i = 0; i < 100000; i++)
        sc_out_puts(&o, "0123456789");
    CHECK_ERR(SCRUPLE_EWRITE, sc_out_finish(&o));
    CHECK_U64(k.calls, 2);
    CHECK_U64(k.text.n, 65536);
    sc_buf_clear(&k.text);
}

/* ------------------------------------------------------------------------------------- JSON --- */
static const char *json_of_text(struct catcher *k, const char *p, size_t n)
{
    struct sc_document d;
    struct sc_out o = {.write = catch_text, .ctx = k};

    k->text.n = 0;
    sc_document_start(&d, "x/1");
    d.root.as.children.first = d.root.as.children.last = NULL;
    sc_add_text(&d, &d.root, "t", sc_str(p, n));
    sc_report_json(&o, &d);
    sc_document_clear(&d);
    return text_of(k, &o);
}

#define CHECK_JSON(in, want)                                                                       \
    CHECK_STR(json_of_text(&k, in, sizeof(in) - 1), "{\n  \"t\": \"" want "\"\n}\n")

TEST(json_strings_are_strict)
{
    struct catcher k = {.calls = 0};

    CHECK_JSON("", "");
    CHECK_JSON("plain", "plain");
    CHECK_JSON("a\"b\\c/d", "a\\\"b\\\\c/d");
    CHECK_JSON("\b\f\n\r\t", "\\b\\f\\n\\r\\t");
    CHECK_JSON("\0\x1f\x7f", "\\u0000\\u001f\\u007f");
    CHECK_JSON("\x1b]0;title\x07", "\\u001b]0;title\\u0007");
    CHECK_JSON("caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80",
               "caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80");
    CHECK_JSON("\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd");
    CHECK_JSON("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* a lone surrogate */
    CHECK_JSON("\xc2\x9b\x32J", "\\u009b2J");                           /* CSI as one character */
    CHECK_JSON("a\xe2\x80\xae"
               "b\xe2\x80\xa8",
               "a\\u202eb\\u2028");
    CHECK_JSON("\xf3\xa0\x81\x81", "\\udb40\\udc41"); /* a tag character: invisible */
    sc_buf_clear(&k.text);
}

TEST(json_document)
{
    static const struct sc_column columns[] = {
        {"name", NULL, NULL, SC_COL_TEXT, 0, 0},
        {"shape", NULL, NULL, SC_COL_SHAPE, 0, 0},
        {"bytes", NULL, NULL, SC_COL_BYTES, 0, 0},
        {"shown", NULL, NULL, SC_COL_TEXT, SC_COL_TERM_ONLY, 0},
        {"share", NULL, NULL, SC_COL_PERCENT, 0, 0},
        {"stored", NULL, NULL, SC_COL_LIST, 0, 0},
        {"level", NULL, NULL, SC_COL_SEVERITY, 0, 0},
        {"count", NULL, NULL, SC_COL_TIMES, 0, 0},
    };
    static const uint64_t dims[] = {2, UINT64_MAX};
    static const struct sc_str list[] = {{"a", 1}, {"b\n", 2}};
    const struct row rows[] = {
        {{TEXT_CELL("w"),
          {.dims = dims, .n_dims = 2},
          UINT_CELL(UINT64_MAX),
          TEXT_CELL("no"),
          REAL_CELL(12.5),
          {.list = list, .n_list = 2},
          UINT_CELL(2),
          UINT_CELL(28)}},
        {{NULL_CELL,
          {.n_dims = 0},
          NULL_CELL,
          TEXT_CELL("no"),
          REAL_CELL((double)NAN),
          {.n_list = 0},
          UINT_CELL(0),
          UINT_CELL(1)}},
    };
    struct sc_table t = {columns, SC_COUNT(columns), 2, row_cell, rows}, empty = t;
    struct catcher k = {.calls = 0};
    struct sc_out o = {.write = catch_text, .ctx = &k};
    struct sc_document d;

    empty.n_rows = 0;
    sc_document_start(&d, "scruple.test/1");
    struct sc_field *object = sc_add_object(&d, &d.root, "object");
    sc_add_uint(&d, object, "uint", UINT64_MAX, SC_COL_COUNT);
    sc_add_int(&d, object, "int", INT64_MIN);
    sc_add_number(&d, object, "number", -(double)INFINITY);
    sc_add_bool(&d, object, "yes", true);
    sc_add_textz(&d, object, "none", NULL);
    (void)sc_add_object(&d, &d.root, "nothing");
    struct sc_field *scalars = sc_add_list(&d, &d.root, "scalars");
    sc_add_uint(&d, scalars, NULL, 1, SC_COL_COUNT);
    sc_add_borrowed(&d, scalars, NULL, SC_STR("two"));
    struct sc_field *objects = sc_add_list(&d, &d.root, "objects");
    for (uint64_t i = 0; i < 2; i++) {
        struct sc_field *item = sc_add_object(&d, objects, NULL);
        sc_add_uint(&d, item, "i", i, SC_COL_COUNT);
        (void)sc_add_list(&d, item, "l");
    }
    sc_add_table(&d, &d.root, "table", &t);
    sc_add_table(&d, &d.root, "empty", &empty);
    CHECK_U64(sc_find_uint(sc_find_field(&d.root, "object"), "uint"), UINT64_MAX);
    CHECK(sc_find_table(&d.root, "table")->n_rows == 2);
    CHECK(!sc_find_table(&d.root, "object") && !sc_find_field(&d.root, "absent"));
    CHECK(sc_str_is(sc_find_text(&d.root, "schema"), "scruple.test/1"));
    CHECK(!sc_find_field(NULL, "x") && !sc_find_text(&d.root, "object").p);
    sc_report_json(&o, &d);
    CHECK_STR(
        text_of(&k, &o),
        "{\n"
        "  \"schema\": \"scruple.test/1\",\n"
        "  \"scruple\": \"0.1.0\",\n"
        "  \"object\": {\n"
        "    \"uint\": 18446744073709551615,\n"
        "    \"int\": -9223372036854775808,\n"
        "    \"number\": \"-Infinity\",\n"
        "    \"yes\": true,\n"
        "    \"none\": null\n"
        "  },\n"
        "  \"nothing\": {},\n"
        "  \"scalars\": [1, \"two\"],\n"
        "  \"objects\": [\n"
        "    {\"i\": 0, \"l\": []},\n"
        "    {\"i\": 1, \"l\": []}\n"
        "  ],\n"
        "  \"table\": [\n"
        "    {\"name\": \"w\", \"shape\": [2, 18446744073709551615], \"bytes\": "
        "18446744073709551615, \"share\": 12.5, \"stored\": [\"a\", \"b\\n\"], \"level\": "
        "\"error\", \"count\": 28},\n"
        "    {\"name\": null, \"shape\": [], \"bytes\": null, \"share\": \"NaN\", \"stored\": "
        "[], \"level\": \"info\", \"count\": 1}\n"
        "  ],\n"
        "  \"empty\": []\n"
        "}\n");
    sc_document_clear(&d);
    sc_buf_clear(&k.text);
}

/* -------------------------------------------------------------------------------------- CSV --- */
TEST(csv_quotes_and_guards)
{
    static const struct sc_column columns[] = {
        {"name", NULL, NULL, SC_COL_TEXT, 0, 0},
        {"hidden", NULL, NULL, SC_COL_TEXT, SC_COL_TERM_ONLY, 0},
        {"shape", NULL, NULL, SC_COL_SHAPE, 0, 0},
        {"value", NULL, NULL, SC_COL_NUMBER, 0, 2},
        {"stored", NULL, NULL, SC_COL_LIST, 0, 0},
    };
    static const uint64_t dims[] = {3, 4};
    static const struct sc_str list[] = {{"a,b", 3}, {"c", 1}};
    const struct row rows[] = {
        {{TEXT_CELL("plain.weight"),
          NULL_CELL,
          {.dims = dims, .n_dims = 2},
          REAL_CELL(-1.5),
          {.list = list, .n_list = 2}}},
        {{TEXT_CELL("a,\"b\""), NULL_CELL, {.n_dims = 0}, NULL_CELL, {.n_list = 0}}},
        {{TEXT_CELL("=1+2"), NULL_CELL, NULL_CELL, REAL_CELL(0.1), NULL_CELL}},
        {{TEXT_CELL("@x"), NULL_CELL, NULL_CELL, REAL_CELL(2), NULL_CELL}},
        {{TEXT_CELL("\t+x"), NULL_CELL, NULL_CELL, REAL_CELL(2), NULL_CELL}},
        {{TEXT_CELL("a\r\nb\x1b[2J"), NULL_CELL, NULL_CELL, REAL_CELL(2), NULL_CELL}},
        {{TEXT_CELL(" padded "), NULL_CELL, NULL_CELL, REAL_CELL(2), NULL_CELL}},
        {{TEXT_CELL(""), NULL_CELL, NULL_CELL, REAL_CELL(2), NULL_CELL}},
    };
    struct sc_table t = {columns, SC_COUNT(columns), SC_COUNT(rows), row_cell, rows};
    struct catcher k = {.calls = 0};
    struct sc_out o = {.write = catch_text, .ctx = &k};

    sc_report_csv(&o, &t);
    CHECK_STR(text_of(&k, &o), "name,shape,value,stored\n"
                               "plain.weight,3x4,-1.5,\"a,b c\"\n"
                               "\"a,\"\"b\"\"\",scalar,,\n"
                               "'=1+2,,0.1,\n"
                               "'@x,,2,\n"
                               "'\\u{09}+x,,2,\n"
                               "a\\u{0d}\\u{0a}b\\u{1b}[2J,,2,\n"
                               "\" padded \",,2,\n"
                               ",,2,\n");
    sc_buf_clear(&k.text);
}

/* --------------------------------------------------------------------------------- terminal --- */
static const struct sc_column tree_columns[] = {
    {"label", NULL, NULL, SC_COL_LABEL, 0, 0},
    {"shape", NULL, NULL, SC_COL_SHAPE, 0, 0},
    {"dtype", NULL, NULL, SC_COL_DTYPE, 0, 0},
    {"bits", NULL, "bpw", SC_COL_NUMBER, SC_COL_OPTIONAL, 2},
    {"bytes", NULL, NULL, SC_COL_BYTES, 0, 0},
    {"count", NULL, NULL, SC_COL_TIMES, SC_COL_OPTIONAL, 0},
    {"percent", NULL, NULL, SC_COL_PERCENT, 0, 0},
    {"secret", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
};
static const uint64_t tree_dims[] = {1000, 64};
#define LABEL_CELL(s, d, module)                                                                   \
    {                                                                                              \
        .text = {(s), sizeof(s) - 1}, .depth = (d), .strong = (module)                             \
    }
#define MODULE_ROW(s, d)                                                                           \
    {                                                                                              \
        {                                                                                          \
            LABEL_CELL(s, d, true), NULL_CELL, NULL_CELL, NULL_CELL, NULL_CELL, NULL_CELL,         \
                NULL_CELL, TEXT_CELL("secret")                                                     \
        }                                                                                          \
    }

static const char *tree_text(struct catcher *k, const struct row *rows, size_t n,
                             const struct sc_term *term)
{
    struct sc_table t = {tree_columns, SC_COUNT(tree_columns), n, row_cell, rows};
    struct sc_out o = {.write = catch_text, .ctx = k};

    k->text.n = 0;
    sc_report_table(&o, &t, term);
    return text_of(k, &o);
}

TEST(tree_is_aligned_as_in_we)
{
    const struct row rows[] = {
        MODULE_ROW("model", 0),
        {{LABEL_CELL("embed_tokens", 1, false),
          {.dims = tree_dims, .n_dims = 2},
          TEXT_CELL("BF16"),
          NULL_CELL,
          UINT_CELL(128000),
          UINT_CELL(1),
          REAL_CELL(38.04),
          NULL_CELL}},
        MODULE_ROW("head", 0),
        {{LABEL_CELL("weight", 2, false),
          {.dims = tree_dims + 1, .n_dims = 1},
          TEXT_CELL("F8_E4M3"),
          NULL_CELL,
          UINT_CELL(64),
          UINT_CELL(1),
          REAL_CELL(0),
          NULL_CELL}},
        {{LABEL_CELL("norm", 0, false),
          {.n_dims = 0},
          TEXT_CELL("F32"),
          NULL_CELL,
          UINT_CELL(4),
          UINT_CELL(1),
          REAL_CELL(0),
          NULL_CELL}},
    };
    struct row repeated[1] = {{{LABEL_CELL("w", 0, false),
                                {.dims = tree_dims, .n_dims = 2},
                                TEXT_CELL("INT4"),
                                REAL_CELL(4.25),
                                UINT_CELL(34000),
                                UINT_CELL(28),
                                REAL_CELL(100),
                                NULL_CELL}}};
    struct sc_term term = {0};
    struct catcher k = {.calls = 0};

    CHECK_STR(tree_text(&k, rows, SC_COUNT(rows), &term),
              "model\n"
              "  embed_tokens  1000x64  BF16     128.0 KB  38.0 %\n"
              "head\n"
              "    weight      64       F8_E4M3      64 B   0.0 %\n"
              "norm            scalar   F32           4 B   0.0 %\n");
    CHECK_STR(tree_text(&k, repeated, 1, &term),
              "w  1000x64  INT4  4.25 bpw  34.0 KB  x28  100.0 %\n");
    term.colour = true;
    CHECK_STR(tree_text(&k, rows, 2, &term),
              "\033[38;5;15mmodel\033[0m\n"
              "  \033[38;5;250membed_tokens\033[0m  \033[38;5;153m1000\033[0m\033[38;5;67mx\033[0m"
              "\033[38;5;153m64\033[0m  \033[38;5;151mBF16\033[0m  \033[38;5;223m128.0\033[0m"
              "\033[38;5;242m KB\033[0m  \033[38;5;217m38.0\033[0m\033[38;5;242m %\033[0m\n");
    sc_buf_clear(&k.text);
}

TEST(hostile_and_wide_names_stay_in_their_column)
{
    const struct row rows[] = {
        {{LABEL_CELL("\xe6\xbc\xa2\xe5\xad\x97", 0, false),
          {.n_dims = 0},
          TEXT_CELL("F32"),
          NULL_CELL,
          UINT_CELL(4),
          UINT_CELL(1),
          REAL_CELL(1),
          NULL_CELL}},
        {{LABEL_CELL("a\x1b[2Jb", 0, false),
          {.n_dims = 0},
          TEXT_CELL("F32"),
          NULL_CELL,
          UINT_CELL(4),
          UINT_CELL(1),
          REAL_CELL(1),
          NULL_CELL}},
        {{LABEL_CELL("caf\xc3\xa9", 0, false),
          {.n_dims = 0},
          TEXT_CELL("F32"),
          NULL_CELL,
          UINT_CELL(4),
          UINT_CELL(1),
          REAL_CELL(1),
          NULL_CELL}},
    };
    struct sc_term term = {0};
    struct catcher k = {.calls = 0};

    CHECK_STR(tree_text(&k, rows, 3, &term),
              "\xe6\xbc\xa2\xe5\xad\x97         scalar  F32  4 B  1.0 %\n"
              "a\\u{1b}[2Jb  scalar  F32  4 B  1.0 %\n"
              "caf\xc3\xa9         scalar  F32  4 B  1.0 %\n");
    term.ascii = true;
    CHECK_STR(tree_text(&k, rows, 3, &term), "\\u{6f22}\\u{5b57}  scalar  F32  4 B  1.0 %\n"
                                             "a\\u{1b}[2Jb       scalar  F32  4 B  1.0 %\n"
                                             "caf\\u{e9}         scalar  F32  4 B  1.0 %\n");
    sc_buf_clear(&k.text);
}

TEST(titles_and_kinds)
{
    static const struct sc_column columns[] = {
        {"a", "file", NULL, SC_COL_TEXT, 0, 0},
        {"b", "tensors", NULL, SC_COL_COUNT, 0, 0},
        {"c", "gone", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
        {"d", "level", NULL, SC_COL_SEVERITY, 0, 0},
        {"e", NULL, NULL, SC_COL_OFFSET, 0, 0},
        {"f", "parts", NULL, SC_COL_LIST, 0, 0},
    };
    static const struct sc_str list[] = {{"x", 1}, {"y\n", 2}};
    const struct row rows[] = {
        {{TEXT_CELL("m"),
          UINT_CELL(1234567),
          NULL_CELL,
          UINT_CELL(1),
          UINT_CELL(12),
          {.list = list, .n_list = 2}}},
        {{TEXT_CELL("long.bin"), UINT_CELL(1), NULL_CELL, UINT_CELL(2), NULL_CELL, {.n_list = 0}}},
    };
    struct sc_table t = {columns, SC_COUNT(columns), 2, row_cell, rows};
    struct catcher k = {.calls = 0};
    struct sc_out o = {.write = catch_text, .ctx = &k};
    struct sc_term term = {0};

    sc_report_table(&o, &t, &term);
    CHECK_STR(text_of(&k, &o), "file        tensors  level        parts\n"
                               "m         1,234,567  warning  12  x y\\u{0a}\n"
                               "long.bin          1  error\n");
    sc_buf_clear(&k.text);
}

/* Names of tensors begin alike: rows of a narrow table must still differ. */
TEST(narrow_tables_keep_what_tells_names_apart)
{
    static const struct sc_column columns[] = {
        {"a", "tensor", NULL, SC_COL_TEXT, SC_COL_SHRINK, 0},
        {"b", "zeros", NULL, SC_COL_COUNT, 0, 0},
        {"c", "largest", NULL, SC_COL_TEXT, SC_COL_RIGHT | SC_COL_SPARE, 0},
    };
    const struct row rows[] = {
        {{TEXT_CELL("model.layers.10.self_attn.q_proj.weight"), UINT_CELL(1), TEXT_CELL("10.5")}},
        {{TEXT_CELL("model.layers.11.self_attn.q_proj.weight"), UINT_CELL(2), TEXT_CELL("9.5")}},
    };
    struct sc_table t = {columns, SC_COUNT(columns), 2, row_cell, rows};
    static const struct {
        size_t width;
        const char *want;
    } cases[] = {
        {56, "tensor                                   zeros  largest\n"
             "model.layers.10.self_attn.q_proj.weight      1     10.5\n"
             "model.layers.11.self_attn.q_proj.weight      2      9.5\n"},
        {48, "tensor                            zeros  largest\n"
             "...rs.10.self_attn.q_proj.weight      1     10.5\n"
             "...rs.11.self_attn.q_proj.weight      2      9.5\n"},
        {40, "tensor                             zeros\n"
             "...ers.10.self_attn.q_proj.weight      1\n"
             "...ers.11.self_attn.q_proj.weight      2\n"},
    };

    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct catcher k = {.calls = 0};
        struct sc_out o = {.write = catch_text, .ctx = &k};
        sc_report_table(&o, &t, &(struct sc_term){.width = cases[i].width});
        CHECK_STR(text_of(&k, &o), cases[i].want);
        sc_buf_clear(&k.text);
    }
}

/* A bar belongs to its column: no bar without a cell, none where the column is left out. Labels are
 * cut behind their indentation. */
TEST(bars_stand_before_their_columns)
{
    static const struct sc_column columns[] = {
        {"a", NULL, NULL, SC_COL_LABEL, SC_COL_SHRINK, 0},
        {"b", NULL, NULL, SC_COL_TEXT, SC_COL_RIGHT | SC_COL_SPARE | SC_COL_BAR, 0},
        {"c", NULL, "pcc", SC_COL_NUMBER, SC_COL_BAR, 2},
    };
    const struct row rows[] = {
        {{TEXT_CELL("module"), NULL_CELL, NULL_CELL}},
        {{{.text = {"a_rather_long_name.weight", 25}, .depth = 2}, TEXT_CELL("1 2"), {.f = 0.5}}},
        {{{.text = {"b", 1}, .depth = 2},
          TEXT_CELL("10 20"),
          {.f = 0.25, .text = {"0.25+-0.01", 10}}}},
        {{{.text = {"c", 1}, .depth = 2}, TEXT_CELL("-"), {.f = (double)NAN, .text = {"-", 1}}}},
    };
    struct sc_table t = {columns, SC_COUNT(columns), SC_COUNT(rows), row_cell, rows};
    static const struct {
        size_t width;
        const char *want;
    } cases[] = {
        {0, "module\n"
            "    a_rather_long_name.weight  |    1 2  |        0.50 pcc\n"
            "    b                          |  10 20  |  0.25+-0.01 pcc\n"
            "    c                          |      -  |               -\n"},
        {48, "module\n"
             "    a_rather_long_name.weight  |        0.50 pcc\n"
             "    b                          |  0.25+-0.01 pcc\n"
             "    c                          |               -\n"},
        {44, "module\n"
             "    ...r_long_name.weight  |        0.50 pcc\n"
             "    b                      |  0.25+-0.01 pcc\n"
             "    c                      |               -\n"},
    };

    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct catcher k = {.calls = 0};
        struct sc_out o = {.write = catch_text, .ctx = &k};
        sc_report_table(&o, &t, &(struct sc_term){.width = cases[i].width});
        CHECK_STR(text_of(&k, &o), cases[i].want);
        sc_buf_clear(&k.text);
    }
}

TEST(fields_are_aligned)
{
    struct catcher k = {.calls = 0};
    struct sc_out o = {.write = catch_text, .ctx = &k};
    struct sc_term term = {.width = 40};
    struct sc_document d;

    sc_document_start(&d, "x/1");
    struct sc_field *f = sc_add_object(&d, &d.root, "facts");
    sc_add_textz(&d, f, "model_type", "llama");
    sc_add_null(&d, f, "unknown");
    sc_add_uint(&d, f, "context", 131072, SC_COL_COUNT);
    sc_add_uint(&d, f, "size", 1500000, SC_COL_BYTES);
    sc_add_number(&d, f, "eps", 1e-5);
    sc_add_bool(&d, f, "tied", false);
    sc_add_textz(&d, f, "text", "0123456789 0123456789 0123456789 \x1b]52;c;x");
    struct sc_field *list = sc_add_list(&d, f, "block");
    sc_add_uint(&d, list, NULL, 128, SC_COL_OFFSET);
    sc_add_uint(&d, list, NULL, 128, SC_COL_OFFSET);
    (void)sc_add_list(&d, f, "empty");
    struct sc_field *inner = sc_add_object(&d, f, "quantization");
    sc_add_int(&d, inner, "group", -1);
    sc_report_fields(&o, f, &term);
    CHECK_STR(text_of(&k, &o), "  model type  llama\n"
                               "  context     131,072\n"
                               "  size        1.5 MB\n"
                               "  eps         1e-05\n"
                               "  tied        no\n"
                               "  text        0123456789 0123456789 0...\n"
                               "  block       128, 128\n"
                               "  quantization\n"
                               "    group  -1\n");
    sc_document_clear(&d);
    sc_buf_clear(&k.text);
}

/* ----------------------------------------------------------------------------------- faults --- */
static int render_everything(void)
{
    const struct row rows[] = {
        MODULE_ROW("mod\x01ule", 0),
        {{LABEL_CELL("caf\xc3\xa9", 1, false),
          {.dims = tree_dims, .n_dims = 2},
          TEXT_CELL("B,F16"),
          REAL_CELL(4.5),
          UINT_CELL(128000),
          UINT_CELL(2),
          REAL_CELL(38.04),
          TEXT_CELL("s")}},
    };
    struct sc_table t = {tree_columns, SC_COUNT(tree_columns), 2, row_cell, rows};
    struct catcher k = {.calls = 0};
    struct sc_out o = {.write = catch_text, .ctx = &k};
    struct sc_term term = {.colour = true, .ascii = true, .width = 30};
    struct sc_document d;

    sc_document_start(&d, "x/1");
    struct sc_field *f = sc_add_object(&d, &d.root, "facts");
    sc_add_textz(&d, f, "text", "\xff\x01 some text that is cut somewhere");
    sc_add_table(&d, f, "table", &t);
    struct sc_field *list = sc_add_list(&d, f, "list");
    sc_add_text(&d, list, NULL, SC_STR("item"));
    if (!d.failed) {
        sc_report_table(&o, &t, &term);
        sc_report_csv(&o, &t);
        sc_report_fields(&o, f, &term);
    }
    sc_report_json(&o, &d);
    sc_document_clear(&d);
    int code = sc_out_finish(&o);
    sc_buf_clear(&k.text);
    return code;
}

TEST(every_allocation_may_fail)
{
    bool reached = true;

    for (uint64_t k = 0; reached && k < 1000; k++) {
        sc_oom_fail_at(k);
        int code = render_everything();
        reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK_ERR(reached ? SCRUPLE_EMEMORY : 0, code);
    }
    CHECK(!reached);
}

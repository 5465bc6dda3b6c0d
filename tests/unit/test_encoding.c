/* SPDX-License-Identifier: Apache-2.0 */
/* test_encoding: names of formats, their settings, and the bytes they take. */
#include "encode_input.h"
#include "test.h"

static int code_of(const char *text, struct sc_encoding *f, struct sc_error *e)
{
    *e = (struct sc_error){0};
    return sc_encoding_parse(sc_strz(text), f, e);
}

static bool same(const struct sc_encoding *a, const struct sc_encoding *b)
{
    return strcmp(a->name, b->name) == 0 && a->scheme == b->scheme && a->element == b->element &&
           a->bits == b->bits && a->rule == b->rule && a->over == b->over &&
           a->affine == b->affine && a->clip == b->clip && a->saturate == b->saturate &&
           a->other_axis == b->other_axis && a->unit == b->unit && a->codec == b->codec &&
           a->scale == b->scale && memcmp(&a->floor, &b->floor, sizeof a->floor) == 0;
}

/* The name of what was parsed leads to the same again. */
static bool is_stable(const struct sc_encoding *f)
{
    struct sc_encoding again;
    struct sc_error e;
    const bool ok = code_of(f->name, &again, &e) == 0 && same(f, &again);
    if (!ok)
        fprintf(stderr, "%s is not parsed again: %s\n", f->name, e.text);
    return ok;
}

static void spell(char *out, size_t size, const char *name, const char *tail, bool upper)
{
    snprintf(out, size, "%s%s", name, tail);
    for (char *p = out; *p && upper; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
}

TEST(every_name_and_alias_is_found_in_any_case_and_along_both_axes)
{
    for (size_t i = 0; i < sc_n_encodings; i++) {
        char names[200], text[240];
        const struct sc_encoding_info *info = &sc_encodings[i];
        snprintf(names, sizeof names, "%s %s", info->name, info->alias ? info->alias : "");
        for (char *name = strtok(names, " "); name; name = strtok(NULL, " "))
            for (int k = 0; k < 4; k++) {
                struct sc_encoding f;
                struct sc_error e;
                spell(text, sizeof text, name, k & 1 ? ".T" : "", k & 2);
                CHECK_U64(code_of(text, &f, &e), 0);
                spell(text, sizeof text, info->name, k & 1 ? ".T" : "", false);
                CHECK_STR(f.name, text);
                CHECK(f.other_axis == (k & 1) && sc_encoding_info(&f) == info && is_stable(&f));
                CHECK(f.scheme == info->scheme && f.bits == info->bits && f.unit == info->unit);
            }
    }
}

TEST(rows_are_whole_and_names_unique)
{
    for (size_t i = 0; i < sc_n_encodings; i++) {
        const struct sc_encoding_info *a = &sc_encodings[i];
        struct sc_encoding f = parsed(a->name);
        CHECK(a->title && a->summary && a->source && strlen(a->name) < 20);
        CHECK((f.codec != SC_OPAQUE) == (a->codec != NULL));
        if (a->scheme == SC_SCHEME_GGML) {
            CHECK_U64(sc_codec(f.codec)->block, f.unit);
            CHECK_NEAR(sc_encoding_bits(&f), sc_codec_bits(f.codec), 0);
        }
        if (a->scheme == SC_SCHEME_CAST)
            CHECK_NEAR(sc_codec_bits(f.codec), f.bits, 0);
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(a->name, sc_encodings[k].name) != 0);
    }
}

static const char *next_setting(const char *at, char *out, size_t size)
{
    const size_t n = strcspn(at, " ");
    snprintf(out, size, "%.*s", (int)n, at);
    return at + n + strspn(at + n, " ");
}

/* "group=N" with a number, to be used. */
static void fill_in(char *word, size_t size)
{
    char *sign = strchr(word, '=');
    const char *value = strncmp(word, "floor", 5) == 0 ? "=.5" : "=128";
    if (strncmp(word, "scale", 5) == 0)
        value = "=bf16";
    if (sign)
        snprintf(sign, size - (size_t)(sign - word), "%s", value);
}

TEST(every_setting_that_is_listed_works_alone_and_beside_others)
{
    for (size_t i = 0; i < sc_n_encodings; i++) {
        const struct sc_encoding_info *info = &sc_encodings[i];
        const char *a = info->settings ? info->settings : "";
        while (*a) {
            char one[32], two[32], text[128];
            struct sc_encoding f;
            struct sc_error e;
            a = next_setting(a, one, sizeof one);
            fill_in(one, sizeof one);
            snprintf(text, sizeof text, "%s:%s.T", info->name, one);
            CHECK_U64(code_of(text, &f, &e), 0);
            CHECK(is_stable(&f));
            for (const char *b = info->settings; *b;) {
                b = next_setting(b, two, sizeof two);
                fill_in(two, sizeof two);
                snprintf(text, sizeof text, "%s:%s,%s", info->name, one, two);
                const int code = code_of(text, &f, &e);
                CHECK(code == SCRUPLE_EUSAGE || is_stable(&f));
                CHECK(strcmp(one, two) != 0 || code == SCRUPLE_EUSAGE);
            }
        }
    }
}

TEST(names_say_what_was_chosen)
{
    static const struct {
        const char *text, *name;
    } cases[] = {
        {"MXFP4:RCEIL", "mxfp4:rceil"},
        {"mxfp8:floor", "mxfp8_e4m3"},
        {"INT4:clip,GROUP=128,affine", "int4:group=128,affine,clip"},
        {"int8:row", "int8"},
        {"int8:tensor.t", "int8:tensor.T"},
        {"nf4:block=64", "nf4"},
        {"nf4:block=128", "nf4:block=128"},
        {"nvfp4:floor=0.001953125", "nvfp4"},
        {"nvfp4:sse,floor=0.015625", "nvfp4:sse,floor=0.015625"},
        {"nvfp4:floor=1e-3", "nvfp4:floor=0.00100000005"},
        {"fp8:nosat", "fp8_e4m3:nosat"},
        {"bfp4:sse.T", "bfp4:sse.T"},
        {"half", "fp16"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        const struct sc_encoding f = parsed(cases[i].text);
        CHECK_STR(f.name, cases[i].name);
        CHECK(is_stable(&f));
    }
    const struct sc_encoding f = parsed("int4:group=4096,affine,clip.T");
    CHECK(f.unit == 4096 && f.affine && f.clip && f.other_axis && f.over == SC_OVER_NOTHING);
    CHECK(parsed("int4").over == SC_OVER_LINE && parsed("int4:tensor").over == SC_OVER_TENSOR);
    CHECK(parsed("fp8").saturate && !parsed("fp8:nosat").saturate && !parsed("bf16").saturate);
    CHECK_NEAR((double)parsed("nvfp4:floor=0").floor, 0, 0);
    CHECK_NEAR((double)parsed("nvfp4").floor, ldexp(1, -9), 0);
}

TEST(what_is_wrong_is_said)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"", "the name of a number format is missing"},
        {".T", "there is no number format \".T\""},
        {":sse", "there is no number format"},
        {"bfp5", "(did you mean bfp8?)"},
        {"mxfp5", "(did you mean mxfp4?)"},
        {"nvpf4", "(did you mean nvfp4?)"},
        {"q4_k_m", "(did you mean q4_k?)"},
        {"something", "(scruple formats lists them)"},
        {"bf16:sse", "bf16 takes no settings, but \"sse\" follows"},
        {"bfp8:", "bfp8: \"\" is empty; it takes: sse"},
        {"bfp8:sse,", "\"\" is empty"},
        {"bfp8:sse,sse", "\"sse\" is one too many of its kind"},
        {"mxfp4:floor,ceil", "\"ceil\" is one too many of its kind"},
        {"int4:row,group=32", "\"group=32\" is one too many of its kind"},
        {"int4:group", "\"group\" is no setting of this format; it takes: tensor row group=N"},
        {"int4:group=", "\"group=\" is no number of values from 8 to 4096"},
        {"int4:group=7", "from 8 to 4096"},
        {"int4:group=4097", "from 8 to 4096"},
        {"int4:group=-1", "from 8 to 4096"},
        {"int4:group=99999999999999999999999", "from 8 to 4096"},
        {"int4:row=3", "is no setting of this format"},
        {"nvfp4:floor", "is no setting of this format"},
        {"nvfp4:floor=", "is no scale from 0 to 448"},
        {"nvfp4:floor=nan", "is no scale from 0 to 448"},
        {"nvfp4:floor=449", "is no scale from 0 to 448"},
        {"nvfp4:floor=1e999", "is no scale from 0 to 448"},
        {"nvfp4:floor=0x1p-9", "is no scale from 0 to 448"},
        {"nvfp4:floor=-1", "is no scale from 0 to 448"},
        {"bfp8.T.T", "there is no number format"},
        {"bfp8 ", "there is no number format"},
        {"bfp8\033[31m", "bfp8\\u{1b}"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_encoding f;
        struct sc_error e;
        CHECK_ERR(SCRUPLE_EUSAGE, code_of(cases[i].text, &f, &e));
        if (!strstr(e.text, cases[i].said))
            CHECK_STR(e.text, cases[i].said);
        CHECK_U64(f.unit, 0);
    }
    struct sc_encoding f;
    CHECK_ERR(SCRUPLE_EUSAGE, sc_encoding_parse(sc_str("bf\0008", 5), &f, NULL));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_encoding_parse(sc_str("mxfp4:\0", 7), &f, NULL));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_encoding_parse(sc_str(NULL, 0), &f, NULL));
}

/* ----------------------------------------------------------------------------------- bytes --- */
static uint64_t bytes_of(const char *name, uint64_t matrices, uint64_t rows, uint64_t cols)
{
    const struct sc_encoding f = parsed(name);
    uint64_t n = UINT64_MAX;
    const char *why = NULL;
    return sc_encoding_bytes(&f, matrices, rows, cols, &n, &why) ? n : UINT64_MAX;
}

TEST(bytes_are_those_of_packed_tensors)
{
    CHECK_U64(bytes_of("fp0", 1, 32, 32), 0);
    CHECK_U64(bytes_of("bf16", 3, 5, 7), 210);
    CHECK_U64(bytes_of("fp32", 1, 5, 7), 140);
    CHECK_U64(bytes_of("fp8", 1, 5, 7), 35);
    CHECK_U64(bytes_of("bfp8", 1, 32, 32), 1088);
    CHECK_U64(bytes_of("bfp4", 1, 32, 32), 576);
    CHECK_U64(bytes_of("bfp2", 1, 32, 32), 320);
    CHECK_U64(bytes_of("bfp4", 1, 96, 128), 6912); /* 12 tiles */
    CHECK_U64(bytes_of("bfp8", 2, 1, 33), 4 * 1088);
    CHECK_U64(bytes_of("bfp8.T", 2, 1, 33), 4 * 1088);
    CHECK_U64(bytes_of("mxfp8", 1, 2, 33), 2 * 2 * 33);
    CHECK_U64(bytes_of("mxfp6", 1, 1, 32), 25);
    CHECK_U64(bytes_of("mxfp4", 1, 1, 32), 17);
    CHECK_U64(bytes_of("mxint8", 1, 1, 1), 33);
    CHECK_U64(bytes_of("mxfp4.T", 1, 33, 5), 5 * 2 * 17);
    CHECK_U64(bytes_of("nvfp4", 2, 3, 17), 6 * 2 * 9 + 4);
    CHECK_U64(bytes_of("int4", 1, 3, 5), 3 * (3 + 4));
    CHECK_U64(bytes_of("int4:affine", 1, 3, 5), 3 * (3 + 5));
    CHECK_U64(bytes_of("int3:tensor", 1, 3, 5), 3 * 2 + 4);
    CHECK_U64(bytes_of("int4:group=32", 1, 1, 33), 17 + 2 * 2);
    CHECK_U64(bytes_of("nf4", 1, 2, 65), 2 * (33 + 8));
    CHECK_U64(bytes_of("q4_0", 1, 3, 64), 3 * 36);
    CHECK_U64(bytes_of("q4_k", 2, 3, 512), 6 * 288);
    CHECK_U64(bytes_of("q4_0", 1, 3, 33), UINT64_MAX);
    CHECK_U64(bytes_of("q4_0.T", 1, 32, 33), 33 * 18);
    CHECK_U64(bytes_of("nvfp4", 0, 3, 17), 0);
    CHECK_U64(bytes_of("q4_0", 1, 0, 33), 0);
}

TEST(bytes_that_do_not_fit_are_refused)
{
    const uint64_t huge[] = {
        1, 3, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 62, UINT64_MAX / 2, UINT64_MAX};
    for (size_t i = 0; i < sc_n_encodings; i++)
        for (size_t k = 0; k < 343; k++) {
            const struct sc_encoding f = parsed(sc_encodings[i].name);
            const uint64_t shape[] = {huge[k % 7], huge[k / 7 % 7], huge[k / 49]};
            const double values = (double)shape[0] * (double)shape[1] * (double)shape[2];
            uint64_t n;
            const char *why;
            if (sc_encoding_bytes(&f, shape[0], shape[1], shape[2], &n, &why))
                CHECK((double)n >= values * f.bits / 8 * 0.999);
            else
                CHECK(why && (values * 4 > 1e18 || f.scheme == SC_SCHEME_GGML));
        }
}

/* Bits are what bytes of a large matrix come to, but for what a line or a tensor adds. */
TEST(bits_agree_with_bytes)
{
    static const char *const more[] = {"int4:group=128", "int4:group=64,affine", "nf4:block=128",
                                       "int3:tensor"};
    for (size_t i = 0; i < sc_n_encodings + SC_COUNT(more); i++) {
        const char *name = i < sc_n_encodings ? sc_encodings[i].name : more[i - sc_n_encodings];
        const struct sc_encoding f = parsed(name);
        const double n = 1048576;
        const double bytes = (double)bytes_of(name, 1, 64, 16384);
        CHECK_NEAR(bytes * 8 / n, sc_encoding_bits(&f), 1e-3);
    }
    const struct sc_encoding f = parsed("bfp4"), g = parsed("nvfp4"), h = parsed("mxfp6");
    CHECK_NEAR(sc_encoding_bits(&f), 4.5, 0);
    CHECK_NEAR(sc_encoding_bits(&g), 4.5, 0);
    CHECK_NEAR(sc_encoding_bits(&h), 6.25, 0);
}

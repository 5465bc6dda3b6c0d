/* SPDX-License-Identifier: Apache-2.0 */
/* encoding: the table of formats that values can be put into, and their names.
 *
 * Owns: one row a format, what may follow its name, and the one spelling that stands for a set of
 * settings. Does not own: what formats do (encode_*.c). */
#include "codec/encoding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES     "floor rceil ceil even sse"
#define INT_WORDS "tensor row group=N affine clip scale=TYPE"

#define BY_OCP8 "OCP 8-bit Floating Point Specification 1.0"
#define BY_FNUZ "arXiv 2206.02915"
#define BY_MX   "OCP Microscaling Formats 1.0"
#define BY_TTNN "TTNN (tt-metal), block float tiles"
#define BY_BNB  "bitsandbytes, arXiv 2305.14314"
#define BY_GGML "ggml, its reference quantiser"
#define BY_US   "ggml's block, a fit of our own"

/* clang-format off */
#define CAST(name, alias, title, summary, settings, source, element, bits, codec)                  \
    {name, alias, title, summary, settings, source, codec,                                         \
     SC_SCHEME_CAST, SC_ELEMENT_##element, bits, 1}
#define BFP(bits, summary)                                                                         \
    {"bfp" #bits, "bfp" #bits "_b", "BFP" #bits, summary, "sse", BY_TTNN, NULL,                    \
     SC_SCHEME_BFP, SC_ELEMENT_NONE, bits, 16}
#define MX(name, alias, title, summary, element, bits, codec)                                      \
    {name, alias, title, summary, RULES, BY_MX, codec,                                             \
     SC_SCHEME_MX, SC_ELEMENT_##element, bits, 32}
#define INT(bits)                                                                                  \
    {"int" #bits, NULL, "INT" #bits, #bits "-bit integers times a step a row, tensor or group",    \
     INT_WORDS, "uniform quantisation", NULL, SC_SCHEME_INT, SC_ELEMENT_INT, bits, 1}
#define LEVELS(name, title, summary, element)                                                      \
    {name, NULL, title, summary, "block=N", BY_BNB, NULL,                                          \
     SC_SCHEME_LEVELS, SC_ELEMENT_##element, 4, 64}
#define GGML(name, codec, summary, source, unit)                                                   \
    {name, NULL, "GGML " codec, summary, NULL, source, codec,                                      \
     SC_SCHEME_GGML, SC_ELEMENT_NONE, 0, unit}

const struct sc_encoding_info sc_encodings[] = {
    MX("mxfp4", NULL, "MXFP4", "E2M1, a power of two over 32 values", E2M1, 4, "F4"),
    {"nvfp4", NULL, "NVFP4", "E2M1, an E4M3 scale over 16 values, a float over all", "floor=X sse",
     "NVIDIA, as ModelOpt writes it", "F4", SC_SCHEME_NVFP4, SC_ELEMENT_E2M1, 4, 16},
    CAST("bf16", "bfloat16", "BF16", "1 sign, 8 exponent, 7 mantissa bits", NULL,
         "upper half of a float, to nearest even", BF16, 16, "BF16"),
    BFP(8, "sign and 7 bits, an exponent over 16 values, in tiles"),
    BFP(4, "sign and 3 bits, an exponent over 16 values, in tiles"),
    BFP(2, "sign and 1 bit, an exponent over 16 values, in tiles"),
    {"fp0", NULL, "FP0", "nothing is kept: every value becomes 0", NULL, "mixed-tile formats", NULL,
     SC_SCHEME_ZERO, SC_ELEMENT_NONE, 0, 1},
    CAST("fp32", "f32 float32", "FP32", "1 sign, 8 exponent, 23 mantissa bits", NULL, "IEEE 754",
         F32, 32, "F32"),
    CAST("fp16", "f16 float16 half", "FP16", "1 sign, 5 exponent, 10 mantissa bits", NULL,
         "IEEE 754", F16, 16, "F16"),
    CAST("fp8_e4m3", "fp8 e4m3 fp8_e4m3fn e4m3fn", "FP8 E4M3",
         "1 sign, 4 exponent, 3 mantissa bits", "nosat", BY_OCP8, E4M3, 8, "F8_E4M3"),
    CAST("fp8_e5m2", "e5m2", "FP8 E5M2", "1 sign, 5 exponent, 2 mantissa bits", "nosat", BY_OCP8,
         E5M2, 8, "F8_E5M2"),
    CAST("fp8_e4m3fnuz", "e4m3fnuz", "FP8 E4M3 FNUZ", "as E4M3, bias 8, no -0, one NaN", "nosat",
         BY_FNUZ, E4M3FNUZ, 8, "F8_E4M3FNUZ"),
    CAST("fp8_e5m2fnuz", "e5m2fnuz", "FP8 E5M2 FNUZ", "as E5M2, bias 16, no -0, one NaN", "nosat",
         BY_FNUZ, E5M2FNUZ, 8, "F8_E5M2FNUZ"),
    MX("mxfp8_e4m3", "mxfp8", "MXFP8 E4M3", "E4M3, a power of two over 32 values", E4M3, 8,
       "F8_E4M3"),
    MX("mxfp8_e5m2", NULL, "MXFP8 E5M2", "E5M2, a power of two over 32 values", E5M2, 8, "F8_E5M2"),
    MX("mxfp6_e2m3", "mxfp6", "MXFP6 E2M3", "E2M3, a power of two over 32 values", E2M3, 6,
       "F6_E2M3"),
    MX("mxfp6_e3m2", NULL, "MXFP6 E3M2", "E3M2, a power of two over 32 values", E3M2, 6, "F6_E3M2"),
    MX("mxint8", NULL, "MXINT8", "integers / 64, a power of two over 32 values", INT, 8, "I8"),
    INT(8),
    INT(7),
    INT(6),
    INT(5),
    INT(4),
    INT(3),
    INT(2),
    LEVELS("nf4", "NF4", "16 quantiles of a normal distribution, the largest of 64 values", NF4),
    LEVELS("fp4", "FP4 (bitsandbytes)", "16 levels, the largest of 64 values", FP4),
    GGML("q8_0", "Q8_0", "8-bit integers, a half over 32 values", BY_GGML, 32),
    GGML("q5_1", "Q5_1", "5-bit integers, scale and minimum over 32 values", BY_GGML, 32),
    GGML("q5_0", "Q5_0", "5-bit integers, a half over 32 values", BY_GGML, 32),
    GGML("q4_1", "Q4_1", "4-bit integers, scale and minimum over 32 values", BY_GGML, 32),
    GGML("q4_0", "Q4_0", "4-bit integers, a half over 32 values", BY_GGML, 32),
    GGML("q6_k", "Q6_K", "6-bit integers, 16 scales of 8 bits over 256 values", BY_US, 256),
    GGML("q5_k", "Q5_K", "5-bit integers, 8 scales and minima over 256 values", BY_US, 256),
    GGML("q4_k", "Q4_K", "4-bit integers, 8 scales and minima over 256 values", BY_US, 256),
    GGML("q3_k", "Q3_K", "3-bit integers, 16 scales of 6 bits over 256 values", BY_US, 256),
    GGML("q2_k", "Q2_K", "2-bit integers, 16 scales and minima over 256 values", BY_US, 256),
    GGML("iq4_nl", "IQ4_NL", "16 levels, a half over 32 values", BY_US, 32),
    GGML("iq4_xs", "IQ4_XS", "16 levels, 8 scales of 6 bits over 256 values", BY_US, 256),
    GGML("tq1_0", "TQ1_0", "-1, 0 or 1, five in 8 bits, a half over 256 values", BY_GGML, 256),
    GGML("tq2_0", "TQ2_0", "-1, 0 or 1 in 2 bits, a half over 256 values", BY_GGML, 256),
    GGML("q1_0", "Q1_0", "signs, a half over 128 values", BY_GGML, 128),
    GGML("q2_0", "Q2_0", "2-bit integers, a half over 64 values", BY_GGML, 64),
    GGML("mxfp4_gguf", "MXFP4", "values of MXFP4, bytes in ggml's order", BY_GGML, 32),
    GGML("nvfp4_gguf", "NVFP4", "E2M1, 4 scales of 8 bits over 64 values, none over all", BY_GGML,
         64),
};
/* clang-format on */
const size_t sc_n_encodings = SC_COUNT(sc_encodings);

/* -------------------------------------------------------------------------------- settings --- */
/* Settings of one kind exclude each other. */
enum kind { KIND_RULE, KIND_GRAIN, KIND_AFFINE, KIND_CLIP, KIND_OVER, KIND_FLOOR, KIND_SCALE };
static const struct setting {
    const char *word; /* as in sc_encoding_info.settings: up to '=' it is the word, then a value */
    enum kind kind;
    uint8_t value;
} settings[] = {
    {"floor", KIND_RULE, SC_RULE_FLOOR},
    {"rceil", KIND_RULE, SC_RULE_RCEIL},
    {"ceil", KIND_RULE, SC_RULE_CEIL},
    {"even", KIND_RULE, SC_RULE_EVEN},
    {"sse", KIND_RULE, SC_RULE_SSE},
    {"tensor", KIND_GRAIN, SC_OVER_TENSOR},
    {"row", KIND_GRAIN, SC_OVER_LINE},
    {"group=N", KIND_GRAIN, SC_OVER_NOTHING},
    {"block=N", KIND_GRAIN, SC_OVER_NOTHING},
    {"affine", KIND_AFFINE, true},
    {"clip", KIND_CLIP, true},
    {"nosat", KIND_OVER, false},
    {"floor=X", KIND_FLOOR, 0},
    {"scale=TYPE", KIND_SCALE, 0},
};
/* How steps can be stored. */
static const struct {
    const char *word;
    uint8_t element;
} scales[] = {{"f32", SC_ELEMENT_F32}, {"f16", SC_ELEMENT_F16}, {"bf16", SC_ELEMENT_BF16}};
enum { LEAST_GROUP = 8, MOST_GROUP = 4096 };
#define NVFP4_FLOOR 0x1p-9F

/* The next word of a blank-separated list; empty at its end. */
static struct sc_str next_word(const char **list)
{
    const char *start = *list ? *list + strspn(*list, " ") : "";
    const size_t n = strcspn(start, " ");
    *list = start + n;
    return sc_str(start, n);
}

static bool has_word(const char *list, struct sc_str word)
{
    for (struct sc_str w; (w = next_word(&list)).n;)
        if (sc_str_eq_nocase(w, word))
            return true;
    return false;
}

/* "group" of "group=128", with what follows; a word without '=' has no value. */
static bool split_value(struct sc_str text, struct sc_str *word, struct sc_str *value)
{
    const char *sign = text.n ? memchr(text.p, '=', text.n) : NULL;
    *word = sign ? sc_str(text.p, (size_t)(sign - text.p)) : text;
    *value = sign ? sc_str(sign + 1, text.n - word->n - 1) : sc_str("", 0);
    return sign != NULL;
}

static const struct setting *find_setting(const struct sc_encoding_info *info, struct sc_str text)
{
    struct sc_str word, value, own, unused;
    const bool valued = split_value(text, &word, &value);
    for (size_t i = 0; i < SC_COUNT(settings); i++) {
        const struct sc_str as_written = sc_strz(settings[i].word);
        if (split_value(as_written, &own, &unused) == valued && sc_str_eq_nocase(own, word) &&
            has_word(info->settings, as_written))
            return &settings[i];
    }
    return NULL;
}

/* A plain decimal number from 0 on, as strtof() reads it in the C locale. */
static bool parse_float(struct sc_str s, float *out)
{
    char text[48], *end;
    if (s.n == 0 || s.n >= sizeof text || !((s.p[0] >= '0' && s.p[0] <= '9') || s.p[0] == '.'))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("0123456789.eE+-", s.p[i]) || !s.p[i])
            return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *out = strtof(text, &end);
    return *end == '\0';
}

/* What stands in messages: the settings of a format as words. */
static int refuse(const struct sc_encoding_info *info, struct sc_error *e, struct sc_str text,
                  const char *why)
{
    struct sc_quoted q;
    if (!info->settings)
        return sc_fail(e, SCRUPLE_EUSAGE, "%s takes no settings, but \"%s\" follows", info->name,
                       sc_quote(&q, text));
    return sc_fail(e, SCRUPLE_EUSAGE, "%s: \"%s\" %s; it takes: %s", info->name, sc_quote(&q, text),
                   why, info->settings);
}

static bool parse_scale(struct sc_str s, uint8_t *out)
{
    for (size_t i = 0; i < SC_COUNT(scales); i++)
        if (sc_str_eq_nocase(s, sc_strz(scales[i].word))) {
            *out = scales[i].element;
            return true;
        }
    return false;
}

static int apply_value(const struct sc_encoding_info *info, struct sc_encoding *f,
                       const struct setting *s, struct sc_str text, struct sc_error *e)
{
    struct sc_str word, value;
    uint64_t n;
    float x;
    if (!split_value(text, &word, &value))
        return 0;
    if (s->kind == KIND_FLOOR) {
        if (!parse_float(value, &x) || !(x >= 0 && x <= 448))
            return refuse(info, e, text, "is no scale from 0 to 448");
        f->floor = x;
    } else if (s->kind == KIND_SCALE) {
        if (!parse_scale(value, &f->scale))
            return refuse(info, e, text, "is not f32, f16 or bf16");
    } else {
        if (!sc_str_u64(value, &n) || n < LEAST_GROUP || n > MOST_GROUP)
            return refuse(info, e, text, "is no number of values from 8 to 4096");
        f->unit = (uint32_t)n;
    }
    return 0;
}

static int apply(const struct sc_encoding_info *info, struct sc_encoding *f, struct sc_str text,
                 unsigned *seen, struct sc_error *e)
{
    const struct setting *s = find_setting(info, text);
    if (!s)
        return refuse(info, e, text, text.n ? "is no setting of this format" : "is empty");
    if (*seen & 1U << s->kind)
        return refuse(info, e, text, "is one too many of its kind");
    *seen |= 1U << s->kind;
    switch (s->kind) {
    case KIND_RULE:
        f->rule = s->value;
        break;
    case KIND_GRAIN:
        f->over = s->value;
        break;
    case KIND_AFFINE:
        f->affine = true;
        break;
    case KIND_CLIP:
        f->clip = true;
        break;
    case KIND_OVER:
        f->saturate = false;
        break;
    case KIND_FLOOR:
    case KIND_SCALE:
        break;
    }
    return apply_value(info, f, s, text, e);
}

/* ----------------------------------------------------------------------------------- names --- */
static struct sc_encoding base_of(const struct sc_encoding_info *info)
{
    struct sc_encoding f = {
        .scheme = info->scheme,
        .element = info->element,
        .bits = info->bits,
        .unit = info->unit,
        .codec = info->codec ? sc_codec_find(sc_strz(info->codec)) : SC_OPAQUE,
        /* Only small floats can be told otherwise: BF16 and F16 have an infinity. */
        .saturate = info->scheme == SC_SCHEME_CAST && info->settings,
    };
    if (info->scheme == SC_SCHEME_INT)
        f.over = SC_OVER_LINE;
    if (info->scheme == SC_SCHEME_NVFP4) {
        f.over = SC_OVER_TENSOR;
        f.floor = NVFP4_FLOOR;
    }
    return f;
}

/* Steps of groups are halves, as in checkpoints; those of rows and tensors cost next to nothing. */
static uint8_t usual_scale(const struct sc_encoding *f)
{
    if (f->scheme != SC_SCHEME_INT)
        return SC_ELEMENT_NONE;
    return f->over == SC_OVER_NOTHING ? SC_ELEMENT_F16 : SC_ELEMENT_F32;
}

/* Appends to the name, which has room for every combination of settings (a test tries them). */
static void add(struct sc_encoding *f, char *separator, const char *word)
{
    const size_t n = strlen(f->name);
    snprintf(f->name + n, sizeof f->name - n, "%c%s", *separator, word);
    *separator = ',';
}

static void add_rule(struct sc_encoding *f, char *separator)
{
    for (size_t i = 0; i < SC_COUNT(settings); i++)
        if (f->rule != SC_RULE_FLOOR && settings[i].kind == KIND_RULE &&
            settings[i].value == f->rule)
            add(f, separator, settings[i].word);
}

static void put_name(const struct sc_encoding_info *info, struct sc_encoding *f)
{
    const struct sc_encoding base = base_of(info);
    char separator = ':', number[32];
    snprintf(f->name, sizeof f->name, "%s", info->name);
    add_rule(f, &separator);
    if (f->unit != base.unit) {
        snprintf(number, sizeof number, "%s=%u", f->scheme == SC_SCHEME_LEVELS ? "block" : "group",
                 (unsigned)f->unit);
        add(f, &separator, number);
    }
    if (f->over != base.over && f->over == SC_OVER_TENSOR)
        add(f, &separator, "tensor");
    if (f->affine)
        add(f, &separator, "affine");
    if (f->clip)
        add(f, &separator, "clip");
    for (size_t i = 0; i < SC_COUNT(scales); i++)
        if (f->scale != usual_scale(f) && f->scale == scales[i].element) {
            snprintf(number, sizeof number, "scale=%s", scales[i].word);
            add(f, &separator, number);
        }
    if (f->saturate != base.saturate)
        add(f, &separator, "nosat");
    if (f->floor < base.floor || f->floor > base.floor) {
        snprintf(number, sizeof number, "floor=%.9g", (double)f->floor);
        add(f, &separator, number);
    }
    separator = '.';
    if (f->other_axis)
        add(f, &separator, "T");
}

static const struct sc_encoding_info *find_name(struct sc_str name)
{
    for (size_t i = 0; i < sc_n_encodings; i++)
        if (sc_str_eq_nocase(name, sc_strz(sc_encodings[i].name)) ||
            has_word(sc_encodings[i].alias, name))
            return &sc_encodings[i];
    return NULL;
}

/* Letters of any case are the same ones; an alias leads to the name. */
static int no_such_name(struct sc_str name, struct sc_error *e)
{
    struct sc_quoted q;
    char lower[32];
    const char *best = NULL;
    unsigned least = (name.n < 4 ? 1 : 2) + 1;
    const size_t n = SC_MIN(name.n, sizeof lower);
    for (size_t i = 0; i < n; i++)
        lower[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
    for (size_t i = 0; i < sc_n_encodings; i++) {
        const char *aliases = sc_encodings[i].alias;
        for (struct sc_str w = sc_strz(sc_encodings[i].name); w.n; w = next_word(&aliases)) {
            const unsigned d = sc_edit_distance(sc_str(lower, n), w, least);
            if (d < least) {
                least = d;
                best = sc_encodings[i].name;
            }
        }
    }
    if (name.n == 0)
        return sc_fail(e, SCRUPLE_EUSAGE, "the name of a number format is missing");
    return sc_fail(e, SCRUPLE_EUSAGE, "there is no number format \"%s\" to put values into%s%s%s",
                   sc_quote(&q, name), best ? " (did you mean " : "", best ? best : "",
                   best ? "?)" : " (scruple formats lists them)");
}

int sc_encoding_parse(struct sc_str text, struct sc_encoding *out, struct sc_error *e)
{
    const struct sc_str whole = text;
    const bool other_axis = text.n >= 2 && text.p[text.n - 2] == '.' &&
                            (text.p[text.n - 1] == 'T' || text.p[text.n - 1] == 't');
    if (other_axis)
        text.n -= 2;
    const char *colon = text.n ? memchr(text.p, ':', text.n) : NULL;
    const struct sc_str name = colon ? sc_str(text.p, (size_t)(colon - text.p)) : text;
    const struct sc_encoding_info *info = find_name(name);
    unsigned seen = 0;
    *out = (struct sc_encoding){0};
    if (!info)
        return no_such_name(name.n ? name : whole.n ? whole : name, e);
    struct sc_encoding f = base_of(info);
    f.other_axis = other_axis;
    for (const char *p = colon; p;) {
        const char *start = p + 1, *end = text.p + text.n;
        p = start < end ? memchr(start, ',', (size_t)(end - start)) : NULL;
        TRY(apply(info, &f, sc_str(start, (size_t)((p ? p : end) - start)), &seen, e));
    }
    if (f.scale == SC_ELEMENT_NONE)
        f.scale = usual_scale(&f);
    put_name(info, &f);
    *out = f;
    return 0;
}

const struct sc_encoding_info *sc_encoding_info(const struct sc_encoding *f)
{
    return find_name(sc_str(f->name, strcspn(f->name, ":.")));
}

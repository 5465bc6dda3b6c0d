/* SPDX-License-Identifier: Apache-2.0 */
/* load_stages: normalizers, pre-tokenizers, post-processors and decoders of tokenizer.json. A
 * `Sequence` inside a sequence is taken apart on a list of ours. What is not known is refused by
 * name: to leave it out would give other ids. */
#include "text/load_stages.h"

#include <stdlib.h>
#include <string.h>

bool sc_json_flag(const json_t *o, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

struct sc_str sc_json_text(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_string(v) ? sc_str(json_string_value(v), json_string_length(v))
                             : sc_str(NULL, 0);
}

static int refuse(const struct sc_load *l, const char *what, const json_t *value)
{
    const struct sc_str type = sc_json_text(value, "type");
    struct sc_quoted q;
    return sc_fail(l->e, SCRUPLE_EUNSUPPORTED, "the %s \"%s\" is not supported", what,
                   sc_quote(&q, type.p ? type : SC_STR("?")));
}

static int wrong(const struct sc_load *l, const char *type, const char *why)
{
    return sc_fail(l->e, SCRUPLE_EFORMAT, "%s: %s", type, why);
}

/* Calls f for each value of a tree of Sequences, in order. */
static int each(const struct sc_load *l, const char *what, const char *list, const json_t *value,
                int (*f)(const struct sc_load *l, const json_t *value, struct sc_str type))
{
    const json_t *stack[SC_MAX_STAGES * 4];
    size_t depth = 0;
    if (!value || json_is_null(value))
        return 0;
    stack[depth++] = value;
    while (depth) {
        const json_t *v = stack[--depth];
        const struct sc_str type = sc_json_text(v, "type");
        if (!type.p || !sc_str_is(type, "Sequence")) {
            TRY(type.p ? f(l, v, type) : refuse(l, what, v));
            continue;
        }
        const json_t *items = json_object_get(v, list);
        const size_t n = json_array_size(items);
        if (!json_is_array(items) || depth + n > SC_COUNT(stack))
            return sc_fail(l->e, SCRUPLE_EFORMAT,
                           "a Sequence of a %s has no list of them, or a too long one", what);
        for (size_t i = n; i-- > 0;)
            stack[depth++] = json_array_get(items, i);
    }
    return 0;
}

/* {"String": ".."} or {"Regex": ".."}, or a text. A text is a literal. */
static int pattern(const struct sc_load *l, const json_t *value, struct sc_str *literal,
                   struct sc_regex *regex)
{
    const json_t *p = json_object_get(value, "pattern");
    const struct sc_str text = json_is_string(p)
                                   ? sc_str(json_string_value(p), json_string_length(p))
                                   : sc_json_text(p, "String");
    const struct sc_str expression = sc_json_text(p, "Regex");
    if (expression.p)
        return sc_regex_compile(expression, regex, l->e);
    if (!text.p)
        return wrong(l, "a pattern", "it is neither a text nor a regular expression");
    if (literal)
        return sc_load_keep(l, text, literal);
    return sc_regex_literal(text, regex, l->e);
}

/* --------------------------------------------------------------------------------- normalizers ---
 */
static int base64(const struct sc_load *l, struct sc_str s, uint8_t **out, size_t *n)
{
    uint32_t bits = 0, held = 0;
    uint8_t *p = sc_alloc(s.n / 4 * 3 + 3);
    *n = 0;
    *out = p;
    if (!p)
        return sc_fail_memory(l->e);
    for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
        const char c = s.p[i];
        const int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
        if (v < 0)
            return wrong(l, "Precompiled", "its charsmap is not Base64");
        held = held << 6 | (uint32_t)v;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            p[(*n)++] = (uint8_t)(held >> bits);
        }
    }
    return 0;
}

static int charsmap(const struct sc_load *l, const json_t *value)
{
    const struct sc_str text = sc_json_text(value, "precompiled_charsmap");
    uint8_t *bytes = NULL;
    size_t n;
    if (!text.p || !text.n)
        return 0;
    struct sc_norm_step *step = sc_load_norm(l, SC_NORM_CHARSMAP);
    if (!step)
        return SCRUPLE_ELIMIT;
    int code = base64(l, text, &bytes, &n);
    if (code == 0)
        code = sc_load_charsmap(l, bytes, n, step);
    free(bytes);
    return code;
}

static int bert(const struct sc_load *l, const json_t *value)
{
    struct sc_norm_step *step = sc_load_norm(l, SC_NORM_BERT);
    if (!step)
        return SCRUPLE_ELIMIT;
    step->clean = sc_json_flag(value, "clean_text", true);
    step->chinese = sc_json_flag(value, "handle_chinese_chars", true);
    step->lower = sc_json_flag(value, "lowercase", true);
    step->accents = sc_json_flag(value, "strip_accents", step->lower);
    return 0;
}

static int normalizer(const struct sc_load *l, const json_t *value, struct sc_str type)
{
    static const struct {
        const char *name;
        enum sc_norm_op op;
        enum sc_uc_form form;
    } plain[] = {
        {"NFC", SC_NORM_FORM, SC_UC_NFC},
        {"NFD", SC_NORM_FORM, SC_UC_NFD},
        {"NFKC", SC_NORM_FORM, SC_UC_NFKC},
        {"NFKD", SC_NORM_FORM, SC_UC_NFKD},
        {"Lowercase", SC_NORM_LOWER, 0},
        {"StripAccents", SC_NORM_ACCENTS, 0},
        {"Nmt", SC_NORM_NMT, 0},
        {"Prepend", SC_NORM_PREPEND, 0},
        {"Replace", SC_NORM_REPLACE, 0},
        {"Strip", SC_NORM_STRIP, 0},
    };
    if (sc_str_is(type, "Precompiled"))
        return charsmap(l, value);
    if (sc_str_is(type, "BertNormalizer"))
        return bert(l, value);
    for (size_t i = 0; i < SC_COUNT(plain); i++) {
        if (!sc_str_is(type, plain[i].name))
            continue;
        struct sc_norm_step *step = sc_load_norm(l, plain[i].op);
        if (!step)
            return SCRUPLE_ELIMIT;
        step->form = plain[i].form;
        step->left = sc_json_flag(value, "strip_left", true);
        step->right = sc_json_flag(value, "strip_right", true);
        const struct sc_str content =
            sc_json_text(value, step->op == SC_NORM_PREPEND ? "prepend" : "content");
        TRY(sc_load_keep(l, content, &step->content));
        return step->op == SC_NORM_REPLACE ? pattern(l, value, &step->literal, &step->regex) : 0;
    }
    return refuse(l, "normalizer", value);
}

int sc_load_normalizer(const struct sc_load *l, const json_t *value)
{
    return each(l, "normalizer", "normalizers", value, normalizer);
}

/* ------------------------------------------------------------------------------ pre-tokenizers ---
 */
int sc_load_gpt2_regex(const struct sc_load *l, struct sc_regex *out)
{
    return sc_regex_compile(
        SC_STR(
            "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"),
        out, l->e);
}

static int behaviour(const struct sc_load *l, const json_t *value, enum sc_behaviour otherwise,
                     enum sc_behaviour *out)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const struct sc_str name = sc_json_text(value, "behavior");
    *out = otherwise;
    if (!name.p)
        return 0;
    for (size_t i = 0; i < SC_COUNT(names); i++)
        if (sc_str_is(name, names[i])) {
            *out = (enum sc_behaviour)i;
            return 0;
        }
    return wrong(l, "a pre-tokenizer", "an unknown behavior");
}

static int chars(const struct sc_load *l, enum sc_chars which, enum sc_behaviour how)
{
    struct sc_pre_step *step = sc_load_pre(l, SC_PRE_CHARS);
    if (!step)
        return SCRUPLE_ELIMIT;
    step->chars = which;
    step->behaviour = how;
    return 0;
}

static int split(const struct sc_load *l, const json_t *value)
{
    struct sc_pre_step *step = sc_load_pre(l, SC_PRE_REGEX);
    if (!step)
        return SCRUPLE_ELIMIT;
    step->invert = sc_json_flag(value, "invert", false);
    TRY(behaviour(l, value, SC_ISOLATED, &step->behaviour));
    return pattern(l, value, NULL, &step->regex);
}

static int byte_level(const struct sc_load *l, const json_t *value)
{
    const bool prefix_space = sc_json_flag(value, "add_prefix_space", true);
    const bool split = sc_json_flag(value, "use_regex", true);
    l->t->bytes = true;
    if (!prefix_space && !split)
        return 0;
    struct sc_pre_step *step = sc_load_pre(l, SC_PRE_BYTES);
    if (!step)
        return SCRUPLE_ELIMIT;
    step->prefix_space = prefix_space;
    step->split = split;
    return step->split ? sc_load_gpt2_regex(l, &step->regex) : 0;
}

static int metaspace(const struct sc_load *l, const json_t *value)
{
    struct sc_pre_step *step = sc_load_pre(l, SC_PRE_METASPACE);
    const struct sc_str scheme = sc_json_text(value, "prepend_scheme");
    struct sc_str replacement = sc_json_text(value, "replacement");
    if (!step)
        return SCRUPLE_ELIMIT;
    if (!replacement.p || !replacement.n)
        replacement = SC_STR(SC_BLANK_MARK);
    if (sc_uc_next(replacement.p, &step->one) != replacement.n)
        return wrong(l, "Metaspace", "its replacement is not one character");
    step->split = sc_json_flag(value, "split", true);
    /* Older files say add_prefix_space, which is "always" or "never". */
    step->prepend =
        sc_json_flag(value, "add_prefix_space", true) ? SC_PREPEND_ALWAYS : SC_PREPEND_NEVER;
    if (scheme.p)
        step->prepend = sc_str_is(scheme, "first")   ? SC_PREPEND_FIRST
                        : sc_str_is(scheme, "never") ? SC_PREPEND_NEVER
                                                     : SC_PREPEND_ALWAYS;
    return sc_load_keep(l, replacement, &step->replacement);
}

static int char_delimiter(const struct sc_load *l, const json_t *value)
{
    const struct sc_str c = sc_json_text(value, "delimiter");
    TRY(chars(l, SC_CHARS_ONE, SC_REMOVED));
    uint32_t *one = &l->t->pre[l->t->n_pre - 1].one;
    return c.p && c.n && sc_uc_next(c.p, one) == c.n
               ? 0
               : wrong(l, "CharDelimiterSplit", "no delimiter");
}

static int pretokenizer(const struct sc_load *l, const json_t *value, struct sc_str type)
{
    enum sc_behaviour how;
    if (l->t->bytes) { /* what follows sees the byte alphabet, and so does the model then */
        if (sc_str_is(type, "ByteLevel"))
            return sc_fail(l->e, SCRUPLE_EUNSUPPORTED,
                           "a ByteLevel after another is not supported");
        if (!sc_load_pre(l, SC_PRE_SPELL))
            return SCRUPLE_ELIMIT;
        l->t->bytes = false;
    }
    if (sc_str_is(type, "ByteLevel"))
        return byte_level(l, value);
    if (sc_str_is(type, "Split"))
        return split(l, value);
    if (sc_str_is(type, "Metaspace"))
        return metaspace(l, value);
    if (sc_str_is(type, "WhitespaceSplit"))
        return chars(l, SC_CHARS_SPACE, SC_REMOVED);
    if (sc_str_is(type, "Digits"))
        return chars(l, SC_CHARS_NUMBER,
                     sc_json_flag(value, "individual_digits", false) ? SC_ISOLATED : SC_CONTIGUOUS);
    if (sc_str_is(type, "CharDelimiterSplit"))
        return char_delimiter(l, value);
    if (sc_str_is(type, "Punctuation")) {
        TRY(behaviour(l, value, SC_ISOLATED, &how));
        return chars(l, SC_CHARS_PUNCT, how);
    }
    if (sc_str_is(type, "BertPreTokenizer")) {
        TRY(chars(l, SC_CHARS_SPACE, SC_REMOVED));
        return chars(l, SC_CHARS_PUNCT, SC_ISOLATED);
    }
    if (sc_str_is(type, "Whitespace")) {
        /* The engine behind this one counts the zero-width joiners as letters, and no superscripts.
         */
        static const char words[] = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d]+|"
                                    "[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d\\s]+";
        struct sc_pre_step *step = sc_load_pre(l, SC_PRE_REGEX);
        if (!step)
            return SCRUPLE_ELIMIT;
        step->invert = true;
        step->behaviour = SC_REMOVED;
        return sc_regex_compile(sc_strz(words), &step->regex, l->e);
    }
    return refuse(l, "pre-tokenizer", value);
}

int sc_load_pretokenizer(const struct sc_load *l, const json_t *value)
{
    return each(l, "pre-tokenizer", "pretokenizers", value, pretokenizer);
}

/* ----------------------------------------------------------------------------- post-processors ---
 */
static int trim(const struct sc_load *l, const json_t *value)
{
    if (!sc_json_flag(value, "trim_offsets", true))
        return 0;
    struct sc_post_step *step = sc_load_post(l, SC_POST_TRIM);
    if (!step)
        return SCRUPLE_ELIMIT;
    step->prefix_space = sc_json_flag(value, "add_prefix_space", true);
    return 0;
}

/* ["[SEP]", 102] */
static int pair_id(const struct sc_load *l, const json_t *value, const char *key, uint32_t *id)
{
    const json_t *v = json_array_get(json_object_get(value, key), 1);
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= SC_MAX_TOKENS)
        return wrong(l, "a post-processor", "a special token without an id");
    *id = (uint32_t)json_integer_value(v);
    return 0;
}

static int around(const struct sc_load *l, const json_t *value, bool roberta)
{
    uint32_t cls, sep;
    if (roberta)
        TRY(trim(l, value));
    TRY(pair_id(l, value, "cls", &cls));
    TRY(pair_id(l, value, "sep", &sep));
    struct sc_post_step *step = sc_load_post(l, SC_POST_TEMPLATE);
    if (!step)
        return SCRUPLE_ELIMIT;
    TRY(sc_load_ids(l, &step->before, &step->n_before, cls));
    return sc_load_ids(l, &step->after, &step->n_after, sep);
}

static int template_token(const struct sc_load *l, const json_t *value, const json_t *token,
                          bool after, struct sc_post_step *step)
{
    const struct sc_str name = sc_json_text(token, "id");
    const json_t *entry =
        name.p ? json_object_get(json_object_get(value, "special_tokens"), name.p) : NULL;
    const json_t *ids = json_object_get(entry, "ids");
    if (!json_is_array(ids))
        return wrong(l, "TemplateProcessing", "a special token without ids");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_int_t id = json_integer_value(json_array_get(ids, i));
        if (id < 0 || id >= SC_MAX_TOKENS)
            return wrong(l, "TemplateProcessing", "an id that is too large");
        TRY(after ? sc_load_ids(l, &step->after, &step->n_after, (uint32_t)id)
                  : sc_load_ids(l, &step->before, &step->n_before, (uint32_t)id));
    }
    return 0;
}

static int template(const struct sc_load *l, const json_t *value)
{
    struct sc_post_step *step = sc_load_post(l, SC_POST_TEMPLATE);
    const json_t *single = json_object_get(value, "single");
    bool after = false;
    if (!step)
        return SCRUPLE_ELIMIT;
    if (!json_is_array(single))
        return wrong(l, "TemplateProcessing", "it has no list `single`");
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        const json_t *token = json_object_get(piece, "SpecialToken");
        if (token)
            TRY(template_token(l, value, token, after, step));
        else if (json_object_get(piece, "Sequence") && !after)
            after = true;
        else
            return wrong(l, "TemplateProcessing",
                         "a part that is neither a special token nor the text, or the text twice");
    }
    return after ? 0 : wrong(l, "TemplateProcessing", "a template without the text");
}

static int postprocessor(const struct sc_load *l, const json_t *value, struct sc_str type)
{
    if (sc_str_is(type, "TemplateProcessing"))
        return template(l, value);
    if (sc_str_is(type, "ByteLevel"))
        return trim(l, value);
    if (sc_str_is(type, "BertProcessing"))
        return around(l, value, false);
    if (sc_str_is(type, "RobertaProcessing"))
        return around(l, value, true);
    return refuse(l, "post-processor", value);
}

int sc_load_postprocessor(const struct sc_load *l, const json_t *value)
{
    return each(l, "post-processor", "processors", value, postprocessor);
}

/* ------------------------------------------------------------------------------------ decoders ---
 */
static int decoder(const struct sc_load *l, const json_t *value, struct sc_str type)
{
    static const struct {
        const char *name;
        enum sc_decode_op op;
    } names[] = {
        {"ByteLevel", SC_DECODE_BYTES},     {"ByteFallback", SC_DECODE_FALLBACK},
        {"Fuse", SC_DECODE_FUSE},           {"Replace", SC_DECODE_REPLACE},
        {"Strip", SC_DECODE_STRIP},         {"Metaspace", SC_DECODE_METASPACE},
        {"WordPiece", SC_DECODE_WORDPIECE}, {"BPEDecoder", SC_DECODE_SUFFIX},
    };
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        if (!sc_str_is(type, names[i].name))
            continue;
        struct sc_decode_step *step = sc_load_decode(l, names[i].op);
        if (!step)
            return SCRUPLE_ELIMIT;
        const char *key = step->op == SC_DECODE_METASPACE   ? "replacement"
                          : step->op == SC_DECODE_WORDPIECE ? "prefix"
                          : step->op == SC_DECODE_SUFFIX    ? "suffix"
                                                            : "content";
        const struct sc_str scheme = sc_json_text(value, "prepend_scheme");
        TRY(sc_load_keep(l, sc_json_text(value, key), &step->content));
        step->cleanup = sc_json_flag(value, "cleanup", true);
        step->prepended =
            scheme.p ? !sc_str_is(scheme, "never") : sc_json_flag(value, "add_prefix_space", true);
        step->left = (uint64_t)SC_MAX(json_integer_value(json_object_get(value, "start")), 0);
        step->right = (uint64_t)SC_MAX(json_integer_value(json_object_get(value, "stop")), 0);
        return step->op == SC_DECODE_REPLACE ? pattern(l, value, NULL, &step->regex) : 0;
    }
    l->t->no_decoder = "it has a part of another kind";
    sc_load_note(l, "a part of the decoder is not known, so tokens cannot be decoded");
    return 0;
}

int sc_load_decoder(const struct sc_load *l, const json_t *value)
{
    return each(l, "decoder", "decoders", value, decoder);
}

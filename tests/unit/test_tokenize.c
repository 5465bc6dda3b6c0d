/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers against what the Rust tokenizers made of the same texts (tests/oracle/tokenize.js),
 * and against files that are broken in every way there is. */
#include "oom.h"
#include "support.h"
#include "test.h"

#include <jansson.h>
#include <pthread.h>

#include "text/text.h"

static struct sc_str text_of(const struct blob *b)
{
    return sc_str((const char *)b->p, b->n);
}

static struct blob data(const char *name)
{
    char path[400];
    snprintf(path, sizeof path, SC_TESTDATA "/tokenize/%s", name);
    return read_blob(path);
}

static struct sc_tokenizer *open_file(const char *folder, const char *name)
{
    char path[800];
    struct sc_error e = {0};
    struct sc_tokenizer *t = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct blob b = read_blob(path);
    if (sc_tokenizer_parse(text_of(&b), sc_str("", 0), NULL, &t, &e) < 0)
        fprintf(stderr, "%s: %s\n", name, e.text);
    free(b.p);
    return t;
}

/* ------------------------------------------------------------------------------------- goldens ---
 */
static bool same_numbers(const json_t *want, const struct sc_tokens *got, size_t member)
{
    if (json_array_size(want) != got->n)
        return false;
    for (size_t i = 0; i < got->n; i++) {
        const uint32_t have = member == 0   ? got->p[i].id
                              : member == 1 ? got->p[i].from
                                            : got->p[i].to;
        if (json_integer_value(json_array_get(want, i)) != have)
            return false;
    }
    return true;
}

static struct sc_str member(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return sc_str(json_string_value(v), json_string_length(v));
}

static bool check_case(const struct sc_tokenizer *t, struct sc_encoder *en, const json_t *want)
{
    struct sc_tokens got = {0};
    struct sc_buf decoded = {0};
    struct sc_error e = {0};
    uint32_t *ids = NULL;
    const struct sc_str text = member(want, "text");
    bool good = sc_encode(en, text, true, &got, &e) == 0 &&
                same_numbers(json_object_get(want, "ids"), &got, 0);

    if (good) {
        good = same_numbers(json_object_get(want, "from"), &got, 1) &&
               same_numbers(json_object_get(want, "to"), &got, 2);
        ids = calloc(got.n + 1, sizeof *ids);
        for (size_t i = 0; i < got.n; i++)
            ids[i] = got.p[i].id;
        CHECK(sc_decode(t, ids, got.n, false, &decoded, &e) == 0);
        good &= sc_str_eq(sc_str(decoded.p ? decoded.p : "", decoded.n), member(want, "decoded"));
    }
    if (!good) {
        fprintf(stderr, "%s: %s\n  text %s\n  got ",
                json_string_value(json_object_get(want, "tokenizer")), e.text,
                json_string_value(json_object_get(want, "text")));
        for (size_t i = 0; i < got.n; i++)
            fprintf(stderr, " %u[%u,%u]", got.p[i].id, got.p[i].from, got.p[i].to);
        char *dump = json_dumps(want, JSON_COMPACT);
        fprintf(stderr, "\n  \"%s\"\n  want %s\n", decoded.p ? decoded.p : "", dump);
        free(dump);
    }
    free(ids);
    sc_buf_clear(&decoded);
    sc_tokens_clear(&got);
    return good;
}

/* Lines of JSON, grouped by tokenizer. */
static size_t check_goldens(const char *folder, const char *path)
{
    struct blob b = read_blob(path);
    struct sc_tokenizer *t = NULL;
    struct sc_encoder *en = NULL;
    struct sc_error e;
    char name[200] = "";
    size_t n = 0, bad = 0;

    for (const char *p = (const char *)b.p, *end = p + b.n; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        const size_t length = (size_t)((nl ? nl : end) - p);
        json_t *line = json_loadb(p, length, JSON_ALLOW_NUL, NULL);
        if (!line)
            support_fail("a line of goldens is no JSON");
        if (strcmp(json_string_value(json_object_get(line, "tokenizer")), name) != 0) {
            sc_encoder_free(en);
            sc_tokenizer_close(t);
            snprintf(name, sizeof name, "%s",
                     json_string_value(json_object_get(line, "tokenizer")));
            t = open_file(folder, name);
            if (!t || sc_encoder_new(t, &en, &e) < 0)
                support_fail(name);
        }
        bad += !check_case(t, en, line);
        CHECK(bad < 5);
        if (bad == 5)
            exit(1);
        json_decref(line);
        n++;
        p += length + 1;
    }
    sc_encoder_free(en);
    sc_tokenizer_close(t);
    free(b.p);
    CHECK_U64(bad, 0);
    return n;
}

TEST(ids_offsets_and_decoded_text_are_those_of_the_rust_tokenizers)
{
    CHECK(check_goldens(SC_TESTDATA "/tokenize", SC_TESTDATA "/tokenize/golden.jsonl") >= 400);
}

/* tests/py/test_tokenize.py has the library make a great many of these. */
TEST(more_cases_when_they_are_given)
{
    const char *folder = getenv("SCRUPLE_TOKENIZE_FOLDER"),
               *cases = getenv("SCRUPLE_TOKENIZE_CASES");
    if (!folder || !cases)
        return;
    printf("%zu cases\n", check_goldens(folder, cases));
}

/* ---------------------------------------------------------------------------------- properties ---
 */
static const char *const names[] = {"gpt2.json",   "llama3.json", "qwen2.json", "o200k.json",
                                    "falcon.json", "llama2.json", "gemma.json", "clip.json",
                                    "bert.json",   "words.json",  "t5.json",    "xlmr.json"};

static uint32_t *encode_ids(struct sc_encoder *en, struct sc_str text, size_t *n)
{
    struct sc_tokens got = {0};
    struct sc_error e = {0};
    CHECK(sc_encode(en, text, false, &got, &e) == 0);
    uint32_t *ids = calloc(got.n + 1, sizeof *ids);
    for (size_t i = 0; i < got.n; i++) {
        CHECK(got.p[i].from <= got.p[i].to && got.p[i].to <= text.n);
        ids[i] = got.p[i].id;
    }
    *n = got.n;
    sc_tokens_clear(&got);
    return ids;
}

TEST(byte_level_tokens_give_the_text_back)
{
    struct sc_tokenizer *t = open_file(SC_TESTDATA "/tokenize", "gpt2.json");
    struct sc_encoder *en;
    struct sc_error e;
    REQUIRE(t && sc_encoder_new(t, &en, &e) == 0);
    struct blob b = data("golden.jsonl");
    struct sc_buf back = {0};
    size_t n;
    uint32_t *ids = encode_ids(en, text_of(&b), &n);
    CHECK(sc_decode(t, ids, n, true, &back, &e) == 0);
    CHECK(sc_str_eq(text_of(&b), sc_str(back.p, back.n)));
    sc_buf_clear(&back);
    free(ids);
    free(b.p);
    sc_encoder_free(en);
    sc_tokenizer_close(t);
}

/* A word that fits the cache twice, one that does not, words that share a place. */
TEST(the_cache_changes_nothing)
{
    for (size_t k = 0; k < SC_COUNT(names); k++) {
        struct sc_tokenizer *t = open_file(SC_TESTDATA "/tokenize", names[k]);
        struct sc_encoder *used, *fresh;
        struct sc_error e;
        REQUIRE(t && sc_encoder_new(t, &used, &e) == 0);
        for (unsigned i = 0; i < 3000; i++) {
            char text[64];
            size_t n, m;
            snprintf(text, sizeof text, " %.*s%u the weights", (int)(i % 23),
                     "abcdefghijklmnopqrstuvw", i * 7 % 1000);
            uint32_t *a = encode_ids(used, sc_strz(text), &n);
            if (i % 50 == 0) {
                REQUIRE(sc_encoder_new(t, &fresh, &e) == 0);
                uint32_t *b = encode_ids(fresh, sc_strz(text), &m);
                CHECK_U64(n, m);
                CHECK(n != m || memcmp(a, b, n * sizeof *a) == 0);
                free(b);
                sc_encoder_free(fresh);
            }
            free(a);
        }
        sc_encoder_free(used);
        sc_tokenizer_close(t);
    }
}

TEST(bytes_that_are_no_utf8_count_as_replacement_characters)
{
    struct sc_tokenizer *t = open_file(SC_TESTDATA "/tokenize", "gpt2.json");
    struct sc_encoder *en;
    struct sc_error e;
    struct sc_tokens got = {0};
    size_t n, m;
    REQUIRE(t && sc_encoder_new(t, &en, &e) == 0);
    /* E2 82 begins a character and is one part; FF is one; ED A0 80 (a surrogate) are three. */
    uint32_t *a = encode_ids(en, sc_str("a\xe2\x82z\xff\xed\xa0\x80", 8), &n);
    uint32_t *b = encode_ids(
        en, SC_STR("a\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"), &m);
    CHECK_U64(n, m);
    CHECK(n != m || memcmp(a, b, n * sizeof *a) == 0);
    CHECK(sc_encode(en, sc_str("a\xe2\x82z", 4), false, &got, &e) == 0);
    CHECK_U64(got.p[1].from, 1);
    CHECK_U64(got.p[1].to, 3);
    CHECK_U64(got.p[got.n - 1].from, 3);
    free(a);
    free(b);
    sc_tokens_clear(&got);
    sc_encoder_free(en);
    sc_tokenizer_close(t);
}

struct shared {
    const struct sc_tokenizer *t;
    struct sc_str text;
    uint64_t hash;
};

static void *encode_in_thread(void *ctx)
{
    struct shared *s = ctx;
    struct sc_encoder *en;
    struct sc_error e;
    size_t n;
    if (sc_encoder_new(s->t, &en, &e) < 0)
        return NULL;
    uint32_t *ids = encode_ids(en, s->text, &n);
    s->hash = sc_hash(ids, n * sizeof *ids);
    free(ids);
    sc_encoder_free(en);
    return NULL;
}

TEST(threads_share_a_tokenizer)
{
    struct blob b = data("golden.jsonl");
    for (size_t k = 0; k < SC_COUNT(names); k++) {
        struct sc_tokenizer *t = open_file(SC_TESTDATA "/tokenize", names[k]);
        struct shared s[4];
        pthread_t threads[4];
        REQUIRE(t);
        for (size_t i = 0; i < 4; i++) {
            s[i] = (struct shared){t, sc_str((const char *)b.p, SC_MIN(b.n, 20000)), 0};
            REQUIRE(pthread_create(&threads[i], NULL, encode_in_thread, &s[i]) == 0);
        }
        for (size_t i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        CHECK(s[0].hash && s[0].hash == s[1].hash && s[0].hash == s[2].hash &&
              s[0].hash == s[3].hash);
        sc_tokenizer_close(t);
    }
    free(b.p);
}

/* n log n, whatever the text: these would take minutes with anything quadratic. */
TEST(long_words_take_no_quadratic_time)
{
    static const char *const patterns[] = {"a",   "ab",        " ", "!", "\n ", "\xe2\x96\x81",
                                           "the", "e\xcc\x81", "1"};
    enum { LENGTH = 60000 };
    char *text = malloc(LENGTH + 8);
    for (size_t k = 0; k < SC_COUNT(names); k++) {
        struct sc_tokenizer *t = open_file(SC_TESTDATA "/tokenize", names[k]);
        struct sc_encoder *en;
        struct sc_error e;
        REQUIRE(t && sc_encoder_new(t, &en, &e) == 0);
        for (size_t i = 0; i < SC_COUNT(patterns); i++) {
            const size_t n = strlen(patterns[i]);
            for (size_t at = 0; at < LENGTH; at += n)
                memcpy(text + at, patterns[i], n);
            size_t m;
            free(encode_ids(en, sc_str(text, LENGTH / n * n), &m));
        }
        sc_encoder_free(en);
        sc_tokenizer_close(t);
    }
    free(text);
}

/* --------------------------------------------------------------------------------- broken files
 * --- */
/* 0 or an error with a sentence; whatever opens encodes. */
static int try_text(struct sc_str json)
{
    struct sc_error e = {0};
    struct sc_tokenizer *t = NULL;
    struct sc_encoder *en = NULL;
    struct sc_tokens got = {0};
    const int code = sc_tokenizer_parse(json, sc_str("", 0), NULL, &t, &e);
    if (code < 0) {
        CHECK(e.text[0] != 0 && e.code == code);
        return code;
    }
    if (sc_encoder_new(t, &en, &e) == 0 &&
        sc_encode(en, SC_STR("the a\xcc\x81 12 \xef\xac\x81[MASK]"), true, &got, &e) == 0)
        for (size_t i = 0; i < got.n; i++)
            CHECK(got.p[i].to <= 20);
    sc_tokens_clear(&got);
    sc_encoder_free(en);
    sc_tokenizer_close(t);
    return 0;
}

TEST(a_file_cut_anywhere_is_refused)
{
    static const char *const small[] = {"words.json"};
    for (size_t k = 0; k < SC_COUNT(small); k++) {
        struct blob b = data(small[k]);
        while (b.n && b.p[b.n - 1] == '\n')
            b.n--;
        for (size_t n = 0; n < b.n; n++) {
            char *exact = malloc(n + 1); /* so that a sanitizer sees a read beyond */
            memcpy(exact, b.p, n);
            CHECK(try_text(sc_str(exact, n)) < 0);
            free(exact);
        }
        CHECK(try_text(text_of(&b)) == 0);
        free(b.p);
    }
}

static const char tiny[] =
    "{\"added_tokens\":[{\"id\":5,\"content\":\"<s>\",\"special\":true},{\"content\":\"A\","
    "\"special\":false}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},{\"type\":"
    "\"Prepend\",\"prepend\":\"x\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"_\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"_|[^_]+\"},\"behavior\":"
    "\"Isolated\"},"
    "\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"<s>\",5],\"sep\":[\"<s>\",5]},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":"
    "\"Fuse\"}]},"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\",\"vocab\":{\"u\":0,\"x\":1,\"_\":2,\"xx\":3,"
    "\"a\":4},"
    "\"merges\":[[\"x\",\"x\"]]}}";

TEST(a_file_with_any_byte_changed_is_refused_or_works)
{
    static const uint8_t other[] = {0, '"', '[', '0', '9', 0xFF};
    struct blob words = data("words.json"), clip = data("clip.json");
    struct blob copy = blob_new(sizeof tiny - 1);
    memcpy(copy.p, tiny, copy.n);
    const struct blob files[] = {copy, words, clip};
    for (size_t k = 0; k < SC_COUNT(files); k++)
        for (size_t i = 0; i < files[k].n;
             i += k ? 5 : 1) { /* the larger ones have expressions, which take time */
            const uint8_t was = files[k].p[i];
            for (size_t m = 0; m < (k ? 1 : SC_COUNT(other)); m++) {
                files[k].p[i] = other[k ? i % SC_COUNT(other) : m];
                try_text(text_of(&files[k]));
            }
            files[k].p[i] = was;
        }
    for (size_t k = 0; k < SC_COUNT(files); k++)
        free(files[k].p);
}

static int try_parts(const char *normalizer, const char *pre, const char *model)
{
    char json[4096];
    snprintf(json, sizeof json, "{\"normalizer\":%s,\"pre_tokenizer\":%s,\"model\":%s}", normalizer,
             pre, model);
    return try_text(sc_strz(json));
}

TEST(what_is_not_known_is_refused_by_name)
{
    static const char model[] = "{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"}";
    CHECK(try_parts("null", "null", model) == 0);
    CHECK_ERR(SCRUPLE_EUNSUPPORTED, try_parts("{\"type\":\"Fancy\"}", "null", model));
    CHECK_ERR(SCRUPLE_EUNSUPPORTED, try_parts("null", "{\"type\":\"UnicodeScripts\"}", model));
    CHECK_ERR(SCRUPLE_EUNSUPPORTED, try_parts("null", "null", "{\"type\":\"Fancy\",\"vocab\":{}}"));
    CHECK_ERR(
        SCRUPLE_EUNSUPPORTED,
        try_parts(
            "null",
            "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a)\\\\1\"},\"behavior\":\"Isolated\"}",
            model));
    CHECK_ERR(
        SCRUPLE_EFORMAT,
        try_parts("null",
                  "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Sideways\"}",
                  model));
    CHECK_ERR(
        SCRUPLE_EFORMAT,
        try_parts("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"////\"}", "null", model));
    CHECK_ERR(
        SCRUPLE_EFORMAT,
        try_parts("null", "null", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}"));
    CHECK_ERR(
        SCRUPLE_EFORMAT,
        try_parts("null", "null", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]}"));
    CHECK_ERR(SCRUPLE_ELIMIT,
              try_parts("null", "null", "{\"type\":\"WordLevel\",\"vocab\":{\"a\":4194304}}"));
    CHECK_ERR(
        SCRUPLE_EFORMAT,
        try_parts("null", "null", "{\"type\":\"Unigram\",\"vocab\":[[\"a\",1]],\"unk_id\":1}"));
}

static int run_all(struct sc_str json)
{
    struct sc_error e = {0};
    struct sc_tokenizer *t = NULL;
    struct sc_encoder *en = NULL;
    struct sc_tokens got = {0};
    struct sc_buf decoded = {0};
    int code = sc_tokenizer_parse(json, sc_str("", 0), NULL, &t, &e);
    if (code == 0)
        code = sc_encoder_new(t, &en, &e);
    if (code == 0)
        code = sc_encode(
            en, SC_STR("The xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx a\xcc\x81 12 \xef\xac\x81 \xff"), true,
            &got, &e);
    if (code == 0)
        code = sc_decode(t, (const uint32_t[]){1, 2, 3}, 3, true, &decoded, &e);
    sc_buf_clear(&decoded);
    sc_tokens_clear(&got);
    sc_encoder_free(en);
    sc_tokenizer_close(t);
    return code;
}

/* jansson 2.14 frees what it must not when memory ends inside a text of more than 16 bytes, so it
 * has enough (as in test_oom.c). */
void *
__real_malloc(size_t n); /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

TEST(every_allocation_may_fail)
{
    struct blob b = data("words.json");
    const struct sc_str files[] = {text_of(&b), SC_STR(tiny)};
    for (size_t i = 0; i < SC_COUNT(files); i++)
        for (uint64_t k = 0;; k++) {
            sc_oom_fail_at(k);
            json_set_alloc_funcs(__real_malloc, free);
            const int code = run_all(files[i]);
            const bool reached = sc_oom_failed() > 0;
            sc_oom_off();
            if (!reached) {
                CHECK_U64((uint64_t)code, 0);
                break;
            }
            if (code != 0) /* qsort does without memory */
                CHECK_ERR(SCRUPLE_EMEMORY, code);
        }
    free(b.p);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* json: our scanner against jansson, which is strict too. What one accepts the other accepts, but
 * for limits that one of them alone has; strings come out equal; numbers come out exact. */
#include "fuzz.h"

#include <jansson.h>

/* Refused by jansson alone: numbers that no double holds, NUL in keys. */
static bool only_jansson(const json_error_t *why)
{
    const enum json_error_code code = json_error_code(why);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key;
}

static bool skip_all(const uint8_t *data, size_t size, struct sc_json *j, struct sc_arena *arena)
{
    sc_json_start(j, (const char *)data, size, arena);
    return sc_json_skip(j) && sc_json_end(j);
}

static void check_value(const uint8_t *data, size_t size, json_t *value)
{
    struct sc_arena arena = {0};
    struct sc_json j;
    struct sc_str s;
    uint64_t n;

    sc_json_start(&j, (const char *)data, size, &arena);
    if (sc_json_string(&j, &s)) {
        FUZZ_CHECK(!value || json_is_string(value));
        FUZZ_CHECK(sc_utf8_valid(s));
        if (value)
            FUZZ_CHECK(sc_str_eq(s, sc_str(json_string_value(value), json_string_length(value))));
    } else {
        FUZZ_CHECK(!json_is_string(value));
    }
    sc_json_start(&j, (const char *)data, size, &arena);
    if (sc_json_u64(&j, &n) && sc_json_end(&j) && n <= INT64_MAX) {
        FUZZ_CHECK(json_is_integer(value));
        FUZZ_CHECK((uint64_t)json_integer_value(value) == n);
    } else if (json_is_integer(value)) {
        /* Ours takes no sign, so "-1" and "-0" are not for it. */
        FUZZ_CHECK(memchr(data, '-', size));
    }
    sc_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sc_arena arena = {0};
    struct sc_json j;
    json_error_t why = {0};
    const bool ours = skip_all(data, size, &j, &arena);
    json_t *value = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);

    if (size && memchr(data, '\0', size)) {
        FUZZ_CHECK(!ours); /* jansson overlooks some */
    } else if (ours) {
        FUZZ_CHECK(!j.problem);
        FUZZ_CHECK(value || only_jansson(&why));
    } else {
        FUZZ_CHECK(j.problem && j.problem[0]);
        FUZZ_CHECK(j.problem_at >= j.start && j.problem_at <= j.end);
        FUZZ_CHECK(!value || strcmp(j.problem, "nested more than 64 deep") == 0);
    }
    if (ours)
        check_value(data, size, value);
    json_decref(value);
    sc_arena_clear(&arena);
    return 0;
}

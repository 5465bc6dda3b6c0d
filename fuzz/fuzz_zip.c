/* SPDX-License-Identifier: Apache-2.0 */
/* zip: the directory, every member unpacked whole and as a stream. */
#include "fuzz.h"

#include "format/zip.h"

#define MEMBER_MAX (UINT64_C(1) << 20)

static bool cut_short(int code)
{
    return code == SCRUPLE_ELIMIT || code == SCRUPLE_EFORMAT;
}

/* What is found under a name is that member, or another one of the same name. */
static void check_lookup(const struct sc_zip *zip)
{
    for (size_t i = 0; i < zip->n; i++) {
        const struct sc_zip_member *m = sc_zip_find(zip, zip->members[i].name);
        FUZZ_CHECK(m >= zip->members && m < zip->members + zip->n);
        FUZZ_CHECK(sc_str_eq(m->name, zip->members[i].name));
        FUZZ_CHECK(zip->by_name[i] < zip->n);
        if (i)
            FUZZ_CHECK(sc_str_cmp(zip->members[zip->by_name[i - 1]].name,
                                  zip->members[zip->by_name[i]].name) <= 0);
    }
}

/* Sound members lie in the file and nowhere on top of each other. */
static void check_places(const struct sc_zip *zip, uint64_t size)
{
    uint64_t end, sum = zip->overhead;

    for (size_t i = 0; i < zip->n; i++) {
        const struct sc_zip_member *m = &zip->members[i];
        if (!m->usable)
            continue;
        FUZZ_CHECK(sc_add(m->data, m->stored, &end) && end <= size);
        FUZZ_CHECK(m->header <= m->data);
        FUZZ_CHECK(m->method == 0 || m->method == 8);
        FUZZ_CHECK(m->method != 0 || m->bytes == m->stored);
        FUZZ_CHECK(sc_add(sum, m->stored, &sum));
    }
    FUZZ_CHECK(sum <= size);
    FUZZ_CHECK(zip->directory_offset <= size && zip->directory_bytes <= size);
}

static void stream_member(struct sc_catalog *c, struct sc_source *s, const struct sc_zip_member *m,
                          const uint8_t *whole, size_t n)
{
    struct sc_zip_stream st = {0};
    struct sc_error e = {0};
    uint8_t piece[777];
    size_t got = sizeof piece, at = 0;
    int code = sc_zip_stream_open(&st, c, 0, s, m, &e);

    while (code == 0 && got == sizeof piece && at < MEMBER_MAX) {
        code = sc_zip_stream_read(&st, piece, sizeof piece, &got, &e);
        if (code < 0)
            break;
        FUZZ_CHECK(got <= sizeof piece);
        if (whole) {
            FUZZ_CHECK(at + got <= n);
            FUZZ_CHECK(got == 0 || memcmp(whole + at, piece, got) == 0);
        }
        at += got;
    }
    if (code == 0 && whole) {
        FUZZ_CHECK(at == n && !st.failed);
        code = sc_zip_stream_check(&st, SC_WARNING, &e);
    }
    if (code < 0)
        fuzz_check_error(code, &e);
    FUZZ_CHECK(code == 0 || cut_short(code));
    sc_zip_stream_close(&st);
}

static void open_zip(const uint8_t *data, size_t size, bool lenient)
{
    const struct sc_open_options o = {.lenient = lenient};
    struct sc_catalog *c = fuzz_catalog("fuzz.zip", size, &o);
    struct sc_arena arena = {0};
    struct sc_zip zip = {0};
    struct sc_source *s;
    struct sc_error e = {0};

    FUZZ_CHECK(sc_memory_open(data, size, "fuzz.zip", &s, NULL) == 0);
    const int code = sc_zip_open(c, 0, s, &arena, &zip, &e);
    if (code < 0)
        fuzz_check_error(code, &e);
    FUZZ_CHECK(code == 0 || !lenient || code == SCRUPLE_ELIMIT);
    if (code == 0) {
        FUZZ_CHECK(lenient || c->n_errors == 0);
        check_lookup(&zip);
        check_places(&zip, size);
    }
    for (size_t i = 0; code == 0 && i < zip.n && i < 16; i++) {
        uint8_t *whole = NULL;
        size_t n = 0;
        if (!zip.members[i].usable)
            continue;
        const int got = sc_zip_read(c, 0, s, &zip.members[i], MEMBER_MAX, &whole, &n, &e);
        FUZZ_CHECK(got == 0 || cut_short(got));
        FUZZ_CHECK(got == 0 || !whole);
        FUZZ_CHECK(!whole || n == zip.members[i].bytes);
        stream_member(c, s, &zip.members[i], whole, n);
        free(whole);
        if (zip.members[i].bytes <= MEMBER_MAX)
            FUZZ_CHECK(sc_zip_verify(c, 0, s, &zip.members[i], &e) == 0 || !lenient);
    }
    fuzz_check_findings(c);
    sc_source_close(s);
    sc_arena_clear(&arena);
    sc_catalog_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sc_source *s;

    FUZZ_CHECK(sc_memory_open(data, size, "fuzz.zip", &s, NULL) == 0);
    (void)sc_zip_has_suffix(s, ".npy");
    (void)sc_zip_has_suffix(s, "data.pkl");
    sc_source_close(s);
    open_zip(data, size, false);
    open_zip(data, size, true);
    return 0;
}

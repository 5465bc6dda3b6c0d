/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer: a tokenizer.json, a byte 0 and a text. Whatever opens encodes the text or says why
 * not; tokens lie in the text, encoding once more gives the same, and every id decodes. */
#include "fuzz.h"

#include "text/text.h"

static void check_text(const struct sc_tokenizer *t, struct sc_encoder *en, struct sc_str text)
{
    struct sc_tokens a = {0}, b = {0};
    struct sc_buf out = {0};
    struct sc_error e = {0};
    const int code = sc_encode(en, text, true, &a, &e);

    FUZZ_CHECK(code == 0 || e.text[0]);
    FUZZ_CHECK(code == sc_encode(en, text, true, &b, &e)); /* now from the cache */
    if (code == 0) {
        FUZZ_CHECK(a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n * sizeof *a.p) == 0));
        for (size_t i = 0; i < a.n; i++) {
            FUZZ_CHECK(a.p[i].from <= text.n && a.p[i].to <= text.n);
            if (sc_tokenizer_piece(t, a.p[i].id).p)
                (void)sc_decode(t, &a.p[i].id, 1, true, &out, &e);
        }
    }
    sc_buf_clear(&out);
    sc_tokens_clear(&a);
    sc_tokens_clear(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    const size_t n = end ? (size_t)(end - data) : size;
    struct sc_tokenizer *t = NULL;
    struct sc_encoder *en = NULL;
    struct sc_error e = {0};

    if (sc_tokenizer_parse(sc_str((const char *)data, n), sc_str("", 0), NULL, &t, &e) < 0) {
        FUZZ_CHECK(e.text[0]);
        return 0;
    }
    if (sc_encoder_new(t, &en, &e) == 0)
        check_text(t, en, end ? sc_str((const char *)end + 1, size - n - 1) : sc_str("", 0));
    sc_encoder_free(en);
    sc_tokenizer_close(t);
    return 0;
}

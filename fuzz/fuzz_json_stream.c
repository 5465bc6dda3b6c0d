/* SPDX-License-Identifier: Apache-2.0 */
/* json_stream: where the window slides. The input is a list of values; a long key in front of the
 * first one moves the end of the first window to a chosen byte, so that any token can be cut there.
 * Scanned through the window or in one piece, the outcome must be the same.
 *
 *   OFFSET  SIZE  DESCRIPTION
 *   0       1     how many bytes of the list lie in the first window
 *   1       ...   the list after the key of its first item: 1}, 2, 3] */
#include "fuzz.h"

#include "format/json_stream.h"

enum { WINDOW = 256 << 10, LIST_MAX = 4096, TAIL = 64 };

struct outcome {
    bool sound;
    uint64_t items;
    uint64_t at; /* where it ended, or what was wrong */
};

static bool scan_item(struct sc_json *j, bool *last)
{
    char c;
    if (!sc_json_skip(j) || !sc_json_peek(j, &c))
        return false;
    *last = c == ']';
    return sc_json_char(j, *last ? ']' : ',', "expected ',' or ']'");
}

static struct outcome in_one_piece(const char *p, size_t n, struct sc_arena *arena)
{
    struct outcome o = {0};
    struct sc_json j;
    bool last = false;

    sc_json_start(&j, p, n, arena);
    o.sound = sc_json_char(&j, '[', "expected '['");
    while (o.sound && !last)
        if ((o.sound = scan_item(&j, &last)))
            o.items++;
    o.at = (uint64_t)((j.problem ? j.problem_at : j.p) - j.start);
    return o;
}

static struct outcome through_window(const char *p, size_t n, struct sc_arena *arena)
{
    struct outcome o = {0};
    struct sc_json_stream st;
    struct sc_source *s;
    struct sc_error e = {0};
    bool last = false;
    int again = 0;

    FUZZ_CHECK(sc_memory_open(p, n, "fuzz.json", &s, NULL) == 0);
    FUZZ_CHECK(sc_json_stream_start(&st, s, 0, n, arena, &e) == 0);
    FUZZ_CHECK(sc_json_stream_fill(&st, &e) == 0);
    o.sound = sc_json_char(&st.json, '[', "expected '['");
    while (o.sound && !last) {
        do {
            FUZZ_CHECK(sc_json_stream_fill(&st, &e) == 0);
            o.sound = scan_item(&st.json, &last);
        } while (!o.sound && (again = sc_json_stream_retry(&st, &e)) > 0);
        FUZZ_CHECK(again >= 0);
        o.items += o.sound;
    }
    o.at = sc_json_stream_at(&st);
    sc_json_stream_clear(&st);
    sc_source_close(s);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char open[] = "[{\"", close[] = "\":";
    static char p[WINDOW + LIST_MAX + TAIL];
    struct sc_arena arena = {0};
    if (size < 2 || size > LIST_MAX)
        return 0;
    const size_t list = size - 1, inside = SC_MIN((size_t)data[0], list);
    const size_t start = WINDOW - inside, n = start + list + TAIL;

    memset(p, 'x', start);
    memcpy(p, open, sizeof open - 1);
    memcpy(p + start - (sizeof close - 1), close, sizeof close - 1);
    memcpy(p + start, data + 1, list);
    memset(p + start + list, ' ', TAIL);
    const struct outcome whole = in_one_piece(p, n, &arena);
    const struct outcome cut = through_window(p, n, &arena);
    FUZZ_CHECK(whole.sound == cut.sound);
    FUZZ_CHECK(whole.items == cut.items);
    FUZZ_CHECK(!whole.sound || whole.at == cut.at);
    sc_arena_clear(&arena);
    return 0;
}

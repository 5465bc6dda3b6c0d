/* SPDX-License-Identifier: Apache-2.0 */
/* json_stream: see the header. The window holds [window_pos, next); scanned bytes in front of the
 * mark are dropped when more is loaded. */
#include "format/json_stream.h"

#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 256 << 10,
    AHEAD = 16 << 10, /* a tensor entry is about 130 bytes; a long name 64 KiB (then: retry) */
};

int sc_json_stream_start(struct sc_json_stream *st, struct sc_source *s, uint64_t pos, uint64_t n,
                         struct sc_arena *arena, struct sc_error *e)
{
    *st = (struct sc_json_stream){
        .source = s, .window_pos = pos, .next = pos, .end = pos + n, .mark = pos};
    st->cap = (size_t)SC_MIN((uint64_t)WINDOW, n);
    st->window = sc_alloc(st->cap);
    if (!st->window)
        return sc_fail_memory(e);
    sc_json_start(&st->json, st->window, 0, arena);
    return 0;
}

void sc_json_stream_clear(struct sc_json_stream *st)
{
    free(st->window);
    st->window = NULL;
}

static uint64_t scan_pos(const struct sc_json_stream *st)
{
    return st->window_pos + (uint64_t)(st->json.p - st->json.start);
}

/* Drop what lies before the mark, then fill the window to its capacity. */
static int load(struct sc_json_stream *st, struct sc_error *e)
{
    const size_t drop = (size_t)(st->mark - st->window_pos);
    const size_t have = (size_t)(st->next - st->mark);
    const size_t ahead = (size_t)(st->json.p - st->json.start) - drop;
    memmove(st->window, st->window + drop, have);
    const size_t want = (size_t)SC_MIN(st->end - st->next, (uint64_t)(st->cap - have));
    if (want)
        TRY(sc_source_read(st->source, st->next, st->window + have, want, e));
    st->window_pos = st->mark;
    st->next += want;
    st->json.start = st->window;
    st->json.p = st->window + ahead;
    st->json.end = st->window + have + want;
    return 0;
}

int sc_json_stream_fill(struct sc_json_stream *st, struct sc_error *e)
{
    st->mark = scan_pos(st);
    if (st->next == st->end || (size_t)(st->json.end - st->json.p) >= AHEAD)
        return 0;
    return load(st, e);
}

int sc_json_stream_retry(struct sc_json_stream *st, struct sc_error *e)
{
    if (st->next == st->end)
        return 0;
    /* A fault well inside the window is a fault of the document. The longest token whose end
     * decides is a \u pair of 12 bytes; an unclosed string is only known at the end. */
    const bool unclosed = strstr(st->json.problem, "not closed") != NULL;
    if (!unclosed && st->json.problem_at && st->json.end - st->json.problem_at > 32)
        return 0;
    st->json.p = st->json.start + (st->mark - st->window_pos);
    if (st->next - st->mark >= st->cap) {
        if (st->cap >= SC_MAX_JSON_ITEM) {
            st->json.problem = "one entry is longer than 16 MiB";
            return 0;
        }
        const size_t cap = SC_MIN(st->cap * 4, SC_MAX_JSON_ITEM);
        char *window = realloc(st->window, cap);
        if (!window)
            return sc_fail_memory(e);
        st->json.p = window + (st->json.p - st->json.start);
        st->json.start = st->window = window;
        st->cap = cap;
    }
    st->json.problem = NULL;
    st->json.problem_at = NULL;
    TRY(load(st, e));
    return 1;
}

uint64_t sc_json_stream_at(const struct sc_json_stream *st)
{
    if (st->json.problem && st->json.problem_at)
        return st->window_pos + (uint64_t)(st->json.problem_at - st->json.start);
    return scan_pos(st);
}

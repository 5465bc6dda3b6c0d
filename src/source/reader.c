/* SPDX-License-Identifier: Apache-2.0 */
/* reader: a window that moves forward over a source.
 *
 *          window_off            pos                 window_off + window_len          end
 *     ---------|##################|############################|----------------------|
 *                given out before          already here               not read yet
 *
 * What is already here is handed out without a call. Otherwise its rest moves to the front of the
 * window and one read fetches what the item lacks, or `chunk` bytes if that is more, but never
 * beyond `end`. */
#include "source/internal.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_MAX ((size_t)1 << 20)
/* One item; no format has one that is as long. Its bytes do exist, but they may be a hole. */
#define TAKE_MAX (UINT64_C(1) << 30)

void sc_reader_start(struct sc_reader *r, struct sc_source *s, uint64_t pos, size_t first_chunk)
{
    *r = (struct sc_reader){
        .source = s,
        .pos = SC_MIN(pos, s->size),
        .end = s->size,
        .chunk = SC_MAX(first_chunk, (size_t)1),
    };
}

void sc_reader_clear(struct sc_reader *r)
{
    free(r->window);
    r->window = NULL;
    r->window_cap = r->window_len = 0;
}

static int fail_long(const struct sc_reader *r, uint64_t n, const char *what, struct sc_error *e)
{
    struct sc_quoted q;
    sc_fail_at(e, SCRUPLE_ELIMIT, r->pos,
               "%s: %s at byte %llu is %llu bytes long; at most %llu are read at once",
               sc_quote_path(&q, r->source->name), what, (unsigned long long)r->pos,
               (unsigned long long)n, (unsigned long long)TAKE_MAX);
    return SCRUPLE_ELIMIT;
}

static int fail_short(const struct sc_reader *r, uint64_t n, const char *what, struct sc_error *e)
{
    struct sc_quoted q;
    const char *hint = r->end == r->source->size ? " (truncated download?)" : "";
    sc_fail_at(e, SCRUPLE_EFORMAT, r->pos,
               "%s: ends inside %s: %llu bytes are needed at byte %llu, but %llu are left%s",
               sc_quote_path(&q, r->source->name), what, (unsigned long long)n,
               (unsigned long long)r->pos, (unsigned long long)sc_reader_left(r), hint);
    return SCRUPLE_EFORMAT;
}

/* Bytes from pos that the window holds; 0 when pos is outside. */
static size_t bytes_here(const struct sc_reader *r)
{
    uint64_t at = r->pos - r->window_off; /* wraps to a huge number when pos is in front */
    return at <= r->window_len ? r->window_len - (size_t)at : 0;
}

/* A window of at least `cap` bytes that begins with the `kept` bytes at pos. */
static int move_window(struct sc_reader *r, size_t kept, size_t cap, struct sc_error *e)
{
    const uint8_t *from = kept ? r->window + (r->pos - r->window_off) : NULL;
    if (cap > r->window_cap) {
        uint8_t *p = sc_alloc(cap);
        if (!p)
            return sc_fail_memory(e);
        if (kept)
            memcpy(p, from, kept);
        free(r->window);
        r->window = p;
        r->window_cap = cap;
    } else if (kept) {
        memmove(r->window, from, kept);
    }
    r->window_off = r->pos;
    r->window_len = kept;
    return 0;
}

/* Makes the n bytes at pos available; n <= left. */
static int fetch(struct sc_reader *r, size_t n, struct sc_error *e)
{
    size_t kept = bytes_here(r);
    /* Reading on pays for larger steps; a jump does not tell that the next bytes are wanted. */
    bool reading_on = r->window_len > 0 && r->pos - r->window_off <= r->window_len;
    if (reading_on && r->chunk < CHUNK_MAX)
        r->chunk = SC_MIN(r->chunk * 2, CHUNK_MAX);

    size_t want = (size_t)SC_MIN(SC_MAX((uint64_t)n, (uint64_t)r->chunk), sc_reader_left(r));
    TRY(move_window(r, kept, want, e));
    TRY(sc_source_read(r->source, r->pos + kept, r->window + kept, want - kept, e));
    r->window_len = want; /* only now: after a failed read the window holds what was kept */
    return 0;
}

int sc_reader_take(struct sc_reader *r, uint64_t n, const uint8_t **out, const char *what,
                   struct sc_error *e)
{
    static const uint8_t nothing[1];
    if (n == 0) {
        *out = nothing;
        return 0;
    }
    if (n > sc_reader_left(r))
        return fail_short(r, n, what, e);
    if (n > TAKE_MAX)
        return fail_long(r, n, what, e);
    if (n > bytes_here(r))
        TRY(fetch(r, (size_t)n, e));
    *out = r->window + (r->pos - r->window_off);
    r->pos += n;
    return 0;
}

int sc_reader_skip(struct sc_reader *r, uint64_t n, const char *what, struct sc_error *e)
{
    if (n > sc_reader_left(r))
        return fail_short(r, n, what, e);
    r->pos += n;
    return 0;
}

/* ---------------------------------------------------------------------------- fixed sizes --- */

int sc_reader_u8(struct sc_reader *r, uint8_t *out, const char *what, struct sc_error *e)
{
    const uint8_t *p = NULL;
    TRY(sc_reader_take(r, 1, &p, what, e));
    *out = p[0];
    return 0;
}

int sc_reader_u16(struct sc_reader *r, uint16_t *out, const char *what, struct sc_error *e)
{
    const uint8_t *p = NULL;
    TRY(sc_reader_take(r, 2, &p, what, e));
    *out = (uint16_t)(r->big_endian ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
    return 0;
}

int sc_reader_u32(struct sc_reader *r, uint32_t *out, const char *what, struct sc_error *e)
{
    const uint8_t *p = NULL;
    TRY(sc_reader_take(r, 4, &p, what, e));
    *out = r->big_endian ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                         : sc_le32(p);
    return 0;
}

int sc_reader_u64(struct sc_reader *r, uint64_t *out, const char *what, struct sc_error *e)
{
    const uint8_t *p = NULL;
    TRY(sc_reader_take(r, 8, &p, what, e));
    if (!r->big_endian) {
        *out = sc_le64(p);
        return 0;
    }
    *out = 0;
    for (size_t i = 0; i < 8; i++)
        *out = *out << 8 | p[i];
    return 0;
}

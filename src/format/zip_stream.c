/* SPDX-License-Identifier: Apache-2.0 */
/* zip_stream: the bytes of one member, in order and in bounded memory.
 *
 * The directory says how many bytes a member has when unpacked; not one more is ever produced, so a
 * file that unpacks to gigabytes costs what it says it costs, and a caller that refuses the number
 * never starts. */
#include "format/zip.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { CHUNK = 32768, BLOCK = 256 << 10 };

struct sc_zip_inflater {
    z_stream z;
    bool ended; /* the deflate stream said so */
    uint8_t in[CHUNK];
};

/* Content that cannot be right: reported, and the stream is over. */
static int spoil(struct sc_zip_stream *st, const char *what, struct sc_error *e)
{
    struct sc_quoted q, r;
    st->failed = true;
    if (!st->catalog)
        return sc_fail_at(e, SCRUPLE_EFORMAT, st->member->data, "%s: member \"%s\" %s (%llu bytes)",
                          sc_quote(&r, sc_strz(st->source->name)), sc_quote(&q, st->member->name),
                          what, (unsigned long long)st->member->bytes);
    return sc_problem(st->catalog, SC_ERROR, "zip.data", st->file, SC_NO_TENSOR, st->member->data,
                      e, "member \"%s\" %s (%llu bytes)", sc_quote(&q, st->member->name), what,
                      (unsigned long long)st->member->bytes);
}

/* A member that the directory announced and nobody here can read. */
static int refuse(struct sc_zip_stream *st, struct sc_error *e)
{
    const struct sc_zip_member *m = st->member;
    struct sc_quoted q;
    if (m->method == 0 || m->method == 8)
        return spoil(st, "cannot be read", e);
    if (!st->catalog)
        return spoil(st, "is packed with a method that cannot be read", e);
    st->failed = true;
    return sc_problem(st->catalog, SC_ERROR, "zip.data", st->file, SC_NO_TENSOR, m->data, e,
                      "member \"%s\" is packed with method %u; only 0 (stored) and 8 (deflated) "
                      "can be read",
                      sc_quote(&q, m->name), (unsigned)m->method);
}

int sc_zip_stream_open(struct sc_zip_stream *st, struct sc_catalog *c, uint32_t file,
                       struct sc_source *s, const struct sc_zip_member *m, struct sc_error *e)
{
    *st = (struct sc_zip_stream){
        .catalog = c,
        .file = file,
        .source = s,
        .member = m,
        .in_pos = m->data,
        .in_left = m->stored,
        .out_left = m->bytes,
    };
    if (!m->usable)
        return refuse(st, e);
    if (m->method == 0)
        return 0;
    struct sc_zip_inflater *inflater = sc_calloc(1, sizeof *inflater);
    if (!inflater)
        return sc_fail_memory(e);
    if (inflateInit2(&inflater->z, -MAX_WBITS) != Z_OK) {
        free(inflater);
        return sc_fail_memory(e);
    }
    st->inflater = inflater;
    return 0;
}

void sc_zip_stream_close(struct sc_zip_stream *st)
{
    if (st->inflater) {
        inflateEnd(&st->inflater->z);
        free(st->inflater);
    }
    st->inflater = NULL;
}

static int refill(struct sc_zip_stream *st, struct sc_error *e)
{
    struct sc_zip_inflater *f = st->inflater;
    if (f->z.avail_in > 0 || st->in_left == 0)
        return 0;
    const size_t n = (size_t)SC_MIN(st->in_left, (uint64_t)CHUNK);
    TRY(sc_source_read(st->source, st->in_pos, f->in, n, e));
    st->in_pos += n;
    st->in_left -= n;
    f->z.next_in = f->in;
    f->z.avail_in = (uInt)n;
    return 0;
}

/* Up to `want` bytes of the deflate stream; fewer only where it ends or breaks. */
static int inflate_some(struct sc_zip_stream *st, uint8_t *dst, size_t want, size_t *got,
                        struct sc_error *e)
{
    struct sc_zip_inflater *f = st->inflater;
    *got = 0;
    while (*got < want && !f->ended) {
        const size_t room = SC_MIN(want - *got, (size_t)1 << 30);
        TRY(refill(st, e));
        const bool dry = f->z.avail_in == 0;
        f->z.next_out = dst + *got;
        f->z.avail_out = (uInt)room;
        const int code = inflate(&f->z, Z_NO_FLUSH);
        *got += room - f->z.avail_out;
        f->ended = code == Z_STREAM_END;
        if (code == Z_MEM_ERROR)
            return sc_fail_memory(e);
        if (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END)
            return spoil(st, "holds damaged deflate data", e);
        if (dry && !f->ended && f->z.avail_out == room)
            return spoil(st, "ends before its unpacked size is reached", e);
    }
    return 0;
}

int sc_zip_stream_read(struct sc_zip_stream *st, void *dst, size_t want, size_t *got,
                       struct sc_error *e)
{
    size_t n = 0;
    *got = 0;
    if (st->failed)
        return 0;
    want = (size_t)SC_MIN((uint64_t)want, st->out_left);
    if (st->inflater) {
        TRY(inflate_some(st, dst, want, &n, e));
        if (n < want && !st->failed)
            TRY(spoil(st, "ends before its unpacked size is reached", e));
    } else {
        n = want;
        TRY(sc_source_read(st->source, st->in_pos, dst, n, e));
        st->in_pos += n;
        st->in_left -= n;
    }
    st->out_left -= n;
    if (n > 0) /* a NULL buffer would restart it */
        st->crc = libdeflate_crc32(st->crc, dst, n);
    *got = n;
    return 0;
}

int sc_zip_stream_check(struct sc_zip_stream *st, enum sc_severity severity, struct sc_error *e)
{
    const struct sc_zip_member *m = st->member;
    if (st->failed)
        return 0;
    if (st->inflater) {
        uint8_t extra;
        size_t got;
        TRY(inflate_some(st, &extra, 1, &got, e));
        if (got > 0 && !st->failed)
            TRY(spoil(st, "unpacks to more than its size", e));
        if (st->failed)
            return 0;
    }
    if (st->crc == m->crc32)
        return 0;
    struct sc_quoted q, r;
    if (!st->catalog)
        return sc_fail_at(e, SCRUPLE_EFORMAT, m->data,
                          "%s: member \"%s\" has CRC-32 %08x, but the directory says %08x",
                          sc_quote(&r, sc_strz(st->source->name)), sc_quote(&q, m->name),
                          (unsigned)st->crc, (unsigned)m->crc32);
    return sc_problem(st->catalog, severity, "zip.crc", st->file, SC_NO_TENSOR, m->data, e,
                      "member \"%s\" has CRC-32 %08x, but the directory says %08x",
                      sc_quote(&q, m->name), (unsigned)st->crc, (unsigned)m->crc32);
}

/* The whole stream into a buffer that grows with what really arrives. */
static int read_all(struct sc_zip_stream *st, uint8_t **out, size_t *n, struct sc_error *e)
{
    size_t cap = 0, got = 1;
    while (st->out_left > 0 && got > 0 && !st->failed) {
        const size_t step = (size_t)SC_MIN(st->out_left, (uint64_t)SC_MAX(*n, (size_t)65536));
        TRY(sc_grow(out, &cap, *n + step, 1, e));
        TRY(sc_zip_stream_read(st, *out + *n, step, &got, e));
        *n += got;
    }
    if (!*out)
        TRY(sc_grow(out, &cap, 1, 1, e)); /* an empty member is not a missing one */
    return 0;
}

static bool verifies(const struct sc_catalog *c)
{
    return c->options && c->options->verify;
}

int sc_zip_read(struct sc_catalog *c, uint32_t file, struct sc_source *s,
                const struct sc_zip_member *m, uint64_t max, uint8_t **out, size_t *n,
                struct sc_error *e)
{
    struct sc_zip_stream st;
    struct sc_quoted q;
    *out = NULL;
    *n = 0;
    if (m->bytes > max)
        return sc_problem(c, SC_ERROR, "zip.size", file, SC_NO_TENSOR, m->data, e,
                          "member \"%s\" unpacks to %llu bytes; at most %llu are read",
                          sc_quote(&q, m->name), (unsigned long long)m->bytes,
                          (unsigned long long)max);
    int code = sc_zip_stream_open(&st, c, file, s, m, e);
    if (code >= 0)
        code = read_all(&st, out, n, e);
    if (code >= 0)
        code = sc_zip_stream_check(&st, verifies(c) ? SC_ERROR : SC_WARNING, e);
    if (code < 0 || st.failed) {
        free(*out);
        *out = NULL;
        *n = 0;
    }
    sc_zip_stream_close(&st);
    return code;
}

int sc_zip_verify(struct sc_catalog *c, uint32_t file, struct sc_source *s,
                  const struct sc_zip_member *m, struct sc_error *e)
{
    struct sc_zip_stream st;
    uint8_t *block = sc_alloc(BLOCK);
    if (!block)
        return sc_fail_memory(e);
    int code = sc_zip_stream_open(&st, c, file, s, m, e);
    while (code >= 0 && st.out_left > 0 && !st.failed) {
        size_t got;
        code = sc_cancelled(c) ? sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted")
                               : sc_zip_stream_read(&st, block, BLOCK, &got, e);
    }
    if (code >= 0)
        code = sc_zip_stream_check(&st, SC_ERROR, e);
    sc_zip_stream_close(&st);
    free(block);
    return code;
}

int sc_zip_verify_all(struct sc_catalog *c, uint32_t file, struct sc_source *s,
                      const struct sc_zip *zip, struct sc_error *e)
{
    if (!c->options || !c->options->verify)
        return 0;
    if (s->remote)
        return sc_problem(c, SC_INFO, "zip.unverified", file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                          "the checksums of tensor data were not verified, for the data is not "
                          "here (scruple fetch downloads and verifies it)");
    for (size_t i = 0; i < zip->n; i++)
        if (zip->members[i].usable)
            TRY(sc_zip_verify(c, file, s, &zip->members[i], e));
    return 0;
}

/* -------------------------------------------------------------------------------- unpacked --- */

static int unpack(struct sc_zip_stream *st, struct sc_spool *sp, const _Atomic int *cancel,
                  struct sc_error *e)
{
    while (st->out_left > 0) {
        uint8_t *at;
        size_t room, got;
        if (cancel && *cancel)
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        TRY(sc_spool_room(sp, &at, &room, e));
        TRY(sc_zip_stream_read(st, at, SC_MIN(room, (size_t)BLOCK), &got, e));
        sc_spool_take(sp, got);
    }
    return 0;
}

int sc_zip_unpack(struct sc_source *s, const struct sc_storage *storage, const _Atomic int *cancel,
                  struct sc_source **out, struct sc_error *e)
{
    const struct sc_zip_member member = {
        .name = sc_strz(storage->key),
        .data = storage->offset,
        .stored = storage->stored,
        .bytes = storage->bytes,
        .crc32 = storage->crc32,
        .method = storage->method,
        .usable = storage->method == 0 || storage->method == 8,
    };
    struct sc_zip_stream st;
    struct sc_spool sp;
    *out = NULL;
    TRY(sc_zip_check_local(s, storage, e));
    sc_spool_start(&sp, s->name, "");
    int code = sc_zip_stream_open(&st, NULL, 0, s, &member, e);
    if (code == 0)
        code = unpack(&st, &sp, cancel, e);
    if (code == 0 && storage->has_crc)
        code = sc_zip_stream_check(&st, SC_ERROR, e);
    if (code == 0)
        code = sc_spool_finish(&sp, out, e);
    sc_zip_stream_close(&st);
    sc_spool_drop(&sp);
    return code;
}

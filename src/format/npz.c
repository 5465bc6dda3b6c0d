/* SPDX-License-Identifier: Apache-2.0 */
/* npz: numpy arrays in a zip archive, as numpy.savez and savez_compressed write them.
 *
 *     zip directory (zip.c) -> member NAME.npy -> header (npy_header.c) -> data
 *
 * A stored array is listed with the bytes of its data; its header counts as header. A deflated one
 * is listed with all bytes that it takes in the file: its entry has a view on a storage that is
 * the member unpacked, less what follows the array. The array is the last elements * element size
 * bytes of that storage; its header comes before. Only the header is ever unpacked here.
 *
 * Owns: that mapping. Does not own: the archive (zip.c), the header (npy_header.c). */
#include "format/npy.h"
#include "format/zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct archive {
    struct sc_catalog *c;
    struct sc_source *s;
    uint32_t file;
    uint64_t headers; /* bytes of the headers of stored arrays */
};

static struct sc_str array_name(const struct sc_zip_member *m)
{
    return sc_npy_name(m->name, false);
}

/* ------------------------------------------------------------------------------- deflated --- */

/* Unpacks the header at the beginning of a stream. npy->problem is NULL when all is well. */
static int unpack_header(struct sc_zip_stream *st, struct sc_npy *npy, uint64_t *header_bytes,
                         struct sc_error *e)
{
    uint8_t prefix[SC_NPY_PREFIX];
    uint8_t *p;
    size_t got, more;

    *npy = (struct sc_npy){0};
    TRY(sc_zip_stream_read(st, prefix, sizeof prefix, &got, e));
    if (!sc_npy_header_bytes(prefix, got, header_bytes, npy))
        return 0;
    p = sc_alloc((size_t)SC_MAX(*header_bytes, sizeof prefix));
    if (!p)
        return sc_fail_memory(e);
    memcpy(p, prefix, got);
    const size_t want = *header_bytes > got ? (size_t)*header_bytes - got : 0;
    const int code = sc_zip_stream_read(st, p + got, want, &more, e);
    if (code >= 0)
        sc_npy_parse(p, SC_MIN(got + more, (size_t)*header_bytes), npy);
    free(p);
    return code;
}

/* The storage that a deflated member unpacks to, and the view that spreads the array on it. */
static int add_view(struct archive *a, const struct sc_zip_member *m, const struct sc_npy *npy,
                    uint64_t header, uint32_t *view, struct sc_error *e)
{
    const uint64_t data = m->bytes - header;
    const struct sc_storage storage = {
        .offset = m->data,
        .stored = m->stored,
        .bytes = header + (npy->sized ? SC_MIN(npy->bytes, data) : data),
        .file = a->file,
        .crc32 = m->crc32,
        .dtype = npy->codec,
        .method = (uint8_t)m->method,
        .has_crc = npy->sized && npy->bytes == data, /* it counts what follows, too */
        .referenced = true,
    };
    uint64_t strides[SC_MAX_RANK], step = 1;
    struct sc_view v = {.strides = strides};

    for (size_t i = 0; i < npy->rank; i++) {
        const size_t dim = npy->fortran ? i : npy->rank - 1 - i;
        strides[dim] = step;
        if (!sc_mul(step, npy->shape[dim], &step))
            step = 0; /* some other dimension is zero: nothing is ever addressed */
    }
    TRY(sc_catalog_add_storage(a->c, &storage, m->name, &v.storage, e));
    return sc_catalog_add_view(a->c, &v, npy->rank, view, e);
}

static int read_deflated(struct archive *a, const struct sc_zip_member *m, struct sc_error *e)
{
    struct sc_entry proto = {.file = a->file, .offset = m->data, .bytes = m->stored};
    struct sc_zip_stream stream;
    struct sc_npy npy;
    uint64_t header = 0;

    TRY(sc_zip_stream_open(&stream, a->c, a->file, a->s, m, e));
    const int code = unpack_header(&stream, &npy, &header, e);
    const bool failed = stream.failed;
    sc_zip_stream_close(&stream);
    if (code < 0 || failed)
        return code;
    if (npy.problem)
        return sc_npy_problem(a->c, a->file, array_name(m), m->data, &npy, e);
    TRY(add_view(a, m, &npy, header, &proto.view, e));
    return sc_npy_add(a->c, array_name(m), &npy, m->bytes - header, &proto, e);
}

/* --------------------------------------------------------------------------------- stored --- */

static int read_stored(struct archive *a, const struct sc_zip_member *m, struct sc_error *e)
{
    struct sc_npy npy;
    uint64_t header;

    TRY(sc_npy_read(a->s, m->data, m->stored, &npy, &header, e));
    if (npy.problem)
        return sc_npy_problem(a->c, a->file, array_name(m), m->data, &npy, e);
    a->headers += header;
    const struct sc_entry proto = {
        .file = a->file,
        .view = SC_NO_STORAGE,
        .offset = m->data + header,
    };
    return sc_npy_add(a->c, array_name(m), &npy, m->stored - header, &proto, e);
}

static int read_member(struct archive *a, const struct sc_zip_member *m, struct sc_error *e)
{
    struct sc_quoted q;

    if (sc_cancelled(a->c))
        return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
    if (!m->usable)
        return 0;
    if (!sc_str_ends(m->name, ".npy"))
        return sc_problem(a->c, SC_INFO, "npz.member", a->file, SC_NO_TENSOR, m->header, e,
                          "member \"%s\" is not an array and is left out", sc_quote(&q, m->name));
    return m->method == 0 ? read_stored(a, m, e) : read_deflated(a, m, e);
}

static int npz_open(struct sc_catalog *c, uint32_t file, struct sc_source *s, struct sc_error *e)
{
    struct archive a = {.c = c, .s = s, .file = file};
    struct sc_arena arena = {0};
    struct sc_zip zip = {0};
    int code = sc_zip_open(c, file, s, &arena, &zip, e);

    for (size_t i = 0; code >= 0 && i < zip.n; i++)
        code = read_member(&a, &zip.members[i], e);
    if (code >= 0)
        code = sc_zip_verify_all(c, file, s, &zip, e);
    if (code >= 0)
        c->files[file].header_bytes = zip.overhead + a.headers;
    sc_arena_clear(&arena);
    return code;
}

/* numpy writes nothing but arrays, so the first name says it. An archive that begins with
 * something else is looked into, unless its first name has a folder, as all of torch's have. */
static int npz_bid(const struct sc_probe *p)
{
    enum { NAME_LENGTH = 26, NAME = 30 };

    if (p->head_len < NAME || memcmp(p->head, "PK\3\4", 4) != 0)
        return 0;
    const size_t n = SC_MIN((size_t)sc_le16(p->head + NAME_LENGTH), p->head_len - NAME);
    const struct sc_str name = sc_str((const char *)p->head + NAME, n);
    if (sc_str_ends(name, ".npy"))
        return 64;
    if (!p->source || memchr(name.p, '/', name.n))
        return 0;
    return sc_zip_has_suffix(p->source, ".npy") ? 40 : 0;
}

const struct sc_format sc_format_npz = {
    .name = "npz",
    .summary = "numpy arrays in a zip archive, stored or deflated",
    .bid = npz_bid,
    .open = npz_open,
};

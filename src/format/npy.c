/* SPDX-License-Identifier: Apache-2.0 */
/* npy: a numpy array as a file of its own, and what NPZ members have in common with it.
 *
 *     header (npy_header.c)
 *     data: the elements, row by row, or column by column when fortran_order is True
 *
 * Owns: reading the header from a source, holding the size against the shape, listing the array.
 * Arrays of Python objects are listed and never looked into: their data is a pickle. */
#include "format/npy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* numpy pads headers to a multiple of 64 bytes; all but those of long records are 128 or less. */
enum { FIRST_READ = 1024 };

struct sc_str sc_npy_name(struct sc_str path, bool drop_folders)
{
    if (sc_str_ends(path, ".npy") && path.n > 4)
        path.n -= 4;
    if (drop_folders)
        for (size_t i = path.n; i-- > 0;)
            if (path.p[i] == '/')
                return i + 1 < path.n ? sc_str(path.p + i + 1, path.n - i - 1) : path;
    return path;
}

/* A header that is longer than the first read: fetched whole. */
static int read_long(struct sc_source *s, uint64_t at, size_t n, struct sc_npy *npy,
                     struct sc_error *e)
{
    uint8_t *p = sc_alloc(n);

    if (!p)
        return sc_fail_memory(e);
    const int code = sc_source_read(s, at, p, n, e);
    if (code >= 0)
        sc_npy_parse(p, n, npy);
    free(p);
    return code;
}

int sc_npy_read(struct sc_source *s, uint64_t at, uint64_t left, struct sc_npy *npy,
                uint64_t *header_bytes, struct sc_error *e)
{
    uint8_t first[FIRST_READ];
    const size_t n = (size_t)SC_MIN(left, FIRST_READ);

    *npy = (struct sc_npy){0};
    *header_bytes = 0;
    TRY(sc_source_read(s, at, first, n, e));
    if (!sc_npy_header_bytes(first, n, header_bytes, npy))
        return 0;
    if (*header_bytes > left) {
        npy->problem = "the header is cut (truncated download?)";
        npy->problem_at = 8;
        return 0;
    }
    if (*header_bytes > n)
        return read_long(s, at, (size_t)*header_bytes, npy, e);
    sc_npy_parse(first, (size_t)*header_bytes, npy);
    return 0;
}

int sc_npy_problem(struct sc_catalog *c, uint32_t file, struct sc_str name, uint64_t at,
                   const struct sc_npy *npy, struct sc_error *e)
{
    struct sc_quoted q;

    return sc_problem(c, SC_ERROR, "npy.header", file, name, at, e,
                      "the header of array \"%s\" is invalid at byte %zu: %s", sc_quote(&q, name),
                      npy->problem_at, npy->problem);
}

/* Types that cannot be read are listed under a name of their own, with the bytes they take. */
static int name_type(struct sc_catalog *c, struct sc_str name, const struct sc_npy *npy,
                     struct sc_entry *en, struct sc_error *e)
{
    struct sc_quoted q;

    en->dtype = npy->codec;
    if (npy->codec != SC_OPAQUE)
        return 0;
    const int code = sc_catalog_foreign_type(c, sc_strz(npy->type), &en->dtype, e);
    if (code == SCRUPLE_ELIMIT)
        return sc_problem(c, SC_ERROR, "npy.limit", en->file, name, en->offset, e,
                          "array \"%s\" has a type that is one too many (%s); the limit is %d",
                          sc_quote(&q, name), npy->type, SC_MAX_FOREIGN_TYPES);
    TRY(code);
    if (npy->objects)
        return sc_problem(c, SC_WARNING, "npy.objects", en->file, name, en->offset, e,
                          "array \"%s\" holds Python objects; their pickle is not read",
                          sc_quote(&q, name));
    if (!npy->sized)
        return sc_problem(c, SC_WARNING, "npy.type.unknown", en->file, name, en->offset, e,
                          "array \"%s\" has elements of a type that is not known (%s)",
                          sc_quote(&q, name), npy->type);
    return 0;
}

int sc_npy_add(struct sc_catalog *c, struct sc_str name, const struct sc_npy *npy, uint64_t left,
               const struct sc_entry *proto, struct sc_error *e)
{
    struct sc_entry en = *proto;
    const bool in_place = proto->view == SC_NO_STORAGE;
    const uint64_t bytes = npy->sized ? npy->bytes : left;
    struct sc_quoted q;

    TRY(name_type(c, name, npy, &en, e));
    if (npy->big_endian)
        en.flags |= SC_ENTRY_BIG_ENDIAN;
    if (npy->fortran)
        en.flags |= SC_ENTRY_FORTRAN;
    if (bytes > left) {
        TRY(sc_problem(c, SC_ERROR, "npy.truncated", en.file, name, en.offset, e,
                       "array \"%s\" needs %" PRIu64 " bytes, but %" PRIu64
                       " follow its header (truncated download?)",
                       sc_quote(&q, name), bytes, left));
        en.flags |= SC_ENTRY_BROKEN;
    }
    if (bytes < left)
        TRY(sc_problem(c, SC_WARNING, "npy.trailing", en.file, name, en.offset, e,
                       "array \"%s\" needs %" PRIu64 " bytes, but %" PRIu64 " follow its header",
                       sc_quote(&q, name), bytes, left));
    if (in_place)
        en.bytes = SC_MIN(bytes, left);
    return sc_catalog_add(c, name, npy->shape, npy->rank, &en, NULL, e);
}

static int npy_open(struct sc_catalog *c, uint32_t file, struct sc_source *s, struct sc_error *e)
{
    const struct sc_str name = sc_npy_name(sc_strz(c->files[file].path), true);
    struct sc_npy npy;
    uint64_t header;

    TRY(sc_npy_read(s, 0, s->size, &npy, &header, e));
    if (npy.problem)
        return sc_npy_problem(c, file, name, 0, &npy, e);
    c->files[file].header_bytes = header;
    c->files[file].data_offset = header;
    const struct sc_entry proto = {.file = file, .view = SC_NO_STORAGE, .offset = header};
    return sc_npy_add(c, name, &npy, s->size - header, &proto, e);
}

static int npy_bid(const struct sc_probe *p)
{
    if (p->head_len < 8 || memcmp(p->head, "\x93NUMPY", 6) != 0)
        return 0;
    return p->head[6] >= 1 && p->head[6] <= 3 && p->head[7] == 0 ? 64 : 48;
}

const struct sc_format sc_format_npy = {
    .name = "npy",
    .summary = "one numpy array, versions 1 to 3",
    .bid = npy_bid,
    .open = npy_open,
};

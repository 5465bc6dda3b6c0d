/* SPDX-License-Identifier: Apache-2.0 */
/* zip_maker: zip archives in memory, right and wrong, for the tests of zip and torch. */
#ifndef SC_TEST_ZIP_MAKER_H
#define SC_TEST_ZIP_MAKER_H

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/base.h"

struct zip_maker {
    struct sc_buf out, directory;
    unsigned n;
};

/* What is to be wrong about a member, or unusual. All zero: a plain stored one. */
struct zip_how {
    bool deflated, descriptor, zip64;
    uint16_t method;    /* 0: as it is */
    uint16_t flags;     /* or'ed in, both headers */
    uint16_t extra;     /* bytes of extra field in the local header */
    int64_t bytes_off;  /* added to the unpacked size in the directory */
    int64_t stored_off; /* added to the stored size in the directory */
    uint32_t crc_xor;
    const char *local_name; /* another one in the local header */
    int64_t header_off;     /* added to the position in the directory */
    size_t gap;             /* bytes that belong to nobody, before the member */
};

static inline void zm_put(struct sc_buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sc_buf_putc(b, (char)(i < 8 ? v >> 8 * i : 0));
}

static inline void zm_deflate(struct sc_buf *out, const void *p, size_t n)
{
    z_stream z = {0};
    unsigned char chunk[4096], *copy = malloc(n + 1);
    if (!copy || deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    memcpy(copy, p, n);
    z.next_in = copy;
    z.avail_in = (uInt)n;
    for (int code = Z_OK; code == Z_OK;) {
        z.next_out = chunk;
        z.avail_out = sizeof chunk;
        code = deflate(&z, Z_FINISH);
        sc_buf_put(out, chunk, sizeof chunk - z.avail_out);
    }
    deflateEnd(&z);
    free(copy);
}

static inline void zm_add_how(struct zip_maker *z, const char *name, const void *p, size_t n,
                              struct zip_how how)
{
    struct sc_buf packed = {0};
    const char *local = how.local_name ? how.local_name : name;
    const uint32_t crc = (uint32_t)crc32(crc32(0, NULL, 0), p, (uInt)n) ^ how.crc_xor;
    const uint16_t method = how.method ? how.method : how.deflated ? 8 : 0;
    const uint16_t flags = (uint16_t)(how.flags | (how.descriptor ? 8 : 0));
    const bool late = how.descriptor;
    if (how.deflated)
        zm_deflate(&packed, p, n);
    else
        sc_buf_put(&packed, p, n);
    for (size_t i = 0; i < how.gap; i++)
        sc_buf_putc(&z->out, 'g');
    const uint64_t at = z->out.n + (uint64_t)how.header_off;
    const uint64_t bytes = n + (uint64_t)how.bytes_off,
                   stored = packed.n + (uint64_t)how.stored_off;
    sc_buf_put(&z->out, "PK\3\4\24\0", 6);
    zm_put(&z->out, flags, 2);
    zm_put(&z->out, method, 2);
    zm_put(&z->out, 0, 4);
    zm_put(&z->out, late ? 0 : crc, 4);
    zm_put(&z->out, late ? 0 : how.zip64 ? UINT32_MAX : stored, 4);
    zm_put(&z->out, late ? 0 : how.zip64 ? UINT32_MAX : bytes, 4);
    zm_put(&z->out, strlen(local), 2);
    zm_put(&z->out, how.extra, 2);
    sc_buf_puts(&z->out, local);
    sc_buf_repeat(&z->out, 'Z', how.extra);
    sc_buf_put(&z->out, packed.p ? packed.p : "", packed.n);
    if (late) {
        sc_buf_put(&z->out, "PK\7\10", 4);
        zm_put(&z->out, crc, 4);
        zm_put(&z->out, packed.n, 4);
        zm_put(&z->out, n, 4);
    }
    sc_buf_clear(&packed);

    struct sc_buf *d = &z->directory;
    sc_buf_put(d, "PK\1\2\24\0\24\0", 8);
    zm_put(d, flags, 2);
    zm_put(d, method, 2);
    zm_put(d, 0, 4);
    zm_put(d, crc, 4);
    zm_put(d, how.zip64 ? UINT32_MAX : stored, 4);
    zm_put(d, how.zip64 ? UINT32_MAX : bytes, 4);
    zm_put(d, strlen(name), 2);
    zm_put(d, how.zip64 ? 28 : 0, 2);
    zm_put(d, 0, 2);
    zm_put(d, 0, 8); /* disk, attributes */
    zm_put(d, how.zip64 ? UINT32_MAX : at, 4);
    sc_buf_puts(d, name);
    if (how.zip64) {
        zm_put(d, 1, 2);
        zm_put(d, 24, 2);
        zm_put(d, bytes, 8);
        zm_put(d, stored, 8);
        zm_put(d, at, 8);
    }
    z->n++;
}

static inline void zm_add(struct zip_maker *z, const char *name, const void *p, size_t n)
{
    zm_add_how(z, name, p, n, (struct zip_how){0});
}

/* Directory and end records behind the members. */
struct zip_end {
    bool zip64;
    const char *comment;
    int64_t count_off, bytes_off, place_off; /* added to what the end record says */
};

static inline void zm_end_how(struct zip_maker *z, struct zip_end how)
{
    const uint64_t at = z->out.n, bytes = z->directory.n;
    const uint64_t n = z->n + (uint64_t)how.count_off, says = bytes + (uint64_t)how.bytes_off;
    const uint64_t place = at + (uint64_t)how.place_off;
    const char *comment = how.comment ? how.comment : "";
    sc_buf_put(&z->out, z->directory.p ? z->directory.p : "", bytes);
    if (how.zip64) {
        const uint64_t record = z->out.n;
        sc_buf_put(&z->out, "PK\6\6", 4);
        zm_put(&z->out, 44, 8);
        zm_put(&z->out, 0, 12); /* versions, disks */
        zm_put(&z->out, n, 8);
        zm_put(&z->out, n, 8);
        zm_put(&z->out, says, 8);
        zm_put(&z->out, place, 8);
        sc_buf_put(&z->out, "PK\6\7", 4);
        zm_put(&z->out, 0, 4);
        zm_put(&z->out, record, 8);
        zm_put(&z->out, 1, 4);
    }
    sc_buf_put(&z->out, "PK\5\6\0\0\0\0", 8);
    zm_put(&z->out, how.zip64 ? UINT16_MAX : n, 2);
    zm_put(&z->out, how.zip64 ? UINT16_MAX : n, 2);
    zm_put(&z->out, how.zip64 ? UINT32_MAX : says, 4);
    zm_put(&z->out, how.zip64 ? UINT32_MAX : place, 4);
    zm_put(&z->out, strlen(comment), 2);
    sc_buf_puts(&z->out, comment);
    sc_buf_clear(&z->directory);
    if (z->out.failed || z->directory.failed)
        abort();
}

static inline void zm_end(struct zip_maker *z)
{
    zm_end_how(z, (struct zip_end){0});
}

static inline void zm_clear(struct zip_maker *z)
{
    sc_buf_clear(&z->out);
    sc_buf_clear(&z->directory);
    z->n = 0;
}

#endif

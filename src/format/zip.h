/* SPDX-License-Identifier: Apache-2.0 */
/* zip: the directory of a zip file over a source, read from its tail. Nothing is extracted to
 * disk. Used by torch and npz.
 *
 *   end of central directory (EOCD), last 22..65557 bytes of the file
 *     -> [zip64 locator -> zip64 EOCD]
 *     -> central directory: one record a member -> local header -> data
 *
 * Sizes are those of the central directory (torch writes data descriptors with zeros in the local
 * header). Methods 0 (stored) and 8 (deflated) only. */
#ifndef SC_ZIP_H
#define SC_ZIP_H

#include "format/format.h"

struct sc_zip_member {
    struct sc_str name; /* in the arena given to sc_zip_open */
    uint64_t data;      /* file position of the data */
    uint64_t stored;    /* bytes in the file */
    uint64_t bytes;     /* bytes when unpacked */
    uint64_t header;    /* file position of the local header */
    uint32_t crc32;
    uint16_t method;
    uint16_t flags;
    bool unseen; /* placed by arithmetic: its local header was not read */
    bool usable; /* false: a problem was reported for it (lenient mode) */
};
struct sc_zip {
    struct sc_zip_member *members; /* in directory order; arena */
    size_t n;
    const uint32_t *by_name; /* (n) members in byte order of their names; arena */
    uint64_t directory_offset, directory_bytes; /* incl. the end records: up to the file's end */
    uint64_t overhead; /* local headers, data descriptors, directory, end records */
};
/* Reads and validates the directory and every local header: ranges inside the file and disjoint,
 * names equal, methods known; problems go to sc_problem(). */
int sc_zip_open(struct sc_catalog *c, uint32_t file, struct sc_source *s, struct sc_arena *arena,
                struct sc_zip *zip, struct sc_error *e);
const struct sc_zip_member *sc_zip_find(const struct sc_zip *zip, struct sc_str name);
/* For bid(): does the directory list a name that ends in `suffix`? Looks at the tail and the first
 * 4 MiB of the directory; false when the file cannot be read or is no zip. */
bool sc_zip_has_suffix(struct sc_source *s, const char *suffix);

/* The unpacked bytes of a member in order, in bounded memory (48 KiB). Content that is wrong (bad
 * deflate data, more or fewer bytes than the directory says) goes to sc_problem(); where that
 * returns 0 (lenient), `failed` is set and the stream has ended. */
struct sc_zip_stream {
    struct sc_catalog *catalog; /* NULL: problems are errors, and nothing is recorded */
    uint32_t file;
    struct sc_source *source;
    const struct sc_zip_member *member;
    uint64_t in_pos, in_left; /* stored bytes not fetched yet */
    uint64_t out_left;        /* unpacked bytes not handed out yet */
    uint32_t crc;             /* of what was handed out */
    bool failed;
    struct sc_zip_inflater *inflater; /* NULL: stored */
};
int sc_zip_stream_open(struct sc_zip_stream *st, struct sc_catalog *c, uint32_t file,
                       struct sc_source *s, const struct sc_zip_member *m, struct sc_error *e);
/* *got is less than want only at the end. */
int sc_zip_stream_read(struct sc_zip_stream *st, void *dst, size_t want, size_t *got,
                       struct sc_error *e);
/* After the last byte: compare the CRC; a mismatch is reported with this severity. */
int sc_zip_stream_check(struct sc_zip_stream *st, enum sc_severity severity, struct sc_error *e);
void sc_zip_stream_close(struct sc_zip_stream *st);

/* Unpack a member whole (at most max bytes) and verify its CRC (a mismatch is a warning, or an
 * error under options->verify); caller frees *out, which is NULL after a problem in lenient mode.
 */
int sc_zip_read(struct sc_catalog *c, uint32_t file, struct sc_source *s,
                const struct sc_zip_member *m, uint64_t max, uint8_t **out, size_t *n,
                struct sc_error *e);
/* Read a stored or deflated member as a stream in bounded memory and check its CRC: for
 * `check`. Reports a problem on mismatch. */
int sc_zip_verify(struct sc_catalog *c, uint32_t file, struct sc_source *s,
                  const struct sc_zip_member *m, struct sc_error *e);
/* The unpacked bytes of a storage as a source of their own (memory, or an unlinked file), with the
 * CRC checked. A finished catalog is only read; from any thread. */
int sc_zip_unpack(struct sc_source *s, const struct sc_storage *storage, const _Atomic int *cancel,
                  struct sc_source **out, struct sc_error *e);
/* Holds the local header of a storage with `unseen` against what was taken for granted: where its
 * data begin, its method, and that its name ends in the storage's key. */
int sc_zip_check_local(struct sc_source *s, const struct sc_storage *storage, struct sc_error *e);
/* Every usable member, when the options ask for it (verify); else nothing. */
int sc_zip_verify_all(struct sc_catalog *c, uint32_t file, struct sc_source *s,
                      const struct sc_zip *zip, struct sc_error *e);

#endif

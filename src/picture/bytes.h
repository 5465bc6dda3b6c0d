/* SPDX-License-Identifier: Apache-2.0 */
/* bytes: files of any kind as a picture, one pixel a byte, on a Hilbert curve.
 *
 * Owns: the plan (a scene of one square, or two side by side), what stands for many bytes, tiles.
 *
 * Does not own: opening files (whoever makes one), colours, transport.
 *
 * The files stand one behind the other; a position counts bytes from the first byte of the first
 * file. docs/bytes.md tells what pixels mean, docs/layout.md where they stand.
 *
 * Threads: all functions but new and free may be called from any thread at the same time.
 */
#ifndef SC_BYTES_H
#define SC_BYTES_H

#include "picture/tiles.h"

/* Bytes of one kind. */
enum sc_byte_class {
    SC_BYTE_ZERO,
    SC_BYTE_CONTROL,   /* 1 to 31, and 127 */
    SC_BYTE_PRINTABLE, /* 32 to 126: ASCII */
    SC_BYTE_HIGH,      /* 128 to 254 */
    SC_BYTE_FULL,      /* 255 */
    SC_BYTE_CLASSES
};
extern const char *const sc_byte_class_names[SC_BYTE_CLASSES + 1];
enum sc_byte_class sc_byte_class_of(uint8_t byte);

struct sc_byte_file {
    const char *name;
    uint64_t bytes;
    struct sc_source *source; /* open as long as the picture is there; NULL: see open() */
};
/* A stretch of a file that has a name: a header, a tensor. */
struct sc_byte_part {
    const char *name;
    const char *dtype;      /* NULL: no tensor */
    const uint64_t *shape;  /* (rank) */
    uint64_t offset, bytes; /* in its file */
    uint32_t file;
    uint8_t rank;
    uint8_t width; /* bytes of an element that stand one behind the other; 0: they do not */
};
struct sc_bytes_options {
    struct sc_pool *pool;
    uint64_t memory;  /* for what is known of stretches of bytes */
    bool remote;      /* some files are elsewhere */
    uint64_t network; /* bytes of files that are elsewhere which may be read for overviews */
    const _Atomic int *cancel;
    /* Opens a file; never called by two threads at once. */
    int (*open)(void *ctx, size_t file, struct sc_source **out, struct sc_error *e);
    void *ctx;
};
struct sc_bytes;
#define SC_BYTES_MOST (UINT64_C(1) << 52) /* of all files: positions are exact in a double */
/* Borrows label, files and parts (parts by file and offset, none overlaps another). SCRUPLE_ELIMIT:
 * more than SC_BYTES_MOST. */
int sc_bytes_new(const char *label, const struct sc_byte_file *files, size_t n_files,
                 const struct sc_byte_part *parts, size_t n_parts, const struct sc_bytes_options *o,
                 struct sc_bytes **out, struct sc_error *e);
void sc_bytes_free(struct sc_bytes *b); /* NULL is allowed; nothing of it may be running */

/* Its places are squares of 2^order units and bytes a side: slices 0 and 1 of one "tensor". (The
 * tensors of its model are the files; the places are all said to be of the first.) */
const struct sc_scene *sc_bytes_scene(const struct sc_bytes *b);
unsigned sc_bytes_order(const struct sc_bytes *b);
uint64_t sc_bytes_total(const struct sc_bytes *b);
const struct sc_byte_file *sc_bytes_files(const struct sc_bytes *b, size_t *n);
const struct sc_byte_part *sc_bytes_parts(const struct sc_bytes *b, size_t *n);
/* Where a file begins; of file n_files: the total. */
uint64_t sc_bytes_start(const struct sc_bytes *b, size_t file);
/* The file and the part (SIZE_MAX: none) of a position below the total. */
size_t sc_bytes_file_at(const struct sc_bytes *b, uint64_t at);
size_t sc_bytes_part_at(const struct sc_bytes *b, uint64_t at);
/* The position of a pixel of zoom 0; may be beyond the total. */
uint64_t sc_bytes_at(const struct sc_bytes *b, uint64_t slice, uint64_t row, uint64_t col);
/* Reads at most n bytes from a position on, up to the end of its file; *n becomes their number.
 * Waits for the network. */
int sc_bytes_read(struct sc_bytes *b, uint64_t at, uint8_t *p, size_t *n, struct sc_error *e);

/* As sc_tile_fill_planes(), of planes mean, min, max, main and entropy. What cannot be read is
 * SC_PIXEL_UNKNOWN. */
int sc_bytes_tiles(struct sc_bytes *b, struct sc_tile *t, size_t n, unsigned patience,
                   struct sc_error *e);
/* Reads everything once, so that pixels of many bytes are exact. Files that are elsewhere only
 * when all of them fit into `network`. SCRUPLE_EINTERRUPTED after a cancel. */
int sc_bytes_build(struct sc_bytes *b, struct sc_error *e);
double sc_bytes_progress(const struct sc_bytes *b, uint64_t *epoch);
/* What names all bytes; false: not known. */
bool sc_bytes_key(struct sc_bytes *b, char key[65]);

/* How often classes occur in a stretch, as far as it has been read: whole cells of it. */
struct sc_byte_counts {
    uint64_t bytes; /* that are counted */
    uint64_t classes[SC_BYTE_CLASSES];
    double mean, entropy; /* NaN: nothing is counted */
};
void sc_bytes_count(const struct sc_bytes *b, uint64_t from, uint64_t to,
                    struct sc_byte_counts *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* bytes_parts: what the files of the picture of bytes share. */
#ifndef SC_BYTES_PARTS_H
#define SC_BYTES_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "picture/bytes_count.h"
#include "source/source.h"

enum {
    BYTES_NEAR = 4,   /* up to this zoom, pixels are counted when they are looked at */
    BYTES_CHUNK = 11, /* at least: log4 of bytes that are counted at once for cells */
    BYTES_OPEN = 48   /* files that stay open */
};

/* What is kept of 4^cell_log4 bytes: 48 bytes. */
struct byte_cell {
    uint32_t count[SC_BYTE_CLASSES], sum[3];
    uint64_t entropy;
    uint8_t min, max;
    bool lost; /* some cannot be read */
};
struct held_file {
    uint64_t start;
    struct sc_source *source;
    unsigned users;
    bool broken; /* could not be opened: not tried again */
};
struct sc_bytes {
    const char *label;
    const struct sc_byte_file *files;
    const struct sc_byte_part *parts;
    size_t n_files, n_parts;
    uint64_t total;
    unsigned order; /* log2 of the side of a square */
    struct sc_bytes_options o;
    struct sc_scene *scene;
    struct sc_model *model; /* what a scene must have: one tensor of bytes */

    pthread_mutex_t lock;
    struct held_file *held; /* (n_files + 1) */
    size_t n_open, hand;
    uint64_t *part_start; /* (n_parts) positions */

    unsigned cell_log4, chunk_log4;
    struct byte_cell *cells; /* NULL: they are not counted */
    size_t n_chunks;
    _Atomic uint8_t *done; /* (n_chunks) */
    _Atomic uint64_t n_done, epoch;
    _Atomic bool over; /* all is counted */
};

/* What came of a read. */
enum byte_read { BYTES_HERE, BYTES_WAITING, BYTES_LOST };
/* One stretch of one file: see sc_bytes_each(). */
struct byte_stretch {
    uint64_t at;
    size_t n;
    enum byte_read how;
};
/* Reads n bytes (inside the total) into p, file by file, and calls fn (NULL: nothing) for each
 * stretch that is not there. Waits for the network until `until` (microseconds of a monotonic
 * clock; UINT64_MAX: as long as it takes). */
void sc_bytes_get(struct sc_bytes *b, uint64_t at, size_t n, uint8_t *p, uint64_t until,
                  void (*fn)(void *ctx, const struct byte_stretch *gap), void *ctx);
/* Says that the bytes will be read soon. */
void sc_bytes_announce(struct sc_bytes *b, uint64_t at, uint64_t n);

/* bytes_order.c: 256 neighbours on the curve from a multiple of 256 on, a square of 16 x 16 pixels
 * of a tile that lies as `state` (curve.h), whose upper left corner is *to: numbers, bytes
 * as floats, or one number. The same at every level. */
enum { SC_BYTE_GROUP = 256 };
void sc_bytes_put_words(unsigned state, const uint32_t v[SC_BYTE_GROUP], enum sc_cpu level,
                        uint32_t *to);
void sc_bytes_put_bytes(unsigned state, const uint8_t p[SC_BYTE_GROUP], enum sc_cpu level,
                        uint32_t *to);

void sc_bytes_put_same(uint32_t v, enum sc_cpu level, uint32_t *to);
/* sc_curve_point() of 4 levels. */
void sc_bytes_point(uint64_t d, uint64_t *x, uint64_t *y, unsigned *state);

static inline bool sc_bytes_counted(const struct sc_bytes *b, uint64_t at)
{
    return b->cells &&
           atomic_load_explicit(&b->done[at >> 2 * b->chunk_log4], memory_order_acquire);
}
/* Adds a cell; false: some of it cannot be read. */
bool sc_bytes_join_cell(const struct sc_bytes *b, uint64_t cell, struct sc_byte_sum *sum);

#endif

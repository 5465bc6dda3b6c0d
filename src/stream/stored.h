/* SPDX-License-Identifier: Apache-2.0 */
/* stored: the bytes of one stored tensor, whatever it lies in. Private to the stream layer.
 *
 *   safetensors, GGUF, NPY     a stretch of a file; NPY maybe column by column, or big-endian
 *   NPZ                        the same inside a member; deflated: the end of what that unpacks to
 *   torch                      a strided window on a storage, which may be deflated or big-endian
 *
 * What is read is always the same: whole blocks in row-major order, little-endian, without gaps.
 *
 * A tensor that cannot be read in long runs (its last dimension is strided) is read through a
 * mapping; one that cannot be mapped is copied once, from its first to its last byte. */
#ifndef SC_STREAM_STORED_H
#define SC_STREAM_STORED_H

#include <pthread.h>

#include "model/model.h"

struct sc_stored {
    const struct sc_model *model;
    const struct sc_entry *entry;
    uint32_t storage; /* of the catalog; SC_NO_STORAGE: none */
    uint32_t file;
    sc_codec_id codec;
    uint16_t block, unit; /* elements in ... so many bytes */
    bool swap, packed;
    uint64_t blocks; /* in all */
    uint64_t base;   /* of the first element: byte of the file, or of the unpacked storage */
    uint64_t reach;  /* bytes from there to the end of the last element */
    size_t rank;     /* of dims and strides, in elements; 0: one stretch */
    uint64_t *dims, *strides;

    pthread_mutex_t lock; /* around what follows */
    bool checked;         /* the local header of its zip member, where that was put off */
    _Atomic(struct sc_source *) held; /* what was mapped, until the end */
    _Atomic bool elsewhere;           /* it is not in memory */
    struct sc_source *copy;
};

/* Reads nothing. Refuses in a sentence that names the tensor: SCRUPLE_EUNSUPPORTED for what is only
 * listed, SCRUPLE_EFORMAT for bytes that are not there. */
int sc_stored_open(const struct sc_model *m, uint32_t entry, struct sc_stored *out,
                   struct sc_error *e);
void sc_stored_close(struct sc_stored *st);
/* n blocks from `first` on. From any thread. */
int sc_stored_read(struct sc_stored *st, uint64_t first, uint64_t n, void *dst, struct sc_error *e);
/* In place, until it is closed, or NULL. `resident`: only where that costs nothing, since all of it
 * is in memory. Call sc_stored_check() after the last use. */
const uint8_t *sc_stored_map(struct sc_stored *st, uint64_t first, uint64_t n, bool resident);
/* Blocks in place for a while, where they are one stretch of a local file: see
 * sc_source_open_window(). From any thread. False: read instead. */
struct sc_stored_window {
    struct sc_window window; /* of `n` blocks from `first` on */
    struct sc_source *source;
    uint64_t first, n;
};
bool sc_stored_open_window(struct sc_stored *st, uint64_t first, uint64_t n,
                           struct sc_stored_window *out);
int sc_stored_close_window(struct sc_stored *st, struct sc_stored_window *w, struct sc_error *e);
/* n blocks in the window; NULL: they do not lie there. */
const uint8_t *sc_stored_in_window(const struct sc_stored *st, const struct sc_stored_window *w,
                                   uint64_t first, uint64_t n);
/* Has its file changed? Unless `all`, only one that was mapped is looked at. */
int sc_stored_check(struct sc_stored *st, bool all, struct sc_error *e);
/* What takes long before the first read: unpacking, copying. */
int sc_stored_prepare(struct sc_stored *st, const _Atomic int *cancel, struct sc_error *e);
/* Where n blocks lie in the file: exact for one stretch, else all that may be needed. */
struct sc_span sc_stored_span(const struct sc_stored *st, uint64_t first, uint64_t n);
/* Which bytes these are: appends; false: its file has no identity. */
bool sc_stored_identity(struct sc_stored *st, struct sc_buf *out);
bool sc_stored_is_remote(struct sc_stored *st);
/* Would reading the span wait for a network? */
bool sc_stored_has(struct sc_stored *st, struct sc_span span);
void sc_stored_read_ahead(struct sc_stored *st, struct sc_span span);
void sc_stored_drop(struct sc_stored *st, struct sc_span span);
void sc_stored_prefetch(struct sc_stored *st, const struct sc_span *spans, size_t n);

#endif

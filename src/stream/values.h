/* SPDX-License-Identifier: Apache-2.0 */
/* values: what sweeps need of views beyond stream.h. Private to the stream layer. */
#ifndef SC_STREAM_VALUES_H
#define SC_STREAM_VALUES_H

#include "stream/stream.h"

#define SC_RAW_BYTES ((size_t)256 << 10) /* read at once: what stays in the second cache */

/* What a view that is computed from others does. All but read and close may be NULL. */
struct sc_values_ops {
    void (*close)(struct sc_values *v);
    /* To floats, to doubles, or to both. */
    int (*read)(struct sc_values *v, uint64_t first, uint64_t n, float *floats, double *doubles,
                struct sc_error *e);
    void (*prefetch)(struct sc_values *v, uint64_t first, uint64_t n);
    int (*prepare)(struct sc_values *v, const _Atomic int *cancel, struct sc_error *e);
    int (*check)(struct sc_values *v, bool all, struct sc_error *e);
    bool (*identity)(struct sc_values *v, struct sc_buf *out);
    /* sc_values_are_near(), sc_values_are_here(); NULL: always. */
    bool (*near)(struct sc_values *v);
    bool (*here)(struct sc_values *v, uint64_t first, uint64_t stride, size_t n_runs, uint64_t n,
                 bool ask);
};

/* What takes long before the first read: unpacking, copying. */
int sc_values_prepare(struct sc_values *base, const _Atomic int *cancel, struct sc_error *e);
/* Many values that will be loaded by one thread, one chunk after the other: maps them where that is
 * faster than reading. Closing tells whether the file shrank meanwhile. */
struct sc_stored_window;
void sc_values_open_window(struct sc_values *base, uint64_t first, uint64_t n,
                           struct sc_stored_window *out);
int sc_values_close_window(struct sc_values *base, struct sc_stored_window *w, struct sc_error *e);
/* Values first..first+n (at most SC_CHUNK_VALUES), from `window` where they lie there. `raw` has
 * room for SC_RAW_BYTES; codes, room and values64 are NULL where they are not wanted. *codes is
 * `raw`, or in place; *values is `room`, or stored floats where these are. */
int sc_values_load(struct sc_values *base, const struct sc_stored_window *window, uint64_t first,
                   uint64_t n, uint8_t *raw, const void **codes, float *room, const float **values,
                   double *values64, struct sc_error *e);
/* Codes of n_runs runs of n values, `stride` values apart: in `window`, where all of them lie there
 * (*apart: bytes from one run to the next), else copied to raw without gaps. */
int sc_values_load_runs(struct sc_values *base, const struct sc_stored_window *window,
                        uint64_t first, uint64_t stride, size_t n_runs, uint64_t n, uint8_t *raw,
                        const uint8_t **codes, size_t *apart, struct sc_error *e);

#endif

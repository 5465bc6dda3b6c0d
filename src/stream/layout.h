/* SPDX-License-Identifier: Apache-2.0 */
/* layout: logical weights whose codes and scales are tensors of their own (GPTQ, AWQ, FP8 with
 * scales, NVFP4, ...). Private to the stream layer: values.c asks it for every tensor whose layout
 * is neither SC_LAYOUT_PLAIN nor SC_LAYOUT_GGML, and for SC_LAYOUT_GGML with a scale beside it (two
 * parts). */
#ifndef SC_STREAM_LAYOUT_H
#define SC_STREAM_LAYOUT_H

#include "stream/stream.h"

/* Stored bytes of one entry: len of them at off of the entry, little-endian, contiguous, whatever
 * container they lie in; any off and len. From any thread. Must stay valid until close. */
struct sc_entry_bytes {
    int (*read)(void *ctx, uint32_t entry, uint64_t off, void *dst, size_t len, struct sc_error *e);
    /* In place, or NULL: read instead. */
    const uint8_t *(*map)(void *ctx, uint32_t entry, uint64_t off, size_t len);
    void *ctx;
};
struct sc_unpack;
/* Reads the small parts, checks every shape and index. SCRUPLE_EUNSUPPORTED: not decodable. */
int sc_unpack_open(const struct sc_model *m, const struct sc_tensor *t,
                   const struct sc_entry_bytes *bytes, struct sc_unpack **out, struct sc_error *e);
/* Values first..first+n of the logical tensor in row-major order; from any thread. `lone`: what
 * stands around them is not wanted, so their file need not be mapped. */
int sc_unpack_read(const struct sc_unpack *u, uint64_t first, uint64_t n, bool lone, float *dst,
                   struct sc_error *e);
void sc_unpack_close(struct sc_unpack *u);

#endif

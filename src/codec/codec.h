/* SPDX-License-Identifier: Apache-2.0 */
/* codec: number formats, one row each.
 *
 * Owns: the table of every element type that a checkpoint can hold (safetensors, GGUF, torch,
 * numpy) with its exact geometry, the maps from each container's own spelling to a row, and the
 * functions that turn blocks into values. Encoding joins the same rows when `quant` arrives.
 *
 * Does not own: where blocks lie in a file (format), nor scales that are tensors of their own
 * (model). Pure: no files, no threads, no allocation.
 */
#ifndef SC_CODEC_H
#define SC_CODEC_H

#include "kernel/kernel.h"

enum sc_kind {
    SC_KIND_FLOAT, /* one value an element: F32, BF16, F8_E4M3, F4 */
    SC_KIND_INT,   /* signed */
    SC_KIND_UINT,
    SC_KIND_BOOL,
    SC_KIND_COMPLEX,
    SC_KIND_SCALE,   /* E8M0: a power of two */
    SC_KIND_QINT,    /* torch quantised integers: scale and zero point stand in the pickle */
    SC_KIND_BLOCK,   /* GGML blocks: scales and codes together */
    SC_KIND_LOGICAL, /* label of a folded layout (INT4, NF4, NVFP4): never stored as such */
    SC_KIND_OPAQUE,  /* known by name or number only */
};

/* Elements come in blocks of `block` elements that take `bytes` bytes; a plain type has block 1, a
 * packed sub-byte type the smallest group that fills whole bytes (F4: 2 in 1, F6: 4 in 3).
 * `row_bytes` is a header that precedes every row (forks of GGML). */
struct sc_codec {
    const char *name;
    uint16_t block;
    uint16_t bytes;
    uint8_t row_bytes;
    uint8_t kind;    /* enum sc_kind */
    bool whole_rows; /* a row (last dimension) must be whole blocks: GGML types */
};

/* Index into the table; 0 is the opaque row. Ids are not stable between versions. */
typedef uint16_t sc_codec_id;
#define SC_OPAQUE ((sc_codec_id)0)

size_t sc_codec_count(void);
const struct sc_codec *sc_codec(sc_codec_id id);
/* By our name ("BF16", "Q4_K"), exact. SC_OPAQUE: none. */
sc_codec_id sc_codec_find(struct sc_str name);

sc_codec_id sc_codec_safetensors(struct sc_str dtype);
sc_codec_id sc_codec_ggml(uint32_t type_id);
/* "FloatStorage" ... and the dtype objects "float32", "bfloat16" of torch. */
sc_codec_id sc_codec_torch_storage(struct sc_str storage_class);
sc_codec_id sc_codec_torch_dtype(struct sc_str dtype);
/* numpy descr such as "<f4"; *big_endian is set when the data must be swapped. */
sc_codec_id sc_codec_numpy(struct sc_str descr, bool *big_endian);

/* Bits of one element, rounded down for odd geometries; 0 for the opaque row. */
double sc_codec_bits(sc_codec_id id);
/* Smallest normal magnitude of a float or of a part of a complex number: what lies below it is
 * subnormal. 0: the type has no such values of its own. */
double sc_codec_least_normal(sc_codec_id id);
/* Stored bytes of a tensor of this shape. false: does not fit in 64 bits, a GGML row is not whole
 * blocks, or sub-byte elements do not fill whole bytes. */
bool sc_codec_bytes(sc_codec_id id, const uint64_t *shape, size_t rank, uint64_t *out);

/* ------------------------------------------------------------------------------- decoding ---
 * Blocks as they lie in a file (little-endian; see sc_codec_swap) become values. Exact: every
 * decoder gives the value that the format's definition gives, GGML's the same bits as ggml
 * (float operations in its order). NaN and infinities pass through, -0 stays -0. */

/* n whole blocks at src (any alignment) to n * block * sc_codec_values() values at dst; they do not
 * overlap. */
typedef void sc_decode_fn(const uint8_t *src, float *dst, size_t n);
typedef void sc_decode64_fn(const uint8_t *src, double *dst, size_t n);

/* As float. NULL: a float cannot hold every value of this type (F64, 32- and 64-bit integers:
 * ask for sc_decoder64), or its bytes alone do not tell the value (quantised integers of torch,
 * labels of folded layouts, opaque and row-wise types). Complex types give two values an element,
 * real part first. Always the same bits, whatever the level. */
sc_decode_fn *sc_decoder(sc_codec_id id, enum sc_cpu level);
/* As double: every type that sc_decoder() knows, and those whose values only a double holds
 * (64-bit integers above 2^53 are rounded to nearest even). */
sc_decode64_fn *sc_decoder64(sc_codec_id id);
/* Values that one element gives: 2 for complex types and for the byte of two F4 that torch counts
 * as one element (F4_X2), else 1. A block of n elements gives n times as many. */
unsigned sc_codec_values(sc_codec_id id);
/* Big-endian elements to little-endian ones, in place; false: this type cannot be swapped. */
bool sc_codec_swap(sc_codec_id id, void *p, uint64_t n_elements);

/* What a half or bfloat16 is as float. */
float sc_f16_value(uint16_t bits);
static inline float sc_bf16_value(uint16_t bits)
{
    const union {
        uint32_t u;
        float f;
    } v = {(uint32_t)bits << 16};
    return v.f;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* layout_parts: what the layout*.c files share. Private to the stream layer.
 *
 *   layout.c         opening and reading: parts, scratch memory, the walk over rows
 *   layout_bits.c    packed integers to floats; scales, zeros and biases over runs of values
 *   layout_float.c   FP8, MXFP8, NVFP4, MXFP4, BitNet, GGML blocks with a scale beside them
 *   layout_int.c     compressed-tensors, MLX, bitsandbytes int8
 *   layout_bnb.c     bitsandbytes of 4 bits
 *   layout_gptq.c    GPTQ and AWQ, which store the transposed matrix
 *   layout_qint.c    quantised integers of PyTorch
 *
 * Every access to stored bytes is checked against the length of its part, so a shape that was not
 * looked at gives an error, never a read beyond the end. */
#ifndef SC_STREAM_LAYOUT_PARTS_H
#define SC_STREAM_LAYOUT_PARTS_H

#include "stream/layout.h"

enum {
    SC_PIECE = 4096,      /* values of a row that are decoded at a time: they stay in the cache */
    SC_ROOM = 72 * 1024,  /* bytes of codes read at a time where a file cannot be mapped */
    SC_SMALL = 32 * 1024, /* likewise of scales and the like */
    SC_ROWS = 16,         /* rows of a transposed matrix that are decoded at a time */
};
#define SC_PART_ABSENT UINT32_MAX

/* One stored tensor of a logical one. */
struct sc_unpack_part {
    uint32_t entry; /* SC_PART_ABSENT: there is none */
    sc_codec_id codec;
    uint64_t count; /* elements */
    uint64_t bytes;
    uint8_t *whole; /* all bytes, of a small part; else NULL */
};

/* Scales on a grid over the last two dimensions. A zero point has the same one. */
struct sc_unpack_grid {
    const uint64_t *lead; /* dimensions before the last two, each that of the tensor or 1; NULL:
                             one value for all */
    uint64_t down, along; /* values of a column and of a row that share a scale */
    uint64_t high, wide;  /* scales of a column and of a row */
};

/* Bytes of a part that is too large to be kept as a whole, where it cannot be mapped. */
struct sc_unpack_window {
    uint32_t entry;
    uint64_t from, have;
    uint8_t bytes[SC_SMALL];
};

/* Memory of one reader; never shared. */
struct sc_unpack_scratch {
    struct sc_unpack_scratch *next;
    uint64_t from, have; /* bytes of the codes that are in room */
    uint64_t stop;       /* where the codes of this call end: no more is read ahead */
    bool lone;           /* few of them, by themselves: read, not mapped */
    uint32_t *strip;     /* a rectangle of words of a transposed matrix: layout_gptq.c */
    size_t strip_cap;
    uint64_t strip_row, strip_rows, strip_col, strip_cols;
    uint64_t first_row, n_rows; /* of values in it */
    float *scales, *zeros;      /* u->n_floats each */
    union {
        uint8_t room[SC_ROOM];       /* codes that were read */
        uint32_t lines[SC_ROOM / 4]; /* words of SC_ROWS rows, row by row: layout_gptq.c */
    };
    unsigned turn;                      /* the window that was filled last */
    struct sc_unpack_window windows[3]; /* scales, and zero points or biases */
};

struct sc_unpack {
    const struct sc_model *model;
    const struct sc_tensor *tensor;
    struct sc_entry_bytes bytes;
    uint64_t count, rows, cols; /* as read: cols values a row */
    struct sc_unpack_part codes, scale, scale_2, zero, bias, map, map_2;
    struct sc_unpack_grid grid;
    /* Values of one row from col on, n <= SC_PIECE; or NULL, and tile instead: n_rows <= SC_ROWS
     * rows, their values `stride` floats apart. */
    int (*piece)(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row, uint64_t col,
                 size_t n, float *dst, struct sc_error *e);
    int (*tile)(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t row, size_t n_rows,
                uint64_t col, uint64_t n, float *dst, uint64_t stride, struct sc_error *e);
    size_t n_floats;
    sc_decode_fn *decode;  /* of codes that are values themselves */
    uint64_t row_bytes;    /* of the codes of one row, where rows begin with whole words; else 0 */
    uint8_t bits;          /* of a code, where codes follow each other in the order of values */
    bool whole_codes;      /* no integer lies in two words */
    bool zero_packed;      /* zero points are packed as codes are; else they are numbers */
    bool zero_whole;       /* of packed ones: none lies in two words */
    bool divides;          /* the scale for the whole tensor divides */
    float zero_base;       /* added to zero points that are numbers; all of it without any */
    uint32_t *order;       /* group of every column, or NULL */
    bool zero_step;        /* GPTQ: stored zero points are one less */
    float pairs[256][2];   /* bnb: what a byte stands for, from quant_map */
    float nested[256];     /* bnb: nested_quant_map */
    float offset;          /* bnb: nested_offset */
    uint64_t nested_block; /* bnb: absmax that share a nested one; 0: not nested */
    const struct sc_quantizer *quantizer; /* PyTorch */
    struct sc_unpack_pool *pool;
};

/* ------------------------------------------------------------------------------- layout.c --- */
/* Part `kind` of the tensor; `ends`: and of a name that ends so (NULL: any). The part is left
 * absent when there is none. Small ones are read. */
int sc_part_find(struct sc_unpack *u, enum sc_part kind, const char *ends, struct sc_unpack_part *p,
                 struct sc_error *e);
static inline bool sc_part_there(const struct sc_unpack_part *p)
{
    return p->entry != SC_PART_ABSENT;
}
static inline const struct sc_entry *sc_part_entry(const struct sc_unpack *u,
                                                   const struct sc_unpack_part *p)
{
    return &u->model->catalog->entries[p->entry];
}
bool sc_part_is(const struct sc_unpack_part *p, const char *codec);
static inline bool sc_part_is_float(const struct sc_unpack_part *p)
{
    return sc_part_is(p, "F32") || sc_part_is(p, "BF16") || sc_part_is(p, "F16") ||
           sc_part_is(p, "F64");
}
/* Returns `code` with "TENSOR: PART (dtype shape) ..." */
int sc_unpack_refuse(const struct sc_unpack *u, const struct sc_unpack_part *p, int code,
                     struct sc_error *e, const char *fmt, ...) SC_PRINTF(5, 6);
/* The part must be there. */
int sc_unpack_need(const struct sc_unpack *u, const struct sc_unpack_part *p, const char *what,
                   struct sc_error *e);
/* len <= SC_SMALL bytes of a part, in place or in a window, until the next call; of the codes:
 * len <= SC_ROOM. */
int sc_part_bytes(const struct sc_unpack *u, struct sc_unpack_scratch *w,
                  const struct sc_unpack_part *p, uint64_t off, size_t len, const uint8_t **out,
                  struct sc_error *e);
int sc_code_bytes(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t off, size_t len,
                  const uint8_t **out, struct sc_error *e);
/* Elements first..first+n of a part as floats (doubles are rounded). */
int sc_part_floats(const struct sc_unpack *u, struct sc_unpack_scratch *w,
                   const struct sc_unpack_part *p, uint64_t first, uint64_t n, float *dst,
                   struct sc_error *e);
/* All elements of a small part, when the tensor is opened. */
int sc_part_read(const struct sc_unpack *u, const struct sc_unpack_part *p, float *dst,
                 struct sc_error *e);
void sc_part_drop(struct sc_unpack_part *p);
/* Codes whose blocks are values: flat index first..first+n, n <= SC_PIECE. */
int sc_code_values(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t first, size_t n,
                   float *dst, struct sc_error *e);
/* How scales lie over the tensor. Lengths that the configuration tells win where they fit; with
 * `blocks`, blocks of 128 x 128 are tried next. */
int sc_grid_open(struct sc_unpack *u, const struct sc_unpack_part *p, bool blocks,
                 struct sc_error *e);
/* Index of the first scale of a row. */
uint64_t sc_grid_row(const struct sc_unpack *u, uint64_t row);
/* The group of every column from a part of integers; -1 anywhere, or all of them 0: there is no
 * order. Groups must be below n_groups. */
int sc_unpack_order(struct sc_unpack *u, uint64_t n_groups, struct sc_error *e);

/* -------------------------------------------------------------------------- layout_bits.c --- */
/* Codes first..first+n of a row of `bits`-bit integers, packed from the lowest bit of the first
 * byte upward; src is where code first - first % 8 begins, and nothing is read beyond the last
 * code's byte. */
void sc_bits_unpack(const uint8_t *src, unsigned bits, uint64_t first, size_t n, float *dst);
/* Codes first..first+n of 32-bit words that hold 32 / bits codes each; src is the word of the
 * first. */
void sc_words_unpack(const uint8_t *src, unsigned bits, uint64_t first, size_t n, float *dst);
/* Bits shift.. of each of n words. */
void sc_column_unpack(const uint32_t *words, unsigned shift, uint32_t mask, size_t n, float *dst);
enum sc_apply {
    SC_APPLY_SCALE,      /* v * a */
    SC_APPLY_ZERO_SCALE, /* (v - b) * a */
    SC_APPLY_SCALE_BIAS, /* v * a + b */
};
/* Values of columns col..col+n of which `along` share a and b; a[0] is that of column col. */
void sc_apply_runs(enum sc_apply how, float *dst, size_t n, uint64_t col, uint64_t along,
                   const float *a, const float *b);
/* The same with the group of each column. Only SC_APPLY_SCALE and SC_APPLY_ZERO_SCALE. */
void sc_apply_order(enum sc_apply how, float *dst, size_t n, const uint32_t *group, const float *a,
                    const float *b);

/* Layouts: fill in how values are read. */
int sc_unpack_fp8(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_fp4(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_bitnet(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_ggml(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_ct_pack(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_ct_int(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_mlx(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_mlx_float(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_bnb8(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_bnb4(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_gptq(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_awq(struct sc_unpack *u, struct sc_error *e);
int sc_unpack_qint(struct sc_unpack *u, struct sc_error *e);

#endif

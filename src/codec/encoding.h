/* SPDX-License-Identifier: Apache-2.0 */
/* encoding: number formats that values can be put into, and what comes back.
 *
 * Owns: the formats of `quant`, `curves` and `tree -c` by name with their settings, the bytes that
 * they take, rounding (values to the values that a format keeps of them) and packing (values to the
 * format's own bytes). Rounding is decode(encode(x)) without the bytes in between and gives the
 * same bits.
 *
 * Does not own: which values belong together (a line is a row or, for `.T`, a column of a matrix:
 * the caller lines them up), what an error is called (analyze).
 *
 * Pure: no files, no threads, no allocation. Bit-exact to the definitions, the same bits on every
 * level. Sources: OCP 8-bit Floating Point 1.0, OCP Microscaling Formats 1.0, the packers of TTNN,
 * ggml's reference quantisers, NVIDIA's two-level NVFP4.
 */
#ifndef SC_ENCODING_H
#define SC_ENCODING_H

#include "codec/codec.h"

enum sc_scheme {
    SC_SCHEME_ZERO,   /* fp0: nothing is kept, no bytes */
    SC_SCHEME_CAST,   /* every value by itself: fp32, bf16, fp16, fp8 and smaller floats */
    SC_SCHEME_BFP,    /* TTNN block float: 16 values share an exponent, tiles of 32 x 32 */
    SC_SCHEME_MX,     /* OCP microscaling: 32 values share a power of two */
    SC_SCHEME_NVFP4,  /* E2M1, 16 values share an E4M3 scale, all a float */
    SC_SCHEME_INT,    /* integers of 2 to 8 bits times a step */
    SC_SCHEME_LEVELS, /* bitsandbytes: one of 16 levels times the largest of a block */
    SC_SCHEME_GGML,   /* the blocks of a GGUF file */
};
/* What one code is. */
enum sc_element {
    SC_ELEMENT_NONE,
    SC_ELEMENT_F32,
    SC_ELEMENT_BF16,
    SC_ELEMENT_F16,
    SC_ELEMENT_E4M3, /* E4M3FN: no infinity */
    SC_ELEMENT_E5M2,
    SC_ELEMENT_E4M3FNUZ,
    SC_ELEMENT_E5M2FNUZ,
    SC_ELEMENT_E3M2,
    SC_ELEMENT_E2M3,
    SC_ELEMENT_E2M1,
    SC_ELEMENT_INT,
    SC_ELEMENT_NF4,
    SC_ELEMENT_FP4, /* bitsandbytes' */
    SC_ELEMENT_COUNT
};
/* How a shared exponent follows from the largest |x| of its values. */
enum sc_scale_rule {
    SC_RULE_FLOOR, /* floor(log2 amax) - emax: the default of OCP, TTNN and ggml */
    SC_RULE_RCEIL, /* ceil(log2(amax / largest element)): nothing saturates */
    SC_RULE_CEIL,  /* ceil(log2 amax) - emax */
    SC_RULE_EVEN,  /* floor(log2(amax rounded to the element's mantissa)) - emax */
    SC_RULE_SSE,   /* of neighbouring exponents the one of the least squared error */
    SC_RULE_COUNT
};
enum sc_scale_over {
    SC_OVER_NOTHING, /* no scale, or one whose values are all in one unit */
    SC_OVER_LINE,    /* one step a row (`.T`: a column) */
    SC_OVER_TENSOR,  /* one a tensor; of NVFP4 beside that of its blocks */
};

struct sc_encoding {
    char name[64];     /* canonical: what sc_encoding_parse() makes this struct of again */
    uint8_t scheme;    /* enum sc_scheme */
    uint8_t element;   /* enum sc_element */
    uint8_t bits;      /* of one code: magnitude bits and sign of BFP included */
    uint8_t rule;      /* enum sc_scale_rule */
    uint8_t over;      /* enum sc_scale_over: what sc_step is asked for */
    bool affine;       /* INT: with a zero point */
    bool clip;         /* INT: the extent is narrowed where that lowers the squared error */
    uint8_t scale;     /* INT: enum sc_element of a stored step: F32, F16 or BF16 */
    bool saturate;     /* CAST: too large becomes the largest, else infinity or NaN */
    bool other_axis;   /* `.T`: lines are columns */
    uint32_t unit;     /* values of a line that are rounded together: 1, 16, 32, 64, 256, a group */
    float floor;       /* NVFP4: least scale of a block that is not zero; 2^-9 */
    sc_codec_id codec; /* GGML: the row of the block type; else of the stored codes, or SC_OPAQUE */
};

/* "bfp8", "MXFP4:rceil", "int4:group=128,affine,clip", "nvfp4.T", "q4_k": a name of the table, then
 * `:` and settings, then `.T`; in any case. SCRUPLE_EUSAGE with what was wrong and what is allowed
 * (the nearest name, or the settings of this format). */
int sc_encoding_parse(struct sc_str text, struct sc_encoding *out, struct sc_error *e);

/* The table, in the order in which people list formats. */
struct sc_encoding_info {
    const char *name;    /* "mxfp8_e4m3" */
    const char *alias;   /* other spellings, blank-separated; NULL */
    const char *title;   /* "MXFP8 E4M3" */
    const char *summary; /* one line: layout and scale */
    const char
        *settings;      /* "floor rceil ceil even sse": what may follow the colon; NULL: nothing */
    const char *source; /* where it is defined */
    const char *codec;  /* row of codec.h: the block (GGML), or what the codes are; NULL: none */
    uint8_t scheme;     /* enum sc_scheme; what a struct sc_encoding without settings holds: */
    uint8_t element;
    uint8_t bits;
    uint16_t unit;
};
extern const struct sc_encoding_info sc_encodings[];
extern const size_t sc_n_encodings;
/* The row that it was made of. */
const struct sc_encoding_info *sc_encoding_info(const struct sc_encoding *f);

/* ---------------------------------------------------------------------------------- bytes ---
 * What `matrices` matrices of rows x cols take, packed: whole tiles, blocks and scales, and what a
 * tensor adds once. false: this format cannot hold this shape (GGML wants whole blocks a row), or
 * the number does not fit; why is a sentence or NULL. (A vector in BFP: rows of 32, so that a tile
 * holds 1024 of its values.) */
bool sc_encoding_bytes(const struct sc_encoding *f, uint64_t matrices, uint64_t rows, uint64_t cols,
                       uint64_t *out, const char **why);
/* Bits a value takes in a large matrix. Of INT over lines the scale of a line counts as nothing. */
double sc_encoding_bits(const struct sc_encoding *f);

/* --------------------------------------------------------------------------------- extents ---
 * Least and largest finite value of a tensor or a line; min > max: there is none. */
struct sc_extent {
    float min, max;
};
/* The step that codes are multiplied by, when f->over is not SC_OVER_NOTHING: of that line, or of
 * the tensor (NVFP4: amax / 2688 in float). */
struct sc_step {
    float scale, inverse; /* inverse 0: everything becomes 0 */
    int32_t zero;         /* affine: the code of 0 */
};
void sc_encoding_step(const struct sc_encoding *f, struct sc_extent of, struct sc_step *out);
/* The extent of the least squared error for f->clip: `of` times the best of the shares 1, .99, ...
 * .30, the largest of equals. x: n values that stand for the line or the tensor, each `weight`
 * times (NULL: once). Sums in double, in order. */
struct sc_extent sc_encoding_clip(const struct sc_encoding *f, struct sc_extent of, const float *x,
                                  const uint32_t *weight, size_t n);

/* -------------------------------------------------------------------------------- rounding ---
 * n values of one line from a multiple of f->unit on, n a multiple of it too unless the line ends
 * there (missing values count as zero). x and y may be the same. step: as f->over asks; else NULL.
 * Returns how many finite values were too large for their scale and became the largest that it
 * holds (GGML: of E2M1 only). NaN and infinities become what the format makes of them. GGML: n must
 * be whole units. */
typedef size_t sc_round_fn(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                           size_t n, float *y);
/* Never NULL for what sc_encoding_parse() gave. */
sc_round_fn *sc_rounder(const struct sc_encoding *f, enum sc_cpu level);

/* ---------------------------------------------------------------------------------- losses ---
 * sc_rounder() and then sc_errors() of a block, in one loop with the same bits: its rows lie behind
 * each other (x_stride is n), all its values are finite and sc_errors_good(); y is not looked at,
 * and there is a tail unless only sums are wanted. peak: the largest |x| of every 16 values as
 * bits, rounded up to 16 of these; bits: of all values, or-ed. `down`: values of a column are
 * rounded together, not those of a row: the first row begins a unit, n is a multiple of 32, and
 * peaks are those of sc_column_peaks() (not for formats of one value each). *full, unless
 * it is NULL, grows by the values that were too large. Of short errors x may be NULL. false:
 * something is rare, *out means nothing and *full is as it was. */
enum { SC_LOSS_GROUPS = 1024 }; /* of 16 values, at most */
typedef bool sc_losses_fn(const struct sc_encoding *f, const struct sc_step *step,
                          const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                          bool down, struct sc_block_errors *out, uint64_t *full);
/* NULL: there is none for this format or level. */
sc_losses_fn *sc_losses(const struct sc_encoding *f, enum sc_cpu level);
/* Errors of BF16 values whose largest has fewer bits than this are short (kernel.h): all that a
 * format keeps has few bits, and is the nearest, so y - x has no more than x. 0: they may be long.
 */
uint32_t sc_encoding_short_below(const struct sc_encoding *f);
/* The peaks of n groups, and all bits. */
uint32_t sc_group_peaks(const float *x, size_t n, enum sc_cpu level, uint32_t *peak);
/* The peaks of high x n values (n a multiple of 16), 16 rows of a column each: of the first 16 rows
 * one a column, then of the next ones. */
void sc_column_peaks(const float *x, size_t high, size_t n, enum sc_cpu level, uint32_t *peak);

/* --------------------------------------------------------------------------------- packing ---
 * The same as bytes, as files and hardware hold them: n values of a line as above. MX: the scale,
 * then the codes (E2M1 and INT4: low bits first); NVFP4: E4M3 scale, 8 bytes of codes; INT:
 * codes only, dense, low bits first, two's complement or, affine, from 0 on; LEVELS: codes only,
 * high nibble first, as bitsandbytes has it (scales are the caller's of both); BFP: exponent, then
 * codes of 16 values (tiles: below); GGML: blocks. Returns the bytes written. */
size_t sc_encoding_pack(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                        size_t n, uint8_t *dst);
/* A TTNN tile: 32 x 32 values, rows `stride` values apart; 1088, 576 or 320 bytes at dst. */
size_t sc_bfp_pack_tile(const struct sc_encoding *f, const float *x, size_t stride, uint8_t *dst);
void sc_bfp_unpack_tile(const struct sc_encoding *f, const uint8_t *src, float *x, size_t stride);

/* Values to blocks of a GGML type, n of them (n * block values): the other direction of
 * sc_decoder(). Q4_0 to Q8_0, MXFP4, NVFP4, TQ1_0, TQ2_0, Q1_0, Q2_0, F16, BF16: ggml's reference
 * bytes. Q2_K to Q6_K, IQ4_NL and IQ4_XS: our own fit. NULL: there is no encoder. */
typedef void sc_encode_fn(const float *x, uint8_t *dst, size_t n);
sc_encode_fn *sc_encoder(sc_codec_id id, enum sc_cpu level);
/* Whether the bytes are ggml's, or a fit of our own ("about"). */
bool sc_encoder_exact(sc_codec_id id);

/* ------------------------------------------------------------------------------ one element ---
 * Nearest code of a small float, ties to even (for tables, tests and other encoders). */
uint32_t sc_element_encode(enum sc_element t, float x, bool saturate);
float sc_element_value(enum sc_element t, uint32_t code);
float sc_element_largest(enum sc_element t);

/* ----------------------------------------------------------- one element of what is stored ---
 * put.c. In packed blocks (GGML, F4, F6) an element has bits of its own beside what it shares. */
enum { SC_OWN_BITS = 8, SC_OWN_BLOCK = 256 };
struct sc_own_bits {
    uint8_t n[SC_OWN_BLOCK];                /* of each element */
    uint16_t at[SC_OWN_BLOCK][SC_OWN_BITS]; /* bit k of byte b is b * 8 + k */
};
/* Takes milliseconds: once a type. False: no decoder, or elements share their codes (TQ1_0 and the
 * IQ types with a codebook), or nothing but a sign is their own. */
bool sc_own_bits_find(sc_codec_id id, struct sc_own_bits *out);
/* Floats, integers and booleans need no bits (`own` NULL). */
bool sc_can_put(sc_codec_id id, const struct sc_own_bits *own);
/* x, rounded, at element i of a little-endian block; the others stay what they are. Ties to even,
 * in packed blocks to the smaller magnitude; what is too large becomes the largest that there is
 * with the scales of the block. */
void sc_put_element(sc_codec_id id, const struct sc_own_bits *own, uint8_t *block, unsigned i,
                    double x);

#endif

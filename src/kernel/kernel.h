/* SPDX-License-Identifier: Apache-2.0 */
/* kernel: what loops in SIMD share.
 *
 * Owns: which vector units the processor has, and how a test asks for fewer; counting and sums over
 * codes and floats. Other loops stand with their subject (decoders in codec). All are plain C that
 * is always there and variants that are proven to give the same bits.
 *
 * Does not own: threads, memory.
 */
#ifndef SC_KERNEL_H
#define SC_KERNEL_H

#include "base/base.h"

enum sc_cpu {
    SC_CPU_C,      /* plain C */
    SC_CPU_AVX2,   /* AVX2, FMA and F16C */
    SC_CPU_AVX512, /* AVX-512 F, BW, DQ and VL */
};
/* The best that this processor has; $SCRUPLE_CPU ("c", "avx2", "avx512", "bf16", "amx") asks for
 * less. Asked once. */
enum sc_cpu sc_cpu_level(void);
/* Beside AVX-512: is there a matrix unit that multiplies bfloat16 (AMX), and does the system let
 * this process use it? $SCRUPLE_CPU: only "amx" is as much as that. Asked once. */
bool sc_cpu_has_tiles(void);
/* Beside AVX-512: are there sums of products of two bfloat16 (AVX512-BF16)? $SCRUPLE_CPU as above,
 * where "bf16" stands for it. Asked once. */
bool sc_cpu_has_bf16(void);

/* Compile one function for a level: SC_TARGET_AVX2 static void f(...). */
#if defined(__x86_64__) && defined(__GNUC__)
#define SC_HAVE_X86      1
#define SC_TARGET_AVX2   __attribute__((target("avx2,fma,f16c")))
#define SC_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define SC_TARGET_BF16                                                                             \
    __attribute__((target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#else
#define SC_HAVE_X86 0
#endif

/* ---------------------------------------------------------------- counts.c: how often, which ---
 * Tables count in 32 bits: whoever passes more than 2^32 - 1 values to one empties it in between.
 * Codes may have any alignment. Scalar: a table in cache is as fast as the processor stores. */

/* table[code]++ of n codes. */
void sc_count_codes8(const void *codes, size_t n, uint32_t table[256]);
void sc_count_codes16(const void *codes, size_t n, uint32_t table[65536]);
/* table[upper 16 bits]++ of n floats. */
void sc_count_tops(const float *x, size_t n, uint32_t table[65536]);
/* The bits of those floats whose bit (bits >> 16) & 0x7fff of wanted is set, in order; how many.
 * out has room for n + 16. */
size_t sc_pick_tops(const float *x, size_t n, const uint32_t wanted[1024], enum sc_cpu level,
                    uint32_t *out);

/* 16-bit codes that wait for being counted. Counting keeps the store unit busy and little else, so
 * a loop of arithmetic takes some along for next to nothing. */
struct sc_counting {
    const uint8_t *codes; /* the next */
    size_t n;             /* that are left */
    uint32_t *table;      /* (65536) */
    size_t ahead;         /* bytes: what lies so far ahead will be looked at next; a hint */
};
/* All that are left. */
static inline void sc_counting_finish(struct sc_counting *c)
{
    sc_count_codes16(c->codes, c->n, c->table);
    c->n = 0;
}

/* ------------------------------------------------------------- moments.c, rows.c: sums of floats
 * Every level gives the same bits: lane i of 16 adds up elements i, i + 16, ... (missing ones are
 * zero) without fused operations, and lanes are added as ((i, i + 8), (i, i + 4), ...). A value
 * that is not finite makes the sums meaningless, which `most` tells. */
enum { SC_LANES = 16 };

struct sc_sums {
    double sum, abs, square;
    float min, max;
    uint32_t least, most; /* bits of the smallest |x| that is not 0 (UINT32_MAX: none), largest */
    uint32_t any;         /* all bits or-ed */
};
/* n 0: zeros, min = Infinity, max = -Infinity. */
void sc_sums(const float *x, size_t n, enum sc_cpu level, struct sc_sums *out);

/* Sums of powers of x - mean. */
struct sc_central {
    double square, third, fourth;
};
void sc_central(const float *x, size_t n, double mean, enum sc_cpu level, struct sc_central *out);

/* The largest |x| of every `group` values as bits, the last group may be shorter; and of all. */
uint32_t sc_peaks(const float *x, size_t n, size_t group, enum sc_cpu level, uint32_t *peaks);

/* Rows of a matrix (`rows` x n) into its columns: peak[i] = max(peak[i], |x[i]| as bits) and
 * square[i] += x[i]^2; row_square[k] is the sum of all squares of row k. 8, 4 and 2 rows are taken
 * together as long as there are so many: 8 squares of a column and 32 of a lane of a row are then
 * added as floats (|x| must be below 2^60, and what is below 2^-63 counts for nothing). A single
 * row is added as doubles. */
void sc_columns(const float *x, size_t rows, size_t n, enum sc_cpu level, uint32_t *peak,
                double *square, double *row_square);

/* What symmetric integers of one step a group lose, in steps: with t = x inverse[g], which must
 * be below 2^22, and r = t - t rounded to even, sums of r, |r|, ... times weight[g] for each factor
 * of r and t. stride 0: one inverse and weight for all groups. Groups are summed in float, 32
 * groups at a time in double. */
struct sc_steps {
    double square, abs, cross; /* weight^2 r^2, weight |r|, weight^2 t r */
    double most;               /* largest weight |r| */
};
void sc_steps(const float *x, size_t n, size_t group, const float *inverse, const float *weight,
              size_t stride, enum sc_cpu level, struct sc_steps *out);

/* The same twice: with a step a group, and with one step of weight 1 for all, which is summed in
 * groups of SC_STEPS_TOGETHER. Counts some of the codes meanwhile, unless counting is NULL. */
enum { SC_STEPS_TOGETHER = 512 };
struct sc_steps_of {
    size_t group;
    const float *inverse, *weight; /* of each group */
    float inverse_of_all;
};
void sc_steps_both(const float *x, size_t n, const struct sc_steps_of *how, enum sc_cpu level,
                   struct sc_counting *counting, struct sc_steps *groups, struct sc_steps *all);

/* sc_peaks(), sc_columns() and sc_steps_both() of BF16 codes as they are stored, with the same
 * bits, where sc_bf16_in_place() is true. Rows of sc_columns_bf16() are even in number.
 * sc_steps_bf16() takes the next n codes of `codes` and counts them. */
bool sc_bf16_in_place(size_t n, size_t group, enum sc_cpu level);
#if SC_HAVE_X86
uint32_t sc_peaks_bf16(const void *codes, size_t n, size_t group, uint32_t *peaks);
void sc_columns_bf16(const void *codes, size_t rows, size_t n, uint32_t *peak, double *square,
                     double *row_square);
void sc_steps_bf16(size_t n, const struct sc_steps_of *how, struct sc_counting *codes,
                   struct sc_steps *groups, struct sc_steps *all);
#endif

/* ----------------------------------------------------------- errors.c: what a format loses ---
 * d = y - x over a block of at most 32 rows, 32 columns (a tile) at a time. Of a tile every lane of
 * 16 adds up 16 rows of one column as floats, these sums as floats too, then the 16 lanes as ((i, i
 * + 8), (i, i + 4), ...); squares of a row: every 16th column a lane, as floats, over the row.
 * Products are added before they are rounded (fmaf()). The same bits on every level.
 *
 * The sums are good when all |x| and |d| are below 2^55 and the largest of each is 0 or above
 * 2^-40: nothing overflows, and what is lost below 2^-126 does not count. Whoever finds `most`, or
 * that of x, outside of that adds up the block in double (sc_errors_exact()). */
enum { SC_ERROR_ROWS = 32, SC_ERROR_COLUMNS = 32 };
/* Sums of y alone are in double, for it is these that the mean is taken out of. Of BF16 values they
 * are as above: a square has 16 bits, and where all values are of the same size, as those of a
 * large mean are, the sum of 256 squares has 24, so that nothing is lost. There the largest of a
 * tile is not looked for, and `most` of all is UINT32_MAX where something is not finite, or about
 * above 2^60. */
struct sc_error_sums {
    double d, abs, square, values, cross; /* sums of d, |d|, d^2, y^2, x d */
    uint32_t most;                        /* bits of the largest |d| */
};
/* Short errors: x and d are BF16 values, of which there are processors that multiply two at a time.
 * Their sums are in another order: of 32 columns lane i of 16 takes 2 j and 2 j + 1, j being i / 2
 * + i % 2 * 8; of each of 16 rows it adds first the product of the second column, then that of the
 * first, each rounded once. Whatever is below 2^-126, before or after, is 0. The rest is as above,
 * and so is `most`. The codes stand in that order: those of lane i at 2 i and 2 i + 1. */
enum { SC_SHORT_COLUMNS = 128, SC_SHORT_VALUES = SC_ERROR_ROWS * SC_SHORT_COLUMNS };
/* What will be read next, brought nearer meanwhile: BF16 codes, as many as there are in the block.
 * A hint; some loops do not take it. */
struct sc_ahead {
    const uint8_t *codes; /* or NULL */
    size_t stride;        /* bytes from row to row */
};
struct sc_error_block {
    const float *x, *y; /* x NULL: sums of y and y^2 alone, in double; no tail */
    bool brief;         /* without x: all values are those of BF16; see below */
    size_t x_stride, y_stride;
    size_t rows, n;  /* at most SC_ERROR_ROWS; a multiple of SC_ERROR_COLUMNS */
    uint32_t above;  /* bits of a magnitude: see tail */
    uint32_t common; /* likewise: what is above the first and not above this is counted alone */
    uint32_t *tail; /* room for rows * n + 16: bits of each |d| above both, in any order; or NULL */
    bool relative;  /* the largest |d| / |x| is wanted */
    bool only_sums; /* nothing is wanted but sums of tiles and `most` (without x: least and largest
                       too); no tail, no columns */
    const uint16_t *short_x; /* x in the order of short errors, with nothing but sums of these
                                wanted; NULL: errors are not short. sc_errors() takes x itself */
    struct sc_ahead ahead;
};
struct sc_block_errors {
    struct sc_error_sums *sums;       /* (n / SC_ERROR_COLUMNS), the caller's memory */
    double *columns;                  /* (n) d^2 of each column, the caller's memory; or NULL */
    size_t tail, common;              /* how many there are */
    double row_square[SC_ERROR_ROWS]; /* of each row */
    float relative;                   /* largest |d| / |x| of x that is not 0 */
    float min, max;                   /* without x: of y; no meaning if any is not finite */
    uint32_t most;                    /* bits of the largest |d| of all */
    uint64_t zeros;                   /* values of y that are 0 */
    bool exact;                       /* added up by sc_errors_exact() */
};
void sc_errors(const struct sc_error_block *b, enum sc_cpu level, struct sc_block_errors *out);
/* BF16 codes, rows `stride` bytes apart: widened to x (rows * n floats, one row behind the other),
 * what sc_errors() says of these without x (brief), and the largest |x| of every 16 of them as
 * bits, with zeros up to whole 16. `ahead` is rows as far apart; or NULL. */
void sc_errors_bf16(const uint8_t *codes, size_t stride, size_t rows, size_t n, enum sc_cpu level,
                    const uint8_t *ahead, bool only_sums, float *x, uint32_t *peaks,
                    struct sc_block_errors *out);
/* The same for short errors, of rows of SC_SHORT_COLUMNS columns. false: the largest of 16 columns
 * of a row is neither 0 nor between 2^-40 and 2^55 everywhere, so that errors must not be short;
 * what is written then means nothing. */
struct sc_short_codes {
    const uint8_t *codes, *ahead; /* rows that are `stride` bytes apart; ahead: or NULL */
    size_t stride, rows;          /* rows are even in number */
    uint16_t *short_x;            /* (rows * SC_SHORT_COLUMNS) codes in the order of short errors */
    float *x;                     /* (the same) widened, in their own order; or NULL */
    uint32_t *peaks;              /* (rows * SC_SHORT_COLUMNS / 16) */
};
bool sc_errors_short_bf16(const struct sc_short_codes *from, enum sc_cpu level,
                          struct sc_block_errors *out);
/* The same one by one in double, for any values and any n. Values of x that are not finite are left
 * out and count as zeros of d; a y that is not finite (and x is) counts as 0 and in *overflowed. */
void sc_errors_exact(const struct sc_error_block *b, struct sc_block_errors *out,
                     uint64_t *overflowed);
/* Least and largest of the finite values; Infinity and -Infinity: there is none. */
void sc_extremes(const float *x, size_t n, enum sc_cpu level, float *min, float *max);
/* The same of BF16 codes. */
void sc_extremes_bf16(const uint8_t *codes, size_t n, enum sc_cpu level, float *min, float *max);
/* Whether sums of a block are good: by the bits of its largest magnitude. */
static inline bool sc_errors_good(uint32_t most)
{
    return most == 0 || (most >= UINT32_C(0x2b800000) && most < UINT32_C(0x5b000000));
}

#endif

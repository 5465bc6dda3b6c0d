/* SPDX-License-Identifier: Apache-2.0 */
/* deflate: blocks of colours (RFC 1951).
 *
 * A block has a Huffman code of its own for literals, and runs of one colour where there are many.
 * That is close to the entropy of the colours and runs at the speed of memory's neighbour, the
 * cache. */
#include "picture/deflate.h"

#include <string.h>

enum {
    SYMBOLS = 286,     /* literals, end, lengths */
    END = 256,         /* end of block */
    LENGTHS = 19,      /* symbols of the code of code lengths */
    RUN_LONGEST = 258, /* bytes of one run */
    WIDE = 128         /* bytes that are worth more than one at a time */
};

/* -------------------------------------------------------------------------------- Huffman --- */

struct code {
    uint32_t n;             /* symbols */
    uint8_t bits[SYMBOLS];  /* 0: does not occur */
    uint16_t word[SYMBOLS]; /* first bit lowest */
};

/* A count, and below it the symbol: leaves of equal counts are in the order of their symbols. */
typedef uint64_t leaf;
enum { SYMBOL_BITS = 16 };

static leaf leaf_of(uint32_t count, size_t symbol)
{
    return (leaf)count << SYMBOL_BITS | symbol;
}

static uint16_t symbol_of(leaf l)
{
    return (uint16_t)l;
}

/* Depths of the leaves of a Huffman tree over n counts that ascend: two queues. */
static void depths_of(const leaf *leaves, size_t n, uint8_t *depth)
{
    uint64_t weight[2 * SYMBOLS] = {0};
    uint16_t parent[2 * SYMBOLS] = {0};
    size_t next_leaf = 0, next_node = n, made = n;

    for (size_t i = 0; i < n; i++)
        weight[i] = leaves[i] >> SYMBOL_BITS;
    for (; made < 2 * n - 1; made++) {
        uint64_t sum = 0;
        for (int k = 0; k < 2; k++) {
            bool from_leaf =
                next_leaf < n && (next_node >= made || weight[next_leaf] <= weight[next_node]);
            size_t child = from_leaf ? next_leaf++ : next_node++;
            sum += weight[child];
            parent[child] = (uint16_t)made;
        }
        weight[made] = sum;
    }
    uint8_t deep[2 * SYMBOLS];
    deep[2 * n - 2] = 0;
    for (size_t i = 2 * n - 2; i-- > 0;) {
        deep[i] = (uint8_t)(deep[parent[i]] + 1);
        if (i < n)
            depth[i] = deep[i];
    }
}

/* Makes depths at most `longest` and keeps the code complete: leaves that are too deep move up, and
 * for each two of them one that is not becomes deeper. */
static void limit_depths(uint8_t *depth, size_t n, unsigned longest)
{
    uint32_t room = (uint32_t)1 << longest, used = 0;

    for (size_t i = 0; i < n; i++) {
        if (depth[i] > longest)
            depth[i] = (uint8_t)longest;
        used += room >> depth[i];
    }
    while (used > room)
        for (size_t i = 0; i < n && used > room; i++) /* rare symbols first */
            if (depth[i] < longest) {
                used -= room >> (depth[i] + 1);
                depth[i]++;
            }
    for (size_t i = n; i-- > 0;) /* what is left goes to the frequent ones */
        while (depth[i] > 1 && used + (room >> depth[i]) <= room) {
            used += room >> depth[i];
            depth[i]--;
        }
}

static uint16_t reversed(uint16_t word, unsigned bits)
{
    uint32_t v = word;

    v = (v >> 1 & 0x5555) | (v & 0x5555) << 1;
    v = (v >> 2 & 0x3333) | (v & 0x3333) << 2;
    v = (v >> 4 & 0x0f0f) | (v & 0x0f0f) << 4;
    return (uint16_t)(((v >> 8 | v << 8) & 0xffff) >> (16 - bits));
}

/* A code for n symbols of which those that occur have a count; at least two get a word, as deflate
 * wants it. */
static void make_code(const uint32_t *count, size_t n, unsigned longest, struct code *c)
{
    leaf leaves[SYMBOLS], spare[SYMBOLS];
    uint8_t depth[SYMBOLS];
    uint16_t next[SC_DEFLATE_LONGEST + 2] = {0}, of_length[SC_DEFLATE_LONGEST + 2] = {0};
    size_t used = 0;

    memset(c, 0, sizeof *c);
    c->n = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        if (count[i])
            leaves[used++] = leaf_of(count[i], i);
    for (size_t i = 0; used < 2; i++)
        if (!count[i])
            leaves[used++] = leaf_of(0, i);
    sc_sort_bits(leaves, spare, used, SYMBOL_BITS);
    depths_of(leaves, used, depth);
    limit_depths(depth, used, longest);
    for (size_t i = 0; i < used; i++) {
        c->bits[symbol_of(leaves[i])] = depth[i];
        of_length[depth[i]]++;
    }
    for (unsigned k = 1; k <= longest; k++)
        next[k + 1] = (uint16_t)((next[k] + of_length[k]) << 1);
    for (size_t i = 0; i < n; i++)
        if (c->bits[i])
            c->word[i] = reversed(next[c->bits[i]]++, c->bits[i]);
}

/* ----------------------------------------------------------------------------------- bits --- */

static inline void flush(struct sc_deflate *b)
{
#if SC_LITTLE_ENDIAN
    memcpy(b->to, &b->held, 8);
#else
    for (int i = 0; i < 8; i++)
        b->to[i] = (uint8_t)(b->held >> 8 * i);
#endif
    b->to += b->n >> 3;
    b->held >>= b->n & ~7u;
    b->n &= 7;
}

/* At most 57 bits between two flushes. */
static inline void add(struct sc_deflate *b, uint64_t word, unsigned n)
{
    b->held |= word << b->n;
    b->n += n;
}

static void put(struct sc_deflate *b, uint64_t word, unsigned n)
{
    add(b, word, n);
    flush(b);
}

/* --------------------------------------------------------------------------------- blocks --- */

/* Length of a run, and its symbol with extra bits. */
struct length {
    uint16_t symbol;
    uint8_t extra, n_extra;
};

/* RFC 1951, 3.2.5: from 11 on, four symbols to each power of two of what 3 leaves; 258 has its own.
 */
static struct length length_of(unsigned run)
{
    const unsigned n = run - 3;

    if (run == 258)
        return (struct length){285, 0, 0};
    if (n < 8)
        return (struct length){(uint16_t)(257 + n), 0, 0};
    const unsigned extra = 29 - (unsigned)__builtin_clz(n);
    return (struct length){(uint16_t)(257 + 4 * extra + (n >> extra)),
                           (uint8_t)(n & ((1U << extra) - 1)), (uint8_t)extra};
}

/* A strip as literals and runs (0x8000 | length of what repeats the byte before). */
static size_t find_runs(const uint8_t *p, size_t n, uint16_t *out)
{
    size_t k = 0;

    for (size_t i = 0; i < n;) {
        size_t run = 1;
        while (i + run < n && p[i + run] == p[i])
            run++;
        out[k++] = p[i];
        i += run;
        run--;
        while (run >= 3) {
            size_t some = SC_MIN(run, (size_t)RUN_LONGEST);
            out[k++] = (uint16_t)(0x8000 | some);
            run -= some;
        }
        while (run-- > 0)
            out[k++] = p[i - 1];
    }
    return k;
}

/* The header of a dynamic block: how many words there are, and their lengths in a code of their
 * own. Distances: only 1, in one bit. */
static void put_header(struct sc_deflate *b, const struct code *c, bool last)
{
    static const uint8_t order[LENGTHS] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                           11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t bits[SYMBOLS + 1];
    uint32_t count[LENGTHS] = {0};
    struct code lengths;
    unsigned n_literals = SYMBOLS, n_lengths = LENGTHS;

    while (n_literals > 257 && !c->bits[n_literals - 1])
        n_literals--;
    memcpy(bits, c->bits, n_literals);
    bits[n_literals] = 1;
    for (unsigned i = 0; i <= n_literals; i++)
        count[bits[i]]++;
    make_code(count, LENGTHS, 7, &lengths);
    while (n_lengths > 4 && !lengths.bits[order[n_lengths - 1]])
        n_lengths--;
    put(b, (uint64_t)last | 2 << 1, 3);
    put(b, n_literals - 257, 5);
    put(b, 0, 5); /* one distance */
    put(b, n_lengths - 4, 4);
    for (unsigned i = 0; i < n_lengths; i++)
        put(b, lengths.bits[order[i]], 3);
    for (unsigned i = 0; i <= n_literals; i++)
        put(b, lengths.word[bits[i]], lengths.bits[bits[i]]);
}

/* Words of literals with their lengths in the lowest 8 bits. */
static void make_table(const struct code *c, uint32_t table[256])
{
    for (unsigned k = 0; k < 256; k++)
        table[k] = (uint32_t)c->word[k] << 8 | c->bits[k];
}

static void put_literals(struct sc_deflate *out, const uint32_t table[256], const uint8_t *p,
                         size_t n)
{
    struct sc_deflate b;
    size_t i = 0;

#if SC_HAVE_X86
    if (n >= WIDE && sc_deflate_has_avx512())
        i = sc_deflate_put_avx512(out, table, p, n);
#endif
    b = *out;
    for (; i + 4 <= n; i += 4) {
        for (unsigned k = 0; k < 4; k++) {
            uint32_t t = table[p[i + k]];
            add(&b, t >> 8, t & 255);
        }
        flush(&b);
    }
    for (; i < n; i++)
        put(&b, table[p[i]] >> 8, table[p[i]] & 255);
    *out = b;
}

static void put_run(struct sc_deflate *b, const struct code *c, unsigned run)
{
    const struct length l = length_of(run);

    add(b, c->word[l.symbol], c->bits[l.symbol]);
    add(b, l.extra, l.n_extra);
    put(b, 0, 1); /* distance 1 */
}

static void put_runs(struct sc_deflate *b, const struct code *c, const uint16_t *run, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (run[i] & 0x8000)
            put_run(b, c, run[i] & 0x7fff);
        else
            put(b, c->word[run[i]], c->bits[run[i]]);
    }
}

static void count_some(const uint8_t *p, size_t n, uint32_t part[4][256])
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            part[k][p[i + (size_t)k]]++;
    for (; i < n; i++)
        part[0][p[i]]++;
}

static void count_bytes(const uint8_t *p, size_t n, uint32_t count[SYMBOLS])
{
    uint32_t part[4][256] = {{0}};

    count_some(p, n, part);
    for (int k = 0; k < 256; k++)
        count[k] = part[0][k] + part[1][k] + part[2][k] + part[3][k];
}

/* Bytes that are equal to the one before, as far as every seventh tells. */
static size_t bytes_alike(const uint8_t *p, size_t n)
{
    size_t same = 0, i = 1;

#if SC_HAVE_X86
    if (n >= (size_t)2 * WIDE && sc_deflate_has_avx512()) {
        i = n;
        same = sc_deflate_same_avx512(p, &i);
    }
#endif
    for (; i < n; i += 7)
        same += p[i] == p[i - 1];
    return same * 7;
}

/* Whether runs are worth looking for. */
bool sc_deflate_has_runs(const uint8_t *p, size_t n)
{
    return bytes_alike(p, n) >= n / 4;
}

/* A block of literals of which these counts are known. */
static void put_block(struct sc_deflate *b, uint32_t count[SYMBOLS], const uint8_t *p, size_t n,
                      bool last)
{
    uint32_t table[256];
    struct code c;

    count[END] = 1;
    make_code(count, SYMBOLS, SC_DEFLATE_LONGEST, &c);
    put_header(b, &c, last);
    make_table(&c, table);
    put_literals(b, table, p, n);
    put(b, c.word[END], c.bits[END]);
}

void sc_deflate_literals(struct sc_deflate *b, const uint8_t *p, size_t n, bool last)
{
    uint32_t count[SYMBOLS] = {0};

    count_bytes(p, n, count);
    put_block(b, count, p, n, last);
}

/* 16 bytes of each 72 are counted, which is all columns of a picture in time. */
enum { PART = 16, PARTS_APART = 72 };

/* Of p[from..to) those that are such. */
static void count_parts(const uint8_t *p, size_t from, size_t to, uint32_t part[4][256])
{
    for (size_t i = from / PARTS_APART * PARTS_APART; i < to; i += PARTS_APART) {
        const size_t first = SC_MAX(i, from), end = SC_MIN(i + PART, to);
        if (first < end)
            count_some(p + first, end - first, part);
    }
}

/* `weight` times what was counted. What lies between the least and the largest byte may occur
 * elsewhere. */
static void spread_counts(uint32_t part[4][256], uint32_t weight, const uint8_t *p, size_t n,
                          uint32_t count[SYMBOLS])
{
    uint8_t least = 255, largest = 0;
    for (size_t i = 0; i < n; i++) {
        least = SC_MIN(p[i], least);
        largest = SC_MAX(p[i], largest);
    }
    for (unsigned k = 0; k < 256; k++)
        count[k] = weight * (part[0][k] + part[1][k] + part[2][k] + part[3][k]) +
                   (k >= least && k <= largest);
}

void sc_deflate_nearly(struct sc_deflate *b, const uint8_t *p, size_t n, bool last)
{
    uint32_t part[4][256] = {{0}}, count[SYMBOLS] = {0};

    count_parts(p, 0, n, part);
    spread_counts(part, 16, p, n, count);
    put_block(b, count, p, n, last);
}

/* Some literals, then bytes that are equal to the one before. */
struct piece {
    uint32_t literals, run;
};
enum { RUN_WEIGHT = 2, STEP = 16, MOST_PIECES = SC_DEFLATE_SPARSE / STEP + 1 };

/* STEP bytes that are equal to the one before. */
static bool is_same(const uint8_t *p)
{
    uint64_t a[2], b[2];
    memcpy(a, p, sizeof a);
    memcpy(b, p - 1, sizeof b);
    return a[0] == b[0] && a[1] == b[1];
}
_Static_assert(STEP == 2 * sizeof(uint64_t), "two words are a step");

/* Runs of at least 2 * STEP bytes, and some of STEP, which costs little more than looking at one
 * of STEP bytes. */
static size_t find_pieces(const uint8_t *p, size_t n, struct piece *out)
{
    size_t k = 0, from = 0;

    for (size_t i = STEP; i + STEP <= n;) {
        size_t start = i, end = i + STEP;
        if (!is_same(p + i)) {
            i += STEP;
            continue;
        }
        while (start > from + 1 && p[start - 1] == p[start - 2])
            start--;
        while (end + STEP <= n && is_same(p + end))
            end += STEP;
        while (end < n && p[end] == p[end - 1])
            end++;
        out[k++] = (struct piece){(uint32_t)(start - from), (uint32_t)(end - start)};
        from = end;
        i = (end | (STEP - 1)) + 1;
    }
    out[k++] = (struct piece){(uint32_t)(n - from), 0};
    return k;
}

/* Nearly all bytes that are like the one before are in long runs, as in a tile in which a matrix
 * ends. */
bool sc_deflate_has_long_runs(const uint8_t *p, size_t n)
{
    struct piece pieces[MOST_PIECES];
    const size_t n_pieces = find_pieces(p, n, pieces), alike = bytes_alike(p, n);
    size_t in_runs = 0;
    for (size_t i = 0; i < n_pieces; i++)
        in_runs += pieces[i].run;
    return in_runs >= alike - alike / 4;
}

/* How much of a long run one symbol takes, so that what is left is none or at least three. */
static unsigned part_of_run(uint32_t run)
{
    if (run <= RUN_LONGEST)
        return run;
    return run - RUN_LONGEST < 3 ? RUN_LONGEST - 3 : RUN_LONGEST;
}

void sc_deflate_sparse(struct sc_deflate *b, const uint8_t *p, size_t n, bool last)
{
    struct piece pieces[MOST_PIECES];
    uint32_t part[4][256] = {{0}}, count[SYMBOLS] = {0}, table[256];
    const size_t n_pieces = find_pieces(p, n, pieces);
    const uint8_t *at = p;
    struct code c;

    if (n_pieces == 1) { /* no runs */
        sc_deflate_nearly(b, p, n, last);
        return;
    }
    for (size_t i = 0; i < n_pieces; at += pieces[i].literals + pieces[i].run, i++) {
        const size_t from = (size_t)(at - p);
        count_parts(p, from, from + pieces[i].literals, part);
        for (uint32_t run = pieces[i].run; run; run -= part_of_run(run))
            count[length_of(part_of_run(run)).symbol] += RUN_WEIGHT;
    }
    spread_counts(part, RUN_WEIGHT * PARTS_APART / PART, p, n, count);
    count[END] = 1;
    make_code(count, SYMBOLS, SC_DEFLATE_LONGEST, &c);
    put_header(b, &c, last);
    make_table(&c, table);
    at = p;
    for (size_t i = 0; i < n_pieces; at += pieces[i].literals + pieces[i].run, i++) {
        put_literals(b, table, at, pieces[i].literals);
        for (uint32_t run = pieces[i].run; run; run -= part_of_run(run))
            put_run(b, &c, part_of_run(run));
    }
    put(b, c.word[END], c.bits[END]);
}

/* `work` has room for n. */
void sc_deflate_runs(struct sc_deflate *b, const uint8_t *p, size_t n, bool last, uint16_t *work)
{
    uint32_t count[SYMBOLS] = {0};
    struct code c;
    size_t k = find_runs(p, n, work);

    for (size_t i = 0; i < k; i++)
        count[work[i] & 0x8000 ? length_of(work[i] & 0x7fff).symbol : work[i]]++;
    count[END] = 1;
    make_code(count, SYMBOLS, SC_DEFLATE_LONGEST, &c);
    put_header(b, &c, last);
    put_runs(b, &c, work, k);
    put(b, c.word[END], c.bits[END]);
}

/* The same as bytes as they are: the bits that are held end first. */
void sc_deflate_stored(struct sc_deflate *b, const uint8_t *p, size_t n, bool last)
{
    for (size_t done = 0; done < n || n == 0;) {
        size_t some = SC_MIN(n - done, (size_t)65535);
        put(b, last && done + some == n, 3);
        if (b->n)
            put(b, 0, 8 - b->n);
        uint8_t size[4] = {(uint8_t)some, (uint8_t)(some >> 8), (uint8_t)~some,
                           (uint8_t)(~some >> 8)};
        memcpy(b->to, size, 4);
        memcpy(b->to + 4, p + done, some);
        b->to += 4 + some;
        done += some;
        if (n == 0)
            return;
    }
}

void sc_deflate_align(struct sc_deflate *b)
{
    if (b->n)
        put(b, 0, 8 - b->n);
}

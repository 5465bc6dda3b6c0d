/* SPDX-License-Identifier: Apache-2.0 */
/* random: numbers by their index, and a shuffled copy of a matrix.
 *
 * The shuffle is that of Rao and Sandelius: every value goes to a bucket that its own random number
 * names, and each bucket is shuffled by Fisher and Yates. All orders are equally likely, buckets
 * fit into a cache, and since a value's number depends on its position alone, any number of threads
 * gives the same order. (C. R. Rao, Sankhya 23 (1961) 305; M. Sandelius, JRSS B 24 (1962) 479.) */
#include "math/math.h"

#include <stdlib.h>

uint64_t sc_random(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

uint64_t sc_random_below(uint64_t seed, uint64_t index, uint64_t n)
{
    const uint64_t r = sc_random(seed, index);
    const uint64_t low = (r & UINT32_MAX) * (n & UINT32_MAX);
    const uint64_t a = (r >> 32) * (n & UINT32_MAX) + (low >> 32);
    const uint64_t b = (r & UINT32_MAX) * (n >> 32) + (a & UINT32_MAX);
    return (r >> 32) * (n >> 32) + (a >> 32) + (b >> 32);
}

/* ------------------------------------------------------------------------------ shuffling --- */
enum {
    PIECE_VALUES = 1 << 20,  /* of the matrix, scattered by one thread at a time */
    BUCKET_VALUES = 1 << 17, /* what a bucket should hold: half a megabyte */
    MAX_BUCKETS = 1 << 12,
    READ_VALUES = 1 << 16,
};

struct shuffle {
    const struct sc_matrix *m;
    float *dst;
    uint64_t seed, count;
    size_t n_pieces, n_buckets;
    uint64_t *place; /* (pieces, buckets): how many; then where the next one goes */
    uint64_t *start; /* (buckets + 1) */
    int *code;       /* (pieces) */
    struct sc_error *errors;
};

static uint64_t piece_first(const struct shuffle *s, size_t piece)
{
    return SC_MIN((uint64_t)piece * PIECE_VALUES, s->count);
}

static size_t bucket_of(const struct shuffle *s, uint64_t position)
{
    return (size_t)((sc_random(s->seed, position) >> 32) * s->n_buckets >> 32);
}

static void count_piece(void *ctx, size_t piece)
{
    const struct shuffle *s = ctx;
    uint64_t *n = s->place + piece * s->n_buckets;
    for (uint64_t i = piece_first(s, piece); i < piece_first(s, piece + 1); i++)
        n[bucket_of(s, i)]++;
}

/* From counts to places: buckets one after the other, in each the pieces in their order. */
static void lay_out(struct shuffle *s)
{
    uint64_t at = 0;
    for (size_t b = 0; b < s->n_buckets; b++) {
        s->start[b] = at;
        for (size_t k = 0; k < s->n_pieces; k++) {
            uint64_t *place = &s->place[k * s->n_buckets + b], n = *place;
            *place = at;
            at += n;
        }
    }
    s->start[s->n_buckets] = at;
}

/* Whole rows while they fit into the buffer, else a part of one. */
static int scatter(const struct shuffle *s, size_t piece, float *buffer, struct sc_error *e)
{
    const struct sc_matrix *m = s->m;
    const uint64_t last = piece_first(s, piece + 1);
    uint64_t *place = s->place + piece * s->n_buckets;
    for (uint64_t i = piece_first(s, piece); i < last;) {
        const uint64_t row = i / m->cols, col = i % m->cols;
        const uint64_t want = SC_MIN(last - i, (uint64_t)READ_VALUES);
        uint64_t rows = 1, cols = SC_MIN(want, m->cols - col);
        if (col == 0 && want >= m->cols) {
            rows = want / m->cols;
            cols = m->cols;
        }
        TRY(m->read(m->ctx, row, rows, col, cols, buffer, e));
        for (uint64_t k = 0; k < rows * cols; k++)
            s->dst[place[bucket_of(s, i + k)]++] = buffer[k];
        i += rows * cols;
    }
    return 0;
}

static void scatter_piece(void *ctx, size_t piece)
{
    const struct shuffle *s = ctx;
    float *buffer = sc_alloc(READ_VALUES * sizeof *buffer);
    s->code[piece] =
        buffer ? scatter(s, piece, buffer, &s->errors[piece]) : sc_fail_memory(&s->errors[piece]);
    free(buffer);
}

static void shuffle_bucket(void *ctx, size_t bucket)
{
    const struct shuffle *s = ctx;
    const uint64_t first = s->start[bucket], n = s->start[bucket + 1] - first;
    const uint64_t seed = ~s->seed; /* not the numbers that chose the bucket */
    float *v = s->dst + first;
    for (uint64_t i = n; i > 1; i--) {
        const uint64_t j = sc_random_below(seed, first + i, i);
        const float t = v[i - 1];
        v[i - 1] = v[j];
        v[j] = t;
    }
}

static int run(struct shuffle *s, const struct sc_parallel *p, struct sc_error *e)
{
    sc_parallel_run(p, s->n_pieces, count_piece, s);
    lay_out(s);
    sc_parallel_run(p, s->n_pieces, scatter_piece, s);
    for (size_t i = 0; i < s->n_pieces; i++) {
        if (s->code[i] == 0)
            continue;
        if (e)
            *e = s->errors[i];
        return s->code[i];
    }
    sc_parallel_run(p, s->n_buckets, shuffle_bucket, s);
    return 0;
}

int sc_shuffled_copy(const struct sc_matrix *m, uint64_t seed, const struct sc_parallel *p,
                     float *dst, /* NOLINT(readability-non-const-parameter): written through s */
                     struct sc_error *e)
{
    const uint64_t count = m->rows * m->cols; /* dst holds as many, so it does not overflow */
    struct shuffle s = {.m = m, .dst = dst, .seed = seed, .count = count};
    s.n_pieces = (size_t)((count + PIECE_VALUES - 1) / PIECE_VALUES);
    s.n_buckets = (size_t)SC_MIN(SC_MAX(count / BUCKET_VALUES, 1), (uint64_t)MAX_BUCKETS);
    s.place = sc_calloc(SC_MAX(s.n_pieces, 1) * s.n_buckets, sizeof *s.place);
    s.start = sc_calloc(s.n_buckets + 1, sizeof *s.start);
    s.code = sc_calloc(SC_MAX(s.n_pieces, 1), sizeof *s.code);
    s.errors = sc_calloc(SC_MAX(s.n_pieces, 1), sizeof *s.errors);
    int rc = s.place && s.start && s.code && s.errors ? run(&s, p, e) : sc_fail_memory(e);
    free(s.place);
    free(s.start);
    free(s.code);
    free(s.errors);
    return rc;
}

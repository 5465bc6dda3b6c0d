/* SPDX-License-Identifier: Apache-2.0 */
/* mix: optimal mixes of bf16, bfp8, bfp4 and bfp2 against greedy ones.
 *
 *   mix [ROWS COLS [TENSORS]]
 *
 * One tab-separated line for each of TENSORS (10) tensors of ROWS x COLS (2048 x 2048) and each
 * goal: kind of tensor, goal, tiles, seconds of processor time of the optimal mix and of greedy,
 * bytes of both, and bytes of the threshold of tiles that holds. The goal of mae lies between those
 * of bfp8 and bfp4, that of atol is what bfp8 reaches in 3 of 4 tiles. One thread; the fastest of
 * three runs, the smallest of three greedy ones. The error tables are made with the rounders of the
 * library. */
#include "analyze/mix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { KINDS = 5, FORMATS = 4, RUNS = 3 };
static const char *const kinds[KINDS] = {"iid normal", "log-normal rows", "column scales",
                                         "outliers x20", "blocky mixture"};
static const char *const formats[FORMATS] = {"bf16", "bfp8", "bfp4", "bfp2"};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* one thread: what it computes, not waits */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "mix: %s\n", what);
    exit(1);
}

static uint64_t state;

/* The sum of four 16-bit numbers: near enough to a normal one, and quick. */
static double normal(void)
{
    const uint64_t r = sc_random(state++, 0);
    const double sum = (double)((r & 0xFFFF) + (r >> 16 & 0xFFFF) + (r >> 32 & 0xFFFF) + (r >> 48));
    return (sum / 65536 - 2) * 1.7320508;
}

static void fill_tile(int kind, const double *scale, uint64_t row, uint64_t col, uint64_t rows,
                      float *x)
{
    for (uint64_t i = 0; i < 1024; i++) {
        const uint64_t r = row + i / 32, c = col + i % 32;
        double s = 0.02;
        if (kind == 1)
            s *= scale[r];
        else if (kind == 2)
            s *= scale[rows + c];
        else if (kind == 3)
            s *= sc_random(state, 1) >> 54 == 0 ? 20 : 1;
        else if (kind == 4)
            s *= scale[r / 96 % 11 + c / 160 % 13];
        x[i] = (float)(s * normal());
    }
}

static void add_tile(struct sc_cells *c, uint64_t cell, const float *x)
{
    struct sc_cell_values *v = &c->values[cell];
    const enum sc_cpu level = sc_cpu_level();
    float y[1024];

    v->n = 1024;
    for (int i = 0; i < 1024; i++)
        v->x += x[i], v->xx += (double)x[i] * x[i];
    for (size_t f = 0; f < FORMATS; f++) {
        struct sc_cell_error *error = &c->errors[cell * FORMATS + f];
        for (int row = 0; row < 32; row++)
            sc_rounder(&c->formats[f], level)(&c->formats[f], NULL, x + 32 * row, 32, y + 32 * row);
        for (int i = 0; i < 1024; i++) {
            const double d = (double)y[i] - x[i];
            error->y += y[i], error->yy += (double)y[i] * y[i], error->dd += d * d;
            error->abs += fabs(d);
            error->most = error->most > fabs(d) ? error->most : fabs(d);
        }
    }
}

static struct sc_cells *make(int kind, uint64_t rows, uint64_t cols, uint64_t seed)
{
    struct sc_cells *c = calloc(1, sizeof *c);
    double *scale = malloc((rows + cols + 32) * sizeof *scale);
    struct sc_error e = {0};
    float x[1024];

    must(c && scale, "no memory");
    c->matrices = 1, c->rows = rows, c->cols = cols, c->down = rows / 32, c->across = cols / 32;
    c->n = c->down * c->across, c->n_formats = FORMATS, c->grain = SC_GRAIN_TILE;
    for (size_t f = 0; f < FORMATS; f++) {
        must(sc_encoding_parse(sc_strz(formats[f]), &c->formats[f], &e) == 0, e.text);
        for (int part = 0; part < 4; part++)
            must(sc_encoding_bytes(&c->formats[f], 1, 32, 32, &c->bytes[f][part], NULL), "bytes");
    }
    c->values = calloc(c->n, sizeof *c->values);
    c->errors = calloc(c->n * FORMATS, sizeof *c->errors);
    must(c->values && c->errors, "no memory");
    state = sc_random(seed, (uint64_t)kind);
    for (uint64_t i = 0; i < rows + cols + 32; i++)
        scale[i] = exp(1.2 * normal());
    for (uint64_t i = 0; i < c->n; i++) {
        fill_tile(kind, scale, i / c->across * 32, i % c->across * 32, rows, x);
        add_tile(c, i, x);
    }
    free(scale);
    return c;
}

static void compare(int kind, struct sc_cells *c, const struct sc_mix_goal *g, const char *name)
{
    double best[2] = {1e9, 1e9};
    uint64_t bytes[3] = {0};
    struct sc_error e = {0};

    for (int way = 0; way < 3; way++)
        for (int run = 0; run < (way < 2 ? RUNS : 1); run++) {
            struct sc_mix m;
            const double start = now();
            const int rc = way == 0   ? sc_mix_optimal(&c, 1, g, NULL, &m, &e)
                           : way == 1 ? sc_mix_greedy(c, g, 1 + (uint64_t)run, &m, &e)
                                      : sc_mix_threshold(c, g, true, &m, &e);
            const double seconds = now() - start;
            must(rc == 0, e.text);
            must(m.good, "a goal was not reached");
            if (way < 2 && seconds < best[way])
                best[way] = seconds;
            if (bytes[way] == 0 || m.totals.bytes < bytes[way])
                bytes[way] = m.totals.bytes;
            sc_mix_clear(&m);
        }
    printf("%s\t%s\t%llu\t%.4f\t%.4f\t%llu\t%llu\t%llu\n", kinds[kind], name,
           (unsigned long long)c->n, best[0], best[1], (unsigned long long)bytes[0],
           (unsigned long long)bytes[1], (unsigned long long)bytes[2]);
    fflush(stdout);
}

static int smaller(const void *a, const void *b)
{
    const double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* What bfp8 reaches in 3 of 4 tiles, but not less than bf16 needs. */
static double some_atol(const struct sc_cells *c)
{
    double *v = malloc(c->n * sizeof *v), least = 0;
    must(v, "no memory");
    for (uint64_t i = 0; i < c->n; i++) {
        v[i] = sc_cell_error(c, i, 1)->most;
        least = fmax(least, sc_cell_error(c, i, 0)->most);
    }
    qsort(v, c->n, sizeof *v, smaller);
    const double at = fmax(v[c->n / 4 * 3], least);
    free(v);
    return at;
}

/* Between what bfp8 and bfp4 have, in the middle of their logarithms. */
static double some_mae(const struct sc_cells *c)
{
    double of8 = 0, of4 = 0, n = 0;
    for (uint64_t i = 0; i < c->n; i++) {
        of8 += sc_cell_error(c, i, 1)->abs;
        of4 += sc_cell_error(c, i, 2)->abs;
        n += c->values[i].n;
    }
    return sqrt(of8 * of4) / n;
}

int main(int argc, char **argv)
{
    const uint64_t rows = argc > 2 ? strtoull(argv[1], NULL, 10) / 32 * 32 : 2048;
    const uint64_t cols = argc > 2 ? strtoull(argv[2], NULL, 10) / 32 * 32 : 2048;
    const int tensors = argc > 3 ? atoi(argv[3]) : 10;

    for (int i = 0; i < tensors; i++) {
        struct sc_cells *c = make(i % KINDS, rows, cols, (uint64_t)i / KINDS);
        const struct sc_mix_goal mae = {SC_MIX_MAE, some_mae(c)};
        const struct sc_mix_goal atol = {SC_MIX_ATOL, some_atol(c)};
        compare(i % KINDS, c, &(struct sc_mix_goal){SC_MIX_PCC, 0.999}, "pcc 0.999");
        compare(i % KINDS, c, &(struct sc_mix_goal){SC_MIX_PCC, 0.99}, "pcc 0.99");
        compare(i % KINDS, c, &mae, "mae");
        compare(i % KINDS, c, &atol, "atol");
        free(c->values);
        free(c->errors);
        free(c);
    }
    return 0;
}

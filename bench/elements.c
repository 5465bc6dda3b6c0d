/* SPDX-License-Identifier: Apache-2.0 */
/* elements: how fast figures of single values are made of memory.
 *
 *   elements [MILLION_VALUES]
 *
 * One tab-separated line a measurement: what, 10^9 values a second of plain C, AVX2 and AVX-512 (0:
 * not on this processor), bytes of a value. Loops first, on memory that no cache holds, then whole
 * passes over a matrix of 4096 columns. The last line is "read" and the GB/s of adding up memory.
 * One thread; CPU time; the fastest of several runs. */
#include "analyze/health.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 4096, RUNS = 5, LEVELS = 3 };

static float *values;
static uint16_t *codes;
static size_t n;

static double cpu_now(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

/* Nearly normal, with a heavy value now and then. */
static void fill(void)
{
    uint64_t state = 1;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k < 4; k++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            sum += (double)(state >> 40) * 0x1p-24 - 0.5;
        }
        values[i] = (float)(sum * (i % 99991 == 0 ? 0.4 : 0.03));
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        codes[i] = (uint16_t)(bits >> 16);
    }
}

static volatile double sink;

/* ------------------------------------------------------------------------------------ loops --- */
static void read_all(enum sc_cpu level)
{
    uint64_t sum[8] = {0};
    (void)level;
    for (size_t i = 0; i + 16 <= n; i += 16)
        for (size_t j = 0; j < 8; j++) {
            uint64_t v;
            memcpy(&v, values + i + 2 * j, sizeof v);
            sum[j] += v;
        }
    for (size_t j = 0; j < 8; j++)
        sink = (double)sum[j];
}
static void count_codes(enum sc_cpu level)
{
    static uint32_t table[65536];
    (void)level;
    sc_count_codes16(codes, n, table);
}
static void count_tops(enum sc_cpu level)
{
    static uint32_t table[65536];
    (void)level;
    sc_count_tops(values, n, table);
}
static void sums(enum sc_cpu level)
{
    struct sc_sums s;
    for (size_t i = 0; i < n; i += COLS) {
        sc_sums(values + i, COLS, level, &s);
        sink = s.sum;
    }
}
static void central(enum sc_cpu level)
{
    struct sc_central c;
    for (size_t i = 0; i < n; i += COLS) {
        sc_central(values + i, COLS, 1e-5, level, &c);
        sink = c.square;
    }
}
static void columns(enum sc_cpu level)
{
    static uint32_t peak[COLS];
    static double square[COLS];
    double rows[4];
    for (size_t i = 0; i + 4 * COLS <= n; i += 4 * COLS) {
        sc_columns(values + i, 4, COLS, level, peak, square, rows);
        sink = rows[0];
    }
}
static void steps(enum sc_cpu level)
{
    float inverse[COLS / 128], weight[COLS / 128];
    struct sc_steps s;
    for (size_t i = 0; i < COLS / 128; i++) {
        inverse[i] = 1000;
        weight[i] = 1;
    }
    for (size_t i = 0; i < n; i += COLS) {
        sc_steps(values + i, COLS, 128, inverse, weight, 1, level, &s);
        sink = s.square;
    }
}

/* ------------------------------------------------------------------------------------ passes ---
 */
static int one_pass(const char *codec, unsigned methods)
{
    const uint64_t shape[2] = {n / COLS, COLS};
    const struct sc_tensor tensor = {.shape = shape, .rank = 2};
    const struct sc_values view = {.tensor = &tensor,
                                   .count = n,
                                   .rows = shape[0],
                                   .cols = COLS,
                                   .codec = sc_codec_find(sc_strz(codec)),
                                   .code_bytes = codec[0] == 'B' ? 2 : 4};
    static struct sc_health health;
    struct sc_measure m = {.methods = methods, .bits = 8, .group = 128};
    const struct sc_item item = {.user = &health};
    const struct sc_pass *pass = &sc_pass_elements;
    void *total, *part = NULL;
    if (pass->begin(&m, &item, &view, &total, NULL) < 0)
        return -1;
    unsigned visit = 0;
    do {
        for (uint64_t at = 0; at < n; at += SC_SEGMENT_VALUES) {
            if (pass->part(&m, total, visit, part, &part, NULL) < 0)
                return -1;
            const uint64_t end = SC_MIN(n, at + SC_SEGMENT_VALUES);
            for (uint64_t k = at; k < end; k += SC_CHUNK_VALUES) {
                const struct sc_chunk c = {.view = &view,
                                           .row = k / COLS,
                                           .n_rows = SC_MIN(SC_CHUNK_VALUES, end - k) / COLS,
                                           .n_cols = COLS,
                                           .codes = codes + k,
                                           .values = values + k};
                pass->chunk(&m, total, part, &c);
            }
            pass->merge(&m, total, part);
        }
    } while (pass->again(&m, total, visit++));
    pass->part_free(&m, part);
    return pass->end(&m, &item, &view, total, NULL);
}

/* ------------------------------------------------------------------------------------- table ---
 */
static void loop(const char *name, void (*run)(enum sc_cpu level), unsigned bytes, bool has_levels)
{
    double speed[LEVELS] = {0};
    for (int level = 0; level <= (int)sc_cpu_level(); level++) {
        double best = 1e9;
        for (int i = 0; i < RUNS && (has_levels || level == 0); i++) {
            const double start = cpu_now();
            run((enum sc_cpu)level);
            best = SC_MIN(best, cpu_now() - start);
        }
        speed[level] = has_levels || level == 0 ? (double)n / best / 1e9 : speed[0];
    }
    printf("%s\t%.3f\t%.3f\t%.3f\t%u\n", name, speed[0], speed[1], speed[2], bytes);
    fflush(stdout);
}

static void pass(const char *name, const char *codec, unsigned methods, unsigned bytes)
{
    double best = 1e9;
    for (int i = 0; i < RUNS; i++) {
        const double start = cpu_now();
        if (one_pass(codec, methods) < 0)
            exit(1);
        best = SC_MIN(best, cpu_now() - start);
    }
    const int level = (int)sc_cpu_level();
    printf("%s", name);
    for (int i = 0; i < LEVELS; i++)
        printf("\t%.3f", i == level ? (double)n / best / 1e9 : 0);
    printf("\t%u\n", bytes);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    n = (size_t)(argc > 1 ? atoi(argv[1]) : 64) << 20;
    values = malloc(n * sizeof *values);
    codes = malloc(n * sizeof *codes);
    if (!values || !codes || n == 0)
        return 1;
    fill();
    const unsigned basic = SC_METHOD_BASIC, all = SC_METHODS_ELEMENTS;
    loop("count 16-bit codes", count_codes, 2, false);
    loop("count floats", count_tops, 4, false);
    loop("sums", sums, 4, true);
    loop("central moments", central, 4, true);
    loop("columns", columns, 4, true);
    loop("integers of groups", steps, 4, true);
    pass("BF16 basic", "BF16", basic, 2);
    pass("BF16 basic, sparsity", "BF16", basic | SC_METHOD_SPARSITY, 2);
    pass("BF16 basic, sparsity, quantization", "BF16", all, 2);
    pass("F32 basic", "F32", basic, 4);
    pass("F32 basic, sparsity, quantization", "F32", all, 4);
    loop("read", read_all, 4, false);
    free(values);
    free(codes);
    return 0;
}

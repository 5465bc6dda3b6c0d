/* SPDX-License-Identifier: Apache-2.0 */
/* quality: how fast the cost of number formats is measured.
 *
 *   quality [MILLION_VALUES [FORMATS]]
 *
 * One tab-separated line a measurement: what, 10^9 values a second of plain C, AVX2 and AVX-512 (0:
 * not on this processor), bytes of a value. First the loops over a block in cache, then all metrics
 * of a BF16 matrix of 4096 columns in a file in memory. The last line is "read" and the GB/s of
 * adding up memory. One thread; CPU time; the fastest of several runs. With FORMATS ("bfp8 fp0"),
 * only these together. */
#include "analyze/quality.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COLS = 4096, RUNS = 5, REPORTS = 12 };

static double cpu_now(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static const char *const all[] = {"bfp8", "bfp4", "bfp2", "mxfp4", "nvfp4", "bf16", "fp0"};
static volatile double sink;

/* ------------------------------------------------------------------------------------ loops --- */
enum { ROWS = SC_ERROR_ROWS, WIDE = 128, BLOCK = ROWS * WIDE };
static float x[BLOCK], y[BLOCK];
static uint32_t tail[BLOCK + SC_LANES];
static double columns[WIDE];
static struct sc_error_sums sums[16];

static double loop_speed(enum sc_cpu level, bool with_x)
{
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        const double begin = cpu_now();
        const int times = level == SC_CPU_C ? 2000 : 20000;
        for (int i = 0; i < times; i++) {
            struct sc_block_errors e = {.sums = sums, .columns = columns};
            const struct sc_error_block b = {.x = with_x ? x : NULL,
                                             .y = y,
                                             .x_stride = WIDE,
                                             .y_stride = WIDE,
                                             .rows = ROWS,
                                             .n = WIDE,
                                             .above = 0x3a02f000, /* 1.7 % of them */
                                             .tail = with_x ? tail : NULL};
            sc_errors(&b, level, &e);
            sink = e.row_square[0];
        }
        const double speed = 1e-9 * BLOCK * times / (cpu_now() - begin);
        best = SC_MAX(best, speed);
    }
    return best;
}

static double round_speed(const char *name, enum sc_cpu level)
{
    struct sc_encoding f;
    struct sc_error e;
    struct sc_step step;
    double best = 0;
    if (sc_encoding_parse(sc_strz(name), &f, &e) < 0)
        die(e.text);
    sc_round_fn *fn = sc_rounder(&f, level);
    sc_encoding_step(&f, (struct sc_extent){-0.2F, 0.2F}, &step);
    for (int run = 0; run < RUNS; run++) {
        const double begin = cpu_now();
        const int times = level == SC_CPU_C ? 200 : 20000;
        for (int i = 0; i < times; i++)
            sink = (double)fn(&f, f.over ? &step : NULL, x, BLOCK, y);
        const double speed = 1e-9 * BLOCK * times / (cpu_now() - begin);
        best = SC_MAX(best, speed);
    }
    return best;
}

static int by_bits(const void *p, const void *q)
{
    const uint32_t a = *(const uint32_t *)p, b = *(const uint32_t *)q;
    return (a > b) - (a < b);
}

/* Rounding and sums in one loop, of BF16 values; 1.6 % of the errors belong to the tail. */
static double lose_speed(const char *name, enum sc_cpu level)
{
    static uint32_t peaks[BLOCK / 16 + 16];
    static float brief[BLOCK];
    struct sc_encoding f;
    struct sc_error e;
    struct sc_step step;
    double best = 0;
    if (sc_encoding_parse(sc_strz(name), &f, &e) < 0)
        die(e.text);
    sc_losses_fn *fn = sc_losses(&f, level);
    if (!fn)
        return 0;
    sc_encoding_step(&f, (struct sc_extent){-0.2F, 0.2F}, &step);
    for (size_t i = 0; i < BLOCK; i++)
        brief[i] = sc_float_of(sc_bits_of(x[i]) & 0xffff0000);
    const uint32_t bits = sc_group_peaks(brief, BLOCK / 16, level, peaks);
    struct sc_block_errors to = {.sums = sums, .columns = columns};
    struct sc_error_block b = {.x = brief, .x_stride = WIDE, .rows = ROWS, .n = WIDE, .tail = tail};
    uint64_t full = 0;
    if (!fn(&f, &step, &b, peaks, bits, false, &to, &full))
        return 0;
    qsort(tail, to.tail, sizeof *tail, by_bits);
    b.above = to.tail > BLOCK / 60 ? tail[to.tail - BLOCK / 60] : 0;
    for (int run = 0; run < RUNS; run++) {
        const double begin = cpu_now();
        const int times = 20000;
        for (int i = 0; i < times; i++) {
            if (!fn(&f, &step, &b, peaks, bits, false, &to, &full))
                return 0;
            sink = to.row_square[0];
        }
        const double speed = 1e-9 * BLOCK * times / (cpu_now() - begin);
        best = SC_MAX(best, speed);
    }
    return best;
}

/* ----------------------------------------------------------------------------------- reports ---
 */
static char path[64];

static void write_model(size_t n)
{
    char header[256];
    snprintf(path, sizeof path, "/dev/shm/scruple-quality-%ld.safetensors", (long)getpid());
    FILE *file = fopen(path, "wbx");
    const int len =
        snprintf(header + 8, sizeof header - 8,
                 "{\"w\":{\"dtype\":\"BF16\",\"shape\":[%zu,%d],\"data_offsets\":[0,%zu]}}",
                 n / COLS, COLS, 2 * n);
    if (!file)
        die("no place for a file");
    for (int i = 0; i < 8; i++)
        header[i] = (char)((unsigned)len >> (8 * i) & 255);
    fwrite(header, 1, (size_t)len + 8, file);
    uint64_t state = 1;
    for (size_t at = 0; at < n; at += COLS) {
        uint16_t row[COLS];
        for (size_t i = at; i < at + COLS; i++) {
            double sum = 0;
            for (int k = 0; k < 4; k++) {
                state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                sum += (double)(state >> 40) * 0x1p-24 - 0.5;
            }
            const float v = (float)(sum * (i % 99991 == 0 ? 0.4 : 0.03));
            uint32_t bits;
            memcpy(&bits, &v, sizeof bits);
            row[i - at] = (uint16_t)(bits >> 16);
        }
        fwrite(row, sizeof row, 1, file);
    }
    if (fclose(file))
        die("no room for a file");
}

static double report_speed(const struct sc_model *m, const char *names)
{
    struct sc_encoding f[16];
    struct sc_error e = {0};
    struct sc_values *v;
    size_t n = 0;
    double best = 0;
    for (const char *p = names; *p; n++) {
        const size_t len = strcspn(p, " ");
        if (sc_encoding_parse(sc_str(p, len), &f[n], &e) < 0)
            die(e.text);
        p += len + (p[len] == ' ');
    }
    if (sc_values_open(m, 0, &v, &e) < 0)
        die(e.text);
    for (int run = 0; run < REPORTS; run++) {
        const struct sc_quality_options o = {.formats = f, .n = n, .memory = UINT64_C(1) << 30};
        struct sc_quality_result r;
        const double begin = cpu_now();
        if (sc_quality_measure(v, &o, &r, &e) < 0)
            die(e.text);
        const double speed = 1e-9 * (double)v->count / (cpu_now() - begin);
        best = SC_MAX(best, speed);
        sink = n ? r.formats[0].mse : 0;
        sc_quality_clear(&r);
    }
    sc_values_close(v);
    return best;
}

static double read_speed(size_t n)
{
    uint64_t *p = malloc(2 * n), sum[8] = {0};
    double best = 0;
    if (!p)
        die("no memory");
    memset(p, 1, 2 * n);
    for (int run = 0; run < RUNS; run++) {
        const double begin = cpu_now();
        for (size_t i = 0; i + 8 <= n / 4; i += 8)
            for (size_t j = 0; j < 8; j++)
                sum[j] += p[i + j];
        const double speed = 2e-9 * (double)n / (cpu_now() - begin);
        best = SC_MAX(best, speed);
        for (size_t j = 0; j < 8; j++)
            sink = (double)sum[j];
    }
    free(p);
    return best;
}

/* The kernels in cache. */
static void loops(void)
{
    double speed[3];
    for (int with_x = 0; with_x < 2; with_x++) {
        for (int level = 0; level < 3; level++)
            speed[level] = level > (int)sc_cpu_level() ? 0 : loop_speed((enum sc_cpu)level, with_x);
        printf("%s\t%.3f\t%.3f\t%.3f\t4\n", with_x ? "errors" : "sums of x", speed[0], speed[1],
               speed[2]);
    }
    for (size_t k = 0; k < SC_COUNT(all); k++) {
        for (int level = 0; level < 3; level++)
            speed[level] =
                level > (int)sc_cpu_level() ? 0 : round_speed(all[k], (enum sc_cpu)level);
        printf("round %s\t%.3f\t%.3f\t%.3f\t4\n", all[k], speed[0], speed[1], speed[2]);
        for (int level = 0; level < 3; level++)
            speed[level] = level > (int)sc_cpu_level() ? 0 : lose_speed(all[k], (enum sc_cpu)level);
        printf("round and errors %s\t%.3f\t%.3f\t%.3f\t4\n", all[k], speed[0], speed[1], speed[2]);
    }
}

int main(int argc, char **argv)
{
    const size_t n =
        (argc > 1 ? strtoul(argv[1], NULL, 10) : 64) * 1000000 / (COLS * 32) * (COLS * 32);
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_model *m = NULL;
    struct sc_error e = {0};
    uint64_t state = 7;
    for (size_t i = 0; i < SC_COUNT(x); i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        x[i] = ((float)(state >> 40) * 0x1p-24F - 0.5F) * 0.1F;
        y[i] = x[i] * 1.01F;
    }
    if (argc < 3)
        loops();
    write_model(n);
    if (sc_model_open(path, &o, &m, &e) < 0)
        die(e.text);
    static const char *const reports[] = {"",      "bfp8",  "bfp4",
                                          "mxfp4", "nvfp4", "mxfp4 nvfp4 bf16 bfp8 bfp4 bfp2 fp0"};
    if (argc > 2)
        printf("report %s\t0\t0\t%.3f\t2\n", argv[2], report_speed(m, argv[2]));
    for (size_t k = 0; argc < 3 && k < SC_COUNT(reports); k++)
        printf("report %s\t0\t0\t%.3f\t2\n", *reports[k] ? reports[k] : "of x alone",
               report_speed(m, reports[k]));
    printf("read\t%.2f\n", read_speed(n));
    sc_model_close(m);
    unlink(path);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* quality: how fast the cost of number formats is measured.
 *
 *   quality [MILLION_VALUES [FORMATS]]
 *
 * One tab-separated line a measurement: what, 10^9 values a second of plain C, AVX2 and AVX-512 (0:
 * not on this processor), bytes of a value. First the loops over a block in cache, then the metrics
 * of a BF16 matrix of 4096 columns: "report" all of them of one in memory, "brief" those of sums
 * alone, "file" and "brief file" the same of one in a file in memory.
 * These have one more column, the GB/s of adding up the same bytes, which takes turns with them: in
 * memory, or in the file, from mapping it to unmapping it. One thread; CPU time; the fastest of
 * several runs. With FORMATS ("bfp8 fp0"), only reports of these together; with 0 values, only the
 * loops, and with one format besides, only its own. */
#include "analyze/quality.h"

#include "clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
        const int times = level == SC_CPU_C ? 200 : 4000;
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
        const int times = 4000;
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
/* A safetensors file of one matrix, malloc'ed. */
static uint8_t *make_model(size_t n, size_t *size)
{
    char header[256];
    const int len =
        snprintf(header, sizeof header,
                 "{\"w\":{\"dtype\":\"BF16\",\"shape\":[%zu,%d],\"data_offsets\":[0,%zu]}}",
                 n / COLS, COLS, 2 * n);
    const size_t begin = ((size_t)len + 8 + 63) / 64 * 64; /* values as writers align them */
    uint8_t *const p = malloc(begin + 2 * n);
    uint64_t state = 1;
    if (!p)
        die("no memory");
    memset(p, ' ', begin);
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)((begin - 8) >> (8 * i) & 255);
    memcpy(p + 8, header, (size_t)len);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k < 4; k++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            sum += (double)(state >> 40) * 0x1p-24 - 0.5;
        }
        const float v = (float)(sum * (i % 99991 == 0 ? 0.4 : 0.03));
        const uint32_t bits = sc_bits_of(v);
        p[begin + 2 * i] = (uint8_t)(bits >> 16);
        p[begin + 2 * i + 1] = (uint8_t)(bits >> 24);
    }
    *size = begin + 2 * n;
    return p;
}

static const char *write_file(const uint8_t *p, size_t size)
{
    static char path[64];
    snprintf(path, sizeof path, "/dev/shm/scruple-quality-%ld.safetensors", (long)getpid());
    FILE *file = fopen(path, "wbx");
    if (!file)
        die("no place for a file");
    if (fwrite(p, 1, size, file) != size || fclose(file))
        die("no room for a file");
    return path;
}

/* GB/s of adding up memory. */
static double add_up(const uint8_t *from, size_t size)
{
    const uint64_t *p = (const void *)from;
    uint64_t sum[8] = {0};
    const double begin = cpu_now();
    for (size_t i = 0; i + 8 <= size / 8; i += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] += p[i + j];
    const double end = cpu_now();
    for (size_t j = 0; j < 8; j++)
        sink = (double)sum[j];
    return 1e-9 * (double)size / (end - begin);
}

/* The same of a file, from mapping it to unmapping it. */
static double add_up_file(const char *path, size_t size)
{
    const double begin = cpu_now();
    const int file = open(path, O_RDONLY);
    const uint8_t *p = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
    if (file < 0 || p == MAP_FAILED)
        die("no file to map");
    (void)add_up(p, size);
    munmap((void *)(uintptr_t)p, size);
    close(file);
    return 1e-9 * (double)size / (cpu_now() - begin);
}

static size_t parse_formats(const char *names, struct sc_encoding f[16])
{
    struct sc_error e;
    size_t n = 0;
    for (const char *p = names; *p; n++) {
        const size_t len = strcspn(p, " ");
        if (sc_encoding_parse(sc_str(p, len), &f[n], &e) < 0)
            die(e.text);
        p += len + (p[len] == ' ');
    }
    return n;
}

/* What a report is compared with: the same bytes, added up. */
struct bytes {
    const uint8_t *memory; /* (size) */
    const char *path;      /* or NULL: they are in memory */
    size_t size;
};

/* A report and its limit take turns; the fastest of each. */
static void report(const char *what, const struct sc_model *m, const char *names, bool brief,
                   const struct bytes *limit)
{
    struct sc_encoding f[16];
    struct sc_error e = {0};
    struct sc_values *v;
    const size_t n = parse_formats(names, f);
    double best = 0, most = 0;
    if (sc_values_open(m, 0, &v, &e) < 0)
        die(e.text);
    for (int run = 0; run < REPORTS; run++) {
        const struct sc_quality_options o = {
            .formats = f, .n = n, .brief = brief, .memory = UINT64_C(1) << 30};
        struct sc_quality_result r;
        const double read = limit->path ? add_up_file(limit->path, limit->size)
                                        : add_up(limit->memory, limit->size);
        const double begin = cpu_now();
        if (sc_quality_measure(v, &o, &r, &e) < 0)
            die(e.text);
        const double speed = 1e-9 * (double)v->count / (cpu_now() - begin);
        best = SC_MAX(best, speed);
        most = SC_MAX(most, read);
        sink = n ? r.formats[0].mse : 0;
        sc_quality_clear(&r);
    }
    sc_values_close(v);
    printf("%s %s\t0\t0\t%.3f\t2\t%.2f\n", what, *names ? names : "of x alone", best, most);
}

/* The kernels in cache: of one format, or of all and of errors alone. */
static void loops(const char *only)
{
    double speed[3];
    for (int with_x = 0; !only && with_x < 2; with_x++) {
        for (int level = 0; level < 3; level++)
            speed[level] = level > (int)sc_cpu_level() ? 0 : loop_speed((enum sc_cpu)level, with_x);
        printf("%s\t%.3f\t%.3f\t%.3f\t4\n", with_x ? "errors" : "sums of x", speed[0], speed[1],
               speed[2]);
    }
    for (size_t k = 0; k < SC_COUNT(all); k++) {
        if (only && strcmp(all[k], only) != 0)
            continue;
        for (int level = 0; level < 3; level++)
            speed[level] =
                level > (int)sc_cpu_level() ? 0 : round_speed(all[k], (enum sc_cpu)level);
        printf("round %s\t%.3f\t%.3f\t%.3f\t4\n", all[k], speed[0], speed[1], speed[2]);
        for (int level = 0; level < 3; level++)
            speed[level] = level > (int)sc_cpu_level() ? 0 : lose_speed(all[k], (enum sc_cpu)level);
        printf("round and errors %s\t%.3f\t%.3f\t%.3f\t4\n", all[k], speed[0], speed[1], speed[2]);
    }
}

static void reports(const char *what, const struct sc_model *m, bool brief,
                    const struct bytes *limit, const char *only)
{
    static const char *const sets[] = {"",      "bfp8",  "bfp4",
                                       "mxfp4", "nvfp4", "mxfp4 nvfp4 bf16 bfp8 bfp4 bfp2 fp0"};
    if (only)
        report(what, m, only, brief, limit);
    for (size_t k = 0; !only && k < SC_COUNT(sets); k++)
        report(what, m, sets[k], brief, limit);
}

int main(int argc, char **argv)
{
    const size_t n =
        (argc > 1 ? strtoul(argv[1], NULL, 10) : 64) * 1000000 / (COLS * 32) * (COLS * 32);
    const char *const only = argc > 2 ? argv[2] : NULL;
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_repo *repo = NULL;
    struct sc_model *m = NULL;
    struct sc_error e = {0};
    uint64_t state = 7;
    for (size_t i = 0; i < SC_COUNT(x); i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        x[i] = ((float)(state >> 40) * 0x1p-24F - 0.5F) * 0.1F;
        y[i] = x[i] * 1.01F;
    }
    if (!only || n == 0)
        loops(only);
    if (n == 0)
        return 0;
    struct bytes bytes = {.path = NULL};
    uint8_t *const memory = make_model(n, &bytes.size);
    bytes.memory = memory;
    if (sc_repo_open_memory(memory, bytes.size, "model.safetensors", &repo, &e) < 0 ||
        sc_model_open_repo(repo, &o, &m, &e) < 0)
        die(e.text);
    reports("report", m, false, &bytes, only);
    reports("brief", m, true, &bytes, only);
    sc_model_close(m);
    bytes.path = write_file(memory, bytes.size);
    if (sc_model_open(bytes.path, &o, &m, &e) < 0)
        die(e.text);
    reports("file", m, false, &bytes, only);
    reports("brief file", m, true, &bytes, only);
    sc_model_close(m);
    unlink(bytes.path);
    free(memory);
    return 0;
}

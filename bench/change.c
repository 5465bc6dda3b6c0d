/* SPDX-License-Identifier: Apache-2.0 */
/* change: what the numbers of a diff cost, in one thread, against looking at memory.
 *
 *   change [RUNS [A B]]
 *
 * Tab-separated lines: what is compared, then for plain C, AVX2 and AVX-512 the GB/s of both sides
 * together, in seconds of the processor (0: not on this one). A and B are folders with BF16 weights
 * in safetensors files of the same names and layout: two more lines, of all their tensors in memory
 * at the best level, and of adding up that same memory. The last line: GB/s of adding up memory, in
 * turns with the others. */
#include "analyze/change_sums.h"

#include "clock.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 32 << 20, CHUNK = 1 << 16, LEVELS = 3 };

struct pair {
    const char *what;
    const uint8_t *a, *b;
    size_t bytes; /* of a value */
    size_t n;     /* values of a side */
};

static uint64_t state = 1;

static uint32_t next(void)
{
    state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(z >> 32);
}

/* Seconds. */
static double compare(const struct pair *p, enum sc_cpu level, double *sink)
{
    const struct sc_change_half half = {sc_decoder(sc_codec_find(sc_strz("BF16")), level), 0x7f80};
    struct sc_change_sums s;
    const double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);

    for (size_t i = 0; i < p->n; i += CHUNK) {
        const uint8_t *a = p->a + i * p->bytes, *b = p->b + i * p->bytes;
        const size_t n = SC_MIN(p->n - i, (size_t)CHUNK);
        if (p->bytes == 2)
            sc_change_sums16(&half, a, b, n, level, &s);
        else
            sc_change_sums((const float *)(const void *)a, (const float *)(const void *)b, n, level,
                           &s);
        *sink += s.dd;
    }
    return seconds_of(CLOCK_THREAD_CPUTIME_ID) - start;
}

/* ------------------------------------------------------------------------------- two models --- */
/* The tensors of a safetensors file in memory of its own; NULL: it cannot be read. */
static uint8_t *tensors_of(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    uint8_t length[8], *p = NULL;

    if (f && fread(length, 1, 8, f) == 8 && fseek(f, 0, SEEK_END) == 0) {
        const uint64_t header = 8 + sc_le64(length);
        const long size = ftell(f);
        *bytes = size > 0 && header < (uint64_t)size ? (size_t)size - header : 0;
        p = *bytes && fseek(f, (long)header, SEEK_SET) == 0 ? malloc(*bytes) : NULL;
        if (p && fread(p, 1, *bytes, f) != *bytes) {
            free(p);
            p = NULL;
        }
    }
    if (f)
        fclose(f);
    return p;
}

/* Seconds of adding up what lies there. */
static double add_up(const uint8_t *p, size_t bytes, uint64_t *sum)
{
    uint64_t s[8] = {0};
    const double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);

    for (size_t i = 0; i + 64 <= bytes; i += 64) {
        uint64_t x[8];
        memcpy(x, p + i, sizeof x);
        for (size_t k = 0; k < 8; k++)
            s[k] += x[k];
    }
    const double seconds = seconds_of(CLOCK_THREAD_CPUTIME_ID) - start;
    for (size_t k = 0; k < 8; k++)
        *sum += s[k];
    return seconds;
}

/* File after file, the fastest of `runs` each. False: they cannot be compared. */
static bool models(const char *a, const char *b, int runs, double *sink, uint64_t *sum)
{
    char path[4096];
    glob_t files;
    double ours = 0, reading = 0, bytes = 0;
    bool good = true;

    snprintf(path, sizeof path, "%s/*.safetensors", a);
    if (glob(path, 0, NULL, &files) != 0)
        return false;
    for (size_t i = 0; i < files.gl_pathc && good; i++) {
        struct pair p = {.what = "two models", .bytes = 2};
        double best = 1e9, best_read = 1e9;
        size_t n = 0, n_b = 0;
        snprintf(path, sizeof path, "%s/%s", b, strrchr(files.gl_pathv[i], '/') + 1);
        uint8_t *x = tensors_of(files.gl_pathv[i], &n), *y = tensors_of(path, &n_b);
        good = x && y && n == n_b;
        p.a = x, p.b = y, p.n = n / 2;
        for (int run = 0; run < runs && good; run++) {
            const double took = compare(&p, sc_cpu_level(), sink);
            const double read = add_up(x, n, sum) + add_up(y, n, sum);
            best = SC_MIN(best, took);
            best_read = SC_MIN(best_read, read);
        }
        ours += best;
        reading += best_read;
        bytes += 2 * (double)n;
        free(x);
        free(y);
    }
    globfree(&files);
    if (good)
        printf("the model and its twin\t%.3f\nadding up both\t%.3f\n", 1e-9 * bytes / ours,
               1e-9 * bytes / reading);
    return good;
}

int main(int argc, char **argv)
{
    const int runs = argc > 1 ? atoi(argv[1]) : 5;
    uint16_t *a = malloc(VALUES * sizeof *a), *b = malloc(VALUES * sizeof *b),
             *c = malloc(VALUES * sizeof *c);
    float *f = malloc(VALUES / 2 * 2 * sizeof *f), *g = malloc(VALUES * sizeof *g);
    double sink = 0, read = 0, best[4][LEVELS] = {{0}};
    uint64_t sum = 0;

    if (!a || !b || !c || !f || !g)
        return 1;
    for (size_t i = 0; i < VALUES; i++) {
        const uint32_t x = next();
        a[i] = (uint16_t)(0x3c00 + (x & 0x3ff)) | (uint16_t)(x >> 16 & 0x8000);
        b[i] = (uint16_t)(a[i] + 1 + (x >> 28 & 3));
        c[i] = i / CHUNK % 2 ? a[i] : b[i];
        f[i] = sc_bf16_value(a[i]);
        g[i] = sc_bf16_value(b[i]);
    }
    const struct pair pairs[] = {
        {"BF16, all changed", (const uint8_t *)a, (const uint8_t *)b, 2, VALUES},
        {"BF16, half changed", (const uint8_t *)a, (const uint8_t *)c, 2, VALUES},
        {"BF16, the same", (const uint8_t *)a, (const uint8_t *)a, 2, VALUES},
        {"F32, all changed", (const uint8_t *)f, (const uint8_t *)g, 4, VALUES},
    };
    for (int run = 0; run < runs; run++)
        for (size_t i = 0; i < SC_COUNT(pairs); i++) {
            for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
                const double speed =
                    2e-9 * (double)(pairs[i].n * pairs[i].bytes) / compare(&pairs[i], level, &sink);
                best[i][level] = SC_MAX(best[i][level], speed);
            }
            const double speed = read_once(&sum);
            read = SC_MAX(read, speed);
        }
    for (size_t i = 0; i < SC_COUNT(pairs); i++)
        printf("%s\t%.3f\t%.3f\t%.3f\n", pairs[i].what, best[i][0], best[i][1], best[i][2]);
    if (argc > 3 && !models(argv[2], argv[3], runs, &sink, &sum))
        return 1;
    printf("%.3f\n", read + 0 * (sink + (double)sum));
    free(a);
    free(b);
    free(c);
    free(f);
    free(g);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* similarity: what comparing the experts of a layer costs, in one thread, against OpenBLAS.
 *
 *   similarity [EXPERTS HIDDEN NEURONS RUNS]
 *
 * One weight of random experts in bfloat16, by default 16 of Qwen1.5-MoE's shape, in a file in
 * memory. Tab-separated, in seconds of the processor, the fastest of all runs: 10^9 multiplications
 * a second of exact scores, of OpenBLAS' sgemm making whole Gram matrices in turns with them;
 * seconds of the exact scores and of a sketch of 64 directions; the error that the sketch tells,
 * and the largest that it has. */
#include "analyze/similarity.h"

#include "clock.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void sgemm(const char *ta, const char *tb, const int *m, const int *n, const int *k,
                   const float *alpha, const float *a, const int *lda, const float *b,
                   const int *ldb, const float *beta, float *c, const int *ldc, size_t, size_t);

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "similarity: no memory, or no OpenBLAS\n");
        exit(2);
    }
    return p;
}

static void must_do(int code, const struct sc_error *e)
{
    if (code == 0)
        return;
    fprintf(stderr, "similarity: %s\n", e->text);
    exit(2);
}

/* Sums of four uniform numbers, as upper halves of floats. */
static uint16_t random_weight(uint64_t at)
{
    const uint64_t r = sc_random(1, at);
    double sum = -2;

    for (int i = 0; i < 4; i++)
        sum += (double)(r >> (16 * i) & 0xffff) / 65536;
    return (uint16_t)(sc_bits_of((float)sum) >> 16);
}

static void write_model(const char *path, size_t experts, size_t hidden, size_t neurons)
{
    const size_t n = hidden * neurons;
    struct sc_buf header = {0};
    FILE *file = must(fopen(path, "wb"));
    uint16_t *w = must(malloc(n * sizeof *w));

    for (size_t e = 0; e < experts; e++)
        sc_buf_printf(&header,
                      "%s\"model.layers.0.mlp.experts.%zu.gate_proj.weight\":{\"dtype\":\"BF16\","
                      "\"shape\":[%zu,%zu],\"data_offsets\":[%zu,%zu]}",
                      e ? "," : "{", e, neurons, hidden, 2 * e * n, 2 * (e + 1) * n);
    sc_buf_putc(&header, '}');
    while (header.n % 8)
        sc_buf_putc(&header, ' ');
    const uint64_t length = header.n;
    fwrite(&length, 1, sizeof length, file);
    fwrite(header.p, 1, header.n, file);
    for (size_t e = 0; e < experts; e++) {
        for (size_t i = 0; i < n; i++)
            w[i] = random_weight(e * n + i);
        fwrite(w, sizeof *w, n, file);
    }
    fclose(file);
    free(w);
    sc_buf_clear(&header);
}

static double compare(const struct sc_model *m, int32_t probes, struct sc_similarity *out)
{
    struct sc_similarity_options o = {
        .probes = probes, .memory = UINT64_C(1) << 40, .threshold = (double)NAN, .no_match = true};
    struct sc_error e = {0};

    must_do(sc_pool_new(1, &o.pool, &e), &e);
    const double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    must_do(sc_similarity_measure(m, &o, out, &e), &e);
    const double seconds = seconds_of(CLOCK_THREAD_CPUTIME_ID) - start;
    sc_pool_free(o.pool);
    return seconds;
}

static double multiply(sgemm *gemm, const float *w, int hidden, int neurons, float *g)
{
    const float one = 1, zero = 0;
    const double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);

    gemm("N", "T", &hidden, &hidden, &neurons, &one, w, &hidden, w, &hidden, &zero, g, &hidden, 1,
         1);
    return seconds_of(CLOCK_THREAD_CPUTIME_ID) - start;
}

int main(int argc, char **argv)
{
    size_t numbers[] = {16, 2048, 1408, 3};
    for (int i = 1; i < argc && i <= 4; i++)
        numbers[i - 1] = strtoul(argv[i], NULL, 10);
    const size_t experts = numbers[0], hidden = numbers[1], neurons = numbers[2];
    const char *folder = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/scruple-bench-%ld.safetensors", folder ? folder : "/tmp",
             (long)getpid());
    write_model(path, experts, hidden, neurons);
    struct sc_model *m = NULL;
    struct sc_error e = {0};
    const struct sc_open_options o = {.keep_repo = true};
    must_do(sc_model_open(path, &o, &m, &e), &e);

    void *handle = must(dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL)), *at;
    sgemm *gemm;
    void (*threads)(int);
    at = must(dlsym(handle, "sgemm_")), memcpy(&gemm, &at, sizeof at);
    at = must(dlsym(handle, "openblas_set_num_threads")), memcpy(&threads, &at, sizeof at);
    threads(1);
    float *w = must(malloc(hidden * neurons * sizeof *w));
    float *g = must(malloc(hidden * hidden * sizeof *g));
    for (size_t i = 0; i < hidden * neurons; i++)
        w[i] = sc_float_of((uint32_t)random_weight(i) << 16);

    struct sc_similarity exact = {0}, sketch = {0};
    double best[3] = {1e9, 1e9, 1e9};
    for (size_t run = 0; run < numbers[3]; run++) {
        sc_similarity_clear(&exact);
        sc_similarity_clear(&sketch);
        best[0] = fmin(best[0], compare(m, SC_SIMILARITY_EXACT, &exact));
        best[1] = fmin(best[1], multiply(gemm, w, (int)hidden, (int)neurons, g));
        best[2] = fmin(best[2], compare(m, SC_SIMILARITY_PROBES, &sketch));
    }
    const struct sc_similarity_matrix *a = &exact.layers[0].part[SC_EXPERT_GATE];
    const struct sc_similarity_matrix *b = &sketch.layers[0].part[SC_EXPERT_GATE];
    double worst = 0;
    for (size_t i = 0; i < experts * experts; i++)
        worst = fmax(worst, fabs((double)a->score[i] - (double)b->score[i]));
    printf("%g\t%g\t%g\t%g\t%g\t%g\n", (double)a->macs / best[0] * 1e-9,
           (double)hidden * (double)hidden * (double)neurons / best[1] * 1e-9, best[0], best[2],
           b->error[0], worst);
    sc_similarity_clear(&exact);
    sc_similarity_clear(&sketch);
    sc_model_close(m);
    unlink(path);
    free(w);
    free(g);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* forward: how fast a model is run, beside what the machine can do.
 *
 *   forward MODEL [THREADS [RUNS [TOKENS [MIB]]]]
 *
 * Everything takes turns, RUNS times (3), with THREADS threads (as many as there are processors).
 * Tab-separated lines: name, best figure by wall time, best figure by processor time (times the
 * threads: on a busy machine the steadier of the two), unit. MIB: the memory that a pass may take
 * (as --memory). ONLY=NAME in the environment does one of them.
 *
 *   memory   adding up 1 GiB, by all threads
 *   files    reading the model's files (pread, 256 KiB at once), by all threads
 *   sgemm    OpenBLAS: the matrices of the layers times TOKENS (128) rows, in 32-bit floats
 *   kernel   ours: the same shapes with weights in bfloat16, in memory
 *   kernel16 the same with activations rounded to bfloat16
 *   one      a pass of one token: bytes of the matrices that it needs
 *   prompt   a pass of TOKENS tokens: the matrices' products, as sgemm counts them
 *   one16, prompt16  the same passes with products of bfloat16
 */
#include "forward/forward.h"
#include "kernel/dots.h"
#include "kernel/dots16.h"

#include "clock.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { MAX_RUNS = 100, BLOCK = 256 << 10 };

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "forward: no memory, or no OpenBLAS\n");
        exit(1);
    }
    return p;
}

static void check(int code, const struct sc_error *e)
{
    if (code == 0)
        return;
    fprintf(stderr, "forward: %s\n", e->text);
    exit(1);
}

static struct {
    struct sc_pool *pool;
    struct sc_model *model;
    struct sc_forward *forward;
    unsigned threads;
    size_t tokens;
    uint64_t memory;
    double flops, bytes; /* of the layers' matrices; of all that one token needs */
} all;

struct figure {
    const char *name, *unit;
    double wall, cpu; /* units a second */
};

/* ------------------------------------------------------------------------ memory and files --- */
static struct {
    uint64_t *p, n, sums[64];
    _Atomic uint64_t next;
} memory;

static void add_up(void *ctx, size_t i)
{
    const uint64_t from = memory.n * i / 64, to = memory.n * (i + 1) / 64;
    uint64_t s[8] = {0};
    (void)ctx;
    for (uint64_t k = from; k + 8 <= to; k += 8)
        for (size_t j = 0; j < 8; j++)
            s[j] += memory.p[k + j];
    for (size_t j = 0; j < 8; j++)
        memory.sums[i] += s[j];
}

static double run_memory(void)
{
    if (!memory.p) {
        memory.n = UINT64_C(1) << 27;
        memory.p = must(malloc(memory.n * sizeof *memory.p));
        for (uint64_t i = 0; i < memory.n; i++)
            memory.p[i] = i;
    }
    sc_pool_for(all.pool, 64, add_up, NULL);
    return (double)memory.n * sizeof *memory.p * 1e-9;
}

static void read_blocks(void *ctx, size_t worker)
{
    static _Thread_local unsigned char buffer[BLOCK];
    const struct sc_catalog *c = all.model->catalog;
    (void)ctx, (void)worker;
    for (;;) {
        uint64_t i = atomic_fetch_add(&memory.next, 1);
        uint32_t file = 0;
        for (; file < c->n_files && i >= (c->files[file].bytes + BLOCK - 1) / BLOCK; file++)
            i -= (c->files[file].bytes + BLOCK - 1) / BLOCK;
        struct sc_source *s;
        if (file == c->n_files || sc_model_source(all.model, file, &s, NULL) < 0)
            return;
        const uint64_t n = SC_MIN((uint64_t)BLOCK, s->size - i * BLOCK);
        if (sc_source_read(s, i * BLOCK, buffer, (size_t)n, NULL) == 0)
            for (size_t k = 0; k < n; k += 64)
                memory.sums[0] += buffer[k];
        sc_model_release(all.model, file);
    }
}

static double run_files(void)
{
    double bytes = 0;
    for (uint32_t i = 0; i < all.model->catalog->n_files; i++)
        bytes += (double)all.model->catalog->files[i].bytes;
    memory.next = 0;
    sc_pool_for(all.pool, all.threads, read_blocks, NULL);
    return bytes * 1e-9;
}

/* -------------------------------------------------------------------------------- products --- */
typedef void sgemm_fn(const char *ta, const char *tb, const int *m, const int *n, const int *k,
                      const float *alpha, const float *a, const int *lda, const float *b,
                      const int *ldb, const float *beta, float *c, const int *ldc, size_t, size_t);
static struct {
    sgemm_fn *multiply;
    void (*threads)(int n);
    float *w, *x, *y, *packed;
    uint16_t *codes;
    int rows[8], cols[8];
    size_t n; /* shapes of a layer */
} gemm;

static void prepare_products(void)
{
    const struct sc_forward_facts *f = sc_forward_facts(all.forward);
    const int hidden = (int)f->hidden, wide = (int)f->intermediate;
    const int q = (int)(f->heads * f->head_dim), k = (int)(f->kv_heads * f->head_dim);
    const int rows[] = {q, k, k, hidden, wide, wide, hidden};
    const int cols[] = {hidden, hidden, hidden, q, hidden, hidden, wide};
    size_t most = 0, widest = 0;
    void *at, *handle = must(dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL));
    at = must(dlsym(handle, "sgemm_")), memcpy(&gemm.multiply, &at, sizeof at);
    at = must(dlsym(handle, "openblas_set_num_threads")), memcpy(&gemm.threads, &at, sizeof at);
    gemm.threads((int)all.threads);
    for (gemm.n = 0; gemm.n < SC_COUNT(rows); gemm.n++) {
        gemm.rows[gemm.n] = rows[gemm.n];
        gemm.cols[gemm.n] = cols[gemm.n];
        most = SC_MAX(most, (size_t)rows[gemm.n] * (size_t)cols[gemm.n]);
        widest = SC_MAX(widest, (size_t)SC_MAX(rows[gemm.n], cols[gemm.n]));
        all.flops += 2.0 * rows[gemm.n] * cols[gemm.n] * f->layers * (double)all.tokens;
    }
    all.bytes = all.flops / (double)all.tokens + 2.0 * f->vocab * f->hidden;
    gemm.w = must(malloc(most * sizeof *gemm.w));
    gemm.codes = must(malloc(most * sizeof *gemm.codes));
    gemm.x = must(malloc(all.tokens * widest * sizeof *gemm.x));
    gemm.y = must(malloc(all.tokens * widest * sizeof *gemm.y));
    gemm.packed = must(aligned_alloc(64, (SC_MAX(sc_dots_packed(all.tokens, widest, sc_cpu_level()),
                                                 sc_dots16_packed(all.tokens, widest)) +
                                          16) *
                                             4));
    for (size_t i = 0; i < most; i++) {
        gemm.w[i] = (float)((int)(i * 2654435761U >> 20 & 255) - 128) / 4096;
        gemm.codes[i] = (uint16_t)(sc_bits_of(gemm.w[i]) >> 16);
    }
    for (size_t i = 0; i < all.tokens * widest; i++)
        gemm.x[i] = (float)((int)(i * 2246822519U >> 16 & 4095) - 2048) / 1000;
}

static double run_sgemm(void)
{
    const int n = (int)all.tokens;
    const float one = 1, zero = 0;
    for (size_t i = 0; i < gemm.n; i++) /* y^T = w x^T, column by column as it is written */
        gemm.multiply("T", "N", &gemm.rows[i], &n, &gemm.cols[i], &one, gemm.w, &gemm.cols[i],
                      gemm.x, &gemm.cols[i], &zero, gemm.y, &gemm.rows[i], 1, 1);
    return all.flops / sc_forward_facts(all.forward)->layers * 1e-9;
}

static void multiply_rows(void *ctx, size_t task)
{
    const size_t *shape = ctx;
    const size_t rows = (size_t)gemm.rows[*shape], cols = (size_t)gemm.cols[*shape];
    const size_t from = task * 96, n = SC_MIN(rows - from, (size_t)96);
    struct sc_dots d = {.x = gemm.x,
                        .y = gemm.y + from,
                        .packed =
                            sc_dots_packed(all.tokens, cols, sc_cpu_level()) ? gemm.packed : NULL,
                        .w_stride = cols,
                        .x_stride = cols,
                        .y_stride = rows,
                        .n_w = n,
                        .n_x = all.tokens,
                        .n = cols};
    static _Thread_local _Alignas(64) float scratch[SC_DOTS_SCRATCH];
    d.scratch = scratch;
    sc_dots_bf16(&d, gemm.codes + from * cols, sc_cpu_level());
}

static void pack_rows(void *ctx, size_t group)
{
    const size_t cols = (size_t)gemm.cols[*(const size_t *)ctx];
    sc_dots_pack(gemm.x, cols, all.tokens, cols, group, gemm.packed, sc_cpu_level());
}

static void multiply_rows16(void *ctx, size_t task)
{
    const size_t *shape = ctx;
    const size_t rows = (size_t)gemm.rows[*shape], cols = (size_t)gemm.cols[*shape];
    const size_t from = task * 64;
    static _Thread_local _Alignas(64) float scratch[SC_DOTS16_SCRATCH];
    const struct sc_dots16 d = {.w = gemm.codes + from * cols,
                                .packed = gemm.packed,
                                .y = gemm.y + from,
                                .scratch = scratch,
                                .w_stride = cols,
                                .y_stride = rows,
                                .n_w = SC_MIN(rows - from, (size_t)64),
                                .n_x = all.tokens,
                                .n = cols};
    sc_dots16(&d, sc_dots16_unit());
}

static void pack_rows16(void *ctx, size_t group)
{
    const size_t cols = (size_t)gemm.cols[*(const size_t *)ctx];
    sc_dots16_pack(gemm.x, cols, all.tokens, cols, group, gemm.packed, sc_dots16_unit());
}

static double run_kernel16(void)
{
    for (size_t i = 0; i < gemm.n; i++) {
        sc_pool_for(all.pool, (all.tokens + SC_DOTS16_GROUP - 1) / SC_DOTS16_GROUP, pack_rows16,
                    &i);
        sc_pool_for(all.pool, ((size_t)gemm.rows[i] + 63) / 64, multiply_rows16, &i);
    }
    return all.flops / sc_forward_facts(all.forward)->layers * 1e-9;
}

static double run_kernel(void)
{
    for (size_t i = 0; i < gemm.n; i++) {
        if (sc_dots_packed(all.tokens, (size_t)gemm.cols[i], sc_cpu_level()))
            sc_pool_for(all.pool, (all.tokens + SC_DOTS_GROUP - 1) / SC_DOTS_GROUP, pack_rows, &i);
        sc_pool_for(all.pool, ((size_t)gemm.rows[i] + 95) / 96, multiply_rows, &i);
    }
    return all.flops / sc_forward_facts(all.forward)->layers * 1e-9;
}

/* ------------------------------------------------------------------------------------ runs --- */
static int take(void *ctx, uint32_t stream, uint32_t position, const float *row, size_t vocab,
                struct sc_error *e)
{
    (void)ctx, (void)stream, (void)position, (void)vocab, (void)e;
    memory.sums[0] += (uint64_t)sc_bits_of(row[0]);
    return 0;
}

static void pass(size_t n, enum sc_precision precision)
{
    uint32_t *tokens = must(calloc(n, sizeof *tokens));
    struct sc_error e = {0};
    for (size_t i = 0; i < n; i++)
        tokens[i] = (uint32_t)(i * 37 % sc_forward_facts(all.forward)->vocab);
    sc_forward_set_precision(all.forward, precision);
    const struct sc_sequence s = {tokens, n};
    const struct sc_run r = {.memory = all.memory,
                             .pool = all.pool,
                             .sequences = &s,
                             .n_sequences = 1,
                             .logits = take,
                             .last_only = true};
    check(sc_forward_run(all.forward, &r, &e), &e);
    free(tokens);
}

static double run_one(void)
{
    pass(1, SC_PRECISION_F32);
    return all.bytes * 1e-9;
}

static double run_one16(void)
{
    pass(1, SC_PRECISION_BF16);
    return all.bytes * 1e-9;
}

static double run_prompt(void)
{
    pass(all.tokens, SC_PRECISION_F32);
    return all.flops * 1e-9;
}

static double run_prompt16(void)
{
    pass(all.tokens, SC_PRECISION_BF16);
    return all.flops * 1e-9;
}

static void measure(struct figure *f, double (*run)(void))
{
    const double start = now(), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    const double work = run();
    const double wall_s = now() - start, cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    f->wall = SC_MAX(f->wall, work / wall_s);
    f->cpu = SC_MAX(f->cpu, work / cpu_s * all.threads);
}

int main(int argc, char **argv)
{
    struct figure figures[] = {
        {"memory", "GB/s", 0, 0},    {"files", "GB/s", 0, 0},       {"sgemm", "GFLOP/s", 0, 0},
        {"kernel", "GFLOP/s", 0, 0}, {"kernel16", "GFLOP/s", 0, 0}, {"one", "GB/s", 0, 0},
        {"prompt", "GFLOP/s", 0, 0}, {"one16", "GB/s", 0, 0},       {"prompt16", "GFLOP/s", 0, 0}};
    double (*const runs[])(void) = {run_memory, run_files,  run_sgemm, run_kernel,  run_kernel16,
                                    run_one,    run_prompt, run_one16, run_prompt16};
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_error e = {0};
    const unsigned threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    const long n = argc > 3 ? strtol(argv[3], NULL, 10) : 3;
    const char *only = getenv("ONLY"); /* one of the names, for a profiler */
    all.tokens = argc > 4 ? strtoul(argv[4], NULL, 10) : 128;
    all.memory = argc > 5 ? strtoull(argv[5], NULL, 10) << 20 : 0;
    if (argc < 2 || n < 1 || n > MAX_RUNS || all.tokens < 1) {
        fputs("usage: forward MODEL [THREADS [RUNS [TOKENS [MIB]]]]\n", stderr);
        return 2;
    }
    check(sc_model_open(argv[1], &o, &all.model, &e), &e);
    check(sc_pool_new(threads, &all.pool, &e), &e);
    check(sc_forward_open(all.model, &all.forward, &e), &e);
    all.threads = sc_pool_threads(all.pool);
    prepare_products();
    for (long i = 0; i < n; i++)
        for (size_t k = 0; k < SC_COUNT(figures); k++)
            if (!only || strcmp(only, figures[k].name) == 0)
                measure(&figures[k], runs[k]);
    for (size_t k = 0; k < SC_COUNT(figures); k++)
        printf("%s\t%.3f\t%.3f\t%s\n", figures[k].name, figures[k].wall, figures[k].cpu,
               figures[k].unit);
    sc_forward_close(all.forward);
    sc_pool_free(all.pool);
    sc_model_close(all.model);
    return 0;
}

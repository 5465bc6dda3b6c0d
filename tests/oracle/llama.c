/* SPDX-License-Identifier: Apache-2.0 */
/* llama: what llama.cpp makes of a GGUF, through its public interface; a second opinion for
 * tests/py/test_llama.py and a peer for bench/forward.py. Not part of the build:
 * tests/py/llama_peer.py compiles it where $LLAMA_LIB and $LLAMA_INCLUDE name a library and its
 * headers.
 *
 *   llama logits MODEL OUT ID,ID,... [threads=N] [context=N] [window=N] [base=X]
 *       OUT gets the logits of every position, 32-bit floats, and stdout their number of positions
 *       and their width. Keys and values are cached in 32 bits, and attention is written out, so
 *       that nothing is rounded on the way. All tokens are one batch; with a window one follows
 *       the other, and keys that it would not see are taken out of the cache before: a sliding
 *       window in every layer, for architectures for which the library has none. base: of the
 *       rotation, instead of the model's.
 *   llama speed MODEL THREADS TOKENS RUNS
 *       with the library's own defaults, after a run to warm up: the fastest of RUNS, tokens a
 *       second of a prompt of TOKENS and of one token behind it; the same by processor time
 *       (times the threads).
 *
 * $LLAMA_LIB is the folder that has the library's back ends, too. */
#include <ggml-backend.h>
#include <llama.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void quiet(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static void *must(void *p, const char *what)
{
    if (!p) {
        fprintf(stderr, "llama: %s\n", what);
        exit(1);
    }
    return p;
}

static struct llama_model *open_model(const char *path, bool exact)
{
    struct llama_model_params p = llama_model_default_params();

    if (exact)
        p.use_extra_bufts = false; /* no weights in another order, for other kernels */
    return must(llama_model_load_from_file(path, p), "the model cannot be loaded");
}

struct options {
    int threads, window;
    uint32_t context, batch;
    float base;
    bool exact;
};

static struct llama_context *open_context(struct llama_model *m, const struct options *o)
{
    struct llama_context_params p = llama_context_default_params();

    p.n_ctx = o->context;
    p.n_batch = p.n_ubatch = o->batch;
    p.n_threads = p.n_threads_batch = o->threads;
    p.rope_freq_base = o->base;
    if (o->exact) {
        p.type_k = p.type_v = GGML_TYPE_F32;
        p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    }
    return must(llama_init_from_model(m, p), "no context");
}

/* Tokens at positions `from` on; logits of all of them, or of the last. */
static void decode(struct llama_context *c, const llama_token *ids, int n, int from, bool every)
{
    struct llama_batch b = llama_batch_init(n, 0, 1);

    b.n_tokens = n;
    for (int i = 0; i < n; i++) {
        b.token[i] = ids[i];
        b.pos[i] = from + i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = every || i == n - 1;
    }
    if (llama_decode(c, b) != 0)
        must(NULL, "the tokens cannot be decoded");
    llama_batch_free(b);
}

static void write_rows(struct llama_context *c, int n, size_t width, FILE *out)
{
    for (int i = 0; i < n; i++)
        if (fwrite(must(llama_get_logits_ith(c, i), "no logits"), sizeof(float), width, out) !=
            width)
            must(NULL, "the output cannot be written");
}

static int logits(int argc, char **argv)
{
    static llama_token ids[1 << 16];
    struct options o = {.threads = 2, .context = 512, .exact = true};
    int n = 0;

    for (char *p = argv[2]; *p && n < (int)(sizeof ids / sizeof *ids); p += *p == ',')
        ids[n++] = (llama_token)strtol(p, &p, 10);
    for (int i = 3; i < argc; i++)
        if (sscanf(argv[i], "threads=%d", &o.threads) != 1 &&
            sscanf(argv[i], "context=%u", &o.context) != 1 &&
            sscanf(argv[i], "window=%d", &o.window) != 1 &&
            sscanf(argv[i], "base=%f", &o.base) != 1)
            must(NULL, "an option is not known");
    o.batch = (uint32_t)n;
    struct llama_model *m = open_model(argv[0], true);
    struct llama_context *c = open_context(m, &o);
    const size_t width = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(m));
    FILE *out = must(fopen(argv[1], "wb"), "the output cannot be written");

    if (!o.window) {
        decode(c, ids, n, 0, true);
        write_rows(c, n, width, out);
    }
    for (int i = 0; o.window && i < n; i++) {
        if (i >= o.window && !llama_memory_seq_rm(llama_get_memory(c), 0, 0, i - o.window + 1))
            must(NULL, "no key can be taken out of the cache");
        decode(c, ids + i, 1, i, true);
        write_rows(c, 1, width, out);
    }
    if (fclose(out) != 0)
        must(NULL, "the output cannot be written");
    printf("%d %zu\n", n, width);
    llama_free(c);
    llama_model_free(m);
    return 0;
}

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int speed(char **argv)
{
    const int threads = atoi(argv[1]), n = atoi(argv[2]), runs = atoi(argv[3]);
    const struct options o = {
        .threads = threads, .context = (uint32_t)n + 256, .batch = (uint32_t)n};
    llama_token *ids = must(calloc((size_t)n + 1, sizeof *ids), "no memory");
    struct llama_model *m = open_model(argv[0], false);
    struct llama_context *c = open_context(m, &o);
    const int vocab = llama_vocab_n_tokens(llama_model_get_vocab(m));
    double best[2][2] = {{0}};

    for (int i = 0; i <= n; i++)
        ids[i] = (int)((long)i * 37 % vocab);
    for (int run = -1; run < runs; run++) {
        llama_memory_clear(llama_get_memory(c), true);
        for (int part = 0; part < 2; part++) {
            const double wall = seconds(CLOCK_MONOTONIC);
            const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
            decode(c, ids, part ? 1 : n, part ? n : 0, false);
            must(llama_get_logits_ith(c, -1), "no logits");
            const double rate[] = {(part ? 1 : n) / (seconds(CLOCK_MONOTONIC) - wall),
                                   (part ? 1 : n) * threads /
                                       (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu)};
            for (int k = 0; run >= 0 && k < 2; k++)
                best[part][k] = rate[k] > best[part][k] ? rate[k] : best[part][k];
        }
    }
    printf("%.4f %.4f %.4f %.4f\n", best[0][0], best[1][0], best[0][1], best[1][1]);
    llama_free(c);
    llama_model_free(m);
    free(ids);
    return 0;
}

int main(int argc, char **argv)
{
    const char *folder = getenv("LLAMA_LIB");

    llama_log_set(quiet, NULL);
    if (folder)
        ggml_backend_load_all_from_path(folder);
    else
        ggml_backend_load_all();
    llama_backend_init();
    if (argc >= 5 && strcmp(argv[1], "logits") == 0)
        return logits(argc - 2, argv + 2);
    if (argc == 6 && strcmp(argv[1], "speed") == 0)
        return speed(argv + 2);
    fputs("usage: llama logits MODEL OUT IDS [NAME=VALUE...] | speed MODEL THREADS TOKENS RUNS\n",
          stderr);
    return 2;
}

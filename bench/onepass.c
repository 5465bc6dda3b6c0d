/* SPDX-License-Identifier: Apache-2.0 */
/* onepass: what the least that tells most of a model's single values costs: how often each 16-bit
 * code occurs in a tensor, in one table of 65,536 counters, and the largest magnitude of each row
 * and column. A limit for `scan`, which makes more of the same bytes.
 *
 *   onepass MODEL [THREADS [RUNS]]
 *
 * Tensors of 16-bit elements alone are looked at; MODEL is a folder or file of plain ones. Files
 * are mapped once, 8 MiB at a time, which was as fast as or faster than reading blocks of 64 KiB to
 * 1 MiB where it was tried, and each row is counted while it is in cache. One tab-separated line:
 * threads, bytes, fastest and median seconds, fastest and median CPU seconds, the GB/s of adding up
 * memory (one thread, the fastest of several runs), a number that depends on everything. */
#include "stream/stream.h"

#include "clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_RUNS = 1000, CODES = 65536 };
#define SEGMENT (UINT64_C(8) << 20) /* bytes */

/* Of 16-bit magnitudes, which are positive as signed ones. */
struct tensor {
    uint64_t at, rows, cols, per_segment, segments; /* at: in its file; rows of a segment */
    int fd;
    uint32_t *count;
    int16_t *row, *column;
    pthread_mutex_t lock;
};
struct work {
    struct tensor *tensors;
    size_t n;
    uint64_t segments;
    _Atomic uint64_t next;
};

/* ------------------------------------------------------------------------------------- loops ---
 */
static inline int16_t one_row(const uint16_t *codes, size_t n, int16_t *column)
{
    int16_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const int16_t v = (int16_t)(codes[i] & 0x7fff);
        column[i] = v > column[i] ? v : column[i];
        most = v > most ? v : most;
    }
    return most;
}
static int16_t one_row_c(const uint16_t *codes, size_t n, int16_t *column)
{
    return one_row(codes, n, column);
}
#if SC_HAVE_X86
SC_TARGET_AVX512 static int16_t one_row_avx512(const uint16_t *codes, size_t n, int16_t *column)
{
    return one_row(codes, n, column);
}
SC_TARGET_AVX2 static int16_t one_row_avx2(const uint16_t *codes, size_t n, int16_t *column)
{
    return one_row(codes, n, column);
}
#endif

typedef int16_t row_fn(const uint16_t *codes, size_t n, int16_t *column);
static row_fn *best_row(void)
{
#if SC_HAVE_X86
    if (sc_cpu_level() == SC_CPU_AVX512)
        return one_row_avx512;
    if (sc_cpu_level() == SC_CPU_AVX2)
        return one_row_avx2;
#endif
    return one_row_c;
}

static void count_row(const uint16_t *codes, size_t n, uint32_t *count)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        count[codes[i]]++;
        count[codes[i + 1]]++;
        count[codes[i + 2]]++;
        count[codes[i + 3]]++;
        count[codes[i + 4]]++;
        count[codes[i + 5]]++;
        count[codes[i + 6]]++;
        count[codes[i + 7]]++;
    }
    for (; i < n; i++)
        count[codes[i]]++;
}

/* ------------------------------------------------------------------------------------ threads ---
 */
struct mine {
    struct tensor *tensor;
    uint32_t *count;
    int16_t *column;
    size_t room;
};

static void give(struct mine *m)
{
    struct tensor *t = m->tensor;
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < CODES; i++)
        t->count[i] += m->count[i];
    for (size_t i = 0; i < t->cols; i++)
        t->column[i] = SC_MAX(t->column[i], m->column[i]);
    pthread_mutex_unlock(&t->lock);
    memset(m->count, 0, CODES * sizeof *m->count);
    memset(m->column, 0, t->cols * sizeof *m->column);
    m->tensor = NULL;
}

static void look(struct mine *m, struct tensor *t, uint64_t segment)
{
    const uint64_t first = segment * t->per_segment;
    const uint64_t rows = SC_MIN(t->per_segment, t->rows - first);
    const uint64_t at = t->at + 2 * first * t->cols, page = at % 4096;
    const size_t bytes = (size_t)(2 * rows * t->cols);
    int flags = MAP_SHARED;
#ifdef MAP_POPULATE
    flags |= MAP_POPULATE;
#endif
    if (m->tensor != t) {
        give(m);
        m->tensor = t;
    }
    void *map = mmap(NULL, bytes + page, PROT_READ, flags, t->fd, (off_t)(at - page));
    if (map == MAP_FAILED)
        return;
    row_fn *row = best_row();
    const uint16_t *codes = (const void *)((const char *)map + page);
    for (uint64_t i = 0; i < rows; i++, codes += t->cols) {
        t->row[first + i] = row(codes, (size_t)t->cols, m->column);
        count_row(codes, (size_t)t->cols, m->count);
    }
    munmap(map, bytes + page);
}

static void work(void *ctx, size_t worker)
{
    struct work *w = ctx;
    size_t most = 1;
    (void)worker;
    for (size_t i = 0; i < w->n; i++)
        most = SC_MAX(most, (size_t)w->tensors[i].cols);
    struct mine m = {.count = calloc(CODES, sizeof *m.count),
                     .column = calloc(most, sizeof *m.column)};
    for (size_t i = 0; m.count && m.column;) {
        static _Thread_local uint64_t before;
        uint64_t segment = atomic_fetch_add(&w->next, 1);
        if (segment >= w->segments)
            break;
        const uint64_t all = segment;
        for (i = 0, before = 0; all - before >= w->tensors[i].segments; i++)
            before += w->tensors[i].segments;
        look(&m, &w->tensors[i], all - before);
    }
    give(&m);
    free(m.count);
    free(m.column);
}

/* ------------------------------------------------------------------------------------- a run ---
 */
static bool is_wanted(const struct sc_entry *en)
{
    const struct sc_codec *c = en->dtype & SC_FOREIGN_TYPE || en->dtype == SC_OPAQUE
                                   ? NULL
                                   : sc_codec((sc_codec_id)en->dtype);
    return c && c->bytes == 2 && c->block == 1 && en->bytes > 0 && en->view == SC_NO_STORAGE &&
           en->offset % 2 == 0 && !en->flags;
}

static bool make_tensor(const struct sc_model *m, const struct sc_entry *en, const int *fds,
                        struct tensor *t)
{
    const uint64_t cols = en->rank > 1 ? en->shape[en->rank - 1] : en->bytes / 2;
    *t = (struct tensor){.at = en->offset,
                         .fd = fds[en->file],
                         .rows = en->bytes / 2 / cols,
                         .cols = cols,
                         .per_segment = SC_MAX(SEGMENT / 2 / cols, UINT64_C(1)),
                         .count = calloc(CODES, sizeof *t->count),
                         .column = calloc((size_t)cols, sizeof *t->column)};
    t->row = calloc((size_t)t->rows, sizeof *t->row);
    t->segments = (t->rows - 1) / t->per_segment + 1;
    (void)m;
    return pthread_mutex_init(&t->lock, NULL) == 0 && t->count && t->column && t->row;
}

/* What is found is compared by nobody, but must be found. */
static uint64_t mix_up(struct work *w)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct tensor *t = &w->tensors[i];
        for (size_t k = 0; k < CODES; k++)
            sum += (k + 1) * t->count[k];
        for (size_t k = 0; k < t->rows; k++)
            sum = 31 * sum + (uint64_t)t->row[k];
        for (size_t k = 0; k < t->cols; k++)
            sum = 31 * sum + (uint64_t)t->column[k];
    }
    return sum;
}

static void free_tensors(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        free(w->tensors[i].count);
        free(w->tensors[i].row);
        free(w->tensors[i].column);
        pthread_mutex_destroy(&w->tensors[i].lock);
    }
}

/* All tensors, from nothing; false: no memory. */
static bool run(const struct sc_model *m, struct sc_pool *pool, const int *fds,
                struct tensor *tensors, uint64_t *sum)
{
    struct work w = {.tensors = tensors};
    bool ok = true;
    for (size_t i = 0; ok && i < m->catalog->n_entries; i++)
        if (is_wanted(&m->catalog->entries[i])) {
            ok = make_tensor(m, &m->catalog->entries[i], fds, &tensors[w.n]);
            w.segments += tensors[w.n++].segments;
        }
    if (ok)
        sc_pool_for(pool, sc_pool_threads(pool), work, &w);
    *sum = ok ? mix_up(&w) : 0;
    free_tensors(&w);
    return ok;
}

static int *open_files(const struct sc_model *m)
{
    int *fds = calloc(m->catalog->n_files + 1, sizeof *fds);
    for (size_t i = 0; fds && i < m->catalog->n_files; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", m->label, m->catalog->files[i].path);
        fds[i] = open(path, O_RDONLY);
        if (fds[i] < 0)
            fds[i] = open(m->label, O_RDONLY);
    }
    return fds;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double wall[MAX_RUNS], cpu[MAX_RUNS];
    const unsigned threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    const long runs = argc > 3 ? strtol(argv[3], NULL, 10) : 5;
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_error e = {0};
    struct sc_model *m = NULL;
    struct sc_pool *pool = NULL;
    uint64_t sum = 0;
    if (argc < 2 || runs < 1 || runs > MAX_RUNS) {
        fputs("usage: onepass MODEL [THREADS [RUNS]]\n", stderr);
        return 2;
    }
    int status = sc_model_open(argv[1], &o, &m, &e);
    if (status == 0)
        status = sc_pool_new(threads, &pool, &e);
    int *fds = status == 0 ? open_files(m) : NULL;
    struct tensor *tensors = fds ? calloc(m->catalog->n_entries + 1, sizeof *tensors) : NULL;
    bool ok = tensors != NULL;
    for (long i = 0; ok && i < runs; i++) {
        const double at = now(), used = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        ok = run(m, pool, fds, tensors, &sum);
        wall[i] = now() - at;
        cpu[i] = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - used;
    }
    if (!ok) {
        fprintf(stderr, "onepass: %s\n", e.text);
    } else {
        qsort(wall, (size_t)runs, sizeof wall[0], by_size);
        qsort(cpu, (size_t)runs, sizeof cpu[0], by_size);
        double memory = 0;
        for (int i = 0; i < 5; i++) {
            const double speed = read_once(&sum);
            memory = SC_MAX(memory, speed);
        }
        printf("%u\t%llu\t%.6f\t%.6f\t%.6f\t%.6f\t%.3f\t%llu\n", sc_pool_threads(pool),
               (unsigned long long)m->bytes, wall[0], wall[runs / 2], cpu[0], cpu[runs / 2], memory,
               (unsigned long long)sum);
    }
    free(tensors);
    free(fds);
    sc_pool_free(pool);
    sc_model_close(m);
    return !ok;
}

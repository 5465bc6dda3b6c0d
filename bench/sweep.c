/* SPDX-License-Identifier: Apache-2.0 */
/* sweep: what it costs to bring every element of a model to a pass that does nothing with it, and
 * what merely reading the files costs.
 *
 *   sweep MODEL [THREADS [RUNS [codes|values [cold]]]]
 *
 * Both take turns. `cold` drops the files from the page cache before each of them. One
 * tab-separated line: threads, bytes, fastest and median seconds of the sweep, fastest and median
 * seconds of reading with as many threads (pread, 256 KiB at once), microseconds per tensor. */
#include "stream/stream.h"

#include "clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_RUNS = 1000, BLOCK = 256 << 10 };

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ------------------------------------------------------------------------------- the pass --- */

static unsigned wanted = SC_WANT_CODES;

static unsigned wants(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    (void)ctx, (void)item;
    return v->code_bytes ? wanted : (unsigned)SC_WANT_VALUES;
}

static int begin(void *ctx, const struct sc_item *item, const struct sc_values *v, void **total,
                 struct sc_error *e)
{
    (void)item, (void)v, (void)e;
    *total = ctx;
    return 0;
}

static int part(void *ctx, void *total, unsigned visit, void *reuse, void **out, struct sc_error *e)
{
    (void)total, (void)visit, (void)reuse, (void)e;
    *out = ctx;
    return 0;
}

/* One look at each cache line, so that memory has to bring it. */
static void chunk(void *ctx, void *total, void *acc, const struct sc_chunk *c)
{
    const unsigned char *p = c->codes ? c->codes : (const void *)c->values;
    const size_t n = (size_t)(c->n_rows * c->n_cols) * (c->codes ? c->view->code_bytes : 4U);
    unsigned char sum = 0;
    for (size_t i = 0; i < n; i += 64)
        sum ^= p[i];
    (void)total, (void)acc;
    if (sum == 77 && n == 1)
        *(volatile int *)ctx = sum;
}

static void merge(void *ctx, void *total, void *acc)
{
    (void)ctx, (void)total, (void)acc;
}

static void part_free(void *ctx, void *acc)
{
    (void)ctx, (void)acc;
}

static bool again(void *ctx, void *total, unsigned visit)
{
    (void)ctx, (void)total, (void)visit;
    return false;
}

static int end(void *ctx, const struct sc_item *item, const struct sc_values *v, void *total,
               struct sc_error *e)
{
    (void)ctx, (void)item, (void)v, (void)total, (void)e;
    return 0;
}

static void drop(void *ctx, void *total)
{
    (void)ctx, (void)total;
}

static const struct sc_pass nothing = {"nothing", wants,     begin, part, chunk,
                                       merge,     part_free, again, end,  drop};

static int count_done(void *ctx, size_t item, const struct sc_error *why)
{
    (void)item;
    if (why)
        fprintf(stderr, "%s\n", why->text);
    ++*(size_t *)ctx;
    return 0;
}

static int sweep(const struct sc_model *m, struct sc_pool *pool, const struct sc_item *items,
                 struct sc_error *e)
{
    const struct sc_pass *passes[] = {&nothing};
    static int sink;
    void *const pass_ctx[] = {&sink};
    size_t done = 0;
    const struct sc_sweep s = {.pool = pool,
                               .model = m,
                               .items = items,
                               .n_items = m->n_tensors,
                               .passes = passes,
                               .pass_ctx = pass_ctx,
                               .n_passes = 1,
                               .done = count_done,
                               .ctx = &done};
    return sc_sweep_run(&s, e);
}

/* -------------------------------------------------------------------------------- the limit --- */

struct reading {
    const struct sc_model *m;
    _Atomic uint64_t next; /* block of all files */
};

static void read_blocks(void *ctx, size_t worker)
{
    struct reading *r = ctx;
    static _Thread_local unsigned char buffer[BLOCK];
    (void)worker;
    for (;;) {
        uint64_t i = atomic_fetch_add(&r->next, 1), off = 0;
        uint32_t file = 0;
        for (; file < r->m->catalog->n_files; file++) {
            const uint64_t n = (r->m->catalog->files[file].bytes + BLOCK - 1) / BLOCK;
            if (i < n)
                break;
            i -= n;
        }
        if (file == r->m->catalog->n_files)
            return;
        struct sc_source *s;
        off = i * BLOCK;
        if (sc_model_source(r->m, file, &s, NULL) < 0)
            return;
        const size_t n = (size_t)SC_MIN((uint64_t)BLOCK, s->size - off);
        unsigned char sum = 0;
        if (sc_source_read(s, off, buffer, n, NULL) == 0)
            for (size_t k = 0; k < n; k += 64)
                sum ^= buffer[k];
        sc_model_release(r->m, file);
        if (sum == 77 && n == 1)
            fputc('.', stderr);
    }
}

static void drop_cache(const struct sc_model *m)
{
    for (size_t i = 0; i < m->catalog->n_files; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", m->label, m->catalog->files[i].path);
        int fd = open(path, O_RDONLY);
        if (fd < 0)
            fd = open(m->label, O_RDONLY);
        if (fd < 0)
            continue;
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
}

int main(int argc, char **argv)
{
    static double ours[MAX_RUNS], theirs[MAX_RUNS];
    const unsigned threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    const long runs = argc > 3 ? strtol(argv[3], NULL, 10) : 5;
    const bool cold = argc > 5 && strcmp(argv[5], "cold") == 0;
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_error e = {0};
    struct sc_model *m = NULL;
    struct sc_pool *pool = NULL;
    if (argc < 2 || runs < 1 || runs > MAX_RUNS) {
        fputs("usage: sweep MODEL [THREADS [RUNS [codes|values [cold]]]]\n", stderr);
        return 2;
    }
    if (argc > 4 && strcmp(argv[4], "values") == 0)
        wanted = SC_WANT_VALUES;
    int status = sc_model_open(argv[1], &o, &m, &e);
    if (status == 0)
        status = sc_pool_new(threads, &pool, &e);
    struct sc_item *items = status == 0 ? calloc(m->n_tensors + 1, sizeof *items) : NULL;
    for (size_t i = 0; items && i < m->n_tensors; i++)
        items[i] = (struct sc_item){.tensor = (uint32_t)i, .tensor_b = SC_NO_NODE};
    for (long i = 0; items && status == 0 && i < runs; i++) {
        struct reading r = {.m = m};
        if (cold)
            drop_cache(m);
        double at = now();
        status = sweep(m, pool, items, &e);
        ours[i] = now() - at;
        if (cold)
            drop_cache(m);
        at = now();
        sc_pool_for(pool, sc_pool_threads(pool), read_blocks, &r);
        theirs[i] = now() - at;
    }
    if (status < 0 || !items) {
        fprintf(stderr, "sweep: %s\n", e.text);
    } else {
        qsort(ours, (size_t)runs, sizeof ours[0], by_size);
        qsort(theirs, (size_t)runs, sizeof theirs[0], by_size);
        printf("%u\t%llu\t%.6f\t%.6f\t%.6f\t%.6f\t%.3f\n", sc_pool_threads(pool),
               (unsigned long long)m->bytes, ours[0], ours[runs / 2], theirs[0], theirs[runs / 2],
               1e6 * ours[0] / (double)SC_MAX(m->n_tensors, (size_t)1));
    }
    free(items);
    sc_pool_free(pool);
    sc_model_close(m);
    return status < 0;
}

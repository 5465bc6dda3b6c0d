/* SPDX-License-Identifier: Apache-2.0 */
/* bytes: what pictures of bytes cost, inside one process.
 *
 *   bytes FILE [RUNS]
 *
 * Tiles along FILE at each near zoom, one thread, taking turns with memcpy() of the same number of
 * bytes (from a file in memory), and counting all of it. Tab-separated lines:
 *
 *   tile   zoom  plane  bytes a second of processor time  of memcpy's speed
 *   count  bytes a second a thread
 *   copy   bytes a second */
#include "picture/bytes.h"

#include "clock.h"
#include "source/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 26, MAX_RUNS = 50 };

static void fail(const struct sc_error *e)
{
    fprintf(stderr, "%s\n", e->text);
    exit(1);
}

static double cpu(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

static int open_it(void *ctx, size_t i, struct sc_source **out, struct sc_error *e)
{
    (void)i;
    return sc_file_open(ctx, NULL, out, e);
}

/* Seconds for the tiles of the first bytes, at most MOST of them. */
static double time_tiles(struct sc_bytes *b, int z, enum sc_plane plane, uint64_t *bytes)
{
    struct sc_tile *t = malloc(sizeof *t);
    struct sc_error e = {0};
    const uint64_t each = UINT64_C(65536) << 2 * z;
    const double start = cpu();
    *bytes = 0;
    const unsigned order = sc_bytes_order(b), side = (unsigned)z + 8;
    const unsigned columns = order > side ? 1U << (order - side) : 1;
    for (unsigned i = 0; i < columns * columns; i++) {
        const uint64_t row = (i / columns) << side, col = (i % columns) << side;
        if (i && (*bytes + each > (uint64_t)MOST ||
                  sc_bytes_at(b, 0, row, col) + each > sc_bytes_total(b)))
            continue;
        t->z = z;
        t->x = (int64_t)(i % columns);
        t->y = (int64_t)(i / columns);
        t->plane = plane;
        if (sc_bytes_tiles(b, t, 1, 0, &e) < 0)
            fail(&e);
        *bytes += each;
    }
    free(t);
    return cpu() - start;
}

static double time_copy(const uint8_t *from, uint8_t *to, size_t n)
{
    const double start = cpu();
    memcpy(to, from, n);
    return cpu() - start;
}

static struct sc_bytes *open_bytes(char *path, struct sc_byte_file *f, struct sc_pool *pool,
                                   const _Atomic int *cancel)
{
    const struct sc_bytes_options o = {
        .pool = pool, .memory = 1 << 30, .cancel = cancel, .open = open_it, .ctx = path};
    struct sc_bytes *b;
    struct sc_error e = {0};
    if (sc_bytes_new(path, f, 1, NULL, 0, &o, &b, &e) < 0)
        fail(&e);
    return b;
}

int main(int argc, char **argv)
{
    static const enum sc_plane planes[] = {SC_PLANE_MAIN, SC_PLANE_MEAN, SC_PLANE_ENTROPY};
    const int runs = argc > 2 ? SC_MIN(atoi(argv[2]), MAX_RUNS) : 5;
    const _Atomic int cancel = 0;
    struct sc_source *s = NULL;
    struct sc_pool *pool;
    struct sc_error e = {0};
    if (argc < 2 || sc_file_open(argv[1], NULL, &s, &e) < 0 || sc_pool_new(1, &pool, &e) < 0 || !s)
        fail(&e);
    struct sc_byte_file f = {.name = argv[1], .bytes = s->size};
    const size_t n = (size_t)SC_MIN(s->size, (uint64_t)MOST);
    uint8_t *from = malloc(n), *to = malloc(n);
    if (sc_source_read(s, 0, from, n, &e) < 0)
        fail(&e);
    (void)time_copy(from, to, n);
    double copy = 1e9, count = 1e9, best[5][SC_COUNT(planes)];
    uint64_t bytes[5] = {0};
    for (int r = 0; r < runs; r++) {
        struct sc_bytes *b = open_bytes(argv[1], &f, pool, &cancel);
        copy = SC_MIN(copy, time_copy(from, to, n));
        for (int z = 0; z <= 4; z++)
            for (size_t k = 0; k < SC_COUNT(planes); k++) {
                const double seconds = time_tiles(b, z, planes[k], &bytes[z]);
                best[z][k] = r ? SC_MIN(best[z][k], seconds) : seconds;
            }
        const double start = cpu();
        if (sc_bytes_build(b, &e) < 0)
            fail(&e);
        count = SC_MIN(count, cpu() - start);
        sc_bytes_free(b);
    }
    const double rate = (double)n / copy;
    for (int z = 0; z <= 4; z++)
        for (size_t k = 0; k < SC_COUNT(planes); k++)
            printf("tile\t%d\t%s\t%.0f\t%.3f\n", z, sc_plane_names[planes[k]],
                   (double)bytes[z] / best[z][k], (double)bytes[z] / best[z][k] / rate);
    printf("count\t%.0f\t%.3f\n", (double)f.bytes / count, (double)f.bytes / count / rate);
    printf("copy\t%.0f\n", rate);
    sc_pool_free(pool);
    sc_source_close(s);
    free(from);
    free(to);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* tiles: what pyramids and tiles cost, inside one process.
 *
 *   tiles MODEL [THREADS [RUNS]]
 *
 * Building all pyramids takes turns with merely reading the files (pread, 256 KiB at once, as many
 * threads). Then tiles at random places of each zoom, one thread: once while nothing is built, once
 * with pyramids. Tab-separated lines:
 *
 *   pyramid  threads  bytes  fastest seconds  of reading  share of reading's speed  share of size
 *   tile     state  zoom  tiles  p50  p99  worst, in microseconds of processor time
 *   rate     exact tiles a second of one thread at one pixel an element */
#include "picture/tiles.h"

#include "clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 256 << 10, TILES = 200, MAX_RUNS = 100 };

/* Of this thread: whatever else the machine does. */
static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void fail(const struct sc_error *e)
{
    fprintf(stderr, "%s\n", e->text);
    exit(1);
}

/* --------------------------------------------------------------------------------- reading --- */

struct reading {
    const struct sc_model *m;
    const char *root;
    _Atomic uint64_t next;
};

/* Blocks of all files, one after the other, taken in turns. */
static void *read_blocks(void *ctx)
{
    struct reading *r = ctx;
    uint8_t *buffer = malloc(BLOCK);
    uint64_t first = 0;
    uint64_t block = r->next++;
    for (size_t i = 0; i < r->m->catalog->n_files; i++) {
        char path[4096];
        const char *name = r->m->catalog->files[i].path;
        const uint64_t size = r->m->catalog->files[i].bytes, n = (size + BLOCK - 1) / BLOCK;
        const size_t len = strlen(r->root);
        snprintf(path, sizeof path, "%s%s%s", r->root,
                 len > strlen(name) && strcmp(r->root + len - strlen(name), name) == 0 ? "" : "/",
                 len > strlen(name) && strcmp(r->root + len - strlen(name), name) == 0 ? "" : name);
        const int fd = open(path, O_RDONLY);
        for (; fd >= 0 && block < first + n; block = r->next++) {
            const ssize_t got = pread(fd, buffer, BLOCK, (off_t)((block - first) * BLOCK));
            uint8_t sum = 0;
            for (ssize_t k = 0; k < got; k += 64)
                sum ^= buffer[k];
            *(volatile uint8_t *)buffer = sum;
        }
        if (fd >= 0)
            close(fd);
        else
            perror(path);
        first += n;
    }
    free(buffer);
    return NULL;
}

static double read_all(const struct sc_model *m, const char *root, unsigned threads)
{
    struct reading r = {.m = m, .root = root};
    pthread_t t[64];
    const double start = now();
    for (unsigned i = 1; i < threads; i++)
        pthread_create(&t[i], NULL, read_blocks, &r);
    read_blocks(&r);
    for (unsigned i = 1; i < threads; i++)
        pthread_join(t[i], NULL);
    return now() - start;
}

/* ----------------------------------------------------------------------------------- tiles --- */

static uint32_t state = 12345;
static uint32_t number(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

/* A tile around a point of a random place, large ones more often. */
static void choose(const struct sc_scene *s, int z, struct sc_tile *t)
{
    const struct sc_place *p = &s->places[number((uint32_t)s->n_places)];
    for (unsigned k = 0; k < 3; k++) {
        const struct sc_place *q = &s->places[number((uint32_t)s->n_places)];
        if ((uint64_t)q->rows * q->cols > (uint64_t)p->rows * p->cols)
            p = q;
    }
    const int64_t x = p->x + number(p->w), y = p->y + number(p->h);
    const int log2 = z + 8;
    t->z = z;
    t->x = log2 >= 0 ? x >> log2 : x << -log2;
    t->y = log2 >= 0 ? y >> log2 : y << -log2;
    if (log2 < 0) {
        t->x += number(1U << -log2);
        t->y += number(1U << -log2);
    }
}

static void time_tiles(struct sc_pyramids *p, const struct sc_scene *s, const char *what)
{
    static double seconds[TILES];
    struct sc_tile *t = calloc(1, sizeof *t);
    for (int z = -s->deepest; z <= s->top; z++) {
        double all = 0;
        for (unsigned i = 0; i < TILES; i++) {
            struct sc_error e = {0};
            choose(s, z, t);
            t->plane = (enum sc_plane)(i % SC_PLANES);
            const double start = cpu();
            if (sc_tile_fill(p, t, 0, &e) < 0)
                fail(&e);
            seconds[i] = cpu() - start;
            all += seconds[i];
        }
        qsort(seconds, TILES, sizeof seconds[0], by_size);
        printf("tile\t%s\t%d\t%d\t%.0f\t%.0f\t%.0f\n", what, z, TILES, 1e6 * seconds[TILES / 2],
               1e6 * seconds[TILES * 99 / 100], 1e6 * seconds[TILES - 1]);
        if (z == -s->deepest)
            printf("rate\t%s\t%.0f\n", what, TILES / all);
    }
    free(t);
}

static struct sc_pyramids *make(const struct sc_scene *s, struct sc_pool *pool)
{
    const struct sc_pyramids_options o = {.pool = pool, .memory = UINT64_C(1) << 30};
    struct sc_pyramids *p;
    struct sc_error e = {0};
    if (sc_pyramids_new(s, &o, &p, &e) < 0)
        fail(&e);
    return p;
}

int main(int argc, char **argv)
{
    const struct sc_open_options o = {.keep_repo = true};
    const struct sc_scene_options so = {.filter = NULL};
    struct sc_model *m;
    struct sc_scene *s;
    struct sc_pool *pool;
    struct sc_error e = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: tiles MODEL [THREADS [RUNS]]\n");
        return 2;
    }
    const unsigned threads = argc > 2 ? (unsigned)atoi(argv[2]) : 2;
    const int runs = argc > 3 ? SC_MIN(atoi(argv[3]), MAX_RUNS) : 5;
    if (sc_model_open(argv[1], &o, &m, &e) < 0 || sc_scene_new(m, &so, &s, &e) < 0 ||
        sc_pool_new(threads, &pool, &e) < 0)
        fail(&e);
    double build = 1e9, reading = 1e9;
    struct sc_pyramids *p = make(s, pool);
    time_tiles(p, s, "sampled");
    for (int i = 0; i < runs; i++) {
        reading = SC_MIN(reading, read_all(m, argv[1], threads));
        sc_pyramids_free(p);
        p = make(s, pool);
        const double start = now();
        if (sc_pyramids_build(p, &e) < 0)
            fail(&e);
        build = SC_MIN(build, now() - start);
    }
    printf("pyramid\t%u\t%llu\t%.4f\t%.4f\t%.3f\t%.4f\n", threads, (unsigned long long)m->bytes,
           build, reading, reading / build, (double)sc_pyramids_bytes(p) / (double)m->bytes);
    time_tiles(p, s, "built");
    sc_pyramids_free(p);
    sc_scene_free(s);
    sc_pool_free(pool);
    sc_model_close(m);
    return 0;
}

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
 *   any      state  p50  p99  of tiles of all zooms
 *   rate     exact tiles a second of one thread at one pixel an element
 *
 *   tiles --first MODEL [THREADS]
 *
 * What stands between a start and the first picture, of about 1600 x 1000 pixels: all of its tiles,
 * in THREADS threads, with nothing but what the files say. Tab-separated, milliseconds since
 * main():
 *
 *   first    opened  planned  ready  drawn; tiles  of them with samples  pixels not known  */
#include "picture/tiles.h"

#include "clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK = 256 << 10,
    TILES = 200,
    MAX_RUNS = 100,
    MOST_ZOOMS = 64,
    WIDTH = 1600,
    HEIGHT = 1000
};

/* Of this thread: whatever else the machine does. */
static double cpu(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
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

static void print_times(const char *what, double *seconds, size_t n)
{
    qsort(seconds, n, sizeof seconds[0], by_size);
    printf("%s\t%.0f\t%.0f\t%.0f\n", what, 1e6 * seconds[n / 2], 1e6 * seconds[n * 99 / 100],
           1e6 * seconds[n - 1]);
}

static void time_tiles(struct sc_pyramids *p, const struct sc_scene *s, const char *what)
{
    static double any[(MOST_ZOOMS + 1) * TILES];
    struct sc_tile *t = calloc(1, sizeof *t);
    size_t n = 0;
    char label[64];
    for (int z = -s->deepest; z <= s->top && z < MOST_ZOOMS - s->deepest; z++) {
        double *seconds = any + n, all = 0;
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
        snprintf(label, sizeof label, "tile\t%s\t%d\t%d", what, z, TILES);
        print_times(label, seconds, TILES);
        if (z == -s->deepest)
            printf("rate\t%s\t%.0f\n", what, TILES / all);
        n += TILES;
    }
    snprintf(label, sizeof label, "any\t%s", what);
    print_times(label, any, n);
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

/* ------------------------------------------------------------------------------- first picture */

struct first {
    struct sc_pyramids *p;
    struct sc_tile *tiles;
    size_t n;
    _Atomic unsigned failed;
};

static void fill_one(void *ctx, size_t i)
{
    struct first *f = ctx;
    struct sc_error e = {0};
    if (sc_tile_fill(f->p, &f->tiles[i], 0, &e) < 0)
        f->failed++;
}

/* As a page of this size would ask for it. */
static void choose_overview(const struct sc_scene *s, struct first *f)
{
    int z = -s->deepest;
    while (z < s->top && (z <= 0 ? s->w << -z > WIDTH || s->h << -z > HEIGHT
                                 : s->w >> z > WIDTH || s->h >> z > HEIGHT))
        z++;
    const int64_t size = SC_SCENE_TILE, w = z <= 0 ? s->w << -z : ((s->w - 1) >> z) + 1;
    const int64_t h = z <= 0 ? s->h << -z : ((s->h - 1) >> z) + 1;
    const int64_t nx = (w + size - 1) / size, ny = (h + size - 1) / size;
    f->n = (size_t)(nx * ny);
    f->tiles = calloc(f->n, sizeof *f->tiles);
    for (size_t i = 0; f->tiles && i < f->n; i++) {
        f->tiles[i].z = z;
        f->tiles[i].x = (int64_t)i % nx;
        f->tiles[i].y = (int64_t)i / nx;
        f->tiles[i].plane = SC_PLANE_RMS;
    }
}

static int first_picture(const char *name, unsigned threads)
{
    const double start = now();
    const struct sc_open_options o = {.keep_repo = true, .quick = true, .threads = threads};
    const struct sc_scene_options so = {.filter = NULL};
    struct sc_model *m;
    struct sc_scene *s;
    struct sc_pool *pool;
    struct sc_error e = {0};
    struct first f = {0};
    if (sc_pool_new(threads, &pool, &e) < 0 || sc_model_open(name, &o, &m, &e) < 0)
        fail(&e);
    const double opened = now();
    if (sc_scene_new(m, &so, &s, &e) < 0)
        fail(&e);
    const double planned = now();
    f.p = make(s, pool);
    const double ready = now();
    choose_overview(s, &f);
    sc_pool_for(pool, f.n, fill_one, &f);
    const double drawn = now();
    size_t sampled = 0, unknown = 0;
    for (size_t i = 0; i < f.n; i++) {
        sampled += f.tiles[i].flags & SC_TILE_SAMPLED ? 1 : 0;
        for (size_t k = 0; k < SC_COUNT(f.tiles[i].pixels); k++)
            unknown += f.tiles[i].pixels[k] == SC_PIXEL_WAITING;
    }
    printf("first\t%.1f\t%.1f\t%.1f\t%.1f\t%zu\t%zu\t%zu\n", 1e3 * (opened - start),
           1e3 * (planned - start), 1e3 * (ready - start), 1e3 * (drawn - start), f.n, sampled,
           unknown);
    fflush(stdout);
    _exit(f.failed != 0); /* as a server would go on */
}

int main(int argc, char **argv)
{
    const struct sc_open_options o = {.keep_repo = true, .quick = true};
    const struct sc_scene_options so = {.filter = NULL};
    struct sc_model *m = NULL;
    struct sc_scene *s = NULL;
    struct sc_pool *pool = NULL;
    struct sc_error e = {0};
    if (argc > 2 && strcmp(argv[1], "--first") == 0)
        return first_picture(argv[2], argc > 3 ? (unsigned)atoi(argv[3]) : 2);
    if (argc < 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: tiles MODEL [THREADS [RUNS]]\n"
                        "       tiles --first MODEL [THREADS]\n");
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

/* SPDX-License-Identifier: Apache-2.0 */
/* bytes: the plan of a picture of bytes, and reading them wherever their files are. */
#include "picture/bytes.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hub/cache.h"
#include "picture/bytes_parts.h"
#include "picture/curve.h"
#include "picture/scene_parts.h"

enum { LEAST_ORDER = 4, MOST_CELL = 12 }; /* a cell's sums have 32 bits */

/* ----------------------------------------------------------------------------------- plan --- */

/* A scene wants a model: its tensors are the files, and all places are said to be of the first. */
static int make_model(struct sc_bytes *b, struct sc_error *e)
{
    struct sc_model *m = b->model = sc_calloc(1, sizeof *m);
    if (!m)
        return sc_fail_memory(e);
    const size_t n = b->n_files;
    struct sc_catalog *c = SC_ARENA_NEW(&m->arena, struct sc_catalog, 1);
    struct sc_entry *entries = SC_ARENA_NEW(&m->arena, struct sc_entry, n);
    struct sc_tensor *tensors = SC_ARENA_NEW(&m->arena, struct sc_tensor, n);
    struct sc_tensor_part *parts = SC_ARENA_NEW(&m->arena, struct sc_tensor_part, n);
    m->label = sc_arena_copy(&m->arena, b->label, strlen(b->label));
    if (!c || !entries || !tensors || !parts || !m->label)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n; i++) {
        const struct sc_byte_file *f = &b->files[i];
        entries[i] = (struct sc_entry){.name = f->name,
                                       .shape = &f->bytes,
                                       .bytes = f->bytes,
                                       .name_len = (uint32_t)strlen(f->name),
                                       .dtype = sc_codec_find(sc_strz("U8")),
                                       .view = SC_NO_STORAGE,
                                       .rank = 1};
        parts[i] = (struct sc_tensor_part){.entry = (uint32_t)i};
        tensors[i] = (struct sc_tensor){.name = f->name,
                                        .shape = &f->bytes,
                                        .dtype = "U8",
                                        .parameters = f->bytes,
                                        .bytes = f->bytes,
                                        .name_len = entries[i].name_len,
                                        .main = (uint32_t)i,
                                        .first_part = (uint32_t)i,
                                        .n_parts = 1,
                                        .rank = 1,
                                        .role = SC_ROLE_OTHER,
                                        .tower = SC_TOWER_MAIN,
                                        .layer = -1,
                                        .expert = -1};
    }
    *c = (struct sc_catalog){.entries = entries, .n_entries = n, .weight_set = "bytes"};
    m->catalog = c;
    m->origin = "local";
    m->tensors = tensors;
    m->parts = parts;
    m->n_tensors = m->n_parts = n;
    m->bytes = m->parameters = b->total;
    return 0;
}

/* The least square that holds all, or two of them side by side when half of it would do. */
static unsigned squares_of(uint64_t total, unsigned *order)
{
    *order = LEAST_ORDER;
    while (UINT64_C(2) << 2 * *order < total)
        (*order)++;
    return UINT64_C(1) << 2 * *order < total ? 2 : 1;
}

static int make_scene(struct sc_bytes *b, unsigned n_squares, struct sc_error *e)
{
    struct sc_scene *s = b->scene = sc_calloc(1, sizeof *s);
    const uint64_t side = UINT64_C(1) << b->order;
    if (!s)
        return sc_fail_memory(e);
    s->model = b->model;
    s->shows = SC_SHOWS_BYTES;
    s->places = sc_calloc(n_squares, sizeof *s->places);
    s->boxes = sc_calloc(1, sizeof *s->boxes);
    s->places_of = SC_ARENA_NEW(&s->arena, uint32_t, b->n_files + 2);
    s->list = SC_ARENA_NEW(&s->arena, uint32_t, n_squares);
    if (!s->places || !s->boxes || !s->places_of || !s->list)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < n_squares; i++) {
        s->places[i] = (struct sc_place){.x = (int64_t)(i * side),
                                         .rows = side,
                                         .cols = side,
                                         .w = (uint32_t)side,
                                         .h = (uint32_t)side,
                                         .slice = i};
        s->list[i] = i;
    }
    s->n_places = n_squares;
    for (size_t i = 0; i < b->n_files + 2; i++)
        s->places_of[i] = i ? n_squares : 0;
    s->w = (int64_t)(n_squares * side);
    s->h = (int64_t)side;
    s->boxes[0] = (struct sc_scene_box){
        .kind = SC_BOX_MODEL, .number = -1, .w = s->w, .h = s->h, .label = "bytes"};
    s->n_boxes = 1;
    while ((int64_t)SC_SCENE_TILE << s->top < s->w)
        s->top++;
    return sc_scene_index(s, e);
}

/* Cells as small as memory allows, so that pixels of many bytes are soon exact. */
static int make_cells(struct sc_bytes *b, struct sc_error *e)
{
    uint64_t all = 0;
    b->cell_log4 = BYTES_NEAR;
    do {
        b->cell_log4++;
        all = (b->total >> 2 * b->cell_log4) + 1;
    } while (all > b->o.memory / sizeof *b->cells && b->cell_log4 < MOST_CELL);
    b->chunk_log4 = SC_MAX(b->cell_log4, (unsigned)BYTES_CHUNK);
    b->n_chunks = (size_t)(((b->total - 1) >> 2 * b->chunk_log4) + 1);
    if (all > b->o.memory / sizeof *b->cells && all > 1)
        return 0; /* samples must do */
    b->cells = sc_calloc((size_t)all, sizeof *b->cells);
    b->done = sc_calloc(b->n_chunks, sizeof *b->done);
    return b->cells && b->done ? 0 : sc_fail_memory(e);
}

static int add_up(struct sc_bytes *b, struct sc_error *e)
{
    b->held = sc_calloc(b->n_files + 1, sizeof *b->held);
    b->part_start = sc_alloc((b->n_parts + 1) * sizeof *b->part_start);
    if (!b->held || !b->part_start)
        return sc_fail_memory(e);
    for (size_t i = 0; i < b->n_files; i++) {
        b->held[i].start = b->total;
        if (b->files[i].bytes > SC_BYTES_MOST - b->total)
            return sc_fail(e, SCRUPLE_ELIMIT,
                           "a picture of bytes holds 4 PiB, but these files have more");
        b->total += b->files[i].bytes;
    }
    b->held[b->n_files].start = b->total;
    for (size_t i = 0; i < b->n_parts; i++)
        b->part_start[i] = b->held[b->parts[i].file].start + b->parts[i].offset;
    return b->total ? 0 : sc_fail(e, SCRUPLE_EFORMAT, "there is no byte to draw");
}

int sc_bytes_new(const char *label, const struct sc_byte_file *files, size_t n_files,
                 const struct sc_byte_part *parts, size_t n_parts, const struct sc_bytes_options *o,
                 struct sc_bytes **out, struct sc_error *e)
{
    struct sc_bytes *b = sc_calloc(1, sizeof *b);
    *out = NULL;
    if (!b)
        return sc_fail_memory(e);
    *b = (struct sc_bytes){.label = label,
                           .files = files,
                           .parts = parts,
                           .n_files = n_files,
                           .n_parts = n_parts,
                           .o = *o};
    pthread_mutex_init(&b->lock, NULL);
    int code = add_up(b, e);
    if (code == 0) {
        const unsigned n = squares_of(b->total, &b->order);
        code = make_model(b, e);
        if (code == 0)
            code = make_scene(b, n, e);
    }
    if (code == 0)
        code = make_cells(b, e);
    if (code < 0) {
        sc_bytes_free(b);
        return code;
    }
    *out = b;
    return 0;
}

void sc_bytes_free(struct sc_bytes *b)
{
    if (!b)
        return;
    for (size_t i = 0; b->held && i < b->n_files; i++)
        if (!b->files[i].source)
            sc_source_close(b->held[i].source);
    sc_scene_free(b->scene);
    if (b->model)
        sc_arena_clear(&b->model->arena);
    free(b->model);
    free(b->held);
    free(b->part_start);
    free(b->cells);
    free((void *)(uintptr_t)b->done);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* ------------------------------------------------------------------------------------ what --- */

const struct sc_scene *sc_bytes_scene(const struct sc_bytes *b)
{
    return b->scene;
}

unsigned sc_bytes_order(const struct sc_bytes *b)
{
    return b->order;
}

uint64_t sc_bytes_total(const struct sc_bytes *b)
{
    return b->total;
}

const struct sc_byte_file *sc_bytes_files(const struct sc_bytes *b, size_t *n)
{
    *n = b->n_files;
    return b->files;
}

const struct sc_byte_part *sc_bytes_parts(const struct sc_bytes *b, size_t *n)
{
    *n = b->n_parts;
    return b->parts;
}

uint64_t sc_bytes_start(const struct sc_bytes *b, size_t file)
{
    return b->held[file].start;
}

/* The last that begins at or before the position: behind empty files. */
size_t sc_bytes_file_at(const struct sc_bytes *b, uint64_t at)
{
    size_t low = 0, high = b->n_files;
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (b->held[mid].start <= at)
            low = mid;
        else
            high = mid;
    }
    return low;
}

size_t sc_bytes_part_at(const struct sc_bytes *b, uint64_t at)
{
    size_t low = 0, high = b->n_parts;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (b->part_start[mid] <= at)
            low = mid + 1;
        else
            high = mid;
    }
    while (low > 0 && b->parts[low - 1].bytes == 0) /* nothing is in these */
        low--;
    return low > 0 && at - b->part_start[low - 1] < b->parts[low - 1].bytes ? low - 1 : SIZE_MAX;
}

uint64_t sc_bytes_at(const struct sc_bytes *b, uint64_t slice, uint64_t row, uint64_t col)
{
    unsigned state = 0;
    return (slice << 2 * b->order) + sc_curve_index(b->order, col, row, &state);
}

/* --------------------------------------------------------------------------------- reading --- */

/* Closes one that nobody reads, when there are many. */
static void make_room(struct sc_bytes *b)
{
    for (size_t tries = 0; b->n_open >= BYTES_OPEN && tries < b->n_files; tries++) {
        struct held_file *h = &b->held[b->hand];
        const bool own = !b->files[b->hand].source;
        b->hand = (b->hand + 1) % b->n_files;
        if (own && h->source && h->users == 0) {
            sc_source_close(h->source);
            h->source = NULL;
            b->n_open--;
        }
    }
}

static struct sc_source *take(struct sc_bytes *b, size_t i, struct sc_error *e)
{
    struct held_file *h = &b->held[i];
    struct sc_error why = {0};
    pthread_mutex_lock(&b->lock);
    if (b->files[i].source)
        h->source = b->files[i].source;
    if (!h->source && !h->broken) {
        make_room(b);
        h->broken = !b->o.open || b->o.open(b->o.ctx, i, &h->source, &why) < 0;
        if (h->broken)
            h->source = NULL;
        b->n_open += !h->broken;
    }
    h->users += h->source != NULL;
    struct sc_source *s = h->source;
    pthread_mutex_unlock(&b->lock);
    if (!s && e && why.code)
        *e = why;
    else if (!s && e)
        (void)sc_fail(e, SCRUPLE_EIO, "%s: cannot be opened", b->files[i].name);
    return s;
}

static void leave(struct sc_bytes *b, size_t i)
{
    pthread_mutex_lock(&b->lock);
    b->held[i].users--;
    pthread_mutex_unlock(&b->lock);
}

static bool wait_for(struct sc_source *s, struct sc_span span, uint64_t until)
{
    const struct timespec nap = {0, 500000};
    if (!s->remote || until == UINT64_MAX || sc_source_has(s, span))
        return true;
    sc_source_prefetch(s, &span, 1);
    do {
        nanosleep(&nap, NULL);
        if (sc_source_has(s, span))
            return true;
    } while (sc_microseconds() < until);
    return false;
}

static enum byte_read get(struct sc_bytes *b, size_t i, uint64_t off, size_t n, uint8_t *p,
                          uint64_t until)
{
    struct sc_source *s = take(b, i, NULL);
    enum byte_read how = BYTES_LOST;
    if (!s)
        return how;
    if (off <= s->size && n <= s->size - off) {
        if (!wait_for(s, (struct sc_span){off, n}, until))
            how = BYTES_WAITING;
        else if (sc_source_read(s, off, p, n, NULL) == 0)
            how = BYTES_HERE;
    }
    leave(b, i);
    return how;
}

void sc_bytes_get(struct sc_bytes *b, uint64_t at, size_t n, uint8_t *p, uint64_t until,
                  void (*fn)(void *ctx, const struct byte_stretch *gap), void *ctx)
{
    for (size_t i = sc_bytes_file_at(b, at); n; i++) {
        const uint64_t off = at - b->held[i].start;
        struct byte_stretch x = {.at = at};
        x.n = (size_t)SC_MIN((uint64_t)n, b->files[i].bytes - off);
        if (x.n == 0)
            continue;
        x.how = get(b, i, off, x.n, p, until);
        if (x.how != BYTES_HERE) {
            memset(p, 0, x.n);
            if (fn)
                fn(ctx, &x);
        }
        p += x.n;
        at += x.n;
        n -= x.n;
    }
}

void sc_bytes_announce(struct sc_bytes *b, uint64_t at, uint64_t n)
{
    for (size_t i = sc_bytes_file_at(b, at); n && i < b->n_files; i++) {
        const uint64_t off = at - b->held[i].start;
        const uint64_t some = SC_MIN(n, b->files[i].bytes - off);
        struct sc_source *s = some ? take(b, i, NULL) : NULL;
        if (s && off + some <= s->size)
            sc_source_prefetch(s, &(struct sc_span){off, some}, 1);
        if (s)
            leave(b, i);
        at += some;
        n -= some;
    }
}

int sc_bytes_read(struct sc_bytes *b, uint64_t at, uint8_t *p, size_t *n, struct sc_error *e)
{
    const size_t i = sc_bytes_file_at(b, at);
    const uint64_t off = at - b->held[i].start;
    *n = (size_t)SC_MIN((uint64_t)*n, b->files[i].bytes - off);
    struct sc_source *s = take(b, i, e);
    if (!s)
        return e && e->code ? e->code : SCRUPLE_EIO;
    int code = off > s->size || *n > s->size - off
                   ? sc_fail(e, SCRUPLE_EIO, "%s: has only %llu bytes by now", b->files[i].name,
                             (unsigned long long)s->size)
                   : sc_source_read(s, off, p, *n, e);
    leave(b, i);
    return code;
}

bool sc_bytes_key(struct sc_bytes *b, char key[65])
{
    struct sc_buf text = {0};
    bool known = true;
    sc_buf_puts(&text, "bytes 1\n");
    for (size_t i = 0; i < b->n_files && known; i++) {
        struct sc_source *s = take(b, i, NULL);
        known = s && sc_source_identity(s, &text);
        sc_buf_printf(&text, " %llu\n", (unsigned long long)b->files[i].bytes);
        if (s)
            leave(b, i);
    }
    known = known && !text.failed && sc_sha_of(SC_SHA256, text.p, text.n, key, NULL) == 0;
    sc_buf_clear(&text);
    return known;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* stored: see stored.h. Owns where the elements of an entry lie. Does not own what they mean. */
#include "stream/stored.h"

#include <stdlib.h>
#include <string.h>

#include "format/zip.h"

enum {
    LONG_RUN = 4096,          /* bytes that are worth a read of their own */
    WINDOW_LEAST = 256 << 10, /* bytes that are worth a mapping of their own */
};

/* -------------------------------------------------------------------------------- opening --- */

static int refuse(const struct sc_stored *st, int code, const char *why, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_fail(e, code, "tensor \"%s\" %s", sc_quote(&q, sc_entry_name(st->entry)), why);
}

static const char *find_type(struct sc_stored *st)
{
    const struct sc_entry *en = st->entry;
    if (en->dtype & SC_FOREIGN_TYPE || en->dtype == SC_OPAQUE)
        return "has elements of a type that is only listed";
    st->codec = (sc_codec_id)en->dtype;
    const struct sc_codec *c = sc_codec(st->codec);
    if (c->row_bytes)
        return "is quantised in a type of ik_llama.cpp that is only listed";
    st->block = c->block;
    st->unit = c->bytes;
    if (en->flags & SC_ENTRY_BIG_ENDIAN && c->bytes > 1) {
        st->swap = true;
        if (!sc_codec_swap(st->codec, NULL, 0))
            return "has big-endian blocks, which are only listed";
    }
    return NULL;
}

/* Merges dimensions that follow each other without a gap. One stretch leaves rank 0. */
static void coalesce(struct sc_stored *st)
{
    size_t n = 0;
    for (size_t i = 0; i < st->rank; i++) {
        const uint64_t dim = st->dims[i], stride = st->strides[i];
        uint64_t whole;
        if (dim == 1)
            continue;
        if (n > 0 && sc_mul(stride, dim, &whole) && st->strides[n - 1] == whole)
            st->dims[n - 1] *= dim;
        else
            st->dims[n++] = dim;
        st->strides[n - 1] = stride;
    }
    st->rank = n == 1 && st->strides[0] == 1 ? 0 : n;
}

/* Elements from the first to the one behind the last; false: they leave 64 bits. */
static bool extent(const struct sc_stored *st, uint64_t *out)
{
    uint64_t part, last = 0;
    for (size_t i = 0; i < st->rank; i++)
        if (!sc_mul(st->dims[i] - 1, st->strides[i], &part) || !sc_add(last, part, &last))
            return false;
    return sc_add(last, 1, out);
}

static int set_strides(struct sc_stored *st, const uint64_t *strides, struct sc_error *e)
{
    const size_t rank = st->entry->rank;
    uint64_t step = 1;
    st->dims = sc_alloc(2 * (rank + 1) * sizeof st->dims[0]);
    if (!st->dims)
        return sc_fail_memory(e);
    st->strides = st->dims + rank + 1;
    st->rank = rank;
    for (size_t i = 0; i < rank; i++) {
        st->dims[i] = st->entry->shape[i];
        st->strides[i] = strides ? strides[i] : step; /* column by column: the first is closest */
        step *= st->dims[i];                          /* below the number of elements */
    }
    return 0;
}

/* PyTorch packs the values of 4 and 2 bits of a whole tensor one behind the other, through all
 * rows; what a part of one, or one in another order, would be it does not say. */
static bool packed_in_order(const struct sc_entry *en, const struct sc_view *v)
{
    uint64_t step = 1;
    for (size_t i = en->rank; i-- > 0;) {
        if (en->shape[i] != 1 && v->strides[i] != step)
            return false;
        step *= en->shape[i]; /* below the number of elements */
    }
    return v->first == 0;
}

/* Where the data lie, and how much of it there is. */
static int place(struct sc_stored *st, uint64_t need, uint64_t *have, struct sc_error *e)
{
    const struct sc_catalog *c = st->model->catalog;
    const struct sc_entry *en = st->entry;
    if (en->view == SC_NO_STORAGE) {
        st->base = en->offset;
        *have = en->bytes;
        return en->flags & SC_ENTRY_FORTRAN && st->blocks > 0 ? set_strides(st, NULL, e) : 0;
    }
    const struct sc_view *v = &c->views[en->view];
    const struct sc_storage *s = &c->storages[v->storage];
    uint64_t skip = 0;
    if (st->block != 1 && st->blocks > 0 && !packed_in_order(en, v))
        return refuse(
            st, SCRUPLE_EUNSUPPORTED,
            "is a part of packed values, or has them in another order, and is only listed", e);
    st->storage = v->storage;
    st->file = s->file;
    st->packed = s->method != 0;
    *have = s->bytes;
    if (c->files[s->file].format == &sc_format_npz)
        skip = s->bytes >= need ? s->bytes - need : UINT64_MAX; /* behind the header */
    else if (!sc_mul(v->first, st->unit, &skip))
        skip = UINT64_MAX;
    if (st->blocks > 0 && skip > s->bytes)
        return refuse(st, SCRUPLE_EFORMAT, "reaches beyond its storage", e);
    st->base = (st->packed ? 0 : s->offset) + (st->blocks > 0 ? skip : 0);
    *have -= st->blocks > 0 ? skip : 0;
    return st->blocks > 0 && st->block == 1 ? set_strides(st, v->strides, e) : 0;
}

static int open_entry(struct sc_stored *st, struct sc_error *e)
{
    const struct sc_entry *en = st->entry;
    uint64_t have = 0, need, span, end;
    if (en->flags & SC_ENTRY_BROKEN)
        return refuse(st, SCRUPLE_EFORMAT, "has bytes that are not (all) there", e);
    const char *wrong = find_type(st);
    if (wrong)
        return refuse(st, SCRUPLE_EUNSUPPORTED, wrong, e);
    /* A view shows elements more than once; its count may be more than fits in bytes. */
    const uint64_t elements = sc_entry_elements(en);
    const bool fills = sc_codec(st->codec)->kind != SC_KIND_QINT; /* all but those of PyTorch */
    if (elements % st->block != 0 && fills)
        return refuse(st, SCRUPLE_EFORMAT, "does not fill its blocks", e);
    st->blocks = elements / st->block + (elements % st->block != 0);
    if (!sc_mul(st->blocks, st->unit, &need)) {
        if (en->view == SC_NO_STORAGE)
            return refuse(st, SCRUPLE_EFORMAT, "has more bytes than a file can hold", e);
        need = UINT64_MAX;
    }
    TRY(place(st, need, &have, e));
    if (st->blocks == 0)
        return 0;
    if (en->view == SC_NO_STORAGE && en->bytes == 0)
        return refuse(st, SCRUPLE_EUNSUPPORTED, "has no data in the file (it is on no device)", e);
    span = need;
    if (st->rank > 0 && (!extent(st, &span) || !sc_mul(span, st->unit, &span)))
        span = UINT64_MAX;
    st->reach = span;
    if (span > have || !sc_add(st->base, span, &end) ||
        (!st->packed && end > st->model->catalog->files[st->file].bytes))
        return refuse(st, SCRUPLE_EFORMAT, "reaches beyond its bytes", e);
    if (st->rank > 0)
        coalesce(st);
    return 0;
}

int sc_stored_open(const struct sc_model *m, uint32_t entry, struct sc_stored *out,
                   struct sc_error *e)
{
    const struct sc_entry *en = &m->catalog->entries[entry];
    *out = (struct sc_stored){
        .model = m,
        .entry = en,
        .storage = SC_NO_STORAGE,
        .file = en->file,
    };
    const int code = open_entry(out, e);
    if (code < 0) {
        free(out->dims);
        out->dims = NULL;
        out->model = NULL;
        return code;
    }
    pthread_mutex_init(&out->lock, NULL);
    return 0;
}

/* ---------------------------------------------------------------------------------- bytes --- */

static int get_source(struct sc_stored *st, const _Atomic int *cancel, struct sc_source **out,
                      struct sc_error *e)
{
    return st->packed ? sc_model_storage(st->model, st->storage, cancel, out, e)
                      : sc_model_source(st->model, st->file, out, e);
}

static void release(struct sc_stored *st)
{
    if (st->packed)
        sc_model_release_storage(st->model, st->storage);
    else
        sc_model_release(st->model, st->file);
}

void sc_stored_close(struct sc_stored *st)
{
    if (!st->model)
        return;
    if (st->held)
        release(st);
    sc_source_close(st->copy);
    free(st->dims);
    pthread_mutex_destroy(&st->lock);
    st->model = NULL;
}

/* A member that was placed by arithmetic, over a network, is looked at before its data are. */
static bool needs_check(const struct sc_stored *st)
{
    return st->storage != SC_NO_STORAGE && !st->packed &&
           st->model->catalog->storages[st->storage].unseen > 0;
}

static int check_local(struct sc_stored *st, struct sc_source *s, struct sc_error *e)
{
    int code = 0;
    if (!needs_check(st))
        return 0;
    pthread_mutex_lock(&st->lock);
    if (!st->checked)
        code = sc_zip_check_local(s, &st->model->catalog->storages[st->storage], e);
    st->checked = code == 0;
    pthread_mutex_unlock(&st->lock);
    return code;
}

/* The source of the elements, to be released. */
static int open_source(struct sc_stored *st, struct sc_source **out, struct sc_error *e)
{
    TRY(get_source(st, NULL, out, e));
    const int code = check_local(st, *out, e);
    if (code < 0)
        release(st);
    return code;
}

/* Holds a source until the end: what was mapped stays, and what was unpacked is not thrown away to
 * be unpacked anew by the next read. */
static void keep(struct sc_stored *st, struct sc_source *s)
{
    pthread_mutex_lock(&st->lock);
    const bool first = !st->held;
    if (first)
        st->held = s;
    pthread_mutex_unlock(&st->lock);
    if (!first)
        release(st);
}

/* What was mapped, and stays. NULL: it cannot be opened. */
static struct sc_source *hold(struct sc_stored *st)
{
    struct sc_source *s = st->held;
    if (s)
        return s;
    if (open_source(st, &s, NULL) < 0)
        return NULL;
    keep(st, s);
    return st->held;
}

/* Found out once: a file is not to be held open for it. */
static bool in_memory(struct sc_stored *st)
{
    struct sc_source *s = st->held;
    if (s)
        return s->resident;
    if (st->elsewhere || get_source(st, NULL, &s, NULL) < 0)
        return false;
    st->elsewhere = !s->resident;
    release(st);
    return !st->elsewhere;
}

const uint8_t *sc_stored_map(struct sc_stored *st, uint64_t first, uint64_t n, bool resident)
{
    if (st->rank > 0 || st->swap || n == 0)
        return NULL;
    if (resident && !in_memory(st))
        return NULL;
    struct sc_source *s = hold(st);
    if (!s)
        return NULL;
    return sc_source_map(s, st->base + first * st->unit, (size_t)(n * st->unit));
}

bool sc_stored_open_window(struct sc_stored *st, uint64_t first, uint64_t n,
                           struct sc_stored_window *out)
{
    *out = (struct sc_stored_window){.first = first, .n = n};
    const uint64_t bytes = n * st->unit;
    if (st->rank > 0 || st->swap || st->packed || bytes < WINDOW_LEAST || in_memory(st) ||
        open_source(st, &out->source, NULL) < 0)
        return false;
    if (sc_source_open_window(out->source, st->base + first * st->unit, (size_t)bytes,
                              &out->window))
        return true;
    release(st);
    return false;
}

int sc_stored_close_window(struct sc_stored *st, struct sc_stored_window *w, struct sc_error *e)
{
    if (!w->window.bytes)
        return 0;
    const int code = sc_source_close_window(w->source, &w->window, e);
    release(st);
    return code;
}

const uint8_t *sc_stored_in_window(const struct sc_stored *st, const struct sc_stored_window *w,
                                   uint64_t first, uint64_t n)
{
    if (!w || !w->window.bytes || first < w->first || first - w->first > w->n ||
        n > w->n - (first - w->first))
        return NULL;
    return w->window.bytes + (first - w->first) * st->unit;
}

int sc_stored_check(struct sc_stored *st, bool all, struct sc_error *e)
{
    struct sc_source *s = st->held;
    if (s && !st->packed)
        return sc_source_check(s, e);
    if (!all)
        return 0;
    TRY(sc_model_source(st->model, st->file, &s, e));
    const int code = sc_source_check(s, e);
    sc_model_release(st->model, st->file);
    return code;
}

bool sc_stored_is_remote(struct sc_stored *st)
{
    struct sc_source *s;
    if (sc_model_source(st->model, st->file, &s, NULL) < 0)
        return false;
    const bool remote = s->remote;
    sc_model_release(st->model, st->file);
    return remote;
}

bool sc_stored_has(struct sc_stored *st, struct sc_span span)
{
    struct sc_source *s;
    if (sc_model_source(st->model, st->file, &s, NULL) < 0)
        return true; /* reading says why not */
    const bool has = sc_source_has(s, span);
    sc_model_release(st->model, st->file);
    return has;
}

void sc_stored_prefetch(struct sc_stored *st, const struct sc_span *spans, size_t n)
{
    struct sc_source *s;
    if (st->held && st->packed)
        return;
    if (sc_model_source(st->model, st->file, &s, NULL) < 0)
        return;
    sc_source_prefetch(s, spans, n);
    sc_model_release(st->model, st->file);
}

void sc_stored_read_ahead(struct sc_stored *st, struct sc_span span)
{
    struct sc_source *s;
    if ((st->held && st->packed) || sc_model_source(st->model, st->file, &s, NULL) < 0)
        return;
    sc_source_read_ahead(s, span);
    sc_model_release(st->model, st->file);
}

void sc_stored_drop(struct sc_stored *st, struct sc_span span)
{
    struct sc_source *s;
    if (sc_model_source(st->model, st->file, &s, NULL) < 0)
        return;
    sc_source_drop(s, span);
    sc_model_release(st->model, st->file);
}

struct sc_span sc_stored_span(const struct sc_stored *st, uint64_t first, uint64_t n)
{
    const struct sc_storage *s =
        st->storage == SC_NO_STORAGE ? NULL : &st->model->catalog->storages[st->storage];
    if (s && st->packed)
        return (struct sc_span){s->offset, s->stored};
    struct sc_span span = {st->base, st->reach};
    if (st->rank == 0) {
        span.off += first * st->unit;
        span.len = n * st->unit;
    }
    if (s && s->unseen && span.off == s->offset) {
        span.off -= s->unseen; /* its local header is wanted, too */
        span.len += s->unseen;
    }
    return span;
}

bool sc_stored_identity(struct sc_stored *st, struct sc_buf *out)
{
    const struct sc_catalog *c = st->model->catalog;
    if (!sc_model_identity(st->model, st->file, out))
        return false;
    sc_buf_printf(out, " %s %llu+%llu%s%s", sc_codec(st->codec)->name,
                  (unsigned long long)(st->packed ? c->storages[st->storage].offset : 0),
                  (unsigned long long)st->base, st->swap ? " swap" : "", st->packed ? " zip" : "");
    for (size_t i = 0; i < st->entry->rank; i++)
        sc_buf_printf(out, " %llu", (unsigned long long)st->entry->shape[i]);
    for (size_t i = 0; i < st->rank; i++)
        sc_buf_printf(out, " %llu*%llu", (unsigned long long)st->dims[i],
                      (unsigned long long)st->strides[i]);
    sc_buf_putc(out, '\n');
    return !out->failed;
}

/* ------------------------------------------------------------------------------- gathering --- */

/* Elements on their way into order. */
struct gather {
    const struct sc_stored *st;
    struct sc_source *s;
    uint64_t base;      /* of the first element there */
    const uint8_t *map; /* likewise; NULL: read */
    struct sc_error *e;
};

/* Called with a constant size, so that a compiler makes moves of it. */
static inline void pick(const uint8_t *src, uint64_t step, uint8_t *dst, uint64_t n, size_t size)
{
    for (uint64_t i = 0; i < n; i++)
        memcpy(dst + i * size, src + i * step * size, size);
}

/* A plane whose columns lie together becomes one whose rows do, in tiles that stay in cache. */
static inline void turn(const uint8_t *src, uint64_t row_step, uint64_t col_step, uint8_t *dst,
                        uint64_t rows, uint64_t cols, size_t size)
{
    enum { TILE = 16 };
    for (uint64_t c = 0; c < cols; c += TILE) {
        const uint64_t end = SC_MIN(cols, c + TILE);
        for (uint64_t r = 0; r < rows; r++)
            for (uint64_t i = c; i < end; i++)
                memcpy(dst + (r * cols + i) * size, src + (r * row_step + i * col_step) * size,
                       size);
    }
}

#define BY_SIZE(size, call)                                                                        \
    switch (size) {                                                                                \
    case 1:                                                                                        \
        call(1);                                                                                   \
        break;                                                                                     \
    case 2:                                                                                        \
        call(2);                                                                                   \
        break;                                                                                     \
    case 4:                                                                                        \
        call(4);                                                                                   \
        break;                                                                                     \
    case 8:                                                                                        \
        call(8);                                                                                   \
        break;                                                                                     \
    default:                                                                                       \
        call(size);                                                                                \
    }

/* n elements, `step` apart, from element `at` on. */
static int gather_row(const struct gather *g, uint64_t at, uint64_t step, uint64_t n, uint8_t *dst)
{
    const size_t size = g->st->unit;
    if (step == 1 && (!g->map || n * size >= LONG_RUN))
        return sc_source_read(g->s, g->base + at * size, dst, (size_t)(n * size), g->e);
    for (uint64_t i = 0; !g->map && i < n; i++)
        TRY(sc_source_read(g->s, g->base + (at + i * step) * size, dst + i * size, size, g->e));
    if (g->map) {
        const uint8_t *src = g->map + at * size;
#define CALL(constant) pick(src, step, dst, n, constant)
        BY_SIZE(size, CALL)
#undef CALL
    }
    return 0;
}

static int gather_rows(const struct gather *g, uint64_t at, uint64_t rows, uint8_t *dst)
{
    const struct sc_stored *st = g->st;
    const size_t size = st->unit, last = st->rank - 1;
    const uint64_t cols = st->dims[last], col_step = st->strides[last],
                   row_step = last > 0 ? st->strides[last - 1] : 0;
    if (g->map && row_step < col_step && rows > 1) {
        const uint8_t *src = g->map + at * size;
#define CALL(constant) turn(src, row_step, col_step, dst, rows, cols, constant)
        BY_SIZE(size, CALL)
#undef CALL
        return 0;
    }
    for (uint64_t r = 0; r < rows; r++)
        TRY(gather_row(g, at + r * row_step, col_step, cols, dst + r * cols * size));
    return 0;
}

/* Element number i in row-major order, as an element of the storage. */
static uint64_t position(const struct sc_stored *st, uint64_t i)
{
    uint64_t at = 0;
    for (size_t d = st->rank; d-- > 0;) {
        at += i % st->dims[d] * st->strides[d];
        i /= st->dims[d];
    }
    return at;
}

static int gather(const struct gather *g, uint64_t first, uint64_t n, uint8_t *dst)
{
    const struct sc_stored *st = g->st;
    const size_t last = st->rank - 1;
    const uint64_t cols = st->dims[last], plane = last > 0 ? st->dims[last - 1] : 1;
    while (n > 0) {
        const uint64_t at = position(st, first), col = first % cols;
        uint64_t take;
        if (col > 0 || n < cols) {
            take = SC_MIN(n, cols - col);
            TRY(gather_row(g, at, st->strides[last], take, dst));
        } else {
            const uint64_t rows = SC_MIN(n / cols, plane - first / cols % plane);
            take = rows * cols;
            TRY(gather_rows(g, at, rows, dst));
        }
        first += take;
        n -= take;
        dst += take * st->unit;
    }
    return 0;
}

/* A copy that can be mapped, made once; *copy is NULL when the elements can be read in long runs.
 */
static int copy_of(struct sc_stored *st, struct sc_source *s, const _Atomic int *cancel,
                   struct sc_source **copy, struct sc_error *e)
{
    const size_t last = st->rank - 1;
    int code = 0;
    *copy = NULL;
    if (st->strides[last] == 1 && st->dims[last] * st->unit >= LONG_RUN)
        return 0;
    pthread_mutex_lock(&st->lock);
    if (!st->copy)
        code = sc_source_spool(s, st->base, st->reach, cancel, &st->copy, e);
    *copy = st->copy;
    pthread_mutex_unlock(&st->lock);
    return code;
}

static int read_strided(struct sc_stored *st, struct sc_source *s, uint64_t first, uint64_t n,
                        void *dst, struct sc_error *e)
{
    struct gather g = {.st = st, .s = s, .base = st->base, .e = e};
    struct sc_source *copy = NULL;
    g.map = sc_source_map(s, st->base, (size_t)st->reach);
    if (!g.map) {
        TRY(copy_of(st, s, NULL, &copy, e));
        if (copy) {
            g.s = copy;
            g.base = 0;
            g.map = sc_source_map(copy, 0, (size_t)st->reach);
        }
    }
    TRY(gather(&g, first, n, dst));
    return g.map ? sc_source_check(g.s, e) : 0;
}

static int say_tensor(const struct sc_stored *st, int code, struct sc_error *e)
{
    struct sc_quoted q;
    if (e && code != SCRUPLE_EMEMORY && code != SCRUPLE_EINTERRUPTED)
        sc_error_prefix(e, "tensor \"%s\"", sc_quote(&q, sc_entry_name(st->entry)));
    return code;
}

int sc_stored_read(struct sc_stored *st, uint64_t first, uint64_t n, void *dst, struct sc_error *e)
{
    struct sc_source *s;
    if (n == 0)
        return 0;
    int code = open_source(st, &s, e);
    if (code == 0) {
        code = st->rank > 0
                   ? read_strided(st, s, first, n, dst, e)
                   : sc_source_read(s, st->base + first * st->unit, dst, (size_t)(n * st->unit), e);
        release(st);
    }
    if (code == 0 && st->swap)
        sc_codec_swap(st->codec, dst, n * st->block);
    return code < 0 ? say_tensor(st, code, e) : 0;
}

int sc_stored_prepare(struct sc_stored *st, const _Atomic int *cancel, struct sc_error *e)
{
    struct sc_source *s, *copy;
    int code = 0;
    if (st->blocks == 0 || (!st->packed && st->rank == 0))
        return 0;
    TRY(get_source(st, cancel, &s, e));
    if (st->rank > 0 && !sc_source_map(s, st->base, (size_t)st->reach))
        code = copy_of(st, s, cancel, &copy, e);
    if (code == 0 && st->packed)
        keep(st, s);
    else
        release(st);
    return code < 0 ? say_tensor(st, code, e) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* layout: opening a logical weight whose scales are tensors of their own, and reading its values.
 *
 * Owns: access to the stored parts, scratch memory, how scales lie over a matrix, and the walk over
 * the rows that were asked for. Does not own: the formulas (layout_*.c).
 *
 * Small parts are read when the tensor is opened; larger ones (the scales of a matrix with billions
 * of values) where they are needed. A reader takes scratch memory from a list and gives it back, so
 * there is as much of it as there are threads that read at once. */
#include "stream/layout_parts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WHOLE (UINT64_C(4) << 20) /* bytes of a part that is read when it is opened */

struct sc_unpack_pool {
    pthread_mutex_t lock;
    struct sc_unpack_scratch *idle;
};

/* ---------------------------------------------------------------------------------- parts --- */
int sc_unpack_refuse(const struct sc_unpack *u, const struct sc_unpack_part *p, int code,
                     struct sc_error *e, const char *fmt, ...)
{
    struct sc_quoted name, part;
    struct sc_buf shape = {.max = 256};
    const struct sc_entry *en = sc_part_entry(u, p);
    va_list ap;
    va_start(ap, fmt);
    sc_fail_v(e, code, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < en->rank && i < 8; i++)
        sc_buf_printf(&shape, i ? "x%llu" : "%llu", (unsigned long long)en->shape[i]);
    sc_error_prefix(e, "%s: %s (%s [%s])",
                    sc_quote(&name, sc_str(u->tensor->name, u->tensor->name_len)),
                    sc_quote(&part, sc_entry_name(en)), sc_entry_dtype(u->model->catalog, en),
                    shape.p ? shape.p : "");
    sc_buf_clear(&shape);
    return code;
}

int sc_unpack_need(const struct sc_unpack *u, const struct sc_unpack_part *p, const char *what,
                   struct sc_error *e)
{
    struct sc_quoted name;
    if (sc_part_there(p))
        return 0;
    return sc_fail(e, SCRUPLE_EFORMAT, "%s: %s is missing",
                   sc_quote(&name, sc_str(u->tensor->name, u->tensor->name_len)), what);
}

bool sc_part_is(const struct sc_unpack_part *p, const char *codec)
{
    return sc_part_there(p) && strcmp(sc_codec(p->codec)->name, codec) == 0;
}

/* Quantised integers of less than a byte need not fill the last one. */
static bool bytes_of(const struct sc_entry *en, sc_codec_id id, uint64_t count, uint64_t *bytes)
{
    const struct sc_codec *c = sc_codec(id);
    if (c->kind == SC_KIND_QINT)
        return sc_mul(count / c->block + (count % c->block != 0), c->bytes, bytes);
    return sc_codec_bytes(id, en->shape, en->rank, bytes);
}

static int open_part(const struct sc_unpack *u, uint32_t entry, struct sc_unpack_part *p,
                     struct sc_error *e)
{
    const struct sc_entry *en = &u->model->catalog->entries[entry];
    *p = (struct sc_unpack_part){.entry = entry, .count = sc_entry_elements(en)};
    if (!(en->dtype & SC_FOREIGN_TYPE))
        p->codec = (sc_codec_id)en->dtype;
    if (p->codec == SC_OPAQUE || sc_codec(p->codec)->row_bytes ||
        !bytes_of(en, p->codec, p->count, &p->bytes))
        return sc_unpack_refuse(u, p, SCRUPLE_EUNSUPPORTED, e,
                                "values of this type cannot be computed");
    if (entry == u->tensor->main || p->bytes > MOST_WHOLE)
        return 0;
    p->whole = sc_alloc((size_t)p->bytes);
    if (!p->whole)
        return sc_fail_memory(e);
    return p->bytes ? u->bytes.read(u->bytes.ctx, entry, 0, p->whole, (size_t)p->bytes, e) : 0;
}

int sc_part_find(struct sc_unpack *u, enum sc_part kind, const char *ends, struct sc_unpack_part *p,
                 struct sc_error *e)
{
    const struct sc_tensor *t = u->tensor;
    for (size_t i = 0; i < t->n_parts; i++) {
        const struct sc_tensor_part *part = &u->model->parts[t->first_part + i];
        const struct sc_str name = sc_entry_name(&u->model->catalog->entries[part->entry]);
        if (part->part == kind && (!ends || sc_str_ends(name, ends)))
            return open_part(u, part->entry, p, e);
    }
    return 0;
}

void sc_part_drop(struct sc_unpack_part *p)
{
    free(p->whole);
    p->whole = NULL;
}

static bool inside(const struct sc_unpack_part *p, uint64_t off, uint64_t len)
{
    return off <= p->bytes && len <= p->bytes - off;
}

static int beyond(const struct sc_unpack *u, const struct sc_unpack_part *p, struct sc_error *e)
{
    return sc_unpack_refuse(u, p, SCRUPLE_EFORMAT, e,
                            "it is too short for the shape of the weight");
}

/* That of the entry, or one that may be filled anew. */
static struct sc_unpack_window *window_of(struct sc_unpack_scratch *w, uint32_t entry)
{
    for (size_t i = 0; i < SC_COUNT(w->windows); i++)
        if (w->windows[i].have && w->windows[i].entry == entry)
            return &w->windows[i];
    w->turn = (w->turn + 1) % SC_COUNT(w->windows);
    return &w->windows[w->turn];
}

int sc_part_bytes(const struct sc_unpack *u, struct sc_unpack_scratch *w,
                  const struct sc_unpack_part *p, uint64_t off, size_t len, const uint8_t **out,
                  struct sc_error *e)
{
    if (!inside(p, off, len) || len > SC_SMALL)
        return beyond(u, p, e);
    *out = p->whole ? p->whole + off : NULL;
    if (!*out && u->bytes.map)
        *out = u->bytes.map(u->bytes.ctx, p->entry, off, len);
    if (*out)
        return 0;
    struct sc_unpack_window *win = window_of(w, p->entry);
    if (off < win->from || len > win->have || off - win->from > win->have - len) {
        /* Rows follow each other, and so do their scales; not those of transposed ones. */
        const uint64_t take = u->tile ? len : SC_MIN(p->bytes - off, (uint64_t)SC_SMALL);
        win->have = 0;
        if (take)
            TRY(u->bytes.read(u->bytes.ctx, p->entry, off, win->bytes, (size_t)take, e));
        win->entry = p->entry;
        win->from = off;
        win->have = take;
    }
    *out = win->bytes + (off - win->from);
    return 0;
}

enum { LEAST_MAP = 128 };

/* Codes follow each other, so those that come next in this call are read along. */
int sc_code_bytes(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t off, size_t len,
                  const uint8_t **out, struct sc_error *e)
{
    const struct sc_unpack_part *p = &u->codes;
    if (!inside(p, off, len) || len > SC_ROOM)
        return beyond(u, p, e);
    /* Few bytes are a sample, and the file need not bring the pages around them. */
    const bool map = u->bytes.map && !w->lone && len >= LEAST_MAP;
    *out = map ? u->bytes.map(u->bytes.ctx, p->entry, off, len) : NULL;
    if (*out)
        return 0;
    if (off < w->from || len > w->have || off - w->from > w->have - len) {
        const uint64_t stop = SC_MIN(w->stop, p->bytes);
        uint64_t take = stop > off ? SC_MIN(stop - off, (uint64_t)SC_ROOM) : 0;
        take = SC_MAX(take, len);
        w->have = 0;
        if (take)
            TRY(u->bytes.read(u->bytes.ctx, p->entry, off, w->room, (size_t)take, e));
        w->from = off;
        w->have = take;
    }
    *out = w->room + (off - w->from);
    return 0;
}

int sc_part_floats(const struct sc_unpack *u, struct sc_unpack_scratch *w,
                   const struct sc_unpack_part *p, uint64_t first, uint64_t n, float *dst,
                   struct sc_error *e)
{
    const size_t size = sc_codec(p->codec)->bytes, most = SC_SMALL / size;
    sc_decode_fn *decode = sc_decoder(p->codec, sc_cpu_level());
    sc_decode64_fn *decode64 = decode ? NULL : sc_decoder64(p->codec);
    if ((!decode && !decode64) || sc_codec(p->codec)->block != 1 || sc_codec_values(p->codec) != 1)
        return sc_unpack_refuse(u, p, SCRUPLE_EFORMAT, e, "numbers were expected");
    if (first > p->count || n > p->count - first)
        return beyond(u, p, e);
    while (n) {
        const size_t take = (size_t)SC_MIN(n, (uint64_t)(decode ? most : SC_MIN(most, 256U)));
        const uint8_t *src = NULL;
        TRY(sc_part_bytes(u, w, p, first * size, take * size, &src, e));
        if (decode) {
            decode(src, dst, take);
        } else {
            double wide[256];
            decode64(src, wide, take);
            for (size_t i = 0; i < take; i++)
                dst[i] = (float)wide[i];
        }
        first += take;
        dst += take;
        n -= take;
    }
    return 0;
}

/* Whole blocks go straight to dst, the ends of others through a copy. */
int sc_code_values(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t first, size_t n,
                   float *dst, struct sc_error *e)
{
    enum { MOST = 512 }; /* values of a block: the largest has 256 */
    const struct sc_codec *c = sc_codec(u->codes.codec);
    const size_t block = c->block * (size_t)sc_codec_values(u->codes.codec);
    const uint64_t from = first / block, to = (first + n + block - 1) / block;
    const uint8_t *src = NULL;
    float some[MOST];
    TRY(sc_code_bytes(u, w, from * c->bytes, (size_t)(to - from) * c->bytes, &src, e));
    for (size_t into = (size_t)(first % block); n; into = 0) {
        size_t take = n / block * block;
        if (into || !take) {
            take = SC_MIN(block - into, n);
            u->decode(src, some, 1);
            memcpy(dst, some + into, take * sizeof dst[0]);
            src += c->bytes;
        } else {
            u->decode(src, dst, take / block);
            src += take / block * c->bytes;
        }
        dst += take;
        n -= take;
    }
    return 0;
}

/* ----------------------------------------------------------------------------------- grid --- */
/* How many values share one of n scales. A length that is told wins where it fits: 160 rows in 2
 * blocks are 128 and 32, not twice 80. */
static uint64_t block_of(uint64_t values, uint64_t n, uint64_t told)
{
    if (n == 0 || values == 0)
        return 1;
    if (told && values / told + (values % told != 0) == n)
        return told;
    return values / n + (values % n != 0);
}

static bool covers(uint64_t values, uint64_t n, uint64_t block)
{
    return values / block + (values % block != 0) == n;
}

static uint64_t group_told(const struct sc_unpack *u)
{
    const int64_t group = u->model->config.quant_group;
    return group > 0 ? (uint64_t)group : 0;
}

static bool lead_fits(const uint64_t *lead, const uint64_t *dims, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lead[i] != dims[i] && lead[i] != 1)
            return false;
    return true;
}

int sc_grid_open(struct sc_unpack *u, const struct sc_unpack_part *p, bool blocks,
                 struct sc_error *e)
{
    const struct sc_tensor *t = u->tensor;
    const struct sc_entry *s = sc_part_entry(u, p);
    const uint64_t *told = u->model->config.quant_block;
    struct sc_unpack_grid *g = &u->grid;
    *g = (struct sc_unpack_grid){.down = UINT64_MAX, .along = UINT64_MAX, .high = 1, .wide = 1};
    if (p->count == 1)
        return 0;
    const size_t lead = t->rank >= 2 ? t->rank - 2U : 0;
    if (t->rank >= 2 && s->rank >= lead && s->rank <= t->rank && s->rank > 0 &&
        lead_fits(s->shape, t->shape, lead)) {
        const uint64_t n = t->shape[lead], k = t->shape[lead + 1];
        g->lead = s->shape;
        if (s->rank > lead)
            g->high = s->shape[lead];
        if (s->rank > lead + 1)
            g->wide = s->shape[lead + 1];
        const bool usual = blocks && covers(n, g->high, 128) && covers(k, g->wide, 128);
        const uint64_t guess = usual ? 128 : 0, group = group_told(u);
        g->down = block_of(n, g->high, told[0] ? told[0] : guess);
        g->along = block_of(k, g->wide, told[1] ? told[1] : group ? group : guess);
        if (covers(n, g->high, g->down) && covers(k, g->wide, g->along))
            return 0;
    }
    return sc_unpack_refuse(u, p, SCRUPLE_EFORMAT, e,
                            "scales of this shape do not fit the weight's shape");
}

uint64_t sc_grid_row(const struct sc_unpack *u, uint64_t row)
{
    const struct sc_unpack_grid *g = &u->grid;
    const struct sc_tensor *t = u->tensor;
    if (!g->lead)
        return 0;
    uint64_t matrix = row / t->shape[t->rank - 2], index = 0, step = 1;
    row %= t->shape[t->rank - 2];
    for (size_t i = t->rank - 2U; i-- > 0;) {
        if (g->lead[i] != 1)
            index += matrix % t->shape[i] * step;
        step *= g->lead[i];
        matrix /= t->shape[i];
    }
    return (index * g->high + row / g->down) * g->wide;
}

/* ---------------------------------------------------------------------------------- order --- */
static int read_order(struct sc_unpack *u, struct sc_unpack_scratch *w,
                      const struct sc_unpack_part *p, uint64_t n_groups, struct sc_error *e)
{
    const size_t size = sc_codec(p->codec)->bytes, most = SC_SMALL / size;
    bool all_zero = true, unset = false;
    for (uint64_t i = 0; i < p->count;) {
        const size_t take = (size_t)SC_MIN(p->count - i, (uint64_t)most);
        const uint8_t *src = NULL;
        TRY(sc_part_bytes(u, w, p, i * size, take * size, &src, e));
        for (size_t k = 0; k < take; k++, i++) {
            const int64_t group =
                size == 8 ? (int64_t)sc_le64(src + 8 * k) : (int64_t)(int32_t)sc_le32(src + 4 * k);
            unset |= group == -1;
            all_zero &= group == 0;
            if (group < -1 || (group >= 0 && (uint64_t)group >= n_groups))
                return sc_unpack_refuse(
                    u, p, SCRUPLE_EFORMAT, e, "column %llu is of group %lld, and there are %llu",
                    (unsigned long long)i, (long long)group, (unsigned long long)n_groups);
            u->order[i] = (uint32_t)group;
        }
    }
    if (unset || all_zero) { /* as it was before any order was chosen */
        free(u->order);
        u->order = NULL;
    }
    return 0;
}

static int take_scratch(const struct sc_unpack *u, uint64_t row, struct sc_unpack_scratch **out,
                        struct sc_error *e);
static void give_scratch(const struct sc_unpack *u, struct sc_unpack_scratch *w);

int sc_unpack_order(struct sc_unpack *u, uint64_t n_groups, struct sc_error *e)
{
    struct sc_unpack_part p = {.entry = SC_PART_ABSENT};
    struct sc_unpack_scratch *w = NULL;
    int code = sc_part_find(u, SC_PART_ORDER, NULL, &p, e);
    if (code == 0 && sc_part_there(&p)) {
        if (!sc_part_is(&p, "I32") && !sc_part_is(&p, "I64"))
            code = sc_unpack_refuse(u, &p, SCRUPLE_EFORMAT, e, "I32 was expected");
        else if (p.count != u->cols || n_groups > UINT32_MAX)
            code = sc_unpack_refuse(u, &p, SCRUPLE_EFORMAT, e, "the weight has %llu columns",
                                    (unsigned long long)u->cols);
        else if (p.count > SIZE_MAX / sizeof u->order[0] ||
                 !(u->order = sc_alloc((size_t)p.count * sizeof u->order[0])))
            code = sc_fail_memory(e);
        if (code == 0)
            code = take_scratch(u, 0, &w, e);
        if (code == 0)
            code = read_order(u, w, &p, n_groups, e);
        if (w)
            give_scratch(u, w);
    }
    sc_part_drop(&p);
    return code;
}

/* -------------------------------------------------------------------------------- scratch --- */
static void free_scratch(struct sc_unpack_scratch *w)
{
    if (w) {
        free(w->strip);
        free(w->scales);
        free(w->zeros);
        free(w);
    }
}

/* Of a transposed matrix rather the memory that holds row `row`, or the rows before it. */
static struct sc_unpack_scratch *choose(struct sc_unpack_pool *pool, uint64_t row)
{
    struct sc_unpack_scratch **best = &pool->idle;
    for (struct sc_unpack_scratch **at = best; *at; at = &(*at)->next)
        if (row >= (*at)->first_row && row - (*at)->first_row <= (*at)->n_rows && (*at)->n_rows) {
            best = at;
            break;
        }
    struct sc_unpack_scratch *w = *best;
    if (w)
        *best = w->next;
    return w;
}

static int take_scratch(const struct sc_unpack *u, uint64_t row, struct sc_unpack_scratch **out,
                        struct sc_error *e)
{
    pthread_mutex_lock(&u->pool->lock);
    struct sc_unpack_scratch *w = choose(u->pool, row);
    pthread_mutex_unlock(&u->pool->lock);
    if (!w) {
        w = sc_alloc(sizeof *w);
        if (!w)
            return sc_fail_memory(e);
        memset(w, 0, offsetof(struct sc_unpack_scratch, room));
        w->turn = 0;
        for (size_t i = 0; i < SC_COUNT(w->windows); i++)
            w->windows[i].have = w->windows[i].from = 0;
    }
    w->have = w->stop = 0; /* what was read is not kept for the next call */
    if (!w->scales && u->n_floats) {
        w->scales = sc_alloc(u->n_floats * sizeof w->scales[0]);
        w->zeros = sc_alloc(u->n_floats * sizeof w->zeros[0]);
        if (!w->scales || !w->zeros) {
            free_scratch(w);
            return sc_fail_memory(e);
        }
    }
    *out = w;
    return 0;
}

static void give_scratch(const struct sc_unpack *u, struct sc_unpack_scratch *w)
{
    pthread_mutex_lock(&u->pool->lock);
    w->next = u->pool->idle;
    u->pool->idle = w;
    pthread_mutex_unlock(&u->pool->lock);
}

int sc_part_read(const struct sc_unpack *u, const struct sc_unpack_part *p, float *dst,
                 struct sc_error *e)
{
    struct sc_unpack_scratch *w;
    TRY(take_scratch(u, 0, &w, e));
    const int code = sc_part_floats(u, w, p, 0, p->count, dst, e);
    give_scratch(u, w);
    return code;
}

/* -------------------------------------------------------------------------------- opening --- */
static int start(struct sc_unpack *u, struct sc_error *e)
{
    const struct sc_tensor *t = u->tensor;
    struct sc_quoted name;
    struct sc_unpack_part *const parts[] = {&u->codes, &u->scale, &u->scale_2, &u->zero,
                                            &u->bias,  &u->map,   &u->map_2};
    for (size_t i = 0; i < SC_COUNT(parts); i++)
        parts[i]->entry = SC_PART_ABSENT;
    u->count = t->parameters;
    u->cols = t->rank ? t->shape[t->rank - 1] : 1;
    u->rows = u->cols ? u->count / u->cols : 0;
    u->n_floats = SC_PIECE + 1;
    if (sc_tensor_flags(u->model, t) & SC_ENTRY_BROKEN)
        return sc_fail(e, SCRUPLE_EFORMAT, "%s: not all of its bytes are there",
                       sc_quote(&name, sc_str(t->name, t->name_len)));
    return open_part(u, t->main, &u->codes, e);
}

static int open_layout(struct sc_unpack *u, struct sc_error *e)
{
    struct sc_quoted name;
    switch ((enum sc_layout)u->tensor->layout) {
    case SC_LAYOUT_GGML:
        return sc_unpack_ggml(u, e);
    case SC_LAYOUT_FP8:
        return sc_unpack_fp8(u, e);
    case SC_LAYOUT_CT_PACK:
        return sc_unpack_ct_pack(u, e);
    case SC_LAYOUT_CT_INT:
        return sc_unpack_ct_int(u, e);
    case SC_LAYOUT_NVFP4:
    case SC_LAYOUT_MXFP4:
        return sc_unpack_fp4(u, e);
    case SC_LAYOUT_GPTQ:
        return sc_unpack_gptq(u, e);
    case SC_LAYOUT_AWQ:
        return sc_unpack_awq(u, e);
    case SC_LAYOUT_BNB_INT8:
        return sc_unpack_bnb8(u, e);
    case SC_LAYOUT_BNB_4BIT:
        return sc_unpack_bnb4(u, e);
    case SC_LAYOUT_MLX:
        return sc_unpack_mlx(u, e);
    case SC_LAYOUT_BITNET:
        return sc_unpack_bitnet(u, e);
    case SC_LAYOUT_TORCH_QINT:
        return sc_unpack_qint(u, e);
    case SC_LAYOUT_PLAIN:
    case SC_LAYOUT_HQQ:
    case SC_LAYOUT_AQLM:
    case SC_LAYOUT_QUIP:
    case SC_LAYOUT_EXL2:
    case SC_LAYOUT_EXL3:
    case SC_LAYOUT_VPTQ:
    case SC_LAYOUT_SPQR:
    case SC_LAYOUT_TORCHAO:
    case SC_LAYOUT_COUNT:
        break;
    }
    return sc_fail(e, SCRUPLE_EUNSUPPORTED, "%s: weights of the layout %s are only listed",
                   sc_quote(&name, sc_str(u->tensor->name, u->tensor->name_len)),
                   sc_layouts[u->tensor->layout].name);
}

int sc_unpack_open(const struct sc_model *m, const struct sc_tensor *t,
                   const struct sc_entry_bytes *bytes, struct sc_unpack **out, struct sc_error *e)
{
    *out = NULL;
    struct sc_unpack *u = sc_calloc(1, sizeof *u);
    struct sc_unpack_pool *pool = sc_calloc(1, sizeof *pool);
    if (!u || !pool || pthread_mutex_init(&pool->lock, NULL) != 0) {
        free(u);
        free(pool);
        return sc_fail_memory(e);
    }
    u->model = m;
    u->tensor = t;
    u->bytes = *bytes;
    u->pool = pool;
    int code = start(u, e);
    if (code == 0)
        code = open_layout(u, e);
    if (code < 0)
        sc_unpack_close(u);
    else
        *out = u;
    return code;
}

void sc_unpack_close(struct sc_unpack *u)
{
    if (!u)
        return;
    for (struct sc_unpack_scratch *w = u->pool->idle, *next; w; w = next) {
        next = w->next;
        free_scratch(w);
    }
    pthread_mutex_destroy(&u->pool->lock);
    free(u->pool);
    struct sc_unpack_part *const parts[] = {&u->codes, &u->scale, &u->scale_2, &u->zero,
                                            &u->bias,  &u->map,   &u->map_2};
    for (size_t i = 0; i < SC_COUNT(parts); i++)
        sc_part_drop(parts[i]);
    free(u->order);
    free(u);
}

/* -------------------------------------------------------------------------------- reading --- */
static int read_pieces(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t first,
                       uint64_t n, float *dst, struct sc_error *e)
{
    uint64_t row = first / u->cols, col = first % u->cols;
    while (n) {
        const uint64_t take = SC_MIN(SC_MIN(n, u->cols - col), (uint64_t)SC_PIECE);
        TRY(u->piece(u, w, row, col, (size_t)take, dst, e));
        dst += take;
        n -= take;
        col += take;
        if (col == u->cols) {
            col = 0;
            row++;
        }
    }
    return 0;
}

static int read_tiles(const struct sc_unpack *u, struct sc_unpack_scratch *w, uint64_t first,
                      uint64_t n, float *dst, struct sc_error *e)
{
    while (n) {
        const uint64_t row = first / u->cols, col = first % u->cols;
        uint64_t rows = 1, take = SC_MIN(n, u->cols - col);
        if (take == u->cols) /* rows that begin on a multiple share their words with no others */
            rows = SC_MIN(n / u->cols, SC_ROWS - row % SC_ROWS);
        TRY(u->tile(u, w, row, (size_t)rows, col, take, dst, u->cols, e));
        take *= rows;
        first += take;
        dst += take;
        n -= take;
    }
    return 0;
}

int sc_unpack_read(const struct sc_unpack *u, uint64_t first, uint64_t n, bool lone, float *dst,
                   struct sc_error *e)
{
    struct sc_unpack_scratch *w;
    struct sc_quoted name;
    if (first > u->count || n > u->count - first)
        return sc_fail(e, SCRUPLE_EUSAGE, "%s: values %llu to %llu were asked for, it has %llu",
                       sc_quote(&name, sc_str(u->tensor->name, u->tensor->name_len)),
                       (unsigned long long)first, (unsigned long long)sc_add_up(first, n),
                       (unsigned long long)u->count);
    if (n == 0)
        return 0;
    TRY(take_scratch(u, first / u->cols, &w, e));
    w->lone = lone;
    w->stop = u->row_bytes ? ((first + n - 1) / u->cols + 1) * u->row_bytes
                           : (first + n) / 8 * u->bits + u->bits;
    const int code =
        u->tile ? read_tiles(u, w, first, n, dst, e) : read_pieces(u, w, first, n, dst, e);
    give_scratch(u, w);
    return code;
}

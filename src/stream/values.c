/* SPDX-License-Identifier: Apache-2.0 */
/* values: any stored tensor as its logical values.
 *
 *   bytes of its parts (stored.c) --> blocks decoded (codec)              plain and GGML tensors
 *                                 --> codes and scales (layout.h)         folded layouts
 *
 * Owns: the shape of views, reading at any alignment in bounded pieces. Blocks that are wanted in
 * part only are decoded aside.
 *
 * Sweeps map what they read, a segment at a time: pread() would copy every byte once more than is
 * needed. Other reads are reads, but for rectangles of short rows: a system call a row would cost
 * more than the row. */
#include "stream/values.h"

#include <stdlib.h>
#include <string.h>

#include "stream/layout.h"
#include "stream/stored.h"

enum {
    BLOCK_VALUES = 256,    /* of the largest block */
    STACK_BYTES = 8 << 10, /* small reads need no memory of their own */
    SHORT_RUN = 16 << 10,  /* bytes of a row below which a mapping pays, */
    NEAR_RUN = 64 << 10,   /* and from one row to the next */
    RUNS_AHEAD = 16,       /* rows of a mapping that are on their way */
    LONE_RUN = 512,        /* values that are a sample: the first touch of a page of a mapping reads
                              what lies around it, too */
};

struct values {
    struct sc_values base;
    unsigned per_block; /* values */
    sc_decode_fn *decode;
    sc_decode64_fn *decode64;
    bool mapped;              /* what is read lies in a mapping of the file */
    bool is_float;            /* stored values are this machine's floats */
    struct sc_unpack *unpack; /* of a folded layout; NULL: plain */
    size_t n_parts;
    struct sc_stored parts[]; /* (n_parts) the first is the main one; their entries follow the
                                 model's order of parts */
};

/* --------------------------------------------------------------------------------- opening --- */

static int refuse(const struct sc_tensor *t, int code, struct sc_error *e, const char *why,
                  const char *what)
{
    struct sc_quoted q;
    return sc_fail(e, code, "tensor \"%s\" %s (%s)", sc_quote(&q, sc_str(t->name, t->name_len)),
                   why, what);
}

static int set_decoder(struct values *v, const struct sc_tensor *t, struct sc_error *e)
{
    const sc_codec_id id = v->parts[0].codec;
    const struct sc_codec *c = sc_codec(id);
    v->decode = sc_decoder(id, sc_cpu_level());
    v->decode64 = sc_decoder64(id);
    if (!v->decode64 && c->kind == SC_KIND_QINT)
        return refuse(t, SCRUPLE_EUNSUPPORTED, e,
                      "holds quantised integers of torch, which are only listed: the pickle does "
                      "not say, in a way that is known, what they stand for",
                      c->name);
    if (!v->decode64)
        return refuse(t, SCRUPLE_EUNSUPPORTED, e, "has elements of a type that is only listed",
                      c->name);
    v->per_block = c->block * sc_codec_values(id);
    v->base.is_double = !v->decode;
    v->is_float = id == sc_codec_find(SC_STR("F32")) && SC_LITTLE_ENDIAN;
    if (c->block == 1 && v->per_block == 1 && (c->bytes == 1 || c->bytes == 2 || c->bytes == 4))
        v->base.code_bytes = (uint8_t)c->bytes;
    return 0;
}

/* rows x cols of a shape whose elements give `each` values. */
static bool set_shape(struct sc_values *v, const struct sc_tensor *t, uint64_t each)
{
    uint64_t elements;
    if (!sc_product(t->shape, t->rank, &elements) || !sc_mul(elements, each, &v->count))
        return false;
    v->cols = t->rank ? t->shape[t->rank - 1] * each : each;
    v->rows = v->cols ? v->count / v->cols : 0;
    return true;
}

static int read_part(void *ctx, uint32_t entry, uint64_t off, void *dst, size_t len,
                     struct sc_error *e);
static const uint8_t *map_part(void *ctx, uint32_t entry, uint64_t off, size_t len);

static int open_layout(struct values *v, const struct sc_tensor *t, struct sc_error *e)
{
    const struct sc_layout_info *info = &sc_layouts[t->layout];
    const struct sc_entry_bytes bytes = {read_part, map_part, v};
    struct sc_quoted q;
    if (!info->decodable)
        return refuse(t, SCRUPLE_EUNSUPPORTED, e, "has a layout that is only listed", info->name);
    const int code = sc_unpack_open(v->base.model, t, &bytes, &v->unpack, e);
    if (code < 0 && e && code != SCRUPLE_EMEMORY &&
        !strstr(e->text, sc_quote(&q, sc_str(t->name, t->name_len))))
        sc_error_prefix(e, "tensor \"%s\"", q.s);
    return code;
}

static int open_steps(struct values *v, const struct sc_tensor *t, struct sc_error *e)
{
    const struct sc_model *m = v->base.model;
    /* GGML blocks carry their scales; some have one more beside them */
    const bool plain =
        t->layout == SC_LAYOUT_PLAIN || (t->layout == SC_LAYOUT_GGML && t->n_parts == 1);
    const size_t n = plain ? 1 : t->n_parts;
    for (size_t i = 0; i < n; i++) {
        const uint32_t entry = m->parts[t->first_part + i].entry;
        const int code = sc_stored_open(m, entry, &v->parts[v->n_parts], e);
        if (code < 0 && (i == 0 || code != SCRUPLE_EUNSUPPORTED))
            return code; /* a part of a strange type may be a note that nobody reads */
        v->n_parts += code == 0;
    }
    const struct sc_stored *main = &v->parts[0];
    v->base.codec = main->codec;
    v->base.first_byte = sc_stored_span(main, 0, 0).off;
    TRY(plain ? set_decoder(v, t, e) : open_layout(v, t, e));
    if (!set_shape(&v->base, t, plain ? sc_codec_values(main->codec) : 1))
        return refuse(t, SCRUPLE_ELIMIT, e, "has more values than can be counted", t->dtype);
    if (plain && main->blocks * v->per_block != v->base.count)
        return refuse(t, SCRUPLE_EFORMAT, e, "has another shape than its bytes", t->dtype);
    return 0;
}

int sc_values_open(const struct sc_model *m, uint32_t tensor, struct sc_values **out,
                   struct sc_error *e)
{
    const struct sc_tensor *t = &m->tensors[tensor];
    struct values *v = sc_calloc(1, sizeof *v + t->n_parts * sizeof v->parts[0]);
    *out = NULL;
    if (!v)
        return sc_fail_memory(e);
    v->base.model = m;
    v->base.tensor = t;
    const int code = open_steps(v, t, e);
    if (code < 0)
        sc_values_close(&v->base);
    else
        *out = &v->base;
    return code;
}

void sc_values_close(struct sc_values *base)
{
    struct values *v = (struct values *)base;
    if (!v)
        return;
    if (base->ops) {
        base->ops->close(base);
        return;
    }
    if (v->unpack)
        sc_unpack_close(v->unpack);
    for (size_t i = 0; i < v->n_parts; i++)
        sc_stored_close(&v->parts[i]);
    free(v);
}

/* --------------------------------------------------------------------- parts, for layouts --- */

static struct sc_stored *find_part(struct values *v, uint32_t entry)
{
    const struct sc_entry *en = &v->base.model->catalog->entries[entry];
    for (size_t i = 0; i < v->n_parts; i++)
        if (v->parts[i].entry == en)
            return &v->parts[i];
    return NULL;
}

/* Blocks that hold bytes off..off+len; false: beyond the end. */
static bool find_blocks(const struct sc_stored *st, uint64_t off, size_t len, uint64_t *first,
                        uint64_t *n)
{
    const uint64_t size = st->blocks * st->unit;
    if (off > size || len > size - off)
        return false;
    *first = off / st->unit;
    *n = (off + len + st->unit - 1) / st->unit - *first;
    return true;
}

static int fail_range(const struct values *v, uint64_t off, size_t len, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_fail(e, SCRUPLE_EFORMAT, "a part of tensor \"%s\" has no %zu bytes at byte %llu",
                   sc_quote(&q, sc_str(v->base.tensor->name, v->base.tensor->name_len)), len,
                   (unsigned long long)off);
}

/* Bytes that begin or end inside an element are read aside. */
static int read_part(void *ctx, uint32_t entry, uint64_t off, void *dst, size_t len,
                     struct sc_error *e)
{
    struct values *v = ctx;
    struct sc_stored *st = find_part(v, entry);
    uint64_t first, n;
    uint8_t *p = dst, one[64];
    if (!st || !find_blocks(st, off, len, &first, &n))
        return fail_range(v, off, len, e);
    while (len > 0) {
        const size_t skip = (size_t)(off % st->unit);
        const uint64_t whole = skip ? 0 : len / st->unit;
        size_t take = (size_t)(whole * st->unit);
        if (whole > 0) {
            TRY(sc_stored_read(st, off / st->unit, whole, p, e));
        } else if (st->unit <= sizeof one) {
            TRY(sc_stored_read(st, off / st->unit, 1, one, e));
            take = SC_MIN(len, st->unit - skip);
            memcpy(p, one + skip, take);
        } else {
            return fail_range(v, off, len, e);
        }
        p += take;
        off += take;
        len -= take;
    }
    return 0;
}

static const uint8_t *map_part(void *ctx, uint32_t entry, uint64_t off, size_t len)
{
    struct sc_stored *st = find_part(ctx, entry);
    uint64_t first, n;
    if (!st || !find_blocks(st, off, len, &first, &n))
        return NULL;
    const uint8_t *p = sc_stored_map(st, first, n, false);
    return p ? p + off % st->unit : NULL;
}

/* -------------------------------------------------------------------------------- decoding --- */

/* n whole blocks. */
static void decode_floats(const struct values *v, const uint8_t *src, float *dst, uint64_t n)
{
    double some[BLOCK_VALUES];
    if (v->decode) {
        v->decode(src, dst, (size_t)n);
        return;
    }
    while (n > 0) {
        const uint64_t blocks = SC_MIN(n, (uint64_t)(BLOCK_VALUES / v->per_block));
        v->decode64(src, some, (size_t)blocks);
        for (size_t i = 0; i < blocks * v->per_block; i++)
            dst[i] = (float)some[i];
        src += blocks * v->parts[0].unit;
        dst += blocks * v->per_block;
        n -= blocks;
    }
}

/* n values of the blocks at src, without the first `skip`: to floats, doubles, or both. */
static void decode(const struct values *v, const uint8_t *src, unsigned skip, uint64_t n,
                   float *floats, double *doubles)
{
    while (n > 0) {
        const uint64_t blocks = skip ? 0 : n / v->per_block;
        uint64_t take = blocks * v->per_block;
        if (blocks > 0) {
            if (floats)
                decode_floats(v, src, floats, blocks);
            if (doubles)
                v->decode64(src, doubles, (size_t)blocks);
            src += blocks * v->parts[0].unit;
        } else {
            float f[BLOCK_VALUES];
            double d[BLOCK_VALUES];
            take = SC_MIN(n, (uint64_t)(v->per_block - skip));
            if (floats) {
                decode_floats(v, src, f, 1);
                memcpy(floats, f + skip, (size_t)take * sizeof f[0]);
            }
            if (doubles) {
                v->decode64(src, d, 1);
                memcpy(doubles, d + skip, (size_t)take * sizeof d[0]);
            }
            src += v->parts[0].unit;
            skip = 0;
        }
        floats = floats ? floats + take : NULL;
        doubles = doubles ? doubles + take : NULL;
        n -= take;
    }
}

/* The blocks that hold values first..first+n. */
struct blocks {
    uint64_t first, n;
    unsigned skip; /* values of the first one that are not wanted */
};
static struct blocks blocks_of(const struct values *v, uint64_t first, uint64_t n)
{
    struct blocks b = {.first = first / v->per_block, .skip = (unsigned)(first % v->per_block)};
    b.n = (b.skip + n + v->per_block - 1) / v->per_block;
    return b;
}

/* --------------------------------------------------------------------------------- reading --- */

static int check_range(const struct values *v, uint64_t first, uint64_t n, struct sc_error *e)
{
    struct sc_quoted q;
    if (first <= v->base.count && n <= v->base.count - first)
        return 0;
    return sc_fail(e, SCRUPLE_EUSAGE, "tensor \"%s\" has %llu values, not %llu from %llu on",
                   sc_quote(&q, sc_str(v->base.tensor->name, v->base.tensor->name_len)),
                   (unsigned long long)v->base.count, (unsigned long long)n,
                   (unsigned long long)first);
}

/* n blocks: where they are, or copied to raw. */
static int find_raw(struct values *v, const struct sc_stored_window *w, uint64_t first, uint64_t n,
                    uint8_t *raw, const uint8_t **out, struct sc_error *e)
{
    struct sc_stored *st = &v->parts[0];
    *out = sc_stored_in_window(st, w, first, n);
    if (!*out)
        *out = sc_stored_map(st, first, n, !v->mapped);
    if (*out)
        return 0;
    *out = raw;
    return sc_stored_read(st, first, n, raw, e);
}

/* In pieces of `room` bytes. */
static int read_pieces(struct values *v, const struct sc_stored_window *w, uint64_t first,
                       uint64_t n, uint8_t *raw, size_t room, float *floats, double *doubles,
                       struct sc_error *e)
{
    struct sc_stored *st = &v->parts[0];
    const uint64_t most = room / st->unit * v->per_block;
    while (n > 0) {
        struct blocks b = blocks_of(v, first, SC_MIN(n, most));
        if (b.n * st->unit > room)
            b.n--;
        const uint64_t take = SC_MIN(n, b.n * v->per_block - b.skip);
        const uint8_t *src;
        TRY(find_raw(v, w, b.first, b.n, raw, &src, e));
        decode(v, src, b.skip, take, floats, doubles);
        floats = floats ? floats + take : NULL;
        doubles = doubles ? doubles + take : NULL;
        first += take;
        n -= take;
    }
    return 0;
}

static int read_plain(struct values *v, uint64_t first, uint64_t n, float *floats, double *doubles,
                      struct sc_error *e)
{
    uint8_t small[STACK_BYTES], *large;
    const struct blocks b = blocks_of(v, first, n);
    const uint64_t need = SC_MIN(b.n, SC_RAW_BYTES / v->parts[0].unit) * v->parts[0].unit;
    if (need <= sizeof small)
        return read_pieces(v, NULL, first, n, small, sizeof small, floats, doubles, e);
    large = sc_alloc((size_t)need);
    if (!large)
        return sc_fail_memory(e);
    const int code = read_pieces(v, NULL, first, n, large, (size_t)need, floats, doubles, e);
    free(large);
    return code;
}

static int read_layout(struct values *v, uint64_t first, uint64_t n, bool lone, float *dst,
                       struct sc_error *e)
{
    struct sc_quoted q;
    const int code = sc_unpack_read(v->unpack, first, n, lone, dst, e);
    if (code == 0)
        return sc_values_check(&v->base, false, e);
    if (e && code != SCRUPLE_EMEMORY && !strstr(e->text, "tensor \""))
        sc_error_prefix(e, "tensor \"%s\"",
                        sc_quote(&q, sc_str(v->base.tensor->name, v->base.tensor->name_len)));
    return code;
}

/* `lone`: nothing beside them is read soon, as far as one can tell. */
static int read_values(struct values *v, uint64_t first, uint64_t n, bool lone, float *dst,
                       struct sc_error *e)
{
    TRY(check_range(v, first, n, e));
    if (n == 0)
        return 0;
    if (v->base.ops)
        return v->base.ops->read(&v->base, first, n, dst, NULL, e);
    return v->unpack ? read_layout(v, first, n, lone, dst, e)
                     : read_plain(v, first, n, dst, NULL, e);
}

int sc_values_read(struct sc_values *base, uint64_t first, uint64_t n, float *dst,
                   struct sc_error *e)
{
    struct values *v = (struct values *)base;
    return read_values(v, first, n, !base->ops && n <= LONE_RUN && !v->mapped, dst, e);
}

int sc_values_read64(struct sc_values *base, uint64_t first, uint64_t n, double *dst,
                     struct sc_error *e)
{
    struct values *v = (struct values *)base;
    float some[BLOCK_VALUES * 4];
    TRY(check_range(v, first, n, e));
    if (n == 0)
        return 0;
    if (base->ops)
        return base->ops->read(base, first, n, NULL, dst, e);
    if (!v->unpack)
        return read_plain(v, first, n, NULL, dst, e);
    while (n > 0) {
        const uint64_t take = SC_MIN(n, (uint64_t)SC_COUNT(some));
        TRY(read_layout(v, first, take, false, some, e));
        for (size_t i = 0; i < take; i++)
            dst[i] = (double)some[i];
        first += take;
        dst += take;
        n -= take;
    }
    return 0;
}

/* The run `ahead` bytes behind this one. What is not in memory stays where it is. */
static void prefetch_near(const uint8_t *src, size_t ahead, size_t n)
{
    enum { LINE = 64 };
    for (size_t i = 0; i < n; i += LINE)
        __builtin_prefetch(src + ahead + i, 0, 2);
}

/* Over a network every run would be a round trip. */
static void prefetch_runs(struct values *v, uint64_t first, uint64_t stride, size_t n_runs,
                          uint64_t n)
{
    struct sc_span spans[64];
    struct sc_stored *st = &v->parts[0];
    if (v->unpack || !sc_stored_is_remote(st))
        return;
    for (size_t i = 0; i < n_runs;) {
        size_t k = 0;
        for (; k < SC_COUNT(spans) && i < n_runs; k++, i++) {
            const struct blocks b = blocks_of(v, first + i * stride, n);
            spans[k] = sc_stored_span(st, b.first, b.n);
        }
        sc_stored_prefetch(st, spans, k);
    }
}

/* At least one run, and one value. */
static int check_runs(const struct values *v, uint64_t first, uint64_t stride, size_t n_runs,
                      uint64_t n, struct sc_error *e)
{
    uint64_t last, end;
    const bool good = sc_mul(stride, n_runs - 1, &last) && sc_add(first, last, &last) &&
                      sc_add(last, n, &end) && end <= v->base.count;
    return good ? 0 : check_range(v, UINT64_MAX, n, e);
}

/* A page of a mapping that is touched first brings the pages around it: a waste, when the next run
 * is not among them. */
static bool may_map_runs(const struct values *v, uint64_t stride, size_t n_runs, uint64_t n)
{
    const uint64_t unit = v->base.ops || v->unpack ? 0 : v->parts[0].unit;
    return unit && n_runs > 1 && stride / v->per_block <= NEAR_RUN / unit &&
           n / v->per_block * unit < SHORT_RUN;
}

/* Rows of a tensor as a whole that are as small as a few of a wider one: one run. */
static int read_mapped(struct values *v, uint64_t first, uint64_t n, float *dst, bool *mapped,
                       struct sc_error *e)
{
    const struct blocks b = blocks_of(v, first, n);
    const uint8_t *src = sc_stored_map(&v->parts[0], b.first, b.n, false);
    *mapped = src != NULL;
    if (!src)
        return read_values(v, first, n, false, dst, e);
    decode(v, src, b.skip, n, dst, NULL);
    return 0;
}

/* goes_on: the runs behind these are read next. */
static int read_runs(struct values *v, uint64_t first, uint64_t stride, size_t n_runs, uint64_t n,
                     bool goes_on, float *dst, bool *mapped, struct sc_error *e)
{
    uint64_t all;
    *mapped = false;
    if (n_runs == 0 || n == 0)
        return 0;
    TRY(check_runs(v, first, stride, n_runs, n, e));
    const bool map = may_map_runs(v, stride, n_runs, n);
    const size_t unit = v->base.ops || v->unpack ? 0 : v->parts[0].unit;
    if (stride == n && sc_mul(n, n_runs, &all) && !(map && goes_on && n > LONE_RUN))
        return map && all / v->per_block * unit <= NEAR_RUN
                   ? read_mapped(v, first, all, dst, mapped, e)
                   : sc_values_read(&v->base, first, all, dst, e);
    if (!v->base.ops)
        prefetch_runs(v, first, stride, n_runs, n);
    const bool lone =
        !v->base.ops && v->unpack && (n_runs == 1 || stride > NEAR_RUN) && n <= LONE_RUN;
    /* Short runs end before a processor sees where they lead. */
    const size_t ahead = map ? (size_t)(stride / v->per_block) * unit * RUNS_AHEAD : 0;
    const uint64_t behind = goes_on && stride > 0 ? (v->base.count - first - n) / stride + 1 : 0;
    const uint64_t coming = SC_MAX(behind, (uint64_t)n_runs);
    for (size_t i = 0; i < n_runs; i++) {
        const uint64_t at = first + i * stride;
        const struct blocks b = map ? blocks_of(v, at, n) : (struct blocks){0};
        const uint8_t *src = map ? sc_stored_map(&v->parts[0], b.first, b.n, false) : NULL;
        if (src && i + RUNS_AHEAD < coming)
            prefetch_near(src, ahead, (size_t)b.n * unit);
        if (src)
            decode(v, src, b.skip, n, dst + i * n, NULL);
        else
            TRY(read_values(v, at, n, lone && !v->mapped, dst + i * n, e));
        *mapped = *mapped || src;
    }
    return 0;
}

int sc_values_read_runs(struct sc_values *base, uint64_t first, uint64_t stride, size_t n_runs,
                        uint64_t n, float *dst, struct sc_error *e)
{
    bool mapped;
    TRY(read_runs((struct values *)base, first, stride, n_runs, n, false, dst, &mapped, e));
    return mapped ? sc_values_check(base, false, e) : 0;
}

int sc_values_read_unchecked(struct sc_values *base, uint64_t first, uint64_t stride, size_t n_runs,
                             uint64_t n, float *dst, struct sc_error *e)
{
    bool mapped;
    return read_runs((struct values *)base, first, stride, n_runs, n, true, dst, &mapped, e);
}

static int fail_codes(const struct sc_values *base, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_fail(e, SCRUPLE_EUSAGE, "tensor \"%s\" has no codes of its own",
                   sc_quote(&q, sc_str(base->tensor->name, base->tensor->name_len)));
}

bool sc_values_are_bf16(const struct sc_values *base)
{
    return base->codec == sc_codec_find(SC_STR("BF16")) && base->code_bytes == sizeof(uint16_t);
}

int sc_values_codes(struct sc_values *base, uint64_t first, uint64_t n, void *scratch,
                    const void **out, struct sc_error *e)
{
    struct values *v = (struct values *)base;
    const uint8_t *p;
    *out = scratch;
    TRY(check_range(v, first, n, e));
    if (!base->code_bytes)
        return fail_codes(base, e);
    TRY(find_raw(v, NULL, first, n, scratch, &p, e));
    *out = p;
    return 0;
}

const uint8_t *sc_values_map_codes(struct sc_values *base, uint64_t first, uint64_t n)
{
    struct values *v = (struct values *)base;
    if (base->ops || v->unpack || !base->code_bytes || n == 0 || check_range(v, first, n, NULL) < 0)
        return NULL;
    return sc_stored_map(&v->parts[0], first, n, false);
}

int sc_values_read_codes(struct sc_values *base, uint64_t first, uint64_t stride, size_t n_runs,
                         uint64_t n, void *dst, size_t apart, struct sc_error *e)
{
    struct values *v = (struct values *)base;
    struct sc_stored *st = &v->parts[0];
    const size_t each = base->code_bytes, run = (size_t)n * each, step = (size_t)stride * each;
    const uint8_t *src = NULL;
    if (n_runs == 0 || n == 0)
        return 0;
    TRY(check_runs(v, first, stride, n_runs, n, e));
    if (each == 0)
        return fail_codes(base, e);
    if (may_map_runs(v, stride, n_runs, n))
        src = sc_stored_map(st, first, (n_runs - 1) * stride + n, false);
    else
        prefetch_runs(v, first, stride, n_runs, n);
    for (size_t i = 0; i < n_runs; i++) {
        uint8_t *to = (uint8_t *)dst + i * apart;
        if (src && i + RUNS_AHEAD < n_runs)
            prefetch_near(src + i * step, step * RUNS_AHEAD, run);
        if (src)
            memcpy(to, src + i * step, run);
        else
            TRY(sc_stored_read(st, first + i * stride, n, to, e));
    }
    return src ? sc_values_check(base, false, e) : 0;
}

void sc_values_prefetch(struct sc_values *base, uint64_t first, uint64_t n)
{
    struct values *v = (struct values *)base;
    if (n == 0 || check_range(v, first, n, NULL) < 0)
        return;
    if (base->ops) {
        if (base->ops->prefetch)
            base->ops->prefetch(base, first, n);
        return;
    }
    struct sc_stored *st = &v->parts[0];
    if (!sc_stored_is_remote(st))
        return;
    struct sc_span span = sc_stored_span(st, 0, st->blocks);
    if (!v->unpack) {
        const struct blocks b = blocks_of(v, first, n);
        span = sc_stored_span(st, b.first, b.n);
    }
    sc_stored_prefetch(st, &span, 1);
}

bool sc_values_are_near(struct sc_values *base)
{
    struct values *v = (struct values *)base;
    if (base->ops)
        return !base->ops->near || base->ops->near(base);
    return !sc_stored_is_remote(&v->parts[0]);
}

/* Where n values lie. The main part of a layout has the order of its values, but for those that are
 * stored the other way round. */
static struct sc_span span_of(const struct values *v, uint64_t first, uint64_t n)
{
    const struct sc_stored *st = &v->parts[0];
    const uint8_t layout = v->base.tensor->layout;
    if (!v->unpack) {
        const struct blocks b = blocks_of(v, first, n);
        return sc_stored_span(st, b.first, b.n);
    }
    if (layout == SC_LAYOUT_GPTQ || layout == SC_LAYOUT_AWQ)
        return sc_stored_span(st, 0, st->blocks);
    const double share = (double)st->blocks / (double)v->base.count;
    const uint64_t from = SC_MIN((uint64_t)((double)first * share), st->blocks);
    const uint64_t to = SC_MIN((uint64_t)((double)(first + n) * share) + 1, st->blocks);
    return sc_stored_span(st, from, to - from);
}

/* Those of the main part; a layout whose main part has another order is asked for as a whole, once.
 */
static struct sc_span hint_span(const struct values *v, uint64_t first, uint64_t n)
{
    const struct sc_span span = span_of(v, first, n);
    return first > 0 && v->unpack && span.off == sc_stored_span(&v->parts[0], 0, 0).off
               ? (struct sc_span){span.off, 0}
               : span;
}

void sc_values_map(struct sc_values *base)
{
    struct values *v = (struct values *)base;
    if (!base->ops && !v->unpack)
        v->mapped = true;
}

void sc_values_read_ahead(struct sc_values *base, uint64_t first, uint64_t n)
{
    struct values *v = (struct values *)base;
    if (n > 0 && check_range(v, first, n, NULL) == 0 && !base->ops)
        sc_stored_read_ahead(&v->parts[0], hint_span(v, first, n));
}

void sc_values_drop(struct sc_values *base, uint64_t first, uint64_t n)
{
    struct values *v = (struct values *)base;
    if (n > 0 && check_range(v, first, n, NULL) == 0 && !base->ops && !v->mapped &&
        v->parts[0].rank == 0 && !v->parts[0].packed)
        sc_stored_drop(&v->parts[0], hint_span(v, first, n));
}

uint64_t sc_values_bytes(const struct sc_values *base, uint64_t n)
{
    const struct values *v = (const struct values *)base;
    if (base->ops || base->count == 0)
        return 0;
    const double each = (double)v->parts[0].blocks * v->parts[0].unit / (double)base->count;
    return (uint64_t)((double)n * each);
}

bool sc_values_are_here(struct sc_values *base, uint64_t first, uint64_t stride, size_t n_runs,
                        uint64_t n, bool ask)
{
    struct values *v = (struct values *)base;
    struct sc_span spans[64];
    bool here = true;
    if (n == 0 || sc_values_are_near(base))
        return true;
    if (base->ops)
        return !base->ops->here || base->ops->here(base, first, stride, n_runs, n, ask);
    for (size_t i = 0; i < n_runs;) {
        size_t k = 0;
        for (; k < SC_COUNT(spans) && i < n_runs; i++) {
            spans[k] = span_of(v, first + i * stride, n);
            if (sc_stored_has(&v->parts[0], spans[k]))
                continue;
            here = false;
            k++;
            if (!ask)
                return false;
        }
        if (k > 0)
            sc_stored_prefetch(&v->parts[0], spans, k);
    }
    return here;
}

/* ---------------------------------------------------------------------------------- sweeps --- */

int sc_values_prepare(struct sc_values *base, const _Atomic int *cancel, struct sc_error *e)
{
    struct values *v = (struct values *)base;
    if (base->ops)
        return base->ops->prepare ? base->ops->prepare(base, cancel, e) : 0;
    for (size_t i = 0; i < v->n_parts; i++)
        TRY(sc_stored_prepare(&v->parts[i], cancel, e));
    return 0;
}

int sc_values_check(struct sc_values *base, bool all, struct sc_error *e)
{
    struct values *v = (struct values *)base;
    struct sc_quoted q;
    if (base->ops)
        return base->ops->check ? base->ops->check(base, all, e) : 0;
    for (size_t i = 0; i < v->n_parts; i++) {
        const int code = sc_stored_check(&v->parts[i], all, e);
        if (code < 0) {
            if (e)
                sc_error_prefix(e, "tensor \"%s\"",
                                sc_quote(&q, sc_str(base->tensor->name, base->tensor->name_len)));
            return code;
        }
    }
    return 0;
}

void sc_values_open_window(struct sc_values *base, uint64_t first, uint64_t n,
                           struct sc_stored_window *out)
{
    struct values *v = (struct values *)base;
    *out = (struct sc_stored_window){.n = 0};
    if (base->ops || v->unpack || n == 0 || check_range(v, first, n, NULL) < 0)
        return;
    const struct blocks b = blocks_of(v, first, n);
    (void)sc_stored_open_window(&v->parts[0], b.first, b.n, out);
}

int sc_values_close_window(struct sc_values *base, struct sc_stored_window *w, struct sc_error *e)
{
    struct values *v = (struct values *)base;
    struct sc_quoted q;
    const int code = w->window.bytes ? sc_stored_close_window(&v->parts[0], w, e) : 0;
    if (code < 0 && e)
        sc_error_prefix(e, "tensor \"%s\"",
                        sc_quote(&q, sc_str(base->tensor->name, base->tensor->name_len)));
    return code;
}

int sc_values_load(struct sc_values *base, const struct sc_stored_window *window, uint64_t first,
                   uint64_t n, uint8_t *raw, const void **codes, float *room, const float **values,
                   double *values64, struct sc_error *e)
{
    struct values *v = (struct values *)base;
    const uint8_t *p;
    if (room)
        *values = room;
    TRY(check_range(v, first, n, e));
    if (base->ops)
        return base->ops->read(base, first, n, room, values64, e);
    if (v->unpack)
        return room ? read_layout(v, first, n, false, room, e) : 0;
    const bool in_place = room && v->is_float;
    if (!codes && !in_place)
        return read_pieces(v, window, first, n, raw, SC_RAW_BYTES, room, values64, e);
    TRY(find_raw(v, window, first, n, raw, &p, e));
    if (codes)
        *codes = p;
    const bool aligned = in_place && (uintptr_t)p % sizeof **values == 0;
    if (aligned)
        *values = (const void *)p;
    decode(v, p, 0, n, aligned ? NULL : room, values64);
    return 0;
}

int sc_values_load_runs(struct sc_values *base, const struct sc_stored_window *window,
                        uint64_t first, uint64_t stride, size_t n_runs, uint64_t n, uint8_t *raw,
                        const uint8_t **codes, size_t *apart, struct sc_error *e)
{
    struct values *v = (struct values *)base;
    struct sc_stored *st = &v->parts[0];
    const uint64_t last = (n_runs - 1) * stride + n;
    TRY(check_range(v, first, last, e));
    *apart = (size_t)(stride * base->code_bytes);
    *codes = sc_stored_in_window(st, window, first, last);
    if (!*codes)
        *codes = sc_stored_map(st, first, last, !v->mapped);
    if (*codes)
        return 0;
    *codes = raw;
    if (stride == n) /* one run */
        return sc_stored_read(st, first, last, raw, e);
    prefetch_runs(v, first, stride, n_runs, n);
    *apart = (size_t)(n * base->code_bytes);
    for (size_t i = 0; i < n_runs; i++)
        TRY(sc_stored_read(st, first + i * stride, n, raw + i * *apart, e));
    return 0;
}

/* ------------------------------------------------------------------------------- identity --- */

bool sc_values_identity(struct sc_values *base, struct sc_buf *out)
{
    struct values *v = (struct values *)base;
    const struct sc_tensor *t = base->tensor;
    const struct sc_config *c = &base->model->config;
    if (base->ops)
        return base->ops->identity && base->ops->identity(base, out);
    sc_buf_printf(out, "%s %s %u %u", sc_layouts[t->layout].name, t->dtype, t->group, t->bits);
    for (size_t i = 0; i < t->rank; i++)
        sc_buf_printf(out, " %llu", (unsigned long long)t->shape[i]);
    if (v->unpack) /* what a layout may take from the configuration */
        sc_buf_printf(out, " %s %s %lld %lld %llu %llu", c->quant_method ? c->quant_method : "-",
                      c->quant_format ? c->quant_format : "-", (long long)c->quant_bits,
                      (long long)c->quant_group, (unsigned long long)c->quant_block[0],
                      (unsigned long long)c->quant_block[1]);
    const struct sc_quantizer *q =
        v->unpack
            ? sc_entry_quantizer(base->model->catalog, &base->model->catalog->entries[t->main])
            : NULL;
    if (q)
        sc_buf_printf(out, " quantizer %d %a %lld %lld", q->per_channel, q->scale,
                      (long long)q->zero_point, (long long)q->axis);
    sc_buf_putc(out, '\n');
    for (size_t i = 0; i < v->n_parts; i++)
        if (!sc_stored_identity(&v->parts[i], out))
            return false;
    return !out->failed;
}

/* --------------------------------------------------------------------------------- matrix --- */

static int read_matrix(void *ctx, uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols,
                       float *dst, struct sc_error *e)
{
    const struct sc_values_matrix *m = ctx;
    const uint64_t cols = m->matrix.cols;
    if (row > m->matrix.rows || n_rows > m->matrix.rows - row || col > cols || n_cols > cols - col)
        return sc_fail(e, SCRUPLE_EUSAGE, "a part of a matrix lies outside of it");
    return sc_values_read_runs(m->view, m->first + row * cols + col, cols, (size_t)n_rows, n_cols,
                               dst, e);
}

static int read_matrix64(void *ctx, uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols,
                         double *dst, struct sc_error *e)
{
    const struct sc_values_matrix *m = ctx;
    const uint64_t cols = m->matrix.cols;
    if (row > m->matrix.rows || n_rows > m->matrix.rows - row || col > cols || n_cols > cols - col)
        return sc_fail(e, SCRUPLE_EUSAGE, "a part of a matrix lies outside of it");
    if (n_cols == cols) /* one run */
        return sc_values_read64(m->view, m->first + row * cols, n_rows * cols, dst, e);
    for (uint64_t r = 0; r < n_rows; r++)
        TRY(sc_values_read64(m->view, m->first + (row + r) * cols + col, n_cols, dst + r * n_cols,
                             e));
    return 0;
}

void sc_values_matrix(struct sc_values *v, uint64_t first, uint64_t rows, uint64_t cols,
                      struct sc_values_matrix *out)
{
    *out = (struct sc_values_matrix){.view = v, .first = first};
    out->matrix = (struct sc_matrix){.rows = rows,
                                     .cols = cols,
                                     .read = read_matrix,
                                     .ctx = out,
                                     .read64 = v->is_double ? read_matrix64 : NULL};
}

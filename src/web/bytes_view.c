/* SPDX-License-Identifier: Apache-2.0 */
/* bytes_view: files of any kind as a view: their bytes, and what is said of them. */
#include "web/bytes_view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "report/scene_json.h"
#include "web/shot.h"

enum { BEFORE = 32, AROUND = 96, WIDEST = 16 };

static void put_text(struct sc_out *o, const char *key, const char *s)
{
    sc_out_puts(o, key);
    sc_out_json_text(o, sc_strz(s), false);
}

static void put_real(struct sc_out *o, const char *key, double v)
{
    sc_out_puts(o, key);
    sc_out_json_number(o, v);
}

static void put_whole(struct sc_out *o, const char *key, uint64_t v)
{
    sc_out_puts(o, key);
    sc_out_u64(o, v);
}

static void put_hex(struct sc_out *o, const char *key, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    sc_out_puts(o, key);
    sc_out_putc(o, '"');
    for (size_t i = 0; i < n; i++) {
        sc_out_putc(o, digits[p[i] >> 4]);
        sc_out_putc(o, digits[p[i] & 15]);
    }
    sc_out_putc(o, '"');
}

/* ----------------------------------------------------------------------------------- plan --- */

/* A column of a table. */
#define COLUMN(o, key, n, put)                                                                     \
    do {                                                                                           \
        sc_out_puts((o), (key));                                                                   \
        for (size_t i = 0; i < (n) && !(o)->status; i++) {                                         \
            sc_out_putc((o), i ? ',' : '[');                                                       \
            put;                                                                                   \
        }                                                                                          \
        sc_out_puts((o), (n) ? "]" : "[]");                                                        \
    } while (0)

static void put_shape(struct sc_out *o, const struct sc_byte_part *p)
{
    sc_out_putc(o, '[');
    for (size_t k = 0; k < p->rank; k++)
        put_whole(o, k ? "," : "", p->shape[k]);
    sc_out_putc(o, ']');
}

static void put_layout(void *ctx, struct sc_out *o, bool in_page)
{
    const struct sc_bytes *b = ctx;
    size_t n, n_parts;
    (void)sc_bytes_files(b, &n);
    const struct sc_byte_part *p = sc_bytes_parts(b, &n_parts);
    put_whole(o, "  \"bytes\": {\"order\": ", sc_bytes_order(b));
    put_whole(o, ", \"total\": ", sc_bytes_total(b));
    COLUMN(o, ",\n    \"start\": ", n, sc_out_u64(o, sc_bytes_start(b, i)));
    sc_out_puts(o, ",\n    \"parts\": {");
    COLUMN(o, "\"name\": ", n_parts, sc_out_json_text(o, sc_strz(p[i].name), in_page));
    COLUMN(o, ",\n    \"file\": ", n_parts, sc_out_u64(o, p[i].file));
    COLUMN(o, ",\n    \"offset\": ", n_parts, sc_out_u64(o, p[i].offset));
    COLUMN(o, ",\n    \"bytes\": ", n_parts, sc_out_u64(o, p[i].bytes));
    COLUMN(o, ",\n    \"dtype\": ", n_parts,
           sc_out_json_text(o, sc_strz(p[i].dtype ? p[i].dtype : ""), in_page));
    COLUMN(o, ",\n    \"shape\": ", n_parts, put_shape(o, &p[i]));
    sc_out_puts(o, "}},\n");
}

static void view_scene(void *ctx, struct sc_out *o, bool is_static)
{
    static const char *const planes[] = {"main", "mean", "min", "max", "entropy"};
    const struct sc_bytes_view *v = ctx;
    const struct sc_scene_json j = {.title = v->title,
                                    .mode = is_static ? "static" : "live",
                                    .planes = planes,
                                    .n_planes = SC_COUNT(planes),
                                    .scale = 1,
                                    .in_page = is_static,
                                    .more = put_layout,
                                    .more_ctx = v->bytes};
    sc_report_scene(o, sc_bytes_scene(v->bytes), &j);
}

/* A byte is what it is: nothing is scaled. */
static void view_scales(void *ctx, struct sc_out *o)
{
    const struct sc_bytes_view *v = ctx;
    size_t n;
    (void)sc_bytes_files(v->bytes, &n);
    sc_out_puts(o, "{\n  \"epoch\": 0,\n  \"model\": {\"robust\": 1, \"abs\": 1},\n  \"roles\": "
                   "{},\n");
    COLUMN(o, "  \"robust\": ", n, sc_out_putc(o, '1'));
    COLUMN(o, ",\n  \"abs\": ", n, sc_out_putc(o, '1'));
    sc_out_puts(o, ",\n  \"final\": true\n}\n");
}

static const struct sc_scene *view_plan(void *ctx)
{
    const struct sc_bytes_view *v = ctx;
    return sc_bytes_scene(v->bytes);
}

static bool view_key(void *ctx, char key[65])
{
    const struct sc_bytes_view *v = ctx;
    return sc_bytes_key(v->bytes, key);
}

/* ---------------------------------------------------------------------------------- values --- */

static int view_tile(void *ctx, struct sc_tile *t, unsigned patience, struct sc_error *e)
{
    const struct sc_bytes_view *v = ctx;
    return sc_bytes_tiles(v->bytes, t, 1, patience, e);
}

static int view_planes(void *ctx, struct sc_tile *t, size_t n, unsigned patience,
                       struct sc_error *e)
{
    const struct sc_bytes_view *v = ctx;
    return sc_bytes_tiles(v->bytes, t, n, patience, e);
}

/* The element of a tensor that the byte is in. */
static void put_element(struct sc_out *o, struct sc_bytes *b, const struct sc_byte_part *p,
                        uint64_t start, uint64_t at)
{
    uint8_t raw[WIDEST];
    double value[2] = {(double)NAN, (double)NAN};
    size_t n = p->width;
    const sc_codec_id type = sc_codec_find(sc_strz(p->dtype ? p->dtype : ""));
    sc_decode64_fn *decode = p->width && p->width <= WIDEST ? sc_decoder64(type) : NULL;
    if (!decode || sc_codec_values(type) != 1) {
        sc_out_puts(o, ", \"element\": null");
        return;
    }
    const uint64_t index = (at - start) / p->width;
    put_whole(o, ", \"element\": {\"index\": ", index);
    put_whole(o, ", \"byte\": ", (at - start) % p->width);
    if (sc_bytes_read(b, start + index * p->width, raw, &n, NULL) == 0 && n == p->width)
        decode(raw, value, 1);
    put_real(o, ", \"value\": ", value[0]);
    sc_out_putc(o, '}');
}

static void put_around(struct sc_out *o, struct sc_bytes *b, uint64_t start, uint64_t at)
{
    uint8_t p[AROUND];
    size_t n = sizeof p;
    const uint64_t offset = at - start, first = offset - SC_MIN(offset, (uint64_t)BEFORE);
    const uint64_t from = first & ~UINT64_C(15);
    if (sc_bytes_read(b, start + from, p, &n, NULL) < 0)
        n = 0;
    put_whole(o, ",\n \"from\": ", from);
    put_hex(o, ", \"around\": ", p, n);
}

static int view_value(void *ctx, uint64_t tensor, uint64_t slice, uint64_t row, uint64_t col,
                      struct sc_out *o, struct sc_error *e)
{
    const struct sc_bytes_view *v = ctx;
    struct sc_bytes *b = v->bytes;
    const uint64_t side = UINT64_C(1) << sc_bytes_order(b);
    size_t n = 1, n_files, n_parts;
    uint8_t byte;
    const bool there =
        tensor == 0 && slice < sc_bytes_scene(b)->n_places && row < side && col < side;
    const uint64_t at = there ? sc_bytes_at(b, slice, row, col) : UINT64_MAX;
    if (at >= sc_bytes_total(b))
        return sc_fail(e, SCRUPLE_EUSAGE, "there is no byte at that point of the picture");
    TRY(sc_bytes_read(b, at, &byte, &n, e));
    const size_t file = sc_bytes_file_at(b, at), part = sc_bytes_part_at(b, at);
    const struct sc_byte_part *p = sc_bytes_parts(b, &n_parts);
    const uint64_t start = sc_bytes_start(b, file);
    put_whole(o, "{\"tensor\": 0, \"slice\": ", slice);
    put_whole(o, ", \"row\": ", row);
    put_whole(o, ", \"col\": ", col);
    put_whole(o, ", \"value\": ", byte);
    put_hex(o, ", \"raw\": ", &byte, 1);
    put_whole(o, ", \"offset\": ", at - start);
    put_text(o, ", \"file\": ", sc_bytes_files(b, &n_files)[file].name);
    if (part == SIZE_MAX) {
        sc_out_puts(o, ",\n \"part\": null, \"element\": null");
    } else {
        put_text(o, ",\n \"part\": ", p[part].name);
        put_element(o, b, &p[part], start + p[part].offset, at);
    }
    put_around(o, b, start, at);
    sc_out_puts(o, "}\n");
    return 0;
}

/* Of a file. */
static int view_tensor(void *ctx, uint64_t tensor, struct sc_out *o, struct sc_error *e)
{
    const struct sc_bytes_view *v = ctx;
    struct sc_byte_counts c;
    size_t n;
    const struct sc_byte_file *f = sc_bytes_files(v->bytes, &n);
    if (tensor >= n)
        return sc_fail(e, SCRUPLE_EUSAGE, "there is no file %llu in this picture",
                       (unsigned long long)tensor);
    f += tensor;
    sc_bytes_count(v->bytes, sc_bytes_start(v->bytes, tensor), sc_bytes_start(v->bytes, tensor + 1),
                   &c);
    put_whole(o, "{\"i\": ", tensor);
    put_text(o, ", \"name\": ", f->name);
    put_whole(o, ", \"dtype\": \"U8\", \"shape\": [", f->bytes);
    put_text(o, "], \"file\": ", f->name);
    put_whole(o, ",\n \"counted\": ", c.bytes);
    put_real(o, ", \"mean\": ", c.mean);
    put_real(o, ", \"entropy\": ", c.entropy);
    sc_out_puts(o, ",\n \"classes\": {");
    for (unsigned k = 0; k < SC_BYTE_CLASSES; k++) {
        put_text(o, k ? ", " : "", sc_byte_class_names[k]);
        put_whole(o, ": ", c.classes[k]);
    }
    sc_out_puts(o, "},\n \"why\": null}\n");
    return 0;
}

/* Files and parts are few: the page knows them all, and this is for programs. */
static int view_search(void *ctx, struct sc_str words, size_t limit, struct sc_out *o,
                       struct sc_error *e)
{
    const struct sc_bytes_view *v = ctx;
    size_t n, n_parts, put = 0;
    uint64_t total = 0;
    const struct sc_byte_file *f = sc_bytes_files(v->bytes, &n);
    const struct sc_byte_part *p = sc_bytes_parts(v->bytes, &n_parts);
    (void)e;
    for (size_t i = 0; i < n + n_parts; i++)
        total += sc_str_has_nocase(sc_strz(i < n ? f[i].name : p[i - n].name), words);
    put_whole(o, "{\"total\": ", total);
    sc_out_puts(o, ", \"tensors\": [");
    for (size_t i = 0; i < n + n_parts && put < limit; i++)
        if (sc_str_has_nocase(sc_strz(i < n ? f[i].name : p[i - n].name), words))
            put_whole(o, put++ ? ", " : "", i);
    sc_out_puts(o, "]}\n");
    return 0;
}

/* ---------------------------------------------------------------------- progress, pictures --- */

static double view_progress(void *ctx, uint64_t *epoch)
{
    const struct sc_bytes_view *v = ctx;
    return sc_bytes_progress(v->bytes, epoch);
}

static int view_sample(void *ctx, size_t most, struct sc_error *e)
{
    (void)ctx;
    (void)most;
    (void)e;
    return 0;
}

static int view_build(void *ctx, struct sc_error *e)
{
    const struct sc_bytes_view *v = ctx;
    return sc_bytes_build(v->bytes, e);
}

static int fill_one(void *ctx, struct sc_tile *t, unsigned patience, struct sc_error *e)
{
    return sc_bytes_tiles(ctx, t, 1, patience, e);
}

struct sc_render_options sc_bytes_render(const struct sc_bytes_view *v)
{
    return (struct sc_render_options){.scene = sc_bytes_scene(v->bytes),
                                      .pool = v->pool,
                                      .cancel = v->cancel,
                                      .fill = fill_one,
                                      .fill_ctx = v->bytes};
}

static int view_shot(void *ctx, const struct sc_web_shot *shot, struct sc_out *o,
                     struct sc_error *e)
{
    const struct sc_bytes_view *v = ctx;
    struct sc_render_options ro = sc_bytes_render(v);
    if (!sc_colour_mode_suits(shot->mode, SC_SHOWS_BYTES))
        return sc_fail(e, SCRUPLE_EUSAGE, "bytes have no colours \"%s\"",
                       sc_colour_modes[shot->mode]);
    ro.mode = shot->mode;
    ro.plane = shot->plane;
    ro.scale_of = shot->scale_of;
    return sc_web_shot_draw(&ro, shot, o, e);
}

static const struct sc_web_view_kind kind = {
    .scene = view_scene,
    .scales = view_scales,
    .value = view_value,
    .tensor = view_tensor,
    .search = view_search,
    .tile = view_tile,
    .planes = view_planes,
    .progress = view_progress,
    .sample = view_sample,
    .build = view_build,
    .shot = view_shot,
    .plan = view_plan,
    .key = view_key,
};

struct sc_web_view sc_web_view_of_bytes(struct sc_bytes_view *v)
{
    return (struct sc_web_view){.kind = &kind, .ctx = v, .title = v->title};
}

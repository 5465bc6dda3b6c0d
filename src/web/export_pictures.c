/* SPDX-License-Identifier: Apache-2.0 */
/* export_pictures: tiles as pictures, at the addresses that maps have: DIR/tiles/Z/X/Y.png (or
 * .avif), or in one file (pmtiles.c). Z is 0 where everything is in one tile; what is empty, or the
 * tile above magnified, has no picture.
 *
 * Of a folder tiles/tiles.json comes first and names weights and looks: pictures that stand below
 * the same name are kept. Each gets its name when it is complete. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"
#include "picture/avif.h"
#include "stream/line.h"
#include "web/export.h"

enum { BATCH = 64 /* tiles a thread */, PIXELS = SC_SCENE_TILE * SC_SCENE_TILE };

const char *const sc_picture_formats[] = {"png", "avif", NULL};

struct drawing {
    const struct sc_export_options *o;
    struct sc_render *render;
    const struct sc_palette *palette;
    const struct sc_export_plan *plan;
    int top;
    struct sc_pmtiles *archive; /* NULL: files */
    const char *path;           /* of it */
    struct sc_export_walk walk;
    bool more;    /* it is at a tile */
    size_t most;  /* pictures of a batch */
    bool goes_on; /* pictures that are there are these */
    _Atomic uint64_t kept;
};
struct picture {
    struct sc_export_at at;
    uint8_t *bytes;
    size_t n;
    uint64_t offset; /* in the archive */
    bool twin;       /* the bytes are those of the tile above it or before it */
    struct sc_error e;
};

/* ---------------------------------------------------------------------- of an earlier run --- */

#define SCHEMA "scruple.tiles/1"

/* Names all that decides about pixels; false: nothing names the weights. */
static bool key_of(const struct drawing *d, const struct sc_render_options *ro, char key[65])
{
    struct sc_buf b = {0};
    const bool known = sc_export_key(d->o->dir, key);
    sc_buf_printf(&b, "pictures 1 %s %d %d %d %u %s\n", key, (int)ro->mode, (int)ro->plane,
                  (int)ro->scale_of, d->o->max_zoom, sc_picture_formats[d->o->pictures]);
    sc_buf_put(&b, (const char *)d->palette->rgb, sizeof d->palette->rgb);
    const bool made = known && !b.failed && sc_sha_of(SC_SHA256, b.p, b.n, key, NULL) == 0;
    sc_buf_clear(&b);
    return made;
}

/* tiles.json is there: pictures below `folder` are ours; and it has this key. */
static bool read_key(const char *folder, const char key[65], bool *same)
{
    struct sc_buf path = {0};
    size_t n = 0;
    sc_buf_printf(&path, "%s/tiles.json", folder);
    char *text = path.failed ? NULL : sc_read_file(path.p, 4096, &n);
    json_t *root = text ? json_loadb(text, n, 0, NULL) : NULL;
    const char *schema = json_string_value(json_object_get(root, "schema"));
    const char *found = json_string_value(json_object_get(root, "key"));
    const bool ours = schema && strcmp(schema, SCHEMA) == 0;
    *same = ours && found && key[0] && strcmp(found, key) == 0;
    json_decref(root);
    free(text);
    sc_buf_clear(&path);
    return ours;
}

struct clearing {
    const char *folder;
    bool pictures; /* too */
};

/* "3/12/7.png", of any format */
static bool is_picture(const char *path)
{
    for (unsigned part = 0; part < 3; part++) {
        const size_t n = strspn(path, "0123456789");
        if (n == 0 || path[n] != (part < 2 ? '/' : '.'))
            return false;
        path += n + 1;
    }
    for (size_t i = 0; sc_picture_formats[i]; i++)
        if (strcmp(path, sc_picture_formats[i]) == 0)
            return true;
    return false;
}

static int clear_one(void *ctx, const char *path, int dir, const char *name, const struct stat *st)
{
    const struct clearing *c = ctx;
    struct sc_buf folder = {0};
    if (!S_ISREG(st->st_mode) ||
        !(sc_export_is_temporary(name) || (c->pictures && is_picture(path))))
        return 0;
    (void)unlinkat(dir, name, 0);
    /* Folders go with the last that is in them. */
    sc_buf_printf(&folder, "%s/%s", c->folder, path);
    for (unsigned up = 0; up < 2 && !folder.failed; up++) {
        char *slash = strrchr(folder.p, '/');
        if ((size_t)(slash - folder.p) <= strlen(c->folder))
            break;
        *slash = '\0';
        if (rmdir(folder.p) < 0)
            break;
    }
    sc_buf_clear(&folder);
    return 0;
}

/* Decides what of `DIR/tiles` is kept, and says whose it is. */
static int take_over(struct drawing *d, const struct sc_render_options *ro, struct sc_error *e)
{
    struct sc_buf folder = {0}, text = {0};
    char key[65] = "";
    if (!key_of(d, ro, key))
        key[0] = '\0';
    sc_buf_printf(&folder, "%s/tiles", d->o->dir);
    int code = folder.failed ? sc_fail_memory(e) : 0;
    if (code == 0) {
        struct clearing c = {folder.p, false};
        c.pictures = read_key(folder.p, key, &d->goes_on) && !d->goes_on;
        code = sc_walk(folder.p, clear_one, &c);
        if (code < 0)
            (void)sc_fail_memory(e);
    }
    if (code == 0 && !sc_make_folders(folder.p))
        code = sc_export_failed(folder.p, e);
    sc_buf_printf(&text, "{\"schema\": \"" SCHEMA "\", \"key\": \"%s\"}\n", key);
    if (code == 0)
        code = sc_export_write(folder.p, "tiles.json", &text, e);
    sc_buf_clear(&folder);
    sc_buf_clear(&text);
    return code;
}

/* A PNG from its beginning to its end; an AVIF, which has no end that could be known, from its
 * beginning: pictures get their names when they are complete. */
static bool is_whole(const char *path, uint64_t format)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t png_end[8] = {'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
    static const uint8_t avif[8] = {'f', 't', 'y', 'p', 'a', 'v', 'i', 'f'};
    const bool is_png = format == SC_PICTURES_PNG;
    uint8_t start[8], end[8];
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const bool whole =
        fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 16 &&
        pread(fd, start, 8, is_png ? 0 : 4) == 8 && pread(fd, end, 8, st.st_size - 8) == 8 &&
        memcmp(start, is_png ? png : avif, 8) == 0 && (!is_png || memcmp(end, png_end, 8) == 0);
    if (fd >= 0)
        close(fd);
    return whole;
}

/* ---------------------------------------------------------------------------------- drawing --- */

static bool is_there(struct drawing *d, const struct sc_export_at *at)
{
    const int zoom = d->top - d->plan->levels[at->level].z;
    struct sc_buf path = {0};
    sc_buf_printf(&path, "%s/tiles/%d/%lld/%lld.%s", d->o->dir, zoom, (long long)at->x,
                  (long long)at->y, sc_picture_formats[d->o->pictures]);
    const bool there = !path.failed && is_whole(path.p, d->o->pictures);
    sc_buf_clear(&path);
    if (there)
        d->kept++;
    return there;
}

static int write_picture(const struct drawing *d, const struct sc_export_at *at, const void *p,
                         size_t n, struct sc_error *e)
{
    const int zoom = d->top - d->plan->levels[at->level].z;
    struct sc_buf folder = {0}, name = {0};
    int code = 0;
    sc_buf_printf(&folder, "%s/tiles/%d/%lld", d->o->dir, zoom, (long long)at->x);
    sc_buf_printf(&name, "%lld.%s", (long long)at->y, sc_picture_formats[d->o->pictures]);
    const struct sc_buf body = {.p = (char *)(uintptr_t)p, .n = n};
    if (folder.failed || name.failed)
        code = sc_fail_memory(e);
    else if (!sc_make_folders(folder.p))
        code = sc_export_failed(folder.p, e);
    if (code == 0)
        code = sc_export_write(folder.p, name.p, &body, e);
    sc_buf_clear(&folder);
    sc_buf_clear(&name);
    return code;
}

static int encode(const struct drawing *d, const uint8_t *indices, struct picture *p,
                  struct sc_error *e)
{
    if (d->o->pictures == SC_PICTURES_AVIF) {
        free(p->bytes);
        p->bytes = NULL;
        return sc_avif_tile(indices, SC_SCENE_TILE, SC_SCENE_TILE, d->palette, &p->bytes, &p->n, e);
    }
    if (!p->bytes)
        p->bytes = sc_alloc(sc_indexed_png_bound(SC_SCENE_TILE, SC_SCENE_TILE));
    p->n = p->bytes ? sc_indexed_png_tile(indices, SC_SCENE_TILE, SC_SCENE_TILE, d->palette, false,
                                          p->bytes)
                    : 0;
    return p->n ? 0 : sc_fail_memory(e);
}

static int draw(struct drawing *d, struct picture *p, uint8_t *indices, struct sc_error *e)
{
    const struct sc_export_at *at = &p->at;
    TRY(sc_render_tile(d->render, d->plan->levels[at->level].z, at->x, at->y, indices, e));
    TRY(sc_render_check(d->render, e));
    TRY(encode(d, indices, p, e));
    return d->archive ? 0 : write_picture(d, at, p->bytes, p->n, e);
}

/* ----------------------------------------------------------------------------------- a line --- */

/* The tile whose weights this one repeats, if it does. */
static int64_t like_x(const struct sc_export_at *at)
{
    return at->x - (at->like == SC_LIKE_BEFORE);
}

static int64_t like_y(const struct sc_export_at *at)
{
    return at->y - (at->like == SC_LIKE_ABOVE);
}

/* Frames could make a difference only where something is free. */
static bool has_twin(const struct drawing *d, const struct sc_export_at *at)
{
    const int z = d->plan->levels[at->level].z;
    return at->like != SC_LIKE_NONE && sc_render_is_covered(d->render, z, at->x, at->y) &&
           sc_render_is_covered(d->render, z, like_x(at), like_y(at));
}

static size_t next_pictures(void *ctx, void *things)
{
    struct drawing *d = ctx;
    struct picture *p = things;
    size_t n = 0;
    for (; d->more && n < d->most; d->more = sc_export_walk_next(&d->walk)) {
        p[n].e.code = 0;
        p[n++].at = d->walk.at;
    }
    return n;
}

static void draw_picture(struct drawing *d, struct picture *p)
{
    uint8_t *indices = sc_alloc(PIXELS);
    if (indices)
        (void)draw(d, p, indices, &p->e);
    else
        (void)sc_fail_memory(&p->e);
    free(indices);
}

static void make_picture(void *ctx, void *thing)
{
    struct drawing *d = ctx;
    struct picture *p = thing;
    p->twin = d->archive && has_twin(d, &p->at);
    if (atomic_load(d->o->cancel) || p->twin || (d->goes_on && is_there(d, &p->at)))
        return;
    draw_picture(d, p);
}

/* Where a picture stands in the archive. One whose twin is forgotten is drawn after all. */
static int place_picture(struct drawing *d, struct picture *p, struct sc_error *e)
{
    const int zoom = d->top - d->plan->levels[p->at.level].z;
    if (p->twin &&
        sc_pmtiles_again(d->archive, zoom, p->at.x, p->at.y, like_x(&p->at), like_y(&p->at)))
        return 0;
    if (p->twin) {
        p->twin = false;
        draw_picture(d, p);
    }
    if (p->e.code) {
        *e = p->e;
        return e->code;
    }
    return sc_pmtiles_place(d->archive, zoom, p->at.x, p->at.y, p->n, &p->offset, e);
}

static int arrange_pictures(void *ctx, void *things, size_t *n, uint64_t done, struct sc_error *e)
{
    struct drawing *d = ctx;
    struct picture *p = things;
    if (atomic_load(d->o->cancel))
        return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
    for (size_t i = 0; i < *n; i++) {
        if (p[i].e.code) {
            *e = p[i].e;
            return e->code;
        }
        if (d->archive)
            TRY(place_picture(d, &p[i], e));
    }
    if (d->o->progress)
        d->o->progress(d->o->ctx, done, d->plan->n_tiles);
    return 0;
}

static int put_pictures(void *ctx, void *things, size_t n, struct sc_error *e)
{
    struct drawing *d = ctx;
    const struct picture *p = things;
    for (size_t i = 0; i < n && d->archive; i++)
        if (!p[i].twin && !sc_pmtiles_put(d->archive, p[i].bytes, p[i].n, p[i].offset))
            return sc_export_failed(d->path, e);
    return 0;
}

static void put_slowly(void *ctx)
{
    const struct drawing *d = ctx;
    if (d->archive)
        sc_pmtiles_slow(d->archive);
}

static void free_pictures(struct picture *p, size_t n)
{
    for (size_t i = 0; p && i < n; i++)
        free(p[i].bytes);
    free(p);
}

static int draw_all(struct drawing *d, struct sc_error *e)
{
    struct picture *batches[2] = {sc_calloc(d->most, sizeof **batches),
                                  sc_calloc(d->most, sizeof **batches)};
    const struct sc_line line = {.pool = d->o->pool,
                                 .most = d->most,
                                 .size = sizeof **batches,
                                 .batches = {batches[0], batches[1]},
                                 .ctx = d,
                                 .next = next_pictures,
                                 .make = make_picture,
                                 .arrange = arrange_pictures,
                                 .put = put_pictures,
                                 .slow = put_slowly};
    d->more = sc_export_walk_start(&d->walk, d->plan);
    const int code = batches[0] && batches[1] ? sc_line_run(&line, e) : sc_fail_memory(e);
    for (size_t k = 0; k < SC_COUNT(batches); k++)
        free_pictures(batches[k], d->most);
    return code;
}

static struct drawing drawing_of(const struct sc_export_options *o,
                                 const struct sc_render_options *ro, struct sc_render *render,
                                 const struct sc_palette *palette,
                                 const struct sc_export_plan *plan)
{
    return (struct drawing){.o = o,
                            .render = render,
                            .palette = palette,
                            .plan = plan,
                            .top = ro->scene->top,
                            .most = (size_t)BATCH * sc_pool_threads(o->pool)};
}

int sc_export_pictures(const struct sc_export_options *o, const struct sc_render_options *ro,
                       struct sc_render *render, const struct sc_palette *palette, uint64_t *n,
                       uint64_t *kept, struct sc_error *e)
{
    struct sc_export_plan plan = {0};
    struct drawing d = drawing_of(o, ro, render, palette, &plan);
    int code =
        sc_export_plan_new(ro->scene, 1u << ro->plane, o->max_zoom, SC_EXPORT_PACK, &plan, e);

    if (code == 0)
        code = take_over(&d, ro, e);
    if (code == 0)
        code = draw_all(&d, e);
    *n = plan.n_tiles;
    *kept = d.kept;
    sc_export_plan_clear(&plan);
    return code;
}

/* ----------------------------------------------------------------------------- in one file --- */

static int make_metadata(const struct sc_export_options *o, const struct sc_render_options *ro,
                         struct sc_buf *b, struct sc_error *e)
{
    struct sc_out out = {.write = sc_export_into, .ctx = b};
    sc_out_puts(&out, "{\"name\": ");
    sc_out_json_text(&out, sc_strz(o->title ? o->title : ""), false);
    sc_out_puts(&out, ", \"type\": \"baselayer\", \"format\": ");
    sc_out_json_text(&out, sc_strz(sc_picture_formats[o->pictures]), false);
    sc_out_puts(&out, ", \"generator\": \"scruple ");
    sc_out_puts(&out, scruple_version());
    sc_out_puts(&out, "\", \"mode\": ");
    sc_out_json_text(&out, sc_strz(sc_colour_modes[ro->mode]), false);
    sc_out_puts(&out, ", \"plane\": ");
    sc_out_json_text(&out, sc_strz(sc_plane_names[ro->plane]), false);
    sc_out_puts(&out, ", \"scale\": ");
    sc_out_json_text(&out, sc_strz(sc_scale_names[ro->scale_of]), false);
    sc_out_puts(&out, "}");
    const int code = sc_out_finish(&out);
    sc_buf_putc(b, '\0');
    return code < 0 || b->failed ? sc_fail_memory(e) : 0;
}

int sc_export_pmtiles(const struct sc_export_options *o, const struct sc_render_options *ro,
                      struct sc_render *render, const struct sc_palette *palette, int fd,
                      const char *path, struct sc_exported *out, struct sc_error *e)
{
    const struct sc_scene *s = ro->scene;
    const double side = ldexp(SC_SCENE_TILE, s->top); /* units of the tile of zoom 0 */
    struct sc_export_plan plan = {0};
    struct sc_buf metadata = {0};
    struct drawing d = drawing_of(o, ro, render, palette, &plan);
    int code = sc_export_plan_new(s, 1u << ro->plane, o->max_zoom, SC_EXPORT_PACK, &plan, e);

    *out = (struct sc_exported){.tiles = plan.n_tiles, .cut = plan.cut};
    d.path = path;
    if (code == 0)
        code = sc_pmtiles_new(fd, &d.archive, e);
    if (code == 0)
        code = make_metadata(o, ro, &metadata, e);
    if (code == 0)
        code = draw_all(&d, e);
    const struct sc_pmtiles_facts facts = {
        .path = path,
        .format = o->pictures,
        .wide = (double)s->w / side,
        .high = (double)s->h / side,
        .metadata = metadata.p,
    };
    if (code == 0)
        code = sc_pmtiles_end(d.archive, &facts, &out->bytes, e);
    sc_pmtiles_free(d.archive);
    sc_buf_clear(&metadata);
    sc_export_plan_clear(&plan);
    return code;
}

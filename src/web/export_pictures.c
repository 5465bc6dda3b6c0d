/* SPDX-License-Identifier: Apache-2.0 */
/* export_pictures: tiles as pictures, at the addresses that maps have: DIR/tiles/Z/X/Y.png (or
 * .avif). Z is 0 where everything is in one tile; what is empty, or the tile above magnified, has
 * no file.
 *
 * tiles/tiles.json comes first and names weights and looks: pictures that stand below the same name
 * are kept. Each gets its name when it is complete. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"
#include "picture/avif.h"
#include "web/export.h"

enum { BATCH = 64 /* tiles a thread */, PIXELS = SC_SCENE_TILE * SC_SCENE_TILE };

const char *const sc_picture_formats[] = {"png", "avif", NULL};

struct drawing {
    const struct sc_export_options *o;
    struct sc_render *render;
    const struct sc_palette *palette;
    const struct sc_export_plan *plan;
    int top;
    struct sc_export_at *at;
    struct sc_error *errors; /* of each of a batch */
    bool goes_on;            /* pictures that are there are these */
    _Atomic uint64_t kept;
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

static int encode_picture(const struct drawing *d, const uint8_t *indices, uint8_t **out, size_t *n,
                          struct sc_error *e)
{
    if (d->o->pictures == SC_PICTURES_AVIF)
        return sc_avif_tile(indices, SC_SCENE_TILE, SC_SCENE_TILE, d->palette, out, n, e);
    *out = sc_alloc(sc_indexed_png_bound(SC_SCENE_TILE, SC_SCENE_TILE));
    *n = *out ? sc_indexed_png_tile(indices, SC_SCENE_TILE, SC_SCENE_TILE, d->palette, false, *out)
              : 0;
    return *n ? 0 : sc_fail_memory(e);
}

static void draw(void *ctx, size_t i)
{
    struct drawing *d = ctx;
    const struct sc_export_at *at = &d->at[i];
    struct sc_error *e = &d->errors[i];
    e->code = 0;
    if (d->goes_on && is_there(d, at))
        return;
    uint8_t *indices = sc_alloc(PIXELS);
    uint8_t *picture = NULL;
    size_t n = 0;

    if (!indices) {
        (void)sc_fail_memory(e);
    } else if (!atomic_load(d->o->cancel)) {
        if (sc_render_tile(d->render, d->plan->levels[at->level].z, at->x, at->y, indices, e) ==
                0 &&
            encode_picture(d, indices, &picture, &n, e) == 0)
            (void)write_picture(d, at, picture, n, e);
    }
    free(indices);
    free(picture);
}

static int draw_all(struct drawing *d, size_t most, struct sc_error *e)
{
    struct sc_export_at at;
    bool more = d->plan->n_tiles > 0;
    uint64_t done = 0;
    if (more)
        sc_export_tile_at(d->plan, 0, &at);
    while (more) {
        size_t n = 0;
        for (; more && n < most; more = sc_export_next(d->plan, &at))
            d->at[n++] = at;
        sc_pool_for(d->o->pool, n, draw, d);
        if (atomic_load(d->o->cancel))
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        for (size_t i = 0; i < n; i++)
            if (d->errors[i].code) {
                *e = d->errors[i];
                return e->code;
            }
        done += n;
        if (d->o->progress)
            d->o->progress(d->o->ctx, done, d->plan->n_tiles);
    }
    return 0;
}

int sc_export_pictures(const struct sc_export_options *o, const struct sc_render_options *ro,
                       struct sc_render *render, const struct sc_palette *palette, uint64_t *n,
                       uint64_t *kept, struct sc_error *e)
{
    const size_t most = (size_t)BATCH * sc_pool_threads(o->pool);
    struct sc_export_plan plan;
    struct drawing d = {.o = o,
                        .render = render,
                        .palette = palette,
                        .plan = &plan,
                        .top = ro->scene->top,
                        .at = sc_calloc(most, sizeof *d.at),
                        .errors = sc_calloc(most, sizeof *d.errors)};
    int code =
        sc_export_plan_new(ro->scene, 1u << ro->plane, o->max_zoom, SC_EXPORT_PACK, &plan, e);

    if (code == 0 && (!d.at || !d.errors))
        code = sc_fail_memory(e);
    if (code == 0)
        code = take_over(&d, ro, e);
    if (code == 0)
        code = draw_all(&d, most, e);
    *n = plan.n_tiles;
    *kept = d.kept;
    sc_export_plan_clear(&plan);
    free(d.at);
    free(d.errors);
    return code;
}

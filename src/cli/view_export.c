/* SPDX-License-Identifier: Apache-2.0 */
/* view_export: weights as a folder, or a page, that needs this program no more. */
#include <limits.h>
#include <string.h>

#include "cli/drawing.h"
#include "cli/spots.h"
#include "picture/avif.h"

/* "mean,abs" to bits; false: one is no plane. */
static bool find_planes(const char *list, enum sc_shows shows, unsigned *out)
{
    *out = 0;
    while (list && *list) {
        const size_t n = strcspn(list, ",");
        unsigned k = 0;
        while (k < SC_PLANES_ALL && !sc_str_is(sc_str(list, n), sc_plane_names[k]))
            k++;
        if (k == SC_PLANES_ALL || !sc_plane_suits((enum sc_plane)k, shows))
            return false;
        *out |= 1u << k;
        list += n + (list[n] == ',');
    }
    return true;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    enum { TILE = 2 * SC_SCENE_TILE * SC_SCENE_TILE }; /* as bytes, two a pixel */
    const struct sc_progress p = {.done = done * TILE, .total = total * TILE, .moved = done * TILE};

    (void)ctx;
    sc_progress_show(&p);
}

static void say_done(const struct sc_cli *c, const struct sc_exported *x)
{
    char bytes[32], tiles[32], kept[32];

    sc_format_bytes(x->bytes, bytes);
    sc_format_count(x->tiles, tiles);
    sc_format_count(x->kept, kept);
    sc_say(c, "note", "%s: %s tiles, %s%s%s%s", c->set.out_dir, tiles, bytes,
           x->kept ? "; tiles of an earlier run: " : "", x->kept ? kept : "",
           x->single ? "; the page holds everything" : "");
}

static bool is_page(const char *name)
{
    return sc_str_ends(sc_strz(name), ".html") || sc_str_ends(sc_strz(name), ".htm");
}

static void say_pictures(const struct sc_cli *c, uint64_t n, uint64_t kept)
{
    if (kept)
        sc_say(c, "note", "%s/tiles: %llu pictures, %llu of them of an earlier run", c->set.out_dir,
               (unsigned long long)n, (unsigned long long)kept);
    else
        sc_say(c, "note", "%s/tiles: %llu pictures", c->set.out_dir, (unsigned long long)n);
}

/* As --png draws them. */
static int write_pictures(struct sc_cli *c, const struct sc_export_options *o,
                          const struct sc_render_options *ro, struct sc_error *e)
{
    struct sc_palette palette;
    struct sc_render *render = NULL;
    uint64_t n = 0, kept = 0;

    sc_palette_make(ro->mode, !c->set.light, &palette);
    TRY(sc_render_new(ro, &render, e));
    const int code = sc_export_pictures(o, ro, render, &palette, &n, &kept, e);
    sc_render_free(render);
    if (code == 0 && !c->set.quiet)
        say_pictures(c, n, kept);
    return code;
}

static int write_pmtiles(struct sc_cli *c, const struct sc_render_options *ro,
                         struct sc_render *render, const struct sc_palette *palette,
                         const char *title, int fd, struct sc_error *e)
{
    const struct sc_settings *set = &c->set;
    struct sc_exported done = {0};
    const struct sc_export_options o = {.title = set->title ? set->title : title,
                                        .max_zoom =
                                            (unsigned)SC_MIN(set->max_zoom, (uint64_t)UINT_MAX),
                                        .pictures = (enum sc_picture_format)set->tile_format,
                                        .pool = ro->pool,
                                        .cancel = &sc_cancel,
                                        .progress = on_progress,
                                        .ctx = c};
    char bytes[32], tiles[32];

    if (o.pictures == SC_PICTURES_AVIF)
        TRY(sc_avif_check(e));
    sc_progress_start(c, 0);
    const int code = sc_export_pmtiles(&o, ro, render, palette, fd, set->pmtiles, &done, e);
    (void)sc_progress_end();
    if (code < 0 || set->quiet)
        return code;
    sc_format_bytes(done.bytes, bytes);
    sc_format_count(done.tiles, tiles);
    sc_say(c, "note", "%s: %s tiles, %s", set->pmtiles, tiles, bytes);
    return code;
}

static const char no_file[] = "not a file; the beginning of an archive is written last";

int sc_view_check_pmtiles(struct sc_cli *c)
{
    if (c->set.pmtiles && (c->set.tiles || c->set.max_bytes || c->set.planes))
        return sc_wrong_use(c,
                            "--tiles, --planes and --max-bytes are for --out, not for --pmtiles");
    return c->set.pmtiles && strcmp(c->set.pmtiles, "-") == 0
               ? sc_wrong_use(c, "--pmtiles -: %s", no_file)
               : 0;
}

int sc_view_pmtiles(struct sc_cli *c, const struct sc_render_options *ro, struct sc_render *render,
                    const struct sc_palette *palette, const char *title)
{
    struct sc_sink sink = {0};
    struct sc_error e = {0}, of_sink = {0};
    if (sc_sink_open(&sink, c->set.pmtiles, false, 0, &e) < 0)
        return sc_fail_exit(c, &e);
    int code = sink.temporary
                   ? write_pmtiles(c, ro, render, palette, title, sink.fd, &e)
                   : sc_fail(&e, SCRUPLE_EUSAGE, "--pmtiles %s: %s", c->set.pmtiles, no_file);
    const int closed = sc_sink_close(&sink, code == 0, &of_sink);
    if (closed < 0 && (code == 0 || code == SCRUPLE_EWRITE))
        return sc_fail_exit(c, &of_sink);
    return code < 0 ? sc_fail_exit(c, &e) : 0;
}

/* The planes that a page shows at first, when none are named. */
static unsigned usual_planes(enum sc_shows shows)
{
    return shows == SC_SHOWS_BYTES
               ? 1u << SC_PLANE_MAIN | 1u << SC_PLANE_MEAN | 1u << SC_PLANE_ENTROPY
               : 0;
}

int sc_view_write(struct sc_cli *c, const struct sc_web_view *views, size_t n,
                  const struct sc_render_options *ro, const char *start, struct sc_error *e)
{
    const struct sc_settings *set = &c->set;
    const enum sc_shows shows = ro->scene->shows;
    struct sc_exported done;
    struct sc_export_options o = {.dir = set->out_dir,
                                  .single = is_page(set->out_dir),
                                  .force = set->force,
                                  .with_single = set->single,
                                  .title = set->title ? set->title
                                           : n > 2    ? views[n - 1].title /* as of a server */
                                                      : NULL,
                                  .start = start,
                                  .max_zoom = (unsigned)SC_MIN(set->max_zoom, (uint64_t)UINT_MAX),
                                  .max_bytes = set->max_bytes,
                                  .pack_bytes = set->pack_bytes,
                                  .pictures = (enum sc_picture_format)set->tile_format,
                                  .pool = ro->pool,
                                  .cancel = &sc_cancel,
                                  .note = sc_say_note,
                                  .progress = on_progress,
                                  .ctx = c};

    if (!find_planes(set->planes, shows, &o.planes))
        return sc_fail(e, SCRUPLE_EUSAGE, "--planes: \"%s\" is no list of %s", set->planes,
                       shows == SC_SHOWS_BYTES ? "main, mean, min, max, entropy"
                                               : "mean, rms, min, max, abs");
    if (!o.planes)
        o.planes = usual_planes(shows);
    if (set->tiles && (o.single || n > 1))
        return sc_fail(e, SCRUPLE_EUSAGE, "--tiles needs a folder and one MODEL");
    if (o.pictures == SC_PICTURES_AVIF && !set->tiles)
        return sc_fail(e, SCRUPLE_EUSAGE, "--tile-format says what the pictures of --tiles are");
    if (o.pictures == SC_PICTURES_AVIF)
        TRY(sc_avif_check(e)); /* before anything is made */
    sc_progress_start(c, 0);
    int code = sc_export(&o, views, n, &done, e);
    if (code == 0 && set->tiles)
        code = write_pictures(c, &o, ro, e);
    (void)sc_progress_end();
    if (code == 0 && !set->quiet)
        say_done(c, &done);
    return code;
}

static int write_export(struct sc_display *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->desk.c->set;
    const struct sc_render_options ro = sc_display_render(x);
    struct sc_buf start = {0};
    int code = set->at ? sc_spots_start(ro.scene, set->at, &start, e) : 0;
    if (code == 0)
        code = sc_view_write(x->desk.c, x->views, x->n_views, &ro, start.p, e);
    sc_buf_clear(&start);
    return code;
}

int sc_display_export(struct sc_display *x)
{
    struct sc_error e = {0};

    return write_export(x, &e) < 0 ? sc_fail_exit(x->desk.c, &e) : 0;
}

int sc_view_export(struct sc_cli *c)
{
    struct sc_display x = {0};
    int status =
        sc_display_open(&x, c, c->set.sides, sc_memory_budget(c->set.memory) / 2, UINT64_MAX);

    if (!status)
        status = sc_display_export(&x);
    sc_display_close(&x);
    return status;
}

int sc_view_regenerate(struct sc_cli *c)
{
    struct sc_error e = {0};
    bool single = false;

    if (c->operands.words.n || c->set.models.n)
        return sc_wrong_use(c, "--regen-html takes no MODEL: it reads what is in the folder");
    if (sc_export_page(c->set.regen, c->set.title, &single, &e) < 0)
        return sc_fail_exit(c, &e);
    if (!c->set.quiet)
        sc_say(c, "note", "%s: the page is new%s", c->set.regen,
               single ? " and holds everything" : "");
    return 0;
}

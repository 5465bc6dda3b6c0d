/* SPDX-License-Identifier: Apache-2.0 */
/* view and show: weights as pictures, in a file and on the terminal.
 *
 * Both plan the scene of what the filters match, build the pyramids that it needs, and draw. */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli/drawing.h"
#include "picture/render.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

#define LOOK_OPTIONS                                                                               \
    {"mode",                                                                                       \
     0,                                                                                            \
     SC_OPTION_ENUM,                                                                               \
     0,                                                                                            \
     FIELD(mode),                                                                                  \
     "MODE",                                                                                       \
     sc_colour_modes,                                                                              \
     "what colours mean: diverging (sign and size, logarithmic), linear, magnitude, sign, "        \
     "exponent, bits or rank; of differences also rms, abs-log and exact; of bytes classes, "      \
     "value "                                                                                      \
     "or entropy"},                                                                                \
        {"plane",                                                                                  \
         0,                                                                                        \
         SC_OPTION_ENUM,                                                                           \
         0,                                                                                        \
         FIELD(plane),                                                                             \
         "PLANE",                                                                                  \
         sc_plane_names,                                                                           \
         "what a pixel of many weights shows: mean, rms, min, max or abs (the largest size); of "  \
         "many "                                                                                   \
         "bytes mean, min, max, main (the mean of the kind that most are of) or entropy"},         \
        {"scale",                                                                                  \
         0,                                                                                        \
         SC_OPTION_ENUM,                                                                           \
         0,                                                                                        \
         FIELD(scale_of),                                                                          \
         "OF",                                                                                     \
         sc_scale_names,                                                                           \
         "whose weights the ends of the colours are, their largest sizes: tensor, role or model"}, \
        {"light", 0, SC_OPTION_FLAG, 0, FIELD(light), NULL, NULL, "colours for a light ground"},   \
        {"vertical",      0,    SC_OPTION_FLAG, 0,                                                 \
         FIELD(vertical), NULL, NULL,           "put layers below each other, not into a grid"},   \
    {                                                                                              \
        "no-cache", 0, SC_OPTION_FLAG, 0, FIELD(no_cache), NULL, NULL,                             \
            "neither use nor keep statistics of weights for later"                                 \
    }

static const char *const layouts[] = {"arch", "hilbert", NULL};
static const struct sc_option view_options[] = {
    {"diff", 0, SC_OPTION_FLAG, 0, FIELD(changes), NULL, NULL,
     "show what changed between two MODELs, B - A, each weight in its place"},
    {"finetune", 0, SC_OPTION_FLAG, 0, FIELD(finetune), NULL, NULL,
     "of --diff: take B for a fine-tune of A, as scruple diff does (default: when its card names "
     "A)"},
    {"no-finetune", 0, SC_OPTION_FLAG, 0, FIELD(no_finetune), NULL, NULL,
     "of --diff: do not, whatever the card says"},
    {"layout", 0, SC_OPTION_ENUM, 0, FIELD(layout), "HOW", layouts,
     "arch: weights in their places; hilbert: the bytes of any files, a pixel each, on a Hilbert "
     "curve"},
    {"list", 'l', SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(list), "LIST", NULL,
     "of --layout hilbert: also the files that LIST names, one a line or with NUL between them; - "
     "is standard input"},
    {"png", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(picture), "FILE", NULL,
     "write one picture of everything, or of what the filters match"},
    {"width", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(width), "N", NULL,
     "at most N pixels wide (default: 2048); the scale is a power of two"},
    {"pmtiles", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(pmtiles), "FILE", NULL,
     "write pictures of all zooms into one file, as PMTiles for any map viewer; --max-zoom, "
     "--title and --tile-format hold for it, too"},
    {"out", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(out_dir), "DIR", NULL,
     "write the viewer and its data into a folder that any web server can offer, or into one page "
     "when the name ends in .html"},
    SC_EXPORT_OPTIONS,
    {"sides", 0, SC_OPTION_FLAG, 0, FIELD(sides), NULL, NULL,
     "of --diff --out: also write both models by themselves, to be seen side by side, swiped or "
     "blinking; three times the size"},
    {"tiles", 0, SC_OPTION_FLAG, 0, FIELD(tiles), NULL, NULL,
     "of --out: also write pictures tiles/Z/X/Y.png, as maps have them, coloured by --mode, "
     "--plane and --scale"},
    {"tile-format", 0, SC_OPTION_ENUM, 0, FIELD(tile_format), "FORMAT", sc_picture_formats,
     "of --tiles and --pmtiles: png, or avif, which has the same colours exactly but takes about "
     "four times the room and much longer"},
    {"regen-html", 0, SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(regen), "DIR", NULL,
     "write the page of an export anew, as this version has it; takes no MODEL"},
    {"at", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(at), "PLACE", NULL,
     "begin at a weight, NAME[row,column], or at a tensor; of --layout hilbert at a byte, 4660 or "
     "0x1234"},
    {"port", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(port), "N", NULL,
     "serve at port N (default: one that is free)"},
    {"bind", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, FIELD(bind), "ADDRESS", NULL,
     "serve at another address than 127.0.0.1, which others may reach, too"},
    {"no-open", 0, SC_OPTION_FLAG, 0, FIELD(no_open), NULL, NULL, "do not open a browser"},
    {"fetch", 0, SC_OPTION_SIZE, SC_COMPLETE_NOTHING, FIELD(fetch), "SIZE", NULL,
     "of a model that is elsewhere, fetch at most SIZE for overviews (default: 1GiB)"},
    LOOK_OPTIONS,
};
static const struct sc_option show_options[] = {
    {"diff", 0, SC_OPTION_FLAG, 0, FIELD(changes), NULL, NULL,
     "show what changed between two MODELs, B - A"},
    {"width", 0, SC_OPTION_UINT, SC_COMPLETE_NOTHING, FIELD(width), "N", NULL,
     "at most N pixels wide (default: what fits the terminal)"},
    {"graphics", 0, SC_OPTION_ENUM, 0, FIELD(graphics), "HOW", sc_graphics_names,
     "how to draw: kitty, sixel, blocks (half blocks in colour) or ascii; auto looks at the "
     "terminal"},
    LOOK_OPTIONS,
};

/* --------------------------------------------------------------------------------- common --- */

struct picture {
    struct sc_display display;
    const struct sc_scene *scene;
    struct sc_render *render;
    struct sc_palette palette;
};

static void close_picture(struct picture *x)
{
    sc_render_free(x->render);
    sc_display_close(&x->display);
}

static int measure(struct picture *x, struct sc_error *e)
{
    struct sc_display *d = &x->display;
    const struct sc_render_options ro = sc_display_render(d);

    x->scene = ro.scene;
    sc_palette_make(ro.mode, !d->desk.c->set.light, &x->palette);
    TRY(sc_pyramids_build(ro.pyramids, e));
    if (sc_colour_mode_end(ro.mode) == SC_END_RMS)
        TRY(sc_difference_view_measure(&d->changes.view, e));
    return sc_render_new(&ro, &x->render, e);
}

/* From the command line to a scene with its values; 0 or an exit code. */
static int open_picture(struct picture *x, struct sc_cli *c)
{
    struct sc_error e = {0};
    int status =
        sc_display_open(&x->display, c, false, sc_memory_budget(c->set.memory), UINT64_MAX);

    if (!status && x->display.n_views > 1)
        status = sc_wrong_use(c, "%s takes one MODEL, but %zu are given", c->command->name,
                              x->display.n_views);
    if (!status && measure(x, &e) < 0)
        status = sc_fail_exit(c, &e);
    return status;
}

/* ----------------------------------------------------------------------------------- view --- */

static int put_file(void *sink, const void *p, size_t n)
{
    return sc_sink_write(sink, p, n);
}

static int add_rows(void *png, const uint8_t *indices, size_t n_rows, struct sc_error *e)
{
    return sc_indexed_png_rows(png, indices, n_rows, e);
}

static int draw_png(struct sc_render *render, const struct sc_palette *palette,
                    const struct sc_render_area *area, struct sc_sink *sink, struct sc_error *e)
{
    struct sc_indexed_png *png = NULL;
    uint64_t width, height;

    sc_render_size(area, &width, &height);
    if (width > INT32_MAX || height > INT32_MAX)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "a PNG has at most 2147483647 pixels a side, but this one would have "
                       "%llu x %llu",
                       (unsigned long long)width, (unsigned long long)height);
    TRY(sc_indexed_png_new((uint32_t)width, (uint32_t)height, palette, false, put_file, sink, &png,
                           e));
    int code = sc_render_rows(render, area, add_rows, png, e);
    if (code == 0)
        code = sc_render_check(render, e);
    if (code == 0)
        code = sc_indexed_png_end(png, e);
    sc_indexed_png_free(png);
    return code;
}

int sc_view_png(struct sc_cli *c, const struct sc_scene *s, struct sc_render *render,
                const struct sc_palette *palette, const char *path)
{
    struct sc_render_area area = sc_render_fit(s, c->set.width ? c->set.width : 2048, 0);
    struct sc_sink sink = {0};
    struct sc_error e = {0}, of_sink = {0};
    uint64_t width, height;

    if (sc_sink_open(&sink, path, false, 0, &e) < 0)
        return sc_fail_exit(c, &e);
    int code = draw_png(render, palette, &area, &sink, &e);
    int closed = sc_sink_close(&sink, code == 0, &of_sink);
    if (closed < 0 && (code == 0 || code == SCRUPLE_EWRITE))
        return sc_fail_exit(c, &of_sink);
    if (code < 0)
        return sc_fail_exit(c, &e);
    sc_render_size(&area, &width, &height);
    if (!c->set.quiet)
        sc_say(c, "note", "%s: %llu x %llu pixels", path, (unsigned long long)width,
               (unsigned long long)height);
    return 0;
}

static int run_view(struct sc_cli *c)
{
    struct picture x = {0};
    int status = sc_view_check_pmtiles(c);

    if (status)
        return status;
    if (!!c->set.regen + !!c->set.out_dir + !!c->set.picture + !!c->set.pmtiles > 1)
        return sc_wrong_use(
            c, "--png, --pmtiles, --out and --regen-html are four things to do: name one");
    if (c->set.at && (c->set.regen || c->set.picture || c->set.pmtiles))
        return sc_wrong_use(c, "--at is where the viewer begins: it does not go with %s",
                            c->set.regen     ? "--regen-html"
                            : c->set.picture ? "--png"
                                             : "--pmtiles");
    if (c->set.sides && (!c->set.changes || !c->set.out_dir))
        return sc_wrong_use(c, "--sides is for the files of --diff A B --out DIR");
    if (c->set.changes && c->set.layout)
        return sc_wrong_use(c, "--diff has the layout of weights");
    if (c->set.regen)
        return sc_view_regenerate(c);
    if (c->set.layout == SC_LAYOUT_HILBERT)
        return sc_view_bytes(c);
    if (c->set.list)
        return sc_wrong_use(c, "--list is for --layout hilbert");
    if (c->set.out_dir)
        return sc_view_export(c);
    if (!c->set.picture && !c->set.pmtiles)
        return sc_view_live(c);
    status = open_picture(&x, c);
    if (!status && c->set.pmtiles) {
        const struct sc_render_options ro = sc_display_render(&x.display);
        status = sc_view_pmtiles(c, &ro, x.render, &x.palette, x.display.views[0].title);
    } else if (!status) {
        status = sc_view_png(c, x.scene, x.render, &x.palette, c->set.picture);
    }
    close_picture(&x);
    return status;
}

/* ----------------------------------------------------------------------------------- show --- */

struct canvas {
    uint8_t *indices;
    size_t used;
    uint64_t width;
};

static int keep_rows(void *ctx, const uint8_t *indices, size_t n_rows, struct sc_error *e)
{
    struct canvas *to = ctx;
    const size_t n = n_rows * (size_t)to->width;

    (void)e;
    memcpy(to->indices + to->used, indices, n);
    to->used += n;
    return 0;
}

static int show_picture(struct picture *x, struct sc_error *e)
{
    enum { LARGEST = 4096 };
    struct sc_cli *c = x->display.desk.c;
    struct sc_screen screen;
    enum sc_graphics how = sc_graphics_of(c);
    uint64_t width = c->set.width, height = LARGEST;

    sc_screen_look(&screen);
    if (!width && how <= SC_GRAPHICS_SIXEL) { /* about eight pixels a column */
        width = screen.columns ? (uint64_t)screen.columns * 8 : 640;
    } else if (!width) {
        width = screen.columns ? screen.columns : 80;
        height = screen.rows > 8 ? ((uint64_t)screen.rows - 4) * 2 : 64;
    }
    width = SC_MIN(width, (uint64_t)LARGEST);
    struct sc_render_area area = sc_render_fit(x->scene, width, height);
    struct canvas to = {0};
    sc_render_size(&area, &to.width, &height);
    to.indices = sc_alloc((size_t)(to.width * height));
    if (!to.indices)
        return sc_fail_memory(e);
    int code = sc_render_rows(x->render, &area, keep_rows, &to, e);
    const struct sc_term_picture picture = {.width = (uint32_t)to.width,
                                            .height = (uint32_t)height,
                                            .indices = to.indices,
                                            .palette = &x->palette};
    if (code == 0)
        code = sc_report_term_picture(&c->out, &picture, how, e);
    if (code == 0)
        sc_report_legend(&c->out, sc_render_colours(x->render), &picture, how);
    free(to.indices);
    return code;
}

static int run_show(struct sc_cli *c)
{
    struct picture x = {0};
    struct sc_error e = {0};

    if (c->set.json)
        return sc_wrong_use(c, "show draws a picture, which --json cannot hold");
    int status = open_picture(&x, c);
    if (!status && show_picture(&x, &e) < 0)
        status = sc_fail_exit(c, &e);
    close_picture(&x);
    return status;
}

static const struct sc_example view_examples[] = {
    {"scruple view model", "fly over the model in a browser, until Ctrl-C"},
    {"scruple view model --png model.png", "the whole model, at most 2048 pixels wide"},
    {"scruple view model model.layers.3 --png 3.png --plane abs --mode magnitude",
     "a layer, the largest weight of each pixel"},
    {"scruple view --diff base tuned", "what changed, each weight in its place"},
    {"scruple view model --out site", "the viewer as files, for any web server"},
    {"scruple view model --pmtiles model.pmtiles", "every zoom as pictures, in one file"},
    {"scruple view --layout hilbert a.gguf notes.txt", "two files as bytes"},
    {NULL, NULL},
};
const struct sc_command sc_cmd_view = {
    .name = "view",
    .summary = "look at the weights, every one in its place",
    .usage = "MODEL... [FILTER...]",
    .description =
        "Draws every weight at its place: matrices as they are, layers beside each other in the "
        "same order, experts in a grid. Where a pixel holds more than one weight, it shows what "
        "--plane says of them, never a mixture of colours; the largest sizes (abs) make single "
        "outliers visible from far away. Zeros, NaN, infinities and subnormal values have colours "
        "of their own.\n\n"
        "Without --png the weights are served to a browser on this machine: the address is "
        "printed, "
        "a browser opened where there is a screen, and Ctrl-C ends it, with exit code 0. Two "
        "models "
        "stand side by side, and --diff shows their differences. What the server does and does not "
        "allow is in docs/view.md.\n\n"
        "With --layout hilbert any files are shown as they are stored, a pixel a byte, along a "
        "Hilbert curve: files, folders, - for standard input, pipes, names of the Hub. What one "
        "sees there is told in docs/bytes.md.\n\n"
        "Statistics of weights are kept for the next time (scruple cache ls). How tensors are "
        "placed is in docs/layout.md.",
    .options = view_options,
    .n_options = SC_COUNT(view_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = view_examples,
    .run = run_view,
};

static const struct sc_example show_examples[] = {
    {"scruple show model model.layers.0.self_attn.q_proj", "one matrix"},
    {"scruple show model model.layers.0 --plane abs --mode magnitude", "a layer, outliers first"},
    {NULL, NULL},
};
const struct sc_command sc_cmd_show = {
    .name = "show",
    .summary = "draw weights on the terminal",
    .usage = "MODEL [FILTER...]",
    .description =
        "The same pictures as those of view, on the terminal: by the graphics protocol of kitty, "
        "as sixels, as half blocks in colour, or in ASCII. Below stands what the colours mean; "
        "with --scale tensor, the default, the ends are those of the largest tensor's.",
    .options = show_options,
    .n_options = SC_COUNT(show_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_OUTPUT | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = show_examples,
    .run = run_show,
};

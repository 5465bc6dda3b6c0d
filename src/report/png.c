/* SPDX-License-Identifier: Apache-2.0 */
/* png: our SVG pictures as PNG, drawn by librsvg on cairo.
 *
 * Both are loaded when the first picture is wanted, and only their few functions that are used here
 * are declared, as their manuals do: neither headers nor libraries are needed to build. */
#include <pthread.h>
#include <string.h>

#include "report/plots.h"

#define SCALE    2     /* pixels of a CSS pixel */
#define MAX_SIDE 16000 /* cairo's own limit is 32,767 */

struct rectangle { /* RsvgRectangle */
    double x, y, width, height;
};
static struct {
    void *(*rsvg_handle_new_from_data)(const uint8_t *data, size_t n, void **error);
    int (*rsvg_handle_render_document)(void *handle, void *cr, const struct rectangle *viewport,
                                       void **error);
} rsvg;
static struct {
    void *(*cairo_image_surface_create)(int format, int width, int height);
    int (*cairo_surface_status)(void *surface);
    void *(*cairo_create)(void *surface);
    void (*cairo_destroy)(void *cr);
    void (*cairo_surface_destroy)(void *surface);
    int (*cairo_surface_write_to_png_stream)(
        void *surface, int (*write)(void *ctx, const unsigned char *p, unsigned n), void *ctx);
} cairo;
static struct {
    void (*g_object_unref)(void *object);
} gobject;
#define SYMBOL(library, name)                                                                      \
    {                                                                                              \
#name, &library.name                                                                       \
    }

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool loaded;

static void load(void)
{
    static const char *const rsvg_names[] = {"librsvg-2.so.2", "librsvg-2.2.dylib", NULL};
    static const char *const cairo_names[] = {"libcairo.so.2", "libcairo.2.dylib", NULL};
    static const char *const gobject_names[] = {"libgobject-2.0.so.0", "libgobject-2.0.0.dylib",
                                                NULL};
    static const struct sc_symbol rsvg_symbols[] = {SYMBOL(rsvg, rsvg_handle_new_from_data),
                                                    SYMBOL(rsvg, rsvg_handle_render_document)};
    static const struct sc_symbol cairo_symbols[] = {
        SYMBOL(cairo, cairo_image_surface_create),
        SYMBOL(cairo, cairo_surface_status),
        SYMBOL(cairo, cairo_create),
        SYMBOL(cairo, cairo_destroy),
        SYMBOL(cairo, cairo_surface_destroy),
        SYMBOL(cairo, cairo_surface_write_to_png_stream)};
    static const struct sc_symbol gobject_symbols[] = {SYMBOL(gobject, g_object_unref)};

    loaded = !sc_library_load(rsvg_names, rsvg_symbols, SC_COUNT(rsvg_symbols), "draw PNG pictures",
                              NULL) &&
             !sc_library_load(cairo_names, cairo_symbols, SC_COUNT(cairo_symbols),
                              "draw PNG pictures", NULL) &&
             !sc_library_load(gobject_names, gobject_symbols, SC_COUNT(gobject_symbols),
                              "draw PNG pictures", NULL);
}

static int take(void *ctx, const unsigned char *p, unsigned n)
{
    struct sc_buf *out = ctx;

    sc_buf_put(out, p, n);
    return out->failed ? 11 /* CAIRO_STATUS_WRITE_ERROR */ : 0;
}

/* The whole pixels of an attribute of our own svg element, rounded up. */
static uint64_t side(struct sc_str svg, const char *attribute)
{
    size_t n = strlen(attribute), end = SC_MIN(svg.n, 400);
    uint64_t v;

    for (size_t i = 0; i + n < end; i++) {
        if (memcmp(svg.p + i, attribute, n) != 0)
            continue;
        size_t digits = 0;
        while (i + n + digits < end && svg.p[i + n + digits] >= '0' && svg.p[i + n + digits] <= '9')
            digits++;
        return sc_str_u64(sc_str(svg.p + i + n, digits), &v) ? v + 1 : 0;
    }
    return 0;
}

static int render(void *handle, uint64_t w, uint64_t h, struct sc_buf *out, struct sc_error *e)
{
    void *surface = cairo.cairo_image_surface_create(0 /* ARGB32 */, (int)w, (int)h);
    void *cr = cairo.cairo_create(surface);
    const struct rectangle viewport = {0, 0, (double)w, (double)h};
    int status = cairo.cairo_surface_status(surface), code = 0;

    if (status != 0 || !rsvg.rsvg_handle_render_document(handle, cr, &viewport, NULL))
        code = sc_fail(e, SCRUPLE_EUNSUPPORTED, "librsvg cannot draw this picture");
    else if (cairo.cairo_surface_write_to_png_stream(surface, take, out) != 0)
        code = out->failed ? sc_fail_memory(e)
                           : sc_fail(e, SCRUPLE_EUNSUPPORTED, "cairo cannot make a PNG of this");
    cairo.cairo_destroy(cr);
    cairo.cairo_surface_destroy(surface);
    return code;
}

int sc_png_from_svg(struct sc_str svg, struct sc_buf *out, struct sc_error *e)
{
    uint64_t w = side(svg, " width=\"") * SCALE, h = side(svg, " height=\"") * SCALE;

    pthread_once(&once, load);
    if (!loaded)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED,
                       "PNG pictures need librsvg 2.46 or newer and cairo (Debian: librsvg2-2)");
    if (!w || !h || w > MAX_SIDE || h > MAX_SIDE)
        return sc_fail(e, SCRUPLE_ELIMIT, "a picture of %llu x %llu pixels; at most %d a side",
                       (unsigned long long)w, (unsigned long long)h, MAX_SIDE);
    void *handle = rsvg.rsvg_handle_new_from_data((const uint8_t *)svg.p, svg.n, NULL);
    if (!handle)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED, "librsvg cannot read this picture");
    int code = render(handle, w, h, out, e);
    gobject.g_object_unref(handle);
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* drawing: from a command line to models that can be drawn: what view and show share. */
#ifndef SC_DRAWING_H
#define SC_DRAWING_H

#include "cli/cli.h"
#include "hub/hub.h"
#include "picture/maps.h"
#include "picture/tiles.h"
#include "web/web.h"

/* What is the same for all models of a command line. Zero-initialise. */
struct sc_desk {
    struct sc_cli *c;
    const char *const *paths; /* borrowed */
    size_t n;
    struct sc_words filters;
    struct sc_filter *filter; /* NULL: all */
    struct sc_pool *pool;
    struct sc_hub_env env;
};
/* 0, or an exit code after the error was printed. `most`: models. */
int sc_desk_open(struct sc_desk *d, size_t most);
void sc_desk_close(struct sc_desk *d);

/* A model with its plan. Zero-initialise. */
struct sc_drawing {
    struct sc_model *model;
    struct sc_scene *scene;
    struct sc_pyramids *pyramids;
};
/* Reads no value. `memory` and `network` as in sc_pyramids_options. 0, or an exit code. */
int sc_drawing_open(struct sc_drawing *x, struct sc_desk *d, const char *path, uint64_t memory,
                    uint64_t network);
void sc_drawing_close(struct sc_drawing *x);

/* One model or two for the page, with all that it asks for. Its parts point into each other: it
 * stays where it is. Zero-initialise. */
struct sc_display {
    struct sc_desk desk;
    struct sc_maps maps; /* instead of drawings[0].model and its scene */
    struct sc_drawing drawings[2];
    struct sc_scales *scales[2];
    struct sc_model_view models[2];
    struct sc_web_view views[2]; /* (desk.n) */
};
/* Opens all models of the command line. They share `memory`; `network` is of each. 0, or an exit
 * code after the error was printed; close it in any case. */
int sc_display_open(struct sc_display *x, struct sc_cli *c, uint64_t memory, uint64_t network);
/* The same of maps, which are borrowed until it is closed: one view. */
int sc_display_open_maps(struct sc_display *x, struct sc_cli *c, const struct sc_map *maps,
                         size_t n, const char *title);
void sc_display_close(struct sc_display *x);
/* view_live.c: serves until Ctrl-C; `memory` for tiles. An exit code. */
int sc_display_serve(struct sc_display *x, uint64_t memory);
/* view_export.c: writes what --out asks for. An exit code. */
int sc_display_export(struct sc_display *x);
/* Maps as a command's options ask for: a folder or a page (--out), else in a browser. An exit code.
 */
int sc_view_maps(struct sc_cli *c, const struct sc_map *maps, size_t n, const char *title);

enum sc_view_layout { SC_LAYOUT_ARCH, SC_LAYOUT_HILBERT };

/* view_live.c: `view` without a file to write. An exit code. */
int sc_view_live(struct sc_cli *c);
/* Serves views until Ctrl-C; `memory` for tiles, `start` a permalink or NULL. */
int sc_view_serve(struct sc_cli *c, const struct sc_web_view *views, size_t n, uint64_t memory,
                  const char *start);
/* view_export.c: `view --out` and `view --regen-html`. */
int sc_view_export(struct sc_cli *c);
/* Exports views; `ro` says how pictures of --tiles are drawn, its mode, plane and scale being those
 * of the command line. */
int sc_view_write(struct sc_cli *c, const struct sc_web_view *views, size_t n,
                  const struct sc_render_options *ro, const char *start, struct sc_error *e);
int sc_view_regenerate(struct sc_cli *c);
/* cmd_view.c: a picture of all of a scene into a file. An exit code. */
int sc_view_png(struct sc_cli *c, const struct sc_scene *s, struct sc_render *render,
                const struct sc_palette *palette, const char *path);
/* view_bytes.c: `view --layout hilbert`. An exit code. */
int sc_view_bytes(struct sc_cli *c);

#endif

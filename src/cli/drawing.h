/* SPDX-License-Identifier: Apache-2.0 */
/* drawing: from a command line to models that can be drawn: what view and show share. */
#ifndef SC_DRAWING_H
#define SC_DRAWING_H

#include <stddef.h>

#include "cli/cli.h"
#include "hub/hub.h"
#include "picture/maps.h"
#include "picture/tiles.h"
#include "web/web.h"

/* Options of what is written as files: view and diff. */
#define SC_FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))
#define SC_EXPORT_OPTIONS                                                                          \
    {"title",                                                                                      \
     0,                                                                                            \
     SC_OPTION_TEXT,                                                                               \
     SC_COMPLETE_NOTHING,                                                                          \
     SC_FIELD(title),                                                                              \
     "TEXT",                                                                                       \
     NULL,                                                                                         \
     "what the page of --out is called (default: the model's name)"},                              \
        {"planes",                                                                                 \
         0,                                                                                        \
         SC_OPTION_TEXT,                                                                           \
         SC_COMPLETE_NOTHING,                                                                      \
         SC_FIELD(planes),                                                                         \
         "LIST",                                                                                   \
         NULL,                                                                                     \
         "of --out: what pixels of many weights can show (default: mean,abs)"},                    \
        {"max-zoom",                                                                               \
         0,                                                                                        \
         SC_OPTION_UINT,                                                                           \
         SC_COMPLETE_NOTHING,                                                                      \
         SC_FIELD(max_zoom),                                                                       \
         "N",                                                                                      \
         NULL,                                                                                     \
         "of --out: leave out levels deeper than N; 0 shows everything in one tile"},              \
        {"max-bytes",                                                                              \
         0,                                                                                        \
         SC_OPTION_SIZE,                                                                           \
         SC_COMPLETE_NOTHING,                                                                      \
         SC_FIELD(max_bytes),                                                                      \
         "SIZE",                                                                                   \
         NULL,                                                                                     \
         "of --out: leave out as many of the deepest levels as it takes to stay below SIZE"},      \
        {"single",                                                                                 \
         0,                                                                                        \
         SC_OPTION_FLAG,                                                                           \
         0,                                                                                        \
         SC_FIELD(single),                                                                         \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "of --out: put everything into index.html, however large (default: below 16 MiB)"},       \
        {"force",                                                                                  \
         0,                                                                                        \
         SC_OPTION_FLAG,                                                                           \
         0,                                                                                        \
         SC_FIELD(force),                                                                          \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "of --out: replace a page of another program that has this name"},                        \
    {                                                                                              \
        "pack-bytes", 0, SC_OPTION_SIZE, SC_COMPLETE_NOTHING, SC_FIELD(pack_bytes), "SIZE", NULL,  \
            "of --out: files of tiles have at most SIZE (default: 64M)"                            \
    }

/* What is the same for all models of a command line. Zero-initialise. */
struct sc_desk {
    struct sc_cli *c;
    const char *const *paths; /* borrowed */
    size_t n;
    struct sc_words filters;
    struct sc_filter *filter; /* NULL: all */
    struct sc_pool *pool;
    struct sc_hub_env env;
    bool facts; /* open models with what their cards say */
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
/* B - A of two models as a picture. Its parts point into each other: it stays where it is.
 * Zero-initialise. */
struct sc_changes {
    struct sc_differences *differences;
    struct sc_buf title; /* a text */
    struct sc_scene *scene;
    struct sc_pyramids *pyramids;
    struct sc_scales *scales;
    struct sc_difference_view view;
};
/* What is compared with what. Borrowed. */
struct sc_sides {
    const struct sc_model *a, *b; /* a: NULL of an adapter by itself */
    struct sc_adapter *adapter;   /* what b is; NULL: a model */
    bool declared_finetune;       /* a is what the card of b names */
};
/* view_diff.c: plans it; of models that are open and outlive it. 0, or an exit code after the error
 * was printed; close it in any case. */
int sc_changes_open(struct sc_changes *x, struct sc_desk *d, const struct sc_sides *of,
                    uint64_t memory, uint64_t network);
void sc_changes_close(struct sc_changes *x);

/* One model or two for the page, or the differences of two, with all that it asks for. Its parts
 * point into each other: it stays where it is. Zero-initialise. */
struct sc_display {
    struct sc_desk desk;
    struct sc_maps maps; /* instead of drawings[0].model and its scene */
    struct sc_drawing drawings[2];
    struct sc_scales *scales[2];
    struct sc_model_view models[2];
    struct sc_adapter *adapter; /* what the second drawing's model is; with --diff; NULL */
    bool declared_finetune;     /* the card of the second names the first */
    struct sc_changes changes;
    struct sc_web_view views[3];
    size_t n_views;
};
/* Opens all models of the command line. They share `memory`; `network` is of each. `sides`: with
 * differences both models are views, too. 0, or an exit code after the error was printed; close it
 * in any case. */
int sc_display_open(struct sc_display *x, struct sc_cli *c, bool sides, uint64_t memory,
                    uint64_t network);
/* The same of maps, which are borrowed until it is closed: one view. */
int sc_display_open_maps(struct sc_display *x, struct sc_cli *c, const struct sc_map *maps,
                         size_t n, const char *title);
void sc_display_close(struct sc_display *x);
/* How the first picture of a display is drawn: what options say of modes, planes and scales. */
struct sc_render_options sc_display_render(const struct sc_display *x);
/* Does --mode suit what is shown? 0, or an exit code after the error was printed. */
int sc_check_mode(struct sc_cli *c, enum sc_shows shows);
/* view_live.c: serves until Ctrl-C; `memory` for tiles. An exit code. */
int sc_display_serve(struct sc_display *x, uint64_t memory);
/* view_export.c: writes what --out asks for. An exit code. */
int sc_display_export(struct sc_display *x);
/* Maps as a command's options ask for: a folder or a page (--out), else in a browser, where the
 * weights of `of` have a page of their own; NULL: there is none. Borrows it. An exit code. */
int sc_view_maps(struct sc_cli *c, const struct sc_map *maps, size_t n, const char *title,
                 const struct sc_model *of);

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
/* `view --pmtiles`: do the options go together? And the file, whose title is this unless the
 * command line has one. Exit codes. */
int sc_view_check_pmtiles(struct sc_cli *c);
int sc_view_pmtiles(struct sc_cli *c, const struct sc_render_options *ro, struct sc_render *render,
                    const struct sc_palette *palette, const char *title);
/* cmd_view.c: a picture of all of a scene into a file. An exit code. */
int sc_view_png(struct sc_cli *c, const struct sc_scene *s, struct sc_render *render,
                const struct sc_palette *palette, const char *path);
/* view_bytes.c: `view --layout hilbert`. An exit code. */
int sc_view_bytes(struct sc_cli *c);

#endif

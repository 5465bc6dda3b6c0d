/* SPDX-License-Identifier: Apache-2.0 */
/* web: pages in which weights are looked at: served to a browser of this machine, or written to a
 * folder.
 *
 * Owns: the protocol between page and program (docs/viewer-protocol.md), the page itself (assets/),
 * the server, static exports.
 *
 * Does not own: what stands where, values, colours (picture), documents about models (report).
 */
#ifndef SC_WEB_H
#define SC_WEB_H

#include "picture/render.h"
#include "picture/scales.h"
#include "picture/tiles.h"
#include "report/report.h"

/* A picture of a part of a view. */
struct sc_web_shot {
    struct sc_render_area area;
    enum sc_colour_mode mode;
    enum sc_plane plane;
    enum sc_scale_of scale_of;
    bool light;
};
/* One picture of a page. All functions may be called from any thread and at the same time. */
struct sc_web_view {
    const struct sc_web_view_kind *kind;
    void *ctx;
    const char *title; /* for people; from a file: any bytes */
};
struct sc_web_view_kind {
    /* Documents of the protocol. A status of `o` is an error of writing. */
    void (*scene)(void *ctx, struct sc_out *o, bool is_static);
    void (*scales)(void *ctx, struct sc_out *o);
    /* 0 with a document, or an error and none: SCRUPLE_EUSAGE when there is no such thing. */
    int (*value)(void *ctx, uint64_t tensor, uint64_t slice, uint64_t row, uint64_t col,
                 struct sc_out *o, struct sc_error *e);
    int (*tensor)(void *ctx, uint64_t tensor, struct sc_out *o, struct sc_error *e);
    int (*search)(void *ctx, struct sc_str words, size_t limit, struct sc_out *o,
                  struct sc_error *e);
    /* As sc_tile_fill(): never waits for more than `patience` milliseconds of network. */
    int (*tile)(void *ctx, struct sc_tile *t, unsigned patience, struct sc_error *e);
    double (*progress)(void *ctx, uint64_t *epoch);
    /* Works in the background until all is known; SCRUPLE_EINTERRUPTED after a cancel. */
    int (*build)(void *ctx, struct sc_error *e);
    /* A PNG of a rectangle: SCRUPLE_EUSAGE when it would be too large. NULL: there are none. */
    int (*shot)(void *ctx, const struct sc_web_shot *shot, struct sc_out *o, struct sc_error *e);
    /* What an export goes through: the plan. */
    const struct sc_scene *(*plan)(void *ctx);
};
/* The view of a model. Borrows everything. */
struct sc_model_view {
    const struct sc_scene *scene;
    struct sc_pyramids *pyramids;
    struct sc_scales *scales;
    struct sc_pool *pool;
    const _Atomic int *cancel;
    const char *title; /* NULL: the model's label */
};
struct sc_web_view sc_web_view_of_model(struct sc_model_view *m);

/* A tile as it is sent: its bytes, at most SC_TILE_BODY at out. `epoch` is that of the view before
 * the tile was filled. */
#define SC_TILE_BODY (16 + 4 * (size_t)SC_SCENE_TILE * SC_SCENE_TILE)
size_t sc_tile_body(const struct sc_tile *t, uint64_t epoch, uint8_t *out);
/* colours.json */
void sc_web_colours(struct sc_out *o);

/* ---------------------------------------------------------------------------------- server --- */
struct sc_web_options {
    const char *bind;     /* address; NULL: 127.0.0.1 */
    uint16_t port;        /* 0: any */
    unsigned connections; /* at once; 0: 64 */
    const char *start;    /* permalink to begin with, or NULL */
    const char *title;    /* NULL: that of the first view */
    uint64_t memory;      /* bytes for tiles that are kept */
    const _Atomic int *cancel;
    /* The address, once it is listened at. Non-zero stops and is returned. */
    int (*ready)(void *ctx, const char *url);
    void (*note)(void *ctx, const char *sentence);
    void (*ending)(void *ctx); /* *cancel was seen, and everything is being stopped; NULL: none */
    void *ctx;
};
/* Serves until *cancel, then 0. Listens before anything is read, then builds each view in a thread
 * of its own. SCRUPLE_EIO: the address cannot be used; SCRUPLE_EUNSUPPORTED: the library of the
 * server is not installed. */
int sc_web_serve(const struct sc_web_options *o, const struct sc_web_view *views, size_t n_views,
                 struct sc_error *e);

#endif

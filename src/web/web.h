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

#include "analyze/diff.h"
#include "analyze/diff_files.h"
#include "picture/differences.h"
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
    bool apart;        /* of a server: a page of its own, to which the others have links; its
                          statistics are not built before somebody looks at it */
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
    /* As sc_tile_fill_planes(). */
    int (*planes)(void *ctx, struct sc_tile *t, size_t n, unsigned patience, struct sc_error *e);
    /* As sc_tile_fill_halves(). NULL: no tile is such. */
    bool (*halves)(void *ctx, struct sc_tile *t, uint16_t *halves);
    /* As sc_pyramids_check(), of all that tiles are made of. NULL: nobody knows. */
    int (*check)(void *ctx, struct sc_error *e);
    double (*progress)(void *ctx, uint64_t *epoch);
    /* What is cheap to know of values, before any tile needs it: scales; of files that are here,
     * and of `most` tensors, spread over all (SIZE_MAX: all). */
    int (*sample)(void *ctx, size_t most, struct sc_error *e);
    /* Works in the background until all is known; SCRUPLE_EINTERRUPTED after a cancel. */
    int (*build)(void *ctx, struct sc_error *e);
    /* A PNG of a rectangle: SCRUPLE_EUSAGE when it would be too large. NULL: there are none. */
    int (*shot)(void *ctx, const struct sc_web_shot *shot, struct sc_out *o, struct sc_error *e);
    /* What an export goes through: the plan; and what names all values that it shows. False: not
     * known. */
    const struct sc_scene *(*plan)(void *ctx);
    bool (*key)(void *ctx, char key[65]);
};
/* The view of a model. Borrows everything. */
struct sc_model_view {
    const struct sc_scene *scene;
    struct sc_pyramids *pyramids;
    struct sc_scales *scales;
    struct sc_pool *pool;
    const _Atomic int *cancel;
    const char *title; /* NULL: the model's label */
    /* For views that begin with this struct: what else they say, each key after a comma. NULL:
     * nothing. False: it will change. */
    bool (*add_to_scales)(const void *ctx, struct sc_out *o);
    void (*add_to_tensor)(const void *ctx, uint32_t tensor, struct sc_out *o);
};
struct sc_web_view sc_web_view_of_model(struct sc_model_view *m);
extern const struct sc_web_view_kind sc_web_model_kind;
/* SCRUPLE_EUSAGE: it is not. */
int sc_web_is_drawn(const struct sc_model_view *m, uint64_t tensor, struct sc_error *e);

/* The view of the differences of two models: the picture of sc_differences_model(). `of` is set as
 * for a model, the rest by whoever makes it. Borrows everything. */
struct sc_difference_view {
    struct sc_model_view of; /* first */
    const struct sc_differences *differences;
    const struct sc_model *a,
        *b; /* a: NULL of an adapter by itself; b: the adapter as it is stored */
    struct sc_adapter *adapter;     /* what B is; NULL: a model */
    bool with_files;                /* files without tensors are compared, too */
    struct sc_diff_options options; /* for figures of pairs: the same filter */
    uint64_t network;             /* bytes of files that are elsewhere which may be read for them */
    struct sc_diff *_Atomic diff; /* NULL until it is there; owned */
    struct sc_files_diff files;   /* owned; of the diff, when they were compared here */
    _Atomic bool over;            /* it is there, or never will be */
    _Atomic double share;         /* of the way, 0 to 1 */
    struct sc_error why;          /* it will not be; set before `over` */
    struct sc_web_view_kind kind;
};
struct sc_web_view sc_web_view_of_differences(struct sc_difference_view *v);
/* Makes the figures, unless they are there. A view that is built does so at its end. */
int sc_difference_view_measure(struct sc_difference_view *v, struct sc_error *e);
/* They are known already: of the same two models and filter. Takes `d` over. */
void sc_difference_view_take(struct sc_difference_view *v, struct sc_diff *d);
void sc_difference_view_clear(struct sc_difference_view *v);

/* A tile as it is sent: its bytes, at most SC_TILE_BODY at out. `epoch` is that of the view before
 * the tile was filled. */
#define SC_TILE_BODY (16 + 4 * (size_t)SC_SCENE_TILE * SC_SCENE_TILE)
size_t sc_tile_body(const struct sc_tile *t, uint64_t epoch, uint8_t *out);
/* The part of it in front of pixels; all of it, when there are none. *planes: bytes of a pixel, 0:
 * there are none. */
enum { SC_TILE_HEAD = 16 };
size_t sc_tile_head(const struct sc_tile *t, uint64_t epoch, uint8_t *out, unsigned *planes);
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

/* --------------------------------------------------------------------------------- exports --- */
/* The same page with its data as files: docs/viewer-protocol.md, "A static export". */
#define SC_EXPORT_PACK   (UINT64_C(64) << 20) /* bytes of one file of tiles, if nothing is said */
#define SC_EXPORT_SINGLE (UINT64_C(16) << 20) /* what is smaller becomes one page, too */
enum sc_picture_format { SC_PICTURES_PNG, SC_PICTURES_AVIF };
extern const char *const sc_picture_formats[]; /* "png", "avif", NULL: as names end, too */
struct sc_export_options {
    const char *dir;     /* a folder; or the one file, when `single` is set */
    bool single;         /* nothing but one file */
    bool force;          /* the one file replaces whatever has its name */
    bool with_single;    /* the page of the folder holds everything, however large */
    const char *title;   /* NULL: that of the first view */
    const char *start;   /* permalink to begin with, or NULL */
    unsigned planes;     /* bits by enum sc_plane; 0: mean and abs */
    unsigned max_zoom;   /* levels below that which shows everything in one tile; UINT_MAX: all */
    uint64_t max_bytes;  /* of everything; 0: any */
    uint64_t pack_bytes; /* 0: SC_EXPORT_PACK */
    enum sc_picture_format pictures; /* of sc_export_pictures(); both have all colours exactly */
    struct sc_pool *pool;
    const _Atomic int *cancel;
    void (*note)(void *ctx, const char *sentence);
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* tiles; NULL: none */
    void *ctx;
};
struct sc_exported {
    uint64_t bytes, tiles, kept; /* kept: tiles that an earlier run had left */
    bool single;                 /* the page holds everything */
    bool cut;                    /* levels were left out */
};
/* Goes on where an earlier run for the same weights and options ended. SCRUPLE_EUSAGE: the folder
 * holds something else; SCRUPLE_EWRITE: what has been written stays, and the next run goes on. */
int sc_export(const struct sc_export_options *o, const struct sc_web_view *views, size_t n_views,
              struct sc_exported *out, struct sc_error *e);
/* Pictures of the tiles of one model, DIR/tiles/Z/X/Y.png or .avif, as `render` draws them, which
 * was made of `ro`: Z is 0 where everything is in one tile, X and Y count from the upper left
 * corner. Goes on where an earlier run for the same weights and looks ended, and takes the place of
 * others. *n: of them; *kept: that were there. */
int sc_export_pictures(const struct sc_export_options *o, const struct sc_render_options *ro,
                       struct sc_render *render, const struct sc_palette *palette, uint64_t *n,
                       uint64_t *kept, struct sc_error *e);
/* The same pictures in one file, as PMTiles: fd, which is empty and open for writing, is filled;
 * `path` is for messages. Takes title, max_zoom, pictures, pool, cancel and progress of *o. */
int sc_export_pmtiles(const struct sc_export_options *o, const struct sc_render_options *ro,
                      struct sc_render *render, const struct sc_palette *palette, int fd,
                      const char *path, struct sc_exported *out, struct sc_error *e);
/* Writes page, style and modules of an export anew, as this version has them; title: NULL as it is.
 * *single: the page holds everything. */
int sc_export_page(const char *dir, const char *title, bool *single, struct sc_error *e);

#endif

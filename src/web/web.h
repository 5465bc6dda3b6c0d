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

#include "picture/scales.h"
#include "picture/tiles.h"
#include "report/report.h"

/* One picture of a page. All functions may be called from any thread and at the same time. */
struct sc_view {
    const struct sc_view_kind *kind;
    void *ctx;
    const char *title; /* for people; from a file: any bytes */
};
struct sc_view_kind {
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
    /* What an export goes through: the plan. */
    const struct sc_scene *(*plan)(void *ctx);
};
/* The view of a model. Borrows everything. */
struct sc_model_view {
    const struct sc_scene *scene;
    struct sc_pyramids *pyramids;
    struct sc_scales *scales;
    const char *title; /* NULL: the model's label */
};
struct sc_view sc_view_of_model(struct sc_model_view *m);

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
    void *ctx;
};
/* Serves until *cancel. Reads no value before the page asks for one. SCRUPLE_EIO: the address
 * cannot be used; SCRUPLE_EUNSUPPORTED: the library of the server is not installed. */
int sc_web_serve(const struct sc_web_options *o, const struct sc_view *views, size_t n_views,
                 struct sc_error *e);

#endif

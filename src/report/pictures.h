/* SPDX-License-Identifier: Apache-2.0 */
/* pictures: sets of pictures, as files of a folder, as a page, or one of them alone.
 *
 * Owns: what every command with pictures of its own does with them: names of files, notes, the
 * frame of the page with its tables. A picture says its numbers when pointed at (svg: <title>), and
 * in words what it left out.
 *
 * Does not own: what is drawn (plots_activations.c, plots_super.c, plots_eval.c), nor where the
 * bytes go. Pure: the same figures give the same bytes.
 */
#ifndef SC_PICTURES_H
#define SC_PICTURES_H

#include "report/plots.h"

/* One kind of picture, of which there may be several: one a tensor, one a hook. */
struct sc_picture_kind {
    const char *id;    /* of files and of --plot: [a-z-] */
    const char *title; /* "Largest activations along the layers" */
    const char *what;  /* how to read it, in a sentence or two */
    const char *needs; /* why there may be nothing to show */
    /* How many there are; NULL: one. */
    size_t (*count)(const void *data);
    /* Which one of several it is, as text; NULL: there is only one. */
    void (*name)(const void *data, size_t item, struct sc_buf *out);
    /* Sets s->h. False: nothing to show. */
    bool (*draw)(const void *data, size_t item, struct sc_svg *s);
};
struct sc_picture_set {
    const char *command; /* "super": what the page is called */
    const struct sc_picture_kind *kinds;
    size_t n_kinds;
    const void *data;            /* of the kinds' functions */
    struct sc_str subject;       /* foreign text: the model */
    const char *verdict;         /* a sentence on top of the page; NULL: none */
    const char *document;        /* "docs/super.md": what explains it all */
    const struct sc_field *root; /* of the document: its scalars and tables are on the page */
};
/* NULL: no kind has this id. */
const struct sc_picture_kind *sc_picture_kind(const struct sc_picture_set *s, const char *id);
/* The first picture of a kind (NULL: of the first kind that has something to show) as SVG or, with
 * png, as PNG. SCRUPLE_EUSAGE: there is nothing to show, and why. */
int sc_pictures_put(struct sc_out *o, const struct sc_picture_set *s,
                    const struct sc_picture_kind *kind, bool png, struct sc_error *e);
/* All of them as DIR/ID.svg, or DIR/ID-NAME.svg where there are several; with SC_PLOT_PNG as PNG,
 * too. What has nothing to show is told to w->note. They appear when all are written, else none
 * does, and what stood there stays. */
int sc_pictures_write(const char *dir, const struct sc_picture_set *s, unsigned formats,
                      struct sc_plots_written *w, struct sc_error *e);
/* One file, no network. Needs libcrypto for the hashes of its policy. */
int sc_pictures_page(struct sc_out *o, const struct sc_picture_set *s, struct sc_error *e);

#endif

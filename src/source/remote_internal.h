/* SPDX-License-Identifier: Apache-2.0 */
/* What the remote_*.c files share, and nobody else needs: lists of spans, the extents of one file,
 * and the requests that fill them.
 *
 * One mutex guards a remote. It is held for bookkeeping and while a request is handed to the
 * engine, never while waiting, copying, or talking to the store. */
#ifndef SC_REMOTE_INTERNAL_H
#define SC_REMOTE_INTERNAL_H

#include <pthread.h>

#include "source/internal.h"
#include "source/remote.h"

/* ---------------------------------------------------------------------------------- spans ---
 * Sorted and disjoint after sc_remote_spans_sort(). */
struct sc_spans {
    struct sc_span *p;
    size_t n, cap;
};
/* Appends; empty ones are dropped. false: no memory. */
bool sc_remote_spans_add(struct sc_spans *l, uint64_t off, uint64_t len);
/* Sort, clip to `size`, and join those with less than `slack` bytes between them (touching and
 * overlapping ones always). */
void sc_remote_spans_sort(struct sc_spans *l, uint64_t size, uint64_t slack);
/* The first one that ends behind `off`; l->n: none. */
size_t sc_remote_spans_at(const struct sc_spans *l, uint64_t off);
/* Cut off the ends of *s that lie in none of l. false: nothing is left. */
bool sc_remote_spans_trim(const struct sc_spans *l, struct sc_span *s);
void sc_remote_spans_clear(struct sc_spans *l);

/* -------------------------------------------------------------------------------- extents --- */
enum extent_state {
    EXTENT_HELD,   /* waits for the answer that tells where the bytes are */
    EXTENT_MOVING, /* its request is the engine's */
    EXTENT_HERE,
    EXTENT_FAILED, /* `fetch` knows why; NULL: no memory */
};

/* A piece of the file that is here or wanted. Those in the list own their bytes; the part of a
 * large read is the same object with the reader's memory, and in no list. */
struct extent {
    uint64_t off, len;
    uint8_t *bytes;
    uint8_t state; /* enum extent_state */
    bool listed;
    bool fresh;     /* came over the wire and has not been offered to the store */
    bool touched;   /* somebody has read it */
    bool again;     /* the signed URL was refused once; not twice */
    bool abandoned; /* its reader has given up */
    unsigned refs;  /* the list, and everybody who uses it without the lock */
    uint64_t used;  /* when: r->clock */
    struct fetch *fetch;
    struct extent *next_held;
};

/* One request. It outlives its extent's interest: others may still want to know why it failed. */
struct fetch {
    struct sc_http_request q;
    struct sc_remote *r;
    struct extent *x;
    bool direct;  /* goes to the signed URL */
    bool changed; /* the answer is about other bytes than those before */
    bool cleared;
    char *url; /* direct: a copy */
    char body_etag[136];
    unsigned refs;
    struct fetch *next_retired;
};

enum route {
    ROUTE_UNKNOWN, /* nothing was answered yet */
    ROUTE_PLAIN,   /* every request goes to the first URL */
    ROUTE_SIGNED,  /* that URL tells another one that can be used for a while */
};

struct sc_remote {
    struct sc_http *http;
    char *url, *name;
    bool with_token;
    uint64_t first;
    struct sc_store store;
    int (*explain)(void *ctx, const struct sc_http_reply *r, const char *name, struct sc_error *e);
    void *explain_ctx;
    uint64_t size; /* never changes after open */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* an extent has come or failed */
    size_t sources;
    bool closing;
    bool asked;     /* a request was made, or the store had something */
    bool no_ranges; /* the server sends the whole file whatever it is asked for */

    struct extent **extents; /* sorted, disjoint */
    size_t n_extents, extents_cap;
    size_t n_fresh;
    uint64_t cost; /* bytes of all listed extents, bookkeeping included */
    uint64_t clock;
    struct sc_spans announced; /* what prefetch was told */

    uint8_t route; /* enum route */
    char *direct_url;
    uint64_t direct_expires;
    char direct_etag[136]; /* of the answers from there */
    struct fetch *leader;  /* asks for the route; others are held meanwhile */
    struct extent *held, **held_end;
    struct fetch *retired; /* done with; freed by the next caller, for the engine cannot */

    bool pinned;
    char etag[136], commit[72]; /* of the first answer, or as the caller said */
    bool etag_is_body;          /* the first URL did not tell it, only where it led to */
    struct sc_remote_facts facts;
};

/* All of these want the lock held. */
/* The extent that holds `off`, or NULL; *gap is then where the next one begins (UINT64_MAX: there
 * is none). */
struct extent *sc_remote_find(const struct sc_remote *r, uint64_t off, uint64_t *gap);
/* The first one that ends behind `off` and has not been offered to the store; NULL: none. */
struct extent *sc_remote_next_fresh(const struct sc_remote *r, uint64_t off);
/* A new listed one; it must not overlap others. NULL: no memory. */
struct extent *sc_remote_add_extent(struct sc_remote *r, uint64_t off, uint64_t len);
/* The list lets go of it. */
void sc_remote_drop_extent(struct sc_remote *r, struct extent *x);
void sc_remote_unref(struct sc_remote *r, struct extent *x);
/* Drop what was used least recently until `more` bytes fit in; with `read_only`, only what was
 * read. false: they do not fit. */
bool sc_remote_make_room(struct sc_remote *r, uint64_t more, bool read_only);
/* Drop everything that is not on its way. */
void sc_remote_drop_all(struct sc_remote *r);

/* ------------------------------------------------------------------------------- requests --- */
/* With the lock held: ask for all of x. Its state tells what came of it. */
void sc_remote_start(struct sc_remote *r, struct extent *x);
/* With the lock held (it is released meanwhile): until x is here or has failed. */
void sc_remote_wait(struct sc_remote *r, struct extent *x);
/* With the lock held (it is released meanwhile): nobody wants x any more. */
void sc_remote_stop(struct sc_remote *r, struct extent *x);
/* With the lock held (it is released meanwhile): say why x failed. */
int sc_remote_fail(struct sc_remote *r, struct extent *x, struct sc_error *e);
void sc_remote_unref_fetch(struct sc_remote *r, struct fetch *f);
/* Without the lock, and not on the engine's thread. */
void sc_remote_reap(struct sc_remote *r);

#endif

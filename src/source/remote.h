/* SPDX-License-Identifier: Apache-2.0 */
/* remote: one file behind a URL, as a source.
 *
 * Owns: which of its bytes are here, are on their way, or are kept by a store; merging neighbours
 * into one request; reading ahead in growing steps; the signed URL that redirects led to, used
 * again until it expires.
 *
 * Does not own: connections (http.h), what is kept on disk (a store, given by the hub layer).
 *
 * How bytes are fetched:
 *   - A read looks at what is here, then asks the store, then the network.
 *   - Gaps between wanted spans below SC_REMOTE_MERGE are fetched along, in one request.
 *   - A read that follows the last one of its source (4 KiB may lie between) fetches ahead: twice
 *     the last step, at least SC_REMOTE_MERGE, up to 4 MiB, and never beyond the span that prefetch
 *     announced it in.
 *   - A read of more than 1 MiB (more than struct sc_reader asks for) goes straight to its
 *     destination, in parts of 8 MiB, 4 at once, and is kept neither in memory nor in the store.
 *   - At most 64 MiB of a file are kept in memory; what was used least recently goes first, and
 *     prefetch never pushes out what nobody has read yet (what does not fit is fetched when read).
 *   - A file of at most SC_REMOTE_WHOLE bytes, or a span that covers the file, is asked for whole,
 *     without a Range header.
 *   - The first answer says what the object is (size, etag, commit); one that differs later fails
 *     with "was changed while being read". A 403 from another host than that of the URL means that
 *     the signature ended: the URL is asked again, once a request.
 *
 * One resolve a file: until the first URL has told where the bytes are, only one request is on its
 * way; the others follow as soon as it is answered, to the signed URL without asking again.
 *
 * Threads: all functions may be called from many threads, but closing.
 */
#ifndef SC_REMOTE_H
#define SC_REMOTE_H

#include "source/http.h"

#define SC_REMOTE_MERGE ((uint64_t)64 << 10)
#define SC_REMOTE_WHOLE ((uint64_t)256 << 10)

/* Where bytes are kept between runs. Called from any thread that reads, prefetches, forgets or
 * closes, never from the engine's. */
struct sc_store {
    void *ctx;
    /* Copies what is kept from `off` on, without a gap; how many bytes that were (0: none). */
    size_t (*load)(void *ctx, uint64_t off, void *dst, size_t len);
    /* Optional: NULL where nothing new may be kept. */
    void (*save)(void *ctx, uint64_t off, const void *src, size_t len);
    /* Optional: the first gap at or after `from`, before `to`; false: none. Without it only the
     * beginning of a span is found in the store, and prefetch has to load that to see it. */
    bool (*gap)(void *ctx, uint64_t from, uint64_t to, uint64_t *off, uint64_t *len);
};

struct sc_remote;
struct sc_remote_options {
    const char *url;  /* asked first; redirects lead to the bytes */
    const char *name; /* in messages: "org/name/model.safetensors" */
    bool with_token;
    uint64_t size;         /* UINT64_MAX: not known; the first answer tells */
    const char *etag;      /* expected; NULL: that of the first answer */
    const char *commit;    /* expected X-Repo-Commit; NULL: any */
    uint64_t first;        /* bytes of the first request where the reader wants fewer; 0: 128 KiB */
    struct sc_store store; /* load == NULL: none */
    /* An answer that is no success becomes words; NULL: sc_http_fail_status(). */
    int (*explain)(void *ctx, const struct sc_http_reply *r, const char *name, struct sc_error *e);
    void *explain_ctx;
};
/* The strings are copied. With a known size nothing is asked yet; else the first `first` bytes are
 * fetched (and kept). The engine must outlive the object. */
int sc_remote_open(struct sc_http *h, const struct sc_remote_options *o, struct sc_remote **out,
                   struct sc_error *e);
/* A handle that reads it, with the remote's name and size; any number. Counts nothing. */
int sc_remote_source(struct sc_remote *r, struct sc_source **out, struct sc_error *e);
/* Start to fetch; returns at once. As sc_source_prefetch(), for when no source is open yet. */
void sc_remote_prefetch(struct sc_remote *r, const struct sc_span *spans, size_t n);
/* Forget bytes in memory that are not on their way (they may still be in the store). */
void sc_remote_forget(struct sc_remote *r);
/* What the first answer said; `etag` is empty and size UINT64_MAX before it came. */
struct sc_remote_facts {
    uint64_t size;
    char etag[136], commit[72];
};
void sc_remote_facts(struct sc_remote *r, struct sc_remote_facts *out);
/* Close all sources first. Waits for or stops what is on its way. NULL is allowed. */
void sc_remote_close(struct sc_remote *r);

#endif

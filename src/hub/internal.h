/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this directory share, and nobody else needs. */
#ifndef SC_HUB_INTERNAL_H
#define SC_HUB_INTERNAL_H

#include "hub/hub.h"

/* Lower-case hex digits, `n` of them, and nothing else. */
bool sc_hub_is_hex(const char *s, size_t n);
/* Can this be an id ("org/name", "gpt2"), a revision as git allows it? */
bool sc_hub_is_id(struct sc_str s);
bool sc_hub_is_revision(struct sc_str s);
/* "%2F" and the like to bytes; false: a NUL byte would come out. What is no escape stays. */
bool sc_hub_decode(struct sc_buf *b, struct sc_str s);
/* Appends s with everything but unreserved characters escaped; slashes stay if `slashes`. */
void sc_hub_encode(struct sc_buf *b, struct sc_str s, bool slashes);
/* "org/name", "datasets/org/name": the id in front of which models have nothing. */
void sc_hub_put_id(struct sc_buf *b, uint8_t type, const char *id);
/* "https://host/api/models/org/name" */
void sc_hub_api_url(struct sc_buf *b, const struct sc_hub *h, uint8_t type, const char *id);
/* `~` and `$VAR` as the Hugging Face tools expand them; NULL: no memory. */
char *sc_hub_expand(const char *text);

/* ---- listings: lookup by path (in natural order), and that order. */
struct sc_hub_file *sc_hub_listing_find(const struct sc_hub_listing *l, const char *path);
void sc_hub_listing_sort(struct sc_hub_listing *l);
/* One that is kept and needs no question. */
bool sc_hub_list_fresh(struct sc_hub *h, const struct sc_name *name, struct sc_hub_listing *out);

/* ---- answers of the API, from memory. SCRUPLE_EFORMAT without a message: not what a Hub says.
 * *strange counts files that were left out, for their paths are not sound. */
int sc_hub_read_repo(const char *p, size_t n, bool with_files, struct sc_hub_listing *out,
                     bool *disabled, size_t *strange, struct sc_error *e);
int sc_hub_read_tree(const char *p, size_t n, struct sc_hub_listing *out, size_t *strange,
                     struct sc_error *e);
/* Of the names of branches, tags and pull requests those that are nearest to `wanted`, or a few
 * when none is near; false: there are none. */
bool sc_hub_read_refs(const char *p, size_t n, const char *wanted, struct sc_buf *out);

/* ---- what a name means among the files of a repository, of select.c. */
struct sc_hub_choice {
    char *prefix;   /* the root: "sub/" or "" */
    char *selected; /* the file that was named, below the root; NULL: none was */
};
/* The folder, file or quantisation that `name` asks for; nothing: all. On success the caller frees
 * both; on failure, with the nearest names in the message, there is nothing to free. */
int sc_hub_select(struct sc_hub *h, const struct sc_hub_listing *l, const struct sc_name *name,
                  struct sc_hub_choice *c, struct sc_error *e);

/* A JSON answer of the Hub; an answer that is no success fails, too. */
int sc_hub_get(struct sc_hub *h, const char *url, struct sc_buf *body, struct sc_error *e);

/* ---- repositories, of repo.c. Both take over the session, on failure too. `name` gives what it
 * owns to the repository. */
int sc_repo_open_hub(struct sc_hub *h, struct sc_name *name, struct sc_repo **out,
                     struct sc_error *e);
int sc_repo_open_url(struct sc_hub *h, const char *url, struct sc_repo **out, struct sc_error *e);
/* Bytes and requests that went over the wire, handed on to whoever counts them for the repository.
 */
struct sc_hub_wire {
    struct sc_io io; /* of the engine */
    uint64_t bytes, requests;
};
void sc_hub_wire_tell(struct sc_hub_wire *w, struct sc_repo *r);

/* ---- sentences */
int sc_hub_say_disabled(struct sc_hub *h, const struct sc_name *name, struct sc_error *e);
/* Appends the few of `names` that are nearest to `wanted`, quoted; false: none is near. */
bool sc_hub_nearest(const char *const *names, size_t n, const char *wanted, struct sc_buf *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* hub: models that are somewhere else.
 *
 * Owns: what a MODEL's name means (path, Hub id, URL), the settings of the Hugging Face tools
 * (environment, token), the Hub's API, the shared cache of those tools in both directions, our own
 * cache of ranges and listings, downloads, and `sc_repo_open()`, which turns any name into a
 * repository.
 *
 * Does not own: connections and bytes (source), what is in a file (format).
 *
 *   name.c       text -> sc_name                 api.c        what the Hub says of a repository
 *   env.c        settings                        words.c      its refusals as sentences
 *   hub.c        a session with one Hub          listing.c    what it said, kept for an hour
 *   repo.c       any MODEL as a repository       repo_hub.c   files of the Hub
 *   repo_url.c   a file behind another URL
 *   hf_cache.c   the shared cache                ranges.c     parts of files that were fetched
 *   store.c      atomic files, locks, folders    sha.c        SHA-256, git's SHA-1
 *   fetch.c      downloads                       housekeeping.c  cache ls, verify, rm
 */
#ifndef SC_HUB_H
#define SC_HUB_H

#include "source/http.h"
#include "source/source.h"

/* --------------------------------------------------------------------------------- names --- */
enum sc_repo_type { SC_REPO_MODEL, SC_REPO_DATASET, SC_REPO_SPACE };
/* "models", "datasets", "spaces" */
extern const char *const sc_repo_type_plural[3];

enum sc_name_kind {
    SC_NAME_PATH, /* not a name of the Hub's: a path, there or not, or "-" */
    SC_NAME_HUB,
    SC_NAME_URL, /* another http(s) URL: one file */
};
struct sc_name {
    uint8_t kind;   /* enum sc_name_kind */
    uint8_t type;   /* enum sc_repo_type */
    char *id;       /* "org/name", or "gpt2" */
    char *revision; /* NULL: the default branch */
    char *path;     /* file or folder inside; NULL: all of it. SC_NAME_PATH: the path itself */
    char *quant;    /* "Q4_K_M" of "org/name:Q4_K_M"; NULL: none */
    char *url;      /* SC_NAME_URL */
};
/* All forms of the design's section 4, by text alone (whether a path exists is the caller's
 * question, asked first). `endpoint` is the Hub's base URL, whose host counts as the Hub, too.
 * SCRUPLE_EUSAGE with a sentence for what looks like a Hub name and is wrong: "hf://model/a/b"
 * (singular), ".../a/b/commits/main" (not a page of files), "ms://..." (not supported).
 * A name that ends like a weight file (".safetensors", ".gguf" ...), begins with "/", "./", "../"
 * or "~", or cannot be an id (letters, digits, "-", "_", "."; one "/" at most; no "--" or "..";
 * not starting or ending with "-" or "."; at most 96 bytes) is a path. */
int sc_name_parse(const char *text, const char *endpoint, struct sc_name *out, struct sc_error *e);
void sc_name_clear(struct sc_name *n);
/* 40 lower-case hex digits. */
bool sc_is_commit(struct sc_str s);

/* ------------------------------------------------------------------------------ settings --- */
/* What the caller decides. Everything may be zero. */
struct sc_hub_options {
    const char *revision; /* --revision; wins over the name's */
    const char *token;    /* --token; wins over environment and file */
    bool offline;         /* --offline */
    const _Atomic int *cancel;
    void (*note)(void *ctx, const char *sentence); /* may come from another thread */
    void *note_ctx;
};
/* The environment of eco.md 1.1, read once. All strings are owned. */
struct sc_hub_env {
    char *endpoint; /* "https://huggingface.co", no "/" at the end */
    char *hf_home;  /* $HF_HOME ... */
    char *hf_cache; /* $HF_HUB_CACHE ...: shared, written */
    char **tiers;   /* $SCRUPLE_CACHE_PATH: more shared caches, read only */
    size_t n_tiers;
    char *cache;        /* $SCRUPLE_CACHE ...: ours. NULL: there is no home to put it in */
    char *token;        /* NULL: none */
    char *token_source; /* "--token", "HF_TOKEN", or the path of the file; NULL: no token */
    char *token_hint;   /* a sentence where one was meant and is not usable (OIDC ...); or NULL */
    char *user_agent;
    char *ca_bundle;     /* NULL: the library's */
    const char *offline; /* "--offline", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"; NULL: online */
    bool no_symlinks, trace;
    bool endpoint_is_default;
    unsigned etag_timeout_ms, download_timeout_ms; /* 0: not set, the engine knows best */
    int progress_bars; /* HF_HUB_DISABLE_PROGRESS_BARS: 1 forced off, -1 forced on, 0 unset */
};
/* Never fails for a strange value (a note says that it is ignored), but for one that would send a
 * secret astray: a token with control characters or an endpoint that is no URL (SCRUPLE_EUSAGE). */
int sc_hub_env_read(struct sc_hub_env *env, const struct sc_hub_options *o, struct sc_error *e);
void sc_hub_env_clear(struct sc_hub_env *env);
extern const struct sc_hub_variable {
    const char *name, *meaning;
    bool secret;      /* never shown */
} sc_hub_variables[]; /* ends with name == NULL */

/* --------------------------------------------------------------------------------- listing --- */
struct sc_hub_file {
    const char *path; /* sound: sc_path_is_inside() */
    uint64_t bytes;
    const char *etag; /* 64 hex (SHA-256, large files), 40 hex (git's SHA-1); "": not known */
};
/* What the Hub says of a repository at one commit. */
struct sc_hub_listing {
    uint8_t type;
    char *id;       /* as the Hub spells it (a renamed one has its new name) */
    char *revision; /* that was asked for: "main", "refs/pr/1", a commit */
    char commit[41];
    struct sc_hub_file *files; /* in natural order */
    size_t n_files, files_cap;
    bool gated, is_private;
    uint64_t checked; /* unix time when the Hub last said that the revision is this commit */
    bool stale;       /* older than an hour and could not be asked; the user was told */
    struct sc_arena arena;
};
void sc_hub_listing_clear(struct sc_hub_listing *l);

/* A session with one Hub. */
struct sc_hub {
    struct sc_hub_env env;
    struct sc_hub_options options;
    struct sc_http *http; /* started when the first request needs it: sc_hub_http() */
    struct sc_io *io;     /* optional */
};
int sc_hub_open(const struct sc_hub_options *o, struct sc_io *io, struct sc_hub **out,
                struct sc_error *e);
void sc_hub_close(struct sc_hub *h);
/* SCRUPLE_ENETWORK "... offline because of HF_HUB_OFFLINE" when there may be no network. */
int sc_hub_http(struct sc_hub *h, struct sc_http **out, struct sc_error *e);
void sc_hub_note(struct sc_hub *h, const char *fmt, ...) SC_PRINTF(2, 3);

/* Listing by the rule of one hour: kept and fresh -> kept; kept and the commit is still the same
 * (one request) -> kept; else asked. Offline or when the network fails: the kept one, or what the
 * shared cache holds of it, with `stale` set; or an error that says what was tried. */
int sc_hub_list(struct sc_hub *h, const struct sc_name *name, struct sc_hub_listing *out,
                struct sc_error *e);
/* "https://host/org/name", where people read about it. */
void sc_hub_page(struct sc_buf *b, const struct sc_hub *h, const struct sc_hub_listing *l);
/* "https://host/org/name/resolve/COMMIT/PATH", percent-encoded. */
void sc_hub_file_url(struct sc_buf *b, const struct sc_hub *h, const struct sc_hub_listing *l,
                     const char *path);
/* An answer that is no success, in one sentence that says what to do (words.c). `file` is NULL for
 * questions about the repository. May ask the Hub for its revisions to name the nearest. */
int sc_hub_explain(struct sc_hub *h, const struct sc_http_reply *r, const char *body,
                   const struct sc_name *name, const char *file, struct sc_error *e);

/* ------------------------------------------------------------------------------ repository --- */
/* Any MODEL: an existing path, "-", a name on the Hub, a URL. For what is neither here nor can be
 * a name: SCRUPLE_ENOTFOUND. */
int sc_repo_open(const char *model, const struct sc_hub_options *o, struct sc_repo **out,
                 struct sc_error *e);
/* The listing and session behind a repository of the Hub; NULL for others. Borrowed. */
const struct sc_hub_listing *sc_repo_listing(const struct sc_repo *r);
struct sc_hub *sc_repo_hub(const struct sc_repo *r);
/* The file of the listing behind a path of the repository (they differ when the name says a folder:
 * that is the root then); NULL: none. sc_repo_open_file() takes the paths of the listing, too. */
const struct sc_hub_file *sc_repo_hub_file(const struct sc_repo *r, const char *path);
/* Appends what names the content of a file, wherever its bytes come from; false: the Hub did not
 * say. The identity of its source is the same. */
bool sc_hub_identity(const struct sc_hub_file *f, struct sc_buf *out);

/* ----------------------------------------------------------------------------------- fetch --- */
enum sc_fetch_state {
    SC_FETCH_HAVE,    /* whole and in its place before we came */
    SC_FETCH_PARTLY,  /* some of it is here */
    SC_FETCH_MISSING, /* nothing is here */
    SC_FETCH_DONE,    /* fetched and verified by us */
};
/* One file to fetch, and how it stands. */
struct sc_fetch_item {
    const struct sc_hub_file *file; /* of the listing */
    struct sc_span *spans;          /* only these (sorted, disjoint); NULL: the whole file */
    size_t n_spans;
    uint64_t want; /* bytes in all */
    uint64_t here; /* of them here before */
    uint8_t state; /* enum sc_fetch_state */
};
struct sc_fetch_progress {
    uint64_t done, total; /* bytes; done includes what was here before */
    uint64_t fetched;     /* bytes that came over the wire now */
    size_t files_done, files;
    const char *file; /* that moves now, or NULL */
};
struct sc_fetch_options {
    const char *local_dir; /* NULL: into the shared cache */
    unsigned parallel;     /* files at once; 0: 4 */
    void (*progress)(void *ctx, const struct sc_fetch_progress *p); /* at most 10 times a second */
    void *progress_ctx;
};
/* Fills here and state of all items by looking at the caches only (for --dry-run). */
int sc_fetch_look(struct sc_repo *r, const struct sc_fetch_options *o, struct sc_fetch_item *items,
                  size_t n, struct sc_error *e);
/* Fetch what is missing. A whole file is verified (size, SHA-256 or git's SHA-1) and takes its
 * place in the shared cache, or in local_dir; what was interrupted goes on later from what is on
 * disk. Spans go to our cache of ranges. Stops at the first failure; everything received is kept.
 */
int sc_fetch(struct sc_repo *r, const struct sc_fetch_options *o, struct sc_fetch_item *items,
             size_t n, struct sc_error *e);

/* The folder where these files are, once they are fetched: in the shared cache, or in one that is
 * only read and has them all. */
bool sc_fetch_folder(const struct sc_repo *r, const struct sc_fetch_item *items, size_t n,
                     struct sc_buf *path);

/* ---------------------------------------------------------------------------- housekeeping --- */
/* What is in the caches. */
enum sc_kept_kind {
    SC_KEPT_REPO,
    SC_KEPT_RANGES,
    SC_KEPT_LISTING,
    SC_KEPT_RESULTS, /* of others: figures of scans. Not seen from here */
    SC_KEPT_PYRAMIDS /* likewise: statistics for pictures */
};
struct sc_kept {
    uint8_t kind;     /* enum sc_kept_kind */
    uint8_t type;     /* enum sc_repo_type, where it is known */
    const char *id;   /* "org/name"; ranges: the first name it was fetched under, or the key */
    const char *key;  /* ranges and listings: file name; repositories: folder name */
    const char *refs; /* repositories: "main, refs/pr/1" */
    size_t revisions, files; /* snapshots; blobs */
    uint64_t bytes;          /* on disk (allocated, each blob once) */
    uint64_t total;          /* ranges: size of the object */
    uint64_t used;           /* unix time of the last use that shows */
    size_t tier;             /* 0: the cache itself, else 1 + the number of the tier */
    bool writable;           /* false: in a read-only tier */
};
struct sc_kept_list {
    struct sc_kept *items;
    size_t n, cap;
    uint64_t bytes;
    struct sc_arena arena;
};
int sc_kept_look(const struct sc_hub_env *env, struct sc_kept_list *out, struct sc_error *e);
void sc_kept_clear(struct sc_kept_list *l);
/* Is it meant by "org/name", "datasets/org/name", or the first 6 or more characters of a key? The
 * listings and parts of files of a repository are meant by its id, too. */
bool sc_kept_matches(const struct sc_kept *k, const char *id);
/* How many bytes at the start of a part's id are the repository's. */
size_t sc_kept_repo_length(const char *id);
/* One thing that is wrong in a cache. */
struct sc_kept_problem {
    const char *id;   /* "cache.corrupt-blob", "cache.broken-link", "cache.broken-ref",
                         "cache.corrupt-range", "cache.corrupt-listing", "cache.leftover" */
    const char *path; /* where */
    const char *what; /* one sentence */
    uint8_t severity; /* 1 warning, 2 error */
    bool repaired;    /* it is gone now */
};
/* Hashes every blob, checks every link, every range and listing. Calls `tell` for each problem and
 * `progress` (may be NULL) while hashing. `repair` removes what is broken, so that it is fetched
 * again. `id` NULL: everything. Returns how many problems, or a negative code (interrupted). */
int sc_kept_verify(const struct sc_hub_env *env, const char *id, bool repair,
                   const _Atomic int *cancel,
                   void (*tell)(void *ctx, const struct sc_kept_problem *p),
                   void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx,
                   struct sc_error *e);
/* Removes one (never anything outside the caches, never a read-only tier's). */
int sc_kept_remove(const struct sc_hub_env *env, const struct sc_kept *k, struct sc_error *e);

#endif

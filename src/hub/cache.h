/* SPDX-License-Identifier: Apache-2.0 */
/* cache: files that outlive us. Private to hub.
 *
 * What is here never makes a run fail: a cache that is missing, read-only, full, damaged or in use
 * costs only time. Functions that write return false when nothing was kept. Names that come from
 * elsewhere (etags, ids, paths) are checked by pattern before they touch a path; what does not fit
 * is not cached. Correctness never depends on a lock: unique temporary names, then rename.
 *
 * Ours, below env->cache:
 *     listings/<sha256 of "endpoint type id revision">.json   see listing.c
 *     ranges/<key>.map               log of what is kept, small parts included: see ranges.c
 *     ranges/<key>.data              sparse; large parts at their place in the file
 *     locks/<name>                   flock(2), advisory
 *     CACHEDIR.TAG
 * Temporary files end in ".tmp"; those older than a day are removed in passing. */
#ifndef SC_HUB_CACHE_H
#define SC_HUB_CACHE_H

#include <sys/stat.h>

#include "hub/hub.h"

/* ---------------------------------------------------------------------------- store.c --- */
/* The top folder of a cache, with its CACHEDIR.TAG. */
bool sc_make_cache(const char *root);
/* Creates path and its parents (0777 less umask). */
bool sc_make_folders(const char *path);
/* Whole file at once under a temporary name in the same folder, fsync, rename. Creates folders. */
bool sc_write_file(const char *path, const void *p, size_t n, unsigned mode);
/* The same with the temporary file elsewhere on the same file system: STEM.<8 hex>.tmp. */
bool sc_write_file_via(const char *stem, const char *path, const void *p, size_t n, unsigned mode);
/* A new file STEM.<8 hex>SUFFIX, open for reading and writing, whose name is left in *path. */
int sc_open_temporary(struct sc_buf *path, const char *stem, const char *suffix, unsigned mode);
bool sc_write_all(int fd, const void *p, size_t n);                /* false: errno says why */
bool sc_write_at(int fd, const void *src, size_t n, uint64_t off); /* likewise */
bool sc_read_at(int fd, void *dst, size_t n, uint64_t off);        /* all of it, or false */
bool sc_sync(int fd);
void sc_sync_folder_of(const char *path); /* after a rename() to path */
/* What has grown at *place gets its name, which must be free, or of a folder that of an empty one;
 * then *place is empty. False: errno says why, and it is where it was. */
bool sc_put_in_place(struct sc_buf *place, const char *path, bool folder);
uint32_t sc_unique(void); /* for temporary names: another number every time */
/* A small file whole, NUL-terminated; NULL: not there, too long, no memory. Caller frees. */
char *sc_read_file(const char *path, size_t max, size_t *n);
/* flock on path (created 0664 with its folders). Waits at most wait_ms, and not when cancelled.
 * Returns a descriptor to close, or -1: go on without (no locks there, read-only, time is up). */
int sc_lock_file(const char *path, unsigned wait_ms, const _Atomic int *cancel);
/* Removes "*.<8 hex>.tmp" and "*.<8 hex>.incomplete" older than a day in a folder (not below). */
void sc_sweep(const char *folder);
/* A new folder STEM.<8 hex>.tmp, whose name is left in *path, and which is locked while the
 * descriptor that is returned stays open. Folders of such names that nobody has locked were left
 * behind by runs that ended by force: they are removed. -1: errno says why. */
int sc_make_work_folder(struct sc_buf *path, const char *stem);
bool sc_is_old(const struct stat *st); /* not touched for a day */
/* Calls visit(ctx, path from the folder, open folder, name in it, lstat) for all below a folder
 * that is no folder itself, until one returns non-zero, which is returned; links are not followed.
 * At most SC_MAX_FOLDER_FILES entries. SCRUPLE_EMEMORY; a folder that cannot be read is empty. */
typedef int sc_visit(void *ctx, const char *path, int dir, const char *name, const struct stat *st);
int sc_walk(const char *folder, sc_visit *visit, void *ctx);
/* A file, or a folder with all that is in it. Links are removed, never followed. */
bool sc_remove_tree(const char *path);

/* ------------------------------------------------------------------------------ sha.c --- */
enum sc_sha_kind { SC_SHA256, SC_SHA_GIT_BLOB /* SHA-1 of "blob N\0" and the content */ };
struct sc_sha;
/* libcrypto is loaded when this is first called. */
int sc_sha_new(enum sc_sha_kind kind, uint64_t size, struct sc_sha **out, struct sc_error *e);
void sc_sha_add(struct sc_sha *s, const void *p, size_t n);
/* Lower-case hex, NUL-terminated; ends and frees s. */
void sc_sha_end(struct sc_sha *s, char hex[65]);
void sc_sha_free(struct sc_sha *s); /* without a result; NULL is allowed */
/* The hex digest of bytes in memory. */
int sc_sha_of(enum sc_sha_kind kind, const void *p, size_t n, char hex[65], struct sc_error *e);
/* The kind by the etag's form: true for 64 (SHA-256) or 40 (git) lower-case hex digits. */
bool sc_sha_kind_of(const char *etag, enum sc_sha_kind *kind);

/* -------------------------------------------------------------------------- saver.c ---
 * Writes to a cache beside everything else, in the order in which they are given. */
struct sc_saver;
/* NULL: no memory, no thread; all below accept NULL and then save at once. */
struct sc_saver *sc_saver_new(void);
/* Copies the bytes; save(ctx, off, bytes, n) is called on the saver's thread (on the caller's when
 * too much waits already). ctx must stay until the next flush. */
void sc_saver_put(struct sc_saver *s,
                  void (*save)(void *ctx, uint64_t off, const void *p, size_t n), void *ctx,
                  uint64_t off, const void *p, size_t n);
void sc_saver_flush(struct sc_saver *s); /* waits until everything is saved */
void sc_saver_stop(struct sc_saver *s);  /* and ends it */

/* --------------------------------------------------------------------------- ranges.c ---
 * Parts of one object, found by what it is (its etag), never by name or age. */
struct sc_ranges;
/* `etag` 40 or 64 hex digits, or any other text (hashed into a key together with `size`). NULL:
 * nothing is kept (no cache, no space, read-only); everything below accepts NULL. With create
 * false, NULL also when there is nothing yet. */
struct sc_ranges *sc_ranges_open(const struct sc_hub_env *env, const char *etag, uint64_t size,
                                 bool create);
void sc_ranges_close(struct sc_ranges *r);
/* What people call it: "org/name/model.safetensors". The first name given is kept in its log. */
void sc_ranges_name(struct sc_ranges *r, const char *name);
const char *sc_ranges_name_of(const struct sc_ranges *r); /* NULL: none was given */
/* As struct sc_store wants them; ctx is the struct sc_ranges. Thread-safe. A record whose checksum
 * does not fit its bytes counts as absent. */
size_t sc_ranges_load(void *ctx, uint64_t off, void *dst, size_t len);
void sc_ranges_save(void *ctx, uint64_t off, const void *src, size_t len);
/* Bytes of off..off+len that are kept. */
uint64_t sc_ranges_have(struct sc_ranges *r, uint64_t off, uint64_t len);
/* The first gap at or after `from`, before `to`; false: none. */
bool sc_ranges_gap(struct sc_ranges *r, uint64_t from, uint64_t to, uint64_t *off, uint64_t *len);
/* Sees what other processes have added since. */
void sc_ranges_refresh(struct sc_ranges *r);
/* For downloads: writing without a record until sc_ranges_record() says that the bytes are there
 * (call it every 1 MiB or so, then at most that much is fetched again after kill -9). */
bool sc_ranges_write(struct sc_ranges *r, uint64_t off, const void *src, size_t len);
bool sc_ranges_record(struct sc_ranges *r, uint64_t off, uint64_t len, uint32_t crc);
/* From here on all that is kept is in `data`, which exists, and what others put elsewhere does not
 * count: for a download, which moves `data` away when it is complete. */
bool sc_ranges_gather(struct sc_ranges *r);
/* Descriptor of `data`, for hashing what is there; owned by r. */
int sc_ranges_fd(struct sc_ranges *r);
const char *sc_ranges_path(const struct sc_ranges *r); /* without ".map" or ".data" at its end */
/* errno of the last failed write; 0: none. ENOSPC stops a download. */
int sc_ranges_error(const struct sc_ranges *r);
/* Others have written into it since we wrote or read it. */
bool sc_ranges_touched(struct sc_ranges *r);
/* Somebody else has removed it, or moved it into the shared cache: nothing is kept here any more,
 * and what stands under its name is another one. */
bool sc_ranges_gone(struct sc_ranges *r);
/* Remove it from disk (after a mismatch, or once promoted). */
void sc_ranges_remove(struct sc_ranges *r);
/* The same for files that may be damaged, by their path without its end; true when nothing is
 * there any more. */
bool sc_ranges_erase(const char *stem);
/* For housekeeping: what is kept there, only to be read. NULL: nothing of ours that is sound. */
struct sc_ranges *sc_ranges_open_stem(const char *stem);
uint64_t sc_ranges_size(const struct sc_ranges *r); /* of the whole object */
/* Reads everything that is kept and forgets (in memory) what does not fit its checksum. Returns how
 * many bytes that were; *junk: bytes of the log that are no records. `more` (may be NULL) is called
 * with what was read, and stops the check by returning false. */
uint64_t sc_ranges_check(struct sc_ranges *r, uint64_t *junk, bool (*more)(void *ctx, uint64_t n),
                         void *ctx);
/* Writes a new log with what is left after sc_ranges_check(). */
bool sc_ranges_rewrite(struct sc_ranges *r);

/* ------------------------------------------------------------------------- hf_cache.c ---
 * The shared cache of the Hugging Face tools (eco.md 1.2). `root` is env->hf_cache or a tier. */
/* "models--org--name"; appended with the root in front. false: the id is not sound. */
bool sc_hf_folder(struct sc_buf *b, const char *root, uint8_t type, const char *id);
/* refs/<revision>, in the cache and then the tiers. */
bool sc_hf_ref(const struct sc_hub_env *env, uint8_t type, const char *id, const char *revision,
               char commit[41]);
enum sc_hf_found { SC_HF_MISS, SC_HF_HIT, SC_HF_ABSENT /* .no_exist: known not to exist */ };
/* On a hit *path (NUL-terminated) is a regular file that exists. */
enum sc_hf_found sc_hf_find(const struct sc_hub_env *env, uint8_t type, const char *id,
                            const char *commit, const char *file, struct sc_buf *path);
/* The same of one of them: 0 is the cache, the tiers follow. */
bool sc_hf_find_at(const struct sc_hub_env *env, size_t root, const struct sc_hub_listing *l,
                   const char *file, struct sc_buf *path);
/* blobs/<etag> of this repository, whatever snapshot points to it. */
bool sc_hf_blob(const struct sc_hub_env *env, uint8_t type, const char *id, const char *etag,
                struct sc_buf *path);
/* All files below snapshots/<commit>, of all tiers: calls add(ctx, path, bytes, etag or ""). */
int sc_hf_snapshot(const struct sc_hub_env *env, uint8_t type, const char *id, const char *commit,
                   int (*add)(void *ctx, const char *path, uint64_t bytes, const char *etag),
                   void *ctx);
/* Put verified content in place: blobs/<etag> from the file at `data` (renamed when it can be,
 * else copied; removed in any case of success), then the link in snapshots, then refs. Bit for bit
 * what the official client writes: modes from the umask, relative links, atomic names. NULL data:
 * the blob is there, only link it. */
bool sc_hf_install(const struct sc_hub_env *env, const struct sc_hub_listing *l, const char *file,
                   const char *etag, const char *data);
/* The same from a file that stays: of a cache that is only read. */
bool sc_hf_install_copy(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                        const char *file, const char *etag, const char *from);
/* The same for content in memory (small files), verified here against the etag. */
bool sc_hf_install_bytes(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                         const char *file, const char *etag, const void *p, size_t n);
bool sc_hf_write_ref(const struct sc_hub_env *env, const struct sc_hub_listing *l);
bool sc_hf_mark_absent(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                       const char *file);
/* snapshots/<commit> of it in the cache (root 0) or a tier, whether it is there or not. */
bool sc_hf_snapshot_path(const struct sc_hub_env *env, const struct sc_hub_listing *l, size_t root,
                         struct sc_buf *path);
/* The lock of a download: .locks/models--org--name/<etag>.lock. As sc_lock_file(). */
int sc_hf_lock(const struct sc_hub_env *env, const struct sc_hub_listing *l, const char *etag,
               unsigned wait_ms, const _Atomic int *cancel);

/* -------------------------------------------------------------------------- listing.c --- */
/* Key: endpoint, type, id, revision. false: none that is sound. One with a file whose size is not
 * known is not kept. */
bool sc_listing_load(const struct sc_hub_env *env, const struct sc_name *name,
                     struct sc_hub_listing *out);
bool sc_listing_save(const struct sc_hub_env *env, const struct sc_name *name,
                     const struct sc_hub_listing *l);
/* For housekeeping: whatever listing a file holds. */
bool sc_listing_load_file(const char *path, struct sc_hub_listing *out);

#endif

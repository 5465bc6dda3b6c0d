/* SPDX-License-Identifier: Apache-2.0 */
/* listing: what the Hub said of a repository, kept between runs.
 *
 *     listings/<sha256 of "endpoint\ntype\nid\nrevision">.json
 *
 *     {"crc32": "0f3a91c2",
 *      "version": 2, "endpoint": "https://huggingface.co", "type": "models",
 *      "asked": "gpt2", "asked_revision": "main", "id": "openai-community/gpt2", "revision":
 * "main", "commit": "607a30d7...", "gated": false, "private": false, "checked": 1767225600,
 *      "files": [["config.json", 665, "10c66461e4c109db5a2196bff4bb59be30396ed8"], ...]}
 *
 * The checksum is of all bytes behind its comma; it stands at the very beginning, without spaces.
 * Everything is checked again when it is read. Whatever is odd, in one place, makes the whole thing
 * absent: asking the Hub again costs one request. */
#include "hub/cache.h"
#include "hub/internal.h"

#include <inttypes.h>
#include <jansson.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define VERSION   2
#define SIGN      "{\"crc32\":\"%08x\"," /* in place of the "{" that opens the document */
#define SIGN_SIZE ((size_t)20)
#define MAX_BYTES ((size_t)64 << 20)
#define MAX_FILES 1000000
#define MAX_TEXT  1024

void sc_hub_listing_clear(struct sc_hub_listing *l)
{
    free(l->id);
    free(l->revision);
    free(l->files);
    sc_arena_clear(&l->arena);
    *l = (struct sc_hub_listing){0};
}

/* ------------------------------------------------------------------------------------ names --- */
static const char *revision_of(const struct sc_name *name)
{
    return name->revision ? name->revision : "main";
}

static bool file_of(struct sc_buf *b, const struct sc_hub_env *env, const struct sc_name *name)
{
    struct sc_buf key = {0};
    char hex[65];
    if (!env->cache || !env->endpoint || !name->id || name->type > SC_REPO_SPACE)
        return false;
    sc_buf_printf(&key, "%s\n%s\n%s\n%s", env->endpoint, sc_repo_type_plural[name->type], name->id,
                  revision_of(name));
    bool ok = !key.failed && sc_sha_of(SC_SHA256, key.p, key.n, hex, NULL) == 0;
    sc_buf_clear(&key);
    if (ok)
        sc_buf_printf(b, "%s/listings/%s.json", env->cache, hex);
    return ok && !b->failed;
}

/* ---------------------------------------------------------------------------------- loading --- */
/* A text of the document, not empty, without a NUL inside. */
static const char *text_of(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    size_t n = json_string_length(v);
    return json_is_string(v) && n > 0 && n <= MAX_TEXT && strlen(json_string_value(v)) == n
               ? json_string_value(v)
               : NULL;
}

static bool is_text(const json_t *object, const char *key, const char *want)
{
    const char *text = text_of(object, key);
    return text && strcmp(text, want) == 0;
}

static bool bool_of(const json_t *object, const char *key, bool *out)
{
    const json_t *v = json_object_get(object, key);
    *out = json_is_true(v);
    return json_is_boolean(v);
}

static char *copy_text(const char *text)
{
    size_t n = strlen(text) + 1;
    char *p = sc_alloc(n);
    if (p)
        memcpy(p, text, n);
    return p;
}

static bool etag_may_be(const char *etag)
{
    enum sc_sha_kind kind;
    return *etag == '\0' || sc_sha_kind_of(etag, &kind);
}

/* ["path", bytes, "etag"] */
static bool take_file(struct sc_hub_listing *l, const json_t *v)
{
    const json_t *path = json_array_get(v, 0), *bytes = json_array_get(v, 1),
                 *etag = json_array_get(v, 2);
    if (json_array_size(v) != 3 || !json_is_string(path) || !json_is_integer(bytes) ||
        !json_is_string(etag) || json_integer_value(bytes) < 0)
        return false;
    size_t n = json_string_length(path), m = json_string_length(etag);
    struct sc_hub_file f = {json_string_value(path), (uint64_t)json_integer_value(bytes),
                            json_string_value(etag)};
    if (n > MAX_TEXT || strlen(f.path) != n || strlen(f.etag) != m ||
        !sc_path_is_inside(sc_strz(f.path)) || !etag_may_be(f.etag))
        return false;
    f.path = sc_arena_copy(&l->arena, f.path, n);
    f.etag = sc_arena_copy(&l->arena, f.etag, m);
    if (!f.path || !f.etag)
        return false;
    l->files[l->n_files++] = f;
    return true;
}

static bool take_files(struct sc_hub_listing *l, const json_t *list)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > MAX_FILES ||
        sc_grow(&l->files, &l->files_cap, n, sizeof l->files[0], NULL) < 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!take_file(l, json_array_get(list, i)))
            return false;
        if (i > 0 && strcmp(l->files[i - 1].path, l->files[i].path) == 0)
            return false;
    }
    return true;
}

/* A time that is still to come says that a clock was set: then it was never checked. */
static bool take_time(struct sc_hub_listing *l, const json_t *v)
{
    json_int_t t = json_integer_value(v);
    if (!json_is_integer(v) || t < 0)
        return false;
    l->checked = (uint64_t)t > (uint64_t)time(NULL) ? 0 : (uint64_t)t;
    return true;
}

static bool take_document(struct sc_hub_listing *l, const json_t *d)
{
    const char *id = text_of(d, "id"), *revision = text_of(d, "revision");
    const char *commit = text_of(d, "commit"), *type = text_of(d, "type");
    if (json_integer_value(json_object_get(d, "version")) != VERSION || !id || !revision ||
        !commit || !type || !sc_hub_is_hex(commit, 40) || !sc_hub_is_revision(sc_strz(revision)))
        return false;
    while (l->type <= SC_REPO_SPACE && strcmp(type, sc_repo_type_plural[l->type]) != 0)
        l->type++;
    if (l->type > SC_REPO_SPACE || !sc_hub_is_id(sc_strz(id)))
        return false;
    memcpy(l->commit, commit, sizeof l->commit);
    l->id = copy_text(id);
    l->revision = copy_text(revision);
    return l->id && l->revision && bool_of(d, "gated", &l->gated) &&
           bool_of(d, "private", &l->is_private) && take_time(l, json_object_get(d, "checked")) &&
           take_files(l, json_object_get(d, "files"));
}

static bool is_signed(const char *text, size_t n)
{
    char want[SIGN_SIZE + 1];
    if (n < SIGN_SIZE)
        return false;
    snprintf(want, sizeof want, SIGN, libdeflate_crc32(0, text + SIGN_SIZE, n - SIGN_SIZE));
    return memcmp(text, want, SIGN_SIZE) == 0;
}

static json_t *read_document(const char *path)
{
    size_t n = 0;
    char *text = sc_read_file(path, MAX_BYTES, &n);
    json_t *d =
        text && is_signed(text, n) ? json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    free(text);
    return d;
}

bool sc_listing_load(const struct sc_hub_env *env, const struct sc_name *name,
                     struct sc_hub_listing *out)
{
    struct sc_buf path = {0};
    *out = (struct sc_hub_listing){0};
    json_t *d = file_of(&path, env, name) ? read_document(path.p) : NULL;
    sc_buf_clear(&path);
    bool ok = d && is_text(d, "endpoint", env->endpoint) && is_text(d, "asked", name->id) &&
              is_text(d, "asked_revision", revision_of(name)) && take_document(out, d) &&
              out->type == name->type;
    json_decref(d);
    if (!ok)
        sc_hub_listing_clear(out);
    return ok;
}

bool sc_listing_load_file(const char *path, struct sc_hub_listing *out)
{
    *out = (struct sc_hub_listing){0};
    json_t *d = read_document(path);
    bool ok = d && text_of(d, "endpoint") && text_of(d, "asked") && text_of(d, "asked_revision") &&
              take_document(out, d);
    json_decref(d);
    if (!ok)
        sc_hub_listing_clear(out);
    return ok;
}

/* ----------------------------------------------------------------------------------- saving --- */
static json_t *files_as_json(const struct sc_hub_listing *l)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < l->n_files; i++) {
        const struct sc_hub_file *f = &l->files[i];
        if (json_array_append_new(list, json_pack("[sIs]", f->path, (json_int_t)f->bytes,
                                                  f->etag ? f->etag : "")) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* `text` begins with "{". */
static bool write_signed(const char *path, const char *text, unsigned mode)
{
    struct sc_buf b = {0};
    size_t n = strlen(text + 1);
    sc_buf_printf(&b, SIGN, libdeflate_crc32(0, text + 1, n));
    sc_buf_put(&b, text + 1, n);
    bool ok = !b.failed && sc_write_file(path, b.p, b.n, mode);
    sc_buf_clear(&b);
    return ok;
}

/* What the Hub did not tell this time it may tell the next. */
static bool is_complete(const struct sc_hub_listing *l)
{
    for (size_t i = 0; i < l->n_files; i++)
        if (l->files[i].bytes == UINT64_MAX)
            return false;
    return true;
}

bool sc_listing_save(const struct sc_hub_env *env, const struct sc_name *name,
                     const struct sc_hub_listing *l)
{
    struct sc_buf path = {0};
    if (!is_complete(l) || l->type > SC_REPO_SPACE || l->n_files > MAX_FILES ||
        !file_of(&path, env, name)) {
        sc_buf_clear(&path);
        return false;
    }
    json_t *files = files_as_json(l);
    json_t *d = files ? json_pack("{si ss ss ss ss ss ss ss sb sb sI so}", "version", VERSION,
                                  "endpoint", env->endpoint, "type", sc_repo_type_plural[l->type],
                                  "asked", name->id, "asked_revision", revision_of(name), "id",
                                  l->id, "revision", l->revision ? l->revision : "main", "commit",
                                  l->commit, "gated", l->gated, "private", l->is_private, "checked",
                                  (json_int_t)l->checked, "files", files)
                      : NULL;
    char *text = d ? json_dumps(d, JSON_COMPACT) : NULL;
    bool ok = text && sc_make_cache(env->cache) &&
              write_signed(path.p, text, l->is_private ? 0600 : 0666);
    free(text);
    json_decref(d);
    sc_buf_clear(&path);
    return ok;
}

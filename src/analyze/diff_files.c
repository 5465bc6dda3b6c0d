/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/diff_files.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 256 << 10 };

const char *const sc_file_status_names[SC_FILE_STATUSES] = {
    [SC_FILE_SAME] = "same",     [SC_FILE_CHANGED] = "changed",   [SC_FILE_ONLY_A] = "only_a",
    [SC_FILE_ONLY_B] = "only_b", [SC_FILE_NOT_READ] = "not_read",
};

/* --------------------------------------------------------------------------------- which --- */
static bool has_tensors(const struct sc_model *m, const char *path)
{
    for (size_t i = 0; i < m->catalog->n_files; i++)
        if (strcmp(m->catalog->files[i].path, path) == 0)
            return true;
    return sc_str_ends(sc_strz(path), ".safetensors") || sc_str_ends(sc_strz(path), ".gguf") ||
           sc_str_ends(sc_strz(path), ".safetensors.index.json") ||
           sc_str_ends(sc_strz(path), ".bin.index.json");
}

struct named {
    const char *path;
    uint64_t bytes;
    size_t side;
};

static int by_path(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    const int order = strcmp(x->path, y->path);

    return order ? order : (x->side > y->side) - (x->side < y->side);
}

static int list(const struct sc_model *const side[2], struct sc_files_diff *out, struct sc_error *e)
{
    const size_t most = side[0]->n_files + side[1]->n_files;
    struct named *all = sc_alloc(most * sizeof *all);
    size_t n = 0;

    out->files = SC_ARENA_NEW(&out->arena, struct sc_file_diff, most);
    if (!all || !out->files) {
        free(all);
        return sc_fail_memory(e);
    }
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < side[k]->n_files; i++)
            if (!has_tensors(side[k], side[k]->files[i].path))
                all[n++] = (struct named){side[k]->files[i].path, side[k]->files[i].bytes, k};
    if (n)
        qsort(all, n, sizeof *all, by_path);
    for (size_t i = 0; i < n; i++) {
        const bool again = out->n && strcmp(out->files[out->n - 1].path, all[i].path) == 0;
        struct sc_file_diff *f = &out->files[again ? out->n - 1 : out->n++];
        if (!again)
            *f = (struct sc_file_diff){
                .path = all[i].path, .bytes = {UINT64_MAX, UINT64_MAX}, .first = UINT64_MAX};
        f->bytes[all[i].side] = all[i].bytes;
    }
    free(all);
    return 0;
}

/* --------------------------------------------------------------------------------- bytes --- */
/* Bytes at..at+n of both; NULL: one has ended. */
static void count_bytes(const uint8_t *a, const uint8_t *b, uint64_t at, size_t n, uint64_t all,
                        struct sc_file_diff *f)
{
    for (size_t i = 0; i < n && f->strip; i++)
        if (!a || a[i] != b[i]) {
            f->strip[(at + i) * SC_DIFF_FILES_STRIP / all]++;
            f->differing++;
        }
}

/* From the first byte that differs on all are counted, unless there are too many. */
static int compare_bytes(struct sc_files_diff *all, struct sc_source *const s[2],
                         const _Atomic int *cancel, uint8_t *room, struct sc_file_diff *f,
                         struct sc_error *e)
{
    const uint64_t least = SC_MIN(s[0]->size, s[1]->size), most = SC_MAX(s[0]->size, s[1]->size);

    for (uint64_t at = 0; at < most; at += PIECE) {
        const size_t take = (size_t)SC_MIN(most - at, (uint64_t)PIECE);
        const size_t both = (size_t)SC_MIN(at < least ? least - at : 0, (uint64_t)PIECE);
        if (cancel && *cancel)
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        if (both) {
            TRY(sc_source_read(s[0], at, room, both, e));
            TRY(sc_source_read(s[1], at, room + PIECE, both, e));
        }
        if (both == take && memcmp(room, room + PIECE, take) == 0)
            continue;
        if (f->first == UINT64_MAX) {
            size_t i = 0;
            while (i < both && room[i] == room[PIECE + i])
                i++;
            f->first = at + i;
            if (most > SC_DIFF_FILES_JSON)
                return 0;
            f->strip = SC_ARENA_NEW(&all->arena, uint32_t, SC_DIFF_FILES_STRIP);
            if (!f->strip)
                return sc_fail_memory(e);
            memset(f->strip, 0, SC_DIFF_FILES_STRIP * sizeof *f->strip);
        }
        count_bytes(room, room + PIECE, at, both, most, f);
        count_bytes(NULL, NULL, at + both, take - both, most, f);
    }
    return 0;
}

static int compare_structure(struct sc_files_diff *all, struct sc_source *const s[2],
                             struct sc_file_diff *f, struct sc_error *e)
{
    const bool lines = sc_str_ends(sc_strz(f->path), ".jsonl");
    char *text[2] = {NULL, NULL};
    int code = 0;

    if (!lines && !sc_str_ends(sc_strz(f->path), ".json"))
        return 0;
    if (s[0]->size > SC_DIFF_FILES_JSON || s[1]->size > SC_DIFF_FILES_JSON) {
        f->why = "too large for a comparison by structure";
        return 0;
    }
    for (size_t k = 0; code == 0 && k < 2; k++) {
        text[k] = sc_alloc((size_t)s[k]->size + 1);
        code =
            text[k] ? sc_source_read(s[k], 0, text[k], (size_t)s[k]->size, e) : sc_fail_memory(e);
    }
    if (code == 0)
        code = sc_json_diff(&all->arena, text[0], (size_t)s[0]->size, text[1], (size_t)s[1]->size,
                            lines, f, e);
    free(text[0]);
    free(text[1]);
    return code;
}

static int compare_opened(struct sc_files_diff *all, struct sc_source *const s[2],
                          const _Atomic int *cancel, uint8_t *room, struct sc_file_diff *f,
                          struct sc_error *e)
{
    f->bytes[0] = s[0]->size;
    f->bytes[1] = s[1]->size;
    if ((s[0]->remote || s[1]->remote) && SC_MAX(s[0]->size, s[1]->size) > SC_DIFF_FILES_REMOTE)
        return sc_fail(e, SCRUPLE_ELIMIT, "too large to be fetched for a comparison");
    TRY(compare_bytes(all, s, cancel, room, f, e));
    f->status = f->first == UINT64_MAX ? SC_FILE_SAME : SC_FILE_CHANGED;
    return f->status == SC_FILE_CHANGED ? compare_structure(all, s, f, e) : 0;
}

static int compare_file(struct sc_files_diff *all, const struct sc_model *const side[2],
                        const _Atomic int *cancel, uint8_t *room, struct sc_file_diff *f,
                        struct sc_error *e)
{
    struct sc_source *s[2] = {NULL, NULL};
    struct sc_error why = {0};
    int code = 0;

    f->status = f->bytes[0] == UINT64_MAX   ? SC_FILE_ONLY_B
                : f->bytes[1] == UINT64_MAX ? SC_FILE_ONLY_A
                                            : SC_FILE_SAME;
    if (f->status != SC_FILE_SAME)
        return 0;
    for (size_t k = 0; code == 0 && k < 2; k++)
        code = sc_repo_open_file(side[k]->repo, f->path, &s[k], &why);
    if (code == 0)
        code = compare_opened(all, s, cancel, room, f, &why);
    sc_source_close(s[0]);
    sc_source_close(s[1]);
    if (code == 0)
        return 0;
    if (code == SCRUPLE_EMEMORY || code == SCRUPLE_EINTERRUPTED) {
        *e = why;
        return code;
    }
    f->status = SC_FILE_NOT_READ;
    f->why = sc_arena_copy(&all->arena, why.text, strlen(why.text));
    return f->why ? 0 : sc_fail_memory(e);
}

int sc_files_diff(const struct sc_model *a, const struct sc_model *b, const _Atomic int *cancel,
                  struct sc_files_diff *out, struct sc_error *e)
{
    const struct sc_model *const side[2] = {a, b};
    struct sc_error own = {0};
    uint8_t *room = sc_alloc(2 * (size_t)PIECE);
    int code = room ? 0 : sc_fail_memory(e);

    memset(out, 0, sizeof *out);
    if (code == 0)
        code = list(side, out, e);
    for (size_t i = 0; code == 0 && i < out->n; i++) {
        code = compare_file(out, side, cancel, room, &out->files[i], e ? e : &own);
        out->n_status[out->files[i].status]++;
    }
    free(room);
    return code;
}

void sc_files_diff_clear(struct sc_files_diff *f)
{
    sc_arena_clear(&f->arena);
    memset(f, 0, sizeof *f);
}

/* ------------------------------------------------------------------------------- document --- */
static void add_size(struct sc_document *doc, struct sc_field *into, const char *key, uint64_t v)
{
    if (v == UINT64_MAX)
        sc_add_null(doc, into, key);
    else
        sc_add_uint(doc, into, key, v, SC_COL_BYTES);
}

static void add_strip(struct sc_document *doc, struct sc_field *into, const struct sc_file_diff *f)
{
    if (!f->strip) {
        sc_add_null(doc, into, "differing_bytes");
        sc_add_null(doc, into, "strip");
        return;
    }
    sc_add_uint(doc, into, "differing_bytes", f->differing, SC_COL_BYTES);
    struct sc_field *list = sc_add_list(doc, into, "strip");
    for (size_t i = 0; i < SC_DIFF_FILES_STRIP; i++)
        sc_add_uint(doc, list, NULL, f->strip[i], SC_COL_COUNT);
}

static void add_structure(struct sc_document *doc, struct sc_field *into,
                          const struct sc_file_diff *f)
{
    if (!f->structure) {
        sc_add_null(doc, into, "structure");
        return;
    }
    struct sc_field *s = sc_add_object(doc, into, "structure");
    sc_add_textz(doc, s, "format", f->structure);
    for (size_t i = 0; i < SC_NODE_CHANGES; i++)
        sc_add_uint(doc, s, sc_node_change_names[i], f->n[i], SC_COL_COUNT);
    struct sc_field *changes = sc_add_list(doc, s, "changes");
    for (size_t i = 0; i < f->n_changes; i++) {
        const struct sc_json_change *c = &f->changes[i];
        struct sc_field *one = sc_add_object(doc, changes, NULL);
        sc_add_textz(doc, one, "path", c->path);
        sc_add_textz(doc, one, "kind", sc_node_change_names[c->kind]);
        sc_add_textz(doc, one, "a", c->a);
        sc_add_textz(doc, one, "b", c->b);
    }
}

void sc_files_add(struct sc_document *doc, struct sc_field *into, const struct sc_files_diff *f)
{
    if (!f) {
        sc_add_null(doc, into, "files");
        return;
    }
    struct sc_field *list = sc_add_list(doc, into, "files");
    for (size_t i = 0; i < f->n; i++) {
        const struct sc_file_diff *d = &f->files[i];
        struct sc_field *one = sc_add_object(doc, list, NULL);
        sc_add_textz(doc, one, "path", d->path);
        sc_add_textz(doc, one, "status", sc_file_status_names[d->status]);
        add_size(doc, one, "bytes_a", d->bytes[0]);
        add_size(doc, one, "bytes_b", d->bytes[1]);
        add_size(doc, one, "first_difference", d->first);
        add_strip(doc, one, d);
        sc_add_textz(doc, one, "why", d->why);
        add_structure(doc, one, d);
    }
}

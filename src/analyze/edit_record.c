/* SPDX-License-Identifier: Apache-2.0 */
/* edit_record: what an edit remembers, and the way back.
 *
 *     {"schema": "scruple.edit-record/1", "scruple": VERSION,
 *      "files": [{"path", "bytes", "sha256", "changes": [{"offset", "old", "new"}]}],
 *      "edits": [...], "earlier": null or the record of what was edited}
 *
 * The record of an edited model that is edited again is kept inside the new one, to the byte, and
 * comes back with the undoing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/edit_parts.h"
#include "format/safetensors_write.h"
#include "scruple.h"

struct recording {
    const struct sc_model *m;
    const struct sc_edit_wishes *w;
    const struct sc_edit_patches *p;
    struct sc_edit_file *files;
    size_t n;
    char *earlier; /* text of the record of the source, or NULL */
    size_t n_earlier;
};

void sc_edit_record_path(struct sc_buf *b, const char *path, bool folder)
{
    sc_buf_printf(b, folder ? "%s/" SC_EDIT_RECORD_FOLDER : "%s" SC_EDIT_RECORD_FILE, path);
}

/* ---------------------------------------------------------------------------------- writing --- */

static void put_hex(struct sc_buf *b, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    sc_buf_putc(b, '"');
    for (size_t i = 0; i < n; i++) {
        sc_buf_putc(b, digits[p[i] >> 4]);
        sc_buf_putc(b, digits[p[i] & 15]);
    }
    sc_buf_putc(b, '"');
}

static void put_number(struct sc_buf *b, const char *key, double v)
{
    if (isfinite(v))
        sc_buf_printf(b, ", \"%s\": %.17g", key, v);
    else
        sc_buf_printf(b, ", \"%s\": null", key);
}

static void put_file(struct sc_buf *b, const struct recording *x, const struct sc_edit_file *f)
{
    sc_buf_puts(b, "\n    {\"path\": ");
    if (!sc_put_json_text(b, sc_strz(f->path)))
        b->failed = true;
    sc_buf_printf(b, ", \"bytes\": %llu, \"sha256\": ", (unsigned long long)f->bytes);
    sc_buf_printf(b, f->sha256[0] ? "\"%s\"" : "null%s", f->sha256);
    sc_buf_puts(b, ", \"changes\": [");
    for (size_t i = f->first; i < f->last; i++) {
        const struct sc_edit_patch *p = &x->p->p[i];
        sc_buf_printf(b, "%s\n      {\"offset\": %llu, \"old\": ", i > f->first ? "," : "",
                      (unsigned long long)p->offset);
        put_hex(b, x->p->old + p->at, p->n);
        sc_buf_puts(b, ", \"new\": ");
        put_hex(b, x->p->new + p->at, p->n);
        sc_buf_putc(b, '}');
    }
    sc_buf_puts(b, "]}");
}

static int put_record(void *ctx, struct sc_buf *b, struct sc_error *e)
{
    const struct recording *x = ctx;
    bool any = false;

    sc_buf_printf(b, "{\n  \"schema\": \"" SC_SCHEMA_EDIT_RECORD "\",\n  \"scruple\": \"%s\",\n",
                  scruple_version());
    sc_buf_puts(b, "  \"files\": [");
    for (size_t i = 0; i < x->n; i++) {
        if (x->files[i].first == x->files[i].last)
            continue;
        sc_buf_puts(b, any ? "," : "");
        put_file(b, x, &x->files[i]);
        any = true;
    }
    sc_buf_puts(b, "],\n  \"edits\": [");
    for (size_t i = 0; i < x->w->n; i++) {
        const struct sc_edit_wish *w = &x->w->p[i];
        sc_buf_puts(b, i ? ",\n    {\"place\": " : "\n    {\"place\": ");
        if (!sc_put_json_text(b, sc_strz(w->place)))
            b->failed = true;
        sc_buf_printf(b, ", \"operation\": \"%s\", \"elements\": %llu", sc_edit_ops[w->op],
                      (unsigned long long)w->elements);
        put_number(b, "was", w->was);
        put_number(b, "asked", w->asked);
        put_number(b, "held", w->held);
        sc_buf_putc(b, '}');
    }
    sc_buf_puts(b, "],\n  \"earlier\": ");
    sc_buf_put(b, x->earlier ? x->earlier : "null", x->earlier ? x->n_earlier : 4);
    sc_buf_puts(b, "\n}\n");
    return b->failed ? sc_fail_memory(e) : 0;
}

/* --------------------------------------------------------------------------- what is copied --- */

static bool is_file(const struct sc_model *m)
{
    const struct sc_catalog *c = m->catalog;

    return c->n_files == 1 && m->repo && m->repo->selected &&
           strcmp(m->repo->selected, c->files[0].path) == 0;
}

static char *without_slash(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return sc_str_copy(sc_str(path, n));
}

static void set_patches(struct sc_edit_file *f, const struct sc_edit_patches *p, uint32_t file)
{
    f->first = 0;
    while (f->first < p->n && p->p[f->first].file < file)
        f->first++;
    f->last = f->first;
    while (f->last < p->n && p->p[f->last].file == file)
        f->last++;
}

/* The weight files, then what belongs beside them. */
static int list_files(struct recording *x, bool alone, struct sc_error *e)
{
    const struct sc_catalog *c = x->m->catalog;
    const struct sc_repo *repo = x->m->repo;
    const size_t most = c->n_files + (alone ? 0 : repo->n_files);

    x->files = sc_calloc(SC_MAX(most, (size_t)1), sizeof *x->files);
    if (!x->files)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < c->n_files; i++) {
        struct sc_edit_file *f = &x->files[x->n++];
        f->path = c->files[i].path;
        f->bytes = c->files[i].bytes;
        set_patches(f, x->p, i);
    }
    for (size_t i = 0; i < repo->n_files && !alone; i++) {
        const struct sc_str path = sc_strz(repo->files[i].path);
        bool listed = !sc_is_companion(path) && !sc_str_ends(path, ".index.json");
        for (size_t k = 0; k < c->n_files && !listed; k++)
            listed = strcmp(c->files[k].path, path.p) == 0;
        if (!listed)
            x->files[x->n++] = (struct sc_edit_file){.path = path.p, .bytes = UINT64_MAX};
    }
    return 0;
}

/* The record of what is edited, if it is an edited model itself. */
static int read_earlier(struct recording *x, bool alone, struct sc_error *e)
{
    struct sc_buf name = {0};
    struct sc_json j;

    if (sc_repo_is_remote(x->m->repo))
        return 0;
    sc_buf_printf(&name, alone ? "%s" SC_EDIT_RECORD_FILE : SC_EDIT_RECORD_FOLDER,
                  alone ? x->m->repo->selected : "");
    int code = name.failed ? sc_fail_memory(e)
                           : sc_repo_read_text(x->m->repo, name.p, SC_MAX_INDEX_BYTES, &x->earlier,
                                               &x->n_earlier, e);
    if (code == SCRUPLE_ENOTFOUND)
        code = 0;
    sc_buf_clear(&name);
    if (code < 0 || !x->earlier)
        return code;
    while (x->n_earlier && x->earlier[x->n_earlier - 1] == '\n')
        x->n_earlier--;
    sc_json_start(&j, x->earlier, x->n_earlier, NULL);
    if (!sc_json_skip(&j) || !sc_json_end(&j))
        return sc_fail(e, SCRUPLE_EFORMAT, "the record of an earlier edit is no JSON: %s",
                       j.problem);
    return 0;
}

int sc_edit_may_write(const struct sc_model *m, const char *path, struct sc_error *e)
{
    const struct sc_catalog *c = m->catalog;
    struct sc_buf record = {0};

    for (size_t i = 0; i < c->n_files; i++)
        if (c->files[i].component[0])
            return sc_fail(e, SCRUPLE_EUNSUPPORTED,
                           "a pipeline of components cannot be copied: "
                           "name one of its files");
    TRY(sc_st_keep_out(m->label, path, e));
    TRY(sc_st_may_create(path, !is_file(m), e));
    if (!is_file(m))
        return 0;
    sc_edit_record_path(&record, path, false);
    const int code = record.failed ? sc_fail_memory(e) : sc_st_may_create(record.p, false, e);
    sc_buf_clear(&record);
    return code;
}

int sc_edit_write(const struct sc_model *m, const struct sc_edit_wishes *w,
                  const struct sc_edit_patches *p, const struct sc_edit_writing *how,
                  struct sc_edit_written *out, struct sc_error *e)
{
    struct recording x = {.m = m, .w = w, .p = p};
    const bool alone = is_file(m);
    char *path = without_slash(how->path);

    *out = (struct sc_edit_written){0};
    int code = path ? sc_edit_may_write(m, path, e) : sc_fail_memory(e);
    if (code == 0)
        code = read_earlier(&x, alone, e);
    if (code == 0)
        code = list_files(&x, alone, e);
    if (code == 0) {
        const struct sc_edit_copy copy = {.writing = how,
                                          .path = path,
                                          .folder = !alone,
                                          .repo = m->repo,
                                          .files = x.files,
                                          .n_files = x.n,
                                          .patches = p,
                                          .mismatch = "changed while it was read",
                                          .record = put_record,
                                          .ctx = &x};
        code = sc_edit_copy(&copy, out, e);
    }
    free(x.files);
    free(x.earlier);
    free(path);
    return code;
}

/* ---------------------------------------------------------------------------------- reading --- */

struct undoing {
    struct sc_repo *repo;
    struct sc_arena arena;
    struct sc_edit_file *files;
    size_t n, cap;
    struct sc_edit_patches p; /* from what is there to what was */
    struct sc_str earlier;    /* in the record's text */
};

static bool read_hex(struct sc_str s, uint8_t *out)
{
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        const int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (v < 0)
            return false;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | v : v << 4);
    }
    return s.n % 2 == 0;
}

/* {"offset", "old", "new"} */
static bool read_change(struct undoing *x, struct sc_json *j, struct sc_error *e)
{
    struct sc_json_walk w;
    struct sc_str key, old = {0}, new = {0};
    uint64_t offset = UINT64_MAX;
    struct sc_edit_patches *p = &x->p;
    bool ok = sc_json_into(j, &w, '{');

    while (ok && sc_json_on(j, &w, &key))
        ok = sc_str_is(key, "offset") ? sc_json_u64(j, &offset)
             : sc_str_is(key, "old")  ? sc_json_string(j, &old)
             : sc_str_is(key, "new")  ? sc_json_string(j, &new)
                                      : sc_json_skip(j);
    const size_t n = old.n / 2;
    const struct sc_edit_file *f = &x->files[x->n - 1];
    const uint64_t from = f->first < p->n ? p->p[p->n - 1].offset + p->p[p->n - 1].n : 0;
    if (!ok || j->problem || !n || old.n != new.n || offset < from || offset > f->bytes ||
        n > f->bytes - offset || sc_grow(&p->p, &p->cap, p->n + 1, sizeof *p->p, e) < 0 ||
        sc_grow(&p->old, &p->old_cap, p->bytes + n, 1, e) < 0 ||
        sc_grow(&p->new, &p->new_cap, p->bytes + n, 1, e) < 0)
        return false;
    p->p[p->n++] = (struct sc_edit_patch){(uint32_t)(x->n - 1), offset, n, p->bytes};
    p->bytes += n;
    return read_hex(new, p->old + p->bytes - n) && read_hex(old, p->new + p->bytes - n);
}

static bool read_changes(struct undoing *x, struct sc_json *j, struct sc_error *e)
{
    struct sc_json_walk w;
    bool ok = sc_json_into(j, &w, '[');

    x->files[x->n - 1].first = x->p.n;
    while (ok && sc_json_on(j, &w, NULL))
        ok = read_change(x, j, e);
    x->files[x->n - 1].last = x->p.n;
    return ok && !j->problem;
}

/* {"path", "bytes", "sha256", "changes"}, in this order */
static bool read_file(struct undoing *x, struct sc_json *j, struct sc_error *e)
{
    struct sc_json_walk w;
    struct sc_str key, s;
    bool ok =
        sc_json_into(j, &w, '{') && sc_grow(&x->files, &x->cap, x->n + 1, sizeof *x->files, e) == 0;

    if (!ok)
        return false;
    struct sc_edit_file *f = &x->files[x->n++];
    *f = (struct sc_edit_file){.path = ""};
    while (ok && sc_json_on(j, &w, &key)) {
        char c = 0;
        if (sc_str_is(key, "path") && (ok = sc_json_string(j, &s))) {
            f->path = sc_arena_copy(&x->arena, s.p, s.n);
            ok = f->path && sc_path_is_inside(s);
        } else if (sc_str_is(key, "bytes")) {
            ok = sc_json_u64(j, &f->bytes);
        } else if (sc_str_is(key, "sha256") && sc_json_peek(j, &c) && c == '"') {
            ok = sc_json_string(j, &s) && s.n == sizeof f->sha256 - 1;
            if (ok)
                memcpy(f->sha256, s.p, s.n);
        } else if (sc_str_is(key, "changes")) {
            ok = read_changes(x, j, e);
        } else if (ok) {
            ok = sc_json_skip(j);
        }
    }
    return ok && !j->problem && f->path[0];
}

static bool read_files(struct undoing *x, struct sc_json *j, struct sc_error *e)
{
    struct sc_json_walk w;
    bool ok = sc_json_into(j, &w, '[');

    while (ok && sc_json_on(j, &w, NULL))
        ok = read_file(x, j, e);
    return ok && !j->problem;
}

static bool parse_record(struct undoing *x, const char *text, size_t n, struct sc_error *e)
{
    struct sc_json j;
    struct sc_json_walk w;
    struct sc_str key, schema = {0};

    sc_json_start(&j, text, n, &x->arena);
    bool ok = sc_json_into(&j, &w, '{');
    while (ok && sc_json_on(&j, &w, &key)) {
        char c = 0;
        ok = sc_json_peek(&j, &c); /* and moves to it */
        const char *from = j.p;
        if (sc_str_is(key, "schema"))
            ok = ok && sc_json_string(&j, &schema);
        else if (sc_str_is(key, "files"))
            ok = ok && read_files(x, &j, e);
        else
            ok = ok && sc_json_skip(&j);
        if (sc_str_is(key, "earlier") && c == '{')
            x->earlier = sc_str(from, (size_t)(j.p - from));
    }
    return ok && !j.problem && sc_json_end(&j) && sc_str_is(schema, SC_SCHEMA_EDIT_RECORD);
}

/* ---------------------------------------------------------------------------------- undoing --- */

static int put_earlier(void *ctx, struct sc_buf *text, struct sc_error *e)
{
    const struct undoing *x = ctx;

    sc_buf_put(text, x->earlier.p, x->earlier.n);
    if (x->earlier.n)
        sc_buf_putc(text, '\n');
    return text->failed ? sc_fail_memory(e) : 0;
}

/* All other files of an edited folder. */
static int add_rest(struct undoing *x, struct sc_error *e)
{
    const size_t changed = x->n;

    for (size_t i = 0; i < x->repo->n_files; i++) {
        const char *path = x->repo->files[i].path;
        bool known = strcmp(path, SC_EDIT_RECORD_FOLDER) == 0;
        for (size_t k = 0; k < changed && !known; k++)
            known = strcmp(path, x->files[k].path) == 0;
        if (known)
            continue;
        TRY(sc_grow(&x->files, &x->cap, x->n + 1, sizeof *x->files, e));
        x->files[x->n++] = (struct sc_edit_file){.path = path, .bytes = UINT64_MAX};
    }
    return 0;
}

static int read_record(struct undoing *x, const char *from, char **text, struct sc_error *e)
{
    const bool alone = x->repo->selected != NULL;
    struct sc_buf name = {0};
    struct sc_quoted q;
    size_t n = 0;

    sc_buf_printf(&name, alone ? "%s" SC_EDIT_RECORD_FILE : SC_EDIT_RECORD_FOLDER,
                  alone ? x->repo->selected : "");
    int code = name.failed ? sc_fail_memory(e)
                           : sc_repo_read_text(x->repo, name.p, SC_MAX_INDEX_BYTES, text, &n, e);
    if (code == SCRUPLE_ENOTFOUND)
        code = sc_fail(e, code, "%s: there is no record of an edit (%s)",
                       sc_quote(&q, sc_strz(from)), name.p);
    if (code == 0 && !parse_record(x, *text, n, e))
        code = e && e->code == SCRUPLE_EMEMORY
                   ? SCRUPLE_EMEMORY
                   : sc_fail(e, SCRUPLE_EFORMAT, "%s: is no sound record of an edit", name.p);
    sc_buf_clear(&name);
    if (code == 0 && alone) {
        /* The file may have another name by now. */
        if (x->n > 1)
            return sc_fail(e, SCRUPLE_EFORMAT, "%s: its record is one of %zu files",
                           sc_quote(&q, sc_strz(from)), x->n);
        if (x->n == 0) {
            TRY(sc_grow(&x->files, &x->cap, 1, sizeof *x->files, e));
            x->files[x->n++] = (struct sc_edit_file){.bytes = UINT64_MAX};
        }
        x->files[0].path = x->repo->selected;
    }
    return code == 0 && !alone ? add_rest(x, e) : code;
}

int sc_edit_undo(const char *from, const struct sc_edit_writing *how, struct sc_edit_written *out,
                 struct sc_error *e)
{
    struct undoing x = {0};
    struct sc_error own = {0};
    char *text = NULL, *path = without_slash(how->path);

    e = e ? e : &own;
    *out = (struct sc_edit_written){0};
    int code = path ? sc_repo_open_local(from, &x.repo, e) : sc_fail_memory(e);
    if (code == 0)
        code = sc_st_keep_out(from, path, e);
    if (code == 0)
        code = read_record(&x, from, &text, e);
    if (code == 0) {
        const struct sc_edit_copy copy = {.writing = how,
                                          .path = path,
                                          .folder = x.repo->selected == NULL,
                                          .undo = true,
                                          .repo = x.repo,
                                          .files = x.files,
                                          .n_files = x.n,
                                          .patches = &x.p,
                                          .mismatch =
                                              "is not what the edit wrote: it has changed since",
                                          .record = put_earlier,
                                          .ctx = &x};
        code = sc_edit_copy(&copy, out, e);
    }
    sc_repo_close(x.repo);
    sc_edit_patches_clear(&x.p);
    sc_arena_clear(&x.arena);
    free(x.files);
    free(text);
    free(path);
    return code;
}

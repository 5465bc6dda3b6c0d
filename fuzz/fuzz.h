/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: what the fuzz targets share.
 *
 * Owns: FUZZ_CHECK, repositories made of the fuzzer's bytes, and the invariants of catalogs, which
 * hold for every file however broken. Each target is fuzz_<x>.c with one LLVMFuzzerTestOneInput;
 * it asserts and never merely runs. Its seeds are fuzz/corpus/<x>/ (fuzz/make_corpus.sh), its words
 * fuzz/dict/<x>.dict, and fuzz/replay.c gives it a main() without libFuzzer.
 *
 * Several files in one input:
 *
 *     === model.safetensors +4096      "=== " PATH [" +" ZEROS] "\n"
 *     (bytes)                          up to "\n=== " or the end; ZEROS follow, unstored
 *     === config.json
 *     {...}
 *
 * Input that does not start with "=== " is one file. The zeros let a seed of 500 bytes hold the
 * header of a model of any size.
 */
#ifndef SC_FUZZ_H
#define SC_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"
#include "source/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            fuzz_fail(#cond, __FILE__, __LINE__);                                                  \
    } while (0)

static inline _Noreturn void fuzz_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

/* For the target's own memory; that the library survives without any is tests/unit/test_oom.c. */
static inline void *fuzz_alloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        fuzz_fail("memory for the target", __FILE__, __LINE__);
    return p;
}

/* Every choice that is not part of the format comes from here, so an input always does the same
 * and a small change of it takes another path. */
static inline uint32_t fuzz_choice(const uint8_t *data, size_t size)
{
    uint32_t h = UINT32_C(2166136261);
    for (size_t i = 0; i < size; i++)
        h = (h ^ data[i]) * UINT32_C(16777619);
    return h ^ h >> 15;
}

/* ---------------------------------------------------------------------------------- texts --- */
/* What may reach a terminal: valid UTF-8 without control, bidirectional and line-separating
 * characters; `extra` are ASCII control characters that are allowed. */
static inline void fuzz_check_safe(struct sc_str s, const char *extra)
{
    for (size_t i = 0; i < s.n;) {
        uint32_t c;
        const size_t n = sc_utf8_decode(s.p + i, s.n - i, &c);
        FUZZ_CHECK(n > 0);
        FUZZ_CHECK(c >= 0x20 || (c && strchr(extra, (int)c)));
        FUZZ_CHECK(c < 0x7f || c > 0x9f);
        FUZZ_CHECK(c < 0x200b || c > 0x200f);
        FUZZ_CHECK(c < 0x2028 || c > 0x202e);
        FUZZ_CHECK(c < 0x2066 || c > 0x2069);
        FUZZ_CHECK(c != 0xfeff && c != 0x61c && c != 0xad);
        i += n;
    }
}

/* A failure comes with a sentence. `any_path`: paths may hold anything, and stand in it as they are
 * until it is printed; all else from files was made safe. */
static inline void fuzz_check_refusal(int code, const struct sc_error *e, bool any_path)
{
    const size_t n = strlen(e->text);
    FUZZ_CHECK(code < 0 && e->code == code);
    FUZZ_CHECK(n > 0 && n < sizeof e->text);
    FUZZ_CHECK(strcmp(sc_code_text(code), "") != 0);
    /* A sentence that fills its buffer may have been cut inside a character. */
    if (!any_path && n + 4 < sizeof e->text)
        fuzz_check_safe(sc_str(e->text, n), "");
}

static inline void fuzz_check_error(int code, const struct sc_error *e)
{
    fuzz_check_refusal(code, e, false);
}

/* --------------------------------------------------------------------------- repositories --- */
struct fuzz_source {
    struct sc_source base;
    const uint8_t *p;
    size_t n; /* zeros follow */
};

static inline int fuzz_source_read(struct sc_source *s, uint64_t off, void *dst, size_t len,
                                   struct sc_error *e)
{
    const struct fuzz_source *f = (const struct fuzz_source *)s;
    const size_t have = off < f->n ? (size_t)SC_MIN((uint64_t)len, f->n - off) : 0;
    (void)e;
    if (have)
        memcpy(dst, f->p + off, have);
    memset((uint8_t *)dst + have, 0, len - have);
    return 0;
}

static const struct sc_source_ops fuzz_source_ops = {.scheme = "fuzz", .read_at = fuzz_source_read};

#define FUZZ_MAX_FILES 24
#define FUZZ_MAX_ZEROS (UINT64_C(64) << 20)

struct fuzz_archive {
    size_t n;
    struct fuzz_file {
        char path[128];
        const uint8_t *p;
        size_t size;
        uint64_t zeros;
    } files[FUZZ_MAX_FILES];
};

/* "PATH +ZEROS" */
static inline void fuzz_archive_name(struct fuzz_file *f, const uint8_t *line, size_t n)
{
    struct sc_str s = sc_str((const char *)line, n);
    for (size_t i = n; i > 1; i--) {
        uint64_t zeros;
        if (s.p[i - 1] != '+' || s.p[i - 2] != ' ')
            continue;
        if (sc_str_u64(sc_str(s.p + i, n - i), &zeros)) {
            f->zeros = SC_MIN(zeros, FUZZ_MAX_ZEROS);
            s.n = i - 2;
        }
        break;
    }
    n = SC_MIN(s.n, sizeof f->path - 1);
    memcpy(f->path, s.p, n);
    f->path[n] = '\0';
}

/* The archive borrows the bytes. */
static inline void fuzz_archive_read(struct fuzz_archive *a, const uint8_t *data, size_t size)
{
    static const char mark[] = "\n=== ";
    const uint8_t *p = data, *end = data + size;

    memset(a, 0, sizeof *a);
    if (size < 4 || memcmp(data, mark + 1, 4) != 0) {
        a->n = 1;
        memcpy(a->files[0].path, "model.bin", sizeof "model.bin");
        a->files[0].p = data;
        a->files[0].size = size;
        return;
    }
    while (a->n < FUZZ_MAX_FILES && end - p >= 4) {
        struct fuzz_file *f = &a->files[a->n++];
        p += 4;
        const uint8_t *line = memchr(p, '\n', (size_t)(end - p));
        if (!line)
            line = end;
        fuzz_archive_name(f, p, (size_t)(line - p));
        p = line < end ? line + 1 : end;
        f->p = p;
        while (p < end && ((size_t)(end - p) < 5 || memcmp(p, mark, 5) != 0))
            p++;
        f->size = (size_t)(p - f->p);
        p += p < end;
    }
}

static inline int fuzz_repo_file(struct sc_repo *r, const char *path, struct sc_source **out,
                                 struct sc_error *e)
{
    const struct fuzz_archive *a = r->private_data;
    struct sc_quoted q;
    for (size_t i = 0; i < a->n; i++) {
        const struct fuzz_file *f = &a->files[i];
        if (strcmp(f->path, path) != 0)
            continue;
        if (!f->zeros)
            return sc_memory_open(f->p, f->size, path, out, e);
        struct fuzz_source *s =
            sc_source_new(sizeof *s, &fuzz_source_ops, path, f->size + f->zeros, e);
        if (!s)
            return SCRUPLE_EMEMORY;
        s->p = f->p;
        s->n = f->size;
        *out = &s->base;
        return 0;
    }
    *out = NULL;
    return sc_fail(e, SCRUPLE_ENOTFOUND, "%s: no such file or folder", sc_quote(&q, sc_strz(path)));
}

static inline void fuzz_repo_close(struct sc_repo *r)
{
    (void)r;
}

static const struct sc_repo_ops fuzz_repo_ops = {
    .scheme = "fuzz", .open = fuzz_repo_file, .close = fuzz_repo_close};

/* A repository of the archive's files, as a folder would be; `selected` as if the user had named
 * that file, or NULL. The archive outlives it. */
static inline struct sc_repo *fuzz_repo(struct fuzz_archive *a, const char *selected)
{
    struct sc_repo *r = sc_calloc(1, sizeof *r);
    FUZZ_CHECK(r);
    r->ops = &fuzz_repo_ops;
    r->private_data = a;
    r->label = strdup("fuzz");
    r->selected = selected ? strdup(selected) : NULL;
    FUZZ_CHECK(r->label && (!selected || r->selected));
    for (size_t i = 0; i < a->n; i++) {
        bool twin = a->files[i].path[0] == '\0';
        for (size_t k = 0; k < i; k++)
            twin = twin || strcmp(a->files[i].path, a->files[k].path) == 0;
        if (!twin)
            FUZZ_CHECK(sc_repo_add_file(r, a->files[i].path, a->files[i].size + a->files[i].zeros,
                                        NULL) == 0);
    }
    sc_repo_sort(r);
    return r;
}

/* -------------------------------------------------------------------------------- catalog --- */
static inline bool fuzz_has_twin(const struct sc_catalog *c, const struct sc_entry *en)
{
    for (size_t i = 0; i < c->n_entries; i++)
        if (&c->entries[i] != en && sc_str_eq(sc_entry_name(&c->entries[i]), sc_entry_name(en)))
            return true;
    return false;
}

static inline void fuzz_check_entry(const struct sc_catalog *c, const struct sc_entry *en,
                                    bool sound)
{
    uint64_t end, elements;
    FUZZ_CHECK(en->file < c->n_files);
    FUZZ_CHECK(en->name && en->name[en->name_len] == '\0');
    FUZZ_CHECK(en->rank <= SC_MAX_RANK && sc_product(en->shape, en->rank, &elements));
    FUZZ_CHECK(elements == sc_entry_elements(en));
    FUZZ_CHECK(sc_entry_dtype(c, en)[0] != '\0' || (en->dtype & SC_FOREIGN_TYPE));
    FUZZ_CHECK(en->view == SC_NO_STORAGE || en->view < c->n_views);
    /* A name that stands twice is an error only when all files of a model are open. */
    FUZZ_CHECK(!sound || !(en->flags & SC_ENTRY_BROKEN) || fuzz_has_twin(c, en));
    if (en->view != SC_NO_STORAGE) {
        const struct sc_view *v = &c->views[en->view];
        FUZZ_CHECK(v->storage < c->n_storages);
    }
    if (en->bytes) {
        FUZZ_CHECK(sc_add(en->offset, en->bytes, &end));
        FUZZ_CHECK(end <= c->files[en->file].bytes);
    }
}

static inline void fuzz_check_value(const struct sc_value *v)
{
    FUZZ_CHECK(v->kind <= SC_VALUE_ARRAY);
    if (v->kind == SC_VALUE_STRING)
        FUZZ_CHECK(v->as.s.p && v->as.s.p[v->as.s.n] == '\0');
    if (v->kind != SC_VALUE_ARRAY)
        return;
    FUZZ_CHECK(v->element <= SC_VALUE_ARRAY && v->shown <= SC_PREVIEW_ITEMS);
    FUZZ_CHECK(v->shown <= v->as.a.count);
    for (size_t i = 0; i < v->shown; i++) {
        FUZZ_CHECK(v->as.a.items[i].kind <= SC_VALUE_ARRAY);
        if (v->as.a.items[i].kind == SC_VALUE_STRING)
            FUZZ_CHECK(v->as.a.items[i].as.s.p);
    }
}

static inline void fuzz_check_findings(const struct sc_catalog *c)
{
    size_t errors = 0, warnings = 0;
    for (size_t i = 0; i < c->n_findings; i++) {
        const struct sc_finding *f = &c->findings[i];
        FUZZ_CHECK(f->id && f->id[0] && f->message && f->message[0]);
        FUZZ_CHECK(f->file == UINT32_MAX || f->file < c->n_files);
        FUZZ_CHECK(f->severity <= SC_ERROR);
        errors += f->severity == SC_ERROR;
        warnings += f->severity == SC_WARNING;
        fuzz_check_safe(sc_strz(f->message), "");
        if (f->tensor)
            fuzz_check_safe(sc_strz(f->tensor), "");
    }
    if (!c->findings_dropped) {
        FUZZ_CHECK(errors == c->n_errors);
        FUZZ_CHECK(warnings == c->n_warnings);
    }
}

/* What every catalog promises, however it was opened. The rows of a file and its header never add
 * up to more than the file, unless a finding says so. */
static inline void fuzz_check_catalog(const struct sc_catalog *c)
{
    const bool sound = c->n_errors == 0;
    uint64_t sum;

    for (size_t i = 0; i < c->n_entries; i++)
        fuzz_check_entry(c, &c->entries[i], sound);
    for (uint32_t file = 0; file < c->n_files; file++) {
        const struct sc_file *f = &c->files[file];
        FUZZ_CHECK(f->path && f->component);
        FUZZ_CHECK(f->header_bytes <= f->bytes && f->data_offset <= f->bytes);
        sum = f->header_bytes;
        for (size_t i = 0; i < c->n_entries; i++)
            if (c->entries[i].file == file)
                FUZZ_CHECK(sc_add(sum, c->entries[i].bytes, &sum) || !sound);
        FUZZ_CHECK(sum <= f->bytes || !sound);
    }
    for (size_t i = 0; i < c->n_storages; i++) {
        const struct sc_storage *s = &c->storages[i];
        FUZZ_CHECK(s->key && s->file < c->n_files);
        FUZZ_CHECK(sc_add(s->offset, s->stored, &sum) && sum <= c->files[s->file].bytes);
    }
    for (size_t i = 0; i < c->n_metas; i++) {
        FUZZ_CHECK(c->metas[i].key.p && c->metas[i].file < c->n_files);
        fuzz_check_value(&c->metas[i].value);
    }
    for (size_t i = 0; i < c->n_imports; i++) {
        FUZZ_CHECK(c->imports[i].verdict <= SC_VERDICT_DANGER);
        fuzz_check_safe(sc_strz(c->imports[i].name), "");
    }
    fuzz_check_findings(c);
}

static inline struct sc_catalog *fuzz_catalog(const char *path, uint64_t bytes,
                                              const struct sc_open_options *o)
{
    struct sc_catalog *c = sc_calloc(1, sizeof *c);
    uint32_t file;
    FUZZ_CHECK(c);
    c->options = o;
    FUZZ_CHECK(sc_catalog_add_file(c, path, bytes, &file, NULL) == 0 && file == 0);
    return c;
}

/* One reading of the bytes. NULL: it was refused, with a sentence. */
static inline struct sc_catalog *fuzz_open(const struct sc_format *format, const uint8_t *data,
                                           size_t size, const struct sc_open_options *o, int *code)
{
    struct sc_catalog *c = fuzz_catalog("fuzz.bin", size, o);
    struct sc_source *s;
    struct sc_error e = {0};
    FUZZ_CHECK(sc_memory_open(data, size, "fuzz.bin", &s, NULL) == 0);
    *code = format->open(c, 0, s, &e);
    sc_source_close(s);
    FUZZ_CHECK(*code <= 0);
    if (*code == 0) {
        fuzz_check_catalog(c);
        FUZZ_CHECK(o->lenient || c->n_errors == 0);
        return c;
    }
    fuzz_check_error(*code, &e);
    sc_catalog_close(c);
    return NULL;
}

/* The same bytes strictly and leniently: what is refused is refused with a sentence, what is
 * accepted holds together, and lenient reading finds what strict reading found. */
static inline void fuzz_format(const struct sc_format *format, const uint8_t *data, size_t size)
{
    const struct sc_open_options strictly = {0}, leniently = {.lenient = true},
                                 thoroughly = {.lenient = true, .verify = true};
    int code;
    struct sc_catalog *strict = fuzz_open(format, data, size, &strictly, &code);
    struct sc_catalog *lenient = fuzz_open(format, data, size, &leniently, &code);
    /* Only what needs too much, or cannot be read on at all, is an error then. */
    FUZZ_CHECK(lenient || code == SCRUPLE_ELIMIT || code == SCRUPLE_EUNSUPPORTED);
    if (strict) {
        FUZZ_CHECK(lenient && lenient->n_entries == strict->n_entries);
        FUZZ_CHECK(lenient->n_metas == strict->n_metas);
        FUZZ_CHECK(lenient->n_findings == strict->n_findings);
    }
    sc_catalog_close(strict);
    sc_catalog_close(lenient);
    sc_catalog_close(fuzz_open(format, data, size, &thoroughly, &code));
}

/* bid() is asked about any file, also those of other formats. */
static inline int fuzz_bid(const struct sc_format *format, const uint8_t *data, size_t size)
{
    struct sc_source *s;
    FUZZ_CHECK(sc_memory_open(data, size, "fuzz.bin", &s, NULL) == 0);
    struct sc_probe p = {.head = data,
                         .head_len = SC_MIN(size, (size_t)SC_PROBE_HEAD),
                         .size = size,
                         .path = "fuzz.bin",
                         .source = s};
    const int bid = format->bid(&p);
    sc_source_close(s);
    FUZZ_CHECK(bid >= 0);
    return bid;
}

#endif

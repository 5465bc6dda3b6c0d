/* SPDX-License-Identifier: Apache-2.0 */
/* select: which files of a repository a name means: all, a folder, a file, a quantisation. */
#include "hub/internal.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN_NAMES = 8 };

/* `path` is "a/b.gguf": the root is "a/", as on disk. */
static int select_file(const char *path, struct sc_hub_choice *c, struct sc_error *e)
{
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash + 1 - path) : 0;
    c->prefix = sc_str_copy(sc_str(path, n));
    c->selected = sc_str_copy(sc_strz(path + n));
    return c->prefix && c->selected ? 0 : sc_fail_memory(e);
}

static int fail_no_path(const struct sc_hub_listing *l, const char *path, struct sc_error *e)
{
    struct sc_buf near = {0};
    struct sc_quoted q;
    const char **names = sc_calloc(l->n_files + 1, sizeof *names);
    for (size_t i = 0; names && i < l->n_files; i++)
        names[i] = l->files[i].path;
    const bool some = names && sc_hub_nearest(names, l->n_files, path, &near) && !near.failed;
    int rc = sc_fail(e, SCRUPLE_ENOTFOUND, "%s: has no file or folder \"%s\" at revision %s%s%s",
                     l->id, sc_quote(&q, sc_strz(path)), l->revision,
                     some ? "; the nearest names are " : "", some ? near.p : "");
    sc_buf_clear(&near);
    free(names);
    return rc;
}

static int select_path(const struct sc_hub_listing *l, const char *path, struct sc_hub_choice *c,
                       struct sc_error *e)
{
    if (sc_hub_listing_find(l, path))
        return select_file(path, c, e);
    struct sc_buf folder = {0};
    sc_buf_printf(&folder, "%s/", path);
    bool found = false;
    for (size_t i = 0; i < l->n_files && !folder.failed && !found; i++)
        found = sc_str_starts(sc_strz(l->files[i].path), folder.p);
    int rc = 0;
    if (found) {
        c->prefix = sc_str_copy(sc_str(folder.p, folder.n));
        rc = c->prefix ? 0 : sc_fail_memory(e);
    } else {
        rc = folder.failed ? sc_fail_memory(e) : fail_no_path(l, path, e);
    }
    sc_buf_clear(&folder);
    return rc;
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "model-Q4_K_M-00001-of-00002.gguf" holds Q4_K_M, but neither Q4_K nor K_M. */
static bool holds_quant(const char *path, const char *quant)
{
    const struct sc_str s = sc_strz(path), want = sc_strz(quant);
    for (size_t i = 0; i + want.n <= s.n; i++) {
        if (!sc_str_eq_nocase(sc_str(s.p + i, want.n), want))
            continue;
        const char next = s.p[i + want.n];
        if ((i == 0 || !is_word(s.p[i - 1])) && !is_word(next) && next != '_')
            return true;
    }
    return false;
}

/* Helpers of a model (projectors, importance matrices) are no quantisations of it. */
static bool is_gguf_model(const char *path)
{
    const char *slash = strrchr(path, '/');
    const struct sc_str base = sc_strz(slash ? slash + 1 : path), all = sc_strz(path);
    return all.n > 5 && sc_str_eq_nocase(sc_str(all.p + all.n - 5, 5), SC_STR(".gguf")) &&
           !sc_str_has_nocase(base, SC_STR("mmproj")) &&
           !sc_str_has_nocase(base, SC_STR("imatrix"));
}

static int fail_no_quant(const struct sc_hub_listing *l, const char *quant, struct sc_error *e)
{
    struct sc_buf names = {0};
    size_t n = 0;
    for (size_t i = 0; i < l->n_files; i++) {
        struct sc_quoted q;
        const char *path = l->files[i].path;
        if (is_gguf_model(path) && n++ < SHOWN_NAMES)
            sc_buf_printf(&names, "%s%s", n > 1 ? ", " : "", sc_quote(&q, sc_strz(path)));
    }
    if (n > SHOWN_NAMES)
        sc_buf_printf(&names, " and %zu more", n - SHOWN_NAMES);
    int rc =
        n ? sc_fail(e, SCRUPLE_ENOTFOUND, "%s: has no GGUF file for %s; it has %s", l->id, quant,
                    names.failed ? "others" : names.p)
          : sc_fail(e, SCRUPLE_ENOTFOUND,
                    "%s: has no GGUF files, so no quantisation %s can be chosen", l->id, quant);
    sc_buf_clear(&names);
    return rc;
}

/* "a-Q8_0-00001-of-00003.gguf" and its siblings have one stem. */
static struct sc_str stem_of(const char *path)
{
    static const char form[] = "-#####-of-#####";
    const size_t n = strlen(path) - strlen(".gguf"), m = sizeof form - 1;
    bool part = n > m;
    for (size_t i = 0; i < m && part; i++) {
        const char c = path[n - m + i];
        part = form[i] == '#' ? c >= '0' && c <= '9' : c == form[i];
    }
    return sc_str(path, part ? n - m : n);
}

static int select_quant(struct sc_hub *h, const struct sc_hub_listing *l, const char *quant,
                        struct sc_hub_choice *c, struct sc_error *e)
{
    const char *first = NULL;
    size_t others = 0;
    for (size_t i = 0; i < l->n_files; i++) {
        const char *path = l->files[i].path;
        if (!is_gguf_model(path) || !holds_quant(path, quant))
            continue;
        others += first && !sc_str_eq(stem_of(first), stem_of(path));
        if (!first)
            first = path;
    }
    if (!first)
        return fail_no_quant(l, quant, e);
    if (others > 0)
        sc_hub_note(h, "%s: several files are %s; showing %s", l->id, quant, first);
    return select_file(first, c, e);
}

int sc_hub_select(struct sc_hub *h, const struct sc_hub_listing *l, const struct sc_name *name,
                  struct sc_hub_choice *c, struct sc_error *e)
{
    int rc = 0;
    *c = (struct sc_hub_choice){0};
    if (name->path) {
        rc = select_path(l, name->path, c, e);
    } else if (name->quant) {
        rc = select_quant(h, l, name->quant, c, e);
    } else {
        c->prefix = sc_str_copy(SC_STR(""));
        rc = c->prefix ? 0 : sc_fail_memory(e);
    }
    if (rc < 0) {
        free(c->prefix);
        free(c->selected);
        *c = (struct sc_hub_choice){0};
    }
    return rc;
}

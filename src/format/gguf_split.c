/* SPDX-License-Identifier: Apache-2.0 */
/* gguf_split: do the parts of a split GGUF model belong together?
 *
 * Every part says which one it is and how many there are; the first one of some writers, all parts
 * of others, say how many tensors the whole has:
 *
 *     split.no             u16, from 0; the file is called NAME-(no + 1)-of-count.gguf
 *     split.count          u16
 *     split.tensors.count  i32
 *
 * The keys are compared with each other and with what was read. Which files are opened together
 * is decided by their names (weights.c). */
#include "format/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct part {
    const char *component; /* files of one component are one model */
    uint64_t no, count, tensors;
    uint64_t n_entries; /* tensors that the file really has */
    uint32_t file;
    bool has_no, has_count, has_tensors;
};

static int read_number(struct sc_catalog *c, const struct sc_meta *m, uint64_t *out, bool *has,
                       struct sc_error *e)
{
    struct sc_quoted q;

    *has = true;
    if (m->value.kind == SC_VALUE_UINT) {
        *out = m->value.as.u;
        return 0;
    }
    if (m->value.kind == SC_VALUE_INT && m->value.as.i >= 0) {
        *out = (uint64_t)m->value.as.i;
        return 0;
    }
    *has = false;
    return sc_problem(c, SC_ERROR, "gguf.split.value", m->file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                      "key \"%s\" is not a whole number of 0 or more", sc_quote(&q, m->key));
}

static int read_keys(struct sc_catalog *c, struct part *parts, struct sc_error *e)
{
    for (size_t i = 0; i < c->n_metas; i++) {
        const struct sc_meta *m = &c->metas[i];
        if (m->file >= c->n_files || c->files[m->file].format != &sc_format_gguf ||
            !sc_str_starts(m->key, "split."))
            continue;
        struct part *p = &parts[m->file];
        if (sc_str_is(m->key, "split.no"))
            TRY(read_number(c, m, &p->no, &p->has_no, e));
        else if (sc_str_is(m->key, "split.count"))
            TRY(read_number(c, m, &p->count, &p->has_count, e));
        else if (sc_str_is(m->key, "split.tensors.count"))
            TRY(read_number(c, m, &p->tensors, &p->has_tensors, e));
    }
    return 0;
}

static int compare_parts(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    const int component = strcmp(x->component, y->component);

    if (component)
        return component;
    if (x->no != y->no)
        return x->no < y->no ? -1 : 1;
    return x->file < y->file ? -1 : x->file > y->file;
}

/* The number in "NAME-00002-of-00003.gguf"; false when the file is not called so. */
static bool number_in_name(const char *path, uint64_t *out)
{
    enum { DIGITS = 5, TAIL = 1 + DIGITS + 4 + DIGITS }; /* -00002-of-00003 */
    struct sc_str s = sc_strz(path);
    uint64_t count;

    if (!sc_str_ends(s, ".gguf") || s.n < TAIL + 5)
        return false;
    const char *p = s.p + s.n - 5 - TAIL;
    return p[0] == '-' && memcmp(p + 1 + DIGITS, "-of-", 4) == 0 &&
           sc_str_u64(sc_str(p + 1, DIGITS), out) &&
           sc_str_u64(sc_str(p + 1 + DIGITS + 4, DIGITS), &count);
}

static int check_part(struct sc_catalog *c, const struct part *p, const struct part *first,
                      struct sc_error *e)
{
    uint64_t number;

    if (!p->has_no)
        TRY(sc_problem(c, SC_ERROR, "gguf.split.number", p->file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                       "the part has split.count but no split.no"));
    if (p->count != first->count)
        TRY(sc_problem(c, SC_ERROR, "gguf.split.count", p->file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                       "split.count is %" PRIu64 ", another part says %" PRIu64, p->count,
                       first->count));
    if (p->no >= p->count)
        TRY(sc_problem(c, SC_ERROR, "gguf.split.number", p->file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                       "split.no is %" PRIu64 ", but there are %" PRIu64 " parts, counted from 0",
                       p->no, p->count));
    if (p->has_no && number_in_name(c->files[p->file].path, &number) && number != p->no + 1)
        TRY(sc_problem(c, SC_WARNING, "gguf.split.number", p->file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                       "the file is called part %" PRIu64 ", but split.no makes it part %" PRIu64,
                       number, p->no + 1));
    if (p->has_tensors && first->has_tensors && p->tensors != first->tensors)
        TRY(sc_problem(c, SC_ERROR, "gguf.split.tensors", p->file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                       "split.tensors.count is %" PRIu64 ", another part says %" PRIu64, p->tensors,
                       first->tensors));
    return 0;
}

/* The planner says it too, when the file names show that a part is missing. */
static bool said_already(const struct sc_catalog *c)
{
    for (size_t i = 0; i < c->n_findings; i++)
        if (strcmp(c->findings[i].id, "shards.missing") == 0)
            return true;
    return false;
}

/* Doubled and missing numbers among parts that are sorted by number. *complete: all are there. */
static int check_numbers(struct sc_catalog *c, const struct part *p, size_t n, bool *complete,
                         struct sc_error *e)
{
    uint64_t next = 0, missing = 0, first_missing = 0;

    for (size_t i = 0; i <= n; i++) {
        const uint64_t no = i < n ? SC_MIN(p[i].no, p[0].count) : p[0].count;
        if (i > 0 && i < n && p[i].no == p[i - 1].no) {
            struct sc_quoted q;
            TRY(sc_problem(c, SC_ERROR, "gguf.split.duplicate", p[i].file, SC_NO_TENSOR,
                           SC_NO_OFFSET, e, "split.no is %" PRIu64 ", as in %s", p[i].no,
                           sc_quote(&q, sc_strz(c->files[p[i - 1].file].path))));
            continue;
        }
        if (no > next && missing == 0)
            first_missing = next;
        missing += no > next ? no - next : 0;
        next = SC_MAX(next, no + 1);
    }
    *complete = missing == 0;
    if (*complete || said_already(c))
        return 0;
    return sc_problem(c, SC_ERROR, "gguf.split.missing", p[0].file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                      "%" PRIu64 " of %" PRIu64 " parts are missing, the first is part %" PRIu64
                      " (an unfinished download? --lenient lists the rest)",
                      missing, p[0].count, first_missing + 1);
}

/* The parts of one model. */
static int check_group(struct sc_catalog *c, const struct part *p, size_t n, struct sc_error *e)
{
    const struct part *counted = NULL; /* a part that says how many tensors there are */
    uint64_t n_entries = 0;
    bool complete;

    for (size_t i = 0; i < n; i++) {
        TRY(check_part(c, &p[i], &p[0], e));
        n_entries += p[i].n_entries;
        if (!counted && p[i].has_tensors)
            counted = &p[i];
    }
    TRY(check_numbers(c, p, n, &complete, e));
    if (!complete || !counted || counted->tensors == n_entries)
        return 0;
    return sc_problem(c, SC_ERROR, "gguf.split.tensors", counted->file, SC_NO_TENSOR, SC_NO_OFFSET,
                      e, "split.tensors.count is %" PRIu64 ", but the parts have %" PRIu64,
                      counted->tensors, n_entries);
}

static int check_groups(struct sc_catalog *c, struct part *parts, struct sc_error *e)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_files; i++) {
        parts[i].file = (uint32_t)i;
        parts[i].component = c->files[i].component;
    }
    TRY(read_keys(c, parts, e));
    for (size_t i = 0; i < c->n_entries; i++)
        parts[c->entries[i].file].n_entries++;
    for (size_t i = 0; i < c->n_files; i++)
        if (parts[i].has_count && parts[i].count != 1)
            parts[n++] = parts[i];
    qsort(parts, n, sizeof parts[0], compare_parts);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && strcmp(parts[i].component, parts[end].component) == 0;)
            end++;
        TRY(check_group(c, &parts[i], end - i, e));
    }
    return 0;
}

int sc_gguf_check_split(struct sc_catalog *c, struct sc_error *e)
{
    struct part *parts = sc_calloc(c->n_files ? c->n_files : 1, sizeof *parts);

    if (!parts)
        return sc_fail_memory(e);
    const int code = check_groups(c, parts, e);
    free(parts);
    return code;
}
